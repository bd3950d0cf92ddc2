package child

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// family is a program that starts another and names both.
const family = `sleep 1000 & echo $$ $!; wait`

func TestMain(m *testing.M) {
	if os.Getenv("CHILD_TEST_PARENT") != "" {
		cmd := exec.Command("sh", "-c", "echo $$; exec sleep 1000")
		cmd.Stdout = os.Stdout
		if _, err := Start(cmd); err != nil {
			fmt.Println(err)
		}
		select {}
	}
	os.Exit(m.Run())
}

func TestStopEndsTheWholeGroup(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("sh", "-c", family)
	out := pipe(t, cmd)
	c, err := Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	pids := readPIDs(t, out)
	if len(pids) != 2 {
		t.Fatalf("pids = %v, want two", pids)
	}
	c.Stop()
	c.Stop() // once more is harmless
	for _, pid := range pids {
		gone(t, pid)
	}
	if c.Err == nil {
		t.Error("Err = nil, want the signal that ended it")
	}
}

func TestRun(t *testing.T) {
	t.Parallel()
	if err := Run(t.Context(), exec.Command("true")); err != nil {
		t.Errorf("true: %v", err)
	}
	var exit *exec.ExitError
	if err := Run(t.Context(), exec.Command("false")); !errors.As(err, &exit) {
		t.Errorf("false: %v, want its exit status", err)
	}
	if err := Run(t.Context(), exec.Command("/nonexistent")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no such program: %v", err)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Run(over, exec.Command("/nonexistent")); !errors.Is(err, context.Canceled) {
		t.Errorf("context over: %v, want nothing started", err)
	}
}

func TestRunEndsWithTheContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	cmd := exec.Command("sh", "-c", family)
	out := pipe(t, cmd)
	result := make(chan error, 1)
	go func() { result <- Run(ctx, cmd) }()
	pids := readPIDs(t, out)
	why := errors.New("enough")
	cancel(why)
	if err := <-result; !errors.Is(err, why) {
		t.Errorf("err = %v, want the cause", err)
	}
	for _, pid := range pids {
		gone(t, pid)
	}
}

func TestChildEndsWhenWeAreKilled(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux can do this")
	}
	us := exec.Command(os.Args[0])
	us.Env = append(os.Environ(), "CHILD_TEST_PARENT=1")
	out := pipe(t, us)
	if err := us.Start(); err != nil {
		t.Fatal(err)
	}
	pids := readPIDs(t, out)
	if err := us.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = us.Wait()
	gone(t, pids[0])
}

// pipe is cmd's output. It is a real pipe, so that waiting for cmd does not wait for
// whoever else holds the other end.
func pipe(t *testing.T, cmd *exec.Cmd) *os.File {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	cmd.Stdout = w
	return r
}

func readPIDs(t *testing.T, out io.Reader) []int {
	t.Helper()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for field := range strings.FieldsSeq(line) {
		pid, err := strconv.Atoi(field)
		if err != nil {
			t.Fatalf("not a pid: %q", line)
		}
		pids = append(pids, pid)
	}
	return pids
}

// gone waits until a process is over; one whose end nobody has asked about yet counts.
func gone(t *testing.T, pid int) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for time.Now().Before(deadline) {
		if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			return
		}
		if stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err == nil && strings.Contains(string(stat), ") Z ") {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("process %d is still there", pid)
}
