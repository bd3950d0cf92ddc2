package simulation

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	mutationsFlag = flag.Bool("mutations", false, "run TestMutations, which takes minutes")
	stopFlag      = flag.Int("stop", 10, "TestSimulation ends after so many schedules that broke a promise")
)

// mutations break the product's guards, one at a time. Each edit's old text is in
// its file exactly once.
var mutations = []struct {
	name  string
	edits []edit
}{
	{"no search before a second POST", []edit{{"functions/submit/search.go",
		`found, err := a.find(ctx, rec)`,
		`found, err := []*extend.Run(nil), error(nil)`}}},
	{"drop the condition of the ledger's writes", []edit{{"shared/ledger/memory.go",
		`now, ok := m.records[next.DocumentID]
	if (old == nil) == ok || ok && now.Version != old.Version {`,
		`now, ok := m.records[next.DocumentID]
	if _ = now; ok && false {`}}},
	{"claim a document that is leased", []edit{{"shared/ledger/decide.go",
		`case rec.State == Submitting && now.Before(rec.LeaseUntil):`,
		`case rec.State == Submitting:
			r.grant(&next, f, now)
			return write(Claimed)
		case rec.State == Submitting && now.Before(rec.LeaseUntil):`}}},
	{"take a 5xx for \"not taken\"", []edit{{"functions/submit/postresult.go",
		`case s < 300, s == http.StatusRequestTimeout, s == clientClosedRequest, s >= 500:`,
		`case s < 300, s == http.StatusRequestTimeout, s == clientClosedRequest, s >= 500:
		return notAccepted(reason, disposition{after: backoff(c.receives)})
	case s == 0:`}}},
	{"trust the first search: no confirm window", []edit{{"shared/ledger/decide.go",
		`if f.SearchedAt.Before(rec.UnconfirmedSince.Add(r.ConfirmWindow)) {`,
		`if false {`}}},
	{"store a run whose tag is not signed", []edit{{"shared/ledger/transitions.go",
		`return f.Signed || rec.unsigned(f.Attempt)`,
		`return true`}}},
	{"take any signature for our own", []edit{{"shared/document/sign.go",
		`if hmac.Equal([]byte(signature), []byte(sign(key, stack, documentID, attempt))) {`,
		`if _ = sign(key, stack, documentID, attempt); true {`}}},
	{"take a found run whose tag is not signed", []edit{{"functions/submit/search.go",
		`	case rec.TagSigned:
		return copied, nil
`,
		``}}},
	{"store a run of another processor", []edit{{"shared/ledger/transitions.go",
		`case f.Attempt == rec.Attempt && rec.OtherProcessor(f.ProcessorID):`,
		`case false:`}}},
	{"store a run of an attempt that was never begun", []edit{{"shared/ledger/transitions.go",
		`case f.Attempt > rec.Attempt, f.Attempt == rec.Attempt && rec.State == Waiting && rec.SubmittedAt.IsZero():
		return false // only a claim makes an attempt: it was made up, or the table was restored
	case f.Attempt == rec.Attempt && rec.OtherProcessor(f.ProcessorID):
		return false
	}
	return f.Signed || rec.unsigned(f.Attempt)`,
		`}
	return true`}}},
	{"believe a late delivery: no question to Extend", []edit{{"shared/ledger/decide.go",
		`case !(f.Fetched && f.AsOf == rec.Version) && !rec.ours():`,
		`case false:`}}},
	{"accept any signature", []edit{{"shared/extend/webhook/webhook.go",
		`if hmac.Equal(given, mac(secret, timestamp, body)) {`,
		`if _ = mac(secret, timestamp, body); true {`}}},
	{"retry a failure for ever", []edit{{"shared/ledger/decide.go",
		`Transient(f.FailureReason) && next.Attempt < r.MaxAttempts`,
		`Transient(f.FailureReason)`}}},
	{"answer 200 to a delivery that was not stored", []edit{{"functions/webhook/handler.go",
		`if err = h.store(ctx, event, body); err == nil && named {`,
		`if _ = h.store(ctx, event, body); err == nil && named {`}}},
	{"remember a delivery that was not stored", []edit{{"functions/webhook/handler.go",
		`err == nil && named {`,
		`named {`}}},
	{"begin a document by a message of our own", []edit{{"shared/ledger/decide.go",
		`		if f.Begun {
			return Decision{Verdict: NoRecord}, nil
		}
`,
		``}}},
	// One guard alone can be dropped here: reconcile requeues the document.
	{"done with a message whose outcome is unknown, and no reconcile for it", []edit{
		{"functions/submit/postresult.go",
			`return ledger.OutcomeUnknown{ClaimNumber: claim, Shared: shared}, disposition{kind: delayed, after: firstSearch, reason: reason}`,
			`return ledger.OutcomeUnknown{ClaimNumber: claim, Shared: shared}, disposition{}`},
		{"functions/reconcile/handler.go",
			`{ledger.Unconfirmed, overdue, in.sendBack}, // a run that may have been made comes first`,
			``},
	}},
	{"take anybody's 404 for Extend's", []edit{{"functions/submit/postresult.go",
		`case !e.FromAPI:`,
		`case false:`}}},
	{"believe a run's tag only as it was sent", []edit{{"functions/submit/search.go",
		`signatures := document.Signatures(names, rec.DocumentID, rec.Attempt)`,
		`signatures := []string(nil)`}}},
	{"pay for empty files", []edit{{"functions/submit/attempt.go",
		`case object.Size == 0:`,
		`case false:`}}},
	{"pay for the same bytes again", []edit{{"functions/submit/attempt.go",
		`if err != nil || owner == a.id {`,
		`if true {`}}},
	{"answer 200 to a content that Extend does not show yet", []edit{{"functions/webhook/handler.go",
		`case result.NotShown:`,
		`case false:`}}},
	{"take what can't be read for \"no run\"", []edit{{"functions/submit/postresult.go",
		`		return unknown("outcome unknown", "outcome unknown")`,
		`		return notAccepted("outcome unknown", disposition{after: backoff(c.receives)})`}}},
	{"let transports send a POST again", []edit{{"shared/extend/request.go",
		`	req.GetBody = nil
`,
		``}}},
	{"store and log texts of Extend as they come", []edit{{"shared/clean/clean.go",
		`return shorten(cut(printable(s), true), max)`,
		`return s`}}},
	{"believe the first word that a run is missing", []edit{{"shared/ledger/decide.go",
		`if rec.MissingSince.IsZero() || now.Sub(rec.MissingSince) < r.ReconcileAfter || now.Sub(rec.SubmittedAt) < maxCheckInterval {`,
		`if false {`}}},
	{"end with a result that is not there yet", []edit{{"shared/ledger/decide.go",
		`if f.Empty && !rec.State.Terminal() &&`,
		`if false &&`}}},
	{"store an older content over a reviewed one", []edit{{"shared/ledger/decide.go",
		`case rec.newerThan(f) && !rec.ours() &&`,
		`case false &&`}}},
	{"forget a late good word of an earlier run", []edit{{"shared/ledger/decide.go",
		`case f.Attempt < rec.Attempt && f.State == Processed &&`,
		`case false &&`}}},
	{"announce what was not read on purpose", []edit{{"shared/ledger/decide.go",
		`next.DuplicateOf, next.Revision = f.DuplicateOf, rec.Revision // consumers are not told`,
		`next.DuplicateOf = f.DuplicateOf`}}},
	{"workflows: take a processor's run for the whole", []edit{
		{"shared/ledger/decide.go", `if rec.madeByStep(f) {`, `if false {`},
		{"shared/ledger/transitions.go", `return id != rec.ProcessorID && known(id) && known(rec.ProcessorID)`, `return known("") && id != rec.ProcessorID`},
	}},
	{"workflows: pay again for what is paid in part", []edit{{"shared/ledger/decide.go",
		`&& !f.Partial && rec.lateRun() < 0`,
		`&& rec.lateRun() < 0`}}},
	{"workflows: search for a lost run among those of processors", []edit{{"functions/submit/search.go",
		`workflow = rec.ProcessorID`,
		``}}},
	{"workflows: never ask about a run that waits for a person", []edit{{"functions/reconcile/handler.go",
		`{ledger.NeedsReview, in.started, in.ask}, // the last: it waits for a person`,
		``}}},
	{"workflows: go back to the question after the answer", []edit{{"shared/ledger/decide.go",
		`case f.State == NeedsReview && !rec.ours():`,
		`case f.State == NeedsReview && !rec.ours():
				next.setResult(f, now)
				return write(Stored)
			case false:`}}},
	{"publish: put two revisions of a document into one request", []edit{{"functions/publish/bus.go",
		`c.entry != nil && other.documentID == c.documentID`,
		`false`}}},
	{"publish: forget the last event of a request when the bus fails it", []edit{{"functions/publish/bus.go",
		`		default:
			failed = append(failed, c)`,
		`		default:
			if i == len(group)-1 {
				continue
			}
			failed = append(failed, c)`}}},
	{"publish: go on from the last event that the bus failed, not from the first", []edit{{"functions/publish/bus.go",
		`return failed[0], fmt.Errorf(`,
		`return failed[len(failed)-1], fmt.Errorf(`}}},
	{"publish: take a busy bus for a refusal of the event", []edit{{"functions/publish/bus.go",
		`[]string{"MalformedDetail",`,
		`[]string{"ThrottlingException", "MalformedDetail",`}}},
	{"publish: store an output under another name on each repetition", []edit{{"functions/publish/event.go",
		`"announced/"+d.ID+".json"`,
		`fmt.Sprintf("announced/%s.%p.json", d.ID, d)`}}},
}

type edit struct{ file, old, new string }

// root is the module's directory.
const root = ".."

// TestMutationsAreCurrent keeps the table above in step with the code.
func TestMutationsAreCurrent(t *testing.T) {
	t.Parallel()
	for _, m := range mutations {
		for _, e := range m.edits {
			text, err := os.ReadFile(filepath.Join(root, e.file))
			if err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(string(text), e.old); n != 1 {
				t.Errorf("%s: %s has %d times:\n%s", m.name, e.file, n, e.old)
			}
		}
	}
}

// TestMutations breaks a copy of the product in each of these ways and counts
// how many schedules it takes until the simulation finds it.
//
//	go test ./simulation -run TestMutations -mutations -v -timeout 0
//	go test ./simulation -run TestMutations/publish -mutations -v -timeout 0
func TestMutations(t *testing.T) {
	if !*mutationsFlag {
		t.Skip("it takes minutes: -mutations")
	}
	const most = 10_000
	found := regexp.MustCompile(`first violation after (\d+) schedules`)
	what := regexp.MustCompile(`seed \d+: .*`)
	for _, m := range mutations {
		t.Run(m.name, func(t *testing.T) {
			dir := copyOfModule(t)
			for _, e := range m.edits {
				path := filepath.Join(dir, e.file)
				text, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(strings.Replace(string(text), e.old, e.new, 1)), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			cmd := exec.CommandContext(t.Context(), "go", "test", "./simulation", "-run=TestSimulation", "-v", "-timeout=0",
				fmt.Sprintf("-schedules=%d", most), "-stop=1")
			cmd.Dir = dir
			output, _ := cmd.CombinedOutput() // it is meant to fail
			after := found.FindSubmatch(output)
			if after == nil {
				t.Fatalf("not found in %d schedules:\n%.2000s", most, output)
			}
			fmt.Printf("%-75s found after %4s schedules: %.150s\n", m.name, after[1], what.Find(output))
		})
	}
}

// copyOfModule copies what the simulation is built from.
func copyOfModule(t *testing.T) string {
	dir := t.TempDir()
	for _, part := range []string{"functions", "shared", "simulation", "dev"} {
		if err := os.CopyFS(filepath.Join(dir, part), os.DirFS(filepath.Join(root, part))); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile(filepath.Join(root, file))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, file), text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
