package extend

import (
	"bytes"
	"encoding/json"
	"errors"
	"path"
	"reflect"
	"strings"
	"testing"

	"extend-intake/dev/apicontract"
)

// What is configured and what is expected is JSON in requests. The types that write it read every published example of it, and
// write it as it was.
func TestWhatIsWrittenIsWhatIsRead(t *testing.T) {
	t.Parallel()
	files := apicontract.Glob("examples/*.request.json")
	if len(files) < 50 {
		t.Fatalf("%d files", len(files))
	}
	seen := map[string]int{}
	for _, file := range files {
		e := readExample(t, file)
		var body struct {
			Config, ExpectedOutput, ReviewedOutput json.RawMessage
			Items                                  []struct{ ExpectedOutput json.RawMessage }
			Files                                  []struct {
				Outputs []struct{ Output json.RawMessage }
			}
		}
		if err := json.Unmarshal(e.Body, &body); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		check := func(raw json.RawMessage, parse func(json.RawMessage) (any, error)) {
			t.Helper()
			if raw == nil {
				return
			}
			v, err := parse(raw)
			if err != nil {
				t.Errorf("%s: %v", file, err)
				return
			}
			walk{t: t, file: file}.value("", raw, reflect.ValueOf(v))
			raw = bytes.ReplaceAll(raw, []byte(`, "page": null`), nil) // an absent page says the same
			again, err := json.Marshal(v)
			if err != nil || !sameJSON(t, raw, again) {
				t.Errorf("%s: %s is written as %s, %v", file, raw, again, err)
			}
			seen[reflect.TypeOf(v).String()]++
		}
		switch operation, _, _ := strings.Cut(path.Base(file), "."); {
		case strings.Contains(operation, "Processor"):
			check(body.Config, parseConfig)
		case strings.HasPrefix(operation, "Edit"):
			var config struct{ Schema json.RawMessage }
			if body.Config != nil {
				if err := json.Unmarshal(body.Config, &config); err != nil {
					t.Fatal(err)
				}
			}
			check(config.Schema, func(raw json.RawMessage) (any, error) { return Parse[EditSchema](raw) })
		}
		check(body.ExpectedOutput, parseProvided)
		check(body.ReviewedOutput, parseProvided)
		for _, item := range body.Items {
			check(item.ExpectedOutput, parseProvided)
		}
		for _, f := range body.Files {
			for _, o := range f.Outputs {
				check(o.Output, parseProvided)
			}
		}
	}
	for _, typ := range []string{"ExtractionConfig", "ClassificationConfig", "SplitterConfig", "EditSchema", "Extraction", "Classified", "Splits"} {
		if seen["*extend."+typ] == 0 {
			t.Errorf("no example has a %s: %v", typ, seen)
		}
	}
	if seen["map[string]extend.FieldResult"] == 0 {
		t.Errorf("no example has fields: %v", seen)
	}
}

// The payloads of webhooks are read as whole as answers are.
func TestPublishedPayloads(t *testing.T) {
	t.Parallel()
	files := apicontract.Glob("examples/webhooks/*.json")
	if len(files) < 20 {
		t.Fatalf("%d files", len(files))
	}
	for _, file := range files {
		var event struct{ Payload json.RawMessage }
		var payload struct{ Object string }
		if err := errors.Join(json.Unmarshal(contractFile(t, file), &event), json.Unmarshal(event.Payload, &payload)); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		var v any
		var err error
		switch payload.Object {
		case "document_processor_run":
			v, err = ParseRun(event.Payload)
		case "workflow_run":
			v, err = Parse[WorkflowRun](event.Payload)
		case "workflow_step_run":
			v, err = Parse[StepRun](event.Payload)
		case "parser_run_status":
			v, err = Parse[ParserRun](event.Payload)
		case "workflow":
			v, err = Parse[Workflow](event.Payload)
		case "document_processor":
			v, err = Parse[Processor](event.Payload)
		case "document_processor_version":
			v, err = Parse[ProcessorVersion](event.Payload)
		case "signed_data_url", "": // see package webhook
			continue
		default:
			t.Errorf("%s: a %s", file, payload.Object)
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		walk{t: t, file: file}.value("", event.Payload, reflect.ValueOf(v))
	}
}

// Digits and spellings of numbers survive wherever they are.
func TestNumbersAreKept(t *testing.T) {
	t.Parallel()
	const long = `12345678901234567890.10`
	e, err := Parse[Extraction](json.RawMessage(`{"value": {"total": ` + long + `}, "metadata": {"total": {"logprobsConfidence": 0.90, "ocrConfidence": null, "citations": [{"page": 3.0}]}}}`))
	if err != nil {
		t.Fatal(err)
	}
	diff(t, `{"total": `+long+`}`, string(e.Value))
	diff(t, FieldMetadata{LogprobsConfidence: "0.90", Citations: []Citation{{Page: "3.0"}}}, e.Metadata["total"])

	var value map[string]any
	if err := Exact(e.Value, &value); err != nil {
		t.Fatal(err)
	}
	diff(t, map[string]any{"total": json.Number(long)}, value)
	for _, text := range []string{``, `{}{}`, `{`, `{} x`} {
		if err := Exact(json.RawMessage(text), &value); err == nil {
			t.Errorf("%q is read", text)
		}
	}
}

// What something is of no use without is not guessed.
func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		json, want string
		parse      func(json.RawMessage) error
	}{
		{`[]`, "Processor: ", refusalOf[Processor]},
		{`{"id": "dp_1", "object": "workflow"}`, `Processor: object is a "workflow"`, refusalOf[Processor]},
		{`{"object": "document_processor"}`, "Processor: no id", refusalOf[Processor]},
		{`{"id": 7}`, "Processor: id is not a text", refusalOf[Processor]},
		{`{"id": "w_1", "status": 7}`, "run w_1: status is not a text", refusalOf[WorkflowRun]},
		{`{"id": "w_1", "status": "PROCESSED", "outputs": {}}`, "run w_1: outputs: ", refusalOf[WorkflowRun]},
		{`{"id": "w_1", "status": "PROCESSED", "outputs": [{"id": "dpr_1", "output": NaN}]}`, "run w_1: outputs[0]: run dpr_1: output: NaN at byte 0 is not JSON", refusalOf[WorkflowRun]},
		{`{"id": "edit_run_1", "status": {"status": 7}}`, "run edit_run_1: status is not a text", refusalOf[EditRun]},
		{`{"metadata": {}}`, `Extraction: no "value"`, refusalOf[Extraction]},
		{`{"value": [], "metadata": {}}`, `Extraction: no "value"`, refusalOf[Extraction]},
		{`{"value": NaN}`, `Extraction: no "value"`, refusalOf[Extraction]},
		{`{"id": "invoice"}`, `Classified: no "type"`, refusalOf[Classified]},
		{`{"isExternal": true}`, `Splits: no "splits"`, refusalOf[Splits]},
		{`{"total": {"value": 1}}`, `total: FieldResult: no "id"`, func(raw json.RawMessage) error { _, err := ParseMap[FieldResult](raw); return err }},
		{`{"total": 1}`, `total: FieldResult: `, func(raw json.RawMessage) error { _, err := ParseMap[FieldResult](raw); return err }},
		{`[{"id": "file_1"}, {}]`, `[1]: File: no id`, func(raw json.RawMessage) error { _, err := ParseList[File](raw); return err }},
		{`{}`, ``, func(raw json.RawMessage) error { _, err := ParseList[File](raw); return err }},
	} {
		if err := tt.parse(json.RawMessage(tt.json)); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %s", tt.json, err, tt.want)
		}
	}
	// Whoever keeps books about runs learns whose it is.
	const run = `{"id": "w_1", "status": "PROCESSED", "metadata": {"documentId": "doc_1"}, "outputs": 7}`
	_, err := Parse[WorkflowRun](json.RawMessage(run))
	e, ok := errors.AsType[*UnreadableError](err)
	if !ok || e.RunID != "w_1" || e.Status != StatusProcessed || string(e.Metadata) != `{"documentId": "doc_1"}` || string(e.Body) != run {
		t.Errorf("%+v", e)
	}
}

func refusalOf[T any](raw json.RawMessage) error { _, err := Parse[T](raw); return err }

// Texts that are logged and announced are cleaned, and those that are content or a link to it are as they came.
func TestTextsOfAnswersAreCleaned(t *testing.T) {
	t.Parallel()
	r, err := Parse[WorkflowRun](json.RawMessage(`{"id": "w_1", "status": "FAILED", "name": "a\u0000b.pdf",
		"failureMessage": "no access to https://b.test/a.pdf?X-Amz-Signature=5ecre7\n", "rejectionNote": "no\u202e",
		"files": [{"id": "file_1", "presignedUrl": "https://b.test/a.pdf?X-Amz-Signature=5ecre7", "contents": {"rawText": "a\n\u0007b"}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	diff(t, []string{"a b.pdf", "no access to https://b.test/a.pdf?…", "no", "https://b.test/a.pdf?X-Amz-Signature=5ecre7", "a\n\ab"},
		[]string{r.Name, r.FailureMessage, r.RejectionNote, r.Files[0].PresignedURL, r.Files[0].Contents.RawText})
}

// FuzzParse holds that no answer makes the package fall over, and that what is read has what decides.
func FuzzParse(f *testing.F) {
	for _, odd := range oddities[:len(oddities)-1] {
		f.Add(`{"id": "w_1", "status": "PROCESSED", "files": [` + odd + `], "outputs": ` + odd + `, "workflow": {"id": ` + odd + `}}`)
		f.Add(`{"object": "edit_run", "id": "e_1", "status": {"status": ` + odd + `}, "config": {"schema": ` + odd + `}, "metrics": {"fieldCount": ` + odd + `}}`)
		f.Add(`{"value": ` + odd + `, "metadata": {"a": {"citations": ` + odd + `}}, "type": ` + odd + `, "properties": {"a": {"items": ` + odd + `}}}`)
	}
	f.Fuzz(func(t *testing.T, text string) {
		raw := json.RawMessage(text)
		if r, err := Parse[WorkflowRun](raw); err == nil && r.ID == "" {
			t.Errorf("%q: %+v", text, r)
		}
		if r, err := Parse[EditRun](raw); err == nil && r.ID == "" {
			t.Errorf("%q: %+v", text, r)
		}
		if e, err := Parse[Extraction](raw); err == nil && !json.Valid(e.Value) {
			t.Errorf("%q: %+v", text, e)
		}
		_, _ = Parse[ParserRun](raw)
		_, _ = Parse[EditSchema](raw)
		_, _ = Parse[BatchProcessorRun](raw)
		_, _ = ParseMap[FieldResult](raw)
	})
}
