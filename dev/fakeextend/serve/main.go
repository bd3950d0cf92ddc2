// Command serve serves a fake Extend on this machine, so that the
// whole intake can be run without an account, a cost or a document that leaves
// the house. It is ours, not the vendor's: see package fakeextend for what it
// knows from documentation and what is our reading.
//
//	go run ./dev/fakeextend/serve --listen 127.0.0.1:8089 \
//		--processor dp_invoices:EXTRACT --processing-time 2s \
//		--webhook-url http://127.0.0.1:3000/webhook --webhook-secret wss_…
//
// The first line of its output is its base URL, the second its API key, which is made up
// for each run; then it tells each step.
package main

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"extend-intake/dev/fakeextend"
	"extend-intake/dev/guard"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "serve:", err)
		os.Exit(1)
	}
}

// run serves until ctx is over.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	listen, opts, err := parse(args, stderr)
	if err != nil {
		return err
	}
	opts.OnStep = func(s fakeextend.Step) { fmt.Fprintln(stdout, line(s)) }
	fake, err := fakeextend.New(opts)
	if err != nil {
		return err
	}
	defer fake.Close()
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", listen)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "http://%s\n%s\n", listener.Addr(), opts.APIKey)

	server := &http.Server{Handler: guard.Local(fake), ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	fake.Close() // ends the waits of handlers, which Shutdown waits for
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return server.Shutdown(closing)
}

// parse reads the command line.
func parse(args []string, stderr io.Writer) (listen string, opts fakeextend.Options, err error) {
	var seed [8]byte
	_, _ = rand.Read(seed[:]) // never fails
	opts.Seed = binary.BigEndian.Uint64(seed[:])
	var took time.Duration

	flags := flag.NewFlagSet("serve", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprint(stderr, `Serves a fake Extend (API version 2025-04-21) on this machine, for the local run.
The first line printed is its base URL, the second its API key; after that, one line per step.
It ends on an interrupt.

`)
		flags.PrintDefaults()
	}
	flags.StringVar(&listen, "listen", "127.0.0.1:0", "loopback `address` to listen on; port 0 takes a free one")
	opts.APIKey = "sk_" + rand.Text() // not an option, so that it is never one that others know
	flags.Func("processor", "`id[:type[:name]]` of a processor, with type EXTRACT (default), CLASSIFY or SPLITTER;\nmay be repeated (default dp_local:EXTRACT:Local extractor)", func(value string) error {
		p, err := parseProcessor(value)
		opts.Processors = append(opts.Processors, p)
		return err
	})
	flags.Func("workflow", "`id=processor,…` of a workflow and the ids of its processors; may be repeated", func(value string) error {
		w, err := parseWorkflow(value)
		opts.Workflows = append(opts.Workflows, w)
		return err
	})
	flags.StringVar(&opts.WebhookURL, "webhook-url", "", "`URL` that webhooks are sent to; empty sends none")
	flags.StringVar(&opts.WebhookSecret, "webhook-secret", "", "`secret` that webhooks are signed with")
	flags.DurationVar(&took, "processing-time", time.Second, "how long a run takes once its file is fetched")
	flags.IntVar(&opts.RequestsPerSecond, "requests-per-second", 10, "requests over this get 429; 0 means no limit")
	flags.IntVar(&opts.FilesPerMinute, "files-per-minute", 80, "files over this wait as PENDING; 0 means no limit")
	if err := flags.Parse(args); err != nil {
		return "", opts, err
	}
	if flags.NArg() > 0 {
		return "", opts, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if len(opts.Processors) == 0 {
		opts.Processors = []fakeextend.Processor{{ID: "dp_local", Type: fakeextend.Extract, Name: "Local extractor", Subscribed: true}}
	}
	opts.Processing = fakeextend.Fixed(took)
	other := func(fakeextend.JobInfo) time.Duration { return took }
	opts.ParserTime, opts.EditTime, opts.WorkflowTime, opts.BatchTime = other, other, other, took
	opts.RetryAfter = fakeextend.RetryAfterSeconds
	return listen, opts, checkLoopback(listen)
}

func parseProcessor(value string) (fakeextend.Processor, error) {
	id, rest, _ := strings.Cut(value, ":")
	kind, name, _ := strings.Cut(rest, ":")
	if kind == "" {
		kind = fakeextend.Extract
	}
	if id == "" {
		return fakeextend.Processor{}, errors.New("id is empty")
	}
	return fakeextend.Processor{ID: id, Type: kind, Name: name, Subscribed: true}, nil
}

func parseWorkflow(value string) (fakeextend.Workflow, error) {
	id, processors, _ := strings.Cut(value, "=")
	if id == "" {
		return fakeextend.Workflow{}, errors.New("id is empty")
	}
	w := fakeextend.Workflow{ID: id, Subscribed: true}
	if processors != "" {
		w.Processors = strings.Split(processors, ",")
	}
	return w, nil
}

// checkLoopback keeps the fake off the network: it fetches any URL that a
// holder of its key names.
func checkLoopback(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return fmt.Errorf("--listen: %q is not a loopback address such as 127.0.0.1", host)
	}
	return nil
}

// line tells a step in one line.
func line(s fakeextend.Step) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %-17s", s.At.Format("15:04:05.000"), s.Kind)
	add := func(format string, value any, given bool) {
		if given {
			fmt.Fprintf(&b, "  "+format, value)
		}
	}
	add("%s", s.RunID, s.RunID != "")
	add("%s", s.EventID, s.EventID != "")
	add("%q", s.FileName, s.FileName != "")
	add("%d bytes", s.Bytes, s.Bytes != 0)
	add("HTTP %d", s.Status, s.Status != 0)
	add("%s", s.Detail, s.Detail != "")
	return b.String()
}
