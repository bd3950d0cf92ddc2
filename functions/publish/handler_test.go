package publish

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	bustypes "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"extend-intake/shared/event"
	"extend-intake/shared/event/eventtest"
	"extend-intake/shared/queue"
)

var update = flag.Bool("update", false, "write events/event-….json anew")

// harness is a Handler with a bus, a results bucket and a dead-letter queue in memory.
// Every event that its bus takes is checked against the contract.
type harness struct {
	*Handler
	t *testing.T
	// fail is asked about every request: what it returns for an entry is its result.
	fail func(ids []string) ([]bustypes.PutEventsResultEntry, error)

	requests    [][]string // the ids in each request
	published   []published
	stored      map[string]string
	deadLetters []DeadLetter
}

type published struct {
	detailType string
	detail     string
}

func newHarness(t *testing.T) *harness {
	w := &harness{t: t, stored: make(map[string]string)}
	var err error
	w.Handler, err = NewHandler(Config{EventBus: "intake"}, Parts{
		Bus: w,
		Put: func(_ context.Context, name string, body []byte) (string, error) {
			w.stored[name] = string(body)
			return "s3://results/" + name, nil
		},
		SendDeadLetter: func(_ context.Context, l DeadLetter) error { w.deadLetters = append(w.deadLetters, l); return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// PutEvents is the bus.
func (w *harness) PutEvents(_ context.Context, in *eventbridge.PutEventsInput, _ ...func(*eventbridge.Options)) (*eventbridge.PutEventsOutput, error) {
	var ids []string
	total := 0
	documents := make(map[string]bool)
	for _, e := range in.Entries {
		d, err := event.Parse([]byte(*e.Detail))
		if err != nil {
			w.t.Fatal(err)
		}
		ids = append(ids, d.ID)
		total += entrySize(e)
		if documents[d.DocumentID] {
			w.t.Errorf("two events of %s in one request: the bus could take the second and fail the first", d.DocumentID)
		}
		documents[d.DocumentID] = true
		if *e.EventBusName != "intake" || !e.Time.Equal(d.FinishedAt) {
			w.t.Errorf("%s: bus %q, time %s", d.ID, *e.EventBusName, e.Time)
		}
	}
	w.requests = append(w.requests, ids)
	if len(ids) == 0 || len(ids) > 10 || total > 256<<10 {
		w.t.Errorf("a request of %d entries and %d bytes", len(ids), total)
	}
	out := &eventbridge.PutEventsOutput{Entries: make([]bustypes.PutEventsResultEntry, len(ids))}
	if w.fail != nil {
		results, err := w.fail(ids)
		if err != nil {
			return nil, err
		}
		copy(out.Entries, results)
	}
	for i, e := range in.Entries {
		if out.Entries[i].ErrorCode != nil {
			out.FailedEntryCount++
			continue
		}
		if err := eventtest.CheckPublished(*e.Source, *e.DetailType, []byte(*e.Detail)); err != nil {
			w.t.Errorf("%s is not what the contract says: %v\n%s", ids[i], err, *e.Detail)
		}
		w.published = append(w.published, published{*e.DetailType, *e.Detail})
	}
	return out, nil
}

// entrySize is what EventBridge counts.
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevent-size.html
func entrySize(e bustypes.PutEventsRequestEntry) int {
	n := len(*e.Source) + len(*e.DetailType) + len(*e.Detail)
	if e.Time != nil {
		n += 14
	}
	return n
}

// handle returns the sequence number from which the stream repeats, if any.
func (w *harness) handle(records ...any) string {
	w.t.Helper()
	input, err := json.Marshal(map[string]any{"Records": records})
	if err != nil {
		w.t.Fatal(err)
	}
	return w.handleJSON(input)
}

func (w *harness) handleJSON(input []byte) string {
	w.t.Helper()
	answer, err := w.Handle(w.t.Context(), input)
	if err != nil {
		w.t.Fatal(err)
	}
	text, err := json.Marshal(answer)
	if err != nil {
		w.t.Fatal(err)
	}
	if len(answer.BatchItemFailures) == 0 {
		if string(text) != `{"batchItemFailures":[]}` {
			w.t.Errorf("answer %s: Lambda wants an empty list", text)
		}
		return ""
	}
	if len(answer.BatchItemFailures) > 1 {
		w.t.Errorf("answer %s: the first failure is all that counts", text)
	}
	return answer.BatchItemFailures[0].ItemIdentifier
}

// ids are those of the events on the bus, in their order.
func (w *harness) ids() []string {
	var ids []string
	for _, p := range w.published {
		var d event.Detail
		if err := json.Unmarshal([]byte(p.detail), &d); err != nil {
			w.t.Fatal(err)
		}
		ids = append(ids, d.ID)
	}
	return ids
}

// item is an item as streams write it.
type item map[string]any

// with is an item with other attributes; nil takes one away.
func (i item) with(changes item) item {
	next := maps.Clone(i)
	maps.Copy(next, changes)
	maps.DeleteFunc(next, func(_ string, v any) bool { return v == nil })
	return next
}

func str(s string) item { return item{"S": s} }
func num(n any) item    { return item{"N": fmt.Sprint(n)} }

// A document before and after its run ended, as the table has it.
var (
	processing = item{
		"documentId": str("doc_a"), "state": str("PROCESSING"), "recordVersion": num(2), "attempt": num(1), "revision": num(0), "nextCheckAt": str("2026-07-14T09:25:20.104Z"),
		"object": str("s3://in/a.pdf"), "bucket": str("in"), "key": str("a.pdf"), "versionId": str("v1"), "eTag": str("e1"), "size": num(1), "sequence": str("0A"),
		"processorId": str("dp_1"), "runId": str("dpr_1"), "submittedAt": str("2026-07-14T09:15:20.104Z"),
	}
	processed = processing.with(item{
		"state": str("PROCESSED"), "recordVersion": num(3), "revision": num(1), "finishedAt": str("2026-07-14T09:15:41.250Z"),
		"type": str("EXTRACT"), "outputRunId": str("dpr_1"), "output": item{"M": item{"value": item{"M": item{"total": num("1234.5")}}}},
	})
	failed = processing.with(item{
		"state": str("FAILED"), "recordVersion": num(3), "revision": num(1), "finishedAt": str("2026-07-14T09:15:41.250Z"),
		"type": str("EXTRACT"), "failureReason": str("CORRUPT_FILE"), "failureMessage": str("no pages"),
	})
	// Revision 0: nobody is told of it.
	skipped = processing.with(item{
		"state": str("SKIPPED"), "recordVersion": num(3), "finishedAt": str("2026-07-14T09:15:21.250Z"), "runId": nil,
		"failureReason": str("SAME_CONTENT"), "duplicateOf": str("doc_0"),
	})
	// What the ledger knows of the contents of one key is an item of the same table.
	contents = item{"documentId": str("obj_a"), "recordVersion": num(1), "contents": item{"L": []any{item{"M": item{"eTag": str("e1"), "size": num(1), "document": str("doc_a")}}}}}
)

// of is an item of another document.
func (i item) of(document string) item { return i.with(item{"documentId": str(document)}) }

// record is a stream record of a change.
func record(sequenceNumber int, old, next item) item {
	change := item{
		"ApproximateCreationDateTime": 1784020541, "Keys": item{"documentId": next["documentId"]}, "NewImage": next,
		"SequenceNumber": fmt.Sprint(sequenceNumber), "SizeBytes": 1, "StreamViewType": "NEW_AND_OLD_IMAGES",
	}
	name := "INSERT"
	if old != nil {
		name, change["OldImage"] = "MODIFY", old
	}
	return item{"eventID": "1", "eventName": name, "eventVersion": "1.1", "eventSource": "aws:dynamodb", "awsRegion": "eu-west-1",
		"eventSourceARN": "arn:aws:dynamodb:eu-west-1:123456789012:table/t/stream/2026", "dynamodb": change}
}

// samples are the files of events/ that belong to this function: the events that come
// of each, and why records go to the dead-letter queue.
var samples = map[string]struct {
	ids, dead []string
	event     string // the events/event-….json that is the first of them
}{
	"publish-processed":        {ids: []string{invoice + ".1"}, event: "event-processed"},
	"publish-exact-numbers":    {ids: []string{invoice + ".1"}, event: "event-processed-large"},
	"publish-odd-characters":   {ids: []string{invoice + ".1"}, event: "event-odd-characters"},
	"publish-output-in-bucket": {ids: []string{invoice + ".1"}},
	"publish-reviewed":         {ids: []string{invoice + ".2"}, event: "event-reviewed"},
	"publish-failed":           {ids: []string{invoice + ".1"}, event: "event-failed"},
	"publish-cancelled":        {ids: []string{invoice + ".1"}, event: "event-cancelled"},
	"publish-refused":          {ids: []string{invoice + ".1"}, event: "event-refused"},
	"publish-needs-review":     {ids: []string{invoice + ".1"}, event: "event-needs-review"},
	"publish-rejected":         {ids: []string{invoice + ".2"}, event: "event-rejected"},
	"publish-workflow":         {ids: []string{invoice + ".2"}, event: "event-workflow"},
	"publish-without-upload":   {ids: []string{"dpr_7kQ2mN5vR8tY1wX4zB6cD.1"}, event: "event-without-upload"},
	"publish-second-attempt":   {ids: []string{invoice + ".1"}},
	"publish-dead-letters": {ids: []string{"doc_00000000000000000000000005.1"}, dead: []string{
		`state "ARCHIVED" is unknown`, `attribute "attempt"`, "was not written by this software", `version "2.0"`,
	}},
}

const invoice = "doc_4wz5k3q7vnd2hxm6ta1bpcyeu5"

func TestSampleEvents(t *testing.T) {
	t.Parallel()
	for name, want := range samples {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			input, err := os.ReadFile(filepath.Join("../../events", name+".json"))
			if err != nil {
				t.Fatal(err)
			}
			w := newHarness(t)
			if repeated := w.handleJSON(input); repeated != "" {
				t.Errorf("it is repeated from %s", repeated)
			}
			if d := cmp.Diff(want.ids, w.ids()); d != "" {
				t.Errorf("events (-want +got):\n%s", d)
			}
			checkDeadLetters(t, w.deadLetters, want.dead...)
			if want.event != "" {
				compareEvent(t, want.event, w.published[0])
			}

			// What is delivered twice is published twice, byte for byte.
			first := slices.Clone(w.published)
			w.published, w.deadLetters = nil, nil
			w.handleJSON(input)
			if d := cmp.Diff(first, w.published, cmp.AllowUnexported(published{})); d != "" {
				t.Errorf("the second time (-first +second):\n%s", d)
			}
		})
	}
}

// compareEvent compares an event with its sample, which is as a consumer gets it.
func compareEvent(t *testing.T, name string, got published) {
	t.Helper()
	path := filepath.Join("../../events", name+".json")
	var detail any
	if err := json.Unmarshal([]byte(got.detail), &detail); err != nil {
		t.Fatal(err)
	}
	text, err := json.MarshalIndent(struct {
		Version    string          `json:"version"`
		ID         string          `json:"id"`
		DetailType string          `json:"detail-type"`
		Source     string          `json:"source"`
		Account    string          `json:"account"`
		Time       string          `json:"time"`
		Region     string          `json:"region"`
		Resources  []string        `json:"resources"`
		Detail     json.RawMessage `json:"detail"`
	}{"0", "17793124-05d4-b198-2fde-7ededc63b103", got.detailType, event.Source, "123456789012", "2026-07-14T09:15:41Z", "eu-west-1", []string{}, []byte(got.detail)}, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	want := strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(string(text)) + "\n"
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(have), want); d != "" {
		t.Errorf("%s (-file +published; -update writes it anew):\n%s", path, d)
	}
}

func TestEverySampleIsInTheTable(t *testing.T) {
	t.Parallel()
	known := make(map[string]bool)
	for name, s := range samples {
		known[name], known[s.event] = true, true
	}
	for _, pattern := range []string{"publish-*.json", "event-*.json"} {
		files, err := filepath.Glob("../../events/" + pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if !known[strings.TrimSuffix(filepath.Base(f), ".json")] {
				t.Errorf("%s is in no test", f)
			}
		}
	}
}

// checkDeadLetters checks the reasons, and that each dead letter is an input of this function.
func checkDeadLetters(t *testing.T, deadLetters []DeadLetter, reasons ...string) {
	t.Helper()
	if len(deadLetters) != len(reasons) {
		t.Fatalf("%d dead letters, want %d: %+v", len(deadLetters), len(reasons), deadLetters)
	}
	for i, l := range deadLetters {
		if !strings.Contains(l.Reason, reasons[i]) {
			t.Errorf("dead letter %d: %q, want %q", i, l.Reason, reasons[i])
		}
		var batch struct{ Records []json.RawMessage }
		if err := json.Unmarshal([]byte(l.Body), &batch); err != nil || len(batch.Records) != 1 {
			t.Errorf("dead letter %d: body %s: %v", i, l.Body, err)
		}
	}
}

func TestWhatIsPublished(t *testing.T) {
	t.Parallel()
	reviewed := processed.with(item{"revision": num(2), "recordVersion": num(4), "reviewed": item{"BOOL": true}})
	review := processing.with(item{"state": str("NEEDS_REVIEW"), "revision": num(1), "finishedAt": str("2026-07-14T09:18:20.104Z"), "runId": str("workflow_run_1")})
	waitingAgain := processed.with(item{"state": str("WAITING"), "attempt": num(2), "recordVersion": num(4), "runId": nil})
	for _, c := range []struct {
		name      string
		old, next item
		want      string // the id, or nothing
	}{
		{"a result", processing, processed, "doc_a.1"},
		{"a result without a record before", nil, processed, "doc_a.1"},
		{"a reviewed result", processed, reviewed, "doc_a.2"},
		{"a note on a result", processed, processed.with(item{"recordVersion": num(4), "runs": item{"L": []any{}}}), ""},
		{"a claim", nil, processing.with(item{"state": str("SUBMITTING"), "leaseUntil": str("2026-07-14T09:18:20.104Z")}), ""},
		{"a run", processing.with(item{"state": str("SUBMITTING")}), processing, ""},
		{"a failure that is being cured", processing, processing.with(item{"state": str("WAITING"), "attempt": num(2)}), ""},
		{"somebody wants it reprocessed", processed, waitingAgain, ""},
		{"the result of that", waitingAgain, processed.with(item{"revision": num(2), "attempt": num(2), "runId": str("dpr_2"), "outputRunId": str("dpr_2")}), "doc_a.2"},
		{"its failure: the old output is still there", waitingAgain, failed.with(item{"revision": num(2), "attempt": num(2), "output": processed["output"], "outputRunId": str("dpr_1")}), "doc_a.2"},
		{"an unknown attribute", processing, processed.with(item{"colour": str("red"), "ours": item{"SS": []string{"a"}}, "theirs": item{"B": "AAEC"}}), "doc_a.1"},
		{"an unknown attribute that changes", processed, processed.with(item{"colour": str("red")}), ""},
		{"one that waits for a review", processing, review, "doc_a.1"},
		{"a check of one that waits for a review", review, review.with(item{"recordVersion": num(9)}), ""},
		{"the end of a review", review, processed.with(item{"revision": num(2)}), "doc_a.2"},
		{"a rejection", review, failed.with(item{"revision": num(2), "state": str("REJECTED"), "failureReason": str("REJECTED")}), "doc_a.2"},
		{"one that is skipped", processing, skipped, ""},
		{"one that is skipped, without a record before", nil, skipped, ""},
		{"one that is skipped, and its revision is changed by hand", skipped, skipped.with(item{"revision": num(3), "attempt": str("one")}), ""},
		{"what is known of the contents of a key", nil, contents, ""},
		{"what is known of the contents of a key, once more", contents, contents.with(item{"recordVersion": num(2)}), ""},
		{"a state of a newer version that changes nothing that is seen", processed, processed.with(item{"state": str("ARCHIVED")}), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newHarness(t)
			if repeated := w.handle(record(1, c.old, c.next)); repeated != "" {
				t.Errorf("it is repeated")
			}
			checkDeadLetters(t, w.deadLetters)
			if got := strings.Join(w.ids(), " "); got != c.want {
				t.Errorf("published %q, want %q", got, c.want)
			}
		})
	}
}

func TestDeletedRecordIsNotPublished(t *testing.T) {
	t.Parallel()
	w := newHarness(t)
	r := record(1, processed, processed)
	r["eventName"] = "REMOVE"
	delete(r["dynamodb"].(item), "NewImage")
	if repeated := w.handle(r); repeated != "" || len(w.published)+len(w.deadLetters) > 0 {
		t.Errorf("repeated: %q; %v, %v", repeated, w.published, w.deadLetters)
	}
}

func TestPoisonRecordsBlockNothing(t *testing.T) {
	t.Parallel()
	without := func(r item, name string) item {
		change := maps.Clone(r["dynamodb"].(item))
		delete(change, name)
		return r.with(item{"dynamodb": change})
	}
	for _, c := range []struct {
		name   string
		poison any
		reason string
		dead   DeadLetter // besides the body and the reason
	}{
		{"unknown state", record(7, processing, processed.with(item{"state": str("ARCHIVED")})), "from a newer version of this software?", DeadLetter{DocumentID: "doc_a", Revision: "1", SequenceNumber: "7"}},
		{"no state", record(7, processing, processed.with(item{"state": nil})), "state is missing", DeadLetter{DocumentID: "doc_a", Revision: "1", SequenceNumber: "7"}},
		{"unknown version of the stream", record(7, processing, processed).with(item{"eventVersion": "2.0"}), "deploy a newer version", DeadLetter{DocumentID: "doc_a", Revision: "1", SequenceNumber: "7"}},
		{"attribute of another type", record(7, processing, processed.with(item{"finishedAt": item{"BOOL": true}})), `"finishedAt"`, DeadLetter{DocumentID: "doc_a", Revision: "1", SequenceNumber: "7"}},
		{"unknown attribute type", record(7, processing, processed.with(item{"x": item{"Q": "?"}})), "not a stream record", DeadLetter{DocumentID: "doc_a", Revision: "1", SequenceNumber: "7"}},
		{"no new image", without(record(7, processing, processed), "NewImage"), "NEW_AND_OLD_IMAGES", DeadLetter{DocumentID: "doc_a", SequenceNumber: "7"}},
		{"revision 0", record(7, nil, processed.with(item{"revision": num(0)})), "at least 1", DeadLetter{DocumentID: "doc_a", Revision: "0", SequenceNumber: "7"}},
		{"revision goes back", record(7, processed.with(item{"revision": num(3)}), processed.with(item{"revision": num(2)})), "went back from 3 to 2", DeadLetter{DocumentID: "doc_a", Revision: "2", SequenceNumber: "7"}},
		{"output of another run", record(7, processing, processed.with(item{"outputRunId": str("dpr_0")})), `of run "dpr_0"`, DeadLetter{DocumentID: "doc_a", Revision: "1", SequenceNumber: "7"}},
		{"no output", record(7, processing, processed.with(item{"output": nil})), "either output or outputLocation", DeadLetter{DocumentID: "doc_a", Revision: "1", SequenceNumber: "7"}},
		{"two outputs", record(7, processing, processed.with(item{"outputLocation": str("s3://b/k")})), "either output or outputLocation", DeadLetter{DocumentID: "doc_a", Revision: "1", SequenceNumber: "7"}},
		{"credits that are no number", record(7, processing, processed.with(item{"credits": str("many")})), "many", DeadLetter{DocumentID: "doc_a", Revision: "1", SequenceNumber: "7"}},
		{"something else", item{"hello": "stream"}, "version", DeadLetter{}},
		{"no object", "hello", "not a stream record", DeadLetter{}},
		{"null", nil, "version", DeadLetter{}},
		{"too large without the output", record(7, processing, processed.with(item{"runUrl": str(strings.Repeat("x", maxBytes))})), "shorten", DeadLetter{DocumentID: "doc_a", Revision: "1", SequenceNumber: "7"}},
		{"characters that SQS refuses", record(7, processing, processed.with(item{"state": str("A\uFFFE\uFFFF")})), "unknown", DeadLetter{DocumentID: "doc_a", Revision: "1", SequenceNumber: "7"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newHarness(t)
			if repeated := w.handle(record(6, processing.of("doc_before"), processed.of("doc_before")), c.poison, record(8, processing.of("doc_after"), processed.of("doc_after"))); repeated != "" {
				t.Errorf("it is repeated from %s", repeated)
			}
			if d := cmp.Diff([]string{"doc_before.1", "doc_after.1"}, w.ids()); d != "" {
				t.Errorf("events (-want +got):\n%s", d)
			}
			if len(w.deadLetters) != 1 {
				t.Fatalf("dead letters %+v, want one", w.deadLetters)
			}
			got := w.deadLetters[0]
			if !strings.Contains(got.Reason, c.reason) {
				t.Errorf("reason %q, want %q", got.Reason, c.reason)
			}
			// Where the body is elsewhere, it is there.
			var body struct {
				Records         []json.RawMessage
				RecordsLocation string `json:"recordsLocation"`
			}
			if err := json.Unmarshal([]byte(got.Body), &body); err != nil {
				t.Fatal(err)
			}
			replay := got.Body
			if body.RecordsLocation != "" {
				replay = w.stored[strings.TrimPrefix(body.RecordsLocation, "s3://results/")]
			}
			if d := cmp.Diff(c.dead, DeadLetter{DocumentID: got.DocumentID, Revision: got.Revision, SequenceNumber: got.SequenceNumber}); d != "" {
				t.Errorf("dead letter (-want +got):\n%s", d)
			}
			// And the dead letter is an input that leads to the same.
			w.deadLetters = nil
			if repeated := w.handleJSON([]byte(replay)); repeated != "" || len(w.deadLetters) != 1 || w.deadLetters[0] != got {
				t.Errorf("replayed: %q, %+v", repeated, w.deadLetters)
			}
		})
	}
}

func TestDeadLetterIsReplayedOnceTheCauseIsGone(t *testing.T) {
	t.Parallel()
	w := newHarness(t)
	w.handle(record(1, processing, processed.with(item{"attempt": str("one")})))
	if len(w.deadLetters) != 1 {
		t.Fatalf("dead letters %+v", w.deadLetters)
	}
	mended := strings.Replace(w.deadLetters[0].Body, `"attempt":{"S":"one"}`, `"attempt":{"N":"1"}`, 1)
	if repeated := w.handleJSON([]byte(mended)); repeated != "" || !slices.Equal(w.ids(), []string{"doc_a.1"}) {
		t.Errorf("repeated from %q, events %v", repeated, w.ids())
	}
}

func TestPanicIsThatRecordsOnly(t *testing.T) {
	t.Parallel()
	w := newHarness(t)
	put := w.parts.Put
	w.parts.Put = func(ctx context.Context, name string, body []byte) (string, error) {
		if strings.Contains(name, "doc_bad.") {
			panic("a mistake of ours")
		}
		return put(ctx, name, body)
	}
	big := item{"output": str(strings.Repeat("x", maxBytes))}
	repeated := w.handle(record(1, processing.of("doc_bad"), processed.of("doc_bad").with(big)), record(2, processing, processed))
	if repeated != "" || !slices.Equal(w.ids(), []string{"doc_a.1"}) || len(w.deadLetters) != 1 || !strings.Contains(w.deadLetters[0].Reason, "a mistake of ours") {
		t.Errorf("repeated from %q, events %v, dead letters %+v", repeated, w.ids(), w.deadLetters)
	}
}

func TestWhatIsNoBatchIsAnError(t *testing.T) {
	t.Parallel()
	for _, input := range []string{``, `null`, `{}`, `[]`, `"hello"`, `{"Records": 5}`, `{"recordsLocation": "s3://results/announced/dead/1.json"}`} {
		if answer, err := newHarness(t).Handle(t.Context(), []byte(input)); err == nil || !strings.Contains(err.Error(), "not a batch of a DynamoDB stream") {
			t.Errorf("%q: %+v, %v", input, answer, err)
		}
	}
}

// The bus takes every value of an output as it is stored, or the event says where it is.
func TestOutputsInEvents(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		output item
		inline string // the JSON in the event, or
		stored string // in the results bucket
	}{
		{name: "nothing", output: item{"NULL": true}, inline: `null`},
		{name: "empty values", output: item{"M": item{"a": item{"L": []any{}}, "b": item{"M": item{}}, "c": str("")}}, inline: `{"a":[],"b":{},"c":""}`},
		{name: "text", output: str("é \" \\ <b>&\u2028🧾\n"), inline: "\"é \\\" \\\\ <b>&\\u2028🧾\\n\""},
		{name: "text that no queue takes", output: item{"M": item{"a": str("in\uFFFFvoice")}}, stored: "{\"a\":\"in\uFFFFvoice\"}"},
		{name: "a name that no queue takes", output: item{"M": item{"\uFFFE": str("a")}}, stored: "{\"\uFFFE\":\"a\"}"},
		{name: "a control character", output: str("page 1\fpage 2\u0000"), stored: `"page 1\fpage 2\u0000"`},
		{name: "the smallest and the largest whole numbers that no other is read as", output: item{"L": []any{num("-9007199254740991"), num("9007199254740991")}}, inline: `[-9007199254740991,9007199254740991]`},
		{name: "a whole number that its neighbour is read as", output: num("9007199254740992"), stored: `9007199254740992`},
		{name: "beyond floats", output: num("9007199254740993"), stored: `9007199254740993`},
		{name: "the largest whole number of EventBridge", output: num("9223372036854775807"), stored: `9223372036854775807`},
		{name: "money", output: item{"L": []any{num("0.1"), num("-1234.56"), num("1.0875"), num("99999999999.99")}}, inline: `[0.1,-1234.56,1.0875,99999999999.99]`},
		{name: "what float64 printed", output: item{"L": []any{num("0.9876543210123456"), num("5E-7"), num("1.7976931348623157")}}, inline: `[0.9876543210123456,5E-7,1.7976931348623157]`},
		{name: "a whole number too large", output: num("9223372036854775808"), stored: `9223372036854775808`},
		{name: "a whole number too small", output: item{"L": []any{num("-9223372036854775809")}}, stored: `[-9223372036854775809]`},
		{name: "a large whole number that a float holds", output: num("1E+30"), stored: `1E+30`},
		{name: "more digits than a float holds", output: item{"M": item{"deep": item{"L": []any{num("0.12345678901234567890123456789012345678")}}}}, stored: `{"deep":[0.12345678901234567890123456789012345678]}`},
		{name: "just small enough", output: str(strings.Repeat("x", maxBytes-600)), inline: `"` + strings.Repeat("x", maxBytes-600) + `"`},
		{name: "too large", output: str(strings.Repeat("x", maxBytes)), stored: `"` + strings.Repeat("x", maxBytes) + `"`},
		{name: "too large in bytes, not in characters", output: str(strings.Repeat("é", maxBytes/2)), stored: `"` + strings.Repeat("é", maxBytes/2) + `"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newHarness(t)
			if repeated := w.handle(record(1, processing, processed.with(item{"output": c.output}))); repeated != "" || len(w.deadLetters) > 0 {
				t.Fatalf("repeated: %q, dead letters %+v", repeated, w.deadLetters)
			}
			var d event.Detail
			if err := json.Unmarshal([]byte(w.published[0].detail), &d); err != nil {
				t.Fatal(err)
			}
			if string(d.Output) != c.inline {
				t.Errorf("inline %.100s, want %.100s", d.Output, c.inline)
			}
			if c.stored == "" {
				if d.OutputLocation != "" || len(w.stored) > 0 {
					t.Errorf("location %q", d.OutputLocation)
				}
				return
			}
			if d.OutputLocation != "s3://results/announced/doc_a.1.json" || w.stored["announced/doc_a.1.json"] != c.stored {
				t.Errorf("location %q, stored %.100v", d.OutputLocation, w.stored)
			}
		})
	}
}

// What consumers and their targets could stumble on is taken out.
func TestFailureMessageIsCleanedAndShortened(t *testing.T) {
	t.Parallel()
	w := newHarness(t)
	w.handle(record(1, processing, failed.with(item{"failureMessage": str("\uFFFE" + strings.Repeat("é", 150_000))})))
	var d event.Detail
	if err := json.Unmarshal([]byte(w.published[0].detail), &d); err != nil {
		t.Fatal(err)
	}
	if want := "\uFFFD" + strings.Repeat("é", 2046); d.Failure.Message != want {
		t.Errorf("%d bytes: %.10q…", len(d.Failure.Message), d.Failure.Message)
	}
}

func TestTypeIsTold(t *testing.T) {
	t.Parallel()
	for state, want := range map[string]string{"PROCESSED": "EXTRACT", "FAILED": "EXTRACT", "CANCELLED": "EXTRACT", "REFUSED": ""} {
		w := newHarness(t)
		w.handle(record(1, processing, processed.with(item{"state": str(state)})))
		if d, err := event.Parse([]byte(w.published[0].detail)); err != nil || d.Type != want {
			t.Errorf("%s: type %q, %v, want %q", state, d.Type, err, want)
		}
	}
}

// No text of an event keeps it from a queue, and none of them names another thing than
// it did.
func TestTextsThatNoQueueTakes(t *testing.T) {
	t.Parallel()
	const odd = "a\uFFFE\uFFFF\u0000\u000b+ é/b"
	const plain = "a\uFFFD\uFFFD\uFFFD\uFFFD+ é/b"
	w := newHarness(t)
	w.handle(record(1, processing, failed.with(item{"key": str(odd), "route": str(odd), "processorId": str(odd), "type": str(odd), "runUrl": str(odd), "failureReason": str(odd), "failureMessage": str(odd)})))
	checkDeadLetters(t, w.deadLetters)
	if got := w.published[0].detail; !queue.Takes(got) || strings.Contains(got, `\u00`) {
		t.Errorf("no queue takes %s", got)
	}
	d, err := event.Parse([]byte(w.published[0].detail))
	if err != nil {
		t.Fatal(err)
	}
	want := &event.Detail{
		SchemaVersion: 1, ID: "doc_a.1", DocumentID: "doc_a", Revision: 1, State: "FAILED", Attempt: 1, RunID: "dpr_1", RunURL: plain, Route: plain, Processor: plain, Type: plain,
		Object:  &event.Object{Bucket: "in", Key: plain, KeyEncoded: "a%EF%BF%BE%EF%BF%BF%00%0B%2B%20%C3%A9/b", VersionID: "v1", ETag: "e1", Size: 1, Sequence: "0A"},
		Failure: &event.Failure{Reason: plain, Message: plain}, SubmittedAt: d.SubmittedAt, FinishedAt: d.FinishedAt,
	}
	if diff := cmp.Diff(want, d); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for name, decode := range map[string]func(string) (string, error){"as a path": url.PathUnescape, "as a form": url.QueryUnescape} {
		if key, err := decode(d.Object.KeyEncoded); key != odd || err != nil {
			t.Errorf("%s: %q, %v", name, key, err)
		}
	}

	// A key that every queue takes is told once, whatever else is in it.
	w = newHarness(t)
	w.handle(record(1, processing, processed.with(item{"key": str("\uFFFD\n%41+ \u0085.pdf")})))
	if d, err = event.Parse([]byte(w.published[0].detail)); err != nil || d.Object.Key != "\uFFFD\n%41+ \u0085.pdf" || d.Object.KeyEncoded != "" {
		t.Errorf("%+v, %v", d.Object, err)
	}

	for _, name := range []string{"documentId", "versionId", "eTag", "sequence", "bucket"} {
		w := newHarness(t)
		w.handle(record(1, processing, processed.with(item{name: str("a\uFFFF")})))
		if len(w.published) > 0 || len(w.deadLetters) != 1 || !strings.Contains(w.deadLetters[0].Reason, "no queue takes") {
			t.Errorf("%s: %d events, dead letters %+v", name, len(w.published), w.deadLetters)
		}
	}
}

func TestLargeDeadLetterGoesToTheBucket(t *testing.T) {
	t.Parallel()
	w := newHarness(t)
	w.handle(record(7, processing, processed.with(item{"state": str("ARCHIVED"), "output": str(strings.Repeat("x", 300_000))})))
	if len(w.deadLetters) != 1 || w.deadLetters[0].Body != `{"recordsLocation":"s3://results/announced/dead/7.json"}` {
		t.Fatalf("%.300v", w.deadLetters)
	}
	w.deadLetters = nil
	w.handleJSON([]byte(w.stored["announced/dead/7.json"]))
	if len(w.deadLetters) != 1 {
		t.Error("what is stored is no input of the function")
	}
}

// many are results of n documents.
func many(n int) []any {
	var records []any
	for i := range n {
		id := fmt.Sprintf("doc_%02d", i)
		records = append(records, record(i, processing.of(id), processed.of(id)))
	}
	return records
}

func TestRequestsAreFilled(t *testing.T) {
	t.Parallel()
	w := newHarness(t)
	w.handle(many(25)...)
	if len(w.requests) != 3 || len(w.requests[0]) != 10 || len(w.requests[2]) != 5 {
		t.Errorf("%v", w.requests)
	}
	w = newHarness(t)
	big := item{"output": str(strings.Repeat("x", maxBytes/3))}
	w.handle(record(1, nil, processed.of("doc_1").with(big)), record(2, nil, processed.of("doc_2").with(big)), record(3, nil, processed.of("doc_3").with(big)))
	if len(w.requests) != 2 {
		t.Errorf("%v", w.requests)
	}
}

func TestOrderOfOneDocument(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t)
		var records []any
		old := processing
		for i := range 4 {
			next := processed.with(item{"revision": num(i + 1), "recordVersion": num(i + 3)})
			records = append(records, record(2*i, old, next), record(2*i+1, processing.of(fmt.Sprint("doc_", i)), processed.of(fmt.Sprint("doc_", i))))
			old = next
		}
		first := true
		w.fail = func(ids []string) ([]bustypes.PutEventsResultEntry, error) {
			results := make([]bustypes.PutEventsResultEntry, len(ids))
			if i := slices.Index(ids, "doc_a.2"); i >= 0 && first { // it must not be overtaken by .3
				first = false
				results[i] = refusal("ThrottlingException")
			}
			return results, nil
		}
		if repeated := w.handle(records...); repeated != "" {
			t.Errorf("repeated from %s", repeated)
		}
		var got []string
		for _, id := range w.ids() {
			if strings.HasPrefix(id, "doc_a.") {
				got = append(got, id)
			}
		}
		if d := cmp.Diff([]string{"doc_a.1", "doc_a.2", "doc_a.3", "doc_a.4"}, got); d != "" || len(w.ids()) != 8 {
			t.Errorf("%v (-want +got):\n%s", w.ids(), d)
		}
	})
}

func refusal(code string) bustypes.PutEventsResultEntry {
	return bustypes.PutEventsResultEntry{ErrorCode: &code, ErrorMessage: aws.String("because")}
}

func TestFailedEntriesAreTriedAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t)
		tries := make(map[string]int)
		w.fail = func(ids []string) ([]bustypes.PutEventsResultEntry, error) {
			results := make([]bustypes.PutEventsResultEntry, len(ids))
			for i, id := range ids {
				if tries[id]++; id == "doc_03.1" && tries[id] < 3 || id == "doc_07.1" && tries[id] < 2 {
					results[i] = refusal("InternalFailure")
				}
			}
			return results, nil
		}
		start := time.Now()
		if repeated := w.handle(many(12)...); repeated != "" {
			t.Errorf("repeated from %s", repeated)
		}
		want := [][]string{w.requests[0], {"doc_03.1", "doc_07.1"}, {"doc_03.1"}, {"doc_10.1", "doc_11.1"}}
		if d := cmp.Diff(want, w.requests); d != "" {
			t.Errorf("requests (-want +got):\n%s", d)
		}
		if len(w.published) != 12 || time.Since(start) != 300*time.Millisecond {
			t.Errorf("%d events after %s", len(w.published), time.Since(start))
		}
	})
}

func TestWhatIsNotPublishedIsRepeated(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, code := range []string{"ThrottlingException", "InternalFailure", "AccessDeniedException", "NotAuthorizedForSourceException", "SomethingNew"} {
			w := newHarness(t)
			w.fail = func(ids []string) ([]bustypes.PutEventsResultEntry, error) {
				results := make([]bustypes.PutEventsResultEntry, len(ids))
				for i, id := range ids {
					if id == "doc_13.1" || id == "doc_15.1" {
						results[i] = refusal(code)
					}
				}
				return results, nil
			}
			if repeated := w.handle(many(40)...); repeated != "13" {
				t.Errorf("%s: repeated from %q, want the first that is not on the bus, 13", code, repeated)
			}
			if len(w.requests) != 1+maxTries || len(w.published) != 18 || len(w.deadLetters) > 0 {
				t.Errorf("%s: %d requests, %d events, dead letters %v", code, len(w.requests), len(w.published), w.deadLetters)
			}
		}
	})
}

func TestRequestThatFailsIsRepeated(t *testing.T) {
	t.Parallel()
	w := newHarness(t)
	w.fail = func(ids []string) ([]bustypes.PutEventsResultEntry, error) {
		if ids[0] == "doc_10.1" {
			return nil, errors.New("connection reset")
		}
		return nil, nil
	}
	if repeated := w.handle(many(25)...); repeated != "10" || len(w.published) != 10 || len(w.requests) != 2 {
		t.Errorf("repeated from %q, %d events, %d requests", repeated, len(w.published), len(w.requests))
	}
}

func TestEntryThatTheBusRefuses(t *testing.T) {
	t.Parallel()
	for _, code := range entryRefusals {
		w := newHarness(t)
		w.fail = func(ids []string) ([]bustypes.PutEventsResultEntry, error) {
			results := make([]bustypes.PutEventsResultEntry, len(ids))
			results[1] = refusal(code)
			return results, nil
		}
		if repeated := w.handle(many(3)...); repeated != "" || !slices.Equal(w.ids(), []string{"doc_00.1", "doc_02.1"}) {
			t.Errorf("%s: repeated from %q, events %v", code, repeated, w.ids())
		}
		checkDeadLetters(t, w.deadLetters, code+": because")
	}
}

func TestRequestThatIsRefusedAsAWhole(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t)
		throttled := false
		w.fail = func(ids []string) ([]bustypes.PutEventsResultEntry, error) {
			if slices.Contains(ids, "doc_01.1") {
				return nil, &smithy.GenericAPIError{Code: "ValidationException", Message: "Total size of the entries in the request is over the limit"}
			}
			if slices.Contains(ids, "doc_02.1") && !throttled {
				throttled = true
				return []bustypes.PutEventsResultEntry{refusal("ThrottlingException")}, nil
			}
			return nil, nil
		}
		if repeated := w.handle(many(4)...); repeated != "" || !slices.Equal(w.ids(), []string{"doc_00.1", "doc_03.1", "doc_02.1"}) {
			t.Errorf("repeated from %q, events %v", repeated, w.ids())
		}
		checkDeadLetters(t, w.deadLetters, "over the limit")

		// The network ends between the single ones.
		w = newHarness(t)
		w.fail = func(ids []string) ([]bustypes.PutEventsResultEntry, error) {
			switch {
			case len(ids) > 1:
				return nil, &smithy.GenericAPIError{Code: "ValidationException"}
			case ids[0] == "doc_02.1":
				return nil, errors.New("connection reset")
			}
			return nil, nil
		}
		if repeated := w.handle(many(4)...); repeated != "2" || len(w.ids()) != 2 {
			t.Errorf("repeated from %q, events %v", repeated, w.ids())
		}
	})
}

func TestErrorsOfOtherServicesAreRepeated(t *testing.T) {
	t.Parallel()
	away := errors.New("away")
	w := newHarness(t)
	w.parts.Put = func(context.Context, string, []byte) (string, error) { return "", away }
	large := processed.of("doc_large").with(item{"output": str(strings.Repeat("x", maxBytes))})
	if repeated := w.handle(record(1, nil, processed), record(2, nil, large), record(3, nil, failed.of("doc_c"))); repeated != "2" || !slices.Equal(w.ids(), []string{"doc_a.1"}) {
		t.Errorf("S3 is away: repeated from %q, events %v", repeated, w.ids())
	}
	w = newHarness(t)
	w.parts.SendDeadLetter = func(context.Context, DeadLetter) error { return away }
	poison := processed.of("doc_poison").with(item{"state": str("ARCHIVED")})
	if repeated := w.handle(record(1, nil, processed), record(2, nil, poison), record(3, nil, failed.of("doc_c"))); repeated != "2" || !slices.Equal(w.ids(), []string{"doc_a.1"}) {
		t.Errorf("SQS is away: repeated from %q, events %v", repeated, w.ids())
	}
	// Without a sequence number there is nothing to name: the whole batch is repeated.
	if answer, err := w.Handle(t.Context(), []byte(`{"Records":["hello"]}`)); !errors.Is(err, away) {
		t.Errorf("%+v, %v", answer, err)
	}
}

func TestAnswersBeforeTheFunctionEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t)
		w.fail = func(ids []string) ([]bustypes.PutEventsResultEntry, error) {
			time.Sleep(time.Second)
			return []bustypes.PutEventsResultEntry{refusal("InternalFailure")}, nil
		}
		ctx, cancel := context.WithTimeout(t.Context(), reserve+1500*time.Millisecond)
		defer cancel()
		input, err := json.Marshal(map[string]any{"Records": many(1)})
		if err != nil {
			t.Fatal(err)
		}
		answer, err := w.Handle(ctx, input)
		if err != nil || len(answer.BatchItemFailures) != 1 || ctx.Err() != nil {
			t.Errorf("%+v, %v, %v", answer, err, ctx.Err())
		}
	})
}
