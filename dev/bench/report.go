package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

const (
	beginMark = "<!-- bench -->"
	endMark   = "<!-- /bench -->"
)

// between is the file with the text between the two marks.
func between(path, text string) ([]byte, error) {
	whole, err := os.ReadFile(path) // #nosec G304 -- benchmarks.md
	if err != nil {
		return nil, err
	}
	before, rest, ok := bytes.Cut(whole, []byte(beginMark+"\n"))
	_, after, ok2 := bytes.Cut(rest, []byte(endMark+"\n"))
	if !ok || !ok2 || bytes.Contains(after, []byte(beginMark)) {
		return nil, fmt.Errorf("%s: the tables go between a line %s and a later line %s, once each: add them", filepath.Base(path), beginMark, endMark)
	}
	return fmt.Appendf(nil, "%s%s\n%s%s\n%s", before, beginMark, text, endMark, after), nil
}

// report is all that was measured, in Markdown.
func report(all []figures, u usage, trees []tree, deliveries []deliveryFigures, paths []benchmark, o options) (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "Measured on %s/%s with %s and %d processors: %d starts and %d documents, and an empty Go function in the same run. Calls of AWS\n"+
		"go to a local one, over loopback and without TLS.\n\n",
		runtime.GOOS, runtime.GOARCH, strings.Join(strings.Fields(runtime.Version())[:1], ""), runtime.NumCPU(), o.starts, o.events)
	b.WriteString("| function | init | first event | warm, median | warm, p99 | CPU per event | peak memory | zip |\n| --- | --- | --- | --- | --- | --- | --- | --- |\n")
	empty := all[0]
	for _, f := range all {
		memory := "not measured"
		if f.memory > 0 {
			memory = fmt.Sprintf("%s%s", megabytes(f.memory), ratio(f.name, float64(f.memory), float64(empty.memory)))
		}
		fmt.Fprintf(&b, "| %s | %s%s | %s | %s | %s | %s | %s | %s |\n", f.name, ms(f.init), ratio(f.name, float64(f.init), float64(empty.init)),
			ms(f.first), ms(f.warm), ms(f.p99), ms(f.cpu), memory, megabytes(f.zip))
	}

	reportDeliveries(&b, trees, deliveries, empty.memory)

	b.WriteString("\n| hot path | time | speed | allocated | allocations |\n| --- | --- | --- | --- | --- |\n")
	for _, p := range paths {
		speed := ""
		if p.megabytesPerSecond > 0 {
			speed = fmt.Sprintf("%.0f MB/s", p.megabytesPerSecond)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %.0f |\n", p.name, micro(p.ns), speed, kilobytes(p.bytes), p.allocates)
	}

	items, err := bill(u)
	if err != nil {
		return "", err
	}
	fmt.Fprintf(&b, "\nWhat AWS charges for a million documents that arrive one at a time, counted over %d documents from file to event, with outputs of %s in\n"+
		"deliveries of %s. Prices are those of us-east-1, on demand, %s. Assumed: %.0f ms for the POST to Extend, %.0f ms for a call of AWS, and %.0f files a minute,\n"+
		"which share what is paid by the minute.\n\n| item | per document | dollars per million |\n| --- | ---: | ---: |\n",
		u.documents, kilobytes(float64(len(output))), kilobytes(float64(u.deliveryBytes)), pricesAsOf, waitForExtend*1000, waitForAWS*1000, u.filesPerMinute)
	sum, upload := 0.0, 0.0
	for _, i := range items {
		sum += i.perMillion()
		if i.what == putOfTheFile {
			upload = i.perMillion()
		}
		fmt.Fprintf(&b, "| %s | %s | %.2f |\n", i.what, short(i.perDocument), i.perMillion())
	}
	fmt.Fprintf(&b, "| **all** | | **%.2f** |\n| without the put of the file, which costs the same without this stack | | **%.2f** |\n\n", sum, sum-upload)
	fmt.Fprintf(&b, "Not included: storage, backups, data transfer to Extend, free tiers, and Extend itself. Documents that wait in the queue cost up to %.2f dollars\n"+
		"more, because submit waits for its rate limiter, which allows %.0f files a minute.\n", backlog(u), u.filesPerMinute)
	return b.String(), nil
}

func ms(d time.Duration) string { return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond)) }

func micro(ns float64) string { return fmt.Sprintf("%.1f µs", ns/1000) }

func kilobytes(n float64) string { return fmt.Sprintf("%.1f KB", n/(1<<10)) }

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/(1<<20)) }

// short is a number with about three digits.
func short(n float64) string {
	if n >= 100 {
		return fmt.Sprintf("%.0f", n)
	}
	return fmt.Sprintf("%.3g", n)
}

func ratio(name string, n, empty float64) string {
	if name == "empty" || empty == 0 {
		return ""
	}
	return fmt.Sprintf(" (%.1f×)", n/empty)
}
