package ledger

import (
	"testing"
	"time"
)

// apply applies facts to one document, and returns it.
func apply(t *testing.T, l *Ledger, facts ...Fact) *Record {
	t.Helper()
	var rec *Record
	for _, f := range facts {
		d, err := l.Apply(t.Context(), src.DocumentID(), f)
		if err != nil {
			t.Fatal(err)
		}
		rec = d.Record
	}
	return rec
}

// A good word about an earlier run that comes while the next attempt is being sent ends the
// document as soon as it is clear that nothing was sent: another run would be paid for nothing.
func TestALateResultEndsAnAttemptThatWasNotSent(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		before, after []Fact
		wait          time.Duration
	}{
		"not accepted": {after: []Fact{NotAccepted{ClaimNumber: 2, Reason: "429"}}},
		"not found":    {before: []Fact{OutcomeUnknown{ClaimNumber: 2}}, after: []Fact{NotFound{Attempt: 2}}, wait: rules.ConfirmWindow},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			now := t0
			l := NewMemory(rules, func() time.Time { now = now.Add(time.Second); return now })
			apply(t, l, Claim{Source: src}, Accepted{Attempt: 1, RunID: "dpr_0"})
			failed := RunEnded{Source: src, Attempt: 1, RunID: "dpr_0", State: Failed, FailureReason: "INTERNAL_ERROR", Digest: "f"}
			apply(t, l, failed, Claim{Source: src})
			apply(t, l, c.before...)
			good := RunEnded{Source: src, Attempt: 1, RunID: "dpr_0", State: Processed, Digest: "d", OutputLocation: "s3://r/o", Signed: true}
			if rec := apply(t, l, good); rec.State.Terminal() || rec.OutputRunID != "dpr_0" {
				t.Fatalf("%+v", rec)
			}
			now = now.Add(c.wait)
			for _, f := range c.after {
				if nf, ok := f.(NotFound); ok {
					nf.SearchedAt = now
					f = nf
				}
				apply(t, l, f)
			}
			rec := apply(t, l, Claim{Source: src})
			if rec.State != Processed || rec.RunID != "dpr_0" || rec.RunAttempt != 1 || rec.Revision != 1 || rec.Digest != "d" {
				t.Errorf("%+v", rec)
			}
		})
	}
}

// Functions that die between claim and answer, in a bad deployment say, are no doing of the
// documents that they had claimed: these are not given up after a few leases.
func TestAbandonedClaimsAreNotHeldAgainstTheDocument(t *testing.T) {
	t.Parallel()
	now := t0
	l := NewMemory(rules, func() time.Time { return now })
	for range 2 * rules.MaxUnanswered {
		if rec := apply(t, l, Claim{Source: src}); rec.State != Submitting {
			t.Fatalf("%+v", rec)
		}
		now = now.Add(rules.Lease + time.Second)
		apply(t, l, Claim{Source: src}) // it is found abandoned
		now = now.Add(rules.ConfirmWindow)
		if rec := apply(t, l, NotFound{Attempt: 1, SearchedAt: now}); rec.State != Waiting {
			t.Fatalf("%+v", rec)
		}
	}
}

// What is read once more is under way since that was asked for, however often it is claimed.
func TestSince(t *testing.T) {
	t.Parallel()
	asked := t0.Add(48 * time.Hour)
	for name, c := range map[string]struct {
		rec  Record
		want time.Time
	}{
		"uploaded":                       {Record{UploadedAt: t0, SubmittedAt: asked}, t0},
		"retried by itself":              {Record{UploadedAt: t0, AttemptSince: asked}, t0},
		"no upload is known":             {Record{SubmittedAt: asked}, asked},
		"asked for again":                {Record{UploadedAt: t0, AttemptSince: asked, SubmittedAt: asked.Add(time.Hour), Revision: 1}, asked},
		"asked for again, not submitted": {Record{UploadedAt: t0, AttemptSince: asked, Revision: 1}, asked},
		"nothing is known":               {Record{}, time.Time{}},
	} {
		if got := c.rec.Since(); !got.Equal(c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// An attempt fails and would be retried, but an earlier run has turned out well since: nothing is
// paid for once more, and no attempt is counted that was never sent.
func TestALateResultMakesARetryNeedless(t *testing.T) {
	t.Parallel()
	rules := rules
	rules.MaxAttempts = 3
	d, err := rules.Decide(at(Processing, late), attempt(2, failed("dpr_1", "INTERNAL_ERROR")), t0)
	if err != nil {
		t.Fatal(err)
	}
	if rec := d.Record; d.Verdict != Stored || rec.State != Processed || rec.Attempt != 2 || rec.RunID != "dpr_0" || rec.RunAttempt != 1 || rec.Revision != 1 {
		t.Errorf("%s, %+v", d.Verdict, rec)
	}
}
