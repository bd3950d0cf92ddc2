package fakeextend_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"extend-intake/dev/apicontract"
	"extend-intake/dev/fakeextend"
)

const (
	payables = "workflow_payables"
	asking   = "workflow_asking"
	form     = "edt_customs"
)

// A protocol is what the fake has answered to the calls of one operation.
type protocol struct {
	answers  int
	statuses map[int]int
	null     map[string]bool // members that were null once
	absent   map[string]bool // members that are described, and were absent once
	wrong    []string
}

// A contractWorld is a world whose every answer is held against the contract.
type contractWorld struct {
	*world
	reading apicontract.Reading
	told    map[string]*protocol
}

// TestContract holds the fake to every operation of the contract from its side:
// all of its answers and refusals are valid by the schemas, in every form that it
// gives them.
func TestContract(t *testing.T) {
	t.Parallel()
	told := map[string]*protocol{}
	for _, op := range apicontract.Operations() {
		told[op.Name] = &protocol{statuses: map[int]int{}, null: map[string]bool{}, absent: map[string]bool{}}
	}
	for _, adjust := range []func(*fakeextend.Options){
		func(o *fakeextend.Options) { o.NoExtraFields = true },
		func(o *fakeextend.Options) { o.NoExtraFields, o.ExplicitNulls = true, true },
		func(o *fakeextend.Options) {
			o.NoExtraFields, o.ErrorShape, o.ShortPages = true, fakeextend.Nested, true
		},
		func(o *fakeextend.Options) { o.ErrorShape = fakeextend.Plain },
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newContractWorld(t, told, adjust)
			for range 3 { // for the next forms
				w.everyCall()
			}
			w.everyRefusal()
			w.everyDelivery()
		})
	}
	for _, op := range apicontract.Operations() {
		t.Run(op.Name, func(t *testing.T) {
			p := told[op.Name]
			for _, wrong := range p.wrong {
				t.Error(wrong)
			}
			if p.answers < 4 {
				t.Errorf("only %d answers", p.answers)
			}
			for _, refusal := range op.Errors {
				switch refusal.Status {
				case 402, 403, 422, 429, 500: // see TestFaultsOfEveryCall, TestWorkspace and TestSyncCallsThatFail
				default:
					if p.statuses[refusal.Status] == 0 {
						t.Errorf("%d is declared and was never answered", refusal.Status)
					}
				}
			}
			for name := range p.null {
				if !p.absent[name] {
					delete(p.null, name)
				}
			}
			t.Logf("%d answers, %v; absent and null in turn: %d members", p.answers, p.statuses, len(p.null))
		})
	}
}

func newContractWorld(t *testing.T, told map[string]*protocol, adjust func(*fakeextend.Options)) *contractWorld {
	w := &contractWorld{told: told, reading: apicontract.Strict}
	w.world = newWorld(t, func(o *fakeextend.Options) {
		o.PayloadBaseURL = "https://api.example.com"
		o.Workflows = []fakeextend.Workflow{
			{ID: payables, Name: "Payables", Versions: []string{"1", "2"}, Processors: []string{extractor, classifier, splitter}, Rules: []string{"Sum", "Date"}, External: true, Subscribed: true},
			{ID: asking, Name: "Asking", Processors: []string{extractor}, Review: true},
		}
		o.EditTemplates = []fakeextend.EditTemplate{{ID: form, Name: "Customs form", FileName: "form.pdf", Config: json.RawMessage(`{"instructions": "Fill in."}`)}}
		o.Events = []string{"processor.created", "processor.updated", "processor.draft.updated", "processor.version.published", "workflow.created", "parser_run.processed", "parser_run.failed", "workflow_run.step_run.processed"}
		o.Fault = func(c fakeextend.Call) fakeextend.Fault {
			switch {
			case strings.HasPrefix(c.FileName, "never"):
				return fakeextend.Fault{Fate: fakeextend.Fate{End: fakeextend.EndNever}}
			case strings.HasPrefix(c.FileName, "fails"):
				return fakeextend.Fault{Fate: fakeextend.Fate{End: fakeextend.EndFailed, FailureReason: "OCR_ERROR"}}
			case bytes.Contains(c.Body, []byte("never.pdf")): // of a workflow
				return fakeextend.Fault{Fate: fakeextend.Fate{End: fakeextend.EndNever}}
			}
			return fakeextend.Fault{}
		}
		adjust(o)
		if !o.NoExtraFields {
			w.reading = apicontract.Tolerant
		}
	})
	return w
}

// operationOf finds the operation of a request.
func operationOf(method, path string) (found apicontract.Operation, ok bool) {
	path, _, _ = strings.Cut(path, "?")
	for _, op := range apicontract.Operations() {
		pattern := "^" + regexp.MustCompile(`{\w+}`).ReplaceAllString(op.Path, "[^/]+") + "$"
		if op.Method == method && regexp.MustCompile(pattern).MatchString(path) && (!ok || !strings.Contains(op.Path, "{")) {
			found, ok = op, true
		}
	}
	return found, ok
}

// call makes a call, holds its answer against the contract, and returns it.
func (w *contractWorld) call(method, path, body string, adjust ...func(*http.Request)) (int, map[string]json.RawMessage) {
	w.t.Helper()
	op, ok := operationOf(method, path)
	if !ok {
		w.t.Fatalf("%s %s is in no contract", method, path)
	}
	status, _, answer := w.do(method, path, body, adjust...)
	p := w.told[op.Name]
	p.statuses[status]++
	wrong := func(format string, args ...any) {
		p.wrong = append(p.wrong, fmt.Sprintf("%s %s: %d: ", method, path, status)+fmt.Sprintf(format, args...)+"\n"+string(answer))
	}
	if status != http.StatusOK {
		if !slices.Contains([]int{400, 401, 403, 408, 410, 429, 500}, status) && !op.Declares(status) {
			wrong("not declared")
		}
		if err := apicontract.Violation(apicontract.Definition("ErrorBody"), w.reading, answer); err != nil {
			wrong("%v", err)
		}
		return status, object(w.t, answer)
	}
	p.answers++
	schema := op.Response.Schema
	fields := object(w.t, answer)
	if alternate := op.Response.Envelope.Alternate; alternate != nil && fields[alternate.Member] != nil {
		schema = fmt.Appendf(nil, `{"type": "object", "required": ["success", %[1]q], "properties": {"success": {"type": "boolean"}, %[1]q: %[2]s}}`, alternate.Member, op.Response.Schema)
	}
	if err := apicontract.Violation(schema, w.reading, answer); err != nil {
		wrong("%v", err)
	}
	note(p, "", answer)
	return status, fields
}

// note keeps which members of objects were null and which absent, by their path.
func note(p *protocol, path string, raw json.RawMessage) {
	var o map[string]json.RawMessage
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) == nil {
		for _, item := range list {
			note(p, path+"[]", item)
		}
		return
	}
	if json.Unmarshal(raw, &o) != nil {
		return
	}
	for name, value := range o {
		at := path + "." + name
		if string(value) == "null" {
			p.null[at] = true
			continue
		}
		note(p, at, value)
	}
	for at := range p.null {
		rest, ok := strings.CutPrefix(at, path+".")
		if ok && !strings.ContainsAny(rest, ".[") && o[rest] == nil {
			p.absent[at] = true
		}
	}
}

// must makes a call that has to go well.
func (w *contractWorld) must(method, path, body string) map[string]json.RawMessage {
	w.t.Helper()
	status, answer := w.call(method, path, body)
	if status != http.StatusOK {
		w.t.Fatalf("%s %s: %d %s", method, path, status, answer)
	}
	return answer
}

// id returns the id of what an answer is about, which may be in a member, the only
// one of a list, or all of it.
func (w *contractWorld) id(answer map[string]json.RawMessage, member string) string {
	w.t.Helper()
	raw, ok := answer[member]
	if !ok {
		return str(w.t, answer["id"])
	}
	var list []map[string]json.RawMessage
	if json.Unmarshal(raw, &list) == nil {
		return str(w.t, list[0]["id"])
	}
	return str(w.t, object(w.t, raw)["id"])
}

func (w *contractWorld) upload(name, content string) string {
	w.t.Helper()
	var b bytes.Buffer
	form := multipart.NewWriter(&b)
	part, _ := form.CreatePart(textproto.MIMEHeader{"Content-Disposition": {`form-data; name="file"; filename="` + name + `"`}})
	_, _ = part.Write([]byte(content))
	_ = form.Close()
	_, answer := w.call("POST", "/files/upload", b.String(), func(r *http.Request) { r.Header.Set("Content-Type", form.FormDataContentType()) })
	return w.id(answer, "file")
}

// everyCall makes every call, in states that show it.
func (w *contractWorld) everyCall() {
	w.t.Helper()
	link := func(name string) string {
		return `{"fileName": "` + name + `", "fileUrl": "https://files.example.com/a.pdf?X-Amz-Signature=hidden"}`
	}
	// Files.
	pdfFile := w.upload("a.pdf", pdf)
	w.must("POST", "/files", `{"name": "letter.txt", "rawText": "Grüße"}`)
	sheet := w.id(w.must("POST", "/files", `{"name": "table.xlsx", "url": "https://files.example.com/b.txt"}`), "file")
	w.must("GET", "/files/"+pdfFile+"?rawText=true&markdown=true&html=true", "")
	w.must("GET", "/files/"+sheet+"?rawText=true", "")
	w.must("GET", "/files/"+pdfFile, "")
	w.must("GET", "/files?nameContains=a&sortDir=asc&maxPageSize=2", "")
	w.must("DELETE", "/files/"+sheet, "")

	// Processors.
	extract := w.id(w.must("POST", "/processors", `{"name": "Invoices", "type": "EXTRACT", "config": {"type": "EXTRACT", "schema": {"type": "object", "properties": {"total": {"type": ["number", "null"]}}}}}`), "processor")
	fields := w.id(w.must("POST", "/processors", `{"name": "Older", "type": "EXTRACT", "config": {"type": "EXTRACT", "fields": [{"id": "f1", "name": "total", "type": "currency", "description": "Sum"}]}}`), "processor")
	w.must("POST", "/processors", `{"name": "Copy", "type": "CLASSIFY", "cloneProcessorId": "`+classifier+`"}`)
	w.must("POST", "/processors/"+extract, `{"name": "Supplier invoices", "config": {"type": "EXTRACT", "schema": {"type": "object", "properties": {}}}}`)
	w.must("POST", "/processors/"+extract, `{"name": "Supplier invoices"}`)
	version := w.id(w.must("POST", "/processors/"+extract+"/publish", `{"releaseType": "major"}`), "processorVersion")
	w.must("POST", "/processors/"+extract+"/publish", `{"releaseType": "minor", "description": "Reads the due date", "config": {"type": "EXTRACT", "schema": {}}}`)
	w.must("GET", "/processors/"+extract+"/versions/"+version, "")
	w.must("GET", "/processors/"+extract+"/versions/draft", "")
	w.must("GET", "/processors/"+extract+"/versions", "")
	w.must("GET", "/processors?type=EXTRACT&sortBy=createdAt&sortDir=desc&maxPageSize=3", "")

	// Runs.
	for _, p := range []string{extract, fields, classifier, splitter} {
		id := w.id(w.must("POST", "/processor_runs", `{"processorId": "`+p+`", "file": {"fileId": "`+pdfFile+`"}, "metadata": {"n": 1.0}}`), "processorRun")
		synctest.Wait()
		w.must("GET", "/processor_runs/"+id, "")
	}
	w.must("POST", "/processor_runs", `{"processorId": "`+extract+`", "rawText": "Grüße", "sync": true, "version": "1.0"}`)
	run := w.id(w.must("POST", "/processor_runs", `{"processorId": "`+extract+`", "file": `+link("never.pdf")+`}`), "processorRun")
	w.must("GET", "/processor_runs/"+run, "")
	synctest.Wait()
	w.must("POST", "/processor_runs/"+run+"/cancel", "")
	w.must("GET", "/processor_runs?status=PROCESSED&maxPageSize=1", "")
	w.must("DELETE", "/processor_runs/"+run, "")

	// Parser runs.
	w.must("POST", "/parse", `{"file": {"fileId": "`+pdfFile+`"}, "config": {"chunkingStrategy": {"type": "document"}, "advancedOptions": {"returnOcr": {"words": true}}}}`)
	w.must("POST", "/parse?responseType=url", `{"file": `+link("a.pdf")+`}`)
	for _, name := range []string{"a.pdf", "never.pdf", "fails.pdf", "fails2.pdf"} {
		id := w.id(w.must("POST", "/parse/async", `{"file": `+link(name)+`}`), "parserRun")
		synctest.Wait()
		w.must("GET", "/parser_runs/"+id, "")
		w.must("GET", "/parser_runs/"+id+"?responseType=url", "")
		if name != "a.pdf" {
			w.must("DELETE", "/parser_runs/"+id, "")
		}
	}

	// Edit runs.
	schema := `{"type": "object", "properties": {"company": {"type": ["string", "null"], "extend_edit:value": "Müller"}}}`
	w.must("POST", "/edit", `{"file": {"fileId": "`+pdfFile+`"}, "config": {"schema": `+schema+`}}`)
	w.must("POST", "/edit", `{"templateId": "`+form+`", "config": {"instructions": "Fill in ours."}}`)
	w.must("GET", "/edit_templates/"+form, "")
	w.must("POST", "/edit_schemas/generate", `{"file": `+link("a.pdf")+`}`)
	w.must("POST", "/edit_schemas/generate", `{"file": `+link("a.pdf")+`, "config": {"inputSchema": `+schema+`}}`)
	for _, name := range []string{"a.pdf", "never.pdf", "fails.pdf", "fails2.pdf"} {
		id := w.id(w.must("POST", "/edit/async", `{"file": `+link(name)+`}`), "editRun")
		synctest.Wait()
		w.must("GET", "/edit_runs/"+id, "")
		if name != "a.pdf" {
			w.must("DELETE", "/edit_runs/"+id, "")
		}
	}

	// Workflows.
	w.must("POST", "/workflows", `{"name": "New"}`)
	w.must("POST", "/workflow_runs", `{"workflowId": "`+payables+`", "rawTexts": ["one", "two"], "version": "1", "metadata": {"a": 1}}`)
	done := w.id(w.must("POST", "/workflow_runs", `{"workflowId": "`+payables+`", "files": [{"fileId": "`+pdfFile+`", "outputs": [{"processorId": "`+classifier+`", "output": {"id": "a", "type": "b"}}]}]}`), "workflowRuns")
	synctest.Wait()
	answer := w.must("GET", "/workflow_runs/"+done, "")
	var outputs []map[string]json.RawMessage
	if err := json.Unmarshal(object(w.t, answer["workflowRun"])["outputs"], &outputs); err != nil || len(outputs) != 3 {
		w.t.Fatalf("%d outputs, %v", len(outputs), err)
	}
	for i, reviewed := range []string{`{"value": {"size_bytes": 7}}`, `{"id": "other", "type": "other"}`, `{"splits": [{"id": "s", "classificationId": "c", "type": "t", "startPage": 1, "endPage": 2}]}`} {
		w.must("POST", "/workflow_runs/"+done+"/outputs/"+str(w.t, outputs[i]["id"]), `{"reviewedOutput": `+reviewed+`}`)
	}
	review := w.id(w.must("POST", "/workflow_runs", `{"workflowId": "`+asking+`", "files": [`+link("a.pdf")+`]}`), "workflowRuns")
	synctest.Wait()
	w.must("GET", "/workflow_runs/"+review, "")
	w.must("POST", "/workflow_runs/"+review, `{"name": "Renamed", "metadata": {"b": 2}}`)
	if err := w.fake.ReviewWorkflowRun(review, fakeextend.Review{Reject: w.reading == apicontract.Strict, Note: "Not ours"}); err != nil {
		w.t.Error(err)
	}
	w.must("GET", "/workflow_runs/"+review, "")
	never := w.id(w.must("POST", "/workflow_runs", `{"workflowId": "`+payables+`", "files": [`+link("never.pdf")+`]}`), "workflowRuns")
	synctest.Wait()
	w.must("POST", "/workflow_runs/"+never+"/cancel", "")
	w.must("GET", "/workflow_runs/"+never, "")
	synctest.Wait()
	w.must("GET", "/workflow_runs/"+never, "")
	batch := str(w.t, w.must("POST", "/workflow_runs/batch", `{"workflowId": "`+payables+`", "inputs": [{"rawText": "x", "secrets": {"a": "b"}}, {"file": `+link("a.pdf")+`, "metadata": {}}]}`)["batchId"])
	synctest.Wait()
	w.must("GET", "/workflow_runs?batchId="+batch+"&maxPageSize=1", "")
	w.must("GET", "/workflow_runs?status=REJECTED&sortBy=createdAt", "")
	w.must("DELETE", "/workflow_runs/"+never, "")

	// Evaluation sets.
	set := w.id(w.must("POST", "/evaluation_sets", `{"name": "Spring", "description": "", "processorId": "`+classifier+`"}`), "evaluationSet")
	item := `"fileId": "` + pdfFile + `", "expectedOutput": {"id": "invoice", "type": "invoice"}`
	first := w.id(w.must("POST", "/evaluation_set_items", `{"evaluationSetId": "`+set+`", `+item+`}`), "evaluationSetItem")
	w.must("POST", "/evaluation_set_items/bulk", `{"evaluationSetId": "`+set+`", "items": [{`+item+`}, {`+item+`}]}`)
	w.must("POST", "/evaluation_set_items/"+first, `{"expectedOutput": {"id": "other", "type": "other"}}`)
	w.must("GET", "/evaluation_sets/"+set, "")
	w.must("GET", "/evaluation_sets?processorId="+classifier+"&maxPageSize=1", "")
	w.must("GET", "/evaluation_sets/"+set+"/items?maxPageSize=2", "")
	measured, err := w.fake.Evaluate(set, "")
	if err != nil {
		w.t.Fatal(err)
	}
	w.must("GET", "/batch_processor_runs/"+measured, "")
	synctest.Wait()
	w.must("GET", "/batch_processor_runs/"+measured, "")
	for _, p := range []string{extractor, splitter} {
		set := w.id(w.must("POST", "/evaluation_sets", `{"name": "Spring", "description": "x", "processorId": "`+p+`"}`), "evaluationSet")
		expected := map[string]string{extractor: `{"value": {"file_name": "a.pdf", "size_bytes": 0}}`, splitter: `{"splits": []}`}[p]
		w.must("POST", "/evaluation_set_items", `{"evaluationSetId": "`+set+`", "fileId": "`+pdfFile+`", "expectedOutput": `+expected+`}`)
		measured, err := w.fake.Evaluate(set, "")
		if err != nil {
			w.t.Fatal(err)
		}
		synctest.Wait()
		w.must("GET", "/batch_processor_runs/"+measured, "")
	}
	w.must("DELETE", "/evaluation_set_items/"+first, "")
	time.Sleep(time.Second) // of the bubble: the next round is later
}

// everyRefusal makes every call in ways that the contract refuses.
func (w *contractWorld) everyRefusal() {
	w.t.Helper()
	for _, op := range apicontract.Operations() {
		path := regexp.MustCompile(`{\w+}`).ReplaceAllString(op.Path, "nothing%2Fsuch%20..")
		refused := func(why string, status int, method, path, body string, adjust ...func(*http.Request)) {
			w.t.Helper()
			if got, answer := w.call(method, path, body, adjust...); got != status {
				w.told[op.Name].wrong = append(w.told[op.Name].wrong, fmt.Sprintf("%s: %d %s, want %d", why, got, answer, status))
			}
		}
		e := exampleOf(w.t, op)
		body := ""
		if op.Request != nil && op.Request.ContentType == "application/json" {
			body = string(e.Body)
		}
		notThere := http.StatusBadRequest
		if op.Declares(http.StatusNotFound) {
			notThere = http.StatusNotFound
		}
		if strings.Contains(op.Path, "{") {
			refused("an unknown id", notThere, op.Method, path, body)
		}
		refused("no key", http.StatusUnauthorized, op.Method, path, body, func(r *http.Request) { r.Header.Del("Authorization") })
		refused("another version", http.StatusBadRequest, op.Method, path, body, func(r *http.Request) { r.Header.Set("x-extend-api-version", "2024-12-23") })
		refused("an unknown parameter", http.StatusBadRequest, op.Method, path+"?novelty=1", body)
		for _, q := range op.Query {
			for value, is := range map[string]bool{"": true, "PAPYRUS": q.Enum != nil || q.Type != "string", "0": q.Type != "string", "1001": q.Type == "integer"} {
				if is {
					refused("a wrong "+q.Name, http.StatusBadRequest, op.Method, path+"?"+q.Name+"="+value, body)
				}
			}
		}
		if op.Request == nil {
			if op.Name != "CancelProcessorRun" {
				refused("a body", http.StatusBadRequest, op.Method, path, `{}`)
			}
			continue
		}
		if body == "" {
			refused("no form", http.StatusBadRequest, op.Method, path, `{}`)
			continue
		}
		for why, odd := range map[string]string{"no body": "", "no JSON": `{`, "a list": `[]`, "null": `null`, "not UTF-8": "{\"name\": \"\xff\"}"} {
			refused(why, http.StatusBadRequest, op.Method, path, odd)
		}
		refused("another content type", http.StatusBadRequest, op.Method, path, body, func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") })
		var schema struct {
			Required   []string
			Properties map[string]json.RawMessage
			AnyOf      []struct{ Required []string }
		}
		if err := json.Unmarshal(op.Request.Schema, &schema); err != nil {
			w.t.Fatal(err)
		}
		lacking := func(names ...string) string {
			fields := object(w.t, []byte(body))
			for _, name := range names {
				delete(fields, name)
			}
			out, _ := json.Marshal(fields)
			return string(out)
		}
		for _, name := range schema.Required {
			refused("no "+name, http.StatusBadRequest, op.Method, path, lacking(name))
		}
		var alternatives []string
		for _, choice := range schema.AnyOf {
			alternatives = append(alternatives, choice.Required...)
		}
		if alternatives != nil {
			refused("none of "+strings.Join(alternatives, ", "), http.StatusBadRequest, op.Method, path, lacking(alternatives...))
		}
		for name := range schema.Properties {
			fields := object(w.t, []byte(body))
			for _, value := range []string{"null", `[[]]`} {
				fields[name] = json.RawMessage(value)
				odd, _ := json.Marshal(fields)
				refused(name+" is "+value, http.StatusBadRequest, op.Method, path, string(odd))
			}
		}
		if odd := unknownNames[op.Name]; odd != "" {
			refused("an unknown name", notThere, op.Method, path, odd)
		}
		if op.Name != "CreateProcessorRun" { // where it is counted: see UnknownFields
			fields := object(w.t, []byte(body))
			fields["novelty"] = json.RawMessage("1")
			odd, _ := json.Marshal(fields)
			refused("an unknown member", http.StatusBadRequest, op.Method, path, string(odd))
		}
	}
}

// unknownNames are bodies that name what is not there.
var unknownNames = map[string]string{
	"CreateProcessorRun":       `{"processorId": "dp_x", "rawText": "x"}`,
	"CreateProcessor":          `{"name": "x", "type": "EXTRACT", "cloneProcessorId": "dp_x"}`,
	"ParseFile":                `{"file": {"fileId": "file_x"}}`,
	"ParseFileAsync":           `{"file": {"fileId": "file_x"}}`,
	"EditFile":                 `{"templateId": "edt_x"}`,
	"EditFileAsync":            `{"file": {"fileId": "file_x"}}`,
	"GenerateEditSchema":       `{"file": {"fileId": "file_x"}}`,
	"CreateWorkflowRuns":       `{"workflowId": "workflow_x", "rawTexts": ["x"]}`,
	"CreateWorkflowRunBatch":   `{"workflowId": "workflow_payables", "version": "7", "inputs": [{"rawText": "x"}]}`,
	"CreateEvaluationSet":      `{"name": "x", "description": "x", "processorId": "dp_x"}`,
	"CreateEvaluationSetItem":  `{"evaluationSetId": "ev_x", "fileId": "file_x", "expectedOutput": {"value": {}}}`,
	"CreateEvaluationSetItems": `{"evaluationSetId": "ev_x", "items": []}`,
}

// everyDelivery holds what was delivered against the contract.
func (w *contractWorld) everyDelivery() {
	w.t.Helper()
	synctest.Wait()
	seen := map[string]int{}
	for _, d := range w.deliveries() {
		kind := str(w.t, object(w.t, d.body)["eventType"])
		seen[kind]++
		var definition string
		switch what, _, _ := strings.Cut(kind, "."); {
		case kind == "workflow_run.step_run.processed":
			definition = "StepRunEvent"
		case kind == "processor.version.published":
			definition = "ProcessorVersionEvent"
		default:
			definition = map[string]string{"processor_run": "ProcessorRunEvent", "workflow_run": "WorkflowRunEvent", "parser_run": "ParserRunEvent", "workflow": "WorkflowEvent", "processor": "ProcessorEvent"}[what]
		}
		if err := apicontract.Violation(apicontract.Definition(definition), w.reading, d.body); err != nil || !verify(d, secret) {
			w.t.Errorf("%s: %v\n%s", kind, err, d.body)
		}
	}
	for _, kind := range []string{
		"processor_run.processed", "workflow_run.completed", "workflow_run.step_run.processed", "parser_run.processed", "parser_run.failed",
		"processor.created", "processor.updated", "processor.draft.updated", "processor.version.published", "workflow.created",
	} {
		if seen[kind] == 0 {
			w.t.Errorf("no %s among %v", kind, seen)
		}
	}
}

type requestExample struct{ Body json.RawMessage }

func exampleOf(t *testing.T, op apicontract.Operation) requestExample {
	t.Helper()
	b, err := apicontract.File(op.Examples("request")[0])
	if err != nil {
		t.Fatal(err)
	}
	var e requestExample
	if err := json.Unmarshal(b, &e); err != nil {
		t.Fatal(err)
	}
	return e
}
