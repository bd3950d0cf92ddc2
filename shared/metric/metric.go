// Package metric counts in the log. A metric is an attribute of a log line, so that
// every number has its document beside it, and there is no second place to look:
//
//	slog.InfoContext(ctx, "run created", "document_id", id, "run_id", run.ID, metric.Submitted.One())
//
// [NewHandler] writes such a line in CloudWatch's embedded metric format, from which
// CloudWatch makes the metrics by itself: no call, no permission, and nothing is
// counted that is not in the log. Any other handler shows the number.
//
// [Keys] are the other attributes that a line can have.
package metric

import (
	"log/slog"
	"math"
	"slices"
)

// Namespace is that of all metrics.
const Namespace = "ExtendIntake"

// A Metric is something that is counted, for the stack as a whole and, where it has
// a dimension, for each value of that.
type Metric struct {
	Name, Unit, Meaning string
	// Dimension is the name of the second dimension beside Stack; Values are what it
	// can be, besides "other". They are few on purpose: each costs as much as a metric.
	Dimension string
	Values    []string

	value string
}

// What is counted.
var (
	Submitted         = Metric{Name: "Submitted", Unit: "Count", Meaning: "Runs that Extend took, as its answer or a look told; where a lost answer's webhook came first, nobody counts."}
	DuplicatesDropped = Metric{Name: "DuplicatesDropped", Unit: "Count", Meaning: "Upload notices of documents that had been submitted already."}
	Refused           = Metric{Name: "Refused", Unit: "Count", Meaning: "Documents that were refused for good: by Extend, or because there is no route or no object any more."}
	RateLimited       = Metric{Name: "RateLimited", Unit: "Count", Meaning: "Times that all calls were put off because of an answer 429: the plan's limit was hit."}
	Unconfirmed       = Metric{Name: "Unconfirmed", Unit: "Count", Meaning: "POSTs of which nobody knows whether they made a run, also those of functions that died; each is looked for."}
	RecoveredBySearch = Metric{Name: "RecoveredBySearch", Unit: "Count", Meaning: "Lost runs that a look found: paid once, not twice."}

	RecoveredByReconcile = Metric{Name: "RecoveredByReconcile", Unit: "Count", Meaning: "Runs that reconcile found ended, and notices that it sent again: as a rule a webhook or a message had been lost, or was late."}
	Processed            = Metric{Name: "Processed", Unit: "Count", Meaning: "Attempts that ended with an output."}
	Failed               = Metric{Name: "Failed", Unit: "Count", Meaning: "Attempts that failed at Extend, also those that are tried again.",
		Dimension: "Reason", Values: []string{"ABORTED", "CORRUPT_FILE", "FAILED_TO_PROCESS_FILE", "INTERNAL_ERROR", "INVALID_CONFIGURATION",
			"INVALID_PROCESSOR", "OUT_OF_CREDITS", "PARSING_ERROR", "POST_PROCESSING_FAILURE", "PRE_PROCESSING_FAILURE"}}
	Cancelled       = Metric{Name: "Cancelled", Unit: "Count", Meaning: "Attempts whose run was cancelled or deleted at Extend."}
	Credits         = Metric{Name: "Credits", Unit: "Count", Meaning: "What the runs cost whose end was stored, the failed ones too, where Extend says it."}
	SecondsToOutput = Metric{Name: "SecondsToOutput", Unit: "Seconds", Meaning: "From the upload to the document's first output in the table."}

	WebhookRejected = Metric{Name: "WebhookRejected", Unit: "Count", Meaning: "Deliveries that the function did not answer with 200.",
		Dimension: "Cause", Values: []string{"signature", "stale", "headers", "malformed", "too large", "not stored"}}
	AccountPaused = Metric{Name: "AccountPaused", Unit: "Count", Meaning: "Times that all calls were put off because Extend refuses the account, or because there is no key.",
		Dimension: "Reason", Values: []string{"no API key", "401", "402", "403", "410"}}
	Stalled      = Metric{Name: "Stalled", Unit: "Count", Meaning: "Tries and looks at documents that were uploaded longer than StalledAfterSeconds ago and have not ended."}
	DeadLetters  = Metric{Name: "DeadLetters", Unit: "Count", Meaning: "Messages and stream records that the functions moved to a dead-letter queue."}
	DuplicateRun = Metric{Name: "DuplicateRun", Unit: "Count", Meaning: "Second runs of one attempt. It must never happen."}
)

// All lists the metrics, in the order in which a document meets them.
var All = []Metric{
	Submitted, DuplicatesDropped, Refused, RateLimited, Unconfirmed, RecoveredBySearch, RecoveredByReconcile,
	Processed, Failed, Cancelled, Credits, SecondsToOutput,
	WebhookRejected, AccountPaused, Stalled, DeadLetters, DuplicateRun,
}

// For is the metric for one value of its dimension. What is not one of Values counts
// as "other": Extend's words are an open set, and each new one would be a new metric.
func (m Metric) For(value string) Metric {
	if m.value = value; !slices.Contains(m.Values, value) {
		m.value = "other"
	}
	return m
}

// One counts one.
func (m Metric) One() slog.Attr { return m.Add(1) }

// Add counts n. What is no finite number is not counted.
func (m Metric) Add(n float64) slog.Attr {
	if m.Dimension != "" && m.value == "" {
		m.value = "other"
	}
	return slog.Any(m.Name, sample{m.Name, m.Unit, m.Dimension, m.value, n})
}

// sample is the value of a metric's attribute.
type sample struct {
	name, unit, dimension, value string
	n                            float64
}

// LogValue is what a handler shows that knows nothing of metrics.
func (s sample) LogValue() slog.Value { return slog.Float64Value(s.n) }

func (s sample) finite() bool { return !math.IsNaN(s.n) && !math.IsInf(s.n, 0) }
