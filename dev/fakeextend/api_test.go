package fakeextend_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"extend-intake/dev/fakeextend"
	"extend-intake/test/fixtures"
)

// Rules 1 and 2: the key and the version come first.
func TestKeyAndVersion(t *testing.T) {
	t.Parallel()
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Del(name)
			if value != "" {
				r.Header.Set(name, value)
			}
		}
	}
	for _, test := range []struct {
		name   string
		adjust func(*http.Request)
		want   int
	}{
		{"no key", header("Authorization", ""), 401},
		{"wrong key", header("Authorization", "Bearer sk_other"), 401},
		{"not a bearer key", header("Authorization", "Basic "+key), 401},
		{"key without scheme", header("Authorization", key), 401},
		{"no version", header("x-extend-api-version", ""), 400},
		{"other known version", header("x-extend-api-version", "2026-02-09"), 400},
		{"unknown version", header("x-extend-api-version", "v1"), 400},
		{"version twice", func(r *http.Request) { r.Header.Add("x-extend-api-version", "2025-04-21") }, 400},
		{"good", func(*http.Request) {}, 200},
		{"workspace named without need", header("x-extend-workspace-id", "ws_1"), 200},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			status, _, _ := w.do(http.MethodPost, "/processor_runs", file(extractor, "/a.pdf"), test.adjust)
			eq(t, "status", status, test.want)
			eq(t, "runs", w.fake.Accepted() == 1, test.want == 200)
			eq(t, "refused", len(w.fake.Refused()) == 1, test.want != 200)
		})
	}
}

func TestWorkspace(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *fakeextend.Options) { o.WorkspaceID = "ws_1" })
	for value, want := range map[string]int{"": 400, "ws_2": 403, "ws_1": 200} {
		status, _, _ := w.do(http.MethodGet, "/processor_runs", "", func(r *http.Request) { r.Header.Set("x-extend-workspace-id", value) })
		eq(t, "status for "+value, status, want)
	}
}

// Rule 3.
func TestUnknownPathsAndIDs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	for _, request := range []string{
		"GET /", "GET /processor_runs/", "GET /processor_runs/dpr_x", "DELETE /processor_runs/dpr_x", "POST /processor_runs/dpr_x/cancel",
		"PUT /processor_runs", "POST /processor_runs/dpr_x", "GET /processor_runs/dpr_x/cancel", "GET /extractors", "POST /extract_runs",
		"GET /processors/", "GET /files//", "GET /workflow_runs/batch/", "POST /edit/sync",
		"GET /webhook_payloads/guess",
	} {
		method, path, _ := strings.Cut(request, " ")
		status, _, _ := w.do(method, path, "")
		eq(t, request, status, 404)
	}
}

// Rules 4 and 5, and what is our reading of the rest of the request.
func TestRefusedBodies(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	const input = `"file":{"fileUrl":"https://files.example.com/a.pdf"}`
	with := func(more string) string { return `{"processorId":"dp_extract",` + input + `,` + more + `}` }
	for _, test := range []struct {
		name, body string
		want       int
	}{
		{"empty", ``, 400},
		{"not JSON", `{`, 400},
		{"two values", `{} {}`, 400},
		{"null", `null`, 400},
		{"array", `[]`, 400},
		{"not UTF-8", with("\"metadata\":{\"a\":\"\xff\"}"), 400},
		{"no processor", `{` + input + `}`, 400},
		{"processor in other case", `{"ProcessorId":"dp_extract",` + input + `}`, 400},
		{"unknown processor", `{"processorId":"dp_x",` + input + `}`, 404},
		{"neither file nor text", `{"processorId":"dp_extract"}`, 400},
		{"file and text", with(`"rawText":"x"`), 400},
		{"file is text", `{"processorId":"dp_extract","file":"https://x.example.com/"}`, 400},
		{"file is null", `{"processorId":"dp_extract","file":null}`, 400},
		{"file without source", `{"processorId":"dp_extract","file":{"fileName":"a.pdf"}}`, 400},
		{"file with both sources", `{"processorId":"dp_extract","file":{"fileUrl":"https://x.example.com/","fileId":"file_1"}}`, 400},
		{"unknown file id", `{"processorId":"dp_extract","file":{"fileId":"file_1"}}`, 404},
		{"relative URL", `{"processorId":"dp_extract","file":{"fileUrl":"/a.pdf"}}`, 400},
		{"other scheme", `{"processorId":"dp_extract","file":{"fileUrl":"s3://bucket/a.pdf"}}`, 400},
		{"empty text", `{"processorId":"dp_extract","rawText":""}`, 400},
		{"priority 0", with(`"priority":0`), 400},
		{"priority 101", with(`"priority":101`), 400},
		{"priority 1.5", with(`"priority":1.5`), 400},
		{"priority text", with(`"priority":"50"`), 400},
		{"priority null", with(`"priority":null`), 400},
		{"metadata array", with(`"metadata":[]`), 400},
		{"metadata null", with(`"metadata":null`), 400},
		{"metadata too large", with(`"metadata":{"a":"` + strings.Repeat("x", 10<<10) + `"}`), 400},
		{"tags no array", with(`"metadata":{"extend:usage_tags":"a"}`), 400},
		{"tags no strings", with(`"metadata":{"extend:usage_tags":["a",1]}`), 400},
		{"tags with null", with(`"metadata":{"extend:usage_tags":[null]}`), 400},
		{"sync text", with(`"sync":"false"`), 400},
		{"version number", with(`"version":2.1`), 400},
		{"unknown version", with(`"version":"9.9"`), 404},
		{"config without type", with(`"config":{"schema":{}}`), 400},
		{"config of other type", with(`"config":{"type":"CLASSIFY","classifications":[]}`), 400},
		{"config without schema", with(`"config":{"type":"EXTRACT"}`), 400},
		{"config with an unknown member", with(`"config":{"type":"EXTRACT","schema":{},"novelty":1}`), 400},
		{"config with null", with(`"config":{"type":"EXTRACT","schema":{},"parser":null}`), 400},
		{"config text", with(`"config":"EXTRACT"`), 400},
	} {
		status, _, answer := w.do(http.MethodPost, "/processor_runs", test.body, func(r *http.Request) { r.Header.Set("Content-Type", "application/json") })
		if status != test.want {
			t.Errorf("%s: got %d %s, want %d", test.name, status, answer, test.want)
		}
	}
	status, _, _ := w.do(http.MethodPost, "/processor_runs", with(`"priority":1`), func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") })
	eq(t, "text/plain", status, 400)
	eq(t, "runs", w.fake.Accepted(), 0)

	for _, good := range []string{
		with(`"priority":1`), with(`"priority":100`), with(`"priority":20.0`), with(`"sync":false`), with(`"sync":true`), with(`"version":"1.0"`), with(`"version":"draft"`),
		with(`"version":"latest"`), with(`"metadata":{}`), with(`"config":{"type":"EXTRACT","fields":[]}`), `{"processorId":"dp_extract","rawText":"x"}`,
	} {
		w.create(good)
	}
	eq(t, "latest", w.fake.Runs()[0].Version, "2.1")
}

// Rule 6.
func TestUnknownFieldsAreAcceptedAndCounted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	for range 2 {
		w.create(`{"processorId":"dp_extract","file":{"fileUrl":"https://files.example.com/a.pdf","fileBase64":""},"idempotencyKey":"x"}`)
	}
	if got, want := w.fake.UnknownFields(), map[string]int{"idempotencyKey": 2, "file.fileBase64": 2}; !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// Rule 7: the tags are cleaned, and not one other byte is touched.
func TestMetadataEcho(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	const sent = `{ "n": 12345678901234567890,"d":0.1000, "html":"<a&b>", "esc":"\u00e9", "nested":{"extend:usage_tags":["a b"]},
 "extend:usage_tags" : [ "production", "batch 2026/07", "é ✓", "under_score-1" ] , "last":null}`
	const echoed = `{ "n": 12345678901234567890,"d":0.1000, "html":"<a&b>", "esc":"\u00e9", "nested":{"extend:usage_tags":["a b"]},
 "extend:usage_tags" : ["production","batch202607","under_score-1"] , "last":null}`
	id, run := w.create(`{"processorId":"dp_extract","rawText":"x","metadata":` + sent + `}`)
	eq(t, "answer", string(run["metadata"]), echoed)
	w.wait()
	eq(t, "get", string(w.get(id)["metadata"]), echoed)
	eq(t, "webhook", string(object(t, object(t, w.deliveries()[0].body)["payload"])["metadata"]), echoed)
}

// The vendor-shaped request, with the vendor-shaped cleaning of its tags.
func TestMetadataOfTheFixture(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	sent := fixture(t, "run_create_request")
	want := object(t, object(t, fixture(t, "run_create_response")["processorRun"])["metadata"])
	_, run := w.create(`{"processorId":"dp_extract","rawText":"x","metadata":` + string(sent["metadata"]) + `}`)
	got := object(t, run["metadata"])
	for name := range want {
		var g, w any
		if json.Unmarshal(got[name], &g) != nil || json.Unmarshal(want[name], &w) != nil || fmt.Sprint(g) != fmt.Sprint(w) {
			t.Errorf("%s: got %s, want %s", name, got[name], want[name])
		}
	}
}

// Rule 8.
func TestEqualPostsMakeTwoRuns(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	for range 2 {
		status, _, _ := w.do(http.MethodPost, "/processor_runs", file(extractor, "/a.pdf"), func(r *http.Request) { r.Header.Set("Idempotency-Key", "same") })
		eq(t, "status", status, 200)
	}
	w.wait()
	runs := w.fake.Runs()
	eq(t, "runs", len(runs), 2)
	eq(t, "same id", runs[0].ID == runs[1].ID, false)
	eq(t, "deliveries", len(w.deliveries()), 2)
}

// Rule 9, and the shapes of all run answers against the vendor-shaped files.
func TestRunLife(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(o *fakeextend.Options) {
			plain(o)
			o.Processing = fakeextend.Fixed(time.Minute)
		})
		id, run := w.create(file(extractor, "/a.pdf")[:len(file(extractor, "/a.pdf"))-1] + `,"metadata":{"a":1}}`)
		eq(t, "status", str(t, run["status"]), "PROCESSING")
		eq(t, "output", string(run["output"]), "{}")
		sameShape(t, run, object(t, fixture(t, "run_create_response")["processorRun"]))
		time.Sleep(time.Minute - 1)
		eq(t, "status", str(t, w.get(id)["status"]), "PROCESSING")
		w.wait()
		got := w.get(id)
		eq(t, "status", str(t, got["status"]), "PROCESSED")
		sameShape(t, got, object(t, fixture(t, "run_get_processed_extract")["processorRun"]))

		for _, p := range []string{classifier, splitter} {
			id, _ := w.create(file(p, "/a.pdf")[:len(file(p, "/a.pdf"))-1] + `,"metadata":{"a":1}}`)
			w.wait()
			name := map[string]string{classifier: "run_get_processed_classify", splitter: "run_get_processed_splitter"}[p]
			sameShape(t, w.get(id), object(t, fixture(t, name)["processorRun"]))
			sameShape(t, object(t, w.get(id)["output"]), object(t, object(t, fixture(t, name)["processorRun"])["output"]))
		}

		if err := w.fake.ReviewRun(id, json.RawMessage(`{"value":{"file_name":"by hand"},"metadata":{}}`)); err != nil {
			t.Fatal(err)
		}
		got = w.get(id)
		sameShape(t, got, object(t, fixture(t, "run_get_reviewed_extract")["processorRun"]))
		eq(t, "output", string(got["output"]), string(got["reviewedOutput"]))
		eq(t, "initial", strings.Contains(string(got["initialOutput"]), "a.pdf"), true)
	})
}

func TestDeleteShape(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plain)
	id, _ := w.create(`{"processorId":"dp_extract","rawText":"x"}`)
	status, _, answer := w.do(http.MethodDelete, "/processor_runs/"+id, "")
	eq(t, "status", status, 200)
	sameShape(t, object(t, answer), fixture(t, "run_delete_response"))
	eq(t, "id", str(t, object(t, answer)["documentProcessorRunId"]), id)
	status, _, _ = w.do(http.MethodGet, "/processor_runs/"+id, "")
	eq(t, "get", status, 404)
	_, _, answer = w.do(http.MethodGet, "/processor_runs", "")
	eq(t, "list", string(object(t, answer)["processorRuns"]), "[]")
}

// sameShape compares the members of two objects and the kinds of their values.
func sameShape(t *testing.T, got, want map[string]json.RawMessage) {
	t.Helper()
	if g, w := slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)); !slices.Equal(g, w) {
		t.Errorf("members: got %v, want %v", g, w)
	}
	for name, raw := range want {
		if g := got[name]; g != nil && kind(g) != kind(raw) {
			t.Errorf("%s: got %s, want the like of %s", name, g, raw)
		}
	}
}

func kind(raw json.RawMessage) string {
	switch raw[0] {
	case '{', '[', '"':
		return string(raw[:1])
	case 't', 'f':
		return "boolean"
	case 'n':
		return "null"
	}
	return "number"
}

// Rule 10.
func TestFileIsFetchedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(o *fakeextend.Options) { o.MaxFileBytes = 200 })
		for path, message := range map[string]string{
			"/403":   "The file could not be downloaded from the provided URL (HTTP 403).", // as in run_get_failed.json
			"/moved": "HTTP 302",
			"/hang":  "timeout",
			"/cut":   "unexpected EOF",
		} {
			id, _ := w.create(file(extractor, path))
			w.wait()
			run, _ := w.fake.Run(id)
			eq(t, path+" status", run.Status, "FAILED")
			eq(t, path+" reason", run.FailureReason, "FAILED_TO_PROCESS_FILE")
			if !strings.Contains(run.FailureMessage, message) || strings.Contains(run.FailureMessage, "hidden") {
				t.Errorf("%s: message %q", path, run.FailureMessage)
			}
			eq(t, path+" fetches", run.Fetches, 1)
			eq(t, path+" output", string(w.get(id)["output"]), "{}")
			eq(t, path+" event", run.Deliveries[0].EventType, "processor_run.failed")
		}
		id, _ := w.create(file(extractor, "/a.pdf"))
		w.wait()
		run, _ := w.fake.Run(id)
		eq(t, "status", run.Status, "PROCESSED")
		eq(t, "fetches", run.Fetches, 1)
	})
}

func TestFileTooLarge(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *fakeextend.Options) { o.MaxFileBytes = 10 })
	w.create(file(extractor, "/a.pdf"))
	w.wait()
	eq(t, "message", w.fake.Runs()[0].FailureMessage, "The file could not be downloaded from the provided URL (larger than 10 bytes).")
}

// Rule 11.
func TestCancel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(o *fakeextend.Options) {
			plain(o)
			o.Processing = fakeextend.Fixed(time.Minute)
			o.Fault = fakeextend.Script(fakeextend.RouteCreate, fakeextend.Fault{}, fakeextend.Fault{Fate: fakeextend.Fate{Pending: time.Hour}})
		})
		id, _ := w.create(file(extractor, "/a.pdf")[:len(file(extractor, "/a.pdf"))-1] + `,"metadata":{}}`)
		synctest.Wait()
		status, _, answer := w.do(http.MethodPost, "/processor_runs/"+id+"/cancel", "")
		eq(t, "status", status, 200)
		run := object(t, object(t, answer)["processorRun"])
		eq(t, "run status", str(t, run["status"]), "CANCELLED")
		sameShape(t, run, object(t, fixture(t, "run_cancel_response")["processorRun"]))
		status, _, _ = w.do(http.MethodPost, "/processor_runs/"+id+"/cancel", "")
		eq(t, "again", status, 400)
		w.wait()
		eq(t, "webhooks", len(w.deliveries()), 0)
		eq(t, "events", len(w.fake.Runs()[0].Deliveries), 0)

		pending, run := w.create(file(extractor, "/a.pdf"))
		eq(t, "pending", str(t, run["status"]), "PENDING")
		status, _, _ = w.do(http.MethodPost, "/processor_runs/"+pending+"/cancel", "")
		eq(t, "cancel while pending", status, 400)
		time.Sleep(time.Hour)
		synctest.Wait()
		eq(t, "after pending", str(t, w.get(pending)["status"]), "PROCESSING")
		w.wait()
		status, _, _ = w.do(http.MethodPost, "/processor_runs/"+pending+"/cancel", "")
		eq(t, "cancel when processed", status, 400)
	})
}

// Rule 12.
func TestList(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(o *fakeextend.Options) { plain(o); o.Processing = nil })
		var ids []string
		for i := range 12 {
			p := []string{extractor, classifier}[i%2]
			id, _ := w.create(fmt.Sprintf(`{"processorId":%q,"file":{"fileName":"Doc-%02d.pdf","fileUrl":"https://files.example.com/a.pdf"},"metadata":{"i":%d}}`, p, i, i))
			ids = append(ids, id)
			w.wait()
			time.Sleep(time.Second)
		}
		page := func(path string) ([]string, string) {
			t.Helper()
			status, _, answer := w.do(http.MethodGet, path, "")
			if status != 200 {
				t.Fatalf("%s: %d %s", path, status, answer)
			}
			var list struct {
				ProcessorRuns []struct{ ID string }
				NextPageToken string
			}
			if err := json.Unmarshal(answer, &list); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, r := range list.ProcessorRuns {
				got = append(got, r.ID)
			}
			return got, list.NextPageToken
		}
		newest := slices.Clone(ids)
		slices.Reverse(newest)

		first, token := page("/processor_runs")
		eq(t, "default page", fmt.Sprint(first), fmt.Sprint(newest[:10]))
		for _, c := range "=:/+" {
			eq(t, "token has "+string(c), strings.ContainsRune(token, c), true)
		}
		second, last := page(query("nextPageToken", token))
		eq(t, "second page", fmt.Sprint(second), fmt.Sprint(newest[10:]))
		eq(t, "last token", last, "")

		// A token serves only the query that it came from, and only unharmed.
		for _, path := range []string{
			query("nextPageToken", token, "maxPageSize", "5"),
			query("nextPageToken", token+"x"),
			query("nextPageToken", "x"),
			"/processor_runs?nextPageToken=" + token, // + not escaped
		} {
			status, _, _ := w.do(http.MethodGet, path, "")
			eq(t, path, status, 400)
		}
		for _, path := range []string{
			query("maxPageSize", "0"), query("maxPageSize", "1001"), query("maxPageSize", "x"), query("status", "DONE"), query("status", ""),
			query("sortBy", "id"), query("sortDir", "up"), query("source", "api"), query("processorType", "extract"), query("fileNameContain", "x"),
			"/processor_runs?status=FAILED&status=FAILED", "/processor_runs?%zz",
		} {
			status, _, _ := w.do(http.MethodGet, path, "")
			eq(t, path, status, 400)
		}

		for path, want := range map[string][]string{
			query("sortDir", "asc", "maxPageSize", "2"):                              ids[:2],
			query("fileNameContains", "Doc-03"):                                      {ids[3]},
			query("fileNameContains", "doc-03"):                                      nil,
			query("processorId", classifier, "maxPageSize", "2"):                     {ids[11], ids[9]},
			query("processorType", "CLASSIFY", "sortDir", "asc", "maxPageSize", "1"): {ids[1]},
			query("status", "FAILED"):                                                nil,
			query("status", "PROCESSED", "source", "API", "maxPageSize", "1"):        {ids[11]},
			query("source", "STUDIO"):                                                nil,
			query("sourceId", "workflow_run_1"):                                      nil,
		} {
			got, _ := page(path)
			eq(t, path, fmt.Sprint(got), fmt.Sprint(want))
		}

		// A review changes updatedAt, not createdAt.
		if err := w.fake.ReviewRun(ids[0], json.RawMessage(`{}`)); err != nil {
			t.Fatal(err)
		}
		got, _ := page(query("maxPageSize", "1"))
		eq(t, "by update", got[0], ids[0])
		got, _ = page(query("maxPageSize", "1", "sortBy", "createdAt"))
		eq(t, "by creation", got[0], ids[11])

		_, _, answer := w.do(http.MethodGet, query("maxPageSize", "1"), "")
		sameShape(t, object(t, answer), fixture(t, "run_list_response"))
		var have, want struct{ ProcessorRuns []map[string]json.RawMessage }
		if json.Unmarshal(answer, &have) != nil || json.Unmarshal(fixtures.Read(t, "run_list_response.json"), &want) != nil {
			t.Fatal("not lists")
		}
		sameShape(t, have.ProcessorRuns[0], want.ProcessorRuns[2])
	})
}

func TestShortPages(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *fakeextend.Options) { o.ShortPages = true })
	for range 3 {
		w.create(`{"processorId":"dp_silent","rawText":"x"}`)
	}
	_, _, answer := w.do(http.MethodGet, query("maxPageSize", "3"), "")
	var list struct {
		ProcessorRuns []json.RawMessage
		NextPageToken string
	}
	if err := json.Unmarshal(answer, &list); err != nil {
		t.Fatal(err)
	}
	eq(t, "items", len(list.ProcessorRuns), 2)
	eq(t, "token", list.NextPageToken != "", true)
}

// Rule 17, and all three date spellings.
func TestNullsExtrasAndDates(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *fakeextend.Options) { o.ExplicitNulls = true })
	var ids []string
	for range 3 {
		id, run := w.create(file(extractor, "/a.pdf"))
		ids = append(ids, id)
		for _, name := range []string{"output", "initialOutput", "reviewedOutput", "failureReason", "failureMessage", "metadata", "edits"} {
			eq(t, name, string(run[name]), "null")
		}
		eq(t, "extra", run["notYetDocumented"] != nil, true)
	}
	w.wait()
	_, _, answer := w.do(http.MethodGet, "/processor_runs", "")
	eq(t, "last page token", string(object(t, answer)["nextPageToken"]), "null")
	spellings := map[string]bool{}
	for _, date := range regexp.MustCompile(`"createdAt":"([^"]*)"`).FindAllStringSubmatch(string(answer), -1) {
		if _, err := time.Parse(time.RFC3339Nano, date[1]); err != nil {
			t.Error(err)
		}
		spellings[fmt.Sprint(len(date[1]))] = true
	}
	eq(t, "spellings", len(spellings), 3)
	eq(t, "output", strings.HasPrefix(string(w.get(ids[0])["output"]), `{"value":`), true)
}

// The output holds values that a careless decoder harms, byte for byte the same
// in GET, in the webhook and in Runs.
func TestOutputIsExact(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	for path, want := range map[string]string{
		"/a.pdf": `"file_name":"a.pdf","size_bytes":105,"sha256":"`,
		"/b.txt": `"page_count":null,"media_type":"text/plain","text_excerpt":"Grüße & <Fracht>\nzwei","exact":`,
	} {
		id, _ := w.create(file(extractor, path))
		w.wait()
		run, _ := w.fake.Run(id)
		if !strings.Contains(string(run.Output), want) {
			t.Errorf("%s: output %s does not hold %s", path, run.Output, want)
		}
		eq(t, "sha256", strings.Contains(string(run.Output), run.FetchedSHA256), true)
		eq(t, "exact", strings.Contains(string(run.Output), fakeextend.Exact), true)
		eq(t, "get", string(w.get(id)["output"]), string(run.Output))
		got := w.deliveries()
		eq(t, "webhook", string(object(t, object(t, got[len(got)-1].body)["payload"])["output"]), string(run.Output))
	}
	if !json.Valid([]byte(fakeextend.Exact)) {
		t.Error("Exact is not JSON")
	}
}

func TestOwnOutput(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *fakeextend.Options) {
		o.Output = func(run fakeextend.RunInfo) json.RawMessage {
			if run.FileName == "b.txt" {
				return json.RawMessage(`[]`)
			}
			return json.RawMessage(`{ "value" : {"pages": ` + fmt.Sprint(*run.PageCount) + `} }`)
		}
	})
	w.create(file(extractor, "/a.pdf"))
	w.create(file(extractor, "/b.txt"))
	w.wait()
	eq(t, "output", string(w.fake.Runs()[0].Output), `{ "value" : {"pages": 2} }`)
	eq(t, "no object", w.fake.Runs()[1].FailureReason, "POST_PROCESSING_FAILURE")
}

func TestOptionsNameEveryFault(t *testing.T) {
	t.Parallel()
	_, err := fakeextend.New(fakeextend.Options{Processors: []fakeextend.Processor{{ID: "x", Type: "y"}}, WebhookURL: "https://h.example.com/", RequestsPerSecond: -1})
	for _, want := range []string{"APIKey", `"x"`, `"y"`, "secret", "RequestsPerSecond"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
}
