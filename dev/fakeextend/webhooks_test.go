package fakeextend_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"extend-intake/dev/fakeextend"
)

// Rule 14: the envelope, the headers and the subscription.
func TestWebhook(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, plain)
		id, _ := w.create(file(extractor, "/a.pdf")[:len(file(extractor, "/a.pdf"))-1] + `,"metadata":{}}`)
		w.create(file(silent, "/a.pdf"))
		w.wait()
		got := w.deliveries()
		eq(t, "deliveries", len(got), 1) // none without a subscription
		eq(t, "content type", got[0].header.Get("Content-Type"), "application/json")
		eq(t, "timestamp", got[0].header.Get("x-extend-request-timestamp"), strconv.FormatInt(time.Now().Unix(), 10))
		eq(t, "signature", verify(got[0], secret), true)
		eq(t, "signature by another secret", verify(got[0], "test_1"), false)
		event, want := object(t, got[0].body), fixture(t, "webhook_processor_run_processed")
		sameShape(t, event, want)
		sameShape(t, object(t, event["payload"]), object(t, want["payload"]))
		eq(t, "type", str(t, event["eventType"]), "processor_run.processed")
		eq(t, "payload is what GET shows", string(event["payload"]), string(mustRaw(t, w, id)))
	})
}

func mustRaw(t *testing.T, w *world, id string) json.RawMessage {
	t.Helper()
	_, _, answer := w.do(http.MethodGet, "/processor_runs/"+id, "")
	return object(t, answer)["processorRun"]
}

func TestFailedWebhookWithNulls(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *fakeextend.Options) { plain(o); o.ExplicitNulls = true })
	w.create(file(extractor, "/403")[:len(file(extractor, "/403"))-1] + `,"metadata":{}}`)
	w.wait()
	event, want := object(t, w.deliveries()[0].body), fixture(t, "webhook_processor_run_failed")
	sameShape(t, event, want)
	sameShape(t, object(t, event["payload"]), object(t, want["payload"]))
	eq(t, "message", string(object(t, event["payload"])["failureMessage"]), string(object(t, want["payload"])["failureMessage"]))
}

// Rule 15, and the whole trip in virtual time: made, fetched, finished and
// delivered at exact instants; 4xx is tried again like everything else, with
// the same event id and body, a fresh timestamp and a fresh signature.
func TestTripInVirtualTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var steps []string
		start := time.Now()
		w := newWorld(t, func(o *fakeextend.Options) {
			o.Processing = func(run fakeextend.RunInfo) time.Duration { return time.Duration(run.FetchedBytes) * time.Second }
			o.Fault = fakeextend.Script(fakeextend.RouteCreate, fakeextend.Fault{Fate: fakeextend.Fate{FetchDelay: 3 * time.Second}})
			o.OnStep = func(s fakeextend.Step) {
				steps = append(steps, fmt.Sprintf("%v %s %d", s.At.Sub(start), s.Kind, s.Status))
			}
		})
		w.answer = func(n int) int { return []int{500, 400, 302, 0, 204}[n-1] } // 0 answers never
		w.create(file(extractor, "/a.pdf"))
		w.wait()

		want := []string{
			"0s run created 200",
			"3s file fetched 200",
			"1m48s run finished 0", // 3 s and 105 bytes
			"1m48s webhook refused 500",
			"1m49s webhook refused 400",
			"1m54s webhook refused 302",
			"2m54s webhook refused 0", // begun at 2m24s, 30 s without an answer
			"4m54s webhook delivered 204",
		}
		eq(t, "steps", strings.Join(steps, "\n"), strings.Join(want, "\n"))
		got := w.deliveries()
		stamps := map[string]bool{}
		for _, d := range got {
			eq(t, "signature", verify(d, secret), true)
			eq(t, "body", string(d.body), string(got[0].body))
			eq(t, "timestamp", d.header.Get("x-extend-request-timestamp"), strconv.FormatInt(d.at.Unix(), 10))
			stamps[d.header.Get("x-extend-request-signature")] = true
		}
		eq(t, "signatures", len(stamps), 5)
		tries := w.fake.Runs()[0].Deliveries[0].Tries
		eq(t, "tries", len(tries), 5)
		eq(t, "timeout", tries[3].Err, "timeout")
	})
}

func TestWebhookGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var last fakeextend.Step
		w := newWorld(t, func(o *fakeextend.Options) {
			o.WebhookSchedule = []time.Duration{time.Second}
			o.OnStep = func(s fakeextend.Step) { last = s }
		})
		w.answer = func(int) int { return 401 }
		w.create(file(extractor, "/a.pdf"))
		w.wait()
		eq(t, "tries", len(w.deliveries()), 2)
		eq(t, "last step", last.Kind, fakeextend.WebhookGivenUp)
	})
}

// The endpoint may change between tries, and may be absent.
func TestSetWebhook(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(o *fakeextend.Options) { o.WebhookURL, o.WebhookSecret = "", "" })
		id, _ := w.create(file(extractor, "/a.pdf"))
		w.wait()
		eq(t, "deliveries", len(w.deliveries()), 0)
		eq(t, "secret missing", w.fake.SetWebhook(hookURL, "") != nil, true)
		eq(t, "no URL", w.fake.SetWebhook("hooks.example.com", secret) != nil, true)
		if err := w.fake.SetWebhook(hookURL, secret); err != nil {
			t.Fatal(err)
		}
		status, err := w.fake.Redeliver(t.Context(), id)
		if err != nil || status != 200 {
			t.Fatal(status, err)
		}

		w.answer = func(n int) int {
			if n == 2 {
				if err := w.fake.SetWebhook(hookURL, "wss_rotated"); err != nil {
					t.Error(err)
				}
				return 500
			}
			return 200
		}
		w.create(file(extractor, "/a.pdf"))
		w.wait()
		got := w.deliveries()
		eq(t, "old secret", verify(got[1], secret), true)
		eq(t, "new secret", verify(got[2], "wss_rotated"), true)
	})
}

// Rule 16: what a delivery can look like.
func TestDeliveryFaults(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		fault fakeextend.DeliveryFault
		count int
		check func(t *testing.T, w *world, d delivery)
	}{
		{"never", fakeextend.DeliveryFault{Drop: true}, 0, nil},
		{"three times", fakeextend.DeliveryFault{Copies: 2}, 3, nil},
		{"unknown type", fakeextend.DeliveryFault{EventType: "processor_run.archived"}, 1, func(t *testing.T, _ *world, d delivery) {
			eq(t, "type", str(t, object(t, d.body)["eventType"]), "processor_run.archived")
		}},
		{"stale", fakeextend.DeliveryFault{Age: 301 * time.Second}, 1, func(t *testing.T, _ *world, d delivery) {
			eq(t, "timestamp", d.header.Get("x-extend-request-timestamp"), strconv.FormatInt(d.at.Unix()-301, 10))
			eq(t, "signature", verify(d, secret), true)
		}},
		{"wrong signature", fakeextend.DeliveryFault{WrongSignature: true}, 1, func(t *testing.T, _ *world, d delivery) {
			eq(t, "signature", verify(d, secret), false)
		}},
		{"late", fakeextend.DeliveryFault{Delay: time.Hour}, 1, func(t *testing.T, w *world, d delivery) {
			eq(t, "delay", d.at.Sub(w.fake.Runs()[0].UpdatedAt), time.Hour)
		}},
		{"pointer", fakeextend.DeliveryFault{Pointer: fakeextend.PointerFull}, 1, func(t *testing.T, w *world, d delivery) {
			p := object(t, object(t, d.body)["payload"])
			sameShape(t, p, object(t, fixture(t, "webhook_signed_url")["payload"]))
			eq(t, "object", str(t, p["object"]), "signed_data_url")
			eq(t, "id", str(t, p["id"]), w.fake.Runs()[0].ID)
			status, body := download(t, w, p["data"])
			eq(t, "status", status, 200)
			eq(t, "payload", body, string(mustRaw(t, w, w.fake.Runs()[0].ID)))
			time.Sleep(time.Hour)
			status, _ = download(t, w, p["data"])
			eq(t, "an hour later", status, 403)
		}},
		{"bare pointer", fakeextend.DeliveryFault{Pointer: fakeextend.PointerBare, Envelope: true}, 1, func(t *testing.T, w *world, d delivery) {
			p := object(t, object(t, d.body)["payload"])
			sameShape(t, p, object(t, fixture(t, "webhook_signed_url_bare")["payload"]))
			_, body := download(t, w, p["data"])
			eq(t, "envelope", string(object(t, []byte(body))["eventId"]), string(object(t, d.body)["eventId"]))
		}},
		{"pointer to a gateway's error", fakeextend.DeliveryFault{Pointer: fakeextend.PointerFull, Download: &fakeextend.Answer{Status: 502, Body: "<html>"}}, 1, func(t *testing.T, w *world, d delivery) {
			for range 2 {
				status, body := download(t, w, object(t, object(t, d.body)["payload"])["data"])
				eq(t, "answer", fmt.Sprintf("%d %s", status, body), "502 <html>")
			}
		}},
		{"string pointer, expired", fakeextend.DeliveryFault{Pointer: fakeextend.PointerString, Expired: true}, 1, func(t *testing.T, w *world, d delivery) {
			status, _ := download(t, w, object(t, d.body)["payload"])
			eq(t, "status", status, 403)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, func(o *fakeextend.Options) {
					plain(o)
					o.DeliveryFault = func(fakeextend.Delivery) fakeextend.DeliveryFault { return test.fault }
				})
				id, _ := w.create(file(extractor, "/a.pdf")[:len(file(extractor, "/a.pdf"))-1] + `,"metadata":{}}`)
				w.wait()
				got := w.deliveries()
				eq(t, "deliveries", len(got), test.count)
				for _, d := range got {
					eq(t, "event id", string(object(t, d.body)["eventId"]), string(object(t, got[0].body)["eventId"]))
				}
				if test.check != nil {
					test.check(t, w, got[0])
				}
				if _, err := w.fake.Redeliver(t.Context(), id); err != nil {
					t.Error(err)
				}
				eq(t, "after Redeliver", len(w.deliveries()), test.count+1)
			})
		})
	}
}

// download follows a signed URL, which needs no key.
func download(t *testing.T, w *world, raw json.RawMessage) (int, string) {
	t.Helper()
	resp, err := w.api.Get(str(t, raw))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// Rule 16: out of order, by dropping all and redelivering at will; the same
// delivery twice, by its event id.
func TestOutOfOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *fakeextend.Options) {
		o.DeliveryFault = func(d fakeextend.Delivery) fakeextend.DeliveryFault { return fakeextend.DeliveryFault{Drop: !d.Manual} }
	})
	id, _ := w.create(file(extractor, "/a.pdf"))
	w.wait()
	if err := w.fake.ReviewRun(id, json.RawMessage(`{"value":{}}`)); err != nil {
		t.Fatal(err)
	}
	w.wait()
	events := w.fake.Runs()[0].Deliveries
	eq(t, "events", len(events), 2)
	eq(t, "second type", events[1].EventType, "processor_run.processed")
	for _, id := range []string{events[1].EventID, events[0].EventID, events[0].EventID} {
		if status, err := w.fake.Redeliver(t.Context(), id); err != nil || status != 200 {
			t.Fatal(status, err)
		}
	}
	var order []string
	for _, d := range w.deliveries() {
		order = append(order, str(t, object(t, d.body)["eventId"]))
	}
	eq(t, "order", fmt.Sprint(order), fmt.Sprint([]string{events[1].EventID, events[0].EventID, events[0].EventID}))
	reviewed := object(t, object(t, w.deliveries()[0].body)["payload"])
	eq(t, "reviewed", string(reviewed["reviewed"]), "true")
	_, err := w.fake.Redeliver(t.Context(), "event_x")
	eq(t, "unknown event", err != nil, true)
}
