// Package recorder brings the news of a run into the ledger. A webhook delivery and
// a question of reconcile both end here, so that there is one way for an answer of Extend to become a stored output:
//
//	rec, err := recorder.New(recorder.Parts{Stack: stack, Ledger: l, Runs: client.Runs, Put: put, Requeue: requeue})
//	result, err := rec.Delivered(ctx, run)
//
// Recording the same news twice is harmless. What the news ended is counted here too,
// once, whoever brought it: Result.Metrics belong on the caller's log line.
package recorder

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"extend-intake/shared/boot"
	"extend-intake/shared/document"
	"extend-intake/shared/extend"
	"extend-intake/shared/ledger"
	"extend-intake/shared/metric"
)

// Recorder records what became of runs. Make one with [New].
type Recorder struct{ Parts }

// Parts are what a Recorder is made of. All are required.
type Parts struct {
	// Stack is the deployment whose runs are recorded; those of another are ignored.
	Stack  string
	Ledger *ledger.Ledger
	Runs   Getter
	// Put stores what DynamoDB can't hold exactly, under a name that is new for
	// new content, and says where it is.
	Put func(ctx context.Context, name string, output []byte) (location string, err error)
	// Requeue sends a document to the upload queue once more.
	Requeue func(ctx context.Context, s document.Source) error
}

// New makes a Recorder of its parts. The error names those that are missing.
func New(p Parts) (*Recorder, error) {
	if err := boot.Complete(p); err != nil {
		return nil, err
	}
	return &Recorder{p}, nil
}

// Getter is the one call of Extend that a Recorder makes.
type Getter interface {
	Get(ctx context.Context, id string) (*extend.Run, error)
}

// Result says what was made of the news.
type Result struct {
	// Verdict is the ledger's, or Foreign.
	Verdict ledger.Verdict
	// DocumentID is there beside an error too.
	DocumentID string
	// Record is the document as it is now; nil when there is none.
	Record *ledger.Record
	// Ended says that the news ended an attempt, which nobody had told before. Metrics
	// are log attributes that count it. They are there beside an error too, if it came
	// after the ledger knew.
	Ended   bool
	Metrics []any

	written bool
}

// Foreign is the Verdict on a run whose tag names another stack.
const Foreign ledger.Verdict = "another stack's"

// maxRounds bounds the questions about one run that keeps changing meanwhile.
const maxRounds = 5

// asOf says how new a run is: whether Extend was asked for it, and which version the
// record had before that (0: there was none).
type asOf struct {
	fetched bool
	version int64
}

// Delivered records a run that came by itself, in a delivery whose signature was
// checked. An error means that nothing is lost and that the same call later can
// succeed.
func (r *Recorder) Delivered(ctx context.Context, run *extend.Run) (Result, error) {
	return r.settle(ctx, run, asOf{})
}

// Fetched records a run that Extend was asked for, after the record was as given, its
// attempt still under way, or nil where there was none. Its error is that of Delivered.
func (r *Recorder) Fetched(ctx context.Context, run *extend.Run, before *ledger.Record) (Result, error) {
	seen := asOf{fetched: true}
	if before != nil {
		seen.version = before.Version
	}
	return r.settle(ctx, run, seen)
}

func (r *Recorder) settle(ctx context.Context, run *extend.Run, seen asOf) (Result, error) {
	result, err := r.confirm(ctx, run, seen)
	if result.DocumentID == "" {
		result.DocumentID = run.ID
		if tag, err := document.ParseTag(run.Metadata); err == nil {
			result.DocumentID = tag.DocumentID
		}
	}
	return result, err
}

// confirm asks Extend for as long as the ledger can't tell which content is newer.
func (r *Recorder) confirm(ctx context.Context, run *extend.Run, seen asOf) (Result, error) {
	// over: the record that seen is of had ended. The ledger stores a change of what
	// has ended only if it is of that very record, so this tells an end from a change.
	over := false
	for range maxRounds {
		result, err := r.record(ctx, run, seen)
		if result.Verdict != ledger.Confirm {
			result.count(run, over)
			return result, err
		}
		rec := result.Record
		if rec == nil {
			if rec, err = r.find(ctx, result.DocumentID); err != nil {
				return Result{}, err
			}
		}
		if seen, over = (asOf{fetched: true}), false; rec != nil {
			seen.version, over = rec.Version, rec.State.Terminal()
		}
		id := run.ID
		run, err = r.Runs.Get(ctx, id)
		if e, ok := errors.AsType[*extend.Error](err); ok && e.StatusCode == http.StatusNotFound && result.Record != nil {
			// The run was deleted: which content is newer, nobody can tell any more.
			return Result{Verdict: ledger.Unchanged, DocumentID: result.DocumentID, Record: result.Record}, nil
		}
		if err != nil {
			return Result{}, fmt.Errorf("ask about run %s: %w", id, err)
		}
	}
	return Result{}, fmt.Errorf("run %s: its record changed each of %d times while Extend was asked", run.ID, maxRounds)
}

// find is the record as it is now, nil when there is none.
func (r *Recorder) find(ctx context.Context, id string) (*ledger.Record, error) {
	rec, err := r.Ledger.Get(ctx, id)
	if errors.Is(err, ledger.ErrNotFound) {
		return nil, nil
	}
	return rec, err
}

// count finds out what the news ended. over: it was known to have ended, and this is a
// change of its result.
func (result *Result) count(run *extend.Run, over bool) {
	rec := result.Record
	switch {
	case !result.written || over:
		return
	case result.Verdict == ledger.DuplicateRun:
		result.Metrics = append(result.Metrics, metric.DuplicateRun.One())
	case result.Verdict == ledger.Resubmit && run.Status == extend.StatusFailed: // it is tried again
		result.Metrics = append(result.Metrics, metric.Failed.For(run.FailureReason).One())
	case result.Verdict != ledger.Stored:
		return
	case rec.State == ledger.Processed:
		result.Metrics = append(result.Metrics, metric.Processed.One())
		// Only the first result: a later one is counted from somebody's wish, not from the upload.
		if rec.Revision == 1 && !rec.UploadedAt.IsZero() {
			result.Metrics = append(result.Metrics, metric.SecondsToOutput.Add(max(0, rec.FinishedAt.Sub(rec.UploadedAt).Seconds())))
		}
	case rec.State == ledger.Failed:
		result.Metrics = append(result.Metrics, metric.Failed.For(run.FailureReason).One())
	case rec.State == ledger.Cancelled:
		result.Metrics = append(result.Metrics, metric.Cancelled.One())
	default:
		return
	}
	result.Ended = true
	if run.Usage != nil {
		if credits, err := run.Usage.Credits.Float64(); err == nil {
			result.Metrics = append(result.Metrics, metric.Credits.Add(credits))
		}
	}
}

func (r *Recorder) record(ctx context.Context, run *extend.Run, seen asOf) (Result, error) {
	id, source, attempt := run.ID, document.Source{}, 1
	tag, err := document.ParseTag(run.Metadata)
	if err == nil {
		if tag.Stack != r.Stack {
			return Result{Verdict: Foreign, DocumentID: tag.DocumentID}, nil
		}
		id, source, attempt = tag.DocumentID, tag.Source(), tag.Attempt
	}
	state, ended := terminal[run.Status]
	if !ended {
		if !seen.fetched {
			return Result{Verdict: ledger.Confirm, DocumentID: id}, nil
		}
		return r.apply(ctx, id, ledger.StillRunning{RunID: run.ID})
	}

	o := ledger.RunEnded{
		Source: source, Attempt: attempt, RunID: run.ID, RunURL: run.URL, ProcessorID: run.ProcessorID,
		State: state, Type: string(run.Type), Reviewed: run.Reviewed, Edited: run.Edited,
		FailureReason: run.FailureReason, FailureMessage: run.FailureMessage, Fetched: seen.fetched, AsOf: seen.version,
	}
	if run.Usage != nil {
		o.Credits = run.Usage.Credits.String()
	}
	if state == ledger.Processed {
		text := run.Output
		if text == nil {
			text = json.RawMessage("null")
		}
		if o.Output, err = ledger.NewOutput(text); err != nil {
			return Result{}, fmt.Errorf("run %s: output: %w", run.ID, err)
		}
	}
	if o.Digest, err = digest(o); err != nil {
		return Result{}, fmt.Errorf("run %s: output: %w", run.ID, err)
	}
	if o.Output != nil && o.Output.Inline() != nil {
		// The bytes first, then the record that points to them.
		name := fmt.Sprintf("%s/%d-%s.json", id, attempt, o.Digest[:16])
		if o.OutputLocation, err = r.Put(ctx, name, o.Output.Text()); err != nil {
			return Result{}, fmt.Errorf("run %s: put the output: %w", run.ID, err)
		}
		o.Output = nil
	}
	return r.apply(ctx, id, o)
}

var terminal = map[extend.Status]ledger.State{
	extend.StatusProcessed: ledger.Processed,
	extend.StatusFailed:    ledger.Failed,
	extend.StatusCancelled: ledger.Cancelled,
}

func (r *Recorder) apply(ctx context.Context, id string, f ledger.Fact) (Result, error) {
	d, err := r.Ledger.Apply(ctx, id, f)
	if err != nil {
		return Result{}, err
	}
	result := Result{Verdict: d.Verdict, DocumentID: id, Record: d.Record, written: d.Written}
	if d.Verdict == ledger.Resubmit {
		if err := r.Requeue(ctx, d.Record.Source()); err != nil {
			return result, fmt.Errorf("resend %s: %w", id, err)
		}
	}
	return result, nil
}

// digest is the same for the same content: see [ledger.Output.Canonical].
func digest(o ledger.RunEnded) (string, error) {
	text, err := json.Marshal([]any{o.State, o.Type, o.Reviewed, o.Edited, o.FailureReason, o.FailureMessage, nil})
	if err != nil {
		return "", err
	}
	h := sha256.New()
	if o.Output == nil {
		h.Write(text)
	} else { // its text takes the place of the null at the end
		h.Write(bytes.TrimSuffix(text, []byte("null]")))
		h.Write(o.Output.Canonical())
		h.Write([]byte("]"))
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
