// Package queue is the one home of what is done to messages of the upload queue and
// of the dead-letter queues: putting off, sending, and cleaning the texts that SQS
// would refuse.
//
//	uploads := queue.New(sqs.NewFromConfig(cfg), uploadQueueURL)
//	err := uploads.Requeue(ctx, source) // submit takes the document up again
package queue

import (
	"context"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"extend-intake/shared/document"
)

// Queue is one SQS queue.
type Queue struct {
	client *sqs.Client
	url    string
}

// New returns the queue with this URL.
func New(client *sqs.Client, url string) *Queue { return &Queue{client, url} }

// Delay makes a message that was received come back after d, which is rounded down
// to seconds. SQS takes at most twelve hours.
func (q *Queue) Delay(ctx context.Context, receipt string, d time.Duration) error {
	_, err := q.client.ChangeMessageVisibility(ctx, &sqs.ChangeMessageVisibilityInput{
		QueueUrl: &q.url, ReceiptHandle: &receipt, VisibilityTimeout: int32(d / time.Second), // #nosec G115 -- twelve hours at most
	})
	return err
}

// Message is a message to be sent.
type Message struct {
	Body string
	// Attributes are sent as text, cleaned by [Clean]; empty ones, which SQS refuses,
	// are left out.
	Attributes map[string]string
	// Delay is how long the message stays invisible, rounded down to seconds: at most
	// fifteen minutes.
	Delay time.Duration
}

// Send puts a message into the queue.
func (q *Queue) Send(ctx context.Context, m Message) error {
	in := &sqs.SendMessageInput{
		QueueUrl: &q.url, MessageBody: &m.Body, DelaySeconds: int32(m.Delay / time.Second), // #nosec G115 -- fifteen minutes at most
	}
	for name, value := range m.Attributes {
		if value = Clean(value, maxAttribute); value != "" {
			if in.MessageAttributes == nil {
				in.MessageAttributes = make(map[string]types.MessageAttributeValue)
			}
			in.MessageAttributes[name] = types.MessageAttributeValue{DataType: aws.String("String"), StringValue: &value}
		}
	}
	_, err := q.client.SendMessage(ctx, in)
	return err
}

// Requeue sends a document to the upload queue once more.
func (q *Queue) Requeue(ctx context.Context, s document.Source) error {
	return q.Send(ctx, Message{Body: document.RequeueMessage(s)})
}

// maxAttribute bounds an attribute: a message is 256 KB with all of them.
const maxAttribute = 1000

// Takes reports whether SQS takes a text in a message. One character that it refuses, and
// it refuses the whole message.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
func Takes(text string) bool {
	return utf8.ValidString(text) && strings.IndexFunc(text, refused) < 0
}

func refused(r rune) bool {
	return r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0xFFFE || r == 0xFFFF
}

// Replace puts U+FFFD in the place of what [Takes] is false for.
func Replace(text string) string {
	return strings.Map(func(r rune) rune {
		if refused(r) {
			return utf8.RuneError
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
}

// Clean makes a text for people fit for a message: like [Replace], on one line, of at
// most max bytes.
func Clean(text string, max int) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return utf8.RuneError
		}
		return r
	}, Replace(text))
	if len(text) > max {
		text = strings.ToValidUTF8(text[:max], "")
	}
	return text
}
