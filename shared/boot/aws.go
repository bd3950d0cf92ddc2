package boot

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"extend-intake/shared/metric"
)

// Run is a function's main: it sets the logger, makes the handler and serves it.
// Everything that can fail at a cold start is in newHandler, which tests can call.
func Run[H any](newHandler func(context.Context, func(string) string) (H, error)) {
	slog.SetDefault(slog.New(metric.NewHandler(lambdacontext.NewLogHandler(), os.Getenv("STACK"))))
	h, err := newHandler(context.Background(), os.Getenv)
	if err != nil {
		slog.Error("cold start failed", "error", err)
		os.Exit(1)
	}
	lambda.Start(h)
}

// AWS loads the configuration that the environment gives.
func AWS(ctx context.Context) (aws.Config, error) {
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return aws.Config{}, fmt.Errorf("aws configuration: %w", err)
	}
	if cfg.HTTPClient == nil { // each service client would make its own
		cfg.HTTPClient = awshttp.NewBuildableClient()
	}
	cfg.HTTPClient = PlainBodies(cfg.HTTPClient)
	return cfg, nil
}

// S3 returns a client for S3. A custom endpoint is a local AWS, which has no host
// name per bucket.
func S3(cfg aws.Config) *s3.Client {
	return s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = cfg.BaseEndpoint != nil })
}
