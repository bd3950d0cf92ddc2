// Package reconcile finds out what became of overdue documents. Webhooks get lost, a
// cancelled run has no event at all, and a message can end in a dead-letter queue: every
// minute this function takes the documents whose next check is overdue, the longest
// overdue first. It asks Extend about those that have a run, and requeues the others. The
// function itself, in lambda/, only serves what [New] returns.
package reconcile

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"golang.org/x/time/rate"

	"extend-intake/shared/blob"
	"extend-intake/shared/boot"
	"extend-intake/shared/document"
	"extend-intake/shared/extend"
	"extend-intake/shared/ledger"
	"extend-intake/shared/queue"
	"extend-intake/shared/recorder"
	"extend-intake/shared/target"
)

// calls is how this function calls Extend: once, for the next invocation is a minute away.
var calls = boot.Calls{Timeout: askTimeout, Tries: 1}

// New returns the function's handler, wired from the environment. The error names
// everything that is wrong with it.
func New(ctx context.Context, getenv func(string) string) (func(context.Context, json.RawMessage) (Summary, error), error) {
	cfg, err := LoadConfig(getenv)
	if err != nil {
		return nil, err
	}
	awsConfig, err := boot.AWS(getenv)
	if err != nil {
		return nil, err
	}
	secrets := secretsmanager.NewFromConfig(awsConfig)
	h, err := NewHandler(cfg, Parts{
		Key:       boot.NewSecrets(secrets, cfg.SecretID, getenv, time.Now).APIKey,
		TagKeys:   boot.TagKeys(secrets, cfg.TagSecretID, getenv, time.Now),
		Transport: http.DefaultTransport,
		Ledger:    ledger.New(dynamodb.NewFromConfig(awsConfig), cfg.Table, cfg.Rules, time.Now),
		Put:       blob.New(boot.S3(awsConfig), cfg.ResultsBucket, boot.Account(getenv("STACK"))).Put,
		Requeue:   queue.New(sqs.NewFromConfig(awsConfig), cfg.UploadQueue).Requeue,
		Now:       time.Now,
	})
	if err != nil {
		return nil, err
	}
	return h.Handle, nil
}

// Parts are what a Handler is made of besides its configuration: the world around the
// function. All are required.
type Parts struct {
	Key extend.KeyFunc
	// TagKeys are those that the stack signs its tags with.
	TagKeys document.KeyFunc
	// Transport carries the requests to Extend.
	Transport http.RoundTripper
	Ledger    *ledger.Ledger
	// Put is the recorder's.
	Put func(ctx context.Context, name string, output []byte) (location string, err error)
	// Requeue sends a document to the upload queue once more.
	Requeue func(context.Context, document.Source) error
	Now     func() time.Time
}

// NewHandler makes a Handler of its parts. The error names those that are missing.
func NewHandler(cfg Config, p Parts) (*Handler, error) {
	if err := boot.Complete(p); err != nil {
		return nil, err
	}
	c := calls
	c.Transport = p.Transport
	client, err := boot.Extend(cfg.Common, p.Key, c)
	if err != nil {
		return nil, err
	}
	rec, err := recorder.New(recorder.Parts{Stack: cfg.Stack, TagKeys: p.TagKeys, Ledger: p.Ledger, Runs: target.Runs{Client: client}, Put: p.Put, Requeue: p.Requeue})
	if err != nil {
		return nil, err
	}
	return &Handler{
		ledger: p.Ledger, runs: target.Runs{Client: client}, recorder: rec, requeue: p.Requeue, put: p.Put, now: p.Now,
		limiter: rate.NewLimiter(rate.Limit(cfg.RequestsPerSecond), 1),
		grace:   cfg.Rules.ReconcileAfter, stalledAfter: cfg.StalledAfter,
	}, nil
}
