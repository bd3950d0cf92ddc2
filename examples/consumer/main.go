// Consumer is an example consumer of Extend Intake's events: a function with a rule for
// Document Processed. Copy this directory and put your work where handler.go says so.
package main

import (
	"context"
	"log/slog"
	"os"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

func main() {
	slog.SetDefault(lambdacontext.NewLogger())
	cfg, err := config.LoadDefaultConfig(context.Background())
	if err != nil {
		slog.Error("cold start failed", "error", err)
		os.Exit(1)
	}
	c := &consumer{
		db:    dynamodb.NewFromConfig(cfg),
		table: os.Getenv("TABLE_NAME"),
		// A local AWS has no host name for each bucket.
		s3: s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = cfg.BaseEndpoint != nil }),
	}
	lambda.Start(c.handle)
}
