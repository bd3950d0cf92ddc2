package metric

// Keys are the keys that a log line can have, with their meaning. They mean the same
// in every function's log. A line about one document has document_id; all have the
// first three, and those that were written for an event of Lambda have requestId.
// Beside them are the names of metrics, of their dimensions, Stack and _aws.
var Keys = []struct{ Name, Meaning string }{
	{"timestamp", "When, RFC 3339."},
	{"level", "INFO: as it should be. WARN: something was lost or late, and was dealt with. ERROR: somebody should look."},
	{"message", "What happened, in fixed words."},
	{"requestId", "Lambda's id of the event, the same in all lines about one batch or delivery."},

	{"document_id", "The document: one version of one uploaded object, or a run that no upload made."},
	{"object", "The upload, s3://bucket/key."},
	{"attempt", "1, 2, 3 …: the how-manieth run of the document."},
	{"run_id", "The run at Extend."},
	{"state", "The document's state after the step."},
	{"revision", "The number of the result that consumers are told."},
	{"verdict", "What the ledger made of the news: stored, unchanged, earlier, resubmit, duplicate run, another stack's."},
	{"reason", "Why, in words: of what is refused, ignored, put off or failed."},
	{"error", "What went wrong, with Extend's status and request id where it answered."},

	{"event_id", "The delivery's id at Extend, or the announcement's on the bus."},
	{"event_type", "The delivery's type, or the announcement's detail-type."},
	{"status", "The answer to a delivery."},
	{"message_id", "The message of the upload queue."},
	{"receives", "How often the message has been received."},
	{"until", "When it goes on."},
	{"since", "Since when the document has been in doubt or on the way."},
	{"current_run_id", "The run that the record shows, where there is a second one."},
	{"sequence_number", "The record of the table's stream."},
	{"bytes", "The size of an announcement."},

	{"asked", "Runs that reconcile asked about."},
	{"ended", "Those of them that had ended."},
	{"requeued", "Documents that went back to the upload queue."},
	{"errors", "Documents that could not be handled; for a message, how often handling it has failed."},
	{"left", "Documents that are still overdue."},
	{"bus", "The event bus."},
	{"panic", "A bug: what the program said as it stopped."},
	{"stack", "The place of the bug."},
}
