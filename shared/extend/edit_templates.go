package extend

import (
	"context"
	"time"
)

// EditTemplateService has the call for saved forms. Use it as [Client.EditTemplates]. Templates are made in the dashboard.
type EditTemplateService service

// EditTemplate is a form and how to fill it in. Only Config and SchemaConfig are published for this version of the API;
// the other members are those of the next one.
type EditTemplate struct {
	Resource     `object:"edit_template"` // edt_…
	Name         string                   `json:"name" clean:"name"`
	Description  string                   `json:"description,omitzero"`
	File         *File                    `json:"file,omitzero"`
	Config       EditConfig               `json:"config"`
	SchemaConfig *EditSchemaConfig        `json:"schemaConfig,omitzero"`
	CreatedAt    time.Time                `json:"createdAt,omitzero"`
	UpdatedAt    time.Time                `json:"updatedAt,omitzero"`
}

// Get returns a template.
// https://docs.extend.ai/2025-04-21/developers/api-reference/edit-endpoints/get-edit-template
func (s *EditTemplateService) Get(ctx context.Context, id string) (*EditTemplate, error) {
	return call[EditTemplate](ctx, s.client, getEditTemplate, nil, nil, id)
}
