package contract

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"go/types"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// What each of these says is a promise, and a deployment succeeds without it.
func TestTemplateKeepsItsPromises(t *testing.T) {
	t.Parallel()
	resources := readResources(t)
	for _, p := range []struct{ path, want, lost string }{
		{"UploadBucket.Properties.NotificationConfiguration.QueueConfigurations.0.Event", `"s3:ObjectCreated:*"`, "multipart uploads, copies and form posts are not noticed"},
		{"UploadBucket.Properties.VersioningConfiguration.Status", `"Enabled"`, "a run can read another content than the one that was uploaded"},
		{"ExistingBucketRule.Properties.EventPattern.detail-type", `["Object Created"]`, "uploads to an existing bucket are not noticed"},
		{"ExistingBucketRule.Properties.EventPattern.detail.object",
			`{"!If":["HasKeyFilter",{"key":[{"wildcard":{"!Sub":"${KeyPrefix}*${KeySuffix}"}}]},{"!Ref":"AWS::NoValue"}]}`, "each object of a shared bucket costs a message"},
		{"ExistingBucketRule.Properties.Targets.0.DeadLetterConfig.Arn", `{"!GetAtt":"DeadLetterQueue.Arn"}`, "upload events that EventBridge cannot deliver are lost"},

		{"UploadQueuePolicy.Properties.PolicyDocument.Statement.1", `{"Action":"sqs:SendMessage","Condition":{"ArnNotLike":{"aws:PrincipalArn":[{"!GetAtt":"SubmitRole.Arn"},{"!GetAtt":"WebhookRole.Arn"},{"!GetAtt":"ReconcileRole.Arn"},` +
			`{"!If":["HasOperator",{"!Ref":"OperatorArn"},{"!Ref":"AWS::NoValue"}]}]},"Bool":{"aws:PrincipalIsAWSService":"false"}},"Effect":"Deny","Principal":"*","Resource":{"!GetAtt":"UploadQueue.Arn"},"Sid":"OnlyTheseMaySend"}`,
			"whoever may send messages in the account decides what is read and paid for"},
		{"EventBusPolicy.Properties.Statement", `{"Action":"events:PutEvents","Condition":{"ArnNotEquals":{"aws:PrincipalArn":{"!GetAtt":"PublishRole.Arn"}}},"Effect":"Deny","Principal":"*","Resource":{"!GetAtt":"EventBus.Arn"}}`,
			"whoever may put events in the account forges announcements"},
		{"TagSecret.Properties.GenerateSecretString", `{"ExcludePunctuation":"true","GenerateStringKey":"key","PasswordLength":"64","SecretStringTemplate":"{\"otherKeys\":[]}"}`, "another key is made, and runs on their way are not recognized"},

		{"UploadQueue.Properties.MessageRetentionPeriod", `"1209600"`, "uploads vanish while they wait"},
		{"UploadQueue.Properties.RedrivePolicy.deadLetterTargetArn", `{"!GetAtt":"DeadLetterQueue.Arn"}`, "messages that cannot be handled vanish"},
		{"DeadLetterQueue.Properties.MessageRetentionPeriod", `"1209600"`, "dead letters vanish before somebody has looked at them"},
		{"AnnouncementsDeadLetterQueue.Properties.MessageRetentionPeriod", `"1209600"`, "the same"},
		{"SubmitFunction.Properties.RecursiveLoop", `"Allow"`, "Lambda drops messages that go round sixteen times"},
		{"SubmitFunction.Properties.Events.Uploads.Properties.Queue", `{"!GetAtt":"UploadQueue.Arn"}`, "nothing is submitted"},
		{"SubmitFunction.Properties.Events.Uploads.Properties.FunctionResponseTypes", `["ReportBatchItemFailures"]`, "one message that waits brings the whole batch back"},

		{"PublishFunction.Properties.Events.Changes.Properties.Stream", `{"!GetAtt":"DocumentsTable.StreamArn"}`, "nothing is announced"},
		{"PublishFunction.Properties.Events.Changes.Properties.StartingPosition", `"TRIM_HORIZON"`, "what is stored during a deployment is not announced"},
		{"PublishFunction.Properties.Events.Changes.Properties.FunctionResponseTypes", `["ReportBatchItemFailures"]`, "results are announced again and again"},
		{"PublishFunction.Properties.Events.Changes.Properties.BisectBatchOnFunctionError", `"true"`, "one record that crashes the function takes its batch along"},
		{"PublishFunction.Properties.Events.Changes.Properties.MaximumRetryAttempts", `"10000"`, "an outage of minutes sends results to the dead-letter queue"},
		{"PublishFunction.Properties.Events.Changes.Properties.MaximumRecordAgeInSeconds", `"43200"`, "the same, or no time is left for a person"},
		{"PublishFunction.Properties.Events.Changes.Properties.DestinationConfig.OnFailure", `{"Destination":{"!GetAtt":"AnnouncementsDeadLetterQueue.Arn"},"Type":"SQS"}`, "results are lost after an outage"},
		{"PublishFunction.Properties.Events.Changes.Properties.FilterCriteria.Filters",
			`[{"Pattern":"{\"dynamodb\":{\"NewImage\":{\"state\":{\"S\":[{\"anything-but\":[\"WAITING\",\"SUBMITTING\",\"UNCONFIRMED\",\"PROCESSING\",\"SKIPPED\"]}]}}}}"}]`, "results are not announced, or every step costs an invocation"},
		{"DocumentsTable.Properties.StreamSpecification.StreamViewType", `"NEW_AND_OLD_IMAGES"`, "publish cannot tell what has changed"},

		{"DocumentsTable.DeletionPolicy", `"Retain"`, "a removal takes the record of what was paid"},
		{"DocumentsTable.UpdateReplacePolicy", `"Retain"`, "the same, by an update"},
		{"DocumentsTable.Properties.DeletionProtectionEnabled", `"true"`, "one wrong command takes it"},
		{"DocumentsTable.Properties.PointInTimeRecoverySpecification.PointInTimeRecoveryEnabled", `"true"`, "nothing undoes a mistake"},
		{"UploadBucket.DeletionPolicy", `"RetainExceptOnCreate"`, "a removal takes the originals, or a failed first deployment cannot be repeated"},
		{"UploadBucket.UpdateReplacePolicy", `"Retain"`, "an update takes the originals"},
		{"ResultsBucket.DeletionPolicy", `"RetainExceptOnCreate"`, "a removal takes the outputs"},
		{"ResultsBucket.UpdateReplacePolicy", `"Retain"`, "an update takes the outputs"},
		{"Configuration.DeletionPolicy", `"Retain"`, "a function that cannot start blocks the rollback"},
		{"Configuration.UpdateReplacePolicy", `"Retain"`, "the same"},
		{"Configuration.Properties.ServiceTimeout", `"180"`, "a deployment fails if Lambda throttles submit for a minute, or takes an hour to fail"},

		{"ReconcileFunction.Properties.Events.EveryMinute.Properties.Schedule", `"rate(1 minute)"`, "lost webhooks are found later than the docs say"},
		{"ReconcileFunction.Properties.EventInvokeConfig", `{"MaximumEventAgeInSeconds":"60","MaximumRetryAttempts":"0"}`, "hundreds of reconciles run at once after Lambda throttled"},
	} {
		have, err := json.Marshal(at(resources, p.path))
		if err != nil {
			t.Fatal(err)
		}
		if string(have) != p.want {
			t.Errorf("%s is %s, want %s: else %s", p.path, have, p.want, p.lost)
		}
	}
	for name, r := range resources {
		sources, _ := at(r, "Properties.Events").(map[string]any)
		for source, e := range sources {
			if at(e, "Properties.Enabled") != nil || at(e, "Properties.State") != nil {
				t.Errorf("%s of %s says whether it is enabled: it has to be", source, name)
			}
		}
	}
}

// at is what stands at a path of names and indexes, or nil.
func at(v any, path string) any {
	for name := range strings.SplitSeq(path, ".") {
		switch parent := v.(type) {
		case map[string]any:
			v = parent[name]
		case []any:
			i, err := strconv.Atoi(name)
			if err != nil || i >= len(parent) {
				return nil
			}
			v = parent[i]
		default:
			return nil
		}
	}
	return v
}

// Numbers of the template that have to fit those of the code.
func TestNumbersFitTheCode(t *testing.T) {
	t.Parallel()
	tmpl, resources := readTemplate(t), readResources(t)
	number := func(path string) int { t.Helper(); return seconds(t, at(resources, path), 0) }
	span := func(path string) time.Duration { t.Helper(); return time.Duration(number(path)) * time.Second }
	submit := constants(t, "functions/submit")
	value := func(name string) int {
		t.Helper()
		n, ok := submit[name]
		if !ok {
			t.Fatalf("functions/submit has no constant %s: this test has to follow its new name", name)
		}
		return int(n)
	}
	duration := func(name string) time.Duration { t.Helper(); return time.Duration(value(name)) }
	holds := func(ok bool, format string, args ...any) {
		t.Helper()
		if !ok {
			t.Errorf(format, args...)
		}
	}

	// A message that only waits is replaced long before the queue takes it for a poison
	// message, and before the queue forgets it.
	receives, most := value("maxReceives"), number("UploadQueue.Properties.RedrivePolicy.maxReceiveCount")
	holds(most >= 2*receives, "the queue takes a message for poison after %d receives, and submit replaces it after %d: want at least twice as many", most, receives)
	holds(most <= 1000, "SQS takes a maxReceiveCount of 1000 at most, not %d", most)
	retention := span("UploadQueue.Properties.MessageRetentionPeriod")
	longest := duration("maxBackoff") * 3 / 2 // with its jitter
	holds(time.Duration(receives)*longest < retention, "%d receives, each up to %v later, take longer than the queue's %v", receives, longest, retention)
	holds(duration("maxAge")+24*time.Hour < retention, "a message is replaced when it is %v old, and the queue forgets it after %v: want a day between", duration("maxAge"), retention)
	holds(longest < 12*time.Hour, "SQS hides a message for twelve hours at most, not for %v", longest)
	holds(duration("maxBackoff") <= 15*time.Minute, "SQS delays a message by fifteen minutes at most, not by %v", duration("maxBackoff"))
	holds(value("maxErrors") < 16, "a message fails %d times: where the recursion detection is on, Lambda stops it after 16", value("maxErrors"))

	// The alarm about old uploads comes while there is time to do something.
	alarm := span("UploadQueueOld.Properties.Threshold")
	holds(alarm+7*24*time.Hour < retention, "the alarm comes after %v, less than a week before the end of %v", alarm, retention)

	// An invocation ends by itself, with the answer to its POST, and not by Lambda.
	for sends, needs := range []time.Duration{duration("uploadTimeout") + duration("postTimeout"), duration("postTimeout")} {
		timeout := time.Duration(seconds(t, tmpl.Resources["SubmitFunction"].Properties.Timeout, sends)) * time.Second
		holds(timeout >= needs+20*time.Second, "submit is ended after %v, and one document takes up to %v", timeout, needs)
	}
	minute := span("ReconcileFunction.Properties.Timeout")
	holds(minute <= time.Minute, "reconcile may take %v, and the next one starts after a minute", minute)
	holds(span("ReconcileFunction.Properties.EventInvokeConfig.MaximumEventAgeInSeconds") <= time.Minute, "a minute's reconcile may start when the next one has")

	// A person has time before the stream forgets, after 24 hours, and before Lambda gives up.
	age := span("PublishFunction.Properties.Events.Changes.Properties.MaximumRecordAgeInSeconds")
	holds(age <= 12*time.Hour, "records are retried for %v of the stream's 24 hours", age)
	late := time.Duration(number("AnnouncementsLate.Properties.Threshold")) * time.Millisecond
	holds(late*4 < age, "the alarm about late events comes after %v, and they are given up after %v", late, age)

	// AccountPauses stays on from one try to the next, which jitter puts off by up to half.
	pause, err := strconv.Atoi(*tmpl.Parameters["PauseSeconds"].MaxValue)
	if err != nil {
		t.Fatal(err)
	}
	watched := number("AccountPauses.Properties.EvaluationPeriods") * number("AccountPauses.Properties.Period")
	holds(watched >= pause*3/2, "AccountPauses looks at %d s, and the next try can be %d s away", watched, pause*3/2)
	// A stalled document is seen at each of its checks, which are six hours apart at most.
	watched = number("StalledDocuments.Properties.EvaluationPeriods") * number("StalledDocuments.Properties.Period")
	holds(watched > 6*3600, "StalledDocuments looks at %d s, and the next check can be six hours away", watched)
}

// constants are the whole-number constants of a package, exported or not; durations are
// in nanoseconds.
func constants(t *testing.T, dir string) map[string]int64 {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	fset := token.NewFileSet()
	var syntax []*ast.File
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		syntax = append(syntax, file)
	}
	// Only constants are asked for: of what is imported, package time is enough, and what
	// else cannot be resolved does not matter.
	config := types.Config{Importer: onlyTime{}, Error: func(error) {}, IgnoreFuncBodies: true}
	pkg, _ := config.Check(dir, fset, syntax, nil)
	values := make(map[string]int64)
	for _, name := range pkg.Scope().Names() {
		if c, ok := pkg.Scope().Lookup(name).(*types.Const); ok {
			if n, exact := constant.Int64Val(constant.ToInt(c.Val())); exact {
				values[name] = n
			}
		}
	}
	return values
}

// onlyTime imports the constants of package time, and nothing else.
type onlyTime struct{}

func (onlyTime) Import(path string) (*types.Package, error) {
	if path != "time" {
		return nil, fmt.Errorf("%s is not needed", path)
	}
	source := "package time\ntype Duration int64\nconst (\n"
	for name, d := range map[string]time.Duration{
		"Nanosecond": time.Nanosecond, "Microsecond": time.Microsecond, "Millisecond": time.Millisecond,
		"Second": time.Second, "Minute": time.Minute, "Hour": time.Hour,
	} {
		source += fmt.Sprintf("%s Duration = %d\n", name, int64(d))
	}
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, "time.go", source+")\n", 0)
	if err != nil {
		return nil, err
	}
	return (&types.Config{}).Check("time", fset, []*ast.File{file}, nil)
}
