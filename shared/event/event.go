// Package event is the contract with whoever builds on Extend Intake: what the
// events on the bus say, and how a consumer reads them. It needs nothing else of
// this repository, so that it can be copied.
//
//	func handle(ctx context.Context, e events.EventBridgeEvent) error {
//		d, err := event.Parse(e.Detail)
//		if err != nil {
//			return err
//		}
//		output, err := d.ReadOutput(ctx, s3Client) // inline or large, the same bytes
//		…
//	}
//
// # What it promises
//
//   - Every change of a document's result is announced, at least once. Repetitions
//     have the same [Detail.ID]: drop what you have seen.
//   - Events may arrive in any order. The highest [Detail.Revision] is the newest.
//   - The contract ([Schema]) only ever grows; the samples of its first day, in
//     testdata/v1, are read by the tests of every later one.
package event

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"time"
)

// Source is the source of every event.
const Source = "extend-intake"

// The detail types, one for each state that consumers are told of.
const (
	Processed = "Document Processed"
	Failed    = "Document Failed"
	Cancelled = "Document Cancelled"
	Refused   = "Document Refused"

	// NeedsReview: a person is asked at Extend. A later revision says what came of it.
	NeedsReview = "Document Needs Review"
	// Rejected: that person has rejected the document.
	Rejected = "Document Rejected"
)

// SchemaVersion is the version of the contract. New optional fields don't change it.
const SchemaVersion = 1

// Schema is the JSON Schema of a [Detail].
//
//go:embed schema.json
var Schema []byte

// Detail is the detail of an event. What each field means is in [Schema].
type Detail struct {
	SchemaVersion  int             `json:"schemaVersion"`
	ID             string          `json:"id"`
	DocumentID     string          `json:"documentId"`
	Revision       int             `json:"revision"`
	State          string          `json:"state"`
	Attempt        int             `json:"attempt"`
	RunID          string          `json:"runId,omitempty"`
	RunURL         string          `json:"runUrl,omitempty"`
	Object         *Object         `json:"object,omitempty"`
	Route          string          `json:"route,omitempty"`
	Processor      string          `json:"processor,omitempty"`
	Type           string          `json:"type,omitempty"`
	Reviewed       bool            `json:"reviewed"`
	Edited         bool            `json:"edited"`
	Output         json.RawMessage `json:"output,omitempty"` // see ReadOutput
	OutputLocation string          `json:"outputLocation,omitempty"`
	Failure        *Failure        `json:"failure,omitempty"`
	Credits        json.Number     `json:"credits,omitempty"`
	SubmittedAt    time.Time       `json:"submittedAt,omitzero"`
	FinishedAt     time.Time       `json:"finishedAt"`
}

// Object is the uploaded object.
type Object struct {
	Bucket     string `json:"bucket"`
	Key        string `json:"key"` // see KeyEncoded
	KeyEncoded string `json:"keyEncoded,omitempty"`
	VersionID  string `json:"versionId,omitempty"`
	ETag       string `json:"eTag,omitempty"`
	Size       int64  `json:"size"`
	Sequence   string `json:"sequence,omitempty"`
}

// Failure says why there is no output.
type Failure struct {
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

// Parse reads the detail of an event. It refuses what is not this contract, and
// ignores fields that it does not know.
func Parse(detail json.RawMessage) (*Detail, error) {
	var d Detail
	if err := json.Unmarshal(detail, &d); err != nil {
		return nil, fmt.Errorf("event: not the detail of an event of %s: %w", Source, err)
	}
	switch {
	case d.SchemaVersion == 0 || d.ID == "":
		return nil, fmt.Errorf("event: schemaVersion or id is missing: let your rule match the source %q only", Source)
	case d.SchemaVersion != SchemaVersion:
		return nil, fmt.Errorf("event %s: schemaVersion is %d, and this code knows %d: take the package event of the stack that sends it", d.ID, d.SchemaVersion, SchemaVersion)
	}
	return &d, nil
}
