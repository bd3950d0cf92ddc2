package extend

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"

	"extend-intake/shared/extend/internal/loose"
)

// EditRunService has the calls that fill in forms. Use it as [Client.EditRuns].
type EditRunService service

// EditRun is a document that is filled in. Until it has ended, and perhaps if it failed, it has only Object, ID, Status
// and FailureReason: Object is then "edit_run_status".
type EditRun struct {
	Resource      `object:"edit_run edit_run_status"`
	FileID        string          `json:"fileId,omitzero"` // of the document that was to be filled in
	EditedFile    *EditedFile     `json:"editedFile,omitzero"`
	Status        Status          `json:"status" clean:"name"`
	FailureReason string          `json:"failureReason,omitzero" clean:"name"` // such as EMPTY_SCHEMA; an open set
	Config        EditConfig      `json:"config,omitzero"`
	Output        json.RawMessage `json:"output,omitzero"` // the values that were filled in
	Metrics       EditMetrics     `json:"metrics,omitzero"`
	Usage         *Usage          `json:"usage,omitzero"` // nil under some billing plans
}

// adopt reads a status that is an object, as in the reference. Guides show a string.
func (r *EditRun) adopt(o loose.Object) error {
	if status, err := loose.SplitObject(o["status"]); err == nil {
		r.Status = Status(name(status, "status"))
		r.FailureReason = cmp.Or(r.FailureReason, name(status, "failureReason"))
	}
	return nil
}

// EditedFile is the document as it was filled in.
type EditedFile struct {
	FileID      string `json:"fileId,omitzero"`
	DownloadURL string `json:"downloadUrl,omitzero"` // for [Client.Download]. Presigned: do not log it.
}

// EditMetrics is what a run had to do.
type EditMetrics struct {
	ProcessingTimeMS      json.Number `json:"processingTimeMs,omitzero"`
	FieldFillingTimeMS    json.Number `json:"fieldFillingTimeMs,omitzero"`
	FieldDetectionTimeMS  json.Number `json:"fieldDetectionTimeMs,omitzero"`
	FieldAnnotationTimeMS json.Number `json:"fieldAnnotationTimeMs,omitzero"`
	FieldCount            int         `json:"fieldCount,omitzero"`
	PageCount             int         `json:"pageCount,omitzero"`
}

// EditConfig says what to fill in, and how.
type EditConfig struct {
	Schema                       json.RawMessage      `json:"schema,omitzero"` // an [EditSchema]
	Instructions                 string               `json:"instructions,omitzero"`
	SchemaGenerationInstructions string               `json:"schemaGenerationInstructions,omitzero"`
	AdvancedOptions              *EditAdvancedOptions `json:"advancedOptions,omitzero"`
}

// EditAdvancedOptions are the advanced options of an [EditConfig] and an [EditSchemaConfig]. A *bool is nil for the default.
type EditAdvancedOptions struct {
	FlattenPDF          *bool `json:"flattenPdf,omitzero"`          // not of an [EditSchemaConfig]
	TableParsingEnabled *bool `json:"tableParsingEnabled,omitzero"` // false unless set
	RadioEnumsEnabled   *bool `json:"radioEnumsEnabled,omitzero"`   // false unless set
	NativeFieldsOnly    *bool `json:"nativeFieldsOnly,omitzero"`    // false unless set
}

// EditRequest asks to fill in a document, which is File or the one of a template.
type EditRequest struct {
	File   *FileInput  `json:"file,omitzero"`
	Config *EditConfig `json:"config,omitzero"`
	// TemplateID is that of an [EditTemplate], whose configuration is used: members of Config win. Only newer pages of the
	// reference have it.
	TemplateID string `json:"templateId,omitzero"`
}

func (r EditRequest) check(at string) error {
	if r.File == nil && r.TemplateID == "" {
		return errors.New(at + "file and " + at + "templateId are both absent: one is needed")
	}
	return nil
}

// Edit fills in a document and waits for the end, five minutes at most, so that a caller that gives up before never learns
// the run's id: use EditAsync where a lost run would matter. Each call makes a run and is billed.
// https://docs.extend.ai/2025-04-21/developers/api-reference/edit-endpoints/edit-file
func (s *EditRunService) Edit(ctx context.Context, req EditRequest) (*EditRun, error) {
	return call[EditRun](ctx, s.client, editFile, nil, req)
}

// EditAsync starts to fill in a document. Each call makes a run and is billed. See [EditRunService.Wait].
// https://docs.extend.ai/2025-04-21/developers/api-reference/edit-endpoints/edit-file-async
func (s *EditRunService) EditAsync(ctx context.Context, req EditRequest) (*EditRun, error) {
	return call[EditRun](ctx, s.client, editFileAsync, nil, req)
}

// Get returns a run.
// https://docs.extend.ai/2025-04-21/developers/api-reference/edit-endpoints/get-edit-run
func (s *EditRunService) Get(ctx context.Context, id string) (*EditRun, error) {
	return call[EditRun](ctx, s.client, getEditRun, nil, nil, id)
}

// Wait returns a run once it has ended: see [RunService.Wait].
func (s *EditRunService) Wait(ctx context.Context, id string, progress ...func(*EditRun)) (*EditRun, error) {
	get := func() (*EditRun, error) { return s.Get(ctx, id) }
	return wait(ctx, s.client, get, func(r *EditRun) Status { return r.Status }, progress)
}

// Delete removes a run and its data for good.
// https://docs.extend.ai/2025-04-21/developers/api-reference/edit-endpoints/delete-edit-run
func (s *EditRunService) Delete(ctx context.Context, id string) (*Deletion, error) {
	return remove(ctx, s.client, deleteEditRun, id)
}
