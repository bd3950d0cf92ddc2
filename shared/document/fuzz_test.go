package document

import (
	"encoding/json"
	"errors"
	"path"
	"strings"
	"testing"
	"unicode/utf8"
)

func FuzzParseTag(f *testing.F) {
	s := Source{Bucket: "in", Key: "für/a b.pdf", VersionID: "v1", ETag: "e1"}
	sent, _ := json.Marshal(signed(NewTag("intake", s, 2, "finance")).Metadata())
	f.Add(sent)
	for _, spelling := range []string{`2.0`, `2e0`, `"2"`, `" 2 "`, `0`, `-1`, `1e9`, `"0x2"`, `"Inf"`, `null`, `[2]`} {
		f.Add([]byte(strings.Replace(string(sent), `"attempt":2`, `"attempt":`+spelling, 1)))
	}
	f.Add([]byte(strings.Replace(string(sent), "ü", "u\u0308", 1)))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, metadata []byte) {
		tag, err := ParseTag(metadata)
		if err != nil {
			if !errors.Is(err, ErrNoTag) {
				t.Fatalf("%v, want ErrNoTag", err)
			}
			return
		}
		if tag.Stack == "" || !isDocumentID(tag.DocumentID) || tag.Attempt < 1 || tag.Attempt > maxAttempt {
			t.Fatalf("%+v", tag)
		}
		if tag.HasSource() && tag.Source().DocumentID() != tag.DocumentID {
			t.Fatalf("%+v names another object than its document's", tag)
		}
		// However it came back, sending it again names the same attempt of the same document.
		again, err := json.Marshal(tag.Metadata())
		if err != nil {
			t.Fatal(err)
		}
		if got, err := ParseTag(again); err != nil || got.Stack != tag.Stack || got.DocumentID != tag.DocumentID || got.Attempt != tag.Attempt || got.Signature != tag.Signature {
			t.Fatalf("%+v, %v; want %+v", got, err, tag)
		}
	})
}

func FuzzParseToken(f *testing.F) {
	id := Source{Bucket: "in", Key: "a", ETag: "e"}.DocumentID()
	for _, name := range []string{
		"a." + Token(id, 1) + ".pdf", "a." + Token(id, 1) + "-" + strings.Repeat("b", 26) + ".pdf", Token(id, 1) + "-" + strings.Repeat("b", 25), "scan-" + Token(id, 12), Token(id, 1_000_000), Token(id, 1_000_001), Token(id, 0), Token(id, 1) + Token(id, 2),
		id + "-01", id + "--1", id + "-12345678", strings.ToUpper(Token(id, 1)), "doc_doc_" + strings.Repeat("a", 26) + "-1", "a.pdf", "",
	} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		tag, ok := ParseToken(name)
		if !ok {
			return
		}
		id, attempt := tag.DocumentID, tag.Attempt
		if !isDocumentID(id) || attempt < 1 || attempt > maxAttempt {
			t.Fatalf("%q: %q, %d", name, id, attempt)
		}
		if strings.Count(name, tag.Token()) != 1 {
			t.Fatalf("%q does not have the token of %q, %d once", name, id, attempt)
		}
	})
}

func FuzzFileName(f *testing.F) {
	for _, key := range []string{
		"Invoice 42.pdf", "a/b/scan", "v1. final", "a/b/", "/", ".", "..", "....", ".pdf", ".\u00a0a", "invoice.pdf ", "file.pdf?download=1", "?.pdf", "x\n\t.PDF",
		"in\u202evoice.pdf", "a.\u00a0", "a .", strings.Repeat("é", 500) + ".tif", strings.Repeat("a", 119) + "é.", "a\xff.pdf", "a\\b.pdf",
		"scan.doc_" + strings.Repeat("a", 26) + "-1.pdf", "doc_" + strings.Repeat("a", 26),
	} {
		f.Add(key, "", uint32(1))
		f.Add(key, "application/pdf; charset=x", uint32(maxAttempt))
		f.Add(key, "application/x-unknown", uint32(10))
	}
	f.Fuzz(func(t *testing.T, key, contentType string, n uint32) {
		s := Source{Bucket: "in", Key: key, ETag: "e"}
		attempt := 1 + int(n%maxAttempt)
		token := Token(s.DocumentID(), attempt)
		name := s.FileName(attempt, contentType)
		before, ext, ok := strings.Cut(name, token)
		switch {
		case !ok:
			t.Fatalf("%q has no token", name)
		case !utf8.ValidString(name) || len(name) > 200:
			t.Fatalf("%q has %d bytes, or is not UTF-8", name, len(name))
		case strings.ContainsAny(name, "/\\") || strings.TrimSpace(name) != name || strings.HasSuffix(name, ".") || strings.HasPrefix(name, "-"):
			t.Fatalf("%q is rewritten by whoever stores it", name)
		case ext == "" && strings.HasSuffix(before, "."):
			t.Fatalf("%q: the token is its extension", name)
		case ext != "" && path.Ext(name) != ext:
			t.Fatalf("%q ends with %q, and its extension is %q", name, ext, path.Ext(name))
		}
		if got, ok := ParseToken(name); !ok || got.DocumentID != s.DocumentID() || got.Attempt != attempt || got.Signature != "" {
			t.Fatalf("%q: %+v, %t", name, got, ok)
		}
	})
}
