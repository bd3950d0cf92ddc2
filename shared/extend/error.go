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

	"extend-intake/shared/clean"
)

const (
	requestIDHeader = "x-extend-request-id"
	versionHeader   = "x-extend-api-version" // of requests, answers and deliveries

	keptBody     = 4 << 10
	maxErrorBody = 1 << 20 // bodies of errors are small; what is cut here was never one of the API's
)

// The longest texts of the API that are carried along, in bytes.
const (
	maxText    = 1000 // for people
	maxMessage = 200  // the beginning of what is no message
	maxCode    = 200  // codes, names and ids
	maxLink    = 2000
)

// ErrTooLarge means that an answer was larger than this client reads. After a POST the outcome is unknown.
var ErrTooLarge = errors.New("answer too large")

// Error is a refusal: the server answered with something else than success. Every shape of body that the API
// has, and the bodies of gateways in front of it, become one. Its texts are fit to be logged, see package clean.
// https://docs.extend.ai/2025-04-21/developers/api-reference/processor-endpoints/run-processor
type Error struct {
	Method, Path string // the path is escaped and without its query
	StatusCode   int
	Code         string // such as INVALID_REQUEST; often absent
	Message      string // as the server says, or the beginning of a body that is not JSON
	RequestID    string // what the vendor's support asks for
	Retryable    bool   // as the server says; false where it does not say
	DocURL       string // of a page about the error; often absent
	// FromAPI says that the body is of the API's own shape, so that it surely is the API which refused. Where it is false,
	// a router, proxy, firewall or gateway before the API may have answered, with a status of its own choice: nothing
	// final follows from it. parseErrorBody has the rule.
	FromAPI bool
	// APIVersion is the version that the answer says it is of, "" where it says none. Other than [Version], the key or the
	// base URL is not what this client was made for.
	APIVersion string
	// RetryAfter is how long the server asks to wait, 0 where it does not say: see parseRetryAfter. At most a minute.
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
	brokenOff    bool // before its end, which the server therefore never had
	final        bool // a repetition would end the same
}

// Error returns a line that is fit to be logged: a transport's error can quote what the server sent. It says whether
// anything may have happened at Extend.
func (e *callError) Error() string {
	outcome := ""
	switch {
	case e.notSent:
		outcome = "not sent: "
	case e.brokenOff:
		outcome = "broken off, so that there is no file: "
	case e.method != http.MethodGet:
		outcome = "outcome unknown: "
	}
	return clean.Text(fmt.Sprintf("extend: %s %s: %s%v", e.method, e.path, outcome, e.err), maxText)
}
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
	body, _ := io.ReadAll(io.LimitReader(res.Body, maxErrorBody)) // half a body is better than none
	body = withoutKey(body, key)
	f := parseErrorBody(body)
	requestID, version := header(res, requestIDHeader), header(res, versionHeader)
	return &Error{
		Method:     p.method,
		Path:       p.path,
		StatusCode: res.StatusCode,
		Code:       f.code,
		Message:    f.message,
		RequestID:  cmp.Or(f.requestID, requestID),
		Retryable:  f.retryable,
		DocURL:     f.docURL,
		FromAPI:    f.proof && (f.known || requestID != "") || f.shaped && (requestID != "" || version != "" || res.StatusCode == http.StatusTooManyRequests),
		APIVersion: version,
		RetryAfter: parseRetryAfter(res.Header.Get("Retry-After"), now),
		Body:       bytes.Clone(body[:min(len(body), keptBody)]),
	}
}

// An errorBody is what a body says of an error.
type errorBody struct {
	code, message, requestID, docURL string
	retryable                        bool

	said   bool // it says anything of one
	known  bool // it has no members that the API does not write, and no request id that is not the API's
	shaped bool // it has the members of one of the API's shapes, and no others
	proof  bool // nobody but the API writes so, unless there are other members
}

// parseErrorBody knows the shapes in use under this one version:
//
//	{"success": false, "error": "text"}, with or without "success" and "code"
//	{"code": …, "message": …, "requestId": …, "retryable": …}
//	{"error": {"code": …, "message": …, "requestId": …, "retryable": …}}
//
// The first is the vendor's OpenAPI file's and the 0.x SDKs' (for a 429 without "success"), the second the SDKs' ExtendError
// and what live answers of this version have, the third the official command line tool's. A member of a type that it should
// not have is taken as absent, and anything else becomes the message.
//
// Others write {"error": "Not Found"} and {"message": "Not Found"} as well: frameworks, AWS's API Gateway, nginx, Kong. So
// that a body is the API's own is believed
//
//   - of a text "error" beside "success": false;
//   - of a "code" in capitals with a "message", beside a "retryable" that is true or false, a "requestId" of the API's form, or
//     "success": false. The vendor declares all four as always present, and no gateway that we know of writes such a pair;
//   - of both only if there is nothing else in it, such as a "path" of a framework or a request id of another form, or the answer has the
//     API's request id in its header;
//   - of less, {"error": "text"} or code and message alone, only if nothing is in it that the API does not write, and the
//     answer has a header of the API's ([requestIDHeader], [versionHeader]) or is a 429, for which the shape is published.
//
// The headers alone prove nothing: what sets them may well stand before the routes that answer.
//
// https://docs.extend.ai/2026-02-09/developers/error-codes
func parseErrorBody(body []byte) errorBody {
	body = bytes.TrimPrefix(body, []byte("\ufeff"))
	var o map[string]json.RawMessage
	if err := json.Unmarshal(body, &o); err != nil {
		return errorBody{message: clean.Text(string(body), maxMessage)}
	}
	failed := string(o["success"]) == "false"
	plain := text(o["error"])
	known := onlyKnown(o)
	var nested map[string]json.RawMessage
	if json.Unmarshal(o["error"], &nested) == nil && nested != nil {
		o, known = nested, known && onlyKnown(nested)
	}
	retryable := string(o["retryable"])
	f := errorBody{
		code:      clean.Text(text(o["code"]), maxCode),
		message:   clean.Text(cmp.Or(plain, text(o["message"])), maxText),
		requestID: clean.Text(text(o["requestId"]), maxCode),
		docURL:    clean.Link(text(o["docUrl"]), maxLink),
		retryable: retryable == "true",
	}
	structured := codePattern.MatchString(f.code) && text(o["message"]) != ""
	f.said = f.code != "" || f.message != ""
	ours := strings.HasPrefix(f.requestID, requestIDPrefix)
	f.known = known && (f.requestID == "" || ours)
	f.shaped = known && (plain != "" || structured)
	f.proof = plain != "" && failed || structured && (retryable == "true" || retryable == "false" || ours || failed)
	if !f.said {
		f.message = clean.Text(string(body), maxMessage)
	}
	return f
}

// requestIDPrefix is how the API's request ids begin.
const requestIDPrefix = "req_"

var codePattern = regexp.MustCompile(`^[A-Z][A-Z0-9]*(_[A-Z0-9]+)*$`)

// onlyKnown reports whether an error has no members but those that the API writes.
func onlyKnown(o map[string]json.RawMessage) bool {
	for name := range o {
		switch name {
		case "success", "error", "code", "message", "requestId", "retryable", "docUrl", "warning":
		default:
			return false
		}
	}
	return true
}

// header returns a header of an answer, fit to be logged.
func header(res *http.Response, name string) string { return clean.Text(res.Header.Get(name), maxCode) }

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
