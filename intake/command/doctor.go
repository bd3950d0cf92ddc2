package command

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/spf13/cobra"

	"extend-intake/intake/exit"
	"extend-intake/intake/out"
	"extend-intake/intake/stack"
	"extend-intake/shared/extend"
	"extend-intake/shared/extend/webhook"
)

func init() { register(newDoctor) }

// Finding is what `doctor` writes of one check.
type Finding struct {
	ID      string `json:"id" jsonschema:"The check."`
	State   string `json:"state" jsonschema:"ok; warning: it works, and somebody should look; or error."`
	Message string `json:"message" jsonschema:"What was found."`
	Fix     string `json:"fix,omitempty" jsonschema:"What to do about it."`
}

// The states of a Finding.
const (
	fine    = "ok"
	warning = "warning"
	broken  = "error"
)

// A check looks at one thing. Its error is one of asking: the finding is then that nobody knows.
type check struct {
	id  string
	run func(ctx context.Context, e *Env, s *stack.Stack) (Finding, error)
}

// checks are in the order in which a person would look.
var checks = []check{
	{"stack", checkStack}, {"clock", checkClock}, {"functions", checkFunctions}, {"source", checkSource}, {"bucket", checkBucket},
	{"secret", checkSecret}, {"key", checkAPIKey}, {"webhook", checkWebhook}, {"queues", checkQueues}, {"alarms", checkAlarms},
}

func newDoctor(e *Env) *cobra.Command {
	var only []string
	var ids []string
	for _, c := range checks {
		ids = append(ids, c.id)
	}
	cmd := e.leaf(spec{
		use: "doctor [flags]", short: "Check that the stack is set up and works", class: Read, output: []Finding{},
		long: `doctor checks the stack from the upload to the webhook, and says what to do about what it finds.
It sends the webhook two deliveries that store nothing: a signed one, which must be taken, and one
without a signature, which must not. It asks Extend a few questions, which cost no credits.

The exit status is 3 if there is an error; with warnings only it is 0.`,
		example: "  intake doctor\n  intake doctor --only key,webhook\n  intake doctor --jq '.[] | select(.state != \"ok\")'",
		calls: []string{"lambda:GetFunctionConfiguration", "lambda:ListEventSourceMappings", "s3:GetBucketNotification", "secretsmanager:GetSecretValue",
			"sqs:GetQueueAttributes", "cloudwatch:DescribeAlarms"},
		run: func(ctx context.Context, _ []string) error {
			for _, id := range only {
				if !slices.Contains(ids, id) {
					return exit.New(exit.Usage, "--only %s: there is no such check", id).Next("choose of %s", strings.Join(ids, ", "))
				}
			}
			s, err := e.Stack(ctx)
			if err != nil {
				return err
			}
			wrong := false
			list := out.List[Finding]{ID: func(f Finding) string { return f.ID }, Columns: []out.Column[Finding]{
				{Name: "STATE", Text: func(f Finding) string { return f.State }, Color: func(f Finding) out.Color {
					return map[string]out.Color{fine: out.Green, warning: out.Yellow, broken: out.Red}[f.State]
				}},
				{Name: "CHECK", Text: func(f Finding) string { return f.ID }, Keep: true},
				{Name: "FOUND", Text: func(f Finding) string { return f.Message }, Flexible: true},
				{Name: "WHAT TO DO", Text: func(f Finding) string { return f.Fix }, Flexible: true},
			}}
			if _, err := list.Print(e.Out(), func(yield func(Finding, error) bool) {
				for _, c := range checks {
					if len(only) > 0 && !slices.Contains(only, c.id) {
						continue
					}
					f, err := c.run(ctx, e, s)
					if cause := context.Cause(ctx); cause != nil {
						yield(Finding{}, cause)
						return
					}
					if err != nil {
						err = stack.Explain(err, e.profile)
						f = Finding{State: broken, Message: err.Error(), Fix: strings.Join(steps(err), "; ")}
					}
					f.ID, f.State = c.id, cmp.Or(f.State, fine)
					wrong = wrong || f.State == broken
					if !yield(f, nil) {
						return
					}
				}
			}); err != nil {
				return err
			}
			if wrong {
				return exit.Quiet(exit.Ended)
			}
			return nil
		},
	})
	cmd.Flags().StringSliceVar(&only, "only", nil, "only these `checks`")
	complete(cmd, "only", func(context.Context) []string { return ids })
	return cmd
}

func checkStack(_ context.Context, _ *Env, s *stack.Stack) (Finding, error) {
	f := Finding{Message: strings.TrimSuffix(fmt.Sprintf("%s in %s is %s, version %s", s.Name, s.Region, s.Status, s.Version), ", version ")}
	switch {
	case strings.HasSuffix(s.Status, "_FAILED"):
		f.State, f.Fix = broken, "aws cloudformation describe-stack-events --stack-name "+s.Name+" says why; then deploy it again"
	case strings.HasSuffix(s.Status, "_IN_PROGRESS") || strings.Contains(s.Status, "ROLLBACK"):
		f.State, f.Fix = warning, "the last deployment is not over, or was taken back: see the events of the stack"
	case s.Version != "" && s.Version != Version:
		f.State, f.Fix = warning, "this is intake "+Version+": use that of the stack's version, or deploy this one"
	}
	return f, nil
}

// checkClock compares this machine's clock with that of Extend's or AWS's servers.
func checkClock(ctx context.Context, e *Env, s *stack.Stack) (Finding, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, s.Parameters["ExtendBaseUrl"], nil)
	if err != nil {
		return Finding{}, err
	}
	resp, err := (&http.Client{Timeout: 10 * time.Second}).Do(req)
	if err != nil {
		return Finding{}, exit.New(exit.Failed, "Extend can't be reached from here: %w", err).Next("is the network up? The functions may reach it all the same")
	}
	_ = resp.Body.Close()
	server, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		return Finding{State: warning, Message: "Extend's answer has no date to compare with"}, nil
	}
	if off := e.Now().Sub(server).Abs(); off > 2*time.Minute {
		return Finding{State: broken, Message: "the clock of this machine is off by " + out.Duration(off), Fix: "set the clock: AWS and the webhook refuse what is signed at another time"}, nil
	}
	return Finding{Message: "the clock of this machine is right"}, nil
}

func checkFunctions(ctx context.Context, _ *Env, s *stack.Stack) (Finding, error) {
	var versions []string
	for _, logical := range []string{"SubmitFunction", "WebhookFunction", "ReconcileFunction", "PublishFunction"} {
		name, err := s.Resource(logical)
		if err != nil {
			return Finding{}, err
		}
		c, err := s.Lambda().GetFunctionConfiguration(ctx, &lambda.GetFunctionConfigurationInput{FunctionName: &name})
		if err != nil {
			return Finding{}, fmt.Errorf("function %s: %w", name, err)
		}
		if c.State != "" && c.State != lambdatypes.StateActive && c.State != lambdatypes.StateInactive || c.LastUpdateStatus == lambdatypes.LastUpdateStatusFailed {
			return Finding{State: broken, Message: fmt.Sprintf("%s is %s, its last update %s: %s", logical, c.State, c.LastUpdateStatus, aws.ToString(c.StateReason)+aws.ToString(c.LastUpdateStatusReason)), Fix: "deploy the stack again"}, nil
		}
		if c.Environment != nil && !slices.Contains(versions, c.Environment.Variables["VERSION"]) {
			versions = append(versions, c.Environment.Variables["VERSION"])
		}
	}
	if len(versions) > 1 {
		return Finding{State: broken, Message: "the functions are of several versions: " + strings.Join(versions, ", "), Fix: "deploy the stack again"}, nil
	}
	return Finding{Message: "all four are active, version " + strings.Join(versions, "")}, nil
}

func checkSource(ctx context.Context, _ *Env, s *stack.Stack) (Finding, error) {
	why, err := submitPaused(ctx, s)
	if err != nil {
		return Finding{}, err
	}
	if why != "" {
		return Finding{State: broken, Message: why, Fix: "intake resume"}, nil
	}
	return Finding{Message: "submit takes uploads from the queue"}, nil
}

func checkBucket(ctx context.Context, _ *Env, s *stack.Stack) (Finding, error) {
	bucket := s.Bucket()
	n, err := s.S3().GetBucketNotificationConfiguration(ctx, &s3.GetBucketNotificationConfigurationInput{Bucket: &bucket})
	if err != nil {
		return Finding{}, fmt.Errorf("bucket %s: %w", bucket, err)
	}
	if s.Parameters["ExistingBucketName"] != "" {
		if n.EventBridgeConfiguration == nil {
			return Finding{State: broken, Message: "bucket " + bucket + " sends no events to EventBridge", Fix: "turn that on in its properties: docs/existing-buckets.md"}, nil
		}
		return Finding{Message: "bucket " + bucket + " sends its events to EventBridge"}, nil
	}
	queue := s.Outputs["UploadQueueUrl"]
	queue = queue[strings.LastIndexByte(queue, '/')+1:]
	for _, q := range n.QueueConfigurations {
		if strings.HasSuffix(aws.ToString(q.QueueArn), ":"+queue) {
			return Finding{Message: "bucket " + bucket + " sends its events to the upload queue"}, nil
		}
	}
	return Finding{State: broken, Message: "bucket " + bucket + " does not send its events to the upload queue: uploads are not noticed", Fix: "deploy the stack again, then intake backfill s3://" + bucket + "/ for what was uploaded meanwhile"}, nil
}

func checkSecret(ctx context.Context, _ *Env, s *stack.Stack) (Finding, error) {
	secret := s.Secret()
	if _, err := secret.APIKey(ctx); err != nil {
		return Finding{}, exit.New(exit.Failed, "%w", err).Next("intake secret set-api-key")
	}
	wss, err := secret.WebhookSecrets(ctx, false)
	if err != nil {
		return Finding{}, exit.New(exit.Failed, "%w", err).Next("intake secret set-webhook-secrets")
	}
	return Finding{Message: "it has an API key and " + plural(len(wss), "webhook secret")}, nil
}

// checkAPIKey asks Extend for the processors of the routes.
func checkAPIKey(ctx context.Context, _ *Env, s *stack.Stack) (Finding, error) {
	client, err := s.Extend()
	if err != nil {
		return Finding{}, err
	}
	routes, err := s.Routes()
	if err != nil {
		return Finding{}, err
	}
	known := make(map[string][]string) // versions by processor
	for p, err := range client.Processors.All(ctx, extend.ListProcessorsRequest{MaxPageSize: 100}) {
		if err != nil {
			if e, ok := errors.AsType[*extend.Error](err); ok && (e.StatusCode == http.StatusUnauthorized || e.StatusCode == http.StatusForbidden) {
				return Finding{}, exit.New(exit.Failed, "Extend refuses the API key: %w", err).Next("intake secret set-api-key   puts in another one of the same workspace")
			}
			return Finding{}, fmt.Errorf("list processors at Extend: %w", err)
		}
		versions := []string{"latest", "draft"}
		for _, v := range p.Versions {
			versions = append(versions, v.Version)
		}
		known[p.ID] = versions
	}
	for _, r := range routes {
		versions, ok := known[r.ProcessorID]
		switch {
		case !strings.HasPrefix(r.ProcessorID, "dp_"): // a workflow, which is not listed here
		case !ok:
			return Finding{State: broken, Message: fmt.Sprintf("route %s: the workspace of the API key has no processor %s", r.Name, r.ProcessorID), Fix: "correct the route, or use a key of the workspace that has it"}, nil
		case !slices.Contains(versions, r.Version):
			return Finding{State: broken, Message: fmt.Sprintf("route %s: processor %s has no version %s", r.Name, r.ProcessorID, r.Version), Fix: "publish it, or correct the route"}, nil
		}
	}
	return Finding{Message: "Extend accepts the API key, and has the processors of " + plural(len(routes), "route")}, nil
}

// checkWebhook sends a signed delivery of an event that nobody knows, of which nothing is stored,
// and the same without a signature. One that is signed too long ago would raise an alarm.
func checkWebhook(ctx context.Context, e *Env, s *stack.Stack) (Finding, error) {
	secrets, err := s.Secret().WebhookSecrets(ctx, false)
	if err != nil {
		return Finding{}, err
	}
	url := cmp.Or(e.Getenv("INTAKE_WEBHOOK_URL"), s.Outputs["WebhookUrl"])
	body := []byte(`{"eventId": "event_intake_doctor_` + strconv.FormatInt(e.Now().UnixMilli(), 10) + `", "eventType": "intake.doctor", "payload": {}}`)
	for _, try := range []struct {
		what   string
		header http.Header
		want   int
	}{
		{"a signed delivery", webhook.Sign(secrets[0], e.Now(), body), http.StatusOK},
		{"a delivery without a signature", http.Header{}, http.StatusUnauthorized},
	} {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
		if err != nil {
			return Finding{}, err
		}
		req.Header = try.header
		req.Header.Set("Content-Type", "application/json")
		resp, err := (&http.Client{Timeout: 20 * time.Second}).Do(req)
		if err != nil {
			return Finding{}, exit.New(exit.Failed, "the webhook can't be called: %w", err).Next("is there a WAF, or a VPC, before it? Extend has to reach %s", url)
		}
		_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<16)) // only the status says something
		_ = resp.Body.Close()
		if resp.StatusCode != try.want {
			return Finding{State: broken, Message: fmt.Sprintf("%s is answered %d, not %d", try.what, resp.StatusCode, try.want), Fix: "intake logs --function webhook --since 5m   says why; after a change of the secret wait five minutes"}, nil
		}
	}
	return Finding{Message: "it takes what is signed, and refuses what is not"}, nil
}

func checkQueues(ctx context.Context, _ *Env, s *stack.Stack) (Finding, error) {
	var n [3]int
	for i, name := range []string{"UploadQueueUrl", "DeadLetterQueueUrl", "AnnouncementsDeadLetterQueueUrl"} {
		q, err := queueStatus(ctx, s, name)
		if err != nil {
			return Finding{}, err
		}
		n[i] = q.total()
	}
	f := Finding{Message: fmt.Sprintf("%s in the upload queue, %s that could not be handled, %s that could not be announced", plural(n[0], "message"), out.Number(n[1]), out.Number(n[2]))}
	rate, err := s.FilesPerMinute()
	if err != nil {
		return Finding{}, err
	}
	switch backlog := time.Duration(float64(n[0]) / rate * float64(time.Minute)); {
	case n[1]+n[2] > 0:
		f.State, f.Fix = warning, "intake dlq ls"
	case backlog > 7*24*time.Hour:
		f.State, f.Fix = warning, "the queue takes "+out.Duration(backlog)+", and SQS deletes messages after 14 days: upload less, or buy a larger plan"
	}
	return f, nil
}

func checkAlarms(ctx context.Context, _ *Env, s *stack.Stack) (Finding, error) {
	on, err := alarmsOn(ctx, s)
	if err != nil {
		return Finding{}, err
	}
	var names []string
	for _, a := range on {
		names = append(names, a.Name)
	}
	switch {
	case len(on) > 0:
		return Finding{State: broken, Message: plural(len(on), "alarm") + " on: " + strings.Join(names, ", "), Fix: "intake status   says what they mean"}, nil
	case s.Parameters["AlarmTopicArn"] == "":
		return Finding{State: warning, Message: "no alarm is on, and nobody would be told of one", Fix: "set the parameter AlarmTopicArn"}, nil
	}
	return Finding{Message: "no alarm is on"}, nil
}
