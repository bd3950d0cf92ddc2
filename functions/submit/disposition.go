package submit

import (
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"extend-intake/shared/ledger"
	"extend-intake/shared/metric"
)

// disposition is what becomes of a message, or of one upload in it. The zero value is:
// done.
type disposition struct {
	kind   kind
	after  time.Duration // delayed: when it is worth another try
	reason string
	// documentID is the document that it is about, where there is one.
	documentID string
	// record is the document as it is then; nil where it was not read.
	record *ledger.Record
	// pauses: it is not about this document. This instance makes no call until then,
	// and the rest of the batch goes back untouched.
	pauses bool
	// cause of a pause: the status that Extend answered, noKey or overBudget.
	cause string
}

const (
	noKey      = "no API key"
	overBudget = "daily budget"
)

type kind int

// In the order in which they win when a message is about several uploads.
const (
	done       kind = iota // the message is deleted
	deadLetter             // it goes to the dead-letter queue, with the reason
	failed                 // an error of its own: it comes back, but not for ever
	delayed                // it comes back
)

// and is what becomes of a message that is about the uploads of both. What has to come
// back wins, the earliest of it: the rest is handled again then.
func (d disposition) and(other disposition) disposition {
	if other.kind > d.kind || other.kind == delayed && d.kind == delayed && other.after < d.after {
		return other
	}
	return d
}

const (
	firstSearch   = 15 * time.Second
	maxSearchWait = 2 * time.Minute
	maxBackoff    = 15 * time.Minute
	// maxRatePause: the plan's limits are per second and per minute.
	maxRatePause = time.Minute
)

// backoff doubles from two seconds to fifteen minutes with each receive of the message.
func backoff(receives int) time.Duration {
	return min(2*time.Second<<min(max(receives-1, 0), 16), maxBackoff)
}

// nextSearch is when to search again for a run that was not found: soon at first,
// and once more right after the confirm window.
func nextSearch(since time.Time, window time.Duration, now time.Time) time.Duration {
	end := since.Add(window).Sub(now)
	if end <= 0 {
		return time.Second
	}
	return min(max(now.Sub(since), firstSearch), maxSearchWait, end+time.Second)
}

// countResult is what a claim without a run counts as.
func countResult(fact ledger.Fact, d ledger.Decision) []any {
	skip, skipped := fact.(ledger.Skip)
	_, unknown := fact.(ledger.OutcomeUnknown)
	switch {
	case !d.Written:
		return nil
	case skipped:
		return []any{metric.Skipped.For(skip.Code).One()}
	case d.State() == ledger.Refused:
		return []any{metric.Refused.One()}
	case unknown:
		return []any{metric.Unconfirmed.One()}
	}
	return nil
}

// countPause is what a pause counts as: the plan's limit and the budget are not about the account.
func countPause(cause string) slog.Attr {
	switch cause {
	case strconv.Itoa(http.StatusTooManyRequests):
		return metric.RateLimited.One()
	case overBudget: // it was counted
		return slog.Attr{}
	}
	return metric.AccountPaused.For(cause).One()
}
