package submit

import (
	"context"
	"encoding/json"
	"fmt"

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
	for _, m := range batch.Records {
		if !h.receive(ctx, m) {
			response.BatchItemFailures = append(response.BatchItemFailures, events.SQSBatchItemFailure{ItemIdentifier: m.MessageId})
		}
	}
	return response, nil
}
