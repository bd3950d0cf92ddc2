package submit

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"extend-intake/shared/document"
	"extend-intake/shared/metric"
	"extend-intake/shared/queue"
)

// A message with an error of its own is tried maxErrors times; the attribute counts.
const (
	maxErrors       = 12 // Lambda stops what a function sends to its own queue after sixteen rounds
	errorsAttribute = "errors"
	// maxReceives: a message that only waits is replaced by a new one, before the queue's
	// maxReceiveCount takes it for a poison message and before its retention ends.
	maxReceives = 500
	// maxAge: a message that is older is replaced, before the queue's retention of fourteen
	// days ends, which nobody would be told of.
	maxAge = 10 * 24 * time.Hour
)

// received is one message of the upload queue, as it was received.
type received struct {
	h *Handler
	events.SQSMessage
	log      *slog.Logger
	sent     time.Time
	receives int // this one included
	errors   int // of its own, so far
}

// receive handles a message, and reports whether it is done with.
func (h *Handler) receive(ctx context.Context, message events.SQSMessage) (isDone bool) {
	m := received{h: h, SQSMessage: message}
	m.receives, _ = strconv.Atoi(message.Attributes["ApproximateReceiveCount"])
	m.receives = max(m.receives, 1)
	m.sent = h.Now()
	if ms, err := strconv.ParseInt(message.Attributes["SentTimestamp"], 10, 64); err == nil {
		m.sent = time.UnixMilli(ms)
	}
	// The receives don't count errors: a message is also received to find that it has to wait.
	if n, ok := message.MessageAttributes[errorsAttribute]; ok && n.StringValue != nil {
		m.errors, _ = strconv.Atoi(*n.StringValue)
	}
	d := h.body(ctx, m.Body, m.receives)
	if d.kind == failed {
		m.errors++
		d.after = backoff(m.errors)
		if m.errors >= maxErrors {
			d.kind, d.reason = deadLetter, fmt.Sprintf("%s (given up after %d tries)", d.reason, m.errors)
		}
	}
	m.log = slog.With("message_id", m.MessageId)
	if d.documentID != "" {
		m.log = m.log.With("document_id", d.documentID)
	}
	switch {
	case d.kind == done:
		return true
	case d.kind == deadLetter:
		return m.deadLetter(ctx, d)
	case d.kind == failed || m.receives >= maxReceives || h.Now().Sub(m.sent) > maxAge:
		return m.requeue(ctx, d)
	}
	m.delay(ctx, d)
	return false
}

// deadLetter sends the message to the dead-letter queue.
func (m *received) deadLetter(ctx context.Context, d disposition) (isDone bool) {
	if err := m.h.DeadLetters.Send(ctx, queue.Message{Body: m.Body, Attributes: map[string]string{"reason": d.reason}}); err != nil {
		m.log.ErrorContext(ctx, "not sent to the dead-letter queue, the message comes back", "reason", d.reason, "error", err)
		return false
	}
	m.log.ErrorContext(ctx, "sent to the dead-letter queue", "reason", d.reason, metric.DeadLetters.One())
	return true
}

// requeue replaces the message by a new one, which carries the number of its errors.
func (m *received) requeue(ctx context.Context, d disposition) (isDone bool) {
	m.log.WarnContext(ctx, "message requeued", "reason", d.reason, "errors", m.errors, "receives", m.receives)
	attributes := map[string]string{errorsAttribute: strconv.Itoa(m.errors)}
	if err := m.h.Uploads.Send(ctx, queue.Message{Body: m.Body, Attributes: attributes, Delay: min(d.after, maxBackoff)}); err != nil {
		m.log.ErrorContext(ctx, "message not requeued, it comes back", "error", err)
		return false
	}
	return true
}

// delay makes the message come back later. What must wait longer than maxBackoff comes
// back now and then and is delayed once more: SQS hides a message for twelve hours at
// most, and a pause can end earlier than was said.
func (m *received) delay(ctx context.Context, d disposition) {
	after := min(d.after, maxBackoff)
	after += time.Duration(m.h.Jitter() * float64(after) / 2)
	if err := m.h.Uploads.Delay(ctx, m.ReceiptHandle, max(after, time.Second)); err != nil {
		// It comes back all the same, after the queue's own visibility timeout.
		m.log.WarnContext(ctx, "delay not set", "error", err)
	}
}

// body handles what is in a message. One message can be about several uploads; it is
// done when all of them are, and uploads that are done are not done again.
func (h *Handler) body(ctx context.Context, body string, receives int) disposition {
	uploads, err := document.ParseUploadEvents([]byte(body))
	if err != nil {
		return disposition{kind: deadLetter, reason: err.Error()}
	}
	var all disposition
	for _, u := range uploads {
		d := h.guard(ctx, u, receives)
		d.documentID = u.DocumentID()
		if d.pauses {
			h.pause(ctx, d)
		}
		h.countStalled(ctx, u, d)
		all = all.and(d)
	}
	return all
}

// pause keeps this instance from making calls for a while.
func (h *Handler) pause(ctx context.Context, d disposition) {
	until := h.Now().Add(d.after)
	h.pauses.pauseAccount(until, d.reason)
	slog.ErrorContext(ctx, "paused", "document_id", d.documentID, "reason", d.reason, "until", until, countPause(d.cause))
}

// countStalled counts a document that has not ended long after its upload, whatever came
// of this message: every way through submit ends here.
func (h *Handler) countStalled(ctx context.Context, u document.UploadEvent, d disposition) {
	since := u.Source.UploadedAt
	switch {
	case d.record != nil && d.record.State.Terminal(), d.record == nil && (d.kind == done || d.kind == deadLetter):
		return
	case d.record != nil:
		since = d.record.Since()
	}
	if since.IsZero() || h.Now().Sub(since) <= h.config.StalledAfter {
		return
	}
	slog.WarnContext(ctx, "document stalled", "document_id", d.documentID, "since", since, "reason", d.reason, metric.Stalled.One())
}

// guard keeps a panic over one upload from harming the others.
func (h *Handler) guard(ctx context.Context, u document.UploadEvent, receives int) (d disposition) {
	defer func() {
		if p := recover(); p != nil {
			slog.ErrorContext(ctx, "panic", "document_id", u.DocumentID(), "panic", p, "stack", string(debug.Stack()))
			d = disposition{kind: failed, reason: fmt.Sprintf("panic: %v", p)}
		}
	}()
	return h.upload(ctx, u, receives)
}

// upload handles one entry of a message.
func (h *Handler) upload(ctx context.Context, u document.UploadEvent, receives int) disposition {
	reprocess := u.Reprocess.DocumentID != ""
	switch {
	case u.Err != nil:
		return disposition{kind: deadLetter, reason: u.Err.Error()}
	case u.Ignore != "":
		slog.InfoContext(ctx, "ignored", "reason", u.Ignore)
		return disposition{}
	case reprocess:
	case u.Source.FolderMarker() && !u.SizeUnknown && !u.Requeued: // else S3 is asked for its size first
		slog.InfoContext(ctx, "ignored", "reason", "folder marker", "object", u.Source.Object())
		return disposition{}
	case u.Source.Bucket != h.config.Bucket:
		return disposition{kind: deadLetter, reason: fmt.Sprintf("%s is not in this stack's bucket %s: whose notification is it?", u.Source.Object(), h.config.Bucket)}
	case u.Region != "" && h.config.Region != "" && u.Region != h.config.Region:
		return disposition{kind: deadLetter, reason: fmt.Sprintf("%s is in the region %q, and this stack in %s: S3 would refuse its links. Deploy a stack in the bucket's region, or replicate the bucket into the stack's and read the copy",
			u.Source.Object(), u.Region, h.config.Region)}
	}
	route, ok := h.config.route(u.Source.Key, false)
	if !ok && !reprocess && !u.Requeued {
		slog.InfoContext(ctx, "ignored", "reason", "no route", "object", u.Source.Object(), metric.NotRouted.One())
		return disposition{}
	}
	left, probe := h.pauses.admit(h.Now(), route.Name, u.DocumentID())
	if d, paused := h.paused(left); paused {
		return d
	}
	if wait := u.Source.UploadedAt.Add(h.config.Settle).Sub(h.Now()); h.config.Settle > 0 && !reprocess && wait > 0 {
		return disposition{kind: delayed, after: wait, reason: "its object is given time to settle"}
	}
	a := h.newAttempt(ctx, u.DocumentID(), receives)
	a.probe, a.begun = probe, u.Requeued
	var d disposition
	if reprocess {
		d = a.reprocess(ctx, u.Reprocess)
	} else {
		a.read(u.Source)
		d = a.submit(ctx)
	}
	d.record = a.latest
	return d
}

// paused is what becomes of a document during a pause.
func (h *Handler) paused(p pause) (d disposition, paused bool) {
	wait := p.until.Sub(h.Now())
	return disposition{kind: delayed, after: wait, reason: "paused: " + p.reason}, wait > 0
}
