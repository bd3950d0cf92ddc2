package fakeextend

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

const editRunKind = "edit_run"

// formSchema is the form that the fake finds in every document.
const formSchema = `{"type": "object", "properties": {` +
	`"company": {"type": ["string", "null"], "description": "Name of the company", "extend_edit:field_type": "text", "extend_edit:page_index": 0, ` +
	`"extend_edit:bbox": {"left": 120, "top": 210.5, "right": 560, "bottom": 236}}, ` +
	`"taxed": {"type": ["boolean", "null"], "extend_edit:field_type": "checkbox"}}, "required": ["company"], "additionalProperties": false}`

// An EditTemplate is a saved form; they are made in the dashboard.
type EditTemplate struct {
	ID           string // edt_…
	Name         string
	Description  string
	FileName     string          // of the form
	Config       json.RawMessage // an EditConfig of the contract; nil means {}
	SchemaConfig json.RawMessage // nil: there is none
}

// An editRun fills in a form.
type editRun struct {
	job
	config json.RawMessage
	edited *file // nil until it is PROCESSED
}

// newEditRun makes a run of a request.
func (x *exchange) newEditRun() (*editRun, *refusal) {
	fields, ref := x.fields()
	if ref != nil {
		return nil, ref
	}
	s := x.s
	s.mu.Lock()
	defer s.mu.Unlock()
	config, in := fields["config"], input{}
	_, hasTemplate := fields["templateId"]
	switch {
	case hasTemplate && fields["file"] != nil:
		return nil, invalid("Only one of `file` and `templateId` may be provided.")
	case hasTemplate:
		t := s.template(textField(fields, "templateId"))
		if t == nil {
			return nil, notFound("Edit template")
		}
		in.name, in.rawText = t.FileName, "The form of "+t.ID
		config = merged(t.Config, config)
	default:
		if in, ref = parseInput("file", fields["file"]); ref != nil {
			return nil, ref
		}
		if ref := s.checkInput(in); ref != nil {
			return nil, ref
		}
	}
	if ref := s.refuseOverPlan(); ref != nil {
		return nil, ref
	}
	r := &editRun{job: s.newJob(x, editRunKind, "edit_run_", processing, defaultPriority, in), config: config}
	if r.config == nil {
		r.config = json.RawMessage("{}")
	}
	r.took = s.opts.EditTime
	s.startJob(r)
	return r, nil
}

// merged is an object with the members of another, which win.
func merged(object, with json.RawMessage) json.RawMessage {
	if object == nil {
		return with
	}
	for _, m := range membersInOrder(with) {
		object = setMember(object, m.name, m.value(with))
	}
	return object
}

func membersInOrder(raw []byte) []member {
	found, _, _ := scanObject(raw)
	return found
}

// template returns a template of the account, nil if there is none of that id.
func (s *Server) template(id string) *EditTemplate {
	i := slices.IndexFunc(s.opts.EditTemplates, func(t EditTemplate) bool { return t.ID == id })
	if i < 0 {
		return nil
	}
	return &s.opts.EditTemplates[i]
}

// edit answers POST /edit, which waits.
func (x *exchange) edit() ([]byte, *refusal) {
	r, ref := x.newEditRun()
	if ref != nil {
		return nil, ref
	}
	if ref := x.waitForEnd(&r.job); ref != nil {
		return nil, ref
	}
	x.s.mu.Lock()
	defer x.s.mu.Unlock()
	return x.answer(r.fate.Changes[InAnswers].apply(r.whole(x.s))), nil
}

// editAsync answers POST /edit/async.
func (x *exchange) editAsync() ([]byte, *refusal) {
	r, ref := x.newEditRun()
	if ref != nil {
		return nil, ref
	}
	x.s.mu.Lock()
	defer x.s.mu.Unlock()
	return x.answer(r.fate.Changes[InAnswers].apply(x.s.statusShape("edit_run_status", r.id, processing, ""))), nil
}

// getEditRun answers GET /edit_runs/{id}.
func (x *exchange) getEditRun() ([]byte, *refusal) { return x.getJob(editRunKind) }

// deleteEditRun answers DELETE /edit_runs/{id}.
func (x *exchange) deleteEditRun() ([]byte, *refusal) {
	if ref := x.s.deleteJob(x.id, editRunKind); ref != nil {
		return nil, ref
	}
	return x.gone("Edit run"), nil
}

func (r *editRun) show(s *Server, _ *exchange) []byte {
	if r.status == processed || r.status == failed && s.forms%2 == 0 {
		return r.whole(s)
	}
	return s.statusShape("edit_run_status", r.id, jobStatus(r.status), r.reason)
}

// whole writes all of a run. Its status is in turn a text and an object.
func (r *editRun) whole(s *Server) []byte {
	o := s.shape(editRunKind, r.id)
	o.text("fileId", r.file.id)
	if r.edited != nil {
		var edited object
		edited.text("fileId", r.edited.id).text("downloadUrl", s.link(r.baseURL, r.edited.content.bytes, presignedLife))
		o.raw("editedFile", edited.bytes())
	} else {
		o.maybe("editedFile", nil)
	}
	if o.form%2 == 1 {
		o.raw("status", s.statusShape("edit_run_status", r.id, jobStatus(r.status), r.reason))
	} else {
		o.text("status", jobStatus(r.status))
	}
	o.maybeText("failureReason", r.reason)
	o.raw("config", r.config)
	var output []byte
	values := r.values()
	if r.status == processed {
		output = values
	}
	o.maybe("output", output)
	metrics := &shape{s: s, form: o.form}
	metrics.number("processingTimeMs", int(r.endedAt.Sub(r.createdAt)/time.Millisecond))
	metrics.maybe("fieldDetectionTimeMs", nil)
	metrics.integer("fieldCount", len(membersInOrder(values)))
	o.raw("metrics", metrics.bytes())
	o.credits(r.status == processed)
	return o.done()
}

// schema is the form of a run: that of its configuration, else the one that is
// found.
func (r *editRun) schema() map[string]json.RawMessage {
	config, _ := members(r.config)
	schema, ok := members(config["schema"])
	if !ok {
		schema, _ = members([]byte(formSchema))
	}
	properties, _ := members(schema["properties"])
	return properties
}

// values are what is filled in: what the schema says, and null for the rest.
func (r *editRun) values() []byte {
	var o object
	fields := r.schema()
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		field, _ := members(fields[name])
		value := field["extend_edit:value"]
		if value == nil {
			value = null
		}
		o.raw(name, value)
	}
	return o.bytes()
}

func (r *editRun) work(s *Server) (status, reason, message string) {
	if len(r.schema()) == 0 {
		return failed, "EMPTY_SCHEMA", "The schema has no fields."
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r.edited = s.addFile(s.id("file_", idLength, r.id, "edited"), strings.TrimSuffix(r.file.name, ".pdf")+" filled in.pdf")
	r.edited.content = inspect(r.edited.name, fmt.Appendf(nil, "%%PDF-1.7\n%% %s\n1 0 obj<</Type /Page>>\n%%%%EOF", r.values()))
	return processed, "", ""
}

func (r *editRun) ended(*Server) *event { return nil } // this version of the API has none

// generateEditSchema answers POST /edit_schemas/generate.
func (x *exchange) generateEditSchema() ([]byte, *refusal) {
	fields, ref := x.fields()
	if ref != nil {
		return nil, ref
	}
	in, ref := parseInput("file", fields["file"])
	if ref != nil {
		return nil, ref
	}
	s := x.s
	if in.fileURL != "" {
		if _, err := s.download(x.r.Context(), in.name, in.fileURL); err != nil {
			return nil, &refusal{status: 422, code: "UNABLE_TO_DOWNLOAD_FILE", message: "The file could not be downloaded (" + err.Error() + ")."}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if ref := s.checkInput(in); ref != nil {
		return nil, ref
	}
	s.forms++
	o := &shape{s: s, form: s.forms}
	o.raw("schema", []byte(formSchema))
	config, _ := members(fields["config"])
	given := config["inputSchema"]
	o.maybe("annotatedSchema", given)
	o.maybe("mappingResult", mapping(given))
	return x.answer(o.done()), nil
}

// mapping says which fields of a given schema are in the form; nil without one.
func mapping(given json.RawMessage) []byte {
	schema, ok := members(given)
	if !ok {
		return nil
	}
	fields, _ := members(schema["properties"])
	form, _ := members([]byte(formSchema))
	found, _ := members(form["properties"])
	var matches, unmatched, unused [][]byte
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if found[name] == nil {
			unmatched = append(unmatched, quote(name))
			continue
		}
		var m object
		matches = append(matches, m.text("inputPath", name).text("formFieldKey", name).bytes())
	}
	for _, name := range slices.Sorted(maps.Keys(found)) {
		if fields[name] == nil {
			unused = append(unused, quote(name))
		}
	}
	var o object
	return o.raw("matches", list(matches)).raw("unmatchedInputPaths", list(unmatched)).raw("unusedFormFieldKeys", list(unused)).bytes()
}

// getEditTemplate answers GET /edit_templates/{id}.
func (x *exchange) getEditTemplate() ([]byte, *refusal) {
	s := x.s
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.template(x.id)
	if t == nil {
		return nil, notFound("Edit template")
	}
	o := s.shape("edit_template", t.ID)
	o.text("name", cmp.Or(t.Name, t.ID))
	o.maybeText("description", t.Description)
	form := file{id: s.id("file_", idLength, t.ID), name: t.FileName, createdAt: s.startedAt, updatedAt: s.startedAt}
	o.raw("file", s.fileShape(&form, nil, ""))
	config := t.Config
	if config == nil {
		config = json.RawMessage("{}")
	}
	o.raw("config", config)
	o.maybe("schemaConfig", t.SchemaConfig)
	o.time("createdAt", s.startedAt)
	o.time("updatedAt", s.startedAt)
	return x.answer(o.done()), nil
}
