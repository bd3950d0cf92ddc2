package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"extend-intake/dev/stack"
	"extend-intake/shared/document"
)

func TestWhatCannotBeUploadedStartsNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty.pdf")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // should anything be started all the same, it ends at once
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--walk"}, "not defined"},
		{[]string{"file.pdf"}, "one argument too many"},
		{[]string{"--file", filepath.Join(dir, "missing.pdf")}, "no such file"},
		{[]string{"--file", dir}, "is not a file"},
		{[]string{"--stay", "--file", empty}, "is empty"},
	} {
		var out strings.Builder
		err := command(ctx, c.args, &out)
		if err == nil || !strings.Contains(err.Error(), c.want) || out.Len() > 0 {
			t.Errorf("%q: %v, want %q\n%s", c.args, err, c.want, out.String())
		}
	}
}

// TestRun is `make run`, and what it tells of an upload that never came.
func TestRun(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("deploys the template to a local AWS")
	}
	file, err := openUpload(sample)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var out strings.Builder
	s, err := stack.Begin(t.Context(), &out, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		s.Stop()
		if t.Failed() {
			err = errors.New("there were failures")
		}
		if err := s.Leave(err); err != nil {
			t.Log(err)
		}
	}()
	if err := travel(t.Context(), s, &out, file); err != nil {
		t.Error(err)
	}
	explain(t.Context(), s, &out, document.Source{Bucket: s.Outputs["UploadBucketName"], Key: "never uploaded.pdf", VersionID: "1"})
	for _, want := range []string{
		"/invoice.pdf uploaded", "upload event of the new object", "POST makes run", "file fetched", "run ends PROCESSED", "answered 200", "PROCESSED stored", "12345678901234567890", "The stored SHA-256 is that of",
		"No result for s3://", "has no record of it", "UploadQueueUrl: ", "The last lines of submit:", "The last lines of the local AWS:",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it does not tell %q:\n%s", want, out.String())
		}
	}
}

// sample is the file that is uploaded where none is named.
var sample = filepath.Join("..", "sample", "invoice.pdf")

// The sizes and SHA-256 of the sample are nobody's concern, but it must be a PDF that
// readers open: its table of offsets is what an edit by hand breaks.
func TestSampleIsAPDF(t *testing.T) {
	t.Parallel()
	pdf, err := os.ReadFile(sample)
	if err != nil {
		t.Fatal(err)
	}
	text := string(pdf)
	_, table, ok := strings.Cut(text, "\nxref\n")
	if !ok || !strings.HasPrefix(text, "%PDF-1.4\n") || !strings.HasSuffix(text, "\n%%EOF\n") {
		t.Fatal("no PDF")
	}
	lines := strings.Split(table, "\n")
	for i, line := range lines[2:] {
		offset, err := strconv.Atoi(cmp.Or(strings.SplitN(line, " ", 2)...))
		if err != nil {
			break // the trailer
		}
		if want := fmt.Sprintf("%d 0 obj", i+1); !strings.HasPrefix(text[offset:], want) {
			t.Errorf("object %d is not at %d", i+1, offset)
		}
	}
	if want := fmt.Sprintf("startxref\n%d\n", strings.Index(text, "\nxref\n")+1); !strings.Contains(text, want) {
		t.Errorf("want %q", want)
	}
}
