package extend

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"strconv"
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
)

// Terminal reports whether a run with this status has ended. A status that we do not know has not.
func (s Status) Terminal() bool {
	return s == StatusProcessed || s == StatusFailed || s == StatusCancelled
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

// RunService makes the calls about processor runs. Use it as [Client.Runs].
type RunService struct{ client *Client }

// CreateRunRequest asks for a run of one processor on one document, which is either File or RawText.
type CreateRunRequest struct {
	ProcessorID string `json:"processorId"` // dp_…
	// Version is a published number such as "2.1", "draft", or "latest". "" is "latest".
	Version string   `json:"version,omitzero"`
	File    *RunFile `json:"file,omitzero"`
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

// RunFile is the document: FileURL, which Extend fetches without credentials some time after the call, or FileID,
// a file that Extend has already, as after [FileService.Upload].
type RunFile struct {
	FileName string `json:"fileName,omitzero"` // the extension helps to tell the type; a run can be found by part of it
	FileURL  string `json:"fileUrl,omitzero"`
	FileID   string `json:"fileId,omitzero"` // file_…
}

// check finds what is surely wrong and would otherwise cost a call, or a run of something not meant.
func (r CreateRunRequest) check() error {
	switch {
	case r.ProcessorID == "":
		return errors.New("processorId is empty")
	case r.File == nil && r.RawText == "":
		return errors.New("file and rawText are both absent: one is needed")
	case r.File != nil && r.RawText != "":
		return errors.New("file and rawText are both set: only one may be")
	case r.File != nil && r.File.FileURL == "" && r.File.FileID == "":
		return errors.New("file.fileUrl and file.fileId are both empty: one is needed")
	case r.File != nil && r.File.FileURL != "" && r.File.FileID != "":
		return errors.New("file.fileUrl and file.fileId are both set: only one may be")
	}
	return nil
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

// Usage is what a run cost.
type Usage struct {
	Credits json.Number `json:"credits"` // can be a fraction; empty where it is not said, or not understood
}

// UnmarshalJSON never fails: a run that was paid must not be lost over its price.
func (u *Usage) UnmarshalJSON(text []byte) error {
	var v struct {
		Credits json.Number `json:"credits"`
	}
	const longest = 40 // digits; more is no price
	if err := json.Unmarshal(text, &v); err != nil || len(v.Credits) > longest {
		v.Credits = ""
	}
	if _, err := v.Credits.Float64(); err != nil { // beyond every number that a parser on the way keeps
		v.Credits = ""
	}
	u.Credits = v.Credits
	return nil
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
	}
	reason := ""
	switch kind := loose.Of[string](o, "object"); {
	case kind != "" && kind != "document_processor_run":
		reason = fmt.Sprintf("object is a %.100q", kind)
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

// Create starts a run. What its error says about whether there is a run now is told in the package's
// introduction: read it before calling Create a second time.
// https://docs.extend.ai/2025-04-21/developers/api-reference/processor-endpoints/run-processor
func (s *RunService) Create(ctx context.Context, req CreateRunRequest) (*Run, error) {
	r := request{method: http.MethodPost, path: []string{"processor_runs"}, body: req}
	return send(ctx, s.client, r, "processorRun", ParseRun)
}

// Get returns a run.
// https://docs.extend.ai/2025-04-21/developers/api-reference/processor-endpoints/get-processor-run
func (s *RunService) Get(ctx context.Context, id string) (*Run, error) {
	r := request{method: http.MethodGet, path: []string{"processor_runs", id}}
	return send(ctx, s.client, r, "processorRun", ParseRun)
}

// Cancel stops a run that is still PROCESSING; any other is refused. No webhook tells of it.
// https://docs.extend.ai/2025-04-21/developers/api-reference/processor-endpoints/cancel-processor-run
func (s *RunService) Cancel(ctx context.Context, id string) (*Run, error) {
	r := request{method: http.MethodPost, path: []string{"processor_runs", id, "cancel"}}
	return send(ctx, s.client, r, "processorRun", ParseRun)
}

// Delete removes a run and its data for good. A repetition after a lost answer can end in a 404, which then
// says that the first try did it.
// https://docs.extend.ai/2025-04-21/developers/api-reference/processor-endpoints/delete-processor-run
func (s *RunService) Delete(ctx context.Context, id string) error {
	r := request{method: http.MethodDelete, path: []string{"processor_runs", id}}
	_, err := send(ctx, s.client, r, "documentProcessorRunId", parseText)
	return err
}

func parseText(raw json.RawMessage) (text string, err error) {
	return text, json.Unmarshal(raw, &text)
}

// ListRunsRequest selects runs. Zero fields do not restrict.
type ListRunsRequest struct {
	Status           Status
	ProcessorID      string
	ProcessorType    RunType
	SourceID         string // the id of what started the run, such as a workflow run
	Source           string // such as [SourceAPI]
	FileNameContains string
	SortBy           string // [SortByUpdatedAt] unless set
	SortDir          string // [SortDesc] unless set
	NextPageToken    string // of the page before; nothing else may change between pages
	MaxPageSize      int    // 1 to 1000; 10 unless set. A page can be shorter and not be the last.
}

// RunSummary is what a list says of a run. There is no metadata in it: that needs a Get. Its texts are as those of a [Run].
type RunSummary struct {
	ID                 string
	Status             Status
	ProcessorID        string
	ProcessorName      string
	ProcessorVersionID string
	Type               RunType
	CreatedAt          time.Time
	UpdatedAt          time.Time
	Usage              *Usage
}

// UnmarshalJSON is as strict as [ParseRun]. It reads the dates in every spelling that the API has.
func (r *RunSummary) UnmarshalJSON(raw []byte) error {
	o, err := loose.SplitObject(raw)
	if err != nil {
		return fmt.Errorf("summary of a run: %w", err)
	}
	*r = RunSummary{
		ID:                 loose.Of[string](o, "id"),
		Status:             Status(name(o, "status")),
		ProcessorID:        name(o, "processorId"),
		ProcessorName:      name(o, "processorName"),
		ProcessorVersionID: name(o, "processorVersionId"),
		Type:               RunType(name(o, "type")),
		CreatedAt:          time.Time(loose.Of[timestamp](o, "createdAt")),
		UpdatedAt:          time.Time(loose.Of[timestamp](o, "updatedAt")),
		Usage:              loose.Of[*Usage](o, "usage"),
	}
	switch {
	case r.ID == "":
		return errors.New("summary of a run: no id that is a text")
	case r.Status == "" && o.Has("status"):
		return fmt.Errorf("summary of run %s: status is not a text", r.ID)
	}
	return nil
}

// RunPage is one page of a list.
type RunPage struct {
	Runs          []RunSummary
	NextPageToken string // "" on the last page
}

// parsePage reads a list. Whoever looks for a lost run must not be told that it is not there: a page without its list, with
// an element that says not which run it is, or with a token of another type is an error.
func parsePage(body json.RawMessage) (*RunPage, error) {
	o, err := loose.SplitObject(body)
	if err != nil {
		return nil, err
	}
	if !o.Has("processorRuns") {
		return nil, errors.New(`no "processorRuns" in it`)
	}
	list, err := loose.SplitList(o["processorRuns"])
	if err != nil {
		return nil, fmt.Errorf("processorRuns: %w", err)
	}
	page := &RunPage{Runs: make([]RunSummary, len(list)), NextPageToken: loose.Of[string](o, "nextPageToken")}
	if page.NextPageToken == "" && o.Has("nextPageToken") && string(o["nextPageToken"]) != `""` {
		return nil, errors.New("nextPageToken is not a text")
	}
	for i, raw := range list {
		if err := page.Runs[i].UnmarshalJSON(raw); err != nil {
			return nil, err
		}
	}
	return page, nil
}

// List returns one page of runs.
// https://docs.extend.ai/2025-04-21/developers/api-reference/processor-endpoints/list-processor-runs
func (s *RunService) List(ctx context.Context, req ListRunsRequest) (*RunPage, error) {
	r := request{method: http.MethodGet, path: []string{"processor_runs"}, query: values(
		"status", string(req.Status),
		"processorId", req.ProcessorID,
		"processorType", string(req.ProcessorType),
		"sourceId", req.SourceID,
		"source", req.Source,
		"fileNameContains", req.FileNameContains,
		"sortBy", req.SortBy,
		"sortDir", req.SortDir,
		"nextPageToken", req.NextPageToken,
	)}
	if req.MaxPageSize != 0 {
		r.query.Set("maxPageSize", strconv.Itoa(req.MaxPageSize))
	}
	return send(ctx, s.client, r, "", parsePage)
}

// All returns the runs of all pages, fetching each page when it is needed. It ends after the first error.
func (s *RunService) All(ctx context.Context, req ListRunsRequest) iter.Seq2[RunSummary, error] {
	return func(yield func(RunSummary, error) bool) {
		next := req // an iterator can be ranged over twice
		for {
			page, err := s.List(ctx, next)
			if err != nil {
				yield(RunSummary{}, err)
				return
			}
			for _, run := range page.Runs {
				if !yield(run, nil) {
					return
				}
			}
			if page.NextPageToken == "" {
				return
			}
			if page.NextPageToken == next.NextPageToken {
				yield(RunSummary{}, errors.New("extend: list of runs: the page token repeats itself"))
				return
			}
			next.NextPageToken = page.NextPageToken
		}
	}
}
