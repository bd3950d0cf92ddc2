package fakeextend

import (
	"cmp"
	"context"
	"crypto/hmac"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	maxBodyBytes = 10 << 20
	apiVersion   = "2025-04-21"
	payloadPath  = "/webhook_payloads/"
)

// These were or will be versions of the API: a client that sends one is
// configured for something else.
var otherVersions = []string{"2026-02-09", "2024-12-23", "2024-11-14", "2024-07-30", "2024-02-01"}

// An exchange is one request and its answer.
type exchange struct {
	s     *Server
	w     http.ResponseWriter
	r     *http.Request
	op    *operation // nil: RouteUnknown
	route string
	ids   []string // from the path
	id    string   // the first of them, or of what was made
	body  []byte   // none of RouteUpload
	query map[string]string
	fault Fault
	post  *Post           // of RouteCreate
	told  <-chan struct{} // of what was made: see run
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if token, ok := strings.CutPrefix(r.URL.Path, payloadPath); ok && r.Method == http.MethodGet {
		s.servePayload(w, token)
		return
	}
	x := &exchange{s: s, w: w, r: r}
	x.route = RouteUnknown
	if x.op, x.ids = routeOf(r); x.op != nil {
		x.route = x.op.route
	}
	if len(x.ids) > 0 {
		x.id = x.ids[0]
	}
	if x.route != RouteUpload { // which is read as it comes
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBodyBytes))
		if err == nil {
			x.body = body // else it is refused below, as an empty one is
		}
		if x.route == RouteCreate {
			x.arrived(err == nil)
		}
	}
	x.serve()
}

// serve answers by the rules of the API, and as Options.Fault wants it.
func (x *exchange) serve() {
	s := x.s
	if ref := s.authenticate(x.r); ref != nil {
		x.refuse(ref)
		return
	}
	var err error
	if x.query, err = parseQuery(x.r); err != nil {
		x.refuse(invalid("Malformed query string."))
		return
	}
	if s.opts.Fault != nil {
		x.fault = s.opts.Fault(x.call())
	}
	if !pause(s.ctx, x.fault.Delay) {
		panic(http.ErrAbortHandler) // closed meanwhile
	}
	if x.fault.replaces() && !x.fault.After {
		x.serveFault()
		return
	}
	answer, ref := x.carryOut()
	if ref != nil {
		x.refuse(ref)
		return
	}
	x.waitWithAnswer()
	if x.fault.replaces() {
		x.serveFault()
		return
	}
	x.count(http.StatusOK)
	if changed := cmp.Or(x.fault.ChangeRuns.Name, x.fault.ChangeBody.Name); changed != "" {
		s.step(Step{Kind: FaultInjected, RunID: x.id, Status: http.StatusOK, Detail: x.route + ": " + changed})
	}
	x.write(http.StatusOK, s.requestID(), x.fault.ChangeBody.apply(answer))
}

// waitWithAnswer lets the time pass that the fault puts before the answer.
func (x *exchange) waitWithAnswer() {
	if x.fault.HoldAnswer && x.told != nil {
		select {
		case <-x.told:
		case <-x.r.Context().Done():
		case <-x.s.ctx.Done():
		}
	}
	if x.fault.AnswerDelay > 0 {
		ctx, cancel := context.WithCancel(x.r.Context())
		defer cancel()
		defer context.AfterFunc(x.s.ctx, cancel)()
		pause(ctx, x.fault.AnswerDelay)
	}
}

// carryOut does what a request asks for, and returns the body of a 200, or why
// not.
func (x *exchange) carryOut() ([]byte, *refusal) {
	if ref := x.s.spendRequest(); ref != nil {
		return nil, ref
	}
	handle := handlers[x.route]
	if handle == nil {
		return nil, &refusal{status: http.StatusNotFound, message: "Route not found."}
	}
	for _, check := range []func() *refusal{x.checkQuery, x.checkNoBody} {
		if ref := check(); ref != nil {
			return nil, ref
		}
	}
	answer, ref := handle(x)
	if ref != nil && ref.status == http.StatusNotFound && !x.op.Declares(http.StatusNotFound) {
		ref.status = http.StatusBadRequest // which every operation that takes a body declares
	}
	return answer, ref
}

// authenticate holds a request against rules that come before all others:
// the key, the version, and with an organization-scoped key the workspace.
func (s *Server) authenticate(r *http.Request) *refusal {
	if s.ctx.Err() != nil {
		return &refusal{status: http.StatusServiceUnavailable, message: "The fake is closed."}
	}
	key, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok || !hmac.Equal([]byte(key), []byte(s.opts.APIKey)) {
		return &refusal{status: http.StatusUnauthorized, message: "Invalid API key."}
	}
	switch v := r.Header.Values("X-Extend-Api-Version"); {
	case len(v) == 0 || v[0] == "":
		return invalid("Missing header x-extend-api-version.")
	case len(v) > 1:
		return invalid("Header x-extend-api-version was sent %d times.", len(v))
	case slices.Contains(otherVersions, v[0]):
		return invalid("API version %s exists, but this fake speaks %s only.", v[0], apiVersion)
	case v[0] != apiVersion:
		return invalid("Unknown API version %q.", v[0])
	}
	switch ws := r.Header.Get("X-Extend-Workspace-Id"); {
	case ws == s.opts.WorkspaceID:
	case s.opts.WorkspaceID == "":
		return nil // optional with a workspace-scoped key
	case ws == "":
		return invalid("Header x-extend-workspace-id is required with an organization-scoped API key.")
	default:
		return &refusal{status: http.StatusForbidden, message: "The API key has no access to this workspace."}
	}
	return nil
}

// call describes the request to Options.Fault.
func (x *exchange) call() Call {
	s := x.s
	s.mu.Lock()
	s.calls[x.route]++
	n := s.calls[x.route]
	s.mu.Unlock()
	c := Call{Route: x.route, N: n, RunID: x.id, Header: x.r.Header.Clone(), Query: x.r.URL.Query(), Body: x.body}
	switch {
	case x.post != nil:
		c.FileName, c.FileURL = x.post.FileName, x.post.FileURL
	case x.route == RouteUpload:
		c.FileName = peekFileName(x.r)
	case x.id != "":
		c.FileName = s.fileName(x.id)
	default:
		fields, _ := members(x.body)
		raw := fields["file"]
		if x.route == RouteCreateWorkflowRuns { // the first of its files
			var files []json.RawMessage
			if _ = json.Unmarshal(fields["files"], &files); len(files) > 0 {
				raw = files[0]
			}
		}
		file, _ := members(raw)
		c.FileName, c.FileURL = textField(file, "fileName"), textField(file, "fileUrl")
	}
	return c
}

// fileName is that of a run, if there is one.
func (s *Server) fileName(id string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.byID[id]; r != nil {
		return r.fileName // it never changes
	}
	if w := s.jobByID[id]; w != nil {
		return w.base().file.name
	}
	if f := s.files[id]; f != nil {
		return f.name
	}
	return ""
}

// spendRequest takes one request from the plan's budget, which spans all routes.
func (s *Server) spendRequest() *refusal {
	limit := s.opts.RequestsPerSecond
	if limit == 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.recent = since(s.recent, now.Add(-time.Second))
	if len(s.recent) >= limit {
		return s.overLimit(s.recent[0].Add(time.Second).Sub(now), "Too many requests for this organization.")
	}
	s.recent = append(s.recent, now)
	return nil
}

// overLimit is the 429 of the plan's limits.
func (s *Server) overLimit(wait time.Duration, message string) *refusal {
	ref := &refusal{status: http.StatusTooManyRequests, message: message}
	wait = (wait + time.Second - 1).Truncate(time.Second) // the header has whole seconds
	switch s.opts.RetryAfter {
	case RetryAfterSeconds:
		ref.retryAfter = strconv.Itoa(int(wait / time.Second))
	case RetryAfterDate:
		// Rounded up once more, because a date drops the fraction of now.
		ref.retryAfter = time.Now().Add(wait + time.Second - 1).UTC().Format(http.TimeFormat)
	}
	return ref
}

// since drops the instants up to and including start; they are in order.
func since(instants []time.Time, start time.Time) []time.Time {
	i := 0
	for i < len(instants) && !instants[i].After(start) {
		i++
	}
	return instants[i:]
}
