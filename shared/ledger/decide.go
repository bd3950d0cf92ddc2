package ledger

import (
	"cmp"
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
	write := func(v Verdict) (Decision, error) {
		next.fallBack(now)
		return Decision{Verdict: v, Record: &next, Written: true}, nil
	}

	switch f := f.(type) {
	case Claim:
		newer := f.Source.Sequencer > rec.Sequence
		if newer {
			// The same bytes were uploaded once more: it counts for the order of an object's uploads.
			next.Sequence = f.Source.Sequencer
			if rec.Sequence != "" {
				next.Copies++
			}
		}
		v := NothingToDo
		switch {
		case rec.State == Waiting:
			r.grant(&next, f, now)
			return write(Claimed)
		case rec.State == Submitting && now.Before(rec.LeaseUntil):
			// A later creation comes back, and is noted then: if this claim comes to nothing, it is a wish.
			if f.By != "" && f.By == rec.ClaimedBy {
				return unchanged(Claimed)
			}
			return unchanged(Leased)
		case rec.State == Submitting:
			// The claimer is dead. It may have sent its POST until the lease's last moment.
			next.unconfirmed(rec.LeaseUntil, now)
			next.SharedUnanswered++ // it is not the document's doing, and most often nothing was sent
			return write(Search)
		case rec.State == Unconfirmed:
			v = Search
		case newer && rec.Sequence != "" && rec.State.Terminal() && rec.DuplicateOf == "" && rec.OutputRunID == "":
			// It came to nothing, and somebody has uploaded it again.
			next.startAttempt("uploaded again", now)
			r.grant(&next, f, now)
			return write(Claimed)
		case newer && rec.State == Skipped && rec.DuplicateOf != "":
			// The document that has the same content may have come to nothing since: it is looked at anew.
			next.FinishedAt, next.FailureReason, next.FailureMessage, next.DuplicateOf = time.Time{}, "", "", ""
			r.grant(&next, f, now)
			return write(Claimed)
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
		if f.Failure == nil {
			return write(Stored)
		}
		if next.FailingSince.IsZero() || now.Sub(rec.FailedAt) > maxCheckInterval { // it was not tried: all were paused
			next.FailingSince = now
		}
		next.FailedAt = now
		if f.Failure.Own {
			next.Failures++
			if apart := now.Add(failureWait(next.Failures)); apart.After(until) {
				next.NextCheckAt = apart
			}
		} else {
			next.SharedFailures++
		}
		// One failure after a long pause is no failure that lasts: it takes as many, though others' too.
		tried := next.Failures + next.SharedFailures
		if next.Failures >= r.MaxFailures || tried >= r.MaxFailures && now.Sub(next.FailingSince) >= r.GiveUpAfter {
			next.endBecause(Refused, f.Failure.Code, fmt.Sprintf("given up after %d failures since %s: %s",
				tried, next.FailingSince.Format(time.RFC3339), f.Failure.Message), now)
		}
		return write(Stored)

	case OutcomeUnknown:
		if rec.State != Submitting || rec.ClaimNumber != f.ClaimNumber {
			return unchanged(Unchanged)
		}
		next.unconfirmed(now, now)
		if f.Shared {
			next.SharedUnanswered++
		} else {
			next.Unanswered++
		}
		return write(Stored)

	case Copied:
		newer := f.Sequencer > rec.Sequence
		if !newer && (rec.LastCopy != "" || f.DocumentID == "") {
			return unchanged(Unchanged)
		}
		if newer {
			next.Sequence = f.Sequencer
			next.Copies++
		}
		next.LastCopy = cmp.Or(f.DocumentID, rec.LastCopy)
		return write(Stored)

	case OriginalLost:
		if rec.State != Skipped || rec.DuplicateOf != f.DocumentID {
			return unchanged(Unchanged)
		}
		next.startAttempt("the object of "+f.DocumentID+" can't be read", now)
		next.InPlaceOf = f.DocumentID
		return write(Resubmit)

	case Skip:
		if !rec.inFlight(f.ClaimNumber) {
			return unchanged(Unchanged)
		}
		next.endBecause(Skipped, f.Code, f.Message, now)
		next.DuplicateOf, next.Revision = f.DuplicateOf, rec.Revision // consumers are not told
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
			// A run that was made may still be invisible.
			if rec.FailedSearches == 0 {
				return unchanged(Search)
			}
			next.searched()
			return write(Search)
		}
		// There is a search of the whole window between two POSTs, so that their number says how long
		// it was tried; times in which nothing was sent don't count.
		if rec.Unanswered >= r.MaxUnanswered || time.Duration(rec.SharedUnanswered)*r.ConfirmWindow >= r.GiveUpAfter {
			next.endBecause(Refused, NoAnswer, fmt.Sprintf("the outcome of %d claims in a row was unknown, and no run was found: ask Extend about the file, and reprocess the document", rec.Unanswered+rec.SharedUnanswered), now)
			return write(Stored)
		}
		next.waiting("no run found in the confirm window", now)
		return write(Stored)

	case SearchFailed:
		if rec.State != Unconfirmed || rec.Attempt != f.Attempt {
			return unchanged(NothingToDo)
		}
		if next.SearchFailingSince.IsZero() || now.Sub(rec.SearchFailedAt) > maxCheckInterval { // nobody searched in between: all were paused
			next.SearchFailingSince = now
		}
		next.FailedSearches++
		next.SearchFailedAt = now
		if next.FailedSearches >= r.MaxFailures && now.Sub(next.SearchFailingSince) >= r.GiveUpAfter {
			next.endBecause(Refused, f.Code, fmt.Sprintf("%d searches for its run in a row have failed since %s: %s",
				next.FailedSearches, next.SearchFailingSince.Format(time.RFC3339), f.Message), now)
			return write(Stored)
		}
		return write(Search)

	case RunEnded:
		if rec.madeByStep(f) {
			return unchanged(Unchanged)
		}
		if f.State == NeedsReview && rec.State == NeedsReview && rec.RunID == f.RunID {
			return r.Decide(rec, StillRunning{RunID: f.RunID}, now)
		}
		return r.runEnded(rec, &next, f, now)

	case RunMissing:
		if !rec.underWay() || rec.RunID != f.RunID {
			return unchanged(Unchanged)
		}
		if rec.MissingSince.IsZero() {
			next.MissingSince = now
		}
		if rec.MissingSince.IsZero() || now.Sub(rec.MissingSince) < r.ReconcileAfter || now.Sub(rec.SubmittedAt) < maxCheckInterval {
			// With the key of another workspace every run is unknown, and a run can be missing
			// for a moment: leave people time to see that, and check once more.
			next.NextCheckAt = now.Add(r.checkInterval(rec, now))
			return write(Stored)
		}
		next.endBecause(Cancelled, RunNotFound, "Extend knows no such run: it was deleted, or the API key is of another workspace", now)
		return write(Stored)

	case CheckStarted:
		if !rec.underWay() || rec.RunID != f.RunID {
			return unchanged(Unchanged)
		}
		next.NextCheckAt = now.Add(r.checkInterval(rec, now))
		return write(Stored)

	case StillRunning:
		if !rec.underWay() || rec.RunID != f.RunID || rec.FailedChecks == 0 && rec.MissingSince.IsZero() && rec.PendingDigest == "" {
			return unchanged(Unchanged)
		}
		next.FailedChecks, next.MissingSince, next.Reason, next.UnreadableLocation = 0, time.Time{}, "", ""
		next.PendingDigest, next.PendingSince = "", time.Time{}
		return write(Stored)

	case CheckFailed:
		if !rec.underWay() || f.RunID != "" && rec.RunID != f.RunID {
			return unchanged(Unchanged)
		}
		if f.RunID != "" {
			next.FailedChecks++
		} else {
			next.NextCheckAt = now
		}
		next.Reason = cut(f.Reason, maxReason)
		next.UnreadableLocation = cmp.Or(f.Location, rec.UnreadableLocation)
		age := now.Sub(rec.SubmittedAt) // deliveries that can't be read bring many checks in a short time
		switch {
		case f.Location != "" && next.FailedChecks >= maxUnreadable && age >= minUnreadable:
			next.endBecause(Failed, UnreadableAnswer, "Extend's answers about the run can't be read. The last one is at "+next.UnreadableLocation, now)
		case next.FailedChecks >= maxFailedChecks && age >= minFailedChecks:
			next.endBecause(Failed, NoAnswer, "Extend gave no usable answer about the run: "+f.Reason, now)
		}
		return write(Stored)

	case NotShown:
		switch {
		case !rec.State.Terminal() || rec.RunID != f.RunID || rec.Digest == f.Digest || slices.Contains(rec.PastDigests, f.Digest):
			return unchanged(Unchanged)
		case rec.PendingDigest != f.Digest:
			next.PendingDigest, next.PendingSince = f.Digest, now
			return write(Later)
		case now.Sub(rec.PendingSince) < r.ConfirmWindow:
			return unchanged(Later)
		}
		next.rememberDigest(f.Digest) // it is older than what Extend shows
		next.PendingDigest, next.PendingSince = "", time.Time{}
		return write(Unchanged)

	case Reprocess:
		if !rec.State.Terminal() || rec.Bucket == "" || rec.Bucket != f.Bucket || f.Attempt != rec.Attempt+1 {
			return unchanged(Unchanged)
		}
		next.startAttempt(f.Reason, now)
		return write(Resubmit)

	case Withdraw:
		if rec.State != Waiting || rec.Attempt != f.Attempt {
			return unchanged(Unchanged)
		}
		next.endBecause(Cancelled, Withdrawn, f.Reason, now)
		return write(Stored)

	case Announce:
		if !rec.State.Terminal() || rec.State == Skipped || rec.Revision != f.Revision {
			return unchanged(Unchanged)
		}
		next.Revision++
		return write(Stored)

	case Requeued:
		if rec.State.Terminal() || rec.underWay() {
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
		if f.Begun {
			return Decision{Verdict: NoRecord}, nil
		}
		s := f.Source
		next := Record{DocumentID: s.DocumentID(), Attempt: 1, Version: 1}
		next.setSource(s)
		r.grant(&next, f, now)
		return Decision{Verdict: Claimed, Record: &next, Written: true}, nil
	case RunEnded:
		if f.Foreign || f.Source.Bucket != "" && !f.Signed {
			return Decision{Verdict: TagMismatch}, nil
		}
		// A run without a tag, or a document whose record is gone: the signed tag says what it was.
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

// The FailureReasons of documents that ended without a last word of Extend. A later word
// of Extend about the run is stored.
const (
	// RunNotFound: the run is gone at Extend.
	RunNotFound = "RUN_NOT_FOUND"
	// NoAnswer: Extend gave no usable answer, to POSTs or to questions about the run.
	NoAnswer = "NO_ANSWER"
	// UnreadableAnswer: Extend's answers about the run can't be read.
	UnreadableAnswer = "UNREADABLE_ANSWER"
)

// Withdrawn is the FailureReason of a document that a person withdrew before it was sent.
const Withdrawn = "WITHDRAWN"

// ours reports whether the record's end is our own conclusion: what Extend said has a digest.
func (rec *Record) ours() bool { return rec.State.Terminal() && rec.Digest == "" }

// newerThan reports whether what the record has of a run shows by itself that it is newer
// than what the run says.
func (rec *Record) newerThan(f RunEnded) bool {
	return rec.State == Processed && (f.State != Processed || rec.Reviewed && !f.Reviewed || rec.Edited && !f.Edited)
}

func (r Rules) runEnded(rec, next *Record, f RunEnded, now time.Time) (Decision, error) {
	unchanged := func(v Verdict) (Decision, error) { return Decision{Verdict: v, Record: rec}, nil }
	write := func(v Verdict) (Decision, error) {
		next.fallBack(now)
		return Decision{Verdict: v, Record: next, Written: true}, nil
	}
	past := PastRun{Attempt: f.Attempt, RunID: f.RunID, State: f.State, FailureReason: f.FailureReason, FailureMessage: f.FailureMessage, Credits: f.Credits, At: now}
	switch {
	case rec.RunID != "" && rec.RunID == f.RunID:
		// The ledger knows the run, whatever its tag says.
		if rec.State.Terminal() {
			switch {
			case rec.State == f.State && rec.Digest == f.Digest:
				return unchanged(Unchanged)
			case f.State == NeedsReview && !rec.ours():
				return unchanged(Unchanged) // it is late: the review is over
			case !(f.Fetched && f.AsOf == rec.Version) && !rec.ours():
				return unchanged(Confirm)
			case rec.newerThan(f) && !rec.ours() && now.Sub(rec.FinishedAt) < r.ConfirmWindow:
				// Extend may be slow to show what the ledger has already.
				return unchanged(Later)
			case !f.Empty && !slices.Contains(rec.PastDigests, f.Digest):
			case rec.PendingDigest != f.Digest:
				// It has no result, or was there before: a review was taken back, or Extend is slow to
				// show the newer one.
				next.PendingDigest, next.PendingSince = f.Digest, now
				return write(Later)
			case now.Sub(rec.PendingSince) < recheck:
				return unchanged(Later)
			}
		}
	case !rec.believes(f):
		return r.noteMismatch(rec, next, past)
	case f.Attempt < rec.Attempt && f.State == Processed && rec.OutputRunID == "" && !f.Empty && rec.hasPastRun(f.RunID):
		// A good word about an earlier run is better than no output.
		return r.lateResult(rec, next, f, past, now)
	case f.Attempt < rec.Attempt, rec.RunID != "":
		past.ByTag = true
		return r.notePastRun(rec, next, past)
	}
	if f.Empty && !rec.State.Terminal() && !(f.Fetched && rec.PendingDigest == f.Digest && now.Sub(rec.PendingSince) >= recheck/2) {
		if !f.Fetched {
			return unchanged(Confirm)
		}
		// PROCESSED, and nothing in it: Extend is asked once more before that is final.
		next.setRun(f.RunID, f.RunURL, now)
		next.State, next.NextCheckAt = Processing, now.Add(recheck)
		next.PendingDigest, next.PendingSince = f.Digest, now
		return write(Later)
	}
	if f.State == Failed && Transient(f.FailureReason) && next.Attempt < r.MaxAttempts && !f.Partial && rec.lateRun() < 0 && rec.Bucket != "" && !rec.State.Terminal() {
		next.setResult(f, now)
		next.Revision = rec.Revision // consumers do not see a failure that is retried
		next.startAttempt("retry after "+f.FailureReason, now)
		return write(Resubmit)
	}
	next.setResult(f, now)
	return write(Stored)
}
