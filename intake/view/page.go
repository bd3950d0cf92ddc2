package view

import (
	"cmp"
	"context"
	"crypto/rand"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"extend-intake/shared/ledger"
)

// Options are what a person may choose. Their zero values are sensible.
type Options struct {
	// Threshold is the confidence below which a value counts as low; 0 is 0.8.
	Threshold float64
	// Idle is how long nobody may ask for anything before [Page.Serve] ends; 0 is 30 minutes.
	Idle time.Duration
	// CacheBytes is how much the copies of documents may take on disk; 0 is 500 MB.
	CacheBytes int64
	// CacheDir is a folder for those copies and for what makes later starts faster. Empty:
	// extend-intake in the user's own cache folder.
	CacheDir string
	// Command is what people type for `intake`, with the flags that choose this stack.
	Command string
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// Page is the handler of the whole page.
type Page struct {
	stack     Stack
	options   Options
	secret    string
	handler   http.Handler
	originals *originals
	remove    func()
	active    atomic.Int64 // when somebody last asked for something, in nanoseconds
	running   atomic.Int64 // requests
	mu        sync.Mutex
	recent    []*ledger.Record // whose pages are shown, the last one last
	counted   map[ledger.State]int
	countedAt time.Time
}

//go:embed templates static
var files embed.FS

var templates = template.Must(template.New("").Funcs(template.FuncMap{
	"visible": visible, "plural": plural, "join": strings.Join, "args": args, "add": func(a, b int) int { return a + b },
	"columnName": columnName, "grouped": grouped,
}).ParseFS(files, "templates/*.html"))

// New makes a page of a stack. Close it when it is served no more.
func New(stack Stack, options Options) (*Page, error) {
	options.Threshold = cmp.Or(options.Threshold, 0.8)
	options.Idle = cmp.Or(options.Idle, 30*time.Minute)
	options.CacheBytes = cmp.Or(options.CacheBytes, 500_000_000)
	options.Command = cmp.Or(options.Command, "intake")
	if options.Now == nil {
		options.Now = time.Now
	}
	if options.Threshold < 0 || options.Threshold > 1 {
		return nil, fmt.Errorf("view: threshold %v: a confidence is between 0 and 1", options.Threshold)
	}
	if options.CacheDir == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			return nil, fmt.Errorf("view: folder for copies of documents: %w", err)
		}
		options.CacheDir = filepath.Join(dir, "extend-intake")
	}
	dir, remove, err := tempDir(options.CacheDir)
	if err != nil {
		return nil, err
	}
	p := &Page{stack: stack, options: options, secret: strings.ToLower(rand.Text()), remove: remove}
	ctx, cancel := context.WithCancel(context.Background())
	p.originals = &originals{ctx: ctx, cancel: cancel, stack: &p.stack, dir: dir, limit: options.CacheBytes, engine: &pdfEngine{cache: options.CacheDir}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", p.overview)
	mux.HandleFunc("GET /open", p.find)
	mux.HandleFunc("GET /documents", p.documents)
	mux.HandleFunc("GET /documents.csv", p.csv)
	mux.HandleFunc("GET /documents/{id}", p.document)
	mux.HandleFunc("GET /documents/{id}/pages/{page}", p.pagePicture)
	mux.HandleFunc("GET /documents/{id}/image", p.image)
	mux.HandleFunc("GET /documents/{id}/original", p.download)
	mux.HandleFunc("GET /documents/{id}/output.json", p.output)
	mux.HandleFunc("GET /dead-letters", p.deadLetters)
	mux.HandleFunc("GET /reprocess", p.reprocess)
	mux.HandleFunc("POST /reprocess", p.reprocess)
	mux.Handle("GET /static/", http.FileServerFS(files))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		p.fail(w, http.StatusNotFound, "There is no such page", "Go on with the overview.")
	})
	p.handler = secured(p.secret, mux)
	return p, nil
}

// Close removes the copies of documents.
func (p *Page) Close() {
	p.originals.close()
	p.remove()
}

// URL is the address to open in a browser. Whoever knows it can read the documents, on
// this machine.
func (p *Page) URL(address net.Addr) string {
	return "http://" + address.String() + "/" + p.secret + "/"
}

// ServeHTTP answers browsers of this machine that know the path. All others get 403 or 404.
func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.running.Add(1)
	p.active.Store(time.Now().UnixNano())
	defer func() {
		p.active.Store(time.Now().UnixNano())
		p.running.Add(-1)
	}()
	p.handler.ServeHTTP(w, r)
}

// ErrIdle is why [Page.Serve] ended: nobody had asked for anything for [Options.Idle].
var ErrIdle = errors.New("nobody has looked at the page for a while")

// Serve serves the page until ctx is done, which is no error, or until it is idle.
func (p *Page) Serve(ctx context.Context, listener net.Listener) error {
	if at, ok := listener.Addr().(*net.TCPAddr); !ok || !at.IP.IsLoopback() {
		_ = listener.Close()
		return fmt.Errorf("view: %s is not an address of this machine alone", listener.Addr())
	}
	server := &http.Server{Handler: p, ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: 64 << 10}
	p.active.Store(time.Now().UnixNano())
	go p.originals.engine.warm()
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	stop := func() {
		soon, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		if server.Shutdown(soon) != nil {
			_ = server.Close()
		}
	}
	for {
		left := p.options.Idle - time.Since(time.Unix(0, p.active.Load()))
		if left <= 0 {
			if p.running.Load() == 0 {
				stop()
				return ErrIdle
			}
			left = time.Second
		}
		timer := time.NewTimer(left)
		select {
		case <-ctx.Done():
			timer.Stop()
			stop()
			return nil
		case err := <-ended:
			timer.Stop()
			return err
		case <-timer.C:
		}
	}
}

// url is the address of a page of ours.
func (p *Page) url(path string, query url.Values) string {
	u := "/" + p.secret + path
	if len(query) > 0 {
		u += "?" + query.Encode()
	}
	return u
}

func (p *Page) documentURL(id string) string { return p.url("/documents/"+url.PathEscape(id), nil) }

// frame is what every page has.
type frame struct {
	Title, Here string
	Base        string
	Stack       *Stack
	Command     string
	Write       bool
}

func (p *Page) frame(title, here string) frame {
	return frame{Title: title, Here: here, Base: p.url("", nil), Stack: &p.stack, Command: p.options.Command, Write: p.stack.Reprocess != nil}
}

func (p *Page) render(w http.ResponseWriter, name string, data any) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_ = templates.ExecuteTemplate(w, name, data) // the browser is gone
}

// fail is a page that says what is wrong and what to do.
func (p *Page) fail(w http.ResponseWriter, status int, what, do string) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	p.render(w, "error", struct {
		frame
		What, Do string
	}{p.frame(what, ""), what, do})
}

// record reads the document of a request, and answers itself where there is none. A record
// that can't be understood is returned as far as it can, with what is wrong.
func (p *Page) record(w http.ResponseWriter, r *http.Request) (rec *ledger.Record, problem string, ok bool) {
	id := r.PathValue("id")
	rec, err := p.stack.Document(r.Context(), id)
	switch {
	case errors.Is(err, ledger.ErrNotFound):
		p.fail(w, http.StatusNotFound, "There is no document "+id, "Its upload may still be in the queue, or its key has no route: "+p.options.Command+" explain "+shellQuote(id))
		return nil, "", false
	case err != nil && (rec == nil || !errors.Is(err, ledger.ErrRecord)):
		p.fail(w, http.StatusBadGateway, "The record can't be read", err.Error())
		return nil, "", false
	case err != nil:
		problem = err.Error()
	}
	return rec, problem, true
}
