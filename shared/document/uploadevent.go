package document

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"
)

// UploadEvent is one entry of a message of the upload queue. Exactly one of the four
// holds: Source is set, or Reprocess is, or Ignore says why there is nothing to do, or
// Err says what is wrong with this entry.
type UploadEvent struct {
	Source Source
	// Reprocess is what a person asks for.
	Reprocess Reprocess
	// Requeued says that the Source comes from a [RequeueMessage]: the document has been
	// begun.
	Requeued bool
	// Ignore is a reason in a few words: "test event", "not a creation: ObjectRemoved:Delete".
	Ignore string
	// Err wraps [ErrUploadEvent].
	Err error
}

// DocumentID is that of the document that the event is about; empty where it is about
// none.
func (e UploadEvent) DocumentID() string {
	switch {
	case e.Reprocess.DocumentID != "":
		return e.Reprocess.DocumentID
	case e.Source.Bucket != "":
		return e.Source.DocumentID()
	}
	return ""
}

// ErrUploadEvent means that a message, or one entry of it, can't be understood; trying
// again won't help.
var ErrUploadEvent = errors.New("not an upload event")

// ParseUploadEvents reads the body of a message of the upload queue in any of its
// shapes: an S3 event with its records, the s3:TestEvent that S3 sends when a
// notification is set up, EventBridge's "Object Created", or a message of our own: see
// [RequeueMessage] and [ReprocessMessage]. The same JSON arrives bare, when S3 or
// EventBridge invokes a function, and as the body of an SQS message.
//
// The error wraps [ErrUploadEvent] and concerns the whole body; what concerns one
// entry is in that entry, so that the others can still be handled.
func ParseUploadEvents(body []byte) ([]UploadEvent, error) {
	var shape struct {
		Records    *[]json.RawMessage `json:"Records"`
		Event      string             `json:"Event"`
		DetailType string             `json:"detail-type"`
		Source     string             `json:"source"`
		Time       string             `json:"time"`
		Detail     *bridgeDetail      `json:"detail"`
		Version    *int               `json:"extendIntake"`
		Reprocess  json.RawMessage    `json:"reprocess"`
	}
	if err := json.Unmarshal(body, &shape); err != nil {
		return nil, unreadable(err)
	}
	switch {
	case shape.Version != nil:
		e, err := parseMessage(body, *shape.Version)
		if err != nil {
			return nil, err
		}
		return []UploadEvent{e}, nil
	case shape.Reprocess != nil:
		return nil, fmt.Errorf("%w: extendIntake, the version of the message, is missing: to reprocess, send %s", ErrUploadEvent, reprocessForm)
	case shape.Event == "s3:TestEvent":
		return []UploadEvent{{Ignore: "test event"}}, nil
	case shape.Records != nil:
		if len(*shape.Records) == 0 {
			return []UploadEvent{{Ignore: "no records"}}, nil
		}
		uploads := make([]UploadEvent, len(*shape.Records))
		for i, raw := range *shape.Records {
			var r s3Record
			if err := json.Unmarshal(raw, &r); err != nil {
				uploads[i] = UploadEvent{Err: fmt.Errorf("%w: %v", ErrUploadEvent, err)}
				continue
			}
			uploads[i] = r.event()
		}
		return uploads, nil
	case shape.DetailType != "" && shape.Source == "aws.s3" && shape.Detail != nil:
		if shape.DetailType != "Object Created" {
			return []UploadEvent{{Ignore: "not a creation: " + shape.DetailType}}, nil
		}
		return []UploadEvent{shape.Detail.event(shape.Time)}, nil
	}
	return nil, fmt.Errorf("%w: it has neither S3 records nor an S3 event of EventBridge", ErrUploadEvent)
}

// s3Record is a record of an S3 event, version 2.x.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
type s3Record struct {
	EventSource string `json:"eventSource"`
	EventName   string `json:"eventName"`
	EventTime   string `json:"eventTime"`
	S3          struct {
		Bucket struct {
			Name string `json:"name"`
		} `json:"bucket"`
		Object struct {
			Key       string `json:"key"`
			Size      int64  `json:"size"`
			ETag      string `json:"eTag"`
			VersionID string `json:"versionId"`
			Sequencer string `json:"sequencer"`
		} `json:"object"`
	} `json:"s3"`
}

func (r s3Record) event() UploadEvent {
	if r.EventSource != "aws:s3" {
		return UploadEvent{Err: fmt.Errorf("%w: a record's eventSource is %q, not \"aws:s3\"", ErrUploadEvent, r.EventSource)}
	}
	if !strings.HasPrefix(r.EventName, "ObjectCreated:") {
		return UploadEvent{Ignore: "not a creation: " + r.EventName}
	}
	// S3 writes keys as HTML forms do: + for a space, % for everything odd.
	o := r.S3.Object
	key, err := url.QueryUnescape(o.Key)
	if err != nil {
		return UploadEvent{Err: fmt.Errorf("%w: key %q can't be decoded: %v", ErrUploadEvent, o.Key, err)}
	}
	return upload(Source{Bucket: r.S3.Bucket.Name, Key: key, VersionID: o.VersionID, ETag: o.ETag, Size: o.Size, Sequencer: o.Sequencer}, r.EventTime)
}

// bridgeDetail is the detail of EventBridge's "Object Created". Its key is not
// encoded, unlike that of an S3 event.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html
type bridgeDetail struct {
	Bucket struct {
		Name string `json:"name"`
	} `json:"bucket"`
	Object struct {
		Key       string `json:"key"`
		Size      int64  `json:"size"`
		ETag      string `json:"etag"`
		VersionID string `json:"version-id"`
		Sequencer string `json:"sequencer"`
	} `json:"object"`
}

func (d bridgeDetail) event(at string) UploadEvent {
	o := d.Object
	return upload(Source{Bucket: d.Bucket.Name, Key: o.Key, VersionID: o.VersionID, ETag: o.ETag, Size: o.Size, Sequencer: o.Sequencer}, at)
}

// upload checks a Source, and gives each of its parts the form that S3 and EventBridge
// write differently. at is when S3 had the object.
func upload(s Source, at string) UploadEvent {
	if t, err := time.Parse(time.RFC3339, at); err == nil { // only metrics need it: no reason to refuse an upload
		s.UploadedAt = t.UTC().Truncate(time.Millisecond)
	}
	s.ETag = strings.Trim(s.ETag, `"`)
	s.Sequencer = strings.ToUpper(s.Sequencer)
	if s.VersionID == "null" {
		// A bucket whose versioning is suspended: "null" names whatever is there
		// now, so only the ETag tells one content from the next.
		s.VersionID = ""
	}
	switch {
	case s.Bucket == "" || s.Key == "":
		return UploadEvent{Err: fmt.Errorf("%w: bucket or key is missing", ErrUploadEvent)}
	case !utf8.ValidString(s.Key):
		return UploadEvent{Err: fmt.Errorf("%w: key %q is not UTF-8", ErrUploadEvent, s.Key)}
	case s.Version() == "":
		return UploadEvent{Err: fmt.Errorf("%w: %s has neither a version id nor an ETag", ErrUploadEvent, s)}
	}
	return UploadEvent{Source: s}
}
