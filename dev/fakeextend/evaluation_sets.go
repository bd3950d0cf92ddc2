package fakeextend

import (
	"encoding/json"
	"slices"
	"strconv"
	"time"
)

// An evaluationSet is documents with the outputs that are expected of a processor.
type evaluationSet struct {
	n                    int
	id                   string
	name, description    string
	processor            *processor
	items                []*evaluationItem
	createdAt, updatedAt time.Time
}

// An evaluationItem is one of them.
type evaluationItem struct {
	n                    int
	id                   string
	set                  *evaluationSet
	file                 *file
	expected             json.RawMessage
	createdAt, updatedAt time.Time
}

// providedOutputs are the definitions of an output that a caller says, by the type
// of the processor.
var providedOutputs = map[string][]string{
	Extract:  {"ProvidedExtractionOutput", "ProvidedFieldsArrayOutput"},
	Classify: {"ProvidedClassifierOutput"},
	Splitter: {"ProvidedSplitterOutput"},
}

// checkProvided holds an output that a caller says against the processor's type.
func checkProvided(at string, output json.RawMessage, processorType string) *refusal {
	if !fits(output, providedOutputs[processorType]...) {
		return invalid("Expected an output of a processor of type %s; Path: %s", processorType, at)
	}
	return nil
}

func (s *Server) setShape(e *evaluationSet) []byte {
	o := s.shape("evaluation_set", e.id)
	o.text("name", e.name).text("description", e.description).text("processorId", e.processor.ID)
	o.time("createdAt", e.createdAt)
	o.time("updatedAt", e.updatedAt)
	return o.done()
}

func (s *Server) itemShape(i *evaluationItem) []byte {
	o := s.shape("evaluation_set_item", i.id)
	o.text("evaluationSetId", i.set.id).text("fileId", i.file.id).raw("expectedOutput", i.expected)
	return o.done()
}

// findSet returns the evaluation set of an id. The caller holds mu.
func (s *Server) findSet(id string) (*evaluationSet, *refusal) {
	for _, e := range s.sets {
		if e.id == id {
			return e, nil
		}
	}
	return nil, notFound("Evaluation set")
}

// findItem returns the item that the path names. The caller holds mu.
func (x *exchange) findItem() (*evaluationItem, *refusal) {
	for _, e := range x.s.sets {
		for _, i := range e.items {
			if i.id == x.id {
				return i, nil
			}
		}
	}
	return nil, notFound("Evaluation set item")
}

// createEvaluationSet answers POST /evaluation_sets.
func (x *exchange) createEvaluationSet() ([]byte, *refusal) {
	fields, ref := x.fields()
	if ref != nil {
		return nil, ref
	}
	s, now := x.s, time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	e := &evaluationSet{
		n: len(s.sets) + 1, name: textField(fields, "name"), description: textField(fields, "description"),
		processor: s.processors[textField(fields, "processorId")], createdAt: now, updatedAt: now,
	}
	switch {
	case e.name == "":
		return nil, invalid("Expected string; Path: name")
	case e.processor == nil:
		return nil, notFound("Processor")
	}
	e.id = s.id("ev_", idLength, strconv.Itoa(e.n))
	s.sets = append(s.sets, e)
	x.id = e.id
	return x.answer(s.setShape(e)), nil
}

// getEvaluationSet answers GET /evaluation_sets/{id}.
func (x *exchange) getEvaluationSet() ([]byte, *refusal) {
	x.s.mu.Lock()
	defer x.s.mu.Unlock()
	e, ref := x.s.findSet(x.id)
	if ref != nil {
		return nil, ref
	}
	return x.answer(x.s.setShape(e)), nil
}

// listEvaluationSets answers GET /evaluation_sets.
func (x *exchange) listEvaluationSets() ([]byte, *refusal) {
	s := x.s
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []listed
	for _, e := range s.sets {
		if x.equal("processorId", e.processor.ID) {
			found = append(found, listed{e.createdAt, e.updatedAt, e.n, func() []byte { return s.setShape(e) }})
		}
	}
	return x.page(found)
}

// listEvaluationSetItems answers GET /evaluation_sets/{id}/items.
func (x *exchange) listEvaluationSetItems() ([]byte, *refusal) {
	s := x.s
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ref := s.findSet(x.id)
	if ref != nil {
		return nil, ref
	}
	var found []listed
	for _, i := range e.items {
		found = append(found, listed{i.createdAt, i.updatedAt, i.n, func() []byte { return s.itemShape(i) }})
	}
	return x.page(found)
}

// addItem makes an item of what a request says, or nothing. The caller holds mu.
func (s *Server) addItem(set *evaluationSet, at string, fields map[string]json.RawMessage) (*evaluationItem, *refusal) {
	f := s.files[textField(fields, "fileId")]
	if f == nil {
		return nil, notFound("File")
	}
	if ref := checkProvided(at+"expectedOutput", fields["expectedOutput"], set.processor.Type); ref != nil {
		return nil, ref
	}
	now := time.Now()
	s.items++
	return &evaluationItem{
		n: s.items, id: s.id("evi_", idLength, strconv.Itoa(s.items)), set: set, file: f,
		expected: fields["expectedOutput"], createdAt: now, updatedAt: now,
	}, nil
}

// createEvaluationSetItem answers POST /evaluation_set_items.
func (x *exchange) createEvaluationSetItem() ([]byte, *refusal) {
	fields, ref := x.fields()
	if ref != nil {
		return nil, ref
	}
	s := x.s
	s.mu.Lock()
	defer s.mu.Unlock()
	set, ref := s.findSet(textField(fields, "evaluationSetId"))
	if ref != nil {
		return nil, ref
	}
	i, ref := s.addItem(set, "", fields)
	if ref != nil {
		return nil, ref
	}
	set.items, set.updatedAt = append(set.items, i), i.createdAt
	x.id = i.id
	return x.answer(s.itemShape(i)), nil
}

// createEvaluationSetItems answers POST /evaluation_set_items/bulk. That it makes
// all items or none is our reading.
func (x *exchange) createEvaluationSetItems() ([]byte, *refusal) {
	fields, ref := x.fields()
	if ref != nil {
		return nil, ref
	}
	var items []map[string]json.RawMessage
	if err := json.Unmarshal(fields["items"], &items); err != nil {
		return nil, invalid("Expected array; Path: items")
	}
	s := x.s
	s.mu.Lock()
	defer s.mu.Unlock()
	set, ref := s.findSet(textField(fields, "evaluationSetId"))
	if ref != nil {
		return nil, ref
	}
	var made []*evaluationItem
	var shown [][]byte
	for n, item := range items {
		i, ref := s.addItem(set, "items["+strconv.Itoa(n)+"].", item)
		if ref != nil {
			return nil, ref
		}
		made = append(made, i)
		shown = append(shown, s.itemShape(i))
	}
	set.items, set.updatedAt = append(set.items, made...), time.Now()
	return x.whole(shown), nil
}

// updateEvaluationSetItem answers POST /evaluation_set_items/{id}. The new output
// is in place of the one before; that is our reading.
func (x *exchange) updateEvaluationSetItem() ([]byte, *refusal) {
	fields, ref := x.fields()
	if ref != nil {
		return nil, ref
	}
	s := x.s
	s.mu.Lock()
	defer s.mu.Unlock()
	i, ref := x.findItem()
	if ref == nil {
		ref = checkProvided("expectedOutput", fields["expectedOutput"], i.set.processor.Type)
	}
	if ref != nil {
		return nil, ref
	}
	i.expected, i.updatedAt = fields["expectedOutput"], time.Now()
	return x.answer(s.itemShape(i)), nil
}

// deleteEvaluationSetItem answers DELETE /evaluation_set_items/{id}.
func (x *exchange) deleteEvaluationSetItem() ([]byte, *refusal) {
	x.s.mu.Lock()
	defer x.s.mu.Unlock()
	i, ref := x.findItem()
	if ref != nil {
		return nil, ref
	}
	i.set.items = slices.DeleteFunc(i.set.items, func(other *evaluationItem) bool { return other == i })
	return x.gone("Evaluation set item"), nil
}
