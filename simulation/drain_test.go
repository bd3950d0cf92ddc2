package simulation

import (
	"fmt"
	"testing"
	"time"

	"extend-intake/dev/fakeextend"
)

// rush is a world in which many files arrive at once and nothing else happens.
func rush(uploads int) func(*world) {
	return func(w *world) {
		w.faults = faults{}
		w.set.onlyUploads = true
		w.set.uploads, w.set.spread, w.set.versioned = uploads, time.Second, true
		w.set.confirm, w.set.reconcile, w.set.pause, w.set.maxAttempts = 10*time.Minute, 10*time.Minute, 5*time.Minute, 2
		w.set.longestRun, w.set.longestLag = time.Minute, 300*time.Millisecond
	}
}

// created are the instants of all runs in order, and count how often each status
// was answered.
func (w *world) created() (at []time.Time, answers map[int]int) {
	for _, r := range w.extend.Runs() {
		at = append(at, r.CreatedAt)
	}
	answers = map[int]int{}
	for _, c := range w.extend.Requests() {
		answers[c.Status] += c.Count
	}
	return at, answers
}

// TestDrain: 10,000 files at once, and the smallest plan. They have to go through
// as fast as the plan allows and never hear that they are too fast: a 429 would
// cost time. The plan's limits are tried in both readings: files over it wait at
// Extend, or are refused.
func TestDrain(t *testing.T) {
	t.Parallel()
	uploads := 10_000
	if testing.Short() || slow {
		uploads = 1000
	}
	for name, refuse := range map[string]bool{"files over the plan wait": false, "files over the plan are refused": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			begin := time.Now()
			w := schedule(t, 1, rush(uploads), func(w *world) {
				w.set.planRequests, w.set.planFiles, w.set.refuseFiles = 10, 80, refuse
			})
			for _, v := range w.violations {
				t.Error(v)
			}
			at, answers := w.created()
			took := at[len(at)-1].Sub(at[0])
			rate := float64(len(at)-1) / took.Minutes()
			fmt.Printf("drain, %s: %d uploads, %d runs in %v: %.2f a minute, %.1f %% of the plan's 80; answers %v; wall time %v\n",
				name, uploads, len(at), took.Round(time.Second), rate, rate/80*100, answers, time.Since(begin).Round(10*time.Millisecond))
			if all := w.stack.submit.FilesPerSecond * 60 * float64(w.set.instances); refuse && all > 79 {
				t.Skipf("submit sends as many files as the plan allows, %.1f a minute: the odd one arrives too early and is refused", all)
			}
			if answers[429] > 0 {
				t.Errorf("%d requests were too many", answers[429])
			}
			if rate < 0.97*80 {
				t.Errorf("%.2f files a minute, less than 97 %% of 80", rate)
			}
		})
	}
}

// TestDrainOfSlowCalls: POSTs and uploads that take seconds, side by side within a batch,
// by as many instances as docs/operations.md says. The plan has to be used all the same,
// and nothing may be too much for it, by its strictest reading.
func TestDrainOfSlowCalls(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name       string
		uploads    int
		files      int // a minute
		requests   int // a second
		instances  int
		post, send time.Duration
		least      float64 // of the plan
	}{
		{name: "300 files a minute, a POST takes 1 s", uploads: 3000, files: 300, requests: 30, instances: 2, post: time.Second, least: 0.97},
		{name: "80 files a minute, an upload takes 5 s", uploads: 1000, files: 80, requests: 10, instances: 2, send: 5 * time.Second, least: 0.97},
		{name: "300 files a minute, an upload takes 5 s", uploads: 3000, files: 300, requests: 30, instances: 6, send: 5 * time.Second, least: 0.97},
		{name: "80 files a minute, a POST takes 1 s", uploads: 1000, files: 80, requests: 10, instances: 2, post: time.Second, least: 0.97},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if testing.Short() || slow {
				c.uploads /= 5
				c.least -= 0.02 // the last files, when instances have nothing to do, weigh more
			}
			begin := time.Now()
			w := schedule(t, 1, rush(c.uploads), func(w *world) {
				w.set.requests, w.set.files, w.set.instances, w.set.sideBySide = c.requests, c.files, c.instances, 10
				w.set.planRequests, w.set.planFiles, w.set.refuseFiles = c.requests, c.files, true
				w.set.postTakes, w.set.uploadTakes, w.set.sends = c.post, c.send, c.send > 0
			})
			for _, v := range w.violations {
				t.Error(v)
			}
			at, answers := w.created()
			rate := float64(len(at)-1) / at[len(at)-1].Sub(at[0]).Minutes()
			fmt.Printf("drain, %s, %d instances: %d uploads, %d runs: %.2f a minute, %.1f %% of the plan; answers %v; wall time %v\n",
				c.name, c.instances, c.uploads, len(at), rate, rate/float64(c.files)*100, answers, time.Since(begin).Round(10*time.Millisecond))
			if answers[429] > 0 {
				t.Errorf("%d requests were too many", answers[429])
			}
			if rate < c.least*float64(c.files) {
				t.Errorf("%.2f files a minute, less than %.0f %% of %d", rate, c.least*100, c.files)
			}
		})
	}
}

// TestReplayOfTheBadDay is the day on which another pipeline made 14,727
// executions of 4,384 uploads: batches that time out, batches that are done in
// part, upload events that come twice, and all of it at once. Here it is 4,384 runs.
func TestReplayOfTheBadDay(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("-short: it takes a while")
	}
	uploads := 4384
	if slow {
		uploads /= 10
	}
	begin := time.Now()
	w := schedule(t, 4384, rush(uploads), func(w *world) {
		w.set.calmAfter = 6 * time.Hour
		for _, k := range []kind{crash, stall, coldStart, clockSkew, ledgerThrottled, ledgerAnswerLost, eventRepeated, eventLate,
			linkFails, deliveredTwice, deleteLost, delayFails, secretUnavailable, rateLimited, failsBefore, failsAfter, cutBefore, cutAfter,
			slowBefore, slowAfter, neverSent, listLags, streamLate, batchRepeated, busFails, busAnswerLost, busEntryFails, busRefusesRequest, webhookLost, webhookRepeated, webhookLate, webhookEarly, gatewayLost, gatewayAnswerLost} {
			w.faults.p[k] = kinds[k].p / 10
		}
		w.faults.p[eventRepeated], w.faults.p[deliveredTwice] = 0.9, 0.2
	})
	for _, v := range w.violations {
		t.Error(v)
	}
	batches := w.submit.calls
	fmt.Printf("the bad day: %d uploads, %d messages, %d batches of which %d failed, %d POSTs accepted, %.3f runs per upload, %d events; virtual time %v, wall time %v\n",
		len(w.expected), w.queue.sent, batches, w.submit.failed, w.made, float64(w.made)/float64(len(w.expected)), len(w.bus.taken),
		w.took.Round(time.Second), time.Since(begin).Round(10*time.Millisecond))
	if len(w.expected) != uploads || w.made != uploads || w.extend.Accepted() != uploads || len(w.bus.taken) != uploads {
		t.Errorf("%d uploads, %d runs, %d events", len(w.expected), w.extend.Accepted(), len(w.bus.taken))
	}
	for _, c := range w.extend.Requests() {
		if c.Route == fakeextend.RouteCreate {
			t.Logf("POST answered %d: %d times", c.Status, c.Count)
		}
	}
}

// TestHealthyBesideSick: files that Extend, or a firewall before it, refuses each time must not
// hold up the others.
func TestHealthyBesideSick(t *testing.T) {
	t.Parallel()
	const healthy, sick = 200, 20
	drain := func(sick, sickness int) float64 {
		w := schedule(t, 7, rush(healthy+sick), func(w *world) {
			w.set.planRequests, w.set.planFiles, w.set.sick, w.set.sickness, w.set.giveUp = 10, 80, sick, sickness, time.Hour
		})
		for _, v := range w.violations {
			t.Error(v)
		}
		at, _ := w.created()
		if len(at) != healthy {
			t.Fatalf("%d runs", len(at))
		}
		files := healthy - 1
		if sickness >= 500 {
			files += sick // nobody knows whether Extend has read them: their first POSTs count for the plan
		}
		return float64(files) / at[len(at)-1].Sub(at[0]).Minutes()
	}
	alone := drain(0, 0)
	for name, sickness := range map[string]int{"a firewall": 0, "500": 500, "403 of Extend": 403} {
		rate := drain(sick, sickness)
		fmt.Printf("%d files beside %d that hear %s: %.2f a minute, %.1f %% of %.2f without them\n", healthy, sick, name, rate, 100*rate/alone, alone)
		if rate < 0.95*alone {
			t.Errorf("%s: %.2f files a minute, less than 95 %% of %.2f", name, rate, alone)
		}
	}
}

// TestAccountPausedForWeeks: the queue forgets a message after fourteen days, and a key can
// be wrong for longer.
func TestAccountPausedForWeeks(t *testing.T) {
	t.Parallel()
	if testing.Short() || slow {
		t.Skip("-short, or the race detector: it takes a while")
	}
	w := schedule(t, 3, rush(1), func(w *world) {
		w.set.limit, w.set.pause = 30*24*time.Hour, 15*time.Minute
		w.outages = []outageSpan{{w.start, w.start.Add(16 * 24 * time.Hour), 401}}
	})
	for _, v := range w.violations {
		t.Error(v)
	}
	if n := w.extend.Accepted(); n != 1 {
		t.Errorf("%d runs", n)
	}
}

// TestDailyBudget: many files at once, and a budget for a few of them a day, while machines crash, the
// table is throttled and Extend fails. No day costs more than the budget and what was in flight, each
// day is used, and all files are read in the end.
func TestDailyBudget(t *testing.T) {
	t.Parallel()
	uploads, schedules := 120, uint64(3)
	if testing.Short() || slow {
		uploads, schedules = 40, 1
	}
	budget, cost := uploads/2, 1.5
	for seed := range schedules {
		w := schedule(t, seed, rush(uploads), func(w *world) {
			w.set.limit, w.set.calmAfter, w.set.pause, w.set.budget = 5*24*time.Hour, 3*24*time.Hour, 15*time.Minute, budget
			for _, k := range []kind{crash, stall, coldStart, ledgerThrottled, ledgerAnswerLost, deliveredTwice, deleteLost, delayFails, secretUnavailable,
				rateLimited, failsBefore, failsAfter, cutBefore, cutAfter, webhookLost, webhookRepeated, webhookLate} {
				w.faults.p[k] = kinds[k].p / 2
			}
		})
		for _, v := range w.violations {
			t.Error(v)
		}
		at, _ := w.created()
		days := map[string]float64{}
		for _, c := range at {
			days[c.UTC().Format(time.DateOnly)] += cost
		}
		fmt.Printf("budget of %v credits a day, %d files of %v credits, schedule %d: %v\n", budget, uploads, cost, seed, days)
		for day, credits := range days {
			if credits > float64(budget)+cost {
				t.Errorf("schedule %d: %s costs %v credits", seed, day, credits)
			}
		}
		if len(days) < 3 {
			t.Errorf("schedule %d: %d days", seed, len(days))
		}
		if len(at) < len(w.expected) || len(at) == 0 {
			t.Errorf("schedule %d: %d runs of %d files", seed, len(at), len(w.expected))
		}
	}
}
