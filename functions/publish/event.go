package publish

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	bustypes "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"

	"extend-intake/shared/event"
	"extend-intake/shared/ledger"
	"extend-intake/shared/queue"
)

var detailTypes = map[ledger.State]string{
	ledger.Processed: event.Processed, ledger.Failed: event.Failed, ledger.Cancelled: event.Cancelled, ledger.Refused: event.Refused,
	ledger.NeedsReview: event.NeedsReview, ledger.Rejected: event.Rejected,
}

const (
	// maxBytes bounds an entry, and all entries of a request. EventBridge takes 1 MB of
	// each since January 2026, but what stands behind a rule may not: 256 KB was the
	// limit of everything for years, and the envelope comes on top.
	// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevent-size.html
	maxBytes = 200_000
	// maxMessage bounds Extend's words about a failure.
	maxMessage = 4096
)

// compose makes the event of a document. An output that an event can't hold, or that would
// not survive the way to its reader, goes to the results bucket.
func (h *Handler) compose(ctx context.Context, c *change, rec *ledger.Record) error {
	d := detail(rec)
	if err := carriable(d); err != nil {
		return err
	}
	body, err := marshal(d)
	if err != nil {
		return poisonf("%v", err)
	}
	detailType := detailTypes[rec.State]
	size := func() int { return 14 + len(event.Source) + len(detailType) + len(body) } // 14: the time
	if d.Output != nil && (size() > maxBytes || !survives(d.Output)) {
		// The name is that of the event, so that a repetition stores the same again.
		if d.OutputLocation, err = h.parts.Put(ctx, "announced/"+d.ID+".json", d.Output); err != nil {
			return fmt.Errorf("store the output: %w", err)
		}
		d.Output = nil
		if body, err = marshal(d); err != nil {
			return poisonf("%v", err)
		}
	}
	if c.size = size(); c.size > maxBytes {
		return poisonf("the event takes %d bytes without the output, over %d: shorten what is long in the item", c.size, maxBytes)
	}
	c.entry = &bustypes.PutEventsRequestEntry{
		EventBusName: &h.busName, Source: aws.String(event.Source), DetailType: &detailType,
		Detail: aws.String(string(body)), Time: &d.FinishedAt,
	}
	return nil
}

// detail is what the event says of a document. Its texts for people are without the
// characters that queues refuse. Not so what names something: see carriable and encodeKey.
func detail(rec *ledger.Record) *event.Detail {
	d := &event.Detail{
		SchemaVersion: event.SchemaVersion, ID: fmt.Sprintf("%s.%d", rec.DocumentID, rec.Revision),
		DocumentID: rec.DocumentID, Revision: rec.Revision, State: string(rec.State), Attempt: rec.Attempt,
		RunID: rec.RunID, RunURL: queue.Replace(rec.RunURL), Route: queue.Replace(rec.Route), Processor: queue.Replace(rec.ProcessorID),
		Credits: json.Number(rec.Credits), SubmittedAt: rec.SubmittedAt, FinishedAt: rec.FinishedAt,
	}
	if rec.Bucket != "" {
		d.Object = &event.Object{Bucket: rec.Bucket, Key: queue.Replace(rec.Key), VersionID: rec.VersionID, ETag: rec.ETag, Size: rec.Size, Sequence: rec.Sequence}
		if !queue.Takes(rec.Key) {
			d.Object.KeyEncoded = encodeKey(rec.Key)
		}
	}
	// An item can still have of an earlier attempt what the newest did not come to.
	switch rec.State {
	case ledger.Processed:
		d.Type, d.Reviewed, d.Edited = queue.Replace(rec.Type), rec.Reviewed, rec.Edited
		d.Output, d.OutputLocation = rec.Output, rec.OutputLocation
	case ledger.Failed:
		d.Type, d.Reviewed, d.Edited = queue.Replace(rec.Type), rec.Reviewed, rec.Edited
		d.Failure = failure(rec)
	case ledger.NeedsReview:
		d.Type = queue.Replace(rec.Type)
	case ledger.Rejected:
		d.Type, d.Reviewed, d.Edited = queue.Replace(rec.Type), rec.Reviewed, rec.Edited
		d.Failure = failure(rec)
	case ledger.Refused:
		d.Failure = failure(rec)
	case ledger.Cancelled:
		d.Type = queue.Replace(rec.Type)
		if rec.FailureReason != "" || rec.FailureMessage != "" {
			d.Failure = failure(rec)
		}
	}
	return d
}

func failure(rec *ledger.Record) *event.Failure {
	return &event.Failure{Reason: queue.Replace(rec.FailureReason), Message: queue.Clean(rec.FailureMessage, maxMessage)}
}

// encodeKey writes a key as S3's own events do, but a space as %20, which every URL
// decoder reads: many take a plus for a plus.
func encodeKey(key string) string {
	return strings.NewReplacer("+", "%20", "%2F", "/").Replace(url.QueryEscape(key))
}

// carriable refuses an event that no queue takes because of a name in it. With another
// character in its place, it would be the name of something else. Neither S3 nor Extend
// nor this software makes such names.
func carriable(d *event.Detail) error {
	names := []string{d.ID, d.RunID, d.OutputLocation}
	if d.Object != nil {
		names = append(names, d.Object.Bucket, d.Object.VersionID, d.Object.ETag, d.Object.Sequence)
	}
	for _, name := range names {
		if !queue.Takes(name) {
			return poisonf("%q has a character that no queue takes", name)
		}
	}
	return nil
}

// marshal keeps the output as it is; json.Marshal would escape HTML in it.
func marshal(d *event.Detail) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(d); err != nil {
		return nil, fmt.Errorf("event %s: %w", d.ID, err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
