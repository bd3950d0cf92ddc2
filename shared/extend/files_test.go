package extend

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
)

// uploads keeps what arrives whole, in the bytes of the wire.
type uploads struct {
	answer []byte
	got    []*http.Request
	bodies []string
	broken []error
}

func (u *uploads) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		u.broken = append(u.broken, err)
		return
	}
	u.got, u.bodies = append(u.got, r), append(u.bodies, string(body))
	w.Write(u.answer)
}

func smallFile(name, content string) UploadFileRequest {
	return UploadFileRequest{Name: name, Size: int64(len(content)), Content: strings.NewReader(content)}
}

func TestUpload(t *testing.T) {
	t.Parallel()
	server := &uploads{answer: fixture(t, "file_upload_response.json")}
	c := newTestClient(t, server, WithWorkspace("ws_9aB"))
	file, err := c.Files.Upload(t.Context(), smallFile("invoice-88213.pdf", "%PDF-1.7\r\n--not a boundary\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	diff(t, []string{"file_9cVbT3xLq7MnRz0KyHs5W", "invoice-88213.pdf", FilePDF}, []string{file.ID, file.Name, file.Type})

	r := server.got[0]
	diff(t, "POST /files/upload", r.Method+" "+r.URL.Path)
	diff(t, "", r.URL.RawQuery)
	for name, want := range map[string]string{
		"Authorization": "Bearer " + testKey, "X-Extend-Api-Version": "2025-04-21", "X-Extend-Workspace-Id": "ws_9aB", "Accept": "application/json",
	} {
		diff(t, want, r.Header.Get(name))
	}
	// The length is announced: a server need not take a body whose end it cannot foresee.
	diff(t, int64(len(server.bodies[0])), r.ContentLength)
	diff(t, []string(nil), r.TransferEncoding)
	boundary := strings.TrimPrefix(r.Header.Get("Content-Type"), "multipart/form-data; boundary=")
	if !regexp.MustCompile(`^[0-9A-Za-z]{30,70}$`).MatchString(boundary) {
		t.Fatalf("Content-Type %q", r.Header.Get("Content-Type"))
	}
	diff(t, "--"+boundary+"\r\n"+
		"Content-Disposition: form-data; name=\"file\"; filename=\"invoice-88213.pdf\"\r\n"+
		"Content-Type: application/octet-stream\r\n"+
		"\r\n"+
		"%PDF-1.7\r\n--not a boundary\r\n"+
		"\r\n--"+boundary+"--\r\n", server.bodies[0])
}

// Names as browsers write them, which is what the readers written with Node agree on.
func TestUploadNames(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, want string }{
		{"Invoice 42.doc_abc-1.pdf", `filename="Invoice 42.doc_abc-1.pdf"`},
		{"Grüße 納品書 🧾.pdf", `filename="Grüße 納品書 🧾.pdf"`},
		{`5" pipe; a=b, (x)*.pdf`, `filename="5%22 pipe; a=b, (x)*.pdf"`},
		{"100%25 & 'x'+y.pdf", `filename="100%25 & 'x'+y.pdf"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server := &uploads{answer: fixture(t, "file_upload_response.json")}
			if _, err := newTestClient(t, server).Files.Upload(t.Context(), smallFile(tt.name, "x")); err != nil {
				t.Fatal(err)
			}
			line, _, _ := strings.Cut(server.bodies[0], "\r\nContent-Type:")
			if !strings.HasSuffix(line, "form-data; name=\"file\"; "+tt.want) {
				t.Errorf("want %s in %s", tt.want, line)
			}
		})
	}
}

func TestUploadChecksBeforeItSends(t *testing.T) {
	t.Parallel()
	c := newTestClient(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("sent") }))
	for _, tt := range []struct {
		name string
		req  UploadFileRequest
		want string
	}{
		{"no name", smallFile("", "x"), "name is empty"},
		{"slash", smallFile("a/b.pdf", "x"), `name "a/b.pdf" holds a slash`},
		{"backslash", smallFile(`a\b.pdf`, "x"), "a backslash"},
		{"line break", smallFile("a\r\nX: y.pdf", "x"), "control character"},
		{"not UTF-8", smallFile("a\xff.pdf", "x"), "not UTF-8"},
		{"negative size", UploadFileRequest{Name: "a.pdf", Size: -1, Content: strings.NewReader("")}, "size is -1"},
		{"no content", UploadFileRequest{Name: "a.pdf", Size: 1}, "content is nil"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := c.Files.Upload(t.Context(), tt.req)
			if !NotSent(err) || !strings.Contains(err.Error(), "extend: POST /files/upload: ") || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("NotSent %v, %v", NotSent(err), err)
			}
		})
	}
}

// Whatever is wrong with the content, no server sees a whole form, by either protocol.
func TestUploadOfAnotherLength(t *testing.T) {
	t.Parallel()
	lost := errors.New("bucket is gone")
	const long = 300 << 10 // more than any buffer on the way
	full := func(n int) func() io.Reader {
		return func() io.Reader { return strings.NewReader(strings.Repeat("x", n)) }
	}
	fails := func(n int) func() io.Reader {
		return func() io.Reader { return io.MultiReader(full(n)(), iotest.ErrReader(lost)) }
	}
	for _, tt := range []struct {
		name    string
		size    int64
		content func() io.Reader
		want    string
	}{
		{"ends early", long, full(long - 1), "content ended after 307199 of the 307200 bytes"},
		{"is empty", 5, full(0), "content ended after 0 of the 5 bytes"},
		{"goes on", 5, full(6), "content has more than the 5 bytes"},
		{"goes on for long", long, full(2 * long), "content has more than the 307200 bytes"},
		{"is not empty", 0, full(1), "content has more than the 0 bytes"},
		{"fails at once", 5, fails(0), "read content after 0 of 5 bytes: bucket is gone"},
		{"fails midway", long, fails(long / 2), "read content after 153600 of 307200 bytes: bucket is gone"},
		{"fails at the end", 5, fails(5), "read content after 5 bytes: bucket is gone"},
	} {
		for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
			t.Run(tt.name+" over "+proto, func(t *testing.T) {
				var whole atomic.Bool
				s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.Proto != proto {
						t.Errorf("spoken over %s", r.Proto)
					}
					if _, err := io.Copy(io.Discard, r.Body); err == nil {
						whole.Store(true)
					}
					w.Write([]byte(`{"success": true, "file": {"id": "file_1"}}`))
				}))
				s.Config.ErrorLog = discardLog()
				s.EnableHTTP2 = proto == "HTTP/2.0"
				s.StartTLS()
				defer s.Close()
				c, err := NewClient(StaticKey(testKey), WithBaseURL(s.URL), WithHTTPClient(s.Client()))
				if err != nil {
					t.Fatal(err)
				}
				_, err = c.Files.Upload(t.Context(), UploadFileRequest{Name: "a.pdf", Size: tt.size, Content: tt.content()})
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("want %q in %v", tt.want, err)
				}
				diff(t, strings.Contains(tt.want, lost.Error()), errors.Is(err, lost))
				s.Close()
				if whole.Load() {
					t.Error("the server has a whole body")
				}
			})
		}
	}
}

func TestUploadIsSentOnce(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		answer http.HandlerFunc
		status int // 0: no *Error
	}{
		{"too many requests", answerWith(429, []byte(`{"error": "Slow down."}`)), 429},
		{"server error", answerWith(500, []byte(`{"code": "INTERNAL_ERROR", "retryable": true}`)), 500},
		{"refused", answerWith(400, fixture(t, "error_400_file_upload.json")), 400},
		{"answer lost", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 0},
		{"no file in the answer", answerWith(200, []byte(`{"success": true}`)), 0},
		{"no id in the answer", answerWith(200, []byte(`{"success": true, "file": {"object": "file"}}`)), 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var requests atomic.Int64
			c := newTestClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				requests.Add(1)
				io.Copy(io.Discard, r.Body)
				tt.answer(w, r)
			}), WithRetry(Retry{Attempts: 3, Base: 1}))
			_, err := c.Files.Upload(t.Context(), smallFile("a.pdf", "x"))
			e, answered := errors.AsType[*Error](err)
			if err == nil || NotSent(err) || answered != (tt.status != 0) {
				t.Fatalf("NotSent %v, %v", NotSent(err), err)
			}
			if answered {
				diff(t, tt.status, e.StatusCode)
			}
			if tt.status == 400 {
				diff(t, "PASSWORD_PROTECTED_FILE", e.Code)
				diff(t, "The file is password protected.", e.Message)
			}
			diff(t, int64(1), requests.Load())
		})
	}
}

// A refusal can come before the file has been read. Then nothing reads on behind the caller's back.
func TestUploadRefusedEarly(t *testing.T) {
	t.Parallel()
	c := newFakeClient(t, func(r *http.Request) (*http.Response, error) {
		io.ReadFull(r.Body, make([]byte, 10))
		t.Cleanup(func() {
			if rest, err := io.ReadAll(r.Body); err == nil || strings.Contains(string(rest), "content") {
				t.Errorf("%q could be read after the call", rest)
			}
		})
		return response(401, `{"success": false, "error": "Invalid API key."}`), nil
	})
	_, err := c.Files.Upload(t.Context(), smallFile("a.pdf", "content"))
	if e, ok := errors.AsType[*Error](err); !ok || e.StatusCode != 401 {
		t.Errorf("got %v", err)
	}
}

// A success that the server cannot know of is none.
func TestUploadAnsweredTooEarly(t *testing.T) {
	t.Parallel()
	c := newFakeClient(t, func(r *http.Request) (*http.Response, error) {
		io.ReadFull(r.Body, make([]byte, 10))
		return response(200, `{"success": true, "file": {"id": "file_1"}}`), nil
	})
	if file, err := c.Files.Upload(t.Context(), smallFile("a.pdf", "content")); err == nil || !strings.Contains(err.Error(), "before the server had the whole file") {
		t.Errorf("got %v, %v", file, err)
	}
}

func TestUploadEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	c := newTestClient(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		r.Body.Read(make([]byte, 1))
		cancel() // the rest fits in no buffer: the client is at work on it
		io.Copy(io.Discard, r.Body)
	}))
	_, err := c.Files.Upload(ctx, UploadFileRequest{Name: "a.pdf", Size: 1 << 40, Content: zeros{}})
	if NotSent(err) || !errors.Is(err, context.Canceled) {
		t.Errorf("NotSent %v, %v", NotSent(err), err)
	}

	_, err = c.Files.Upload(ctx, smallFile("a.pdf", "x"))
	if !NotSent(err) || !errors.Is(err, context.Canceled) {
		t.Errorf("NotSent %v, %v", NotSent(err), err)
	}
}

// zeros is content without end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// discardUploads reads a body as a server would and keeps nothing of it.
func discardUploads(w http.ResponseWriter, r *http.Request) {
	n, err := io.Copy(io.Discard, r.Body)
	if err != nil || n != r.ContentLength {
		http.Error(w, fmt.Sprint(n, err), http.StatusBadRequest)
		return
	}
	io.WriteString(w, `{"success": true, "file": {"id": "file_1"}}`)
}

// What a transfer of 64 MB allocates, on both sides, is a fraction of its size. Not parallel: the count is the process's.
func TestUploadMemoryIsFlat(t *testing.T) {
	c := newTestClient(t, http.HandlerFunc(discardUploads))
	upload := func(size int64) uint64 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := c.Files.Upload(t.Context(), UploadFileRequest{Name: "a.pdf", Size: size, Content: io.LimitReader(zeros{}, size)})
		runtime.ReadMemStats(&after)
		if err != nil {
			t.Fatal(err)
		}
		return after.TotalAlloc - before.TotalAlloc
	}
	upload(1) // the connection, the pools
	if took := upload(64 << 20); took > 4<<20 {
		t.Errorf("%d bytes were allocated for 64 MiB", took)
	}
}

func BenchmarkUpload(b *testing.B) {
	const size = 64 << 20
	s := httptest.NewServer(http.HandlerFunc(discardUploads))
	defer s.Close()
	c, err := NewClient(StaticKey(testKey), WithBaseURL(s.URL), WithHTTPClient(s.Client()))
	if err != nil {
		b.Fatal(err)
	}
	content := bytes.Repeat([]byte("x"), size)
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Files.Upload(b.Context(), UploadFileRequest{Name: "a.pdf", Size: size, Content: bytes.NewReader(content)}); err != nil {
			b.Fatal(err)
		}
	}
}
