// Package reconcile asks about what went quiet. Webhooks get lost, a cancelled run
// has no event at all, and a message can end where nobody looks: every minute this
// function takes the documents whose next look is overdue, the longest overdue
// first, and brings them on. The function itself, in lambda/, only serves what
// [New] returns.
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
	"extend-intake/shared/extend"
	"extend-intake/shared/ledger"
	"extend-intake/shared/queue"
	"extend-intake/shared/recorder"
)

// New returns the function's handler, wired from the environment. The error names
// every fault of it.
func New(ctx context.Context, getenv func(string) string) (func(context.Context, json.RawMessage) (Summary, error), error) {
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
		extend.WithRetry(extend.Retry{Attempts: 1})) // the next minute tries again
	if err != nil {
		return nil, err
	}
	l := ledger.New(dynamodb.NewFromConfig(awsConfig), cfg.Table, cfg.Rules, time.Now)
	resend := queue.New(sqs.NewFromConfig(awsConfig), cfg.UploadQueue).Requeue
	h := &Handler{
		Ledger: l, Runs: client.Runs, Requeue: resend,
		Recorder: &recorder.Recorder{
			Stack: cfg.Stack, Ledger: l, Runs: client.Runs, Requeue: resend,
			Put: blob.New(boot.S3(awsConfig), cfg.ResultsBucket).Put,
		},
		Limit: rate.NewLimiter(rate.Limit(cfg.RequestsPerSecond), 1),
		Grace: cfg.Rules.ReconcileAfter, StalledAfter: cfg.StalledAfter, Now: time.Now,
	}
	return h.Handle, nil
}
