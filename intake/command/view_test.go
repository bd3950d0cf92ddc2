package command

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"extend-intake/intake/exit"
)

// TestViewOfARealStack opens the page of the real template on a local AWS. The package view
// tests the page itself.
func TestViewOfARealStack(t *testing.T) {
	s := theStack(t)
	cache := t.TempDir()
	vars := map[string]string{"XDG_CACHE_HOME": cache}
	for _, v := range scriptEnv(s) {
		name, value, _ := strings.Cut(v, "=")
		vars[name] = value
	}
	for name, value := range vars {
		t.Setenv(name, value)
	}
	invoice, err := os.ReadFile(filepath.Join("..", "..", "dev", "sample", "invoice.pdf"))
	if err != nil {
		t.Fatal(err)
	}
	upload := func(key string, content []byte, state string) (id, version string) {
		t.Helper()
		src, err := put(t.Context(), s, key, content)
		if err != nil {
			t.Fatal(err)
		}
		if err := await(t.Context(), s, src.DocumentID(), []string{state}); err != nil {
			t.Fatal(err)
		}
		return src.DocumentID(), src.VersionID
	}
	read, _ := upload("view/an odd\nname.pdf", invoice, "PROCESSED")
	gone, version := upload("view/gone.pdf", []byte("soon deleted"), "PROCESSED")
	failed, _ := upload("view/fail-CORRUPT_FILE-b.pdf", []byte("of no use"), "FAILED")
	bucket := s.Outputs["UploadBucketName"]
	if _, err := s.S3.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: &bucket, Key: aws.String("view/gone.pdf"), VersionId: &version}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.SQS.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: aws.String(s.Outputs["AnnouncementsDeadLetterQueueUrl"]), MessageBody: aws.String("{}"),
		MessageAttributes: map[string]sqstypes.MessageAttributeValue{"reason": {DataType: aws.String("String"), StringValue: aws.String("put here by a test")}}}); err != nil {
		t.Fatal(err)
	}

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	out, in := io.Pipe()
	ended := make(chan exit.Code, 1)
	go func() {
		ended <- Main(ctx, &Env{
			Stdin: strings.NewReader(""), Stdout: in, Stderr: t.Output(), Now: time.Now, Location: time.UTC, Dir: t.TempDir(), Getenv: func(name string) string { return vars[name] },
		}, []string{"view", read, "--no-browser", "--write"})
		_ = in.Close()
	}()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	address := strings.TrimSpace(line)
	base := strings.TrimSuffix(address, "/documents/"+read)
	if base == address {
		t.Fatalf("the address %q is not that of the document %s", address, read)
	}
	ask := func(method, path string, form url.Values) string {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, base+path, strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		if form != nil {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		if err != nil || answer.StatusCode != http.StatusOK {
			t.Fatalf("%s %s: status %d, %v\n%s", method, path, answer.StatusCode, err, body)
		}
		return string(body)
	}
	for _, test := range []struct{ path, says string }{
		{"/documents/" + read, ">12345678901234567890<"},
		{"/documents/" + read, "page <b data-at>1</b> of 2"},
		{"/documents/" + read + "/pages/2?w=600", "\x89PNG"},
		{"/documents/" + read + "/output.json", `"big_integer":12345678901234567890`},
		{"/documents/" + read + "/original", "%PDF-1.4"},
		{"/documents/" + read + "?tab=history", read + ".1"},
		{"/documents/" + gone, "no longer in its bucket"},
		{"/documents/" + failed, "CORRUPT_FILE: The file could not be opened."},
		{"/documents?prefix=view/", "gone.pdf"},
		{"/documents?prefix=view/&state=FAILED", failed},
		{"/documents?reason=CORRUPT_FILE", failed},
		{"/documents.csv?prefix=s3://" + bucket + "/view/", read + ",PROCESSED,"},
		{"/dead-letters?look=1", "put here by a test"},
		{"/", "Upload queue"},
	} {
		if body := ask("GET", test.path, nil); !strings.Contains(body, test.says) {
			t.Errorf("%s does not say %q:\n%s", test.path, test.says, body)
		}
	}
	if body := ask("GET", "/documents?prefix=view/&state=FAILED", nil); strings.Contains(body, read) {
		t.Error("the filter lets pass what it should not")
	}
	if body := ask("POST", "/reprocess", url.Values{"id": {failed}, "confirm": {"yes"}}); !strings.Contains(body, "1 document sent") {
		t.Errorf("it was not sent:\n%s", body)
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(time.Minute)
	for attempt := 1; attempt != 2; {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatal("no second attempt in a minute")
		}
		rec, err := s.Ledger.Get(t.Context(), failed)
		if err != nil {
			t.Fatal(err)
		}
		attempt = rec.Attempt
	}
	stop()
	if code := <-ended; code != exit.Done {
		t.Errorf("it ended with %d", code)
	}
	if left, err := os.ReadDir(filepath.Join(cache, "extend-intake", "documents")); err != nil || len(left) != 0 {
		t.Errorf("copies of documents are left: %v, %v", left, err)
	}
}
