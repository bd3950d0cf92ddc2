package view

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// What an output is. Extend's documentation names the shapes.
// https://docs.extend.ai/2025-04-21/product/extraction/response-format
const (
	shapeExtraction     = "extraction"
	shapeLegacy         = "extraction with legacy fields"
	shapeClassification = "classification"
	shapeSplits         = "splits"
	shapeParsed         = "parsed document"
	shapeWorkflow       = "workflow"
	shapeUnknown        = "of a shape that this page does not know"
)

// reading is an output, taken apart to be shown.
type reading struct {
	Shape    string
	Sections []*section
	// Fields are all that have a value of their own, in the order in which they are shown.
	Fields []*field
	// Cut: there are more than maxFields.
	Cut    bool
	Labels map[int][]string // of pages
	marks  map[int][]*citation
}

// section is an output, or one of a workflow's.
type section struct {
	Title, Shape string
	// Note says why there is nothing to show.
	Note string
	Root *field
}

// field is a value of an output.
type field struct {
	ID         int
	Name, Path string
	Kind       kind
	Text       string // exact
	Members    []*field
	// Columns are set for a list of objects that is shown as a table: a row for each of
	// Members, in which a cell may be missing.
	Columns []string

	Confidence confidence
	// Expected: Extend says for such a value how sure it is, or could.
	Expected  bool
	Citations []*citation
	Insights  []insight
	// Changed: the review changed it, from Before.
	Changed bool
	Before  string
}

// Empty reports whether nothing was read.
func (f *field) Empty() bool {
	return f.Kind == kindNull || f.Kind == kindText && strings.TrimSpace(f.Text) == "" || !f.Scalar() && len(f.Members) == 0
}

// Scalar reports whether it has a value rather than members.
func (f *field) Scalar() bool { return f.Kind != kindObject && f.Kind != kindList }

// Leaf reports whether it is shown as one value.
func (f *field) Leaf() bool { return f.Scalar() || len(f.Members) == 0 }

// Cell returns the member of a row by its column, nil if there is none.
func (f *field) Cell(column string) *field {
	for _, m := range f.Members {
		if m.Name == column {
			return m
		}
	}
	return nil
}

// Numeric reports whether a column has numbers.
func (f *field) Numeric(column string) bool {
	numbers := false
	for _, row := range f.Members {
		if cell := row.Cell(column); cell != nil && cell.Kind != kindNull {
			if cell.Kind != kindNumber {
				return false
			}
			numbers = true
		}
	}
	return numbers
}

// insight is a remark of Extend's.
type insight struct{ Type, Text string }

// confidence is how sure Extend is.
type confidence struct {
	// Said is what it said, such as "94.1 %" or "2 of 5"; empty if it said nothing.
	Said string
	// By says whose confidence it is: of the review agent, the model or the OCR.
	By  string
	Low bool
	// Share is between 0 and 1.
	Share float64
	// All has everything that was said.
	All string
}

// Known reports whether there is one.
func (c confidence) Known() bool { return c.Said != "" }

// Width is the length of a bar of 100.
func (c confidence) Width() string { return strconv.FormatFloat(100*c.Share, 'f', 1, 64) }

// citation is a place that a value was read from.
type citation struct {
	ID    string
	Field *field
	Page  int // 0: not said
	Label string
	Text  string
	// Points, Width and Height are as Extend wrote them, in the citation's own units. Points is
	// empty if there is nothing to draw; Problem then says why.
	Points, Width, Height string
	wide, high            float64
	Problem               string
}

// maxFields bounds how many values are shown.
const maxFields = 20_000

// read takes an output apart. An error means that it is not JSON.
func read(output json.RawMessage, threshold float64) (*reading, error) {
	root, err := parse(output)
	if err != nil {
		return nil, err
	}
	r := &reader{threshold: threshold, reading: reading{Labels: map[int][]string{}, marks: map[int][]*citation{}}}
	r.section("", root, 0)
	r.Shape = r.Sections[0].Shape
	if len(r.Sections) > 1 || root.get("outputs") != nil && r.Sections[0].Title != "" {
		r.Shape = shapeWorkflow
	}
	return &r.reading, nil
}

type reader struct {
	reading
	threshold float64
	// metadata is what Extend knows about each path of the present section.
	metadata map[string]*node
	count    int
}

// section adds an output, or those of a workflow.
func (r *reader) section(title string, n *node, depth int) {
	r.metadata = nil
	s := &section{Title: title}
	r.Sections = append(r.Sections, s)
	switch {
	case n.kind != kindObject:
		s.Shape = shapeUnknown
	case n.get("value") != nil && (n.has("metadata") || len(n.members) == 1):
		s.Shape = shapeExtraction
		r.metadata = map[string]*node{}
		if about := n.get("metadata"); about != nil {
			for _, m := range about.members {
				r.metadata[m.name] = m.node
			}
		}
		s.Root = r.field("", "", n.get("value"))
		if s.Root != nil && s.Root.Scalar() {
			r.Fields = append(r.Fields, s.Root)
		}
	case len(n.get("splits").list()) > 0 || n.get("splits") != nil && n.get("splits").kind == kindList:
		s.Shape = shapeSplits
		s.Root = r.splits(n)
	case len(n.get("chunks").list()) > 0:
		s.Shape = shapeParsed
		s.Root = r.chunks(n.get("chunks"))
	case depth == 0 && (len(n.get("outputs").list()) > 0 || n.has("outputs") && n.has("stepRuns")):
		s.Shape = shapeWorkflow
		r.Sections = r.Sections[:len(r.Sections)-1]
		for i, m := range slices.Concat(n.get("outputs").list(), n.get("stepRuns").list()) {
			r.part(i, m.node)
		}
		if len(r.Sections) == 0 {
			s.Note = "The workflow has no results."
			r.Sections = append(r.Sections, s)
		}
	case n.get("type").is(kindText) != "" && n.get("id").is(kindText) != "" && n.has("confidence"):
		s.Shape = shapeClassification
		s.Root = r.classification(n)
	case legacy(n):
		s.Shape = shapeLegacy
		s.Root = r.legacy(n)
	default:
		s.Shape = shapeUnknown
		if depth > 0 && len(n.members) > 0 {
			s.Root = r.field("", "", n) // as it is: of a step of a workflow, such as a check
		}
	}
}

// part adds the result of a processor or of another step of a workflow.
func (r *reader) part(i int, n *node) {
	title := cmp.Or(n.get("processorName").is(kindText), n.get("step").get("name").is(kindText), n.get("name").is(kindText), fmt.Sprintf("part %d", i+1))
	if id := n.get("id").is(kindText); id != "" {
		title += " · " + id
	}
	if output := n.get("output"); output != nil {
		r.section(title, output, 1)
		return
	}
	note := strings.TrimSpace(n.get("status").is(kindText) + " " + n.get("failureReason").is(kindText) + " " + n.get("failureMessage").is(kindText))
	r.metadata = nil
	r.Sections = append(r.Sections, &section{Title: title, Shape: shapeUnknown, Note: strings.TrimSpace("It has no output. " + note)})
}

// legacy reports whether an object is a map of fields, as older processors have it.
func legacy(n *node) bool {
	for _, m := range n.members {
		if m.node.kind != kindObject || m.node.get("type") == nil || m.node.get("id") == nil {
			return false
		}
	}
	return len(n.members) > 0
}

// newField returns nil when there are too many.
func (r *reader) newField(name, path string, k kind, text string) *field {
	if r.count++; r.count > maxFields {
		r.Cut = true
		return nil
	}
	return &field{ID: r.count, Name: name, Path: path, Kind: k, Text: text, Expected: r.metadata != nil}
}

func (r *reader) field(name, path string, n *node) *field {
	f := r.newField(name, path, n.kind, n.text)
	if f == nil {
		return nil
	}
	if about := r.metadata[path]; about != nil && path != "" {
		r.annotate(f, about)
	}
	if f.Scalar() || len(n.members) == 0 {
		if path != "" {
			r.Fields = append(r.Fields, f)
		}
		return f
	}
	if n.kind == kindList {
		f.Columns = columns(n)
	}
	for _, m := range n.members {
		child := r.field(m.name, join(path, m.name, n.kind), m.node)
		if child == nil {
			break
		}
		f.Members = append(f.Members, child)
	}
	return f
}

// maxColumns is how many columns a table may have before its rows are shown one by one.
const maxColumns = 8

// columns are the names that the objects of a list have, if a table can show them.
func columns(n *node) (names []string) {
	for _, row := range n.members {
		if row.node.kind != kindObject {
			return nil
		}
		for _, cell := range row.node.members {
			if !cell.node.scalar() && len(cell.node.members) > 0 && !simple(cell.node) {
				return nil
			}
			if !slices.Contains(names, cell.name) {
				names = append(names, cell.name)
			}
		}
		if len(names) > maxColumns {
			return nil
		}
	}
	return names
}

// simple reports whether a value is short enough for a cell: up to four values, one below the other.
func simple(n *node) bool {
	for _, m := range n.members {
		if !m.node.scalar() {
			return false
		}
	}
	return len(n.members) <= 4
}

func (r *reader) annotate(f *field, about *node) {
	score := about.get("reviewAgentScore").is(kindNumber)
	model := about.get("logprobsConfidence").is(kindNumber)
	ocr := about.get("ocrConfidence").is(kindNumber)
	f.Confidence = r.confidence(score, model, ocr)
	f.Insights = insights(about.get("insights"))
	for _, m := range about.get("citations").list() {
		r.cite(f, m.node)
	}
}

// confidence prefers the review agent's score to the model's own, and that to the OCR's.
func (r *reader) confidence(score, model, ocr string) (c confidence) {
	var all []string
	say := func(by, said string, share float64, low bool) {
		if c.Said == "" {
			c = confidence{Said: said, By: by, Low: low, Share: min(max(share, 0), 1)}
		}
		all = append(all, by+" "+said)
	}
	if v, err := strconv.ParseFloat(score, 64); err == nil {
		say("review agent", score+" of 5", v/5, v <= 3)
	}
	for _, s := range []struct{ by, number string }{{"model", model}, {"OCR", ocr}} {
		if v, err := strconv.ParseFloat(s.number, 64); err == nil {
			said := percent(s.number, v)
			say(s.by, said, v, v < r.threshold)
		}
	}
	c.All = strings.Join(all, ", ")
	return c
}

// percent never rounds up: 0.9999 is not said to be 100 %.
func percent(number string, v float64) string {
	if v < 0 || v > 1 {
		return number + ", which is no share"
	}
	return strconv.FormatFloat(math.Floor(v*1000+1e-9)/10, 'f', -1, 64) + " %"
}

func insights(n *node) (all []insight) {
	for _, m := range n.list() {
		if text := m.node.get("content").is(kindText); text != "" {
			all = append(all, insight{strings.ReplaceAll(m.node.get("type").is(kindText), "_", " "), text})
		}
	}
	return all
}

// maxPoints bounds a polygon.
const maxPoints = 1000

func (r *reader) cite(f *field, n *node) {
	c := r.newCitation(f, page(n.get("page")), n.get("referenceText").is(kindText))
	r.place(c, n.get("polygon").list(), n.get("pageWidth"), n.get("pageHeight"))
}

func (r *reader) newCitation(f *field, page int, text string) *citation {
	c := &citation{ID: fmt.Sprintf("c%d-%d", f.ID, len(f.Citations)), Field: f, Page: page, Label: fmt.Sprintf("p. %d", page), Text: text}
	f.Citations = append(f.Citations, c)
	return c
}

// place sets where on its page a citation is. Only the ratio of a point to the size of the
// page means anything: the units may be points or pixels.
func (r *reader) place(c *citation, polygon []member, width, height *node) {
	w, wide := measure(width)
	h, high := measure(height)
	var points []string
	outside := false
	for _, p := range polygon[:min(len(polygon), maxPoints)] {
		x, xs := coordinate(p.node.get("x"))
		y, ys := coordinate(p.node.get("y"))
		if x == "" || y == "" {
			points = nil
			break
		}
		outside = outside || xs < 0 || ys < 0 || xs > wide || ys > high
		points = append(points, x+","+y)
	}
	switch {
	case c.Page == 0:
		c.Problem = "Extend gave no page"
	case len(polygon) == 0:
		c.Problem = "Extend gave the page only"
	case len(points) < 3:
		c.Problem = "not drawn: its outline has no three points"
	case w == "" || h == "":
		c.Problem = "not drawn: Extend gave no page size"
	default:
		c.Points, c.Width, c.Height, c.wide, c.high = strings.Join(points, " "), w, h, wide, high
		if outside {
			c.Problem = "partly outside of its page"
		}
		r.marks[c.Page] = append(r.marks[c.Page], c)
	}
}

// measure returns a length as it is written; nothing if it is none.
func measure(n *node) (string, float64) {
	if text, v := coordinate(n); v > 0 {
		return text, v
	}
	return "", 0
}

func coordinate(n *node) (string, float64) {
	text := n.is(kindNumber)
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || math.Abs(v) > 1e6 {
		return "", 0
	}
	return text, v
}

// page is a page number, which Extend writes as any JSON number; 0 if it is none.
func page(n *node) int {
	v, err := strconv.ParseFloat(n.is(kindNumber), 64)
	if err != nil || v != math.Trunc(v) || v < 1 || v > 1e6 {
		return 0
	}
	return int(v)
}

func (r *reader) classification(n *node) *field {
	root := r.newField("", "", kindObject, "")
	for _, m := range n.members {
		if m.name == "confidence" || m.name == "insights" {
			continue
		}
		f := r.field(m.name, m.name, m.node)
		if m.name == "type" {
			f.Expected = true
			f.Confidence = r.confidence("", n.get("confidence").is(kindNumber), "")
			f.Insights = insights(n.get("insights"))
		}
		root.Members = append(root.Members, f)
	}
	return root
}

func (r *reader) splits(n *node) *field {
	root := r.newField("", "", kindObject, "")
	for i, m := range n.get("splits").list() {
		path := fmt.Sprintf("splits[%d]", i)
		name := cmp.Or(m.node.get("name").is(kindText), m.node.get("type").is(kindText), fmt.Sprintf("split %d", i+1))
		f := r.newField(name, path, m.node.kind, m.node.text)
		if f == nil {
			break
		}
		for _, part := range m.node.members {
			if child := r.field(part.name, join(path, part.name, kindObject), part.node); child != nil {
				f.Members = append(f.Members, child)
			}
		}
		first, last := page(m.node.get("startPage")), page(m.node.get("endPage"))
		if first > 0 {
			if c := r.newCitation(f, first, ""); last > first {
				c.Label = fmt.Sprintf("p. %d–%d", first, last)
			}
		}
		for p := first; p > 0 && p <= min(last, first+maxSheets); p++ {
			r.Labels[p] = append(r.Labels[p], name)
		}
		root.Members = append(root.Members, f)
	}
	return root
}

func (r *reader) chunks(n *node) *field {
	root := r.newField("", "", kindObject, "")
	for i, m := range n.list() {
		path := fmt.Sprintf("chunks[%d]", i)
		name := cmp.Or(m.node.get("type").is(kindText), "chunk") + fmt.Sprintf(" %d", i+1)
		f := r.newField(name, path, kindObject, "")
		if f == nil {
			break
		}
		root.Members = append(root.Members, f)
		blocks := m.node.get("blocks").list()
		if len(blocks) == 0 {
			if text := r.newField("content", path+".content", kindText, m.node.get("content").is(kindText)); text != nil {
				if p := page(m.node.get("metadata").get("pageRange").get("start")); p > 0 {
					r.newCitation(text, p, "").Problem = "Extend gave the page only"
				}
				r.Fields = append(r.Fields, text)
				f.Members = append(f.Members, text)
			}
		}
		for j, b := range blocks {
			r.block(f, fmt.Sprintf("%s.blocks[%d]", path, j), b.node, 0)
		}
	}
	return root
}

func (r *reader) block(parent *field, path string, n *node, depth int) {
	f := r.newField(cmp.Or(n.get("type").is(kindText), "block"), path, kindText, n.get("content").is(kindText))
	if f == nil || depth > maxNesting {
		return
	}
	about := n.get("metadata").get("page")
	c := r.newCitation(f, page(about.get("number")), "")
	r.place(c, n.get("polygon").list(), about.get("width"), about.get("height"))
	r.Fields = append(r.Fields, f)
	parent.Members = append(parent.Members, f)
}

func (r *reader) legacy(n *node) *field {
	root := r.newField("", "", kindObject, "")
	for _, m := range n.members {
		value := m.node.get("value")
		if value == nil {
			value = &node{kind: kindNull, text: "null"}
		}
		f := r.field(m.name, m.name, value)
		if f == nil {
			break
		}
		f.Expected = true
		f.Confidence = r.confidence("", m.node.get("confidence").is(kindNumber), "")
		f.Insights = insights(m.node.get("insights"))
		for _, ref := range m.node.get("references").list() {
			r.newCitation(f, page(ref.node.get("page")), ref.node.get("fieldName").is(kindText)).Problem = "not drawn: boxes of legacy fields have no page size"
		}
		root.Members = append(root.Members, f)
	}
	return root
}

// lowest is the lowest confidence of an output, for the list of documents.
func (r *reading) lowest() (low confidence) {
	for _, f := range r.Fields {
		if c := f.Confidence; c.Known() && (low.Said == "" || c.Share < low.Share) {
			low = c
		}
	}
	return low
}
