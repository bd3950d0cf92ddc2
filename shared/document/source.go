package document

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
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

// ObjectID is obj_ and 26 characters like those of a document's id: over bucket and key,
// whatever the version.
func (s Source) ObjectID() string {
	return "obj_" + Source{Bucket: s.Bucket, Key: s.Key}.DocumentID()[len("doc_"):]
}

// IsObjectID reports whether an id is one of those of [Source.ObjectID], and not a document's.
func IsObjectID(id string) bool { return strings.HasPrefix(id, "obj_") }

// FolderMarker reports whether the object is an empty one that consoles and Hadoop make
// to show a folder.
func (s Source) FolderMarker() bool {
	return s.Size == 0 && (strings.HasSuffix(s.Key, "/") || strings.HasSuffix(s.Key, "_$folder$"))
}

var documentID = regexp.MustCompile(`^doc_[a-z2-7]{26}$`)

// isDocumentID reports whether a text has the form of a document's id.
func isDocumentID(id string) bool { return documentID.MatchString(id) }

// Token is what a run of this attempt has in its file name. The token of attempt 1 is
// a prefix of that of attempt 10: whoever searches by it must compare the run's [Tag].
func Token(documentID string, attempt int) string {
	return documentID + "-" + strconv.Itoa(attempt)
}

// tokens finds tokens in a file name, with their signatures.
var tokens = regexp.MustCompile(`(doc_[a-z2-7]{26})-([1-9][0-9]{0,6})(?:-([a-z2-7]{26}))?`)

// ParseToken finds the document and the attempt whose token a file name carries, and its
// signature, if there is one; the other fields of the Tag are empty. It is the last one:
// those before it are of the key, of a file that was downloaded from Extend, say.
func ParseToken(fileName string) (t Tag, ok bool) {
	found := tokens.FindAllStringSubmatch(fileName, -1)
	if len(found) == 0 {
		return Tag{}, false
	}
	last := found[len(found)-1]
	attempt, err := strconv.Atoi(last[2])
	if err != nil || attempt > maxAttempt {
		return Tag{}, false
	}
	return Tag{DocumentID: last[1], Attempt: attempt, Signature: last[3]}, true
}

const (
	// maxKeyBytes is S3's limit.
	maxKeyBytes = 1024
	// maxNameBytes keeps file names far below any limit that a file system or a
	// form has; Extend publishes none.
	maxNameBytes = 120
)

// FileName is the name under which Extend sees the file: the object's own name with
// the attempt's token before the extension, by which Extend tells the file's type.
// "Invoice 42.pdf" becomes "Invoice 42.doc_…-1.pdf". What has no extension gets that of
// the content type, if it is known ("scan.001-doc_…-1.pdf"), else none: no dot comes
// before the token there, which would make an extension of it. Tokens that the object's
// own name has, of a file that was downloaded from Extend, are left out: ours is the only one.
func (s Source) FileName(attempt int, contentType string) string {
	return s.fileName(Token(s.DocumentID(), attempt), contentType)
}

func (s Source) fileName(token, contentType string) string {
	name := strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '/' || r == '\\' || r == utf8.RuneError {
			return '_'
		}
		return r
	}, path.Base("/"+s.Key))
	for tokens.MatchString(name) { // what is left can make another
		name = tokens.ReplaceAllString(name, "")
	}
	name, ext := cutExtension(strings.TrimSpace(name), mediaType(contentType))
	separator := "."
	if ext == "" {
		separator, ext = "-", extensions[mediaType(contentType)]
	}
	for len(name) > maxNameBytes {
		_, last := utf8.DecodeLastRuneInString(name)
		name = name[:len(name)-last]
	}
	// A name that begins with a dot is hidden, and one that begins with a dash is an option.
	name = strings.TrimRightFunc(name, func(r rune) bool { return r == '.' || unicode.IsSpace(r) })
	name = strings.TrimLeftFunc(name, func(r rune) bool { return r == '.' || r == '-' || unicode.IsSpace(r) })
	if name == "" {
		separator = ""
	}
	return name + separator + token + ext
}

// cutExtension cuts the extension off a name, "" where it has none.
func cutExtension(name, contentType string) (stem, ext string) {
	if ext := path.Ext(name); isExtension(ext, contentType) {
		return strings.TrimSuffix(name, ext), ext
	}
	// "file.pdf?download=1": what comes behind belongs to the address that it was copied from.
	if i := strings.IndexAny(name, "?#"); i > 0 && isExtension(path.Ext(name[:i]), contentType) {
		return cutExtension(name[:i], contentType)
	}
	return name, ""
}

// isExtension reports whether the end of a name, with its dot, says what is in the file:
// that of "invoice.pdf" does, those of "v1.0", "Nr.5" and "scan.001" don't. One that is not
// known, as in "report.final", does if the content type has the same name or says nothing.
func isExtension(ext, contentType string) bool {
	if !plainExtension(ext) {
		return false
	}
	lower := strings.ToLower(ext)
	if knownExtensions[lower] {
		return true
	}
	_, subtype, _ := strings.Cut(contentType, "/")
	return "."+strings.TrimPrefix(subtype, "x-") == lower ||
		extensions[contentType] == "" && strings.ContainsAny(lower, "abcdefghijklmnopqrstuvwxyz")
}

// mediaType is a content type without its parameters, in lower case.
func mediaType(contentType string) string {
	t, _, _ := strings.Cut(contentType, ";")
	return strings.ToLower(strings.TrimSpace(t))
}

// extensions are those of the types that Extend reads.
// https://docs.extend.ai/2025-04-21/product/general/supported-file-types
var extensions = map[string]string{
	"application/pdf": ".pdf", "image/png": ".png", "image/jpeg": ".jpg", "image/gif": ".gif", "image/bmp": ".bmp",
	"image/tiff": ".tiff", "image/webp": ".webp", "image/heic": ".heic", "image/heif": ".heif", "image/svg+xml": ".svg",
	"text/plain": ".txt", "text/csv": ".csv", "text/html": ".html", "text/xml": ".xml", "application/xml": ".xml",
	"message/rfc822": ".eml", "application/vnd.ms-outlook": ".msg", "application/rtf": ".rtf", "text/rtf": ".rtf",
	"application/msword": ".doc", "application/vnd.ms-excel": ".xls", "application/vnd.ms-powerpoint": ".ppt",
	"application/vnd.openxmlformats-officedocument.wordprocessingml.document":   ".docx",
	"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet":         ".xlsx",
	"application/vnd.openxmlformats-officedocument.presentationml.presentation": ".pptx",
}

// knownExtensions are those of files that people send to be read, whatever their content
// type is: that is what the uploading tool guessed.
var knownExtensions = func() map[string]bool {
	known := map[string]bool{}
	for ext := range strings.FieldsSeq(`
		pdf ps eps xps djvu doc docx docm dot dotx odt rtf txt md log wpd pages tex
		xls xlsx xlsm xlsb ods csv tsv numbers ppt pptx pptm odp key
		html htm xhtml mht mhtml xml json jsonl yaml yml eml msg mbox p7m p7s edi x12 hl7 ofx qif
		png jpg jpeg jpe jfif gif bmp dib tif tiff webp heic heif avif svg jp2 psd ico
		zip gz tar tgz 7z rar`) {
		known["."+ext] = true
	}
	return known
}()

// Linkable reports whether HTTP clients keep the path of a link to the object as it
// is. Most of them rewrite "." and ".." segments, and some a leading slash, before the
// request is sent: S3 then refuses the signature, or hands out another object.
func (s Source) Linkable() bool {
	if strings.HasPrefix(s.Key, "/") {
		return false
	}
	for segment := range strings.SplitSeq(s.Key, "/") {
		if segment == "." || segment == ".." {
			return false
		}
	}
	return true
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
