package main

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestShowOutput(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, output, want string }{
		{
			"an extraction",
			`{"value": {"number": "AF-1", "total": 12345678901234567890.10, "lines": [{"sku": "x", "description": "a list that is too long for one line"}], "none": null},
			  "metadata": {"number": {"logprobsConfidence": 0.987, "citations": [{}]}, "total": {"logprobsConfidence": null, "ocrConfidence": 0.5, "citations": [{}, {}]}}}`,
			"    number           AF-1   (99 % sure, 1 citation)\n" +
				"    total            12345678901234567890.10   (50 % sure, 2 citations)\n" +
				"    lines            \n" +
				"      [0]            \n" +
				"        sku          x\n" +
				"        description  a list that is too long for one line\n" +
				"    none             null\n",
		},
		{"something else", `{"id": "c1", "type": " padded ", "tags": [1,2], "empty": {}}`,
			"    id     c1\n    type   \" padded \"\n    tags   [1,2]\n    empty  {}\n"},
		{"no object", `null`, ""},
	} {
		var out strings.Builder
		showOutput(&out, json.RawMessage(c.output))
		if out.String() != c.want {
			t.Errorf("%s:\n%s\nwant:\n%s", c.name, out.String(), c.want)
		}
	}
}
