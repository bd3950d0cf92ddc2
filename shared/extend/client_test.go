package extend

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestNewClientNamesEveryError(t *testing.T) {
	t.Parallel()
	_, err := NewClient(nil,
		WithBaseURL("api.extend.ai"),
		WithHTTPClient(nil),
		WithWorkspace("ws_1\n"),
		WithRetry(Retry{Attempts: -1}),
		WithUserAgent("a\r\nb"),
	)
	if err == nil {
		t.Fatal("no error")
	}
	for _, name := range []string{"key", "WithBaseURL", "WithHTTPClient", "WithWorkspace", "WithRetry", "WithUserAgent"} {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("%q does not name %s", err, name)
		}
	}
}

func TestWithBaseURL(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		base string
		want string // "" for an error
	}{
		{BaseURLUS, "https://api.extend.ai"},
		{BaseURLUS2, "https://api.us2.extend.app"},
		{BaseURLEU1, "https://api.eu1.extend.ai"},
		{"http://127.0.0.1:8080", "http://127.0.0.1:8080"},
		{"https://gateway.example.com/extend/", "https://gateway.example.com/extend"},
		{"", ""},
		{"api.extend.ai", ""},
		{"ftp://api.extend.ai", ""},
		{"https://", ""},
		{"https://api.extend.ai?x=1", ""},
		{"https://user:secret@api.extend.ai", ""},
		{"https://user:secret@api.extend.ai:port", ""},
	} {
		t.Run(tt.base, func(t *testing.T) {
			t.Parallel()
			c, err := NewClient(StaticKey(testKey), WithBaseURL(tt.base))
			if tt.want == "" {
				if err == nil {
					t.Fatal("accepted")
				}
				if strings.Contains(err.Error(), "secret") {
					t.Errorf("password in %q", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			diff(t, tt.want, c.base)
		})
	}
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	var got http.Header
	h := func(w http.ResponseWriter, r *http.Request) {
		got = r.Header
		w.Write(fixture(t, "run_create_response.json"))
	}

	c := newTestClient(t, http.HandlerFunc(h), WithWorkspace("ws_9aB"), WithUserAgent("intake/1.0 (test)"))
	if _, err := c.Runs.Create(t.Context(), validRun); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"Authorization":         "Bearer " + testKey,
		"X-Extend-Api-Version":  "2025-04-21",
		"X-Extend-Workspace-Id": "ws_9aB",
		"Content-Type":          "application/json",
		"Accept":                "application/json",
		"User-Agent":            "intake/1.0 (test)",
	} {
		diff(t, want, got.Get(name))
	}

	c = newTestClient(t, http.HandlerFunc(h))
	if _, err := c.Runs.Get(t.Context(), "dpr_1"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"X-Extend-Workspace-Id", "Content-Type"} {
		if v, ok := got[name]; ok {
			t.Errorf("%s: %q sent", name, v)
		}
	}
}

func TestKeyIsAskedBeforeEveryRequest(t *testing.T) {
	t.Parallel()
	var seen []string
	h := func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.Header.Get("Authorization"))
		if len(seen) == 1 {
			answerWith(http.StatusTooManyRequests, fixture(t, "error_429.json"))(w, r)
			return
		}
		w.Write(fixture(t, "run_create_response.json"))
	}
	keys := []string{"sk_old", "sk_new"}
	c := newTestClient(t, http.HandlerFunc(h), WithRetry(Retry{Base: time.Nanosecond}))
	c.key = func(context.Context) (string, error) { return keys[len(seen)], nil }
	if _, err := c.Runs.Create(t.Context(), validRun); err != nil {
		t.Fatal(err)
	}
	diff(t, []string{"Bearer sk_old", "Bearer sk_new"}, seen)
}

func TestKeyOfNoUseSendsNothing(t *testing.T) {
	t.Parallel()
	broken := errors.New("secret store is down")
	for _, tt := range []struct {
		name string
		key  KeyFunc
		want string
	}{
		{"error", func(context.Context) (string, error) { return "", broken }, "secret store is down"},
		{"empty", StaticKey(""), "empty"},
		{"line break", StaticKey("sk_secret\n"), "spaces or control characters"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := newTestClient(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("sent") }), WithRetry(Retry{}))
			c.key = tt.key
			_, err := c.Runs.Get(t.Context(), "dpr_1")
			if !NotSent(err) || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "sk_secret") {
				t.Errorf("NotSent %v, %v", NotSent(err), err)
			}
			if tt.name == "error" && !errors.Is(err, broken) {
				t.Error("cause is lost")
			}
		})
	}
}

func TestHTTPClientOfTheCallerIsLeftAlone(t *testing.T) {
	t.Parallel()
	own := &http.Client{}
	if _, err := NewClient(StaticKey(testKey), WithHTTPClient(own)); err != nil {
		t.Fatal(err)
	}
	if own.CheckRedirect != nil {
		t.Error("its redirect policy was changed")
	}
}

func TestRedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	for _, status := range []int{301, 302, 303, 307, 308} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			t.Parallel()
			requests := 0
			c := newTestClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				requests++
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(status)
			}))
			_, err := c.Runs.Create(t.Context(), validRun)
			e, ok := errors.AsType[*Error](err)
			if !ok || e.StatusCode != status {
				t.Errorf("got %v", err)
			}
			diff(t, 1, requests)
		})
	}
}

func TestPathIsEscaped(t *testing.T) {
	t.Parallel()
	var got string
	c := newTestClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.RequestURI
		w.Write(fixture(t, "run_cancel_response.json"))
	}))
	if _, err := c.Runs.Cancel(t.Context(), "dpr_a/../b?c#d %"); err != nil {
		t.Fatal(err)
	}
	diff(t, testPrefix+"/processor_runs/dpr_a%2F..%2Fb%3Fc%23d%20%25/cancel", got)

	for _, id := range []string{"", ".", ".."} {
		if _, err := c.Runs.Get(t.Context(), id); !NotSent(err) || !strings.Contains(err.Error(), "id is") {
			t.Errorf("id %q: %v", id, err)
		}
	}
}

func TestAnswerOfNoUse(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, body, want string
	}{
		{"not JSON", "<html>login</html>", "invalid character"},
		{"empty", "", "unexpected end"},
		{"cut", `{"success": true, "processorRun": {"id": "dpr_1"`, "unexpected end"},
		{"no run", `{"success": true}`, `no "processorRun"`},
		{"null run", `{"success": true, "processorRun": null}`, `no "processorRun"`},
		{"no id", `{"success": true, "processorRun": {"object": "document_processor_run", "status": "PROCESSING"}}`, "no id"},
		{"another object", `{"success": true, "processorRun": {"object": "workflow_run", "id": "workflow_run_1"}}`, "workflow_run"},
		{"an error as success", `{"success": false, "error": "Processor not found."}`, `no "processorRun"`},
		{"too large", `{"success": true, "filler": "` + strings.Repeat("x", 300) + `"}`, "answer too large"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			requests := 0
			c := newTestClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				requests++
				w.Header().Set("x-extend-request-id", "req_1")
				w.Write([]byte(tt.body))
			}), WithRetry(Retry{}))
			c.maxAnswer = 200

			_, err := c.Runs.Create(t.Context(), validRun)
			if err == nil {
				t.Fatal("no error")
			}
			if _, ok := errors.AsType[*Error](err); ok || NotSent(err) {
				t.Errorf("looks decided: %v", err)
			}
			for _, want := range []string{"outcome unknown", "answer 200", "req_1", tt.want} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("no %q in %q", want, err)
				}
			}
			diff(t, tt.name == "too large", errors.Is(err, ErrTooLarge))

			if _, err := c.Runs.Get(t.Context(), "dpr_1"); err == nil || strings.Contains(err.Error(), "outcome unknown") {
				t.Errorf("Get: %v", err)
			}
			diff(t, 2, requests) // neither is repeated
		})
	}
}

func TestAnswerOfJustTheLimit(t *testing.T) {
	t.Parallel()
	body := fixture(t, "run_create_response.json")
	c := newTestClient(t, answerWith(200, body))
	c.maxAnswer = int64(len(body))
	if _, err := c.Runs.Create(t.Context(), validRun); err != nil {
		t.Error(err)
	}
}

// A body that could be read anew is what transports, proxies' libraries and redirects send again.
func TestABodyCanBeSentOnlyOnce(t *testing.T) {
	t.Parallel()
	sent := 0
	c := newFakeClient(t, func(r *http.Request) (*http.Response, error) {
		sent++
		if r.GetBody != nil || r.ContentLength <= 0 || r.Header.Get("Idempotency-Key") != "" {
			t.Errorf("GetBody %v, length %d", r.GetBody != nil, r.ContentLength)
		}
		return response(502, ""), nil
	})
	_, err := c.Runs.Create(t.Context(), validRun)
	_, err2 := c.Files.Upload(t.Context(), UploadFileRequest{Name: "a.pdf", Size: 1, Content: strings.NewReader("x")})
	if err == nil || err2 == nil || sent != 2 {
		t.Errorf("%v, %v after %d requests", err, err2, sent)
	}
}

func TestAnswersOfAnotherVersionAreTold(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		status     int
		said, want string
	}{
		{200, "2026-02-09", "2026-02-09"}, {404, "2024-12-23", "2024-12-23"}, {200, Version, ""}, {200, "", ""},
		{200, "v2025-4-21", ""}, {404, `"2025-04-21"`, ""},
	} {
		told := ""
		c := newFakeClient(t, func(*http.Request) (*http.Response, error) {
			return response(tt.status, `{"processorRun": {"id": "dpr_1"}}`, "x-extend-api-version", tt.said), nil
		}, WithOtherVersion(func(_ context.Context, said string) { told += said }))
		_, err := c.Runs.Get(t.Context(), "dpr_1")
		diff(t, tt.status != 200, err != nil)
		diff(t, tt.want, told)
	}
}
