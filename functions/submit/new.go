// Package submit takes upload notices and makes one run at Extend of each
// document. The function itself, in lambda/, only serves what [New] returns.
//
// To learn what happens to an upload, read handler.go downward; what each answer
// of Extend leads to is the table in outcome.go.
package submit

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"extend-intake/shared/boot"
	"extend-intake/shared/extend"
	"extend-intake/shared/ledger"
	"extend-intake/shared/queue"
)

// New returns the function's handler, wired from the environment. With an environment
// that can't be used it serves all the same: CloudFormation wants to be told all that
// is wrong, and so does everybody else who calls.
func New(ctx context.Context, getenv func(string) string) (func(context.Context, json.RawMessage) (any, error), error) {
	handle, fault := wire(ctx, getenv)
	return func(ctx context.Context, event json.RawMessage) (any, error) {
		if question, ok := aboutConfiguration(event); ok {
			return nil, answerCloudFormation(ctx, question, fault)
		}
		if fault != nil {
			return nil, fault
		}
		return handle(ctx, event)
	}, nil
}

func wire(ctx context.Context, getenv func(string) string) (func(context.Context, json.RawMessage) (any, error), error) {
	cfg, err := LoadConfig(getenv)
	if err != nil {
		return nil, err
	}
	awsConfig, err := boot.AWS(getenv)
	if err != nil {
		return nil, err
	}
	key := boot.NewSecrets(secretsmanager.NewFromConfig(awsConfig), cfg.SecretID, getenv, time.Now).APIKey
	messaging := sqs.NewFromConfig(awsConfig)
	p := Parts{
		Key: key, Transport: boot.FreshConnections(),
		Ledger:  ledger.New(dynamodb.NewFromConfig(awsConfig), cfg.Table, cfg.Rules, time.Now),
		File:    link(awsConfig),
		Uploads: queue.New(messaging, cfg.UploadQueue), DeadLetters: queue.New(messaging, cfg.DeadLetters),
		Now: time.Now, Jitter: boot.Jitter,
	}
	if cfg.SendsFiles {
		uploads, err := boot.Extend(cfg.Common, key, boot.Calls{Tries: 1, Transport: p.Transport}) // uploadTimeout bounds it
		if err != nil {
			return nil, err
		}
		p.File = send(boot.S3(awsConfig), uploads.Files)
	}
	h, err := NewHandler(cfg, p)
	if err != nil {
		return nil, err
	}
	return h.Handle, nil
}

// calls is how this function calls Extend: once, for the queue tries again, and knows
// when.
var calls = boot.Calls{Timeout: postTimeout, Tries: 1}

// Parts are what a Handler is made of besides its configuration: the world around the
// function. All are required.
type Parts struct {
	// Key is the API key; it is asked before anything is claimed.
	Key extend.KeyFunc
	// Transport carries the requests to Extend. It must not repeat one by itself.
	Transport            http.RoundTripper
	Ledger               *ledger.Ledger
	File                 File
	Uploads, DeadLetters Queue
	Now                  func() time.Time
	// Jitter is a number in [0,1).
	Jitter func() float64
}

// Queue is what a Handler does to a queue; *queue.Queue does it.
type Queue interface {
	// Delay makes a message that was received come back after d.
	Delay(ctx context.Context, receipt string, d time.Duration) error
	Send(context.Context, queue.Message) error
}

// NewHandler makes a Handler of its parts. The error names those that are missing.
func NewHandler(cfg Config, p Parts) (*Handler, error) {
	if err := boot.Complete(p); err != nil {
		return nil, err
	}
	c := calls
	c.Transport, c.Jitter = p.Transport, p.Jitter
	client, err := boot.Extend(cfg.Common, p.Key, c)
	if err != nil {
		return nil, err
	}
	return &Handler{
		Config: cfg, Parts: p, Runs: client.Runs, Limiter: NewRateLimiter(cfg.RequestsPerSecond, cfg.FilesPerSecond),
	}, nil
}
