package submit

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// rateLimiter keeps one instance to its share of the plan's limits. It waits for the gaps
// within a batch; what would take longer goes back to the queue.
type rateLimiter struct {
	requests, files *rate.Limiter
	// unused counts the files that were allowed and of which surely no run was made.
	unused atomic.Int32
}

// maxUnused bounds what can be caught up on at once.
const maxUnused = 5

// giveBack says that surely no run was made of a file that was allowed: the next one may
// take its place, so that files which are refused do not slow down the others.
func (l *rateLimiter) giveBack() {
	if l.unused.Add(1) > maxUnused {
		l.unused.Store(maxUnused)
	}
}

// take uses up a file that was given back.
func (l *rateLimiter) take() bool {
	for n := l.unused.Load(); n > 0; n = l.unused.Load() {
		if l.unused.CompareAndSwap(n, n-1) {
			return true
		}
	}
	return false
}

// newRateLimiter allows this many requests and files a second.
func newRateLimiter(requestsPerSecond, filesPerSecond float64) *rateLimiter {
	// A burst of one: several instances that start together must not add up to a burst.
	return &rateLimiter{requests: rate.NewLimiter(rate.Limit(requestsPerSecond), 1), files: rate.NewLimiter(rate.Limit(filesPerSecond), 1)}
}

// errTooLong means that the wait would end after the deadline; nothing was used up.
var errTooLong = errors.New("no request allowed before the deadline")

// request waits until a request is allowed.
func (l *rateLimiter) request(ctx context.Context, now, deadline time.Time) error {
	return wait(ctx, now, deadline, l.requests)
}

// file waits until a new run is allowed, which is a request as well.
func (l *rateLimiter) file(ctx context.Context, now, deadline time.Time) error {
	if l.take() {
		return wait(ctx, now, deadline, l.requests)
	}
	return wait(ctx, now, deadline, l.requests, l.files)
}

// nextFile is how long it takes until the next run is allowed.
func (l *rateLimiter) nextFile(now time.Time) time.Duration {
	if l.unused.Load() > 0 {
		return 0
	}
	r := l.files.ReserveN(now, 1)
	defer r.CancelAt(now)
	return r.DelayFrom(now)
}

func wait(ctx context.Context, now, deadline time.Time, limiters ...*rate.Limiter) error {
	var longest time.Duration
	reserved := make([]*rate.Reservation, len(limiters))
	for i, l := range limiters {
		reserved[i] = l.ReserveN(now, 1)
		longest = max(longest, reserved[i].DelayFrom(now))
	}
	if now.Add(longest).After(deadline) {
		for _, r := range reserved {
			r.CancelAt(now)
		}
		return errTooLong
	}
	return sleep(ctx, longest)
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
