// Package target runs a document by what its route names: a processor or a workflow. Both have runs; this package makes
// one kind of them, so that the rest of the software knows one ledger, one search and one way of a result.
//
//	runs := target.Runs{Client: client}
//	run, err := runs.Create(ctx, extend.CreateRunRequest{ProcessorID: "workflow_…", File: file}) // one POST
//	run, err = runs.Get(ctx, run.ID)
package target

import (
	"context"
	"fmt"
	"iter"

	"extend-intake/shared/document"
	"extend-intake/shared/extend"
)

// Runs are the runs of processors and of workflows, told apart by their ids.
type Runs struct{ Client *extend.Client }

// Create starts a run of the processor or the workflow that ProcessorID names, by one POST. Its errors are those of
// [extend.RunService.Create]. The version "latest" of a workflow is the newest that is deployed; a workflow takes no config.
func (r Runs) Create(ctx context.Context, req extend.CreateRunRequest) (*extend.Run, error) {
	if !document.IsWorkflow(req.ProcessorID) {
		return r.Client.Runs.Create(ctx, req)
	}
	create := extend.CreateWorkflowRunsRequest{WorkflowID: req.ProcessorID, Version: req.Version, Priority: req.Priority, Metadata: req.Metadata}
	if create.Version == "latest" {
		create.Version = ""
	}
	if f := req.File; f != nil {
		create.Files = []extend.WorkflowFileInput{{FileName: f.FileName, FileURL: f.FileURL, FileID: f.FileID}}
	}
	page, err := r.Client.WorkflowRuns.Create(ctx, create)
	if err != nil {
		return nil, err
	}
	if len(page.Items) != 1 { // a run may have been made: the search tells
		return nil, fmt.Errorf("asked for one run of %s, and Extend answered with %d", req.ProcessorID, len(page.Items))
	}
	return page.Items[0].AsRun()
}

// Get returns a run of either kind.
func (r Runs) Get(ctx context.Context, id string) (*extend.Run, error) {
	if !document.IsWorkflowRun(id) {
		return r.Client.Runs.Get(ctx, id)
	}
	run, err := r.Client.WorkflowRuns.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	return run.AsRun()
}

// All lists runs: those of processors or, where ProcessorID is a workflow's id, those of workflows, of which the API can
// choose by file name and not by source.
func (r Runs) All(ctx context.Context, req extend.ListRunsRequest) iter.Seq2[extend.RunSummary, error] {
	if !document.IsWorkflow(req.ProcessorID) {
		return r.Client.Runs.All(ctx, req)
	}
	list := extend.ListWorkflowRunsRequest{FileNameContains: req.FileNameContains, SortBy: req.SortBy, MaxPageSize: req.MaxPageSize}
	return func(yield func(extend.RunSummary, error) bool) {
		for s, err := range r.Client.WorkflowRuns.All(ctx, list) {
			if !yield(extend.RunSummary{Resource: s.Resource, Status: s.Status, ProcessorID: s.WorkflowID, CreatedAt: s.CreatedAt, UpdatedAt: s.UpdatedAt}, err) {
				return
			}
		}
	}
}
