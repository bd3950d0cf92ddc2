package fakeextend

import (
	"cmp"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"time"
)

// RunInfo is what the fake knows of a run.
type RunInfo struct {
	ID             string
	ProcessorID    string
	Version        string // as resolved from the request: a number, or "draft"
	VersionID      string
	Type           string
	Status         string
	Priority       int
	Metadata       json.RawMessage // as it is echoed; nil when none was sent
	FileName       string
	FileURL        string // may carry a signature: not for logs
	FileID         string // of a file that was uploaded, else ""
	RawText        string
	CreatedAt      time.Time
	UpdatedAt      time.Time
	Deleted        bool
	Source         string    // API, or what [NewRun] says
	Other          bool      // made by [Server.AddRun]
	Fetches        int       // GETs of the file URL that were begun
	FetchedAt      time.Time // when the last one was begun
	FetchPath      string    // of the file URL, as it is sent, without the query
	FetchVersionID string    // versionId in the file URL's query
	FetchedBytes   int64
	FetchedSHA256  string // lower-case hex, "" until the file is there
	MediaType      string // as the bytes look
	PageCount      *int
	TextExcerpt    string
	Output         json.RawMessage // the exact bytes; nil until PROCESSED
	FailureReason  string
	FailureMessage string
	Deliveries     []DeliveryInfo
}

// DeliveryInfo is an event and the tries to deliver it.
type DeliveryInfo struct {
	EventID   string
	EventType string
	Tries     []Try
}

// A Try is one webhook request.
type Try struct {
	At     time.Time
	Status int    // 0 when there was no answer
	Err    string // why there was none
	Header http.Header
	Body   []byte // the exact bytes
}

func (t Try) ok() bool { return t.Status >= 200 && t.Status <= 299 }

// RequestCount is how often a route was answered with a status.
type RequestCount struct {
	Route  string
	Status int // 0: the connection was cut
	Count  int
}

// A Refusal is a request that broke a rule of the API. An answer by a [Fault]
// is none.
type Refusal struct {
	Method, Path string
	Status       int
	Code         string
	Reason       string
}

// Runs returns all runs in the order of their creation, deleted ones too.
func (s *Server) Runs() []RunInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	infos := make([]RunInfo, len(s.runs))
	for i, r := range s.runs {
		infos[i] = r.info()
	}
	return infos
}

// Run returns one run.
func (s *Server) Run(id string) (RunInfo, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.byID[id]; r != nil {
		return r.info(), true
	}
	return RunInfo{}, false
}

// Accepted returns how many POSTs made a run, which is how many were paid for,
// whatever their answer was and however the runs ended.
func (s *Server) Accepted() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, r := range s.runs {
		if !r.other {
			n++
		}
	}
	return n
}

// Requests returns how often each route was answered with each status, sorted.
func (s *Server) Requests() []RequestCount {
	s.mu.Lock()
	defer s.mu.Unlock()
	counts := make([]RequestCount, 0, len(s.requests))
	for c, n := range s.requests {
		c.Count = n
		counts = append(counts, c)
	}
	slices.SortFunc(counts, func(a, b RequestCount) int {
		return cmp.Or(cmp.Compare(a.Route, b.Route), cmp.Compare(a.Status, b.Status))
	})
	return counts
}

// Refused returns the refused requests in order.
func (s *Server) Refused() []Refusal {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.refused)
}

// UnknownFields returns how often accepted requests had a body field that the
// API does not know, such as "file.fileBase64". They are accepted and counted.
func (s *Server) UnknownFields() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.unknown)
}

func (s *Server) info(r *run) RunInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	return r.info()
}

// info copies what is known. The caller holds Server.mu.
func (r *run) info() RunInfo {
	info := RunInfo{
		ID: r.id, ProcessorID: r.processor.ID, Version: r.version, VersionID: r.versionID,
		Type: r.processor.Type, Status: r.status, Priority: r.ticket.priority, Metadata: slices.Clone(r.metadata),
		FileName: r.fileName, FileURL: r.fileURL, RawText: r.rawText,
		CreatedAt: r.createdAt, UpdatedAt: r.updatedAt, Deleted: r.deleted, Fetches: r.fetches,
		Source: r.source, Other: r.other, FetchedAt: r.fetchedAt,
		Output: slices.Clone(r.output), FailureReason: r.failureReason, FailureMessage: r.failureMessage,
	}
	if r.uploaded != nil {
		info.FileID = r.fileID
	}
	if u, err := url.Parse(r.fileURL); err == nil && r.fetches > 0 {
		info.FetchPath, info.FetchVersionID = u.EscapedPath(), u.Query().Get("versionId")
	}
	if c := r.content; c != nil {
		info.FetchedBytes, info.FetchedSHA256, info.MediaType, info.TextExcerpt = c.size, c.sha256, c.mediaType, c.excerpt
		if c.pages != nil {
			info.PageCount = new(*c.pages)
		}
	}
	for _, ev := range r.events {
		info.Deliveries = append(info.Deliveries, DeliveryInfo{EventID: ev.id, EventType: ev.kind, Tries: slices.Clone(ev.tries)})
	}
	return info
}
