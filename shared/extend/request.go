package extend

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"
	"time"

	"extend-intake/shared/extend/internal/loose"
)

// A request is one call of the API.
type request struct {
	operation
	ids   []string // of the path, escaped when sent: an id is opaque and may hold anything
	query url.Values
	body  any // sent as JSON, an [UploadFileRequest] as a form; nil sends none
}

// send makes a call and turns what the answer is about into a value. All methods of all services go through it.
func send[T any](ctx context.Context, c *Client, r request, parse func(json.RawMessage) (T, error)) (T, error) {
	var none T
	p, err := c.prepare(r)
	if err != nil {
		return none, err
	}
	a, err := c.try(ctx, p)
	if err != nil {
		return none, err
	}
	raw, warning, err := a.open(r.operation)
	if err != nil {
		return none, p.unusable(a, err)
	}
	v, err := parse(raw)
	if err != nil {
		return none, p.unusable(a, err)
	}
	if r, ok := any(v).(interface{ received() *Received }); ok {
		r.received().Answer, r.received().Warning = a.body, warning
	}
	return v, nil
}

// prepared is a request with everything done that can fail without a network.
type prepared struct {
	method, path, url string
	body              []byte
	form              *form // instead of body; it can be sent only once
	repeatable        bool
}

func (c *Client) prepare(r request) (prepared, error) {
	p := prepared{method: r.method, repeatable: r.repeatable}
	bad := ""
	segments, names := r.segments(r.ids)
	for i, segment := range segments {
		// "." and ".." survive escaping, and would name another resource.
		if segment == "" || segment == "." || segment == ".." {
			bad = cmp.Or(bad, names[i])
		}
		p.path += "/" + url.PathEscape(segment)
	}
	if bad != "" {
		return p, p.refuse(fmt.Errorf("%s is empty or dots", bad))
	}
	p.url = c.base + p.path
	if len(r.query) > 0 {
		p.url += "?" + r.query.Encode()
	}
	if r.body != nil {
		if err := check(r.body); err != nil {
			return p, p.refuse(err)
		}
		if file, ok := r.body.(UploadFileRequest); ok {
			p.form = newForm(file)
			return p, nil
		}
		var err error
		if p.body, err = json.Marshal(r.body); err != nil {
			return p, p.refuse(err)
		}
	}
	return p, nil
}

// once sends the request once. Its error is a *callError, an *Error, or wraps ErrTooLarge.
func (c *Client) once(ctx context.Context, p prepared) (*answer, error) {
	if ctx.Err() != nil {
		return nil, p.refuse(context.Cause(ctx))
	}
	if c.limiter != nil {
		if err := c.limiter(ctx); err != nil {
			return nil, p.refuse(fmt.Errorf("limiter: %w", err))
		}
	}
	key, err := c.key(ctx)
	switch {
	case err != nil:
		return nil, p.refuse(fmt.Errorf("API key: %w", err))
	case key == "":
		return nil, p.refuse(errors.New("API key is empty"))
	case !headerSafe(key): // a line break at the end of a stored secret, most likely
		return nil, p.refuse(errors.New("API key holds spaces or control characters"))
	}

	sending, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	conn := &connTrace{stop: stop}
	var body io.Reader
	switch {
	case p.form != nil:
		body = p.form.reader()
		defer p.form.content.stop() // the answer may come before all is read
	case p.body != nil:
		body = bytes.NewReader(p.body)
	}
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(sending, conn.trace()), p.method, p.url, body)
	if err != nil {
		return nil, p.refuse(err)
	}
	// One call is one request on the wire. Go's transport sends a request again by itself, without an end, where a server
	// or a proxy calls it refused or goes away, although it may have done the work: unless the body cannot be read again.
	// See golang.org/issue/52459. What has no body is stopped by connTrace.
	req.GetBody = nil
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set(versionHeader, Version)
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", c.userAgent)
	if c.workspace != "" {
		req.Header.Set("x-extend-workspace-id", c.workspace)
	}
	switch {
	case p.form != nil:
		req.ContentLength = p.form.length()
		req.Header.Set("Content-Type", p.form.contentType)
	case p.body != nil:
		req.Header.Set("Content-Type", "application/json")
	}

	res, err := c.http.Do(req)
	if err != nil {
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err // it repeats method and URL, which we say ourselves
		}
		brokenOff := false
		if p.form != nil {
			if _, readErr := p.form.content.stop(); readErr != nil && ctx.Err() == nil {
				err, brokenOff = readErr, true // the transport tells it as a broken connection
			}
		}
		if conn.repeated.Load() && ctx.Err() == nil {
			err = errRepeated
		}
		return nil, &callError{method: p.method, path: p.path, err: err, notSent: conn.notSent(err), brokenOff: brokenOff}
	}
	defer res.Body.Close()
	if said := header(res, versionHeader); said != "" && loose.Version(said) != Version && c.otherVersion != nil {
		c.otherVersion(ctx, said)
	}
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return nil, newError(p, res, key, time.Now())
	}
	a := &answer{status: res.StatusCode, requestID: header(res, requestIDHeader), version: header(res, versionHeader), key: key}
	var read bytes.Buffer
	if n := min(res.ContentLength, c.maxAnswer); n > 0 { // growing to it would take several times the memory
		read.Grow(int(n) + bytes.MinRead)
	}
	_, err = read.ReadFrom(io.LimitReader(res.Body, c.maxAnswer+1))
	a.body = read.Bytes()
	switch {
	case err != nil:
		return nil, &callError{method: p.method, path: p.path, err: fmt.Errorf("read answer %d: %w", a.status, err)}
	case int64(len(a.body)) > c.maxAnswer:
		return nil, p.unusable(a, fmt.Errorf("%w: over %d bytes", ErrTooLarge, c.maxAnswer))
	}
	if p.form != nil {
		if whole, readErr := p.form.content.stop(); !whole {
			return nil, p.unusable(a, cmp.Or(readErr, errors.New("it came before the server had the whole file")))
		}
	}
	return a, nil
}

// refuse is the error of a request that is not sent.
func (p prepared) refuse(err error) error {
	return &callError{method: p.method, path: p.path, err: err, notSent: true, final: true}
}

// errRepeated stands for the failure of a request that the transport was about to send again: it keeps the reason to
// itself.
var errRepeated = errors.New("the connection failed, or the stream was refused, after the request was written")

// A connTrace watches what the HTTP transport does with one request: whether it had a connection to write it to, and that
// it does not write it a second time. Its hooks can run after the call has returned, hence the atomics.
type connTrace struct {
	asked, touched, wrote, repeated atomic.Bool

	stop context.CancelCauseFunc // ends the request
}

func (t *connTrace) trace() *httptrace.ClientTrace {
	// beforeConn stops the transport on its way to a second connection, or back to the first: it looks at the context before
	// it writes. A request of which nothing was written may take another connection.
	beforeConn := func() {
		if t.wrote.Load() {
			t.repeated.Store(true)
			t.stop(errRepeated)
		}
	}
	return &httptrace.ClientTrace{
		GetConn:              func(string) { beforeConn(); t.asked.Store(true) },
		GotConn:              func(httptrace.GotConnInfo) { beforeConn(); t.touched.Store(true) },
		WroteHeaders:         func() { t.wrote.Store(true); t.touched.Store(true) },
		GotFirstResponseByte: func() { t.touched.Store(true) },
	}
}

// notSent reports whether a failed call surely wrote nothing: the transport asked for a connection and never
// got one, or, for a RoundTripper that does not report to traces, the error itself says that there was none.
func (t *connTrace) notSent(err error) bool {
	return !t.touched.Load() && (t.asked.Load() || neverConnected(err))
}
