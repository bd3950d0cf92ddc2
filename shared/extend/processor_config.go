package extend

import (
	"encoding/json"
	"errors"
	"fmt"

	"extend-intake/shared/extend/internal/loose"
)

// The configurations of processors are JSON in requests and answers, since Extend adds members to them and customers keep
// them as files. The types here are for those who write or read one in Go:
//
//	config, err := json.Marshal(extend.ClassificationConfig{Type: extend.TypeClassify, Classifications: …})
//	config, err := extend.Parse[extend.ClassificationConfig](version.Config)
//
// A *bool is nil where the API's default is meant.

// ProcessorType is the kind of a processor, which decides the shape of its configuration and of its runs' outputs.
type ProcessorType = RunType

// Processors that a configuration can be based on. The first of each type is the default.
const (
	ExtractionPerformance     = "extraction_performance"
	ExtractionLight           = "extraction_light"
	ClassificationPerformance = "classification_performance"
	ClassificationLight       = "classification_light"
	SplittingPerformance      = "splitting_performance"
	SplittingLight            = "splitting_light"
)

// ExtractionConfig configures processors of [TypeExtract]. A request needs Schema or Fields.
type ExtractionConfig struct {
	Type            ProcessorType `json:"type"` // [TypeExtract]
	BaseProcessor   string        `json:"baseProcessor,omitzero"`
	BaseVersion     string        `json:"baseVersion,omitzero"` // needs BaseProcessor
	ExtractionRules string        `json:"extractionRules,omitzero"`
	// Schema is a JSON Schema of what to extract. It is normalised when it is saved: what is read need not equal what was sent.
	Schema          json.RawMessage            `json:"schema,omitzero"`
	Fields          []ExtractionField          `json:"fields,omitzero"` // the legacy way, without a schema
	AdvancedOptions *ExtractionAdvancedOptions `json:"advancedOptions,omitzero"`
	Parser          *ParseConfig               `json:"parser,omitzero"`
}

// ExtractionField is a field of a legacy extraction configuration, which has no schema.
type ExtractionField struct {
	ID          string            `json:"id"`
	Name        string            `json:"name"`
	Type        FieldType         `json:"type"`
	Description string            `json:"description"`
	Schema      []ExtractionField `json:"schema,omitzero"` // of FieldArray and FieldObject
	Enum        []EnumOption      `json:"enum,omitzero"`   // of FieldEnum
}

// FieldType is the type of an [ExtractionField]. The set is open.
type FieldType string

// The types of fields that are known.
const (
	FieldString    FieldType = "string"
	FieldNumber    FieldType = "number"
	FieldCurrency  FieldType = "currency"
	FieldBoolean   FieldType = "boolean"
	FieldDate      FieldType = "date"
	FieldArray     FieldType = "array"
	FieldEnum      FieldType = "enum"
	FieldObject    FieldType = "object"
	FieldSignature FieldType = "signature"
)

// EnumOption is a value that a field can have.
type EnumOption struct {
	Value       string `json:"value"`
	Description string `json:"description"`
}

// ExtractionAdvancedOptions are the advanced options of an [ExtractionConfig].
type ExtractionAdvancedOptions struct {
	ModelReasoningInsightsEnabled *bool               `json:"modelReasoningInsightsEnabled,omitzero"`
	AdvancedMultimodalEnabled     *bool               `json:"advancedMultimodalEnabled,omitzero"`
	CitationsEnabled              *bool               `json:"citationsEnabled,omitzero"`
	ArrayCitationStrategy         string              `json:"arrayCitationStrategy,omitzero"` // "item" or "property"; needs CitationsEnabled
	AdvancedFigureParsingEnabled  *bool               `json:"advancedFigureParsingEnabled,omitzero"`
	AutoReviewAssistantEnabled    *bool               `json:"autoReviewAssistantEnabled,omitzero"` // deprecated
	ReviewAgent                   *ReviewAgent        `json:"reviewAgent,omitzero"`
	ArrayStrategy                 *ArrayStrategy      `json:"arrayStrategy,omitzero"`
	ChunkingOptions               *ExtractionChunking `json:"chunkingOptions,omitzero"`
	ExcelSheetRanges              []SheetRange        `json:"excelSheetRanges,omitzero"`
	ExcelSheetSelectionStrategy   string              `json:"excelSheetSelectionStrategy,omitzero"` // "intelligent", "all", "first" or "last"
	PageRanges                    []PageRange         `json:"pageRanges,omitzero"`                  // none: the whole document
	FixedPageLimit                int                 `json:"fixedPageLimit,omitzero"`              // deprecated; not with PageRanges
	DocumentKind                  string              `json:"documentKind,omitzero"`                // deprecated
	KeyDefinitions                string              `json:"keyDefinitions,omitzero"`              // deprecated
}

// ReviewAgent scores the fields of an extraction.
type ReviewAgent struct {
	Enabled *bool `json:"enabled,omitzero"`
}

// ArrayStrategy says how long arrays are extracted.
type ArrayStrategy struct {
	Type string `json:"type"` // "large_array_heuristics", "large_array_max_context" or "large_array_overlap_context"
}

// ExtractionChunking says how a long document is split into chunks for an extraction.
type ExtractionChunking struct {
	ChunkingStrategy            string `json:"chunkingStrategy,omitzero"` // "standard" or "semantic"
	PageChunkSize               int    `json:"pageChunkSize,omitzero"`
	ChunkSelectionStrategy      string `json:"chunkSelectionStrategy,omitzero"` // "intelligent", "confidence", "take_first" or "take_last"
	CustomSemanticChunkingRules string `json:"customSemanticChunkingRules,omitzero"`
}

// SheetRange is a range of sheets, from 0.
type SheetRange struct {
	Start int `json:"start"`
	End   int `json:"end"`
}

// PageRange is a range of pages from 1, both ends included. 0 is an open end. Ranges may overlap and have any order.
type PageRange struct {
	Start int `json:"start,omitzero"`
	End   int `json:"end,omitzero"`
}

// ClassificationConfig configures processors of [TypeClassify].
type ClassificationConfig struct {
	Type                ProcessorType                  `json:"type"` // [TypeClassify]
	BaseProcessor       string                         `json:"baseProcessor,omitzero"`
	BaseVersion         string                         `json:"baseVersion,omitzero"` // needs BaseProcessor
	Classifications     []ClassificationOption         `json:"classifications"`
	ClassificationRules string                         `json:"classificationRules,omitzero"`
	AdvancedOptions     *ClassificationAdvancedOptions `json:"advancedOptions,omitzero"`
	Parser              *ParseConfig                   `json:"parser,omitzero"`
}

// ClassificationOption is a class that a document, or a part of one, can be of.
type ClassificationOption struct {
	ID          string `json:"id"`
	Type        string `json:"type"`
	Description string `json:"description"`
}

// ClassificationAdvancedOptions are the advanced options of a [ClassificationConfig].
type ClassificationAdvancedOptions struct {
	Context                   string      `json:"context,omitzero"`                   // "default" or "max"
	AdvancedMultimodalEnabled *bool       `json:"advancedMultimodalEnabled,omitzero"` // false unless set
	PageRanges                []PageRange `json:"pageRanges,omitzero"`
	FixedPageLimit            int         `json:"fixedPageLimit,omitzero"` // deprecated; not with PageRanges
}

// SplitterConfig configures processors of [TypeSplitter].
type SplitterConfig struct {
	Type                 ProcessorType            `json:"type"` // [TypeSplitter]
	BaseProcessor        string                   `json:"baseProcessor,omitzero"`
	BaseVersion          string                   `json:"baseVersion,omitzero"` // needs BaseProcessor
	SplitClassifications []ClassificationOption   `json:"splitClassifications"`
	SplitRules           string                   `json:"splitRules,omitzero"`
	AdvancedOptions      *SplitterAdvancedOptions `json:"advancedOptions,omitzero"`
	Parser               *ParseConfig             `json:"parser,omitzero"`
}

// SplitterAdvancedOptions are the advanced options of a [SplitterConfig].
type SplitterAdvancedOptions struct {
	SplitIdentifierRules              string      `json:"splitIdentifierRules,omitzero"`
	SplitMethod                       string      `json:"splitMethod,omitzero"`                       // "high_precision", unless set, or "low_latency"
	SplitExcelDocumentsBySheetEnabled *bool       `json:"splitExcelDocumentsBySheetEnabled,omitzero"` // false unless set
	PageRanges                        []PageRange `json:"pageRanges,omitzero"`
	FixedPageLimit                    int         `json:"fixedPageLimit,omitzero"` // deprecated; not with PageRanges
}

// checkConfig checks a configuration that is sent. It accepts types of processors that it does not know.
func checkConfig(name string, config json.RawMessage, processor ProcessorType) error {
	if len(config) == 0 {
		return nil
	}
	o, err := loose.SplitObject(config)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	is := ProcessorType(loose.Of[string](o, "type"))
	switch {
	case is == "":
		return errors.New(name + ".type is empty")
	case processor != "" && is != processor:
		return fmt.Errorf("%s.type is %.50q, and the processor's type is %q", name, is, processor)
	case is == TypeExtract && !o.Has("schema") && !o.Has("fields"):
		return fmt.Errorf("%s.schema and %s.fields are both absent: one is needed", name, name)
	case is == TypeClassify && !o.Has("classifications"):
		return errors.New(name + ".classifications is empty")
	case is == TypeSplitter && !o.Has("splitClassifications"):
		return errors.New(name + ".splitClassifications is empty")
	}
	return nil
}
