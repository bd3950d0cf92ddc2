package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/google/go-cmp/cmp"

	"extend-intake/dev/stack/emulator"
)

// lambdaClient speaks to a runtime interface as a function does.
type lambdaClient struct {
	t   *testing.T
	url string
}

func (c lambdaClient) call(method, path, body string) (status int, header http.Header, answer string) {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), method, c.url+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(text)
}

func TestLambdaAPI(t *testing.T) {
	t.Parallel()
	const next = "/2018-06-01/runtime/invocation/next"
	for _, c := range []struct {
		name    string
		method  string
		path    string // ID is that of the invocation under way
		body    string
		status  int
		answer  string // of the invocation
		wantErr string // of it
	}{
		{name: "answer", method: "POST", path: "invocation/ID/response", body: `{"statusCode":200}`, status: 202, answer: `{"statusCode":200}`},
		{name: "error of the function", method: "POST", path: "invocation/ID/error", body: `{"errorType":"X"}`, status: 202, answer: `{"errorType":"X"}`, wantErr: `the function failed: {"errorType":"X"}`},
		{name: "answer to another invocation", method: "POST", path: "invocation/00000000-0000-4000-8000-000000000009/response", body: `{}`, status: 403, wantErr: "not the invocation that is under way"},
		{name: "answer that is not JSON", method: "POST", path: "invocation/ID/response", body: `{`, status: 400, wantErr: "not JSON"},
		{name: "next without an answer", method: "GET", path: "invocation/next", status: 403, wantErr: "the invocation before is not answered"},
		{name: "next by POST", method: "POST", path: "invocation/next", status: 404, wantErr: "no such path"},
		{name: "failed start", method: "POST", path: "init/error", body: `{"errorMessage":"no table"}`, status: 202, wantErr: "no table"},
		{name: "unknown path", method: "GET", path: "logs", status: 404, wantErr: "no such path"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			api := newLambdaAPI()
			server := httptest.NewServer(api)
			t.Cleanup(server.Close)
			function := lambdaClient{t, server.URL}
			j := &job{event: []byte(`{"n":1}`), done: make(chan struct{})}
			go func() { api.work <- j }()

			status, header, event := function.call("GET", next, "")
			if status != 200 || event != `{"n":1}` {
				t.Fatalf("%d %q", status, event)
			}
			for _, name := range []string{"Lambda-Runtime-Aws-Request-Id", "Lambda-Runtime-Deadline-Ms", "Lambda-Runtime-Invoked-Function-Arn", "Lambda-Runtime-Trace-Id"} {
				if header.Get(name) == "" {
					t.Errorf("no header %s", name)
				}
			}
			path := strings.Replace(c.path, "ID", header.Get("Lambda-Runtime-Aws-Request-Id"), 1)
			if status, _, answer := function.call(c.method, "/2018-06-01/runtime/"+path, c.body); status != c.status {
				t.Errorf("status %d %s, want %d", status, answer, c.status)
			}
			<-j.done
			if string(j.answer) != c.answer {
				t.Errorf("the invocation was answered %q, want %q", j.answer, c.answer)
			}
			if (j.err != nil) != (c.wantErr != "") || j.err != nil && !strings.Contains(j.err.Error(), c.wantErr) {
				t.Errorf("the invocation's error is %v, want %q", j.err, c.wantErr)
			}
			if status, _, _ := function.call("POST", "/2018-06-01/runtime/invocation/"+j.id+"/response", `{}`); status != 403 {
				t.Errorf("a second answer got status %d, want 403", status)
			}
		})
	}
}

// The empty function is started as it is built, and takes events.
func TestInstance(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("compiles a function")
	}
	root, err := emulator.Root()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := build(t.Context(), root, dir, "empty"); err != nil {
		t.Fatal(err)
	}
	i, err := startInstance(t.Context(), "empty", filepath.Join(dir, "empty"), nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		answer, took, err := i.invoke(t.Context(), []byte(`{}`))
		if err != nil || string(answer) != "null" || took <= 0 {
			t.Errorf("%q after %v, %v", answer, took, err)
		}
	}
	if n, err := zipSize(filepath.Join(dir, "empty")); err != nil || n < 100_000 {
		t.Errorf("zip of %d bytes, %v", n, err)
	}
	if i.stop() <= 0 {
		t.Error("it took no processor time")
	}
	if _, _, err := i.invoke(t.Context(), []byte(`{}`)); err == nil {
		t.Error("a function that has ended takes events")
	}
	_, err = startInstance(t.Context(), "submit", "/bin/false", nil)
	if err == nil || !strings.Contains(err.Error(), "submit ended instead of starting") {
		t.Error(err)
	}
}

func TestBetween(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, file, want string }{
		{"empty", "a\n<!-- bench -->\n<!-- /bench -->\nb\n", "a\n<!-- bench -->\nNEW\n<!-- /bench -->\nb\n"},
		{"what was there goes", "a\n<!-- bench -->\nold\n| x |\n<!-- /bench -->\n", "a\n<!-- bench -->\nNEW\n<!-- /bench -->\n"},
		{"no marks", "a\n", ""},
		{"no end", "a\n<!-- bench -->\n", ""},
		{"the end comes first", "<!-- /bench -->\n<!-- bench -->\n", ""},
		{"twice", "<!-- bench -->\n<!-- /bench -->\n<!-- bench -->\n<!-- /bench -->\n", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "benchmarks.md")
			if err := os.WriteFile(path, []byte(c.file), 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := between(path, "NEW\n")
			if string(got) != c.want || (err != nil) != (c.want == "") {
				t.Errorf("%q, %v, want %q", got, err, c.want)
			}
			if err != nil && !strings.Contains(err.Error(), "benchmarks.md: the tables go between a line <!-- bench -->") {
				t.Errorf("the error does not say what to do: %v", err)
			}
		})
	}
}

// item is one with these attributes, all strings.
func item(pairs ...string) attributes {
	a := attributes{}
	for i := 0; i < len(pairs); i += 2 {
		a[pairs[i]] = map[string]any{"S": pairs[i+1]}
	}
	return a
}

func TestWriteUnits(t *testing.T) {
	t.Parallel()
	root, err := emulator.Root()
	if err != nil {
		t.Fatal(err)
	}
	tmpl, err := readTemplate(filepath.Join(root, "template.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var documents table
	if err := tmpl.table(new(dynamodb.CreateTableInput), &documents); err != nil {
		t.Fatal(err)
	}
	claimed := item("documentId", "d", "object", "o", "sequence", "1", "state", "SUBMITTING", "stateTime", "1")
	for _, c := range []struct {
		name          string
		before, after attributes
		want          float64
	}{
		{"new: the item and two entries", nil, claimed, 3},
		{"the same again", claimed, claimed, 1},
		{"state and run: one entry goes, two come", claimed, item("documentId", "d", "object", "o", "sequence", "1", "state", "PROCESSING", "stateTime", "2", "runId", "r"), 4},
		{"an attribute that no index has", claimed, item("documentId", "d", "object", "o", "sequence", "1", "state", "SUBMITTING", "stateTime", "1", "x", "y"), 1},
		{"half of an index's key is no entry", nil, item("documentId", "d", "state", "SUBMITTING"), 1},
		{"the larger of both counts", item("documentId", "d", "x", strings.Repeat("x", 5000)), item("documentId", "d"), 5},
		{"a long key makes a large entry", nil, item("documentId", "d", "runId", strings.Repeat("x", 1500)), 4},
		{"deleted", claimed, nil, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := documents.writeUnits(c.before, c.after); got != c.want {
				t.Errorf("%v units, want %v", got, c.want)
			}
		})
	}
	documents.GlobalSecondaryIndexes[0].Projection.ProjectionType = "ALL"
	if err := documents.check(); err == nil {
		t.Error("an index that has more than keys is counted wrongly and silently")
	}
}

func TestItemSize(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{
		`{}`:                             0,
		`{"ab":{"S":"ü"}}`:               4,
		`{"a":{"N":"12345"}}`:            5,
		`{"a":{"NULL":true}}`:            2,
		`{"a":{"BOOL":false}}`:           2,
		`{"a":{"L":[]}}`:                 4,
		`{"a":{"L":[{"S":"x"}]}}`:        6,
		`{"a":{"M":{"bc":{"S":"def"}}}}`: 10,
	} {
		var a attributes
		if err := json.Unmarshal([]byte(text), &a); err != nil {
			t.Fatal(err)
		}
		if got := a.size(); got != want {
			t.Errorf("%s: %d bytes, want %d", text, got, want)
		}
	}
}

func TestBill(t *testing.T) {
	t.Parallel()
	u := usage{
		documents: 10, filesPerMinute: 80, concurrency: 2, deliveryBytes: 600 << 10,
		calls: map[string]map[string]call{
			"":          {"S3 PutObject": {10, 10}},
			"Extend":    {"S3 GetObject": {10, 10}},
			"submit":    {"DynamoDB PutItem": {10, 30}, "DynamoDB UpdateItem": {10, 40}, "Secrets Manager GetSecretValue": {1, 1}},
			"reconcile": {"DynamoDB Query": {40, 20}},
			"publish":   {"EventBridge PutEvents": {10, 10}, "SQS SendMessage": {1, 1}},
		},
		functions: map[string]functionUsage{
			"submit":    {memory: 0.25, warm: 0.010, awsCalls: 2, posts: 1, logBytes: 500, perDocument: 1},
			"publish":   {memory: 0.5, warm: 0.010, awsCalls: 2, logBytes: 200, perDocument: 1},
			"reconcile": {memory: 1, warm: 0.020, awsCalls: 4, logBytes: 800, perDocument: 1. / 80},
		},
	}
	items, err := bill(u)
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]float64)
	for _, i := range items {
		got[i.what] = math.Round(i.perMillion()*1e4) / 1e4
	}
	want := map[string]float64{ // GB-seconds: 0.25 × 320 ms, 0.5 × 20 ms, and 1 × 40 ms for each 80th
		"DynamoDB write units": 4.375, "DynamoDB read units": 0.0031, "S3: put of the file": 5, "S3: get by Extend": 0.4,
		"SQS: send, receive, delete": 1.24, "HTTP API: delivery": 2, "EventBridge: event": 1,
		"Lambda: invocations": 0.4025, "Lambda: GB-seconds": 1.2067, "CloudWatch Logs: bytes": 0.518,
		"Secrets Manager: reads": 0.0375, "KMS: reads of the table's key": 0.0375,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("dollars a million (-want +got):\n%s", diff)
	}
	// Two instances share 80 files a minute, so each waits 1.5 s for the next.
	if got, want := backlog(u), (1.5-0.32)*0.25*priceGBSecond; math.Abs(got-want) > 1e-9 {
		t.Errorf("a backlog costs %v, want %v", got, want)
	}
	u.calls["webhook"] = map[string]call{"DynamoDB TransactWriteItems": {1, 1}}
	if _, err := bill(u); err == nil || !strings.Contains(err.Error(), "DynamoDB TransactWriteItems, which webhook made, is unknown: add it") {
		t.Errorf("a call without a price: %v", err)
	}
}

func TestVariables(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "template.yaml")
	const text = `
Parameters:
  Window: { Type: Number, Default: 600 }
Globals:
  Function:
    Environment:
      Variables: { STACK: !Sub "${AWS::Region}/x", EMPTY: "" }
Resources:
  SubmitFunction:
    Properties:
      MemorySize: 256
      Environment: { Variables: { BUS: !If [MakesBus, !Ref Bus, !Ref Other], WINDOW: !Ref Window, TWO: "2" } }
  OddFunction:
    Properties:
      MemorySize: 256
      Environment: { Variables: { WHAT: !Ref Nothing } }
`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	tmpl, err := readTemplate(path)
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]string{"AWS::Region": "r", "Bus": "bus"}
	f, err := tmpl.function("SubmitFunction")
	if err != nil {
		t.Fatal(err)
	}
	env, err := tmpl.variables(f, names)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"STACK=r/x", "EMPTY=", "BUS=bus", "WINDOW=600", "TWO=2"} {
		if !bytes.Contains([]byte(strings.Join(env, "\n")+"\n"), []byte(want+"\n")) {
			t.Errorf("no %q in %q", want, env)
		}
	}
	odd, err := tmpl.function("OddFunction")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tmpl.variables(odd, names); err == nil || !strings.Contains(err.Error(), "variable WHAT: what Nothing stands for is unknown: add it") {
		t.Error(err)
	}
	if _, err := tmpl.function("GoneFunction"); err == nil {
		t.Error("a function that the template does not have is found")
	}
}

func TestParseBenchmarks(t *testing.T) {
	t.Parallel()
	got, err := parseBenchmarks(strings.NewReader("goos: linux\npkg: extend-intake/shared/ledger\ncpu: x\n" +
		"BenchmarkOutput/Encode/1KB-2   \t   20000\t     53400 ns/op\t  20.5 MB/s\t   24680 B/op\t     969 allocs/op\nPASS\n"))
	if diff := cmp.Diff([]benchmark{{"shared/ledger Output/Encode/1KB", 53400, 24680, 969, 20.5}}, got, cmp.AllowUnexported(benchmark{})); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	if _, err := parseBenchmarks(strings.NewReader("PASS\n")); err == nil {
		t.Error("no benchmark is no error")
	}
}

func TestQuantile(t *testing.T) {
	t.Parallel()
	var times []time.Duration
	for i := range 101 {
		times = append(times, time.Duration(100-i))
	}
	for part, want := range map[float64]time.Duration{0: 0, 0.5: 50, 0.99: 99, 1: 100} {
		if got := quantile(times, part); got != want {
			t.Errorf("%v: %d, want %d", part, got, want)
		}
	}
}

func TestFlags(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"--starts 0":  "--starts is 0: it must be 1 or more",
		"--events -1": "--events is -1",
		"x":           `unexpected argument "x": see --help`,
	} {
		if _, err := parse(strings.Fields(args), io.Discard); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", args, err, want)
		}
	}
	if _, err := parse(nil, io.Discard); err != nil {
		t.Error(err)
	}
	if _, err := parse([]string{"--help"}, io.Discard); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("--help: %v", err)
	}
}
