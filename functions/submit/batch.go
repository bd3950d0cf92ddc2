package submit

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/aws/aws-lambda-go/events"
)

// Handle takes a batch of the upload queue or, for a stack without a queue and for
// `sam local invoke`, a bare S3 or EventBridge event.
func (h *Handler) Handle(ctx context.Context, event json.RawMessage) (any, error) {
	var batch events.SQSEvent
	if err := json.Unmarshal(event, &batch); err != nil || len(batch.Records) == 0 || batch.Records[0].EventSource != "aws:sqs" {
		if d := h.body(ctx, string(event), 1); d.kind != done {
			return nil, fmt.Errorf("not done: %s", d.reason) // Lambda invokes again
		}
		return nil, nil
	}
	// Each message that is not done is named; the others are deleted. An empty
	// list, which must not be null, means that all are done.
	response := events.SQSEventResponse{BatchItemFailures: []events.SQSBatchItemFailure{}}
	done := h.receiveAll(ctx, batch.Records)
	for i, m := range batch.Records {
		if !done[i] {
			response.BatchItemFailures = append(response.BatchItemFailures, events.SQSBatchItemFailure{ItemIdentifier: m.MessageId})
		}
	}
	return response, nil
}

// receiveAll handles messages side by side: a file that takes long to be sent, or a POST
// that takes long to be answered, must not keep the others from using the plan's rate,
// which the rate limiter keeps for all of them together.
func (h *Handler) receiveAll(ctx context.Context, messages []events.SQSMessage) (done []bool) {
	done = make([]bool, len(messages))
	if h.config.SideBySide < 2 {
		for i, m := range messages {
			done[i] = h.receive(ctx, m)
		}
		return done
	}
	slots := make(chan struct{}, h.config.SideBySide)
	var all sync.WaitGroup
	for i, m := range messages {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			done[i] = h.receive(ctx, m)
		})
	}
	all.Wait()
	return done
}
