package acceptance

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	bustypes "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"extend-intake/dev/fakeextend"
	"extend-intake/dev/stack"
	"extend-intake/dev/stack/emulator"
)

// make verify and make delete, as somebody with an account calls them.
func TestVerifyAndDelete(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("deploys the template to a local AWS")
	}
	started, err := stack.Start(t.Context(), stack.Options{
		Say:        func(what, detail string) { t.Log(what, detail) },
		Parameters: map[string]string{"KeyPrefix": "in/", "KeySuffix": ".pdf"},
		Fake:       fakeextend.Options{},
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
	run := func(want bool, args ...string) string {
		t.Helper()
		err := s.Run(t.Context(), "deployed.log", "make", append(args, "--no-print-directory", "STACK="+stack.Name, "INTERVAL=100ms", "SETTLE=0s")...)
		log, _ := os.ReadFile(filepath.Join(s.Dir, "deployed.log"))
		if (err == nil) != want {
			t.Fatalf("make %v: %v, want success %v\n%s", args, err, want, log)
		}
		t.Logf("make %v\n%s", args, log)
		return string(log)
	}
	says := func(output string, want ...string) {
		t.Helper()
		for _, w := range want {
			if !strings.Contains(output, w) {
				t.Errorf("%q is not in:\n%s", w, output)
			}
		}
	}

	says(run(true, "verify", "URL="+s.WebhookURL), "ok  webhook", "ok  upload", "ok  output", "ok  event", "removed: ")
	s.leftNothing(t)
	// Something else that answers there, which believes everything.
	says(run(false, "verify", "URL="+s.AWS.URL+"/_ministack/health"), "want 401")

	// Somebody's own file is neither read nor removed.
	theirs := s.put(t, "in/theirs.pdf", []byte("theirs"))
	says(run(false, "verify", "URL="+s.WebhookURL, "KEY="+theirs.Key), "is there already, and is left as it is", "removed: ")
	if head, err := s.S3.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: &theirs.Bucket, Key: &theirs.Key}); err != nil || aws.ToString(head.VersionId) != theirs.VersionID {
		t.Errorf("their object: %v, %+v", err, head)
	}
	says(run(false, "verify", "KEY=out/a.pdf"), `KeyPrefix is "in/"`)

	// A consumer is in the way, by name.
	bus := eventbridge.NewFromConfig(emulator.AWSConfig(s.AWS.URL))
	busName := s.Outputs["EventBusName"]
	if _, err := bus.PutRule(t.Context(), &eventbridge.PutRuleInput{Name: aws.String("theirs"), EventBusName: &busName, EventPattern: aws.String(`{"source":["extend-intake"]}`)}); err != nil {
		t.Fatal(err)
	}
	if _, err := bus.PutTargets(t.Context(), &eventbridge.PutTargetsInput{Rule: aws.String("theirs"), EventBusName: &busName,
		Targets: []bustypes.Target{{Id: aws.String("a"), Arn: aws.String("arn:aws:sqs:us-east-1:000000000000:their-queue")}}}); err != nil {
		t.Fatal(err)
	}
	says(run(false, "delete", "YES=1"), "rule theirs, to arn:aws:sqs:us-east-1:000000000000:their-queue", "first")
	if _, err := bus.RemoveTargets(t.Context(), &eventbridge.RemoveTargetsInput{Rule: aws.String("theirs"), EventBusName: &busName, Ids: []string{"a"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := bus.DeleteRule(t.Context(), &eventbridge.DeleteRuleInput{Name: aws.String("theirs"), EventBusName: &busName}); err != nil {
		t.Fatal(err)
	}

	// What would be lost is named.
	s.send(t, "this is no upload event")
	s.eventually(t, "the message is a dead letter", func() (bool, error) {
		q, err := s.SQS.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: aws.String(s.Outputs["DeadLetterQueueUrl"]), AttributeNames: []sqstypes.QueueAttributeName{sqstypes.QueueAttributeNameAll}})
		return err == nil && q.Attributes["ApproximateNumberOfMessages"] == "1", err
	})
	says(run(false, "delete", "YES=1"), "1 uploads", "DeadLetterQueue: ", "dead letters would be lost", "DISCARD=1")
	says(run(true, "delete", "DRY=1"), "table    "+s.Outputs["DocumentsTableName"], "bucket   "+s.Outputs["ResultsBucketName"], "bucket   "+s.Outputs["UploadBucketName"],
		"secret ", "No rules of consumers", "Nothing was done")
	// Nobody is there to be asked.
	says(run(false, "delete", "DISCARD=no", "YES=1"), "DISCARD is 'no': it can only be 1")
	says(run(false, "delete", "DISCARD=1", "YES=0"), "YES is '0': it can only be 1")
	says(run(false, "delete", "DISCARD=1", "YES=1", "ENV=staging"), "STACK and ENV are both given")
	says(run(false, "delete", "DISCARD=1"), "YES=1 deletes without asking")

	says(run(true, "delete", "DISCARD=1", "YES=1"), "deleted in", "--no-deletion-protection-enabled")
	if _, err := cloudformation.NewFromConfig(emulator.AWSConfig(s.AWS.URL)).DescribeStacks(t.Context(), &cloudformation.DescribeStacksInput{StackName: aws.String(stack.Name)}); err == nil {
		t.Error("the stack is still there")
	}
	if _, err := s.DB.DescribeTable(t.Context(), &dynamodb.DescribeTableInput{TableName: aws.String(s.Outputs["DocumentsTableName"])}); err != nil {
		t.Errorf("the table is gone: %v", err)
	}
	for _, bucket := range []string{"UploadBucketName", "ResultsBucketName"} {
		if _, err := s.S3.HeadBucket(t.Context(), &s3.HeadBucketInput{Bucket: aws.String(s.Outputs[bucket])}); err != nil {
			t.Errorf("the bucket %s is gone: %v", bucket, err)
		}
	}
	says(run(false, "delete", "YES=1"), stack.Name)
	s.deployPackage(t)
}

// deployPackage deploys what make package makes, with nothing else of this repository, and
// looks at what its functions say of themselves.
func (s *deployment) deployPackage(t *testing.T) {
	t.Helper()
	const name = "packaged"
	dir := s.Relative(s.Dir)
	if err := s.Run(t.Context(), "package.log", "make", "--no-print-directory", "package", "BUILT="+dir+"/built", "DIST="+dir+"/dist", "PLATFORMS=", "OVERRIDES=Architecture="+stack.Architecture()); err != nil {
		t.Fatal(err)
	}
	packages, err := filepath.Glob(filepath.Join(s.Dir, "dist", "extend-intake-*-"+stack.Architecture()+".zip"))
	if err != nil || len(packages) != 1 {
		t.Fatalf("%v, packages %v", err, packages)
	}
	version, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(packages[0]), "extend-intake-"), "-")
	unpacked := t.TempDir()
	if err := s.Run(t.Context(), "unzip.log", filepath.Join(s.Root, ".tools/sam/bin/python"), "-m", "zipfile", "-e", packages[0], unpacked); err != nil {
		t.Fatal(err)
	}
	template := filepath.Join(unpacked, strings.TrimSuffix(filepath.Base(packages[0]), ".zip"), "template.yaml")
	if _, err := stack.Adapt(template, "2"); err != nil {
		t.Fatal(err)
	}
	if err := s.Run(t.Context(), "packaged.log", filepath.Join(s.Root, ".tools/sam/bin/sam"), "deploy", "--template-file", template, "--stack-name", name, "--resolve-s3",
		"--capabilities", "CAPABILITY_IAM", "--no-confirm-changeset", "--no-progressbar", "--tags", "extend-intake-version="+version, "--parameter-overrides", "ProcessorId=dp_packaged"); err != nil {
		t.Fatal(err)
	}
	found, err := cloudformation.NewFromConfig(emulator.AWSConfig(s.AWS.URL)).DescribeStacks(t.Context(), &cloudformation.DescribeStacksInput{StackName: aws.String(name)})
	if err != nil {
		t.Fatal(err)
	}
	if tags := found.Stacks[0].Tags; len(tags) != 1 || aws.ToString(tags[0].Value) != version {
		t.Errorf("the stack's tags are %v, want the version %s", tags, version)
	}
	// Configuration has started submit.
	s.eventually(t, "submit logs its version", func() (bool, error) {
		lines, err := s.Logs(t.Context(), "/aws/lambda/"+name+"/submit", 100)
		text := strings.Join(lines, "\n")
		return strings.Contains(text, `"message":"cold start"`) && strings.Contains(text, `"version":"`+version+`"`), errors.Join(err, errors.New(text))
	})
}

// leftNothing checks that nothing of make verify is left.
func (s *deployment) leftNothing(t *testing.T) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	items, err := s.DB.Scan(ctx, &dynamodb.ScanInput{TableName: aws.String(s.Outputs["DocumentsTableName"])})
	if err != nil || len(items.Items) != 0 {
		t.Errorf("%v, items %v", err, items)
	}
	for _, bucket := range []string{"UploadBucketName", "ResultsBucketName"} {
		versions, err := s.S3.ListObjectVersions(ctx, &s3.ListObjectVersionsInput{Bucket: aws.String(s.Outputs[bucket])})
		if err != nil || len(versions.Versions)+len(versions.DeleteMarkers) != 0 {
			t.Errorf("%s: %v, %v", bucket, err, versions)
		}
	}
	queues, err := s.SQS.ListQueues(ctx, &sqs.ListQueuesInput{QueueNamePrefix: aws.String("extend-intake-verify")})
	if err != nil || len(queues.QueueUrls) != 0 {
		t.Errorf("%v, queues %v", err, queues)
	}
	rules, err := eventbridge.NewFromConfig(emulator.AWSConfig(s.AWS.URL)).ListRules(ctx, &eventbridge.ListRulesInput{EventBusName: aws.String(s.Outputs["EventBusName"])})
	if err != nil || len(rules.Rules) != 0 {
		t.Errorf("%v, rules %v", err, rules)
	}
}
