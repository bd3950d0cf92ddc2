package webhook

import (
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"extend-intake/shared/document/documenttest"
)

// environment is what the template gives the function, with all of AWS at one
// address.
func environment(awsURL string) map[string]string {
	return map[string]string{
		"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "example", "AWS_ENDPOINT_URL": awsURL,
		"STACK": stack, "TABLE_NAME": "documents", "SECRET_ID": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:intake", "TAG_SECRET_ID": "tags", "EXTEND_TAG_KEY": documenttest.Key,
		"EXTEND_BASE_URL": "https://api.extend.ai", "EXTEND_WEBHOOK_SECRETS": "wss_other, " + secret, "UPLOAD_QUEUE_URL": awsURL + "/123456789012/uploads",
		"RESULTS_BUCKET": "results", "PAYLOAD_HOSTS": "extend.ai, .amazonaws.com", "MAX_ATTEMPTS": "2", "REQUESTS_PER_SECOND": "10", "CONFIRM_WINDOW_SECONDS": "600",
	}
}

// fakeAWS is one endpoint for the services that the function calls: a table
// without items, a queue and a bucket.
type fakeAWS struct {
	mu    sync.Mutex
	calls []string
	table string
	body  string // of the object
}

func (f *fakeAWS) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	target := r.Header.Get("X-Amz-Target")
	if target == "" { // S3 has none
		f.calls = append(f.calls, "S3 "+r.Method+" "+r.URL.Path)
		f.body = string(body)
		return
	}
	_, call, _ := strings.Cut(target, ".")
	f.calls = append(f.calls, call)
	var in struct{ TableName string }
	_ = json.Unmarshal(body, &in)
	f.table = in.TableName
	w.Header().Set("Content-Type", r.Header.Get("Content-Type"))
	w.Header().Set("X-Amz-Crc32", fmt.Sprint(crc32.ChecksumIEEE([]byte("{}")))) // DynamoDB's
	_, _ = io.WriteString(w, "{}")
}

func TestNewCallsNobody(t *testing.T) {
	nobody := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Errorf("called: %s %s", r.Method, r.URL) }))
	defer nobody.Close()
	env := environment(nobody.URL)
	env["EXTEND_BASE_URL"] = nobody.URL
	h, err := New(t.Context(), func(name string) string { return env[name] })
	if err != nil {
		t.Fatal(err)
	}
	response, err := invoke(t.Context(), h, signed("wss_stranger", time.Now(), processed(nil)))
	if err != nil || response.StatusCode != 401 {
		t.Errorf("%+v, %v", response, err)
	}
}

// TestNewIsWired follows deliveries through what New makes.
func TestNewIsWired(t *testing.T) {
	cloud := &fakeAWS{}
	server := httptest.NewServer(cloud)
	defer server.Close()
	env := environment(server.URL)
	h, err := New(t.Context(), func(name string) string { return env[name] })
	if err != nil {
		t.Fatal(err)
	}
	inexact := `{"n": 3.1415926535897932384626433832795028841971}`
	for _, body := range []string{processed(nil), processed(map[string]any{"output": json.RawMessage(inexact)})} {
		response, err := invoke(t.Context(), h, signed(secret, time.Now(), body))
		if err != nil || response.StatusCode != 200 {
			t.Fatalf("%+v, %v", response, err)
		}
	}
	// The payload names no file, so that its tag alone says whose run it is: the ledger is asked by the run's id.
	calls := strings.Join(cloud.calls, ", ")
	if !strings.HasPrefix(calls, "Query, GetItem, PutItem, Query, S3 PUT /results/"+docID+"/1-") || !strings.HasSuffix(calls, ".json, GetItem, PutItem") || cloud.table != "documents" {
		t.Errorf("table %s, calls %s", cloud.table, calls)
	}
	if want := `{"n":3.1415926535897932384626433832795028841971}`; cloud.body != want { // as it was in the delivery, which json.Marshal compacted
		t.Errorf("stored %q", cloud.body)
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	env := map[string]string{
		"STACK": stack, "TABLE_NAME": "documents", "SECRET_ID": "arn", "TAG_SECRET_ID": "tags", "EXTEND_BASE_URL": "https://api.extend.ai", "EXTEND_WORKSPACE_ID": "ws_1",
		"UPLOAD_QUEUE_URL": "q", "RESULTS_BUCKET": "results", "PAYLOAD_HOSTS": "Extend.ai, .amazonaws.com,", "MAX_ATTEMPTS": "3", "REQUESTS_PER_SECOND": "30", "CONFIRM_WINDOW_SECONDS": "900",
	}
	getenv := func(name string) string { return env[name] }
	c, err := LoadConfig(getenv)
	if err != nil {
		t.Fatal(err)
	}
	if c.Rules.MaxAttempts != 3 || c.RequestsPerSecond != 3 || c.BaseURL.String() != "https://api.extend.ai" || c.Workspace != "ws_1" || !cmp.Equal(c.PayloadHosts, []string{"extend.ai", "amazonaws.com"}) {
		t.Errorf("config %+v", c)
	}
	env["RESULTS_BUCKET"], env["MAX_ATTEMPTS"], env["EXTEND_BASE_URL"] = "", "0", "api.extend.ai"
	_, err = LoadConfig(getenv)
	for _, want := range []string{"RESULTS_BUCKET is missing", "MAX_ATTEMPTS is 0", `EXTEND_BASE_URL is "api.extend.ai"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
	if _, err := New(t.Context(), func(string) string { return "" }); err == nil || strings.Count(err.Error(), "is missing") < 8 {
		t.Errorf("with no variable at all: %v", err)
	}
}
