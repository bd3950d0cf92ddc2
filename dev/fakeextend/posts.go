package fakeextend

import (
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// A Post is one POST /processor_runs that arrived at the fake, whatever became
// of it: those that were refused, that a [Fault] answered and whose connection was
// cut are here too.
type Post struct {
	At          time.Time // when its body was there
	Proto       string    // such as HTTP/2.0
	Whole       bool      // the whole body arrived
	ProcessorID string
	FileName    string
	FileURL     string // may carry a signature: not for logs
	FileID      string
	Metadata    json.RawMessage // as it was sent; nil when none was

	// Status is what was answered, whether or not anybody was there to hear it;
	// 0 means a cut connection, or no answer yet.
	Status int
	RunID  string // of the run that it made, else ""
}

// arrived notes a POST. What its body says is read as far as it can be.
func (x *exchange) arrived(whole bool) {
	fields, _ := members(x.body)
	file, _ := members(fields["file"])
	p := &Post{At: time.Now(), Proto: x.r.Proto, Whole: whole, Metadata: fields["metadata"]}
	p.ProcessorID, _ = text(fields["processorId"])
	p.FileName, _ = text(file["fileName"])
	p.FileURL, _ = text(file["fileUrl"])
	p.FileID, _ = text(file["fileId"])
	x.post = p
	x.s.mu.Lock()
	defer x.s.mu.Unlock()
	x.s.posts = append(x.s.posts, p)
}

// Posts returns every POST /processor_runs that arrived, in order.
func (s *Server) Posts() []Post { return s.PostsOf("") }

// PostsOf returns those POSTs whose file name contains text, such as a token of
// the sender's.
func (s *Server) PostsOf(text string) []Post {
	s.mu.Lock()
	defer s.mu.Unlock()
	var posts []Post
	for _, p := range s.posts {
		if strings.Contains(p.FileName, text) {
			c := *p
			c.Metadata = slices.Clone(c.Metadata)
			posts = append(posts, c)
		}
	}
	return posts
}

// Paid counts the runs that POSTs have made, however they ended, by what of says
// of each: a document's id out of its metadata or file name, say. Runs for
// which it says "", and those of [Server.AddRun], are left out.
func (s *Server) Paid(of func(RunInfo) string) map[string]int {
	paid := make(map[string]int)
	for _, r := range s.Runs() {
		if name := of(r); name != "" && !r.Other {
			paid[name]++
		}
	}
	return paid
}
