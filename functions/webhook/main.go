// Webhook takes Extend's deliveries and stores what they say.
//
// To learn what happens to a delivery, read handler.go downward; what is answered
// is in status.go, and what becomes of a verified run in shared/outcome.
package main

import (
	"context"
	"net/http"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"extend-intake/shared/boot"
	"extend-intake/shared/extend"
	"extend-intake/shared/ledger"
	"extend-intake/shared/outcome"
)

func main() { boot.Run(newHandler) }

// askTimeout bounds a question to Extend: a delivery is answered within 30 seconds.
const askTimeout = 10 * time.Second

func newHandler(ctx context.Context, getenv func(string) string) (func(context.Context, events.APIGatewayV2HTTPRequest) (events.APIGatewayV2HTTPResponse, error), error) {
	cfg, err := loadConfig(getenv)
	if err != nil {
		return nil, err
	}
	awsConfig, err := boot.AWS(ctx)
	if err != nil {
		return nil, err
	}
	secrets := boot.NewSecrets(secretsmanager.NewFromConfig(awsConfig), cfg.secretID, getenv, time.Now)
	client, err := extend.NewClient(secrets.APIKey,
		extend.WithBaseURL(cfg.baseURL.String()), extend.WithWorkspace(cfg.workspace),
		extend.WithHTTPClient(&http.Client{Timeout: askTimeout}))
	if err != nil {
		return nil, err
	}
	h := &handler{
		secrets: secrets.WebhookSecrets,
		runs:    client.Runs,
		recorder: &outcome.Recorder{
			Stack: cfg.stack, Runs: client.Runs,
			Ledger: ledger.New(dynamodb.NewFromConfig(awsConfig), cfg.table, cfg.rules, time.Now),
			Keep:   boot.Keeper(boot.S3(awsConfig), cfg.resultsBucket),
			Resend: boot.Resender(sqs.NewFromConfig(awsConfig), cfg.uploadQueue),
		},
		now: time.Now,
	}
	return h.handle, nil
}
