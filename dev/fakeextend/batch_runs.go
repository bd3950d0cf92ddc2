package fakeextend

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"
)

// A batchRun is a processor's run over an evaluation set. It is guarded by
// Server.mu.
type batchRun struct {
	n                    int
	id                   string
	set                  *evaluationSet
	version              string
	status               string
	items                []evaluationItem // as they were when it began
	scores               []score
	createdAt, updatedAt time.Time
}

// A score is how well a processor did on one item.
type score struct {
	pages  int
	fields map[string]bool // of an extraction: whether it is as expected
	right  bool            // as a whole
}

// Evaluate is a person who starts the measuring of a version of the processor on
// an evaluation set, in the dashboard: the API has no call for it. version is as in
// a run, "" means latest. It returns the id of the batch, for
// GET /batch_processor_runs/{id}.
func (s *Server) Evaluate(setID, version string) (id string, err error) {
	if version == "" {
		version = "latest"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	set, ref := s.findSet(setID)
	if ref != nil {
		return "", ref.err()
	}
	number, ok := set.processor.resolve(version)
	if !ok {
		return "", notFound("Processor version").err()
	}
	now := time.Now()
	b := &batchRun{n: len(s.batches) + 1, set: set, version: number, status: pending, createdAt: now, updatedAt: now}
	b.id = s.id("bpr_", idLength, strconv.Itoa(b.n))
	for _, i := range set.items {
		b.items = append(b.items, *i)
	}
	s.batches = append(s.batches, b)
	s.background(func() { s.measure(b) })
	return b.id, nil
}

// measure takes a batch to its end.
func (s *Server) measure(b *batchRun) {
	turn := func(status string, scores []score) {
		s.mu.Lock()
		defer s.mu.Unlock()
		b.status, b.scores, b.updatedAt = status, scores, time.Now()
	}
	turn(processing, nil)
	if s.opts.BatchTime > 0 && !pause(s.ctx, s.opts.BatchTime) {
		return
	}
	var scores []score
	for _, i := range b.items {
		output, pages, err := s.outputFor(b.set.processor, b.version, i.file)
		if err != nil {
			turn(failed, nil)
			return
		}
		scores = append(scores, compareOutputs(i.expected, output, pages))
	}
	turn(processed, scores)
}

// outputFor is what a processor makes of a file, without a run of it.
func (s *Server) outputFor(p *processor, version string, f *file) (output json.RawMessage, pages int, err error) {
	c, err := s.contentOf(f)
	if err != nil {
		return nil, 0, err
	}
	s.mu.Lock()
	r := &run{id: f.id, processor: p, version: version, fileName: f.name, content: c, config: p.config(version), ticket: &ticket{}}
	s.mu.Unlock()
	if pages = 1; c.pages != nil {
		pages = *c.pages
	}
	output, err = s.output(r)
	return output, pages, err
}

// compareOutputs scores an output by what was expected of it.
func compareOutputs(expected, output json.RawMessage, pages int) score {
	sc := score{pages: pages, right: true, fields: map[string]bool{}}
	want, _ := members(expected)
	got, _ := members(output)
	if value, ok := members(want["value"]); ok {
		want = value
		got, _ = members(got["value"])
	}
	for name, value := range want {
		switch name {
		case "confidence", "insights", "metadata":
			continue
		}
		same := sameValue(value, got[name])
		sc.fields[name] = same
		sc.right = sc.right && same
	}
	return sc
}

// sameValue compares JSON without regard to space.
func sameValue(a, b json.RawMessage) bool {
	var compact [2]bytes.Buffer
	return json.Compact(&compact[0], a) == nil && json.Compact(&compact[1], b) == nil && bytes.Equal(compact[0].Bytes(), compact[1].Bytes())
}

// getBatchProcessorRun answers GET /batch_processor_runs/{id}.
func (x *exchange) getBatchProcessorRun() ([]byte, *refusal) {
	s := x.s
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.batches, func(b *batchRun) bool { return b.id == x.id })
	if i < 0 {
		return nil, notFound("Batch processor run")
	}
	b := s.batches[i]
	p := b.set.processor
	o := s.shape("batch_processor_run", b.id)
	o.text("processorId", p.ID).text("processorVersionId", s.versionID(p, b.version)).
		text("processorName", p.Name).raw("metrics", s.metrics(b)).text("status", b.status).
		text("source", "EVAL_SET").text("sourceId", b.set.id)
	o.integer("runCount", len(b.items))
	options := &shape{s: s, form: o.form}
	options.maybe("fuzzyMatchFields", nil)
	options.raw("excludeFields", []byte("[]"))
	o.raw("options", options.bytes())
	o.time("createdAt", b.createdAt)
	o.time("updatedAt", b.updatedAt)
	return x.answer(o.done()), nil
}

// metrics are those of a batch; {} until it is done. The caller holds mu.
func (s *Server) metrics(b *batchRun) []byte {
	if b.status != processed {
		return []byte("{}")
	}
	pages, right := 0, 0
	found, total := map[string]int{}, map[string]json.RawMessage{}
	for _, sc := range b.scores {
		pages += sc.pages
		if sc.right {
			right++
		}
		for name, same := range sc.fields {
			total[name] = nil
			if same {
				found[name]++
			}
		}
	}
	percent := func(n int) []byte { return fmt.Appendf(nil, "%.1f", 100*float64(n)/float64(max(len(b.scores), 1))) }
	s.forms++
	o := &shape{s: s, form: s.forms}
	o.text("type", b.set.processor.Type)
	o.number("numFiles", len(b.scores))
	o.number("numPages", pages)
	o.maybe("meanRunTimeMs", nil)
	switch b.set.processor.Type {
	case Extract:
		var fields object
		for _, name := range slices.Sorted(maps.Keys(total)) {
			var m object
			fields.raw(name, m.raw("meanConfidence", null).raw("recallPerc", percent(found[name])).raw("precisionPerc", percent(found[name])).bytes())
		}
		o.raw("fieldMetrics", fields.bytes())
	case Classify:
		o.raw("accuracyPerc", percent(right))
	case Splitter:
		o.raw("precisionPerc", percent(right)).raw("recallPerc", percent(right))
	}
	return o.bytes()
}
