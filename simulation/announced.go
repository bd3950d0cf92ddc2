package simulation

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// announced compares the events with what was stored: every revision of every document
// is on the bus, with the output that it had, or the bus refused it and it is in the
// dead-letter queue; and nothing else is there. The order, the ids and the repetitions
// were checked as they came, by [bus.take].
func (w *world) announced() {
	dead := map[string]bool{} // by the event's id and by the sequence number
	for _, l := range w.stream.dead {
		id := l.DocumentID + "." + l.Revision
		name := w.nameOf(l.DocumentID) + "." + l.Revision
		dead[id], dead[l.SequenceNumber] = true, true
		if !w.stream.poison[l.SequenceNumber] && w.bus.refusals[id] == "" {
			w.violate("%s: a good record is in publish's dead-letter queue: %s", name, l.Reason)
		}
		if l.Reason == "" {
			w.violate("%s: a dead letter of publish without a reason", name)
		}
		// The function can be invoked with it.
		var batch struct{ Records []json.RawMessage }
		if err := json.Unmarshal([]byte(l.Body), &batch); err != nil || len(batch.Records) != 1 || !bytes.Equal(batch.Records[0], w.stream.events[l.SequenceNumber]) {
			w.violate("%s: the dead letter is not the record: %s", name, l.Body)
		}
	}
	for _, r := range w.stream.expired {
		w.violate("record %s of %s came to nothing for %v", r.sequence, w.nameOf(r.document), streamRecordAge)
	}
	for _, sequence := range slices.Sorted(maps.Keys(w.stream.poison)) {
		if !dead[sequence] {
			w.violate("record %s, which nobody understands, is not in publish's dead-letter queue", sequence)
		}
	}
	for _, document := range slices.Sorted(maps.Keys(w.revisions)) {
		for i, stored := range w.revisions[document] {
			id, name := eventID(document, i+1), eventID(w.nameOf(document), i+1)
			a := w.bus.taken[id]
			switch refusal := w.bus.refusals[id]; {
			case a == nil && refusal == "":
				w.violate("%s: never announced", name)
			case a == nil && !dead[id]:
				w.violate("%s: the bus refused it (%s), and it is not in the dead-letter queue", name, refusal)
			case a != nil && refusal != "":
				w.violate("%s: it is on the bus, which refused it", name)
			}
			if a == nil || string(stored.State) != a.detail.State {
				continue
			}
			if a.detail.Output == nil && a.detail.OutputLocation == "" {
				continue // the contract says which events have one
			}
			want := stored.Output
			if stored.OutputLocation != "" {
				want = w.results[stored.OutputLocation]
			}
			got, err := a.detail.ReadOutput(context.Background(), results{w})
			if err != nil || !same(got, want) {
				w.violate("%s: a consumer reads %s (%v), stored was %s", name, got, err, want)
			}
		}
	}
}

// results is the results bucket as a consumer reads it.
type results struct{ w *world }

func (r results) GetObject(_ context.Context, in *s3.GetObjectInput, _ ...func(*s3.Options)) (*s3.GetObjectOutput, error) {
	body, ok := r.w.results["s3://"+*in.Bucket+"/"+*in.Key]
	if !ok {
		return nil, &s3types.NoSuchKey{}
	}
	return &s3.GetObjectOutput{Body: io.NopCloser(bytes.NewReader(body))}, nil
}
