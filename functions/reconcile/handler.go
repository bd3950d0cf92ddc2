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

// askTimeout bounds one question to Extend.
const askTimeout = 10 * time.Second

// maxRequeued bounds the notices of one invocation. Most messages find their way
// back by themselves; this is the net below them and must not flood the queue.
const maxRequeued = 200

// Handler brings on what went quiet. Make one with [NewHandler].
type Handler struct {
	ledger        *ledger.Ledger
	runs          recorder.Getter
	recorder      *recorder.Recorder
	requeueSource func(context.Context, document.Source) error
	// limiter paces the questions to Extend.
	limiter *rate.Limiter
	// grace is how long a document's own message has for bringing it on.
	grace time.Duration
	// stalledAfter is how long a document can be on the way before somebody should
	// look.
	stalledAfter time.Duration
	now          func() time.Time
}

// Summary is what one invocation did.
type Summary struct {
	// Asked counts the runs that Extend was asked about, Ended those of them that had ended.
	Asked int `json:"asked"`
	Ended int `json:"ended"`
	// Requeued counts the notices that went back to the upload queue.
	Requeued int `json:"requeued"`
	// Errors counts documents that could not be dealt with; the log names each.
	Errors int `json:"errors"`
	// Left counts the documents that are still overdue: the next invocations take them.
	Left int `json:"left"`
}

// errStop ends the invocation: what follows would meet the same fault.
var errStop = errors.New("stopped")

// Handle takes the schedule's event, of which it needs nothing.
func (h *Handler) Handle(ctx context.Context, _ json.RawMessage) (Summary, error) {
	var s Summary
	now := h.now()
	deadline := now.Add(45 * time.Second)
	if d, ok := ctx.Deadline(); ok {
		deadline = d.Add(-askTimeout - 5*time.Second)
	}
	overdue := now.Add(-h.grace)
	var err error
	for _, pass := range []struct {
		state ledger.State
		until time.Time
		do    func(context.Context, *Summary, *ledger.Record) error
	}{
		{ledger.Unconfirmed, overdue, h.requeue}, // a run that may have been made comes first
		{ledger.Submitting, overdue, h.requeue},
		{ledger.Waiting, overdue, h.requeue},
		{ledger.Processing, now, h.ask},
	} {
		if err = h.each(ctx, &s, pass.state, pass.until, deadline, pass.do); err != nil {
			break
		}
	}
	if errors.Is(err, errStop) {
		s.Left, err = h.left(ctx, now, overdue)
	}
	log := slog.With("asked", s.Asked, "ended", s.Ended, "requeued", s.Requeued, "errors", s.Errors, "left", s.Left)
	if err != nil {
		log.ErrorContext(ctx, "not reconciled", "error", err)
		return s, err
	}
	log.InfoContext(ctx, "reconciled")
	return s, nil
}

// each does something to every document in a state whose look is overdue, the
// longest overdue first. Whatever is done moves a document's next look on, so that
// the next invocation goes on where this one stops.
func (h *Handler) each(ctx context.Context, s *Summary, state ledger.State, until, deadline time.Time, do func(context.Context, *Summary, *ledger.Record) error) error {
	for rec, err := range h.ledger.InState(ctx, state, until) {
		if errors.Is(err, ledger.ErrRecord) {
			s.Errors++
			slog.ErrorContext(ctx, "record left as it is", "error", err)
			continue
		}
		if err != nil {
			return err
		}
		if h.now().After(deadline) {
			return errStop
		}
		if err := h.guard(ctx, s, rec, do); err != nil {
			return err
		}
	}
	return nil
}

// guard keeps a fault over one document from harming the others.
func (h *Handler) guard(ctx context.Context, s *Summary, rec *ledger.Record, do func(context.Context, *Summary, *ledger.Record) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			s.Errors++
			slog.ErrorContext(ctx, "panic", slog.Any("", rec), "panic", p, "stack", string(debug.Stack()))
		}
	}()
	err = do(ctx, s, rec)
	if err != nil && !errors.Is(err, errStop) {
		s.Errors++
		slog.ErrorContext(ctx, "not reconciled", slog.Any("", rec), "error", err)
		return nil
	}
	return err
}

// requeue sends the document's notice to the upload queue: submit knows what to do.
// First the notice, then the record: a notice too many does no harm.
func (h *Handler) requeue(ctx context.Context, s *Summary, rec *ledger.Record) error {
	if s.Requeued >= maxRequeued {
		return errStop
	}
	if err := h.requeueSource(ctx, rec.Source()); err != nil {
		return fmt.Errorf("resend: %w", err)
	}
	s.Requeued++
	if _, err := h.ledger.Apply(ctx, rec.DocumentID, ledger.Requeued{}); err != nil {
		return err // it is sent once more in a minute
	}
	h.log(rec).WarnContext(ctx, "requeued", metric.RecoveredByReconcile.One())
	return nil
}

// ask asks Extend about the run, and records the answer as a delivery is recorded.
func (h *Handler) ask(ctx context.Context, s *Summary, rec *ledger.Record) error {
	if err := h.limiter.Wait(ctx); err != nil {
		return errStop // no turn before the function ends
	}
	// First the next look: whatever happens over this run, it must not stand in the
	// way of the others.
	d, err := h.ledger.Apply(ctx, rec.DocumentID, ledger.StillRunning{RunID: rec.RunID})
	if err != nil || d.Verdict != ledger.Stored {
		return err // it has ended meanwhile
	}
	s.Asked++
	run, err := h.runs.Get(ctx, rec.RunID)
	if e, ok := errors.AsType[*extend.Error](err); ok {
		switch e.StatusCode {
		case http.StatusNotFound:
			return h.gone(ctx, s, rec)
		case http.StatusTooManyRequests:
			h.log(rec).WarnContext(ctx, "paused", "reason", "429", "error", err, metric.RateLimited.One())
			return errStop
		case http.StatusUnauthorized, http.StatusPaymentRequired, http.StatusForbidden, http.StatusGone:
			status := strconv.Itoa(e.StatusCode)
			h.log(rec).ErrorContext(ctx, "paused", "reason", status, "error", err, metric.AccountPaused.For(status).One())
			return errStop
		}
	}
	if err != nil {
		return err
	}
	result, err := h.recorder.Fetched(ctx, run, d.Record)
	switch {
	case result.Verdict == ledger.DuplicateRun:
		h.log(result.Record).With(result.Metrics...).ErrorContext(ctx, "duplicate run", "verdict", result.Verdict)
	case result.Ended:
		s.Ended++
		h.log(result.Record).With(result.Metrics...).WarnContext(ctx, "found ended", "verdict", result.Verdict, metric.RecoveredByReconcile.One())
	case result.Record != nil:
		h.log(result.Record).InfoContext(ctx, "asked", "verdict", result.Verdict)
	}
	return err
}

// gone tells the ledger that Extend knows no such run.
func (h *Handler) gone(ctx context.Context, s *Summary, rec *ledger.Record) error {
	d, err := h.ledger.Apply(ctx, rec.DocumentID, ledger.RunMissing{RunID: rec.RunID})
	if err != nil || d.Record == nil {
		return err
	}
	log := h.log(d.Record)
	if d.Verdict == ledger.Stored && d.Record.State.Terminal() {
		s.Ended++
		log = log.With(metric.Cancelled.One(), metric.RecoveredByReconcile.One())
	}
	log.ErrorContext(ctx, "Extend knows no such run: deleted, or is the API key of another workspace?", "verdict", d.Verdict)
	return nil
}

// log is for the line about a document that was looked at. The line counts it if it
// has been on the way for too long.
func (h *Handler) log(rec *ledger.Record) *slog.Logger {
	log := slog.With(slog.Any("", rec))
	since := rec.UploadedAt
	if rec.Revision > 0 || since.IsZero() { // what is read again is on its way since it was sent again
		since = rec.SubmittedAt
	}
	if !rec.State.Terminal() && !since.IsZero() && h.now().Sub(since) > h.stalledAfter {
		log = log.With("since", since, metric.Stalled.One())
	}
	return log
}

// left counts what is still overdue.
func (h *Handler) left(ctx context.Context, now, overdue time.Time) (int, error) {
	total := 0
	for _, state := range []ledger.State{ledger.Unconfirmed, ledger.Submitting, ledger.Waiting, ledger.Processing} {
		until := overdue
		if state == ledger.Processing {
			until = now
		}
		n, err := h.ledger.Count(ctx, state, until)
		if err != nil {
			return 0, err
		}
		total += n
	}
	return total, nil
}
