// Package rawjson reads JSON text in place: where a value begins and ends, what is in it,
// and whether it is JSON at all. Its verdict is that of encoding/json on the same bytes
// (a fuzz test compares them), at several times the speed and without allocations. What it
// does not do is make values: that is encoding/json's job.
//
// Every function that takes an index returns the index behind what it read, or -1 where
// the text is not JSON.
package rawjson

import (
	"encoding/binary"
	"math/bits"
)

// Traits are what is in a string or a number beside the ordinary.
type Traits uint8

// The traits.
const (
	Escaped  Traits = 1 << iota // a backslash
	NonASCII                    // a byte of 0x80 or more, which need not be UTF-8
	HTML                        // one of < > &, which encoding/json escapes
	Fraction                    // of a number
	Exponent                    // of a number
)

// MaxDepth is how deep encoding/json reads: what is nested deeper is not JSON to it.
const MaxDepth = 10_000

// Valid reports whether the text is JSON, as [encoding/json.Valid] does.
func Valid(text []byte) bool {
	at := Value(text, Space(text, 0), 0)
	return at >= 0 && Space(text, at) == len(text)
}

// Space returns the index of the first byte from text[at] on that is no white space.
func Space(text []byte, at int) int {
	for at < len(text) && text[at] <= ' ' && (text[at] == ' ' || text[at] == '\n' || text[at] == '\t' || text[at] == '\r') {
		at++
	}
	return at
}

// Value reads a value of any kind that begins at text[at], in so many others.
func Value(text []byte, at, depth int) int {
	if at >= len(text) {
		return -1
	}
	switch c := text[at]; c {
	case '"':
		at, _ = String(text, at)
		return at
	case '{', '[':
		if depth++; depth > MaxDepth {
			return -1
		}
		at = Space(text, at+1)
		if at < len(text) && text[at] == c+2 { // } is two behind {, and ] behind [
			return at + 1
		}
		for {
			if c == '{' {
				if at = Name(text, at); at < 0 {
					return -1
				}
			}
			if at = Value(text, at, depth); at < 0 {
				return -1
			}
			if at = Space(text, at); at >= len(text) {
				return -1
			}
			switch text[at] {
			case ',':
				at = Space(text, at+1)
			case c + 2:
				return at + 1
			default:
				return -1
			}
		}
	case 't':
		return word(text, at, "true")
	case 'f':
		return word(text, at, "false")
	case 'n':
		return word(text, at, "null")
	}
	at, _ = Number(text, at)
	return at
}

// Name reads a member's name at text[at], the colon, and the space up to its value.
func Name(text []byte, at int) int {
	if at >= len(text) || text[at] != '"' {
		return -1
	}
	if at, _ = String(text, at); at < 0 {
		return -1
	}
	return Colon(text, at)
}

// Colon reads the colon behind a name, and the space around it.
func Colon(text []byte, at int) int {
	if at = Space(text, at); at >= len(text) || text[at] != ':' {
		return -1
	}
	return Space(text, at+1)
}

// word reads true, false or null.
func word(text []byte, at int, w string) int {
	if len(text)-at < len(w) || string(text[at:at+len(w)]) != w {
		return -1
	}
	return at + len(w)
}

const (
	ones  = 0x0101010101010101
	highs = 0x80 * ones
)

// special has a high bit in the lowest of eight bytes that is not an ordinary character of a
// string, and 0 if all are. Bits above that one mean nothing.
func special(x uint64) uint64 {
	quote := x | 0x04*ones ^ 0x26*ones // " and &, which differ in one bit
	angle := x | 0x02*ones ^ 0x3E*ones // < and >
	slash := x ^ '\\'*ones
	return ((quote-ones)&^quote | (angle-ones)&^angle | (slash-ones)&^slash | (x-0x20*ones)&^x | x) & highs
}

// String reads the string whose quotation mark is text[at].
func String(text []byte, at int) (end int, t Traits) {
	for at++; ; {
		for at+8 <= len(text) {
			m := special(binary.LittleEndian.Uint64(text[at:]))
			if m != 0 {
				at += bits.TrailingZeros64(m) >> 3
				break
			}
			at += 8
		}
		if at >= len(text) {
			return -1, 0
		}
		switch c := text[at]; {
		case c == '"':
			return at + 1, t
		case c == '\\':
			t |= Escaped
			if at = escape(text, at); at < 0 {
				return -1, 0
			}
			continue
		case c < ' ':
			return -1, 0
		case c >= 0x80:
			t |= NonASCII
			for at++; at < len(text) && text[at] >= 0x80; at++ { // seldom alone
			}
			continue
		case c == '<', c == '>', c == '&':
			t |= HTML
		}
		at++
	}
}

// escape reads what a backslash begins.
func escape(text []byte, at int) int {
	if at+1 >= len(text) {
		return -1
	}
	switch text[at+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return at + 2
	case 'u':
		if Unit(text, at) >= 0 {
			return at + 6
		}
	}
	return -1
}

// Unit is the UTF-16 unit that is escaped as \uXXXX at text[at], or -1.
func Unit(text []byte, at int) rune {
	if at+6 > len(text) || text[at] != '\\' || text[at+1] != 'u' {
		return -1
	}
	var r rune
	for _, c := range text[at+2 : at+6] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return -1
		}
		r = r<<4 | rune(c)
	}
	return r
}

// Number reads a number.
func Number(text []byte, at int) (end int, t Traits) {
	if at < len(text) && text[at] == '-' {
		at++
	}
	first := at
	if at = digits(text, at); at < 0 || text[first] == '0' && at > first+1 {
		return -1, 0
	}
	if at < len(text) && text[at] == '.' {
		t |= Fraction
		if at = digits(text, at+1); at < 0 {
			return -1, 0
		}
	}
	if at < len(text) && text[at]|0x20 == 'e' {
		t |= Exponent
		at++
		if at < len(text) && (text[at] == '+' || text[at] == '-') {
			at++
		}
		at = digits(text, at)
	}
	return at, t
}

// digits reads one digit or more.
func digits(text []byte, at int) int {
	first := at
	for at < len(text) && text[at]-'0' <= 9 {
		at++
	}
	if at == first {
		return -1
	}
	return at
}
