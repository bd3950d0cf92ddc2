package extend

import (
	"bytes"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"

	"extend-intake/test/fixtures"
)

const (
	testKey    = "sk_test_3fXqT9LwZ1"
	testPrefix = "/behind/a/proxy" // catches a path that ignores the base URL's own
)

// fixture is a body as the vendor publishes it.
func fixture(t *testing.T, name string) []byte {
	t.Helper()
	return fixtures.Read(t, name)
}

// answerWith is a handler with one answer for everything.
func answerWith(status int, body []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		w.Write(body)
	}
}

// newTestClient returns a client of a server with this handler. It never repeats unless an option says so.
func newTestClient(t *testing.T, h http.Handler, opts ...Option) *Client {
	t.Helper()
	s := httptest.NewServer(http.StripPrefix(testPrefix, h))
	t.Cleanup(s.Close)
	// The server's own client: the default transport is shared, and every server that closes disturbs it.
	c, err := NewClient(StaticKey(testKey), append([]Option{
		WithBaseURL(s.URL + testPrefix + "/"), WithHTTPClient(s.Client()), WithRetry(Retry{Attempts: 1}),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// tripper is a fake transport.
type tripper func(*http.Request) (*http.Response, error)

func (f tripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// newFakeClient returns a client over a fake transport, for tests with a fake clock: real sockets would stop it.
// Its waits have no jitter.
func newFakeClient(t *testing.T, f tripper, opts ...Option) *Client {
	t.Helper()
	c, err := NewClient(StaticKey(testKey), append([]Option{WithHTTPClient(&http.Client{Transport: f})}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	c.retry.Jitter = func() float64 { return 0 }
	return c
}

func response(status int, body string, header ...string) *http.Response {
	h := http.Header{}
	for i := 0; i < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(bytes.NewReader([]byte(body)))}
}

// compact is the same JSON without the spaces between.
func compact(t *testing.T, raw []byte) string {
	t.Helper()
	var b bytes.Buffer
	if err := json.Compact(&b, raw); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func diff(t *testing.T, want, got any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
}

var validRun = CreateRunRequest{ProcessorID: "dp_Q7hTz2Wm4kLxVr9BnE1cy", RawText: "Total due: 1,204.50 USD"}

func discardLog() *log.Logger { return log.New(io.Discard, "", 0) }
