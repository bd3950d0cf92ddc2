package ledger

import (
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"extend-intake/shared/document"
)

// TestRegister: of several creations of the same bytes under one key, one is read.
func TestRegister(t *testing.T) {
	onTables(t, func(t *testing.T, client *dynamodb.Client, table string) {
		for name, l := range map[string]*Ledger{
			"table":  New(client, table, rules, func() time.Time { return t0 }),
			"memory": NewMemory(rules, func() time.Time { return t0 }),
		} {
			t.Run(name, func(t *testing.T) {
				version := func(v, etag string) document.Source {
					return document.Source{Bucket: "in", Key: "a.pdf", VersionID: v, ETag: etag, Size: 7, Sequencer: "0A"}
				}
				claim := func(s document.Source) {
					t.Helper()
					if d, err := l.Apply(t.Context(), s.DocumentID(), Claim{Source: s}); err != nil || d.Verdict != Claimed {
						t.Fatalf("%v, %v", d.Verdict, err)
					}
				}
				owner := func(s document.Source, checksum string) string {
					t.Helper()
					id, err := l.Register(t.Context(), s, checksum)
					if err != nil {
						t.Fatal(err)
					}
					return id
				}
				placeholder, first, copied, encrypted := version("v1", "e0"), version("v2", "e1"), version("v3", "e1"), version("v4", "e2")
				placeholder.Size = 36
				for _, s := range []document.Source{placeholder, first, copied, encrypted} {
					claim(s)
				}
				for _, c := range []struct {
					name     string
					src      document.Source
					checksum string
					want     document.Source
				}{
					{"a placeholder", placeholder, "", placeholder},
					{"the content", first, "SHA256:x", first},
					{"the content, asked again", first, "SHA256:x", first},
					{"a copy onto itself", copied, "SHA256:x", first},
					{"a copy onto itself without a checksum", copied, "", first},
					{"encrypted anew: another ETag, the same checksum", encrypted, "SHA256:x", first},
					{"another checksum", encrypted, "SHA256:y", encrypted},
				} {
					if got := owner(c.src, c.checksum); got != c.want.DocumentID() {
						t.Errorf("%s: %s, want %s", c.name, got, c.want.DocumentID())
					}
				}
				// The first one comes to nothing: the copy is worth reading.
				if _, err := l.Apply(t.Context(), first.DocumentID(), Refusal{ClaimNumber: 1, Code: "NOT_FOUND"}); err != nil {
					t.Fatal(err)
				}
				if got := owner(copied, "SHA256:x"); got != copied.DocumentID() {
					t.Errorf("after a refusal: %s", got)
				}
				// A record that was deleted says nothing: its content counts as read.
				deleted, after := version("v5", "e3"), version("v6", "e3")
				if got := owner(deleted, ""); got != deleted.DocumentID() { // and it never had one
					t.Errorf("before it was deleted: %s", got)
				}
				if got := owner(after, ""); got != deleted.DocumentID() {
					t.Errorf("after it was deleted: %s", got)
				}
				other := version("v9", "e1")
				other.Key = "b.pdf"
				if got := owner(other, "SHA256:x"); got != other.DocumentID() {
					t.Errorf("another key: %s", got)
				}
				for i := range 2 * maxKnownContents {
					s := version(fmt.Sprint("w", i), fmt.Sprint("f", i))
					if got := owner(s, ""); got != s.DocumentID() {
						t.Fatalf("content %d: %s", i, got)
					}
				}
			})
		}
	})
}
