// Command bench measures what the functions cost: the built bootstraps as processes
// behind a runtime interface of ours, on a local AWS, with a fake Extend.
//
//	go run ./dev/bench            print the tables
//	go run ./dev/bench --write    put them into docs/benchmarks.md, between <!-- bench --> and <!-- /bench -->
//
// An empty Go function is measured in the same run, for machines differ more than
// functions do.
package main

import (
	"archive/zip"
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"extend-intake/dev/stack/child"
	"extend-intake/dev/stack/emulator"
)

func main() {
	// Not given back after the first: an impatient second Ctrl-C must not cut the cleaning up short.
	ctx, _ := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	if ctx.Err() != nil {
		err = errors.New("stopped") // whatever failed by it
	}
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

type options struct {
	write                     bool
	beside                    string
	starts, events, documents int
	benchtime                 string
}

func parse(args []string, stderr io.Writer) (o options, err error) {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprint(stderr, "Measures the functions, and prints tables in Markdown. It takes about three minutes.\n\n")
		flags.PrintDefaults()
	}
	flags.BoolVar(&o.write, "write", false, "put the tables into docs/benchmarks.md, between "+beginMark+" and "+endMark)
	flags.StringVar(&o.beside, "beside", "", "measure deliveries with the functions of another checkout too, in `directory`, in turns with these")
	flags.IntVar(&o.starts, "starts", 15, "`number` of starts of each function")
	flags.IntVar(&o.events, "events", 300, "`number` of events that are timed")
	flags.IntVar(&o.documents, "documents", 200, "`number` of documents whose calls of AWS are counted")
	flags.StringVar(&o.benchtime, "benchtime", "1s", "as for go test")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q: see --help", flags.Arg(0))
	}
	for name, n := range map[string]int{"--starts": o.starts, "--events": o.events, "--documents": o.documents} {
		if n < 1 {
			return o, fmt.Errorf("%s is %d: it must be 1 or more", name, n)
		}
	}
	return o, nil
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	root, err := emulator.Root()
	if err != nil {
		return err
	}
	page := filepath.Join(root, "docs", "benchmarks.md")
	if o.write { // before minutes are spent
		if _, err := between(page, ""); err != nil {
			return err
		}
	}
	dir, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	say := func(format string, args ...any) { fmt.Fprintf(stderr, format+"\n", args...) }

	say("building the functions …")
	if err := build(ctx, root, dir, functions...); err != nil {
		return err
	}
	trees := []tree{{"", dir}}
	if o.beside != "" {
		beside := filepath.Join(dir, "beside")
		if err := os.Mkdir(beside, 0o700); err != nil {
			return err
		}
		if err := build(ctx, o.beside, beside, byDelivery...); err != nil {
			return err
		}
		trees = append(trees, tree{"of " + filepath.Base(o.beside), beside})
	}
	say("starting a local AWS …")
	w, err := newWorld(ctx, root, dir)
	if err != nil {
		return err
	}
	defer w.stop()
	figures, u, err := measure(ctx, w, dir, o, say)
	if err != nil {
		return err
	}
	deliveries, err := measureDeliveries(ctx, w, trees, say)
	if err != nil {
		return err
	}
	w.stop() // the benchmarks need the machine for themselves
	w.closers = nil
	say("go test -bench …")
	paths, err := benchmarks(ctx, root, o.benchtime)
	if err != nil {
		return err
	}
	text, err := report(figures, u, trees, deliveries, paths, o)
	if err != nil {
		return err
	}
	if !o.write {
		_, err = io.WriteString(stdout, text)
		return err
	}
	whole, err := between(page, text)
	if err != nil {
		return err
	}
	say("writing docs/benchmarks.md")
	return os.WriteFile(page, whole, 0o600)
}

// build builds functions as the Makefile says, for this machine.
func build(ctx context.Context, root, dir string, names ...string) error {
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile")) // #nosec G304 -- a file of this repository
	if err != nil {
		return err
	}
	settings, err := buildSettings(makefile)
	if err != nil {
		return err
	}
	for _, name := range names {
		source := "./functions/" + name + "/lambda"
		if name == "empty" {
			source = "./dev/bench/empty"
		}
		cmd := exec.Command("sh", "-c", settings+` exec go build -o "$0" "$1"`, filepath.Join(dir, name), source) // #nosec G204 -- the settings are the Makefile's own, which make gives to a shell too
		if output, err := outputOf(ctx, root, cmd); err != nil {
			return fmt.Errorf("build %s: %w\n%s", source, err, output)
		}
	}
	return nil
}

var buildLine = regexp.MustCompile(`(?m)^BUILD := (.*)$`)

// buildSettings are the variables of the Makefile's BUILD, for a shell.
func buildSettings(makefile []byte) (string, error) {
	m := buildLine.FindSubmatch(makefile)
	if m == nil {
		return "", errors.New(`no line "BUILD := …" in the Makefile, by which the functions are built: keep its name, or mend buildLine in dev/bench`)
	}
	return strings.ReplaceAll(string(m[1]), "$(GOFLAGS)", "$GOFLAGS"), nil
}

func outputOf(ctx context.Context, dir string, cmd *exec.Cmd) ([]byte, error) {
	var out bytes.Buffer
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &out, &out
	err := child.Run(ctx, cmd)
	return out.Bytes(), err
}

// figures are what was measured of one function.
type figures struct {
	name             string
	init, first      time.Duration
	warm, p99        time.Duration
	cpu              time.Duration // an event
	memory, zip      int64         // bytes
	memoryConfigured float64       // MB
}

// measure starts the functions often, and then takes documents through one instance
// of each.
func measure(ctx context.Context, w *world, dir string, o options, say func(string, ...any)) ([]figures, usage, error) {
	u := usage{documents: o.documents, functions: make(map[string]functionUsage), filesPerMinute: w.filesPerMinute, concurrency: w.concurrency}
	inits, cpus := make(map[string][]time.Duration), make(map[string][]time.Duration)
	say("%d starts of each …", o.starts)
	for range o.starts {
		for _, name := range functions { // in turns, so that all have the same noise
			i, err := startInstance(ctx, name, filepath.Join(dir, name), w.env[name])
			if err != nil {
				return nil, u, err
			}
			inits[name] = append(inits[name], i.init)
			cpus[name] = append(cpus[name], i.stop())
		}
	}

	instances := make(map[string]*instance)
	defer func() {
		for _, i := range instances {
			i.stop()
		}
	}()
	for _, name := range functions {
		var err error
		if instances[name], err = startInstance(ctx, name, filepath.Join(dir, name), w.env[name]); err != nil {
			delete(instances, name)
			return nil, u, err
		}
	}
	say("%d documents timed, and the calls of %d counted …", o.events, o.documents)
	took := make(map[string][]time.Duration)
	total := o.events + o.documents
	for n := range total {
		times, err := w.document(ctx, instances, fmt.Sprintf("invoices/2026/Invoice %05d.pdf", n), n >= o.events)
		if err != nil {
			return nil, u, err
		}
		for name, d := range times {
			if n < o.events {
				took[name] = append(took[name], d)
			}
		}
	}

	u.calls, u.deliveryBytes = w.calls, w.deliveryBytes
	var all []figures
	for _, name := range functions {
		i := instances[name]
		f := figures{name: name, memoryConfigured: w.memory[name], init: quantile(inits[name], 0.5), first: took[name][0],
			warm: quantile(took[name], 0.5), p99: quantile(took[name], 0.99)}
		var err error
		if f.memory, err = i.peakMemory(); err != nil {
			return nil, u, err
		}
		f.cpu = max(i.stop()-quantile(cpus[name], 0.5), 0) / time.Duration(total)
		if f.zip, err = zipSize(filepath.Join(dir, name)); err != nil {
			return nil, u, err
		}
		all = append(all, f)
		if name != "empty" {
			u.functions[name] = functionUse(f, i, w.calls[name], total, o.documents, w)
		}
	}
	return all, u, nil
}

func functionUse(f figures, i *instance, calls map[string]call, invocations, recorded int, w *world) functionUsage {
	count := 0
	for _, c := range calls {
		count += c.count
	}
	use := functionUsage{
		memory: f.memoryConfigured / 1024, warm: f.warm.Seconds(), perDocument: 1, awsCalls: float64(count) / float64(recorded),
		logBytes: float64(i.log.bytes+i.log.lines*lineOverhead)/float64(invocations) + w.platformLines*(platformLineBytes+lineOverhead),
	}
	switch f.name {
	case "submit":
		use.posts = 1
	case "reconcile": // every minute, whatever comes
		use.perDocument = 1 / (reconcileMinutes * w.filesPerMinute)
	}
	return use
}

// quantile is the value below which a part of the times is.
func quantile(times []time.Duration, part float64) time.Duration {
	sorted := slices.Sorted(slices.Values(times))
	return sorted[min(int(part*float64(len(sorted))), len(sorted)-1)]
}

// zipSize is how large a bootstrap is as it is uploaded.
func zipSize(path string) (int64, error) {
	text, err := os.ReadFile(path) // #nosec G304 -- what was built here
	if err != nil {
		return 0, err
	}
	var packed bytes.Buffer
	z := zip.NewWriter(&packed)
	f, err := z.Create("bootstrap")
	if err != nil {
		return 0, err
	}
	if _, err := f.Write(text); err != nil {
		return 0, err
	}
	err = z.Close()
	return int64(packed.Len()), err
}

// benchmark is one line of go test -bench.
type benchmark struct {
	name                 string
	ns, bytes, allocates float64
	megabytesPerSecond   float64 // 0 if it does not say
}

var hotPaths = []string{"./functions/webhook", "./shared/document", "./shared/extend/webhook", "./shared/ledger"}

func benchmarks(ctx context.Context, root, benchtime string) ([]benchmark, error) {
	out, err := outputOf(ctx, root, exec.Command("go", append([]string{"test", "-run", "^$", "-bench", ".", "-benchmem", "-benchtime", benchtime}, hotPaths...)...)) // #nosec G204 -- the arguments are our own
	if err != nil {
		return nil, fmt.Errorf("go test -bench: %w\n%s", err, out)
	}
	return parseBenchmarks(bytes.NewReader(out))
}

var procsSuffix = regexp.MustCompile(`-\d+$`)

func parseBenchmarks(r io.Reader) ([]benchmark, error) {
	var all []benchmark
	pkg := ""
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) == 2 && fields[0] == "pkg:" {
			pkg = strings.TrimPrefix(fields[1], "extend-intake/")
		}
		if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		b := benchmark{name: pkg + " " + procsSuffix.ReplaceAllString(strings.TrimPrefix(fields[0], "Benchmark"), "")}
		for i := 2; i+1 < len(fields); i += 2 {
			value, err := strconv.ParseFloat(fields[i], 64)
			if err != nil {
				return nil, fmt.Errorf("go test -bench: %q: %w", lines.Text(), err)
			}
			switch fields[i+1] {
			case "ns/op":
				b.ns = value
			case "MB/s":
				b.megabytesPerSecond = value
			case "B/op":
				b.bytes = value
			case "allocs/op":
				b.allocates = value
			}
		}
		all = append(all, b)
	}
	if len(all) == 0 {
		return nil, errors.New("go test -bench: no benchmark in " + strings.Join(hotPaths, " "))
	}
	return all, lines.Err()
}
