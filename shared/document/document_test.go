package document

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestParseUploadEvents(t *testing.T) {
	t.Parallel()
	const record = `{"eventSource":"aws:s3","eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"in"},"object":{"key":%KEY%,"size":7,"eTag":"e1","versionId":"v1","sequencer":"00ab"}}}`
	s3 := func(key string) string {
		return `{"Records":[` + strings.ReplaceAll(record, "%KEY%", key) + `]}`
	}
	bridge := func(detailType, key string) string {
		return `{"version":"0","source":"aws.s3","detail-type":"` + detailType + `","detail":{"bucket":{"name":"in"},"object":{"key":` + key + `,"size":7,"etag":"e1","version-id":"v1","sequencer":"00ab"}}}`
	}
	tests := []struct {
		name, body   string
		key, ignore  string
		err, bodyErr string
	}{
		{name: "plain", body: s3(`"a.pdf"`), key: "a.pdf"},
		{name: "space as plus", body: s3(`"my+file.pdf"`), key: "my file.pdf"},
		{name: "plus sign", body: s3(`"a%2Bb.pdf"`), key: "a+b.pdf"},
		{name: "percent sign, decoded once", body: s3(`"a%252Bb.pdf"`), key: "a%2Bb.pdf"},
		{name: "letters beyond ASCII", body: s3(`"f%C3%BCr/%E7%B4%8D%E5%93%81.pdf"`), key: "für/納品.pdf"},
		{name: "no extension", body: s3(`"scan"`), key: "scan"},
		{name: "key can't be decoded", body: s3(`"100%.pdf"`), err: `key "100%.pdf" can't be decoded`},
		{name: "key is not UTF-8", body: s3(`"a%ff"`), err: "is not UTF-8"},
		{name: "key is missing", body: s3(`""`), err: "bucket or key is missing"},
		{name: "EventBridge does not encode", body: bridge("Object Created", `"a+b%20c ü.pdf"`), key: "a+b%20c ü.pdf"},
		{name: "EventBridge, deleted", body: bridge("Object Deleted", `"a"`), ignore: "not a creation: Object Deleted"},
		{name: "test event", body: `{"Service":"Amazon S3","Event":"s3:TestEvent","Time":"2026-01-01T00:00:00.000Z","Bucket":"in","RequestId":"r","HostId":"h"}`, ignore: "test event"},
		{name: "removed", body: strings.Replace(s3(`"a"`), "ObjectCreated:Put", "ObjectRemoved:Delete", 1), ignore: "not a creation: ObjectRemoved:Delete"},
		{name: "record of something else", body: `{"Records":[{"eventSource":"aws:sns"}]}`, err: `eventSource is "aws:sns"`},
		{name: "no records", body: `{"Records":[]}`, ignore: "no records"},
		{name: "no version", body: strings.NewReplacer(`"v1"`, `""`, `"e1"`, `""`).Replace(s3(`"a"`)), err: "neither a version id nor an ETag"},
		{name: "not JSON", body: `hello`, bodyErr: "not an upload event"},
		{name: "empty", body: "\ufeff \n", bodyErr: "not an upload event: it is empty"},
		{name: "other JSON", body: `{"detail-type":"x"}`, bodyErr: "neither S3 records nor"},
		{name: "null", body: `null`, bodyErr: "neither S3 records nor"},
		{name: "wrong type", body: `{"Records":7}`, bodyErr: "not an upload event"},
		{name: "reprocess without an attempt", body: `{"extendIntake":1,"reprocess":{"documentId":"doc_a"}}`, bodyErr: "the number of the new attempt, 2 or more"},
		{name: "reprocess the first attempt", body: `{"extendIntake":1,"reprocess":{"documentId":"doc_a","attempt":1}}`, bodyErr: "the number of the new attempt, 2 or more"},
		{name: "reprocess, an id that is none", body: `{"extendIntake":1,"reprocess":{"documentId":"doc_` + strings.Repeat("x", 2100) + `","attempt":2}}`, bodyErr: "takes a document id"},
		{name: "a list of something else", body: `[{"extendIntake":1}]`, err: "has either requeue or reprocess in it (in a list)"},
		{name: "an empty list", body: `[]`, ignore: "no records"},
		{name: "a list of events, as Pipes sends it", body: `[` + bridge("Object Created", `"a"`) + `]`, key: "a"},
		{name: "a list of S3's events", body: ` [` + s3(`"a"`) + `]`, key: "a"},
		{name: "a list of records", body: `[` + strings.ReplaceAll(record, "%KEY%", `"a"`) + `]`, key: "a"},
		{name: "a list of messages of a queue, as Pipes sends it", body: `[{"messageId":"m","eventSource":"aws:sqs","body":` + quoted(s3(`"a"`)) + `}]`, key: "a"},
		{name: "lists in lists", body: `[[[[` + s3(`"a"`) + `]]]]`, err: "array where something else belongs (the whole body"},
		{name: "a record without its event", body: strings.ReplaceAll(record, "%KEY%", `"a"`), key: "a"},
		{name: "a record of something else, without its event", body: `{"eventSource":"aws:kinesis"}`, err: `eventSource is "aws:kinesis"`},
		{name: "a byte order mark", body: "\ufeff" + s3(`"a"`), key: "a"},
		{name: "JSON in a JSON text", body: quoted(s3(`"a"`)), key: "a"},
		{name: "JSON in a JSON text, twice", body: quoted(quoted("\ufeff" + s3(`"a"`))), key: "a"},
		{name: "a text", body: `"hello"`, bodyErr: "(in a JSON text: send the event itself"},
		{name: "the detail alone", body: `{"version":"0","bucket":{"name":"in"},"object":{"key":"a","size":7,"etag":"e1"}}`, bodyErr: "it is the detail of an event of EventBridge without the rest"},
		{name: "the detail as a text", body: `{"source":"aws.s3","detail-type":"Object Created","detail":"{}"}`, bodyErr: "(detail, byte 63): S3 does not write this, so something on the way has changed the event"},
		{name: "another case", body: strings.Replace(s3(`"a"`), "ObjectCreated:Put", " s3:objectcreated:put", 1), key: "a"},
		{name: "reprocess a run", body: `{"extendIntake":1,"reprocess":{"documentId":"dpr_a","attempt":2}}`, bodyErr: "takes a document id"},
		{name: "reprocess, an attempt of a wrong type", body: `{"extendIntake":1,"reprocess":{"documentId":"doc_a","attempt":"2"}}`, bodyErr: "not an upload event: string where something else belongs (reprocess.attempt, byte"},
		{name: "reprocess without a version", body: `{"reprocess":"doc_a","attempt":2}`, bodyErr: `extendIntake, the version of the message, is missing: to reprocess, send {"extendIntake": 1, "reprocess": {"documentId": "doc_…", "attempt": 2}}`},
		{name: "a message of another version", body: `{"extendIntake":2,"reprocess":"in another form"}`, bodyErr: "a message of version 2, and this software knows version 1"},
		{name: "a version of a wrong type", body: `{"extendIntake":"1"}`, bodyErr: "not an upload event: string where something else belongs (extendIntake, byte"},
		{name: "a message of ours with nothing in it", body: `{"extendIntake":1}`, bodyErr: "has either requeue or reprocess"},
		{name: "a message of ours with both in it", body: `{"extendIntake":1,"requeue":{"bucket":"in","key":"a","eTag":"e"},"reprocess":{"documentId":"doc_a","attempt":2}}`, bodyErr: "has either requeue or reprocess"},
		{name: "requeue without a key", body: `{"extendIntake":1,"requeue":{"bucket":"in","eTag":"e"}}`, err: "bucket or key is missing"},
		{name: "with s3:, as in the configuration", body: strings.Replace(s3(`"a"`), "ObjectCreated", "s3:ObjectCreated", 1), key: "a"},
		{name: "removed, with s3:", body: strings.Replace(s3(`"a"`), "ObjectCreated:Put", "s3:ObjectRemoved:Delete", 1), ignore: "not a creation: s3:ObjectRemoved:Delete"},
		{name: "restored", body: strings.Replace(s3(`"a"`), "ObjectCreated:Put", "ObjectRestore:Completed", 1), ignore: "not a creation: ObjectRestore:Completed"},
		{name: "of version 3", body: strings.Replace(s3(`"a"`), `"eventName"`, `"eventVersion":"3.1","eventName"`, 1), key: "a"},
		{name: "no eventName", body: strings.Replace(s3(`"a"`), "eventName", "name", 1), err: "a record has no eventName"},
		{name: "an upload that CloudTrail records", body: cloudTrail(`"eventName":"PutObject"`), err: `the API call "PutObject" as CloudTrail records it, which does not say which content was uploaded: let the rule match S3's own events`},
		{name: "a multipart upload that CloudTrail records", body: cloudTrail(`"eventName":"CompleteMultipartUpload","errorCode":null`), err: `the API call "CompleteMultipartUpload"`},
		{name: "a call that CloudTrail does not name", body: cloudTrail(`"eventName":7`), err: `the API call "" as CloudTrail records it`},
		{name: "a part that CloudTrail records", body: cloudTrail(`"eventName":"UploadPart"`), ignore: "not a creation: UploadPart"},
		{name: "an upload that S3 refused", body: cloudTrail(`"eventName":"PutObject","errorCode":"AccessDenied"`), ignore: "not a creation: PutObject AccessDenied"},
		{name: "S3 Batch Operations", body: `{"invocationSchemaVersion":"1.0","invocationId":"i","job":{"id":"j"},"tasks":[{"taskId":"t","s3Key":"a","s3VersionId":null,"s3BucketArn":"arn:aws:s3:::in"}]}`, bodyErr: "a task of S3 Batch Operations, not an upload: let the job copy"},
		{name: "an ETag of a wrong type", body: strings.Replace(s3(`"a"`), `"e1"`, `7`, 1), err: "number where something else belongs (s3.object.eTag, byte 122): S3 does not write this, so something on the way has changed the event"},
		{name: "members of odd types that nobody needs", body: strings.Replace(s3(`"a"`), `"eventName"`, `"eventTime":7,"awsRegion":{},"eventName"`, 1), key: "a"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := ParseUploadEvents([]byte(tt.body))
			if tt.bodyErr != "" {
				if !errors.Is(err, ErrUploadEvent) || !strings.Contains(err.Error(), tt.bodyErr) {
					t.Fatalf("error %v, want ErrUploadEvent with %q", err, tt.bodyErr)
				}
				return
			}
			if err != nil || len(got) != 1 {
				t.Fatalf("%v, %v; want one event", got, err)
			}
			n := got[0]
			if tt.err != "" {
				if !errors.Is(n.Err, ErrUploadEvent) || !strings.Contains(n.Err.Error(), tt.err) {
					t.Fatalf("error %v, want ErrUploadEvent with %q", n.Err, tt.err)
				}
				return
			}
			want := UploadEvent{Ignore: tt.ignore}
			if tt.key != "" {
				want.Source = Source{Bucket: "in", Key: tt.key, VersionID: "v1", ETag: "e1", Size: 7, Sequencer: "00AB"}
			}
			if d := cmp.Diff(want, n); d != "" {
				t.Error(d)
			}
		})
	}
}

// cloudTrail is an API call as CloudTrail hands it to EventBridge.
func cloudTrail(members string) string {
	return `{"source":"aws.s3","region":"eu-west-1","detail-type":"AWS API Call via CloudTrail","detail":{"eventSource":"s3.amazonaws.com",` +
		`"requestParameters":{"bucketName":"in","key":"a"},` + members + `}}`
}

// wrapped is a message as SNS delivers it to a queue.
func wrapped(message string) string {
	text, _ := json.Marshal(map[string]string{
		"Type": "Notification", "MessageId": "5f1d6b2e", "TopicArn": "arn:aws:sns:eu-west-1:123456789012:uploads", "Subject": "Amazon S3 Notification",
		"Message": message, "Timestamp": "2026-07-14T09:15:01.000Z", "SignatureVersion": "1", "Signature": "EXAMPLE",
		"SigningCertURL": "https://sns.eu-west-1.amazonaws.com/x.pem", "UnsubscribeURL": "https://sns.eu-west-1.amazonaws.com/?Action=Unsubscribe",
	})
	return string(text)
}

const (
	anS3Event     = `{"Records":[{"eventSource":"aws:s3","awsRegion":"eu-west-1","eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"in"},"object":{"key":"a+b.pdf","size":7,"eTag":"e1","versionId":"v1"}}}]}`
	aBridgeEvent  = `{"source":"aws.s3","region":"eu-west-1","detail-type":"Object Created","detail":{"bucket":{"name":"in"},"object":{"key":"a b.pdf","size":7,"etag":"e1","version-id":"v1"}}}`
	aConfirmation = `{"Type":"SubscriptionConfirmation","TopicArn":"arn:t","Token":"2336","Message":"You have chosen to subscribe to the topic arn:t.","SubscribeURL":"https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription"}`
)

func TestWhatSNSWrapsIsUnwrapped(t *testing.T) {
	t.Parallel()
	upload := UploadEvent{Source: Source{Bucket: "in", Key: "a b.pdf", VersionID: "v1", ETag: "e1", Size: 7}, Region: "eu-west-1"}
	requeued := UploadEvent{Source: Source{Bucket: "in", Key: "a b.pdf", ETag: "e1"}, Requeued: true}
	for name, tt := range map[string]struct {
		body string
		want UploadEvent
		err  string
	}{
		"raw":                        {body: anS3Event, want: upload},
		"an S3 event":                {body: wrapped(anS3Event), want: upload},
		"an event of EventBridge":    {body: wrapped(aBridgeEvent), want: upload},
		"the test event":             {body: wrapped(`{"Service":"Amazon S3","Event":"s3:TestEvent"}`), want: UploadEvent{Ignore: "test event"}},
		"a message of our own":       {body: wrapped(RequeueMessage(requeued.Source)), want: requeued},
		"Message first":              {body: `{"Message":` + quoted(anS3Event) + `,"Type":"Notification"}`, want: upload},
		"Message last":               {body: `{"Type":"Notification","TopicArn":"arn:t","Message":` + quoted(anS3Event) + `}`, want: upload},
		"Message is no text, but it": {body: `{"Type":"Notification","Message":` + anS3Event + `}`, want: upload},
		"twice":                      {body: wrapped(wrapped(anS3Event)), want: upload},
		"three times":                {body: wrapped(wrapped(wrapped(anS3Event))), want: upload},
		"four times":                 {body: wrapped(wrapped(wrapped(wrapped(anS3Event)))), err: "SNS has wrapped it more than 3 times: switch on raw message delivery for each"},
		"something else": {body: wrapped(`{"orderId":7}`),
			err: `neither S3 records nor an S3 event of EventBridge (in the Message of a notification of the topic "arn:aws:sns:eu-west-1:123456789012:uploads": only the bucket's events may come from there, unchanged; switch on raw message delivery, or`},
		"a person's words":    {body: wrapped("hello"), err: `invalid character 'h' looking for beginning of value (in the Message of a notification of the topic`},
		"an empty Message":    {body: wrapped(""), err: "it is empty (in the Message of a notification"},
		"no Message":          {body: `{"Type":"Notification","TopicArn":"arn:t"}`, err: `a notification of the topic "arn:t" has no Message: switch on raw message delivery`},
		"Message is null":     {body: `{"Type":"Notification","Message":null}`, err: "Message of a notification of an SNS topic: only the bucket's events"},
		"Message is a number": {body: `{"Type":"Notification","Message":7}`, err: "a notification of an SNS topic has no Message"},
		"subscription confirmation": {body: aConfirmation,
			err: `SNS asks to confirm a subscription of the topic "arn:t": open the SubscribeURL in this message to confirm it, switch on raw message delivery, and delete this message`},
		"a confirmation, wrapped":     {body: wrapped(aConfirmation), err: "SNS asks to confirm a subscription"},
		"the subscription is removed": {body: strings.Replace(aConfirmation, "Subscription", "Unsubscribe", 1), err: `SNS says that a subscription of the topic "arn:t" has ended: subscribe the queue again`},
		"another Type":                {body: `{"Type":"Order"}`, err: `neither S3 records nor an S3 event of EventBridge, and its Type "Order" is none`},
		"a Type that is no text":      {body: `{"Type":7}`, err: "neither S3 records nor an S3 event of EventBridge"},
	} {
		got, err := ParseUploadEvents([]byte(tt.body))
		switch {
		case tt.err != "":
			if !errors.Is(err, ErrUploadEvent) || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%s: error %v, want ErrUploadEvent with %q", name, err, tt.err)
			}
		case err != nil || len(got) != 1 || got[0] != tt.want:
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, tt.want)
		}
	}
}

// A function that sends on the event that Lambda called it with sends records of SNS or SQS.
func TestWhatLambdaWrapsIsUnwrapped(t *testing.T) {
	t.Parallel()
	sns := func(message string) string {
		return `{"EventSource":"aws:sns","EventVersion":"1.0","EventSubscriptionArn":"arn:s","Sns":` + wrapped(message) + `}`
	}
	sqs := func(body string) string {
		return `{"messageId":"m","body":` + quoted(body) + `,"eventSource":"aws:sqs","awsRegion":"us-east-1"}`
	}
	records := func(r ...string) string { return `{"Records":[` + strings.Join(r, ",") + `]}` }
	for name, tt := range map[string]struct {
		body string
		want []string // keys, and for errors what they say
	}{
		"a record of SNS":            {records(sns(anS3Event)), []string{"a b.pdf"}},
		"a record of SQS":            {records(sqs(aBridgeEvent)), []string{"a b.pdf"}},
		"SQS around SNS":             {records(sqs(wrapped(anS3Event))), []string{"a b.pdf"}},
		"one bad record of several":  {records(sns("hello"), sqs(anS3Event), sns(anS3Event)), []string{"invalid character 'h'", "a b.pdf", "a b.pdf"}},
		"several uploads in each":    {records(sqs(records(sqs(anS3Event), sns(anS3Event))), sqs(anS3Event)), []string{"a b.pdf", "a b.pdf", "a b.pdf"}},
		"three times":                {records(sqs(records(sqs(records(sqs(anS3Event)))))), []string{"a b.pdf"}},
		"four times":                 {records(sqs(records(sqs(records(sqs(records(sqs(anS3Event)))))))), []string{"wrapped more than 3 times by SNS and SQS"}},
		"SQS in SNS, four times":     {wrapped(records(sqs(wrapped(records(sqs(anS3Event)))))), []string{"wrapped more than 3 times by SNS and SQS"}},
		"something else in SQS":      {records(sqs(`{"orderId":7}`)), []string{"neither S3 records nor an S3 event of EventBridge (in the body of an SQS message"}},
		"a record of SQS, no body":   {records(`{"eventSource":"aws:sqs"}`), []string{`eventSource is "aws:sqs", not "aws:s3"`}},
		"an S3 record with a body":   {strings.Replace(anS3Event, `"eventName"`, `"body":"hello","Sns":7,"eventName"`, 1), []string{"a b.pdf"}},
		"an Sns that is no object":   {records(`{"EventSource":"aws:sns","Sns":7}`), []string{"number where something else belongs"}},
		"a body that is no text":     {records(`{"eventSource":"aws:sqs","body":{}}`), []string{`eventSource is "aws:sqs", not "aws:s3"`}},
		"SQS around an empty list":   {records(sqs(`{"Records":[]}`)), []string{"no records"}},
		"SQS around the test event":  {records(sqs(`{"Event":"s3:TestEvent"}`)), []string{"test event"}},
		"SNS asks for confirmation":  {records(`{"EventSource":"aws:sns","Sns":` + aConfirmation + `}`), []string{"SNS asks to confirm a subscription"}},
		"a record that is no object": {records(`7`, sqs(anS3Event)), []string{"number where something else belongs", "a b.pdf"}},
	} {
		got, err := ParseUploadEvents([]byte(tt.body))
		if err != nil || len(got) != len(tt.want) {
			t.Errorf("%s: %+v, %v; want %q", name, got, err, tt.want)
			continue
		}
		for i, u := range got {
			said := u.Source.Key + u.Ignore
			if u.Err != nil {
				said = u.Err.Error()
			}
			// The region is that of the bucket, not of the queue that it came through.
			if !strings.Contains(said, tt.want[i]) || u.Source.Key != "" && u.Region != "eu-west-1" {
				t.Errorf("%s: %+v, want %q", name, u, tt.want[i])
			}
		}
	}
}

func quoted(s string) string {
	text, _ := json.Marshal(s)
	return string(text)
}

// Whoever forwards an event may write its numbers anew.
func TestSizeInAnySpelling(t *testing.T) {
	t.Parallel()
	for spelling, want := range map[string]int64{
		`0`: 0, `10`: 10, `10.0`: 10, `1.0E7`: 10_000_000, `1e7`: 10_000_000, `"10"`: 10, `" 10.0 "`: 10, `5497558138880`: 5 << 40,
		`5.49755813888E12`: 5 << 40, `9223372036854775807`: 1<<63 - 1,
		// -1 is for unknown.
		`null`: -1, `""`: -1, `"large"`: -1, `-1`: -1, `-1e3`: -1, `10.5`: -1, `1e300`: -1, `"1e999"`: -1, `"Inf"`: -1, `"NaN"`: -1, `"0x10"`: -1, `"1_0"`: -1,
		`true`: -1, `[10]`: -1, `{"bytes":10}`: -1, `92233720368547758070`: -1,
	} {
		for _, event := range []string{anS3Event, aBridgeEvent} {
			got, err := ParseUploadEvents([]byte(strings.Replace(event, `"size":7`, `"size":`+spelling, 1)))
			if err != nil || len(got) != 1 || got[0].Err != nil || got[0].Source.Size != max(want, 0) || got[0].SizeUnknown != (want < 0) {
				t.Errorf("size %s: %+v, %v; want %d", spelling, got, err, want)
			}
		}
	}
	if got, err := ParseUploadEvents([]byte(strings.Replace(anS3Event, `"size":7,`, ``, 1))); err != nil || !got[0].SizeUnknown {
		t.Errorf("no size: %+v, %v", got, err)
	}
}

func FuzzParseUploadEvents(f *testing.F) {
	s := Source{Bucket: "in", Key: "a", ETag: "e"}
	for _, body := range []string{
		anS3Event, aBridgeEvent, aConfirmation, wrapped(anS3Event), wrapped(wrapped(aBridgeEvent)), wrapped("hello"),
		`{"Type":"Notification","Message":` + anS3Event + `}`, `{"Type":"Notification","Message":null}`,
		strings.Replace(anS3Event, "ObjectCreated", "s3:ObjectCreated", 1), strings.Replace(anS3Event, `:7`, `:1.0E7`, 1), strings.Replace(anS3Event, `:7`, `:"7"`, 1),
		`{"Records":[{"EventSource":"aws:sns","Sns":` + wrapped(anS3Event) + `},{"eventSource":"aws:sqs","body":` + quoted(aBridgeEvent) + `}]}`,
		cloudTrail(`"eventName":"PutObject"`), `{"invocationSchemaVersion":"1.0"}`,
		`{"Service":"Amazon S3","Event":"s3:TestEvent"}`, `{"Records":[]}`, RequeueMessage(s), ReprocessMessage(Reprocess{DocumentID: s.DocumentID(), Attempt: 2}),
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		uploads, err := ParseUploadEvents(body)
		if err != nil {
			if uploads != nil || !errors.Is(err, ErrUploadEvent) {
				t.Fatalf("%+v, %v", uploads, err)
			}
			return
		}
		if len(uploads) == 0 {
			t.Fatal("nothing is left of it: the message would be done with, and nobody would know")
		}
		for _, u := range uploads {
			said := 0
			for _, is := range []bool{u.Source.Bucket != "", u.Reprocess.DocumentID != "", u.Ignore != "", u.Err != nil} {
				if is {
					said++
				}
			}
			if said != 1 || u.Err != nil && !errors.Is(u.Err, ErrUploadEvent) {
				t.Fatalf("not one of the four: %+v", u)
			}
			if u.Source.Bucket != "" && (u.Source.Key == "" || u.Source.Version() == "" || !utf8.ValidString(u.Source.Key) || !u.Requeued && u.Source.Size < 0) {
				t.Fatalf("%+v", u)
			}
			if u.Source.Bucket == "" && (u.Region != "" || u.SizeUnknown) {
				t.Fatalf("%+v", u)
			}
		}
		// Bare or by way of SNS, an upload is the same document, unless SNS is one wrap too many.
		again, err := ParseUploadEvents([]byte(wrapped(string(body))))
		if !utf8.Valid(body) || err != nil && strings.Contains(err.Error(), "more than") {
			return
		}
		if err != nil || len(again) < 1 {
			t.Fatalf("%+v, and wrapped %v", uploads, err)
		}
		for _, u := range again {
			if u.Err != nil && strings.Contains(u.Err.Error(), "more than") {
				return
			}
		}
		if len(again) != len(uploads) {
			t.Fatalf("%+v, and wrapped %+v", uploads, again)
		}
		for i := range again {
			if again[i].DocumentID() != uploads[i].DocumentID() {
				t.Fatalf("%+v, and wrapped %+v", uploads, again)
			}
		}
	})
}

func TestOneBadRecordSpoilsNoOther(t *testing.T) {
	t.Parallel()
	const body = `{"Records":[
		{"eventSource":"aws:s3","eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"in"},"object":{"key":"%zz","eTag":"e"}}},
		{"eventSource":"aws:s3","eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"in"},"object":{"key":"good","eTag":"\"e\"","versionId":"null"}}}]}`
	got, err := ParseUploadEvents([]byte(body))
	if err != nil || len(got) != 2 || got[0].Err == nil || got[1].Err != nil {
		t.Fatalf("got %+v, %v", got, err)
	}
	if s := got[1].Source; s.Version() != "e" || s.VersionID != "" {
		t.Errorf("version of a bucket with versioning suspended: %+v, want the ETag", s)
	}
}

func TestDocumentID(t *testing.T) {
	t.Parallel()
	// Fixed for ever: the ids of a table that exists must not change.
	s := Source{Bucket: "in", Key: "a/b.pdf", VersionID: "v1", ETag: "e1"}
	if got, want := s.DocumentID(), "doc_"; !strings.HasPrefix(got, want) || len(got) != 30 {
		t.Errorf("DocumentID() = %q", got)
	}
	golden := filepath.Join("testdata", "document_id.txt")
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.DocumentID(); got != strings.TrimSpace(string(want)) {
		t.Errorf("DocumentID() = %s, want %s as in %s", got, want, golden)
	}
	moved := Source{Bucket: "ina", Key: "/b.pdf", VersionID: "v1"}
	if moved.DocumentID() == s.DocumentID() {
		t.Error("a byte moved from key to bucket makes the same id")
	}
	unversioned := s
	unversioned.VersionID = ""
	if unversioned.DocumentID() == s.DocumentID() {
		t.Error("the ETag of an unversioned object makes the id of a versioned one")
	}
	again := s
	again.Sequencer, again.Size = "FF", 9
	if again.DocumentID() != s.DocumentID() {
		t.Error("sequencer or size change the id")
	}
}

func TestFileName(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]string{
		"Invoice 42.pdf":                         "Invoice 42.TOKEN.pdf",
		"a/b/scan":                               "scan-TOKEN",
		"v1. final version":                      "v1. final version-TOKEN",
		"a/b/":                                   "b-TOKEN",
		"invoice.pdf ":                           "invoice.TOKEN.pdf",
		"invoice .pdf":                           "invoice.TOKEN.pdf",
		"file.pdf?download=1":                    "file.TOKEN.pdf",
		"page.html#top":                          "page.TOKEN.html",
		"what?":                                  "what?-TOKEN",
		"ends with a dot.":                       "ends with a dot-TOKEN",
		"in\u202evoice.pdf":                      "in_voice.TOKEN.pdf",
		".pdf":                                   "TOKEN.pdf",
		"in/..":                                  "TOKEN",
		"-rf.pdf":                                "rf.TOKEN.pdf",
		"- .pdf":                                 "TOKEN.pdf",
		"x.doc_rqsfnoxsp5sm2uyvtaoicq4ati-1.pdf": "x.TOKEN.pdf",
		"doc_rqsfnoxsp5sm2uyvtaoicq4ati-1.pdf":   "TOKEN.pdf",
		"doc_rqsfnoxsp5sm2uyvtdoc_rqsfnoxsp5sm2uyvtaoicq4ati-1aoicq4ati-2.pdf": "TOKEN.pdf",
		"x\n\t.PDF":                       "x__.TOKEN.PDF",
		strings.Repeat("é", 200) + ".tif": strings.Repeat("é", 60) + ".TOKEN.tif",
	} {
		s := Source{Bucket: "in", Key: key, VersionID: "v"}
		want = strings.ReplaceAll(want, "TOKEN", Token(s.DocumentID(), 3))
		if got := s.FileName(3, ""); got != want {
			t.Errorf("FileName of %q = %q, want %q", key, got, want)
		}
	}
}

// A short end of a name is an extension only if it can be one: Extend goes by it.
func TestFileNameExtension(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ key, contentType, want string }{
		{"Rechnung Nr.5", "application/pdf", "Rechnung Nr.5-TOKEN.pdf"},
		{"v1.0", "application/pdf", "v1.0-TOKEN.pdf"},
		{"scan.001", "application/pdf; charset=binary", "scan.001-TOKEN.pdf"},
		{"report.final", "application/pdf", "report.final-TOKEN.pdf"},
		{"a.2026", "", "a.2026-TOKEN"},
		{"scan.001", "binary/octet-stream", "scan.001-TOKEN"},
		{"report.final", "", "report.TOKEN.final"}, // nothing says anything better
		{"plan.dwg", "binary/octet-stream", "plan.TOKEN.dwg"},
		{"plan.dwg", "image/x-dwg", "plan.TOKEN.dwg"},
		{"photo.JPEG", "image/jpeg", "photo.TOKEN.JPEG"},
		{"invoice.pdf", "binary/octet-stream", "invoice.TOKEN.pdf"},
		{"invoice.pdf", "text/plain", "invoice.TOKEN.pdf"}, // what a tool guessed
		{"file.pdf?v=1.0", "", "file.TOKEN.pdf"},
		{"scan", "application/pdf", "scan-TOKEN.pdf"},
		{"in/..", "application/pdf", "TOKEN.pdf"},
	} {
		s := Source{Bucket: "in", Key: c.key, VersionID: "v"}
		want := strings.ReplaceAll(c.want, "TOKEN", Token(s.DocumentID(), 3))
		if got := s.FileName(3, c.contentType); got != want {
			t.Errorf("FileName of %q, %q = %q, want %q", c.key, c.contentType, got, want)
		}
	}
}

func sources(t *rapid.T) Source {
	s := Source{
		Bucket:    rapid.StringMatching(`[a-z0-9.-]{3,63}`).Draw(t, "bucket"),
		Key:       rapid.StringN(1, -1, 1024).Filter(utf8.ValidString).Draw(t, "key"),
		VersionID: rapid.StringMatching(`[A-Za-z0-9._-]{0,40}`).Filter(func(v string) bool { return v != "null" }).Draw(t, "version"),
		ETag:      rapid.StringMatching(`[0-9a-f]{32}(-[0-9]{1,4})?`).Draw(t, "etag"),
		Size:      rapid.Int64Min(0).Draw(t, "size"),
		Sequencer: rapid.StringMatching(`[0-9A-F]{0,20}`).Draw(t, "sequencer"),
	}
	if ms := rapid.Int64Range(0, 4e12).Draw(t, "uploaded at"); ms > 0 {
		s.UploadedAt = time.UnixMilli(ms).UTC()
	}
	return s
}

func TestRequeueMessage(t *testing.T) {
	t.Parallel()
	s := Source{Bucket: "in", Key: "a+b%20/für.pdf", VersionID: "v1", ETag: "e1", Size: 7, Sequencer: "0A", UploadedAt: time.Date(2026, 7, 14, 9, 15, 0, 120e6, time.UTC)}
	const want = `{"extendIntake":1,"requeue":{"bucket":"in","key":"a+b%20/für.pdf","versionId":"v1","eTag":"e1","size":7,"sequencer":"0A","uploadedAt":"2026-07-14T09:15:00.12Z"}}`
	if d := cmp.Diff(want, RequeueMessage(s)); d != "" {
		t.Error(d)
	}
}

func TestRequeueMessageIsReadBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := sources(t)
		if rapid.Bool().Draw(t, "odd key") { // all of S3's keys, and not all of SQS's characters
			want.Key += "\x01\uFFFE\uFFFF\x7f\U0001F600"
		}
		text := RequeueMessage(want)
		for _, c := range text {
			if c < ' ' || c == 0xFFFE || c == 0xFFFF {
				t.Fatalf("SQS refuses %U, in %q", c, text)
			}
		}
		got, err := ParseUploadEvents([]byte(text))
		if err != nil || len(got) != 1 || got[0].Source != want || !got[0].Requeued {
			t.Fatalf("%+v came back as %+v, %v", want, got, err)
		}
	})
}

func TestReprocessMessageIsReadBack(t *testing.T) {
	t.Parallel()
	id := Source{Bucket: "in", Key: "a", ETag: "e"}.DocumentID()
	for _, tt := range []struct {
		wish         Reprocess
		form, reason string
	}{
		{Reprocess{DocumentID: id, Attempt: 3}, `"attempt":3}}`, "asked for"},
		{Reprocess{DocumentID: id, Attempt: 3, By: "arn:aws:iam::1:user/kim", Why: "scanner\nmended"}, `"attempt":3,"by":"arn:aws:iam::1:user/kim","why":"scanner\nmended"}}`, "asked for by arn:aws:iam::1:user/kim: scanner mended"},
		{Reprocess{DocumentID: id, Attempt: 3, Why: strings.Repeat("x", 500)}, `"attempt":3,"why":"` + strings.Repeat("x", 500) + `"}}`, "asked for: " + strings.Repeat("x", 189) + "…"},
	} {
		text := ReprocessMessage(tt.wish)
		if form := `{"extendIntake":1,"reprocess":{"documentId":"` + id + `",` + tt.form; text != form {
			t.Errorf("%s, want %s", text, form)
		}
		got, err := ParseUploadEvents([]byte(text))
		if err != nil || len(got) != 1 || got[0] != (UploadEvent{Reprocess: tt.wish}) {
			t.Errorf("%+v, %v", got, err)
		}
		if reason := tt.wish.Reason(); reason != tt.reason {
			t.Errorf("reason %q, want %q", reason, tt.reason)
		}
	}
}

func TestTagIsReadBackAndSmall(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := sources(t)
		want := signed(NewTag("123456789012/eu-west-1/intake", s, rapid.IntRange(1, 1000).Draw(t, "attempt"), "intake"))
		m, err := json.Marshal(want.Metadata())
		if err != nil {
			t.Fatal(err)
		}
		if len(m) >= 10_000 {
			t.Fatalf("metadata of %d bytes", len(m))
		}
		got, err := ParseTag(m)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Fatal(d)
		}
		name := want.FileName("")
		if !utf8.ValidString(name) || len(name) > 200 || !strings.Contains(name, Token(want.DocumentID, want.Attempt)) {
			t.Fatalf("file name %q", name)
		}
		if token, ok := ParseToken(name); strings.Count(name, "doc_") == 1 && (!ok || token.Signature != want.Signature) {
			t.Fatalf("file name %q: %+v", name, token)
		}
	})
}

func TestTagOfLargestKey(t *testing.T) {
	t.Parallel()
	// A control character takes six bytes in JSON: the worst that a key can do.
	s := Source{Bucket: strings.Repeat("b", 63), Key: strings.Repeat("\x01", 1024), VersionID: strings.Repeat("v", 1024), ETag: strings.Repeat("e", 40)}
	m, err := json.Marshal(signed(NewTag(strings.Repeat("s", 200), s, 1, "x")).Metadata())
	if err != nil || len(m) >= 10_000 {
		t.Errorf("metadata of %d bytes, %v", len(m), err)
	}
}

func TestParseTagRefuses(t *testing.T) {
	t.Parallel()
	good, _ := json.Marshal(NewTag("s", Source{Bucket: "in", Key: "k", ETag: "e"}, 1).Metadata())
	for name, m := range map[string]string{
		"absent":               ``,
		"null":                 `null`,
		"empty":                `{}`,
		"not an object":        `[1]`,
		"somebody else's":      `{"documentId":"doc_1","attempt":1}`,
		"other types":          `{"stack":1,"documentId":2,"attempt":"x"}`,
		"attempt 0":            strings.Replace(string(good), `"attempt":1`, `"attempt":0`, 1),
		"attempt 1.5":          strings.Replace(string(good), `"attempt":1`, `"attempt":1.5`, 1),
		"attempt beyond any":   strings.Replace(string(good), `"attempt":1`, `"attempt":9223372036854775807`, 1),
		"attempt of an object": strings.Replace(string(good), `"attempt":1`, `"attempt":{}`, 1),
		"no document's id":     `{"stack":"s","documentId":"doc_1","attempt":1}`,
	} {
		if tag, err := ParseTag(json.RawMessage(m)); !errors.Is(err, ErrNoTag) {
			t.Errorf("%s: %+v, %v; want ErrNoTag", name, tag, err)
		}
	}
}

// Extend gives metadata back, and need not give it back as it was sent.
func TestParseTagInAnySpelling(t *testing.T) {
	t.Parallel()
	src := Source{Bucket: "in", Key: "München.pdf", ETag: "e"}
	sent, err := json.Marshal(NewTag("s", src, 1, "u").Metadata())
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		old, new string
		source   bool
	}{
		"as it was sent":                {"", "", true},
		"1.0":                           {`"attempt":1`, `"attempt":1.0`, true},
		"1e0":                           {`"attempt":1`, `"attempt":1e0`, true},
		"text":                          {`"attempt":1`, `"attempt":"1"`, true},
		"text with a fraction":          {`"attempt":1`, `"attempt":" 1.0 "`, true},
		"null where nothing was":        {`"versionId":""`, `"versionId":null`, true},
		"usage tags as text":            {`["u"]`, `"u"`, true},
		"one more member":               {`{`, `{"extra":{"a":[1]},`, true},
		"another Unicode form":          {"ü", "u\u0308", false},
		"the key is left out":           {`"key":`, `"other":`, false},
		"the object was exchanged":      {`"key":"M`, `"key":"N`, false},
		"no version":                    {`"eTag":"e"`, `"eTag":""`, false},
		"a key longer than S3 has":      {`"key":"`, `"key":"` + strings.Repeat("x", 2000), false},
		"the bucket is of another type": {`"bucket":"in"`, `"bucket":["in"]`, false},
	} {
		tag, err := ParseTag(json.RawMessage(strings.Replace(string(sent), c.old, c.new, 1)))
		if err != nil || tag.Stack != "s" || tag.DocumentID != src.DocumentID() || tag.Attempt != 1 || tag.HasSource() != c.source {
			t.Errorf("%s: %+v (source: %t), %v", name, tag, tag.HasSource(), err)
		}
	}
}

func TestParseToken(t *testing.T) {
	t.Parallel()
	src := Source{Bucket: "in", Key: "Invoice 42.pdf", VersionID: "v"}
	id := src.DocumentID()
	for name, c := range map[string]struct {
		fileName string
		attempt  int
	}{
		"ours":              {src.FileName(12, ""), 12},
		"without extension": {Source{Bucket: "in", Key: "Invoice 42", VersionID: "v"}.FileName(1, ""), 1},
		"none":              {"Invoice 42.pdf", 0},
		"attempt 0":         {"a." + id + "-0.pdf", 0},
		"one in the key":    {"a." + id + "-1." + id + "-2.pdf", 2},
		"too large":         {"a." + id + "-99999999.pdf", 9999999},
	} {
		got, ok := ParseToken(c.fileName)
		if ok != (c.attempt > 0 && c.attempt <= maxAttempt) || ok && (got.Attempt != c.attempt || name == "ours" && got.DocumentID != id) {
			t.Errorf("%s: %+v, %t", name, got, ok)
		}
	}
}

func TestFileNameByContentType(t *testing.T) {
	t.Parallel()
	s := Source{Bucket: "in", Key: "xtapj2", VersionID: "v"}
	token := Token(s.DocumentID(), 1)
	for contentType, want := range map[string]string{
		"application/pdf":                 "xtapj2-" + token + ".pdf",
		"Application/PDF; charset=binary": "xtapj2-" + token + ".pdf",
		"binary/octet-stream":             "xtapj2-" + token,
		"":                                "xtapj2-" + token,
	} {
		if got := s.FileName(1, contentType); got != want {
			t.Errorf("%s: %q, want %q", contentType, got, want)
		}
	}
	s.Key = "a.tif"
	if got := s.FileName(1, "application/pdf"); got != "a."+Token(s.DocumentID(), 1)+".tif" {
		t.Errorf("%q: the object's own extension is what its owner meant", got)
	}
}

func TestLinkable(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]bool{
		"a.pdf": true, "in/a.pdf": true, "in/.hidden": true, "in/..a": true, "a//b": true,
		"./a.pdf": false, "in/../a.pdf": false, "in/.": false, "/a.pdf": false, "//a.pdf": false,
	} {
		if got := (Source{Key: key}).Linkable(); got != want {
			t.Errorf("%q: %t", key, got)
		}
	}
}

func TestUsageTags(t *testing.T) {
	t.Parallel()
	m := Tag{UsageTags: []string{"batch 2026/07", "team-intake", "…"}}.Metadata()
	if d := cmp.Diff([]string{"batch202607", "team-intake"}, m["extend:usage_tags"]); d != "" {
		t.Error(d)
	}
}

func TestRouteMatches(t *testing.T) {
	t.Parallel()
	r := Route{Prefix: "in/", Suffix: ".pdf"}
	for key, want := range map[string]bool{"in/a.pdf": true, "in/a.PDF": false, "out/a.pdf": false, "in/.pdf": true} {
		if r.Matches(key) != want {
			t.Errorf("Matches(%q) = %v", key, !want)
		}
	}
	if !(Route{}).Matches("anything") {
		t.Error("the empty route does not match everything")
	}
}

// What somebody made up may be as large as a message: what is said of it is not.
func TestNamesThatAreTooLong(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("k", 600<<10)
	for name, body := range map[string]string{
		"key":               `{"Records":[{"eventSource":"aws:s3","eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"b"},"object":{"key":"` + long + `","eTag":"e"}}}]}`,
		"a byte too much":   `{"Records":[{"eventSource":"aws:s3","eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"b"},"object":{"key":"` + long[:1025] + `","eTag":"e"}}}]}`,
		"without version":   `{"Records":[{"eventSource":"aws:s3","eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"` + long + `"},"object":{"key":"k"}}}]}`,
		"not decodable":     `{"Records":[{"eventSource":"aws:s3","eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"b"},"object":{"key":"%` + long + `","eTag":"e"}}}]}`,
		"source":            `{"Records":[{"eventSource":"` + long + `","eventName":"ObjectCreated:Put"}]}`,
		"name of the event": `{"Records":[{"eventSource":"aws:s3","eventName":"` + long + `"}]}`,
		"requeue":           `{"extendIntake":1,"requeue":{"bucket":"b","key":"` + long + `","eTag":"e"}}`,
		"bridge":            `{"source":"aws.s3","detail-type":"Object Created","detail":{"bucket":{"name":"b"},"object":{"key":"` + long + `","etag":"e"}}}`,
	} {
		events, err := ParseUploadEvents([]byte(body))
		reason := fmt.Sprint(err)
		for _, e := range events {
			if reason += fmt.Sprint(e.Err, e.Ignore); e.Err == nil && e.Ignore == "" {
				t.Errorf("%s: taken as an upload", name)
			}
		}
		if len(reason) > 1000 {
			t.Errorf("%s: a reason of %d bytes: %.300s", name, len(reason), reason)
		}
	}
	edge := `{"Records":[{"eventSource":"aws:s3","eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"b"},"object":{"key":"` + long[:1024] + `","eTag":"e"}}}]}`
	if events, err := ParseUploadEvents([]byte(edge)); err != nil || len(events) != 1 || events[0].Err != nil {
		t.Errorf("a key of 1,024 bytes: %v, %v", events, err)
	}
}

func TestListedMessageIsReadBack(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 25, 8, 0, 0, 5e6, time.UTC)
	rapid.Check(t, func(t *rapid.T) {
		s := sources(t)
		want := s
		want.UploadedAt = now
		want.Sequencer = sequencer(s.UploadedAt)
		got, err := ParseUploadEvents([]byte(ListedMessage(s, now)))
		if err != nil || len(got) != 1 || got[0] != (UploadEvent{Source: want}) || want.DocumentID() != s.DocumentID() {
			t.Fatalf("%+v came back as %+v, %v", s, got, err)
		}
	})
	// As S3 writes them: https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
	if s := sequencer(time.Date(2015, 7, 21, 23, 33, 48, 0, time.UTC)); s != "0055AED6DC" || s >= "0055AED6DCD90281E5" {
		t.Errorf("%s does not come right before S3's of the same second", s)
	}
}
