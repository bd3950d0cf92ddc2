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

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"extend-intake/shared/blob"
	"extend-intake/shared/boot"
	"extend-intake/shared/extend"
	"extend-intake/shared/ledger"
	"extend-intake/shared/queue"
	"extend-intake/shared/recorder"
)

// A delivery is answered before the function, the gateway and Extend give up on it,
// which is after 29 or 30 seconds: an answer of ours says what is wrong, theirs does not.
const (
	answerTimeout = 25 * time.Second
	askTimeout    = 10 * time.Second // one question to Extend
)

// New returns the function's handler, wired from the environment. The error names
// every fault of it.
func New(ctx context.Context, getenv func(string) string) (func(context.Context, events.APIGatewayV2HTTPRequest) (events.APIGatewayV2HTTPResponse, error), error) {
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
		extend.WithHTTPClient(&http.Client{Timeout: askTimeout}),
		extend.WithRetry(extend.Retry{Attempts: 2})) // the delivery comes again
	if err != nil {
		return nil, err
	}
	h := &Handler{
		Secrets: secrets.WebhookSecrets,
		Runs:    client.Runs, FindRun: newPayloads(cfg.PayloadHosts).runID,
		Recorder: &recorder.Recorder{
			Stack: cfg.Stack, Runs: client.Runs,
			Ledger:  ledger.New(dynamodb.NewFromConfig(awsConfig), cfg.Table, cfg.Rules, time.Now),
			Put:     blob.New(boot.S3(awsConfig), cfg.ResultsBucket).Put,
			Requeue: queue.New(sqs.NewFromConfig(awsConfig), cfg.UploadQueue).Requeue,
		},
		Now: time.Now,
	}
	return h.Handle, nil
}
