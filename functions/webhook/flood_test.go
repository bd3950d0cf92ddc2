package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"

	"extend-intake/shared/extend"
	"extend-intake/shared/extend/webhook"
	"extend-intake/shared/ledger"
)

// A signed delivery can be sent again by whoever has seen it, for five minutes.
func TestARepeatedDeliveryCostsNoRequest(t *testing.T) {
	t.Parallel()
	e := newEndpoint(t)
	run := e.run(tag(stack, 1))
	e.submitted(run.ID)
	old := processed(map[string]any{"id": run.ID, "output": json.RawMessage(`{"value": 1}`)})
	e.deliver(old, 200) // its content is not the newest, and it is done
	asked := e.gets()
	for range 50 {
		e.clock.advance(5 * time.Second)
		e.deliver(old, 200)
	}
	if n := e.gets(); n != asked {
		t.Errorf("%d questions for 50 repetitions", n-asked)
	}
	e.wantLog("INFO ignored", "reason=repeated")
}

// What was not stored is repeated in order to be stored.
func TestADeliveryThatFailedIsNotRemembered(t *testing.T) {
	t.Parallel()
	e := newEndpoint(t)
	e.submitted(runID)
	put := e.recorder.Put
	e.recorder.Put = func(context.Context, string, []byte) (string, error) { return "", errors.New("no bucket") }
	large := processed(map[string]any{"output": json.RawMessage(`{"n": 1234567890123456789012345678901234567890.5}`)})
	e.deliver(large, 500)
	e.recorder.Put = put
	e.deliver(large, 200)
	e.want(docID, ledger.Processed, 1)
}

// Without an event id, two events can have the same body: a review must not be lost over that.
func TestADeliveryWithoutAnIDIsNotRemembered(t *testing.T) {
	t.Parallel()
	e := newEndpoint(t)
	e.submitted(runID)
	body := fmt.Sprintf(`{"eventType": %q, "payload": %s}`, webhook.RunProcessed, payload(nil))
	e.deliver(body, 200)
	e.deliver(body, 200)
	if got := e.log.String(); strings.Contains(got, "reason=repeated") {
		t.Errorf("log: %s", got)
	}
}

func TestRequestsArePaced(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		runs := &countingRuns{}
		p := paced{runs, rate.NewLimiter(1, burst)}
		begin := time.Now()
		for range burst + 3 {
			if _, err := p.Get(t.Context(), "dpr_1"); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(begin); took != 3*time.Second || runs.n != burst+3 {
			t.Errorf("%d requests in %v", runs.n, took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		if _, err := p.Get(ctx, "dpr_1"); err == nil || time.Since(begin) != 3*time.Second {
			t.Errorf("%v after %v: it can't be answered in time, so it must fail at once", err, time.Since(begin))
		}
	})
}

type countingRuns struct{ n int }

func (r *countingRuns) Get(context.Context, string) (*extend.Run, error) {
	r.n++
	return &extend.Run{}, nil
}

func TestRecentIsBounded(t *testing.T) {
	t.Parallel()
	var r recent
	now := time.Date(2026, 7, 14, 9, 15, 0, 0, time.UTC)
	sum := func(n int) (s [32]byte) { s[0], s[1], s[2] = byte(n), byte(n>>8), byte(n>>16); return s }
	for n := range maxRemembered + 10 {
		r.add(sum(n), now)
	}
	if len(r.at) != maxRemembered || !r.has(sum(0), now.Add(300*time.Second)) || r.has(sum(maxRemembered+1), now) || r.has(sum(0), now.Add(remembered)) {
		t.Errorf("%d are remembered", len(r.at))
	}
	r.add(sum(maxRemembered+1), now.Add(remembered))
	if len(r.at) != 1 {
		t.Errorf("%d are remembered after those are over", len(r.at))
	}
}
