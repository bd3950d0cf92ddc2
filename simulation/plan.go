package simulation

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"extend-intake/dev/fakeextend"
	"extend-intake/shared/document"
	"extend-intake/shared/extend"
	"extend-intake/shared/ledger"
)

// forgery is in everything that a stranger makes up.
const forgery = "forged-by-a-stranger"

// plan schedules what people do, from the uploads on.
func (w *world) plan() {
	dice := w.dice("plan")
	var bodies [][]byte
	creations := 0 // by tools
	for n := range w.set.uploads {
		key := prefix + []string{"a.pdf", "Müller & Söhne 50%+.pdf", "no extension"}[dice.IntN(3)]
		body := fmt.Appendf(nil, "%%PDF-1.4 %d/%d", w.seed, n)
		if len(bodies) > 0 && dice.IntN(4) == 0 && !w.set.onlyUploads {
			body = bodies[dice.IntN(len(bodies))] // the same bytes again
		}
		if !w.set.onlyUploads && w.strike(dice, emptyFile) {
			body = nil
		}
		bodies = append(bodies, body)
		if w.set.workflows && !w.set.onlyUploads && w.dice("route", n).IntN(2) == 0 {
			key = workflowPrefix + key[len(prefix):]
		}
		at := between(dice, 0, w.set.spread)
		w.later(at, func() { w.upload(n, key, body) })
		if !w.set.onlyUploads && w.strike(dice, createdAgain) {
			for range 1 + dice.IntN(2) {
				creations++
				n := w.set.uploads + creations
				w.later(at+between(dice, time.Second, time.Hour), func() { w.upload(n, key, body) })
			}
		}
	}
	if w.set.onlyUploads {
		return
	}
	for range dice.IntN(3) {
		n := dice.IntN(len(noises))
		w.later(between(dice, 0, w.set.spread), func() { w.noise(n) })
	}
	if w.strike(dice, outage) {
		for range 1 + dice.IntN(2) {
			from := w.start.Add(between(dice, 0, w.set.calmAfter))
			until := from.Add(between(dice, time.Minute, 30*time.Minute))
			if until.After(w.calmFrom) {
				until = w.calmFrom
			}
			w.outages = append(w.outages, outageSpan{from, until, []int{401, 402, 403, 429, 500, 503, 307}[dice.IntN(7)]})
		}
	}
	people := 0
	sometime := func(do func(*rand.Rand)) {
		people++
		own := w.dice("person", people)
		w.later(between(dice, time.Second, w.set.calmAfter), func() { do(own) })
	}
	for range 4 {
		if w.strike(dice, forged) {
			sometime(w.forge)
		}
		if w.strike(dice, replayed) {
			sometime(w.replay)
		}
	}
	for n := range 2 {
		if w.strike(dice, handWritten) {
			sometime(func(*rand.Rand) { w.byHand(n) })
		}
		if w.strike(dice, foreignRun) {
			sometime(w.foreign)
		}
		if w.strike(dice, untaggedRun) {
			sometime(w.untagged)
		}
		if w.strike(dice, reprocessed) {
			sometime(w.reprocess)
		}
		if w.strike(dice, withdrawn) {
			sometime(w.withdraw)
		}
		if w.strike(dice, announcedAgain) {
			sometime(w.announceAgain)
		}
	}
	for range 5 {
		if w.strike(dice, insider) {
			sometime(w.insider)
		}
	}
}

// upload puts a file into the bucket.
func (w *world) upload(n int, key string, body []byte) {
	dice := w.dice("upload", n)
	o := w.bucket.put(key, body)
	id := w.bucket.source(o).DocumentID()
	sum := sha256.Sum256(body)
	u := &upload{name: fmt.Sprintf("%c%d", 'a'+n%26, n), id: id, sha256: hex.EncodeToString(sum[:]), versioned: w.set.versioned}
	u.object, u.empty = o, len(body) == 0
	if !w.set.onlyUploads && w.strike(dice, firewalled) || n < w.set.sick && w.set.sickness == 0 {
		u.firewalled = true
	} else if n < w.set.sick {
		u.refused = w.set.sickness
	}
	if w.strike(dice, objectDeleted) {
		w.later(between(dice, 0, 30*time.Minute), func() {
			w.tell("somebody", id, "deletes the object")
			w.bucket.delete(o)
		})
	}
	if w.strike(dice, finalNo) {
		u.refused = []int{400, 404, 409, 413, 422}[dice.IntN(5)]
	}
	w.mu.Lock()
	if known := w.expected[id]; known != nil {
		known.again++
	} else {
		w.expected[id] = u
		w.names[id] = u.name
		w.uploaded = append(w.uploaded, o)
	}
	w.mu.Unlock()
	w.tell("bucket", id, "put %q, version %q", key, w.bucket.source(o).Version()[:6])
	switch {
	case !w.set.onlyUploads && dice.IntN(10) == 0:
		// One message about two uploads, or about one and something else.
		other := w.bucket.record(o)
		if dice.IntN(2) == 0 {
			other = `{"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": {}}`
		}
		body := `{"Records": [` + w.bucket.record(o) + `, ` + other + `]}`
		if other != w.bucket.record(o) {
			w.mu.Lock()
			w.garbage = append(w.garbage, body)
			w.mu.Unlock()
		}
		w.bucket.notify(n, body)
	default:
		w.bucket.notify(n, w.bucket.uploadEvent(!w.set.onlyUploads && dice.IntN(3) == 0, o))
	}
}

func (w *world) expectedUpload(id string) *upload {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.expected[id]
}

// noises are messages that no run must come of. Those that are not understood
// must be found in the dead-letter queue.
var noises = []struct {
	body string
	dead bool
}{
	{`{"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "uploads"}`, false},
	{`{"Records": []}`, false},
	{`{"Records": [{"eventSource": "aws:s3", "eventName": "ObjectRemoved:Delete", "s3": {"bucket": {"name": "b"}, "object": {"key": "in/a.pdf", "versionId": "v"}}}]}`, false},
	{`{"Records": [{"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": "BUCKET"}, "object": {"key": "elsewhere/a.pdf", "size": 1, "eTag": "e"}}}]}`, false},
	{`{"Records": [{"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": "somebody else's"}, "object": {"key": "in/a.pdf", "size": 1, "eTag": "e"}}}]}`, true},
	{`{"Records": [{"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": "BUCKET"}, "object": {"key": "in/folder/", "size": 0, "eTag": "e"}}}]}`, false},
	{`hello`, true},
	{`{"some": "json"}`, true},
	{`{"Records": [{"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": "b"}, "object": {"key": "in/%zz", "size": 1, "eTag": "e"}}}]}`, true},
	// Whoever may send messages can write ours.
	{`{"extendIntake": 1, "requeue": {"bucket": "BUCKET", "key": "elsewhere/a.pdf", "versionId": "v", "size": 1}}`, true},
	{`{"extendIntake": 1, "reprocess": {"documentId": "doc_aaaaaaaaaaaaaaaaaaaaaaaaaa", "attempt": 2}}`, true},
}

func (w *world) noise(n int) {
	body := strings.ReplaceAll(noises[n].body, "BUCKET", bucketName(w.seed))
	if noises[n].dead {
		w.mu.Lock()
		w.garbage = append(w.garbage, body)
		w.mu.Unlock()
	}
	w.tell("somebody", "", "sends a message: %.60s", body)
	w.queue.send(body)
}

// someUpload picks one of the uploads so far; nil when there is none.
func (w *world) someUpload(dice *rand.Rand) *object {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.uploaded) == 0 {
		return nil
	}
	return w.uploaded[dice.IntN(len(w.uploaded))]
}

// forge is a stranger who knows the wire format and all ids, but no secret.
func (w *world) forge(dice *rand.Rand) {
	o := w.someUpload(dice)
	if o == nil {
		return
	}
	t := document.NewTag(stackName, w.bucket.source(o), 1+dice.IntN(2))
	metadata, _ := json.Marshal(t.Metadata())
	body := fmt.Appendf(nil, `{"eventId": "event_1", "eventType": "processor_run.processed", "payload": {"object": "document_processor_run",
		"id": "dpr_forged", "status": "PROCESSED", "output": {"by": %q}, "metadata": %s}}`, forgery, metadata)
	sign := func(key string, at time.Time) http.Header {
		timestamp := strconv.FormatInt(at.Unix(), 10)
		mac := hmac.New(sha256.New, []byte(key))
		mac.Write([]byte("v0:" + timestamp + ":"))
		mac.Write(body)
		return http.Header{"X-Extend-Request-Timestamp": {timestamp}, "X-Extend-Request-Signature": {hex.EncodeToString(mac.Sum(nil))}}
	}
	header := []http.Header{{}, sign("", time.Now()), sign("wss_guessed", time.Now()), sign("wss_guessed", time.Now().Add(-time.Hour)),
		{"X-Extend-Request-Timestamp": {"0"}, "X-Extend-Request-Signature": {""}}}[dice.IntN(5)]
	status := w.post(header, body)
	w.tell("stranger", t.DocumentID, "forges a delivery, answer %d", status)
	if status/100 == 2 {
		w.violate("%s: a forged delivery was answered %d", w.nameOf(t.DocumentID), status)
	}
}

// replay is a stranger who saw a delivery and sends it once more.
func (w *world) replay(dice *rand.Rand) {
	var seen []fakeextend.Try
	for _, r := range w.runs() {
		for _, d := range r.Deliveries {
			seen = append(seen, d.Tries...)
		}
	}
	if len(seen) == 0 {
		return
	}
	try := seen[dice.IntN(len(seen))]
	seconds, _ := strconv.ParseInt(try.Header.Get("X-Extend-Request-Timestamp"), 10, 64)
	age := time.Since(time.Unix(seconds, 0))
	status := w.post(try.Header.Clone(), slices.Clone(try.Body))
	w.tell("stranger", "", "replays a delivery of %v ago, answer %d", age, status)
	if status/100 == 2 && age > 310*time.Second {
		w.violate("a delivery signed %v ago was answered %d", age, status)
	}
}

// foreign is another stack of ours, which reads the same bucket with the same key of Extend.
func (w *world) foreign(dice *rand.Rand) {
	o := w.someUpload(dice)
	if o == nil {
		return
	}
	s := w.bucket.source(o)
	w.tell("other stack", s.DocumentID(), "makes a run of its own")
	w.create(extend.CreateRunRequest{ProcessorID: processor, Version: "latest", File: &extend.RunFile{FileName: s.FileName(1, ""), FileURL: link(s)},
		Metadata: document.NewTag("111122223333/eu-central-1/other", s, 1).Metadata()})
}

// untagged is a run that was started in the dashboard.
func (w *world) untagged(dice *rand.Rand) {
	req := extend.CreateRunRequest{ProcessorID: processor, Version: "latest", RawText: "some text"}
	if dice.IntN(2) == 0 {
		req.Metadata = map[string]any{"documentId": "mine", "customer": 7}
	}
	w.tell("dashboard", "", "makes a run")
	if w.set.workflows && dice.IntN(2) == 0 {
		_, _ = w.extend.AddRun(fakeextend.NewRun{ProcessorID: workflow, FileName: "a.pdf", Content: []byte("some text"), Metadata: encoded(req.Metadata)})
		return
	}
	w.create(req)
}

// create makes a run that is none of ours; whether it works does not matter.
func (w *world) create(req extend.CreateRunRequest) {
	client, err := extend.NewClient(extend.StaticKey(apiKey), extend.WithBaseURL(extendURL), extend.WithRetry(extend.Retry{Attempts: 1}),
		extend.WithHTTPClient(&http.Client{Timeout: time.Minute, Transport: fakeextend.Transport(w.extend)}))
	if err != nil {
		panic(err)
	}
	if run, err := client.Runs.Create(context.Background(), req); err == nil {
		w.tell("somebody", "", "has run %s", short(run.ID))
	}
}

// reprocess is a person who wants a document read once more, and may say so twice.
func (w *world) reprocess(dice *rand.Rand) {
	o := w.someUpload(dice)
	if o == nil {
		return
	}
	id := w.bucket.source(o).DocumentID()
	w.mu.Lock()
	rec, ok := w.records[id]
	w.mu.Unlock()
	if !ok || !rec.State.Terminal() {
		return
	}
	wish := document.Reprocess{DocumentID: id, Attempt: rec.Attempt + 1}
	w.mu.Lock()
	w.wishes[wish] = true
	w.mu.Unlock()
	w.tell("person", id, "wants attempt %d", wish.Attempt)
	for range 1 + dice.IntN(2) {
		w.later(between(dice, 0, 10*time.Minute), func() { w.queue.send(document.ReprocessMessage(wish)) })
	}
}

// withdraw is a person who does not want a document sent that waits.
func (w *world) withdraw(*rand.Rand) {
	rec := w.someRecord(func(r *ledger.Record) bool { return r.State == ledger.Waiting })
	if rec == nil {
		return
	}
	w.mu.Lock()
	w.withdrawn[rec.DocumentID] = true
	w.mu.Unlock()
	w.person(rec.DocumentID, "withdraws it", ledger.Withdraw{Attempt: rec.Attempt, Reason: "not wanted"})
}

// announceAgain is a person who wants consumers told once more, and may say so twice.
func (w *world) announceAgain(*rand.Rand) {
	rec := w.someRecord(func(r *ledger.Record) bool { return r.State.Terminal() })
	if rec == nil {
		return
	}
	for range 2 {
		w.person(rec.DocumentID, "has it announced once more", ledger.Announce{Revision: rec.Revision})
	}
}

// someRecord is that of the first document, by its id, of which ok is true; nil when there is none.
func (w *world) someRecord(ok func(*ledger.Record) bool) *ledger.Record {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(w.expected)) {
		if rec, known := w.records[id]; known && ok(&rec) {
			return &rec
		}
	}
	return nil
}

// person does something to a document's record, as the command of an operator would.
func (w *world) person(id, what string, f ledger.Fact) {
	w.tell("person", id, "%s", what)
	l := w.table.Through(w.stack.submit.Rules, time.Now, func(ctx context.Context, a ledger.Access, do func(context.Context) error) error {
		return w.access(ctx, "person", a, do)
	})
	if _, err := l.Apply(context.Background(), id, f); err != nil {
		panic(err)
	}
}
