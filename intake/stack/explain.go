package stack

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/ssocreds"
	"github.com/aws/smithy-go"
	smithymiddleware "github.com/aws/smithy-go/middleware"

	"extend-intake/intake/exit"
)

// Explain says what to do about an error of AWS. Errors that say so already, and those
// that are none of AWS, stay as they are; nil stays nil.
func Explain(err error, profile string) error {
	if _, ok := errors.AsType[*exit.Error](err); err == nil || ok || exit.Of(err) != exit.Failed {
		return err
	}
	forProfile := ""
	if profile != "" {
		forProfile = " --profile " + profile
	}
	text := err.Error()
	if _, ok := errors.AsType[config.SharedConfigProfileNotExistError](err); ok {
		return exit.New(exit.Usage, "%w", err).Next("aws configure list-profiles   shows those that there are")
	}
	if _, ok := errors.AsType[*ssocreds.InvalidTokenError](err); ok || strings.Contains(text, "SSO session has expired") {
		return exit.New(exit.Failed, "the single sign-on session is over: %w", err).Next("aws sso login%s", forProfile)
	}
	if strings.Contains(text, "extend-intake's guard") {
		return exit.New(exit.Failed, "%w", err).Next("a local stack answers only with the exports that make up has printed: enter those of the one that runs now")
	}
	code, operation := "", ""
	if e, ok := errors.AsType[smithy.APIError](err); ok {
		code = e.ErrorCode()
	}
	if o, ok := errors.AsType[*smithy.OperationError](err); ok {
		operation = o.ServiceID + " " + o.OperationName
	}
	switch {
	case code == "" && (strings.Contains(text, "get identity") || strings.Contains(text, "get credentials") || strings.Contains(text, "EC2 IMDS")) && !strings.Contains(text, "token"):
		return exit.New(exit.Failed, "no AWS credentials: %w", err).
			Next("aws configure sso   or   aws configure   sets them up; --profile NAME uses others than the default")
	case strings.HasPrefix(code, "ExpiredToken") || code == "RequestExpired":
		return exit.New(exit.Failed, "the AWS credentials have expired: %w", err).Next("get new ones, for example: aws sso login%s", forProfile)
	case code == "InvalidClientTokenId" || code == "UnrecognizedClientException" || code == "InvalidAccessKeyId" || code == "AuthFailure":
		return exit.New(exit.Failed, "AWS does not know these credentials: %w", err).Next("aws sts get-caller-identity%s   shows whose they are", forProfile)
	case code == "RequestTimeTooSkewed" || strings.Contains(text, "Signature expired") || strings.Contains(text, "Signature not yet current"):
		return exit.New(exit.Failed, "the clock of this machine is wrong, it says %s: %w", time.Now().UTC().Format(time.RFC3339), err).Next("set the clock")
	case strings.HasPrefix(code, "AccessDenied") || code == "UnauthorizedOperation" || code == "AuthorizationError" || code == "Forbidden":
		return exit.New(exit.Failed, "these credentials may not call %s: %w", cmp.Or(operation, "AWS"), err).
			Next("intake iam viewer   or   intake iam operator   prints the policy that is needed")
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		return exit.New(exit.Failed, "AWS can't be reached: %w", err).Next("is %s the name of a server? A region that does not exist has none; else, is there a network?", dns.Name)
	}
	if _, ok := errors.AsType[*net.OpError](err); ok {
		return exit.New(exit.Failed, "AWS can't be reached: %w", err).Next("is the network up? AWS_ENDPOINT_URL is for a local stack (make up), which may have ended")
	}
	return err
}

// trace is a middleware that tells of each call when it is over.
func trace(tell func(service, operation string, took time.Duration, err error)) func(*smithymiddleware.Stack) error {
	return func(s *smithymiddleware.Stack) error {
		return s.Initialize.Add(smithymiddleware.InitializeMiddlewareFunc("intake/trace", func(ctx context.Context, in smithymiddleware.InitializeInput, next smithymiddleware.InitializeHandler) (smithymiddleware.InitializeOutput, smithymiddleware.Metadata, error) {
			began := time.Now()
			out, metadata, err := next.HandleInitialize(ctx, in)
			tell(middleware.GetServiceID(ctx), middleware.GetOperationName(ctx), time.Since(began), err)
			return out, metadata, err
		}), smithymiddleware.After)
	}
}

// Caller says who asks, for people: the end of an ARN.
func Caller(arn string) string {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) < 6 {
		return arn
	}
	return fmt.Sprintf("%s in %s", parts[5], parts[4])
}
