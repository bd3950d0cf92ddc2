package selector_test

import (
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"extend-intake/intake/exit"
	"extend-intake/intake/selector"
	"extend-intake/shared/ledger"
)

var now = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

func parse(t *testing.T, stdin string, words ...string) (selector.Selection, error) {
	t.Helper()
	var f selector.Flags
	fs := pflag.NewFlagSet("", pflag.ContinueOnError)
	f.Register(fs)
	if err := fs.Parse(words); err != nil {
		t.Fatal(err)
	}
	return selector.Parse(fs.Args(), f, strings.NewReader(stdin), now)
}

const id = "doc_ojxr2l4cxaz6m5t3vfpsrdnkeq"

func TestNames(t *testing.T) {
	t.Parallel()
	s, err := parse(t, id+"\r\n\n s3://b/from stdin.pdf \n", id, "dpr_x-1", "s3://b/a b/c.pdf", "s3://b/a/", "s3://b", "-")
	if err != nil {
		t.Fatal(err)
	}
	if len(s.IDs) != 2 || len(s.Runs) != 1 || len(s.Prefixes) != 2 || s.Prefixes[1] != (selector.Prefix{Bucket: "b"}) ||
		strings.Join(s.Objects, "|") != "s3://b/a b/c.pdf|s3://b/from stdin.pdf" || !s.Named() {
		t.Errorf("%+v", s)
	}
}

func TestWhatSelectsNothing(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ words, stdin, want string }{
		{"42.pdf", "", "s3://bucket/key"},
		{"doc_short", "", "26 characters"},
		{"s3://", "", "no bucket"},
		{"s3:///key", "", "no bucket"},
		{"-", "\n\n", "no ids"},
		{"-", id + "\nx\n", "line 2"},
		{"--state FALED", "", "no such state"},
		{"--since yesterday", "", "2h, 7d"},
		{"--since -2h", "", "2h, 7d"},
		{"--since 9999999w", "", "2h, 7d"},
		{"--until 2h --since 1h", "", "nothing can be between"},
	} {
		if _, err := parse(t, c.stdin, strings.Fields(c.words)...); exit.Of(err) != exit.Usage || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want a usage error with %q", c.words, err, c.want)
		}
	}
}

func TestInstants(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Time{
		"":                          {},
		"90s":                       now.Add(-90 * time.Second),
		"1.5h":                      now.Add(-90 * time.Minute),
		"2d":                        now.AddDate(0, 0, -2),
		"1w":                        now.AddDate(0, 0, -7),
		"2026-11-20":                time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC),
		"2026-11-20T08:00:00+02:00": time.Date(2026, 11, 20, 6, 0, 0, 0, time.UTC),
	} {
		if got, err := selector.Instant("--since", text, now); err != nil || !got.Equal(want) {
			t.Errorf("%s: %v, %v; want %v", text, got, err, want)
		}
	}
}

func TestFilters(t *testing.T) {
	t.Parallel()
	failed := &ledger.Record{State: ledger.Failed, Attempt: 2, Route: "invoices", ProcessorID: "dp_a", ProcessorVersion: "2.1", FailureReason: "CORRUPT_FILE", FinishedAt: now.Add(-time.Hour), Reason: "left over"}
	waiting := &ledger.Record{State: ledger.Waiting, Attempt: 1, Reason: "rate limit", UploadedAt: now.Add(-3 * time.Hour)}
	for _, c := range []struct {
		words           string
		failed, waiting bool
	}{
		{"", true, true},
		{"--state failed", true, false},
		{"--state ended", true, false},
		{"--state on-the-way", false, true},
		{"--state WAITING,FAILED", true, true},
		{"--since 2h", true, false},
		{"--until 2h", false, true},
		{"--since 1h", true, false}, // inclusive
		{"--route invoices", true, false},
		{"--processor dp_a --version 2.1", true, false},
		{"--version 2.10", false, false},
		{"--reason corrupt_file", true, false},
		{"--attempt 1", false, true},
		{"--stalled", false, true},
	} {
		s, err := parse(t, "", strings.Fields(c.words)...)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Keeps(failed, now, 2*time.Hour); got != c.failed {
			t.Errorf("%s: the one that failed: %t", c.words, got)
		}
		if got := s.Keeps(waiting, now, 2*time.Hour); got != c.waiting {
			t.Errorf("%s: the one that waits: %t", c.words, got)
		}
	}
}
