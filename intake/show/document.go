// Package show is how a document is shown: [Document] is its JSON, [List] its table.
package show

import (
	"cmp"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"extend-intake/intake/out"
	"extend-intake/shared/ledger"
)

// Document is a document as JSON shows it. Its names are those of the events (package
// event); it only grows.
type Document struct {
	DocumentID string `json:"documentId" jsonschema:"The document: one version of one uploaded object, or a run that did not come from an upload."`
	State      string `json:"state" jsonschema:"WAITING, SUBMITTING, UNCONFIRMED, PROCESSING or NEEDS_REVIEW; or, if it has ended, PROCESSED, FAILED, CANCELLED, REJECTED, REFUSED or SKIPPED. Empty: there is no record of the object."`
	Problem    string `json:"problem,omitempty" jsonschema:"Why the record can't be understood; it may be of a newer version of this software. Other fields are missing then."`
	Attempt    int    `json:"attempt,omitempty" jsonschema:"1, 2, 3 …: which run of the document this is."`
	Revision   int    `json:"revision,omitempty" jsonschema:"The number of the result that consumers see; 0 or missing before the first."`

	Object           *Object `json:"object,omitempty" jsonschema:"The uploaded object. Missing for a run that did not come from an upload."`
	Route            string  `json:"route,omitempty" jsonschema:"The route that took the upload."`
	Processor        string  `json:"processor,omitempty" jsonschema:"The processor at Extend."`
	ProcessorVersion string  `json:"processorVersion,omitempty" jsonschema:"The version of the processor that was asked for."`

	RunID  string `json:"runId,omitempty" jsonschema:"The run at Extend."`
	RunURL string `json:"runUrl,omitempty" jsonschema:"The run in Extend's dashboard."`

	Reason  string   `json:"reason,omitempty" jsonschema:"Why it is WAITING."`
	Failure *Failure `json:"failure,omitempty" jsonschema:"Why there is no output."`

	Type           string      `json:"type,omitempty" jsonschema:"What the processor does: EXTRACT, CLASSIFY or SPLITTER."`
	Reviewed       bool        `json:"reviewed,omitempty" jsonschema:"A person has reviewed the output."`
	Edited         bool        `json:"edited,omitempty" jsonschema:"A person has changed the output."`
	OutputLocation string      `json:"outputLocation,omitempty" jsonschema:"The S3 object that has the output, if the table does not have it."`
	Credits        json.Number `json:"credits,omitempty" jsonschema:"What the run cost, as Extend says."`
	DuplicateOf    string      `json:"duplicateOf,omitempty" jsonschema:"The document that has the same content, of a SKIPPED one."`

	UploadedAt  time.Time `json:"uploadedAt,omitzero" jsonschema:"When S3 had the object."`
	SubmittedAt time.Time `json:"submittedAt,omitzero" jsonschema:"When the run was created."`
	FinishedAt  time.Time `json:"finishedAt,omitzero" jsonschema:"When the document came to its last state."`
	NextCheckAt time.Time `json:"nextCheckAt,omitzero" jsonschema:"When somebody must see to a document that has not ended."`

	Runs []Run `json:"runs,omitempty" jsonschema:"The runs that are not, or no longer, what the record shows."`
}

// Object is the uploaded object.
type Object struct {
	Bucket    string `json:"bucket"`
	Key       string `json:"key"`
	VersionID string `json:"versionId,omitempty"`
	ETag      string `json:"eTag,omitempty"`
	Size      int64  `json:"size"`
	Sequence  string `json:"sequence,omitempty"`
}

// Failure says why there is no output.
type Failure struct {
	Reason  string `json:"reason"`
	Message string `json:"message,omitempty"`
}

// Run is one that the record does not show, or no longer.
type Run struct {
	Attempt   int         `json:"attempt"`
	RunID     string      `json:"runId,omitempty"`
	State     string      `json:"state"`
	Failure   *Failure    `json:"failure,omitempty"`
	Credits   json.Number `json:"credits,omitempty"`
	At        time.Time   `json:"at,omitzero"`
	Duplicate bool        `json:"duplicate,omitempty" jsonschema:"A second run for an attempt that had one."`
	Mismatch  bool        `json:"mismatch,omitempty" jsonschema:"Its tag contradicts the record, or is not signed."`
}

// FromRecord is a record as it is shown.
func FromRecord(r *ledger.Record) Document {
	d := Document{
		DocumentID: r.DocumentID, State: string(r.State), Attempt: r.Attempt, Revision: r.Revision,
		Route: r.Route, Processor: r.ProcessorID, ProcessorVersion: r.ProcessorVersion, RunID: r.RunID, RunURL: r.RunURL,
		Reason: r.Reason, Failure: failure(r.FailureReason, r.FailureMessage), Type: r.Type, Reviewed: r.Reviewed, Edited: r.Edited,
		OutputLocation: r.OutputLocation, Credits: number(r.Credits), DuplicateOf: r.DuplicateOf,
		UploadedAt: r.UploadedAt, SubmittedAt: r.SubmittedAt, FinishedAt: r.FinishedAt, NextCheckAt: r.NextCheckAt,
	}
	if r.State.Terminal() {
		d.NextCheckAt, d.Reason = time.Time{}, ""
	} else {
		d.FinishedAt = time.Time{}
	}
	if r.Key != "" {
		d.Object = &Object{Bucket: r.Bucket, Key: r.Key, VersionID: r.VersionID, ETag: r.ETag, Size: r.Size, Sequence: r.Sequence}
	}
	for _, run := range r.Runs {
		d.Runs = append(d.Runs, Run{
			Attempt: run.Attempt, RunID: run.RunID, State: string(run.State), Failure: failure(run.FailureReason, run.FailureMessage),
			Credits: number(run.Credits), At: run.At, Duplicate: run.Duplicate, Mismatch: run.Mismatch,
		})
	}
	return d
}

// FromRow is a row of a list as it is shown.
func FromRow(r ledger.Row) Document {
	if r.Record != nil {
		return FromRecord(r.Record)
	}
	d := Document{DocumentID: r.DocumentID, State: string(r.State)}
	if r.Problem != nil {
		d.Problem = r.Problem.Error()
	}
	return d
}

func failure(reason, message string) *Failure {
	if reason == "" && message == "" {
		return nil
	}
	return &Failure{Reason: reason, Message: message}
}

// number is a decimal number as JSON has it; what is none is left out.
func number(text string) json.Number {
	if !json.Valid([]byte(text)) || strings.Trim(text, "+-.0123456789eE") != "" {
		return ""
	}
	return json.Number(text)
}

// Name is the object's key, or the document's id where there is none.
func (d Document) Name() string {
	if d.Object == nil {
		return d.DocumentID
	}
	return d.Object.Key
}

// Why is why it waits, or why there is no output.
func (d Document) Why() string {
	switch {
	case d.Problem != "":
		return d.Problem
	case d.Failure != nil:
		return strings.TrimSuffix(d.Failure.Reason+": "+d.Failure.Message, ": ")
	case d.DuplicateOf != "":
		return "same content as " + d.DuplicateOf
	}
	return d.Reason
}

// StateColor is the color of a state.
func StateColor(state string) out.Color {
	switch ledger.State(state) {
	case ledger.Processed:
		return out.Green
	case ledger.Failed, ledger.Refused, ledger.Cancelled, ledger.Rejected:
		return out.Red
	case ledger.Unconfirmed, ledger.NeedsReview:
		return out.Yellow
	case ledger.Skipped:
		return out.Gray
	}
	return out.Default
}

// time is when it ended or, on the way, when it is due for a check.
func (d Document) time() time.Time {
	if !d.FinishedAt.IsZero() {
		return d.FinishedAt
	}
	return d.NextCheckAt
}

// List is how documents are listed.
func List(p *out.Printer) out.List[Document] {
	object := func(get func(*Object) string) func(Document) string {
		return func(d Document) string {
			if d.Object == nil {
				return ""
			}
			return get(d.Object)
		}
	}
	at := func(get func(Document) time.Time) out.Column[Document] {
		return out.Column[Document]{Text: func(d Document) string { return out.Time(get(d)) }, Short: func(d Document) string { return p.When(get(d)) }}
	}
	named := func(name string, wide bool, c out.Column[Document]) out.Column[Document] {
		c.Name, c.Wide = name, wide
		return c
	}
	text := func(name string, wide bool, get func(Document) string) out.Column[Document] {
		return out.Column[Document]{Name: name, Wide: wide, Text: get}
	}
	id := text("DOCUMENT", false, func(d Document) string { return d.DocumentID })
	state := text("STATE", false, func(d Document) string { return cmp.Or(d.State, "-") })
	state.Color = func(d Document) out.Color { return StateColor(d.State) }
	state.Keep = true
	key := text("OBJECT", false, object(func(o *Object) string { return o.Key }))
	key.Flexible = true
	why := text("WHY", false, Document.Why)
	why.Flexible = true
	return out.List[Document]{ID: func(d Document) string { return d.DocumentID }, Columns: []out.Column[Document]{
		id, state, key,
		named("ENDED OR DUE", false, at(Document.time)),
		text("ATTEMPT", false, func(d Document) string { return count(d.Attempt) }),
		text("CREDITS", false, func(d Document) string { return d.Credits.String() }),
		text("ROUTE", false, func(d Document) string { return d.Route }),
		why,
		text("BUCKET", true, object(func(o *Object) string { return o.Bucket })),
		text("VERSION", true, object(func(o *Object) string { return o.VersionID })),
		text("SIZE", true, object(func(o *Object) string { return count(o.Size) })),
		named("UPLOADED", true, at(func(d Document) time.Time { return d.UploadedAt })),
		named("SUBMITTED", true, at(func(d Document) time.Time { return d.SubmittedAt })),
		text("PROCESSOR", true, func(d Document) string { return strings.TrimSpace(d.Processor + " " + d.ProcessorVersion) }),
		text("REVISION", true, func(d Document) string { return count(d.Revision) }),
		text("RUN", true, func(d Document) string { return d.RunID }),
	}}
}

func count[N int | int64](n N) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatInt(int64(n), 10)
}
