package submit

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// Instances that work and rest in any pattern stay within the plan in every minute.
func TestNoMinuteHasMoreFilesThanThePlan(t *testing.T) {
	t.Parallel()
	for seed := range uint64(50) {
		dice := rand.New(rand.NewPCG(seed, 0))
		instances := []int{2, 4, 10}[dice.IntN(3)]
		plan := instances * (5 + dice.IntN(50))
		start := time.Now()
		var sent []time.Time
		for range instances {
			l := newFileLimiter(float64(plan) / 60 * fileShare / float64(instances))
			for now := start; now.Before(start.Add(time.Hour)); {
				slot, ok := l.reserve(now, now.Add(time.Hour))
				if !ok {
					t.Fatal("no slot within an hour")
				}
				if sent = append(sent, slot); dice.IntN(10) == 0 {
					slot = slot.Add(time.Duration(dice.Int64N(int64(90 * time.Second))))
				}
				now = slot
			}
		}
		slices.SortFunc(sent, time.Time.Compare)
		for i := range sent {
			if i+plan < len(sent) && sent[i+plan].Sub(sent[i]) < time.Minute {
				t.Fatalf("seed %d: %d files within %v, and the plan of %d instances has %d a minute", seed, plan+1, sent[i+plan].Sub(sent[i]), instances, plan)
			}
		}
	}
}

func TestPausesAreMadeUpFor(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		perMinute   float64
		busy, pause time.Duration
		most, least float64 // of the average that is allowed
	}{
		"none":                       {40, time.Hour, 0, 1.001, 0.999},
		"6 s after each 9 s":         {40, 9 * time.Second, 6 * time.Second, 1.001, 0.98},
		"1 s after each 4 s":         {150, 4 * time.Second, time.Second, 1.001, 0.98},
		"more than can be caught up": {40, 10 * time.Second, time.Minute, 0.5, 0.2},
		"a small plan":               {2.5, time.Hour, 0, 1.01, 0.98},
	} {
		l := newFileLimiter(c.perMinute / 60 * fileShare)
		start := time.Now()
		n, end := 0, start.Add(10*time.Hour)
		for now, until := start, start.Add(c.busy); now.Before(end); n++ {
			slot, _ := l.reserve(now, end.Add(time.Hour))
			if now = slot; c.pause > 0 && now.After(until) {
				now = now.Add(c.pause)
				until = now.Add(c.busy)
			}
		}
		if used := float64(n) / (c.perMinute * fileShare * 600); used > c.most || used < c.least {
			t.Errorf("%s: %.1f %% of the average are used", name, used*100)
		}
	}
}

func TestSlotAfterTheDeadlineIsNotUsedUp(t *testing.T) {
	t.Parallel()
	l := newFileLimiter(1.0 / 30)
	now := time.Now()
	first, ok := l.reserve(now, now)
	if !ok || !first.Equal(now) {
		t.Fatalf("the first slot is %v, %v", first, ok)
	}
	if slot, ok := l.reserve(now, now.Add(20*time.Second)); ok {
		t.Errorf("a slot after the deadline was given away: %v", slot)
	}
	if d := l.next(now).Sub(now); d < 29*time.Second || d > 31*time.Second {
		t.Errorf("the next file is allowed after %v, want 30 s", d)
	}
}
