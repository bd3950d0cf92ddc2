package extend

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// deep is JSON that is nested deeper than encoding/json reads.
var deep = strings.Repeat("[", 10_001) + strings.Repeat("]", 10_001)

// oddities are values of every type, and what is no JSON.
var oddities = []string{`null`, `"text"`, `""`, `0`, `-1.5e3`, `true`, `[]`, `["a", 1]`, `{}`, `{"en": "Invoices"}`, `NaN`, `-Infinity`, `[1, {"a": Infinity}]`, `undefined`, `'x'`, deep}

// A member that decides nothing can be anything, and the run is read as if it were not there.
func TestOnlyWhatDecidesIsStrict(t *testing.T) {
	t.Parallel()
	for _, member := range []string{
		"object", "processorId", "processorVersionId", "processorName", "type", "initialOutput", "reviewedOutput", "failureReason", "failureMessage",
		"metadata", "reviewed", "edited", "edits", "config", "url", "usage", "files", "mergedProcessors", "createdAt", "novelty",
	} {
		for _, odd := range oddities {
			if member == "object" && odd == `"text"` {
				continue // an object that says it is another
			}
			object := fmt.Sprintf(`{"%s": %s, "id": "dpr_1", "status": "PROCESSED", "output": {"value": {"total": 1.10}}}`, member, odd)
			run, err := ParseRun(json.RawMessage(object))
			if err != nil || run.ID != "dpr_1" || run.Status != StatusProcessed || string(run.Output) != `{"value": {"total": 1.10}}` || !run.HasOutput() {
				t.Errorf("%.200s: %+v, %v", object, run, err)
				continue
			}
			for _, raw := range []json.RawMessage{run.InitialOutput, run.ReviewedOutput, run.Metadata, run.Edits, run.Config} {
				if raw != nil && !json.Valid(raw) {
					t.Errorf("%.200s: %.100s is handed on", object, raw)
				}
			}
			// As the answer to a POST, and with the envelope's own members as odd.
			for _, answer := range []string{`{"success": true, "processorRun": ` + object + `}`, `{"success": ` + odd + `, "warning": ` + odd + `, "processorRun": ` + object + `}`} {
				if run, err := newFakeClient(t, func(*http.Request) (*http.Response, error) { return response(200, answer), nil }).Runs.Create(t.Context(), validRun); err != nil || run.ID != "dpr_1" {
					t.Errorf("%.200s: %v", answer, err)
				}
			}
		}
	}
}

func TestSummariesAndFilesAreAsTolerant(t *testing.T) {
	t.Parallel()
	for _, odd := range oddities {
		for _, member := range []string{"object", "processorId", "processorName", "processorVersionId", "type", "createdAt", "updatedAt", "usage", "novelty"} {
			page, err := parsePage[RunSummary](json.RawMessage(fmt.Sprintf(`{"success": %s, "processorRuns": [{"id": "dpr_1", "status": "FAILED", "%s": %s}], "nextPageToken": "t"}`, odd, member, odd)), "processorRuns")
			if err != nil || len(page.Items) != 1 || page.Items[0].ID != "dpr_1" || page.Items[0].Status != StatusFailed || page.NextPageToken != "t" {
				t.Errorf("%s %.50s: %+v, %v", member, odd, page, err)
			}
		}
		for _, member := range []string{"name", "type", "usage", "metadata"} {
			f, err := Parse[File](json.RawMessage(fmt.Sprintf(`{"id": "file_1", "%s": %s}`, member, odd)))
			if err != nil || f.ID != "file_1" {
				t.Errorf("%s %.50s: %+v, %v", member, odd, f, err)
			}
		}
	}
}

// What decides is not guessed: an error says what is wrong with it, and keeps what can be read.
func TestWhatDecidesIsStrict(t *testing.T) {
	t.Parallel()
	const metadata = `{"documentId": "doc_1", "attempt": 1}`
	for _, tt := range []struct{ members, reason, runID string }{
		{`"id": 17, "status": "PROCESSED"`, "id is not a text", ""},
		{`"id": {"dpr": 1}, "status": "PROCESSED"`, "id is not a text", ""},
		{`"id": "", "status": "PROCESSED"`, "id is not a text", ""},
		{`"status": "PROCESSED"`, "no id", ""},
		{`"id": "dpr_1", "status": 3`, "status is not a text", "dpr_1"},
		{`"id": "dpr_1", "status": ["PROCESSED"]`, "status is not a text", "dpr_1"},
		{`"id": "dpr_1", "status": "PROCESSED", "object": "workflow_run"`, `object is a "workflow_run"`, "dpr_1"},
		{`"id": "dpr_1", "status": "PROCESSED", "output": {"metadata": {"total": {"logprobsConfidence": NaN}}}`, "output: NaN at byte 46 is not JSON", "dpr_1"},
		{`"id": "dpr_1", "status": "PROCESSED", "output": {"n": -Infinity}`, "output: -Infinity at byte 6 is not JSON", "dpr_1"},
		{`"id": "dpr_1", "status": "PROCESSED", "output": [Infinity]`, "output: Infinity at byte 1 is not JSON", "dpr_1"},
		{`"id": "dpr_1", "status": "PROCESSED", "output": {"n": 1.}`, "output: invalid character '}' after decimal point", "dpr_1"},
		{`"id": "dpr_1", "status": "PROCESSED", "output": ` + deep, "output: invalid character '[' exceeded max depth", "dpr_1"},
	} {
		object := `{"metadata": ` + metadata + `, ` + tt.members + `}`
		run, err := ParseRun(json.RawMessage(object))
		e, ok := errors.AsType[*UnreadableError](err)
		if !ok || !strings.HasPrefix(e.Reason, tt.reason) || e.RunID != tt.runID || string(e.Metadata) != metadata || string(e.Body) != object {
			t.Errorf("%.200s: %+v, %.300v, want %q of %q", object, run, err, tt.reason, tt.runID)
		}
		if tt.runID != "" && ok && !strings.Contains(tt.reason, "status") && e.Status != StatusProcessed {
			t.Errorf("%.200s: status %q", object, e.Status)
		}

		// In an answer the call's error leads to both.
		answer := `{"success": true, "processorRun": ` + object + `}`
		c := newFakeClient(t, func(*http.Request) (*http.Response, error) {
			return response(200, answer, "x-extend-request-id", "req_1"), nil
		})
		_, err = c.Runs.Get(t.Context(), "dpr_1")
		a, answered := errors.AsType[*AnswerError](err)
		e, ok = errors.AsType[*UnreadableError](err)
		if !answered || !ok || NotSent(err) || a.StatusCode != 200 || a.RequestID != "req_1" || string(a.Body) != answer || e.RunID != tt.runID || !strings.Contains(err.Error(), tt.reason) {
			t.Errorf("%.200s: %.300v", answer, err)
		}
		if strings.Contains(err.Error(), "doc_1") || len(err.Error()) > 500 {
			t.Errorf("the error tells what is in the answer: %.600v", err)
		}
	}

	for _, page := range []string{
		`{"processorRuns": [{"id": 1}]}`, `{"processorRuns": [{"status": "FAILED"}]}`, `{"processorRuns": [{"id": "dpr_1", "status": 3}]}`, `{"processorRuns": ["dpr_1"]}`,
		`{"processorRuns": [NaN]}`, `{"processorRuns": {}}`, `{"processorRuns": [{"id": "dpr_1"}], "nextPageToken": 17}`, `{"processorRuns": [{"id": "dpr_1"}], "nextPageToken": NaN}`, `{"processorRuns": [{"id": "dpr_1"}`,
	} {
		if got, err := parsePage[RunSummary](json.RawMessage(page), "processorRuns"); err == nil {
			t.Errorf("%s is read as %+v", page, got)
		}
	}
	for _, file := range []string{`{"id": 17}`, `{"name": "a.pdf"}`, `[]`, `NaN`} {
		if got, err := Parse[File](json.RawMessage(file)); err == nil {
			t.Errorf("%s is read as %+v", file, got)
		}
	}
}

// The body of a success can be a no. It decides nothing, but people see the server's words.
func TestErrorInASuccess(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		status              int
		body, code, message string
	}{
		{200, `{"success":false,"error":"Unsupported file type: .heics"}`, "", "Unsupported file type: .heics"},
		{200, "\ufeff" + `{"success":false,"error":"Unsupported file type: .heics"}`, "", "Unsupported file type: .heics"},
		{200, `{"success":false,"error":"No such key: ` + testKey + `."}`, "", "No such key: [key]."},
		{200, `{"code":"INVALID_REQUEST","message":"No.","requestId":"req_b","retryable":false}`, "INVALID_REQUEST", "No."},
		{200, `{"error":{"code":"OCR_ERROR","message":"OCR failed.","retryable":true}}`, "OCR_ERROR", "OCR failed."},
		{200, "<html><title>Log in</title></html>", "", "<html><title>Log in</title></html>"},
		{202, ``, "", ""},
		{204, ``, "", ""},
		{200, `{"success": true, "output": {"iban": "DE00"}}`, "", ""},
		{200, `{"success": true, "output": {"iban": "DE00"`, "", ""},
	} {
		c := newFakeClient(t, func(*http.Request) (*http.Response, error) { return response(tt.status, tt.body), nil })
		_, err := c.Runs.Create(t.Context(), validRun)
		e, ok := errors.AsType[*AnswerError](err)
		if _, refused := errors.AsType[*Error](err); !ok || refused || NotSent(err) || e.Code != tt.code || e.Message != tt.message || !strings.Contains(err.Error(), "outcome unknown") {
			t.Errorf("%d %s: %v", tt.status, tt.body, err)
			continue
		}
		if !strings.Contains(err.Error(), tt.message) || strings.Contains(err.Error(), "DE00") || strings.Contains(err.Error(), testKey) || strings.Contains(string(e.Body), testKey) {
			t.Errorf("%d %s: %v", tt.status, tt.body, err)
		}
	}
}

// A byte order mark is no reason to lose a run.
func TestAnswerAfterAByteOrderMark(t *testing.T) {
	t.Parallel()
	c := newFakeClient(t, func(*http.Request) (*http.Response, error) {
		return response(200, "\ufeff"+`{"success": true, "processorRun": {"id": "dpr_1"}}`), nil
	})
	if run, err := c.Runs.Create(t.Context(), validRun); err != nil || run.ID != "dpr_1" {
		t.Errorf("%v, %v", run, err)
	}
}

// FuzzParseRun holds that a run which is read has what decides, and that an error keeps the bytes.
func FuzzParseRun(f *testing.F) {
	for _, odd := range oddities[:len(oddities)-1] {
		f.Add(`{"id": "dpr_1", "status": "PROCESSED", "output": ` + odd + `, "url": ` + odd + `}`)
		f.Add(`{"id": ` + odd + `, "status": ` + odd + `, "metadata": {}}`)
	}
	f.Fuzz(func(t *testing.T, object string) {
		run, err := ParseRun(json.RawMessage(object))
		if e, ok := errors.AsType[*UnreadableError](err); err != nil && (!ok || string(e.Body) != object || e.Metadata != nil && !json.Valid(e.Metadata)) {
			t.Fatalf("%q: %v", object, err)
		}
		if err == nil && (run.ID == "" || run.Output != nil && !json.Valid(run.Output)) {
			t.Fatalf("%q: %+v", object, run)
		}
	})
}
