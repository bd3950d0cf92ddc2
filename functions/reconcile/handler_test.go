package reconcile

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	neturl "net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"extend-intake/dev/fakeextend"
	"extend-intake/shared/boot"
	"extend-intake/shared/document"
	"extend-intake/shared/document/documenttest"
	"extend-intake/shared/extend"
	"extend-intake/shared/ledger"
	"extend-intake/shared/metric"
)

const stack = "123456789012/eu-west-1/intake"

// a world is a Handler over a ledger in memory and a fake Extend. Its clock
// moves only when a test moves it.
type world struct {
	*Handler
	t        *testing.T
	fake     *fakeextend.Server
	client   *extend.Client
	now      time.Time
	requeued []document.Source
}

func newWorld(t *testing.T, opts fakeextend.Options) *world {
	opts.APIKey = "sk_test"
	opts.Processors = []fakeextend.Processor{{ID: "dp_1", Name: "Invoices", Type: fakeextend.Extract, Versions: []string{"1.0"}}}
	if opts.Processing == nil {
		opts.Processing = fakeextend.Fixed(0)
	}
	fake, url := fakeextend.NewServer(t, opts)
	client, err := extend.NewClient(extend.StaticKey("sk_test"), extend.WithBaseURL(url), extend.WithHTTPClient(&http.Client{}), extend.WithRetry(extend.Retry{Attempts: 1}))
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, fake: fake, client: client, now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	clock := func() time.Time { return w.now }
	rules := ledger.DefaultRules
	l := ledger.NewMemory(rules, clock)
	requeue := func(_ context.Context, s document.Source) error { w.requeued = append(w.requeued, s); return nil }
	base, err := neturl.Parse(url)
	if err != nil {
		t.Fatal(err)
	}
	w.Handler, err = NewHandler(Config{
		Common: boot.Common{Stack: stack, BaseURL: base}, Rules: rules, RequestsPerSecond: 1e9, StalledAfter: 6 * time.Hour,
	}, Parts{
		Key: extend.StaticKey("sk_test"), TagKeys: documenttest.Keys, Transport: http.DefaultTransport, Ledger: l, Requeue: requeue, Now: clock,
		Put: func(context.Context, string, []byte) (string, error) { return "", errors.New("not expected") },
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func source(i int) document.Source {
	return document.Source{Bucket: "in", Key: fmt.Sprintf("%d.pdf", i), VersionID: "v", ETag: "e", Sequencer: "0A"}
}

// claimed brings a document to SUBMITTING.
func (w *world) claimed(i int) document.Source {
	s := source(i)
	w.apply(s, ledger.Claim{Source: s, ProcessorID: "dp_1", Version: "latest"})
	return s
}

// submitted brings a document to PROCESSING, with its run at Extend.
func (w *world) submitted(i int) (document.Source, *extend.Run) {
	s := w.claimed(i)
	run, err := w.client.Runs.Create(w.t.Context(), extend.CreateRunRequest{
		ProcessorID: "dp_1", RawText: "x", Metadata: documenttest.Tag(stack, s, 1).Metadata()})
	if err != nil {
		w.t.Fatal(err)
	}
	w.apply(s, ledger.Accepted{Attempt: 1, RunID: run.ID})
	return s, run
}

func (w *world) apply(s document.Source, f ledger.Fact) {
	if _, err := w.ledger.Apply(w.t.Context(), s.DocumentID(), f); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) handle() Summary {
	s, err := w.Handle(w.t.Context(), nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

func (w *world) state(s document.Source) *ledger.Record {
	rec, err := w.ledger.Get(w.t.Context(), s.DocumentID())
	if err != nil {
		w.t.Fatal(err)
	}
	return rec
}

func TestLostWebhookIsFound(t *testing.T) {
	t.Parallel()
	w := newWorld(t, fakeextend.Options{})
	s, _ := w.submitted(1)
	if err := w.fake.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := w.handle(); got != (Summary{}) {
		t.Errorf("before it is overdue: %+v", got)
	}
	w.now = w.now.Add(10 * time.Minute)
	if got := w.handle(); got != (Summary{Asked: 1, Ended: 1}) {
		t.Errorf("%+v", got)
	}
	if rec := w.state(s); rec.State != ledger.Processed || rec.Revision != 1 {
		t.Errorf("%+v", rec)
	}
	if got := w.handle(); got != (Summary{}) {
		t.Errorf("a second time: %+v", got)
	}
}

func TestLongRunIsAskedAboutLessAndLess(t *testing.T) {
	t.Parallel()
	w := newWorld(t, fakeextend.Options{Processing: fakeextend.Fixed(time.Hour)})
	s, run := w.submitted(1)
	var asked []time.Duration
	began := w.now
	for w.now.Sub(began) < 24*time.Hour {
		w.now = w.now.Add(time.Minute)
		if w.handle().Asked == 1 {
			asked = append(asked, w.now.Sub(began))
		}
	}
	want := []time.Duration{10, 20, 40, 80, 160, 320, 640, 1000, 1360}
	if len(asked) != len(want) {
		t.Fatalf("asked after %v", asked)
	}
	for i := range want {
		if asked[i] != want[i]*time.Minute {
			t.Fatalf("asked after %v, want %v minutes", asked, want)
		}
	}
	if err := w.fake.CancelRun(run.ID); err != nil {
		t.Fatal(err)
	}
	w.now = w.now.Add(6 * time.Hour)
	if got := w.handle(); got != (Summary{Asked: 1, Ended: 1}) || w.state(s).State != ledger.Cancelled {
		t.Errorf("a cancelled run: %+v, %s", got, w.state(s).State)
	}
}

func TestDeletedRunEndsAsCancelled(t *testing.T) {
	t.Parallel()
	w := newWorld(t, fakeextend.Options{Processing: fakeextend.Fixed(time.Hour)})
	s, run := w.submitted(1)
	if err := w.fake.DeleteRun(run.ID); err != nil {
		t.Fatal(err)
	}
	w.now = w.now.Add(10 * time.Minute)
	if got := w.handle(); got != (Summary{Asked: 1}) || w.state(s).State != ledger.Processing {
		t.Errorf("young, and perhaps the key is of another workspace: %+v", got)
	}
	w.now = w.now.Add(6 * time.Hour)
	if got := w.handle(); got != (Summary{Asked: 1, Ended: 1}) {
		t.Errorf("%+v", got)
	}
	if rec := w.state(s); rec.State != ledger.Cancelled || rec.FailureReason != ledger.RunNotFound {
		t.Errorf("%+v", rec)
	}
}

func TestUnresolvedSubmissionsGoBackToTheQueue(t *testing.T) {
	t.Parallel()
	w := newWorld(t, fakeextend.Options{})
	dead := w.claimed(1)
	unconfirmed := w.claimed(2)
	w.apply(unconfirmed, ledger.OutcomeUnknown{ClaimNumber: 1})
	waiting := w.claimed(3)
	w.apply(waiting, ledger.NotAccepted{ClaimNumber: 1, Reason: "429", Until: w.now.Add(time.Minute)})

	w.now = w.now.Add(10 * time.Minute) // the lease is over, but its message may still bring it on
	w.handle()
	if len(w.requeued) != 1 || w.requeued[0] != unconfirmed {
		t.Errorf("requeued %v, want the unconfirmed one", w.requeued)
	}
	w.now = w.now.Add(4 * time.Minute)
	if got := w.handle(); got.Requeued != 2 {
		t.Errorf("%+v", got)
	}
	if len(w.requeued) != 3 || w.requeued[1] != dead || w.requeued[2] != waiting {
		t.Errorf("requeued %v", w.requeued)
	}
	if got := w.handle(); got.Requeued != 0 {
		t.Errorf("at once, once more: %+v", got)
	}
}

func TestBacklogTakesSeveralInvocations(t *testing.T) {
	t.Parallel()
	w := newWorld(t, fakeextend.Options{})
	const n = 3*maxRequeued + 50
	for i := range n {
		s := w.claimed(i)
		w.apply(s, ledger.OutcomeUnknown{ClaimNumber: 1})
	}
	w.now = w.now.Add(time.Hour)
	for i, left := range []int{n - maxRequeued, n - 2*maxRequeued, n - 3*maxRequeued, 0} {
		if got := w.handle(); got.Left != left || got.Requeued != min(maxRequeued, n-i*maxRequeued) {
			t.Errorf("invocation %d: %+v, want %d left", i+1, got, left)
		}
	}
}

func TestStopsBeforeTheFunctionEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, fakeextend.Options{})
	w.submitted(1)
	w.submitted(2)
	w.now = w.now.Add(time.Hour)
	ctx, cancel := context.WithDeadline(t.Context(), w.now.Add(askTimeout)) // by the handler's clock, no time for a question
	defer cancel()
	if got, err := w.Handle(ctx, nil); err != nil || got != (Summary{Left: 2}) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestErrorsOfExtend(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		status int
		want   Summary
	}{
		{429, Summary{Asked: 1, Left: 1}}, // the plan's budget: stop
		{401, Summary{Asked: 1, Left: 1}}, // the account: stop
		{402, Summary{Asked: 1, Left: 1}},
		{403, Summary{Asked: 2, Errors: 1}}, // perhaps this run: stop when a second one hears it
		{410, Summary{Asked: 1, Left: 1}},
		{500, Summary{Asked: 2, Errors: 2}}, // this run: go on with the next
	} {
		t.Run(fmt.Sprint(tt.status), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, fakeextend.Options{Fault: func(c fakeextend.Call) fakeextend.Fault {
				if c.Route == fakeextend.RouteGet {
					return fakeextend.Fault{Status: tt.status}
				}
				return fakeextend.Fault{}
			}})
			a, _ := w.submitted(1)
			w.submitted(2)
			w.now = w.now.Add(10 * time.Minute)
			if got := w.handle(); got != tt.want {
				t.Errorf("%+v, want %+v", got, tt.want)
			}
			if rec := w.state(a); rec.State != ledger.Processing {
				t.Errorf("%+v", rec)
			}
		})
	}
}

// A status that nobody knows is no news of a run: it is said, kept, and not asked about for ever.
func TestAnUnknownStatus(t *testing.T) {
	for name, change := range map[string]fakeextend.Change{
		"COMPLETED": fakeextend.Set("status", `"COMPLETED"`), "processed": fakeextend.Set("status", `"processed"`), "null": fakeextend.Set("status", `null`), "absent": fakeextend.Drop("status"),
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, fakeextend.Options{Fault: func(c fakeextend.Call) fakeextend.Fault {
				if c.Route == fakeextend.RouteGet {
					return fakeextend.Fault{ChangeRuns: change}
				}
				return fakeextend.Fault{}
			}})
			kept := ""
			w.put = func(_ context.Context, name string, body []byte) (string, error) {
				kept = string(body)
				return "s3://results/" + name, nil
			}
			s, run := w.submitted(1)
			if err := w.fake.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
			w.now = w.now.Add(time.Hour)
			log := fmt.Sprint(lines(t, func() { w.handle() }))
			if !strings.Contains(log, "is not one of Extend's documented ones") || !strings.Contains(log, "s3://results/unreadable/"+run.ID+".json") || !strings.Contains(log, "Unreadable") {
				t.Error(log)
			}
			if !strings.Contains(kept, run.ID) || !strings.Contains(kept, `"output"`) {
				t.Errorf("kept %.100s", kept)
			}
			for start := w.now; !w.state(s).State.Terminal(); w.now = w.now.Add(time.Hour) {
				if w.now.Sub(start) > 8*24*time.Hour {
					t.Fatalf("after %v: %+v", w.now.Sub(start), w.state(s))
				}
				w.handle()
			}
			if rec := w.state(s); rec.State != ledger.Failed || rec.FailureReason != ledger.NoAnswer || !strings.Contains(rec.FailureMessage, "documented") {
				t.Errorf("record %+v", rec)
			}
		})
	}
}

// One run that Extend forbids to see pauses nobody and comes to an end, though no webhook comes.
func TestOneRunThatIsForbidden(t *testing.T) {
	t.Parallel()
	sick := ""
	w := newWorld(t, fakeextend.Options{Processing: fakeextend.Fixed(1000 * time.Hour), Fault: func(c fakeextend.Call) fakeextend.Fault {
		if c.Route == fakeextend.RouteGet && c.RunID == sick {
			return fakeextend.Fault{Status: 403}
		}
		return fakeextend.Fault{}
	}})
	a, run := w.submitted(1)
	b, _ := w.submitted(2)
	sick = run.ID
	for range 24 * 9 {
		w.now = w.now.Add(time.Hour)
		if s := w.handle(); s.Left > 0 {
			t.Fatalf("%+v: the other one has to wait", s)
		}
	}
	if rec := w.state(a); rec.State != ledger.Failed || rec.FailureReason != ledger.NoAnswer {
		t.Errorf("%s %s after %d checks", rec.State, rec.FailureReason, rec.FailedChecks)
	}
	if rec := w.state(b); rec.State != ledger.Processing || rec.FailedChecks != 0 {
		t.Errorf("the other one: %+v", rec)
	}
}

func TestErrorOfOneDocumentHarmsNoOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t, fakeextend.Options{})
	a, b := w.claimed(1), w.claimed(2)
	w.apply(a, ledger.OutcomeUnknown{ClaimNumber: 1})
	w.apply(b, ledger.OutcomeUnknown{ClaimNumber: 1})
	w.now = w.now.Add(time.Hour)
	requeued := 0
	w.requeue = func(_ context.Context, s document.Source) error {
		switch requeued++; s.Key {
		case a.Key:
			panic("a bug")
		case b.Key:
			return errors.New("SQS is away")
		}
		return nil
	}
	if got := w.handle(); got != (Summary{Errors: 2}) || requeued != 2 {
		t.Errorf("%+v, %d tried", got, requeued)
	}
	if rec := w.state(a); rec.State != ledger.Unconfirmed {
		t.Errorf("%+v", rec)
	}
}

// lines are what the log says while f runs, without the summary. Not for tests that
// run side by side.
func lines(t *testing.T, f func()) (lines []map[string]any) {
	t.Helper()
	var out bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(metric.NewHandler(slog.NewJSONHandler(&out, nil), stack)))
	defer slog.SetDefault(before)
	f()
	for d := json.NewDecoder(&out); d.More(); {
		var line map[string]any
		if err := d.Decode(&line); err != nil {
			t.Fatal(err)
		}
		if line["msg"] != "reconciled" {
			lines = append(lines, line)
		}
	}
	return lines
}

// Each document that is asked about or requeued has one line, and what it counts
// is on it.
func TestLinesAndMetrics(t *testing.T) {
	ended := func(w *world, _ *extend.Run) {
		if err := w.fake.Wait(w.t.Context()); err != nil {
			w.t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name  string
		long  bool // the run takes an hour, and so does the wait
		bring func(*world, *extend.Run)
		wait  time.Duration
		fault int
		want  string // the message, then the metrics
	}{
		{name: "lost webhook", bring: ended, wait: 10 * time.Minute, want: "found ended Credits Processed RecoveredByReconcile"},
		{name: "under way", long: true, wait: 10 * time.Minute, want: "asked"},
		{name: "under way for too long", long: true, wait: 7 * time.Hour, want: "asked Stalled"},
		{name: "cancelled", long: true, bring: func(w *world, run *extend.Run) { _ = w.fake.CancelRun(run.ID) }, wait: 10 * time.Minute,
			want: "found ended Cancelled RecoveredByReconcile"},
		{name: "deleted lately", long: true, bring: func(w *world, run *extend.Run) { _ = w.fake.DeleteRun(run.ID) }, wait: 10 * time.Minute,
			want: "Extend knows no such run: deleted, or is the API key of another workspace?"},
		{name: "deleted", long: true, bring: func(w *world, run *extend.Run) {
			_ = w.fake.DeleteRun(run.ID)
			w.now = w.now.Add(10 * time.Minute)
			w.handle() // Extend says so for the first time
		}, wait: 7 * time.Hour,
			want: "Extend knows no such run: deleted, or is the API key of another workspace? Cancelled RecoveredByReconcile"},
		{name: "no credits", wait: 10 * time.Minute, fault: 402, want: "paused AccountPaused=402"},
		{name: "rate limit", wait: 10 * time.Minute, fault: 429, want: "paused RateLimited"},
		{name: "Extend is down", wait: 10 * time.Minute, fault: 500, want: "not reconciled"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			opts := fakeextend.Options{Fault: func(c fakeextend.Call) fakeextend.Fault {
				if c.Route == fakeextend.RouteGet && tt.fault != 0 {
					return fakeextend.Fault{Status: tt.fault}
				}
				return fakeextend.Fault{}
			}}
			if tt.long {
				opts.Processing = fakeextend.Fixed(8 * time.Hour)
			}
			w := newWorld(t, opts)
			s, run := w.submitted(1)
			if tt.bring != nil {
				tt.bring(w, run)
			}
			w.now = w.now.Add(tt.wait)
			all := lines(t, func() { w.handle() })
			if len(all) != 1 {
				t.Fatalf("%d lines, want one: %v", len(all), all)
			}
			got := all[0]["msg"].(string)
			for _, name := range slices.Sorted(maps.Keys(all[0])) {
				if !slices.ContainsFunc(metric.All, func(m metric.Metric) bool { return m.Name == name }) {
					continue
				}
				if got += " " + name; name == metric.AccountPaused.Name {
					got += fmt.Sprint("=", all[0]["Reason"])
				}
			}
			if got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
			if all[0]["document_id"] != s.DocumentID() || all[0]["run_id"] != run.ID {
				t.Errorf("the line is not about %s and %s: %v", s.DocumentID(), run.ID, all[0])
			}
		})
	}
	t.Run("a message that went missing", func(t *testing.T) {
		w := newWorld(t, fakeextend.Options{})
		w.apply(w.claimed(1), ledger.OutcomeUnknown{ClaimNumber: 1})
		w.now = w.now.Add(10 * time.Minute)
		all := lines(t, func() { w.handle() })
		if len(all) != 1 || all[0]["msg"] != "requeued" || all[0]["RecoveredByReconcile"] != 1.0 || all[0]["document_id"] != source(1).DocumentID() {
			t.Errorf("lines %v", all)
		}
	})
}

func TestConfigNamesEveryErrorAtOnce(t *testing.T) {
	t.Parallel()
	_, err := New(t.Context(), func(string) string { return "" })
	if err == nil || strings.Count(err.Error(), "is missing") != 11 {
		t.Errorf("%v", err)
	}
}
