package contract

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestReadmeNamesEveryParameter compares the README's configuration table with the
// template: each parameter with its default and its description.
func TestReadmeNamesEveryParameter(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	var have []string
	table := regexp.MustCompile("(?s)## Configuration\n.*?\n\nThe outputs").FindString(string(readme))
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
			t.Errorf("README.md, Configuration: this line is missing:\n%s", line)
		}
	}
	if len(have) != len(want) {
		t.Errorf("README.md has %d parameters, template.yaml %d", len(have), len(want))
	}
}
