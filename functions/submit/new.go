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
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"extend-intake/shared/boot"
	"extend-intake/shared/ledger"
	"extend-intake/shared/queue"
)

// New returns the function's handler, made from the environment. With an environment
// that can't be used it serves all the same, and answers every event with all that is
// wrong: CloudFormation shows that to whoever deploys the template.
func New(_ context.Context, getenv func(string) string) (func(context.Context, json.RawMessage) (any, error), error) {
	h, err := fromEnvironment(getenv)
	if err != nil {
		return withCustomResource(err, getenv("AWS_ENDPOINT_URL"), func(context.Context, json.RawMessage) (any, error) { return nil, err }), nil
	}
	return withCustomResource(nil, getenv("AWS_ENDPOINT_URL"), h.Handle), nil
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
	messages, secrets := sqs.NewFromConfig(awsConfig), secretsmanager.NewFromConfig(awsConfig)
	return NewHandler(cfg, Parts{
		Transport:   boot.FreshConnections(),
		Key:         boot.NewSecrets(secrets, cfg.SecretID, getenv, time.Now).APIKey,
		TagKeys:     boot.TagKeys(secrets, cfg.TagSecretID, getenv, time.Now),
		Ledger:      ledger.New(dynamodb.NewFromConfig(awsConfig), cfg.Table, cfg.Rules, time.Now),
		Bucket:      newS3Bucket(awsConfig, cfg.BucketOwner),
		Uploads:     queue.New(messages, cfg.UploadQueue),
		DeadLetters: queue.New(messages, cfg.DeadLetterQueue),
		Now:         time.Now,
		Jitter:      boot.Jitter,
	})
}
