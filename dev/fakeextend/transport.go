package fakeextend

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
)

// Transport returns a transport that gives every request to h in memory,
// without a socket. Inside a testing/synctest bubble this is what keeps time
// virtual; real sockets would not. A handler that panics with
// [http.ErrAbortHandler] looks like a lost connection, as it does over a network.
func Transport(h http.Handler) http.RoundTripper { return memory{h} }

type memory struct{ handler http.Handler }

func (m memory) RoundTrip(out *http.Request) (*http.Response, error) {
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
		resp.Request = out
		return resp, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
