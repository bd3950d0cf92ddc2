package fakeextend_test

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"extend-intake/dev/fakeextend"
)

// GET shows an older state for a while after each change; webhooks and lists
// show the newest one.
func TestStaleReads(t *testing.T) {
	t.Parallel()
	const lag = 30 * time.Second
	for _, test := range []struct {
		view                   fakeextend.View
		made, ended, corrected string // what GET shows right after each
	}{
		{fakeextend.ViewNow, "PROCESSING {}", "PROCESSING {}", "PROCESSED as read"}, // the zero ReadView is ViewBefore
		{fakeextend.ViewBefore, "PROCESSING {}", "PROCESSING {}", "PROCESSED as read"},
		{fakeextend.ViewProcessing, "PROCESSING {}", "PROCESSING {}", "PROCESSING {}"},
		{fakeextend.ViewPending, "PENDING {}", "PENDING {}", "PENDING {}"},
		{fakeextend.ViewMissing, "404", "404", "404"},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, func(o *fakeextend.Options) {
				o.Processing = fakeextend.Fixed(time.Minute)
				o.Output = func(fakeextend.RunInfo) json.RawMessage { return json.RawMessage(`{"value":"as read"}`) }
				o.Fault = fakeextend.Script(fakeextend.RouteCreate, fakeextend.Fault{Fate: fakeextend.Fate{ReadLag: lag, ReadView: test.view}})
			})
			id, _ := w.create(file(extractor, "/a.pdf"))
			shown := func() string {
				status, _, answer := w.do(http.MethodGet, "/processor_runs/"+id, "")
				if status != 200 {
					eq(t, "code", str(t, object(t, answer)["code"]), "NOT_FOUND")
					return fmt.Sprint(status)
				}
				run := object(t, object(t, answer)["processorRun"])
				output := string(run["output"])
				if output != "{}" {
					output = str(t, object(t, run["output"])["value"])
				}
				return str(t, run["status"]) + " " + output
			}
			eq(t, "made", shown(), test.made)
			time.Sleep(lag)
			eq(t, "made, later", shown(), "PROCESSING {}")
			time.Sleep(time.Minute - lag)
			synctest.Wait()
			eq(t, "told", len(w.deliveries()), 1)
			eq(t, "ended", shown(), test.ended)
			time.Sleep(lag)
			eq(t, "ended, later", shown(), "PROCESSED as read")
			if err := w.fake.ReviewRun(id, json.RawMessage(`{"value":"corrected"}`)); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			eq(t, "told again", strings.Contains(string(w.deliveries()[1].body), "corrected"), true)
			eq(t, "corrected", shown(), test.corrected)
			time.Sleep(lag)
			eq(t, "corrected, later", shown(), "PROCESSED corrected")
			eq(t, "refused", len(w.fake.Refused()), 0) // the caller did nothing wrong
		})
	}
}

// One read alone can be stale, too.
func TestStaleReadByItself(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *fakeextend.Options) {
		o.Fault = fakeextend.Script(fakeextend.RouteGet, fakeextend.Fault{View: fakeextend.ViewBefore}, fakeextend.Fault{View: fakeextend.ViewMissing})
	})
	id, _ := w.create(file(extractor, "/a.pdf"))
	w.wait()
	eq(t, "first", str(t, w.get(id)["status"]), "PROCESSING")
	status, _, _ := w.do(http.MethodGet, "/processor_runs/"+id, "")
	eq(t, "second", status, 404)
	eq(t, "third", str(t, w.get(id)["status"]), "PROCESSED")
}

// A run that ends twice tells of it twice: first that it failed, or that there is
// no output, then the output.
func TestRunsThatEndTwice(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		fate  fakeextend.Fate
		first string
	}{
		{"failed, then processed", fakeextend.Fate{End: fakeextend.EndFailed, Recovery: 5 * time.Second}, "processor_run.failed"},
		{"output comes late", fakeextend.Fate{OutputLag: 5 * time.Second}, "processor_run.processed"},
		{"output is null and comes late", fakeextend.Fate{OutputLag: 5 * time.Second, NullOutput: true}, "processor_run.processed"},
	} {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			w := newWorld(t, func(o *fakeextend.Options) {
				o.Fault = fakeextend.Script(fakeextend.RouteCreate, fakeextend.Fault{Fate: test.fate, HoldAnswer: true})
			})
			id, _ := w.create(file(extractor, "/a.pdf"))
			eq(t, "the answer waits for the first event only", time.Since(start), 0)
			w.wait()
			eq(t, "in all", time.Since(start), 5*time.Second)
			got := w.deliveries()
			eq(t, "deliveries", len(got), 2)
			var events, outputs []string
			for _, d := range got {
				envelope := object(t, d.body)
				events = append(events, str(t, envelope["eventType"]))
				outputs = append(outputs, string(object(t, envelope["payload"])["output"]))
			}
			eq(t, "events", strings.Join(events, ", "), test.first+", processor_run.processed")
			eq(t, "no output", outputs[0] == "{}" || outputs[0] == "null", true)
			eq(t, "output", strings.HasPrefix(outputs[1], `{"value":`), true)
			run := w.get(id)
			eq(t, "GET", str(t, run["status"])+" "+string(run["output"]), "PROCESSED "+outputs[1])
			eq(t, "reason", run["failureReason"] == nil, true)
			eq(t, "ids differ", string(object(t, got[0].body)["eventId"]) == string(object(t, got[1].body)["eventId"]), false)
		})
	}
}

func TestCompleteRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	id, _ := w.create(file(extractor, "/403"))
	w.wait()
	for i, want := range []bool{true, false} { // it is complete after the first
		eq(t, fmt.Sprint("complete ", i), w.fake.CompleteRun(id) == nil, want)
	}
	w.wait()
	eq(t, "status", str(t, w.get(id)["status"]), "PROCESSED")
	eq(t, "deliveries", len(w.deliveries()), 2)
	eq(t, "unknown", w.fake.CompleteRun("dpr_x") != nil, true)
}

// An empty file is never PROCESSED, and is paid for all the same.
func TestEmptyFile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(o *fakeextend.Options) {
			o.Client = &http.Client{Transport: fakeextend.Transport(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))}
			o.FilesPerMinute = 1
		})
		status, _, answer := w.do(http.MethodPost, "/files/upload", "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"e.pdf\"\r\n\r\n\r\n--b--\r\n",
			func(r *http.Request) { r.Header.Set("Content-Type", "multipart/form-data; boundary=b") })
		eq(t, "upload", status, 200)
		w.create(file(extractor, "/a.pdf"))
		w.create(`{"processorId":"dp_extract","file":{"fileId":` + string(object(t, object(t, answer)["file"])["id"]) + `}}`)
		w.wait()
		for _, r := range w.fake.Runs() {
			eq(t, "end", r.Status+" "+r.FailureReason+" "+r.FailureMessage, "FAILED CORRUPT_FILE The file is empty.")
		}
		eq(t, "paid", w.fake.Accepted(), 2)
		eq(t, "told", len(w.deliveries()), 2)
	})
}

// What was fetched is known: where, when, and which bytes, also when the file was
// replaced between the POST and the fetch.
func TestFetchIsRecorded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		content := "first"
		var asked []string
		w := newWorld(t, func(o *fakeextend.Options) {
			o.Client = &http.Client{Transport: fakeextend.Transport(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked = append(asked, r.URL.EscapedPath())
				_, _ = io.WriteString(w, content)
			}))}
			o.Fault = fakeextend.Script(fakeextend.RouteCreate, fakeextend.Fault{}, fakeextend.Fault{Fate: fakeextend.Fate{FetchDelay: time.Minute}})
		})
		body := `{"processorId":"dp_silent","file":{"fileUrl":"https://b.example.com/in/a%20b%2Fc.pdf?versionId=v1&X-Amz-Signature=hidden"}}`
		w.create(body)
		w.wait()
		w.create(body)
		synctest.Wait()
		content = "second"
		w.wait()
		first, second := w.fake.Runs()[0], w.fake.Runs()[1]
		eq(t, "bytes", fmt.Sprint(first.FetchedBytes, second.FetchedBytes), "5 6")
		eq(t, "same", first.FetchedSHA256 == second.FetchedSHA256, false)
		eq(t, "first at", first.FetchedAt, first.CreatedAt)
		eq(t, "second at", second.FetchedAt, second.CreatedAt.Add(time.Minute))
		eq(t, "path", first.FetchPath, "/in/a%20b%2Fc.pdf")
		eq(t, "path that was asked", asked[0], first.FetchPath)
		eq(t, "version", first.FetchVersionID, "v1")
	})
}

// Most HTTP clients resolve the segments of a path before they send it.
func TestPathsThatClientsRewrite(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"/in/../a.pdf": "/a.pdf", "//a.pdf": "/a.pdf", "/./a.pdf": "/a.pdf", "/in/./a": "/in/a", "/in//a": "/in/a",
		"/in/a%2Fb/..c": "/in/a%2Fb/..c", "/%2Fa.pdf": "/%2Fa.pdf", "/in/a/": "/in/a/",
	} {
		for _, rewrites := range []bool{false, true} {
			asked := ""
			w := newWorld(t, func(o *fakeextend.Options) {
				o.RewritesPaths = rewrites
				o.Client = &http.Client{Transport: fakeextend.Transport(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked = r.URL.EscapedPath() }))}
			})
			w.create(`{"processorId":"dp_silent","file":{"fileUrl":"https://b.example.com` + path + `?X-Amz-Signature=x"}}`)
			w.wait()
			if rewrites {
				eq(t, path, asked, want)
			} else {
				eq(t, path, asked, path)
			}
		}
	}
}

// The endpoint of the later version gets its events and shapes.
func TestWebhookOfTheOtherVersion(t *testing.T) {
	t.Parallel()
	common := []string{
		"object", "id", "status", "output", "initialOutput", "reviewedOutput", "failureReason", "failureMessage", "metadata", "reviewed", "edited",
		"config", "file", "parseRunId", "dashboardUrl", "usage", "createdAt", "updatedAt",
	}
	for _, test := range []struct {
		processor, path, event, object, prefix string
		more                                   []string
	}{
		{extractor, "/a.pdf", "extract_run.processed", "extract_run", "exr_", []string{"extractor", "extractorVersion", "edits", "files"}},
		{extractor, "/403", "extract_run.failed", "extract_run", "exr_", []string{"extractor", "extractorVersion", "edits", "files"}},
		{classifier, "/a.pdf", "classify_run.processed", "classify_run", "clr_", []string{"classifier", "classifierVersion"}},
		{splitter, "/a.pdf", "split_run.processed", "split_run", "splr_", []string{"splitter", "splitterVersion"}},
	} {
		w := newWorld(t, func(o *fakeextend.Options) { plain(o); o.WebhookVersion = "2026-02-09" })
		id, _ := w.create(file(test.processor, test.path)[:len(file(test.processor, test.path))-1] + `,"metadata":{"attempt":1}}`)
		w.wait()
		d := w.deliveries()[0]
		eq(t, "version", d.header.Get("x-extend-api-version"), "2026-02-09")
		eq(t, "signature", verify(d, secret), true)
		envelope := object(t, d.body)
		eq(t, "event", str(t, envelope["eventType"]), test.event)
		run := object(t, envelope["payload"])
		names := slices.Sorted(slices.Values(append(slices.Clone(common), test.more...)))
		eq(t, "members", fmt.Sprint(slices.Sorted(maps.Keys(run))), fmt.Sprint(names))
		eq(t, "object", str(t, run["object"]), test.object)
		eq(t, "id", str(t, run["id"]), test.prefix+strings.TrimPrefix(id, "dpr_"))
		eq(t, "metadata", string(run["metadata"]), `{"attempt":1}`)
		ended := w.get(id)
		if test.path == "/403" {
			eq(t, "output", string(run["output"]), "null")
			eq(t, "reason", string(run["failureReason"]), string(ended["failureReason"]))
		} else {
			eq(t, "output", string(run["output"]), string(ended["output"]))
			eq(t, "reason", string(run["failureReason"]), "null")
		}
	}
}

// One delivery alone, an endpoint that is changed, and no version header at all.
func TestVersionOfADelivery(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *fakeextend.Options) {
		o.DeliveryFault = func(d fakeextend.Delivery) fakeextend.DeliveryFault {
			return []fakeextend.DeliveryFault{
				{Version: "2026-02-09", Pointer: fakeextend.PointerFull}, {}, {}, {Header: http.Header{"x-extend-api-version": nil, "X-Other": {"a", "b"}}},
			}[d.Try-1]
		}
	})
	id, _ := w.create(file(extractor, "/a.pdf"))
	w.wait()
	for _, version := range []string{"", "2026-02-09", ""} {
		if err := w.fake.SetWebhookVersion(version); err != nil {
			t.Fatal(err)
		}
		if _, err := w.fake.Redeliver(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	var seen []string
	for _, d := range w.deliveries() {
		eq(t, "signature", verify(d, secret), true)
		seen = append(seen, str(t, object(t, d.body)["eventType"])+" "+d.header.Get("x-extend-api-version"))
	}
	eq(t, "seen", strings.Join(seen, ", "), "extract_run.processed 2026-02-09, processor_run.processed 2025-04-21, extract_run.processed 2026-02-09, processor_run.processed ")
	pointer := object(t, object(t, w.deliveries()[0].body)["payload"])
	eq(t, "id of the pointer", str(t, pointer["id"]), "exr_"+strings.TrimPrefix(id, "dpr_"))
	eq(t, "further header", fmt.Sprint(w.deliveries()[3].header.Values("X-Other")), "[a b]")
	eq(t, "unknown version", w.fake.SetWebhookVersion("2027-01-01") != nil, true)
	_, err := fakeextend.New(fakeextend.Options{APIKey: key, Processors: []fakeextend.Processor{{ID: extractor, Type: fakeextend.Extract}}, WebhookVersion: "v2"})
	eq(t, "unknown version of the options", err != nil && strings.Contains(err.Error(), "v2"), true)
}

// A stream that is refused after the whole request arrived: what can be sent
// again is, below everything that the caller knows of.
func TestRefusedStream(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name     string
		rewind   bool // the request's body can be sent again
		refusals int
		posts    int
		took     time.Duration
		ok       bool
	}{
		{"once", true, 1, 2, 0, true},
		{"three times", true, 3, 4, 3 * time.Second, true},
		{"always", true, 100, 8, 63 * time.Second, false},
		{"a body that can't be sent again", false, 1, 1, 0, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, func(o *fakeextend.Options) {
				o.Fault = fakeextend.Script(fakeextend.RouteCreate, slices.Repeat([]fakeextend.Fault{{Refused: true, After: true}}, test.refusals)...)
			})
			start := time.Now()
			resp, err := w.send(t.Context(), http.MethodPost, "/processor_runs", file(silent, "/a.pdf"), func(r *http.Request) {
				if !test.rewind {
					r.GetBody = nil
				}
			})
			if err == nil {
				resp.Body.Close()
			}
			eq(t, test.name+": answered", err == nil && resp.StatusCode == 200, test.ok)
			eq(t, test.name+": POSTs", len(w.fake.Posts()), test.posts)
			eq(t, test.name+": paid", w.fake.Accepted(), test.posts)
			eq(t, test.name+": took", time.Since(start), test.took)
		})
	}
}
