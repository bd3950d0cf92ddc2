package view

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"extend-intake/shared/ledger"
)

// visible shows characters that can't be seen, or that would turn what stands around them.
func visible(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case r < 0x20:
			return 0x2400 + r // ␀ and so on
		case r == 0x7f:
			return '␡'
		case r >= 0x80 && r < 0xa0, r == 0x200e, r == 0x200f, r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069, r == 0xfeff:
			return '�'
		}
		return r
	}, s)
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return grouped(n) + " " + many
}

// grouped writes a whole number with a comma for each thousand.
func grouped(n int) string {
	s := fmt.Sprint(n)
	for at := len(s) - 3; at > 0 && s[at-1] != '-'; at -= 3 {
		s = s[:at] + "," + s[at:]
	}
	return s
}

// args hands several values to a template.
func args(pairs ...any) (map[string]any, error) {
	if len(pairs)%2 != 0 {
		return nil, errors.New("args: a name without a value")
	}
	m := map[string]any{}
	for i := 0; i < len(pairs); i += 2 {
		name, ok := pairs[i].(string)
		if !ok {
			return nil, fmt.Errorf("args: %v is no name", pairs[i])
		}
		m[name] = pairs[i+1]
	}
	return m, nil
}

// columnName is a name as a column's title: words rather than one long word.
func columnName(name string) string { return strings.ReplaceAll(name, "_", " ") }

// when is an instant as the page shows it.
type when struct{ Exact, UTC, Ago string }

func (p *Page) when(t time.Time) when {
	if t.IsZero() {
		return when{}
	}
	return when{t.Local().Format("2006-01-02 15:04:05"), t.UTC().Format("2006-01-02T15:04:05.000Z"), ago(p.options.Now().Sub(t))}
}

func ago(d time.Duration) string {
	if d < 0 {
		return "in " + roughly(-d)
	}
	if d < 5*time.Second {
		return "just now"
	}
	return roughly(d) + " ago"
}

func roughly(d time.Duration) string {
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}

// shellQuote quotes an argument for a shell.
func shellQuote(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// tone is how a state looks; its name stands beside the colour.
func tone(s ledger.State) string {
	switch s {
	case ledger.Processed:
		return "good"
	case ledger.Failed, ledger.Refused, rejected:
		return "bad"
	case ledger.Cancelled, ledger.Skipped:
		return "quiet"
	}
	if slices.Contains(ledger.States(), s) {
		return "busy"
	}
	return "odd"
}

// States of documents that a workflow reads, whether this version of the ledger has them or not.
const (
	needsReview ledger.State = "NEEDS_REVIEW"
	rejected    ledger.State = "REJECTED"
)

// explain says what a state means for a document: why it waits, and what happens next.
func explain(rec *ledger.Record) string {
	switch rec.State {
	case ledger.Waiting:
		return "Extend does not have it yet. " + sentence(rec.Reason) + "It is tried again by itself."
	case ledger.Submitting:
		return "It is being sent to Extend now."
	case ledger.Unconfirmed:
		return "Extend did not say whether it took the file. The run is searched for, and the file is sent again only if there is none."
	case ledger.Processing:
		return "Extend is reading it. The result comes by webhook; without one, Extend is asked."
	case needsReview:
		return "A person is to review it at Extend. The result comes when that is done."
	case ledger.Failed, ledger.Refused, ledger.Cancelled, ledger.Skipped, rejected:
		text := rec.FailureReason
		if rec.FailureMessage != "" {
			text = strings.TrimPrefix(text+": "+rec.FailureMessage, ": ")
		}
		return strings.TrimSpace(sentence(text))
	}
	return ""
}

func sentence(s string) string {
	if s = strings.TrimSpace(s); s == "" {
		return ""
	}
	if strings.HasSuffix(s, ".") || strings.HasSuffix(s, "!") || strings.HasSuffix(s, "?") {
		return s + " "
	}
	return s + ". "
}
