package document

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Source is one version of one S3 object. [ParseUploadEvents] reads it from an upload
// event, and is the only place where a key is decoded.
type Source struct {
	Bucket string
	// Key is the object's key as its owner wrote it: decoded, valid UTF-8.
	Key string
	// VersionID is empty in a bucket that keeps no versions.
	VersionID string
	// ETag is without the quotes that HTTP puts around it.
	ETag string
	// Size is in bytes.
	Size int64
	// Sequencer orders the events of one key: the larger one, compared as text,
	// came later. It is upper-case hexadecimal.
	// https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
	Sequencer string
	// UploadedAt is when S3 had the object, in UTC; zero where the event did not say.
	UploadedAt time.Time
}

// Version tells versions of one key apart: the S3 version id or, in a bucket
// without versions, the ETag, so that the same bytes under the same key are the
// same document.
func (s Source) Version() string {
	if s.VersionID != "" {
		return s.VersionID
	}
	return s.ETag
}

// Object is the key of the by-object index: s3://bucket/key.
func (s Source) Object() string { return "s3://" + s.Bucket + "/" + s.Key }

// String names the Source in errors.
func (s Source) String() string { return s.Object() }

var lowerBase32 = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// DocumentID is doc_ and 26 lower-case letters or digits: 130 bits of the
// SHA-256 over bucket, key and version. Each part is preceded by its length, so
// that no two Sources run into the same bytes.
func (s Source) DocumentID() string {
	h := sha256.New()
	for _, part := range []string{s.Bucket, s.Key, s.Version()} {
		var length [8]byte
		binary.BigEndian.PutUint64(length[:], uint64(len(part)))
		h.Write(length[:])
		h.Write([]byte(part))
	}
	return "doc_" + lowerBase32.EncodeToString(h.Sum(nil))[:26]
}

// FolderMarker reports whether the object is the empty one that consoles make
// to show a folder.
func (s Source) FolderMarker() bool { return s.Size == 0 && strings.HasSuffix(s.Key, "/") }

var documentID = regexp.MustCompile(`^doc_[a-z2-7]{26}$`)

// isDocumentID reports whether a text has the form of a document's id.
func isDocumentID(id string) bool { return documentID.MatchString(id) }

// Token is what a run of this attempt has in its file name. The token of attempt 1 is
// a prefix of that of attempt 10: whoever searches by it must compare the run's [Tag].
func Token(documentID string, attempt int) string {
	return documentID + "-" + strconv.Itoa(attempt)
}

// maxNameBytes keeps file names far below any limit that a file system or a
// form has; Extend publishes none.
const maxNameBytes = 120

// FileName is the name under which Extend sees the file: the object's own name
// with the attempt's token before the extension, which Extend uses to tell the
// file's type. "Invoice 42.pdf" becomes "Invoice 42.doc_…-1.pdf".
func (s Source) FileName(attempt int) string {
	base := path.Base("/" + s.Key)
	ext := path.Ext(base)
	if !plainExtension(ext) {
		ext = ""
	}
	name := strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '/' || r == '\\' || r == utf8.RuneError {
			return '_'
		}
		return r
	}, strings.TrimSuffix(base, ext))
	for len(name) > maxNameBytes {
		_, last := utf8.DecodeLastRuneInString(name)
		name = name[:len(name)-last]
	}
	return fmt.Sprintf("%s.%s%s", name, Token(s.DocumentID(), attempt), ext)
}

// plainExtension keeps a dot that belongs to a sentence ("v1. final version")
// from being taken for an extension.
func plainExtension(ext string) bool {
	if len(ext) < 2 || len(ext) > 11 {
		return false
	}
	for _, c := range []byte(ext[1:]) {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9') {
			return false
		}
	}
	return true
}
