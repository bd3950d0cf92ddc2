package extend

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// A walk compares JSON with the value that it was read as, member by member: nothing may be lost, renamed or made up.
type walk struct {
	t    *testing.T
	file string

	tolerant bool // there are members that nobody knows yet, which Raw has
}

func (w walk) errorf(path, format string, args ...any) {
	w.t.Helper()
	w.t.Errorf("%s%s: %s", w.file, path, fmt.Sprintf(format, args...))
}

func (w walk) value(path string, raw json.RawMessage, v reflect.Value) {
	w.t.Helper()
	for v.Kind() == reflect.Pointer {
		if v.IsNil() {
			if string(raw) != "null" {
				w.errorf(path, "%s is lost", raw)
			}
			return
		}
		v = v.Elem()
	}
	if kept, ok := v.Interface().(json.RawMessage); ok {
		if compact(w.t, raw) != compact(w.t, kept) {
			w.errorf(path, "%s became %s", raw, kept)
		}
		return
	}
	if string(raw) == "null" {
		if !v.IsZero() {
			w.errorf(path, "null became %v", v)
		}
		return
	}
	switch kept := v.Interface().(type) {
	case time.Time:
		if want, err := time.Parse(time.RFC3339Nano, text(raw)); err != nil || !kept.Equal(want) {
			w.errorf(path, "%s became %v", raw, kept)
		}
		return
	case json.Number:
		if string(raw) != kept.String() {
			w.errorf(path, "%s became %v", raw, kept)
		}
		return
	case TypeNames:
		if again, err := json.Marshal(kept); err != nil || string(again) != compact(w.t, raw) {
			w.errorf(path, "%s became %v", raw, kept)
		}
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		w.object(path, raw, v)
	case reflect.Slice:
		var list []json.RawMessage
		if err := json.Unmarshal(raw, &list); err != nil || len(list) != v.Len() {
			w.errorf(path, "%s became %v", raw, v)
			return
		}
		for i := range list {
			w.value(fmt.Sprintf("%s[%d]", path, i), list[i], v.Index(i))
		}
	case reflect.Map:
		var o map[string]json.RawMessage
		if err := json.Unmarshal(raw, &o); err != nil || len(o) != v.Len() {
			w.errorf(path, "%s became %v", raw, v)
			return
		}
		for name := range o {
			if e := v.MapIndex(reflect.ValueOf(name)); e.IsValid() {
				w.value(path+"."+name, o[name], e)
			} else {
				w.errorf(path, "%s is lost", name)
			}
		}
	default:
		want := reflect.New(v.Type())
		if err := json.Unmarshal(raw, want.Interface()); err != nil || !want.Elem().Equal(v) {
			w.errorf(path, "%s became %v", raw, v)
		}
	}
}

func (w walk) object(path string, raw json.RawMessage, v reflect.Value) {
	w.t.Helper()
	var o map[string]json.RawMessage
	if err := json.Unmarshal(raw, &o); err != nil {
		w.errorf(path, "%s became a %s", raw, v.Type())
		return
	}
	fields := map[string]reflect.Value{}
	fieldsOf(v, fields)
	for _, name := range slices.Sorted(maps.Keys(o)) {
		field, ok := fields[name]
		if !ok && w.tolerant {
			continue
		} else if !ok {
			w.errorf(path, "%s is lost: %s has no such field", name, v.Type())
			continue
		}
		if run, ok := v.Interface().(EditRun); ok && name == "status" && strings.HasPrefix(string(o[name]), "{") { // flattened
			w.value(path+".status", o[name], reflect.ValueOf(EditRun{
				Resource: Resource{Object: "edit_run_status", ID: run.ID}, Status: run.Status, FailureReason: run.FailureReason,
			}))
			continue
		}
		w.value(path+"."+name, o[name], field)
		if w.tolerant {
			continue
		}
		if typed := typedReading(w.t, v, name, o[name]); typed != nil {
			w.value(path+"."+name, o[name], reflect.ValueOf(typed))
		}
	}
	for name, field := range fields {
		if _, ok := o[name]; !ok && !field.IsZero() {
			if _, flattened := v.Interface().(EditRun); !flattened || name != "failureReason" {
				w.errorf(path, "%s is made up: %v", name, field)
			}
		}
	}
}

// fieldsOf collects the fields of a struct by the name that they have in JSON. Fields of [Run] have no tag: it is read by
// hand, for it is what every delivery brings.
func fieldsOf(v reflect.Value, fields map[string]reflect.Value) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous:
			inner := map[string]reflect.Value{}
			fieldsOf(v.Field(i), inner)
			for name, field := range inner {
				if _, ok := fields[name]; !ok {
					fields[name] = field
				}
			}
		case name == "" && v.Type() == reflect.TypeFor[Run]():
			fields[jsonNameOfRun(f.Name)] = v.Field(i)
		case name != "" && name != "-":
			fields[name] = v.Field(i)
		}
	}
}

// jsonNameOfRun is what a field of [Run] is called in JSON.
func jsonNameOfRun(field string) string {
	if name := strings.ToLower(field); name == "id" || name == "url" {
		return name
	}
	return strings.ToLower(field[:1]) + strings.ReplaceAll(field[1:], "ID", "Id")
}

// typedReading reads a member that is kept as JSON with the type that its neighbours name, nil where there is none.
func typedReading(t *testing.T, parent reflect.Value, member string, raw json.RawMessage) any {
	t.Helper()
	if s := compact(t, raw); s == "null" || s == "{}" {
		return nil
	}
	var v any
	var err error
	switch p := parent.Interface().(type) {
	case Run:
		switch member {
		case "output", "initialOutput", "reviewedOutput":
			v, err = parseOutput(p.Type, raw)
		case "config":
			v, err = parseConfig(raw)
		case "files":
			v, err = ParseList[File](raw)
		case "mergedProcessors":
			v, err = ParseList[MergedProcessor](raw)
		case "edits":
			v, err = ParseMap[Edit](raw)
		}
	case ProcessorVersion:
		if member == "config" {
			v, err = parseConfig(raw)
		}
	case StepRun:
		if member == "output" && p.Step.Type == StepRuleValidation {
			v, err = Parse[RuleValidation](raw)
		}
	case EvaluationSetItem:
		if member == "expectedOutput" {
			v, err = parseProvided(raw)
		}
	case EditConfig, EditSchemaConfig, GeneratedEditSchema:
		switch member {
		case "schema", "inputSchema", "annotatedSchema":
			v, err = Parse[EditSchema](raw)
		}
	}
	if err != nil {
		t.Errorf("%s of %T: %v", member, parent.Interface(), err)
	}
	return v
}

func parseOutput(typ RunType, raw json.RawMessage) (any, error) {
	switch typ {
	case TypeClassify:
		return Parse[Classified](raw)
	case TypeSplitter:
		return Parse[Splits](raw)
	}
	if e, err := Parse[Extraction](raw); err == nil {
		return e, nil
	}
	return ParseMap[FieldResult](raw)
}

// parseProvided reads an output that a caller said, of which nothing tells the type.
func parseProvided(raw json.RawMessage) (any, error) {
	if s, err := Parse[Splits](raw); err == nil {
		return s, nil
	}
	if c, err := Parse[Classified](raw); err == nil {
		return c, nil
	}
	return parseOutput(TypeExtract, raw)
}

func parseConfig(raw json.RawMessage) (any, error) {
	var kind struct{ Type RunType }
	if err := json.Unmarshal(raw, &kind); err != nil {
		return nil, err
	}
	switch kind.Type {
	case TypeExtract:
		return Parse[ExtractionConfig](raw)
	case TypeClassify:
		return Parse[ClassificationConfig](raw)
	case TypeSplitter:
		return Parse[SplitterConfig](raw)
	}
	return nil, nil // a type of tomorrow
}
