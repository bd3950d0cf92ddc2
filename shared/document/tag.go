package document

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Tag ties a run to its document. It is sent as the run's metadata and comes
// back on the run and in every webhook delivery about it. It stays under 10 KB
// whatever the key is, the limit that Extend states for metadata.
// https://docs.extend.ai/2025-04-21/developers/api-reference/processor-endpoints/run-processor
type Tag struct {
	// Stack is the deployment that made the run; two stacks may share one
	// Extend workspace and then see each other's deliveries.
	Stack      string
	DocumentID string
	Attempt    int
	Bucket     string
	Key        string
	VersionID  string
	ETag       string
	// Signature says that the stack itself has made the Tag: see [KeyFunc]. It is empty in
	// the Tags of versions before it.
	Signature string
	// UsageTags group credits in Extend's usage reports.
	UsageTags []string
}

// NewTag is the Tag of an attempt at reading a Source.
func NewTag(stack string, s Source, attempt int, usageTags ...string) Tag {
	return Tag{Stack: stack, DocumentID: s.DocumentID(), Attempt: attempt, Bucket: s.Bucket, Key: s.Key, VersionID: s.VersionID, ETag: s.ETag, UsageTags: usageTags}
}

// Metadata is the Tag as a run's metadata. Usage tags lose the characters that
// Extend would remove (all but letters, digits, _ and -), so that what we send
// is what comes back.
func (t Tag) Metadata() map[string]any {
	m := map[string]any{
		"stack": t.Stack, "documentId": t.DocumentID, "attempt": t.Attempt,
		"bucket": t.Bucket, "key": t.Key, "versionId": t.VersionID, "eTag": t.ETag,
	}
	if t.Signature != "" {
		m["signature"] = t.Signature
	}
	var usage []string
	for _, tag := range t.UsageTags {
		if clean := CleanUsageTag(tag); clean != "" {
			usage = append(usage, clean)
		}
	}
	if len(usage) > 0 {
		m["extend:usage_tags"] = usage
	}
	return m
}

// CleanUsageTag removes what Extend does not keep in a usage tag.
func CleanUsageTag(tag string) string {
	return strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '_' || r == '-' {
			return r
		}
		return -1
	}, tag)
}

// ErrNoTag means that a run carries no Tag: it was started in the dashboard or by
// other software.
var ErrNoTag = errors.New("the run has no tag of ours")

// maxAttempt bounds the number of an attempt that is believed.
const maxAttempt = 1_000_000

// ParseTag reads a Tag from a run's metadata. What comes back need not be spelled as
// it was sent: an attempt of 1, 1.0 or "1" is the same attempt, members of odd types
// count as absent, and a key in another Unicode form only means that the Tag's Source
// can't be used ([Tag.HasSource]). The error wraps [ErrNoTag] where the metadata names
// no document.
func ParseTag(metadata json.RawMessage) (Tag, error) {
	var m map[string]json.RawMessage
	if len(metadata) == 0 {
		return Tag{}, ErrNoTag
	}
	if err := json.Unmarshal(metadata, &m); err != nil {
		return Tag{}, fmt.Errorf("%w: %v", ErrNoTag, err)
	}
	t := Tag{
		Stack: text(m["stack"]), DocumentID: text(m["documentId"]), Attempt: attempt(m["attempt"]),
		Bucket: text(m["bucket"]), Key: text(m["key"]), VersionID: text(m["versionId"]), ETag: text(m["eTag"]),
		Signature: text(m["signature"]),
	}
	_ = json.Unmarshal(m["extend:usage_tags"], &t.UsageTags)
	switch {
	case t.Stack == "" || !isDocumentID(t.DocumentID):
		// Other software may well use the same names for other things.
		return Tag{}, ErrNoTag
	case t.Attempt == 0:
		return Tag{}, fmt.Errorf("%w: its attempt %.40q is not a number from 1 to %d", ErrNoTag, m["attempt"], maxAttempt)
	}
	return t, nil
}

// text is a member as text, whichever way it was written: "7" and 7 alike. It is empty
// for whatever has no text.
func text(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	var n json.Number
	if json.Unmarshal(raw, &n) == nil {
		return n.String()
	}
	return ""
}

// attempt is the number in a member, 1, 1.0, 1e0 or "1", or 0.
func attempt(raw json.RawMessage) int {
	n, err := strconv.ParseFloat(strings.TrimSpace(text(raw)), 64)
	if err != nil || n != math.Trunc(n) || n < 1 || n > maxAttempt {
		return 0
	}
	return int(n)
}

// HasSource reports whether the Tag names the very object that its document id is of.
// If not, what it says of the object was changed on the way, or made up: only the
// ledger can know the document.
func (t Tag) HasSource() bool {
	return t.Bucket != "" && t.Key != "" && len(t.Key) <= maxKeyBytes && t.Source().Version() != "" && t.Source().DocumentID() == t.DocumentID
}

// Source is what the Tag knows of the Source: all but size and sequencer. It means
// nothing unless [Tag.HasSource].
func (t Tag) Source() Source {
	return Source{Bucket: t.Bucket, Key: t.Key, VersionID: t.VersionID, ETag: t.ETag}
}

// FileName is the Source's, with the Tag's signature behind the token: it proves whose the
// run is where its metadata does not come back as it was sent.
func (t Tag) FileName(contentType string) string {
	return t.Source().fileName(t.Token(), contentType)
}

// Token is what the run has in its file name: see [Token]. The signature is part of it.
func (t Tag) Token() string {
	token := Token(t.DocumentID, t.Attempt)
	if t.Signature != "" {
		token += "-" + t.Signature
	}
	return token
}
