package ledger

import (
	"time"

	"extend-intake/shared/document"
)

// Fact is something that happened to a document.
type Fact interface{ fact() }

// Claim: somebody wants to submit the document.
type Claim struct {
	Source      document.Source
	Route       string
	ProcessorID string
	Version     string
	// Begun: whoever claims says that the document has been begun. It is claimed only if there
	// is a record of it.
	Begun bool
	// TagSigned: the POST of this claim carries a signed tag.
	TagSigned bool
	// By is unique to this claim. [Ledger.Apply] sets it: a claimer whose write was made
	// but not answered recognizes its own claim by it.
	By string
}

// Accepted: Extend answered the POST, or a search found the run.
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
	// Failure is set where the failure may be the document's own.
	Failure *Failure
}

// Failure is a failure that may be a document's own, and what the document says when it
// was one too many.
type Failure struct {
	// Own: no other document has heard the same lately.
	Own           bool
	Code, Message string
}

// OutcomeUnknown: the POST of this claim may have made a run, or may not.
type OutcomeUnknown struct {
	ClaimNumber int64
	// Shared: other documents have heard the same lately. It does not count against this one.
	Shared bool
}

// Refusal: Extend refused the POST of this claim for good.
type Refusal struct {
	ClaimNumber              int64
	Code, Message, RequestID string
}

// NotFound: a search that began at SearchedAt found no run.
type NotFound struct {
	Attempt    int
	SearchedAt time.Time
}

// SearchFailed: a search for the run of the attempt's last POST could not be made, or had
// no usable answer. Code and Message are what the document says when it was one too many.
type SearchFailed struct {
	Attempt       int
	Code, Message string
}

// RunEnded: a run has ended, or it has come to a person's review. It comes from a verified
// delivery or from our own GET.
type RunEnded struct {
	// Source is what the run's tag says; empty for a run without one, and where the tag
	// names another object than its document's.
	Source document.Source
	// Foreign: the tag is one of ours, but can't be held against the object that it names.
	// Only a record that is there already can be the run's.
	Foreign bool
	// Signed: the tag, or the token in the name of the run's file, has the stack's own signature
	// for this attempt. Without it, only a run that the ledger knows is believed, and one of an
	// attempt that was sent without a signature.
	Signed        bool
	Attempt       int
	RunID, RunURL string
	ProcessorID   string
	// State is Processed, Failed, Cancelled or Rejected; or NeedsReview, and then it goes on.
	State                         State
	Type                          string
	Reviewed, Edited              bool
	FailureReason, FailureMessage string
	Credits                       string
	Output                        *Output // set, or OutputLocation is, when Processed
	OutputLocation                string
	Digest                        string
	// Delivery is the digest of the delivery that told of it, where that had not the content itself.
	Delivery string
	// Empty: it is PROCESSED, and says no result.
	Empty bool
	// Partial: it is FAILED, and some of the workflow's processors have a result, which another
	// run would pay for again.
	Partial bool
	// Fetched says that we asked Extend for the run, after the record had the version
	// AsOf (0: there was none). Else it came by itself. A run has no time of its last
	// change, so a content replaces another only if Extend was asked after the other
	// was stored.
	Fetched bool
	AsOf    int64
}

// RunMissing: Extend itself says that it knows no such run (any more).
type RunMissing struct{ RunID string }

// StillRunning: Extend was asked, and the run is still under way.
type StillRunning struct{ RunID string }

// CheckStarted: somebody is about to ask Extend for the run.
type CheckStarted struct{ RunID string }

// CheckFailed: Extend gave no usable answer about the run. Location is where an answer
// that can't be read is kept. Without a RunID it is a delivery that can't be read: Extend is
// to be asked for the run.
type CheckFailed struct{ RunID, Reason, Location string }

// NotShown: Extend signed a content of the run, of this digest, that it does not show
// when it is asked for the run. Where the content is not in the delivery, the digest is the
// delivery's own.
type NotShown struct{ RunID, Digest string }

// Copied: the same bytes were created under the same key once more, as a document that is
// not read.
type Copied struct{ Sequencer, DocumentID string }

// OriginalLost: the document of which this one is a copy came to nothing because its object
// can't be read any more. [Ledger.Apply] sees to it.
type OriginalLost struct{ DocumentID string }

// Skip: the object of this claim is not read, on purpose.
type Skip struct {
	ClaimNumber   int64
	Code, Message string
	DuplicateOf   string // the document that has the same content
}

// Reprocess: somebody wants the document read once more, by this attempt. The number
// makes the same wish twice one attempt.
type Reprocess struct {
	Attempt int
	Reason  string
	// Bucket is the one whose objects may be read; a document of another is left alone.
	Bucket string
}

// Withdraw: somebody does not want the document sent any more. It counts while this attempt is
// WAITING, so that nothing has been paid for it: else it is too late, or may be.
type Withdraw struct {
	Attempt int
	Reason  string
}

// Announce: somebody wants the document announced once more. The revision is the one that it
// has: it makes the same wish twice one announcement.
type Announce struct{ Revision int }

// Requeued: the document was sent to the upload queue once more.
type Requeued struct{}

func (Claim) fact()          {}
func (Accepted) fact()       {}
func (NotAccepted) fact()    {}
func (OutcomeUnknown) fact() {}
func (Refusal) fact()        {}
func (NotFound) fact()       {}
func (SearchFailed) fact()   {}
func (RunEnded) fact()       {}
func (RunMissing) fact()     {}
func (StillRunning) fact()   {}
func (Reprocess) fact()      {}
func (Withdraw) fact()       {}
func (Announce) fact()       {}
func (Requeued) fact()       {}
func (CheckStarted) fact()   {}
func (CheckFailed) fact()    {}
func (NotShown) fact()       {}
func (Skip) fact()           {}
func (Copied) fact()         {}
func (OriginalLost) fact()   {}

// Verdict says what a decision means for whoever reported the fact.
type Verdict string

const (
	// Claimed: the claim is granted. POST now, once.
	Claimed Verdict = "claimed"
	// Leased: another claim has the lease, until LeaseUntil at most.
	Leased Verdict = "leased"
	// Search: an earlier POST may have made a run. Search for it.
	Search Verdict = "search"
	// NothingToDo: the run is known, or the document has ended.
	NothingToDo Verdict = "nothing to do"
	// NoRecord: a document that is said to have been begun has no record.
	NoRecord Verdict = "no record"
	// Stored: the fact has changed the record.
	Stored Verdict = "stored"
	// Unchanged: the ledger knew the fact, or something newer.
	Unchanged Verdict = "unchanged"
	// Confirm: GET the run now; the ledger can't tell which content is newer.
	Confirm Verdict = "confirm"
	// EarlierAttempt: the run is one of an earlier attempt, which changes nothing that a consumer sees.
	EarlierAttempt Verdict = "earlier"
	// DuplicateRun: a second run for one attempt. It is in Runs now; it must never happen.
	DuplicateRun Verdict = "duplicate run"
	// Later: what Extend says is not final yet. It is asked again.
	Later Verdict = "later"
	// TagMismatch: the run's tag contradicts what the ledger knows, or is not signed. It is in Runs at most.
	TagMismatch Verdict = "tag mismatch"
	// Resubmit: the document is WAITING for its next attempt. Send it to the upload queue.
	Resubmit Verdict = "resubmit"
)

// Decision is what follows from a fact.
type Decision struct {
	Verdict Verdict
	// Record is the record as it is after the decision; nil when there is none.
	Record *Record
	// Written says that the ledger changed by it: applied once more, the same fact changes nothing.
	Written bool
}

// State is the Record's, or "" when there is none.
func (d Decision) State() State {
	if d.Record == nil {
		return ""
	}
	return d.Record.State
}
