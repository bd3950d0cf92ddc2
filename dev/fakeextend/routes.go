package fakeextend

import (
	"net/http"
	"net/url"
	"strings"
	"sync"

	"extend-intake/dev/apicontract"
)

// The routes of the fake API, as a [Call] and a [RequestCount] name them: the
// methods and paths of the vendor's reference. Those of processor runs, which the
// functions use, have short names.
const (
	RouteCreate = "POST /processor_runs"
	RouteGet    = "GET /processor_runs/{id}"
	RouteList   = "GET /processor_runs"
	RouteCancel = "POST /processor_runs/{id}/cancel"
	RouteDelete = "DELETE /processor_runs/{id}"

	RouteGetBatchProcessorRun = "GET /batch_processor_runs/{id}"

	RouteListProcessors          = "GET /processors"
	RouteCreateProcessor         = "POST /processors"
	RouteUpdateProcessor         = "POST /processors/{id}"
	RoutePublishProcessorVersion = "POST /processors/{id}/publish"
	RouteGetProcessorVersion     = "GET /processors/{processorId}/versions/{processorVersionId}"
	RouteListProcessorVersions   = "GET /processors/{id}/versions"

	RouteParse           = "POST /parse"
	RouteParseAsync      = "POST /parse/async"
	RouteGetParserRun    = "GET /parser_runs/{id}"
	RouteDeleteParserRun = "DELETE /parser_runs/{id}"

	RouteCreateWorkflowRuns  = "POST /workflow_runs"
	RouteGetWorkflowRun      = "GET /workflow_runs/{workflowRunId}"
	RouteListWorkflowRuns    = "GET /workflow_runs"
	RouteUpdateWorkflowRun   = "POST /workflow_runs/{workflowRunId}"
	RouteCancelWorkflowRun   = "POST /workflow_runs/{workflowRunId}/cancel"
	RouteDeleteWorkflowRun   = "DELETE /workflow_runs/{workflowRunId}"
	RouteCreateWorkflowBatch = "POST /workflow_runs/batch"
	RouteCorrectOutput       = "POST /workflow_runs/{workflowRunId}/outputs/{outputId}"
	RouteCreateWorkflow      = "POST /workflows"

	RouteUpload     = "POST /files/upload"
	RouteGetFile    = "GET /files/{id}"
	RouteDeleteFile = "DELETE /files/{id}"
	RouteListFiles  = "GET /files"
	RouteCreateFile = "POST /files"

	RouteEdit               = "POST /edit"
	RouteEditAsync          = "POST /edit/async"
	RouteGenerateEditSchema = "POST /edit_schemas/generate"
	RouteGetEditRun         = "GET /edit_runs/{id}"
	RouteDeleteEditRun      = "DELETE /edit_runs/{id}"
	RouteGetEditTemplate    = "GET /edit_templates/{id}"

	RouteGetEvaluationSet         = "GET /evaluation_sets/{id}"
	RouteListEvaluationSets       = "GET /evaluation_sets"
	RouteCreateEvaluationSet      = "POST /evaluation_sets"
	RouteListEvaluationSetItems   = "GET /evaluation_sets/{id}/items"
	RouteCreateEvaluationSetItem  = "POST /evaluation_set_items"
	RouteUpdateEvaluationSetItem  = "POST /evaluation_set_items/{id}"
	RouteDeleteEvaluationSetItem  = "DELETE /evaluation_set_items/{id}"
	RouteCreateEvaluationSetItems = "POST /evaluation_set_items/bulk"

	RoutePayload = "GET " + payloadPath + "{token}" // never asked about: it is no part of the API
	RouteUnknown = "unknown route"
)

// handlers has what answers each route.
var handlers = map[string]func(*exchange) ([]byte, *refusal){
	RouteCreate: (*exchange).createRun,
	RouteGet:    (*exchange).getRun,
	RouteList:   (*exchange).listRuns,
	RouteCancel: (*exchange).cancelRun,
	RouteDelete: (*exchange).deleteRun,

	RouteListProcessors:          (*exchange).listProcessors,
	RouteCreateProcessor:         (*exchange).createProcessor,
	RouteUpdateProcessor:         (*exchange).updateProcessor,
	RoutePublishProcessorVersion: (*exchange).publishProcessorVersion,
	RouteGetProcessorVersion:     (*exchange).getProcessorVersion,
	RouteListProcessorVersions:   (*exchange).listProcessorVersions,

	RouteGetBatchProcessorRun: (*exchange).getBatchProcessorRun,

	RouteParse:           (*exchange).parse,
	RouteParseAsync:      (*exchange).parseAsync,
	RouteGetParserRun:    (*exchange).getParserRun,
	RouteDeleteParserRun: (*exchange).deleteParserRun,

	RouteCreateWorkflowRuns:  (*exchange).createWorkflowRuns,
	RouteGetWorkflowRun:      (*exchange).getWorkflowRun,
	RouteListWorkflowRuns:    (*exchange).listWorkflowRuns,
	RouteUpdateWorkflowRun:   (*exchange).updateWorkflowRun,
	RouteCancelWorkflowRun:   (*exchange).cancelWorkflowRun,
	RouteDeleteWorkflowRun:   (*exchange).deleteWorkflowRun,
	RouteCreateWorkflowBatch: (*exchange).createWorkflowRunBatch,
	RouteCorrectOutput:       (*exchange).correctWorkflowRunOutput,
	RouteCreateWorkflow:      (*exchange).createWorkflow,

	RouteEdit:               (*exchange).edit,
	RouteEditAsync:          (*exchange).editAsync,
	RouteGenerateEditSchema: (*exchange).generateEditSchema,
	RouteGetEditRun:         (*exchange).getEditRun,
	RouteDeleteEditRun:      (*exchange).deleteEditRun,
	RouteGetEditTemplate:    (*exchange).getEditTemplate,

	RouteGetEvaluationSet:         (*exchange).getEvaluationSet,
	RouteListEvaluationSets:       (*exchange).listEvaluationSets,
	RouteCreateEvaluationSet:      (*exchange).createEvaluationSet,
	RouteListEvaluationSetItems:   (*exchange).listEvaluationSetItems,
	RouteCreateEvaluationSetItem:  (*exchange).createEvaluationSetItem,
	RouteUpdateEvaluationSetItem:  (*exchange).updateEvaluationSetItem,
	RouteDeleteEvaluationSetItem:  (*exchange).deleteEvaluationSetItem,
	RouteCreateEvaluationSetItems: (*exchange).createEvaluationSetItems,

	RouteUpload:     (*exchange).upload,
	RouteGetFile:    (*exchange).getFile,
	RouteDeleteFile: (*exchange).deleteFile,
	RouteListFiles:  (*exchange).listFiles,
	RouteCreateFile: (*exchange).createFile,
}

// An operation is one call of the contract that the fake serves.
type operation struct {
	apicontract.Operation
	route    string
	segments []string
}

var operations = sync.OnceValue(func() []operation {
	var ops []operation
	for _, op := range apicontract.Operations() {
		ops = append(ops, operation{op, op.Method + " " + op.Path, strings.Split(op.Path, "/")})
	}
	return ops
})

// routeOf finds the operation that a request is for, and the ids in its path. nil
// covers everything that this API version does not serve to us. A path without
// an id wins over one with: /workflow_runs/batch is no run.
func routeOf(r *http.Request) (found *operation, ids []string) {
	segments := strings.Split(r.URL.EscapedPath(), "/")
	for _, op := range operations() {
		if op.Method != r.Method || len(op.segments) != len(segments) {
			continue
		}
		if in, ok := op.match(segments); ok && (found == nil || len(in) < len(ids)) {
			found, ids = &op, in
		}
	}
	return found, ids
}

func (o operation) match(segments []string) (ids []string, ok bool) {
	for i, want := range o.segments {
		got, err := url.PathUnescape(segments[i])
		switch {
		case err != nil:
			return nil, false
		case strings.HasPrefix(want, "{") && got != "":
			ids = append(ids, got)
		case got != want:
			return nil, false
		}
	}
	return ids, true
}
