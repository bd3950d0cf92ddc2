package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"go.yaml.in/yaml/v3"
)

// checkKey refuses a deployment that changes the KMS key and leaves what is encrypted with
// the old one unreadable. file has the parameters of the deployment, as make build writes
// them. Where the stack can't be looked at, sam deploy will say why.
func checkKey(ctx context.Context, out io.Writer, at place, stackName, file string) error {
	text, err := os.ReadFile(file) // #nosec G304 -- of this repository's build
	if err != nil {
		return err
	}
	var next map[string]string
	if err := yaml.Unmarshal(text, &next); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	for name, value := range next {
		next[name] = strings.Trim(value, `"`) // as SAM reads them
	}
	cfg, err := at.config(ctx)
	if err != nil {
		fmt.Fprintln(out, "the key was not checked:", err)
		return nil
	}
	stacks, err := cloudformation.NewFromConfig(cfg).DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: &stackName})
	if err != nil {
		if !strings.Contains(err.Error(), "does not exist") {
			fmt.Fprintln(out, "the key was not checked:", err)
		}
		return nil
	}
	old := make(map[string]string)
	for _, p := range stacks.Stacks[0].Parameters {
		old[aws.ToString(p.ParameterKey)] = aws.ToString(p.ParameterValue)
	}
	return keyChange(old, next)
}

// keyChange is what is wrong with a change of the key. A parameter that next does not have
// stays as it is.
func keyChange(old, next map[string]string) error {
	after := func(name string) string {
		if v, ok := next[name]; ok {
			return v
		}
		return old[name]
	}
	was, is, previous := old["KmsKeyArn"], after("KmsKeyArn"), after("PreviousKmsKeyArn")
	if was == "" || was == is || was == previous {
		return nil
	}
	return fmt.Errorf("KmsKeyArn is %q and was %q: set PreviousKmsKeyArn to the old one, or the functions can no longer read what is in the queues and buckets", is, was)
}
