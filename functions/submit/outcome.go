package submit

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/aws/smithy-go"

	"extend-intake/shared/extend"
	"extend-intake/shared/ledger"
)

// answer is what becomes of an upload's message. The zero value is: done.
type answer struct {
	kind   answerKind
	after  time.Duration // back: when it is worth another try
	reason string
	// documentID is the document that it is about, where there is one.
	documentID string
	// hold: it is not about this document. This instance makes no call until then,
	// and the rest of the batch goes back untouched.
	hold bool
	// cause of a hold: the status that Extend answered, or noKey.
	cause string
}

const noKey = "no API key"

type answerKind int

// In the order in which they win when a message speaks of several uploads.
const (
	done   answerKind = iota // the message is deleted
	dead                     // it goes to the dead letters, with the reason
	faulty                   // a fault of its own: it comes back, but not for ever
	back                     // it comes back
)

// A message with a fault of its own is tried maxFaults times; the attribute counts.
const (
	maxFaults       = 20
	errorsAttribute = "errors"
	// maxReceives: a message that only waits begins anew, before the queue's
	// maxReceiveCount takes it for a poisonous one and before its retention ends.
	maxReceives = 500
)

// afterPost says what follows from a POST: what the ledger is told, and what
// becomes of the message. It decides whether a document is lost, paid twice or
// neither, and it is a table: outcome_test.go has a row for each line.
func afterPost(claim *ledger.Record, run *extend.Run, err error, receives int, pause time.Duration, now time.Time) (ledger.Fact, answer) {
	if err == nil {
		return ledger.Accepted{Attempt: claim.Attempt, RunID: run.ID, RunURL: run.URL}, answer{}
	}
	notTaken := func(reason string, a answer) (ledger.Fact, answer) {
		a.kind, a.reason = back, reason
		return ledger.NotAccepted{ClaimNumber: claim.ClaimNumber, Reason: reason, Until: now.Add(a.after)}, a
	}
	e, answered := errors.AsType[*extend.Error](err)
	if !answered {
		if extend.NotSent(err) {
			return notTaken("not sent", answer{after: backoff(receives)})
		}
		// Timed out, cut off, or an answer that can't be read: a run may have been made.
		return ledger.OutcomeUnknown{ClaimNumber: claim.ClaimNumber}, answer{kind: back, after: firstLook, reason: "outcome unknown"}
	}
	reason := strings.TrimSpace(fmt.Sprintf("%d %s", e.StatusCode, e.Code))
	switch s := e.StatusCode; {
	case s == http.StatusTooManyRequests:
		// The plan's limit, for everybody: the rest of the batch would hear the same.
		return notTaken(reason, answer{after: cmp.Or(e.RetryAfter, min(backoff(receives), maxRateHold)), hold: true, cause: strconv.Itoa(s)})
	case s == http.StatusUnauthorized, s == http.StatusPaymentRequired, s == http.StatusForbidden, s == http.StatusGone,
		300 <= s && s < 400:
		// The account's fault or the configuration's, not the document's.
		return notTaken(reason, answer{after: pause, hold: true, cause: strconv.Itoa(s)})
	case s == http.StatusRequestTimeout || s >= 500:
		return ledger.OutcomeUnknown{ClaimNumber: claim.ClaimNumber}, answer{kind: back, after: firstLook, reason: reason}
	case e.Retryable:
		return notTaken(reason, answer{after: backoff(receives)})
	}
	return ledger.Refusal{ClaimNumber: claim.ClaimNumber, Code: cmp.Or(e.Code, reason), Message: e.Message, RequestID: e.RequestID},
		answer{reason: reason}
}

// afterFile says what follows when Extend could not be given the file. There was no
// POST, so that there can be no run: whatever is unknown may simply be tried again.
func afterFile(claim *ledger.Record, err error, receives int, pause time.Duration, now time.Time) (ledger.Fact, answer) {
	if errors.Is(err, errGone) {
		return ledger.Refusal{ClaimNumber: claim.ClaimNumber, Code: "OBJECT_GONE", Message: err.Error()}, answer{reason: "OBJECT_GONE"}
	}
	if errors.Is(err, errArchived) {
		return ledger.Refusal{ClaimNumber: claim.ClaimNumber, Code: "OBJECT_ARCHIVED", Message: err.Error()}, answer{reason: "OBJECT_ARCHIVED"}
	}
	fact, a := ledger.Fact(nil), answer{reason: "file not ready"}
	if e, ok := errors.AsType[smithy.APIError](err); ok { // S3's
		a.reason += ": " + e.ErrorCode()
	}
	if e, ok := errors.AsType[*extend.Error](err); ok {
		fact, a = afterPost(claim, nil, e, receives, pause, now)
	}
	if _, unknown := fact.(ledger.OutcomeUnknown); unknown || fact == nil {
		a.kind, a.after = back, backoff(receives)
		return ledger.NotAccepted{ClaimNumber: claim.ClaimNumber, Reason: a.reason, Until: now.Add(a.after)}, a
	}
	return fact, a
}

const (
	firstLook  = 15 * time.Second
	maxLook    = 2 * time.Minute
	maxBackoff = 15 * time.Minute
	// maxRateHold: the plan's limits are per second and per minute.
	maxRateHold = time.Minute
)

// backoff doubles from two seconds to fifteen minutes with each receipt of the message.
func backoff(receives int) time.Duration {
	return min(2*time.Second<<min(max(receives-1, 0), 16), maxBackoff)
}

// nextLook is when to search again for a run that was not found: soon at first,
// and once more right after the confirm window.
func nextLook(since time.Time, window time.Duration, now time.Time) time.Duration {
	end := since.Add(window).Sub(now)
	if end <= 0 {
		return time.Second
	}
	return min(max(now.Sub(since), firstLook), maxLook, end+time.Second)
}
