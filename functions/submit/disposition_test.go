package submit

import (
	"testing"
	"time"
)

func TestWhichDispositionWins(t *testing.T) {
	t.Parallel()
	spoilt, panicked := disposition{kind: deadLetter, reason: "spoilt"}, disposition{kind: failed, reason: "panic"}
	soon, late := disposition{kind: delayed, after: time.Second}, disposition{kind: delayed, after: time.Minute}
	for _, c := range []struct {
		name    string
		uploads []disposition
		want    disposition
	}{
		{"none", nil, disposition{}},
		{"all done", []disposition{{}, {reason: "REFUSED"}}, disposition{}},
		{"one for the dead-letter queue", []disposition{{}, spoilt, {}}, spoilt},
		{"an error comes back, and the dead letter with it", []disposition{spoilt, panicked}, panicked},
		{"who waits comes back without a count", []disposition{panicked, late, spoilt}, late},
		{"the earliest first", []disposition{late, soon}, soon},
		{"the earliest first, in any order", []disposition{soon, late}, soon},
	} {
		var got disposition
		for _, d := range c.uploads {
			got = got.and(d)
		}
		if got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}
