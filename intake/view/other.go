package view

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"extend-intake/shared/ledger"
)

type stateCount struct {
	State ledger.State
	Tone  string
	Count int
	URL   string
}

// overview is the first page: what needs a person, and what goes on.
func (p *Page) overview(w http.ResponseWriter, r *http.Request) {
	data := struct {
		frame
		*Status
		Problem      string
		Going, Ended []stateCount
		GoingCount   int
		EndedCount   int
		AlarmSince   []when
		Letters      int
		Drain        string
	}{frame: p.frame("Overview", "overview"), Status: &Status{Queued: -1, UploadLetters: -1, AnnouncementLetters: -1}}
	status, err := p.stack.Status(r.Context())
	if err != nil {
		data.Problem = err.Error()
	}
	if status != nil {
		data.Status = status
	}
	for _, s := range ledger.States() {
		c := stateCount{s, tone(s), data.States[s], p.url("/documents", url.Values{"state": {string(s)}})}
		if s.Terminal() {
			data.Ended, data.EndedCount = append(data.Ended, c), data.EndedCount+c.Count
		} else {
			data.Going, data.GoingCount = append(data.Going, c), data.GoingCount+c.Count
		}
	}
	for _, a := range data.Alarms {
		data.AlarmSince = append(data.AlarmSince, p.when(a.Since))
	}
	data.Letters = max(data.UploadLetters, 0) + max(data.AnnouncementLetters, 0)
	if data.DrainIn > 0 {
		data.Drain = roughly(data.DrainIn)
	}
	p.render(w, "overview", data)
}

// deadLetters shows what is in the dead-letter queues. To look hides the messages for a short
// while, so it is done when a person asks for it.
func (p *Page) deadLetters(w http.ResponseWriter, r *http.Request) {
	data := struct {
		frame
		Can, Looked bool
		Problem     string
		Letters     []DeadLetter
		Since       []when
		Links       []string
	}{frame: p.frame("Dead letters", "dead-letters"), Can: p.stack.DeadLetters != nil, Looked: r.URL.Query().Has("look")}
	if data.Can && data.Looked {
		letters, err := p.stack.DeadLetters(r.Context())
		if err != nil {
			data.Problem = err.Error()
		}
		data.Letters = letters
		for _, l := range letters {
			data.Since = append(data.Since, p.when(l.Since))
			link := ""
			if l.DocumentID != "" {
				link = p.documentURL(l.DocumentID)
			}
			data.Links = append(data.Links, link)
		}
	}
	p.render(w, "dead-letters", data)
}

// maxReprocess is how many documents the page sends at once. The command has no such bound.
const maxReprocess = 100

type chosen struct {
	Record  *ledger.Record
	Name    string
	Problem string // why it is left out, or was not sent
	Sent    bool
}

// reprocess asks for a confirmation, and with that sends the documents. Where the page may
// not write, it shows the command.
func (p *Page) reprocess(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 1<<20)
	if err := r.ParseForm(); err != nil {
		p.fail(w, http.StatusBadRequest, "The form can't be read", err.Error())
		return
	}
	ids := r.Form["id"]
	switch {
	case len(ids) == 0:
		p.fail(w, http.StatusBadRequest, "No document is chosen", "Choose some in the list: the box at the beginning of each row, or the key x.")
		return
	case len(ids) > maxReprocess:
		p.fail(w, http.StatusBadRequest, fmt.Sprintf("%d documents are chosen", len(ids)), fmt.Sprintf("The page sends up to %d at once; the command `%s reprocess` has no such limit.", maxReprocess, p.options.Command))
		return
	case r.Method == http.MethodPost && p.stack.Reprocess == nil:
		p.fail(w, http.StatusForbidden, "This page may only read", "Start it with --write, or use the command.")
		return
	}
	data := struct {
		frame
		Chosen       []chosen
		Count        int
		Cost         string
		Shell        string
		Why, Mistake string
		Done         bool
		Sent         int
	}{frame: p.frame("Reprocess", "documents"), Why: strings.TrimSpace(r.PostFormValue("why"))}
	var take []*ledger.Record
	quoted := make([]string, 0, len(ids))
	for _, id := range ids {
		c := chosen{Name: id}
		rec, err := p.stack.Document(r.Context(), id)
		switch {
		case err != nil:
			c.Problem = err.Error()
		case !rec.State.Terminal():
			c.Problem = "left out: it is on its way, " + string(rec.State)
		default:
			take = append(take, rec)
			quoted = append(quoted, shellQuote(id))
		}
		if rec != nil {
			c.Record = rec
			if rec.Key != "" {
				c.Name = rec.Key
			}
		}
		data.Chosen = append(data.Chosen, c)
	}
	data.Count = len(take)
	data.Shell = p.options.Command + " reprocess " + strings.Join(quoted, " ")
	if r.Method == http.MethodPost {
		if r.PostFormValue("confirm") != "yes" {
			data.Mistake = "Nothing was sent: type the word yes to confirm."
		} else {
			p.send(r, data.Chosen, data.Why)
			for _, c := range data.Chosen {
				if c.Sent {
					data.Sent++
				}
			}
			data.Done = true
		}
	}
	if !data.Done && len(take) > 0 && p.stack.Cost != nil {
		cost, err := p.stack.Cost(r.Context(), take)
		if err != nil {
			cost = "The cost can't be said: " + err.Error()
		}
		data.Cost = cost
	}
	p.render(w, "reprocess", data)
}

func (p *Page) send(r *http.Request, all []chosen, why string) {
	for i := range all {
		c := &all[i]
		if c.Problem != "" {
			continue
		}
		err := p.stack.Reprocess(r.Context(), c.Record, why)
		if err != nil {
			c.Problem = "not sent: " + err.Error()
			if errors.Is(err, r.Context().Err()) {
				c.Problem += ": choose it once more; sending it twice makes one attempt"
			}
			continue
		}
		c.Sent = true
	}
}
