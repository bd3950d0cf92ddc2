package event_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"extend-intake/shared/event"
	"extend-intake/shared/event/eventtest"
)

// sample is an event as EventBridge hands it to a consumer.
type sample struct {
	Source     string          `json:"source"`
	DetailType string          `json:"detail-type"`
	Detail     json.RawMessage `json:"detail"`
}

func samples(t *testing.T, pattern string) map[string]sample {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %d files, %v", pattern, len(files), err)
	}
	found := make(map[string]sample)
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		var s sample
		if err := json.Unmarshal(text, &s); err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		found[filepath.Base(f)] = s
	}
	return found
}

// The samples of the first day stay as they were: what conformed then conforms, and
// is read, for as long as schemaVersion is 1. Files are added to testdata/v1, none is
// changed.
func TestOldEventsStillConform(t *testing.T) {
	t.Parallel()
	old := samples(t, "testdata/v1/*.json")
	if len(old) < 7 {
		t.Errorf("%d old samples: some are gone", len(old))
	}
	for name, s := range old {
		if err := eventtest.CheckPublished(s.Source, s.DetailType, s.Detail); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		d, err := event.Parse(s.Detail)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		// Every field of it is still read, and still called the same.
		again, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(values(t, s.Detail), values(t, again)); diff != "" {
			t.Errorf("%s: read and written again (-old +now):\n%s", name, diff)
		}
	}
}

func values(t *testing.T, text []byte) any {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

// events/ has each detail-type, and is the contract as it is today.
func TestSamplesConform(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for name, s := range samples(t, "../../events/event-*.json") {
		seen[s.DetailType] = true
		if err := eventtest.CheckPublished(s.Source, s.DetailType, s.Detail); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, detailType := range []string{event.Processed, event.Failed, event.Cancelled, event.Refused, event.NeedsReview, event.Rejected} {
		if !seen[detailType] {
			t.Errorf("there is no sample of %s", detailType)
		}
	}
}

// A reader may rely on what the schema refuses.
func TestSchemaRefuses(t *testing.T) {
	t.Parallel()
	const processed = `{"schemaVersion":1,"id":"doc_a.1","documentId":"doc_a","revision":1,"state":"PROCESSED","attempt":1,"runId":"dpr_1",
		"reviewed":false,"edited":false,"finishedAt":"2026-07-14T09:15:41Z","output":null}`
	for _, c := range []struct {
		old, new string
		want     bool
	}{
		{``, ``, true},
		{`"output":null`, `"output":null,"colour":"red"`, true}, // what is added later
		{`"output":null`, `"outputLocation":"s3://bucket/key"`, true},
		{`"output":null`, `"output":{"a":[1]}`, true},
		{`"output":null`, `"outputLocation":"https://bucket/key"`, false},
		{`"output":null`, `"output":1,"outputLocation":"s3://bucket/key"`, false},
		{`,"output":null`, ``, false},
		{`"output":null`, `"output":null,"failure":{"reason":"","message":""}`, false},
		{`"runId":"dpr_1",`, ``, false},
		{`"schemaVersion":1`, `"schemaVersion":2`, false},
		{`"revision":1`, `"revision":0`, false},
		{`"attempt":1`, `"attempt":1.5`, false},
		{`"id":"doc_a.1"`, `"id":"doc_a"`, false},
		{`"reviewed":false,`, ``, false},
		{`"finishedAt":"2026-07-14T09:15:41Z",`, ``, false},
		{`"PROCESSED"`, `"WAITING"`, false},
		{`"PROCESSED"`, `"FAILED"`, false},
		{`"PROCESSED","attempt":1,"runId":"dpr_1"`, `"CANCELLED","attempt":1`, false},
		{`"output":null`, `"output":null,"object":{"bucket":"b"}`, false},
		{`"output":null`, `"output":null,"credits":"2"`, false},
	} {
		if !strings.Contains(processed, c.old) {
			t.Fatalf("%s is not there", c.old)
		}
		if err := eventtest.Check([]byte(strings.Replace(processed, c.old, c.new, 1))); (err == nil) != c.want {
			t.Errorf("%s instead of %s: %v, want conforming: %t", c.new, c.old, err, c.want)
		}
	}
}

func TestParseRefusesWhatIsNotTheContract(t *testing.T) {
	t.Parallel()
	for detail, want := range map[string]string{
		``:                                "not the detail",
		`[]`:                              "not the detail",
		`{}`:                              `match the source "extend-intake" only`,
		`null`:                            `match the source "extend-intake" only`,
		`{"schemaVersion":1}`:             "id is missing",
		`{"schemaVersion":2,"id":"d.1"}`:  "take the package event of the stack",
		`{"schemaVersion":"1","id":"d."}`: "not the detail",
	} {
		if d, err := event.Parse([]byte(detail)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %+v, %v; want %q", detail, d, err, want)
		}
	}
	if d, err := event.Parse([]byte(`{"schemaVersion":1,"id":"d.1","added":{"later":true}}`)); err != nil || d.ID != "d.1" {
		t.Errorf("a field that was added later: %v", err)
	}
}

// The table of the fields is the schema's.
func TestFieldsTable(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("../../docs/events.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(doc), "\n## Fields\n")
	if !ok {
		t.Fatal("events.md has no section on the fields")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	rows := make(map[string]string)
	for line := range strings.Lines(section) {
		if cells := strings.Split(strings.TrimSpace(line), " | "); len(cells) == 2 && strings.HasPrefix(cells[0], "| `") {
			rows[strings.Trim(cells[0], "| `")] = strings.TrimSuffix(cells[1], " |")
		}
	}
	type schema struct {
		Description string
		Properties  map[string]schema
	}
	var root schema
	if err := json.Unmarshal(event.Schema, &root); err != nil {
		t.Fatal(err)
	}
	want := make(map[string]string)
	for name, p := range root.Properties {
		want[name] = p.Description
		for inner, q := range p.Properties {
			want[name+"."+inner] = q.Description
		}
	}
	for name, description := range want {
		want[name] = strings.NewReplacer("<", "&lt;", ">", "&gt;").Replace(description)
		if description == "" {
			t.Errorf("%s has no description in the schema", name)
		}
	}
	if d := cmp.Diff(want, rows); d != "" {
		t.Errorf("the table of events.md (-schema +events.md):\n%s", d)
	}
}

func ExampleParse() {
	d, err := event.Parse([]byte(`{"schemaVersion":1,"id":"doc_a.2","documentId":"doc_a","revision":2,"state":"PROCESSED","output":{"total":1234.50}}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(d.ID, d.State, string(d.Output))
	// Output: doc_a.2 PROCESSED {"total":1234.50}
}
