package main

import "testing"

func TestKeyChange(t *testing.T) {
	t.Parallel()
	values := func(key, previous string) map[string]string {
		return map[string]string{"KmsKeyArn": key, "PreviousKmsKeyArn": previous}
	}
	for _, c := range []struct {
		name      string
		old, next map[string]string
		ok        bool
	}{
		{"none", values("", ""), values("", ""), true},
		{"the first", values("", ""), values("a", ""), true},
		{"the same", values("a", ""), values("a", ""), true},
		{"not named", values("a", ""), nil, true},
		{"changed", values("a", ""), values("b", ""), false},
		{"changed, with the old one", values("a", ""), values("b", "a"), true},
		{"removed", values("a", ""), values("", ""), false},
		{"removed, with the old one", values("a", ""), values("", "a"), true},
		{"the old one is no longer named", values("b", "a"), values("b", ""), true},
		{"changed again", values("b", "a"), values("c", "a"), false},
		{"a version without PreviousKmsKeyArn", map[string]string{"KmsKeyArn": "a"}, map[string]string{"KmsKeyArn": "b"}, false},
	} {
		if err := keyChange(c.old, c.next); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
