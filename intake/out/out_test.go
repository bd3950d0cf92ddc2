package out_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/clipperhouse/displaywidth"

	"extend-intake/intake/exit"
	"extend-intake/intake/out"
)

type row struct {
	ID   string `json:"id"`
	Text string `json:"text"`
}

var list = out.List[row]{ID: func(r row) string { return r.ID }, Columns: []out.Column[row]{
	{Name: "ID", Text: func(r row) string { return r.ID }},
	{Name: "STATE", Text: func(row) string { return "PROCESSED" }, Keep: true},
	{Name: "TEXT", Text: func(r row) string { return r.Text }, Flexible: true},
	{Name: "ROUTE", Text: func(row) string { return "invoices" }},
	{Name: "MORE", Text: func(row) string { return "more" }, Wide: true},
}}

func print(t *testing.T, o out.Options, rows ...row) string {
	t.Helper()
	var b strings.Builder
	o.Out, o.Now, o.Location = &b, time.Now, time.UTC
	p, err := out.New(o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := list.Print(p, func(yield func(row, error) bool) {
		for _, r := range rows {
			if !yield(r, nil) {
				return
			}
		}
	}); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestFormats(t *testing.T) {
	t.Parallel()
	rows := []row{{"a", "x<y\n\x1b[2J"}, {"b", "=1+1"}}
	for _, c := range []struct {
		name string
		o    out.Options
		rows []row
		want string
	}{
		{"pipe", out.Options{}, rows, "ID\tSTATE\tTEXT\tROUTE\na\tPROCESSED\tx<y\\n\\x1b[2J\tinvoices\nb\tPROCESSED\t=1+1\tinvoices\n"},
		{"wide", out.Options{Format: "wide"}, rows[1:], "ID\tSTATE\tTEXT\tROUTE\tMORE\nb\tPROCESSED\t=1+1\tinvoices\tmore\n"},
		{"ids", out.Options{Format: "id"}, rows, "a\nb\n"},
		{"JSON", out.Options{JSON: true}, rows, `[{"id":"a","text":"x<y\n\u001b[2J"}` + "\n" + `,{"id":"b","text":"=1+1"}` + "\n]\n"},
		{"JSON of nothing", out.Options{JSON: true}, nil, "[]\n"},
		{"lines", out.Options{Format: "jsonl"}, rows[1:], `{"id":"b","text":"=1+1"}` + "\n"},
		{"a formula is none in CSV", out.Options{Format: "csv"}, rows[1:], "ID,STATE,TEXT,ROUTE,MORE\nb,PROCESSED,'=1+1,invoices,more\n"},
		{"CSV of nothing", out.Options{Format: "csv"}, nil, "ID,STATE,TEXT,ROUTE,MORE\n"},
		{"jq sees the array", out.Options{JQ: "length"}, rows, "2\n"},
		{"jq sees each line", out.Options{JQ: ".id", Format: "jsonl"}, rows, "a\nb\n"},
		{"a table", out.Options{TTY: true, Width: 80}, rows[1:], "ID  STATE      TEXT  ROUTE\nb   PROCESSED  =1+1  invoices\n"},
	} {
		if got := print(t, c.o, c.rows...); got != c.want {
			t.Errorf("%s:\n%q, want\n%q", c.name, got, c.want)
		}
	}
}

func TestOptionsThatContradict(t *testing.T) {
	t.Parallel()
	for _, o := range []out.Options{{Format: "xml"}, {JSON: true, Format: "csv"}, {JQ: ".", Format: "id"}, {JQ: ".["}, {JQ: "nosuch(1)"}} {
		if _, err := out.New(o); exit.Of(err) != exit.Usage {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

// A table is as wide as its terminal at most, and a wide character counts as two.
func TestTableFits(t *testing.T) {
	t.Parallel()
	rows := []row{{"doc_ojxr2l4cxaz6m5t3vfpsrdnkeq", strings.Repeat("納品書 ", 20)}, {"doc_ojxr2l4cxaz6m5t3vfpsrdnker", "short"}}
	for _, width := range []int{1, 20, 40, 60, 80, 200} {
		text := print(t, out.Options{TTY: true, Width: width}, rows...)
		for line := range strings.Lines(text) {
			if w := displaywidth.String(strings.TrimSuffix(line, "\n")); w > max(width, 18) { // the least that the two columns take
				t.Errorf("%d columns: a line of %d: %q", width, w, line)
			}
		}
		if width >= 41 && !strings.Contains(text, rows[0].ID) {
			t.Errorf("%d columns: the id is cut:\n%s", width, text)
		}
	}
}

// Numbers keep every digit, and texts are written as they are.
func TestJQIsExact(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ program, text, want string }{
		{".n", `{"n": 12345678901234567890}`, "12345678901234567890\n"},
		{".n", `{"n": 84.50}`, "84.50\n"},
		{"[.[] | .n]", `[{"n": 0.00000015}, {"n": 1e400}]`, "[0.00000015,1e400]\n"},
		{".s", `{"s": "<a&b>"}`, "<a&b>\n"},
		{".[]", `[]`, ""},
	} {
		var b strings.Builder
		p, err := out.New(out.Options{Out: &b, JQ: c.program, Now: time.Now, Location: time.UTC})
		if err != nil {
			t.Fatal(err)
		}
		if err := p.RawJSON([]byte(c.text)); err != nil || b.String() != c.want {
			t.Errorf("%s of %s: %q, %v; want %q", c.program, c.text, b.String(), err, c.want)
		}
	}
	p, err := out.New(out.Options{Out: &strings.Builder{}, JQ: ".a", Now: time.Now, Location: time.UTC})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.RawJSON([]byte(`[1]`)); err == nil || !strings.Contains(err.Error(), "--jq .a") {
		t.Errorf("an error of the program: %v", err)
	}
}

// The first error of what is listed ends the list, and what was listed before stands.
func TestErrorEndsAList(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	p, err := out.New(out.Options{Out: &b, TTY: true, Width: 80, Now: time.Now, Location: time.UTC})
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	n, err := list.Print(p, func(yield func(row, error) bool) { _ = yield(row{ID: "a"}, nil) && yield(row{}, broken) })
	if n != 1 || !errors.Is(err, broken) || !strings.Contains(b.String(), "\na ") {
		t.Errorf("%d, %v, %q", n, err, b.String())
	}
}

func TestForPeople(t *testing.T) {
	t.Parallel()
	for got, want := range map[string]string{
		out.Size(999): "999 B", out.Size(181760): "182 kB", out.Size(1_900_000_000_000): "1.9 TB", out.Size(999_999): "1 MB",
		out.Number(1048213): "1,048,213", out.Number(-12): "-12", out.Number(1000): "1,000",
		out.Duration(119 * time.Minute): "119 min", out.Duration(49 * time.Hour): "2 d", out.Duration(30 * time.Second): "30 s",
		out.Visible("a\u202eb\xff\t"): `a\u202eb\xff\t`,
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
