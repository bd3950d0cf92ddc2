package document

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	maxName      = 40
	maxTags      = 8
	maxTagLength = 60
)

// routeFields are the fields of a route, in the order in which they are read and in
// which their errors are shown. Each is read whether it is given or not: raw is nil
// where it is missing.
var routeFields = []struct {
	name string
	read func(r *routeReader, raw json.RawMessage)
}{
	{"name", (*routeReader).name},
	{"prefix", (*routeReader).prefix},
	{"suffix", (*routeReader).suffix},
	{"pattern", (*routeReader).pattern}, // after prefix and suffix: it looks at all three
	{"processor", (*routeReader).processor},
	{"workflow", (*routeReader).workflow}, // after processor: exactly one of the two is given
	{"version", (*routeReader).version},
	{"priority", (*routeReader).priority},
	{"usageTags", (*routeReader).usageTags}, // after pattern: they may hold its variables
	{"config", (*routeReader).config},
}

// routeReader reads one route. A route with errors is still compared with the others, so
// that all errors show at once: a name with an error is therefore left empty, and so are
// prefix, suffix and pattern where one of them has an error.
type routeReader struct {
	route Route
	errs  []string
	// steps are those of the Pattern.
	steps []step
	// badKeys: prefix, suffix and pattern don't say which keys are meant.
	badKeys bool
	// hasProcessor, hasWorkflow: the route gives one.
	hasProcessor, hasWorkflow bool
}

// parseRoute reads one element of the routes.
func parseRoute(element json.RawMessage) (Route, []string) {
	r := &routeReader{}
	fields, repeated, ok := object(element)
	if !ok {
		r.errorf("%s must be an object such as {\"name\":\"invoices\",\"prefix\":\"invoices/\",\"processor\":\"dp_…\"}", shown(element))
		return r.route, r.errs
	}
	var names []string
	for _, f := range routeFields {
		names = append(names, f.name)
	}
	for _, field := range repeated {
		r.errorf("field %s is given more than once; keep one", quote(field))
	}
	for _, field := range slices.Sorted(maps.Keys(fields)) {
		if !slices.Contains(names, field) {
			r.errorf("field %s is unknown; a route has %s", quote(field), strings.Join(names, ", "))
		}
	}
	for _, f := range routeFields {
		f.read(r, fields[f.name])
	}
	return r.route, r.errs
}

func (r *routeReader) errorf(format string, args ...any) {
	r.errs = append(r.errs, fmt.Sprintf(format, args...))
}

// text reads a text. ok is false where the field is missing, and where it is no text,
// which is an error.
func (r *routeReader) text(field string, raw json.RawMessage) (s string, ok bool) {
	if raw == nil {
		return "", false
	}
	if raw[0] != '"' || json.Unmarshal(raw, &s) != nil {
		r.errorf("%s %s must be text in double quotes", field, shown(raw))
		return "", false
	}
	return s, true
}

func (r *routeReader) name(raw json.RawMessage) {
	if raw == nil {
		r.errorf("name is missing; give one, such as invoices")
		return
	}
	name, ok := r.text("name", raw)
	switch {
	case !ok:
	case name == "" || CleanUsageTag(name) != name || len(name) > maxName:
		r.errorf("name %s must be 1 to %d letters, digits, _ or -", quote(name), maxName)
	case name == "default":
		r.errorf("name %q is that of the route which the parameter ProcessorId makes; choose another", name)
	default:
		r.route.Name = name
	}
}

func (r *routeReader) prefix(raw json.RawMessage) { r.route.Prefix = r.keys("prefix", raw) }

func (r *routeReader) suffix(raw json.RawMessage) { r.route.Suffix = r.keys("suffix", raw) }

// keys reads a text that selects keys.
func (r *routeReader) keys(field string, raw json.RawMessage) string {
	s, ok := r.text(field, raw)
	r.badKeys = r.badKeys || !ok && raw != nil
	return s
}

func (r *routeReader) pattern(raw json.RawMessage) {
	route := &r.route
	route.Pattern = r.keys("pattern", raw)
	switch {
	case r.badKeys: // it has been said
	case route.Pattern != "" && route.Prefix+route.Suffix != "":
		r.badKeys = true
		r.errorf("pattern %s stands beside a prefix or suffix; give either a pattern, or a prefix and/or suffix", quote(route.Pattern))
	case route.Pattern+route.Prefix+route.Suffix == "":
		r.badKeys = true
		r.errorf("prefix, suffix and pattern are all missing; give one (a route for everything is the parameter ProcessorId)")
	}
	steps, wrong := parsePattern(route.Pattern)
	for _, w := range wrong {
		r.badKeys = true
		r.errorf("pattern %s: %s", quote(route.Pattern), w)
	}
	r.steps = steps
	if r.badKeys {
		route.Prefix, route.Suffix, route.Pattern = "", "", ""
	}
}

func (r *routeReader) processor(raw json.RawMessage) {
	if raw == nil {
		return // see workflow
	}
	r.hasProcessor = true
	id, ok := r.text("processor", raw)
	if !ok {
		return
	}
	if rest, ok := strings.CutPrefix(id, "dp_"); !ok || rest == "" || CleanUsageTag(rest) != rest {
		r.errorf("processor %s must be dp_ and then letters, digits, _ or -", quote(id))
	}
	r.route.ProcessorID = id
}

func (r *routeReader) version(raw json.RawMessage) {
	r.route.Version = "latest"
	version, ok := r.text("version", raw)
	if !ok {
		return
	}
	if r.hasWorkflow {
		r.workflowVersion(version)
	} else if version != "latest" && version != "draft" && !versionNumber(version) {
		r.errorf("version %s must be latest, draft, or a number such as 2.1", quote(version))
	}
	r.route.Version = version
}

func (r *routeReader) priority(raw json.RawMessage) {
	if raw == nil {
		return
	}
	n, err := strconv.Atoi(string(raw))
	if err != nil || n < 1 || n > 100 {
		r.errorf("priority %s must be a whole number from 1 to 100, where the lower runs first", shown(raw))
	}
	r.route.Priority = n
}

func (r *routeReader) usageTags(raw json.RawMessage) {
	if raw == nil {
		return
	}
	var tags []*string
	if raw[0] != '[' || json.Unmarshal(raw, &tags) != nil || slices.Contains(tags, nil) {
		r.errorf("usageTags %s must be an array of texts, such as [\"team-finance\"]", shown(raw))
		return
	}
	if len(tags) > maxTags {
		r.errorf("usageTags has %d tags; at most %d are possible", len(tags), maxTags)
	}
	for _, tag := range tags {
		r.usageTag(*tag)
	}
}

func (r *routeReader) usageTag(tag string) {
	r.route.UsageTags = append(r.route.UsageTags, tag)
	if n := utf8.RuneCountInString(tag); n < 1 || n > maxTagLength {
		r.errorf("usageTags: %s must have 1 to %d characters, and has %d", quote(tag), maxTagLength, n)
	}
	text := expand(tag, func(name string) string {
		if !r.badKeys && !slices.ContainsFunc(r.steps, func(s step) bool { return s.name != "" && s.name == name }) {
			r.errorf("usageTags: %s needs a variable %s, which is not in the route's pattern", quote(tag), quote("{"+name+"}"))
		}
		return ""
	})
	if CleanUsageTag(text) != text {
		r.errorf("usageTags: %s may hold letters, digits, _, - and {variable}; Extend would remove all else", quote(tag))
	}
}

func (r *routeReader) config(raw json.RawMessage) {
	if raw == nil {
		return
	}
	if r.hasWorkflow {
		r.errorf("config stands beside a workflow, whose runs take none; set it in the workflow at Extend")
		return
	}
	config, repeated, ok := object(raw)
	var kind string
	switch {
	case !ok:
		r.errorf("config %s must be an object with a type", shown(raw))
	case len(repeated) > 0:
		r.errorf("config has the field %s more than once; keep one", quote(repeated[0]))
	case config["type"] == nil:
		r.errorf("config has no type; give the processor's, EXTRACT, CLASSIFY or SPLITTER")
	case json.Unmarshal(config["type"], &kind) != nil || !slices.Contains([]string{"EXTRACT", "CLASSIFY", "SPLITTER"}, kind):
		r.errorf("config's type %s must be the processor's, EXTRACT, CLASSIFY or SPLITTER", shown(config["type"]))
	}
	r.route.Config = raw
}

// versionNumber is numbers with dots between them.
func versionNumber(version string) bool {
	for part := range strings.SplitSeq(version, ".") {
		if part == "" || strings.Trim(part, "0123456789") != "" {
			return false
		}
	}
	return true
}

// object reads the fields of a JSON object by their exact names, which
// [json.Unmarshal] does not insist on. It names the fields that are given more than once.
func object(raw json.RawMessage) (fields map[string]json.RawMessage, repeated []string, ok bool) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	if start, err := dec.Token(); err != nil || start != json.Delim('{') {
		return nil, nil, false
	}
	fields = map[string]json.RawMessage{}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return nil, nil, false
		}
		name, _ := key.(string)
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, nil, false
		}
		if fields[name] != nil && !slices.Contains(repeated, name) {
			repeated = append(repeated, name)
		}
		fields[name] = value
	}
	return fields, repeated, true
}
