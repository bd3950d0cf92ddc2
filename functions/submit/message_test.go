package submit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"extend-intake/dev/fakeextend"
	"extend-intake/shared/document"
	"extend-intake/shared/extend"
	"extend-intake/shared/ledger"
)

// A message that waited 30 times, without an error, for the account to be put in order
// has 20 tries left like any other.
func TestWaitingUsesUpNoTries(t *testing.T) {
	t.Parallel()
	in := newIntake(t)
	in.file = func(context.Context, document.Source, string, time.Duration) (*extend.RunFile, error) {
		in.file = linked
		panic("once")
	}
	m, u := put("a")
	m.receives = 30
	r := in.receive(m)
	if len(r.Dead) > 0 {
		t.Fatalf("the first error of its own ends it: %s", r.Dead[0].Reason)
	}
	in.clock.advance(rules.Lease)
	in.settle(m)
	in.wantProcessing(u)
}

// Extend's limits are per second and per minute. A 429 without Retry-After, which
// the vendor does not promise, must not stop an instance for a quarter of an hour
// because one message has been received often (while the account was refused, say).
func TestAnOldMessagePausesTheInstanceNoLonger(t *testing.T) {
	t.Parallel()
	in := newIntake(t, onCreate(fakeextend.Fault{Status: 429}))
	m, _ := put("old")
	m.receives = 15
	in.receive(m)
	in.clock.advance(time.Minute)
	fresh, u := put("fresh")
	if r := in.receive(fresh); len(r.Back) > 0 {
		t.Fatalf("a minute later the instance is still paused, for %v", r.Back["fresh"])
	}
	in.wantProcessing(u)
}

// A panic over one upload must not keep the other uploads of the message from
// being submitted.
func TestAPanicOverOneUploadOfAMessage(t *testing.T) {
	t.Parallel()
	in := newIntake(t)
	bad, good := upload{"in/bad.pdf", "v1"}, upload{"in/good.pdf", "v1"}
	in.file = func(ctx context.Context, s document.Source, name string, limit time.Duration) (*extend.RunFile, error) {
		if s.Key == bad.key {
			panic("always")
		}
		return linked(ctx, s, name, limit)
	}
	r := in.receive(message{id: "m", body: s3Event(bad, good)})
	if len(r.Requeued) != 1 || r.Requeued[0].Errors != 1 {
		t.Errorf("%+v", r)
	}
	in.wantProcessing(good)
}

// When the table fails after a refusal of the account, the refusal still pauses the
// rest of the batch, and the log still says what Extend answered.
func TestARefusalPausesWhenTheLedgerFails(t *testing.T) {
	t.Parallel()
	in := newIntake(t, onCreate(fakeextend.Fault{Status: 401}, fakeextend.Fault{Status: 401}))
	in.Runs = hookedRuns{in.runs, func(*extend.Run) { in.Ledger = in.brokenLedger() }}
	a, _ := put("a")
	in.receive(a)
	in.wantLog("401", "UNAUTHORIZED")

	in.Runs, in.Ledger = in.runs, in.book
	b, ub := put("b")
	in.receive(b)
	in.wantNone(ub)
	in.wantCalls(map[string]int{fakeextend.RouteCreate: 1})
}

// The queue takes what it has handed out a thousand times for poison, and forgets
// after fourteen days. A message that only waits must meet neither.
func TestAMessageThatWaitsForLongIsRequeued(t *testing.T) {
	t.Parallel()
	in := newIntake(t)
	in.Key = func(context.Context) (string, error) { return "", errors.New("no key yet") }
	m, u := put("a")
	m.errors = 3
	m.receives = maxReceives - 1
	in.want(in.receive(m), returns("a", in.config.Pause))
	m.receives = maxReceives
	in.clock.advance(time.Hour)
	in.want(in.receive(m), result{Requeued: []requeued{{m.body, 3, in.config.Pause}}})
	in.clock.advance(time.Hour)
	in.config.Pause = time.Hour // longer than SQS delays a new message
	in.want(in.receive(m), result{Requeued: []requeued{{m.body, 3, maxBackoff}}})
	in.wantNone(u)
}

// A message of our own is about a document that has been begun: it goes on, whatever the
// route is now.
func TestADocumentOutlivesItsRoute(t *testing.T) {
	t.Parallel()
	in := newIntake(t)
	in.config.Routes[0].Prefix = "elsewhere/"
	u := upload{"in/a.pdf", "v1"}
	in.begun(u.source())
	in.want(in.receive(message{id: "a", body: document.RequeueMessage(u.source())}), allDone)
	in.wantProcessing(u)
}

// Whoever may send messages to the queue could else have any object read, whatever the routes.
func TestAMessageOfOurOwnBeginsNothing(t *testing.T) {
	t.Parallel()
	in := newIntake(t)
	u := upload{"elsewhere/secret.pdf", "v1"}
	m := message{id: "a", body: document.RequeueMessage(u.source())}
	in.want(in.receive(m), result{Dead: []dead{{m.body, "a message of our own is about a document that is not in the table: was its item deleted? If the file is to be read, upload it again"}}})
	in.wantNone(u)
	in.wantRuns(0)
}

// The stack may have read another bucket before.
func TestADocumentOfAnotherBucketIsNotReprocessed(t *testing.T) {
	t.Parallel()
	in := newIntake(t)
	s := document.Source{Bucket: "elsewhere", Key: "in/a.pdf", VersionID: "v1", ETag: "e"}
	if _, err := in.book.Apply(t.Context(), s.DocumentID(), ledger.RunEnded{Source: s, Signed: true, Attempt: 1, RunID: "dpr_1", State: ledger.Failed, Digest: "d"}); err != nil {
		t.Fatal(err)
	}
	m := message{id: "wish", body: document.ReprocessMessage(document.Reprocess{DocumentID: s.DocumentID(), Attempt: 2})}
	in.want(in.receive(m), result{Dead: []dead{{m.body, s.DocumentID() + " is of the bucket elsewhere, and this stack reads intake-uploads"}}})
	if rec, err := in.book.Get(t.Context(), s.DocumentID()); err != nil || rec.Attempt != 1 {
		t.Errorf("%+v, %v", rec, err)
	}
	in.wantRuns(0)
}

func TestARefusedDocumentIsReprocessed(t *testing.T) {
	t.Parallel()
	in := newIntake(t, onCreate(fakeextend.Fault{Status: 404}))
	m, u := put("a")
	in.want(in.receive(m), result{})
	in.wantState(u, ledger.Refused, "")

	wish := func(attempt int) message {
		return message{id: "wish", body: document.ReprocessMessage(document.Reprocess{DocumentID: u.id(), Attempt: attempt})}
	}
	in.want(in.receive(wish(2)), result{})
	in.wantProcessing(u)
	if rec := in.record(u); rec.Attempt != 2 || len(rec.Runs) != 1 || rec.Runs[0].State != ledger.Refused {
		t.Errorf("%+v", rec)
	}
	in.want(in.receive(wish(2), wish(2)), result{}) // SQS delivers at least once
	in.wantRuns(1)
}

func TestAReprocessMessageThatCanNotBeMet(t *testing.T) {
	t.Parallel()
	in := newIntake(t)
	m, u := put("a")
	in.want(in.receive(m), result{})
	wish := func(id string, attempt int) string {
		return document.ReprocessMessage(document.Reprocess{DocumentID: id, Attempt: attempt})
	}
	for _, c := range []struct{ body, reason string }{
		{wish(u.id(), 2), "attempt 2 of " + u.id() + " can't begin: attempt 1 is PROCESSING. Ask for attempt 2, once that one has ended"},
		{wish(u.id(), 7), "attempt 7 of " + u.id() + " can't begin: attempt 1 is PROCESSING. Ask for attempt 2, once that one has ended"},
		{wish("doc_aaaaaaaaaaaaaaaaaaaaaaaaaa", 2), "no document doc_aaaaaaaaaaaaaaaaaaaaaaaaaa in the table: is the id right?"},
		{fmt.Sprintf(`{"extendIntake": 1, "reprocess": {"documentId": %q}}`, u.id()), `not an upload event: to reprocess takes a document id and the number of the new attempt, 2 or more: {"extendIntake": 1, "reprocess": {"documentId": "doc_…", "attempt": 2}}`},
	} {
		in.want(in.receive(message{id: "wish", body: c.body}), result{Dead: []dead{{c.body, c.reason}}})
	}
	in.wantRuns(1)
}

func TestAMessageThatAlwaysPanics(t *testing.T) {
	t.Parallel()
	in := newIntake(t)
	in.Key = func(context.Context) (string, error) { panic("always") }
	m, _ := put("a")
	m.receives = 500 // it may have waited long for the account to be put in order
	for m.errors = 0; m.errors < maxErrors-1; m.errors++ {
		if got, want := in.receive(m), (result{Requeued: []requeued{{m.body, m.errors + 1, backoff(m.errors + 1)}}}); !cmp.Equal(got, want) {
			t.Fatalf("after %d errors: %+v", m.errors, got)
		}
	}
	in.want(in.receive(m), result{Dead: []dead{{m.body, "panic: always (given up after 12 tries)"}}})
	in.wantRuns(0)
}

func TestOneMessageAboutSeveralUploads(t *testing.T) {
	t.Parallel()
	first, second, third := upload{"in/1.pdf", "v1"}, upload{"in/2.pdf", "v1"}, upload{"in/3.pdf", "v1"}
	m := message{id: "m", body: s3Event(first, second, third)}

	t.Run("all done", func(t *testing.T) {
		t.Parallel()
		in := newIntake(t)
		in.want(in.receive(m), allDone)
		for _, u := range []upload{first, second, third} {
			in.wantProcessing(u)
		}
	})
	t.Run("one is to come back", func(t *testing.T) {
		t.Parallel()
		in := newIntake(t, onCreate(fakeextend.Fault{}, fakeextend.Fault{Status: 500, After: true}))
		in.want(in.receive(m), returns("m", firstSearch))
		in.wantProcessing(first)
		in.wantState(second, ledger.Unconfirmed, "")
		in.wantProcessing(third)
		in.want(in.receive(m), allDone)
		in.wantProcessing(second)
		in.wantRuns(3)
	})
	t.Run("one is spoilt", func(t *testing.T) {
		t.Parallel()
		in := newIntake(t)
		m := message{id: "m", body: strings.Replace(s3Event(first, second), `"eventSource":"aws:s3"`, `"eventSource":"aws:ses"`, 1)}
		in.want(in.receive(m), result{Dead: []dead{{m.body, `not an upload event: a record's eventSource is "aws:ses", not "aws:s3"`}}})
		in.wantProcessing(second)
	})
	t.Run("one is spoilt and one is to come back", func(t *testing.T) {
		t.Parallel()
		in := newIntake(t, onCreate(fakeextend.Fault{Status: 500}))
		m := message{id: "m", body: strings.Replace(s3Event(first, second), `"eventSource":"aws:s3"`, `"eventSource":"aws:ses"`, 1)}
		in.want(in.receive(m), returns("m", firstSearch)) // the one for the dead-letter queue is handled again then
	})
}

func TestAnErrorThatCantBeCounted(t *testing.T) {
	t.Parallel()
	in := newIntake(t)
	in.file = func(context.Context, document.Source, string, time.Duration) (*extend.RunFile, error) {
		panic("always")
	}
	in.queue.requeueErr = errors.New("SQS is away")
	m, _ := put("a")
	in.want(in.receive(m), returns("a", 0)) // after the queue's own visibility timeout
	in.wantLog("ERROR message not requeued", "SQS is away")
}

func TestTheQueueFails(t *testing.T) {
	t.Parallel()
	in := newIntake(t, onCreate(fakeextend.Fault{Status: 503}))
	in.queue.delayErr, in.queue.deadLetterErr = errors.New("no visibility for you"), errors.New("no dead letters for you")
	spoilt, waiting := message{id: "spoilt", body: "hello"}, message{id: "waiting", body: s3Event(upload{"in/w.pdf", "v1"})}
	good, u := put("good")
	// Both come back after the queue's own visibility timeout.
	in.want(in.receive(spoilt, waiting, good), result{Back: map[string]time.Duration{"spoilt": 0, "waiting": 0}})
	in.wantProcessing(u)
	in.wantLog("ERROR not sent to the dead-letter queue", "message_id=spoilt", "no dead letters for you")
	in.wantLog("WARN delay not set", "message_id=waiting", "no visibility for you")
}

func TestJitterOnlyAdds(t *testing.T) {
	t.Parallel()
	in := newIntake(t, onCreate(fakeextend.Fault{Status: 429, RetryAfter: "30"}))
	in.Jitter = func() float64 { return 0.5 }
	m, _ := put("a")
	in.want(in.receive(m), returns("a", 37500*time.Millisecond)) // never before Retry-After
}

// A link is signed for the stack's region: S3 would refuse it for an object of another.
func TestAnotherRegionIsNotRead(t *testing.T) {
	t.Parallel()
	u := upload{"in/a.pdf", "v1"}
	bridge := `{"source":"aws.s3","region":"eu-west-1","detail-type":"Object Created","detail":{"bucket":{"name":"` + bucket + `"},"object":{"key":"in/a.pdf","size":7,"etag":"e1","version-id":"v1"}}}`
	sns := string(must(json.Marshal(map[string]string{"Type": "Notification", "Message": s3Event(u)})))
	for name, tt := range map[string]struct {
		stack, body string
		read        bool
	}{
		"the same":                 {"eu-west-1", s3Event(u), true},
		"another":                  {"us-east-1", s3Event(u), false},
		"another, by EventBridge":  {"us-east-1", bridge, false},
		"the same, by EventBridge": {"eu-west-1", bridge, true},
		"another, by SNS":          {"us-east-1", sns, false},
		"the same, by SNS":         {"eu-west-1", sns, true},
		"the event does not say":   {"us-east-1", strings.Replace(s3Event(u), `"awsRegion":"eu-west-1",`, "", 1), true},
		"the stack does not know":  {"", s3Event(u), true},
		"a message of our own":     {"us-east-1", document.RequeueMessage(u.source()), true},
	} {
		in := newIntake(t)
		in.config.Region = tt.stack
		if strings.HasPrefix(tt.body, `{"extendIntake"`) {
			in.begun(u.source())
		}
		want := allDone
		if !tt.read {
			want = result{Dead: []dead{{tt.body, `s3://intake-uploads/in/a.pdf is in the region "eu-west-1", and this stack in us-east-1: S3 would refuse its links. Deploy a stack in the bucket's region, or replicate the bucket into the stack's and read the copy`}}}
		}
		t.Log(name)
		in.want(in.receive(message{id: "m", body: tt.body}), want)
		in.wantRuns(map[bool]int{true: 1}[tt.read])
	}
}

// What an event says of the size decides nothing: S3 is asked.
func TestASizeThatIsNotUnderstoodIsAskedFor(t *testing.T) {
	t.Parallel()
	in := newIntake(t)
	sizes := map[string]int64{"in/full.pdf": 10, "in/empty.pdf": 0, "in/report/": 10, "in/marker/": 0}
	in.Bucket = fakeBucket{head: func(s document.Source) (Object, error) { return Object{Size: sizes[s.Key]}, nil }}
	for key, size := range sizes {
		u := upload{key, "v1"}
		in.want(in.receive(message{id: "m", body: strings.Replace(s3Event(u), `"size":1024`, `"size":"?"`, 1)}), allDone)
		if size > 0 {
			in.wantProcessing(u)
		} else if rec := in.record(u); rec.State != ledger.Refused || rec.FailureReason != "EMPTY_FILE" {
			t.Errorf("%s: %+v", key, rec)
		}
	}
	in.wantRuns(2)
}
