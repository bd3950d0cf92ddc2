package fakeextend

import (
	"cmp"
	"encoding/json"
	"strconv"
	"time"
)

const parserRunKind = "parser_run"

// A parserRun turns a document into text.
type parserRun struct {
	job
	config json.RawMessage // as it was sent; nil when none was
}

// newParserRun makes a run of a request.
func (x *exchange) newParserRun() (*parserRun, *refusal) {
	fields, ref := x.fields()
	if ref != nil {
		return nil, ref
	}
	in, ref := parseInput("file", fields["file"])
	if ref != nil {
		return nil, ref
	}
	s := x.s
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, check := range []*refusal{s.checkInput(in), s.refuseOverPlan()} {
		if check != nil {
			return nil, check
		}
	}
	r := &parserRun{job: s.newJob(x, parserRunKind, "parser_run_", processing, defaultPriority, in), config: fields["config"]}
	r.took = s.opts.ParserTime
	s.startJob(r)
	return r, nil
}

// parse answers POST /parse, which waits.
func (x *exchange) parse() ([]byte, *refusal) {
	r, ref := x.newParserRun()
	if ref != nil {
		return nil, ref
	}
	if ref := x.waitForEnd(&r.job); ref != nil {
		return nil, ref
	}
	x.s.mu.Lock()
	defer x.s.mu.Unlock()
	return x.answer(r.fate.Changes[InAnswers].apply(r.whole(x.s, x))), nil
}

// parseAsync answers POST /parse/async.
func (x *exchange) parseAsync() ([]byte, *refusal) {
	r, ref := x.newParserRun()
	if ref != nil {
		return nil, ref
	}
	x.s.mu.Lock()
	defer x.s.mu.Unlock()
	return x.answer(r.fate.Changes[InAnswers].apply(x.s.statusShape("parser_run_status", r.id, processing, ""))), nil
}

// getParserRun answers GET /parser_runs/{id}.
func (x *exchange) getParserRun() ([]byte, *refusal) { return x.getJob(parserRunKind) }

// deleteParserRun answers DELETE /parser_runs/{id}.
func (x *exchange) deleteParserRun() ([]byte, *refusal) {
	if ref := x.s.deleteJob(x.id, parserRunKind); ref != nil {
		return nil, ref
	}
	return x.gone("Parser run"), nil
}

// statusShape is a parser or edit run without its result. The caller holds mu.
func (s *Server) statusShape(kind, id, status, reason string) []byte {
	o := s.shape(kind, id)
	o.text("status", status)
	o.maybeText("failureReason", reason)
	return o.done()
}

// show writes the status alone until the run is PROCESSED; of a FAILED run, in
// turn the status and all of it.
func (r *parserRun) show(s *Server, x *exchange) []byte {
	if r.status == processed || r.status == failed && s.forms%2 == 0 {
		return r.whole(s, x)
	}
	return s.statusShape("parser_run_status", r.id, jobStatus(r.status), r.reason)
}

// jobStatus is the status of a run that can't be cancelled by a call: a fate that
// says so shows as what the contract knows.
func jobStatus(status string) string {
	if status == cancelled {
		return failed
	}
	return status
}

func (r *parserRun) whole(s *Server, x *exchange) []byte {
	o := s.shape(parserRunKind, r.id)
	o.text("fileId", r.file.id)
	var chunks [][]byte
	pages := 1
	if c := r.file.content; c != nil && c.pages != nil {
		pages = *c.pages
	}
	if r.status == processed {
		chunks = r.chunks(s, x, pages)
	}
	o.raw("chunks", list(chunks))
	if r.status == processed && r.wantsWords() {
		var box, word, ocr object
		box.raw("left", []byte("90")).raw("right", []byte("210.5")).raw("top", []byte("80")).raw("bottom", []byte("130"))
		word.text("content", r.file.name).raw("boundingBox", box.bytes()).raw("confidence", []byte("0.990")).raw("pageNumber", []byte("1.0"))
		o.raw("ocr", ocr.raw("words", list([][]byte{word.bytes()})).bytes())
	} else {
		o.maybe("ocr", nil)
	}
	o.text("status", jobStatus(r.status))
	o.maybeText("failureReason", r.reason)
	metrics := &shape{s: s, form: o.form}
	metrics.number("processingTimeMs", int(r.endedAt.Sub(r.createdAt)/time.Millisecond))
	metrics.number("pageCount", pages)
	o.raw("metrics", metrics.bytes())
	if r.config != nil {
		o.raw("config", r.config)
	} else if o.form%2 == 1 { // the echo can hold nulls and defaults
		o.raw("config", []byte(`{"target": "markdown", "chunkingStrategy": null, "engine": null}`))
	} else {
		o.raw("config", []byte("{}"))
	}
	o.credits(r.status == processed)
	return o.done()
}

// chunks are one a page, or one of all where the configuration says so.
func (r *parserRun) chunks(s *Server, x *exchange, pages int) [][]byte {
	config, _ := members(r.config)
	strategy, _ := members(config["chunkingStrategy"])
	kind := cmp.Or(textField(strategy, "type"), "page")
	if kind != "page" {
		return [][]byte{r.chunk(s, x, kind, 1, pages)}
	}
	var chunks [][]byte
	for n := range pages {
		chunks = append(chunks, r.chunk(s, x, kind, n+1, n+1))
	}
	return chunks
}

func (r *parserRun) chunk(s *Server, x *exchange, kind string, start, end int) []byte {
	heading, body := "# "+r.file.name, "The fake does not read documents."
	if c := r.file.content; c != nil && c.excerpt != "" {
		body = c.excerpt
	}
	content := heading + "\n\n" + body
	shown := content
	if x != nil && x.query["responseType"] == "url" {
		shown = s.link(r.baseURL, []byte(content), time.Hour)
	}
	var o, metadata, pageRange object
	pageRange.raw("start", strconv.AppendInt(nil, int64(start), 10)).raw("end", strconv.AppendInt(nil, int64(end), 10))
	o.text("object", "chunk").text("type", kind).text("content", shown).
		raw("metadata", metadata.raw("pageRange", pageRange.bytes()).bytes()).
		raw("blocks", list([][]byte{
			s.block(r.id+strconv.Itoa(start)+"h", "heading", heading, start),
			s.block(r.id+strconv.Itoa(start)+"t", "text", body, start),
		}))
	return s.extra(&o).bytes()
}

func (s *Server) block(seed, kind, content string, page int) []byte {
	o := s.shape("block", s.id("b", 12, seed))
	o.maybeText("parentBlockId", "")
	o.text("type", kind).text("content", content).raw("details", []byte("{}"))
	var metadata, place object
	place.raw("number", strconv.AppendInt(nil, int64(page), 10)).raw("width", []byte("1275")).raw("height", null)
	o.raw("metadata", metadata.raw("page", place.bytes()).bytes())
	o.raw("polygon", []byte(`[{"x": 90, "y": 80}, {"x": 520.25, "y": 80}, {"x": 520.25, "y": 130}, {"x": 90, "y": 130}]`))
	o.raw("boundingBox", []byte(`{"left": 90, "right": 520.25, "top": 80, "bottom": null}`))
	o.maybe("children", nil)
	return o.done()
}

func (r *parserRun) wantsWords() bool {
	config, _ := members(r.config)
	options, _ := members(config["advancedOptions"])
	ocr, _ := members(options["returnOcr"])
	return string(ocr["words"]) == "true"
}

func (r *parserRun) work(*Server) (status, reason, message string) { return processed, "", "" }

func (r *parserRun) ended(s *Server) *event {
	kind := "parser_run.processed"
	if r.status == failed {
		kind = "parser_run.failed"
	}
	if !s.subscribed(kind) || r.status == cancelled {
		return nil
	}
	return s.jobEvent(r, kind, s.statusShape("parser_run_status", r.id, r.status, r.reason))
}
