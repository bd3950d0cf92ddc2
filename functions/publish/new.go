// Package publish puts one event on the bus for every change of a document's result. It
// reads the table's stream, which is the outbox: nothing is published that is not stored,
// and nothing stored goes unpublished. The function itself, in lambda/, only serves what
// [New] returns.
//
// To learn what happens to a batch, read handler.go downward. What a stream record says
// is read in record.go and becomes an event in event.go; survives.go says which outputs
// are inline in it, bus.go puts it on the bus, and deadletter.go sends away what can't be
// published. What consumers rely on is in shared/event.
package publish

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	bustypes "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"extend-intake/shared/blob"
	"extend-intake/shared/boot"
	"extend-intake/shared/queue"
)

// New returns the function's handler, wired from the environment. The error names
// every problem with it.
func New(ctx context.Context, getenv func(string) string) (func(context.Context, json.RawMessage) (events.DynamoDBEventResponse, error), error) {
	cfg, err := LoadConfig(getenv)
	if err != nil {
		return nil, err
	}
	awsConfig, err := boot.AWS(getenv)
	if err != nil {
		return nil, err
	}
	bus := eventbridge.NewFromConfig(awsConfig)
	if err := checkBus(ctx, bus, cfg.EventBus); err != nil {
		return nil, err
	}
	h, err := NewHandler(cfg, Parts{
		Bus:            bus,
		Put:            blob.New(boot.S3(awsConfig), cfg.ResultsBucket, boot.Account(getenv("STACK"))).Put,
		SendDeadLetter: deadLetters(queue.New(sqs.NewFromConfig(awsConfig), cfg.DeadLetters)),
	})
	if err != nil {
		return nil, err
	}
	return h.Handle, nil
}

// Parts are what a Handler is made of besides its configuration. All are required.
type Parts struct {
	Bus Bus
	// Put stores bytes in the results bucket and says where.
	Put func(ctx context.Context, name string, body []byte) (location string, err error)
	// SendDeadLetter sends what can't be published to the dead-letter queue.
	SendDeadLetter func(context.Context, DeadLetter) error
}

// Bus is the one call of EventBridge that a Handler makes.
type Bus interface {
	PutEvents(context.Context, *eventbridge.PutEventsInput, ...func(*eventbridge.Options)) (*eventbridge.PutEventsOutput, error)
}

// NewHandler makes a Handler of its parts. The error names those that are missing.
func NewHandler(cfg Config, p Parts) (*Handler, error) {
	if err := boot.Complete(p); err != nil {
		return nil, err
	}
	return &Handler{parts: p, busName: cfg.EventBus}, nil
}

// checkBus refuses to start without the bus. PutEvents would not: it takes events for
// a bus that does not exist, says that all is well, and drops them
// (https://github.com/aws/aws-cli/issues/9186).
func checkBus(ctx context.Context, client *eventbridge.Client, name string) error {
	_, err := client.DescribeEventBus(ctx, &eventbridge.DescribeEventBusInput{Name: &name})
	if _, ok := errors.AsType[*bustypes.ResourceNotFoundException](err); ok {
		return fmt.Errorf("event bus %q does not exist: let the parameter EventBusName name a bus of this account and region, or leave it empty: %w", name, err)
	}
	if err != nil {
		// Not knowing is no reason to publish nothing.
		slog.WarnContext(ctx, "event bus not checked", "bus", name, "error", err)
	}
	return nil
}

// deadLetters sends dead letters to the dead-letter queue.
func deadLetters(q *queue.Queue) func(context.Context, DeadLetter) error {
	return func(ctx context.Context, d DeadLetter) error {
		return q.Send(ctx, queue.Message{Body: d.Body, Attributes: map[string]string{
			"reason": d.Reason, "documentId": d.DocumentID, "revision": d.Revision, "sequenceNumber": d.SequenceNumber,
		}})
	}
}
