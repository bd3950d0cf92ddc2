package reconcile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"golang.org/x/time/rate"

	"extend-intake/shared/document"
	"extend-intake/shared/extend"
	"extend-intake/shared/ledger"
	"extend-intake/shared/metric"
	"extend-intake/shared/recorder"
)

// askTimeout bounds one request to Extend.
const askTimeout = 10 * time.Second

// maxRequeued bounds the documents that one invocation requeues. Most messages come back
// by themselves; this is for those that are lost, and must not flood the queue.
const maxRequeued = 200

// Handler finds what became of overdue documents. Make one with [NewHandler].
type Handler struct {
	ledger   *ledger.Ledger
	runs     recorder.Getter
	recorder *recorder.Recorder
	requeue  func(context.Context, document.Source) error
	put      func(ctx context.Context, name string, body []byte) (location string, err error)
	// limiter spaces the requests to Extend.
	limiter *rate.Limiter
	// grace is how long a document is left to its own message before it is requeued.
	grace time.Duration
	// stalledAfter is how long a document can be under way before a person should look.
	stalledAfter time.Duration
	now          func() time.Time
}

// Summary is what one invocation did.
type Summary struct {
	// Asked counts the runs that Extend was asked about, Ended those of them that had ended.
	Asked int `json:"asked"`
	Ended int `json:"ended"`
	// Requeued counts the documents that were sent to the upload queue once more.
	Requeued int `json:"requeued"`
	// Errors counts documents that could not be handled; the log names each.
	Errors int `json:"errors"`
	// Left counts the documents that are still overdue: the next invocations take them.
	Left int `json:"left"`
}

// errStop ends the invocation: whatever follows would fail in the same way.
var errStop = errors.New("stopped")

// Handle takes the schedule's event, of which it needs nothing.
func (h *Handler) Handle(ctx context.Context, _ json.RawMessage) (Summary, error) {
	now := h.now()
	in := &invocation{Handler: h, started: now, deadline: now.Add(45 * time.Second)}
	if d, ok := ctx.Deadline(); ok {
		in.deadline = d.Add(-askTimeout - 5*time.Second)
	}
	var err error
	for _, p := range in.passes() {
		if err = in.run(ctx, p); err != nil {
			break
		}
	}
	if errors.Is(err, errStop) {
		in.Left, err = in.left(ctx)
	}
	s := in.Summary
	log := slog.With("asked", s.Asked, "ended", s.Ended, "requeued", s.Requeued, "errors", s.Errors, "left", s.Left)
	if err != nil {
		log.ErrorContext(ctx, "not reconciled", "error", err)
		return s, err
	}
	log.InfoContext(ctx, "reconciled")
	return s, nil
}

// invocation is one run of the function.
type invocation struct {
	*Handler
	Summary
	started time.Time
	// deadline is the time after which no other document is begun with.
	deadline time.Time
	// forbidden counts the runs that Extend forbids to see.
	forbidden int
}

// pass is what is done to the documents of one state.
type pass struct {
	state ledger.State
	until time.Time // documents whose next check is due by then
	do    func(context.Context, *ledger.Record) error
}

func (in *invocation) passes() []pass {
	overdue := in.started.Add(-in.grace)
	return []pass{
		{ledger.Unconfirmed, overdue, in.sendBack}, // a run that may have been made comes first
		{ledger.Submitting, overdue, in.sendBack},
		{ledger.Waiting, overdue, in.sendBack},
		{ledger.Processing, in.started, in.ask},
		{ledger.NeedsReview, in.started, in.ask}, // the last: it waits for a person
	}
}

// run does a pass, the longest overdue document first. Whatever is done to a document
// moves its next check on, so the next invocation goes on where this one stops.
func (in *invocation) run(ctx context.Context, p pass) error {
	for rec, err := range in.ledger.InState(ctx, p.state, p.until) {
		if errors.Is(err, ledger.ErrRecord) {
			in.Errors++
			slog.ErrorContext(ctx, "record left as it is", "error", err)
			continue
		}
		if err != nil {
			return err
		}
		if in.now().After(in.deadline) {
			return errStop
		}
		if err := in.guard(ctx, rec, p.do); err != nil {
			return err
		}
	}
	return nil
}

// guard keeps an error or a panic over one document from stopping the others. Only
// errStop comes through.
func (in *invocation) guard(ctx context.Context, rec *ledger.Record, do func(context.Context, *ledger.Record) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			in.Errors++
			in.log(rec).ErrorContext(ctx, "panic", "panic", p, "stack", string(debug.Stack()))
		}
	}()
	err = do(ctx, rec)
	if err != nil && !errors.Is(err, errStop) {
		in.Errors++
		in.log(rec).ErrorContext(ctx, "not reconciled", "error", err)
		return nil
	}
	return err
}

// sendBack requeues a document, and submit finds out what to do with it. The message is
// sent first, the record written second: one message too many does no harm.
func (in *invocation) sendBack(ctx context.Context, rec *ledger.Record) error {
	if in.Requeued >= maxRequeued {
		return errStop
	}
	if err := in.requeue(ctx, rec.Source()); err != nil {
		return fmt.Errorf("requeue: %w", err)
	}
	in.Requeued++
	if _, err := in.ledger.Apply(ctx, rec.DocumentID, ledger.Requeued{}); err != nil {
		return err // it is sent once more in a minute
	}
	in.log(rec).WarnContext(ctx, "requeued", metric.RecoveredByReconcile.One())
	return nil
}

// ask asks Extend for the run, and records the answer as a delivery is recorded.
func (in *invocation) ask(ctx context.Context, rec *ledger.Record) error {
	if err := in.limiter.Wait(ctx); err != nil {
		return errStop // no request is allowed before the function ends
	}
	// The next check is set first: whatever goes wrong over this run, it must not keep the
	// others waiting.
	d, err := in.ledger.Apply(ctx, rec.DocumentID, ledger.CheckStarted{RunID: rec.RunID})
	if err != nil || d.Verdict != ledger.Stored {
		return err // it has ended meanwhile
	}
	in.Asked++
	run, err := in.runs.Get(ctx, rec.RunID)
	if err == nil && run.ID != rec.RunID {
		err = fmt.Errorf("asked for run %s, and Extend answered with %s", rec.RunID, run.ID)
	}
	if err != nil {
		return in.unanswered(ctx, d.Record, err)
	}
	result, err := in.recorder.Fetched(ctx, run, d.Record)
	switch {
	case err != nil:
		return in.unanswered(ctx, d.Record, err)
	case result.Verdict == ledger.DuplicateRun:
		in.log(result.Record).With(result.Metrics...).ErrorContext(ctx, "duplicate run", "verdict", result.Verdict)
	case result.Verdict == ledger.TagMismatch, result.Verdict == recorder.Foreign:
		// The ledger knows the run as this document's: what its tag says is no reason to forget that.
		in.log(d.Record).With(metric.TagMismatches.One()).ErrorContext(ctx, "the run's tag contradicts the ledger", "verdict", result.Verdict)
	case result.Ended:
		in.Ended++
		in.log(result.Record).With(result.Metrics...).WarnContext(ctx, "found ended", "verdict", result.Verdict, metric.RecoveredByReconcile.One())
	case result.Record != nil:
		in.log(result.Record).With(result.Metrics...).InfoContext(ctx, "asked", "verdict", result.Verdict)
	}
	return nil
}

// unanswered decides what it means that Extend did not answer with the run: something for
// this document, or for all. Whatever it is, the line counts the document if it is stalled.
func (in *invocation) unanswered(ctx context.Context, rec *ledger.Record, err error) error {
	e, answered := errors.AsType[*extend.Error](err)
	if answered {
		switch status := strconv.Itoa(e.StatusCode); {
		case e.StatusCode == http.StatusNotFound && e.FromAPI:
			return in.missing(ctx, rec)
		case e.StatusCode == http.StatusTooManyRequests && e.FromAPI:
			in.log(rec).WarnContext(ctx, "paused", "reason", status, "error", err, metric.RateLimited.One())
			return errStop
		case e.FromAPI && e.StatusCode == http.StatusForbidden && in.forbidden == 0:
			in.forbidden++ // it may be this run's own affair, until a second one hears the same
		case e.FromAPI && (e.StatusCode == http.StatusUnauthorized || e.StatusCode == http.StatusPaymentRequired || e.StatusCode == http.StatusForbidden || e.StatusCode == http.StatusGone):
			in.log(rec).ErrorContext(ctx, "paused", "reason", status, "error", err, metric.AccountPaused.For(status).One())
			return errStop
		}
	}
	if ctx.Err() != nil {
		return errStop // the function's time is over, which says nothing of the run
	}
	in.Errors++
	log := in.log(rec)
	if answered && !e.FromAPI && e.StatusCode < 500 {
		log = log.With(metric.UnexpectedAnswers.One())
	}
	fact := ledger.CheckFailed{RunID: rec.RunID, Reason: "no usable answer about the run"}
	if answered {
		fact.Reason += ": " + strconv.Itoa(e.StatusCode)
	}
	if body, ok := unreadable(err); ok {
		fact.Reason = "Extend's answer about the run can't be read"
		fact.Location = in.keep(ctx, log, rec, body)
		log = log.With(metric.Unreadable.One())
	}
	if status, ok := errors.AsType[*recorder.StatusError](err); ok {
		// It can be read, and may be a new name for a run that is under way: it is not given up as soon.
		location := in.keep(ctx, log, rec, status.Body)
		fact.Reason = status.Error()
		log = log.With("location", location, metric.Unreadable.One())
	}
	d, ledgerErr := in.ledger.Apply(ctx, rec.DocumentID, fact)
	if ledgerErr == nil && d.Written && d.Record.State.Terminal() {
		in.Ended++
		log = log.With("state", d.Record.State, metric.Failed.For(d.Record.FailureReason).One())
	}
	log.ErrorContext(ctx, "not reconciled", "error", errors.Join(err, ledgerErr))
	return nil
}

// unreadable returns the answer, or the run in it, where an error means that it can't be read.
func unreadable(err error) (body []byte, ok bool) {
	if answer, ok := errors.AsType[*extend.AnswerError](err); ok {
		return answer.Body, true
	}
	if run, ok := errors.AsType[*extend.UnreadableError](err); ok { // a workflow's, of which a part can't be read
		return run.Body, true
	}
	return nil, false
}

// keep stores an answer that is of no use, for a person, and returns where it is.
func (in *invocation) keep(ctx context.Context, log *slog.Logger, rec *ledger.Record, answer []byte) (location string) {
	location, err := in.put(ctx, "unreadable/"+rec.RunID+".json", answer)
	if err != nil {
		log.ErrorContext(ctx, "answer not kept", "error", err)
	}
	return location
}

// missing records that Extend itself says that it knows no such run.
func (in *invocation) missing(ctx context.Context, rec *ledger.Record) error {
	d, err := in.ledger.Apply(ctx, rec.DocumentID, ledger.RunMissing{RunID: rec.RunID})
	if err != nil || d.Record == nil {
		return err
	}
	log := in.log(d.Record)
	if d.Verdict == ledger.Stored && d.Record.State.Terminal() {
		in.Ended++
		log = log.With(metric.Cancelled.One(), metric.RecoveredByReconcile.One())
	}
	log.ErrorContext(ctx, "Extend knows no such run: deleted, or is the API key of another workspace?", "verdict", d.Verdict)
	return nil
}

// log is for the line about one document. The line counts the document as stalled if it
// has been under way for too long.
func (in *invocation) log(rec *ledger.Record) *slog.Logger {
	log := slog.With(slog.Any("", rec))
	since := rec.Since()
	if !rec.State.Terminal() && rec.State != ledger.NeedsReview && !since.IsZero() && in.now().Sub(since) > in.stalledAfter {
		log = log.With("since", since, metric.Stalled.One())
	}
	return log
}

// left counts what is still overdue.
func (in *invocation) left(ctx context.Context) (int, error) {
	total := 0
	for _, p := range in.passes() {
		n, err := in.ledger.Count(ctx, p.state, p.until)
		if err != nil {
			return 0, err
		}
		total += n
	}
	return total, nil
}
