package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"extend-intake/dev/fakeextend"
	"extend-intake/dev/stack"
	"extend-intake/dev/stack/emulator"
)

func TestRealAccount(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		env  map[string]string
		want string // of the error
		real bool
	}{
		{name: "nothing", env: nil},
		{name: "another region alone", env: map[string]string{"EXTEND_BASE_URL": "https://api.eu1.extend.ai"}},
		{name: "key and processor", env: map[string]string{"EXTEND_API_KEY": "sk_x", "PROCESSOR": "dp_x"}, real: true},
		{name: "key alone", env: map[string]string{"EXTEND_API_KEY": "sk_x"}, want: "EXTEND_API_KEY is set, but not PROCESSOR"},
		{name: "processor alone", env: map[string]string{"PROCESSOR": "dp_x"}, want: "set EXTEND_API_KEY as well"},
		{name: "no id of a processor", env: map[string]string{"EXTEND_API_KEY": "sk_x", "PROCESSOR": "Invoices"}, want: `PROCESSOR is "Invoices"`},
		{name: "http to a stranger", env: map[string]string{"EXTEND_API_KEY": "sk_x", "PROCESSOR": "dp_x", "EXTEND_BASE_URL": "http://127.0.0.1.evil.example"}, want: "must begin with https://"},
		{name: "a path", env: map[string]string{"EXTEND_API_KEY": "sk_x", "PROCESSOR": "dp_x", "EXTEND_BASE_URL": "https://api.extend.ai/v1"}, want: "without a path"},
		{name: "no id of a workspace", env: map[string]string{"EXTEND_API_KEY": "sk_x", "PROCESSOR": "dp_x", "EXTEND_WORKSPACE_ID": "mine"}, want: `EXTEND_WORKSPACE_ID is "mine"`},
		{name: "another region", env: map[string]string{"EXTEND_API_KEY": "sk_x", "PROCESSOR": "dp_x", "EXTEND_BASE_URL": "https://api.eu1.extend.ai/"}, real: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a, err := realAccount(func(name string) string { return c.env[name] })
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%v, want %q", err, c.want)
			}
			if (a != nil) != c.real {
				t.Errorf("account %v, want one: %v", a != nil, c.real)
			}
			if err != nil && strings.Contains(err.Error(), "sk_x") {
				t.Errorf("the key is shown: %v", err)
			}
		})
	}
}

// It sets the environment, so that it runs alone.
func TestAWrongKeyStartsNothing(t *testing.T) {
	_, base := fakeextend.NewServer(t, fakeextend.Options{APIKey: "sk_right", Processors: []fakeextend.Processor{{ID: "dp_x", Type: fakeextend.Extract}}})
	t.Setenv("EXTEND_API_KEY", "sk_wrong")
	t.Setenv("PROCESSOR", "dp_x")
	t.Setenv("EXTEND_BASE_URL", base)
	t.Setenv("FILE", "")
	var out bytes.Buffer
	err := command(t.Context(), []string{"--stay"}, &out)
	if err == nil || !strings.Contains(err.Error(), "401") || strings.Contains(err.Error(), "sk_wrong") || out.Len() > 0 {
		t.Errorf("%v, output %q", err, out.String())
	}
	if os.Getenv("EXTEND_API_KEY") != "" {
		t.Error("every program that is started from here on is given the key")
	}
}

// keyFiles are the files below .local that contain the text.
func keyFiles(t *testing.T, text string) (paths []string) {
	t.Helper()
	root, err := emulator.Root()
	if err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(filepath.Join(root, ".local"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			var content []byte
			if content, err = os.ReadFile(path); bytes.Contains(content, []byte(text)) {
				paths = append(paths, path)
			}
		}
		if errors.Is(err, fs.ErrNotExist) { // of another test, which is over
			return nil
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// watched is what a command prints; seen is closed when it has printed the word.
type watched struct {
	mu   sync.Mutex
	text strings.Builder
	word string
	seen chan struct{}
}

func (w *watched) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before := strings.Contains(w.text.String(), w.word)
	w.text.Write(p)
	if !before && strings.Contains(w.text.String(), w.word) {
		close(w.seen)
	}
	return len(p), nil
}

// `make up` on a real account: the file is sent and the result asked for, and no
// webhook reaches this machine. The fake has the part of the real one.
func TestUpWithARealAccount(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("deploys the template to a local AWS")
	}
	const key = "sk_of-a-real-account"
	fake, base := fakeextend.NewServer(t, fakeextend.Options{APIKey: key, WorkspaceID: "ws_x", Processors: []fakeextend.Processor{{ID: "dp_x", Type: fakeextend.Extract}}})
	file, err := os.Open("../sample/invoice.pdf")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	ctx, stop := context.WithCancelCause(t.Context())
	defer stop(nil)
	out := &watched{word: "  sha256", seen: make(chan struct{})} // a line of the output
	ended := make(chan error, 1)
	go func() {
		ended <- up(ctx, out, file, &stack.Account{Key: key, Processor: "dp_x", BaseURL: base, Workspace: "ws_x"})
	}()
	select {
	case <-out.seen:
		if paths := keyFiles(t, key); len(paths) > 0 {
			t.Errorf("the key is in %s", paths)
		}
		stop(stack.ErrStopped)
		err = <-ended
	case err = <-ended:
	case <-time.After(4 * time.Minute): // what is asked for every minute has long been there
		stop(stack.ErrStopped)
		err = fmt.Errorf("no output; %w", <-ended)
		t.Error(err)
	}
	out.mu.Lock()
	defer out.mu.Unlock()
	if !errors.Is(err, stack.ErrStopped) {
		t.Fatalf("%v\n%s", err, out.text.String())
	}
	for _, want := range []string{base + " ws_x, processor dp_x: each file costs credits", "invoice.pdf: PROCESSING", "invoice.pdf: PROCESSED stored, revision 1"} {
		if !strings.Contains(out.text.String(), want) {
			t.Errorf("%q is not printed:\n%s", want, out.text.String())
		}
	}
	if strings.Contains(out.text.String(), key) {
		t.Error("the key is shown")
	}
	if runs := fake.Runs(); len(runs) != 1 || runs[0].FileID == "" || runs[0].Fetches != 0 || len(runs[0].Deliveries) != 0 {
		t.Errorf("runs %+v", runs)
	}
}
