package document

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"strconv"
)

// Keys are the secrets that the tags of a stack are signed with. The first one signs; what
// any of them has signed is accepted, so that they can be rotated.
type Keys []string

// KeyFunc returns the Keys; refresh has them read once more, for a signature may be made
// with a key that was added since.
type KeyFunc func(ctx context.Context, refresh bool) (Keys, error)

// StaticKeys is a KeyFunc for keys that never change.
func StaticKeys(keys ...string) KeyFunc {
	return func(context.Context, bool) (Keys, error) { return keys, nil }
}

// Sign returns the Tag with its signature. The error is that of reading the keys.
func (f KeyFunc) Sign(ctx context.Context, t Tag) (Tag, error) {
	keys, err := f(ctx, false)
	if err != nil {
		return Tag{}, err
	}
	t.Signature = sign(keys[0], t.Stack, t.DocumentID, t.Attempt)
	return t, nil
}

// Verify reports whether one of these signatures is one of the stack's own, for this
// attempt at this document. The error is that of reading the keys; without a signature none
// is read.
func (f KeyFunc) Verify(ctx context.Context, stack, documentID string, attempt int, signatures ...string) (bool, error) {
	for _, refresh := range []bool{false, true} {
		var keys Keys
		for _, signature := range signatures {
			if signature == "" {
				continue
			}
			if keys == nil {
				var err error
				if keys, err = f(ctx, refresh); err != nil {
					return false, err
				}
			}
			for _, key := range keys {
				if hmac.Equal([]byte(signature), []byte(sign(key, stack, documentID, attempt))) {
					return true, nil
				}
			}
		}
		if keys == nil {
			return false, nil
		}
	}
	return false, nil
}

// Signatures are those that file names carry for this attempt at this document.
func Signatures(fileNames []string, documentID string, attempt int) []string {
	var signatures []string
	for _, name := range fileNames {
		if t, ok := ParseToken(name); ok && t.DocumentID == documentID && t.Attempt == attempt {
			signatures = append(signatures, t.Signature)
		}
	}
	return signatures
}

// sign is an HMAC-SHA256, cut to 130 bits and written as 26 lower-case letters and digits.
// It is over what a Tag means and not over how it is spelled, which can change on the way.
// The document's id stands for bucket, key and version. Each part is preceded by its length.
func sign(key, stack, documentID string, attempt int) string {
	h := hmac.New(sha256.New, []byte(key))
	for _, part := range []string{"extend-intake tag 1", stack, documentID, strconv.Itoa(attempt)} {
		var length [8]byte
		binary.BigEndian.PutUint64(length[:], uint64(len(part)))
		h.Write(length[:])
		h.Write([]byte(part))
	}
	return lowerBase32.EncodeToString(h.Sum(nil))[:26]
}
