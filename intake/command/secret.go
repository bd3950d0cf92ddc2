package command

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"extend-intake/intake/exit"
	"extend-intake/intake/out"
	"extend-intake/intake/stack"
	"extend-intake/shared/boot"
	"extend-intake/shared/extend"
	"extend-intake/shared/ledger"
)

func init() { register(newSecret) }

// SecretStatus says whether the stack's secret can be used, and nothing of what is in it.
type SecretStatus struct {
	APIKey         string `json:"apiKey" jsonschema:"ok, or what is wrong with the API key."`
	WebhookSecrets int    `json:"webhookSecrets" jsonschema:"How many webhook secrets can be used."`
	Problem        string `json:"problem,omitempty" jsonschema:"What is wrong with the webhook secrets."`
}

func newSecret(e *Env) *cobra.Command {
	var force bool
	set := func(use, short, long, example string, change func(ctx context.Context, s *stack.Stack, now *boot.Secret, pasted string) error) *cobra.Command {
		return e.leaf(spec{
			use: use, short: short, long: long, example: example, class: Write, output: SecretStatus{},
			calls: []string{"secretsmanager:GetSecretValue", "secretsmanager:PutSecretValue", "sts:GetCallerIdentity", "dynamodb:Query", "dynamodb:BatchGetItem"},
			run:   func(ctx context.Context, _ []string) error { return e.setSecret(ctx, use, change) },
		})
	}
	setKey := set("set-api-key [flags]", "Put another API key into the secret", `set-api-key asks for the key without showing it, or reads it from standard input. The key must know
a run that the stack has made: the key of another workspace would find none of those on the way.
--force takes it all the same. Functions use it within five minutes.`,
		"  intake secret set-api-key\n  pass extend/key | intake secret set-api-key",
		func(ctx context.Context, s *stack.Stack, now *boot.Secret, pasted string) error {
			key, err := boot.NewSecrets(nil, "", func(name string) string { return map[string]string{"EXTEND_API_KEY": pasted}[name] }, e.Now).APIKey(ctx)
			if err != nil {
				return exit.New(exit.Usage, "the API key: %w", err)
			}
			if now.APIKey = key; force {
				return nil
			}
			return knows(ctx, s, key)
		})
	setKey.Flags().BoolVar(&force, "force", false, "take the key though it does not know the stack's runs")
	return group("secret", "See whether the secret can be used, and fill it in", "secret is about the API key and the webhook secrets of the stack. It never shows them.",
		e.leaf(spec{
			use: "status [flags]", short: "Say whether the secret can be used", class: Read, output: SecretStatus{},
			calls: []string{"secretsmanager:GetSecretValue"},
			long:  "status says whether the API key is accepted by Extend, and how many webhook secrets there are.",
			run: func(ctx context.Context, _ []string) error {
				s, err := e.Stack(ctx)
				if err != nil {
					return err
				}
				return e.secretStatus(ctx, s)
			},
		}),
		setKey,
		set("set-webhook-secrets [flags]", "Put other webhook secrets into the secret", `set-webhook-secrets asks for the signing secrets of the webhook endpoint without showing them, or
reads them from standard input, one a line. They take the place of those that are there: while
secrets are rotated at Extend, give both.`,
			"  intake secret set-webhook-secrets\n  printf '%s\\n' \"$NEW\" \"$OLD\" | intake secret set-webhook-secrets",
			func(ctx context.Context, _ *stack.Stack, now *boot.Secret, pasted string) error {
				list := strings.Join(strings.Fields(pasted), ",")
				secrets, err := boot.NewSecrets(nil, "", func(name string) string { return map[string]string{"EXTEND_WEBHOOK_SECRETS": list}[name] }, e.Now).WebhookSecrets(ctx, false)
				if err != nil {
					return exit.New(exit.Usage, "the webhook secrets: %w", err)
				}
				now.WebhookSecrets = secrets
				return nil
			}))
}

// setSecret changes a part of the secret, and leaves the other as it is.
func (e *Env) setSecret(ctx context.Context, use string, change func(context.Context, *stack.Stack, *boot.Secret, string) error) error {
	s, err := e.Stack(ctx)
	if err != nil {
		return err
	}
	pasted, err := e.ask("The new value (" + strings.TrimPrefix(strings.TrimSuffix(use, " [flags]"), "set-") + "), which is not shown: ")
	if err != nil {
		return err
	}
	client, id := s.Secrets(), s.Outputs["ExtendSecretArn"]
	before, err := client.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &id})
	if err != nil {
		return err
	}
	var now boot.Secret
	if text := strings.TrimSpace(aws.ToString(before.SecretString)); text != "" {
		if err := json.Unmarshal([]byte(text), &now); err != nil {
			return exit.New(exit.Failed, "the secret is not of the form {\"apiKey\": …, \"webhookSecrets\": […]}, so that a part of it can't be changed").
				Next("aws secretsmanager put-secret-value --secret-id %s --secret-string '{\"apiKey\": \"sk_…\", \"webhookSecrets\": [\"wss_…\"]}'   writes the whole", id)
		}
	}
	old := boot.Secret{APIKey: now.APIKey, WebhookSecrets: slices.Clone(now.WebhookSecrets)}
	if err := change(ctx, s, &now, pasted); err != nil {
		return err
	}
	if now.APIKey == old.APIKey && slices.Equal(now.WebhookSecrets, old.WebhookSecrets) {
		e.Notef("That is what the secret has already.")
		return e.secretStatus(ctx, s)
	}
	text, err := json.Marshal(now) // #nosec G117 -- it goes into Secrets Manager, and nowhere else
	if err != nil {
		return err
	}
	if ok, err := e.Confirm(ctx, s, Change{Class: Write, What: "change the secret " + id}); err != nil || !ok {
		return err
	}
	again, err := client.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &id})
	if err != nil {
		return err
	}
	if aws.ToString(again.VersionId) != aws.ToString(before.VersionId) {
		return exit.New(exit.Failed, "somebody else has changed the secret in this moment").Next("look at it, and try again")
	}
	if _, err := client.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{SecretId: &id, SecretString: aws.String(string(text))}); err != nil {
		return err
	}
	return e.secretStatus(ctx, s)
}

// ask reads a value that is not shown.
func (e *Env) ask(prompt string) (string, error) {
	if f, ok := e.Stdin.(*os.File); ok && e.Asks {
		fmt.Fprint(e.Stderr, prompt)
		text, err := term.ReadPassword(int(f.Fd())) // #nosec G115 -- a file descriptor
		fmt.Fprintln(e.Stderr)
		return string(text), err
	}
	const most = 64 << 10
	text, err := io.ReadAll(io.LimitReader(bufio.NewReader(e.Stdin), most))
	if err == nil && strings.TrimSpace(string(text)) == "" {
		err = exit.New(exit.Usage, "standard input has no value").Next("run it on a terminal, or pipe the value into it")
	}
	return string(text), err
}

// knows checks that a key is one of the workspace in which the stack's runs are.
func knows(ctx context.Context, s *stack.Stack, key string) error {
	client, err := s.ExtendWith(func(context.Context) (string, error) { return key, nil })
	if err != nil {
		return err
	}
	for _, state := range []ledger.State{ledger.Processing, ledger.Processed} {
		for row, err := range s.Reader().List(ctx, ledger.Query{State: state, Descending: true}) {
			if err != nil {
				return err
			}
			if row.Record == nil || row.Record.RunID == "" {
				continue
			}
			_, err = runStatus(ctx, client, row.Record.RunID)
			if e, ok := errors.AsType[*extend.Error](err); ok && e.StatusCode == http.StatusNotFound {
				return exit.New(exit.Failed, "the key does not know run %s of this stack: it is of another workspace, or the run was deleted", row.Record.RunID).
					Next("--force takes it all the same; runs on the way would then end as RUN_NOT_FOUND")
			}
			return err
		}
	}
	_, err = client.Processors.List(ctx, extend.ListProcessorsRequest{MaxPageSize: 1}) // there are no runs yet
	return err
}

func (e *Env) secretStatus(ctx context.Context, s *stack.Stack) error {
	secret := s.Secret()
	var status SecretStatus
	client, err := s.Extend()
	if err != nil {
		return err
	}
	status.APIKey = "ok"
	if _, err := client.Processors.List(ctx, extend.ListProcessorsRequest{MaxPageSize: 1}); err != nil {
		status.APIKey = err.Error()
	}
	webhooks, err := secret.WebhookSecrets(ctx, false)
	if status.WebhookSecrets = len(webhooks); err != nil {
		status.Problem = err.Error()
	}
	if err := e.Out().Value(status, status.APIKey, func() []out.Field {
		fields := []out.Field{{Label: "API key", Text: status.APIKey}, {Label: "webhook secrets", Text: out.Number(status.WebhookSecrets)}}
		if status.Problem != "" {
			fields = append(fields, out.Field{Label: "problem", Text: status.Problem})
		}
		return fields
	}); err != nil {
		return err
	}
	if status.APIKey != "ok" || status.WebhookSecrets == 0 {
		return exit.Quiet(exit.Ended)
	}
	return nil
}
