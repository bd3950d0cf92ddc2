package document

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

const testKey = "0123456789abcdef0123456789abcdef"

// signed is a Tag as a stack with that key makes it.
func signed(t Tag) Tag {
	t, err := StaticKeys(testKey).Sign(context.Background(), t)
	if err != nil {
		panic(err)
	}
	return t
}

func TestVerify(t *testing.T) {
	t.Parallel()
	src := Source{Bucket: "in", Key: "München.pdf", VersionID: "v"}
	tag := signed(NewTag("intake", src, 2))
	other := Source{Bucket: "in", Key: "a.pdf", VersionID: "v"}.DocumentID()
	for name, c := range map[string]struct {
		keys       Keys
		stack, id  string
		attempt    int
		signatures []string
		want       bool
	}{
		"our own":                     {Keys{testKey}, "intake", tag.DocumentID, 2, []string{tag.Signature}, true},
		"in one of two places":        {Keys{testKey}, "intake", tag.DocumentID, 2, []string{"", "xyz", tag.Signature}, true},
		"by a key that was rotated":   {Keys{"new", testKey}, "intake", tag.DocumentID, 2, []string{tag.Signature}, true},
		"by a key that was taken out": {Keys{"new"}, "intake", tag.DocumentID, 2, []string{tag.Signature}, false},
		"of another attempt":          {Keys{testKey}, "intake", tag.DocumentID, 3, []string{tag.Signature}, false},
		"of another document":         {Keys{testKey}, "intake", other, 2, []string{tag.Signature}, false},
		"of another stack":            {Keys{testKey}, "staging", tag.DocumentID, 2, []string{tag.Signature}, false},
		"none":                        {Keys{testKey}, "intake", tag.DocumentID, 2, []string{"", ""}, false},
		"made up":                     {Keys{testKey}, "intake", tag.DocumentID, 2, []string{strings.Repeat("a", 26)}, false},
		"cut":                         {Keys{testKey}, "intake", tag.DocumentID, 2, []string{tag.Signature[:25]}, false},
	} {
		if got, err := StaticKeys(c.keys...).Verify(t.Context(), c.stack, c.id, c.attempt, c.signatures...); got != c.want || err != nil {
			t.Errorf("%s: %t, %v", name, got, err)
		}
	}
}

// What a signature is over must never change: runs on their way would be refused.
func TestSignatureStays(t *testing.T) {
	t.Parallel()
	tag := signed(NewTag("123456789012/eu-west-1/intake", Source{Bucket: "in", Key: "a.pdf", VersionID: "v"}, 1))
	if want := "5swzqfgguuwpgppyoru22wlzdf"; tag.Signature != want {
		t.Errorf("%q, want %q", tag.Signature, want)
	}
}

// A signature that does not match may be made with a key that this instance does not have yet.
func TestVerifyReadsTheKeysOnceMore(t *testing.T) {
	t.Parallel()
	tag := signed(NewTag("intake", Source{Bucket: "in", Key: "a.pdf", VersionID: "v"}, 1))
	read := 0
	f := KeyFunc(func(_ context.Context, refresh bool) (Keys, error) {
		if read++; refresh {
			return Keys{testKey}, nil
		}
		return Keys{"old"}, nil
	})
	if ok, err := f.Verify(t.Context(), "intake", tag.DocumentID, 1, tag.Signature); !ok || err != nil || read != 2 {
		t.Errorf("%t, %v, read %d times", ok, err, read)
	}
	read = 0
	if ok, err := f.Verify(t.Context(), "intake", tag.DocumentID, 1, ""); ok || err != nil || read != 0 {
		t.Errorf("%t, %v, read %d times though there is no signature", ok, err, read)
	}
	broken := errors.New("broken")
	f = func(context.Context, bool) (Keys, error) { return nil, broken }
	if ok, err := f.Verify(t.Context(), "intake", tag.DocumentID, 1, tag.Signature); ok || !errors.Is(err, broken) {
		t.Errorf("%t, %v: an error is no verdict", ok, err)
	}
	if _, err := f.Sign(t.Context(), tag); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
}

// The signature is over what the tag means: another spelling of it is the same tag.
func TestSignatureSurvivesAnotherSpelling(t *testing.T) {
	t.Parallel()
	tag := signed(NewTag("intake", Source{Bucket: "in", Key: "München.pdf", VersionID: "v"}, 1))
	sent, err := json.Marshal(tag.Metadata())
	if err != nil {
		t.Fatal(err)
	}
	for _, edit := range [][2]string{{`"attempt":1`, `"attempt":1.0`}, {`"attempt":1`, `"attempt":"1"`}, {"ü", "u\u0308"}, {`"eTag":""`, `"eTag":null`}} {
		got, err := ParseTag(json.RawMessage(strings.Replace(string(sent), edit[0], edit[1], 1)))
		if err != nil {
			t.Fatal(err)
		}
		if ok, err := StaticKeys(testKey).Verify(t.Context(), "intake", got.DocumentID, got.Attempt, got.Signature); !ok || err != nil {
			t.Errorf("%s: %t, %v", edit[1], ok, err)
		}
	}
}
