package submit

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"extend-intake/dev/fakeextend"
	"extend-intake/shared/document"
	"extend-intake/shared/extend"
	"extend-intake/shared/ledger"
)

// Two documents that make Extend fail each time, alone in a quiet bucket, take each other for
// an incident. Each POST may be a bill, so that they end all the same.
func TestTwoDocumentsThatExtendFailsOver(t *testing.T) {
	t.Parallel()
	in := newIntake(t, faults(func(c fakeextend.Call) fakeextend.Fault {
		if c.Route == fakeextend.RouteCreate {
			return fakeextend.Fault{Status: 500}
		}
		return fakeextend.Fault{}
	}))
	a, ua := put("a")
	b, ub := put("b")
	began := in.now()
	for due := []message{a, b}; len(due) > 0 && in.now().Sub(began) < 72*time.Hour; in.clock.advance(30 * time.Second) {
		r := in.receive(due...)
		var back []message
		for _, m := range due {
			if _, ok := r.Back[m.id]; ok {
				back = append(back, m)
			}
		}
		due = back
	}
	for _, u := range []upload{ua, ub} {
		if rec := in.record(u); rec.State != ledger.Refused || rec.FailureReason != ledger.NoAnswer {
			t.Errorf("%s is %s %s", u.key, rec.State, rec.FailureReason)
		}
	}
	for _, c := range in.fake.Requests() {
		if c.Route == fakeextend.RouteCreate && c.Count > 2*(rules.MaxUnanswered+2) { // each is excused as often as there are others
			t.Errorf("%d POSTs", c.Count)
		}
	}
}

// Two documents that a firewall refuses, alone in a quiet bucket, look like an incident to each
// other. A third does not wait for them, and once it is through they are on their own.
func TestTwoSickDocumentsAndAHealthyOne(t *testing.T) {
	t.Parallel()
	in := newIntake(t, faults(fakeextend.ForFile(fakeextend.RouteCreate, "sick", fakeextend.Fault{Status: 403})))
	a, _ := put("sick1")
	b, _ := put("sick2")
	for range 100 { // until all are paused for as long as it takes
		in.receive(a)
		in.receive(b)
		in.clock.advance(time.Minute)
	}
	in.receive(a)
	in.receive(b)
	good, u := put("good")
	in.want(in.receive(good), allDone)
	in.wantProcessing(u)
	in.wantRuns(1)

	rounds := 0
	for open := []string{"sick1", "sick2"}; len(open) > 0; rounds++ {
		if rounds > 200 {
			t.Fatal("they come back for ever, though others are accepted")
		}
		m, healthy := put(fmt.Sprint("good", rounds))
		in.receive(a)
		in.receive(b)
		in.want(in.receive(m), allDone)
		in.wantProcessing(healthy)
		in.clock.advance(maxBackoff)
		open = slices.DeleteFunc(open, func(id string) bool { return in.recordOf("in/" + id + ".pdf").State.Terminal() })
	}
}

// A file that can't be sent in time costs its transfer each time. Two of them end within a day;
// what twenty hear for half a day is an incident.
func TestFilesThatAreAllTooSlow(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		documents int
		within    time.Duration
		end       bool
	}{{2, 24 * time.Hour, true}, {20, 12 * time.Hour, false}} {
		in := newIntake(t)
		in.config.SendsFiles = true
		in.file = func(context.Context, document.Source, string, time.Duration) (*extend.RunFile, error) {
			return nil, context.DeadlineExceeded
		}
		for began := in.now(); in.now().Sub(began) < tt.within; in.clock.advance(tooSlowWait) {
			for i := range tt.documents {
				m, _ := put(fmt.Sprint("slow", i))
				in.receive(m)
				in.clock.advance(time.Second)
			}
		}
		for i := range tt.documents {
			if rec := in.recordOf(fmt.Sprintf("in/slow%d.pdf", i)); rec.State.Terminal() != tt.end || tt.end && rec.FailureReason != "TOO_SLOW" {
				t.Errorf("%d documents: %s %s, %d failures and %d shared", tt.documents, rec.State, rec.FailureReason, rec.Failures, rec.SharedFailures)
			}
		}
	}
}

// Searches that could not be made say nothing of the document, however long ago its POST was.
func TestASearchThatIsNotAllowedIsNotHeldAgainstTheDocument(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusUnauthorized, http.StatusPaymentRequired, http.StatusTooManyRequests} {
		in := newIntake(t, faults(func(c fakeextend.Call) fakeextend.Fault {
			switch {
			case c.Route == fakeextend.RouteCreate && c.N == 1:
				return fakeextend.Fault{Cut: true}
			case c.Route == fakeextend.RouteList && c.N == 1:
				return fakeextend.Fault{Status: status}
			}
			return fakeextend.Fault{}
		}))
		m, u := put("a")
		in.receive(m)
		in.clock.advance(rules.GiveUpAfter + time.Hour)
		in.receive(m)
		in.wantState(u, ledger.Unconfirmed, "")
		in.clock.advance(10 * time.Minute)
		in.want(in.receive(m), allDone)
		in.wantProcessing(u)
	}
}

// One search that fails is one failure, however long nothing was tried before it.
func TestASearchThatFailsAfterALongPause(t *testing.T) {
	t.Parallel()
	in := newIntake(t, faults(func(c fakeextend.Call) fakeextend.Fault {
		switch {
		case c.Route == fakeextend.RouteCreate && c.N == 1:
			return fakeextend.Fault{Cut: true}
		case c.Route == fakeextend.RouteList && c.N == 1:
			return fakeextend.Fault{Status: 500}
		}
		return fakeextend.Fault{}
	}))
	m, u := put("a")
	in.receive(m)
	in.clock.advance(rules.GiveUpAfter + time.Hour)
	in.receive(m)
	in.wantState(u, ledger.Unconfirmed, "")
	if rec := in.record(u); rec.FailedSearches != 1 {
		t.Errorf("%d failed searches", rec.FailedSearches)
	}
	in.clock.advance(10 * time.Minute)
	in.want(in.receive(m), allDone)
	in.wantProcessing(u)
}

// A search that never has an answer ends the document: a person has to look.
func TestASearchThatFailsForDays(t *testing.T) {
	t.Parallel()
	in := newIntake(t, faults(func(c fakeextend.Call) fakeextend.Fault {
		switch c.Route {
		case fakeextend.RouteCreate:
			return fakeextend.Fault{Cut: true}
		case fakeextend.RouteList:
			return fakeextend.Fault{Status: 500}
		}
		return fakeextend.Fault{}
	}))
	m, u := put("a")
	began := in.now()
	for m.receives = 1; ; m.receives++ {
		after, back := in.receive(m).Back["a"]
		if !back {
			break
		}
		if in.now().Sub(began) > rules.GiveUpAfter+time.Hour {
			t.Fatal("it never ends")
		}
		in.clock.advance(after)
	}
	if rec := in.record(u); rec.State != ledger.Refused || rec.FailureReason != ledger.NoAnswer || in.now().Sub(began) < rules.GiveUpAfter {
		t.Errorf("%s %s after %v", rec.State, rec.FailureReason, in.now().Sub(began))
	}
	in.wantLog("WARN given up", "NO_ANSWER", "Refused=1")
}

// When the ledger can't say whose content it is, nothing was sent: the next try is no search for
// a run, and no unanswered POST.
func TestTheContentCanNotBeRegistered(t *testing.T) {
	t.Parallel()
	in := newIntake(t)
	broken := true
	in.Ledger = in.book.Through(rules, in.now, func(ctx context.Context, a ledger.Access, do func(context.Context) error) error {
		if broken && a.Op == "write contents" {
			return errors.New("throttled")
		}
		return do(ctx)
	})
	m, u := put("a")
	for range 2 * rules.MaxUnanswered {
		in.clock.advance(max(in.receive(m).Back["a"], rules.Lease))
		in.wantState(u, ledger.Waiting, "ledger")
	}
	broken = false
	in.want(in.receive(m), allDone)
	in.wantProcessing(u)
	in.wantCalls(map[string]int{fakeextend.RouteCreate: 1})
}

// The time for a file grows though every file is too slow, and none is held against its document.
func TestSendLimit(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	ago := func(d time.Duration) *ledger.Record { return &ledger.Record{FailingSince: now.Add(-d)} }
	for _, tt := range []struct {
		name string
		size int64
		rec  *ledger.Record
		want time.Duration
	}{
		{"small", 1000, &ledger.Record{}, 10 * time.Second},
		{"50 MB", 50 << 20, &ledger.Record{}, 35 * time.Second},
		{"50 MB, one failure of its own", 50 << 20, &ledger.Record{Failures: 1, FailingSince: now}, 70 * time.Second},
		{"50 MB, and others failed too", 50 << 20, ago(tooSlowWait), 70 * time.Second},
		{"50 MB, and others failed too, again", 50 << 20, ago(2 * tooSlowWait), uploadTimeout},
		{"for days", 1000, ago(72 * time.Hour), uploadTimeout},
		{"the largest object", 5 << 40, &ledger.Record{}, uploadTimeout},
	} {
		if got := sendLimit(tt.size, tt.rec, now); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}
