package publish

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"extend-intake/shared/metric"
)

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

// fault is a fault of a record itself: trying again does not help.
type fault struct{ reason string }

func (f *fault) Error() string { return f.reason }

func faultf(format string, args ...any) *fault { return &fault{fmt.Sprintf(format, args...)} }

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
