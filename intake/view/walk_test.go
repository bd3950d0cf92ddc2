package view

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"extend-intake/shared/ledger"
)

// boxes are where they are on pages of 612 by 792 points.
var boxes = []box{{1, 100, 150, 120, 40}, {2, 300, 500, 60, 90}, {2, 40, 60, 200, 30}}

// boxed is a document whose citations are of its black boxes, in units of their own.
func boxed(w *world, rotate int) *ledger.Record {
	var value, about []string
	width, height := 612, 792
	shown := slices.Clone(boxes)
	if rotate == 90 { // as the page is seen
		width, height = height, width
		for i, b := range shown {
			shown[i] = box{b.page, 792 - b.y - b.h, b.x, b.h, b.w}
		}
	}
	for i, b := range shown {
		value = append(value, fmt.Sprintf(`"box%d":%d`, i, i))
		about = append(about, fmt.Sprintf(`"box%d":{"logprobsConfidence":0.9,"citations":[%s]}`, i, b.cites(width, height, 2.0833)))
	}
	return w.add(ledger.Record{}, `{"value":{`+strings.Join(value, ",")+`},"metadata":{`+strings.Join(about, ",")+`}}`, sample(3, 612, 792, rotate, boxes))
}

// distance is how far a mark is from the black box of its page that is nearest to it, in
// pixels of the screen: what is black is found in the picture itself.
const distance = `(async (id) => {
  const mark = document.getElementById(id), paper = mark.closest(".paper"), img = paper.querySelector("img");
  img.loading = "eager";
  await img.decode();
  const picture = await createImageBitmap(await (await fetch(img.currentSrc)).blob()); // its own pixels
  const canvas = document.createElement("canvas");
  canvas.width = picture.width; canvas.height = picture.height;
  const c = canvas.getContext("2d"); c.drawImage(picture, 0, 0);
  const { data } = c.getImageData(0, 0, canvas.width, canvas.height);
  const ink = (x, y) => 1 - data[4 * (y * canvas.width + x)] / 255; // how much of a pixel is black
  const r = mark.getBoundingClientRect(), i = img.getBoundingClientRect();
  const sx = canvas.width / i.width, sy = canvas.height / i.height;
  const x0 = Math.round((r.left + r.width / 2 - i.left) * sx), y0 = Math.round((r.top + r.height / 2 - i.top) * sy);
  if (ink(x0, y0) < 0.9) return 999;
  let left = x0, right = x0, top = y0, bottom = y0;
  while (ink(left - 1, y0) > 0.9) left--;
  while (ink(right + 1, y0) > 0.9) right++;
  while (ink(x0, top - 1) > 0.9) top--;
  while (ink(x0, bottom + 1) > 0.9) bottom++;
  left -= ink(left - 1, y0); right += 1 + ink(right + 1, y0); top -= ink(x0, top - 1); bottom += 1 + ink(x0, bottom + 1);
  return Math.max(Math.abs(left / sx + i.left - r.left), Math.abs(right / sx + i.left - r.right), Math.abs(top / sy + i.top - r.top), Math.abs(bottom / sy + i.top - r.bottom));
})`

func TestMarksAreWhereTheBoxesAre(t *testing.T) {
	w := newWorld()
	upright, turned := boxed(w, 0), boxed(w, 90)
	c := serve(t, w.stack(), Options{CacheDir: cacheDir(t)})
	b := c.look(t, 1440, 900, false)
	for rec, looks := range map[*ledger.Record][]string{
		upright: {"zoom=50", "zoom=100", "zoom=200", "zoom=page", "turn=90", "zoom=150&turn=180", "zoom=75&turn=270"},
		turned:  {"zoom=100", "turn=90"},
	} {
		for _, look := range looks {
			b.open("/documents/" + rec.DocumentID + "?" + look)
			for i := range boxes {
				off := eval[float64](b, fmt.Sprintf(`%s("c%d-0")`, distance, i+2))
				if math.IsNaN(off) || off > 1 {
					t.Errorf("%s, %s: box %d: the mark is %.1f pixels off", rec.Key, look, i, off)
				}
			}
		}
		b.picture("marks-" + rec.DocumentID)
	}
}

func TestTurnsAPageThatExtendHasTurned(t *testing.T) {
	w := newWorld()
	// The page is upright, and Extend's citation is of one that lies on its side.
	rec := w.add(ledger.Record{}, `{"value":{"a":1},"metadata":{"a":{"citations":[`+box{1, 792 - 150 - 40, 100, 40, 120}.cites(792, 612, 1)+`]}}}`, sample(1, 612, 792, 0, boxes))
	c := serve(t, w.stack(), Options{CacheDir: cacheDir(t)})
	b := c.look(t, 1440, 900, false)
	b.open("/documents/" + rec.DocumentID)
	if off := eval[float64](b, distance+`("c2-0")`); off > 1 {
		t.Errorf("the mark is %.1f pixels off", off)
	}
	if note := eval[string](b, `document.querySelector("figcaption").textContent`); !strings.Contains(note, "on its side") {
		t.Errorf("it says %q", note)
	}
}

func TestWalkByKeyboard(t *testing.T) {
	w := invoices(t)
	c := serve(t, w.stack(), Options{CacheDir: cacheDir(t)})
	b := c.look(t, 1440, 900, false)
	at := func(path string) {
		t.Helper()
		b.until(fmt.Sprintf(`location.pathname.endsWith(%q) && document.readyState === "complete"`, path))
	}
	focused := func() string { return eval[string](b, `document.activeElement.dataset.path ?? ""`) }

	b.open("/")
	b.keys("gl")
	at("/documents")
	b.keys("jj")
	if got := eval[string](b, `document.activeElement.textContent`); !strings.Contains(got, "scan 0091.tiff") {
		t.Errorf("after j j the focus is on %q", got)
	}
	b.keys("xk")
	b.run(chromedp.KeyEvent(kb.Enter))
	at(w.records[0].DocumentID)
	b.drawn()

	b.keys("nn")
	if got := focused(); got != "supplier.name" {
		t.Errorf("after n n the focus is on %q", got)
	}
	if got := eval[int](b, `document.querySelectorAll("polygon.lit").length`); got != 1 {
		t.Errorf("%d places are lit", got)
	}
	if got := eval[string](b, `getComputedStyle(document.activeElement).outlineStyle`); got != "solid" {
		t.Errorf("the focus can't be seen: outline %s", got)
	}
	b.keys("N")
	if got := focused(); got != "due_date" {
		t.Errorf("after N the focus is on %q", got)
	}
	b.keys("++")
	b.until(`document.querySelector(".sheets").classList.contains("zoom-150") && location.search.includes("zoom=150")`)
	b.keys("0r")
	b.until(`document.querySelector(".pages").dataset.turn === "90"`)
	b.keys(kb.ArrowRight)
	b.until(`document.querySelector("[data-at]").textContent === "2"`)
	b.keys("/")
	b.until(`document.activeElement.name === "q"`)
	eval[string](b, `document.activeElement.value = ""`) // the protocol types the key, as no browser does
	b.run(chromedp.KeyEvent("lines"))
	b.run(chromedp.KeyEvent(kb.Enter))
	b.until(`document.querySelectorAll(".flat .field").length === 9 && document.activeElement.name === "q"`)
	b.keys(kb.Escape) // out of the box
	b.until(`document.activeElement === document.body`)
	b.keys("j")
	at(w.records[1].DocumentID)
	b.keys("k")
	at(w.records[0].DocumentID)
	b.keys("?")
	b.until(`document.querySelector("#keys").open`)
	b.keys(kb.Escape)
	b.until(`!document.querySelector("#keys").open`)
	b.keys("gd")
	at("/dead-letters")
	b.keys(kb.Tab)
	if got := eval[string](b, `document.activeElement.className`); got != "skip" {
		t.Errorf("the first tab goes to %q", got)
	}
}

func TestFieldsAndPlacesFindEachOther(t *testing.T) {
	w := newWorld()
	rec := boxed(w, 0)
	c := serve(t, w.stack(), Options{CacheDir: cacheDir(t)})
	b := c.look(t, 1440, 900, false)
	b.open("/documents/" + rec.DocumentID)
	b.run(chromedp.Click(chromedp.CSS(`#f3 .cites a`))) // page 2
	b.until(`(() => { const r = document.getElementById("c3-0").getBoundingClientRect(); return r.top > 0 && r.bottom < innerHeight; })()`)
	b.until(`document.querySelector("[data-at]").textContent === "2" && document.getElementById("f3").classList.contains("lit")`)
	b.run(chromedp.Click(chromedp.CSS(`#c4-0`)))
	b.until(`document.activeElement.id === "f4" && document.getElementById("c4-0").classList.contains("lit") && !document.getElementById("f3").classList.contains("lit")`)
	// And without the script, by links alone.
	body := c.get("/documents/"+rec.DocumentID, 200)
	for _, link := range []string{`href="#c3-0"`, `id="c3-0"`, `href="#f3"`, `id="f3"`} {
		if !strings.Contains(body, link) {
			t.Errorf("the page has no %s", link)
		}
	}
}

func TestDrawsOnlyWhatIsSeen(t *testing.T) {
	w := newWorld()
	rec := w.add(ledger.Record{}, `{"value":{"a":1},"metadata":{}}`, sample(1000, 612, 792, 0, nil))
	c := serve(t, w.stack(), Options{CacheDir: cacheDir(t)})
	b := c.look(t, 1440, 900, false)
	pictures := func() (n int) {
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, url := range b.asked {
			if strings.Contains(url, "/pages/") {
				n++
			}
		}
		return n
	}
	b.open("/documents/" + rec.DocumentID)
	if n := pictures(); n == 0 || n > 80 {
		t.Errorf("%d pictures of 1000 pages were asked for", n)
	}
	eval[any](b, `document.querySelector("[data-page='900']").scrollIntoView()`)
	b.drawn()
	b.until(`document.querySelector("[data-at]").textContent === "900"`)
	if n := pictures(); n > 200 {
		t.Errorf("%d pictures of 1000 pages were asked for", n)
	}
}

func TestHostileNamesAndValuesAreInert(t *testing.T) {
	w := newWorld()
	evil := `"><img src=x onerror="document.title='hit'"><script>document.title='hit'</script>{{.}}` + "\u202egnp.exe\u0000\u0007"
	text, _ := json.Marshal(evil)
	rec := w.add(ledger.Record{Key: "in/" + evil, Route: evil, RunURL: "javascript:document.title='hit'", RunID: "dpr_x", Reason: evil, FailureMessage: evil, ProcessorID: evil,
		Runs: []ledger.PastRun{{Attempt: 1, RunID: evil, State: ledger.Failed, FailureReason: evil}}},
		fmt.Sprintf(`{"value":{%s:%s,"list":[{%s:%s}]},"metadata":{%s:{"insights":[{"type":%s,"content":%s}],"citations":[{"page":1,"referenceText":%s,"polygon":[{"x":1,"y":1},{"x":9,"y":1},{"x":9,"y":9}],"pageWidth":10,"pageHeight":10}]}}}`, text, text, text, text, text, text, text, text),
		[]byte("<html><script>document.title='hit'</script><svg onload=\"document.title='hit'\">"))
	w.problems[rec.DocumentID] = fmt.Errorf("%w: %s", ledger.ErrRecord, evil)
	w.logs = []LogLine{{noon, evil, evil, evil, evil}}
	w.letters = []DeadLetter{{Queue: "uploads", ID: evil, Reason: evil, DocumentID: evil, Body: evil, Do: evil}}
	w.status = &Status{Paused: evil, Alarms: []Alarm{{Name: evil, Meaning: evil, Do: evil}}, Problems: []string{evil}}
	c := serve(t, w.stack(), Options{CacheDir: cacheDir(t)})
	b := c.look(t, 1440, 900, false)
	doc := "/documents/" + rec.DocumentID
	for _, path := range []string{"/", "/documents", "/documents?prefix=%22%3E%3Cscript%3E", doc, doc + "?only=low", doc + "?q=%3Cscript%3E", doc + "?tab=json&q=script", doc + "?tab=history&logs=1", "/dead-letters?look=1", "/reprocess?id=" + rec.DocumentID, "/documents/%3Cscript%3E"} {
		b.open(path)
		if title := eval[string](b, `document.title`); !strings.HasSuffix(title, "· Extend Intake") {
			t.Errorf("%s: the title is %q", path, title)
		}
		if n := eval[int](b, `document.querySelectorAll("main img[src=x], main script").length`); n != 0 {
			t.Errorf("%s: a value has become an element", path)
		}
		if links := eval[[]string](b, `[...document.links].map(a => a.protocol).filter(p => p !== "http:")`); len(links) != 0 {
			t.Errorf("%s: links to %v", path, links)
		}
	}
	b.forgive("status of 404")
}

func TestPolicyHoldsInTheBrowser(t *testing.T) {
	w := newWorld()
	rec := boxed(w, 0)
	c := serve(t, w.stack(), Options{CacheDir: cacheDir(t)})
	b := c.look(t, 1440, 900, false)
	b.open("/documents/" + rec.DocumentID)
	for what, script := range map[string]string{
		"another port's image": `document.body.append(Object.assign(new Image(), {src: "http://127.0.0.1:9/x.png"}))`,
		"a script in the page": `document.body.append(Object.assign(document.createElement("script"), {textContent: "document.title = 'hit'"}))`,
		"a style in the page":  `document.body.setAttribute("style", "display: none")`,
		"a frame":              `document.body.append(Object.assign(document.createElement("iframe"), {src: "/"}))`,
	} {
		eval[any](b, script+", null")
		b.until(`document.title !== "hit" && getComputedStyle(document.body).display !== "none"`)
		deadline := time.After(time.Minute)
		for seen := false; !seen; {
			b.mu.Lock()
			seen = strings.Contains(strings.Join(b.messages, "\n"), "Content Security Policy")
			b.mu.Unlock()
			select {
			case <-deadline:
				t.Fatalf("%s: the browser does not complain", what)
			case <-time.After(10 * time.Millisecond):
			}
		}
		b.forgive("Content Security Policy")
	}
	b.forgive("http://127.0.0.1:9/x.png")
}
