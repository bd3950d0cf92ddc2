package clean

import (
	"encoding/base64"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// namePattern finds the names of what is always secret. They are matched against the text in lower case, with everything
// unescaped.
var namePattern = regexp.MustCompile(`(?:x[-_](?:amz|goog|ms)|\bx(?:amz|goog))[-_]?[a-z0-9_-]*|(?:aws|google)[-_]?access[-_]?(?:key[-_]?)?id`)

// gravePattern finds the names of those that are all that it takes, though a letter is one of another script, or a line
// break went through the name.
var gravePattern = regexp.MustCompile(`[x\x00] ?[-_.\x00 ]?(?:` + blurred("amz") + `|` + blurred("goog") + `|` + blurred("oss") + `|` + blurred("tos") + `|` + blurred("obs") + `|` + blurred("cos") + `)[-_.]? ?(?:` +
	blurred("signature") + `|` + blurred("security") + `[-_.]? ?` + blurred("token") + `|` + blurred("credential") + `)`)

// maxForeign is how many letters of a name may be of another script: what has more is a word of that.
const maxForeign = 2

// blurred matches a word with blanks, and with other characters, which are 0, in place of letters.
func blurred(word string) string {
	var b strings.Builder
	for i, r := range word {
		if i > 0 {
			b.WriteString(" ?")
		}
		b.WriteString("[" + string(r) + `\x00]`)
	}
	return b.String()
}

// What looks like a value: see looksSecret. The first is one behind a grave name, wherever; the second one in quotes ahead
// of it, as in {"value": …, "name": …}; the third one that follows a word; the fourth one that is as long as a signature.
var (
	tokenPattern  = regexp.MustCompile(`[a-z0-9+/_~-][a-z0-9+/=_~-]{5,}`)
	quotedPattern = regexp.MustCompile(`["']([a-z0-9+/=_~-]{6,})["']`)
	nextPattern   = regexp.MustCompile(`^["'\s:=+]{1,4}([^\s"'<>,;&]{6,})`)
	longPattern   = regexp.MustCompile(`[a-z0-9+/=_-]{40,}`)
)

// looksSecret reports whether a word is none that a person would write: it has a digit, or is very long.
func looksSecret(word string) bool {
	return len(word) >= 20 || strings.ContainsAny(word, "0123456789")
}

// wordPattern finds names that are words as well: people say "signature: not readable".
var wordPattern = regexp.MustCompile(`(?:\b|_)(?:[a-z]*signature(?:provided)?|sig|credential|expires|key[-_]?pair[-_]?id|pass(?:word|wd)|` +
	`client[-_]?secret|secret[-_]?(?:access[-_]?)?key|api[-_ ]?key|(?:auth|access|refresh|id|security|session)?[-_]?token|secret|pwd|policy|ossaccesskeyid|stringtosign(?:bytes)?|canonicalrequest(?:bytes)?)`)

var (
	authorizationPattern = regexp.MustCompile(`authorization|\bx-api-key|\b(?:set-)?cookie`)
	bearerPattern        = regexp.MustCompile(`\bbearer[\s+]+([a-z0-9._~+/=-]{4,})`)
	basicPattern         = regexp.MustCompile(`\bbasic[\s+]+([a-z0-9+/_-]{6,}=*)`)
	keyPattern           = regexp.MustCompile(`\b(?:sk[_-]|wss_|gh[opsu]_|github_pat_)[a-z0-9_-]{6,}|\b(?:akia|asia)[a-z0-9]{12,}|\beyj[a-z0-9_-]{8,}\.[a-z0-9_-]{8,}(?:\.[a-z0-9_-]*)?`)
	userPattern          = regexp.MustCompile(`://([^\s/"'<>@?]+)@`)
	passwordPattern      = regexp.MustCompile(`\b[a-z0-9._-]+:([^\s/"'<>@?:]{4,})@[a-z0-9-]+\.[a-z]`)
	// base64Pattern is what may be a text in base64, which keeps the case.
	base64Pattern = regexp.MustCompile(`[A-Za-z0-9+/_-]{24,}`)
	// valuePattern is what stands between a name and its value in lists of {"name": …, "value": …}, and in HTML's forms.
	valuePattern = regexp.MustCompile(`^["'\s+,;)\]]+value`)
	queryPattern = regexp.MustCompile(`[a-z][a-z0-9+.-]*://[^\s"'<>?]+\?`)
)

// cut replaces the credentials in s, and with queries the queries of all URLs.
func cut(s string, queries bool) string {
	t := unescape(s)
	var spans [][2]int // of cells
	add := func(start, end int) {
		if start < end {
			spans = append(spans, [2]int{start, end})
		}
	}
	// named cuts the values that follow names. A name within the value of another is part of that.
	named := func(names *regexp.Regexp, value func(i int) (start, end int)) {
		done := 0
		for _, m := range names.FindAllStringIndex(t.plain, -1) {
			if m[0] < done {
				continue
			}
			if start, end := value(m[1]); start < end {
				add(start, end)
				done = end
			}
		}
	}
	named(namePattern, func(i int) (int, int) { return t.value(i, false) })
	secret := func(start, end int) {
		if looksSecret(t.plain[start:end]) {
			add(start, end)
		}
	}
	first, last := len(t.plain), 0 // the end of the first grave name, and the start of the last one
	for _, m := range gravePattern.FindAllStringIndex(t.plain, -1) {
		if strings.Count(t.plain[m[0]:m[1]], "\x00") > maxForeign {
			continue
		}
		first, last = min(first, m[1]), m[0]
		start, end := t.value(m[1], false)
		if add(start, end); start >= end && strings.ContainsAny(t.plain[m[1]:], "0123456789") {
			add(m[1], len(t.plain)) // it is written in a way that nobody thought of
			break
		}
	}
	// The value may be wrapped over lines, be one of several, or stand elsewhere in a list.
	for _, v := range tokenPattern.FindAllStringIndex(t.plain[first:], -1) {
		secret(first+v[0], first+v[1])
	}
	for _, v := range quotedPattern.FindAllStringSubmatchIndex(t.plain[:last], -1) {
		secret(v[2], v[3])
	}
	words := wordPattern.FindAllStringIndex(t.plain, -1)
	for _, m := range words {
		if v := nextPattern.FindStringSubmatchIndex(t.plain[m[1]:]); v != nil {
			if word := t.plain[m[1]+v[2] : m[1]+v[3]]; strings.ContainsAny(word, "0123456789") && strings.ContainsAny(word, "abcdefghijklmnopqrstuvwxyz") {
				add(m[1]+v[2], m[1]+v[3])
			}
		}
	}
	if len(words) > 0 {
		for _, m := range longPattern.FindAllStringIndex(t.plain, -1) {
			secret(m[0], m[1])
		}
	}
	ascii := t.ascii()
	for _, m := range base64Pattern.FindAllStringIndex(ascii, -1) {
		if hidesCredential(ascii[m[0]:m[1]]) {
			add(m[0], m[1])
		}
	}
	named(wordPattern, func(i int) (int, int) { return t.value(i, true) })
	named(authorizationPattern, func(i int) (int, int) { return t.header(t.value(i, false)) })
	for _, m := range bearerPattern.FindAllStringSubmatchIndex(t.plain, -1) {
		if token := t.plain[m[2]:m[3]]; len(token) >= 16 || strings.ContainsAny(token, "0123456789_") {
			add(m[2], m[3]) // else it is a word, such as "authentication"
		}
	}
	for _, m := range keyPattern.FindAllStringIndex(t.plain, -1) {
		if strings.ContainsAny(t.plain[m[0]:m[1]], "0123456789") {
			add(m[0], m[1]) // else it is words
		}
	}
	for _, m := range basicPattern.FindAllStringSubmatchIndex(t.plain, -1) {
		if word := t.plain[m[2]:m[3]]; looksSecret(word) || strings.HasSuffix(word, "=") {
			add(m[2], m[3]) // else it is a word, such as "authentication"
		}
	}
	for _, m := range userPattern.FindAllStringSubmatchIndex(t.plain, -1) {
		add(m[2], m[3])
	}
	for _, m := range passwordPattern.FindAllStringSubmatchIndex(t.plain, -1) {
		secret(m[2], m[3])
	}
	if queries {
		named(queryPattern, func(i int) (int, int) { return i, t.until(i, t.cells[i-1].level, endOfQuery) })
	}
	slices.SortFunc(spans, func(a, b [2]int) int { return a[0] - b[0] })
	var b strings.Builder
	end, last := 0, 0 // of what is written or cut, in s and in cells
	for _, span := range spans {
		from, to := t.cells[span[0]].start, t.cells[span[1]-1].end
		if b.Len() == 0 || from > end && strings.Trim(t.plain[last:span[0]], " ") != "" {
			b.WriteString(s[end:max(from, end)] + ellipsis)
		}
		end, last = max(end, to), max(last, span[1])
	}
	return b.String() + s[end:]
}

// ascii is the text in its own case, 0 for what is not ASCII.
func (t text) ascii() string {
	b := make([]byte, 0, len(t.cells))
	for _, c := range t.cells {
		if c.r >= utf8.RuneSelf {
			c.r = 0
		}
		b = utf8.AppendRune(b, c.r)
	}
	return string(b)
}

// hidesCredential reports whether a text is base64 of one that has a credential in it, from any of its characters on.
func hidesCredential(encoded string) bool {
	encoded = strings.NewReplacer("-", "+", "_", "/").Replace(encoded)
	for skip := range 4 {
		part := encoded[skip:]
		plain, _ := base64.RawStdEncoding.DecodeString(part[:len(part)/4*4])
		low := strings.ToLower(string(plain))
		if namePattern.MatchString(low) || strings.Contains(low, "signature=") || strings.Contains(low, "token=") || strings.Contains(low, "bearer ") {
			return true
		}
	}
	return false
}

// A text is a string as it reads once nothing in it is escaped any more.
type text struct {
	plain string // one byte of lower-case ASCII a cell, 0 for anything else
	cells []cell
}

type cell struct {
	r          rune
	level      int // how often it was percent-encoded
	start, end int // where it is written
}

// endOfValue are the characters that no value of a query or header has in it as they are, and endOfQuery those that end
// a URL.
const endOfValue, endOfQuery = " \"'<>`\\&{}|^", " \"'<>`\\"

// value returns where the value begins and ends that belongs to the name before i: in a query, a header, JSON, XML, a form,
// or the way in which a language prints a map or a list of pairs. With word, the separator must be one of data. It is
// empty where there is none.
func (t text) value(i int, word bool) (start, end int) {
	if m := valuePattern.FindStringIndex(t.plain[i:]); m != nil {
		i += m[1]
	}
	at := func(i int) rune {
		if i < len(t.cells) {
			return t.cells[i].r
		}
		return 0
	}
	name, quoted := i, false
	for ; at(i) != 0 && strings.ContainsRune(`"' +])`, at(i)); i++ { // a form's space is a plus
		quoted = quoted || at(i) != ' ' && at(i) != '+'
	}
	arrow := (at(i) == '-' || at(i) == '=') && at(i+1) == '>'
	if arrow {
		i++
	}
	separator := at(i)
	if separator == 0 || !strings.ContainsRune("=:>,", separator) {
		return 0, 0
	}
	element := separator == '>' && !arrow
	level := t.cells[i].level
	i++
	if element {
		if i != name+1 {
			return 0, 0
		}
		return i, t.until(i, level, "<")
	}
	for at(i) != 0 && strings.ContainsRune(" +[(", at(i)) {
		i++
	}
	if next := at(i + 1); (at(i) == 'b' || at(i) == 'u') && (next == '"' || next == '\'') {
		i++ // Python's
	}
	if quote := at(i); quote == '"' || quote == '\'' {
		if quoted || separator != ',' {
			return i + 1, t.until(i+1, t.cells[i].level, string(quote))
		}
		return 0, 0
	}
	if separator == ',' || word && separator == ':' {
		return 0, 0
	}
	return i, t.until(i, level, endOfValue)
}

// until is the first cell from i on that is one of ends. What is encoded more often than the text around the value is part
// of the value.
func (t text) until(i, level int, ends string) int {
	for i < len(t.cells) && (t.cells[i].level > level || !strings.ContainsRune(ends, t.cells[i].r)) {
		i++
	}
	return i
}

// header extends the first word of an Authorization header to what belongs to it: the credentials after a scheme, and
// parameters, which end with a comma.
func (t text) header(start, end int) (int, int) {
	for scheme := true; end < len(t.cells) && start < end; scheme = false {
		if t.plain[end-1] != ',' && !(scheme && t.scheme(start, end)) || t.cells[end].r != ' ' {
			break
		}
		end = t.until(end+1, t.cells[end].level, endOfValue)
	}
	return start, end
}

func (t text) scheme(start, end int) bool {
	switch t.plain[start:end] {
	case "bearer", "basic", "digest", "negotiate", "token", "apikey", "key", "aws", "aws4-hmac-sha256", "aws4-ecdsa-p256-sha256":
		return true
	}
	return false
}

// unescape reads percent-encoding of any depth, the escapes of JSON and of other languages' strings, and the entities of
// HTML, one within the other.
func unescape(s string) text {
	var t text
	for i, r := range s {
		if unicode.In(r, unicode.Cf, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point) {
			continue // not to be seen, and so no part of a name
		}
		t.cells = append(t.cells, cell{r: r, start: i, end: i + len(string(r))})
	}
	for range 8 { // one pass undoes any depth of percent-encoding
		n := len(t.cells)
		t.cells = unescapeOnce(t.cells)
		if len(t.cells) == n {
			break
		}
	}
	plain := make([]byte, 0, len(t.cells))
	for i := range t.cells {
		c := &t.cells[i]
		if 0xff01 <= c.r && c.r <= 0xff5e { // the wide forms of ASCII
			c.r -= 0xff01 - '!'
		}
		r := unicode.ToLower(c.r)
		switch {
		case unicode.Is(unicode.Dash, r):
			r = '-'
		case r >= utf8.RuneSelf:
			r = 0
		}
		plain = utf8.AppendRune(plain, r)
	}
	t.plain = string(plain)
	return t
}

func unescapeOnce(in []cell) []cell {
	out := make([]cell, 0, len(in))
	for i := 0; i < len(in); {
		c, n := in[i], 1
		switch c.r {
		case '%':
			level := c.level + 1
			for i+n+3 < len(in) && in[i+n].r == '2' && in[i+n+1].r == '5' && isHex(in[i+n+2].r) && isHex(in[i+n+3].r) {
				level, n = level+1, n+2
			}
			if r, ok := hex(in, i+n, 2); ok {
				c.r, c.level, n = r, level, n+2
			} else if r, ok := hex(in, i+n+1, 4); ok && (in[i+n].r == 'u' || in[i+n].r == 'U') { // JavaScript's escape()
				c.r, c.level, n = r, level, n+5
			} else {
				n = 1
			}
		case '\\':
			c.r, n = unescapeBackslash(in, i)
		case '&':
			c.r, n = unescapeEntity(in, i)
		}
		c.end = in[i+n-1].end
		out = append(out, c)
		i += n
	}
	return out
}

func unescapeBackslash(in []cell, i int) (r rune, n int) {
	if i+1 == len(in) {
		return '\\', 1
	}
	digits := 0
	switch next := in[i+1].r; next {
	case '\\', '/', '"', '\'':
		return next, 2
	case 'n', 'r', 't':
		return ' ', 2
	case 'u':
		digits = 4
	case 'x':
		digits = 2
	case '0', '1', '2', '3':
		if r, ok := number(in, i+1, 3, 8); ok {
			return r, 4
		}
	}
	if r, ok := hex(in, i+2, digits); ok {
		return r, 2 + digits
	}
	if digits > 0 && i+2 < len(in) && in[i+2].r == '{' { // \u{2d}
		for n := 1; n <= 6 && i+3+n < len(in); n++ {
			if r, ok := hex(in, i+3, n); ok && in[i+3+n].r == '}' {
				return r, n + 4
			}
		}
	}
	return '\\', 1
}

// entities are those that a link or a map can have in it.
var entities = map[string]rune{"amp": '&', "lt": '<', "gt": '>', "quot": '"', "apos": '\'', "equals": '=', "colon": ':', "hyphen": '-', "dash": '-', "percnt": '%', "nbsp": ' '}

func unescapeEntity(in []cell, i int) (r rune, n int) {
	var name []rune
	for _, c := range in[i+1 : min(i+10, len(in))] {
		if c.r != ';' {
			name = append(name, unicode.ToLower(c.r))
			continue
		}
		n = len(name) + 2
		if digits, ok := strings.CutPrefix(string(name), "#x"); ok {
			if v, err := strconv.ParseUint(digits, 16, 16); err == nil {
				return rune(v), n
			}
		} else if digits, ok := strings.CutPrefix(string(name), "#"); ok {
			if v, err := strconv.ParseUint(digits, 10, 16); err == nil {
				return rune(v), n
			}
		} else if r, ok := entities[string(name)]; ok {
			return r, n
		}
		break
	}
	return '&', 1
}

// hex reads n digits at i.
func hex(in []cell, i, n int) (rune, bool) { return number(in, i, n, 16) }

func number(in []cell, i, n, base int) (rune, bool) {
	if n == 0 || i+n > len(in) {
		return 0, false
	}
	var digits strings.Builder
	for _, c := range in[i : i+n] {
		digits.WriteRune(c.r)
	}
	v, err := strconv.ParseUint(digits.String(), base, 16)
	return rune(v), err == nil
}

func isHex(r rune) bool { return '0' <= r && r <= '9' || 'a' <= r && r <= 'f' || 'A' <= r && r <= 'F' }
