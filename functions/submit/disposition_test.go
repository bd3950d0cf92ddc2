package submit

import (
	"testing"
	"time"
)

func TestWhichDispositionWins(t *testing.T) {
	t.Parallel()
	spoilt, panicked := disposition{kind: deadLetter, reason: "spoilt"}, disposition{kind: failed, reason: "panic"}
	soon, late := disposition{kind: delayed, after: time.Second}, disposition{kind: delayed, after: time.Minute}
	for _, c := range []struct {
		name    string
		uploads []disposition
		want    disposition
	}{
		{"none", nil, disposition{}},
		{"all done", []disposition{{}, {reason: "REFUSED"}}, disposition{}},
		{"one for the dead-letter queue", []disposition{{}, spoilt, {}}, spoilt},
		{"an error comes back, and the dead letter with it", []disposition{spoilt, panicked}, panicked},
		{"who waits comes back without a count", []disposition{panicked, late, spoilt}, late},
		{"the earliest first", []disposition{late, soon}, soon},
		{"the earliest first, in any order", []disposition{soon, late}, soon},
	} {
		var got disposition
		for _, d := range c.uploads {
			got = got.and(d)
		}
		if got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

func TestWaits(t *testing.T) {
	t.Parallel()
	for receives, want := range map[int]time.Duration{0: 2 * time.Second, 1: 2 * time.Second, 2: 4 * time.Second, 9: 512 * time.Second, 10: maxBackoff, 1000: maxBackoff} {
		if got := backoff(receives); got != want {
			t.Errorf("backoff(%d) = %v, want %v", receives, got, want)
		}
	}
	since, window := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), 10*time.Minute
	for after, want := range map[time.Duration]time.Duration{
		0: firstSearch, 20 * time.Second: 20 * time.Second, 5 * time.Minute: maxSearchWait,
		9*time.Minute + 50*time.Second: 11 * time.Second, // once more, right after the window
		11 * time.Minute:               time.Second,
	} {
		if got := nextSearch(since, window, since.Add(after)); got != want {
			t.Errorf("nextSearch after %v = %v, want %v", after, got, want)
		}
	}
}
