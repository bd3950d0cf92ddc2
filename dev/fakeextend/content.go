package fakeextend

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"net/http"
	"path"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// content is what is known of a file's bytes.
type content struct {
	size      int64
	sha256    string
	mediaType string
	pages     *int   // nil: not countable
	excerpt   string // "" unless it is text
	bytes     []byte // nil but of small files that were uploaded
}

// An inspector learns the content of a file from a stream of its bytes, in
// memory that does not grow with the file.
type inspector struct {
	name   string
	size   int64
	hash   hash.Hash
	head   []byte
	window []byte // bytes not yet searched for pages
	pages  int    // page objects of a PDF
	keep   int    // how many bytes are kept at most
	kept   []byte // nil once there are more
	count  int    // largest /Count of a PDF, for those whose objects are packed
}

const (
	headBytes    = 512
	searchBytes  = 16 << 10 // small writes are gathered up to this
	overlapBytes = 64       // longer than what the patterns match
)

var (
	pdfPage  = regexp.MustCompile(`/Type\s{0,8}/Page[^A-Za-z]`)
	pdfCount = regexp.MustCompile(`/Count\s{1,8}(\d{1,6})`)
)

func newInspector(name string) *inspector {
	return &inspector{name: name, hash: sha256.New()}
}

// inspect is what is known of bytes that are all there.
func inspect(name string, data []byte) *content {
	in := newInspector(name)
	in.keep = keptBytes
	_, _ = in.Write(data) // which takes everything
	return in.content()
}

// Write takes the next bytes.
func (in *inspector) Write(p []byte) (int, error) {
	in.size += int64(len(p))
	in.hash.Write(p)
	if missing := headBytes - len(in.head); missing > 0 {
		in.head = append(in.head, p[:min(missing, len(p))]...)
	}
	in.window = append(in.window, p...)
	if in.size <= int64(in.keep) {
		in.kept = append(in.kept, p...)
	} else {
		in.kept = nil
	}
	if len(in.window) >= searchBytes {
		in.search(len(in.window) - overlapBytes)
	}
	return len(p), nil
}

// search counts what begins before limit, and forgets those bytes.
func (in *inspector) search(limit int) {
	for _, m := range pdfPage.FindAllIndex(in.window, -1) {
		if m[0] < limit {
			in.pages++
		}
	}
	for _, m := range pdfCount.FindAllSubmatchIndex(in.window, -1) {
		if m[0] < limit {
			n, _ := strconv.Atoi(string(in.window[m[2]:m[3]])) // digits
			in.count = max(in.count, n)
		}
	}
	in.window = append(in.window[:0], in.window[limit:]...)
}

func (in *inspector) content() *content {
	in.window = append(in.window, '\n') // so that a pattern at the very end matches
	in.search(len(in.window))
	mediaType, _, _ := strings.Cut(http.DetectContentType(in.head), ";")
	c := &content{size: in.size, bytes: in.kept, sha256: hex.EncodeToString(in.hash.Sum(nil)), mediaType: mediaType}
	switch {
	case mediaType == "application/pdf":
		n := in.pages
		if n == 0 {
			n = in.count
		}
		if n > 0 {
			c.pages = &n
		}
	case strings.HasPrefix(mediaType, "image/") || fileType(in.name) == "IMG":
		c.pages = new(1)
	case strings.HasPrefix(mediaType, "text/"):
		c.excerpt = excerpt(in.head)
	}
	return c
}

// excerpt returns the first characters of a text.
func excerpt(head []byte) string {
	const most = 120
	var out bytes.Buffer
	for n := 0; n < most && len(head) > 0; n++ {
		r, size := utf8.DecodeRune(head)
		if r == utf8.RuneError && len(head) < utf8.UTFMax {
			break // cut within a character
		}
		out.WriteRune(r)
		head = head[size:]
	}
	return out.String()
}

// fileTypes maps extensions to the types of a File object. Groups that have no
// type of their own in the documentation are absent.
var fileTypes = map[string]string{
	".pdf": "PDF", ".csv": "CSV", ".html": "HTML", ".xml": "XML",
	".txt": "TXT", ".md": "TXT", ".rtf": "TXT", ".lis": "TXT",
	".png": "IMG", ".jpg": "IMG", ".jpeg": "IMG", ".tiff": "IMG", ".tif": "IMG", ".svg": "IMG", ".heic": "IMG",
	".heif": "IMG", ".bmp": "IMG", ".gif": "IMG", ".webp": "IMG", ".psd": "IMG",
	".xls": "EXCEL", ".xlsx": "EXCEL", ".xltm": "EXCEL", ".xltx": "EXCEL", ".ods": "EXCEL",
	".docx": "DOCX", ".doc": "DOCX", ".wpd": "DOCX", ".dotx": "DOCX", ".odt": "DOCX",
}

func fileType(name string) string { return fileTypes[strings.ToLower(path.Ext(name))] }
