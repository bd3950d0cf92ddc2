package fakeextend_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"extend-intake/dev/fakeextend"
)

// Error bodies have the documented shapes.
func TestErrorShapes(t *testing.T) {
	t.Parallel()
	for shape, suffix := range map[fakeextend.ErrorShape]string{fakeextend.Structured: "_structured", fakeextend.Plain: "", fakeextend.Nested: "_structured"} {
		w := newWorld(t, func(o *fakeextend.Options) {
			plain(o)
			o.ErrorShape = shape
			o.Fault = fakeextend.Script(fakeextend.RouteList, fakeextend.Fault{Status: 429}, fakeextend.Fault{Status: 500})
		})
		for _, test := range []struct {
			status int
			path   string
			adjust func(*http.Request)
		}{
			{429, "/processor_runs", func(*http.Request) {}},
			{500, "/processor_runs", func(*http.Request) {}},
			{404, "/processor_runs/dpr_x", func(*http.Request) {}},
			{401, "/processor_runs", func(r *http.Request) { r.Header.Del("Authorization") }},
			{400, "/processor_runs?status=x", func(*http.Request) {}},
		} {
			status, header, answer := w.do(http.MethodGet, test.path, "", test.adjust)
			eq(t, "status", status, test.status)
			got := object(t, answer)
			if shape == fakeextend.Nested {
				got = object(t, got["error"])
			}
			if shape == fakeextend.Plain && status == 500 {
				continue // no such example
			}
			want := fixture(t, fmt.Sprintf("error_%d%s", status, suffix))
			sameShape(t, got, want)
			if shape != fakeextend.Plain {
				eq(t, "code", string(got["code"]), string(want["code"]))
				eq(t, "retryable", string(got["retryable"]), string(want["retryable"]))
				eq(t, "request id", header.Get("x-extend-request-id"), str(t, got["requestId"]))
			}
		}
	}
}

// Rule 13, and everything else that can happen to a POST: which answer, and
// whether a run was made.
func TestFaultsOfAPost(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		fault  fakeextend.Fault
		status int // 0: no answer
		runs   int
	}{
		{"none", fakeextend.Fault{}, 200, 1},
		{"429", fakeextend.Fault{Status: 429}, 429, 0},
		{"402", fakeextend.Fault{Status: 402}, 402, 0},
		{"403", fakeextend.Fault{Status: 403}, 403, 0},
		{"410", fakeextend.Fault{Status: 410}, 410, 0},
		{"500 before", fakeextend.Fault{Status: 500}, 500, 0},
		{"500 after", fakeextend.Fault{Status: 500, After: true}, 500, 1},
		{"gateway", fakeextend.Fault{Status: 502, HTML: "<html>Bad Gateway</html>"}, 502, 0},
		{"gateway after", fakeextend.Fault{Status: 502, HTML: "<html>Bad Gateway</html>", After: true}, 502, 1},
		{"cut before", fakeextend.Fault{Cut: true}, 0, 0},
		{"cut after", fakeextend.Fault{Cut: true, After: true}, 0, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(o *fakeextend.Options) { o.Fault = fakeextend.Script(fakeextend.RouteCreate, test.fault) })
			resp, err := w.send(t.Context(), http.MethodPost, "/processor_runs", file(extractor, "/a.pdf"))
			if test.status == 0 {
				if err == nil {
					t.Fatalf("answered %d", resp.StatusCode)
				}
			} else {
				if err != nil {
					t.Fatal(err)
				}
				body, _ := io.ReadAll(resp.Body)
				eq(t, "status", resp.StatusCode, test.status)
				eq(t, "JSON", json.Valid(body), test.fault.HTML == "")
			}
			eq(t, "runs", w.fake.Accepted(), test.runs)
			eq(t, "counted", fmt.Sprint(w.fake.Requests()), fmt.Sprint([]fakeextend.RequestCount{{Route: fakeextend.RouteCreate, Status: test.status, Count: 1}}))
			eq(t, "refused", len(w.fake.Refused()), 0)
			w.wait()
			eq(t, "webhooks", len(w.deliveries()), test.runs) // a lost answer does not keep the webhook
			w.create(file(extractor, "/a.pdf"))               // and the fault is over
		})
	}
}

func TestRetryAfterOfAFault(t *testing.T) {
	t.Parallel()
	date := "Fri, 24 Jul 2026 10:00:00 GMT"
	w := newWorld(t, func(o *fakeextend.Options) {
		o.Fault = fakeextend.Script(fakeextend.RouteGet,
			fakeextend.Fault{Status: 429, RetryAfter: "7"}, fakeextend.Fault{Status: 429, RetryAfter: date},
			fakeextend.Fault{Status: 429}, fakeextend.Fault{Status: 503, Code: "BUSY", Header: http.Header{"x-other": {"1"}}})
	})
	for _, want := range []string{"7", date, "", ""} {
		_, header, answer := w.do(http.MethodGet, "/processor_runs/dpr_x", "")
		eq(t, "Retry-After", header.Get("Retry-After"), want)
		if header.Get("X-Other") != "" {
			eq(t, "code", str(t, object(t, answer)["code"]), "BUSY")
		}
	}
}

// A fault does not hide that the request itself was wrong.
func TestFaultAfterARefusal(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *fakeextend.Options) {
		o.Fault = fakeextend.Script(fakeextend.RouteCreate, fakeextend.Fault{Status: 500, After: true})
	})
	status, _, _ := w.do(http.MethodPost, "/processor_runs", `{}`)
	eq(t, "status", status, 400)
}

// A caller that gives up does not stop the run from being made.
func TestSlowAnswers(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		fault fakeextend.Fault
		runs  int // when the caller has given up
	}{
		{"before", fakeextend.Fault{Delay: time.Minute}, 0},
		{"after", fakeextend.Fault{AnswerDelay: time.Minute}, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, func(o *fakeextend.Options) {
					o.Fault = fakeextend.Script(fakeextend.RouteCreate, test.fault, test.fault)
				})
				start := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				_, err := w.send(ctx, http.MethodPost, "/processor_runs", file(extractor, "/a.pdf"))
				eq(t, "gave up", errors.Is(err, context.DeadlineExceeded), true)
				eq(t, "runs", w.fake.Accepted(), test.runs)
				time.Sleep(50 * time.Second)
				synctest.Wait()
				eq(t, "runs in the end", w.fake.Accepted(), 1)
				w.create(file(extractor, "/a.pdf"))
				eq(t, "patience", time.Since(start), 2*time.Minute)
			})
		})
	}
}

// Rule 16: the webhook before the POST's answer, and the cases in which there
// is no webhook to wait for.
func TestWebhookBeforeTheAnswer(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, processor string
		fate            fakeextend.Fate
		drop            bool
		want            int
	}{
		{"processed", extractor, fakeextend.Fate{}, false, 1},
		{"failed", extractor, fakeextend.Fate{End: fakeextend.EndFailed}, false, 1},
		{"no subscription", silent, fakeextend.Fate{}, false, 0},
		{"cancelled", extractor, fakeextend.Fate{End: fakeextend.EndCancelled}, false, 0},
		{"dropped", extractor, fakeextend.Fate{}, true, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(o *fakeextend.Options) {
				o.Fault = fakeextend.Script(fakeextend.RouteCreate, fakeextend.Fault{HoldAnswer: true, Fate: test.fate})
				o.DeliveryFault = func(fakeextend.Delivery) fakeextend.DeliveryFault { return fakeextend.DeliveryFault{Drop: test.drop} }
			})
			_, run := w.create(file(test.processor, "/a.pdf"))
			eq(t, "webhooks", len(w.deliveries()), test.want)
			eq(t, "status of the answer", str(t, run["status"]), "PROCESSING")
		})
	}
}

// The ends of a run.
func TestFates(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(o *fakeextend.Options) {
			o.Processing = fakeextend.Fixed(time.Second)
			o.Fault = fakeextend.Script(fakeextend.RouteCreate,
				fakeextend.Fault{Fate: fakeextend.Fate{End: fakeextend.EndFailed, FailureReason: "PARSING_ERROR", FailureMessage: "No."}},
				fakeextend.Fault{Fate: fakeextend.Fate{End: fakeextend.EndCancelled}},
				fakeextend.Fault{Fate: fakeextend.Fate{End: fakeextend.EndDeleted}},
				fakeextend.Fault{Fate: fakeextend.Fate{End: fakeextend.EndNever, NullOutput: true}},
			)
		})
		var ids []string
		for range 4 {
			id, run := w.create(file(extractor, "/a.pdf"))
			eq(t, "status", str(t, run["status"]), "PROCESSING")
			ids = append(ids, id)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		got := w.get(ids[0])
		eq(t, "status", str(t, got["status"]), "FAILED")
		eq(t, "reason", str(t, got["failureReason"]), "PARSING_ERROR")
		eq(t, "message", str(t, got["failureMessage"]), "No.")
		eq(t, "cancelled", str(t, w.get(ids[1])["status"]), "CANCELLED")
		status, _, _ := w.do(http.MethodGet, "/processor_runs/"+ids[2], "")
		eq(t, "deleted", status, 404)
		eq(t, "still known to the test", w.fake.Runs()[2].Deleted, true)
		eq(t, "never", str(t, w.get(ids[3])["status"]), "PROCESSING")
		eq(t, "null output", string(w.get(ids[3])["output"]), "null")
		eq(t, "webhooks", len(w.deliveries()), 1)

		if err := w.fake.FinishRun(ids[3]); err != nil {
			t.Fatal(err)
		}
		eq(t, "finished", str(t, w.get(ids[3])["status"]), "PROCESSED")
		w.wait()
		eq(t, "webhooks", len(w.deliveries()), 2)
		eq(t, "finish a deleted run", w.fake.FinishRun(ids[2]) != nil, true)
		eq(t, "cancel a finished run", w.fake.CancelRun(ids[3]) != nil, true)
		eq(t, "review a failed run", w.fake.ReviewRun(ids[0], json.RawMessage(`{}`)) != nil, true)
	})
}

func TestListLag(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(o *fakeextend.Options) {
			o.Fault = fakeextend.Script(fakeextend.RouteCreate, fakeextend.Fault{Fate: fakeextend.Fate{ListLag: time.Minute, FetchDelay: time.Second}})
		})
		id, _ := w.create(file(extractor, "/a.pdf"))
		listed := func() bool {
			_, _, answer := w.do(http.MethodGet, "/processor_runs", "")
			return strings.Contains(string(answer), id)
		}
		w.get(id) // GET has no lag
		time.Sleep(time.Minute - 1)
		eq(t, "before", listed(), false)
		time.Sleep(time.Nanosecond)
		eq(t, "after", listed(), true)
	})
}

// The plan: requests over it get 429, over all routes and in a sliding second.
func TestRequestRate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for kind, want := range map[fakeextend.RetryAfter]string{
			fakeextend.RetryAfterNone: "", fakeextend.RetryAfterSeconds: "1",
			fakeextend.RetryAfterDate: time.Now().Add(time.Second).UTC().Truncate(time.Second).Format(http.TimeFormat),
		} {
			w := newWorld(t, func(o *fakeextend.Options) { o.RequestsPerSecond, o.RetryAfter = 2, kind })
			w.do(http.MethodGet, "/processor_runs", "")
			w.create(file(extractor, "/a.pdf"))
			status, header, _ := w.do(http.MethodPost, "/processor_runs", file(extractor, "/a.pdf"))
			eq(t, "status", status, 429)
			if got := header.Get("Retry-After"); kind == fakeextend.RetryAfterDate {
				at, err := http.ParseTime(got)
				eq(t, "date is late enough", err == nil && !at.Before(time.Now().Add(time.Second).Truncate(time.Second)), true)
			} else {
				eq(t, "Retry-After", got, want)
			}
			time.Sleep(time.Second)
			status, _, _ = w.do(http.MethodGet, "/processor_runs", "")
			eq(t, "a second later", status, 200)
			eq(t, "runs", w.fake.Accepted(), 1)
		}
	})
}

// Files over the throughput are accepted and wait, lower priority value first.
func TestFileThroughput(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(o *fakeextend.Options) { o.FilesPerMinute = 2 })
		start := time.Now()
		body := func(name string, priority int) string {
			return fmt.Sprintf(`{"processorId":"dp_extract","priority":%d,"file":{"fileName":%q,"fileUrl":"https://files.example.com/a.pdf"}}`, priority, name)
		}
		for i, status := range []string{"PROCESSING", "PROCESSING", "PENDING", "PENDING", "PENDING"} {
			_, run := w.create(body(string(rune('a'+i)), []int{50, 50, 50, 90, 1}[i]))
			eq(t, "status", str(t, run["status"]), status)
		}
		time.Sleep(time.Second)
		for _, r := range w.fake.Runs() {
			eq(t, "fetched at once", r.Fetches, 1)
		}
		w.wait()
		after := map[string]time.Duration{}
		for _, r := range w.fake.Runs() {
			eq(t, "status", r.Status, "PROCESSED")
			after[r.FileName] = r.UpdatedAt.Sub(start)
		}
		want := map[string]time.Duration{"a": 0, "b": 0, "e": time.Minute, "c": time.Minute, "d": 2 * time.Minute}
		if !maps.Equal(after, want) {
			t.Errorf("got %v, want %v", after, want)
		}
	})
}

func TestFilesRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(o *fakeextend.Options) {
			o.FilesPerMinute, o.RefuseFiles, o.RetryAfter = 1, true, fakeextend.RetryAfterSeconds
		})
		w.create(file(extractor, "/a.pdf"))
		status, header, _ := w.do(http.MethodPost, "/processor_runs", file(extractor, "/a.pdf"))
		eq(t, "status", status, 429)
		eq(t, "Retry-After", header.Get("Retry-After"), "60")
		time.Sleep(time.Minute)
		w.create(file(extractor, "/a.pdf"))
	})
}

// The same seed and the same calls make the same ids and bytes.
func TestDeterminism(t *testing.T) {
	t.Parallel()
	story := func(seed uint64) (story string) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, func(o *fakeextend.Options) { o.Seed = seed })
			for _, p := range []string{extractor, classifier, splitter} {
				w.create(file(p, "/a.pdf"))
				w.wait()
			}
			w.do(http.MethodGet, "/processor_runs/dpr_x", "")
			_, _, answer := w.do(http.MethodGet, query("maxPageSize", "1"), "")
			for _, d := range w.deliveries() {
				story += string(d.body)
			}
			story += string(answer)
		})
		return story
	}
	first := story(7)
	eq(t, "same seed", story(7), first)
	eq(t, "other seed", story(8) == first, false)
}

// Over real sockets: NewServer, a cut connection, and an end that does not hang.
func TestNewServer(t *testing.T) {
	t.Parallel()
	files := httptest.NewServer(http.HandlerFunc(serveFile))
	t.Cleanup(files.Close)
	told := make(chan []byte, 1)
	hooks := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		told <- body
	}))
	t.Cleanup(hooks.Close)
	var steps []string
	fake, base := fakeextend.NewServer(t, fakeextend.Options{
		APIKey:     key,
		Processors: []fakeextend.Processor{{ID: extractor, Type: fakeextend.Extract, Subscribed: true}},
		Fault:      fakeextend.Script(fakeextend.RouteCreate, fakeextend.Fault{}, fakeextend.Fault{Cut: true, After: true}, fakeextend.Fault{Delay: 24 * time.Hour}),
		OnStep:     func(s fakeextend.Step) { steps = append(steps, string(s.Kind)) },
	})
	if err := fake.SetWebhook(hooks.URL, secret); err != nil {
		t.Fatal(err)
	}
	post := func(ctx context.Context) (*http.Response, error) {
		body := `{"processorId":"dp_extract","file":{"fileUrl":"` + files.URL + `/a.pdf"}}`
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/processor_runs", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+key)
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("X-Extend-Api-Version", "2025-04-21")
		return http.DefaultClient.Do(req)
	}
	resp, err := post(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	eq(t, "status", resp.StatusCode, 200)
	event := object(t, <-told)
	eq(t, "event", str(t, event["eventType"]), "processor_run.processed")
	if err := fake.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	eq(t, "steps", fmt.Sprint(steps), fmt.Sprint([]string{"run created", "file fetched", "run finished", "webhook delivered"}))

	if resp, err := post(t.Context()); err == nil {
		resp.Body.Close()
		t.Error("the connection was not cut")
	}
	<-told
	eq(t, "runs", fake.Accepted(), 2)

	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		if resp, err := post(ctx); err == nil {
			resp.Body.Close()
		}
	}()
	t.Cleanup(func() { cancel(); <-gone }) // the handler may still wait: Close ends it
}

// Close ends runs, retries and held answers; later requests are refused.
func TestClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(o *fakeextend.Options) {
			o.Fault = fakeextend.Script(fakeextend.RouteCreate, fakeextend.Fault{}, fakeextend.Fault{Fate: fakeextend.Fate{End: fakeextend.EndNever}})
		})
		w.answer = func(int) int { return 500 }
		w.create(file(extractor, "/a.pdf"))
		id, _ := w.create(file(extractor, "/a.pdf"))
		synctest.Wait()
		finished := make(chan error, 1)
		w.fake.Close()
		w.fake.Close()
		go func() { finished <- w.fake.FinishRun(id) }()
		eq(t, "finish after close", <-finished != nil, true)
		eq(t, "tries", len(w.deliveries()), 1)
		status, _, _ := w.do(http.MethodGet, "/processor_runs", "")
		eq(t, "status", status, 503)
		eq(t, "counted", slices.Contains(w.fake.Requests(), fakeextend.RequestCount{Route: fakeextend.RouteList, Status: 503, Count: 1}), true)
	})
}
