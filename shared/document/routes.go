package document

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Routes are rules of which at most one matches a key.
type Routes []Route

// Find is the Route of a key.
func (rs Routes) Find(key string) (Route, bool) {
	for _, r := range rs {
		if r.Matches(key) {
			return r, true
		}
	}
	return Route{}, false
}

const (
	// maxRoutes leaves room for the other variables: a function's environment
	// holds 4 KB.
	maxRoutes = 2500
	// maxErrors is the length of all errors together, so that they fit into the reason
	// that CloudFormation shows, of 4 KB too.
	maxErrors    = 2800
	maxName      = 40
	maxTags      = 8
	maxTagLength = 60
)

var routeFields = []string{"name", "prefix", "suffix", "pattern", "processor", "version", "priority", "usageTags", "config"}

// ParseRoutes reads a JSON array of routes; the empty text is none. The error has a
// line for each thing that is wrong, all of them at once as far as CloudFormation can
// show them:
//
//	[
//	  {"name":"invoices", "prefix":"invoices/", "suffix":".pdf", "processor":"dp_a", "version":"2.1", "priority":20},
//	  {"name":"contracts", "pattern":"contracts/{customer}/**", "processor":"dp_b", "usageTags":["customer-{customer}"]}
//	]
func ParseRoutes(text string) (Routes, error) {
	if text == "" {
		return nil, nil
	}
	elements, err := array(text)
	if err != nil {
		return nil, err
	}
	var rs Routes
	var errs []error
	labels := make([]string, len(elements))
	places := map[string]int{}
	for i, element := range elements {
		r, wrong := parseRoute(element)
		labels[i] = fmt.Sprintf("route %d", i+1)
		if first, taken := places[r.Name]; taken {
			wrong = append(wrong, fmt.Sprintf("name %q is that of route %d too; each route needs a name of its own", r.Name, first))
		} else if r.Name != "" {
			places[r.Name] = i + 1
			labels[i] = fmt.Sprintf("route %q", r.Name)
		}
		for _, w := range wrong {
			errs = append(errs, fmt.Errorf("%s: %s", labels[i], w))
		}
		rs = append(rs, r)
	}
	for i, a := range rs {
		for j, b := range rs[:i] {
			if key, ok := overlap(b, a); ok {
				errs = append(errs, fmt.Errorf("%s and %s both match the key %s; change one, so that a key has one route", labels[j], labels[i], quote(key)))
			}
		}
	}
	if len(errs) > 0 {
		return nil, join(errs)
	}
	return rs, nil
}

// join drops the errors that there is no room for, and says so.
func join(errs []error) error {
	room := maxErrors
	for i, err := range errs {
		if room -= len(err.Error()) + 1; room < 0 {
			return errors.Join(append(errs[:i:i], fmt.Errorf("and %d more errors, which show once these are fixed", len(errs)-i))...)
		}
	}
	return errors.Join(errs...)
}

// array splits the text into its elements.
func array(text string) ([]json.RawMessage, error) {
	if len(text) > maxRoutes {
		return nil, fmt.Errorf("routes: %d bytes are too many, a function's environment takes %d; shorten names and configs", len(text), maxRoutes)
	}
	dec := json.NewDecoder(strings.NewReader(text))
	var whole json.RawMessage
	if err := dec.Decode(&whole); err != nil {
		return nil, fmt.Errorf("routes: not JSON after %d bytes: %w; check quotes, commas and brackets", offset(err, text), err)
	}
	if rest := strings.Trim(text[dec.InputOffset():], " \t\r\n"); rest != "" {
		return nil, fmt.Errorf("routes: %s follows the end of the JSON; put all routes into one array", quote(rest))
	}
	var elements []json.RawMessage
	if whole[0] != '[' {
		return nil, fmt.Errorf("routes: %s must be an array of routes; put it in [ and ]", quote(string(whole)))
	}
	if err := json.Unmarshal(whole, &elements); err != nil {
		return nil, fmt.Errorf("routes: %w", err)
	}
	if len(elements) == 0 {
		return nil, errors.New("routes: the array is empty; leave the parameter empty where ProcessorId is the only route")
	}
	return elements, nil
}

// offset is how much of the text the JSON error leaves good.
func offset(err error, text string) int64 {
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return syntax.Offset - 1
	}
	return int64(len(text))
}

// parseRoute reads one element. A field with a fault stays empty; the keys are
// all empty where there is a fault in one of them.
func parseRoute(element json.RawMessage) (r Route, faults []string) {
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	fields, again, ok := object(element)
	if !ok {
		fault("%s must be an object such as {\"name\":\"invoices\",\"prefix\":\"invoices/\",\"processor\":\"dp_…\"}", shown(element))
		return r, faults
	}
	for _, field := range again {
		fault("field %s is given more than once; keep one", quote(field))
	}
	for _, field := range slices.Sorted(maps.Keys(fields)) {
		if !slices.Contains(routeFields, field) {
			fault("field %s is unknown; a route has %s", quote(field), strings.Join(routeFields, ", "))
		}
	}
	// get is false where there is a fault, which was then said, or no such field.
	get := func(field string) (s string, ok bool) {
		if fields[field] == nil {
			return "", false
		}
		if fields[field][0] != '"' || json.Unmarshal(fields[field], &s) != nil {
			fault("%s %s must be text in double quotes", field, shown(fields[field]))
			return "", false
		}
		return s, true
	}

	if fields["name"] == nil {
		fault("name is missing; give one, such as invoices")
	} else if name, ok := get("name"); ok {
		switch {
		case name == "" || CleanUsageTag(name) != name || len(name) > maxName:
			fault("name %s must be 1 to %d letters, digits, _ or -", quote(name), maxName)
		case name == "default":
			fault("name %q is that of the route which the parameter ProcessorId makes; choose another", name)
		default:
			r.Name = name
		}
	}

	said := len(faults)
	r.Prefix, _ = get("prefix")
	r.Suffix, _ = get("suffix")
	r.Pattern, _ = get("pattern")
	switch {
	case len(faults) > said:
	case r.Pattern != "" && r.Prefix+r.Suffix != "":
		fault("pattern %s stands beside a prefix or suffix; give either a pattern, or a prefix and/or suffix", quote(r.Pattern))
	case r.Pattern+r.Prefix+r.Suffix == "":
		fault("prefix, suffix and pattern are all missing; give one (a route for everything is the parameter ProcessorId)")
	}
	steps, wrong := parsePattern(r.Pattern)
	for _, w := range wrong {
		fault("pattern %s: %s", quote(r.Pattern), w)
	}
	if len(faults) > said {
		r.Prefix, r.Suffix, r.Pattern = "", "", ""
	}
	keysAreGood := len(faults) == said

	if fields["processor"] == nil {
		fault("processor is missing; give its id at Extend, which begins with dp_")
	} else if id, ok := get("processor"); ok {
		if rest, ok := strings.CutPrefix(id, "dp_"); !ok || rest == "" || CleanUsageTag(rest) != rest {
			fault("processor %s must be dp_ and then letters, digits, _ or -", quote(id))
		}
		r.ProcessorID = id
	}

	r.Version = "latest"
	if version, ok := get("version"); ok {
		if version != "latest" && version != "draft" && !versionNumber(version) {
			fault("version %s must be latest, draft, or a number such as 2.1", quote(version))
		}
		r.Version = version
	}

	if raw := fields["priority"]; raw != nil {
		n, err := strconv.Atoi(string(raw))
		if err != nil || n < 1 || n > 100 {
			fault("priority %s must be a whole number from 1 to 100, where the lower runs first", shown(raw))
		}
		r.Priority = n
	}

	if raw := fields["usageTags"]; raw != nil {
		var tags []*string
		if raw[0] != '[' || json.Unmarshal(raw, &tags) != nil || slices.Contains(tags, nil) {
			fault("usageTags %s must be an array of texts, such as [\"team-finance\"]", shown(raw))
			tags = nil
		} else if len(tags) > maxTags {
			fault("usageTags has %d tags; at most %d are possible", len(tags), maxTags)
		}
		for _, tag := range tags {
			r.UsageTags = append(r.UsageTags, *tag)
			if n := utf8.RuneCountInString(*tag); n < 1 || n > maxTagLength {
				fault("usageTags: %s must have 1 to %d characters, and has %d", quote(*tag), maxTagLength, n)
			}
			text := expand(*tag, func(name string) string {
				if keysAreGood && !slices.ContainsFunc(steps, func(s step) bool { return s.name != "" && s.name == name }) {
					fault("usageTags: %s needs a variable %s, which is not in the route's pattern", quote(*tag), quote("{"+name+"}"))
				}
				return ""
			})
			if CleanUsageTag(text) != text {
				fault("usageTags: %s may hold letters, digits, _, - and {variable}; Extend would remove all else", quote(*tag))
			}
		}
	}

	if raw := fields["config"]; raw != nil {
		config, again, ok := object(raw)
		var kind string
		switch {
		case !ok:
			fault("config %s must be an object with a type", shown(raw))
		case len(again) > 0:
			fault("config has the field %s more than once; keep one", quote(again[0]))
		case config["type"] == nil:
			fault("config has no type; give the processor's, EXTRACT, CLASSIFY or SPLITTER")
		case json.Unmarshal(config["type"], &kind) != nil || !slices.Contains([]string{"EXTRACT", "CLASSIFY", "SPLITTER"}, kind):
			fault("config's type %s must be the processor's, EXTRACT, CLASSIFY or SPLITTER", shown(config["type"]))
		}
		r.Config = raw
	}
	return r, faults
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
// [json.Unmarshal] does not ask for, and those that are given again.
func object(raw json.RawMessage) (fields map[string]json.RawMessage, again []string, ok bool) {
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
		if fields[name] != nil && !slices.Contains(again, name) {
			again = append(again, name)
		}
		fields[name] = value
	}
	return fields, again, true
}

// overlap finds a key that both Routes match. One that has nothing to match keys
// by is being complained of already.
func overlap(a, b Route) (key string, ok bool) {
	if a.Pattern+a.Prefix+a.Suffix == "" || b.Pattern+b.Prefix+b.Suffix == "" {
		return "", false
	}
	if key, _, ok := meet(a.steps(), b.steps()); ok {
		return cmp.Or(key, "x"), true // who takes the empty key, which no object has, takes "x" too
	}
	for _, key := range a.shortKeys() {
		if b.Matches(key) {
			return key, true
		}
	}
	for _, key := range b.shortKeys() {
		if a.Matches(key) {
			return key, true
		}
	}
	return "", false
}

// steps are those of all keys but the [Route.shortKeys].
func (r Route) steps() []step {
	if r.Pattern != "" {
		steps, _ := parsePattern(r.Pattern)
		return steps
	}
	return slices.Concat(literal(r.Prefix), []step{{kind: anything}}, literal(r.Suffix))
}

// shortKeys are the keys in which Prefix and Suffix share characters.
func (r Route) shortKeys() (keys []string) {
	for n := 1; n <= min(len(r.Prefix), len(r.Suffix)); n++ {
		if strings.HasSuffix(r.Prefix, r.Suffix[:n]) {
			keys = append(keys, r.Prefix+r.Suffix[n:])
		}
	}
	return keys
}

// shown is JSON on one line.
func shown(raw json.RawMessage) string {
	var b bytes.Buffer
	if json.Compact(&b, raw) != nil {
		return quote(string(raw))
	}
	return clip(b.String())
}

func quote(s string) string { return strconv.Quote(clip(s)) }

// clip keeps a value from filling the message.
func clip(s string) string {
	const most = 100
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most-1]) + "…"
}
