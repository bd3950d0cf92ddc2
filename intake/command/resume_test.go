package command

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"extend-intake/dev/stack"
	"extend-intake/intake/exit"
	"extend-intake/shared/document"
)

// An operation that was killed at its worst moment, after a batch was sent and before that was
// kept, and that is gone on with twice, makes one run of each document: counted at Extend.
func TestAResumedReprocessPaysNothingTwice(t *testing.T) {
	t.Parallel()
	s := theStack(t)
	state := t.TempDir()
	run := func(args ...string) (string, string, exit.Code) { return process(t, s, state, args...) }
	const n = 25
	var ids []string
	for i := range n {
		src, err := put(t.Context(), s, fmt.Sprintf("resumed/fail-ABORTED-%d.pdf", i), fmt.Append(nil, "resumed", i))
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, src.DocumentID())
	}
	for _, id := range ids {
		if err := await(t.Context(), s, id, []string{"FAILED"}); err != nil {
			t.Fatal(err)
		}
	}
	_, stderr, code := run(append([]string{"reprocess", "--yes", "--max-credits", "50", "--credits-each", "2", "--why", "resumed"}, ids...)...)
	if code != exit.Done {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	files, err := filepath.Glob(filepath.Join(state, "extend-intake", "*", "*", "op.json"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	var op map[string]any
	if err := json.Unmarshal(text, &op); err != nil || op["sent"] != 25.0 {
		t.Fatalf("%s %v", text, err)
	}
	id := op["id"].(string)
	write := func() {
		text, err := json.Marshal(op)
		if err == nil {
			err = os.WriteFile(files[0], text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}

	// A limit that can't be kept is none.
	each := op["creditsEach"]
	delete(op, "creditsEach")
	op["sent"], op["done"] = 0, false
	write()
	if _, stderr, code := run("ops", "resume", id, "--max-credits", "50"); code != exit.Usage || !strings.Contains(stderr, "--credits-each") {
		t.Errorf("exit %d: %s", code, stderr)
	}
	op["creditsEach"] = each
	for _, sent := range []int{10, 0} {
		op["sent"], op["done"] = sent, false
		write()
		if stdout, stderr, code := run("ops", "resume", id, "--max-credits", "50", "--json"); code != exit.Done || !strings.Contains(stdout, `"sent":25`) {
			t.Fatalf("exit %d: %s%s", code, stdout, stderr)
		}
	}
	for _, id := range ids {
		if err := await(t.Context(), s, id, []string{"FAILED"}); err != nil {
			t.Fatal(err)
		}
		rec, err := s.Ledger.Get(t.Context(), id)
		if err != nil || rec.Attempt != 2 {
			t.Errorf("%+v, %v", rec, err)
		}
		runs := 0
		for _, r := range s.Fake.Runs() {
			if strings.Contains(r.FileName, document.Token(id, 2)) {
				runs++
			}
		}
		if runs != 1 {
			t.Errorf("%s: %d runs of attempt 2", id, runs)
		}
	}
}

// process runs a command line in a process of its own, which keeps its operations in a directory.
func process(t *testing.T, s *stack.Stack, state string, args ...string) (stdout, stderr string, code exit.Code) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var o, e strings.Builder
	cmd := &exec.Cmd{Path: self, Args: append([]string{"intake"}, args...), Stdout: &o, Stderr: &e, Env: append(scriptEnv(s), "XDG_STATE_HOME="+state)}
	if err := cmd.Run(); cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return o.String(), e.String(), exit.Code(cmd.ProcessState.ExitCode())
}
