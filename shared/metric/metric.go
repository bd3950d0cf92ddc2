// Package metric counts in the log. A metric is an attribute of a log line, so every
// number stands on the line about its document:
//
//	slog.InfoContext(ctx, "run created", "document_id", id, "run_id", run.ID, metric.Submitted.One())
//
// [NewHandler] writes such a line in CloudWatch's embedded metric format, and
// CloudWatch makes the metrics from the log: that takes no API call and no permission.
// Any other slog handler shows the number.
//
// [Keys] lists the other attributes that a line can have.
package metric

import (
	"log/slog"
	"math"
	"slices"
)

// Namespace is the CloudWatch namespace of all metrics.
const Namespace = "ExtendIntake"

// A Metric is something that is counted: for the stack as a whole and, if it has a
// Dimension, for each of its values too.
type Metric struct {
	Name, Unit, Meaning string
	// Dimension is the name of a second dimension beside Stack, and Values are the
	// values that it can have, besides "other". They are few, because CloudWatch bills
	// each as a metric of its own.
	Dimension string
	Values    []string

	value string
}

// The metrics.
var (
	Submitted         = Metric{Name: "Submitted", Unit: "Count", Meaning: "Runs created at Extend, as the POST's answer or a search showed. A run whose answer was lost and whose webhook came before the search is not counted."}
	DuplicatesDropped = Metric{Name: "DuplicatesDropped", Unit: "Count", Meaning: "Upload events for documents that had already been submitted."}
	Skipped           = Metric{Name: "Skipped", Unit: "Count", Meaning: "Uploads that were not read on purpose: the same bytes under the same key are read already, or the object was replaced.",
		Dimension: "Reason", Values: []string{"SAME_CONTENT", "REPLACED"}}
	NotRouted         = Metric{Name: "NotRouted", Unit: "Count", Meaning: "Uploads that no route takes."}
	Refused           = Metric{Name: "Refused", Unit: "Count", Meaning: "Documents that were refused for good: by Extend, or because the file is not worth sending, or was given up. failureReason says why."}
	RateLimited       = Metric{Name: "RateLimited", Unit: "Count", Meaning: "Times that all requests were paused because Extend answered 429: the plan's rate limit was reached."}
	Unconfirmed       = Metric{Name: "Unconfirmed", Unit: "Count", Meaning: "POSTs that may or may not have created a run, including those of functions that died before they had the answer. Each is searched for."}
	RecoveredBySearch = Metric{Name: "RecoveredBySearch", Unit: "Count", Meaning: "Runs that a search found after the POST's answer was lost. The file was not submitted again."}

	RecoveredByReconcile = Metric{Name: "RecoveredByReconcile", Unit: "Count", Meaning: "Runs that reconcile found had ended, and documents that it sent to the upload queue again. Usually a webhook or a message was lost or late."}
	Processed            = Metric{Name: "Processed", Unit: "Count", Meaning: "Attempts that ended with an output."}
	Failed               = Metric{Name: "Failed", Unit: "Count", Meaning: "Attempts that failed at Extend, including those that are retried.",
		Dimension: "Reason", Values: []string{"ABORTED", "CORRUPT_FILE", "DOCUMENT_PROCESSOR_ERROR", "FAILED_TO_PROCESS_FILE", "INTERNAL_ERROR", "INVALID_CONFIGURATION",
			"INVALID_PROCESSOR", "INVALID_WORKFLOW", "OUT_OF_CREDITS", "PARSING_ERROR", "POST_PROCESSING_FAILURE", "PRE_PROCESSING_FAILURE"}}
	Rejected        = Metric{Name: "Rejected", Unit: "Count", Meaning: "Attempts whose run a person has rejected in a review at Extend."}
	NeedsReview     = Metric{Name: "NeedsReview", Unit: "Count", Meaning: "Documents whose run began to wait for a person's review at Extend."}
	Cancelled       = Metric{Name: "Cancelled", Unit: "Count", Meaning: "Attempts whose run was cancelled or deleted at Extend."}
	Credits         = Metric{Name: "Credits", Unit: "Count", Meaning: "Credits of the runs whose result was stored, failed ones included, where Extend reports them."}
	BudgetUsed      = Metric{Name: "BudgetUsed", Unit: "Percent", Meaning: "Share of DailyCreditBudget that the runs sent since 00:00 UTC have cost or are estimated to cost. It is looked at before each POST."}
	SecondsToOutput = Metric{Name: "SecondsToOutput", Unit: "Seconds", Meaning: "Seconds from the upload to the document's first output in the table."}

	WebhookRejected = Metric{Name: "WebhookRejected", Unit: "Count", Meaning: "Deliveries that webhook did not answer with 200.",
		Dimension: "Cause", Values: []string{"signature", "stale", "headers", "malformed", "too large", "not stored", "not shown yet"}}
	AccountPaused = Metric{Name: "AccountPaused", Unit: "Count", Meaning: "Times that all requests were paused because Extend refuses the account, or because the secret has no API key.",
		Dimension: "Reason", Values: []string{"no API key", "401", "402", "403", "410"}}
	UnexpectedAnswers = Metric{Name: "UnexpectedAnswers", Unit: "Count", Meaning: "Answers to submit or reconcile that were not Extend's own, but a router's, a proxy's or a firewall's."}
	Unreadable        = Metric{Name: "Unreadable", Unit: "Count", Meaning: "Answers and deliveries of Extend that could not be read. Their bytes are kept."}
	TagMismatches     = Metric{Name: "TagMismatches", Unit: "Count", Meaning: "Runs whose tag is not signed by the stack, or contradicts what the table knows. They are not stored."}
	OtherApiVersion   = Metric{Name: "OtherApiVersion", Unit: "Count", Meaning: "Deliveries of another API version of Extend. The document's run is asked about instead."}
	Stalled           = Metric{Name: "Stalled", Unit: "Count", Meaning: "Times that a document was found unfinished more than StalledAfterSeconds after its upload."}
	DeadLetters       = Metric{Name: "DeadLetters", Unit: "Count", Meaning: "Messages and stream records that a function sent to a dead-letter queue."}
	DuplicateRun      = Metric{Name: "DuplicateRun", Unit: "Count", Meaning: "Second runs for the same attempt. This must never happen."}
)

// All lists the metrics, in the order in which a document meets them.
var All = []Metric{
	Submitted, DuplicatesDropped, Skipped, NotRouted, Refused, RateLimited, Unconfirmed, RecoveredBySearch, RecoveredByReconcile,
	Processed, Failed, Cancelled, NeedsReview, Rejected, Credits, BudgetUsed, SecondsToOutput,
	WebhookRejected, AccountPaused, UnexpectedAnswers, Unreadable, TagMismatches, OtherApiVersion, Stalled, DeadLetters, DuplicateRun,
}

// For returns the metric for one value of its dimension. A value that is not in Values
// counts as "other": Extend may send new words at any time, and each would be billed
// as a new metric.
func (m Metric) For(value string) Metric {
	if m.value = value; !slices.Contains(m.Values, value) {
		m.value = "other"
	}
	return m
}

// One returns the attribute that counts one.
func (m Metric) One() slog.Attr { return m.Add(1) }

// Add returns the attribute that adds n. An n that is not finite is not counted.
func (m Metric) Add(n float64) slog.Attr {
	if m.Dimension != "" && m.value == "" {
		m.value = "other"
	}
	return slog.Any(m.Name, sample{m.Name, m.Unit, m.Dimension, m.value, n})
}

// sample is the value of a metric attribute.
type sample struct {
	name, unit, dimension, value string
	n                            float64
}

// LogValue is what any other handler shows.
func (s sample) LogValue() slog.Value { return slog.Float64Value(s.n) }

func (s sample) finite() bool { return !math.IsNaN(s.n) && !math.IsInf(s.n, 0) }
