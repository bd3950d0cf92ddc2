package submit

import (
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"extend-intake/dev/fakeextend"
)

// fakeAWS is one endpoint for the services that the function calls. It keeps what
// it is told, and answers as far as one upload needs it.
type fakeAWS struct {
	mu    sync.Mutex
	calls []string
	item  json.RawMessage // the one that DynamoDB holds
	sent  []map[string]any
	// writes are the bodies of what was sent to DynamoDB.
	writes []string
}

func (f *fakeAWS) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	target := r.Header.Get("X-Amz-Target")
	if target == "" { // S3 has none
		f.calls = append(f.calls, "S3 "+r.Method+" "+r.URL.Path)
		_, _ = io.WriteString(w, "%PDF-1.7")
		return
	}
	_, call, _ := strings.Cut(target, ".")
	f.calls = append(f.calls, call)
	var in map[string]any
	_ = json.Unmarshal(body, &in)
	answer := "{}"
	switch call {
	case "PutItem":
		f.item = must(json.Marshal(in["Item"]))
		f.writes = append(f.writes, string(body))
	case "UpdateItem":
		f.writes = append(f.writes, string(body))
	case "GetItem":
		answer = fmt.Sprintf(`{"Item":%s}`, f.item)
	case "SendMessage", "ChangeMessageVisibility":
		f.sent = append(f.sent, in)
	}
	w.Header().Set("Content-Type", r.Header.Get("Content-Type"))
	w.Header().Set("X-Amz-Crc32", fmt.Sprint(crc32.ChecksumIEEE([]byte(answer)))) // DynamoDB's
	_, _ = io.WriteString(w, answer)
}

// environment is what the template gives the function, with AWS and Extend at
// these addresses.
func environment(awsURL, extendURL string) func(string) string {
	return environmentWith(awsURL, extendURL, nil)
}

func environmentWith(awsURL, extendURL string, other map[string]string) func(string) string {
	env := map[string]string{
		"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "example", "AWS_ENDPOINT_URL": awsURL,
		"STACK": stack, "TABLE_NAME": "documents", "SECRET_ID": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:intake",
		"EXTEND_BASE_URL": extendURL, "EXTEND_API_KEY": apiKey, "UPLOAD_QUEUE_URL": awsURL + "/123456789012/uploads",
		"DEAD_LETTER_QUEUE_URL": awsURL + "/123456789012/dead", "PROCESSOR_ID": processor, "PROCESSOR_VERSION": "latest", "KEY_PREFIX": "in/", "UPLOAD_BUCKET": bucket, "TRANSFER": "link",
		"REQUESTS_PER_SECOND": "10000", "FILES_PER_MINUTE": "100000", "MAX_CONCURRENCY": "2",
		"LEASE_SECONDS": "180", "CONFIRM_WINDOW_SECONDS": "600", "PAUSE_SECONDS": "300", "RECONCILE_AFTER_SECONDS": "600", "STALLED_AFTER_SECONDS": "21600",
	}
	maps.Copy(env, other)
	return func(name string) string { return env[name] }
}

func TestNewCallsNobody(t *testing.T) {
	nobody := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Errorf("called: %s %s", r.Method, r.URL) }))
	defer nobody.Close()
	handle, err := New(t.Context(), environment(nobody.URL, nobody.URL))
	if err != nil {
		t.Fatal(err)
	}
	response, err := handle(t.Context(), batch(message{id: "m", body: testEvent}))
	if got := string(must(json.Marshal(response))); err != nil || got != `{"batchItemFailures":[]}` {
		t.Errorf("%s, %v", got, err)
	}
}

// TestNewIsWired follows uploads through what New makes: the real SDK and the real
// client, against one fake endpoint for AWS and the fake of Extend.
func TestNewIsWired(t *testing.T) {
	cloud := &fakeAWS{}
	server := httptest.NewServer(cloud)
	defer server.Close()
	fake, base := fakeextend.NewServer(t, fakeextend.Options{
		APIKey: apiKey, Processors: []fakeextend.Processor{{ID: processor, Type: fakeextend.Extract}},
		Fault: fakeextend.Script(fakeextend.RouteCreate, fakeextend.Fault{}, fakeextend.Fault{Status: 503}),
	})
	handle, err := New(t.Context(), environment(server.URL, base))
	if err != nil {
		t.Fatal(err)
	}
	u, v := upload{"in/a b.pdf", "v1"}, upload{"in/c.pdf", "v1"}
	response, err := handle(t.Context(), batch(message{id: "good", body: s3Event(u)}, message{id: "lost", body: s3Event(v)}, message{id: "spoilt", body: "?"}))
	if got := string(must(json.Marshal(response))); err != nil || got != `{"batchItemFailures":[{"itemIdentifier":"lost"}]}` {
		t.Fatalf("%s, %v", got, err)
	}
	if err := fake.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantCalls := []string{"PutItem", "GetItem", "UpdateItem", "PutItem", "GetItem", "UpdateItem", "ChangeMessageVisibility", "SendMessage"}
	var calls []string
	fetched := false
	for _, c := range cloud.calls {
		if c == "S3 GET /intake-uploads/in/a b.pdf" {
			fetched = true // by the fake, at any time
			continue
		}
		calls = append(calls, c)
	}
	if d := cmp.Diff(wantCalls, calls); d != "" || !fetched {
		t.Errorf("file fetched: %t; calls of AWS (-want +got):\n%s", fetched, d)
	}
	delay := cloud.sent[0]
	seconds, _ := delay["VisibilityTimeout"].(float64)
	if delay["QueueUrl"] != server.URL+"/123456789012/uploads" || delay["ReceiptHandle"] != receipt("lost") || seconds < 15 || seconds > 23 { // 15 s and jitter
		t.Errorf("delay %v", delay)
	}
	want := map[string]any{
		"QueueUrl": server.URL + "/123456789012/dead", "MessageBody": "?",
		"MessageAttributes": map[string]any{"reason": map[string]any{
			"DataType": "String", "StringValue": "not an upload event: invalid character '?' looking for beginning of value",
		}},
	}
	if d := cmp.Diff(want, cloud.sent[1]); d != "" {
		t.Errorf("dead letter (-want +got):\n%s", d)
	}
}
