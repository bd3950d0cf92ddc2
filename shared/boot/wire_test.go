package boot

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"extend-intake/shared/extend"
)

// These tests count what arrives at a server, below everything that could send a request
// again by itself, as Go's transport does: no fake RoundTripper would show it.

// A wire is a TLS server whose connections are spoken by hand.
type wire struct {
	url   string
	roots *x509.CertPool

	mu       sync.Mutex
	requests []string // of HTTP/2 the stream's number, of HTTP/1.1 the request line
	whole    int      // requests that arrived to their last byte
	conns    []net.Conn
	closed   bool
	serving  sync.WaitGroup
}

// newWire serves each connection with f, offering this protocol alone.
func newWire(t *testing.T, protocol string, f func(w *wire, c net.Conn)) *wire {
	t.Helper()
	cert := httptest.NewTLSServer(nil)
	cert.Close()
	w := &wire{roots: x509.NewCertPool()}
	w.roots.AddCert(cert.Certificate())
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: cert.TLS.Certificates, NextProtos: []string{protocol}})
	if err != nil {
		t.Fatal(err)
	}
	w.url = "https://" + l.Addr().String()
	w.serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			w.mu.Lock()
			w.conns = append(w.conns, c)
			over := w.closed
			w.mu.Unlock()
			if over {
				_ = c.Close()
				return
			}
			w.serving.Go(func() {
				defer c.Close()
				f(w, c)
			})
		}
	})
	t.Cleanup(func() {
		w.mu.Lock()
		w.closed = true
		conns := w.conns
		w.mu.Unlock()
		_ = l.Close()
		for _, c := range conns {
			_ = c.Close()
		}
		w.serving.Wait()
	})
	return w
}

// came counts a request that began, and says how many did before it.
func (w *wire) came(request string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.requests = append(w.requests, request)
	return len(w.requests) - 1
}

func (w *wire) ended() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.whole++
}

// client returns a client over the transport which trusts the server.
func (w *wire) client(t *testing.T, transport http.RoundTripper, tries int) *extend.Client {
	t.Helper()
	own := transport.(*http.Transport)
	own.TLSClientConfig = &tls.Config{RootCAs: w.roots}
	t.Cleanup(own.CloseIdleConnections)
	client, err := extend.NewClient(extend.StaticKey("sk_test"), extend.WithBaseURL(w.url), extend.WithHTTPClient(&http.Client{Transport: own}),
		extend.WithRetry(extend.Retry{Attempts: tries, Base: time.Millisecond, Max: time.Millisecond}))
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// want holds how many requests began. A repetition would begin at once, or after the
// transport's backoff of a second: the calls are over by then, so that none can follow.
func (w *wire) want(t *testing.T, n int) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.requests) != n {
		t.Errorf("%d requests on the wire, want %d: %.10q", len(w.requests), n, w.requests)
	}
}

var transports = map[string]func() http.RoundTripper{
	"fresh connections": FreshConnections, // submit's
	"kept connections":  func() http.RoundTripper { return http.DefaultTransport.(*http.Transport).Clone() },
}

// calls are the calls of the API, and how often each may be sent by our own rule.
var calls = map[string]struct {
	do       func(ctx context.Context, c *extend.Client) error
	repeated bool
}{
	"create": {do: func(ctx context.Context, c *extend.Client) error {
		_, err := c.Runs.Create(ctx, extend.CreateRunRequest{ProcessorID: "dp_1", RawText: "Total due: 1,204.50 USD"})
		return err
	}},
	"upload": {do: func(ctx context.Context, c *extend.Client) error {
		content := strings.Repeat("%PDF-1.7 ", 20_000) // more than one window of HTTP/2
		_, err := c.Files.Upload(ctx, extend.UploadFileRequest{Name: "a.pdf", Size: int64(len(content)), Content: strings.NewReader(content)})
		return err
	}},
	"cancel": {repeated: true, do: func(ctx context.Context, c *extend.Client) error { // a POST without a body, which a transport can always send again
		_, err := c.Runs.Cancel(ctx, "dpr_1")
		return err
	}},
	"get": {repeated: true, do: func(ctx context.Context, c *extend.Client) error {
		_, err := c.Runs.Get(ctx, "dpr_1")
		return err
	}},
	"list": {repeated: true, do: func(ctx context.Context, c *extend.Client) error {
		_, err := c.Runs.List(ctx, extend.ListRunsRequest{})
		return err
	}},
	"delete": {repeated: true, do: func(ctx context.Context, c *extend.Client) error {
		_, err := c.Runs.Delete(ctx, "dpr_1")
		return err
	}},
}

// Frames of HTTP/2, https://www.rfc-editor.org/rfc/rfc9113.html#name-frame-definitions.
const (
	frameData, frameHeaders, frameReset, frameSettings, framePing, frameGoAway, frameWindow = 0, 1, 3, 4, 6, 7, 8

	endStream, endHeaders, ack = 1, 4, 1

	noError, protocolError, internalError, refusedStream, cancelled, enhanceYourCalm, http11Required = 0, 1, 2, 7, 8, 11, 13
)

func frame(kind, flags byte, stream uint32, payload ...byte) []byte {
	b := []byte{byte(len(payload) >> 16), byte(len(payload) >> 8), byte(len(payload)), kind, flags}
	return append(binary.BigEndian.AppendUint32(b, stream), payload...)
}

func number(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }

func reset(stream, code uint32) []byte { return frame(frameReset, 0, stream, number(code)...) }

func goAway(last, code uint32) []byte {
	return frame(frameGoAway, 0, 0, append(number(last), number(code)...)...)
}

// success answers a stream with ":status: 200" and a run.
func success(stream uint32) []byte {
	body := []byte(`{"success":true,"processorRun":{"id":"dpr_1","status":"PROCESSING"},"file":{"id":"file_1"},"processorRuns":[],"documentProcessorRunId":"dpr_1"}`)
	return append(frame(frameHeaders, endHeaders, stream, 0x88), frame(frameData, endStream, stream, body...)...)
}

// http2 serves a connection. Each stream is answered with what answer says for it, once
// it is whole, or with early once its headers are there; nil closes the connection.
func http2(early bool, answer func(n int, stream uint32) []byte) func(*wire, net.Conn) {
	return func(w *wire, c net.Conn) {
		if _, err := io.ReadFull(c, make([]byte, len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))); err != nil {
			return
		}
		if _, err := c.Write(frame(frameSettings, 0, 0)); err != nil {
			return
		}
		n := map[uint32]int{}
		for {
			var head [9]byte
			if _, err := io.ReadFull(c, head[:]); err != nil {
				return
			}
			size := int(head[0])<<16 | int(head[1])<<8 | int(head[2])
			kind, flags, stream := head[3], head[4], binary.BigEndian.Uint32(head[5:])
			if _, err := io.CopyN(io.Discard, c, int64(size)); err != nil {
				return
			}
			var out []byte
			switch {
			case kind == frameSettings && flags&ack == 0:
				out = frame(frameSettings, ack, 0)
			case kind == framePing && flags&ack == 0:
				out = frame(framePing, ack, 0, make([]byte, size)...)
			case kind == frameHeaders:
				n[stream] = w.came(fmt.Sprint("stream ", stream))
			case kind == frameData && size > 0:
				out = append(frame(frameWindow, 0, 0, number(uint32(size))...), frame(frameWindow, 0, stream, number(uint32(size))...)...)
			}
			last := (kind == frameHeaders || kind == frameData) && flags&endStream != 0
			if last {
				w.ended()
			}
			if early && kind == frameHeaders || !early && last {
				said := answer(n[stream], stream)
				if said == nil {
					return
				}
				out = append(out, said...)
			}
			if _, err := c.Write(out); err != nil {
				return
			}
		}
	}
}

func TestOneCallIsOneRequestOverHTTP2(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]func(stream uint32) []byte{
		"REFUSED_STREAM":               func(s uint32) []byte { return reset(s, refusedStream) },
		"PROTOCOL_ERROR":               func(s uint32) []byte { return reset(s, protocolError) },
		"INTERNAL_ERROR":               func(s uint32) []byte { return reset(s, internalError) },
		"CANCEL":                       func(s uint32) []byte { return reset(s, cancelled) },
		"ENHANCE_YOUR_CALM":            func(s uint32) []byte { return reset(s, enhanceYourCalm) },
		"HTTP_1_1_REQUIRED":            func(s uint32) []byte { return reset(s, http11Required) },
		"GOAWAY 0":                     func(uint32) []byte { return goAway(0, noError) },
		"GOAWAY 0, PROTOCOL_ERROR":     func(uint32) []byte { return goAway(0, protocolError) },
		"GOAWAY below, REFUSED_STREAM": func(s uint32) []byte { return append(goAway(0, noError), reset(s, refusedStream)...) },
		"close":                        func(uint32) []byte { return nil },
	} {
		for transport, newTransport := range transports {
			for call, how := range calls {
				for _, when := range []string{"early", "whole", "after one that went well"} {
					t.Run(strings.Join([]string{name, transport, call, when}, "/"), func(t *testing.T) {
						t.Parallel()
						const tries = 3
						first := when == "after one that went well"
						w := newWire(t, "h2", http2(when == "early", func(n int, stream uint32) []byte {
							if first && n == 0 {
								return success(stream)
							}
							return answer(stream)
						}))
						client := w.client(t, newTransport(), tries)
						ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
						defer cancel()
						want := 1
						if how.repeated {
							want = tries
						}
						if first {
							if err := how.do(ctx, client); err != nil {
								t.Fatal(err)
							}
							want++
						}
						err := how.do(ctx, client)
						if err == nil || extend.NotSent(err) || ctx.Err() != nil {
							t.Errorf("NotSent %v, %v", extend.NotSent(err), err)
						}
						w.want(t, want)
					})
				}
			}
		}
	}
}

// http1 serves a connection. Each request is read whole and then answered with what
// answer says; "" closes the connection, "reset" resets it.
func http1(answer func(n int) string) func(*wire, net.Conn) {
	return func(w *wire, c net.Conn) {
		in := bufio.NewReader(c)
		for {
			r, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			n := w.came(r.Method + " " + r.RequestURI)
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				return
			}
			w.ended()
			said := answer(n)
			if said == "reset" {
				_ = c.(*tls.Conn).NetConn().(*net.TCPConn).SetLinger(0)
				_ = c.(*tls.Conn).NetConn().Close()
				return
			}
			if said == "" {
				return
			}
			if _, err := io.WriteString(c, said); err != nil {
				return
			}
			if strings.Contains(said, "Connection: close") {
				return
			}
		}
	}
}

func http1Success() string {
	body := success(1)[9+1+9:]
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

func TestOneCallIsOneRequestOverHTTP1(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		answer string
		final  bool // our own rule does not repeat a GET either
	}{
		"close":              {answer: ""},
		"reset":              {answer: "reset"},
		"nonsense":           {answer: "nonsense\r\n\r\n"},
		"408 and close":      {answer: "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"},
		"half an answer":     {answer: "HTTP/1.1 200 OK\r\nContent-Length: 100\r\nConnection: close\r\n\r\n{"},
		"100 and close":      {answer: "HTTP/1.1 100 Continue\r\nConnection: close\r\n\r\n"},
		"503":                {answer: "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"},
		"307 to itself":      {answer: "HTTP/1.1 307 Temporary Redirect\r\nLocation: /processor_runs\r\nContent-Length: 0\r\n\r\n", final: true},
		"308 without target": {answer: "HTTP/1.1 308 Permanent Redirect\r\nContent-Length: 0\r\n\r\n", final: true},
		"421":                {answer: "HTTP/1.1 421 Misdirected Request\r\nContent-Length: 0\r\n\r\n", final: true},
	} {
		for transport, newTransport := range transports {
			for call, how := range calls {
				for _, when := range []string{"first", "after one that went well"} {
					t.Run(strings.Join([]string{name, transport, call, when}, "/"), func(t *testing.T) {
						t.Parallel()
						const tries = 3
						first := when != "first"
						w := newWire(t, "http/1.1", http1(func(n int) string {
							if first && n == 0 {
								return http1Success()
							}
							return tt.answer
						}))
						client := w.client(t, newTransport(), tries)
						ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
						defer cancel()
						want := 1
						if how.repeated && !tt.final {
							want = tries
						}
						if first {
							if err := how.do(ctx, client); err != nil {
								t.Fatal(err)
							}
							want++
						}
						err := how.do(ctx, client)
						if err == nil || extend.NotSent(err) || ctx.Err() != nil {
							t.Errorf("NotSent %v, %v", extend.NotSent(err), err)
						}
						w.want(t, want)
					})
				}
			}
		}
	}
}

// A call that is refused and then goes well is one that our own rule repeated: a GET is
// asked again, and a POST says that its outcome is unknown though the next would do.
func TestARefusedStreamIsAnUnknownOutcome(t *testing.T) {
	t.Parallel()
	for transport, newTransport := range transports {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			w := newWire(t, "h2", http2(false, func(n int, stream uint32) []byte {
				if n == 0 || n == 2 {
					return reset(stream, refusedStream)
				}
				return success(stream)
			}))
			client := w.client(t, newTransport(), 3)
			_, err := client.Runs.Create(t.Context(), extend.CreateRunRequest{ProcessorID: "dp_1", RawText: "x"})
			if _, answered := errors.AsType[*extend.Error](err); err == nil || answered || extend.NotSent(err) {
				t.Errorf("NotSent %v, %v", extend.NotSent(err), err)
			}
			w.want(t, 1)
			for range 2 {
				if _, err := client.Runs.Get(t.Context(), "dpr_1"); err != nil {
					t.Error(err)
				}
			}
			w.want(t, 4)
		})
	}
}

// A server closes a connection while it is idle, just as the next request may be on its
// way: whichever is first, the request does not arrive twice.
func TestAConnectionThatWasClosedWhileIdle(t *testing.T) {
	t.Parallel()
	for call, how := range calls {
		t.Run(call, func(t *testing.T) {
			t.Parallel()
			for range 20 {
				w := newWire(t, "http/1.1", func(w *wire, c net.Conn) {
					r, err := http.ReadRequest(bufio.NewReader(c))
					if err != nil {
						return
					}
					w.came(r.Method + " " + r.RequestURI)
					if _, err := io.Copy(io.Discard, r.Body); err == nil {
						_, _ = io.WriteString(c, http1Success())
					}
				})
				client := w.client(t, http.DefaultTransport.(*http.Transport).Clone(), 3)
				first, second := how.do(t.Context(), client), how.do(t.Context(), client)
				if first != nil || how.repeated && second != nil || second != nil && extend.NotSent(second) {
					t.Fatalf("%v, then %v", first, second)
				}
				if second == nil {
					w.want(t, 2)
				} else {
					w.want(t, 1) // it was written to the connection that was closed
				}
			}
		})
	}
}
