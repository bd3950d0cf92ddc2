package ledger

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
)

// budgeted is a ledger with a budget of so many credits a day, and its clock.
func budgeted(credits float64) (*Ledger, *time.Time) {
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	rules := DefaultRules
	rules.DailyCredits = credits
	return NewMemory(rules, func() time.Time { return now }), &now
}

func claimOf(id string, claim int64) *Record {
	return &Record{DocumentID: id, Attempt: 1, ClaimNumber: claim, Route: "r"}
}

// spent is what the day has counted, in credits.
func spent(t *testing.T, l *Ledger, name string) float64 {
	t.Helper()
	d, err := l.store.getDay(t.Context(), name, "r")
	if err != nil {
		t.Fatal(err)
	}
	return float64(d.Credits) / 1000
}

// budgetSteps goes through the life of reservations, on the model and on the table.
func budgetSteps(t *testing.T, l *Ledger, now *time.Time) {
	const d1, d2 = "2026-11-25", "2026-11-26"
	reserve := func(rec *Record, allowed bool) {
		t.Helper()
		s, err := l.Reserve(t.Context(), rec)
		if err != nil || s.Allowed != allowed {
			t.Fatalf("%s, claim %d: %+v, %v; want %t", rec.DocumentID, rec.ClaimNumber, s, err, allowed)
		}
		if want := time.Date(2026, 11, now.Day()+1, 0, 0, 0, 0, time.UTC); !s.Until.Equal(want) {
			t.Fatalf("until %v, want %v", s.Until, want)
		}
	}
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	counted := func(day string, want float64) {
		t.Helper()
		if got := spent(t, l, day); got != want {
			t.Fatalf("%s has counted %v credits, want %v", day, got, want)
		}
	}
	reserve(claimOf("a", 1), true)
	counted(d1, 10) // no history
	reserve(claimOf("a", 1), true)
	counted(d1, 10) // once for a claim
	reserve(claimOf("a", 2), true)
	counted(d1, 10) // and for an attempt: the later claim takes it over
	do(l.Release(t.Context(), claimOf("a", 1)))
	counted(d1, 10) // which an earlier claim does not give back
	if _, err := l.Reserve(t.Context(), claimOf("a", 1)); err == nil || !strings.Contains(err.Error(), "claimed anew") {
		t.Fatalf("an earlier claim reserves: %v", err)
	}
	do(l.Settle(t.Context(), "a", 1, "4.0001"))
	counted(d1, 4.001) // rounded up
	do(l.Settle(t.Context(), "a", 1, "9"))
	do(l.Release(t.Context(), claimOf("a", 2)))
	counted(d1, 4.001) // once
	reserve(claimOf("b", 1), true)
	counted(d1, 8.002) // by the route's mean
	do(l.Release(t.Context(), claimOf("b", 1)))
	do(l.Release(t.Context(), claimOf("b", 1)))
	counted(d1, 4.001)
	for i := range 4 {
		reserve(claimOf(fmt.Sprint("c", i), 1), true)
	}
	counted(d1, 20.005) // a budget of 20, reached by what is under way
	reserve(claimOf("d", 1), false)
	reserve(claimOf("c0", 2), true) // what is reserved may go
	do(l.Settle(t.Context(), "c1", 1, ""))
	counted(d1, 20.005) // no price: the estimate stays
	do(l.Settle(t.Context(), "c2", 1, "0.50"))
	reserve(claimOf("d", 1), true)
	*now = now.Add(12 * time.Hour)
	counted(d2, 0)
	reserve(claimOf("e", 1), true)
	counted(d2, 2.251) // by yesterday's mean: (4.001 + 0.50) / 2
	reserve(claimOf("c0", 3), true)
	counted(d2, 4.502) // abandoned yesterday, and sent today
	do(l.Settle(t.Context(), "c3", 1, "1"))
	counted(d2, 4.502) // sent yesterday
}

func TestBudget(t *testing.T) {
	t.Parallel()
	l, now := budgeted(20)
	budgetSteps(t, l, now)
}

func TestBudgetOnTheTable(t *testing.T) {
	onTables(t, func(t *testing.T, client *dynamodb.Client, table string) {
		now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
		rules := DefaultRules
		rules.DailyCredits = 20
		budgetSteps(t, New(client, table, rules, func() time.Time { return now }), &now)
	})
}

// Whoever reserves at the same moment as others is never allowed beyond the budget by more than
// one estimate.
func TestBudgetUnderConcurrency(t *testing.T) {
	t.Parallel()
	l, _ := budgeted(95)
	allowed := make([]bool, 200)
	var all sync.WaitGroup
	for i := range allowed {
		all.Go(func() {
			for range 100 { // as often as others get on
				s, err := l.Reserve(t.Context(), claimOf(fmt.Sprint(i), 1))
				if err == nil {
					allowed[i] = s.Allowed
					return
				}
			}
			t.Error("never answered")
		})
	}
	all.Wait()
	n := 0
	for _, ok := range allowed {
		if ok {
			n++
		}
	}
	if n != 10 || spent(t, l, "2026-11-25") != 100 {
		t.Errorf("%d runs of 10 credits allowed, %v counted, by a budget of 95", n, spent(t, l, "2026-11-25"))
	}
}

// Without a budget nothing is asked of the table.
func TestNoBudgetCostsNothing(t *testing.T) {
	t.Parallel()
	l := &Ledger{rules: DefaultRules, now: time.Now} // has no table
	if s, err := l.Reserve(t.Context(), claimOf("a", 1)); err != nil || !s.Allowed {
		t.Errorf("%+v, %v", s, err)
	}
	if err := l.Release(t.Context(), claimOf("a", 1)); err != nil {
		t.Error(err)
	}
	if err := l.Settle(t.Context(), "a", 1, "5"); err != nil {
		t.Error(err)
	}
}

func TestPrice(t *testing.T) {
	t.Parallel()
	for credits, want := range map[string]milli{
		"0": 0, "-0": 0, "3": 3000, "3.50": 3500, "0.0001": 1, "1e2": 100_000, "1e-300": 1, "1e-30000000": 0, "2.0000000000000000000001": 2001,
		"": -1, "-1": -1, "1e400": -1, "1e300": -1, "NaN": -1, "Inf": -1, "x": -1,
	} {
		got, ok := price(credits)
		if !ok {
			got = -1
		}
		if got != want {
			t.Errorf("%q: %d, want %d", credits, got, want)
		}
	}
}
