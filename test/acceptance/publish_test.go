package acceptance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	bustypes "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"extend-intake/dev/stack"
	"extend-intake/dev/stack/emulator"
	"extend-intake/shared/document"
	"extend-intake/shared/event"
	"extend-intake/shared/event/eventtest"
	"extend-intake/shared/ledger"
)

// deployConsumer deploys examples/consumer next to the stack, as its README says, and
// returns the outputs.
func (s *deployment) deployConsumer(t *testing.T) map[string]string {
	t.Helper()
	const name = "my-consumer"
	arch := stack.Architecture()
	build := filepath.Join(s.Relative(s.Dir), "consumer")
	if err := s.Run(t.Context(), "consumer-build.log", "make", "--no-print-directory", "build",
		fmt.Sprintf("SAM_BUILD=--template-file examples/consumer/template.yaml --build-dir %s", build), "OVERRIDES=Architecture="+arch); err != nil {
		t.Fatal(err)
	}
	if err := s.Run(t.Context(), "consumer-deploy.log", filepath.Join(s.Root, ".tools/sam/bin/sam"), "deploy",
		"--template-file", filepath.Join(build, "template.yaml"), "--stack-name", name, "--resolve-s3", "--capabilities", "CAPABILITY_IAM",
		"--no-confirm-changeset", "--no-progressbar", "--parameter-overrides", "Architecture="+arch,
		"EventBusName="+s.Outputs["EventBusName"], "ResultsBucketName="+s.Outputs["ResultsBucketName"]); err != nil {
		t.Fatal(err)
	}
	stacks, err := cloudformation.NewFromConfig(emulator.AWSConfig(s.AWS.URL)).DescribeStacks(t.Context(), &cloudformation.DescribeStacksInput{StackName: aws.String(name)})
	if err != nil {
		t.Fatal(err)
	}
	outputs := make(map[string]string)
	for _, o := range stacks.Stacks[0].Outputs {
		outputs[*o.OutputKey] = *o.OutputValue
	}
	return outputs
}

// An inbox is a queue behind a rule that matches every event of ours.
type inbox struct {
	*deployment
	url  string
	seen []received
}

type received struct {
	Source     string          `json:"source"`
	DetailType string          `json:"detail-type"`
	Detail     json.RawMessage `json:"detail"`
	parsed     *event.Detail
}

func (s *deployment) openInbox(t *testing.T, bus *eventbridge.Client, name string) *inbox {
	t.Helper()
	queue, err := s.SQS.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: &name})
	if err != nil {
		t.Fatal(err)
	}
	q, err := s.SQS.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: queue.QueueUrl, AttributeNames: []sqstypes.QueueAttributeName{sqstypes.QueueAttributeNameQueueArn}})
	if err != nil {
		t.Fatal(err)
	}
	busName := s.Outputs["EventBusName"]
	if _, err := bus.PutRule(t.Context(), &eventbridge.PutRuleInput{Name: &name, EventBusName: &busName, EventPattern: aws.String(`{"source":["extend-intake"]}`)}); err != nil {
		t.Fatal(err)
	}
	if _, err := bus.PutTargets(t.Context(), &eventbridge.PutTargetsInput{Rule: &name, EventBusName: &busName,
		Targets: []bustypes.Target{{Id: &name, Arn: aws.String(q.Attributes["QueueArn"])}}}); err != nil {
		t.Fatal(err)
	}
	return &inbox{deployment: s, url: *queue.QueueUrl}
}

// read takes what has arrived, and checks it against the contract.
func (b *inbox) read(t *testing.T) error {
	t.Helper()
	for {
		got, err := b.SQS.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &b.url, MaxNumberOfMessages: 10})
		if err != nil || len(got.Messages) == 0 {
			return err
		}
		for _, m := range got.Messages {
			var r received
			if err := json.Unmarshal([]byte(*m.Body), &r); err != nil {
				t.Fatalf("%v: %s", err, *m.Body)
			}
			if err := eventtest.CheckPublished(r.Source, r.DetailType, r.Detail); err != nil {
				t.Errorf("an event is not what the contract says: %v\n%s", err, r.Detail)
			}
			if r.parsed, err = event.Parse(r.Detail); err != nil {
				t.Fatal(err)
			}
			b.seen = append(b.seen, r)
			if _, err := b.SQS.DeleteMessage(t.Context(), &sqs.DeleteMessageInput{QueueUrl: &b.url, ReceiptHandle: m.ReceiptHandle}); err != nil {
				return err
			}
		}
	}
}

// of is what was received about a document, in the order of arrival.
func (b *inbox) of(documentID string) []received {
	return slices.DeleteFunc(slices.Clone(b.seen), func(r received) bool { return r.parsed.DocumentID != documentID })
}

// apply records facts about a document, as the functions do.
func (s *deployment) apply(t *testing.T, src document.Source, facts ...ledger.Fact) {
	t.Helper()
	for _, f := range facts {
		if o, ok := f.(ledger.RunEnded); ok { // as from a GET of now
			rec, err := s.Ledger.Get(t.Context(), src.DocumentID())
			if err != nil {
				t.Fatal(err)
			}
			o.Fetched, o.AsOf = true, rec.Version
			f = o
		}
		if _, err := s.Ledger.Apply(t.Context(), src.DocumentID(), f); err != nil {
			t.Fatalf("%s: %T: %v", src.Key, f, err)
		}
	}
}

// Some of an output's values; each event is compared with what went into the table.
var (
	plainOutput = `{"value":{"text":"é <b>&\u2028🧾","total":1234.5,"vat":0.077,"whole":9007199254740991,"empty":{"a":[],"b":{},"c":""},"due":null},"metadata":{}}`
	exactOutput = `{"value":{"big":12345678901234567890,"long":0.12345678901234567890123456789012345678}}`
	queueOutput = `{"value":{"text":"in\uFFFFvoice \u0000"}}`                       // no queue takes it raw
	largeOutput = `{"value":{"text":"` + strings.Repeat("ballast ", 40_000) + `"}}` // fits an item, not an event
)

func TestEvents(t *testing.T) {
	t.Parallel()
	s := theStack(t)
	bus := eventbridge.NewFromConfig(emulator.AWSConfig(s.AWS.URL))
	consumer := s.deployConsumer(t)
	box := s.openInbox(t, bus, "inbox")

	type expected struct{ detailType, output, location string }
	want := make(map[string][]expected) // document id → its events
	results, announced := "s3://"+s.Outputs["ResultsBucketName"]+"/", "s3://"+s.Outputs["ResultsBucketName"]+"/announced/"

	// What comes of uploads, from the bucket to the bus.
	outputOf := func(src document.Source) string { // once it has ended
		runs := s.runs(src)
		return string(runs[len(runs)-1].Output)
	}
	exact := s.put(t, "announced/exact.pdf", []byte("%PDF-1.4 announced"))
	huge := s.put(t, "huge announced.pdf", []byte("%PDF-1.4 huge announced"))
	tooLarge := s.put(t, "announced/too large.pdf", bytes.Repeat([]byte("announced"), maxTestFile/8))
	s.ended(t, exact, ledger.Processed)
	s.ended(t, huge, ledger.Processed)
	s.ended(t, tooLarge, ledger.Failed)
	want[exact.DocumentID()] = []expected{{event.Processed, outputOf(exact), announced}}
	want[huge.DocumentID()] = []expected{{event.Processed, outputOf(huge), results}}
	want[tooLarge.DocumentID()] = []expected{{detailType: event.Failed}}

	// What the fake Extend does not do is recorded in the deployed table directly.
	n := 0
	source := func(key string) document.Source {
		n++
		return document.Source{Bucket: s.Outputs["UploadBucketName"], Key: "only recorded/" + key, VersionID: fmt.Sprint(n), ETag: "e", Size: 1, Sequencer: "0A"}
	}
	claim := func(src document.Source) ledger.Fact {
		return ledger.Claim{Source: src, ProcessorID: stack.ProcessorID, Version: "latest"}
	}
	runEnded := func(src document.Source, attempt int, state ledger.State, output string) ledger.RunEnded {
		o := ledger.RunEnded{Source: src, Signed: true, Attempt: attempt, RunID: fmt.Sprintf("dpr_%s_%d", src.VersionID, attempt), RunURL: "https://example.com", ProcessorID: stack.ProcessorID,
			State: state, Type: "EXTRACT", Credits: "2.5", Digest: hexSum([]byte(output))}
		if output != "" {
			var err error
			if o.Output, err = ledger.NewOutput(json.RawMessage(output)); err != nil {
				t.Fatal(err)
			}
		}
		return o
	}
	for key, e := range map[string]expected{
		"plain": {event.Processed, plainOutput, ""}, "exact": {event.Processed, exactOutput, announced}, "queue": {event.Processed, queueOutput, announced}, "large": {event.Processed, largeOutput, announced}, "null": {event.Processed, "null", ""},
	} {
		src := source(key)
		s.apply(t, src, claim(src), ledger.Accepted{Attempt: 1, RunID: fmt.Sprintf("dpr_%s_1", src.VersionID)}, runEnded(src, 1, ledger.Processed, e.output))
		want[src.DocumentID()] = []expected{e}
	}
	refused := source("refused")
	s.apply(t, refused, claim(refused), ledger.Refusal{ClaimNumber: 1, Code: "INVALID_FILE_TYPE", Message: "no", RequestID: "req_1"})
	want[refused.DocumentID()] = []expected{{detailType: event.Refused}}
	cancelled := source("cancelled")
	s.apply(t, cancelled, claim(cancelled), runEnded(cancelled, 1, ledger.Cancelled, ""))
	want[cancelled.DocumentID()] = []expected{{detailType: event.Cancelled}}
	gone := source("gone")
	s.apply(t, gone, claim(gone), ledger.Accepted{Attempt: 1, RunID: "dpr_gone"})
	for _, later := range []time.Duration{24 * time.Hour, 25 * time.Hour} { // Extend has to say it twice
		then := s.Ledger.Through(ledger.DefaultRules, func() time.Time { return time.Now().Add(later) },
			func(ctx context.Context, _ ledger.Access, do func(context.Context) error) error { return do(ctx) })
		if _, err := then.Apply(t.Context(), gone.DocumentID(), ledger.RunMissing{RunID: "dpr_gone"}); err != nil {
			t.Fatal(err)
		}
	}
	want[gone.DocumentID()] = []expected{{detailType: event.Cancelled}}
	// A failure that is retried is not announced. Then a person reviews the result and
	// has the document reprocessed, and that fails.
	eventful := source("eventful")
	transient := runEnded(eventful, 1, ledger.Failed, "")
	transient.FailureReason = "INTERNAL_ERROR"
	reviewed := runEnded(eventful, 2, ledger.Processed, `{"value":{"total":3}}`)
	reviewed.Reviewed, reviewed.Edited = true, true
	hopeless := runEnded(eventful, 3, ledger.Failed, "")
	hopeless.FailureReason = "CORRUPT_FILE"
	s.apply(t, eventful, claim(eventful), transient, claim(eventful), runEnded(eventful, 2, ledger.Processed, `{"value":{"total":2}}`),
		runEnded(eventful, 2, ledger.Processed, `{"value":{"total":2}}`), reviewed, ledger.Reprocess{Attempt: 3, Reason: "a person", Bucket: eventful.Bucket}, claim(eventful), hopeless)
	want[eventful.DocumentID()] = []expected{{event.Processed, `{"value":{"total":2}}`, ""}, {event.Processed, `{"value":{"total":3}}`, ""}, {detailType: event.Failed}}

	total := 0
	for _, events := range want {
		total += len(events)
	}
	s.eventually(t, fmt.Sprintf("%d events of %d documents", total, len(want)), func() (bool, error) {
		if err := box.read(t); err != nil {
			return false, err
		}
		have := 0
		for id := range want {
			have += len(box.of(id))
		}
		return have >= total, fmt.Errorf("%d have come", have)
	})
	t.Logf("%d events of %d documents received", total, len(want))
	processed := make(map[string]string) // id → SHA-256 of its output
	for id, events := range want {
		got := box.of(id)
		if len(got) != len(events) {
			t.Errorf("%s: %d events, want %d", id, len(got), len(events))
			continue
		}
		for i, e := range events {
			d := got[i].parsed
			if got[i].DetailType != e.detailType || d.Revision != i+1 {
				t.Errorf("%s: event %d is %s of revision %d, want %s", id, i+1, got[i].DetailType, d.Revision, e.detailType)
			}
			if e.location == "" && d.OutputLocation != "" || !strings.HasPrefix(d.OutputLocation, e.location) {
				t.Errorf("%s: the output is in %q, want it in %q", d.ID, d.OutputLocation, e.location)
			}
			if e.output == "" {
				continue
			}
			output, err := d.ReadOutput(t.Context(), s.S3)
			if err != nil {
				t.Error(err)
			}
			if !reflect.DeepEqual(exactly(t, output), exactly(t, []byte(e.output))) {
				t.Errorf("%s: the output is %.300s, want %.300s", d.ID, output, e.output)
			}
			processed[d.ID] = ""
			if e.location != "" {
				processed[d.ID] = hexSum(output)
			}
		}
	}

	// The sample consumer has a row for each Document Processed, however often it comes.
	rows := s.consumed(t, consumer, processed)
	t.Logf("%d outputs received by the consumer", len(rows))
	for id, sum := range processed {
		if sum != "" && rows[id] != sum {
			t.Errorf("consumer: %s has the SHA-256 %s, want %s", id, rows[id], sum)
		}
	}
	repeated := box.seen[slices.IndexFunc(box.seen, func(r received) bool { return r.parsed.DocumentID == exact.DocumentID() })]
	if _, err := bus.PutEvents(t.Context(), &eventbridge.PutEventsInput{Entries: []bustypes.PutEventsRequestEntry{{
		EventBusName: aws.String(s.Outputs["EventBusName"]), Source: &repeated.Source, DetailType: &repeated.DetailType, Detail: aws.String(string(repeated.Detail)),
	}}}); err != nil {
		t.Fatal(err)
	}
	s.eventually(t, "the consumer has seen it before", func() (bool, error) {
		lines, err := s.Logs(t.Context(), "/aws/lambda/my-consumer/consumer", 1000)
		return strings.Contains(strings.Join(lines, "\n"), `"seen before"`), err
	})
	if after := s.consumed(t, consumer, processed); after[repeated.parsed.ID] != rows[repeated.parsed.ID] {
		t.Errorf("the repetition changed the row from %s to %s", rows[repeated.parsed.ID], after[repeated.parsed.ID])
	}

	// A large output that was removed from the bucket.
	bucket := s.Outputs["ResultsBucketName"]
	key := strings.TrimPrefix(repeated.parsed.OutputLocation, results)
	if _, err := s.S3.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: &bucket, Key: &key}); err != nil {
		t.Fatal(err)
	}
	if _, err := repeated.parsed.ReadOutput(t.Context(), s.S3); !errors.Is(err, event.ErrOutputGone) {
		t.Errorf("a removed output: %v", err)
	}
}

// consumed waits until the consumer has a row for each of these events, and returns
// the SHA-256 of each output as the consumer saw it.
func (s *deployment) consumed(t *testing.T, consumer map[string]string, ids map[string]string) map[string]string {
	t.Helper()
	table := consumer["ReceivedTableName"]
	rows := make(map[string]string)
	s.eventually(t, "the consumer has all events", func() (bool, error) {
		for id := range ids {
			out, err := s.DB.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: &table, Key: map[string]types.AttributeValue{"id": &types.AttributeValueMemberS{Value: id}}})
			if err != nil || out.Item == nil {
				return false, fmt.Errorf("%s is missing (%v)", id, err)
			}
			rows[id] = out.Item["sha256"].(*types.AttributeValueMemberS).Value
		}
		return true, nil
	})
	return rows
}

// exactly is a JSON value to be compared, with numbers as fractions.
func exactly(t *testing.T, text []byte) any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v: %.300s", err, text)
	}
	var walk func(any) any
	walk = func(v any) any {
		switch v := v.(type) {
		case json.Number:
			r, ok := new(big.Rat).SetString(v.String())
			if !ok {
				t.Fatalf("number %s", v)
			}
			return r.String()
		case []any:
			for i := range v {
				v[i] = walk(v[i])
			}
		case map[string]any:
			for name := range v {
				v[name] = walk(v[name])
			}
		}
		return v
	}
	return walk(v)
}

// A record that publish can't understand goes to its dead-letter queue, and what
// comes after it is announced.
func TestWhatCannotBeAnnouncedIsDeadLettered(t *testing.T) {
	t.Parallel()
	s := theStack(t)
	table, deadLetters := s.Outputs["DocumentsTableName"], s.Outputs["AnnouncementsDeadLetterQueueUrl"]
	str := func(v string) types.AttributeValue { return &types.AttributeValueMemberS{Value: v} }
	num := func(v string) types.AttributeValue { return &types.AttributeValueMemberN{Value: v} }
	at := time.Now().UTC().Format(time.RFC3339)
	reasons := map[string]string{"doc_of_a_newer_version": `state "ARCHIVED" is unknown`, "doc_by_hand": "outputRunId"}
	for _, item := range []map[string]types.AttributeValue{
		{"documentId": str("doc_of_a_newer_version"), "state": str("ARCHIVED"), "recordVersion": num("1"), "attempt": num("1"), "revision": num("1"), "finishedAt": str(at)},
		{"documentId": str("doc_by_hand"), "state": str("PROCESSED"), "recordVersion": num("1"), "attempt": num("1"), "revision": num("7"), "finishedAt": str(at), "runId": str("dpr_1"), "outputRunId": &types.AttributeValueMemberBOOL{Value: true}},
		{"documentId": str("doc_on_its_way"), "state": str("PROCESSING"), "recordVersion": num("1"), "attempt": str("none")}, // the event source filters it
	} {
		if _, err := s.DB.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &table, Item: item}); err != nil {
			t.Fatal(err)
		}
	}
	s.eventually(t, "both are in the dead-letter queue", func() (bool, error) {
		got, err := s.SQS.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &deadLetters, MaxNumberOfMessages: 10, MessageAttributeNames: []string{"All"}})
		if err != nil {
			return false, err
		}
		for _, m := range got.Messages {
			attribute := func(name string) string { return aws.ToString(m.MessageAttributes[name].StringValue) }
			id := attribute("documentId")
			if want, ok := reasons[id]; !ok || !strings.Contains(attribute("reason"), want) || attribute("revision") == "" || attribute("sequenceNumber") == "" {
				t.Errorf("dead letter of %q: %q, want %q\n%s", id, attribute("reason"), want, *m.Body)
			}
			if !strings.HasPrefix(*m.Body, `{"Records":[{`) {
				t.Errorf("the body is no input of publish: %s", *m.Body)
			}
			delete(reasons, id)
			if _, err := s.SQS.DeleteMessage(t.Context(), &sqs.DeleteMessageInput{QueueUrl: &deadLetters, ReceiptHandle: m.ReceiptHandle}); err != nil {
				return false, err
			}
		}
		return len(reasons) == 0, fmt.Errorf("%d are missing", len(reasons))
	})
}
