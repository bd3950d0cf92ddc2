// Package recorder brings the news of a run into the ledger. A webhook delivery, a
// look for a lost run and a question of reconcile all end here, so that there is
// one way for an answer of Extend to become a stored output:
//
//	rec := &recorder.Recorder{Stack: stack, Ledger: l, Runs: client.Runs, Keep: keep, Resend: resend}
//	result, err := rec.Record(ctx, run, recorder.Delivered)
//
// Recording the same news twice is harmless. What the news ended is counted here too,
// once, whoever brought it: Result.Metrics belong on the caller's log line.
package recorder

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"extend-intake/shared/document"
	"extend-intake/shared/extend"
	"extend-intake/shared/ledger"
	"extend-intake/shared/metric"
)

// Recorder records what became of runs. All fields are required.
type Recorder struct {
	// Stack is the deployment whose runs are recorded; those of another are ignored.
	Stack  string
	Ledger *ledger.Ledger
	Runs   Getter
	// Put stores what DynamoDB can't hold exactly, under a name that is new for
	// new content, and says where it is.
	Put func(ctx context.Context, name string, output []byte) (location string, err error)
	// Requeue puts a document's notice into the upload queue once more.
	Requeue func(ctx context.Context, s document.Source) error
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
	// Metrics are log attributes that count what the news ended. They are there
	// beside an error too, if it came after the ledger knew.
	Metrics []any

	written bool
}

// Foreign is the Verdict on a run whose tag names another stack.
const Foreign ledger.Verdict = "another stack's"

// Delivered is the seen of a run that came by itself. NoRecord is that of a run that
// was asked for while the ledger had no record of it.
const (
	Delivered int64 = 0
	NoRecord  int64 = -1
)

// maxRounds bounds the questions about one run that keeps changing meanwhile.
const maxRounds = 5

// Record brings a run into the ledger. seen says how new the run is: the Version of
// the record, its attempt still under way, before Extend was asked for the run; or
// Delivered. An error means that nothing is lost and that the same call later can
// succeed.
func (r *Recorder) Record(ctx context.Context, run *extend.Run, seen int64) (Result, error) {
	result, err := r.settle(ctx, run, seen)
	if result.DocumentID == "" {
		result.DocumentID = run.ID
		if tag, err := document.ParseTag(run.Metadata); err == nil {
			result.DocumentID = tag.DocumentID
		}
	}
	return result, err
}

// settle asks Extend for as long as the ledger can't tell which content is newer.
func (r *Recorder) settle(ctx context.Context, run *extend.Run, seen int64) (Result, error) {
	// over: the record that seen is of had ended. The ledger stores a change of what
	// has ended only if it is of that very record, so this tells an end from a change.
	over := false
	for range maxRounds {
		result, err := r.record(ctx, run, seen)
		if result.Verdict != ledger.Confirm {
			result.Metrics = count(result, run, over)
			return result, err
		}
		rec := result.Record
		if rec == nil {
			if rec, err = r.find(ctx, result.DocumentID); err != nil {
				return Result{}, err
			}
		}
		if seen, over = NoRecord, false; rec != nil {
			seen, over = rec.Version, rec.State.Terminal()
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

// count says what the news ended. over: it was known to have ended, and this is a change
// of its result.
func count(result Result, run *extend.Run, over bool) (metrics []any) {
	rec := result.Record
	switch {
	case !result.written || over:
		return nil
	case result.Verdict == ledger.DuplicateRun:
		metrics = append(metrics, metric.DuplicateRun.One())
	case result.Verdict == ledger.Resubmit && run.Status == extend.StatusFailed: // it is tried again
		metrics = append(metrics, metric.Failed.For(run.FailureReason).One())
	case result.Verdict != ledger.Stored:
		return nil
	case rec.State == ledger.Processed:
		metrics = append(metrics, metric.Processed.One())
		// Only the first result: a later one is counted from somebody's wish, not from the upload.
		if rec.Revision == 1 && !rec.UploadedAt.IsZero() {
			metrics = append(metrics, metric.SecondsToOutput.Add(max(0, rec.FinishedAt.Sub(rec.UploadedAt).Seconds())))
		}
	case rec.State == ledger.Failed:
		metrics = append(metrics, metric.Failed.For(run.FailureReason).One())
	case rec.State == ledger.Cancelled:
		metrics = append(metrics, metric.Cancelled.One())
	default:
		return nil
	}
	if run.Usage != nil {
		if credits, err := run.Usage.Credits.Float64(); err == nil {
			metrics = append(metrics, metric.Credits.Add(credits))
		}
	}
	return metrics
}

func (r *Recorder) record(ctx context.Context, run *extend.Run, seen int64) (Result, error) {
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
		if seen == Delivered {
			return Result{Verdict: ledger.Confirm, DocumentID: id}, nil
		}
		return r.apply(ctx, id, ledger.StillRunning{RunID: run.ID})
	}

	o := ledger.RunEnded{
		Source: source, Attempt: attempt, RunID: run.ID, RunURL: run.URL, ProcessorID: run.ProcessorID,
		State: state, Type: string(run.Type), Reviewed: run.Reviewed, Edited: run.Edited,
		FailureReason: run.FailureReason, FailureMessage: run.FailureMessage, Seen: seen,
	}
	if run.Usage != nil {
		o.Credits = run.Usage.Credits.String()
	}
	if state == ledger.Processed {
		o.Output = run.Output
		if o.Output == nil {
			o.Output = json.RawMessage("null")
		}
	}
	if o.Digest, err = digest(o); err != nil {
		return Result{}, fmt.Errorf("run %s: output: %w", run.ID, err)
	}
	if o.Output != nil {
		switch _, err := ledger.EncodeOutput(o.Output); {
		case errors.Is(err, ledger.ErrInexact):
			// The bytes first, then the record that points to them.
			name := fmt.Sprintf("%s/%d-%s.json", id, attempt, o.Digest[:16])
			if o.OutputLocation, err = r.Put(ctx, name, o.Output); err != nil {
				return Result{}, fmt.Errorf("run %s: keep the output: %w", run.ID, err)
			}
			o.Output = nil
		case err != nil:
			return Result{}, fmt.Errorf("run %s: %w", run.ID, err)
		}
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

// maxSorted bounds the outputs whose names are put in order for the digest, which
// takes many times their size.
const maxSorted = 1 << 20

// digest is the same for the same content, however it is spaced and, but for very
// large outputs, whatever the order of its names.
func digest(o ledger.RunEnded) (string, error) {
	var output any
	if len(o.Output) > maxSorted {
		output = o.Output
	} else if o.Output != nil {
		d := json.NewDecoder(strings.NewReader(string(o.Output)))
		d.UseNumber()
		if err := d.Decode(&output); err != nil {
			return "", err
		}
	}
	text, err := json.Marshal([]any{o.State, o.Type, o.Reviewed, o.Edited, o.FailureReason, o.FailureMessage, output})
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}
