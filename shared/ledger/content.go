package ledger

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"extend-intake/shared/document"
)

// Content tells one content of an object from another.
type Content struct {
	ETag string
	Size int64
	// Checksum is S3's of the whole object, with its algorithm ("SHA256:…"), or empty.
	Checksum string
}

// same compares by the checksum where both have one of the same algorithm, else by ETag
// and size: an ETag changes when the same bytes are encrypted or cut otherwise.
func (c Content) same(other Content) bool {
	algorithm, _, _ := strings.Cut(c.Checksum, ":")
	if c.Checksum != "" && strings.HasPrefix(other.Checksum, algorithm+":") {
		return c.Checksum == other.Checksum && c.Size == other.Size
	}
	return c.ETag == other.ETag && c.Size == other.Size
}

// contents is what the ledger knows of one key of a bucket: which document its contents
// were read by. It is an item of its own in the table, which no index and no consumer
// of the stream sees.
type contents struct {
	ID      string         `dynamodbav:"documentId"` // obj_…
	Version int64          `dynamodbav:"recordVersion"`
	Known   []knownContent `dynamodbav:"contents"`
}

type knownContent struct {
	ETag       string `dynamodbav:"eTag,omitempty"`
	Size       int64  `dynamodbav:"size"`
	Checksum   string `dynamodbav:"checksum,omitempty"`
	DocumentID string `dynamodbav:"document"`
}

// maxKnownContents bounds the contents of one key that are remembered, the newest.
const maxKnownContents = 20

// Register says whose content it is: the document by which the same bytes under the same
// key are read, or were read with an output, and else this one, which is registered for
// it. A document whose record was deleted counts as read: nobody can tell, and most are. Tools make several object creations of one upload, and only one of them is to be
// paid for. A document is claimed before it is registered, so that it can't be forgotten.
func (l *Ledger) Register(ctx context.Context, s document.Source, checksum string) (owner string, err error) {
	id := s.DocumentID()
	content := Content{ETag: s.ETag, Size: s.Size, Checksum: checksum}
	for range maxTries {
		old, err := l.store.getContents(ctx, s.ObjectID())
		if err != nil {
			return "", err
		}
		next := contents{ID: s.ObjectID(), Version: 1}
		if old != nil {
			next.Version, next.Known = old.Version+1, slices.Clone(old.Known)
		}
		i := slices.IndexFunc(next.Known, func(k knownContent) bool { return content.same(Content{k.ETag, k.Size, k.Checksum}) })
		if i >= 0 {
			owner := next.Known[i].DocumentID
			if owner == id {
				return id, nil
			}
			rec, err := l.store.get(ctx, owner)
			if err != nil {
				return "", err
			}
			if rec == nil || !rec.State.Terminal() || rec.OutputRunID != "" {
				return owner, nil
			}
			if rec.ObjectLost() && rec.LastCopy != "" && rec.LastCopy != id {
				// Its latest copy is read in its place, or will be: see OriginalLost.
				copied, err := l.store.get(ctx, rec.LastCopy)
				if err != nil {
					return "", err
				}
				if copied != nil && (!copied.State.Terminal() || copied.OutputRunID != "" || copied.DuplicateOf == owner) {
					return copied.DocumentID, nil
				}
			}
			next.Known = slices.Delete(next.Known, i, i+1) // it came to nothing
		}
		next.Known = append(next.Known, knownContent{s.ETag, s.Size, checksum, id})
		if n := len(next.Known) - maxKnownContents; n > 0 {
			next.Known = next.Known[n:]
		}
		switch err := l.store.swapContents(ctx, old, &next); {
		case err == nil:
			return id, nil
		case !errors.Is(err, errConflict):
			return "", err
		}
	}
	return "", fmt.Errorf("ledger: %s: changed %d times while it was being decided on: try again", s.ObjectID(), maxTries)
}
