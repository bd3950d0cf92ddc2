package submit

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-lambda-go/cfn"
)

// handle is what Lambda calls with an event.
type handle func(ctx context.Context, event json.RawMessage) (any, error)

// withCustomResource answers the template's custom resource Configuration, by which
// CloudFormation asks at each deployment whether the function can work with what it was
// given; problem is why it can't. All other events go to next.
// https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref-requests.html
//
// With an endpoint, which is that of a local AWS, the answer may go to this machine.
func withCustomResource(problem error, endpoint string, next handle) handle {
	return func(ctx context.Context, event json.RawMessage) (any, error) {
		var request cfn.Event
		if err := json.Unmarshal(event, &request); err == nil && request.ResourceType == "Custom::Configuration" && request.ResponseURL != "" {
			if err := checkResponseURL(request.ResponseURL, endpoint); err != nil {
				return nil, err
			}
			return nil, answerCloudFormation(ctx, request, problem)
		}
		return next(ctx, event)
	}
}

// responseHost is a bucket in which CloudFormation takes answers: it has one in each region.
// https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cfn-vpce-bucketnames.html
var responseHost = regexp.MustCompile(`^cloudformation-custom-resource-response-[a-z0-9]+\.s3([.-](dualstack\.)?[a-z0-9-]+)?\.amazonaws\.com(\.cn)?$`)

// checkResponseURL refuses to answer anybody but CloudFormation: who may invoke the function
// could have it send a request wherever it can reach. The error does not show the address,
// which is signed.
func checkResponseURL(address, endpoint string) error {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.User != nil || u.Opaque != "":
	case endpoint != "" && u.Scheme == "http" && slices.Contains([]string{"127.0.0.1", "localhost", "host.docker.internal"}, u.Hostname()):
		return nil
	case u.Scheme == "https" && responseHost.MatchString(u.Host):
		return nil
	}
	return errors.New("the custom resource's ResponseURL is not at CloudFormation: nothing is sent there")
}

// answerCloudFormation says yes, or what is wrong, which CloudFormation then shows as the
// reason why the deployment is rolled back.
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
