package fakeextend

import (
	"encoding/json"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"extend-intake/test/fixtures"
)

// The signature is held against vectors that other implementations agree on.
func TestSignatureVectors(t *testing.T) {
	t.Parallel()
	var vectors []struct {
		Name, Secret, Body   string
		Timestamp, Signature *string
		Valid                bool
	}
	if err := json.Unmarshal(fixtures.Read(t, "signature_vectors.json"), &vectors); err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, v := range vectors {
		if !v.Valid {
			continue
		}
		checked++
		if got := sign(v.Secret, *v.Timestamp, []byte(v.Body)); got != strings.ToLower(*v.Signature) {
			t.Errorf("%s: got %s, want %s", v.Name, got, *v.Signature)
		}
	}
	if checked < 9 {
		t.Errorf("only %d vectors", checked)
	}
}

// Pages are counted alike however the bytes arrive.
func TestPages(t *testing.T) {
	t.Parallel()
	filler := strings.Repeat("stream of bytes /Typo /Pag ", 700)
	for _, test := range []struct {
		name, file, body string
		want             int // 0: unknown
	}{
		{"page objects", "a.pdf", "%PDF-1.7 /Type /Pages /Count 9 " + filler + "/Type /Page\n" + filler + "/Type/Page/Parent" + filler + "/Type /Page", 3},
		{"packed objects", "a.pdf", "%PDF-1.7 /Count 2" + filler + "/Type /Pages /Count 12 ", 12},
		{"nothing to count", "a.pdf", "%PDF-1.7 " + filler, 0},
		{"image", "a.bin", "\x89PNG\x0d\x0a\x1a\x0a", 1},
		{"image by name", "a.TIFF", "II*\x00", 1},
		{"text", "a.txt", "/Type /Page", 0},
		{"empty", "a.pdf", "", 0},
	} {
		for how, r := range map[string]io.Reader{
			"whole": strings.NewReader(test.body), "by bytes": iotest.OneByteReader(strings.NewReader(test.body)), "by halves": iotest.HalfReader(strings.NewReader(test.body)),
		} {
			in := newInspector(test.file)
			if _, err := io.Copy(in, struct{ io.Reader }{r}); err != nil { // hides WriterTo
				t.Fatal(err)
			}
			got := 0
			if c := in.content(); c.pages != nil {
				got = *c.pages
			}
			if got != test.want {
				t.Errorf("%s, %s: got %d, want %d", test.name, how, got, test.want)
			}
		}
	}
}

func TestExcerptIsValidText(t *testing.T) {
	t.Parallel()
	in := newInspector("a.txt")
	_, _ = io.WriteString(in, strings.Repeat("ü", 400)) // the head ends within a character or not at all
	if got, want := in.content().excerpt, strings.Repeat("ü", 120); got != want {
		t.Errorf("got %q", got)
	}
}
