// Package stack finds the deployed stack that `intake` works on, and has what talks to it:
//
//	s, err := stack.Open(ctx, stack.Options{Name: flag, Getenv: os.Getenv, Dir: "."})
//	…
//	rec, err := s.Ledger().Get(ctx, id)
//
// Everything is asked of one region: the one in which the stack was found.
package stack

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/smithy-go"

	"extend-intake/intake/exit"
	"extend-intake/shared/boot"
)

// Options say which stack is meant, and as whom it is asked for. Those that are empty are
// found out.
type Options struct {
	// Name, Environment, Region and Profile are what the command line says.
	Name, Environment, Region, Profile string
	// Dir is where a samconfig.toml is looked for, and above.
	Dir    string
	Getenv func(string) string
	// Trace is told of each call of AWS when it is over; nil is told nothing.
	Trace func(service, operation string, took time.Duration, err error)
}

// Stack is a deployed stack of Extend Intake.
type Stack struct {
	Name, Region, Account, ARN string
	// Status is CloudFormation's word, such as UPDATE_COMPLETE.
	Status string
	// Version is that of the template, as `make deploy` tags the stack; "" where it was
	// deployed in another way.
	Version                   string
	Created, Updated          time.Time
	Outputs, Parameters, Tags map[string]string

	Config aws.Config
	// resources are those of CloudFormation by their names in the template, when they are first
	// asked for.
	resources func() (map[string]string, error)
}

// descriptionPrefix is how the description of the template begins, by which a stack is
// known as one of ours.
const descriptionPrefix = "Extend Intake:"

// outputs are those without which a command can do nothing.
var outputs = []string{
	"UploadBucketName", "UploadQueueUrl", "DeadLetterQueueUrl", "AnnouncementsDeadLetterQueueUrl",
	"DocumentsTableName", "ResultsBucketName", "ExtendSecretArn", "EventBusName", "WebhookUrl",
}

// Open finds the stack: the one that is named; else that of samconfig.toml; else the only
// one in the region.
func Open(ctx context.Context, opts Options) (*Stack, error) {
	s, err := open(ctx, opts)
	if err != nil {
		return nil, Explain(err, opts.Profile)
	}
	return s, nil
}

func open(ctx context.Context, opts Options) (*Stack, error) {
	cfg, named, err := configure(ctx, opts)
	if err != nil {
		return nil, err
	}
	client := cloudformation.NewFromConfig(cfg)
	var found types.Stack
	if named.name != "" {
		found, err = describe(ctx, client, cfg.Region, named)
	} else {
		found, err = theOnly(ctx, client, cfg.Region)
	}
	if err != nil {
		return nil, err
	}
	return newStack(ctx, cfg, client, found)
}

// List is the names of the stacks of Extend Intake in the region.
func List(ctx context.Context, opts Options) ([]string, error) {
	cfg, _, err := configure(ctx, opts)
	if err != nil {
		return nil, Explain(err, opts.Profile)
	}
	names, err := list(ctx, cloudformation.NewFromConfig(cfg))
	return names, Explain(err, opts.Profile)
}

// name is that of a stack, and who said it.
type name struct{ name, by string }

// configure is the SDK's configuration in one region, and the stack that is named.
func configure(ctx context.Context, opts Options) (aws.Config, name, error) {
	var sam samconfig
	named := name{opts.Name, "--stack"}
	if named.name == "" && opts.Environment == "" {
		named = name{opts.Getenv("INTAKE_STACK"), "INTAKE_STACK"}
	}
	if named.name == "" {
		var err error
		if sam, err = readSamconfig(opts.Dir, opts.Environment); err != nil {
			return aws.Config{}, name{}, err
		}
		named = name{sam.stack, sam.path}
	}
	region := opts.Region
	if region == "" && opts.Getenv("AWS_REGION") == "" && opts.Getenv("AWS_DEFAULT_REGION") == "" {
		region = sam.region
	}
	load := []func(*config.LoadOptions) error{config.WithRegion(region)}
	if opts.Profile != "" {
		load = append(load, config.WithSharedConfigProfile(opts.Profile))
	}
	cfg, err := config.LoadDefaultConfig(ctx, load...)
	if err != nil {
		return aws.Config{}, name{}, err
	}
	if cfg.Region == "" {
		return aws.Config{}, name{}, exit.New(exit.Usage, "no region: neither --region, nor AWS_REGION, nor samconfig.toml, nor the profile says one").
			Next("add --region eu-west-1, or whichever the stack is in")
	}
	if cfg.HTTPClient == nil {
		cfg.HTTPClient = awshttp.NewBuildableClient()
	}
	cfg.HTTPClient = boot.PlainBodies(cfg.HTTPClient)
	if opts.Trace != nil {
		cfg.APIOptions = append(cfg.APIOptions, trace(opts.Trace))
	}
	return cfg, named, nil
}

func describe(ctx context.Context, client *cloudformation.Client, region string, named name) (types.Stack, error) {
	out, err := client.DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: &named.name})
	if e, ok := errors.AsType[smithy.APIError](err); ok && e.ErrorCode() == "ValidationError" && strings.Contains(e.ErrorMessage(), "does not exist") || err == nil && len(out.Stacks) == 0 {
		missing := exit.New(exit.NotFound, "stack %q (named by %s): there is no such stack in %s", named.name, named.by, region)
		if others, err := list(ctx, client); err == nil && len(others) > 0 {
			return types.Stack{}, missing.Next("in %s there is: %s", region, strings.Join(others, ", "))
		}
		return types.Stack{}, missing.Next("is it in another region? --region …; or in another account? --profile …")
	}
	if err != nil {
		return types.Stack{}, fmt.Errorf("stack %s in %s: %w", named.name, region, err)
	}
	if found := out.Stacks[0]; !ours(found) {
		return types.Stack{}, exit.New(exit.Usage, "stack %q (named by %s) in %s is not one of Extend Intake: its description does not begin with %q, and it has not its outputs", named.name, named.by, region, descriptionPrefix)
	}
	return out.Stacks[0], nil
}

// theOnly is the only stack of Extend Intake in the region.
func theOnly(ctx context.Context, client *cloudformation.Client, region string) (types.Stack, error) {
	all, err := allOurs(ctx, client)
	if err != nil {
		return types.Stack{}, fmt.Errorf("stacks in %s: %w", region, err)
	}
	switch len(all) {
	case 0:
		return types.Stack{}, exit.New(exit.NotFound, "there is no stack of Extend Intake in %s", region).
			Next("is it in another region? --region …; or in another account? --profile …")
	case 1:
		return all[0], nil
	}
	return types.Stack{}, exit.New(exit.Usage, "there are %d stacks of Extend Intake in %s: %s", len(all), region, strings.Join(names(all), ", ")).
		Next("say which: --stack NAME, or INTAKE_STACK in the environment")
}

func list(ctx context.Context, client *cloudformation.Client) ([]string, error) {
	all, err := allOurs(ctx, client)
	return names(all), err
}

func allOurs(ctx context.Context, client *cloudformation.Client) (all []types.Stack, err error) {
	for pages := cloudformation.NewDescribeStacksPaginator(client, &cloudformation.DescribeStacksInput{}); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, s := range page.Stacks {
			if ours(s) && !strings.HasPrefix(string(s.StackStatus), "DELETE_") {
				all = append(all, s)
			}
		}
	}
	return all, nil
}

func names(stacks []types.Stack) (names []string) {
	for _, s := range stacks {
		names = append(names, aws.ToString(s.StackName))
	}
	slices.Sort(names)
	return names
}

// ours reports whether a stack is one of Extend Intake: by its description or, where that is
// lost, as in a copy of the template, by its outputs.
func ours(s types.Stack) bool {
	if strings.HasPrefix(strings.TrimSpace(aws.ToString(s.Description)), descriptionPrefix) {
		return true
	}
	has := func(name string) bool {
		return slices.ContainsFunc(s.Outputs, func(o types.Output) bool { return aws.ToString(o.OutputKey) == name })
	}
	return has("UploadQueueUrl") && has("DocumentsTableName") && has("ExtendSecretArn")
}

func newStack(ctx context.Context, cfg aws.Config, client *cloudformation.Client, found types.Stack) (*Stack, error) {
	s := &Stack{
		Name: aws.ToString(found.StackName), Region: cfg.Region, ARN: aws.ToString(found.StackId), Status: string(found.StackStatus),
		Created: aws.ToTime(found.CreationTime), Updated: aws.ToTime(cmp.Or(found.LastUpdatedTime, found.CreationTime)),
		Outputs: make(map[string]string), Parameters: make(map[string]string), Tags: make(map[string]string), Config: cfg,
	}
	if parts := strings.Split(s.ARN, ":"); len(parts) > 4 { // arn:aws:cloudformation:region:account:…
		s.Account = parts[4]
	}
	for _, o := range found.Outputs {
		s.Outputs[aws.ToString(o.OutputKey)] = aws.ToString(o.OutputValue)
	}
	for _, p := range found.Parameters {
		s.Parameters[aws.ToString(p.ParameterKey)] = aws.ToString(p.ParameterValue)
	}
	for _, t := range found.Tags {
		s.Tags[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	s.Version = s.Tags["extend-intake-version"]
	s.resources = sync.OnceValues(func() (map[string]string, error) { return resources(ctx, client, s.Name) })
	switch found.StackStatus {
	case types.StackStatusRollbackComplete, types.StackStatusRollbackFailed, types.StackStatusCreateFailed, types.StackStatusRollbackInProgress:
		return nil, exit.New(exit.Failed, "stack %s is %s: its first deployment failed, and there is nothing in it", s.Name, s.Status).
			Next("aws cloudformation describe-stack-events --stack-name %s   says why", s.Name).Next("make delete STACK=%s   removes it", s.Name)
	case types.StackStatusCreateInProgress:
		return nil, exit.New(exit.Failed, "stack %s is %s", s.Name, s.Status).Next("wait until it is deployed")
	}
	for _, output := range outputs {
		if s.Outputs[output] == "" {
			return nil, exit.New(exit.Failed, "stack %s has no output %s: it was deployed from another version of the template (%s)", s.Name, output, cmp.Or(s.Version, "which has no tag extend-intake-version")).
				Next("deploy the version of this command, or use the intake of that version")
		}
	}
	return s, nil
}

// Resource is the name or ARN that a resource of the template has on AWS.
func (s *Stack) Resource(logical string) (string, error) {
	all, err := s.resources()
	if err != nil {
		return "", err
	}
	if all[logical] == "" {
		return "", exit.New(exit.Failed, "stack %s has no resource %s: it was deployed from another version of the template", s.Name, logical)
	}
	return all[logical], nil
}

// Resources are the names on AWS of all resources, by their names in the template.
func (s *Stack) Resources() (map[string]string, error) { return s.resources() }

func resources(ctx context.Context, client *cloudformation.Client, stack string) (map[string]string, error) {
	all := make(map[string]string)
	for pages := cloudformation.NewListStackResourcesPaginator(client, &cloudformation.ListStackResourcesInput{StackName: &stack}); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("resources of stack %s: %w", stack, err)
		}
		for _, r := range page.StackResourceSummaries {
			all[aws.ToString(r.LogicalResourceId)] = aws.ToString(r.PhysicalResourceId)
		}
	}
	return all, nil
}
