package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// inPlaceOf makes the SDK send an attribute that is written already, in DynamoDB's JSON, in
// the place of the one string attribute that is the placeholder. It happens before the
// request is signed. A placeholder is random, so that nothing else in the request is it.
func inPlaceOf(placeholder string, attribute []byte) func(*dynamodb.Options) {
	replace := middleware.SerializeMiddlewareFunc("OutputInPlace", func(ctx context.Context, in middleware.SerializeInput, next middleware.SerializeHandler) (middleware.SerializeOutput, middleware.Metadata, error) {
		if err := replaceIn(&in, placeholder, attribute); err != nil {
			return middleware.SerializeOutput{}, middleware.Metadata{}, fmt.Errorf("the output's place: %w", err)
		}
		return next.HandleSerialize(ctx, in)
	})
	return func(o *dynamodb.Options) {
		o.APIOptions = append(o.APIOptions, func(s *middleware.Stack) error {
			return s.Serialize.Add(replace, middleware.After) // behind the one that writes the body
		})
	}
}

func replaceIn(in *middleware.SerializeInput, placeholder string, attribute []byte) error {
	request, ok := in.Request.(*smithyhttp.Request)
	if !ok {
		return fmt.Errorf("a request of type %T", in.Request)
	}
	body, err := io.ReadAll(request.GetStream())
	if err != nil {
		return err
	}
	before, after, ok := bytes.Cut(body, fmt.Appendf(nil, `{"S":%q}`, placeholder))
	if !ok || bytes.Contains(after, []byte(placeholder)) {
		return errors.New("it is not once in the request, as the SDK has written it")
	}
	request, err = request.SetStream(bytes.NewReader(bytes.Join([][]byte{before, attribute, after}, nil)))
	if err == nil {
		in.Request = request
	}
	return err
}
