package command

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"extend-intake/intake/exit"
	"extend-intake/intake/stack"
)

func init() { register(newIAM) }

// Policy is an IAM policy.
type Policy struct {
	Version   string
	Statement []Statement
}

// Statement is one of a Policy.
type Statement struct {
	Sid      string
	Effect   string
	Action   []string
	Resource []string
}

// foundBy are the calls with which a stack is found.
var foundBy = []string{"cloudformation:DescribeStacks", "cloudformation:ListStackResources"}

// roles are who has which rights: those of the commands of these classes.
var roles = map[string][]Class{
	"viewer":   {Read},
	"operator": {Read, Write, Spend},
	"admin":    {Read, Write, Spend, Destroy},
}

func newIAM(e *Env) *cobra.Command {
	return e.leaf(spec{
		use: "iam viewer|operator|admin [flags]", short: "Print the IAM policy that somebody needs for these commands", class: Read, output: Policy{},
		args:  cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		valid: sortedKeys(roles),
		calls: foundBy,
		long: `iam prints a policy for this stack and nothing else: viewer for the commands that read, operator
for those that change or spend as well, admin for those that can't be undone as well. Whoever
sends messages to the queue has to be the role of the parameter OperatorArn, too; and whoever reads
through a key of KMS (KmsKeyArn) needs kms:Decrypt and kms:GenerateDataKey of it.`,
		example: "  intake iam operator > policy.json",
		run: func(ctx context.Context, args []string) error {
			s, err := e.Stack(ctx)
			if err != nil {
				return err
			}
			p, err := policy(Root(e), s, roles[args[0]])
			if err != nil {
				return err
			}
			text, err := json.MarshalIndent(p, "", "  ")
			if err != nil {
				return err
			}
			return e.Out().RawJSON(text)
		},
	})
}

// policy allows what the commands of these classes call.
func policy(root *cobra.Command, s *stack.Stack, classes []Class) (Policy, error) {
	wanted := map[string]bool{}
	for _, call := range foundBy {
		wanted[call] = true
	}
	for _, cmd := range leaves(root) {
		if spec, _ := specOf(cmd); slices.Contains(classes, spec.class) {
			for _, call := range spec.calls {
				wanted[call] = true
			}
		}
	}
	byResource := map[string][]string{}
	for _, call := range sortedKeys(wanted) {
		arns, err := resourcesOf(s, call)
		if err != nil {
			return Policy{}, err
		}
		key := strings.Join(arns, " ")
		byResource[key] = append(byResource[key], call)
	}
	p := Policy{Version: "2012-10-17"}
	for i, key := range sortedKeys(byResource) {
		p.Statement = append(p.Statement, Statement{Sid: fmt.Sprintf("Intake%d", i+1), Effect: "Allow", Action: byResource[key], Resource: strings.Fields(key)})
	}
	return p, nil
}

// leaves are the commands that do something.
func leaves(cmd *cobra.Command) (all []*cobra.Command) {
	if _, ok := specOf(cmd); ok {
		all = append(all, cmd)
	}
	for _, c := range cmd.Commands() {
		all = append(all, leaves(c)...)
	}
	return all
}

// resourcesOf are the ARNs that a call is about.
func resourcesOf(s *stack.Stack, call string) ([]string, error) {
	partition := strings.Split(s.ARN, ":")[1]
	arn := func(service, rest string) string {
		return "arn:" + partition + ":" + service + ":" + s.Region + ":" + s.Account + ":" + rest
	}
	queue := func(url string) string { return arn("sqs", url[strings.LastIndexByte(url, '/')+1:]) }
	bucket := func(name string) string { return "arn:" + partition + ":s3:::" + name }
	service, action, _ := strings.Cut(call, ":")
	switch service {
	case "cloudformation":
		if action == "DescribeStacks" {
			return []string{"*"}, nil // to find the only stack, all are listed
		}
		return []string{arn("cloudformation", "stack/"+s.Name+"/*")}, nil
	case "dynamodb":
		table := arn("dynamodb", "table/"+s.Table())
		return []string{table, table + "/index/*"}, nil
	case "s3":
		if strings.HasPrefix(action, "List") || strings.HasPrefix(action, "GetBucket") {
			return []string{bucket(s.Bucket())}, nil
		}
		return []string{bucket(s.Bucket()) + "/*", bucket(s.Outputs["ResultsBucketName"]) + "/*"}, nil
	case "sqs":
		if action == "SendMessage" {
			return []string{queue(s.Outputs["UploadQueueUrl"])}, nil
		}
		return []string{queue(s.Outputs["AnnouncementsDeadLetterQueueUrl"]), queue(s.Outputs["DeadLetterQueueUrl"]), queue(s.Outputs["UploadQueueUrl"])}, nil
	case "secretsmanager":
		return []string{s.Outputs["ExtendSecretArn"]}, nil
	case "lambda":
		if action == "InvokeFunction" {
			function, err := s.Resource("PublishFunction")
			return []string{arn("lambda", "function:"+function)}, err
		}
		return []string{"*"}, nil // mappings have no resource that can be named before they are listed
	case "logs":
		var groups []string
		for _, function := range functions {
			groups = append(groups, arn("logs", "log-group:/aws/lambda/"+s.Name+"/"+function+":*"))
		}
		return groups, nil
	case "cloudwatch", "sts":
		return []string{"*"}, nil // they have no resources, or none that can be named
	}
	return nil, exit.New(exit.Failed, "the resources of %s are unknown", call)
}
