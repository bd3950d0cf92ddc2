package webhook

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"extend-intake/dev/fakeextend"
	"extend-intake/shared/boot"
	"extend-intake/shared/document"
	"extend-intake/shared/document/documenttest"
	"extend-intake/shared/extend"
	"extend-intake/shared/extend/webhook"
	"extend-intake/shared/ledger"
	"extend-intake/test/logcapture"
)

// What is around the handler in these tests: the real client against the fake
// of Extend, a ledger in memory, a Secrets Manager that counts how often it is
// asked, and a clock that the test moves.

const (
	apiKey    = "sk_test_v7Kq2mPz9LrW4xNc"
	secret    = "wss_c8Tq1nVb5XrK2mZd"
	stack     = "123456789012/eu-west-1/intake"
	processor = "dp_Q7hTz2Wm4kLxVr9BnE1cy"
	runID     = "dpr_4fWn8KqZtB1yLmXc6RvHs"
)

var (
	rules  = ledger.Rules{Lease: 3 * time.Minute, ConfirmWindow: 10 * time.Minute, ReconcileAfter: 10 * time.Minute, MaxAttempts: 2}
	source = document.Source{Bucket: "intake-uploads", Key: "in/Rechnung 7+1 für Zürich.pdf", VersionID: "v1", ETag: "9b2cf535f27731c974343645a3985328", Size: 1024, Sequencer: "00617F08299329D189"}
	docID  = source.DocumentID()
)

func TestMain(m *testing.M) {
	logcapture.Install()
	os.Exit(m.Run())
}

// logbook is the lines of one test.
type logbook = logcapture.Log

// clock stands still until the test moves it.
type clock struct {
	mu sync.Mutex
	at time.Time
}

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

// vault is a Secrets Manager.
type vault struct {
	mu      sync.Mutex
	text    string
	down    bool
	fetches int
}

func (v *vault) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.fetches++
	if v.down {
		http.Error(w, `{"__type":"InternalServiceError"}`, http.StatusInternalServerError)
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]string{"SecretString": v.text})
}

func (v *vault) set(secrets ...string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.text = string(must(json.Marshal(map[string]any{"apiKey": apiKey, "webhookSecrets": secrets})))
}

// endpoint is the handler and all that is around it.
type endpoint struct {
	*Handler
	t      *testing.T
	ctx    context.Context
	log    *logbook
	clock  *clock
	vault  *vault
	fake   *fakeextend.Server
	client *extend.Client
	book   *ledger.Ledger

	// What the recorder did, and how it fails if it is to.
	mu                 sync.Mutex
	stored             map[string]string
	unreadable         []string
	requeued           []document.Source
	putErr, requeueErr error
}

func newEndpoint(t *testing.T, edit ...func(*fakeextend.Options)) *endpoint {
	t.Helper()
	files := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "%PDF-1.7") })
	options := fakeextend.Options{
		APIKey:     apiKey,
		Processors: []fakeextend.Processor{{ID: processor, Type: fakeextend.Extract, Subscribed: true}},
		Client:     &http.Client{Transport: fakeextend.Transport(files)},
		// One try right after the other: a test waits for none.
		WebhookSchedule: []time.Duration{0, 0, 0},
		PayloadBaseURL:  "https://payloads.extend.test",
	}
	for _, e := range edit {
		e(&options)
	}
	fake, base := fakeextend.NewServer(t, options)
	e := &endpoint{
		t: t, log: &logbook{}, fake: fake, stored: map[string]string{}, vault: &vault{},
		clock: &clock{at: time.Date(2026, 7, 14, 9, 15, 0, 0, time.UTC)},
	}
	e.vault.set(secret)
	e.ctx = logcapture.With(t.Context(), e.log)

	secretsServer := httptest.NewServer(e.vault)
	t.Cleanup(secretsServer.Close)
	secrets := boot.NewSecrets(
		secretsmanager.New(secretsmanager.Options{Region: "eu-west-1", BaseEndpoint: &secretsServer.URL, Credentials: aws.AnonymousCredentials{}, Retryer: aws.NopRetryer{}}),
		"arn:aws:secretsmanager:eu-west-1:123456789012:secret:intake", func(string) string { return "" }, e.clock.now)

	var err error
	e.client, err = extend.NewClient(secrets.APIKey, extend.WithBaseURL(base), extend.WithRetry(extend.Retry{Attempts: 1}))
	if err != nil {
		t.Fatal(err)
	}
	e.book = ledger.NewMemory(rules, e.clock.now)
	address, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	e.Handler, err = NewHandler(Config{
		Common: boot.Common{Stack: stack, BaseURL: address}, Rules: rules, RequestsPerSecond: 1e9, PayloadHosts: []string{"extend.test"},
	}, Parts{
		Key: secrets.APIKey, Secrets: secrets.WebhookSecrets, TagKeys: documenttest.Keys, Now: e.clock.now, Ledger: e.book, Jitter: func() float64 { return 0 },
		Transport: http.DefaultTransport, Links: fakeextend.Transport(fake), // whatever the address is
		Put: func(_ context.Context, name string, output []byte) (string, error) {
			e.mu.Lock()
			defer e.mu.Unlock()
			switch {
			case e.putErr != nil:
			case strings.HasPrefix(name, "unreadable/"):
				e.unreadable = append(e.unreadable, string(output))
			default:
				e.stored[name] = string(output)
			}
			return "s3://results/" + name, e.putErr
		},
		Requeue: func(_ context.Context, s document.Source) error {
			e.mu.Lock()
			defer e.mu.Unlock()
			if e.requeueErr == nil {
				e.requeued = append(e.requeued, s)
			}
			return e.requeueErr
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// Nothing that opens a door, and nothing of a document's content.
		for _, never := range []string{apiKey, secret, "X-Amz-Signature", "INV-88213"} {
			if strings.Contains(e.log.String(), never) {
				t.Errorf("the log has %q in it", never)
			}
		}
		if t.Failed() {
			t.Logf("log:\n%s", e.log)
		}
	})
	return e
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// request is a delivery as the gateway hands it on: signed now, names of headers in
// lower case.
func (e *endpoint) request(body string) events.APIGatewayV2HTTPRequest {
	return signed(secret, e.clock.now(), body)
}

func signed(secret string, at time.Time, body string) events.APIGatewayV2HTTPRequest {
	r := events.APIGatewayV2HTTPRequest{
		Version: "2.0", RouteKey: "POST /webhook", RawPath: "/webhook", Body: body,
		Headers: map[string]string{"content-type": "application/json"},
	}
	for name, values := range webhook.Sign(secret, at, []byte(body)) {
		r.Headers[strings.ToLower(name)] = values[0]
	}
	return r
}

// answer hands a request to the handler and holds its answer to the fixed words.
func (e *endpoint) answer(r events.APIGatewayV2HTTPRequest, status int) {
	e.t.Helper()
	got, err := invoke(e.ctx, e.Handler, r)
	if err != nil {
		e.t.Errorf("error %v: the answer must say all", err)
	}
	if got.StatusCode != status {
		e.t.Errorf("answer %d, want %d", got.StatusCode, status)
	}
	words := map[int]string{200: "OK\n", 400: "Bad Request\n", 401: "Unauthorized\n", 413: "Request Entity Too Large\n", 500: "Internal Server Error\n"}
	if got.Body != words[got.StatusCode] || got.IsBase64Encoded || !maps.Equal(got.Headers, map[string]string{"Content-Type": "text/plain; charset=utf-8"}) {
		e.t.Errorf("answer %+v", got)
	}
}

// deliver signs a body and has it answered.
func (e *endpoint) deliver(body string, status int) {
	e.t.Helper()
	e.answer(e.request(body), status)
}

// payload is a run as a delivery has it; edits replace members, and nil removes one.
func payload(edits map[string]any) string {
	run := map[string]any{
		"object": "document_processor_run", "id": runID, "processorId": processor, "processorVersionId": "dpv_Zr5uYb1Ncx8QmKs3HtW7e", "processorName": "Invoices",
		"status": "PROCESSED", "output": json.RawMessage(`{"value":{"invoice_number":"INV-88213","total":12345678901234567890}}`),
		"metadata": tag(stack, 1), "reviewed": false, "edited": false, "edits": map[string]any{}, "type": "EXTRACT", "config": map[string]any{"type": "EXTRACT"},
		"files": []any{}, "mergedProcessors": []any{}, "url": "https://dashboard.extend.ai/runs/" + runID, "usage": map[string]any{"credits": 2.5},
	}
	for name, value := range edits {
		if run[name] = value; value == nil {
			delete(run, name)
		}
	}
	return string(must(json.Marshal(run)))
}

func tag(stack string, attempt int) map[string]any {
	return documenttest.Tag(stack, source, attempt, "extend-intake").Metadata()
}

func event(kind, payload string) string {
	return fmt.Sprintf(`{"eventId":"event_7dJrWq2ZxTn5LkYc8HvBs","eventType":%q,"payload":%s}`, kind, payload)
}

func processed(edits map[string]any) string { return event(webhook.RunProcessed, payload(edits)) }

func failed(reason string, edits map[string]any) string {
	all := map[string]any{"status": "FAILED", "output": map[string]any{}, "failureReason": reason, "failureMessage": "It did not work.", "usage": nil}
	maps.Copy(all, edits)
	return event(webhook.RunFailed, payload(all))
}

// submitted has the document PROCESSING with a run.
func (e *endpoint) submitted(runID string) {
	e.t.Helper()
	e.claimed()
	e.apply(ledger.Accepted{Attempt: e.record(docID).Attempt, RunID: runID, RunURL: "u"})
}

func (e *endpoint) claimed() {
	e.t.Helper()
	e.apply(ledger.Claim{Source: source, Route: "default", ProcessorID: processor, Version: "latest"})
}

func (e *endpoint) apply(f ledger.Fact) {
	e.t.Helper()
	if _, err := e.book.Apply(e.t.Context(), docID, f); err != nil {
		e.t.Fatal(err)
	}
}

func (e *endpoint) record(id string) *ledger.Record {
	e.t.Helper()
	rec, err := e.book.Get(e.t.Context(), id)
	if err != nil {
		e.t.Fatal(err)
	}
	return rec
}

// want holds a document's state and revision.
func (e *endpoint) want(id string, state ledger.State, revision int) *ledger.Record {
	e.t.Helper()
	rec := e.record(id)
	if rec.State != state || rec.Revision != revision {
		e.t.Errorf("%s is %s, revision %d; want %s, revision %d", id, rec.State, rec.Revision, state, revision)
	}
	return rec
}

func (e *endpoint) wantOutput(id, want string) {
	e.t.Helper()
	got, err := e.book.Output(e.t.Context(), id)
	if err != nil || string(got) != want {
		e.t.Errorf("output %s, %v\nwant   %s", got, err, want)
	}
}

// documents counts all records.
func (e *endpoint) documents() int {
	e.t.Helper()
	n := 0
	for _, s := range []ledger.State{ledger.Waiting, ledger.Submitting, ledger.Unconfirmed, ledger.Processing, ledger.NeedsReview,
		ledger.Processed, ledger.Failed, ledger.Cancelled, ledger.Rejected, ledger.Refused} {
		n += must(e.book.Count(e.t.Context(), s, e.clock.now().Add(24*time.Hour)))
	}
	return n
}

func (e *endpoint) wantNothingStored() {
	e.t.Helper()
	if n := e.documents(); n > 0 || len(e.stored) > 0 || len(e.requeued) > 0 {
		e.t.Errorf("%d documents, %d outputs, %d requeued", n, len(e.stored), len(e.requeued))
	}
}

// wantLog holds that one line of the log has all of these words.
func (e *endpoint) wantLog(words ...string) {
	e.t.Helper()
	for line := range strings.Lines(e.log.String()) {
		if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(line, w) }) {
			return
		}
	}
	e.t.Errorf("no line of the log has all of %q", words)
}

// calls counts the questions to Extend.
func (e *endpoint) gets() int {
	n := 0
	for _, c := range e.fake.Requests() {
		if c.Route == fakeextend.RouteGet || c.Route == fakeextend.RouteGetWorkflowRun {
			n += c.Count
		}
	}
	return n
}

// serve puts the handler behind a server, as the gateway does, and has the
// fake deliver there. The fake's clock is the real one.
func (e *endpoint) serve() {
	e.t.Helper()
	e.now = time.Now
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			e.t.Error(err)
		}
		in := events.APIGatewayV2HTTPRequest{Version: "2.0", Headers: map[string]string{}}
		for name, values := range r.Header {
			in.Headers[strings.ToLower(name)] = strings.Join(values, ",")
		}
		if in.Body = string(body); bytes.ContainsRune(body, 'ü') { // as if the gateway took it for binary
			in.Body, in.IsBase64Encoded = base64.StdEncoding.EncodeToString(body), true
		}
		out, err := invoke(e.ctx, e.Handler, in)
		if err != nil {
			e.t.Error(err)
		}
		for name, value := range out.Headers {
			w.Header().Set(name, value)
		}
		w.WriteHeader(out.StatusCode)
		_, _ = io.WriteString(w, out.Body)
	}))
	e.t.Cleanup(server.Close)
	if err := e.fake.SetWebhook(server.URL+"/webhook", secret); err != nil {
		e.t.Fatal(err)
	}
}

// run makes a run of the document at the fake and waits until all of its
// deliveries are over.
func (e *endpoint) run(metadata map[string]any) *extend.Run {
	e.t.Helper()
	run, err := e.client.Runs.Create(e.t.Context(), extend.CreateRunRequest{
		ProcessorID: processor, File: &extend.RunFile{FileName: source.FileName(1, ""), FileURL: "https://intake-uploads.s3.test/a.pdf?X-Amz-Signature=5ecre7"}, Metadata: metadata,
	})
	if err != nil {
		e.t.Fatal(err)
	}
	e.settle()
	return run
}

func (e *endpoint) settle() {
	e.t.Helper()
	if err := e.fake.Wait(e.t.Context()); err != nil {
		e.t.Fatal(err)
	}
}

// statuses are the answers to the tries of a run's deliveries.
func (e *endpoint) statuses(runID string) []int {
	e.t.Helper()
	run, _ := e.fake.Run(runID)
	var all []int
	for _, d := range run.Deliveries {
		for _, try := range d.Tries {
			all = append(all, try.Status)
		}
	}
	return all
}

// brokenLedger is a table that does not answer.
func (e *endpoint) brokenLedger() *ledger.Ledger {
	client := dynamodb.New(dynamodb.Options{
		Region: "eu-west-1", Credentials: aws.AnonymousCredentials{}, Retryer: aws.NopRetryer{},
		HTTPClient: &http.Client{Transport: roundTripper(func(*http.Request) (*http.Response, error) {
			return nil, errors.New("the table does not answer")
		})},
	})
	return ledger.New(client, "documents", rules, e.clock.now)
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// invoke hands a request to the function in the way that Lambda does.
func invoke(ctx context.Context, h *Handler, r events.APIGatewayV2HTTPRequest) (response events.APIGatewayV2HTTPResponse, err error) {
	request, err := json.Marshal(r)
	if err != nil {
		return response, err
	}
	answer, err := h.Invoke(ctx, request)
	if err != nil {
		return response, err
	}
	return response, json.Unmarshal(answer, &response)
}
