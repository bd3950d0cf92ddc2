package extend

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// waits has every kind of run that can be waited for. The answers have these statuses in turn, and the last one for ever.
var waits = map[string]struct {
	answer   string // with a %s for the status
	wait     func(ctx context.Context, c *Client, progress func(Status)) (Status, error)
	statuses []Status
}{
	"run": {`{"success": true, "processorRun": {"id": "dpr_1", "status": %q}}`, func(ctx context.Context, c *Client, progress func(Status)) (Status, error) {
		r, err := c.Runs.Wait(ctx, "dpr_1", func(r *Run) { progress(r.Status) })
		if err != nil {
			return "", err
		}
		return r.Status, nil
	}, []Status{StatusPending, StatusProcessing, StatusProcessed}},
	"parser run": {`{"success": true, "parserRun": {"object": "parser_run_status", "id": "parser_run_1", "status": %q}}`, func(ctx context.Context, c *Client, progress func(Status)) (Status, error) {
		r, err := c.ParserRuns.Wait(ctx, "parser_run_1", func(r *ParserRun) { progress(r.Status) })
		if err != nil {
			return "", err
		}
		return r.Status, nil
	}, []Status{StatusProcessing, StatusFailed}},
	"workflow run": {`{"success": true, "workflowRun": {"id": "workflow_run_1", "status": %q}}`, func(ctx context.Context, c *Client, progress func(Status)) (Status, error) {
		r, err := c.WorkflowRuns.Wait(ctx, "workflow_run_1", func(r *WorkflowRun) { progress(r.Status) })
		if err != nil {
			return "", err
		}
		return r.Status, nil
	}, []Status{StatusPending, StatusProcessing, StatusNeedsReview, "PAUSED", StatusCancelling, StatusRejected}},
	"edit run": {`{"success": true, "editRun": {"object": "edit_run_status", "id": "edit_run_1", "status": %q}}`, func(ctx context.Context, c *Client, progress func(Status)) (Status, error) {
		r, err := c.EditRuns.Wait(ctx, "edit_run_1", func(r *EditRun) { progress(r.Status) })
		if err != nil {
			return "", err
		}
		return r.Status, nil
	}, []Status{StatusProcessing, StatusCancelled}},
}

func TestWaitEndsWithTheRun(t *testing.T) {
	t.Parallel()
	for name, tt := range waits {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				asked := 0
				c := newFakeClient(t, func(*http.Request) (*http.Response, error) {
					asked++
					return response(200, fmt.Sprintf(tt.answer, tt.statuses[asked-1])), nil
				})
				var seen []Status
				status, err := tt.wait(t.Context(), c, func(s Status) { seen = append(seen, s) })
				if err != nil {
					t.Fatal(err)
				}
				diff(t, tt.statuses, seen)
				diff(t, tt.statuses[len(tt.statuses)-1], status)
			})
		})
	}
}

// The instants are those of the vendor's own helpers: every second for half a minute, then each pause 15 % longer than the one
// before, up to half a minute, and a quarter more or less at random.
func TestWaitAsksLessAndLess(t *testing.T) {
	t.Parallel()
	for _, jitter := range []float64{0, 0.5, 0.999} {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			var at []time.Duration
			c := newFakeClient(t, func(*http.Request) (*http.Response, error) {
				at = append(at, time.Since(start))
				return response(200, `{"processorRun": {"id": "dpr_1", "status": "PROCESSING"}}`), nil
			})
			c.retry.Jitter = func() float64 { return jitter }
			ctx, cancel := context.WithTimeoutCause(t.Context(), time.Hour, errors.New("that was long enough"))
			defer cancel()
			_, err := c.Runs.Wait(ctx, "dpr_1")
			if !errors.Is(err, context.Cause(ctx)) || time.Since(start) != time.Hour {
				t.Errorf("after %v: %v", time.Since(start), err)
			}
			factor := 0.75 + 0.5*jitter
			pause := time.Second
			for i := range at {
				if i == 0 {
					diff(t, time.Duration(0), at[0])
					continue
				}
				if at[i-1] >= 30*time.Second {
					pause = min(time.Duration(float64(pause)*1.15), 30*time.Second)
				}
				if got, want := at[i]-at[i-1], time.Duration(factor*float64(pause)); (got - want).Abs() > time.Millisecond {
					t.Fatalf("pause %d is %v, want %v", i, got, want)
				}
			}
			if last := at[len(at)-1] - at[len(at)-2]; last < 22*time.Second || last > 38*time.Second {
				t.Errorf("the last pause is %v", last)
			}
		})
	}
}

// A 429 lasts as long as the server says, and no longer than the wait does. Other errors end it, and say that of the GET.
func TestWaitThroughRefusals(t *testing.T) {
	t.Parallel()
	processed := func() (*http.Response, error) {
		return response(200, `{"processorRun": {"id": "dpr_1", "status": "PROCESSED", "output": {}}}`), nil
	}
	for _, tt := range []struct {
		name   string
		first  func() (*http.Response, error)
		times  int // that it is answered
		after  time.Duration
		refuse string
	}{
		{"429 without a time", func() (*http.Response, error) { return response(429, ""), nil }, 3, 3 * 750 * time.Millisecond, ""},
		{"429 for a while", func() (*http.Response, error) { return response(429, "", "Retry-After", "20"), nil }, 2, 40 * time.Second, ""},
		{"429 for a minute and more", func() (*http.Response, error) { return response(429, "", "Retry-After", "3600"), nil }, 1, time.Minute, ""},
		{"not found", func() (*http.Response, error) { return response(404, `{"error": "No."}`), nil }, 1, 0, "404"},
		{"server error", func() (*http.Response, error) { return response(500, ""), nil }, 1, 0, "500"},
		{"connection lost", func() (*http.Response, error) { return nil, errors.New("reset") }, 1, 0, "reset"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				start, asked := time.Now(), 0
				c := newFakeClient(t, func(*http.Request) (*http.Response, error) {
					if asked++; asked <= tt.times {
						return tt.first()
					}
					return processed()
				}, WithRetry(Retry{Attempts: 1}))
				run, err := c.Runs.Wait(t.Context(), "dpr_1")
				diff(t, tt.after, time.Since(start))
				switch {
				case tt.refuse == "" && (err != nil || run.Status != StatusProcessed):
					t.Errorf("%v, %v", run, err)
				case tt.refuse != "" && (err == nil || !strings.Contains(err.Error(), tt.refuse)):
					t.Errorf("%v, %v", run, err)
				}
			})
		})
	}
}
