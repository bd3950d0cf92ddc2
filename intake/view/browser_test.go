package view

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// browser is a real browser that looks at a page.
type browser struct {
	*client
	t   *testing.T
	ctx context.Context

	mu       sync.Mutex
	asked    []string // addresses
	messages []string // of the console
}

// chromium starts one browser for all tests, or says why there is none.
var chromium = sync.OnceValues(func() (context.Context, error) {
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		return nil, fmt.Errorf("there is no Chromium on this machine (Debian: apt-get install chromium)")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-dev-shm-usage", true),
		chromedp.Flag("no-first-run", true), chromedp.Flag("disable-domain-reliability", true), chromedp.Flag("hide-scrollbars", false), chromedp.WSURLReadTimeout(60*time.Second))
	allocated, _ := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, _ := chromedp.NewContext(allocated)
	return ctx, chromedp.Do(ctx)
})

func TestMain(m *testing.M) {
	code := m.Run()
	stopChromium()
	if dir, err := shared(); err == nil {
		_ = os.RemoveAll(dir)
	}
	os.Exit(code)
}

// stopChromium ends the browser if a test has started it.
var stopChromium = func() {}

// look opens a browser of its own size and look on a stack.
func (c *client) look(t *testing.T, width, height int, dark bool) *browser {
	t.Helper()
	all, err := chromium()
	if all == nil {
		t.Skip("not tested in a browser: " + err.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	stopChromium = func() { _ = chromedp.Cancel(all) }
	ctx, cancel := chromedp.NewContext(all, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, 5*time.Minute)
	t.Cleanup(cancel)
	b := &browser{client: c, t: t, ctx: ctx}
	if err := chromedp.Listen(ctx, func(event any) {
		b.mu.Lock()
		defer b.mu.Unlock()
		switch e := event.(type) {
		case *network.EventRequestWillBeSent:
			b.asked = append(b.asked, e.Request.URL)
		case *log.EventEntryAdded:
			b.messages = append(b.messages, e.Entry.Text)
		case *runtime.EventExceptionThrown:
			b.messages = append(b.messages, fmt.Sprintf("%s: %+v", e.ExceptionDetails.Text, e.ExceptionDetails.Exception))
		}
	}); err != nil {
		t.Fatal(err)
	}
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	call(b, network.Enable, network.EnableParams{})
	call(b, log.Enable, cdp.Empty{})
	call(b, runtime.Enable, cdp.Empty{})
	call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}}})
	b.run(chromedp.EmulateViewport(int64(width), int64(height)))
	t.Cleanup(func() { b.quiet() })
	return b
}

func call[P, R any](b *browser, command cdp.Command[P, R], params P) {
	b.t.Helper()
	if _, err := chromedp.Call(b.ctx, command, params); err != nil {
		b.t.Fatal(err)
	}
}

func (b *browser) run(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, actions...); err != nil {
		b.t.Fatal(err)
	}
}

// open goes to a page and waits until what is seen of it is drawn.
func (b *browser) open(path string) {
	b.t.Helper()
	b.run(chromedp.Navigate(strings.TrimSuffix(b.base, "/")+path), chromedp.WaitReady(chromedp.CSS("#keys")))
	b.drawn()
}

// drawn waits until the pictures that are in sight are there.
func (b *browser) drawn() {
	b.t.Helper()
	b.until(`[...document.querySelectorAll(".paper img")].filter(i => { const r = i.getBoundingClientRect(); return r.bottom > 0 && r.top < innerHeight && r.height > 0 }).every(i => i.complete && i.naturalWidth > 0)`)
}

// until waits for the truth of an expression, also while one page gives way to another.
func (b *browser) until(expression string) {
	b.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	end := time.After(2 * time.Minute)
	for {
		yes, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool]("Boolean("+expression+")"))
		if yes {
			return
		}
		select {
		case <-tick.C:
		case <-end:
			b.picture("stuck")
			b.t.Fatalf("waiting for %s: %v", expression, err)
		}
	}
}

// eval is the value of an expression.
func eval[T any](b *browser, expression string) T {
	b.t.Helper()
	value, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return value
}

// keys presses keys, one after the other.
func (b *browser) keys(keys string) {
	b.t.Helper()
	b.run(chromedp.KeyEvent(keys))
}

// quiet checks that the page has asked nobody else for anything, and that the browser has
// nothing to complain of, such as a breach of the policy.
func (b *browser) quiet() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, url := range b.asked {
		if !strings.HasPrefix(url, "http://"+b.addr+"/") && url != "about:blank" && !strings.HasPrefix(url, "data:") {
			b.t.Errorf("the page asked %s", url)
		}
	}
	for _, m := range b.messages {
		b.t.Errorf("the browser says: %s", m)
	}
}

// picture keeps a picture of the window beside the test's results.
func (b *browser) picture(name string) {
	b.t.Helper()
	png, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		b.t.Fatal(err)
	}
	dir := b.t.ArtifactDir()
	if to := os.Getenv("SCREENSHOTS"); to != "" {
		dir = to
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// forgive drops messages and requests that a test has brought about on purpose.
func (b *browser) forgive(part string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	has := func(s string) bool { return strings.Contains(s, part) }
	b.messages, b.asked = slices.DeleteFunc(b.messages, has), slices.DeleteFunc(b.asked, has)
}

// cacheDir is one folder for all tests of a run, so that PDFium is compiled once.
var shared = sync.OnceValues(func() (string, error) { return os.MkdirTemp("", "view-test-") })

func cacheDir(t *testing.T) string {
	t.Helper()
	dir, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}
