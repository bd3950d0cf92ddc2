package simulation

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"extend-intake/functions/publish"
	"extend-intake/functions/reconcile"
	"extend-intake/functions/submit"
	"extend-intake/functions/webhook"
	"extend-intake/shared/document"
	"extend-intake/shared/extend"
)

const (
	stackName = "111122223333/eu-central-1/intake"
	processor = "dp_simulated"
	workflow  = "workflow_simulated"
	// otherProcessor and otherWorkflow are some that nothing is routed to.
	otherProcessor = "dp_another"
	otherWorkflow  = "workflow_another"
	apiKey         = "sk_simulated"
	secret         = "wss_simulated"
	tagKey         = "a simulated key that signs the tags"
	prefix         = "in/"
	workflowPrefix = prefix + "reviewed/"

	extendURL  = "https://simulated.extend.ai"
	webhookURL = "https://intake.test/webhook"
)

// config reads the functions' configuration from the environment that the template
// would give them, by their own code.
func (w *world) config() stackConfig {
	seconds := func(d time.Duration) string { return strconv.Itoa(int(d / time.Second)) }
	env := map[string]string{
		"AWS_REGION": "eu-central-1", "STACK": stackName, "TABLE_NAME": "documents", "SECRET_ID": "secret", "TAG_SECRET_ID": "tags", "EXTEND_BASE_URL": extendURL,
		"UPLOAD_QUEUE_URL": "https://sqs.test/uploads", "DEAD_LETTER_QUEUE_URL": "https://sqs.test/dead", "RESULTS_BUCKET": "results", "EVENT_BUS_NAME": busName, "PAYLOAD_HOSTS": "simulated.extend.ai",
		"PROCESSOR_ID": processor, "PROCESSOR_VERSION": "latest", "KEY_PREFIX": prefix, "UPLOAD_BUCKET": bucketName(w.seed), "TRANSFER": "link",
		"REQUESTS_PER_SECOND": strconv.Itoa(w.set.requests), "FILES_PER_MINUTE": strconv.Itoa(w.set.files), "SUBMIT_CONCURRENCY": strconv.Itoa(w.set.instances),
		"LEASE_SECONDS": seconds(w.set.lease), "CONFIRM_WINDOW_SECONDS": seconds(w.set.confirm), "PAUSE_SECONDS": seconds(w.set.pause), "STALLED_AFTER_SECONDS": "21600",
		"MAX_FAILURES": "10", "GIVE_UP_AFTER_SECONDS": seconds(w.set.giveUp), "MAX_UNANSWERED": "5", "MIN_FILE_BYTES": "1", "MAX_FILE_BYTES": "0", "SETTLE_SECONDS": "0", "NEWEST_ONLY": "false",
		"DAILY_CREDIT_BUDGET": strconv.Itoa(w.set.budget), "RECONCILE_AFTER_SECONDS": seconds(w.set.reconcile), "MAX_ATTEMPTS": strconv.Itoa(w.set.maxAttempts),
	}
	if w.set.sends {
		env["TRANSFER"] = "upload"
	}
	if w.set.workflows {
		env["ROUTES"] = `[{"name": "reviewed", "prefix": "` + workflowPrefix + `", "workflow": "` + workflow + `"}]`
	}
	getenv := func(name string) string { return env[name] }
	s, err := submit.LoadConfig(getenv)
	h, err2 := webhook.LoadConfig(getenv)
	r, err3 := reconcile.LoadConfig(getenv)
	p, err4 := publish.LoadConfig(getenv)
	if err := errors.Join(err, err2, err3, err4); err != nil {
		panic(err)
	}
	s.SideBySide = w.set.sideBySide // 1 as a rule: one after the other, so that a seed is always the same schedule
	return stackConfig{submit: s, webhook: h, reconcile: r, publish: p}
}

// stackConfig is what the template's parameters are for the functions.
type stackConfig struct {
	submit    submit.Config
	webhook   webhook.Config
	reconcile reconcile.Config
	publish   publish.Config
}

// wireSubmit, wireWebhook, wireReconcile and wirePublish make the functions' handlers as New does in
// their packages, with the simulated world in place of AWS and of the network.

// tagKeys are the keys of one instance: now and then they can't be read.
func (w *world) tagKeys(in *instance) document.KeyFunc {
	return func(context.Context, bool) (document.Keys, error) {
		if w.strike(in.dice, secretUnavailable) {
			return nil, errFault
		}
		return document.Keys{tagKey}, nil
	}
}

func (w *world) wireSubmit(in *instance) func(context.Context, any) (any, error) {
	h, err := submit.NewHandler(w.stack.submit, submit.Parts{
		Key: func(context.Context) (string, error) {
			if w.strike(in.dice, secretUnavailable) {
				return "", errFault
			}
			return apiKey, nil
		},
		TagKeys:   w.tagKeys(in),
		Transport: in.network(), Ledger: in.ledger(w.stack.submit.Rules),
		Bucket: files{in}, Uploads: uploads{in}, DeadLetters: deadLetters{in}, Now: in.now, Jitter: in.dice.Float64,
	})
	if err != nil {
		panic(err)
	}
	return func(ctx context.Context, event any) (any, error) { return h.Handle(ctx, event.(json.RawMessage)) }
}

func (w *world) wireWebhook(in *instance) func(context.Context, any) (any, error) {
	h, err := webhook.NewHandler(w.stack.webhook, webhook.Parts{
		Key: extend.StaticKey(apiKey), TagKeys: w.tagKeys(in),
		Secrets: func(context.Context, bool) ([]string, error) {
			if w.strike(in.dice, secretUnavailable) {
				return nil, errFault
			}
			return []string{"wss_older", secret}, nil
		},
		Transport: in.network(), Links: noLinks{}, Ledger: in.ledger(w.stack.webhook.Rules),
		Put: in.put, Requeue: in.requeue, Now: in.now, Jitter: in.dice.Float64,
	})
	if err != nil {
		panic(err)
	}
	return func(ctx context.Context, event any) (any, error) {
		return h.Handle(ctx, event.(events.APIGatewayV2HTTPRequest))
	}
}

func (w *world) wireReconcile(in *instance) func(context.Context, any) (any, error) {
	h, err := reconcile.NewHandler(w.stack.reconcile, reconcile.Parts{
		Key: extend.StaticKey(apiKey), TagKeys: w.tagKeys(in), Transport: in.network(), Ledger: in.ledger(w.stack.reconcile.Rules),
		Put: in.put, Requeue: in.requeue, Now: in.now,
	})
	if err != nil {
		panic(err)
	}
	return func(ctx context.Context, _ any) (any, error) { return h.Handle(ctx, json.RawMessage(`{}`)) }
}

func (w *world) wirePublish(in *instance) func(context.Context, any) (any, error) {
	h, err := publish.NewHandler(w.stack.publish, publish.Parts{Bus: eventBus{in}, Put: in.put, SendDeadLetter: in.sendDeadLetter})
	if err != nil {
		panic(err)
	}
	return func(ctx context.Context, event any) (any, error) { return h.Handle(ctx, event.(json.RawMessage)) }
}
