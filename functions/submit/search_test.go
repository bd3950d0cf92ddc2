package submit

import (
	"context"
	"iter"
	"sync"
	"testing"
	"time"

	"extend-intake/dev/fakeextend"
	"extend-intake/shared/document"
	"extend-intake/shared/document/documenttest"
	"extend-intake/shared/extend"
	"extend-intake/shared/ledger"
)

func TestRateLimitOfASearch(t *testing.T) {
	t.Parallel()
	in := newIntake(t, faults(func(c fakeextend.Call) fakeextend.Fault {
		switch {
		case c.Route == fakeextend.RouteCreate && c.N == 1:
			return fakeextend.Fault{Status: 502, After: true, HTML: "<html>bad gateway</html>"}
		case c.Route == fakeextend.RouteList && c.N == 1:
			return fakeextend.Fault{Status: 429, RetryAfter: "60"}
		}
		return fakeextend.Fault{}
	}))
	a, ua := put("a")
	b, ub := put("b")
	in.want(in.receive(a), returns("a", firstSearch))
	in.want(in.receive(a, b), result{Back: map[string]time.Duration{"a": time.Minute, "b": time.Minute}})
	in.wantState(ua, ledger.Unconfirmed, "")
	in.wantNone(ub)
	in.clock.advance(time.Minute)
	in.want(in.receive(a, b), allDone)
	in.wantProcessing(ua)
	in.wantProcessing(ub)
	in.wantRuns(2)
}

func TestARunThatIsMadeButNotAnswered(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]fakeextend.Fault{
		"500":            {Status: 500, After: true},
		"408":            {Status: 408, After: true},
		"504 by gateway": {Status: 504, After: true, HTML: "<html>gateway timeout</html>"},
		"connection cut": {Cut: true, After: true},
		"not a run":      {Status: 200, After: true, HTML: "<html>sign in</html>"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := newIntake(t, onCreate(fault))
			a, ua := put("a")
			b, ub := put("b")
			in.want(in.receive(a, b), returns("a", firstSearch))
			in.wantState(ua, ledger.Unconfirmed, "")
			in.wantProcessing(ub) // it is this document's matter only
			in.wantRuns(2)

			in.clock.advance(firstSearch)
			in.want(in.receive(a), allDone)
			in.wantProcessing(ua)
			in.wantCalls(map[string]int{fakeextend.RouteCreate: 2, fakeextend.RouteList: 1, fakeextend.RouteGet: 1})
			in.wantLog("INFO lost run found", in.record(ua).RunID)
		})
	}
}

func TestARunThatIsNotMade(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]fakeextend.Fault{"500": {Status: 500}, "connection cut": {Cut: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := newIntake(t, onCreate(fault))
			m, u := put("a")
			in.want(in.receive(m), returns("a", firstSearch))
			since := in.now()
			in.clock.advance(firstSearch)

			searches := 0
			for in.now().Before(since.Add(rules.ConfirmWindow)) {
				r := in.receive(m)
				searches++
				after, isBack := r.Back["a"]
				if !isBack {
					t.Fatalf("given up after %v: the window is %v", in.now().Sub(since), rules.ConfirmWindow)
				}
				in.wantState(u, ledger.Unconfirmed, "")
				in.clock.advance(after)
			}
			if searches < 3 {
				t.Errorf("%d searches over the window", searches)
			}
			in.wantRuns(0)
			in.want(in.receive(m), allDone) // the last search, and the second POST at once
			in.wantProcessing(u)
			in.wantCalls(map[string]int{fakeextend.RouteCreate: 2, fakeextend.RouteList: searches + 1})
			if rec := in.record(u); rec.Attempt != 1 {
				t.Errorf("attempt %d: a new one is a person's decision", rec.Attempt)
			}
		})
	}
}

// What counts is when a search begins: a run can become visible while it goes on.
func TestASearchThatBeginsBeforeTheWindowEnds(t *testing.T) {
	t.Parallel()
	in := newIntake(t, onCreate(fakeextend.Fault{Cut: true}))
	m, u := put("a")
	in.want(in.receive(m), returns("a", firstSearch))
	in.clock.advance(rules.ConfirmWindow - time.Second)
	in.Runs = slowRuns{in.runs, func() { in.clock.advance(10 * time.Second) }}
	in.want(in.receive(m), returns("a", time.Second))
	in.wantState(u, ledger.Unconfirmed, "")
	in.wantRuns(0)
	in.want(in.receive(m), allDone)
	in.wantProcessing(u)
}

// slowRuns takes its time over lists.
type slowRuns struct {
	Runs
	wait func()
}

func (s slowRuns) All(ctx context.Context, req extend.ListRunsRequest) iter.Seq2[extend.RunSummary, error] {
	s.wait()
	return s.Runs.All(ctx, req)
}

func TestOnlyOneOfManySearchersPosts(t *testing.T) {
	t.Parallel()
	in := newIntake(t, onCreate(fakeextend.Fault{Cut: true}))
	m, u := put("a")
	in.receive(m)
	in.clock.advance(rules.ConfirmWindow)
	var all sync.WaitGroup
	for range 4 {
		i := in.another()
		all.Go(func() { i.receive(m) })
	}
	all.Wait()
	in.wantProcessing(u)
	in.wantRuns(1)
}

func TestASearchTakesOnlyItsOwnRun(t *testing.T) {
	t.Parallel()
	in := newIntake(t, onCreate(fakeextend.Fault{Cut: true}))
	m, u := put("a")
	in.want(in.receive(m), returns("a", firstSearch))
	// All of these are found by the token, and none is the run.
	plant := func(name, stack string, attempt int) {
		s := u.source()
		tag := documenttest.Tag(stack, s, attempt)
		_, err := in.client.Runs.Create(t.Context(), extend.CreateRunRequest{
			ProcessorID: processor, File: &extend.RunFile{FileName: name, FileURL: linkTo(s)}, Metadata: tag.Metadata(),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	plant(u.source().FileName(10, ""), stack, 10)
	plant(u.source().FileName(1, ""), "123456789012/eu-west-1/staging", 1)
	in.clock.advance(firstSearch)
	in.want(in.receive(m), returns("a", firstSearch))
	in.wantState(u, ledger.Unconfirmed, "")

	plant(u.source().FileName(1, ""), stack, 1)
	in.clock.advance(firstSearch)
	in.want(in.receive(m), allDone)
	runs := in.fake.Runs()
	if rec := in.record(u); rec.State != ledger.Processing || rec.RunID != runs[len(runs)-1].ID {
		t.Errorf("record %+v", rec)
	}
}

// Somebody else with a key of the workspace can copy tokens and tags, or make them up.
func TestASearchTakesNoRunOfSomebodyElse(t *testing.T) {
	t.Parallel()
	_, u := put("a")
	src := u.source()
	unsigned, signed := document.NewTag(stack, src, 1), documenttest.Tag(stack, src, 1)
	another := documenttest.Tag(stack, document.Source{Bucket: bucket, Key: "in/other.pdf", VersionID: "v"}, 1)
	madeUp := unsigned
	madeUp.Signature = another.Signature
	for name, c := range map[string]struct {
		processor, fileName string
		metadata            map[string]any
	}{
		"a tag without a signature":       {processor, unsigned.FileName(""), unsigned.Metadata()},
		"the signature of another":        {processor, madeUp.FileName(""), madeUp.Metadata()},
		"a file name, and no tag":         {processor, unsigned.FileName(""), nil},
		"a signed tag, another processor": {"dp_another", signed.FileName(""), signed.Metadata()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := newIntake(t, onCreate(fakeextend.Fault{Cut: true}))
			if err := in.fake.AddProcessor(fakeextend.Processor{ID: "dp_another", Type: fakeextend.Extract}); err != nil {
				t.Fatal(err)
			}
			m, _ := put("a")
			in.want(in.receive(m), returns("a", firstSearch))
			if _, err := in.client.Runs.Create(t.Context(), extend.CreateRunRequest{
				ProcessorID: c.processor, File: &extend.RunFile{FileName: c.fileName, FileURL: linkTo(src)}, Metadata: c.metadata,
			}); err != nil {
				t.Fatal(err)
			}
			in.clock.advance(firstSearch)
			in.want(in.receive(m), returns("a", firstSearch))
			in.wantState(u, ledger.Unconfirmed, "")
			in.wantLog("ERROR the run's tag contradicts the ledger", in.fake.Runs()[0].ID)
			in.clock.advance(rules.ConfirmWindow)
			in.want(in.receive(m), allDone)
			in.wantState(u, ledger.Processing, "")
			if rec := in.record(u); rec.RunID == in.fake.Runs()[0].ID {
				t.Errorf("somebody else's run: %+v", rec)
			}
		})
	}
}

// A run whose tag does not come back is known by the signed name of its file, and one of a
// version that signed nothing by either.
func TestASearchFindsItsRunByTheFileNameOrWithoutSignature(t *testing.T) {
	t.Parallel()
	_, u := put("a")
	src := u.source()
	unsigned, signed := document.NewTag(stack, src, 1), documenttest.Tag(stack, src, 1)
	for name, c := range map[string]struct {
		before   bool // the POST was one of a version that signs none
		fileName string
		metadata map[string]any
	}{
		"signed name, no tag":                    {false, signed.FileName(""), nil},
		"signed name, tag without its signature": {false, signed.FileName(""), unsigned.Metadata()},
		"signed tag, name without its signature": {false, unsigned.FileName(""), signed.Metadata()},
		"before: tag":                            {true, unsigned.FileName(""), unsigned.Metadata()},
		"before: name":                           {true, unsigned.FileName(""), nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := newIntake(t)
			m, _ := put("a")
			for _, f := range []ledger.Fact{
				ledger.Claim{Source: src, Route: "default", ProcessorID: processor, Version: "latest", TagSigned: !c.before}, ledger.OutcomeUnknown{ClaimNumber: 1},
			} {
				if _, err := in.book.Apply(t.Context(), u.id(), f); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := in.client.Runs.Create(t.Context(), extend.CreateRunRequest{
				ProcessorID: processor, File: &extend.RunFile{FileName: c.fileName, FileURL: linkTo(src)}, Metadata: c.metadata,
			}); err != nil {
				t.Fatal(err)
			}
			in.want(in.receive(m), allDone)
			in.wantProcessing(u)
			in.wantRuns(1)
		})
	}
}

func TestASearchThatFindsTwoRunsSaysSo(t *testing.T) {
	t.Parallel()
	in := newIntake(t, onCreate(fakeextend.Fault{Cut: true, After: true}))
	m, u := put("a")
	in.want(in.receive(m), returns("a", firstSearch))
	tag := documenttest.Tag(stack, u.source(), 1)
	if _, err := in.client.Runs.Create(t.Context(), extend.CreateRunRequest{
		ProcessorID: processor, File: &extend.RunFile{FileName: u.source().FileName(1, ""), FileURL: linkTo(u.source())}, Metadata: tag.Metadata(),
	}); err != nil {
		t.Fatal(err)
	}
	in.clock.advance(firstSearch)
	in.want(in.receive(m), allDone)
	rec := in.record(u)
	if rec.State != ledger.Processing || len(rec.Runs) != 1 || !rec.Runs[0].Duplicate {
		t.Errorf("record %+v", rec)
	}
	in.wantLog("ERROR duplicate run", "current_run_id="+rec.RunID, "run_id="+rec.Runs[0].RunID)
}

// Of two runs whose file has the signed name, that one is ours whose tag says the same: the
// name of a file is seen by everybody in the workspace.
func TestASearchPrefersTheRunWhoseTagAgrees(t *testing.T) {
	t.Parallel()
	in := newIntake(t, onCreate(fakeextend.Fault{Cut: true, After: true}))
	m, u := put("a")
	in.want(in.receive(m), returns("a", firstSearch))
	own := in.fake.Runs()[0].ID
	signed := documenttest.Tag(stack, u.source(), 1)
	if _, err := in.client.Runs.Create(t.Context(), extend.CreateRunRequest{
		ProcessorID: processor, File: &extend.RunFile{FileName: signed.FileName(""), FileURL: linkTo(u.source())}, Metadata: documenttest.Tag(stack, u.source(), 2).Metadata(),
	}); err != nil {
		t.Fatal(err)
	}
	in.clock.advance(firstSearch)
	in.want(in.receive(m), allDone)
	if rec := in.record(u); rec.RunID != own || len(rec.Runs) != 0 {
		t.Errorf("record %+v, own run %s", rec, own)
	}
	in.wantLog("ERROR the run's tag contradicts the ledger", in.fake.Runs()[1].ID)
}

// The line that an alarm is made of says which refusal it was, also when a search met it.
func TestAPauseByASearchSaysWhy(t *testing.T) {
	t.Parallel()
	in := newIntake(t, faults(func(c fakeextend.Call) fakeextend.Fault {
		return map[string]fakeextend.Fault{fakeextend.RouteCreate: {Cut: true}, fakeextend.RouteList: {Status: 402}}[c.Route]
	}))
	m, _ := put("a")
	in.receive(m)
	in.clock.advance(firstSearch)
	in.receive(m)
	in.wantLog("ERROR paused", "402 USAGE_BLOCKED")
}
