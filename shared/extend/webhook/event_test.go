package webhook

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"extend-intake/shared/extend"

	"github.com/google/go-cmp/cmp"
)

func hexMAC(timestamp string, body []byte) string {
	return hex.EncodeToString(mac(testSecret, timestamp, body))
}

func open(t *testing.T, body []byte) *Event {
	t.Helper()
	event, err := Verifier{Secrets: []string{testSecret}, Now: at(signedAt)}.Open(Sign(testSecret, signedAt, body), body)
	if err != nil {
		t.Fatal(err)
	}
	return event
}

func TestEventKinds(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		fixture, eventType string
		run                string // its id
		pointer            bool
	}{
		{"processor_run_processed.json", RunProcessed, "dpr_4fWn8KqZtB1yLmXc6RvHs", false},
		{"processor_run_failed.json", RunFailed, "dpr_6LkPz0HvB4sQdYm8CxEt1", false},
		{"unknown_event.json", "processor_run.archived", "dpr_4fWn8KqZtB1yLmXc6RvHs", false},
		{"signed_url.json", RunProcessed, "", true},
		{"signed_url_bare.json", RunProcessed, "", true},
		{"parser_run_processed.json", "parser_run.processed", "", false},
		{"workflow_run_completed.json", "workflow_run.completed", "", false},
	} {
		t.Run(tt.fixture, func(t *testing.T) {
			t.Parallel()
			event := open(t, fixture(t, tt.fixture))
			if event.Type != tt.eventType || !strings.HasPrefix(event.ID, "event_") {
				t.Errorf("%s %s", event.ID, event.Type)
			}
			run, err := event.Run()
			if (err == nil) != (tt.run != "") {
				t.Errorf("Run: %v", err)
			}
			if err == nil && run.ID != tt.run {
				t.Errorf("run %s", run.ID)
			}
			if err != nil && !strings.Contains(err.Error(), event.ID) {
				t.Errorf("%q does not name the event", err)
			}
			if _, ok := event.Pointer(); ok != tt.pointer {
				t.Errorf("Pointer: %v", ok)
			}
		})
	}
}

func TestFailedRun(t *testing.T) {
	t.Parallel()
	run, err := open(t, fixture(t, "processor_run_failed.json")).Run()
	if err != nil {
		t.Fatal(err)
	}
	if run.Status != extend.StatusFailed || run.FailureReason != "FAILED_TO_PROCESS_FILE" || run.HasOutput() || string(run.Output) != "null" {
		t.Errorf("%+v", run)
	}
}

func TestRunKeepsDigits(t *testing.T) {
	t.Parallel()
	run, err := open(t, []byte(`{"eventType": "processor_run.processed", "payload": {"object": "document_processor_run", "id": "dpr_1", "status": "PROCESSED",
		"output": {"total": 12345678901234567890.10}}}`)).Run()
	if err != nil {
		t.Fatal(err)
	}
	if string(run.Output) != `{"total": 12345678901234567890.10}` {
		t.Errorf("%s", run.Output)
	}
}

func TestPointer(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, payload string
		want          *Pointer // nil: none
	}{
		{"full", `{"object": "signed_data_url", "id": "dpr_1", "data": "https://example.com/a?b", "metadata": {"n": 1.0}}`,
			&Pointer{RunID: "dpr_1", URL: "https://example.com/a?b", Metadata: json.RawMessage(`{"n": 1.0}`)}},
		{"full, nothing in metadata", `{"object": "signed_data_url", "id": "dpr_1", "data": "https://example.com/a", "metadata": null}`,
			&Pointer{RunID: "dpr_1", URL: "https://example.com/a"}},
		{"bare", `{"data": "https://example.com/a"}`, &Pointer{URL: "https://example.com/a"}},
		{"bare, with id", `{"id": "dpr_1", "data": "https://example.com/a"}`, &Pointer{RunID: "dpr_1", URL: "https://example.com/a"}},
		{"run", `{"object": "document_processor_run", "id": "dpr_1", "status": "PROCESSED"}`, nil},
		{"run with a data member", `{"object": "document_processor_run", "id": "dpr_1", "status": "PROCESSED", "data": "https://example.com/a"}`, nil},
		{"run that does not say so, with a data member", `{"id": "dpr_1", "status": "PROCESSED", "data": "https://example.com/a"}`, nil},
		{"another object", `{"object": "workflow_run", "id": "workflow_run_1", "data": "https://example.com/a"}`, nil},
		{"id is a number", `{"id": 17, "data": "https://example.com/a", "metadata": {"n": NaN}}`, &Pointer{URL: "https://example.com/a"}},
		{"status is a number", `{"id": "dpr_1", "status": 3, "data": "https://example.com/a"}`, nil},
		{"data is an object", `{"data": {"url": "https://example.com/a"}}`, nil},
		{"data is empty", `{"object": "signed_data_url", "id": "dpr_1", "data": ""}`, nil},
		{"text", `"https://example.com/a"`, nil},
		{"empty", `{}`, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, ok := (&Event{Payload: json.RawMessage(tt.payload)}).Pointer()
			if ok != (tt.want != nil) {
				t.Fatalf("%+v, %v", got, ok)
			}
			if ok {
				if d := cmp.Diff(*tt.want, got); d != "" {
					t.Errorf("-want +got\n%s", d)
				}
			}
		})
	}
}

func TestRunRefuses(t *testing.T) {
	t.Parallel()
	for _, payload := range []string{
		``, `null`, `"dpr_1"`, `[]`, `{}`,
		`{"id": "dpr_1"}`,
		`{"id": "dpr_1", "data": "https://example.com/a"}`,
		`{"object": "document_processor_run", "status": "PROCESSED"}`,
		`{"object": "parser_run_status", "id": "parser_run_1", "status": "PROCESSED"}`,
	} {
		if run, err := (&Event{Payload: json.RawMessage(payload)}).Run(); err == nil {
			t.Errorf("%s is read as %+v", payload, run)
		}
	}
}

// A payload that is no JSON in a place that matters is kept, with what tells its document.
func TestUnreadableRun(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("[", 10_001) + strings.Repeat("]", 10_001)
	for _, tt := range []struct{ payload, runID, metadata string }{
		{`{"object": "document_processor_run", "id": "dpr_1", "status": "PROCESSED", "output": {"metadata": {"total": {"logprobsConfidence": NaN}}}, "metadata": {"n": 1}}`, "dpr_1", `{"n": 1}`},
		{`{"id": "dpr_1", "status": "PROCESSED", "output": -Infinity, "metadata": {"n": NaN}}`, "dpr_1", ""},
		{`{"id": "dpr_1", "status": "PROCESSED", "output": ` + deep + `, "metadata": {"n": 1}}`, "dpr_1", `{"n": 1}`},
		{`{"id": 17, "status": "PROCESSED", "metadata": {"n": 1}}`, "", `{"n": 1}`},
		{`{"id": "dpr_1", "output": {}, "metadata": {"n": 1}}`, "dpr_1", `{"n": 1}`},
		{`"dpr_1"`, "", ""},
		{`NaN`, "", ""},
	} {
		event := open(t, []byte(`{"eventId": "event_1", "eventType": "processor_run.processed", "payload": `+tt.payload+`}`))
		_, err := event.Run()
		e, ok := errors.AsType[*extend.UnreadableError](err)
		if !ok || e.RunID != tt.runID || string(e.Metadata) != tt.metadata || string(e.Body) != tt.payload || string(event.Payload) != tt.payload || !strings.Contains(err.Error(), "event_1") {
			t.Errorf("%.100s: %+v, %.300v", tt.payload, e, err)
		}
		if _, ok := event.Pointer(); ok {
			t.Errorf("%.100s is a pointer", tt.payload)
		}
	}
}

// Bodies as the newer version sends them.
func TestOtherVersion(t *testing.T) {
	t.Parallel()
	const metadata = `{"documentId": "doc_1", "n": 1.0}`
	for _, tt := range []struct {
		name, version, eventType, payload string
		want                              *OtherVersion // nil: it is of ours
	}{
		{"extract", "", "extract_run.processed", `{"object":"extract_run","id":"exr_1","status":"PROCESSED","output":{"value":{"total":1},"metadata":{}},"metadata":` + metadata + `}`, &OtherVersion{"", "exr_1", []byte(metadata)}},
		{"and it says so", "2026-02-09", "extract_run.failed", `{"object":"extract_run","id":"exr_1","status":"FAILED","metadata":` + metadata + `}`, &OtherVersion{"2026-02-09", "exr_1", []byte(metadata)}},
		{"classify", "", "classify_run.processed", `{"object":"classify_run","id":"clr_1","status":"PROCESSED","metadata":null}`, &OtherVersion{"", "clr_1", nil}},
		{"split", "", "split_run.processed", `{"object":"split_run","id":"splr_1","status":"PROCESSED","output":NaN,"metadata":` + metadata + `}`, &OtherVersion{"", "splr_1", []byte(metadata)}},
		{"parse", "", "parse_run.processed", `{"object":"parse_run_status","id":"pr_1","status":"PROCESSED"}`, &OtherVersion{"", "pr_1", nil}},
		{"edit", "", "edit_run.failed", `{"object":"edit_run","id":"edr_1"}`, &OtherVersion{"", "edr_1", nil}},
		{"a kind to come", "", "redact_run.processed", `{"object":"redact_run","id":"rr_1"}`, &OtherVersion{"", "rr_1", nil}},
		{"by a link", "", "extract_run.processed", `{"object":"signed_data_url","id":"exr_1","data":"https://example.com/","metadata":` + metadata + `}`, &OtherVersion{"", "exr_1", []byte(metadata)}},
		{"by a bare link", "", "extract_run.processed", `{"data":"https://example.com/"}`, &OtherVersion{}},
		{"batch", "", "batch_processor_run.processed", `{"object":"batch_processor_run","id":"bpr_1"}`, &OtherVersion{}},
		{"extractor", "", "extractor.created", `{"object":"extractor","id":"ex_1"}`, &OtherVersion{}},
		{"id is a number", "", "extract_run.processed", `{"id":17,"metadata":{"n":NaN}}`, &OtherVersion{}},
		{"no payload", "", "extract_run.processed", `null`, &OtherVersion{}},
		{"ours, from an endpoint of an older version", "2024-12-23", "processor_run.processed", `{"id":"dpr_1","status":"PROCESSED","metadata":` + metadata + `}`, &OtherVersion{"2024-12-23", "dpr_1", []byte(metadata)}},
		{"workflow, by the header", "2026-02-09", "workflow_run.completed", `{"object":"workflow_run","id":"workflow_run_1"}`, &OtherVersion{"2026-02-09", "", nil}},
		{"ours, in another spelling", "v2025-4-21", "processor_run.processed", `{"id":"dpr_1","status":"PROCESSED"}`, nil},
		{"ours, in quotes", `"2025-04-21"`, "processor_run.processed", `{"id":"dpr_1","status":"PROCESSED"}`, nil},
		{"another, in quotes", `"2026-2-9"`, "processor_run.processed", `{"id":"dpr_1","status":"PROCESSED"}`, &OtherVersion{`"2026-2-9"`, "dpr_1", nil}},
		{"the newer version's, said to be of ours", extend.Version, "extract_run.processed", `{"id":"exr_1"}`, &OtherVersion{"", "exr_1", nil}},

		{"ours", "", RunProcessed, `{"id":"dpr_1","status":"PROCESSED"}`, nil},
		{"ours, and it says so", extend.Version, RunFailed, `{"id":"dpr_1","status":"FAILED"}`, nil},
		{"ours, not known", "", "processor_run.archived", `{}`, nil},
		{"workflow", "", "workflow_run.step_run.processed", `{}`, nil},
		{"parser", "", "parser_run.processed", `{}`, nil},
		{"processor", "", "processor.version.published", `{}`, nil},
		{"test", "", "webhook.test", `null`, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			body := []byte(`{"eventId":"event_1","eventType":"` + tt.eventType + `","payload":` + tt.payload + `}`)
			header := Sign(testSecret, signedAt, body)
			if tt.version != "" {
				header[strings.ToLower(versionHeader)] = []string{tt.version, tt.version}
			}
			event, err := Verifier{Secrets: []string{testSecret}, Now: at(signedAt)}.Open(header, body)
			if err != nil || event.APIVersion != tt.version {
				t.Fatalf("%+v, %v", event, err)
			}
			got, ok := event.OtherVersion()
			if ok != (tt.want != nil) {
				t.Fatalf("%+v, %v", got, ok)
			}
			if ok {
				if d := cmp.Diff(*tt.want, got); d != "" {
					t.Errorf("-want +got\n%s", d)
				}
			}
		})
	}
}

func TestEventTextsAreFitToBeLogged(t *testing.T) {
	t.Parallel()
	event := open(t, []byte(`{"eventId":"event_1\r\nX-Amz-Signature=5ecre7\u202e","eventType":"x\u0000y`+strings.Repeat("z", 1000)+`"}`))
	if event.ID != "event_1 X-Amz-Signature=…" || !strings.HasPrefix(event.Type, "x yz") || len(event.Type) > 300 {
		t.Errorf("%q %q", event.ID, event.Type)
	}
}
