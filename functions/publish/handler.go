package publish

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/aws/aws-lambda-go/events"
)

// Handler publishes the changes of documents. Make one with [NewHandler].
type Handler struct {
	parts   Parts
	busName string
}

// reserve is the time that is kept for the answer. A function that ends without one
// has its whole batch repeated.
const reserve = 5 * time.Second

// Handle publishes a batch of the table's stream, in its order. The first record that
// it could not publish is in the answer: the stream repeats it and all after it.
func (h *Handler) Handle(ctx context.Context, input json.RawMessage) (events.DynamoDBEventResponse, error) {
	answer := events.DynamoDBEventResponse{BatchItemFailures: []events.DynamoDBBatchItemFailure{}}
	// Record by record: one that is no stream record must not take the others with it.
	var batch struct{ Records []json.RawMessage }
	if err := json.Unmarshal(input, &batch); err != nil {
		return answer, fmt.Errorf("publish: not a batch of a DynamoDB stream: %w", err)
	}
	if batch.Records == nil {
		return answer, errors.New(`publish: not a batch of a DynamoDB stream: it has no "Records"`)
	}
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadlineCause(ctx, deadline.Add(-reserve), errors.New("the function's time is over"))
		defer cancel()
	}
	stopped, err := h.publish(ctx, batch.Records)
	if err == nil {
		return answer, nil
	}
	err = fmt.Errorf("publish %s: %w", stopped, err)
	stopped.log().ErrorContext(ctx, "not published, the stream repeats it", "error", err)
	if stopped.sequenceNumber == "" {
		return answer, err // the stream repeats the whole batch
	}
	answer.BatchItemFailures = append(answer.BatchItemFailures, events.DynamoDBBatchItemFailure{ItemIdentifier: stopped.sequenceNumber})
	return answer, nil
}

// publish publishes records until one fails, and returns that one. Everything before
// it is done.
func (h *Handler) publish(ctx context.Context, records []json.RawMessage) (*change, error) {
	var group []*change // to be put on the bus by one request
	size := 0
	flush := func() (*change, error) {
		stopped, err := h.put(ctx, group)
		group, size = nil, 0
		return stopped, err
	}
	for _, raw := range records {
		c, err := h.prepare(ctx, raw)
		if err != nil || !fits(group, size, c) {
			if stopped, err := flush(); err != nil {
				return stopped, err
			}
		}
		if p, ok := errors.AsType[*poison](err); ok {
			if err := h.sendDeadLetter(ctx, c, p); err != nil {
				return c, err
			}
			continue
		}
		if err != nil {
			return c, err
		}
		if c.entry != nil {
			group, size = append(group, c), size+c.size
		}
	}
	return flush()
}

// prepare reads a record and makes its event. The change has no entry when there is
// nothing to publish. The error is a *poison if the record itself is the reason; any
// other may be gone at the next try.
func (h *Handler) prepare(ctx context.Context, raw json.RawMessage) (c *change, err error) {
	c = &change{raw: raw}
	defer func() {
		if p := recover(); p != nil {
			// Left to Lambda, it would block the record's shard for hours.
			c.log().ErrorContext(ctx, "panic", "panic", p, "stack", string(debug.Stack()))
			err = poisonf("panic: %v", p)
		}
	}()
	rec, err := c.read()
	if rec == nil || err != nil {
		return c, err
	}
	return c, h.compose(ctx, c, rec)
}
