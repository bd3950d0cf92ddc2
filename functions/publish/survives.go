package publish

import (
	"bytes"
	"encoding/json"
	"math/big"
	"strconv"
	"strings"
	"unicode/utf8"

	"extend-intake/shared/ledger"
	"extend-intake/shared/queue"
)

// survives reports whether an output comes to every reader as it is. On the way,
// EventBridge writes its JSON anew, a queue may be a rule's target or take what a target
// failed, and the reader's language parses it before any code of the reader's does.
func survives(output json.RawMessage) bool {
	// The decoder would put U+FFFD in the place of both.
	if !utf8.Valid(output) || ledger.HalfSurrogate(output) {
		return false
	}
	d := json.NewDecoder(bytes.NewReader(output))
	d.UseNumber()
	return valueSurvives(d, 0)
}

// maxNesting is how deep an output is nested at most. A record's own output is never deeper,
// for DynamoDB holds no more. Parsers on the way do: .NET's takes 64 levels, Ruby's 100, and
// the event and what a target wraps it in come on top.
const maxNesting = 32

// valueSurvives reads one value, which is in so many others.
func valueSurvives(d *json.Decoder, depth int) bool {
	token, err := d.Token()
	if err != nil {
		return false
	}
	switch t := token.(type) {
	case json.Number:
		return numberSurvives(t.String())
	case string:
		// An escaped character counts like a raw one: how EventBridge writes it is not known,
		// and a rule's input transformer writes it raw.
		return queue.Takes(t)
	case json.Delim:
		if depth >= maxNesting {
			return false
		}
		names := make(map[string]bool)
		for d.More() {
			if t == '{' {
				token, err := d.Token()
				name, ok := token.(string)
				// Of two members with one name, most parsers keep one, and some ignore case, such as
				// PowerShell's. An empty name is refused by some, and is no attribute in DynamoDB.
				if err != nil || !ok || name == "" || names[folded(name)] || !queue.Takes(name) {
					return false
				}
				names[folded(name)] = true
			}
			if !valueSurvives(d, depth+1) {
				return false
			}
		}
		_, err = d.Token()
		return err == nil
	}
	return true
}

// folded is the same for names that differ in case only. Both ways, for some letters have
// a sibling in one direction alone, such as the Kelvin sign.
func folded(name string) string { return strings.ToLower(strings.ToUpper(name)) }

// maxWhole is the largest whole number that no other is read as: JavaScript's
// MAX_SAFE_INTEGER. 2^53 itself is what a float64 makes of 2^53+1.
var maxWhole = big.NewInt(1<<53 - 1)

// numberSurvives reports whether a JSON number has the same value after a parser has made
// a float64 of it, as JavaScript's does, and has written that in the shortest way. What
// money is written in does: 1234.50, 0.1, 19.99.
func numberSurvives(text string) bool {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return false // out of range
	}
	if f == 0 { // of a number that is too small for a float64, too
		// Minus zero survives: it is the number zero, as which DynamoDB has it already.
		digits, _, _ := strings.Cut(strings.ToLower(text), "e")
		return !strings.ContainsAny(digits, "123456789")
	}
	exact, ok := new(big.Rat).SetString(text)
	if !ok {
		return false
	}
	if exact.IsInt() {
		return exact.Num().CmpAbs(maxWhole) <= 0
	}
	shortest, ok := new(big.Rat).SetString(strconv.FormatFloat(f, 'g', -1, 64))
	return ok && shortest.Cmp(exact) == 0
}
