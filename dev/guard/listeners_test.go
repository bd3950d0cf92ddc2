package guard

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestEveryListenerIsGuarded names all places of dev/ that open a port, besides this
// package, and says why nobody else is answered there. Start a new server by Serve.
func TestEveryListenerIsGuarded(t *testing.T) {
	t.Parallel()
	want := map[string]string{
		"fakeextend/serve/main.go Listen":       "it serves Local",
		"fakeextend/serve/main.go ListenConfig": "the same",
		"fakeextend/serve/main.go Server":       "the same",
		"fakeextend/server.go NewServer":        "for tests, which have a key of their own",
		"stack/emulator/emulator.go Listen":     "only to find a free port",
		"invoke/samlocal.go Listen":             "to find a free port, and to pass what containers send to guarded ports",
	}
	got := make(map[string]string)
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && (path == "../guard" || d.Name() == "testdata") {
			if err == nil {
				err = fs.SkipDir
			}
			return err
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(filepath.ToSlash(path), "../")
		ast.Inspect(file, func(n ast.Node) bool {
			var selector ast.Expr
			switch n := n.(type) {
			case *ast.CallExpr:
				selector = n.Fun
			case *ast.CompositeLit:
				selector = n.Type
			}
			s, ok := selector.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			of := ""
			if id, ok := s.X.(*ast.Ident); ok {
				of = id.Name
			}
			switch {
			case of == "guard":
			case strings.HasPrefix(s.Sel.Name, "Listen"), of == "http" && (s.Sel.Name == "Server" || strings.HasPrefix(s.Sel.Name, "Serve")), of == "httptest" && strings.Contains(s.Sel.Name, "Server"):
				key := fmt.Sprintf("%s %s", name, s.Sel.Name)
				got[key] = want[key]
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(got))); diff != "" {
		t.Errorf("listeners (-known +found):\n%s", diff)
	}
}
