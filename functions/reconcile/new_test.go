package reconcile

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
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"extend-intake/shared/boot"
	"extend-intake/shared/document"
	"extend-intake/shared/document/documenttest"
	"extend-intake/shared/extend"
	"extend-intake/shared/ledger"
)

// account is what New calls: AWS, with documents in its table, and Extend. It keeps the
// requests of each call.
type account struct {
	url string
	mu  sync.Mutex
	// requests are by the call's name: "GetItem", "Query", "GET" (to Extend) …
	requests map[string][]string
	header   http.Header // of the last request to Extend

	due []document.Source // PROCESSING, each with run dpr_<key>
	run map[string]any    // members of each run, beside its id and metadata
	tag string            // the stack in each run's tag
}

func newAccount(t *testing.T) *account {
	a := &account{requests: map[string][]string{}}
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	a.url = server.URL
	return a
}

func (a *account) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	answer := []byte(`{}`)
	if id, ok := strings.CutPrefix(r.URL.Path, "/extend/processor_runs/"); ok {
		a.requests[r.Method] = append(a.requests[r.Method], id)
		a.header = r.Header
		for _, s := range a.due {
			if run := a.run; id == "dpr_"+s.Key {
				run["object"], run["id"], run["metadata"] = "document_processor_run", id, documenttest.Tag(a.tag, s, 2).Metadata()
				answer, _ = json.Marshal(map[string]any{"success": true, "processorRun": run})
			}
		}
		_, _ = w.Write(answer)
		return
	}
	_, call, ok := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	if !ok {
		call, body = "S3", []byte(r.URL.Path)
	}
	a.requests[call] = append(a.requests[call], string(body))
	switch call {
	case "GetSecretValue":
		answer = []byte(`{"SecretString": "{\"apiKey\": \"sk_other\", \"webhookSecrets\": []}"}`)
	case "Query":
		var items []string
		if strings.Contains(string(body), `"PROCESSING"`) {
			for _, s := range a.due {
				items = append(items, fmt.Sprintf(`{"documentId": {"S": %q}}`, s.DocumentID()))
			}
		}
		answer = fmt.Appendf(nil, `{"Count": %d, "Items": [%s]}`, len(items), strings.Join(items, ", "))
	case "GetItem":
		for _, s := range a.due {
			if strings.Contains(string(body), s.DocumentID()) {
				ago := func(d time.Duration) string { return time.Now().Add(-d).UTC().Format("2006-01-02T15:04:05.000Z") }
				answer = fmt.Appendf(nil, `{"Item": {"documentId": {"S": %q}, "state": {"S": "PROCESSING"}, "recordVersion": {"N": "2"}, "revision": {"N": "0"}, "attempt": {"N": "2"},
					"bucket": {"S": %q}, "key": {"S": %q}, "versionId": {"S": %q}, "runId": {"S": "dpr_%s"}, "uploadedAt": {"S": %q}, "submittedAt": {"S": %q}, "nextCheckAt": {"S": %q}}}`,
					s.DocumentID(), s.Bucket, s.Key, s.VersionID, s.Key, ago(5*time.Minute), ago(4*time.Minute), ago(time.Minute))
			}
		}
	}
	w.Header().Set("Content-Type", r.Header.Get("Content-Type"))
	w.Header().Set("X-Amz-Crc32", fmt.Sprint(crc32.ChecksumIEEE(answer))) // DynamoDB's
	_, _ = w.Write(answer)
}

func (a *account) sent(call string) string { return strings.Join(a.requests[call], "\n") }

// invoke makes the function by New, with no value as the template has it by default, and
// invokes it once.
func (a *account) invoke(t *testing.T, edits map[string]string) (Summary, []map[string]any) {
	t.Helper()
	a.tag = "123456789012/eu-west-1/other"
	env := map[string]string{
		"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "example", "AWS_ENDPOINT_URL": a.url,
		"STACK": a.tag, "TABLE_NAME": "other-table", "SECRET_ID": "other-secret", "TAG_SECRET_ID": "other-tag-secret", "EXTEND_BASE_URL": a.url + "/extend", "EXTEND_WORKSPACE_ID": "ws_other",
		"UPLOAD_QUEUE_URL": a.url + "/other-uploads", "RESULTS_BUCKET": "other-results", "REQUESTS_PER_SECOND": "500", "MAX_ATTEMPTS": "3",
		"RECONCILE_AFTER_SECONDS": "7200", "STALLED_AFTER_SECONDS": "240",
	}
	for name, value := range edits {
		env[name] = value
	}
	handle, err := New(t.Context(), func(name string) string { return env[name] })
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var s Summary
	log := lines(t, func() {
		if s, err = handle(ctx, nil); err != nil {
			t.Fatal(err)
		}
	})
	return s, log
}

func TestNewTakesTheRetryRule(t *testing.T) {
	for most, state := range map[string]ledger.State{"1": ledger.Failed, "2": ledger.Failed, "3": ledger.Waiting} {
		a := newAccount(t)
		a.due, a.run = []document.Source{source(1)}, map[string]any{"status": "FAILED", "failureReason": "INTERNAL_ERROR"}
		if s, _ := a.invoke(t, map[string]string{"MAX_ATTEMPTS": most}); s != (Summary{Asked: 1, Ended: 1}) {
			t.Errorf("%+v", s)
		}
		if updates := a.sent("UpdateItem"); !strings.Contains(updates, fmt.Sprintf(`{"S":%q}`, state)) || !strings.Contains(updates, `"TableName":"other-table"`) {
			t.Errorf("attempt 2 of %s: want %s in table other-table, wrote %s", most, state, updates)
		}
		if message := a.sent("SendMessage"); (message != "") != (state == ledger.Waiting) || message != "" && !strings.Contains(message, a.url+"/other-uploads") {
			t.Errorf("attempt 2 of %s: sent %s", most, message)
		}
	}
}

func TestNewTakesItsConfiguration(t *testing.T) {
	a := newAccount(t)
	a.due, a.run = []document.Source{source(1)}, map[string]any{"status": "PROCESSED", "output": json.RawMessage(`{"n": 1e400}`)}
	a.invoke(t, nil)
	if id := a.sent("GET"); id != "dpr_1.pdf" || a.header.Get("x-extend-workspace-id") != "ws_other" || a.header.Get("Authorization") != "Bearer sk_other" {
		t.Errorf("asked Extend about %q, headers %v", id, a.header)
	}
	if !strings.Contains(a.sent("GetSecretValue"), `"other-secret"`) {
		t.Errorf("secret %s", a.sent("GetSecretValue"))
	}
	if path := a.sent("S3"); !strings.HasPrefix(path, "/other-results/"+source(1).DocumentID()+"/") {
		t.Errorf("stored at %s", path)
	}
}

// TestNewTakesTheGrace: a document's own message has two hours for it, a run is asked
// about as soon as its check is due, and from then on after two hours more.
func TestNewTakesTheGrace(t *testing.T) {
	a := newAccount(t)
	a.due, a.run = []document.Source{source(1)}, map[string]any{"status": "PROCESSING"}
	begin := time.Now().Truncate(time.Millisecond)
	a.invoke(t, nil)
	until := map[string][]time.Time{} // by state, what is asked of the index
	for _, q := range a.requests["Query"] {
		state, at := values(t, q)
		until[state] = at
	}
	within := func(at []time.Time, d time.Duration) bool {
		return slices.ContainsFunc(at, func(at time.Time) bool { return !at.Before(begin.Add(d)) && !at.After(time.Now().Add(d)) })
	}
	for _, state := range []ledger.State{ledger.Waiting, ledger.Submitting, ledger.Unconfirmed, ledger.Processing} {
		grace := 2 * time.Hour
		if state == ledger.Processing {
			grace = 0
		}
		if at := until[string(state)]; !within(at, -grace) {
			t.Errorf("%s: asked for those due until %v, want %v before %v", state, at, grace, begin)
		}
	}
	if len(a.requests["UpdateItem"]) == 0 {
		t.Error("the next check is not written")
	}
	for _, update := range a.requests["UpdateItem"] {
		if _, at := values(t, update); !within(at, 2*time.Hour) {
			t.Errorf("of the times written, %v, none is the next check, two hours after %v", at, begin)
		}
	}
}

// values are the texts in a request to the table: the times, and the other one.
func values(t *testing.T, request string) (text string, times []time.Time) {
	t.Helper()
	var in struct {
		ExpressionAttributeValues map[string]struct{ S string }
	}
	if err := json.Unmarshal([]byte(request), &in); err != nil {
		t.Fatal(err)
	}
	for _, v := range in.ExpressionAttributeValues {
		if at, err := time.Parse(time.RFC3339, v.S); err == nil {
			times = append(times, at)
		} else if v.S != "" {
			text = v.S
		}
	}
	return text, times
}

func TestNewTakesStalledAfter(t *testing.T) {
	for seconds, stalled := range map[string]bool{"240": true, "3600": false} {
		a := newAccount(t)
		a.due, a.run = []document.Source{source(1)}, map[string]any{"status": "PROCESSING"}
		_, log := a.invoke(t, map[string]string{"STALLED_AFTER_SECONDS": seconds}) // the upload is five minutes old
		if len(log) != 1 || (log[0]["Stalled"] != nil) != stalled {
			t.Errorf("after %s s: %v", seconds, log)
		}
	}
}

// TestNewTakesItsShareOfThePlan: a fiftieth request a second, and a second request would be
// made after this invocation ends.
func TestNewTakesItsShareOfThePlan(t *testing.T) {
	for perSecond, want := range map[string]Summary{"0.1": {Asked: 1, Left: 2}, "500": {Asked: 2}} {
		a := newAccount(t)
		a.due, a.run = []document.Source{source(1), source(2)}, map[string]any{"status": "PROCESSING"}
		if s, _ := a.invoke(t, map[string]string{"REQUESTS_PER_SECOND": perSecond}); s != want {
			t.Errorf("%s requests a second: %+v, want %+v", perSecond, s, want)
		}
	}
}

func TestNewHandlerNamesWhatIsMissing(t *testing.T) {
	t.Parallel()
	_, err := NewHandler(Config{}, Parts{Now: time.Now})
	for _, part := range []string{"Key", "Transport", "Ledger", "Put", "Requeue"} {
		if err == nil || !strings.Contains(err.Error(), part+" is missing") {
			t.Errorf("%s is not in: %v", part, err)
		}
	}
}

type silent struct{ requests int }

func (s *silent) RoundTrip(r *http.Request) (*http.Response, error) {
	s.requests++
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// TestExtendIsSilent: a request that is not answered is given up after ten seconds, once
// for each document, and the next document has its turn.
func TestExtendIsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := ledger.NewMemory(ledger.DefaultRules, time.Now)
		for i := range 2 {
			s := source(i)
			for _, f := range []ledger.Fact{ledger.Claim{Source: s}, ledger.Accepted{Attempt: 1, RunID: "dpr_" + s.Key}} {
				if _, err := l.Apply(t.Context(), s.DocumentID(), f); err != nil {
					t.Fatal(err)
				}
			}
		}
		time.Sleep(time.Hour)
		transport := &silent{}
		h, err := NewHandler(Config{Common: boot.Common{Stack: stack, BaseURL: &url.URL{Scheme: "https", Host: "extend.test"}}, Rules: ledger.DefaultRules, RequestsPerSecond: 1000, StalledAfter: time.Hour}, Parts{
			Key: extend.StaticKey("sk_test"), TagKeys: documenttest.Keys, Transport: transport, Ledger: l, Now: time.Now,
			Put:     func(context.Context, string, []byte) (string, error) { return "", errors.New("nothing is to be put") },
			Requeue: func(context.Context, document.Source) error { return errors.New("nothing is to be requeued") },
		})
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		s, err := h.Handle(t.Context(), nil)
		if took := time.Since(begin); err != nil || s != (Summary{Asked: 2, Errors: 2}) || transport.requests != 2 || took < 20*time.Second || took > 21*time.Second {
			t.Errorf("%+v, %v, after %v and %d requests", s, err, took, transport.requests)
		}
	})
}
