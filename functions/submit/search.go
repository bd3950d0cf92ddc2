package submit

import (
	"context"
	"errors"
	"fmt"
	"net/http"
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
		log.WarnContext(ctx, "search failed", "error", err)
		// The table of POST's answers holds for a GET as well, but for what it says of runs.
		_, d := afterPost(a.circumstances(rec), nil, err)
		return disposition{kind: delayed, after: max(d.after, firstSearch), reason: "search failed: " + d.reason, pauses: d.pauses, cause: d.cause}, false
	}
	for _, run := range found {
		decision, err := a.h.Ledger.Apply(ctx, a.id, ledger.Accepted{Attempt: rec.Attempt, RunID: run.ID, RunURL: run.URL})
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
	decision, err := a.h.Ledger.Apply(ctx, a.id, ledger.NotFound{Attempt: rec.Attempt, SearchedAt: searchedAt})
	if err != nil {
		return a.ledgerError(ctx, err), false
	}
	if decision.Verdict == ledger.Search {
		since := decision.Record.UnconfirmedSince
		log.With(a.h.stalled(decision.Record)...).InfoContext(ctx, "run not found yet", "since", since)
		return disposition{kind: delayed, after: nextSearch(since, a.h.config.Rules.ConfirmWindow, a.h.Now()), reason: "outcome unknown"}, false
	}
	return disposition{}, true
}

// maxCandidates bounds a search. A token is unique, so there is one candidate as a rule.
const maxCandidates = 50

// find returns the runs of the record's attempt.
func (a *attempt) find(ctx context.Context, rec *ledger.Record) ([]*extend.Run, error) {
	if err := a.h.limiter.request(ctx, a.h.Now(), a.deadline); err != nil {
		return nil, err
	}
	var found []*extend.Run
	candidates := 0
	for s, err := range a.h.Runs.All(ctx, extend.ListRunsRequest{
		FileNameContains: document.Token(rec.DocumentID, rec.Attempt), Source: "API", SortBy: "createdAt", MaxPageSize: maxCandidates,
	}) {
		if err != nil {
			return nil, err
		}
		if candidates++; candidates > maxCandidates {
			return nil, fmt.Errorf("more than %d runs have the token of %s", maxCandidates, rec.DocumentID)
		}
		run, err := a.get(ctx, s.ID)
		if err != nil {
			return nil, err
		}
		tag, err := document.ParseTag(run.Metadata)
		if err == nil && tag.Stack == a.h.config.Stack && tag.DocumentID == rec.DocumentID && tag.Attempt == rec.Attempt {
			found = append(found, run)
		}
	}
	return found, nil
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
