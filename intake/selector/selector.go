// Package selector says which documents a command is about, by ids, objects, prefixes or
// filters, and finds them:
//
//	sel, err := selector.Parse(args, flags, stdin, now)
//	for item, err := range finder.Find(ctx, sel) { … }
package selector

import (
	"bufio"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"extend-intake/intake/exit"
	"extend-intake/shared/ledger"
)

// Help is what selectors are, for the help of commands.
const Help = `Documents are named by their id (doc_…), by a run of theirs (dpr_…), by the object
(s3://bucket/key: the newest upload of it), by a prefix (s3://bucket/prefix/, as S3 lists it,
with files that have no record), or by - for ids on standard input, one a line. Without a
name, the filters choose among all documents. Spans are written as 90s, 15m, 2h, 7d or 1w,
instants as 2026-11-25 or in RFC 3339.`

// Flags are the filters of a command line.
type Flags struct {
	states                            []string
	since, until                      string
	route, processor, version, reason string
	attempt                           int
	stalled                           bool
	// AllVersions: all uploads of an object, not only the newest.
	AllVersions bool
}

// Register adds the filters to a command's flags.
func (f *Flags) Register(fs *pflag.FlagSet) {
	fs.StringSliceVar(&f.states, "state", nil, "only these `states`: WAITING, FAILED …, on-the-way or ended")
	fs.StringVar(&f.since, "since", "", "ended (on the way: uploaded) since this `time`, such as 2h, 7d or 2026-11-25")
	fs.StringVar(&f.until, "until", "", "ended (on the way: uploaded) until this `time`")
	fs.StringVar(&f.route, "route", "", "only of this `route`")
	fs.StringVar(&f.processor, "processor", "", "only of this `processor` (dp_…)")
	fs.StringVar(&f.version, "version", "", "only of this `version` of the processor, as it was asked for")
	fs.StringVar(&f.reason, "reason", "", "only with this `reason` of failing or waiting, such as CORRUPT_FILE")
	fs.IntVar(&f.attempt, "attempt", 0, "only those whose last attempt is this `number`")
	fs.BoolVar(&f.stalled, "stalled", false, "only those on the way for longer than StalledAfterSeconds")
	fs.BoolVar(&f.AllVersions, "all-versions", false, "all uploads of an object, not only the newest")
}

// Selection is what a command line selects.
type Selection struct {
	// IDs, Runs, Objects and Prefixes are what is named; all empty: the filters choose among
	// all documents.
	IDs, Runs, Objects []string
	Prefixes           []Prefix
	AllVersions        bool
	Filter
}

// Prefix is a part of a bucket.
type Prefix struct{ Bucket, Prefix string }

// Filter leaves documents out. Its zero value leaves none out.
type Filter struct {
	States                            []ledger.State
	Since, Until                      time.Time
	Route, Processor, Version, Reason string
	Attempt                           int
	Stalled                           bool
}

// Named reports whether documents, objects or prefixes are named.
func (s Selection) Named() bool {
	return len(s.IDs)+len(s.Runs)+len(s.Objects)+len(s.Prefixes) > 0
}

var (
	documentID = regexp.MustCompile(`^doc_[a-z2-7]{26}$`)
	runID      = regexp.MustCompile(`^(dpr|workflow_run|wr|pr)_[A-Za-z0-9_-]+$`)
)

// Parse reads names and filters. Stdin is read where one of the names is "-".
func Parse(args []string, f Flags, stdin io.Reader, now time.Time) (Selection, error) {
	s := Selection{AllVersions: f.AllVersions, Filter: Filter{
		Route: f.route, Processor: f.processor, Version: f.version, Reason: f.reason, Attempt: f.attempt, Stalled: f.stalled,
	}}
	for _, arg := range args {
		if arg == "-" {
			if err := s.read(stdin); err != nil {
				return Selection{}, err
			}
			continue
		}
		if err := s.add(arg); err != nil {
			return Selection{}, err
		}
	}
	if slices.Contains(args, "-") && !s.Named() {
		return Selection{}, exit.New(exit.Usage, "-: standard input has no ids")
	}
	if err := s.parseStates(f.states); err != nil {
		return Selection{}, err
	}
	var err error
	if s.Since, err = Instant("--since", f.since, now); err != nil {
		return Selection{}, err
	}
	if s.Until, err = Instant("--until", f.until, now); err != nil {
		return Selection{}, err
	}
	if !s.Since.IsZero() && !s.Until.IsZero() && s.Until.Before(s.Since) {
		return Selection{}, exit.New(exit.Usage, "--until %s is before --since %s: nothing can be between them", f.until, f.since)
	}
	return s, nil
}

// read adds the names on standard input, one a line.
func (s *Selection) read(stdin io.Reader) error {
	lines := bufio.NewScanner(stdin)
	for n := 1; lines.Scan(); n++ {
		name := strings.TrimSpace(lines.Text())
		if name == "" {
			continue
		}
		if err := s.add(name); err != nil {
			return fmt.Errorf("standard input, line %d: %w", n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("standard input: %w", err)
	}
	return nil
}

// add adds one name.
func (s *Selection) add(name string) error {
	switch {
	case documentID.MatchString(name):
		s.IDs = append(s.IDs, name)
	case runID.MatchString(name):
		s.Runs = append(s.Runs, name)
	case strings.HasPrefix(name, "s3://"):
		bucket, key, _ := strings.Cut(strings.TrimPrefix(name, "s3://"), "/")
		switch {
		case bucket == "":
			return exit.New(exit.Usage, "%q names no bucket: write s3://bucket/key", name)
		case key == "" || strings.HasSuffix(key, "/"):
			s.Prefixes = append(s.Prefixes, Prefix{bucket, key})
		default:
			s.Objects = append(s.Objects, name)
		}
	case strings.HasPrefix(name, "doc_"):
		return exit.New(exit.Usage, "%q is not the id of a document: that is doc_ and 26 characters of a-z and 2-7", name).
			Next("terminals cut ids; intake ls -o id   shows them whole")
	default:
		return exit.New(exit.Usage, "%q names no document: write its id (doc_…), a run (dpr_…) or an object (s3://bucket/key)", name)
	}
	return nil
}

func (s *Selection) parseStates(names []string) error {
	for _, name := range names {
		switch lower := strings.ToLower(strings.TrimSpace(name)); lower {
		case "on-the-way", "ended":
			for _, state := range ledger.States() {
				if state.Terminal() == (lower == "ended") {
					s.States = append(s.States, state)
				}
			}
		default:
			state := ledger.State(strings.ToUpper(lower))
			if !slices.Contains(ledger.States(), state) {
				return exit.New(exit.Usage, "--state %s: there is no such state", name).Next("choose of %s, on-the-way, ended", StateNames())
			}
			s.States = append(s.States, state)
		}
	}
	return nil
}

// StateNames are all states, separated by commas.
func StateNames() string {
	var names []string
	for _, state := range ledger.States() {
		names = append(names, string(state))
	}
	return strings.Join(names, ", ")
}

var span = regexp.MustCompile(`^([0-9]+(?:\.[0-9]+)?)(s|m|min|h|d|w)$`)

// Span reads a span of time, such as 90s, 15m, 2h, 7d or 1w. The name is that of the flag.
func Span(name, text string) (time.Duration, error) {
	m := span.FindStringSubmatch(strings.TrimSpace(text))
	if m == nil {
		return 0, exit.New(exit.Usage, "%s %s: a span of time is a number and s, m, h, d or w, such as 2h or 7d", name, text)
	}
	n, err := strconv.ParseFloat(m[1], 64)
	unit := map[string]time.Duration{"s": time.Second, "m": time.Minute, "min": time.Minute, "h": time.Hour, "d": 24 * time.Hour, "w": 7 * 24 * time.Hour}[m[2]]
	if err != nil || n*float64(unit) > float64(100*365*24*time.Hour) {
		return 0, exit.New(exit.Usage, "%s %s: that is too long", name, text)
	}
	return time.Duration(n * float64(unit)), nil
}

// Instant reads an instant: in RFC 3339, a date (its first moment, local time), or a span
// before now. The empty text is the zero time.
func Instant(name, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return t.UTC(), nil
	}
	if t, err := time.ParseInLocation(time.DateOnly, text, now.Location()); err == nil {
		return t.UTC(), nil
	}
	d, err := Span(name, text)
	if err != nil {
		return time.Time{}, exit.New(exit.Usage, "%s %s: write a span before now (2h, 7d), a date (2026-11-25) or an instant (2026-11-25T08:00:00Z)", name, text)
	}
	return now.Add(-d).UTC(), nil
}

// Keeps reports whether the filter lets a document pass. Whatever is on the way for longer
// than stalledAfter is stalled.
func (f Filter) Keeps(r *ledger.Record, now time.Time, stalledAfter time.Duration) bool {
	at := r.FinishedAt
	if !r.State.Terminal() {
		at = r.Since()
	}
	reason := r.FailureReason
	if !r.State.Terminal() {
		reason = r.Reason
	}
	return (len(f.States) == 0 || slices.Contains(f.States, r.State)) &&
		(f.Since.IsZero() || !at.Before(f.Since)) && (f.Until.IsZero() || !at.After(f.Until)) &&
		(f.Route == "" || r.Route == f.Route) && (f.Processor == "" || r.ProcessorID == f.Processor) &&
		(f.Version == "" || r.ProcessorVersion == f.Version) && (f.Reason == "" || strings.EqualFold(reason, f.Reason)) &&
		(f.Attempt == 0 || r.Attempt == f.Attempt) &&
		(!f.Stalled || !r.State.Terminal() && !r.Since().IsZero() && now.Sub(r.Since()) > stalledAfter)
}

// None reports whether the filter lets everything pass.
func (f Filter) None() bool {
	return len(f.States) == 0 && f.Since.IsZero() && f.Until.IsZero() && f.Route == "" && f.Processor == "" &&
		f.Version == "" && f.Reason == "" && f.Attempt == 0 && !f.Stalled
}
