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
	requests *rate.Limiter
	files    *fileLimiter
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
	return &rateLimiter{requests: rate.NewLimiter(rate.Limit(requestsPerSecond), 1), files: newFileLimiter(filesPerSecond)}
}

// errTooLong means that the wait would end after the deadline; nothing was used up.
var errTooLong = errors.New("no request allowed before the deadline")

// request waits until a request is allowed.
func (l *rateLimiter) request(ctx context.Context, now, deadline time.Time) error {
	wait, err := l.reserveRequest(now, deadline)
	if err != nil {
		return err
	}
	return sleep(ctx, wait)
}

// file waits until a new run is allowed, which is a request as well.
func (l *rateLimiter) file(ctx context.Context, now, deadline time.Time) error {
	if !l.take() {
		at, ok := l.files.reserve(now, deadline)
		if !ok {
			return errTooLong
		}
		if err := sleep(ctx, at.Sub(now)); err != nil {
			return err
		}
		now = at
	}
	// Only now: of two requests that were allowed at different times and are sent at once,
	// one may be too many for that second.
	wait, err := l.reserveRequest(now, deadline)
	if err != nil {
		l.giveBack()
		return err
	}
	return sleep(ctx, wait)
}

// nextFile is how long it takes until the next run is allowed.
func (l *rateLimiter) nextFile(now time.Time) time.Duration {
	if l.unused.Load() > 0 {
		return 0
	}
	return l.files.next(now).Sub(now)
}

func (l *rateLimiter) reserveRequest(now, deadline time.Time) (time.Duration, error) {
	r := l.requests.ReserveN(now, 1)
	wait := r.DelayFrom(now)
	if now.Add(wait).After(deadline) {
		r.CancelAt(now)
		return 0, errTooLong
	}
	return wait, nil
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
