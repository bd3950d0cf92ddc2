package extend

import (
	"bytes"
	"encoding/json"
	"fmt"

	"extend-intake/shared/extend/internal/loose"
)

// The members that make up the result of a processor's run, of a step's run, and of its step. The others are left out: some
// differ in every answer, such as the links to files.
var (
	outputMembers = []string{"id", "processorId", "processorVersionId", "processorName", "type", "status", "reviewed", "edited", "output", "failureReason", "failureMessage"}
	stepMembers   = []string{"id", "status", "step", "output"}
	ofStep        = []string{"id", "name", "type"}
)

// Result is what the run's processors and steps have found, in the API's order:
//
//	{"outputs": [{"id": "dpr_…", "processorId": "dp_…", "output": {…}, …}], "stepRuns": [{"id": "…", "step": {…}, "output": {…}, …}]}
//
// Each member is the bytes as received, so that numbers stay exact; one that is null, or no JSON, is left out as one that is
// absent. But an output that is no JSON, or a list that is none, is an error, an [*UnreadableError]: a result that lacks a part
// would look complete.
func (r *WorkflowRun) Result() (json.RawMessage, error) {
	run, err := loose.SplitObject(r.Raw)
	var outputs, steps []byte
	if err == nil {
		outputs, err = pickEach(run, "outputs", outputMembers)
	}
	if err == nil {
		steps, err = pickEach(run, "stepRuns", stepMembers)
	}
	if err != nil {
		return nil, &UnreadableError{RunID: r.ID, Status: r.Status, Metadata: r.Metadata, Body: r.Raw, Reason: err.Error()}
	}
	return fmt.Appendf(nil, `{"outputs":[%s],"stepRuns":[%s]}`, outputs, steps), nil
}

// pickEach returns these members of each object of a list, with commas between the objects.
func pickEach(o loose.Object, list string, members []string) ([]byte, error) {
	if !o.Has(list) {
		return nil, nil
	}
	elements, err := loose.SplitList(o[list])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", list, err)
	}
	var picked [][]byte
	for i, element := range elements {
		object, err := pick(element, members)
		if err != nil {
			return nil, fmt.Errorf("%s[%d]: %w", list, i, err)
		}
		picked = append(picked, object)
	}
	return bytes.Join(picked, []byte(",")), nil
}

// pick returns an object with these of its members.
func pick(object []byte, members []string) ([]byte, error) {
	o, err := loose.SplitObject(object)
	if err != nil {
		return nil, err
	}
	var picked [][]byte
	for _, name := range members {
		value := o.Raw(name)
		switch {
		case !o.Has(name):
			continue
		case name == "output" && value == nil:
			return nil, fmt.Errorf("output: %s", whyInvalid(o[name]))
		case name == "step":
			value, _ = pick(value, ofStep) // what is no object is as absent
		}
		if value != nil {
			picked = append(picked, fmt.Appendf(nil, "%q:%s", name, value))
		}
	}
	return fmt.Appendf(nil, "{%s}", bytes.Join(picked, []byte(","))), nil
}

// TypeWorkflow is the Type of a [Run] that stands for a run of a workflow.
const TypeWorkflow RunType = "WORKFLOW"

// AsRun is the run as one of a processor, for code that takes both. Its ProcessorID is the workflow's id. Its Output is
// [WorkflowRun.Result] of a run that is PROCESSED, and of one that is FAILED the part that there is. A rejection has the
// FailureReason REJECTED and the person's note as its FailureMessage. Its error is that of Result.
func (r *WorkflowRun) AsRun() (_ *Run, err error) {
	run := &Run{
		ID: r.ID, ProcessorID: r.Workflow.ID, ProcessorName: r.Workflow.Name, Type: TypeWorkflow, Status: r.Status,
		FailureReason: r.FailureReason, FailureMessage: r.FailureMessage,
		Metadata: r.Metadata, Reviewed: r.Reviewed, URL: r.URL, Usage: r.Usage, Object: r.Object, Received: r.Received,
	}
	if o, err := loose.SplitObject(r.Raw); err == nil {
		run.Files = o.Raw("files")
	}
	for _, output := range r.Outputs {
		run.Edited = run.Edited || output.Edited
	}
	switch r.Status {
	case StatusRejected:
		run.FailureReason, run.FailureMessage = string(StatusRejected), r.RejectionNote
	case StatusProcessed, StatusFailed:
		if run.Output, err = r.Result(); err != nil {
			return nil, err
		}
	}
	return run, nil
}
