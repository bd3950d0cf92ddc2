package submit

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"extend-intake/dev/fakeextend"
)

// Each step is counted on the line that tells of it: an alarm leads to the document.
func TestWhatIsCounted(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		fault fakeextend.Fault
		words []string
	}{
		{"taken", fakeextend.Fault{}, []string{"run created", "Submitted=1"}},
		{"refused", fakeextend.Fault{Status: 422}, []string{"not submitted", "Refused=1"}},
		{"unknown", fakeextend.Fault{Status: 503}, []string{"not submitted", "Unconfirmed=1"}},
		{"over the limit", fakeextend.Fault{Status: 429}, []string{"paused", "RateLimited=1"}},
		{"no credits", fakeextend.Fault{Status: 402}, []string{"paused", "AccountPaused=1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			in := newIntake(t, onCreate(c.fault))
			m, _ := put("a")
			in.receive(m)
			in.wantLog(c.words...)
			if c.name == "taken" {
				in.receive(m)
				in.wantLog("nothing to do", "DuplicatesDropped=1")
			}
		})
	}
	in := newIntake(t)
	in.receive(message{id: "m", body: "?"})
	in.wantLog("sent to the dead-letter queue", "DeadLetters=1")
	// A pause during a search counts as one during a POST.
	for fault, word := range map[int]string{429: "RateLimited=1", 402: "AccountPaused=1"} {
		list := fakeextend.Script(fakeextend.RouteList, fakeextend.Fault{Status: fault})
		create := fakeextend.Script(fakeextend.RouteCreate, fakeextend.Fault{Status: 503})
		search := newIntake(t, faults(func(c fakeextend.Call) fakeextend.Fault {
			if c.Route == fakeextend.RouteList {
				return list(c)
			}
			return create(c)
		}))
		m, _ := put("a")
		search.settle(m)
		search.wantLog("paused", "search failed: "+strconv.Itoa(fault), word)
	}
	waits := newIntake(t, onCreate(fakeextend.Fault{Status: 402}, fakeextend.Fault{Status: 402}))
	waits.config.StalledAfter = waits.now().Sub(time.Date(2026, 7, 14, 9, 15, 0, 0, time.UTC)) + time.Hour // since the eventTime
	m, u := put("a")
	waits.receive(m)
	if strings.Contains(waits.log.String(), "Stalled") {
		t.Error("it is said to be stalled at once")
	}
	waits.clock.advance(2 * time.Hour)
	waits.receive(m)
	waits.wantLog("document stalled", u.id(), "Stalled=1")
	lost := newIntake(t, onCreate(fakeextend.Fault{Status: 503, After: true}))
	m, _ = put("a")
	lost.settle(m)
	lost.wantLog("lost run found", "Submitted=1", "RecoveredBySearch=1")
}
