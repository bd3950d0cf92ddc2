package metric_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"extend-intake/shared/metric"
)

// logger writes lines without their time, so that they can be compared.
func logger(w io.Writer, level slog.Level) *slog.Logger {
	return slog.New(metric.NewHandler(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level,
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}}), "123456789012/eu-west-1/intake"))
}

func TestLines(t *testing.T) {
	const (
		count  = `{"Namespace":"ExtendIntake","Dimensions":[["Stack"]],"Metrics":[{"Name":"Submitted","Unit":"Count"}]}`
		failed = `{"Namespace":"ExtendIntake","Dimensions":[["Stack"],["Stack","Reason"]],"Metrics":[{"Name":"Failed","Unit":"Count"}]}`
	)
	for _, c := range []struct {
		name string
		log  func(*slog.Logger)
		want string // of _aws, its timestamp left out
	}{
		{"no metric", func(l *slog.Logger) { l.Info("m", "document_id", "doc_1") },
			`{"level":"INFO","msg":"m","document_id":"doc_1"}`},
		{"one", func(l *slog.Logger) { l.Info("m", "document_id", "doc_1", metric.Submitted.One()) },
			`{"level":"INFO","msg":"m","document_id":"doc_1","Stack":"intake","Submitted":1,"_aws":{"CloudWatchMetrics":[` + count + `]}}`},
		{"the same twice", func(l *slog.Logger) { l.Info("m", metric.Submitted.One(), metric.Submitted.Add(1.5)) },
			`{"level":"INFO","msg":"m","Stack":"intake","Submitted":2.5,"_aws":{"CloudWatchMetrics":[` + count + `]}}`},
		{"with a dimension", func(l *slog.Logger) { l.Info("m", metric.Failed.For("INTERNAL_ERROR").One()) },
			`{"level":"INFO","msg":"m","Stack":"intake","Reason":"INTERNAL_ERROR","Failed":1,"_aws":{"CloudWatchMetrics":[` + failed + `]}}`},
		{"with a value that nobody knows", func(l *slog.Logger) { l.Info("m", metric.Failed.For("NEW_REASON").One()) },
			`{"level":"INFO","msg":"m","Stack":"intake","Reason":"other","Failed":1,"_aws":{"CloudWatchMetrics":[` + failed + `]}}`},
		{"without the value of its dimension", func(l *slog.Logger) { l.Info("m", metric.Failed.One()) },
			`{"level":"INFO","msg":"m","Stack":"intake","Reason":"other","Failed":1,"_aws":{"CloudWatchMetrics":[` + failed + `]}}`},
		{"several with different dimensions", func(l *slog.Logger) {
			l.Info("m", metric.Failed.For("ABORTED").One(), metric.Credits.Add(3), metric.SecondsToOutput.Add(0.25))
		}, `{"level":"INFO","msg":"m","Stack":"intake","Reason":"ABORTED","Failed":1,"Credits":3,"SecondsToOutput":0.25,"_aws":{"CloudWatchMetrics":[` + failed +
			`,{"Namespace":"ExtendIntake","Dimensions":[["Stack"]],"Metrics":[{"Name":"Credits","Unit":"Count"},{"Name":"SecondsToOutput","Unit":"Seconds"}]}]}}`},
		{"several values of a dimension", func(l *slog.Logger) {
			l.Info("m", metric.Failed.For("ABORTED").One(), metric.Failed.For("INTERNAL_ERROR").One())
		}, `{"level":"INFO","msg":"m","Stack":"intake","Failed":2,"_aws":{"CloudWatchMetrics":[{"Namespace":"ExtendIntake","Dimensions":[["Stack"]],"Metrics":[{"Name":"Failed","Unit":"Count"}]}]}}`},
		{"no finite number", func(l *slog.Logger) {
			l.Info("m", metric.Credits.Add(math.NaN()), metric.SecondsToOutput.Add(math.Inf(1)), metric.Submitted.One())
		}, `{"level":"INFO","msg":"m","Stack":"intake","Submitted":1,"_aws":{"CloudWatchMetrics":[` + count + `]}}`},
		{"nothing but no finite number", func(l *slog.Logger) { l.Info("m", "a", 1, metric.Credits.Add(math.NaN())) },
			`{"level":"INFO","msg":"m","a":1}`},
		{"under With", func(l *slog.Logger) { l.With("a", 1, metric.Submitted.One()).With("b", 2).Info("m", "c", 3) },
			`{"level":"INFO","msg":"m","a":1,"b":2,"c":3,"Stack":"intake","Submitted":1,"_aws":{"CloudWatchMetrics":[` + count + `]}}`},
		{"in a group", func(l *slog.Logger) {
			l.With("a", 1).WithGroup("g").With("b", 2).Info("m", "c", 3, metric.Submitted.One())
		},
			`{"level":"INFO","msg":"m","Stack":"intake","Submitted":1,"_aws":{"CloudWatchMetrics":[` + count + `]},"a":1,"g":{"b":2,"c":3}}`},
		{"below the level, no metric", func(l *slog.Logger) { l.Debug("m") }, ""},
		{"below the level, a metric", func(l *slog.Logger) { l.Debug("m", metric.Submitted.One()) },
			`{"level":"INFO","msg":"m","Stack":"intake","Submitted":1,"_aws":{"CloudWatchMetrics":[` + count + `]}}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			before := time.Now().UnixMilli()
			c.log(logger(&out, slog.LevelInfo))
			got := strings.TrimSuffix(out.String(), "\n")
			var line struct {
				AWS struct{ Timestamp int64 } `json:"_aws"`
			}
			if strings.Contains(got, `"_aws"`) {
				if err := json.Unmarshal(out.Bytes(), &line); err != nil {
					t.Fatal(err)
				}
				if at := line.AWS.Timestamp; at < before || at > time.Now().UnixMilli() {
					t.Errorf("Timestamp = %d, want now in milliseconds, %d", at, before)
				}
				n, _ := json.Marshal(line.AWS.Timestamp)
				got = strings.Replace(got, `"Timestamp":`+string(n)+`,`, "", 1)
			}
			if got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// Two loggers made of one must not write into each other's attributes.
func TestWithIsACopy(t *testing.T) {
	var out bytes.Buffer
	l := logger(&out, slog.LevelInfo).With("x", 1, metric.Submitted.One()).WithGroup("g").With("y", 2)
	a := l.With("z", "a", metric.Credits.Add(1))
	b := l.With("z", "b", metric.Refused.One())
	a.Info("m")
	b.Info("m")
	lines := strings.Split(out.String(), "\n")
	if !strings.Contains(lines[0], `"z":"a"`) || !strings.Contains(lines[0], `"Credits":1`) || strings.Contains(lines[0], "Refused") {
		t.Errorf("the first logger wrote %s", lines[0])
	}
	if !strings.Contains(lines[1], `"z":"b"`) || !strings.Contains(lines[1], `"Refused":1`) || strings.Contains(lines[1], "Credits") {
		t.Errorf("the second logger wrote %s", lines[1])
	}
}

func TestAnotherHandlerShowsTheNumber(t *testing.T) {
	var out bytes.Buffer
	slog.New(slog.NewTextHandler(&out, nil)).Info("m", metric.Failed.For("ABORTED").Add(2))
	if !strings.HasSuffix(out.String(), "msg=m Failed=2\n") {
		t.Errorf("line = %q", out.String())
	}
}

// A line's keys, metrics and dimensions share its root.
func TestNamesAreUnique(t *testing.T) {
	seen := map[string]bool{"Stack": true, "_aws": true}
	dimensions := map[string]bool{}
	for _, m := range metric.All {
		if seen[m.Name] {
			t.Errorf("%s is there twice", m.Name)
		}
		if seen[m.Name] = true; m.Dimension != "" {
			dimensions[m.Dimension] = true
		}
	}
	for name := range dimensions {
		if seen[name] {
			t.Errorf("%s is a dimension and something else", name)
		}
	}
	for _, k := range metric.Keys {
		if seen[k.Name] || dimensions[k.Name] {
			t.Errorf("the key %s is there twice", k.Name)
		}
		seen[k.Name] = true
	}
}

// A line without metrics should cost nothing more than without the handler.
func BenchmarkLineWithoutMetrics(b *testing.B) {
	plain := slog.NewJSONHandler(io.Discard, nil)
	for name, h := range map[string]slog.Handler{"plain": plain, "metric": metric.NewHandler(plain, "a/b/c")} {
		b.Run(name, func(b *testing.B) {
			l := slog.New(h)
			b.ReportAllocs()
			for b.Loop() {
				l.Info("delivery", "document_id", "doc_1", "attempt", 1)
			}
		})
	}
}

func BenchmarkLineWithMetrics(b *testing.B) {
	l := slog.New(metric.NewHandler(slog.NewJSONHandler(io.Discard, nil), "a/b/c"))
	b.ReportAllocs()
	for b.Loop() {
		l.Info("delivery", "document_id", "doc_1", metric.Processed.One(), metric.Credits.Add(2), metric.SecondsToOutput.Add(12.5))
	}
}
