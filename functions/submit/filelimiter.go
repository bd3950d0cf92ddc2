package submit

import (
	"math"
	"sync"
	"time"
)

const (
	// catchUp is how much time that was not used can be made up for. Between two batches an
	// instance sends nothing for as long as its last file takes, and on a plan with more
	// files than that, this time would be lost.
	catchUp = 10 * time.Second
	// planMinute is the plan's minute, and a second for what the network shifts.
	planMinute = 61 * time.Second
	// quotaLoss is the part of the plan that may be lost to keep within it in each minute.
	quotaLoss = 0.03
)

// fileLimiter spreads files over the minute. On average it allows perSecond; after a pause,
// up to three times as many until up to catchUp is made up for; and in no minute more than the
// instance's share of the plan, so that all instances together never exceed it.
type fileLimiter struct {
	interval time.Duration
	quota    int // in a minute

	mu    sync.Mutex
	slots []time.Time // that were given away, the latest last, as many as the quota
	due   time.Time   // when the next file would be, without any pauses
}

// newFileLimiter allows perSecond files on average, which is fileShare of the instance's
// part of the plan.
func newFileLimiter(perSecond float64) *fileLimiter {
	minute := perSecond * 60 / fileShare
	quota := math.Floor(minute + 1e-9)
	if quota < minute*(1-quotaLoss) {
		quota = math.Ceil(minute) // a small plan that the instances can't divide evenly
	}
	return &fileLimiter{interval: time.Duration(float64(time.Second) / perSecond), quota: int(min(quota, 1<<20))}
}

// next is when the next file is allowed; it is not before now.
func (l *fileLimiter) next(now time.Time) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.nextSlot(now)
}

// reserve gives the next slot away, unless it is after the deadline.
func (l *fileLimiter) reserve(now, deadline time.Time) (slot time.Time, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if slot = l.nextSlot(now); slot.After(deadline) {
		return slot, false
	}
	if l.slots = append(l.slots, slot); len(l.slots) > l.quota {
		l.slots = l.slots[len(l.slots)-l.quota:]
	}
	if l.due.IsZero() {
		l.due = slot // an instance that starts has nothing to make up for
	}
	l.due = laterTime(l.due, slot.Add(-catchUp)).Add(l.interval)
	return slot, true
}

// nextSlot is next; the caller holds mu.
func (l *fileLimiter) nextSlot(now time.Time) time.Time {
	slot := laterTime(now, l.due)
	if n := len(l.slots); n > 0 {
		slot = laterTime(slot, l.slots[n-1].Add(l.interval/3))
		if n == l.quota {
			slot = laterTime(slot, l.slots[0].Add(planMinute))
		}
	}
	return slot
}

func laterTime(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
