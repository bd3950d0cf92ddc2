package acceptance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"extend-intake/dev/fakeextend"
	"extend-intake/dev/stack"
	"extend-intake/shared/document"
	"extend-intake/shared/extend"
	"extend-intake/shared/extend/webhook"
	"extend-intake/shared/ledger"
	"extend-intake/shared/metric"
)

// logLines are what the functions have logged, the lines of Lambda left out.
func (s *deployment) logLines(ctx context.Context) ([]map[string]any, error) {
	var lines []map[string]any
	for _, function := range stack.Functions {
		texts, err := s.FunctionLogs(ctx, function, 1<<20)
		if err != nil {
			return nil, err
		}
		for _, text := range texts {
			if first, _, _ := strings.Cut(text, " "); slices.Contains([]string{"START", "END", "REPORT", "INIT_START"}, first) {
				continue // Lambda's own
			}
			var line map[string]any
			if err := json.Unmarshal([]byte(text), &line); err != nil {
				return nil, fmt.Errorf("%s logs a line that is no JSON: %s", function, text)
			}
			lines = append(lines, line)
		}
	}
	return lines, nil
}

// checkLog checks that every line has documented keys only.
func checkLog(lines []map[string]any) error {
	known := map[string]bool{"Stack": true, "_aws": true}
	for _, k := range metric.Keys {
		known[k.Name] = true
	}
	for _, m := range metric.All {
		known[m.Name] = true
		if m.Dimension != "" {
			known[m.Dimension] = true
		}
	}
	var errs []error
	for _, line := range lines {
		for key := range line {
			if _, text := line[key].(string); key == "error" && !text {
				errs = append(errs, fmt.Errorf("the error of a log line is no text: %v", line))
			}
			if !known[key] {
				errs = append(errs, fmt.Errorf("a log line has the key %q, which metric.Keys does not name: %v", key, line))
			}
		}
	}
	return errors.Join(errs...)
}

// elsewhere are the metrics that other tests see.
var elsewhere = map[string]bool{
	metric.NotRouted.Name:   true, // TestStackOnABucketThatIsThere: a route of this stack takes every key
	metric.NeedsReview.Name: true, // TestReviews, as the next
	metric.Rejected.Name:    true,
	metric.BudgetUsed.Name:  true, // submit's TestDailyBudget: this stack has no budget
}

// Everything that is counted happens once: each metric of the dashboard and the alarms
// is seen, as CloudWatch would read it from the log, and leads to its document.
func TestEveryMetricIsCounted(t *testing.T) {
	t.Parallel()
	s := theStack(t)
	put := func(name string) document.Source { return s.put(t, name+".pdf", []byte("counted: "+name)) }
	refused, limited, unpaid, failing := put(refusedOnce), put(rateLimited), put(noCredits), put(failsOnce)
	lost, unheard, waiting, twin := put(lostBoth), put(lostWebhook+" counted"), put(neverEnds), put(twinRun)
	original := put("copied")
	copied := s.copyOntoItself(t, original)

	s.send(t, "hello, queue") // no upload event
	s.deliver(t, webhook.Sign("wss_another", time.Now(), []byte("{}")), []byte("{}"))
	for _, body := range []string{"{", `{"eventId":"e","eventType":"extract_run.processed","payload":{}}`} { // no JSON; another version of the API
		s.deliver(t, webhook.Sign(s.WebhookSecret, time.Now(), []byte(body)), []byte(body))
	}
	s.ended(t, refused, ledger.Refused)
	for _, src := range []document.Source{limited, unpaid} {
		s.ended(t, src, ledger.Processed)
	}
	if rec := s.ended(t, failing, ledger.Processed); rec.Attempt != 2 {
		t.Errorf("%s: attempt %d, want the second", failing.Key, rec.Attempt)
	}
	s.send(t, uploadEvent(limited)) // of a document that has ended

	// Extend makes a second run of one attempt: we did not ask for it.
	rec := s.ended(t, twin, ledger.Processed)
	var tag map[string]any
	if err := json.Unmarshal(s.runs(twin)[0].Metadata, &tag); err != nil {
		t.Fatal(err)
	}
	client, err := extend.NewClient(extend.StaticKey(s.APIKey), extend.WithBaseURL(s.ExtendURL))
	if err != nil {
		t.Fatal(err)
	}
	file, err := s.Serve(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "a file") }))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Runs.Create(t.Context(), extend.CreateRunRequest{
		ProcessorID: rec.ProcessorID, File: &extend.RunFile{FileName: twin.FileName(1, ""), FileURL: file}, Metadata: tag,
	}); err != nil {
		t.Fatal(err)
	}

	// Somebody makes a run with the tag of an attempt that was never begun.
	ours, err := document.ParseTag(s.runs(limited)[0].Metadata)
	if err != nil {
		t.Fatal(err)
	}
	if ours.Signature == "" {
		t.Error("the deployed stack does not sign its tags")
	}
	madeUp, err := json.Marshal(document.NewTag(ours.Stack, limited, 9).Metadata())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Fake.AddRun(fakeextend.NewRun{ProcessorID: stack.ProcessorID, FileName: "made up.pdf", Content: []byte("made up"), Metadata: madeUp}); err != nil {
		t.Fatal(err)
	}

	s.eventually(t, "reconcile has asked about the run that does not end", func() (bool, error) {
		if err := s.invoke(t, "ReconcileFunction"); err != nil {
			return false, err
		}
		return s.counted(t)[metric.Stalled.Name] > 0, nil
	})
	if rec, err := s.Ledger.Get(t.Context(), waiting.DocumentID()); err != nil {
		t.Fatal(err)
	} else if err := s.Fake.CancelRun(rec.RunID); err != nil {
		t.Fatal(err)
	}
	s.eventually(t, "every metric is counted", func() (bool, error) {
		if err := s.invoke(t, "ReconcileFunction"); err != nil {
			return false, err
		}
		counted := s.counted(t)
		var missing []string
		for _, m := range metric.All {
			if counted[m.Name] <= 0 && !elsewhere[m.Name] {
				missing = append(missing, m.Name)
			}
		}
		rec, err := s.Ledger.Get(t.Context(), lost.DocumentID())
		return err == nil && rec.State == ledger.Processed && len(missing) == 0, fmt.Errorf("not counted: %v (%v)", missing, err)
	})
	s.ended(t, waiting, ledger.Cancelled)
	s.ended(t, unheard, ledger.Processed)
	// Each document once, however often its messages and deliveries came.
	for _, c := range []struct {
		src  document.Source
		want map[string]float64
	}{
		{refused, map[string]float64{"Refused": 1}},
		{limited, map[string]float64{"Submitted": 1, "RateLimited": 1, "Processed": 1, "TagMismatches": 1, "Credits": 1.5}},
		{unpaid, map[string]float64{"Submitted": 1, "AccountPaused": 1, "Processed": 1, "Credits": 1.5}},
		{failing, map[string]float64{"Submitted": 2, "Failed": 1, "Processed": 1, "Credits": 1.5}},
		{lost, map[string]float64{"Submitted": 1, "Unconfirmed": 1, "RecoveredBySearch": 1, "Processed": 1, "Credits": 1.5}},
		{unheard, map[string]float64{"Submitted": 1, "Processed": 1, "Credits": 1.5}},
		{waiting, map[string]float64{"Submitted": 1, "UnexpectedAnswers": 1, "Cancelled": 1}},
		{twin, map[string]float64{"Submitted": 1, "Processed": 1, "DuplicateRun": 1, "Credits": 3}},
	} {
		s.countsAre(t, c.src, c.want)
	}
	s.checkReadOnce(t, original, copied)
	counted := s.counted(t)
	for _, m := range metric.All {
		t.Logf("%-21s %g", m.Name, counted[m.Name])
	}
}

// How often these are counted of a document depends on who comes when.
var anyNumber = []string{metric.Stalled.Name, metric.RecoveredByReconcile.Name, metric.SecondsToOutput.Name, metric.DuplicatesDropped.Name}

// countsAre waits until a document is counted like this: a line is written after what it
// tells of.
func (s *deployment) countsAre(t *testing.T, src document.Source, want map[string]float64) {
	t.Helper()
	s.eventually(t, src.Key+" is counted", func() (bool, error) {
		lines, err := s.logLines(t.Context())
		if err != nil {
			return false, err
		}
		got := make(map[string]float64)
		for _, line := range lines {
			if line["document_id"] != src.DocumentID() {
				continue
			}
			for _, m := range metric.All {
				if n, ok := line[m.Name].(float64); ok && !slices.Contains(anyNumber, m.Name) {
					got[m.Name] += n
				}
			}
		}
		if want[metric.AccountPaused.Name] == 0 {
			delete(got, metric.AccountPaused.Name) // documents of two tests may have heard the same
		}
		diff := cmp.Diff(want, got)
		return diff == "", fmt.Errorf("(-want +got):\n%s", diff)
	})
}

// lineWith is the last line about a document that counts this; nil if there is none.
func (s *deployment) lineWith(t *testing.T, src document.Source, m metric.Metric) (last map[string]any) {
	t.Helper()
	lines, err := s.logLines(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines {
		if line["document_id"] == src.DocumentID() && line[m.Name] != nil {
			last = line
		}
	}
	return last
}

// counted is what CloudWatch makes of the log: the sum of each metric over the lines
// whose _aws declares it, under the dimension Stack.
func (s *deployment) counted(t *testing.T) map[string]float64 {
	t.Helper()
	lines, err := s.logLines(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	sums := make(map[string]float64)
	for _, line := range lines {
		if line["_aws"] == nil {
			continue
		}
		text, _ := json.Marshal(line["_aws"])
		var aws struct {
			Timestamp         int64
			CloudWatchMetrics []struct {
				Namespace  string
				Dimensions [][]string
				Metrics    []struct{ Name, Unit string }
			}
		}
		if err := json.Unmarshal(text, &aws); err != nil || aws.Timestamp == 0 {
			t.Fatalf("CloudWatch can't read %s (%v)", text, err)
		}
		for _, d := range aws.CloudWatchMetrics {
			if d.Namespace != metric.Namespace || line["Stack"] != stack.Name || !slices.ContainsFunc(d.Dimensions, func(set []string) bool { return slices.Equal(set, []string{"Stack"}) }) {
				t.Fatalf("not under %s, Stack=%s: %v", metric.Namespace, stack.Name, line)
			}
			for _, set := range d.Dimensions {
				for _, name := range set {
					if value, _ := line[name].(string); value == "" {
						t.Errorf("the dimension %s has no value: %v", name, line)
					}
				}
			}
			for _, m := range d.Metrics {
				n, ok := line[m.Name].(float64)
				if !ok {
					t.Errorf("%s is declared, and is no number: %v", m.Name, line)
				}
				sums[m.Name] += n
			}
		}
		// Deliveries that are refused, messages that are no upload events and uploads that no
		// route takes are about no document.
		if _, ok := line["document_id"]; !ok && line[metric.WebhookRejected.Name] == nil && line[metric.DeadLetters.Name] == nil && line[metric.NotRouted.Name] == nil {
			t.Errorf("a line that counts names no document: %v", line)
		}
	}
	return sums
}

// What the fake Extend does with files of these names, besides what recovery_test
// does, once each.
const (
	refusedOnce = "refused"                   // a final no
	rateLimited = "rate-limited"              // the plan's limit
	noCredits   = "no-credits"                // the account can't pay
	failsOnce   = "fails-once"                // a run fails with a transient error
	neverEnds   = "never-ends"                // until the test cancels it; the first GET of it is answered by somebody else
	twinRun     = "twin"                      // ordinary; the test makes a second run of it
	lostBoth    = lostWebhook + " and answer" // the run is made, but neither answer nor webhook says so
)
