package webhook

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"extend-intake/shared/extend"
	"extend-intake/shared/extend/internal/loose"
)

// The types of events that there are; more can appear. Next to each is how to read its payload, unless that is a [Pointer].
// https://docs.extend.ai/2025-04-21/product/webhooks/events
const (
	// Subscribed to per processor.
	RunProcessed = "processor_run.processed" // [Event.Run]
	RunFailed    = "processor_run.failed"    // [Event.Run]

	// Subscribed to per workflow.
	WorkflowRunCompleted   = "workflow_run.completed"          // [Event.WorkflowRun]
	WorkflowRunFailed      = "workflow_run.failed"             // [Event.WorkflowRun]
	WorkflowRunNeedsReview = "workflow_run.needs_review"       // [Event.WorkflowRun]
	WorkflowRunRejected    = "workflow_run.rejected"           // [Event.WorkflowRun]
	StepRunProcessed       = "workflow_run.step_run.processed" // [Event.StepRun] or [Event.WorkflowRun]: see [Event.Object]

	// Subscribed to by the endpoint.
	ParserRunProcessed        = "parser_run.processed"        // [Event.ParserRun]
	ParserRunFailed           = "parser_run.failed"           // [Event.ParserRun]
	WorkflowCreated           = "workflow.created"            // [Event.Workflow]
	WorkflowDeployed          = "workflow.deployed"           // [Event.Workflow]
	WorkflowDeleted           = "workflow.deleted"            // [Event.Workflow]
	ProcessorCreated          = "processor.created"           // [Event.Processor]
	ProcessorUpdated          = "processor.updated"           // [Event.Processor]
	ProcessorDeleted          = "processor.deleted"           // [Event.Processor]
	ProcessorDraftUpdated     = "processor.draft.updated"     // [Event.Processor]
	ProcessorVersionPublished = "processor.version.published" // [Event.ProcessorVersion]
)

// Event is the content of a delivery whose signature was checked. Its texts are fit to be logged, see package clean.
type Event struct {
	ID   string // the same on every repetition of a delivery; "" where it is no text
	Type string
	// APIVersion is the version of the API that the endpoint is set to, "" where the delivery does not say.
	APIVersion string
	// Payload is the bytes as received. They can be no JSON in places, and of a type that this package does not name,
	// they can be absent.
	Payload json.RawMessage

	members *loose.Object // of the payload, once it is known to be an object
}

// split returns the members of the payload. It is done when the event is opened, since a large payload takes its time.
func (e *Event) split() (loose.Object, error) {
	if e.members != nil {
		return *e.members, nil
	}
	return loose.SplitObject(e.Payload)
}

// Run returns the run that is the payload. It is an error if the payload is anything else, a [Pointer] to a run included:
// an [*extend.UnreadableError], which keeps the payload and what could be read of it, unless it is a Pointer.
func (e *Event) Run() (*extend.Run, error) {
	if _, ok := e.Pointer(); ok {
		return nil, fmt.Errorf("webhook: %s %s: payload is not a run itself", e.Type, e.ID)
	}
	run, err := extend.ParseRun(e.Payload)
	if err == nil && run.Status == "" { // ParseRun lets an object pass that does not say what it is
		err = &extend.UnreadableError{RunID: run.ID, Metadata: run.Metadata, Body: e.Payload, Reason: "no status"}
	}
	if err != nil {
		return nil, fmt.Errorf("webhook: %s %s: %w", e.Type, e.ID, err)
	}
	return run, nil
}

// Object returns what the payload says that it is, such as "workflow_run", "workflow_step_run" or "signed_data_url"; "" where
// it does not say.
func (e *Event) Object() string {
	o, err := e.split()
	if err != nil {
		return ""
	}
	return loose.Of[string](o, "object")
}

// WorkflowRun returns the run of a workflow that is the payload. It is an error, as in [Event.Run], if the payload is anything
// else, or does not say what it is.
func (e *Event) WorkflowRun() (*extend.WorkflowRun, error) { return payload[extend.WorkflowRun](e) }

// StepRun returns the step of a workflow that is the payload, as [Event.WorkflowRun] does. Of [StepRunProcessed], guides say
// that it is the step and others that it is the whole run: [Event.Object] tells.
func (e *Event) StepRun() (*extend.StepRun, error) { return payload[extend.StepRun](e) }

// ParserRun returns the run that is the payload, as [Event.WorkflowRun] does. It is without its text: ask for that.
func (e *Event) ParserRun() (*extend.ParserRun, error) { return payload[extend.ParserRun](e) }

// Workflow returns the workflow that is the payload, as [Event.WorkflowRun] does.
func (e *Event) Workflow() (*extend.Workflow, error) { return payload[extend.Workflow](e) }

// Processor returns the processor that is the payload, as [Event.WorkflowRun] does.
func (e *Event) Processor() (*extend.Processor, error) { return payload[extend.Processor](e) }

// ProcessorVersion returns the version of a processor that is the payload, as [Event.WorkflowRun] does.
func (e *Event) ProcessorVersion() (*extend.ProcessorVersion, error) {
	return payload[extend.ProcessorVersion](e)
}

func payload[T any](e *Event) (*T, error) {
	if _, ok := e.Pointer(); ok {
		return nil, fmt.Errorf("webhook: %s %s: payload is a link, and not the object itself", e.Type, e.ID)
	}
	v, err := extend.Parse[T](e.Payload)
	if err == nil && e.Object() == "" { // Parse lets an object pass that does not say what it is
		err = errors.New("payload does not say what it is")
	}
	if err != nil {
		return nil, fmt.Errorf("webhook: %s %s: %w", e.Type, e.ID, err)
	}
	return v, nil
}

// OtherVersion is what can be known from a delivery that is of another version of the API. It is a hint at most: ids are in
// that version's spelling, and outputs of its shape. Ask about the document's own run in this version instead.
type OtherVersion struct {
	Version  string          // such as "2026-02-09"; "" where the delivery does not say
	RunID    string          // "" unless it is about one run
	Metadata json.RawMessage // the run's, JSON; nil if the delivery does not say
}

// OtherVersion reports whether the delivery is of another version of the API than [extend.Version], by its header or by
// its type: the endpoint is then set to that version, and no delivery of ours comes through it. It can be so of every type,
// those that this package names included.
//
// https://docs.extend.ai/developers/migrations/2026-02-09/webhooks
func (e *Event) OtherVersion() (OtherVersion, bool) {
	kind, _, _ := strings.Cut(e.Type, ".")
	said := e.APIVersion != "" && loose.Version(e.APIVersion) != extend.Version
	if !said && !newKind(kind) {
		return OtherVersion{}, false
	}
	var v OtherVersion
	if said {
		v.Version = e.APIVersion
	}
	o, err := e.split()
	if err != nil {
		return v, true
	}
	if isRun(kind) {
		v.RunID = loose.Of[string](o, "id")
	}
	if o.Has("metadata") {
		v.Metadata = o.Raw("metadata")
	}
	return v, true
}

// newKind reports whether this version of the API has no such things. It has no other runs than these, and gets no more:
// there is a newer version.
func newKind(kind string) bool {
	switch kind {
	case "processor_run", "parser_run", "workflow_run":
		return false
	case "extractor", "classifier", "splitter": // which are processors
		return true
	}
	return strings.HasSuffix(kind, "_run") // extract_run, classify_run, split_run, parse_run, edit_run, batch_processor_run …
}

// isRun reports whether the payload of such events is one run of a document, and no run of several.
func isRun(kind string) bool {
	return strings.HasSuffix(kind, "_run") && kind != "workflow_run" && !strings.HasPrefix(kind, "batch_")
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
	o, err := e.split()
	if err != nil {
		return Pointer{}, false
	}
	p := Pointer{RunID: loose.Of[string](o, "id"), URL: loose.Of[string](o, "data")}
	kind := loose.Of[string](o, "object")
	if p.URL == "" || kind != "" && kind != "signed_data_url" || o.Has("status") && string(o["status"]) != `""` {
		return Pointer{}, false
	}
	if o.Has("metadata") {
		p.Metadata = o.Raw("metadata")
	}
	return p, true
}
