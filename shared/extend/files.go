package extend

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"extend-intake/shared/extend/internal/loose"
)

// FileService makes the calls about files. Use it as [Client.Files].
type FileService struct{ client *Client }

// UploadFileRequest hands a file over by its bytes.
type UploadFileRequest struct {
	// Name is what Extend tells the type by (its extension) and shows the file under. It is UTF-8 without slashes,
	// backslashes and control characters, at which servers cut a name or take the form for broken.
	Name string
	// Size is how many bytes Content has. A file of another length is never made: see [FileService.Upload].
	Size int64
	// Content is read once, by one reader at a time, and not closed. Nothing of it is kept in memory.
	Content io.Reader
}

// check finds what would surely end as no file, or as a file by another name.
func (r UploadFileRequest) check() error {
	switch {
	case r.Name == "":
		return errors.New("name is empty: give one with the file's extension, which tells its type")
	case !utf8.ValidString(r.Name):
		return fmt.Errorf("name %q is not UTF-8: rename the file", r.Name)
	case strings.ContainsFunc(r.Name, func(c rune) bool { return c == '/' || c == '\\' || unicode.IsControl(c) }):
		return fmt.Errorf("name %q holds a slash, a backslash or a control character: replace it", r.Name)
	case r.Size < 0:
		return fmt.Errorf("size is %d: give the number of bytes that content has", r.Size)
	case r.Content == nil:
		return errors.New("content is nil: give a reader of the file's bytes")
	}
	return nil
}

// File is a file that Extend holds, for a run to name it as [RunFile.FileID].
type File struct {
	ID   string // file_…
	Name string // as the server read it
	Type string // such as PDF; an open set, and often absent
}

// Upload gives Extend the bytes of a file, and returns the id by which runs can use it.
//
// An upload starts no run and costs nothing, so an answer that was lost is harmless: at worst a file stays behind that
// no run ever names. Whoever can read the bytes anew may simply upload again. Upload itself never sends twice, not even
// after a 429, since Content cannot be read again.
//
// When Content fails, ends before Size, or goes on after it, the request is broken off before its end, so that the
// server cannot take a part for the whole; the error wraps that of Content, or says which of the two it was.
//
// Upload returns when no Read of Content is under way, and none begins later: it is the caller's again. A Read that
// waits for something should therefore end with ctx, as that of an S3 object does.
//
// https://docs.extend.ai/2025-04-21/developers/api-reference/file-endpoints/upload-file
func (s *FileService) Upload(ctx context.Context, req UploadFileRequest) (*File, error) {
	r := request{method: http.MethodPost, path: []string{"files", "upload"}, body: req}
	return send(ctx, s.client, r, "file", parseFile)
}

// parseFile is as strict as [ParseRun]: a file is of use by its id.
func parseFile(raw json.RawMessage) (*File, error) {
	o, err := loose.SplitObject(raw)
	if err != nil {
		return nil, fmt.Errorf("file: %w", err)
	}
	f := &File{ID: loose.Of[string](o, "id"), Name: name(o, "name"), Type: name(o, "type")}
	if f.ID == "" {
		return nil, errors.New("file: no id that is a text")
	}
	return f, nil
}

// A form is the body of a request that uploads a file: one part around a content that can be read only once.
type form struct {
	contentType string
	head, tail  []byte
	size        int64
	content     exactReader
}

// nameEscaper writes a name as browsers and Extend's own SDK do: UTF-8, with %22 for a quote. It is what the most
// servers read back as it was. Under Go's \" for a quote, and with a filename* beside it, some that are written with
// Node refuse the whole form. Two things are beyond a sender: %22 in a name itself can arrive as a quote, and letters
// outside ASCII arrive garbled where headers are read as Latin-1.
// https://html.spec.whatwg.org/multipage/form-control-infrastructure.html#multipart-form-data
var nameEscaper = strings.NewReplacer(`"`, "%22")

func newForm(r UploadFileRequest) *form {
	var b bytes.Buffer // which cannot fail
	w := multipart.NewWriter(&b)
	_, _ = w.CreatePart(textproto.MIMEHeader{
		"Content-Disposition": {`form-data; name="file"; filename="` + nameEscaper.Replace(r.Name) + `"`},
		"Content-Type":        {"application/octet-stream"}, // no list of types is published: the extension tells
	})
	head := bytes.Clone(b.Bytes())
	_ = w.Close()
	return &form{
		contentType: w.FormDataContentType(),
		head:        head,
		tail:        b.Bytes()[len(head):],
		size:        r.Size,
		content:     exactReader{r: r.Content, size: r.Size, left: r.Size},
	}
}

func (f *form) length() int64 { return int64(len(f.head)) + f.size + int64(len(f.tail)) }

func (f *form) reader() io.Reader {
	return io.MultiReader(bytes.NewReader(f.head), &f.content, bytes.NewReader(f.tail))
}

// An exactReader fails unless its reader gives size bytes and then ends. It tells that before the closing line of the
// form is sent, without which no server takes the form for complete.
type exactReader struct {
	mu         sync.Mutex // a transport may read on after the call is over: see stop
	r          io.Reader
	size, left int64
	err        error // of the content, or io.EOF once it was as it should be
}

func (e *exactReader) Read(p []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.err != nil:
		return 0, e.err
	case len(p) == 0:
		return 0, nil
	case e.left == 0:
		var over [1]byte
		n, err := io.ReadFull(e.r, over[:])
		switch {
		case n > 0:
			e.err = fmt.Errorf("content has more than the %d bytes that were announced: give its real size", e.size)
		case err == io.EOF:
			e.err = io.EOF
		default:
			e.err = fmt.Errorf("read content after %d bytes: %w", e.size, err)
		}
		return 0, e.err
	}
	n, err := e.r.Read(p[:min(int64(len(p)), e.left)])
	e.left -= int64(n)
	switch {
	case err == io.EOF && e.left > 0:
		e.err = fmt.Errorf("content ended after %d of the %d bytes that were announced: give its real size", e.size-e.left, e.size)
	case err != nil && err != io.EOF:
		e.err = fmt.Errorf("read content after %d of %d bytes: %w", e.size-e.left, e.size, err)
	}
	return n, e.err
}

// stop ends all reading, after a Read that is under way. It reports whether all was read, and as it should be, and what
// was wrong with the content.
func (e *exactReader) stop() (whole bool, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch e.err {
	case nil:
		e.err = errStopped
		return false, nil
	case errStopped:
		return false, nil
	case io.EOF:
		return true, nil
	}
	return false, e.err
}

var errStopped = errors.New("the call is over")
