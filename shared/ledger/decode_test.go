package ledger

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// TestDecodeImage: what DynamoDB's JSON means, however it is spaced, escaped and ordered, and
// what this software does not write.
func TestDecodeImage(t *testing.T) {
	t.Parallel()
	for image, want := range map[string]string{
		` { "M" : { "b" : { "L" : [ { "N" : "1.50" } , { "NULL" : true } ] } , "a" : { "BOOL" : false } } } `: `{"a":false,"b":[1.50,null]}`,
		`{"M":{"\u0062":{"S":"\u003cé\u0041\u2028"},"a":{"M":{}},"c":{"L":[]}}}`:                              `{"a":{},"b":"<éA\u2028","c":[]}`,
		`{"\u0053":"x"}`:                      `"x"`,
		`{"N":"\u0031E-7"}`:                   `1E-7`,
		"{\"S\":\"\xff\"}":                    `"` + "\uFFFD" + `"`,
		`{"M":{"a":{"N":"1"},"a":{"N":"2"}}}`: `{"a":2}`,
	} {
		got, err := DecodeImage([]byte(image))
		if err != nil || string(got) != want {
			t.Errorf("%s is %s, %v, want %s", image, got, err, want)
		}
	}
	for image, want := range map[string]string{
		`{"B":"AAEC"}`: "not written by this software", `{"M":{"a":{"SS":["x"]}}}`: "not written by this software",
		`{"N":"NaN"}`: "no number", `{"N":""}`: "no number", `{"N":"1 "}`: "no number",
		``: "DynamoDB's JSON", `null`: "DynamoDB's JSON", `{}`: "DynamoDB's JSON", `{"S":1}`: "DynamoDB's JSON", `{"N":1}`: "DynamoDB's JSON", `{"BOOL":"true"}`: "DynamoDB's JSON", `{"BOOL":null}`: "DynamoDB's JSON",
		`{"S":"x"`: "DynamoDB's JSON", `{"S":"x"} x`: "DynamoDB's JSON", `{"S":"x","N":"1"}`: "DynamoDB's JSON", `{"L":[{"S":"x"}}`: "DynamoDB's JSON", `{"L":[{"S":"x"},]}`: "DynamoDB's JSON", `{"L":[`: "DynamoDB's JSON",
		`{"M":{"a"}}`: "DynamoDB's JSON", `{"M":{"a":{"S":"x"},}}`: "DynamoDB's JSON", `{"M":{a:1}}`: "DynamoDB's JSON", `{"M":`: "DynamoDB's JSON", `{"S":"\x"}`: "DynamoDB's JSON", `{"NULL":`: "DynamoDB's JSON",
	} {
		if got, err := DecodeImage([]byte(image)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s is %s, %v, want an error with %q", image, got, err, want)
		}
	}
}

func TestCutOutput(t *testing.T) {
	t.Parallel()
	for item, want := range map[string]struct{ rest, output string }{
		`{"a":{"S":"x"}, "output" : {"M":{"output":{"N":"1"}}} ,"b":{"S":"y"}}`: {`{"a":{"S":"x"}, "output" : {"NULL":true} ,"b":{"S":"y"}}`, `{"M":{"output":{"N":"1"}}}`},
		`{"a":{"M":{"output":{"N":"1"}}}}`:                                      {`{"a":{"M":{"output":{"N":"1"}}}}`, ""},
		`{"output":`:                                                            {`{"output":`, ""}, `null`: {`null`, ""}, ``: {``, ""},
	} {
		if rest, output := CutOutput([]byte(item)); string(rest) != want.rest || string(output) != want.output {
			t.Errorf("%s: %s and %s", item, rest, output)
		}
	}
}

// TestReplaceIn: nothing is sent where the placeholder is not in the request, once and as a
// whole attribute.
func TestReplaceIn(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"Item":{"output":{"S":"PLACE"},"a":{"S":"x"}}}`:                `{"Item":{"output":{"N":"1"},"a":{"S":"x"}}}`,
		`{"Item":{"a":{"S":"x"}}}`:                                       "",
		`{"Item":{"output":{"S":"PLACE"},"a":{"S":"PLACE"}}}`:            "",
		`{"Item":{"output":{"S":"PLACES"}}}`:                             "",
		`{"Item":{"output":{"S" : "PLACE"}}}`:                            "",
		`{"Item":{"output":{"S":"PLACE"}},"Names":{"#0":"in PLACE of"}}`: "",
	} {
		request, err := smithyhttp.NewStackRequest().(*smithyhttp.Request).SetStream(strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		in := middleware.SerializeInput{Request: request}
		err = replaceIn(&in, "PLACE", []byte(`{"N":"1"}`))
		if (err == nil) != (want != "") {
			t.Errorf("%s: %v", body, err)
		}
		if err != nil {
			continue
		}
		var got bytes.Buffer
		if _, err := io.Copy(&got, in.Request.(*smithyhttp.Request).GetStream()); err != nil || got.String() != want {
			t.Errorf("%s became %s, %v", body, got.String(), err)
		}
	}
}
