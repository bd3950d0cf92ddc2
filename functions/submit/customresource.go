package submit

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
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
		problem = errors.Join(fmt.Errorf("ExistingBucketName is %q and UploadBucketName is %q: set only one of them, the bucket that is there or the one to make", existing, made), problem)
	}
	if err := stackName(e.StackID, existing != ""); err != nil {
		problem = errors.Join(err, problem)
	}
	if problem == nil {
		return nil
	}
	// CloudFormation takes 4096 bytes, with all the names that it gave and as JSON, in
	// which a quote is two of them.
	const most = 3300
	text := parameterNames(problem.Error(), e.ResourceProperties)
	for escaped, _ := json.Marshal(text); len(escaped) > most; escaped, _ = json.Marshal(text) {
		text = strings.ToValidUTF8(text[:len(text)-max(1, (len(escaped)-most)/6)-len("…")], "") + "…"
	}
	return errors.New(text)
}

// stackName is what is wrong with the length of a stack's name, if anything: the upload
// queue and, for an existing bucket, a rule are called after it. A queue's name can have 80
// characters, a rule's 64.
func stackName(id string, hasRule bool) error {
	parts := strings.Split(id, "/") // arn:aws:cloudformation:region:account:stack/name/uuid
	if len(parts) < 2 {
		return nil
	}
	most, why := 80-len("-uploads"), "the name of a queue is made of it"
	if hasRule {
		most, why = 64-len("-uploads"), "with ExistingBucketName, the name of an EventBridge rule is made of it"
	}
	if n := len(parts[1]); n > most {
		return fmt.Errorf("the stack's name %q has %d characters: it can have %d, because %s", parts[1], n, most, why)
	}
	return nil
}

var variable = regexp.MustCompile(`\b[A-Z]+(?:_[A-Z]+)*\b`)

// parameterNames puts the template's parameters, as Configuration is given them, in place of
// the environment variables that they become: LeaseSeconds for LEASE_SECONDS.
func parameterNames(text string, properties map[string]any) string {
	names := make(map[string]string)
	for name := range properties {
		names[strings.ToUpper(regexp.MustCompile(`([a-z])([A-Z])`).ReplaceAllString(name, "${1}_${2}"))] = name
	}
	return variable.ReplaceAllStringFunc(text, func(word string) string { return cmp.Or(names[word], word) })
}
