package extend

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// How a wait polls, as the vendor's own helpers do: often at first, then less and less.
const (
	pollFirst  = time.Second      // between two polls at first
	pollFast   = 30 * time.Second // for how long
	pollGrowth = 1.15             // by which each later pause is longer than the one before
	pollMax    = 30 * time.Second // the longest pause
	pollJitter = 0.25             // by which a pause is longer or shorter at random
)

// wait asks for a run until it has ended. Each of the Wait methods is this:
//
// It polls at once, every second for half a minute, then less and less often, at last every 30 seconds, and calls progress
// with each answer. It has no timeout but ctx, whose cause is then in the error: a run has no published time limit. After a
// 429 it waits longer. Any other error that remains after the retries of [Retry] ends the wait, but not the run; calling Wait
// again is free.
func wait[T any](ctx context.Context, c *Client, get func() (*T, error), status func(*T) Status, progress []func(*T)) (*T, error) {
	start, pause := time.Now(), pollFirst
	for {
		run, err := get()
		if err != nil && !tooMany(err) {
			return nil, err
		}
		if err == nil {
			for _, f := range progress {
				f(run)
			}
			if status(run).Terminal() {
				return run, nil
			}
		}
		if time.Since(start) >= pollFast {
			pause = min(time.Duration(float64(pause)*pollGrowth), pollMax)
		}
		jittered := pause + time.Duration(pollJitter*(2*c.retry.Jitter()-1)*float64(pause))
		if e, ok := errors.AsType[*Error](err); ok {
			jittered = max(jittered, e.RetryAfter)
		}
		timer := time.NewTimer(jittered)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, fmt.Errorf("extend: wait for a run: %w", context.Cause(ctx))
		}
	}
}
