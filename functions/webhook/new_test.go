package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"extend-intake/shared/boot"
	"extend-intake/shared/document"
	"extend-intake/shared/document/documenttest"
	"extend-intake/shared/extend"
	"extend-intake/shared/extend/webhook"
	"extend-intake/shared/ledger"
	"extend-intake/test/logcapture"
)

// account is what New calls: AWS, with one document in its table, and Extend. It keeps
// the request of each call.
type account struct {
	url string
	mu  sync.Mutex
	// requests are by the call's name: "GetItem", "S3", "GET" (to Extend) …
	requests map[string][]string
	header   http.Header // of the last request to Extend
	attempt  int         // of the document
}

func newAccount(t *testing.T) *account {
	a := &account{requests: map[string][]string{}, attempt: 1}
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	a.url = server.URL
	return a
}

func (a *account) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	if strings.HasPrefix(r.URL.Path, "/extend/") {
		a.requests[r.Method] = append(a.requests[r.Method], r.URL.Path)
		a.header = r.Header
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	_, call, ok := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	if !ok {
		call, body = "S3", []byte(r.URL.Path)
	}
	a.requests[call] = append(a.requests[call], string(body))
	answer := `{}`
	switch call {
	case "GetSecretValue":
		answer = fmt.Sprintf(`{"SecretString": %q}`, fmt.Sprintf(`{"apiKey": %q, "webhookSecrets": [%q]}`, apiKey, secret))
		if strings.Contains(string(body), `"other-tag-secret"`) {
			answer = fmt.Sprintf(`{"SecretString": %q}`, fmt.Sprintf(`{"key": %q}`, documenttest.Key))
		}
	case "GetItem":
		answer = fmt.Sprintf(`{"Item": {"documentId": {"S": %q}, "state": {"S": "PROCESSING"}, "recordVersion": {"N": "2"}, "revision": {"N": "0"}, "attempt": {"N": "%d"},
			"bucket": {"S": %q}, "key": {"S": %q}, "versionId": {"S": %q}, "runId": {"S": %q}, "nextCheckAt": {"S": "2026-01-02T03:04:05.000Z"}}}`,
			docID, a.attempt, source.Bucket, source.Key, source.VersionID, runID)
	}
	w.Header().Set("Content-Type", r.Header.Get("Content-Type"))
	w.Header().Set("X-Amz-Crc32", fmt.Sprint(crc32.ChecksumIEEE([]byte(answer)))) // DynamoDB's
	_, _ = io.WriteString(w, answer)
}

func (a *account) sent(call string) string { return strings.Join(a.requests[call], "\n") }

// TestNewTakesItsConfiguration: with no value as the template has it by default, each is
// seen in what the function does.
func TestNewTakesItsConfiguration(t *testing.T) {
	const other = "123456789012/eu-west-1/other"
	tagged := func(attempt int) map[string]any {
		return map[string]any{"metadata": documenttest.Tag(other, source, attempt).Metadata()}
	}
	for _, c := range []struct {
		attempt int
		most    string // MAX_ATTEMPTS
		state   ledger.State
	}{{1, "1", ledger.Failed}, {1, "2", ledger.Waiting}, {2, "2", ledger.Failed}, {2, "3", ledger.Waiting}, {3, "3", ledger.Failed}} {
		a := newAccount(t)
		a.attempt = c.attempt
		env := map[string]string{
			"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "example", "AWS_ENDPOINT_URL": a.url,
			"STACK": other, "TABLE_NAME": "other-table", "SECRET_ID": "other-secret", "TAG_SECRET_ID": "other-tag-secret", "EXTEND_BASE_URL": a.url + "/extend", "EXTEND_WORKSPACE_ID": "ws_other",
			"UPLOAD_QUEUE_URL": a.url + "/other-uploads", "RESULTS_BUCKET": "other-results", "PAYLOAD_HOSTS": "127.0.0.1", "MAX_ATTEMPTS": c.most, "REQUESTS_PER_SECOND": "10", "CONFIRM_WINDOW_SECONDS": "600",
		}
		h, err := New(t.Context(), func(name string) string { return env[name] })
		if err != nil {
			t.Fatal(err)
		}
		log := &logcapture.Log{}
		deliver := func(body string, status int) {
			t.Helper()
			response, err := invoke(logcapture.With(t.Context(), log), h, signed(secret, time.Now(), body))
			if err != nil || response.StatusCode != status {
				t.Errorf("answer %d, %v, want %d\n%s", response.StatusCode, err, status, log)
			}
		}

		// The retry rule.
		deliver(failed("INTERNAL_ERROR", tagged(c.attempt)), 200)
		if update := a.sent("UpdateItem"); !strings.Contains(update, fmt.Sprintf(`{"S":%q}`, c.state)) || !strings.Contains(update, `"TableName":"other-table"`) {
			t.Errorf("attempt %d of %s: want %s in table other-table, wrote %s", c.attempt, c.most, c.state, update)
		}
		if message := a.sent("SendMessage"); (message != "") != (c.state == ledger.Waiting) || message != "" && !strings.Contains(message, a.url+"/other-uploads") {
			t.Errorf("attempt %d of %s: sent %s", c.attempt, c.most, message)
		}
		if !strings.Contains(a.sent("GetSecretValue"), `"other-secret"`) {
			t.Errorf("secret %s", a.sent("GetSecretValue"))
		}
		if c.attempt > 1 {
			continue // the rest is the same each time
		}

		// The results bucket.
		edits := tagged(1)
		edits["output"] = json.RawMessage(`{"n":3.1415926535897932384626433832795028841971}`)
		deliver(processed(edits), 200)
		if path := a.sent("S3"); !strings.HasPrefix(path, "/other-results/"+docID+"/") {
			t.Errorf("stored at %s", path)
		}

		// Another stack's run.
		before := len(a.requests["UpdateItem"])
		deliver(processed(nil), 200)
		if len(a.requests["UpdateItem"]) > before {
			t.Error("stored a run of another stack")
		}

		// Extend: asked twice, with the workspace and the key.
		deliver(event(webhook.RunProcessed, fmt.Sprintf(`{"object":"signed_data_url","id":%q,"data":"https://127.0.0.1/x","metadata":{}}`, runID)), 500)
		if gets := a.requests["GET"]; len(gets) != 2 || gets[0] != "/extend/processor_runs/"+runID {
			t.Errorf("asked Extend: %q, want two times", gets)
		}
		if a.header.Get("x-extend-workspace-id") != "ws_other" || a.header.Get("Authorization") != "Bearer "+apiKey {
			t.Errorf("headers %v", a.header)
		}

		// The hosts of payloads, and that one that is allowed can't lead inside.
		deliver(event(webhook.RunProcessed, `{"data":"https://127.0.0.1/x"}`), 500)
		if !strings.Contains(log.String(), "its host is at 127.0.0.1, which is not on the internet") {
			t.Errorf("log %s", log)
		}
	}
}

func TestNewHandlerNamesWhatIsMissing(t *testing.T) {
	t.Parallel()
	_, err := NewHandler(Config{}, Parts{Now: time.Now})
	for _, part := range []string{"Key", "Secrets", "Transport", "Links", "Ledger", "Put", "Requeue", "Jitter"} {
		if err == nil || !strings.Contains(err.Error(), part+" is missing") {
			t.Errorf("%s is not in: %v", part, err)
		}
	}
}

// silent is an Extend that takes requests and never answers.
type silent struct{ requests int }

func (s *silent) RoundTrip(r *http.Request) (*http.Response, error) {
	s.requests++
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// TestExtendIsSilent: a delivery is answered before the function ends, whoever hangs.
func TestExtendIsSilent(t *testing.T) {
	for name, payload := range map[string]string{
		"API":     fmt.Sprintf(`{"object":"signed_data_url","id":%q,"data":"https://payloads.extend.test/x","metadata":{}}`, runID),
		"payload": `{"data":"https://payloads.extend.test/x"}`,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				transport := &silent{}
				h, err := NewHandler(Config{Common: boot.Common{Stack: stack, BaseURL: &url.URL{Scheme: "https", Host: "extend.test"}}, Rules: rules, RequestsPerSecond: 1e9, PayloadHosts: []string{"extend.test"}}, Parts{
					Key: extend.StaticKey(apiKey), TagKeys: documenttest.Keys,
					Secrets: func(context.Context, bool) ([]string, error) { return []string{secret}, nil },
					Ledger:  ledger.NewMemory(rules, time.Now), Transport: transport, Links: transport, Now: time.Now, Jitter: func() float64 { return 0 },
					Put:     func(context.Context, string, []byte) (string, error) { return "", errors.New("nothing is to be put") },
					Requeue: func(context.Context, document.Source) error { return errors.New("nothing is to be requeued") },
				})
				if err != nil {
					t.Fatal(err)
				}
				begin := time.Now()
				response, err := h.Handle(t.Context(), signed(secret, begin, event(webhook.RunProcessed, payload)))
				want := map[string]struct {
					requests int
					took     time.Duration
				}{"API": {2, 20500 * time.Millisecond}, "payload": {1, 10 * time.Second}}[name]
				if took := time.Since(begin); err != nil || response.StatusCode != 500 || took != want.took || transport.requests != want.requests || took > AnswerTimeout {
					t.Errorf("answer %d, %v, after %v and %d requests; want %+v", response.StatusCode, err, took, transport.requests, want)
				}
			})
		})
	}
}
