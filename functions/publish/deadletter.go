package publish

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"extend-intake/shared/metric"
	"extend-intake/shared/queue"
)

// DeadLetter is a stream record that can't be published.
type DeadLetter struct {
	// Body is an input of this function with only this record in it, so that the
	// function can be invoked with it once the cause is fixed:
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

// poison is why a record can't be published, however often it is tried.
type poison struct{ reason string }

func (p *poison) Error() string { return p.reason }

func poisonf(format string, args ...any) *poison { return &poison{fmt.Sprintf(format, args...)} }

const (
	// maxDeadLetter keeps a dead letter below the size that any queue takes, 256 KB with attributes.
	maxDeadLetter = 200_000
	// maxReason bounds the reason, which can have texts of the item and of the bus in it.
	maxReason = 1000
)

// sendDeadLetter sends a poison record to the dead-letter queue.
func (h *Handler) sendDeadLetter(ctx context.Context, c *change, p *poison) error {
	body := fmt.Appendf(nil, `{"Records":[%s]}`, c.raw)
	if len(body) > maxDeadLetter || !queue.Takes(string(body)) {
		sum := sha256.Sum256(c.raw)
		location, err := h.parts.Put(ctx, "announced/dead/"+cmp.Or(c.sequenceNumber, hex.EncodeToString(sum[:16]))+".json", body)
		if err != nil {
			return fmt.Errorf("store the dead letter: %w", err)
		}
		if body, err = json.Marshal(map[string]string{"recordsLocation": location}); err != nil {
			return err
		}
	}
	reason := queue.Clean(p.reason, maxReason)
	err := h.parts.SendDeadLetter(ctx, DeadLetter{Body: string(body), Reason: reason, DocumentID: c.documentID, Revision: c.revision, SequenceNumber: c.sequenceNumber})
	if err != nil {
		return fmt.Errorf("dead-letter queue: %w", err)
	}
	c.log().ErrorContext(ctx, "sent to the dead-letter queue", "reason", reason, metric.DeadLetters.One())
	return nil
}
