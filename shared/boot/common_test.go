package boot

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"extend-intake/shared/extend"
)

func TestExtendMakesCallsAsItWasTold(t *testing.T) {
	t.Parallel()
	var tries, connections atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tries.Add(1)
		if r.Header.Get("x-extend-workspace-id") != "ws_1" {
			t.Errorf("workspace %q", r.Header.Get("x-extend-workspace-id"))
		}
		w.Header().Set("x-extend-api-version", "2026-02-09")
		w.WriteHeader(http.StatusBadGateway)
	}))
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	base, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	client, err := Extend(Common{BaseURL: base, Workspace: "ws_1"}, extend.StaticKey("sk_test"), Calls{
		Timeout: time.Minute, Tries: 2, Transport: FreshConnections(), Jitter: func() float64 { return 0 },
		OtherVersion: func(_ context.Context, said string) { told = append(told, said) },
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Runs.Get(t.Context(), "dpr_1"); err == nil || tries.Load() != 2 || connections.Load() != 2 {
		t.Errorf("%v after %d tries on %d connections, want two of each", err, tries.Load(), connections.Load())
	}
	if !slices.Equal(told, []string{"2026-02-09", "2026-02-09"}) {
		t.Errorf("told of versions %q", told)
	}
}

func TestCompleteNamesWhatIsMissing(t *testing.T) {
	t.Parallel()
	type parts struct {
		Ledger *int
		Now    func() time.Time
		Table  string
	}
	err := Complete(parts{Table: "documents"})
	if err == nil || !strings.Contains(err.Error(), "Ledger is missing") || !strings.Contains(err.Error(), "Now is missing") || strings.Contains(err.Error(), "Table") {
		t.Error(err)
	}
	if err := Complete(parts{new(int), time.Now, "documents"}); err != nil {
		t.Error(err)
	}
}
