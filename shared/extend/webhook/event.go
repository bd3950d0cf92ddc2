package webhook

import (
	"encoding/json"
	"fmt"

	"extend-intake/shared/extend"
)

// The types of events about processor runs. Others exist, and more can appear.
// https://docs.extend.ai/2025-04-21/product/webhooks/events
const (
	RunProcessed = "processor_run.processed"
	RunFailed    = "processor_run.failed"
)

// Event is the content of a delivery whose signature was checked.
type Event struct {
	ID      string          `json:"eventId"` // the same on every repetition of a delivery
	Type    string          `json:"eventType"`
	Payload json.RawMessage `json:"payload"` // the bytes as received
}

// Run returns the run that is the payload. It is an error if the payload is anything else, a [Pointer] to a run included.
func (e *Event) Run() (*extend.Run, error) {
	run, err := extend.ParseRun(e.Payload)
	if err != nil {
		return nil, fmt.Errorf("webhook: %s %s: %w", e.Type, e.ID, err)
	}
	if _, ok := e.Pointer(); ok || run.Status == "" { // ParseRun lets an object pass that does not say what it is
		return nil, fmt.Errorf("webhook: %s %s: payload is not a run itself", e.Type, e.ID)
	}
	return run, nil
}

// Pointer stands for a payload that was too large to deliver. The content is at URL for an hour. It is not covered by the
// signature, and where RunID is known a GET of the run is the safer way to it.
// https://docs.extend.ai/2025-04-21/product/webhooks/configuration
type Pointer struct {
	RunID    string          // "" if the delivery does not say
	URL      string          // presigned: do not log it
	Metadata json.RawMessage // the run's, nil if the delivery does not say
}

// Pointer returns the payload as a pointer, in either shape that is published:
//
//	{"object": "signed_data_url", "id": "dpr_…", "data": "https://…", "metadata": {…}}
//	{"data": "https://…"}
//
// A payload that says it is any other object, or that has a status as every resource has, is none, whatever else is in it.
func (e *Event) Pointer() (Pointer, bool) {
	var p struct {
		Object   string          `json:"object"`
		ID       string          `json:"id"`
		Status   string          `json:"status"`
		Data     string          `json:"data"`
		Metadata json.RawMessage `json:"metadata"`
	}
	if json.Unmarshal(e.Payload, &p) != nil || p.Data == "" || p.Status != "" {
		return Pointer{}, false
	}
	if p.Object != "" && p.Object != "signed_data_url" {
		return Pointer{}, false
	}
	if string(p.Metadata) == "null" {
		p.Metadata = nil
	}
	return Pointer{RunID: p.ID, URL: p.Data, Metadata: p.Metadata}, true
}
