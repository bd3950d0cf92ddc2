package simulation

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"math/big"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"extend-intake/dev/fakeextend"
	"extend-intake/shared/ledger"
)

// knows reports whether a record mentions a run.
func knows(r ledger.Record, runID string) bool {
	return r.RunID == runID || slices.ContainsFunc(r.Runs, func(n ledger.PastRun) bool { return n.RunID == runID })
}

// run is a run at Extend: one of a processor or of a workflow.
type run struct {
	fakeextend.RunInfo
	step bool // of a workflow's run: nobody has asked for it alone
	// paidPart: it is FAILED, and some of the workflow's processors have a result.
	paidPart bool
	note     string          // of a rejection
	result   json.RawMessage // of a workflow's run; else see world.outputs
}

// runs are all runs at Extend, in the order in which they were made, those of processors first. Of
// the deliveries about a workflow's run those are there that tell of an end.
func (w *world) runs() []run {
	var runs []run
	for _, r := range w.extend.Runs() {
		runs = append(runs, run{RunInfo: r, step: r.Source == "WORKFLOW_RUN"})
	}
	for _, j := range w.extend.Jobs() {
		r := run{RunInfo: fakeextend.RunInfo{ID: j.ID, ProcessorID: j.WorkflowID, Status: j.Status, Metadata: j.Metadata, FileName: j.FileName, FileURL: j.FileURL,
			Deleted: j.Deleted, Other: j.Other, FetchedSHA256: j.FetchedSHA256, FailureReason: j.FailureReason, FailureMessage: j.FailureMessage}, note: j.RejectionNote}
		for _, d := range j.Deliveries {
			if d.EventType != "workflow_run.needs_review" && d.EventType != "workflow_run.step_run.processed" {
				r.Deliveries = append(r.Deliveries, d)
			}
		}
		for _, output := range j.Outputs {
			r.paidPart = r.paidPart || j.Status == "FAILED" && output.Status == "PROCESSED"
		}
		r.result = result(j)
		runs = append(runs, r)
	}
	return runs
}

// result is what a consumer reads of a workflow's run, made without the product's code.
func result(j fakeextend.JobInfo) json.RawMessage {
	type members map[string]any
	outputs, steps := []members{}, []members{}
	for _, r := range j.Outputs {
		m := members{"id": r.ID, "processorId": r.ProcessorID, "processorVersionId": r.VersionID, "processorName": r.ProcessorID, "type": r.Type, "status": r.Status, "reviewed": false, "edited": false}
		if r.Output != nil {
			m["output"] = r.Output
		}
		outputs = append(outputs, m)
	}
	for _, s := range j.Steps {
		steps = append(steps, members{"id": s.ID, "status": s.Status, "step": members{"id": s.StepID, "name": s.Name, "type": s.Type}, "output": s.Output})
	}
	return encoded(map[string]any{"outputs": outputs, "stepRuns": steps})
}

// promises compares the end of a schedule with what the product promises.
func (w *world) promises() {
	info := map[string]run{}
	made := map[string]map[int][]run{} // by document and attempt
	for _, r := range w.runs() {
		info[r.ID] = r
		if r.result != nil {
			w.outputs[r.ID] = []json.RawMessage{r.result}
		}
		if t := tagOf(r.Metadata); t.Stack == stackName && !r.Other && !r.step {
			if made[t.DocumentID] == nil {
				made[t.DocumentID] = map[int][]run{}
			}
			made[t.DocumentID][t.Attempt] = append(made[t.DocumentID][t.Attempt], r)
		}
	}
	ours := w.table.Through(w.stack.submit.Rules, nil, func(ctx context.Context, a ledger.Access, do func(context.Context) error) error {
		return w.access(ctx, "promises", a, do)
	})
	for _, id := range slices.Sorted(maps.Keys(w.expected)) {
		u := w.expected[id]
		rec, err := ours.Get(context.Background(), id)
		if err != nil {
			w.violate("%s: lost: %v", u.name, err)
			continue
		}
		stored, err := ours.Output(context.Background(), id)
		if err != nil {
			w.violate("%s: %v", u.name, err)
		}
		w.paidOnce(u, rec, made[id])
		w.says(u.name, rec, stored, info)
		for _, runs := range made[id] {
			for _, r := range runs {
				if u.versioned && r.FetchedSHA256 != "" && r.FetchedSHA256 != u.sha256 {
					w.violate("%s: Extend read other bytes", u.name)
				}
			}
		}
	}
	for id, rec := range w.records {
		if w.expected[id] != nil {
			continue
		}
		if r, ok := info[id]; !ok || tagOf(r.Metadata).Stack != "" {
			w.violate("a record of what was never uploaded: %s", id)
			continue
		}
		stored, err := ours.Output(context.Background(), id)
		if err != nil {
			w.violate("%s: %v", id, err)
		}
		w.says(id, &rec, stored, info)
	}

	for _, d := range w.queue.dead {
		if !slices.Contains(w.garbage, d.body) {
			w.violate("a good message is in the dead-letter queue: %q %s", d.reason, d.body)
		}
		if d.reason == "" {
			w.violate("a dead letter without a reason: %s", d.body)
		}
	}
	for _, body := range w.garbage {
		if !slices.ContainsFunc(w.queue.dead, func(d deadLetter) bool { return d.body == body }) {
			w.violate("not in the dead-letter queue: %s", body)
		}
	}
	for _, r := range w.extend.Refused() {
		// 400, say, would be a request that is wrong in itself.
		if r.Status != 429 && r.Status != 404 {
			w.violate("Extend refused a request: %+v", r)
		}
	}
	w.announced()
	w.paidOncePerContent()
	if unknown := w.extend.UnknownFields(); len(unknown) > 0 {
		w.violate("requests with fields that Extend does not know: %v", unknown)
	}
}

// paidOnce: the document is terminal, and each of its attempts is one run.
func (w *world) paidOnce(u *upload, rec *ledger.Record, made map[int][]run) {
	if !rec.State.Terminal() {
		w.violate("%s: is %s in the end", u.name, rec.State)
		return
	}
	if w.copied[u.id] {
		w.undecidable = append(w.undecidable, undecided{u.name, "a signed tag was copied while nobody knew the outcome of its POST"})
		return
	}
	most := w.set.maxAttempts + u.again
	for wish := range w.wishes {
		if wish.DocumentID == u.id {
			most++
		}
	}
	for _, run := range rec.Runs {
		if run.State == ledger.Skipped { // and then the document with the same content was lost
			most++
		}
	}
	if rec.Attempt > most {
		w.violate("%s: %d attempts, at most %d are allowed", u.name, rec.Attempt, most)
	}
	if u.empty && (len(made) > 0 || rec.State != ledger.Refused && rec.State != ledger.Skipped && !w.withdrawn[u.id]) {
		w.violate("%s: is empty, and %s with %d runs", u.name, rec.State, len(made))
	}
	for _, runs := range made {
		for _, r := range runs {
			if r.paidPart && most == w.set.maxAttempts && rec.Attempt > tagOf(r.Metadata).Attempt {
				w.violate("%s: run %s had a part of the result, and was made again", u.name, r.ID)
			}
			if rec.OutputRunID == "" && len(runs) == 1 && r.Status == "PROCESSED" && accepted(r, len(r.Deliveries)) {
				w.violate("%s: has no output, though run %s has one and has told so", u.name, r.ID)
			}
		}
	}
	undecidable, endedWell := "", false
	for attempt := 1; attempt <= rec.Attempt || attempt <= len(made); attempt++ {
		runs := made[attempt]
		afterAll := endedWell && len(runs) == 0 // an earlier attempt ended well after all
		endedWell = endedWell || slices.ContainsFunc(runs, func(r run) bool { return r.Status == "PROCESSED" })
		want := 1
		if attempt > rec.Attempt || w.refused(rec, attempt) {
			want = 0
		}
		if len(runs) == want || afterAll {
			continue
		}
		if len(runs) > want {
			if why := w.hidden[runs[0].FileName]; why != "" {
				undecidable = why
				continue
			}
		}
		w.violate("%s: attempt %d has %d runs, not %d", u.name, attempt, len(runs), want)
	}
	if undecidable != "" {
		w.undecidable = append(w.undecidable, undecided{u.name, undecidable})
		return
	}
	for _, n := range rec.Runs {
		if n.Duplicate && !w.others[n.RunID] {
			w.violate("%s: run %s of attempt %d is called a duplicate", u.name, n.RunID, n.Attempt)
		}
	}
}

// paidOncePerContent: of the documents with the same bytes under the same key, one is paid
// for, unless it came to nothing or a person wants another one read.
func (w *world) paidOncePerContent() {
	wanted := map[string]bool{}
	for wish := range w.wishes {
		wanted[wish.DocumentID] = true
	}
	paid := map[string]string{}
	for _, id := range slices.Sorted(maps.Keys(w.expected)) {
		u := w.expected[id]
		if w.records[id].OutputRunID == "" || wanted[id] || slices.ContainsFunc(w.revisions[id], func(r *ledger.Record) bool { return r.OutputRunID == "" }) {
			continue
		}
		content := u.object.key + "?" + u.sha256
		if other := paid[content]; other != "" {
			w.violate("%s and %s have the same bytes under the same key, and both were paid for", other, u.name)
		}
		paid[content] = u.name
	}
}

// refused reports whether an attempt ended without a run.
func (w *world) refused(rec *ledger.Record, attempt int) bool {
	without := func(runID string, s ledger.State) bool {
		return runID == "" && (s == ledger.Refused || s == ledger.Skipped || s == ledger.Cancelled && w.withdrawn[rec.DocumentID])
	}
	if attempt == rec.Attempt {
		return without(rec.RunID, rec.State)
	}
	return slices.ContainsFunc(rec.Runs, func(n ledger.PastRun) bool { return n.Attempt == attempt && without(n.RunID, n.State) })
}

// says: the record says of its run what Extend says of it.
func (w *world) says(name string, rec *ledger.Record, stored []byte, info map[string]run) {
	switch rec.State {
	case ledger.Refused:
		w.refusedRightly(name, rec)
		return
	case ledger.Skipped:
		w.skippedRightly(name, rec)
		return
	}
	if rec.State == ledger.Cancelled && rec.FailureReason == ledger.Withdrawn {
		if !w.withdrawn[rec.DocumentID] || rec.RunID != "" {
			w.violate("%s: withdrawn, with run %q", name, rec.RunID)
		}
		return
	}
	r, ok := info[rec.RunID]
	gone := rec.State == ledger.Cancelled && rec.FailureReason == ledger.RunNotFound
	switch {
	case !ok:
		w.violate("%s: Extend has no run %q", name, rec.RunID)
		return
	case gone && r.Deleted:
	case rec.State == ledger.Failed && r.Status == "PROCESSED" && !accepted(r, len(r.Deliveries)): // nobody has told of the change
	case w.changed[r.ID] && string(rec.State) != r.Status && r.Deleted: // nor could anybody confirm it
		w.undecidable = append(w.undecidable, undecided{name, "the run was deleted before anybody could confirm its review"})
	case w.changed[r.ID] && string(rec.State) != r.Status && !accepted(r, len(r.Deliveries)):
	case string(rec.State) != r.Status:
		w.violate("%s: is %s, its run is %s", name, rec.State, r.Status)
	case w.drifts[r.FileName]: // what it says of such a run can be neither right nor wrong
	case rec.State == ledger.Failed && (rec.FailureReason != r.FailureReason || rec.FailureMessage != r.FailureMessage && !strings.Contains(r.FailureMessage, credential)):
		w.violate("%s: failed for %q, its run for %q", name, rec.FailureReason, r.FailureReason)
	case rec.State == ledger.Rejected && (rec.FailureReason != "REJECTED" || rec.FailureMessage != r.note):
		w.violate("%s: rejected for %q, its run for %q", name, rec.FailureMessage, r.note)
	case rec.State == ledger.Processed && rec.OutputRunID != rec.RunID:
		w.violate("%s: PROCESSED by run %s, but the output is of %q", name, rec.RunID, rec.OutputRunID)
	case rec.State == ledger.Processed && rec.Credits != "1.50":
		w.violate("%s: %q credits, not 1.50", name, rec.Credits)
	}
	if rec.OutputRunID == "" {
		if stored != nil || rec.OutputLocation != "" {
			w.violate("%s: has an output of no run", name)
		}
		return
	}
	if rec.OutputLocation != "" {
		if stored != nil {
			w.violate("%s: has its output twice", name)
		}
		stored = w.results[rec.OutputLocation]
		// What a workflow has found is put together, and compared by value below.
		if !ofWorkflow(rec.OutputRunID) && !slices.ContainsFunc(w.outputs[rec.OutputRunID], func(o json.RawMessage) bool { return string(o) == string(stored) }) {
			w.violate("%s: what is stored at %s is not, byte for byte, what run %s had", name, rec.OutputLocation, rec.OutputRunID)
		}
	}
	if w.copied[rec.DocumentID] {
		return // see paidOnce
	}
	// A review whose delivery never got through is not known, nor is one of a run
	// that is not the record's any more. One that was answered with 200 is.
	outputs := w.outputs[rec.OutputRunID]
	if rec.OutputRunID == rec.RunID && accepted(info[rec.OutputRunID], len(outputs)) {
		newest := outputs[len(outputs)-1]
		switch {
		case same(newest, stored):
		case info[rec.OutputRunID].Deleted:
			// Deliveries have no order, and there is no run to ask any more.
			w.undecidable = append(w.undecidable, undecided{name, "the run was deleted before anybody could confirm its review"})
		case pointed(info[rec.OutputRunID]):
			w.undecidable = append(w.undecidable, undecided{name, "Extend told of a review without its content, and showed an older one when it was asked"})
		default:
			outputs = []json.RawMessage{newest}
		}
	}
	if !slices.ContainsFunc(outputs, func(o json.RawMessage) bool { return same(o, stored) }) {
		w.violate("%s: the output is %s, not %s", name, stored, outputs)
	}
}

// refusedRightly: Extend refused it for good, or there was no way to have it read.
func (w *world) refusedRightly(name string, rec *ledger.Record) {
	u := w.expected[rec.DocumentID]
	switch {
	case u == nil:
		w.violate("%s: REFUSED, but never uploaded", name)
	case rec.FailureReason == "EMPTY_FILE":
		if !u.empty {
			w.violate("%s: REFUSED as empty", name)
		}
	case rec.FailureReason == "NOT_THE_API" || rec.FailureReason == "FORBIDDEN" || rec.FailureReason == "FILE_NOT_READY":
		if n := w.claims[attemptOf{u.id, rec.Attempt}]; n < w.stack.submit.Rules.MaxFailures && w.took < w.set.giveUp {
			w.violate("%s: REFUSED %s after %d claims", name, rec.FailureReason, n)
		}
	case rec.FailureReason == "OBJECT_GONE":
		if !u.deleted {
			w.violate("%s: REFUSED as gone, and was never deleted", name)
		}
	case rec.FailureReason == "OBJECT_REPLACED" && u.deleted && !u.versioned:
	case rec.FailureReason == "OBJECT_REPLACED":
		if o := w.bucket.objects[rec.Key+"?"]; u.versioned || o == nil || o.eTag == rec.ETag && u.again == 0 { // else it was put back
			w.violate("%s: REFUSED as replaced, and is still there", name)
		}
	case rec.FailureReason == "NO_ANSWER":
		if n := w.claims[attemptOf{u.id, rec.Attempt}]; n < w.stack.submit.Rules.MaxUnanswered {
			w.violate("%s: given up after %d claims", name, n)
		}
	case w.claims[attemptOf{u.id, rec.Attempt}] >= w.stack.submit.Rules.MaxFailures: // whatever it heard each time
	case u.refused == 0:
		w.violate("%s: REFUSED %s, but Extend never refused it for good", name, rec.FailureReason)
	}
}

// skippedRightly: another document has the same bytes under the same key, and was read.
func (w *world) skippedRightly(name string, rec *ledger.Record) {
	u, original := w.expected[rec.DocumentID], w.expected[rec.DuplicateOf]
	first := w.records[rec.DuplicateOf]
	switch {
	case u == nil || original == nil || original == u:
		w.violate("%s: SKIPPED for %q", name, rec.DuplicateOf)
	case original.sha256 != u.sha256 || first.Key != rec.Key:
		w.violate("%s: SKIPPED for %s, which has other bytes or another key", name, original.name)
	case first.State == ledger.Skipped:
		w.violate("%s: SKIPPED for %s, which was skipped itself", name, original.name)
	case rec.Revision != 0:
		w.violate("%s: SKIPPED, and announced", name)
	}
}

// accepted reports whether a delivery of the run's n-th event was answered with 200. A failure is
// no such event: the same run can turn out well. A delivery of another version of the API, or of
// another type, does not tell what there is.
func accepted(r run, n int) bool {
	if len(r.Deliveries) != n || n == 0 {
		return false
	}
	d := r.Deliveries[n-1]
	if d.EventType != "processor_run.processed" && d.EventType != "workflow_run.completed" && d.EventType != "workflow_run.rejected" {
		return false
	}
	return slices.ContainsFunc(d.Tries, func(t fakeextend.Try) bool {
		return t.Status == 200 && t.Header.Get("X-Extend-Api-Version") != otherVersion && strings.Contains(string(t.Body), strconv.Quote(d.EventType))
	})
}

// pointed reports whether a delivery of the run's newest content was taken that only points to it.
func pointed(r run) bool {
	return slices.ContainsFunc(r.Deliveries[len(r.Deliveries)-1].Tries, func(t fakeextend.Try) bool {
		return t.Status == 200 && strings.Contains(string(t.Body), `"signed_data_url"`)
	})
}

// same compares two JSON texts by value: 1.0 is 1, and 0.1 is nothing else than 0.1.
func same(a, b []byte) bool {
	x, ok := exactly(a)
	y, ok2 := exactly(b)
	return ok && ok2 && reflect.DeepEqual(x, y)
}

// exactly decodes JSON without rounding any number.
func exactly(text []byte) (any, bool) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return nil, false
	}
	type number string // which is not the string of the same text
	var exact func(any) any
	exact = func(v any) any {
		switch v := v.(type) {
		case json.Number:
			r, _ := new(big.Rat).SetString(v.String())
			return number(r.RatString())
		case map[string]any:
			for name := range v {
				v[name] = exact(v[name])
			}
		case []any:
			for i := range v {
				v[i] = exact(v[i])
			}
		}
		return v
	}
	return exact(v), true
}
