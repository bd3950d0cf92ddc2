package extend

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestDownload(t *testing.T) {
	t.Parallel()
	var got *http.Request
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r
		switch r.URL.Path {
		case "/text":
			w.Write([]byte("Total due"))
		case "/moved":
			http.Redirect(w, r, "https://elsewhere.test/", http.StatusFound)
		default:
			w.WriteHeader(http.StatusForbidden)
			w.Write([]byte(`<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>`))
		}
	}))
	t.Cleanup(s.Close)
	c, err := NewClient(StaticKey(testKey), WithHTTPClient(s.Client()), WithWorkspace("ws_1"))
	if err != nil {
		t.Fatal(err)
	}
	body, err := c.Download(t.Context(), s.URL+"/text?X-Amz-Signature=5ecre7")
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	text, err := io.ReadAll(body)
	if err != nil || string(text) != "Total due" {
		t.Errorf("%q, %v", text, err)
	}
	if got.Header.Get("Authorization") != "" || got.Header.Get("x-extend-workspace-id") != "" {
		t.Errorf("sent the key: %v", got.Header)
	}
	diff(t, "X-Amz-Signature=5ecre7", got.URL.RawQuery)

	for _, tt := range []struct {
		link   string
		status int
		want   string
	}{
		{s.URL + "/gone?X-Amz-Signature=5ecre7", 403, "Request has expired"},
		{s.URL + "/moved?X-Amz-Signature=5ecre7", 302, "302 Found"},
		{"https://127.0.0.1:1/a?X-Amz-Signature=5ecre7", 0, "refused"},
		{"file:///etc/passwd", 0, "not an absolute http or https URL"},
		{"a.pdf?X-Amz-Signature=5ecre7", 0, "not an absolute http or https URL"},
		{"https://user:5ecre7@b.test/", 0, "not an absolute http or https URL"},
		{"https://b.test/%zz?5ecre7", 0, "not an absolute http or https URL"},
		{"", 0, "not an absolute http or https URL"},
	} {
		_, err := c.Download(t.Context(), tt.link)
		e, refused := errors.AsType[*Error](err)
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "5ecre7") || refused != (tt.status != 0) || refused && e.StatusCode != tt.status {
			t.Errorf("%s: %v", tt.link, err)
		}
	}
}

// The time-out of a call does not end a stream that goes on.
func TestDownloadMayLast(t *testing.T) {
	t.Parallel()
	c, err := NewClient(StaticKey(testKey), WithHTTPClient(&http.Client{Timeout: time.Second, Transport: tripper(func(r *http.Request) (*http.Response, error) {
		if _, limited := r.Context().Deadline(); limited {
			t.Error("the stream has a deadline")
		}
		return response(200, "x"), nil
	})}))
	if err != nil {
		t.Fatal(err)
	}
	body, err := c.Download(t.Context(), "https://b.test/a")
	if err != nil {
		t.Fatal(err)
	}
	body.Close()
}

// A large document costs no more memory than a small one, in both directions: see also TestUploadMemoryIsFlat.
func TestLargeTextMemoryIsFlat(t *testing.T) {
	const parserRun = `{"object": "parser_run", "id": "parser_run_1", "status": "PROCESSED", "fileId": "file_1", "metrics": {}, "config": {},
		"chunks": [{"object": "chunk", "type": "document", "content": "%s/text?X-Amz-Signature=1", "metadata": {"pageRange": {"start": 1, "end": 900}}, "blocks": []}]}`
	var size int64
	var s *httptest.Server
	s = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/text" {
			io.Copy(w, io.LimitReader(zeros{}, size))
			return
		}
		if r.URL.Query().Get("responseType") != "url" {
			t.Errorf("asked for %s", r.URL)
		}
		io.Copy(io.Discard, r.Body)
		w.Write(bytes.Replace([]byte(parserRun), []byte("%s"), []byte(s.URL), 1))
	}))
	t.Cleanup(s.Close)
	c, err := NewClient(StaticKey(testKey), WithHTTPClient(s.Client()), WithBaseURL(s.URL))
	if err != nil {
		t.Fatal(err)
	}
	parse := func(n int64) uint64 {
		size = n
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		run, err := c.ParserRuns.Parse(t.Context(), ParseRequest{File: FileInput{FileID: "file_1"}, ResponseType: ResponseURL})
		if err != nil {
			t.Fatal(err)
		}
		links := run.ContentURLs()
		if len(links) != 1 {
			t.Fatalf("%q", links)
		}
		text, err := c.Download(t.Context(), links[0])
		if err != nil {
			t.Fatal(err)
		}
		defer text.Close()
		read, err := io.Copy(io.Discard, text)
		runtime.ReadMemStats(&after)
		if err != nil || read != n {
			t.Fatalf("%d bytes, %v", read, err)
		}
		return after.TotalAlloc - before.TotalAlloc
	}
	parse(1)
	// Whoever holds the text allocates more than its size. All that both sides allocate on the way counts here, and under the
	// race detector pools forget a part of what they have.
	if took := parse(256 << 20); took > 128<<20 {
		t.Errorf("%d bytes were allocated for 256 MiB", took)
	}
}

// The member that holds the links is not published: both readings are understood.
func TestContentURLs(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, members string
		want          []string
	}{
		{"in chunks", `"chunks": [{"content": "https://b.test/1?s=1"}, {"content": "Total"}, {"content": "https://b.test/2?s=1"}]`, []string{"https://b.test/1?s=1", "https://b.test/2?s=1"}},
		{"of the run", `"url": "https://b.test/all?s=1", "chunks": [], "fileId": "file_1"`, []string{"https://b.test/all?s=1"}},
		{"text that begins with a link", `"chunks": [{"content": "https://b.test/1 is where"}]`, nil},
		{"text", `"chunks": [{"content": "Total due"}]`, nil},
	} {
		run, err := Parse[ParserRun]([]byte(`{"object": "parser_run", "id": "parser_run_1", "status": "PROCESSED", ` + tt.members + `}`))
		if err != nil {
			t.Fatal(err)
		}
		diff(t, tt.want, run.ContentURLs())
	}
}
