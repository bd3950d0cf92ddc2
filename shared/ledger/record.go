package ledger

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"extend-intake/shared/document"
)

// State is how far a document has come.
type State string

// The states. The first five are on the way, the others are final for the
// attempt.
const (
	// Waiting: Extend surely has not taken it. Reason says why.
	Waiting State = "WAITING"
	// Submitting: claimed until LeaseUntil; the POST may be on its way.
	Submitting State = "SUBMITTING"
	// Unconfirmed: whether Extend took the POST is unknown. Search for the run, and POST only if there is none.
	Unconfirmed State = "UNCONFIRMED"
	// Processing: Extend took it; RunID is known.
	Processing State = "PROCESSING"
	// NeedsReview: the run of a workflow waits for a person at Extend. Consumers are told.
	NeedsReview State = "NEEDS_REVIEW"

	// Processed: Extend read it; the output is stored.
	Processed State = "PROCESSED"
	// Failed: Extend could not read it; FailureReason and FailureMessage say why.
	Failed State = "FAILED"
	// Cancelled: the run was cancelled or deleted at Extend.
	Cancelled State = "CANCELLED"
	// Rejected: a person has rejected it in a review; FailureMessage is the note.
	Rejected State = "REJECTED"
	// Skipped: it is not read, on purpose: FailureReason says why. Consumers are not told.
	Skipped State = "SKIPPED"
	// Refused: Extend refused the POST for good; FailureReason is its code,
	// FailureMessage its text.
	Refused State = "REFUSED"
)

var states = []State{Waiting, Submitting, Unconfirmed, Processing, NeedsReview, Processed, Failed, Cancelled, Rejected, Refused, Skipped}

// underWay reports whether the document has a run that has not ended.
func (rec *Record) underWay() bool { return rec.State == Processing || rec.State == NeedsReview }

// Terminal reports whether nothing more will happen by itself.
func (s State) Terminal() bool {
	return s == Processed || s == Failed || s == Cancelled || s == Rejected || s == Refused || s == Skipped
}

// Record is what the ledger knows of a document. Its field tags are the table's
// attributes. Times are UTC, to the millisecond.
type Record struct {
	DocumentID string `dynamodbav:"documentId"`
	State      State  `dynamodbav:"state"`
	// Version counts the changes of the record; each write is made on condition
	// that it is as it was read.
	Version int64 `dynamodbav:"recordVersion"`

	// The Source. A run that has no tag has none of these.
	Object    string `dynamodbav:"object,omitempty"`
	Bucket    string `dynamodbav:"bucket,omitempty"`
	Key       string `dynamodbav:"key,omitempty"`
	VersionID string `dynamodbav:"versionId,omitempty"`
	ETag      string `dynamodbav:"eTag,omitempty"`
	Size      int64  `dynamodbav:"size,omitempty"`
	// Sequence orders the uploads of one object: the last one in the by-object index is the newest.
	Sequence string `dynamodbav:"sequence,omitempty"`
	// UploadedAt is when S3 had the object, as its upload event said.
	UploadedAt time.Time `dynamodbav:"uploadedAt,omitempty"`

	Route            string `dynamodbav:"route,omitempty"`
	ProcessorID      string `dynamodbav:"processorId,omitempty"`
	ProcessorVersion string `dynamodbav:"processorVersion,omitempty"`

	// Attempt is which run of the document this is: 1, 2, 3 …
	Attempt int    `dynamodbav:"attempt"`
	RunID   string `dynamodbav:"runId,omitempty"`
	RunURL  string `dynamodbav:"runUrl,omitempty"`
	// ClaimNumber counts the claims. What a claimer reports holds only while nobody
	// has claimed after it.
	ClaimNumber      int64     `dynamodbav:"claimNumber,omitempty"`
	ClaimedBy        string    `dynamodbav:"claimedBy,omitempty"`
	LeaseUntil       time.Time `dynamodbav:"leaseUntil,omitempty"`
	UnconfirmedSince time.Time `dynamodbav:"unconfirmedSince,omitempty"`
	SubmittedAt      time.Time `dynamodbav:"submittedAt,omitempty"`
	// AttemptSince is when the attempt began to wait for its turn; zero for the first.
	AttemptSince time.Time `dynamodbav:"attemptSince,omitempty"`
	// TagSigned says that every POST of this attempt that can have made a run carried a signed
	// tag: a run whose tag is not signed is another's.
	TagSigned bool `dynamodbav:"tagSigned,omitempty"`
	// NextCheckAt is when somebody must see to a document that has not ended.
	NextCheckAt time.Time `dynamodbav:"nextCheckAt,omitempty"`
	// FinishedAt is when it came to its terminal state, or when the person's review began.
	FinishedAt time.Time `dynamodbav:"finishedAt,omitempty"`
	// Reason says why the document is WAITING.
	Reason string `dynamodbav:"reason,omitempty"`

	// Failures counts the failures of this attempt that were the document's own, FailingSince
	// is when they began, own or not.
	Failures     int       `dynamodbav:"failures,omitempty"`
	FailingSince time.Time `dynamodbav:"failingSince,omitempty"`
	// SharedFailures counts those of which others heard the same, apart from Failures.
	SharedFailures int `dynamodbav:"sharedFailures,omitempty"`
	// FailedAt is when the last of them was.
	FailedAt time.Time `dynamodbav:"failedAt,omitempty"`
	// Unanswered counts the POSTs of this attempt of which nobody knew whether they made a run.
	Unanswered int `dynamodbav:"unanswered,omitempty"`
	// SharedUnanswered counts those of which others heard the same, apart from Unanswered.
	SharedUnanswered int `dynamodbav:"sharedUnanswered,omitempty"`
	// FailedSearches counts the searches for the run in a row that failed; SearchFailingSince is
	// when the first of them was, SearchFailedAt when the last.
	FailedSearches     int       `dynamodbav:"failedSearches,omitempty"`
	SearchFailingSince time.Time `dynamodbav:"searchFailingSince,omitempty"`
	SearchFailedAt     time.Time `dynamodbav:"searchFailedAt,omitempty"`
	// FailedChecks counts the questions about the run since the last usable answer.
	FailedChecks int `dynamodbav:"failedChecks,omitempty"`
	// UnreadableLocation is where the last answer that could not be read is kept.
	UnreadableLocation string `dynamodbav:"unreadableLocation,omitempty"`
	// MissingSince is when Extend first said that it knows no such run.
	MissingSince time.Time `dynamodbav:"missingSince,omitempty"`
	// PendingDigest is that of a content that waits to be confirmed, since PendingSince.
	PendingDigest string    `dynamodbav:"pendingDigest,omitempty"`
	PendingSince  time.Time `dynamodbav:"pendingSince,omitempty"`
	// PastDigests are the contents of the run that were stored before the present one.
	PastDigests []string `dynamodbav:"pastDigests,omitempty"`
	// RunAttempt is the attempt of the run, where it is an earlier one than Attempt.
	RunAttempt int `dynamodbav:"runAttempt,omitempty"`
	// Copies counts the later creations of the same bytes under the same key.
	Copies int `dynamodbav:"copies,omitempty"`
	// LastCopy is the document of the latest of them that is SKIPPED in favour of this one.
	LastCopy string `dynamodbav:"lastCopy,omitempty"`
	// InPlaceOf is the document whose object is lost, and in whose place this attempt reads the
	// same content.
	InPlaceOf string `dynamodbav:"inPlaceOf,omitempty"`
	// DuplicateOf is the document that has the same content, of a SKIPPED one.
	DuplicateOf string `dynamodbav:"duplicateOf,omitempty"`

	Type     string `dynamodbav:"type,omitempty"`
	Reviewed bool   `dynamodbav:"reviewed,omitempty"`
	Edited   bool   `dynamodbav:"edited,omitempty"`
	// FailureReason, FailureMessage are Extend's words.
	FailureReason  string `dynamodbav:"failureReason,omitempty"`
	FailureMessage string `dynamodbav:"failureMessage,omitempty"`
	RequestID      string `dynamodbav:"requestId,omitempty"`
	// Credits is a decimal number, as Extend wrote it: the run's and, where Extend says so, of the
	// runs that it caused.
	Credits string `dynamodbav:"credits,omitempty"`

	// OutputRunID is the run that the stored output is of. The output itself is
	// the attribute "output" or, when DynamoDB can't hold it exactly, the S3 object
	// that OutputLocation names. A reprocessed document keeps its old output
	// until there is a new one.
	OutputRunID    string `dynamodbav:"outputRunId,omitempty"`
	OutputLocation string `dynamodbav:"outputLocation,omitempty"`
	// Output is set on a Record that is to be written with a new inline output.
	// Records that are read do not carry it: see [Ledger.Output].
	Output json.RawMessage `dynamodbav:"-"`
	// attribute is Output in DynamoDB's JSON.
	attribute []byte
	// Digest is the same for the same result: see recorder.
	Digest string `dynamodbav:"digest,omitempty"`

	// Runs are the runs that are not, or no longer, what the record shows.
	Runs []PastRun `dynamodbav:"runs,omitempty"`
	// Revision grows by one with every change that a consumer can see.
	Revision int `dynamodbav:"revision"`
	// ExpiresAt is in Unix seconds; 0 means never.
	ExpiresAt int64 `dynamodbav:"expiresAt,omitempty"`
}

// PastRun is a run that is not, or no longer, the one that the record shows.
type PastRun struct {
	Attempt        int       `dynamodbav:"attempt"`
	RunID          string    `dynamodbav:"runId,omitempty"`
	State          State     `dynamodbav:"state"`
	FailureReason  string    `dynamodbav:"failureReason,omitempty"`
	FailureMessage string    `dynamodbav:"failureMessage,omitempty"`
	Credits        string    `dynamodbav:"credits,omitempty"`
	At             time.Time `dynamodbav:"at,omitempty"`
	// Late: it was PROCESSED after the next attempt had begun. Digest, Type, Reviewed and
	// Edited are those of its output, which the document falls back on.
	Late     bool   `dynamodbav:"late,omitempty"`
	Digest   string `dynamodbav:"digest,omitempty"`
	Type     string `dynamodbav:"type,omitempty"`
	Reviewed bool   `dynamodbav:"reviewed,omitempty"`
	Edited   bool   `dynamodbav:"edited,omitempty"`
	// Mismatch: its tag contradicts the record, or is not signed. It is another's.
	Mismatch bool `dynamodbav:"mismatch,omitempty"`
	// ByTag: nothing but its tag says that it is the document's. Its output is never stored.
	ByTag bool `dynamodbav:"byTag,omitempty"`
	// Duplicate: a second run for an attempt that had one. It must never happen.
	Duplicate bool `dynamodbav:"duplicate,omitempty"`
}

// ObjectLost reports whether the document came to nothing because of its object: the same
// bytes may still be there as a copy. Any other end is about the bytes, or is left to a person.
func (r *Record) ObjectLost() bool {
	switch r.State {
	case Refused: // with a request id, the code is Extend's
		return r.OutputRunID == "" && r.RequestID == "" && (strings.HasPrefix(r.FailureReason, "OBJECT_") || strings.HasPrefix(r.FailureReason, "S3_"))
	case Skipped:
		return r.OutputRunID == "" && r.DuplicateOf == ""
	}
	return false
}

// stateTime is the sort key of the index by-state: when the next check is due or, in a
// terminal state, when the document came to it.
func (r *Record) stateTime() time.Time {
	if r.State.Terminal() {
		return r.FinishedAt
	}
	return r.NextCheckAt
}

// Source is what the record knows of the upload.
func (r *Record) Source() document.Source {
	return document.Source{Bucket: r.Bucket, Key: r.Key, VersionID: r.VersionID, ETag: r.ETag, Size: r.Size, Sequencer: r.Sequence, UploadedAt: r.UploadedAt}
}

// LogValue is the Record as logs show it.
func (r *Record) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("document_id", r.DocumentID), slog.String("object", r.Object), slog.String("state", string(r.State)),
		slog.Int("attempt", r.Attempt), slog.String("run_id", r.RunID), slog.Int("revision", r.Revision))
}

// ErrRecord means that a record can't be understood: written by hand, or by a
// newer version of this software. It is left as it is; the error says what is wrong.
var ErrRecord = errors.New("ledger: record can't be understood")

// check refuses to decide on what a record does not say.
func (r *Record) check() error {
	problem := ""
	switch {
	case r.DocumentID == "":
		problem = "documentId is missing"
	case r.State == "":
		problem = "state is missing"
	case !slices.Contains(states, r.State):
		problem = fmt.Sprintf("state %q is unknown: is it from a newer version of this software?", r.State)
	case r.Attempt < 1:
		problem = "attempt is missing or below 1"
	case r.Version < 1:
		problem = "recordVersion is missing or below 1"
	case !r.State.Terminal() && r.NextCheckAt.IsZero():
		problem = "nextCheckAt is missing"
	case r.State.Terminal() && r.FinishedAt.IsZero():
		problem = "finishedAt is missing"
	case r.State == Submitting && r.LeaseUntil.IsZero():
		problem = "leaseUntil is missing"
	case r.State == Unconfirmed && r.UnconfirmedSince.IsZero():
		problem = "unconfirmedSince is missing"
	case (r.State == Processing || r.State == NeedsReview || r.State == Processed) && r.RunID == "":
		problem = "runId is missing"
	default:
		return nil
	}
	return fmt.Errorf("%w: %s: %s", ErrRecord, r.DocumentID, problem)
}

// Since is since when the document has been under way: since its upload, or, when a result of
// it was announced before, since its present attempt was asked for. Zero: nobody knows.
func (rec *Record) Since() time.Time {
	begun := []time.Time{rec.UploadedAt, rec.AttemptSince, rec.SubmittedAt}
	if rec.Revision > 0 {
		begun = begun[1:]
	}
	for _, t := range begun {
		if !t.IsZero() {
			return t
		}
	}
	return time.Time{}
}
