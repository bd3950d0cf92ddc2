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

// circumstances are what an answer of Extend is judged by, besides the answer.
type circumstances struct {
	record *ledger.Record // as it was before the call
	// receives is how often the message has been received.
	receives int
	// pause is how long an account that was refused is left alone.
	pause time.Duration
	now   time.Time
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
	e, answered := errors.AsType[*extend.Error](err)
	if !answered {
		if extend.NotSent(err) {
			return notAccepted("not sent", disposition{after: backoff(c.receives)})
		}
		// Timed out, cut off, or an answer that can't be read: a run may have been made.
		return ledger.OutcomeUnknown{ClaimNumber: claim}, disposition{kind: delayed, after: firstSearch, reason: "outcome unknown"}
	}
	reason := strings.TrimSpace(fmt.Sprintf("%d %s", e.StatusCode, e.Code))
	switch s := e.StatusCode; {
	case s == http.StatusTooManyRequests:
		// The plan's limit, for everybody: the rest of the batch would hear the same.
		return notAccepted(reason, disposition{after: cmp.Or(e.RetryAfter, min(backoff(c.receives), maxRatePause)), pauses: true, cause: strconv.Itoa(s)})
	case s == http.StatusUnauthorized, s == http.StatusPaymentRequired, s == http.StatusForbidden, s == http.StatusGone,
		300 <= s && s < 400:
		// It is about the account or the configuration, not about the document.
		return notAccepted(reason, disposition{after: c.pause, pauses: true, cause: strconv.Itoa(s)})
	case s == http.StatusRequestTimeout || s >= 500:
		return ledger.OutcomeUnknown{ClaimNumber: claim}, disposition{kind: delayed, after: firstSearch, reason: reason}
	case e.Retryable:
		return notAccepted(reason, disposition{after: backoff(c.receives)})
	}
	return ledger.Refusal{ClaimNumber: claim, Code: cmp.Or(e.Code, reason), Message: e.Message, RequestID: e.RequestID},
		disposition{reason: reason}
}

// afterFile says what follows when Extend could not be given the file. There was no
// POST, so that there can be no run: whatever is unknown may simply be tried again.
func afterFile(c circumstances, err error) (ledger.Fact, disposition) {
	claim := c.record.ClaimNumber
	if errors.Is(err, ErrGone) {
		return ledger.Refusal{ClaimNumber: claim, Code: "OBJECT_GONE", Message: err.Error()}, disposition{reason: "OBJECT_GONE"}
	}
	if errors.Is(err, ErrArchived) {
		return ledger.Refusal{ClaimNumber: claim, Code: "OBJECT_ARCHIVED", Message: err.Error()}, disposition{reason: "OBJECT_ARCHIVED"}
	}
	fact, d := ledger.Fact(nil), disposition{reason: "file not ready"}
	if e, ok := errors.AsType[smithy.APIError](err); ok { // S3's
		d.reason += ": " + e.ErrorCode()
	}
	if e, ok := errors.AsType[*extend.Error](err); ok {
		fact, d = afterPost(c, nil, e)
	}
	if _, unknown := fact.(ledger.OutcomeUnknown); unknown || fact == nil {
		d.kind, d.after = delayed, backoff(c.receives)
		return ledger.NotAccepted{ClaimNumber: claim, Reason: d.reason, Until: c.now.Add(d.after)}, d
	}
	return fact, d
}
