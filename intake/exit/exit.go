// Package exit says with which status `intake` ends, and what its errors tell.
//
//	return exit.New(exit.NotFound, "stack %q: there is no such stack in %s", name, region).
//		Next("intake --region … with the region that it is in")
package exit

import (
	"context"
	"errors"
	"fmt"
	"syscall"
)

// Code is the exit status of `intake`. Its values are a contract: scripts rely on them.
type Code int

// The codes.
const (
	// Done: it was done.
	Done Code = 0
	// Failed: it could not be done.
	Failed Code = 1
	// Usage: the command line is wrong.
	Usage Code = 2
	// Ended: it was done, and a document that was asked about ended FAILED, REFUSED,
	// REJECTED or CANCELLED; of `status` and `doctor`: something is wrong with the stack.
	Ended Code = 3
	// NotFound: there is no such document or stack.
	NotFound Code = 4
	// NotConfirmed: nobody confirmed what would have been changed or paid for.
	NotConfirmed Code = 5
	// Partly: a bulk operation ended, and some of it failed.
	Partly Code = 6
	// StillOnTheWay: a document has not ended, or not within the time given.
	StillOnTheWay Code = 8
	// Stopped: somebody stopped it, with Ctrl-C or a signal.
	Stopped Code = 130
)

// Codes are all of them with their meaning, for the reference.
var Codes = []struct {
	Code    Code
	Meaning string
}{
	{Done, "Done."},
	{Failed, "It could not be done; stderr says why, and what to do next."},
	{Usage, "The command line is wrong."},
	{Ended, "Done, and a document that was asked about ended FAILED, REFUSED, REJECTED or CANCELLED. Of `status` and `doctor`: something is wrong with the stack."},
	{NotFound, "There is no such document or stack."},
	{NotConfirmed, "Nothing was changed: nobody confirmed it."},
	{Partly, "A bulk operation ended, and some of it failed."},
	{StillOnTheWay, "A document that was asked about is still on the way."},
	{Stopped, "It was stopped by Ctrl-C or a signal."},
}

// Error is an error with a code, and with what to do next.
type Error struct {
	Code Code
	Err  error
	// Steps are what to do next, one a line. Each is a command or a sentence.
	Steps []string
}

// New makes an Error; the format is that of fmt.Errorf.
func New(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Err: fmt.Errorf(format, args...)}
}

// Next adds what to do next.
func (e *Error) Next(format string, args ...any) *Error {
	e.Steps = append(e.Steps, fmt.Sprintf(format, args...))
	return e
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// Quiet is an error that has a code and nothing to say: what it is about was printed.
func Quiet(code Code) error { return quiet(code) }

type quiet Code

func (quiet) Error() string { return "" }

// ErrStopped is the cause with which the context ends when the command is told to stop.
var ErrStopped = errors.New("stopped")

// Of is the code of an error; of nil it is [Done]. A reader that has seen enough, such
// as head, closes the pipe: that is no error.
func Of(err error) Code {
	if err == nil || errors.Is(err, syscall.EPIPE) {
		return Done
	}
	if q, ok := errors.AsType[quiet](err); ok {
		return Code(q)
	}
	if errors.Is(err, ErrStopped) || errors.Is(err, context.Canceled) {
		return Stopped
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return Failed
}
