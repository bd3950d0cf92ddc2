package fakeextend

import (
	"bytes"
	"encoding/json"
	"strings"
)

// A Change alters JSON text on its way out: a run in an answer or a delivery, or
// a whole body. What the fake itself knows stays as it is. The zero Change
// changes nothing.
//
// A Change works on text and not on values, so that what it writes need not be
// JSON at all.
type Change struct {
	Name  string                   // for traces and for the names of tests
	Apply func(text []byte) []byte // leaves its argument as it is
}

func (c Change) apply(text []byte) []byte {
	if c.Apply == nil {
		return text
	}
	return c.Apply(text)
}

// Set gives the member of an object this value, in place or at the end. The
// value is sent as it stands, JSON or not. What is no object becomes one.
func Set(name, value string) Change {
	return Change{name + " is " + shortened(value), func(text []byte) []byte { return setMember(text, name, []byte(value)) }}
}

// Drop leaves the member of an object out.
func Drop(name string) Change {
	return Change{name + " is left out", func(text []byte) []byte { return dropMember(text, name) }}
}

// Within changes the value of a member. What is absent or no object counts as
// the empty object.
func Within(name string, c Change) Change {
	return Change{"in " + name + ": " + c.Name, func(text []byte) []byte {
		value, _ := rawMember(text, name)
		if !bytes.HasPrefix(value, []byte("{")) {
			value = []byte("{}")
		}
		return setMember(text, name, c.apply(value))
	}}
}

// Respell writes the value of a member in another way, such as [AsText]. An
// absent member stays absent.
func Respell(name string, f func(value string) string) Change {
	return Change{name + " is respelt", func(text []byte) []byte {
		value, ok := rawMember(text, name)
		if !ok {
			return text
		}
		return setMember(text, name, []byte(f(string(value))))
	}}
}

// RespellAll is [Respell] for every member.
func RespellAll(f func(value string) string) Change {
	return Change{"every member is respelt", func(text []byte) []byte {
		found, _, _ := scanObject(text)
		out := text
		for _, m := range found {
			out = setMember(out, m.name, []byte(f(string(m.value(text)))))
		}
		return out
	}}
}

// Replace puts this text in place of all of it.
func Replace(text string) Change {
	return Change{"all is " + shortened(text), func([]byte) []byte { return []byte(text) }}
}

// All applies changes one after another.
func All(changes ...Change) Change {
	var names []string
	for _, c := range changes {
		names = append(names, c.Name)
	}
	return Change{strings.Join(names, ", "), func(text []byte) []byte {
		for _, c := range changes {
			text = c.apply(text)
		}
		return text
	}}
}

// AsText writes a JSON value as a string that holds it: 1 as "1", an object as
// its text. Strings stay.
func AsText(value string) string {
	if strings.HasPrefix(value, `"`) {
		return value
	}
	return string(quote(value))
}

// AsFloat writes a whole number as what has gone through a float: 1 as 1.0.
// Other values stay.
func AsFloat(value string) string {
	if value == "" || strings.Trim(value, "-0123456789") != "" {
		return value
	}
	return value + ".0"
}

// Decomposed writes the strings of a JSON value, at any depth, with letter and
// mark apart (Unicode's form NFD): ü as u and U+0308. It knows the letters of
// Europe, kana and Hangul. [Composed] is its opposite (NFC).
func Decomposed(value string) string { return eachString(value, decompose) }

// Composed writes the strings of a JSON value, at any depth, with letter and
// mark in one (Unicode's form NFC).
func Composed(value string) string { return eachString(value, compose) }

// eachString rewrites the strings in a JSON text, names included.
func eachString(text string, f func(string) string) string {
	var out strings.Builder
	for i := 0; i < len(text); {
		if text[i] != '"' {
			out.WriteByte(text[i])
			i++
			continue
		}
		end := stringEnd([]byte(text), i)
		var s string
		if json.Unmarshal([]byte(text[i:end]), &s) == nil && f(s) != s {
			out.Write(quote(f(s)))
		} else {
			out.WriteString(text[i:end])
		}
		i = end
	}
	return out.String()
}

// A member is where one stands in the text of an object.
type member struct {
	name                   string
	start, valueStart, end int // of the name, of the value, behind it
}

func (m member) value(text []byte) []byte { return text[m.valueStart:m.end] }

// scanObject finds the members of an object. Only quotes, braces and commas have
// to be right: a change may come after one that left no JSON behind. closing is
// where the last brace stands.
func scanObject(text []byte) (found []member, closing int, ok bool) {
	i := skipSpace(text, 0)
	if i == len(text) || text[i] != '{' {
		return nil, 0, false
	}
	for i = skipSpace(text, i+1); i < len(text) && text[i] == '"'; i = skipSpace(text, i) {
		m := member{start: i}
		i = stringEnd(text, i)
		m.name, _ = textOf(text[m.start:i])
		if i = skipSpace(text, i); i == len(text) || text[i] != ':' {
			return nil, 0, false
		}
		m.valueStart = skipSpace(text, i+1)
		i = valueEnd(text, m.valueStart)
		m.end = m.valueStart + len(bytes.TrimRight(text[m.valueStart:i], " \t\r\n"))
		found = append(found, m)
		if i < len(text) && text[i] == ',' {
			i = skipSpace(text, i+1)
		}
	}
	return found, i, i < len(text) && text[i] == '}'
}

func skipSpace(text []byte, i int) int {
	for i < len(text) && (text[i] == ' ' || text[i] == '\t' || text[i] == '\r' || text[i] == '\n') {
		i++
	}
	return i
}

// stringEnd returns where the string that begins at i is over.
func stringEnd(text []byte, i int) int {
	for i++; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(text)
}

// valueEnd returns where the comma or brace behind the value at i stands.
func valueEnd(text []byte, i int) int {
	for depth := 0; i < len(text); {
		switch text[i] {
		case '"':
			i = stringEnd(text, i)
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return i
			}
			depth--
		case ',':
			if depth == 0 {
				return i
			}
		}
		i++
	}
	return len(text)
}

// rawMember returns the value of an object's member, the last one of that name.
func rawMember(text []byte, name string) (json.RawMessage, bool) {
	found, _, _ := scanObject(text)
	for i := len(found) - 1; i >= 0; i-- {
		if found[i].name == name {
			return bytes.Clone(found[i].value(text)), true
		}
	}
	return nil, false
}

// setMember replaces the value of an object's member wherever the name stands,
// or appends it. All other bytes stay as they are.
func setMember(text []byte, name string, value []byte) []byte {
	found, closing, ok := scanObject(text)
	if !ok {
		var o object
		return o.raw(name, value).bytes()
	}
	var out []byte
	copied := 0
	for _, m := range found {
		if m.name == name {
			out = append(append(out, text[copied:m.valueStart]...), value...)
			copied = m.end
		}
	}
	if copied > 0 {
		return append(out, text[copied:]...)
	}
	out = append(out, text[:closing]...)
	if len(found) > 0 {
		out = append(out, ',')
	}
	out = append(append(append(out, quote(name)...), ':'), value...)
	return append(out, text[closing:]...)
}

// dropMember removes an object's member wherever its name stands.
func dropMember(text []byte, name string) []byte {
	found, closing, ok := scanObject(text)
	if !ok {
		return text
	}
	out := append([]byte(nil), text[:bytes.IndexByte(text, '{')+1]...)
	left := 0
	for _, m := range found {
		if m.name == name {
			continue
		}
		if left++; left > 1 {
			out = append(out, ',')
		}
		out = append(out, text[m.start:m.end]...)
	}
	return append(out, text[closing:]...)
}

// textOf is text, for what may be no JSON: then it is taken as it stands.
func textOf(raw []byte) (string, bool) {
	if s, ok := text(raw); ok {
		return s, true
	}
	return string(bytes.Trim(raw, `"`)), false
}

// shortened is a text for a name.
func shortened(text string) string {
	const most = 40
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}
