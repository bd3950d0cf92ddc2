package extend

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"extend-intake/dev/apicontract"
)

// typesOf has the type that each object of the contract is read as or written from. Those inside them follow from it.
var typesOf = map[string]reflect.Type{
	"ProcessorRun": reflect.TypeFor[Run](), "ProcessorRunSummary": reflect.TypeFor[RunSummary](), "MergedProcessor": reflect.TypeFor[MergedProcessor](), "Edit": reflect.TypeFor[Edit](),
	"Processor": reflect.TypeFor[Processor](), "ProcessorListItem": reflect.TypeFor[ProcessorListItem](), "ProcessorVersion": reflect.TypeFor[ProcessorVersion](),
	"ExtractionConfig": reflect.TypeFor[ExtractionConfig](), "ClassificationConfig": reflect.TypeFor[ClassificationConfig](), "SplitterConfig": reflect.TypeFor[SplitterConfig](),
	"ExtractionOutput": reflect.TypeFor[Extraction](), "ExtractionFieldResult": reflect.TypeFor[FieldResult](), "ClassifierOutput": reflect.TypeFor[Classified](), "SplitterOutput": reflect.TypeFor[Splits](),
	"ProvidedExtractionOutput": reflect.TypeFor[Extraction](), "ProvidedFieldResult": reflect.TypeFor[FieldResult](), "ProvidedClassifierOutput": reflect.TypeFor[Classified](),
	"ProvidedSplitterOutput": reflect.TypeFor[Splits](), "BatchProcessorRun": reflect.TypeFor[BatchProcessorRun](),
	"ParserRun": reflect.TypeFor[ParserRun](), "ParserRunStatus": reflect.TypeFor[ParserRun](),
	"WorkflowRun": reflect.TypeFor[WorkflowRun](), "WorkflowRunSummary": reflect.TypeFor[WorkflowRunSummary](), "StepRun": reflect.TypeFor[StepRun](),
	"RuleValidationOutput": reflect.TypeFor[RuleValidation](), "Workflow": reflect.TypeFor[Workflow](), "File": reflect.TypeFor[File](),
	"EditRun": reflect.TypeFor[EditRun](), "EditRunStatus": reflect.TypeFor[EditRun](), "EditTemplate": reflect.TypeFor[EditTemplate](),
	"EditSchemaGenerationResult": reflect.TypeFor[GeneratedEditSchema](), "EditRootSchema": reflect.TypeFor[EditSchema](),
	"EvaluationSet": reflect.TypeFor[EvaluationSet](), "EvaluationSetItem": reflect.TypeFor[EvaluationSetItem](),
}

// requestTypes has the type that the body of each operation is written from.
var requestTypes = map[string]reflect.Type{
	"CreateProcessorRun": reflect.TypeFor[CreateRunRequest](), "CreateProcessor": reflect.TypeFor[CreateProcessorRequest](), "UpdateProcessor": reflect.TypeFor[UpdateProcessorRequest](),
	"PublishProcessorVersion": reflect.TypeFor[PublishProcessorVersionRequest](), "ParseFile": reflect.TypeFor[ParseRequest](), "ParseFileAsync": reflect.TypeFor[ParseRequest](),
	"CreateWorkflowRuns": reflect.TypeFor[CreateWorkflowRunsRequest](), "UpdateWorkflowRun": reflect.TypeFor[UpdateWorkflowRunRequest](), "CreateWorkflow": reflect.TypeFor[CreateWorkflowRequest](),
	"CreateWorkflowRunBatch": reflect.TypeFor[CreateWorkflowRunBatchRequest](), "CorrectWorkflowRunOutput": reflect.TypeFor[CorrectWorkflowRunOutputRequest](),
	"CreateFile": reflect.TypeFor[CreateFileRequest](), "EditFile": reflect.TypeFor[EditRequest](), "EditFileAsync": reflect.TypeFor[EditRequest](),
	"GenerateEditSchema": reflect.TypeFor[GenerateEditSchemaRequest](), "CreateEvaluationSet": reflect.TypeFor[CreateEvaluationSetRequest](),
	"CreateEvaluationSetItem": reflect.TypeFor[CreateEvaluationSetItemRequest](), "UpdateEvaluationSetItem": reflect.TypeFor[UpdateEvaluationSetItemRequest](),
	"CreateEvaluationSetItems": reflect.TypeFor[CreateEvaluationSetItemsRequest](),
}

// Every member that the contract describes has a field, also those that no example shows, and a member of a request that is
// required is one that is always written.
func TestEveryMemberHasAField(t *testing.T) {
	t.Parallel()
	var file struct {
		Defs map[string]schemaNode `json:"$defs"`
	}
	if err := json.Unmarshal(contractFile(t, "schemas.json"), &file); err != nil {
		t.Fatal(err)
	}
	c := comparison{t: t, defs: file.Defs, seen: map[string]bool{}}
	for _, name := range slices.Sorted(maps.Keys(typesOf)) {
		if _, ok := file.Defs[name]; !ok {
			t.Errorf("the contract has no %s", name)
		}
		c.compare(name, file.Defs[name], typesOf[name])
	}
	for _, op := range apicontract.Operations() {
		if op.Request == nil || op.Request.ContentType != "application/json" {
			continue
		}
		typ, ok := requestTypes[op.Name]
		if !ok {
			t.Errorf("no type for the body of %s", op.Name)
			continue
		}
		var node schemaNode
		if err := json.Unmarshal(op.Request.Schema, &node); err != nil {
			t.Fatal(err)
		}
		c.compare(op.Name, node, typ)
		for _, member := range node.Required {
			if f, ok := fieldTags(typ)[member]; !ok || strings.Contains(f.Tag.Get("json"), "omitzero") {
				t.Errorf("%s: %s is required, and %s does not always write it", op.Name, member, typ)
			}
		}
	}
	if len(c.seen) < 60 {
		t.Errorf("only %d objects were compared", len(c.seen))
	}
}

// A schemaNode is what this test needs of a schema.
type schemaNode struct {
	Ref                  string                `json:"$ref"`
	Properties           map[string]schemaNode `json:"properties"`
	Required             []string              `json:"required"`
	AdditionalProperties json.RawMessage       `json:"additionalProperties"`
	Items                *schemaNode           `json:"items"`
	AnyOf, OneOf         []schemaNode
}

// A comparison walks schemas beside types.
type comparison struct {
	t    *testing.T
	defs map[string]schemaNode
	seen map[string]bool
}

func (c comparison) compare(path string, node schemaNode, typ reflect.Type) {
	if node.Ref != "" {
		name := node.Ref[strings.LastIndex(node.Ref, "/")+1:]
		c.compare(name, c.defs[name], typ)
		return
	}
	for typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	if typ == reflect.TypeFor[json.RawMessage]() || typ == reflect.TypeFor[time.Time]() || typ.Kind() == reflect.String {
		return // of any shape; the types that read it are in typesOf
	}
	for _, choice := range slices.Concat(node.AnyOf, node.OneOf) {
		if choice.Ref != "" || choice.Properties != nil {
			c.compare(path, choice, typ)
		}
	}
	if key := path + " " + typ.String(); c.seen[key] {
		return
	} else if node.Properties != nil {
		c.seen[key] = true
	}
	switch typ.Kind() {
	case reflect.Slice:
		if node.Items != nil {
			c.compare(path+"[]", *node.Items, typ.Elem())
		}
	case reflect.Map:
		var inner schemaNode
		if json.Unmarshal(node.AdditionalProperties, &inner) == nil {
			c.compare(path+".*", inner, typ.Elem())
		}
	case reflect.Struct:
		fields := fieldTags(typ)
		for _, name := range slices.Sorted(maps.Keys(node.Properties)) {
			f, ok := fields[name]
			if !ok {
				c.t.Errorf("%s.%s: %s has no such field", path, name, typ)
				continue
			}
			c.compare(path+"."+name, node.Properties[name], f.Type)
		}
	}
}

// fieldTags returns the fields of a struct by their names in JSON.
func fieldTags(typ reflect.Type) map[string]reflect.StructField {
	fields := map[string]reflect.StructField{}
	for _, f := range reflect.VisibleFields(typ) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if typ == reflect.TypeFor[Run]() && name == "" {
			name = jsonNameOfRun(f.Name)
		}
		if name != "" && name != "-" {
			fields[name] = f
		}
	}
	return fields
}
