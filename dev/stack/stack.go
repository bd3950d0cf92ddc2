// Package stack is template.yaml on this machine: built and deployed by SAM to a local
// AWS, with a fake Extend beside it, or with a real account at Extend.
//
//	s, err := stack.Start(ctx, stack.Options{Say: say})
//	if err != nil { … }
//	defer s.Stop()
//	s.Outputs["UploadBucketName"] // upload there, and see s.Fake and s.Ledger
package stack

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	apitypes "github.com/aws/aws-sdk-go-v2/service/apigatewayv2/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"go.yaml.in/yaml/v3"

	"extend-intake/dev/fakeextend"
	"extend-intake/dev/stack/child"
	"extend-intake/dev/stack/emulator"
	"extend-intake/shared/boot"
	"extend-intake/shared/ledger"
)

// The names of the stack and of the processor that its uploads are read by.
const (
	Name        = "extend-intake"
	ProcessorID = "dp_local"
)

// Functions are the names of the template's Functions, as their logs have them.
var Functions = []string{"submit", "webhook", "reconcile", "publish"}

// A Stack is template.yaml as SAM builds and deploys it, on a local AWS of its own,
// with a fake Extend beside it.
type Stack struct {
	Dir  string // everything that it writes
	Root string // the repository
	AWS  *emulator.Server
	Fake *fakeextend.Server
	// ExtendURL is where the functions find Extend, WebhookURL where Extend finds them.
	ExtendURL, WebhookURL string
	APIKey, WebhookSecret string
	Outputs               map[string]string // of the template
	// Steps are what the fake tells; those that nobody takes are dropped.
	Steps chan fakeextend.Step

	S3     *s3.Client
	DB     *dynamodb.Client
	SQS    *sqs.Client
	Ledger *ledger.Ledger

	closers []func()
}

// Options are what a caller may want otherwise. Say is told each step of the
// setting up.
type Options struct {
	Say        func(what, detail string)
	Parameters map[string]string  // of the template
	Fake       fakeextend.Options // keys and OnStep are set here, and the processor dp_local is added
	Account    *Account           // a real one at Extend, and no fake
	// Before is called when the local AWS is there and nothing is deployed.
	Before func(context.Context, *Stack) error
}

// Start sets up everything, or nothing. The context bounds the setting up; Stop
// ends what is there.
func Start(ctx context.Context, opts Options) (_ *Stack, err error) {
	root, err := emulator.Root()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(root, ".local"), 0o750); err != nil {
		return nil, err
	}
	// Each run has a directory and ports of its own, so that two don't meet.
	dir, err := os.MkdirTemp(filepath.Join(root, ".local"), "run-")
	if err != nil {
		return nil, err
	}
	s := &Stack{
		Dir: dir, Root: root, Steps: make(chan fakeextend.Step, 1000),
		APIKey: "sk_" + rand.Text(), WebhookSecret: "wss_" + rand.Text(),
	}
	defer func() {
		if err != nil {
			s.Stop()
			err = s.Leave(err)
		}
	}()

	opts.Say("tools", ".tools/ (dev/tools/tools.sh)")
	if err := emulator.Install(ctx, os.Stderr); err != nil {
		return nil, err
	}
	if s.AWS, err = emulator.StartMiniStack(ctx, dir); err != nil {
		return nil, err
	}
	s.closers = append(s.closers, s.AWS.Stop)
	opts.Say("local AWS", s.AWS.URL+" (MiniStack)")
	if a := opts.Account; a != nil {
		s.ExtendURL, s.APIKey, s.WebhookSecret = a.BaseURL, a.Key, ""
		opts.Say("Extend", fmt.Sprintf("%s, processor %s: each file costs credits", strings.TrimSpace(a.BaseURL+" "+a.Workspace), a.Processor))
	} else {
		if err := s.startFake(opts.Fake); err != nil {
			return nil, err
		}
		opts.Say("fake Extend", s.ExtendURL)
	}

	cfg := emulator.AWSConfig(s.AWS.URL)
	s.S3, s.DB, s.SQS = boot.S3(cfg), dynamodb.NewFromConfig(cfg), sqs.NewFromConfig(cfg)
	if opts.Before != nil {
		if err := opts.Before(ctx, s); err != nil {
			return nil, err
		}
	}
	if err := s.deploy(ctx, cfg, opts); err != nil {
		return nil, err
	}
	s.Ledger = ledger.New(s.DB, s.Outputs["DocumentsTableName"], ledger.DefaultRules, time.Now)
	if err := s.fillSecret(ctx, secretsmanager.NewFromConfig(cfg)); err != nil {
		return nil, fmt.Errorf("fill the secret: %w", err)
	}
	if opts.Account != nil {
		opts.Say("secret", "filled with EXTEND_API_KEY")
		opts.Say("results", "are asked for every minute at first, then less and less often: no webhook can reach this machine")
		return s, nil
	}
	opts.Say("secret", "filled with an API key and a webhook secret made up for this run")
	if err := s.Fake.SetWebhook(s.WebhookURL, s.WebhookSecret); err != nil {
		return nil, err
	}
	opts.Say("webhook", "Extend's endpoint is "+s.WebhookURL)
	return s, nil
}

// OnStop has f called by Stop, before what was there earlier ends.
func (s *Stack) OnStop(f func()) { s.closers = append(s.closers, f) }

// Stop ends everything. What was written stays until Leave.
func (s *Stack) Stop() {
	for _, f := range slices.Backward(s.closers) {
		f()
	}
	s.closers = nil
}

// Leave removes what was written, unless err makes it worth a look.
func (s *Stack) Leave(err error) error {
	if err == nil || errors.Is(err, ErrStopped) {
		return errors.Join(err, os.RemoveAll(s.Dir))
	}
	return fmt.Errorf("%w\n(all logs are in %s)", err, s.Relative(s.Dir))
}

func (s *Stack) startFake(opts fakeextend.Options) error {
	opts.APIKey = s.APIKey
	opts.Processors = append(opts.Processors, fakeextend.Processor{ID: ProcessorID, Name: "Local extractor", Type: fakeextend.Extract, Versions: []string{"1.0"}, Subscribed: true})
	opts.OnStep = func(step fakeextend.Step) {
		select {
		case s.Steps <- step:
		default:
		}
	}
	var err error
	if s.Fake, err = fakeextend.New(opts); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s.ExtendURL = "http://" + listener.Addr().String()
	server := &http.Server{Handler: s.Fake, ReadHeaderTimeout: 10 * time.Second}
	go server.Serve(listener) //nolint:errcheck // it ends by Close
	s.closers = append(s.closers, func() {
		s.Fake.Close() // first: it ends the waits of handlers
		_ = server.Close()
	})
	return nil
}

// Architectures are Go's names and Lambda's. The functions run on this machine.
var Architectures = map[string]string{"amd64": "x86_64", "arm64": "arm64"}

func (s *Stack) deploy(ctx context.Context, cfg aws.Config, opts Options) error {
	arch := Architectures[runtime.GOARCH]
	opts.Say("building", "template.yaml's functions for "+arch+" (make build) …")
	// Away from .aws-sam: what is built for this machine must not get into a deployment.
	build := filepath.Join(s.Relative(s.Dir), "build")
	if err := s.Run(ctx, "build.log", "make", "--no-print-directory", "build",
		fmt.Sprintf("SAM_BUILD=--build-dir %s --parameter-overrides Architecture=%s", build, arch)); err != nil {
		return err
	}
	without, err := dropMetricMath(filepath.Join(s.Root, build, "template.yaml"))
	if err != nil {
		return err
	}
	for _, alarm := range without {
		opts.Say("alarms", "without "+alarm+", for MiniStack can't watch two metrics at once")
	}

	opts.Say("deploying", "stack "+Name+" (sam deploy) …")
	parameters := opts.Parameters
	if opts.Account != nil {
		parameters = opts.Account.parameters()
	}
	if err := s.Update(ctx, parameters); err != nil {
		return err
	}

	cfn := cloudformation.NewFromConfig(cfg)
	stacks, err := cfn.DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: aws.String(Name)})
	if err != nil {
		return err
	}
	s.Outputs = make(map[string]string)
	for _, o := range stacks.Stacks[0].Outputs {
		s.Outputs[*o.OutputKey] = *o.OutputValue
	}
	if opts.Account != nil {
		return nil
	}
	return s.exposeWebhook(ctx, cfg, cfn, opts)
}

// Update deploys what was built, with these parameters.
func (s *Stack) Update(ctx context.Context, parameters map[string]string) error {
	all := map[string]string{"Architecture": Architectures[runtime.GOARCH], "ProcessorId": ProcessorID, "ExtendBaseUrl": s.ExtendURL}
	maps.Copy(all, parameters)
	args := []string{"deploy", "--template-file", filepath.Join(s.Relative(s.Dir), "build", "template.yaml"), "--stack-name", Name, "--resolve-s3",
		"--capabilities", "CAPABILITY_IAM", "--no-confirm-changeset", "--no-fail-on-empty-changeset", "--no-progressbar", "--parameter-overrides"}
	for name, value := range all {
		args = append(args, fmt.Sprintf("ParameterKey=%s,ParameterValue=%s", name, shellQuoted(value)))
	}
	return s.Run(ctx, "deploy.log", filepath.Join(s.Root, ".tools/sam/bin/sam"), args...)
}

// dropMetricMath takes the alarms over several metrics out of a built template, and
// names them.
func dropMetricMath(path string) (names []string, err error) {
	text, err := os.ReadFile(path) // #nosec G304 -- what was built here
	if err != nil {
		return nil, err
	}
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var resources *yaml.Node
	top := document.Content[0].Content
	for i := 0; i < len(top); i += 2 {
		if top[i].Value == "Resources" {
			resources = top[i+1]
		}
	}
	if resources == nil {
		return nil, fmt.Errorf("%s has no resources", path)
	}
	var kept []*yaml.Node
	for i := 0; i < len(resources.Content); i += 2 {
		name, resource := resources.Content[i], resources.Content[i+1]
		var alarm struct {
			Properties struct {
				Metrics yaml.Node `yaml:"Metrics"`
			} `yaml:"Properties"`
		}
		if err := resource.Decode(&alarm); err == nil && !alarm.Properties.Metrics.IsZero() {
			names = append(names, name.Value)
			continue
		}
		kept = append(kept, name, resource)
	}
	resources.Content = kept
	if text, err = yaml.Marshal(&document); err != nil {
		return nil, err
	}
	return names, os.WriteFile(path, text, 0o600)
}

// shellQuoted is a value as SAM's parser of parameters wants it.
func shellQuoted(value string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(value) + `"`
}

// exposeWebhook finds out where the webhook can be called.
func (s *Stack) exposeWebhook(ctx context.Context, cfg aws.Config, cfn *cloudformation.Client, opts Options) error {
	// https://<api id>.execute-api.<region>.amazonaws.com/webhook is the address on AWS.
	id, _, ok := strings.Cut(strings.TrimPrefix(s.Outputs["WebhookUrl"], "https://"), ".")
	if !ok {
		return fmt.Errorf("output WebhookUrl is %q", s.Outputs["WebhookUrl"])
	}
	s.WebhookURL = s.AWS.URL + "/_aws/execute-api/" + id + "/webhook"

	// MiniStack makes the API of an AWS::Serverless::HttpApi, but not its routes.
	api := apigatewayv2.NewFromConfig(cfg)
	routes, err := api.GetRoutes(ctx, &apigatewayv2.GetRoutesInput{ApiId: &id})
	if err != nil {
		return fmt.Errorf("routes of the HTTP API: %w", err)
	}
	if len(routes.Items) > 0 {
		return nil
	}
	function, err := cfn.DescribeStackResource(ctx, &cloudformation.DescribeStackResourceInput{
		StackName: aws.String(Name), LogicalResourceId: aws.String("WebhookFunction"),
	})
	if err != nil {
		return err
	}
	account := strings.Split(*function.StackResourceDetail.StackId, ":")[4] // arn:aws:cloudformation:region:account:…
	integration, err := api.CreateIntegration(ctx, &apigatewayv2.CreateIntegrationInput{
		ApiId: &id, IntegrationType: apitypes.IntegrationTypeAwsProxy, PayloadFormatVersion: aws.String("2.0"),
		IntegrationUri: aws.String(fmt.Sprintf("arn:aws:lambda:%s:%s:function:%s", cfg.Region, account, *function.StackResourceDetail.PhysicalResourceId)),
	})
	if err != nil {
		return fmt.Errorf("integration of the HTTP API: %w", err)
	}
	if _, err := api.CreateRoute(ctx, &apigatewayv2.CreateRouteInput{
		ApiId: &id, RouteKey: aws.String("POST /webhook"), Target: aws.String("integrations/" + *integration.IntegrationId),
	}); err != nil {
		return fmt.Errorf("route of the HTTP API: %w", err)
	}
	opts.Say("HTTP API", "route POST /webhook added by hand, for MiniStack ignores the template's")
	return nil
}

func (s *Stack) fillSecret(ctx context.Context, client *secretsmanager.Client) error {
	secret := boot.Secret{APIKey: s.APIKey, WebhookSecrets: []string{}}
	if s.WebhookSecret != "" {
		secret.WebhookSecrets = append(secret.WebhookSecrets, s.WebhookSecret)
	}
	value, err := json.Marshal(secret) // #nosec G117 -- it goes where secrets belong
	if err != nil {
		return err
	}
	_, err = client.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{
		SecretId: aws.String(s.Outputs["ExtendSecretArn"]), SecretString: aws.String(string(value)),
	})
	return err
}

// Run runs a program of the setting up. Its output is shown only if it fails.
func (s *Stack) Run(ctx context.Context, logName, name string, args ...string) error {
	log, err := os.Create(filepath.Join(s.Dir, logName)) // #nosec G304 -- in the directory of this run
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(name, args...) // #nosec G204 -- the programs are named by our own code, and run without a shell
	cmd.Dir = s.Root
	cmd.Stdout, cmd.Stderr = log, log
	// Nothing of a real account, and nothing of the make that may have started us.
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "AWS_") || strings.HasPrefix(v, "EXTEND_") || strings.HasPrefix(v, "MAKE")
	})
	cmd.Env = append(append(cmd.Env, emulator.Environ(s.AWS.URL)...),
		"SAM_CLI_TELEMETRY=0", "SAM_CLI_POLL_DELAY=1",
		"__SAM_CLI_APP_DIR="+s.Dir) // where sam keeps notes about its user
	if err := child.Run(ctx, cmd); err != nil {
		if ctx.Err() != nil {
			return err
		}
		return fmt.Errorf("%s: %w; the end of %s:\n%s", filepath.Base(name), err, s.Relative(log.Name()), Tail(log.Name(), 25))
	}
	return nil
}

// Relative names a file of the run as a person would, from the repository.
func (s *Stack) Relative(path string) string {
	if r, err := filepath.Rel(s.Root, path); err == nil && filepath.IsLocal(r) {
		return r
	}
	return path
}

// FunctionLogs returns the last lines that a function has logged.
func (s *Stack) FunctionLogs(ctx context.Context, function string, n int) ([]string, error) {
	return s.GroupLogs(ctx, "/aws/lambda/"+Name+"/"+function, n)
}

// GroupLogs returns the last lines of a log group.
func (s *Stack) GroupLogs(ctx context.Context, group string, n int) ([]string, error) {
	// One call is not worth one more SDK package; the local AWS wants no signature.
	body := fmt.Sprintf(`{"logGroupName": %q}`, group)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.AWS.URL, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("X-Amz-Target", "Logs_20140328.FilterLogEvents")
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	var logs struct {
		Events []struct{ Message string }
	}
	if err := json.Unmarshal(answer, &logs); err != nil || resp.StatusCode != http.StatusOK {
		return nil, errors.New(string(answer))
	}
	var lines []string
	for _, e := range logs.Events {
		lines = append(lines, strings.TrimRight(e.Message, "\n"))
	}
	return lines[max(0, len(lines)-n):], nil
}

// Tail is the last n lines of a file.
func Tail(path string, n int) string {
	output, err := os.ReadFile(path) // #nosec G304 -- a log of this run
	if err != nil {
		return err.Error()
	}
	lines := bytes.SplitAfter(output, []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-n):], nil))
}

// Begin is [Start] with the smallest plan at Extend, as the template has it by default. It
// tells each step, and when it was reached.
func Begin(ctx context.Context, out io.Writer, parameters map[string]string, paid *Account) (*Stack, error) {
	start := time.Now()
	return Start(ctx, Options{
		Say: func(what, detail string) {
			fmt.Fprintf(out, "[%5.1f s]   %-16s   %s\n", time.Since(start).Seconds(), what, detail)
		},
		Parameters: parameters, Account: paid,
		Fake: fakeextend.Options{
			Processing: fakeextend.Fixed(time.Second), // so that there is something to see
			// The smallest plan, as the template's defaults.
			RequestsPerSecond: 10, FilesPerMinute: 80, RetryAfter: fakeextend.RetryAfterSeconds,
		},
	})
}
