package fakeextend

import (
	"strconv"
	"strings"
)

// laterVersion is the vendor's next version of the API, of which the fake knows
// the deliveries only.
const laterVersion = "2026-02-09"

// A laterKind is how the later version names what is of one type of processor.
type laterKind struct {
	run, processor     string // of the object and of its events, of the member
	runID, processorID string // prefixes of ids
	versionID          string
}

var laterKinds = map[string]laterKind{
	Extract:  {"extract_run", "extractor", "exr_", "ex_", "exv_"},
	Classify: {"classify_run", "classifier", "clr_", "cl_", "clv_"},
	Splitter: {"split_run", "splitter", "splr_", "spl_", "splv_"},
}

// later is the event as an endpoint of the later version gets it. That an id
// differs only in its prefix is our reading. The output is the same text in both
// versions, although the later one writes the pages of citations as objects.
func (s *Server) later(ev *event) (kind string, payload []byte) {
	r := ev.state
	names := laterKinds[r.processor.Type]
	id := names.runID + strings.TrimPrefix(r.id, "dpr_")
	processorID := names.processorID + strings.TrimPrefix(r.processor.ID, "dp_")
	created := spelled(r.createdAt, 1)
	known := func(value []byte, is bool) []byte {
		if !is || value == nil {
			return null
		}
		return value
	}
	var o, processor, version, file, pages, usage object
	o.text("object", names.run).text("id", id).text("status", r.status).
		raw("output", known(r.output, true)).
		raw("initialOutput", known(r.initialOutput, r.reviewed())).raw("reviewedOutput", known(r.reviewedOutput, true)).
		raw("failureReason", known(quote(r.failureReason), r.failureReason != "")).
		raw("failureMessage", known(quote(r.failureMessage), r.failureReason != "")).
		raw("metadata", known(r.metadata, true)).
		flag("reviewed", r.reviewed()).flag("edited", r.reviewed())
	if r.processor.Type == Extract {
		o.raw("edits", null).raw("files", null)
	}
	o.raw("config", dropMember(r.config, "type")).
		raw(names.processor, processor.text("object", names.processor).text("id", processorID).text("name", r.processor.Name).
			text("createdAt", created).text("updatedAt", created).bytes()).
		raw(names.processor+"Version", version.text("object", names.processor+"_version").
			text("id", names.versionID+strings.TrimPrefix(r.versionID, "dpv_")).raw("description", null).text("version", r.version).
			text(names.processor+"Id", processorID).text("createdAt", created).bytes())
	if c := r.content; c != nil && c.pages != nil {
		pages.raw("pageCount", strconv.AppendInt(nil, int64(*c.pages), 10))
	}
	kindOfFile := fileType(r.fileName)
	o.raw("file", file.text("object", "file").text("id", r.fileID).text("name", r.fileName).
		raw("type", known(quote(kindOfFile), kindOfFile != "")).raw("parentFileId", null).raw("metadata", pages.bytes()).
		text("createdAt", created).text("updatedAt", spelled(r.updatedAt, 1)).bytes()).
		text("parseRunId", s.id("pr_", idLength, r.id)).
		text("dashboardUrl", "https://dashboard.extend.ai/runs/"+id)
	if r.status == processed {
		o.raw("usage", usage.raw("credits", []byte("1.50")).raw("totalCredits", []byte("3.5")).bytes())
	} else {
		o.raw("usage", null)
	}
	o.text("createdAt", created).text("updatedAt", spelled(r.updatedAt, 1))
	_, what, _ := strings.Cut(ev.kind, ".")
	return names.run + "." + what, s.extra(&o).bytes()
}
