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
	failed     bool // its first deployment failed: there is nothing in it

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

// find looks a stack up, and refuses one that this template has not made.
func find(ctx context.Context, name string) (*deployed, error) {
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, err
	}
	if cfg.Region == "" {
		return nil, errors.New("in which region? Set AWS_REGION")
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
	if strings.HasSuffix(string(found.StackStatus), "_IN_PROGRESS") {
		return nil, fmt.Errorf("stack %s is %s: wait until that is over", name, found.StackStatus)
	}
	switch found.StackStatus {
	case types.StackStatusRollbackComplete, types.StackStatusRollbackFailed, types.StackStatusCreateFailed:
		s.failed = true
		return s, nil
	}
	for _, output := range []string{"UploadBucketName", "UploadQueueUrl", "DeadLetterQueueUrl", "AnnouncementsDeadLetterQueueUrl", "DocumentsTableName", "EventBusName", "WebhookUrl"} {
		if s.outputs[output] == "" {
			return nil, fmt.Errorf("stack %s is %s and has no output %s: it is no complete stack of Extend Intake", name, found.StackStatus, output)
		}
	}
	s.ledger = ledger.New(s.db, s.outputs["DocumentsTableName"], ledger.DefaultRules, time.Now)
	return s, s.findResources(ctx)
}

// findResources lists the resources, and which of them stay by the template that the stack
// was deployed from.
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
	pages := cloudformation.NewListStackResourcesPaginator(s.cfn, &cloudformation.ListStackResourcesInput{StackName: &s.name})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return fmt.Errorf("resources of %s: %w", s.name, err)
		}
		for _, r := range page.StackResourceSummaries {
			logical := aws.ToString(r.LogicalResourceId)
			s.resources = append(s.resources, resource{
				logical: logical, physical: aws.ToString(r.PhysicalResourceId), kind: aws.ToString(r.ResourceType),
				retained: strings.HasPrefix(tmpl.Resources[logical].DeletionPolicy, "Retain"),
			})
		}
	}
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
