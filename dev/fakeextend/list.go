package fakeextend

import (
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// parseQuery returns the query parameters by name; each may be sent once.
func parseQuery(r *http.Request) (map[string]string, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, err
	}
	query := make(map[string]string, len(values))
	for name, v := range values {
		if len(v) != 1 {
			return nil, fmt.Errorf("parameter %s was sent %d times", name, len(v))
		}
		query[name] = v[0]
	}
	return query, nil
}

// listEnums are the list parameters with a closed set of values.
var listEnums = []struct {
	name   string
	values []string
}{
	{"status", []string{pending, processing, processed, failed, cancelled}},
	{"processorType", processorTypes},
	{"source", sources},
	{"sortBy", []string{"updatedAt", "createdAt"}},
	{"sortDir", []string{"asc", "desc"}},
}

const sourceAPI = "API"

var sources = []string{"ADMIN", "BATCH_PROCESSOR_RUN", "PLAYGROUND", "WORKFLOW_CONFIGURATION", "WORKFLOW_RUN", "STUDIO", sourceAPI}

var listParameters = []string{
	"status", "processorId", "processorType", "sourceId", "source", "fileNameContains",
	"sortBy", "sortDir", "nextPageToken", "maxPageSize",
}

// list answers GET /processor_runs. Unknown and empty parameters are refused,
// which the vendor does not say: a misspelt filter would otherwise find
// everything.
func (s *Server) list(query map[string]string, change Change) ([]byte, *refusal) {
	size, token, ref := checkList(query)
	if ref != nil {
		return nil, ref
	}
	var after *cursor
	if token != "" {
		if after = s.openToken(token, query); after == nil {
			return nil, invalid("Invalid page token; Path: nextPageToken")
		}
	}
	if s.opts.ShortPages {
		size = (size + 1) / 2
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	byCreation := query["sortBy"] == "createdAt"
	place := func(r *run) cursor {
		if byCreation {
			return cursor{r.createdAt.UnixNano(), r.n}
		}
		return cursor{r.updatedAt.UnixNano(), r.n}
	}
	order := func(a, b cursor) int {
		if query["sortDir"] == "asc" {
			return a.compare(b)
		}
		return b.compare(a)
	}
	var found []*run
	for _, r := range s.runs {
		if r.listed(now) && r.matches(query) && (after == nil || order(*after, place(r)) < 0) {
			found = append(found, r)
		}
	}
	slices.SortFunc(found, func(a, b *run) int { return order(place(a), place(b)) })

	var o object
	o.flag("success", true)
	more := len(found) > size
	if more {
		found = found[:size]
	}
	items := make([][]byte, len(found))
	for i, r := range found {
		items[i] = change.apply(r.fate.Changes[InList].apply(s.summary(r)))
	}
	o.raw("processorRuns", list(items))
	switch {
	case more:
		o.text("nextPageToken", s.makeToken(place(found[size-1]), query))
	case s.opts.ExplicitNulls:
		o.raw("nextPageToken", null)
	}
	return s.extra(&o).bytes(), nil
}

func checkList(query map[string]string) (size int, token string, ref *refusal) {
	for _, name := range slices.Sorted(maps.Keys(query)) {
		if !slices.Contains(listParameters, name) {
			return 0, "", invalid("Unknown query parameter; Path: %s", name)
		}
		if query[name] == "" {
			return 0, "", invalid("Expected string; Path: %s", name)
		}
	}
	for _, enum := range listEnums {
		if value, given := query[enum.name]; given && !slices.Contains(enum.values, value) {
			return 0, "", invalid("Expected one of %s; Path: %s", strings.Join(enum.values, ", "), enum.name)
		}
	}
	size = 10
	if raw, given := query["maxPageSize"]; given {
		n, err := strconv.Atoi(raw)
		if err != nil || n < 1 || n > 1000 {
			return 0, "", invalid("Expected number between 1 and 1000; Path: maxPageSize")
		}
		size = n
	}
	return size, query["nextPageToken"], nil
}

// listed reports whether lists show the run at all.
func (r *run) listed(now time.Time) bool {
	return !r.deleted && !now.Before(r.createdAt.Add(r.fate.ListLag))
}

// matches holds a run against the filters. No run here has a source id.
func (r *run) matches(query map[string]string) bool {
	equal := func(name, value string) bool {
		want, given := query[name]
		return !given || want == value
	}
	return equal("status", r.status) &&
		equal("processorId", r.processor.ID) &&
		equal("processorType", r.processor.Type) &&
		equal("source", r.source) &&
		equal("sourceId", "") &&
		strings.Contains(r.fileName, query["fileNameContains"]) // case-sensitive: the stricter reading
}

func (s *Server) summary(r *run) []byte {
	var o object
	o.text("id", r.id).text("status", r.status).
		text("processorId", r.processor.ID).text("processorName", r.processor.Name).
		text("processorVersionId", r.versionID).text("type", r.processor.Type).
		text("createdAt", spelled(r.createdAt, r.n)).text("updatedAt", spelled(r.updatedAt, r.n+1))
	s.usage(&o, r)
	return s.extra(&o).bytes()
}

// A cursor is the place of a run in a sorted list: the instant, then the order
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

// A page token is bound to the query it came from, and holds every character
// that a careless client forgets to escape: = : / +.
func (s *Server) makeToken(c cursor, query map[string]string) string {
	text := fmt.Sprintf("%d.%d", c.at, c.n)
	mac := s.mac("page token", text, canonical(query))
	return "c+/" + base64.StdEncoding.EncodeToString([]byte(text)) + ":" + base64.StdEncoding.EncodeToString(mac)
}

func (s *Server) openToken(token string, query map[string]string) *cursor {
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
	if s.makeToken(c, query) != token {
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
