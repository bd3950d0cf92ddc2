package boot

import (
	"bytes"
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"extend-intake/shared/document"
)

// Requeuer returns a function that puts a document's notice into the upload queue
// once more. More notices than one do no harm.
func Requeuer(client *sqs.Client, queueURL string) func(context.Context, document.Source) error {
	return func(ctx context.Context, s document.Source) error {
		_, err := client.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: &queueURL, MessageBody: aws.String(string(s.Notice()))})
		return err
	}
}

// Putter returns a function that stores bytes in a bucket and says where, as
// s3://bucket/name.
func Putter(client *s3.Client, bucket string) func(ctx context.Context, name string, body []byte) (string, error) {
	return func(ctx context.Context, name string, body []byte) (string, error) {
		_, err := client.PutObject(ctx, &s3.PutObjectInput{Bucket: &bucket, Key: &name, Body: bytes.NewReader(body), ContentType: aws.String("application/json")})
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("s3://%s/%s", bucket, name), nil
	}
}
