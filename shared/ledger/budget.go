package ledger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"time"
)

// Spending is how far a day's budget is used.
type Spending struct {
	// Allowed: the run's estimated credits are reserved, or there is no budget.
	Allowed bool
	// Used is the share of the budget that is used after this, 1 for all of it. It is 0 where
	// that was not looked at.
	Used float64
	// Until is when the next day begins, in UTC.
	Until time.Time
}

// milli is a thousandth of a credit: sums of it are exact.
type milli int64

// maxPrice bounds what one run can cost. It is far beyond any price, and sums of it far within milli.
const maxPrice milli = 1e12

// price reads credits as Extend writes them, rounded up to thousandths. What is no price is not ok.
func price(credits string) (m milli, ok bool) {
	f, err := strconv.ParseFloat(credits, 64)
	if err != nil || f < 0 || f > float64(maxPrice)/1000 {
		return 0, false
	}
	if f < 0.001 { // its exponent can be large
		return milli(math.Ceil(f)), true
	}
	r, ok := new(big.Rat).SetString(credits)
	if !ok {
		return 0, false
	}
	r.Mul(r, big.NewRat(1000, 1))
	n := new(big.Int).Add(r.Num(), new(big.Int).Sub(r.Denom(), big.NewInt(1)))
	return milli(n.Quo(n, r.Denom()).Int64()), true
}

// defaultEstimate is what a run is taken to cost while its route has no history.
const defaultEstimate milli = 10_000

// hold is what is reserved for one attempt of a document. It is an item of its own in the table,
// which no index and no consumer of the stream sees.
type hold struct {
	ID      string `dynamodbav:"documentId"` // hold_…
	Version int64  `dynamodbav:"recordVersion"`
	// Day is the one on whose budget it is, Claim the claim that it was last made for.
	Day   string `dynamodbav:"day"`
	Claim int64  `dynamodbav:"claimNumber"`
	Route string `dynamodbav:"route"`
	// Credits are what the day has counted for it, an estimate while it is open.
	Credits   milli `dynamodbav:"millicredits"`
	Open      bool  `dynamodbav:"open"`
	ExpiresAt int64 `dynamodbav:"expiresAt"`
}

// day is the counter of one day (UTC): the credits of the runs that were sent on it, estimated
// while they are under way.
type day struct {
	Credits milli
	// Runs are those of the route asked for that have ended with a price, and RunsCredits what
	// they cost together.
	Runs        int64
	RunsCredits milli
}

// spend is a change of a day's counter.
type spend struct {
	day     string
	credits milli
	// below, unless it is 0: only if the day's credits are below it.
	below milli
	// route, runs and cost: these runs have ended with this price.
	route     string
	runs      int64
	cost      milli
	expiresAt int64
}

const dayFormat = time.DateOnly

// keepHolds is how long the items of a day are kept after it.
const keepHolds = 7 * 24 * time.Hour

func holdID(documentID string, attempt int) string {
	return "hold_" + documentID + "_" + strconv.Itoa(attempt)
}

// Spent says how far the budget of the day is used, and whether a run may be sent. Without a
// budget it makes no call.
func (l *Ledger) Spent(ctx context.Context) (Spending, error) {
	if l.rules.DailyCredits <= 0 {
		return Spending{Allowed: true}, nil
	}
	limit := milli(math.Ceil(l.rules.DailyCredits * 1000))
	now := l.now().UTC()
	d, err := l.store.getDay(ctx, now.Format(dayFormat), "")
	if err != nil {
		return Spending{}, err
	}
	return Spending{Allowed: d.Credits < limit, Used: float64(d.Credits) / float64(limit), Until: now.Truncate(24 * time.Hour).Add(24 * time.Hour)}, nil
}

// Reserve reserves the estimated credits of the run that a claim stands for, once for an attempt
// and day, unless the day's budget is used up. It is called before the POST. Without a budget it
// makes no call.
func (l *Ledger) Reserve(ctx context.Context, claimed *Record) (Spending, error) {
	if l.rules.DailyCredits <= 0 {
		return Spending{Allowed: true}, nil
	}
	limit := milli(math.Ceil(l.rules.DailyCredits * 1000))
	now := l.now().UTC()
	today := now.Format(dayFormat)
	until := now.Truncate(24 * time.Hour).Add(24 * time.Hour)
	id := holdID(claimed.DocumentID, claimed.Attempt)
	for range maxTries {
		old, err := l.store.getHold(ctx, id)
		if err != nil {
			return Spending{}, err
		}
		next := hold{ID: id, Version: 1, Day: today, Claim: claimed.ClaimNumber, Route: claimed.Route, Open: true, ExpiresAt: until.Add(keepHolds).Unix()}
		change := spend{day: today, expiresAt: next.ExpiresAt}
		s := Spending{Allowed: true, Until: until}
		if old != nil {
			next.Version = old.Version + 1
			if old.Claim > claimed.ClaimNumber {
				return Spending{}, fmt.Errorf("ledger: reserve for %s: it has been claimed anew", claimed.DocumentID)
			}
		}
		if old != nil && old.Open && old.Day == today {
			if old.Claim == claimed.ClaimNumber {
				return s, nil
			}
			next.Credits = old.Credits // it is counted already
		} else {
			d, err := l.store.getDay(ctx, today, claimed.Route)
			if err != nil {
				return Spending{}, err
			}
			if d.Credits >= limit {
				return Spending{Used: float64(d.Credits) / float64(limit), Until: until}, nil
			}
			if next.Credits, err = l.estimate(ctx, d, now, claimed.Route); err != nil {
				return Spending{}, err
			}
			change.credits, change.below = next.Credits, limit
			s.Used = float64(d.Credits+next.Credits) / float64(limit)
		}
		switch err := l.store.swapHold(ctx, old, &next, change); {
		case err == nil:
			return s, nil
		case !errors.Is(err, errConflict):
			return Spending{}, err
		}
	}
	return Spending{}, fmt.Errorf("ledger: reserve for %s: changed %d times while it was being decided on: try again", claimed.DocumentID, maxTries)
}

// estimate is what a run of the route is taken to cost: the mean of those that ended today, else
// of yesterday's.
func (l *Ledger) estimate(ctx context.Context, d day, now time.Time, route string) (milli, error) {
	if d.Runs == 0 {
		var err error
		if d, err = l.store.getDay(ctx, now.Add(-24*time.Hour).Format(dayFormat), route); err != nil {
			return 0, err
		}
	}
	if d.Runs == 0 {
		return defaultEstimate, nil
	}
	return cmp.Or((d.RunsCredits+milli(d.Runs)-1)/milli(d.Runs), 1), nil
}

// Release gives back what was reserved for a claim whose POST surely made no run. It does
// nothing where that is done, and where a later claim has taken it over.
func (l *Ledger) Release(ctx context.Context, claimed *Record) error {
	return l.closeHold(ctx, claimed.DocumentID, claimed.Attempt, func(h *hold) (spend, bool) {
		change := spend{credits: -h.Credits}
		h.Credits = 0
		return change, h.Claim == claimed.ClaimNumber
	})
}

// Settle replaces what was reserved for an attempt by what its run cost, once. Credits that are
// no price leave the estimate.
func (l *Ledger) Settle(ctx context.Context, documentID string, attempt int, credits string) error {
	return l.closeHold(ctx, documentID, attempt, func(h *hold) (spend, bool) {
		cost, ok := price(credits)
		if !ok {
			return spend{}, true
		}
		change := spend{credits: cost - h.Credits, route: h.Route, runs: 1, cost: cost}
		h.Credits = cost
		return change, true
	})
}

func (l *Ledger) closeHold(ctx context.Context, documentID string, attempt int, change func(*hold) (spend, bool)) error {
	if l.rules.DailyCredits <= 0 {
		return nil
	}
	id := holdID(documentID, attempt)
	for range maxTries {
		old, err := l.store.getHold(ctx, id)
		if err != nil {
			return err
		}
		if old == nil || !old.Open {
			return nil
		}
		next := *old
		c, ok := change(&next)
		if !ok {
			return nil
		}
		next.Open = false
		next.Version++
		c.day, c.expiresAt = old.Day, old.ExpiresAt
		if err := l.store.swapHold(ctx, old, &next, c); !errors.Is(err, errConflict) {
			return err
		}
	}
	return fmt.Errorf("ledger: settle %s: changed %d times while it was being decided on: try again", id, maxTries)
}
