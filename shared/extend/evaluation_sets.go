package extend

import (
	"context"
	"iter"
	"time"
)

// EvaluationSetService has the calls for evaluation sets. Use it as [Client.EvaluationSets].
//
// A set has documents with the outputs that are expected for them, to evaluate a processor: each is an [EvaluationSetItem].
// An evaluation is started in Studio; [BatchRunService.Wait] reads its result.
type EvaluationSetService service

// EvaluationSet is a set of documents with the outputs that are expected of a processor.
type EvaluationSet struct {
	Resource    `object:"evaluation_set"` // ev_…
	Name        string                    `json:"name" clean:"name"`
	Description string                    `json:"description"`
	ProcessorID string                    `json:"processorId"`
	CreatedAt   time.Time                 `json:"createdAt"`
	UpdatedAt   time.Time                 `json:"updatedAt"`
}

// CreateEvaluationSetRequest describes a new set.
type CreateEvaluationSetRequest struct {
	Name        string `json:"name"`
	Description string `json:"description" empty:"ok"`
	ProcessorID string `json:"processorId"`
}

// Create makes a set without items. Each call makes one.
// https://docs.extend.ai/2025-04-21/developers/api-reference/evaluation-set-endpoints/create-evaluation-set
func (s *EvaluationSetService) Create(ctx context.Context, req CreateEvaluationSetRequest) (*EvaluationSet, error) {
	return call[EvaluationSet](ctx, s.client, createEvaluationSet, nil, req)
}

// Get returns a set.
// https://docs.extend.ai/2025-04-21/developers/api-reference/evaluation-set-endpoints/get-evaluation-set
func (s *EvaluationSetService) Get(ctx context.Context, id string) (*EvaluationSet, error) {
	return call[EvaluationSet](ctx, s.client, getEvaluationSet, nil, nil, id)
}

// ListEvaluationSetsRequest selects sets. Zero fields do not restrict.
type ListEvaluationSetsRequest struct {
	ProcessorID   string `json:"processorId,omitzero"`
	SortBy        string `json:"sortBy,omitzero"`        // [SortByUpdatedAt] unless set
	SortDir       string `json:"sortDir,omitzero"`       // [SortDesc] unless set
	NextPageToken string `json:"nextPageToken,omitzero"` // of the page before; nothing else may change between pages
	MaxPageSize   int    `json:"maxPageSize,omitzero"`   // 1 to 1000; 10 unless set
}

func (r ListEvaluationSetsRequest) check(at string) error {
	return inRange(at+"maxPageSize", r.MaxPageSize, 1, 1000)
}

// List returns one page of sets.
// https://docs.extend.ai/2025-04-21/developers/api-reference/evaluation-set-endpoints/list-evaluation-sets
func (s *EvaluationSetService) List(ctx context.Context, req ListEvaluationSetsRequest) (*Page[EvaluationSet], error) {
	return list[EvaluationSet](ctx, s.client, listEvaluationSets, req, nil)
}

// All returns the sets of all pages: see [RunService.All].
func (s *EvaluationSetService) All(ctx context.Context, req ListEvaluationSetsRequest) iter.Seq2[EvaluationSet, error] {
	return all(req.NextPageToken, func(token string) (*Page[EvaluationSet], error) {
		req.NextPageToken = token
		return s.List(ctx, req)
	})
}
