package fakeextend

import (
	"errors"
	"strconv"
	"time"
)

// A file is one that the account holds: uploaded, made of a link or a text, or
// fetched for a run. It is guarded by Server.mu.
type file struct {
	n                    int
	id, name             string
	content              *content // nil until it is there
	createdAt, updatedAt time.Time
}

// addFile makes a file of this id. The caller holds mu.
func (s *Server) addFile(id, name string) *file {
	s.filesMade++
	now := time.Now()
	f := &file{n: s.filesMade, id: id, name: name, createdAt: now, updatedAt: now}
	s.files[id] = f
	return f
}

// addUpload makes a file whose bytes are there. The caller holds mu.
func (s *Server) addUpload(name string, c *content) *file {
	s.uploads++
	f := s.addFile(s.id("file_", idLength, "upload", strconv.Itoa(s.uploads)), name)
	f.content = c
	return f
}

// fill says what the bytes of a file are, once they are there. The caller holds
// Server.mu.
func (f *file) fill(c *content) {
	if f.content == nil {
		f.content, f.updatedAt = c, time.Now()
	}
}

// contentOf returns what is known of a file's bytes.
func (s *Server) contentOf(f *file) (*content, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.content == nil {
		return nil, errors.New("the file was never fetched")
	}
	return f.content, nil
}
