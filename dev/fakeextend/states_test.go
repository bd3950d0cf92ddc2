package fakeextend_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"extend-intake/dev/apicontract"
	"extend-intake/dev/fakeextend"
)

// ask makes a call that has to go well, and returns the member of its answer, or
// all of it where the answer has no such member.
func (w *world) ask(method, path, body, member string) map[string]json.RawMessage {
	w.t.Helper()
	status, _, answer := w.do(method, path, body)
	if status != http.StatusOK {
		w.t.Fatalf("%s %s: %d %s", method, path, status, answer)
	}
	fields := object(w.t, answer)
	if fields[member] == nil {
		return fields
	}
	var list []map[string]json.RawMessage
	if json.Unmarshal(fields[member], &list) == nil {
		return list[0]
	}
	return object(w.t, fields[member])
}

// status is where a workflow run stands.
func (w *world) status(id string) string {
	w.t.Helper()
	return str(w.t, w.ask("GET", "/workflow_runs/"+id, "", "workflowRun")["status"])
}

// kinds are the types of what was delivered.
func (w *world) kinds() string {
	w.t.Helper()
	var kinds []string
	for _, d := range w.deliveries() {
		kinds = append(kinds, str(w.t, object(w.t, d.body)["eventType"]))
	}
	return strings.Join(kinds, " ")
}

func fixed(d time.Duration) func(fakeextend.JobInfo) time.Duration {
	return func(fakeextend.JobInfo) time.Duration { return d }
}

// A workflow run goes through its states at the times that the options and its
// fate say, and events tell of those that the vendor's do.
func TestWorkflowRunStates(t *testing.T) {
	t.Parallel()
	fate := map[string]fakeextend.Fate{
		"plain":    {Pending: 10 * time.Second},
		"approved": {Pending: 10 * time.Second, End: fakeextend.EndNeedsReview, Review: time.Minute},
		"rejected": {Pending: 10 * time.Second, End: fakeextend.EndRejected, Review: time.Minute},
		"failed":   {Pending: 10 * time.Second, End: fakeextend.EndFailed, FailureReason: "DOCUMENT_PROCESSOR_ERROR"},
		"cancel":   {Pending: 10 * time.Second},
	}
	for name, want := range map[string]struct{ at5, at15, at40, at100, kinds string }{
		"plain":    {"PENDING", "PROCESSING", "PROCESSED", "PROCESSED", "workflow_run.completed"},
		"approved": {"PENDING", "PROCESSING", "NEEDS_REVIEW", "PROCESSED", "workflow_run.needs_review workflow_run.completed"},
		"rejected": {"PENDING", "PROCESSING", "NEEDS_REVIEW", "REJECTED", "workflow_run.needs_review workflow_run.rejected"},
		"failed":   {"PENDING", "PROCESSING", "FAILED", "FAILED", "workflow_run.failed"},
		"cancel":   {"PENDING", "PROCESSING", "CANCELLING", "CANCELLED", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, func(o *fakeextend.Options) {
					o.Workflows = []fakeextend.Workflow{{ID: payables, Processors: []string{extractor}, Subscribed: true}}
					o.WorkflowTime, o.CancelTime = fixed(20*time.Second), 30*time.Second
					o.Fault = fakeextend.Script(fakeextend.RouteCreateWorkflowRuns, fakeextend.Fault{Fate: fate[name]})
				})
				run := w.ask("POST", "/workflow_runs", `{"workflowId": "`+payables+`", "rawTexts": ["x"]}`, "workflowRuns")
				id := str(t, run["id"])
				eq(t, "at first", str(t, run["status"]), "PENDING")
				time.Sleep(5 * time.Second)
				eq(t, "after 5 s", w.status(id), want.at5)
				time.Sleep(10 * time.Second)
				eq(t, "after 15 s", w.status(id), want.at15)
				if name == "cancel" {
					time.Sleep(5 * time.Second)
					answer := w.ask("POST", "/workflow_runs/"+id+"/cancel", "", "workflowRun")
					eq(t, "the answer", str(t, answer["status"]), "CANCELLING")
				}
				time.Sleep(25 * time.Second)
				eq(t, "after 40 s", w.status(id), want.at40)
				time.Sleep(time.Minute)
				synctest.Wait()
				eq(t, "after 100 s", w.status(id), want.at100)
				eq(t, "events", w.kinds(), want.kinds)
				status, _, _ := w.do("POST", "/workflow_runs/"+id+"/cancel", "")
				eq(t, "a cancel at the end", status, 400)
			})
		})
	}
}

// The plan's files per minute are those of all kinds of runs, lower priority values
// first; a batch's is 90.
func TestPlanOfAllRuns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(o *fakeextend.Options) {
			o.FilesPerMinute = 2
			o.Workflows = []fakeextend.Workflow{{ID: payables}}
		})
		w.ask("POST", "/parse", `{"file": {"fileUrl": "https://files.example.com/a.pdf"}}`, "")
		w.create(file(extractor, "/a.pdf"))
		w.ask("POST", "/workflow_runs/batch", `{"workflowId": "`+payables+`", "inputs": [{"rawText": "batch"}]}`, "")
		first := str(t, w.ask("POST", "/workflow_runs", `{"workflowId": "`+payables+`", "rawTexts": ["x"], "priority": 7}`, "workflowRuns")["id"])
		second := str(t, w.ask("POST", "/workflow_runs", `{"workflowId": "`+payables+`", "rawTexts": ["x"]}`, "workflowRuns")["id"])
		synctest.Wait()
		eq(t, "before the minute is over", w.status(first)+" "+w.status(second), "PENDING PENDING")
		time.Sleep(time.Minute + time.Second)
		synctest.Wait()
		eq(t, "after it", w.status(first)+" "+w.status(second)+" "+w.fake.Jobs()[1].Status, "PROCESSED PROCESSED PENDING")
		time.Sleep(time.Minute)
		synctest.Wait()
		eq(t, "the batch's", w.fake.Jobs()[1].Status, "PROCESSED")
	})
}

// What the steps of a workflow make are runs like any other, and the request can
// say an output beforehand.
func TestStepsOfAWorkflow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(o *fakeextend.Options) {
			o.Workflows = []fakeextend.Workflow{
				{ID: payables, Processors: []string{extractor, classifier}, Rules: []string{"Sum"}},
				{ID: asking, Processors: []string{"dp_gone"}},
			}
		})
		file := `{"fileName": "a.pdf", "fileUrl": "https://files.example.com/a.pdf", "outputs": [{"processorId": "` + classifier + `", "output": {"id": "a", "type": "b"}}]}`
		id := str(t, w.ask("POST", "/workflow_runs", `{"workflowId": "`+payables+`", "files": [`+file+`], "metadata": {"n": 1.0}}`, "workflowRuns")["id"])
		synctest.Wait()
		run := w.ask("GET", "/workflow_runs/"+id, "", "workflowRun")
		var outputs, steps []map[string]json.RawMessage
		if err := json.Unmarshal(run["outputs"], &outputs); err != nil || len(outputs) != 2 {
			t.Fatalf("%s, %v", run["outputs"], err)
		}
		if err := json.Unmarshal(run["stepRuns"], &steps); err != nil || len(steps) != 1 || !strings.Contains(string(steps[0]["output"]), `"Sum"`) {
			t.Fatalf("%s, %v", run["stepRuns"], err)
		}
		eq(t, "metadata", string(run["metadata"]), `{"n": 1.0}`)
		if got := string(outputs[0]["output"]); !strings.Contains(got, "12345678901234567890") {
			t.Errorf("the extractor's output is %s", got)
		}
		if got := string(outputs[1]["output"]); !strings.Contains(got, `"id": "a"`) || !strings.Contains(got, `"insights":[]`) {
			t.Errorf("the output that was said is %s", got)
		}
		eq(t, "the output's run", str(t, w.get(str(t, outputs[0]["id"]))["status"]), "PROCESSED")
		status, _, found := w.do("GET", query("source", "WORKFLOW_RUN", "sourceId", id), "")
		if status != 200 || strings.Count(string(found), `"dpr_`) != 2 {
			t.Errorf("by its source: %d %s", status, found)
		}
		eq(t, "runs that POSTs made", w.fake.Accepted(), 0)

		id = str(t, w.ask("POST", "/workflow_runs", `{"workflowId": "`+asking+`", "rawTexts": ["x"]}`, "workflowRuns")["id"])
		synctest.Wait()
		eq(t, "without its processor", str(t, w.ask("GET", "/workflow_runs/"+id, "", "workflowRun")["failureReason"]), "INVALID_WORKFLOW")
	})
}

// A batch has up to a thousand documents, and its runs are found by its id.
func TestBatchOfAThousand(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(o *fakeextend.Options) {
			o.Workflows = []fakeextend.Workflow{{ID: payables, Processors: []string{classifier}}}
		})
		inputs := func(n int) string {
			return `{"workflowId": "` + payables + `", "inputs": [` + strings.TrimSuffix(strings.Repeat(`{"rawText": "x"},`, n), ",") + `]}`
		}
		for _, n := range []int{0, 1001} {
			status, _, _ := w.do("POST", "/workflow_runs/batch", inputs(n))
			eq(t, fmt.Sprintf("%d inputs", n), status, 400)
		}
		batch := str(t, w.ask("POST", "/workflow_runs/batch", inputs(1000), "")["batchId"])
		w.wait()
		seen, pages := map[string]bool{}, 0
		for token := ""; ; pages++ {
			path := "/workflow_runs?batchId=" + batch + "&status=PROCESSED&sortDir=asc&maxPageSize=300"
			if token != "" {
				path += "&nextPageToken=" + strings.NewReplacer("+", "%2B", "/", "%2F", "=", "%3D", ":", "%3A").Replace(token)
			}
			page := w.ask("GET", path, "", "")
			var runs []struct{ ID string }
			if err := json.Unmarshal(page["workflowRuns"], &runs); err != nil {
				t.Fatal(err)
			}
			for _, r := range runs {
				seen[r.ID] = true
			}
			if raw := page["nextPageToken"]; raw == nil || string(raw) == "null" {
				break
			}
			token = str(t, page["nextPageToken"])
		}
		eq(t, "runs", len(seen), 1000)
		eq(t, "further pages", pages, 3)
		eq(t, "jobs", len(w.fake.Jobs()), 1000)
	})
}

// A processor that was made can be changed, published and run, in each version
// with the configuration that it had.
func TestProcessorFromDraftToRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		config := func(class string) string {
			return `{"type": "CLASSIFY", "classifications": [{"id": "` + class + `", "type": "` + class + `", "description": ""}]}`
		}
		id := str(t, w.ask("POST", "/processors", `{"name": "Mail", "type": "CLASSIFY", "config": `+config("one")+`}`, "processor")["id"])
		classOf := func(version string) string {
			t.Helper()
			run := str(t, w.ask("POST", "/processor_runs", `{"processorId": "`+id+`", "rawText": "x"`+version+`}`, "processorRun")["id"])
			synctest.Wait()
			return str(t, object(t, w.get(run)["output"])["id"])
		}
		eq(t, "without a version, the draft's class", classOf(""), "one")
		v := w.ask("POST", "/processors/"+id+"/publish", `{"releaseType": "major"}`, "processorVersion")
		eq(t, "first version", str(t, v["version"]), "1.0")
		w.ask("POST", "/processors/"+id, `{"config": `+config("two")+`}`, "processor")
		eq(t, "latest", classOf(""), "one")
		eq(t, "draft", classOf(`, "version": "draft"`), "two")
		v = w.ask("POST", "/processors/"+id+"/publish", `{"releaseType": "minor"}`, "processorVersion")
		eq(t, "second version", str(t, v["version"]), "1.1")
		eq(t, "latest", classOf(""), "two")
		eq(t, "older", classOf(`, "version": "1.0"`), "one")
		status, _, _ := w.do("POST", "/processor_runs", `{"processorId": "`+id+`", "rawText": "x", "version": "7.0"}`)
		eq(t, "a version that is not there", status, 404)
		for _, wrong := range []string{`{"config": {"type": "EXTRACT", "schema": {}}}`, `{"config": {"type": "CLASSIFY"}}`, `{"name": ""}`} {
			status, _, _ := w.do("POST", "/processors/"+id, wrong)
			eq(t, wrong, status, 400)
		}
	})
}

// A file of a run can be read like one that was uploaded, until it is deleted.
func TestFiles(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(o *fakeextend.Options) { o.PayloadBaseURL = "https://api.example.com" })
		id, _ := w.create(file(extractor, "/a.pdf"))
		synctest.Wait()
		var files []map[string]json.RawMessage
		if err := json.Unmarshal(w.get(id)["files"], &files); err != nil {
			t.Fatal(err)
		}
		got := w.ask("GET", "/files/"+str(t, files[0]["id"]), "", "file")
		if pages := string(object(t, got["metadata"])["pageCount"]); pages != "2" && pages != "2.0" {
			t.Errorf("%s pages", pages)
		}
		letter := w.ask("POST", "/files", `{"name": "letter.txt", "rawText": "Grüße"}`, "file")
		letterID := str(t, letter["id"])
		link := str(t, w.ask("GET", "/files/"+letterID, "", "file")["presignedUrl"])
		path := strings.TrimPrefix(link, "https://api.example.com")
		status, _, content := w.do("GET", path, "")
		eq(t, "content", fmt.Sprint(status, string(content)), "200Grüße")
		time.Sleep(16 * time.Minute)
		status, _, _ = w.do("GET", path, "")
		eq(t, "later", status, 403)
		w.ask("DELETE", "/files/"+letterID, "", "")
		for _, request := range []string{"GET /files/" + letterID, "DELETE /files/" + letterID} {
			method, path, _ := strings.Cut(request, " ")
			status, _, _ := w.do(method, path, "")
			eq(t, request, status, 404)
		}
		status, _, _ = w.do("POST", "/processor_runs", `{"processorId": "`+extractor+`", "file": {"fileId": "`+letterID+`"}}`)
		eq(t, "a run of it", status, 404)
	})
}

// Calls that wait refuse what fails, and give up after five minutes.
func TestSyncCallsThatFail(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(o *fakeextend.Options) {
			o.ParserTime, o.EditTime, o.Processing = fixed(time.Hour), fixed(2*time.Minute), fakeextend.Fixed(time.Hour)
		})
		for _, tt := range []struct {
			path, body string
			want       int
			code       string
			took       time.Duration
		}{
			{"/parse", `{"file": {"fileUrl": "https://files.example.com/403"}}`, 422, "UNABLE_TO_DOWNLOAD_FILE", 0},
			{"/parse", `{"file": {"fileUrl": "https://files.example.com/a.pdf"}}`, 500, "INTERNAL_ERROR", 5 * time.Minute},
			{"/edit", `{"file": {"fileUrl": "https://files.example.com/a.pdf"}, "config": {"schema": {"type": "object", "properties": {}}}}`, 422, "EMPTY_SCHEMA", 2 * time.Minute},
			{"/edit", `{"file": {"fileUrl": "https://files.example.com/a.pdf"}}`, 200, "", 2 * time.Minute},
			{"/processor_runs", `{"processorId": "` + extractor + `", "rawText": "x", "sync": true}`, 200, "", 5 * time.Minute},
		} {
			start := time.Now()
			status, _, answer := w.do("POST", tt.path, tt.body)
			code := object(t, answer)["code"]
			if status != tt.want || tt.code != "" && str(t, code) != tt.code || time.Since(start) != tt.took {
				t.Errorf("%s %s: %d %s after %s", tt.path, tt.body, status, answer, time.Since(start))
			}
		}
		for _, j := range w.fake.Jobs() {
			if j.Status == "PROCESSING" {
				if err := w.fake.FinishRun(j.ID); err != nil {
					t.Error(err)
				}
			}
		}
		eq(t, "jobs, each paid", len(w.fake.Jobs()), 4)
	})
}

// A workflow's run fails after some of its processors, whose runs tell of themselves; a person
// changes the mind about another one; and somebody else makes a third.
func TestWorkflowRunsOnABadDay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(o *fakeextend.Options) {
			o.Workflows = []fakeextend.Workflow{{ID: payables, Versions: []string{"1"}, Processors: []string{extractor, extractor}, Subscribed: true, ProcessorEvents: true}}
			o.Fault = fakeextend.Script(fakeextend.RouteCreateWorkflowRuns,
				fakeextend.Fault{Fate: fakeextend.Fate{End: fakeextend.EndFailed, FailureReason: "DOCUMENT_PROCESSOR_ERROR", FailAfter: 1}},
				fakeextend.Fault{Fate: fakeextend.Fate{End: fakeextend.EndRejected, Review: time.Hour}})
		})
		for range 2 {
			status, _, answer := w.do("POST", "/workflow_runs", `{"workflowId": "`+payables+`", "files": [{"fileName": "a.pdf", "fileUrl": "https://files.example.com/a.pdf"}]}`)
			if status != 200 {
				t.Fatalf("%d %s", status, answer)
			}
		}
		w.wait()
		jobs := w.fake.Jobs()
		eq(t, "the first's end", jobs[0].Status+" "+jobs[0].FailureReason, "FAILED DOCUMENT_PROCESSOR_ERROR")
		eq(t, "its results", len(jobs[0].Outputs), 1)
		run, _ := w.fake.Run(jobs[0].Outputs[0].ID)
		eq(t, "its processor's event", len(run.Deliveries) == 1 && run.Deliveries[0].EventType == "processor_run.processed", true)
		eq(t, "the second's end", jobs[1].Status, "REJECTED")
		eq(t, "its note", jobs[1].RejectionNote, "It was told to.")
		if err := w.fake.ReviewWorkflowRun(jobs[1].ID, fakeextend.Review{}); err != nil {
			t.Fatal(err)
		}
		id, err := w.fake.AddRun(fakeextend.NewRun{ProcessorID: payables, FileName: "b.pdf", Content: []byte("b")})
		if err != nil {
			t.Fatal(err)
		}
		w.wait()
		jobs = w.fake.Jobs()
		eq(t, "on second thoughts", jobs[1].Status, "PROCESSED")
		var events []string
		for _, d := range jobs[1].Deliveries {
			events = append(events, d.EventType)
		}
		eq(t, "its events", strings.Join(events, " "), "workflow_run.needs_review workflow_run.rejected workflow_run.completed")
		eq(t, "somebody else's", jobs[2].ID == id && jobs[2].Other && jobs[2].Status == "PROCESSED" && len(jobs[2].Outputs) == 2, true)
		eq(t, "a run that needs no review", w.fake.ReviewWorkflowRun(id, fakeextend.Review{}) != nil, true)
	})
}

// What is wrong with workflows and templates is named before the fake serves.
func TestOptionsOfOtherRuns(t *testing.T) {
	t.Parallel()
	_, err := fakeextend.New(fakeextend.Options{
		APIKey: key, Processors: []fakeextend.Processor{{ID: extractor, Type: fakeextend.Extract, Config: json.RawMessage(`{"type": "CLASSIFY"}`)}},
		Workflows:     []fakeextend.Workflow{{ID: payables}, {ID: payables}, {ID: "wf_x"}},
		EditTemplates: []fakeextend.EditTemplate{{ID: form, FileName: "a.pdf", Config: json.RawMessage(`{"novelty": 1}`)}, {ID: "x"}},
		CancelTime:    -1,
	})
	for _, want := range []string{"processor 0: ", "workflow 1: ", "workflow 2: ", "edit template 0: ", "edit template 1: ", "CancelTime"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %v", want, err)
		}
	}
}

// A fault can be had on every call, before and after it is carried out.
func TestFaultsOfEveryCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var fault fakeextend.Fault
		seen := ""
		w := newWorld(t, func(o *fakeextend.Options) {
			o.Fault = func(c fakeextend.Call) fakeextend.Fault { seen = c.Route; return fault }
		})
		for _, op := range apicontract.Operations() {
			route, method, path := op.Method+" "+op.Path, op.Method, strings.NewReplacer("{", "", "}", "").Replace(op.Path)
			for _, status := range []int{408, 429, 500, 503} {
				fault = fakeextend.Fault{Status: status, RetryAfter: "7", Delay: time.Second}
				start := time.Now()
				got, header, _ := w.do(method, path, "")
				if got != status || header.Get("Retry-After") != "7" || time.Since(start) != time.Second {
					t.Errorf("%s: %d, want %d", route, got, status)
				}
			}
			eq(t, "route", seen, route)
			fault = fakeextend.Fault{Cut: true}
			if resp, err := w.send(t.Context(), method, path, ""); err == nil {
				resp.Body.Close()
				t.Errorf("%s was not cut", route)
			}
		}

		// After it is carried out: the run is there, and nobody was told.
		fault = fakeextend.Fault{Status: 504, After: true, Fate: fakeextend.Fate{ReadLag: time.Minute, ReadView: fakeextend.ViewMissing}}
		status, _, _ := w.do("POST", "/parse/async", `{"file": {"fileUrl": "https://files.example.com/403"}}`)
		eq(t, "the answer", status, 504)
		synctest.Wait()
		jobs := w.fake.Jobs()
		fault = fakeextend.Fault{}
		if len(jobs) != 1 || jobs[0].Status != "FAILED" || jobs[0].Kind != "parser_run" {
			t.Fatalf("%+v", jobs)
		}
		status, _, _ = w.do("GET", "/parser_runs/"+jobs[0].ID, "")
		eq(t, "read too early", status, 404)
		time.Sleep(time.Minute)
		status, _, _ = w.do("GET", "/parser_runs/"+jobs[0].ID, "")
		eq(t, "read later", status, 200)
		fault = fakeextend.Fault{View: fakeextend.ViewProcessing}
		eq(t, "an older state", str(t, w.ask("GET", "/parser_runs/"+jobs[0].ID, "", "parserRun")["status"]), "PROCESSING")
	})
}
