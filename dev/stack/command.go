package stack

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// ErrStopped is the cause with which a command's context ends when the command is asked
// to stop.
var ErrStopped = errors.New("stopped")

// Main runs a command that uses a stack, with the arguments and the output of this
// process, which are [Printable], and returns the exit status. The command's context ends on Ctrl-C, SIGTERM
// or SIGHUP, or when the process that started this one is gone. The status is 0 without
// an error or with flag.ErrHelp, 130 with [ErrStopped], and otherwise 1.
func Main(name string, command func(ctx context.Context, args []string, out io.Writer) error) int {
	ctx, stop := context.WithCancelCause(context.Background())
	defer stop(nil)
	signals := make(chan os.Signal, 1)
	// Not given back after the first: an impatient second Ctrl-C must not cut the cleaning up short.
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		<-signals
		stop(ErrStopped)
	}()
	go func() {
		// `go run` takes a SIGTERM for itself and leaves us behind. Then we are done as well.
		for parent := os.Getppid(); os.Getppid() == parent; time.Sleep(500 * time.Millisecond) {
		}
		stop(ErrStopped)
	}()
	switch err := command(ctx, os.Args[1:], Printable(os.Stdout)); {
	case err == nil || errors.Is(err, flag.ErrHelp):
		return 0
	case errors.Is(err, ErrStopped):
		fmt.Fprintln(os.Stderr, "stopped, nothing is left running")
		return 130
	default:
		fmt.Fprintf(Printable(os.Stderr), "%s: %v\n", name, err)
		return 1
	}
}
