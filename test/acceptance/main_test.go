package acceptance

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/google/go-cmp/cmp"

	"extend-intake/dev/fakeextend"
	"extend-intake/dev/stack"
	"extend-intake/shared/document"
	"extend-intake/shared/ledger"
)

// These tests use one stack: template.yaml, built and deployed by SAM to a local AWS.
// Each has uploads of its own; what must be true of all of them together, TestMain checks
// when they are over.
var startOnce = sync.OnceValues(func() (*deployment, error) {
	s, err := stack.Start(context.Background(), stack.Options{
		Say: stack.SayTo(os.Stderr),
		Parameters: map[string]string{
			"RequestsPerSecond": "1000", "FilesPerMinute": "60000", // nothing here is about the plan's limits
			"ReconcileAfterSeconds": "5",  // what is lost is missed at once
			"LeaseSeconds":          "61", // an upload event that meets a lease comes back when it is over
			"PauseSeconds":          "1",  // an account that is refused is refused once
			"StalledAfterSeconds":   "1",
			"Routes":                `[{"name": "reviewed", "prefix": "reviewed/", "workflow": "workflow_reviewed"}]`,
		},
		Fake: fakeextend.Options{
			Output: testOutput, MaxFileBytes: maxTestFile, WebhookSchedule: []time.Duration{time.Second, time.Second},
			Fault: fault, DeliveryFault: deliveryFault,
			Workflows: []fakeextend.Workflow{{ID: "workflow_reviewed", Versions: []string{"1"}, Processors: []string{stack.ProcessorID}, Rules: []string{"total"}, Review: true, Subscribed: true}},
		},
	})
	return &deployment{s}, err
})

// A deployment is a stack, with what tests do to it and wait for.
type deployment struct{ *stack.Stack }

var used *deployment // set by theStack

func TestMain(m *testing.M) {
	// They wait for other programs, and for minutes to pass, more than they compute.
	if err := flag.Set("test.parallel", "4"); err != nil { // what the command line says comes later, and wins
		panic(err)
	}
	code := m.Run()
	if used != nil {
		if err := checkAll(used); err != nil {
			fmt.Fprintln(os.Stderr, "FAIL: after all tests:", err)
			code = 1
		}
		var err error
		if code != 0 {
			err = errors.New("there were failures")
		}
		if err := used.Stop(err); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
	os.Exit(code)
}

// checkAll checks what must never happen, by what the fake saw and what was logged.
func checkAll(s *deployment) error {
	var errs []error
	paid := make(map[string]int)
	for _, run := range s.Fake.Runs() {
		tag, err := document.ParseTag(run.Metadata)
		if err != nil {
			errs = append(errs, fmt.Errorf("run %s: %w", run.ID, err))
			continue
		}
		if !strings.HasPrefix(run.FileName, twinRun+".") { // that one was made by the test, not by the stack
			paid[document.Token(tag.DocumentID, tag.Attempt)]++
		}
	}
	for token, n := range paid {
		if n != 1 {
			errs = append(errs, fmt.Errorf("%s was paid %d times", token, n))
		}
	}
	for _, r := range s.Fake.Refused() {
		errs = append(errs, fmt.Errorf("Extend refused %s %s with %d: %s", r.Method, r.Path, r.Status, r.Reason))
	}
	for name := range s.Fake.UnknownFields() {
		errs = append(errs, fmt.Errorf("Extend was sent the unknown field %q", name))
	}
	lines, err := s.logLines(context.Background())
	if err != nil {
		errs = append(errs, err)
	}
	return errors.Join(append(errs, checkLog(lines))...)
}

var startMu sync.Mutex

func theStack(t *testing.T) *deployment {
	t.Helper()
	if testing.Short() {
		t.Skip("deploys the template to a local AWS")
	}
	startMu.Lock()
	defer startMu.Unlock()
	s, err := startOnce()
	if err != nil {
		t.Fatal(err)
	}
	used = s
	return s
}

const maxTestFile = 1 << 20

// testOutput is what the fake Extend reads from a file: proof of what it fetched
// and, for one file, more than fits into an item of DynamoDB.
func testOutput(info fakeextend.RunInfo) json.RawMessage {
	if name, _, ok := strings.Cut(info.FileName, "."); ok && corpus[name] != "" {
		return json.RawMessage(corpus[name])
	}
	ballast := ""
	if strings.HasPrefix(info.FileName, "huge") {
		ballast = strings.Repeat("ballast ", 100_000)
	}
	value, err := json.Marshal(map[string]any{
		"sha256": info.FetchedSHA256, "ballast": ballast, "exact": json.RawMessage(fakeextend.Exact),
	})
	if err != nil {
		panic(err)
	}
	return fmt.Appendf(nil, `{"value": %s, "metadata": {}}`, value)
}

// put uploads a file whose content is its own.
func (s *deployment) put(t *testing.T, key string, content []byte) document.Source {
	t.Helper()
	bucket := s.Outputs["UploadBucketName"]
	out, err := s.S3.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: bytes.NewReader(content)})
	if err != nil {
		t.Fatal(err)
	}
	if aws.ToString(out.VersionId) == "" && bucket != theirBucket {
		t.Fatalf("%s: the upload bucket is not versioned", key)
	}
	return document.Source{Bucket: bucket, Key: key, VersionID: aws.ToString(out.VersionId), ETag: strings.Trim(*out.ETag, `"`), Size: int64(len(content))}
}

// stuck is set when something did not happen in time. The other tests then wait less.
var stuck atomic.Bool

// eventually waits until a condition is true.
func (s *deployment) eventually(t *testing.T, what string, condition func() (bool, error)) {
	t.Helper()
	patience := 4 * time.Minute // longer than a lease, on a busy machine too
	if stuck.Load() {
		patience = 5 * time.Second
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	var err error
	for {
		var ok bool
		if ok, err = condition(); ok {
			return
		}
		select {
		case <-tick.C:
			if !strings.Contains(stack.Tail(s.AWS.Log, 20), "exited during init") {
				continue
			}
			err = errors.Join(err, errors.New("a function does not start"))
		case <-ctx.Done():
		}
		stuck.Store(true)
		t.Logf("the last lines of the local AWS:\n%s", stack.Tail(s.AWS.Log, 20))
		for _, function := range stack.Functions {
			lines, err := s.FunctionLogs(context.WithoutCancel(ctx), function, 20)
			t.Logf("the last lines of %s (%v):\n%s", function, err, strings.Join(lines, "\n"))
		}
		t.Fatalf("this did not happen in time: %s (%v)", what, err)
	}
}

// ended waits until a document is in this state.
func (s *deployment) ended(t *testing.T, src document.Source, state ledger.State) *ledger.Record {
	t.Helper()
	var rec *ledger.Record
	s.eventually(t, src.Key+" is "+string(state), func() (bool, error) {
		var err error
		rec, err = s.Ledger.Get(t.Context(), src.DocumentID())
		if err == nil && rec.State != state {
			err = fmt.Errorf("it is %s", rec.State)
		}
		return err == nil, err
	})
	return rec
}

// drained waits until the upload queue is empty: nothing waits, and nothing is in work.
func (s *deployment) drained(t *testing.T) {
	t.Helper()
	url := s.Outputs["UploadQueueUrl"]
	s.eventually(t, "the upload queue is empty", func() (bool, error) {
		q, err := s.SQS.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: []sqstypes.QueueAttributeName{sqstypes.QueueAttributeNameAll}})
		if err != nil {
			return false, err
		}
		waiting, inWork := q.Attributes["ApproximateNumberOfMessages"], q.Attributes["ApproximateNumberOfMessagesNotVisible"]
		return waiting == "0" && inWork == "0", fmt.Errorf("%s wait, %s are in work", waiting, inWork)
	})
}

// runs are the runs that were made of a document.
func (s *deployment) runs(src document.Source) []fakeextend.RunInfo {
	return slices.DeleteFunc(s.Fake.Runs(), func(run fakeextend.RunInfo) bool {
		tag, err := document.ParseTag(run.Metadata)
		return err != nil || tag.DocumentID != src.DocumentID()
	})
}

// item is a document's item as the table has it, every attribute of it.
func (s *deployment) item(t *testing.T, src document.Source) map[string]any {
	t.Helper()
	return s.itemOf(t, src.DocumentID())
}

func (s *deployment) itemOf(t *testing.T, id string) map[string]any {
	t.Helper()
	table := s.Outputs["DocumentsTableName"]
	out, err := s.DB.GetItem(t.Context(), &dynamodb.GetItemInput{
		TableName: &table, ConsistentRead: aws.Bool(true),
		Key: map[string]types.AttributeValue{"documentId": &types.AttributeValueMemberS{Value: id}},
	})
	if err != nil {
		t.Fatal(err)
	}
	item := make(map[string]any)
	for name, value := range out.Item {
		item[name] = value
	}
	return item
}

func hexSum(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// uploadEvent is the message that S3 sends about an upload.
// https://docs.AWS.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
func uploadEvent(src document.Source) string {
	return fmt.Sprintf(`{"Records":[{"eventVersion":"2.1","eventSource":"aws:s3","awsRegion":"us-east-1","eventTime":"2026-11-24T02:00:00.000Z",
		"eventName":"ObjectCreated:Put","userIdentity":{"principalId":"EXAMPLE"},"requestParameters":{"sourceIPAddress":"127.0.0.1"},
		"s3":{"s3SchemaVersion":"1.0","configurationId":"x","bucket":{"name":%q,"arn":"arn:aws:s3:::%[1]s"},
		"object":{"key":%q,"size":%d,"eTag":%q,"versionId":%q,"sequencer":"0055AED6DCD90281E5"}}}]}`,
		src.Bucket, url.QueryEscape(src.Key), src.Size, src.ETag, src.VersionID)
}

func (s *deployment) send(t *testing.T, body string) {
	t.Helper()
	if _, err := s.SQS.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: aws.String(s.Outputs["UploadQueueUrl"]), MessageBody: &body}); err != nil {
		t.Fatal(err)
	}
}

func (s *deployment) deliver(t *testing.T, header http.Header, body []byte) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.WebhookURL, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header.Clone()
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(answer)
}

func diffItems(a, b map[string]any) string {
	return cmp.Diff(a, b, cmp.Exporter(func(reflect.Type) bool { return true }))
}
