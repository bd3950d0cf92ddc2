package submit

import (
	"strings"
	"testing"
	"time"

	"extend-intake/dev/fakeextend"
	"extend-intake/shared/ledger"
)

// budget gives the stack a daily budget.
func (in *intake) budget(credits float64) {
	cfg := in.testConfig()
	cfg.Rules.DailyCredits = credits
	in.book = ledger.NewMemory(cfg.Rules, in.now)
	in.instance = in.anotherWith(cfg)
	in.runs = in.Runs
}

// A day's budget lets files through until it is reached; then they wait, say why, and go on the
// next day.
func TestDailyBudget(t *testing.T) {
	t.Parallel()
	in := newIntake(t)
	in.budget(15)
	for _, key := range []string{"a", "b"} { // 10 credits each are estimated
		m, u := put(key)
		in.receive(m)
		in.wantProcessing(u)
	}
	m, u := put("c")
	in.receive(m)
	in.wantState(u, ledger.Waiting, "DailyCreditBudget, 15, is used up until 2100-01-03T00:00:00Z")
	in.wantLog("daily budget", "BudgetUsed=133")
	in.wantLog("paused", "DailyCreditBudget")
	if strings.Contains(in.log.String(), "AccountPaused") {
		t.Error("the account is said to be paused")
	}
	claims := in.record(u).ClaimNumber
	for range 5 { // it is not claimed for nothing again and again: a function may end in each
		in.clock.advance(rules.ConfirmWindow)
		in.receive(m)
	}
	if n := in.record(u).ClaimNumber; n != claims {
		t.Errorf("%d claims, before %d", n, claims)
	}
	if n := strings.Count(in.log.String(), "BudgetUsed=133"); n < 3 { // the alarm stays on
		t.Errorf("counted %d times", n)
	}
	in.clock.advance(21 * time.Hour)
	in.settle(m)
	in.wantProcessing(u)
}

// What Extend refuses costs nothing.
func TestRefusedPostsAreNotOnTheBudget(t *testing.T) {
	t.Parallel()
	in := newIntake(t, onCreate(fakeextend.Fault{Status: 422}, fakeextend.Fault{Status: 422}, fakeextend.Fault{Status: 422}))
	in.budget(15)
	for _, key := range []string{"a", "b", "c"} {
		m, _ := put(key)
		in.receive(m)
	}
	m, u := put("d")
	in.receive(m)
	in.wantProcessing(u)
}
