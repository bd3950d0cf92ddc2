// Package out is how `intake` shows what it has found: as a table on a terminal, as plain
// columns in a pipe, or as JSON, in which every number has the digits that it had.
//
//	p, err := out.New(out.Options{Out: os.Stdout, JSON: true})
//	n, err := list.Print(p, rows)
package out

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/itchyny/gojq"

	"extend-intake/intake/exit"
)

// Format is how results are written.
type Format string

// The formats. Table is one for people: of a terminal, or of columns in a pipe.
const (
	Table Format = "table"
	Wide  Format = "wide"
	JSON  Format = "json"
	JSONL Format = "jsonl"
	CSV   Format = "csv"
	ID    Format = "id"
)

// Formats are all of them.
var Formats = []Format{Table, Wide, JSON, JSONL, CSV, ID}

// Options are what a command line and a terminal say.
type Options struct {
	Out io.Writer
	// Format is one of Formats; empty is Table, and JSON if there is a JQ.
	Format string
	JSON   bool
	// JQ is a jq program that JSON goes through; empty is none.
	JQ string
	// TTY says that Out is a terminal, of Width columns; 0 is unknown.
	TTY   bool
	Width int
	// Color says that the terminal shows colors.
	Color bool
	Now   func() time.Time
	// Location is that of the times in tables.
	Location *time.Location
}

// Printer writes results.
type Printer struct {
	Options
	format Format
	jq     *gojq.Code
}

// New returns a Printer, or an error about the options.
func New(o Options) (*Printer, error) {
	p := &Printer{Options: o, format: Format(o.Format)}
	if o.Format != "" && !slices.Contains(Formats, p.format) {
		return nil, exit.New(exit.Usage, "-o %s: there is no such format", o.Format).Next("choose one of: %s", join(Formats))
	}
	if o.JSON {
		if p.format != "" && p.format != JSON && p.format != JSONL {
			return nil, exit.New(exit.Usage, "--json and -o %s contradict each other", o.Format)
		}
		if p.format == "" {
			p.format = JSON
		}
	}
	if o.JQ != "" {
		if p.format == "" {
			p.format = JSON
		}
		if p.format != JSON && p.format != JSONL {
			return nil, exit.New(exit.Usage, "--jq is for JSON, and -o %s is none", o.Format)
		}
		query, err := gojq.Parse(o.JQ)
		if err == nil {
			p.jq, err = gojq.Compile(query)
		}
		if err != nil {
			return nil, exit.New(exit.Usage, "--jq %s: %w", o.JQ, err)
		}
	}
	if p.format == "" {
		p.format = Table
	}
	return p, nil
}

func join(formats []Format) string {
	var names []string
	for _, f := range formats {
		names = append(names, string(f))
	}
	return strings.Join(names, ", ")
}

// ForPeople reports whether results are written as a table or as text.
func (p *Printer) ForPeople() bool { return p.format == Table || p.format == Wide }

// Column is one of a list of results.
type Column[T any] struct {
	Name string
	// Text is the whole value, as it is written into a pipe.
	Text func(T) string
	// Short is what a terminal shows in its place; nil is Text.
	Short func(T) string
	// Wide: it is only shown with -o wide and in CSV.
	Wide bool
	// Flexible: it is cut first where the terminal is too narrow. Keep: it is not left out then.
	Flexible, Keep bool
	// Color is that of the value on a terminal; nil is none.
	Color func(T) Color
}

// List is how a list of results is shown.
type List[T any] struct {
	Columns []Column[T]
	// ID is what -o id shows.
	ID func(T) string
}

// Print writes results as they come, and says how many there were. The first error ends it.
func (l List[T]) Print(p *Printer, rows iter.Seq2[T, error]) (n int, err error) {
	w := l.writer(p)
	for row, err := range rows {
		if err != nil {
			return n, errors.Join(w.end(), err)
		}
		n++
		if err := w.row(row); err != nil {
			return n, err
		}
	}
	return n, w.end()
}

// rowWriter writes the rows of a list in one format.
type rowWriter[T any] struct {
	row func(T) error
	end func() error
}

func (l List[T]) writer(p *Printer) rowWriter[T] {
	nothing := func() error { return nil }
	switch {
	case p.format == ID:
		return rowWriter[T]{func(row T) error { return p.line(l.ID(row)) }, nothing}
	case p.format == JSONL:
		return rowWriter[T]{func(row T) error { return p.value(row) }, nothing}
	case p.format == JSON && p.jq != nil: // the program sees the whole array
		rows := []T{}
		return rowWriter[T]{func(row T) error { rows = append(rows, row); return nil }, func() error { return p.value(rows) }}
	case p.format == JSON:
		separator := "["
		return rowWriter[T]{func(row T) error {
			text, err := Marshal(row)
			if err != nil {
				return err
			}
			err = p.line(separator + string(text))
			separator = ","
			return err
		}, func() error {
			if separator == "[" {
				return p.line("[]")
			}
			return p.line("]")
		}}
	case p.format == CSV:
		return l.csv(p)
	case p.TTY:
		return l.table(p)
	default:
		return l.plain(p)
	}
}

// Streams reports whether results can be written as they come, without an end.
func (p *Printer) Streams() bool { return p.format != JSON }

// Line writes a line as it is: of texts that were made [Visible].
func (p *Printer) Line(text string) error { return p.line(text) }

// line writes a line.
func (p *Printer) line(text string) error {
	_, err := io.WriteString(p.Out, text+"\n")
	return err
}

// value writes a value as JSON, through the jq program if there is one.
func (p *Printer) value(v any) error {
	text, err := Marshal(v)
	if err != nil {
		return err
	}
	if p.jq == nil {
		return p.line(string(text))
	}
	return p.runJQ(text)
}

// runJQ writes what the jq program makes of a JSON text: strings as they are, all else as
// JSON. Numbers stay the digits that they were, unless the program computes with them.
func (p *Printer) runJQ(text []byte) error {
	input, err := decode(text)
	if err != nil {
		return err
	}
	for results := p.jq.Run(input); ; {
		result, ok := results.Next()
		if !ok {
			return nil
		}
		if err, ok := result.(error); ok {
			if halt, ok := errors.AsType[*gojq.HaltError](err); ok && halt.Value() == nil {
				return nil
			}
			return exit.New(exit.Failed, "--jq %s: %w", p.JQ, err)
		}
		if s, ok := result.(string); ok {
			if err := p.line(s); err != nil {
				return err
			}
			continue
		}
		text, err := gojq.Marshal(result)
		if err != nil {
			return err
		}
		if err := p.line(string(text)); err != nil {
			return err
		}
	}
}

func decode(text []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	err := d.Decode(&v)
	return v, err
}

// Marshal is JSON on one line in which "<" stays "<".
func Marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// Field is a line of a result for people: what it is about, and what there is to say.
type Field struct{ Label, Text string }

// Value writes one result: as JSON, or as fields for people. id is what -o id shows.
func (p *Printer) Value(v any, id string, fields func() []Field) error {
	switch p.format {
	case JSON, JSONL:
		return p.value(v)
	case ID:
		return p.line(id)
	case CSV:
		return exit.New(exit.Usage, "-o csv is for lists").Next("use --json")
	}
	return p.Fields(fields())
}

// RawJSON writes a JSON text as it is, byte for byte, or what the jq program makes of it.
func (p *Printer) RawJSON(text []byte) error {
	if p.jq != nil {
		return p.runJQ(text)
	}
	if _, err := p.Out.Write(text); err != nil || bytes.HasSuffix(text, []byte("\n")) {
		return err
	}
	return p.line("")
}

// Text writes lines of text for people, in which a terminal finds nothing to obey.
func (p *Printer) Text(format string, args ...any) error {
	text := fmt.Sprintf(format, args...)
	for line := range strings.SplitSeq(strings.TrimSuffix(text, "\n"), "\n") {
		if err := p.line(Visible(line)); err != nil {
			return err
		}
	}
	return nil
}
