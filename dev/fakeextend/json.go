package fakeextend

import (
	"bytes"
	"encoding/json"
	"strconv"
	"time"
)

// An object writes a JSON object member by member. Unlike json.Marshal, it
// keeps raw values byte for byte (no compacting, no escaping of <), and that is
// what the fake promises for metadata and outputs.
type object struct{ buf []byte }

func (o *object) raw(name string, value []byte) *object {
	sep := byte(',')
	if len(o.buf) == 0 {
		sep = '{'
	}
	o.buf = append(o.buf, sep)
	o.buf = append(o.buf, quote(name)...)
	o.buf = append(o.buf, ':')
	o.buf = append(o.buf, value...)
	return o
}

func (o *object) text(name, value string) *object { return o.raw(name, quote(value)) }

func (o *object) flag(name string, value bool) *object {
	return o.raw(name, strconv.AppendBool(nil, value))
}

func (o *object) bytes() []byte {
	if len(o.buf) == 0 {
		return []byte("{}")
	}
	return append(o.buf, '}')
}

// list joins raw values to a JSON array.
func list(values [][]byte) []byte {
	return append(append([]byte{'['}, bytes.Join(values, []byte{','})...), ']')
}

func quote(s string) []byte {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		panic(err) // a string always encodes
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n"))
}

// spelled writes an instant in one of the three spellings that the vendor's
// examples use, chosen by n.
func spelled(t time.Time, n int) string {
	switch t = t.UTC(); n % 3 {
	case 0:
		return t.Format("2006-01-02T15:04:05Z")
	case 1:
		return t.Format("2006-01-02T15:04:05.000Z")
	default:
		return t.Format("2006-01-02T15:04:05.000000+00:00")
	}
}

// members returns the members of a JSON object, or false if raw is none.
func members(raw []byte) (map[string]json.RawMessage, bool) {
	var m map[string]json.RawMessage
	if err := json.Unmarshal(raw, &m); err != nil || m == nil {
		return nil, false
	}
	return m, true
}

// text returns a JSON string's value, or false if raw is none.
func text(raw []byte) (string, bool) {
	var s *string
	if err := json.Unmarshal(raw, &s); err != nil || s == nil {
		return "", false
	}
	return *s, true
}
