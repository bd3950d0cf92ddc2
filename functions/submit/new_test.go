package submit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"extend-intake/dev/fakeextend"
	"extend-intake/shared/document/documenttest"
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
		w.Header().Set("X-Amz-Request-Id", "C3D13FE58DE4C810")
		if r.Method == http.MethodHead {
			w.Header().Set("Content-Length", "1024")
			w.Header().Set("X-Amz-Version-Id", "v1")
			return
		}
		_, _ = io.WriteString(w, "%PDF-1.7")
		return
	}
	_, call, _ := strings.Cut(target, ".")
	f.calls = append(f.calls, call)
	var in map[string]any
	_ = json.Unmarshal(body, &in)
	answer := "{}"
	if bytes.Contains(body, []byte(`"obj_`)) {
		call = "" // what is known of a key: nothing
	}
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
		"STACK": stack, "TABLE_NAME": "documents", "SECRET_ID": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:intake", "TAG_SECRET_ID": "tags",
		"EXTEND_BASE_URL": extendURL, "EXTEND_API_KEY": apiKey, "EXTEND_TAG_KEY": documenttest.Key, "UPLOAD_QUEUE_URL": awsURL + "/123456789012/uploads",
		"DEAD_LETTER_QUEUE_URL": awsURL + "/123456789012/dead", "PROCESSOR_ID": processor, "PROCESSOR_VERSION": "latest", "KEY_PREFIX": "in/", "UPLOAD_BUCKET": bucket, "TRANSFER": "link",
		"REQUESTS_PER_SECOND": "10000", "FILES_PER_MINUTE": "100000", "SUBMIT_CONCURRENCY": "2",
		"LEASE_SECONDS": "180", "CONFIRM_WINDOW_SECONDS": "600", "PAUSE_SECONDS": "300", "RECONCILE_AFTER_SECONDS": "600", "STALLED_AFTER_SECONDS": "21600",
		"MAX_FAILURES": "10", "GIVE_UP_AFTER_SECONDS": "259200", "MAX_UNANSWERED": "5", "MIN_FILE_BYTES": "1", "MAX_FILE_BYTES": "0", "SETTLE_SECONDS": "0", "NEWEST_ONLY": "false",
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
		Fault: fakeextend.ForFile(fakeextend.RouteCreate, "c.doc_", fakeextend.Fault{Status: 503}),
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
	// Side by side, in no order: claim, look at the object, what is known of its key, result.
	wantCalls := map[string]int{"PutItem": 4, "GetItem": 4, "UpdateItem": 2, "S3 HEAD": 2, "ChangeMessageVisibility": 1, "SendMessage": 1}
	calls := map[string]int{}
	fetched := false
	for _, c := range cloud.calls {
		if c == "S3 GET /intake-uploads/in/a b.pdf" {
			fetched = true // by the fake, at any time
			continue
		}
		c, _, _ = strings.Cut(c, " /")
		calls[c]++
	}
	if d := cmp.Diff(wantCalls, calls); d != "" || !fetched {
		t.Errorf("file fetched: %t; calls of AWS (-want +got):\n%s", fetched, d)
	}
	slices.SortFunc(cloud.sent, func(a, b map[string]any) int { // the delay, and then the dead letter
		_, first := a["ReceiptHandle"]
		_, second := b["ReceiptHandle"]
		switch {
		case first == second:
			return 0
		case first:
			return -1
		}
		return 1
	})
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
