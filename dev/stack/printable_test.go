package stack

import (
	"fmt"
	"strings"
	"testing"
)

func TestPrintable(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"a\tb\nÜ 漢 🙂":                "a\tb\nÜ 漢 🙂",
		"\x1b]0;owned\a\x1b[2J":      `\x1b]0;owned\x07\x1b[2J`,
		"\u009b2J":                   `\u009b2J`,
		"invoice\u202efdp.exe":       `invoice\u202efdp.exe`,
		"a\u2066b\u2069\u200fc":      `a\u2066b\u2069\u200fc`,
		"overwritten\rline\b\x7f":    `overwritten\x0dline\x08\x7f`,
		"not UTF-8: \x9b\xff":        `not UTF-8: \x9b\xff`,
		"one line\u2028looks as two": `one line\u2028looks as two`,
	} {
		var b strings.Builder
		if n, err := fmt.Fprint(Printable(&b), text); err != nil || n != len(text) || b.String() != want {
			t.Errorf("%q: %q, %d, %v", text, b.String(), n, err)
		}
	}
}
