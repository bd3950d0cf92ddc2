package recorder

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"extend-intake/shared/document"
	"extend-intake/shared/document/documenttest"
	"extend-intake/shared/extend"
	"extend-intake/shared/ledger"
	"extend-intake/shared/metric"
)

const stack = "123456789012/eu-west-1/intake"

var (
	source = document.Source{Bucket: "intake-uploads", Key: "in/a.pdf", VersionID: "v1", ETag: "e", Size: 1, Sequencer: "0A"}
	docID  = source.DocumentID()
	start  = time.Date(2026, 7, 14, 9, 15, 0, 0, time.UTC)
)

// desk is a Recorder and what is around it. What a test does not set must not be called.
type desk struct {
	*Recorder
	t     *testing.T
	at    time.Time
	asked []string
	// answers are those of Extend, one per question.
	answers []any
}

func newDesk(t *testing.T) *desk {
	d := &desk{t: t, at: start}
	rules := ledger.DefaultRules
	var err error
	d.Recorder, err = New(Parts{
		Stack: stack, TagKeys: documenttest.Keys, Runs: d,
		Ledger: ledger.NewMemory(rules, func() time.Time { return d.at }),
		Put: func(_ context.Context, name string, _ []byte) (string, error) {
			t.Errorf("Put of %s", name)
			return "", errors.New("unexpected")
		},
		Requeue: func(_ context.Context, s document.Source) error {
			t.Errorf("Requeue of %s", s)
			return errors.New("unexpected")
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *desk) Get(_ context.Context, id string) (*extend.Run, error) {
	d.asked = append(d.asked, id)
	if len(d.asked) > len(d.answers) {
		d.t.Errorf("question %d about %s", len(d.asked), id)
		return nil, errors.New("unexpected")
	}
	switch a := d.answers[len(d.asked)-1].(type) {
	case error:
		return nil, a
	default:
		return a.(*extend.Run), nil
	}
}

// seen is what a GET of the run would be given now.
func (d *desk) seen(run *extend.Run) *ledger.Record {
	id := run.ID
	if tag, err := document.ParseTag(run.Metadata); err == nil {
		id = tag.DocumentID
	}
	rec, err := d.find(d.t.Context(), id)
	if err != nil {
		d.t.Fatal(err)
	}
	return rec
}

// record records a run, and checks the verdict.
func (d *desk) record(run *extend.Run, confirmed bool, want ledger.Verdict) Result {
	d.t.Helper()
	var r Result
	var err error
	if confirmed {
		r, err = d.Fetched(d.t.Context(), run, d.seen(run))
	} else {
		r, err = d.Delivered(d.t.Context(), run)
	}
	if err != nil {
		d.t.Fatal(err)
	}
	if r.Verdict != want {
		d.t.Errorf("verdict %q, want %q", r.Verdict, want)
	}
	return r
}

func (d *desk) wantOutput(id, want string) {
	d.t.Helper()
	if got, err := d.Ledger.Output(d.t.Context(), id); err != nil || string(got) != want {
		d.t.Errorf("output %s, %v, want %s", got, err, want)
	}
}

func (d *desk) wantNone(id string) {
	d.t.Helper()
	if rec, err := d.Ledger.Get(d.t.Context(), id); !errors.Is(err, ledger.ErrNotFound) {
		d.t.Errorf("there is a record: %+v, %v", rec, err)
	}
}

// submitted has the document PROCESSING.
func (d *desk) submitted() {
	d.t.Helper()
	for _, f := range []ledger.Fact{ledger.Claim{Source: source, Route: "default"}, ledger.Accepted{Attempt: 1, RunID: "dpr_1"}} {
		if _, err := d.Ledger.Apply(d.t.Context(), docID, f); err != nil {
			d.t.Fatal(err)
		}
	}
}

// processed is the document's run with an output.
func processed(output string) *extend.Run {
	metadata, err := json.Marshal(documenttest.Tag(stack, source, 1).Metadata())
	if err != nil {
		panic(err)
	}
	return &extend.Run{
		ID: "dpr_1", ProcessorID: "dp_1", Type: extend.TypeExtract, Status: extend.StatusProcessed, Metadata: metadata,
		Output: json.RawMessage(output), URL: "https://dashboard.extend.ai/runs/dpr_1", Usage: &extend.Usage{Credits: "1", TotalCredits: "1.50"},
	}
}

func with(run *extend.Run, edit func(*extend.Run)) *extend.Run {
	edit(run)
	return run
}

func TestExactOutputStaysInline(t *testing.T) {
	t.Parallel()
	for name, output := range map[string]string{
		"numbers": `{"big": 12345678901234567890, "zeros": 0.1000, "money": 1204.50, "digits": 0.12345678901234567890123456789012345678}`,
		"markup":  `{"a": "<b>&amp;</b> Zürich \u00e9"}`,
		"null":    `null`,
		"empty":   `{}`,
		"a list":  `[1, [], {}]`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			r := d.record(processed(output), false, ledger.Stored)
			if r.DocumentID != docID || r.Record.OutputLocation != "" || r.Record.Credits != "1.50" {
				t.Errorf("result %+v", r)
			}
			d.wantOutput(docID, output)
		})
	}
}

func TestInexactOutputIsStoredFirst(t *testing.T) {
	t.Parallel()
	for name, output := range map[string]string{
		"39 digits":        `{"n": 1.23456789012345678901234567890123456789}`,
		"a huge exponent":  `{"n": 1e400}`,
		"nested deeply":    strings.Repeat(`[`, 40) + strings.Repeat(`]`, 40),
		"large":            `{"t": "` + strings.Repeat("x", 400_000) + `"}`,
		"half a surrogate": `{"t": "\ud83d"}`,
		"a name twice":     `{"a": 1, "a": 2}`,
		"an empty name":    `{"": 1}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			var names []string
			d.Put = func(_ context.Context, name string, body []byte) (string, error) {
				if len(names) == 0 {
					d.wantNone(docID) // the record may only point to what is there
				}
				if string(body) != output {
					t.Errorf("stored %.100s", body)
				}
				names = append(names, name)
				return "s3://results/" + name, nil
			}
			r := d.record(processed(output), false, ledger.Stored)
			if len(names) != 1 || !strings.HasPrefix(names[0], docID+"/1-") || !strings.HasSuffix(names[0], ".json") || r.Record.OutputLocation != "s3://results/"+names[0] {
				t.Errorf("stored as %q, record %+v", names, r.Record)
			}
			d.wantOutput(docID, "")
			d.record(processed(output), false, ledger.Unchanged)
			if len(slices.Compact(names)) != 1 {
				t.Errorf("the same content under two names: %q", names)
			}
		})
	}
}

func TestPutFails(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.submitted()
	before, err := d.Ledger.Get(t.Context(), docID)
	if err != nil {
		t.Fatal(err)
	}
	full := errors.New("no bucket")
	d.Put = func(context.Context, string, []byte) (string, error) { return "", full }
	if _, err := d.Delivered(t.Context(), processed(`{"n": 1e400}`)); !errors.Is(err, full) || !strings.Contains(err.Error(), "dpr_1") {
		t.Errorf("error %v", err)
	}
	if after, err := d.Ledger.Get(t.Context(), docID); err != nil || after.Version != before.Version {
		t.Errorf("record %+v, %v", after, err)
	}
}

func TestOutputMovesWithAReview(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.Put = func(_ context.Context, name string, _ []byte) (string, error) { return "s3://results/" + name, nil }
	d.record(processed(`{"n": 1}`), true, ledger.Stored)
	first := d.record(processed(`{"n": 1e400}`), true, ledger.Stored)
	d.wantOutput(docID, "")
	second := d.record(processed(`{"n": 1e401}`), true, ledger.Stored)
	if first.Record.OutputLocation == "" || first.Record.OutputLocation == second.Record.OutputLocation {
		t.Errorf("at %q, then at %q", first.Record.OutputLocation, second.Record.OutputLocation)
	}
	last := d.record(processed(`{"n": 2}`), true, ledger.Stored)
	if last.Record.OutputLocation != "" || last.Record.Revision != 4 {
		t.Errorf("record %+v", last.Record)
	}
	d.wantOutput(docID, `{"n": 2}`)
}

func TestProcessedWithoutOutput(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.record(with(processed(""), func(r *extend.Run) { r.Output = nil }), false, ledger.Stored)
	d.wantOutput(docID, "null")
}

func TestOutputThatIsNotJSON(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	if _, err := d.Delivered(t.Context(), processed(`{"n":`)); err == nil || !strings.Contains(err.Error(), "run dpr_1: output") {
		t.Errorf("error %v", err)
	}
	d.wantNone(docID)
}

func TestWhoseRunItIs(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	foreign, _ := json.Marshal(documenttest.Tag("another", source, 1).Metadata())
	r := d.record(with(processed(`{"n": 0}`), func(r *extend.Run) { r.Metadata = foreign }), false, Foreign)
	if r.Record != nil || r.DocumentID != docID {
		t.Errorf("result %+v", r)
	}
	d.wantNone(docID)

	r = d.record(with(processed(`{"n": 0}`), func(r *extend.Run) { r.Metadata = nil }), false, ledger.Stored)
	if r.DocumentID != "dpr_1" || r.Record.Object != "" {
		t.Errorf("result %+v", r)
	}
}

func TestARunThatHasNotEnded(t *testing.T) {
	t.Parallel()
	pending := func() *extend.Run {
		return with(processed(`{"n": 0}`), func(r *extend.Run) { r.Status = extend.StatusProcessing })
	}
	t.Run("a delivery says so, and it has", func(t *testing.T) {
		t.Parallel()
		d := newDesk(t)
		d.answers = []any{processed(`{"n": 1}`)}
		d.record(pending(), false, ledger.Stored)
		d.wantOutput(docID, `{"n": 1}`)
	})
	t.Run("a delivery says so, and Extend confirms it", func(t *testing.T) {
		t.Parallel()
		d := newDesk(t)
		d.submitted()
		d.answers = []any{pending()}
		d.at = start.Add(time.Hour)
		r := d.record(pending(), false, ledger.Unchanged)
		if r.Record.State != ledger.Processing {
			t.Errorf("record %+v", r.Record)
		}
	})
	t.Run("a status that we do not know", func(t *testing.T) {
		t.Parallel()
		d := newDesk(t)
		d.submitted()
		run := with(pending(), func(r *extend.Run) { r.Status = "COMPLETED" })
		_, err := d.Fetched(t.Context(), run, d.seen(run))
		if e, ok := errors.AsType[*StatusError](err); !ok || e.Status != "COMPLETED" || e.RunID != "dpr_1" {
			t.Errorf("%v: it is neither under way nor ended", err)
		}
	})
	t.Run("a delivery says a status that we do not know, and Extend another", func(t *testing.T) {
		t.Parallel()
		d := newDesk(t)
		d.submitted()
		d.answers = []any{processed(`{"n": 1}`)}
		d.record(with(pending(), func(r *extend.Run) { r.Status = "COMPLETED" }), false, ledger.Stored)
		d.wantOutput(docID, `{"n": 1}`)
	})
	t.Run("Extend can't be asked", func(t *testing.T) {
		t.Parallel()
		d := newDesk(t)
		down := errors.New("down")
		d.answers = []any{down}
		if _, err := d.Delivered(t.Context(), pending()); !errors.Is(err, down) || !strings.Contains(err.Error(), "dpr_1") {
			t.Errorf("error %v", err)
		}
		d.wantNone(docID)
	})
}

func TestACancelledRun(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.submitted()
	r := d.record(with(processed(`{"n": 0}`), func(r *extend.Run) { r.Status = extend.StatusCancelled }), true, ledger.Stored)
	if r.Record.State != ledger.Cancelled {
		t.Errorf("record %+v", r.Record)
	}
	d.wantOutput(docID, "")
}

// A content that Extend signed, and that it does not show when it is asked, is older than
// what it shows, or newer than what its replica has: it comes again until that is clear.
func TestASignedContentThatIsNotShown(t *testing.T) {
	t.Parallel()
	missing := &extend.Error{StatusCode: 404, FromAPI: true}
	for name, stale := range map[string]any{
		"the content before it": processed(`{"n": 1}`), "a run under way": with(processed(`{"n": 1}`), func(r *extend.Run) { r.Status = extend.StatusProcessing }), "no such run": missing,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			d.record(processed(`{"n": 1}`), false, ledger.Stored)
			d.answers = []any{stale, stale, processed(`{"n": 2}`), processed(`{"n": 2}`)}
			d.record(processed(`{"n": 2}`), false, ledger.Later)
			d.at = d.at.Add(time.Minute)
			d.record(processed(`{"n": 2}`), false, ledger.Later)
			d.at = d.at.Add(time.Minute)
			d.record(processed(`{"n": 2}`), false, ledger.Stored)
			d.wantOutput(docID, `{"n": 2}`)
			d.record(processed(`{"n": 1}`), false, ledger.Unchanged) // late: Extend shows the newer one
		})
		t.Run(name+", for good", func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			d.record(processed(`{"n": 1}`), false, ledger.Stored)
			d.answers = []any{stale, stale, stale, processed(`{"n": 0}`), processed(`{"n": 0}`)}
			d.record(processed(`{"n": 0}`), false, ledger.Later)
			d.at = d.at.Add(ledger.DefaultRules.ConfirmWindow)
			d.record(processed(`{"n": 0}`), false, ledger.Unchanged)
			d.record(processed(`{"n": 0}`), false, ledger.Unchanged)
			d.wantOutput(docID, `{"n": 1}`)
			// It was newer all the same, and Extend has become able to show it.
			d.record(processed(`{"n": 0}`), false, ledger.Later)
			d.at = d.at.Add(time.Minute)
			d.record(processed(`{"n": 0}`), false, ledger.Stored)
			d.wantOutput(docID, `{"n": 0}`)
		})
	}
}

// A reviewer changes a value and changes it back: the last word is one that was stored before.
func TestAReviewThatIsTakenBack(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	one, two := processed(`{"n": 1}`), processed(`{"n": 2}`)
	d.record(one, false, ledger.Stored)
	d.answers = []any{two, one, one}
	d.record(two, false, ledger.Stored)
	d.record(one, false, ledger.Later) // a replica that is behind would show the same
	d.wantOutput(docID, `{"n": 2}`)
	d.at = d.at.Add(time.Minute)
	d.record(one, false, ledger.Stored)
	d.wantOutput(docID, `{"n": 1}`)
}

// A replica that is behind by two contents does not bring the first one back.
func TestAStaleAnswerOfAContentBefore(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.record(processed(`{"n": 1}`), false, ledger.Stored)
	d.answers = []any{processed(`{"n": 2}`), processed(`{"n": 1}`), processed(`{"n": 3}`)}
	d.record(processed(`{"n": 2}`), false, ledger.Stored)
	d.record(processed(`{"n": 3}`), false, ledger.Later)
	d.wantOutput(docID, `{"n": 2}`)
	d.record(processed(`{"n": 3}`), false, ledger.Stored)
	d.wantOutput(docID, `{"n": 3}`)
}

// A run that the ledger knows is its document's, and a tag that says another is an alarm.
func TestAKnownRunWhateverItsTagSays(t *testing.T) {
	t.Parallel()
	tag := func(edit func(map[string]any)) json.RawMessage {
		m := documenttest.Tag(stack, source, 1).Metadata()
		edit(m)
		text, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	whole := func(s document.Source) json.RawMessage {
		text, err := json.Marshal(documenttest.Tag(stack, s, 1).Metadata())
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	other := source
	other.Key = "in/b.pdf"
	for name, c := range map[string]struct {
		metadata json.RawMessage
		alarm    bool
	}{
		"our stack in another spelling": {tag(func(m map[string]any) { m["stack"] = "123456789012&#x2F;EU-WEST-1/intake" }), false},
		"another stack":                 {tag(func(m map[string]any) { m["stack"], m["signature"] = "123456789012/eu-west-1/other", "" }), true},
		"another document":              {tag(func(m map[string]any) { m["documentId"] = "doc_aaaaaaaaaaaaaaaaaaaaaaaaaa" }), true},
		"another document's, signed":    {whole(other), true},
		"a key in another form":         {tag(func(m map[string]any) { m["key"] = "in/A.pdf" }), false},
		"none":                          {nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, fetched := range []bool{false, true} {
				d := newDesk(t)
				d.submitted()
				before, err := d.find(t.Context(), docID)
				if err != nil {
					t.Fatal(err)
				}
				run := with(processed(`{"n": 1}`), func(r *extend.Run) { r.Metadata = c.metadata })
				r, err := d.Delivered(t.Context(), run)
				if fetched {
					d = newDesk(t)
					d.submitted()
					r, err = d.Fetched(t.Context(), run, before)
				}
				if err != nil || r.Verdict != ledger.Stored || r.DocumentID != docID || (counted(t, r)["TagMismatches"] == 1.0) != c.alarm {
					t.Errorf("fetched %v: %+v, %v", fetched, r, err)
				}
				d.wantOutput(docID, `{"n": 1}`)
			}
		})
	}
}

// PROCESSED without a result may be a read that came too early.
func TestProcessedWithoutAResult(t *testing.T) {
	t.Parallel()
	for name, none := range map[string]json.RawMessage{"absent": nil, "null": json.RawMessage("null"), "{}": json.RawMessage(" { } ")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			empty := with(processed(``), func(r *extend.Run) { r.Output = none })
			d := newDesk(t)
			d.submitted()
			d.answers = []any{empty, processed(`{"n": 1}`)}
			d.record(empty, false, ledger.Later)
			d.record(empty, false, ledger.Stored)
			d.wantOutput(docID, `{"n": 1}`)
		})
	}
	d := newDesk(t)
	d.submitted()
	empty := processed(`null`)
	d.record(empty, true, ledger.Later)
	d.at = d.at.Add(time.Minute)
	d.record(empty, true, ledger.Stored) // it is so
	d.wantOutput(docID, `null`)
}

// A run is a document's if its tag, its file's name or the ledger says so.
func TestTagInAnySpelling(t *testing.T) {
	t.Parallel()
	named := func(name string) func(*extend.Run) {
		return func(r *extend.Run) {
			r.Metadata = nil
			r.Files = json.RawMessage(`[{"object":"file","id":"file_1","name":"` + name + `"}]`)
		}
	}
	tag := func(old, new string) func(*extend.Run) {
		return func(r *extend.Run) { r.Metadata = json.RawMessage(strings.Replace(string(r.Metadata), old, new, 1)) }
	}
	for name, c := range map[string]struct {
		edit func(*extend.Run)
		of   string
	}{
		"attempt as 1.0":                {tag(`"attempt":1`, `"attempt":1.0`), docID},
		"attempt as text":               {tag(`"attempt":1`, `"attempt":"1"`), docID},
		"the key in another form":       {tag(`"key":"`, `"key":"u\u0308`), docID},
		"no tag, but our token":         {named(source.FileName(1, "")), docID},
		"no tag and no name, but known": {func(r *extend.Run) { r.Metadata = nil }, docID},
		"null for a tag, but known":     {func(r *extend.Run) { r.Metadata = json.RawMessage("null") }, docID},
		"a tag that can't be read":      {func(r *extend.Run) { r.Metadata = json.RawMessage(`{"stack":{}}`) }, docID},
		"a token nobody knows":          {func(r *extend.Run) { named("a.doc_aaaaaaaaaaaaaaaaaaaaaaaaaa-1.pdf")(r); r.ID = "dpr_other" }, "dpr_other"},
		"a stranger":                    {func(r *extend.Run) { r.Metadata = nil; r.ID = "dpr_other" }, "dpr_other"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			d.submitted()
			if r := d.record(with(processed(`{"n": 1}`), c.edit), false, ledger.Stored); r.DocumentID != c.of {
				t.Errorf("document %s, want %s", r.DocumentID, c.of)
			}
		})
	}
	t.Run("a tag of a document that nobody knows, and not of its object", func(t *testing.T) {
		t.Parallel()
		d := newDesk(t)
		r := d.record(with(processed(`{"n": 1}`), tag(`"key":"`, `"key":"x`)), false, ledger.TagMismatch)
		if r.Record != nil {
			t.Errorf("%+v", r)
		}
		d.wantNone(docID)
		d.wantNone("dpr_1")
	})
	t.Run("a tag of an attempt that was never begun", func(t *testing.T) {
		t.Parallel()
		d := newDesk(t)
		d.submitted()
		r := d.record(with(processed(`{"n": 1}`), func(r *extend.Run) { tag(`"attempt":1`, `"attempt":2`)(r); r.ID = "dpr_forged" }), false, ledger.TagMismatch)
		if r.Record.State != ledger.Processing || r.Record.RunID != "dpr_1" {
			t.Errorf("%+v", r.Record)
		}
	})
}

func TestOtherContentIsAskedAbout(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.record(processed(`{"n": 1}`), false, ledger.Stored)
	d.answers = []any{processed(`{"n": 1}`), processed(`{"n": 3}`), errors.New("down")}

	d.record(processed(`{"n": 2}`), false, ledger.Later) // older, or newer than what Extend shows: it has to come again
	d.wantOutput(docID, `{"n": 1}`)

	r := d.record(processed(`{"n": 2}`), false, ledger.Later) // what Extend says now
	d.wantOutput(docID, `{"n": 3}`)
	if r.Record.Revision != 2 {
		t.Errorf("revision %d", r.Record.Revision)
	}
	if _, err := d.Delivered(t.Context(), processed(`{"n": 4}`)); err == nil {
		t.Error("no error, so Extend would not repeat the delivery")
	}
	d.wantOutput(docID, `{"n": 3}`)
}

func TestATransientFailureIsRequeued(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.submitted()
	failed := with(processed(``), func(r *extend.Run) {
		r.Status, r.Output, r.FailureReason, r.FailureMessage = extend.StatusFailed, json.RawMessage(`{}`), "INTERNAL_ERROR", "Sorry."
	})
	var requeued []document.Source
	var failure error
	d.Requeue = func(_ context.Context, s document.Source) error {
		// The ledger first, then the message: one that is faster would find the document as it was.
		if rec, err := d.Ledger.Get(t.Context(), docID); err != nil || rec.State != ledger.Waiting || rec.Attempt != 2 {
			t.Errorf("record %+v, %v", rec, err)
		}
		requeued = append(requeued, s)
		return failure
	}
	failure = errors.New("no queue")
	if _, err := d.Delivered(t.Context(), failed); !errors.Is(err, failure) {
		t.Errorf("error %v", err)
	}
	failure = nil
	r := d.record(failed, false, ledger.Resubmit)
	if r.Record.Attempt != 2 || r.Record.State != ledger.Waiting || len(r.Record.Runs) != 1 {
		t.Errorf("record %+v", r.Record)
	}
	if want := []document.Source{source, source}; !slices.Equal(requeued, want) {
		t.Errorf("requeued %v", requeued)
	}
}

func TestDigest(t *testing.T) {
	t.Parallel()
	outcome := func(output string) ledger.RunEnded {
		o, err := ledger.NewOutput(json.RawMessage(output))
		if err != nil {
			t.Fatal(err)
		}
		return ledger.RunEnded{State: ledger.Processed, Type: "EXTRACT", Output: o}
	}
	base := outcome(`{"a": [1.50, "x"], "b": {"c": null}}`)
	of := func(o ledger.RunEnded) string {
		t.Helper()
		d, err := digest(o)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	for name, same := range map[string]ledger.RunEnded{
		"spacing": outcome("{\"a\":[1.50,\n\t\"x\"],\"b\":{\"c\":null}}"),
		"order":   outcome(`{"b": {"c": null}, "a": [1.50, "x"]}`),
		"escapes": outcome(`{"\u0061": [1.50, "\u0078"], "b": {"c": null}}`),
		// These say how we came to know of it, not what it is.
		"run URL":   func() ledger.RunEnded { o := base; o.RunURL = "u"; return o }(),
		"confirmed": func() ledger.RunEnded { o := base; o.Fetched, o.AsOf = true, 7; return o }(),
		"credits":   func() ledger.RunEnded { o := base; o.Credits = "3"; return o }(),
	} {
		if of(same) != of(base) {
			t.Errorf("%s: another digest", name)
		}
	}
	ballast := strings.Repeat("x", 2<<20) // from a megabyte on the order of names counts, and spacing still does not
	if of(outcome(`{"b": "`+ballast+`", "a": 1}`)) != of(outcome(`{"b":"`+ballast+`","a":1}`)) {
		t.Error("spacing of a large output: another digest")
	}
	edit := func(f func(*ledger.RunEnded)) ledger.RunEnded { o := base; f(&o); return o }
	seen := map[string]string{of(base): "base"}
	for name, other := range map[string]ledger.RunEnded{
		"a value":             outcome(`{"a": [1.51, "x"], "b": {"c": null}}`),
		"a digit beyond 2^53": outcome(`{"a": [9007199254740993, "x"], "b": {"c": null}}`),
		"and the next":        outcome(`{"a": [9007199254740992, "x"], "b": {"c": null}}`),
		"a number's spelling": outcome(`{"a": [1.5, "x"], "b": {"c": null}}`),
		"order of a list":     outcome(`{"a": ["x", 1.50], "b": {"c": null}}`),
		"absent, not null":    outcome(`{"a": [1.50, "x"], "b": {}}`),
		"text, not a number":  outcome(`{"a": ["1.50", "x"], "b": {"c": null}}`),
		"null":                outcome(`null`),
		"no output":           edit(func(o *ledger.RunEnded) { o.Output = nil; o.State = ledger.Failed }),
		"reviewed":            edit(func(o *ledger.RunEnded) { o.Reviewed = true }),
		"edited":              edit(func(o *ledger.RunEnded) { o.Edited = true }),
		"state":               edit(func(o *ledger.RunEnded) { o.State = ledger.Cancelled }),
		"reason":              edit(func(o *ledger.RunEnded) { o.FailureReason = "x" }),
		"message":             edit(func(o *ledger.RunEnded) { o.FailureMessage = "x" }),
	} {
		d := of(other)
		if twin, ok := seen[d]; ok {
			t.Errorf("%s has the digest of %s", name, twin)
		}
		seen[d] = name
	}
	if _, err := ledger.NewOutput(json.RawMessage(`{`)); err == nil {
		t.Error("not JSON, and no error")
	}
	for d := range seen {
		if len(d) != 64 {
			t.Errorf("digest %q", d)
		}
	}
}

// counted is what a Result's metrics add up to, by name; a dimension's value follows
// the name.
func counted(t *testing.T, r Result) map[string]any {
	t.Helper()
	var out bytes.Buffer
	slog.New(metric.NewHandler(slog.NewJSONHandler(&out, nil), stack)).With(r.Metrics...).Info("m")
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatal(err)
	}
	maps.DeleteFunc(line, func(name string, _ any) bool {
		return name != "Reason" && !slices.ContainsFunc(metric.All, func(m metric.Metric) bool { return m.Name == name })
	})
	return line
}

// An end counts once, whoever brings it and however often.
func TestAnEndIsCountedOnce(t *testing.T) {
	t.Parallel()
	uploaded := source
	uploaded.UploadedAt = start.Add(-90 * time.Second)
	type step struct {
		run       *extend.Run
		asked     bool // by our own GET; else it was delivered
		verdict   ledger.Verdict
		want      map[string]any
		reprocess bool // after it, somebody asks for a reprocess
	}
	failed := func(reason string) *extend.Run {
		return with(processed(`{"n": 0}`), func(r *extend.Run) { r.Status, r.FailureReason = extend.StatusFailed, reason })
	}
	second := func(run *extend.Run) *extend.Run {
		run.ID = "dpr_2"
		run.Metadata, _ = json.Marshal(documenttest.Tag(stack, source, 2).Metadata())
		return run
	}
	done := map[string]any{"Processed": 1.0, "SecondsToOutput": 90.0, "Credits": 1.5}
	none := map[string]any{}
	for name, all := range map[string][]step{
		"processed, delivered twice": {{run: processed(`{"n": 1}`), verdict: ledger.Stored, want: done}, {run: processed(`{"n": 1}`), verdict: ledger.Unchanged, want: none}},
		"processed, fetched":         {{run: processed(`{"n": 1}`), asked: true, verdict: ledger.Stored, want: done}},
		"without credits": {{run: with(processed(`{"n": 0}`), func(r *extend.Run) { r.Usage = nil }), verdict: ledger.Stored,
			want: map[string]any{"Processed": 1.0, "SecondsToOutput": 90.0}}},
		"a review": {{run: processed(`{"n": 1}`), verdict: ledger.Stored, want: done}, {run: processed(`{"n": 2}`), verdict: ledger.Stored, want: none}},
		"cancelled": {{run: with(processed(`{"n": 0}`), func(r *extend.Run) { r.Status, r.Usage = extend.StatusCancelled, nil }), asked: true, verdict: ledger.Stored,
			want: map[string]any{"Cancelled": 1.0}}},
		"failed for good": {{run: failed("ABORTED"), verdict: ledger.Stored, want: map[string]any{"Failed": 1.0, "Reason": "ABORTED", "Credits": 1.5}},
			{run: failed("ABORTED"), verdict: ledger.Unchanged, want: none}},
		"failed, and processed by the next attempt": {{run: failed("INTERNAL_ERROR"), verdict: ledger.Resubmit, want: map[string]any{"Failed": 1.0, "Reason": "INTERNAL_ERROR", "Credits": 1.5}},
			{run: failed("INTERNAL_ERROR"), verdict: ledger.Resubmit, want: none},
			{run: second(processed(`{"n": 0}`)), verdict: ledger.Stored, want: done}},
		"reprocessed": {{run: processed(`{"n": 1}`), verdict: ledger.Stored, want: done, reprocess: true},
			{run: processed(`{"n": 1}`), verdict: ledger.Resubmit, want: none}, {run: processed(`{"n": 1}`), verdict: ledger.Resubmit, want: none},
			{run: second(processed(`{"n": 2}`)), verdict: ledger.Stored, want: map[string]any{"Processed": 1.0, "Credits": 1.5}}},
		"a duplicate run": {{run: processed(`{"n": 0}`), verdict: ledger.Stored, want: done},
			{run: with(processed(`{"n": 0}`), func(r *extend.Run) { r.ID = "dpr_twin" }), verdict: ledger.DuplicateRun, want: map[string]any{"DuplicateRun": 1.0, "Credits": 1.5}},
			{run: with(processed(`{"n": 0}`), func(r *extend.Run) { r.ID = "dpr_twin" }), verdict: ledger.EarlierAttempt, want: none}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			d.Requeue = func(context.Context, document.Source) error { return nil }
			apply := func(f ledger.Fact) {
				t.Helper()
				if _, err := d.Ledger.Apply(t.Context(), docID, f); err != nil {
					t.Fatal(err)
				}
			}
			apply(ledger.Claim{Source: uploaded, Route: "default"})
			for i, n := range all {
				if n.run.ID == "dpr_2" {
					apply(ledger.Claim{Source: uploaded, Route: "default"})
				}
				d.asked, d.answers = nil, []any{n.run} // if it must be confirmed, Extend says the same
				r := d.record(n.run, n.asked, n.verdict)
				if ended := len(n.want) > 0 && n.want["DuplicateRun"] == nil; r.Ended != ended {
					t.Errorf("step %d: ended %v, want %v", i+1, r.Ended, ended)
				}
				if diff := cmp.Diff(n.want, counted(t, r)); diff != "" {
					t.Errorf("step %d (-want +got):\n%s", i+1, diff)
				}
				if n.reprocess {
					apply(ledger.Reprocess{Attempt: 2, Reason: "asked for", Bucket: source.Bucket})
				}
			}
		})
	}
}

func TestAFailureIsCountedThoughItIsNotRequeued(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.submitted()
	d.Requeue = func(context.Context, document.Source) error { return errors.New("no queue") }
	r, err := d.Delivered(t.Context(), with(processed(`{"n": 0}`), func(r *extend.Run) { r.Status, r.FailureReason = extend.StatusFailed, "INTERNAL_ERROR" }))
	if err == nil {
		t.Error("no error, so Extend would not repeat the delivery")
	}
	if got := counted(t, r); got["Failed"] != 1.0 || r.DocumentID != docID {
		t.Errorf("counted %v of %q", got, r.DocumentID)
	}
}

// A delivery that has not the content itself is told from a repetition by its bytes: one that
// Extend shows nothing new for comes again, for its answer may be a replica's that is behind.
func TestADeliveryWithoutItsContent(t *testing.T) {
	t.Parallel()
	told := func(d *desk, n, delivery string, want ledger.Verdict) {
		t.Helper()
		result, err := d.Told(t.Context(), processed(`{"n": `+n+`}`), []byte(delivery))
		if err != nil || result.Verdict != want {
			t.Errorf("delivery %s, content %s: %q, %v; want %q", delivery, n, result.Verdict, err, want)
		}
	}
	d := newDesk(t)
	told(d, "1", "first", ledger.Stored)
	told(d, "1", "first", ledger.Unchanged)
	told(d, "1", "of a review", ledger.Later) // the replica is behind
	d.wantOutput(docID, `{"n": 1}`)
	d.answers = []any{processed(`{"n": 2}`)}
	told(d, "2", "of a review", ledger.Stored)
	d.wantOutput(docID, `{"n": 2}`)
	told(d, "2", "of a review", ledger.Unchanged)
	told(d, "2", "of nothing new", ledger.Later)
	d.at = d.at.Add(ledger.DefaultRules.ConfirmWindow)
	told(d, "2", "of nothing new", ledger.Unchanged)
}

func TestSaysNothing(t *testing.T) {
	t.Parallel()
	for output, want := range map[string]bool{
		"": true, "null": true, " { } ": true, "[]": true, `""`: true, "false": true, `{"value": null}`: true, `{"value":{},"metadata":{}}`: true, `{"value": []}`: true,
		`{"metadata":{},"value":null}`: true, `{"value":{},"metadata":[]}`: true, `{"value":false,"warnings":null}`: true,
		`{"splits":[]}`: true, `{"splits":null,"isExternal":false}`: true, `{"id":"","type":"","confidence":0,"insights":[]}`: true, `{"type":null}`: true,
		`{"splits":[{}]}`: false, `{"splits":[],"isExternal":true}`: false, `{"id":"a","type":"","confidence":0}`: false, `{"id":"","type":"invoice"}`: false, `{"confidence":0}`: false,
		`{"total":null}`: false, `{"value":`: false, "{\"value\":null,\"metadata\":\"" + strings.Repeat(" ", 500) + "\"}": false,
		"0": false, "true": false, `{"value":0}`: false, `{"value":{"a":null}}`: false, `{"values":{}}`: false, `[{}]`: false, `"a"`: false, `{"value":{},"metadata":{"a":1}}`: false,
	} {
		if got := saysNothing([]byte(output)); got != want {
			t.Errorf("%s: %t", output, got)
		}
	}
}
