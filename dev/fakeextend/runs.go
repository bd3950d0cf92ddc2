package fakeextend

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// The statuses of a run.
const (
	pending    = "PENDING"
	processing = "PROCESSING"
	processed  = "PROCESSED"
	failed     = "FAILED"
	cancelled  = "CANCELLED"
)

var null = []byte("null")

// A run is a processor run. Its fields are guarded by Server.mu, save those
// that never change after create.
type run struct {
	n         int // 1 for the first run
	id        string
	fileID    string
	processor *processor
	version   string
	versionID string
	fileName  string
	fileURL   string
	uploaded  *file // nil: it is fetched, or a text
	file      *file
	rawText   string
	ticket    *ticket
	metadata  json.RawMessage // nil: none was sent
	config    json.RawMessage
	fate      Fate
	source    string // API, STUDIO and so on
	sourceID  string // of what made it, if not a person
	other     bool   // made by AddRun
	given     *content
	baseURL   string // where the run was created
	createdAt time.Time

	ctx    context.Context // over when the run has ended
	cancel context.CancelFunc
	finish chan struct{} // closed by FinishRun
	told   chan struct{} // closed after the first try of the first delivery
	tell   func()        // closes told; once

	before         *run // as it was before its last change; nil at first
	status         string
	updatedAt      time.Time
	deleted        bool
	finishAsked    bool
	fetches        int
	fetchedAt      time.Time
	content        *content // nil until the file is there
	output         json.RawMessage
	initialOutput  json.RawMessage // these two only once reviewed
	reviewedOutput json.RawMessage
	failureReason  string
	failureMessage string
	events         []*event
}

// createRun answers POST /processor_runs. Two equal requests make two runs: the
// API has no idempotency key, and a header of that name is ignored.
func (x *exchange) createRun() ([]byte, *refusal) {
	req, ref := parseCreate(x.r.Header, x.body)
	if ref != nil {
		return nil, ref
	}
	answer, r, ref := x.s.begin(req, &run{fate: x.fault.Fate, source: sourceAPI, baseURL: baseURL(x.r)}, x.fault.ChangeRuns)
	if ref != nil {
		return nil, ref
	}
	x.told, x.id = r.told, r.id
	x.s.mu.Lock()
	x.post.RunID = r.id
	x.s.mu.Unlock()
	if !req.sync {
		return answer, nil
	}
	timer := time.NewTimer(syncTimeout)
	defer timer.Stop()
	select {
	case <-r.ctx.Done():
	case <-timer.C: // the answer then shows the run as it is; that is our reading
	case <-x.r.Context().Done():
	}
	x.s.mu.Lock()
	defer x.s.mu.Unlock()
	return x.s.runAnswer(r, InAnswers, x.fault.ChangeRuns), nil
}

// begin makes a run of a request whose members are right, and returns the
// answer. Of r, it takes what the request does not say.
func (s *Server) begin(req *createRequest, r *run, change Change) ([]byte, *run, *refusal) {
	s.mu.Lock()
	p, uploaded, ref := s.inputsOf(req)
	if ref != nil {
		s.mu.Unlock()
		return nil, nil, ref
	}
	version, _ := p.resolve(req.version)
	if req.config == nil {
		req.config = p.config(version)
	}
	if s.closed {
		s.mu.Unlock()
		return nil, nil, &refusal{status: http.StatusServiceUnavailable, message: "The fake is closed."}
	}
	now := time.Now()
	if ref := s.refuseOverPlan(); ref != nil {
		s.mu.Unlock()
		return nil, nil, ref
	}
	for _, name := range req.unknown {
		s.unknown[name]++
	}
	r.n = len(s.runs) + 1
	r.id = s.id("dpr_", idLength, strconv.Itoa(r.n))
	r.fileID = cmp.Or(req.fileID, s.id("file_", idLength, strconv.Itoa(r.n)))
	r.processor, r.version, r.versionID = p, version, s.versionID(p, version)
	r.fileName, r.fileURL, r.uploaded, r.rawText = req.fileName, req.fileURL, uploaded, req.rawText
	r.metadata, r.config = req.metadata, req.config
	r.ticket = &ticket{req.priority, make(chan struct{})}
	r.createdAt, r.updatedAt, r.status = now, now, processing
	r.finish, r.told = make(chan struct{}), make(chan struct{})
	if r.fileName == "" {
		r.fileName = uploaded.name
	}
	if r.file = uploaded; uploaded == nil {
		r.file = s.addFile(r.fileID, r.fileName)
	}
	r.tell = sync.OnceFunc(func() { close(r.told) })
	r.ctx, r.cancel = context.WithCancel(s.ctx)
	s.runs = append(s.runs, r)
	s.byID[r.id] = r
	if !s.admit(r.ticket, now) || r.fate.Pending > 0 {
		r.status = pending
	}
	answer := s.runAnswer(r, InAnswers, change)
	status := r.status
	s.mu.Unlock()

	s.step(Step{Kind: RunCreated, RunID: r.id, FileName: r.fileName, Status: http.StatusOK, Detail: status})

	s.mu.Lock()
	s.background(func() { s.process(r) })
	s.mu.Unlock()
	return answer, r, nil
}

// inputsOf finds what a request names: the processor, and the file unless it is
// fetched or a text. The caller holds mu.
func (s *Server) inputsOf(req *createRequest) (*processor, *file, *refusal) {
	p, uploaded := s.processors[req.processorID], s.files[req.fileID]
	if p == nil {
		return nil, nil, notFound("Processor")
	}
	if _, ok := p.resolve(req.version); !ok {
		return nil, nil, notFound("Processor version")
	}
	if req.fileID != "" && uploaded == nil {
		return nil, nil, notFound("File")
	}
	return p, uploaded, checkConfig(req.config, p.Type)
}

// checkConfig holds a configuration against the processor's type, the members that
// the type requires, and the contract.
func checkConfig(config json.RawMessage, processorType string) *refusal {
	if config == nil {
		return nil
	}
	fields, _ := members(config)
	if t, _ := text(fields["type"]); t != processorType {
		return invalid("Expected %s, the type of the processor; Path: config.type", processorType)
	}
	has := func(names ...string) bool {
		return slices.ContainsFunc(names, func(name string) bool { return fields[name] != nil })
	}
	switch {
	case processorType == Extract && !has("schema", "fields"):
		return invalid("One of `schema` or `fields` must be provided; Path: config")
	case processorType == Classify && !has("classifications"):
		return invalid("Required; Path: config.classifications")
	case processorType == Splitter && !has("splitClassifications"):
		return invalid("Required; Path: config.splitClassifications")
	case !fits(config, "ProcessorConfig"):
		return invalid("Unknown or wrong members; Path: config")
	}
	return nil
}

func baseURL(r *http.Request) string {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	return scheme + "://" + r.Host
}

// find returns a run that a request may see. The caller holds mu.
func (s *Server) find(id string) (*run, *refusal) {
	r := s.byID[id]
	if r == nil || r.deleted {
		return nil, notFound("Processor run")
	}
	return r, nil
}

// getRun answers GET /processor_runs/{id}, with an older state if the fault or the
// run's fate says so.
func (x *exchange) getRun() ([]byte, *refusal) {
	s := x.s
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ref := s.find(x.id)
	if ref != nil {
		return nil, ref
	}
	view := x.fault.View
	if view == ViewNow && time.Now().Before(r.updatedAt.Add(r.fate.ReadLag)) {
		view = cmp.Or(r.fate.ReadView, ViewBefore)
	}
	seen := r.seen(view)
	if seen == nil {
		x.fault.Status, x.fault.Message = http.StatusNotFound, notFound("Processor run").message
		return nil, nil
	}
	return s.runAnswer(seen, InGet, x.fault.ChangeRuns), nil
}

// listRuns answers GET /processor_runs.
func (x *exchange) listRuns() ([]byte, *refusal) {
	s := x.s
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	var found []listed
	for _, r := range s.runs {
		if r.listed(now) && x.wants(r) {
			show := func() []byte { return r.fate.Changes[InList].apply(s.summary(r)) }
			found = append(found, listed{r.createdAt, r.updatedAt, r.n, show})
		}
	}
	return x.page(found)
}

// listed reports whether lists show the run at all.
func (r *run) listed(now time.Time) bool {
	return !r.deleted && !now.Before(r.createdAt.Add(r.fate.ListLag))
}

// wants holds a run against the filters of a list.
func (x *exchange) wants(r *run) bool {
	return x.equal("status", r.status) &&
		x.equal("processorId", r.processor.ID) &&
		x.equal("processorType", r.processor.Type) &&
		x.equal("source", r.source) &&
		x.equal("sourceId", r.sourceID) &&
		strings.Contains(r.fileName, x.query["fileNameContains"]) // case-sensitive: the stricter reading
}

func (s *Server) summary(r *run) []byte {
	var o object
	o.text("id", r.id).text("status", r.status).
		text("processorId", r.processor.ID).text("processorName", r.processor.Name).
		text("processorVersionId", r.versionID).text("type", r.processor.Type).
		text("createdAt", spelled(r.createdAt, r.n)).text("updatedAt", spelled(r.updatedAt, r.n+1))
	s.usage(&o, r)
	return s.extra(&o).bytes()
}

// seen is the run in one of its states; nil means that it is missing.
func (r *run) seen(view View) *run {
	switch view {
	case ViewBefore:
		return cmp.Or(r.before, r)
	case ViewPending, ViewProcessing:
		old := *r
		old.status = pending
		if view == ViewProcessing {
			old.status = processing
		}
		old.updatedAt = r.createdAt
		old.output, old.initialOutput, old.reviewedOutput = nil, nil, nil
		old.failureReason, old.failureMessage = "", ""
		return &old
	case ViewMissing:
		return nil
	}
	return r
}

// turn keeps the run as it is, for it is about to change. The caller holds mu.
func (r *run) turn() {
	old := *r
	old.before = nil
	r.before = &old
	r.updatedAt = time.Now()
}

// cancelRun answers POST /processor_runs/{id}/cancel.
func (x *exchange) cancelRun() ([]byte, *refusal) { return x.s.cancelRun(x.id, x.fault.ChangeRuns) }

// deleteRun answers DELETE /processor_runs/{id}.
func (x *exchange) deleteRun() ([]byte, *refusal) { return x.s.deleteRun(x.id) }

// cancelRun cancels a run in PROCESSING. No event tells of it: this API version
// has none. That other statuses get a 400 is our reading.
func (s *Server) cancelRun(id string, change Change) ([]byte, *refusal) {
	s.mu.Lock()
	r, ref := s.find(id)
	if ref == nil && r.status != processing {
		ref = invalid("Only a run that is PROCESSING can be cancelled; this one is %s.", r.status)
	}
	if ref != nil {
		s.mu.Unlock()
		return nil, ref
	}
	s.end(r, cancelled)
	answer := s.runAnswer(r, InAnswers, change)
	s.mu.Unlock()
	s.step(Step{Kind: RunFinished, RunID: r.id, FileName: r.fileName, Detail: cancelled})
	return answer, nil
}

// deleteRun deletes a run in any status. A run at work ends with it, without a
// webhook; that is our reading.
func (s *Server) deleteRun(id string) ([]byte, *refusal) {
	s.mu.Lock()
	r, ref := s.find(id)
	if ref != nil {
		s.mu.Unlock()
		return nil, ref
	}
	r.deleted = true
	s.end(r, r.status)
	s.mu.Unlock()
	s.step(Step{Kind: RunDeleted, RunID: r.id, FileName: r.fileName})
	var o object
	o.flag("success", true).text("documentProcessorRunId", id).text("message", "Processor run deleted.")
	return s.extra(&o).bytes(), nil
}

// CancelRun is a person who cancels a run in the dashboard.
func (s *Server) CancelRun(id string) error {
	_, ref := s.cancelRun(id, Change{})
	return ref.err()
}

// DeleteRun is a person who deletes a run of any kind in the dashboard.
func (s *Server) DeleteRun(id string) error {
	s.mu.Lock()
	w := s.jobByID[id]
	s.mu.Unlock()
	if w != nil {
		return s.deleteJob(id, w.base().kind).err()
	}
	_, ref := s.deleteRun(id)
	return ref.err()
}

// FinishRun ends the processing time of a run of any kind now, whatever it is, and
// returns when the run has ended. A run that waits for its file or for the plan still
// has to wait for that.
func (s *Server) FinishRun(id string) error {
	s.mu.Lock()
	if w := s.jobByID[id]; w != nil {
		s.mu.Unlock()
		return s.finishJob(w.base())
	}
	r, ref := s.find(id)
	if ref == nil && !r.finishAsked {
		r.finishAsked = true
		close(r.finish)
	}
	s.mu.Unlock()
	if ref != nil {
		return ref.err()
	}
	<-r.ctx.Done()
	if err := s.ctx.Err(); err != nil {
		return fmt.Errorf("fakeextend: closed: %w", err)
	}
	return nil
}

// ReviewRun is a person who corrects the output of a processed run. That a
// review sends a second processor_run.processed event is our reading.
func (s *Server) ReviewRun(id string, output json.RawMessage) error {
	if _, ok := members(output); !ok {
		return fmt.Errorf("fakeextend: review of %s: output is not a JSON object", id)
	}
	s.mu.Lock()
	r, ref := s.find(id)
	if ref == nil && r.status != processed {
		ref = invalid("Only a processed run can be reviewed; this one is %s.", r.status)
	}
	if ref != nil {
		s.mu.Unlock()
		return ref.err()
	}
	r.turn()
	if !r.reviewed() {
		r.initialOutput = r.output
	}
	r.reviewedOutput = slices.Clone(output)
	r.output = r.reviewedOutput
	ev := s.announce(r)
	s.mu.Unlock()
	s.step(Step{Kind: RunReviewed, RunID: r.id, FileName: r.fileName})
	s.launch(ev)
	return nil
}

func (r *run) reviewed() bool { return r.reviewedOutput != nil }

// err makes a refusal an error; a nil refusal is none.
func (ref *refusal) err() error {
	if ref == nil {
		return nil
	}
	return fmt.Errorf("fakeextend: %d %s", ref.status, ref.message)
}

// CompleteRun gives an output to a run that ended without one: FAILED, or
// PROCESSED all the same. It is PROCESSED from then on, and an event tells of it.
func (s *Server) CompleteRun(id string) error {
	s.mu.Lock()
	r, ref := s.find(id)
	s.mu.Unlock()
	if ref != nil {
		return ref.err()
	}
	output, err := s.output(r)
	if err != nil {
		return fmt.Errorf("fakeextend: run %s: %w", id, err)
	}
	s.mu.Lock()
	if r.deleted || r.status != failed && r.status != processed || r.output != nil {
		defer s.mu.Unlock()
		return fmt.Errorf("fakeextend: run %s did not end without an output", id)
	}
	r.turn()
	r.status, r.output, r.failureReason, r.failureMessage = processed, output, "", ""
	ev := s.announce(r)
	s.mu.Unlock()
	s.step(Step{Kind: RunFinished, RunID: r.id, FileName: r.fileName, Detail: processed})
	s.launch(ev)
	return nil
}

// runAnswer is the body of every answer that holds a run. The caller holds mu.
func (s *Server) runAnswer(r *run, in Place, change Change) []byte {
	var o object
	o.flag("success", true).raw("processorRun", change.apply(r.fate.Changes[in].apply(s.runObject(r))))
	return s.extra(&o).bytes()
}

// runObject writes the run as the API and the webhooks show it. The caller
// holds mu.
func (s *Server) runObject(r *run) []byte {
	var o object
	o.text("object", "document_processor_run").text("id", r.id).
		text("processorId", r.processor.ID).text("processorVersionId", r.versionID).
		text("processorName", r.processor.Name).text("status", r.status)
	switch {
	case r.output != nil:
		o.raw("output", r.output)
	case r.fate.NullOutput || s.opts.ExplicitNulls:
		o.raw("output", null)
	default:
		o.raw("output", []byte("{}"))
	}
	s.optional(&o, "initialOutput", s.initial(r))
	s.optional(&o, "reviewedOutput", r.reviewedOutput)
	var reason, message []byte
	if r.failureReason != "" {
		reason, message = quote(r.failureReason), quote(r.failureMessage)
	}
	s.optional(&o, "failureReason", reason)
	s.optional(&o, "failureMessage", message)
	s.optional(&o, "metadata", r.metadata)
	o.flag("reviewed", r.reviewed()).flag("edited", r.reviewed())
	switch {
	case r.reviewed():
		var edit, edits object
		edit.raw("originalValue", null).raw("editedValue", null).text("notes", "The whole output was replaced.").
			raw("page", null).raw("fieldType", null)
		o.raw("edits", edits.raw("value", edit.bytes()).bytes())
	case s.opts.ExplicitNulls:
		o.raw("edits", null)
	default:
		o.raw("edits", []byte("{}"))
	}
	o.text("type", r.processor.Type).raw("config", r.config)
	o.raw("files", list([][]byte{s.fileObject(r)})).raw("mergedProcessors", []byte("[]"))
	o.text("url", "https://dashboard.extend.ai/runs/"+r.id)
	s.usage(&o, r)
	return s.extra(&o).bytes()
}

// initial is the output before review. Whether it is there at all is optional;
// as in the vendor's examples, extraction runs have it and others only once
// reviewed.
func (s *Server) initial(r *run) []byte {
	switch {
	case r.reviewed() || r.processor.Type != Extract:
		return r.initialOutput
	case r.status == processed:
		return r.output
	case (r.status == pending || r.status == processing) && !s.opts.ExplicitNulls:
		return []byte("{}")
	}
	return nil
}

// beginFile is a file object without its times and usage. Its metadata is {} until the
// pages are counted.
func (s *Server) beginFile(id, name string, pages []byte) object {
	var o, metadata object
	o.text("object", "file").text("id", id).text("name", name)
	var kind []byte
	if t := fileType(name); t != "" {
		kind = quote(t)
	}
	s.optional(&o, "type", kind)
	s.optional(&o, "presignedUrl", nil)
	s.optional(&o, "parentFileId", nil)
	s.optional(&o, "contents", nil)
	s.optional(&metadata, "pageCount", pages)
	s.optional(&metadata, "parentSplit", nil)
	o.raw("metadata", metadata.bytes())
	return o
}

func (s *Server) fileObject(r *run) []byte {
	var pages []byte
	if r.content != nil && r.content.pages != nil {
		pages = strconv.AppendInt(nil, int64(*r.content.pages), 10)
	}
	o := s.beginFile(r.fileID, r.fileName, pages)
	o.text("createdAt", spelled(r.createdAt, r.n+2)).text("updatedAt", spelled(r.updatedAt, r.n))
	s.usage(&o, r)
	return s.extra(&o).bytes()
}

// usage appends the credits, which appear once a run is processed. The zero at
// the end of the number is meant: a decimal keeps it, a float does not.
func (s *Server) usage(o *object, r *run) {
	if r.status == processed {
		var u object
		o.raw("usage", s.extra(u.raw("credits", []byte("1.50"))).bytes())
	}
}

// optional appends a member that may be absent or null.
func (s *Server) optional(o *object, name string, value []byte) {
	if value != nil {
		o.raw(name, value)
	} else if s.opts.ExplicitNulls {
		o.raw(name, null)
	}
}

// extra appends a member that no documentation knows: new response fields may
// appear at any time.
func (s *Server) extra(o *object) *object {
	if !s.opts.NoExtraFields {
		o.raw("notYetDocumented", []byte(`{"by": ["fakeextend", 1, null]}`))
	}
	return o
}
