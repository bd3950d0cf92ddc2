package bulk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// list makes an operation of n items.
func list(t *testing.T, dir string, n int) *Op {
	t.Helper()
	op, err := Create(dir, Operation{Command: "reprocess", Begun: time.Date(2026, 11, 25, 8, 0, 0, 0, time.UTC)})
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if err := op.Add(i); err != nil {
			t.Fatal(err)
		}
	}
	return op
}

// An operation that is stopped or killed anywhere, and resumed from its directory alone, sends
// every item, and repeats at most the batch in which it was killed.
func TestAnOperationIsGoneOnWith(t *testing.T) {
	t.Parallel()
	const items = 47
	for _, stop := range []string{"cancelled", "send fails", "killed after a send", "not ready"} {
		for at := range 5 {
			t.Run(fmt.Sprint(stop, at), func(t *testing.T) {
				t.Parallel()
				stop, dir := stop, t.TempDir()
				op := list(t, dir, items)
				if err := op.Confirm(); err != nil {
					t.Fatal(err)
				}
				sent := map[string]int{}
				batches := 0
				ctx, cancel := context.WithCancelCause(t.Context())
				boom := errors.New("boom")
				send := func(_ context.Context, batch []json.RawMessage) ([]error, error) {
					if stop == "send fails" && batches == at {
						return nil, boom
					}
					for _, item := range batch {
						sent[string(item)]++
					}
					if batches++; stop == "killed after a send" && batches == at+1 {
						return nil, boom // nothing of it is kept
					}
					return make([]error, len(batch)), nil
				}
				err := op.Run(ctx, Sender{Send: send, Ready: func(context.Context) error {
					if stop == "not ready" && batches == at {
						return boom
					}
					return nil
				}, Progress: func(Operation) {
					if stop == "cancelled" && batches == at+1 {
						cancel(boom)
					}
				}})
				if at < 4 || stop != "cancelled" { // else that was the last batch
					if !errors.Is(err, boom) {
						t.Fatal(err)
					}
				}
				stop, batches = "", 0
				if op, err = Open(dir, op.ID); err != nil {
					t.Fatal(err)
				}
				if err := op.Run(t.Context(), Sender{Send: send}); err != nil {
					t.Fatal(err)
				}
				twice := 0
				for i := range items {
					switch n := sent[fmt.Sprint(i)]; {
					case n == 0:
						t.Errorf("item %d was not sent", i)
					case n > 1:
						twice++
					}
				}
				if !op.Done || op.Sent != items || twice > BatchSize {
					t.Errorf("%+v, %d items sent twice", op.Operation, twice)
				}
			})
		}
	}
}

func TestWhatFailsIsListed(t *testing.T) {
	t.Parallel()
	op := list(t, t.TempDir(), 25)
	if err := op.Confirm(); err != nil {
		t.Fatal(err)
	}
	err := op.Run(t.Context(), Sender{Send: func(_ context.Context, batch []json.RawMessage) ([]error, error) {
		failures := make([]error, len(batch))
		failures[2] = errors.New("no")
		return failures, nil
	}})
	text, _ := os.ReadFile(op.FailedFile())
	if err != nil || op.Sent != 22 || op.Failed != 3 || !op.Done || string(text) != "{\"item\":2,\"error\":\"no\"}\n{\"item\":12,\"error\":\"no\"}\n{\"item\":22,\"error\":\"no\"}\n" {
		t.Errorf("%v, %+v, failed.jsonl %s", err, op.Operation, text)
	}
}

func TestMaxCreditsIsAHardStop(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	op := list(t, dir, 100)
	op.CreditsEach, op.MaxCredits = 5, 199
	if err := op.Confirm(); err != nil {
		t.Fatal(err)
	}
	sent := 0
	send := func(_ context.Context, batch []json.RawMessage) ([]error, error) {
		sent += len(batch)
		return make([]error, len(batch)), nil
	}
	for range 2 { // it does not go on by itself
		if err := op.Run(t.Context(), Sender{Send: send}); !errors.Is(err, ErrMaxCredits) || sent != 30 {
			t.Fatalf("%v, %d sent", err, sent)
		}
		op, _ = Open(dir, op.ID)
	}
	op.MaxCredits = 0
	if err := op.Run(t.Context(), Sender{Send: send}); err != nil || sent != 100 {
		t.Errorf("%v, %d sent", err, sent)
	}
}

func TestOperationsThatCanNotBeGoneOnWith(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	op := list(t, dir, 3) // killed while it was listed
	again, err := Open(dir, op.ID)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Run(t.Context(), Sender{}); err == nil || !strings.Contains(err.Error(), "before all of its items were listed") {
		t.Error(err)
	}
	for _, id := range []string{"", "op_1", "../x", "a/b", ".."} {
		if _, err := Open(dir, id); err == nil {
			t.Errorf("%q is an operation", id)
		}
	}
	if other := list(t, dir, 1); other.ID == op.ID {
		t.Error("two operations of the same second have one id")
	}
	if all, err := All(dir); err != nil || len(all) != 2 {
		t.Errorf("%d operations, %v", len(all), err)
	}
	if all, err := All(dir + "/none"); err != nil || len(all) != 0 {
		t.Errorf("%d operations, %v", len(all), err)
	}
}
