package stack

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// ErrStopped is why everything ends when somebody wants it to.
var ErrStopped = errors.New("stopped")

// UntilStopped is the context of a command that ends, cleaning up, when it is
// interrupted or when the process that started it is gone. Its cause is then ErrStopped.
func UntilStopped() context.Context {
	ctx, stop := context.WithCancelCause(context.Background())
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
	return ctx
}
