package fakeextend

import (
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The statuses that only workflow runs have.
const (
	needsReview = "NEEDS_REVIEW"
	rejected    = "REJECTED"
	cancelling  = "CANCELLING"
)

const (
	workflowRunKind = "workflow_run"
	batchPriority   = 90
)

// A workflowRun is a document on its way through a workflow.
type workflowRun struct {
	job
	workflow   *Workflow
	version    string
	other      bool // made by AddRun
	name       string
	batchID    string
	provided   map[string]json.RawMessage // outputs that the request said, by processor
	outputs    []*run
	steps      []stepRun
	reviewed   bool
	reviewedBy string
	reviewedAt time.Time
	note       string // of a rejection
}

// A workflowRequest is what the runs of a request have in common.
type workflowRequest struct {
	workflow *Workflow
	version  string
	batchID  string
	priority int
}

// parseWorkflow reads which workflow a request is for. The caller holds mu.
func (s *Server) parseWorkflow(fields map[string]json.RawMessage) (workflowRequest, *refusal) {
	w := s.workflows[textField(fields, "workflowId")]
	if w == nil {
		return workflowRequest{}, notFound("Workflow")
	}
	version, ok := w.version(textField(fields, "version"))
	if !ok {
		return workflowRequest{}, notFound("Workflow version")
	}
	s.batchesMade++
	priority := defaultPriority
	if raw, given := fields["priority"]; given {
		n, _ := strconv.ParseFloat(string(raw), 64) // the schema has seen it
		priority = int(n)
	} else if fields["inputs"] != nil {
		priority = batchPriority
	}
	return workflowRequest{w, version, s.id("batch_", idLength, strconv.Itoa(s.batchesMade)), priority}, nil
}

// A document is one of a request that starts runs.
type document struct {
	input    input
	metadata json.RawMessage
	provided map[string]json.RawMessage
}

// createWorkflowRuns answers POST /workflow_runs. Two equal requests make twice as
// many runs.
func (x *exchange) createWorkflowRuns() ([]byte, *refusal) {
	fields, ref := x.fields()
	if ref != nil {
		return nil, ref
	}
	metadata, ref := checkMetadata(fields["metadata"])
	if ref != nil {
		return nil, ref
	}
	var files []json.RawMessage
	var texts []string
	if fields["files"] != nil && fields["rawTexts"] != nil {
		return nil, invalid("Only one of `files` and `rawTexts` may be provided.")
	}
	_ = json.Unmarshal(fields["files"], &files) // the schema has seen both
	_ = json.Unmarshal(fields["rawTexts"], &texts)
	if len(files)+len(texts) == 0 {
		return nil, invalid("At least one document is needed; Path: files")
	}
	s := x.s
	s.mu.Lock()
	defer s.mu.Unlock()
	var documents []document
	for i, raw := range files {
		in, ref := parseInput("files["+strconv.Itoa(i)+"]", raw)
		if ref != nil {
			return nil, ref
		}
		provided, ref := s.parseProvided("files["+strconv.Itoa(i)+"].outputs", raw)
		if ref != nil {
			return nil, ref
		}
		documents = append(documents, document{in, metadata, provided})
	}
	for _, text := range texts {
		documents = append(documents, document{input{name: "raw_text.txt", rawText: text}, metadata, nil})
	}
	runs, ref := x.startWorkflowRuns(fields, documents)
	if ref != nil {
		return nil, ref
	}
	var shown [][]byte
	for _, r := range runs {
		shown = append(shown, r.fate.Changes[InAnswers].apply(r.show(s, x)))
	}
	return x.whole(shown), nil
}

// startWorkflowRuns makes a run of each document, or none. The caller holds mu.
func (x *exchange) startWorkflowRuns(fields map[string]json.RawMessage, documents []document) ([]*workflowRun, *refusal) {
	s := x.s
	for _, d := range documents {
		if ref := s.checkInput(d.input); ref != nil {
			return nil, ref
		}
	}
	if ref := s.refuseOverPlan(); ref != nil {
		return nil, ref
	}
	req, ref := s.parseWorkflow(fields)
	if ref != nil {
		return nil, ref
	}
	var runs []*workflowRun
	for _, d := range documents {
		r := &workflowRun{job: s.newJob(x, workflowRunKind, "workflow_run_", pending, req.priority, d.input), workflow: req.workflow, version: req.version, batchID: req.batchID, provided: d.provided}
		r.name, r.metadata, r.took = r.file.name, d.metadata, s.opts.WorkflowTime
		runs = append(runs, r)
	}
	x.id, x.told = runs[0].id, runs[0].told
	for _, r := range runs {
		s.startJob(r)
	}
	return runs, nil
}

// parseProvided reads the outputs that are said of a document. The caller holds mu.
func (s *Server) parseProvided(at string, file json.RawMessage) (map[string]json.RawMessage, *refusal) {
	var f struct {
		Outputs []struct {
			ProcessorID string
			Output      json.RawMessage
		}
	}
	_ = json.Unmarshal(file, &f) // the schema has seen it
	provided := map[string]json.RawMessage{}
	for _, o := range f.Outputs {
		p := s.processors[o.ProcessorID]
		if p == nil {
			return nil, notFound("Processor")
		}
		if ref := checkProvided(at, o.Output, p.Type); ref != nil {
			return nil, ref
		}
		provided[o.ProcessorID] = o.Output
	}
	return provided, nil
}

// createWorkflowRunBatch answers POST /workflow_runs/batch.
func (x *exchange) createWorkflowRunBatch() ([]byte, *refusal) {
	fields, ref := x.fields()
	if ref != nil {
		return nil, ref
	}
	var inputs []map[string]json.RawMessage
	_ = json.Unmarshal(fields["inputs"], &inputs) // the schema has seen it
	var documents []document
	for i, in := range inputs {
		at := "inputs[" + strconv.Itoa(i) + "]"
		if (in["file"] == nil) == (in["rawText"] == nil) {
			return nil, invalid("One of `file` and `rawText` must be provided, and only one; Path: %s", at)
		}
		d := document{input: input{name: "raw_text.txt", rawText: textField(in, "rawText")}}
		if in["file"] != nil {
			if d.input, ref = parseInput(at+".file", in["file"]); ref != nil {
				return nil, ref
			}
		}
		if d.metadata, ref = checkMetadata(in["metadata"]); ref != nil {
			return nil, ref
		}
		documents = append(documents, d)
	}
	s := x.s
	s.mu.Lock()
	defer s.mu.Unlock()
	runs, ref := x.startWorkflowRuns(fields, documents)
	if ref != nil {
		return nil, ref
	}
	return x.answer(quote(runs[0].batchID)), nil
}

// getWorkflowRun answers GET /workflow_runs/{workflowRunId}.
func (x *exchange) getWorkflowRun() ([]byte, *refusal) { return x.getJob(workflowRunKind) }

// listWorkflowRuns answers GET /workflow_runs.
func (x *exchange) listWorkflowRuns() ([]byte, *refusal) {
	s := x.s
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	var found []listed
	for _, w := range s.jobs {
		r, ok := w.(*workflowRun)
		if ok && !r.deleted && !now.Before(r.createdAt.Add(r.fate.ListLag)) &&
			x.equal("status", r.status) && x.equal("workflowId", r.workflow.ID) && x.equal("batchId", r.batchID) &&
			strings.Contains(r.file.name, x.query["fileNameContains"]) {
			show := func() []byte { return r.fate.Changes[InList].apply(r.summary(s)) }
			found = append(found, listed{r.createdAt, r.updatedAt, r.n, show})
		}
	}
	return x.page(found)
}

// findWorkflowRun returns the run that the path names. The caller holds mu.
func (x *exchange) findWorkflowRun() (*workflowRun, *refusal) {
	w, ref := x.s.findJob(x.id, workflowRunKind)
	if ref != nil {
		return nil, ref
	}
	return w.(*workflowRun), nil
}

// updateWorkflowRun answers POST /workflow_runs/{workflowRunId}. That a run which
// has ended is refused, and that metadata is merged one level deep, is our reading.
func (x *exchange) updateWorkflowRun() ([]byte, *refusal) {
	fields, ref := x.fields()
	if ref != nil {
		return nil, ref
	}
	s := x.s
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ref := x.findWorkflowRun()
	if ref != nil {
		return nil, ref
	}
	if !r.endedAt.IsZero() {
		return nil, invalid("Only a run in progress can be changed; this one is %s.", r.status)
	}
	metadata, ref := checkMetadata(merged(r.metadata, fields["metadata"]))
	if ref != nil {
		return nil, ref
	}
	s.turn(r)
	r.metadata = metadata
	r.name = cmp.Or(textField(fields, "name"), r.name)
	return x.answer(r.show(s, x)), nil
}

// cancelWorkflowRun answers POST /workflow_runs/{workflowRunId}/cancel. The run is
// CANCELLING for [Options.CancelTime], and no event tells of it.
func (x *exchange) cancelWorkflowRun() ([]byte, *refusal) {
	s := x.s
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ref := x.findWorkflowRun()
	if ref != nil {
		return nil, ref
	}
	if r.status != pending && r.status != processing {
		return nil, invalid("Only a run that is PENDING or PROCESSING can be cancelled; this one is %s.", r.status)
	}
	s.turn(r)
	r.status = cancelling
	s.stop(&r.job)
	s.background(func() {
		if !pause(s.ctx, s.opts.CancelTime) {
			return
		}
		s.mu.Lock()
		s.turn(r)
		r.status, r.endedAt = cancelled, time.Now()
		s.mu.Unlock()
		s.step(Step{Kind: RunFinished, RunID: r.id, FileName: r.file.name, Detail: cancelled})
	})
	return x.answer(r.fate.Changes[InAnswers].apply(r.show(s, x))), nil
}

// deleteWorkflowRun answers DELETE /workflow_runs/{workflowRunId}.
func (x *exchange) deleteWorkflowRun() ([]byte, *refusal) {
	if ref := x.s.deleteJob(x.id, workflowRunKind); ref != nil {
		return nil, ref
	}
	return x.gone("Workflow run"), nil
}

// correctWorkflowRunOutput answers POST /workflow_runs/{workflowRunId}/outputs/{outputId}:
// the run shows the output as one that a person has corrected. Of an extraction,
// the members that are given replace those that are there.
func (x *exchange) correctWorkflowRunOutput() ([]byte, *refusal) {
	fields, ref := x.fields()
	if ref != nil {
		return nil, ref
	}
	s := x.s
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ref := x.findWorkflowRun()
	if ref != nil {
		return nil, ref
	}
	i := slices.IndexFunc(r.outputs, func(output *run) bool { return output.id == x.ids[1] })
	if i < 0 {
		return nil, notFound("Output")
	}
	output := r.outputs[i]
	if ref := checkProvided("reviewedOutput", fields["reviewedOutput"], output.processor.Type); ref != nil {
		return nil, ref
	}
	s.turn(r)
	output.turn()
	if !output.reviewed() {
		output.initialOutput = output.output
	}
	output.reviewedOutput = s.completed(output, fields["reviewedOutput"])
	output.output = output.reviewedOutput
	return x.answer(r.show(s, x)), nil
}

// completed makes an output of what a caller said of one.
func (s *Server) completed(r *run, provided json.RawMessage) json.RawMessage {
	fields, _ := members(provided)
	switch {
	case r.processor.Type == Classify:
		return withDefaults(provided, "confidence", "1", "insights", "[]")
	case r.processor.Type == Splitter:
		var splits []json.RawMessage
		_ = json.Unmarshal(fields["splits"], &splits) // the schema has seen it
		var whole [][]byte
		for i, split := range splits {
			fileID := quote(s.id("file_", idLength, r.id, "split", strconv.Itoa(i)))
			whole = append(whole, withDefaults(split, "observation", `""`, "identifier", `""`, "fileId", string(fileID)))
		}
		return setMember(provided, "splits", list(whole))
	case fields["value"] == nil: // of a configuration with fields
		for _, m := range membersInOrder(provided) {
			field := dropMember(withDefaults(m.value(provided), "type", `"string"`, "references", "[]"), "page")
			provided = setMember(provided, m.name, field)
		}
		return provided
	}
	before, _ := members(r.output)
	var o object
	o.raw("value", merged(before["value"], fields["value"]))
	if metadata := before["metadata"]; metadata != nil {
		return o.raw("metadata", metadata).bytes()
	}
	return o.raw("metadata", []byte("{}")).bytes()
}

// withDefaults adds members that an object lacks: names and values in turn.
func withDefaults(object json.RawMessage, defaults ...string) json.RawMessage {
	for pair := range slices.Chunk(defaults, 2) {
		if _, ok := rawMember(object, pair[0]); !ok {
			object = setMember(object, pair[0], []byte(pair[1]))
		}
	}
	return object
}

// work takes the document through the steps, and to a person if one is asked.
func (r *workflowRun) work(s *Server) (status, reason, message string) {
	if err := s.runProcessors(r, len(r.workflow.Processors)); err != nil {
		return failed, "INVALID_WORKFLOW", err.Error()
	}
	if len(r.workflow.Rules) > 0 {
		s.addStep(r, stepRun{name: "Rules", kind: "RULE_VALIDATION", output: s.rules(r.workflow.Rules)})
	}
	if r.workflow.External {
		s.addStep(r, stepRun{name: "Customer's own", kind: "EXTERNAL_DATA_VALIDATION", output: []byte(`{"valid": true, "rate": 1.10}`)})
	}
	if !r.workflow.Review && r.fate.End != EndNeedsReview && r.fate.End != EndRejected {
		return processed, "", ""
	}
	s.mu.Lock()
	if r.ctx.Err() != nil {
		s.mu.Unlock()
		return "", "", ""
	}
	s.turn(r)
	r.status = needsReview
	ev := r.announce(s, "workflow_run.needs_review")
	s.mu.Unlock()
	s.step(Step{Kind: RunNeedsReview, RunID: r.id, FileName: r.file.name})
	s.launch(ev)
	if r.fate.Review > 0 && pause(r.ctx, r.fate.Review) {
		s.review(r, Review{Reject: r.fate.End == EndRejected, Note: "It was told to."})
	}
	return "", "", ""
}

// runProcessors takes a workflow run's document through its first n processors.
func (s *Server) runProcessors(r *workflowRun, n int) error {
	for _, id := range r.workflow.Processors[:min(n, len(r.workflow.Processors))] {
		if err := s.runStep(r, id); err != nil {
			return err
		}
	}
	return nil
}

// runStep makes the processor's run of a workflow run's document. It is one like
// any other, and found by its source; that it sends no events of its own, unless
// the workflow says so, is our reading.
func (s *Server) runStep(w *workflowRun, processorID string) error {
	s.mu.Lock()
	p := s.processors[processorID]
	if p == nil {
		s.mu.Unlock()
		return notFound("Processor").err()
	}
	number, _ := p.resolve("latest")
	now := time.Now()
	r := &run{
		n: len(s.runs) + 1, fileID: w.file.id, processor: p, version: number, versionID: s.versionID(p, number), fileName: w.file.name,
		file: w.file, content: w.file.content, ticket: w.ticket, metadata: w.metadata, config: p.config(number), source: "WORKFLOW_RUN", sourceID: w.id,
		other: true, baseURL: w.baseURL, createdAt: now, updatedAt: now, status: processing, ctx: w.ctx, cancel: func() {},
		finish: make(chan struct{}), told: make(chan struct{}), tell: func() {},
	}
	r.id = s.id("dpr_", idLength, strconv.Itoa(r.n))
	s.runs = append(s.runs, r)
	s.byID[r.id] = r
	w.outputs = append(w.outputs, r)
	s.mu.Unlock()

	output, err := s.output(r)
	s.mu.Lock()
	defer s.mu.Unlock()
	r.turn()
	switch provided := w.provided[processorID]; {
	case provided != nil:
		r.status, r.output = processed, s.completed(r, provided)
	case err != nil:
		r.status, r.failureReason, r.failureMessage = failed, postProcessingFailed, err.Error()
	default:
		r.status, r.output = processed, output
	}
	if w.workflow.ProcessorEvents {
		if ev := s.announce(r); ev != nil {
			// Not at the instant of what else the workflow does: on a simulated clock, that has no order.
			s.launchAfter(time.Duration(len(w.outputs))*time.Millisecond, ev)
		}
	}
	return nil
}

// addStep ends a step that is no processor. Its event has in turn the step's run
// and the workflow's, as the vendor's documents disagree.
func (s *Server) addStep(w *workflowRun, r stepRun) {
	const kind = "workflow_run.step_run.processed"
	s.mu.Lock()
	defer s.mu.Unlock()
	r.id, r.status = s.id("workflow_step_run_", idLength, w.id, strconv.Itoa(len(w.steps))), processed
	r.stepID = s.id("step_", idLength, r.name, r.kind)
	w.steps = append(w.steps, r)
	if !s.subscribed(kind) {
		return
	}
	payload := s.stepShape(r)
	if len(w.steps)%2 == 0 {
		payload = w.show(s, nil)
	}
	ev := s.jobEvent(w, kind, payload)
	s.launchAfter(time.Duration(len(w.steps))*time.Microsecond, ev)
}

// announce makes an event of the run, if the workflow has a subscription. The
// caller holds mu.
func (r *workflowRun) announce(s *Server, kind string) *event {
	if !r.workflow.Subscribed && !s.subscribed(kind) {
		return nil
	}
	return s.jobEvent(r, kind, r.show(s, nil))
}

func (r *workflowRun) ended(s *Server) *event {
	switch r.status {
	case processed:
		return r.announce(s, "workflow_run.completed")
	case failed:
		return r.announce(s, "workflow_run.failed")
	case rejected:
		return r.announce(s, "workflow_run.rejected")
	}
	return nil // no event tells of a cancelled run
}

func (r *workflowRun) show(s *Server, _ *exchange) []byte {
	o := s.shape(workflowRunKind, r.id)
	o.text("name", r.name).text("url", "https://dashboard.extend.ai/workflows/"+r.workflow.ID+"?workflowRunId="+r.id).text("status", r.status)
	metadata := r.metadata
	if metadata == nil {
		metadata = json.RawMessage("{}")
	}
	o.raw("metadata", metadata)
	o.maybeText("batchId", r.batchID)
	o.raw("files", list([][]byte{s.fileShape(r.file, nil, "")}))
	o.maybeText("failureReason", r.reason)
	o.maybeText("failureMessage", r.message)
	o.time("initialRunAt", r.createdAt)
	o.maybeText("reviewedBy", r.reviewedBy)
	o.flag("reviewed", r.reviewed)
	o.maybeText("rejectionNote", r.rejection())
	o.maybeTime("reviewedAt", r.reviewedAt)
	o.maybeTime("startTime", r.startedAt)
	o.maybeTime("endTime", r.endedAt)
	var outputs, steps [][]byte
	if r.status != pending {
		for _, output := range r.outputs {
			outputs = append(outputs, s.runObject(output))
		}
		for _, step := range r.steps {
			steps = append(steps, s.stepShape(step))
		}
	}
	o.raw("outputs", list(outputs)).raw("stepRuns", list(steps)).raw("workflow", s.workflowShape(r.workflow, r.version))
	o.credits(r.status == processed)
	return o.done()
}

// rejection is the note of a run that was rejected.
func (r *workflowRun) rejection() string {
	if r.status != rejected {
		return ""
	}
	return r.note
}

func (r *workflowRun) summary(s *Server) []byte {
	o := s.shape("", r.id)
	o.text("status", r.status)
	o.maybeTime("initialRunAt", r.createdAt)
	o.maybeText("reviewedByUser", r.reviewedBy)
	o.maybeTime("reviewedAt", r.reviewedAt)
	o.maybeTime("startTime", r.startedAt)
	o.maybeTime("endTime", r.endedAt)
	o.text("workflowId", r.workflow.ID).text("workflowName", r.workflow.Name).
		text("workflowVersionId", s.id("workflow_version_", idLength, r.workflow.ID, r.version))
	o.maybeText("batchId", r.batchID)
	o.maybeText("rejectionNote", r.rejection())
	o.time("createdAt", r.createdAt)
	o.time("updatedAt", r.updatedAt)
	o.credits(r.status == processed)
	return o.done()
}
