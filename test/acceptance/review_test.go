package acceptance

import (
	"fmt"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/eventbridge"

	"extend-intake/dev/fakeextend"
	"extend-intake/dev/stack/emulator"
	"extend-intake/shared/document"
	"extend-intake/shared/event"
	"extend-intake/shared/ledger"
	"extend-intake/shared/metric"
)

// Files go through a workflow that asks a person, who approves one and rejects the other. Both
// questions and both answers are stored and announced, and each file is paid for once.
func TestReviews(t *testing.T) {
	t.Parallel()
	s := theStack(t)
	box := s.openInbox(t, eventbridge.NewFromConfig(emulator.AWSConfig(s.AWS.URL)), "reviews")
	approved := s.put(t, "reviewed/approved.pdf", []byte("%PDF-1.4 to be approved"))
	rejected := s.put(t, "reviewed/rejected.pdf", []byte("%PDF-1.4 to be rejected"))
	for src, review := range map[*document.Source]fakeextend.Review{&approved: {}, &rejected: {Reject: true, Note: "Not our invoice."}} {
		rec := s.ended(t, *src, ledger.NeedsReview)
		if rec.Route != "reviewed" || rec.ProcessorID != "workflow_reviewed" || rec.Revision != 1 || rec.NextCheckAt.IsZero() {
			t.Errorf("record %+v", rec)
		}
		if err := s.Fake.ReviewWorkflowRun(rec.RunID, review); err != nil {
			t.Fatal(err)
		}
	}

	rec := s.ended(t, approved, ledger.Processed)
	output, err := s.Ledger.Output(t.Context(), approved.DocumentID())
	if err != nil {
		t.Fatal(err)
	}
	result, _ := exactly(t, output).(map[string]any)
	outputs, _ := result["outputs"].([]any)
	steps, _ := result["stepRuns"].([]any)
	runs := s.runs(approved)
	if len(outputs) != 1 || len(steps) != 1 || len(runs) != 1 {
		t.Fatalf("output %s of %d runs", output, len(runs))
	}
	if got := outputs[0].(map[string]any)["output"]; fmt.Sprint(got) != fmt.Sprint(exactly(t, runs[0].Output)) {
		t.Errorf("stored %v\nsent   %s", got, runs[0].Output)
	}
	if rec.Revision != 2 || !rec.Reviewed || rec.Credits != "1.50" {
		t.Errorf("record %+v", rec)
	}
	if rec := s.ended(t, rejected, ledger.Rejected); rec.Revision != 2 || rec.FailureReason != "REJECTED" || rec.FailureMessage != "Not our invoice." || rec.OutputRunID != "" {
		t.Errorf("record %+v", rec)
	}

	for src, end := range map[*document.Source]string{&approved: event.Processed, &rejected: event.Rejected} {
		want := []string{event.NeedsReview, end}
		s.eventually(t, src.Key+" is announced", func() (bool, error) {
			if err := box.read(t); err != nil {
				return false, err
			}
			var got []string
			for _, r := range box.of(src.DocumentID()) {
				got = append(got, r.DetailType)
			}
			slices.Sort(got) // they arrive in no particular order
			slices.Sort(want)
			return slices.Equal(got, want), fmt.Errorf("announced %q", got)
		})
		made := 0
		for _, job := range s.Fake.Jobs() {
			if tag, err := document.ParseTag(job.Metadata); err == nil && tag.DocumentID == src.DocumentID() {
				made++
			}
		}
		if made != 1 {
			t.Errorf("%s: %d runs of the workflow", src.Key, made)
		}
	}
	s.eventually(t, "the reviews are counted", func() (bool, error) {
		counted := s.counted(t)
		return counted[metric.NeedsReview.Name] == 2 && counted[metric.Rejected.Name] == 1, fmt.Errorf("counted %v", counted)
	})
}
