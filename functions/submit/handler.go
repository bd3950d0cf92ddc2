package submit

import (
	"context"
	"errors"
	"iter"
	"net/http"
	"time"

	"extend-intake/shared/boot"
	"extend-intake/shared/document"
	"extend-intake/shared/extend"
	"extend-intake/shared/ledger"
	"extend-intake/shared/queue"
	"extend-intake/shared/target"
)

// Handler submits uploads. Make one with [NewHandler]. It handles one batch at a time, and its
// messages side by side.
type Handler struct {
	// Runs are the calls of Extend. NewHandler sets them; a test may wrap them.
	Runs Runs

	Parts
	config  Config
	file    fileFunc
	limiter *rateLimiter

	pauses pauses
}

// Parts are what lies outside of a Handler. All are required.
type Parts struct {
	// Transport sends the requests to Extend. It must not reuse connections: see
	// [boot.FreshConnections].
	Transport http.RoundTripper
	// Key is the API key; it is asked before anything is claimed.
	Key extend.KeyFunc
	// TagKeys sign the tags of runs. They are asked before anything is claimed, too.
	TagKeys document.KeyFunc
	Ledger  *ledger.Ledger
	// Bucket is the one that files are uploaded to.
	Bucket Bucket
	// Uploads is the upload queue, DeadLetters its dead-letter queue.
	Uploads     Queue
	DeadLetters Sender
	Now         func() time.Time
	// Jitter is a number in [0,1).
	Jitter func() float64
}

// Runs are the calls of Extend that a Handler makes: see [target.Runs].
type Runs interface {
	Create(context.Context, extend.CreateRunRequest) (*extend.Run, error)
	Get(ctx context.Context, id string) (*extend.Run, error)
	All(context.Context, extend.ListRunsRequest) iter.Seq2[extend.RunSummary, error]
}

// Queue is what a Handler does to messages besides returning them: see [queue.Queue].
type Queue interface {
	// Delay makes a message that was received come back after d.
	Delay(ctx context.Context, receipt string, d time.Duration) error
	Sender
}

// Sender puts messages into a queue.
type Sender interface {
	Send(context.Context, queue.Message) error
}

// NewHandler returns a Handler that calls Extend as the function does. The error names
// every part that is missing.
func NewHandler(cfg Config, p Parts) (*Handler, error) {
	if err := boot.Complete(p); err != nil {
		return nil, err
	}
	// One try each: the queue tries again, and knows when.
	runs, err := boot.Extend(cfg.Common, p.Key, boot.Calls{Timeout: postTimeout, Tries: 1, Transport: p.Transport, Jitter: p.Jitter})
	// No time-out of its own: uploadTimeout bounds the reading of the file as well.
	uploads, err2 := boot.Extend(cfg.Common, p.Key, boot.Calls{Tries: 1, Transport: p.Transport, Jitter: p.Jitter})
	if err := errors.Join(err, err2); err != nil {
		return nil, err
	}
	h := &Handler{
		Runs: target.Runs{Client: runs}, Parts: p, config: cfg,
		file:    link(p.Bucket),
		limiter: newRateLimiter(cfg.RequestsPerSecond, cfg.FilesPerSecond),
	}
	if cfg.SendsFiles {
		h.file = send(p.Bucket, uploads.Files)
	}
	return h, nil
}
