package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.yaml.in/yaml/v3"
	"pgregory.net/rapid"

	"extend-intake/dev/stack/emulator"
	"extend-intake/shared/document"
)

// onTables runs a test on every DynamoDB-compatible server that this machine has,
// against the table as template.yaml describes it.
func onTables(t *testing.T, test func(t *testing.T, client *dynamodb.Client, table string)) {
	if testing.Short() {
		t.Skip("-short: starts servers")
	}
	for name, start := range map[string]func(context.Context, string) (*emulator.Server, error){
		"ministack": emulator.StartMiniStack, "dynoxide": emulator.StartDynoxide,
	} {
		t.Run(name, func(t *testing.T) {
			server, err := start(t.Context(), t.TempDir())
			if errors.Is(err, emulator.ErrNotInstalled) && name != "ministack" {
				t.Skip(err)
			}
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(server.Stop)
			client := dynamodb.NewFromConfig(emulator.AWSConfig(server.URL))
			if _, err := client.CreateTable(t.Context(), tableOfTemplate(t)); err != nil {
				t.Fatal(err)
			}
			test(t, client, "documents")
		})
	}
}

// tableOfTemplate is DocumentsTable of template.yaml: its keys and indexes.
func tableOfTemplate(t *testing.T) *dynamodb.CreateTableInput {
	text, err := os.ReadFile("../../template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var template struct {
		Resources map[string]struct {
			Properties yaml.Node `yaml:"Properties"`
		} `yaml:"Resources"`
	}
	if err := yaml.Unmarshal(text, &template); err != nil {
		t.Fatal(err)
	}
	node := template.Resources["DocumentsTable"].Properties
	var properties map[string]any
	if err := node.Decode(&properties); err != nil {
		t.Fatal(err)
	}
	kept := map[string]any{"TableName": "documents"}
	for _, name := range []string{"BillingMode", "AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes"} {
		kept[name] = properties[name]
	}
	text, err = json.Marshal(kept)
	if err != nil {
		t.Fatal(err)
	}
	var in dynamodb.CreateTableInput
	if err := json.Unmarshal(text, &in); err != nil {
		t.Fatal(err)
	}
	if len(in.GlobalSecondaryIndexes) != 3 || len(in.KeySchema) != 1 {
		t.Fatalf("DocumentsTable has %d indexes", len(in.GlobalSecondaryIndexes))
	}
	return &in
}

// TestTableAndMemoryAgree drives the real table and the model with the same
// operations and compares every answer: what simulations prove on the model then
// holds for the table.
func TestTableAndMemoryAgree(t *testing.T) {
	onTables(t, func(t *testing.T, client *dynamodb.Client, table string) {
		round := 0
		rapid.Check(t, func(rt *rapid.T) {
			round++
			now := t0
			clock := func() time.Time { return now }
			real, model := New(client, table, rules, clock), NewMemory(rules, clock)
			ctx := context.Background()
			// New documents each round: the table is not emptied.
			docs := make([]document.Source, 2)
			for i := range docs {
				docs[i] = document.Source{Bucket: "in", Key: fmt.Sprintf("ü %d/%d", round, i), VersionID: "v", ETag: "e", Size: 7, Sequencer: "0A"}
			}
			run := func() string { return fmt.Sprintf("dpr_%d_%d", round, rapid.IntRange(1, 3).Draw(rt, "run")) }
			for step := range rapid.IntRange(1, 12).Draw(rt, "steps") {
				now = now.Add(rapid.SampledFrom([]time.Duration{0, time.Millisecond, time.Minute, 4 * time.Minute, 11 * time.Minute}).Draw(rt, "wait"))
				s := rapid.SampledFrom(docs).Draw(rt, "document")
				s.Sequencer = rapid.SampledFrom([]string{"0A", "0B"}).Draw(rt, "sequencer")
				n := rapid.IntRange(1, 2).Draw(rt, "number")
				f := rapid.SampledFrom([]Fact{
					Claim{Source: s, Route: "default", ProcessorID: "dp_1", Version: "latest", TagSigned: rapid.Bool().Draw(rt, "signed claim"), By: fmt.Sprint(step)},
					Accepted{Attempt: n, RunID: run(), RunURL: "u"},
					NotAccepted{ClaimNumber: int64(n), Reason: "429", Until: now.Add(time.Minute)},
					OutcomeUnknown{ClaimNumber: int64(n)},
					Refusal{ClaimNumber: int64(n), Code: "INVALID_REQUEST", Message: "m", RequestID: "req_1"},
					NotFound{Attempt: n, SearchedAt: now}, SearchFailed{Attempt: n, Code: "NO_ANSWER", Message: "500"},
					RunEnded{Source: s, Signed: rapid.Bool().Draw(rt, "signed"), Attempt: n, RunID: run(), State: Processed, Output: output(`{"a":[1.50,"ü",null]}`), Digest: rapid.SampledFrom([]string{"d1", "d2"}).Draw(rt, "digest"), Fetched: rapid.Bool().Draw(rt, "fetched"), AsOf: int64(rapid.IntRange(0, 5).Draw(rt, "as of")), Credits: "1.5"},
					RunEnded{Source: s, Signed: rapid.Bool().Draw(rt, "signed"), Attempt: n, RunID: run(), State: Processed, OutputLocation: "s3://results/x", Digest: "d3", Fetched: true, AsOf: 2},
					RunEnded{Source: s, Signed: rapid.Bool().Draw(rt, "signed"), Attempt: n, RunID: run(), State: Failed, FailureReason: rapid.SampledFrom([]string{"INTERNAL_ERROR", "ABORTED"}).Draw(rt, "reason"), Digest: "f"},
					Refusal{ClaimNumber: int64(n), Code: "OBJECT_GONE", Message: "m"}, Skip{ClaimNumber: int64(n), Code: "SAME_CONTENT", DuplicateOf: docs[0].DocumentID()},
					Copied{Sequencer: "0C", DocumentID: docs[1].DocumentID()},
					RunMissing{RunID: run()}, StillRunning{RunID: run()}, Reprocess{Bucket: "in", Attempt: n + 1, Reason: "asked for"}, Requeued{},
					Withdraw{Attempt: n, Reason: "asked for"}, Announce{Revision: n},
				}).Draw(rt, "fact")
				got, gotErr := real.Apply(ctx, s.DocumentID(), f)
				want, wantErr := model.Apply(ctx, s.DocumentID(), f)
				if gotErr != nil || wantErr != nil {
					rt.Fatalf("%T: table: %v, model: %v", f, gotErr, wantErr)
				}
				if d := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Record{})); d != "" {
					rt.Fatalf("%T: the table answers otherwise (+) than the model (-):\n%s", f, d)
				}
			}
			compare(rt, real, model, docs, round)
		})
	})
}

// compare asks both everything that can be asked.
func compare(t *rapid.T, real, model *Ledger, docs []document.Source, round int) {
	ctx := context.Background()
	same := func(what string, a, b any, errA, errB error) {
		if d := cmp.Diff(b, a, cmpopts.IgnoreUnexported(Record{})); d != "" || errors.Is(errA, ErrNotFound) != errors.Is(errB, ErrNotFound) || (errA == nil) != (errB == nil) {
			t.Fatalf("%s: table %v, model %v\n%s", what, errA, errB, d)
		}
	}
	for _, s := range docs {
		a, errA := real.Get(ctx, s.DocumentID())
		b, errB := model.Get(ctx, s.DocumentID())
		same("get", a, b, errA, errB)
		a, errA = real.Newest(ctx, s.Object())
		b, errB = model.Newest(ctx, s.Object())
		same("newest", a, b, errA, errB)
		x, errA := real.Output(ctx, s.DocumentID())
		y, errB := model.Output(ctx, s.DocumentID())
		if (x == nil) != (y == nil) || x != nil && !sameValue(string(x), string(y)) {
			t.Fatalf("output: table %s, model %s", x, y)
		}
		same("output", nil, nil, errA, errB)
	}
	for i := range 3 {
		run := fmt.Sprintf("dpr_%d_%d", round, i+1)
		_, errA := real.ByRun(ctx, run)
		_, errB := model.ByRun(ctx, run)
		same("by run", nil, nil, errA, errB)
	}
	for _, state := range states {
		// Other rounds are in the table too, so it has at least as many.
		a, errA := real.Count(ctx, state, t0.Add(1000*time.Hour))
		b, errB := model.Count(ctx, state, t0.Add(1000*time.Hour))
		if errA != nil || errB != nil || a < b || round == 1 && a != b {
			t.Fatalf("count %s: table %d, %v; model %d, %v", state, a, errA, b, errB)
		}
	}
	mine := func(l *Ledger) (ids []string) {
		for _, state := range states {
			for rec, err := range l.InState(ctx, state, t0.Add(1000*time.Hour)) {
				if err != nil {
					t.Fatal(err)
				}
				if strings.HasPrefix(rec.Key, fmt.Sprintf("ü %d/", round)) {
					ids = append(ids, string(state)+" "+rec.DocumentID)
				}
			}
		}
		return ids
	}
	if round%10 == 1 { // all rounds are in the table: now and then is enough
		a, b := mine(real), mine(model)
		if len(a) != len(b) {
			t.Fatalf("in state: table %v, model %v", a, b)
		}
	}
}

func sameValue(a, b string) bool {
	var x, y any
	return json.Unmarshal([]byte(a), &x) == nil && json.Unmarshal([]byte(b), &y) == nil && cmp.Equal(x, y)
}

// TestOutputAndLocation: a record has its output or the location of it, never both.
func TestOutputAndLocation(t *testing.T) {
	onTables(t, func(t *testing.T, client *dynamodb.Client, table string) {
		for name, l := range map[string]*Ledger{"table": New(client, table, rules, time.Now), "memory": NewMemory(rules, time.Now)} {
			s := document.Source{Bucket: "in", Key: name + ".pdf", ETag: "e"}
			id := s.DocumentID()
			var version int64
			for i, step := range []struct{ inline, location string }{
				{`{"n":1}`, ""}, {"", "s3://results/1"}, {"", "s3://results/2"}, {`{"n":2}`, ""}, {`{"n":3}`, ""}, {"", "s3://results/3"},
			} {
				f := RunEnded{Source: s, Signed: true, Attempt: 1, RunID: "dpr_1", State: Processed, OutputLocation: step.location, Digest: fmt.Sprint(i), Fetched: true, AsOf: version}
				if step.inline != "" {
					f.Output = output(step.inline)
				}
				d, err := l.Apply(t.Context(), id, f)
				if err != nil || d.Verdict != Stored {
					t.Fatalf("%s, step %d: %q, %v", name, i, d.Verdict, err)
				}
				version = d.Record.Version
				rec, err := l.Get(t.Context(), id)
				text, err2 := l.Output(t.Context(), id)
				if err := errors.Join(err, err2); err != nil {
					t.Fatal(err)
				}
				if string(text) != step.inline || rec.OutputLocation != step.location {
					t.Errorf("%s, step %d: output %q, location %q, want %q, %q", name, i, text, rec.OutputLocation, step.inline, step.location)
				}
				if name == "table" { // a consumer of the stream reads the item as it is
					item := read(t, client, table, id)
					_, inline := item["output"]
					_, located := item["outputLocation"]
					if inline != (step.inline != "") || located != (step.location != "") {
						t.Errorf("step %d: the item has output: %v, outputLocation: %v", i, inline, located)
					}
				}
			}
		}
	})
}

// TestOneClaimIsGranted lets many claim at once: one of them may POST.
func TestOneClaimIsGranted(t *testing.T) {
	onTables(t, func(t *testing.T, client *dynamodb.Client, table string) {
		for name, l := range map[string]*Ledger{
			"table":  New(client, table, rules, time.Now),
			"memory": NewMemory(rules, time.Now),
		} {
			for i := range 10 {
				s := document.Source{Bucket: "in", Key: fmt.Sprintf("%s/%d", t.Name(), i), ETag: "e"}
				var granted atomic.Int32
				var all sync.WaitGroup
				for range 8 {
					all.Go(func() {
						d, err := l.Apply(context.Background(), s.DocumentID(), Claim{Source: s, ProcessorID: "dp_1"})
						if err != nil {
							t.Error(err)
						}
						if d.Verdict == Claimed {
							granted.Add(1)
						}
					})
				}
				all.Wait()
				if granted.Load() != 1 {
					t.Errorf("%s: %d claims granted", name, granted.Load())
				}
			}
		}
	})
}

// TestAClaimerKnowsItsOwnClaim: a write that was done but not answered is repeated by
// the SDK, and then fails its own condition.
func TestAClaimerKnowsItsOwnClaim(t *testing.T) {
	t.Parallel()
	l := NewMemory(rules, time.Now)
	lost := l.Through(rules, time.Now, func(ctx context.Context, a Access, do func(context.Context) error) error {
		if err := do(ctx); err != nil || a.Op != "write" {
			return err
		}
		return do(ctx) // once more: now it is in conflict with itself
	})
	if d, err := lost.Apply(t.Context(), src.DocumentID(), claim); err != nil || d.Verdict != Claimed {
		t.Errorf("%v, %v; want it granted", d.Verdict, err)
	}
	if d, err := lost.Apply(t.Context(), src.DocumentID(), claim); err != nil || d.Verdict != Leased {
		t.Errorf("%v, %v; want another claim to meet the lease", d.Verdict, err)
	}
}

// TestStrangeItems: an item written by hand or by a newer version is named, left
// as it is, and disturbs no other.
func TestStrangeItems(t *testing.T) {
	onTables(t, func(t *testing.T, client *dynamodb.Client, table string) {
		l := New(client, table, rules, func() time.Time { return t0 })
		put := func(id string, edit func(map[string]types.AttributeValue)) map[string]types.AttributeValue {
			item := map[string]types.AttributeValue{
				"documentId": &types.AttributeValueMemberS{Value: id}, "state": &types.AttributeValueMemberS{Value: "WAITING"},
				"nextCheckAt": &types.AttributeValueMemberS{Value: "2026-01-01T00:00:00.000Z"}, "stateTime": &types.AttributeValueMemberS{Value: "2026-01-01T00:00:00.000Z"}, "attempt": &types.AttributeValueMemberN{Value: "1"},
				"recordVersion": &types.AttributeValueMemberN{Value: "1"}, "revision": &types.AttributeValueMemberN{Value: "0"},
				"note": &types.AttributeValueMemberS{Value: "by hand"},
			}
			edit(item)
			if _, err := client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &table, Item: item}); err != nil {
				t.Fatal(err)
			}
			return item
		}
		good := put("doc_good", func(map[string]types.AttributeValue) {})
		for id, want := range map[string]struct {
			edit func(map[string]types.AttributeValue)
			text string
		}{
			"doc_type":  {func(m map[string]types.AttributeValue) { m["attempt"] = &types.AttributeValueMemberS{Value: "one"} }, `attribute "attempt"`},
			"doc_time":  {func(m map[string]types.AttributeValue) { m["leaseUntil"] = &types.AttributeValueMemberS{Value: "soon"} }, `attribute "leaseUntil"`},
			"doc_gone":  {func(m map[string]types.AttributeValue) { delete(m, "recordVersion") }, "recordVersion is missing"},
			"doc_later": {func(m map[string]types.AttributeValue) { m["state"] = &types.AttributeValueMemberS{Value: "ARCHIVED"} }, `"ARCHIVED" is unknown`},
		} {
			item := put(id, want.edit)
			_, err := l.Apply(t.Context(), id, Requeued{})
			if !errors.Is(err, ErrRecord) || !strings.Contains(err.Error(), want.text) || !strings.Contains(err.Error(), id) {
				t.Errorf("%s: %v, want ErrRecord with %q", id, err, want.text)
			}
			if _, err := l.Get(t.Context(), id); !errors.Is(err, ErrRecord) {
				t.Errorf("%s: get: %v", id, err)
			}
			if d := cmp.Diff(item, read(t, client, table, id), attributes); d != "" {
				t.Errorf("%s was changed:\n%s", id, d)
			}
		}
		var seen, errs int
		for rec, err := range l.InState(t.Context(), Waiting, t0) {
			if err != nil {
				errs++
			} else if rec.DocumentID == "doc_good" {
				seen++
			}
		}
		if seen != 1 || errs != 3 {
			t.Errorf("in state WAITING: %d good ones, %d errors; want 1 and 3", seen, errs)
		}
		if _, err := l.Apply(t.Context(), "doc_good", Requeued{}); err != nil {
			t.Error(err)
		}
		if got := read(t, client, table, "doc_good"); !cmp.Equal(good["note"], got["note"], attributes) {
			t.Error("an attribute that somebody added is gone")
		}
	})
}

var attributes = cmp.AllowUnexported(types.AttributeValueMemberS{}, types.AttributeValueMemberN{})

func read(t *testing.T, client *dynamodb.Client, table, id string) map[string]types.AttributeValue {
	out, err := client.GetItem(t.Context(), &dynamodb.GetItemInput{
		TableName: &table, Key: map[string]types.AttributeValue{"documentId": &types.AttributeValueMemberS{Value: id}}, ConsistentRead: aws.Bool(true)})
	if err != nil {
		t.Fatal(err)
	}
	return out.Item
}
