package fakeextend

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"
)

const draft = "draft"

// A processor is one that the account owns, with its draft and its published
// versions. It is guarded by Server.mu, save its id and its type, which never
// change.
type processor struct {
	Processor
	n                    int
	createdAt, updatedAt time.Time
	draft                version
	published            []version // oldest first
}

// A version is one of a processor.
type version struct {
	number, description  string
	config               json.RawMessage
	createdAt, updatedAt time.Time
}

// addProcessor gives the account a processor that was not made by a request. The
// caller holds mu, or nobody else knows of s.
func (s *Server) addProcessor(given Processor) *processor {
	now := time.Now()
	given.Name = cmp.Or(given.Name, given.ID)
	if given.Config == nil {
		given.Config = json.RawMessage(defaultConfigs[given.Type])
	}
	p := &processor{Processor: given, n: len(s.processors) + 1, createdAt: now, updatedAt: now}
	p.draft = version{number: draft, config: given.Config, createdAt: now, updatedAt: now}
	for _, number := range given.Versions {
		p.published = append(p.published, version{number: number, config: given.Config, createdAt: now, updatedAt: now})
	}
	s.processors[p.ID] = p
	return p
}

// resolve turns the version of a request into a version of the processor.
func (p *processor) resolve(number string) (string, bool) {
	if number == "latest" {
		if len(p.published) == 0 {
			return draft, true
		}
		return p.published[len(p.published)-1].number, true
	}
	return number, p.version(number) != nil
}

// version returns the draft or a published version, nil if there is none of that
// number.
func (p *processor) version(number string) *version {
	if number == draft {
		return &p.draft
	}
	i := slices.IndexFunc(p.published, func(v version) bool { return v.number == number })
	if i < 0 {
		return nil
	}
	return &p.published[i]
}

// config returns that of a version which is there.
func (p *processor) config(number string) json.RawMessage { return p.version(number).config }

func (s *Server) versionID(p *processor, number string) string {
	return s.id("dpv_", idLength, p.ID, number)
}

// processorShape is a processor with its draft. The caller holds mu.
func (s *Server) processorShape(p *processor) []byte {
	o := s.shape("document_processor", p.ID)
	o.text("name", p.Name).text("type", p.Type)
	o.time("createdAt", p.createdAt)
	o.time("updatedAt", p.updatedAt)
	o.raw("draftVersion", s.versionShape(p, &p.draft))
	return o.done()
}

// versionShape is one version of a processor. The caller holds mu.
func (s *Server) versionShape(p *processor, v *version) []byte {
	o := s.shape("document_processor_version", s.versionID(p, v.number))
	o.text("processorId", p.ID)
	o.text("processorName", p.Name).text("processorType", p.Type)
	o.maybeText("description", v.description)
	o.text("version", v.number).raw("config", v.config)
	o.time("createdAt", v.createdAt)
	o.time("updatedAt", v.updatedAt)
	return o.done()
}

// findProcessor returns the processor that the path names. The caller holds mu.
func (x *exchange) findProcessor() (*processor, *refusal) {
	p := x.s.processors[x.id]
	if p == nil {
		return nil, notFound("Processor")
	}
	return p, nil
}

// listProcessors answers GET /processors.
func (x *exchange) listProcessors() ([]byte, *refusal) {
	s := x.s
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []listed
	for _, p := range s.processors {
		if x.equal("type", p.Type) {
			found = append(found, listed{p.createdAt, p.updatedAt, p.n, func() []byte { return s.processorSummary(p) }})
		}
	}
	return x.page(found)
}

func (s *Server) processorSummary(p *processor) []byte {
	o := s.shape("document_processor", p.ID)
	o.text("name", p.Name).text("type", p.Type)
	var versions [][]byte
	for _, v := range slices.Backward(slices.Concat([]version{p.draft}, p.published)) {
		var id object
		versions = append(versions, s.extra(id.text("id", s.versionID(p, v.number)).text("version", v.number)).bytes())
	}
	o.raw("versions", list(versions))
	o.time("createdAt", p.createdAt)
	o.time("updatedAt", p.updatedAt)
	return o.done()
}

// createProcessor answers POST /processors. That it needs one of a configuration
// and a processor to copy, and takes only one, is our reading.
func (x *exchange) createProcessor() ([]byte, *refusal) {
	fields, ref := x.fields()
	if ref != nil {
		return nil, ref
	}
	s := x.s
	s.mu.Lock()
	defer s.mu.Unlock()
	made := Processor{Name: textField(fields, "name"), Type: textField(fields, "type"), Config: fields["config"]}
	_, cloned := fields["cloneProcessorId"]
	switch original := s.processors[textField(fields, "cloneProcessorId")]; {
	case cloned == (made.Config != nil):
		return nil, invalid("One of `cloneProcessorId` and `config` must be provided, and only one.")
	case cloned && original == nil:
		return nil, notFound("Processor")
	case cloned && original.Type != made.Type:
		return nil, invalid("Expected %s, the type of the processor that is cloned; Path: type", original.Type)
	case cloned:
		made.Config = original.draft.config
	}
	if made.Name == "" {
		return nil, invalid("Expected string; Path: name")
	}
	if ref := checkConfig(made.Config, made.Type); ref != nil {
		return nil, ref
	}
	made.ID = s.id("dp_", idLength, strconv.Itoa(len(s.processors)+1))
	made.Subscribed = s.opts.SubscribeCreated
	p := s.addProcessor(made)
	x.id = p.ID
	object := s.processorShape(p)
	s.accountEvent(x.r, "processor.created", p.ID, object)
	return x.answer(object), nil
}

// updateProcessor answers POST /processors/{id}. That a configuration replaces the
// draft's whole is our reading.
func (x *exchange) updateProcessor() ([]byte, *refusal) {
	fields, ref := x.fields()
	if ref != nil {
		return nil, ref
	}
	s := x.s
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ref := x.findProcessor()
	if ref == nil {
		ref = checkConfig(fields["config"], p.Type)
	}
	if _, given := fields["name"]; ref == nil && given && textField(fields, "name") == "" {
		ref = invalid("Expected string; Path: name")
	}
	if ref != nil {
		return nil, ref
	}
	p.Name = cmp.Or(textField(fields, "name"), p.Name)
	p.updatedAt = time.Now()
	kind := "processor.updated"
	if fields["config"] != nil {
		p.draft.config, p.draft.updatedAt = fields["config"], p.updatedAt
		kind = "processor.draft.updated"
	}
	object := s.processorShape(p)
	s.accountEvent(x.r, kind, p.ID, object)
	return x.answer(object), nil
}

// publishProcessorVersion answers POST /processors/{id}/publish. The first version
// is 1.0 or 0.1.
func (x *exchange) publishProcessorVersion() ([]byte, *refusal) {
	fields, ref := x.fields()
	if ref != nil {
		return nil, ref
	}
	s := x.s
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ref := x.findProcessor()
	if ref == nil {
		ref = checkConfig(fields["config"], p.Type)
	}
	if ref != nil {
		return nil, ref
	}
	v := version{number: p.next(textField(fields, "releaseType")), description: textField(fields, "description"), config: fields["config"]}
	if v.config == nil {
		v.config = p.draft.config
	}
	v.createdAt, v.updatedAt = time.Now(), time.Now()
	p.published = append(p.published, v)
	p.updatedAt = v.createdAt
	object := s.versionShape(p, &v)
	s.accountEvent(x.r, "processor.version.published", p.ID, object)
	return x.answer(object), nil
}

// next is the number of the next version.
func (p *processor) next(release string) string {
	var major, minor int
	if n := len(p.published); n > 0 {
		_, _ = fmt.Sscanf(p.published[n-1].number, "%d.%d", &major, &minor) // what is no number counts as 0.0
	}
	if release == "major" {
		return fmt.Sprintf("%d.0", major+1)
	}
	return fmt.Sprintf("%d.%d", major, minor+1)
}

// getProcessorVersion answers GET /processors/{processorId}/versions/{processorVersionId},
// in which the id may be "draft".
func (x *exchange) getProcessorVersion() ([]byte, *refusal) {
	s := x.s
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ref := x.findProcessor()
	if ref != nil {
		return nil, ref
	}
	if x.ids[1] == draft {
		return x.answer(s.versionShape(p, &p.draft)), nil
	}
	for _, v := range slices.Concat([]version{p.draft}, p.published) {
		if s.versionID(p, v.number) == x.ids[1] {
			return x.answer(s.versionShape(p, &v)), nil
		}
	}
	return nil, notFound("Processor version")
}

// listProcessorVersions answers GET /processors/{id}/versions, newest first and
// the draft at the end.
func (x *exchange) listProcessorVersions() ([]byte, *refusal) {
	s := x.s
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ref := x.findProcessor()
	if ref != nil {
		return nil, ref
	}
	var versions [][]byte
	for _, v := range slices.Backward(slices.Concat([]version{p.draft}, p.published)) {
		versions = append(versions, s.versionShape(p, &v))
	}
	return x.whole(versions), nil
}
