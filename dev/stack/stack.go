// Package stack runs the real template on this machine: template.yaml, built and
// deployed by SAM to a local AWS, with the fake of Extend beside it.
//
//	s, err := stack.Start(ctx, stack.Options{Say: stack.SayTo(os.Stdout)})
//	if err != nil {
//		return err
//	}
//	defer func() { err = s.Stop(err) }()
//	… upload to s.Outputs["UploadBucketName"], read s.Ledger
//
// Each stack has ports of the loopback interface and a directory below .local/ of its
// own, so that several can run side by side. Package guard stands in front of each port:
// nobody but who has this process's keys is answered. Nothing leaves the machine, unless
// an [Account] at the real Extend is given, and nothing outlives the process.
package stack

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"extend-intake/dev/fakeextend"
	"extend-intake/dev/guard"
	"extend-intake/dev/stack/emulator"
	"extend-intake/shared/boot"
	"extend-intake/shared/ledger"
)

const (
	// Name is the stack's in CloudFormation.
	Name = "extend-intake"
	// ProcessorID is the processor of the fake that reads the uploads.
	ProcessorID = "dp_local"
)

// Functions are the names of the template's functions, as their log groups have them.
var Functions = []string{"submit", "webhook", "reconcile", "publish"}

// A Stack is the deployed template with everything around it.
type Stack struct {
	Root string // the repository
	Dir  string // everything that the stack writes: logs, and what was built

	AWS  *emulator.Server
	Fake *fakeextend.Server // nil with an Account
	// Steps are what happens at the fake. Those that nobody reads in time are dropped.
	Steps <-chan fakeextend.Step

	ExtendURL  string // where the functions find Extend
	WebhookURL string // where Extend finds them; empty with an Account
	// APIKey and WebhookSecret are the content of the deployed secret. They are made up for
	// each stack; with an Account the key is its own and there is no webhook secret.
	APIKey, WebhookSecret string

	Outputs map[string]string // of the template
	S3      *s3.Client
	DB      *dynamodb.Client
	SQS     *sqs.Client
	Ledger  *ledger.Ledger // of the deployed table

	closers []func()
}

// Options are what a caller may want otherwise. Every field but Say may be left out.
type Options struct {
	// Say is called with each step of the start, and what there is to say of it.
	Say        func(what, detail string)
	Parameters map[string]string  // of the template; an Account has its own
	Fake       fakeextend.Options // the keys and OnStep are set by Start, and the processor ProcessorID is added
	Account    *Account
	// Before is called when the local AWS is there and nothing is deployed yet.
	Before func(context.Context, *Stack) error
}

// SayTo returns an [Options].Say that prints each step, and when it was reached.
func SayTo(out io.Writer) func(what, detail string) {
	start := time.Now()
	return func(what, detail string) {
		fmt.Fprintf(out, "[%5.1f s]   %-16s   %s\n", time.Since(start).Seconds(), what, detail)
	}
}

// SmallestPlan is a fake with the limits of Extend's smallest plan, which are the
// template's defaults. It takes a second for a file, so that there is something to see.
func SmallestPlan() fakeextend.Options {
	return fakeextend.Options{
		Processing:        fakeextend.Fixed(time.Second),
		RequestsPerSecond: 10, FilesPerMinute: 80, RetryAfter: fakeextend.RetryAfterSeconds,
	}
}

// An Account is one at the real Extend, to be used instead of the fake. Extend can't
// reach this machine: files are sent to it, and reconcile asks for the results.
type Account struct {
	Key, Processor     string
	BaseURL, Workspace string // Workspace may be empty
}

// parameters are those of the template that an account needs on a machine that has no
// address.
func (a *Account) parameters() map[string]string {
	return map[string]string{
		"ProcessorId": a.Processor, "ExtendWorkspaceId": a.Workspace,
		"Transfer": "upload", "ReconcileAfterSeconds": "15",
	}
}

// Start starts everything, or returns an error and leaves nothing running. The context
// bounds the start only; Stop ends what was started.
func Start(ctx context.Context, opts Options) (_ *Stack, err error) {
	root, err := emulator.Root()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(root, ".local"), 0o750); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(filepath.Join(root, ".local"), "run-")
	if err != nil {
		return nil, err
	}
	s := &Stack{Root: root, Dir: dir, APIKey: "sk_" + rand.Text(), WebhookSecret: "wss_" + rand.Text()}
	defer func() {
		if err != nil {
			err = s.Stop(err)
		}
	}()

	opts.Say("tools", ".tools/ (dev/tools/tools.sh)")
	if err := emulator.Install(ctx, os.Stderr); err != nil {
		return nil, err
	}
	if s.AWS, err = emulator.StartMiniStack(ctx, dir); err != nil {
		return nil, err
	}
	s.OnStop(s.AWS.Stop)
	opts.Say("local AWS", s.AWS.URL+" (MiniStack)")
	if a := opts.Account; a != nil {
		s.ExtendURL, s.APIKey, s.WebhookSecret = a.BaseURL, a.Key, ""
		opts.Say("Extend", fmt.Sprintf("%s, processor %s: each file costs credits", strings.TrimSpace(a.BaseURL+" "+a.Workspace), a.Processor))
	} else {
		if err := s.startFake(opts.Fake); err != nil {
			return nil, err
		}
		opts.Say("fake Extend", s.ExtendURL)
	}

	cfg := emulator.AWSConfig(s.AWS.URL)
	s.S3, s.DB, s.SQS = boot.S3(cfg), dynamodb.NewFromConfig(cfg), sqs.NewFromConfig(cfg)
	if opts.Before != nil {
		if err := opts.Before(ctx, s); err != nil {
			return nil, err
		}
	}
	if err := s.deploy(ctx, cfg, opts); err != nil {
		return nil, err
	}
	s.Ledger = ledger.New(s.DB, s.Outputs["DocumentsTableName"], ledger.DefaultRules, time.Now)
	if err := s.fillSecret(ctx, secretsmanager.NewFromConfig(cfg)); err != nil {
		return nil, fmt.Errorf("fill the secret: %w", err)
	}
	if opts.Account != nil {
		opts.Say("secret", "filled with EXTEND_API_KEY")
		opts.Say("results", "are asked for every minute at first, then less and less often: no webhook can reach this machine")
		return s, nil
	}
	opts.Say("secret", "filled with an API key and a webhook secret made up for this run")
	if err := s.Fake.SetWebhook(s.WebhookURL, s.WebhookSecret); err != nil {
		return nil, err
	}
	opts.Say("webhook", "Extend's endpoint is "+s.WebhookURL)
	return s, nil
}

// Stop ends everything that runs, the latest first, and removes what was written. If
// err says that something failed, the files stay, so that the cause can be found, and
// the error that is returned names their directory. [ErrStopped] is no failure.
func (s *Stack) Stop(err error) error {
	for _, f := range slices.Backward(s.closers) {
		f()
	}
	s.closers = nil
	if err == nil || errors.Is(err, ErrStopped) {
		return errors.Join(err, os.RemoveAll(s.Dir))
	}
	return fmt.Errorf("%w\n(all logs are in %s)", err, s.Relative(s.Dir))
}

// OnStop has f called by Stop, before what was started or handed in earlier ends.
func (s *Stack) OnStop(f func()) { s.closers = append(s.closers, f) }

// Serve serves h on a free port of the loopback interface until Stop, behind
// [guard.Local].
func (s *Stack) Serve(h http.Handler) (url string, err error) {
	server, err := guard.Serve(h)
	if err != nil {
		return "", err
	}
	s.OnStop(server.Close)
	return server.URL, nil
}

func (s *Stack) startFake(opts fakeextend.Options) error {
	steps := make(chan fakeextend.Step, 1000)
	s.Steps = steps
	opts.APIKey = s.APIKey
	opts.Processors = append(opts.Processors, fakeextend.Processor{ID: ProcessorID, Name: "Local extractor", Type: fakeextend.Extract, Versions: []string{"1.0"}, Subscribed: true})
	opts.OnStep = func(step fakeextend.Step) {
		select {
		case steps <- step:
		default:
		}
	}
	var err error
	if s.Fake, err = fakeextend.New(opts); err != nil {
		return err
	}
	if s.ExtendURL, err = s.Serve(s.Fake); err != nil {
		return err
	}
	s.OnStop(s.Fake.Close) // before its server, for it ends the waits of handlers
	return nil
}

func (s *Stack) fillSecret(ctx context.Context, client *secretsmanager.Client) error {
	secret := boot.Secret{APIKey: s.APIKey, WebhookSecrets: []string{}}
	if s.WebhookSecret != "" {
		secret.WebhookSecrets = append(secret.WebhookSecrets, s.WebhookSecret)
	}
	value, err := json.Marshal(secret) // #nosec G117 -- it goes where secrets belong
	if err != nil {
		return err
	}
	_, err = client.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{
		SecretId: aws.String(s.Outputs["ExtendSecretArn"]), SecretString: aws.String(string(value)),
	})
	return err
}

// Exports are the variables with which the AWS command line and intake work on the stack.
func (s *Stack) Exports() []string {
	return append(emulator.Environ(s.AWS.URL)[:5:5], "INTAKE_STACK="+Name, "INTAKE_WEBHOOK_URL="+s.WebhookURL)
}

// Relative names a file of the stack as a person would, from the repository.
func (s *Stack) Relative(path string) string {
	if r, err := filepath.Rel(s.Root, path); err == nil && filepath.IsLocal(r) {
		return r
	}
	return path
}
