package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"extend-intake/intake/bulk"
	"extend-intake/intake/exit"
	"extend-intake/intake/out"
	"extend-intake/intake/show"
	"extend-intake/intake/stack"
)

// BulkResult is what a bulk operation writes when it ends.
type BulkResult struct {
	Operation string         `json:"operation,omitempty" jsonschema:"The operation; intake ops show says more. Missing: there was nothing to do."`
	Done      bool           `json:"done" jsonschema:"All items were dealt with; else it can be resumed."`
	Total     int            `json:"total" jsonschema:"How many items there were to send."`
	Sent      int            `json:"sent" jsonschema:"How many were sent."`
	Failed    int            `json:"failed" jsonschema:"How many could not be sent."`
	Skipped   map[string]int `json:"skipped,omitempty" jsonschema:"How many were left out, by reason."`
	FailedIn  string         `json:"failedIn,omitempty" jsonschema:"The file that lists what could not be sent."`
}

// stateDir is where the operations of a stack are kept on this machine.
func (e *Env) stateDir(s *stack.Stack) (string, error) {
	dir := e.Getenv("XDG_STATE_HOME")
	switch home, err := os.UserHomeDir(); {
	case filepath.IsAbs(dir):
	case runtime.GOOS == "windows":
		if dir, err = os.UserConfigDir(); err != nil {
			return "", err
		}
	case err != nil:
		return "", err
	default:
		dir = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(dir, "extend-intake", strings.Join([]string{s.Account, s.Region, s.Name}, "_")), nil
}

// begin makes an operation, in which items are listed until it is confirmed or given up. With
// --dry-run there is none.
func (e *Env) begin(ctx context.Context, s *stack.Stack, command string, settings map[string]string) (op *bulk.Op, giveUp func(), err error) {
	if e.DryRun() {
		return nil, func() {}, nil
	}
	who, err := e.Caller(ctx, s)
	if err != nil {
		return nil, nil, err
	}
	dir, err := e.stateDir(s)
	if err != nil {
		return nil, nil, err
	}
	if op, err = bulk.Create(dir, bulk.Operation{Command: command, Stack: s.ARN, By: who, Why: e.Why(), Begun: e.Now(), Settings: settings}); err != nil {
		return nil, nil, err
	}
	return op, func() {
		if !op.Listed {
			_ = op.Discard() // nothing was sent
		}
	}, nil
}

// list lists what an operation is to do: with --dry-run for whoever asks, else into the operation.
func (e *Env) list(found iter.Seq2[show.Document, error]) (n int, err error) {
	if e.DryRun() {
		return show.List(e.Out()).Print(e.Out(), found)
	}
	for _, err := range found {
		if err != nil {
			return n, err
		}
		if n++; n%10_000 == 0 {
			e.Notef("found %s …", out.Number(n))
		}
	}
	return n, nil
}

// senders are how the items of an operation are sent, by the command that began it.
var senders = map[string]func(e *Env, s *stack.Stack, op *bulk.Op) func(context.Context, []json.RawMessage) ([]error, error){}

// run runs an operation to its end, or to where it can be resumed, and prints what came of it.
func (e *Env) run(ctx context.Context, s *stack.Stack, op *bulk.Op, skipped map[string]int) error {
	feed, err := e.feed(s, op)
	if err != nil {
		return err
	}
	p := newProgress(e, op)
	err = op.Run(ctx, bulk.Sender{Send: senders[op.Command](e, s, op), Ready: feed, Progress: p.tell})
	p.end()
	result := BulkResult{Operation: op.ID, Done: op.Done, Total: op.Total, Sent: op.Sent, Failed: op.Failed, Skipped: skipped}
	if op.Failed > 0 {
		result.FailedIn = op.FailedFile()
	}
	if printErr := e.Out().Value(result, op.ID, func() []out.Field {
		fields := []out.Field{{Label: "sent", Text: fmt.Sprintf("%s of %s", out.Number(op.Sent), out.Number(op.Total))}}
		for _, reason := range sortedKeys(skipped) {
			fields = append(fields, out.Field{Label: "left out", Text: fmt.Sprintf("%s: %s", out.Number(skipped[reason]), reason)})
		}
		if op.Failed > 0 {
			fields = append(fields, out.Field{Label: "failed", Text: fmt.Sprintf("%s, listed in %s", out.Number(op.Failed), op.FailedFile())})
		}
		return append(fields, out.Field{Label: "operation", Text: op.ID})
	}); printErr != nil && err == nil {
		err = printErr
	}
	if err != nil {
		return e.resumable(op, err)
	}
	if op.Failed > 0 {
		return exit.Quiet(exit.Partly)
	}
	return nil
}

// resumable says how to go on with an operation that has not ended.
func (e *Env) resumable(op *bulk.Op, err error) error {
	if errors.Is(err, bulk.ErrMaxCredits) {
		return exit.New(exit.Partly, "%w: %s of %s were sent, which cost up to %.6g credits", err, out.Number(op.Sent), out.Number(op.Total), float64(op.Sent)*op.CreditsEach).
			Next("intake ops resume %s --max-credits NUMBER   goes on", op.ID)
	}
	code := exit.Of(err)
	if errors.Is(err, bulk.ErrStopped) {
		code = exit.Stopped
	}
	text := fmt.Errorf("%w: %s of %s were sent", err, out.Number(op.Sent), out.Number(op.Total))
	return &exit.Error{Code: code, Err: stack.Explain(text, e.profile), Steps: []string{"intake ops resume " + op.ID + "   goes on"}}
}

// sendAll sends messages to a queue, each with the text that it has.
func sendAll(ctx context.Context, client *sqs.Client, queue string, bodies []string) ([]error, error) {
	in := &sqs.SendMessageBatchInput{QueueUrl: &queue}
	for i, body := range bodies {
		in.Entries = append(in.Entries, sqstypes.SendMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), MessageBody: aws.String(body)})
	}
	answer, err := client.SendMessageBatch(ctx, in)
	if err != nil {
		return nil, err
	}
	failures := make([]error, len(bodies))
	for _, f := range answer.Failed {
		i, err := strconv.Atoi(aws.ToString(f.Id))
		if err != nil || i < 0 || i >= len(bodies) {
			return nil, fmt.Errorf("SQS answers about a message %q that was not sent", aws.ToString(f.Id))
		}
		failures[i] = fmt.Errorf("%s: %s", aws.ToString(f.Code), aws.ToString(f.Message))
	}
	return failures, nil
}

// keepAhead is for how long the upload queue has work at most, by what an operation adds to it:
// an upload waits so long behind the operation, and not for days.
const keepAhead = 10 * time.Minute

// feedInterval is how long a full queue is left alone.
const feedInterval = 10 * time.Second

// feed waits while the upload queue is full.
func (e *Env) feed(s *stack.Stack, op *bulk.Op) (func(context.Context) error, error) {
	perMinute, err := s.FilesPerMinute()
	if err != nil {
		return nil, err
	}
	ahead := keepAhead
	if text := op.Settings["keepAhead"]; text != "" {
		if ahead, err = time.ParseDuration(text); err != nil {
			return nil, err
		}
	}
	room, full := 0, max(int(perMinute*ahead.Minutes()), bulk.BatchSize)
	client := s.SQS()
	return func(ctx context.Context) error {
		for room < bulk.BatchSize {
			waiting, err := e.waiting(ctx, client, s)
			if err != nil {
				return err
			}
			if room = full - waiting; room < bulk.BatchSize {
				select {
				case <-ctx.Done():
					return context.Cause(ctx)
				case <-time.After(feedInterval):
				}
			}
		}
		room -= bulk.BatchSize
		return nil
	}, nil
}

// waiting is about how many messages are in the upload queue.
func (e *Env) waiting(ctx context.Context, client *sqs.Client, s *stack.Stack) (int, error) {
	const visible, away = sqstypes.QueueAttributeNameApproximateNumberOfMessages, sqstypes.QueueAttributeNameApproximateNumberOfMessagesNotVisible
	queue := s.Outputs["UploadQueueUrl"]
	answer, err := client.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &queue, AttributeNames: []sqstypes.QueueAttributeName{visible, away}})
	if err != nil {
		return 0, err
	}
	n := 0
	for _, name := range []sqstypes.QueueAttributeName{visible, away} {
		part, err := strconv.Atoi(answer.Attributes[string(name)])
		if err != nil {
			return 0, fmt.Errorf("the upload queue's %s is %q, not a number", name, answer.Attributes[string(name)])
		}
		n += part
	}
	return n, nil
}

// backlog is about how many uploads wait, and how many are sent in a minute.
func (e *Env) backlog(ctx context.Context, s *stack.Stack) (waiting int, perMinute float64, err error) {
	if perMinute, err = s.FilesPerMinute(); err != nil {
		return 0, 0, err
	}
	waiting, err = e.waiting(ctx, s.SQS(), s)
	return waiting, perMinute, err
}

// hours is how long so many files take at the pace of the plan, behind what waits already.
func hours(files, waiting int, perMinute float64) float64 {
	if perMinute <= 0 {
		return 0
	}
	return math.Ceil(float64(files+waiting)/perMinute) / 60
}

// progress shows how far an operation is: on a terminal in one line, else in a line now and then.
type progress struct {
	e       *Env
	began   time.Time
	from    int
	shown   time.Time
	painted bool
}

func newProgress(e *Env, op *bulk.Op) *progress {
	now := e.Now()
	return &progress{e: e, began: now, from: op.Sent + op.Failed, shown: now}
}

// logInterval is how often a progress that nobody watches is logged.
const logInterval = 30 * time.Second

func (p *progress) tell(o bulk.Operation) {
	now := p.e.Now()
	every := logInterval
	if p.e.Asks {
		every = 200 * time.Millisecond
	}
	if now.Sub(p.shown) < every {
		return
	}
	p.shown = now
	done := o.Sent + o.Failed
	text := fmt.Sprintf("sent %s of %s", out.Number(o.Sent), out.Number(o.Total))
	if o.Failed > 0 {
		text += fmt.Sprintf(", %s failed", out.Number(o.Failed))
	}
	if n := done - p.from; n > 0 {
		left := time.Duration(float64(now.Sub(p.began)) / float64(n) * float64(o.Total-done))
		text += fmt.Sprintf(", about %s left", out.Duration(left))
	}
	if !p.e.Asks {
		p.e.Notef("%s", text)
		return
	}
	const width = 20
	full := 0
	if o.Total > 0 {
		full = width * done / o.Total
	}
	p.e.mu.Lock()
	defer p.e.mu.Unlock()
	p.painted = true
	fmt.Fprintf(p.e.Stderr, "\r\x1b[K%s%s %s", strings.Repeat("█", full), strings.Repeat("░", width-full), text)
}

// end ends the line of a terminal.
func (p *progress) end() {
	if p.painted {
		p.e.mu.Lock()
		defer p.e.mu.Unlock()
		fmt.Fprint(p.e.Stderr, "\r\x1b[K")
	}
}
