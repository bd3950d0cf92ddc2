package ledger

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"extend-intake/shared/rawjson"
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
	canonical []byte // nil if the text is over maxSorted
	attribute []byte // as DynamoDB's API writes it; nil if DynamoDB can't hold it exactly
	inexact   error
}

// maxSorted bounds the outputs whose names are put in order for the digest.
const maxSorted = 1 << 20

// NewOutput takes JSON text as it was received. The error means that it is not JSON.
func NewOutput(text json.RawMessage) (*Output, error) {
	r := reader{text: text, utf8: utf8.Valid(text), canonicalizes: len(text) <= maxSorted}
	if !r.utf8 {
		r.refuse("it is not UTF-8")
	}
	if !r.read() {
		return nil, fmt.Errorf("ledger: output: %w", json.Unmarshal(text, new(any)))
	}
	return &Output{text: text, canonical: r.canonical, attribute: r.attribute, inexact: r.inexact}, nil
}

// Text is the JSON as it was received.
func (o *Output) Text() json.RawMessage { return o.text }

// Inline is nil if a record can hold the output exactly. Else the error wraps
// [ErrInexact] and names the rule, and a record takes the output's location only.
func (o *Output) Inline() error { return o.inexact }

// WriteCanonical writes JSON that is the same for the same content, however that is spaced
// and, except for outputs over a megabyte, escaped, and whatever the order of its names. A
// digest is made of it. The error is the writer's.
func (o *Output) WriteCanonical(w io.Writer) error {
	if o.canonical == nil {
		return rawjson.Compact(w, o.text)
	}
	_, err := w.Write(o.canonical)
	return err
}

// EncodeOutput turns JSON text into the attribute that a record has inline: numbers go
// digit by digit from the text to DynamoDB's decimal N, never through a float. The
// error wraps [ErrInexact] and names the rule, when DynamoDB can't hold the value
// exactly; any other error means that it is not JSON.
func EncodeOutput(text json.RawMessage) (types.AttributeValue, error) {
	o, err := NewOutput(text)
	if err != nil {
		return nil, err
	}
	if o.inexact != nil {
		return nil, o.inexact
	}
	return attributevalue.UnmarshalJSON(o.attribute)
}

// HalfSurrogate reports whether half of a surrogate pair is escaped in a string of JSON
// text. The decoder puts U+FFFD in its place.
func HalfSurrogate(text []byte) bool {
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' {
			continue
		}
		if c := rawjson.Unit(text, i); utf16.IsSurrogate(c) {
			if utf16.DecodeRune(c, rawjson.Unit(text, i+6)) == utf8.RuneError {
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
