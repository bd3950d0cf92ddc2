package submit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path"
	"time"

	"extend-intake/shared/document"
	"extend-intake/shared/extend"
	"extend-intake/shared/ledger"
	"extend-intake/shared/metric"
)

// attempt is one document on its way to a run, from one message.
type attempt struct {
	h   *Handler
	log *slog.Logger
	id  string
	// receives is how often the message has been received.
	receives int
	// deadline is the last moment at which a call may begin.
	deadline time.Time

	source document.Source
	route  document.Route
	// probe: it was let through in spite of a pause.
	probe bool
	// begun: a message of our own says that the document has been begun.
	begun bool
	// routed is false where no route takes the document any more.
	routed bool

	// claimed is the record as this attempt has claimed it; nil until then.
	claimed *ledger.Record
	// latest is the record as the ledger last had it; nil until it was asked.
	latest *ledger.Record
}

// apply is the ledger's Apply, and remembers the record.
func (a *attempt) apply(ctx context.Context, f ledger.Fact) (ledger.Decision, error) {
	d, err := a.h.Ledger.Apply(ctx, a.id, f)
	if d.Record != nil {
		a.latest = d.Record
	}
	return d, err
}

func (h *Handler) newAttempt(ctx context.Context, id string, receives int) *attempt {
	return &attempt{h: h, id: id, receives: receives, deadline: h.deadline(ctx), log: slog.With("document_id", id)}
}

// deadline is the last moment at which a call may begin.
func (h *Handler) deadline(ctx context.Context) time.Time {
	d, ok := ctx.Deadline()
	if !ok {
		return h.Now().Add(time.Minute)
	}
	d = d.Add(-postTimeout - 5*time.Second)
	if h.config.SendsFiles {
		d = d.Add(-uploadTimeout)
	}
	return d
}

// read sets the upload that is to be read.
func (a *attempt) read(s document.Source) {
	a.source = s
	a.log = a.log.With("object", s.Object())
	a.route, a.routed = a.h.config.route(s.Key, true)
}

// reprocess begins the attempt that a person asks for, unless it has begun.
func (a *attempt) reprocess(ctx context.Context, asked document.Reprocess) disposition {
	d, err := a.apply(ctx, ledger.Reprocess{Attempt: asked.Attempt, Reason: asked.Reason(), Bucket: a.h.config.Bucket})
	switch {
	case err != nil:
		return a.ledgerError(ctx, err)
	case d.Record == nil:
		return disposition{kind: deadLetter, reason: "no document " + a.id + " in the table: is the id right?"}
	case d.Record.Bucket == "":
		return disposition{kind: deadLetter, reason: a.id + " has no object to read again: it was not an upload that made it"}
	case d.Record.Bucket != a.h.config.Bucket:
		return disposition{kind: deadLetter, reason: fmt.Sprintf("%s is of the bucket %s, and this stack reads %s", a.id, d.Record.Bucket, a.h.config.Bucket)}
	case d.Record.Attempt < asked.Attempt:
		return disposition{kind: deadLetter, reason: fmt.Sprintf("attempt %d of %s can't begin: attempt %d is %s. Ask for attempt %d, once that one has ended",
			asked.Attempt, a.id, d.Record.Attempt, d.Record.State, d.Record.Attempt+1)}
	case d.Record.Attempt > asked.Attempt:
		a.log.InfoContext(ctx, "nothing to do", "attempt", asked.Attempt, "state", d.Record.State)
		return disposition{}
	}
	a.read(d.Record.Source())
	return a.submit(ctx)
}

// submit makes the run of the document, unless it has one.
func (a *attempt) submit(ctx context.Context) disposition {
	if !a.routed {
		return a.refuseUnrouted(ctx)
	}
	// Nothing is claimed that can't be sent: a claim that nobody uses keeps the document waiting.
	if _, err := a.h.Key(ctx); err != nil {
		a.log.ErrorContext(ctx, "no API key", "error", err)
		return disposition{kind: delayed, after: a.h.config.Pause, reason: noKey, pauses: true, cause: noKey}
	}
	if _, err := a.h.TagKeys(ctx, false); err != nil {
		a.log.ErrorContext(ctx, "no tag key", "error", err)
		return disposition{kind: delayed, after: backoff(a.receives), reason: "no tag key"}
	}
	if wait := a.h.limiter.nextFile(a.h.Now()); a.h.Now().Add(wait).After(a.deadline) {
		return disposition{kind: delayed, after: wait, reason: errTooLong.Error()}
	}
	if d, waits := a.waitsForBudget(ctx); waits {
		return d
	}
	if d, claimed := a.claim(ctx); !claimed {
		return d
	}
	return a.post(ctx)
}

// waitsForBudget says of a document that waits for the next day's budget that it still does. To
// claim it again and again for that would be many claims, and some function may end in each.
func (a *attempt) waitsForBudget(ctx context.Context) (d disposition, waits bool) {
	s, err := a.h.Ledger.Spent(ctx)
	if err != nil {
		return a.ledgerError(ctx, err), true
	}
	if s.Allowed {
		return d, false
	}
	rec, err := a.h.Ledger.Get(ctx, a.id)
	switch {
	case errors.Is(err, ledger.ErrNotFound):
		return d, false // the claim makes the record, which says why it waits
	case err != nil:
		return a.ledgerError(ctx, err), true
	}
	d = disposition{kind: delayed, reason: a.overBudget(s), after: a.untilBudget(s), pauses: true, cause: overBudget}
	if rec.State != ledger.Waiting || rec.Reason != d.reason {
		return d, false
	}
	a.countBudget(ctx, s)
	return d, true
}

// countBudget says how far the budget is used, also while all wait: an alarm is made of it.
func (a *attempt) countBudget(ctx context.Context, s ledger.Spending) {
	a.log.InfoContext(ctx, "daily budget", "used", s.Used, metric.BudgetUsed.Add(100*s.Used))
}

func (a *attempt) overBudget(s ledger.Spending) string {
	return fmt.Sprintf("DailyCreditBudget, %v, is used up until %s", a.h.config.Rules.DailyCredits, s.Until.Format(time.RFC3339))
}

// untilBudget is when to ask again: before the next day too, for somebody may have raised the
// budget.
func (a *attempt) untilBudget(s ledger.Spending) time.Duration {
	return min(a.h.config.Pause, max(s.Until.Sub(a.h.Now()), time.Second))
}

// refuseUnrouted ends a document that has been begun and that no route takes any more.
// Nothing is sent, so it waits for no key and no limit. It is claimed all the same: only
// whoever holds the claim may end a document, and a run that may have been made is
// searched for first.
func (a *attempt) refuseUnrouted(ctx context.Context) disposition {
	if d, claimed := a.claim(ctx); !claimed {
		return d
	}
	err := errors.New("no route takes this key any more: add one, and have the document read again")
	refusal := ledger.Refusal{ClaimNumber: a.claimed.ClaimNumber, Code: "NO_ROUTE", Message: err.Error()}
	return a.record(ctx, refusal, disposition{reason: refusal.Code}, err)
}

// claim claims the document. Where it can't be claimed, the disposition says what
// becomes of the message.
func (a *attempt) claim(ctx context.Context) (d disposition, claimed bool) {
	claim := ledger.Claim{Source: a.source, Route: a.route.Name, ProcessorID: a.route.ProcessorID, Version: a.route.Version, TagSigned: true, Begun: a.begun}
	for range 2 { // twice: when a search ends with "no run", the document is claimed again
		decision, err := a.apply(ctx, claim)
		if err != nil {
			return a.ledgerError(ctx, err), false
		}
		rec := decision.Record
		switch decision.Verdict {
		case ledger.Claimed:
			a.claimed = rec
			a.log = a.log.With("attempt", rec.Attempt)
			return disposition{}, true
		case ledger.NoRecord:
			return disposition{kind: deadLetter, reason: "a message of our own is about a document that is not in the table: was its item deleted? If the file is to be read, upload it again"}, false
		case ledger.Leased:
			return disposition{kind: delayed, after: max(rec.LeaseUntil.Sub(a.h.Now()), time.Second), reason: "leased by another instance"}, false
		case ledger.Search:
			if decision.Written {
				a.log.WarnContext(ctx, "claim abandoned: its function ended before it recorded the result of the POST", "attempt", rec.Attempt, metric.Unconfirmed.One())
			}
			if d, noRun := a.search(ctx, rec); !noRun {
				return d, false
			}
		default:
			a.log.InfoContext(ctx, "nothing to do", "state", rec.State, "run_id", rec.RunID, metric.DuplicatesDropped.One())
			return a.noteCopy(ctx, disposition{}), false
		}
	}
	return disposition{kind: delayed, after: firstSearch, reason: "outcome unknown"}, false
}

// post looks at the object and sends the one POST that the claim stands for, and the file
// before it where Extend does not fetch it.
func (a *attempt) post(ctx context.Context) disposition {
	object, err := a.head(ctx)
	if err != nil {
		fact, d := afterFile(a.circumstances(ctx, a.claimed), err)
		return a.record(ctx, fact, d, err)
	}
	fact, err := a.unwanted(ctx, object)
	switch {
	case err != nil && fact == nil:
		d := a.ledgerError(ctx, err)
		if d.kind == delayed { // nothing was sent: the next one need not search for a run
			a.release(ctx, d.reason, d.after)
		}
		return d
	case fact != nil:
		return a.noteCopy(ctx, a.record(ctx, fact, disposition{reason: "not wanted"}, err))
	}
	if d, allowed := a.reserve(ctx); !allowed {
		return d
	}
	if a.h.config.SendsFiles {
		if err := a.h.limiter.request(ctx, a.h.Now(), a.deadline); err != nil {
			return a.release(ctx, err.Error(), backoff(a.receives))
		}
		a.deadline = a.deadline.Add(uploadTimeout) // what was left for the file
	}
	tag, err := a.tag(ctx)
	if err != nil {
		a.log.ErrorContext(ctx, "no tag key", "error", err)
		return a.release(ctx, "no tag key", backoff(a.receives))
	}
	file, err := a.h.file(ctx, a.source, tag.FileName(object.ContentType), sendLimit(object.Size, a.claimed, a.h.Now()))
	if err != nil {
		fact, d := afterFile(a.circumstances(ctx, a.claimed), err)
		return a.record(ctx, fact, d, err)
	}
	if err := a.h.limiter.file(ctx, a.h.Now(), a.deadline); err != nil {
		return a.release(ctx, err.Error(), backoff(a.receives))
	}
	left := a.h.pauses.longest(a.route.Name)
	if a.probe {
		left = a.h.pauses.accountPause()
	}
	if d, paused := a.h.paused(left); paused { // since it was begun
		a.h.limiter.giveBack()
		return a.release(ctx, d.reason, d.after)
	}
	if !a.h.Now().Add(postTimeout).Before(a.claimed.LeaseUntil) {
		// This instance was frozen. Whoever searches after the lease has ended must find every
		// POST of it already sent.
		return a.release(ctx, "the lease is over", time.Second)
	}
	run, err := a.h.Runs.Create(ctx, a.request(file, tag))
	fact, d := afterPost(a.circumstances(ctx, a.claimed), run, err)
	switch fact.(type) {
	case ledger.Accepted:
		a.log = a.log.With("run_id", run.ID)
		a.h.pauses.succeeded(a.route.Name)
	case ledger.NotAccepted, ledger.Refusal:
		if !d.pauses {
			a.h.limiter.giveBack()
		}
	}
	return a.record(ctx, fact, d, err)
}

// reserve reserves what the run may cost. Where the day's budget is used up, the disposition says
// what becomes of the message: this instance asks again after a pause.
func (a *attempt) reserve(ctx context.Context) (d disposition, allowed bool) {
	s, err := a.h.Ledger.Reserve(ctx, a.claimed)
	if err != nil {
		d := a.ledgerError(ctx, err)
		if d.kind == delayed { // nothing was sent: the next one need not search for a run
			a.release(ctx, d.reason, d.after)
		}
		return d, false
	}
	if s.Used > 0 {
		a.countBudget(ctx, s)
	}
	if s.Allowed {
		return disposition{}, true
	}
	reason := a.overBudget(s)
	d = a.release(ctx, reason, a.untilBudget(s))
	if d.reason == reason { // else it could not be recorded
		d.pauses, d.cause = true, overBudget
	}
	return d, false
}

// head looks at the object. One that S3 does not answer for must not take the whole batch with it.
func (a *attempt) head(ctx context.Context) (Object, error) {
	within, cancel := context.WithTimeout(ctx, headTimeout)
	defer cancel()
	object, err := a.h.Bucket.Head(within, a.source)
	if err != nil && within.Err() != nil && ctx.Err() == nil {
		err = fmt.Errorf("S3 has not answered for %s in %v", a.source, headTimeout) // which is not the time to send the file
	}
	return object, err
}

// The file is sent within a time that grows with its size, with each failure and, where others
// fail too and it is not held against the document, with the time since the first: one that can't
// be sent does not hold up the others for long, and a slow connection is given time.
const (
	sendAtLeast = 10 * time.Second
	sendRate    = 2 << 20 // bytes a second, a slow connection's
)

func sendLimit(size int64, rec *ledger.Record, now time.Time) time.Duration {
	failures := rec.Failures
	if !rec.FailingSince.IsZero() {
		failures = max(failures, int(now.Sub(rec.FailingSince)/tooSlowWait))
	}
	limit := min(sendAtLeast+time.Duration(min(size, 1<<40)/sendRate)*time.Second, uploadTimeout)
	return min(limit<<min(failures, 4), uploadTimeout)
}

// unwanted says why an object is not to be paid for: the fact that ends its document, and
// the reason as an error. An error without a fact is the ledger's.
func (a *attempt) unwanted(ctx context.Context, object Object) (ledger.Fact, error) {
	claim := a.claimed.ClaimNumber
	refuse := func(code, format string, args ...any) (ledger.Fact, error) {
		err := fmt.Errorf(format, args...)
		return ledger.Refusal{ClaimNumber: claim, Code: code, Message: err.Error()}, fmt.Errorf("%s: %w", code, err)
	}
	cfg := a.h.config
	switch {
	case object.Size == 0:
		return refuse("EMPTY_FILE", "the file is empty")
	case object.Size < cfg.MinFileBytes:
		return refuse("TOO_SMALL", "the file has %d bytes, fewer than the %d of MinFileBytes", object.Size, cfg.MinFileBytes)
	case cfg.MaxFileBytes > 0 && object.Size > cfg.MaxFileBytes:
		return refuse("TOO_LARGE", "the file has %d bytes, more than the %d of MaxFileBytes", object.Size, cfg.MaxFileBytes)
	case !cfg.SendsFiles && !a.source.Linkable():
		return refuse("KEY_NOT_LINKABLE", `HTTP clients rewrite the "." and ".." segments and the leading slash of a link to %q: rename the object, or set Transfer to upload`, a.source.Key)
	}
	skip := func(code, duplicateOf, format string, args ...any) (ledger.Fact, error) {
		err := fmt.Errorf(format, args...)
		return ledger.Skip{ClaimNumber: claim, Code: code, Message: err.Error(), DuplicateOf: duplicateOf}, fmt.Errorf("%s: %w", code, err)
	}
	wanted := a.claimed.Attempt > 1 && a.claimed.InPlaceOf == "" // by a person, or the retry rule
	if cfg.NewestOnly && !wanted {
		within, cancel := context.WithTimeout(ctx, headTimeout)
		version, eTag, err := a.h.Bucket.Current(within, a.source)
		cancel()
		if err == nil && (a.source.VersionID != "" && version != a.source.VersionID || a.source.VersionID == "" && eTag != a.source.ETag) {
			return skip("REPLACED", "", "the object was replaced before its turn, and NewestOnly is set")
		}
	}
	src := a.source
	src.Size = object.Size
	owner, err := a.h.Ledger.Register(ctx, src, object.Checksum)
	if err != nil || owner == a.id {
		return nil, err
	}
	if wanted {
		return nil, nil
	}
	return skip("SAME_CONTENT", owner, "%s has the same bytes under the same key", owner)
}

// noteCopy notes a copy that is not read at the document that has its content: if that one
// can't be read after all, the copy is. It is noted after it was skipped, and so it is
// skipped when that document looks for it.
func (a *attempt) noteCopy(ctx context.Context, d disposition) disposition {
	rec := a.latest
	if d.kind != done || rec == nil || rec.State != ledger.Skipped || rec.DuplicateOf == "" {
		return d
	}
	if _, err := a.h.Ledger.Apply(ctx, rec.DuplicateOf, ledger.Copied{Sequencer: a.source.Sequencer, DocumentID: a.id}); err != nil {
		return a.ledgerError(ctx, err)
	}
	return d
}

// tag is the signed tag of the run.
func (a *attempt) tag(ctx context.Context) (document.Tag, error) {
	stack := a.h.config.Stack
	usage := append([]string{path.Base(stack), a.route.Name}, a.route.TagsFor(a.source.Key)...)
	return a.h.TagKeys.Sign(ctx, document.NewTag(stack, a.source, a.claimed.Attempt, usage...))
}

// request is the run that is wanted of Extend.
func (a *attempt) request(file *extend.RunFile, tag document.Tag) extend.CreateRunRequest {
	return extend.CreateRunRequest{
		ProcessorID: a.claimed.ProcessorID, Version: a.claimed.ProcessorVersion, Priority: a.route.Priority, Config: a.route.Config,
		File:     file,
		Metadata: tag.Metadata(),
	}
}

// circumstances are what an answer of Extend about this document is judged by.
func (a *attempt) circumstances(ctx context.Context, rec *ledger.Record) circumstances {
	h := a.h
	return circumstances{
		record: rec, receives: a.receives, pause: h.config.Pause, now: h.Now(), maxFailures: h.config.Rules.MaxFailures,
		shared: func(cause string) bool {
			shared := h.pauses.refused(h.Now(), cause, a.route.Name, a.id, h.config.Pause)
			if shared {
				slog.ErrorContext(ctx, "paused", "document_id", a.id, "reason", cause+": several documents hear it", "until", h.pauses.longest(a.route.Name).until, metric.AccountPaused.For(cause).One())
			}
			return shared
		},
		heardBy: h.pauses.heardBy,
	}
}

// release gives the claim back: there was no POST.
func (a *attempt) release(ctx context.Context, reason string, after time.Duration) disposition {
	fact := ledger.NotAccepted{ClaimNumber: a.claimed.ClaimNumber, Reason: reason, Until: a.h.Now().Add(after)}
	if _, err := a.apply(ctx, fact); err != nil {
		return a.ledgerError(ctx, err) // the lease runs out
	}
	a.giveBackCredits(ctx)
	return disposition{kind: delayed, after: after, reason: reason}
}

// giveBackCredits gives back what was reserved for a claim that came to no run. If that fails,
// the next claim takes it over, or the day ends.
func (a *attempt) giveBackCredits(ctx context.Context) {
	if err := a.h.Ledger.Release(ctx, a.claimed); err != nil {
		a.log.WarnContext(ctx, "reserved credits not given back", "error", err)
	}
}

// record puts the result of the claim into the ledger, and logs it: err is why there is
// no run.
func (a *attempt) record(ctx context.Context, fact ledger.Fact, d disposition, err error) disposition {
	decision, ledgerErr := a.apply(ctx, fact)
	if ledgerErr == nil {
		a.log = a.log.With("state", decision.State())
	}
	if err != nil {
		log := a.log
		if ledgerErr == nil { // else it happens again
			log = log.With(countResult(fact, decision)...)
		}
		if e, ok := errors.AsType[*extend.Error](err); ok && !e.FromAPI && e.StatusCode < 500 && e.StatusCode != http.StatusTooManyRequests {
			log = log.With(metric.UnexpectedAnswers.One())
		}
		log.WarnContext(ctx, "not submitted", "reason", d.reason, "error", err)
	}
	if ledgerErr != nil {
		// The lease runs out, and a run that was made is found by its token. What Extend
		// said of the account still counts.
		then := a.ledgerError(ctx, ledgerErr)
		if d.pauses {
			return d
		}
		return then
	}
	switch fact.(type) {
	case ledger.NotAccepted, ledger.Refusal:
		a.giveBackCredits(ctx)
	}
	if err == nil {
		log := a.log
		if decision.Verdict != ledger.DuplicateRun {
			log = log.With(metric.Submitted.One())
		}
		logRun(ctx, log, "run created", decision)
	}
	if rec := decision.Record; d.kind == delayed && rec != nil {
		switch {
		case rec.State.Terminal(): // it has come back once too often
			return disposition{}
		case rec.State == ledger.Waiting: // apart from the others, if the failure was its own
			d.after = max(d.after, rec.NextCheckAt.Sub(a.h.Now()))
		}
	}
	return d
}

// ledgerError is what follows when the ledger could not be read or written.
func (a *attempt) ledgerError(ctx context.Context, err error) disposition {
	a.log.ErrorContext(ctx, "ledger", "error", err)
	if errors.Is(err, ledger.ErrRecord) {
		return disposition{kind: failed, reason: err.Error()}
	}
	return disposition{kind: delayed, after: backoff(a.receives), reason: "ledger"}
}

// logRun logs that a run is in the ledger, or that it is one too many.
func logRun(ctx context.Context, log *slog.Logger, message string, d ledger.Decision) {
	if d.Verdict == ledger.DuplicateRun {
		log.ErrorContext(ctx, "duplicate run", "current_run_id", d.Record.RunID, metric.DuplicateRun.One())
		return
	}
	log.InfoContext(ctx, message)
}
