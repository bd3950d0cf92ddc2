package extend

import (
	"context"
	"encoding/json"
	"iter"
	"time"
)

// ProcessorService has the calls for processors and their versions. Use it as [Client.Processors].
//
// A processor has a draft, which Update changes, and published versions, which nothing changes. A run uses the newest
// published version unless it names another.
type ProcessorService service

// Processor is a configuration that documents are run through, with its draft.
type Processor struct {
	Resource     `object:"document_processor"`
	Name         string           `json:"name" clean:"name"`
	Type         ProcessorType    `json:"type" clean:"name"`
	CreatedAt    time.Time        `json:"createdAt"`
	UpdatedAt    time.Time        `json:"updatedAt"`
	DraftVersion ProcessorVersion `json:"draftVersion"`
}

// ProcessorVersion is one version of a processor.
type ProcessorVersion struct {
	Resource      `object:"document_processor_version"` // dpv_…
	ProcessorID   string                                `json:"processorId"`
	ProcessorName string                                `json:"processorName,omitzero" clean:"name"`
	ProcessorType ProcessorType                         `json:"processorType" clean:"name"`
	Description   string                                `json:"description,omitzero"`
	Version       string                                `json:"version" clean:"name"` // "draft", or a number such as "2.1"
	// Config is an [ExtractionConfig], a [ClassificationConfig] or a [SplitterConfig], as ProcessorType says: see [Parse].
	Config    json.RawMessage `json:"config"`
	CreatedAt time.Time       `json:"createdAt"`
	UpdatedAt time.Time       `json:"updatedAt"`
}

// ProcessorListItem is a processor as lists show it.
type ProcessorListItem struct {
	Resource  `object:"document_processor"`
	Name      string        `json:"name" clean:"name"`
	Type      ProcessorType `json:"type" clean:"name"`
	Versions  []VersionID   `json:"versions"`
	CreatedAt time.Time     `json:"createdAt"`
	UpdatedAt time.Time     `json:"updatedAt"`
}

// VersionID names a version of a processor.
type VersionID struct {
	ID      string `json:"id"` // dpv_…
	Version string `json:"version"`
}

// ListProcessorsRequest selects processors. Zero fields do not restrict. The defaults of its order are not published.
type ListProcessorsRequest struct {
	Type          ProcessorType `json:"type,omitzero"`
	SortBy        string        `json:"sortBy,omitzero"`        // [SortByCreatedAt] or [SortByUpdatedAt]
	SortDir       string        `json:"sortDir,omitzero"`       // [SortAsc] or [SortDesc]
	NextPageToken string        `json:"nextPageToken,omitzero"` // of the page before; nothing else may change between pages
	MaxPageSize   int           `json:"maxPageSize,omitzero"`   // no limits are published
}

// List returns one page of processors.
// https://docs.extend.ai/2025-04-21/developers/api-reference/processor-endpoints/list-processors
func (s *ProcessorService) List(ctx context.Context, req ListProcessorsRequest) (*Page[ProcessorListItem], error) {
	return list[ProcessorListItem](ctx, s.client, listProcessors, req, nil)
}

// All returns the processors of all pages: see [RunService.All].
func (s *ProcessorService) All(ctx context.Context, req ListProcessorsRequest) iter.Seq2[ProcessorListItem, error] {
	return all(req.NextPageToken, func(token string) (*Page[ProcessorListItem], error) {
		req.NextPageToken = token
		return s.List(ctx, req)
	})
}

// CreateProcessorRequest describes a new processor: a copy of another, or one with a configuration.
type CreateProcessorRequest struct {
	Name             string        `json:"name"`
	Type             ProcessorType `json:"type"`
	CloneProcessorID string        `json:"cloneProcessorId,omitzero"`
	// Config is JSON of an [ExtractionConfig], a [ClassificationConfig] or a [SplitterConfig], as Type says.
	Config json.RawMessage `json:"config,omitzero"`
}

func (r CreateProcessorRequest) check(at string) error {
	return checkConfig(at+"config", r.Config, r.Type)
}

// Create makes a processor, with a draft and no published version.
// https://docs.extend.ai/2025-04-21/developers/api-reference/processor-endpoints/create-processor
func (s *ProcessorService) Create(ctx context.Context, req CreateProcessorRequest) (*Processor, error) {
	return call[Processor](ctx, s.client, createProcessor, nil, req)
}

// UpdateProcessorRequest changes what is set in it.
type UpdateProcessorRequest struct {
	ID   string `json:"-"` // dp_…
	Name string `json:"name,omitzero"`
	// Config is the new draft. Whether it replaces the draft's whole or only its members is not published: send all.
	Config json.RawMessage `json:"config,omitzero"`
}

func (r UpdateProcessorRequest) check(at string) error { return checkConfig(at+"config", r.Config, "") }

// Update changes a processor's name and draft.
// https://docs.extend.ai/2025-04-21/developers/api-reference/processor-endpoints/update-processor
func (s *ProcessorService) Update(ctx context.Context, req UpdateProcessorRequest) (*Processor, error) {
	return call[Processor](ctx, s.client, updateProcessor, nil, req, req.ID)
}

// How a new version's number follows from the one before.
const (
	ReleaseMajor = "major"
	ReleaseMinor = "minor"
)

// PublishProcessorVersionRequest describes a new version of a processor.
type PublishProcessorVersionRequest struct {
	ID          string `json:"-"`           // of the processor, dp_…
	ReleaseType string `json:"releaseType"` // [ReleaseMajor] or [ReleaseMinor]
	Description string `json:"description,omitzero"`
	// Config is the version's configuration; nil is that of the draft.
	Config json.RawMessage `json:"config,omitzero"`
}

func (r PublishProcessorVersionRequest) check(at string) error {
	return checkConfig(at+"config", r.Config, "")
}

// Publish makes a new version of the draft. Runs that name no version use it from now on. Each call makes another version.
// https://docs.extend.ai/2025-04-21/developers/api-reference/processor-endpoints/publish-processor-version
func (s *ProcessorService) Publish(ctx context.Context, req PublishProcessorVersionRequest) (*ProcessorVersion, error) {
	return call[ProcessorVersion](ctx, s.client, publishProcessorVersion, nil, req, req.ID)
}

// GetVersion returns a version of a processor. The version's id may be "draft".
// https://docs.extend.ai/2025-04-21/developers/api-reference/processor-endpoints/get-processor-version
func (s *ProcessorService) GetVersion(ctx context.Context, processorID, versionID string) (*ProcessorVersion, error) {
	return call[ProcessorVersion](ctx, s.client, getProcessorVersion, nil, nil, processorID, versionID)
}

// ListVersions returns all versions of a processor in one page, with its draft; mostly the newest first.
// https://docs.extend.ai/2025-04-21/developers/api-reference/processor-endpoints/list-processor-versions
func (s *ProcessorService) ListVersions(ctx context.Context, processorID string) (*Page[ProcessorVersion], error) {
	return list[ProcessorVersion](ctx, s.client, listProcessorVersions, nil, nil, processorID)
}
