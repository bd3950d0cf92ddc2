package submit

import (
	"context"
	"errors"
	"time"

	"golang.org/x/time/rate"
)

// RateLimiter keeps this instance's share of the plan's limits. Waiting is for the gaps
// within a batch; what would take longer goes back to the queue.
type RateLimiter struct{ requests, files *rate.Limiter }

// NewRateLimiter returns an instance's share: so many requests and files a second.
func NewRateLimiter(requestsPerSecond, filesPerSecond float64) *RateLimiter {
	// A burst of one: several instances that start together must not add up to a burst.
	return &RateLimiter{requests: rate.NewLimiter(rate.Limit(requestsPerSecond), 1), files: rate.NewLimiter(rate.Limit(filesPerSecond), 1)}
}

// errTooLong means that the turn would come after the deadline; it was not taken.
var errTooLong = errors.New("the plan's limits leave no turn before the deadline")

// request waits for the turn of one call.
func (p *RateLimiter) request(ctx context.Context, now, deadline time.Time) error {
	return wait(ctx, now, deadline, p.requests)
}

// file waits for the turn of one new run, which is a call as well.
func (p *RateLimiter) file(ctx context.Context, now, deadline time.Time) error {
	return wait(ctx, now, deadline, p.requests, p.files)
}

// nextFile is how long the turn of the next run is away.
func (p *RateLimiter) nextFile(now time.Time) time.Duration {
	r := p.files.ReserveN(now, 1)
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
