package view

import (
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"extend-intake/shared/ledger"
)

func TestRefusesStrangers(t *testing.T) {
	w := newWorld()
	w.add(ledger.Record{}, `{"value":{"a":1},"metadata":{}}`, []byte("some text"))
	w.status = &Status{}
	stack := w.stack()
	w.reprocess(&stack)
	c := serve(t, stack, Options{})
	for _, test := range []struct {
		name, method, path, host string
		header                   map[string]string
		want                     int
	}{
		{name: "the address as it is printed", path: "/", want: 200},
		{name: "typed", path: "/", header: map[string]string{"Sec-Fetch-Site": "none"}, want: 200},
		{name: "a link of ours", path: "/documents", header: map[string]string{"Sec-Fetch-Site": "same-origin"}, want: 200},
		{name: "localhost", path: "/", host: "localhost", want: 200},
		{name: "a name that resolves to this machine", path: "/", host: "rebound.example.com", want: 403},
		{name: "another address of this machine", path: "/", host: "127.0.0.2", want: 403},
		{name: "a link of another site", path: "/", header: map[string]string{"Sec-Fetch-Site": "cross-site"}, want: 403},
		{name: "a page of another port of this machine", path: "/", header: map[string]string{"Sec-Fetch-Site": "same-site"}, want: 403},
		{name: "no secret", path: "!/", want: 404},
		{name: "another secret", path: "!/aaaaaaaaaaaaaaaaaaaaaaaaaa/", want: 404},
		{name: "the secret's beginning", path: "!/" + c.page.secret[:20] + "/", want: 404},
		{name: "the secret and more", path: "!/" + c.page.secret + "x/", want: 404},
		{name: "a form of another site", method: "POST", path: "/reprocess", header: map[string]string{"Sec-Fetch-Site": "cross-site"}, want: 403},
		{name: "a form of another origin, of an older browser", method: "POST", path: "/reprocess", header: map[string]string{"Origin": "https://evil.example"}, want: 403},
		{name: "a form of ours", method: "POST", path: "/reprocess", header: map[string]string{"Sec-Fetch-Site": "same-origin"}, want: 400}, // it has no document
		{name: "another method", method: "DELETE", path: "/", want: 405},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := c.request(firstOf(test.method, "GET"), test.path, nil)
			if path, ok := strings.CutPrefix(test.path, "!"); ok {
				r.URL.Path = path
			}
			if test.host != "" {
				_, port, _ := net.SplitHostPort(c.addr)
				r.Host = test.host + ":" + port
			}
			for name, value := range test.header {
				r.Header.Set(name, value)
			}
			body, status, header := c.ask(r)
			if status != test.want {
				t.Errorf("status %d, want %d: %s", status, test.want, body)
			}
			if header.Get("Content-Security-Policy") != policy || header.Get("Cache-Control") != "no-store" || header.Get("X-Content-Type-Options") != "nosniff" || header.Get("Referrer-Policy") != "no-referrer" {
				t.Errorf("headers: %v", header)
			}
			if status >= 400 && strings.Contains(body, c.page.secret) && status != 400 {
				t.Error("the answer tells the secret")
			}
		})
	}
	if w.calls["document"] != 0 {
		t.Error("somebody who was refused had a record read")
	}
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func TestServesOnThisMachineOnly(t *testing.T) {
	w := newWorld()
	page, err := New(w.stack(), Options{CacheDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer page.Close()
	listener, err := net.Listen("tcp", "0.0.0.0:0") // #nosec G102 -- to see it refused
	if err != nil {
		t.Fatal(err)
	}
	if err := page.Serve(t.Context(), listener); err == nil || !strings.Contains(err.Error(), "this machine alone") {
		t.Errorf("error %v", err)
	}
	if _, err := Listen(70000); err == nil {
		t.Error("port 70000 is taken")
	}
}

func TestEndsWhenIdle(t *testing.T) {
	w := newWorld()
	page, err := New(w.stack(), Options{CacheDir: cacheDir(t), Idle: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer page.Close()
	listener, err := Listen(0)
	if err != nil {
		t.Fatal(err)
	}
	if err := page.Serve(t.Context(), listener); !errors.Is(err, ErrIdle) {
		t.Errorf("error %v, want %v", err, ErrIdle)
	}
}

func TestCopiesArePrivateAndRemoved(t *testing.T) {
	cache := t.TempDir()
	left := filepath.Join(cache, "documents", "left")
	if err := os.MkdirAll(left, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(left, "copy"), []byte("of a run that was killed"), 0o600); err != nil {
		t.Fatal(err)
	}
	w := newWorld()
	rec := w.add(ledger.Record{}, "", []byte("some text"))
	page, err := New(w.stack(), Options{CacheDir: cache})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(left); !os.IsNotExist(err) {
		t.Errorf("what an earlier run left is still there: %v", err)
	}
	other, err := New(w.stack(), Options{CacheDir: cache}) // beside it, at the same time
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(page.originals.dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info, err)
	}
	if _, _, err := page.originals.get(t.Context(), rec); err != nil {
		t.Error(err)
	}
	page.Close()
	other.Close()
	if all, _ := os.ReadDir(filepath.Join(cache, "documents")); len(all) != 0 {
		t.Errorf("left: %v", all)
	}
}

func TestReprocess(t *testing.T) {
	w := newWorld()
	done := w.add(ledger.Record{Key: "a.pdf", Attempt: 2}, "", nil)
	going := w.add(ledger.Record{Key: "b.pdf", State: ledger.Processing, RunID: "dpr_b"}, "", nil)
	query := "id=" + done.DocumentID + "&id=" + going.DocumentID
	post := func(c *client, form string) (string, int) {
		r := c.request("POST", "/reprocess", strings.NewReader(form))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		body, status, _ := c.ask(r)
		return body, status
	}
	t.Run("read only", func(t *testing.T) {
		c := serve(t, w.stack(), Options{Command: "intake --stack s"})
		if body := c.get("/reprocess?"+query, 200); !strings.Contains(body, "intake --stack s reprocess "+done.DocumentID+"</pre>") || strings.Contains(body, `method="post"`) {
			t.Error("it does not show the command alone")
		}
		if _, status := post(c, query+"&confirm=yes"); status != http.StatusForbidden || w.sent != nil {
			t.Errorf("status %d, sent %v", status, w.sent)
		}
	})
	t.Run("with --write", func(t *testing.T) {
		stack := w.stack()
		w.reprocess(&stack)
		c := serve(t, stack, Options{})
		if body := c.get("/reprocess?"+query, 200); !strings.Contains(body, "about 5 credits") || !strings.Contains(body, "it is on its way") {
			t.Error("it does not say what it costs, and what is left out")
		}
		for _, form := range []string{query, query + "&confirm=", query + "&confirm=y"} {
			if body, status := post(c, form); status != 200 || w.sent != nil || !strings.Contains(body, "Nothing was sent") {
				t.Errorf("%q: status %d, sent %v", form, status, w.sent)
			}
		}
		if body, status := post(c, query+"&confirm=yes&why=mended"); status != 200 || len(w.sent) != 1 || w.sent[0] != done.DocumentID+" 3 mended" || !strings.Contains(body, "1 document sent") {
			t.Errorf("status %d, sent %v\n%s", status, w.sent, body)
		}
	})
}
