package document

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// UploadEvent is one entry of a message of the upload queue. Exactly one of the four
// holds: Source is set, or Reprocess is, or Ignore says why there is nothing to do, or
// Err says what is wrong with this entry.
type UploadEvent struct {
	Source Source
	// Region is where S3 says the Source's bucket is, such as eu-west-1; empty where
	// the event does not say.
	Region string
	// SizeUnknown means that the event says no size of the Source that can be
	// understood; its Size is 0.
	SizeUnknown bool
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

// maxWraps is how often an event may be wrapped: a topic, a topic that it is forwarded
// to, and one more.
const maxWraps = 3

// ParseUploadEvents reads the body of a message of the upload queue in any of its
// shapes: an S3 event with its records, the s3:TestEvent that S3 sends when a
// notification is set up, EventBridge's "Object Created", one of these as the Message of
// an SNS notification, any of these in a record in which Lambda hands messages of SNS and
// SQS to a function, or a message of our own: see [RequeueMessage] and
// [ReprocessMessage]. The same JSON arrives bare, when S3 or EventBridge invokes a
// function, and as the body of an SQS message. What lies on the way may have put it into
// a list, as EventBridge Pipes does, or into a JSON text, or taken a record out of its
// event.
//
// The error wraps [ErrUploadEvent] and concerns the whole body; what concerns one
// entry is in that entry, so that the others can still be handled.
func ParseUploadEvents(body []byte) ([]UploadEvent, error) { return parseUploadEvents(body, maxWraps) }

// parseUploadEvents unwraps what SNS and others have wrapped, at most so many times.
func parseUploadEvents(body []byte, wraps int) ([]UploadEvent, error) {
	body = bytes.TrimSpace(bytes.TrimPrefix(body, []byte("\ufeff")))
	var list []json.RawMessage
	var inner string
	switch {
	case len(body) == 0:
		return nil, fmt.Errorf("%w: it is empty", ErrUploadEvent)
	case wraps == 0:
	case body[0] == '[' && json.Unmarshal(body, &list) == nil:
		var uploads []UploadEvent
		for _, element := range list {
			events, err := parseUploadEvents(element, wraps-1)
			if err != nil {
				events = []UploadEvent{{Err: fmt.Errorf("%w (in a list)", err)}}
			}
			uploads = append(uploads, events...)
		}
		if len(uploads) == 0 {
			return []UploadEvent{{Ignore: "no records"}}, nil
		}
		return uploads, nil
	case body[0] == '"' && json.Unmarshal(body, &inner) == nil:
		uploads, err := parseUploadEvents([]byte(inner), wraps-1)
		if err != nil {
			err = fmt.Errorf("%w (in a JSON text: send the event itself, not its text as JSON)", err)
		}
		return uploads, err
	}
	var shape struct {
		Records    *[]json.RawMessage `json:"Records"`
		Event      string             `json:"Event"`
		DetailType string             `json:"detail-type"`
		Source     string             `json:"source"`
		Time       optional           `json:"time"`
		Region     optional           `json:"region"`
		Detail     *bridgeDetail      `json:"detail"`
		Version    *int               `json:"extendIntake"`
		Reprocess  json.RawMessage    `json:"reprocess"`
		Invocation optional           `json:"invocationSchemaVersion"`
		// EventSource is that of a record without its event.
		EventSource optional        `json:"eventSource"`
		Bucket      json.RawMessage `json:"bucket"`
		Object      json.RawMessage `json:"object"`
		notification
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
		var uploads []UploadEvent
		for _, raw := range *shape.Records {
			uploads = append(uploads, parseRecord(raw, wraps)...)
		}
		return uploads, nil
	case shape.DetailType != "" && shape.Source == "aws.s3" && shape.Detail != nil:
		switch {
		case strings.HasSuffix(shape.DetailType, " via CloudTrail"):
			return []UploadEvent{shape.Detail.apiCall()}, nil
		case shape.DetailType != "Object Created":
			return []UploadEvent{{Ignore: "not a creation: " + shape.DetailType}}, nil
		}
		return []UploadEvent{shape.Detail.event(string(shape.Time), string(shape.Region))}, nil
	case shape.EventSource != "":
		return parseRecord(body, wraps), nil
	case shape.Type != "":
		return shape.notification.unwrap(wraps)
	case shape.Bucket != nil && shape.Object != nil:
		return nil, fmt.Errorf("%w: it is the detail of an event of EventBridge without the rest, which says what happened to the object: let the rule's target be sent the whole event, without an input path", ErrUploadEvent)
	}
	if shape.Invocation != "" {
		return nil, fmt.Errorf("%w: it is a task of S3 Batch Operations, not an upload: let the job copy each object onto itself instead, so that S3 sends an event", ErrUploadEvent)
	}
	return nil, fmt.Errorf("%w: it has neither S3 records nor an S3 event of EventBridge", ErrUploadEvent)
}

// parseRecord reads one of a list of records: S3's, or one of those in which Lambda hands
// messages of SNS and SQS to a function, which may have sent them on as they came.
func parseRecord(raw json.RawMessage, wraps int) []UploadEvent {
	var r struct {
		EventSource optional        `json:"eventSource"`
		SNS         json.RawMessage `json:"Sns"`
		Body        optional        `json:"body"`
	}
	if err := json.Unmarshal(raw, &r); err != nil {
		return []UploadEvent{{Err: unreadable(err)}}
	}
	var uploads []UploadEvent
	var err error
	switch {
	case r.EventSource == "aws:sns" && r.SNS != nil:
		var n notification
		if err = json.Unmarshal(r.SNS, &n); err != nil {
			err = unreadable(err)
			break
		}
		uploads, err = n.unwrap(wraps)
	case r.EventSource == "aws:sqs" && r.Body != "" && wraps == 0:
		err = fmt.Errorf("%w: it was wrapped more than %d times by SNS and SQS", ErrUploadEvent, maxWraps)
	case r.EventSource == "aws:sqs" && r.Body != "":
		if uploads, err = parseUploadEvents([]byte(r.Body), wraps-1); err != nil {
			err = fmt.Errorf("%w (in the body of an SQS message that is a record of another)", err)
		}
	default:
		var s s3Record
		if err := json.Unmarshal(raw, &s); err != nil {
			return []UploadEvent{{Err: unreadable(err)}}
		}
		return []UploadEvent{s.event()}
	}
	if err != nil {
		return []UploadEvent{{Err: err}}
	}
	return uploads
}

// notification is what SNS sends to a queue that did not ask for raw messages.
// https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html
type notification struct {
	Type    optional        `json:"Type"`
	Topic   optional        `json:"TopicArn"`
	Message json.RawMessage `json:"Message"`
}

// unwrap reads the upload events in the Message.
func (n notification) unwrap(wraps int) ([]UploadEvent, error) {
	topic := "of the topic " + quote(string(n.Topic))
	if n.Topic == "" {
		topic = "of an SNS topic"
	}
	switch {
	case n.Type == "SubscriptionConfirmation":
		return nil, fmt.Errorf("%w: SNS asks to confirm a subscription %s: open the SubscribeURL in this message to confirm it, switch on raw message delivery, and delete this message", ErrUploadEvent, topic)
	case n.Type == "UnsubscribeConfirmation":
		return nil, fmt.Errorf("%w: SNS says that a subscription %s has ended: subscribe the queue again if its uploads are wanted, and delete this message", ErrUploadEvent, topic)
	case n.Type != "Notification":
		return nil, fmt.Errorf("%w: it has neither S3 records nor an S3 event of EventBridge, and its Type %s is none that SNS delivers uploads with", ErrUploadEvent, quote(string(n.Type)))
	case wraps == 0:
		return nil, fmt.Errorf("%w: SNS has wrapped it more than %d times: switch on raw message delivery for each subscription on the way", ErrUploadEvent, maxWraps)
	}
	message := []byte(n.Message)
	var text string
	switch err := json.Unmarshal(n.Message, &text); {
	case err == nil:
		message = []byte(text)
	case !strings.HasPrefix(string(n.Message), "{"): // JSON that was put in as it is will do
		return nil, fmt.Errorf("%w: a notification %s has no Message: switch on raw message delivery, or let the bucket send its events to EventBridge", ErrUploadEvent, topic)
	}
	uploads, err := parseUploadEvents(message, wraps-1)
	if err != nil {
		return nil, fmt.Errorf("%w (in the Message of a notification %s: only the bucket's events may come from there, unchanged; switch on raw message delivery, or let the bucket send them to EventBridge)", err, topic)
	}
	return uploads, nil
}

// optional is a text that no upload needs: of any other type, it counts as absent.
type optional string

// UnmarshalJSON never fails.
func (o *optional) UnmarshalJSON(raw []byte) error {
	var s string
	_ = json.Unmarshal(raw, &s)
	*o = optional(s)
	return nil
}

// size is a number of bytes, in any spelling: 10, 10.0, 1.0E1 or "10".
type size struct {
	bytes int64
	known bool
}

// maxSize is more than an object of S3 can have; up to it, every float is exact.
const maxSize = 1 << 53

// UnmarshalJSON never fails: S3 is asked for the size before anything is paid for, so a
// size that can't be understood is no reason to refuse an upload.
func (s *size) UnmarshalJSON(raw []byte) error {
	*s = size{}
	digits := strings.TrimSpace(text(raw))
	if n, err := strconv.ParseInt(digits, 10, 64); err == nil && n >= 0 {
		*s = size{n, true}
		return nil
	}
	// Go's ParseFloat also takes Inf, 0x10 and 1_0, which JSON has not.
	if n, err := strconv.ParseFloat(digits, 64); err == nil && strings.Trim(digits, "0123456789.eE+-") == "" && n == math.Trunc(n) && 0 <= n && n <= maxSize {
		*s = size{int64(n), true}
	}
	return nil
}

// MarshalJSON writes the number of bytes.
func (s size) MarshalJSON() ([]byte, error) { return strconv.AppendInt(nil, s.bytes, 10), nil }

// s3Record is a record of an S3 event. Versions 2.x and 3.x have the same members here.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
type s3Record struct {
	EventSource string   `json:"eventSource"`
	EventName   string   `json:"eventName"`
	EventTime   optional `json:"eventTime"`
	Region      optional `json:"awsRegion"`
	S3          struct {
		Bucket struct {
			Name string `json:"name"`
		} `json:"bucket"`
		Object struct {
			Key       string   `json:"key"`
			Size      size     `json:"size"`
			ETag      string   `json:"eTag"`
			VersionID string   `json:"versionId"`
			Sequencer optional `json:"sequencer"`
		} `json:"object"`
	} `json:"s3"`
}

func (r s3Record) event() UploadEvent {
	if r.EventSource != "aws:s3" {
		return UploadEvent{Err: fmt.Errorf("%w: a record's eventSource is %s, not \"aws:s3\"", ErrUploadEvent, quote(r.EventSource))}
	}
	if r.EventName == "" {
		return UploadEvent{Err: fmt.Errorf("%w: a record has no eventName", ErrUploadEvent)}
	}
	// The names in the configuration of a notification have the s3: that those in events have not.
	if !strings.HasPrefix(strings.TrimPrefix(strings.ToLower(strings.TrimSpace(r.EventName)), "s3:"), "objectcreated:") {
		return UploadEvent{Ignore: "not a creation: " + clip(r.EventName)}
	}
	// S3 writes keys as HTML forms do: + for a space, % for everything odd.
	o := r.S3.Object
	key, err := url.QueryUnescape(o.Key)
	if err != nil {
		return UploadEvent{Err: fmt.Errorf("%w: key %s can't be decoded: %s", ErrUploadEvent, quote(o.Key), clip(err.Error()))}
	}
	e := upload(Source{Bucket: r.S3.Bucket.Name, Key: key, VersionID: o.VersionID, ETag: o.ETag, Size: o.Size.bytes, Sequencer: string(o.Sequencer)}, string(r.EventTime))
	return e.seen(string(r.Region), o.Size)
}

// bridgeDetail is the detail of EventBridge's "Object Created". Its key is not
// encoded, unlike that of an S3 event.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html
type bridgeDetail struct {
	Bucket struct {
		Name string `json:"name"`
	} `json:"bucket"`
	Object struct {
		Key       string   `json:"key"`
		Size      size     `json:"size"`
		ETag      string   `json:"etag"`
		VersionID string   `json:"version-id"`
		Sequencer optional `json:"sequencer"`
	} `json:"object"`
	// EventName and ErrorCode are what CloudTrail says of an API call.
	EventName optional `json:"eventName"`
	ErrorCode optional `json:"errorCode"`
}

// creating are the API calls that make an object.
var creating = map[optional]bool{"PutObject": true, "PostObject": true, "CopyObject": true, "CompleteMultipartUpload": true}

// apiCall is about an API call that CloudTrail has recorded. One that made an object is
// an error: without the ETag, which CloudTrail does not record, the id of a document in a
// bucket without versions can't be known.
func (d bridgeDetail) apiCall() UploadEvent {
	if d.EventName != "" && (!creating[d.EventName] || d.ErrorCode != "") {
		return UploadEvent{Ignore: strings.TrimSpace("not a creation: " + clip(string(d.EventName)) + " " + clip(string(d.ErrorCode)))}
	}
	return UploadEvent{Err: fmt.Errorf("%w: it is the API call %s as CloudTrail records it, which does not say which content was uploaded: let the rule match S3's own events, whose detail-type is \"Object Created\", and let the bucket send its events to EventBridge", ErrUploadEvent, quote(string(d.EventName)))}
}

func (d bridgeDetail) event(at, region string) UploadEvent {
	o := d.Object
	e := upload(Source{Bucket: d.Bucket.Name, Key: o.Key, VersionID: o.VersionID, ETag: o.ETag, Size: o.Size.bytes, Sequencer: string(o.Sequencer)}, at)
	return e.seen(region, o.Size)
}

// seen adds what an event of S3 says beside the Source.
func (e UploadEvent) seen(region string, s size) UploadEvent {
	if e.Err == nil {
		e.Region, e.SizeUnknown = region, !s.known
	}
	return e
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
	case len(s.Key) > maxKeyBytes:
		return UploadEvent{Err: fmt.Errorf("%w: key %s has %d bytes, and S3 takes %d: S3 did not send this", ErrUploadEvent, quote(s.Key), len(s.Key), maxKeyBytes)}
	case !utf8.ValidString(s.Key):
		return UploadEvent{Err: fmt.Errorf("%w: key %s is not UTF-8", ErrUploadEvent, quote(s.Key))}
	case s.Version() == "":
		return UploadEvent{Err: fmt.Errorf("%w: %s has neither a version id nor an ETag", ErrUploadEvent, clip(s.String()))}
	}
	return UploadEvent{Source: s}
}
