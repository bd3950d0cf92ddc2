package extend

import "context"

// WorkflowService has the call for workflows. Use it as [Client.Workflows]. A workflow's steps are made in the dashboard.
type WorkflowService service

// Workflow is a series of steps that documents are taken through.
type Workflow struct {
	Resource `object:"workflow"` // workflow_…
	Version  string              `json:"version" clean:"name"` // "draft", or a number such as "3"
	Name     string              `json:"name" clean:"name"`
}

// CreateWorkflowRequest describes a new workflow.
type CreateWorkflowRequest struct {
	Name string `json:"name"`
}

// Create makes a workflow without steps.
// https://docs.extend.ai/2025-04-21/developers/api-reference/workflow-endpoints/create-workflow
func (s *WorkflowService) Create(ctx context.Context, req CreateWorkflowRequest) (*Workflow, error) {
	return call[Workflow](ctx, s.client, createWorkflow, nil, req)
}
