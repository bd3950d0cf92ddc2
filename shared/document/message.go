package document

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"extend-intake/shared/clean"
)

// Messages of our own to the upload queue are private: nobody but this product and its
// operators writes them. They are one envelope with a version,
//
//	{"extendIntake": 1, "requeue": {"bucket": "intake", "key": "in/a.pdf", …}}
//	{"extendIntake": 1, "reprocess": {"documentId": "doc_…", "attempt": 2}}
//
// because they can wait for days, and be received by a newer or an older version than
// the one that sent them. A change of their meaning needs a new number.
type message struct {
	Version   int        `json:"extendIntake"`
	Requeue   *requeue   `json:"requeue,omitempty"`
	Reprocess *Reprocess `json:"reprocess,omitempty"`
}

const messageVersion = 1

// requeue is a [Source] as a message has it.
type requeue struct {
	Bucket     string `json:"bucket"`
	Key        string `json:"key"` // not encoded, unlike an S3 event's
	VersionID  string `json:"versionId,omitempty"`
	ETag       string `json:"eTag,omitempty"`
	Size       int64  `json:"size"`
	Sequencer  string `json:"sequencer,omitempty"`
	UploadedAt string `json:"uploadedAt,omitempty"`
}

// Reprocess asks for another attempt of a document that has ended. It names the
// attempt, so that asking twice makes one attempt.
type Reprocess struct {
	DocumentID string `json:"documentId"`
	// Attempt is the number of the new attempt: one more than the document's last.
	Attempt int `json:"attempt"`
	// By and Why say who asks for it, and what for: for people who look at the record. Both may
	// be empty.
	By  string `json:"by,omitempty"`
	Why string `json:"why,omitempty"`
}

// Reason says in a few words that somebody asks for the attempt, and who and why.
func (r Reprocess) Reason() string {
	reason := "asked for"
	if r.By != "" {
		reason += " by " + r.By
	}
	if r.Why != "" {
		reason += ": " + r.Why
	}
	return clean.Text(reason, maxReason)
}

const maxReason = 200

// RequeueMessage is the body of a message that puts a document into the upload queue
// once more. [ParseUploadEvents] reads it back as the same Source.
func RequeueMessage(s Source) string {
	r := requeue{Bucket: s.Bucket, Key: s.Key, VersionID: s.VersionID, ETag: s.ETag, Size: s.Size, Sequencer: s.Sequencer}
	if !s.UploadedAt.IsZero() {
		r.UploadedAt = s.UploadedAt.Format(time.RFC3339Nano)
	}
	return encode(message{Version: messageVersion, Requeue: &r})
}

// ReprocessMessage is the body of a message that asks for another attempt of a document.
// [ParseUploadEvents] reads it back.
func ReprocessMessage(r Reprocess) string {
	return encode(message{Version: messageVersion, Reprocess: &r})
}

// unsendable are the characters of valid UTF-8 that JSON can hold as they are and SQS
// refuses. A key may have them.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
var unsendable = strings.NewReplacer("\uFFFE", `\ufffe`, "\uFFFF", `\uffff`)

func encode(m any) string {
	text, err := json.Marshal(m)
	if err != nil {
		panic(err) // texts and numbers: it can't fail
	}
	return unsendable.Replace(string(text))
}

// parseMessage reads a message of our own; version is what its extendIntake says.
func parseMessage(text []byte, version int) (UploadEvent, error) {
	if version != messageVersion {
		return UploadEvent{}, fmt.Errorf("%w: a message of version %d, and this software knows version %d: was it sent by another version?", ErrUploadEvent, version, messageVersion)
	}
	var m message
	if err := json.Unmarshal(text, &m); err != nil {
		return UploadEvent{}, unreadable(err)
	}
	switch {
	case (m.Requeue == nil) == (m.Reprocess == nil):
		return UploadEvent{}, fmt.Errorf("%w: a message of ours has either requeue or reprocess in it", ErrUploadEvent)
	case m.Reprocess != nil:
		if !isDocumentID(m.Reprocess.DocumentID) || m.Reprocess.Attempt < 2 {
			return UploadEvent{}, fmt.Errorf("%w: to reprocess takes a document id and the number of the new attempt, 2 or more: %s", ErrUploadEvent, reprocessForm)
		}
		return UploadEvent{Reprocess: *m.Reprocess}, nil
	}
	r := m.Requeue
	e := upload(Source{Bucket: r.Bucket, Key: r.Key, VersionID: r.VersionID, ETag: r.ETag, Size: r.Size, Sequencer: r.Sequencer}, r.UploadedAt)
	e.Requeued = e.Err == nil
	return e, nil
}

// reprocessForm is what errors show to whoever wrote a message by hand.
const reprocessForm = `{"extendIntake": 1, "reprocess": {"documentId": "doc_…", "attempt": 2}}`

// unreadable is the error of JSON that does not fit. encoding/json's own words for a
// wrong type show Go's types. A member of S3's that has another type was changed on the
// way, and cannot be turned back: the ETag 7 may have been "007".
func unreadable(err error) error {
	if t, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		hint := ""
		if strings.HasPrefix(t.Field, "s3.") || strings.HasPrefix(t.Field, "detail") {
			hint = ": S3 does not write this, so something on the way has changed the event; let it arrive as S3 sends it"
		}
		return fmt.Errorf("%w: %s where something else belongs (%s, byte %d)%s", ErrUploadEvent, t.Value, cmp.Or(t.Field, "the whole body"), t.Offset, hint)
	}
	return fmt.Errorf("%w: %v", ErrUploadEvent, err)
}
