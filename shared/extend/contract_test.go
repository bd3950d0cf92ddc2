package extend

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	gocmp "github.com/google/go-cmp/cmp"

	"extend-intake/dev/apicontract"
)

// An example is a request as the contract writes it.
type example struct {
	Path  map[string]string
	Query json.RawMessage
	Body  json.RawMessage
}

// A caller makes the call of an example through the client.
type caller func(ctx context.Context, c *Client, e example) (any, error)

// with reads an example's body or query as a request, in which every member must have its field.
func with[R, A any](call func(*Client, context.Context, R, example) (A, error)) caller {
	return func(ctx context.Context, c *Client, e example) (any, error) {
		var req R
		for _, raw := range []json.RawMessage{e.Query, e.Body} {
			if len(raw) == 0 || string(raw) == "null" {
				continue
			}
			d := json.NewDecoder(bytes.NewReader(raw))
			d.UseNumber()
			d.DisallowUnknownFields()
			if err := d.Decode(&req); err != nil {
				return nil, fmt.Errorf("the request has no room for the example: %w", err)
			}
		}
		return call(c, ctx, req, e)
	}
}

// by is a call that needs no more than ids.
func by[A any](call func(*Client, context.Context, map[string]string) (A, error)) caller {
	return func(ctx context.Context, c *Client, e example) (any, error) { return call(c, ctx, e.Path) }
}

// callers has each operation of the contract. One that is missing fails TestContract.
var callers = map[string]caller{
	"CreateProcessorRun": with(func(c *Client, ctx context.Context, r CreateRunRequest, _ example) (*Run, error) {
		return c.Runs.Create(ctx, r)
	}),
	"GetProcessorRun": by(func(c *Client, ctx context.Context, id map[string]string) (*Run, error) {
		return c.Runs.Get(ctx, id["id"])
	}),
	"ListProcessorRuns": with(func(c *Client, ctx context.Context, r ListRunsRequest, _ example) (*Page[RunSummary], error) {
		return c.Runs.List(ctx, r)
	}),
	"CancelProcessorRun": by(func(c *Client, ctx context.Context, id map[string]string) (*Run, error) {
		return c.Runs.Cancel(ctx, id["id"])
	}),
	"DeleteProcessorRun": by(func(c *Client, ctx context.Context, id map[string]string) (*Deletion, error) {
		return c.Runs.Delete(ctx, id["id"])
	}),
	"GetBatchProcessorRun": by(func(c *Client, ctx context.Context, id map[string]string) (*BatchProcessorRun, error) {
		return c.BatchRuns.Get(ctx, id["id"])
	}),
	"ListProcessors": with(func(c *Client, ctx context.Context, r ListProcessorsRequest, _ example) (*Page[ProcessorListItem], error) {
		return c.Processors.List(ctx, r)
	}),
	"CreateProcessor": with(func(c *Client, ctx context.Context, r CreateProcessorRequest, _ example) (*Processor, error) {
		return c.Processors.Create(ctx, r)
	}),
	"UpdateProcessor": with(func(c *Client, ctx context.Context, r UpdateProcessorRequest, e example) (*Processor, error) {
		r.ID = e.Path["id"]
		return c.Processors.Update(ctx, r)
	}),
	"PublishProcessorVersion": with(func(c *Client, ctx context.Context, r PublishProcessorVersionRequest, e example) (*ProcessorVersion, error) {
		r.ID = e.Path["id"]
		return c.Processors.Publish(ctx, r)
	}),
	"GetProcessorVersion": by(func(c *Client, ctx context.Context, id map[string]string) (*ProcessorVersion, error) {
		return c.Processors.GetVersion(ctx, id["processorId"], id["processorVersionId"])
	}),
	"ListProcessorVersions": by(func(c *Client, ctx context.Context, id map[string]string) (*Page[ProcessorVersion], error) {
		return c.Processors.ListVersions(ctx, id["id"])
	}),
	"ParseFile": func(ctx context.Context, c *Client, e example) (any, error) {
		query := responseTypeOf(e)
		e.Query = nil
		return with(func(c *Client, ctx context.Context, r ParseRequest, _ example) (*ParserRun, error) {
			r.ResponseType = query
			return c.ParserRuns.Parse(ctx, r)
		})(ctx, c, e)
	},
	"ParseFileAsync": with(func(c *Client, ctx context.Context, r ParseRequest, _ example) (*ParserRun, error) {
		return c.ParserRuns.ParseAsync(ctx, r)
	}),
	"GetParserRun": with(func(c *Client, ctx context.Context, r GetParserRunRequest, e example) (*ParserRun, error) {
		r.ID = e.Path["id"]
		return c.ParserRuns.Get(ctx, r)
	}),
	"DeleteParserRun": by(func(c *Client, ctx context.Context, id map[string]string) (*Deletion, error) {
		return c.ParserRuns.Delete(ctx, id["id"])
	}),
	"CreateWorkflowRuns": with(func(c *Client, ctx context.Context, r CreateWorkflowRunsRequest, _ example) (*Page[WorkflowRun], error) {
		return c.WorkflowRuns.Create(ctx, r)
	}),
	"GetWorkflowRun": by(func(c *Client, ctx context.Context, id map[string]string) (*WorkflowRun, error) {
		return c.WorkflowRuns.Get(ctx, id["workflowRunId"])
	}),
	"ListWorkflowRuns": with(func(c *Client, ctx context.Context, r ListWorkflowRunsRequest, _ example) (*Page[WorkflowRunSummary], error) {
		return c.WorkflowRuns.List(ctx, r)
	}),
	"UpdateWorkflowRun": with(func(c *Client, ctx context.Context, r UpdateWorkflowRunRequest, e example) (*WorkflowRun, error) {
		r.ID = e.Path["workflowRunId"]
		return c.WorkflowRuns.Update(ctx, r)
	}),
	"CancelWorkflowRun": by(func(c *Client, ctx context.Context, id map[string]string) (*WorkflowRun, error) {
		return c.WorkflowRuns.Cancel(ctx, id["workflowRunId"])
	}),
	"DeleteWorkflowRun": by(func(c *Client, ctx context.Context, id map[string]string) (*Deletion, error) {
		return c.WorkflowRuns.Delete(ctx, id["workflowRunId"])
	}),
	"CreateWorkflowRunBatch": with(func(c *Client, ctx context.Context, r CreateWorkflowRunBatchRequest, _ example) (*WorkflowRunBatch, error) {
		return c.WorkflowRuns.CreateBatch(ctx, r)
	}),
	"CorrectWorkflowRunOutput": with(func(c *Client, ctx context.Context, r CorrectWorkflowRunOutputRequest, e example) (*WorkflowRun, error) {
		r.WorkflowRunID, r.OutputID = e.Path["workflowRunId"], e.Path["outputId"]
		return c.WorkflowRuns.CorrectOutput(ctx, r)
	}),
	"CreateWorkflow": with(func(c *Client, ctx context.Context, r CreateWorkflowRequest, _ example) (*Workflow, error) {
		return c.Workflows.Create(ctx, r)
	}),
	"UploadFile": func(ctx context.Context, c *Client, e example) (any, error) {
		var query struct{ ConvertToPDF bool }
		var body struct {
			File struct{ FileName, Content string }
		}
		if err := errors.Join(json.Unmarshal(e.Query, &query), json.Unmarshal(e.Body, &body)); err != nil {
			return nil, err
		}
		return c.Files.Upload(ctx, UploadFileRequest{
			Name: body.File.FileName, Size: int64(len(body.File.Content)), Content: strings.NewReader(body.File.Content), ConvertToPDF: query.ConvertToPDF,
		})
	},
	"GetFile": with(func(c *Client, ctx context.Context, r GetFileRequest, e example) (*File, error) {
		r.ID = e.Path["id"]
		return c.Files.Get(ctx, r)
	}),
	"DeleteFile": by(func(c *Client, ctx context.Context, id map[string]string) (*Deletion, error) {
		return c.Files.Delete(ctx, id["id"])
	}),
	"ListFiles": with(func(c *Client, ctx context.Context, r ListFilesRequest, _ example) (*Page[File], error) {
		return c.Files.List(ctx, r)
	}),
	"CreateFile": with(func(c *Client, ctx context.Context, r CreateFileRequest, _ example) (*File, error) {
		return c.Files.Create(ctx, r)
	}),
	"EditFile": with(func(c *Client, ctx context.Context, r EditRequest, _ example) (*EditRun, error) {
		return c.EditRuns.Edit(ctx, r)
	}),
	"EditFileAsync": with(func(c *Client, ctx context.Context, r EditRequest, _ example) (*EditRun, error) {
		return c.EditRuns.EditAsync(ctx, r)
	}),
	"GenerateEditSchema": with(func(c *Client, ctx context.Context, r GenerateEditSchemaRequest, _ example) (*GeneratedEditSchema, error) {
		return c.EditSchemas.Generate(ctx, r)
	}),
	"GetEditRun": by(func(c *Client, ctx context.Context, id map[string]string) (*EditRun, error) {
		return c.EditRuns.Get(ctx, id["id"])
	}),
	"DeleteEditRun": by(func(c *Client, ctx context.Context, id map[string]string) (*Deletion, error) {
		return c.EditRuns.Delete(ctx, id["id"])
	}),
	"GetEditTemplate": by(func(c *Client, ctx context.Context, id map[string]string) (*EditTemplate, error) {
		return c.EditTemplates.Get(ctx, id["id"])
	}),
	"GetEvaluationSet": by(func(c *Client, ctx context.Context, id map[string]string) (*EvaluationSet, error) {
		return c.EvaluationSets.Get(ctx, id["id"])
	}),
	"ListEvaluationSets": with(func(c *Client, ctx context.Context, r ListEvaluationSetsRequest, _ example) (*Page[EvaluationSet], error) {
		return c.EvaluationSets.List(ctx, r)
	}),
	"CreateEvaluationSet": with(func(c *Client, ctx context.Context, r CreateEvaluationSetRequest, _ example) (*EvaluationSet, error) {
		return c.EvaluationSets.Create(ctx, r)
	}),
	"ListEvaluationSetItems": with(func(c *Client, ctx context.Context, r ListEvaluationSetItemsRequest, e example) (*Page[EvaluationSetItem], error) {
		r.EvaluationSetID = e.Path["id"]
		return c.EvaluationSetItems.List(ctx, r)
	}),
	"CreateEvaluationSetItem": with(func(c *Client, ctx context.Context, r CreateEvaluationSetItemRequest, _ example) (*EvaluationSetItem, error) {
		return c.EvaluationSetItems.Create(ctx, r)
	}),
	"UpdateEvaluationSetItem": with(func(c *Client, ctx context.Context, r UpdateEvaluationSetItemRequest, e example) (*EvaluationSetItem, error) {
		r.ID = e.Path["id"]
		return c.EvaluationSetItems.Update(ctx, r)
	}),
	"DeleteEvaluationSetItem": by(func(c *Client, ctx context.Context, id map[string]string) (*Deletion, error) {
		return c.EvaluationSetItems.Delete(ctx, id["id"])
	}),
	"CreateEvaluationSetItems": with(func(c *Client, ctx context.Context, r CreateEvaluationSetItemsRequest, _ example) (*Page[EvaluationSetItem], error) {
		return c.EvaluationSetItems.CreateBulk(ctx, r)
	}),
}

func responseTypeOf(e example) ResponseType {
	var query struct{ ResponseType ResponseType }
	_ = json.Unmarshal(e.Query, &query)
	return query.ResponseType
}

func readExample(t *testing.T, file string) example {
	t.Helper()
	var e example
	if err := json.Unmarshal(contractFile(t, file), &e); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return e
}

// TestContract holds the client to every operation of the contract: what it sends, what it reads, how it says a refusal, and
// what it repeats.
func TestContract(t *testing.T) {
	t.Parallel()
	ops := contractOperations()
	for _, op := range ops {
		t.Run(op.Name, func(t *testing.T) {
			t.Parallel()
			call, ok := callers[op.Name]
			if !ok {
				t.Fatal("the client has no such call")
			}
			var requests []example
			for _, file := range op.Examples("request") {
				e := readExample(t, file)
				checkRequest(t, op, call, file, e)
				checkRequired(t, op, call, file, e)
				requests = append(requests, e)
			}
			checkIDs(t, op, call, requests[0])
			for _, file := range op.Examples("response") {
				checkResponse(t, op, call, file, requests[0])
			}
			checkDrift(t, op, call, op.Examples("response")[0], requests[0])
			checkErrors(t, op, call, requests[0])
			checkRepetitions(t, op, call, requests[0])
		})
	}
	for name := range callers {
		if !slices.ContainsFunc(ops, func(op contractOperation) bool { return op.Name == name }) {
			t.Errorf("%s is in no contract", name)
		}
	}
}

// A sent request is what a server sees of one.
type sent struct {
	*http.Request
	body []byte
}

// capture makes a call and returns what was sent. The answer is the operation's first example.
func capture(t *testing.T, op contractOperation, call caller, e example) (sent, error) {
	t.Helper()
	var got sent
	answer := contractFile(t, op.Examples("response")[0])
	c := newFakeClient(t, func(r *http.Request) (*http.Response, error) {
		got = sent{Request: r}
		if r.Body != nil {
			got.body, _ = io.ReadAll(r.Body)
		}
		return response(200, string(answer)), nil
	}, WithBaseURL("https://extend.test"+testPrefix), WithWorkspace("ws_1"))
	_, err := call(t.Context(), c, e)
	return got, err
}

// checkRequest holds that what the client sends for an example is the example, and valid by the strict schema.
func checkRequest(t *testing.T, op contractOperation, call caller, file string, e example) {
	t.Helper()
	got, err := capture(t, op, call, e)
	if err != nil {
		t.Errorf("%s: %v", file, err)
		return
	}
	if got.Method != op.Method || got.URL.EscapedPath() != testPrefix+op.pathOf(e) {
		t.Errorf("%s: sent %s %s, want %s %s", file, got.Method, got.URL.EscapedPath(), op.Method, op.pathOf(e))
	}
	for name, want := range map[string]string{"Authorization": "Bearer " + testKey, "x-extend-api-version": "2025-04-21", "x-extend-workspace-id": "ws_1"} {
		if got.Header.Get(name) != want {
			t.Errorf("%s: %s is %q", file, name, got.Header.Get(name))
		}
	}
	query, err := url.ParseQuery(got.URL.RawQuery)
	if err != nil {
		t.Errorf("%s: %v", file, err)
	}
	op.checkQuery(t, file, query, e)

	contentType, params, _ := mime.ParseMediaType(got.Header.Get("Content-Type"))
	switch {
	case op.Request == nil:
		if len(got.body) > 0 || contentType != "" {
			t.Errorf("%s: sent a %s body %q", file, contentType, got.body)
		}
	case contentType != op.Request.ContentType:
		t.Errorf("%s: Content-Type is %s", file, contentType)
	default:
		body := got.body
		if contentType == "multipart/form-data" {
			body = describeForm(t, body, params["boundary"])
		}
		if err := apicontract.Violation(op.Request.Schema, apicontract.AsRequest, body); err != nil {
			t.Errorf("%s: sent %s: %v", file, body, err)
		}
		if want := e.Body; !sameJSON(t, want, body) {
			t.Errorf("%s: sent %s", file, body)
		}
	}
}

// pathOf is the path of an example, escaped.
func (o contractOperation) pathOf(e example) string {
	path := o.Path
	for name, id := range e.Path {
		path = strings.ReplaceAll(path, "{"+name+"}", url.PathEscape(id))
	}
	return path
}

func (o contractOperation) checkQuery(t *testing.T, file string, got url.Values, e example) {
	t.Helper()
	var want map[string]any
	d := json.NewDecoder(bytes.NewReader(e.Query))
	d.UseNumber()
	if err := d.Decode(&want); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	for name := range want {
		if v := fmt.Sprint(want[name]); got.Get(name) != v && v != "false" {
			t.Errorf("%s: query parameter %s is %q, want %s", file, name, got[name], v)
		}
	}
	for name, values := range got {
		at := slices.IndexFunc(o.Query, func(q apicontract.Parameter) bool { return q.Name == name })
		if at < 0 || len(values) != 1 {
			t.Errorf("%s: sent the query parameter %s=%q", file, name, values)
			continue
		}
		q := o.Query[at]
		value := values[0]
		n, notInt := strconv.Atoi(value)
		switch {
		case q.Type == "integer" && (notInt != nil || q.Minimum != nil && float64(n) < *q.Minimum || q.Maximum != nil && float64(n) > *q.Maximum),
			q.Type == "boolean" && value != "true" && value != "false",
			q.Enum != nil && !slices.Contains(q.Enum, any(value)):
			t.Errorf("%s: sent the query parameter %s=%q", file, name, values)
		}
	}
}

// describeForm writes the one part of a form as the contract does.
func describeForm(t *testing.T, body []byte, boundary string) []byte {
	t.Helper()
	form, err := multipart.NewReader(bytes.NewReader(body), boundary).ReadForm(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	described := map[string]any{}
	for name, files := range form.File {
		f, err := files[0].Open()
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(f)
		if err != nil || len(files) != 1 {
			t.Fatalf("%d files, %v", len(files), err)
		}
		described[name] = map[string]any{"fileName": files[0].Filename, "contentType": files[0].Header.Get("Content-Type"), "content": string(content)}
	}
	for name, values := range form.Value {
		described[name] = values
	}
	out, err := json.Marshal(described)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// sameJSON reports whether two texts are the same but for space, the order of members, and members that are at their
// default: nobody has to send those.
func sameJSON(t *testing.T, a, b []byte) bool {
	t.Helper()
	var values [2]any
	for i, raw := range [][]byte{a, b} {
		if err := Exact(raw, &values[i]); err != nil {
			t.Fatalf("%s: %v", raw, err)
		}
		if o, ok := values[i].(map[string]any); ok && o["sync"] == false {
			delete(o, "sync")
		}
	}
	return reflect.DeepEqual(values[0], values[1])
}

// checkRequired holds that a request which lacks what the API requires is refused before it is sent, and that the error names
// the member.
func checkRequired(t *testing.T, op contractOperation, call caller, file string, e example) {
	t.Helper()
	if op.Request == nil || op.Name == "UploadFile" { // see TestUploadChecksBeforeItSends
		return
	}
	var schema struct {
		Required []string
		AnyOf    []struct{ Required []string }
	}
	if err := json.Unmarshal(op.Request.Schema, &schema); err != nil {
		t.Fatal(err)
	}
	without := [][]string{}
	for _, name := range schema.Required {
		if name != "description" { // which may be empty
			without = append(without, []string{name})
		}
	}
	var alternatives []string
	for _, choice := range schema.AnyOf {
		alternatives = append(alternatives, choice.Required...)
	}
	if alternatives != nil {
		without = append(without, alternatives)
	}
	for _, names := range without {
		var body map[string]json.RawMessage
		if err := json.Unmarshal(e.Body, &body); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, name := range names {
			delete(body, name)
		}
		lacking := e
		lacking.Body, _ = json.Marshal(body)
		got, err := capture(t, op, call, lacking)
		if got.Request != nil || !NotSent(err) {
			t.Errorf("%s without %s: sent %v, %v", file, names, got.Request != nil, err)
			continue
		}
		for _, name := range names {
			if !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "not sent: ") {
				t.Errorf("%s without %s: %v", file, names, err)
			}
		}
	}
}

// checkDrift holds that a member which decides nothing may be anything, and leaves the others as they are.
func checkDrift(t *testing.T, op contractOperation, call caller, file string, e example) {
	t.Helper()
	member, answer := op.Response.Envelope.Member, contractFile(t, file)
	var envelope, object map[string]json.RawMessage
	var list []map[string]json.RawMessage
	if err := json.Unmarshal(answer, &envelope); err != nil {
		t.Fatal(err)
	}
	object = envelope
	if member != nil {
		if json.Unmarshal(envelope[*member], &list) == nil && len(list) > 0 {
			object = list[0]
		} else if object = nil; json.Unmarshal(envelope[*member], &object) != nil {
			return // the answer is an id, or a list without an element
		}
	}
	for name := range object {
		switch name {
		case "id", "object", "status", "outputs", "output", "schema", "editRun": // see TestWhatDecidesIsStrict
			continue
		}
		for _, odd := range oddities {
			drifted := maps.Clone(object)
			drifted[name] = json.RawMessage(odd)
			body := objectText(drifted)
			if list != nil {
				body = "[" + body + "]"
			}
			if member != nil {
				body = `{"success": true, "` + *member + `": ` + body + `}`
			}
			got, err := call(t.Context(), newFakeClient(t, func(r *http.Request) (*http.Response, error) {
				if r.Body != nil {
					io.Copy(io.Discard, r.Body)
				}
				return response(200, body), nil
			}), e)
			if err != nil {
				t.Errorf("%s: %s is %.50s: %v", file, name, odd, err)
				continue
			}
			v := reflect.Indirect(reflect.ValueOf(got))
			if items, ok := itemsOf(v); ok {
				v = items.Index(0)
			}
			fields := map[string]reflect.Value{}
			fieldsOf(v, fields)
			w := walk{t: t, file: fmt.Sprintf("%s with %s as %.50s", file, name, odd), tolerant: true}
			for other := range object {
				if field, ok := fields[other]; ok && other != name && !strings.HasPrefix(string(object["status"]), "{") {
					w.value("."+other, object[other], field)
				}
			}
		}
	}
}

// objectText writes an object of which members need not be JSON.
func objectText(o map[string]json.RawMessage) string {
	var members []string
	for name, value := range o {
		members = append(members, fmt.Sprintf("%q: %s", name, value))
	}
	return "{" + strings.Join(members, ", ") + "}"
}

// checkIDs holds that an id is one segment of the path, whatever is in it, and that one which would name another resource is
// not sent.
func checkIDs(t *testing.T, op contractOperation, call caller, e example) {
	t.Helper()
	for _, p := range op.PathParameters {
		for _, id := range []string{"a/../b?c#d %", "grüße 1", strings.Repeat("x", 300), "a\r\nb", "...", "%2e%2e"} {
			odd := e
			odd.Path = maps.Clone(e.Path)
			odd.Path[p.Name] = id
			got, err := capture(t, op, call, odd)
			if err != nil || got.URL.EscapedPath() != testPrefix+op.pathOf(odd) {
				t.Errorf("%s %q: %v, %v", p.Name, id, got.URL, err)
			}
		}
		for _, id := range []string{"", ".", ".."} {
			odd := e
			odd.Path = maps.Clone(e.Path)
			odd.Path[p.Name] = id
			if got, err := capture(t, op, call, odd); got.Request != nil || !NotSent(err) || !strings.Contains(err.Error(), p.Name+" is empty or dots") {
				t.Errorf("%s %q: sent %v, %v", p.Name, id, got.Request != nil, err)
			}
		}
	}
}

// checkResponse holds that an example is read, and that no member of it is lost or renamed.
func checkResponse(t *testing.T, op contractOperation, call caller, file string, e example) {
	t.Helper()
	answer := contractFile(t, file)
	schema := op.Response.Schema
	var envelope map[string]json.RawMessage
	if err := json.Unmarshal(answer, &envelope); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	member := op.Response.Envelope.Member
	if alternate := op.Response.Envelope.Alternate; alternate != nil && envelope[alternate.Member] != nil {
		member = &alternate.Member
		schema = fmt.Appendf(nil, `{"type": "object", "required": ["success", %[1]q], "properties": {"success": {"type": "boolean"}, %[1]q: %[2]s}}`, *member, op.Response.Schema)
	}
	// The copy of the contract is the contract, and our readings of it are its own.
	strict, tolerant := apicontract.Violation(schema, apicontract.Strict, answer), apicontract.Violation(schema, apicontract.Tolerant, answer)
	if (strict == nil) == strings.Contains(file, ".tolerant.") || tolerant != nil {
		t.Errorf("%s: strict %v, tolerant %v", file, strict, tolerant)
	}

	got, err := call(t.Context(), newFakeClient(t, func(r *http.Request) (*http.Response, error) {
		if r.Body != nil {
			io.Copy(io.Discard, r.Body)
		}
		return response(200, string(answer)), nil
	}), e)
	if err != nil {
		t.Errorf("%s: %v", file, err)
		return
	}
	w := walk{t: t, file: file, tolerant: strings.Contains(file, ".tolerant.")}
	about, raw := reflect.ValueOf(got), json.RawMessage(answer)
	if member != nil {
		raw = envelope[*member]
	} else {
		envelope = nil
	}
	received := Received{}
	if r, ok := got.(interface{ received() *Received }); ok {
		received = *r.received()
	}
	if r := received.Answer; r != nil && !bytes.Equal(r, answer) {
		w.errorf("", "Answer is %s", r)
	}
	if r := received.Raw; r != nil && !bytes.Equal(bytes.TrimSpace(r), bytes.TrimSpace(raw)) && !bytes.Equal(r, answer) {
		w.errorf("", "Raw is %s", r)
	}
	if received.Raw == nil || received.Answer == nil {
		w.errorf("", "%T does not keep the whole of it", got)
	}
	switch v := got.(type) {
	case *Deletion:
		w.value(".message", envelope["message"], reflect.ValueOf(v.Message))
		delete(envelope, "message")
		about = reflect.ValueOf(v.ID)
	case *WorkflowRunBatch:
		about = reflect.ValueOf(v.ID)
	default:
		if items, ok := itemsOf(about.Elem()); ok {
			about = items
			if token, ok := envelope["nextPageToken"]; ok {
				w.value(".nextPageToken", token, reflect.ValueOf(got).Elem().FieldByName("NextPageToken"))
			}
			delete(envelope, "nextPageToken")
		}
	}
	if warning, ok := envelope["warning"]; ok {
		w.value(".warning", warning, reflect.ValueOf(received.Warning))
	}
	w.value("", raw, about)
	for name := range envelope {
		if name != "success" && name != "warning" && name != *member && !w.tolerant { // Answer has it
			w.errorf("", "%s is lost", name)
		}
	}
}

// itemsOf returns the items of a page.
func itemsOf(v reflect.Value) (reflect.Value, bool) {
	_, ok := v.Type().FieldByName("NextPageToken")
	if !ok {
		return v, false
	}
	return v.FieldByName("Items"), true
}

// checkErrors holds that each refusal that is declared, and those that can come from any call, is an *Error with everything
// that was said.
func checkErrors(t *testing.T, op contractOperation, call caller, e example) {
	t.Helper()
	shapes := map[string]string{"ErrorPlain": "plain", "ErrorPlainWithCode": "upload", "ErrorStructured": "structured", "ErrorNested": "nested"}
	declared := slices.Clone(op.Errors)
	for _, status := range []int{403, 408, 410, 429, 500} {
		declared = append(declared, apicontract.Refusal{Status: status, Bodies: []string{"ErrorPlain", "ErrorStructured", "ErrorNested"}})
	}
	for _, refusal := range declared {
		for _, shape := range refusal.Bodies {
			file := fmt.Sprintf("examples/errors/%d-%s.json", refusal.Status, shapes[shape])
			if _, err := apicontract.File(file); err != nil { // the shape under another status
				file = apicontract.Glob("examples/errors/*-" + shapes[shape] + ".json")[0]
			}
			body := contractFile(t, file)
			if err := apicontract.Violation(apicontract.Definition(shape), apicontract.Strict, body); err != nil {
				t.Errorf("%s: %v", file, err)
			}
			var said struct {
				Error                            json.RawMessage
				Code, Message, RequestID, DocURL string
				Retryable                        bool
			}
			if err := json.Unmarshal(body, &said); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			if len(said.Error) > 0 && said.Error[0] == '{' {
				if err := json.Unmarshal(said.Error, &said); err != nil {
					t.Fatalf("%s: %v", file, err)
				}
			}
			_, err := call(t.Context(), newFakeClient(t, func(r *http.Request) (*http.Response, error) {
				if r.Body != nil {
					io.Copy(io.Discard, r.Body)
				}
				return response(refusal.Status, string(body), "x-extend-request-id", "req_of_the_header"), nil
			}, WithRetry(Retry{Attempts: 1})), e)
			got, ok := errors.AsType[*Error](err)
			if !ok || NotSent(err) {
				t.Errorf("%d %s: %v", refusal.Status, file, err)
				continue
			}
			want := &Error{
				Method: op.Method, Path: op.pathOf(e), StatusCode: refusal.Status, FromAPI: true, Body: body,
				Code: said.Code, Message: cmp.Or(text(said.Error), said.Message), RequestID: cmp.Or(said.RequestID, "req_of_the_header"),
				Retryable: said.Retryable, DocURL: said.DocURL,
			}
			if d := gocmp.Diff(want, got); d != "" {
				t.Errorf("%d %s: -want +got\n%s", refusal.Status, file, d)
			}
		}
	}
}

// checkRepetitions holds that what the contract calls repeatable is repeated, and that nothing else is once the server may
// have had it. A 429 says that it had not.
func checkRepetitions(t *testing.T, op contractOperation, call caller, e example) {
	t.Helper()
	const attempts = 3
	answer := func(status int) tripper {
		return func(*http.Request) (*http.Response, error) { return response(status, ""), nil }
	}
	for _, tt := range []struct {
		name     string
		answer   tripper
		accepted bool // or perhaps so
		again    bool // is of use
	}{
		{"429", answer(429), false, true},
		{"408", answer(408), true, true},
		{"500", answer(500), true, true},
		{"503", answer(503), true, true},
		{"connection lost", func(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF }, true, true},
		{"answer cut", func(*http.Request) (*http.Response, error) {
			r := response(200, "")
			r.Body = io.NopCloser(io.MultiReader(strings.NewReader(`{"success": true, "`), iotest.ErrReader(io.ErrUnexpectedEOF)))
			return r, nil
		}, true, true},
		{"HTML", func(*http.Request) (*http.Response, error) { return response(200, "<html>Log in</html>"), nil }, true, false},
		{"another shape", func(*http.Request) (*http.Response, error) {
			return response(200, `{"success": true, "data": []}`), nil
		}, true, false},
		{"too large", func(*http.Request) (*http.Response, error) {
			return response(200, `{"success": true, "filler": "`+strings.Repeat("x", 1<<12)+`"}`), nil
		}, true, false},
		{"400", answer(400), false, false},
		{"404", answer(404), false, false},
	} {
		n := 0
		c := newFakeClient(t, func(r *http.Request) (*http.Response, error) {
			n++
			if r.Body != nil {
				io.Copy(io.Discard, r.Body)
			}
			return tt.answer(r)
		}, WithRetry(Retry{Attempts: attempts, Base: 1, Max: 1}))
		c.maxAnswer = 1 << 12
		_, err := call(t.Context(), c, e)
		want := 1
		if tt.again && (op.Repeatable || !tt.accepted) && op.Name != "UploadFile" { // whose content can be read only once
			want = attempts
		}
		if err == nil || NotSent(err) || n != want {
			t.Errorf("%s: %d requests, want %d; %v", tt.name, n, want, err)
		}
		if _, refused := errors.AsType[*Error](err); err != nil && !refused && op.Method != "GET" && !strings.Contains(err.Error(), "outcome unknown") {
			t.Errorf("%s: %q does not say that something may have happened", tt.name, err)
		}
	}
}
