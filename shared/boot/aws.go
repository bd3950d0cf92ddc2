package boot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"extend-intake/shared/metric"
)

// memoryLimit is from where on the garbage collector works harder rather than let the memory
// grow. A delivery of 6 MB stays below it, and otherwise takes twice what it needs.
const memoryLimit = 40 << 20

// Run is a function's main: it sets the logger, makes the handler and serves it.
// Everything that can fail at a cold start is in newHandler, which tests can call.
func Run[H any](newHandler func(context.Context, func(string) string) (H, error)) {
	debug.SetMemoryLimit(memoryLimit)
	slog.SetDefault(slog.New(metric.NewHandler(visible{lambdacontext.NewLogHandler()}, os.Getenv("STACK"))))
	slog.Info("cold start", "version", os.Getenv("VERSION"))
	h, err := newHandler(context.Background(), os.Getenv)
	if err != nil {
		slog.Error("cold start failed", "error", err)
		os.Exit(1)
	}
	lambda.Start(h)
}

// AWS is the configuration that Lambda gives a function by its environment, and
// AWS_ENDPOINT_URL for a local AWS. It does not look for profiles, single sign-on or a
// metadata service as the SDK's config package does: no function has them, and that
// package's clients for them are an eighth of its size in memory. The error names
// every variable that is missing.
func AWS(getenv func(string) string) (aws.Config, error) {
	var errs []error
	variable := func(name string) string {
		value := getenv(name)
		if value == "" {
			errs = append(errs, fmt.Errorf("%s is missing: Lambda sets it, elsewhere set it yourself", name))
		}
		return value
	}
	cfg := aws.Config{
		Region: variable("AWS_REGION"),
		// They outlive the process: Lambda ends it before they expire.
		Credentials: credentials.NewStaticCredentialsProvider(variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY"), getenv("AWS_SESSION_TOKEN")),
		HTTPClient:  PlainBodies(awshttp.NewBuildableClient()), // one for all services: each would make its own
	}
	if url := getenv("AWS_ENDPOINT_URL"); url != "" {
		cfg.BaseEndpoint = &url
	}
	return cfg, errors.Join(errs...)
}

// S3 returns a client for S3. A custom endpoint is a local AWS, which has no host
// name per bucket.
func S3(cfg aws.Config) *s3.Client {
	return s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = cfg.BaseEndpoint != nil })
}
