package extend

import "strings"

// An operation is one call of the API, as its reference lists it.
type operation struct {
	method string
	path   string // {…} stands for an id

	// Of the answer {"success": true, "<name>": …}, one says the name: member that of one thing, items that of a list. Without
	// either the answer is the object itself; wrapped is then a name under which it is published all the same.
	member, items, wrapped string

	// repeatable says that a second call does nothing that the first did not do, and costs nothing.
	repeatable bool
}

// segments returns the path with the ids in it, and the name of each id.
func (o operation) segments(ids []string) (segments, names []string) {
	for segment := range strings.SplitSeq(strings.TrimPrefix(o.path, "/"), "/") {
		name := ""
		if strings.HasPrefix(segment, "{") {
			name = strings.Trim(segment, "{}")
			segment, ids = ids[0], ids[1:]
		}
		segments, names = append(segments, segment), append(names, name)
	}
	return segments, names
}

// The 44 operations of version 2025-04-21. docs/api.md says what each costs.
var (
	createProcessorRun = operation{method: "POST", path: "/processor_runs", member: "processorRun"}
	getProcessorRun    = operation{method: "GET", path: "/processor_runs/{id}", member: "processorRun", repeatable: true}
	listProcessorRuns  = operation{method: "GET", path: "/processor_runs", items: "processorRuns", repeatable: true}
	cancelProcessorRun = operation{method: "POST", path: "/processor_runs/{id}/cancel", member: "processorRun", repeatable: true}
	deleteProcessorRun = operation{method: "DELETE", path: "/processor_runs/{id}", member: "documentProcessorRunId", repeatable: true}

	getBatchProcessorRun = operation{method: "GET", path: "/batch_processor_runs/{id}", member: "batchProcessorRun", repeatable: true}

	listProcessors          = operation{method: "GET", path: "/processors", items: "processors", repeatable: true}
	createProcessor         = operation{method: "POST", path: "/processors", member: "processor"}
	updateProcessor         = operation{method: "POST", path: "/processors/{id}", member: "processor", repeatable: true}
	publishProcessorVersion = operation{method: "POST", path: "/processors/{id}/publish", member: "processorVersion"}
	getProcessorVersion     = operation{method: "GET", path: "/processors/{processorId}/versions/{processorVersionId}", member: "version", repeatable: true}
	listProcessorVersions   = operation{method: "GET", path: "/processors/{id}/versions", items: "versions", repeatable: true}

	parseFile       = operation{method: "POST", path: "/parse"}
	parseFileAsync  = operation{method: "POST", path: "/parse/async"}
	getParserRun    = operation{method: "GET", path: "/parser_runs/{id}", member: "parserRun", repeatable: true}
	deleteParserRun = operation{method: "DELETE", path: "/parser_runs/{id}", member: "parserRunId", repeatable: true}

	createWorkflowRuns       = operation{method: "POST", path: "/workflow_runs", items: "workflowRuns"}
	getWorkflowRun           = operation{method: "GET", path: "/workflow_runs/{workflowRunId}", member: "workflowRun", repeatable: true}
	listWorkflowRuns         = operation{method: "GET", path: "/workflow_runs", items: "workflowRuns", repeatable: true}
	updateWorkflowRun        = operation{method: "POST", path: "/workflow_runs/{workflowRunId}", member: "workflowRun", repeatable: true}
	cancelWorkflowRun        = operation{method: "POST", path: "/workflow_runs/{workflowRunId}/cancel", member: "workflowRun", repeatable: true}
	deleteWorkflowRun        = operation{method: "DELETE", path: "/workflow_runs/{workflowRunId}", member: "workflowRunId", repeatable: true}
	createWorkflowRunBatch   = operation{method: "POST", path: "/workflow_runs/batch", member: "batchId"}
	correctWorkflowRunOutput = operation{method: "POST", path: "/workflow_runs/{workflowRunId}/outputs/{outputId}", member: "workflowRun", repeatable: true}
	createWorkflow           = operation{method: "POST", path: "/workflows", member: "workflow"}

	uploadFile = operation{method: "POST", path: "/files/upload", member: "file"}
	getFile    = operation{method: "GET", path: "/files/{id}", member: "file", repeatable: true}
	deleteFile = operation{method: "DELETE", path: "/files/{id}", member: "fileId", repeatable: true}
	listFiles  = operation{method: "GET", path: "/files", items: "files", repeatable: true}
	createFile = operation{method: "POST", path: "/files", member: "file"}

	editFile           = operation{method: "POST", path: "/edit", wrapped: "editRun"}
	editFileAsync      = operation{method: "POST", path: "/edit/async", wrapped: "editRun"}
	generateEditSchema = operation{method: "POST", path: "/edit_schemas/generate"}
	getEditRun         = operation{method: "GET", path: "/edit_runs/{id}", member: "editRun", repeatable: true}
	deleteEditRun      = operation{method: "DELETE", path: "/edit_runs/{id}", member: "editRunId", repeatable: true}
	getEditTemplate    = operation{method: "GET", path: "/edit_templates/{id}", member: "editTemplate", repeatable: true}

	getEvaluationSet         = operation{method: "GET", path: "/evaluation_sets/{id}", member: "evaluationSet", repeatable: true}
	listEvaluationSets       = operation{method: "GET", path: "/evaluation_sets", items: "evaluationSets", repeatable: true}
	createEvaluationSet      = operation{method: "POST", path: "/evaluation_sets", member: "evaluationSet"}
	listEvaluationSetItems   = operation{method: "GET", path: "/evaluation_sets/{id}/items", items: "evaluationSetItems", repeatable: true}
	createEvaluationSetItem  = operation{method: "POST", path: "/evaluation_set_items", member: "evaluationSetItem"}
	updateEvaluationSetItem  = operation{method: "POST", path: "/evaluation_set_items/{id}", member: "evaluationSetItem", repeatable: true}
	deleteEvaluationSetItem  = operation{method: "DELETE", path: "/evaluation_set_items/{id}", member: "evaluationSetItemId", repeatable: true}
	createEvaluationSetItems = operation{method: "POST", path: "/evaluation_set_items/bulk", items: "evaluationSetItems"}
)
