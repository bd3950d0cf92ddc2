package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"extend-intake/dev/fakeextend"
	"extend-intake/dev/stack"
	"extend-intake/shared/document"
	"extend-intake/shared/ledger"
)

// A watcher prints what happens in a stack, as it happens: what the fake Extend
// sees, what the local AWS logs, and how records change.
type watcher struct {
	stack *stack.Stack
	out   io.Writer
	// clock is the first column of a line.
	clock func(time.Time) string
	// names says whether a line begins with the key that it is about.
	names bool

	logRead int64             // of the local AWS's log
	shown   map[string]string // document id → its state as it was last printed
	// delivered are the documents whose deliveries were answered 2xx.
	delivered map[string]bool
}

func newWatcher(s *stack.Stack, out io.Writer, clock func(time.Time) string, names bool) *watcher {
	w := &watcher{stack: s, out: out, clock: clock, names: names, shown: make(map[string]string), delivered: make(map[string]bool)}
	if info, err := os.Stat(s.AWS.Log); err == nil {
		w.logRead = info.Size() // what was logged before is not printed
	}
	return w
}

func (w *watcher) line(where, what string) {
	fmt.Fprintf(w.out, "%12s   %-16s   %s\n", w.clock(time.Now()), where, what)
}

// until prints until the context is over or done returns true. Done is called every
// 50 ms, and after each delivery.
func (w *watcher) until(ctx context.Context, done func() (bool, error)) error {
	log, records := time.NewTicker(5*time.Millisecond), time.NewTicker(50*time.Millisecond)
	defer log.Stop()
	defer records.Stop()
	for {
		ask := false
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case step := <-w.stack.Steps:
			w.log() // it may have been earlier
			w.step(ctx, step)
			ask = step.Kind == fakeextend.WebhookDelivered
		case <-log.C:
			w.log()
		case <-records.C:
			ask = true
		}
		if !ask {
			continue
		}
		over, err := done()
		if err != nil && ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		if over || err != nil {
			return err
		}
	}
}

// where is between whom a step of the fake happens.
var where = map[fakeextend.StepKind]string{
	fakeextend.RunCreated:       "submit → Extend",
	fakeextend.RequestRefused:   "submit → Extend",
	fakeextend.FileFetched:      "Extend → S3",
	fakeextend.FileNotFetched:   "Extend → S3",
	fakeextend.WebhookDelivered: "Extend → webhook",
	fakeextend.WebhookRefused:   "Extend → webhook",
	fakeextend.WebhookGivenUp:   "Extend → webhook",
	fakeextend.WebhookNotSent:   "Extend → webhook",
}

func (w *watcher) step(ctx context.Context, s fakeextend.Step) {
	what := string(s.Kind)
	switch s.Kind {
	case fakeextend.RunCreated:
		what = fmt.Sprintf("POST makes run %s of %q", s.RunID, s.FileName)
	case fakeextend.FileFetched:
		what = fmt.Sprintf("file fetched by its presigned URL, %s", size(s.Bytes))
	case fakeextend.RunFinished:
		what = "run ends " + s.Detail
	case fakeextend.WebhookDelivered, fakeextend.WebhookRefused:
		what = fmt.Sprintf("signed delivery of %s, answered %d", size(s.Bytes), s.Status)
	}
	if s.Detail != "" && s.Kind != fakeextend.RunFinished && s.Kind != fakeextend.RunCreated {
		what += ": " + s.Detail
	}
	from := where[s.Kind]
	if from == "" {
		from = "Extend"
	}
	var tag document.Tag
	if run, ok := w.stack.Fake.Run(s.RunID); ok {
		tag, _ = document.ParseTag(run.Metadata) // a run without one is a run all the same
	}
	if w.names && tag.Key != "" {
		what = tag.Key + ": " + what
	}
	w.line(from, what)
	if s.Kind == fakeextend.WebhookDelivered && tag.DocumentID != "" {
		w.delivered[tag.DocumentID] = true
		if _, err := w.record(ctx, tag.DocumentID); err != nil {
			w.line("table", err.Error())
		}
	}
}

// log prints what the local AWS has logged since the last call.
func (w *watcher) log() {
	f, err := os.Open(w.stack.AWS.Log)
	if err != nil {
		return
	}
	defer f.Close()
	unread, err := io.ReadAll(io.NewSectionReader(f, w.logRead, 1<<20))
	if err != nil {
		return
	}
	for {
		line, rest, whole := bytes.Cut(unread, []byte("\n"))
		if !whole {
			return // the rest of this line comes later
		}
		w.logRead += int64(len(line)) + 1
		unread = rest
		switch text := string(line); {
		case strings.Contains(text, "S3 notification → SQS"):
			w.line("S3 → queue", "upload event of the new object in the upload queue")
		case strings.Contains(text, "(cold start)"):
			for _, name := range stack.Functions {
				if strings.Contains(strings.ToLower(text), "-"+name+"function-") {
					w.line(name, "cold start")
				}
			}
		case strings.Contains(text, " ERROR ") || strings.Contains(text, " WARNING [lambda]"):
			w.line("local AWS", text)
		}
	}
}

// record reads a record, and prints its state if it has changed. It returns nil when
// there is none yet.
func (w *watcher) record(ctx context.Context, id string) (*ledger.Record, error) {
	rec, err := w.stack.Ledger.Get(ctx, id)
	if errors.Is(err, ledger.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	now := string(rec.State)
	switch {
	case rec.State.Terminal():
		now = fmt.Sprintf("%s stored, revision %d", rec.State, rec.Revision)
	case rec.Reason != "":
		now += ": " + rec.Reason
	}
	if w.shown[id] != now {
		w.shown[id] = now
		if w.names {
			now = rec.Key + ": " + now
		}
		w.line("table", now)
	}
	return rec, nil
}

// size is a number of bytes as people read it.
func size(n int64) string {
	switch {
	case n < 10_000:
		return fmt.Sprintf("%d bytes", n)
	case n < 10_000_000:
		return fmt.Sprintf("%.0f kB", float64(n)/1000)
	}
	return fmt.Sprintf("%.0f MB", float64(n)/1e6)
}
