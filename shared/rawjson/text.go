package rawjson

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"io"
	"math/bits"
	"slices"
	"unicode/utf16"
	"unicode/utf8"
)

// AppendText appends what a string of JSON text means, as encoding/json decodes it: in the
// place of bytes that are not UTF-8, and of half a surrogate pair, is U+FFFD. The string has
// its quotation marks, and is valid.
func AppendText(dst, quoted []byte) []byte {
	if !utf8.Valid(quoted) {
		var s string
		_ = json.Unmarshal(quoted, &s) // it is valid
		return append(dst, s...)
	}
	s := quoted[1 : len(quoted)-1]
	begin := len(dst)
	dst = slices.Grow(dst, len(s)+8) // text never becomes longer by it, and eight bytes are written at once
	to, n := dst[begin:cap(dst)], 0
	for at := 0; at < len(s); {
		for at+8 <= len(s) {
			x := binary.LittleEndian.Uint64(s[at:])
			binary.LittleEndian.PutUint64(to[n:], x)
			slash := x ^ '\\'*ones
			if m := (slash - ones) &^ slash & highs; m != 0 {
				ordinary := bits.TrailingZeros64(m) >> 3
				at, n = at+ordinary, n+ordinary
				break
			}
			at, n = at+8, n+8
		}
		if at >= len(s) {
			break
		}
		if s[at] != '\\' {
			to[n] = s[at]
			at, n = at+1, n+1
			continue
		}
		at += 2
		switch c := s[at-1]; c {
		case 'u':
			r := Unit(s, at-2)
			at += 4
			if utf16.IsSurrogate(r) {
				if r = utf16.DecodeRune(r, Unit(s, at)); r != utf8.RuneError {
					at += 6
				}
			}
			n += utf8.EncodeRune(to[n:], r)
			continue
		case 'b':
			to[n] = '\b'
		case 'f':
			to[n] = '\f'
		case 'n':
			to[n] = '\n'
		case 'r':
			to[n] = '\r'
		case 't':
			to[n] = '\t'
		default:
			to[n] = c
		}
		n++
	}
	return dst[:begin+n]
}

const hexDigits = "0123456789abcdef"

// AppendQuoted appends a text as a JSON string, as [encoding/json.Marshal] writes it; the
// characters < > & are escaped only if html is set.
func AppendQuoted(dst, text []byte, html bool) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(text); {
		for i+8 <= len(text) {
			if m := special(binary.LittleEndian.Uint64(text[i:])); m != 0 {
				i += bits.TrailingZeros64(m) >> 3
				break
			}
			i += 8
		}
		if i >= len(text) {
			break
		}
		c := text[i]
		if c < utf8.RuneSelf {
			i++
			if c >= ' ' && c != '"' && c != '\\' && (!html || c != '<' && c != '>' && c != '&') {
				continue
			}
			dst = append(dst, text[start:i-1]...)
			start = i
			switch c {
			case '"', '\\':
				dst = append(dst, '\\', c)
			case '\b':
				dst = append(dst, '\\', 'b')
			case '\f':
				dst = append(dst, '\\', 'f')
			case '\n':
				dst = append(dst, '\\', 'n')
			case '\r':
				dst = append(dst, '\\', 'r')
			case '\t':
				dst = append(dst, '\\', 't')
			default:
				dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
			}
			continue
		}
		r, size := utf8.DecodeRune(text[i:])
		i += size
		switch {
		case r == utf8.RuneError && size == 1:
			dst = append(append(dst, text[start:i-1]...), `\ufffd`...)
			start = i
		case r == '\u2028' || r == '\u2029':
			dst = append(append(dst, text[start:i-size]...), `\u202`...)
			dst = append(dst, hexDigits[r&15])
			start = i
		}
	}
	return append(append(dst, text[start:]...), '"')
}

// Compact writes valid JSON text without its spacing, and with < > & U+2028 and U+2029
// escaped, as [encoding/json.Marshal] does with a RawMessage. It keeps little of it in
// memory. The error is the writer's.
func Compact(w io.Writer, text []byte) error {
	const chunk = 16 << 10
	buf := make([]byte, 0, 2*chunk)
	flush := func(most int) (err error) {
		if len(buf) > most {
			_, err = w.Write(buf)
			buf = buf[:0]
		}
		return err
	}
	for at := Space(text, 0); at < len(text); at = Space(text, at) {
		end := at + 1
		if text[at] == '"' {
			var t Traits
			if end, t = String(text, at); end < 0 {
				end = len(text)
			}
			if t&(HTML|NonASCII) != 0 {
				for rest := text[at:end]; len(rest) > 0; {
					part := rest[:min(len(rest), chunk/8)] // six bytes for one
					for len(part) < len(rest) && len(part) > 0 && rest[len(part)]&0xC0 == 0x80 && len(part) < chunk/8+4 {
						part = rest[:len(part)+1] // not within a character
					}
					buf = appendEscaped(buf, part)
					rest = rest[len(part):]
					if err := flush(chunk); err != nil {
						return err
					}
				}
				at = end
				continue
			}
		} else {
			for end < len(text) && text[end] > ' ' && text[end] != '"' {
				end++
			}
		}
		if end-at > chunk {
			if err := flush(0); err != nil {
				return err
			}
			if _, err := w.Write(text[at:end]); err != nil {
				return err
			}
		} else {
			buf = append(buf, text[at:end]...)
			if err := flush(chunk); err != nil {
				return err
			}
		}
		at = end
	}
	return flush(0)
}

// appendEscaped appends a part of a JSON string with what encoding/json escapes in one.
func appendEscaped(dst, part []byte) []byte {
	start := 0
	for i, c := range part {
		switch {
		case c == '<' || c == '>' || c == '&':
			dst = append(append(dst, part[start:i]...), '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
			start = i + 1
		case c == 0xE2 && (bytes.HasPrefix(part[i:], []byte("\u2028")) || bytes.HasPrefix(part[i:], []byte("\u2029"))):
			dst = append(append(dst, part[start:i]...), '\\', 'u', '2', '0', '2', hexDigits[part[i+2]&15])
			start = i + 3
		}
	}
	return append(dst, part[start:]...)
}
