// Package child runs programs that must not outlive this one. Each is the head of a
// process group: Ctrl-C in the terminal reaches us alone, and we end the group, with
// all that the program has started. On Linux it ends too if we are killed.
package child

import (
	"context"
	"errors"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// grace is the time between asking a group to end and ending it.
const grace = 10 * time.Second

// Child is a program that was started.
type Child struct {
	// Ended is closed when the program is over. Err says how it ended, and may be
	// read from then on.
	Ended chan struct{}
	Err   error

	pid  int
	stop sync.Once
}

// Start starts cmd. Its SysProcAttr is overwritten.
func Start(cmd *exec.Cmd) (*Child, error) {
	c := &Child{Ended: make(chan struct{})}
	started := make(chan error)
	// One goroutine starts the program and keeps its thread until the program is over:
	// Linux ends a child (see attributes) with the thread that made it, not with the
	// process, and Go ends threads that it has no use for.
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		cmd.SysProcAttr = attributes
		err := cmd.Start()
		if err == nil {
			c.pid = cmd.Process.Pid
		}
		started <- err
		if err == nil {
			c.Err = cmd.Wait()
			close(c.Ended)
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return c, nil
}

// PID is the number of the process.
func (c *Child) PID() int { return c.pid }

// Stop ends the program and what it has started, and returns when it is over. It may
// be called more than once, and on a program that is over.
func (c *Child) Stop() {
	c.stop.Do(func() {
		_ = syscall.Kill(-c.pid, syscall.SIGTERM) // an error says that there is nothing to end
		select {
		case <-c.Ended:
		case <-time.After(grace):
		}
		_ = syscall.Kill(-c.pid, syscall.SIGKILL) // also those that did not end with their parent
		<-c.Ended
	})
}

// Run runs cmd to its end, or to that of the context. It leaves nothing running.
func Run(ctx context.Context, cmd *exec.Cmd) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	c, err := Start(cmd)
	if err != nil {
		return err
	}
	defer c.Stop()
	select {
	case <-c.Ended:
		return c.Err
	case <-ctx.Done():
		c.Stop()
		return errors.Join(context.Cause(ctx), c.Err)
	}
}
