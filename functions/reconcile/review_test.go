package reconcile

import (
	"encoding/json"
	"testing"
	"time"

	"extend-intake/dev/fakeextend"
	"extend-intake/shared/document/documenttest"
	"extend-intake/shared/extend"
	"extend-intake/shared/ledger"
)

// A run of a workflow waits for a person, whose webhooks are all lost.
func TestReviewIsFound(t *testing.T) {
	t.Parallel()
	for name, review := range map[string]struct {
		fakeextend.Review
		want ledger.State
	}{
		"approved": {fakeextend.Review{}, ledger.Processed},
		"rejected": {fakeextend.Review{Reject: true, Note: "Not ours"}, ledger.Rejected},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, fakeextend.Options{
				Workflows:    []fakeextend.Workflow{{ID: "workflow_1", Versions: []string{"1"}, Processors: []string{"dp_1"}, Review: true}},
				WorkflowTime: func(fakeextend.JobInfo) time.Duration { return 0 },
			})
			s := source(1)
			w.apply(s, ledger.Claim{Source: s, ProcessorID: "workflow_1", Version: "latest"})
			page, err := w.client.WorkflowRuns.Create(t.Context(), extend.CreateWorkflowRunsRequest{
				WorkflowID: "workflow_1", RawTexts: []string{"x"}, Metadata: documenttest.Tag(stack, s, 1).Metadata()})
			if err != nil {
				t.Fatal(err)
			}
			id := page.Items[0].ID
			w.apply(s, ledger.Accepted{Attempt: 1, RunID: id})
			if err := w.fake.Wait(t.Context()); err != nil { // until it waits for a person
				t.Fatal(err)
			}
			w.now = w.now.Add(time.Hour)
			w.handle()
			if rec := w.state(s); rec.State != ledger.NeedsReview || rec.Revision != 1 {
				t.Fatalf("record %+v", rec)
			}
			w.now = w.now.Add(time.Minute)
			if asked := w.handle().Asked; asked != 0 {
				t.Errorf("asked %d times a minute later", asked)
			}
			if err := w.fake.ReviewWorkflowRun(id, review.Review); err != nil {
				t.Fatal(err)
			}
			w.now = w.now.Add(7 * time.Hour)
			w.handle()
			rec := w.state(s)
			if rec.State != review.want || rec.Revision != 2 || rec.FailureMessage != review.Note {
				t.Errorf("record %+v", rec)
			}
			output, err := w.ledger.Output(t.Context(), s.DocumentID())
			if err != nil || json.Valid(output) != (review.want == ledger.Processed) {
				t.Errorf("output %s, %v", output, err)
			}
		})
	}
}
