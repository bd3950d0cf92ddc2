package publish

import (
	"encoding/json"
	"math/big"
	"strconv"
	"strings"
	"unicode/utf8"

	"extend-intake/shared/ledger"
	"extend-intake/shared/queue"
	"extend-intake/shared/rawjson"
)

// survives reports whether an output comes to every reader as it is. On the way,
// EventBridge writes its JSON anew, a queue may be a rule's target or take what a target
// failed, and the reader's language parses it before any code of the reader's does.
func survives(output json.RawMessage) bool {
	// A decoder would put U+FFFD in the place of both.
	if !utf8.Valid(output) || ledger.HalfSurrogate(output) {
		return false
	}
	w := walk{text: output}
	return w.value(0) && rawjson.Space(output, w.at) == len(output)
}

// maxNesting is how deep an output is nested at most. A record's own output is never deeper,
// for DynamoDB holds no more. Parsers on the way do: .NET's takes 64 levels, Ruby's 100, and
// the event and what a target wraps it in come on top.
const maxNesting = 32

// walk reads an output in place.
type walk struct {
	text []byte
	at   int
}

// value reads one value, which is in so many others, and reports whether it survives.
func (w *walk) value(depth int) bool {
	w.at = rawjson.Space(w.text, w.at)
	if w.at >= len(w.text) {
		return false
	}
	start := w.at
	switch c := w.text[start]; c {
	case '"':
		// An escaped character counts like a raw one: how EventBridge writes it is not known,
		// and a rule's input transformer writes it raw.
		_, ok := w.string()
		return ok
	case '{', '[':
		if depth >= maxNesting {
			return false
		}
		var names map[string]bool
		if c == '{' {
			names = make(map[string]bool)
		}
		w.at++
		for n := 0; ; n++ {
			if w.at = rawjson.Space(w.text, w.at); w.at >= len(w.text) {
				return false
			}
			switch next := w.text[w.at]; {
			case next == c+2: // the closing bracket
				w.at++
				return true
			case n > 0 && next == ',':
				w.at = rawjson.Space(w.text, w.at+1)
			case n > 0:
				return false
			}
			if c == '{' {
				name, ok := w.string()
				// Of two members with one name, most parsers keep one, and some ignore case, such as
				// PowerShell's. An empty name is refused by some, and is no attribute in DynamoDB.
				if !ok || name == "" || names[folded(name)] {
					return false
				}
				names[folded(name)] = true
				if w.at = rawjson.Colon(w.text, w.at); w.at < 0 {
					return false
				}
			}
			if !w.value(depth + 1) {
				return false
			}
		}
	case 't', 'f', 'n':
		w.at = rawjson.Value(w.text, start, 0)
		return w.at > 0
	}
	end, t := rawjson.Number(w.text, start)
	if end < 0 {
		return false
	}
	w.at = end
	word := w.text[start:end]
	// Most have so few digits that a float64 keeps them: 15. And most others are what was once
	// printed of one.
	if t&rawjson.Exponent == 0 && len(word) <= 15 {
		return true
	}
	if t == rawjson.Fraction && len(word) < 24 {
		f, err := strconv.ParseFloat(string(word), 64)
		if err == nil && string(strconv.AppendFloat(make([]byte, 0, 32), f, 'f', -1, 64)) == string(word) {
			return true
		}
	}
	return numberSurvives(string(word))
}

// string reads a string whose characters every queue takes.
func (w *walk) string() (text string, ok bool) {
	if w.at >= len(w.text) || w.text[w.at] != '"' {
		return "", false
	}
	end, _ := rawjson.String(w.text, w.at)
	if end < 0 {
		return "", false
	}
	text = string(rawjson.AppendText(nil, w.text[w.at:end]))
	w.at = end
	return text, queue.Takes(text)
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
