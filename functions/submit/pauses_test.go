package submit

import (
	"fmt"
	"testing"
	"time"
)

func TestPauses(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	const most = 5 * time.Minute
	left := func(p *pauses, route string) time.Duration { return max(0, p.longest(route).until.Sub(now)) }

	t.Run("one document that is refused again and again pauses nobody", func(t *testing.T) {
		t.Parallel()
		var p pauses
		for range 10 {
			if p.refused(now, "403", "a", "doc_sick", most) {
				t.Fatal("shared")
			}
		}
		if left(&p, "a") != 0 {
			t.Errorf("%+v", p.account)
		}
	})
	t.Run("a second document of the same route pauses the route, longer each time", func(t *testing.T) {
		t.Parallel()
		var p pauses
		p.refused(now, "403", "a", "doc_0", most)
		for i, want := range []time.Duration{1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300} {
			if !p.refused(now, "403", "a", fmt.Sprint("doc_", i+1), most) {
				t.Fatal("not shared")
			}
			if got := left(&p, "a"); got != want*time.Second {
				t.Errorf("pause %d: %v, want %ds", i, got, want)
			}
		}
		if left(&p, "b") != 0 {
			t.Error("another route is paused")
		}
	})
	t.Run("documents of two routes pause all", func(t *testing.T) {
		t.Parallel()
		var p pauses
		p.refused(now, "403", "a", "doc_1", most)
		p.refused(now, "403", "b", "doc_2", most)
		if left(&p, "c") != time.Second {
			t.Errorf("%+v", p.account)
		}
	})
	t.Run("other causes are apart", func(t *testing.T) {
		t.Parallel()
		var p pauses
		p.refused(now, "403", "a", "doc_1", most)
		if p.refused(now, "404 not the API's", "a", "doc_2", most) {
			t.Error("shared")
		}
	})
	t.Run("a success between makes each refusal a document's own", func(t *testing.T) {
		t.Parallel()
		var p pauses
		for i := range 20 {
			if p.refused(now, "403", "a", fmt.Sprint("doc_", i), most) {
				t.Fatal("shared")
			}
			p.succeeded("a")
		}
	})
	t.Run("a success of one route says nothing of another", func(t *testing.T) {
		t.Parallel()
		var p pauses
		p.refused(now, "403", "a", "doc_1", most)
		p.succeeded("b")
		if !p.refused(now, "403", "a", "doc_2", most) {
			t.Error("not shared")
		}
	})
	t.Run("one that has not heard it is let through now and then, and a success ends the pause", func(t *testing.T) {
		t.Parallel()
		var p pauses
		p.refused(now, "403", "a", "doc_1", most)
		for range 10 {
			p.refused(now, "403", "a", "doc_2", most)
		}
		admitted := func(at time.Duration, document string) bool {
			left, probe := p.admit(now.Add(at), "a", document)
			return probe && left.until.IsZero()
		}
		if admitted(0, "doc_1") || admitted(0, "doc_2") {
			t.Error("one that has heard it is let through")
		}
		if !admitted(0, "doc_3") || admitted(0, "doc_4") || admitted(probeInterval-1, "doc_4") || !admitted(probeInterval, "doc_4") {
			t.Error("want one at once, and the next after the interval")
		}
		if _, probe := p.admit(now, "b", "doc_5"); probe {
			t.Error("another route has no pause, and needs no probe")
		}
		p.succeeded("a")
		if left(&p, "a") != 0 {
			t.Error("paused after a success")
		}
	})
	t.Run("a success ends the pause of all", func(t *testing.T) {
		t.Parallel()
		var p pauses
		p.refused(now, "403", "a", "doc_1", most)
		p.refused(now, "403", "b", "doc_2", most)
		p.succeeded("c")
		if left(&p, "c") == 0 {
			t.Error("a success of a route that has not heard it says nothing of the others")
		}
		p.succeeded("b")
		if left(&p, "c") != 0 {
			t.Error("paused after a success")
		}
	})
	t.Run("nobody is let through while the account is paused", func(t *testing.T) {
		t.Parallel()
		var p pauses
		p.refused(now, "403", "a", "doc_1", most)
		p.refused(now, "403", "a", "doc_2", most)
		p.pauseAccount(now.Add(time.Minute), "401")
		if left, probe := p.admit(now, "a", "doc_3"); probe || left.reason != "401" {
			t.Error(left, probe)
		}
		p.succeeded("a")
		if left(&p, "a") != time.Minute {
			t.Error("a success of a POST that was under way does not mend the account")
		}
	})
	t.Run("the account's pause is not cut short", func(t *testing.T) {
		t.Parallel()
		var p pauses
		p.pauseAccount(now.Add(time.Minute), "401")
		p.pauseAccount(now.Add(time.Second), "429")
		if got := p.longest("a"); got.reason != "401" || left(&p, "a") != time.Minute {
			t.Error(got)
		}
	})
}
