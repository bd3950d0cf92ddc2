package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"go.yaml.in/yaml/v3"

	"extend-intake/shared/boot"
	"extend-intake/shared/ledger"
)

// A deployed is a stack on AWS, and how to talk to it.
type deployed struct {
	name       string
	id         string // its ARN
	outputs    map[string]string
	parameters map[string]string
	resources  []resource
	incomplete string // its status, where a deployment or a deletion was begun and not completed

	cfn    *cloudformation.Client
	bus    *eventbridge.Client
	sqs    *sqs.Client
	s3     *s3.Client
	db     *dynamodb.Client
	ledger *ledger.Ledger
}

// A resource of a stack.
type resource struct {
	logical, physical, kind string
	retained                bool // it stays when the stack is deleted
}

// A place is where a stack is, if not where the shell says.
type place struct{ region, profile string }

func (p place) config(ctx context.Context) (aws.Config, error) {
	cfg, err := config.LoadDefaultConfig(ctx, config.WithRegion(p.region), config.WithSharedConfigProfile(p.profile))
	if err == nil && cfg.Region == "" {
		err = errors.New("in which region? Set AWS_REGION")
	}
	return cfg, err
}

// find looks a stack up, and refuses one that this template has not made.
func find(ctx context.Context, at place, name string) (*deployed, error) {
	cfg, err := at.config(ctx)
	if err != nil {
		return nil, err
	}
	s := &deployed{
		name: name, outputs: make(map[string]string), parameters: make(map[string]string),
		cfn: cloudformation.NewFromConfig(cfg), bus: eventbridge.NewFromConfig(cfg), sqs: sqs.NewFromConfig(cfg),
		s3: boot.S3(cfg), db: dynamodb.NewFromConfig(cfg),
	}
	stacks, err := s.cfn.DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: &name})
	if err != nil {
		return nil, fmt.Errorf("stack %s in %s: %w", name, cfg.Region, err)
	}
	found := stacks.Stacks[0]
	s.id = aws.ToString(found.StackId)
	for _, o := range found.Outputs {
		s.outputs[aws.ToString(o.OutputKey)] = aws.ToString(o.OutputValue)
	}
	for _, p := range found.Parameters {
		s.parameters[aws.ToString(p.ParameterKey)] = aws.ToString(p.ParameterValue)
	}
	switch found.StackStatus {
	case types.StackStatusReviewInProgress: // a change set that nobody has executed: there is nothing in it
		s.incomplete = string(found.StackStatus)
		return s, nil
	case types.StackStatusDeleteComplete:
		return nil, fmt.Errorf("stack %s is deleted already", name)
	case types.StackStatusRollbackComplete, types.StackStatusRollbackFailed, types.StackStatusCreateFailed, types.StackStatusDeleteFailed:
		s.incomplete = string(found.StackStatus)
	}
	if strings.HasSuffix(string(found.StackStatus), "_IN_PROGRESS") {
		return nil, fmt.Errorf("stack %s is %s: wait until that is over", name, found.StackStatus)
	}
	if err := s.findResources(ctx); err != nil || s.incomplete != "" {
		return s, err
	}
	for _, output := range []string{"UploadBucketName", "UploadQueueUrl", "DeadLetterQueueUrl", "AnnouncementsDeadLetterQueueUrl", "DocumentsTableName", "EventBusName", "WebhookUrl"} {
		if s.outputs[output] == "" {
			return nil, fmt.Errorf("stack %s is %s and has no output %s: it is no complete stack of Extend Intake", name, found.StackStatus, output)
		}
	}
	return s, nil
}

// findResources lists the resources that are there, and which of them stay by the template
// that the stack was deployed from.
func (s *deployed) findResources(ctx context.Context) error {
	body, err := s.cfn.GetTemplate(ctx, &cloudformation.GetTemplateInput{StackName: &s.name})
	if err != nil {
		return fmt.Errorf("template of %s: %w", s.name, err)
	}
	var tmpl struct {
		Resources map[string]struct {
			DeletionPolicy string `yaml:"DeletionPolicy"`
		} `yaml:"Resources"`
	}
	if err := yaml.Unmarshal([]byte(aws.ToString(body.TemplateBody)), &tmpl); err != nil {
		return fmt.Errorf("template of %s: %w", s.name, err)
	}
	for _, ours := range []string{"SubmitFunction", "DocumentsTable"} {
		if _, ok := tmpl.Resources[ours]; !ok {
			return fmt.Errorf("stack %s has no resource %s: it is no stack of Extend Intake", s.name, ours)
		}
	}
	pages := cloudformation.NewListStackResourcesPaginator(s.cfn, &cloudformation.ListStackResourcesInput{StackName: &s.name})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return fmt.Errorf("resources of %s: %w", s.name, err)
		}
		for _, r := range page.StackResourceSummaries {
			logical := aws.ToString(r.LogicalResourceId)
			if r.ResourceStatus == types.ResourceStatusDeleteComplete || aws.ToString(r.PhysicalResourceId) == "" {
				continue // gone, or never made
			}
			s.resources = append(s.resources, resource{
				logical: logical, physical: aws.ToString(r.PhysicalResourceId), kind: aws.ToString(r.ResourceType),
				retained: strings.HasPrefix(tmpl.Resources[logical].DeletionPolicy, "Retain"),
			})
		}
	}
	table, _ := s.resource("DocumentsTable")
	s.ledger = ledger.New(s.db, table.physical, ledger.DefaultRules, time.Now)
	return nil
}

// resource is one by its name in the template.
func (s *deployed) resource(logical string) (resource, bool) {
	i := slices.IndexFunc(s.resources, func(r resource) bool { return r.logical == logical })
	if i < 0 {
		return resource{}, false
	}
	return s.resources[i], true
}
