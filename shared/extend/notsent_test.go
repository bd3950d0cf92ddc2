package extend

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
)

// listen serves every connection with f, on a free port.
func listen(t *testing.T, f func(net.Conn)) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			f(conn)
		}
	}()
	return "http://" + l.Addr().String()
}

func create(t *testing.T, opts ...Option) error {
	t.Helper()
	own := &http.Transport{} // see newTestClient
	t.Cleanup(own.CloseIdleConnections)
	c, err := NewClient(StaticKey(testKey), append([]Option{WithHTTPClient(&http.Client{Transport: own})}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Runs.Create(t.Context(), validRun)
	if err == nil {
		t.Fatal("no error")
	}
	if _, ok := errors.AsType[*Error](err); ok {
		t.Fatalf("no answer was given, and yet %v", err)
	}
	return err
}

func TestNotSent(t *testing.T) {
	t.Parallel()

	t.Run("connection refused", func(t *testing.T) {
		t.Parallel()
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
		if err := create(t, WithBaseURL("http://"+l.Addr().String())); !NotSent(err) {
			t.Error(err)
		}
	})

	t.Run("unknown host", func(t *testing.T) {
		t.Parallel()
		hc := &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
			return nil, &net.DNSError{Err: "no such host", Name: "api.example.com", IsNotFound: true}
		}}}
		if err := create(t, WithHTTPClient(hc)); !NotSent(err) {
			t.Error(err)
		}
	})

	t.Run("certificate of nobody", func(t *testing.T) {
		t.Parallel()
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("sent") }))
		s.Config.ErrorLog = discardLog()
		s.StartTLS()
		t.Cleanup(s.Close)
		if err := create(t, WithBaseURL(s.URL)); !NotSent(err) {
			t.Error(err)
		}
	})

	t.Run("connection ends in the handshake", func(t *testing.T) {
		t.Parallel()
		url := listen(t, func(c net.Conn) { c.Close() })
		if err := create(t, WithBaseURL(strings.Replace(url, "http:", "https:", 1))); !NotSent(err) {
			t.Error(err)
		}
	})

	t.Run("context over before the start", func(t *testing.T) {
		t.Parallel()
		c := newTestClient(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("sent") }))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := c.Runs.Create(ctx, validRun)
		if !NotSent(err) || !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})

	t.Run("context over while dialing", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		hc := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			cancel()
			<-ctx.Done()
			return nil, ctx.Err()
		}}}
		c, err := NewClient(StaticKey(testKey), WithHTTPClient(hc))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Runs.Create(ctx, validRun); !NotSent(err) {
			t.Error(err)
		}
	})

	t.Run("transport without traces fails to dial", func(t *testing.T) {
		t.Parallel()
		for _, cause := range []error{
			&net.OpError{Op: "dial", Err: errors.New("refused")},
			&net.DNSError{Err: "no such host"},
			&tls.CertificateVerificationError{Err: errors.New("unknown authority")},
		} {
			c := newFakeClient(t, func(*http.Request) (*http.Response, error) { return nil, fmt.Errorf("proxy: %w", cause) })
			if _, err := c.Runs.Create(t.Context(), validRun); !NotSent(err) || !errors.Is(err, cause) {
				t.Error(err)
			}
		}
	})
}

func TestSentOrUnknown(t *testing.T) {
	t.Parallel()

	t.Run("reset after the request was written", func(t *testing.T) {
		t.Parallel()
		url := listen(t, func(c net.Conn) {
			c.Read(make([]byte, 4096))
			c.(*net.TCPConn).SetLinger(0) // a reset rather than an orderly end
			c.Close()
		})
		if err := create(t, WithBaseURL(url)); NotSent(err) {
			t.Error(err)
		}
	})

	t.Run("closed before anything was read", func(t *testing.T) {
		t.Parallel()
		url := listen(t, func(c net.Conn) { c.Close() })
		if err := create(t, WithBaseURL(url)); NotSent(err) {
			t.Error(err)
		}
	})

	t.Run("HTTP/2 stream ends", func(t *testing.T) {
		t.Parallel()
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if r.ProtoMajor != 2 {
				t.Errorf("spoken over %s", r.Proto)
			}
			panic(http.ErrAbortHandler)
		}))
		s.EnableHTTP2 = true
		s.StartTLS()
		t.Cleanup(s.Close)
		for range 2 { // over a new connection, and over the one that is there
			if err := create(t, WithBaseURL(s.URL), WithHTTPClient(s.Client())); NotSent(err) {
				t.Error(err)
			}
		}
	})

	t.Run("context over while the server works", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		c := newTestClient(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body) // only then does the server notice that the client is gone
			cancel()
			<-r.Context().Done()
		}))
		_, err := c.Runs.Create(ctx, validRun)
		if NotSent(err) || !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})

	t.Run("answer cut off", func(t *testing.T) {
		t.Parallel()
		url := listen(t, func(c net.Conn) {
			c.Read(make([]byte, 4096))
			fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{\"success\": true,")
			c.(*net.TCPConn).CloseWrite()
		})
		if err := create(t, WithBaseURL(url)); NotSent(err) {
			t.Error(err)
		}
	})

	t.Run("redirect to nowhere", func(t *testing.T) {
		t.Parallel()
		c := newTestClient(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "::not a URL::")
			w.WriteHeader(http.StatusTemporaryRedirect)
		}))
		if _, err := c.Runs.Create(t.Context(), validRun); err == nil || NotSent(err) {
			t.Error(err)
		}
	})

	t.Run("transport without traces breaks", func(t *testing.T) {
		t.Parallel()
		for _, cause := range []error{errors.New("odd"), &net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, context.DeadlineExceeded} {
			c := newFakeClient(t, func(*http.Request) (*http.Response, error) { return nil, cause })
			if _, err := c.Runs.Create(t.Context(), validRun); err == nil || NotSent(err) {
				t.Error(err)
			}
		}
	})

	t.Run("nothing at all", func(t *testing.T) {
		t.Parallel()
		if NotSent(nil) || NotSent(errors.New("odd")) || NotSent(&Error{StatusCode: 500}) {
			t.Error("evidence out of nothing")
		}
	})
}

// A DELETE whose first try broke after it was written may be done, though the second try finds nobody.
func TestNotSentCountsEveryTry(t *testing.T) {
	t.Parallel()
	dial := &net.OpError{Op: "dial", Err: errors.New("refused")}
	for _, tt := range []struct {
		name  string
		first func() (*http.Response, error)
		want  bool
	}{
		{"broken, then no connection", func() (*http.Response, error) { return nil, errors.New("reset") }, false},
		{"500, then no connection", func() (*http.Response, error) { return response(500, ""), nil }, false},
		{"429, then no connection", func() (*http.Response, error) { return response(429, ""), nil }, true},
		{"no connection twice", func() (*http.Response, error) { return nil, dial }, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			n := 0
			c := newFakeClient(t, func(*http.Request) (*http.Response, error) {
				if n++; n == 1 {
					return tt.first()
				}
				return nil, dial
			}, WithRetry(Retry{Attempts: 2, Base: 1}))
			_, err := c.Runs.Delete(t.Context(), "dpr_1")
			diff(t, 2, n)
			diff(t, tt.want, NotSent(err))
		})
	}
}
