package extend

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

func TestRetryable(t *testing.T) {
	t.Parallel()
	status := func(code int) error { return &Error{StatusCode: code} }
	lost := &callError{err: errors.New("reset")}
	unmade := &callError{err: errors.New("refused"), notSent: true}
	refused := prepared{}.refuse(errors.New("API key is empty"))
	unusable := prepared{}.unusable(&answer{status: 200}, ErrTooLarge)
	for _, tt := range []struct {
		name             string
		err              error
		once, repeatable bool // what the operation is
	}{
		{"429: not taken", status(429), true, true},
		{"429 that the server calls final", &Error{StatusCode: 429, Retryable: false, Code: "X"}, true, true},
		{"429 for as long as a server is believed", &Error{StatusCode: 429, RetryAfter: time.Minute}, false, false},
		{"408: perhaps taken", status(408), false, true},
		{"500: perhaps taken", status(500), false, true},
		{"500 that the server calls retryable: still perhaps taken", &Error{StatusCode: 500, Retryable: true}, false, true},
		{"502", status(502), false, true},
		{"503", status(503), false, true},
		{"504", status(504), false, true},
		{"307: configuration", status(307), false, false},
		{"400: the same again", status(400), false, false},
		{"400 that the server calls retryable", &Error{StatusCode: 400, Retryable: true}, false, true},
		{"401", status(401), false, false},
		{"402: no credits", status(402), false, false},
		{"403", status(403), false, false},
		{"404", status(404), false, false},
		{"409: somebody has to change something", status(409), false, false},
		{"410: configuration", status(410), false, false},
		{"422", status(422), false, false},
		{"connection lost: perhaps taken", lost, false, true},
		{"no connection", unmade, false, true},
		{"refused here", refused, false, false},
		{"unusable answer", unusable, false, false},
		{"unknown error", errors.New("odd"), false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			diff(t, tt.once, retryable(false, tt.err))
			diff(t, tt.repeatable, retryable(true, tt.err))
		})
	}
}

func TestParseRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 7, 14, 9, 15, 0, 0, time.UTC)
	for _, tt := range []struct {
		header string
		want   time.Duration
	}{
		{"", 0},
		{"3", 3 * time.Second},
		{"59", 59 * time.Second},
		{"60", time.Minute},
		{"0", 0},
		{"-3", 0},
		{"+3", 0},
		{"1.5", 0},
		{"30s", 0},
		{"soon", 0},
		{"10, 20", 0},
		{"30000", time.Minute},         // milliseconds, most likely
		{"86400", time.Minute},         // a day
		{"1784020500", time.Minute},    // the time
		{"1784020500000", time.Minute}, // and in milliseconds
		{"9223372037", time.Minute},    // seconds that overflow a Duration
		{"99999999999999999999999999999", time.Minute}, // and a uint64
		{"Tue, 14 Jul 2026 09:15:20 GMT", 20 * time.Second},
		{"Tue, 14 Jul 2026 09:14:20 GMT", 0},
		{"Tue, 14 Jul 2026 09:15:20 +0000", 0}, // no HTTP date
		{"Tuesday, 14-Jul-26 09:15:20 GMT", 20 * time.Second},
		{"Tue Jul 14 09:15:20 2026", 20 * time.Second},
		{"Wed, 15 Jul 2026 09:15:00 GMT", time.Minute},
		{"Fri, 31 Dec 9999 23:59:59 GMT", time.Minute},
		{"2026-07-14T09:15:20Z", 0},
	} {
		t.Run(tt.header, func(t *testing.T) {
			t.Parallel()
			diff(t, tt.want, parseRetryAfter(tt.header, now))
		})
	}
}

func TestJitterStaysBetweenHalfAndAll(t *testing.T) {
	t.Parallel()
	for range 1000 {
		if d := (Retry{Base: time.Second}).withDefaults().wait(1, io.EOF); d < time.Second/2 || d > time.Second {
			t.Fatal(d)
		}
	}
}

// A step is one answer of the fake server. times are the instants of the requests, from the start.
type step struct {
	status int
	header []string
	err    error
}

func play(t *testing.T, steps []step, times *[]time.Duration) tripper {
	start := time.Now()
	return func(*http.Request) (*http.Response, error) {
		n := len(*times)
		*times = append(*times, time.Since(start))
		if n >= len(steps) {
			t.Error("one request too many")
			return nil, errors.New("one request too many")
		}
		s := steps[n]
		if s.err != nil {
			return nil, s.err
		}
		body := `{"success": true, "processorRun": {"object": "document_processor_run", "id": "dpr_1"}}`
		if s.status != 200 {
			body = fmt.Sprintf(`{"error": "answer %d"}`, n)
		}
		return response(s.status, body, s.header...), nil
	}
}

func TestWaits(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	get := func(ctx context.Context, c *Client) error { _, err := c.Runs.Get(ctx, "dpr_1"); return err }
	post := func(ctx context.Context, c *Client) error { _, err := c.Runs.Create(ctx, validRun); return err }
	reset := &net.OpError{Op: "read", Err: errors.New("reset")}
	date := func(s string) []string { return []string{"Retry-After", s} }

	for _, tt := range []struct {
		name  string
		call  func(context.Context, *Client) error
		retry Retry
		steps []step
		want  []time.Duration
		fails bool
	}{
		{name: "first try", call: post, steps: []step{{status: 200}}, want: []time.Duration{0}},
		{name: "GET backs off, then gives up", call: get, fails: true,
			steps: []step{{status: 500}, {status: 502}, {err: reset}, {status: 503}},
			want:  []time.Duration{0, 500 * ms, 1500 * ms, 3500 * ms}},
		{name: "backoff has a limit", call: get, retry: Retry{Attempts: 6, Base: 2 * time.Second, Max: 5 * time.Second},
			steps: []step{{status: 500}, {status: 500}, {status: 500}, {status: 500}, {status: 200}},
			want:  []time.Duration{0, 2 * time.Second, 6 * time.Second, 11 * time.Second, 16 * time.Second}},
		{name: "limit under the base", call: get, retry: Retry{Base: 10 * time.Second},
			steps: []step{{status: 500}, {status: 200}},
			want:  []time.Duration{0, 5 * time.Second}},
		{name: "POST 429 is repeated", call: post,
			steps: []step{{status: 429}, {status: 429}, {status: 200}},
			want:  []time.Duration{0, 500 * ms, 1500 * ms}},
		{name: "POST 429 then 500 stops", call: post, fails: true,
			steps: []step{{status: 429}, {status: 500}},
			want:  []time.Duration{0, 500 * ms}},
		{name: "POST 500 is not repeated", call: post, fails: true,
			steps: []step{{status: 500}},
			want:  []time.Duration{0}},
		{name: "POST on a lost connection is not repeated", call: post, fails: true,
			steps: []step{{err: reset}},
			want:  []time.Duration{0}},
		{name: "one attempt never repeats", call: get, retry: Retry{Attempts: 1}, fails: true,
			steps: []step{{status: 429}},
			want:  []time.Duration{0}},
		{name: "Retry-After in seconds, over our own limit", call: post,
			steps: []step{{status: 429, header: date("30")}, {status: 200}},
			want:  []time.Duration{0, 30 * time.Second}},
		{name: "Retry-After as a date", call: post, // a bubble's clock starts at midnight of 2000-01-01
			steps: []step{{status: 429, header: date("Sat, 01 Jan 2000 00:00:12 GMT")}, {status: 200}},
			want:  []time.Duration{0, 12 * time.Second}},
		{name: "Retry-After of nonsense", call: post,
			steps: []step{{status: 429, header: date("a while")}, {status: 200}},
			want:  []time.Duration{0, 500 * ms}},
		{name: "Retry-After on a 503", call: get,
			steps: []step{{status: 503, header: date("2")}, {status: 200}},
			want:  []time.Duration{0, 2 * time.Second}},
		{name: "huge Retry-After is the caller's to wait", call: post, fails: true,
			steps: []step{{status: 429, header: date("99999999999999999999")}},
			want:  []time.Duration{0}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var times []time.Duration
				c := newFakeClient(t, play(t, tt.steps, &times), WithRetry(tt.retry))
				if err := tt.call(t.Context(), c); (err != nil) != tt.fails {
					t.Error(err)
				}
				diff(t, tt.want, times)
			})
		})
	}
}

func TestDeadlineShorterThanTheWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var times []time.Duration
		c := newFakeClient(t, play(t, []step{{status: 429, header: []string{"Retry-After", "20"}}}, &times))
		ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
		defer cancel()
		start := time.Now()
		_, err := c.Runs.Create(ctx, validRun)
		diff(t, time.Duration(0), time.Since(start)) // it does not sleep into a wall
		if e, ok := errors.AsType[*Error](err); !ok || e.StatusCode != 429 || e.RetryAfter != 20*time.Second {
			t.Errorf("got %v", err)
		}
	})
}

func TestCancelWhileWaiting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var times []time.Duration
		c := newFakeClient(t, play(t, []step{{status: 429, header: []string{"Retry-After", "20"}}}, &times))
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(3*time.Second, cancel)
		start := time.Now()
		_, err := c.Runs.Create(ctx, validRun)
		diff(t, 3*time.Second, time.Since(start))
		// The 429 is still the news, and the reason to stop is there too.
		if e, ok := errors.AsType[*Error](err); !ok || e.StatusCode != 429 || !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}

func TestDeadTransportEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newFakeClient(t, func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		c.http.Timeout = defaultTimeout // the fake came without one
		start := time.Now()
		_, err := c.Runs.Create(t.Context(), validRun)
		diff(t, defaultTimeout, time.Since(start))
		if err == nil || NotSent(err) {
			t.Errorf("got %v", err)
		}
	})
}
