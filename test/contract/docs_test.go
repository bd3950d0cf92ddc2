package contract

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"extend-intake/shared/document"
)

const root = "../.."

// The table of parameters is the template's: each with its default and its description.
func TestConfigurationTable(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	var have []string
	table := regexp.MustCompile("(?s)\n## Parameters\n.*?\n## ").FindString(string(doc))
	for line := range strings.SplitSeq(table, "\n") {
		if strings.HasPrefix(line, "| `") {
			have = append(have, line)
		}
	}
	var want []string
	for name, p := range readTemplate(t).Parameters {
		value := "required"
		if p.Default != nil {
			value = "`" + *p.Default + "`"
			if *p.Default == "" {
				value = "empty"
			}
		}
		want = append(want, fmt.Sprintf("| `%s` | %s | %s |", name, value, strings.Join(strings.Fields(p.Description), " ")))
	}
	for _, line := range want {
		if !strings.Contains(table, line) {
			t.Errorf("configuration.md: this line is missing:\n%s", line)
		}
	}
	if len(have) != len(want) {
		t.Errorf("configuration.md has %d parameters, template.yaml %d", len(have), len(want))
	}
}

// The example of Routes can be used as it is.
func TestRoutesExample(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile(filepath.Join(root, "docs/configuration.md"))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?s)\nRoutes = '''\n(.*?)'''").FindSubmatch(doc)
	if m == nil {
		t.Fatal("configuration.md has no example of Routes")
	}
	if routes, err := document.ParseRoutes(string(m[1])); err != nil || len(routes) < 2 {
		t.Errorf("%d routes, %v", len(routes), err)
	}
}
