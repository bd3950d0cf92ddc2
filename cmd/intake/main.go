// Command intake shows and steers a deployed stack of Extend Intake; see docs/intake.md.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"extend-intake/intake/command"
	"extend-intake/intake/exit"
)

func main() {
	// A reader that has seen enough closes the pipe; the write then returns an error.
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		stop(exit.ErrStopped)
		<-signals // who is impatient is not made to wait
		os.Exit(int(exit.Stopped))
	}()
	os.Exit(int(command.Main(ctx, command.Terminal(), os.Args[1:])))
}
