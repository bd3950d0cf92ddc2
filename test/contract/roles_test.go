package contract

import (
	"debug/elf"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What each role allows, all of it: a condition, the actions, and on what. The test
// compares it with the template, and its actions with what the code calls.
var allowed = map[string][]string{
	"SubmitFunction": {
		"s3:GetObject s3:GetObjectVersion on ${UploadBucket.Arn}/${KeyPrefix}* if MakesBucket, else arn:${AWS::Partition}:s3:::${ExistingBucketName}/${KeyPrefix}* if ReadsByPrefix, else " +
			"${UploadBucket.Arn}/* if MakesBucket, else arn:${AWS::Partition}:s3:::${ExistingBucketName}/*",
		"s3:ListBucket on UploadBucket.Arn if MakesBucket, else arn:${AWS::Partition}:s3:::${ExistingBucketName}",
		"HasExistingBucketKey: kms:Decrypt on ExistingBucketKeyArn via s3",
		"dynamodb:GetItem dynamodb:PutItem dynamodb:UpdateItem on DocumentsTable.Arn",
		"sqs:ChangeMessageVisibility sqs:DeleteMessage sqs:GetQueueAttributes sqs:ReceiveMessage sqs:SendMessage on UploadQueue.Arn",
		"sqs:SendMessage on DeadLetterQueue.Arn",
		"secretsmanager:GetSecretValue on ExtendSecret TagSecret",
		"HasKey: kms:Decrypt kms:GenerateDataKey on KmsKeyArn via dynamodb s3 secretsmanager sqs",
		"HasPreviousKey: kms:Decrypt on PreviousKmsKeyArn",
		"logs:CreateLogStream logs:PutLogEvents on SubmitLog.Arn",
		"Traces: xray:PutTelemetryRecords xray:PutTraceSegments on *",
	},
	"WebhookFunction": {
		"dynamodb:Query on ${DocumentsTable.Arn}/index/by-run",
		"dynamodb:GetItem dynamodb:PutItem dynamodb:UpdateItem on DocumentsTable.Arn",
		"s3:PutObject on ${ResultsBucket.Arn}/*",
		"sqs:SendMessage on UploadQueue.Arn",
		"secretsmanager:GetSecretValue on ExtendSecret TagSecret",
		"HasKey: kms:Decrypt kms:GenerateDataKey on KmsKeyArn via dynamodb s3 secretsmanager sqs",
		"HasPreviousKey: kms:Decrypt on PreviousKmsKeyArn",
		"logs:CreateLogStream logs:PutLogEvents on WebhookLog.Arn",
		"Traces: xray:PutTelemetryRecords xray:PutTraceSegments on *",
	},
	"ReconcileFunction": {
		"dynamodb:GetItem dynamodb:PutItem dynamodb:UpdateItem on DocumentsTable.Arn",
		"dynamodb:Query on ${DocumentsTable.Arn}/index/by-state",
		"s3:PutObject on ${ResultsBucket.Arn}/*",
		"sqs:SendMessage on UploadQueue.Arn",
		"secretsmanager:GetSecretValue on ExtendSecret TagSecret",
		"HasKey: kms:Decrypt kms:GenerateDataKey on KmsKeyArn via dynamodb s3 secretsmanager sqs",
		"HasPreviousKey: kms:Decrypt on PreviousKmsKeyArn",
		"logs:CreateLogStream logs:PutLogEvents on ReconcileLog.Arn",
		"Traces: xray:PutTelemetryRecords xray:PutTraceSegments on *",
	},
	"PublishFunction": {
		"dynamodb:DescribeStream dynamodb:GetRecords dynamodb:GetShardIterator dynamodb:ListStreams on ${DocumentsTable.Arn}/stream/*",
		"events:DescribeEventBus events:PutEvents on EventBus.Arn if MakesEventBus, else arn:${AWS::Partition}:events:${AWS::Region}:${AWS::AccountId}:event-bus/${EventBusName}",
		"s3:PutObject on ${ResultsBucket.Arn}/announced/*",
		"sqs:SendMessage on AnnouncementsDeadLetterQueue.Arn",
		"HasKey: kms:Decrypt kms:GenerateDataKey on KmsKeyArn via dynamodb s3 sqs",
		"HasPreviousKey: kms:Decrypt on PreviousKmsKeyArn",
		"logs:CreateLogStream logs:PutLogEvents on PublishLog.Arn",
		"Traces: xray:PutTelemetryRecords xray:PutTraceSegments on *",
	},
}

// What Lambda does in the function's name.
// https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
// https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-eventsourcemapping.html
// https://docs.aws.amazon.com/lambda/latest/dg/services-xray.html
var (
	bySource = map[string][]string{
		"SQS":      {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"},
		"DynamoDB": {"dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator", "dynamodb:ListStreams"},
		"HttpApi":  nil, // it calls the function by the function's own policy
		"Schedule": nil,
	}
	always = []string{
		"logs:CreateLogStream", "logs:PutLogEvents",
		"xray:PutTelemetryRecords", "xray:PutTraceSegments",
		"kms:Decrypt", "kms:GenerateDataKey", // S3, SQS, DynamoDB and Secrets Manager use the key for the caller
	}
)

// calls are the actions of IAM that a function's code can need: those of the operations
// of AWS's SDK that the linker, which drops what nothing calls, has left in.
func calls(t *testing.T, function string) map[string]bool {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "bootstrap")
	build := exec.Command("go", "build", "-tags=lambda.norpc", "-o", binary, "./functions/"+function+"/lambda")
	build.Dir = "../.."
	build.Env = append(os.Environ(), "GOOS=linux", "CGO_ENABLED=0", "GOFLAGS=") // GOFLAGS: it may drop the symbols
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	f, err := elf.Open(binary)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	symbols, err := f.Symbols()
	if err != nil {
		t.Fatal(err)
	}
	operation := regexp.MustCompile(`/service/([a-z0-9]+)\.\(\*(?:Client|PresignClient)\)\.([A-Z]\w*)$`)
	actions := make(map[string]bool)
	for _, s := range symbols {
		m := operation.FindStringSubmatch(s.Name)
		if m == nil {
			continue
		}
		switch service, op := m[1], m[2]; service + "." + op {
		case "s3.CreateSession", "dynamodb.DescribeEndpoints":
			// Of the SDK, for directory buckets and for endpoint discovery: neither is in use.
		case "dynamodb.TransactWriteItems": // it needs what its parts need
			actions["dynamodb:PutItem"], actions["dynamodb:UpdateItem"] = true, true
		case "s3.GetObject", "s3.HeadObject", "s3.PresignGetObject": // of a version, where the bucket has them
			actions["s3:GetObject"], actions["s3:GetObjectVersion"] = true, true
			// Without it, S3 answers 403 for what is not there, as for what is forbidden.
			// https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
			if op != "PresignGetObject" {
				actions["s3:ListBucket"] = true
			}
		default:
			if service == "eventbridge" {
				service = "events"
			}
			actions[service+":"+op] = true
		}
	}
	if len(actions) == 0 {
		t.Fatalf("%s seems to call nothing of AWS: this test no longer finds what it looks for", function)
	}
	return actions
}

// Each function may do what its code calls and what Lambda does in its name, to the
// resources that it is for: nothing more, and nothing less.
func TestRolesAllowWhatIsCalled(t *testing.T) {
	t.Parallel()
	tmpl := readTemplate(t)
	for name, r := range tmpl.Resources {
		if r.Type == "AWS::Serverless::Function" && allowed[name] == nil {
			t.Errorf("%s is not known to this test", name)
		}
		if strings.HasPrefix(r.Type, "AWS::IAM::") && r.Type != "AWS::IAM::Role" && r.Type != "AWS::IAM::Policy" || r.Properties.ManagedPolicyArns != nil {
			t.Errorf("%s allows what this test does not read: list it in the role's own policy", name)
		}
	}
	roles := make(map[string]string)
	for name, want := range allowed {
		function := tmpl.Resources[name].Properties
		role, _, _ := strings.Cut(text(function.Role), ".")
		if other := roles[role]; other != "" {
			t.Errorf("%s and %s share the role %s", name, other, role)
		}
		roles[role] = name
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var have []string
			for _, p := range tmpl.Resources[role].Properties.Policies {
				for _, s := range p.PolicyDocument.Statement {
					have = append(have, statement(s))
				}
			}
			for _, r := range tmpl.Resources {
				if r.Type == "AWS::IAM::Policy" && slices.ContainsFunc(r.Properties.Roles, func(v any) bool { return text(v) == role }) {
					for _, s := range r.Properties.PolicyDocument.Statement {
						have = append(have, statement(s))
					}
				}
			}
			want, have := slices.Sorted(slices.Values(want)), slices.Sorted(slices.Values(have))
			if diff := cmp.Diff(want, have); diff != "" {
				t.Errorf("%s: template.yaml is not what this test lists (-listed +template). Make both say what is meant:\n%s", role, diff)
			}

			needed := calls(t, strings.ToLower(strings.TrimSuffix(name, "Function")))
			for _, action := range always {
				needed[action] = true
			}
			for _, e := range function.Events {
				actions, ok := bySource[e.Type]
				if !ok {
					t.Errorf("what Lambda does for an event source %s is not known to this test", e.Type)
				}
				for _, action := range actions {
					needed[action] = true
				}
				if e.Properties.DestinationConfig.OnFailure.Type == "SQS" {
					needed["sqs:SendMessage"] = true
				}
			}
			given := make(map[string]bool)
			for _, line := range have {
				for _, action := range regexp.MustCompile(`[a-z0-9]+:[A-Z*]\w*\*?`).FindAllString(strings.SplitN(line, " on ", 2)[0], -1) {
					given[action] = true
				}
			}
			for _, action := range slices.Sorted(maps.Keys(needed)) {
				if !given[action] {
					t.Errorf("%s calls %s, which %s does not allow: it will be denied. Allow it in template.yaml, on the one resource", name, action, role)
				}
			}
			for _, action := range slices.Sorted(maps.Keys(given)) {
				if !needed[action] {
					t.Errorf("%s allows %s, which nothing in %s calls: remove it from template.yaml", role, action, name)
				}
			}
		})
	}
}

// statement is one of a policy, on one line.
func statement(s map[string]any) string {
	if choice, ok := s["!If"].([]any); ok {
		if text(choice[2]) != "AWS::NoValue" {
			return fmt.Sprintf("a statement with an alternative, which this test can't read: %v", s)
		}
		return text(choice[0]) + ": " + statement(choice[1].(map[string]any))
	}
	condition, _ := s["Condition"].(map[string]any)
	equals, _ := condition["StringEquals"].(map[string]any)
	if s["Effect"] != "Allow" || len(condition) != len(equals) || len(equals) > 0 && equals["kms:ViaService"] == nil {
		return fmt.Sprintf("a statement that this test can't read: %v", s)
	}
	words := func(v any) string {
		var all []string
		for _, w := range list(v) {
			all = append(all, text(w))
		}
		slices.Sort(all)
		return strings.Join(all, " ")
	}
	line := words(s["Action"]) + " on " + words(s["Resource"])
	if via := equals["kms:ViaService"]; via != nil {
		line += " via " + strings.ReplaceAll(words(via), ".${AWS::Region}.${AWS::URLSuffix}", "")
	}
	return line
}

// text is a value of the template as a person says it.
func text(v any) string {
	object, ok := v.(map[string]any)
	if !ok {
		return fmt.Sprint(v)
	}
	if choice, ok := object["!If"].([]any); ok {
		return fmt.Sprintf("%s if %s, else %s", text(choice[1]), choice[0], text(choice[2]))
	}
	for _, inner := range object { // !Ref, !GetAtt, !Sub
		return text(inner)
	}
	return ""
}
