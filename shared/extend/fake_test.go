package extend_test

import (
	"encoding/json"
	"errors"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"

	"extend-intake/dev/apicontract"
	"extend-intake/dev/fakeextend"
	"extend-intake/shared/extend"
)

// Every call of the client is one that the strict fake takes, and each of its answers, in whichever form, is one that the
// client reads: made three times, since the fake changes the form from answer to answer.
func TestEveryCallAgainstTheFake(t *testing.T) {
	t.Parallel()
	var fake *fakeextend.Server
	synctest.Test(t, func(t *testing.T) { // whose time is virtual, so that a Wait takes none
		fake = newFake()
		defer fake.Close()
		for range 3 {
			everyCall(t, clientOf(fakeextend.Transport(fake)), fake)
		}
	})
	if refused := fake.Refused(); len(refused) > 0 {
		t.Errorf("refused: %+v", refused)
	}
	if unknown := fake.UnknownFields(); len(unknown) > 0 {
		t.Errorf("unknown members: %v", unknown)
	}
	requests := fake.Requests()
	for _, op := range apicontract.Operations() {
		if !slices.ContainsFunc(requests, func(r fakeextend.RequestCount) bool {
			return r.Route == op.Method+" "+op.Path && r.Status == http.StatusOK && r.Count >= 3
		}) {
			t.Errorf("%s was not called", op.Name)
		}
	}
}

func everyCall(t *testing.T, c *extend.Client, fake *fakeextend.Server) {
	t.Helper()
	ctx := t.Context()
	document := extend.FileInput{FileName: "a.pdf", FileURL: "https://example.com/a.pdf"}
	config := json.RawMessage(`{"type": "CLASSIFY", "classifications": [{"id": "a", "type": "a", "description": "b"}]}`)

	processor := must(c.Processors.Create(ctx, extend.CreateProcessorRequest{Name: "Mail", Type: extend.TypeClassify, Config: config}))
	must(c.Processors.Update(ctx, extend.UpdateProcessorRequest{ID: processor.ID, Name: "All mail"}))
	version := must(c.Processors.Publish(ctx, extend.PublishProcessorVersionRequest{ID: processor.ID, ReleaseType: extend.ReleaseMinor}))
	if got := must(c.Processors.GetVersion(ctx, processor.ID, version.ID)); got.Version != "0.1" || got.CreatedAt.IsZero() || got.ProcessorName != "All mail" {
		t.Errorf("%+v", got)
	}
	if got := must(c.Processors.ListVersions(ctx, processor.ID)); len(got.Items) != 2 {
		t.Errorf("%d versions", len(got.Items))
	}
	every(t, c.Processors.All(ctx, extend.ListProcessorsRequest{MaxPageSize: 1}))

	file := must(c.Files.Upload(ctx, extend.UploadFileRequest{Name: "a.txt", Size: 5, Content: strings.NewReader("Hello")}))
	if got := must(c.Files.Get(ctx, extend.GetFileRequest{ID: file.ID, RawText: true})); got.Contents == nil || got.Contents.RawText != "Hello" {
		t.Errorf("%+v", got)
	} else if content, err := io.ReadAll(must(c.Download(ctx, got.PresignedURL))); err != nil || string(content) != "Hello" {
		t.Errorf("%q, %v", content, err)
	}
	every(t, c.Files.All(ctx, extend.ListFilesRequest{MaxPageSize: 2}))
	must(c.Files.Delete(ctx, must(c.Files.Create(ctx, extend.CreateFileRequest{Name: "b.txt", RawText: "x"})).ID))

	run := must(c.Runs.Wait(ctx, must(c.Runs.Create(ctx, extend.CreateRunRequest{ProcessorID: processor.ID, File: &extend.FileInput{FileID: file.ID}})).ID))
	if output := must(extend.Parse[extend.Classified](run.Output)); output.ID != "a" {
		t.Errorf("%+v", output)
	}
	slow := must(c.Runs.Create(ctx, extend.CreateRunRequest{ProcessorID: processor.ID, File: &extend.FileInput{FileName: "slow.pdf", FileURL: document.FileURL}}))
	must(c.Runs.Cancel(ctx, slow.ID))
	every(t, c.Runs.All(ctx, extend.ListRunsRequest{ProcessorID: processor.ID}))
	must(c.Runs.Delete(ctx, run.ID))

	must(c.ParserRuns.Parse(ctx, extend.ParseRequest{File: document}))
	parsed := must(c.ParserRuns.Wait(ctx, must(c.ParserRuns.ParseAsync(ctx, extend.ParseRequest{File: document})).ID))
	if len(parsed.Chunks) != 1 || len(parsed.Chunks[0].Blocks) != 2 {
		t.Errorf("%+v", parsed)
	}
	must(c.ParserRuns.Delete(ctx, parsed.ID))

	must(c.EditRuns.Edit(ctx, extend.EditRequest{TemplateID: must(c.EditTemplates.Get(ctx, "edt_customs")).ID}))
	schema := must(c.EditSchemas.Generate(ctx, extend.GenerateEditSchemaRequest{File: document})).Schema
	edited := must(c.EditRuns.Wait(ctx, must(c.EditRuns.EditAsync(ctx, extend.EditRequest{File: &document, Config: &extend.EditConfig{Schema: schema}})).ID))
	if edited.Status != extend.StatusProcessed || edited.EditedFile == nil || string(edited.Output) != `{"company":null,"taxed":null}` {
		t.Errorf("%+v", edited)
	}
	must(c.EditRuns.Delete(ctx, edited.ID))

	must(c.Workflows.Create(ctx, extend.CreateWorkflowRequest{Name: "New"}))
	started := must(c.WorkflowRuns.Create(ctx, extend.CreateWorkflowRunsRequest{
		WorkflowID: "workflow_payables", Files: []extend.WorkflowFileInput{{FileID: file.ID}},
	}))
	done := must(c.WorkflowRuns.Wait(ctx, started.Items[0].ID))
	if len(done.Outputs) != 2 || len(done.StepRuns) != 1 || done.InitialRunAt.IsZero() || done.EndTime.IsZero() {
		t.Errorf("%+v", done)
	}
	corrected := must(c.WorkflowRuns.CorrectOutput(ctx, extend.CorrectWorkflowRunOutputRequest{
		WorkflowRunID: done.ID, OutputID: done.Outputs[0].ID, ReviewedOutput: []byte(`{"value": {"sha256": "x"}}`),
	}))
	if output := must(extend.Parse[extend.Extraction](corrected.Outputs[0].Output)); !strings.Contains(string(output.Value), `"sha256":"x"`) {
		t.Errorf("%s", output.Value)
	}
	waiting := must(c.WorkflowRuns.Create(ctx, extend.CreateWorkflowRunsRequest{
		WorkflowID: "workflow_payables", Files: []extend.WorkflowFileInput{{FileName: "slow.pdf", FileURL: document.FileURL}},
	})).Items[0].ID
	if got := must(c.WorkflowRuns.Update(ctx, extend.UpdateWorkflowRunRequest{ID: waiting, Name: "Renamed", Metadata: map[string]any{"a": 1}})); got.Name != "Renamed" || string(got.Metadata) != `{"a":1}` {
		t.Errorf("%+v", got)
	}
	if got := must(c.WorkflowRuns.Cancel(ctx, waiting)); got.Status != extend.StatusCancelling {
		t.Errorf("it is %s", got.Status)
	}
	if got := must(c.WorkflowRuns.Wait(ctx, waiting)); got.Status != extend.StatusCancelled {
		t.Errorf("it is %s", got.Status)
	}
	must(c.WorkflowRuns.Delete(ctx, waiting))
	batch := must(c.WorkflowRuns.CreateBatch(ctx, extend.CreateWorkflowRunBatchRequest{WorkflowID: "workflow_payables", Inputs: slices.Repeat([]extend.WorkflowBatchInput{{RawText: "x"}}, 25)}))
	if n := every(t, c.WorkflowRuns.All(ctx, extend.ListWorkflowRunsRequest{BatchID: batch.ID})); n != 25 {
		t.Errorf("%d runs of the batch", n)
	}

	set := must(c.EvaluationSets.Create(ctx, extend.CreateEvaluationSetRequest{Name: "Spring", ProcessorID: processor.ID}))
	expected := json.RawMessage(`{"id": "a", "type": "a"}`)
	item := must(c.EvaluationSetItems.Create(ctx, extend.CreateEvaluationSetItemRequest{EvaluationSetID: set.ID, FileID: file.ID, ExpectedOutput: []byte(`{"id": "z", "type": "z"}`)}))
	must(c.EvaluationSetItems.CreateBulk(ctx, extend.CreateEvaluationSetItemsRequest{EvaluationSetID: set.ID, Items: slices.Repeat([]extend.NewEvaluationSetItem{{FileID: file.ID, ExpectedOutput: expected}}, 11)}))
	must(c.EvaluationSetItems.Update(ctx, extend.UpdateEvaluationSetItemRequest{ID: item.ID, ExpectedOutput: expected}))
	must(c.EvaluationSets.Get(ctx, set.ID))
	every(t, c.EvaluationSets.All(ctx, extend.ListEvaluationSetsRequest{ProcessorID: processor.ID}))
	if n := every(t, c.EvaluationSetItems.All(ctx, extend.ListEvaluationSetItemsRequest{EvaluationSetID: set.ID})); n != 12 {
		t.Errorf("%d items", n)
	}
	measured := must(c.BatchRuns.Wait(ctx, must(fake.Evaluate(set.ID, "latest"))))
	if measured.RunCount != 12 || measured.Metrics.AccuracyPerc != "100.0" {
		t.Errorf("%+v", measured)
	}
	must(c.EvaluationSetItems.Delete(ctx, item.ID))
}

// An upload whose content fails half way leaves no file at Extend, and the error says so.
func TestBrokenUploadAgainstTheFake(t *testing.T) {
	t.Parallel()
	fake := newFake()
	defer fake.Close()
	server := httptest.NewServer(fake) // a real connection, which breaks
	defer server.Close()
	client := must(extend.NewClient(extend.StaticKey("sk_test"), extend.WithBaseURL(server.URL)))
	disk := errors.New("disk failure")
	content := io.MultiReader(strings.NewReader(strings.Repeat("x", 1<<20)), iotest.ErrReader(disk))
	_, err := client.Files.Upload(t.Context(), extend.UploadFileRequest{Name: "a.pdf", Size: 2 << 20, Content: content})
	if !errors.Is(err, disk) || !strings.Contains(err.Error(), "there is no file") {
		t.Errorf("%v", err)
	}
	if n := every(t, client.Files.All(t.Context(), extend.ListFilesRequest{})); n != 0 {
		t.Errorf("%d files", n)
	}
}

// every ranges over a list to its end, and returns how many items there were.
func every[T any](t *testing.T, list iter.Seq2[T, error]) int {
	t.Helper()
	n := 0
	for _, err := range list {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}
