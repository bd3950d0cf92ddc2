package submit

import (
	"context"
	"fmt"
	"hash/fnv"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"extend-intake/dev/fakeextend"
	"extend-intake/shared/extend"
	"extend-intake/shared/ledger"
)

// These tests run in a testing/synctest bubble, where time is virtual: a model of
// SQS hands messages out until all are done, hours of waiting included.

// sqsModel hands messages out as SQS does: after their delay, again and again
// until they are done, and in any order.
type sqsModel struct {
	mu       sync.Mutex
	messages map[string]*held
	dead     []dead
}

type held struct {
	message
	visible time.Time
}

// visibility is the queue's visibility timeout.
const visibility = 6 * time.Minute

func newSQSModel(messages ...message) *sqsModel {
	q := &sqsModel{messages: map[string]*held{}}
	for _, m := range messages {
		m.receives = 0
		q.messages[m.id] = &held{m, time.Now()}
	}
	return q
}

// take returns up to ten visible messages, or how long there will be none. ok is
// false when the queue is empty.
func (q *sqsModel) take() (taken []message, wait time.Duration, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	for _, h := range q.messages {
		if d := h.visible.Sub(now); d > 0 {
			if wait == 0 || d < wait {
				wait = d
			}
			continue
		}
		if len(taken) == 10 {
			break
		}
		h.receives++
		h.visible = now.Add(visibility)
		taken = append(taken, h.message)
	}
	return taken, wait, len(q.messages) > 0
}

func (q *sqsModel) give(taken []message, r result) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.dead = append(q.dead, r.Dead...)
	for _, m := range taken {
		if after, isBack := r.Back[m.id]; !isBack {
			delete(q.messages, m.id)
		} else if after > 0 {
			q.messages[m.id].visible = time.Now().Add(after.Truncate(time.Second))
		}
	}
}

// drain lets an instance work until the queue is empty.
func (q *sqsModel) drain(i *instance) {
	for {
		taken, wait, ok := q.take()
		switch {
		case !ok:
			return
		case len(taken) == 0:
			time.Sleep(wait) // virtual: this is the model's clock
		default:
			ended := make(chan struct{})
			go func() {
				defer close(ended)                                        // also when the instance dies: then nothing is given back
				ctx, cancel := context.WithTimeout(i.in.ctx, time.Minute) // the function's
				defer cancel()
				q.give(taken, i.receiveIn(ctx, taken...))
			}()
			<-ended
		}
	}
}

func TestListLag(t *testing.T) {
	t.Parallel()
	for _, lag := range []time.Duration{time.Second, 40 * time.Second, 9 * time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			in := newVirtualIntake(t, onCreate(fakeextend.Fault{Status: 500, After: true, Fate: fakeextend.Fate{ListLag: lag}}))
			m, u := put("a")
			q := newSQSModel(m)
			q.drain(in.instance)
			in.wantProcessing(u)
			in.wantRuns(1)
		})
	}
}

func TestARunThatIsMadeAfterTheTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		in := newVirtualIntake(t, onCreate(fakeextend.Fault{Delay: 4 * time.Minute}))
		m, u := put("a")
		newSQSModel(m).drain(in.instance)
		in.wantProcessing(u)
		in.wantRuns(1)
		in.wantLog("WARN not submitted", "UNCONFIRMED", "outcome unknown")
	})
}

func TestTheClaimerDies(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		in := newVirtualIntake(t)
		in.Runs = hookedRuns{in.runs, func(*extend.Run) {
			in.Runs = in.runs
			runtime.Goexit() // no answer, no ledger, no message: as if out of memory
		}}
		m, u := put("a")
		q := newSQSModel(m)
		q.drain(in.instance)
		in.wantProcessing(u)
		in.wantRuns(1)
	})
}

// The plan's limits are kept by both instances together, without a single refusal.
func TestTheTwoInstancesKeepToThePlan(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		in := newVirtualIntake(t, func(o *fakeextend.Options) {
			o.RequestsPerSecond, o.FilesPerMinute, o.RefuseFiles = 10, 80, true
		})
		var messages []message
		for n := range 160 {
			m, _ := put(fmt.Sprintf("%03d", n))
			messages = append(messages, m)
		}
		begin := time.Now()
		both(in, newSQSModel(messages...), planned)
		in.wantCalls(map[string]int{fakeextend.RouteCreate: 160})
		if refused := in.fake.Refused(); len(refused) > 0 {
			t.Errorf("%d requests were refused, the first: %+v", len(refused), refused[0])
		}
		// 160 files at 80 a minute: time is virtual, so this is arithmetic.
		runs := in.fake.Runs()
		if took := runs[len(runs)-1].CreatedAt.Sub(begin); took > 2*time.Minute {
			t.Errorf("it took %v, and the plan allows it in two", took)
		}
	})
}

// Searches are requests as well: two for each file here, besides the POST.
func TestSearchesKeepToThePlan(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		in := newVirtualIntake(t, func(o *fakeextend.Options) {
			o.RequestsPerSecond, o.FilesPerMinute, o.RefuseFiles = 10, 100_000, true
			o.Fault = func(c fakeextend.Call) fakeextend.Fault {
				return fakeextend.Fault{Cut: c.Route == fakeextend.RouteCreate, After: true}
			}
		})
		var messages []message
		for n := range 60 {
			m, _ := put(fmt.Sprintf("%02d", n))
			messages = append(messages, m)
		}
		both(in, newSQSModel(messages...), func(i *instance) { i.limiter = newRateLimiter(10*requestShare/2, 100_000.0/60/2) })
		in.wantCalls(map[string]int{fakeextend.RouteCreate: 60, fakeextend.RouteList: 60, fakeextend.RouteGet: 60})
		if refused := in.fake.Refused(); len(refused) > 0 {
			t.Errorf("%d requests were refused, the first: %+v", len(refused), refused[0])
		}
	})
}

// planned gives an instance its half of the smallest plan.
func planned(i *instance) { i.limiter = newRateLimiter(10*requestShare/2, 80.0/60/2) }

// both drains a queue with two instances, as the event source does at most.
func both(in *intake, q *sqsModel, edit func(*instance)) {
	var all sync.WaitGroup
	for range 2 {
		i := in.another()
		edit(i)
		all.Go(func() { q.drain(i) })
	}
	all.Wait()
}

// TestNoUploadIsLostOrPaidTwice lets two instances work through a queue in which
// every upload event is there twice, while everything goes wrong that can.
func TestNoUploadIsLostOrPaidTwice(t *testing.T) {
	t.Parallel()
	for seed := range 3 {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { storm(t, seed) })
		})
	}
}

func storm(t *testing.T, seed int) {
	// Each POST of a file has its own fate, whatever the order of the calls.
	var mu sync.Mutex
	posts := map[string]int{}
	in := newVirtualIntake(t, faults(func(c fakeextend.Call) fakeextend.Fault {
		mu.Lock()
		defer mu.Unlock()
		what := c.Route + c.FileName + c.RunID
		posts[what]++
		h := fnv.New32a()
		fmt.Fprint(h, seed, what, posts[what])
		if c.Route == fakeextend.RouteList {
			fmt.Fprint(h, c.N)
		}
		lag := fakeextend.Fate{ListLag: time.Duration(h.Sum32()/100%540) * time.Second}
		switch dice := h.Sum32() % 100; {
		case c.Route != fakeextend.RouteCreate:
			return []fakeextend.Fault{{}, {}, {}, {}, {Status: 500}, {Status: 429, RetryAfter: "20"}, {Cut: true}, {Status: 401}, {Status: 200, HTML: "?"}, {Delay: time.Minute}}[dice/10]
		case dice < 30:
			return fakeextend.Fault{Fate: lag}
		case dice < 40:
			return fakeextend.Fault{Status: 500, After: true, Fate: lag}
		case dice < 50:
			return fakeextend.Fault{Cut: true, After: true, Fate: lag}
		case dice < 60:
			return fakeextend.Fault{Delay: 30 * time.Second, Fate: lag} // the client has gone when the run is made
		case dice < 65:
			return fakeextend.Fault{Status: 200, HTML: "<html>", After: true, Fate: lag}
		case dice < 75:
			return fakeextend.Fault{Cut: true}
		case dice < 80:
			return fakeextend.Fault{Status: 503}
		case dice < 90:
			return fakeextend.Fault{Status: 429, RetryAfter: "7"}
		case dice < 95:
			return fakeextend.Fault{Status: 429}
		default:
			return fakeextend.Fault{Status: 402}
		}
	}))
	var messages []message
	var uploads []upload
	for n := range 25 {
		m, u := put(fmt.Sprintf("%02d", n))
		uploads = append(uploads, u)
		messages = append(messages, m, message{id: m.id + " again", body: m.body})
	}
	q := newSQSModel(messages...)
	both(in, q, func(i *instance) {
		planned(i)
		deaths := 0
		i.Runs = hookedRuns{i.Runs, func(*extend.Run) {
			if deaths++; deaths%7 == 3 { // after its POST, before anything is recorded
				runtime.Goexit()
			}
		}}
	})
	for _, u := range uploads {
		in.wantProcessing(u)
	}
	for _, l := range q.dead {
		t.Errorf("dead letter: %s", l.Reason)
	}
	if strings.Contains(in.log.String(), "duplicate run") {
		t.Error("duplicate run")
	}
	for range in.book.InState(t.Context(), ledger.Submitting, time.Now().Add(time.Hour)) {
		t.Error("a claim is left")
	}
}
