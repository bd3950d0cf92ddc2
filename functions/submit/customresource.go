package submit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-lambda-go/cfn"
)

// aboutConfiguration tells whether the event is the template's resource Configuration,
// by which CloudFormation asks whether the function can work with what it was given.
// https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref-requests.html
func aboutConfiguration(event json.RawMessage) (cfn.Event, bool) {
	var question cfn.Event
	err := json.Unmarshal(event, &question)
	return question, err == nil && question.ResourceType == "Custom::Configuration" && question.ResponseURL != ""
}

// answerCloudFormation says yes, or what is wrong, which then is shown as the reason why
// the deployment is rolled back. Only who may invoke the function chooses the address.
func answerCloudFormation(ctx context.Context, question cfn.Event, fault error) error {
	_, err := cfn.LambdaWrap(func(_ context.Context, e cfn.Event) (string, map[string]any, error) {
		if e.RequestType == cfn.RequestDelete { // nothing was made, and nothing must keep a stack from going
			return "configuration", nil, nil
		}
		return "configuration", nil, contradictions(e, fault)
	})(ctx, question)
	if err != nil {
		return errors.New("CloudFormation could not be answered") // the error would show the address, which is signed
	}
	return nil
}

// contradictions are the fault of the environment and what only the parameters show,
// in as many words as CloudFormation takes.
func contradictions(e cfn.Event, fault error) error {
	existing, _ := e.ResourceProperties["ExistingBucketName"].(string)
	made, _ := e.ResourceProperties["UploadBucketName"].(string)
	if existing != "" && made != "" {
		fault = errors.Join(fmt.Errorf("ExistingBucketName %q and UploadBucketName %q are both given: name either the bucket that is there, or the one to make", existing, made), fault)
	}
	if fault == nil {
		return nil
	}
	// CloudFormation takes 4096 bytes, with all the names that it gave and as JSON, in
	// which a quote is two of them.
	const most = 3300
	text := fault.Error()
	for escaped, _ := json.Marshal(text); len(escaped) > most; escaped, _ = json.Marshal(text) {
		text = strings.ToValidUTF8(text[:len(text)-max(1, (len(escaped)-most)/6)-len("…")], "") + "…"
	}
	return errors.New(text)
}
