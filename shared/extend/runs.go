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
// mean null; before a run is processed the API sends either, or {}.
type Run struct {
	ID                 string  `json:"id"` // dpr_…
	ProcessorID        string  `json:"processorId"`
	ProcessorVersionID string  `json:"processorVersionId"`
	ProcessorName      string  `json:"processorName"`
	Type               RunType `json:"type"`
	Status             Status  `json:"status"`

	// Output is the result: the reviewed one once there is one, else the initial one. See [Run.HasOutput].
	Output         json.RawMessage `json:"output"`
	InitialOutput  json.RawMessage `json:"initialOutput"`
	ReviewedOutput json.RawMessage `json:"reviewedOutput"`

	FailureReason  string `json:"failureReason"`  // such as FAILED_TO_PROCESS_FILE; an open set
	FailureMessage string `json:"failureMessage"` // for people. It can quote the file's URL.

	Metadata json.RawMessage `json:"metadata"`
	Reviewed bool            `json:"reviewed"`
	Edited   bool            `json:"edited"`
	Edits    json.RawMessage `json:"edits"`
	Config   json.RawMessage `json:"config"` // as used, which need not equal what was sent
	URL      string          `json:"url"`    // of the run's page in the dashboard
	Usage    *Usage          `json:"usage"`  // nil under some billing plans
}

// HasOutput reports whether the run has ended with a result.
func (r *Run) HasOutput() bool {
	return r.Status == StatusProcessed && len(r.Output) > 0 && string(r.Output) != "null"
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

// ParseRun reads a run object, as a webhook's payload is one. It fails on anything else: an object that says it
// is of another type, or one without an id.
func ParseRun(object json.RawMessage) (*Run, error) {
	var v struct {
		Object string `json:"object"`
		Run
	}
	if err := json.Unmarshal(object, &v); err != nil {
		return nil, fmt.Errorf("run: %w", err)
	}
	if v.Object != "" && v.Object != "document_processor_run" {
		return nil, fmt.Errorf("run: object is a %.100q", v.Object)
	}
	if v.ID == "" {
		return nil, errors.New("run: no id")
	}
	return &v.Run, nil
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
	_, err := send(ctx, s.client, r, "documentProcessorRunId", object[string])
	return err
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

// RunSummary is what a list says of a run. There is no metadata in it: that needs a Get.
type RunSummary struct {
	ID                 string    `json:"id"`
	Status             Status    `json:"status"`
	ProcessorID        string    `json:"processorId"`
	ProcessorName      string    `json:"processorName"`
	ProcessorVersionID string    `json:"processorVersionId"`
	Type               RunType   `json:"type"`
	CreatedAt          time.Time `json:"createdAt"`
	UpdatedAt          time.Time `json:"updatedAt"`
	Usage              *Usage    `json:"usage"`
}

// UnmarshalJSON reads the dates in every spelling that the API has.
func (r *RunSummary) UnmarshalJSON(raw []byte) error {
	type plain RunSummary
	v := struct {
		*plain
		CreatedAt *timestamp `json:"createdAt"`
		UpdatedAt *timestamp `json:"updatedAt"`
	}{(*plain)(r), (*timestamp)(&r.CreatedAt), (*timestamp)(&r.UpdatedAt)}
	return json.Unmarshal(raw, &v)
}

// RunPage is one page of a list.
type RunPage struct {
	Runs          []RunSummary `json:"processorRuns"`
	NextPageToken string       `json:"nextPageToken"` // "" on the last page
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
	return send(ctx, s.client, r, "", func(body json.RawMessage) (*RunPage, error) {
		page, err := object[RunPage](body)
		if err == nil && page.Runs == nil {
			// Not the same as none: who looks for a lost run must not be told that it is not there.
			return nil, errors.New(`no "processorRuns" in it`)
		}
		return page, err
	})
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
