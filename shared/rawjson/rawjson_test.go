package rawjson

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// seeds are kinds of text, valid and not, of which every one was once told apart by a line
// of this package.
var seeds = []string{
	``, ` `, `null`, `true`, `fals`, `nul`, `nullx`, `0`, `-0`, `01`, `-`, `1.`, `.1`, `1.5e`, `1e+`, `1E-07`, `-12.50e3`, `+1`, `1 2`, `--1`, `0x1`, `1_000`,
	`""`, `"`, `"a`, `"\"`, `"\\"`, `"\x"`, `"\u12"`, `"\u12g4"`, `"\u00e9\n\t\b\f\r\/\"\\"`, "\"\x1f\"", "\"\x7f\"", "\"\n\"",
	`"12345678901234567890"`, `"1234567\n"`, `"<&>"`, "\"1234567\u2028\"", "\"\u2029 \u20ac 🧾 é\"", "\"\xff\"", "\"abcdefg\xe2\x80\"", "\"\xe2\x80\xa8\xc0\xaf\xed\xa0\x80\"",
	`"\ud83e\uddfe"`, `"\ud83e"`, `"\uddfe\ud83e"`, `"\ud83e\ud83e\uddfe"`, `"\ud83e\u0041"`, `"\uFFFD\ufffd"`,
	`[]`, `[ ]`, `[1,]`, `[,1]`, `[1 2]`, `[1}`, `[`, `]`, `[[[[]]],{}]`, `{}`, `{ }`, `{"a":1}`, ` { "a" : [ 1 , { "b" : null } ] } `, `{"a"}`, `{"a":}`, `{"a":1,}`, `{a:1}`, `{"a":1]`, `{"a" 1}`, `{1:2}`, `{"a":1}}`,
	"\ufeff{}", "[1\v]", "[1\u00a0]", `{"a":1,"a":2}`, `{"\u0061": [1] }`, "{\"\xff\":1}",
	strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000), strings.Repeat("[", 10_001) + strings.Repeat("]", 10_001),
	strings.Repeat(`{"a":`, 10_001) + "1" + strings.Repeat("}", 10_001),
	`"` + strings.Repeat("<", 40_000) + `"`, `["` + strings.Repeat("é\u2028", 9_000) + `", "` + strings.Repeat("x", 40_000) + `"]`,
}

func TestSameAsEncodingJSON(t *testing.T) {
	t.Parallel()
	for _, text := range seeds {
		check(t, []byte(text))
	}
}

func FuzzSameAsEncodingJSON(f *testing.F) {
	for _, text := range seeds {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) { check(t, text) })
}

func check(t *testing.T, text []byte) {
	t.Helper()
	valid := json.Valid(text)
	if Valid(text) != valid {
		t.Fatalf("%.200q: valid is %t", text, !valid)
	}
	for _, html := range []bool{true, false} { // whatever the bytes
		var want bytes.Buffer
		e := json.NewEncoder(&want)
		e.SetEscapeHTML(html)
		if err := e.Encode(string(text)); err != nil {
			t.Fatal(err)
		}
		if got := AppendQuoted(nil, text, html); string(got)+"\n" != want.String() {
			t.Fatalf("%.200q is quoted as %.200s, want %.200s", text, got, want.String())
		}
	}
	var object map[string]json.RawMessage
	_ = json.Unmarshal(text, &object) // what it is not, has no members
	for _, name := range append(slices.Collect(maps.Keys(object)), "a") {
		want, ok := object[name]
		from, to, found := Member(text, name)
		if found != (ok && valid) || found && !bytes.Equal(text[from:to], want) {
			t.Fatalf("%.200q: member %q is %.200q, %t, want %.200q", text, name, text[from:to], found, want)
		}
	}
	if !valid {
		return
	}
	if trimmed := bytes.Trim(text, " \t\r\n"); trimmed[0] == '"' {
		var want string
		if err := json.Unmarshal(trimmed, &want); err != nil {
			t.Fatal(err)
		}
		if got := AppendText([]byte("before"), trimmed); string(got) != "before"+want {
			t.Fatalf("%.200q is %.200q, want %.200q", trimmed, got[6:], want)
		}
		traits(t, trimmed)
	}
	want, err := json.Marshal(json.RawMessage(text))
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	if err := Compact(&got, text); err != nil || !bytes.Equal(got.Bytes(), want) {
		t.Fatalf("%.200q is compacted to %.200q (%v), want %.200q", text, got.Bytes(), err, want)
	}
}

// traits checks what String says is in a string.
func traits(t *testing.T, quoted []byte) {
	t.Helper()
	var want Traits
	if bytes.ContainsRune(quoted, '\\') {
		want |= Escaped
	}
	if bytes.ContainsAny(quoted, "<>&") {
		want |= HTML
	}
	if bytes.ContainsFunc(quoted, func(r rune) bool { return r >= utf8.RuneSelf }) {
		want |= NonASCII
	}
	if end, got := String(quoted, 0); end != len(quoted) || got != want {
		t.Fatalf("%.200q: end %d, traits %b, want %d, %b", quoted, end, got, len(quoted), want)
	}
}

func TestNumber(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]struct {
		end int
		t   Traits
	}{
		"12": {2, 0}, "-0.50,": {5, Fraction}, "1e5]": {3, Exponent}, "-1.5E-10 ": {8, Fraction | Exponent}, "0": {1, 0}, "01": {-1, 0}, "": {-1, 0}, "-": {-1, 0}, "x": {-1, 0},
	} {
		end, got := Number([]byte(text), 0)
		if end < 0 {
			got = 0
		}
		if end != want.end || got != want.t {
			t.Errorf("%q: %d, %b, want %d, %b", text, end, got, want.end, want.t)
		}
	}
}

func BenchmarkValid(b *testing.B) {
	text := []byte(`[` + strings.Repeat(`{"page":1,"referenceText":"Détention au port (2 h)","polygon":[{"x":61.2,"y":118.44},{"x":120.5,"y":118.44}]},`, 1000) + `0]`)
	for name, valid := range map[string]func([]byte) bool{"rawjson": Valid, "encoding/json": json.Valid} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				if !valid(text) {
					b.Fatal("no JSON")
				}
			}
		})
	}
}
