package simulation

import (
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"
)

// What template.yaml says of the queue and of the event source.
const (
	visibility  = 6 * time.Minute
	retention   = 14 * 24 * time.Hour
	maxReceives = 1000
	concurrency = 2
	batchSize   = 10
)

// uploadQueue is the upload queue, its event source and its dead-letter queue.
type uploadQueue struct {
	w        *world
	messages []*message
	handed   map[string]*message // by their newest receipt
	dead     []deadLetter
	sent     int
	receives int
	polling  int // polls on their way
	busy     int // batches in hand
}

type message struct {
	id, body   string
	attributes map[string]string
	sent       time.Time
	visible    time.Time
	receives   int
	receipt    string // the newest
}

type deadLetter struct{ body, reason string }

// send puts a message into the queue.
func (q *uploadQueue) send(body string) { q.sendLater(body, nil, 0) }

// sendLater puts a message into the queue that is seen after d, at most 15 minutes.
func (q *uploadQueue) sendLater(body string, attributes map[string]string, d time.Duration) {
	q.w.mu.Lock()
	q.sent++
	now := time.Now()
	m := &message{id: "m" + strconv.Itoa(q.sent), body: body, attributes: attributes, sent: now, visible: now.Add(d)}
	q.messages = append(q.messages, m)
	if d > 15*time.Minute {
		q.w.broken("a message is sent with a delay of %v: SQS refuses that", d)
	}
	q.w.mu.Unlock()
	q.pokeAt(m.visible)
	q.poke()
}

// poke has the event source poll, if there is a message to be had and its concurrency
// allows one more batch.
func (q *uploadQueue) poke() {
	w := q.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if q.polling+q.busy >= w.set.instances {
		return
	}
	now := time.Now()
	if !slices.ContainsFunc(q.messages, func(m *message) bool { return !m.visible.After(now) }) {
		return
	}
	q.polling++
	time.AfterFunc(w.latency(w.dice("poll", q.receives, q.busy, q.polling, q.sent)), q.poll)
}

// pokeAt pokes when a message becomes visible.
func (q *uploadQueue) pokeAt(t time.Time) { time.AfterFunc(time.Until(t), q.poke) }

// poll takes a batch and has it handled.
func (q *uploadQueue) poll() {
	w := q.w
	batch := q.receive()
	w.mu.Lock()
	q.polling--
	if len(batch) > 0 {
		q.busy++
	}
	w.mu.Unlock()
	q.poke()
	if len(batch) == 0 {
		return
	}
	event, err := json.Marshal(events.SQSEvent{Records: batch})
	if err != nil {
		panic(err)
	}
	w.submit.invoke(json.RawMessage(event), func(answer any, err error) { q.settle(batch, answer, err) })
}

// receive hands out up to ten messages in no particular order.
func (q *uploadQueue) receive() []events.SQSMessage {
	w := q.w
	w.mu.Lock()
	q.receives++
	dice := w.dice("receive", q.receives)
	now := time.Now()
	var there []*message
	for _, m := range q.messages {
		if !m.visible.After(now) && now.Sub(m.sent) <= retention {
			there = append(there, m)
		}
	}
	n := min(len(there), 1+dice.IntN(batchSize))
	if len(there) > batchSize {
		n = batchSize
	}
	for i := range n { // the first n of a shuffle
		j := i + dice.IntN(len(there)-i)
		there[i], there[j] = there[j], there[i]
	}
	w.mu.Unlock()

	var batch []events.SQSMessage
	for _, m := range there[:n] {
		hidden := visibility
		if w.strike(dice, deliveredTwice) {
			w.tell("queue", "", "FAULT: %s is delivered to another one, too", m.id)
			hidden = between(dice, 0, time.Second)
		}
		w.mu.Lock()
		m.receives++
		if m.receives > maxReceives {
			q.remove(m)
			q.dead = append(q.dead, deadLetter{body: m.body})
			w.mu.Unlock()
			continue
		}
		m.visible = now.Add(hidden)
		delete(q.handed, m.receipt)
		m.receipt = m.id + "/" + strconv.Itoa(m.receives)
		q.handed[m.receipt] = m
		attributes := map[string]events.SQSMessageAttribute{}
		for name, value := range m.attributes {
			attributes[name] = events.SQSMessageAttribute{StringValue: &value, DataType: "String"}
		}
		batch = append(batch, events.SQSMessage{
			MessageId: m.id, ReceiptHandle: m.receipt, Body: m.body, EventSource: "aws:sqs",
			MessageAttributes: attributes,
			Attributes: map[string]string{
				"ApproximateReceiveCount": strconv.Itoa(m.receives), "SentTimestamp": strconv.FormatInt(m.sent.UnixMilli(), 10),
			},
		})
		w.mu.Unlock()
		q.pokeAt(m.visible)
	}
	if w.trace != nil {
		var names []string
		for _, m := range batch {
			names = append(names, m.ReceiptHandle)
		}
		w.tell("queue", "", "hands out %s", strings.Join(names, " "))
	}
	return batch
}

// settle deletes what was done.
func (q *uploadQueue) settle(batch []events.SQSMessage, answer any, err error) {
	w := q.w
	failed := map[string]bool{}
	if err == nil {
		// As the service reads it: an empty list means that all are done.
		text, _ := json.Marshal(answer)
		var r struct {
			Failures *[]struct{ ItemIdentifier string } `json:"batchItemFailures"`
		}
		if json.Unmarshal(text, &r) != nil || r.Failures == nil {
			w.violate("submit answered a batch with %s", text)
			r.Failures = new([]struct{ ItemIdentifier string })
		}
		for _, f := range *r.Failures {
			if !slices.ContainsFunc(batch, func(m events.SQSMessage) bool { return m.MessageId == f.ItemIdentifier }) {
				w.violate("submit names a message that was not in its batch: %q", f.ItemIdentifier)
			}
			failed[f.ItemIdentifier] = true
		}
	}
	w.mu.Lock()
	dice := w.dice("settle", batch[0].ReceiptHandle)
	w.mu.Unlock()
	w.later(w.latency(dice), func() {
		for _, m := range batch {
			if err != nil || failed[m.MessageId] {
				continue
			}
			if w.strike(dice, deleteLost) {
				w.tell("queue", "", "FAULT: %s is done but not deleted", m.ReceiptHandle)
				continue
			}
			q.delete(m.ReceiptHandle)
		}
		w.mu.Lock()
		q.busy--
		w.mu.Unlock()
		q.poke()
	})
}

// delete takes a message out. As in SQS, an old receipt has no effect.
func (q *uploadQueue) delete(receipt string) {
	q.w.mu.Lock()
	defer q.w.mu.Unlock()
	if m := q.find(receipt); m != nil {
		q.remove(m)
		q.w.line("queue", "", m.id+" is deleted")
	}
}

func (q *uploadQueue) remove(m *message) {
	if i := slices.Index(q.messages, m); i >= 0 {
		q.messages = slices.Delete(q.messages, i, i+1)
	}
	delete(q.handed, m.receipt)
}

func (q *uploadQueue) find(receipt string) *message { return q.handed[receipt] }

// delay changes a message's visibility, for twelve hours at most.
func (q *uploadQueue) delay(receipt string, d time.Duration) error {
	q.w.mu.Lock()
	defer q.w.mu.Unlock()
	if d < 0 || d > 12*time.Hour {
		return errors.New("InvalidParameterValue: VisibilityTimeout")
	}
	m := q.find(receipt)
	if m == nil {
		return nil
	}
	m.visible = time.Now().Add(d.Truncate(time.Second))
	if q.w.trace != nil {
		q.w.line("queue", "", receipt+" comes back after "+d.Truncate(time.Second).String())
	}
	q.pokeAt(m.visible)
	return nil
}

// deadLetter puts a message into the dead-letter queue.
func (q *uploadQueue) deadLetter(body, reason string) {
	q.w.mu.Lock()
	defer q.w.mu.Unlock()
	q.dead = append(q.dead, deadLetter{body, reason})
	q.w.line("queue", "", "dead letter: "+reason)
}
