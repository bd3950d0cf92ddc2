package metric

// Keys are the keys that a log line can have. They mean the same in every function's
// log. All lines have the first three, lines written during an invocation have
// requestId, and lines about one document have document_id. A line that counts also
// has the names of its metrics and dimensions, Stack and _aws.
var Keys = []struct{ Name, Meaning string }{
	{"timestamp", "When the line was written, RFC 3339."},
	{"level", "INFO: as expected. WARN: something was lost or late, and was handled. ERROR: a person should look."},
	{"message", "What happened. The same event always has the same words."},
	{"version", "The version of this software, on the line `cold start`."},
	{"requestId", "Lambda's id of the invocation. All lines about one batch or delivery share it."},

	{"document_id", "The document: one version of one uploaded object, or a run that did not come from an upload."},
	{"object", "The uploaded object, s3://bucket/key."},
	{"attempt", "1, 2, 3 …: which run of the document this is."},
	{"run_id", "The run at Extend."},
	{"state", "The document's state after this step."},
	{"revision", "The number of the result that consumers see."},
	{"verdict", "What the ledger decided: stored, unchanged, earlier, resubmit, duplicate run, another stack's."},
	{"reason", "Why something was refused, ignored, delayed or failed."},
	{"error", "What went wrong, with Extend's status and request id if it answered."},

	{"event_id", "The delivery's id at Extend, or the event's id on the bus."},
	{"event_type", "The delivery's type at Extend, or the event's detail-type on the bus."},
	{"status", "The HTTP status that the delivery was answered with."},
	{"message_id", "The SQS message of the upload queue."},
	{"receives", "How often the message has been received."},
	{"until", "When the pause ends."},
	{"since", "Since when the run has been unconfirmed, or the document unfinished."},
	{"current_run_id", "The run that the record shows, where there is a second one."},
	{"sequence_number", "The record in the table's stream."},
	{"bytes", "The size of an event on the bus."},

	{"asked", "Runs that reconcile asked Extend about."},
	{"ended", "How many of them had ended."},
	{"requeued", "Documents that went back to the upload queue."},
	{"errors", "Documents that could not be handled; for a message, how often handling it has failed."},
	{"left", "Documents that are still overdue."},
	{"location", "Where bytes of Extend that cannot be read are kept."},
	{"bus", "The event bus."},
	{"panic", "A bug: the message of the panic."},
	{"stack", "A bug: the stack trace of the panic."},
}
