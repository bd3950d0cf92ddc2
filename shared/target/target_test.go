package target

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"testing"
	"time"

	"extend-intake/dev/fakeextend"
	"extend-intake/shared/extend"
)

// A file goes through a workflow of the fake by one POST, is found by its name, and has its result.
func TestRunOfAWorkflow(t *testing.T) {
	t.Parallel()
	fake, url := fakeextend.NewServer(t, fakeextend.Options{
		APIKey:       "sk_test",
		Processors:   []fakeextend.Processor{{ID: "dp_1", Name: "Invoices", Type: fakeextend.Extract, Versions: []string{"1.0"}}},
		Workflows:    []fakeextend.Workflow{{ID: "workflow_1", Versions: []string{"1"}, Processors: []string{"dp_1"}, Rules: []string{"total"}}},
		Processing:   fakeextend.Fixed(0),
		WorkflowTime: func(fakeextend.JobInfo) time.Duration { return 0 },
	})
	client, err := extend.NewClient(extend.StaticKey("sk_test"), extend.WithBaseURL(url), extend.WithHTTPClient(&http.Client{}))
	if err != nil {
		t.Fatal(err)
	}
	pdf := []byte("%PDF-1.4 a")
	file, err := client.Files.Upload(t.Context(), extend.UploadFileRequest{Name: "token-a.pdf", Size: int64(len(pdf)), Content: bytes.NewReader(pdf)})
	if err != nil {
		t.Fatal(err)
	}
	runs := Runs{Client: client}
	made, err := runs.Create(t.Context(), extend.CreateRunRequest{
		ProcessorID: "workflow_1", Version: "latest", Priority: 20, File: &extend.RunFile{FileName: "token-a.pdf", FileID: file.ID}, Metadata: map[string]any{"a": "b"},
	})
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for s, err := range runs.All(t.Context(), extend.ListRunsRequest{ProcessorID: "workflow_1", FileNameContains: "token-a", Source: extend.SourceAPI, SortBy: extend.SortByCreatedAt, MaxPageSize: 50}) {
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, s.ID)
	}
	if !slices.Equal(found, []string{made.ID}) {
		t.Errorf("found %q, made %s", found, made.ID)
	}
	if _, err := client.WorkflowRuns.Wait(t.Context(), made.ID); err != nil {
		t.Fatal(err)
	}
	run, err := runs.Get(t.Context(), made.ID)
	if err != nil {
		t.Fatal(err)
	}
	if run.Status != extend.StatusProcessed || run.ProcessorID != "workflow_1" || !slices.Equal(run.FileNames(), []string{"token-a.pdf"}) {
		t.Errorf("run %+v", run)
	}
	var result struct{ Outputs, StepRuns []map[string]json.RawMessage }
	if err := json.Unmarshal(run.Output, &result); err != nil || len(result.Outputs) != 1 || len(result.StepRuns) != 1 || result.Outputs[0]["output"] == nil {
		t.Errorf("output %s, %v", run.Output, err)
	}
	count := 0
	for _, j := range fake.Jobs() {
		if j.ID == made.ID || j.FileName == "token-a.pdf" {
			count++
		}
	}
	if count != 1 {
		t.Errorf("%d runs of one POST", count)
	}
}
