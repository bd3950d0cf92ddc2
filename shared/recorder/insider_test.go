package recorder

import (
	"encoding/json"
	"fmt"
	"testing"

	"extend-intake/shared/document"
	"extend-intake/shared/document/documenttest"
	"extend-intake/shared/extend"
	"extend-intake/shared/ledger"
)

// forged is a run of somebody else in the workspace, with this metadata and file name.
func forged(id string, metadata map[string]any, name string) *extend.Run {
	return with(processed(`{"by": "somebody else"}`), func(r *extend.Run) {
		r.ID = id
		r.Metadata = nil
		if metadata != nil {
			r.Metadata, _ = json.Marshal(metadata)
		}
		if name != "" {
			r.Files = json.RawMessage(fmt.Sprintf(`[{"name": %q}]`, name))
		}
	})
}

// Somebody with a key of the same workspace can make runs with any metadata, and copy ours.
func TestRunsOfSomebodyElseAreNotStored(t *testing.T) {
	t.Parallel()
	unsigned := func(attempt int) map[string]any { return document.NewTag(stack, source, attempt).Metadata() }
	with := func(m map[string]any, name string, value any) map[string]any { m[name] = value; return m }
	copied := func() map[string]any { return documenttest.Tag(stack, source, 1).Metadata() }
	claimed := []ledger.Fact{ledger.Claim{Source: source, Route: "default", ProcessorID: "dp_1", TagSigned: true}}
	unconfirmed := append(claimed[:1:1], ledger.OutcomeUnknown{ClaimNumber: 1})
	processing := append(claimed[:1:1], ledger.Accepted{Attempt: 1, RunID: "dpr_1"})
	states := map[string][]ledger.Fact{"no record": nil, "submitting": claimed, "unconfirmed": unconfirmed, "processing": processing}
	for name, run := range map[string]*extend.Run{
		"an attempt that was made up":        forged("dpr_x", unsigned(1), ""),
		"a later attempt that was made up":   forged("dpr_x", unsigned(2), ""),
		"the largest attempt":                forged("dpr_x", unsigned(1_000_000), ""),
		"a signature that was made up":       forged("dpr_x", with(unsigned(1), "signature", "aaaaaaaaaaaaaaaaaaaaaaaaaa"), ""),
		"the signature of another attempt":   forged("dpr_x", with(unsigned(2), "signature", documenttest.Tag(stack, source, 1).Signature), ""),
		"the signature of another stack":     forged("dpr_x", with(unsigned(1), "signature", documenttest.Tag("other", source, 1).Signature), ""),
		"another bucket":                     forged("dpr_x", with(copied(), "bucket", "elsewhere"), ""),
		"no bucket and no key":               forged("dpr_x", with(with(unsigned(1), "bucket", ""), "key", ""), ""),
		"only the file's name, not signed":   forged("dpr_x", nil, source.FileName(1, "")),
		"only the file's name, wrong number": forged("dpr_x", nil, "a."+document.Token(docID, 2)+"-"+documenttest.Tag(stack, source, 1).Signature+".pdf"),
	} {
		for state, facts := range states {
			if state == "no record" && run.Metadata == nil || name == "another bucket" && state != "no record" {
				continue // a document of its own; and what is signed for an attempt with no run is believed: see below
			}
			t.Run(name+", "+state, func(t *testing.T) {
				t.Parallel()
				d := newDesk(t)
				for _, f := range facts {
					if _, err := d.Ledger.Apply(t.Context(), docID, f); err != nil {
						t.Fatal(err)
					}
				}
				for range 2 { // Extend repeats deliveries
					r := d.record(run, false, ledger.TagMismatch)
					if r.Ended || r.Record != nil && (r.Record.RunID == "dpr_x" || r.Record.OutputRunID != "" || r.Record.Revision != 0) {
						t.Errorf("%+v", r.Record)
					}
				}
				if len(facts) == 0 {
					d.wantNone(docID)
					d.wantNone("dpr_x")
				}
			})
		}
	}
}

// A tag that was copied from the document's own run, after the ledger knows that one.
func TestACopiedTagIsADuplicateAndNotStored(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.submitted()
	copied := documenttest.Tag(stack, source, 1)
	for i := range 25 {
		r, err := d.Delivered(t.Context(), forged(fmt.Sprintf("dpr_copy_%d", i), copied.Metadata(), copied.FileName("")))
		if err != nil || r.Record.RunID != "dpr_1" || r.Record.OutputRunID != "" {
			t.Fatalf("%+v, %v", r.Record, err)
		}
		if want := map[bool]ledger.Verdict{true: ledger.DuplicateRun, false: ledger.TagMismatch}[i < 5]; r.Verdict != want {
			t.Errorf("copy %d: %q, want %q", i+1, r.Verdict, want)
		}
		if len(r.Record.Runs) > 5 {
			t.Errorf("%d runs are noted", len(r.Record.Runs))
		}
	}
	d.record(processed(`{"n": 1}`), false, ledger.Stored)
	d.wantOutput(docID, `{"n": 1}`)
}

// What comes back of a run need not be its tag: the signed name of its file will do.
func TestTheFileNameProvesWhoseARunIs(t *testing.T) {
	t.Parallel()
	tag := documenttest.Tag(stack, source, 1)
	for name, metadata := range map[string]map[string]any{
		"no tag":                  nil,
		"a tag without signature": document.NewTag(stack, source, 1).Metadata(),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			for _, f := range []ledger.Fact{ledger.Claim{Source: source, TagSigned: true}, ledger.OutcomeUnknown{ClaimNumber: 1}} {
				if _, err := d.Ledger.Apply(t.Context(), docID, f); err != nil {
					t.Fatal(err)
				}
			}
			d.record(forged("dpr_1", metadata, tag.FileName("")), false, ledger.Stored)
		})
	}
}

// Runs that were on their way when signatures came have none.
func TestUnsignedRunsSurviveTheUpgrade(t *testing.T) {
	t.Parallel()
	run := forged("dpr_1", document.NewTag(stack, source, 1).Metadata(), source.FileName(1, ""))
	for name, facts := range map[string][]ledger.Fact{
		"the run is known":    {ledger.Claim{Source: source}, ledger.Accepted{Attempt: 1, RunID: "dpr_1"}},
		"the outcome is not":  {ledger.Claim{Source: source}, ledger.OutcomeUnknown{ClaimNumber: 1}},
		"its POST is pending": {ledger.Claim{Source: source}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			for _, f := range facts {
				if _, err := d.Ledger.Apply(t.Context(), docID, f); err != nil {
					t.Fatal(err)
				}
			}
			d.record(run, false, ledger.Stored)
		})
	}
}

// A mismatch is counted once, however often the run is told of.
func TestAMismatchIsCountedOnce(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.submitted()
	run := forged("dpr_x", document.NewTag(stack, source, 2).Metadata(), "")
	for i, want := range []int{1, 0, 0} {
		if r := d.record(run, false, ledger.TagMismatch); len(counted(t, r)) != want {
			t.Errorf("delivery %d: %v", i+1, counted(t, r))
		}
	}
}
