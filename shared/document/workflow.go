package document

import (
	"encoding/json"
	"strings"
)

const (
	workflowPrefix    = "workflow_"
	workflowRunPrefix = "workflow_run_"
)

// IsWorkflow reports whether an id at Extend is a workflow's, and no run's.
func IsWorkflow(id string) bool {
	return strings.HasPrefix(id, workflowPrefix) && !IsWorkflowRun(id)
}

// IsWorkflowRun reports whether an id at Extend is that of a run of a workflow.
func IsWorkflowRun(id string) bool { return strings.HasPrefix(id, workflowRunPrefix) }

// workflow is read after processor and before version and config: exactly one of the two is given.
func (r *routeReader) workflow(raw json.RawMessage) {
	switch {
	case raw == nil && !r.hasProcessor:
		r.errorf("processor and workflow are both missing; give the id of one at Extend, which begins with dp_ or workflow_")
		return
	case raw == nil:
		return
	case r.hasProcessor:
		r.errorf("workflow %s stands beside a processor; give one of the two", shown(raw))
		return
	}
	id, ok := r.text("workflow", raw)
	if !ok {
		return
	}
	if rest, ok := strings.CutPrefix(id, workflowPrefix); !ok || rest == "" || CleanUsageTag(rest) != rest || IsWorkflowRun(id) {
		r.errorf("workflow %s must be workflow_ and then letters, digits, _ or -, and no run's id", quote(id))
	}
	r.route.ProcessorID, r.hasWorkflow = id, true
}

// workflowVersion is the version of a workflow.
func (r *routeReader) workflowVersion(version string) {
	if version != "latest" && version != "draft" && (!versionNumber(version) || strings.Contains(version, ".")) {
		r.errorf("version %s of a workflow must be latest, draft, or a whole number such as 3", quote(version))
	}
}
