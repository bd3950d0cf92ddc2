// Empty is the least that a Lambda function in Go can be: what the others are compared
// with.
package main

import (
	"context"
	"encoding/json"

	"github.com/aws/aws-lambda-go/lambda"
)

func main() { lambda.Start(func(context.Context, json.RawMessage) error { return nil }) }
