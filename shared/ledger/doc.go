// Package ledger has what is known of every document: one record each, in one
// table, changed by one conditional write at a time.
//
// # How it decides
//
// Everything that happens to a document is a [Fact]: a claim, an answer of
// Extend, a search that found nothing, a delivery. [Rules.Decide] is a pure
// function from the record and a fact to a [Decision]; it is the whole state
// machine, and its test has a line for each row of it.
//
//	WAITING ──claim──▶ SUBMITTING ──200──▶ PROCESSING ──run ended──▶ PROCESSED, FAILED, CANCELLED
//	   ▲                │      │
//	   │ not accepted   │      └──refused for good──▶ REFUSED
//	   └────────────────┤
//	   ▲                └──outcome unknown──▶ UNCONFIRMED ──found──▶ PROCESSING
//	   └──────not found in the confirm window───┘
//
// A workflow's run can wait for a person before it ends: NEEDS_REVIEW. One end more is REJECTED.
//
// [Ledger.Apply] reads, decides and writes on condition that nothing has changed
// since; if something has, it decides anew on what is there now:
//
//	l := ledger.New(client, "documents", ledger.DefaultRules, time.Now)
//	d, err := l.Apply(ctx, id, ledger.Claim{Source: src, ProcessorID: "dp_…"})
//	if err == nil && d.Verdict == ledger.Claimed {
//		// POST now; nobody else will
//	}
//
// # What it promises
//
//   - At most one claim is granted at a time, and none while an earlier POST may have
//     made a run that nobody knows: after a lease ran out or an answer was lost, the
//     document is UNCONFIRMED until the run is found, or not found for long enough.
//   - Storing twice is harmless; what comes late or repeatedly changes nothing
//     that is newer.
//   - The output is what Extend sent, digit by digit, or it is not inline
//     ([NewOutput]).
//   - A record that it does not understand is left as it is ([ErrRecord]).
//
// # Where to look
//
// facts.go has what can happen and what it can mean, decide.go the one switch between them,
// transitions.go the changes that a record undergoes, rules.go the numbers. output.go takes
// a result apart; table.go and memory.go are the table and its model for tests, which one
// property test holds to the same answers.
package ledger
