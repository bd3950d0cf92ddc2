package fakeextend

import (
	"context"
	"crypto/hmac"
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

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if token, ok := strings.CutPrefix(r.URL.Path, payloadPath); ok && r.Method == http.MethodGet {
		s.servePayload(w, token)
		return
	}
	route, id := routeOf(r)
	var body []byte
	if route != RouteUpload { // which is read as it comes
		var err error
		if body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, maxBodyBytes)); err != nil {
			body = nil // refused below, as an empty one is
		}
	}
	if ref := s.authenticate(r); ref != nil {
		s.refuse(w, r, route, ref)
		return
	}
	query, err := parseQuery(r)
	if err != nil {
		s.refuse(w, r, route, invalid("Malformed query string."))
		return
	}
	var fault Fault
	if s.opts.Fault != nil {
		fault = s.opts.Fault(s.call(r, route, id, query, body))
	}
	if !pause(s.ctx, fault.Delay) {
		panic(http.ErrAbortHandler) // closed meanwhile
	}
	if fault.replaces() && !fault.After {
		s.serveFault(w, r, route, id, fault)
		return
	}

	answer, run, ref := s.serve(r, route, id, query, body, fault.Fate)
	if ref != nil {
		s.refuse(w, r, route, ref)
		return
	}
	if fault.HoldAnswer && run != nil {
		select {
		case <-run.told:
		case <-r.Context().Done():
		case <-s.ctx.Done():
		}
	}
	if fault.AnswerDelay > 0 {
		ctx, cancel := context.WithCancel(r.Context())
		stop := context.AfterFunc(s.ctx, cancel)
		pause(ctx, fault.AnswerDelay)
		stop()
		cancel()
	}
	if fault.replaces() {
		if run != nil {
			id = run.id
		}
		s.serveFault(w, r, route, id, fault)
		return
	}
	s.count(route, http.StatusOK)
	s.write(w, http.StatusOK, s.requestID(), answer)
}

// routeOf reads method and path; RouteUnknown covers everything that this API
// version does not serve to us.
func routeOf(r *http.Request) (route, id string) {
	if r.URL.Path == "/files/upload" && r.Method == http.MethodPost {
		return RouteUpload, ""
	}
	part := strings.Split(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if part[0] != "processor_runs" || len(part) > 1 && part[1] == "" {
		return RouteUnknown, ""
	}
	switch {
	case len(part) == 1 && r.Method == http.MethodPost:
		return RouteCreate, ""
	case len(part) == 1 && r.Method == http.MethodGet:
		return RouteList, ""
	case len(part) == 2 && r.Method == http.MethodGet:
		return RouteGet, part[1]
	case len(part) == 2 && r.Method == http.MethodDelete:
		return RouteDelete, part[1]
	case len(part) == 3 && r.Method == http.MethodPost && part[2] == "cancel":
		return RouteCancel, part[1]
	}
	return RouteUnknown, ""
}

// serve carries out a request and returns the body of a 200, or why not. run is
// set when one was made.
func (s *Server) serve(r *http.Request, route, id string, query map[string]string, body []byte, fate Fate) ([]byte, *run, *refusal) {
	if ref := s.spendRequest(); ref != nil {
		return nil, nil, ref
	}
	switch route {
	case RouteCreate:
		return s.create(r, body, fate)
	case RouteUpload:
		answer, ref := s.upload(r)
		return answer, nil, ref
	case RouteList:
		answer, ref := s.list(query)
		return answer, nil, ref
	case RouteGet:
		answer, ref := s.get(id)
		return answer, nil, ref
	case RouteCancel:
		answer, ref := s.cancelRun(id)
		return answer, nil, ref
	case RouteDelete:
		answer, ref := s.deleteRun(id)
		return answer, nil, ref
	}
	return nil, nil, &refusal{status: http.StatusNotFound, message: "Route not found."}
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

// call describes a request to Options.Fault.
func (s *Server) call(r *http.Request, route, id string, query map[string]string, body []byte) Call {
	s.mu.Lock()
	s.calls[route]++
	n := s.calls[route]
	s.mu.Unlock()
	c := Call{Route: route, N: n, RunID: id, Header: r.Header.Clone(), Query: r.URL.Query(), Body: body}
	if route == RouteCreate {
		fields, _ := members(body)
		file, _ := members(fields["file"])
		c.FileName, _ = text(file["fileName"])
	}
	return c
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
