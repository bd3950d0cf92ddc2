package ledger

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"extend-intake/shared/document"
)

// believes reports whether a run that is not the one that the record shows may be the
// document's, by what its tag says. Somebody else can copy a tag, and make one up.
func (rec *Record) believes(f RunEnded) bool {
	switch known := slices.IndexFunc(rec.Runs, func(n PastRun) bool { return n.RunID == f.RunID }); {
	case known >= 0:
		return !rec.Runs[known].Mismatch
	case f.Attempt > rec.Attempt, f.Attempt == rec.Attempt && rec.State == Waiting && rec.SubmittedAt.IsZero():
		return false // only a claim makes an attempt: it was made up, or the table was restored
	case f.Attempt == rec.Attempt && rec.OtherProcessor(f.ProcessorID):
		return false
	}
	return f.Signed || rec.unsigned(f.Attempt)
}

// unsigned reports whether a run of this attempt can be on its way with a tag that is not
// signed: it was sent by a version of this software that signs none.
func (rec *Record) unsigned(attempt int) bool {
	sent := rec.State == Submitting || rec.State == Unconfirmed || rec.State == Waiting && rec.Unanswered+rec.SharedUnanswered > 0
	return sent && attempt == rec.Attempt && rec.RunID == "" && !rec.TagSigned
}

// OtherProcessor reports whether a run was made by another processor or workflow than the one
// that the document was sent to. What is not written as the API's ids are says nothing.
func (rec *Record) OtherProcessor(id string) bool {
	known := func(id string) bool { return strings.HasPrefix(id, "dp_") || document.IsWorkflow(id) }
	return id != rec.ProcessorID && known(id) && known(rec.ProcessorID)
}

// madeByStep reports whether a run is one of a processor that a workflow's run of the document
// went through. It can have the same tag and file, and says nothing of the whole.
func (rec *Record) madeByStep(f RunEnded) bool {
	switch {
	case document.IsWorkflowRun(f.RunID), rec.RunID == f.RunID, rec.hasPastRun(f.RunID):
		return false
	case f.Attempt == rec.Attempt:
		return document.IsWorkflow(rec.ProcessorID)
	}
	return slices.ContainsFunc(rec.Runs, func(n PastRun) bool { return n.Attempt == f.Attempt && document.IsWorkflowRun(n.RunID) })
}

// noteMismatch keeps a run that is another's under Runs, once; of many such runs the first.
func (r Rules) noteMismatch(rec, next *Record, run PastRun) (Decision, error) {
	noted := 0
	for _, n := range rec.Runs {
		if n.Mismatch {
			noted++
		}
		if n.RunID == run.RunID {
			noted = maxMismatches
		}
	}
	if noted >= maxMismatches {
		return Decision{Verdict: TagMismatch, Record: rec}, nil
	}
	run.Mismatch = true
	next.appendRun(run)
	return Decision{Verdict: TagMismatch, Record: next, Written: true}, nil
}

// notePastRun keeps a run under Runs, once.
func (r Rules) notePastRun(rec, next *Record, run PastRun) (Decision, error) {
	v := EarlierAttempt
	if rec.State == Waiting && run.Attempt < rec.Attempt {
		// It is the attempt before: the message for the next one may not have got through.
		v = Resubmit
	}
	if i := slices.IndexFunc(rec.Runs, func(n PastRun) bool { return n.RunID == run.RunID }); i >= 0 {
		if rec.Runs[i].State.Terminal() || !run.State.Terminal() {
			return Decision{Verdict: v, Record: rec}, nil
		}
		run.Duplicate, run.ByTag = rec.Runs[i].Duplicate, rec.Runs[i].ByTag
		run.FailureReason, run.FailureMessage = cut(run.FailureReason, maxReason), cut(run.FailureMessage, maxNotedMessage)
		next.Runs[i] = run
		return Decision{Verdict: v, Record: next, Written: true}, nil
	}
	run.Duplicate = run.Attempt == rec.Attempt ||
		slices.ContainsFunc(rec.Runs, func(n PastRun) bool { return n.Attempt == run.Attempt && n.RunID != "" })
	if run.Duplicate {
		v = DuplicateRun
		duplicates := 0
		for _, n := range rec.Runs {
			if n.Duplicate {
				duplicates++
			}
		}
		if duplicates >= maxDuplicates {
			// So often nothing of ours can go wrong: somebody copies the tag.
			return Decision{Verdict: TagMismatch, Record: rec}, nil
		}
	}
	next.appendRun(run)
	return Decision{Verdict: v, Record: next, Written: true}, nil
}

// hasPastRun reports whether the run is one of an earlier attempt of this document, by more
// than what its tag says.
func (rec *Record) hasPastRun(runID string) bool {
	return slices.ContainsFunc(rec.Runs, func(n PastRun) bool { return n.RunID == runID && !n.Duplicate && !n.Mismatch && !n.ByTag })
}

// lateResult decides on the output of an earlier run, which had been given up, of a
// document that has none. It ends the document, unless the next attempt has been sent:
// then it is there to fall back on.
func (r Rules) lateResult(rec, next *Record, f RunEnded, past PastRun, now time.Time) (Decision, error) {
	i := slices.IndexFunc(next.Runs, func(n PastRun) bool { return n.RunID == f.RunID })
	if rec.State.Terminal() || rec.State == Waiting && (rec.SubmittedAt.IsZero() || rec.Unanswered+rec.SharedUnanswered == 0) { // claimed and given back is not sent
		next.Runs = slices.Delete(next.Runs, i, i+1)
		next.archive(now)
		next.setResult(f, now)
		next.RunAttempt = f.Attempt
		return Decision{Verdict: Stored, Record: next, Written: true}, nil
	}
	past.Late, past.Digest, past.Type, past.Reviewed, past.Edited = true, f.Digest, cut(f.Type, maxReason), f.Reviewed, f.Edited
	next.Runs[i] = past
	next.setOutput(f)
	return Decision{Verdict: EarlierAttempt, Record: next, Written: true}, nil
}

// An item of DynamoDB holds 400 KB, and the output has most of it: texts of Extend
// are cut, and so is the list of runs: what is in the middle goes first, so that nobody can
// push out the first ones by making many.
const (
	maxMessage      = 4000
	maxNotedMessage = 400
	maxReason       = 200
	maxRuns         = 20
	// maxMismatches and maxDuplicates bound what somebody else's runs add to the list.
	maxMismatches = 5
	maxDuplicates = 5
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
		rec.Runs = slices.Delete(rec.Runs, maxRuns/2, maxRuns/2+n)
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
	// A POST of this attempt that nobody knows the outcome of may have carried a tag that was not signed.
	rec.TagSigned = f.TagSigned && (rec.TagSigned || rec.Unanswered+rec.SharedUnanswered == 0)
	rec.SubmittedAt, rec.LeaseUntil = now, now.Add(r.Lease)
	rec.NextCheckAt = rec.LeaseUntil
}

func (rec *Record) unconfirmed(since, now time.Time) {
	rec.State, rec.UnconfirmedSince, rec.LeaseUntil, rec.NextCheckAt = Unconfirmed, since, time.Time{}, now
	rec.searched()
}

// searched forgets the searches that failed.
func (rec *Record) searched() {
	rec.FailedSearches, rec.SearchFailingSince, rec.SearchFailedAt = 0, time.Time{}, time.Time{}
}

func (rec *Record) waiting(reason string, until time.Time) {
	rec.State, rec.Reason, rec.NextCheckAt = Waiting, reason, until
	rec.LeaseUntil, rec.UnconfirmedSince = time.Time{}, time.Time{}
	rec.searched()
}

func (rec *Record) setRun(runID, url string, now time.Time) {
	rec.RunID, rec.RunURL = runID, url
	rec.Runs = slices.DeleteFunc(rec.Runs, func(n PastRun) bool { return n.Mismatch && n.RunID == runID }) // its tag was not believed
	rec.Reason, rec.LeaseUntil, rec.UnconfirmedSince = "", time.Time{}, time.Time{}
	rec.searched()
	rec.Failures, rec.SharedFailures, rec.FailingSince, rec.FailedAt, rec.Unanswered, rec.SharedUnanswered = 0, 0, time.Time{}, time.Time{}, 0, 0
	if rec.SubmittedAt.IsZero() {
		rec.SubmittedAt = now
	}
}

// end gives the record a state that a consumer sees: a terminal one, or NeedsReview.
func (rec *Record) end(s State, now time.Time) {
	rec.State, rec.NextCheckAt, rec.FinishedAt = s, time.Time{}, now
	rec.Reason, rec.LeaseUntil, rec.UnconfirmedSince = "", time.Time{}, time.Time{}
	rec.searched()
	rec.FailureReason, rec.FailureMessage, rec.RequestID = "", "", ""
	rec.MissingSince, rec.PendingDigest, rec.PendingSince = time.Time{}, "", time.Time{}
	rec.Revision++
}

// endBecause ends the record without a word of Extend about a run.
func (rec *Record) endBecause(s State, code, message string, now time.Time) {
	rec.end(s, now)
	rec.FailureReason, rec.FailureMessage = cut(code, maxReason), cut(message, maxMessage)
}

// lateRun is the index in Runs of the run that there is to fall back on, -1 if there is none.
func (rec *Record) lateRun() int {
	return slices.IndexFunc(rec.Runs, func(n PastRun) bool { return n.Late && n.RunID == rec.OutputRunID })
}

// fallBack ends a document that came to no output, or whose attempt turned out not to have
// been sent, by the output of an earlier run, if that turned out well after its attempt had
// been given up.
func (rec *Record) fallBack(now time.Time) {
	if rec.State != Waiting && !rec.State.Terminal() || rec.State == Processed || rec.State == Skipped || rec.OutputRunID == rec.RunID {
		return
	}
	i := rec.lateRun()
	if i < 0 {
		return
	}
	late := rec.Runs[i]
	rec.Runs = slices.Delete(rec.Runs, i, i+1)
	if rec.State == Waiting {
		rec.end(Processed, now)
	} else {
		rec.appendRun(PastRun{Attempt: rec.Attempt, RunID: rec.RunID, State: rec.State, FailureReason: rec.FailureReason, FailureMessage: rec.FailureMessage, Credits: rec.Credits, At: rec.FinishedAt})
	}
	rec.State, rec.RunID, rec.RunURL, rec.RunAttempt = Processed, late.RunID, "", late.Attempt
	rec.Type, rec.Reviewed, rec.Edited, rec.Digest, rec.Credits = late.Type, late.Reviewed, late.Edited, late.Digest, late.Credits
	rec.FailureReason, rec.FailureMessage, rec.RequestID = "", "", ""
}

// setOutput stores the output of a run that is not the record's.
func (rec *Record) setOutput(f RunEnded) {
	rec.OutputRunID, rec.OutputLocation = f.RunID, f.OutputLocation
	if f.Output != nil {
		rec.Output, rec.attribute = f.Output.text, f.Output.attribute
	}
}

// maxPastDigests bounds the contents that a record remembers.
const maxPastDigests = 20

func (rec *Record) rememberDigest(digest string) {
	if digest == "" || slices.Contains(rec.PastDigests, digest) {
		return
	}
	rec.PastDigests = append(slices.Clone(rec.PastDigests), digest)
	if n := len(rec.PastDigests) - maxPastDigests; n > 0 {
		rec.PastDigests = rec.PastDigests[n:]
	}
}

func (rec *Record) setResult(f RunEnded, now time.Time) {
	rec.end(f.State, now)
	rec.RunID, rec.RunURL = f.RunID, cmp.Or(cut(f.RunURL, maxMessage), rec.RunURL)
	rec.ProcessorID = cmp.Or(rec.ProcessorID, f.ProcessorID)
	rec.Type, rec.Reviewed, rec.Edited = cut(f.Type, maxReason), f.Reviewed, f.Edited
	rec.FailureReason, rec.FailureMessage = cut(f.FailureReason, maxReason), cut(f.FailureMessage, maxMessage)
	if rec.Digest != f.Digest {
		rec.rememberDigest(rec.Digest)
	}
	rec.rememberDigest(f.Delivery)
	rec.Credits, rec.Digest = f.Credits, f.Digest
	rec.FailedChecks, rec.UnreadableLocation = 0, ""
	switch f.State {
	case Processed:
		rec.setOutput(f)
	case NeedsReview:
		rec.NextCheckAt = now.Add(reviewInterval)
	}
}

// archive moves the run that the record shows to Runs.
func (rec *Record) archive(now time.Time) {
	if rec.RunID != "" || rec.State.Terminal() {
		at := rec.FinishedAt
		if at.IsZero() {
			at = now
		}
		rec.appendRun(PastRun{Attempt: cmp.Or(rec.RunAttempt, rec.Attempt), RunID: rec.RunID, State: rec.State,
			FailureReason: rec.FailureReason, FailureMessage: rec.FailureMessage, Credits: rec.Credits, At: at})
	}
	rec.RunID, rec.RunURL, rec.Digest, rec.Credits, rec.RequestID = "", "", "", "", ""
	rec.FailureReason, rec.FailureMessage = "", ""
	rec.FinishedAt, rec.SubmittedAt, rec.TagSigned = time.Time{}, time.Time{}, false
	rec.Failures, rec.SharedFailures, rec.FailingSince, rec.FailedAt, rec.Unanswered, rec.SharedUnanswered = 0, 0, time.Time{}, time.Time{}, 0, 0
	rec.FailedChecks, rec.UnreadableLocation = 0, ""
	rec.MissingSince, rec.PendingDigest, rec.PendingSince, rec.PastDigests = time.Time{}, "", time.Time{}, nil
	rec.RunAttempt, rec.DuplicateOf, rec.InPlaceOf = 0, "", ""
	// They were the earlier run's, and the next may end without a word about its own.
	rec.Type, rec.Reviewed, rec.Edited = "", false, false
}

// startAttempt makes the document WAITING for its next attempt. The retry rule and
// whoever asks for a reprocess come here alike.
func (rec *Record) startAttempt(reason string, now time.Time) {
	rec.archive(now)
	rec.Attempt++
	rec.AttemptSince = now
	rec.waiting(reason, now)
}
