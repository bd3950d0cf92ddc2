package webhook

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"extend-intake/shared/extend"
	"extend-intake/shared/recorder"
)

// Whoever has seen a signed delivery can send it again and again for as long as its timestamp
// is accepted. That must neither use up the plan's requests nor keep Extend's own deliveries
// from being answered.

// burst is how many requests an instance can send at once before it is paced.
const burst = 5

// paced are the requests to Extend, each when it is allowed. One that would have to wait
// longer than the delivery can fails at once, and Extend repeats the delivery.
type paced struct {
	runs    recorder.Getter
	limiter *rate.Limiter
}

// Get asks Extend for a run.
func (p paced) Get(ctx context.Context, id string) (*extend.Run, error) {
	if err := p.limiter.Wait(ctx); err != nil {
		return nil, fmt.Errorf("no request allowed before the delivery has to be answered: %w", err)
	}
	return p.runs.Get(ctx, id)
}

const (
	// remembered is how long a delivery that is done is remembered: longer than its timestamp
	// is accepted.
	remembered = 6 * time.Minute
	// maxRemembered bounds them. More are handled again, as if they were new.
	maxRemembered = 10_000
)

// recent are the deliveries that were answered with 200, by the SHA-256 of their bodies. The
// zero value is ready.
type recent struct {
	mu sync.Mutex
	at map[[sha256.Size]byte]time.Time
}

// has reports whether this delivery is done already.
func (r *recent) has(body [sha256.Size]byte, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	at, ok := r.at[body]
	return ok && now.Sub(at) < remembered
}

// add remembers that a delivery is done.
func (r *recent) add(body [sha256.Size]byte, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.at == nil {
		r.at = make(map[[sha256.Size]byte]time.Time)
	}
	if len(r.at) >= maxRemembered {
		maps.DeleteFunc(r.at, func(_ [sha256.Size]byte, at time.Time) bool { return now.Sub(at) >= remembered })
	}
	if len(r.at) < maxRemembered {
		r.at[body] = now
	}
}
