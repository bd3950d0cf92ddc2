package extend

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/jsonschema-go/jsonschema"
)

// The contract is what is published of the API, for machines: testdata/contract/README.md says how it is written.
const contractDir = "testdata/contract"

// A contractOperation is one call, as operations.json has it.
type contractOperation struct {
	Name, Method, Path string
	PathParameters     []struct{ Name string }
	Query              []struct {
		Name, Type       string
		Enum             []any
		Minimum, Maximum *float64
		Required         bool
	}
	Request *struct {
		ContentType string
		Schema      json.RawMessage
	}
	Response struct {
		Envelope struct {
			Kind      string
			Member    *string
			Alternate *struct{ Member string }
		}
		Schema json.RawMessage
	}
	Errors []struct {
		Status int
		Bodies []string
	}
	Pagination *struct{ Request, Response, Size, Items string }
	Repeatable bool
	RepeatNote string
	Deprecated bool
}

func contractFile(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(contractDir, filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func contractOperations(t testing.TB) []contractOperation {
	t.Helper()
	var ops []contractOperation
	if err := json.Unmarshal(contractFile(t, "operations.json"), &ops); err != nil {
		t.Fatal(err)
	}
	if len(ops) != 44 {
		t.Fatalf("%d operations", len(ops))
	}
	return ops
}

// examples returns the names of an operation's examples of a kind: "request" or "response".
func (o contractOperation) examples(t testing.TB, kind string) []string {
	t.Helper()
	var names []string
	for _, pattern := range []string{o.Name + "." + kind + ".json", o.Name + ".*." + kind + ".json"} {
		found, err := filepath.Glob(filepath.Join(contractDir, "examples", pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range found {
			names = append(names, "examples/"+filepath.Base(name))
		}
	}
	if len(names) == 0 {
		t.Errorf("%s has no example of a %s", o.Name, kind)
	}
	return names
}

// A reading changes a schema, from the inside out, into one of the three that the contract's README describes.
type reading func(map[string]any)

// strictly is for what is published: nothing is in an object that is not described.
func strictly(s map[string]any) {
	if s["properties"] != nil && s["additionalProperties"] == nil && s["x-free"] != true {
		s["additionalProperties"] = false
	}
}

// tolerantly is for what a client takes: open sets and choices take anything.
func tolerantly(s map[string]any) {
	if s["x-open"] == true {
		delete(s, "enum")
		delete(s, "anyOf")
		delete(s, "oneOf")
	}
	if s["x-discriminator"] != nil {
		choices, _ := s["oneOf"].([]any)
		if choices == nil {
			choices, _ = s["anyOf"].([]any)
		}
		delete(s, "oneOf")
		s["anyOf"] = append(slices.Clone(choices), map[string]any{"type": "object"})
	}
}

// asRequest is for what a client sends: as strictly, and what is absent is not null.
func asRequest(s map[string]any) {
	isNull := func(v any) bool {
		return v == nil || v == "null" || reflect.DeepEqual(v, map[string]any{"type": "null"})
	}
	if s["x-null"] != "request" {
		for _, k := range []string{"type", "enum", "anyOf"} {
			if list, ok := s[k].([]any); ok {
				s[k] = slices.DeleteFunc(slices.Clone(list), isNull)
			}
		}
	}
	if sets, ok := s["x-request-anyOf"].([]any); ok {
		var any_ []any
		for _, required := range sets {
			any_ = append(any_, map[string]any{"required": required})
		}
		s["allOf"] = []any{map[string]any{"anyOf": any_}}
	}
	strictly(s)
}

// read applies a reading to a schema and to those inside it. The two formats that occur become patterns, since the library
// does not look at formats.
func read(v any, change reading) any {
	s, ok := v.(map[string]any)
	if !ok {
		return v
	}
	out := map[string]any{}
	for k, v := range s {
		switch k {
		case "properties", "$defs":
			named := map[string]any{}
			for name, v := range v.(map[string]any) {
				named[name] = read(v, change)
			}
			v = named
		case "items", "additionalProperties":
			v = read(v, change)
		case "anyOf", "oneOf", "allOf":
			var list []any
			for _, v := range v.([]any) {
				list = append(list, read(v, change))
			}
			v = list
		case "$ref":
			v = strings.TrimPrefix(v.(string), "schemas.json")
		}
		out[k] = v
	}
	change(out)
	switch out["format"] {
	case "date-time":
		out["pattern"] = `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|\.\d{3}Z|\.\d{6}\+00:00)$`
	case "uri":
		out["pattern"] = `^https://[^/]`
	}
	return out
}

var contractSchemas = sync.OnceValues(func() (map[string]any, error) {
	b, err := os.ReadFile(filepath.Join(contractDir, "schemas.json"))
	if err != nil {
		return nil, err
	}
	var s map[string]any
	return s, json.Unmarshal(b, &s)
})

// violation says in which way JSON breaks a schema under a reading, nil if it does not.
func violation(t testing.TB, schema json.RawMessage, change reading, value []byte) error {
	t.Helper()
	var v any
	if err := json.Unmarshal(value, &v); err != nil {
		t.Fatalf("%s: %v", value, err)
	}
	key := fmt.Sprintf("%p %s", change, schema)
	resolved, ok := resolvedSchemas.Load(key)
	if !ok {
		resolved = resolve(t, schema, change)
		resolvedSchemas.Store(key, resolved)
	}
	return resolved.(*jsonschema.Resolved).Validate(v)
}

var resolvedSchemas sync.Map

// resolve makes a validator of a schema and the definitions that it needs.
func resolve(t testing.TB, schema json.RawMessage, change reading) *jsonschema.Resolved {
	t.Helper()
	all, err := contractSchemas()
	if err != nil {
		t.Fatal(err)
	}
	var root any
	if err := json.Unmarshal(schema, &root); err != nil {
		t.Fatal(err)
	}
	whole := read(root, change).(map[string]any)
	definitions := map[string]any{}
	var collect func(v any)
	collect = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, v := range v {
				collect(v)
			}
		case map[string]any:
			if ref, ok := v["$ref"].(string); ok {
				if name := strings.TrimPrefix(ref, "#/$defs/"); definitions[name] == nil {
					definitions[name] = read(all["$defs"].(map[string]any)[name], change)
					collect(definitions[name])
				}
			}
			for _, v := range v {
				collect(v)
			}
		}
	}
	collect(whole)
	whole["$defs"] = definitions
	text, err := json.Marshal(whole)
	if err != nil {
		t.Fatal(err)
	}
	var s jsonschema.Schema
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	resolved, err := s.Resolve(nil)
	if err != nil {
		t.Fatal(err)
	}
	return resolved
}

func definition(name string) json.RawMessage {
	return json.RawMessage(`{"$ref": "#/$defs/` + name + `"}`)
}

// The readings are of use only if they tell right from wrong.
func TestReadingsOfTheContract(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		schema, value             string
		strict, tolerant, request bool
	}{
		{"Usage", `{"credits": 1.5}`, true, true, true},
		{"Usage", `{"credits": "1.5"}`, false, false, false},
		{"Usage", `{"credits": 1.5, "novelty": 1}`, false, true, false},
		{"DateTime", `"2026-07-14T21:22:37.318000+00:00"`, true, true, true},
		{"DateTime", `"14 July 2026"`, false, false, false},
		{"FileInput", `{"fileUrl": "https://example.com/a.pdf"}`, true, true, true},
		{"FileInput", `{"fileUrl": "a.pdf"}`, false, false, false},
		{"FileInput", `{"fileName": "a.pdf"}`, false, false, false},
		{"FileType", `"PAPYRUS"`, false, true, false},
		{"ParseConfig", `{"target": null}`, true, true, false},
		{"ParseConfig", `{"target": "papyrus"}`, false, true, false},
		{"ProcessorConfig", `{"type": "EXTRACT"}`, true, true, false},
		{"ProcessorConfig", `{"type": "REDACT"}`, false, true, false},
		{"ProvidedFieldResult", `{"id": "a", "value": null, "page": null}`, true, true, true},
	} {
		for _, r := range []struct {
			name string
			is   reading
			want bool
		}{{"strict", strictly, tt.strict}, {"tolerant", tolerantly, tt.tolerant}, {"request", asRequest, tt.request}} {
			if err := violation(t, definition(tt.schema), r.is, []byte(tt.value)); (err == nil) != r.want {
				t.Errorf("%s as %s, %s: %v", tt.value, tt.schema, r.name, err)
			}
		}
	}
}
