package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"extend-intake/dev/fakeextend"
	"extend-intake/dev/stack"
	"extend-intake/dev/stack/emulator"
	"extend-intake/shared/document/documenttest"
	"extend-intake/shared/extend/webhook"
	"extend-intake/shared/ledger"
)

const (
	// sampleSecret and sampleStack are what the webhook events of events/ were signed
	// with, and the stack whose documents they are about.
	sampleSecret = "wss_sample_for_events" // #nosec G101 -- it signs the samples, and is no secret
	// sampleTagKey is what the tags in them were signed with.
	sampleTagKey = documenttest.Key
	sampleStack  = "123456789012/eu-west-1/extend-intake"
	// containersHost is the name by which containers call this machine.
	containersHost = "host.docker.internal"
	// invokePatience covers a function's own time-out and the start of its container.
	invokePatience = 2 * time.Minute
)

// An expectation is what an event of events/ must lead to, when the table is empty
// before. The table of them is dev/invoke/expect.json.
type expectation struct {
	Answer      json.RawMessage `json:"answer"` // the function's, or
	Status      int             `json:"status"` // that of its HTTP answer
	Table       []ledger.State  `json:"table"`  // of the documents that are there then
	DeadLetters int             `json:"deadLetters"`
}

// check returns what is wrong, or "".
func (e expectation) check(answer []byte, table []ledger.State, deadLetters int) string {
	var problems []string
	if want := compact(e.Answer); e.Status == 0 && want != compact(answer) {
		problems = append(problems, "want "+want)
	}
	if e.Status != 0 && status(answer) != e.Status {
		problems = append(problems, fmt.Sprintf("want status %d", e.Status))
	}
	if !slices.Equal(table, e.Table) {
		problems = append(problems, fmt.Sprintf("want documents %v", e.Table))
	}
	if deadLetters != e.DeadLetters {
		problems = append(problems, fmt.Sprintf("%d dead letters, want %d", deadLetters, e.DeadLetters))
	}
	return strings.Join(problems, "; ")
}

func status(answer []byte) int {
	var r struct{ StatusCode int }
	_ = json.Unmarshal(answer, &r) // then it is 0
	return r.StatusCode
}

// compact is JSON without spaces, and what is no JSON as it is.
func compact(text []byte) string {
	var b bytes.Buffer
	if json.Compact(&b, text) != nil {
		return string(text)
	}
	return b.String()
}

// functionOf is the function that an event is for, by the event's name.
func functionOf(event string) string {
	name, _, _ := strings.Cut(event, "-")
	return strings.ToUpper(name[:1]) + name[1:] + "Function"
}

// invoke runs events, or all of them, through the real `sam local`. The image is what
// the containers are made of; "" leaves that to sam.
func invoke(ctx context.Context, out io.Writer, image string, names []string) (err error) {
	root, err := emulator.Root()
	if err != nil {
		return err
	}
	expected, err := readExpectations(root)
	if err != nil {
		return err
	}
	for _, name := range names {
		if _, ok := expected[name]; !ok {
			return fmt.Errorf("event %s: dev/invoke/expect.json does not have it", name)
		}
	}
	if len(names) == 0 {
		files, err := filepath.Glob(filepath.Join(root, "events", "*.json"))
		if err != nil {
			return err
		}
		for _, f := range files {
			names = append(names, strings.TrimSuffix(filepath.Base(f), ".json"))
		}
	}

	fake := stack.SmallestPlan()
	fake.Processing = fakeextend.Fixed(time.Hour) // no run ends here, so that what an event leads to stays as it is
	s, err := stack.Start(ctx, stack.Options{
		Say: stack.SayTo(out), Fake: fake,
		Parameters: map[string]string{"UploadBucketName": "intake-uploads"}, // the bucket of the events
	})
	if err != nil {
		return err
	}
	defer func() { err = s.Stop(err) }()
	sam, err := newSAMLocal(ctx, s, image)
	if err != nil {
		return err
	}
	if err := sam.putSamples(ctx); err != nil {
		return err
	}
	fmt.Fprintln(out, "\nThe webhook's events, if they were signed, are signed anew as of now. The files of submit's events are in the bucket, and their versions and ETags in the events.")
	wrong, run := 0, 0
	try := func(through caller, name string) error {
		ok, err := sam.try(ctx, out, through, name, expected[name])
		run++
		if !ok {
			wrong++
		}
		return err
	}

	fmt.Fprintf(out, "\n%-61s%-29s%s\n", "sam local invoke", "came back", "documents in the table")
	var webhooks []string
	for _, name := range names {
		function := functionOf(name)
		switch _, known := expected[name]; {
		case !known:
			fmt.Fprintf(out, "  %-18s%-38s   no function takes it\n", "skipped", name)
			continue
		case sam.variables[function] == nil:
			fmt.Fprintf(out, "  %-18s%-38s   template.yaml has no %s\n", "skipped", name, function)
			continue
		case function == "WebhookFunction":
			webhooks = append(webhooks, name)
		}
		if err := try(sam.invoke, name); err != nil {
			return err
		}
	}
	if len(webhooks) > 0 {
		fmt.Fprintf(out, "\nsam local start-api, POST /webhook\n")
		post, err := sam.startAPI(ctx)
		if err != nil {
			return err
		}
		for _, name := range webhooks {
			if err := try(post, name); err != nil {
				return err
			}
		}
	}
	if wrong > 0 {
		return fmt.Errorf("%d of %d invocations did not end as dev/invoke/expect.json says", wrong, run)
	}
	fmt.Fprintf(out, "\nAll %d invocations ended as they should.\n", run)
	return nil
}

func readExpectations(root string) (map[string]expectation, error) {
	text, err := os.ReadFile(filepath.Join(root, "dev", "invoke", "expect.json")) // #nosec G304 -- a file of this repository
	if err != nil {
		return nil, err
	}
	var expected map[string]expectation
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&expected); err != nil {
		return nil, fmt.Errorf("dev/invoke/expect.json: %w", err)
	}
	return expected, nil
}

// try hands an event to its function and prints what came back.
func (l *samLocal) try(ctx context.Context, out io.Writer, through caller, name string, want expectation) (bool, error) {
	event, err := os.ReadFile(filepath.Join(l.Root, "events", name+".json")) // #nosec G304 -- the name is one of the files of events/, or of who runs this
	if err != nil {
		return false, err
	}
	if functionOf(name) == "SubmitFunction" { // which reads no event of another region
		event = []byte(strings.NewReplacer(append(l.samples, "eu-west-1", emulator.Region)...).Replace(string(event)))
	}
	l.tries++
	if functionOf(name) == "WebhookFunction" {
		if event, err = signAnew(event, l.WebhookSecret, time.Now(), l.tries); err != nil {
			return false, fmt.Errorf("events/%s.json: %w", name, err)
		}
	}
	if _, err := l.documents(ctx, true); err != nil {
		return false, err
	}
	queue := l.variables[functionOf(name)]["DEAD_LETTER_QUEUE_URL"]
	before, err := l.deadLetters(ctx, queue)
	if err != nil {
		return false, err
	}

	limited, cancel := context.WithTimeoutCause(ctx, invokePatience, fmt.Errorf("no answer after %s", invokePatience))
	defer cancel()
	start := time.Now()
	answer, log, callErr := through(limited, name, event)
	took := time.Since(start)
	if ctx.Err() != nil {
		return false, context.Cause(ctx)
	}
	table, err := l.documents(ctx, false)
	if err != nil {
		return false, err
	}
	after, err := l.deadLetters(ctx, queue)
	if err != nil {
		return false, err
	}

	problem := want.check(answer, table, after-before)
	if callErr != nil {
		problem = callErr.Error()
	}
	verdict := "ok"
	if problem != "" {
		verdict = "WRONG"
	}
	shown := cmp.Or(compact(answer), "no answer")
	if code := status(answer); code != 0 {
		shown = strconv.Itoa(code)
	}
	effects := strings.Trim(fmt.Sprint(table), "[]")
	if n := after - before; n > 0 {
		effects = strings.TrimSpace(fmt.Sprintf("%s +%d dead letters", effects, n))
	}
	fmt.Fprintf(out, "  %-5s  %6.2f s   %-38s   %-26s   %s\n", verdict, took.Seconds(), name, shown, effects)
	if problem != "" {
		fmt.Fprintf(out, "         %s\n         | %s\n", problem, strings.ReplaceAll(strings.TrimSpace(log), "\n", "\n         | "))
	}
	return problem == "", nil
}

// sampleObjects are the objects of submit's events that exist, and sampleETag is the ETag of each.
var sampleObjects = []struct{ key, version string }{
	{"invoices/Invoice 42+7 für Zürich.pdf", "3sL4kqtJlcpXroDTDmJ.rmSpXd3dIbrHY"},
	{"invoices/2026/納品書 100%.pdf", "b7Kq2mPz9LrW4xNcV1yTgH8dJ5sQ0eFu"},
	{"invoices/scan.tiff", ""},
}

const sampleETag = "9b2cf535f27731c974343645a3985328"

// putSamples puts the objects into the bucket: submit looks at an object before it sends it.
// The stack submits them, too, and has to be through before its table is looked at.
func (l *samLocal) putSamples(ctx context.Context) error {
	bucket := l.Outputs["UploadBucketName"]
	for i, object := range sampleObjects {
		out, err := l.S3.PutObject(ctx, &s3.PutObjectInput{Bucket: &bucket, Key: &object.key, Body: strings.NewReader("%PDF-1.4 a sample")})
		if err != nil {
			return fmt.Errorf("put %s: %w", object.key, err)
		}
		if i == 0 { // they have the same bytes
			l.samples = append(l.samples, sampleETag, strings.Trim(aws.ToString(out.ETag), `"`))
		}
		if object.version != "" {
			l.samples = append(l.samples, object.version, aws.ToString(out.VersionId))
		}
	}
	through := func() (bool, error) {
		states, err := l.documents(ctx, false)
		return len(states) == len(sampleObjects) && !slices.ContainsFunc(states, func(s ledger.State) bool { return s != ledger.Processing }), err
	}
	for deadline := time.Now().Add(invokePatience); ; {
		switch done, err := through(); {
		case err != nil || done:
			return err
		case time.Now().After(deadline):
			return fmt.Errorf("the stack has not submitted the samples within %v", invokePatience)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// signAnew signs a delivery as of now with a secret that functions take, which the samples'
// is not. One that was not signed, or not with the sample secret, stays as it is. A body gets
// so many blanks, by which webhook tells it from one that it has just answered.
func signAnew(event []byte, secret string, now time.Time, blanks int) ([]byte, error) {
	var e events.APIGatewayV2HTTPRequest
	if err := json.Unmarshal(event, &e); err != nil {
		return nil, err
	}
	body, err := bodyOf(e)
	if err != nil {
		return nil, err
	}
	header := make(http.Header)
	for name, value := range e.Headers {
		header.Set(name, value)
	}
	_, err = webhook.Verifier{Secrets: []string{sampleSecret}, MaxAge: -1}.Open(header, body)
	if errors.Is(err, webhook.ErrHeader) || errors.Is(err, webhook.ErrSignature) {
		return event, nil
	}
	body = append(body, bytes.Repeat([]byte(" "), blanks)...)
	if e.Body = string(body); e.IsBase64Encoded {
		e.Body = base64.StdEncoding.EncodeToString(body)
	}
	for name, values := range webhook.Sign(secret, now, body) {
		e.Headers[strings.ToLower(name)] = values[0]
	}
	return json.Marshal(e)
}

// documents are the states of the documents in the table, which are also removed if
// that is wanted.
func (l *samLocal) documents(ctx context.Context, remove bool) ([]ledger.State, error) {
	table := l.Outputs["DocumentsTableName"]
	scan, err := l.DB.Scan(ctx, &dynamodb.ScanInput{TableName: &table, ConsistentRead: aws.Bool(true)})
	if err != nil {
		return nil, err
	}
	var states []ledger.State
	for _, item := range scan.Items {
		if state, ok := item["state"].(*types.AttributeValueMemberS); ok {
			states = append(states, ledger.State(state.Value))
		}
		if !remove {
			continue
		}
		key := map[string]types.AttributeValue{"documentId": item["documentId"]}
		if _, err := l.DB.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: &table, Key: key}); err != nil {
			return nil, err
		}
	}
	slices.Sort(states)
	return states, nil
}

// deadLetters counts the messages in a function's dead-letter queue; "" is none.
func (l *samLocal) deadLetters(ctx context.Context, queue string) (int, error) {
	if queue == "" {
		return 0, nil
	}
	waiting := sqstypes.QueueAttributeNameApproximateNumberOfMessages
	q, err := l.SQS.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: &queue, AttributeNames: []sqstypes.QueueAttributeName{waiting},
	})
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(q.Attributes[string(waiting)])
}
