package view

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

func TestConfidence(t *testing.T) {
	for _, test := range []struct {
		about, said, by string
		low             bool
	}{
		{`{}`, "", "", false},
		{`{"logprobsConfidence":null,"ocrConfidence":null,"reviewAgentScore":null}`, "", "", false},
		{`{"logprobsConfidence":0}`, "0 %", "model", true},
		{`{"logprobsConfidence":0.9999}`, "99.9 %", "model", false}, // not rounded to 100
		{`{"logprobsConfidence":1}`, "100 %", "model", false},
		{`{"logprobsConfidence":0.8}`, "80 %", "model", false},
		{`{"logprobsConfidence":0.79,"ocrConfidence":0.99}`, "79 %", "model", true},
		{`{"logprobsConfidence":null,"ocrConfidence":0.5}`, "50 %", "OCR", true},
		{`{"reviewAgentScore":4,"logprobsConfidence":0.1}`, "4 of 5", "review agent", false},
		{`{"reviewAgentScore":3,"logprobsConfidence":0.99}`, "3 of 5", "review agent", true},
		{`{"logprobsConfidence":"0.5"}`, "", "", false},
		{`{"logprobsConfidence":1.7}`, "1.7, which is no share", "model", false},
	} {
		r, err := read(json.RawMessage(`{"value":{"a":"x"},"metadata":{"a":`+test.about+`}}`), 0.8)
		if err != nil {
			t.Fatal(err)
		}
		if c := r.Fields[0].Confidence; c.Said != test.said || c.By != test.by || c.Low != test.low {
			t.Errorf("%s: %+v", test.about, c)
		}
	}
}

func TestPlaces(t *testing.T) {
	square := `[{"x":1,"y":2},{"x":3,"y":2},{"x":3,"y":4}]`
	for _, test := range []struct{ name, citation, points, problem string }{
		{"drawn", `{"page":1,"polygon":` + square + `,"pageWidth":10,"pageHeight":20}`, "1,2 3,2 3,4", ""},
		{"a page number with a fraction of nothing", `{"page":1.0,"polygon":` + square + `,"pageWidth":10,"pageHeight":20}`, "1,2 3,2 3,4", ""},
		{"outside", `{"page":1,"polygon":[{"x":-1,"y":2},{"x":30,"y":2},{"x":3,"y":4}],"pageWidth":10,"pageHeight":20}`, "-1,2 30,2 3,4", "outside"},
		{"no page size", `{"page":1,"polygon":` + square + `}`, "", "no page size"},
		{"a page without extent", `{"page":1,"polygon":` + square + `,"pageWidth":0,"pageHeight":20}`, "", "no page size"},
		{"two points", `{"page":1,"polygon":[{"x":1,"y":2},{"x":3,"y":2}],"pageWidth":10,"pageHeight":20}`, "", "three points"},
		{"a point that is none", `{"page":1,"polygon":[{"x":1,"y":2},{"x":null,"y":2},{"x":3,"y":4}],"pageWidth":10,"pageHeight":20}`, "", "three points"},
		{"beyond all measure", `{"page":1,"polygon":[{"x":1e300,"y":2},{"x":3,"y":2},{"x":3,"y":4}],"pageWidth":10,"pageHeight":20}`, "", "three points"},
		{"no outline", `{"page":2}`, "", "page only"},
		{"no page", `{"polygon":` + square + `,"pageWidth":10,"pageHeight":20}`, "", "no page"},
		{"half a page", `{"page":1.5,"polygon":` + square + `,"pageWidth":10,"pageHeight":20}`, "", "no page"},
	} {
		r, err := read(json.RawMessage(`{"value":{"a":"x"},"metadata":{"a":{"citations":[`+test.citation+`]}}}`), 0.8)
		if err != nil {
			t.Fatal(err)
		}
		c := r.Fields[0].Citations[0]
		if c.Points != test.points || !strings.Contains(c.Problem, test.problem) || test.problem == "" && c.Problem != "" {
			t.Errorf("%s: points %q, problem %q", test.name, c.Points, c.Problem)
		}
	}
}

func TestShapes(t *testing.T) {
	for _, test := range []struct {
		shape, output string
		fields        string // paths and texts
	}{
		{shapeExtraction, `{"value":{"b":{"c":[1.50,2]},"a":null,"list":[{"x":1},{"y":"z"}]},"metadata":{}}`, "b.c[0]=1.50 b.c[1]=2 a=null list[0].x=1 list[1].y=z"},
		{shapeExtraction, `{"value":{"a":"b"},"metadata":null}`, "a=b"},
		{shapeExtraction, `{"value":{"n":12345678901234567890,"m":-0.0000000000000000000001e+5},"metadata":{}}`, "n=12345678901234567890 m=-0.0000000000000000000001e+5"},
		{shapeExtraction, `{"value":5,"metadata":{}}`, "=5"},
		{shapeExtraction, `{"value":{},"metadata":{}}`, ""},
		{shapeExtraction, `{"value":{"":[{"":{"":1}}]},"metadata":{}}`, "[0]..=1"},
		{shapeClassification, classified, "id=bill_of_lading type=bill_of_lading"},
		{shapeSplits, `{"splits":[{"id":"s","type":"other","startPage":1,"endPage":2}]}`, "splits[0].id=s splits[0].type=other splits[0].startPage=1 splits[0].endPage=2"},
		{shapeLegacy, `{"number":{"id":"number","type":"string","value":"R-1","confidence":0.98,"references":[{"id":"number","fieldName":"number","page":1,"boundingBoxes":[]}]},"state":{"id":"state","type":"enum","value":null}}`, "number=R-1 state=null"},
		{shapeParsed, `{"chunks":[{"type":"page","content":"# A","blocks":[{"type":"heading","content":"# A","polygon":[{"x":1,"y":1},{"x":2,"y":1},{"x":2,"y":2}],"metadata":{"page":{"number":1,"width":10,"height":10}}}]}]}`, "chunks[0].blocks[0]=# A"},
		{shapeWorkflow, `{"outputs":[{"id":"dpr_1","processorName":"A","status":"FAILED","failureReason":"CORRUPT_FILE"}],"stepRuns":[{"id":"s","step":{"name":"Checks"},"output":{"rules":[{"ok":true}]}}]}`, "rules[0].ok=true"},
		{shapeWorkflow, `{"outputs":[],"stepRuns":[]}`, ""},
		{shapeWorkflow, `{"outputs":[{"processorName":"A","output":{"value":{"a":1},"metadata":{}}},{"processorName":"B","output":` + classified + `}]}`, "a=1 id=bill_of_lading type=bill_of_lading"},
		{shapeUnknown, `{"anything":"else"}`, ""},
		{shapeUnknown, `[1,2]`, ""},
		{shapeUnknown, `null`, ""},
		{shapeUnknown, `{}`, ""},
	} {
		r, err := read(json.RawMessage(test.output), 0.8)
		if err != nil {
			t.Fatal(err)
		}
		var fields []string
		for _, f := range r.Fields {
			fields = append(fields, f.Path+"="+f.Text)
		}
		if got := strings.Join(fields, " "); r.Shape != test.shape || got != test.fields {
			t.Errorf("%s\nshape %q, want %q\nfields %q, want %q", test.output, r.Shape, test.shape, got, test.fields)
		}
	}
	if _, err := read(json.RawMessage(`{"a":`), 0.8); err == nil {
		t.Error("half a JSON is read")
	}
}

func TestReadsDeepAndManyValues(t *testing.T) {
	deep := strings.Repeat(`{"a":`, 500) + "1" + strings.Repeat("}", 500)
	r, err := read(json.RawMessage(`{"value":`+deep+`,"metadata":{}}`), 0.8)
	if err != nil || len(r.Fields) != 1 || !strings.HasPrefix(r.Fields[0].Text, `{"a":`) {
		t.Errorf("deep: %v, %d fields", err, len(r.Fields))
	}
	var many []string
	for i := range maxFields + 10 {
		many = append(many, fmt.Sprintf(`"f%d":%d`, i, i))
	}
	r, err = read(json.RawMessage(`{"value":{`+strings.Join(many, ",")+`},"metadata":{}}`), 0.8)
	if err != nil || !r.Cut || len(r.Fields) > maxFields {
		t.Errorf("many: %v, cut %v, %d fields", err, r.Cut, len(r.Fields))
	}
}

func TestDiff(t *testing.T) {
	for _, test := range []struct{ a, b, changed string }{
		{`{"a":84.50}`, `{"a":84.5}`, ""},
		{`{"a":1e2}`, `{"a":100}`, ""},
		{`{"a":-0}`, `{"a":0.00}`, ""},
		{`{"a":12345678901234567890}`, `{"a":12345678901234567891}`, "a"},
		{`{"a":"1"}`, `{"a":1}`, "a"},
		{`{"a":null}`, `{}`, "a"},
		{`{}`, `{"a":{"b":1}}`, "a.b"},
		{`{"a":[1,2]}`, `{"a":[1]}`, "a[1]"},
		{`{"a":[]}`, `{"a":{}}`, "a"},
		{`{"value":{"a":1},"metadata":{"a":{"logprobsConfidence":0.5}}}`, `{"value":{"a":1},"metadata":{"a":{"logprobsConfidence":0.9}}}`, ""},
	} {
		changes, err := diff(json.RawMessage(test.a), json.RawMessage(test.b))
		if err != nil {
			t.Fatal(err)
		}
		var changed []string
		for _, c := range changes {
			if c.Changed {
				changed = append(changed, c.Path)
			}
		}
		if got := strings.Join(changed, " "); got != test.changed {
			t.Errorf("%s, %s: %q, want %q", test.a, test.b, got, test.changed)
		}
	}
}
