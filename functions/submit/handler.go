package submit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net/http"
	"path"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"extend-intake/shared/document"
	"extend-intake/shared/extend"
	"extend-intake/shared/ledger"
	"extend-intake/shared/metric"
	"extend-intake/shared/queue"
)

// Handler submits uploads. Make one with [NewHandler].
type Handler struct {
	Config Config
	Parts
	Runs    Runs
	Limiter *RateLimiter

	// holdUntil: Extend refused the account or the rate. Until then this instance makes no call.
	holdUntil  time.Time
	holdReason string
}

// Runs are the calls of Extend that a Handler makes.
type Runs interface {
	Create(context.Context, extend.CreateRunRequest) (*extend.Run, error)
	Get(ctx context.Context, id string) (*extend.Run, error)
	All(context.Context, extend.ListRunsRequest) iter.Seq2[extend.RunSummary, error]
}

// Handle takes a batch of the upload queue or, for a stack without a queue and for
// `sam local invoke`, a bare S3 or EventBridge event.
func (h *Handler) Handle(ctx context.Context, event json.RawMessage) (any, error) {
	var batch events.SQSEvent
	if err := json.Unmarshal(event, &batch); err != nil || len(batch.Records) == 0 || batch.Records[0].EventSource != "aws:sqs" {
		a := h.body(ctx, string(event), 1)
		if a.kind != done {
			return nil, fmt.Errorf("not done: %s", a.reason) // Lambda invokes again
		}
		return nil, nil
	}
	// Each message that is not done is named; the others are deleted. An empty
	// list, which must not be null, means that all are done.
	response := events.SQSEventResponse{BatchItemFailures: []events.SQSBatchItemFailure{}}
	for _, m := range batch.Records {
		if !h.message(ctx, m) {
			response.BatchItemFailures = append(response.BatchItemFailures, events.SQSBatchItemFailure{ItemIdentifier: m.MessageId})
		}
	}
	return response, nil
}

// message reports whether the message is done with.
func (h *Handler) message(ctx context.Context, m events.SQSMessage) bool {
	receives, _ := strconv.Atoi(m.Attributes["ApproximateReceiveCount"])
	a := h.body(ctx, m.Body, max(receives, 1))
	// The receipts don't count faults: a message is also received to find that it has to wait.
	faults := 0
	if n, ok := m.MessageAttributes[errorsAttribute]; ok && n.StringValue != nil {
		faults, _ = strconv.Atoi(*n.StringValue)
	}
	if a.kind == faulty {
		if faults++; faults >= maxFaults {
			a = answer{kind: dead, reason: fmt.Sprintf("%s (given up after %d tries)", a.reason, faults)}
		}
		a.after = backoff(faults)
	}
	log := slog.With("message_id", m.MessageId)
	if a.documentID != "" {
		log = log.With("document_id", a.documentID)
	}
	if a.kind == faulty || a.kind == back && receives >= maxReceives {
		log.WarnContext(ctx, "message begins anew", "reason", a.reason, "errors", faults, "receives", receives)
		if err := h.Uploads.Send(ctx, queue.Message{Body: m.Body, Delay: min(a.after, maxBackoff), Attributes: map[string]string{errorsAttribute: strconv.Itoa(faults)}}); err != nil {
			log.ErrorContext(ctx, "message not sent anew, it comes back", "error", err)
			return false
		}
		return true
	}
	switch a.kind {
	case done:
		return true
	case dead:
		if err := h.DeadLetters.Send(ctx, queue.Message{Body: m.Body, Attributes: map[string]string{"reason": a.reason}}); err != nil {
			log.ErrorContext(ctx, "dead letter not sent, the message comes back", "reason", a.reason, "error", err)
			return false
		}
		log.ErrorContext(ctx, "sent to the dead-letter queue", "reason", a.reason, metric.DeadLetters.One())
		return true
	}
	// What must wait longer comes back now and then and is put off again: SQS hides a
	// message for twelve hours at most, and a hold can end earlier than was said.
	after := min(a.after, maxBackoff)
	after += time.Duration(h.Jitter() * float64(after) / 2)
	if err := h.Uploads.Delay(ctx, m.ReceiptHandle, max(after, time.Second)); err != nil {
		// It comes back all the same, after the queue's own visibility timeout.
		log.WarnContext(ctx, "delay not set", "error", err)
	}
	return false
}

// body does what a message says. One message can speak of several uploads; it is
// done when all of them are, and uploads that are done are not done again.
func (h *Handler) body(ctx context.Context, body string, receives int) answer {
	notices, err := document.ParseUploadEvents([]byte(body))
	if err != nil {
		return answer{kind: dead, reason: err.Error()}
	}
	var all answer
	for _, n := range notices {
		a := h.guard(ctx, n, receives)
		a.documentID = n.DocumentID()
		if a.hold {
			h.holdUntil, h.holdReason = h.Now().Add(a.after), a.reason
			slog.ErrorContext(ctx, "paused", "document_id", a.documentID, "reason", a.reason, "until", h.holdUntil, countHold(a.cause))
		}
		if a.kind > all.kind || a.kind == back && all.kind == back && a.after < all.after {
			all = a // what has to come back comes first: the rest is found again then
		}
	}
	return all
}

// guard keeps a panic over one upload from harming the others.
func (h *Handler) guard(ctx context.Context, n document.UploadEvent, receives int) (a answer) {
	defer func() {
		if p := recover(); p != nil {
			slog.ErrorContext(ctx, "panic", "document_id", n.DocumentID(), "panic", p, "stack", string(debug.Stack()))
			a = answer{kind: faulty, reason: fmt.Sprintf("panic: %v", p)}
		}
	}()
	return h.notice(ctx, n, receives)
}

func (h *Handler) notice(ctx context.Context, n document.UploadEvent, receives int) answer {
	switch {
	case n.Err != nil:
		return answer{kind: dead, reason: n.Err.Error()}
	case n.Ignore != "":
		slog.InfoContext(ctx, "ignored", "reason", n.Ignore)
		return answer{}
	case n.Reprocess.DocumentID != "":
	case n.Source.FolderMarker():
		slog.InfoContext(ctx, "ignored", "reason", "folder marker", "object", n.Source.Object())
		return answer{}
	case n.Source.Bucket != h.Config.Bucket:
		return answer{kind: dead, reason: fmt.Sprintf("%s is not in this stack's bucket %s: whose notification is it?", n.Source.Object(), h.Config.Bucket)}
	}
	if _, ok := h.Config.route(n.Source.Key, false); !ok && n.Reprocess.DocumentID == "" && !n.Again {
		slog.InfoContext(ctx, "ignored", "reason", "no route", "object", n.Source.Object())
		return answer{}
	}
	if wait := h.holdUntil.Sub(h.Now()); wait > 0 {
		return answer{kind: back, after: wait, reason: "paused: " + h.holdReason}
	}
	if n.Reprocess.DocumentID != "" {
		return h.reprocess(ctx, n.Reprocess, receives)
	}
	return h.upload(ctx, n.Source, receives)
}

// reprocess begins the attempt that a person wants, unless it has begun.
func (h *Handler) reprocess(ctx context.Context, wish document.Reprocess, receives int) answer {
	log := slog.With("document_id", wish.DocumentID)
	d, err := h.Ledger.Apply(ctx, wish.DocumentID, ledger.Reprocess{Attempt: wish.Attempt, Reason: "asked for"})
	switch {
	case err != nil:
		return h.ledgerFault(ctx, log, err, receives)
	case d.Record == nil:
		return answer{kind: dead, reason: "no document " + wish.DocumentID + " in the table: is the id right?"}
	case d.Record.Bucket == "":
		return answer{kind: dead, reason: wish.DocumentID + " has no object to read again: it was not an upload that made it"}
	case d.Record.Attempt < wish.Attempt:
		return answer{kind: dead, reason: fmt.Sprintf("attempt %d of %s can't begin: attempt %d is %s. Ask for attempt %d, once that one has ended",
			wish.Attempt, wish.DocumentID, d.Record.Attempt, d.Record.State, d.Record.Attempt+1)}
	case d.Record.Attempt > wish.Attempt:
		log.InfoContext(ctx, "nothing to do", "attempt", wish.Attempt, "state", d.Record.State)
		return answer{}
	}
	return h.upload(ctx, d.Record.Source(), receives)
}

// upload makes the run of a document, unless it has one.
func (h *Handler) upload(ctx context.Context, src document.Source, receives int) answer {
	id := src.DocumentID()
	log := slog.With("document_id", id, "object", src.Object())
	// Nothing is claimed that can't be sent: a claim that nobody uses keeps the document waiting.
	if _, err := h.Key(ctx); err != nil {
		log.ErrorContext(ctx, "no API key", "error", err)
		return answer{kind: back, after: h.Config.Pause, reason: noKey, hold: true, cause: noKey}
	}
	deadline := h.deadline(ctx)
	if wait := h.Limiter.nextFile(h.Now()); h.Now().Add(wait).After(deadline) {
		return answer{kind: back, after: wait, reason: errTooLong.Error()}
	}
	route, routed := h.Config.route(src.Key, true)
	claim := ledger.Claim{Source: src, Route: route.Name, ProcessorID: route.ProcessorID, Version: route.Version}
	for range 2 { // twice: when a look settles that there is no run, the document is claimed again
		d, err := h.Ledger.Apply(ctx, id, claim)
		if err != nil {
			return h.ledgerFault(ctx, log, err, receives)
		}
		switch d.Verdict {
		case ledger.Claimed:
			if !routed { // there was one when the document began
				return h.refuse(ctx, log, d.Record, "NO_ROUTE", "no route takes this key any more: add one, and have the document read again", receives)
			}
			return h.post(ctx, log, src, d.Record, route, receives, deadline)
		case ledger.Leased:
			return answer{kind: back, after: max(d.Record.LeaseUntil.Sub(h.Now()), time.Second), reason: "claimed by another"}
		case ledger.Search:
			if d.Written {
				log.WarnContext(ctx, "claim abandoned: its function ended before it told what became of the POST", "attempt", d.Record.Attempt, metric.Unconfirmed.One())
			}
			a, settled := h.look(ctx, log, d.Record, receives, deadline)
			if !settled {
				return a
			}
		default:
			log.InfoContext(ctx, "nothing to do", "state", d.Record.State, "run_id", d.Record.RunID, metric.DuplicatesDropped.One())
			return answer{}
		}
	}
	return answer{kind: back, after: firstLook, reason: "outcome unknown"}
}

// deadline is the last moment at which a call may begin.
func (h *Handler) deadline(ctx context.Context) time.Time {
	d, ok := ctx.Deadline()
	if !ok {
		return h.Now().Add(time.Minute)
	}
	d = d.Add(-postTimeout - 5*time.Second)
	if h.Config.SendsFiles {
		d = d.Add(-uploadTimeout)
	}
	return d
}

// refuse ends a claimed document without a POST.
func (h *Handler) refuse(ctx context.Context, log *slog.Logger, claim *ledger.Record, code, message string, receives int) answer {
	if _, err := h.Ledger.Apply(ctx, claim.DocumentID, ledger.Refusal{ClaimNumber: claim.ClaimNumber, Code: code, Message: message}); err != nil {
		return h.ledgerFault(ctx, log, err, receives) // the lease runs out
	}
	log.WarnContext(ctx, "not submitted", "attempt", claim.Attempt, "state", ledger.Refused, "reason", code, metric.Refused.One())
	return answer{}
}

// post sends the one POST that the claim stands for, and the file before it where
// Extend does not fetch it.
func (h *Handler) post(ctx context.Context, log *slog.Logger, src document.Source, claim *ledger.Record, route document.Route, receives int, deadline time.Time) answer {
	log = log.With("attempt", claim.Attempt)
	giveBack := func(reason string, after time.Duration) answer {
		if _, err := h.Ledger.Apply(ctx, claim.DocumentID, ledger.NotAccepted{ClaimNumber: claim.ClaimNumber, Reason: reason, Until: h.Now().Add(after)}); err != nil {
			return h.ledgerFault(ctx, log, err, receives) // the lease runs out
		}
		return answer{kind: back, after: after, reason: reason}
	}
	if h.Config.SendsFiles {
		if err := h.Limiter.request(ctx, h.Now(), deadline); err != nil {
			return giveBack(err.Error(), backoff(receives))
		}
		deadline = deadline.Add(uploadTimeout) // what was left for the file
	}
	file, err := h.File(ctx, src, src.FileName(claim.Attempt))
	if err != nil {
		fact, a := afterFile(claim, err, receives, h.Config.Pause, h.Now())
		return h.told(ctx, log, claim, fact, a, err, receives)
	}
	if err := h.Limiter.file(ctx, h.Now(), deadline); err != nil {
		return giveBack(err.Error(), backoff(receives))
	}
	if !h.Now().Add(postTimeout).Before(claim.LeaseUntil) {
		// This instance was frozen. Who looks after the lease must find every POST of it already sent.
		return giveBack("the lease is over", time.Second)
	}
	usage := append([]string{path.Base(h.Config.Stack), route.Name}, route.TagsFor(src.Key)...)
	run, err := h.Runs.Create(ctx, extend.CreateRunRequest{
		ProcessorID: claim.ProcessorID, Version: claim.ProcessorVersion, Priority: route.Priority, Config: route.Config,
		File:     file,
		Metadata: document.NewTag(h.Config.Stack, src, claim.Attempt, usage...).Metadata(),
	})
	fact, a := afterPost(claim, run, err, receives, h.Config.Pause, h.Now())
	if err == nil {
		log = log.With("run_id", run.ID)
	}
	return h.told(ctx, log, claim, fact, a, err, receives)
}

// told tells the ledger what became of a claim, and logs it: err is why there is no run.
func (h *Handler) told(ctx context.Context, log *slog.Logger, claim *ledger.Record, fact ledger.Fact, a answer, err error, receives int) answer {
	d, ledgerErr := h.Ledger.Apply(ctx, claim.DocumentID, fact)
	if ledgerErr == nil {
		log = log.With("state", d.State())
	}
	if err != nil {
		if ledgerErr == nil { // else it happens again
			log = log.With(countFact(fact)...).With(h.stalled(d.Record)...)
		}
		log.WarnContext(ctx, "not submitted", "reason", a.reason, "error", err)
	}
	if ledgerErr != nil {
		// The lease runs out, and a run that was made is found by its token. What Extend
		// said of the account holds all the same.
		fault := h.ledgerFault(ctx, log, ledgerErr, receives)
		if a.hold {
			fault = a
		}
		return fault
	}
	if err == nil {
		report(ctx, log, "run created", d, metric.Submitted.One())
	}
	return a
}

// look searches for the run of a POST whose answer was lost. It reports whether
// the document is settled as having no run, so that it can be claimed again.
func (h *Handler) look(ctx context.Context, log *slog.Logger, rec *ledger.Record, receives int, deadline time.Time) (a answer, settled bool) {
	lookedAt := h.Now()
	found, err := h.find(ctx, rec, deadline)
	if err != nil {
		log.WarnContext(ctx, "look not done", "error", err)
		// The table of POST's answers holds for a GET as well, but for what it says of runs.
		_, a := afterPost(rec, nil, err, receives, h.Config.Pause, h.Now())
		return answer{kind: back, after: max(a.after, firstLook), reason: "look not done: " + a.reason, hold: a.hold, cause: a.cause}, false
	}
	for _, run := range found {
		d, err := h.Ledger.Apply(ctx, rec.DocumentID, ledger.Accepted{Attempt: rec.Attempt, RunID: run.ID, RunURL: run.URL})
		if err != nil {
			return h.ledgerFault(ctx, log, err, receives), false
		}
		log := log.With("attempt", rec.Attempt, "run_id", run.ID, "state", d.State())
		if d.Verdict == ledger.Stored { // else another look was faster
			log = log.With(metric.Submitted.One(), metric.RecoveredBySearch.One())
		}
		report(ctx, log, "lost run found", d)
	}
	if len(found) > 0 {
		return answer{}, false
	}
	d, err := h.Ledger.Apply(ctx, rec.DocumentID, ledger.NotFound{Attempt: rec.Attempt, SearchedAt: lookedAt})
	if err != nil {
		return h.ledgerFault(ctx, log, err, receives), false
	}
	if d.Verdict == ledger.Search {
		after := nextLook(d.Record.UnconfirmedSince, h.Config.Rules.ConfirmWindow, h.Now())
		log.With(h.stalled(d.Record)...).InfoContext(ctx, "run not found yet", "attempt", rec.Attempt, "since", d.Record.UnconfirmedSince)
		return answer{kind: back, after: after, reason: "outcome unknown"}, false
	}
	return answer{}, true
}

// maxCandidates bounds a look. A token is unique, so there is one candidate as a rule.
const maxCandidates = 50

// find returns the runs of the record's attempt.
func (h *Handler) find(ctx context.Context, rec *ledger.Record, deadline time.Time) ([]*extend.Run, error) {
	turn := func() error { return h.Limiter.request(ctx, h.Now(), deadline) }
	if err := turn(); err != nil {
		return nil, err
	}
	var found []*extend.Run
	candidates := 0
	for s, err := range h.Runs.All(ctx, extend.ListRunsRequest{
		FileNameContains: document.Token(rec.DocumentID, rec.Attempt), Source: "API", SortBy: "createdAt", MaxPageSize: maxCandidates,
	}) {
		if err != nil {
			return nil, err
		}
		if candidates++; candidates > maxCandidates {
			return nil, fmt.Errorf("more than %d runs have the token of %s", maxCandidates, rec.DocumentID)
		}
		run, err := h.get(ctx, s.ID, deadline)
		if err != nil {
			return nil, err
		}
		tag, err := document.ParseTag(run.Metadata)
		if err == nil && tag.Stack == h.Config.Stack && tag.DocumentID == rec.DocumentID && tag.Attempt == rec.Attempt {
			found = append(found, run)
		}
	}
	return found, nil
}

// get asks for a candidate, again when the plan's limit was hit: a look that began
// anew each time might never end under a plan that is smaller than was said.
func (h *Handler) get(ctx context.Context, id string, deadline time.Time) (*extend.Run, error) {
	for {
		if err := h.Limiter.request(ctx, h.Now(), deadline); err != nil {
			return nil, err
		}
		run, err := h.Runs.Get(ctx, id)
		e, ok := errors.AsType[*extend.Error](err)
		if !ok || e.StatusCode != http.StatusTooManyRequests {
			return run, err
		}
		wait := max(e.RetryAfter, time.Second)
		if h.Now().Add(wait).After(deadline) || sleep(ctx, wait) != nil {
			return nil, err
		}
	}
}

// ledgerFault is the answer when the ledger could not be asked or told.
func (h *Handler) ledgerFault(ctx context.Context, log *slog.Logger, err error, receives int) answer {
	log.ErrorContext(ctx, "ledger", "error", err)
	if errors.Is(err, ledger.ErrRecord) {
		return answer{kind: faulty, reason: err.Error()}
	}
	return answer{kind: back, after: backoff(receives), reason: "ledger"}
}

func report(ctx context.Context, log *slog.Logger, what string, d ledger.Decision, metrics ...any) {
	if d.Verdict == ledger.DuplicateRun {
		log.ErrorContext(ctx, "duplicate run", "current_run_id", d.Record.RunID, metric.DuplicateRun.One())
		return
	}
	log.InfoContext(ctx, what, metrics...)
}

// countFact is what a POST without a run counts as.
func countFact(fact ledger.Fact) []any {
	switch fact.(type) {
	case ledger.Refusal:
		return []any{metric.Refused.One()}
	case ledger.OutcomeUnknown:
		return []any{metric.Unconfirmed.One()}
	}
	return nil
}

// countHold is what a hold counts as: the plan's limit is no fault of the account.
func countHold(cause string) slog.Attr {
	if cause == strconv.Itoa(http.StatusTooManyRequests) {
		return metric.RateLimited.One()
	}
	return metric.AccountPaused.For(cause).One()
}

// stalled counts a document that still waits long after it was uploaded.
func (h *Handler) stalled(rec *ledger.Record) []any {
	if rec == nil || rec.State.Terminal() || rec.UploadedAt.IsZero() || h.Now().Sub(rec.UploadedAt) <= h.Config.StalledAfter {
		return nil
	}
	return []any{metric.Stalled.One()}
}
