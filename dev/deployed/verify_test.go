package main

import (
	"fmt"
	"strings"
	"testing"
)

// A key that the stack would not read is named before anything is made.
func TestKeyOfTheSample(t *testing.T) {
	parameters := func(kv ...string) *deployed {
		s := &deployed{parameters: map[string]string{}}
		for i := 0; i < len(kv); i += 2 {
			s.parameters[kv[i]] = kv[i+1]
		}
		return s
	}
	for _, c := range []struct {
		key   string
		stack *deployed
		want  string // what the key begins and ends with, or the error has
		ok    bool
	}{
		{"", parameters("ProcessorId", "dp_a"), ".pdf", true},
		{"", parameters("ProcessorId", "dp_a", "KeyPrefix", "in/", "KeySuffix", ".PDF"), ".PDF", true},
		{"in/a.pdf", parameters("ProcessorId", "dp_a", "KeyPrefix", "in/", "KeySuffix", ".pdf"), "in/a.pdf", true},
		{"a.pdf", parameters("ProcessorId", "dp_a", "KeyPrefix", "in/"), `KeyPrefix is "in/"`, false},
		{"in/a.tif", parameters("ProcessorId", "dp_a", "KeySuffix", ".pdf"), `KeySuffix ".pdf"`, false},
		{"a.tif", parameters("ProcessorId", "dp_a", "KeyPrefix", "in/", "Routes", "[]"), "a.tif", true},
		{"", parameters("Routes", "[]"), "which key does a route take", false},
	} {
		key, err := verification{key: c.key}.keyFor(c.stack)
		if text := fmt.Sprint(key, err); (err == nil) != c.ok || !strings.Contains(text, c.want) || !strings.HasPrefix(key, c.stack.parameters["KeyPrefix"]) && c.ok && c.stack.parameters["Routes"] == "" {
			t.Errorf("%q: %q, %v; want %q", c.key, key, err, c.want)
		}
	}
}
