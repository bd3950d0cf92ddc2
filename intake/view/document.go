package view

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"

	"extend-intake/shared/ledger"
)

// The zooms of a page: 100 is the width of its pane.
var zooms = []int{50, 75, 100, 125, 150, 200, 300, 400}

// widths are the pixels in which pages are drawn; a browser takes the one that fits.
var widths = []int{120, 600, 900, 1200, 1800, 2700, 3600}

// state is what the address of a document says about how it is shown.
type look struct {
	Tab, Only, Search string
	Zoom, Turn        int
	WholePage         bool
	All               bool // in the comparison: what is the same as well
	A, B              string
	Logs              bool
}

func lookOf(q url.Values) (look, error) {
	l := look{Tab: q.Get("tab"), Only: q.Get("only"), Search: strings.TrimSpace(q.Get("q")), Zoom: 100, All: q.Has("all"), A: q.Get("a"), B: q.Get("b"), Logs: q.Has("logs")}
	if l.Tab == "" {
		l.Tab = "fields"
	}
	if !slices.Contains([]string{"fields", "json", "history", "compare"}, l.Tab) {
		return l, fmt.Errorf("tab %q: there are fields, json, history and compare", l.Tab)
	}
	if !slices.Contains([]string{"", "low", "empty", "changed"}, l.Only) {
		return l, fmt.Errorf("only %q: there are low, empty and changed", l.Only)
	}
	if z := q.Get("zoom"); z == "page" {
		l.WholePage = true
	} else if z != "" {
		n, err := strconv.Atoi(z)
		if err != nil || !slices.Contains(zooms, n) {
			return l, fmt.Errorf("zoom %q: there are page and %v", z, zooms)
		}
		l.Zoom = n
	}
	if t := q.Get("turn"); t != "" {
		n, err := strconv.Atoi(t)
		if err != nil || !turnOK(n) {
			return l, fmt.Errorf("turn %q: there are 0, 90, 180 and 270", t)
		}
		l.Turn = n
	}
	return l, nil
}

func turnOK(n int) bool { return n == 0 || n == 90 || n == 180 || n == 270 }

func (l look) values() url.Values {
	v := url.Values{}
	set := func(name, value string, yes bool) {
		if yes {
			v.Set(name, value)
		}
	}
	set("tab", l.Tab, l.Tab != "fields")
	set("only", l.Only, l.Only != "")
	set("q", l.Search, l.Search != "")
	set("zoom", strconv.Itoa(l.Zoom), l.Zoom != 100)
	set("zoom", "page", l.WholePage)
	set("turn", strconv.Itoa(l.Turn), l.Turn != 0)
	set("a", l.A, l.A != "")
	set("b", l.B, l.B != "")
	set("all", "1", l.All)
	return v
}

// documentPage is all that the page of a document shows.
type documentPage struct {
	frame
	look
	p       *Page
	Record  *ledger.Record
	Problem string // of the record
	URL     string
	Folder  string
	Name    string
	Tone    string
	Explain string
	Due     when
	Times   []moment
	RunURL  string
	Shell   string

	// OutputProblem says why there is no output where there should be one.
	OutputProblem string
	HasOutput     bool
	*reading
	Chosen   []*field // with a filter
	LowCount int
	Empties  int
	Changes  int
	// ChangesProblem says why nobody knows what the review changed.
	ChangesProblem string

	Text      jsonText
	Attempts  []attempt
	LogLines  []LogLine
	LogsFound bool
	LogsNote  string
	Compare   comparison

	Sheets     []*sheet
	PageCount  int
	SheetsNote string
	Plain      string // a text file
	PagesNote  string // why there are no pages
	Lost       string // citations of pages that are not shown
	Original   string
}

type moment struct {
	What string
	At   when
}

type attempt struct {
	ledger.PastRun
	At      when
	Tone    string
	Notes   []string
	Current bool
}

// Link is this document with one thing changed.
func (d *documentPage) Link(name, value string) string {
	v := d.look.values()
	if name == "tab" {
		v = url.Values{}
		for _, keep := range []string{"zoom", "turn"} {
			if s := d.look.values().Get(keep); s != "" {
				v.Set(keep, s)
			}
		}
	}
	v.Del(name)
	if value != "" {
		v.Set(name, value)
	}
	if len(v) == 0 {
		return d.URL
	}
	return d.URL + "?" + v.Encode()
}

// ZoomIn and ZoomOut are the next zooms.
func (d *documentPage) ZoomIn() string  { return d.zoomed(1) }
func (d *documentPage) ZoomOut() string { return d.zoomed(-1) }

func (d *documentPage) zoomed(by int) string {
	i := slices.Index(zooms, d.Zoom) + by
	i = min(max(i, 0), len(zooms)-1)
	return d.Link("zoom", strconv.Itoa(zooms[i]))
}

// Turned is the next turn.
func (d *documentPage) Turned() string { return d.Link("turn", strconv.Itoa((d.Turn+90)%360)) }

// Hidden are the values of this page that a form has to carry.
func (d *documentPage) Hidden(but ...string) url.Values {
	v := d.look.values()
	for _, name := range but {
		v.Del(name)
	}
	return v
}

// document shows a document. What was read comes first and at once; its pages follow when
// the original has been opened.
func (p *Page) document(w http.ResponseWriter, r *http.Request) {
	rec, problem, ok := p.record(w, r)
	if !ok {
		return
	}
	l, err := lookOf(r.URL.Query())
	if err != nil {
		p.fail(w, http.StatusBadRequest, "The address can't be followed", err.Error())
		return
	}
	p.remember(rec)
	d := p.describe(rec, problem)
	d.look = l
	p.readOutput(r, d)
	p.fillTab(r, d)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if templates.ExecuteTemplate(w, "document", d) != nil {
		return // the browser is gone
	}
	_ = http.NewResponseController(w).Flush()
	p.openPages(r, d)
	_ = templates.ExecuteTemplate(w, "document-pages", d)
}

func (p *Page) describe(rec *ledger.Record, problem string) *documentPage {
	d := &documentPage{frame: p.frame(rec.DocumentID, "documents"), p: p, Record: rec, Problem: problem, URL: p.documentURL(rec.DocumentID),
		Tone: tone(rec.State), Explain: explain(rec), reading: &reading{}, Shell: p.options.Command + " reprocess " + shellQuote(rec.DocumentID)}
	d.Folder, d.Name = path.Split(rec.Key)
	if d.Name == "" {
		d.Folder, d.Name = "", rec.Key
	}
	if d.Name == "" {
		d.Name = rec.DocumentID
	}
	d.Title = d.Name
	if !rec.State.Terminal() {
		d.Due = p.when(rec.NextCheckAt)
	}
	for _, m := range []moment{{"uploaded", p.when(rec.UploadedAt)}, {"submitted", p.when(rec.SubmittedAt)}, {"ended", p.when(rec.FinishedAt)}} {
		if m.At != (when{}) && (m.What != "ended" || rec.State.Terminal()) {
			d.Times = append(d.Times, m)
		}
	}
	if u, err := url.Parse(rec.RunURL); err == nil && u.Scheme == "https" && u.Host != "" {
		d.RunURL = rec.RunURL
	}
	if rec.Key != "" {
		d.Original = d.URL + "/original"
	}
	return d
}

func (p *Page) readOutput(r *http.Request, d *documentPage) {
	output, err := p.stack.Output(r.Context(), d.Record)
	if err != nil {
		d.OutputProblem = "The output can't be read: " + err.Error()
		return
	}
	if output == nil {
		if d.Record.State == ledger.Processed {
			d.OutputProblem = "The record is PROCESSED, and has no output."
		}
		return
	}
	d.HasOutput = true
	reading, err := read(output, p.options.Threshold)
	if err != nil {
		d.OutputProblem = "The output can't be read: " + err.Error()
		d.Text = textOf(output, d.Search)
		return
	}
	d.reading = reading
	if d.Tab == "json" {
		d.Text = textOf(output, d.Search)
	}
	if d.Tab == "fields" && (d.Record.Edited || d.Only == "changed") {
		p.markChanges(r, d, output)
	}
	for _, f := range reading.Fields {
		if f.Confidence.Low {
			d.LowCount++
		}
		if f.Empty() {
			d.Empties++
		}
		if f.Changed {
			d.Changes++
		}
		if d.chooses(f) {
			d.Chosen = append(d.Chosen, f)
		}
	}
}

// Filtered reports whether only some fields are to be shown.
func (d *documentPage) Filtered() bool { return d.Only != "" || d.Search != "" }

func (d *documentPage) chooses(f *field) bool {
	if d.Search != "" && !strings.Contains(strings.ToLower(f.Path+"\n"+f.Text), strings.ToLower(d.Search)) {
		return false
	}
	switch d.Only {
	case "low":
		return f.Confidence.Low
	case "empty":
		return f.Empty()
	case "changed":
		return f.Changed
	}
	return true
}

// markChanges asks Extend what the values were before the review.
func (p *Page) markChanges(r *http.Request, d *documentPage, output json.RawMessage) {
	if p.stack.Run == nil || d.Record.OutputRunID == "" {
		d.ChangesProblem = "What the review changed is known at Extend only."
		return
	}
	run, err := p.stack.Run(r.Context(), d.Record.OutputRunID)
	if err != nil {
		d.ChangesProblem = "What the review changed can't be said: " + err.Error()
		return
	}
	if run.InitialOutput == nil {
		return
	}
	changes, err := diff(run.InitialOutput, output)
	if err != nil {
		d.ChangesProblem = "What the review changed can't be said: " + err.Error()
		return
	}
	before := map[string]change{}
	for _, c := range changes {
		if c.Changed && c.B != nil {
			before[c.Path] = c
		}
	}
	for _, f := range d.Fields {
		if c, ok := before[f.Path]; ok {
			f.Changed, f.Before = true, "nothing"
			if c.A != nil && c.A.kind != kindNull {
				f.Before = c.A.text
			}
		}
	}
}

func (p *Page) fillTab(r *http.Request, d *documentPage) {
	switch d.Tab {
	case "history":
		p.history(r, d)
	case "compare":
		p.compare(r, d)
	}
}

func (p *Page) history(r *http.Request, d *documentPage) {
	rec := d.Record
	for _, run := range rec.Runs {
		a := attempt{PastRun: run, At: p.when(run.At), Tone: tone(run.State)}
		if run.Late {
			a.Notes = append(a.Notes, "its result came after the next attempt had begun")
		}
		if run.Mismatch {
			a.Notes = append(a.Notes, "its tag contradicts the record: it is another's")
		}
		if run.Duplicate {
			a.Notes = append(a.Notes, "a second run for one attempt: both are paid for")
		}
		if run.ByTag {
			a.Notes = append(a.Notes, "only its tag says that it is this document's")
		}
		d.Attempts = append(d.Attempts, a)
	}
	current := ledger.PastRun{Attempt: rec.Attempt, RunID: rec.RunID, State: rec.State, Credits: rec.Credits, FailureReason: rec.FailureReason, FailureMessage: rec.FailureMessage}
	a := attempt{PastRun: current, Tone: tone(rec.State), Current: true}
	if rec.State.Terminal() {
		a.At = p.when(rec.FinishedAt)
	}
	if !rec.State.Terminal() && rec.Reason != "" {
		a.Notes = append(a.Notes, rec.Reason)
	}
	d.Attempts = append(d.Attempts, a)
	slices.Reverse(d.Attempts)
	switch {
	case p.stack.Logs == nil:
		d.LogsNote = "Log lines can't be read here: " + p.options.Command + " logs " + shellQuote(rec.DocumentID)
	case d.Logs:
		lines, err := p.stack.Logs(r.Context(), rec)
		if err != nil {
			d.LogsNote = "The log lines can't be read: " + err.Error()
		}
		d.LogLines, d.LogsFound = lines, err == nil
	}
}

// jsonText is JSON as the page shows it.
type jsonText struct {
	Lines   []jsonLine
	Matches int
	Cut     string
}

type jsonLine struct {
	ID    string // of a line that matches
	Parts []jsonPart
}

type jsonPart struct {
	Text  string
	Match bool
}

// maxLines bounds the JSON on the page; all of it can be downloaded.
const maxLines = 50_000

// textOf sets JSON in lines. Its values stay as they are written.
func textOf(output json.RawMessage, search string) (t jsonText) {
	var out bytes.Buffer
	if json.Indent(&out, output, "", "  ") != nil {
		out.Reset()
		_, _ = out.Write(output)
	}
	n := 0
	for line := range strings.SplitSeq(out.String(), "\n") {
		if n++; n > maxLines {
			t.Cut = "Only the first " + grouped(maxLines) + " lines are shown."
			break
		}
		l := jsonLine{}
		rest := line
		for search != "" {
			i := indexFold(rest, search)
			if i < 0 {
				break
			}
			t.Matches++
			l.ID = fmt.Sprintf("m%d", t.Matches)
			l.Parts = append(l.Parts, jsonPart{visible(rest[:i]), false}, jsonPart{visible(rest[i : i+len(search)]), true})
			rest = rest[i+len(search):]
		}
		l.Parts = append(l.Parts, jsonPart{visible(rest), false})
		t.Lines = append(t.Lines, l)
	}
	return t
}

// indexFold is strings.Index without regard to the case of ASCII letters.
func indexFold(s, find string) int {
	for i := 0; i+len(find) <= len(s); i++ {
		if strings.EqualFold(s[i:i+len(find)], find) {
			return i
		}
	}
	return -1
}

// comparison is two outputs side by side.
type comparison struct {
	Choices []choice
	Asked   bool
	Problem string
	Changes []change
	Count   int
	A, B    string // titles
}

type choice struct{ Value, Title string }

// compare offers the outputs that there are, and compares two of them. Each that is only at
// Extend costs a request.
func (p *Page) compare(r *http.Request, d *documentPage) {
	rec := d.Record
	c := &d.Compare
	if d.HasOutput {
		c.Choices = append(c.Choices, choice{"stored", "what is stored"})
	}
	if p.stack.Run != nil {
		if rec.OutputRunID != "" && rec.Reviewed {
			c.Choices = append(c.Choices, choice{"before", "before the review"}, choice{"after", "after the review"})
		}
		for _, run := range rec.Runs {
			if run.RunID != "" && run.State == ledger.Processed && !run.Mismatch {
				c.Choices = append(c.Choices, choice{run.RunID, fmt.Sprintf("attempt %d, %s", run.Attempt, run.RunID)})
			}
		}
		if rec.RunID != "" && rec.RunID != rec.OutputRunID && rec.State == ledger.Processed {
			c.Choices = append(c.Choices, choice{rec.RunID, fmt.Sprintf("attempt %d, %s", rec.Attempt, rec.RunID)})
		}
	}
	if d.A == "" && d.B == "" {
		if len(c.Choices) > 1 {
			d.A, d.B = c.Choices[1].Value, c.Choices[0].Value
		}
		return
	}
	c.Asked = true
	var outputs [2]json.RawMessage
	for i, value := range []string{d.A, d.B} {
		at := slices.IndexFunc(c.Choices, func(c choice) bool { return c.Value == value })
		if at < 0 {
			c.Problem = fmt.Sprintf("There is no output %q of this document to compare.", value)
			return
		}
		output, err := p.outputOf(r, rec, value)
		if err != nil {
			c.Problem = c.Choices[at].Title + ": " + err.Error()
			return
		}
		outputs[i] = output
		if i == 0 {
			c.A = c.Choices[at].Title
		} else {
			c.B = c.Choices[at].Title
		}
	}
	changes, err := diff(outputs[0], outputs[1])
	if err != nil {
		c.Problem = err.Error()
		return
	}
	for _, change := range changes {
		if change.Changed {
			c.Count++
		}
		if (change.Changed || d.All) && len(c.Changes) < maxFields {
			c.Changes = append(c.Changes, change)
		}
	}
}

func (p *Page) outputOf(r *http.Request, rec *ledger.Record, which string) (json.RawMessage, error) {
	if which == "stored" {
		return p.stack.Output(r.Context(), rec)
	}
	id := which
	if which == "before" || which == "after" {
		id = rec.OutputRunID
	}
	run, err := p.stack.Run(r.Context(), id)
	if err != nil {
		return nil, err
	}
	output := run.Output
	switch which {
	case "before":
		output = run.InitialOutput
	case "after":
		if run.ReviewedOutput != nil {
			output = run.ReviewedOutput
		}
	}
	if output == nil {
		return nil, errors.New("there is no such output at Extend")
	}
	return output, nil
}

// output is the stored JSON, byte by byte.
func (p *Page) output(w http.ResponseWriter, r *http.Request) {
	rec, _, ok := p.record(w, r)
	if !ok {
		return
	}
	output, err := p.stack.Output(r.Context(), rec)
	switch {
	case err != nil:
		p.fail(w, http.StatusBadGateway, "The output can't be read", err.Error())
	case output == nil:
		p.fail(w, http.StatusNotFound, "There is no output", "The document is "+string(rec.State)+".")
	default:
		attach(w, rec.DocumentID+".json", "application/json")
		_, _ = w.Write(output)
	}
}

// attach has a browser save what follows, whatever is in it.
func attach(w http.ResponseWriter, name, contentType string) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": name}))
	w.Header().Set("Content-Security-Policy", "default-src 'none'; sandbox")
}

// download hands out the original as it is, of whatever size, to be saved.
func (p *Page) download(w http.ResponseWriter, r *http.Request) {
	rec, _, ok := p.record(w, r)
	if !ok {
		return
	}
	if rec.Key == "" {
		p.fail(w, http.StatusNotFound, "There is no original here", "This document came without an upload: Extend has its file.")
		return
	}
	original, err := p.stack.Original(r.Context(), rec)
	if err != nil {
		p.fail(w, http.StatusBadGateway, "The original can't be had", err.Error())
		return
	}
	defer original.Body.Close()
	attach(w, path.Base(rec.Key), "application/octet-stream")
	if original.Size >= 0 {
		w.Header().Set("Content-Length", strconv.FormatInt(original.Size, 10))
	}
	_, _ = io.Copy(w, original.Body)
}
