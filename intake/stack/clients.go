package stack

import (
	"context"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"extend-intake/shared/boot"
	"extend-intake/shared/extend"
	"extend-intake/shared/ledger"
)

// Ledger is the documents' table.
func (s *Stack) Ledger() *ledger.Ledger {
	return ledger.New(s.DynamoDB(), s.Table(), ledger.DefaultRules, time.Now)
}

// Reader reads many documents of the table at once.
func (s *Stack) Reader() *ledger.Reader { return ledger.NewReader(s.DynamoDB(), s.Table()) }

// Table is the name of the documents' table.
func (s *Stack) Table() string { return s.Outputs["DocumentsTableName"] }

// Bucket is the name of the bucket whose uploads are read.
func (s *Stack) Bucket() string { return s.Outputs["UploadBucketName"] }

// DynamoDB and the methods below are clients in the stack's region.
func (s *Stack) DynamoDB() *dynamodb.Client { return dynamodb.NewFromConfig(s.Config) }

// S3 is a client.
func (s *Stack) S3() *s3.Client { return boot.S3(s.Config) }

// SQS is a client.
func (s *Stack) SQS() *sqs.Client { return sqs.NewFromConfig(s.Config) }

// Logs is a client of CloudWatch Logs.
func (s *Stack) Logs() *cloudwatchlogs.Client { return cloudwatchlogs.NewFromConfig(s.Config) }

// CloudWatch is a client.
func (s *Stack) CloudWatch() *cloudwatch.Client { return cloudwatch.NewFromConfig(s.Config) }

// Lambda is a client.
func (s *Stack) Lambda() *lambda.Client { return lambda.NewFromConfig(s.Config) }

// STS is a client.
func (s *Stack) STS() *sts.Client { return sts.NewFromConfig(s.Config) }

// Secrets is a client of Secrets Manager.
func (s *Stack) Secrets() *secretsmanager.Client { return secretsmanager.NewFromConfig(s.Config) }

// Secret reads the API key and the webhook secrets of the stack.
func (s *Stack) Secret() *boot.Secrets {
	return boot.NewSecrets(s.Secrets(), s.Outputs["ExtendSecretArn"], func(string) string { return "" }, time.Now)
}

// Extend is a client of Extend with the stack's own key, which is read from its secret when
// the client is first used. One call takes 20 seconds at most.
func (s *Stack) Extend() (*extend.Client, error) {
	secret := s.Secret()
	return s.ExtendWith(func(ctx context.Context) (string, error) { return secret.APIKey(ctx) })
}

// ExtendWith is Extend with another key.
func (s *Stack) ExtendWith(key func(context.Context) (string, error)) (*extend.Client, error) {
	return extend.NewClient(key,
		extend.WithBaseURL(s.Parameters["ExtendBaseUrl"]), extend.WithWorkspace(s.Parameters["ExtendWorkspaceId"]),
		extend.WithHTTPClient(&http.Client{Timeout: 20 * time.Second}))
}
