package document

import (
	"encoding/json"
	"net/url"
	"time"
)

// Reprocess asks for another attempt of a document that has ended. It names the
// attempt, so that asking twice makes one attempt:
//
//	{"reprocess": "doc_ojxr2l4cxaz6m5t3vfpsrdnkeq", "attempt": 2}
type Reprocess struct {
	DocumentID string `json:"reprocess"`
	// Attempt is the number of the new attempt: one more than the document's last.
	Attempt int `json:"attempt"`
}

// requeueEvent is not a name that S3 has.
const requeueEvent = "ObjectCreated:Again"

// Notice is the body of a message that [ParseUploadEvents] reads back as this Source:
// it puts a document into the upload queue once more.
func (s Source) Notice() []byte {
	var r s3Record
	r.EventSource = "aws:s3"
	r.EventName = requeueEvent
	if !s.UploadedAt.IsZero() {
		r.EventTime = s.UploadedAt.Format(time.RFC3339Nano)
	}
	r.S3.Bucket.Name = s.Bucket
	o := &r.S3.Object
	o.Key, o.Size, o.ETag, o.VersionID, o.Sequencer = url.QueryEscape(s.Key), s.Size, s.ETag, s.VersionID, s.Sequencer
	body, err := json.Marshal(map[string][]s3Record{"Records": {r}})
	if err != nil {
		panic(err) // strings and a number: it can't fail
	}
	return body
}
