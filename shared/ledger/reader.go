package ledger

import (
	"bytes"
	"fmt"

	"extend-intake/shared/rawjson"
)

// reader reads the JSON text of an output once. In the one pass it finds out whether it is
// JSON and whether DynamoDB can hold it exactly, and writes the attribute and beside it the
// canonical text.
type reader struct {
	text []byte
	utf8 bool // the text is valid UTF-8
	at   int

	canonicalizes bool
	canonical     []byte
	members       members // of the objects that the reader is in
	decoded       []byte  // the last string that had to be

	// attribute is the JSON in which DynamoDB's API writes the value. It is written here and
	// not by the SDK, for which each value is first an object in memory: that took most of
	// the time of a large delivery.
	// https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_AttributeValue.html
	attribute []byte
	// size is what DynamoDB counts.
	// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
	size int
	// inexact is why there is no attribute: the first reason that was met.
	inexact error
}

// read reads the whole text. It reports whether it is JSON.
func (r *reader) read() bool {
	if !r.canonicalizes && !rawjson.Valid(r.text) {
		return false // the rest is not read once there is a reason against an attribute
	}
	if r.canonicalizes {
		r.canonical = make([]byte, 0, len(r.text))
	}
	if r.inexact == nil {
		r.attribute = make([]byte, 0, min(2*len(r.text), 3*maxOutputBytes)+64)
	}
	r.members.text = r.text
	r.at = rawjson.Space(r.text, 0)
	if r.value(1) {
		return rawjson.Space(r.text, r.at) == len(r.text)
	}
	return r.done()
}

func (r *reader) refuse(format string, args ...any) {
	if r.inexact == nil {
		r.inexact = fmt.Errorf("%w: %s", ErrInexact, fmt.Sprintf(format, args...))
		r.attribute = nil
	}
}

func (r *reader) grow(n int) {
	if r.size += n; r.size > maxOutputBytes {
		r.refuse("it takes over %d bytes of an item", maxOutputBytes)
	}
}

// done reports whether the rest of the text does not matter.
func (r *reader) done() bool { return r.inexact != nil && !r.canonicalizes }

// put writes to the attribute.
func (r *reader) put(text string) {
	if r.inexact == nil {
		r.attribute = append(r.attribute, text...)
	}
}

func (r *reader) putBytes(text []byte) {
	if r.inexact == nil {
		r.attribute = append(r.attribute, text...)
	}
}

// write writes to the canonical text.
func (r *reader) write(text ...byte) {
	if r.canonicalizes {
		r.canonical = append(r.canonical, text...)
	}
}

// value reads a value. It reports whether it is JSON, and goes no further if that does not
// matter.
func (r *reader) value(depth int) bool {
	if r.at >= len(r.text) {
		return false
	}
	start := r.at
	switch c := r.text[start]; c {
	case '{', '[':
		if depth > maxDepth {
			if r.refuse("it is nested deeper than %d levels", maxDepth); depth > rawjson.MaxDepth {
				return false
			}
		}
		r.at = rawjson.Space(r.text, start+1)
		r.write(c)
		r.grow(3)
		if c == '{' {
			return r.object(depth)
		}
		return r.list(depth)
	case '"':
		r.put(`{"S":`)
		quoted, text, ok := r.string()
		if !ok {
			return false
		}
		r.grow(len(text))
		r.putBytes(quoted)
		r.put(`}`)
		return true
	case 'n', 't', 'f':
		if r.at = rawjson.Value(r.text, start, 0); r.at < 0 {
			return false
		}
		word := r.text[start:r.at]
		r.grow(1)
		r.write(word...)
		if c == 'n' {
			r.put(`{"NULL":true}`)
		} else {
			r.put(`{"BOOL":`)
			r.putBytes(word)
			r.put(`}`)
		}
		return true
	}
	return r.number()
}

func (r *reader) number() bool {
	end, t := rawjson.Number(r.text, r.at)
	if end < 0 {
		return false
	}
	word := r.text[r.at:end]
	r.at = end
	r.write(word...)
	n := len(word)
	last := word[n-1]
	if t&rawjson.Exponent == 0 && n <= maxDigits && (last != '0' || t == 0 && word[0] != '-') {
		r.put(`{"N":"`) // most are as DynamoDB takes them
		r.putBytes(word)
	} else {
		exact, err := exactNumber(string(word))
		if err != nil && r.inexact == nil {
			r.inexact, r.attribute = err, nil
		}
		n = len(exact)
		r.put(`{"N":"`)
		r.put(exact)
	}
	r.put(`"}`)
	r.grow(n/2 + 3)
	return true
}

func (r *reader) list(depth int) bool {
	r.put(`{"L":[`)
	for n := 0; ; n++ {
		if n == 0 && r.ends(']') {
			break
		}
		if n > 0 {
			r.write(',')
			r.put(`,`)
		}
		if !r.value(depth+1) || r.done() {
			return false
		}
		r.grow(1)
		more, ok := r.more(']')
		if !ok {
			return false
		}
		if !more {
			break
		}
	}
	r.write(']')
	r.put(`]}`)
	return true
}

func (r *reader) object(depth int) bool {
	r.put(`{"M":{`)
	first := r.members.begin()
	for n := 0; ; n++ {
		if n == 0 && r.ends('}') {
			break
		}
		if n > 0 {
			r.write(',')
			r.put(`,`)
		}
		if r.at >= len(r.text) || r.text[r.at] != '"' {
			return false
		}
		from, start := r.at, len(r.canonical)
		quoted, name, ok := r.string()
		if !ok {
			return false
		}
		if r.at = rawjson.Colon(r.text, r.at); r.at < 0 {
			return false
		}
		if len(name) == 0 {
			r.refuse("it has an empty name")
		}
		r.grow(len(name) + 1)
		m := r.members.named(from, quoted, name, start)
		r.write(':')
		r.putBytes(quoted)
		r.put(`:`)
		if !r.value(depth+1) || r.done() {
			return false
		}
		r.members.add(m, len(r.canonical))
		more, ok := r.more('}')
		if !ok {
			return false
		}
		if !more {
			break
		}
	}
	var twice []byte
	if r.canonical, twice = r.members.sort(first, r.canonical); twice != nil {
		r.refuse("it has the name %q twice in one object", twice)
	}
	r.write('}')
	r.put(`}}`)
	return true
}

// ends reads a closing bracket if it is next.
func (r *reader) ends(closing byte) bool {
	if r.at < len(r.text) && r.text[r.at] == closing {
		r.at++
		return true
	}
	return false
}

// more reads what comes after a value in a list or an object: a comma, so that there are
// more, or the closing bracket. It is not ok if it is neither.
func (r *reader) more(closing byte) (more, ok bool) {
	if r.at = rawjson.Space(r.text, r.at); r.at >= len(r.text) {
		return false, false
	}
	switch r.text[r.at] {
	case ',':
		r.at = rawjson.Space(r.text, r.at+1)
		return true, true
	case closing:
		r.at++
		return false, true
	}
	return false, false
}

// string reads a string: as it is written, and the text that it means, which is good until
// the next call. It is inexact where the decoder drops something.
func (r *reader) string() (quoted, text []byte, ok bool) {
	end, t := rawjson.String(r.text, r.at)
	if end < 0 {
		return nil, nil, false
	}
	quoted = r.text[r.at:end]
	r.at = end
	text = quoted[1 : len(quoted)-1]
	switch {
	case t&rawjson.Escaped != 0 || t&rawjson.NonASCII != 0 && !r.utf8:
		if HalfSurrogate(quoted) {
			r.refuse("a string has half of a surrogate pair")
		}
		r.decoded = rawjson.AppendText(r.decoded[:0], quoted)
		text = r.decoded
		if r.canonicalizes {
			r.canonical = rawjson.AppendQuoted(r.canonical, text, true)
		}
	case !r.canonicalizes:
	case t&rawjson.HTML != 0 || t&rawjson.NonASCII != 0 && bytes.IndexByte(text, 0xE2) >= 0: // U+2028 and U+2029 begin with E2
		r.canonical = rawjson.AppendQuoted(r.canonical, text, true)
	default:
		r.canonical = append(r.canonical, quoted...)
	}
	return quoted, text, true
}
