package stack

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	apitypes "github.com/aws/aws-sdk-go-v2/service/apigatewayv2/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"go.yaml.in/yaml/v3"

	"extend-intake/dev/stack/child"
	"extend-intake/dev/stack/emulator"
)

// Architecture is the template's parameter of that name for this machine, on which the
// functions run.
func Architecture() string {
	return map[string]string{"amd64": "x86_64", "arm64": "arm64"}[runtime.GOARCH]
}

func (s *Stack) deploy(ctx context.Context, cfg aws.Config, opts Options) error {
	arch := Architecture()
	opts.Say("building", "template.yaml's functions for "+arch+" (make build) …")
	// Away from .aws-sam: what is built for this machine must not get into a deployment.
	build := filepath.Join(s.Relative(s.Dir), "build")
	if err := s.Run(ctx, "build.log", "make", "--no-print-directory", "build",
		fmt.Sprintf("SAM_BUILD=--build-dir %s", build), "OVERRIDES=Architecture="+arch); err != nil {
		return err
	}
	without, err := Adapt(filepath.Join(s.Root, build, "template.yaml"), cmp.Or(opts.Parameters["SubmitConcurrency"], "2"))
	if err != nil {
		return err
	}
	for name, why := range without {
		opts.Say("left out", name+", for MiniStack "+why)
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

// Update deploys what Start has built once more, with these parameters and those that
// every stack has on this machine. What SAM says is in deploy.log in Dir.
func (s *Stack) Update(ctx context.Context, parameters map[string]string) error {
	all := map[string]string{"Architecture": Architecture(), "ProcessorId": ProcessorID, "ExtendBaseUrl": s.ExtendURL}
	maps.Copy(all, parameters)
	args := []string{"deploy", "--template-file", filepath.Join(s.Relative(s.Dir), "build", "template.yaml"), "--stack-name", Name, "--resolve-s3",
		"--capabilities", "CAPABILITY_IAM", "--no-confirm-changeset", "--no-fail-on-empty-changeset", "--no-progressbar", "--parameter-overrides"}
	for name, value := range all {
		args = append(args, fmt.Sprintf("ParameterKey=%s,ParameterValue=%s", name, shellQuoted(value)))
	}
	return s.Run(ctx, "deploy.log", filepath.Join(s.Root, ".tools/sam/bin/sam"), args...)
}

// Adapt changes a built template for MiniStack: it takes out what MiniStack does not have, alarms
// over several metrics and the policy of the event bus, and says why, by name. And it writes the
// concurrency into the event source, because MiniStack takes the value of a parameter for text
// there, and then does not poll the queue.
func Adapt(path, concurrency string) (without map[string]string, err error) {
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
	without = make(map[string]string)
	var rest []*yaml.Node
	for i := 0; i < len(resources.Content); i += 2 {
		name, resource := resources.Content[i], resources.Content[i+1]
		var alarm struct {
			Type       string `yaml:"Type"`
			Properties struct {
				Metrics yaml.Node `yaml:"Metrics"`
			} `yaml:"Properties"`
		}
		switch err := resource.Decode(&alarm); {
		case err == nil && !alarm.Properties.Metrics.IsZero():
			without[name.Value] = "can't watch two metrics at once"
			continue
		case err == nil && alarm.Type == "AWS::Events::EventBusPolicy":
			without[name.Value] = "knows no policies of event buses"
			continue
		}
		rest = append(rest, name, resource)
	}
	resources.Content = rest
	setNumbers(resources, "MaximumConcurrency", concurrency)
	if text, err = yaml.Marshal(&document); err != nil {
		return nil, err
	}
	return without, os.WriteFile(path, text, 0o600)
}

// setNumbers sets every member of this name to a number.
func setNumbers(n *yaml.Node, name, number string) {
	for i, c := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 1 && n.Content[i-1].Value == name {
			*c = yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: number}
			continue
		}
		setNumbers(c, name, number)
	}
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

// Run runs a program in the repository, with the local AWS in its environment and
// nothing of a real account. Its output goes to a file of this name in Dir; the end of
// it is in the error.
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
