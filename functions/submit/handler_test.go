package submit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/google/go-cmp/cmp"

	"extend-intake/dev/fakeextend"
	"extend-intake/shared/boot"
	"extend-intake/shared/document"
	"extend-intake/shared/document/documenttest"
	"extend-intake/shared/extend"
	"extend-intake/shared/ledger"
)

var allDone = result{} // every message is done with

func returns(id string, after time.Duration) result {
	return result{Back: map[string]time.Duration{id: after}}
}

const testEvent = `{"Service":"Amazon S3","Event":"s3:TestEvent","Time":"2026-07-14T09:15:00.000Z","Bucket":"intake-uploads","RequestId":"A","HostId":"B"}`

func bridgeEvent(key string) string {
	return fmt.Sprintf(`{"version":"0","id":"17793124-05d4-b198-2fde-7ededc63b103","detail-type":"Object Created","source":"aws.s3","account":"123456789012",`+
		`"time":"2026-07-14T09:15:00Z","region":"eu-west-1","resources":["arn:aws:s3:::intake-uploads"],"detail":{"version":"0","bucket":{"name":"intake-uploads"},`+
		`"object":{"key":%q,"size":1024,"etag":"9b2cf535f27731c974343645a3985328","version-id":"v1","sequencer":"00617f08299329d189"},"request-id":"N","reason":"PutObject"}}`, key)
}

func TestEveryShapeOfUploadEvent(t *testing.T) {
	t.Parallel()
	const key = "in/Rechnung 7+1 für Zürich.pdf"
	u := upload{key, "v1"}
	tests := []struct {
		name  string
		event json.RawMessage
		runs  int
	}{
		{"S3 event in a message", batch(message{id: "m", body: s3Event(u)}), 1},
		{"EventBridge event in a message", batch(message{id: "m", body: bridgeEvent(key)}), 1},
		{"bare S3 event", json.RawMessage(s3Event(u)), 1},
		{"bare EventBridge event", json.RawMessage(bridgeEvent(key)), 1},
		{"test event in a message", batch(message{id: "m", body: testEvent}), 0},
		{"bare test event", json.RawMessage(testEvent), 0},
		{"a deletion", batch(message{id: "m", body: strings.ReplaceAll(s3Event(u), "ObjectCreated:Put", "ObjectRemoved:DeleteMarkerCreated")}), 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			in := newIntake(t)
			in.queue.begin(nil) // any call is a mistake
			response, err := in.Handle(in.ctx, tt.event)
			if err != nil {
				t.Fatal(err)
			}
			raw := string(must(json.Marshal(response)))
			if want := map[bool]string{true: `{"batchItemFailures":[]}`, false: "null"}[strings.Contains(string(tt.event), "aws:sqs")]; raw != want {
				t.Errorf("response %s, want %s", raw, want)
			}
			in.wantRuns(tt.runs)
			if tt.runs == 0 {
				in.wantCalls(map[string]int{})
				in.wantNone(u)
				return
			}
			in.wantProcessing(u)
			run := in.fake.Runs()[0]
			var metadata map[string]any
			if err := json.Unmarshal(run.Metadata, &metadata); err != nil {
				t.Fatal(err)
			}
			tag := documenttest.Tag(stack, u.source(), 1)
			want := map[string]any{
				"stack": stack, "documentId": u.id(), "attempt": 1.0, "bucket": bucket, "key": key, "versionId": "v1",
				"eTag": "9b2cf535f27731c974343645a3985328", "signature": tag.Signature, "extend:usage_tags": []any{"intake", "default"},
			}
			if d := cmp.Diff(want, metadata); d != "" {
				t.Errorf("metadata (-want +got):\n%s", d)
			}
			if want := "Rechnung 7+1 für Zürich." + u.id() + "-1-" + tag.Signature + ".pdf"; run.FileName != want {
				t.Errorf("file name %q, want %q", run.FileName, want)
			}
			if want := linkTo(u.source()); run.FileURL != want {
				t.Errorf("file URL %q, want %q", run.FileURL, want)
			}
			if run.ProcessorID != processor || run.Version != "2.1" {
				t.Errorf("read by %s, version %s", run.ProcessorID, run.Version)
			}
			rec := in.record(u)
			if rec.Object != "s3://intake-uploads/"+key || rec.Sequence != "00617F08299329D189" || rec.Size != 1024 || rec.Route != "default" ||
				rec.ProcessorID != processor || rec.ProcessorVersion != "latest" || rec.Attempt != 1 || rec.RunURL == "" {
				t.Errorf("record %+v", rec)
			}
			in.wantLog("INFO run created", "document_id="+u.id(), "run_id="+run.ID, "attempt=1", "PROCESSING")
		})
	}
}

func TestBareEventThatIsNotDoneIsAnError(t *testing.T) {
	t.Parallel()
	in := newIntake(t, onCreate(fakeextend.Fault{Status: 503}))
	u := upload{"in/a.pdf", "v1"}
	for _, event := range []string{s3Event(u), `{"hello":"world"}`} {
		if _, err := in.Handle(in.ctx, json.RawMessage(event)); err == nil {
			t.Errorf("%s: no error, so Lambda would not invoke again", event)
		}
	}
	in.wantState(u, ledger.Unconfirmed, "")
}

func TestTheSameUploadAgain(t *testing.T) {
	t.Parallel()
	in := newIntake(t)
	m, u := put("a")
	for range 3 {
		in.want(in.receive(m), allDone)
	}
	in.want(in.receive(message{id: "twice in one message", body: s3Event(u, u)}, message{id: "by EventBridge", body: bridgeEvent(u.key)}), allDone)
	in.wantProcessing(u)
	in.wantCalls(map[string]int{fakeextend.RouteCreate: 1})

	// A tool copies the object onto itself: another version, the same bytes.
	copied := upload{u.key, "v2"}
	in.want(in.receive(message{id: "v2", body: s3Event(copied)}), allDone)
	if rec := in.record(copied); rec.State != ledger.Skipped || rec.DuplicateOf != u.id() {
		t.Errorf("record %+v", rec)
	}
	in.wantRuns(1)
	newer := upload{u.key, "v3"}
	in.want(in.receive(message{id: "v3", body: strings.ReplaceAll(s3Event(newer), "9b2cf535f27731c974343645a3985328", "00000000000000000000000000000000")}), allDone)
	in.wantProcessing(newer)
	in.wantRuns(2)
}

func TestTwoInstancesAtOnce(t *testing.T) {
	t.Parallel()
	for range 20 {
		in := newIntake(t)
		m, u := put("a")
		var both sync.WaitGroup
		for range 2 {
			i := in.another()
			both.Go(func() {
				r := i.receive(m)
				// The loser's message is done, or comes back after the winner's lease.
				if len(r.Back) > 0 && r.Back[m.id] != rules.Lease || len(r.Dead) > 0 {
					t.Errorf("%+v", r)
				}
			})
		}
		both.Wait()
		in.wantProcessing(u)
		in.wantCalls(map[string]int{fakeextend.RouteCreate: 1})
	}
}

func TestABatchOfAllSorts(t *testing.T) {
	t.Parallel()
	in := newIntake(t)
	in.file = func(ctx context.Context, s document.Source, name string, limit time.Duration) (*extend.RunFile, error) {
		if strings.Contains(s.Key, "panic") {
			panic("no link for you")
		}
		return linked(ctx, s, name, limit)
	}
	good, u := put("good")
	last, v := put("last")
	panics, w := put("panics")
	strange := message{id: "strange", body: `{"hello":"world"}`}
	text := message{id: "text", body: "hello"}
	undecodable := message{id: "undecodable", body: strings.Replace(s3Event(upload{"in/KEY", "v1"}), "in/KEY", "in/100%.pdf", 1)}
	marker := message{id: "marker", body: strings.Replace(s3Event(upload{"in/folder/", "v1"}), `"size":1024`, `"size":0`, 1)}
	unrouted := message{id: "unrouted", body: s3Event(upload{"out/a.pdf", "v1"})}

	got := in.receive(good, strange, text, undecodable, marker, unrouted, panics, last)
	in.want(got, result{
		Requeued: []requeued{{panics.body, 1, 2 * time.Second}},
		Dead: []dead{
			{strange.body, "not an upload event: it has neither S3 records nor an S3 event of EventBridge"},
			{text.body, "not an upload event: invalid character 'h' looking for beginning of value"},
			{undecodable.body, `not an upload event: key "in/100%.pdf" can't be decoded: invalid URL escape "%.p"`},
		},
	})
	in.wantProcessing(u)
	in.wantProcessing(v)
	in.wantState(w, ledger.Submitting, "") // until its lease is over: then it is searched for
	in.wantRuns(2)
	in.wantLog("INFO ignored", "folder marker", "s3://intake-uploads/in/folder/")
	in.wantLog("INFO ignored", "no route", "s3://intake-uploads/out/a.pdf")
	in.wantLog("ERROR panic", "no link for you", "attempt.go")
	in.wantLog("ERROR sent to the dead-letter queue", "message_id=strange", "neither S3 records")
}

func TestRateLimit(t *testing.T) {
	t.Parallel()
	in := newIntake(t, onCreate(fakeextend.Fault{}, fakeextend.Fault{Status: 429, RetryAfter: "30"}))
	a, ua := put("a")
	b, ub := put("b")
	c, uc := put("c")
	got := in.receive(a, b, c)
	in.want(got, result{Back: map[string]time.Duration{"b": 30 * time.Second, "c": 30 * time.Second}})
	in.wantProcessing(ua)
	in.wantState(ub, ledger.Waiting, "429 RATE_LIMIT_EXCEEDED")
	if at := in.record(ub).NextCheckAt; !at.Equal(in.now().Add(30 * time.Second)) {
		t.Errorf("its next check is due at %v", at)
	}
	in.wantNone(uc) // untouched
	in.wantCalls(map[string]int{fakeextend.RouteCreate: 2})

	in.clock.advance(29 * time.Second)
	d, ud := put("d")
	in.want(in.receive(d), returns("d", time.Second)) // another batch, the same pause
	in.wantNone(ud)
	in.wantCalls(map[string]int{fakeextend.RouteCreate: 2})

	in.clock.advance(time.Second)
	in.want(in.receive(b, c, d), allDone)
	for _, u := range []upload{ua, ub, uc, ud} {
		in.wantProcessing(u)
	}
	in.wantCalls(map[string]int{fakeextend.RouteCreate: 5})
}

// The plan's limits are per second and per minute: an absurd Retry-After is believed for
// a minute, and then one file probes.
func TestALongRetryAfter(t *testing.T) {
	t.Parallel()
	in := newIntake(t, onCreate(fakeextend.Fault{Status: 429, RetryAfter: "86400"}))
	m, u := put("a")
	in.want(in.receive(m), returns("a", maxRatePause))
	in.clock.advance(maxRatePause)
	in.want(in.receive(m), allDone)
	in.wantProcessing(u)
	in.wantCalls(map[string]int{fakeextend.RouteCreate: 2})
}

// One file that something refuses waits apart and has an end; the others keep the rate.
func TestAFirewallAgainstOneFile(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]fakeextend.Fault{
		"a firewall":           {Answer: &fakeextend.Answer{Status: 403, ContentType: "text/html", Body: "<html>blocked</html>"}},
		"the API's own 403":    {Status: 403},
		"a router":             {Answer: &fakeextend.Answer{Status: 404, Body: "default backend - 404"}},
		"the API, always 500":  {Status: 500},
		"an answer of nothing": {Answer: &fakeextend.Answer{Status: 200, Body: `{"success":false,"error":"no"}`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := newIntake(t, faults(fakeextend.ForFile(fakeextend.RouteCreate, "sick", fault)))
			sick := message{id: "sick", body: s3Event(upload{"in/sick.pdf", "v1"})}
			rounds := 0
			for rec := in.recordOf("in/sick.pdf"); rec == nil || !rec.State.Terminal(); rec = in.recordOf("in/sick.pdf") {
				if rounds++; rounds > 200 {
					t.Fatalf("it comes back for ever: %+v", rec)
				}
				good, u := put(fmt.Sprint("good", rounds))
				r := in.receive(sick, good)
				in.wantProcessing(u) // the healthy are not held up
				in.clock.advance(max(r.Back["sick"], time.Second))
			}
			rec := in.recordOf("in/sick.pdf")
			posts := in.fake.Accepted()
			if rec.State != ledger.Refused || rec.FailureReason == "" || rec.FailureMessage == "" || posts != rounds {
				t.Errorf("after %d rounds and %d runs: %s %s %s", rounds, posts, rec.State, rec.FailureReason, rec.FailureMessage)
			}
		})
	}
}

// An incident in front of the API: what all documents hear pauses, and is nobody's failure.
func TestAnIncidentInFrontOfTheAPI(t *testing.T) {
	t.Parallel()
	down := true
	in := newIntake(t, faults(func(c fakeextend.Call) fakeextend.Fault {
		if c.Route == fakeextend.RouteCreate && down {
			return fakeextend.Fault{Answer: &fakeextend.Answer{Status: 404, Body: "404 page not found"}}
		}
		return fakeextend.Fault{}
	}))
	a, ua := put("a")
	b, ub := put("b")
	for range 100 {
		in.receive(a, b)
		in.clock.advance(5 * time.Minute)
	}
	for _, u := range []upload{ua, ub} {
		if rec := in.record(u); rec.State != ledger.Waiting || rec.Failures > 2 {
			t.Errorf("%s with %d failures", rec.State, rec.Failures)
		}
	}
	in.wantLog("ERROR paused", "404, not the API's", "AccountPaused=1")
	in.wantLog("WARN not submitted", "UnexpectedAnswers=1")
	down = false
	in.clock.advance(15 * time.Minute)
	in.want(in.receive(a, b), allDone)
	in.wantProcessing(ua)
	in.wantProcessing(ub)
}

// What is not worth a POST ends without one, visibly.
func TestWhatIsNotPaidFor(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		key, code string
		edit      func(*instance)
	}{
		"empty":           {"in/a.pdf", "EMPTY_FILE", func(i *instance) { i.Bucket = headed(Object{}, nil) }},
		"too small":       {"in/a.pdf", "TOO_SMALL", func(i *instance) { i.config.MinFileBytes = 2000 }},
		"too large":       {"in/a.pdf", "TOO_LARGE", func(i *instance) { i.config.MaxFileBytes = 1000 }},
		"gone":            {"in/a.pdf", "OBJECT_GONE", func(i *instance) { i.Bucket = headed(Object{}, &ObjectError{Code: "OBJECT_GONE", Final: true}) }},
		"replaced":        {"in/a.pdf", "OBJECT_REPLACED", func(i *instance) { i.Bucket = headed(Object{}, &ObjectError{Code: "OBJECT_REPLACED", Final: true}) }},
		"another key":     {"in/a.pdf", "S3_BADREQUEST", func(i *instance) { i.Bucket = headed(Object{}, &ObjectError{Code: "S3_BADREQUEST", Final: true}) }},
		"a dot segment":   {"in/../a.pdf", "KEY_NOT_LINKABLE", func(*instance) {}},
		"a leading slash": {"/in/a.pdf", "KEY_NOT_LINKABLE", func(i *instance) { i.config.Routes[0].Prefix = "" }},
		"replaced, newest": {"in/a.pdf", "REPLACED", func(i *instance) {
			i.config.NewestOnly = true
			i.Bucket = fakeBucket{current: func(document.Source) (string, string, error) { return "v2", "e2", nil }}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := newIntake(t)
			c.edit(in.instance)
			u := upload{c.key, "v1"}
			in.want(in.receive(message{id: "a", body: s3Event(u)}), allDone)
			rec := in.record(u)
			if !rec.State.Terminal() || rec.FailureReason != c.code || (rec.State == ledger.Skipped) != (c.code == "REPLACED") {
				t.Errorf("record %+v", rec)
			}
			in.wantCalls(map[string]int{})
			in.wantLog("WARN not submitted", c.code)
		})
	}
}

func headed(o Object, err error) Bucket {
	return fakeBucket{head: func(document.Source) (Object, error) { return o, err }}
}

// An SFTP gateway makes a placeholder, the content, and a copy for the metadata.
func TestAGatewaysThreeCreations(t *testing.T) {
	t.Parallel()
	in := newIntake(t)
	in.config.MinFileBytes = 64
	event := func(version, eTag string, size int) message {
		return message{id: version, body: strings.NewReplacer("9b2cf535f27731c974343645a3985328", eTag, `"size":1024`, fmt.Sprintf(`"size":%d`, size)).Replace(s3Event(upload{"in/a.pdf", version}))}
	}
	in.want(in.receive(event("v1", "e0", 36), event("v2", "e1", 48_213), event("v3", "e1", 48_213)), allDone)
	in.wantRuns(1)
	states := map[ledger.State]int{}
	for _, v := range []string{"v1", "v2", "v3"} {
		states[in.record(upload{"in/a.pdf", v}).State]++
	}
	if want := map[ledger.State]int{ledger.Refused: 1, ledger.Processing: 1, ledger.Skipped: 1}; !cmp.Equal(want, states) {
		t.Errorf("states %v", states)
	}
}

func TestTheAccountIsRefused(t *testing.T) {
	t.Parallel()
	const pause = 5 * time.Minute
	for status, code := range map[int]string{401: "UNAUTHORIZED", 402: "USAGE_BLOCKED", 410: "ENDPOINT_REMOVED"} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			in := newIntake(t, onCreate(fakeextend.Fault{Status: status}))
			a, ua := put("a")
			b, ub := put("b")
			in.want(in.receive(a, b), result{Back: map[string]time.Duration{"a": pause, "b": pause}})
			in.wantState(ua, ledger.Waiting, fmt.Sprintf("%d %s", status, code))
			in.wantNone(ub)
			in.wantLog("ERROR paused", fmt.Sprint(status))

			in.clock.advance(pause - time.Second)
			c, uc := put("c")
			in.want(in.receive(c), returns("c", time.Second))
			in.wantNone(uc)
			in.wantCalls(map[string]int{fakeextend.RouteCreate: 1})

			// What needs no call is not paused.
			in.want(in.receive(message{id: "t", body: testEvent}, message{id: "o", body: s3Event(upload{"out/x", "v1"})}), allDone)

			// The pause is this instance's: another one finds out for itself.
			in.want(in.another().receive(c), allDone)

			in.clock.advance(time.Second)
			in.want(in.receive(a, b, c), allDone)
			for _, u := range []upload{ua, ub, uc} {
				in.wantProcessing(u)
			}
			in.wantRuns(3)
		})
	}
}

func TestRefusedDocument(t *testing.T) {
	t.Parallel()
	for _, status := range []int{400, 404, 409, 413, 422} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			in := newIntake(t, onCreate(fakeextend.Fault{Status: status, Code: "SOME_CODE", Message: "Not this one."}))
			a, ua := put("a")
			b, ub := put("b")
			in.want(in.receive(a, b), allDone)
			rec := in.record(ua)
			if rec.State != ledger.Refused || rec.FailureReason != "SOME_CODE" || rec.FailureMessage != "Not this one." || !strings.HasPrefix(rec.RequestID, "req_") || rec.Revision != 1 {
				t.Errorf("record %+v", rec)
			}
			in.wantProcessing(ub)
			in.wantLog("WARN not submitted", "REFUSED", fmt.Sprint(status), "document_id="+ua.id())

			in.want(in.receive(a), allDone) // final: a person decides
			in.wantCalls(map[string]int{fakeextend.RouteCreate: 2})
		})
	}
}

func TestExtendIsNotThere(t *testing.T) {
	t.Parallel()
	in := newIntake(t)
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	client, err := extend.NewClient(extend.StaticKey(apiKey), extend.WithBaseURL(gone.URL), extend.WithRetry(extend.Retry{Attempts: 1}))
	if err != nil {
		t.Fatal(err)
	}
	m, u := put("a")
	in.Runs = client.Runs
	in.want(in.receive(m), returns("a", 2*time.Second))
	in.wantState(u, ledger.Waiting, "not sent")
	m.receives = 3
	in.want(in.receive(m), returns("a", 8*time.Second))

	in.Runs = in.runs
	in.want(in.receive(m), allDone)
	in.wantProcessing(u)
	in.wantRuns(1)
}

func TestADeliveryBeforeTheAnswer(t *testing.T) {
	t.Parallel()
	in := newIntake(t)
	m, u := put("a")
	in.Runs = hookedRuns{in.runs, func(run *extend.Run) {
		_, err := in.book.Apply(t.Context(), u.id(), ledger.RunEnded{Source: u.source(), Signed: true, Attempt: 1, RunID: run.ID, State: ledger.Processed, OutputLocation: "s3://results/x", Digest: "d"})
		if err != nil {
			t.Error(err)
		}
	}}
	in.want(in.receive(m), allDone)
	rec := in.record(u)
	if rec.State != ledger.Processed || rec.Revision != 1 || len(rec.Runs) > 0 {
		t.Errorf("record %+v", rec)
	}
	in.want(in.receive(m), allDone)
	in.wantRuns(1)
}

func TestTheLeaseOfAnother(t *testing.T) {
	t.Parallel()
	in := newIntake(t)
	m, u := put("a")
	claim := ledger.Claim{Source: u.source(), Route: "default", ProcessorID: processor, Version: "latest"}
	if _, err := in.book.Apply(t.Context(), u.id(), claim); err != nil { // and then it dies
		t.Fatal(err)
	}
	in.clock.advance(time.Minute)
	in.want(in.receive(m), returns("a", 2*time.Minute))
	in.wantCalls(map[string]int{})

	in.clock.advance(2 * time.Minute)
	in.want(in.receive(m), returns("a", firstSearch)) // it may have sent its POST
	in.wantState(u, ledger.Unconfirmed, "")
	in.wantCalls(map[string]int{fakeextend.RouteList: 1})

	in.settle(m)
	in.wantProcessing(u)
	in.wantRuns(1)
}

// secretStore is a Secrets Manager that holds what the test puts there.
func secretStore(t *testing.T, in *intake, secret *string) *boot.Secrets {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]string{"SecretString": *secret})
	}))
	t.Cleanup(server.Close)
	client := secretsmanager.New(secretsmanager.Options{Region: "eu-west-1", BaseEndpoint: &server.URL, Credentials: aws.AnonymousCredentials{}, Retryer: aws.NopRetryer{}})
	return boot.NewSecrets(client, "arn:aws:secretsmanager:eu-west-1:123456789012:secret:intake", func(string) string { return "" }, in.now)
}

func TestNoAPIKeyYet(t *testing.T) {
	t.Parallel()
	in := newIntake(t)
	secret := `{"apiKey":"","webhookSecrets":[]}`
	in.Key = secretStore(t, in, &secret).APIKey
	a, ua := put("a")
	b, ub := put("b")
	const pause = 5 * time.Minute
	in.want(in.receive(a, b), result{Back: map[string]time.Duration{"a": pause, "b": pause}})
	in.wantNone(ua)
	in.wantNone(ub)
	in.wantLog("ERROR no API key", `put the key of your Extend workspace into "apiKey" of arn:aws:secretsmanager:eu-west-1:123456789012:secret:intake`)
	in.wantCalls(map[string]int{})
	if n := strings.Count(in.log.String(), "ERROR no API key"); n != 1 {
		t.Errorf("said %d times", n)
	}

	secret = `{"apiKey":"` + apiKey + `","webhookSecrets":[]}`
	in.clock.advance(pause)
	in.want(in.receive(a, b), allDone)
	in.wantProcessing(ua)
	in.wantProcessing(ub)
}

func TestARecordThatCantBeUnderstood(t *testing.T) {
	t.Parallel()
	in := newIntake(t)
	m, u := put("a")
	good, v := put("good")
	// A newer version of this software could have such a state.
	if _, err := in.book.Apply(t.Context(), u.id(), ledger.RunEnded{Source: u.source(), Signed: true, Attempt: 1, RunID: "dpr_1", State: "ARCHIVED"}); err != nil {
		t.Fatal(err)
	}
	for m.errors = 0; m.errors < maxErrors-1; m.errors++ {
		in.want(in.receive(m), result{Requeued: []requeued{{m.body, m.errors + 1, backoff(m.errors + 1)}}})
	}
	got := in.receive(m, good)
	want := fmt.Sprintf("ledger: record can't be understood: %s: state \"ARCHIVED\" is unknown: is it from a newer version of this software? (given up after 12 tries)", u.id())
	in.want(got, result{Dead: []dead{{m.body, want}}})
	in.wantProcessing(v)
	in.wantRuns(1)
}

func TestTheLedgerFails(t *testing.T) {
	t.Parallel()
	t.Run("before the POST", func(t *testing.T) {
		t.Parallel()
		in := newIntake(t)
		in.Ledger = in.brokenLedger()
		m, u := put("a")
		in.want(in.receive(m), returns("a", 2*time.Second))
		in.wantCalls(map[string]int{})
		in.wantLog("ERROR ledger", "the table does not answer", "document_id="+u.id())
		in.Ledger = in.book
		in.want(in.receive(m), allDone)
		in.wantProcessing(u)
	})
	t.Run("after the POST", func(t *testing.T) {
		t.Parallel()
		in := newIntake(t)
		m, u := put("a")
		in.Runs = hookedRuns{in.runs, func(*extend.Run) { in.Ledger = in.brokenLedger() }}
		in.want(in.receive(m), returns("a", 2*time.Second))
		in.wantState(u, ledger.Submitting, "")
		in.wantLog("ERROR ledger", "run_id="+in.fake.Runs()[0].ID) // a person can find it

		in.Runs, in.Ledger = in.runs, in.book
		in.clock.advance(2 * time.Second)
		in.want(in.receive(m), returns("a", rules.Lease-2*time.Second))
		in.clock.advance(rules.Lease - 2*time.Second)
		in.want(in.receive(m), allDone)
		in.wantProcessing(u)
		in.wantRuns(1)
	})
}

func TestNoLinkToTheFile(t *testing.T) {
	t.Parallel()
	in := newIntake(t)
	in.file = func(context.Context, document.Source, string, time.Duration) (*extend.RunFile, error) {
		return nil, errors.New("no credentials")
	}
	m, u := put("a")
	in.want(in.receive(m), returns("a", time.Minute))
	in.wantState(u, ledger.Waiting, "file not ready")
	in.wantCalls(map[string]int{})
	in.wantLog("WARN not submitted", "no credentials", "document_id="+u.id())
	in.file = linked
	in.want(in.receive(m), allDone)
	in.wantProcessing(u)
}

func TestTooLittleTime(t *testing.T) {
	t.Parallel()
	m, u := put("a")
	t.Run("for a call", func(t *testing.T) {
		t.Parallel()
		in := newIntake(t)
		ctx, cancel := context.WithDeadline(in.ctx, in.now().Add(postTimeout))
		defer cancel()
		in.want(in.receiveIn(ctx, m), returns("a", time.Second))
		in.wantNone(u)
		in.wantCalls(map[string]int{})
	})
	t.Run("for the next file", func(t *testing.T) {
		t.Parallel()
		in := newIntake(t)
		in.limiter = newRateLimiter(1e9, 1.0/120)
		ctx, cancel := context.WithDeadline(in.ctx, in.now().Add(time.Minute))
		defer cancel()
		first, v := put("first")
		in.want(in.receiveIn(ctx, first, m), returns("a", 2*time.Minute)) // not slept for
		in.wantProcessing(v)
		in.wantNone(u)

		in.clock.advance(2 * time.Minute)
		in.want(in.receive(m), allDone)
		in.wantProcessing(u)
	})
	t.Run("for the POST, after the claim", func(t *testing.T) {
		t.Parallel()
		in := newIntake(t)
		in.file = func(ctx context.Context, s document.Source, name string, limit time.Duration) (*extend.RunFile, error) {
			in.clock.advance(50 * time.Second) // a slow answer for the credentials
			return linked(ctx, s, name, limit)
		}
		ctx, cancel := context.WithDeadline(in.ctx, in.now().Add(time.Minute))
		defer cancel()
		in.want(in.receiveIn(ctx, m), returns("a", 2*time.Second))
		in.wantState(u, ledger.Waiting, errTooLong.Error())
		in.wantCalls(map[string]int{})
	})
}

// hour is a context that leaves so much time that only the lease stops a POST.
func hour(t *testing.T, in *intake) context.Context {
	ctx, cancel := context.WithDeadline(in.ctx, in.now().Add(time.Hour))
	t.Cleanup(cancel)
	return ctx
}

func TestNoPOSTAfterTheLease(t *testing.T) {
	t.Parallel()
	in := newIntake(t)
	m, u := put("a")
	in.file = func(ctx context.Context, s document.Source, name string, limit time.Duration) (*extend.RunFile, error) {
		in.clock.advance(rules.Lease - postTimeout) // the instance was frozen here
		return linked(ctx, s, name, limit)
	}
	in.want(in.receiveIn(hour(t, in), m), returns("a", time.Second))
	in.wantState(u, ledger.Waiting, "the lease is over")
	in.wantCalls(map[string]int{})
	in.file = linked
	in.want(in.receive(m), allDone)
	in.wantProcessing(u)
}

// An instance that was frozen before its POST must not hurt the one that took over.
func TestAClaimerThatWakesUpLate(t *testing.T) {
	t.Parallel()
	in := newIntake(t)
	m, u := put("a")
	other := in.another()
	in.file = func(ctx context.Context, s document.Source, name string, limit time.Duration) (*extend.RunFile, error) {
		in.clock.advance(rules.Lease)
		in.want(other.receive(m), returns("a", firstSearch))
		in.clock.advance(rules.ConfirmWindow)
		in.want(other.receive(m), allDone)
		return linked(ctx, s, name, limit)
	}
	in.want(in.receiveIn(hour(t, in), m), returns("a", time.Second))
	in.wantProcessing(u)
	in.wantRuns(1)
	in.want(in.receive(m), allDone)
	in.wantRuns(1)
}
