package fakeextend

import (
	"cmp"
	"encoding/json"
	"slices"
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
