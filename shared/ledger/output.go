package ledger

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// ErrInexact means that DynamoDB can't hold an output exactly as it was received.
// Keep the bytes elsewhere.
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
	attribute types.AttributeValue // nil if DynamoDB can't hold it exactly
	inexact   error
}

// NewOutput takes JSON text as it was received. The error means that it is no JSON.
func NewOutput(text json.RawMessage) (*Output, error) {
	v, err := EncodeOutput(text)
	if err != nil && !errors.Is(err, ErrInexact) {
		return nil, err
	}
	return &Output{text: text, attribute: v, inexact: err}, nil
}

// Text is the JSON as it was received.
func (o *Output) Text() json.RawMessage { return o.text }

// Inline is nil if a record can hold the output exactly. Else the error wraps
// [ErrInexact] and names the rule, and a record takes the output's location only.
func (o *Output) Inline() error { return o.inexact }

// maxSorted bounds the outputs whose names are put in order for the digest, which
// takes many times their size.
const maxSorted = 1 << 20

// AddTo adds the content to a digest: the same for the same content, however it is
// spaced and, but for outputs over a megabyte, whatever the order of its names.
func (o *Output) AddTo(h hash.Hash) error {
	if o.attribute != nil {
		digest(h, o.attribute)
		return nil
	}
	if len(o.text) > maxSorted {
		h.Write(o.text)
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(o.text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return err
	}
	return json.NewEncoder(h).Encode(v)
}

// digest adds a value, each part with its kind and length before it, names in order.
func digest(h hash.Hash, v types.AttributeValue) {
	part := func(kind byte, n int) {
		var head [9]byte
		head[0] = kind
		binary.BigEndian.PutUint64(head[1:], uint64(n)) // #nosec G115 -- a length
		h.Write(head[:])
	}
	text := func(kind byte, s string) {
		part(kind, len(s))
		_, _ = io.WriteString(h, s)
	}
	switch v := v.(type) {
	case *types.AttributeValueMemberNULL:
		part('0', 0)
	case *types.AttributeValueMemberBOOL:
		text('b', strconv.FormatBool(v.Value))
	case *types.AttributeValueMemberN:
		text('n', v.Value)
	case *types.AttributeValueMemberS:
		text('s', v.Value)
	case *types.AttributeValueMemberL:
		part('l', len(v.Value))
		for _, item := range v.Value {
			digest(h, item)
		}
	case *types.AttributeValueMemberM:
		part('m', len(v.Value))
		for _, name := range slices.Sorted(maps.Keys(v.Value)) {
			text('k', name)
			digest(h, v.Value[name])
		}
	}
}

// EncodeOutput turns JSON text into an attribute, value by value: numbers go digit
// by digit from the text to DynamoDB's decimal N, never through a float. The error
// wraps [ErrInexact] and names the rule, when DynamoDB can't hold the value
// exactly; any other error means that it is not JSON.
func EncodeOutput(text json.RawMessage) (types.AttributeValue, error) {
	if !utf8.Valid(text) {
		return nil, fmt.Errorf("%w: it is not UTF-8", ErrInexact)
	}
	e := encoder{dec: json.NewDecoder(bytes.NewReader(text)), text: text}
	e.dec.UseNumber()
	v, err := e.value(1)
	if err != nil {
		return nil, err
	}
	if _, err := e.dec.Token(); err != io.EOF {
		return nil, errors.New("ledger: output: more than one JSON value")
	}
	if e.size > maxOutputBytes {
		return nil, fmt.Errorf("%w: it takes over %d bytes of an item", ErrInexact, maxOutputBytes)
	}
	return v, nil
}

type encoder struct {
	dec  *json.Decoder
	text []byte
	// size is what DynamoDB counts.
	// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
	size int
}

func (e *encoder) value(depth int) (types.AttributeValue, error) {
	if e.size > maxOutputBytes { // before more of it is taken apart
		return nil, fmt.Errorf("%w: it takes over %d bytes of an item", ErrInexact, maxOutputBytes)
	}
	t, err := e.dec.Token()
	if err != nil {
		return nil, fmt.Errorf("ledger: output: %w", err)
	}
	switch t := t.(type) {
	case nil:
		e.size++
		return &types.AttributeValueMemberNULL{Value: true}, nil
	case bool:
		e.size++
		return &types.AttributeValueMemberBOOL{Value: t}, nil
	case json.Number:
		n, err := exactNumber(t.String())
		if err != nil {
			return nil, err
		}
		e.size += len(n)/2 + 3
		return &types.AttributeValueMemberN{Value: n}, nil
	case string:
		if err := e.exactString(t); err != nil {
			return nil, err
		}
		e.size += len(t)
		return &types.AttributeValueMemberS{Value: t}, nil
	}
	if depth > maxDepth {
		return nil, fmt.Errorf("%w: it is nested deeper than %d levels", ErrInexact, maxDepth)
	}
	e.size += 3
	var v types.AttributeValue
	if t == json.Delim('[') {
		list := []types.AttributeValue{}
		for e.dec.More() {
			item, err := e.value(depth + 1)
			if err != nil {
				return nil, err
			}
			e.size++
			list = append(list, item)
		}
		v = &types.AttributeValueMemberL{Value: list}
	} else {
		members := map[string]types.AttributeValue{}
		for e.dec.More() {
			t, err := e.dec.Token()
			if err != nil {
				return nil, fmt.Errorf("ledger: output: %w", err)
			}
			name := t.(string) // the decoder accepts nothing else here
			if err := e.exactString(name); err != nil {
				return nil, err
			}
			if name == "" {
				return nil, fmt.Errorf("%w: it has an empty name", ErrInexact)
			}
			if _, twice := members[name]; twice {
				return nil, fmt.Errorf("%w: it has the name %q twice in one object", ErrInexact, name)
			}
			if members[name], err = e.value(depth + 1); err != nil {
				return nil, err
			}
			e.size += len(name) + 1
		}
		v = &types.AttributeValueMemberM{Value: members}
	}
	if _, err := e.dec.Token(); err != nil { // the closing one
		return nil, fmt.Errorf("ledger: output: %w", err)
	}
	return v, nil
}

// exactString refuses a string from which the decoder has dropped something: it
// puts U+FFFD where half of a surrogate pair was escaped.
func (e *encoder) exactString(s string) error {
	if !strings.ContainsRune(s, utf8.RuneError) {
		return nil
	}
	end := int(e.dec.InputOffset())
	start := bytes.LastIndexByte(e.text[:end-1], '"') // U+FFFD is rare: looking back is fine
	for start > 0 && escaped(e.text, start) {
		start = bytes.LastIndexByte(e.text[:start], '"')
	}
	raw := e.text[start:end]
	if halfSurrogate(raw) {
		return fmt.Errorf("%w: a string has half of a surrogate pair", ErrInexact)
	}
	return nil
}

// escaped reports whether the byte at i has an odd number of backslashes before it.
func escaped(text []byte, i int) bool {
	n := 0
	for i-n-1 >= 0 && text[i-n-1] == '\\' {
		n++
	}
	return n%2 == 1
}

// halfSurrogate reports whether half of a surrogate pair is escaped in a string. The
// decoder puts U+FFFD in its place.
func halfSurrogate(quoted []byte) bool {
	unit := func(i int) rune { // the UTF-16 unit that is escaped at i, or -1
		if i+6 > len(quoted) || quoted[i] != '\\' || quoted[i+1] != 'u' {
			return -1
		}
		n, err := strconv.ParseUint(string(quoted[i+2:i+6]), 16, 16)
		if err != nil {
			return -1
		}
		return rune(n)
	}
	for i := 0; i < len(quoted); i++ {
		if quoted[i] != '\\' {
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
		mantissa = text[:i]
		n, ok := new(big.Int).SetString(strings.TrimPrefix(text[i+1:], "+"), 10)
		if !ok {
			return "", fmt.Errorf("ledger: output: number %q", text)
		}
		if !n.IsInt64() || n.Int64() > 1e9 || n.Int64() < -1e9 {
			exponent = 1e9 * n.Sign()
		} else {
			exponent = int(n.Int64())
		}
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
