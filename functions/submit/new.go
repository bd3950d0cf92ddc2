// Package submit takes upload notices and makes one run at Extend of each
// document. The function itself, in lambda/, only serves what [New] returns.
//
// To learn what happens to an upload, read handler.go downward; what each answer
// of Extend leads to is the table in outcome.go.
package submit

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"extend-intake/shared/boot"
	"extend-intake/shared/document"
	"extend-intake/shared/extend"
	"extend-intake/shared/ledger"
)

// New returns the function's handler, wired from the environment. The error names
// every fault of it.
func New(ctx context.Context, getenv func(string) string) (func(context.Context, json.RawMessage) (any, error), error) {
	cfg, err := LoadConfig(getenv)
	if err != nil {
		return nil, err
	}
	awsConfig, err := boot.AWS(ctx)
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
	h := &Handler{
		Config: cfg, Key: secrets.APIKey, Runs: client.Runs,
		Ledger: ledger.New(dynamodb.NewFromConfig(awsConfig), cfg.Table, cfg.Rules, time.Now),
		Link:   linker(awsConfig),
		Queue:  sqsQueue{sqs.NewFromConfig(awsConfig), cfg.UploadQueue, cfg.DeadLetters},
		Pace:   NewPace(cfg.RequestsPerSecond, cfg.FilesPerSecond),
		Now:    time.Now, Jitter: rand.Float64,
	}
	return h.Handle, nil
}

// freshConnections opens a connection for each request. One that was kept while
// the function was frozen may be dead, and a POST that dies with it has an unknown
// outcome: ten minutes of looking to save a handshake.
func freshConnections() http.RoundTripper {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DisableKeepAlives = true
	return t
}

// linkLife is how long Extend can fetch the file. It does so at once as a rule;
// under load the fetch can lag. A link that lives shorter than minLinkLife would
// cost an attempt.
const (
	linkLife    = time.Hour
	minLinkLife = 5 * time.Minute
)

// linker presigns a GET of exactly the Source's version.
func linker(cfg aws.Config) func(context.Context, document.Source) (string, error) {
	presign := s3.NewPresignClient(boot.S3(cfg))
	return func(ctx context.Context, s document.Source) (string, error) {
		life := linkLife
		credentials, err := cfg.Credentials.Retrieve(ctx)
		if err != nil {
			return "", fmt.Errorf("presign %s: %w", s, err)
		}
		if credentials.CanExpire {
			life = min(life, time.Until(credentials.Expires)) // a link dies with the credentials that signed it (Lambda's own don't say when)
		}
		if life < minLinkLife {
			return "", fmt.Errorf("presign %s: the credentials end in %v, too soon for Extend to fetch the file", s, life.Round(time.Second))
		}
		in := &s3.GetObjectInput{Bucket: &s.Bucket, Key: &s.Key}
		if s.VersionID != "" {
			in.VersionId = &s.VersionID
		}
		r, err := presign.PresignGetObject(ctx, in, s3.WithPresignExpires(life))
		if err != nil {
			return "", fmt.Errorf("presign %s: %w", s, err)
		}
		return r.URL, nil
	}
}

type sqsQueue struct {
	client               *sqs.Client
	uploads, deadLetters string
}

func (q sqsQueue) Delay(ctx context.Context, receipt string, d time.Duration) error {
	_, err := q.client.ChangeMessageVisibility(ctx, &sqs.ChangeMessageVisibilityInput{
		QueueUrl: &q.uploads, ReceiptHandle: &receipt, VisibilityTimeout: int32(d / time.Second),
	})
	return err
}

func (q sqsQueue) Again(ctx context.Context, body string, faults int, d time.Duration) error {
	_, err := q.client.SendMessage(ctx, &sqs.SendMessageInput{
		QueueUrl: &q.uploads, MessageBody: &body, DelaySeconds: int32(d / time.Second),
		MessageAttributes: map[string]types.MessageAttributeValue{
			faultsAttribute: {DataType: aws.String("Number"), StringValue: aws.String(strconv.Itoa(faults))},
		},
	})
	return err
}

func (q sqsQueue) Bury(ctx context.Context, body, reason string) error {
	// SQS refuses control characters, and a reason can quote anything.
	reason = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == 0xFFFE || r == 0xFFFF {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(reason, "?"))
	_, err := q.client.SendMessage(ctx, &sqs.SendMessageInput{
		QueueUrl: &q.deadLetters, MessageBody: &body,
		MessageAttributes: map[string]types.MessageAttributeValue{
			"reason": {DataType: aws.String("String"), StringValue: &reason},
		},
	})
	return err
}
