package ledger

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"math/big"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"pgregory.net/rapid"
)

func TestEncodeOutputKeepsEveryValue(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		`null`, `true`, `""`, `[]`, `{}`, `[null,false,"",[],{}]`,
		`12345678901234567890`, `9007199254740993`, `0.1000`, `-0.01`, `1.0875`, `1e5`, `1E-130`, `9.99e125`, `-9.99E+125`,
		`99999999999999999999999999999999999999`, `0.00000000000000000000000000000000000001`, `1000000000000000000000000000000000000000000`,
		`{"納品書":"é \u0000 \" \\ \/ 🧾 \ud83e\uddfe \ufffd","a b":{"c":[1,2.50,{"d":null}]}}`,
		strings.Repeat(`[`, maxDepth) + strings.Repeat(`]`, maxDepth),
		`"` + strings.Repeat("x", maxOutputBytes-100) + `"`,
	} {
		v, err := EncodeOutput(json.RawMessage(text))
		if err != nil {
			t.Errorf("%.60s: %v", text, err)
			continue
		}
		back, err := DecodeOutput(v)
		if err != nil {
			t.Errorf("%.60s: %v", text, err)
			continue
		}
		if !same(parse(t, text), parse(t, string(back))) {
			t.Errorf("%.60s came back as %.60s", text, back)
		}
	}
}

func TestEncodeOutputRefusesWhatWouldChange(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`1234567890123456789012345678901234567890`:  "39 significant digits",
		`0.123456789012345678901234567890123456789`: "39 significant digits",
		`1e126`:                  "outside",
		`-1e-131`:                "outside",
		`1e99999999999999999999`: "outside",
		strings.Repeat(`[`, maxDepth+1) + strings.Repeat(`]`, maxDepth+1): "nested deeper",
		`"` + strings.Repeat("x", maxOutputBytes+1) + `"`:                 "bytes of an item",
		`{"a":1,"a":2}`:        `name "a" twice`,
		`{"":1}`:               "empty name",
		`"\ud800"`:             "surrogate",
		`{"\udfff x":1}`:       "surrogate",
		`"\ufffd\ud800"`:       "surrogate",
		`"\\ufffd\ud800"`:      "surrogate", // an escaped backslash, and no U+FFFD
		`"\ud83e\ud83e\uddfe"`: "surrogate",
		"\"\xff\"":             "not UTF-8",
	} {
		if _, err := EncodeOutput(json.RawMessage(text)); !errors.Is(err, ErrInexact) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: %v, want ErrInexact with %q", text, err, want)
		}
	}
	for _, text := range []string{``, `{`, `nope`, `1 2`, `{"a"}`, `[1,]`, `01`, `"\x"`} {
		if v, err := EncodeOutput(json.RawMessage(text)); err == nil || errors.Is(err, ErrInexact) {
			t.Errorf("%q: %v, %v; want an error that is not ErrInexact", text, v, err)
		}
	}
}

func FuzzEncodeOutput(f *testing.F) {
	for _, s := range []string{`{"a":[1,2.50,"x"],"b":null}`, `1e-130`, `"\ud83e\uddfe"`, `"\ufffd\\\ud800"`, `-0.0e-7`, `[[[[]]]]`, `1E+37`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if o, err := NewOutput(text); err == nil {
			want, err := json.Marshal(parse(t, string(text)))
			if got := canonical(t, o); err != nil || got != string(want) {
				t.Fatalf("%q: canonical %s, want %s, %v", text, got, want, err)
			}
		}
		v, err := EncodeOutput(text)
		switch {
		case errors.Is(err, ErrInexact):
			return
		case err != nil:
			if json.Valid(text) {
				t.Fatalf("%q is JSON, but: %v", text, err)
			}
			return
		}
		if !json.Valid(text) {
			t.Fatalf("%q is not JSON, but was taken", text)
		}
		back, err := DecodeOutput(v)
		if err != nil {
			t.Fatal(err)
		}
		if !same(parse(t, string(text)), parse(t, string(back))) {
			t.Fatalf("%q came back as %q", text, back)
		}
	})
}

// TestCanonical: what counts as the same content, and at which size the order of names begins to
// count.
func TestCanonical(t *testing.T) {
	t.Parallel()
	large := `"` + strings.Repeat("x", maxSorted) + `"`
	for text, want := range map[string]string{
		" {\n\"b\" : [1.50 , 1e5,{}], \"a\":\"\\u0041<\"}\t": `{"a":"A\u003c","b":[1.50,1e5,{}]}`,
		`{"b":{"d":1,"c":2},"a":{"d":3,"c":4}}`:              `{"a":{"c":4,"d":3},"b":{"c":2,"d":1}}`,
		`{"b":1,"a":2,"b":3,"a":4}`:                          `{"a":4,"b":3}`,
		"\"\xff\u2028\"":                                     `"` + "\uFFFD" + `\u2028"`,
		`{"b": 1, "a": ` + large + `}`:                       `{"b":1,"a":` + large + `}`,
	} {
		o, err := NewOutput(json.RawMessage(text))
		if err != nil {
			t.Errorf("%.60s: %v", text, err)
		} else if got := canonical(t, o); got != want {
			t.Errorf("%.60s: %.60s, want %.60s", text, got, want)
		}
	}
}

func canonical(t *testing.T, o *Output) string {
	t.Helper()
	var b bytes.Buffer
	if err := o.WriteCanonical(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestExactNumber(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`-?(0|[1-9][0-9]{0,45})(\.[0-9]{1,45})?([eE][+-]?[0-9]{1,4})?`).Draw(t, "number")
		got, err := exactNumber(text)
		want, _ := new(big.Rat).SetString(text)
		if err != nil {
			if !errors.Is(err, ErrInexact) {
				t.Fatal(err)
			}
			return
		}
		have, ok := new(big.Rat).SetString(got)
		if !ok || have.Cmp(want) != 0 {
			t.Fatalf("%s became %s", text, got)
		}
		if digits := strings.Trim(strings.NewReplacer("-", "", ".", "").Replace(strings.SplitN(got, "E", 2)[0]), "0"); len(digits) > maxDigits {
			t.Fatalf("%s has %d digits", got, len(digits))
		}
	})
}

// same compares JSON values, numbers by value: DynamoDB does not keep how they
// were written. (cmp.Diff takes exponential time in the depth of lists.)
func same(a, b any) bool {
	switch a := a.(type) {
	case json.Number:
		b, ok := b.(json.Number)
		if !ok {
			return false
		}
		x, y := rational(a), rational(b)
		return x != nil && y != nil && x.Cmp(y) == 0
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, same)
	case map[string]any:
		b, ok := b.(map[string]any)
		return ok && maps.EqualFunc(a, b, same)
	}
	return a == b
}

func rational(n json.Number) *big.Rat {
	mantissa, _, _ := strings.Cut(strings.ToUpper(n.String()), "E")
	if strings.Trim(mantissa, "-0.") == "" {
		return new(big.Rat) // big.Rat would compute the power in 0e999999999
	}
	r, _ := new(big.Rat).SetString(n.String())
	return r
}

func parse(t interface{ Fatalf(string, ...any) }, text string) any {
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%.60q: %v", text, err)
	}
	return v
}

// TestExponentsOfManyDigits holds that a number is read in one pass: each of these kept the
// function busy for half a minute, or reserved gigabytes.
func TestExponentsOfManyDigits(t *testing.T) {
	t.Parallel()
	nines, zeros := strings.Repeat("9", 4<<20), strings.Repeat("0", 4<<20)
	for name, tt := range map[string]struct{ text, want string }{
		"large":             {"1e" + nines, ""},
		"small":             {"1e-" + nines, ""},
		"zeros before":      {"1e+" + zeros + "7", "10000000"},
		"zeros before, -":   {"1E-" + zeros + "7", "1E-7"},
		"only zeros":        {"5e" + zeros, "5"},
		"zero to any power": {"0e" + nines, "0"},
		"ten digits":        {"1e2147483648", ""},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		v, err := EncodeOutput(json.RawMessage(tt.text))
		runtime.ReadMemStats(&after)
		n, _ := v.(*types.AttributeValueMemberN)
		if tt.want == "" && !errors.Is(err, ErrInexact) || tt.want != "" && (err != nil || n == nil || n.Value != tt.want) {
			t.Errorf("%s: %v, %v, want %q", name, v, err, tt.want)
		}
		if err != nil && len(err.Error()) > 1000 {
			t.Errorf("%s: an error of %d bytes", name, len(err.Error()))
		}
		// Other tests run beside this one; computing the number took 100 times the text, and more.
		if used := after.TotalAlloc - before.TotalAlloc; used > 512<<20 {
			t.Errorf("%s: %d MB of memory", name, used>>20)
		}
	}
}
