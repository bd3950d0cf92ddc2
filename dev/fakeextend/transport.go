package fakeextend

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"time"
)

// Transport returns a transport that gives every request to h in memory,
// without a socket. Inside a testing/synctest bubble this is what keeps time
// virtual; real sockets would not. A handler that panics with
// [http.ErrAbortHandler] looks like a lost connection, as it does over a network.
//
// [Fault].Refused looks like an HTTP/2 stream that was refused, or whose
// connection was told to go away, and is treated as net/http's HTTP/2 transport
// treats it: a request without a body, or with a GetBody, is sent again by the
// transport itself, at once and then after 1, 2, 4 … s, up to seven times. Other
// requests fail. It is a model for virtual time, and no proof of what net/http
// does.
func Transport(h http.Handler) http.RoundTripper { return memory{h} }

type memory struct{ handler http.Handler }

// RoundTrip sends a request, and sends it again where it was refused.
func (m memory) RoundTrip(out *http.Request) (*http.Response, error) {
	for again := 0; ; again++ {
		refused := false
		resp, err := m.once(out.WithContext(context.WithValue(out.Context(), refusedKey{}, &refused)))
		if !refused || again == maxStreams-1 {
			if resp != nil {
				resp.Request = out
			}
			return resp, err
		}
		if again > 0 && !pause(out.Context(), time.Second<<(again-1)) {
			return nil, out.Context().Err()
		}
		if out.Body != nil && out.Body != http.NoBody {
			if out.GetBody == nil {
				return nil, errors.New("http2: the stream was refused, and the request's body can't be sent again")
			}
			body, err := out.GetBody()
			if err != nil {
				return nil, err
			}
			next := *out
			next.Body = body
			out = &next
		}
	}
}

// maxStreams is how often net/http's HTTP/2 transport sends a request at most.
const maxStreams = 8

// refusedKey is where a request has its transport's *bool, for the handler says
// by it that the stream was refused.
type refusedKey struct{}

// refuseStream ends a handler as a refused stream does.
func refuseStream(r *http.Request) {
	if refused, ok := r.Context().Value(refusedKey{}).(*bool); ok {
		*refused = true
	}
	panic(http.ErrAbortHandler)
}

func (m memory) once(out *http.Request) (*http.Response, error) {
	ctx := out.Context()
	var body []byte
	if out.Body != nil {
		var err error
		body, err = io.ReadAll(out.Body)
		if err := errors.Join(err, out.Body.Close()); err != nil {
			return nil, err
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	in := out.Clone(ctx)
	in.RequestURI = out.URL.RequestURI()
	in.Host = cmp.Or(out.Host, out.URL.Host)
	in.RemoteAddr = "127.0.0.1:1"
	in.Body = io.NopCloser(bytes.NewReader(body))
	var err error
	if in.URL, err = url.ParseRequestURI(in.RequestURI); err != nil {
		return nil, err
	}

	answer := make(chan *http.Response, 1)
	go func() {
		defer close(answer)
		defer func() {
			if v := recover(); v != nil && v != http.ErrAbortHandler {
				panic(v)
			}
		}()
		w := httptest.NewRecorder()
		m.handler.ServeHTTP(w, in)
		answer <- w.Result()
	}()
	select {
	case resp := <-answer:
		if resp == nil {
			return nil, io.ErrUnexpectedEOF
		}
		return resp, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
