package extend_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"time"

	"extend-intake/dev/apicontract"
	"extend-intake/shared/extend"
)

// must is for programs that have nobody to tell.
func must[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return v
}

// newClient returns a client of a server that answers every call with the first example of the contract.
func newClient() *extend.Client {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := ""
		for _, o := range apicontract.Operations() {
			pattern := "^" + regexp.MustCompile(`{\w+}`).ReplaceAllString(o.Path, "[^/]+") + "$"
			if o.Method == r.Method && regexp.MustCompile(pattern).MatchString(r.URL.EscapedPath()) && !strings.Contains(answer, o.Path) {
				if answer == "" || !strings.Contains(o.Path, "{") { // /workflow_runs/batch is no run
					answer = o.Name
				}
			}
		}
		io.Copy(io.Discard, r.Body)
		w.Write(must(apicontract.File("examples/" + answer + ".response.json")))
	}))
	return must(extend.NewClient(extend.StaticKey("sk_test"), extend.WithBaseURL(server.URL), extend.WithHTTPClient(server.Client())))
}

// From nothing to a processor that has read a document, and that will be measured by it.
func Example_processor() {
	ctx, client, pdf := context.Background(), newClient(), []byte("%PDF-1.7 …")

	processor := must(client.Processors.Create(ctx, extend.CreateProcessorRequest{
		Name: "Supplier invoices", Type: extend.TypeExtract,
		Config: json.RawMessage(`{"type": "EXTRACT", "schema": {"type": "object", "properties": {"total": {"type": ["number", "null"]}}}}`),
	}))
	must(client.Processors.Publish(ctx, extend.PublishProcessorVersionRequest{ID: processor.ID, ReleaseType: extend.ReleaseMajor}))

	file := must(client.Files.Upload(ctx, extend.UploadFileRequest{Name: "invoice.pdf", Size: int64(len(pdf)), Content: bytes.NewReader(pdf)}))
	run := must(client.Runs.Create(ctx, extend.CreateRunRequest{ProcessorID: processor.ID, File: &extend.FileInput{FileID: file.ID}}))
	run = must(client.Runs.Wait(ctx, run.ID))
	output := must(extend.Parse[extend.Extraction](run.Output))

	set := must(client.EvaluationSets.Create(ctx, extend.CreateEvaluationSetRequest{
		Name: "Reviewed invoices", Description: "Held against each new version", ProcessorID: processor.ID,
	}))
	item := must(client.EvaluationSetItems.Create(ctx, extend.CreateEvaluationSetItemRequest{
		EvaluationSetID: set.ID, FileID: file.ID, ExpectedOutput: must(json.Marshal(extend.Extraction{Value: output.Value})),
	}))
	fmt.Println(run.Status, run.Usage.Credits, "credits,", len(output.Metadata), "fields, expected from now on:", item.ID != "")
	// Output: PROCESSED 3.5 credits, 5 fields, expected from now on: true
}

func ExampleRunService_Wait() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	client := newClient()
	run, err := client.Runs.Wait(ctx, "dpr_P3tnNahx7P8erQPNnOtt8", func(r *extend.Run) { fmt.Println("it is", r.Status) })
	if err != nil {
		fmt.Println(err) // the run goes on: wait for it again
		return
	}
	output, err := extend.Parse[extend.Extraction](run.Output)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, c := range output.Metadata["supplier"].Citations {
		fmt.Printf("page %s: %s\n", c.Page, c.ReferenceText)
	}
	// Output:
	// it is PROCESSED
	// page 1: Hafenbedarf Süd & Söhne
}

func ExampleProcessorService() {
	ctx, client := context.Background(), newClient()
	for processor, err := range client.Processors.All(ctx, extend.ListProcessorsRequest{Type: extend.TypeExtract}) {
		if err != nil {
			fmt.Println(err)
			return
		}
		draft, err := client.Processors.GetVersion(ctx, processor.ID, "draft")
		if err != nil {
			fmt.Println(err)
			return
		}
		config, err := extend.Parse[extend.ExtractionConfig](draft.Config)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(processor.Name, config.BaseProcessor)
		break // costs no further page
	}
	// Output: Supplier invoices extraction_performance
}

func ExampleBatchRunService() {
	batch, err := newClient().BatchRuns.Get(context.Background(), "bpr_1")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(batch.Status, batch.Metrics.NumFiles, "files")
	// Output: PROCESSED 24 files
}

// The text of a large document is read as a stream, from links in place of it.
func ExampleParserRunService() {
	ctx, client := context.Background(), newClient()
	run, err := client.ParserRuns.ParseAsync(ctx, extend.ParseRequest{
		File:   extend.FileInput{FileURL: "https://example.com/handbook.pdf"},
		Config: &extend.ParseConfig{ChunkingStrategy: &extend.ChunkingStrategy{Type: "section"}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	run, err = client.ParserRuns.WaitFor(ctx, extend.GetParserRunRequest{ID: run.ID, ResponseType: extend.ResponseURL})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, link := range run.ContentURLs() {
		text, err := client.Download(ctx, link)
		if err != nil {
			fmt.Println(err)
			return
		}
		io.Copy(os.Stdout, text)
		text.Close()
	}
	fmt.Println(run.Status, run.Metrics.PageCount, "pages,", len(run.Chunks[0].Blocks), "blocks in the first chunk")
	// Output: PROCESSED 2 pages, 4 blocks in the first chunk
}

func ExampleWorkflowRunService() {
	ctx, client := context.Background(), newClient()
	runs, err := client.WorkflowRuns.Create(ctx, extend.CreateWorkflowRunsRequest{
		WorkflowID: "workflow_FNEEW5IxGDZ4jHep_ZcAL",
		Files:      []extend.WorkflowFileInput{{FileName: "R-2026-00417.pdf", FileURL: "https://example.com/1.pdf"}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	run, err := client.WorkflowRuns.Wait(ctx, runs.Items[0].ID, func(r *extend.WorkflowRun) {
		if r.Status == extend.StatusNeedsReview {
			stop(errors.New("a person is asked"))
		}
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, output := range run.Outputs {
		fmt.Println(output.ProcessorName, output.Status)
	}
	for _, step := range run.StepRuns {
		if step.Step.Type == extend.StepRuleValidation && step.Status == extend.StatusProcessed {
			checked, err := extend.Parse[extend.RuleValidation](step.Output)
			if err != nil {
				fmt.Println(err)
				return
			}
			fmt.Println(step.Step.Name, len(checked.Rules), "rules")
		}
	}
	// Output:
	// Supplier invoices PROCESSED
	// Incoming mail PROCESSED
	// Sums 3 rules
}

func ExampleWorkflowService() {
	workflow, err := newClient().Workflows.Create(context.Background(), extend.CreateWorkflowRequest{Name: "Payables"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(workflow.Name, workflow.Version)
	// Output: Payables draft
}

func ExampleFileService() {
	ctx, client := context.Background(), newClient()
	file, err := client.Files.Upload(ctx, extend.UploadFileRequest{
		Name: "Lieferschein März.docx", Size: 9, Content: strings.NewReader("PK\x03\x04 docx"),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	file, err = client.Files.Get(ctx, extend.GetFileRequest{ID: file.ID, RawText: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(file.Name, file.Type, file.Contents != nil)
	if _, err := client.Files.Delete(ctx, file.ID); err != nil {
		fmt.Println(err)
	}
	// Output: Lieferschein März.pdf PDF true
}

func ExampleEditRunService() {
	ctx, client := context.Background(), newClient()
	run, err := client.EditRuns.EditAsync(ctx, extend.EditRequest{
		File:   &extend.FileInput{FileURL: "https://example.com/form.pdf"},
		Config: &extend.EditConfig{Instructions: "Fill in our address.", AdvancedOptions: &extend.EditAdvancedOptions{FlattenPDF: new(false)}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	run, err = client.EditRuns.Wait(ctx, run.ID)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(run.Status, run.EditedFile.FileID != "")
	// Output: PROCESSED true
}

func ExampleEditSchemaService() {
	found, err := newClient().EditSchemas.Generate(context.Background(), extend.GenerateEditSchemaRequest{
		File: extend.FileInput{FileURL: "https://example.com/form.pdf"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	schema, err := extend.Parse[extend.EditSchema](found.Schema)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(len(schema.Properties), "fields")
	// Output: 5 fields
}

func ExampleEditTemplateService() {
	template, err := newClient().EditTemplates.Get(context.Background(), "edt_1")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(template.Name)
	// Output: Customs form
}

func ExampleEvaluationSetService() {
	set, err := newClient().EvaluationSets.Create(context.Background(), extend.CreateEvaluationSetRequest{
		Name: "Reviewed invoices", Description: "Held against each new version", ProcessorID: "dp_K6dkhkT0QMfzyKq1PBIRM",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(set.Name)
	// Output: Spring
}

func ExampleEvaluationSetItemService() {
	ctx, client := context.Background(), newClient()
	items, err := client.EvaluationSetItems.CreateBulk(ctx, extend.CreateEvaluationSetItemsRequest{
		EvaluationSetID: "ev_1",
		Items: []extend.NewEvaluationSetItem{
			{FileID: "file_1", ExpectedOutput: must(json.Marshal(extend.Classified{ID: "invoice", Type: "invoice"}))},
			{FileID: "file_2", ExpectedOutput: must(json.Marshal(extend.Classified{ID: "letter", Type: "letter"}))},
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(len(items.Items), "documents to measure by")
	// Output: 2 documents to measure by
}
