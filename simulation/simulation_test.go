package simulation

import (
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var (
	schedulesFlag = flag.Int("schedules", 0, "schedules of TestSimulation; 0 is a small number")
	firstFlag     = flag.Uint64("first", 1, "the first seed of TestSimulation")
	seedFlag      = flag.Uint64("seed", 1, "the schedule of TestReplaySeed")
)

func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(logs{}))
	debug.SetGCPercent(400) // worlds are small and short-lived
	os.Exit(m.Run())
}

// schedule runs the world of one seed in a bubble of its own.
func schedule(t *testing.T, seed uint64, options ...func(*world)) (w *world) {
	synctest.Test(t, func(*testing.T) {
		w = newWorld(seed, options...)
		w.run()
	})
	return w
}

func traced(w *world) { w.trace = &strings.Builder{} }

// TestSimulation runs many schedules: the seeds from 1 on, and a few that nobody
// has seen before.
func TestSimulation(t *testing.T) {
	t.Parallel()
	known, fresh := 2000, 200
	if testing.Short() || slow {
		known, fresh = 200, 20
	}
	if *schedulesFlag > 0 {
		known, fresh = *schedulesFlag, 0
	}
	sum := summary{begin: time.Now(), undecidable: map[string][]string{}}
	seeds := make(chan uint64)
	go func() {
		defer close(seeds)
		for i := range known {
			seeds <- *firstFlag + uint64(i)
		}
		for range fresh {
			seeds <- rand.Uint64N(1<<62) + 1<<32
		}
	}()
	t.Run("schedules", func(t *testing.T) {
		for range 2 { // each of them has one goroutine at work at a time, as a rule
			t.Run("", func(t *testing.T) {
				t.Parallel()
				for seed := range seeds {
					w := schedule(t, seed)
					sum.add(w)
					for _, v := range w.violations {
						t.Errorf("seed %d: %s", seed, v)
					}
					if len(w.violations) > 0 {
						t.Errorf("replay it: go test ./simulation -run TestReplaySeed -seed=%d -v", seed)
					}
					if sum.failed() >= *stopFlag {
						for range seeds { // enough is known
						}
					}
				}
			})
		}
	})
	if testing.Verbose() || *schedulesFlag > 0 {
		sum.print()
	}
}

// summary is what many schedules came to.
type summary struct {
	mu             sync.Mutex
	begin, printed time.Time
	schedules      int
	uploads        int
	runs           int
	events         int // of the bus, each once
	repeated       int // of these, once more
	violations     int
	broken         int // schedules with violations
	first          int // how many schedules it took to the first of these
	faults         [nKinds]int
	undecidable    map[string][]string // by the reason: seed and document
	virtual        time.Duration
}

func (s *summary) add(w *world) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.schedules++
	s.uploads += len(w.expected)
	s.runs += w.made
	s.events += len(w.bus.taken)
	s.repeated += w.bus.repeated
	s.virtual += w.took
	s.violations += len(w.violations)
	if len(w.violations) > 0 {
		if s.broken++; s.broken == 1 {
			s.first = s.schedules
		}
	}
	for _, u := range w.undecidable {
		s.undecidable[u.why] = append(s.undecidable[u.why], fmt.Sprintf("seed %d %s", w.seed, u.document))
	}
	for k, n := range w.faults.n {
		s.faults[k] += n
	}
	if *schedulesFlag > 0 && time.Since(s.printed) > 5*time.Second {
		s.printed = time.Now()
		fmt.Println(s.line())
	}
}

func (s *summary) failed() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.broken
}

func (s *summary) line() string {
	faults, undecidable := 0, 0
	for _, n := range s.faults {
		faults += n
	}
	for _, at := range s.undecidable {
		undecidable += len(at)
	}
	return fmt.Sprintf("%6.0fs  schedules %d  uploads %d  runs %d  faults %d  violations %d  undecidable %d",
		time.Since(s.begin).Seconds(), s.schedules, s.uploads, s.runs, faults, s.violations, undecidable)
}

func (s *summary) print() {
	fmt.Println(s.line())
	fmt.Printf("virtual time: %.0f days; %d events announced, and %d repetitions of them\n", s.virtual.Hours()/24, s.events, s.repeated)
	for k, n := range s.faults {
		fmt.Printf("%9d  %s\n", n, kinds[k].name)
	}
	fmt.Println("undecidable:")
	for _, why := range slices.Sorted(maps.Keys(s.undecidable)) {
		at := s.undecidable[why]
		fmt.Printf("%9d  %s: %s\n", len(at), why, strings.Join(at[:min(len(at), 20)], ", "))
	}
	if s.broken > 0 {
		fmt.Printf("first violation after %d schedules\n", s.first)
	}
}

// TestReplaySeed runs one schedule and, with -v, prints its trace.
func TestReplaySeed(t *testing.T) {
	t.Parallel()
	w := schedule(t, *seedFlag, traced)
	if testing.Verbose() {
		fmt.Print(w.trace)
	}
	for _, v := range w.violations {
		t.Error(v)
	}
	for _, u := range w.undecidable {
		t.Logf("undecidable: %s: %s", u.document, u.why)
	}
}

// TestSameSeedSameSchedule is what a replay rests on.
func TestSameSeedSameSchedule(t *testing.T) {
	t.Parallel()
	seeds := uint64(300)
	if testing.Short() || slow {
		seeds = 30
	}
	for seed := range seeds {
		first := schedule(t, seed, traced).trace.String()
		if second := schedule(t, seed, traced).trace.String(); first != second {
			t.Fatalf("seed %d: %s", seed, firstDifference(first, second))
		}
	}
}

// firstDifference is where two traces part.
func firstDifference(one, other string) string {
	a, b := strings.Split(one, "\n"), strings.Split(other, "\n")
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return fmt.Sprintf("line %d:\n%s\n%s", i+1, a[i], b[i])
		}
	}
	return "one is longer"
}
