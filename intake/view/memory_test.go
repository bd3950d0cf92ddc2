package view

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"extend-intake/shared/ledger"
)

// world is a stack in memory.
type world struct {
	mu        sync.Mutex
	records   []*ledger.Record
	problems  map[string]error
	outputs   map[string]json.RawMessage
	originals map[string][]byte
	missing   map[string]error // why an original or an output can't be had
	runs      map[string]*Run
	letters   []DeadLetter
	logs      []LogLine
	status    *Status
	sent      []string
	calls     map[string]int
}

func newWorld() *world {
	return &world{problems: map[string]error{}, outputs: map[string]json.RawMessage{}, originals: map[string][]byte{}, missing: map[string]error{}, runs: map[string]*Run{}, calls: map[string]int{}}
}

var noon = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

// add puts a document into the world; what is not said about it is made up.
func (w *world) add(rec ledger.Record, output string, original []byte) *ledger.Record {
	n := len(w.records) + 1
	rec.DocumentID = cmp.Or(rec.DocumentID, fmt.Sprintf("doc_%026d", n))
	rec.State = cmp.Or(rec.State, ledger.Processed)
	if rec.Key == "" && original != nil {
		rec.Key = fmt.Sprintf("in/%d.pdf", n)
	}
	if rec.Key != "" {
		rec.Bucket = cmp.Or(rec.Bucket, "uploads")
		rec.Object = "s3://" + rec.Bucket + "/" + rec.Key
		rec.VersionID = cmp.Or(rec.VersionID, fmt.Sprintf("v%d", n))
	}
	rec.Attempt = max(rec.Attempt, 1)
	rec.Version = 1
	if rec.State.Terminal() && rec.FinishedAt.IsZero() {
		rec.FinishedAt = noon.Add(-time.Duration(n) * time.Minute)
	}
	if rec.UploadedAt.IsZero() {
		rec.UploadedAt = noon.Add(-time.Duration(n)*time.Minute - 40*time.Second)
	}
	if output != "" {
		rec.OutputRunID = cmp.Or(rec.OutputRunID, "dpr_"+fmt.Sprint(n))
		rec.RunID = cmp.Or(rec.RunID, rec.OutputRunID)
		w.outputs[rec.DocumentID] = json.RawMessage(output)
	}
	w.originals[rec.DocumentID] = original
	w.records = append(w.records, &rec)
	return &rec
}

func (w *world) count(call string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls[call]++
}

func (w *world) stack() Stack {
	return Stack{
		Name: "extend-intake-test", Account: "123456789012", Region: "eu-west-1", Routes: []string{"invoices", "contracts"},
		Status: func(context.Context) (*Status, error) {
			if w.status == nil {
				return nil, fmt.Errorf("the table does not answer")
			}
			return w.status, nil
		},
		Documents: func(_ context.Context, q Query) (*List, error) {
			w.count("documents")
			list, start := &List{}, 0
			if q.After != "" {
				if _, err := fmt.Sscanf(q.After, "at-%d", &start); err != nil {
					return nil, fmt.Errorf("the place %q in the list is unknown: begin anew", q.After)
				}
			}
			for i := start; i < len(w.records); i++ {
				rec := w.records[i]
				if q.State != "" && rec.State != q.State || q.Route != "" && rec.Route != q.Route || !strings.HasPrefix(rec.Key, q.Prefix) || q.Reason != "" && rec.FailureReason != q.Reason {
					continue
				}
				if len(list.Rows) == q.Limit {
					list.Next = fmt.Sprintf("at-%d", i)
					break
				}
				row := Row{Record: rec}
				if err := w.problems[rec.DocumentID]; err != nil {
					row.Problem = err.Error()
				}
				list.Rows = append(list.Rows, row)
			}
			return list, nil
		},
		Document: func(_ context.Context, id string) (*ledger.Record, error) {
			w.count("document")
			i := slices.IndexFunc(w.records, func(r *ledger.Record) bool { return r.DocumentID == id || r.RunID == id && id != "" })
			if i < 0 {
				return nil, fmt.Errorf("%w: %s", ledger.ErrNotFound, id)
			}
			return w.records[i], w.problems[id]
		},
		Output: func(_ context.Context, rec *ledger.Record) (json.RawMessage, error) {
			return w.outputs[rec.DocumentID], w.missing["output "+rec.DocumentID]
		},
		Outputs: func(_ context.Context, ids []string) (map[string]json.RawMessage, error) {
			found := map[string]json.RawMessage{}
			for _, id := range ids {
				found[id] = w.outputs[id]
			}
			return found, nil
		},
		Original: func(_ context.Context, rec *ledger.Record) (*Original, error) {
			w.count("original")
			if err := w.missing[rec.DocumentID]; err != nil {
				return nil, err
			}
			body := w.originals[rec.DocumentID]
			return &Original{io.NopCloser(bytes.NewReader(body)), max(int64(len(body)), rec.Size)}, nil
		},
		Run: func(_ context.Context, id string) (*Run, error) {
			w.count("run")
			if run := w.runs[id]; run != nil {
				return run, nil
			}
			return nil, fmt.Errorf("Extend knows no run %s", id)
		},
		Logs:        func(context.Context, *ledger.Record) ([]LogLine, error) { w.count("logs"); return w.logs, nil },
		DeadLetters: func(context.Context) ([]DeadLetter, error) { w.count("letters"); return w.letters, nil },
		Cost: func(_ context.Context, recs []*ledger.Record) (string, error) {
			return fmt.Sprintf("about %d credits", 5*len(recs)), nil
		},
	}
}

// reprocess lets the page write.
func (w *world) reprocess(s *Stack) {
	s.Reprocess = func(_ context.Context, rec *ledger.Record, why string) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.sent = append(w.sent, fmt.Sprintf("%s %d %s", rec.DocumentID, rec.Attempt+1, why))
		return nil
	}
}

// client asks a served page.
type client struct {
	t    *testing.T
	page *Page
	base string
	addr string
}

func serve(t *testing.T, stack Stack, options Options) *client {
	t.Helper()
	options.CacheDir = cmp.Or(options.CacheDir, t.TempDir())
	if options.Now == nil {
		options.Now = func() time.Time { return noon }
	}
	page, err := New(stack, options)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(page)
	t.Cleanup(func() { server.Close(); page.Close() })
	return &client{t, page, page.URL(server.Listener.Addr()), server.Listener.Addr().String()}
}

// get returns a page of ours, whose status must be as said.
func (c *client) get(path string, status int) string {
	c.t.Helper()
	body, got, _ := c.ask(c.request("GET", path, nil))
	if got != status {
		c.t.Fatalf("GET %s: status %d, want %d\n%s", path, got, status, body)
	}
	return body
}

func (c *client) request(method, path string, body io.Reader) *http.Request {
	c.t.Helper()
	r, err := http.NewRequestWithContext(c.t.Context(), method, strings.TrimSuffix(c.base, "/")+path, body)
	if err != nil {
		c.t.Fatal(err)
	}
	return r
}

func (c *client) ask(r *http.Request) (body string, status int, header http.Header) {
	c.t.Helper()
	answer, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
	if err != nil {
		c.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return string(text), answer.StatusCode, answer.Header
}
