package submit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-lambda-go/cfn"
)

// handle is what Lambda calls with an event.
type handle func(ctx context.Context, event json.RawMessage) (any, error)

// withCustomResource answers the template's custom resource Configuration, by which
// CloudFormation asks at each deployment whether the function can work with what it was
// given; problem is why it can't. All other events go to next.
// https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref-requests.html
func withCustomResource(problem error, next handle) handle {
	return func(ctx context.Context, event json.RawMessage) (any, error) {
		var request cfn.Event
		if err := json.Unmarshal(event, &request); err == nil && request.ResourceType == "Custom::Configuration" && request.ResponseURL != "" {
			return nil, answerCloudFormation(ctx, request, problem)
		}
		return next(ctx, event)
	}
}

// answerCloudFormation says yes, or what is wrong, which CloudFormation then shows as the
// reason why the deployment is rolled back. Only callers who may invoke the function
// choose the address.
func answerCloudFormation(ctx context.Context, request cfn.Event, problem error) error {
	_, err := cfn.LambdaWrap(func(_ context.Context, e cfn.Event) (string, map[string]any, error) {
		if e.RequestType == cfn.RequestDelete { // nothing was made, and nothing must keep a stack from going
			return "configuration", nil, nil
		}
		return "configuration", nil, contradictions(e, problem)
	})(ctx, request)
	if err != nil {
		return errors.New("CloudFormation could not be answered") // the error would show the address, which is signed
	}
	return nil
}

// contradictions are the problems of the environment and those that only the parameters
// show, in a text that is as long as CloudFormation takes.
func contradictions(e cfn.Event, problem error) error {
	existing, _ := e.ResourceProperties["ExistingBucketName"].(string)
	made, _ := e.ResourceProperties["UploadBucketName"].(string)
	if existing != "" && made != "" {
		problem = errors.Join(fmt.Errorf("ExistingBucketName %q and UploadBucketName %q are both given: name either the bucket that is there, or the one to make", existing, made), problem)
	}
	if problem == nil {
		return nil
	}
	// CloudFormation takes 4096 bytes, with all the names that it gave and as JSON, in
	// which a quote is two of them.
	const most = 3300
	text := problem.Error()
	for escaped, _ := json.Marshal(text); len(escaped) > most; escaped, _ = json.Marshal(text) {
		text = strings.ToValidUTF8(text[:len(text)-max(1, (len(escaped)-most)/6)-len("…")], "") + "…"
	}
	return errors.New(text)
}
