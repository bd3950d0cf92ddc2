package submit

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"extend-intake/dev/fakeextend"
	"extend-intake/shared/boot"
	"extend-intake/shared/document"
	"extend-intake/shared/extend"
	"extend-intake/shared/ledger"
)

// These tests see in behaviour what the function was given: each value is another one
// than its default.

var otherValues = map[string]string{
	"STACK": "123456789012/eu-west-1/other", "TABLE_NAME": "other-documents", "EXTEND_WORKSPACE_ID": "ws_other",
	"PROCESSOR_VERSION": "1.0", "KEY_PREFIX": "other/", "KEY_SUFFIX": ".tif", "UPLOAD_BUCKET": "other-uploads", "UPLOAD_BUCKET_OWNER": "210987654321",
	"ROUTES": `[{"name":"contracts","prefix":"contracts/","processor":"dp_contracts","version":"3.0","priority":7}]`, "TRANSFER": "upload",
	"REQUESTS_PER_SECOND": "20", "FILES_PER_MINUTE": "600", "SUBMIT_CONCURRENCY": "4",
	"LEASE_SECONDS": "400", "CONFIRM_WINDOW_SECONDS": "1200", "PAUSE_SECONDS": "77", "RECONCILE_AFTER_SECONDS": "1500", "STALLED_AFTER_SECONDS": "3000",
	"MAX_FAILURES": "7", "GIVE_UP_AFTER_SECONDS": "7200", "MAX_UNANSWERED": "5", "MIN_FILE_BYTES": "64", "MAX_FILE_BYTES": "5000000000", "SETTLE_SECONDS": "30", "NEWEST_ONLY": "true",
}

func TestEveryVariableIsRead(t *testing.T) {
	t.Parallel()
	got, err := LoadConfig(environmentWith("https://aws.test", "https://other.extend.ai", otherValues))
	if err != nil {
		t.Fatal(err)
	}
	want := Config{
		Common: boot.Common{
			Stack: "123456789012/eu-west-1/other", Table: "other-documents", TagSecretID: "tags", SecretID: "arn:aws:secretsmanager:eu-west-1:123456789012:secret:intake",
			UploadQueue: "https://aws.test/123456789012/uploads", BaseURL: &url.URL{Scheme: "https", Host: "other.extend.ai"}, Workspace: "ws_other",
		},
		DeadLetterQueue: "https://aws.test/123456789012/dead", Bucket: "other-uploads", BucketOwner: "210987654321", Region: "eu-west-1",
		Routes: document.Routes{
			{Name: "contracts", Prefix: "contracts/", ProcessorID: "dp_contracts", Version: "3.0", Priority: 7},
			{Name: "default", Prefix: "other/", Suffix: ".tif", ProcessorID: processor, Version: "1.0"},
		},
		SendsFiles: true, RequestsPerSecond: 20 * (0.8 / 4), FilesPerSecond: 600.0 / 60 * (0.98 / 4),
		Rules: ledger.Rules{Lease: 400 * time.Second, ConfirmWindow: 20 * time.Minute, ReconcileAfter: 25 * time.Minute, MaxAttempts: ledger.DefaultRules.MaxAttempts,
			MaxFailures: 7, GiveUpAfter: 2 * time.Hour, MaxUnanswered: 5},
		MinFileBytes: 64, MaxFileBytes: 5_000_000_000, Settle: 30 * time.Second, NewestOnly: true, SideBySide: 10,
		Pause: 77 * time.Second, StalledAfter: 50 * time.Minute,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if err := boot.Complete(got); err != nil {
		t.Errorf("this test has no value for a field: %v", err)
	}
}

func TestNewUsesWhatItIsGiven(t *testing.T) {
	t.Parallel()
	cloud := &fakeAWS{}
	server := httptest.NewServer(cloud)
	defer server.Close()
	fake, base := fakeextend.NewServer(t, fakeextend.Options{
		APIKey: apiKey, WorkspaceID: "ws_other", Processors: []fakeextend.Processor{{ID: processor, Type: fakeextend.Extract, Versions: []string{"1.0", "2.1"}}},
		Fault: fakeextend.ForFile(fakeextend.RouteCreate, "b.doc_", fakeextend.Fault{Status: http.StatusPaymentRequired}),
	})
	handle, err := New(t.Context(), environmentWith(server.URL, base, otherValues))
	if err != nil {
		t.Fatal(err)
	}
	event := func(key string) string {
		return strings.ReplaceAll(s3Event(upload{key, "v1"}), bucket, "other-uploads")
	}
	before := time.Now().Truncate(time.Millisecond)
	// The last two are not for it: another bucket, and a key that no route takes.
	for _, c := range []struct {
		messages []message
		want     string
	}{
		{[]message{{id: "a", body: event("other/a.tif")}}, `{"batchItemFailures":[]}`},
		{[]message{{id: "b", body: event("other/b.tif")}, {id: "c", body: s3Event(upload{"other/c.tif", "v1"})}, {id: "d", body: event("in/d.pdf")}},
			`{"batchItemFailures":[{"itemIdentifier":"b"}]}`},
	} {
		response, err := handle(t.Context(), batch(c.messages...))
		if got := string(must(json.Marshal(response))); err != nil || got != c.want {
			t.Fatalf("%s, %v", got, err)
		}
	}
	after := time.Now()

	runs := fake.Runs()
	if len(runs) != 1 || runs[0].FileID == "" || runs[0].FileURL != "" || runs[0].Version != "1.0" || !strings.Contains(string(runs[0].Metadata), `"123456789012/eu-west-1/other"`) {
		t.Errorf("runs %+v", runs)
	}
	// From the first claim to the record of the run.
	for name, span := range map[string]time.Duration{"leaseUntil": 400 * time.Second, "nextCheckAt": 25 * time.Minute} {
		found := false
		for _, write := range cloud.writes {
			if !strings.Contains(write, `"TableName":"other-documents"`) {
				t.Errorf("another table: %s", write)
			}
			if !strings.Contains(write, name) {
				continue
			}
			for _, text := range regexp.MustCompile(`20\d\d-[0-9T:.-]+Z`).FindAllString(write, -1) {
				at := must(time.Parse(time.RFC3339Nano, text))
				found = found || !at.Before(before.Add(span)) && !at.After(after.Add(span))
			}
		}
		if !found {
			t.Errorf("%s is not %v from now in any of %s", name, span, cloud.writes)
		}
	}
	// The account is refused over b: nothing is sent for 77 s, and jitter.
	var delay map[string]any
	for _, request := range cloud.sent {
		if request["VisibilityTimeout"] != nil {
			delay = request
		}
	}
	if seconds, _ := delay["VisibilityTimeout"].(float64); delay["ReceiptHandle"] != receipt("b") || seconds < 77 || seconds > 116 {
		t.Errorf("delay %v", delay)
	}
	if dead := fmt.Sprint(cloud.sent); !strings.Contains(dead, "is not in this stack's bucket other-uploads") {
		t.Errorf("dead letters %v", dead)
	}
}

// Whatever Extend answers, one call is one request, on a connection of its own.
func TestNewSendsAPOSTOnce(t *testing.T) {
	t.Parallel()
	var posts, connections atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		posts.Add(1)
		if !r.Close {
			t.Error("the connection is to be kept")
		}
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusTooManyRequests)
	}))
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	cloud := &fakeAWS{}
	awsServer := httptest.NewServer(cloud)
	defer awsServer.Close()
	for n := range int32(2) { // a new instance has no pause
		handle, err := New(t.Context(), environment(awsServer.URL, server.URL))
		if err != nil {
			t.Fatal(err)
		}
		m, _ := put(fmt.Sprint(n))
		response, err := handle(t.Context(), batch(m))
		if got := string(must(json.Marshal(response))); err != nil || got != fmt.Sprintf(`{"batchItemFailures":[{"itemIdentifier":"%d"}]}`, n) {
			t.Fatalf("%s, %v", got, err)
		}
		if posts.Load() != n+1 || connections.Load() != n+1 {
			t.Errorf("%d POSTs on %d connections, want %d of each", posts.Load(), connections.Load(), n+1)
		}
	}
}

func TestNewHandlerNamesWhatIsMissing(t *testing.T) {
	t.Parallel()
	_, err := NewHandler(Config{}, Parts{})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, part := range []string{"Transport", "Key", "Ledger", "Bucket", "Uploads", "DeadLetters", "Now", "Jitter"} {
		if !strings.Contains(err.Error(), "submit.Parts: "+part+" is missing") {
			t.Errorf("%s is not in: %v", part, err)
		}
	}
}

// hungUp answers no request for a path until its context ends, and hands on the others.
type hungUp struct {
	path string
	next http.RoundTripper
}

func (h hungUp) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Path != h.path {
		return h.next.RoundTrip(r)
	}
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// A call that hangs must not take the rest of the batch with it.
func TestACallThatHangsEnds(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, path string
		sendsFiles bool
		open       bool // the bucket hangs
		head       bool // and so does a look at the object
		want       time.Duration
		state      ledger.State
	}{
		{name: "a POST", path: "/processor_runs", want: postTimeout, state: ledger.Unconfirmed},
		{name: "an upload", path: "/files/upload", sendsFiles: true, want: sendAtLeast, state: ledger.Waiting},
		{name: "a look at the object", head: true, want: headTimeout, state: ledger.Waiting},
		{name: "the bucket", open: true, sendsFiles: true, want: sendAtLeast, state: ledger.Waiting},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				in := newVirtualIntake(t)
				cfg := in.testConfig()
				cfg.SendsFiles = c.sendsFiles
				in.transport = hungUp{c.path, in.transport}
				hanging := in.anotherWith(cfg)
				if c.open {
					hanging.file = send(hangingBucket{}, nil)
				}
				if c.head {
					hanging.Bucket = hangingBucket{}
				}
				m, u := put("a")
				begin := time.Now()
				r := hanging.receive(m)
				if took := time.Since(begin); took != c.want || len(r.Back) != 1 {
					t.Errorf("it took %v, want %v; %+v", took, c.want, r)
				}
				if rec := in.record(u); rec.State != c.state {
					t.Errorf("%s %s", rec.State, rec.Reason)
				}
				newSQSModel(m).drain(in.instance) // it has none of that
				in.wantProcessing(u)
				in.wantRuns(1)
			})
		})
	}
}

type hangingBucket struct{ Bucket }

func (hangingBucket) Open(ctx context.Context, _ document.Source) (io.ReadCloser, int64, error) {
	<-ctx.Done()
	return nil, 0, ctx.Err()
}

func (hangingBucket) Head(ctx context.Context, _ document.Source) (Object, error) {
	<-ctx.Done()
	return Object{}, ctx.Err()
}

// The time that was left for a file is left for its POST once the file has been sent.
func TestAFileThatTakesLongToSend(t *testing.T) {
	t.Parallel()
	in := newIntake(t)
	cfg := in.testConfig()
	cfg.SendsFiles = true
	i := in.anotherWith(cfg)
	sent := i.file
	i.file = func(ctx context.Context, s document.Source, name string, limit time.Duration) (*extend.RunFile, error) {
		in.clock.advance(90 * time.Second)
		return sent(ctx, s, name, limit)
	}
	ctx, cancel := context.WithDeadline(in.ctx, in.now().Add(170*time.Second)) // the function's, when it sends files
	defer cancel()
	m, u := put("a")
	in.want(i.receiveIn(ctx, m), allDone)
	in.wantProcessing(u)
	if runs := in.fake.Runs(); len(runs) != 1 || runs[0].FileID == "" {
		t.Errorf("%+v", runs)
	}
}

func TestTheRateIsTheConfigurations(t *testing.T) {
	t.Parallel()
	for name, edit := range map[string]func(*Config){
		"requests": func(c *Config) { c.RequestsPerSecond = 1.0 / 30 },
		"files":    func(c *Config) { c.FilesPerSecond = 1.0 / 30 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				in := newVirtualIntake(t)
				cfg := in.testConfig()
				edit(&cfg)
				a, ua := put("a")
				b, ub := put("b")
				in.want(in.anotherWith(cfg).receive(a, b), allDone)
				in.wantProcessing(ua)
				in.wantProcessing(ub)
				runs := in.fake.Runs()
				if apart := runs[1].CreatedAt.Sub(runs[0].CreatedAt).Round(time.Millisecond); apart != 30*time.Second {
					t.Errorf("the files are %v apart, want 30 s", apart)
				}
			})
		})
	}
}

func TestConfigNamesEveryErrorAtOnce(t *testing.T) {
	t.Parallel()
	env := map[string]string{
		"STACK": "1/eu-west-1/intake", "TABLE_NAME": "documents", "SECRET_ID": "arn", "TAG_SECRET_ID": "tags", "EXTEND_BASE_URL": "https://api.extend.ai",
		"UPLOAD_QUEUE_URL": "q", "DEAD_LETTER_QUEUE_URL": "d", "PROCESSOR_ID": "dp_1", "PROCESSOR_VERSION": "latest", "UPLOAD_BUCKET": "in", "TRANSFER": "link",
		"REQUESTS_PER_SECOND": "10", "FILES_PER_MINUTE": "80", "SUBMIT_CONCURRENCY": "2",
		"LEASE_SECONDS": "180", "CONFIRM_WINDOW_SECONDS": "600", "PAUSE_SECONDS": "300", "RECONCILE_AFTER_SECONDS": "600", "STALLED_AFTER_SECONDS": "21600",
		"MAX_FAILURES": "10", "GIVE_UP_AFTER_SECONDS": "259200", "MAX_UNANSWERED": "5", "MIN_FILE_BYTES": "1", "MAX_FILE_BYTES": "0", "SETTLE_SECONDS": "0", "NEWEST_ONLY": "false",
	}
	getenv := func(name string) string { return env[name] }
	c, err := LoadConfig(getenv)
	if err != nil {
		t.Fatal(err)
	}
	if c.RequestsPerSecond != 4 || c.FilesPerSecond != 80.0/60*(0.98/2) {
		t.Errorf("an instance's share: %v requests and %v files a second", c.RequestsPerSecond, c.FilesPerSecond)
	}
	env["TABLE_NAME"], env["PROCESSOR_ID"], env["EXTEND_BASE_URL"] = "", "extractor", "http://api.extend.ai"
	env["FILES_PER_MINUTE"], env["LEASE_SECONDS"], env["REQUESTS_PER_SECOND"] = "0", "soon", "NaN"
	_, err = LoadConfig(getenv)
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"TABLE_NAME is missing", `PROCESSOR_ID is "extractor": it must begin with "dp_"`, "EXTEND_BASE_URL", "FILES_PER_MINUTE is 0", `LEASE_SECONDS is "soon"`, "REQUESTS_PER_SECOND is NaN"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in:\n%v", want, err)
		}
	}
	if _, err := LoadConfig(func(string) string { return "" }); err == nil || strings.Count(err.Error(), "is missing") < 12 || !strings.Contains(err.Error(), "PROCESSOR_ID and ROUTES are both empty") {
		t.Errorf("with no variable at all: %v", err)
	}
}
