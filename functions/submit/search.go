package submit

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"extend-intake/shared/document"
	"extend-intake/shared/extend"
	"extend-intake/shared/ledger"
	"extend-intake/shared/metric"
)

// search looks for the run of a POST whose answer was lost. noRun says that there is
// none, so that the document can be claimed again.
func (a *attempt) search(ctx context.Context, rec *ledger.Record) (d disposition, noRun bool) {
	log := a.log.With("attempt", rec.Attempt)
	searchedAt := a.h.Now()
	found, err := a.find(ctx, rec)
	if err != nil {
		then := a.afterSearch(ctx, rec, err)
		if then.pauses || errors.Is(err, errTooLong) { // it is about the account, or was not asked: nothing is said of the document
			log.WarnContext(ctx, "search failed", "error", err)
			return then, false
		}
		return a.searchFailed(ctx, rec, err, then), false
	}
	for _, run := range found {
		decision, err := a.apply(ctx, ledger.Accepted{Attempt: rec.Attempt, RunID: run.ID, RunURL: run.URL})
		if err != nil {
			return a.ledgerError(ctx, err), false
		}
		log := log.With("run_id", run.ID, "state", decision.State())
		if decision.Verdict == ledger.Stored { // else another search was faster
			log = log.With(metric.Submitted.One(), metric.RecoveredBySearch.One())
		}
		logRun(ctx, log, "lost run found", decision)
	}
	if len(found) > 0 {
		return disposition{}, false
	}
	decision, err := a.apply(ctx, ledger.NotFound{Attempt: rec.Attempt, SearchedAt: searchedAt})
	if err != nil {
		return a.ledgerError(ctx, err), false
	}
	if decision.Verdict == ledger.Search {
		since := decision.Record.UnconfirmedSince
		log.InfoContext(ctx, "run not found yet", "since", since)
		return disposition{kind: delayed, after: nextSearch(since, a.h.config.Rules.ConfirmWindow, a.h.Now()), reason: "outcome unknown"}, false
	}
	if decision.State().Terminal() { // it was one POST without a run too many
		log.WarnContext(ctx, "given up", "state", decision.State(), "reason", decision.Record.FailureReason, metric.Refused.One())
		return disposition{}, false
	}
	return disposition{}, true
}

// errUnidentified means that there is a run with the document's token of which nobody
// can say whose it is: it is no proof that there is none.
var errUnidentified = errors.New("a run has the token of this document, and a tag that contradicts it")

// searchFailed records that there is no telling whether the document has a run. When that
// was so for very long, the document ends, and a person has to look.
func (a *attempt) searchFailed(ctx context.Context, rec *ledger.Record, err error, then disposition) disposition {
	code := ledger.NoAnswer
	log := a.log.With("attempt", rec.Attempt)
	if errors.Is(err, errUnidentified) {
		code = "RUN_NOT_IDENTIFIED"
		log.ErrorContext(ctx, "the run's tag contradicts the ledger", "error", err, metric.TagMismatches.One())
	}
	decision, ledgerErr := a.apply(ctx, ledger.SearchFailed{Attempt: rec.Attempt, Code: code, Message: err.Error()})
	if ledgerErr != nil {
		log.WarnContext(ctx, "search failed", "error", err)
		return a.ledgerError(ctx, ledgerErr)
	}
	if decision.Verdict == ledger.Stored {
		log.WarnContext(ctx, "given up", "state", decision.State(), "reason", code, "error", err, metric.Refused.One())
		return disposition{}
	}
	log.WarnContext(ctx, "search failed", "error", err)
	return then
}

// afterSearch is when to search again after a search that failed, and whether all have to wait.
func (a *attempt) afterSearch(ctx context.Context, rec *ledger.Record, err error) disposition {
	d := disposition{kind: delayed, after: max(backoff(a.receives), firstSearch), reason: "search failed"}
	e, ok := errors.AsType[*extend.Error](err)
	if !ok {
		return d
	}
	d.reason += strings.TrimRight(fmt.Sprintf(": %d %s", e.StatusCode, e.Code), " ")
	switch s := e.StatusCode; {
	case s == http.StatusTooManyRequests && e.FromAPI:
		d.after, d.pauses, d.cause = max(min(e.RetryAfter, maxRatePause), firstSearch), true, strconv.Itoa(s)
	case e.FromAPI && (s == http.StatusUnauthorized || s == http.StatusPaymentRequired || s == http.StatusGone),
		e.FromAPI && s == http.StatusForbidden && a.circumstances(ctx, rec).shared(d.reason): // else it may be this run's own affair
		d.after, d.pauses, d.cause = a.h.config.Pause, true, strconv.Itoa(s)
	}
	return d
}

// maxCandidates bounds a search. A token is unique, so there is one candidate as a rule.
const maxCandidates = 50

// find returns the runs of the record's attempt.
func (a *attempt) find(ctx context.Context, rec *ledger.Record) ([]*extend.Run, error) {
	if err := a.h.limiter.request(ctx, a.h.Now(), a.deadline); err != nil {
		return nil, err
	}
	var found, contradicting []*extend.Run
	candidates := 0
	var doubtful error
	workflow := "" // the runs of workflows have a list of their own
	if document.IsWorkflow(rec.ProcessorID) {
		workflow = rec.ProcessorID
	}
	for s, err := range a.h.Runs.All(ctx, extend.ListRunsRequest{
		ProcessorID:      workflow,
		FileNameContains: document.Token(rec.DocumentID, rec.Attempt), Source: "API", SortBy: "createdAt", MaxPageSize: maxCandidates,
	}) {
		if err != nil {
			return nil, err
		}
		if candidates++; candidates > maxCandidates {
			return nil, fmt.Errorf("more than %d runs have the token of %s", maxCandidates, rec.DocumentID)
		}
		run, err := a.get(ctx, s.ID)
		if u, ok := errors.AsType[*extend.UnreadableError](err); ok && u.RunID == s.ID {
			// What can be read of it says whose it is; reconcile sees to the rest.
			run, err = &extend.Run{ID: u.RunID, Metadata: u.Metadata}, nil
		}
		if err != nil {
			return nil, err
		}
		whose, err := a.whose(ctx, rec, run)
		switch {
		case err != nil:
			return nil, err
		case whose == ours:
			found = append(found, run)
		case whose == contradicted:
			contradicting = append(contradicting, run)
		case whose == unidentified:
			doubtful = fmt.Errorf("run %s: %w", run.ID, errUnidentified)
		case whose == copied:
			a.mismatch(ctx, rec, run)
		}
	}
	switch {
	case len(found) > 0: // it needs no tag that was changed on its way
		for _, run := range contradicting {
			a.mismatch(ctx, rec, run)
		}
		return found, nil
	case len(contradicting) > 0:
		return contradicting, nil
	}
	return nil, doubtful
}

func (a *attempt) mismatch(ctx context.Context, rec *ledger.Record, run *extend.Run) {
	a.log.ErrorContext(ctx, "the run's tag contradicts the ledger, so it is not the document's", "run_id", run.ID, "attempt", rec.Attempt, metric.TagMismatches.One())
}

type whose int

const (
	another      whose = iota // another stack's, or another attempt's
	ours                      // this attempt's
	contradicted              // this attempt's by the name of its file, and its tag says otherwise
	unidentified              // it has our token, and nobody can say whose it is
	copied                    // it looks like this attempt's, and somebody else made it
)

// whose tells whether a run that was found by the record's token is the record's. The
// tag says so, in whatever spelling; where there is none that can be read, the token does.
// Both count only with our own signature, unless the attempt was sent by a version of this
// software that signs none.
func (a *attempt) whose(ctx context.Context, rec *ledger.Record, run *extend.Run) (whose, error) {
	names := run.FileNames()
	anyToken := false
	named := func(id string, attempt int) bool {
		return slices.ContainsFunc(names, func(name string) bool {
			token, ok := document.ParseToken(name)
			anyToken = anyToken || ok
			return ok && token.DocumentID == id && token.Attempt == attempt
		})
	}
	ourName := named(rec.DocumentID, rec.Attempt)
	tag, err := document.ParseTag(run.Metadata)
	tagged := err == nil
	matches := tagged && tag.DocumentID == rec.DocumentID && tag.Attempt == rec.Attempt
	signed := false
	if rec.TagSigned {
		signatures := document.Signatures(names, rec.DocumentID, rec.Attempt)
		if matches {
			signatures = append(signatures, tag.Signature)
		}
		if signed, err = a.h.TagKeys.Verify(ctx, a.h.config.Stack, rec.DocumentID, rec.Attempt, signatures...); err != nil {
			return another, err
		}
	}
	switch {
	case signed && rec.OtherProcessor(run.ProcessorID):
		return copied, nil
	case signed && tagged && !matches:
		return contradicted, nil
	case signed: // whatever became of the rest on its way
		return ours, nil
	case tagged && tag.Stack != a.h.config.Stack:
		return another, nil
	case tagged && !matches && !ourName && tag.DocumentID == rec.DocumentID:
		return another, nil // the token of attempt 1 is in that of attempt 10
	case tagged && !matches && named(tag.DocumentID, tag.Attempt):
		return another, nil // our token is in its key
	case !tagged && !ourName && anyToken:
		return another, nil
	case !matches && !ourName && !anyToken: // it was found by our token, and says nothing of it any more
		return unidentified, nil
	case rec.TagSigned:
		return copied, nil
	case tagged && !matches:
		return unidentified, nil
	}
	return ours, nil
}

// get asks for a candidate, once more when the plan's limit was hit: a search that
// started over each time might never end under a plan that is smaller than configured.
func (a *attempt) get(ctx context.Context, id string) (*extend.Run, error) {
	for {
		if err := a.h.limiter.request(ctx, a.h.Now(), a.deadline); err != nil {
			return nil, err
		}
		run, err := a.h.Runs.Get(ctx, id)
		e, ok := errors.AsType[*extend.Error](err)
		if !ok || e.StatusCode != http.StatusTooManyRequests {
			return run, err
		}
		wait := max(e.RetryAfter, time.Second)
		if a.h.Now().Add(wait).After(a.deadline) || sleep(ctx, wait) != nil {
			return nil, err
		}
	}
}
