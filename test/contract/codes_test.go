package contract

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// Whoever reads a record or a log line finds each code that this software gives in
// docs/operations.md, with what to do.
func TestEveryCodeIsInOperations(t *testing.T) {
	t.Parallel()
	operations, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	code := regexp.MustCompile(`^[A-Z]+(_[A-Z]+)+_?$|^(FORBIDDEN|REPLACED)$`)
	var files []string
	for _, dir := range []string{"../../functions/submit", "../../functions/reconcile", "../../functions/webhook", "../../shared/recorder", "../../shared/ledger"} {
		found, err := filepath.Glob(dir + "/*.go")
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	codes := 0
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") || filepath.Base(file) == "config.go" || filepath.Base(file) == "new.go" { // names of the environment
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			literal, ok := n.(*ast.BasicLit)
			if !ok || literal.Kind != token.STRING {
				return true
			}
			text, err := strconv.Unquote(literal.Value)
			if err != nil || !code.MatchString(text) {
				return true
			}
			codes++
			if !strings.Contains(string(operations), text) {
				t.Errorf("%s: %s is not in docs/operations.md", file, text)
			}
			return true
		})
	}
	if codes < 20 {
		t.Errorf("only %d codes found", codes)
	}
}
