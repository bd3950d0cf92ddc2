package submit

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	gocmp "github.com/google/go-cmp/cmp"

	"extend-intake/dev/fakeextend"
	"extend-intake/shared/boot"
	"extend-intake/shared/document"
	"extend-intake/shared/document/documenttest"
	"extend-intake/shared/extend"
	"extend-intake/shared/ledger"
	"extend-intake/shared/queue"
	"extend-intake/test/logcapture"
)

// What is around the handler in these tests: the real client against the fake
// of Extend, a ledger in memory, a clock that the test moves, and a queue that
// records what is done to messages.

const (
	apiKey    = "sk_test_v7Kq2mPz9LrW4xNc"
	stack     = "123456789012/eu-west-1/intake"
	processor = "dp_Q7hTz2Wm4kLxVr9BnE1cy"
	bucket    = "intake-uploads"
	// signature is in every link; it must not be in any log.
	signature = "X-Amz-Signature=5ecre7"
)

var rules = ledger.Rules{Lease: 3 * time.Minute, ConfirmWindow: 10 * time.Minute, ReconcileAfter: 10 * time.Minute, MaxAttempts: 2,
	MaxFailures: 10, GiveUpAfter: 72 * time.Hour, MaxUnanswered: 5}

func TestMain(m *testing.M) {
	logcapture.Install()
	os.Exit(m.Run())
}

// logbook is the lines of one test.
type logbook = logcapture.Log

// clock stands still until the test moves it. It is far in the future, so that a
// context's deadline that is compared with it never passes for real.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Date(2100, 1, 2, 3, 4, 5, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// intake is everything that one or more instances of the handler share.
type intake struct {
	*instance // the first one
	t         *testing.T
	ctx       context.Context
	log       *logbook
	clock     *clock
	fake      *fakeextend.Server
	transport http.RoundTripper
	base      *url.URL
	client    *extend.Client // the test's own
	runs      Runs           // the first instance's, where a test has put something around them
	book      *ledger.Ledger
	now       func() time.Time
}

// newIntake talks to the fake over a socket, and its clock is the test's.
func newIntake(t *testing.T, edit ...func(*fakeextend.Options)) *intake {
	t.Helper()
	fake, base := fakeextend.NewServer(t, options(edit))
	in := &intake{t: t, fake: fake, clock: newClock(), base: must(url.Parse(base)), transport: boot.FreshConnections()}
	in.now = in.clock.now
	in.assemble()
	return in
}

// newVirtualIntake is for tests in a testing/synctest bubble: no sockets, and the
// clock is the bubble's.
func newVirtualIntake(t *testing.T, edit ...func(*fakeextend.Options)) *intake {
	t.Helper()
	fake, err := fakeextend.New(options(edit))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Close)
	in := &intake{t: t, fake: fake, now: time.Now, base: must(url.Parse("https://extend.test")), transport: fakeextend.Transport(fake)}
	in.assemble()
	return in
}

func options(edit []func(*fakeextend.Options)) fakeextend.Options {
	files := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("versionId") == "" {
			http.Error(w, "no version", http.StatusBadRequest)
			return
		}
		fmt.Fprintf(w, "%%PDF-1.7 %s", r.URL.Path)
	})
	o := fakeextend.Options{
		APIKey:     apiKey,
		Processors: []fakeextend.Processor{{ID: processor, Type: fakeextend.Extract, Versions: []string{"1.0", "2.1"}}},
		Client:     &http.Client{Transport: fakeextend.Transport(files)},
	}
	for _, e := range edit {
		e(&o)
	}
	return o
}

func faults(f func(fakeextend.Call) fakeextend.Fault) func(*fakeextend.Options) {
	return func(o *fakeextend.Options) { o.Fault = f }
}

// onCreate is a script for the first POSTs.
func onCreate(f ...fakeextend.Fault) func(*fakeextend.Options) {
	return faults(fakeextend.Script(fakeextend.RouteCreate, f...))
}

func (in *intake) assemble() {
	in.t.Helper()
	in.log = &logbook{}
	in.ctx = logcapture.With(in.t.Context(), in.log)
	in.client = must(extend.NewClient(extend.StaticKey(apiKey), extend.WithBaseURL(in.base.String()), extend.WithHTTPClient(&http.Client{Transport: in.transport})))
	in.book = ledger.NewMemory(rules, in.now)
	in.instance = in.another()
	in.runs = in.Runs
	in.t.Cleanup(func() {
		for _, secret := range []string{apiKey, signature} {
			if strings.Contains(in.log.String(), secret) {
				in.t.Errorf("the log has %q in it:\n%s", secret, in.log)
			}
		}
		if unknown := in.fake.UnknownFields(); len(unknown) > 0 {
			in.t.Errorf("fields that the API does not know: %v", unknown)
		}
		if in.t.Failed() {
			in.t.Logf("log:\n%s", in.log)
		}
	})
}

// instance is one instance of the function.
type instance struct {
	*Handler
	in    *intake
	queue *fakeQueue
}

// testConfig is what the template gives the function, but for the rate, which no test
// reaches by chance.
func (in *intake) testConfig() Config {
	return Config{
		Common: boot.Common{Stack: stack, BaseURL: in.base},
		Rules:  rules, Pause: 5 * time.Minute, StalledAfter: 6 * time.Hour, RequestsPerSecond: 1e9, FilesPerSecond: 1e9,
		Bucket: bucket, Routes: document.Routes{{Name: "default", Prefix: "in/", ProcessorID: processor, Version: "latest"}},
	}
}

// begun has a record of the document, as of a claim that was given back.
func (in *intake) begun(s document.Source) {
	in.t.Helper()
	for _, f := range []ledger.Fact{ledger.Claim{Source: s, TagSigned: true}, ledger.NotAccepted{ClaimNumber: 1, Reason: "given back"}} {
		if _, err := in.book.Apply(in.t.Context(), s.DocumentID(), f); err != nil {
			in.t.Fatal(err)
		}
	}
}

func (in *intake) another() *instance { return in.anotherWith(in.testConfig()) }

func (in *intake) anotherWith(cfg Config) *instance {
	in.t.Helper()
	q := &fakeQueue{t: in.t}
	h, err := NewHandler(cfg, Parts{
		Transport: in.transport, Key: extend.StaticKey(apiKey), TagKeys: documenttest.Keys, Ledger: in.book, Bucket: fakeBucket{},
		Uploads: q, DeadLetters: fakeDeadLetters{q}, Now: in.now, Jitter: func() float64 { return 0 },
	})
	if err != nil {
		in.t.Fatal(err)
	}
	return &instance{in: in, queue: q, Handler: h}
}

// fakeBucket has every object, with the same content.
type fakeBucket struct {
	// head and current are asked in its place where they are set.
	head    func(document.Source) (Object, error)
	current func(document.Source) (versionID, eTag string, err error)
}

func (b fakeBucket) Head(_ context.Context, s document.Source) (Object, error) {
	if b.head != nil {
		return b.head(s)
	}
	return Object{Size: s.Size}, nil
}

func (b fakeBucket) Current(_ context.Context, s document.Source) (versionID, eTag string, err error) {
	if b.current != nil {
		return b.current(s)
	}
	return s.VersionID, s.ETag, nil
}

const content = "%PDF-1.7 the version that is meant"

func (fakeBucket) Link(_ context.Context, s document.Source) (string, error) { return linkTo(s), nil }

func (fakeBucket) Open(context.Context, document.Source) (io.ReadCloser, int64, error) {
	return io.NopCloser(strings.NewReader(content)), int64(len(content)), nil
}

// recordOf is the record of a key's first version, nil where there is none.
func (in *intake) recordOf(key string) *ledger.Record {
	rec, err := in.book.Get(in.t.Context(), upload{key, "v1"}.id())
	if err != nil {
		return nil
	}
	return rec
}

// linkTo is what a presigned URL looks like to Extend.
func linkTo(s document.Source) string {
	u := url.URL{Scheme: "https", Host: s.Bucket + ".s3.test", Path: "/" + s.Key}
	return u.String() + "?versionId=" + url.QueryEscape(s.Version()) + "&" + signature
}

var linked = link(fakeBucket{})

type message struct {
	id, body string
	receives int // 0 is the first
	errors   int // counted so far
}

// result is all that a batch does to its messages. It is compared whole: what a
// test does not expect fails it.
type result struct {
	// Back has the messages that are not done, each with its delay.
	Back map[string]time.Duration
	Dead []dead
	// Requeued has the messages that were replaced by a new one.
	Requeued []requeued
}

type dead struct{ Body, Reason string }

type requeued struct {
	Body   string
	Errors int
	After  time.Duration
}

// receive hands a batch to the handler, and returns what became of it.
func (i *instance) receive(messages ...message) result {
	i.in.t.Helper()
	return i.receiveIn(i.in.ctx, messages...)
}

func (i *instance) receiveIn(ctx context.Context, messages ...message) result {
	i.in.t.Helper()
	i.queue.begin(messages)
	response, err := i.Handle(ctx, batch(messages...))
	if err != nil {
		i.in.t.Fatal(err)
	}
	raw, err := json.Marshal(response)
	if err != nil {
		i.in.t.Fatal(err)
	}
	if !strings.HasPrefix(string(raw), `{"batchItemFailures":[`) {
		i.in.t.Fatalf("the response is %s", raw)
	}
	var failed []string
	for _, f := range response.(events.SQSEventResponse).BatchItemFailures {
		failed = append(failed, f.ItemIdentifier)
	}
	return i.queue.end(failed)
}

// want fails the test unless a batch did exactly this.
func (in *intake) want(got result, want result) {
	in.t.Helper()
	if d := gocmp.Diff(want, got); d != "" {
		in.t.Errorf("what became of the messages (-want +got):\n%s", d)
	}
}

// fakeQueue records. A call about a message that is not in the batch, or a second
// one about the same message, fails the test.
type fakeQueue struct {
	t                       *testing.T
	delayErr, deadLetterErr error
	requeueErr              error

	mu       sync.Mutex
	messages []message
	delays   map[string]time.Duration
	dead     []dead
	requeued []requeued
}

func receipt(id string) string { return "receipt of " + id }

func (q *fakeQueue) begin(messages []message) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.messages, q.delays, q.dead, q.requeued = messages, map[string]time.Duration{}, nil, nil
}

func (q *fakeQueue) end(failed []string) result {
	q.mu.Lock()
	defer q.mu.Unlock()
	r := result{Dead: q.dead, Requeued: q.requeued}
	for _, id := range failed {
		if r.Back == nil {
			r.Back = map[string]time.Duration{}
		}
		if _, twice := r.Back[id]; twice {
			q.t.Errorf("message %s is named twice", id)
		}
		r.Back[id] = q.delays[id]
		delete(q.delays, id)
	}
	if len(q.delays) > 0 {
		q.t.Errorf("delayed, but not named as failed, and so deleted: %v", slices.Collect(maps.Keys(q.delays)))
	}
	return r
}

func (q *fakeQueue) Delay(_ context.Context, r string, d time.Duration) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	i := slices.IndexFunc(q.messages, func(m message) bool { return receipt(m.id) == r })
	if i < 0 {
		q.t.Errorf("Delay of unknown receipt %q", r)
		return nil
	}
	id := q.messages[i].id
	if _, twice := q.delays[id]; twice {
		q.t.Errorf("message %s is delayed twice", id)
	}
	if d < time.Second {
		q.t.Errorf("message %s is delayed by %v: below a second it comes back at once", id, d)
	}
	if q.delayErr != nil {
		return q.delayErr
	}
	q.delays[id] = d
	return nil
}

func (q *fakeQueue) Send(_ context.Context, m queue.Message) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.requeueErr != nil {
		return q.requeueErr
	}
	n, err := strconv.Atoi(m.Attributes["errors"])
	if err != nil || len(m.Attributes) != 1 {
		q.t.Errorf("requeued with the attributes %v", m.Attributes)
	}
	if m.Delay > 15*time.Minute {
		q.t.Errorf("requeued with a delay of %v, which SQS refuses", m.Delay)
	}
	q.requeued = append(q.requeued, requeued{m.Body, n, m.Delay})
	return nil
}

type fakeDeadLetters struct{ *fakeQueue }

func (q fakeDeadLetters) Send(_ context.Context, m queue.Message) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !slices.ContainsFunc(q.messages, func(of message) bool { return of.body == m.Body }) {
		q.t.Errorf("sent to the dead-letter queue, and no message's body: %s", m.Body)
	}
	if q.deadLetterErr != nil {
		return q.deadLetterErr
	}
	if m.Delay != 0 || len(m.Attributes) != 1 {
		q.t.Errorf("dead letter %+v", m)
	}
	q.dead = append(q.dead, dead{m.Body, m.Attributes["reason"]})
	return nil
}

// batch is the event of the queue's event source.
func batch(messages ...message) json.RawMessage {
	records := []any{}
	for _, m := range messages {
		attributes := map[string]any{}
		if m.errors > 0 {
			attributes["errors"] = map[string]any{"stringValue": fmt.Sprint(m.errors), "dataType": "Number"}
		}
		records = append(records, map[string]any{
			"messageId": m.id, "receiptHandle": receipt(m.id), "body": m.body,
			"attributes":        map[string]string{"ApproximateReceiveCount": fmt.Sprint(max(m.receives, 1))},
			"messageAttributes": attributes, "md5OfBody": "0", "eventSource": "aws:sqs",
			"eventSourceARN": "arn:aws:sqs:eu-west-1:123456789012:intake-uploads", "awsRegion": "eu-west-1",
		})
	}
	return must(json.Marshal(map[string]any{"Records": records}))
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// upload is one object version; each has an id of its own.
type upload struct{ key, version string }

func (u upload) source() document.Source {
	return document.Source{Bucket: bucket, Key: u.key, VersionID: u.version, ETag: "9b2cf535f27731c974343645a3985328", Size: 1024, Sequencer: "00617F08299329D189"}
}

func (u upload) id() string { return u.source().DocumentID() }

// record is the upload as a record of an S3 event.
func (u upload) record() string {
	return fmt.Sprintf(`{"eventVersion":"2.1","eventSource":"aws:s3","awsRegion":"eu-west-1","eventTime":"2026-07-14T09:15:00.000Z","eventName":"ObjectCreated:Put",`+
		`"s3":{"s3SchemaVersion":"1.0","configurationId":"intake","bucket":{"name":%q,"ownerIdentity":{"principalId":"A3NL1KOZZKExample"},"arn":"arn:aws:s3:::%s"},`+
		`"object":{"key":%q,"size":1024,"eTag":"9b2cf535f27731c974343645a3985328","versionId":%q,"sequencer":"00617F08299329D189"}}}`,
		bucket, bucket, strings.ReplaceAll(url.QueryEscape(u.key), "%2F", "/"), u.version)
}

// s3Event is the body of an S3 event about uploads.
func s3Event(uploads ...upload) string {
	var records []string
	for _, u := range uploads {
		records = append(records, u.record())
	}
	return `{"Records":[` + strings.Join(records, ",") + `]}`
}

// put is a message about one upload, named like it.
func put(id string) (message, upload) {
	u := upload{"in/" + id + ".pdf", "v1"}
	return message{id: id, body: s3Event(u)}, u
}

// record returns what the ledger has; a document that it does not have fails the test.
func (in *intake) record(u upload) *ledger.Record {
	in.t.Helper()
	rec, err := in.book.Get(in.t.Context(), u.id())
	if err != nil {
		in.t.Fatal(err)
	}
	return rec
}

// wantState holds a record's state, and its reason if it is WAITING.
func (in *intake) wantState(u upload, state ledger.State, reason string) {
	in.t.Helper()
	rec := in.record(u)
	if rec.State != state || rec.Reason != reason {
		in.t.Errorf("%s is %s %q, want %s %q", u.key, rec.State, rec.Reason, state, reason)
	}
}

func (in *intake) wantNone(u upload) {
	in.t.Helper()
	if rec, err := in.book.Get(in.t.Context(), u.id()); !errors.Is(err, ledger.ErrNotFound) {
		in.t.Errorf("%s has a record: %+v %v", u.key, rec, err)
	}
}

// wantCalls holds how often each route of Extend was called so far, by any
// instance; routes that are not named must not have been called.
func (in *intake) wantCalls(want map[string]int) {
	in.t.Helper()
	got := map[string]int{}
	for _, c := range in.fake.Requests() {
		got[c.Route] += c.Count
	}
	if d := gocmp.Diff(want, got); d != "" {
		in.t.Errorf("calls of Extend (-want +got):\n%s", d)
	}
}

func (in *intake) wantRuns(n int) {
	in.t.Helper()
	if got := in.fake.Accepted(); got != n {
		in.t.Errorf("%d runs were paid for, want %d", got, n)
	}
}

// wantProcessing holds that the upload has one run, and that the ledger knows it.
func (in *intake) wantProcessing(u upload) {
	in.t.Helper()
	rec := in.record(u)
	var runs []string
	for _, r := range in.fake.Runs() {
		if strings.Contains(r.FileName, u.id()) {
			runs = append(runs, r.ID)
		}
	}
	if rec.State != ledger.Processing || !slices.Equal(runs, []string{rec.RunID}) {
		in.t.Errorf("%s is %s %s with run %q, and Extend has %q", u.key, rec.State, rec.Reason, rec.RunID, runs)
	}
}

// wantLog holds that one line of the log has all of these words.
func (in *intake) wantLog(words ...string) {
	in.t.Helper()
	for line := range strings.Lines(in.log.String()) {
		if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(line, w) }) {
			return
		}
	}
	in.t.Errorf("no line of the log has all of %q", words)
}

// settle receives a message again and again, each time after its delay, until it
// is done. It returns the number of receipts.
func (in *intake) settle(m message) int {
	in.t.Helper()
	for m.receives = cmp.Or(m.receives, 1); m.receives < 200; m.receives++ {
		r := in.receive(m)
		if len(r.Dead) > 0 {
			in.t.Fatalf("dead: %+v", r.Dead)
		}
		after, back := r.Back[m.id]
		if !back {
			return m.receives
		}
		in.clock.advance(after)
	}
	in.t.Fatalf("%s does not settle", m.id)
	return 0
}

// brokenLedger is a table that does not answer.
func (in *intake) brokenLedger() *ledger.Ledger {
	client := dynamodb.New(dynamodb.Options{
		Region: "eu-west-1", Credentials: aws.AnonymousCredentials{}, Retryer: aws.NopRetryer{},
		HTTPClient: &http.Client{Transport: roundTripper(func(*http.Request) (*http.Response, error) {
			return nil, errors.New("the table does not answer")
		})},
	})
	return ledger.New(client, "documents", rules, in.now)
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// hookedRuns calls a hook after a POST and before its answer is known.
type hookedRuns struct {
	Runs
	afterCreate func(*extend.Run)
}

func (h hookedRuns) Create(ctx context.Context, req extend.CreateRunRequest) (*extend.Run, error) {
	run, err := h.Runs.Create(ctx, req)
	h.afterCreate(run)
	return run, err
}
