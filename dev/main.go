// Command local runs the real template on a local AWS, with a fake Extend:
//
//	go run ./dev run                  one file, from upload to stored output
//	go run ./dev run --file your.pdf
//	go run ./dev up                   stay, and tell what happens to uploads; with EXTEND_API_KEY
//	                                    and PROCESSOR in the environment, of a real account at Extend
//	dev/invoke.sh [EVENT…]            events of events/ through the real `sam local`
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
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"extend-intake/dev/emulator"
	"extend-intake/dev/fakeextend"
	"extend-intake/shared/document"
	"extend-intake/shared/ledger"
)

// patience is how long an upload may take to its end before we ask what is wrong.
const patience = 2 * time.Minute

// errStopped is why everything ends when somebody wants it to.
var errStopped = errors.New("stopped")

func main() {
	ctx, stop := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	// Not given back after the first: an impatient second Ctrl-C must not cut the cleaning up short.
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		<-signals
		stop(errStopped)
	}()
	go func() {
		// `go run` takes a SIGTERM for itself and leaves us behind. Then we are done as well.
		for parent := os.Getppid(); os.Getppid() == parent; time.Sleep(500 * time.Millisecond) {
		}
		stop(errStopped)
	}()
	switch err := command(ctx, os.Args[1:], os.Stdout); {
	case err == nil || errors.Is(err, flag.ErrHelp):
	case errors.Is(err, errStopped):
		fmt.Fprintln(os.Stderr, "stopped, nothing is left running")
		os.Exit(130)
	default:
		fmt.Fprintln(os.Stderr, "local:", err)
		os.Exit(1)
	}
}

func command(ctx context.Context, args []string, out io.Writer) error {
	usage := errors.New("usage: go run ./dev run|up [--file FILE]")
	if len(args) == 0 {
		return usage
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	image := flags.String("image", "", "for invoke, what containers are made of instead of Lambda's `image`")
	path := flags.String("file", os.Getenv("FILE"), "the `file` to upload (or FILE in the environment)")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	switch {
	case args[0] == "invoke": // by dev/invoke.sh, which finds the engine and the image
		return invoke(ctx, out, *image, flags.Args())
	case flags.NArg() > 0:
		return usage
	case args[0] == "run" && *path == "":
		root, err := emulator.Root()
		if err != nil {
			return err
		}
		*path = filepath.Join(root, "dev", "sample", "invoice.pdf")
	case args[0] != "run" && args[0] != "up":
		return usage
	}
	var paid *account
	if args[0] == "up" {
		var err error
		if paid, err = realAccount(os.Getenv); err != nil {
			return err
		}
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
	if args[0] == "up" {
		return up(ctx, out, upload, paid)
	}
	return run(ctx, out, upload)
}

// openUpload finds everything that is wrong with a file before anything is started.
func openUpload(path string) (*os.File, error) {
	info, err := os.Stat(path) // #nosec G703 -- whoever runs this names a file of their own
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

// begin sets up a stack, and tells each step and when it was reached.
func begin(ctx context.Context, out io.Writer, parameters map[string]string, paid *account) (*stack, error) {
	start := time.Now()
	return startStack(ctx, stackOptions{
		say: func(what, detail string) {
			fmt.Fprintf(out, "[%5.1f s]   %-16s   %s\n", time.Since(start).Seconds(), what, detail)
		},
		parameters: parameters, account: paid,
		fake: fakeextend.Options{
			Processing: fakeextend.Fixed(time.Second), // so that there is something to see
			// The smallest plan, as the template's defaults.
			RequestsPerSecond: 10, FilesPerMinute: 80, RetryAfter: fakeextend.RetryAfterSeconds,
		},
	})
}

func run(ctx context.Context, out io.Writer, file *os.File) (err error) {
	s, err := begin(ctx, out, nil, nil)
	if err != nil {
		return err
	}
	defer func() {
		s.stop()
		err = s.leave(err)
	}()
	return s.travel(ctx, out, file)
}

// travel uploads a file, tells what happens to it, and shows what is stored.
func (s *stack) travel(ctx context.Context, out io.Writer, file *os.File) error {
	fmt.Fprintf(out, "\n%12s\n", "after upload")
	start := time.Now()
	w := newWatcher(s, out, func(t time.Time) string { return fmt.Sprintf("%d ms", t.Sub(start).Milliseconds()) }, false)
	src, sum, err := s.upload(ctx, file, func() { start = time.Now() })
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
			s.explain(ctx, out, src)
		}
		return err
	}

	fmt.Fprintf(out, "\nWhat table %s holds:\n\n", s.outputs["DocumentsTableName"])
	output, err := s.ledger.Output(ctx, rec.DocumentID)
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
	fmt.Fprintf(out, "\nThe stored SHA-256 is that of %s: these are the bytes that Extend fetched.\n", s.relative(file.Name()))
	fmt.Fprintln(out, "The values are the fake's, made up: it tells what it fetched, and can't read documents.")
	return nil
}

// upload puts a file into the upload bucket, and says what it became and its SHA-256.
func (s *stack) upload(ctx context.Context, file *os.File, begins func()) (document.Source, string, error) {
	hash := sha256.New()
	n, err := io.Copy(hash, file)
	if err != nil {
		return document.Source{}, "", err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return document.Source{}, "", err
	}
	bucket, key := s.outputs["UploadBucketName"], filepath.Base(file.Name())
	begins()
	put, err := s.s3.PutObject(ctx, &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: file})
	if err != nil {
		return document.Source{}, "", fmt.Errorf("upload %s: %w", key, err)
	}
	return document.Source{
		Bucket: bucket, Key: key, Size: n, VersionID: aws.ToString(put.VersionId), ETag: strings.Trim(aws.ToString(put.ETag), `"`),
	}, hex.EncodeToString(hash.Sum(nil)), nil
}

// explain tells what there is to know about an upload that came to no end.
func (s *stack) explain(ctx context.Context, out io.Writer, src document.Source) {
	fmt.Fprintf(out, "\nNo result for %s.\n\n", src.Object())
	switch rec, err := s.ledger.Get(ctx, src.DocumentID()); {
	case errors.Is(err, ledger.ErrNotFound):
		fmt.Fprintln(out, "The table has no record of it: submit has not claimed it.")
	case err != nil:
		fmt.Fprintln(out, "The table:", err)
	default:
		showRecord(out, rec, nil)
	}
	for _, name := range []string{"UploadQueueUrl", "DeadLetterQueueUrl"} {
		url := s.outputs[name]
		q, err := s.sqs.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: []sqstypes.QueueAttributeName{sqstypes.QueueAttributeNameAll}})
		if err != nil {
			fmt.Fprintf(out, "%s: %v\n", name, err)
			continue
		}
		fmt.Fprintf(out, "%s: %s waiting, %s in work\n", name, q.Attributes["ApproximateNumberOfMessages"], q.Attributes["ApproximateNumberOfMessagesNotVisible"])
	}
	for _, function := range functions {
		lines, err := s.functionLogs(ctx, function, 15)
		switch {
		case err != nil:
			lines = []string{err.Error()}
		case len(lines) == 0:
			lines = []string{"(none)"}
		}
		fmt.Fprintf(out, "\nThe last lines of %s:\n  %s\n", function, strings.Join(lines, "\n  "))
	}
	fmt.Fprintf(out, "\nThe last lines of the local AWS:\n%s", tail(s.aws.Log, 15))
}

func up(ctx context.Context, out io.Writer, file *os.File, paid *account) (err error) {
	if paid != nil {
		if err := paid.check(ctx); err != nil {
			return err
		}
	}
	s, err := begin(ctx, out, nil, paid)
	if err != nil {
		return err
	}
	defer func() {
		s.stop()
		err = s.leave(err)
	}()
	bucket := s.outputs["UploadBucketName"]
	fmt.Fprintf(out, `
Upload, from anywhere on this machine:
  curl -T your.pdf %s/%s/

With the AWS command line, after this:
  export %s
  aws s3 cp your.pdf s3://%s/
  aws dynamodb scan --table-name %s
  aws sqs receive-message --message-attribute-names All --queue-url %s
  aws logs tail /aws/lambda/%s/submit
(uploads wait in %s; Extend is %s)

What happens is told here, until Ctrl-C.

`, s.aws.URL, bucket, strings.Join(emulator.Environ(s.aws.URL)[:5], " "), bucket, s.outputs["DocumentsTableName"],
		s.outputs["DeadLetterQueueUrl"], stackName, s.outputs["UploadQueueUrl"], s.extendURL)

	w := newWatcher(s, out, func(t time.Time) string { return t.Format("15:04:05.000") }, true)
	if file != nil {
		src, _, err := s.upload(ctx, file, func() {})
		if err != nil {
			return err
		}
		w.line("S3", fmt.Sprintf("%s uploaded, %s", src.Object(), size(src.Size)))
	}
	var told time.Time
	return w.until(ctx, func() (bool, error) {
		if paid == nil || time.Since(told) < time.Second {
			return false, nil
		}
		told = time.Now()
		if err := w.tellRecords(ctx, out); err != nil && ctx.Err() == nil {
			w.line("table", err.Error()) // no reason to end what was paid for
		}
		return false, nil
	})
}
