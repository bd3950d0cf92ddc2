package extend

import (
	"context"
	"encoding/json"

	"extend-intake/shared/extend/internal/loose"
)

// EditSchemaService has the call that finds the fields of a form. Use it as [Client.EditSchemas].
type EditSchemaService service

// GenerateEditSchemaRequest asks for the fields of a form.
type GenerateEditSchemaRequest struct {
	File   FileInput         `json:"file"`
	Config *EditSchemaConfig `json:"config,omitzero"`
}

// EditSchemaConfig says how fields are looked for.
type EditSchemaConfig struct {
	InputSchema     json.RawMessage      `json:"inputSchema,omitzero"` // an [EditSchema] that the form's fields are matched with
	Instructions    string               `json:"instructions,omitzero"`
	AdvancedOptions *EditAdvancedOptions `json:"advancedOptions,omitzero"`
}

// GeneratedEditSchema is what was found in a form.
type GeneratedEditSchema struct {
	Schema          json.RawMessage    `json:"schema"`                   // an [EditSchema]
	AnnotatedSchema json.RawMessage    `json:"annotatedSchema,omitzero"` // the schema that was given, with the same
	MappingResult   *EditSchemaMapping `json:"mappingResult,omitzero"`
	Received
}

func (g *GeneratedEditSchema) adopt(o loose.Object) error { return hasMember(o, "schema") }

// EditSchemaMapping says which fields of a form are which fields of a given schema.
type EditSchemaMapping struct {
	Matches             []EditSchemaMatch `json:"matches"`
	UnmatchedInputPaths []string          `json:"unmatchedInputPaths"`
	UnusedFormFieldKeys []string          `json:"unusedFormFieldKeys"`
}

// EditSchemaMatch is a field of a given schema and the field of the form that is the same.
type EditSchemaMatch struct {
	InputPath    string `json:"inputPath"`
	FormFieldKey string `json:"formFieldKey"`
}

// Generate finds the fields of a form, and waits for that. It makes nothing that stays, but seems to be billed.
// https://docs.extend.ai/2025-04-21/developers/api-reference/edit-endpoints/generate-edit-schema
func (s *EditSchemaService) Generate(ctx context.Context, req GenerateEditSchemaRequest) (*GeneratedEditSchema, error) {
	return call[GeneratedEditSchema](ctx, s.client, generateEditSchema, nil, req)
}

// EditSchema is a form: JSON Schema whose fields say where they are on the page and what to fill in. To pass one on
// unchanged, use the JSON as it was received.
type EditSchema struct {
	Type                 TypeNames            `json:"type"` // "object"
	Properties           map[string]EditField `json:"properties"`
	Required             []string             `json:"required,omitzero"`
	AdditionalProperties *bool                `json:"additionalProperties,omitzero"`
	EditRules
}

// EditField is a field of a form.
type EditField struct {
	Type        TypeNames       `json:"type,omitzero"` // absent for an enum
	Description string          `json:"description,omitzero"`
	FieldType   string          `json:"extend_edit:field_type,omitzero"` // such as "text", "checkbox", "dropdown", "signature" or "table"
	Value       json.RawMessage `json:"extend_edit:value,omitzero"`      // what to fill in
	Image       *EditImage      `json:"extend_edit:image,omitzero"`

	PageIndex   *int             `json:"extend_edit:page_index,omitzero"` // from 0
	BBox        *BoundingBox     `json:"extend_edit:bbox,omitzero"`       // in pixels
	BBoxes      []BoundingBox    `json:"extend_edit:bboxes,omitzero"`     // one per value of Enum
	TextOptions *EditTextOptions `json:"extend_edit:text_edit_options,omitzero"`
	ColumnWidth json.Number      `json:"extend_edit:column_width,omitzero"`
	RowHeights  []json.Number    `json:"extend_edit:row_heights,omitzero"`

	Enum                 []string             `json:"enum,omitzero"`
	Items                *EditField           `json:"items,omitzero"`
	MaxItems             *int                 `json:"maxItems,omitzero"`
	Properties           map[string]EditField `json:"properties,omitzero"`
	Required             []string             `json:"required,omitzero"`
	AdditionalProperties *bool                `json:"additionalProperties,omitzero"`
}

// EditTextOptions says how a text looks.
type EditTextOptions struct {
	FontSize  json.Number   `json:"fontSize,omitzero"`
	FontColor []json.Number `json:"fontColor,omitzero"` // red, green and blue, 0 to 255
	Font      string        `json:"font,omitzero"`
	Combing   *bool         `json:"combing,omitzero"`
	MaxLength *int          `json:"maxLength,omitzero"`
}

// EditImage is a picture to be put into a field.
type EditImage struct {
	ImageURL string `json:"image_url"` // PNG or JPEG
}

// EditRules say which values go together, as in JSON Schema.
type EditRules struct {
	DependentRequired map[string][]string `json:"dependentRequired,omitzero"`
	If                *EditClause         `json:"if,omitzero"`
	Then              *EditClause         `json:"then,omitzero"`
	Else              *EditClause         `json:"else,omitzero"`
	AllOf             []EditClause        `json:"allOf,omitzero"`
	OneOf             []EditClause        `json:"oneOf,omitzero"`
	AnyOf             []EditClause        `json:"anyOf,omitzero"`
	Not               *EditClause         `json:"not,omitzero"`
}

// EditClause is a part of such a rule, nested to at most eight levels.
type EditClause struct {
	Properties map[string]EditCondition `json:"properties,omitzero"`
	Required   []string                 `json:"required,omitzero"`
	EditRules
}

// EditCondition is what a rule asks of a field.
type EditCondition struct {
	Type                 TypeNames                `json:"type,omitzero"`
	Description          string                   `json:"description,omitzero"`
	Enum                 []string                 `json:"enum,omitzero"`
	Const                json.RawMessage          `json:"const,omitzero"`
	Pattern              string                   `json:"pattern,omitzero"`
	Minimum              json.Number              `json:"minimum,omitzero"`
	Maximum              json.Number              `json:"maximum,omitzero"`
	ExclusiveMinimum     json.Number              `json:"exclusiveMinimum,omitzero"`
	ExclusiveMaximum     json.Number              `json:"exclusiveMaximum,omitzero"`
	MinLength            *int                     `json:"minLength,omitzero"`
	MaxLength            *int                     `json:"maxLength,omitzero"`
	MinItems             *int                     `json:"minItems,omitzero"`
	MaxItems             *int                     `json:"maxItems,omitzero"`
	MinContains          *int                     `json:"minContains,omitzero"`
	MaxContains          *int                     `json:"maxContains,omitzero"`
	Contains             *EditCondition           `json:"contains,omitzero"`
	Items                *EditCondition           `json:"items,omitzero"`
	Properties           map[string]EditCondition `json:"properties,omitzero"`
	Required             []string                 `json:"required,omitzero"`
	AdditionalProperties *bool                    `json:"additionalProperties,omitzero"`
}

// TypeNames is the type of a JSON Schema: one name, or several such as "string" and "null".
type TypeNames []string

// MarshalJSON writes one name as a string and several as a list.
func (n TypeNames) MarshalJSON() ([]byte, error) {
	if len(n) == 1 {
		return json.Marshal(n[0])
	}
	return json.Marshal([]string(n))
}

// UnmarshalJSON reads both.
func (n *TypeNames) UnmarshalJSON(raw []byte) error {
	if name := text(raw); name != "" {
		*n = TypeNames{name}
		return nil
	}
	return json.Unmarshal(raw, (*[]string)(n))
}
