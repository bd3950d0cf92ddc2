package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestOnlyLoopback(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]bool{
		"127.0.0.1:0": true, "127.1.2.3:80": true, "[::1]:0": true,
		"0.0.0.0:0": false, ":8080": false, "[::]:0": false, "10.0.0.1:80": false, "localhost:0": false, "127.0.0.1": false,
	} {
		if err := checkLoopback(address); (err == nil) != want {
			t.Errorf("%s: %v", address, err)
		}
	}
}

func TestCommandLine(t *testing.T) {
	t.Parallel()
	_, opts, err := parse([]string{"--processor", "dp_a", "--processor", "dp_b:CLASSIFY:Mail: inbound"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if p := opts.Processors; len(p) != 2 || p[0].Type != "EXTRACT" || p[1].Type != "CLASSIFY" || p[1].Name != "Mail: inbound" || !p[1].Subscribed {
		t.Errorf("processors: %+v", p)
	}
	_, opts, err = parse([]string{"--workflow", "workflow_a=dp_a,dp_b", "--workflow", "workflow_b", "--processing-time", "3s"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if w := opts.Workflows; len(w) != 2 || len(w[0].Processors) != 2 || w[1].ID != "workflow_b" || w[1].Processors != nil || opts.BatchTime != 3*time.Second {
		t.Errorf("workflows: %+v", w)
	}
	for _, args := range [][]string{{"extra"}, {"--workflow", "=dp_a"}, {"--unknown"}, {"--processor", ":EXTRACT"}, {"--listen", "0.0.0.0:0"}, {"--processing-time", "2"}} {
		if _, _, err := parse(args, io.Discard); err == nil {
			t.Errorf("%v: accepted", args)
		}
	}
	var help strings.Builder
	if _, _, err := parse([]string{"--help"}, &help); !errors.Is(err, flag.ErrHelp) || !strings.Contains(help.String(), "loopback") {
		t.Errorf("help: %v %s", err, help.String())
	}
}

// It prints its base URL and its key first, answers there whoever has the key and is no
// page in a browser, tells steps, and ends with its context.
func TestRun(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	out, in := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, nil, in, io.Discard)
		in.Close()
		ended <- err
	}()
	lines := bufio.NewScanner(out)
	if !lines.Scan() || !strings.HasPrefix(lines.Text(), "http://127.0.0.1:") {
		t.Fatalf("first line %q", lines.Text())
	}
	base := lines.Text()
	if !lines.Scan() || len(lines.Text()) < 20 {
		t.Fatalf("second line %q", lines.Text())
	}
	key := lines.Text()
	told := make(chan string, 1)
	go func() {
		lines.Scan()
		told <- lines.Text()
		_, _ = io.Copy(io.Discard, out)
	}()
	for name, tt := range map[string]struct {
		host   string
		header map[string]string
		want   int
	}{
		"a page that has the key": {"", map[string]string{"Authorization": "Bearer " + key, "Origin": "https://evil.example"}, 403},
		"rebinding":               {"rebind.example", map[string]string{"Authorization": "Bearer " + key}, 403},
		"the key":                 {"", map[string]string{"Authorization": "Bearer " + key, "X-Extend-Api-Version": "2025-04-21"}, 200},
		"the key of earlier days": {"", map[string]string{"Authorization": "Bearer sk_local"}, 401},
	} {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/processor_runs", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = tt.host
		for name, value := range tt.header {
			req.Header.Set(name, value)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != tt.want {
			t.Errorf("%s: status %d, want %d", name, resp.StatusCode, tt.want)
		}
	}
	if step := <-told; !strings.Contains(step, "request refused") || !strings.Contains(step, "HTTP 401") {
		t.Errorf("step %q", step)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
