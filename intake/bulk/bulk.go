// Package bulk does one thing to many items, so that it can be stopped and gone on with at any
// point. The items are listed first, into a file; then each is sent, in the order of the file,
// and the place in it is kept:
//
//	op, err := bulk.Create(dir, bulk.Operation{Command: "reprocess", Why: why})
//	…
//	err = op.Add(item)                        // while they are listed
//	err = op.Run(ctx, bulk.Sender{Send: send}) // or: bulk.Open(dir, id), and Run
//
// A process that is killed has sent at most one batch more than the place says. So a Send must
// do no harm if it is repeated.
package bulk

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"extend-intake/intake/exit"
)

// BatchSize is how many items are sent at once: as many as one request of SQS takes.
const BatchSize = 10

// Operation is what an operation is and how far it has come. It is kept as op.json.
type Operation struct {
	ID string `json:"id" jsonschema:"The operation; intake ops resume takes it."`
	// Command is the one that began it, and tells how its items are sent.
	Command string    `json:"command" jsonschema:"The command that began it."`
	Stack   string    `json:"stack" jsonschema:"The ARN of the stack."`
	By      string    `json:"by,omitempty" jsonschema:"Whose credentials began it."`
	Why     string    `json:"why,omitempty" jsonschema:"The reason that was given."`
	Begun   time.Time `json:"begun" jsonschema:"When it was begun."`
	// Listed says that the list is complete: what was confirmed.
	Listed bool `json:"listed" jsonschema:"All items are listed. An operation that was stopped before is begun anew."`
	Total  int  `json:"total" jsonschema:"How many items it has."`
	// Sent and Failed are how many items were dealt with. The first Sent+Failed items of the list
	// are done.
	Sent   int `json:"sent" jsonschema:"How many were sent."`
	Failed int `json:"failed" jsonschema:"How many could not be sent; they are in failed.jsonl."`
	// CreditsEach is what an item costs at most, as it was estimated, and MaxCredits how much may be
	// spent; 0 is unknown, and no limit.
	CreditsEach float64           `json:"creditsEach,omitempty" jsonschema:"What an item costs at most, as estimated; missing: unknown."`
	MaxCredits  float64           `json:"maxCredits,omitempty" jsonschema:"Where it stops, in credits; missing: nowhere."`
	Settings    map[string]string `json:"settings,omitempty" jsonschema:"What the command needs to go on."`
	Done        bool              `json:"done" jsonschema:"All items were dealt with."`
}

// Op is an operation in its directory.
type Op struct {
	Operation
	Dir string

	list *os.File // while items are added
	out  *bufio.Writer
}

// Create makes the directory of an operation below dir. Its ID is the time at which it begins.
func Create(dir string, o Operation) (*Op, error) {
	for n := 1; ; n++ {
		o.ID = "op_" + o.Begun.UTC().Format("20060102T150405")
		if n > 1 {
			o.ID += fmt.Sprintf("_%d", n)
		}
		op := &Op{Operation: o, Dir: filepath.Join(dir, o.ID)}
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
		if err := os.Mkdir(op.Dir, 0o700); errors.Is(err, os.ErrExist) {
			continue
		} else if err != nil {
			return nil, err
		}
		f, err := os.OpenFile(op.path("list.jsonl"), os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
		if err != nil {
			return nil, err
		}
		op.list, op.out = f, bufio.NewWriter(f)
		return op, op.save()
	}
}

// Open opens an operation.
func Open(dir, id string) (*Op, error) {
	if id == "" || id != filepath.Base(id) {
		return nil, exit.New(exit.Usage, "%q is not the id of an operation", id).Next("intake ops ls   lists them")
	}
	op := &Op{Dir: filepath.Join(dir, id)}
	text, err := os.ReadFile(op.path("op.json"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, exit.New(exit.NotFound, "there is no operation %s of this stack on this machine", id).Next("intake ops ls   lists them")
	}
	if err == nil {
		err = json.Unmarshal(text, &op.Operation)
	}
	if err != nil {
		return nil, fmt.Errorf("operation %s: %w", id, err)
	}
	return op, nil
}

// All are the operations in a directory, the newest first. A directory that can't be read as one
// is left out.
func All(dir string) (all []*Op, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	for _, e := range entries {
		if op, err := Open(dir, e.Name()); err == nil {
			all = append(all, op)
		}
	}
	slices.SortFunc(all, func(a, b *Op) int { return b.Begun.Compare(a.Begun) })
	return all, nil
}

func (op *Op) path(name string) string { return filepath.Join(op.Dir, name) }

// save keeps op.json, whole or not at all.
func (op *Op) save() error {
	text, err := json.MarshalIndent(op.Operation, "", "  ")
	if err != nil {
		return err
	}
	next := op.path("op.json.new")
	if err := os.WriteFile(next, append(text, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(next, op.path("op.json"))
}

// Add adds an item to the list.
func (op *Op) Add(item any) error {
	text, err := json.Marshal(item)
	if err != nil {
		return err
	}
	op.Total++
	_, err = op.out.Write(append(text, '\n'))
	return err
}

// Confirm says that the list is complete, and that somebody wants it sent.
func (op *Op) Confirm() error {
	if err := errors.Join(op.out.Flush(), op.list.Sync(), op.list.Close()); err != nil {
		return err
	}
	op.Listed = true
	return op.save()
}

// Discard removes an operation of which nothing was sent.
func (op *Op) Discard() error {
	if op.list != nil {
		op.list.Close() // #nosec G104 -- it is removed
	}
	return os.RemoveAll(op.Dir)
}

// Sender sends the items of an operation.
type Sender struct {
	// Send sends a batch of items, each as it was added, and says of each by its place what went
	// wrong: nothing, a failure of this item alone, or, as err, one that ends the operation, which
	// can be resumed.
	Send func(ctx context.Context, batch []json.RawMessage) (failures []error, err error)
	// Ready waits until a batch may be sent. Its error ends the operation, as that of Send.
	Ready func(ctx context.Context) error
	// Progress is told after each batch.
	Progress func(Operation)
}

// ErrMaxCredits ends an operation that would cost more than its MaxCredits.
var ErrMaxCredits = errors.New("--max-credits is reached")

// ErrStopped ends an operation that somebody stopped from elsewhere.
var ErrStopped = errors.New("it was stopped by intake ops stop")

// Stop tells the process that runs the operation, whichever that is, to stop before its next
// batch.
func (op *Op) Stop() error { return os.WriteFile(op.path("stop"), nil, 0o600) }

// Run sends what has not been sent. When the context ends, the place is kept, and the error is
// the context's cause.
func (op *Op) Run(ctx context.Context, s Sender) error {
	if !op.Listed {
		return exit.New(exit.Failed, "operation %s was stopped before all of its items were listed, and sent nothing", op.ID).Next("begin it anew")
	}
	f, err := os.Open(op.path("list.jsonl"))
	if err != nil {
		return err
	}
	defer f.Close()
	r := bufio.NewReader(f)
	for range op.Sent + op.Failed {
		if _, err := r.ReadSlice('\n'); err != nil {
			return fmt.Errorf("operation %s: its list has fewer items than were sent: %w", op.ID, err)
		}
	}
	for {
		batch, err := read(r)
		if err != nil {
			return fmt.Errorf("operation %s: %w", op.ID, err)
		}
		if len(batch) == 0 {
			op.Done = true
			return op.save()
		}
		if op.MaxCredits > 0 && float64(op.Sent+len(batch))*op.CreditsEach > op.MaxCredits {
			return ErrMaxCredits
		}
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if os.Remove(op.path("stop")) == nil {
			return ErrStopped
		}
		if s.Ready != nil {
			if err := s.Ready(ctx); err != nil {
				return err
			}
		}
		// A batch that has begun is not cut off: what became of it would not be known.
		failures, err := s.Send(context.WithoutCancel(ctx), batch)
		if err != nil {
			return err
		}
		if err := op.sent(batch, failures); err != nil {
			return err
		}
		if s.Progress != nil {
			s.Progress(op.Operation)
		}
	}
}

func read(r *bufio.Reader) (batch []json.RawMessage, err error) {
	for len(batch) < BatchSize {
		line, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			break // a line that was not finished is no item
		}
		if err != nil {
			return nil, err
		}
		batch = append(batch, json.RawMessage(strings.TrimSuffix(string(line), "\n")))
	}
	return batch, nil
}

// sent keeps what became of a batch.
func (op *Op) sent(batch []json.RawMessage, failures []error) error {
	var lines []byte
	for i, err := range failures {
		if err == nil {
			continue
		}
		text, marshalErr := json.Marshal(struct {
			Item  json.RawMessage `json:"item"`
			Error string          `json:"error"`
		}{batch[i], err.Error()})
		if marshalErr != nil {
			return marshalErr
		}
		lines = append(append(lines, text...), '\n')
		op.Failed++
		op.Sent--
	}
	op.Sent += len(batch)
	if lines != nil {
		f, err := os.OpenFile(op.FailedFile(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		if err != nil {
			return err
		}
		_, err = f.Write(lines)
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	return op.save()
}

// FailedFile is the file that has what could not be sent, one a line.
func (op *Op) FailedFile() string { return op.path("failed.jsonl") }
