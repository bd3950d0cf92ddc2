package acceptance

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"extend-intake/dev/fakeextend"
	"extend-intake/dev/stack"
	"extend-intake/dev/stack/emulator"
	"extend-intake/shared/document"
	"extend-intake/shared/ledger"
	"extend-intake/shared/metric"
)

// The stack on an existing bucket that is closed to the outside, with a KMS key and
// several kinds of documents. The other tests use one with a bucket of its own.
// The bucket is not versioned: MiniStack's events by EventBridge don't name versions.
const (
	theirBucket = "their-documents"
	variantOf   = `[{"name": "invoices", "pattern": "in/{customer}/**.pdf", "processor": "dp_invoices", "version": "2.1", "priority": 20, "usageTags": ["finance", "customer-{customer}"]},
		{"name": "contracts", "prefix": "contracts/", "processor": "dp_not_yet"}]`
)

func TestStackOnABucketThatIsThere(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("deploys the template to a local AWS")
	}
	var before *s3.GetBucketNotificationConfigurationOutput
	notifications := func(ctx context.Context, s *stack.Stack) (*s3.GetBucketNotificationConfigurationOutput, error) {
		return s.S3.GetBucketNotificationConfiguration(ctx, &s3.GetBucketNotificationConfigurationInput{Bucket: aws.String(theirBucket)})
	}
	parameters := map[string]string{
		"ExistingBucketName": theirBucket, "Transfer": "upload", "Routes": variantOf, "ProcessorId": "",
		"RequestsPerSecond": "1000", "FilesPerMinute": "60000",
		"EventBusName": "default", "Tracing": "Active", "CreditsPerHour": "1000", "MakeDashboard": "false", "SubmitConcurrency": "4",
		"AlarmTopicArn": "arn:aws:sns:us-east-1:000000000000:on-call",
	}
	started, err := stack.Start(t.Context(), stack.Options{
		Say:        func(what, detail string) { t.Log(what, detail) },
		Parameters: parameters,
		Fake: fakeextend.Options{MaxFileBytes: 16 << 20, Processors: []fakeextend.Processor{
			{ID: "dp_invoices", Type: fakeextend.Extract, Versions: []string{"2.0", "2.1"}, Subscribed: true},
		}},
		Before: func(ctx context.Context, s *stack.Stack) (err error) {
			if _, err = s.S3.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String(theirBucket)}); err != nil {
				return err
			}
			if _, err = s.S3.PutBucketNotificationConfiguration(ctx, &s3.PutBucketNotificationConfigurationInput{Bucket: aws.String(theirBucket),
				NotificationConfiguration: &s3types.NotificationConfiguration{EventBridgeConfiguration: &s3types.EventBridgeConfiguration{}}}); err != nil {
				return err
			}
			if before, err = notifications(ctx, s); err != nil {
				return err
			}
			parameters["KmsKeyArn"], err = makeKey(ctx, s.AWS.URL)
			parameters["ExistingBucketKeyArn"] = parameters["KmsKeyArn"]
			return err
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	s := &deployment{started}
	defer func() {
		var err error
		if t.Failed() {
			err = fmt.Errorf("%s failed", t.Name())
		}
		if err := s.Stop(err); err != nil {
			t.Log(err)
		}
	}()
	after, err := notifications(t.Context(), started)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, after, cmpopts.IgnoreFields(s3.GetBucketNotificationConfigurationOutput{}, "ResultMetadata"), cmp.Exporter(func(reflect.Type) bool { return true })); diff != "" || after.EventBridgeConfiguration == nil {
		t.Errorf("the bucket's notifications were touched:\n%s", diff)
	}
	if got := s.Outputs["UploadBucketName"]; got != theirBucket {
		t.Errorf("output UploadBucketName is %s", got)
	}

	content := bytes.Repeat([]byte("%PDF-1.4 sent, not fetched "), 400_000) // 10 MB
	invoice := s.put(t, "in/Müller & Söhne/2026/Rechnung 7+1.pdf", content)
	contract := s.put(t, "contracts/a.pdf", []byte("%PDF-1.4 of a processor that is not there"))
	nobodys := s.put(t, "elsewhere/a.pdf", []byte("%PDF-1.4 of no route"))

	rec := s.ended(t, invoice, ledger.Processed)
	runs := s.runs(invoice)
	if len(runs) != 1 || runs[0].FileID == "" || runs[0].Fetches != 0 || runs[0].FetchedSHA256 != hexSum(content) || !strings.HasPrefix(runs[0].FileName, strings.TrimSuffix(invoice.FileName(1, ""), ".pdf")+"-") {
		t.Fatalf("%+v: want one run of the file's bytes as they were sent", runs)
	}
	if runs[0].ProcessorID != "dp_invoices" || runs[0].Version != "2.1" || runs[0].Priority != 20 || rec.Route != "invoices" {
		t.Errorf("processor %s %s, priority %d, route %s", runs[0].ProcessorID, runs[0].Version, runs[0].Priority, rec.Route)
	}
	var tag struct {
		Usage []string `json:"extend:usage_tags"`
	}
	if err := json.Unmarshal(runs[0].Metadata, &tag); err != nil {
		t.Fatal(err)
	}
	if want := []string{stack.Name, "invoices", "finance", "customer-MllerShne"}; !slices.Equal(tag.Usage, want) {
		t.Errorf("usage tags %q, want %q", tag.Usage, want)
	}

	// A route to a processor that is not there, until it is and the document is reprocessed.
	if rec := s.ended(t, contract, ledger.Refused); rec.FailureReason != "NOT_FOUND" || rec.FailureMessage != "Processor not found." {
		t.Errorf("%s %q, want Extend's own words", rec.FailureReason, rec.FailureMessage)
	}
	if err := s.Fake.AddProcessor(fakeextend.Processor{ID: "dp_not_yet", Type: fakeextend.Extract, Subscribed: true}); err != nil {
		t.Fatal(err)
	}
	s.send(t, document.ReprocessMessage(document.Reprocess{DocumentID: contract.DocumentID(), Attempt: 2}))
	if rec := s.ended(t, contract, ledger.Processed); rec.Attempt != 2 || rec.Revision != 2 {
		t.Errorf("attempt %d, revision %d", rec.Attempt, rec.Revision)
	}
	if item := s.item(t, nobodys); len(item) != 0 {
		t.Errorf("what no route takes is in the table: %v", item)
	}
	s.eventually(t, "what no route takes is counted", func() (bool, error) {
		n := s.counted(t)[metric.NotRouted.Name]
		return n >= 1, fmt.Errorf("%g times", n)
	})

	// What can't be meant stops the deployment and is named, and the stack works on.
	for _, c := range []struct {
		name       string
		parameters map[string]string
		want       []string
	}{
		// The first and the last are stopped before anything is made, the other by Configuration.
		{"two buckets", map[string]string{"UploadBucketName": "ours"}, []string{"ExistingBucketName", "UploadBucketName"}},
		{"overlapping routes, and no lease that is long enough", map[string]string{
			"Routes":       `[{"name": "a", "prefix": "in/", "processor": "dp_invoices"}, {"name": "b", "suffix": ".pdf", "processor": "dp_invoices"}]`,
			"LeaseSeconds": "100",
		}, []string{`"a"`, `"b"`, "LeaseSecondsis100"}},
		{"a rate of zero", map[string]string{"FilesPerMinute": "0"}, []string{"FilesPerMinute"}},
	} {
		all := maps.Clone(parameters)
		maps.Copy(all, c.parameters)
		err := s.Update(t.Context(), all)
		log, _ := os.ReadFile(filepath.Join(s.Dir, "deploy.log"))
		output := strings.Join(strings.Fields(string(log)), "") // sam breaks lines within words
		if err == nil {
			t.Errorf("%s: it was deployed", c.name)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(output, want) {
				t.Errorf("%s: sam's output does not name %s:\n%s", c.name, want, log)
			}
		}
	}
	later := s.put(t, "in/b/after all that.pdf", []byte("%PDF-1.4 after all that"))
	s.ended(t, later, ledger.Processed)

	// From their bucket to one of its own, with another key, for a gateway.
	parameters["PreviousKmsKeyArn"] = parameters["KmsKeyArn"]
	if parameters["KmsKeyArn"], err = makeKey(t.Context(), s.AWS.URL); err != nil {
		t.Fatal(err)
	}
	parameters["MinFileBytes"] = "64"
	parameters["ExistingBucketName"], parameters["ExistingBucketKeyArn"], parameters["UploadBucketName"] = "", "", "ours"
	if err := s.Update(t.Context(), parameters); err != nil {
		t.Fatal(err)
	}
	s.Outputs["UploadBucketName"] = "ours"
	own := s.put(t, "in/c/in its own bucket.pdf", []byte("%PDF-1.4 in its own bucket, and of as many bytes as MinFileBytes wants"))
	s.ended(t, own, ledger.Processed)
	placeholder, written, copied := s.putAsGateway(t, "in/gateway/scan.pdf")
	s.checkReadOnce(t, written, copied)
	if rec := s.ended(t, placeholder, ledger.Refused); rec.FailureReason != "TOO_SMALL" || len(s.runs(placeholder)) != 0 {
		t.Errorf("the placeholder is %+v, with %d runs; want none", rec, len(s.runs(placeholder)))
	}
	if err := checkAll(s); err == nil || strings.Count(err.Error(), "\n") > 0 || !strings.HasSuffix(err.Error(), "Processor not found.") {
		t.Errorf("%v; want only that one refusal", err)
	}
}

// makeKey makes a KMS key. One call is not worth one more SDK package.
func makeKey(ctx context.Context, awsURL string) (arn string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, awsURL, strings.NewReader("{}"))
	if err != nil {
		return "", err
	}
	req.Header.Set("X-Amz-Target", "TrentService.CreateKey")
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	resp, err := emulator.Client("kms").Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	var made struct{ KeyMetadata struct{ Arn string } }
	if err := json.Unmarshal(answer, &made); err != nil || made.KeyMetadata.Arn == "" {
		return "", fmt.Errorf("make a key: %d %s", resp.StatusCode, answer)
	}
	return made.KeyMetadata.Arn, nil
}
