package contract

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// What the tools are installed from is locked: each package with its version and the
// hashes of its files, which are asked for, and in the table of docs/development.md.
func TestToolsAreLocked(t *testing.T) {
	t.Parallel()
	read := func(path string) string {
		t.Helper()
		text, err := os.ReadFile(filepath.Join("../..", path))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	const dir = "dev/tools/requirements/"
	_, docs, _ := strings.Cut(read("docs/development.md"), "## What is downloaded")
	docs, _, _ = strings.Cut(docs, "\n## ")
	inputs, err := filepath.Glob("../../" + dir + "*.in")
	if err != nil || len(inputs) == 0 {
		t.Fatalf("no %s*.in: %v", dir, err)
	}
	version := regexp.MustCompile(`^[a-z0-9][a-z0-9._-]*==[^ ;]+( ; [^\\]+)? \\$`)
	hash := regexp.MustCompile(`^    --hash=sha256:[0-9a-f]{64}( \\)?$`)
	script := read("dev/tools/tools.sh")
	for _, input := range inputs {
		name := strings.TrimSuffix(filepath.Base(input), ".in")
		locked := read(dir + name + ".txt")
		before := ""
		for line := range strings.Lines(locked) {
			line = strings.TrimSuffix(line, "\n")
			switch {
			case strings.HasPrefix(line, "# ") && before == "":
				continue
			case hash.MatchString(line):
			case version.MatchString(line) && !strings.HasSuffix(before, "\\"):
			default:
				t.Errorf("%s.txt: %q is neither a version nor a hash", name, line)
			}
			before = line
		}
		if !hash.MatchString(before) {
			t.Errorf("%s.txt ends with %q", name, before)
		}
		if !strings.Contains(docs, "("+"../"+dir+name+".txt)") {
			t.Errorf("development.md: no row links %s%s.txt", dir, name)
		}
		if !regexp.MustCompile(`(?m)^(\[ -z "\$scanners" \] \|\| )?venv ` + name + `$`).MatchString(script) {
			t.Errorf("tools.sh does not install %s", name)
		}
		for line := range strings.Lines(read(dir + name + ".in")) {
			if line = strings.TrimSpace(line); strings.HasPrefix(line, "#") {
				continue
			}
			if !strings.Contains(locked, "\n"+line+" \\\n") {
				t.Errorf("%s.txt does not have %s: run dev/tools/lock.sh", name, line)
			}
			if tool, _, _ := strings.Cut(line, "=="); !regexp.MustCompile(`\b` + regexp.QuoteMeta(tool) + `\b`).MatchString(docs) {
				t.Errorf("development.md does not list %s", tool)
			}
		}
	}
	for line := range strings.Lines(script) {
		if strings.Contains(line, "pip install") && !strings.HasPrefix(strings.TrimSpace(line), "#") {
			for _, flag := range []string{"--require-hashes", "--only-binary :all:", "--no-deps"} {
				if !strings.Contains(line, flag) {
					t.Errorf("tools.sh installs without %s: %s", flag, line)
				}
			}
		}
		if strings.Contains(line, "-m pip install") && !strings.Contains(line, "--require-hashes") || regexp.MustCompile(`\b(curl|wget|npx|npm install|git clone)\b`).MatchString(line) {
			t.Errorf("tools.sh downloads in another way: %s", line)
		}
	}
	if !strings.Contains(script, "npm pack") || !strings.Contains(script, "sha256sum --check") || !strings.Contains(docs, "dynoxide") {
		t.Error("dynoxide is not verified, or not in development.md")
	}
	for _, module := range []string{"go.mod", "dev/tools/lint/go.mod"} {
		if !regexp.MustCompile(`(?m)^toolchain go1\.\d+\.\d+$`).MatchString(read(module)) {
			t.Errorf("%s names no toolchain", module)
		}
	}
	for _, path := range append(inputs, "../../docs/development.md", "../../dev/tools/tools.sh", "../../dev/tools/lock.sh") { // whoever installs has a registry of their own
		if text := read(strings.TrimPrefix(path, "../../")); regexp.MustCompile(`--(extra-)?index-url|(?i)\b(pypi|npmjs)\.`).MatchString(text) {
			t.Errorf("%s names a package registry", path)
		}
	}
	if !strings.Contains(read("Makefile"), "govulncheck@v") || !strings.Contains(read(".github/workflows/test.yml"), "make vulnerabilities") {
		t.Error("CI does not look for known vulnerabilities")
	}
}

// The example is copied: what this stack promises of its own queues and tables holds there too.
func TestExampleConsumerIsAsSafe(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../examples/consumer/template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var tmpl struct {
		Resources map[string]struct {
			Type       string         `yaml:"Type"`
			Properties map[string]any `yaml:"Properties"`
		} `yaml:"Resources"`
	}
	if err := yaml.Unmarshal(text, &tmpl); err != nil {
		t.Fatal(err)
	}
	guarded := make(map[string]bool)
	for _, r := range tmpl.Resources {
		if policy := fmt.Sprint(r.Properties["PolicyDocument"]); r.Type == "AWS::SQS::QueuePolicy" && strings.Contains(policy, "Effect:Deny") && strings.Contains(policy, "aws:SecureTransport:false") {
			for _, queue := range r.Properties["Queues"].([]any) {
				guarded[fmt.Sprint(queue)] = true
			}
		}
	}
	for name, r := range tmpl.Resources {
		switch r.Type {
		case "AWS::SQS::Queue":
			if !guarded[name] {
				t.Errorf("queue %s takes connections without TLS", name)
			}
		case "AWS::DynamoDB::Table":
			if !strings.Contains(fmt.Sprint(r.Properties["PointInTimeRecoverySpecification"]), "PointInTimeRecoveryEnabled:true") {
				t.Errorf("table %s has no backups", name)
			}
		}
	}
}
