package publish

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	bustypes "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/smithy-go"
)

const (
	maxEntries = 10 // of a request, says EventBridge
	// maxTries bounds the requests for entries that the bus did not take. Between them
	// lie 100, 200 and 400 ms; whatever lasts longer is for the stream to repeat.
	maxTries  = 4
	firstWait = 100 * time.Millisecond
)

// fits reports whether a change can go on the bus together with a group. Two events
// of one document never do: the bus can fail the first and take the second.
func fits(group []*change, size int, c *change) bool {
	return len(group) < maxEntries && size+c.size <= maxBytes &&
		!slices.ContainsFunc(group, func(other *change) bool { return c.entry != nil && other.documentID == c.documentID })
}

// entryRefusals are the codes with which the bus refuses an entry for its contents. All
// others are about the bus, the role or the moment.
// https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEventsResultEntry.html
var entryRefusals = []string{"MalformedDetail", "InvalidArgument", "RedactionFailure"}

// put puts a group on the bus. What the bus fails is tried again entry by entry; if
// some of it is still not there in the end, the first of that is returned.
func (h *Handler) put(ctx context.Context, group []*change) (*change, error) {
	wait := firstWait
	for try := 1; len(group) > 0; try++ {
		failed, err := h.request(ctx, group)
		if len(failed) == 0 && err != nil {
			return group[0], err
		}
		if len(failed) > 0 && try == maxTries {
			return failed[0], fmt.Errorf("after %d tries: %w", try, err)
		}
		if group = failed; len(group) == 0 {
			break
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return group[0], fmt.Errorf("%w (%w)", err, context.Cause(ctx))
		case <-timer.C:
			wait *= 2
		}
	}
	return nil, nil
}

// request puts entries on the bus once. It returns those that another try may help,
// with the reason; none and an error mean that nothing is known to be on the bus.
func (h *Handler) request(ctx context.Context, group []*change) (failed []*change, reason error) {
	in := &eventbridge.PutEventsInput{}
	for _, c := range group {
		in.Entries = append(in.Entries, *c.entry)
	}
	out, err := h.parts.Bus.PutEvents(ctx, in)
	if e, ok := errors.AsType[smithy.APIError](err); ok && e.ErrorCode() == "ValidationException" {
		return h.oneByOne(ctx, group, err)
	}
	if err != nil {
		return nil, fmt.Errorf("event bus %s: %w", h.busName, err)
	}
	if len(out.Entries) != len(group) {
		return nil, fmt.Errorf("event bus %s: %d results for %d entries", h.busName, len(out.Entries), len(group))
	}
	for i, c := range group {
		result := out.Entries[i]
		code := aws.ToString(result.ErrorCode)
		switch {
		case code == "":
			h.published(ctx, c, result)
		case slices.Contains(entryRefusals, code):
			if err := h.sendDeadLetter(ctx, c, poisonf("the event bus refuses the event: %s: %s", code, aws.ToString(result.ErrorMessage))); err != nil {
				failed, reason = append(failed, c), err
			}
		default:
			failed = append(failed, c)
			reason = fmt.Errorf("event bus %s: %s: %s", h.busName, code, aws.ToString(result.ErrorMessage))
		}
	}
	return failed, reason
}

// oneByOne finds the entry for which EventBridge refuses a request as a whole.
func (h *Handler) oneByOne(ctx context.Context, group []*change, refusal error) (failed []*change, reason error) {
	if len(group) == 1 {
		if err := h.sendDeadLetter(ctx, group[0], poisonf("the event bus refuses the event: %v", refusal)); err != nil {
			return group, err
		}
		return nil, nil
	}
	for i := range group {
		alone, err := h.request(ctx, group[i:i+1])
		if err != nil && len(alone) == 0 {
			return append(failed, group[i:]...), err
		}
		if err != nil {
			failed, reason = append(failed, alone...), err
		}
	}
	return failed, reason
}

func (h *Handler) published(ctx context.Context, c *change, result bustypes.PutEventsResultEntry) {
	c.log().InfoContext(ctx, "published", "event_type", aws.ToString(c.entry.DetailType), "event_id", aws.ToString(result.EventId), "bytes", c.size)
}
