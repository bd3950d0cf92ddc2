package extend

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"time"

	"extend-intake/shared/clean"
	"extend-intake/shared/extend/internal/loose"
)

// Status is where a run stands. The set is open.
type Status string

// The statuses that are known.
const (
	StatusPending    Status = "PENDING"
	StatusProcessing Status = "PROCESSING"
	StatusProcessed  Status = "PROCESSED"
	StatusFailed     Status = "FAILED"
	StatusCancelled  Status = "CANCELLED"

	// Of workflow runs only.
	StatusNeedsReview Status = "NEEDS_REVIEW" // a person is asked
	StatusRejected    Status = "REJECTED"     // by that person
	StatusCancelling  Status = "CANCELLING"   // CANCELLED in a while
)

// Terminal reports whether a run with this status has ended. A status that we do not know has not.
func (s Status) Terminal() bool {
	return s == StatusProcessed || s == StatusFailed || s == StatusCancelled || s == StatusRejected
}

// RunType is the kind of processor, which decides the shape of a run's config and outputs. The set is open.
type RunType string

// The types that are known.
const (
	TypeExtract  RunType = "EXTRACT"
	TypeClassify RunType = "CLASSIFY"
	TypeSplitter RunType = "SPLITTER"
)

// Values for [ListRunsRequest].
const (
	SourceAPI         = "API"
	SourceWorkflowRun = "WORKFLOW_RUN"
	SourceStudio      = "STUDIO"
	SortByCreatedAt   = "createdAt"
	SortByUpdatedAt   = "updatedAt"
	SortAsc           = "asc"
	SortDesc          = "desc"
)

// RunService has the calls for processor runs. Use it as [Client.Runs].
type RunService service

// CreateRunRequest asks for a run of one processor on one document, which is either File or RawText.
type CreateRunRequest struct {
	ProcessorID string `json:"processorId"` // dp_…
	// Version is a published number such as "2.1", "draft", or "latest". "" is "latest".
	Version string   `json:"version,omitzero"`
	File    *RunFile `json:"file,omitzero"` // a [FileInput]
	RawText string   `json:"rawText,omitzero"`
	// Sync waits for the end of the run, five minutes at most. A caller that does not wait as long never
	// learns the run's id: leave it off wherever a lost run would cost.
	Sync     bool `json:"sync,omitzero"`
	Priority int  `json:"priority,omitzero"` // 1 to 100, lower runs first. 0 is the default, 50.
	// Metadata is echoed on the run and in webhooks, but not in lists. Keep it under 10 KB.
	Metadata map[string]any `json:"metadata,omitzero"`
	// Config overrides the version's config whole: an object whose "type" is the processor's type.
	Config json.RawMessage `json:"config,omitzero"`
}

func (r CreateRunRequest) check(at string) error {
	return cmp.Or(oneDocument(at, r.File, r.RawText), inRange(at+"priority", r.Priority, 1, 100))
}

// Run is one run of a processor on a document.
//
// The fields of type [json.RawMessage] hold the bytes as received. nil means absent, and the four bytes null
// mean null; before a run is processed the API sends either, or {}. The texts, but for the id, are fit to be logged and
// announced, see package clean: a failure message can quote the link to the file.
type Run struct {
	ID                 string // dpr_…
	ProcessorID        string
	ProcessorVersionID string
	ProcessorName      string
	Type               RunType
	Status             Status

	// Output is the result: the reviewed one once there is one, else the initial one. See [Run.HasOutput].
	Output         json.RawMessage
	InitialOutput  json.RawMessage
	ReviewedOutput json.RawMessage

	FailureReason  string // such as FAILED_TO_PROCESS_FILE; an open set
	FailureMessage string // for people

	Metadata json.RawMessage
	Files    json.RawMessage // what it ran on, see [Run.FileNames]
	Reviewed bool
	Edited   bool
	Edits    json.RawMessage
	Config   json.RawMessage // as used, which need not equal what was sent
	URL      string          // of the run's page in the dashboard
	Usage    *Usage          // nil under some billing plans

	Object           string          // "document_processor_run", or "" where the run does not say what it is
	MergedProcessors json.RawMessage // [MergedProcessor]s, whose runs a step of a workflow merged into this one
	Received
}

// HasOutput reports whether the run has ended with a result.
func (r *Run) HasOutput() bool {
	return r.Status == StatusProcessed && len(r.Output) > 0 && string(r.Output) != "null"
}

// FileNames returns the names of the files that the run is about, as far as the answer says them.
func (r *Run) FileNames() []string {
	files, err := loose.SplitList(r.Files)
	if err != nil {
		return nil
	}
	var names []string
	for _, file := range files {
		o, err := loose.SplitObject(file)
		if err != nil {
			continue
		}
		if name := loose.Of[string](o, "name"); name != "" {
			names = append(names, name)
		}
	}
	return names
}

// Usage is what a run cost, in credits. A number can be a fraction, and is empty where it is
// not said, or not understood.
type Usage struct {
	// Credits are those of the run's own line. Parsing the file is not in them.
	Credits json.Number `json:"credits"`
	// TotalCredits are those of the run and of the runs that it caused, such as the parse
	// run of a file that is new. Extend sends them since 2026-05-14, not to everybody.
	TotalCredits json.Number `json:"totalCredits,omitempty"`
}

// Bill is what is paid because of the run: TotalCredits where Extend says it, else Credits.
func (u *Usage) Bill() json.Number { return cmp.Or(u.TotalCredits, u.Credits) }

// UnmarshalJSON never fails: a run that was paid must not be lost over its price.
func (u *Usage) UnmarshalJSON(text []byte) error {
	var v struct {
		Credits      json.RawMessage `json:"credits"`
		TotalCredits json.RawMessage `json:"totalCredits"`
	}
	if err := json.Unmarshal(text, &v); err != nil {
		v.Credits, v.TotalCredits = nil, nil
	}
	u.Credits, u.TotalCredits = credits(v.Credits), credits(v.TotalCredits)
	return nil
}

// credits is a price, or empty where the text is none.
func credits(text json.RawMessage) json.Number {
	const longest = 40 // digits; more is no price
	var n json.Number
	if err := json.Unmarshal(text, &n); err != nil || len(n) > longest {
		return ""
	}
	if _, err := n.Float64(); err != nil { // beyond every number that a parser on the way keeps
		return ""
	}
	return n
}

// ParseRun reads a run object, as a webhook's payload is one. The run shares the object's memory.
//
// Only what decides has to be as the API says: the id and the status are texts, and the output is JSON. Any other member
// that is not of its type, or no JSON, is taken as absent: the live answers of the API drift from its documentation, and a
// run that is paid must not be lost over a member that nobody needs. The error is an [*UnreadableError], also for an object
// that says it is something else than a run.
func ParseRun(object json.RawMessage) (*Run, error) {
	o, err := loose.SplitObject(object)
	if err != nil {
		return nil, &UnreadableError{Body: object, Reason: err.Error()}
	}
	r := &Run{
		ID:                 loose.Of[string](o, "id"),
		ProcessorID:        name(o, "processorId"),
		ProcessorVersionID: name(o, "processorVersionId"),
		ProcessorName:      name(o, "processorName"),
		Type:               RunType(name(o, "type")),
		Status:             Status(name(o, "status")),
		Output:             o.Raw("output"),
		InitialOutput:      o.Raw("initialOutput"),
		ReviewedOutput:     o.Raw("reviewedOutput"),
		FailureReason:      name(o, "failureReason"),
		FailureMessage:     clean.Text(loose.Of[string](o, "failureMessage"), maxText),
		Metadata:           o.Raw("metadata"),
		Files:              o.Raw("files"),
		Reviewed:           loose.Of[bool](o, "reviewed"),
		Edited:             loose.Of[bool](o, "edited"),
		Edits:              o.Raw("edits"),
		Config:             o.Raw("config"),
		URL:                clean.Link(loose.Of[string](o, "url"), maxLink),
		Usage:              loose.Of[*Usage](o, "usage"),
		Object:             loose.Of[string](o, "object"),
		MergedProcessors:   o.Raw("mergedProcessors"),
		Received:           Received{Raw: object},
	}
	reason := ""
	switch {
	case r.Object != "" && r.Object != "document_processor_run":
		reason = fmt.Sprintf("object is a %.100q", r.Object)
	case r.ID == "" && o.Has("id"):
		reason = "id is not a text"
	case r.ID == "":
		reason = "no id"
	case r.Status == "" && o.Has("status"):
		reason = "status is not a text"
	case r.Output == nil && o.Has("output"):
		reason = "output: " + whyInvalid(o["output"])
	default:
		return r, nil
	}
	return nil, &UnreadableError{RunID: r.ID, Status: r.Status, Metadata: r.Metadata, Body: object, Reason: reason}
}

// name returns a member that is a short text.
func name(o loose.Object, member string) string {
	return clean.Text(loose.Of[string](o, member), maxCode)
}

// MergedProcessor is a processor whose run was merged into another's by a step of a workflow.
type MergedProcessor struct {
	ProcessorID        string `json:"processorId"`
	ProcessorVersionID string `json:"processorVersionId"`
	ProcessorName      string `json:"processorName" clean:"name"`
}

// Create starts a run. What its error says about whether there is a run now is told in the package's
// introduction: read it before calling Create a second time.
// https://docs.extend.ai/2025-04-21/developers/api-reference/processor-endpoints/run-processor
func (s *RunService) Create(ctx context.Context, req CreateRunRequest) (*Run, error) {
	return send(ctx, s.client, request{operation: createProcessorRun, body: req}, ParseRun)
}

// Get returns a run.
// https://docs.extend.ai/2025-04-21/developers/api-reference/processor-endpoints/get-processor-run
func (s *RunService) Get(ctx context.Context, id string) (*Run, error) {
	return send(ctx, s.client, request{operation: getProcessorRun, ids: []string{id}}, ParseRun)
}

// Wait returns a run once it has ended, with whatever status. It polls at once, every second for half a minute, then less and
// less often, at last every 30 seconds, and calls progress with each answer.
//
// It has no timeout but ctx, whose cause is then in the error: a run has no published time limit. After a 429 it waits longer.
// Any other error that remains after the retries of [Retry] ends the wait, but not the run: calling Wait again is free.
func (s *RunService) Wait(ctx context.Context, id string, progress ...func(*Run)) (*Run, error) {
	get := func() (*Run, error) { return s.Get(ctx, id) }
	return wait(ctx, s.client, get, func(r *Run) Status { return r.Status }, progress)
}

// Cancel stops a run that is still PROCESSING; any other is refused. There is no webhook for it. A repetition after a lost
// answer can be refused, too: ask for the run then.
// https://docs.extend.ai/2025-04-21/developers/api-reference/processor-endpoints/cancel-processor-run
func (s *RunService) Cancel(ctx context.Context, id string) (*Run, error) {
	return send(ctx, s.client, request{operation: cancelProcessorRun, ids: []string{id}}, ParseRun)
}

// Delete removes a run and its data for good. A repetition after a lost answer can end in a 404, which then
// says that the first try did it.
// https://docs.extend.ai/2025-04-21/developers/api-reference/processor-endpoints/delete-processor-run
func (s *RunService) Delete(ctx context.Context, id string) (*Deletion, error) {
	return remove(ctx, s.client, deleteProcessorRun, id)
}

// ListRunsRequest selects runs. Zero fields do not restrict.
type ListRunsRequest struct {
	Status           Status  `json:"status,omitzero"`
	ProcessorID      string  `json:"processorId,omitzero"`
	ProcessorType    RunType `json:"processorType,omitzero"`
	SourceID         string  `json:"sourceId,omitzero"` // the id of what started the run, such as a workflow run
	Source           string  `json:"source,omitzero"`   // such as [SourceAPI]
	FileNameContains string  `json:"fileNameContains,omitzero"`
	SortBy           string  `json:"sortBy,omitzero"`        // [SortByUpdatedAt] unless set
	SortDir          string  `json:"sortDir,omitzero"`       // [SortDesc] unless set
	NextPageToken    string  `json:"nextPageToken,omitzero"` // of the page before; nothing else may change between pages
	MaxPageSize      int     `json:"maxPageSize,omitzero"`   // 1 to 1000; 10 unless set. A page can be shorter and not be the last.
}

func (r ListRunsRequest) check(at string) error {
	return inRange(at+"maxPageSize", r.MaxPageSize, 1, 1000)
}

// RunSummary is a run as lists show it, without metadata: that needs a Get. Its texts are as those of a [Run].
type RunSummary struct {
	Resource
	Status             Status    `json:"status" clean:"name"`
	ProcessorID        string    `json:"processorId" clean:"name"`
	ProcessorName      string    `json:"processorName" clean:"name"`
	ProcessorVersionID string    `json:"processorVersionId" clean:"name"`
	Type               RunType   `json:"type,omitzero" clean:"name"`
	CreatedAt          time.Time `json:"createdAt"`
	UpdatedAt          time.Time `json:"updatedAt"`
	Usage              *Usage    `json:"usage,omitzero"`
}

// List returns one page of runs.
// https://docs.extend.ai/2025-04-21/developers/api-reference/processor-endpoints/list-processor-runs
func (s *RunService) List(ctx context.Context, req ListRunsRequest) (*Page[RunSummary], error) {
	return list[RunSummary](ctx, s.client, listProcessorRuns, req, nil)
}

// All returns the runs of all pages, and fetches each page when it is needed. It ends after the first error. A list that
// comes back to where it was, or that never ends, is an error too.
func (s *RunService) All(ctx context.Context, req ListRunsRequest) iter.Seq2[RunSummary, error] {
	return all(req.NextPageToken, func(token string) (*Page[RunSummary], error) {
		req.NextPageToken = token
		return s.List(ctx, req)
	})
}
