package publish

import (
	"encoding/json"
	"math/big"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestNumberSurvives(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		// Money, rates, counts, and what float64 printed.
		"0": true, "-0": true, "-0.00": true, "0.0": true, "0E+9999999999": true, "1": true, "1.0": true, "1234.50": true, "0.1": true, "19.99": true, "-1234.56": true, "1.0875": true, "0.077": true,
		"99999999999.99": true, "0.9876543210123456": true, "5E-7": true, "1.7976931348623157": true, "0.30000000000000004": true, "12.5e2": true, "5e-324": true,
		// Whole numbers.
		"9007199254740991": true, "-9007199254740991": true, "9007199254740991.0": true, "9.007199254740991E+15": true,
		"9007199254740992": false, "-9007199254740992": false, "9007199254740992.0": false, "9.007199254740992E+15": false,
		"9007199254740993": false, "-9007199254740993": false, "9007199254740994": false, "123456789012345678": false, "9.007199254740993e15": false,
		"9223372036854775807": false, "-9223372036854775808": false, "12345678901234567890": false, "1E+16": false, "1E+30": false, "1E308": false,
		// Decimals of more digits than a float64 has.
		"0.12345678901234567890123456789012345678": false, "99999999999999.999": false, "0.1000000000000000055511151231257827": false, "1.00000000000000000001": false,
		"9007199254740992.5": false, "4.9e-324": false,
		// Out of its range.
		"1E+309": false, "-1E+309": false, "1E-400": false, "1E-999999999999": false, "1E999999999999": false,
		"": false, "NaN": false, "Inf": false,
	} {
		if got := numberSurvives(text); got != want {
			t.Errorf("%s: %t", text, got)
		}
	}
}

// Every amount with two decimals, up to where a float64 no longer tells them apart.
func TestMoneySurvives(t *testing.T) {
	t.Parallel()
	dice := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		cents := dice.Int64N(1_000_000_000_000_000) >> dice.IntN(50)
		text := strconv.FormatInt(cents/100, 10) + "." + strconv.FormatInt(100+cents%100, 10)[1:]
		if !numberSurvives(text) || !numberSurvives("-"+text) {
			t.Errorf("%s would not be inline", text)
		}
	}
}

// nested is an output of so many levels.
func nested(levels int) string {
	return strings.Repeat(`{"a":[`, levels/2) + strings.Repeat("[", levels%2) + strings.Repeat("]", levels%2) + strings.Repeat("]}", levels/2)
}

func TestSurvives(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		`null`: true, `[]`: true, `{}`: true, `""`: true, `true`: true,
		`{"a":{"a":[{"a":1},{"a":2}]},"b":1234.50}`:         true, // one name in several objects
		`"é 🧾 \ud83e\uddfe \t\n\r \u007f \ufffd � \\ud800"`: true,
		`{"n":[0,{"n":9007199254740993}]}`:                  false,
		nested(maxNesting):                                  true,
		nested(maxNesting + 1):                              false,
		nested(100_000):                                     false,
		"\"a\ufffe\"":                                       false,
		`"a\uffff"`:                                         false,
		`"\u0000"`:                                          false,
		`"page 1\fpage 2"`:                                  false,
		"{\"a\ufffe\":1}":                                   false,
		`{"a":{"\u0007":1}}`:                                false,
		`"\ud800"`:                                          false,
		`"\udc00\ud800"`:                                    false,
		`{"\uD83E":1}`:                                      false,
		`{"a":1,"a":1}`:                                     false,
		`{"a":1,"\u0061":2}`:                                false,
		`{"a":1,"A":2}`:                                     false, // PowerShell, and Go's and .NET's readers into types
		`{"straße":1,"STRASSE":2,"ſ":3}`:                    true,
		`{"s":1,"ſ":2}`:                                     false,
		`{"k":1,"\u212a":2}`:                                false,
		`{"a":{"B":1},"b":1}`:                               true,
		`{"":1}`:                                            false,
		`[{"a":{"":null}}]`:                                 false,
		`[{"b":{"c":1,"d":2,"c":3}}]`:                       false,
		"\"\xff\"":                                          false,
	} {
		if got := survives(json.RawMessage(text)); got != want {
			t.Errorf("%s: %t", text, got)
		}
	}
}

// Whatever passes is the same value, in the same characters, after a parser that knows
// nothing but float64 and one member of a name, and can be in a message.
func FuzzSurvives(f *testing.F) {
	for _, text := range []string{
		`{"a":[1,-2.5,1e21,0.1],"b":"\ud83e\uddfe\u0000"}`, `9007199254740993`, `-0`, `1e-400`, `{"a":1,"a":2}`, `"\ud800"`, `123456789012345678901234567890.5`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if !json.Valid(text) || !survives(text) {
			return
		}
		var v any
		if err := json.Unmarshal(text, &v); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		again, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if before, after := tokens(t, text), tokens(t, again); before != after {
			t.Errorf("%s became %s", text, again)
		}
		if lower := strings.ToLower(string(text)); strings.Contains(string(again), "\ufffd") && !strings.Contains(lower, "\ufffd") && !strings.Contains(lower, `\ufffd`) {
			t.Errorf("%s became %s", text, again)
		}
		if !utf8.Valid(text) || strings.ContainsAny(string(text), "\ufffe\uffff") {
			t.Errorf("%q can't be in a message", text)
		}
	})
}

// tokens is what JSON text says: how many tokens there are, names sorted, numbers as
// exact fractions.
func tokens(t *testing.T, text []byte) string {
	count := 0
	for d := json.NewDecoder(strings.NewReader(string(text))); ; count++ {
		if _, err := d.Token(); err != nil {
			break
		}
	}
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	var exact func(v any) any
	exact = func(v any) any {
		switch v := v.(type) {
		case json.Number:
			r, ok := new(big.Rat).SetString(v.String())
			if !ok {
				// Only a zero may have an exponent that is too large for a fraction.
				r = new(big.Rat)
			}
			return r.String()
		case []any:
			for i := range v {
				v[i] = exact(v[i])
			}
		case map[string]any:
			for name := range v {
				v[name] = exact(v[name])
			}
		}
		return v
	}
	out, err := json.Marshal(exact(v))
	if err != nil {
		t.Fatal(err)
	}
	return strconv.Itoa(count) + " " + string(out)
}

// TestShortWaySurvives: what is decided without arithmetic is what arithmetic says.
func TestShortWaySurvives(t *testing.T) {
	t.Parallel()
	dice := rand.New(rand.NewPCG(3, 4))
	for range 20_000 {
		whole, fraction := strconv.FormatUint(dice.Uint64()>>dice.IntN(64), 10), strconv.FormatUint(dice.Uint64()>>dice.IntN(64), 10)
		float := strconv.FormatFloat(dice.Float64()*float64(dice.IntN(1_000_000)), 'f', -1, 64)
		for _, text := range []string{whole, whole + "." + fraction, "-" + whole + ".0" + fraction, "0." + fraction + "0", float, "-" + float} {
			if got, want := survives(json.RawMessage(text)), numberSurvives(text); got != want {
				t.Errorf("%s: %t, want %t", text, got, want)
			}
		}
	}
}
