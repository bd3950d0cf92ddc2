package fakeextend

import (
	"cmp"
	"errors"
	"net/http"
	"strconv"
	"strings"
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

// keptBytes is the largest file whose bytes are kept for its presigned URL.
const keptBytes = 64 << 10

// fileShape is a file as the calls about files show it. The caller holds mu.
func (s *Server) fileShape(f *file, contents []byte, base string) []byte {
	o := s.shape("file", f.id)
	o.text("name", f.name)
	o.maybeText("type", fileType(f.name))
	link := ""
	if c := f.content; c != nil && c.bytes != nil && base != "" {
		link = s.link(base, c.bytes, presignedLife)
	}
	o.maybeText("presignedUrl", link)
	o.maybeText("parentFileId", "")
	o.maybe("contents", contents)
	metadata := &shape{s: s, form: o.form}
	if c := f.content; c != nil && c.pages != nil {
		metadata.number("pageCount", *c.pages)
	} else {
		metadata.maybe("pageCount", nil)
	}
	metadata.maybe("parentSplit", nil)
	o.raw("metadata", metadata.bytes())
	o.time("createdAt", f.createdAt)
	o.time("updatedAt", f.updatedAt)
	o.credits(f.content != nil && f.content.pages != nil)
	return o.done()
}

// link makes a URL that leads to these bytes for a while. The caller holds mu.
func (s *Server) link(base string, body []byte, life time.Duration) string {
	s.links++
	token := s.id("", 32, "link", strconv.Itoa(s.links))
	s.payloads[token] = downloadable{body: body, expires: time.Now().Add(life), plain: true}
	return strings.TrimSuffix(cmp.Or(s.opts.PayloadBaseURL, base), "/") + payloadPath + token
}

// presignedLife is how long the vendor says that a presigned URL works.
const presignedLife = 15 * time.Minute

// findFile returns the file that the path names. The caller holds mu.
func (x *exchange) findFile() (*file, *refusal) {
	f := x.s.files[x.id]
	if f == nil {
		return nil, notFound("File")
	}
	return f, nil
}

// getFile answers GET /files/{id}.
func (x *exchange) getFile() ([]byte, *refusal) {
	s := x.s
	s.mu.Lock()
	defer s.mu.Unlock()
	f, ref := x.findFile()
	if ref != nil {
		return nil, ref
	}
	return x.answer(s.fileShape(f, x.contents(f), baseURL(x.r))), nil
}

// contents is what a query asks for of a file's text, nil where it asks for nothing.
func (x *exchange) contents(f *file) []byte {
	wanted := func(name string) bool { return x.query[name] == "true" }
	if !wanted("rawText") && !wanted("markdown") && !wanted("html") || f.content == nil {
		return nil
	}
	text := f.content.excerpt
	var o object
	pages := 1
	if f.content.pages != nil {
		pages = *f.content.pages
	}
	var parts [][]byte
	for n := range pages {
		var page object
		page.raw("pageNumber", strconv.AppendInt(nil, int64(n+1), 10)).raw("pageHeight", []byte("1650")).raw("pageWidth", []byte("1275.5"))
		for _, name := range []string{"rawText", "markdown", "html"} {
			if wanted(name) {
				page.text(name, text)
			}
		}
		parts = append(parts, page.bytes())
	}
	if wanted("rawText") {
		o.text("rawText", text)
	}
	if wanted("markdown") {
		o.text("markdown", text)
	}
	if fileType(f.name) == "EXCEL" {
		var sheet object
		o.raw("sheets", list([][]byte{sheet.text("sheetName", "Sheet1").text("rawText", text).bytes()}))
	} else {
		o.raw("pages", list(parts))
	}
	return o.bytes()
}

// listFiles answers GET /files.
func (x *exchange) listFiles() ([]byte, *refusal) {
	s := x.s
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []listed
	for _, f := range s.files {
		if strings.Contains(f.name, x.query["nameContains"]) {
			found = append(found, listed{f.createdAt, f.updatedAt, f.n, func() []byte { return s.fileShape(f, nil, "") }})
		}
	}
	return x.page(found)
}

// deleteFile answers DELETE /files/{id}. Runs that have it go on.
func (x *exchange) deleteFile() ([]byte, *refusal) {
	s := x.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ref := x.findFile(); ref != nil {
		return nil, ref
	}
	delete(s.files, x.id)
	return x.gone("File"), nil
}

// createFile answers POST /files. That it fetches the link before it answers, and
// that it needs one of a link and a text, is our reading.
func (x *exchange) createFile() ([]byte, *refusal) {
	fields, ref := x.fields()
	if ref != nil {
		return nil, ref
	}
	s, name := x.s, textField(fields, "name")
	_, hasText := fields["rawText"]
	_, hasLink := fields["url"]
	switch {
	case name == "":
		return nil, invalid("Expected string; Path: name")
	case hasText == hasLink:
		return nil, invalid("One of `url` and `rawText` must be provided, and only one.")
	}
	c := inspect(name, []byte(textField(fields, "rawText")))
	if hasLink {
		var err error
		if c, err = s.download(x.r.Context(), name, textField(fields, "url")); err != nil {
			return nil, &refusal{status: http.StatusBadRequest, code: "UNABLE_TO_DOWNLOAD_FILE", message: "The file could not be downloaded (" + err.Error() + ")."}
		}
	}
	s.step(Step{Kind: FileUploaded, FileName: name, Bytes: c.size, Status: http.StatusOK})
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.addUpload(name, c)
	x.id = f.id
	return x.answer(s.fileShape(f, nil, "")), nil
}
