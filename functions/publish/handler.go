package publish

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"extend-intake/shared/metric"
)

// Handler announces changes. Make one with [NewHandler].
type Handler struct {
	parts   Parts
	busName string
}

// DeadLetter is a stream record that can't be announced.
type DeadLetter struct {
	// Body is an input of this function with the record alone in it, so that whoever
	// has mended the cause can invoke the function with it:
	//
	//	{"Records": […]}
	//
	// What is too large for a message is in the results bucket, and the body is
	//
	//	{"recordsLocation": "s3://…"}
	Body   string
	Reason string
	// The others are empty if the record does not say.
	DocumentID, Revision, SequenceNumber string
}

// reserve is the time that is kept for the answer. A function that ends without one
// has its whole batch repeated.
const reserve = 5 * time.Second

// Handle takes a batch of the table's stream, in its order. What it could not
// announce, and all after it, comes again.
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
	stopped.log().ErrorContext(ctx, "not published, it comes again", "error", err)
	if stopped.sequenceNumber == "" {
		return answer, err // the whole batch comes again
	}
	answer.BatchItemFailures = append(answer.BatchItemFailures, events.DynamoDBBatchItemFailure{ItemIdentifier: stopped.sequenceNumber})
	return answer, nil
}

// publish announces records until one can't be, and returns that one. Everything
// before it is done.
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
		if f, ok := errors.AsType[*fault](err); ok {
			err = h.bury(ctx, c, f)
			if err != nil {
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

// fault is a fault of a record itself: trying again does not help.
type fault struct{ reason string }

func (f *fault) Error() string { return f.reason }

func faultf(format string, args ...any) *fault { return &fault{fmt.Sprintf(format, args...)} }

// prepare reads a record and makes its event. The change has no entry when there is
// nothing to announce. A *fault is the record's; any other error passes.
func (h *Handler) prepare(ctx context.Context, raw json.RawMessage) (c *change, err error) {
	c = &change{raw: raw}
	defer func() {
		if p := recover(); p != nil {
			// Left to Lambda, it would stop the stream for hours.
			c.log().ErrorContext(ctx, "panic", "panic", p, "stack", string(debug.Stack()))
			err = faultf("panic: %v", p)
		}
	}()
	rec, err := c.read()
	if rec == nil || err != nil {
		return c, err
	}
	return c, h.compose(ctx, c, rec)
}

// maxLetter keeps a letter below the size that any queue takes, 256 KB with attributes.
const maxLetter = 200_000

// bury sends a record to the dead-letter queue.
func (h *Handler) bury(ctx context.Context, c *change, f *fault) error {
	body := fmt.Appendf(nil, `{"Records":[%s]}`, c.raw)
	// SQS refuses two characters that JSON allows.
	// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
	if len(body) > maxLetter || bytes.ContainsAny(body, "\uFFFE\uFFFF") {
		sum := sha256.Sum256(c.raw)
		location, err := h.parts.Put(ctx, "announced/dead/"+cmp.Or(c.sequenceNumber, hex.EncodeToString(sum[:16]))+".json", body)
		if err != nil {
			return fmt.Errorf("keep the dead letter: %w", err)
		}
		if body, err = json.Marshal(map[string]string{"recordsLocation": location}); err != nil {
			return err
		}
	}
	reason := f.reason[:min(len(f.reason), 1000)]
	err := h.parts.SendDeadLetter(ctx, DeadLetter{Body: string(body), Reason: reason, DocumentID: c.documentID, Revision: c.revision, SequenceNumber: c.sequenceNumber})
	if err != nil {
		return fmt.Errorf("dead-letter queue: %w", err)
	}
	c.log().ErrorContext(ctx, "sent to the dead-letter queue", "reason", reason, metric.DeadLetters.One())
	return nil
}
