package submit

import (
	"context"
	"iter"
	"time"

	"extend-intake/shared/extend"
	"extend-intake/shared/ledger"
)

// Handler submits uploads. All fields are required.
type Handler struct {
	Config Config
	// Key is the API key; it is asked before anything is claimed.
	Key     func(context.Context) (string, error)
	Runs    Runs
	Ledger  *ledger.Ledger
	File    File
	Queue   Queue
	Limiter *RateLimiter
	Now     func() time.Time
	// Jitter is a number in [0,1).
	Jitter func() float64

	// pausedUntil: Extend refused the account, or the rate. Until then this instance makes
	// no call.
	pausedUntil time.Time
	pauseReason string
}

// Runs are the calls of Extend that a Handler makes.
type Runs interface {
	Create(context.Context, extend.CreateRunRequest) (*extend.Run, error)
	Get(ctx context.Context, id string) (*extend.Run, error)
	All(context.Context, extend.ListRunsRequest) iter.Seq2[extend.RunSummary, error]
}

// Queue is what a Handler does to messages besides returning them.
type Queue interface {
	// Delay makes a message come back after d.
	Delay(ctx context.Context, receipt string, d time.Duration) error
	// Requeue replaces a message by a new one, to be received after d, which carries the
	// number of errors so far.
	Requeue(ctx context.Context, body string, errors int, d time.Duration) error
	// DeadLetter sends a message to the dead-letter queue.
	DeadLetter(ctx context.Context, body, reason string) error
}
