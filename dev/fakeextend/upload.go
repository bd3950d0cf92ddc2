package fakeextend

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"
)

// upload answers POST /files/upload: a form of exactly one part, named file. The bytes
// are read as they come, and nothing is kept of them but what an output tells.
func (x *exchange) upload() ([]byte, *refusal) {
	s, r := x.s, x.r
	mediaType, parameters, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || mediaType != "multipart/form-data" || parameters["boundary"] == "" {
		return nil, invalid("Content-Type must be multipart/form-data with a boundary.")
	}
	form := multipart.NewReader(r.Body, parameters["boundary"])
	part, err := form.NextPart()
	if err != nil || part.FormName() != "file" {
		return nil, invalid("Expected one part; Path: file")
	}
	name, err := fileNameOf(part)
	if err != nil {
		return nil, invalid("%v; Path: file", err)
	}
	in := newInspector(name)
	in.keep = keptBytes
	n, err := io.Copy(in, io.LimitReader(part, s.opts.MaxFileBytes+1))
	switch {
	case err != nil:
		return nil, invalid("The form ends before its part does.")
	case n > s.opts.MaxFileBytes:
		return nil, &refusal{status: http.StatusBadRequest, code: "FILE_SIZE_TOO_LARGE", message: fmt.Sprintf("The file is larger than %d bytes.", s.opts.MaxFileBytes)}
	}
	if _, err := form.NextPart(); !errors.Is(err, io.EOF) {
		return nil, invalid("Expected one part, and a closing line after it; Path: file")
	}

	s.mu.Lock()
	f := s.addUpload(name, in.content())
	uploaded := s.uploadedObject(f)
	s.mu.Unlock()
	s.step(Step{Kind: FileUploaded, FileName: name, Bytes: n, Status: http.StatusOK})

	var answer object
	return answer.raw("success", []byte("true")).raw("file", x.fault.ChangeRuns.apply(uploaded)).bytes(), nil
}

// peekFileName reads the name of an uploaded file before anything is taken of
// the body; what can't be read is left to upload to refuse.
func peekFileName(r *http.Request) string {
	buffered := bufio.NewReader(r.Body)
	r.Body = struct {
		io.Reader
		io.Closer
	}{buffered, r.Body}
	head, _ := buffered.Peek(buffered.Size())
	_, parameters, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || parameters["boundary"] == "" {
		return ""
	}
	part, err := multipart.NewReader(bytes.NewReader(head), parameters["boundary"]).NextPart()
	if err != nil {
		return ""
	}
	name, _ := fileNameOf(part)
	return name
}

// fileNameOf is the name that browsers and the vendor's SDKs write: UTF-8, a quote as
// %22. mime's own reading would cut a name at a slash and refuse what is not ASCII.
func fileNameOf(part *multipart.Part) (string, error) {
	_, quoted, ok := strings.Cut(part.Header.Get("Content-Disposition"), `; filename="`)
	name, rest, closed := strings.Cut(quoted, `"`)
	if !ok || !closed || rest != "" || name == "" {
		return "", errors.New("a filename is expected")
	}
	if strings.ContainsAny(name, `/\`) {
		return "", errors.New("a filename without slashes is expected")
	}
	return strings.ReplaceAll(name, "%22", `"`), nil
}

func (s *Server) uploadedObject(f *file) []byte {
	o := s.beginFile(f.id, f.name, nil)
	o.text("createdAt", spelled(f.createdAt, f.n)).text("updatedAt", spelled(f.createdAt, f.n))
	return s.extra(&o).bytes()
}

// AddProcessor gives the account one more processor.
func (s *Server) AddProcessor(p Processor) error {
	opts := Options{APIKey: "any", Processors: []Processor{p}}
	if err := opts.check(); err != nil {
		return fmt.Errorf("fakeextend: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.processors[p.ID] != nil {
		return fmt.Errorf("fakeextend: processor %q is there already", p.ID)
	}
	s.addProcessor(p)
	return nil
}
