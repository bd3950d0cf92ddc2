package fakeextend

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	defaultPageSize = 10
	maxPageSize     = 1000
)

const sourceAPI = "API"

var sources = []string{"ADMIN", "BATCH_PROCESSOR_RUN", "PLAYGROUND", "WORKFLOW_CONFIGURATION", "WORKFLOW_RUN", "STUDIO", sourceAPI}

// A listed is an entry of a list: where it stands, and how it is shown.
type listed struct {
	createdAt, updatedAt time.Time
	n                    int // in the order of creation
	show                 func() []byte
}

// page answers a list with those entries that its query's token has not passed,
// as many as the query asks for. The caller holds mu.
func (x *exchange) page(entries []listed) ([]byte, *refusal) {
	s := x.s
	size := defaultPageSize
	if n, err := strconv.Atoi(x.query["maxPageSize"]); err == nil {
		size = n
	}
	if s.opts.ShortPages {
		size = (size + 1) / 2
	}
	var after *cursor
	if token := x.query["nextPageToken"]; token != "" {
		if after = s.openToken(token, x.r.URL.Path, x.query); after == nil {
			return nil, invalid("Invalid page token; Path: nextPageToken")
		}
	}
	byCreation := x.query["sortBy"] == "createdAt" || x.route == RouteListFiles
	place := func(e listed) cursor {
		if byCreation {
			return cursor{e.createdAt.UnixNano(), e.n}
		}
		return cursor{e.updatedAt.UnixNano(), e.n}
	}
	order := func(a, b cursor) int {
		if x.query["sortDir"] == "asc" {
			return a.compare(b)
		}
		return b.compare(a)
	}
	entries = slices.DeleteFunc(entries, func(e listed) bool { return after != nil && order(*after, place(e)) >= 0 })
	slices.SortFunc(entries, func(a, b listed) int { return order(place(a), place(b)) })

	more := len(entries) > size
	if more {
		entries = entries[:size]
	}
	items := make([][]byte, len(entries))
	for i, e := range entries {
		items[i] = x.fault.ChangeRuns.apply(e.show())
	}
	var o object
	o.flag("success", true).raw(*x.op.Response.Envelope.Member, list(items))
	switch {
	case more:
		o.text("nextPageToken", s.makeToken(place(entries[size-1]), x.r.URL.Path, x.query))
	case s.opts.ExplicitNulls || x.route != RouteList && s.forms%2 == 1:
		o.raw("nextPageToken", null)
	}
	x.warn(&o)
	return s.extra(&o).bytes(), nil
}

// equal reports whether the query asks for this value of a parameter, or for none.
func (x *exchange) equal(name, value string) bool {
	want, given := x.query[name]
	return !given || want == value
}

// A cursor is the place of an entry in a sorted list: the instant, then the order
// of creation.
type cursor struct {
	at int64
	n  int
}

func (c cursor) compare(d cursor) int {
	if c.at != d.at {
		if c.at < d.at {
			return -1
		}
		return 1
	}
	return c.n - d.n
}

// A page token is bound to the list and the query it came from, and holds every
// character that a careless client forgets to escape: = : / +.
func (s *Server) makeToken(c cursor, path string, query map[string]string) string {
	text := fmt.Sprintf("%d.%d", c.at, c.n)
	mac := s.mac("page token", path, text, canonical(query))
	return "c+/" + base64.StdEncoding.EncodeToString([]byte(text)) + ":" + base64.StdEncoding.EncodeToString(mac)
}

func (s *Server) openToken(token, path string, query map[string]string) *cursor {
	rest, ok := strings.CutPrefix(token, "c+/")
	head, _, _ := strings.Cut(rest, ":")
	text, err := base64.StdEncoding.DecodeString(head)
	if !ok || err != nil {
		return nil
	}
	var c cursor
	if n, err := fmt.Sscanf(string(text), "%d.%d", &c.at, &c.n); n != 2 || err != nil {
		return nil
	}
	if s.makeToken(c, path, query) != token {
		return nil
	}
	return &c
}

// canonical writes a query without its page token, in one order.
func canonical(query map[string]string) string {
	values := make(url.Values)
	for name, value := range query {
		if name != "nextPageToken" {
			values.Set(name, value)
		}
	}
	return values.Encode()
}
