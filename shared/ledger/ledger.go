package ledger

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"time"
)

// Ledger is the table of documents, or a model of it.
type Ledger struct {
	store store
	rules Rules
	now   func() time.Time
}

// store is what a Ledger needs of a table.
type store interface {
	// get is a strongly consistent read; nil when there is no such record. It
	// carries no output.
	get(ctx context.Context, id string) (*Record, error)
	// swap writes next on condition that the record is still old (nil: that there
	// is none), else it returns errConflict.
	swap(ctx context.Context, old, next *Record) error
	// getContents and swapContents are get and swap for what is known of a key.
	getContents(ctx context.Context, id string) (*contents, error)
	swapContents(ctx context.Context, old, next *contents) error
	// getHold is a strongly consistent read, nil when there is none, and so is getDay, of what is
	// known of one route besides.
	getHold(ctx context.Context, id string) (*hold, error)
	getDay(ctx context.Context, day, route string) (day, error)
	// swapHold is swap for a hold. In the same transaction it changes the day's counter, and
	// returns errConflict too if that is not below its limit.
	swapHold(ctx context.Context, old, next *hold, change spend) error
	// output is the inline output of a record; nil when there is none.
	output(ctx context.Context, id string) (json.RawMessage, error)
	// byRun, byObject and byState read an index, which may lag behind the table.
	byRun(ctx context.Context, runID string) (ids []string, err error)
	newest(ctx context.Context, object string) (id string, err error)
	byState(ctx context.Context, s State, until time.Time) iter.Seq2[string, error]
	count(ctx context.Context, s State, until time.Time) (int, error)
}

var (
	// ErrNotFound means that the ledger has no such document.
	ErrNotFound = errors.New("ledger: no such document")
	errConflict = errors.New("the record has changed")
)

// maxTries bounds the decisions on a record that others keep changing. Each
// conflict means that somebody else got on, so in practice two are many.
const maxTries = 10

// Apply decides what follows from a fact about a document and writes it, in one
// conditional write. When the record changed in between, it decides
// anew. Applying the same fact several times leaves what applying it once leaves.
//
// After an error nothing is known about the write; apply the fact once more.
func (l *Ledger) Apply(ctx context.Context, documentID string, f Fact) (Decision, error) {
	d, err := l.apply(ctx, documentID, f)
	if err != nil {
		return d, err
	}
	return l.passOn(ctx, d)
}

func (l *Ledger) apply(ctx context.Context, documentID string, f Fact) (Decision, error) {
	var rec *Record
	fresh := false
	if claim, ok := f.(Claim); ok {
		fresh = !claim.Begun // most claims are the first word about a document: try without reading
		claim.By = cmp.Or(claim.By, rand.Text())
		f = claim
	}
	for range maxTries {
		var err error
		if !fresh {
			if rec, err = l.store.get(ctx, documentID); err != nil {
				return Decision{}, err
			}
		}
		fresh = false
		d, err := l.rules.Decide(rec, f, l.now())
		if err != nil || !d.Written {
			return d, err
		}
		switch err := l.store.swap(ctx, rec, d.Record); {
		case err == nil:
			return d, nil
		case !errors.Is(err, errConflict):
			return Decision{}, err
		}
	}
	return Decision{}, fmt.Errorf("ledger: %s: changed %d times while it was being decided on: try once more", documentID, maxTries)
}

// passOn has the latest copy of a document read whose own object is lost. It is done with
// every fact about that document, so that it is done once more after an error.
func (l *Ledger) passOn(ctx context.Context, d Decision) (Decision, error) {
	if d.Record == nil || d.Record.LastCopy == "" || !d.Record.ObjectLost() {
		return d, nil
	}
	// A copy's record that can't be understood is left as it is, like any other.
	if _, err := l.apply(ctx, d.Record.LastCopy, OriginalLost{d.Record.DocumentID}); err != nil && !errors.Is(err, ErrRecord) {
		return Decision{}, err
	}
	return d, nil
}

// Get returns a record as it is now. The error wraps [ErrNotFound] or [ErrRecord]
// where that is the reason.
func (l *Ledger) Get(ctx context.Context, documentID string) (*Record, error) {
	rec, err := l.store.get(ctx, documentID)
	if err != nil {
		return nil, err
	}
	if rec == nil {
		return nil, fmt.Errorf("%w: %s", ErrNotFound, documentID)
	}
	return rec, rec.check()
}

// Output returns the output that is stored inline with a record, as JSON with
// every digit that Extend sent. It is nil when there is none or when the record's
// OutputLocation says where it is.
func (l *Ledger) Output(ctx context.Context, documentID string) (json.RawMessage, error) {
	return l.store.output(ctx, documentID)
}

// ByRun finds the document of a run. Runs of earlier attempts are not found: ask
// for the document that the run's tag names. It is for the operator's command, which
// takes a run id wherever it takes a document; no function calls it.
func (l *Ledger) ByRun(ctx context.Context, runID string) (*Record, error) {
	ids, err := l.store.byRun(ctx, runID)
	if err != nil {
		return nil, err
	}
	if len(ids) == 0 {
		return nil, fmt.Errorf("%w: run %s", ErrNotFound, runID)
	}
	return l.Get(ctx, ids[0])
}

// Newest finds the newest upload of an object, s3://bucket/key. It is for the operator's
// command, which takes an object wherever it takes a document; no function calls it.
func (l *Ledger) Newest(ctx context.Context, object string) (*Record, error) {
	id, err := l.store.newest(ctx, object)
	if err != nil {
		return nil, err
	}
	if id == "" {
		return nil, fmt.Errorf("%w: %s", ErrNotFound, object)
	}
	return l.Get(ctx, id)
}

// InState yields the documents in a state whose next check, or end, is not after until, the
// earliest first. A record that can't be understood is yielded as an error that
// names it, and the iteration goes on; an error of the table ends it.
func (l *Ledger) InState(ctx context.Context, s State, until time.Time) iter.Seq2[*Record, error] {
	return func(yield func(*Record, error) bool) {
		for id, err := range l.store.byState(ctx, s, until) {
			if err != nil {
				yield(nil, err)
				return
			}
			rec, err := l.Get(ctx, id)
			if errors.Is(err, ErrNotFound) || err == nil && (rec.State != s || rec.stateTime().After(until)) {
				continue // the index is behind the table
			}
			if !yield(rec, err) {
				return
			}
		}
	}
}

// Count returns how many documents [Ledger.InState] would yield, about.
func (l *Ledger) Count(ctx context.Context, s State, until time.Time) (int, error) {
	return l.store.count(ctx, s, until)
}
