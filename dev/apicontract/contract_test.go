package apicontract

import "testing"

// The readings are of use only if they tell right from wrong.
func TestReadings(t *testing.T) {
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
			is   Reading
			want bool
		}{{"strict", Strict, tt.strict}, {"tolerant", Tolerant, tt.tolerant}, {"request", AsRequest, tt.request}} {
			if err := Violation(Definition(tt.schema), r.is, []byte(tt.value)); (err == nil) != r.want {
				t.Errorf("%s as %s, %s: %v", tt.value, tt.schema, r.name, err)
			}
		}
	}
}

// Every operation has an example of what is sent and of what is answered, and a name of its own.
func TestOperations(t *testing.T) {
	t.Parallel()
	ops := Operations()
	if len(ops) != 44 {
		t.Fatalf("%d operations", len(ops))
	}
	for i, op := range ops {
		for _, kind := range []string{"request", "response"} {
			if len(op.Examples(kind)) == 0 {
				t.Errorf("%s has no example of a %s", op.Name, kind)
			}
		}
		if found, ok := Find(op.Name); !ok || found.Path != ops[i].Path || found.Method != ops[i].Method {
			t.Errorf("%s is there twice", op.Name)
		}
	}
}
