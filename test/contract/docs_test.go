package contract

import (
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
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

// Every relative link leads to a file or directory, and every anchor to a heading.
func TestLinks(t *testing.T) {
	t.Parallel()
	pages := make(map[string]string) // by path from the root, without their code blocks
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && strings.HasPrefix(d.Name(), ".") && d.Name() != ".." && d.Name() != ".github":
			return filepath.SkipDir
		case d.IsDir() || filepath.Ext(file) != ".md":
			return nil
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, file)
		pages[filepath.ToSlash(name)] = regexp.MustCompile("(?ms)^ *```.*?^ *```$").ReplaceAllString(string(text), "")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	links := 0
	for name, text := range pages {
		for _, m := range regexp.MustCompile(`\]\(([^)\s]+)\)`).FindAllStringSubmatch(text, -1) {
			link, err := url.Parse(m[1])
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if link.IsAbs() {
				continue
			}
			links++
			target := name
			if link.Path != "" {
				target = path.Join(path.Dir(name), link.Path)
			}
			if _, err := os.Stat(filepath.Join(root, target)); err != nil {
				t.Errorf("%s: %s leads nowhere", name, m[1])
				continue
			}
			if page, ok := pages[target]; link.Fragment != "" && !(ok && anchors(page)[link.Fragment]) {
				t.Errorf("%s: %s: there is no such heading", name, m[1])
			}
		}
	}
	if len(pages) < 5 || links < 20 {
		t.Errorf("only %d pages with %d links: this test no longer finds what it looks for", len(pages), links)
	}
}

// anchors are what a page's headings are called in links, as GitHub makes them.
func anchors(page string) map[string]bool {
	all := make(map[string]bool)
	for _, m := range regexp.MustCompile(`(?m)^#+ +(.+?) *$`).FindAllStringSubmatch(page, -1) {
		text := strings.ToLower(m[1])
		text = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`).ReplaceAllString(text, "$1")
		text = regexp.MustCompile(`[^\p{L}\p{N}_ -]`).ReplaceAllString(text, "")
		anchor := strings.ReplaceAll(text, " ", "-")
		for i := 1; all[anchor]; i++ {
			anchor = fmt.Sprintf("%s-%d", strings.ReplaceAll(text, " ", "-"), i)
		}
		all[anchor] = true
	}
	return all
}

// The field's cases and the security review name the tests that hold what is said of them.
func TestPagesNameTests(t *testing.T) {
	t.Parallel()
	there := map[string]bool{}
	for _, dir := range []string{"functions", "shared", "simulation", "test", "dev"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(name string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(name, "_test.go") {
				return err
			}
			source, err := os.ReadFile(name)
			for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllSubmatch(source, -1) {
				there[string(m[1])] = true
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, page := range []string{"field-cases.md", "security-review.md"} {
		doc, err := os.ReadFile(filepath.Join(root, "docs", page))
		if err != nil {
			t.Fatal(err)
		}
		named := regexp.MustCompile("`(Test\\w+)`").FindAllStringSubmatch(string(doc), -1)
		if len(named) == 0 {
			t.Errorf("%s names no test", page)
		}
		for _, m := range named {
			if !there[m[1]] {
				t.Errorf("%s names %s: there is no such test", page, m[1])
			}
		}
	}
}
