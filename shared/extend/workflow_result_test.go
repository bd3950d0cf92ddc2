package extend

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

// workflowRunJSON is a run whose first output has these members beside its id, and whose step has this output.
func workflowRunJSON(status, members, step string) json.RawMessage {
	return json.RawMessage(`{"object":"workflow_run","id":"workflow_run_1","name":"a.pdf","url":"https://dashboard.extend.ai/w","status":"` + status + `",
		"metadata":{"a":1},"files":[{"object":"file","id":"file_1","name":"a.doc_1.pdf","presignedUrl":"https://changes.every.time/"}],"initialRunAt":"2026-07-14T09:15:00Z",
		"reviewed":true,"rejectionNote":"Not ours","workflow":{"object":"workflow","id":"workflow_1","version":"3","name":"Payables"},"usage":{"credits":31.50},
		"outputs":[{"object":"document_processor_run","id":"dpr_1","status":"PROCESSED","files":[{"presignedUrl":"https://changes.every.time/"}]` + members + `}],
		"stepRuns":[{"object":"workflow_step_run","id":"workflow_step_run_1","status":"PROCESSED","new":1,
			"step":{"object":"workflow_step","id":"step_1","name":"Checks","type":"RULE_VALIDATION","new":1}` + step + `}]}`)
}

// The result has what Extend sent, byte for byte, without what differs in every answer.
func TestWorkflowResult(t *testing.T) {
	t.Parallel()
	const exact = `{"value": {"n": 12345678901234567890.10, "n2": 0.1000000000000000055511151231257827, "e": 1E+2, "t": "<a> \u00e9", "d": 1, "d": 2}}`
	const step = `"step":{"id":"step_1","name":"Checks","type":"RULE_VALIDATION"}`
	for name, c := range map[string]struct{ members, step, output, stepRun string }{
		"exact": {`,"output":` + exact, `,"output":{"rules":[]}`,
			`"id":"dpr_1","status":"PROCESSED","output":` + exact, `"id":"workflow_step_run_1","status":"PROCESSED",` + step + `,"output":{"rules":[]}`},
		"all members": {`,"processorId":"dp_1","processorVersionId":"dpv_1","processorName":"A","type":"EXTRACT","reviewed":true,"edited":false,"output":{},"failureReason":"R","failureMessage":"M","url":"u","config":{"type":"EXTRACT"}`, ``,
			`"id":"dpr_1","processorId":"dp_1","processorVersionId":"dpv_1","processorName":"A","type":"EXTRACT","status":"PROCESSED","reviewed":true,"edited":false,"output":{},"failureReason":"R","failureMessage":"M"`,
			`"id":"workflow_step_run_1","status":"PROCESSED",` + step},
		"null is as absent": {`,"failureReason":null,"failureMessage":null,"output":null`, `,"output":null`,
			`"id":"dpr_1","status":"PROCESSED"`, `"id":"workflow_step_run_1","status":"PROCESSED",` + step},
		"a member twice": {`,"output":{"value":1},"output":{"value":2}`, ``,
			`"id":"dpr_1","status":"PROCESSED","output":{"value":2}`, `"id":"workflow_step_run_1","status":"PROCESSED",` + step},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run, err := Parse[WorkflowRun](workflowRunJSON("PROCESSED", c.members, c.step))
			if err != nil {
				t.Fatal(err)
			}
			got, err := run.Result()
			if err != nil {
				t.Fatal(err)
			}
			if want := `{"outputs":[{` + c.output + `}],"stepRuns":[{` + c.stepRun + `}]}`; string(got) != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

// Two processors and steps of the same name stay two.
func TestWorkflowResultKeepsEveryElement(t *testing.T) {
	t.Parallel()
	text := strings.Replace(string(workflowRunJSON("PROCESSED", `,"processorName":"A","output":{"value":{"n":1}}`, ``)),
		`"outputs":[`, `"outputs":[{"object":"document_processor_run","id":"dpr_0","status":"PROCESSED","processorName":"A","output":{"value":{"n":2}}},`, 1)
	run, err := Parse[WorkflowRun](json.RawMessage(text))
	if err != nil {
		t.Fatal(err)
	}
	got, err := run.Result()
	if err != nil {
		t.Fatal(err)
	}
	want := `{"outputs":[{"id":"dpr_0","processorName":"A","status":"PROCESSED","output":{"value":{"n":2}}},{"id":"dpr_1","processorName":"A","status":"PROCESSED","output":{"value":{"n":1}}}],`
	if !strings.HasPrefix(string(got), want) {
		t.Errorf("got %s", got)
	}
}

func TestAsRun(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status               Status
		output               bool
		reason, message, why string
	}{
		{StatusPending, false, "", "", ""},
		{StatusProcessing, false, "", "", ""},
		{StatusNeedsReview, false, "", "", ""},
		{StatusProcessed, true, "", "", ""},
		{StatusFailed, true, "", "", ""}, // the part that there is
		{StatusRejected, false, "REJECTED", "Not ours", ""},
		{StatusCancelled, false, "", "", ""},
	} {
		w, err := Parse[WorkflowRun](workflowRunJSON(string(c.status), `,"edited":true,"output":{"value":{}}`, ``))
		if err != nil {
			t.Fatal(err)
		}
		run, err := w.AsRun()
		if err != nil {
			t.Fatal(err)
		}
		if run.ID != "workflow_run_1" || run.ProcessorID != "workflow_1" || run.Type != TypeWorkflow || run.Status != c.status || !run.Reviewed || !run.Edited ||
			run.Usage.Credits != "31.50" || string(run.Metadata) != `{"a":1}` || len(run.FileNames()) != 1 || run.FileNames()[0] != "a.doc_1.pdf" || run.URL == "" {
			t.Errorf("%s: %+v", c.status, run)
		}
		if (run.Output != nil) != c.output || run.FailureReason != c.reason || run.FailureMessage != c.message {
			t.Errorf("%s: output %s, %q, %q", c.status, run.Output, run.FailureReason, run.FailureMessage)
		}
	}
}

// A result of which a part can't be read is none. What else can't be read is as absent.
func TestAWorkflowRunThatCantBeRead(t *testing.T) {
	t.Parallel()
	whole := workflowRunJSON("PROCESSED", `,"output":{}`, ``)
	for _, c := range []struct {
		run    json.RawMessage
		reason string
	}{
		{workflowRunJSON("PROCESSED", `,"output":{"value":NaN}`, ``), "outputs[0]: run dpr_1: output: NaN"},
		{workflowRunJSON("PROCESSED", ``, `,"output":01`), "stepRuns[0]: output: "},
		{json.RawMessage(strings.Replace(string(whole), `"stepRuns":[`, `"stepRuns":"none","was":[`, 1)), "stepRuns: "},
		{json.RawMessage(strings.Replace(string(whole), `"stepRuns":[`, `"stepRuns":[null,`, 1)), "stepRuns[0]: "},
	} {
		run, err := Parse[WorkflowRun](c.run)
		if err == nil {
			_, err = run.AsRun()
		}
		e, ok := errors.AsType[*UnreadableError](err)
		if !ok || e.RunID != "workflow_run_1" || e.Status != StatusProcessed || string(e.Metadata) != `{"a":1}` || len(e.Body) == 0 || !strings.Contains(e.Reason, c.reason) {
			t.Errorf("%v, want %s", err, c.reason)
		}
	}
	run, err := Parse[WorkflowRun](workflowRunJSON("PROCESSED", `,"processorName":nothing,"output":{}`, ``))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := run.Result(); err != nil || !strings.HasPrefix(string(got), `{"outputs":[{"id":"dpr_1","status":"PROCESSED","output":{}}],`) {
		t.Errorf("%s, %v", got, err)
	}
}
