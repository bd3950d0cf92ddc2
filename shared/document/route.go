package document

import (
	"encoding/json"
	"fmt"
	"strings"

	"golang.org/x/text/unicode/norm"
)

// Route says which uploads are read, and by which processor or workflow. [ParseRoutes] reads
// Routes; the zero Route takes every key.
type Route struct {
	// Name is shown in the table, in logs and in events.
	Name string
	// Prefix and Suffix select keys; an empty one selects all. Each is compared for
	// itself: of "ab" and "bc", "abc" is a key. They, Pattern and the key are
	// compared byte by byte in Unicode's form NFC, so that a name is the same with
	// "ü" in one character, as most keyboards write it, and in two, as Macs do.
	Prefix, Suffix string
	// Pattern selects keys in their place, where it is not empty. {variable}
	// stands for one or more characters but no "/", * for any number of characters
	// but no "/", ** for any number of any characters, and all else for itself. The
	// whole key must match. Where it can in several ways, each wildcard from left
	// to right takes the fewest characters with which the rest still matches.
	Pattern string
	// ProcessorID is a dp_… id of Extend, or a workflow_… id where the Route names a
	// workflow; Version is "latest", "draft" or a published number such as "2.1", or
	// "3" of a workflow.
	ProcessorID, Version string
	// Priority is from 1 to 100, where the lower runs first, or 0 for Extend's
	// default, which is 50.
	Priority int
	// UsageTags may hold variables of the Pattern; see [Route.TagsFor].
	UsageTags []string
	// Config replaces the processor's own for each run. It is the bytes as given,
	// or nil.
	Config json.RawMessage
}

// Matches reports whether the key is one of the Route's.
func (r Route) Matches(key string) bool {
	if r.Pattern != "" {
		_, ok := r.fit(key)
		return ok
	}
	r, key = r.composed(), norm.NFC.String(key)
	return strings.HasPrefix(key, r.Prefix) && strings.HasSuffix(key, r.Suffix)
}

// composed is the Route in the form in which it is compared. Errors show it as it was
// written.
func (r Route) composed() Route {
	r.Prefix, r.Suffix, r.Pattern = norm.NFC.String(r.Prefix), norm.NFC.String(r.Suffix), norm.NFC.String(r.Pattern)
	return r
}

// maxUsageTag bounds a finished usage tag, so that a long key can't fill the
// run's metadata.
const maxUsageTag = 100

// TagsFor is the usage tags of one upload: each variable is replaced by what it
// stands for in the key, without what Extend would remove. A tag of which
// nothing is left is dropped. A key that is not the Route's has no values.
func (r Route) TagsFor(key string) []string {
	var values map[string]string
	if r.Pattern != "" && strings.Contains(strings.Join(r.UsageTags, ""), "{") {
		values, _ = r.fit(key)
	}
	var tags []string
	for _, t := range r.UsageTags {
		tag := CleanUsageTag(expand(t, func(name string) string { return values[name] }))
		if tag = tag[:min(len(tag), maxUsageTag)]; tag != "" {
			tags = append(tags, tag)
		}
	}
	return tags
}

// expand replaces each {name}. A brace that is not closed stays.
func expand(tag string, value func(name string) string) string {
	var b strings.Builder
	for {
		text, rest, open := strings.Cut(tag, "{")
		name, after, closed := strings.Cut(rest, "}")
		if !open || !closed {
			return b.String() + tag
		}
		b.WriteString(text + value(name))
		tag = after
	}
}

// fit finds what the variables of the Pattern stand for in the key. A Pattern with an
// error in it matches no key.
func (r Route) fit(key string) (variables map[string]string, ok bool) {
	p, errs := parsePattern(r.composed().Pattern)
	if len(errs) > 0 {
		return nil, false
	}
	_, variables, ok = meet(p, literal(norm.NFC.String(key)))
	return variables, ok
}

// step is a part of a pattern that stands for one byte, or for any number of
// bytes. Bytes do for characters: keys and patterns are UTF-8, where no character
// begins inside another, and a wildcard stands between text or at an end.
type step struct {
	kind kind
	char byte   // of exactly
	name string // of a variable
}

type kind byte

const (
	exactly  kind = iota // this byte
	one                  // any byte but "/"
	several              // any number of bytes but "/"
	anything             // any number of bytes
)

func (s step) repeats() bool { return s.kind == several || s.kind == anything }

// literal is the steps that only this text matches.
func literal(text string) []step {
	steps := make([]step, len(text))
	for i := range steps {
		steps[i].char = text[i]
	}
	return steps
}

// parsePattern reads a Pattern; where it has errors, the steps are of no use.
func parsePattern(pattern string) (steps []step, errs []string) {
	seen := map[string]bool{}
	before := "" // the wildcard that ends where we are
	for rest := pattern; rest != ""; {
		wildcard := ""
		switch {
		case rest[0] == '{':
			name, _, closed := strings.Cut(rest[1:], "}")
			if !closed {
				return nil, append(errs, fmt.Sprintf("%s is not closed; write {variable}", quote(rest)))
			}
			wildcard = rest[:len(name)+2]
			if !variableName(name) {
				errs = append(errs, fmt.Sprintf("%s must be a lower-case letter and then letters or digits, as in {customer}", quote(wildcard)))
			} else if seen[name] {
				errs = append(errs, fmt.Sprintf("%s stands twice; give each variable a name of its own", quote(wildcard)))
			}
			seen[name] = true
			steps = append(steps, step{kind: one, name: name}, step{kind: several, name: name})
		case strings.HasPrefix(rest, "**"):
			wildcard = "**"
			steps = append(steps, step{kind: anything})
		case rest[0] == '*':
			wildcard = "*"
			steps = append(steps, step{kind: several})
		default:
			steps = append(steps, step{char: rest[0]})
		}
		if before != "" && wildcard != "" {
			errs = append(errs, fmt.Sprintf("%s is two wildcards in a row; put text between them", quote(before+wildcard)))
		}
		before = wildcard
		rest = rest[max(1, len(wildcard)):]
	}
	return steps, errs
}

func variableName(name string) bool {
	for i, c := range []byte(name) {
		if lower := 'a' <= c && c <= 'z'; !lower && (i == 0 || !('A' <= c && c <= 'Z' || '0' <= c && c <= '9')) {
			return false
		}
	}
	return name != ""
}

// meet finds a short text that both match, and what the variables of a hold in
// it. It takes time and memory in proportion to len(a) * len(b), whatever they are.
func meet(a, b []step) (text string, variables map[string]string, ok bool) {
	// can[i*width+j]: some text is matched by a[i:] and by b[j:].
	width := len(b) + 1
	can := make([]bool, (len(a)+1)*width)
	skipA := func(i, j int) bool { return i < len(a) && a[i].repeats() && can[(i+1)*width+j] }
	skipB := func(i, j int) bool { return j < len(b) && b[j].repeats() && can[i*width+j+1] }
	// Where both repeat, a byte that both take can as well be left out.
	take := func(i, j int) (nextI, nextJ int, c byte, ok bool) {
		if i == len(a) || j == len(b) || a[i].repeats() && b[j].repeats() {
			return 0, 0, 0, false
		}
		if c, ok = common(a[i], b[j]); !ok {
			return 0, 0, 0, false
		}
		if nextI, nextJ = i, j; !a[i].repeats() {
			nextI++
		}
		if !b[j].repeats() {
			nextJ++
		}
		return nextI, nextJ, c, can[nextI*width+nextJ]
	}
	for i := len(a); i >= 0; i-- {
		for j := len(b); j >= 0; j-- {
			ok := i == len(a) && j == len(b) || skipA(i, j) || skipB(i, j)
			if !ok {
				_, _, _, ok = take(i, j)
			}
			can[i*width+j] = ok
		}
	}
	if !can[0] {
		return "", nil, false
	}
	var found []byte
	variables = map[string]string{}
	for i, j := 0, 0; i < len(a) || j < len(b); {
		switch { // the order makes a wildcard of a take as little as it can
		case skipA(i, j):
			i++
		case skipB(i, j):
			j++
		default:
			nextI, nextJ, c, _ := take(i, j)
			if name := a[i].name; name != "" {
				variables[name] += string([]byte{c})
			}
			found = append(found, c)
			i, j = nextI, nextJ
		}
	}
	return string(found), variables, true
}

// common is a byte that both steps take.
func common(a, b step) (byte, bool) {
	if a.kind != exactly {
		a, b = b, a
	}
	if a.kind != exactly {
		return 'x', true
	}
	switch b.kind {
	case exactly:
		return a.char, a.char == b.char
	case anything:
		return a.char, true
	default:
		return a.char, a.char != '/'
	}
}
