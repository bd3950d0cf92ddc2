package out

import (
	"encoding/csv"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/clipperhouse/displaywidth"
)

// Color is one of a terminal's.
type Color string

// The colors. Default is none.
const (
	Default Color = ""
	Red     Color = "31"
	Green   Color = "32"
	Yellow  Color = "33"
	Gray    Color = "90"
)

// Paint is a text in a color, if the terminal shows colors.
func (p *Printer) Paint(c Color, text string) string {
	if !p.Color || c == Default || text == "" {
		return text
	}
	return "\x1b[" + string(c) + "m" + text + "\x1b[0m"
}

// Visible is a text on one line in which a terminal finds nothing to obey: control
// characters, those that change the direction of text, and bytes that are not UTF-8 are
// written as Go writes them in a string, such as \n and \x1b.
func Visible(text string) string {
	plain := func(r rune) bool {
		return r != utf8.RuneError && !unicode.IsControl(r) && !unicode.Is(unicode.Bidi_Control, r) && r != '\u2028' && r != '\u2029'
	}
	if strings.IndexFunc(text, func(r rune) bool { return !plain(r) }) < 0 {
		return text
	}
	var b strings.Builder
	for rest := text; len(rest) > 0; {
		r, n := utf8.DecodeRuneInString(rest)
		switch {
		case plain(r):
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == utf8.RuneError && n == 1, r < 0x80:
			fmt.Fprintf(&b, `\x%02x`, rest[0])
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
		rest = rest[n:]
	}
	return b.String()
}

// shown are the columns of a format.
func (l List[T]) shown(p *Printer) []Column[T] {
	if p.format != Table {
		return l.Columns
	}
	var shown []Column[T]
	for _, c := range l.Columns {
		if !c.Wide {
			shown = append(shown, c)
		}
	}
	return shown
}

// plain is columns with tabs between them, in which nothing is cut.
func (l List[T]) plain(p *Printer) rowWriter[T] {
	columns, headed := l.shown(p), false
	return rowWriter[T]{func(row T) error {
		if !headed {
			headed = true
			if err := p.line(strings.Join(headings(columns), "\t")); err != nil {
				return err
			}
		}
		cells := make([]string, len(columns))
		for i, c := range columns {
			cells[i] = Visible(c.Text(row))
		}
		return p.line(strings.Join(cells, "\t"))
	}, func() error { return nil }}
}

func headings[T any](columns []Column[T]) []string {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.Name
	}
	return names
}

func (l List[T]) csv(p *Printer) rowWriter[T] {
	w := csv.NewWriter(p.Out)
	headed := false
	head := func() error {
		headed = true
		return w.Write(headings(l.Columns))
	}
	return rowWriter[T]{func(row T) error {
		if !headed {
			if err := head(); err != nil {
				return err
			}
		}
		cells := make([]string, len(l.Columns))
		for i, c := range l.Columns {
			cells[i] = inert(c.Text(row))
		}
		if err := w.Write(cells); err != nil {
			return err
		}
		w.Flush()
		return w.Error()
	}, func() error {
		if !headed {
			if err := head(); err != nil {
				return err
			}
		}
		w.Flush()
		return w.Error()
	}}
}

// inert keeps a spreadsheet from taking a text, which anybody may have put into a key, for a
// formula.
func inert(text string) string {
	if text != "" && strings.ContainsRune("=+-@\t\r", rune(text[0])) {
		return "'" + text
	}
	return text
}

// tableRows is how many rows a terminal's table is laid out for at once.
const tableRows = 100

// table lays rows out in the width of a terminal.
func (l List[T]) table(p *Printer) rowWriter[T] {
	columns := l.shown(p)
	var rows [][]string
	var colors [][]Color
	headed := false
	flush := func() error {
		if len(rows) == 0 {
			return nil
		}
		head := headings(columns)
		width := p.Width
		if p.format == Wide {
			width = math.MaxInt32 // whoever asks for all of it gets it
		}
		widths := layout(columns, append([][]string{head}, rows...), width)
		if !headed {
			headed = true
			if err := p.cells(head, nil, widths); err != nil {
				return err
			}
		}
		for i, row := range rows {
			if err := p.cells(row, colors[i], widths); err != nil {
				return err
			}
		}
		rows, colors = nil, nil
		return nil
	}
	return rowWriter[T]{func(row T) error {
		cells, paint := make([]string, len(columns)), make([]Color, len(columns))
		for i, c := range columns {
			text := c.Text
			if c.Short != nil && p.format == Table {
				text = c.Short
			}
			cells[i] = Visible(text(row))
			if c.Color != nil {
				paint[i] = c.Color(row)
			}
		}
		rows, colors = append(rows, cells), append(colors, paint)
		if len(rows) < tableRows {
			return nil
		}
		return flush()
	}, flush}
}

const (
	gap          = 2 // blanks between columns
	leastWidth   = 8 // of a column that is cut
	defaultWidth = 120
)

// layout is the width of each column; a column that there is no room for has none. Where the
// terminal is too narrow, the flexible columns are cut, then columns are left out from the
// right, but for those to keep, and these are cut too, the first one last.
func layout[T any](columns []Column[T], rows [][]string, width int) []int {
	if width <= 0 {
		width = defaultWidth
	}
	whole := make([]int, len(columns))
	for _, row := range rows {
		for i, cell := range row {
			whole[i] = max(whole[i], displaywidth.String(cell))
		}
	}
	widths := slices.Clone(whole)
	excess := func() int {
		sum := -gap
		for _, w := range widths {
			if w > 0 {
				sum += w + gap
			}
		}
		return sum - width
	}
	cut := func(i int) {
		if e := excess(); e > 0 && widths[i] > leastWidth {
			widths[i] = max(leastWidth, widths[i]-e)
		}
	}
	for i, c := range columns {
		if c.Flexible {
			cut(i)
		}
	}
	for i := len(columns) - 1; i > 0 && excess() > 0; i-- {
		if !columns[i].Keep {
			widths[i] = 0
		}
	}
	for i := range slices.Backward(columns) {
		cut(i)
	}
	// What the columns that were left out have freed goes to those that were cut.
	for i := range columns {
		if free := -excess(); free > 0 && widths[i] > 0 {
			widths[i] = min(whole[i], widths[i]+free)
		}
	}
	return widths
}

func (p *Printer) cells(cells []string, colors []Color, widths []int) error {
	var b strings.Builder
	last := 0
	for i, w := range widths {
		if w > 0 {
			last = i
		}
	}
	for i, cell := range cells {
		w := widths[i]
		if w == 0 {
			continue
		}
		cell = Fit(cell, w)
		padding := w - displaywidth.String(cell) + gap
		if colors != nil {
			cell = p.Paint(colors[i], cell)
		}
		b.WriteString(cell)
		if i < last {
			b.WriteString(strings.Repeat(" ", padding))
		}
	}
	return p.line(b.String())
}

// Fit cuts a text to a width of a terminal, with "…" where something is missing.
func Fit(text string, width int) string {
	if displaywidth.String(text) <= width {
		return text
	}
	return displaywidth.TruncateString(text, width, "…")
}

// Fields writes fields for people: side by side on a terminal, wrapped at its width, and with
// a tab between label and text in a pipe. A field without a label goes on under the one
// before.
func (p *Printer) Fields(fields []Field) error {
	indent := 0
	for _, f := range fields {
		indent = max(indent, displaywidth.String(f.Label)+gap)
	}
	for _, f := range fields {
		if !p.TTY {
			if err := p.line(f.Label + "\t" + Visible(f.Text)); err != nil {
				return err
			}
			continue
		}
		width := p.Width
		if width <= 0 {
			width = defaultWidth
		}
		label := f.Label
		for _, line := range wrap(Visible(f.Text), max(width-indent, leastWidth)) {
			if err := p.line(strings.TrimRight(label+strings.Repeat(" ", indent-displaywidth.String(label))+line, " ")); err != nil {
				return err
			}
			label = ""
		}
	}
	return nil
}

// wrap breaks a text at blanks into lines of a width; a word that is longer is broken.
func wrap(text string, width int) (lines []string) {
	for displaywidth.String(text) > width {
		head := displaywidth.TruncateString(text, width, "")
		if head == "" { // a character that is wider than the line
			break
		}
		if i := strings.LastIndexByte(head, ' '); i > 0 && text[len(head)] != ' ' {
			head = head[:i]
		}
		lines = append(lines, strings.TrimRight(head, " "))
		text = strings.TrimLeft(text[len(head):], " ")
	}
	return append(lines, text)
}
