package ledger

import (
	"context"
	"encoding/json"
	"iter"
	"time"
)

// Access is one use of the table, as [Ledger.Through] shows it.
type Access struct {
	// Op is "get", "write", "output", "query", "count", "get contents", "write contents", "get budget" or "write budget".
	Op string
	// DocumentID is empty for a query and a count.
	DocumentID string
	// Old and Next are those of a write: only to be read, and only during the call.
	Old, Next *Record
}

// Through returns a Ledger on the same table with its own rules and clock, whose every
// access goes through f. What f returns is the access's error, and f decides whether do is
// called: a simulation gives each of its machines a Ledger by it, watches what they do and
// injects faults.
func (l *Ledger) Through(rules Rules, now func() time.Time, f func(ctx context.Context, a Access, do func(context.Context) error) error) *Ledger {
	return &Ledger{store: &through{l.store, f}, rules: rules, now: now}
}

type through struct {
	store  store
	access func(context.Context, Access, func(context.Context) error) error
}

func (t *through) get(ctx context.Context, id string) (rec *Record, err error) {
	err = t.access(ctx, Access{Op: "get", DocumentID: id}, func(ctx context.Context) (err error) {
		rec, err = t.store.get(ctx, id)
		return err
	})
	return rec, err
}

func (t *through) swap(ctx context.Context, old, next *Record) error {
	return t.access(ctx, Access{Op: "write", DocumentID: next.DocumentID, Old: old, Next: next}, func(ctx context.Context) error {
		return t.store.swap(ctx, old, next)
	})
}

func (t *through) getContents(ctx context.Context, id string) (c *contents, err error) {
	err = t.access(ctx, Access{Op: "get contents"}, func(ctx context.Context) (err error) {
		c, err = t.store.getContents(ctx, id)
		return err
	})
	return c, err
}

func (t *through) swapContents(ctx context.Context, old, next *contents) error {
	return t.access(ctx, Access{Op: "write contents"}, func(ctx context.Context) error {
		return t.store.swapContents(ctx, old, next)
	})
}

func (t *through) getHold(ctx context.Context, id string) (h *hold, err error) {
	err = t.access(ctx, Access{Op: "get budget"}, func(ctx context.Context) (err error) {
		h, err = t.store.getHold(ctx, id)
		return err
	})
	return h, err
}

func (t *through) getDay(ctx context.Context, name, route string) (d day, err error) {
	err = t.access(ctx, Access{Op: "get budget"}, func(ctx context.Context) (err error) {
		d, err = t.store.getDay(ctx, name, route)
		return err
	})
	return d, err
}

func (t *through) swapHold(ctx context.Context, old, next *hold, change spend) error {
	return t.access(ctx, Access{Op: "write budget"}, func(ctx context.Context) error {
		return t.store.swapHold(ctx, old, next, change)
	})
}

func (t *through) output(ctx context.Context, id string) (output json.RawMessage, err error) {
	err = t.access(ctx, Access{Op: "output", DocumentID: id}, func(ctx context.Context) (err error) {
		output, err = t.store.output(ctx, id)
		return err
	})
	return output, err
}

func (t *through) byRun(ctx context.Context, runID string) (ids []string, err error) {
	err = t.access(ctx, Access{Op: "query"}, func(ctx context.Context) (err error) {
		ids, err = t.store.byRun(ctx, runID)
		return err
	})
	return ids, err
}

func (t *through) newest(ctx context.Context, object string) (id string, err error) {
	err = t.access(ctx, Access{Op: "query"}, func(ctx context.Context) (err error) {
		id, err = t.store.newest(ctx, object)
		return err
	})
	return id, err
}

// byState asks for all ids at once: what a simulation asks for is few.
func (t *through) byState(ctx context.Context, s State, until time.Time) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		var ids []string
		err := t.access(ctx, Access{Op: "query"}, func(ctx context.Context) error {
			for id, err := range t.store.byState(ctx, s, until) {
				if err != nil {
					return err
				}
				ids = append(ids, id)
			}
			return nil
		})
		for _, id := range ids {
			if !yield(id, nil) {
				return
			}
		}
		if err != nil {
			yield("", err)
		}
	}
}

func (t *through) count(ctx context.Context, s State, until time.Time) (n int, err error) {
	err = t.access(ctx, Access{Op: "count"}, func(ctx context.Context) (err error) {
		n, err = t.store.count(ctx, s, until)
		return err
	})
	return n, err
}
