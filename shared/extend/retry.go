package extend

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

// Retry says how often and how patiently a call is repeated. Zero fields have their defaults.
type Retry struct {
	Attempts int           // all tries, the first included: 1 never repeats. Default 4.
	Base     time.Duration // wait before the second try, doubled before each further one. Default 500 ms.
	Max      time.Duration // no wait of ours is longer. Default 5 s.

	// Jitter is a number in [0,1) that shortens a wait of ours by up to half, so that clients that were refused
	// together do not come back together. Default is a random one.
	Jitter func() float64
}

// maxRetryAfter is the longest wait that a server is believed: the limits of the vendor's plans are per second and per minute.
// Servers and gateways send milliseconds, or the time of day in seconds, and a client that believes them stands still for hours.
const maxRetryAfter = time.Minute

func (r Retry) withDefaults() Retry {
	if r.Attempts == 0 {
		r.Attempts = 4
	}
	if r.Base == 0 {
		r.Base = 500 * time.Millisecond
	}
	if r.Max == 0 {
		r.Max = 5 * time.Second
	}
	if r.Jitter == nil {
		r.Jitter = rand.Float64 // #nosec G404 -- no secret: it only spreads the clients
	}
	return r
}

// try sends the request until it is answered, refused for good, or given up.
func (c *Client) try(ctx context.Context, p prepared) (*answer, error) {
	reached := false // an earlier try may have reached the server and done its work there
	for n := 1; ; n++ {
		a, err := c.once(ctx, p)
		if err == nil {
			return a, nil
		}
		if e, ok := errors.AsType[*callError](err); ok && reached {
			e.notSent = false
		}
		if n >= c.retry.Attempts || ctx.Err() != nil || p.form != nil || !retryable(p.repeatable, err) {
			return nil, err
		}
		wait := c.retry.wait(n, err)
		if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= wait {
			return nil, err // it says more than "deadline exceeded" would
		}
		reached = reached || !NotSent(err) && !tooMany(err)

		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, fmt.Errorf("%w; gave up: %w", err, context.Cause(ctx))
		}
	}
}

// retryable says whether a request that failed so may be sent again: repeatable is its operation's.
func retryable(repeatable bool, err error) bool {
	e, answered := errors.AsType[*Error](err)
	call, lost := errors.AsType[*callError](err)
	switch {
	case answered && e.RetryAfter >= maxRetryAfter:
		return false // the caller has the number, and can do better than wait for so long
	case tooMany(err):
		return true // the server says that it did not take it, so that anything may be repeated
	case !repeatable:
		return false // it may have been taken: there is no idempotency key, and a run costs money
	case answered:
		// 409 is not here: it needs somebody to change something.
		return e.StatusCode == http.StatusRequestTimeout || e.StatusCode >= 500 || e.Retryable
	default:
		return lost && !call.final // the connection failed, before the request or after it
	}
}

func tooMany(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.StatusCode == http.StatusTooManyRequests
}

// wait is the time between try n and the next: what the server asks for, else exponential.
func (r Retry) wait(n int, err error) time.Duration {
	if e, ok := errors.AsType[*Error](err); ok && e.RetryAfter > 0 {
		return e.RetryAfter
	}
	d := min(r.Base, r.Max)
	for range n - 1 {
		d = min(2*d, r.Max)
	}
	return d - time.Duration(r.Jitter()*float64(d)/2)
}

// parseRetryAfter reads the header's two forms, seconds and HTTP date. Nonsense, zero and the past are 0: not said. What is
// longer than [maxRetryAfter] is that long: whoever waited for it asks again, with one request, and hears how it stands.
func parseRetryAfter(header string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(header, 10, 64); err == nil || errors.Is(err, strconv.ErrRange) {
		return time.Duration(min(seconds, uint64(maxRetryAfter/time.Second))) * time.Second
	}
	if date, err := http.ParseTime(header); err == nil {
		return min(max(date.Sub(now), 0), maxRetryAfter)
	}
	return 0
}
