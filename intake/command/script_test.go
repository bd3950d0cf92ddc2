package command

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/rogpeppe/go-internal/testscript"

	"extend-intake/dev/fakeextend"
	"extend-intake/dev/stack"
	"extend-intake/shared/document"
	"extend-intake/shared/ledger"
)

// The scripts of testdata/script run `intake` as a process of its own, on the real template
// on a local AWS. What a file becomes is in its name:
//
//	fail-CORRUPT_FILE-….pdf   the run fails for that reason
//	hang-….pdf                the run never ends
//	lost-….pdf                the POST makes no run and has no answer: UNCONFIRMED
//
// Besides testscript's own commands there are
//
//	upload KEY [TEXT]         upload a file; $ID is its document from then on
//	await ID STATE…           wait until the document is in one of the states
//	exits CODE intake …       run it, and compare the exit status
//	queue MESSAGE             send a message to the upload queue
//	dead NUMBER               wait until so many messages are in its dead-letter queue
//	item FILE                 put an item of DynamoDB JSON into the table
//	stdin, stdout, stderr, cmp … of testscript; $BUCKET, $TABLE, $DEAD_LETTERS are the stack's
var startOnce = sync.OnceValues(func() (*stack.Stack, error) {
	return stack.Start(context.Background(), stack.Options{
		Say: stack.SayTo(os.Stderr),
		Parameters: map[string]string{
			"RequestsPerSecond": "1000", "FilesPerMinute": "60000", "ReconcileAfterSeconds": "600", "StalledAfterSeconds": "1", "MaxAttempts": "1",
		},
		Fake: fakeextend.Options{
			Fault: func(c fakeextend.Call) fakeextend.Fault {
				name, reason := c.FileName, ""
				if c.Route != fakeextend.RouteCreate {
					return fakeextend.Fault{}
				}
				if rest, ok := strings.CutPrefix(name, "fail-"); ok {
					reason, _, _ = strings.Cut(rest, "-")
					return fakeextend.Fault{Fate: fakeextend.Fate{End: fakeextend.EndFailed, FailureReason: reason, FailureMessage: "The file could not be opened."}}
				}
				if strings.HasPrefix(name, "lost-") {
					return fakeextend.Fault{Status: 500, HTML: "<h1>Bad gateway</h1>"}
				}
				return fakeextend.Fault{}
			},
			Processing: func(r fakeextend.RunInfo) time.Duration {
				if strings.HasPrefix(r.FileName, "hang-") {
					return 24 * time.Hour
				}
				return 0
			},
		},
	})
})

// started is the stack, once a test has asked for it.
var started *stack.Stack

// suite starts nothing by itself, and stops the stack after the tests.
type suite struct{ m *testing.M }

func (s suite) Run() int {
	code := s.m.Run()
	if started != nil {
		var failed error
		if code != 0 {
			failed = errors.New("there were failures")
		}
		if err := started.Stop(failed); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
	return code
}

func TestMain(m *testing.M) {
	testscript.Main(suite{m}, map[string]func(){
		"intake": func() { os.Exit(int(Main(context.Background(), Terminal(), os.Args[1:]))) },
	})
}

var startMu sync.Mutex

func theStack(t *testing.T) *stack.Stack {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: deploys the template to a local AWS")
	}
	startMu.Lock()
	defer startMu.Unlock()
	s, err := startOnce()
	if err != nil {
		t.Fatal(err)
	}
	started = s
	return s
}

var update = flag.Bool("update", false, "write the golden files anew")

func TestScripts(t *testing.T) {
	t.Parallel()
	s := theStack(t)
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Setup: func(env *testscript.Env) error {
			env.Vars = append(env.Vars, scriptEnv(s)...)
			return nil
		},
		Cmds: scriptCommands(s),
	})
}

// scriptEnv is the environment of a script: the stack's, and nothing of a real account.
func scriptEnv(s *stack.Stack) []string {
	return append(s.Exports(), "TZ=UTC", "AWS_EC2_METADATA_DISABLED=true", "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null",
		"BUCKET="+s.Outputs["UploadBucketName"], "TABLE="+s.Outputs["DocumentsTableName"], "DEAD_LETTERS="+s.Outputs["DeadLetterQueueUrl"])
}

func scriptCommands(s *stack.Stack) map[string]func(ts *testscript.TestScript, neg bool, args []string) {
	return map[string]func(ts *testscript.TestScript, neg bool, args []string){
		"upload": func(ts *testscript.TestScript, _ bool, args []string) {
			if len(args) == 0 {
				ts.Fatalf("usage: upload KEY [TEXT]")
			}
			content := strings.Join(args, " ") // each key has a content of its own
			key, err := url.PathUnescape(args[0])
			ts.Check(err)
			src, err := put(context.Background(), s, key, []byte(content))
			ts.Check(err)
			ts.Setenv("ID", src.DocumentID())
		},
		"await": func(ts *testscript.TestScript, _ bool, args []string) {
			if len(args) < 2 {
				ts.Fatalf("usage: await ID STATE…")
			}
			ts.Check(await(context.Background(), s, args[0], args[1:]))
		},
		"exits": func(ts *testscript.TestScript, _ bool, args []string) {
			if len(args) < 2 {
				ts.Fatalf("usage: exits CODE command…")
			}
			err := ts.Exec(args[1], args[2:]...)
			code := "0"
			if status, ok := errors.AsType[interface {
				error
				ExitCode() int
			}](err); ok {
				code = fmt.Sprint(status.ExitCode())
			} else if err != nil {
				ts.Fatalf("%v", err)
			}
			if code != args[0] || strings.Contains(ts.ReadFile("stderr"), "a bug of intake") {
				ts.Fatalf("exit status %s, want %s", code, args[0])
			}
		},
		"queue": func(ts *testscript.TestScript, _ bool, args []string) {
			if len(args) != 1 {
				ts.Fatalf("usage: queue MESSAGE")
			}
			_, err := s.SQS.SendMessage(context.Background(), &sqs.SendMessageInput{QueueUrl: aws.String(s.Outputs["UploadQueueUrl"]), MessageBody: &args[0]})
			ts.Check(err)
		},
		"dead": func(ts *testscript.TestScript, _ bool, args []string) {
			if len(args) != 1 {
				ts.Fatalf("usage: dead NUMBER")
			}
			ts.Check(awaitDead(context.Background(), s, args[0]))
		},
		"item": func(ts *testscript.TestScript, _ bool, args []string) {
			ts.Check(putItem(s, ts.ReadFile(args[0])))
		},
	}
}

func put(ctx context.Context, s *stack.Stack, key string, content []byte) (document.Source, error) {
	bucket := s.Outputs["UploadBucketName"]
	out, err := s.S3.PutObject(ctx, &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: bytes.NewReader(content)})
	if err != nil {
		return document.Source{}, err
	}
	return document.Source{Bucket: bucket, Key: key, VersionID: aws.ToString(out.VersionId), ETag: strings.Trim(aws.ToString(out.ETag), `"`), Size: int64(len(content))}, nil
}

func await(ctx context.Context, s *stack.Stack, id string, states []string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for tick := time.NewTicker(50 * time.Millisecond); ; {
		rec, err := s.Ledger.Get(ctx, id)
		if err == nil {
			for _, state := range states {
				if string(rec.State) == state {
					return nil
				}
			}
			err = fmt.Errorf("it is %s", rec.State)
		} else if !errors.Is(err, ledger.ErrNotFound) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s is not %s in time: %w", id, strings.Join(states, " or "), err)
		case <-tick.C:
		}
	}
}

func awaitDead(ctx context.Context, s *stack.Stack, want string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for tick := time.NewTicker(50 * time.Millisecond); ; {
		const name = sqstypes.QueueAttributeNameApproximateNumberOfMessages
		out, err := s.SQS.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: aws.String(s.Outputs["DeadLetterQueueUrl"]), AttributeNames: []sqstypes.QueueAttributeName{name}})
		if err == nil && out.Attributes[string(name)] == want {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("there are not %s dead letters in time: %v, %w", want, out, errors.Join(err, ctx.Err()))
		case <-tick.C:
		}
	}
}

// putItem puts an item in DynamoDB's JSON, such as {"documentId": {"S": "doc_…"}}, into the table.
func putItem(s *stack.Stack, item string) error {
	var parsed json.RawMessage
	if err := json.Unmarshal([]byte(item), &parsed); err != nil {
		return err
	}
	return dynamoCall(s, "PutItem", fmt.Sprintf(`{"TableName": %q, "Item": %s}`, s.Outputs["DocumentsTableName"], parsed))
}
