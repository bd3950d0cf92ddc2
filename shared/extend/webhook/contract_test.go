package webhook

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"extend-intake/dev/apicontract"
)

// A reading is one of the ways to read a payload; it returns the id of what was read, and its JSON.
type reading func(*Event) (id string, raw json.RawMessage, err error)

var readings = map[string]reading{ // by what the payload says that it is
	"document_processor_run": func(e *Event) (string, json.RawMessage, error) {
		v, err := e.Run()
		if err != nil {
			return "", nil, err
		}
		return v.ID, v.Raw, nil
	},
	"workflow_run": func(e *Event) (string, json.RawMessage, error) {
		v, err := e.WorkflowRun()
		if err != nil {
			return "", nil, err
		}
		return v.ID, v.Raw, nil
	},
	"workflow_step_run": func(e *Event) (string, json.RawMessage, error) {
		v, err := e.StepRun()
		if err != nil {
			return "", nil, err
		}
		return v.ID, v.Raw, nil
	},
	"parser_run_status": func(e *Event) (string, json.RawMessage, error) {
		v, err := e.ParserRun()
		if err != nil {
			return "", nil, err
		}
		return v.ID, v.Raw, nil
	},
	"workflow": func(e *Event) (string, json.RawMessage, error) {
		v, err := e.Workflow()
		if err != nil {
			return "", nil, err
		}
		return v.ID, v.Raw, nil
	},
	"document_processor": func(e *Event) (string, json.RawMessage, error) {
		v, err := e.Processor()
		if err != nil {
			return "", nil, err
		}
		return v.ID, v.Raw, nil
	},
	"document_processor_version": func(e *Event) (string, json.RawMessage, error) {
		v, err := e.ProcessorVersion()
		if err != nil {
			return "", nil, err
		}
		return v.ID, v.Raw, nil
	},
}

// types is every type of event by its constant.
var types = []string{
	RunProcessed, RunFailed, WorkflowRunCompleted, WorkflowRunFailed, WorkflowRunNeedsReview, WorkflowRunRejected, StepRunProcessed, ParserRunProcessed,
	ParserRunFailed, WorkflowCreated, WorkflowDeployed, WorkflowDeleted, ProcessorCreated, ProcessorUpdated, ProcessorDeleted, ProcessorDraftUpdated, ProcessorVersionPublished,
}

// TestContract holds the package to the events of the contract, one subtest a type: see package apicontract.
func TestContract(t *testing.T) {
	t.Parallel()
	b, err := apicontract.File("schemas.json")
	if err != nil {
		t.Fatal(err)
	}
	var schemas struct {
		Webhooks map[string]any `json:"x-webhooks"`
	}
	if err := json.Unmarshal(b, &schemas); err != nil {
		t.Fatal(err)
	}
	if len(types) != 17 || len(schemas.Webhooks) != len(types) {
		t.Fatalf("%d types, and %d in the contract", len(types), len(schemas.Webhooks))
	}
	for _, typ := range types {
		t.Run(typ, func(t *testing.T) {
			t.Parallel()
			if schemas.Webhooks[typ] == nil {
				t.Fatal("the contract has no such type")
			}
			files := apicontract.Glob("examples/webhooks/" + typ + ".*json")
			if len(files) == 0 {
				t.Fatal("no example")
			}
			for _, file := range files {
				body, err := apicontract.File(file)
				if err != nil {
					t.Fatal(err)
				}
				event := open(t, body)
				if event.Type != typ || event.ID == "" {
					t.Errorf("%s: %s %s", file, event.Type, event.ID)
				}
				pointer, ok := event.Pointer()
				if strings.Contains(file, "signed-url") != ok {
					t.Errorf("%s: Pointer %v", file, ok)
				}
				if ok {
					checkPointer(t, event, pointer)
					continue
				}
				checkReadings(t, event)
				// The same in place of its payload: all of a pointer, and the least of it.
				for _, shape := range []string{
					`{"object": "signed_data_url", "id": "id_1", "data": "https://example.com/a?s=1", "metadata": {"n": 1.0}}`,
					`{"object": "signed_data_url", "id": "id_1", "data": "https://example.com/a?s=1", "metadata": null}`,
					`{"data": "https://example.com/a?s=1"}`,
				} {
					link := &Event{ID: event.ID, Type: typ, Payload: json.RawMessage(shape)}
					pointer, ok := link.Pointer()
					if !ok || pointer.URL != "https://example.com/a?s=1" || (pointer.RunID == "id_1") != strings.Contains(shape, "id_1") || (pointer.Metadata != nil) != strings.Contains(shape, "1.0") {
						t.Errorf("%s: %+v, %v", shape, pointer, ok)
					}
					checkPointer(t, link, pointer)
				}
			}
		})
	}
}

// checkReadings holds that a payload can be read as what it says that it is, whole, and as nothing else.
func checkReadings(t *testing.T, e *Event) {
	t.Helper()
	var payload struct{ Object, ID string }
	if err := json.Unmarshal(e.Payload, &payload); err != nil {
		t.Fatal(err)
	}
	if e.Object() != payload.Object || readings[payload.Object] == nil {
		t.Errorf("no reading for %q", payload.Object)
	}
	for object, read := range readings {
		id, raw, err := read(e)
		switch {
		case object == payload.Object && (err != nil || id != payload.ID || !bytes.Equal(raw, e.Payload)):
			t.Errorf("as %s: %q, %v", object, id, err)
		case object != payload.Object && (err == nil || !strings.Contains(err.Error(), e.Type+" "+e.ID)):
			t.Errorf("a %s as %s: %q, %v", payload.Object, object, id, err)
		}
	}
	// What does not say what it is is not guessed, but for a run: deliveries of those may be the only news of a paid one.
	unsaid := &Event{ID: e.ID, Type: e.Type, Payload: bytes.Replace(e.Payload, []byte(`"object"`), []byte(`"what"`), 1)}
	for object, read := range readings {
		if _, _, err := read(unsaid); err == nil && object != "document_processor_run" {
			t.Errorf("a payload that does not say what it is passes for a %s", object)
		}
	}
}

// checkPointer holds that a pointer is read as nothing else.
func checkPointer(t *testing.T, e *Event, p Pointer) {
	t.Helper()
	for object, read := range readings {
		if _, _, err := read(e); err == nil || strings.Contains(err.Error(), p.URL) {
			t.Errorf("a pointer as %s: %v", object, err)
		}
	}
}

// An event of a type that nobody knows yet can still be read by what its payload says.
func TestUnknownTypeOfTheContract(t *testing.T) {
	t.Parallel()
	body, err := apicontract.File("examples/webhooks/unknown.json")
	if err != nil {
		t.Fatal(err)
	}
	event := open(t, body)
	if event.Type == "" || event.ID == "" || !json.Valid(event.Payload) {
		t.Errorf("%+v", event)
	}
	if _, ok := event.Pointer(); ok {
		t.Error("it passes for a pointer")
	}
	if run, err := event.Run(); event.Object() != "document_processor_run" || err == nil {
		t.Errorf("a %s, read as %+v without a status", event.Object(), run)
	}
}
