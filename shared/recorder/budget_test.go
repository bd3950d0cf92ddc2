package recorder

import (
	"context"
	"testing"
	"time"

	"extend-intake/shared/extend"
	"extend-intake/shared/ledger"
)

// What a run cost takes the place of what was reserved for it, but not by a run of somebody else.
func TestRunsAreSettled(t *testing.T) {
	t.Parallel()
	rules := ledger.DefaultRules
	rules.DailyCredits = 100
	var writes int
	book := ledger.NewMemory(rules, time.Now).Through(rules, time.Now, func(ctx context.Context, a ledger.Access, do func(context.Context) error) error {
		if a.Op == "write budget" {
			writes++
		}
		return do(ctx)
	})
	r := &Recorder{Parts{Ledger: book}}
	rec := &ledger.Record{DocumentID: "doc_1", Attempt: 2, ClaimNumber: 3, RunID: "dpr_2", Runs: []ledger.PastRun{
		{Attempt: 1, RunID: "dpr_1"}, {Attempt: 2, RunID: "dpr_other", Mismatch: true}, {Attempt: 2, RunID: "dpr_tag", ByTag: true}}}
	first := &ledger.Record{DocumentID: "doc_1", Attempt: 1, ClaimNumber: 1}
	for _, claimed := range []*ledger.Record{first, rec} {
		if _, err := book.Reserve(t.Context(), claimed); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		run    string
		status extend.Status
		writes int
	}{
		{"dpr_other", extend.StatusProcessed, 2}, {"dpr_tag", extend.StatusProcessed, 2}, {"dpr_unknown", extend.StatusProcessed, 2},
		{"dpr_2", extend.StatusProcessing, 2}, {"dpr_2", extend.StatusProcessed, 3}, {"dpr_2", extend.StatusProcessed, 3},
		{"dpr_1", extend.StatusFailed, 4},
	} {
		if err := r.settle(t.Context(), &extend.Run{ID: c.run, Status: c.status, Usage: &extend.Usage{Credits: "3"}}, rec); err != nil || writes != c.writes {
			t.Errorf("%s %s: %d writes, %v; want %d", c.run, c.status, writes, err, c.writes)
		}
	}
}
