// Package ledger keeps what is known of every document: one record each, in one
// table, changed by one conditional write at a time.
//
// # How it decides
//
// Everything that happens to a document is a [Fact]: a claim, an answer of
// Extend, a look that found nothing, a delivery. [Rules.Decide] is a pure
// function from the record and a fact to a [Decision]; it is the whole state
// machine, and its test has a line for each row of it.
//
//	WAITING ──claim──▶ SUBMITTING ──200──▶ PROCESSING ──outcome──▶ PROCESSED, FAILED, CANCELLED
//	   ▲                │      │
//	   │ not taken      │      └──a final no──▶ REFUSED
//	   └────────────────┤
//	   ▲                └──outcome unknown──▶ UNCONFIRMED ──found──▶ PROCESSING
//	   └──────not found in the confirm window───┘
//
// [Ledger.Apply] reads, decides and writes on condition that nothing has changed
// since; if something has, it decides again on what is there now:
//
//	l := ledger.New(client, "documents", ledger.DefaultRules, time.Now)
//	d, err := l.Apply(ctx, id, ledger.Claim{Source: src, ProcessorID: "dp_…"})
//	if err == nil && d.Verdict == ledger.Claimed {
//		// POST now; nobody else will
//	}
//
// # What it promises
//
//   - One claim at a time is won, and none while an earlier POST could still turn
//     out to have made a run: after a lease ran out or an answer was lost, the
//     document is UNCONFIRMED until a look settles it.
//   - Storing twice is harmless; late, repeated and foreign news change nothing
//     that is newer.
//   - The output is what Extend sent, digit by digit, or it is not inline
//     ([EncodeOutput]).
//   - A record that it does not understand is left as it is ([ErrRecord]).
package ledger
