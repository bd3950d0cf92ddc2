package submit

import (
	"context"
	"errors"
	"strings"
	"testing"

	"extend-intake/dev/fakeextend"
	"extend-intake/shared/document"
	"extend-intake/shared/ledger"
)

// creation is one version of in/a.pdf, with the same bytes as every other; n orders them.
func creation(n string) (message, upload) {
	u := upload{"in/a.pdf", "v" + n}
	return message{id: n, body: strings.ReplaceAll(s3Event(u), "00617F08299329D189", "00617F08299329D18"+n)}, u
}

// lost is an intake whose first version can't be read any more once it is gone.
func lost(t *testing.T, edit ...func(*fakeextend.Options)) (in *intake, gone *bool) {
	in, gone = newIntake(t, edit...), new(bool)
	in.Bucket = fakeBucket{head: func(s document.Source) (Object, error) {
		if *gone && s.VersionID == "v1" {
			return Object{}, &ObjectError{Code: "OBJECT_GONE", Message: "m", Final: true}
		}
		return Object{Size: s.Size}, nil
	}}
	return in, gone
}

// A third creation may come after the first one's object is lost, and before the copy is read
// in its place: one of the two is paid for.
func TestACreationBeforeTheCopyIsRead(t *testing.T) {
	t.Parallel()
	in, gone := lost(t, onCreate(fakeextend.Fault{Status: 429}))
	first, u1 := creation("1")
	copied, u2 := creation("2")
	in.receive(first)
	in.clock.advance(rules.Lease)
	in.want(in.receive(copied), allDone)
	*gone = true
	in.want(in.receive(first), allDone)
	in.wantState(u2, ledger.Waiting, "the object of "+u1.id()+" can't be read")
	third, u3 := creation("3")
	in.want(in.receive(third), allDone)
	if rec := in.record(u3); rec.State != ledger.Skipped || rec.DuplicateOf != u2.id() {
		t.Errorf("%+v", rec)
	}
	in.want(in.receive(copied), allDone)
	in.wantState(u2, ledger.Processing, "")
	in.wantRuns(1)
}

// The copy is told late that it is to be read in the first one's place, and a third creation
// was read meanwhile.
func TestACopyIsNotReadInPlaceOfWhatIsRead(t *testing.T) {
	t.Parallel()
	in := newIntake(t)
	third, u3 := creation("3")
	in.want(in.receive(third), allDone)
	in.wantState(u3, ledger.Processing, "")
	copied, u2 := creation("2")
	for _, f := range []ledger.Fact{
		ledger.Claim{Source: u2.source(), TagSigned: true}, ledger.Skip{ClaimNumber: 1, Code: "SAME_CONTENT", DuplicateOf: "doc_first"}, ledger.OriginalLost{DocumentID: "doc_first"},
	} {
		if _, err := in.book.Apply(t.Context(), u2.id(), f); err != nil {
			t.Fatal(err)
		}
	}
	in.want(in.receive(copied), allDone)
	if rec := in.record(u2); rec.State != ledger.Skipped || rec.DuplicateOf != u3.id() || rec.Attempt != 2 {
		t.Errorf("%+v", rec)
	}
	in.wantRuns(1)
}

// The copy of a document whose object is lost before it could be read is read.
func TestTheCopyOfALostObjectIsRead(t *testing.T) {
	t.Parallel()
	in, gone := lost(t, onCreate(fakeextend.Fault{Status: 429}))
	first, u1 := creation("1")
	copied, u2 := creation("2")
	in.receive(first)
	in.clock.advance(rules.Lease)
	in.want(in.receive(copied), allDone)
	in.wantState(u2, ledger.Skipped, "")
	if rec := in.record(u1); rec.LastCopy != u2.id() || rec.Copies != 1 {
		t.Errorf("%+v", rec)
	}

	*gone = true
	in.want(in.receive(first), allDone)
	in.wantState(u1, ledger.Refused, "")
	in.wantState(u2, ledger.Waiting, "the object of "+u1.id()+" can't be read")
	in.want(in.receive(copied), allDone) // as reconcile sends it
	if rec := in.record(u2); rec.State != ledger.Processing || rec.Attempt != 2 {
		t.Errorf("%+v", rec)
	}
	in.wantRuns(1)

	// From now on the content is the second one's.
	again, u3 := creation("3")
	in.want(in.receive(again), allDone)
	if rec := in.record(u3); rec.State != ledger.Skipped || rec.DuplicateOf != u2.id() {
		t.Errorf("%+v", rec)
	}
	in.wantRuns(1)
}

// It does not matter whether the copy was noted before its document ended, or after, or by
// an instance that ended in between.
func TestTheCopyIsNotedLate(t *testing.T) {
	t.Parallel()
	in, gone := lost(t, onCreate(fakeextend.Fault{Status: 429}))
	first, u1 := creation("1")
	copied, u2 := creation("2")
	in.receive(first)
	in.clock.advance(rules.Lease)
	healthy := in.Ledger
	in.Ledger = in.book.Through(rules, in.now, func(ctx context.Context, a ledger.Access, do func(context.Context) error) error {
		if a.Op == "write" && a.DocumentID == u1.id() {
			return errors.New("throttled")
		}
		return do(ctx)
	})
	if r := in.receive(copied); r.Back["2"] == 0 {
		t.Errorf("%+v", r)
	}
	in.wantState(u2, ledger.Skipped, "")
	in.Ledger = healthy
	*gone = true
	in.want(in.receive(first), allDone)
	in.wantState(u1, ledger.Refused, "")
	in.wantState(u2, ledger.Skipped, "")
	in.want(in.receive(copied), allDone)
	in.wantState(u2, ledger.Waiting, "the object of "+u1.id()+" can't be read")
}

// An object that is replaced by a copy of itself before its turn is not read twice, and not
// at all is worse.
func TestTheNewestOfTwoCopiesIsRead(t *testing.T) {
	t.Parallel()
	in := newIntake(t, onCreate(fakeextend.Fault{Status: 429}))
	current := "v1"
	in.config.NewestOnly = true
	in.Bucket = fakeBucket{current: func(document.Source) (string, string, error) { return current, "", nil }}
	first, u1 := creation("1")
	copied, u2 := creation("2")
	in.receive(first)
	in.clock.advance(rules.Lease)
	current = "v2"
	in.want(in.receive(copied), allDone)
	in.wantState(u2, ledger.Skipped, "")
	in.want(in.receive(first), allDone)
	if rec := in.record(u1); rec.State != ledger.Skipped || rec.FailureReason != "REPLACED" {
		t.Errorf("%+v", rec)
	}
	in.want(in.receive(copied), allDone)
	if rec := in.record(u2); rec.State != ledger.Processing {
		t.Errorf("%+v", rec)
	}
	in.wantRuns(1)
}

// The same bytes would be refused again: a copy that was made before the end is no wish. One
// that is made after it is, and so is a person's, whichever of the two is asked for.
func TestTheCopyOfARefusedDocumentIsNoWish(t *testing.T) {
	t.Parallel()
	in := newIntake(t, onCreate(fakeextend.Fault{Status: 429}, fakeextend.Fault{Status: 422}))
	first, u1 := creation("1")
	copied, u2 := creation("2")
	in.receive(first)
	in.clock.advance(rules.Lease)
	in.want(in.receive(copied), allDone)
	in.want(in.receive(first), allDone)
	in.wantState(u1, ledger.Refused, "")
	in.want(in.receive(copied), allDone)
	in.wantState(u2, ledger.Skipped, "")

	in.want(in.receive(message{id: "r", body: document.ReprocessMessage(document.Reprocess{DocumentID: u2.id(), Attempt: 2})}), allDone)
	if rec := in.record(u2); rec.State != ledger.Processing || rec.Attempt != 2 {
		t.Errorf("%+v", rec)
	}
	again, u3 := creation("3")
	in.want(in.receive(again), allDone)
	if rec := in.record(u3); rec.State != ledger.Skipped || rec.DuplicateOf != u2.id() {
		t.Errorf("%+v", rec)
	}
	in.wantRuns(1)
}

// In a bucket without versions, an object that is written once more with the same bytes is the
// same document: if it was skipped, it is asked anew whether they are read.
func TestASkippedDocumentIsUploadedAgain(t *testing.T) {
	t.Parallel()
	in := newIntake(t, onCreate(fakeextend.Fault{Status: 429}, fakeextend.Fault{Status: 422}))
	first, u1 := creation("1")
	copied, u2 := creation("2")
	again := message{id: "2", body: strings.ReplaceAll(copied.body, "00617F08299329D182", "00617F08299329D183")}
	third := message{id: "2", body: strings.ReplaceAll(copied.body, "00617F08299329D182", "00617F08299329D184")}
	in.receive(first)
	in.clock.advance(rules.Lease)
	in.want(in.receive(copied), allDone)
	in.want(in.receive(again), allDone) // the first is under way
	in.wantState(u2, ledger.Skipped, "")
	in.want(in.receive(first), allDone)
	in.wantState(u1, ledger.Refused, "")
	in.want(in.receive(third), allDone)
	if rec := in.record(u2); rec.State != ledger.Processing || rec.DuplicateOf != "" || rec.Revision != 0 {
		t.Errorf("%+v", rec)
	}
	in.wantRuns(1)
}
