package fakeextend

import (
	"cmp"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// A refusal is an answer other than 200 by the rules of the API.
type refusal struct {
	status     int
	code       string // "" takes the one that goes with the status
	message    string
	retryAfter string
}

func invalid(format string, args ...any) *refusal {
	return &refusal{status: http.StatusBadRequest, message: fmt.Sprintf(format, args...)}
}

func notFound(what string) *refusal {
	return &refusal{status: http.StatusNotFound, message: what + " not found."}
}

// errorCodes are the codes that go with a status. The vendor publishes none for
// 403; that one is ours.
var errorCodes = map[int]string{
	http.StatusBadRequest:      "INVALID_REQUEST",
	http.StatusUnauthorized:    "UNAUTHORIZED",
	http.StatusPaymentRequired: "USAGE_BLOCKED",
	http.StatusForbidden:       "FORBIDDEN",
	http.StatusNotFound:        "NOT_FOUND",
	http.StatusGone:            "ENDPOINT_REMOVED",
	http.StatusTooManyRequests: "RATE_LIMIT_EXCEEDED",
}

func errorCode(status int) string {
	if code, ok := errorCodes[status]; ok {
		return code
	}
	if status >= 500 {
		return "INTERNAL_ERROR"
	}
	return "INVALID_REQUEST"
}

// retryable is what the body says of a status, as the vendor documents it.
func retryable(status int) bool {
	return status == http.StatusRequestTimeout || status == http.StatusTooManyRequests || status >= 500
}

// errorBody writes an error in the chosen shape.
func (s *Server) errorBody(status int, code, message, requestID string) []byte {
	if s.opts.ErrorShape == Plain {
		var o object
		if status != http.StatusTooManyRequests {
			o.flag("success", false)
		}
		return s.extra(o.text("error", message)).bytes()
	}
	var o object
	o.text("code", code).text("message", message).text("requestId", requestID).flag("retryable", retryable(status))
	if s.opts.ErrorShape == Nested {
		inner := s.extra(&o).bytes()
		var outer object
		return outer.raw("error", inner).bytes()
	}
	return s.extra(&o).bytes()
}

func (s *Server) requestID() string {
	s.mu.Lock()
	s.requestN++
	n := s.requestN
	s.mu.Unlock()
	return s.id("req_", idLength, strconv.Itoa(n))
}

func (x *exchange) count(status int) {
	x.s.mu.Lock()
	defer x.s.mu.Unlock()
	x.s.requests[RequestCount{Route: x.route, Status: status}]++
	if x.post != nil {
		x.post.Status = status
	}
}

func (x *exchange) write(status int, requestID string, body []byte) {
	x.w.Header().Set("Content-Type", "application/json")
	x.w.Header().Set("X-Extend-Request-Id", requestID)
	x.w.WriteHeader(status)
	_, _ = x.w.Write(body) // a caller that has gone away is its own affair
}

// refuse answers as the rules of the API want it.
func (x *exchange) refuse(ref *refusal) {
	s := x.s
	x.count(ref.status)
	code := cmp.Or(ref.code, errorCode(ref.status))
	s.mu.Lock()
	s.refused = append(s.refused, Refusal{Method: x.r.Method, Path: x.r.URL.Path, Status: ref.status, Code: code, Reason: ref.message})
	s.mu.Unlock()
	s.step(Step{Kind: RequestRefused, Status: ref.status, Detail: x.r.Method + " " + x.r.URL.Path + ": " + ref.message})
	if ref.retryAfter != "" {
		x.w.Header().Set("Retry-After", ref.retryAfter)
	}
	id := s.requestID()
	x.write(ref.status, id, s.errorBody(ref.status, code, ref.message, id))
}

// serveFault answers as the Fault wants it.
func (x *exchange) serveFault() {
	s, f := x.s, x.fault
	when := "before"
	if f.After {
		when = "after"
	}
	tell := func(status int, what string) {
		x.count(status)
		s.step(Step{Kind: FaultInjected, RunID: x.id, Status: status, Detail: x.route + ": " + what + " " + when + " the work"})
	}
	switch {
	case f.Refused:
		tell(0, "stream refused")
		refuseStream(x.r)
	case f.Cut:
		tell(0, "connection cut")
		panic(http.ErrAbortHandler)
	}
	header := x.w.Header()
	for name, values := range f.Header {
		header[http.CanonicalHeaderKey(name)] = values
	}
	if f.RetryAfter != "" {
		header.Set("Retry-After", f.RetryAfter)
	}
	a := f.Answer
	if a == nil && f.HTML != "" {
		a = &Answer{Status: f.Status, ContentType: "text/html; charset=utf-8", Body: f.HTML}
	}
	if a == nil {
		tell(f.Status, "answered")
		id := s.requestID()
		message := cmp.Or(f.Message, http.StatusText(f.Status), "Fault.")
		x.write(f.Status, id, f.ChangeBody.apply(s.errorBody(f.Status, cmp.Or(f.Code, errorCode(f.Status)), message, id)))
		return
	}
	tell(a.status(), strings.TrimSpace("answered by another "+a.Name))
	a.write(x.w, f.ChangeBody)
}

func (a *Answer) status() int { return cmp.Or(a.Status, http.StatusOK) }

func (a *Answer) write(w http.ResponseWriter, change Change) {
	header := w.Header()
	header["Content-Type"] = nil // so that nobody guesses one
	if a.ContentType != "" {
		header.Set("Content-Type", a.ContentType)
	}
	for name, values := range a.Header {
		header[http.CanonicalHeaderKey(name)] = values
	}
	w.WriteHeader(a.status())
	_, _ = w.Write(change.apply([]byte(a.Body))) // a 204 has none
}
