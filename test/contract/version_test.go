package contract

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// The version stands in the template twice: for who publishes it, and for the functions.
func TestVersion(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	published := regexp.MustCompile(`(?m)^    SemanticVersion: (\d+\.\d+\.\d+\S*)`).FindSubmatch(text)
	if published == nil {
		t.Fatal("the template has no semantic version")
	}
	if logged := readTemplate(t).Globals.Function.Environment.Variables["VERSION"]; logged != string(published[1]) {
		t.Errorf("the functions log version %v, and %s is published", logged, published[1])
	}
	changes, err := os.ReadFile("../../CHANGELOG.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(changes), "## "+string(published[1])) && !strings.Contains(string(changes), "## Unreleased, will be "+string(published[1])) {
		t.Errorf("CHANGELOG.md does not say what is in %s", published[1])
	}
	for _, name := range []string{"LICENSE", "README.md"} { // which the Serverless Application Repository shows
		if _, err := os.Stat("../../" + name); err != nil {
			t.Error(err)
		}
	}
}
