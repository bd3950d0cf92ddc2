package fakeextend_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"extend-intake/dev/fakeextend"
)

// requests is one of each route; ID stands for a run's id.
var requests = map[string]struct{ method, path, body string }{
	fakeextend.RouteCreate:  {http.MethodPost, "/processor_runs", `{"processorId":"dp_extract","rawText":"x"}`},
	fakeextend.RouteGet:     {http.MethodGet, "/processor_runs/ID", ""},
	fakeextend.RouteList:    {http.MethodGet, "/processor_runs", ""},
	fakeextend.RouteCancel:  {http.MethodPost, "/processor_runs/ID/cancel", ""},
	fakeextend.RouteDelete:  {http.MethodDelete, "/processor_runs/ID", ""},
	fakeextend.RouteUnknown: {http.MethodGet, "/parser_runs", ""},
}

// What stands before the API can answer any route, and nothing is done.
func TestForeignAnswers(t *testing.T) {
	t.Parallel()
	for _, answer := range slices.Concat(fakeextend.ForeignAnswers(), fakeextend.AnswersWithoutRun()) {
		var fault fakeextend.Fault
		w := newWorld(t, func(o *fakeextend.Options) {
			o.Fault = func(fakeextend.Call) fakeextend.Fault { return fault }
		})
		w.api.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		id, _ := w.create(`{"processorId":"dp_silent","rawText":"x"}`)
		w.wait()
		fault = fakeextend.Fault{Answer: &answer}
		for route, r := range requests {
			status, header, body := w.do(r.method, strings.Replace(r.path, "ID", id, 1), r.body)
			what := answer.Name + ", " + route
			eq(t, what+": status", status, answer.Status)
			eq(t, what+": content type", header.Get("Content-Type"), answer.ContentType)
			eq(t, what+": body", string(body), answer.Body)
			eq(t, what+": location", header.Get("Location"), answer.Header.Get("Location"))
		}
		if answer.Status >= 300 {
			var shape struct{ Code, Message string }
			_ = json.Unmarshal([]byte(answer.Body), &shape) // most are no JSON
			eq(t, answer.Name+": has the API's shape", shape.Code != "", false)
		}
		eq(t, answer.Name+": runs", len(w.fake.Runs()), 1)
		eq(t, answer.Name+": deleted", w.fake.Runs()[0].Deleted, false)
		eq(t, answer.Name+": refused", len(w.fake.Refused()), 0)

		fault.After = true
		w.do(http.MethodPost, "/processor_runs", requests[fakeextend.RouteCreate].body)
		eq(t, answer.Name+": runs after it", w.fake.Accepted(), 2)
	}
}

// A run can be shown in a way that no parser takes, in one answer of any route
// and in one delivery; the run itself, and all other answers, are well.
func TestUnreadableRuns(t *testing.T) {
	t.Parallel()
	for _, change := range fakeextend.UnreadableRuns() {
		w := newWorld(t, func(o *fakeextend.Options) {
			once := fakeextend.Fault{ChangeRuns: change}
			o.Fault = fakeextend.First(
				fakeextend.Script(fakeextend.RouteCreate, once), fakeextend.Script(fakeextend.RouteGet, once), fakeextend.Script(fakeextend.RouteList, once))
			o.DeliveryFault = func(d fakeextend.Delivery) fakeextend.DeliveryFault {
				if d.Try > 1 {
					return fakeextend.DeliveryFault{}
				}
				return fakeextend.DeliveryFault{ChangeRun: change}
			}
			o.WebhookSchedule = []time.Duration{0}
		})
		w.answer = func(n int) int { return []int{400, 200}[n-1] }
		status, _, first := w.do(http.MethodPost, "/processor_runs", file(extractor, "/a.pdf"))
		eq(t, change.Name+": status", status, 200)
		eq(t, change.Name+": POST", readable(first), false)
		w.wait()
		id := w.fake.Runs()[0].ID
		for _, path := range []string{"/processor_runs/" + id, "/processor_runs"} {
			_, _, bad := w.do(http.MethodGet, path, "")
			_, _, good := w.do(http.MethodGet, path, "")
			eq(t, change.Name+": "+path, readable(bad), false)
			eq(t, change.Name+": "+path+" again", readable(good), true)
			eq(t, change.Name+": "+path+" has the id", strings.Contains(string(bad), id), true)
		}
		got := w.deliveries()
		eq(t, change.Name+": deliveries", len(got), 2)
		eq(t, change.Name+": delivery", readable(got[0].body), false)
		eq(t, change.Name+": next delivery", readable(got[1].body), true)
		eq(t, change.Name+": signature", verify(got[0], secret), true)
		eq(t, change.Name+": the run", w.fake.Runs()[0].Status, "PROCESSED")
	}
}

// readable is what Go's own decoder says, which takes no more than 10,000 levels.
func readable(body []byte) bool { return json.Unmarshal(body, new(any)) == nil }

// A body can be spoilt as a whole, on both ways.
func TestUnreadableBodies(t *testing.T) {
	t.Parallel()
	for _, change := range fakeextend.UnreadableBodies() {
		w := newWorld(t, func(o *fakeextend.Options) {
			o.Fault = fakeextend.Script(fakeextend.RouteGet, fakeextend.Fault{ChangeBody: change}, fakeextend.Fault{Status: 500, ChangeBody: change})
			o.DeliveryFault = func(fakeextend.Delivery) fakeextend.DeliveryFault {
				return fakeextend.DeliveryFault{ChangeBody: change}
			}
		})
		id, _ := w.create(file(extractor, "/a.pdf"))
		w.wait()
		var bodies [][]byte
		for _, want := range []int{200, 500, 200} {
			status, _, body := w.do(http.MethodGet, "/processor_runs/"+id, "")
			eq(t, change.Name+": status", status, want)
			bodies = append(bodies, body)
		}
		eq(t, change.Name+": as said", string(bodies[0]), string(change.Apply(bodies[2])))
		eq(t, change.Name+": changed", bytes.Equal(bodies[0], bodies[2]), false)
		d := w.deliveries()[0]
		eq(t, change.Name+": signature", verify(d, secret), true)
		eq(t, change.Name+": delivery", !readable(d.body) || d.body[0] != '{' || change.Name == "a bare run", true)
	}
}

// Every member that decides nothing takes other JSON types, in answers, lists
// and deliveries, and what decides stays as it is.
func TestTypeDrifts(t *testing.T) {
	t.Parallel()
	var change fakeextend.Change
	w := newWorld(t, func(o *fakeextend.Options) {
		plain(o)
		o.Fault = func(fakeextend.Call) fakeextend.Fault { return fakeextend.Fault{ChangeRuns: change} }
		o.DeliveryFault = func(d fakeextend.Delivery) fakeextend.DeliveryFault {
			return fakeextend.DeliveryFault{Drop: !d.Manual, ChangeRun: change}
		}
	})
	id, _ := w.create(file(extractor, "/a.pdf"))
	w.wait()
	ordinary := w.get(id)
	changes := fakeextend.TypeDrifts()
	for _, change = range changes {
		run := w.get(id)
		for _, name := range []string{"id", "status", "output"} {
			eq(t, change.Name+": "+name, string(run[name]), string(ordinary[name]))
		}
		status, _, answer := w.do(http.MethodGet, "/processor_runs", "")
		eq(t, change.Name+": list", status == 200 && json.Valid(answer), true)
		if status, err := w.fake.Redeliver(t.Context(), id); err != nil || status != 200 {
			t.Fatal(status, err)
		}
		got := w.deliveries()
		name, _, _ := strings.Cut(change.Name, " ")
		payload := object(t, object(t, got[len(got)-1].body)["payload"])
		eq(t, change.Name+": delivery", string(payload[name]), string(run[name]))
	}
	if n := len(changes); n < 100 {
		t.Errorf("only %d changes", n)
	}
	change = fakeextend.Set("reviewed", `"false"`)
	eq(t, "reviewed", string(w.get(id)["reviewed"]), `"false"`)
	change = fakeextend.Set("updatedAt", `7`)
	_, _, answer := w.do(http.MethodGet, "/processor_runs", "")
	eq(t, "in the list", strings.Contains(string(answer), `"updatedAt":7`), true)
}

func TestEnvelopeDrifts(t *testing.T) {
	t.Parallel()
	var change fakeextend.Change
	w := newWorld(t, func(o *fakeextend.Options) {
		o.DeliveryFault = func(fakeextend.Delivery) fakeextend.DeliveryFault {
			return fakeextend.DeliveryFault{ChangeBody: change}
		}
	})
	id, _ := w.create(file(extractor, "/a.pdf"))
	w.wait()
	for _, change = range fakeextend.EnvelopeDrifts() {
		if _, err := w.fake.Redeliver(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		got := w.deliveries()
		last := got[len(got)-1]
		eq(t, change.Name+": changed", bytes.Equal(last.body, got[0].body), false)
		eq(t, change.Name+": signature", verify(last, secret), true)
		eq(t, change.Name+": payload", string(object(t, last.body)["payload"]), string(object(t, got[0].body)["payload"]))
	}
}

// The metadata comes back changed in one place and as it was in the others.
func TestTagEchoes(t *testing.T) {
	t.Parallel()
	const sent = `{"stack":"S","documentId":"doc_1","attempt":1,"key":"in/Zürich.pdf","other":"Zu` + "\u0308" + `rich","extend:usage_tags":["a","b-1"]}`
	body := `{"processorId":"dp_extract","rawText":"x","metadata":` + sent + `}`
	for _, change := range fakeextend.TagEchoes() {
		for place, name := range map[fakeextend.Place]string{fakeextend.InAnswers: "POST", fakeextend.InGet: "GET", fakeextend.InDelivery: "delivery"} {
			w := newWorld(t, func(o *fakeextend.Options) {
				o.Fault = fakeextend.Script(fakeextend.RouteCreate, fakeextend.Fault{Fate: fakeextend.Fate{Changes: map[fakeextend.Place]fakeextend.Change{place: change}}})
				o.DeliveryFault = func(fakeextend.Delivery) fakeextend.DeliveryFault {
					return fakeextend.DeliveryFault{Pointer: fakeextend.PointerFull}
				}
			})
			id, run := w.create(body)
			w.wait()
			pointer := object(t, object(t, w.deliveries()[0].body)["payload"])
			_, downloaded := download(t, w, pointer["data"])
			for where, echo := range map[string]json.RawMessage{
				"POST": run["metadata"], "GET": w.get(id)["metadata"], "delivery": pointer["metadata"],
			} {
				eq(t, change.Name+", "+name+", seen in "+where+": unchanged", string(echo) == sent, where != name)
			}
			eq(t, change.Name+": the download and its pointer agree", string(object(t, []byte(downloaded))["metadata"]), string(pointer["metadata"]))
			eq(t, change.Name+": what was sent", string(w.fake.Runs()[0].Metadata), sent)
		}
	}
}

func TestRetryAfterIsSentAsItStands(t *testing.T) {
	t.Parallel()
	all := fakeextend.RetryAfters(time.Date(2026, 11, 25, 10, 0, 0, 0, time.UTC))
	w := newWorld(t, func(o *fakeextend.Options) {
		o.Fault = func(c fakeextend.Call) fakeextend.Fault {
			return fakeextend.Fault{Status: 429, RetryAfter: all[c.N-1]}
		}
	})
	seen := map[string]bool{}
	for _, want := range all {
		_, header, _ := w.do(http.MethodGet, "/processor_runs", "")
		eq(t, "Retry-After", header.Get("Retry-After"), want)
		seen[want] = true
	}
	for _, want := range []string{"30000", "1795600830", "1795600830000", "30s", "7, 30", "Wed, 25 Nov 2026 10:01:30 GMT"} {
		eq(t, "has "+want, seen[want], true)
	}
}

// A presigned link comes back in error texts and in the reasons of failed runs,
// spelt in many ways, each of which gives the secret away.
func TestLinkTexts(t *testing.T) {
	t.Parallel()
	const link = "https://b.s3.eu-west-1.amazonaws.com/in/a%20b.pdf?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAEXAMPLE%2F20261125%2Feu-west-1%2Fs3%2Faws4_request" +
		"&X-Amz-Security-Token=IQoJ%2Fb3JpZ2luX2Vj%2BEXAMPLE&X-Amz-Signature=5ec7e70123456789&versionId=v1"
	secrets := fakeextend.LinkSecrets(link)
	eq(t, "secrets", fmt.Sprint(secrets), "[AKIAEXAMPLE 5ec7e70123456789 b3JpZ2luX2Vj]")
	texts := fakeextend.LinkTexts(link)
	distinct := map[string]bool{}
	for i, text := range texts {
		distinct[text] = true
		eq(t, text+": gives the signature away", strings.Contains(text, "5ec7e70123456789"), true)
		eq(t, text+": gives the key away", strings.Contains(text, "AKIAEXAMPLE"), true)
		w := newWorld(t, func(o *fakeextend.Options) {
			o.Fault = func(c fakeextend.Call) fakeextend.Fault {
				spelt := fakeextend.LinkTexts(c.FileURL)[i]
				if c.N == 1 {
					return fakeextend.Fault{Status: 400, Message: spelt}
				}
				return fakeextend.Fault{Fate: fakeextend.Fate{End: fakeextend.EndFailed, FailureMessage: spelt}}
			}
			o.Client = &http.Client{Transport: fakeextend.Transport(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, pdf) }))}
		})
		body := `{"processorId":"dp_extract","file":{"fileUrl":"` + link + `"}}`
		_, _, answer := w.do(http.MethodPost, "/processor_runs", body)
		eq(t, "message", str(t, object(t, answer)["message"]), text)
		w.do(http.MethodPost, "/processor_runs", body)
		w.wait()
		eq(t, "failure", str(t, object(t, object(t, w.deliveries()[0].body)["payload"])["failureMessage"]), text)
	}
	eq(t, "distinct", len(distinct), len(texts))
	for _, odd := range []string{"", "%zz", "https://b.example.com/a.pdf"} {
		_ = fakeextend.LinkTexts(odd) // does not fail on what is no presigned link
		eq(t, "secrets of "+odd, len(fakeextend.LinkSecrets(odd)), 0)
	}
}
