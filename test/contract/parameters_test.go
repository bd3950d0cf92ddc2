package contract

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"extend-intake/dev/stack/emulator"
	"extend-intake/shared/document"
)

// A checkout is a directory with what dev/tools/parameters.py reads.
type checkout struct{ dir, python, script string }

func newCheckout(t *testing.T) checkout {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: it needs the SAM CLI in .tools/")
	}
	if err := emulator.Install(t.Context(), os.Stderr); err != nil {
		t.Fatal(err)
	}
	at, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	c := checkout{t.TempDir(), filepath.Join(at, ".tools/sam/bin/python"), filepath.Join(at, "dev/tools/parameters.py")}
	for _, name := range []string{"template.yaml", "samconfig.toml"} {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		c.write(t, name, string(text))
	}
	return c
}

func (c checkout) write(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join(c.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (c checkout) run(t *testing.T, args ...string) (output string, err error) {
	t.Helper()
	cmd := exec.Command(c.python, args...)
	cmd.Dir = c.dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// parameters are what SAM reads of what parameters.py writes.
func (c checkout) parameters(t *testing.T, environment, onCommandLine string) map[string]string {
	t.Helper()
	if out, err := c.run(t, c.script, "write", environment, onCommandLine); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	out, err := c.run(t, "-c", `import json
from samcli.cli.types import CfnParameterOverridesType
print(json.dumps(CfnParameterOverridesType().convert(["file://.aws-sam/parameters.yaml"], None, None)))`)
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var values map[string]string
	if err := json.Unmarshal([]byte(out), &values); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return values
}

// The docs' example of Routes, through SAM's own parser, byte for byte; and the example file.
func TestParametersOfTheDocs(t *testing.T) {
	t.Parallel()
	c := newCheckout(t)
	doc, err := os.ReadFile(filepath.Join(root, "docs/configuration.md"))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?s)\n```yaml\n(Routes: .*?)```").FindSubmatch(doc)
	if m == nil {
		t.Fatal("configuration.md has no example of Routes")
	}
	var want map[string]string
	if err := yaml.Unmarshal(m[1], &want); err != nil {
		t.Fatal(err)
	}
	c.write(t, "parameters/production.yaml", string(m[1]))
	have := c.parameters(t, "production", "")
	if have["Routes"] != want["Routes"] {
		t.Errorf("SAM reads\n%s\nand the docs have\n%s", have["Routes"], want["Routes"])
	}
	if routes, err := document.ParseRoutes(have["Routes"]); err != nil || len(routes) < 2 {
		t.Errorf("%d routes, %v", len(routes), err)
	}
	example, err := os.ReadFile(filepath.Join(root, "parameters/example.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	c.write(t, "parameters/staging.yaml", string(example))
	if have := c.parameters(t, "staging", ""); have["ProcessorVersion"] != "2.1" || have["KeyPrefix"] != "invoices/" {
		t.Errorf("the example file is %v", have)
	}
}

// What a deployment gets: the file, the command line on top of it, and the defaults, so that
// nothing of an earlier deployment is left.
func TestParametersMerge(t *testing.T) {
	t.Parallel()
	c := newCheckout(t)
	if have := c.parameters(t, "default", "ProcessorId=dp_x"); len(have) != 2 || have["Architecture"] != "arm64" {
		t.Errorf("without a file: %v, want what is named and the architecture that is built", have)
	}
	const config = `[{"name": "a", "prefix": "it's \"x y\"\\ /ü😀", "processor": "dp_a"}]`
	c.write(t, "parameters/default.yaml", "ProcessorId: dp_a\nArchitecture: x86_64\nKeyPrefix:\nRoutes: |-\n  "+config+"\n")
	have := c.parameters(t, "default", `ProcessorId=dp_b KeySuffix=".pdf" NewestOnly='true'`)
	for name, want := range map[string]string{
		"ProcessorId": "dp_b", "Architecture": "x86_64", "KeySuffix": ".pdf", "NewestOnly": "true", "KeyPrefix": "", "Routes": config, "FilesPerMinute": "80",
	} {
		if have[name] != want {
			t.Errorf("%s is %q, want %q", name, have[name], want)
		}
	}
	if all := readTemplate(t).Parameters; len(have) != len(all) {
		t.Errorf("%d parameters are given, of %d", len(have), len(all))
	}
}

func TestWrongParametersAreAllNamed(t *testing.T) {
	t.Parallel()
	c := newCheckout(t)
	config, err := os.ReadFile(filepath.Join(c.dir, "samconfig.toml"))
	if err != nil {
		t.Fatal(err)
	}
	c.write(t, "samconfig.toml", string(config)+"\n[old.deploy.parameters]\nstack_name = \"old\"\nparameter_overrides = \"ProcessorId=dp_x\"\n[nameless.deploy.parameters]\n"+
		"[long.global.parameters]\nstack_name = \""+strings.Repeat("a", 57)+"\"\n")
	for _, w := range []struct {
		environment, file, onCommandLine string
		want                             []string
	}{
		{"default", "ProcesorId: dp_x\nFilesPerMinute: 4\nArchitecture: arm\nExtendBaseUrl: api.extend.ai\nMaxAttempts: 1.5\n", "", []string{
			"ProcesorId is no parameter of template.yaml: is it ProcessorId?", "FilesPerMinute is 4: it must be between 5 and", "Architecture is 'arm': it must be one of arm64, x86_64",
			"ExtendBaseUrl is 'api.extend.ai': it must be https://", "MaxAttempts is '1.5': it must be one of 1, 2",
		}},
		{"default", "FilesPerMinute: 010\nMaxFailures: 1e3\nPauseSeconds: 1_0\nLeaseSeconds: 180.5\nSettleSeconds: \"１８０\"\n", "", []string{
			"FilesPerMinute is '010': it must be a number such as", "MaxFailures is '1e3': it must be a whole number", "PauseSeconds is '1_0': it", "LeaseSeconds is '180.5': it must be a whole number", "SettleSeconds is '１８０': it",
		}},
		{"default", "NewestOnly: yes\nRoutes: [{name: a}]\nProcessorId: |\n  dp_x\n", "", []string{"NewestOnly is 'yes': it must be one of true, false", "Routes must be text", `ProcessorId is 'dp_x\n'`}},
		{"default", "ProcessorId: dp_a\nKeyPrefix: in/\nProcessorId: dp_b\n", "", []string{"ProcessorId is set twice, the second time in line 3"}},
		{"default", "ProcessorId: !Ref dp_a\n<<: {KeyPrefix: in/}\n[a]: b\n", "", []string{"ProcessorId has a tag of YAML in line 1", "<< must be text", "a list is no parameter"}},
		{"default", "Routes: '[{\"name\": \"a\"'\n", "", []string{"Routes is no JSON"}},
		{"default", "Routes: '{\"name\": \"a\"}'\n", "", []string{"Routes must be a JSON array of objects"}},
		{"default", "ProcessorId: \tdp_x\n", "", []string{"parameters/default.yaml cannot be read"}},
		{"default", "\xff\xfeP", "", []string{"parameters/default.yaml cannot be read"}},
		{"default", "", "ProcessorId=dp_x ProcessorId=dp_y", []string{"ProcessorId is set twice in PARAMETERS"}},
		{"default", "", "ParameterKey=ProcessorId,ParameterValue=dp_x KeyPrefix=in/", []string{"SAM would not read 'KeyPrefix=in/'"}},
		{"default", "", "ProcessorId = dp_x", []string{"SAM would not read"}},
		{"staging", "", "ProcessorId=dp_x", []string{"parameters/staging.yml is not read: move what is in it to parameters/staging.yaml"}},
		{"nameless", "", "ProcessorId=dp_x", []string{"stack_name of nameless is ''"}},
		{"../x", "", "ProcessorId=dp_x", []string{"samconfig.toml has no environment '../x': it has default, staging, production"}},
		{"version", "", "ProcessorId=dp_x", []string{"samconfig.toml has no environment 'version'"}},
		{"default", "", `ProcessorId=dp_x Routes=[{"name": "a"}]`, []string{"SAM would not read", "put quotes"}},
		{"default", "Routes: '[\"" + strings.Repeat("ü", 1200) + "\"]'\n", "", []string{"Routes has 2404 bytes: it can have 2400"}},
		{"long", "", "", []string{"has 57 characters: it can have 56"}},
		{"default", "- a\n", "", []string{"parameters/default.yaml must have lines such as"}},
		{"production", "", "", []string{"there is no parameters/production.yaml"}},
		{"old", "", "ProcessorId=dp_x", []string{"samconfig.toml has parameter_overrides under old.deploy"}},
	} {
		c.write(t, "parameters/default.yaml", w.file)
		c.write(t, "parameters/long.yaml", "ExistingBucketName: theirs\n")
		c.write(t, "parameters/staging.yml", "KeyPrefix: in/\n")
		out, err := c.run(t, c.script, "write", w.environment, w.onCommandLine)
		if err == nil {
			t.Errorf("%+v was taken", w)
		}
		for _, want := range w.want {
			if !strings.Contains(out, want) {
				t.Errorf("%q is not in:\n%s", want, out)
			}
		}
	}
}

// What somebody writes is what is deployed: not what YAML makes of numbers and truth values.
func TestParametersAreTakenAsTheyAreWritten(t *testing.T) {
	t.Parallel()
	c := newCheckout(t)
	c.write(t, "parameters/default.yaml", "\ufeffProcessorVersion: 2.10\r\nExistingBucketAccount: 012345678901\r\nKeyPrefix: 010\r\nKeySuffix: null\r\n"+
		"NewestOnly: true\r\nPayloadHosts: [extend.ai, a.b]\r\nExtendWorkspaceId: &w ws_1\r\n")
	have := c.parameters(t, "default", "")
	for name, want := range map[string]string{
		"ProcessorVersion": "2.10", "ExistingBucketAccount": "012345678901", "KeyPrefix": "010", "KeySuffix": "", "NewestOnly": "true", "PayloadHosts": "extend.ai,a.b", "ExtendWorkspaceId": "ws_1",
	} {
		if have[name] != want {
			t.Errorf("%s is %q, want %q", name, have[name], want)
		}
	}
}

// A key that is pasted in the wrong place stays out of the logs of CI.
func TestWrongParametersDoNotShowSecrets(t *testing.T) {
	t.Parallel()
	c := newCheckout(t)
	c.write(t, "parameters/default.yaml", "ProcessorId: sk_live_0123456789\n")
	out, err := c.run(t, c.script, "write", "default", "ExtendWorkspaceId=wss_0123456789")
	if err == nil || strings.Contains(out, "0123456789") || !strings.Contains(out, "ExtendSecretArn") {
		t.Errorf("%v: %s", err, out)
	}
}

// make deploy looks where sam deploy deploys: at samconfig.toml's stack, region and profile.
func TestStackOfAnEnvironment(t *testing.T) {
	t.Parallel()
	c := newCheckout(t)
	c.write(t, "samconfig.toml", "version = 0.1\n[default.global.parameters]\nstack_name = 'a'\nregion = \"eu-west-1\"\n[default.deploy.parameters]\nstack_name = \"b\"\nprofile = \"my own\"\n[other.deploy.parameters]\n")
	if out, err := c.run(t, c.script, "stack", "default"); err != nil || out != "--region=eu-west-1 '--profile=my own' b\n" {
		t.Errorf("%v: %q", err, out)
	}
	for environment, want := range map[string]string{"other": "no stack_name under [other", "production": "no environment 'production': it has default, other"} {
		if out, err := c.run(t, c.script, "stack", environment); err == nil || !strings.Contains(out, want) {
			t.Errorf("%s: %v: %s", environment, err, out)
		}
	}
}

// A built template can be deployed only for the architecture of the programs beside it.
func TestBuiltArchitectureIsTheOnlyOne(t *testing.T) {
	t.Parallel()
	c := newCheckout(t)
	const sams = "Parameters:\n  AlarmTopicArn:\n    Default: ''\n  Architecture:\n    Description: x\n    Type: String\n    Default: arm64\n    AllowedValues:\n    - arm64\n    - x86_64\n  Tracing:\n    Default: a\n    AllowedValues:\n    - a\n    - b\n"
	c.write(t, "build/template.yaml", sams)
	c.write(t, "build/A/bootstrap", "\x7fELF\x02\x01\x01"+strings.Repeat("\x00", 9)+"\x02\x00\x3e\x00")
	for range 2 { // make build again
		if out, err := c.run(t, c.script, "narrow", "build/template.yaml"); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	text, err := os.ReadFile(filepath.Join(c.dir, "build/template.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.Replace(sams, "Default: arm64\n    AllowedValues:\n    - arm64\n    - x86_64\n", "Default: x86_64\n    AllowedValues:\n    - x86_64\n", 1); string(text) != want {
		t.Errorf("the built template is\n%s", text)
	}
	c.write(t, "build/B/bootstrap", "\x7fELF\x02\x01\x01"+strings.Repeat("\x00", 9)+"\x02\x00\xb7\x00")
	if out, err := c.run(t, c.script, "narrow", "build/template.yaml"); err == nil || !strings.Contains(out, "arm64, x86_64") {
		t.Errorf("two architectures in one build: %v %s", err, out)
	}
}
