package ledger

import (
	"fmt"
	"slices"
	"time"
)

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
			// The same bytes were uploaded once more: it counts for the order of an object's uploads.
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
		if now.Sub(rec.SubmittedAt) < maxCheckInterval {
			// With the key of another workspace every run is unknown: leave people time to see
			// that, and check once more.
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
	past := PastRun{Attempt: f.Attempt, RunID: f.RunID, State: f.State, FailureReason: f.FailureReason, FailureMessage: f.FailureMessage, Credits: f.Credits, At: now}
	switch {
	case f.Attempt < rec.Attempt:
		return r.notePastRun(rec, next, past)
	case f.Attempt > rec.Attempt:
		// The ledger has forgotten an attempt (a table that was restored): the tag knows.
		next.archive(now)
		next.Attempt = f.Attempt
	case rec.RunID != "" && rec.RunID != f.RunID:
		return r.notePastRun(rec, next, past)
	case rec.State.Terminal() && rec.RunID != "":
		if rec.State == f.State && rec.Digest == f.Digest {
			return unchanged(Unchanged)
		}
		if !(f.Fetched && f.AsOf == rec.Version) && rec.FailureReason != RunNotFound {
			return unchanged(Confirm)
		}
	}
	if f.State == Failed && Transient(f.FailureReason) && next.Attempt < r.MaxAttempts && rec.Bucket != "" && !rec.State.Terminal() {
		next.setResult(f, now)
		next.Revision = rec.Revision // consumers do not see a failure that is retried
		next.startAttempt("retry after "+f.FailureReason, now)
		return write(Resubmit)
	}
	next.setResult(f, now)
	return write(Stored)
}
