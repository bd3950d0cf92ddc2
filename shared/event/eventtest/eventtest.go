// Package eventtest checks events against their contract, in tests.
package eventtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/google/jsonschema-go/jsonschema"

	"extend-intake/shared/event"
)

var schemas = sync.OnceValues(func() (*struct{ public, strict *jsonschema.Resolved }, error) {
	var s struct{ public, strict *jsonschema.Resolved }
	for _, strict := range []bool{false, true} {
		var schema jsonschema.Schema
		if err := json.Unmarshal(event.Schema, &schema); err != nil {
			return nil, err
		}
		if strict {
			for _, o := range []*jsonschema.Schema{&schema, schema.Properties["object"], schema.Properties["failure"]} {
				o.AdditionalProperties = &jsonschema.Schema{Not: &jsonschema.Schema{}}
			}
		}
		resolved, err := schema.Resolve(nil)
		if err != nil {
			return nil, err
		}
		if strict {
			s.strict = resolved
		} else {
			s.public = resolved
		}
	}
	return &s, nil
})

// Check says what is wrong with a detail, as the schema sees it.
func Check(detail []byte) error {
	s, err := schemas()
	if err != nil {
		return err
	}
	var v any
	if err := json.Unmarshal(detail, &v); err != nil {
		return err
	}
	return s.public.Validate(v)
}

// CheckPublished says what is wrong with an event that this software publishes: the
// schema must know every field of it, and the detail-type and the id must be those of
// its state and revision.
func CheckPublished(source, detailType string, detail []byte) error {
	s, err := schemas()
	if err != nil {
		return err
	}
	var v any
	if err := json.Unmarshal(detail, &v); err != nil {
		return err
	}
	errs := []error{s.strict.Validate(v)}
	d, err := event.Parse(detail)
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	want := map[string]string{"PROCESSED": event.Processed, "FAILED": event.Failed, "CANCELLED": event.Cancelled, "REFUSED": event.Refused, "NEEDS_REVIEW": event.NeedsReview, "REJECTED": event.Rejected}[d.State]
	if source != event.Source || detailType != want {
		errs = append(errs, fmt.Errorf("source %q, detail-type %q of a %s document", source, detailType, d.State))
	}
	if id := fmt.Sprintf("%s.%d", d.DocumentID, d.Revision); d.ID != id {
		errs = append(errs, fmt.Errorf("id %q, want %q", d.ID, id))
	}
	return errors.Join(errs...)
}
