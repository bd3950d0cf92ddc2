package extend

import (
	"bytes"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestErrorShapes(t *testing.T) {
	t.Parallel()
	html := "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n</body>\r\n</html>\r\n"
	for _, tt := range []struct {
		name   string
		status int
		body   string // a fixture, unless it does not end in .json
		header http.Header
		want   Error
	}{
		{name: "plain", status: 400, body: "error_400.json",
			want: Error{Message: "One of `file` or `rawText` must be provided."}},
		{name: "plain with code", status: 400, body: "error_400_file_upload.json",
			want: Error{Code: "PASSWORD_PROTECTED_FILE", Message: "The file is password protected."}},
		{name: "plain without success", status: 429, body: "error_429.json", header: http.Header{"Retry-After": {"7"}},
			want: Error{Message: "Too many requests.", RetryAfter: 7 * time.Second}},
		{name: "plain, request id in the header", status: 404, body: "error_404.json", header: http.Header{"X-Extend-Request-Id": {"req_h"}},
			want: Error{Message: "Processor not found.", RequestID: "req_h"}},
		{name: "plain 401", status: 401, body: "error_401.json",
			want: Error{Message: "Invalid API key."}},
		{name: "structured 400", status: 400, body: "error_400_structured.json",
			want: Error{Code: "INVALID_REQUEST", Message: "Expected number between 1 and 100; Path: priority", RequestID: "req_Xc81LmQzT5vKp0WyRbN4d"}},
		{name: "structured, both ids", status: 401, body: "error_401_structured.json", header: http.Header{"X-Extend-Request-Id": {"req_h"}},
			want: Error{Code: "UNAUTHORIZED", Message: "Invalid API key.", RequestID: "req_k2HsVb7GqYt9ZuE3AjMf6"}},
		{name: "structured 402", status: 402, body: "error_402_structured.json",
			want: Error{Code: "USAGE_BLOCKED", Message: "Organization usage is blocked because of insufficient credits.", RequestID: "req_P5oNw1CxIr8DgLz4StQe7"}},
		{name: "structured 404", status: 404, body: "error_404_structured.json",
			want: Error{Code: "NOT_FOUND", Message: "Processor run not found.", RequestID: "req_a6TfJm3UyKh0BvRc9XpWs"}},
		{name: "structured 429", status: 429, body: "error_429_structured.json",
			want: Error{Code: "RATE_LIMIT_EXCEEDED", Message: "Too many requests for this organization.", RequestID: "req_Z9eQl2OdGn7MtHk5IuVx1", Retryable: true}},
		{name: "structured 500", status: 500, body: "error_500_structured.json",
			want: Error{Code: "INTERNAL_ERROR", Message: "An unexpected error occurred.", RequestID: "req_y3BwFs8PjCq1EzTa6LrNo", Retryable: true}},
		{name: "nested", status: 503, body: `{"error": {"code": "OCR_ERROR", "message": "OCR failed.", "retryable": true, "requestId": "req_n"}}`,
			want: Error{Code: "OCR_ERROR", Message: "OCR failed.", RequestID: "req_n", Retryable: true}},
		{name: "members of wrong types", status: 400, body: `{"code": 17, "message": "still read", "retryable": "yes", "requestId": null, "error": null}`,
			want: Error{Message: "still read"}},
		{name: "JSON of no known shape", status: 403, body: `{"detail": "no"}`,
			want: Error{Message: `{"detail": "no"}`}},
		{name: "JSON that is no object", status: 403, body: `"no"`,
			want: Error{Message: `"no"`}},
		{name: "HTML", status: 502, body: html,
			want: Error{Message: "<html> <head><title>502 Bad Gateway</title></head> <body> </body> </html>"}},
		{name: "empty", status: 502, body: ""},
		{name: "status without a name", status: 599, body: ""},
		{name: "repeats the key", status: 401, body: `{"error": "No such key: ` + testKey + `."}`,
			want: Error{Message: "No such key: [key]."}},
		{name: "repeats a presigned URL", status: 400, body: `{"error": "Cannot fetch https://b.s3.amazonaws.com/a.pdf?X-Amz-Signature=00ff&x=1 (HTTP 403)."}`,
			want: Error{Message: "Cannot fetch https://b.s3.amazonaws.com/a.pdf?… (HTTP 403)."}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			body := tt.body
			if strings.HasSuffix(body, ".json") {
				body = string(fixture(t, body))
			}
			c := newTestClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				for k, v := range tt.header {
					w.Header()[k] = v
				}
				w.WriteHeader(tt.status)
				w.Write([]byte(body))
			}))
			_, err := c.Runs.Create(t.Context(), validRun)
			got, ok := errors.AsType[*Error](err)
			if !ok {
				t.Fatalf("got %v", err)
			}
			tt.want.Method, tt.want.Path, tt.want.StatusCode = "POST", "/processor_runs", tt.status
			if d := cmp.Diff(&tt.want, got, cmpopts.IgnoreFields(Error{}, "Body")); d != "" {
				t.Errorf("-want +got\n%s", d)
			}
			diff(t, strings.ReplaceAll(body, testKey, "[key]"), string(got.Body))
			if NotSent(err) {
				t.Error("an answered request was sent")
			}
		})
	}
}

func TestErrorText(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err  Error
		want string
	}{
		{Error{Method: "POST", Path: "/processor_runs", StatusCode: 404, Code: "NOT_FOUND", Message: "Processor not found.", RequestID: "req_1"},
			"extend: POST /processor_runs: 404 NOT_FOUND: Processor not found. (request req_1)"},
		{Error{Method: "GET", Path: "/processor_runs/dpr_1", StatusCode: 502},
			"extend: GET /processor_runs/dpr_1: 502 Bad Gateway"},
		{Error{Method: "GET", Path: "/processor_runs/dpr_1", StatusCode: 599, Message: "odd"},
			"extend: GET /processor_runs/dpr_1: 599 unknown status: odd"},
	} {
		diff(t, tt.want, tt.err.Error())
	}
}

func TestErrorIsLoggedWithoutItsBody(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	slog.New(slog.NewJSONHandler(&b, nil)).Error("refused", "error", &Error{Method: "POST", Path: "/processor_runs", StatusCode: 429,
		Code: "RATE_LIMIT_EXCEEDED", Message: "Too many.", RequestID: "req_1", Retryable: true, RetryAfter: 3 * time.Second, Body: []byte("private")})
	if want := `"error":"extend: POST /processor_runs: 429 RATE_LIMIT_EXCEEDED: Too many. (request req_1)"}`; !strings.HasSuffix(b.String(), want+"\n") {
		t.Errorf("got %s want %s", b.String(), want)
	}
}

func TestErrorKeepsTheBeginningOfALongBody(t *testing.T) {
	t.Parallel()
	c := newTestClient(t, answerWith(500, []byte(strings.Repeat("é", 10_000))))
	_, err := c.Runs.Get(t.Context(), "dpr_1")
	e, ok := errors.AsType[*Error](err)
	if !ok {
		t.Fatal(err)
	}
	diff(t, 4096, len(e.Body))
	diff(t, strings.Repeat("é", 100)+"…", e.Message)
}

func TestErrorsNeverHoldTheRequest(t *testing.T) {
	t.Parallel()
	secret := "X-Amz-Signature=deadbeef"
	for name, h := range map[string]http.HandlerFunc{
		"refused":  answerWith(400, []byte(`{"error": "no"}`)),
		"unusable": answerWith(200, []byte(`{}`)),
		"dropped":  func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := newTestClient(t, h).Runs.Create(t.Context(), CreateRunRequest{
				ProcessorID: "dp_1",
				File:        &RunFile{FileURL: "https://b.s3.amazonaws.com/a.pdf?" + secret},
			})
			if err == nil || strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), testKey) {
				t.Errorf("got %v", err)
			}
		})
	}
}
