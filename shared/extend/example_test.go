package extend_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"

	"extend-intake/shared/extend"
)

// A run is asked for, and the error of a call tells whether there is one.
func Example() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { // stands for Extend
		fmt.Fprint(w, `{"success": true, "processorRun": {"object": "document_processor_run", "id": "dpr_4fWn8KqZtB1yLmXc6RvHs", "status": "PROCESSING", "output": {}}}`)
	}))
	defer server.Close()

	client, err := extend.NewClient(extend.StaticKey("sk_test"), extend.WithBaseURL(server.URL))
	if err != nil {
		fmt.Println(err)
		return
	}
	run, err := client.Runs.Create(context.Background(), extend.CreateRunRequest{
		ProcessorID: "dp_Q7hTz2Wm4kLxVr9BnE1cy",
		File:        &extend.RunFile{FileName: "invoice 42.pdf", FileURL: "https://example.com/invoice.pdf"},
		Metadata:    map[string]any{"documentId": "doc_42"},
	})
	refusal, answered := errors.AsType[*extend.Error](err)
	switch {
	case err == nil:
		fmt.Println(run.ID, run.Status)
	case extend.NotSent(err):
		fmt.Println("there is no run, try again:", err)
	case answered && refusal.StatusCode < 500 && refusal.StatusCode != http.StatusRequestTimeout:
		fmt.Println("there is no run:", err)
	default:
		fmt.Println("there may be a run, look for it:", err)
	}
	// Output: dpr_4fWn8KqZtB1yLmXc6RvHs PROCESSING
}

// An iterator asks for a page when its first run is needed.
func ExampleRunService_All() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, `{"success": true, "processorRuns": [{"id": "dpr_1", "status": "FAILED"}, {"id": "dpr_2", "status": "FAILED"}], "nextPageToken": "more"}`)
	}))
	defer server.Close()
	client, err := extend.NewClient(extend.StaticKey("sk_test"), extend.WithBaseURL(server.URL))
	if err != nil {
		fmt.Println(err)
		return
	}
	for run, err := range client.Runs.All(context.Background(), extend.ListRunsRequest{Status: extend.StatusFailed}) {
		if err != nil {
			fmt.Println(err)
			break
		}
		fmt.Println(run.ID)
		if run.ID == "dpr_2" {
			break
		}
	}
	// Output:
	// dpr_1
	// dpr_2
}
