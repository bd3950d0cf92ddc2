package boot

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"time"

	"extend-intake/shared/extend"
)

// Common is the configuration that is the same in every function which talks to Extend.
type Common struct {
	Stack, Table, SecretID, UploadQueue string
	// TagSecretID names the secret that tags are signed with.
	TagSecretID string
	BaseURL     *url.URL
	Workspace   string
}

// Common reads what functions that talk to Extend have in common.
func (e *Env) Common() Common {
	return Common{
		Stack: e.Required("STACK"), Table: e.Required("TABLE_NAME"), SecretID: e.Required("SECRET_ID"), TagSecretID: e.Required("TAG_SECRET_ID"), UploadQueue: e.Required("UPLOAD_QUEUE_URL"),
		BaseURL: e.ExtendURL("EXTEND_BASE_URL"), Workspace: e.Optional("EXTEND_WORKSPACE_ID"),
	}
}

// Account is that of a stack, out of its name in STACK: account/region/name. It is empty where
// the name is another.
func Account(stack string) string {
	if account, _, ok := strings.Cut(stack, "/"); ok && len(account) == 12 && strings.Trim(account, "0123456789") == "" {
		return account
	}
	return ""
}

// Calls is how one function's calls of Extend differ from another's.
type Calls struct {
	// Timeout bounds one call; 0 leaves that to the caller's context.
	Timeout time.Duration
	// Tries is how often one call is sent at most, the first time included.
	Tries int
	// Transport sends the requests; nil is http.DefaultTransport.
	Transport http.RoundTripper
	// Jitter is [extend.Retry]'s; nil is a random one.
	Jitter func() float64
	// OtherVersion is told of answers of another version of the API; nil tells nobody.
	// See [extend.WithOtherVersion].
	OtherVersion func(ctx context.Context, said string)
}

// FreshConnections is a Transport that opens a connection for each request. One that
// was kept while the function was frozen may be dead, and a POST that dies with it has
// an unknown outcome: ten minutes of searching to save a handshake. That a request is
// sent once is package extend's doing, not this Transport's.
func FreshConnections() http.RoundTripper {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DisableKeepAlives = true
	return t
}

// Jitter is a random number in [0,1), as Calls and handlers want it.
func Jitter() float64 { return rand.Float64() } // #nosec G404 -- no secret: it only spreads calls

// Extend returns the client of Extend's API for one function.
func Extend(c Common, key extend.KeyFunc, calls Calls) (*extend.Client, error) {
	return extend.NewClient(key,
		extend.WithBaseURL(c.BaseURL.String()), extend.WithWorkspace(c.Workspace),
		extend.WithHTTPClient(&http.Client{Timeout: calls.Timeout, Transport: calls.Transport}),
		extend.WithRetry(extend.Retry{Attempts: calls.Tries, Jitter: calls.Jitter}),
		extend.WithOtherVersion(calls.OtherVersion))
}

// Complete names every field of parts, a struct, that is not set: what a handler is
// made of must be there before the first event comes, and not only when it is needed.
func Complete(parts any) error {
	var errs []error
	v := reflect.ValueOf(parts)
	for i := range v.NumField() {
		if v.Field(i).IsZero() {
			errs = append(errs, fmt.Errorf("%s: %s is missing", v.Type(), v.Type().Field(i).Name))
		}
	}
	return errors.Join(errs...)
}
