// Package command is the commands of `intake`, each in a file of its own: it registers
// itself, and has what it needs of the terminal and of the stack from an [Env]. The tests in
// this package go through all that are registered: each has its schema, its place in
// docs/intake.md and its rights in the policies of `intake iam`.
package command

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"extend-intake/intake/exit"
	"extend-intake/intake/out"
	"extend-intake/intake/selector"
	"extend-intake/intake/stack"
)

// Env is what commands run in: the terminal, the environment, and the flags that all
// commands have.
type Env struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Getenv         func(string) string
	Now            func() time.Time
	Location       *time.Location
	// Dir is the directory in which a samconfig.toml is looked for.
	Dir string
	// TTY says that Stdout is a terminal, of Width columns; 0 is unknown. Asks says that
	// Stdin and Stderr are one, so that somebody can be asked.
	TTY, Asks bool
	Width     int

	stackName, environment, region, profile string
	output, jq                              string
	json, debug                             bool
	// changes are the flags of commands that change something.
	changes changeFlags

	once    sync.Once
	opened  *stack.Stack
	openErr error
	printer *out.Printer
	mu      sync.Mutex // of Stderr
}

// Terminal is the Env of this process.
func Terminal() *Env {
	e := &Env{
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Getenv: os.Getenv, Now: time.Now, Location: time.Local, Dir: ".",
		TTY:  term.IsTerminal(int(os.Stdout.Fd())),                                        // #nosec G115 -- a file descriptor
		Asks: term.IsTerminal(int(os.Stdin.Fd())) && term.IsTerminal(int(os.Stderr.Fd())), // #nosec G115 -- as above
	}
	if e.TTY {
		e.Width, _, _ = term.GetSize(int(os.Stdout.Fd())) // #nosec G115 -- as above; 0 where it is unknown
	}
	if n, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil && n > 0 {
		e.Width = n
	}
	// For tests and screenshots, as gh has it: output as on a terminal of so many columns.
	if n, err := strconv.Atoi(os.Getenv("INTAKE_FORCE_TTY")); err == nil && n > 0 {
		e.TTY, e.Width = true, n
	}
	return e
}

// color reports whether the terminal is to show colors. https://no-color.org
func (e *Env) color() bool {
	return e.TTY && e.Getenv("NO_COLOR") == "" && e.Getenv("TERM") != "dumb" && (runtime.GOOS != "windows" || e.Getenv("WT_SESSION") != "")
}

// open makes the printer of a command, before it does anything.
func (e *Env) open() (err error) {
	e.printer, err = out.New(out.Options{
		Out: e.Stdout, Format: e.output, JSON: e.json, JQ: e.jq, TTY: e.TTY, Width: e.Width, Color: e.color(), Now: e.Now, Location: e.Location,
	})
	return err
}

// Out prints results.
func (e *Env) Out() *out.Printer { return e.printer }

// Notef writes a line for people to standard error.
func (e *Env) Notef(format string, args ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	fmt.Fprintln(e.Stderr, out.Visible(fmt.Sprintf(format, args...)))
}

func (e *Env) stackOptions() stack.Options {
	o := stack.Options{Name: e.stackName, Environment: e.environment, Region: e.region, Profile: e.profile, Dir: e.Dir, Getenv: e.Getenv}
	if e.debug {
		o.Trace = func(service, operation string, took time.Duration, err error) {
			ended := "ok"
			if err != nil {
				ended = err.Error()
			}
			e.Notef("debug: aws %s %s %d ms %s", service, operation, took.Milliseconds(), ended)
		}
	}
	return o
}

// Stack is the stack that the command works on. It is found when it is first asked for.
func (e *Env) Stack(ctx context.Context) (*stack.Stack, error) {
	e.once.Do(func() { e.opened, e.openErr = stack.Open(ctx, e.stackOptions()) })
	return e.opened, e.openErr
}

// Finder finds documents of a stack.
func (e *Env) Finder(s *stack.Stack) *selector.Finder {
	seconds, _ := strconv.Atoi(s.Parameters["StalledAfterSeconds"]) // the template has it as a number
	return &selector.Finder{
		Ledger: s.Ledger(), Reader: s.Reader(), S3: s.S3(), Bucket: s.Bucket(),
		StalledAfter: time.Duration(seconds) * time.Second, Now: e.Now,
	}
}

// Select reads the names and filters of a command line.
func (e *Env) Select(args []string, f selector.Flags) (selector.Selection, error) {
	return selector.Parse(args, f, e.Stdin, e.Now().In(e.Location))
}

// fail prints an error: what is wrong, and what to do next.
func (e *Env) fail(err error) {
	if exit.Of(err) == exit.Done || err.Error() == "" {
		return
	}
	for i, line := range strings.Split(err.Error(), "\n") {
		if i == 0 {
			line = "intake: " + line
		}
		e.Notef("%s", line)
	}
	for _, step := range steps(err) {
		e.Notef("  next: %s", step)
	}
}

// steps are what to do next, of all errors that an error is made of.
func steps(err error) (all []string) {
	switch x := err.(type) { //nolint:errorlint // each one in the tree is looked at
	case *exit.Error:
		return append(x.Steps, steps(x.Err)...)
	case interface{ Unwrap() error }:
		return steps(x.Unwrap())
	case interface{ Unwrap() []error }:
		for _, err := range x.Unwrap() {
			all = append(all, steps(err)...)
		}
	}
	return all
}
