package simulation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"golang.org/x/time/rate"

	"extend-intake/dev/fakeextend"
	"extend-intake/functions/reconcile"
	"extend-intake/functions/submit"
	"extend-intake/functions/webhook"
	"extend-intake/shared/document"
	"extend-intake/shared/extend"
	"extend-intake/shared/ledger"
	sqs "extend-intake/shared/queue"
	"extend-intake/shared/recorder"
)

const (
	stackName = "111122223333/eu-central-1/intake"
	processor = "dp_simulated"
	apiKey    = "sk_simulated"
	secret    = "wss_simulated"
	prefix    = "in/"

	extendURL  = "https://extend.test"
	webhookURL = "https://intake.test/webhook"

	// The time-out of the other functions' clients: askTimeout there.
	askTimeout = 10 * time.Second
)

// config reads the functions' configuration from the environment that the template
// would give them, by their own code.
func (w *world) config() stackConfig {
	seconds := func(d time.Duration) string { return strconv.Itoa(int(d / time.Second)) }
	env := map[string]string{
		"STACK": stackName, "TABLE_NAME": "documents", "SECRET_ID": "secret", "EXTEND_BASE_URL": extendURL,
		"UPLOAD_QUEUE_URL": "https://sqs.test/uploads", "DEAD_LETTER_QUEUE_URL": "https://sqs.test/dead", "RESULTS_BUCKET": "results", "PAYLOAD_HOSTS": "extend.test",
		"PROCESSOR_ID": processor, "PROCESSOR_VERSION": "latest", "KEY_PREFIX": prefix, "UPLOAD_BUCKET": bucketName(w.seed), "TRANSFER": "link",
		"REQUESTS_PER_SECOND": strconv.Itoa(w.set.requests), "FILES_PER_MINUTE": strconv.Itoa(w.set.files), "MAX_CONCURRENCY": strconv.Itoa(concurrency),
		"LEASE_SECONDS": seconds(w.set.lease), "CONFIRM_WINDOW_SECONDS": seconds(w.set.confirm), "PAUSE_SECONDS": seconds(w.set.pause), "STALLED_AFTER_SECONDS": "21600",
		"RECONCILE_AFTER_SECONDS": seconds(w.set.reconcile), "MAX_ATTEMPTS": strconv.Itoa(w.set.maxAttempts),
	}
	getenv := func(name string) string { return env[name] }
	s, err := submit.LoadConfig(getenv)
	h, err2 := webhook.LoadConfig(getenv)
	r, err3 := reconcile.LoadConfig(getenv)
	if err := errors.Join(err, err2, err3); err != nil {
		panic(err)
	}
	return stackConfig{submit: s, webhook: h, reconcile: r}
}

// stackConfig is what the template's parameters are for the functions.
type stackConfig struct {
	submit    submit.Config
	webhook   webhook.Config
	reconcile reconcile.Config
}

// wireSubmit, wireWebhook and wireReconcile do what New does in each of the functions'
// packages, with the simulated world in place of AWS and of the network.

func (w *world) wireSubmit(in *instance) func(context.Context, any) (any, error) {
	cfg := w.stack.submit
	h, err := submit.NewHandler(cfg, submit.Parts{
		Transport: in.transport(),
		Key: func(context.Context) (string, error) {
			if w.strike(in.dice, secretUnavailable) {
				return "", errFault
			}
			return apiKey, nil
		},
		Ledger: in.ledger(cfg.Rules), Bucket: uploads{in}, Uploads: messages{in}, DeadLetters: deadLetters{in},
		Now: in.now, Jitter: in.dice.Float64,
	})
	if err != nil {
		panic(err)
	}
	h.Runs = runs{in, h.Runs.(*extend.RunService)} // with all that can go wrong around a call
	return func(ctx context.Context, event any) (any, error) { return h.Handle(ctx, event.(json.RawMessage)) }
}

func (w *world) wireWebhook(in *instance) func(context.Context, any) (any, error) {
	// Four tries, as ever, but not at random times: everything random here is the seed's.
	client := in.client(askTimeout, extend.Retry{Base: 1, Max: 1})
	h := &webhook.Handler{
		Secrets: func(context.Context, bool) ([]string, error) {
			if w.strike(in.dice, secretUnavailable) {
				return nil, errFault
			}
			return []string{"wss_older", secret}, nil
		},
		Runs: runs{in, client.Runs}, Recorder: in.recorder(client, w.stack.webhook.Rules), Now: in.now,
	}
	return func(ctx context.Context, event any) (any, error) {
		return h.Handle(ctx, event.(events.APIGatewayV2HTTPRequest))
	}
}

func (w *world) wireReconcile(in *instance) func(context.Context, any) (any, error) {
	cfg := w.stack.reconcile
	client := in.client(askTimeout, extend.Retry{Attempts: 1})
	h := &reconcile.Handler{
		Ledger: in.ledger(cfg.Rules), Runs: runs{in, client.Runs}, Recorder: in.recorder(client, cfg.Rules),
		Requeue: in.resend, Limit: rate.NewLimiter(rate.Limit(cfg.RequestsPerSecond), 1),
		Grace: cfg.Rules.ReconcileAfter, Now: in.now,
	}
	return func(ctx context.Context, _ any) (any, error) { return h.Handle(ctx, json.RawMessage(`{}`)) }
}

func (in *instance) recorder(client *extend.Client, rules ledger.Rules) *recorder.Recorder {
	w := in.fn.w
	return &recorder.Recorder{
		Stack: stackName, Ledger: in.ledger(rules), Runs: runs{in, client.Runs}, Requeue: in.resend,
		Put: func(_ context.Context, name string, output []byte) (location string, err error) {
			err = in.do("keep "+name, "", keepFails, keepAnswerLost, func() error {
				location = "s3://results/" + name
				w.mu.Lock()
				defer w.mu.Unlock()
				w.results[location] = output
				return nil
			})
			return location, err
		},
	}
}

func (in *instance) resend(_ context.Context, s document.Source) error {
	return in.do("resend", s.DocumentID(), resendFails, resendAnswerLost, func() error {
		in.fn.w.tell(in.name, s.DocumentID(), "notice sent again")
		in.fn.w.queue.send(document.RequeueMessage(s))
		return nil
	})
}

// ledger is the table as this machine sees it.
func (in *instance) ledger(rules ledger.Rules) *ledger.Ledger {
	w := in.fn.w
	return w.table.Through(rules, in.now, func(ctx context.Context, a ledger.Access, do func(context.Context) error) error {
		if a.Op == "get" && w.unreadable(in.dice) {
			return fmt.Errorf("%w: simulated fault", ledger.ErrRecord)
		}
		return in.do("ledger "+a.Op, a.DocumentID, ledgerThrottled, ledgerAnswerLost, func() error {
			return w.access(ctx, in.name, a, do)
		})
	})
}

// unreadable says that a record is, for once, one of a newer version of the product. It
// is not so often that a message could reach the twenty faults after which it is dead.
func (w *world) unreadable(dice *rand.Rand) bool {
	w.mu.Lock()
	enough := w.faults.n[recordUnreadable] >= 15
	w.mu.Unlock()
	return !enough && w.strike(dice, recordUnreadable)
}

// access uses the table and watches what is written.
func (w *world) access(ctx context.Context, actor string, a ledger.Access, do func(context.Context) error) error {
	var err error
	if w.outside == nil {
		err = do(ctx)
	} else {
		done := new(sync.Mutex) // no channel: it would be the bubble's
		done.Lock()
		w.outside(func() { err = do(context.Background()); done.Unlock() })
		done.Lock()
	}
	if err == nil && a.Op == "write" {
		w.wrote(actor, a.Old, a.Next)
	}
	return err
}

// runs are the calls of Extend that a machine makes.
type runs struct {
	in *instance
	*extend.RunService
}

func (r runs) Create(ctx context.Context, req extend.CreateRunRequest) (*extend.Run, error) {
	id, _ := req.Metadata["documentId"].(string)
	r.in.pass("before: POST", id)
	run, err := r.RunService.Create(ctx, req)
	r.in.pass("after: POST", id)
	if err == nil {
		r.in.fn.w.tell(r.in.name, id, "POST answered: run %s", run.ID[:8])
	} else {
		r.in.fn.w.tell(r.in.name, id, "POST failed: %v", err)
	}
	return run, err
}

func (r runs) Get(ctx context.Context, id string) (*extend.Run, error) {
	r.in.pass("before: GET", "")
	run, err := r.RunService.Get(ctx, id)
	r.in.pass("after: GET", "")
	return run, err
}

func (r runs) All(ctx context.Context, req extend.ListRunsRequest) iter.Seq2[extend.RunSummary, error] {
	return func(yield func(extend.RunSummary, error) bool) {
		r.in.pass("before: list", "")
		for s, err := range r.RunService.All(ctx, req) {
			if !yield(s, err) {
				return
			}
		}
	}
}

// uploads are what a machine does to the bucket.
type uploads struct{ in *instance }

func (u uploads) Link(_ context.Context, s document.Source) (string, error) {
	err := u.in.do("presign", s.DocumentID(), linkFails, never, func() error { return nil })
	return link(s), err
}

func (u uploads) Open(context.Context, document.Source) (io.ReadCloser, int64, error) {
	return nil, 0, errors.New("the simulation has Extend fetch the files")
}

// messages are what a machine does to the upload queue.
type messages struct{ in *instance }

func (m messages) Delay(_ context.Context, receipt string, d time.Duration) error {
	return m.in.do("delay "+receipt, "", delayFails, delayAnswerLost, func() error { return m.in.fn.w.queue.delay(receipt, d) })
}

func (m messages) Send(_ context.Context, message sqs.Message) error {
	return m.in.do("requeue", "", resendFails, resendAnswerLost, func() error {
		n, err := strconv.Atoi(message.Attributes["errors"])
		if err != nil {
			return err
		}
		m.in.fn.w.queue.sendLater(message.Body, n, message.Delay)
		return nil
	})
}

// deadLetters are what a machine does to the dead-letter queue.
type deadLetters struct{ in *instance }

func (d deadLetters) Send(_ context.Context, m sqs.Message) error {
	return d.in.do("send to the dead-letter queue", "", buryFails, buryAnswerLost, func() error {
		d.in.fn.w.queue.bury(m.Body, m.Attributes["reason"])
		return nil
	})
}

// client is a client of Extend as the functions have one.
func (in *instance) client(timeout time.Duration, retry extend.Retry) *extend.Client {
	c, err := extend.NewClient(extend.StaticKey(apiKey), extend.WithBaseURL(extendURL), extend.WithRetry(retry),
		extend.WithHTTPClient(&http.Client{Timeout: timeout, Transport: in.transport()}))
	if err != nil {
		panic(err)
	}
	return c
}

// transport is how a machine reaches Extend.
func (in *instance) transport() http.RoundTripper {
	return network{in, fakeextend.Transport(in.fn.w.extend)}
}

// network is what lies between a machine and Extend. All else that can happen
// there is done by Extend itself: see [world.apiFault].
type network struct {
	in   *instance
	next http.RoundTripper
}

// RoundTrip sends a request, unless there is no connection.
func (n network) RoundTrip(r *http.Request) (*http.Response, error) {
	if n.in.fn.w.strike(n.in.dice, neverSent) {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errFault}
	}
	return n.next.RoundTrip(r)
}
