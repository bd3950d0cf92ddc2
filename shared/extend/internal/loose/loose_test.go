package loose

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSplitObject(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000)
	for _, tt := range []struct {
		raw  string
		want Object // nil: refused
	}{
		{` { "a" : 1 , "b":"x,}\"" } `, Object{"a": []byte("1"), "b": []byte(`"x,}\""`)}},
		{`{}`, Object{}},
		{`{"a": NaN, "b": [-Infinity, {"c": undefined}], "d": 1}`, Object{"a": []byte("NaN"), "b": []byte(`[-Infinity, {"c": undefined}]`), "d": []byte("1")}},
		{`{"a": ` + deep + `, "b": 1}`, Object{"a": []byte(deep), "b": []byte("1")}},
		{`{"a": 1, "a": 2}`, Object{"a": []byte("2")}},
		{`{"\u0061": ""}`, Object{"a": []byte(`""`)}},
		{`{"a":}`, Object{"a": nil}},
		{`{"a": 1`, nil}, {`{"a": "x}`, nil}, {`{"a" 1}`, nil}, {`{a: 1}`, nil}, {`{"a": 1}}`, nil}, {`{"a": 1]`, nil}, {`{"a": 1,}`, nil}, {`{`, nil}, {`{"`, nil}, {`{"\`, nil},
		{`[]`, nil}, {`null`, nil}, {``, nil}, {`"{}"`, nil}, {`{} x`, nil}, {`x{}`, nil}, {`{"\q": 1}`, nil},
	} {
		got, err := SplitObject([]byte(tt.raw))
		if (err == nil) != (tt.want != nil) || !cmp.Equal(tt.want, got) {
			t.Errorf("%.100s is %.200q, %v", tt.raw, got, err)
		}
	}
}

func TestSplitList(t *testing.T) {
	t.Parallel()
	got, err := SplitList([]byte(` [ {"a": NaN} , "x]" , [1,2] ] `))
	if want := []json.RawMessage{[]byte(`{"a": NaN}`), []byte(`"x]"`), []byte("[1,2]")}; err != nil || !cmp.Equal(want, got) {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := SplitList([]byte(`[]`)); err != nil || got == nil || len(got) != 0 {
		t.Errorf("%q, %v", got, err)
	}
	for _, raw := range []string{``, `null`, `{}`, `[1`, `[1}`, `[1] 2`, `["]`} {
		if got, err := SplitList([]byte(raw)); err == nil {
			t.Errorf("%s is %q", raw, got)
		}
	}
}

func TestMembers(t *testing.T) {
	t.Parallel()
	o, err := SplitObject([]byte(`{"text": "x", "number": 7, "null": null, "bad": NaN, "list": ["x", 7]}`))
	if err != nil {
		t.Fatal(err)
	}
	if Of[string](o, "text") != "x" || Of[string](o, "number") != "" || Of[string](o, "null") != "" || Of[string](o, "bad") != "" || Of[string](o, "none") != "" {
		t.Error("text")
	}
	if got := Of[[]string](o, "list"); got != nil { // not half of it either
		t.Errorf("%q", got)
	}
	if string(o.Raw("null")) != "null" || o.Raw("bad") != nil || o.Raw("none") != nil {
		t.Error("raw")
	}
	if !o.Has("bad") || o.Has("null") || o.Has("none") {
		t.Error("has")
	}
}

// FuzzSplit holds that what is JSON is taken apart as encoding/json does it.
func FuzzSplit(f *testing.F) {
	for _, seed := range []string{`{"a": [1, {"b": "}"}], "c": null}`, `[1, "]", {"a": []}]`, `{"a": NaN}`, `[-Infinity, "\"]"]`, `{"a":1,"a":[2]}`, `null`, `{"\ud800": 1}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		object, objectErr := SplitObject(raw)
		list, listErr := SplitList(raw)
		if !json.Valid(raw) {
			return
		}
		var wantObject map[string]json.RawMessage
		if err := json.Unmarshal(raw, &wantObject); (err == nil && wantObject != nil) != (objectErr == nil) {
			t.Fatalf("object: %v, %v", err, objectErr)
		}
		for name, want := range wantObject {
			if !bytes.Equal(want, object[name]) {
				t.Fatalf("%q: %q, want %q", name, object[name], want)
			}
		}
		var wantList []json.RawMessage
		if err := json.Unmarshal(raw, &wantList); (err == nil && wantList != nil) != (listErr == nil) || len(wantList) != len(list) {
			t.Fatalf("list: %v, %v: %q", err, listErr, list)
		}
		for i, want := range wantList {
			if !bytes.Equal(want, list[i]) {
				t.Fatalf("%d: %q, want %q", i, list[i], want)
			}
		}
	})
}

func TestVersion(t *testing.T) {
	t.Parallel()
	for said, want := range map[string]string{
		"2025-04-21": "2025-04-21", "v2025-04-21": "2025-04-21", "V2025-4-21": "2025-04-21", "2025-4-21": "2025-04-21", `"2025-04-21"`: "2025-04-21",
		" 2025-04-21;": "2025-04-21", "2025-04-21T00:00:00Z": "2025-04-21", "2025.04.21": "2025-04-21", "2026-2-9": "2026-02-09",
		"": "", "latest": "latest", "2025-04-21-beta": "2025-04-21-beta", "2025-04-211": "2025-04-211", "12025-04-21": "12025-04-21", "2025-04-21, 2026-02-09": "2025-04-21, 2026-02-09",
	} {
		if got := Version(said); got != want {
			t.Errorf("%q is %q, want %q", said, got, want)
		}
	}
}
