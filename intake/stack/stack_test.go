package stack_test

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"extend-intake/functions/submit"
	"extend-intake/intake/exit"
	"extend-intake/intake/stack"
	"extend-intake/shared/document"
)

// deployed is a stack as CloudFormation describes it.
type deployed struct {
	name, description, status string
	without                   string // an output that it has not
}

var outputs = []string{
	"UploadBucketName", "UploadQueueUrl", "DeadLetterQueueUrl", "AnnouncementsDeadLetterQueueUrl",
	"DocumentsTableName", "ResultsBucketName", "ExtendSecretArn", "EventBusName", "WebhookUrl",
}

const ours = "Extend Intake: sends each file …"

func (d deployed) xml(region string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "<member><StackName>%s</StackName><StackId>arn:aws:cloudformation:%s:123456789012:stack/%[1]s/1</StackId><Description>", d.name, region)
	_ = xml.EscapeText(&b, []byte(d.description))
	fmt.Fprintf(&b, "</Description><StackStatus>%s</StackStatus><CreationTime>2026-11-20T08:00:00Z</CreationTime><Outputs>", d.status)
	if d.description == ours {
		for _, name := range outputs {
			if name != d.without {
				fmt.Fprintf(&b, "<member><OutputKey>%s</OutputKey><OutputValue>x</OutputValue></member>", name)
			}
		}
	}
	b.WriteString("</Outputs></member>")
	return b.String()
}

// account is CloudFormation of an account, in AWS's documented shapes, for any region; the process's
// environment has nothing but its address and keys. denied is the code of the error that it answers.
func account(t *testing.T, denied string, stacks ...deployed) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		region := strings.Split(r.Header.Get("Authorization"), "/")[2]
		refuse := func(status int, code, message string) {
			w.WriteHeader(status)
			fmt.Fprintf(w, `<ErrorResponse xmlns="http://cloudformation.amazonaws.com/doc/2010-05-15/"><Error><Type>Sender</Type><Code>%s</Code><Message>%s</Message></Error><RequestId>1</RequestId></ErrorResponse>`, code, message)
		}
		name := r.FormValue("StackName")
		var found []string
		for _, s := range stacks {
			if region == "eu-west-1" && (name == "" || name == s.name) {
				found = append(found, s.xml(region))
			}
		}
		switch {
		case denied != "":
			refuse(http.StatusForbidden, denied, "no")
		case name != "" && len(found) == 0:
			refuse(http.StatusBadRequest, "ValidationError", "Stack with id "+name+" does not exist")
		default:
			fmt.Fprintf(w, `<DescribeStacksResponse xmlns="http://cloudformation.amazonaws.com/doc/2010-05-15/"><DescribeStacksResult><Stacks>%s</Stacks></DescribeStacksResult></DescribeStacksResponse>`, strings.Join(found, ""))
		}
	}))
	t.Cleanup(server.Close)
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); strings.HasPrefix(name, "AWS_") || name == "INTAKE_STACK" {
			t.Setenv(name, "")
		}
	}
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL": server.URL, "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "example", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
	} {
		t.Setenv(name, value)
	}
}

// The cases set the environment, so that they run alone.
func TestOpen(t *testing.T) {
	complete := deployed{name: "a", description: ours, status: "UPDATE_COMPLETE"}
	other := deployed{name: "b", description: ours, status: "CREATE_COMPLETE"}
	foreign := deployed{name: "c", description: "something else", status: "CREATE_COMPLETE"}
	gone := deployed{name: "d", description: ours, status: "DELETE_COMPLETE"}
	for _, c := range []struct {
		name      string
		stacks    []deployed
		denied    string
		env       map[string]string
		samconfig string
		o         stack.Options
		want      string // the stack
		code      exit.Code
		says      string
	}{
		{name: "the only one", stacks: []deployed{foreign, complete, gone}, o: stack.Options{Region: "eu-west-1"}, want: "a"},
		{name: "two", stacks: []deployed{other, complete}, o: stack.Options{Region: "eu-west-1"}, code: exit.Usage, says: "2 stacks of Extend Intake in eu-west-1: a, b"},
		{name: "none", stacks: []deployed{foreign}, o: stack.Options{Region: "eu-west-1"}, code: exit.NotFound, says: "no stack of Extend Intake in eu-west-1"},
		{name: "no region", stacks: []deployed{complete}, code: exit.Usage, says: "no region"},
		{name: "in another region", stacks: []deployed{complete}, env: map[string]string{"AWS_REGION": "us-east-1"}, o: stack.Options{Name: "a"}, code: exit.NotFound, says: "no such stack in us-east-1"},
		{name: "the flag wins over the environment", stacks: []deployed{other, complete}, env: map[string]string{"AWS_REGION": "us-east-1", "INTAKE_STACK": "b"}, o: stack.Options{Name: "a", Region: "eu-west-1"}, want: "a"},
		{name: "INTAKE_STACK", stacks: []deployed{other, complete}, env: map[string]string{"AWS_REGION": "eu-west-1", "INTAKE_STACK": "b"}, samconfig: "[default.global.parameters]\nstack_name = \"a\"", want: "b"},
		{name: "samconfig.toml", stacks: []deployed{other, complete}, samconfig: "version = 0.1\n[default.global.parameters]\nstack_name = \"b\"\nregion = \"eu-west-1\"", want: "b"},
		{name: "an environment of it", stacks: []deployed{other, complete}, samconfig: "[default.global.parameters]\nstack_name = \"b\"\n[prod.deploy.parameters]\nstack_name = \"a\"\nregion = \"eu-west-1\"", o: stack.Options{Environment: "prod"}, want: "a"},
		{name: "no such environment", samconfig: "[default.global.parameters]\nstack_name = \"b\"", o: stack.Options{Environment: "prod"}, code: exit.Usage, says: "has no such environment"},
		{name: "no samconfig.toml", o: stack.Options{Environment: "prod"}, code: exit.Usage, says: "there is no samconfig.toml"},
		{name: "not TOML", samconfig: "[default", o: stack.Options{Region: "eu-west-1"}, code: exit.Usage, says: "samconfig.toml"},
		{name: "a stack of somebody else's", stacks: []deployed{foreign}, o: stack.Options{Name: "c", Region: "eu-west-1"}, code: exit.Usage, says: "not one of Extend Intake"},
		{name: "of an older version", stacks: []deployed{{name: "a", description: ours, status: "UPDATE_COMPLETE", without: "ResultsBucketName"}}, o: stack.Options{Region: "eu-west-1"}, code: exit.Failed, says: "has no output ResultsBucketName: it was deployed from another version"},
		{name: "its first deployment failed", stacks: []deployed{{name: "a", description: ours, status: "ROLLBACK_COMPLETE"}}, o: stack.Options{Region: "eu-west-1"}, code: exit.Failed, says: "its first deployment failed"},
		{name: "not allowed", denied: "AccessDenied", o: stack.Options{Region: "eu-west-1"}, code: exit.Failed, says: "may not call CloudFormation DescribeStacks"},
		{name: "credentials that have expired", denied: "ExpiredToken", o: stack.Options{Region: "eu-west-1"}, code: exit.Failed, says: "have expired"},
		{name: "credentials that nobody knows", denied: "InvalidClientTokenId", o: stack.Options{Region: "eu-west-1"}, code: exit.Failed, says: "does not know these credentials"},
		{name: "a wrong clock", denied: "RequestTimeTooSkewed", o: stack.Options{Region: "eu-west-1"}, code: exit.Failed, says: "clock of this machine is wrong"},
		{name: "no credentials", env: map[string]string{"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, o: stack.Options{Region: "eu-west-1"}, code: exit.Failed, says: "no AWS credentials"},
		{name: "no such profile", o: stack.Options{Region: "eu-west-1", Profile: "nosuch"}, code: exit.Usage, says: "nosuch"},
		{name: "nobody answers", env: map[string]string{"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, o: stack.Options{Region: "eu-west-1"}, code: exit.Failed, says: "can't be reached"},
	} {
		t.Run(c.name, func(t *testing.T) {
			account(t, c.denied, c.stacks...)
			for name, value := range c.env {
				t.Setenv(name, value)
			}
			dir := t.TempDir()
			if c.samconfig != "" {
				if err := os.WriteFile(filepath.Join(dir, "samconfig.toml"), []byte(c.samconfig), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			c.o.Dir, c.o.Getenv = filepath.Join(dir, "below"), os.Getenv
			s, err := stack.Open(t.Context(), c.o)
			if exit.Of(err) != c.code || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Fatalf("%v (exit status %d), want %d with %q", err, exit.Of(err), c.code, c.says)
			}
			if err == nil && (s.Name != c.want || s.Region != "eu-west-1" || s.Account != "123456789012") {
				t.Errorf("%+v, want %s", s, c.want)
			}
			if x, ok := err.(*exit.Error); err != nil && c.code != exit.Usage && (!ok || len(x.Steps) == 0) { //nolint:errorlint // it is not wrapped
				t.Errorf("%v: it does not say what to do next", err)
			}
		})
	}
}

// The routes are those that submit reads from the same parameters.
func TestRoutes(t *testing.T) {
	t.Parallel()
	env := map[string]string{
		"STACK": "123456789012/eu-west-1/a", "TABLE_NAME": "t", "SECRET_ID": "s", "TAG_SECRET_ID": "t", "UPLOAD_QUEUE_URL": "u", "DEAD_LETTER_QUEUE_URL": "d",
		"UPLOAD_BUCKET": "b", "EXTEND_BASE_URL": "https://api.extend.ai", "REQUESTS_PER_SECOND": "10", "FILES_PER_MINUTE": "80", "SUBMIT_CONCURRENCY": "2",
		"PAUSE_SECONDS": "300", "STALLED_AFTER_SECONDS": "3600", "TRANSFER": "link", "MAX_FAILURES": "10", "GIVE_UP_AFTER_SECONDS": "3600", "MAX_UNANSWERED": "5",
		"MIN_FILE_BYTES": "1", "MAX_FILE_BYTES": "0", "SETTLE_SECONDS": "0", "NEWEST_ONLY": "false", "LEASE_SECONDS": "180", "CONFIRM_WINDOW_SECONDS": "600", "RECONCILE_AFTER_SECONDS": "600",
	}
	for _, parameters := range []map[string]string{
		{"ProcessorId": "dp_a", "ProcessorVersion": "latest"},
		{"ProcessorId": "dp_a", "ProcessorVersion": "2.1", "KeyPrefix": "in/", "KeySuffix": ".pdf"},
		{"Routes": `[{"name":"x","pattern":"x/{customer}/**","processor":"dp_b","usageTags":["c-{customer}"]}]`, "ProcessorVersion": "latest"},
		{"Routes": `[{"name":"x","prefix":"x/","processor":"dp_b"}]`, "ProcessorId": "dp_a", "ProcessorVersion": "draft"},
	} {
		for name, variable := range map[string]string{"Routes": "ROUTES", "ProcessorId": "PROCESSOR_ID", "ProcessorVersion": "PROCESSOR_VERSION", "KeyPrefix": "KEY_PREFIX", "KeySuffix": "KEY_SUFFIX"} {
			env[variable] = parameters[name]
		}
		c, err := submit.LoadConfig(func(name string) string { return env[name] })
		if err != nil {
			t.Fatal(err)
		}
		got, err := (&stack.Stack{Parameters: parameters}).Routes()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]document.Route(c.Routes), []document.Route(got)); diff != "" {
			t.Errorf("%v (-submit +intake):\n%s", parameters, diff)
		}
	}
}
