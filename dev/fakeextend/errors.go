package fakeextend

import (
	"cmp"
	"fmt"
	"net/http"
	"strconv"
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
	if f.Cut {
		x.count(0)
		s.step(Step{Kind: FaultInjected, RunID: x.id, Detail: x.route + ": connection cut " + when + " the work"})
		panic(http.ErrAbortHandler)
	}
	x.count(f.Status)
	s.step(Step{Kind: FaultInjected, RunID: x.id, Status: f.Status, Detail: x.route + ": answered " + when + " the work"})
	for name, values := range f.Header {
		x.w.Header()[http.CanonicalHeaderKey(name)] = values
	}
	if f.RetryAfter != "" {
		x.w.Header().Set("Retry-After", f.RetryAfter)
	}
	if f.HTML != "" {
		x.w.Header().Set("Content-Type", "text/html; charset=utf-8")
		x.w.WriteHeader(f.Status)
		_, _ = x.w.Write([]byte(f.HTML))
		return
	}
	id := s.requestID()
	message := cmp.Or(f.Message, http.StatusText(f.Status), "Fault.")
	x.write(f.Status, id, s.errorBody(f.Status, cmp.Or(f.Code, errorCode(f.Status)), message, id))
}
