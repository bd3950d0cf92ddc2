package contract

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// refers says whether a value of the template has a reference to a parameter in it.
func refers(v any, parameter string) bool {
	switch v := v.(type) {
	case map[string]any:
		if v["!Ref"] == parameter {
			return true
		}
		for _, part := range v {
			if refers(part, parameter) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(v, func(part any) bool { return refers(part, parameter) })
	}
	return false
}

// The key policy of the docs lets everybody do what the template has them do.
func TestKeyPolicyOfTheDocs(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?s)\n```json\n(\\{\n  \"Version\".*?)```").FindSubmatch(doc)
	if m == nil {
		t.Fatal("configuration.md has no key policy")
	}
	var policy struct {
		Statement []struct {
			Sid       string
			Principal map[string]any
			Action    any
			Condition map[string]map[string]any
		}
	}
	if err := json.Unmarshal(m[1], &policy); err != nil {
		t.Fatal(err)
	}
	through, events := policy.Statement[1], policy.Statement[2]

	// Through which services the key is used, and by which roles.
	services, senders := map[string]bool{}, map[string]bool{}
	for name, r := range readResources(t) {
		r := r.(map[string]any)
		if r["Type"] == "AWS::SQS::QueuePolicy" {
			for _, s := range at(r, "Properties.PolicyDocument.Statement").([]any) {
				text, err := json.Marshal(s)
				if err != nil {
					t.Fatal(err)
				}
				for _, m := range regexp.MustCompile(`"Service":"([a-z0-9.]+)"`).FindAllStringSubmatch(string(text), -1) {
					senders[m[1]] = true
				}
			}
		}
		if !refers(r, "KmsKeyArn") {
			continue
		}
		service, ok := map[string]string{"AWS::S3::Bucket": "s3", "AWS::SQS::Queue": "sqs", "AWS::DynamoDB::Table": "dynamodb", "AWS::SecretsManager::Secret": "secretsmanager"}[r["Type"].(string)]
		switch {
		case ok:
			services[service+".eu-west-1.amazonaws.com"] = true
		case r["Type"] != "AWS::IAM::Role":
			t.Errorf("%s uses the key, and this test does not know by which service", name)
		default:
			if row := fmt.Sprintf("\n| `%s` | `kms:Decrypt`, `kms:GenerateDataKey` |", name); !strings.Contains(string(doc), row) {
				t.Errorf("configuration.md, principals: there is no line that begins with%s", row)
			}
		}
	}
	words := func(v any) (all []string) {
		for _, w := range list(v) {
			all = append(all, fmt.Sprint(w))
		}
		slices.Sort(all)
		return all
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(services)), words(through.Condition["StringEquals"]["kms:ViaService"])); diff != "" {
		t.Errorf("services through which the key is used (-template +docs):\n%s", diff)
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(senders)), words(events.Principal["Service"])); diff != "" {
		t.Errorf("services that send to the queues (-template +docs):\n%s", diff)
	}
	for service := range senders {
		if !strings.Contains(string(doc), "\n| `"+service+"` | `kms:GenerateDataKey`, `kms:Decrypt` |") {
			t.Errorf("configuration.md, principals: %s is missing", service)
		}
	}
	// The actions of the roles are pinned in roles_test.go.
	for _, action := range []string{"kms:Decrypt", "kms:GenerateDataKey*"} {
		if !slices.Contains(words(through.Action), action) {
			t.Errorf("the key policy does not allow %s", action)
		}
	}
}
