package extend

import (
	"context"
	"encoding/json"
	"time"
)

// BatchRunService has the call for batches of processor runs. Use it as [Client.BatchRuns]. No call of this version
// starts one: that is done in Studio.
type BatchRunService service

// BatchProcessorRun is a run of a processor over a set of files, with its metrics.
type BatchProcessorRun struct {
	Resource           `object:"batch_processor_run"`
	ProcessorID        string       `json:"processorId"`
	ProcessorVersionID string       `json:"processorVersionId"`
	ProcessorName      string       `json:"processorName" clean:"name"`
	Metrics            BatchMetrics `json:"metrics"`
	Status             Status       `json:"status" clean:"name"`
	Source             string       `json:"source" clean:"name"` // such as "EVAL_SET", "PLAYGROUND" or "STUDIO"
	SourceID           string       `json:"sourceId,omitzero"`   // of an evaluation set or a processor
	RunCount           int          `json:"runCount"`
	Options            BatchOptions `json:"options"`
	CreatedAt          time.Time    `json:"createdAt"`
	UpdatedAt          time.Time    `json:"updatedAt"`
}

// BatchOptions says how a batch compares outputs with the expected ones.
type BatchOptions struct {
	FuzzyMatchFields        []string `json:"fuzzyMatchFields,omitzero"`
	ExcludeFields           []string `json:"excludeFields,omitzero"`
	ClearPreProcessingCache bool     `json:"clearPreProcessingCache,omitzero"`
}

// BatchMetrics are the metrics of a batch. Which of them are set depends on Type.
type BatchMetrics struct {
	Type          ProcessorType `json:"type,omitzero"` // mostly absent
	NumFiles      json.Number   `json:"numFiles,omitzero"`
	NumPages      json.Number   `json:"numPages,omitzero"`
	MeanRunTimeMS json.Number   `json:"meanRunTimeMs,omitzero"`

	// Of extractions, by field.
	FieldMetrics            map[string]FieldMetrics `json:"fieldMetrics,omitzero"`
	ArrayCardinalityMetrics map[string]json.Number  `json:"arrayCardinalityMetrics,omitzero"`

	// Of classifications.
	AccuracyPerc                 json.Number                       `json:"accuracyPerc,omitzero"`
	MeanConfidence               json.Number                       `json:"meanConfidence,omitzero"`
	Distribution                 map[string]json.Number            `json:"distribution,omitzero"`
	AccuracyPercByClassification map[string]json.Number            `json:"accuracyPercByClassification,omitzero"`
	ConfusionMatrix              map[string]map[string]json.Number `json:"confusionMatrix,omitzero"` // actual, predicted, count

	// Of splits.
	PrecisionPerc    json.Number `json:"precisionPerc,omitzero"`
	RecallPerc       json.Number `json:"recallPerc,omitzero"`
	NumExpectedDocs  json.Number `json:"numExpectedDocs,omitzero"`
	NumPredictedDocs json.Number `json:"numPredictedDocs,omitzero"`
	NumCorrectDocs   json.Number `json:"numCorrectDocs,omitzero"`
}

// FieldMetrics are the metrics of one field, and of the fields inside it.
type FieldMetrics struct {
	MeanConfidence json.Number             `json:"meanConfidence,omitzero"`
	RecallPerc     json.Number             `json:"recallPerc,omitzero"`
	PrecisionPerc  json.Number             `json:"precisionPerc,omitzero"`
	FieldMetrics   map[string]FieldMetrics `json:"fieldMetrics,omitzero"`
}

// Get returns a batch.
// https://docs.extend.ai/2025-04-21/developers/api-reference/processor-endpoints/get-batch-processor-run
func (s *BatchRunService) Get(ctx context.Context, id string) (*BatchProcessorRun, error) {
	return call[BatchProcessorRun](ctx, s.client, getBatchProcessorRun, nil, nil, id)
}

// Wait returns a batch once it has ended: see [RunService.Wait].
func (s *BatchRunService) Wait(ctx context.Context, id string, progress ...func(*BatchProcessorRun)) (*BatchProcessorRun, error) {
	get := func() (*BatchProcessorRun, error) { return s.Get(ctx, id) }
	return wait(ctx, s.client, get, func(r *BatchProcessorRun) Status { return r.Status }, progress)
}
