package fakeextend

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// A NewRun is a run that somebody else in the same workspace makes, in the
// dashboard or through the API with a key of their own. They can write anything
// that the API takes, so also metadata and a file name copied from another run.
type NewRun struct {
	ProcessorID string // or the id of a workflow
	Version     string // "" means latest
	FileName    string
	FileURL     string          // where the file is fetched, or
	Content     []byte          // what it holds
	Metadata    json.RawMessage // nil sends none
	Priority    int             // 0 means 50
	Source      string          // as lists filter by it, such as STUDIO; "" means API
	Fate        Fate
}

// AddRun makes a run as somebody else would. It is in GET and in lists, and it is
// delivered like any other; it counts neither as a POST nor as paid by us.
func (s *Server) AddRun(n NewRun) (id string, err error) {
	if (n.FileURL == "") == (n.Content == nil) {
		return "", errors.New("fakeextend: a run needs a FileURL or Content, not both")
	}
	req := &createRequest{
		processorID: n.ProcessorID, version: cmp.Or(n.Version, "latest"),
		fileName: cmp.Or(n.FileName, "file"), fileURL: n.FileURL, priority: cmp.Or(n.Priority, defaultPriority),
	}
	if n.FileURL != "" {
		if err := checkURL(n.FileURL); err != nil {
			return "", fmt.Errorf("fakeextend: FileURL: %w", err)
		}
	}
	if n.Metadata != nil {
		var ok bool
		if req.metadata, ok = cleanTags(slices.Clone(n.Metadata)); !ok || len(n.Metadata) > maxMetadataBytes {
			return "", errors.New("fakeextend: Metadata is no JSON object that the API takes")
		}
	}
	source := cmp.Or(n.Source, sourceAPI)
	if !slices.Contains(sources, source) {
		return "", fmt.Errorf("fakeextend: Source %q is not known", source)
	}
	if strings.HasPrefix(n.ProcessorID, "workflow_") {
		return s.addWorkflowRun(n, req)
	}
	r := &run{fate: n.Fate, source: source, other: true, baseURL: s.opts.PayloadBaseURL}
	if n.Content != nil {
		r.given = inspect(req.fileName, n.Content)
	}
	_, r, ref := s.begin(req, r, Change{})
	if ref != nil {
		return "", ref.err()
	}
	return r.id, nil
}

// addWorkflowRun is AddRun of a workflow, in its newest version.
func (s *Server) addWorkflowRun(n NewRun, req *createRequest) (id string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ref := s.refuseOverPlan(); ref != nil {
		return "", ref.err()
	}
	w := s.workflows[n.ProcessorID]
	if w == nil {
		return "", notFound("Workflow").err()
	}
	version, _ := w.version("")
	x := &exchange{s: s, r: &http.Request{}, fault: Fault{Fate: n.Fate}}
	r := &workflowRun{
		job:      s.newJob(x, workflowRunKind, "workflow_run_", pending, req.priority, input{name: req.fileName, fileURL: req.fileURL, rawText: string(n.Content)}),
		workflow: w, version: version, other: true, name: req.fileName,
	}
	r.baseURL, r.metadata, r.took = s.opts.PayloadBaseURL, req.metadata, s.opts.WorkflowTime
	s.startJob(r)
	return r.id, nil
}

// Send delivers any body to the webhook endpoint, once, rightly signed, as the
// dashboard's test button does; see [Pings]. It returns the status of the answer.
func (s *Server) Send(ctx context.Context, body []byte) (int, error) {
	s.mu.Lock()
	to := s.webhook
	s.mu.Unlock()
	if to.url == "" {
		return 0, errors.New("fakeextend: there is no webhook endpoint")
	}
	try := s.post(ctx, to, DeliveryFault{}, body)
	if try.Err != "" {
		return 0, fmt.Errorf("fakeextend: %s", try.Err)
	}
	return try.Status, nil
}
