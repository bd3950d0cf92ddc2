// Package submit takes upload events and makes one run at Extend of each document.
// The function itself, in lambda/, only serves what [New] returns.
//
// An upload goes from file to file: batch.go (what the queue hands over), message.go (one
// message of it), attempt.go (one document: claim, POST, result) and, where the answer to
// an earlier POST was lost, search.go. postresult.go is the table of what each answer of
// Extend leads to.
package submit

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"extend-intake/shared/boot"
	"extend-intake/shared/extend"
	"extend-intake/shared/ledger"
	"extend-intake/shared/queue"
)

// New returns the function's handler, made from the environment. With an environment
// that can't be used it serves all the same, and answers every event with all that is
// wrong: CloudFormation shows that to whoever deploys the template.
func New(_ context.Context, getenv func(string) string) (func(context.Context, json.RawMessage) (any, error), error) {
	h, err := fromEnvironment(getenv)
	if err != nil {
		return withCustomResource(err, func(context.Context, json.RawMessage) (any, error) { return nil, err }), nil
	}
	return withCustomResource(nil, h.Handle), nil
}

func fromEnvironment(getenv func(string) string) (*Handler, error) {
	cfg, err := LoadConfig(getenv)
	if err != nil {
		return nil, err
	}
	awsConfig, err := boot.AWS(getenv)
	if err != nil {
		return nil, err
	}
	secrets := boot.NewSecrets(secretsmanager.NewFromConfig(awsConfig), cfg.SecretID, getenv, time.Now)
	client, err := extend.NewClient(secrets.APIKey,
		extend.WithBaseURL(cfg.BaseURL.String()), extend.WithWorkspace(cfg.Workspace),
		extend.WithHTTPClient(&http.Client{Timeout: postTimeout, Transport: freshConnections()}),
		extend.WithRetry(extend.Retry{Attempts: 1})) // the queue tries again, and knows when
	if err != nil {
		return nil, err
	}
	messaging := sqs.NewFromConfig(awsConfig)
	h := &Handler{
		Config: cfg, Key: secrets.APIKey, Runs: client.Runs,
		Ledger:  ledger.New(dynamodb.NewFromConfig(awsConfig), cfg.Table, cfg.Rules, time.Now),
		File:    link(awsConfig),
		Queue:   messages{queue.New(messaging, cfg.UploadQueue), queue.New(messaging, cfg.DeadLetters)},
		Limiter: NewRateLimiter(cfg.RequestsPerSecond, cfg.FilesPerSecond),
		Now:     time.Now, Jitter: rand.Float64,
	}
	if cfg.SendsFiles {
		uploads, err := extend.NewClient(secrets.APIKey,
			extend.WithBaseURL(cfg.BaseURL.String()), extend.WithWorkspace(cfg.Workspace),
			extend.WithHTTPClient(&http.Client{Transport: freshConnections()})) // uploadTimeout bounds it
		if err != nil {
			return nil, err
		}
		h.File = send(boot.S3(awsConfig), uploads.Files)
	}
	return h, nil
}

// freshConnections opens a connection for each request. One that was kept while
// the function was frozen may be dead, and a POST that dies with it has an unknown
// outcome: ten minutes of searching to save a handshake.
func freshConnections() http.RoundTripper {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DisableKeepAlives = true
	return t
}

// messages are the upload queue and its dead-letter queue.
type messages struct{ uploads, deadLetters *queue.Queue }

func (m messages) Delay(ctx context.Context, receipt string, d time.Duration) error {
	return m.uploads.Delay(ctx, receipt, d)
}

func (m messages) Requeue(ctx context.Context, body string, errors int, d time.Duration) error {
	return m.uploads.Send(ctx, queue.Message{Body: body, Delay: d, Attributes: map[string]string{errorsAttribute: strconv.Itoa(errors)}})
}

func (m messages) DeadLetter(ctx context.Context, body, reason string) error {
	return m.deadLetters.Send(ctx, queue.Message{Body: body, Attributes: map[string]string{"reason": reason}})
}
