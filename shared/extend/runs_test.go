package extend

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestStatusTerminal(t *testing.T) {
	t.Parallel()
	for status, want := range map[Status]bool{
		StatusPending: false, StatusProcessing: false, StatusProcessed: true, StatusFailed: true, StatusCancelled: true,
		"": false, "CANCELLING": false, "processed": false,
	} {
		if got := status.Terminal(); got != want {
			t.Errorf("%q: %v", status, got)
		}
	}
}

// recorder answers with a body and keeps the request.
type recorder struct {
	answer       []byte
	method, path string
	query        url.Values
	rawQuery     string
	body         []byte
}

func (rec *recorder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rec.method, rec.path, rec.query, rec.rawQuery = r.Method, r.URL.Path, r.URL.Query(), r.URL.RawQuery
	rec.body, _ = io.ReadAll(r.Body)
	w.Write(rec.answer)
}

func decoded(t *testing.T, raw []byte) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestCreateSendsWhatTheAPIReads(t *testing.T) {
	t.Parallel()
	byURL := decoded(t, fixture(t, "run_create_request.json"))
	inline := decoded(t, fixture(t, "run_create_request_inline_config.json"))
	config, err := json.Marshal(inline["config"])
	if err != nil {
		t.Fatal(err)
	}
	delete(byURL, "sync") // false is the default, and not sent

	for _, tt := range []struct {
		name string
		req  CreateRunRequest
		want map[string]any
	}{
		{"file by URL", CreateRunRequest{
			ProcessorID: "dp_Q7hTz2Wm4kLxVr9BnE1cy",
			Version:     "2.1",
			File:        &RunFile{FileName: "invoice-88213.pdf", FileURL: byURL["file"].(map[string]any)["fileUrl"].(string)},
			Priority:    20,
			Metadata: map[string]any{
				"documentId":        "doc_01J9ZK4T8Q",
				"tenantId":          "tenant-4471",
				"sourceBucket":      "acme-intake-documents",
				"sourceKey":         "inbound/2026/07/14/invoice-88213.pdf",
				"attempt":           1,
				"correlationId":     "5f0c2a1e-6b7d-4b43-9d52-0a8f3c9be771",
				"extend:usage_tags": []string{"production", "team-intake", "batch 2026/07"},
			},
		}, byURL},
		{"raw text and config", CreateRunRequest{
			ProcessorID: "dp_Q7hTz2Wm4kLxVr9BnE1cy",
			Version:     "draft",
			RawText:     "Invoice 88213\nTotal due: 1,204.50 USD\n",
			Priority:    50,
			Metadata:    map[string]any{"documentId": "doc_01J9ZKRAW1"},
			Config:      config,
		}, inline},
		{"file by id, and no more", CreateRunRequest{ProcessorID: "dp_1", File: &RunFile{FileID: "file_1"}},
			map[string]any{"processorId": "dp_1", "file": map[string]any{"fileId": "file_1"}}},
		{"sync", CreateRunRequest{ProcessorID: "dp_1", RawText: "x", Sync: true},
			map[string]any{"processorId": "dp_1", "rawText": "x", "sync": true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			rec := &recorder{answer: fixture(t, "run_create_response.json")}
			run, err := newTestClient(t, rec).Runs.Create(t.Context(), tt.req)
			if err != nil {
				t.Fatal(err)
			}
			diff(t, "dpr_4fWn8KqZtB1yLmXc6RvHs", run.ID)
			diff(t, "POST /processor_runs", rec.method+" "+rec.path)
			diff(t, tt.want, decoded(t, rec.body))
		})
	}
}

func TestCreateChecksBeforeItSends(t *testing.T) {
	t.Parallel()
	c := newTestClient(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("sent") }))
	for _, tt := range []struct {
		name string
		req  CreateRunRequest
		want string
	}{
		{"no processor", CreateRunRequest{RawText: "x"}, "processorId is empty"},
		{"no document", CreateRunRequest{ProcessorID: "dp_1"}, "file and rawText are both absent"},
		{"two documents", CreateRunRequest{ProcessorID: "dp_1", RawText: "x", File: &RunFile{FileID: "file_1"}}, "file and rawText are both set"},
		{"file without a place", CreateRunRequest{ProcessorID: "dp_1", File: &RunFile{FileName: "a.pdf"}}, "file.fileUrl and file.fileId are both empty"},
		{"file in two places", CreateRunRequest{ProcessorID: "dp_1", File: &RunFile{FileURL: "https://example.com/?sig=1", FileID: "file_1"}}, "file.fileUrl and file.fileId are both set"},
		{"config is not JSON", CreateRunRequest{ProcessorID: "dp_1", RawText: "x", Config: json.RawMessage("{")}, "JSON"},
		{"metadata is not JSON", CreateRunRequest{ProcessorID: "dp_1", RawText: "x", Metadata: map[string]any{"f": func() {}}}, "unsupported type"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := c.Runs.Create(t.Context(), tt.req)
			if !NotSent(err) || !strings.Contains(err.Error(), "extend: POST /processor_runs: ") || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("NotSent %v, %v", NotSent(err), err)
			}
			if strings.Contains(err.Error(), "sig=1") {
				t.Errorf("URL in %q", err)
			}
		})
	}
}

func TestCreateAnswer(t *testing.T) {
	t.Parallel()
	run, err := newTestClient(t, answerWith(200, fixture(t, "run_create_response.json"))).Runs.Create(t.Context(), validRun)
	if err != nil {
		t.Fatal(err)
	}
	diff(t, StatusProcessing, run.Status)
	diff(t, TypeExtract, run.Type)
	diff(t, "{}", string(run.Output))
	diff(t, false, run.HasOutput())
	diff(t, (*Usage)(nil), run.Usage)
	diff(t, "https://dashboard.extend.ai/runs/dpr_4fWn8KqZtB1yLmXc6RvHs", run.URL)
}

func TestGet(t *testing.T) {
	t.Parallel()
	rec := &recorder{answer: fixture(t, "run_get_processed_extract.json")}
	run, err := newTestClient(t, rec).Runs.Get(t.Context(), "dpr_4fWn8KqZtB1yLmXc6RvHs")
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "GET /processor_runs/dpr_4fWn8KqZtB1yLmXc6RvHs", rec.method+" "+rec.path)
	diff(t, "", string(rec.body))
	diff(t, true, run.HasOutput())
	if !strings.Contains(string(run.Output), `"city": "Zürich"`) {
		t.Error("output is not as received")
	}
	if run.ReviewedOutput != nil || run.Usage == nil || run.Usage.Credits == "" {
		t.Errorf("reviewedOutput %q, usage %v", run.ReviewedOutput, run.Usage)
	}
}

func TestGetReviewed(t *testing.T) {
	t.Parallel()
	run, err := newTestClient(t, answerWith(200, fixture(t, "run_get_reviewed_extract.json"))).Runs.Get(t.Context(), "dpr_1")
	if err != nil {
		t.Fatal(err)
	}
	diff(t, []bool{true, true, true}, []bool{run.Reviewed, run.Edited, run.HasOutput()})
	diff(t, compact(t, run.ReviewedOutput), compact(t, run.Output))
	if compact(t, run.InitialOutput) == compact(t, run.Output) {
		t.Error("initialOutput is the reviewed one")
	}
	diff(t, true, strings.Contains(string(run.Edits), "originalValue"))
	diff(t, json.Number("6"), run.Usage.Credits)
}

func TestGetFailed(t *testing.T) {
	t.Parallel()
	run, err := newTestClient(t, answerWith(200, fixture(t, "run_get_failed.json"))).Runs.Get(t.Context(), "dpr_1")
	if err != nil {
		t.Fatal(err)
	}
	diff(t, StatusFailed, run.Status)
	diff(t, "FAILED_TO_PROCESS_FILE", run.FailureReason)
	diff(t, true, run.FailureMessage != "")
	diff(t, false, run.HasOutput())
}

func TestCancel(t *testing.T) {
	t.Parallel()
	rec := &recorder{answer: fixture(t, "run_cancel_response.json")}
	run, err := newTestClient(t, rec).Runs.Cancel(t.Context(), "dpr_Gw9aTf3UnJ6oRe1KpVb7Z")
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "POST /processor_runs/dpr_Gw9aTf3UnJ6oRe1KpVb7Z/cancel", rec.method+" "+rec.path)
	diff(t, "", string(rec.body))
	diff(t, StatusCancelled, run.Status)
}

func TestDelete(t *testing.T) {
	t.Parallel()
	rec := &recorder{answer: fixture(t, "run_delete_response.json")}
	if _, err := newTestClient(t, rec).Runs.Delete(t.Context(), "dpr_4fWn8KqZtB1yLmXc6RvHs"); err != nil {
		t.Fatal(err)
	}
	diff(t, "DELETE /processor_runs/dpr_4fWn8KqZtB1yLmXc6RvHs", rec.method+" "+rec.path)

	_, err := newTestClient(t, answerWith(404, fixture(t, "error_404.json"))).Runs.Delete(t.Context(), "dpr_1")
	if e, ok := errors.AsType[*Error](err); !ok || e.StatusCode != 404 {
		t.Errorf("got %v", err)
	}
	_, err = newTestClient(t, answerWith(200, []byte(`{"success": false, "error": "No."}`))).Runs.Delete(t.Context(), "dpr_1")
	if err == nil || !strings.Contains(err.Error(), `no "documentProcessorRunId"`) {
		t.Errorf("got %v", err)
	}
}

func TestListSendsEveryFilter(t *testing.T) {
	t.Parallel()
	rec := &recorder{answer: fixture(t, "run_list_response.json")}
	c := newTestClient(t, rec)
	token := "hT4mWq9ZsKx1LbVc7RyPnA==:Q0eUoG5jXfD2/iNtB8r+Hk3M="
	page, err := c.Runs.List(t.Context(), ListRunsRequest{
		Status: StatusFailed, ProcessorID: "dp_1", ProcessorType: TypeSplitter, SourceID: "workflow_run_1", Source: SourceAPI,
		FileNameContains: "doc_a&b=c d", SortBy: SortByCreatedAt, SortDir: SortAsc, NextPageToken: token, MaxPageSize: 1000,
	})
	if err != nil {
		t.Fatal(err)
	}
	diff(t, url.Values{
		"status": {"FAILED"}, "processorId": {"dp_1"}, "processorType": {"SPLITTER"}, "sourceId": {"workflow_run_1"}, "source": {"API"},
		"fileNameContains": {"doc_a&b=c d"}, "sortBy": {"createdAt"}, "sortDir": {"asc"}, "nextPageToken": {token}, "maxPageSize": {"1000"},
	}, rec.query)
	if want := "nextPageToken=hT4mWq9ZsKx1LbVc7RyPnA%3D%3D%3AQ0eUoG5jXfD2%2FiNtB8r%2BHk3M%3D"; !strings.Contains(rec.rawQuery, want) {
		t.Errorf("no %s in %s", want, rec.rawQuery)
	}

	diff(t, 5, len(page.Items))
	diff(t, "hT4mWq9ZsKx1LbVc7RyPnA==:Q0eUoG5jXfD2iNtB8rHk3MvYw6SlCzE1aPdJgKxTqVs=", page.NextPageToken)
	raw := page.Items[2].Raw
	diff(t, true, strings.Contains(string(raw), "Shipment packet splitter"))
	diff(t, RunSummary{
		Resource: Resource{ID: "dpr_uN5iXq3ZgF9aRj7OyWc2T", Received: Received{Raw: raw}}, Status: StatusProcessed, ProcessorID: "dp_M1xGf6Zc9PoTe4LsI2kd", ProcessorName: "Shipment packet splitter",
		ProcessorVersionID: "dpv_T0nCw7BgU3iHzEy5OqKf1", Type: TypeSplitter, Usage: &Usage{Credits: "8"},
		CreatedAt: time.Date(2026, 7, 14, 10, 20, 0, 0, time.UTC), UpdatedAt: time.Date(2026, 7, 14, 10, 20, 37, 0, time.UTC),
	}, page.Items[2])

	if _, err := c.Runs.List(t.Context(), ListRunsRequest{}); err != nil {
		t.Fatal(err)
	}
	diff(t, "", rec.rawQuery)
}

func TestListWithoutRunsIsNotAnEmptyList(t *testing.T) {
	t.Parallel()
	page, err := newTestClient(t, answerWith(200, fixture(t, "run_list_last_page_response.json"))).Runs.List(t.Context(), ListRunsRequest{})
	if err != nil || len(page.Items) != 0 || page.NextPageToken != "" {
		t.Errorf("last page: %v, %v", page, err)
	}
	for _, body := range []string{`{}`, `{"success": true}`, `{"success": true, "processorRuns": null}`, `[]`, `{"processorRuns": {}}`} {
		if _, err := newTestClient(t, answerWith(200, []byte(body))).Runs.List(t.Context(), ListRunsRequest{}); err == nil {
			t.Errorf("%s is accepted", body)
		}
	}
}

// pages serves one page per token, and counts.
func pages(t *testing.T, served *int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		*served++
		if r.URL.Query().Get("status") != "FAILED" {
			t.Error("the filter is lost")
		}
		switch token := r.URL.Query().Get("nextPageToken"); token {
		case "":
			w.Write([]byte(`{"success": true, "processorRuns": [{"id": "dpr_1"}, {"id": "dpr_2"}], "nextPageToken": "=:/+"}`))
		case "=:/+":
			w.Write([]byte(`{"success": true, "processorRuns": [], "nextPageToken": "third"}`)) // a short page is not the last
		case "third":
			w.Write([]byte(`{"success": true, "processorRuns": [{"id": "dpr_3"}], "nextPageToken": null}`))
		default:
			t.Errorf("token %q", token)
		}
	}
}

func TestAll(t *testing.T) {
	t.Parallel()
	served := 0
	c := newTestClient(t, pages(t, &served))
	all := c.Runs.All(t.Context(), ListRunsRequest{Status: StatusFailed})
	for range 2 { // an iterator starts over
		var got []string
		for run, err := range all {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, run.ID)
		}
		diff(t, []string{"dpr_1", "dpr_2", "dpr_3"}, got)
	}
	diff(t, 6, served)
}

func TestAllStoppedEarlyCostsNoPage(t *testing.T) {
	t.Parallel()
	served := 0
	c := newTestClient(t, pages(t, &served))
	for run := range c.Runs.All(t.Context(), ListRunsRequest{Status: StatusFailed}) {
		if run.ID == "dpr_2" { // the last one of its page
			break
		}
	}
	diff(t, 1, served)
}

func TestAllEndsWithAnError(t *testing.T) {
	t.Parallel()
	for name, second := range map[string]http.HandlerFunc{
		"refused":        answerWith(500, fixture(t, "error_500_structured.json")),
		"token repeated": answerWith(200, []byte(`{"processorRuns": [], "nextPageToken": "again"}`)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newTestClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Query().Get("nextPageToken") == "" {
					w.Write([]byte(`{"processorRuns": [{"id": "dpr_1"}], "nextPageToken": "again"}`))
					return
				}
				second(w, r)
			}))
			var ids []string
			var errs []error
			for run, err := range c.Runs.All(t.Context(), ListRunsRequest{}) {
				ids, errs = append(ids, run.ID), append(errs, err)
			}
			diff(t, []string{"dpr_1", ""}, ids)
			if errs[0] != nil || errs[1] == nil {
				t.Errorf("got %v", errs)
			}
		})
	}
}

func TestParseRunKeepsBytes(t *testing.T) {
	t.Parallel()
	output := `{ "total":12345678901234567890.10,"tiny" : 1E-400, "text":"a<b>\u00e9é" }`
	run, err := ParseRun(json.RawMessage(`{"object": "document_processor_run", "id": "dpr_1", "status": "PROCESSED", "output": ` + output + `,
		"metadata": {"n": 9007199254740993}, "usage": {"credits": 0.10}}`))
	if err != nil {
		t.Fatal(err)
	}
	diff(t, output, string(run.Output))
	diff(t, `{"n": 9007199254740993}`, string(run.Metadata))
	diff(t, json.Number("0.10"), run.Usage.Credits)

	// The same bytes through a whole call.
	c := newTestClient(t, answerWith(200, []byte(`{"success": true, "processorRun": {"id": "dpr_1", "status": "PROCESSED", "output": `+output+`}}`)))
	run, err = c.Runs.Get(t.Context(), "dpr_1")
	if err != nil {
		t.Fatal(err)
	}
	diff(t, output, string(run.Output))
}

func TestParseRunTolerates(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, object string
		want         Run
		hasOutput    bool
	}{
		{"least", `{"id": "dpr_1"}`, Run{ID: "dpr_1"}, false},
		{"nulls", `{"id": "dpr_1", "status": "FAILED", "output": null, "failureReason": null, "metadata": null, "reviewed": null, "edits": null, "config": null, "files": null, "url": null, "usage": null}`,
			Run{ID: "dpr_1", Status: "FAILED", Output: json.RawMessage("null"), Metadata: json.RawMessage("null"), Edits: json.RawMessage("null"), Config: json.RawMessage("null"), Files: json.RawMessage("null")}, false},
		{"unknown status, type and field", `{"id": "dpr_1", "status": "QUEUED", "type": "REDACT", "output": {}, "novelty": [1]}`,
			Run{ID: "dpr_1", Status: "QUEUED", Type: "REDACT", Output: json.RawMessage("{}")}, false},
		{"processed, null", `{"id": "dpr_1", "status": "PROCESSED", "output": null}`,
			Run{ID: "dpr_1", Status: "PROCESSED", Output: json.RawMessage("null")}, false},
		{"processed, absent", `{"id": "dpr_1", "status": "PROCESSED"}`, Run{ID: "dpr_1", Status: "PROCESSED"}, false},
		{"processed, empty", `{"id": "dpr_1", "status": "PROCESSED", "output": {}}`,
			Run{ID: "dpr_1", Status: "PROCESSED", Output: json.RawMessage("{}")}, true},
		{"files of another shape", `{"id": "dpr_1", "files": {"file_1": [1, "2"]}}`, Run{ID: "dpr_1", Files: json.RawMessage(`{"file_1": [1, "2"]}`)}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			run, err := ParseRun(json.RawMessage(tt.object))
			if err != nil {
				t.Fatal(err)
			}
			tt.want.Raw, tt.want.Object = json.RawMessage(tt.object), run.Object
			diff(t, &tt.want, run)
			diff(t, tt.hasOutput, run.HasOutput())
		})
	}
	for _, object := range []string{``, `null`, `[]`, `"dpr_1"`, `{}`, `{"object": "document_processor_run"}`, `{"object": "signed_data_url", "id": "dpr_1"}`, `{"id": "dpr_1"} x`} {
		if run, err := ParseRun(json.RawMessage(object)); err == nil {
			t.Errorf("%s is read as %+v", object, run)
		}
	}
}

func TestDatesInEverySpelling(t *testing.T) {
	t.Parallel()
	for spelling, want := range map[string]time.Time{
		`"2026-07-14T15:30:00Z"`:             time.Date(2026, 7, 14, 15, 30, 0, 0, time.UTC),
		`"2026-07-14T17:01:39.285Z"`:         time.Date(2026, 7, 14, 17, 1, 39, 285e6, time.UTC),
		`"2026-07-14T21:22:37.318000+00:00"`: time.Date(2026, 7, 14, 21, 22, 37, 318e6, time.UTC),
		`"2026-07-14T23:22:37+02:00"`:        time.Date(2026, 7, 14, 21, 22, 37, 0, time.UTC),
		`"14 July 2026"`:                     {},
		`1784020500`:                         {},
		`null`:                               {},
	} {
		s, err := Parse[RunSummary](json.RawMessage(`{"id": "dpr_1", "createdAt": ` + spelling + `}`))
		if err != nil {
			t.Errorf("%s: %v", spelling, err)
			continue
		}
		diff(t, want, s.CreatedAt)
	}
}

// A run that was paid is not lost over a price that can't be read.
func TestUsageIsTolerant(t *testing.T) {
	t.Parallel()
	for usage, want := range map[string]json.Number{
		`{"credits": 1.50}`: "1.50", `{"credits": -0}`: "-0", `{"credits": 1e2}`: "1e2",
		`{"credits": null}`: "", `{}`: "", `{"credits": "n/a"}`: "", `{"credits": ""}`: "", `{"credits": {}}`: "", `[]`: "", `"free"`: "", `7`: "",
		`{"credits": 1e400}`: "", `{"credits": ` + strings.Repeat("9", 1000) + `}`: "",
	} {
		run, err := ParseRun(json.RawMessage(`{"object": "document_processor_run", "id": "dpr_1", "status": "PROCESSED", "usage": ` + usage + `}`))
		if err != nil || run.Usage == nil || run.Usage.Credits != want {
			t.Errorf("%s: %v, %v; want %q", usage, run, err, want)
		}
	}
}

// What is paid is the total, where Extend says it and it is a price.
func TestBill(t *testing.T) {
	t.Parallel()
	for usage, want := range map[string]json.Number{
		`{"credits": 3, "totalCredits": 5}`: "5", `{"credits": 3, "totalCredits": 3.50, "breakdown": []}`: "3.50",
		`{"credits": 3}`: "3", `{"credits": 3, "totalCredits": null}`: "3", `{"credits": 3, "totalCredits": "n/a"}`: "3",
		`{"credits": {}, "totalCredits": 5}`: "5", `{"totalCredits": 1e400}`: "", `[]`: "",
	} {
		var u Usage
		if err := json.Unmarshal([]byte(usage), &u); err != nil || u.Bill() != want {
			t.Errorf("%s: %q, %v; want %q", usage, u.Bill(), err, want)
		}
	}
}

func TestFileNames(t *testing.T) {
	t.Parallel()
	for files, want := range map[string][]string{
		`[{"name": "a.pdf"}, {"name": ""}, {"id": "file_1"}, 7, {"name": 7}, {"name": "b.pdf"}]`: {"a.pdf", "b.pdf"},
		`{"name": "a.pdf"}`: nil, `null`: nil, `"a.pdf"`: nil, ``: nil,
	} {
		diff(t, want, (&Run{Files: json.RawMessage(files)}).FileNames())
	}
}
