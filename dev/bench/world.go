package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"extend-intake/dev/fakeextend"
	"extend-intake/dev/guard"
	"extend-intake/dev/stack/emulator"
	"extend-intake/shared/boot"
)

const processorID = "dp_bench"

// apiKey and webhookSecret are made up for each run.
var apiKey, webhookSecret = "sk_" + rand.Text(), "wss_" + rand.Text()

// functions are what is measured. The first is what the others are compared with.
var functions = []string{"empty", "submit", "webhook", "publish", "reconcile"}

// world is what the functions need: a local AWS with what template.yaml has, a
// fake Extend, and the recorder between.
type world struct {
	*recorder
	s3        *s3.Client
	names     map[string]string
	env       map[string][]string // by function
	memory    map[string]float64  // MB, by function
	file      []byte
	output    json.RawMessage // what Extend reads from the next file
	delivered chan delivery
	// deliveryBytes is the size of the last delivery.
	deliveryBytes               int
	filesPerMinute, concurrency float64
	platformLines               float64 // that Lambda itself logs of an invocation

	closers []func()
}

// delivery is one that the fake Extend is making; it waits for the status.
type delivery struct {
	header http.Header
	body   []byte
	status chan int
}

func (w *world) stop() {
	for _, f := range slices.Backward(w.closers) {
		f()
	}
}

// serve serves on a free port of the loopback interface.
func (w *world) serve(h http.Handler) (address string, err error) {
	server, err := guard.Serve(h)
	if err != nil {
		return "", err
	}
	w.closers = append(w.closers, server.Close)
	return server.URL, nil
}

func newWorld(ctx context.Context, root, dir string) (_ *world, err error) {
	w := &world{output: output, delivered: make(chan delivery), env: make(map[string][]string), memory: make(map[string]float64)}
	defer func() {
		if err != nil {
			w.stop()
		}
	}()
	if w.file, err = os.ReadFile(filepath.Join(root, "dev", "sample", "invoice.pdf")); err != nil { // #nosec G304 -- a file of this repository
		return nil, err
	}
	tmpl, err := readTemplate(filepath.Join(root, "template.yaml"))
	if err != nil {
		return nil, err
	}
	local, err := emulator.StartMiniStack(ctx, dir)
	if err != nil {
		return nil, err
	}
	w.closers = append(w.closers, local.Stop)
	db, err := emulator.StartDynoxide(ctx, dir)
	switch {
	case errors.Is(err, emulator.ErrNotInstalled):
		db = local
	case err != nil:
		return nil, err
	default:
		w.closers = append(w.closers, db.Stop)
	}
	var create dynamodb.CreateTableInput
	var definition table
	if err := tmpl.table(&create, &definition); err != nil {
		return nil, err
	}
	w.recorder = newRecorder(local.Direct, db.Direct, definition)
	awsURL, err := w.serve(emulator.Key.Signed(w.recorder, nil))
	if err != nil {
		return nil, err
	}
	if err := w.deploy(ctx, awsURL, &create); err != nil {
		return nil, err
	}
	if err := w.startExtend(); err != nil {
		return nil, err
	}

	w.env["empty"] = emulator.Environ(awsURL)
	for _, name := range functions[1:] {
		f, err := tmpl.function(strings.ToUpper(name[:1]) + name[1:] + "Function")
		if err != nil {
			return nil, err
		}
		if w.env[name], err = tmpl.variables(f, w.names); err != nil {
			return nil, err
		}
		w.env[name] = append(w.env[name], emulator.Environ(awsURL)...)
		w.memory[name] = f.MemorySize
	}
	if tmpl.Globals.Function.LoggingConfig.SystemLogLevel != "WARN" {
		w.platformLines = 2 // platform.start and platform.report
	}
	perMinute := tmpl.Parameters["FilesPerMinute"].Default
	instances := tmpl.Parameters["SubmitConcurrency"].Default
	if err := errors.Join(perMinute.Decode(&w.filesPerMinute), instances.Decode(&w.concurrency)); err != nil || w.filesPerMinute == 0 || w.concurrency == 0 {
		return nil, fmt.Errorf("template.yaml: no default of FilesPerMinute, or of SubmitConcurrency (%v)", err)
	}
	return w, nil
}

// table reads DocumentsTable for the one who makes it and for the one who counts.
func (t *template) table(create *dynamodb.CreateTableInput, definition *table) error {
	var properties map[string]any
	node := t.Resources["DocumentsTable"].Properties
	if err := node.Decode(&properties); err != nil {
		return fmt.Errorf("template.yaml: DocumentsTable: %w", err)
	}
	input := map[string]any{"TableName": "documents"}
	for _, name := range []string{"BillingMode", "AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes"} {
		input[name] = properties[name]
	}
	text, err := json.Marshal(input)
	if err != nil {
		return err
	}
	return errors.Join(json.Unmarshal(text, create), json.Unmarshal(text, definition), definition.check())
}

// deploy makes what the functions use.
func (w *world) deploy(ctx context.Context, awsURL string, create *dynamodb.CreateTableInput) error {
	cfg := emulator.AWSConfig(awsURL)
	w.s3 = boot.S3(cfg)
	w.names = map[string]string{
		"AWS::AccountId": "000000000000", "AWS::Region": emulator.Region, "AWS::StackName": "bench",
		"DocumentsTable": "documents", "UploadBucket": "uploads", "ResultsBucket": "results", "ExtendSecret": "secret", "TagSecret": "tag-secret", "EventBus": "bus",
		"ProcessorId": processorID, "RequestsPerSecond": "10000", "FilesPerMinute": "100000", // nothing here is about the plan's limits
	}
	_, err := dynamodb.NewFromConfig(cfg).CreateTable(ctx, create)
	errs := []error{err}
	for _, bucket := range []string{"uploads", "results"} {
		_, err := w.s3.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &bucket})
		_, err2 := w.s3.PutBucketVersioning(ctx, &s3.PutBucketVersioningInput{Bucket: &bucket,
			VersioningConfiguration: &s3types.VersioningConfiguration{Status: s3types.BucketVersioningStatusEnabled}})
		errs = append(errs, err, err2)
	}
	queues := sqs.NewFromConfig(cfg)
	for _, queue := range []string{"UploadQueue", "DeadLetterQueue", "AnnouncementsDeadLetterQueue"} {
		out, err := queues.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: &queue})
		if err == nil {
			w.names[queue] = *out.QueueUrl
		}
		errs = append(errs, err)
	}
	_, err = eventbridge.NewFromConfig(cfg).CreateEventBus(ctx, &eventbridge.CreateEventBusInput{Name: aws.String("bus")})
	errs = append(errs, err)
	secret, err := json.Marshal(boot.Secret{APIKey: apiKey, WebhookSecrets: []string{webhookSecret}}) // #nosec G117 -- made up here, and it goes where secrets belong
	errs = append(errs, err)
	secrets := secretsmanager.NewFromConfig(cfg)
	_, err = secrets.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: aws.String("secret"), SecretString: aws.String(string(secret))})
	_, err2 := secrets.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: aws.String("tag-secret"), SecretString: aws.String(`{"key": "` + rand.Text() + rand.Text() + `"}`)})
	return errors.Join(append(errs, err, err2)...)
}

// startExtend starts the fake Extend, and the endpoint that takes its deliveries.
func (w *world) startExtend() error {
	fake, err := fakeextend.New(fakeextend.Options{
		APIKey: apiKey, Output: func(fakeextend.RunInfo) json.RawMessage { return w.output },
		Processors: []fakeextend.Processor{{ID: processorID, Type: fakeextend.Extract, Versions: []string{"1.0"}, Subscribed: true}},
	})
	if err != nil {
		return err
	}
	w.names["ExtendBaseUrl"], err = w.serve(fake)
	if err != nil {
		return err
	}
	w.closers = append(w.closers, fake.Close) // before its server, which waits for it
	endpoint, err := w.serve(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		d := delivery{r.Header, body, make(chan int, 1)}
		if err == nil {
			select {
			case w.delivered <- d:
				select {
				case status := <-d.status:
					rw.WriteHeader(status)
					return
				case <-r.Context().Done():
				}
			case <-r.Context().Done():
			}
		}
		rw.WriteHeader(http.StatusInternalServerError)
	}))
	if err != nil {
		return err
	}
	return fake.SetWebhook(endpoint, webhookSecret)
}

// output is what Extend reads from each file: an invoice with 28 lines. What it takes
// in the table decides a good part of the price.
var output = func() json.RawMessage {
	const row = `{"description":"Détention au port (2 h)","quantity":2,"unit_price":47.625,"amount":95.25,"tax_rate":0.077,"sku":null}`
	return json.RawMessage(`{"value":{"invoice_number":"INV-0042","date":"2026-07-14","total":2857.5,"paid":false,"lines":[` +
		strings.Repeat(row+",", 27) + row + `]},"metadata":{}}`)
}()

// document takes one file through all functions, one after the other, and returns how
// long each took.
func (w *world) document(ctx context.Context, run map[string]*instance, key string, recording bool) (map[string]time.Duration, error) {
	took := make(map[string]time.Duration)
	invoke := func(name string, event []byte, answer any) error {
		w.at(name, recording)
		defer w.at("", recording)
		text, d, err := run[name].invoke(ctx, event)
		if err != nil {
			return err
		}
		took[name] = d
		if err := json.Unmarshal(text, answer); err != nil {
			return fmt.Errorf("%s answered %s: %w", name, text, err)
		}
		return nil
	}

	w.at("", recording)
	put, err := w.s3.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("uploads"), Key: &key, Body: bytes.NewReader(w.file)})
	if err != nil {
		return nil, err
	}
	var submitted events.SQSEventResponse
	if err := invoke("submit", uploadEvent(key, *put.VersionId, *put.ETag, len(w.file)), &submitted); err != nil {
		return nil, err
	}
	if len(submitted.BatchItemFailures) > 0 {
		return nil, fmt.Errorf("submit did not submit %s: %s", key, run["submit"].log.tail())
	}

	var d delivery
	ctxDelivery, cancel := context.WithTimeoutCause(ctx, functionTimeout, errors.New("Extend delivered nothing in "+functionTimeout.String()))
	defer cancel()
	select {
	case d = <-w.delivered:
	case <-ctxDelivery.Done():
		return nil, fmt.Errorf("%s: %w", key, context.Cause(ctxDelivery))
	}
	w.deliveryBytes = len(d.body)
	request, err := httpEvent(d)
	if err != nil {
		return nil, err
	}
	answer := events.APIGatewayV2HTTPResponse{StatusCode: http.StatusInternalServerError}
	err = invoke("webhook", request, &answer)
	d.status <- answer.StatusCode
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("webhook answered %d: %s", answer.StatusCode, run["webhook"].log.tail())
	}
	if err != nil {
		return nil, err
	}

	var delivered struct {
		Payload struct{ Metadata struct{ DocumentID string } }
	}
	if err := json.Unmarshal(d.body, &delivered); err != nil {
		return nil, err
	}
	id := attributes{"documentId": {"S": delivered.Payload.Metadata.DocumentID}}
	item, err := w.rawItem("documents", id)
	if err != nil {
		return nil, err
	}
	record, err := streamRecord(id, item)
	if err != nil {
		return nil, err
	}
	var published events.DynamoDBEventResponse
	if err := invoke("publish", record, &published); err != nil {
		return nil, err
	}
	if len(published.BatchItemFailures) > 0 {
		return nil, fmt.Errorf("publish did not announce %s: %s", key, run["publish"].log.tail())
	}
	var idle any
	if err := invoke("reconcile", []byte(`{"source":"aws.events","detail-type":"Scheduled Event","detail":{}}`), &idle); err != nil {
		return nil, err
	}
	return took, cmp.Or(invoke("empty", []byte(`{}`), &idle), w.recorder.err())
}

// uploadEvent is a batch of the upload queue with one upload event.
func uploadEvent(key, version, etag string, size int) []byte {
	body := fmt.Sprintf(`{"Records":[{"eventVersion":"2.1","eventSource":"aws:s3","awsRegion":"us-east-1","eventTime":%q,
		"eventName":"ObjectCreated:Put","userIdentity":{"principalId":"AWS:AIDAEXAMPLE"},"requestParameters":{"sourceIPAddress":"203.0.113.7"},
		"responseElements":{"x-amz-request-id":"C3D13FE58DE4C810","x-amz-id-2":"FMyUVURIY8"},
		"s3":{"s3SchemaVersion":"1.0","configurationId":"uploads","bucket":{"name":"uploads","ownerIdentity":{"principalId":"A3NL1KOZZKExample"},"arn":"arn:aws:s3:::uploads"},
		"object":{"key":%q,"size":%d,"eTag":%q,"versionId":%q,"sequencer":"0055AED6DCD90281E5"}}}]}`,
		time.Now().UTC().Format("2006-01-02T15:04:05.000Z"), url.QueryEscape(key), size, strings.Trim(etag, `"`), version)
	return fmt.Appendf(nil, `{"Records":[{"messageId":"059f36b4-87a3-44ab-83d2-661975830a7d","receiptHandle":"AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a","body":%q,
		"attributes":{"ApproximateReceiveCount":"1","SentTimestamp":"1784020500000"},"messageAttributes":{},
		"eventSource":"aws:sqs","eventSourceARN":"arn:aws:sqs:us-east-1:000000000000:bench-uploads","awsRegion":"us-east-1"}]}`, body)
}

// httpEvent is a delivery as the HTTP API hands it on.
func httpEvent(d delivery) ([]byte, error) {
	e := events.APIGatewayV2HTTPRequest{
		Version: "2.0", RouteKey: "POST /webhook", RawPath: "/webhook", Headers: make(map[string]string), Body: string(d.body),
		RequestContext: events.APIGatewayV2HTTPRequestContext{RouteKey: "POST /webhook", Stage: "$default", HTTP: events.APIGatewayV2HTTPRequestContextHTTPDescription{Method: http.MethodPost, Path: "/webhook", Protocol: "HTTP/1.1"}},
	}
	for name, values := range d.header {
		e.Headers[strings.ToLower(name)] = strings.Join(values, ",")
	}
	return json.Marshal(e)
}

// streamRecord is a batch of the table's stream with an item that has just been written.
func streamRecord(key attributes, getItem []byte) ([]byte, error) {
	var answer struct{ Item json.RawMessage }
	if err := json.Unmarshal(getItem, &answer); err != nil {
		return nil, err
	}
	keys, err := json.Marshal(key)
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, `{"Records":[{"eventID":"c4ca4238a0b923820dcc509a6f758491","eventName":"MODIFY","eventVersion":"1.1","eventSource":"aws:dynamodb","awsRegion":"us-east-1",
		"dynamodb":{"ApproximateCreationDateTime":1784020541,"Keys":%s,"NewImage":%s,"SequenceNumber":"111000000000000000000001","SizeBytes":%d,"StreamViewType":"NEW_AND_OLD_IMAGES"}}]}`,
		keys, answer.Item, len(answer.Item)), nil
}
