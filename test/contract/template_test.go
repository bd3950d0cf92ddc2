package contract

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"extend-intake/functions/publish"
	"extend-intake/functions/reconcile"
	"extend-intake/functions/submit"
	"extend-intake/functions/webhook"
	"extend-intake/shared/boot"
)

// template is what these tests read of template.yaml.
type template struct {
	Parameters map[string]parameter
	Globals    struct {
		Function struct{ Environment environment }
	}
	Resources map[string]resource
	Outputs   map[string]struct{ Description string }
}

type parameter struct {
	Description, Type, AllowedPattern string
	Default                           *string
	MinValue, MaxValue, MaxLength     *string
	AllowedValues                     []string
}

type resource struct {
	Type       string
	Properties struct {
		Role             any
		AlarmDescription string
		AlarmActions     any
		Namespace        string
		MetricName       string
		Dimensions       []struct {
			Name  string
			Value any
		}
		Metrics []struct {
			MetricStat struct {
				Metric struct{ Namespace, MetricName string }
			}
		}
		DashboardBody     any
		Timeout           any
		VisibilityTimeout any
		Environment       environment
		Events            map[string]struct {
			Type       string
			Properties struct {
				ScalingConfig     struct{ MaximumConcurrency any }
				DestinationConfig struct{ OnFailure struct{ Type string } }
			}
		}
		ManagedPolicyArns any
		Roles             []any
		PolicyDocument    struct {
			Statement []map[string]any
		}
		Policies []struct {
			PolicyDocument struct {
				Statement []map[string]any
			}
		}
	}
}

type environment struct{ Variables map[string]any }

// parameters are those that a value of the template refers to, in either branch of a
// condition.
func (tmpl template) parameters(v any) (names []string) {
	switch v := v.(type) {
	case map[string]any:
		if name, ok := v["!Ref"].(string); ok {
			if _, ok := tmpl.Parameters[name]; ok {
				names = append(names, name)
			}
		}
		for _, part := range v {
			names = append(names, tmpl.parameters(part)...)
		}
	case []any:
		for _, part := range v {
			names = append(names, tmpl.parameters(part)...)
		}
	}
	return names
}

// branch is what a value is if every condition is true (0), or false (1).
func branch(v any, n int) any {
	if object, ok := v.(map[string]any); ok {
		if choice, ok := object["!If"].([]any); ok {
			return branch(choice[1+n], n)
		}
	}
	return v
}

func seconds(t *testing.T, v any, n int) int {
	t.Helper()
	i, err := strconv.Atoi(fmt.Sprint(branch(v, n)))
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// readTemplate reads template.yaml with all its scalars as strings; one with a tag of
// CloudFormation, such as !Ref X, is the object {"!Ref": "X"}.
func readTemplate(t *testing.T) template {
	t.Helper()
	var tmpl template
	if err := json.Unmarshal(templateJSON(t), &tmpl); err != nil {
		t.Fatal(err)
	}
	return tmpl
}

// readResources reads all that template.yaml says of its resources, in the same form.
func readResources(t *testing.T) map[string]any {
	t.Helper()
	var tmpl struct{ Resources map[string]any }
	if err := json.Unmarshal(templateJSON(t), &tmpl); err != nil {
		t.Fatal(err)
	}
	return tmpl.Resources
}

func templateJSON(t *testing.T) []byte {
	t.Helper()
	text, err := os.ReadFile("../../template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	text, err = json.Marshal(plain(document.Content[0]))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func plain(n *yaml.Node) any {
	var v any
	switch n.Kind {
	case yaml.MappingNode:
		object := make(map[string]any)
		for i := 0; i < len(n.Content); i += 2 {
			object[n.Content[i].Value] = plain(n.Content[i+1])
		}
		v = object
	case yaml.SequenceNode:
		list := []any{}
		for _, c := range n.Content {
			list = append(list, plain(c))
		}
		v = list
	default:
		v = n.Value
	}
	if strings.HasPrefix(n.Tag, "!") && !strings.HasPrefix(n.Tag, "!!") {
		return map[string]any{n.Tag: v}
	}
	return v
}

// Scripts of others rely on these names.
func TestTemplateKeepsItsNames(t *testing.T) {
	t.Parallel()
	tmpl := readTemplate(t)
	for _, name := range []string{"ProcessorId", "ProcessorVersion", "ExtendBaseUrl", "KeyPrefix", "KeySuffix", "RequestsPerSecond", "FilesPerMinute", "EventBusName", "Architecture"} {
		if _, ok := tmpl.Parameters[name]; !ok {
			t.Errorf("parameter %s is gone", name)
		}
	}
	for _, name := range []string{"UploadBucketName", "UploadQueueUrl", "DeadLetterQueueUrl", "WebhookUrl", "DocumentsTableName", "ResultsBucketName", "ExtendSecretArn", "EventBusName", "AnnouncementsDeadLetterQueueUrl"} {
		if o, ok := tmpl.Outputs[name]; !ok || o.Description == "" {
			t.Errorf("output %s is gone, or has no description", name)
		}
	}
}

func TestParametersAreDescribedAndBounded(t *testing.T) {
	t.Parallel()
	for name, p := range readTemplate(t).Parameters {
		if p.Description == "" {
			t.Errorf("%s has no description", name)
		}
		if p.AllowedPattern == "" && len(p.AllowedValues) == 0 && (p.MinValue == nil || p.MaxValue == nil) && p.MaxLength == nil {
			t.Errorf("%s takes anything: it has neither a pattern, nor values, nor bounds", name)
		}
		switch {
		case p.Default == nil:
			t.Errorf("%s has no default", name)
		case p.Default != nil && p.AllowedPattern != "" && !regexp.MustCompile(p.AllowedPattern).MatchString(*p.Default):
			t.Errorf("%s: the default %q does not match %s", name, *p.Default, p.AllowedPattern)
		}
	}
}

// lambdaFunctions are how each function of the template reads its environment.
var lambdaFunctions = map[string]func(getenv func(string) string) error{
	"SubmitFunction":    func(g func(string) string) error { _, err := submit.LoadConfig(g); return err },
	"WebhookFunction":   func(g func(string) string) error { _, err := webhook.LoadConfig(g); return err },
	"ReconcileFunction": func(g func(string) string) error { _, err := reconcile.LoadConfig(g); return err },
	"PublishFunction":   func(g func(string) string) error { _, err := publish.LoadConfig(g); return err },
}

func TestEachFunctionIsGivenWhatItReads(t *testing.T) {
	t.Parallel()
	tmpl := readTemplate(t)
	unread := maps.Clone(tmpl.Globals.Function.Environment.Variables)
	for name, r := range tmpl.Resources {
		if r.Type != "AWS::Serverless::Function" {
			continue
		}
		load, ok := lambdaFunctions[name]
		if !ok {
			t.Errorf("%s is not known to this test", name)
			continue
		}
		read := make(map[string]bool)
		note := func(variable string) string { read[variable] = true; return "" }
		_ = load(note) // it complains of everything, and so reads everything
		boot.NewSecrets(nil, "", note, nil)
		boot.TagKeys(nil, "", note, nil)

		given := maps.Clone(tmpl.Globals.Function.Environment.Variables)
		maps.Copy(given, r.Properties.Environment.Variables)
		for variable := range read {
			if _, ok := given[variable]; !ok && variable != "AWS_REGION" { // Lambda's own
				t.Errorf("%s reads %s, which the template does not give it", name, variable)
			}
		}
		for variable := range r.Properties.Environment.Variables {
			if !read[variable] {
				t.Errorf("the template gives %s %s, which it does not read", name, variable)
			}
		}
		maps.DeleteFunc(unread, func(variable string, _ any) bool { return read[variable] })
	}
	delete(unread, "VERSION") // package boot logs it
	for variable := range unread {
		t.Errorf("the template gives every function %s, which none reads", variable)
	}
}

// What the template lets through, the functions must take: or a deployment that
// succeeds is one that can't start.
func TestFunctionsTakeWhatParametersAllow(t *testing.T) {
	t.Parallel()
	tmpl := readTemplate(t)
	check := func(t *testing.T, function string, values map[string]string) error {
		t.Helper()
		variables := maps.Clone(tmpl.Globals.Function.Environment.Variables)
		maps.Copy(variables, tmpl.Resources[function].Properties.Environment.Variables)
		return lambdaFunctions[function](func(name string) string {
			switch v := variables[name].(type) {
			case string:
				return v
			case map[string]any:
				ref, _ := v["!Ref"].(string)
				if p, ok := tmpl.Parameters[ref]; ok {
					if v, ok := values[ref]; ok {
						return v
					}
					return cmp.Or(*p.Default, map[string]string{"ProcessorId": "dp_x"}[ref])
				}
			}
			return "the name of some resource"
		})
	}
	for function := range lambdaFunctions {
		if err := check(t, function, nil); err != nil {
			t.Errorf("%s, all defaults: %v", function, err)
		}
		for name, p := range tmpl.Parameters {
			values := slices.Clone(p.AllowedValues)
			for _, bound := range []*string{p.MinValue, p.MaxValue} {
				if bound != nil {
					values = append(values, *bound)
				}
			}
			for _, value := range values {
				values := map[string]string{name: value}
				if name == "SubmitConcurrency" { // which is as good as the plan allows
					values["RequestsPerSecond"], values["FilesPerMinute"] = *tmpl.Parameters["RequestsPerSecond"].MaxValue, *tmpl.Parameters["FilesPerMinute"].MaxValue
				}
				if err := check(t, function, values); err != nil {
					t.Errorf("%s with %s=%s: %v", function, name, value, err)
				}
			}
		}
		if function == "PublishFunction" {
			continue // it has nothing to say to Extend
		}
		pattern := regexp.MustCompile(tmpl.Parameters["ExtendBaseUrl"].AllowedPattern)
		for url, want := range map[string]bool{
			"https://api.extend.ai":            true,
			"https://api.us2.extend.app":       true,
			"https://extend.ai":                true,
			"https://proxy.example:8443":       false,
			"https://api.extend.ai:8443":       false,
			"https://extend.ai.example":        false,
			"https://notextend.ai":             false,
			"https://api.extend.ai.":           false,
			"https://a@api.extend.ai":          false,
			"https://evil.example#.extend.ai":  false,
			"https://evil.example/.extend.ai":  false,
			"https://evil.example?.extend.ai":  false,
			"http://127.0.0.1:1234":            true,
			"http://localhost:1234":            true,
			"http://host.docker.internal:1234": true,
			"http://api.extend.ai":             false,
			"http://127.0.0.1.example":         false,
			"http://localhost.example":         false,
			"ftp://api.extend.ai":              false,
			"api.extend.ai":                    false,
			"":                                 false,
		} {
			if got := pattern.MatchString(url); got != want {
				t.Errorf("ExtendBaseUrl %q: the pattern says %v, want %v", url, got, want)
			}
			if err := check(t, function, map[string]string{"ExtendBaseUrl": url}); (err == nil) != want {
				t.Errorf("ExtendBaseUrl %q: %s says %v, want %v", url, function, err, want)
			}
		}
	}
}

// CloudFormation's Number is any number. Where a function needs a whole one, a fraction has
// to stop the deployment: by the parameter's values, or by submit, which checks what it is
// given when Configuration changes.
func TestFractionsStopTheDeployment(t *testing.T) {
	t.Parallel()
	tmpl := readTemplate(t)
	for name, p := range tmpl.Parameters {
		switch name {
		case "RequestsPerSecond", "FilesPerMinute", "CreditsPerHour", "DailyCreditBudget":
			continue // can be fractions
		}
		if p.Type != "Number" || len(p.AllowedValues) > 0 {
			continue
		}
		variables := maps.Clone(tmpl.Globals.Function.Environment.Variables)
		maps.Copy(variables, tmpl.Resources["SubmitFunction"].Properties.Environment.Variables)
		_, err := submit.LoadConfig(func(variable string) string {
			if slices.Contains(tmpl.parameters(variables[variable]), name) {
				return *p.MinValue + ".5"
			}
			return ""
		})
		if !strings.Contains(err.Error(), `is "`+*p.MinValue+`.5": it must be a number`) {
			t.Errorf("%s can be %s.5, which submit does not refuse", name, *p.MinValue)
		}
	}
}

// A parameter that Configuration is not given can be changed without being checked.
func TestConfigurationIsGivenWhatFunctionsRead(t *testing.T) {
	t.Parallel()
	tmpl := readTemplate(t)
	given := readResources(t)["Configuration"].(map[string]any)["Properties"].(map[string]any)
	environments := []any{tmpl.Globals.Function.Environment.Variables}
	for name := range lambdaFunctions {
		environments = append(environments, tmpl.Resources[name].Properties.Environment.Variables)
	}
	for _, variables := range environments {
		for _, value := range variables.(map[string]any) {
			for _, name := range tmpl.parameters(value) {
				if fmt.Sprint(given[name]) != "map[!Ref:"+name+"]" {
					t.Errorf("a function reads %s, and Configuration is given %v", name, given[name])
				}
			}
		}
	}
}

// Numbers that stand in two places, or have to fit each other.
func TestNumbersFit(t *testing.T) {
	t.Parallel()
	tmpl := readTemplate(t)
	submit := tmpl.Resources["SubmitFunction"].Properties
	if env, source := submit.Environment.Variables["SUBMIT_CONCURRENCY"], submit.Events["Uploads"].Properties.ScalingConfig.MaximumConcurrency; source == nil || fmt.Sprint(env) != fmt.Sprint(source) {
		t.Errorf("SUBMIT_CONCURRENCY is %v, the event source's MaximumConcurrency %v", env, source)
	}
	for sends, least := range []string{"171", *tmpl.Parameters["LeaseSeconds"].MinValue} { // the first by the function's own check
		timeout := seconds(t, submit.Timeout, sends)
		if visibility := seconds(t, tmpl.Resources["UploadQueue"].Properties.VisibilityTimeout, sends); visibility < 6*timeout {
			t.Errorf("the queue's visibility timeout is %d s, want six times the function's %d s", visibility, timeout)
		}
		if lease, err := strconv.Atoi(least); err != nil || lease <= timeout {
			t.Errorf("LeaseSeconds can be %d, want more than the %d s that a claimer can live", lease, timeout)
		}
	}
	timeout := seconds(t, tmpl.Resources["WebhookFunction"].Properties.Timeout, 0)
	if timeout >= 30 {
		t.Errorf("webhook may take %d s, and Extend gives up after 30", timeout)
	}
	if left := time.Duration(timeout)*time.Second - webhook.AnswerTimeout; left < 2*time.Second {
		t.Errorf("webhook answers after %v at the latest, and is ended after %d s: too late to say what is wrong", webhook.AnswerTimeout, timeout)
	}
}

// list is one value, or those of a list.
func list(v any) []any {
	if l, ok := v.([]any); ok {
		return l
	}
	return []any{v}
}
