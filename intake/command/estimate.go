package command

import (
	"context"
	"math"
	"strconv"

	"extend-intake/intake/stack"
	"extend-intake/shared/ledger"
)

// estimate is what a file of a route costs, as its last runs did.
type estimate struct {
	runs      int
	sum, sum2 float64
}

func (e *estimate) add(credits float64) {
	e.runs++
	e.sum += credits
	e.sum2 += credits * credits
}

// of is what so many files cost, least and most: the mean of the runs with its interval of 95 %.
// Both are 0 where there were no runs.
func (e *estimate) of(files int) (least, most float64) {
	if e == nil || e.runs == 0 {
		return 0, 0
	}
	n := float64(e.runs)
	mean := e.sum / n
	variance := max(0, e.sum2/n-mean*mean)
	// Of what is to come, and of the mean that is estimated from few.
	spread := 1.96 * math.Sqrt(variance*(float64(files)+float64(files)*float64(files)/n))
	return max(0, mean*float64(files)-spread), mean*float64(files) + spread
}

// The runs that an estimate is made of: enough of each route, and not all that there are.
const (
	estimateRuns = 200
	estimateRead = 2000
)

// estimates are those of the routes, of their last runs that ended well.
func estimates(ctx context.Context, s *stack.Stack) (map[string]*estimate, error) {
	byRoute := map[string]*estimate{}
	read := 0
	for row, err := range s.Reader().List(ctx, ledger.Query{State: ledger.Processed, Descending: true}) {
		if err != nil {
			return nil, err
		}
		if read++; read > estimateRead {
			break
		}
		if row.Record == nil {
			continue
		}
		credits, err := strconv.ParseFloat(row.Record.Credits, 64)
		if err != nil || credits < 0 || math.IsInf(credits, 0) || math.IsNaN(credits) {
			continue
		}
		e := byRoute[row.Record.Route]
		if e == nil {
			e = new(estimate)
			byRoute[row.Record.Route] = e
		}
		if e.runs < estimateRuns {
			e.add(credits)
		}
	}
	return byRoute, nil
}

// cost is what files of these routes cost: unknown where a route had no run that ended well,
// unless each is said to cost so many credits.
func cost(files map[string]int, byRoute map[string]*estimate, each float64) Cost {
	var c Cost
	unknown := false
	for route, n := range files {
		c.Files += n
		least, most := byRoute[route].of(n)
		if each > 0 {
			least, most = each*float64(n), each*float64(n)
		}
		c.Least += least
		c.Most += most
		unknown = unknown || most == 0
	}
	if unknown {
		c.Least, c.Most = 0, 0
	}
	return c
}
