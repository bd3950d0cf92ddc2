package extend

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// lists has every list that comes by page, as a loop over ids.
var lists = map[string]func(ctx context.Context, c *Client) ([]string, error){
	"processorRuns": func(ctx context.Context, c *Client) ([]string, error) {
		var ids []string
		for v, err := range c.Runs.All(ctx, ListRunsRequest{}) {
			if err != nil {
				return ids, err
			}
			ids = append(ids, v.ID)
		}
		return ids, nil
	},
	"processors": func(ctx context.Context, c *Client) ([]string, error) {
		var ids []string
		for v, err := range c.Processors.All(ctx, ListProcessorsRequest{}) {
			if err != nil {
				return ids, err
			}
			ids = append(ids, v.ID)
		}
		return ids, nil
	},
	"workflowRuns": func(ctx context.Context, c *Client) ([]string, error) {
		var ids []string
		for v, err := range c.WorkflowRuns.All(ctx, ListWorkflowRunsRequest{}) {
			if err != nil {
				return ids, err
			}
			ids = append(ids, v.ID)
		}
		return ids, nil
	},
	"files": func(ctx context.Context, c *Client) ([]string, error) {
		var ids []string
		for v, err := range c.Files.All(ctx, ListFilesRequest{}) {
			if err != nil {
				return ids, err
			}
			ids = append(ids, v.ID)
		}
		return ids, nil
	},
	"evaluationSets": func(ctx context.Context, c *Client) ([]string, error) {
		var ids []string
		for v, err := range c.EvaluationSets.All(ctx, ListEvaluationSetsRequest{}) {
			if err != nil {
				return ids, err
			}
			ids = append(ids, v.ID)
		}
		return ids, nil
	},
	"evaluationSetItems": func(ctx context.Context, c *Client) ([]string, error) {
		var ids []string
		for v, err := range c.EvaluationSetItems.All(ctx, ListEvaluationSetItemsRequest{EvaluationSetID: "ev_1"}) {
			if err != nil {
				return ids, err
			}
			ids = append(ids, v.ID)
		}
		return ids, nil
	},
}

// Every paginated operation of the contract is a loop, with pages that are short, empty, and full, and each waits its turn.
func TestAllLists(t *testing.T) {
	t.Parallel()
	for _, op := range contractOperations() {
		if op.Pagination == nil {
			continue
		}
		all, ok := lists[op.Pagination.Items]
		if !ok {
			t.Errorf("%s is no loop", op.Name)
			continue
		}
		answer := func(items, token string) string {
			return fmt.Sprintf(`{"success": true, %q: [%s], "nextPageToken": %s}`, op.Pagination.Items, items, token)
		}
		turns, served := 0, 0
		c := newFakeClient(t, func(r *http.Request) (*http.Response, error) {
			if served++; served > turns {
				t.Errorf("%s: a page did not wait", op.Name)
			}
			switch token := r.URL.Query().Get("nextPageToken"); token {
			case "":
				return response(200, answer(`{"id": "a"}, {"id": "b"}`, `"=:/+"`)), nil
			case "=:/+":
				return response(200, answer(``, `"third"`)), nil
			case "third":
				return response(200, answer(`{"id": "c"}`, `""`)), nil
			default:
				t.Errorf("%s: token %q", op.Name, token)
				return response(400, ""), nil
			}
		}, WithLimiter(func(context.Context) error { turns++; return nil }))
		ids, err := all(t.Context(), c)
		if err != nil || !slices.Equal(ids, []string{"a", "b", "c"}) || turns != 3 {
			t.Errorf("%s: %q, %v, %d turns", op.Name, ids, err, turns)
		}
	}
}

// pageOf serves pages whose tokens follow from next; page n has size items.
func pageOf(size func(n int) int, next func(token string) string) func(string) (*Page[RunSummary], error) {
	n := 0
	return func(token string) (*Page[RunSummary], error) {
		n++
		return &Page[RunSummary]{Items: make([]RunSummary, size(n)), NextPageToken: next(token)}, nil
	}
}

func TestListsEnd(t *testing.T) {
	t.Parallel()
	number := func(token string) int { n, _ := strconv.Atoi(token); return n }
	counting := func(last int) func(string) string {
		return func(token string) string {
			if number(token) == last {
				return ""
			}
			return strconv.Itoa(number(token) + 1)
		}
	}
	every := func(n, size int) func(int) int {
		return func(page int) int {
			if page%n == 0 {
				return size
			}
			return 0
		}
	}
	for _, tt := range []struct {
		name  string
		list  func(string) (*Page[RunSummary], error)
		items int
		want  string
	}{
		{"a million items", pageOf(every(1, 1000), counting(999)), 1_000_000, ""},
		{"many empty pages between", pageOf(every(1000, 1), counting(4999)), 5, ""},
		{"the token repeats itself", pageOf(every(1, 1), func(string) string { return "again" }), 2, "the page token repeats itself"},
		{"two tokens take turns", pageOf(every(1, 1), func(token string) string {
			return map[string]string{"": "a", "a": "b", "b": "a"}[token]
		}), 3, "the page token repeats itself"},
		{"back to an early one", pageOf(every(1, 1), func(token string) string {
			return strconv.Itoa((number(token) + 1) % 50)
		}), 51, "the page token repeats itself"},
		{"empty pages for ever", pageOf(every(1, 0), counting(-1)), 0, "1000 pages in a row are empty"},
		{"pages for ever", pageOf(every(1, 1), counting(-1)), maxPages, "it goes on after 1000000 pages"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			items := 0
			var end error
			for _, err := range all("", tt.list) {
				if err != nil {
					end = err
				} else {
					items++
				}
			}
			if items != tt.items || (end == nil) != (tt.want == "") || end != nil && !strings.Contains(end.Error(), tt.want) {
				t.Errorf("%d items, %v", items, end)
			}
		})
	}
}

// A limiter that gives no turn is an error of a request that was not sent, of the first page and of any other.
func TestLimiterThatRefuses(t *testing.T) {
	t.Parallel()
	over := errors.New("would exceed the deadline")
	sent := 0
	c := newFakeClient(t, func(r *http.Request) (*http.Response, error) {
		sent++
		if r.Body != nil {
			io.Copy(io.Discard, r.Body)
		}
		return response(200, `{"success": true, "files": [{"id": "file_1"}], "nextPageToken": "more"}`), nil
	}, WithLimiter(func(context.Context) error {
		if sent == 1 {
			return over
		}
		return nil
	}))
	ids, err := lists["files"](t.Context(), c)
	if len(ids) != 1 || sent != 1 || !errors.Is(err, over) || !NotSent(err) {
		t.Errorf("%q, %d sent, %v", ids, sent, err)
	}
	if _, err := c.Runs.Create(t.Context(), validRun); !errors.Is(err, over) || !NotSent(err) {
		t.Errorf("%v", err)
	}
}

// What is not among the numbers that the API takes costs no call.
func TestNumbersOutOfRange(t *testing.T) {
	t.Parallel()
	c := newTestClient(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("sent") }))
	file := &FileInput{FileID: "file_1"}
	for name, call := range map[string]func(context.Context) error{
		"maxPageSize is 1001": func(ctx context.Context) error {
			_, err := c.Files.List(ctx, ListFilesRequest{MaxPageSize: 1001})
			return err
		},
		"maxPageSize is -1": func(ctx context.Context) error {
			_, err := c.Runs.List(ctx, ListRunsRequest{MaxPageSize: -1})
			return err
		},
		"priority is 101": func(ctx context.Context) error {
			_, err := c.Runs.Create(ctx, CreateRunRequest{ProcessorID: "dp_1", RawText: "x", Priority: 101})
			return err
		},
		"the number of files is 51": func(ctx context.Context) error {
			_, err := c.WorkflowRuns.Create(ctx, CreateWorkflowRunsRequest{WorkflowID: "w_1", Files: slices.Repeat([]WorkflowFileInput{{FileID: "file_1"}}, 51)})
			return err
		},
		"the number of inputs is 1001": func(ctx context.Context) error {
			_, err := c.WorkflowRuns.CreateBatch(ctx, CreateWorkflowRunBatchRequest{WorkflowID: "w_1", Inputs: slices.Repeat([]WorkflowBatchInput{{File: file}}, 1001)})
			return err
		},
	} {
		if err := call(t.Context()); !NotSent(err) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What is wrong deep in a request is named by its path.
func TestWhatIsWrongIsNamed(t *testing.T) {
	t.Parallel()
	c := newTestClient(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("sent") }))
	ok := []byte(`{"value": {}}`)
	for want, call := range map[string]func(context.Context) error{
		"items[1].fileId is empty": func(ctx context.Context) error {
			_, err := c.EvaluationSetItems.CreateBulk(ctx, CreateEvaluationSetItemsRequest{EvaluationSetID: "ev_1", Items: []NewEvaluationSetItem{{"file_1", ok}, {"", ok}}})
			return err
		},
		"items[0].expectedOutput is not JSON: NaN at byte 10": func(ctx context.Context) error {
			_, err := c.EvaluationSetItems.CreateBulk(ctx, CreateEvaluationSetItemsRequest{EvaluationSetID: "ev_1", Items: []NewEvaluationSetItem{{"file_1", []byte(`{"value": NaN}`)}}})
			return err
		},
		"items[0].expectedOutput is no JSON object": func(ctx context.Context) error {
			_, err := c.EvaluationSetItems.CreateBulk(ctx, CreateEvaluationSetItemsRequest{EvaluationSetID: "ev_1", Items: []NewEvaluationSetItem{{"file_1", []byte(` null`)}}})
			return err
		},
		"inputs is empty": func(ctx context.Context) error {
			_, err := c.WorkflowRuns.CreateBatch(ctx, CreateWorkflowRunBatchRequest{WorkflowID: "w_1", Inputs: []WorkflowBatchInput{}})
			return err
		},
		"files[1].fileUrl and files[1].fileId are both empty": func(ctx context.Context) error {
			_, err := c.WorkflowRuns.Create(ctx, CreateWorkflowRunsRequest{WorkflowID: "w_1", Files: []WorkflowFileInput{{FileID: "file_1"}, {FileName: "a.pdf"}}})
			return err
		},
		"files[0].outputs[0].processorId is empty": func(ctx context.Context) error {
			_, err := c.WorkflowRuns.Create(ctx, CreateWorkflowRunsRequest{WorkflowID: "w_1", Files: []WorkflowFileInput{{FileID: "file_1", Outputs: []WorkflowRunOutput{{Output: ok}}}}})
			return err
		},
		"inputs[1].file and inputs[1].rawText are both absent": func(ctx context.Context) error {
			_, err := c.WorkflowRuns.CreateBatch(ctx, CreateWorkflowRunBatchRequest{WorkflowID: "w_1", Inputs: []WorkflowBatchInput{{RawText: "x"}, {}}})
			return err
		},
		"file.fileUrl and file.fileId are both set": func(ctx context.Context) error {
			_, err := c.ParserRuns.Parse(ctx, ParseRequest{File: FileInput{FileURL: "https://b.test/?sig=5ecre7", FileID: "file_1"}})
			return err
		},
		`config.type is "CLASSIFY", and the processor's type is "EXTRACT"`: func(ctx context.Context) error {
			_, err := c.Processors.Create(ctx, CreateProcessorRequest{Name: "a", Type: TypeExtract, Config: []byte(`{"type": "CLASSIFY", "classifications": []}`)})
			return err
		},
		"config.schema and config.fields are both absent": func(ctx context.Context) error {
			_, err := c.Processors.Update(ctx, UpdateProcessorRequest{ID: "dp_1", Config: []byte(`{"type": "EXTRACT"}`)})
			return err
		},
		"config.splitClassifications is empty": func(ctx context.Context) error {
			_, err := c.Processors.Publish(ctx, PublishProcessorVersionRequest{ID: "dp_1", ReleaseType: ReleaseMinor, Config: []byte(`{"type": "SPLITTER"}`)})
			return err
		},
		"config.type is empty": func(ctx context.Context) error {
			_, err := c.Processors.Update(ctx, UpdateProcessorRequest{ID: "dp_1", Config: []byte(`{}`)})
			return err
		},
		"config.inputSchema is not JSON": func(ctx context.Context) error {
			_, err := c.EditSchemas.Generate(ctx, GenerateEditSchemaRequest{File: FileInput{FileID: "file_1"}, Config: &EditSchemaConfig{InputSchema: []byte(`{`)}})
			return err
		},
	} {
		err := call(t.Context())
		if !NotSent(err) || !strings.Contains(err.Error(), "not sent: "+want) || strings.Contains(err.Error(), "5ecre7") {
			t.Errorf("%s: %v", want, err)
		}
	}
}
