package fakeextend_test

import (
	"encoding/json"
	"testing"

	"extend-intake/dev/fakeextend"
)

// Every change does what it says and leaves all other bytes alone, also where
// an earlier change has left no JSON.
func TestChanges(t *testing.T) {
	t.Parallel()
	const text = `{ "a" : 1, "m": {"attempt": 1,"key":"Zürich \"7\", {Ⅶ}"} ,"b":[1, {"c":"}"}] }`
	set, drop, within := fakeextend.Set, fakeextend.Drop, fakeextend.Within
	for _, test := range []struct {
		name   string
		change fakeextend.Change
		text   string
		want   string
	}{
		{"none", fakeextend.Change{}, text, text},
		{"set", set("a", `"1"`), text, `{ "a" : "1", "m": {"attempt": 1,"key":"Zürich \"7\", {Ⅶ}"} ,"b":[1, {"c":"}"}] }`},
		{"set what is new", set("d", `null`), text, `{ "a" : 1, "m": {"attempt": 1,"key":"Zürich \"7\", {Ⅶ}"} ,"b":[1, {"c":"}"}] ,"d":null}`},
		{"set into nothing", set("a", `1`), `{}`, `{"a":1}`},
		{"set where there is no object", set("a", `1`), `null`, `{"a":1}`},
		{"set twice of a name", set("a", `2`), `{"a":1,"a":1}`, `{"a":2,"a":2}`},
		{"drop the first", drop("a"), text, `{"m": {"attempt": 1,"key":"Zürich \"7\", {Ⅶ}"},"b":[1, {"c":"}"}]}`},
		{"drop the last", drop("b"), `{"a":1,"b":2}`, `{"a":1}`},
		{"drop all", drop("a"), `{"a":1}`, `{}`},
		{"drop what is absent", drop("x"), `{"a":1}`, `{"a":1}`},
		{"within", within("m", drop("key")), `{"m": {"attempt": 1,"key":"x"} }`, `{"m": {"attempt": 1} }`},
		{"within null", within("m", set("x", "NaN")), `{"m":null}`, `{"m":{"x":NaN}}`},
		{"within nothing", within("m", set("x", "-Infinity")), `{"a":1}`, `{"a":1,"m":{"x":-Infinity}}`},
		{"after what is no JSON", fakeextend.All(set("a", "NaN"), set("a", "1"), set("b", "2")), `{"b":'}`, `{"b":2,"a":1}`},
		{"as text", fakeextend.Respell("m", fakeextend.AsText), `{"m":{"a":"b"}}`, `{"m":"{\"a\":\"b\"}"}`},
		{"as text, again", fakeextend.Respell("m", fakeextend.AsText), `{"m":"x"}`, `{"m":"x"}`},
		{"absent stays so", fakeextend.Respell("m", fakeextend.AsText), `{}`, `{}`},
		{"floats", fakeextend.RespellAll(fakeextend.AsFloat), `{"a":1,"b":-20,"c":1.5,"d":"1","e":true}`, `{"a":1.0,"b":-20.0,"c":1.5,"d":"1","e":true}`},
		{"apart", fakeextend.Respell("k", fakeextend.Decomposed), `{"k":["Zürich \"7\"","하늘","ガス"]}`, "{\"k\":[\"Zu\u0308rich \\\"7\\\"\",\"\u1112\u1161\u1102\u1173\u11af\",\"\u30ab\u3099ス\"]}"},
		{"in one", fakeextend.Respell("k", fakeextend.Composed), "{\"k\":[\"Zu\u0308rich\",\"\u1112\u1161\u1102\u1173\u11af\",\"\u30ab\u3099ス\"]}", `{"k":["Zürich","하늘","ガス"]}`},
		{"replace", fakeextend.Replace("<html>"), text, "<html>"},
	} {
		before := []byte(test.text)
		got := []byte(test.text)
		if test.change.Apply != nil {
			got = test.change.Apply(before)
		}
		eq(t, test.name, string(got), test.want)
		eq(t, test.name+": the argument", string(before), test.text)
	}
	if !json.Valid([]byte(text)) {
		t.Error("the text itself is no JSON")
	}
}
