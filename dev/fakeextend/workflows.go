package fakeextend

import (
	"cmp"
	"slices"
	"strconv"
	"time"
)

// A Workflow is one that the account has: a series of steps. They are made in the
// dashboard; one that a request makes has none.
type Workflow struct {
	ID       string   // workflow_…
	Name     string   // "" takes the ID
	Versions []string // that are deployed, oldest first, such as "1", "2"

	// Processors are the ids of those that a document goes through, in their order.
	// The id of one that is not there fails each run with INVALID_WORKFLOW.
	Processors []string
	// Rules are the names of the rules of a step that checks them; none: no such step.
	Rules []string
	// External is a step in which an endpoint of the customer's looks at the outputs.
	External bool
	// Review has every run ask a person, whatever its fate; see [Fate.Review].
	Review bool

	// Subscribed says that the workflow has a webhook subscription. Without one, its
	// runs end silently.
	Subscribed bool
	// ProcessorEvents has the runs of its processors send the events that runs of the
	// API send, where the processor is Subscribed. Whether they do is not published.
	ProcessorEvents bool
}

// A Review is what a person says of a workflow run that needs one.
type Review struct {
	By     string // an email address; "" takes one that is made up
	Reject bool
	Note   string // of a rejection
}

// version turns the version of a request into one of the workflow.
func (w *Workflow) version(number string) (string, bool) {
	switch {
	case number == draft:
		return draft, true
	case number == "" && len(w.Versions) == 0:
		return draft, true
	case number == "":
		return w.Versions[len(w.Versions)-1], true
	}
	return number, slices.Contains(w.Versions, number)
}

// workflowShape is a workflow in one of its versions. The caller holds mu.
func (s *Server) workflowShape(w *Workflow, version string) []byte {
	o := s.shape("workflow", w.ID)
	o.text("version", version).text("name", w.Name)
	return o.done()
}

// createWorkflow answers POST /workflows.
func (x *exchange) createWorkflow() ([]byte, *refusal) {
	fields, ref := x.fields()
	if ref != nil {
		return nil, ref
	}
	name := textField(fields, "name")
	if name == "" {
		return nil, invalid("Expected string; Path: name")
	}
	s := x.s
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.addWorkflow(Workflow{ID: s.id("workflow_", idLength, strconv.Itoa(len(s.workflows)+1)), Name: name, Subscribed: s.opts.SubscribeCreated})
	x.id = w.ID
	object := s.workflowShape(w, draft)
	s.accountEvent(x.r, "workflow.created", w.ID, object)
	return x.answer(object), nil
}

// addWorkflow gives the account a workflow. The caller holds mu, or nobody else
// knows of s.
func (s *Server) addWorkflow(w Workflow) *Workflow {
	w.Name = cmp.Or(w.Name, w.ID)
	s.workflows[w.ID] = &w
	return &w
}

// rules is the output of a step that checks rules: all hold but the last of
// several.
func (s *Server) rules(names []string) []byte {
	var rules [][]byte
	for i, name := range names {
		var o object
		o.text("name", name)
		if i == len(names)-1 && i > 0 {
			o.flag("valid", false).raw("validArray", []byte(`["true", "false"]`)).text("failureReason", "RULE_FAILED").raw("error", null)
		} else {
			o.flag("valid", true).raw("validArray", null)
		}
		rules = append(rules, s.extra(&o).bytes())
	}
	var o object
	return o.raw("rules", list(rules)).bytes()
}

// A stepRun is a step of a workflow run that is no processor.
type stepRun struct {
	id, status         string
	stepID, name, kind string
	output             []byte
}

func (s *Server) stepShape(r stepRun) []byte {
	o := s.shape("workflow_step_run", r.id)
	o.text("status", r.status)
	var step object
	o.raw("step", s.extra(step.text("object", "workflow_step").text("id", r.stepID).text("name", r.name).text("type", r.kind)).bytes())
	o.maybe("output", r.output)
	return o.done()
}

// ReviewWorkflowRun is a person who looks at a workflow run that needs a review, or who
// changes the mind about one that was reviewed, which is our reading.
func (s *Server) ReviewWorkflowRun(id string, review Review) error {
	s.mu.Lock()
	w, ref := s.findJob(id, workflowRunKind)
	if ref == nil && w.base().status != needsReview && !w.(*workflowRun).reviewed {
		ref = invalid("Only a run that is %s can be reviewed; this one is %s.", needsReview, w.base().status)
	}
	s.mu.Unlock()
	if ref != nil {
		return ref.err()
	}
	s.review(w.(*workflowRun), review)
	return nil
}

// review ends a run as a person says.
func (s *Server) review(r *workflowRun, review Review) {
	s.mu.Lock()
	if r.deleted || r.status != needsReview && !r.reviewed {
		s.mu.Unlock()
		return // somebody else was faster
	}
	s.turn(r)
	r.reviewed, r.reviewedBy, r.reviewedAt, r.note = true, cmp.Or(review.By, "reviewer@example.com"), time.Now(), review.Note
	r.status, r.endedAt = processed, time.Now()
	if review.Reject {
		r.status = rejected
	}
	s.stop(&r.job)
	ev := r.ended(s)
	s.mu.Unlock()
	s.step(Step{Kind: RunFinished, RunID: r.id, FileName: r.file.name, Detail: r.status})
	s.launch(ev)
}
