package extend

import (
	"context"
	"encoding/json"
	"iter"
)

// EvaluationSetItemService has the calls for the items of evaluation sets. Use it as [Client.EvaluationSetItems].
type EvaluationSetItemService service

// EvaluationSetItem is a document with its expected output.
type EvaluationSetItem struct {
	Resource        `object:"evaluation_set_item"` // evi_…
	EvaluationSetID string                         `json:"evaluationSetId"`
	FileID          string                         `json:"fileId"`
	// ExpectedOutput is an [Extraction], [FieldResult]s by name, a [Classified] or [Splits], as the processor's type says.
	ExpectedOutput json.RawMessage `json:"expectedOutput"`
}

// ListEvaluationSetItemsRequest selects the items of a set.
type ListEvaluationSetItemsRequest struct {
	EvaluationSetID string `json:"-"`                      // ev_…
	SortBy          string `json:"sortBy,omitzero"`        // [SortByUpdatedAt] unless set
	SortDir         string `json:"sortDir,omitzero"`       // [SortDesc] unless set
	NextPageToken   string `json:"nextPageToken,omitzero"` // of the page before; nothing else may change between pages
	MaxPageSize     int    `json:"maxPageSize,omitzero"`   // 1 to 1000; 10 unless set
}

func (r ListEvaluationSetItemsRequest) check(at string) error {
	return inRange(at+"maxPageSize", r.MaxPageSize, 1, 1000)
}

// List returns one page of a set's items.
// https://docs.extend.ai/2025-04-21/developers/api-reference/evaluation-set-endpoints/list-evaluation-set-items
func (s *EvaluationSetItemService) List(ctx context.Context, req ListEvaluationSetItemsRequest) (*Page[EvaluationSetItem], error) {
	return list[EvaluationSetItem](ctx, s.client, listEvaluationSetItems, req, nil, req.EvaluationSetID)
}

// All returns the items of all pages: see [RunService.All].
func (s *EvaluationSetItemService) All(ctx context.Context, req ListEvaluationSetItemsRequest) iter.Seq2[EvaluationSetItem, error] {
	return all(req.NextPageToken, func(token string) (*Page[EvaluationSetItem], error) {
		req.NextPageToken = token
		return s.List(ctx, req)
	})
}

// CreateEvaluationSetItemRequest describes a new item.
type CreateEvaluationSetItemRequest struct {
	EvaluationSetID string          `json:"evaluationSetId"`
	FileID          string          `json:"fileId"`
	ExpectedOutput  json.RawMessage `json:"expectedOutput"` // as in [EvaluationSetItem]
}

// Create adds an item to a set. Each call makes one.
// https://docs.extend.ai/2025-04-21/developers/api-reference/evaluation-set-endpoints/create-evaluation-set-item
func (s *EvaluationSetItemService) Create(ctx context.Context, req CreateEvaluationSetItemRequest) (*EvaluationSetItem, error) {
	return call[EvaluationSetItem](ctx, s.client, createEvaluationSetItem, nil, req)
}

// CreateEvaluationSetItemsRequest describes new items of one set. The next version of the API takes at most 100.
type CreateEvaluationSetItemsRequest struct {
	EvaluationSetID string                 `json:"evaluationSetId"`
	Items           []NewEvaluationSetItem `json:"items"`
}

// NewEvaluationSetItem describes one of them.
type NewEvaluationSetItem struct {
	FileID         string          `json:"fileId"`
	ExpectedOutput json.RawMessage `json:"expectedOutput"` // as in [EvaluationSetItem]
}

// CreateBulk adds items to a set. Each call makes new ones. Whether it adds all or none is not published.
// https://docs.extend.ai/2025-04-21/developers/api-reference/evaluation-set-endpoints/bulk-create-evaluation-set-items
func (s *EvaluationSetItemService) CreateBulk(ctx context.Context, req CreateEvaluationSetItemsRequest) (*Page[EvaluationSetItem], error) {
	return list[EvaluationSetItem](ctx, s.client, createEvaluationSetItems, nil, req)
}

// UpdateEvaluationSetItemRequest has the new expected output of an item.
type UpdateEvaluationSetItemRequest struct {
	ID             string          `json:"-"`              // evi_…
	ExpectedOutput json.RawMessage `json:"expectedOutput"` // as in [EvaluationSetItem]; replaces the one before
}

// Update changes the expected output of an item.
// https://docs.extend.ai/2025-04-21/developers/api-reference/evaluation-set-endpoints/update-evaluation-set-item
func (s *EvaluationSetItemService) Update(ctx context.Context, req UpdateEvaluationSetItemRequest) (*EvaluationSetItem, error) {
	return call[EvaluationSetItem](ctx, s.client, updateEvaluationSetItem, nil, req, req.ID)
}

// Delete removes an item for good.
// https://docs.extend.ai/2025-04-21/developers/api-reference/evaluation-set-endpoints/delete-evaluation-set-item
func (s *EvaluationSetItemService) Delete(ctx context.Context, id string) (*Deletion, error) {
	return remove(ctx, s.client, deleteEvaluationSetItem, id)
}
