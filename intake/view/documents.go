package view

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"extend-intake/shared/ledger"
)

// pageSize is how many documents a page of the list has.
const pageSize = 50

// row is a document in the list.
type row struct {
	Record       *ledger.Record
	Problem      string
	URL          string
	Folder, Name string
	Tone         string
	At           when
	AtIs         string
	Took         string
	Lowest       confidence
	Why          string
}

// filters is a Query as the form has it.
type filters struct {
	State, Route, Reason, Prefix, Since, Until string
}

func (f filters) values() url.Values {
	v := url.Values{}
	for name, value := range map[string]string{"state": f.State, "route": f.Route, "reason": f.Reason, "prefix": f.Prefix, "since": f.Since, "until": f.Until} {
		if value != "" {
			v.Set(name, value)
		}
	}
	return v
}

// query reads the filters of a request. The error says which of them is wrong, and the rule.
func (p *Page) query(v url.Values) (f filters, q Query, err error) {
	trim := func(name string) string { return strings.TrimSpace(v.Get(name)) }
	f = filters{State: trim("state"), Route: trim("route"), Reason: trim("reason"), Prefix: v.Get("prefix"), Since: trim("since"), Until: trim("until")}
	q = Query{State: ledger.State(f.State), Route: f.Route, Reason: f.Reason, Prefix: f.Prefix, Limit: pageSize, After: v.Get("after")}
	if q.State != "" && !slices.Contains(ledger.States(), q.State) {
		return f, q, fmt.Errorf("state %q: there is no such state", f.State)
	}
	if q.Since, err = p.instant(f.Since); err != nil {
		return f, q, fmt.Errorf("since %q: %w", f.Since, err)
	}
	if q.Until, err = p.instant(f.Until); err != nil {
		return f, q, fmt.Errorf("until %q: %w", f.Until, err)
	}
	return f, q, nil
}

// instant reads a time of the filters: a date, a time, or how long ago.
func (p *Page) instant(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if days, ok := strings.CutSuffix(s, "d"); ok {
		var n int
		if _, err := fmt.Sscanf(days, "%d", &n); err == nil && n >= 0 && n < 100_000 && fmt.Sprint(n) == days {
			return p.options.Now().AddDate(0, 0, -n), nil
		}
	}
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return p.options.Now().Add(-d), nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, s, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("write 2h, 7d, a date such as 2026-11-25, or 2026-11-25T08:00")
}

// documents is the list.
func (p *Page) documents(w http.ResponseWriter, r *http.Request) {
	f, q, err := p.query(r.URL.Query())
	data := struct {
		frame
		Filters filters
		States  []ledger.State
		Counts  []stateCount
		Rows    []row
		Problem string
		Next    string
		First   string
		CSV     string
		Later   bool
	}{frame: p.frame("Documents", "documents"), Filters: f, States: ledger.States()}
	query := f.values()
	data.CSV = p.url("/documents.csv", query)
	data.First = p.url("/documents", query)
	data.Later = q.After != ""
	data.Counts = p.counts(r.Context(), f)
	list := &List{}
	if err == nil {
		list, err = p.stack.Documents(r.Context(), q)
	}
	if err != nil {
		data.Problem = err.Error()
		w.WriteHeader(http.StatusOK)
		p.render(w, "documents", data)
		return
	}
	data.Rows = p.rows(r, list.Rows)
	if list.Next != "" {
		query.Set("after", list.Next)
		data.Next = p.url("/documents", query)
	}
	p.render(w, "documents", data)
}

// countsFor is how long the counts of the states are shown before they are asked for again.
const countsFor = 30 * time.Second

// counts are how many documents are in each state, as the overview has them; none if they
// can't be had.
func (p *Page) counts(ctx context.Context, f filters) (all []stateCount) {
	p.mu.Lock()
	states, at := p.counted, p.countedAt
	p.mu.Unlock()
	if p.options.Now().Sub(at) > countsFor {
		if status, err := p.stack.Status(ctx); err == nil && status != nil {
			states = status.States
			p.mu.Lock()
			p.counted, p.countedAt = states, p.options.Now()
			p.mu.Unlock()
		}
	}
	for _, s := range ledger.States() {
		if states[s] > 0 {
			f.State = string(s)
			all = append(all, stateCount{s, tone(s), states[s], p.url("/documents", f.values())})
		}
	}
	return all
}

func (p *Page) rows(r *http.Request, from []Row) []row {
	outputs := map[string]json.RawMessage{}
	if p.stack.Outputs != nil {
		var ids []string
		for _, row := range from {
			if row.Record != nil && row.Record.OutputRunID != "" && row.Record.OutputLocation == "" {
				ids = append(ids, row.Record.DocumentID)
			}
		}
		if len(ids) > 0 {
			outputs, _ = p.stack.Outputs(r.Context(), ids) // the list is worth showing without
		}
	}
	var rows []row
	for _, it := range from {
		rec := it.Record
		if rec == nil {
			rec = &ledger.Record{}
		}
		out := row{Record: rec, Problem: it.Problem, URL: p.documentURL(rec.DocumentID), Tone: tone(rec.State), Why: rec.Reason}
		out.Folder, out.Name = path.Split(rec.Key)
		if out.Name == "" {
			out.Folder, out.Name = "", rec.Key
		}
		if rec.Key == "" {
			out.Name = rec.DocumentID
		}
		if rec.State.Terminal() {
			out.At, out.Why = p.when(rec.FinishedAt), strings.TrimSpace(rec.FailureReason+" "+rec.FailureMessage)
			if since := rec.Since(); rec.State == ledger.Processed && !since.IsZero() && rec.FinishedAt.After(since) {
				out.Took = roughly(rec.FinishedAt.Sub(since))
			}
		} else {
			out.At, out.AtIs = p.when(rec.NextCheckAt), "next check "
		}
		if text := outputs[rec.DocumentID]; text != nil {
			if reading, err := read(text, p.options.Threshold); err == nil {
				out.Lowest = reading.lowest()
			}
		}
		rows = append(rows, out)
	}
	return rows
}

// csv writes every document of the filter.
func (p *Page) csv(w http.ResponseWriter, r *http.Request) {
	_, q, err := p.query(r.URL.Query())
	if err != nil {
		p.fail(w, http.StatusBadRequest, "The list can't be made", err.Error())
		return
	}
	w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	w.Header().Set("Content-Disposition", `attachment; filename="documents.csv"`)
	out := csv.NewWriter(w)
	write := func(cells ...string) {
		for i, c := range cells {
			cells[i] = inert(c)
		}
		_ = out.Write(cells)
	}
	write("documentId", "state", "object", "versionId", "size", "route", "processor", "processorVersion", "attempt", "revision", "runId", "credits", "uploadedAt", "finishedAt", "reason", "message")
	for q.After, q.Limit = "", 1000; ; {
		list, err := p.stack.Documents(r.Context(), q)
		if err != nil {
			write("the list is not complete: " + err.Error())
			break
		}
		for _, it := range list.Rows {
			rec := it.Record
			if rec == nil {
				write(it.Problem)
				continue
			}
			reason := rec.Reason
			if rec.State.Terminal() {
				reason = rec.FailureReason
			}
			write(rec.DocumentID, string(rec.State), rec.Object, rec.VersionID, fmt.Sprint(rec.Size), rec.Route, rec.ProcessorID, rec.ProcessorVersion,
				fmt.Sprint(rec.Attempt), fmt.Sprint(rec.Revision), rec.RunID, rec.Credits, p.when(rec.UploadedAt).UTC, p.when(rec.FinishedAt).UTC, reason, rec.FailureMessage)
		}
		out.Flush()
		if list.Next == "" || out.Error() != nil || list.Next == q.After {
			break
		}
		q.After = list.Next
	}
	out.Flush()
}

// inert keeps a spreadsheet from taking a text for a formula.
func inert(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
		return "'" + s
	}
	return s
}

// find goes to what was typed: a document, a run, or a prefix of keys.
func (p *Page) find(w http.ResponseWriter, r *http.Request) {
	q := strings.TrimSpace(r.URL.Query().Get("q"))
	to := p.url("/documents", nil)
	switch {
	case strings.HasPrefix(q, "doc_"), strings.HasPrefix(q, "dpr_"), strings.HasPrefix(q, "workflow_run_"):
		to = p.documentURL(q)
	case q != "":
		to = p.url("/documents", url.Values{"prefix": {q}})
	}
	http.Redirect(w, r, to, http.StatusSeeOther) // #nosec G710 -- an address of ours, in which what was typed is escaped
}
