package simulation

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"extend-intake/functions/publish"
	"extend-intake/shared/ledger"
)

// What template.yaml says of the stream's event source.
const (
	streamBatch     = 100
	streamRecordAge = 12 * time.Hour // an older record goes to the dead-letter queue
)

// notAnnounced are the states whose records the event source filters out.
var notAnnounced = []ledger.State{ledger.Waiting, ledger.Submitting, ledger.Unconfirmed, ledger.Processing, ledger.Skipped}

// stream is the table's stream and its event source: the records of a document are in
// one shard, and a shard has one batch under way at a time.
type stream struct {
	w       *world
	shards  []*shard
	records int
	poison  map[string]bool            // sequence numbers of records that nobody can publish
	dead    []publish.DeadLetter       // what publish sent to its dead-letter queue
	expired []streamRecord             // what the event source sent there by itself
	events  map[string]json.RawMessage // the records by their sequence number
}

type shard struct {
	s        *stream
	n        int
	records  []streamRecord // not yet done, in their order
	reads    int
	busy     bool // a read or an invocation is under way
	most     int  // how many records the next batch has at most, after one that failed as a whole; 0: no limit
	failures int  // in a row
}

type streamRecord struct {
	sequence, document string
	body               json.RawMessage
	at                 time.Time
}

func (w *world) newStream() *stream {
	s := &stream{w: w, poison: map[string]bool{}, events: map[string]json.RawMessage{}}
	for n := range 1 + w.dice("shards").IntN(2) {
		s.shards = append(s.shards, &shard{s: s, n: n})
	}
	return s
}

// wrote puts a write of the ledger into the stream. The caller holds the world's mutex.
func (s *stream) wrote(old, next *ledger.Record) {
	if slices.Contains(notAnnounced, next.State) {
		return
	}
	image := func(r *ledger.Record) map[string]any {
		if r == nil {
			return nil
		}
		item, err := r.Item()
		if err != nil {
			s.w.broken("%s: the record is no item: %v", s.w.nameOf(next.DocumentID), err)
		}
		return wire(item)
	}
	s.append(next.DocumentID, image(old), image(next))
}

// append puts a change into the stream. The caller holds the world's mutex.
func (s *stream) append(document string, old, next map[string]any) (sequence string) {
	s.records++
	sequence = fmt.Sprintf("1000000000000%06d", s.records)
	name := "MODIFY"
	change := map[string]any{
		"Keys": map[string]any{"documentId": map[string]any{"S": document}}, "NewImage": next, "SequenceNumber": sequence,
		"StreamViewType": "NEW_AND_OLD_IMAGES", "ApproximateCreationDateTime": time.Now().Unix(),
	}
	if change["OldImage"] = old; old == nil {
		name = "INSERT"
		delete(change, "OldImage")
	}
	body, err := json.Marshal(map[string]any{"eventID": sequence, "eventName": name, "eventVersion": "1.1", "eventSource": "aws:dynamodb", "dynamodb": change})
	if err != nil {
		panic(err)
	}
	s.events[sequence] = body
	shard := s.shards[s.w.dice("shard", document).IntN(len(s.shards))]
	shard.records = append(shard.records, streamRecord{sequence, document, body, time.Now()})
	shard.poke()
	return sequence
}

// wire is an item as streams write it.
func wire(item map[string]types.AttributeValue) map[string]any {
	members := make(map[string]any, len(item))
	for name, v := range item {
		members[name] = wireValue(v)
	}
	return members
}

func wireValue(v types.AttributeValue) map[string]any {
	switch v := v.(type) {
	case *types.AttributeValueMemberS:
		return map[string]any{"S": v.Value}
	case *types.AttributeValueMemberN:
		return map[string]any{"N": v.Value}
	case *types.AttributeValueMemberBOOL:
		return map[string]any{"BOOL": v.Value}
	case *types.AttributeValueMemberNULL:
		return map[string]any{"NULL": true}
	case *types.AttributeValueMemberL:
		list := make([]any, len(v.Value))
		for i, item := range v.Value {
			list[i] = wireValue(item)
		}
		return map[string]any{"L": list}
	case *types.AttributeValueMemberM:
		return map[string]any{"M": wire(v.Value)}
	}
	panic(fmt.Sprintf("the ledger writes no %T", v))
}

// poke has the event source read the shard, if there is something in it. The caller
// holds the world's mutex.
func (s *shard) poke() {
	w := s.s.w
	if s.busy || len(s.records) == 0 {
		return
	}
	s.busy = true
	s.reads++
	dice := w.dice("stream", s.n, s.reads)
	after := w.latency(dice) + between(dice, 0, time.Second)
	if s.failures > 0 {
		after += between(dice, 0, min(time.Second<<min(s.failures, 6), time.Minute))
	}
	time.AfterFunc(after, func() {
		if w.strike(dice, streamLate) {
			time.Sleep(between(dice, time.Second, 10*time.Minute))
		}
		s.read([]int{1, 1 + dice.IntN(4), streamBatch, streamBatch}[dice.IntN(4)])
	})
}

// read hands a batch to publish.
func (s *shard) read(most int) {
	w := s.s.w
	w.mu.Lock()
	for len(s.records) > 0 && time.Since(s.records[0].at) > streamRecordAge {
		s.s.expired = append(s.s.expired, s.records[0])
		s.records = s.records[1:]
	}
	if s.most > 0 {
		most = min(most, s.most)
	}
	batch, read := slices.Clone(s.records[:min(len(s.records), most)]), s.reads
	if len(batch) == 0 {
		s.busy = false
		w.mu.Unlock()
		return
	}
	w.mu.Unlock()
	var input strings.Builder
	for i, r := range batch {
		input.WriteString([]string{`{"Records":[`, `,`}[min(i, 1)])
		input.Write(r.body)
	}
	input.WriteString(`]}`)
	w.tell("stream", batch[0].document, "shard %d hands out %d records from %s", s.n, len(batch), batch[0].sequence)
	w.publish.invoke(json.RawMessage(input.String()), func(answer any, err error) { s.settle(read, batch, answer, err) })
}

// settle goes on behind what was done.
func (s *shard) settle(read int, batch []streamRecord, answer any, err error) {
	w := s.s.w
	done, most := len(batch), 0
	if err == nil {
		done, err = w.doneOf(batch, answer)
	}
	if err != nil {
		// The service tries the two halves apart (BisectBatchOnFunctionError).
		done, most = 0, max(1, len(batch)/2)
	}
	failed := done < len(batch)
	if done > 0 && w.strike(w.dice("checkpoint", s.n, read), batchRepeated) {
		w.tell("stream", "", "FAULT: %d records are done, and are repeated", done)
		done = 0
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if s.failures++; !failed {
		s.failures = 0
	}
	s.records, s.most, s.busy = s.records[done:], most, false
	s.poke()
}

// doneOf is how many records of a batch are done, as the service reads an answer:
// everything before the first that is named, and all if none is.
func (w *world) doneOf(batch []streamRecord, answer any) (int, error) {
	text, _ := json.Marshal(answer)
	var r struct {
		Failures *[]struct{ ItemIdentifier string } `json:"batchItemFailures"`
	}
	if json.Unmarshal(text, &r) != nil || r.Failures == nil {
		w.violate("publish answered a batch with %s", text)
		return 0, errors.New("no answer")
	}
	done := len(batch)
	for _, f := range *r.Failures {
		i := slices.IndexFunc(batch, func(r streamRecord) bool { return r.sequence == f.ItemIdentifier })
		if i < 0 {
			w.violate("publish names a record that was not in its batch: %q", f.ItemIdentifier)
			return 0, errors.New("unknown record")
		}
		done = min(done, i)
	}
	return done, nil
}

// idle reports whether everything in the stream is done. The caller holds the world's mutex.
func (s *stream) idle() bool {
	return !slices.ContainsFunc(s.shards, func(s *shard) bool { return s.busy || len(s.records) > 0 })
}

// byHand is a person who writes an item that this version of the product does not know.
func (w *world) byHand(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	document := fmt.Sprintf("by_hand_%d", n)
	sequence := w.stream.append(document, nil, map[string]any{"documentId": map[string]any{"S": document}, "state": map[string]any{"S": "ARCHIVED"}})
	w.stream.poison[sequence] = true
	w.line("person", "", "writes the item "+document)
}
