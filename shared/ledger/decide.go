package ledger

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"extend-intake/shared/document"
)

// Rules are the spans and limits that decisions depend on.
type Rules struct {
	// Lease is how long a claim holds. It must be longer than a claimer can live
	// (the function's time-out) plus the difference between any two clocks.
	Lease time.Duration
	// ConfirmWindow is how long a run that was made can stay invisible to a
	// search; only after it does "not found" mean "not made".
	ConfirmWindow time.Duration
	// ReconcileAfter is how long a run may be quiet before somebody asks about it.
	ReconcileAfter time.Duration
	// MaxAttempts bounds the attempts that the retry rule makes by itself; 1 means it makes none.
	MaxAttempts int
}

// DefaultRules are the template's defaults.
var DefaultRules = Rules{Lease: 3 * time.Minute, ConfirmWindow: 10 * time.Minute, ReconcileAfter: 10 * time.Minute, MaxAttempts: 2}

// maxQuiet bounds the time between two questions about one run.
const maxQuiet = 6 * time.Hour

// Fact is something that happened to a document.
type Fact interface{ fact() }

// Claim: somebody wants to submit the document.
type Claim struct {
	Source      document.Source
	Route       string
	ProcessorID string
	Version     string
	// By tells this claim from every other one. [Ledger.Apply] makes it up: a claimer
	// whose write was done but not answered knows its own claim by it.
	By string
}

// Accepted: Extend answered the POST, or a look found the run.
type Accepted struct {
	Attempt       int
	RunID, RunURL string
}

// NotAccepted: the POST of this claim surely made no run. Until is when it is worth
// another try.
type NotAccepted struct {
	ClaimNumber int64
	Reason      string
	Until       time.Time
}

// OutcomeUnknown: the POST of this claim may have made a run, or may not.
type OutcomeUnknown struct{ ClaimNumber int64 }

// Refusal: Extend said a final no to the POST of this claim.
type Refusal struct {
	ClaimNumber              int64
	Code, Message, RequestID string
}

// NotFound: a look that began at LookedAt found no run.
type NotFound struct {
	Attempt    int
	SearchedAt time.Time
}

// RunEnded: a run has ended. It comes from a verified delivery or from our own GET.
type RunEnded struct {
	// Source is what the run's tag says; empty for a run without one.
	Source        document.Source
	Attempt       int
	RunID, RunURL string
	ProcessorID   string
	// State is Processed, Failed or Cancelled.
	State                         State
	Type                          string
	Reviewed, Edited              bool
	FailureReason, FailureMessage string
	Credits                       string
	Output                        json.RawMessage // set, or OutputLocation is, when Processed
	OutputLocation                string
	Digest                        string
	// Seen is, for our own GET, the record's Version as they were before it; 0 for a
	// delivery. A run has no time of its last change, so a content replaces another
	// only if Extend was asked after the other was stored.
	Seen int64
}

// RunMissing: Extend knows no such run (any more). It was deleted.
type RunMissing struct{ RunID string }

// StillRunning: Extend was asked, and the run is still under way.
type StillRunning struct{ RunID string }

// Reprocess: somebody wants the document read once more, by this attempt. The number
// makes the same wish twice one attempt.
type Reprocess struct {
	Attempt int
	Reason  string
}

// Requeued: the document's notice was put into the upload queue again.
type Requeued struct{}

func (Claim) fact()          {}
func (Accepted) fact()       {}
func (NotAccepted) fact()    {}
func (OutcomeUnknown) fact() {}
func (Refusal) fact()        {}
func (NotFound) fact()       {}
func (RunEnded) fact()       {}
func (RunMissing) fact()     {}
func (StillRunning) fact()   {}
func (Reprocess) fact()      {}
func (Requeued) fact()       {}

// Verdict says what a decision means for whoever reported the fact.
type Verdict string

const (
	// Claimed: the claim is yours. POST now, once.
	Claimed Verdict = "won"
	// Leased: somebody else holds the claim, until LeaseUntil at most.
	Leased Verdict = "held"
	// Search: an earlier POST may have made a run. Search for it.
	Search Verdict = "look"
	// NothingToDo: nothing to do.
	NothingToDo Verdict = "settled"
	// Stored: the fact is in the ledger now.
	Stored Verdict = "stored"
	// Unchanged: the ledger knew, or knows better.
	Unchanged Verdict = "unchanged"
	// Confirm: GET the run now; the ledger can't tell which content is newer.
	Confirm Verdict = "confirm"
	// EarlierAttempt: the run is one of an earlier attempt, or a repeat of such news.
	EarlierAttempt Verdict = "earlier"
	// DuplicateRun: a second run for one attempt. It is noted; it must never happen.
	DuplicateRun Verdict = "duplicate run"
	// Resubmit: the document is WAITING for its next attempt. Send its notice to the upload queue.
	Resubmit Verdict = "resubmit"
)

// Decision is what follows from a fact.
type Decision struct {
	Verdict Verdict
	// Record is the record as it is after the decision; nil when there is none.
	Record *Record
	// Written says that the ledger changed by it: the same fact again changes nothing.
	Written bool
}

// State is the Record's, or "" when there is none.
func (d Decision) State() State {
	if d.Record == nil {
		return ""
	}
	return d.Record.State
}

// Decide says what follows from a fact for a record as it was read (nil: there is
// none). It is pure: the whole state machine is here, and nothing else is.
func (r Rules) Decide(rec *Record, f Fact, now time.Time) (Decision, error) {
	now = now.UTC().Truncate(time.Millisecond)
	if rec == nil {
		return r.first(f, now)
	}
	if err := rec.check(); err != nil {
		return Decision{}, err
	}
	next := *rec
	next.Runs = slices.Clone(rec.Runs)
	next.Version++
	unchanged := func(v Verdict) (Decision, error) { return Decision{Verdict: v, Record: rec}, nil }
	write := func(v Verdict) (Decision, error) { return Decision{Verdict: v, Record: &next, Written: true}, nil }

	switch f := f.(type) {
	case Claim:
		newer := f.Source.Sequencer > rec.Sequence
		if newer {
			// The same bytes were uploaded again: for the order of an object's uploads it counts.
			next.Sequence = f.Source.Sequencer
		}
		v := NothingToDo
		switch {
		case rec.State == Waiting:
			r.grant(&next, f, now)
			return write(Claimed)
		case rec.State == Submitting && now.Before(rec.LeaseUntil):
			if v = Leased; f.By != "" && f.By == rec.ClaimedBy {
				v = Claimed
			}
		case rec.State == Submitting:
			// The claimer is dead. It may have sent its POST until the lease's last moment.
			next.unconfirmed(rec.LeaseUntil, now)
			return write(Search)
		case rec.State == Unconfirmed:
			v = Search
		}
		if newer {
			return write(v)
		}
		return unchanged(v)

	case Accepted:
		switch {
		case f.Attempt != rec.Attempt:
			return r.notePastRun(rec, &next, PastRun{Attempt: f.Attempt, RunID: f.RunID, State: Processing, At: now})
		case rec.RunID == f.RunID:
			return unchanged(Unchanged) // a delivery was faster than the POST's answer
		case rec.RunID != "":
			return r.notePastRun(rec, &next, PastRun{Attempt: f.Attempt, RunID: f.RunID, State: Processing, At: now})
		}
		next.setRun(f.RunID, f.RunURL, now)
		next.State, next.NextCheckAt = Processing, now.Add(r.ReconcileAfter)
		return write(Stored)

	case NotAccepted:
		if !rec.inFlight(f.ClaimNumber) {
			return unchanged(Unchanged)
		}
		until := f.Until.UTC().Truncate(time.Millisecond)
		if until.Before(now) {
			until = now
		}
		next.waiting(f.Reason, until)
		return write(Stored)

	case OutcomeUnknown:
		if rec.State != Submitting || rec.ClaimNumber != f.ClaimNumber {
			return unchanged(Unchanged)
		}
		next.unconfirmed(now, now)
		return write(Stored)

	case Refusal:
		if !rec.inFlight(f.ClaimNumber) {
			return unchanged(Unchanged)
		}
		next.end(Refused, now)
		next.FailureReason, next.FailureMessage, next.RequestID = cut(f.Code, maxReason), cut(f.Message, maxMessage), cut(f.RequestID, maxReason)
		return write(Stored)

	case NotFound:
		if rec.State != Unconfirmed || rec.Attempt != f.Attempt {
			return unchanged(NothingToDo)
		}
		if f.SearchedAt.Before(rec.UnconfirmedSince.Add(r.ConfirmWindow)) {
			return unchanged(Search) // a run that was made may still be invisible
		}
		next.waiting("no run found in the confirm window", now)
		return write(Stored)

	case RunEnded:
		return r.runEnded(rec, &next, f, now)

	case RunMissing:
		if rec.State != Processing || rec.RunID != f.RunID {
			return unchanged(Unchanged)
		}
		if now.Sub(rec.SubmittedAt) < maxQuiet {
			// With a key of another workspace every run is unknown: leave somebody the time
			// to notice, and ask again.
			next.NextCheckAt = now.Add(r.checkInterval(rec, now))
			return write(Stored)
		}
		next.end(Cancelled, now)
		next.FailureReason, next.FailureMessage = RunNotFound, "Extend knows no such run: it was deleted, or the API key is of another workspace"
		return write(Stored)

	case StillRunning:
		if rec.State != Processing || rec.RunID != f.RunID {
			return unchanged(Unchanged)
		}
		next.NextCheckAt = now.Add(r.checkInterval(rec, now))
		return write(Stored)

	case Reprocess:
		if !rec.State.Terminal() || rec.Bucket == "" || f.Attempt != rec.Attempt+1 {
			return unchanged(Unchanged)
		}
		next.startAttempt(f.Reason, now)
		return write(Resubmit)

	case Requeued:
		if rec.State.Terminal() || rec.State == Processing {
			return unchanged(Unchanged)
		}
		next.NextCheckAt = now.Add(r.checkInterval(rec, now))
		return write(Stored)
	}
	return Decision{}, fmt.Errorf("ledger: unknown fact %T", f)
}

// checkInterval is the time until the next look: as long again as it took so far, which is
// ten minutes, twenty, forty … six hours.
func (r Rules) checkInterval(rec *Record, now time.Time) time.Duration {
	if rec.SubmittedAt.IsZero() {
		return r.ReconcileAfter
	}
	return min(max(now.Sub(rec.SubmittedAt), r.ReconcileAfter), maxQuiet)
}

// RunNotFound is the FailureReason of a document whose run is gone at Extend.
const RunNotFound = "RUN_NOT_FOUND"

// first decides where there is no record.
func (r Rules) first(f Fact, now time.Time) (Decision, error) {
	switch f := f.(type) {
	case Claim:
		s := f.Source
		next := Record{DocumentID: s.DocumentID(), Attempt: 1, Version: 1}
		next.setSource(s)
		r.grant(&next, f, now)
		return Decision{Verdict: Claimed, Record: &next, Written: true}, nil
	case RunEnded:
		// A run without a tag, or a document whose record is gone: the tag says what it was.
		next := Record{DocumentID: f.RunID, Attempt: 1, Version: 1}
		if f.Source.Bucket != "" {
			next.DocumentID, next.Attempt = f.Source.DocumentID(), f.Attempt
			next.setSource(f.Source)
		}
		next.setResult(f, now)
		return Decision{Verdict: Stored, Record: &next, Written: true}, nil
	}
	return Decision{Verdict: Unchanged}, nil
}

func (r Rules) runEnded(rec, next *Record, f RunEnded, now time.Time) (Decision, error) {
	unchanged := func(v Verdict) (Decision, error) { return Decision{Verdict: v, Record: rec}, nil }
	write := func(v Verdict) (Decision, error) { return Decision{Verdict: v, Record: next, Written: true}, nil }
	noted := PastRun{Attempt: f.Attempt, RunID: f.RunID, State: f.State, FailureReason: f.FailureReason, FailureMessage: f.FailureMessage, Credits: f.Credits, At: now}
	switch {
	case f.Attempt < rec.Attempt:
		return r.notePastRun(rec, next, noted)
	case f.Attempt > rec.Attempt:
		// The ledger has forgotten an attempt (a table that was restored): the tag knows.
		next.archive(now)
		next.Attempt = f.Attempt
	case rec.RunID != "" && rec.RunID != f.RunID:
		return r.notePastRun(rec, next, noted)
	case rec.State.Terminal() && rec.RunID != "":
		if rec.State == f.State && rec.Digest == f.Digest {
			return unchanged(Unchanged)
		}
		if f.Seen != rec.Version && rec.FailureReason != RunNotFound {
			return unchanged(Confirm)
		}
	}
	if f.State == Failed && Transient(f.FailureReason) && next.Attempt < r.MaxAttempts && rec.Bucket != "" && !rec.State.Terminal() {
		next.setResult(f, now)
		next.Revision = rec.Revision // nobody is told of a failure that is being cured
		next.startAttempt("retry after "+f.FailureReason, now)
		return write(Resubmit)
	}
	next.setResult(f, now)
	return write(Stored)
}

// Transient reports whether another run can cure a failure. These are the reasons
// that the vendor's newer SDKs name for internal faults and for files that could
// not be fetched; everything else, and everything unknown, waits for a person.
// https://docs.extend.ai/2025-04-21/developers/api-reference/processor-endpoints/run-processor
func Transient(failureReason string) bool {
	switch failureReason {
	case "INTERNAL_ERROR", "PARSING_ERROR", "PRE_PROCESSING_FAILURE", "POST_PROCESSING_FAILURE",
		"FAILED_TO_PROCESS_FILE": // the link may have been too old: the next attempt has a fresh one
		return true
	}
	return false
}

// notePastRun keeps a run under Runs, once.
func (r Rules) notePastRun(rec, next *Record, run PastRun) (Decision, error) {
	v := EarlierAttempt
	if rec.State == Waiting && run.Attempt < rec.Attempt {
		// News of the attempt before: did the notice for the next one get through?
		v = Resubmit
	}
	if i := slices.IndexFunc(rec.Runs, func(n PastRun) bool { return n.RunID == run.RunID }); i >= 0 {
		if rec.Runs[i].State.Terminal() || !run.State.Terminal() {
			return Decision{Verdict: v, Record: rec}, nil
		}
		run.Duplicate = rec.Runs[i].Duplicate
		run.FailureReason, run.FailureMessage = cut(run.FailureReason, maxReason), cut(run.FailureMessage, maxNotedMessage)
		next.Runs[i] = run
		return Decision{Verdict: v, Record: next, Written: true}, nil
	}
	run.Duplicate = run.Attempt == rec.Attempt ||
		slices.ContainsFunc(rec.Runs, func(n PastRun) bool { return n.Attempt == run.Attempt && n.RunID != "" })
	if run.Duplicate {
		v = DuplicateRun
	}
	next.appendRun(run)
	return Decision{Verdict: v, Record: next, Written: true}, nil
}

// An item of DynamoDB holds 400 KB, and the output has most of it: texts of Extend
// are cut, and so is the list of runs, the oldest first.
const (
	maxMessage      = 4000
	maxNotedMessage = 400
	maxReason       = 200
	maxRuns         = 20
)

func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

func (rec *Record) appendRun(run PastRun) {
	run.FailureReason, run.FailureMessage = cut(run.FailureReason, maxReason), cut(run.FailureMessage, maxNotedMessage)
	rec.Runs = append(rec.Runs, run)
	if n := len(rec.Runs) - maxRuns; n > 0 {
		rec.Runs = rec.Runs[n:]
	}
}

// inFlight reports whether the claim is the last one made and its POST still
// without an answer: only then is the answer of its claimer about this record.
func (rec *Record) inFlight(claim int64) bool {
	return rec.ClaimNumber == claim && rec.RunID == "" && (rec.State == Submitting || rec.State == Unconfirmed)
}

func (rec *Record) setSource(s document.Source) {
	rec.Object, rec.Bucket, rec.Key, rec.VersionID, rec.ETag = s.Object(), s.Bucket, s.Key, s.VersionID, s.ETag
	rec.Size, rec.Sequence, rec.UploadedAt = s.Size, s.Sequencer, s.UploadedAt
}

func (r Rules) grant(rec *Record, f Claim, now time.Time) {
	rec.State, rec.Reason = Submitting, ""
	rec.ClaimNumber++
	rec.ClaimedBy = f.By
	rec.Route, rec.ProcessorID, rec.ProcessorVersion = f.Route, f.ProcessorID, f.Version
	rec.SubmittedAt, rec.LeaseUntil = now, now.Add(r.Lease)
	rec.NextCheckAt = rec.LeaseUntil
}

func (rec *Record) unconfirmed(since, now time.Time) {
	rec.State, rec.UnconfirmedSince, rec.LeaseUntil, rec.NextCheckAt = Unconfirmed, since, time.Time{}, now
}

func (rec *Record) waiting(reason string, until time.Time) {
	rec.State, rec.Reason, rec.NextCheckAt = Waiting, reason, until
	rec.LeaseUntil, rec.UnconfirmedSince = time.Time{}, time.Time{}
}

func (rec *Record) setRun(runID, url string, now time.Time) {
	rec.RunID, rec.RunURL = runID, url
	rec.Reason, rec.LeaseUntil, rec.UnconfirmedSince = "", time.Time{}, time.Time{}
	if rec.SubmittedAt.IsZero() {
		rec.SubmittedAt = now
	}
}

// end makes the record terminal: a change that a consumer sees.
func (rec *Record) end(s State, now time.Time) {
	rec.State, rec.NextCheckAt, rec.FinishedAt = s, time.Time{}, now
	rec.Reason, rec.LeaseUntil, rec.UnconfirmedSince = "", time.Time{}, time.Time{}
	rec.FailureReason, rec.FailureMessage, rec.RequestID = "", "", ""
	rec.Revision++
}

func (rec *Record) setResult(f RunEnded, now time.Time) {
	rec.end(f.State, now)
	rec.RunID, rec.RunURL = f.RunID, cmp.Or(cut(f.RunURL, maxMessage), rec.RunURL)
	rec.ProcessorID = cmp.Or(rec.ProcessorID, f.ProcessorID)
	rec.Type, rec.Reviewed, rec.Edited = cut(f.Type, maxReason), f.Reviewed, f.Edited
	rec.FailureReason, rec.FailureMessage = cut(f.FailureReason, maxReason), cut(f.FailureMessage, maxMessage)
	rec.Credits, rec.Digest = f.Credits, f.Digest
	if f.State == Processed {
		rec.OutputRunID, rec.Output, rec.OutputLocation = f.RunID, f.Output, f.OutputLocation
	}
}

// archive moves the run that the record shows to Runs.
func (rec *Record) archive(now time.Time) {
	if rec.RunID != "" || rec.State.Terminal() {
		at := rec.FinishedAt
		if at.IsZero() {
			at = now
		}
		rec.appendRun(PastRun{Attempt: rec.Attempt, RunID: rec.RunID, State: rec.State,
			FailureReason: rec.FailureReason, FailureMessage: rec.FailureMessage, Credits: rec.Credits, At: at})
	}
	rec.RunID, rec.RunURL, rec.Digest, rec.Credits, rec.RequestID = "", "", "", "", ""
	rec.FailureReason, rec.FailureMessage = "", ""
	rec.FinishedAt, rec.SubmittedAt = time.Time{}, time.Time{}
}

// startAttempt makes the document WAITING for its next attempt. The retry rule and a
// person's wish come here alike.
func (rec *Record) startAttempt(reason string, now time.Time) {
	rec.archive(now)
	rec.Attempt++
	rec.waiting(reason, now)
}
