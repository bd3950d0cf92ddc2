package submit

import (
	"cmp"
	"context"
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

// circumstances are what an answer of Extend is judged by, besides the answer.
type circumstances struct {
	record *ledger.Record // as it was before the call
	// receives is how often the message has been received.
	receives int
	// pause is how long an account that was refused is left alone.
	pause time.Duration
	now   time.Time
	// shared reports whether other documents have heard the same lately: see [pauses].
	shared func(cause string) bool
	// heardBy is how many documents have heard it.
	heardBy func(cause string) int
	// maxFailures is how often a document may fail by itself.
	maxFailures int
}

// afterPost says what follows from a POST: the fact for the ledger, and what becomes of
// the message. It decides whether a document is lost, paid twice or neither, and it is a
// table: postresult_test.go has a row for each line.
func afterPost(c circumstances, run *extend.Run, err error) (ledger.Fact, disposition) {
	claim := c.record.ClaimNumber
	if err == nil {
		return ledger.Accepted{Attempt: c.record.Attempt, RunID: run.ID, RunURL: run.URL}, disposition{}
	}
	notAccepted := func(reason string, d disposition) (ledger.Fact, disposition) {
		d.kind, d.reason = delayed, reason
		return ledger.NotAccepted{ClaimNumber: claim, Reason: reason, Until: c.now.Add(d.after)}, d
	}
	unknown := func(cause, reason string) (ledger.Fact, disposition) {
		// A document is excused as often as there are others: a few sick ones, alone in a quiet
		// night, must not be paid for without an end.
		shared := c.shared(cause) && c.record.SharedUnanswered < c.heardBy(cause)
		return ledger.OutcomeUnknown{ClaimNumber: claim, Shared: shared}, disposition{kind: delayed, after: firstSearch, reason: reason}
	}
	// perhapsOwn: it is the document's own affair unless others hear it too. Whatever it
	// is, it has an end.
	perhapsOwn := func(cause, code, message string) (ledger.Fact, disposition) {
		fact, d := notAccepted(cause, disposition{after: backoff(c.receives)})
		f := fact.(ledger.NotAccepted)
		f.Failure = &ledger.Failure{Own: !c.shared(cause), Code: code, Message: message}
		return f, d
	}
	e, answered := errors.AsType[*extend.Error](err)
	if !answered {
		if extend.NotSent(err) {
			return notAccepted("not sent", disposition{after: backoff(c.receives)})
		}
		// Timed out, cut off, or an answer that can't be read: a run may have been made.
		return unknown("outcome unknown", "outcome unknown")
	}
	reason := strings.TrimSpace(fmt.Sprintf("%d %s", e.StatusCode, e.Code))
	switch s := e.StatusCode; {
	case s == http.StatusTooManyRequests && e.FromAPI:
		// The plan's limit, for everybody: the rest of the batch would hear the same.
		return notAccepted(reason, disposition{after: cmp.Or(min(e.RetryAfter, maxRatePause), min(backoff(c.receives), maxRatePause)), pauses: true, cause: strconv.Itoa(s)})
	case e.FromAPI && (s == http.StatusUnauthorized || s == http.StatusPaymentRequired || s == http.StatusGone):
		// It is about the account or the configuration, not about the document.
		return notAccepted(reason, disposition{after: c.pause, pauses: true, cause: strconv.Itoa(s)})
	case s < 300, s == http.StatusRequestTimeout, s == clientClosedRequest, s >= 500:
		return unknown(strconv.Itoa(s), reason)
	case !e.FromAPI:
		// A router, a proxy or a firewall before the API: it says nothing of the document.
		return perhapsOwn(reason+", not the API's", "NOT_THE_API", fmt.Sprintf("something before Extend's API answers %d: %s", s, e.Message))
	case s < 400, s == http.StatusForbidden:
		return perhapsOwn(reason, cmp.Or(e.Code, "FORBIDDEN"), e.Message)
	case e.Retryable:
		return perhapsOwn(reason, cmp.Or(e.Code, reason), e.Message)
	}
	return ledger.Refusal{ClaimNumber: claim, Code: cmp.Or(e.Code, reason), Message: e.Message, RequestID: e.RequestID},
		disposition{reason: reason}
}

// clientClosedRequest is what some proxies say when the connection ended while the server
// behind them was at work.
const clientClosedRequest = 499

// afterFile says what follows when the object could not be read, or Extend could not be
// given the file. There was no POST, so that there can be no run: whatever is unknown may
// simply be tried again, but not for ever.
func afterFile(c circumstances, err error) (ledger.Fact, disposition) {
	claim := c.record.ClaimNumber
	failure := func(cause, code string, wait time.Duration) (ledger.Fact, disposition) {
		return ledger.NotAccepted{ClaimNumber: claim, Reason: cause, Until: c.now.Add(wait),
			Failure: &ledger.Failure{Own: !c.shared(cause), Code: code, Message: err.Error()}}, disposition{kind: delayed, after: wait, reason: cause}
	}
	if o, ok := errors.AsType[*ObjectError](err); ok {
		if o.Final {
			return ledger.Refusal{ClaimNumber: claim, Code: o.Code, Message: o.Message}, disposition{reason: o.Code}
		}
		return failure("S3 denies the object", o.Code, backoff(c.receives))
	}
	if _, ok := errors.AsType[*extend.Error](err); ok {
		fact, d := afterPost(c, nil, err)
		if _, unknown := fact.(ledger.OutcomeUnknown); !unknown {
			return fact, d
		}
	}
	if errors.Is(err, context.DeadlineExceeded) {
		// It is tried again when the others are through. Each try costs the file's transfer, so
		// that a few large files, alone in a quiet bucket, are not excused for days: the more
		// documents hear it, the longer all of them are.
		const cause = "the file could not be sent in time"
		fact, d := failure(cause, "TOO_SLOW", tooSlowWait)
		if f := fact.(ledger.NotAccepted).Failure; c.record.SharedFailures >= c.maxFailures*c.heardBy(cause) {
			f.Own = true
		}
		return fact, d
	}
	cause := "file not ready"
	if e, ok := errors.AsType[smithy.APIError](err); ok { // S3's
		cause += ": " + e.ErrorCode()
	}
	return failure(cause, "FILE_NOT_READY", backoff(c.receives))
}

// tooSlowWait is how long a file waits that could not be sent in time.
const tooSlowWait = 10 * time.Minute
