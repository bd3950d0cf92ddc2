package fakeextend_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"extend-intake/dev/fakeextend"
	"extend-intake/test/fixtures"
)

const (
	key        = "sk_test_1"
	secret     = "wss_test_1"
	extractor  = "dp_extract"
	classifier = "dp_classify"
	splitter   = "dp_split"
	silent     = "dp_silent" // no webhook subscription
	hookURL    = "https://hooks.example.com/extend"
	pdf        = "%PDF-1.7\n1 0 obj<</Type /Pages /Count 2>>\n2 0 obj<</Type /Page>>\n3 0 obj<</Type/Page/Parent 1 0 R>>\n%%EOF"
)

// A world is a fake with everything around it in memory: an API client, a
// file host and a webhook receiver.
type world struct {
	t    *testing.T
	fake *fakeextend.Server
	api  *http.Client

	mu     sync.Mutex
	got    []delivery
	answer func(n int) int // status for the n-th delivery, from 1; nil: 200
}

type delivery struct {
	at     time.Time
	header http.Header
	body   []byte
}

// newWorld has two hosts: files.example.com serves /a.pdf, /b.txt and whatever
// else is a status, such as /403; hooks.example.com takes webhooks.
func newWorld(t *testing.T, adjust func(*fakeextend.Options)) *world {
	t.Helper()
	w := &world{t: t}
	opts := fakeextend.Options{
		APIKey: key,
		Processors: []fakeextend.Processor{
			{ID: extractor, Name: "Extractor", Type: fakeextend.Extract, Versions: []string{"1.0", "2.1"}, Subscribed: true},
			{ID: classifier, Type: fakeextend.Classify, Subscribed: true},
			{ID: splitter, Type: fakeextend.Splitter, Subscribed: true},
			{ID: silent, Type: fakeextend.Extract},
		},
		WebhookURL: hookURL, WebhookSecret: secret,
		Client:        &http.Client{Transport: fakeextend.Transport(http.HandlerFunc(serveFile))},
		WebhookClient: &http.Client{Transport: fakeextend.Transport(http.HandlerFunc(w.receive))},
		Seed:          1,
	}
	if adjust != nil {
		adjust(&opts)
	}
	fake, err := fakeextend.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Close)
	w.fake = fake
	w.api = &http.Client{Transport: fakeextend.Transport(fake)}
	return w
}

func serveFile(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method != http.MethodGet || r.Header.Get("Authorization") != "":
		w.WriteHeader(http.StatusTeapot)
	case r.URL.Path == "/a.pdf":
		_, _ = io.WriteString(w, pdf)
	case r.URL.Path == "/b.txt":
		_, _ = io.WriteString(w, "Grüße & <Fracht>\nzwei")
	case r.URL.Path == "/moved":
		http.Redirect(w, r, "/a.pdf", http.StatusFound)
	case r.URL.Path == "/hang":
		<-r.Context().Done()
	case r.URL.Path == "/cut":
		panic(http.ErrAbortHandler)
	default:
		w.WriteHeader(http.StatusForbidden)
	}
}

func (w *world) receive(rw http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.mu.Lock()
	w.got = append(w.got, delivery{time.Now(), r.Header.Clone(), body})
	n := len(w.got)
	w.mu.Unlock()
	status := http.StatusOK
	if w.answer != nil {
		status = w.answer(n)
	}
	if status == 0 { // no answer at all
		<-r.Context().Done()
		return
	}
	rw.WriteHeader(status)
}

func (w *world) deliveries() []delivery {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.got)
}

// do makes an API request with the key, the version and adjustments.
func (w *world) do(method, path, body string, adjust ...func(*http.Request)) (int, http.Header, []byte) {
	w.t.Helper()
	resp, err := w.send(w.t.Context(), method, path, body, adjust...)
	if err != nil {
		w.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatalf("%s %s: %v", method, path, err)
	}
	return resp.StatusCode, resp.Header, answer
}

func (w *world) send(ctx context.Context, method, path, body string, adjust ...func(*http.Request)) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "https://api.example.com"+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("x-extend-api-version", "2025-04-21")
	if method == http.MethodPost && body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, f := range adjust {
		f(req)
	}
	return w.api.Do(req)
}

// create makes a run and returns its id and the answer's run object.
func (w *world) create(body string) (string, map[string]json.RawMessage) {
	w.t.Helper()
	status, _, answer := w.do(http.MethodPost, "/processor_runs", body)
	if status != http.StatusOK {
		w.t.Fatalf("create: %d %s", status, answer)
	}
	run := object(w.t, object(w.t, answer)["processorRun"])
	return str(w.t, run["id"]), run
}

// get returns the run object.
func (w *world) get(id string) map[string]json.RawMessage {
	w.t.Helper()
	status, _, answer := w.do(http.MethodGet, "/processor_runs/"+id, "")
	if status != http.StatusOK {
		w.t.Fatalf("get: %d %s", status, answer)
	}
	return object(w.t, object(w.t, answer)["processorRun"])
}

func (w *world) wait() {
	w.t.Helper()
	if err := w.fake.Wait(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// file is the body of a POST for a file of files.example.com.
func file(processor, path string) string {
	return `{"processorId":"` + processor + `","file":{"fileName":"` + strings.TrimPrefix(path, "/") +
		`","fileUrl":"https://files.example.com` + path + `?X-Amz-Signature=hidden"}}`
}

func object(t *testing.T, raw []byte) map[string]json.RawMessage {
	t.Helper()
	var m map[string]json.RawMessage
	if err := json.Unmarshal(raw, &m); err != nil || m == nil {
		t.Fatalf("not an object: %v: %s", err, raw)
	}
	return m
}

func str(t *testing.T, raw []byte) string {
	t.Helper()
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		t.Fatalf("not a string: %v: %s", err, raw)
	}
	return s
}

func fixture(t *testing.T, name string) map[string]json.RawMessage {
	t.Helper()
	return object(t, fixtures.Read(t, name+".json"))
}

// verify checks a delivery as its receiver should.
func verify(d delivery, with string) bool {
	mac := hmac.New(sha256.New, []byte(with))
	_, _ = io.WriteString(mac, "v0:"+d.header.Get("x-extend-request-timestamp")+":"+string(d.body))
	return d.header.Get("x-extend-request-signature") == hex.EncodeToString(mac.Sum(nil))
}

func plain(o *fakeextend.Options) { o.NoExtraFields = true }

func eq[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func query(pairs ...string) string {
	v := make(url.Values)
	for i := 0; i < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	return "/processor_runs?" + v.Encode()
}
