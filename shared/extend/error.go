package extend

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"time"
)

const (
	requestIDHeader = "x-extend-request-id"
	keptBody        = 4 << 10
	maxFault        = 1 << 20 // bodies of errors are small; what is cut here was never one of the API's
	maxMessage      = 200     // of a body that is not JSON
)

// ErrTooLarge means that an answer was larger than this client reads. After a POST the outcome is unknown.
var ErrTooLarge = errors.New("answer too large")

// Error is a refusal: the server answered with something else than success. Every shape of body that the API
// has, and the bodies of gateways in front of it, become one.
// https://docs.extend.ai/2025-04-21/developers/api-reference/processor-endpoints/run-processor
type Error struct {
	Method, Path string // the path is escaped and without its query
	StatusCode   int
	Code         string // such as INVALID_REQUEST; often absent
	Message      string // as the server says, or the beginning of a body that is not JSON
	RequestID    string // what the vendor's support asks for
	Retryable    bool   // as the server says; false where it does not say
	// RetryAfter is how long the server asks to wait, 0 where it does not say. At most a day.
	RetryAfter time.Duration
	// Body is the first 4 KiB of the answer, for a person. Never log it.
	Body []byte
}

// Error returns a line such as
//
//	extend: POST /processor_runs: 404 NOT_FOUND: Processor not found. (request req_a6TfJm3UyKh0BvRc9XpWs)
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "extend: %s %s: %d %s", e.Method, e.Path, e.StatusCode, cmp.Or(e.Code, http.StatusText(e.StatusCode), "unknown status"))
	if e.Message != "" {
		b.WriteString(": " + e.Message)
	}
	if e.RequestID != "" {
		b.WriteString(" (request " + e.RequestID + ")")
	}
	return b.String()
}

// NotSent reports whether err is positive evidence that the request never left: it was refused here, the context
// was over before the start, or no connection was made (DNS, dial, TLS). False means no more than that there is
// no such evidence. It judges the error of one call: ask before joining it with others.
func NotSent(err error) bool {
	e, ok := errors.AsType[*callError](err)
	return ok && e.notSent
}

// A callError is a call that got no refusal: it was not sent, or its answer was lost or of no use.
type callError struct {
	method, path string
	err          error
	notSent      bool // see NotSent
	final        bool // a repetition would end the same
}

func (e *callError) Error() string { return fmt.Sprintf("extend: %s %s: %v", e.method, e.path, e.err) }
func (e *callError) Unwrap() error { return e.err }

// neverConnected reports whether the error can only come from before there was a connection.
func neverConnected(err error) bool {
	if e, ok := errors.AsType[*net.OpError](err); ok && e.Op == "dial" {
		return true
	}
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return true
	}
	_, ok := errors.AsType[*tls.CertificateVerificationError](err)
	return ok
}

// newError reads a refusal. Whatever the body is, the status survives.
func newError(p prepared, res *http.Response, key string, now time.Time) *Error {
	body, _ := io.ReadAll(io.LimitReader(res.Body, maxFault)) // half a body is better than none
	body = withoutKey(body, key)
	f := parseFault(body)
	return &Error{
		Method:     p.method,
		Path:       p.path,
		StatusCode: res.StatusCode,
		Code:       f.code,
		Message:    withoutQueries(f.message),
		RequestID:  cmp.Or(f.requestID, res.Header.Get(requestIDHeader)),
		Retryable:  f.retryable,
		RetryAfter: parseRetryAfter(res.Header.Get("Retry-After"), now),
		Body:       bytes.Clone(body[:min(len(body), keptBody)]),
	}
}

// A fault is what the body of a refusal says.
type fault struct {
	code, message, requestID string
	retryable                bool
	shaped                   bool // it is of one of the shapes below
}

// parseFault knows the shapes in use under this one version:
//
//	{"success": false, "error": "text"}, with or without "success" and "code"
//	{"code": …, "message": …, "requestId": …, "retryable": …}
//	{"error": {"code": …, "message": …, "requestId": …, "retryable": …}}
//
// A member of a type that it should not have is taken as absent, and anything else becomes the message.
func parseFault(body []byte) fault {
	body = bytes.TrimPrefix(body, []byte("\ufeff"))
	var o map[string]json.RawMessage
	if err := json.Unmarshal(body, &o); err != nil {
		return fault{message: fold(body, maxMessage)}
	}
	message := text(o["error"])
	var nested map[string]json.RawMessage
	if json.Unmarshal(o["error"], &nested) == nil && nested != nil {
		o = nested
	}
	f := fault{
		code:      text(o["code"]),
		message:   cmp.Or(message, text(o["message"])),
		requestID: text(o["requestId"]),
		retryable: string(o["retryable"]) == "true",
	}
	if f.shaped = f.code != "" || f.message != ""; !f.shaped {
		f.message = fold(body, maxMessage)
	}
	return f
}

func text(raw json.RawMessage) string {
	var s string
	_ = json.Unmarshal(raw, &s) // not a string: as good as absent
	return s
}

// withoutKey cuts the key from what the server echoes. Something shorter than any real key is left alone:
// it would blank out ordinary words.
func withoutKey(body []byte, key string) []byte {
	if len(key) < 8 {
		return body
	}
	return bytes.ReplaceAll(body, []byte(key), []byte("[key]"))
}

var urlQuery = regexp.MustCompile(`(https?://[^\s"'<>?]+)\?[^\s"'<>]+`)

// withoutQueries cuts the queries from URLs: a message about a file that could not be fetched can name a
// presigned URL, and messages are logged.
func withoutQueries(s string) string { return urlQuery.ReplaceAllString(s, "$1?…") }
