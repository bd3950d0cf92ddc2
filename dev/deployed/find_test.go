package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// fakeCloudFormation has one stack of a status, made from a template, with resources as
// "LogicalId Type Status". It records what is asked of it, and knows no other service.
func fakeCloudFormation(t *testing.T, status, template string, outputs bool, resources ...string) (asked func() string) {
	t.Helper()
	var actions []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		action := r.Form.Get("Action")
		if action == "" {
			action = r.Header.Get("X-Amz-Target")
		}
		actions = append(actions, action)
		result := ""
		switch action {
		case "DescribeStacks":
			result = "<Stacks><member><StackName>s</StackName><StackId>id</StackId><StackStatus>" + status + "</StackStatus>"
			if outputs {
				result += "<Outputs>"
				for _, o := range []string{"UploadBucketName", "UploadQueueUrl", "DeadLetterQueueUrl", "AnnouncementsDeadLetterQueueUrl", "DocumentsTableName", "EventBusName", "WebhookUrl"} {
					result += "<member><OutputKey>" + o + "</OutputKey><OutputValue>x</OutputValue></member>"
				}
				result += "</Outputs>"
			}
			result += "</member></Stacks>"
		case "GetTemplate":
			result = "<TemplateBody>" + template + "</TemplateBody>"
		case "ListStackResources":
			result = "<StackResourceSummaries>"
			for _, line := range resources {
				f := strings.Fields(line)
				result += "<member><LogicalResourceId>" + f[0] + "</LogicalResourceId><PhysicalResourceId>its-" + f[0] + "</PhysicalResourceId><ResourceType>" + f[1] + "</ResourceType><ResourceStatus>" + f[2] + "</ResourceStatus></member>"
			}
			result += "</StackResourceSummaries>"
		case "DeleteStack":
			status = "DELETE_COMPLETE"
		default:
			t.Errorf("%s is asked for", action)
		}
		_, _ = fmt.Fprintf(w, "<%[1]sResponse><%[1]sResult>%[2]s</%[1]sResult></%[1]sResponse>", action, result)
	}))
	t.Cleanup(server.Close)
	for name, value := range map[string]string{"AWS_ENDPOINT_URL": server.URL, "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_REGION": "us-east-1", "AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null"} {
		t.Setenv(name, value)
	}
	return func() string { return strings.Join(actions, " ") }
}

// What make delete and make verify do with stacks in all the states that a stack can be in.
func TestStacksThatAreNotComplete(t *testing.T) {
	const (
		ours   = "Resources: {SubmitFunction: {}, DocumentsTable: {DeletionPolicy: Retain}, UploadQueue: {}}"
		theirs = "Resources: {TheirTable: {}}"
		table  = "DocumentsTable AWS::DynamoDB::Table DELETE_SKIPPED"
		gone   = "UploadQueue AWS::SQS::Queue DELETE_COMPLETE"
	)
	for _, c := range []struct {
		name, status, template string
		outputs                bool
		resources              []string
		deleted                bool
		says                   string
	}{
		{"a change set that was not executed", "REVIEW_IN_PROGRESS", "", false, nil, true, "There is nothing in it"},
		{"a failed first deployment", "ROLLBACK_COMPLETE", ours, false, []string{table, gone}, true, "its-DocumentsTable"},
		{"one that was not rolled back", "CREATE_FAILED", ours, false, []string{table}, true, "its-DocumentsTable"},
		{"a deletion that failed", "DELETE_FAILED", ours, true, []string{table, gone, "SubmitFunction AWS::Lambda::Function DELETE_COMPLETE"}, true, "its-DocumentsTable"},
		{"somebody else's, failed", "ROLLBACK_FAILED", theirs, false, []string{"TheirTable AWS::DynamoDB::Table CREATE_COMPLETE"}, false, "no stack of Extend Intake"},
		{"somebody else's", "UPDATE_COMPLETE", theirs, true, nil, false, "no stack of Extend Intake"},
		{"one that is being updated", "UPDATE_IN_PROGRESS", ours, true, nil, false, "wait until that is over"},
		{"one without outputs", "CREATE_COMPLETE", ours, false, nil, false, "no output UploadBucketName"},
		{"one that is gone", "DELETE_COMPLETE", ours, true, nil, false, "deleted already"},
	} {
		t.Run(c.name, func(t *testing.T) {
			asked := fakeCloudFormation(t, c.status, c.template, c.outputs, c.resources...)
			var out strings.Builder
			err := command(t.Context(), []string{"verify", "s"}, io.Discard)
			if err == nil {
				t.Error("it was verified")
			}
			err = command(t.Context(), []string{"delete", "--yes", "s"}, &out)
			if c.deleted != (err == nil) || c.deleted != strings.Contains(asked(), "DeleteStack") {
				t.Errorf("%v, asked for %s", err, asked())
			}
			if text := fmt.Sprint(out.String(), err); !strings.Contains(text, c.says) {
				t.Errorf("%q is not in: %s", c.says, text)
			}
		})
	}
}

func TestDeleteRefusesToWaitForNothing(t *testing.T) {
	for _, option := range []string{"--interval=0s", "--interval=-1s", "--patience=0s"} {
		if err := command(t.Context(), []string{"delete", option, "s"}, io.Discard); err == nil || !strings.Contains(err.Error(), "must be more than nothing") {
			t.Errorf("%s: %v", option, err)
		}
	}
}
