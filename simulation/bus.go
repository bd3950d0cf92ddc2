package simulation

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	bustypes "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/smithy-go"

	"extend-intake/functions/publish"
	"extend-intake/shared/event"
	"extend-intake/shared/event/eventtest"
	"extend-intake/shared/ledger"
)

const busName = "intake"

// What EventBridge takes in one request.
const (
	busEntries = 10
	busBytes   = 256 << 10
)

// bus is the event bus, with a consumer that remembers everything.
type bus struct {
	w        *world
	requests int
	taken    map[string]*announcement // by the event's id
	repeated int
	refusals map[string]string // why the bus never takes an event; "" if it does
}

// announcement is an event on the bus.
type announcement struct {
	detail     *event.Detail
	text, kind string // the detail and the detail-type
	at         time.Time
}

// eventBus is the bus as a machine uses it.
type eventBus struct{ in *instance }

// PutEvents puts events on the bus, or some of them, or says that it did not.
func (b eventBus) PutEvents(_ context.Context, in *eventbridge.PutEventsInput, _ ...func(*eventbridge.Options)) (out *eventbridge.PutEventsOutput, err error) {
	w := b.in.fn.w
	var refusal error
	err = b.in.do("put events", "", busFails, busAnswerLost, func() error {
		out, refusal = w.bus.put(in)
		return nil
	})
	if err == nil {
		err = refusal
	}
	if err != nil {
		return nil, err
	}
	return out, nil
}

// put takes events. The error is the service's refusal of the request as a whole.
func (b *bus) put(in *eventbridge.PutEventsInput) (*eventbridge.PutEventsOutput, error) {
	w := b.w
	w.mu.Lock()
	b.requests++
	n := b.requests
	dice := w.dice("bus", n)
	w.mu.Unlock()
	invalid := func(why string) error {
		return &smithy.GenericAPIError{Code: "ValidationException", Message: why}
	}
	details := make([]*event.Detail, len(in.Entries))
	bytes := 0
	for i, e := range in.Entries {
		d, err := event.Parse(json.RawMessage(aws.ToString(e.Detail)))
		if err != nil {
			w.violate("an event that consumers can't read: %v", err)
			return nil, invalid("Detail")
		}
		details[i] = d
		bytes += 14 + len(aws.ToString(e.Source)) + len(aws.ToString(e.DetailType)) + len(aws.ToString(e.Detail))
		if b.refusal(d.ID) == "ValidationException" {
			w.tell("bus", d.DocumentID, "FAULT: refuses a request for %s", d.ID)
			return nil, invalid("an entry of the request")
		}
	}
	if len(in.Entries) < 1 || len(in.Entries) > busEntries || bytes > busBytes {
		w.violate("a request of %d events and %d bytes", len(in.Entries), bytes)
		return nil, invalid("Entries")
	}
	if len(in.Entries) > 1 && w.strike(dice, busRefusesRequest) {
		w.tell("bus", "", "FAULT: refuses %d events together", len(in.Entries))
		return nil, invalid("Total size of the entries in the request is over the limit")
	}
	out := &eventbridge.PutEventsOutput{Entries: make([]bustypes.PutEventsResultEntry, len(in.Entries))}
	for i, e := range in.Entries {
		code := b.refusal(details[i].ID)
		if code == "" && w.strike(dice, busEntryFails) {
			code = []string{"ThrottlingException", "InternalFailure", "InternalException"}[dice.IntN(3)]
		}
		if code != "" {
			w.tell("bus", details[i].DocumentID, "FAULT: %s for %s", code, details[i].ID)
			out.FailedEntryCount++
			out.Entries[i] = bustypes.PutEventsResultEntry{ErrorCode: &code, ErrorMessage: aws.String("simulated fault")}
			continue
		}
		b.take(e, details[i])
		out.Entries[i].EventId = aws.String(fmt.Sprintf("event-%d-%d", n, i))
	}
	return out, nil
}

// refusal is why the bus never takes an event, "" if it does.
func (b *bus) refusal(id string) string {
	w := b.w
	w.mu.Lock()
	code, known := b.refusals[id]
	w.mu.Unlock()
	if known {
		return code
	}
	if dice := w.dice("refusal", id); w.strike(dice, busRefusesEvent) {
		code = []string{"MalformedDetail", "InvalidArgument", "ValidationException"}[dice.IntN(3)]
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	b.refusals[id] = code
	return code
}

// take compares an event with what was stored, and with those before it.
func (b *bus) take(e bustypes.PutEventsRequestEntry, d *event.Detail) {
	w := b.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if strings.Contains(*e.Detail, credential) {
		w.broken("%s: a credential is announced", w.nameOf(d.DocumentID))
	}
	a := &announcement{detail: d, text: *e.Detail, kind: aws.ToString(e.DetailType), at: aws.ToTime(e.Time)}
	name := eventID(w.nameOf(d.DocumentID), d.Revision)
	w.line("bus", d.DocumentID, fmt.Sprintf("takes %s: %s", name, a.kind))
	if first := b.taken[d.ID]; first != nil {
		b.repeated++
		if first.text != a.text || first.kind != a.kind || !first.at.Equal(a.at) {
			w.broken("%s: announced once more as %s %s, the first time as %s %s", name, a.kind, a.text, first.kind, first.text)
		}
		return
	}
	b.taken[d.ID] = a
	if aws.ToString(e.EventBusName) != busName {
		w.broken("%s: announced on the bus %q", name, aws.ToString(e.EventBusName))
	}
	if err := eventtest.CheckPublished(aws.ToString(e.Source), a.kind, []byte(a.text)); err != nil {
		w.broken("%s: the event is not what the contract says: %v", name, err)
	}
	stored := w.revision(d.DocumentID, d.Revision)
	if stored == nil {
		w.broken("%s: announced, but never stored", name)
		return
	}
	if got, want := contents(d), storedContents(stored); got != want {
		w.broken("%s: announced %s, stored %s", name, got, want)
	}
	if d.OutputLocation != "" && w.results[d.OutputLocation] == nil {
		w.broken("%s: announced before its output was at %s", name, d.OutputLocation)
	}
	for earlier := 1; earlier < d.Revision; earlier++ {
		id := eventID(d.DocumentID, earlier)
		if b.taken[id] == nil && b.refusals[id] == "" {
			w.broken("%s: announced before revision %d", name, earlier)
		}
	}
}

// eventID is the id that consumers rely on.
func eventID(document string, revision int) string { return fmt.Sprintf("%s.%d", document, revision) }

// contents is what an event says of a document besides its output, and storedContents
// what it should say.
func contents(d *event.Detail) string {
	failure := ""
	if d.Failure != nil {
		failure = d.Failure.Reason + ": " + d.Failure.Message
	}
	key := ""
	if d.Object != nil {
		key = d.Object.Key + "?" + d.Object.VersionID
	}
	return fmt.Sprintf("%s %s attempt %d run %s credits %q reviewed %t %s", key, d.State, d.Attempt, d.RunID, d.Credits, d.Reviewed, failure)
}

func storedContents(r *ledger.Record) string {
	failure, key := "", ""
	if r.State == ledger.Failed || r.State == ledger.Refused || r.FailureReason+r.FailureMessage != "" {
		failure = r.FailureReason + ": " + r.FailureMessage
	}
	if r.Bucket != "" {
		key = r.Key + "?" + r.VersionID
	}
	reviewed := r.Reviewed && (r.State == ledger.Processed || r.State == ledger.Failed || r.State == ledger.Rejected)
	return fmt.Sprintf("%s %s attempt %d run %s credits %q reviewed %t %s", key, r.State, r.Attempt, r.RunID, r.Credits, reviewed, failure)
}

// revision is a document as it was stored with a revision, nil if it never was. The
// caller holds the world's mutex.
func (w *world) revision(document string, n int) *ledger.Record {
	if all := w.revisions[document]; n >= 1 && n <= len(all) {
		return all[n-1]
	}
	return nil
}

// sendDeadLetter puts what publish can't publish into its dead-letter queue.
func (in *instance) sendDeadLetter(_ context.Context, l publish.DeadLetter) error {
	w := in.fn.w
	return in.do("send a dead letter", l.DocumentID, deadLetterFails, deadLetterAnswerLost, func() error {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.stream.dead = append(w.stream.dead, l)
		w.line("queue", l.DocumentID, "dead letter of publish: "+l.Reason)
		return nil
	})
}
