package document

import (
	"encoding/json"
	"errors"
	"fmt"
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

// ParseTag reads a Tag from a run's metadata. The error wraps [ErrNoTag] where
// there is none, or says what is wrong with the one there is.
func ParseTag(metadata json.RawMessage) (Tag, error) {
	var m struct {
		Stack      *string  `json:"stack"`
		DocumentID *string  `json:"documentId"`
		Attempt    *int     `json:"attempt"`
		Bucket     string   `json:"bucket"`
		Key        string   `json:"key"`
		VersionID  string   `json:"versionId"`
		ETag       string   `json:"eTag"`
		UsageTags  []string `json:"extend:usage_tags"`
	}
	if len(metadata) == 0 {
		return Tag{}, ErrNoTag
	}
	if err := json.Unmarshal(metadata, &m); err != nil {
		// Other software may well use the same names for values of other types.
		return Tag{}, fmt.Errorf("%w: %v", ErrNoTag, err)
	}
	if m.Stack == nil || m.DocumentID == nil || m.Attempt == nil {
		return Tag{}, ErrNoTag
	}
	t := Tag{Stack: *m.Stack, DocumentID: *m.DocumentID, Attempt: *m.Attempt, Bucket: m.Bucket, Key: m.Key, VersionID: m.VersionID, ETag: m.ETag, UsageTags: m.UsageTags}
	if t.Attempt < 1 || t.Source().DocumentID() != t.DocumentID {
		return Tag{}, fmt.Errorf("%w: document id and attempt don't fit the object that it names", ErrNoTag)
	}
	return t, nil
}

// Source is what the Tag knows of the Source: all but size and sequencer.
func (t Tag) Source() Source {
	return Source{Bucket: t.Bucket, Key: t.Key, VersionID: t.VersionID, ETag: t.ETag}
}
