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
}

// DefaultRules are the template's defaults.
var DefaultRules = Rules{Lease: 3 * time.Minute, ConfirmWindow: 10 * time.Minute, ReconcileAfter: 10 * time.Minute, MaxAttempts: 2}

// maxCheckInterval bounds the time between two checks of one document.
const maxCheckInterval = 6 * time.Hour

// checkInterval is the time until the next check: as long as the attempt is old already,
// which makes ten minutes, twenty, forty … six hours.
func (r Rules) checkInterval(rec *Record, now time.Time) time.Duration {
	if rec.SubmittedAt.IsZero() {
		return r.ReconcileAfter
	}
	return min(max(now.Sub(rec.SubmittedAt), r.ReconcileAfter), maxCheckInterval)
}

// Transient reports whether another run of the same file may succeed. These are the reasons
// that the vendor's newer SDKs name for internal faults and for files that could
// not be fetched; everything else, and everything unknown, waits for a person.
// https://docs.extend.ai/2025-04-21/developers/api-reference/processor-endpoints/run-processor
func Transient(failureReason string) bool {
	switch failureReason {
	case "INTERNAL_ERROR", "PARSING_ERROR", "PRE_PROCESSING_FAILURE", "POST_PROCESSING_FAILURE",
		"FAILED_TO_PROCESS_FILE": // the link may have been too old: the next attempt has a fresh one
		return true
	}
	return false
}
