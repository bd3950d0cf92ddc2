package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"extend-intake/dev/guard"
	"extend-intake/dev/stack/child"
)

const (
	functionTimeout = 60 * time.Second
	maxAnswer       = 6 << 20 // of a function, says Lambda
)

// lambdaAPI is Lambda's runtime interface for one process: it hands out events and
// takes the answers. What the real one would refuse, it refuses, and remembers.
// https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
type lambdaAPI struct {
	work  chan *job
	ready chan struct{} // closed by the first GET of an event

	mu      sync.Mutex
	n       int
	current *job  // handed out, not answered
	failure error // the first
}

// A job is one invocation. done is closed once it is answered.
type job struct {
	id     string
	event  []byte
	began  time.Time
	took   time.Duration
	answer []byte
	err    error
	done   chan struct{}
}

func newLambdaAPI() *lambdaAPI {
	return &lambdaAPI{work: make(chan *job), ready: make(chan struct{})}
}

const apiPath = "/2018-06-01/runtime/"

func (a *lambdaAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxAnswer+1))
	at := time.Now()
	path, ours := strings.CutPrefix(r.URL.Path, apiPath)
	invocation, isInvocation := strings.CutPrefix(path, "invocation/")
	id, what, _ := strings.Cut(invocation, "/")
	switch {
	case err != nil || !ours:
		a.refuse(w, http.StatusNotFound, r, "no such path")
	case r.Method == http.MethodGet && path == "invocation/next":
		a.next(w, r)
	case r.Method == http.MethodPost && path == "init/error":
		a.refuse(w, http.StatusAccepted, r, "the function did not start: "+string(body))
	case r.Method == http.MethodPost && isInvocation && (what == "response" || what == "error"):
		a.answer(w, r, id, what == "error", body, at)
	default:
		a.refuse(w, http.StatusNotFound, r, "no such path")
	}
}

// refuse answers with a status, and makes this and every later invocation fail.
func (a *lambdaAPI) refuse(w http.ResponseWriter, status int, r *http.Request, why string) {
	a.mu.Lock()
	a.failure = cmp.Or(a.failure, fmt.Errorf("runtime interface: %s %s: %s", r.Method, r.URL.Path, why))
	if a.current != nil {
		a.current.err = a.failure
		close(a.current.done)
		a.current = nil
	}
	a.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, `{"errorType":"Refused"}`)
}

func (a *lambdaAPI) next(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	open := a.current != nil
	select {
	case <-a.ready:
	default:
		close(a.ready)
	}
	a.mu.Unlock()
	if open {
		a.refuse(w, http.StatusForbidden, r, "the invocation before is not answered")
		return
	}
	var j *job
	select {
	case j = <-a.work:
	case <-r.Context().Done():
		return
	}
	a.mu.Lock()
	a.n++
	j.id = fmt.Sprintf("00000000-0000-4000-8000-%012d", a.n)
	j.began = time.Now()
	a.current = j
	a.mu.Unlock()
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Lambda-Runtime-Aws-Request-Id", j.id)
	h.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(j.began.Add(functionTimeout).UnixMilli(), 10))
	h.Set("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:us-east-1:000000000000:function:bench")
	h.Set("Lambda-Runtime-Trace-Id", "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=0")
	_, _ = w.Write(j.event)
}

func (a *lambdaAPI) answer(w http.ResponseWriter, r *http.Request, id string, failed bool, body []byte, at time.Time) {
	a.mu.Lock()
	j := a.current
	if j == nil || j.id != id {
		a.mu.Unlock()
		a.refuse(w, http.StatusForbidden, r, "this is not the invocation that is under way")
		return
	}
	if len(body) > maxAnswer {
		a.mu.Unlock()
		a.refuse(w, http.StatusRequestEntityTooLarge, r, "the answer is larger than Lambda takes")
		return
	}
	if !json.Valid(body) {
		a.mu.Unlock()
		a.refuse(w, http.StatusBadRequest, r, "the answer is not JSON")
		return
	}
	a.current = nil
	a.mu.Unlock()
	j.took, j.answer = at.Sub(j.began), body
	if failed {
		j.err = fmt.Errorf("the function failed: %s", body)
	}
	close(j.done)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusAccepted)
	_, _ = io.WriteString(w, `{"status":"OK"}`)
}

// instance is a running function.
type instance struct {
	name    string
	init    time.Duration // from the start of the process to its first call
	api     *lambdaAPI
	cmd     *exec.Cmd
	process *child.Child
	server  *guard.Server
	log     logCounter
}

// startInstance starts a bootstrap and waits until it asks for its first event.
func startInstance(ctx context.Context, name, bootstrap string, env []string) (_ *instance, err error) {
	i := &instance{name: name, api: newLambdaAPI()}
	secret := rand.Text()
	if i.server, err = guard.Serve(guard.Secret(secret, i.api)); err != nil {
		return nil, err
	}
	i.cmd = exec.Command(bootstrap)
	i.cmd.Env = append([]string{
		"AWS_LAMBDA_RUNTIME_API=" + strings.TrimPrefix(i.server.URL, "http://") + "/" + secret, "AWS_LAMBDA_FUNCTION_NAME=" + name, "AWS_LAMBDA_FUNCTION_VERSION=$LATEST",
		"AWS_LAMBDA_LOG_FORMAT=JSON", "AWS_LAMBDA_LOG_LEVEL=INFO", "_HANDLER=bootstrap", "LAMBDA_TASK_ROOT=" + os.TempDir(),
	}, env...)
	i.cmd.Stdout, i.cmd.Stderr = &i.log, &i.log
	began := time.Now()
	if i.process, err = child.Start(i.cmd); err != nil {
		i.server.Close()
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	select {
	case <-i.api.ready:
		i.init = time.Since(began)
		return i, nil
	case <-i.process.Ended:
		err = fmt.Errorf("%s ended instead of starting (%v): %s", name, i.process.Err, i.log.tail())
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	i.stop()
	return nil, err
}

// invoke hands an event to the function.
func (i *instance) invoke(ctx context.Context, event []byte) (answer []byte, took time.Duration, err error) {
	i.api.mu.Lock()
	failure := i.api.failure
	i.api.mu.Unlock()
	if failure != nil {
		return nil, 0, failure
	}
	ctx, cancel := context.WithTimeoutCause(ctx, functionTimeout, errors.New("no answer in "+functionTimeout.String()))
	defer cancel()
	j := &job{event: event, done: make(chan struct{})}
	work := i.api.work
	for {
		select {
		case work <- j:
			work = nil
			continue
		case <-j.done:
			err = j.err
		case <-i.process.Ended:
			err = fmt.Errorf("it ended: %v", i.process.Err)
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
		if err != nil {
			err = fmt.Errorf("%s: %w; its log ends with:\n%s", i.name, err, i.log.tail())
		}
		return j.answer, j.took, err
	}
}

// stop ends the process and returns the processor time that it took, all in all.
func (i *instance) stop() time.Duration {
	i.process.Stop()
	i.server.Close()
	return i.cmd.ProcessState.UserTime() + i.cmd.ProcessState.SystemTime()
}

// peakMemory is the most that the process has ever used, in bytes, or 0 where that is
// not known: of a child, rusage counts the memory that its parent had.
func (i *instance) peakMemory() (int64, error) {
	if runtime.GOOS != "linux" {
		return 0, nil
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", i.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == "VmHWM:" {
			kilobytes, err := strconv.ParseInt(fields[1], 10, 64)
			return kilobytes << 10, err
		}
	}
	return 0, fmt.Errorf("/proc/%d/status has no VmHWM", i.cmd.Process.Pid)
}

// cpu is the processor time that the process has taken so far, or 0 where that is not known.
func (i *instance) cpu() (time.Duration, error) {
	if runtime.GOOS != "linux" {
		return 0, nil
	}
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", i.cmd.Process.Pid))
	sum := time.Duration(0)
	for _, thread := range threads {
		text, readErr := os.ReadFile(thread) // #nosec G304 -- of our own child
		if readErr != nil {
			return 0, readErr
		}
		var ns int64
		if _, err := fmt.Sscan(string(text), &ns); err != nil {
			return 0, fmt.Errorf("%s: %w", thread, err)
		}
		sum += time.Duration(ns)
	}
	return sum, err
}

// logCounter counts what a function logs, and keeps the end of it.
type logCounter struct {
	mu           sync.Mutex
	bytes, lines int64
	end          []byte
}

func (l *logCounter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bytes += int64(len(p))
	l.lines += int64(bytes.Count(p, []byte("\n")))
	l.end = append(l.end, p...)
	l.end = l.end[max(0, len(l.end)-4096):]
	return len(p), nil
}

func (l *logCounter) tail() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.end)
}
