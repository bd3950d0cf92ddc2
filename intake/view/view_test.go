package view

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/csv"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/image/tiff"

	"extend-intake/shared/ledger"
)

func TestSaysWhatIsWrongWithAnOriginal(t *testing.T) {
	output := `{"value":{"amount":12345678901234567890},"metadata":{"amount":{"citations":[{"page":7,"polygon":[{"x":1,"y":1},{"x":9,"y":1},{"x":9,"y":9}],"pageWidth":10,"pageHeight":10}]}}}`
	encrypted := bytes.Replace(sample(1, 612, 792, 0, nil), []byte("/Root 1 0 R"), []byte("/Root 1 0 R /Encrypt << /Filter /Standard /V 2 /R 3 /Length 128 /P -4 /O <0101010101010101010101010101010101010101010101010101010101010101> /U <0202020202020202020202020202020202020202020202020202020202020202> >> /ID [<01> <01>]"), 1)
	cut := sample(3, 612, 792, 0, nil)
	for _, test := range []struct {
		name     string
		original []byte
		size     int64
		missing  error
		says     string
	}{
		{name: "a PDF", original: sample(1, 612, 792, 0, nil), says: "a page that this file does not have"},
		{name: "garbage after a PDF's first bytes", original: []byte("%PDF-1.4\nnothing of the kind"), says: "the PDF is broken"},
		{name: "an encrypted PDF", original: encrypted, says: "the PDF is encrypted"},
		{name: "a PDF that is cut short", original: cut[:len(cut)/2], says: "the PDF is broken"},
		{name: "over the limit, as S3 says", original: []byte("%PDF-"), size: 300_000_000, says: "the file is 300.0 MB"},
		{name: "empty", original: []byte{}, says: "the file is empty"},
		{name: "no PDF", original: []byte{1, 2, 3, 0, 4}, says: "of a kind that this page does not draw"},
		{name: "Office", original: []byte("PK\x03\x04and so on"), says: "an Office or ZIP file"},
		{name: "a text", original: []byte("hällo <b>"), says: "hällo &lt;b&gt;"},
		{name: "HTML", original: []byte("<!doctype html><script>alert(1)</script>"), says: "&lt;script&gt;"},
		{name: "a broken image", original: []byte("\x89PNG\r\n\x1a\nnothing"), says: "the image is broken"},
		{name: "deleted", missing: fmt.Errorf("s3://b/k: %w", ErrGone), says: "no longer in its bucket"},
		{name: "archived", missing: fmt.Errorf("s3://b/k: %w", ErrArchived), says: "restore it first"},
		{name: "refused", missing: fmt.Errorf("AccessDenied: no"), says: "AccessDenied"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld()
			rec := w.add(ledger.Record{Key: "in/a.pdf", Size: test.size}, output, test.original)
			w.missing[rec.DocumentID] = test.missing
			c := serve(t, w.stack(), Options{CacheDir: cacheDir(t)})
			body := c.get("/documents/"+rec.DocumentID, 200)
			if !strings.Contains(body, test.says) {
				t.Errorf("it does not say %q:\n%s", test.says, body[strings.Index(body, `class="pages`):])
			}
			if !strings.Contains(body, ">12345678901234567890<") || !strings.HasSuffix(strings.TrimSpace(body), "</html>") {
				t.Error("the rest of the page is not there")
			}
		})
	}
}

func TestShowsWhatExtendMadeOfAnOfficeFile(t *testing.T) {
	w := newWorld()
	rec := w.add(ledger.Record{Key: "in/a.docx"}, "", []byte("PK\x03\x04and so on"))
	for _, test := range []struct {
		name, says string
		converted  *Original
		err        error
	}{
		{"a PDF", "the PDF that Extend made", &Original{io.NopCloser(bytes.NewReader(sample(2, 612, 792, 0, nil))), -1}, nil},
		{"nothing", "Extend made no PDF of it", nil, nil},
		{"the file itself", "an Office or ZIP file", &Original{io.NopCloser(strings.NewReader("PK\x03\x04")), -1}, nil},
		{"a broken PDF", "can&#39;t be drawn: the PDF is broken", &Original{io.NopCloser(strings.NewReader("%PDF-1.4")), -1}, nil},
		{"no answer", "can&#39;t be had: timeout", nil, errors.New("timeout")},
	} {
		stack := w.stack()
		stack.Converted = func(context.Context, *ledger.Record) (*Original, error) { return test.converted, test.err }
		c := serve(t, stack, Options{CacheDir: cacheDir(t)})
		if body := c.get("/documents/"+rec.DocumentID, 200); !strings.Contains(body, test.says) {
			t.Errorf("%s: it does not say %q\n%s", test.name, test.says, body[strings.Index(body, `class="pages`):])
		}
	}
}

func TestSaysWhatIsWrongWithARecord(t *testing.T) {
	w := newWorld()
	newer := w.add(ledger.Record{Key: "in/newer.pdf", State: "RESTING"}, "", nil)
	w.problems[newer.DocumentID] = fmt.Errorf("%w: state %q is unknown: is it from a newer version of this software?", ledger.ErrRecord, "RESTING")
	gone := w.add(ledger.Record{Key: "in/gone.pdf", OutputLocation: "s3://results/x.json", OutputRunID: "dpr_1", RunID: "dpr_1"}, "", nil)
	w.missing["output "+gone.DocumentID] = fmt.Errorf("s3://results/x.json: %w", ErrGone)
	none := w.add(ledger.Record{Key: "in/none.pdf", RunID: "dpr_2"}, "", nil)
	broken := w.add(ledger.Record{Key: "in/broken.pdf"}, `{"value":`, nil)
	c := serve(t, w.stack(), Options{CacheDir: cacheDir(t)})
	for id, says := range map[string]string{
		newer.DocumentID: "newer version of this software", gone.DocumentID: "no longer in its bucket",
		none.DocumentID: "has no output", broken.DocumentID: "it is not JSON",
	} {
		if body := c.get("/documents/"+id, 200); !strings.Contains(body, says) {
			t.Errorf("%s: it does not say %q", id, says)
		}
	}
	if body := c.get("/documents", 200); !strings.Contains(body, "newer version of this software") || !strings.Contains(body, "none.pdf") {
		t.Error("the list does not show what can't be understood, and the rest")
	}
	for path, says := range map[string]string{
		"/documents?state=RESTING": "there is no such state", "/documents?since=yesterday": "7d", "/documents?until=2026-13-01": "until", "/documents?after=nonsense": "begin anew",
	} {
		if body := c.get(path, 200); !strings.Contains(body, says) {
			t.Errorf("%s does not say %q", path, says)
		}
	}
	c.get("/documents/doc_none", 404)
	c.get("/documents/"+gone.DocumentID+"/output.json", 502)
	c.get("/documents/"+newer.DocumentID+"?zoom=17", 400)
	c.get("/documents/"+newer.DocumentID+"?turn=45", 400)
	c.get("/documents/"+newer.DocumentID+"?tab=x", 400)
	c.get("/documents/"+newer.DocumentID+"/pages/1?w=77", 400)
	c.get("/nothing", 404)
	if body := c.get("/", 200); !strings.Contains(body, "the table does not answer") {
		t.Error("the overview hides that the stack can't be asked")
	}
}

func TestListPagesStably(t *testing.T) {
	w := newWorld()
	for i := range 10_000 {
		w.add(ledger.Record{Key: fmt.Sprintf("in/%05d.pdf", i), State: []ledger.State{ledger.Processed, ledger.Failed}[i%2]}, "", nil)
	}
	c := serve(t, w.stack(), Options{})
	seen := map[string]int{}
	next := regexp.MustCompile(`rel="next" href="/[a-z0-9]+([^"]+)"`)
	link := regexp.MustCompile(`class="go"><bdi><span class="muted">in/</span>([0-9]+)\.pdf`)
	pages := 0
	for path := "/documents?state=FAILED"; path != ""; pages++ {
		body := c.get(strings.ReplaceAll(path, "&amp;", "&"), 200)
		for _, m := range link.FindAllStringSubmatch(body, -1) {
			seen[m[1]]++
		}
		path = ""
		if m := next.FindStringSubmatch(body); m != nil {
			path = m[1]
		}
	}
	if len(seen) != 5000 || pages != 100 {
		t.Errorf("%d documents on %d pages, want 5000 on 100", len(seen), pages)
	}
	for key, n := range seen {
		if n != 1 {
			t.Errorf("%s is listed %d times", key, n)
		}
	}
	rows, err := csv.NewReader(strings.NewReader(c.get("/documents.csv?state=FAILED", 200))).ReadAll()
	if err != nil || len(rows) != 5001 {
		t.Errorf("the CSV has %d rows, error %v", len(rows), err)
	}
}

func TestCSVIsInert(t *testing.T) {
	w := newWorld()
	w.add(ledger.Record{Key: "in/a.pdf", State: ledger.Failed, FailureReason: "=HYPERLINK(1)", FailureMessage: "@SUM(1)\n,\"x\"", Route: "-1+1"}, "", nil)
	rows, err := csv.NewReader(strings.NewReader(serve(t, w.stack(), Options{}).get("/documents.csv", 200))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if got := rows[1]; got[5] != "'-1+1" || got[14] != "'=HYPERLINK(1)" || got[15] != "'@SUM(1)\n,\"x\"" {
		t.Errorf("%q", got)
	}
}

func TestShowsManyFields(t *testing.T) {
	w := newWorld()
	var value, about []string
	for i := range 5000 {
		value = append(value, fmt.Sprintf(`"f%d":%d`, i, i))
		about = append(about, fmt.Sprintf(`"f%d":{"logprobsConfidence":%g}`, i, float64(i%100)/100))
	}
	rec := w.add(ledger.Record{}, `{"value":{`+strings.Join(value, ",")+`},"metadata":{`+strings.Join(about, ",")+`}}`, sample(1, 612, 792, 0, nil))
	c := serve(t, w.stack(), Options{CacheDir: cacheDir(t)})
	if body := c.get("/documents/"+rec.DocumentID, 200); strings.Count(body, "data-path=") != 5000 {
		t.Errorf("%d fields", strings.Count(body, "data-path="))
	}
	if body := c.get("/documents/"+rec.DocumentID+"?only=low&q=F49", 200); strings.Count(body, "data-path=") != 81 { // f49, and f4900 to f4979
		t.Errorf("%d low fields", strings.Count(body, "data-path="))
	}
}

func TestShowsOddOutputs(t *testing.T) {
	for _, output := range []string{
		`{"value":5,"metadata":{}}`, `{"value":{"":[{"":{"":1}},{"":2}]},"metadata":{"":{"citations":[{}]}}}`, `{"value":[],"metadata":{}}`, `{"value":[[1,[2]],{"a":[{}]}],"metadata":{}}`,
		`{"value":{"a":"x"},"metadata":{"a":{"citations":"none","insights":[1,{"content":5}],"logprobsConfidence":{}}}}`, `{"value":{"a":"x"},"metadata":[]}`,
		`{"splits":[]}`, `{"splits":[1,{"startPage":9,"endPage":2}]}`, `{"chunks":[{},5]}`, `{"outputs":[null,{"output":null}]}`, `"text"`, `[]`, `{"a":1,"a":2}`,
		`{"value":{"a":1,"a":2},"metadata":{}}`, classified, split,
	} {
		w := newWorld()
		rec := w.add(ledger.Record{}, output, sample(2, 612, 792, 0, nil))
		c := serve(t, w.stack(), Options{CacheDir: cacheDir(t)})
		for _, query := range []string{"", "?only=low", "?q=a", "?tab=json", "?tab=compare&a=stored&b=stored"} {
			if body := c.get("/documents/"+rec.DocumentID+query, 200); !strings.HasSuffix(strings.TrimSpace(body), "</html>") || !strings.Contains(body, `id="page-2"`) {
				t.Errorf("%s: the page of %s is not whole", query, output)
			}
		}
	}
}

func TestOutputIsExact(t *testing.T) {
	w := newWorld()
	output := "{ \"value\" : {\"n\":12345678901234567890.10, \"s\":\"\\u00e9 </script>\"} }"
	rec := w.add(ledger.Record{}, output, nil)
	c := serve(t, w.stack(), Options{})
	body, _, header := c.ask(c.request("GET", "/documents/"+rec.DocumentID+"/output.json", nil))
	if body != output || !strings.HasPrefix(header.Get("Content-Disposition"), "attachment") {
		t.Errorf("%q, %v", body, header)
	}
	if body := c.get("/documents/"+rec.DocumentID+"?tab=json", 200); !strings.Contains(body, "12345678901234567890.10") || strings.Contains(body, "</script>\"}") {
		t.Error("the JSON is not shown as it is")
	}
}

func TestDownloadIsNeverShown(t *testing.T) {
	w := newWorld()
	evil := "<script>alert(1)</script>"
	rec := w.add(ledger.Record{Key: "in/\"evil\r\n.html"}, "", []byte(evil))
	c := serve(t, w.stack(), Options{})
	body, _, header := c.ask(c.request("GET", "/documents/"+rec.DocumentID+"/original", nil))
	if body != evil || header.Get("Content-Type") != "application/octet-stream" || !strings.HasPrefix(header.Get("Content-Disposition"), "attachment") || !strings.Contains(header.Get("Content-Security-Policy"), "sandbox") {
		t.Errorf("%q, %v", body, header)
	}
}

// flag is a picture whose corners are told apart: red at the top left.
func flag(width, height int) image.Image {
	img := image.NewRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			c := color.RGBA{255, 255, 255, 255}
			if x < width/2 && y < height/2 {
				c = color.RGBA{255, 0, 0, 255}
			}
			img.Set(x, y, c)
		}
	}
	return img
}

// redCorner says which corner of a PNG is red: 0 top left, then clockwise.
func redCorner(t *testing.T, text string) (corner, width, height int) {
	t.Helper()
	img, err := png.Decode(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	b := img.Bounds()
	for i, p := range []image.Point{{b.Dx() / 8, b.Dy() / 8}, {b.Dx() * 7 / 8, b.Dy() / 8}, {b.Dx() * 7 / 8, b.Dy() * 7 / 8}, {b.Dx() / 8, b.Dy() * 7 / 8}} {
		if r, g, _, _ := img.At(p.X, p.Y).RGBA(); r > 0x8000 && g < 0x8000 {
			return i, b.Dx(), b.Dy()
		}
	}
	return -1, b.Dx(), b.Dy()
}

func TestImages(t *testing.T) {
	var asPNG, asJPEG, asTIFF bytes.Buffer
	if err := png.Encode(&asPNG, flag(300, 200)); err != nil {
		t.Fatal(err)
	}
	if err := jpeg.Encode(&asJPEG, flag(300, 200), nil); err != nil {
		t.Fatal(err)
	}
	if err := tiff.Encode(&asTIFF, flag(300, 200), nil); err != nil {
		t.Fatal(err)
	}
	w := newWorld()
	plain := w.add(ledger.Record{Key: "a.png"}, "", asPNG.Bytes())
	photo := w.add(ledger.Record{Key: "a.jpg"}, "", withOrientation(asJPEG.Bytes(), 6))
	fax := w.add(ledger.Record{Key: "a.tif"}, "", twoPages(asTIFF.Bytes()))
	c := serve(t, w.stack(), Options{})

	body := c.get("/documents/"+plain.DocumentID, 200)
	if !strings.Contains(body, plain.DocumentID+`/image"`) {
		t.Error("an image that browsers show is not shown as it is")
	}
	if got := c.get("/documents/"+plain.DocumentID+"/image", 200); got != asPNG.String() {
		t.Error("the image is another")
	}
	for turn, want := range []int{0, 1, 2, 3} {
		corner, width, _ := redCorner(t, c.get(fmt.Sprintf("/documents/%s/pages/1?w=120&turn=%d", plain.DocumentID, 90*turn), 200))
		if corner != want || width != 120 {
			t.Errorf("turned by %d: red in corner %d, %d pixels wide", 90*turn, corner, width)
		}
	}
	if corner, w, h := redCorner(t, c.get("/documents/"+photo.DocumentID+"/pages/1?w=120", 200)); corner != 1 || w > h {
		t.Errorf("a photograph whose camera was turned: red in corner %d, %d by %d", corner, w, h)
	}
	if body := c.get("/documents/"+fax.DocumentID, 200); !strings.Contains(body, "of 2</span>") {
		t.Error("a TIFF file of two pages does not have two")
	}
	if corner, _, _ := redCorner(t, c.get("/documents/"+fax.DocumentID+"/pages/2?w=120", 200)); corner != 0 {
		t.Errorf("page 2: red in corner %d", corner)
	}
	c.get("/documents/"+fax.DocumentID+"/pages/3?w=120", 404)
	c.get("/documents/"+fax.DocumentID+"/image", 404)
}

// withOrientation puts an EXIF orientation into a JPEG.
func withOrientation(jpg []byte, o byte) []byte {
	exif := append([]byte("\xff\xe1\x00\x22Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00"), o, 0, 0, 0, 0, 0, 0)
	return append(append(bytes.Clone(jpg[:2]), exif...), jpg[2:]...)
}

// twoPages has a TIFF's only page twice.
func twoPages(t []byte) []byte {
	t = bytes.Clone(t)
	first := binary.LittleEndian.Uint32(t[4:])
	length := 2 + 12*uint32(binary.LittleEndian.Uint16(t[first:])) + 4
	second := uint32(len(t))
	t = append(t, t[first:first+length]...)
	binary.LittleEndian.PutUint32(t[first+length-4:], second)
	binary.LittleEndian.PutUint32(t[second+length-4:], first) // and back: a loop that must end
	return t
}

func TestDrawnPagesAreBounded(t *testing.T) {
	var drawn pictures
	for i := range 100 {
		drawn.put(pageKey{name: []string{"a", "b"}[i%2], page: i}, make([]byte, 1<<20))
	}
	if drawn.bytes > maxDrawn || len(drawn.png) != maxDrawn>>20 {
		t.Errorf("%d pages of %d bytes are kept", len(drawn.png), drawn.bytes)
	}
	if drawn.get(pageKey{name: "b", page: 99}) == nil || drawn.get(pageKey{name: "a", page: 0}) != nil {
		t.Error("the first page is kept, and the last is not")
	}
	drawn.forget("b")
	if drawn.bytes != maxDrawn/2 || drawn.get(pageKey{name: "b", page: 99}) != nil || drawn.get(pageKey{name: "a", page: 98}) == nil {
		t.Errorf("after one document was closed, %d bytes are kept", drawn.bytes)
	}
}

func TestClosesWhatWasSeenLongestAgo(t *testing.T) {
	w := newWorld()
	var recs []*ledger.Record
	for range maxOpen + 2 {
		recs = append(recs, w.add(ledger.Record{}, "", sample(1, 612, 792, 0, nil)))
	}
	c := serve(t, w.stack(), Options{CacheDir: cacheDir(t)})
	for _, rec := range recs {
		c.get("/documents/"+rec.DocumentID+"/pages/1?w=120", 200)
	}
	c.page.originals.mu.Lock()
	open := len(c.page.originals.open)
	c.page.originals.mu.Unlock()
	if open > maxOpen {
		t.Errorf("%d documents are open", open)
	}
	c.get("/documents/"+recs[0].DocumentID+"/pages/1?w=600", 200) // it is fetched once more
	if w.calls["original"] != len(recs)+1 {
		t.Errorf("%d originals were fetched, want %d", w.calls["original"], len(recs)+1)
	}
}

func TestCompareAndChanges(t *testing.T) {
	w := invoices(t)
	c := serve(t, w.stack(), Options{CacheDir: cacheDir(t)})
	doc := "/documents/" + w.records[0].DocumentID
	body := c.get(doc+"?only=changed", 200)
	if strings.Count(body, "data-path=") != 1 || !strings.Contains(body, `data-path="due_date"`) || !strings.Contains(body, "was <bdi>2026-04-01</bdi>") {
		t.Error("what the review changed is not shown alone, with what it was")
	}
	if body := c.get(doc+"?tab=compare&a=before&b=stored", 200); !strings.Contains(body, "1 value differs") || strings.Contains(body, `<th scope="row"><bdi>invoice_date`) {
		t.Error("the comparison does not show what differs alone")
	}
	if body := c.get(doc+"?tab=compare&a=dpr_strange&b=stored", 200); !strings.Contains(body, "There is no output") || w.calls["run"] > 3 {
		t.Errorf("a run that is none of the document's is asked for: %d calls", w.calls["run"])
	}
	w.calls["logs"], w.calls["letters"] = 0, 0
	c.get(doc+"?tab=history", 200)
	c.get("/dead-letters", 200)
	if w.calls["logs"]+w.calls["letters"] != 0 {
		t.Error("logs or dead letters are looked into before somebody asks")
	}
	if body := c.get(doc+"?tab=history&logs=1", 200); !strings.Contains(body, "announced late") || !strings.Contains(body, "OCR_ERROR") {
		t.Error("the history has not the log and the attempt before")
	}
}
