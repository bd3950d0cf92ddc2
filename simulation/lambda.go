package simulation

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"strconv"
	"time"
)

// function is a Lambda function: instances that are made as they are needed and
// used again, each with a state of its own.
type function struct {
	w       *world
	name    string
	timeout time.Duration
	wire    func(*instance) func(context.Context, any) (any, error)

	idle   []*instance
	made   int
	calls  int
	failed int
}

// instance is one machine. It runs one invocation at a time.
type instance struct {
	fn     *function
	name   string
	skew   time.Duration // of its clock
	dice   *rand.Rand
	handle func(context.Context, any) (any, error)
	gone   bool // crashed or killed: nothing of it happens any more
}

var (
	errCrashed = errors.New("runtime exited")
	errTimeOut = errors.New("task timed out")
)

func (w *world) newFunction(name string, timeout time.Duration, wire func(*instance) func(context.Context, any) (any, error)) *function {
	return &function{w: w, name: name, timeout: timeout, wire: wire}
}

// now is the time as the machine sees it.
func (in *instance) now() time.Time { return time.Now().Add(in.skew) }

// take returns an instance that is free.
func (f *function) take(dice *rand.Rand) *instance {
	cold := f.w.strike(dice, coldStart)
	f.w.mu.Lock()
	if n := len(f.idle); n > 0 && !cold {
		i := dice.IntN(n)
		in := f.idle[i]
		f.idle = append(f.idle[:i], f.idle[i+1:]...)
		f.w.mu.Unlock()
		return in
	}
	f.made++
	in := &instance{fn: f, name: f.name + "#" + strconv.Itoa(f.made), dice: f.w.sharedDice(f.name, f.made)}
	f.w.mu.Unlock()
	if f.w.strike(in.dice, clockSkew) {
		in.skew = between(in.dice, -5*time.Second, 5*time.Second)
	}
	in.handle = f.wire(in)
	f.w.tell(in.name, "", "cold start, clock off by %v", in.skew)
	return in
}

// lambdaContext tells the deadline as the machine's own clock has it. The
// context does not end by itself at the deadline: the machine does.
type lambdaContext struct {
	context.Context
	deadline time.Time
}

func (c lambdaContext) Deadline() (time.Time, bool) { return c.deadline, true }

// invoke runs the handler, and calls end once: with the answer, or with an error
// when the instance crashed or took too long.
func (f *function) invoke(event any, end func(answer any, err error)) {
	w := f.w
	w.mu.Lock()
	f.calls++
	dice := w.dice(f.name+" invocation", f.calls)
	w.running++
	w.mu.Unlock()
	in := f.take(dice)

	ctx, cancel := context.WithCancel(context.WithValue(context.Background(), actorKey{}, in))
	over := false
	finish := func(answer any, err error) {
		w.mu.Lock()
		was := over
		over = true
		if !was {
			w.running--
			if err != nil {
				f.failed++
			}
			if in.gone = in.gone || err == errCrashed || err == errTimeOut; !in.gone {
				f.idle = append(f.idle, in)
			}
		}
		w.mu.Unlock()
		if was {
			return
		}
		if err != nil {
			w.tell(in.name, "", "INVOCATION FAILED: %v", err)
		}
		end(answer, err)
	}
	kill := time.AfterFunc(f.timeout, func() {
		w.mu.Lock()
		in.gone = in.gone || !over
		w.mu.Unlock()
		finish(nil, errTimeOut)
		cancel() // its connections die with it
	})
	go func() {
		defer cancel()
		defer kill.Stop()
		answer, err := any(nil), errCrashed
		defer func() { finish(answer, err) }() // also after runtime.Goexit
		answer, err = in.handle(lambdaContext{ctx, time.Now().Add(f.timeout).Add(in.skew)}, event)
	}()
}

// pass lets some time go by. It is where a machine can crash, or stall, and
// where one that is dead stays dead.
func (in *instance) pass(what, document string) {
	w := in.fn.w
	time.Sleep(w.latency(in.dice))
	if w.strike(in.dice, stall) {
		d := between(in.dice, time.Second, 70*time.Second)
		w.tell(in.name, document, "FAULT: stalls for %v %s", d.Truncate(time.Millisecond), what)
		time.Sleep(d)
	}
	in.dieIfGone()
	if w.strike(in.dice, crash) {
		w.tell(in.name, document, "FAULT: crashes %s", what)
		w.mu.Lock()
		in.gone = true
		w.mu.Unlock()
		runtime.Goexit()
	}
}

// dieIfGone ends the goroutine of a dead machine. A panic would not do: handlers
// recover from panics.
func (in *instance) dieIfGone() {
	in.fn.w.mu.Lock()
	gone := in.gone
	in.fn.w.mu.Unlock()
	if gone {
		runtime.Goexit()
	}
}

// do is one side effect with all that can go wrong around it: the machine
// crashes before or after it, it fails, or its answer is lost. A negative kind
// can't happen.
func (in *instance) do(what, document string, fails, answerLost kind, effect func() error) error {
	w := in.fn.w
	in.pass("before: "+what, document)
	if fails >= 0 && w.strike(in.dice, fails) {
		w.tell(in.name, document, "FAULT: %s: fails", what)
		return errFault
	}
	err := effect()
	in.pass("after: "+what, document)
	if err == nil && answerLost >= 0 && w.strike(in.dice, answerLost) {
		w.tell(in.name, document, "FAULT: %s: done, answer lost", what)
		return errFault
	}
	return err
}

const never kind = -1
