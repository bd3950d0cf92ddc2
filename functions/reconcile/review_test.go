package reconcile

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"extend-intake/dev/fakeextend"
	"extend-intake/shared/document"
	"extend-intake/shared/document/documenttest"
	"extend-intake/shared/extend"
	"extend-intake/shared/ledger"
)

// newReview has a document whose run of a workflow waits for a person, which nobody has told.
func newReview(t *testing.T, opts fakeextend.Options) (w *world, s document.Source, runID string) {
	t.Helper()
	opts.Workflows = []fakeextend.Workflow{{ID: "workflow_1", Versions: []string{"1"}, Processors: []string{"dp_1"}, External: true, Review: true}}
	opts.WorkflowTime = func(fakeextend.JobInfo) time.Duration { return 0 }
	w = newWorld(t, opts)
	s = source(1)
	w.apply(s, ledger.Claim{Source: s, ProcessorID: "workflow_1", Version: "latest"})
	page, err := w.client.WorkflowRuns.Create(t.Context(), extend.CreateWorkflowRunsRequest{
		WorkflowID: "workflow_1", RawTexts: []string{"x"}, Metadata: documenttest.Tag(stack, s, 1).Metadata()})
	if err != nil {
		t.Fatal(err)
	}
	runID = page.Items[0].ID
	w.apply(s, ledger.Accepted{Attempt: 1, RunID: runID})
	if err := w.fake.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	return w, s, runID
}

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
			w, s, id := newReview(t, fakeextend.Options{})
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

// A person can take weeks. Extend is asked four times a day, and nobody is called.
func TestAReviewThatTakesWeeks(t *testing.T) { // not in parallel: it reads the log
	w, s, _ := newReview(t, fakeextend.Options{})
	asked, counted := 0, map[string]int{}
	for range 21 * 24 {
		w.now = w.now.Add(time.Hour)
		for _, line := range lines(t, func() { asked += w.handle().Asked }) {
			for _, name := range []string{"Stalled", "NeedsReview"} {
				if line[name] != nil {
					counted[name]++
				}
			}
		}
	}
	if rec := w.state(s); rec.State != ledger.NeedsReview || rec.Revision != 1 {
		t.Errorf("record %+v", rec)
	}
	if counted["Stalled"] > 0 || counted["NeedsReview"] != 1 || asked > 21*4+8 {
		t.Errorf("asked %d times, counted %v", asked, counted)
	}
}

func TestAReviewWhoseRunIsDeleted(t *testing.T) {
	t.Parallel()
	w, s, id := newReview(t, fakeextend.Options{})
	w.now = w.now.Add(time.Hour)
	w.handle()
	if err := w.fake.DeleteRun(id); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		w.now = w.now.Add(7 * time.Hour)
		w.handle()
	}
	if rec := w.state(s); rec.State != ledger.Cancelled || rec.FailureReason != ledger.RunNotFound {
		t.Errorf("record %+v", rec)
	}
}

// It is being cancelled, which is no status that nobody knows.
func TestAWorkflowThatIsCancelled(t *testing.T) {
	t.Parallel()
	w, s, _ := newReview(t, fakeextend.Options{Fault: fakeextend.Script(fakeextend.RouteGetWorkflowRun,
		fakeextend.Fault{ChangeRuns: fakeextend.Set("status", `"CANCELLING"`)}, fakeextend.Fault{ChangeRuns: fakeextend.Set("status", `"CANCELLED"`)})})
	for _, want := range []ledger.State{ledger.Processing, ledger.Cancelled} {
		w.now = w.now.Add(time.Hour)
		if got := w.handle(); got.Errors != 0 {
			t.Errorf("%+v", got)
		}
		if rec := w.state(s); rec.State != want {
			t.Errorf("record %+v, want %s", rec, want)
		}
	}
}

// A part of the result can't be read: the run is kept, and the result is not stored without it.
func TestAWorkflowOfWhichAPartCantBeRead(t *testing.T) {
	t.Parallel()
	broken := fakeextend.Fault{ChangeRuns: fakeextend.All(fakeextend.Set("status", `"PROCESSED"`), fakeextend.Set("stepRuns", `[{"id":"s","output":NaN}]`))}
	w, s, id := newReview(t, fakeextend.Options{Fault: fakeextend.Script(fakeextend.RouteGetWorkflowRun, broken)})
	w.put = func(_ context.Context, name string, body []byte) (string, error) {
		if !strings.Contains(string(body), id) {
			t.Errorf("kept %s", body)
		}
		return "s3://results/" + name, nil
	}
	w.now = w.now.Add(time.Hour)
	w.handle()
	if rec := w.state(s); rec.State != ledger.Processing || rec.UnreadableLocation != "s3://results/unreadable/"+id+".json" {
		t.Errorf("record %+v", rec)
	}
}
