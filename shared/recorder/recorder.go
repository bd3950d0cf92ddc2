// Package recorder brings runs into the ledger. A delivery of the webhook and a run that
// reconcile fetched both end here, so that an answer of Extend becomes a stored output in
// one way only:
//
//	rec, err := recorder.New(recorder.Parts{Stack: stack, TagKeys: keys, Ledger: l, Runs: client.Runs, Put: put, Requeue: requeue})
//	result, err := rec.Delivered(ctx, run)        // it came by itself
//	result, err = rec.Fetched(ctx, run, before)   // we asked for it, when the record was before
//
// # What it promises
//
//   - Recording a run twice changes nothing.
//   - Where the ledger can't tell which of two contents is newer, Extend is asked, until
//     nothing has changed meanwhile.
//   - What DynamoDB can't hold exactly is stored as the bytes that were received, before
//     the record points to them.
//   - A run that somebody else made in the same workspace is not stored as a document's: a
//     tag counts with the stack's own signature, or where the ledger knows the run.
//   - An end of an attempt is counted once, whoever brings it: [Result].Metrics belong on
//     the caller's log line.
package recorder

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"extend-intake/shared/boot"
	"extend-intake/shared/clean"
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
	Stack string
	// TagKeys are those that the stack signs its tags with.
	TagKeys document.KeyFunc
	Ledger  *ledger.Ledger
	Runs    Getter
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

// Result says what came of recording a run.
type Result struct {
	// Verdict is the ledger's, or Foreign.
	Verdict ledger.Verdict
	// DocumentID is there beside an error too.
	DocumentID string
	// Record is the document as it is now; nil when there is none.
	Record *ledger.Record
	// Ended says that the document's attempt has ended by this run, and that the ledger did
	// not know it before. It is set beside an error too, if that came after the write.
	Ended bool
	// NotShown says that Extend told of a content, or of an end, that it does not show yet when
	// it is asked: the delivery has to come again.
	NotShown bool
	// Metrics are log attributes that count what is new: an end, or a duplicate run.
	Metrics []any

	written bool
	// contradicted: the run is recorded as the document's, though its tag says another.
	contradicted bool
	digest       string // of the content that was recorded
	running      bool   // so Extend showed the run
}

// Foreign is the Verdict on a run whose tag names another stack.
const Foreign ledger.Verdict = "another stack's"

// maxRounds bounds the requests about one run whose record keeps changing meanwhile.
const maxRounds = 5

// asOf says how new a run is: whether Extend was asked for it, and which version the
// record had before that (0: there was none).
type asOf struct {
	fetched bool
	version int64
	// delivery is the digest of a delivery that told of the run, and had not its content.
	delivery string
	// record is the one for whose run Extend was asked; nil where the run came by itself.
	record *ledger.Record
}

// Delivered records a run that came by itself, in a delivery whose signature was
// checked. An error means that nothing is lost and that the same call later can
// succeed.
func (r *Recorder) Delivered(ctx context.Context, run *extend.Run) (Result, error) {
	return r.record(ctx, run, asOf{})
}

// Told records a run of which a delivery told that it has ended, without its content: Extend
// was asked for it, and may be slow to show what it told of ([Result.NotShown]).
func (r *Recorder) Told(ctx context.Context, run *extend.Run, delivery []byte) (Result, error) {
	result, err := r.record(ctx, run, asOf{delivery: digestOf(delivery)})
	if err == nil && result.running && (result.Record == nil || !result.Record.State.Terminal()) {
		result.NotShown = true // if the run were deleted before it is asked about again, its result would be lost
	}
	return result, err
}

func digestOf(delivery []byte) string {
	sum := sha256.Sum256(delivery)
	return hex.EncodeToString(sum[:])
}

// Fetched records a run that Extend was asked for, after the record was as given, its
// attempt still under way, or nil where there was none. Its error is that of Delivered.
func (r *Recorder) Fetched(ctx context.Context, run *extend.Run, before *ledger.Record) (Result, error) {
	seen := asOf{fetched: true}
	if before != nil {
		seen.version, seen.record = before.Version, before
	}
	return r.record(ctx, run, seen)
}

// Ask asks Extend for the run of the document that a tag names, if it has one, and
// records the answer as Told does: what has ended may have been reviewed. The verdict is
// Unchanged where there is nothing to ask.
func (r *Recorder) Ask(ctx context.Context, metadata json.RawMessage, delivery []byte) (Result, error) {
	tag, err := document.ParseTag(metadata)
	if err != nil || tag.Stack != r.Stack {
		return Result{Verdict: ledger.Unchanged}, nil
	}
	return r.AskAbout(ctx, tag.DocumentID, delivery)
}

// AskAbout is Ask, of the document of this id.
func (r *Recorder) AskAbout(ctx context.Context, id string, delivery []byte) (Result, error) {
	rec, err := r.find(ctx, id)
	if err != nil || rec == nil || rec.RunID == "" {
		return Result{Verdict: ledger.Unchanged, DocumentID: id, Record: rec}, err
	}
	run, err := r.get(ctx, rec.RunID)
	if err != nil {
		return Result{DocumentID: rec.DocumentID, Record: rec}, fmt.Errorf("ask about run %s: %w", rec.RunID, err)
	}
	return r.record(ctx, run, asOf{fetched: true, version: rec.Version, delivery: digestOf(delivery), record: rec})
}

func (r *Recorder) record(ctx context.Context, run *extend.Run, seen asOf) (Result, error) {
	// reconcile never asks about a run again that is recorded, so that it settles first.
	if err := r.settle(ctx, run, seen.record); err != nil {
		return Result{}, err
	}
	result, err := r.confirm(ctx, run, seen)
	if err == nil {
		err = r.settle(ctx, run, result.Record)
	}
	if result.DocumentID == "" {
		result.DocumentID = run.ID
		if tag, err := document.ParseTag(run.Metadata); err == nil {
			result.DocumentID = tag.DocumentID
		}
	}
	result.NotShown = err == nil && result.Verdict == ledger.Later && result.Record.State.Terminal()
	return result, err
}

// settle puts what the run cost in the place of what was reserved for it, if it has ended and the
// record has it as the document's.
func (r *Recorder) settle(ctx context.Context, run *extend.Run, rec *ledger.Record) error {
	if state, ended := stateOf(run); rec == nil || !ended || !state.Terminal() {
		return nil
	}
	attempt := 0
	if rec.RunID == run.ID {
		attempt = cmp.Or(rec.RunAttempt, rec.Attempt)
	}
	for _, n := range rec.Runs {
		if n.RunID == run.ID && !n.Mismatch && !n.ByTag && !n.Duplicate {
			attempt = n.Attempt
		}
	}
	if attempt == 0 {
		return nil
	}
	credits := ""
	if run.Usage != nil {
		credits = run.Usage.Bill().String()
	}
	return r.Ledger.Settle(ctx, rec.DocumentID, attempt, credits)
}

// confirm asks Extend for as long as the ledger can't tell which content is newer.
func (r *Recorder) confirm(ctx context.Context, run *extend.Run, seen asOf) (Result, error) {
	// hadEnded: so had the attempt in the record that seen is of. The ledger stores a change
	// of what has ended only as of that very record, so this tells a change from an end.
	hadEnded := false
	delivery := seen.delivery
	signed := delivery // the digest of what was delivered
	for range maxRounds {
		result, err := r.apply(ctx, run, seen)
		if result.Verdict != ledger.Confirm {
			if !hadEnded {
				result.count(run)
			}
			if err == nil && signed != "" && (delivery == "" || result.Verdict == ledger.Unchanged) && signed != result.digest && result.Record != nil && result.Record.State.Terminal() {
				return r.notShown(ctx, result, run.ID, signed)
			}
			return result, err
		}
		if !seen.fetched && delivery == "" {
			signed = result.digest
		}
		rec := result.Record
		if rec == nil {
			if rec, err = r.find(ctx, result.DocumentID); err != nil {
				return Result{}, err
			}
		}
		if seen, hadEnded = (asOf{fetched: true, delivery: delivery}), false; rec != nil {
			seen.version, seen.record, hadEnded = rec.Version, rec, rec.State.Terminal()
		}
		asked := run.ID
		run, err = r.get(ctx, asked)
		if e, ok := errors.AsType[*extend.Error](err); ok && e.StatusCode == http.StatusNotFound && e.FromAPI && result.Record != nil {
			return r.notShown(ctx, result, asked, signed)
		}
		if err != nil {
			return Result{}, fmt.Errorf("ask about run %s: %w", asked, err)
		}
	}
	return Result{}, fmt.Errorf("run %s: its record changed each of %d times while Extend was asked", run.ID, maxRounds)
}

// get asks Extend for a run, and for no other.
func (r *Recorder) get(ctx context.Context, id string) (*extend.Run, error) {
	run, err := r.Runs.Get(ctx, id)
	if err == nil && run.ID != id {
		err = fmt.Errorf("asked for run %s, and Extend answered with %s", id, run.ID)
	}
	return run, err
}

// notShown records that Extend signed a content, of that digest, and does not show it. It
// may be an older one, or a newer one that Extend is slow to show: then the delivery has to
// come again.
func (r *Recorder) notShown(ctx context.Context, result Result, runID, signed string) (Result, error) {
	d, err := r.Ledger.Apply(ctx, result.DocumentID, ledger.NotShown{RunID: runID, Digest: signed})
	if err != nil {
		return Result{}, err
	}
	if d.Verdict == ledger.Later || result.Verdict == ledger.Confirm {
		result.Verdict, result.Record = d.Verdict, d.Record
	}
	return result, nil
}

// find is the record as it is now, nil when there is none.
func (r *Recorder) find(ctx context.Context, id string) (*ledger.Record, error) {
	rec, err := r.Ledger.Get(ctx, id)
	if errors.Is(err, ledger.ErrNotFound) {
		return nil, nil
	}
	return rec, err
}

// count finds out what is new by the run, and counts it.
func (result *Result) count(run *extend.Run) {
	rec := result.Record
	var metrics []any
	switch {
	case result.Verdict == ledger.TagMismatch: // there may be no record to write to
		if !result.written && rec != nil && slices.ContainsFunc(rec.Runs, func(n ledger.PastRun) bool { return n.Mismatch && n.RunID == run.ID }) {
			return // it is noted, and was counted
		}
		result.Metrics = append(result.Metrics, metric.TagMismatches.One())
		return
	case !result.written:
		return
	}
	if result.contradicted {
		result.Metrics = append(result.Metrics, metric.TagMismatches.One())
	}
	switch {
	case result.Verdict == ledger.DuplicateRun:
		metrics = append(metrics, metric.DuplicateRun.One())
	case result.Verdict == ledger.Resubmit && run.Status == extend.StatusFailed: // the retry rule makes another attempt
		metrics = append(metrics, metric.Failed.For(run.FailureReason).One())
	case result.Verdict != ledger.Stored:
		return
	case rec.State == ledger.Processed:
		metrics = append(metrics, metric.Processed.One())
		// Only the first result: the time to a later one does not begin with the upload.
		if rec.Revision == 1 && !rec.UploadedAt.IsZero() {
			metrics = append(metrics, metric.SecondsToOutput.Add(max(0, rec.FinishedAt.Sub(rec.UploadedAt).Seconds())))
		}
	case rec.State == ledger.Failed:
		metrics = append(metrics, metric.Failed.For(run.FailureReason).One())
	case rec.State == ledger.NeedsReview:
		result.Metrics = append(result.Metrics, metric.NeedsReview.One())
		return
	case rec.State == ledger.Rejected:
		metrics = append(metrics, metric.Rejected.One())
	case rec.State == ledger.Cancelled:
		metrics = append(metrics, metric.Cancelled.One())
	default:
		return
	}
	if run.Usage != nil {
		if credits, err := run.Usage.Bill().Float64(); err == nil {
			metrics = append(metrics, metric.Credits.Add(credits))
		}
	}
	result.Ended = result.Verdict == ledger.Stored || result.Verdict == ledger.Resubmit
	result.Metrics = append(result.Metrics, metrics...)
}

// owner is the document that a run is of, as far as the run and the ledger know.
type owner struct {
	id      string
	attempt int
	source  document.Source
	// unproved: the tag is ours, but not of the object that it names.
	unproved bool
	// signed: the tag or the file's name has our signature for this document and attempt.
	signed bool
	// contradicted: the ledger knows the run, and its tag names another document.
	contradicted bool
}

// errForeign means that the run's tag names another stack.
var errForeign = errors.New("another stack's")

// owner finds the document of a run: by its tag, in whatever spelling; else by the token
// in the name of its file, where the ledger has that document; else by the run itself,
// which the ledger may know. A run that is none of these is a document of its own.
func (r *Recorder) owner(ctx context.Context, run *extend.Run, seen asOf) (owner, error) {
	if tag, err := document.ParseTag(run.Metadata); err == nil {
		o := owner{id: tag.DocumentID, attempt: tag.Attempt, unproved: !tag.HasSource()}
		if !seen.of(run) || tag.Stack != r.Stack { // else the ledger's word needs no key
			if o.signed, err = r.signed(ctx, run, o.id, o.attempt, tag.Signature); err != nil {
				return owner{}, err
			}
		}
		// The signature is over the stack's name: with it, the name came back in another spelling.
		foreign := tag.Stack != r.Stack && !o.signed
		if foreign || o.unproved || !o.signed || !named(run, o.id, o.attempt) {
			// The tag was changed on the way, or is another's: what the ledger knows counts for more.
			rec, err := r.byRun(ctx, run, seen)
			switch {
			case err == nil && (foreign || rec.DocumentID != o.id):
				return owner{id: rec.DocumentID, attempt: cmp.Or(rec.RunAttempt, rec.Attempt), unproved: true, contradicted: true}, nil
			case err != nil && !errors.Is(err, ledger.ErrNotFound):
				return owner{}, err
			case foreign:
				return o, errForeign
			}
		}
		if !o.unproved {
			o.source = tag.Source()
		}
		return o, nil
	}
	for _, name := range run.FileNames() {
		token, ok := document.ParseToken(name)
		if !ok {
			continue
		}
		rec, err := r.find(ctx, token.DocumentID)
		if err != nil {
			return owner{}, err
		}
		if rec != nil {
			o := owner{id: token.DocumentID, attempt: token.Attempt, unproved: true}
			o.signed, err = r.signed(ctx, run, o.id, o.attempt, "")
			return o, err
		}
	}
	rec, err := r.byRun(ctx, run, seen)
	switch {
	case err == nil:
		return owner{id: rec.DocumentID, attempt: cmp.Or(rec.RunAttempt, rec.Attempt), unproved: rec.DocumentID != run.ID}, nil
	case !errors.Is(err, ledger.ErrNotFound):
		return owner{}, err
	}
	return owner{id: run.ID, attempt: 1}, nil
}

// named reports whether one of the run's files has the token of this attempt.
func named(run *extend.Run, id string, attempt int) bool {
	return slices.ContainsFunc(run.FileNames(), func(name string) bool {
		token, ok := document.ParseToken(name)
		return ok && token.DocumentID == id && token.Attempt == attempt
	})
}

// of reports whether Extend was asked for the run because a record has it.
func (s asOf) of(run *extend.Run) bool { return s.record != nil && s.record.RunID == run.ID }

// byRun is the document that the ledger knows the run as. Where Extend was asked for the run
// of a record, it is that one.
func (r *Recorder) byRun(ctx context.Context, run *extend.Run, seen asOf) (*ledger.Record, error) {
	if seen.of(run) {
		return seen.record, nil
	}
	return r.Ledger.ByRun(ctx, run.ID)
}

// signed reports whether the run has our signature for this attempt at this document, in its
// tag or in the name of its file.
func (r *Recorder) signed(ctx context.Context, run *extend.Run, id string, attempt int, signature string) (bool, error) {
	return r.TagKeys.Verify(ctx, r.Stack, id, attempt, append(document.Signatures(run.FileNames(), id, attempt), signature)...)
}

// apply lets the ledger decide on a run, once, and does what follows from its verdict.
func (r *Recorder) apply(ctx context.Context, run *extend.Run, seen asOf) (Result, error) {
	o, err := r.owner(ctx, run, seen)
	if errors.Is(err, errForeign) {
		return Result{Verdict: Foreign, DocumentID: o.id}, nil
	}
	if err != nil {
		return Result{}, err
	}
	result := Result{DocumentID: o.id, contradicted: o.contradicted, running: under(run)}
	var fact ledger.Fact = ledger.StillRunning{RunID: run.ID}
	if state, ok := stateOf(run); ok {
		f, err := runEnded(run, state, seen)
		if err != nil {
			return Result{}, err
		}
		f.Source, f.Attempt, f.Foreign, f.Signed = o.source, o.attempt, o.unproved, o.signed
		if !f.Empty && f.State != ledger.NeedsReview { // neither is a result
			result.digest = f.Digest
		}
		if fact, err = r.place(ctx, o.id, f); err != nil {
			return Result{}, err
		}
	} else if !seen.fetched { // a delivery is about what has ended
		result.Verdict = ledger.Confirm
		return result, nil
	} else if !under(run) {
		return result, &StatusError{RunID: run.ID, Status: run.Status, Body: run.Raw}
	}
	d, err := r.Ledger.Apply(ctx, o.id, fact)
	if err != nil {
		return Result{}, err
	}
	result.Verdict, result.Record, result.written = d.Verdict, d.Record, d.Written
	if d.Verdict == ledger.Resubmit {
		if err := r.Requeue(ctx, d.Record.Source()); err != nil {
			return result, fmt.Errorf("requeue %s: %w", o.id, err)
		}
	}
	return result, nil
}

// place puts an output that no record can hold into the bucket: the bytes first, then the
// record that points to them.
func (r *Recorder) place(ctx context.Context, id string, f ledger.RunEnded) (ledger.RunEnded, error) {
	if f.Output == nil || f.Output.Inline() == nil {
		return f, nil
	}
	location, err := r.Put(ctx, fmt.Sprintf("%s/%d-%s.json", id, f.Attempt, f.Digest[:16]), f.Output.Text())
	if err != nil {
		return f, fmt.Errorf("run %s: put the output: %w", f.RunID, err)
	}
	f.Output, f.OutputLocation = nil, location
	return f, nil
}

// states are the ledger's for the statuses of runs that have ended; workflowStates are those
// that only a workflow's run can have, and the one in which it waits for a person.
var (
	states = map[extend.Status]ledger.State{
		extend.StatusProcessed: ledger.Processed,
		extend.StatusFailed:    ledger.Failed,
		extend.StatusCancelled: ledger.Cancelled,
	}
	workflowStates = map[extend.Status]ledger.State{
		extend.StatusRejected:    ledger.Rejected,
		extend.StatusNeedsReview: ledger.NeedsReview,
	}
)

// stateOf is the state that a run brings its document to; ok is false while it is under way.
func stateOf(run *extend.Run) (state ledger.State, ok bool) {
	if state, ok = states[run.Status]; !ok && document.IsWorkflowRun(run.ID) {
		state, ok = workflowStates[run.Status]
	}
	return state, ok
}

// empty reports whether a JSON value is one that says nothing: none, or that of no content.
func empty(value []byte) bool {
	switch string(bytes.Join(bytes.Fields(value), nil)) {
	case "", "null", "false", `""`, "[]", "{}":
		return true
	}
	return false
}

// saysNothing reports whether an output has no result in it: it is empty, or what its kind
// of processor writes the result to is, and there is nothing else.
func saysNothing(output []byte) bool {
	const longest = 400 // longer texts say something
	if len(output) > longest {
		return false
	}
	if empty(output) {
		return true
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(output, &members) != nil {
		return false
	}
	_, extraction := members["value"]
	_, splitter := members["splits"]
	_, classifier := members["type"]
	if !extraction && !splitter && !classifier {
		return false // a legacy extraction, whose members are the fields
	}
	for name, value := range members {
		if !empty(value) && name != "confidence" {
			return false
		}
	}
	return true
}

// workflowSaysNothing reports whether none of the processors and steps of a workflow has a result:
// see [extend.WorkflowRun.Result].
func workflowSaysNothing(output []byte) bool {
	type part struct{ Output json.RawMessage }
	var result struct{ Outputs, StepRuns []part }
	if json.Unmarshal(output, &result) != nil {
		return true
	}
	return !slices.ContainsFunc(slices.Concat(result.Outputs, result.StepRuns), func(p part) bool { return !saysNothing(p.Output) })
}

// under reports whether a run is under way, as the API's documentation has it.
// https://docs.extend.ai/2025-04-21/developers/api-reference/processor-endpoints/get-processor-run
// https://docs.extend.ai/2025-04-21/developers/api-reference/workflow-endpoints/get-workflow-run
func under(run *extend.Run) bool {
	s := run.Status
	return s == extend.StatusPending || s == extend.StatusProcessing || s == extend.StatusCancelling && document.IsWorkflowRun(run.ID)
}

// StatusError means that Extend shows a run in a status that nobody knows: it says neither that
// the run is under way nor how it ended.
type StatusError struct {
	RunID  string
	Status extend.Status
	Body   []byte // the run as received. Never log it.
}

// Error names the status.
func (e *StatusError) Error() string {
	return fmt.Sprintf("run %s has the status %q, which is not one of Extend's documented ones", e.RunID, clean.Text(string(e.Status), 64))
}

// runEnded is what the ledger has to know of a run that has come to a state, beside whose it is.
func runEnded(run *extend.Run, state ledger.State, seen asOf) (f ledger.RunEnded, err error) {
	f = ledger.RunEnded{
		RunID: run.ID, RunURL: run.URL, ProcessorID: run.ProcessorID,
		State: state, Type: string(run.Type), Reviewed: run.Reviewed, Edited: run.Edited,
		FailureReason: run.FailureReason, FailureMessage: run.FailureMessage, Fetched: seen.fetched, AsOf: seen.version, Delivery: seen.delivery,
	}
	if run.Usage != nil {
		f.Credits = run.Usage.Bill().String()
	}
	nothing := saysNothing
	if document.IsWorkflowRun(run.ID) {
		nothing = workflowSaysNothing
		f.Partial = f.State == ledger.Failed && !nothing(run.Output)
	}
	if f.State == ledger.Processed {
		text := run.Output
		if text == nil {
			text = json.RawMessage("null")
		}
		f.Empty = nothing(text)
		if f.Output, err = ledger.NewOutput(text); err != nil {
			return f, fmt.Errorf("run %s: output: %w", run.ID, err)
		}
	}
	if f.Digest, err = digest(f); err != nil {
		return f, fmt.Errorf("run %s: digest: %w", run.ID, err)
	}
	return f, nil
}

// digest is the same for the same content: see [ledger.Output.WriteCanonical].
func digest(f ledger.RunEnded) (string, error) {
	text, err := json.Marshal([]any{f.State, f.Type, f.Reviewed, f.Edited, f.FailureReason, f.FailureMessage, nil})
	if err != nil {
		return "", err
	}
	h := sha256.New()
	if f.Output == nil {
		h.Write(text)
	} else { // its text takes the place of the null at the end
		h.Write(bytes.TrimSuffix(text, []byte("null]")))
		if err := f.Output.WriteCanonical(h); err != nil {
			return "", err
		}
		h.Write([]byte("]"))
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
