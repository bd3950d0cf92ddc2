package main

import (
	"cmp"
	"context"
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
		{[]string{"file.pdf"}, `unexpected argument "file.pdf"`},
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

// The whole of `make run`, with its own file.
func TestRun(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("deploys the template to a local AWS")
	}
	var out strings.Builder
	if err := command(t.Context(), []string{"--file", ""}, &out); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	for _, want := range []string{
		"fake Extend", "/invoice.pdf uploaded", "upload event of the new object", "POST makes run", "file fetched", "run ends PROCESSED",
		"answered 200", "PROCESSED stored", "12345678901234567890", "The stored SHA-256 is that of dev/sample/invoice.pdf",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it does not print %q:\n%s", want, out.String())
		}
	}
}

func TestExplain(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("deploys the template to a local AWS")
	}
	s, err := stack.Start(t.Context(), stack.Options{Say: func(what, detail string) { t.Log(what, detail) }})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Stop(nil); err != nil {
			t.Error(err)
		}
	}()
	var out strings.Builder
	explain(t.Context(), s, &out, document.Source{Bucket: s.Outputs["UploadBucketName"], Key: "never uploaded.pdf", VersionID: "1"})
	for _, want := range []string{"No result for s3://", "has no record of it", "UploadQueueUrl: ", "The last lines of submit:", "The last lines of the local AWS:"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it does not print %q:\n%s", want, out.String())
		}
	}
}

// The sample must be a PDF that readers open: an edit by hand breaks its table of
// offsets.
func TestSampleIsAPDF(t *testing.T) {
	t.Parallel()
	pdf, err := os.ReadFile("../sample/invoice.pdf")
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
