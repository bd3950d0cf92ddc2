package extend

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"mime/multipart"
	"net/textproto"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"
)

// FileService has the calls for files. Use it as [Client.Files].
type FileService service

// UploadFileRequest hands a file over by its bytes.
type UploadFileRequest struct {
	// Name is what Extend tells the type by (its extension) and shows the file under. It is UTF-8 without slashes,
	// backslashes and control characters, at which servers cut a name or take the form for broken.
	Name string
	// Size is how many bytes Content has. A file of another length is never made: see [FileService.Upload].
	Size int64
	// Content is read once, by one reader at a time, and not closed. Nothing of it is kept in memory.
	Content io.Reader
	// ConvertToPDF has images, Excel and HTML made into a PDF, as Word and PowerPoint always are.
	ConvertToPDF bool
}

// check finds what would surely end as no file, or as a file by another name.
func (r UploadFileRequest) check(string) error {
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

// File is a file that Extend holds, for a run to name it as [FileInput.FileID].
type File struct {
	Resource     `object:"file"` // file_…
	Name         string          `json:"name" clean:"name"`          // as the server read it
	Type         string          `json:"type,omitzero" clean:"name"` // such as PDF; an open set, and often absent
	PresignedURL string          `json:"presignedUrl,omitzero"`      // for [Client.Download], within 15 minutes. Do not log it.
	ParentFileID string          `json:"parentFileId,omitzero"`      // of a file that was split
	Contents     *FileContents   `json:"contents,omitzero"`          // what [FileService.Get] was asked for
	Metadata     FileMetadata    `json:"metadata"`
	CreatedAt    time.Time       `json:"createdAt"`
	UpdatedAt    time.Time       `json:"updatedAt"`
	Usage        *Usage          `json:"usage,omitzero"` // of parsing; nil under some billing plans
}

// The types of files that are known.
const (
	FilePDF   = "PDF"
	FileCSV   = "CSV"
	FileImage = "IMG"
	FileText  = "TXT"
	FileDOCX  = "DOCX"
	FileExcel = "EXCEL"
	FileXML   = "XML"
	FileHTML  = "HTML"
)

// FileMetadata is what is known of a file once it was processed.
type FileMetadata struct {
	PageCount   json.Number  `json:"pageCount,omitzero"` // of PDF and DOCX
	ParentSplit *ParentSplit `json:"parentSplit,omitzero"`
}

// ParentSplit is the part of another file that a file is. Pages count from 1, both ends included.
type ParentSplit struct {
	ID         string `json:"id"`
	Type       string `json:"type"`
	Identifier string `json:"identifier"`
	StartPage  int    `json:"startPage"`
	EndPage    int    `json:"endPage"`
}

// FileContents is the text of a file, whole and by its parts.
type FileContents struct {
	RawText  string      `json:"rawText,omitzero"`
	Markdown string      `json:"markdown,omitzero"`
	Pages    []FilePage  `json:"pages,omitzero"`
	Sheets   []FileSheet `json:"sheets,omitzero"`
}

// FilePage is a page of a file.
type FilePage struct {
	PageNumber int         `json:"pageNumber"`
	PageHeight json.Number `json:"pageHeight,omitzero"`
	PageWidth  json.Number `json:"pageWidth,omitzero"`
	RawText    string      `json:"rawText,omitzero"`
	Markdown   string      `json:"markdown,omitzero"`
	HTML       string      `json:"html,omitzero"`
}

// FileSheet is a sheet of a workbook.
type FileSheet struct {
	SheetName string `json:"sheetName"`
	RawText   string `json:"rawText,omitzero"`
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
	query := struct {
		ConvertToPDF bool `json:"convertToPdf,omitzero"`
	}{req.ConvertToPDF}
	return call[File](ctx, s.client, uploadFile, query, req)
}

// CreateFileRequest describes a file that Extend fetches, or a text.
type CreateFileRequest struct {
	Name      string `json:"name"`
	URL       string `json:"url,omitzero"` // presigned
	RawText   string `json:"rawText,omitzero"`
	MediaType string `json:"mediaType,omitzero"` // such as application/pdf
}

// Create makes a file of a link or a text. Each call makes one.
//
// Deprecated: use Upload, or give a run the link.
// https://docs.extend.ai/2025-04-21/developers/api-reference/file-endpoints/create-file
func (s *FileService) Create(ctx context.Context, req CreateFileRequest) (*File, error) {
	return call[File](ctx, s.client, createFile, nil, req)
}

// GetFileRequest names a file, and which of its contents are wanted.
type GetFileRequest struct {
	ID       string `json:"-"` // file_…
	RawText  bool   `json:"rawText,omitzero"`
	Markdown bool   `json:"markdown,omitzero"` // of PDF, images, and Word that was converted
	HTML     bool   `json:"html,omitzero"`     // of DOCX
}

// Get returns a file, with a link to its bytes: see [Client.Download].
// https://docs.extend.ai/2025-04-21/developers/api-reference/file-endpoints/get-file
func (s *FileService) Get(ctx context.Context, req GetFileRequest) (*File, error) {
	return call[File](ctx, s.client, getFile, req, nil, req.ID)
}

// ListFilesRequest selects files, which are sorted by their creation. Zero fields do not restrict.
type ListFilesRequest struct {
	NameContains  string `json:"nameContains,omitzero"`
	SortDir       string `json:"sortDir,omitzero"`       // [SortDesc] unless set
	NextPageToken string `json:"nextPageToken,omitzero"` // of the page before; nothing else may change between pages
	MaxPageSize   int    `json:"maxPageSize,omitzero"`   // 1 to 1000; 10 unless set
}

func (r ListFilesRequest) check(at string) error {
	return inRange(at+"maxPageSize", r.MaxPageSize, 1, 1000)
}

// List returns one page of files.
// https://docs.extend.ai/2025-04-21/developers/api-reference/file-endpoints/list-files
func (s *FileService) List(ctx context.Context, req ListFilesRequest) (*Page[File], error) {
	return list[File](ctx, s.client, listFiles, req, nil)
}

// All returns the files of all pages: see [RunService.All].
func (s *FileService) All(ctx context.Context, req ListFilesRequest) iter.Seq2[File, error] {
	return all(req.NextPageToken, func(token string) (*Page[File], error) {
		req.NextPageToken = token
		return s.List(ctx, req)
	})
}

// Delete removes a file for good.
// https://docs.extend.ai/2025-04-21/developers/api-reference/file-endpoints/delete-file
func (s *FileService) Delete(ctx context.Context, id string) (*Deletion, error) {
	return remove(ctx, s.client, deleteFile, id)
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
