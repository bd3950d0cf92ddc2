package fakeextend

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A job is what workflow, parser and edit runs have in common. It is guarded by
// Server.mu, save what never changes.
type job struct {
	n         int
	kind      string // what the object says that it is
	id        string
	file      *file
	fileURL   string
	rawText   string
	metadata  json.RawMessage
	fate      Fate
	baseURL   string
	createdAt time.Time
	took      func(JobInfo) time.Duration
	ticket    *ticket

	ctx    context.Context // over when the work has ended
	cancel context.CancelFunc
	finish chan struct{} // closed by FinishRun
	told   chan struct{} // closed after the first try of the first delivery
	tell   func()

	status                        string
	updatedAt, startedAt, endedAt time.Time
	reason, message               string
	deleted, finishAsked          bool
	before                        []byte // as it was shown before its last change; nil at first
	events                        []*event
}

func (j *job) base() *job { return j }

// A worker is a job of one kind.
type worker interface {
	base() *job
	// show writes the object; x is nil where it is no answer. The caller holds mu.
	show(s *Server, x *exchange) []byte
	// work does what is to be done once the time is over, and says how it ended;
	// "" if somebody else has ended it.
	work(s *Server) (status, reason, message string)
	// ended makes the event of an end, if there is one. The caller holds mu.
	ended(s *Server) *event
}

// JobInfo is what the fake knows of a workflow, parser or edit run.
type JobInfo struct {
	Kind           string // workflow_run, parser_run or edit_run
	ID             string
	Status         string
	FileName       string
	FileURL        string // may carry a signature: not for logs
	FileID         string
	Metadata       json.RawMessage // as it is echoed; nil when none was sent
	WorkflowID     string          // of a workflow run
	BatchID        string          // of a workflow run; "" when it was made alone
	CreatedAt      time.Time
	UpdatedAt      time.Time
	Deleted        bool
	Other          bool // made by [Server.AddRun]
	FailureReason  string
	FailureMessage string
	RejectionNote  string
	FetchedSHA256  string    // as in [RunInfo]
	Outputs        []RunInfo // of a workflow run: its processors' runs
	Steps          []StepInfo
	Deliveries     []DeliveryInfo
}

// StepInfo is what the fake knows of a workflow run's step that is no processor.
type StepInfo struct {
	ID, Status         string
	StepID, Name, Type string // of the step itself
	Output             json.RawMessage
}

// Jobs returns all workflow, parser and edit runs in the order of their creation,
// deleted ones too. Each was paid for once.
func (s *Server) Jobs() []JobInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	var infos []JobInfo
	for _, w := range s.jobs {
		infos = append(infos, jobInfo(w))
	}
	return infos
}

// jobInfo copies what is known. The caller holds mu.
func jobInfo(w worker) JobInfo {
	j := w.base()
	info := JobInfo{
		Kind: j.kind, ID: j.id, Status: j.status, FileName: j.file.name, FileURL: j.fileURL, FileID: j.file.id, Metadata: slices.Clone(j.metadata),
		CreatedAt: j.createdAt, UpdatedAt: j.updatedAt, Deleted: j.deleted, FailureReason: j.reason, FailureMessage: j.message,
	}
	if r, ok := w.(*workflowRun); ok {
		info.WorkflowID, info.BatchID, info.Other, info.RejectionNote = r.workflow.ID, r.batchID, r.other, r.rejection()
		for _, output := range r.outputs {
			info.Outputs = append(info.Outputs, output.info())
		}
		for _, step := range r.steps {
			info.Steps = append(info.Steps, StepInfo{ID: step.id, Status: step.status, StepID: step.stepID, Name: step.name, Type: step.kind, Output: slices.Clone(step.output)})
		}
	}
	if c := j.file.content; c != nil {
		info.FetchedSHA256 = c.sha256
	}
	for _, ev := range j.events {
		info.Deliveries = append(info.Deliveries, DeliveryInfo{EventID: ev.id, EventType: ev.kind, Tries: slices.Clone(ev.tries)})
	}
	return info
}

// An input is a document of a request: a file that is there, one to fetch, or a
// text.
type input struct{ name, fileURL, fileID, rawText string }

// parseInput reads the contract's FileInput, which the body is known to have. Both
// a link and an id get a refusal, which is our reading.
func parseInput(at string, raw json.RawMessage) (input, *refusal) {
	fields, _ := members(raw)
	in := input{name: textField(fields, "fileName"), fileURL: textField(fields, "fileUrl"), fileID: textField(fields, "fileId")}
	switch _, hasID := fields["fileId"]; {
	case in.fileURL != "" && hasID:
		return in, invalid("Only one of `fileUrl` or `fileId` may be provided; Path: %s", at)
	case in.fileURL != "":
		if checkURL(in.fileURL) != nil {
			return in, invalid("Expected absolute http or https URL; Path: %s.fileUrl", at)
		}
		u, _ := url.Parse(in.fileURL) // checkURL has parsed it
		in.name = cmp.Or(in.name, strings.Trim(path.Base(u.Path), "/."), "file")
	}
	return in, nil
}

// checkInput finds the file that an input names. The caller holds mu.
func (s *Server) checkInput(in input) *refusal {
	if in.fileID != "" && s.files[in.fileID] == nil {
		return notFound("File")
	}
	return nil
}

// newJob makes what is common to a run of a kind; ids are made of the prefix. The
// caller holds mu and has checked the input.
func (s *Server) newJob(x *exchange, kind, prefix, status string, priority int, in input) job {
	now := time.Now()
	s.jobsMade++
	j := job{
		n: s.jobsMade, kind: kind, id: s.id(prefix, idLength, strconv.Itoa(s.jobsMade)), fileURL: in.fileURL, rawText: in.rawText,
		fate: x.fault.Fate, baseURL: baseURL(x.r), createdAt: now, updatedAt: now, status: status,
		ticket: &ticket{priority, make(chan struct{})}, finish: make(chan struct{}), told: make(chan struct{}),
	}
	if j.file = s.files[in.fileID]; j.file == nil {
		j.file = s.addFile(s.id("file_", idLength, j.id), in.name)
	}
	x.id, x.told = j.id, j.told
	told := j.told
	j.tell = sync.OnceFunc(func() { close(told) })
	j.ctx, j.cancel = context.WithCancel(s.ctx)
	return j
}

// startJob begins the work on a job. The caller holds mu.
func (s *Server) startJob(w worker) {
	j := w.base()
	s.jobs = append(s.jobs, w)
	s.jobByID[j.id] = w
	s.admit(j.ticket, j.createdAt)
	s.background(func() {
		s.step(Step{Kind: RunCreated, RunID: j.id, FileName: j.file.name, Status: http.StatusOK, Detail: j.kind})
		s.runJob(w)
	})
}

// runJob takes a job from its acceptance to its end.
func (s *Server) runJob(w worker) {
	j := w.base()
	s.workOnJob(w)
	s.mu.Lock()
	silent := len(j.events) == 0
	s.mu.Unlock()
	if silent {
		j.tell() // there will be no delivery to wait for
	}
}

func (s *Server) workOnJob(w worker) {
	j := w.base()
	if !pause(j.ctx, j.fate.FetchDelay) {
		return
	}
	c, err := s.fetchFor(j)
	if j.ctx.Err() != nil {
		return
	}
	if err != nil {
		s.step(Step{Kind: FileNotFetched, RunID: j.id, FileName: j.file.name, Detail: err.Error()})
		reason := "UNABLE_TO_DOWNLOAD_FILE"
		if j.kind == workflowRunKind {
			reason = failedToProcessFile
		}
		s.endJob(w, failed, reason, "The file could not be downloaded from the provided URL ("+err.Error()+").")
		return
	}
	s.mu.Lock()
	j.file.fill(c)
	s.mu.Unlock()
	if c.size == 0 {
		s.endJob(w, failed, corruptFile, "The file is empty.")
		return
	}
	select {
	case <-j.ticket.slot:
	case <-j.ctx.Done():
		return
	}
	if !pause(j.ctx, j.fate.Pending) || !s.beginJob(w) || !s.dwellOnJob(w) {
		return
	}
	switch j.fate.End {
	case EndFailed:
		if r, ok := w.(*workflowRun); ok {
			_ = s.runProcessors(r, j.fate.FailAfter) // it fails in any case
		}
		s.endJob(w, failed, cmp.Or(j.fate.FailureReason, "INTERNAL_ERROR"), cmp.Or(j.fate.FailureMessage, "The run failed, as it was told to."))
	case EndCancelled:
		s.endJob(w, cancelled, "", "")
	case EndDeleted:
		_ = s.deleteJob(j.id, j.kind) // unless somebody was faster
	default:
		if status, reason, message := w.work(s); status != "" {
			s.endJob(w, status, reason, message)
		}
	}
}

// fetchFor reads a job's file, once.
func (s *Server) fetchFor(j *job) (*content, error) {
	switch {
	case j.fileURL != "":
		c, err := s.download(j.ctx, j.file.name, j.fileURL)
		if err == nil {
			s.step(Step{Kind: FileFetched, RunID: j.id, FileName: j.file.name, Bytes: c.size, Status: http.StatusOK})
		}
		return c, err
	case j.rawText != "":
		return inspect(j.file.name, []byte(j.rawText)), nil
	}
	return s.contentOf(j.file)
}

// turn keeps a job as it is shown, for it is about to change. The caller holds mu.
func (s *Server) turn(w worker) {
	j := w.base()
	j.before = w.show(s, nil)
	j.updatedAt = time.Now()
}

// beginJob makes a job PROCESSING, and reports whether it lives.
func (s *Server) beginJob(w worker) bool {
	j := w.base()
	s.mu.Lock()
	defer s.mu.Unlock()
	if j.ctx.Err() != nil {
		return false
	}
	if j.status == pending {
		s.turn(w)
		j.status = processing
	}
	j.startedAt = time.Now()
	return true
}

// dwellOnJob lets the processing time pass.
func (s *Server) dwellOnJob(w worker) bool {
	j := w.base()
	var over <-chan time.Time
	if j.fate.End != EndNever {
		if j.took == nil {
			return j.ctx.Err() == nil
		}
		s.mu.Lock()
		info := jobInfo(w)
		s.mu.Unlock()
		timer := time.NewTimer(j.took(info))
		defer timer.Stop()
		over = timer.C
	}
	select {
	case <-over:
	case <-j.finish:
	case <-j.ctx.Done():
	}
	return j.ctx.Err() == nil
}

// endJob ends a job by the fake's own doing, and announces it.
func (s *Server) endJob(w worker, status, reason, message string) {
	j := w.base()
	s.mu.Lock()
	if j.ctx.Err() != nil {
		s.mu.Unlock()
		return // cancelled or deleted at the last moment
	}
	s.turn(w)
	j.status, j.reason, j.message, j.endedAt = status, reason, message, time.Now()
	s.stop(j)
	ev := w.ended(s)
	s.mu.Unlock()
	s.step(Step{Kind: RunFinished, RunID: j.id, FileName: j.file.name, Detail: strings.TrimSpace(status + " " + reason)})
	s.launch(ev)
}

// stop ends the work on a job. The caller holds mu.
func (s *Server) stop(j *job) {
	s.leave(j.ticket)
	j.cancel()
}

// refuseOverPlan refuses a request that makes runs, if the plan does so. The caller
// holds mu.
func (s *Server) refuseOverPlan() *refusal {
	if wait := s.throughput(time.Now()); s.opts.RefuseFiles && wait > 0 {
		return s.overLimit(wait, "Too many files for this organization.")
	}
	return nil
}

// defaultPriority is that of a request which does not say one.
const defaultPriority = 50

// jobEvent makes an event of a job. The caller holds mu.
func (s *Server) jobEvent(w worker, kind string, payload []byte) *event {
	j := w.base()
	about := subject{id: j.id, fileName: j.file.name, baseURL: j.baseURL, changes: j.fate.Changes[InDelivery], deleted: &j.deleted, tell: j.tell}
	ev := s.newEvent(kind, about, len(j.events)+1, payload)
	j.events = append(j.events, ev)
	return ev
}

// findJob returns a job that a request may see. The caller holds mu.
func (s *Server) findJob(id, kind string) (worker, *refusal) {
	w := s.jobByID[id]
	if w == nil || w.base().kind != kind || w.base().deleted {
		return nil, notFound(strings.ToUpper(kind[:1]) + strings.ReplaceAll(kind[1:], "_", " "))
	}
	return w, nil
}

// getJob answers a GET of a job, with an older state if the fault or the job's
// fate says so.
func (x *exchange) getJob(kind string) ([]byte, *refusal) {
	s := x.s
	s.mu.Lock()
	defer s.mu.Unlock()
	w, ref := s.findJob(x.id, kind)
	if ref != nil {
		return nil, ref
	}
	j := w.base()
	view := x.fault.View
	if view == ViewNow && time.Now().Before(j.updatedAt.Add(j.fate.ReadLag)) {
		view = cmp.Or(j.fate.ReadView, ViewBefore)
	}
	if view == ViewMissing { // which is a fault, and no refusal
		x.fault.Status, x.fault.Message = http.StatusNotFound, "Run not found."
		return nil, nil
	}
	return x.answer(j.fate.Changes[InGet].apply(s.seen(w, x, view))), nil
}

// seen is a job in one of its states. The caller holds mu.
func (s *Server) seen(w worker, x *exchange, view View) []byte {
	j := w.base()
	switch {
	case view == ViewBefore && j.before != nil:
		return j.before
	case view == ViewPending || view == ViewProcessing:
		status, reason, message, endedAt := j.status, j.reason, j.message, j.endedAt
		defer func() { j.status, j.reason, j.message, j.endedAt = status, reason, message, endedAt }() // others read the rest of it
		j.status, j.reason, j.message, j.endedAt = processing, "", "", time.Time{}
		if view == ViewPending && j.kind == workflowRunKind {
			j.status = pending
		}
	}
	return w.show(s, x)
}

// deleteJob deletes a job in any status. A job at work ends with it, silently.
func (s *Server) deleteJob(id, kind string) *refusal {
	s.mu.Lock()
	w, ref := s.findJob(id, kind)
	if ref != nil {
		s.mu.Unlock()
		return ref
	}
	j := w.base()
	j.deleted = true
	s.stop(j)
	s.mu.Unlock()
	s.step(Step{Kind: RunDeleted, RunID: j.id, FileName: j.file.name})
	return nil
}

// finishJob ends the processing time of a job, and waits for its end.
func (s *Server) finishJob(j *job) error {
	s.mu.Lock()
	if !j.finishAsked {
		j.finishAsked = true
		close(j.finish)
	}
	s.mu.Unlock()
	<-j.ctx.Done()
	if err := s.ctx.Err(); err != nil {
		return fmt.Errorf("fakeextend: closed: %w", err)
	}
	return nil
}

// waitForEnd waits for a job as a synchronous call does: five minutes at most.
func (x *exchange) waitForEnd(j *job) *refusal {
	timer := time.NewTimer(syncTimeout)
	defer timer.Stop()
	select {
	case <-j.ctx.Done():
	case <-timer.C:
		return &refusal{status: http.StatusInternalServerError, message: "The run takes longer than five minutes. It goes on."}
	case <-x.r.Context().Done():
	}
	x.s.mu.Lock()
	defer x.s.mu.Unlock()
	if j.status == failed {
		return &refusal{status: http.StatusUnprocessableEntity, code: j.reason, message: j.message}
	}
	return nil
}

// syncTimeout is how long the vendor says that a synchronous call waits.
const syncTimeout = 5 * time.Minute
