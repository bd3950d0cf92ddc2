package document

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
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
	maxRoutes = 2400
	// maxErrors is the length of all errors together, so that they fit into the reason
	// that CloudFormation shows, of 4 KB too.
	maxErrors = 2800
)

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

// overlap finds a key that both Routes match. One that has nothing to match keys
// by is being complained of already. Where a wildcard stands before a combining mark, it
// may also find a text that is no key in the form NFC: such Routes are refused although
// they might never meet.
func overlap(a, b Route) (key string, ok bool) {
	a, b = a.composed(), b.composed()
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
