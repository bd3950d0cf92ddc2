package view

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"extend-intake/shared/ledger"
)

// sheet is a page beside the fields.
type sheet struct {
	N, W, H int // after turning
	// Upright is how far the picture is turned although nobody asked for it, since Extend
	// has read the page so.
	Upright int
	Turn    int // of the marks
	URL     string
	AsIs    bool
	Srcset  string
	Thumb   string
	Labels  []string
	Groups  []*markGroup
}

// markGroup are citations that measure their page alike. They are drawn in their own units.
type markGroup struct {
	Width, Height string
	Marks         []*citation
}

// ViewBox is the page in the citations' units, turned as the page is.
func (g *markGroup) ViewBox(turn int) string {
	if turn%180 != 0 {
		return "0 0 " + g.Height + " " + g.Width
	}
	return "0 0 " + g.Width + " " + g.Height
}

// Transform turns the marks with their page.
func (g *markGroup) Transform(turn int) string {
	switch turn {
	case 90:
		return "rotate(90) translate(0 -" + g.Height + ")"
	case 180:
		return "rotate(180) translate(-" + g.Width + " -" + g.Height + ")"
	case 270:
		return "rotate(270) translate(-" + g.Width + " 0)"
	}
	return ""
}

// openPages opens the original and lays out its pages.
func (p *Page) openPages(r *http.Request, d *documentPage) {
	original, _, err := p.originals.get(r.Context(), d.Record)
	if err != nil {
		d.PagesNote = notShown(err)
		p.lostMarks(d, 0)
		return
	}
	d.SheetsNote = original.note
	switch {
	case original.kind == textFile:
		d.Plain = visible(original.text)
	case len(original.sizes) == 0:
		d.PagesNote = "This file is " + string(original.kind) + "."
		if original.kind == officeFile {
			d.PagesNote = "This is an Office or ZIP file, which is not drawn here."
		}
		if original.note != "" {
			d.PagesNote += " " + original.note
		}
	}
	d.PageCount = original.count
	if original.count > len(original.sizes) {
		d.SheetsNote = strings.TrimSpace(d.SheetsNote + fmt.Sprintf(" The first %s of %s pages are shown: download the file for the rest.", grouped(len(original.sizes)), grouped(original.count)))
	}
	for i, s := range original.sizes {
		d.Sheets = append(d.Sheets, p.sheet(d, original, i+1, s))
	}
	p.lostMarks(d, len(original.sizes))
}

func notShown(err error) string {
	switch {
	case errors.Is(err, ErrGone):
		return "The original can't be shown: " + ErrGone.Error() + ". What was read from it is still here."
	case errors.Is(err, ErrArchived):
		return "The original can't be shown: " + ErrArchived.Error() + "."
	}
	return "The original can't be shown: " + err.Error() + "."
}

func (p *Page) sheet(d *documentPage, original *opened, n int, s size) *sheet {
	out := &sheet{N: n, Turn: d.Turn, Labels: d.Labels[n]}
	for _, c := range d.marks[n] {
		at := slices.IndexFunc(out.Groups, func(g *markGroup) bool { return g.Width == c.Width && g.Height == c.Height })
		if at < 0 {
			out.Groups = append(out.Groups, &markGroup{Width: c.Width, Height: c.Height})
			at = len(out.Groups) - 1
		}
		out.Groups[at].Marks = append(out.Groups[at].Marks, c)
	}
	if c := d.marks[n]; len(c) > 0 && sideways(s, size{c[0].wide, c[0].high}) {
		out.Upright = 90
	}
	turn := (out.Upright + d.Turn) % 360
	if turn%180 != 0 {
		s.w, s.h = s.h, s.w
	}
	// The size only says how much room the page needs until it is drawn: its ratio counts.
	out.W, out.H = fit(s, 1200, 0)
	out.URL = fmt.Sprintf("%s/pages/%d", d.URL, n)
	picture := func(width int) string {
		v := url.Values{"w": {strconv.Itoa(width)}}
		if turn != 0 {
			v.Set("turn", strconv.Itoa(turn))
		}
		return out.URL + "?" + v.Encode()
	}
	out.Thumb = picture(widths[0])
	var set []string
	for _, w := range widths[1:] {
		// PDFium widens lines and boxes to whole pixels, so a third more of them than the screen has.
		set = append(set, fmt.Sprintf("%s %dw", picture(w), w*3/4))
	}
	out.Srcset = strings.Join(set, ", ")
	out.URL = picture(1200)
	if original.kind.asIs() && turn == 0 {
		out.AsIs, out.Srcset, out.URL = true, "", d.URL+"/image"
	}
	return out
}

// sideways reports whether one of two sizes is clearly upright and the other clearly not.
func sideways(a, b size) bool {
	const clearly = 1.05
	return a.h > a.w*clearly && b.w > b.h*clearly || a.w > a.h*clearly && b.h > b.w*clearly
}

// lostMarks says which citations are of pages that are not shown.
func (p *Page) lostMarks(d *documentPage, shown int) {
	var pages []int
	count := 0
	for n, cs := range d.marks {
		if n > shown {
			pages, count = append(pages, n), count+len(cs)
		}
	}
	if count == 0 || shown == 0 {
		return
	}
	slices.Sort(pages)
	d.Lost = fmt.Sprintf("%s on %s that this file does not have or that is not shown: page", plural(count, "citation is", "citations are"), "a page")
	for i, n := range pages[:min(len(pages), 10)] {
		if i > 0 {
			d.Lost += ","
		}
		d.Lost += fmt.Sprintf(" %d", n)
	}
	if len(pages) > 10 {
		d.Lost += ", …"
	}
	d.Lost += "."
}

// pagePicture draws a page.
func (p *Page) pagePicture(w http.ResponseWriter, r *http.Request) {
	page, err1 := strconv.Atoi(r.PathValue("page"))
	width, err2 := strconv.Atoi(r.URL.Query().Get("w"))
	turn, err3 := 0, error(nil)
	if s := r.URL.Query().Get("turn"); s != "" {
		turn, err3 = strconv.Atoi(s)
	}
	if errors.Join(err1, err2, err3) != nil || !slices.Contains(widths, width) || !turnOK(turn) {
		http.Error(w, fmt.Sprintf("400: a page has a number, a width w of %v and a turn of 0, 90, 180 or 270", widths), http.StatusBadRequest)
		return
	}
	rec, err := p.seen(r)
	if err != nil {
		http.Error(w, "404: "+err.Error(), http.StatusNotFound)
		return
	}
	png, err := p.originals.page(r.Context(), rec, page, width, turn)
	switch {
	case errors.Is(err, errNoPage):
		http.Error(w, "404: "+err.Error(), http.StatusNotFound)
	case err != nil:
		http.Error(w, "422: "+err.Error(), http.StatusUnprocessableEntity)
	default:
		w.Header().Set("Content-Type", string(pngFile))
		_, _ = w.Write(png) // #nosec G705 -- a picture that was drawn here
	}
}

// image hands out an original that browsers show themselves.
func (p *Page) image(w http.ResponseWriter, r *http.Request) {
	rec, err := p.seen(r)
	if err != nil {
		http.Error(w, "404: "+err.Error(), http.StatusNotFound)
		return
	}
	original, _, err := p.originals.get(r.Context(), rec)
	if err != nil || original.image == nil || !original.kind.asIs() {
		http.Error(w, "404: it is no image that can be shown as it is", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", string(original.kind))
	w.Header().Set("Content-Security-Policy", "default-src 'none'; sandbox")
	_, _ = io.Copy(w, io.NewSectionReader(original.image.file, 0, original.bytes))
}

// recent is how many documents are remembered, so that their pages need not ask for the record again.
const recent = 16

// remember keeps a record whose page is being shown.
func (p *Page) remember(rec *ledger.Record) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.recent = slices.DeleteFunc(p.recent, func(r *ledger.Record) bool { return r.DocumentID == rec.DocumentID })
	p.recent = append(p.recent, rec)
	p.recent = p.recent[max(0, len(p.recent)-recent):]
}

// seen is the record of a page's picture. The object that it names never changes.
func (p *Page) seen(r *http.Request) (*ledger.Record, error) {
	id := r.PathValue("id")
	p.mu.Lock()
	at := slices.IndexFunc(p.recent, func(r *ledger.Record) bool { return r.DocumentID == id })
	if at >= 0 {
		defer p.mu.Unlock()
		return p.recent[at], nil
	}
	p.mu.Unlock()
	rec, err := p.stack.Document(r.Context(), id)
	if rec == nil {
		return nil, cmp.Or(err, ledger.ErrNotFound)
	}
	p.remember(rec)
	return rec, nil
}
