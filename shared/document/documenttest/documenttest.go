// Package documenttest has signed tags for tests.
package documenttest

import (
	"context"

	"extend-intake/shared/document"
)

// Key is what tests, and the sample events, sign tags with.
const Key = "sample_tag_key_for_events_and_tests"

// Keys returns Key alone.
var Keys = document.StaticKeys(Key)

// Tag is [document.NewTag], signed with Key.
func Tag(stack string, s document.Source, attempt int, usageTags ...string) document.Tag {
	t, err := Keys.Sign(context.Background(), document.NewTag(stack, s, attempt, usageTags...))
	if err != nil {
		panic(err)
	}
	return t
}
