package main

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

	"extend-intake/dev/child"
	"extend-intake/dev/emulator"
	"extend-intake/dev/fakeextend"
	"extend-intake/shared/boot"
	"extend-intake/shared/ledger"
)

const (
	stackName   = "extend-intake"
	processorID = "dp_local"
)

// functions are the names of the template's functions, as their logs have them.
var functions = []string{"submit", "webhook", "reconcile", "publish"}

// A stack is template.yaml as SAM builds and deploys it, on a local AWS of its own,
// with a fake Extend beside it.
type stack struct {
	dir  string // everything that it writes
	root string // the repository
	aws  *emulator.Server
	fake *fakeextend.Server
	// extendURL is where the functions find Extend, webhookURL where Extend finds them.
	extendURL, webhookURL string
	apiKey, webhookSecret string
	outputs               map[string]string // of the template
	// steps are what the fake tells; those that nobody takes are dropped.
	steps chan fakeextend.Step

	s3     *s3.Client
	db     *dynamodb.Client
	sqs    *sqs.Client
	ledger *ledger.Ledger

	closers []func()
}

// stackOptions are what a caller may want otherwise. say is told each step of the
// setting up.
type stackOptions struct {
	say        func(what, detail string)
	parameters map[string]string  // of the template
	fake       fakeextend.Options // keys and OnStep are set here, and the processor dp_local is added
	account    *account           // a real one at Extend, and no fake
	// before is called when the local AWS is there and nothing is deployed.
	before func(context.Context, *stack) error
}

// startStack sets up everything, or nothing. The context bounds the setting up; stop
// ends what is there.
func startStack(ctx context.Context, opts stackOptions) (_ *stack, err error) {
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
	s := &stack{
		dir: dir, root: root, steps: make(chan fakeextend.Step, 1000),
		apiKey: "sk_" + rand.Text(), webhookSecret: "wss_" + rand.Text(),
	}
	defer func() {
		if err != nil {
			s.stop()
			err = s.leave(err)
		}
	}()

	opts.say("tools", ".tools/ (dev/tools.sh)")
	if err := emulator.Install(ctx, os.Stderr); err != nil {
		return nil, err
	}
	if s.aws, err = emulator.StartMiniStack(ctx, dir); err != nil {
		return nil, err
	}
	s.closers = append(s.closers, s.aws.Stop)
	opts.say("local AWS", s.aws.URL+" (MiniStack)")
	if a := opts.account; a != nil {
		s.extendURL, s.apiKey, s.webhookSecret = a.baseURL, a.key, ""
		opts.say("Extend", fmt.Sprintf("%s, processor %s: each file costs credits", strings.TrimSpace(a.baseURL+" "+a.workspace), a.processor))
	} else {
		if err := s.startFake(opts.fake); err != nil {
			return nil, err
		}
		opts.say("fake Extend", s.extendURL)
	}

	cfg := emulator.AWSConfig(s.aws.URL)
	s.s3, s.db, s.sqs = boot.S3(cfg), dynamodb.NewFromConfig(cfg), sqs.NewFromConfig(cfg)
	if opts.before != nil {
		if err := opts.before(ctx, s); err != nil {
			return nil, err
		}
	}
	if err := s.deploy(ctx, cfg, opts); err != nil {
		return nil, err
	}
	s.ledger = ledger.New(s.db, s.outputs["DocumentsTableName"], ledger.DefaultRules, time.Now)
	if err := s.fillSecret(ctx, secretsmanager.NewFromConfig(cfg)); err != nil {
		return nil, fmt.Errorf("fill the secret: %w", err)
	}
	if opts.account != nil {
		opts.say("secret", "filled with EXTEND_API_KEY")
		opts.say("results", "are asked for every minute at first, then less and less often: no webhook can reach this machine")
		return s, nil
	}
	opts.say("secret", "filled with an API key and a webhook secret made up for this run")
	if err := s.fake.SetWebhook(s.webhookURL, s.webhookSecret); err != nil {
		return nil, err
	}
	opts.say("webhook", "Extend's endpoint is "+s.webhookURL)
	return s, nil
}

// stop ends everything. What was written stays until leave.
func (s *stack) stop() {
	for _, f := range slices.Backward(s.closers) {
		f()
	}
	s.closers = nil
}

// leave removes what was written, unless err makes it worth a look.
func (s *stack) leave(err error) error {
	if err == nil || errors.Is(err, errStopped) {
		return errors.Join(err, os.RemoveAll(s.dir))
	}
	return fmt.Errorf("%w\n(all logs are in %s)", err, s.relative(s.dir))
}

func (s *stack) startFake(opts fakeextend.Options) error {
	opts.APIKey = s.apiKey
	opts.Processors = append(opts.Processors, fakeextend.Processor{ID: processorID, Name: "Local extractor", Type: fakeextend.Extract, Versions: []string{"1.0"}, Subscribed: true})
	opts.OnStep = func(step fakeextend.Step) {
		select {
		case s.steps <- step:
		default:
		}
	}
	var err error
	if s.fake, err = fakeextend.New(opts); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s.extendURL = "http://" + listener.Addr().String()
	server := &http.Server{Handler: s.fake, ReadHeaderTimeout: 10 * time.Second}
	go server.Serve(listener) //nolint:errcheck // it ends by Close
	s.closers = append(s.closers, func() {
		s.fake.Close() // first: it ends the waits of handlers
		_ = server.Close()
	})
	return nil
}

// architectures are Go's names and Lambda's. The functions run on this machine.
var architectures = map[string]string{"amd64": "x86_64", "arm64": "arm64"}

func (s *stack) deploy(ctx context.Context, cfg aws.Config, opts stackOptions) error {
	arch := architectures[runtime.GOARCH]
	opts.say("building", "template.yaml's functions for "+arch+" (make build) …")
	// Away from .aws-sam: what is built for this machine must not get into a deployment.
	build := filepath.Join(s.relative(s.dir), "build")
	if err := s.run(ctx, "build.log", "make", "--no-print-directory", "build",
		fmt.Sprintf("SAM_BUILD=--build-dir %s --parameter-overrides Architecture=%s", build, arch)); err != nil {
		return err
	}
	without, err := dropMetricMath(filepath.Join(s.root, build, "template.yaml"))
	if err != nil {
		return err
	}
	for _, alarm := range without {
		opts.say("alarms", "without "+alarm+", for MiniStack can't watch two metrics at once")
	}

	opts.say("deploying", "stack "+stackName+" (sam deploy) …")
	parameters := opts.parameters
	if opts.account != nil {
		parameters = opts.account.parameters()
	}
	if err := s.update(ctx, parameters); err != nil {
		return err
	}

	cfn := cloudformation.NewFromConfig(cfg)
	stacks, err := cfn.DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: aws.String(stackName)})
	if err != nil {
		return err
	}
	s.outputs = make(map[string]string)
	for _, o := range stacks.Stacks[0].Outputs {
		s.outputs[*o.OutputKey] = *o.OutputValue
	}
	if opts.account != nil {
		return nil
	}
	return s.exposeWebhook(ctx, cfg, cfn, opts)
}

// update deploys what was built, with these parameters.
func (s *stack) update(ctx context.Context, parameters map[string]string) error {
	all := map[string]string{"Architecture": architectures[runtime.GOARCH], "ProcessorId": processorID, "ExtendBaseUrl": s.extendURL}
	maps.Copy(all, parameters)
	args := []string{"deploy", "--template-file", filepath.Join(s.relative(s.dir), "build", "template.yaml"), "--stack-name", stackName, "--resolve-s3",
		"--capabilities", "CAPABILITY_IAM", "--no-confirm-changeset", "--no-fail-on-empty-changeset", "--no-progressbar", "--parameter-overrides"}
	for name, value := range all {
		args = append(args, fmt.Sprintf("ParameterKey=%s,ParameterValue=%s", name, shellQuoted(value)))
	}
	return s.run(ctx, "deploy.log", filepath.Join(s.root, ".tools/sam/bin/sam"), args...)
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
func (s *stack) exposeWebhook(ctx context.Context, cfg aws.Config, cfn *cloudformation.Client, opts stackOptions) error {
	// https://<api id>.execute-api.<region>.amazonaws.com/webhook is the address on AWS.
	id, _, ok := strings.Cut(strings.TrimPrefix(s.outputs["WebhookUrl"], "https://"), ".")
	if !ok {
		return fmt.Errorf("output WebhookUrl is %q", s.outputs["WebhookUrl"])
	}
	s.webhookURL = s.aws.URL + "/_aws/execute-api/" + id + "/webhook"

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
		StackName: aws.String(stackName), LogicalResourceId: aws.String("WebhookFunction"),
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
	opts.say("HTTP API", "route POST /webhook added by hand, for MiniStack ignores the template's")
	return nil
}

func (s *stack) fillSecret(ctx context.Context, client *secretsmanager.Client) error {
	secret := boot.Secret{APIKey: s.apiKey, WebhookSecrets: []string{}}
	if s.webhookSecret != "" {
		secret.WebhookSecrets = append(secret.WebhookSecrets, s.webhookSecret)
	}
	value, err := json.Marshal(secret) // #nosec G117 -- it goes where secrets belong
	if err != nil {
		return err
	}
	_, err = client.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{
		SecretId: aws.String(s.outputs["ExtendSecretArn"]), SecretString: aws.String(string(value)),
	})
	return err
}

// run runs a program of the setting up. Its output is shown only if it fails.
func (s *stack) run(ctx context.Context, logName, name string, args ...string) error {
	log, err := os.Create(filepath.Join(s.dir, logName)) // #nosec G304 -- in the directory of this run
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(name, args...) // #nosec G204 -- the programs are named by our own code, and run without a shell
	cmd.Dir = s.root
	cmd.Stdout, cmd.Stderr = log, log
	// Nothing of a real account, and nothing of the make that may have started us.
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "AWS_") || strings.HasPrefix(v, "EXTEND_") || strings.HasPrefix(v, "MAKE")
	})
	cmd.Env = append(append(cmd.Env, emulator.Environ(s.aws.URL)...),
		"SAM_CLI_TELEMETRY=0", "SAM_CLI_POLL_DELAY=1",
		"__SAM_CLI_APP_DIR="+s.dir) // where sam keeps notes about its user
	if err := child.Run(ctx, cmd); err != nil {
		if ctx.Err() != nil {
			return err
		}
		return fmt.Errorf("%s: %w; the end of %s:\n%s", filepath.Base(name), err, s.relative(log.Name()), tail(log.Name(), 25))
	}
	return nil
}

// relative names a file of the run as a person would, from the repository.
func (s *stack) relative(path string) string {
	if r, err := filepath.Rel(s.root, path); err == nil && filepath.IsLocal(r) {
		return r
	}
	return path
}

// functionLogs returns the last lines that a function has logged.
func (s *stack) functionLogs(ctx context.Context, function string, n int) ([]string, error) {
	return s.groupLogs(ctx, "/aws/lambda/"+stackName+"/"+function, n)
}

// groupLogs returns the last lines of a log group.
func (s *stack) groupLogs(ctx context.Context, group string, n int) ([]string, error) {
	// One call is not worth one more SDK package; the local AWS wants no signature.
	body := fmt.Sprintf(`{"logGroupName": %q}`, group)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.aws.URL, strings.NewReader(body))
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

func tail(path string, n int) string {
	output, err := os.ReadFile(path) // #nosec G304 -- a log of this run
	if err != nil {
		return err.Error()
	}
	lines := bytes.SplitAfter(output, []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-n):], nil))
}
