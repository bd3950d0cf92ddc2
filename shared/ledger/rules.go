package ledger

import "time"

// Rules are the spans and limits that decisions depend on.
type Rules struct {
	// Lease is how long a claim holds. It must be longer than a claimer can live
	// (the function's time-out) plus the difference between any two clocks.
	Lease time.Duration
	// ConfirmWindow is how long a run that was made can stay invisible to a
	// search; only after it does "not found" mean "not made".
	ConfirmWindow time.Duration
	// ReconcileAfter is how long after its submission a run is first asked about.
	ReconcileAfter time.Duration
	// MaxAttempts bounds the attempts that the retry rule makes by itself; 1 means it makes none.
	MaxAttempts int
	// MaxFailures and GiveUpAfter bound what is tried without a run: so many failures that
	// were the document's own, or as many of any kind that lasted so long, end it as REFUSED. What is about
	// the account, or about the plan's rate, is not bounded: it waits for a person. A search
	// that fails ends the document when both are reached.
	MaxFailures int
	GiveUpAfter time.Duration
	// MaxUnanswered bounds the POSTs of one attempt after which nobody knew whether there was
	// a run, and none was found: each may have been paid for.
	MaxUnanswered int
	// DailyCredits is the budget of a day (UTC) in credits; 0 is no budget.
	DailyCredits float64
}

// DefaultRules are the template's defaults.
var DefaultRules = Rules{Lease: 3 * time.Minute, ConfirmWindow: 10 * time.Minute, ReconcileAfter: 10 * time.Minute, MaxAttempts: 2,
	MaxFailures: 10, GiveUpAfter: 72 * time.Hour, MaxUnanswered: 5}

const (
	// maxFailedChecks bounds the questions about a run that end without an answer: at the
	// longest interval, about a week of them.
	maxFailedChecks = 30
	// maxUnreadable bounds those whose answer can't be read: about a day of them.
	maxUnreadable = 8
	// minFailedChecks and minUnreadable are how old a run is at least when it is given up.
	minFailedChecks = 3 * 24 * time.Hour
	minUnreadable   = 12 * time.Hour
	// recheck is the time to the second look at a result that is no result.
	recheck = time.Minute
)

// failureWait is how long a document waits after its n-th failure of its own: apart from
// the others, from a minute to a quarter of an hour.
func failureWait(n int) time.Duration {
	return min(time.Minute<<min(max(n-1, 0), 10), 15*time.Minute)
}

// maxCheckInterval bounds the time between two checks of one document.
const maxCheckInterval = 6 * time.Hour

// reviewInterval is the least time between two checks of a run that waits for a person.
const reviewInterval = time.Hour

// checkInterval is the time until the next check: as long as the attempt is old already,
// which makes ten minutes, twenty, forty … six hours.
func (r Rules) checkInterval(rec *Record, now time.Time) time.Duration {
	least := r.ReconcileAfter
	if rec.State == NeedsReview {
		least = max(least, reviewInterval)
	}
	if rec.SubmittedAt.IsZero() {
		return least
	}
	return min(max(now.Sub(rec.SubmittedAt), least), maxCheckInterval)
}

// Transient reports whether another run of the same file may succeed. These are the reasons
// that the vendor's newer SDKs name for internal faults and for files that could
// not be fetched; everything else, and everything unknown, waits for a person.
// https://docs.extend.ai/2025-04-21/developers/api-reference/processor-endpoints/run-processor
func Transient(failureReason string) bool {
	switch failureReason {
	case "INTERNAL_ERROR", "PARSING_ERROR", "PRE_PROCESSING_FAILURE", "POST_PROCESSING_FAILURE",
		"DOCUMENT_PROCESSOR_ERROR", // of a workflow
		"FAILED_TO_PROCESS_FILE":   // the link may have been too old: the next attempt has a fresh one
		return true
	}
	return false
}
