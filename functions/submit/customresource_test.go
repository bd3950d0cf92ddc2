package submit

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// A deployment must end with what the function thinks of its environment.
func TestCloudFormationIsTold(t *testing.T) {
	const overlapping = `[{"name":"a","prefix":"in/","processor":"dp_a"},{"name":"b","suffix":".pdf","processor":"dp_b"}]`
	for _, c := range []struct {
		name, request, properties, stack string
		env                              map[string]string
		status                           string
		reasons                          []string
	}{
		{name: "all is well", request: "Create", status: "SUCCESS"},
		{name: "routes instead of a processor", request: "Update", env: map[string]string{"PROCESSOR_ID": "", "KEY_PREFIX": "", "ROUTES": `[{"name":"a","prefix":"in/","processor":"dp_a"}]`}, status: "SUCCESS"},
		{name: "everything is wrong", request: "Create", env: map[string]string{"ROUTES": overlapping, "FILES_PER_MINUTE": "0", "TRANSFER": "mail"},
			properties: `{"ExistingBucketName": "theirs", "UploadBucketName": "ours"}`, status: "FAILED",
			reasons: []string{`ExistingBucketName is "theirs" and UploadBucketName is "ours": set only one`, `route "a" and route "b" both match the key`, "FILES_PER_MINUTE is 0", `TRANSFER is "mail"`}},
		{name: "parameters by their names", request: "Update", env: map[string]string{"FILES_PER_MINUTE": "0", "PROCESSOR_ID": "px"},
			properties: `{"FilesPerMinute": "0", "ProcessorId": "px", "LeaseSeconds": "180"}`, status: "FAILED",
			reasons: []string{"FilesPerMinute is 0: it must be between 5 and 100000", `ProcessorId is "px": it must begin with "dp_"`}},
		{name: "a name too long for the queue", request: "Create", stack: strings.Repeat("a", 73), status: "FAILED", reasons: []string{"has 73 characters: it can have 72"}},
		{name: "a name too long for the rule", request: "Create", stack: strings.Repeat("a", 57), properties: `{"ExistingBucketName": "theirs"}`, status: "FAILED", reasons: []string{"has 57 characters: it can have 56"}},
		{name: "a name just short enough", request: "Create", stack: strings.Repeat("a", 56), properties: `{"ExistingBucketName": "theirs"}`, status: "SUCCESS"},
		{name: "nothing is read", request: "Create", env: map[string]string{"PROCESSOR_ID": ""}, status: "FAILED", reasons: []string{"PROCESSOR_ID and ROUTES are both empty"}},
		{name: "a prefix of nothing", request: "Create", env: map[string]string{"PROCESSOR_ID": "", "ROUTES": `[{"name":"a","prefix":"x/","processor":"dp_a"}]`}, status: "FAILED", reasons: []string{"KEY_PREFIX and KEY_SUFFIX are about PROCESSOR_ID"}},
		{name: "a lease shorter than the function lives", request: "Create", env: map[string]string{"TRANSFER": "upload", "LEASE_SECONDS": "170"}, status: "FAILED", reasons: []string{"LEASE_SECONDS is 170"}},
		{name: "more than CloudFormation takes", request: "Create", env: map[string]string{"TRANSFER": strings.Repeat("ü", 5000)}, status: "FAILED", reasons: []string{"TRANSFER is"}},
		{name: "more than CloudFormation takes, and all of it escaped", request: "Create", env: map[string]string{"ROUTES": "[" + strings.Repeat("0,", 1190) + "0]"}, status: "FAILED", reasons: []string{"ROUTES can't be used"}},
		{name: "a deletion", request: "Delete", env: map[string]string{"FILES_PER_MINUTE": "0"}, status: "SUCCESS"},
	} {
		t.Run(c.name, func(t *testing.T) {
			stackID := "arn:aws:cloudformation:eu-west-1:123456789012:stack/" + cmp.Or(c.stack, strings.Repeat("long-", 14)) + "/00000000-0000-0000-0000-000000000000"
			var got struct{ Status, Reason, PhysicalResourceId, RequestId, LogicalResourceId, StackId string }
			length := 0
			cloudFormation := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				length = len(body)
				if err := json.Unmarshal(body, &got); err != nil || r.Method != http.MethodPut {
					t.Errorf("%s %s: %v", r.Method, body, err)
				}
			}))
			defer cloudFormation.Close()
			base := environment(cloudFormation.URL, "https://api.extend.ai")
			handle, err := New(t.Context(), func(name string) string {
				if v, ok := c.env[name]; ok {
					return v
				}
				return base(name)
			})
			if err != nil {
				t.Fatal(err)
			}
			if c.properties == "" {
				c.properties = "{}"
			}
			if _, err := handle(t.Context(), fmt.Appendf(nil, `{"RequestType": %q, "ResponseURL": %q, "StackId": %q, "RequestId": "request", "ResourceType": "Custom::Configuration",
				"LogicalResourceId": "Configuration", "ResourceProperties": %s}`, c.request, cloudFormation.URL, stackID, c.properties)); err != nil {
				t.Fatal(err)
			}
			if got.Status != c.status || got.PhysicalResourceId != "configuration" || got.RequestId != "request" || got.StackId != stackID || got.LogicalResourceId != "Configuration" {
				t.Errorf("%+v", got)
			}
			if length > 4096 {
				t.Errorf("%d bytes: CloudFormation takes 4096", length)
			}
			for _, want := range c.reasons {
				if !strings.Contains(got.Reason, want) {
					t.Errorf("%q is not in:\n%s", want, got.Reason)
				}
			}
			// Uploads are not touched with an environment that is wrong.
			if _, err := handle(t.Context(), batch(message{id: "m", body: testEvent})); (err != nil) != (len(c.env) > 0 && c.status == "FAILED" || c.request == "Delete") {
				t.Errorf("a batch: %v", err)
			}
		})
	}
}

// Who may invoke the function must not choose where it sends requests.
func TestOnlyCloudFormationIsAnswered(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]bool{
		"https://cloudformation-custom-resource-response-useast1.s3.amazonaws.com/arn%3Aaws/x?X-Amz-Signature=5": true,
		"https://cloudformation-custom-resource-response-eucentral2.s3.eu-central-2.amazonaws.com/x":             true,
		"https://cloudformation-custom-resource-response-euwest1.s3-eu-west-1.amazonaws.com/x":                   true,
		"https://cloudformation-custom-resource-response-cnnorth1.s3.cn-north-1.amazonaws.com.cn/x":              true,
		"https://cloudformation-custom-resource-response-useast1.s3.dualstack.us-east-1.amazonaws.com/x":         true,
		"http://cloudformation-custom-resource-response-useast1.s3.amazonaws.com/x":                              false,
		"https://evil.example/x": false,
		"https://evil.example/?cloudformation-custom-resource-response-useast1.s3.amazonaws.com":        false,
		"https://evil.example#cloudformation-custom-resource-response-useast1.s3.amazonaws.com":         false,
		"https://cloudformation-custom-resource-response-useast1.s3.amazonaws.com.evil.example/x":       false,
		"https://cloudformation-custom-resource-response-useast1.s3.amazonaws.com@evil.example/x":       false,
		"https://a@cloudformation-custom-resource-response-useast1.s3.amazonaws.com/x":                  false,
		"https://cloudformation-custom-resource-response-useast1.s3.amazonaws.com:8443/x":               false,
		"https://cloudformation-custom-resource-response-x.evil.s3.amazonaws.com/x":                     false,
		"https://evil.s3.amazonaws.com/cloudformation-custom-resource-response-useast1":                 false,
		"https://cloudformation-custom-resource-response-useast1.execute-api.us-east-1.amazonaws.com/x": false,
		"http://127.0.0.1:9/x":                    false,
		"http://169.254.169.254/latest/meta-data": false,
		"http://[::1]:9/":                         false,
		"file:///etc/passwd":                      false,
		"https://":                                false,
		"%zz":                                     false,
	} {
		if err := checkResponseURL(address, ""); (err == nil) != want || err != nil && strings.Contains(err.Error(), "evil") {
			t.Errorf("%s: %v", address, err)
		}
	}
	for address, want := range map[string]bool{"http://localhost:1/x": true, "http://127.0.0.1:1/x": true, "http://127.0.0.1.evil.example/x": false, "http://169.254.169.254/": false} {
		if err := checkResponseURL(address, "http://127.0.0.1:1"); (err == nil) != want {
			t.Errorf("on a local AWS, %s: %v", address, err)
		}
	}

	// The handler holds to it.
	reached := false
	stranger := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }))
	defer stranger.Close()
	handle := withCustomResource(nil, "", nil)
	_, err := handle(t.Context(), fmt.Appendf(nil, `{"RequestType": "Create", "ResponseURL": %q, "ResourceType": "Custom::Configuration"}`, stranger.URL))
	if err == nil || reached {
		t.Errorf("%v, reached: %v", err, reached)
	}
}
