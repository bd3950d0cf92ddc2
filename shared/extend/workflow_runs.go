package extend

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"time"

	"extend-intake/shared/extend/internal/loose"
)

// WorkflowRunService has the calls for runs of workflows. Use it as [Client.WorkflowRuns].
//
// A workflow takes a document through several steps, perhaps with a review by a person. A run that waits for one is
// [StatusNeedsReview].
type WorkflowRunService service

// WorkflowRun is a document on its way through a workflow.
type WorkflowRun struct {
	Resource       `object:"workflow_run"` // workflow_run_…
	Name           string                  `json:"name" clean:"name"` // that of the file, unless it was changed
	URL            string                  `json:"url" clean:"link"`  // of the run's page in the dashboard
	Status         Status                  `json:"status" clean:"name"`
	Metadata       json.RawMessage         `json:"metadata"`
	BatchID        string                  `json:"batchId,omitzero"`
	Files          []File                  `json:"files"`
	FailureReason  string                  `json:"failureReason,omitzero" clean:"name"`  // such as INVALID_WORKFLOW; an open set
	FailureMessage string                  `json:"failureMessage,omitzero" clean:"text"` // for people
	InitialRunAt   time.Time               `json:"initialRunAt"`
	Reviewed       bool                    `json:"reviewed"`
	ReviewedBy     string                  `json:"reviewedBy,omitzero" clean:"name"` // an email address
	ReviewedAt     time.Time               `json:"reviewedAt,omitzero"`
	RejectionNote  string                  `json:"rejectionNote,omitzero" clean:"text"`
	StartTime      time.Time               `json:"startTime,omitzero"`
	EndTime        time.Time               `json:"endTime,omitzero"`
	Outputs        []Run                   `json:"outputs"`  // one per processor that the document went through
	StepRuns       []StepRun               `json:"stepRuns"` // of the steps that are not processors
	Workflow       Workflow                `json:"workflow"`
	Usage          *Usage                  `json:"usage,omitzero"` // nil under some billing plans
}

// adopt fails if an output cannot be read: a run that lacks one of its outputs would look complete.
func (r *WorkflowRun) adopt(o loose.Object) error {
	if !o.Has("outputs") {
		return nil
	}
	list, err := loose.SplitList(o["outputs"])
	if err != nil {
		return fmt.Errorf("outputs: %w", err)
	}
	r.Outputs = make([]Run, len(list))
	for i, raw := range list {
		run, err := ParseRun(raw)
		if err != nil {
			return fmt.Errorf("outputs[%d]: %w", i, err)
		}
		r.Outputs[i] = *run
	}
	return nil
}

// StepRun is a step of a workflow that is not a processor.
type StepRun struct {
	Resource `object:"workflow_step_run"`
	Status   Status `json:"status" clean:"name"`
	Step     Step   `json:"step"`
	// Output is a [RuleValidation] of a step that checks rules, else what the customer's endpoint answered.
	Output json.RawMessage `json:"output,omitzero"`
}

// Step is what a [StepRun] is a run of.
type Step struct {
	Object string   `json:"object"` // "workflow_step"
	ID     string   `json:"id"`
	Name   string   `json:"name" clean:"name"`
	Type   StepType `json:"type" clean:"name"`
}

// StepType is the kind of a step. The set is open.
type StepType string

// The kinds of steps that are known.
const (
	StepRuleValidation         StepType = "RULE_VALIDATION"
	StepExternalDataValidation StepType = "EXTERNAL_DATA_VALIDATION"
)

// RuleValidation is the output of a step that checks rules.
type RuleValidation struct {
	Rules []RuleResult `json:"rules,omitzero"`
}

// RuleResult is what one rule says.
type RuleResult struct {
	Name          string   `json:"name"`
	Valid         bool     `json:"valid"`
	ValidArray    []string `json:"validArray,omitzero"`    // one per item of a rule about an array
	FailureReason string   `json:"failureReason,omitzero"` // such as "RULE_FAILED", "PARSE_ERROR" or "VALUE_ERROR"
	Error         string   `json:"error,omitzero"`
}

// WorkflowRunSummary is a run as lists show it, without metadata, files and outputs.
type WorkflowRunSummary struct {
	Resource
	Status            Status    `json:"status" clean:"name"`
	InitialRunAt      time.Time `json:"initialRunAt,omitzero"`
	ReviewedByUser    string    `json:"reviewedByUser,omitzero" clean:"name"`
	ReviewedAt        time.Time `json:"reviewedAt,omitzero"`
	StartTime         time.Time `json:"startTime,omitzero"`
	EndTime           time.Time `json:"endTime,omitzero"`
	WorkflowID        string    `json:"workflowId"`
	WorkflowName      string    `json:"workflowName" clean:"name"`
	WorkflowVersionID string    `json:"workflowVersionId"`
	BatchID           string    `json:"batchId,omitzero"`
	RejectionNote     string    `json:"rejectionNote,omitzero" clean:"text"`
	CreatedAt         time.Time `json:"createdAt"`
	UpdatedAt         time.Time `json:"updatedAt"`
	Usage             *Usage    `json:"usage,omitzero"`
}

// CreateWorkflowRunsRequest asks for a run for each document, which are either Files or RawTexts.
type CreateWorkflowRunsRequest struct {
	WorkflowID string              `json:"workflowId"`
	Files      []WorkflowFileInput `json:"files,omitzero"` // at most 50
	RawTexts   []string            `json:"rawTexts,omitzero"`
	Version    string              `json:"version,omitzero"`  // a number such as "3", or "draft"; the newest deployed unless set
	Priority   int                 `json:"priority,omitzero"` // 1 to 100, lower runs first. 0 is the default, 50.
	// Metadata is echoed on the runs and in webhooks, but not in lists. Keep it under 10 KB.
	Metadata map[string]any `json:"metadata,omitzero"`
}

func (r CreateWorkflowRunsRequest) check(at string) error {
	if len(r.Files) == 0 && len(r.RawTexts) == 0 {
		return errors.New(at + "files and rawTexts are both absent: one is needed")
	}
	return errors.Join(inRange(at+"priority", r.Priority, 1, 100), inRange("the number of "+at+"files", len(r.Files), 1, 50))
}

// WorkflowFileInput is a document, as [FileInput], with outputs that are known beforehand.
type WorkflowFileInput struct {
	FileName string              `json:"fileName,omitzero"`
	FileURL  string              `json:"fileUrl,omitzero"`
	FileID   string              `json:"fileId,omitzero"`
	Outputs  []WorkflowRunOutput `json:"outputs,omitzero"` // used in place of those of the processors
}

func (f WorkflowFileInput) check(at string) error { return oneFile(at, f.FileURL, f.FileID) }

// WorkflowRunOutput is an output that is known beforehand, in place of the processor's.
type WorkflowRunOutput struct {
	ProcessorID string          `json:"processorId"`
	Output      json.RawMessage `json:"output"` // see [Extraction], [FieldResult], [Classified] and [Splits]
}

// Create starts a run for each document, with one BatchID for all. Each call makes new runs and is billed. They are in one page,
// in the order of the documents, as far as is known.
// https://docs.extend.ai/2025-04-21/developers/api-reference/workflow-endpoints/run-workflow
func (s *WorkflowRunService) Create(ctx context.Context, req CreateWorkflowRunsRequest) (*Page[WorkflowRun], error) {
	return list[WorkflowRun](ctx, s.client, createWorkflowRuns, nil, req)
}

// CreateWorkflowRunBatchRequest asks for a run for each of up to 1000 documents. Links to files should live for half an hour.
type CreateWorkflowRunBatchRequest struct {
	WorkflowID string               `json:"workflowId"`
	Version    string               `json:"version,omitzero"` // as in [CreateWorkflowRunsRequest]
	Inputs     []WorkflowBatchInput `json:"inputs"`
}

func (r CreateWorkflowRunBatchRequest) check(at string) error {
	return inRange("the number of "+at+"inputs", len(r.Inputs), 1, 1000)
}

// WorkflowBatchInput is one document of a batch, either File or RawText.
type WorkflowBatchInput struct {
	File     *FileInput     `json:"file,omitzero"`
	RawText  string         `json:"rawText,omitzero"`
	Metadata map[string]any `json:"metadata,omitzero"` // as in [CreateWorkflowRunsRequest]
	Secrets  map[string]any `json:"secrets,omitzero"`  // for the processors of this run
}

func (r WorkflowBatchInput) check(at string) error { return oneDocument(at, r.File, r.RawText) }

// WorkflowRunBatch is a batch that was accepted. Its runs are made later: list them by the batch's id, or wait for webhooks.
type WorkflowRunBatch struct {
	ID string // batch_…
	Received
}

// CreateBatch starts a batch, at priority 90. Each call makes new runs and is billed.
// https://docs.extend.ai/2025-04-21/developers/api-reference/workflow-endpoints/batch-run-workflow
func (s *WorkflowRunService) CreateBatch(ctx context.Context, req CreateWorkflowRunBatchRequest) (*WorkflowRunBatch, error) {
	return send(ctx, s.client, request{operation: createWorkflowRunBatch, body: req}, func(raw json.RawMessage) (*WorkflowRunBatch, error) {
		b := &WorkflowRunBatch{ID: text(raw), Received: Received{Raw: raw}}
		if b.ID == "" {
			return nil, errors.New("batchId is not a text")
		}
		return b, nil
	})
}

// Get returns a run.
// https://docs.extend.ai/2025-04-21/developers/api-reference/workflow-endpoints/get-workflow-run
func (s *WorkflowRunService) Get(ctx context.Context, id string) (*WorkflowRun, error) {
	return call[WorkflowRun](ctx, s.client, getWorkflowRun, nil, nil, id)
}

// Wait returns a run once it has ended: see [RunService.Wait]. A run that needs a review has not ended. To stop
// waiting then, cancel ctx from progress.
func (s *WorkflowRunService) Wait(ctx context.Context, id string, progress ...func(*WorkflowRun)) (*WorkflowRun, error) {
	get := func() (*WorkflowRun, error) { return s.Get(ctx, id) }
	return wait(ctx, s.client, get, func(r *WorkflowRun) Status { return r.Status }, progress)
}

// ListWorkflowRunsRequest selects runs. Zero fields do not restrict.
type ListWorkflowRunsRequest struct {
	Status           Status `json:"status,omitzero"`
	WorkflowID       string `json:"workflowId,omitzero"`
	BatchID          string `json:"batchId,omitzero"`
	FileNameContains string `json:"fileNameContains,omitzero"`
	SortBy           string `json:"sortBy,omitzero"`        // [SortByUpdatedAt] unless set
	SortDir          string `json:"sortDir,omitzero"`       // [SortDesc] unless set
	NextPageToken    string `json:"nextPageToken,omitzero"` // of the page before; nothing else may change between pages
	MaxPageSize      int    `json:"maxPageSize,omitzero"`   // 1 to 1000; 10 unless set
}

func (r ListWorkflowRunsRequest) check(at string) error {
	return inRange(at+"maxPageSize", r.MaxPageSize, 1, 1000)
}

// List returns one page of runs.
// https://docs.extend.ai/2025-04-21/developers/api-reference/workflow-endpoints/list-workflow-runs
func (s *WorkflowRunService) List(ctx context.Context, req ListWorkflowRunsRequest) (*Page[WorkflowRunSummary], error) {
	return list[WorkflowRunSummary](ctx, s.client, listWorkflowRuns, req, nil)
}

// All returns the runs of all pages: see [RunService.All].
func (s *WorkflowRunService) All(ctx context.Context, req ListWorkflowRunsRequest) iter.Seq2[WorkflowRunSummary, error] {
	return all(req.NextPageToken, func(token string) (*Page[WorkflowRunSummary], error) {
		req.NextPageToken = token
		return s.List(ctx, req)
	})
}

// UpdateWorkflowRunRequest changes what is set in it.
type UpdateWorkflowRunRequest struct {
	ID       string         `json:"-"` // workflow_run_…
	Name     string         `json:"name,omitzero"`
	Metadata map[string]any `json:"metadata,omitzero"` // merged into the metadata of the run; these members win
}

// Update changes the name and the metadata of a run in progress. Whether one that has ended is refused is not published.
// https://docs.extend.ai/2025-04-21/developers/api-reference/workflow-endpoints/update-workflow-run
func (s *WorkflowRunService) Update(ctx context.Context, req UpdateWorkflowRunRequest) (*WorkflowRun, error) {
	return call[WorkflowRun](ctx, s.client, updateWorkflowRun, nil, req, req.ID)
}

// Cancel stops a run that is PENDING or PROCESSING; any other is refused. It is [StatusCancelling] first. There is no
// webhook for it. A repetition after a lost answer can be refused, too: ask for the run then.
// https://docs.extend.ai/2025-04-21/developers/api-reference/workflow-endpoints/cancel-workflow-run
func (s *WorkflowRunService) Cancel(ctx context.Context, id string) (*WorkflowRun, error) {
	return call[WorkflowRun](ctx, s.client, cancelWorkflowRun, nil, nil, id)
}

// Delete removes a run and its data for good. A repetition after a lost answer can end in a 404, which then says that the
// first try did it.
// https://docs.extend.ai/2025-04-21/developers/api-reference/workflow-endpoints/delete-workflow-run
func (s *WorkflowRunService) Delete(ctx context.Context, id string) (*Deletion, error) {
	return remove(ctx, s.client, deleteWorkflowRun, id)
}

// CorrectWorkflowRunOutputRequest says what one of a run's outputs should have been.
type CorrectWorkflowRunOutputRequest struct {
	WorkflowRunID string `json:"-"` // workflow_run_…
	OutputID      string `json:"-"` // of one of the run's Outputs, dpr_…
	// ReviewedOutput is the final output: see [Extraction], [FieldResult], [Classified] and [Splits]. Of an extraction, some of
	// the fields are enough.
	ReviewedOutput json.RawMessage `json:"reviewedOutput"`
}

// CorrectOutput sets the reviewed output of a run.
//
// Deprecated: the next version of the API does not have it.
// https://docs.extend.ai/2025-04-21/developers/api-reference/workflow-endpoints/correct-workflow-run-outputs
func (s *WorkflowRunService) CorrectOutput(ctx context.Context, req CorrectWorkflowRunOutputRequest) (*WorkflowRun, error) {
	return call[WorkflowRun](ctx, s.client, correctWorkflowRunOutput, nil, req, req.WorkflowRunID, req.OutputID)
}
