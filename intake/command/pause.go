package command

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/spf13/cobra"

	"extend-intake/intake/exit"
	"extend-intake/intake/out"
	"extend-intake/intake/stack"
)

func init() {
	register(newPause)
	register(newResume)
}

// sourceCalls are those that pause and resume make.
var sourceCalls = []string{"lambda:ListEventSourceMappings", "lambda:UpdateEventSourceMapping", "sqs:GetQueueAttributes", "sts:GetCallerIdentity"}

// PauseResult is what `pause` and `resume` write.
type PauseResult struct {
	State   string `json:"state" jsonschema:"The state of submit's event source, as Lambda says it: Enabled, Disabled, Enabling or Disabling."`
	Waiting int    `json:"waiting" jsonschema:"About how many uploads are in the queue."`
}

func newPause(e *Env) *cobra.Command {
	return e.leaf(spec{
		use: "pause [flags]", short: "Stop sending files to Extend", class: Write, output: PauseResult{},
		long: `pause disables submit's event source: no further file is sent, and nothing is lost. Uploads
wait in the queue, which keeps them for fourteen days. What is on its way at Extend still
comes in. intake resume goes on, and so does the next deployment of the stack.`,
		example: `  intake pause --why "the processor is being changed"`,
		calls:   sourceCalls,
		run:     func(ctx context.Context, _ []string) error { return e.setSource(ctx, false) },
	})
}

func newResume(e *Env) *cobra.Command {
	return e.leaf(spec{
		use: "resume [flags]", short: "Send files to Extend again", class: Write, output: PauseResult{},
		long: `resume enables submit's event source, which intake pause has disabled. It says how long the
uploads that have waited take.`,
		calls: sourceCalls,
		run:   func(ctx context.Context, _ []string) error { return e.setSource(ctx, true) },
	})
}

// source is submit's event source, the upload queue.
func source(ctx context.Context, s *stack.Stack) (*types.EventSourceMappingConfiguration, error) {
	function, err := s.Resource("SubmitFunction")
	if err != nil {
		return nil, err
	}
	answer, err := s.Lambda().ListEventSourceMappings(ctx, &lambda.ListEventSourceMappingsInput{FunctionName: &function})
	if err != nil {
		return nil, err
	}
	if len(answer.EventSourceMappings) != 1 {
		return nil, exit.New(exit.Failed, "%s has %d event sources, and the template has one", function, len(answer.EventSourceMappings)).Next("deploy the stack again")
	}
	return &answer.EventSourceMappings[0], nil
}

// sourceInterval is how often Lambda is asked whether it has changed an event source, which
// takes it some seconds.
const sourceInterval = 2 * time.Second

func (e *Env) setSource(ctx context.Context, enabled bool) error {
	s, err := e.Stack(ctx)
	if err != nil {
		return err
	}
	m, err := source(ctx, s)
	if err != nil {
		return err
	}
	waiting, perMinute, err := e.backlog(ctx, s)
	if err != nil {
		return err
	}
	what, want := "pause: no further file is sent", "Disabled"
	details := []string{"uploads can wait for fourteen days from when each was made", plural(waiting, "upload") + " wait now, about"}
	if enabled {
		what, want = "resume: files are sent again", "Enabled"
		details = []string{Cost{Files: waiting, Hours: hours(waiting, 0, perMinute)}.String() + ", for what waits"}
	}
	if ok, err := e.Confirm(ctx, s, Change{Class: Write, What: what, Details: details}); err != nil || !ok {
		return err
	}
	if aws.ToString(m.State) != want {
		if _, err := s.Lambda().UpdateEventSourceMapping(ctx, &lambda.UpdateEventSourceMappingInput{UUID: m.UUID, Enabled: &enabled}); err != nil {
			return err
		}
	}
	for {
		if m, err = source(ctx, s); err != nil {
			return err
		}
		if aws.ToString(m.State) == want {
			break
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(sourceInterval):
		}
	}
	return e.Out().Value(PauseResult{State: want, Waiting: waiting}, want, func() []out.Field {
		return []out.Field{{Label: "submit's event source", Text: want}}
	})
}
