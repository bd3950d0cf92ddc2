package ledger

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// ErrInexact means that DynamoDB can't hold an output exactly as it was received.
// Store the bytes elsewhere.
var ErrInexact = errors.New("ledger: DynamoDB can't hold the output exactly")

// What DynamoDB holds.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
const (
	maxDigits   = 38
	maxExponent = 125  // of the first digit: 9.99…E+125
	minExponent = -130 // 1E-130
	maxDepth    = 31   // 32 levels, of which the attribute itself is one
	// maxOutputBytes leaves room for the other attributes in an item of 400 KB.
	maxOutputBytes = 370 * 1000
)

// Output is a result of Extend, taken apart once: [NewOutput] finds out all that the
// ledger has to know of it.
type Output struct {
	text      json.RawMessage
	canonical []byte
	attribute types.AttributeValue // nil if DynamoDB can't hold it exactly
	inexact   error
}

// maxSorted bounds the outputs whose names are put in order for the digest, which
// takes many times their size.
const maxSorted = 1 << 20

// NewOutput takes JSON text as it was received. The error means that it is not JSON.
func NewOutput(text json.RawMessage) (*Output, error) {
	if !json.Valid(text) {
		return nil, fmt.Errorf("ledger: output: %w", json.Unmarshal(text, new(any)))
	}
	r := reader{text: text, utf8: utf8.Valid(text), canonicalizes: len(text) <= maxSorted}
	if !r.utf8 {
		r.refuse("it is not UTF-8")
	}
	attribute := r.value(1)
	o := &Output{text: text, canonical: r.canonical, inexact: r.inexact}
	if o.inexact == nil {
		o.attribute = attribute
	}
	if !r.canonicalizes {
		var err error
		if o.canonical, err = json.Marshal(text); err != nil { // only the spacing goes
			return nil, fmt.Errorf("ledger: output: %w", err)
		}
	}
	return o, nil
}

// Text is the JSON as it was received.
func (o *Output) Text() json.RawMessage { return o.text }

// Inline is nil if a record can hold the output exactly. Else the error wraps
// [ErrInexact] and names the rule, and a record takes the output's location only.
func (o *Output) Inline() error { return o.inexact }

// Canonical is JSON that is the same for the same content, however that is spaced and
// escaped and, except for outputs over a megabyte, whatever the order of its names. A
// digest is made of it. It must not be changed.
func (o *Output) Canonical() []byte { return o.canonical }

// EncodeOutput turns JSON text into the attribute that a record has inline: numbers go
// digit by digit from the text to DynamoDB's decimal N, never through a float. The
// error wraps [ErrInexact] and names the rule, when DynamoDB can't hold the value
// exactly; any other error means that it is not JSON.
func EncodeOutput(text json.RawMessage) (types.AttributeValue, error) {
	o, err := NewOutput(text)
	if err != nil {
		return nil, err
	}
	return o.attribute, o.inexact
}

// reader takes JSON text apart in one pass: the attribute, and beside it the canonical
// text. The text is known to be valid, so that commas and colons are mere spacing.
type reader struct {
	text []byte
	utf8 bool // the text is valid UTF-8
	at   int

	canonicalizes bool
	canonical     []byte
	members       []member // of the objects that the reader is in
	scratch       []byte

	// size is what DynamoDB counts.
	// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
	size int
	// inexact is why there is no attribute: the first reason that was met.
	inexact error
}

// member is a member of an object, and where it is in the canonical text.
type member struct {
	name       string
	start, end int
}

func (r *reader) refuse(format string, args ...any) {
	if r.inexact == nil {
		r.inexact = fmt.Errorf("%w: %s", ErrInexact, fmt.Sprintf(format, args...))
	}
}

func (r *reader) grow(n int) {
	if r.size += n; r.size > maxOutputBytes {
		r.refuse("it takes over %d bytes of an item", maxOutputBytes)
	}
}

// done reports whether the rest of the text does not matter.
func (r *reader) done() bool { return r.inexact != nil && !r.canonicalizes }

func (r *reader) write(text ...byte) {
	if r.canonicalizes {
		r.canonical = append(r.canonical, text...)
	}
}

// more moves to the next value or name of a list or an object, or past its end.
func (r *reader) more(closing byte) bool {
	r.skip()
	if r.text[r.at] == closing {
		r.at++
		r.write(closing)
		return false
	}
	return true
}

func (r *reader) skip() {
	for strings.IndexByte(" \t\r\n,:", r.text[r.at]) >= 0 {
		r.at++
	}
}

// value reads a value. What it returns is good for nothing once there is a reason
// that the output is inexact.
func (r *reader) value(depth int) types.AttributeValue {
	r.skip()
	c := r.text[r.at]
	if c == '{' || c == '[' {
		if depth > maxDepth {
			r.refuse("it is nested deeper than %d levels", maxDepth)
		}
		if r.done() {
			return nil
		}
		r.at++
		r.write(c)
		r.grow(3)
		if c == '{' {
			return r.object(depth)
		}
		return r.list(depth)
	}
	if c == '"' {
		s := r.string()
		r.grow(len(s))
		return &types.AttributeValueMemberS{Value: s}
	}
	start := r.at
	for r.at < len(r.text) && strings.IndexByte(" \t\r\n,]}", r.text[r.at]) < 0 {
		r.at++
	}
	word := r.text[start:r.at]
	r.write(word...)
	switch c {
	case 'n':
		r.grow(1)
		return &types.AttributeValueMemberNULL{Value: true}
	case 't', 'f':
		r.grow(1)
		return &types.AttributeValueMemberBOOL{Value: c == 't'}
	}
	n, err := exactNumber(string(word))
	if err != nil && r.inexact == nil {
		r.inexact = err
	}
	r.grow(len(n)/2 + 3)
	return &types.AttributeValueMemberN{Value: n}
}

func (r *reader) list(depth int) types.AttributeValue {
	list := []types.AttributeValue{}
	for n := 0; r.more(']'); n++ {
		if n > 0 {
			r.write(',')
		}
		v := r.value(depth + 1)
		if r.done() {
			return nil
		}
		if r.inexact == nil {
			list = append(list, v)
		}
		r.grow(1)
	}
	return &types.AttributeValueMemberL{Value: list}
}

func (r *reader) object(depth int) types.AttributeValue {
	members := map[string]types.AttributeValue{}
	mine := len(r.members)
	for r.more('}') {
		if len(r.members) > mine {
			r.write(',')
		}
		start := len(r.canonical)
		name := r.string()
		if name == "" {
			r.refuse("it has an empty name")
		}
		if _, twice := members[name]; twice {
			r.refuse("it has the name %q twice in one object", name)
		}
		r.write(':')
		v := r.value(depth + 1)
		if r.done() {
			return nil
		}
		if r.inexact == nil {
			members[name] = v
		}
		r.grow(len(name) + 1)
		r.members = append(r.members, member{name, start, len(r.canonical)})
	}
	r.sort(r.members[mine:])
	r.members = r.members[:mine]
	return &types.AttributeValueMemberM{Value: members}
}

// sort puts the members of the object that was read last in the order of their names.
// Of those with one name the last counts, as encoding/json has it.
func (r *reader) sort(members []member) {
	ascending := true
	for i := 1; i < len(members); i++ {
		ascending = ascending && members[i-1].name < members[i].name
	}
	if ascending || !r.canonicalizes {
		return
	}
	first := members[0].start
	r.scratch = append(r.scratch[:0], r.canonical[first:]...)
	r.canonical = r.canonical[:first]
	slices.SortStableFunc(members, func(a, b member) int { return strings.Compare(a.name, b.name) })
	for i, m := range members {
		if i+1 < len(members) && members[i+1].name == m.name {
			continue
		}
		if len(r.canonical) > first {
			r.write(',')
		}
		r.write(r.scratch[m.start-first : m.end-first]...)
	}
	r.write('}')
}

// string reads a string. It is inexact where the decoder drops something.
func (r *reader) string() string {
	plain, writable := r.utf8, true
	end := r.at + 1
	for ; r.text[end] != '"'; end++ {
		switch r.text[end] {
		case '\\':
			plain = false
			end++
		case '<', '>', '&', 0xE2: // encoding/json escapes these, and U+2028 and U+2029, which begin with E2
			writable = false
		}
	}
	quoted := r.text[r.at : end+1]
	r.at = end + 1
	if plain && writable {
		r.write(quoted...)
		return string(quoted[1 : len(quoted)-1])
	}
	var s string
	_ = json.Unmarshal(quoted, &s) // it is valid
	if HalfSurrogate(quoted) {
		r.refuse("a string has half of a surrogate pair")
	}
	if r.canonicalizes {
		text, _ := json.Marshal(s) // a string is never refused
		r.write(text...)
	}
	return s
}

// HalfSurrogate reports whether half of a surrogate pair is escaped in a string of JSON
// text. The decoder puts U+FFFD in its place.
func HalfSurrogate(text []byte) bool {
	unit := func(i int) rune { // the UTF-16 unit that is escaped at i, or -1
		if i+6 > len(text) || text[i] != '\\' || text[i+1] != 'u' {
			return -1
		}
		n, err := strconv.ParseUint(string(text[i+2:i+6]), 16, 16)
		if err != nil {
			return -1
		}
		return rune(n)
	}
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' {
			continue
		}
		if c := unit(i); utf16.IsSurrogate(c) {
			if utf16.DecodeRune(c, unit(i+6)) == utf8.RuneError {
				return true
			}
			i += 10 // the other half, too
		}
		i++ // what is escaped may be a backslash
	}
	return false
}

// exactNumber is the JSON number as DynamoDB takes it, or an error when it has
// more digits or a larger or smaller exponent than DynamoDB keeps.
func exactNumber(text string) (string, error) {
	mantissa, exponent := text, 0
	if i := strings.IndexAny(text, "eE"); i >= 0 {
		mantissa, exponent = text[:i], exponentOf(text[i+1:])
	}
	sign := ""
	if strings.HasPrefix(mantissa, "-") {
		sign, mantissa = "-", mantissa[1:]
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := whole + fraction
	exponent -= len(fraction) // value = digits × 10^exponent
	trimmed := strings.TrimRight(digits, "0")
	exponent += len(digits) - len(trimmed)
	trimmed = strings.TrimLeft(trimmed, "0")
	if trimmed == "" {
		return "0", nil // DynamoDB has one zero; -0 is the same number
	}
	if len(trimmed) > maxDigits {
		return "", fmt.Errorf("%w: a number has %d significant digits, over %d", ErrInexact, len(trimmed), maxDigits)
	}
	if first := exponent + len(trimmed) - 1; first > maxExponent || first < minExponent {
		return "", fmt.Errorf("%w: a number is outside ±1E%d to ±9.99E+%d", ErrInexact, minExponent, maxExponent)
	}
	if exponent == 0 {
		return sign + trimmed, nil
	}
	if exponent < 0 && -exponent <= len(whole)+len(fraction) && !strings.ContainsAny(text, "eE") {
		return text, nil // an ordinary decimal, as it was written
	}
	if exponent > 0 && exponent+len(trimmed) <= maxDigits {
		return sign + trimmed + strings.Repeat("0", exponent), nil
	}
	return sign + trimmed + "E" + strconv.Itoa(exponent), nil
}

// beyond is an exponent that no digits of an output make up for.
const beyond = 1_000_000_000

// exponentOf is the exponent that JSON writes so. One of many digits is beyond, whatever it
// is: to compute it from megabytes of them takes minutes.
func exponentOf(text string) int {
	sign := 1
	switch text[0] {
	case '-':
		sign, text = -1, text[1:]
	case '+':
		text = text[1:]
	}
	text = strings.TrimLeft(text, "0")
	if len(text) > 9 {
		return sign * beyond
	}
	n, _ := strconv.Atoi(text) // digits, or none, which are 0
	return sign * n
}

// DecodeOutput turns an attribute back into JSON text. Names come in sorted
// order: DynamoDB keeps none.
func DecodeOutput(v types.AttributeValue) (json.RawMessage, error) {
	plain, err := plainValue(v)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(plain); err != nil {
		return nil, fmt.Errorf("ledger: output: %w", err)
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}

func plainValue(v types.AttributeValue) (any, error) {
	switch v := v.(type) {
	case *types.AttributeValueMemberNULL:
		return nil, nil
	case *types.AttributeValueMemberBOOL:
		return v.Value, nil
	case *types.AttributeValueMemberN:
		return json.Number(v.Value), nil
	case *types.AttributeValueMemberS:
		return v.Value, nil
	case *types.AttributeValueMemberL:
		list := make([]any, len(v.Value))
		for i, item := range v.Value {
			var err error
			if list[i], err = plainValue(item); err != nil {
				return nil, err
			}
		}
		return list, nil
	case *types.AttributeValueMemberM:
		members := make(map[string]any, len(v.Value))
		for name, item := range v.Value {
			var err error
			if members[name], err = plainValue(item); err != nil {
				return nil, err
			}
		}
		return members, nil
	}
	return nil, fmt.Errorf("ledger: output: an attribute of type %T was not written by this software", v)
}
