// Package loose reads JSON of which only a part matters. It takes an object or a list apart without a judgement on what the
// members hold, so that a member which nobody needs, or which is no JSON at all, does not make the others unreadable.
package loose

import (
	"bytes"
	"encoding/json"
	"errors"

	"extend-intake/shared/rawjson"
)

// Object is the members of an object, each as it is written. The last of several with the same name counts.
type Object map[string]json.RawMessage

// Of returns a member as a T, and the zero value where it is absent, null, or anything but a T.
func Of[T any](o Object, name string) T {
	var v, none T
	if json.Unmarshal(o[name], &v) != nil {
		return none
	}
	return v
}

// Raw returns a member's bytes, nil where it is absent or no JSON.
func (o Object) Raw(name string) json.RawMessage {
	if !rawjson.Valid(o[name]) {
		return nil
	}
	return o[name]
}

// Has reports whether there is a member of that name that is not null, whatever it is.
func (o Object) Has(name string) bool {
	raw, ok := o[name]
	return ok && string(raw) != "null"
}

// SplitObject returns the members of an object. They share the memory of raw.
func SplitObject(raw []byte) (Object, error) {
	o := Object{}
	err := split(raw, '{', '}', func(name string, value []byte) { o[name] = value })
	if err != nil {
		return nil, err
	}
	return o, nil
}

// SplitList returns the elements of a list. They share the memory of raw.
func SplitList(raw []byte) ([]json.RawMessage, error) {
	list := []json.RawMessage{}
	err := split(raw, '[', ']', func(_ string, value []byte) { list = append(list, value) })
	if err != nil {
		return nil, err
	}
	return list, nil
}

const space = " \t\r\n"

// split walks through an object or a list, and no deeper: in a value it only looks for the end.
func split(raw []byte, open, end byte, member func(name string, value []byte)) error {
	rest := bytes.TrimLeft(raw, space)
	if len(rest) == 0 || rest[0] != open {
		return whyNot(raw, open)
	}
	rest = bytes.TrimLeft(rest[1:], space)
	for first := true; ; first = false {
		if first && len(rest) > 0 && rest[0] == end {
			break
		}
		name := ""
		if open == '{' {
			n := text(rest)
			if n == 0 || json.Unmarshal(rest[:n], &name) != nil {
				return whyNot(raw, open)
			}
			if rest = bytes.TrimLeft(rest[n:], space); len(rest) == 0 || rest[0] != ':' {
				return whyNot(raw, open)
			}
			rest = rest[1:]
		}
		n := value(rest)
		if n == len(rest) {
			return whyNot(raw, open)
		}
		member(name, bytes.Trim(rest[:n], space))
		if rest[n] == end {
			rest = rest[n:]
			break
		}
		if rest[n] != ',' {
			return whyNot(raw, open)
		}
		rest = bytes.TrimLeft(rest[n+1:], space)
	}
	if len(bytes.TrimLeft(rest[1:], space)) > 0 {
		return whyNot(raw, open)
	}
	return nil
}

// text is the length of the string that b begins with, 0 if there is none.
func text(b []byte) int {
	if len(b) == 0 || b[0] != '"' {
		return 0
	}
	if end, _ := rawjson.String(b, 0); end > 0 {
		return end
	}
	for i := 1; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return 0
}

// value is the length of the value that b begins with: up to a comma or a closing bracket that belongs to none of its own.
func value(b []byte) int {
	if end := rawjson.Value(b, rawjson.Space(b, 0), 0); end > 0 { // it mostly is JSON
		if end = rawjson.Space(b, end); end < len(b) && (b[end] == ',' || b[end] == '}' || b[end] == ']') {
			return end
		}
	}
	depth := 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			n := text(b[i:])
			if n == 0 {
				return len(b)
			}
			i += n - 1
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
	}
	return len(b)
}

// whyNot is what encoding/json says.
func whyNot(raw []byte, open byte) error {
	var v any = new(map[string]json.RawMessage)
	if open == '[' {
		v = new([]json.RawMessage)
	}
	if err := json.Unmarshal(raw, v); err != nil {
		return err
	}
	return errors.New("neither an object nor a list") // null
}
