package stack

import (
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Printable returns a writer that shows w's terminal what documents, file names and logs
// contain, and nothing that the terminal would obey: control characters other than tab
// and line feed, those that change the direction of text, and bytes that are not UTF-8
// are written as Go writes them in a string, such as \x1b.
func Printable(w io.Writer) io.Writer { return printable{w} }

type printable struct{ w io.Writer }

// Write reports all of p as written, or what went wrong.
func (p printable) Write(text []byte) (int, error) {
	var b strings.Builder
	for rest := text; len(rest) > 0; {
		r, n := utf8.DecodeRune(rest)
		switch {
		case r == '\n' || r == '\t':
			b.WriteRune(r)
		case r == utf8.RuneError && n == 1, r < ' ', r == 0x7f:
			fmt.Fprintf(&b, `\x%02x`, rest[0])
		case unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029':
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
		rest = rest[n:]
	}
	if _, err := io.WriteString(p.w, b.String()); err != nil {
		return 0, err
	}
	return len(text), nil
}
