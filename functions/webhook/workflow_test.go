package webhook

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"extend-intake/dev/fakeextend"
	"extend-intake/shared/extend"
	"extend-intake/shared/extend/webhook"
	"extend-intake/shared/ledger"
)

const workflow = "workflow_payables"

// total is of more digits than a float64 keeps.
const total = `{"value":{"total":12345678901234567890.10}}`

// newWorkflowEndpoint has a document whose run waits for a person. The fake delivers nothing: a
// test does, when and in what order it wants.
func newWorkflowEndpoint(t *testing.T, edit ...func(*fakeextend.Options)) (e *endpoint, id string) {
	t.Helper()
	e = newEndpoint(t, append([]func(*fakeextend.Options){func(o *fakeextend.Options) {
		o.Workflows = []fakeextend.Workflow{{ID: workflow, Versions: []string{"1"}, Processors: []string{processor}, Rules: []string{"total"}, Review: true}}
		o.WorkflowTime = func(fakeextend.JobInfo) time.Duration { return 0 }
		o.Output = func(fakeextend.RunInfo) json.RawMessage { return json.RawMessage(total) }
	}}, edit...)...)
	e.apply(ledger.Claim{Source: source, Route: "payables", ProcessorID: workflow, Version: "latest", TagSigned: true})
	page, err := e.client.WorkflowRuns.Create(t.Context(), extend.CreateWorkflowRunsRequest{
		WorkflowID: workflow, Metadata: tag(stack, 1),
		Files: []extend.WorkflowFileInput{{FileName: source.FileName(1, ""), FileURL: "https://intake-uploads.s3.test/a.pdf?X-Amz-Signature=5ecre7"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	e.settle()
	return e, page.Items[0].ID
}

// delivery is one of the run as it is now. Each has an id of its own.
func (e *endpoint) delivery(kind, id string) string {
	e.t.Helper()
	run, err := e.client.WorkflowRuns.Get(e.t.Context(), id)
	if err != nil {
		e.t.Fatal(err)
	}
	return fmt.Sprintf(`{"eventId":"event_%s_%s","eventType":%q,"payload":%s}`, kind, run.Status, kind, run.Raw)
}

func (e *endpoint) review(id string, r fakeextend.Review) {
	e.t.Helper()
	if err := e.fake.ReviewWorkflowRun(id, r); err != nil {
		e.t.Fatal(err)
	}
}

func TestAReviewOfAWorkflow(t *testing.T) {
	t.Parallel()
	e, id := newWorkflowEndpoint(t)
	asked := e.delivery(webhook.WorkflowRunNeedsReview, id)
	e.deliver(asked, 200) // before the POST's answer
	e.want(docID, ledger.NeedsReview, 1)
	e.wantLog("INFO delivery", "NeedsReview=1", "state=NEEDS_REVIEW")
	e.deliver(asked, 200)
	e.apply(ledger.Accepted{Attempt: 1, RunID: id})
	e.want(docID, ledger.NeedsReview, 1)

	e.review(id, fakeextend.Review{})
	e.deliver(e.delivery(webhook.WorkflowRunCompleted, id), 200)
	rec := e.want(docID, ledger.Processed, 2)
	if rec.Type != "WORKFLOW" || !rec.Reviewed || rec.Credits != "1.50" || rec.ProcessorID != workflow || rec.OutputRunID != id {
		t.Errorf("record %+v", rec)
	}
	e.wantLog("INFO delivery", "Processed=1", "Credits=1.5")
	output := must(e.book.Output(t.Context(), docID))
	var result struct {
		Outputs  []struct{ Output json.RawMessage }
		StepRuns []struct{ Step struct{ Type string } }
	}
	if err := json.Unmarshal(output, &result); err != nil || len(result.Outputs) != 1 || !sameJSON(t, result.Outputs[0].Output, []byte(total)) || len(result.StepRuns) != 1 || result.StepRuns[0].Step.Type != "RULE_VALIDATION" {
		t.Errorf("output %s, %v", output, err)
	}

	asks := e.gets()
	e.deliver(strings.Replace(asked, "event_", "event_late_", 1), 200) // it is late
	e.want(docID, ledger.Processed, 2)
	if n := e.gets() - asks; n != 0 {
		t.Errorf("%d questions about a late delivery", n)
	}
}

func TestARejection(t *testing.T) {
	t.Parallel()
	e, id := newWorkflowEndpoint(t)
	asked := e.delivery(webhook.WorkflowRunNeedsReview, id)
	e.review(id, fakeextend.Review{Reject: true, Note: "Not ours"})
	e.deliver(e.delivery(webhook.WorkflowRunRejected, id), 200) // before the question
	rec := e.want(docID, ledger.Rejected, 1)
	if rec.FailureReason != "REJECTED" || rec.FailureMessage != "Not ours" || rec.OutputRunID != "" {
		t.Errorf("record %+v", rec)
	}
	e.wantLog("INFO delivery", "Rejected=1")
	e.deliver(asked, 200)
	e.want(docID, ledger.Rejected, 1)

	e.review(id, fakeextend.Review{}) // the person changes the mind
	e.deliver(e.delivery(webhook.WorkflowRunCompleted, id), 200)
	e.want(docID, ledger.Processed, 2)
}

// What tells of one step, or of one processor, is not the result of the whole.
func TestDeliveriesOfSteps(t *testing.T) {
	t.Parallel()
	e, id := newWorkflowEndpoint(t)
	e.apply(ledger.Accepted{Attempt: 1, RunID: id})
	whole := must(e.client.WorkflowRuns.Get(t.Context(), id))
	asks := e.gets()
	step := `{"object":"workflow_step_run","id":"workflow_step_run_1","status":"PROCESSED","step":{"object":"workflow_step","id":"step_1","name":"Rules","type":"RULE_VALIDATION"},"output":{"rules":[]}}`
	e.deliver(event(webhook.StepRunProcessed, step), 200)
	e.deliver(event(webhook.StepRunProcessed, string(whole.Raw)), 200)
	e.wantLog("INFO ignored", "a step")
	e.deliver(processed(map[string]any{"id": "dpr_of_the_step"}), 200) // it has the run's tag
	rec := e.want(docID, ledger.Processing, 0)
	if len(rec.Runs) > 0 || e.gets() != asks || strings.Contains(e.log.String(), "OtherApiVersion") || strings.Contains(e.log.String(), "TagMismatches") {
		t.Errorf("record %+v, %d questions", rec, e.gets()-asks)
	}

	e.deliver(event(webhook.WorkflowRunCompleted, step), 400) // nor is it under another name
	e.want(docID, ledger.Processing, 0)
	if len(e.unreadable) != 1 {
		t.Errorf("%d kept", len(e.unreadable))
	}
}

// A delivery that points to its content has Extend asked for the run, of whatever kind.
func TestPointersToAWorkflowsRun(t *testing.T) {
	t.Parallel()
	const link = "https://payloads.extend.test/e.json?X-Amz-Signature=00112233"
	e, id := newWorkflowEndpoint(t)
	e.deliver(event(webhook.WorkflowRunNeedsReview, fmt.Sprintf(`{"object":"signed_data_url","id":%q,"data":%q}`, id, link)), 200)
	e.want(docID, ledger.NeedsReview, 1)
	e.review(id, fakeextend.Review{})
	e.deliver(strings.Replace(event(webhook.WorkflowRunCompleted, fmt.Sprintf(`{"object":"signed_data_url","id":%q,"data":%q}`, id, link)), "event_", "event_2_", 1), 200)
	e.want(docID, ledger.Processed, 2)
}

// This version of the API has no such event. Where one comes all the same, Extend is asked.
func TestAWorkflowsRunIsCancelled(t *testing.T) {
	t.Parallel()
	e, id := newWorkflowEndpoint(t, func(o *fakeextend.Options) {
		o.Fault = fakeextend.Script(fakeextend.RouteCreateWorkflowRuns, fakeextend.Fault{Fate: fakeextend.Fate{End: fakeextend.EndCancelled}})
	})
	e.apply(ledger.Accepted{Attempt: 1, RunID: id})
	e.deliver(e.delivery("workflow_run.cancelled", id), 200)
	e.want(docID, ledger.Cancelled, 1)
}

// A run that fails is made again only where nothing that was paid for would be paid for again.
func TestAFailureOfAWorkflow(t *testing.T) {
	t.Parallel()
	for after, want := range map[int]ledger.State{0: ledger.Waiting, 1: ledger.Failed} {
		e, id := newWorkflowEndpoint(t, func(o *fakeextend.Options) {
			o.Fault = fakeextend.Script(fakeextend.RouteCreateWorkflowRuns, fakeextend.Fault{Fate: fakeextend.Fate{End: fakeextend.EndFailed, FailureReason: "DOCUMENT_PROCESSOR_ERROR", FailAfter: after}})
		})
		e.apply(ledger.Accepted{Attempt: 1, RunID: id})
		e.deliver(e.delivery(webhook.WorkflowRunFailed, id), 200)
		if rec := e.record(docID); rec.State != want || (len(e.requeued) > 0) != (want == ledger.Waiting) {
			t.Errorf("after %d processors: %d requeued, record %+v", after, len(e.requeued), rec)
		}
		e.wantLog("INFO delivery", "Failed=1")
	}
}

// One that is not PROCESSED, and one that has nothing in it, is asked about before it counts.
func TestAnEmptyResultOfAWorkflow(t *testing.T) {
	t.Parallel()
	e, id := newWorkflowEndpoint(t, func(o *fakeextend.Options) {
		o.Workflows[0].Review, o.Workflows[0].Processors, o.Workflows[0].Rules = false, nil, nil
	})
	e.apply(ledger.Accepted{Attempt: 1, RunID: id})
	e.deliver(e.delivery(webhook.WorkflowRunCompleted, id), 200)
	rec := e.want(docID, ledger.Processing, 0)
	if rec.PendingDigest == "" || rec.NextCheckAt.After(e.clock.now().Add(time.Minute)) {
		t.Errorf("record %+v", rec)
	}
}
