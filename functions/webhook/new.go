// Package webhook takes Extend's deliveries and stores what they say. The function
// itself, in lambda/, only serves what [New] returns.
//
// To learn what happens to a delivery, read handler.go downward; what is answered
// is in status.go, and what becomes of a verified run in shared/recorder.
package webhook

import (
	"context"
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

// AnswerTimeout is how long a delivery takes at most. It is answered before the function,
// the gateway and Extend give up, after 29 or 30 seconds: only our answer and our log line
// say what is wrong.
const AnswerTimeout = 25 * time.Second

// askTimeout bounds one request to Extend.
const askTimeout = 10 * time.Second

// calls is how this function calls Extend: twice at most, for Extend repeats the delivery.
var calls = boot.Calls{Timeout: askTimeout, Tries: 2}

// New returns the function's handler, wired from the environment. The error names
// everything that is wrong with it.
func New(ctx context.Context, getenv func(string) string) (*Handler, error) {
	cfg, err := LoadConfig(getenv)
	if err != nil {
		return nil, err
	}
	awsConfig, err := boot.AWS(getenv)
	if err != nil {
		return nil, err
	}
	secretsManager := secretsmanager.NewFromConfig(awsConfig)
	secrets := boot.NewSecrets(secretsManager, cfg.SecretID, getenv, time.Now)
	return NewHandler(cfg, Parts{
		Key: secrets.APIKey, Secrets: secrets.WebhookSecrets, TagKeys: boot.TagKeys(secretsManager, cfg.TagSecretID, getenv, time.Now),
		Transport: http.DefaultTransport, Links: linkTransport(),
		Ledger:  ledger.New(dynamodb.NewFromConfig(awsConfig), cfg.Table, cfg.Rules, time.Now),
		Put:     blob.New(boot.S3(awsConfig), cfg.ResultsBucket, boot.Account(getenv("STACK"))).Put,
		Requeue: queue.New(sqs.NewFromConfig(awsConfig), cfg.UploadQueue).Requeue,
		Now:     time.Now, Jitter: boot.Jitter,
	})
}

// Parts are what a Handler is made of besides its configuration: the world around the
// function. All are required.
type Parts struct {
	Key extend.KeyFunc
	// Secrets are those that a delivery may be signed with; refresh has them read once more.
	Secrets func(ctx context.Context, refresh bool) ([]string, error)
	// TagKeys are those that the stack signs its tags with.
	TagKeys document.KeyFunc
	// Transport carries the requests to Extend, Links those for what a delivery points to.
	Transport, Links http.RoundTripper
	Ledger           *ledger.Ledger
	// Put and Requeue are the recorder's.
	Put     func(ctx context.Context, name string, output []byte) (location string, err error)
	Requeue func(context.Context, document.Source) error
	Now     func() time.Time
	// Jitter is a number in [0,1).
	Jitter func() float64
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
	runs := paced{target.Runs{Client: client}, rate.NewLimiter(rate.Limit(cfg.RequestsPerSecond), burst)}
	rec, err := recorder.New(recorder.Parts{Stack: cfg.Stack, TagKeys: p.TagKeys, Ledger: p.Ledger, Runs: runs, Put: p.Put, Requeue: p.Requeue})
	if err != nil {
		return nil, err
	}
	return &Handler{
		secrets: p.Secrets, runs: runs, findRun: newPayloads(cfg.PayloadHosts, p.Links).runID,
		recorder: rec, ledger: p.Ledger, put: p.Put, now: p.Now,
	}, nil
}
