package submit

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"extend-intake/dev/fakeextend"
	"extend-intake/shared/document"
	"extend-intake/shared/extend"
	"extend-intake/shared/ledger"
)

// A message that waited 30 times, without a fault, for the account to be put in
// order has 20 tries left like any other.
func TestWaitingUsesUpNoTries(t *testing.T) {
	t.Parallel()
	in := newIntake(t)
	in.File = func(context.Context, document.Source, string) (*extend.RunFile, error) {
		in.File = linked
		panic("once")
	}
	m, u := put("a")
	m.receives = 30
	r := in.receive(m)
	if len(r.Dead) > 0 {
		t.Fatalf("the first fault of its own buries it: %s", r.Dead[0].Reason)
	}
	in.clock.advance(rules.Lease)
	in.settle(m)
	in.wantProcessing(u)
}

// Extend's limits are per second and per minute. A 429 without Retry-After, which
// the vendor does not promise, must not stop an instance for a quarter of an hour
// because one message has been received often (while the account was refused, say).
func TestAnOldMessageHoldsTheInstanceNoLonger(t *testing.T) {
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
	in.File = func(ctx context.Context, s document.Source, name string) (*extend.RunFile, error) {
		if s.Key == bad.key {
			panic("always")
		}
		return linked(ctx, s, name)
	}
	r := in.receive(message{id: "m", body: notice(bad, good)})
	if len(r.Again) != 1 || r.Again[0].Faults != 1 {
		t.Errorf("%+v", r)
	}
	in.wantProcessing(good)
}

// The line that an alarm is made of says which refusal it was, also when a look met it.
func TestHoldByALookSaysWhy(t *testing.T) {
	t.Parallel()
	in := newIntake(t, faults(func(c fakeextend.Call) fakeextend.Fault {
		return map[string]fakeextend.Fault{fakeextend.RouteCreate: {Cut: true}, fakeextend.RouteList: {Status: 402}}[c.Route]
	}))
	m, _ := put("a")
	in.receive(m)
	in.clock.advance(firstLook)
	in.receive(m)
	in.wantLog("ERROR paused", "402 USAGE_BLOCKED")
}

// When the table fails after a refusal of the account, the refusal still holds the
// rest of the batch up, and the log still says what Extend answered.
func TestRefusalHoldsWhenTheLedgerFails(t *testing.T) {
	t.Parallel()
	in := newIntake(t, onCreate(fakeextend.Fault{Status: 401}, fakeextend.Fault{Status: 401}))
	in.Runs = hookedRuns{in.client.Runs, func(*extend.Run) { in.Ledger = in.brokenLedger() }}
	a, _ := put("a")
	in.receive(a)
	in.wantLog("401", "UNAUTHORIZED")

	in.Runs, in.Ledger = in.client.Runs, in.book
	b, ub := put("b")
	in.receive(b)
	in.wantNone(ub)
	in.wantCalls(map[string]int{fakeextend.RouteCreate: 1})
}

// A link that dies before Extend can fetch is a run that fails, and an attempt spent.
func TestLinkThatWouldBeDeadOnArrival(t *testing.T) {
	t.Parallel()
	for _, left := range []time.Duration{0, time.Second / 2, 5 * time.Second} {
		t.Run(left.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				text, err := linkText(credentialsUntil(time.Now().Add(left)))(t.Context(), upload{"a.pdf", "v1"}.source())
				if err == nil {
					t.Errorf("credentials for another %v, and a link for %s s", left, must(url.Parse(text)).Query().Get("X-Amz-Expires"))
				}
			})
		})
	}
}

// The queue takes what it has handed out a thousand times for poison, and forgets
// after fourteen days. A message that only waits must meet neither.
func TestAMessageThatWaitsForLongBeginsAnew(t *testing.T) {
	t.Parallel()
	in := newIntake(t)
	in.Key = func(context.Context) (string, error) { return "", errors.New("no key yet") }
	m, u := put("a")
	m.faults = 3
	m.receives = maxReceives - 1
	in.want(in.receive(m), returns("a", in.Config.Pause))
	m.receives = maxReceives
	in.clock.advance(time.Hour)
	in.want(in.receive(m), result{Again: []replaced{{m.body, 3, in.Config.Pause}}})
	in.wantNone(u)
}

// A notice of ours is about a document that has been begun: it goes on, whatever the
// route is now.
func TestADocumentOutlivesItsRoute(t *testing.T) {
	t.Parallel()
	in := newIntake(t)
	in.Config.Routes[0].Prefix = "elsewhere/"
	u := upload{"in/a.pdf", "v1"}
	in.want(in.receive(message{id: "a", body: string(u.source().Notice())}), allDone)
	in.wantProcessing(u)
}

func TestAPersonWantsARefusedDocumentAgain(t *testing.T) {
	t.Parallel()
	in := newIntake(t, onCreate(fakeextend.Fault{Status: 404}))
	m, u := put("a")
	in.want(in.receive(m), result{})
	in.wantState(u, ledger.Refused, "")

	wish := func(attempt int) message {
		return message{id: "wish", body: fmt.Sprintf(`{"reprocess": %q, "attempt": %d}`, u.id(), attempt)}
	}
	in.want(in.receive(wish(2)), result{})
	in.wantProcessing(u)
	if rec := in.record(u); rec.Attempt != 2 || len(rec.Runs) != 1 || rec.Runs[0].State != ledger.Refused {
		t.Errorf("%+v", rec)
	}
	in.want(in.receive(wish(2), wish(2)), result{}) // SQS delivers at least once
	in.wantRuns(1)
}

func TestAWishThatCanNotBeMet(t *testing.T) {
	t.Parallel()
	in := newIntake(t)
	m, u := put("a")
	in.want(in.receive(m), result{})
	for _, c := range []struct{ body, reason string }{
		{fmt.Sprintf(`{"reprocess": %q, "attempt": 2}`, u.id()), "attempt 2 of " + u.id() + " can't begin: attempt 1 is PROCESSING. Ask for attempt 2, once that one has ended"},
		{fmt.Sprintf(`{"reprocess": %q, "attempt": 7}`, u.id()), "attempt 7 of " + u.id() + " can't begin: attempt 1 is PROCESSING. Ask for attempt 2, once that one has ended"},
		{`{"reprocess": "doc_aaaaaaaaaaaaaaaaaaaaaaaaaa", "attempt": 2}`, "no document doc_aaaaaaaaaaaaaaaaaaaaaaaaaa in the table: is the id right?"},
		{fmt.Sprintf(`{"reprocess": %q}`, u.id()), `not an upload notice: to reprocess takes a document id and the number of the new attempt, 2 or more: {"reprocess": "doc_…", "attempt": 2}`},
	} {
		in.want(in.receive(message{id: "wish", body: c.body}), result{Dead: []letter{{c.body, c.reason}}})
	}
	in.wantRuns(1)
}
