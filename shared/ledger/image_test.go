package ledger

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestItemIsWhatFromItemReads(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 7, 14, 9, 15, 41, 250e6, time.UTC)
	want := Record{
		DocumentID: "doc_a", State: Processed, Version: 3, Attempt: 2, Revision: 2, RunID: "dpr_2", SubmittedAt: at, FinishedAt: at,
		OutputRunID: "dpr_2", Output: json.RawMessage(`{"a":[],"total":12345678901234567890.10}`), Credits: "1.50",
		Runs: []PastRun{{Attempt: 1, RunID: "dpr_1", State: Failed, At: at}},
	}
	item, err := want.Item()
	if err != nil {
		t.Fatal(err)
	}
	got, err := FromItem(item)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(&want, got, cmpopts.IgnoreUnexported(Record{})); d != "" {
		t.Errorf("-record +read from its item:\n%s", d)
	}
}
