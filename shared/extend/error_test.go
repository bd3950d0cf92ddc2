package extend

import (
	"bytes"
	"encoding/json"
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
			want: Error{FromAPI: true, Message: "One of `file` or `rawText` must be provided."}},
		{name: "plain with code", status: 400, body: "error_400_file_upload.json",
			want: Error{FromAPI: true, Code: "PASSWORD_PROTECTED_FILE", Message: "The file is password protected."}},
		{name: "plain without success", status: 429, body: "error_429.json", header: http.Header{"Retry-After": {"7"}},
			want: Error{FromAPI: true, Message: "Too many requests.", RetryAfter: 7 * time.Second}},
		{name: "plain, request id in the header", status: 404, body: "error_404.json", header: http.Header{"X-Extend-Request-Id": {"req_h"}},
			want: Error{FromAPI: true, Message: "Processor not found.", RequestID: "req_h"}},
		{name: "plain 401", status: 401, body: "error_401.json",
			want: Error{FromAPI: true, Message: "Invalid API key."}},
		{name: "structured 400", status: 400, body: "error_400_structured.json",
			want: Error{FromAPI: true, Code: "INVALID_REQUEST", Message: "Expected number between 1 and 100; Path: priority", RequestID: "req_Xc81LmQzT5vKp0WyRbN4d"}},
		{name: "structured, both ids", status: 401, body: "error_401_structured.json", header: http.Header{"X-Extend-Request-Id": {"req_h"}},
			want: Error{FromAPI: true, Code: "UNAUTHORIZED", Message: "Invalid API key.", RequestID: "req_k2HsVb7GqYt9ZuE3AjMf6"}},
		{name: "structured 402", status: 402, body: "error_402_structured.json",
			want: Error{FromAPI: true, Code: "USAGE_BLOCKED", Message: "Organization usage is blocked because of insufficient credits.", RequestID: "req_P5oNw1CxIr8DgLz4StQe7"}},
		{name: "structured 404", status: 404, body: "error_404_structured.json",
			want: Error{FromAPI: true, Code: "NOT_FOUND", Message: "Processor run not found.", RequestID: "req_a6TfJm3UyKh0BvRc9XpWs"}},
		{name: "structured 429", status: 429, body: "error_429_structured.json",
			want: Error{FromAPI: true, Code: "RATE_LIMIT_EXCEEDED", Message: "Too many requests for this organization.", RequestID: "req_Z9eQl2OdGn7MtHk5IuVx1", Retryable: true}},
		{name: "structured 500", status: 500, body: "error_500_structured.json",
			want: Error{FromAPI: true, Code: "INTERNAL_ERROR", Message: "An unexpected error occurred.", RequestID: "req_y3BwFs8PjCq1EzTa6LrNo", Retryable: true}},
		{name: "nested", status: 503, body: `{"error": {"code": "OCR_ERROR", "message": "OCR failed.", "retryable": true, "requestId": "req_n"}}`,
			want: Error{FromAPI: true, Code: "OCR_ERROR", Message: "OCR failed.", RequestID: "req_n", Retryable: true}},
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
		{name: "tells its version", status: 410, body: `{"code": "ENDPOINT_REMOVED", "message": "Gone.", "retryable": false}`, header: http.Header{"X-Extend-Api-Version": {"2026-02-09"}},
			want: Error{FromAPI: true, Code: "ENDPOINT_REMOVED", Message: "Gone.", APIVersion: "2026-02-09"}},
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

// What is final has to come from the API itself. Everything between may write a status and a body of its own.
func TestWhoRefused(t *testing.T) {
	t.Parallel()
	const id, version = "X-Extend-Request-Id", "X-Extend-Api-Version"
	for _, tt := range []struct {
		name   string
		status int
		header string // of the answer, with any value
		body   string
		want   bool
	}{
		// The API's own.
		{"plain", 404, "", `{"success": false, "error": "Processor not found."}`, true},
		{"plain, with a code", 400, "", `{"success": false, "error": "No.", "code": "CORRUPT_FILE"}`, true},
		{"plain, with a new member and the API's header", 400, id, `{"success": false, "error": "No.", "hint": "x"}`, true},
		{"plain, with a new member", 400, "", `{"success": false, "error": "No.", "hint": "x"}`, false},
		{"plain, of a framework", 404, "", `{"success":false,"error":"Not Found","statusCode":404,"path":"/processor_runs"}`, false},
		{"plain, of a proxy", 401, "", `{"success":false,"error":"Unauthorized","realm":"corp-proxy"}`, false},
		{"plain, with a request id that is not the API's", 404, "", `{"success":false,"error":"Request blocked","requestId":"6f1c2a"}`, false},
		{"plain, with the API's request id", 404, "", `{"success":false,"error":"No.","requestId":"req_1"}`, true},
		{"structured, with a request id that is not the API's", 403, "", `{"code":"RBAC_ACCESS_DENIED","message":"RBAC: access denied","requestId":"abc","success":false}`, false},
		{"structured, of a gateway", 404, "", `{"code":"ROUTE_NOT_FOUND","message":"No route.","requestId":"6f1c2a"}`, false},
		{"plain, in a 429", 429, "", `{"error": "Too many requests."}`, true},
		{"plain, without success but with the request id", 404, id, `{"error": "No."}`, true},
		{"plain, without success but with the version", 404, version, `{"error": "No."}`, true},
		{"structured", 404, "", `{"code": "NOT_FOUND", "message": "No.", "requestId": "req_1", "retryable": false}`, true},
		{"structured, newest", 402, "", `{"code": "USAGE_BLOCKED", "message": "No.", "requestId": "req_1", "retryable": false, "docUrl": "https://docs.extend.ai"}`, true},
		{"structured, without the request id", 429, "", `{"code": "RATE_LIMIT_EXCEEDED", "message": "No.", "retryable": true}`, true},
		{"structured, without retryable", 401, "", `{"code": "UNAUTHORIZED", "message": "No.", "requestId": "req_1"}`, true},
		{"structured, with the request id in the header", 403, id, `{"code": "FORBIDDEN", "message": "No."}`, true},
		{"structured, with an unknown code", 400, "", `{"code": "OCR2_FAILED", "message": "No.", "retryable": false}`, true},
		{"nested", 404, "", `{"error": {"code": "NOT_FOUND", "message": "No.", "retryable": false}}`, true},
		{"nested, beside success", 404, "", `{"success": false, "error": {"code": "NOT_FOUND", "message": "No."}}`, true},
		{"after a byte order mark", 404, "", "\ufeff" + `{"success": false, "error": "No."}`, true},

		// Gateways, proxies, routers, firewalls.
		{"default backend", 404, "", "default backend - 404", false},
		{"Go's router", 404, "", "404 page not found\n", false},
		{"Express", 404, "", "<!DOCTYPE html><pre>Cannot GET /processor_runs/dpr_1</pre>", false},
		{"API Gateway", 404, "", `{"message":"Not Found"}`, false},
		{"API Gateway, with the API's header", 404, id, `{"message":"Not Found"}`, false},
		{"API Gateway's authorizer", 403, "", `{"Message":"User is not authorized to access this resource with an explicit deny"}`, false},
		{"AWS service", 400, "", `{"__type":"ValidationException","message":"No."}`, false},
		{"Kong", 404, "", `{"message":"no Route matched with those values","request_id":"7d3c"}`, false},
		{"Azure", 404, "", `{"error":{"code":"ResourceNotFound","message":"No."}}`, false},
		{"Azure API Management", 404, "", `{ "statusCode": 404, "message": "Resource not found" }`, false},
		{"Google", 404, "", `{"error":{"code":404,"message":"No.","status":"NOT_FOUND"}}`, false},
		{"Google, with the API's header", 404, id, `{"error":{"code":404,"message":"No.","status":"NOT_FOUND"}}`, false},
		{"Vercel", 404, "", `{"error":{"code":"not_found","message":"No."}}`, false},
		{"Vercel, of a deployment", 404, "", `{"error":{"code":"DEPLOYMENT_NOT_FOUND","message":"No."}}`, false},
		{"Cloudflare", 403, "", `{"success":false,"errors":[{"code":10000,"message":"Authentication error"}],"messages":[],"result":null}`, false},
		{"Apigee", 404, "", `{"fault":{"faultstring":"Unable to identify proxy","detail":{"errorcode":"messaging.adaptors.http.flow.ApplicationNotFound"}}}`, false},
		{"Spring", 404, "", `{"timestamp":"2026-07-14T09:15:00Z","status":404,"error":"Not Found","path":"/processor_runs/dpr_1"}`, false},
		{"Spring, with the API's header", 404, id, `{"timestamp":"2026-07-14T09:15:00Z","status":404,"error":"Not Found","path":"/processor_runs/dpr_1"}`, false},
		{"Fastify, with the API's header", 404, id, `{"message":"Route GET:/processor_runs/dpr_1 not found","error":"Not Found","statusCode":404}`, false},
		{"Nest, with the API's header", 404, id, `{"statusCode":404,"message":"Cannot GET /processor_runs/dpr_1","error":"Not Found"}`, false},
		{"Rails", 404, "", `{"status":404,"error":"Not Found"}`, false},
		{"Flask", 404, "", `{"error":"Not Found"}`, false},
		{"Django", 404, "", `{"detail":"Not found."}`, false},
		{"problem+json", 404, id, `{"type":"about:blank","title":"Not Found","status":404,"detail":"No."}`, false},
		{"code and message alone", 404, "", `{"code":"NOT_FOUND","message":"No."}`, false},
		{"code in lower case", 404, "", `{"code":"not_found","message":"No.","requestId":"r","retryable":false}`, false},
		{"code that is a number", 404, "", `{"code":404,"message":"No.","requestId":"r","retryable":false}`, false},
		{"no message", 404, "", `{"code":"NOT_FOUND","requestId":"r","retryable":false}`, false},
		{"success that is a text", 404, "", `{"success":"false","error":"No."}`, false},
		{"success alone", 400, "", `{"success":false}`, false},
		{"success true", 400, "", `{"success":true,"error":"No."}`, false},
		{"retryable that is a text", 404, "", `{"code":"NOT_FOUND","message":"No.","retryable":"false"}`, false},
		{"half a body", 404, id, `{"success": false, "error": "Proc`, false},
		{"HTML with the API's header", 502, id, "<html>502</html>", false},
		{"a list", 404, id, `[{"success": false, "error": "No."}]`, false},
		{"empty", 400, "", "", false},
		{"empty, with the API's headers", 404, id, "", false},
		{"empty object", 404, id, "{}", false},
		{"null", 404, id, "null", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			header := []string{"x-other", "x"}
			if tt.header != "" {
				header = []string{tt.header, "x"}
			}
			c := newFakeClient(t, func(*http.Request) (*http.Response, error) { return response(tt.status, tt.body, header...), nil }, WithRetry(Retry{Attempts: 1}))
			_, err := c.Runs.Get(t.Context(), "dpr_1")
			if e, ok := errors.AsType[*Error](err); !ok || e.FromAPI != tt.want || e.StatusCode != tt.status {
				t.Errorf("%+v", e)
			}
		})
	}
}

// Texts of the server's are cleaned where they enter.
func TestTextsAreFitToBeLogged(t *testing.T) {
	t.Parallel()
	dirty := "could not fetch /in/a.pdf?X-Amz-Signature=5ecre7\r\n\u202e" + strings.Repeat("x", 300<<10)
	check := func(what, text string) {
		t.Helper()
		if text == "" || strings.Contains(text, "5ecre7") || strings.ContainsAny(text, "\r\n\u202e") || len(text) > 2100 {
			t.Errorf("%s is %.200q, %d bytes", what, text, len(text))
		}
	}
	body := func(format string) string {
		quoted, err := json.Marshal(dirty)
		if err != nil {
			t.Fatal(err)
		}
		return strings.ReplaceAll(format, "$", string(quoted))
	}
	fails := func(status int, body string, header ...string) error {
		c := newFakeClient(t, func(*http.Request) (*http.Response, error) { return response(status, body, header...), nil })
		_, err := c.Runs.Create(t.Context(), validRun)
		if err == nil {
			t.Fatal("no error")
		}
		check("error", err.Error())
		return err
	}
	for _, shape := range []string{`{"code": $, "message": $, "requestId": $, "retryable": false}`, `{"success": false, "error": $, "code": $, "requestId": $}`, `{"error": {"code": $, "message": $, "requestId": $}}`} {
		e, _ := errors.AsType[*Error](fails(400, body(shape)))
		check("code", e.Code)
		check("message", e.Message)
		check("request id", e.RequestID)
	}
	for _, other := range []string{dirty, body(`{"detail": $}`), body(`[$]`)} {
		e, _ := errors.AsType[*Error](fails(502, other, "x-extend-request-id", dirty, "x-extend-api-version", dirty))
		check("message", e.Message)
		check("request id", e.RequestID)
		check("version", e.APIVersion)
	}
	fails(200, body(`{"success": false, "error": $}`), "x-extend-request-id", dirty)
	fails(200, dirty)
	fails(200, body(`{"processorRun": {"id": $, "object": $}}`))
	fails(307, "", "Location", "::"+dirty)

	run, err := ParseRun(json.RawMessage(body(`{"id": "dpr_1", "processorId": $, "processorVersionId": $, "processorName": $, "type": $, "failureReason": $, "failureMessage": $, "url": $, "output": {"value": $}}`)))
	if err != nil {
		t.Fatal(err)
	}
	for what, text := range map[string]string{"processorId": run.ProcessorID, "processorVersionId": run.ProcessorVersionID, "processorName": run.ProcessorName,
		"type": string(run.Type), "failureReason": run.FailureReason, "failureMessage": run.FailureMessage, "url": run.URL} {
		check(what, text)
	}
	diff(t, body(`{"value": $}`), string(run.Output)) // which nobody may change
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
