// Command run runs the real template on a local AWS, with the fake of Extend:
//
//	go run ./dev/run              one file, from upload to stored output
//	go run ./dev/run --file your.pdf
//	go run ./dev/run --stay       stay, and print what happens to uploads; with EXTEND_API_KEY
//	                              and PROCESSOR in the environment, with the real Extend
//
// Nothing leaves the machine but what is sent to a real account, and nothing is left on
// it but the tools in .tools/ and, after a failure, logs in .local/.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"extend-intake/dev/stack"
	"extend-intake/dev/stack/emulator"
	"extend-intake/shared/document"
	"extend-intake/shared/ledger"
)

// patience is how long an upload may take before explain is called.
const patience = 2 * time.Minute

func main() { os.Exit(stack.Main("run", command)) }

func command(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("run", flag.ContinueOnError)
	flags.Usage = func() {
		fmt.Fprint(flags.Output(), `usage: go run ./dev/run [--file FILE]          one file, from upload to stored output
       go run ./dev/run --stay [--file FILE]   stay, and print what happens to uploads, until Ctrl-C

With EXTEND_API_KEY and PROCESSOR in the environment, --stay uses the real Extend: each
file costs credits. EXTEND_BASE_URL names another region, EXTEND_WORKSPACE_ID the
workspace of an organization's key.

`)
		flags.PrintDefaults()
	}
	stay := flags.Bool("stay", false, "stay until Ctrl-C")
	path := flags.String("file", os.Getenv("FILE"), "the `file` to upload (or FILE in the environment)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q: see --help", flags.Arg(0))
	}
	var paid *stack.Account
	if *stay {
		var err error
		if paid, err = realAccount(os.Getenv); err != nil {
			return err
		}
	} else if *path == "" {
		root, err := emulator.Root()
		if err != nil {
			return err
		}
		*path = filepath.Join(root, "dev", "sample", "invoice.pdf")
	}
	_ = os.Unsetenv("EXTEND_API_KEY") // what installs tools, builds and deploys has no use for it
	var upload *os.File
	if *path != "" {
		var err error
		if upload, err = openUpload(*path); err != nil {
			return err
		}
		defer upload.Close()
	}
	if !*stay {
		return run(ctx, out, upload)
	}
	err := up(ctx, out, upload, paid)
	if errors.Is(err, stack.ErrStopped) { // by Ctrl-C, which is how it is meant to end
		fmt.Fprintln(out, "stopped, nothing is left running")
		return nil
	}
	return err
}

// openUpload finds everything that is wrong with a file before anything is started.
func openUpload(path string) (*os.File, error) {
	info, err := os.Stat(path) // #nosec G703 -- the user of this command names a file of their own
	switch {
	case err != nil:
		return nil, fmt.Errorf("FILE: %w", err)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("FILE: %s is not a file", path)
	case info.Size() == 0:
		return nil, fmt.Errorf("FILE: %s is empty", path)
	case !utf8.ValidString(filepath.Base(path)):
		return nil, fmt.Errorf("FILE: the name %q is not UTF-8, and S3 takes no other", filepath.Base(path))
	}
	f, err := os.Open(path) // #nosec G304 G703 -- as above
	if err != nil {
		return nil, fmt.Errorf("FILE: %w", err)
	}
	return f, nil
}

func run(ctx context.Context, out io.Writer, file *os.File) (err error) {
	s, err := stack.Start(ctx, stack.Options{Say: stack.SayTo(out), Fake: stack.SmallestPlan()})
	if err != nil {
		return err
	}
	defer func() { err = s.Stop(err) }()
	return travel(ctx, s, out, file)
}

// travel uploads a file, prints what happens to it, and shows what is stored.
func travel(ctx context.Context, s *stack.Stack, out io.Writer, file *os.File) error {
	fmt.Fprintf(out, "\n%12s\n", "after upload")
	start := time.Now()
	w := newWatcher(s, out, func(t time.Time) string { return fmt.Sprintf("%d ms", t.Sub(start).Milliseconds()) }, false)
	src, sum, err := put(ctx, s, file, func() { start = time.Now() })
	if err != nil {
		return err
	}
	w.line("S3", fmt.Sprintf("%s uploaded, %s", src.Object(), size(src.Size)))

	limited, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("no result after %s", patience))
	defer cancel()
	var rec *ledger.Record
	if err := w.until(limited, func() (bool, error) {
		var err error
		rec, err = w.record(limited, src.DocumentID())
		// Stored a moment before the delivery is answered: wait for that as well.
		return rec != nil && rec.State.Terminal() && (rec.RunID == "" || w.delivered[rec.DocumentID]), err
	}); err != nil {
		if ctx.Err() == nil {
			explain(ctx, s, out, src)
		}
		return err
	}

	fmt.Fprintf(out, "\nWhat table %s holds:\n\n", s.Outputs["DocumentsTableName"])
	output, err := s.Ledger.Output(ctx, rec.DocumentID)
	if err != nil {
		return err
	}
	showRecord(out, rec, output)
	if rec.State != ledger.Processed {
		return fmt.Errorf("the document ended as %s", rec.State)
	}
	var proof struct {
		Value struct {
			SHA256 string `json:"sha256"`
		} `json:"value"`
	}
	if err := json.Unmarshal(output, &proof); err != nil || proof.Value.SHA256 != sum {
		return fmt.Errorf("the stored output is not that of the uploaded file: its SHA-256 is %q, the file's %s", proof.Value.SHA256, sum)
	}
	fmt.Fprintf(out, "\nThe stored SHA-256 is that of %s: these are the bytes that Extend fetched.\n", s.Relative(file.Name()))
	fmt.Fprintln(out, "The values are the fake's, made up: it reports what it fetched, and can't read documents.")
	return nil
}

// put puts a file into the upload bucket, and says what it became and its SHA-256.
func put(ctx context.Context, s *stack.Stack, file *os.File, begins func()) (document.Source, string, error) {
	hash := sha256.New()
	n, err := io.Copy(hash, file)
	if err != nil {
		return document.Source{}, "", err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return document.Source{}, "", err
	}
	bucket, key := s.Outputs["UploadBucketName"], filepath.Base(file.Name())
	begins()
	put, err := s.S3.PutObject(ctx, &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: file})
	if err != nil {
		return document.Source{}, "", fmt.Errorf("upload %s: %w", key, err)
	}
	return document.Source{
		Bucket: bucket, Key: key, Size: n, VersionID: aws.ToString(put.VersionId), ETag: strings.Trim(aws.ToString(put.ETag), `"`),
	}, hex.EncodeToString(hash.Sum(nil)), nil
}

// explain prints what is known about an upload that did not end in time.
func explain(ctx context.Context, s *stack.Stack, out io.Writer, src document.Source) {
	fmt.Fprintf(out, "\nNo result for %s.\n\n", src.Object())
	switch rec, err := s.Ledger.Get(ctx, src.DocumentID()); {
	case errors.Is(err, ledger.ErrNotFound):
		fmt.Fprintln(out, "The table has no record of it: submit has not claimed it.")
	case err != nil:
		fmt.Fprintln(out, "The table:", err)
	default:
		showRecord(out, rec, nil)
	}
	for _, name := range []string{"UploadQueueUrl", "DeadLetterQueueUrl"} {
		url := s.Outputs[name]
		q, err := s.SQS.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: []sqstypes.QueueAttributeName{sqstypes.QueueAttributeNameAll}})
		if err != nil {
			fmt.Fprintf(out, "%s: %v\n", name, err)
			continue
		}
		fmt.Fprintf(out, "%s: %s waiting, %s in work\n", name, q.Attributes["ApproximateNumberOfMessages"], q.Attributes["ApproximateNumberOfMessagesNotVisible"])
	}
	for _, function := range stack.Functions {
		lines, err := s.FunctionLogs(ctx, function, 15)
		switch {
		case err != nil:
			lines = []string{err.Error()}
		case len(lines) == 0:
			lines = []string{"(none)"}
		}
		fmt.Fprintf(out, "\nThe last lines of %s:\n  %s\n", function, strings.Join(lines, "\n  "))
	}
	fmt.Fprintf(out, "\nThe last lines of the local AWS:\n%s", stack.Tail(s.AWS.Log, 15))
}

func up(ctx context.Context, out io.Writer, file *os.File, paid *stack.Account) (err error) {
	if paid != nil {
		if err := checkAccount(ctx, paid); err != nil {
			return err
		}
	}
	s, err := stack.Start(ctx, stack.Options{Say: stack.SayTo(out), Fake: stack.SmallestPlan(), Account: paid})
	if err != nil {
		return err
	}
	defer func() { err = s.Stop(err) }()
	bucket := s.Outputs["UploadBucketName"]
	fmt.Fprintf(out, `
Upload, from anywhere on this machine:
  curl -T your.pdf --user %s:%s --aws-sigv4 aws:amz:%s:s3 -H x-amz-content-sha256:UNSIGNED-PAYLOAD %s/%s/
(nobody is answered without this run's access key; curl 7.75 or newer can sign with it)

With intake (make intake) or the AWS command line, after this:
  export %s
  aws s3 cp your.pdf s3://%s/
  bin/intake status
  bin/intake ls
  bin/intake logs -f
(uploads wait in %s; Extend is %s)

What happens is printed here, until Ctrl-C.

`, emulator.Key.ID, emulator.Key.Secret, emulator.Region, s.AWS.URL, bucket, strings.Join(s.Exports(), " "), bucket,
		s.Outputs["UploadQueueUrl"], s.ExtendURL)

	w := newWatcher(s, out, func(t time.Time) string { return t.Format("15:04:05.000") }, true)
	if file != nil {
		src, _, err := put(ctx, s, file, func() {})
		if err != nil {
			return err
		}
		w.line("S3", fmt.Sprintf("%s uploaded, %s", src.Object(), size(src.Size)))
	}
	var printed time.Time
	return w.until(ctx, func() (bool, error) {
		if paid == nil || time.Since(printed) < time.Second {
			return false, nil
		}
		printed = time.Now()
		if err := w.printChanges(ctx, out); err != nil && ctx.Err() == nil {
			w.line("table", err.Error()) // no reason to end what was paid for
		}
		return false, nil
	})
}
