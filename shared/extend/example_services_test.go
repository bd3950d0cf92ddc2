package extend_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"extend-intake/dev/fakeextend"
	"extend-intake/shared/extend"
)

// must is for programs that have nobody to tell.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// newFake returns a fake of Extend that has two processors, a workflow and a saved form. Runs of slow.pdf do not end.
func newFake() *fakeextend.Server {
	files := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "%PDF-1.7\n1 0 obj<</Type /Page>>") })
	return must(fakeextend.New(fakeextend.Options{
		APIKey: "sk_test",
		Processors: []fakeextend.Processor{
			{ID: "dp_invoices", Name: "Supplier invoices", Type: fakeextend.Extract, Versions: []string{"1.0"}},
			{ID: "dp_mail", Name: "Incoming mail", Type: fakeextend.Classify},
		},
		Workflows:      []fakeextend.Workflow{{ID: "workflow_payables", Name: "Payables", Processors: []string{"dp_invoices", "dp_mail"}, Rules: []string{"Sum", "Date"}}},
		EditTemplates:  []fakeextend.EditTemplate{{ID: "edt_customs", Name: "Customs form", FileName: "form.pdf"}},
		Client:         &http.Client{Transport: fakeextend.Transport(files)},
		PayloadBaseURL: "https://extend.test",
		Fault: func(c fakeextend.Call) fakeextend.Fault {
			if bytes.Contains(c.Body, []byte("slow.pdf")) {
				return fakeextend.Fault{Fate: fakeextend.Fate{End: fakeextend.EndNever}}
			}
			return fakeextend.Fault{}
		},
	}))
}

func clientOf(transport http.RoundTripper) *extend.Client {
	return must(extend.NewClient(extend.StaticKey("sk_test"), extend.WithBaseURL("https://extend.test"), extend.WithHTTPClient(&http.Client{Transport: transport})))
}

// newClient returns a client of a fake of Extend, and the fake.
func newClient() (*extend.Client, *fakeextend.Server) {
	fake := newFake()
	return clientOf(patient{fake, fakeextend.Transport(fake)}), fake
}

// patient sends a request when the fake has done its work, so that no example waits for a second.
type patient struct {
	fake *fakeextend.Server
	next http.RoundTripper
}

func (p patient) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := p.fake.Wait(r.Context()); err != nil {
		return nil, err
	}
	return p.next.RoundTrip(r)
}

// A new processor reads a document, and is evaluated on it.
func Example_processor() {
	ctx, pdf := context.Background(), []byte("%PDF-1.7 …")
	client, fake := newClient()
	defer fake.Close()
	evaluate := func(setID string) string { return must(fake.Evaluate(setID, "latest")) } // a person in Studio

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
		Name: "Reviewed invoices", Description: "Run against each new version", ProcessorID: processor.ID,
	}))
	must(client.EvaluationSetItems.Create(ctx, extend.CreateEvaluationSetItemRequest{
		EvaluationSetID: set.ID, FileID: file.ID, ExpectedOutput: must(json.Marshal(extend.Extraction{Value: output.Value})),
	}))
	batch := must(client.BatchRuns.Wait(ctx, evaluate(set.ID)))
	fmt.Println(run.Status, run.Usage.Credits, "credits;", batch.RunCount, "document measured:", batch.Metrics.FieldMetrics["sha256"].RecallPerc, "% found")
	// Output: PROCESSED 1.50 credits; 1 document measured: 100.0 % found
}

func ExampleRunService_Wait() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	client, fake := newClient()
	defer fake.Close()
	run, err := client.Runs.Create(ctx, extend.CreateRunRequest{ProcessorID: "dp_invoices", File: &extend.FileInput{FileURL: "https://example.com/invoice.pdf"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	run, err = client.Runs.Wait(ctx, run.ID, func(r *extend.Run) { fmt.Println("it is", r.Status) })
	if err != nil {
		fmt.Println(err) // the run goes on: wait for it again
		return
	}
	output, err := extend.Parse[extend.Extraction](run.Output)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, c := range output.Metadata["file_name"].Citations {
		fmt.Printf("page %s: %s\n", c.Page, c.ReferenceText)
	}
	// Output:
	// it is PROCESSED
	// page 1: invoice.pdf
}

func ExampleProcessorService() {
	ctx := context.Background()
	client, fake := newClient()
	defer fake.Close()
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
	client, fake := newClient()
	defer fake.Close()
	ctx := context.Background()
	set := must(client.EvaluationSets.Create(ctx, extend.CreateEvaluationSetRequest{Name: "Mail", Description: "Of March", ProcessorID: "dp_mail"}))
	id := must(fake.Evaluate(set.ID, "draft")) // a person in Studio

	batch, err := client.BatchRuns.Wait(ctx, id)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(batch.Status, batch.Metrics.Type, batch.RunCount, "runs")
	// Output: PROCESSED CLASSIFY 0 runs
}

// The text of a large document is read as a stream, from links in place of it.
func ExampleParserRunService() {
	ctx := context.Background()
	client, fake := newClient()
	defer fake.Close()
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
		fmt.Println()
	}
	fmt.Println(run.Status, len(run.Chunks[0].Blocks), "blocks in the first chunk")
	// Output:
	// # handbook.pdf
	//
	// The fake does not read documents.
	// PROCESSED 2 blocks in the first chunk
}

func ExampleWorkflowRunService() {
	ctx := context.Background()
	client, fake := newClient()
	defer fake.Close()
	runs, err := client.WorkflowRuns.Create(ctx, extend.CreateWorkflowRunsRequest{
		WorkflowID: "workflow_payables",
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
	// Rules 2 rules
}

func ExampleWorkflowService() {
	client, fake := newClient()
	defer fake.Close()
	workflow, err := client.Workflows.Create(context.Background(), extend.CreateWorkflowRequest{Name: "Payables"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(workflow.Name, workflow.Version)
	// Output: Payables draft
}

func ExampleFileService() {
	ctx := context.Background()
	client, fake := newClient()
	defer fake.Close()
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
	// Output: Lieferschein März.docx DOCX true
}

func ExampleEditRunService() {
	ctx := context.Background()
	client, fake := newClient()
	defer fake.Close()
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
	client, fake := newClient()
	defer fake.Close()
	found, err := client.EditSchemas.Generate(context.Background(), extend.GenerateEditSchemaRequest{
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
	// Output: 2 fields
}

func ExampleEditTemplateService() {
	client, fake := newClient()
	defer fake.Close()
	template, err := client.EditTemplates.Get(context.Background(), "edt_customs")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(template.Name)
	// Output: Customs form
}

func ExampleEvaluationSetService() {
	client, fake := newClient()
	defer fake.Close()
	set, err := client.EvaluationSets.Create(context.Background(), extend.CreateEvaluationSetRequest{
		Name: "Reviewed invoices", Description: "Run against each new version", ProcessorID: "dp_invoices",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(set.Name)
	// Output: Reviewed invoices
}

func ExampleEvaluationSetItemService() {
	ctx := context.Background()
	client, fake := newClient()
	defer fake.Close()
	set := must(client.EvaluationSets.Create(ctx, extend.CreateEvaluationSetRequest{Name: "Mail", Description: "Of March", ProcessorID: "dp_mail"}))
	bill := must(client.Files.Upload(ctx, extend.UploadFileRequest{Name: "bill.txt", Size: 4, Content: strings.NewReader("Pay!")}))
	letter := must(client.Files.Upload(ctx, extend.UploadFileRequest{Name: "letter.txt", Size: 4, Content: strings.NewReader("Dear")}))

	items, err := client.EvaluationSetItems.CreateBulk(ctx, extend.CreateEvaluationSetItemsRequest{
		EvaluationSetID: set.ID,
		Items: []extend.NewEvaluationSetItem{
			{FileID: bill.ID, ExpectedOutput: must(json.Marshal(extend.Classified{ID: "invoice", Type: "invoice"}))},
			{FileID: letter.ID, ExpectedOutput: must(json.Marshal(extend.Classified{ID: "letter", Type: "letter"}))},
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(len(items.Items), "documents to measure by")
	// Output: 2 documents to measure by
}
