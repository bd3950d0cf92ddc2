package apicontract

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/google/jsonschema-go/jsonschema"
)

// A Reading is one of the three ways to read a schema that README.md describes.
type Reading int

// The readings.
const (
	Strict    Reading = iota // what is published: nothing is in an object that is not described
	Tolerant                 // what a client takes: open sets and choices take anything
	AsRequest                // what a client sends: as Strict, and what is absent is not null
)

var readings = map[Reading]func(map[string]any){Strict: strictly, Tolerant: tolerantly, AsRequest: asRequest}

func strictly(s map[string]any) {
	if s["properties"] != nil && s["additionalProperties"] == nil && s["x-free"] != true {
		s["additionalProperties"] = false
	}
}

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
		var choices []any
		for _, required := range sets {
			choices = append(choices, map[string]any{"required": required})
		}
		s["allOf"] = []any{map[string]any{"anyOf": choices}}
	}
	strictly(s)
}

// read applies a reading to a schema and to those inside it. The two formats that
// occur become patterns, since the library does not look at formats. A link in a
// request may be of a server without TLS: that is for the caller to decide.
func read(v any, r Reading) any {
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
				named[name] = read(v, r)
			}
			v = named
		case "items", "additionalProperties":
			v = read(v, r)
		case "anyOf", "oneOf", "allOf":
			var list []any
			for _, v := range v.([]any) {
				list = append(list, read(v, r))
			}
			v = list
		case "$ref":
			v = strings.TrimPrefix(v.(string), "schemas.json")
		}
		out[k] = v
	}
	readings[r](out)
	switch out["format"] {
	case "date-time":
		out["pattern"] = `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|\.\d{3}Z|\.\d{6}\+00:00)$`
	case "uri":
		out["pattern"] = `^https://[^/]`
		if r == AsRequest {
			out["pattern"] = `^https?://[^/]`
		}
	}
	return out
}

var schemas = sync.OnceValue(func() map[string]any {
	var s struct {
		Defs map[string]any `json:"$defs"`
	}
	mustRead("schemas.json", &s)
	return s.Defs
})

// Definition returns a schema that is the one of that name in schemas.json.
func Definition(name string) json.RawMessage {
	return json.RawMessage(`{"$ref": "#/$defs/` + name + `"}`)
}

// Violation says in which way a JSON value breaks a schema under a reading, nil if
// it does not.
func Violation(schema json.RawMessage, r Reading, value []byte) error {
	var v any
	if err := json.Unmarshal(value, &v); err != nil {
		return err
	}
	key := fmt.Sprint(r, string(schema))
	resolved, ok := resolvedSchemas.Load(key)
	if !ok {
		fresh, err := resolve(schema, r)
		if err != nil {
			return err
		}
		resolved, _ = resolvedSchemas.LoadOrStore(key, fresh)
	}
	return resolved.(*jsonschema.Resolved).Validate(v)
}

var resolvedSchemas sync.Map // by reading and text

// resolve makes a validator of a schema and the definitions that it needs.
func resolve(schema json.RawMessage, r Reading) (*jsonschema.Resolved, error) {
	var root any
	if err := json.Unmarshal(schema, &root); err != nil {
		return nil, err
	}
	whole := read(root, r).(map[string]any)
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
					definitions[name] = read(schemas()[name], r)
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
		return nil, err
	}
	var s jsonschema.Schema
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, err
	}
	return s.Resolve(nil)
}
