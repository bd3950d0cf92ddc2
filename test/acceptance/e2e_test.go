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
	"maps"
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
	"extend-intake/shared/extend/webhook"
	"extend-intake/shared/ledger"
)

// These tests use one stack: template.yaml, built and deployed by SAM to a local AWS.
// Each has uploads of its own; what holds for all of them together, TestMain checks
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
		},
		Fake: fakeextend.Options{
			Output: testOutput, MaxFileBytes: maxTestFile, WebhookSchedule: []time.Duration{time.Second, time.Second},
			Fault: fault, DeliveryFault: loseWebhooks,
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

// checkAll holds what the fake saw against what must never happen.
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
// and, for one file, more than an item of DynamoDB holds.
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
		t.Fatalf("%s: the upload bucket keeps no versions", key)
	}
	return document.Source{Bucket: bucket, Key: key, VersionID: aws.ToString(out.VersionId), ETag: strings.Trim(*out.ETag, `"`), Size: int64(len(content))}
}

// stuck says that something was waited for in vain: the rest then waits less long.
var stuck atomic.Bool

// eventually waits until a condition holds.
func (s *deployment) eventually(t *testing.T, what string, condition func() (bool, error)) {
	t.Helper()
	patience := 2 * time.Minute // longer than a lease
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
		t.Fatalf("waited in vain for this: %s (%v)", what, err)
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
	table := s.Outputs["DocumentsTableName"]
	out, err := s.DB.GetItem(t.Context(), &dynamodb.GetItemInput{
		TableName: &table, ConsistentRead: aws.Bool(true),
		Key: map[string]types.AttributeValue{"documentId": &types.AttributeValueMemberS{Value: src.DocumentID()}},
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

func TestUploads(t *testing.T) {
	t.Parallel()
	s := theStack(t)
	for _, key := range []string{
		"invoice.pdf",
		"an invoice 42.pdf",
		"inbox/2026 11/a+b +.pdf",
		"100%.pdf",
		"a%2Bb.pdf",
		"a%20b%.pdf",
		"Zürich/Übersicht – 納品書 🧾.pdf",
		"no-extension",
		"brackets [1] (2) {3} & = ; : , @ $ ' ! ~.pdf",
		"..two dots//and slashes/x.tar.gz",
	} {
		t.Run(key, func(t *testing.T) {
			t.Parallel()
			content := []byte("%PDF-1.4 " + key)
			src := s.put(t, key, content)
			rec := s.ended(t, src, ledger.Processed)
			if rec.Key != key || rec.VersionID != src.VersionID || rec.Size != src.Size || rec.Attempt != 1 || rec.Revision != 1 || len(rec.Runs) != 0 {
				t.Errorf("record = %+v", rec)
			}
			output, err := s.Ledger.Output(t.Context(), rec.DocumentID)
			if err != nil {
				t.Fatal(err)
			}
			var got struct {
				Value struct {
					SHA256 string `json:"sha256"`
					Exact  struct {
						BigInteger  json.Number `json:"big_integer"`
						BeyondFloat json.Number `json:"beyond_float"`
					} `json:"exact"`
				} `json:"value"`
			}
			if err := json.Unmarshal(output, &got); err != nil {
				t.Fatal(err)
			}
			if got.Value.SHA256 != hexSum(content) {
				t.Errorf("sha256 = %s, want that of the uploaded bytes, %s", got.Value.SHA256, hexSum(content))
			}
			if got.Value.Exact.BigInteger != "12345678901234567890" || got.Value.Exact.BeyondFloat != "9007199254740993" {
				t.Errorf("numbers lost digits: %+v", got.Value.Exact)
			}
			runs := s.runs(src)
			if len(runs) != 1 || runs[0].ID != rec.RunID || runs[0].Fetches != 1 {
				t.Errorf("runs = %+v, want one, fetched once", runs)
			}
		})
	}
}

func TestFolderMarkerIsNoDocument(t *testing.T) {
	t.Parallel()
	s := theStack(t)
	marker := s.put(t, "a folder/", nil)
	after := s.put(t, "a folder/file.pdf", []byte("%PDF-1.4 in a folder"))
	s.ended(t, after, ledger.Processed)
	s.drained(t)
	if item := s.item(t, marker); len(item) != 0 {
		t.Errorf("the table has an item of it: %v", item)
	}
	if runs := s.runs(marker); len(runs) != 0 {
		t.Errorf("there were runs of it: %+v", runs)
	}
}

func TestVersionsAreDocuments(t *testing.T) {
	t.Parallel()
	s := theStack(t)
	first := s.put(t, "versions.pdf", []byte("%PDF-1.4 first"))
	second := s.put(t, "versions.pdf", []byte("%PDF-1.4 second"))
	for src, content := range map[document.Source]string{first: "%PDF-1.4 first", second: "%PDF-1.4 second"} {
		rec := s.ended(t, src, ledger.Processed)
		if run, ok := s.Fake.Run(rec.RunID); !ok || run.FetchedSHA256 != hexSum([]byte(content)) {
			t.Errorf("version %s: run %+v, want %q fetched", src.VersionID, run, content)
		}
	}
	newest, err := s.Ledger.Newest(t.Context(), first.Object())
	if err != nil {
		t.Fatal(err)
	}
	if newest.VersionID != second.VersionID {
		t.Errorf("the newest version is %s, want the second upload, %s", newest.VersionID, second.VersionID)
	}
}

// notice is the message that S3 sends about an upload.
// https://docs.AWS.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
func notice(src document.Source) string {
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

func TestSameUploadAgain(t *testing.T) {
	t.Parallel()
	s := theStack(t)
	src := s.put(t, "told more than once.pdf", []byte("%PDF-1.4 more than once"))
	for range 5 { // while the first notice is under way
		s.send(t, notice(src))
	}
	s.ended(t, src, ledger.Processed)
	s.drained(t)
	before := s.item(t, src)
	s.send(t, notice(src)) // and long after
	s.drained(t)
	if diff := diffItems(before, s.item(t, src)); diff != "" {
		t.Errorf("a repeated notice changed the record (-before +after):\n%s", diff)
	}
	if runs := s.runs(src); len(runs) != 1 {
		t.Errorf("%d runs, want 1: each is paid", len(runs))
	}
}

func TestSameDeliveryAgain(t *testing.T) {
	t.Parallel()
	s := theStack(t)
	src := s.put(t, "delivered more than once.pdf", []byte("%PDF-1.4 delivered more than once"))
	rec := s.ended(t, src, ledger.Processed)
	before := s.item(t, src)
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			status, err := s.Fake.Redeliver(t.Context(), rec.RunID)
			if status != http.StatusOK || err != nil {
				t.Errorf("answer %d, %v, want 200: Extend would send it again", status, err)
			}
		})
	}
	wg.Wait()
	if diff := diffItems(before, s.item(t, src)); diff != "" {
		t.Errorf("a repeated delivery changed the record (-before +after):\n%s", diff)
	}
}

func TestDeliveriesThatAreNotBelieved(t *testing.T) {
	t.Parallel()
	s := theStack(t)
	src := s.put(t, "forged.pdf", []byte("%PDF-1.4 to be forged"))
	rec := s.ended(t, src, ledger.Processed)
	before := s.item(t, src)
	// What Extend would send of this run, with another content.
	delivery := func() fakeextend.Try {
		run, _ := s.Fake.Run(rec.RunID)
		return run.Deliveries[0].Tries[0]
	}
	s.eventually(t, "the delivery is noted", func() (bool, error) {
		run, _ := s.Fake.Run(rec.RunID)
		return len(run.Deliveries) == 1 && len(run.Deliveries[0].Tries) > 0, nil
	})
	forged := bytes.ReplaceAll(delivery().Body, []byte(hexSum([]byte("%PDF-1.4 to be forged"))), []byte(hexSum(nil)))
	if bytes.Equal(forged, delivery().Body) {
		t.Fatal("the delivery does not have the content that this test forges")
	}
	now := time.Now()
	for _, c := range []struct {
		name   string
		header http.Header
		body   []byte
		want   int
	}{
		{"no signature", http.Header{}, forged, 401},
		{"the signature of another body", delivery().Header, forged, 401},
		{"signed with another secret", webhook.Sign("wss_another", now, forged), forged, 401},
		{"signed with no secret", webhook.Sign("", now, forged), forged, 401},
		{"signed five minutes ago", webhook.Sign(s.WebhookSecret, now.Add(-301*time.Second), forged), forged, 401},
		{"signed in the future", webhook.Sign(s.WebhookSecret, now.Add(2*time.Minute), forged), forged, 401},
		{"signed, empty", webhook.Sign(s.WebhookSecret, now, nil), nil, 400},
		{"signed, not JSON", webhook.Sign(s.WebhookSecret, now, []byte("hello")), []byte("hello"), 400},
		{"signed, of an unknown type", webhook.Sign(s.WebhookSecret, now, []byte(`{"eventId":"e","eventType":"x.y","payload":{}}`)), []byte(`{"eventId":"e","eventType":"x.y","payload":{}}`), 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, answer := s.deliver(t, c.header, c.body)
			if status != c.want {
				t.Errorf("answer %d %q, want %d", status, answer, c.want)
			}
			if want := http.StatusText(c.want) + "\n"; answer != want {
				t.Errorf("answer %q, want %q: a stranger learns nothing", answer, want)
			}
			if diff := diffItems(before, s.item(t, src)); diff != "" {
				t.Errorf("the record changed (-before +after):\n%s", diff)
			}
		})
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

func TestWhatIsNoNoticeIsBuried(t *testing.T) {
	t.Parallel()
	s := theStack(t)
	bodies := map[string]bool{
		"hello, queue": true,
		`{"Records":[{"eventSource":"aws:s3","eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"b"},"object":{"key":"%zz","eTag":"e","size":1}}}]}`: true,
	}
	missing := maps.Clone(bodies)
	for body := range bodies {
		s.send(t, body)
	}
	letters := s.Outputs["DeadLetterQueueUrl"]
	s.eventually(t, "all are in the dead-letter queue", func() (bool, error) {
		got, err := s.SQS.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &letters, MaxNumberOfMessages: 10, MessageAttributeNames: []string{"All"}})
		if err != nil {
			return false, err
		}
		for _, m := range got.Messages {
			if !bodies[*m.Body] {
				t.Errorf("this is in the dead-letter queue as well: %s", *m.Body)
			}
			if reason := aws.ToString(m.MessageAttributes["reason"].StringValue); !strings.Contains(reason, "not an upload notice") {
				t.Errorf("%s: reason = %q", *m.Body, reason)
			}
			delete(missing, *m.Body) // it can be there twice: AWS's client sends again what got no answer
			if _, err := s.SQS.DeleteMessage(t.Context(), &sqs.DeleteMessageInput{QueueUrl: &letters, ReceiptHandle: m.ReceiptHandle}); err != nil {
				return false, err
			}
		}
		return len(missing) == 0, fmt.Errorf("%d are missing", len(missing))
	})
}

func TestFileThatExtendRefuses(t *testing.T) {
	t.Parallel()
	s := theStack(t)
	src := s.put(t, "too large.pdf", make([]byte, maxTestFile+1))
	rec := s.ended(t, src, ledger.Failed)
	if rec.FailureReason == "" || rec.Revision != 1 {
		t.Errorf("record = %+v, want the reason", rec)
	}
}

func TestLargeOutputGoesToTheResultsBucket(t *testing.T) {
	t.Parallel()
	s := theStack(t)
	src := s.put(t, "huge.pdf", []byte("%PDF-1.4 huge"))
	rec := s.ended(t, src, ledger.Processed)
	if _, inline := s.item(t, src)["output"]; inline {
		t.Error("it is in the table as well")
	}
	bucket := s.Outputs["ResultsBucketName"]
	key, ok := strings.CutPrefix(rec.OutputLocation, "s3://"+bucket+"/")
	if !ok {
		t.Fatalf("outputLocation = %q, want it in %s", rec.OutputLocation, bucket)
	}
	object, err := s.S3.GetObject(t.Context(), &s3.GetObjectInput{Bucket: &bucket, Key: &key})
	if err != nil {
		t.Fatal(err)
	}
	defer object.Body.Close()
	got, err := io.ReadAll(object.Body)
	if err != nil {
		t.Fatal(err)
	}
	if run, _ := s.Fake.Run(rec.RunID); !bytes.Equal(got, run.Output) {
		t.Errorf("%d bytes are stored, %d were sent; every byte has to be the same", len(got), len(run.Output))
	}
}

func diffItems(a, b map[string]any) string {
	return cmp.Diff(a, b, cmp.Exporter(func(reflect.Type) bool { return true }))
}
