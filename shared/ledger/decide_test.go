package ledger

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"extend-intake/shared/document"
)

var (
	src   = document.Source{Bucket: "in", Key: "a.pdf", VersionID: "v1", ETag: "e1", Size: 7, Sequencer: "0A"}
	t0    = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	rules = Rules{Lease: 3 * time.Minute, ConfirmWindow: 10 * time.Minute, ReconcileAfter: 10 * time.Minute, MaxAttempts: 2,
		MaxFailures: 3, GiveUpAfter: 24 * time.Hour, MaxUnanswered: 2}
	claim = Claim{Source: src, Route: "default", ProcessorID: "dp_1", Version: "latest"}
)

// at is the record of a document in a state, as the machine would have made it.
func at(s State, edit ...func(*Record)) *Record {
	r := &Record{DocumentID: src.DocumentID(), State: s, Version: 5, Attempt: 1, ClaimNumber: 1, NextCheckAt: t0, SubmittedAt: t0}
	if s.Terminal() {
		r.NextCheckAt, r.FinishedAt = time.Time{}, t0
	}
	r.setSource(src)
	switch s {
	case Submitting:
		r.LeaseUntil = t0.Add(rules.Lease)
	case Unconfirmed:
		r.UnconfirmedSince = t0
	case Processing:
		r.RunID = "dpr_1"
	case NeedsReview:
		r.RunID, r.FinishedAt, r.Revision = "dpr_1", t0, 1
	case Rejected:
		r.RunID, r.Digest, r.FailureReason, r.Revision = "dpr_1", "r1", "REJECTED", 1
	case Processed:
		r.RunID, r.Digest, r.OutputRunID, r.Revision = "dpr_1", "d1", "dpr_1", 1
	case Failed:
		r.RunID, r.Digest, r.FailureReason, r.Revision = "dpr_1", "f1", "INVALID_PROCESSOR", 1
	case Cancelled:
		r.RunID, r.Digest, r.Revision = "dpr_1", "c1", 1
	case Refused:
		r.FailureReason, r.Revision = "NOT_FOUND", 1
	case Skipped:
		r.FailureReason, r.DuplicateOf = "SAME_CONTENT", "doc_x"
	}
	for _, f := range edit {
		f(r)
	}
	return r
}

// searchesFail is a record whose searches have failed since t0.
func searchesFail(n int, last time.Duration) func(*Record) {
	return func(r *Record) { r.FailedSearches, r.SearchFailingSince, r.SearchFailedAt = n, t0, t0.Add(last) }
}

func second(r *Record) {
	r.Attempt = 2
	r.Runs = []PastRun{{Attempt: 1, RunID: "dpr_0", State: Failed, At: t0}}
}

func processed(run, digest string) RunEnded {
	return RunEnded{Source: src, Signed: true, Attempt: 1, RunID: run, State: Processed, Output: output(`{}`), Digest: digest}
}

func unsigned(o RunEnded) RunEnded { o.Signed = false; return o }

func by(processor string, o RunEnded) RunEnded { o.ProcessorID = processor; return o }

func tagSigned(r *Record) { r.TagSigned = true }

var signedClaim = Claim{Source: src, Route: "default", ProcessorID: "dp_1", Version: "latest", TagSigned: true}

func wantSigned(want bool) func(*testing.T, *Record) {
	return func(t *testing.T, r *Record) {
		if r.TagSigned != want {
			t.Errorf("signed: %t", r.TagSigned)
		}
	}
}

// mismatches notes so many runs that are others'.
func mismatches(n int) func(*Record) {
	return func(r *Record) {
		for i := range n {
			r.Runs = append(r.Runs, PastRun{Attempt: 1, RunID: fmt.Sprintf("dpr_%d", i), State: Processed, Mismatch: true})
		}
	}
}

func output(text string) *Output {
	o, err := NewOutput(json.RawMessage(text))
	if err != nil {
		panic(err)
	}
	return o
}

func failed(run, reason string) RunEnded {
	return RunEnded{Source: src, Signed: true, Attempt: 1, RunID: run, State: Failed, FailureReason: reason, Digest: "f-" + reason}
}

func confirmed(o RunEnded) RunEnded { o.Fetched, o.AsOf = true, 5; return o } // as at writes it

func attempt(n int, o RunEnded) RunEnded { o.Attempt = n; return o }

// nextCheck checks when the next check is due, counted from t0.
func nextCheck(after time.Duration) func(*testing.T, *Record) {
	return func(t *testing.T, r *Record) {
		t.Helper()
		if !r.NextCheckAt.Equal(t0.Add(after)) {
			t.Errorf("next check at %v, want %v", r.NextCheckAt, t0.Add(after))
		}
	}
}

// firstAttempt checks that a record has ended with its first attempt.
func firstAttempt(revision int) func(*testing.T, *Record) {
	return func(t *testing.T, r *Record) {
		t.Helper()
		if r.Attempt != 1 || r.Revision != revision || len(r.Runs) > 0 {
			t.Errorf("attempt %d, revision %d, past runs %v; want attempt 1, revision %d", r.Attempt, r.Revision, r.Runs, revision)
		}
	}
}

// again is a claim by a later creation of the same bytes.
var again = Claim{Source: func() document.Source { s := src; s.Sequencer = "0B"; return s }(), Route: "default", ProcessorID: "dp_1", Version: "latest"}

func late(r *Record) {
	r.Attempt, r.OutputRunID = 2, "dpr_0"
	r.Runs = []PastRun{{Attempt: 1, RunID: "dpr_0", State: Processed, At: t0, Late: true, Digest: "d0", Type: "EXTRACT"}}
}

func empty(o RunEnded) RunEnded {
	o.Source, o.Attempt, o.RunID, o.State, o.Output, o.Digest, o.Empty = src, 1, "dpr_1", Processed, output(`null`), "e1", true
	return o
}

func pending(digest string) func(*Record) {
	return func(r *Record) { r.PendingDigest, r.PendingSince = digest, t0 }
}

func past(r *Record) { r.PastDigests = []string{"d0"} }

// failing is a run that was asked about in vain so often, until t0, since it was that young.
func failing(checks int, age time.Duration) func(*Record) {
	return func(r *Record) { r.FailedChecks, r.SubmittedAt = checks, t0.Add(-age) }
}

func missing(after time.Duration) func(*Record) {
	return func(r *Record) { r.MissingSince = t0.Add(after) }
}

func refused(own bool) NotAccepted {
	return NotAccepted{ClaimNumber: 1, Reason: "403", Failure: &Failure{Own: own, Code: "NOT_THE_API", Message: "a firewall"}}
}

// ofWorkflow is a record of a document that a workflow was to read.
func ofWorkflow(r *Record) {
	r.ProcessorID = "workflow_1"
	if r.RunID != "" {
		r.RunID = "workflow_run_1"
	}
	if r.OutputRunID != "" {
		r.OutputRunID = "workflow_run_1"
	}
}

// workflowRun is news of its run.
func workflowRun(s State, digest string) RunEnded {
	f := RunEnded{Source: src, Signed: true, Attempt: 1, RunID: "workflow_run_1", ProcessorID: "workflow_1", State: s, Digest: digest, Type: "WORKFLOW"}
	if s == Processed {
		f.Output = output(`{"outputs":[],"stepRuns":[]}`)
	}
	return f
}

func partial(o RunEnded) RunEnded { o.Partial = true; return o }

func because(reason string, o RunEnded) RunEnded { o.FailureReason = reason; return o }

func reason(want string) func(*testing.T, *Record) {
	return func(t *testing.T, r *Record) {
		if r.FailureReason != want || r.Revision != 1 {
			t.Errorf("%+v", r)
		}
	}
}

func TestDecide(t *testing.T) {
	t.Parallel()
	leaseOver := t0.Add(rules.Lease)
	windowOver := t0.Add(rules.ConfirmWindow)
	tests := []struct {
		name string
		rec  *Record
		fact Fact
		now  time.Time // t0 plus a second unless set

		verdict Verdict
		state   State // "" when nothing is written
		also    func(t *testing.T, r *Record)
	}{
		// Claims.
		{name: "claim of a new document", fact: claim, verdict: Claimed, state: Submitting, also: func(t *testing.T, r *Record) {
			if r.Attempt != 1 || r.ClaimNumber != 1 || !r.LeaseUntil.Equal(t0.Add(time.Second+rules.Lease)) || r.NextCheckAt != r.LeaseUntil || r.Object != "s3://in/a.pdf" || r.Version != 1 {
				t.Errorf("%+v", r)
			}
		}},
		{name: "claim of a waiting one", rec: at(Waiting), fact: claim, verdict: Claimed, state: Submitting, also: func(t *testing.T, r *Record) {
			if r.ClaimNumber != 2 || r.Attempt != 1 || r.Reason != "" {
				t.Errorf("%+v", r)
			}
		}},
		{name: "claim while another's lease is alive", rec: at(Submitting), fact: claim, verdict: Leased},
		{name: "claim that was made, its answer lost", rec: at(Submitting, func(r *Record) { r.ClaimedBy = "me" }), fact: Claim{Source: src, By: "me"}, verdict: Claimed},
		{name: "claim while another's lease is alive, both named", rec: at(Submitting, func(r *Record) { r.ClaimedBy = "you" }), fact: Claim{Source: src, By: "me"}, verdict: Leased},
		{name: "claim that was made, but its lease is over", rec: at(Submitting, func(r *Record) { r.ClaimedBy = "me" }), fact: Claim{Source: src, By: "me"}, now: leaseOver, verdict: Search, state: Unconfirmed},
		{name: "claim by a later creation while another's lease is alive: it comes back, and counts then", rec: at(Submitting), fact: again, verdict: Leased},
		{name: "claim by a later creation of what was replaced before its turn", rec: at(Skipped, func(r *Record) { r.FailureReason, r.DuplicateOf = "REPLACED", "" }), fact: again, verdict: Claimed, state: Submitting},
		{name: "claim in the lease's last moment", rec: at(Submitting), fact: claim, now: leaseOver.Add(-time.Millisecond), verdict: Leased},
		{name: "claim after the lease", rec: at(Submitting), fact: claim, now: leaseOver, verdict: Search, state: Unconfirmed, also: func(t *testing.T, r *Record) {
			if !r.UnconfirmedSince.Equal(leaseOver) || !r.LeaseUntil.IsZero() {
				t.Errorf("%+v", r)
			}
		}},
		{name: "claim while unconfirmed", rec: at(Unconfirmed), fact: claim, verdict: Search},
		{name: "claim while unconfirmed, long after the window", rec: at(Unconfirmed), fact: claim, now: windowOver.Add(time.Hour), verdict: Search},
		{name: "claim while processing", rec: at(Processing), fact: claim, verdict: NothingToDo},
		{name: "claim when processed", rec: at(Processed), fact: claim, verdict: NothingToDo},
		{name: "claim when failed", rec: at(Failed), fact: claim, verdict: NothingToDo},
		{name: "claim when cancelled", rec: at(Cancelled), fact: claim, verdict: NothingToDo},
		{name: "claim when refused", rec: at(Refused), fact: claim, verdict: NothingToDo},
		{name: "the same bytes uploaded once more", rec: at(Processed), fact: Claim{Source: func() document.Source { s := src; s.Sequencer = "0B"; return s }()}, verdict: NothingToDo, state: Processed, also: func(t *testing.T, r *Record) {
			if r.Sequence != "0B" || r.Revision != 1 {
				t.Errorf("sequence %q revision %d", r.Sequence, r.Revision)
			}
		}},

		// The POST was answered 200, or a search found the run.
		{name: "accepted", rec: at(Submitting), fact: Accepted{Attempt: 1, RunID: "dpr_1", RunURL: "u"}, verdict: Stored, state: Processing, also: func(t *testing.T, r *Record) {
			if r.RunID != "dpr_1" || r.RunURL != "u" || !r.LeaseUntil.IsZero() || !r.NextCheckAt.Equal(t0.Add(time.Second+rules.ReconcileAfter)) || r.Revision != 0 {
				t.Errorf("%+v", r)
			}
		}},
		{name: "accepted, while unconfirmed", rec: at(Unconfirmed), fact: Accepted{Attempt: 1, RunID: "dpr_1"}, verdict: Stored, state: Processing},
		{name: "accepted, while waiting once more", rec: at(Waiting), fact: Accepted{Attempt: 1, RunID: "dpr_1"}, verdict: Stored, state: Processing},
		{name: "accepted, known", rec: at(Processing), fact: Accepted{Attempt: 1, RunID: "dpr_1"}, verdict: Unchanged},
		{name: "accepted, and a delivery was faster", rec: at(Processed), fact: Accepted{Attempt: 1, RunID: "dpr_1"}, verdict: Unchanged},
		{name: "accepted, a second run", rec: at(Processing), fact: Accepted{Attempt: 1, RunID: "dpr_2"}, verdict: DuplicateRun, state: Processing, also: func(t *testing.T, r *Record) {
			if r.RunID != "dpr_1" || len(r.Runs) != 1 || r.Runs[0].RunID != "dpr_2" || !r.Runs[0].Duplicate || r.Revision != 0 {
				t.Errorf("%+v", r)
			}
		}},
		{name: "accepted, of an earlier attempt that had no run known", rec: at(Submitting, func(r *Record) { r.Attempt = 2 }), fact: Accepted{Attempt: 1, RunID: "dpr_9"}, verdict: EarlierAttempt, state: Submitting},

		// The POST surely made no run.
		{name: "not accepted", rec: at(Submitting), fact: NotAccepted{ClaimNumber: 1, Reason: "429", Until: t0.Add(time.Minute)}, verdict: Stored, state: Waiting, also: func(t *testing.T, r *Record) {
			if r.Reason != "429" || !r.NextCheckAt.Equal(t0.Add(time.Minute)) || !r.LeaseUntil.IsZero() {
				t.Errorf("%+v", r)
			}
		}},
		{name: "not accepted, after the lease", rec: at(Unconfirmed), fact: NotAccepted{ClaimNumber: 1, Reason: "429"}, verdict: Stored, state: Waiting},
		{name: "not accepted, but another has claimed since", rec: at(Submitting, func(r *Record) { r.ClaimNumber = 2 }), fact: NotAccepted{ClaimNumber: 1}, verdict: Unchanged},
		{name: "not accepted, but a run is known", rec: at(Processing), fact: NotAccepted{ClaimNumber: 1}, verdict: Unchanged},

		// The POST's outcome is unknown.
		{name: "unknown", rec: at(Submitting), fact: OutcomeUnknown{ClaimNumber: 1}, verdict: Stored, state: Unconfirmed, also: func(t *testing.T, r *Record) {
			if !r.UnconfirmedSince.Equal(t0.Add(time.Second)) {
				t.Errorf("%+v", r)
			}
		}},
		{name: "unknown, but another has claimed since", rec: at(Submitting, func(r *Record) { r.ClaimNumber = 2 }), fact: OutcomeUnknown{ClaimNumber: 1}, verdict: Unchanged},
		{name: "unknown, but a delivery was faster", rec: at(Processed), fact: OutcomeUnknown{ClaimNumber: 1}, verdict: Unchanged},
		{name: "unknown, applied twice", rec: at(Unconfirmed), fact: OutcomeUnknown{ClaimNumber: 1}, verdict: Unchanged},

		// Refused for good.
		{name: "refused for good", rec: at(Submitting), fact: Refusal{ClaimNumber: 1, Code: "NOT_FOUND", Message: "m", RequestID: "req_1"}, verdict: Stored, state: Refused, also: func(t *testing.T, r *Record) {
			if r.FailureReason != "NOT_FOUND" || r.FailureMessage != "m" || r.RequestID != "req_1" || r.Revision != 1 || r.FinishedAt.IsZero() {
				t.Errorf("%+v", r)
			}
		}},
		{name: "refused for good, but another has claimed since", rec: at(Submitting, func(r *Record) { r.ClaimNumber = 2 }), fact: Refusal{ClaimNumber: 1}, verdict: Unchanged},
		{name: "refused for good, but a run is known", rec: at(Processing), fact: Refusal{ClaimNumber: 1}, verdict: Unchanged},

		// Searches.
		{name: "not found, within the window", rec: at(Unconfirmed), fact: NotFound{Attempt: 1, SearchedAt: windowOver.Add(-time.Millisecond)}, now: windowOver.Add(time.Hour), verdict: Search},
		{name: "not found, after the window", rec: at(Unconfirmed), fact: NotFound{Attempt: 1, SearchedAt: windowOver}, now: windowOver, verdict: Stored, state: Waiting},
		{name: "not found, but the run became known", rec: at(Processing), fact: NotFound{Attempt: 1, SearchedAt: windowOver}, verdict: NothingToDo},
		{name: "not found, but another has claimed", rec: at(Submitting), fact: NotFound{Attempt: 1, SearchedAt: windowOver}, verdict: NothingToDo},
		{name: "not found, of an earlier attempt", rec: at(Unconfirmed, second), fact: NotFound{Attempt: 1, SearchedAt: windowOver}, verdict: NothingToDo},

		// Deliveries, and what our own GETs say.
		{name: "processed", rec: at(Processing), fact: processed("dpr_1", "d1"), verdict: Stored, state: Processed, also: func(t *testing.T, r *Record) {
			if r.Revision != 1 || r.OutputRunID != "dpr_1" || r.FinishedAt.IsZero() || string(r.Output) != `{}` {
				t.Errorf("%+v", r)
			}
		}},
		{name: "processed, before the POST's answer", rec: at(Submitting), fact: processed("dpr_1", "d1"), verdict: Stored, state: Processed, also: func(t *testing.T, r *Record) {
			if r.RunID != "dpr_1" || !r.LeaseUntil.IsZero() {
				t.Errorf("%+v", r)
			}
		}},
		{name: "processed, while unconfirmed", rec: at(Unconfirmed), fact: processed("dpr_1", "d1"), verdict: Stored, state: Processed},
		{name: "processed, while waiting", rec: at(Waiting), fact: processed("dpr_1", "d1"), verdict: Stored, state: Processed},
		{name: "processed, once refused", rec: at(Refused), fact: processed("dpr_1", "d1"), verdict: Stored, state: Processed},
		{name: "processed, the same once more", rec: at(Processed), fact: processed("dpr_1", "d1"), verdict: Unchanged},
		{name: "processed, other content", rec: at(Processed), fact: processed("dpr_1", "d2"), verdict: Confirm},
		{name: "processed, other content, confirmed", rec: at(Processed), fact: confirmed(processed("dpr_1", "d2")), verdict: Stored, state: Processed, also: func(t *testing.T, r *Record) {
			if r.Revision != 2 || r.Digest != "d2" {
				t.Errorf("%+v", r)
			}
		}},
		{name: "processed, other content, asked for before the last write", rec: at(Processed), fact: RunEnded{Source: src, Attempt: 1, RunID: "dpr_1", State: Processed, Digest: "d2", Fetched: true, AsOf: 4}, verdict: Confirm},
		{name: "processed, no record: the tag knows the document", fact: processed("dpr_1", "d1"), verdict: Stored, state: Processed, also: func(t *testing.T, r *Record) {
			if r.DocumentID != src.DocumentID() || r.Object != "s3://in/a.pdf" || r.Version != 1 {
				t.Errorf("%+v", r)
			}
		}},
		{name: "processed, no record and no tag", fact: RunEnded{Attempt: 1, RunID: "dpr_7", State: Processed, Output: output(`{}`)}, verdict: Stored, state: Processed, also: func(t *testing.T, r *Record) {
			if r.DocumentID != "dpr_7" || r.RunID != "dpr_7" {
				t.Errorf("%+v", r)
			}
		}},
		{name: "processed, of an earlier attempt", rec: at(Processing, second), fact: processed("dpr_00", "d"), verdict: DuplicateRun, state: Processing},
		{name: "processed, of the earlier attempt that is noted", rec: at(Processing, second), fact: processed("dpr_0", "d"), verdict: EarlierAttempt, state: Processing, also: func(t *testing.T, r *Record) {
			if n := r.Runs[0]; !n.Late || n.State != Processed || n.Digest != "d" || r.OutputRunID != "dpr_0" || r.RunID != "dpr_1" || r.Revision != 0 {
				t.Errorf("%+v", r)
			}
		}},
		{name: "processed, a second run for the attempt", rec: at(Processed), fact: processed("dpr_2", "d2"), verdict: DuplicateRun, state: Processed, also: func(t *testing.T, r *Record) {
			if r.RunID != "dpr_1" || r.Digest != "d1" || r.Revision != 1 || r.Output != nil {
				t.Errorf("%+v", r)
			}
		}},
		{name: "processed, of an attempt that was never begun", rec: at(Processed), fact: attempt(3, processed("dpr_3", "d3")), verdict: TagMismatch, state: Processed, also: func(t *testing.T, r *Record) {
			if r.Attempt != 1 || r.RunID != "dpr_1" || r.Revision != 1 || len(r.Runs) != 1 || !r.Runs[0].Mismatch || r.Output != nil {
				t.Errorf("%+v", r)
			}
		}},
		// What somebody else in the workspace can make: a tag is signed, or it is not believed.
		{name: "unsigned, no record", fact: unsigned(processed("dpr_1", "d1")), verdict: TagMismatch},
		{name: "unsigned, and the ledger knows the run", rec: at(Processing), fact: unsigned(processed("dpr_1", "d1")), verdict: Stored, state: Processed},
		{name: "unsigned, and the ledger knows the run of an earlier attempt", rec: at(Failed, second), fact: unsigned(processed("dpr_0", "d")), verdict: Stored, state: Processed},
		{name: "unsigned, while waiting for the first claim", rec: at(Waiting, func(r *Record) { r.SubmittedAt = time.Time{} }), fact: unsigned(processed("dpr_9", "d")), verdict: TagMismatch, state: Waiting},
		{name: "unsigned, while waiting, and nothing was sent", rec: at(Waiting), fact: unsigned(processed("dpr_9", "d")), verdict: TagMismatch, state: Waiting},
		{name: "unsigned, outcome unknown, sent with a signature", rec: at(Unconfirmed, tagSigned), fact: unsigned(processed("dpr_9", "d")), verdict: TagMismatch, state: Unconfirmed, also: func(t *testing.T, r *Record) {
			if len(r.Runs) != 1 || !r.Runs[0].Mismatch || r.RunID != "" || r.Output != nil {
				t.Errorf("%+v", r)
			}
		}},
		{name: "unsigned, outcome unknown, sent by a version that signs none", rec: at(Unconfirmed), fact: unsigned(processed("dpr_9", "d")), verdict: Stored, state: Processed},
		{name: "unsigned, under way, sent by a version that signs none", rec: at(Submitting), fact: unsigned(processed("dpr_9", "d")), verdict: Stored, state: Processed},
		{name: "unsigned, waiting, and an earlier POST was one of a version that signs none", rec: at(Waiting, func(r *Record) { r.Unanswered = 1 }), fact: unsigned(processed("dpr_9", "d")), verdict: Stored, state: Processed},
		{name: "unsigned, of an attempt that has a run", rec: at(Processed), fact: unsigned(processed("dpr_9", "d2")), verdict: TagMismatch, state: Processed},
		{name: "unsigned, of a later attempt", rec: at(Unconfirmed), fact: unsigned(attempt(2, processed("dpr_9", "d"))), verdict: TagMismatch, state: Unconfirmed},
		{name: "unsigned, and the document was refused", rec: at(Refused), fact: unsigned(processed("dpr_9", "d")), verdict: TagMismatch, state: Refused},
		{name: "signed, of an attempt that is not claimed yet", rec: at(Waiting, func(r *Record) { r.SubmittedAt = time.Time{} }), fact: processed("dpr_9", "d"), verdict: TagMismatch, state: Waiting},
		{name: "signed, by another processor", rec: at(Unconfirmed, tagSigned, func(r *Record) { r.ProcessorID = "dp_1" }), fact: by("dp_2", processed("dpr_9", "d")), verdict: TagMismatch, state: Unconfirmed},
		{name: "signed, by what is no processor's id", rec: at(Unconfirmed, tagSigned, func(r *Record) { r.ProcessorID = "dp_1" }), fact: by("true", processed("dpr_9", "d")), verdict: Stored, state: Processed},
		{name: "signed, outcome unknown", rec: at(Unconfirmed, tagSigned), fact: processed("dpr_9", "d"), verdict: Stored, state: Processed},
		{name: "signed, of an earlier attempt that had no run", rec: at(Failed, second, func(r *Record) { r.Runs[0].RunID = "" }), fact: processed("dpr_9", "d"), verdict: EarlierAttempt, state: Failed, also: func(t *testing.T, r *Record) {
			if n := r.Runs[1]; !n.ByTag || r.Output != nil {
				t.Errorf("%+v", r)
			}
		}},
		{name: "signed, of an earlier attempt, told once more", rec: at(Failed, second, func(r *Record) { r.Runs[0].State, r.Runs[0].ByTag = Processed, true }), fact: processed("dpr_0", "d"), verdict: EarlierAttempt},
		{name: "the mismatch that is noted", rec: at(Processed, mismatches(1)), fact: unsigned(processed("dpr_0", "d")), verdict: TagMismatch},
		{name: "one mismatch more than are noted", rec: at(Processed, mismatches(maxMismatches)), fact: unsigned(processed("dpr_9", "d")), verdict: TagMismatch},
		{name: "one duplicate more than are noted", rec: at(Processed, func(r *Record) {
			for i := range maxDuplicates {
				r.Runs = append(r.Runs, PastRun{Attempt: 1, RunID: fmt.Sprint(i), State: Processed, Duplicate: true})
			}
		}), fact: processed("dpr_9", "d2"), verdict: TagMismatch},
		{name: "accepted after all, though its tag was not believed", rec: at(Submitting, tagSigned, mismatches(1)), fact: Accepted{Attempt: 1, RunID: "dpr_0"}, verdict: Stored, state: Processing, also: func(t *testing.T, r *Record) {
			if len(r.Runs) != 0 {
				t.Errorf("%+v", r)
			}
		}},

		// Whether the POSTs of an attempt were signed.
		{name: "claim of a new document, signed", fact: signedClaim, verdict: Claimed, state: Submitting, also: wantSigned(true)},
		{name: "claim of one that was never sent, signed", rec: at(Waiting), fact: signedClaim, verdict: Claimed, state: Submitting, also: wantSigned(true)},
		{name: "claim of one that a version may have sent that signs none", rec: at(Waiting, func(r *Record) { r.SharedUnanswered = 1 }), fact: signedClaim, verdict: Claimed, state: Submitting, also: wantSigned(false)},
		{name: "claim once more, signed each time", rec: at(Waiting, tagSigned, func(r *Record) { r.Unanswered = 1 }), fact: signedClaim, verdict: Claimed, state: Submitting, also: wantSigned(true)},
		{name: "claim by a version that signs none", rec: at(Waiting, tagSigned), fact: claim, verdict: Claimed, state: Submitting, also: wantSigned(false)},
		{name: "the next attempt, after a signed one", rec: at(Failed, tagSigned), fact: Reprocess{Bucket: "in", Attempt: 2}, verdict: Resubmit, state: Waiting, also: wantSigned(false)},

		{name: "processed, no record, and a tag of another object", fact: RunEnded{Attempt: 1, RunID: "dpr_7", State: Processed, Output: output(`{}`), Foreign: true}, verdict: TagMismatch},
		{name: "processed, the record's run under another attempt", rec: at(Processing), fact: attempt(7, processed("dpr_1", "d1")), verdict: Stored, state: Processed, also: func(t *testing.T, r *Record) {
			if r.Attempt != 1 || r.RunID != "dpr_1" {
				t.Errorf("%+v", r)
			}
		}},

		// A later good word about an earlier run.
		{name: "processed, of the earlier attempt, and the next one is not sent", rec: at(Waiting, second, func(r *Record) { r.SubmittedAt = time.Time{} }), fact: processed("dpr_0", "d"), verdict: Stored, state: Processed, also: func(t *testing.T, r *Record) {
			if r.RunID != "dpr_0" || r.RunAttempt != 1 || r.Attempt != 2 || r.Revision != 1 || len(r.Runs) != 0 || r.OutputRunID != "dpr_0" {
				t.Errorf("%+v", r)
			}
		}},
		{name: "processed, of the earlier attempt, and the next one was claimed and given back", rec: at(Waiting, second), fact: processed("dpr_0", "d"), verdict: Stored, state: Processed},
		{name: "processed, of the earlier attempt, and the next one may have been sent", rec: at(Waiting, second, func(r *Record) { r.Unanswered = 1 }), fact: processed("dpr_0", "d"), verdict: EarlierAttempt, state: Waiting},
		{name: "processed, of the earlier attempt, and the next one came to nothing", rec: at(Failed, second), fact: processed("dpr_0", "d"), verdict: Stored, state: Processed, also: func(t *testing.T, r *Record) {
			if r.RunID != "dpr_0" || r.RunAttempt != 1 || r.Revision != 2 || len(r.Runs) != 1 || r.Runs[0].RunID != "dpr_1" || r.Runs[0].Attempt != 2 {
				t.Errorf("%+v", r)
			}
		}},
		{name: "failed, and the run before it turned out well", rec: at(Processing, late), fact: attempt(2, failed("dpr_1", "INVALID_PROCESSOR")), verdict: Stored, state: Processed, also: func(t *testing.T, r *Record) {
			if r.RunID != "dpr_0" || r.Digest != "d0" || r.Type != "EXTRACT" || r.FailureReason != "" || r.Revision != 1 || len(r.Runs) != 1 || r.Runs[0].State != Failed {
				t.Errorf("%+v", r)
			}
		}},
		{name: "processed, and the run before it turned out well", rec: at(Processing, late), fact: attempt(2, processed("dpr_1", "d1")), verdict: Stored, state: Processed, also: func(t *testing.T, r *Record) {
			if r.RunID != "dpr_1" || r.OutputRunID != "dpr_1" || r.Digest != "d1" {
				t.Errorf("%+v", r)
			}
		}},
		{name: "failed after a reprocess: the old output stays, the state says so", rec: at(Processing, func(r *Record) {
			r.Attempt, r.OutputRunID, r.Revision = 2, "dpr_0", 1
			r.Runs = []PastRun{{Attempt: 1, RunID: "dpr_0", State: Processed, At: t0}}
		}), fact: attempt(2, failed("dpr_1", "INVALID_PROCESSOR")), verdict: Stored, state: Failed},

		// PROCESSED without a result.
		{name: "processed, empty", rec: at(Processing), fact: empty(RunEnded{}), verdict: Confirm},
		{name: "processed, empty, fetched", rec: at(Processing), fact: empty(RunEnded{Fetched: true, AsOf: 5}), verdict: Later, state: Processing, also: func(t *testing.T, r *Record) {
			if r.PendingDigest != "e1" || !r.NextCheckAt.Equal(t0.Add(time.Second+recheck)) || r.RunID != "dpr_1" {
				t.Errorf("%+v", r)
			}
		}},
		{name: "processed, empty, fetched at once again", rec: at(Processing, pending("e1")), fact: empty(RunEnded{Fetched: true, AsOf: 5}), verdict: Later, state: Processing},
		{name: "processed, empty, fetched again", rec: at(Processing, pending("e1")), fact: empty(RunEnded{Fetched: true, AsOf: 5}), now: t0.Add(recheck), verdict: Stored, state: Processed},
		{name: "processed, empty, and there is a result: Extend is slow to show it", rec: at(Processed), now: t0.Add(rules.ConfirmWindow), fact: empty(RunEnded{Fetched: true, AsOf: 5}), verdict: Later, state: Processed, also: func(t *testing.T, r *Record) {
			if r.Digest != "d1" || r.OutputRunID == "" || r.PendingDigest != "e1" || r.Revision != 1 {
				t.Errorf("%+v", r)
			}
		}},
		{name: "processed, empty, and there is a result: so it stays", rec: at(Processed, pending("e1")), now: t0.Add(recheck), fact: empty(RunEnded{Fetched: true, AsOf: 5}), verdict: Stored, state: Processed},
		{name: "processed, empty before", rec: at(Processing, pending("e1")), fact: processed("dpr_1", "d1"), verdict: Stored, state: Processed, also: func(t *testing.T, r *Record) {
			if r.PendingDigest != "" || !r.PendingSince.IsZero() {
				t.Errorf("%+v", r)
			}
		}},

		// A signed content that Extend does not show.
		{name: "not shown", rec: at(Processed), fact: NotShown{"dpr_1", "d2"}, verdict: Later, state: Processed, also: func(t *testing.T, r *Record) {
			if r.PendingDigest != "d2" || r.Revision != 1 {
				t.Errorf("%+v", r)
			}
		}},
		{name: "not shown yet", rec: at(Processed, pending("d2")), fact: NotShown{"dpr_1", "d2"}, now: windowOver.Add(-time.Second), verdict: Later},
		{name: "not shown for so long: it is older", rec: at(Processed, pending("d2")), fact: NotShown{"dpr_1", "d2"}, now: windowOver, verdict: Unchanged, state: Processed, also: func(t *testing.T, r *Record) {
			if r.PendingDigest != "" || !slices.Equal(r.PastDigests, []string{"d2"}) {
				t.Errorf("%+v", r)
			}
		}},
		{name: "not shown, but it is what is stored", rec: at(Processed), fact: NotShown{"dpr_1", "d1"}, verdict: Unchanged},
		{name: "not shown, known to be older", rec: at(Processed, func(r *Record) { r.PastDigests = []string{"d0"} }), fact: NotShown{"dpr_1", "d0"}, verdict: Unchanged},
		{name: "processed, a content that was stored before", rec: at(Processed, past), fact: processed("dpr_1", "d0"), verdict: Confirm},
		{name: "processed, a content that was stored before, and Extend shows it", rec: at(Processed, past), fact: confirmed(processed("dpr_1", "d0")), verdict: Later, state: Processed},
		{name: "processed, a content that was stored before, and Extend shows it at once again", rec: at(Processed, past, pending("d0")), fact: confirmed(processed("dpr_1", "d0")), verdict: Later},
		{name: "processed, a content that was stored before, and Extend shows it for good", rec: at(Processed, past, pending("d0")), fact: confirmed(processed("dpr_1", "d0")), now: t0.Add(recheck), verdict: Stored, state: Processed, also: func(t *testing.T, r *Record) {
			if r.Digest != "d0" || !slices.Contains(r.PastDigests, "d1") {
				t.Errorf("%+v", r)
			}
		}},

		// Nothing comes back for ever.
		{name: "not accepted, of its own", rec: at(Submitting), fact: refused(true), verdict: Stored, state: Waiting, also: func(t *testing.T, r *Record) {
			if r.Failures != 1 || !r.FailingSince.Equal(t0.Add(time.Second)) || !r.NextCheckAt.Equal(t0.Add(time.Second+time.Minute)) {
				t.Errorf("%+v", r)
			}
		}},
		{name: "not accepted, of its own, once too often", rec: at(Submitting, func(r *Record) { r.Failures, r.FailingSince = 2, t0 }), fact: refused(true), verdict: Stored, state: Refused, also: func(t *testing.T, r *Record) {
			if r.FailureReason != "NOT_THE_API" || !strings.Contains(r.FailureMessage, "after 3 failures") || !strings.Contains(r.FailureMessage, "a firewall") || r.Revision != 1 {
				t.Errorf("%+v", r)
			}
		}},
		{name: "not accepted, as others are not", rec: at(Submitting, func(r *Record) { r.Failures, r.FailingSince = 2, t0 }), fact: refused(false), verdict: Stored, state: Waiting, also: func(t *testing.T, r *Record) {
			if r.Failures != 2 {
				t.Errorf("%+v", r)
			}
		}},
		{name: "not accepted, as others are not, for a day", rec: at(Submitting, func(r *Record) { r.SharedFailures, r.FailingSince, r.FailedAt = 2, t0, t0.Add(23*time.Hour) }), fact: refused(false), now: t0.Add(24 * time.Hour), verdict: Stored, state: Refused},
		{name: "not accepted, as others are not, for a day and only now and then", rec: at(Submitting, func(r *Record) { r.SharedFailures, r.FailingSince, r.FailedAt = 1, t0, t0.Add(23*time.Hour) }), fact: refused(false), now: t0.Add(24 * time.Hour), verdict: Stored, state: Waiting, also: func(t *testing.T, r *Record) {
			if r.SharedFailures != 2 || r.Failures != 0 {
				t.Errorf("%+v", r)
			}
		}},
		{name: "not accepted, as others are not, once more after a day on which all were paused", rec: at(Submitting, func(r *Record) { r.SharedFailures, r.FailingSince, r.FailedAt = 2, t0, t0 }), fact: refused(false), now: t0.Add(24 * time.Hour), verdict: Stored, state: Waiting},
		{name: "not accepted, for the account, for a year", rec: at(Submitting, func(r *Record) { r.FailingSince = t0 }), fact: NotAccepted{ClaimNumber: 1, Reason: "402"}, now: t0.Add(365 * 24 * time.Hour), verdict: Stored, state: Waiting},
		{name: "unknown, as others are", rec: at(Submitting), fact: OutcomeUnknown{ClaimNumber: 1, Shared: true}, verdict: Stored, state: Unconfirmed, also: func(t *testing.T, r *Record) {
			if r.Unanswered != 0 {
				t.Errorf("%+v", r)
			}
		}},
		{name: "not found, and so far others heard the same", rec: at(Unconfirmed, func(r *Record) { r.SharedUnanswered = 143 }), fact: NotFound{1, windowOver}, now: windowOver, verdict: Stored, state: Waiting},
		{name: "not found, and others heard the same, for as long as anything is tried", rec: at(Unconfirmed, func(r *Record) { r.SharedUnanswered = 144 }), fact: NotFound{1, windowOver}, now: windowOver, verdict: Stored, state: Refused, also: reason(NoAnswer)},
		{name: "a search fails, however long after the POST", rec: at(Unconfirmed), fact: SearchFailed{Attempt: 1, Code: "C"}, now: t0.Add(48 * time.Hour), verdict: Search, state: Unconfirmed, also: func(t *testing.T, r *Record) {
			if r.FailedSearches != 1 || !r.SearchFailingSince.Equal(t0.Add(48*time.Hour)) {
				t.Errorf("%+v", r)
			}
		}},
		{name: "a search fails, many times within a day", rec: at(Unconfirmed, searchesFail(100, 23*time.Hour)), fact: SearchFailed{Attempt: 1, Code: "C"}, now: t0.Add(24*time.Hour - 1), verdict: Search, state: Unconfirmed},
		{name: "a search fails, for a day and only now and then", rec: at(Unconfirmed, searchesFail(1, 23*time.Hour)), fact: SearchFailed{Attempt: 1, Code: "C"}, now: t0.Add(24 * time.Hour), verdict: Search, state: Unconfirmed},
		{name: "a search fails, many times and for a day", rec: at(Unconfirmed, searchesFail(2, 23*time.Hour)), fact: SearchFailed{Attempt: 1, Code: "C", Message: "m"}, now: t0.Add(24 * time.Hour), verdict: Stored, state: Refused, also: func(t *testing.T, r *Record) {
			if r.FailureReason != "C" || r.FailureMessage != "3 searches for its run in a row have failed since 2026-01-02T03:04:05Z: m" || r.FailedSearches != 0 || r.Revision != 1 {
				t.Errorf("%+v", r)
			}
		}},
		{name: "a search fails, once more after a day on which all were paused", rec: at(Unconfirmed, searchesFail(100, time.Hour)), fact: SearchFailed{Attempt: 1, Code: "C"}, now: t0.Add(24 * time.Hour), verdict: Search, state: Unconfirmed},
		{name: "a search fails, but the run became known", rec: at(Processing), fact: SearchFailed{Attempt: 1, Code: "C"}, verdict: NothingToDo},
		{name: "a search fails, of an earlier attempt", rec: at(Unconfirmed, second), fact: SearchFailed{Attempt: 1, Code: "C"}, verdict: NothingToDo},
		{name: "a search does not fail any more", rec: at(Unconfirmed, searchesFail(100, time.Hour)), fact: NotFound{1, t0}, verdict: Search, state: Unconfirmed, also: func(t *testing.T, r *Record) {
			if r.FailedSearches != 0 || !r.SearchFailingSince.IsZero() || !r.SearchFailedAt.IsZero() || !r.UnconfirmedSince.Equal(t0) {
				t.Errorf("%+v", r)
			}
		}},
		{name: "not found, once too often", rec: at(Unconfirmed, func(r *Record) { r.Unanswered = 2 }), fact: NotFound{1, windowOver}, now: windowOver, verdict: Stored, state: Refused, also: func(t *testing.T, r *Record) {
			if r.FailureReason != NoAnswer || r.Revision != 1 {
				t.Errorf("%+v", r)
			}
		}},
		{name: "accepted: the count begins anew", rec: at(Unconfirmed, func(r *Record) { r.Unanswered, r.Failures, r.FailingSince = 1, 1, t0 }), fact: Accepted{Attempt: 1, RunID: "dpr_1"}, verdict: Stored, state: Processing, also: func(t *testing.T, r *Record) {
			if r.Unanswered != 0 || r.Failures != 0 || !r.FailingSince.IsZero() {
				t.Errorf("%+v", r)
			}
		}},
		{name: "check failed", rec: at(Processing), fact: CheckFailed{"dpr_1", "500", ""}, verdict: Stored, state: Processing, also: func(t *testing.T, r *Record) {
			if r.FailedChecks != 1 || r.Reason != "500" || r.NextCheckAt != t0 {
				t.Errorf("%+v", r)
			}
		}},
		{name: "check failed, once too often", rec: at(Processing, failing(maxFailedChecks-1, minFailedChecks)), fact: CheckFailed{"dpr_1", "500", ""}, verdict: Stored, state: Failed, also: reason(NoAnswer)},
		{name: "check failed, unreadable, once too often", rec: at(Processing, failing(maxUnreadable-1, minUnreadable)), fact: CheckFailed{"dpr_1", "NaN", "s3://results/x"}, verdict: Stored, state: Failed, also: reason(UnreadableAnswer)},
		{name: "check failed, unreadable, often in a short time: deliveries asked for it", rec: at(Processing, failing(maxUnreadable-1, time.Hour)), fact: CheckFailed{"dpr_1", "NaN", "s3://results/x"}, verdict: Stored, state: Processing},
		{name: "check failed, often in a short time", rec: at(Processing, failing(maxFailedChecks-1, time.Hour)), fact: CheckFailed{"dpr_1", "500", ""}, verdict: Stored, state: Processing},
		{name: "check failed, and a delivery could not be read: the answer is another matter", rec: at(Processing, failing(maxUnreadable-1, minUnreadable), func(r *Record) { r.UnreadableLocation = "s3://results/x" }), fact: CheckFailed{"dpr_1", "503", ""}, verdict: Stored, state: Processing},
		{name: "check failed, but it has ended", rec: at(Processed), fact: CheckFailed{"dpr_1", "500", ""}, verdict: Unchanged},
		{name: "processed, once given up: the delivery is all there is", rec: at(Failed, func(r *Record) { r.FailureReason, r.Digest = UnreadableAnswer, "" }), fact: processed("dpr_1", "d1"), verdict: Stored, state: Processed},
		{name: "check started", rec: at(Processing), fact: CheckStarted{"dpr_1"}, now: t0.Add(time.Hour), verdict: Stored, state: Processing, also: nextCheck(2 * time.Hour)},

		// Not read on purpose.
		{name: "skipped", rec: at(Submitting), fact: Skip{ClaimNumber: 1, Code: "SAME_CONTENT", DuplicateOf: "doc_x"}, verdict: Stored, state: Skipped, also: func(t *testing.T, r *Record) {
			if r.FailureReason != "SAME_CONTENT" || r.DuplicateOf != "doc_x" || r.Revision != 0 {
				t.Errorf("%+v", r)
			}
		}},
		{name: "claim of a skipped one", rec: at(Skipped), fact: claim, verdict: NothingToDo},
		{name: "claim of a skipped one, uploaded again", rec: at(Skipped), fact: again, verdict: Claimed, state: Submitting, also: func(t *testing.T, r *Record) {
			if r.Attempt != 1 || r.DuplicateOf != "" || r.FailureReason != "" || r.Revision != 0 || len(r.Runs) != 0 {
				t.Errorf("%+v", r)
			}
		}},
		{name: "a copy", rec: at(Processing), fact: Copied{"0B", "doc_y"}, verdict: Stored, state: Processing, also: func(t *testing.T, r *Record) {
			if r.Copies != 1 || r.Sequence != "0B" || r.LastCopy != "doc_y" {
				t.Errorf("%+v", r)
			}
		}},
		{name: "a copy, again", rec: at(Processing, func(r *Record) { r.Copies, r.Sequence, r.LastCopy = 1, "0B", "doc_y" }), fact: Copied{"0B", "doc_y"}, verdict: Unchanged},
		{name: "a copy that was made before it", rec: at(Processing), fact: Copied{"09", "doc_y"}, verdict: Stored, state: Processing, also: func(t *testing.T, r *Record) {
			if r.Copies != 0 || r.Sequence != "0A" || r.LastCopy != "doc_y" {
				t.Errorf("%+v", r)
			}
		}},
		{name: "the original of a skipped one is lost", rec: at(Skipped), fact: OriginalLost{"doc_x"}, verdict: Resubmit, state: Waiting, also: func(t *testing.T, r *Record) {
			if r.Attempt != 2 || r.DuplicateOf != "" {
				t.Errorf("%+v", r)
			}
		}},
		{name: "the original of another one is lost", rec: at(Skipped), fact: OriginalLost{"doc_y"}, verdict: Unchanged},
		{name: "the original of one that is read is lost", rec: at(Processed, func(r *Record) { r.DuplicateOf = "doc_x" }), fact: OriginalLost{"doc_x"}, verdict: Unchanged},
		{name: "reprocess a skipped one", rec: at(Skipped), fact: Reprocess{Bucket: "in", Attempt: 2}, verdict: Resubmit, state: Waiting, also: func(t *testing.T, r *Record) {
			if r.DuplicateOf != "" {
				t.Errorf("%+v", r)
			}
		}},
		{name: "uploaded again after a failure", rec: at(Failed), fact: again, verdict: Claimed, state: Submitting, also: func(t *testing.T, r *Record) {
			if r.Attempt != 2 || r.ClaimNumber != 2 || len(r.Runs) != 1 || r.Sequence != "0B" {
				t.Errorf("%+v", r)
			}
		}},
		{name: "uploaded again after a refusal", rec: at(Refused), fact: again, verdict: Claimed, state: Submitting},
		{name: "uploaded again after a cancellation", rec: at(Cancelled), fact: again, verdict: Claimed, state: Submitting},
		{name: "uploaded again after a failure that left an old output", rec: at(Failed, func(r *Record) { r.OutputRunID = "dpr_0" }), fact: again, verdict: NothingToDo, state: Failed},
		{name: "uploaded again while it is read", rec: at(Processing), fact: again, verdict: NothingToDo, state: Processing, also: func(t *testing.T, r *Record) {
			if r.Copies != 1 {
				t.Errorf("%+v", r)
			}
		}},
		{name: "the first upload event, after a delivery", rec: at(Failed, func(r *Record) { r.Sequence = "" }), fact: claim, verdict: NothingToDo, state: Failed},

		{name: "failed for good", rec: at(Processing), fact: failed("dpr_1", "INVALID_PROCESSOR"), verdict: Stored, state: Failed, also: func(t *testing.T, r *Record) {
			if r.FailureReason != "INVALID_PROCESSOR" || r.Revision != 1 || r.OutputRunID != "" {
				t.Errorf("%+v", r)
			}
		}},
		{name: "failed, for a reason that is not known", rec: at(Processing), fact: failed("dpr_1", "NEW_REASON"), verdict: Stored, state: Failed},
		{name: "failed, transient", rec: at(Processing), fact: failed("dpr_1", "INTERNAL_ERROR"), verdict: Resubmit, state: Waiting, also: func(t *testing.T, r *Record) {
			want := []PastRun{{Attempt: 1, RunID: "dpr_1", State: Failed, FailureReason: "INTERNAL_ERROR", At: t0.Add(time.Second)}}
			if d := cmp.Diff(want, r.Runs); d != "" || r.Attempt != 2 || r.RunID != "" || r.Revision != 0 || r.FailureReason != "" {
				t.Errorf("%+v %s", r, d)
			}
		}},
		{name: "failed, transient, delivered twice: the message may have been lost", rec: at(Waiting, second), fact: failed("dpr_0", "INTERNAL_ERROR"), verdict: Resubmit},
		{name: "failed, transient, but the last attempt", rec: at(Processing, second), fact: attempt(2, failed("dpr_1", "INTERNAL_ERROR")), verdict: Stored, state: Failed},
		{name: "failed, once processed", rec: at(Processed), fact: failed("dpr_1", "INTERNAL_ERROR"), verdict: Confirm},
		// The retry rule is for attempts that were under way: one that had ended is never paid for twice.
		{name: "failed, transient, once processed, confirmed", rec: at(Processed), now: t0.Add(rules.ConfirmWindow), fact: confirmed(failed("dpr_1", "INTERNAL_ERROR")), verdict: Stored, state: Failed, also: firstAttempt(2)},
		{name: "failed, but processed just now", rec: at(Processed), fact: confirmed(failed("dpr_1", "INTERNAL_ERROR")), verdict: Later},
		{name: "another content, but reviewed just now", rec: at(Processed, func(r *Record) { r.Reviewed = true }), fact: confirmed(processed("dpr_1", "d2")), verdict: Later},
		{name: "another content, but edited just now", rec: at(Processed, func(r *Record) { r.Edited = true }), fact: confirmed(processed("dpr_1", "d2")), verdict: Later},
		{name: "another content, reviewed long ago", rec: at(Processed, func(r *Record) { r.Reviewed = true }), now: t0.Add(rules.ConfirmWindow), fact: confirmed(processed("dpr_1", "d2")), verdict: Stored, state: Processed},
		{name: "failed, transient, once failed for good, confirmed", rec: at(Failed), fact: confirmed(failed("dpr_1", "INTERNAL_ERROR")), verdict: Stored, state: Failed, also: firstAttempt(2)},
		{name: "failed, transient, once cancelled, confirmed", rec: at(Cancelled), fact: confirmed(failed("dpr_1", "INTERNAL_ERROR")), verdict: Stored, state: Failed, also: firstAttempt(2)},
		{name: "failed, transient, once gone", rec: at(Cancelled, func(r *Record) { r.FailureReason, r.Digest = RunNotFound, "" }), fact: failed("dpr_1", "INTERNAL_ERROR"), verdict: Stored, state: Failed, also: firstAttempt(2)},
		{name: "failed, transient, once refused", rec: at(Refused), fact: failed("dpr_1", "INTERNAL_ERROR"), verdict: Stored, state: Failed, also: firstAttempt(2)},
		{name: "cancelled", rec: at(Processing), fact: RunEnded{Source: src, Attempt: 1, RunID: "dpr_1", State: Cancelled, Digest: "c1", Fetched: true, AsOf: 5}, verdict: Stored, state: Cancelled},
		{name: "processed, once cancelled", rec: at(Cancelled), fact: processed("dpr_1", "d1"), verdict: Confirm},

		// What reconcile learns.
		{name: "gone, but young: the key may be of another workspace", rec: at(Processing), fact: RunMissing{RunID: "dpr_1"}, verdict: Stored, state: Processing, also: nextCheck(time.Second + rules.ReconcileAfter)},
		{name: "gone, said for the first time", rec: at(Processing), fact: RunMissing{RunID: "dpr_1"}, now: t0.Add(maxCheckInterval), verdict: Stored, state: Processing, also: func(t *testing.T, r *Record) {
			if !r.MissingSince.Equal(t0.Add(maxCheckInterval)) {
				t.Errorf("%+v", r)
			}
		}},
		{name: "gone, said twice at once", rec: at(Processing, missing(maxCheckInterval)), fact: RunMissing{RunID: "dpr_1"}, now: t0.Add(maxCheckInterval + time.Second), verdict: Stored, state: Processing},
		{name: "gone", rec: at(Processing, missing(maxCheckInterval)), fact: RunMissing{RunID: "dpr_1"}, now: t0.Add(maxCheckInterval + rules.ReconcileAfter), verdict: Stored, state: Cancelled, also: func(t *testing.T, r *Record) {
			if r.FailureReason != RunNotFound || r.Revision != 1 {
				t.Errorf("%+v", r)
			}
		}},
		{name: "gone, but it has ended", rec: at(Processed), fact: RunMissing{RunID: "dpr_1"}, verdict: Unchanged},
		{name: "processed, once gone: the delivery is all there is", rec: at(Cancelled, func(r *Record) { r.FailureReason, r.Digest = RunNotFound, "" }), fact: processed("dpr_1", "d1"), verdict: Stored, state: Processed},
		{name: "processed, once failed for a reason of Extend's that is spelled as ours", rec: at(Failed, func(r *Record) { r.FailureReason = NoAnswer }), fact: processed("dpr_1", "d9"), verdict: Confirm},
		{name: "check started, young", rec: at(Processing), fact: CheckStarted{RunID: "dpr_1"}, verdict: Stored, state: Processing, also: nextCheck(time.Second + rules.ReconcileAfter)},
		{name: "check started, a week old", rec: at(Processing), fact: CheckStarted{RunID: "dpr_1"}, now: t0.Add(7 * 24 * time.Hour), verdict: Stored, state: Processing, also: nextCheck(7*24*time.Hour + maxCheckInterval)},
		{name: "still running", rec: at(Processing), fact: StillRunning{RunID: "dpr_1"}, verdict: Unchanged},
		{name: "still running, after failed checks", rec: at(Processing, missing(0), func(r *Record) { r.FailedChecks, r.Reason = 3, "500" }), fact: StillRunning{RunID: "dpr_1"}, verdict: Stored, state: Processing, also: func(t *testing.T, r *Record) {
			if r.FailedChecks != 0 || r.Reason != "" || !r.MissingSince.IsZero() {
				t.Errorf("%+v", r)
			}
		}},
		{name: "still running, but it has ended", rec: at(Processed), fact: StillRunning{RunID: "dpr_1"}, verdict: Unchanged},
		{name: "requeued, unconfirmed", rec: at(Unconfirmed), fact: Requeued{}, verdict: Stored, state: Unconfirmed, also: nextCheck(time.Second + rules.ReconcileAfter)},
		{name: "requeued, its lease over", rec: at(Submitting), fact: Requeued{}, now: leaseOver, verdict: Stored, state: Submitting, also: nextCheck(rules.Lease + rules.ReconcileAfter)},
		{name: "requeued, waiting", rec: at(Waiting), fact: Requeued{}, verdict: Stored, state: Waiting, also: nextCheck(time.Second + rules.ReconcileAfter)},
		{name: "requeued, an hour old", rec: at(Waiting), fact: Requeued{}, now: t0.Add(time.Hour), verdict: Stored, state: Waiting, also: nextCheck(2 * time.Hour)},
		{name: "requeued, not submitted yet", rec: at(Waiting, func(r *Record) { r.SubmittedAt = time.Time{} }), fact: Requeued{}, now: t0.Add(time.Hour), verdict: Stored, state: Waiting, also: nextCheck(time.Hour + rules.ReconcileAfter)},
		{name: "requeued, but a run is known", rec: at(Processing), fact: Requeued{}, verdict: Unchanged},

		// Reprocess.
		{name: "reprocess", rec: at(Processed), fact: Reprocess{Bucket: "in", Attempt: 2, Reason: "asked for"}, verdict: Resubmit, state: Waiting, also: func(t *testing.T, r *Record) {
			if r.Attempt != 2 || r.RunID != "" || r.OutputRunID != "dpr_1" || r.Revision != 1 || len(r.Runs) != 1 {
				t.Errorf("%+v", r)
			}
		}},
		{name: "reprocess, and nothing is left that was said of the earlier run", rec: at(Processed, func(r *Record) { r.Type, r.Reviewed, r.Edited = "EXTRACT", true, true }), fact: Reprocess{Bucket: "in", Attempt: 2}, verdict: Resubmit, state: Waiting, also: func(t *testing.T, r *Record) {
			if r.Type != "" || r.Reviewed || r.Edited {
				t.Errorf("%+v", r)
			}
		}},
		{name: "cancelled, as Extend tells it", rec: at(Processing), fact: func() RunEnded { f := failed("dpr_1", ""); f.State, f.Type = Cancelled, "EXTRACT"; return f }(), verdict: Stored, state: Cancelled, also: func(t *testing.T, r *Record) {
			if r.Type != "EXTRACT" {
				t.Errorf("%+v", r)
			}
		}},
		{name: "reprocess, refused before", rec: at(Refused), fact: Reprocess{Bucket: "in", Attempt: 2}, verdict: Resubmit, state: Waiting},
		{name: "reprocess, for the second time", rec: at(Failed, second), fact: Reprocess{Bucket: "in", Attempt: 2}, verdict: Unchanged},
		{name: "reprocess, but an attempt is left out", rec: at(Failed), fact: Reprocess{Bucket: "in", Attempt: 3}, verdict: Unchanged},
		{name: "reprocess, but it is under way", rec: at(Processing), fact: Reprocess{Bucket: "in", Attempt: 2}, verdict: Unchanged},
		{name: "reprocess, but there is no object", rec: at(Processed, func(r *Record) { r.Bucket = "" }), fact: Reprocess{Bucket: "in", Attempt: 2}, verdict: Unchanged},

		// What persons ask for beside.
		{name: "withdraw", rec: at(Waiting), fact: Withdraw{Attempt: 1, Reason: "not ours"}, verdict: Stored, state: Cancelled, also: func(t *testing.T, r *Record) {
			if r.FailureReason != Withdrawn || r.FailureMessage != "not ours" || r.Revision != 1 || !r.NextCheckAt.IsZero() {
				t.Errorf("%+v", r)
			}
		}},
		{name: "withdraw the second attempt, though the first turned out well", rec: at(Waiting, late), fact: Withdraw{Attempt: 2}, verdict: Stored, state: Processed},
		{name: "withdraw, but it may have been sent", rec: at(Unconfirmed), fact: Withdraw{Attempt: 1}, verdict: Unchanged},
		{name: "withdraw, but it is being sent", rec: at(Submitting), fact: Withdraw{Attempt: 1}, now: leaseOver, verdict: Unchanged},
		{name: "withdraw, but it runs", rec: at(Processing), fact: Withdraw{Attempt: 1}, verdict: Unchanged},
		{name: "withdraw, but the next attempt has begun", rec: at(Waiting, second), fact: Withdraw{Attempt: 1}, verdict: Unchanged},
		{name: "withdraw, for the second time", rec: at(Cancelled), fact: Withdraw{Attempt: 1}, verdict: Unchanged},
		{name: "announce", rec: at(Failed), fact: Announce{Revision: 1}, verdict: Stored, state: Failed, also: func(t *testing.T, r *Record) {
			if r.Revision != 2 || r.RunID != "dpr_1" {
				t.Errorf("%+v", r)
			}
		}},
		{name: "announce, for the second time", rec: at(Failed, func(r *Record) { r.Revision = 2 }), fact: Announce{Revision: 1}, verdict: Unchanged},
		{name: "announce, but it is under way", rec: at(Waiting, second), fact: Announce{Revision: 1}, verdict: Unchanged},
		{name: "announce, but nobody is told of it", rec: at(Skipped), fact: Announce{Revision: 0}, verdict: Unchanged},

		// Workflows.
		{name: "a person is asked", rec: at(Processing, ofWorkflow), fact: workflowRun(NeedsReview, "n1"), verdict: Stored, state: NeedsReview, also: func(t *testing.T, r *Record) {
			if r.Revision != 1 || r.Type != "WORKFLOW" || r.OutputRunID != "" || !r.FinishedAt.Equal(t0.Add(time.Second)) {
				t.Errorf("%+v", r)
			}
			nextCheck(time.Second+time.Hour)(t, r)
		}},
		{name: "a person is asked before the POST is answered", rec: at(Submitting, ofWorkflow, tagSigned), fact: workflowRun(NeedsReview, "n1"), verdict: Stored, state: NeedsReview},
		{name: "a person is asked, whose POST had no answer", rec: at(Unconfirmed, ofWorkflow, tagSigned), fact: workflowRun(NeedsReview, "n1"), verdict: Stored, state: NeedsReview},
		{name: "a person is asked about a run that is not signed", rec: at(Submitting, ofWorkflow, tagSigned), fact: unsigned(workflowRun(NeedsReview, "n1")), verdict: TagMismatch, state: Submitting},
		{name: "a person is asked about another workflow's run", rec: at(Submitting, ofWorkflow, tagSigned), fact: by("workflow_2", workflowRun(NeedsReview, "n1")), verdict: TagMismatch, state: Submitting},
		{name: "a workflow's run has the tag of a processor's document", rec: at(Submitting, tagSigned, func(r *Record) { r.ProcessorID = "dp_1" }), fact: workflowRun(Processed, "d1"), verdict: TagMismatch, state: Submitting},
		{name: "a person is asked about a second run", rec: at(Processing, ofWorkflow), fact: func() Fact { f := workflowRun(NeedsReview, "n1"); f.RunID = "workflow_run_2"; return f }(), verdict: DuplicateRun, state: Processing},
		{name: "a person is asked about a second run of an earlier attempt", rec: at(Processing, ofWorkflow, second), fact: func() Fact { f := workflowRun(NeedsReview, "n1"); f.RunID = "workflow_run_0"; return f }(), verdict: DuplicateRun, state: Processing},
		{name: "a person is asked, no record", fact: workflowRun(NeedsReview, "n1"), verdict: Stored, state: NeedsReview, also: nextCheck(time.Second + time.Hour)},
		{name: "a person is asked, no record and no signature", fact: unsigned(workflowRun(NeedsReview, "n1")), verdict: TagMismatch},
		{name: "a person is asked, again", rec: at(NeedsReview, ofWorkflow), fact: workflowRun(NeedsReview, "n2"), verdict: Unchanged},
		{name: "a person is asked still, after questions in vain", rec: at(NeedsReview, ofWorkflow, failing(3, time.Hour), missing(0)), fact: confirmed(workflowRun(NeedsReview, "n1")), verdict: Stored, state: NeedsReview, also: func(t *testing.T, r *Record) {
			if r.FailedChecks != 0 || !r.MissingSince.IsZero() || r.Revision != 1 {
				t.Errorf("%+v", r)
			}
		}},
		{name: "a person was asked: processed since", rec: at(Processed, ofWorkflow), fact: workflowRun(NeedsReview, "n1"), verdict: Unchanged},
		{name: "a person was asked: rejected since", rec: at(Rejected, ofWorkflow), fact: workflowRun(NeedsReview, "n1"), verdict: Unchanged},
		{name: "a person was asked: Extend shows it though it is rejected", rec: at(Rejected, ofWorkflow), fact: confirmed(workflowRun(NeedsReview, "n1")), verdict: Unchanged},
		{name: "a person is asked about a run that was given up", rec: at(Failed, ofWorkflow, func(r *Record) { r.FailureReason, r.Digest = NoAnswer, "" }), fact: workflowRun(NeedsReview, "n1"), verdict: Stored, state: NeedsReview},
		{name: "approved", rec: at(NeedsReview, ofWorkflow), fact: workflowRun(Processed, "d1"), verdict: Stored, state: Processed, also: func(t *testing.T, r *Record) {
			if r.Revision != 2 || r.OutputRunID != "workflow_run_1" || !r.NextCheckAt.IsZero() {
				t.Errorf("%+v", r)
			}
		}},
		{name: "rejected", rec: at(NeedsReview, ofWorkflow), fact: because("REJECTED", workflowRun(Rejected, "r1")), verdict: Stored, state: Rejected, also: func(t *testing.T, r *Record) {
			if r.Revision != 2 || r.FailureReason != "REJECTED" || !r.NextCheckAt.IsZero() {
				t.Errorf("%+v", r)
			}
		}},
		{name: "rejected before the question is heard", rec: at(Processing, ofWorkflow), fact: workflowRun(Rejected, "r1"), verdict: Stored, state: Rejected},
		{name: "rejected, again", rec: at(Rejected, ofWorkflow), fact: workflowRun(Rejected, "r1"), verdict: Unchanged},
		{name: "rejected, and approved later", rec: at(Rejected, ofWorkflow), fact: workflowRun(Processed, "d1"), verdict: Confirm},
		{name: "rejected, and approved later, confirmed", rec: at(Rejected, ofWorkflow), fact: confirmed(workflowRun(Processed, "d1")), verdict: Stored, state: Processed},
		{name: "approved, and rejected later, confirmed", rec: at(Processed, ofWorkflow), fact: confirmed(workflowRun(Rejected, "r1")), verdict: Later},
		{name: "approved, and rejected later, confirmed after the window", rec: at(Processed, ofWorkflow), fact: confirmed(workflowRun(Rejected, "r1")), now: windowOver, verdict: Stored, state: Rejected},
		{name: "claim while a person is asked", rec: at(NeedsReview, ofWorkflow), fact: claim, verdict: NothingToDo},
		{name: "claim by a later creation of what a person has rejected", rec: at(Rejected, ofWorkflow), fact: again, verdict: Claimed, state: Submitting},
		{name: "requeued while a person is asked", rec: at(NeedsReview, ofWorkflow), fact: Requeued{}, verdict: Unchanged},
		{name: "reprocess while a person is asked", rec: at(NeedsReview, ofWorkflow), fact: Reprocess{Bucket: "in", Attempt: 2}, verdict: Unchanged},
		{name: "reprocess, rejected before", rec: at(Rejected, ofWorkflow), fact: Reprocess{Bucket: "in", Attempt: 2}, verdict: Resubmit, state: Waiting},
		{name: "the first check while a person is asked", rec: at(NeedsReview, ofWorkflow), fact: CheckStarted{RunID: "workflow_run_1"}, verdict: Stored, state: NeedsReview, also: nextCheck(time.Second + time.Hour)},
		{name: "a check after days of review", rec: at(NeedsReview, ofWorkflow), fact: CheckStarted{RunID: "workflow_run_1"}, now: t0.Add(72 * time.Hour), verdict: Stored, state: NeedsReview, also: nextCheck(78 * time.Hour)},
		{name: "processing goes on after the review", rec: at(NeedsReview, ofWorkflow), fact: StillRunning{RunID: "workflow_run_1"}, verdict: Unchanged},
		{name: "deleted while a person is asked, heard once", rec: at(NeedsReview, ofWorkflow), fact: RunMissing{RunID: "workflow_run_1"}, now: t0.Add(7 * time.Hour), verdict: Stored, state: NeedsReview},
		{name: "deleted while a person is asked, heard twice", rec: at(NeedsReview, ofWorkflow, missing(time.Hour)), fact: RunMissing{RunID: "workflow_run_1"}, now: t0.Add(7 * time.Hour), verdict: Stored, state: Cancelled},
		{name: "no answer for a week of review", rec: at(NeedsReview, ofWorkflow, failing(29, 7*24*time.Hour)), fact: CheckFailed{RunID: "workflow_run_1", Reason: "500"}, verdict: Stored, state: Failed},
		{name: "a step's run", rec: at(Processing, ofWorkflow), fact: by("dp_1", processed("dpr_9", "d1")), verdict: Unchanged},
		{name: "a step's run, while a person is asked", rec: at(NeedsReview, ofWorkflow), fact: by("dp_1", processed("dpr_9", "d1")), verdict: Unchanged},
		{name: "a step's run before the POST is answered", rec: at(Submitting, ofWorkflow), fact: by("dp_1", processed("dpr_9", "d1")), verdict: Unchanged},
		{name: "a step's run of an earlier attempt", rec: at(Processing, func(r *Record) {
			second(r)
			r.Runs[0].RunID = "workflow_run_0"
		}), fact: by("dp_1", processed("dpr_9", "d1")), verdict: Unchanged},
		{name: "a processor's run of an attempt before there was a workflow", rec: at(Processing, ofWorkflow, second), fact: processed("dpr_0", "d1"), verdict: EarlierAttempt, state: Processing},
		{name: "a workflow fails before anything is read", rec: at(Processing, ofWorkflow), fact: because("DOCUMENT_PROCESSOR_ERROR", workflowRun(Failed, "f1")), verdict: Resubmit, state: Waiting},
		{name: "a workflow fails after something is read", rec: at(Processing, ofWorkflow), fact: partial(because("DOCUMENT_PROCESSOR_ERROR", workflowRun(Failed, "f1"))), verdict: Stored, state: Failed, also: firstAttempt(1)},
		{name: "a workflow fails for good", rec: at(Processing, ofWorkflow), fact: because("INVALID_WORKFLOW", workflowRun(Failed, "f1")), verdict: Stored, state: Failed, also: firstAttempt(1)},

		// No record.
		{name: "accepted, no record", fact: Accepted{Attempt: 1, RunID: "dpr_1"}, verdict: Unchanged},
		{name: "still running, no record", fact: StillRunning{RunID: "dpr_1"}, verdict: Unchanged},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			now := tt.now
			if now.IsZero() {
				now = t0.Add(time.Second)
			}
			var before Record
			if tt.rec != nil {
				before = *tt.rec
				before.Runs = slices.Clone(tt.rec.Runs)
			}
			d, err := rules.Decide(tt.rec, tt.fact, now)
			if err != nil {
				t.Fatal(err)
			}
			if d.Verdict != tt.verdict || d.Written != (tt.state != "") {
				t.Fatalf("verdict %q, written %v; want %q, %v", d.Verdict, d.Written, tt.verdict, tt.state != "")
			}
			if tt.rec != nil {
				if diff := cmp.Diff(before, *tt.rec, cmpopts.IgnoreUnexported(Record{})); diff != "" {
					t.Fatalf("Decide changed its argument:\n%s", diff)
				}
			}
			if !d.Written {
				return
			}
			if d.Record.State != tt.state {
				t.Errorf("state %s, want %s", d.Record.State, tt.state)
			}
			if d.Record.Version != before.Version+1 {
				t.Errorf("version %d after %d", d.Record.Version, before.Version)
			}
			if err := d.Record.check(); err != nil {
				t.Errorf("it writes what it can't read: %v", err)
			}
			if tt.also != nil {
				tt.also(t, d.Record)
			}
		})
	}
}

func TestDecideRefusesWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	for want, rec := range map[string]*Record{
		`state "ARCHIVED" is unknown`: at("ARCHIVED"),
		"state is missing":            at(""),
		"documentId is missing":       at(Waiting, func(r *Record) { r.DocumentID = "" }),
		"attempt is missing":          at(Waiting, func(r *Record) { r.Attempt = 0 }),
		"recordVersion is missing":    at(Waiting, func(r *Record) { r.Version = 0 }),
		"nextCheckAt is missing":      at(Waiting, func(r *Record) { r.NextCheckAt = time.Time{} }),
		"leaseUntil is missing":       at(Submitting, func(r *Record) { r.LeaseUntil = time.Time{} }),
		"unconfirmedSince is missing": at(Unconfirmed, func(r *Record) { r.UnconfirmedSince = time.Time{} }),
		"runId is missing":            at(Processing, func(r *Record) { r.RunID = "" }),
	} {
		d, err := rules.Decide(rec, claim, t0)
		if !errors.Is(err, ErrRecord) || !strings.Contains(err.Error(), want) || d.Written {
			t.Errorf("%v, %v; want ErrRecord with %q", d, err, want)
		}
	}
}

// What Extend says can be of any length, and an item can not.
func TestLongTextsAndManyRunsFit(t *testing.T) {
	t.Parallel()
	rec := at(Processing)
	long := strings.Repeat("é", 500_000)
	for i := range 100 {
		o := failed("dpr_1", "INTERNAL_ERROR")
		o.FailureMessage, o.Attempt, o.RunID = long, rec.Attempt, "dpr_1"
		d, err := Rules{MaxAttempts: 1000}.Decide(rec, o, t0.Add(time.Duration(i)*time.Hour))
		if err != nil || d.Verdict != Resubmit {
			t.Fatalf("%v, %v", d.Verdict, err)
		}
		rec = d.Record
		rec.State, rec.RunID = Processing, "dpr_1"
	}
	o := failed("dpr_1", "INVALID")
	o.FailureMessage, o.Attempt = long, rec.Attempt
	d, err := rules.Decide(rec, o, t0)
	if err != nil {
		t.Fatal(err)
	}
	item, err := json.Marshal(d.Record)
	if err != nil || len(item) > 25_000 {
		t.Errorf("a record of %d bytes beside its output, %v", len(item), err)
	}
	if len(d.Record.Runs) != maxRuns || d.Record.Runs[0].Attempt != 1 || d.Record.Runs[maxRuns-1].Attempt != 100 {
		t.Errorf("%d runs", len(d.Record.Runs))
	}
}

func TestTransient(t *testing.T) {
	t.Parallel()
	for reason, want := range map[string]bool{
		"DOCUMENT_PROCESSOR_ERROR": true, "INTERNAL_ERROR": true, "PARSING_ERROR": true, "PRE_PROCESSING_FAILURE": true, "POST_PROCESSING_FAILURE": true, "FAILED_TO_PROCESS_FILE": true,
		"ABORTED": false, "INVALID_WORKFLOW": false, "REJECTED": false, "INVALID_PROCESSOR": false, "INVALID_CONFIGURATION": false, "OUT_OF_CREDITS": false, "": false, "SOMETHING_NEW": false,
	} {
		if Transient(reason) != want {
			t.Errorf("Transient(%q) = %v", reason, !want)
		}
	}
}
