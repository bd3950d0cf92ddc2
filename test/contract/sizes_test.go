package contract

import (
	"fmt"
	"maps"
	"strings"
	"testing"
)

// environmentLimit is how many bytes the names and values of a function's environment can
// have together.
// https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
const environmentLimit = 4096

// A function whose environment is too large is refused by Lambda, in the middle of a
// deployment. So the longest values that the parameters take have to fit. Values with other
// characters than ASCII take more, which dev/tools/parameters.py checks.
func TestLongestEnvironmentFits(t *testing.T) {
	t.Parallel()
	tmpl := readTemplate(t)
	stack := strings.Repeat("s", 72) // as long as its queue allows
	longest := func(v any) int {
		names := tmpl.parameters(v)
		if len(names) == 0 {
			return len(map[string]string{
				"DocumentsTable": stack + "-DocumentsTable-0123456789ABC", "ExtendSecret": "arn:aws-us-gov:secretsmanager:us-gov-west-1:123456789012:secret:ExtendSecret-0123456789AB-012345",
				"UploadQueue":                  "https://sqs.us-gov-west-1.amazonaws.com/123456789012/" + stack + "-uploads",
				"DeadLetterQueue":              "https://sqs.us-gov-west-1.amazonaws.com/123456789012/" + strings.Repeat("x", 80),
				"AnnouncementsDeadLetterQueue": "https://sqs.us-gov-west-1.amazonaws.com/123456789012/" + strings.Repeat("x", 80),
				"ResultsBucket":                strings.Repeat("x", 63),
				"map[!Sub:${AWS::AccountId}/${AWS::Region}/${AWS::StackName}]": "123456789012/us-gov-west-1/" + stack,
			}[reference(v)])
		}
		p := tmpl.Parameters[names[0]]
		switch name := names[0]; {
		case p.MaxLength != nil:
			return seconds(t, *p.MaxLength, 0)
		case len(p.AllowedValues) > 0:
			n := 0
			for _, value := range p.AllowedValues {
				n = max(n, len(value))
			}
			return n
		case p.Type == "Number":
			return max(len(*p.MaxValue), len("1234.5678"))
		default: // a pattern without a length of its own
			n, ok := map[string]int{"ExistingBucketName": 63, "ProcessorVersion": len("1234.1234"), "ProcessorId": 40, "ExtendWorkspaceId": 40, "ExtendBaseUrl": 80, "PayloadHosts": 400, "ExistingBucketAccount": 12}[name]
			if !ok {
				t.Errorf("how long %s can be is not known to this test", name)
			}
			return n
		}
	}
	for name, r := range tmpl.Resources {
		if r.Type != "AWS::Serverless::Function" {
			continue
		}
		variables := maps.Clone(tmpl.Globals.Function.Environment.Variables)
		maps.Copy(variables, r.Properties.Environment.Variables)
		total := 0
		for variable, value := range variables {
			total += len(variable) + longest(value)
		}
		t.Logf("%s: up to %d bytes of environment", name, total)
		if total > environmentLimit {
			t.Errorf("%s: the environment can have %d bytes, and Lambda takes %d", name, total, environmentLimit)
		}
	}
}

// reference is what a value refers to.
func reference(v any) string {
	if object, ok := v.(map[string]any); ok && object["!Ref"] != nil {
		return fmt.Sprint(object["!Ref"])
	}
	return fmt.Sprint(v)
}
