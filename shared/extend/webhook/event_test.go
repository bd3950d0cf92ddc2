package webhook

import (
	"encoding/hex"
	"encoding/json"
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
