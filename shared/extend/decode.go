package extend

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"

	"extend-intake/shared/clean"
	"extend-intake/shared/extend/internal/loose"
)

// Received is what was received: the raw JSON of an object, and of the answer that it was in.
type Received struct {
	// Raw is the whole object as received, with members that this package does not know. It is nil if the object is part
	// of another, whose Raw has it.
	Raw json.RawMessage `json:"-"`
	// Answer is the whole answer around Raw; nil where the object came by a webhook or is part of a list.
	Answer json.RawMessage `json:"-"`
	// Warning is the warning of the answer, such as one about a missing version header; mostly "".
	Warning string `json:"-"`
}

func (r *Received) received() *Received { return r }

// Resource is what all objects of the API have.
type Resource struct {
	Object string `json:"object"` // what it is, such as "workflow_run"; "" in lists of some
	ID     string `json:"id"`     // opaque: never take it apart
	Received
}

func (r *Resource) resource() *Resource { return r }

// Parse reads JSON of the API as one of this package's types: an object that a webhook brings, or what a [json.RawMessage]
// holds, with the type that the members beside it name.
//
//	invoice, err := extend.Parse[extend.Extraction](run.Output)
//	config, err := extend.Parse[extend.SplitterConfig](version.Config)
//
// It is as tolerant as [ParseRun]: a member of another type than its field is taken as absent. It fails where nothing, or the
// wrong thing, would be understood: no JSON object, one that says it is something else, a resource without an id that is a
// text, a run whose status is no text (which is an [*UnreadableError]). Numbers are kept exact, as [json.Number].
func Parse[T any](object json.RawMessage) (*T, error) {
	v := new(T)
	o, err := loose.SplitObject(object)
	if err != nil {
		return nil, unreadable(v, o, object, err.Error())
	}
	fill(reflect.ValueOf(v).Elem(), object, "")
	if a, ok := any(v).(interface{ adopt(loose.Object) error }); ok {
		if err := a.adopt(o); err != nil {
			return nil, unreadable(v, o, object, err.Error())
		}
	}
	if r, ok := any(v).(interface{ resource() *Resource }); ok {
		if reason := unidentified(v, r.resource(), o); reason != "" {
			return nil, unreadable(v, o, object, reason)
		}
	}
	if r, ok := any(v).(interface{ received() *Received }); ok {
		r.received().Raw = object
	}
	return v, nil
}

// ParseList reads a JSON list of such objects, as [Run] has them of files. One that cannot be read makes it fail.
func ParseList[T any](list json.RawMessage) ([]T, error) {
	raws, err := loose.SplitList(list)
	if err != nil {
		return nil, err
	}
	values := make([]T, len(raws))
	for i, raw := range raws {
		v, err := Parse[T](raw)
		if err != nil {
			return nil, fmt.Errorf("[%d]: %w", i, err)
		}
		values[i] = *v
	}
	return values, nil
}

// ParseMap reads a JSON object whose members are such objects, as the legacy fields and the edits of a run are.
func ParseMap[T any](object json.RawMessage) (map[string]T, error) {
	o, err := loose.SplitObject(object)
	if err != nil {
		return nil, err
	}
	values := make(map[string]T, len(o))
	for name, raw := range o {
		v, err := Parse[T](raw)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		values[name] = *v
	}
	return values, nil
}

// unidentified says why an object is not what it should be, "" if it is.
func unidentified(v any, r *Resource, o loose.Object) string {
	t := reflect.TypeOf(v).Elem()
	embedded, _ := t.FieldByName("Resource")
	kinds := embedded.Tag.Get("object")
	switch status := reflect.ValueOf(v).Elem().FieldByName("Status"); {
	case r.Object != "" && kinds != "" && !strings.Contains(" "+kinds+" ", " "+r.Object+" "):
		return fmt.Sprintf("object is a %.100q", r.Object)
	case r.ID == "" && o.Has("id"):
		return "id is not a text"
	case r.ID == "":
		return "no id"
	case status.IsValid() && status.String() == "" && o.Has("status"):
		return "status is not a text"
	}
	return ""
}

// unreadable is the error of an object that cannot be read: for a run, one that tells whose it is.
func unreadable(v any, o loose.Object, object json.RawMessage, reason string) error {
	t := reflect.TypeOf(v).Elem()
	if _, isRun := t.FieldByName("Status"); !isRun {
		return fmt.Errorf("%s: %s", t.Name(), reason)
	}
	e := &UnreadableError{RunID: loose.Of[string](o, "id"), Status: Status(name(o, "status")), Body: object, Reason: reason}
	if o.Has("metadata") {
		e.Metadata = o.Raw("metadata")
	}
	return e
}

// A reader is a type that is not read member by member.
type reader interface {
	read(raw json.RawMessage) error
}

// fill sets v from JSON as far as it fits, member by member. It reports whether it does at all: what does not is absent.
// A field's tag can say how its text is cleaned: as a "name", a "text", or a "link" that people open. Without one, a text is
// kept as it came.
func fill(v reflect.Value, raw json.RawMessage, cleaned string) bool {
	if p, ok := v.Addr().Interface().(*json.RawMessage); ok && json.Valid(raw) {
		*p = raw
		return true
	} else if ok || len(raw) == 0 || string(raw) == "null" {
		return false
	}
	switch p := v.Addr().Interface().(type) {
	case reader:
		return p.read(raw) == nil
	case *time.Time:
		var t timestamp
		_ = t.UnmarshalJSON(raw) // never fails
		*p = time.Time(t)
		return !p.IsZero()
	case json.Unmarshaler:
		return p.UnmarshalJSON(raw) == nil
	}
	switch v.Kind() {
	case reflect.Struct:
		o, err := loose.SplitObject(raw)
		if err != nil {
			return false
		}
		fillStruct(v, o)
		return true
	case reflect.Pointer:
		e := reflect.New(v.Type().Elem())
		if !fill(e.Elem(), raw, cleaned) {
			return false
		}
		v.Set(e)
		return true
	case reflect.Slice:
		list, err := loose.SplitList(raw)
		if err != nil {
			return false
		}
		v.Set(reflect.MakeSlice(v.Type(), 0, len(list)))
		for _, raw := range list {
			if e := reflect.New(v.Type().Elem()).Elem(); fill(e, raw, cleaned) {
				v.Set(reflect.Append(v, e))
			}
		}
		return true
	case reflect.Map:
		o, err := loose.SplitObject(raw)
		if err != nil {
			return false
		}
		v.Set(reflect.MakeMapWithSize(v.Type(), len(o)))
		for name, raw := range o {
			if e := reflect.New(v.Type().Elem()).Elem(); fill(e, raw, cleaned) {
				v.SetMapIndex(reflect.ValueOf(name), e)
			}
		}
		return true
	case reflect.Int:
		var n json.Number
		if json.Unmarshal(raw, &n) != nil {
			return false
		}
		f, err := strconv.ParseFloat(n.String(), 64) // 3.0 is an integer, too
		if err != nil || math.Abs(f) > 1<<53 || f != math.Trunc(f) {
			return false
		}
		v.SetInt(int64(f))
		return true
	}
	if json.Unmarshal(raw, v.Addr().Interface()) != nil {
		v.SetZero()
		return false
	}
	switch cleaned {
	case "name":
		v.SetString(clean.Text(v.String(), maxCode))
	case "text":
		v.SetString(clean.Text(v.String(), maxText))
	case "link":
		v.SetString(clean.Link(v.String(), maxLink))
	}
	return true
}

func fillStruct(v reflect.Value, o loose.Object) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		member, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous:
			fillStruct(v.Field(i), o)
		case member != "" && member != "-":
			fill(v.Field(i), o[member], f.Tag.Get("clean"))
		}
	}
}

// hasMember is the adopt of a type that is of no use without one member.
func hasMember(o loose.Object, name string) error {
	if !o.Has(name) {
		return errors.New("no " + strconv.Quote(name) + " in it")
	}
	return nil
}
