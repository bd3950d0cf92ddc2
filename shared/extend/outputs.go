package extend

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"

	"extend-intake/shared/extend/internal/loose"
)

// The output of a run has the shape that the customer configured, so it is raw JSON in runs, requests and items of evaluation
// sets. These types are what the API wraps it in. Which one applies depends on the run's type; read it with [Parse]:
//
//   - [TypeExtract]: an [Extraction], or a [FieldResult] by name ([ParseMap]) where the configuration has fields
//   - [TypeClassify]: a [Classified]
//   - [TypeSplitter]: [Splits]
//
// The same types are for outputs that the caller provides ([WorkflowRunOutput], [CreateEvaluationSetItemRequest],
// [CorrectWorkflowRunOutputRequest]): set only the fields that the API takes there, and marshal them.

// Extraction is the output of a processor that extracts by a schema.
type Extraction struct {
	Value json.RawMessage `json:"value"` // of the schema's shape; see [Exact]
	// Metadata is what is known of each field. A key is a path such as bill_to.city or lines[0].price; one can be missing.
	Metadata map[string]FieldMetadata `json:"metadata,omitzero"`
}

func (e *Extraction) adopt(o loose.Object) error {
	if _, err := loose.SplitObject(e.Value); err != nil {
		return errors.New(`no "value" that is an object in it`)
	}
	return nil
}

// FieldMetadata is what is known of one extracted field. A number that is not known is "".
type FieldMetadata struct {
	LogprobsConfidence json.Number `json:"logprobsConfidence"`        // 0 to 1; some processors have none
	OCRConfidence      json.Number `json:"ocrConfidence,omitzero"`    // 0 to 1; with citations
	ReviewAgentScore   json.Number `json:"reviewAgentScore,omitzero"` // 1 to 5; with a review agent
	Citations          []Citation  `json:"citations,omitzero"`
	Insights           []Insight   `json:"insights,omitzero"`
}

// Citation is where in the document a value was found. Polygon is in the units of PageWidth and PageHeight.
type Citation struct {
	Page          json.Number `json:"page,omitzero"` // from 1
	ReferenceText string      `json:"referenceText,omitzero"`
	Polygon       []Point     `json:"polygon,omitzero"`
	PageWidth     json.Number `json:"pageWidth,omitzero"`
	PageHeight    json.Number `json:"pageHeight,omitzero"`
}

// Insight is what a model says about a value.
type Insight struct {
	Type    string `json:"type"` // such as "reasoning", "issue" or "review_summary"
	Content string `json:"content"`
}

// FieldResult is one field in the output of a processor with a legacy configuration, which has fields and no schema.
type FieldResult struct {
	ID         string            `json:"id"`
	Type       FieldType         `json:"type,omitzero"`
	Value      json.RawMessage   `json:"value"` // as Type says; null when nothing was found
	Confidence json.Number       `json:"confidence,omitzero"`
	Schema     []ExtractionField `json:"schema,omitzero"`
	Insights   []Insight         `json:"insights,omitzero"`
	References []FieldReference  `json:"references,omitzero"`
	Enum       []EnumOption      `json:"enum,omitzero"`
	Page       json.Number       `json:"page,omitzero"` // only of an output that the caller provides
}

func (*FieldResult) adopt(o loose.Object) error { return hasMember(o, "id") }

// FieldReference is where in the document a field was found.
type FieldReference struct {
	ID            string        `json:"id"`
	FieldName     string        `json:"fieldName"`
	Page          json.Number   `json:"page"`
	BoundingBoxes []BoundingBox `json:"boundingBoxes"`
}

// Classified is the output of a processor that classifies.
type Classified struct {
	ID         string      `json:"id"`   // of the [ClassificationOption]
	Type       string      `json:"type"` // of the same
	Confidence json.Number `json:"confidence,omitzero"`
	Insights   []Insight   `json:"insights,omitzero"`
}

func (*Classified) adopt(o loose.Object) error {
	return errors.Join(hasMember(o, "id"), hasMember(o, "type"))
}

// Splits is the output of a processor that splits.
type Splits struct {
	Splits     []Split `json:"splits"`
	IsExternal bool    `json:"isExternal,omitzero"`
}

func (*Splits) adopt(o loose.Object) error { return hasMember(o, "splits") }

// Split is a document inside a document. Pages count from 1, both ends included.
type Split struct {
	ID               string `json:"id"`
	Type             string `json:"type"`
	ClassificationID string `json:"classificationId"`
	Observation      string `json:"observation,omitzero"`
	Identifier       string `json:"identifier,omitzero"`
	StartPage        int    `json:"startPage"`
	EndPage          int    `json:"endPage"`
	FileID           string `json:"fileId,omitzero"` // of the part, only in outputs of Extend
	Name             string `json:"name,omitzero"`
}

// Edit is what a reviewer changed in one field: see [ParseMap] and [Run].
type Edit struct {
	OriginalValue json.RawMessage `json:"originalValue,omitzero"`
	EditedValue   json.RawMessage `json:"editedValue,omitzero"`
	Notes         string          `json:"notes,omitzero"`
	Page          json.Number     `json:"page,omitzero"`
	FieldType     string          `json:"fieldType,omitzero"`
}

// Exact is [json.Unmarshal] without loss of digits: a number that v has no type for becomes a
// [json.Number], with all its digits.
func Exact(raw json.RawMessage, v any) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("more than one JSON value")
	}
	return nil
}
