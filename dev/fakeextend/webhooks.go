package fakeextend

import (
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	deliveryTimeout = 30 * time.Second
	payloadLife     = time.Hour
)

// An endpoint is where webhooks go, and the API version that it is made for.
type endpoint struct{ url, secret, version string }

// A subject is what events tell of.
type subject struct {
	id, fileName string
	baseURL      string // where it was created
	changes      Change // of its payloads
	deleted      *bool  // guarded by Server.mu; nil: it is never deleted
	tell         func() // that a first try is over; nil: nobody waits
}

// An event is what happened to a subject; its payload never changes. Its tries are
// guarded by Server.mu.
type event struct {
	id      string
	kind    string // as this version of the API names it
	about   subject
	state   *run            // as it was, of a processor run
	payload json.RawMessage // the state as this version of the API shows it
	asked   int             // tries begun
	tries   []Try
}

// A downloadable is what a signed URL leads to.
type downloadable struct {
	body    []byte
	expires time.Time
	answer  *Answer // in place of the body
	plain   bool    // the body is a text
}

// announce makes the event of a run that ended or was reviewed. Without a
// subscription there is none. The caller holds mu.
func (s *Server) announce(r *run) *event {
	if !r.processor.Subscribed {
		return nil
	}
	kind := "processor_run.processed"
	if r.status == failed {
		kind = "processor_run.failed"
	}
	state := *r
	state.before = nil
	about := subject{id: r.id, fileName: r.fileName, baseURL: r.baseURL, changes: r.fate.Changes[InDelivery], deleted: &r.deleted, tell: r.tell}
	ev := s.newEvent(kind, about, len(r.events)+1, s.runObject(r))
	ev.state = &state
	r.events = append(r.events, ev)
	return ev
}

// newEvent makes the n-th event of a subject. The caller holds mu.
func (s *Server) newEvent(kind string, about subject, n int, payload []byte) *event {
	if about.tell == nil {
		about.tell = func() {}
	}
	ev := &event{id: s.id("event_", idLength, about.id, strconv.Itoa(n)), kind: kind, about: about, payload: payload}
	s.events[ev.id] = ev
	return ev
}

// launch has an event delivered, if there is one.
func (s *Server) launch(ev *event) {
	if ev == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.background(func() { s.deliver(ev) })
}

// launchAfter has an event delivered after a while. The caller holds mu.
func (s *Server) launchAfter(d time.Duration, ev *event) {
	s.background(func() {
		if pause(s.ctx, d) {
			s.deliver(ev)
		}
	})
}

// deliver tries until an answer is 2xx or the schedule is over.
func (s *Server) deliver(ev *event) {
	defer ev.about.tell()
	for i := 0; ; i++ {
		fault, n := s.ask(ev, false)
		if fault.Drop {
			s.step(Step{Kind: WebhookNotSent, RunID: ev.about.id, EventID: ev.id, FileName: ev.about.fileName, Detail: "dropped"})
			return
		}
		if !pause(s.ctx, fault.Delay) {
			return
		}
		try, ok := s.try(s.ctx, ev, fault, n)
		if !ok {
			return
		}
		ev.about.tell()
		for range fault.Copies {
			if _, ok := s.try(s.ctx, ev, fault, s.next(ev)); !ok {
				return
			}
		}
		if try.ok() {
			return
		}
		if i == len(s.schedule) {
			s.step(Step{Kind: WebhookGivenUp, RunID: ev.about.id, EventID: ev.id, FileName: ev.about.fileName, Detail: fmt.Sprintf("after %d tries", i+1)})
			return
		}
		if !pause(s.ctx, s.schedule[i]) {
			return
		}
	}
}

// Redeliver is a person who asks for a delivery once more: the same event id
// and payload, a fresh timestamp and signature, no retries. id is an event's or
// a run's; a run's means its last event. It returns the status of the answer.
func (s *Server) Redeliver(ctx context.Context, id string) (int, error) {
	s.mu.Lock()
	ev := s.events[id]
	if r := s.byID[id]; r != nil && len(r.events) > 0 {
		ev = r.events[len(r.events)-1]
	}
	if w := s.jobByID[id]; w != nil && len(w.base().events) > 0 {
		ev = w.base().events[len(w.base().events)-1]
	}
	s.mu.Unlock()
	if ev == nil {
		return 0, fmt.Errorf("fakeextend: no event for %q", id)
	}
	fault, n := s.ask(ev, true)
	if !pause(ctx, fault.Delay) {
		return 0, ctx.Err()
	}
	try, ok := s.try(ctx, ev, fault, n)
	if !ok {
		return 0, fmt.Errorf("fakeextend: event %s was not sent", ev.id)
	}
	if try.Err != "" {
		return 0, fmt.Errorf("fakeextend: event %s: %s", ev.id, try.Err)
	}
	return try.Status, nil
}

// next takes the number of a try.
func (s *Server) next(ev *event) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	ev.asked++
	return ev.asked
}

// ask begins a try: it takes its number and learns what is odd about it.
func (s *Server) ask(ev *event, manual bool) (DeliveryFault, int) {
	n := s.next(ev)
	if s.opts.DeliveryFault == nil {
		return DeliveryFault{}, n
	}
	return s.opts.DeliveryFault(Delivery{
		EventID: ev.id, EventType: ev.kind, RunID: ev.about.id, FileName: ev.about.fileName,
		Try: n, Manual: manual, PayloadBytes: len(ev.payload),
	}), n
}

// try sends an event once. It returns false if it could not even try: there is
// no endpoint, the run is deleted, or the fake is closed.
func (s *Server) try(ctx context.Context, ev *event, fault DeliveryFault, n int) (Try, bool) {
	s.mu.Lock()
	to, closed := s.webhook, s.closed
	deleted := ev.about.deleted != nil && *ev.about.deleted
	s.mu.Unlock()
	if to.url == "" || deleted || closed {
		detail := "no endpoint"
		if deleted {
			detail = "it is deleted"
		}
		s.step(Step{Kind: WebhookNotSent, RunID: ev.about.id, EventID: ev.id, FileName: ev.about.fileName, Detail: detail})
		return Try{}, false
	}
	to.version = cmp.Or(fault.Version, to.version)
	body := s.deliveryBody(ev, to.version, fault, n)
	if changed := cmp.Or(fault.ChangeRun.Name, fault.ChangeBody.Name); changed != "" {
		s.step(Step{Kind: FaultInjected, RunID: ev.about.id, EventID: ev.id, FileName: ev.about.fileName, Detail: "webhook: " + changed})
	}
	try := s.post(ctx, to, fault, body)

	s.mu.Lock()
	ev.tries = append(ev.tries, try)
	s.mu.Unlock()
	kind := WebhookDelivered
	if !try.ok() {
		kind = WebhookRefused
	}
	s.step(Step{Kind: kind, RunID: ev.about.id, EventID: ev.id, FileName: ev.about.fileName, Bytes: int64(len(body)), Status: try.Status, Detail: try.Err})
	return try, true
}

// post signs a body and sends it once.
func (s *Server) post(ctx context.Context, to endpoint, fault DeliveryFault, body []byte) Try {
	secret := to.secret
	if fault.WrongSignature {
		secret += "_other"
	}
	now := time.Now()
	timestamp := strconv.FormatInt(now.Add(-fault.Age).Unix(), 10)
	try := Try{At: now, Body: body, Header: http.Header{}}
	try.Header.Set("Content-Type", "application/json")
	try.Header.Set("User-Agent", "fakeextend")
	try.Header.Set("X-Extend-Api-Version", to.version)
	try.Header.Set("X-Extend-Request-Timestamp", timestamp)
	try.Header.Set("X-Extend-Request-Signature", sign(secret, timestamp, body))
	for name, values := range fault.Header {
		name = http.CanonicalHeaderKey(name)
		if try.Header[name] = values; len(values) == 0 {
			delete(try.Header, name)
		}
	}
	status, err := s.send(ctx, to.url, try.Header, body)
	try.Status = status
	if err != nil {
		try.Err = err.Error()
	}
	return try
}

func (s *Server) send(ctx context.Context, url string, header http.Header, body []byte) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, deliveryTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return 0, withoutURL(err)
	}
	req.Header = header.Clone()
	resp, err := s.sending.Do(req)
	if err != nil {
		return 0, withoutURL(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20)); err != nil {
		return 0, withoutURL(err)
	}
	return resp.StatusCode, nil
}

// sign computes the signature over the exact bytes sent.
func sign(secret, timestamp string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte("v0:" + timestamp + ":"))
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}

// deliveryBody writes the envelope, around the payload or a pointer to it, as the
// version of the API that the endpoint is made for shows it.
func (s *Server) deliveryBody(ev *event, version string, fault DeliveryFault, n int) []byte {
	kind, payload := ev.kind, []byte(ev.payload)
	if version == laterVersion && ev.state != nil {
		kind, payload = s.later(ev)
	}
	payload = fault.ChangeRun.apply(ev.about.changes.apply(payload))
	if fault.EventType != "" {
		kind = fault.EventType
	}
	envelope := func(payload []byte) []byte {
		var o object
		return s.extra(o.text("eventId", ev.id).text("eventType", kind).raw("payload", payload)).bytes()
	}
	sent := payload
	if fault.Pointer != PointerNone {
		kept := payload
		if fault.Envelope {
			kept = envelope(payload)
		}
		sent = s.pointer(ev, payload, kept, fault, n)
	}
	return fault.ChangeBody.apply(envelope(sent))
}

// pointer keeps a body for download and returns what stands in place of the
// payload.
func (s *Server) pointer(ev *event, payload, kept []byte, fault DeliveryFault, n int) []byte {
	p := downloadable{body: kept, expires: time.Now().Add(payloadLife), answer: fault.Download}
	if fault.Expired {
		p.expires = time.Now()
	}
	// Each try has a URL of its own, as the vendor says of a manual retry.
	token := s.id("", 32, "payload", ev.id, strconv.Itoa(n))
	s.mu.Lock()
	s.payloads[token] = p
	s.mu.Unlock()
	base := ev.about.baseURL
	if s.opts.PayloadBaseURL != "" {
		base = s.opts.PayloadBaseURL
	}
	address := quote(strings.TrimSuffix(base, "/") + payloadPath + token)

	var o object
	switch fault.Pointer {
	case PointerString:
		return address
	case PointerBare:
		return o.raw("data", address).bytes()
	}
	o.text("object", "signed_data_url")
	if id, ok := rawMember(payload, "id"); ok {
		o.raw("id", id)
	}
	o.raw("data", address)
	metadata, _ := rawMember(payload, "metadata")
	s.optional(&o, "metadata", metadata)
	return s.extra(&o).bytes()
}

// servePayload answers a GET of a signed payload URL: no key, only the token.
func (s *Server) servePayload(w http.ResponseWriter, token string) {
	s.mu.Lock()
	p, ok := s.payloads[token]
	status := http.StatusOK
	switch {
	case !ok:
		status = http.StatusNotFound
	case p.answer != nil:
		status = p.answer.status()
	case !time.Now().Before(p.expires):
		status = http.StatusForbidden
	}
	s.requests[RequestCount{Route: RoutePayload, Status: status}]++
	s.mu.Unlock()
	if p.answer != nil {
		p.answer.write(w, Change{})
		return
	}
	if status != http.StatusOK {
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if p.plain {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	}
	_, _ = w.Write(slices.Clone(p.body))
}
