package view

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"extend-intake/shared/ledger"
)

// words are texts on a page at a place, which a citation can name.
type word struct {
	path, value, shown string
	x, y               int
	confidence         string
}

// invoices is a world like a real one, for the pictures.
func invoices(t *testing.T) *world {
	t.Helper()
	w := newWorld()
	words := []word{
		{"supplier.name", `"Hafenbedarf Süd & Söhne"`, "Hafenbedarf Sued & Soehne", 60, 70, "0.9987"},
		{"supplier.vat_number", `"DE 811 907 980"`, "DE 811 907 980", 60, 90, "0.93"},
		{"invoice_number", `"R-2026/00417"`, "R-2026/00417", 420, 70, "0.995"},
		{"invoice_date", `"2026-03-01"`, "1 March 2026", 420, 90, "0.97"},
		{"due_date", `"2026-04-15"`, "30 days net", 420, 110, "0.61"},
		{"purchase_order", `null`, "", 0, 0, "0.34"},
		{"bill_to.name", `"Northwind Freight LLC"`, "Northwind Freight LLC", 60, 150, "0.988"},
		{"bill_to.address", `"410 Harbor Way, 8005 Zürich"`, "410 Harbor Way, 8005 Zuerich", 60, 168, "0.94"},
		{"lines[0].description", `"Tauwerk 12 mm, 200 m"`, "Tauwerk 12 mm, 200 m", 60, 260, "0.98"},
		{"lines[0].quantity", `2`, "2", 330, 260, "0.99"},
		{"lines[0].price", `310.50`, "310.50", 450, 260, "0.99"},
		{"lines[1].description", `"Schäkel <A4>"`, "Schaekel <A4>", 60, 284, "0.87"},
		{"lines[1].quantity", `40`, "40", 330, 284, "0.72"},
		{"lines[1].price", `4.95`, "4.95", 450, 284, "0.96"},
		{"lines[2].description", `"Fracht"`, "Fracht", 60, 308, "0.99"},
		{"lines[2].quantity", `1`, "1", 330, 308, "0.99"},
		{"lines[2].price", `84.50`, "84.50", 450, 308, "null"},
		{"total.amount", `903.50`, "903.50", 450, 360, "0.999"},
		{"total.currency", `"EUR"`, "EUR", 410, 360, "0.999"},
		{"bank_reference", `12345678901234567890`, "12345678901234567890", 60, 420, "0.91"},
	}
	var texts []string
	meta := map[string]string{}
	value := map[string]string{}
	for _, x := range words {
		value[x.path] = x.value
		cites := "[]"
		if x.shown != "" {
			texts = append(texts, fmt.Sprintf("BT /F 11 Tf 1 0 0 1 %d %d Tm (%s) Tj ET", x.x, 842-x.y, x.shown))
			b := box{1, x.x - 2, x.y - 11, 6*len(x.shown) + 8, 15}
			cites = "[" + b.cites(595, 842, 2) + "]"
		}
		meta[x.path] = fmt.Sprintf(`%q:{"logprobsConfidence":%s,"ocrConfidence":0.99,"citations":%s}`, x.path, x.confidence, cites)
	}
	meta["due_date"] = strings.TrimSuffix(meta["due_date"], "}") + `,"insights":[{"type":"reasoning","content":"Thirty days after the date of the invoice."},{"type":"issue","content":"The date of the invoice is hard to read."}]}`
	var about []string
	for _, x := range words {
		about = append(about, meta[x.path])
	}
	v := func(p string) string { return value[p] }
	line := func(i int) string {
		p := fmt.Sprintf("lines[%d].", i)
		return fmt.Sprintf(`{"description":%s,"quantity":%s,"price":%s}`, v(p+"description"), v(p+"quantity"), v(p+"price"))
	}
	output := func(due string) string {
		return fmt.Sprintf(`{"value":{"supplier":{"name":%s,"vat_number":%s},"invoice_number":%s,"invoice_date":%s,"due_date":%s,"purchase_order":null,"bill_to":{"name":%s,"address":%s},"lines":[%s,%s,%s],"total":{"amount":%s,"currency":%s},"bank_reference":%s},"metadata":{%s}}`,
			v("supplier.name"), v("supplier.vat_number"), v("invoice_number"), v("invoice_date"), due, v("bill_to.name"), v("bill_to.address"), line(0), line(1), line(2), v("total.amount"), v("total.currency"), v("bank_reference"), strings.Join(about, ","))
	}
	pdf := invoicePDF(texts)
	first := w.add(ledger.Record{Key: "invoices/2026/R-2026-00417.pdf", Route: "invoices", Attempt: 2, Edited: true, Reviewed: true, Revision: 3, Credits: "10", ProcessorID: "dp_K6dkhkT0QMfzyKq1PBIRM", ProcessorVersion: "2.1",
		RunURL: "https://dashboard.extend.ai/runs/dpr_rK9pos0KNlCNpBG_zJGXB", RunID: "dpr_rK9pos0KNlCNpBG_zJGXB", OutputRunID: "dpr_rK9pos0KNlCNpBG_zJGXB", SubmittedAt: noon.Add(-95 * time.Second),
		Runs: []ledger.PastRun{{Attempt: 1, RunID: "dpr_Om2ks9HRkdcond34Ynrw6", State: ledger.Failed, FailureReason: "OCR_ERROR", FailureMessage: "The page could not be read.", Credits: "0", At: noon.Add(-40 * time.Minute)}},
	}, output(`"2026-04-15"`), pdf)
	w.runs[first.RunID] = &Run{Status: "PROCESSED", Output: w.outputs[first.DocumentID], InitialOutput: []byte(output(`"2026-04-01"`)), ReviewedOutput: w.outputs[first.DocumentID]}
	w.logs = []LogLine{
		{noon.Add(-100 * time.Second), "submit", "INFO", "claimed", "route=invoices attempt=2"},
		{noon.Add(-95 * time.Second), "submit", "INFO", "run created", "run_id=dpr_rK9pos0KNlCNpBG_zJGXB"},
		{noon.Add(-62 * time.Second), "webhook", "INFO", "result stored", "state=PROCESSED revision=3"},
		{noon.Add(-61 * time.Second), "publish", "WARN", "announced late", "event=Document Processed"},
	}
	w.add(ledger.Record{Key: "invoices/2026/scan 0091.tiff", Route: "invoices", State: ledger.Processing, RunID: "dpr_9f", NextCheckAt: noon.Add(4 * time.Minute)}, "", pdf)
	w.add(ledger.Record{Key: "contracts/acme/framework agreement (signed).pdf", Route: "contracts", State: ledger.Failed, FailureReason: "PASSWORD_PROTECTED_FILE", FailureMessage: "The file needs a password.", RunID: "dpr_f"}, "", []byte("%PDF-1.4 broken"))
	w.add(ledger.Record{Key: "invoices/2026/R-2026-00418.pdf", Route: "invoices", State: ledger.Waiting, Reason: "RATE_LIMITED", NextCheckAt: noon.Add(30 * time.Second)}, "", pdf)
	w.add(ledger.Record{Key: "mail/bol-7719.pdf", Route: "mail", Credits: "1", Type: "CLASSIFY"}, classified, pdf)
	w.add(ledger.Record{Key: "mail/packet-2026-07-14.pdf", Route: "mail", Credits: "16"}, split, sample(8, 612, 792, 0, nil, "Shipment packet"))
	w.add(ledger.Record{Key: "invoices/old/empty.pdf", Route: "invoices", State: ledger.Refused, FailureReason: "EMPTY_FILE"}, "", nil)
	w.add(ledger.Record{Key: "invoices/2026/R-2026-00417 (1).pdf", Route: "invoices", State: ledger.Skipped, FailureReason: "SAME_CONTENT", DuplicateOf: first.DocumentID}, "", pdf)
	w.status = &Status{States: map[ledger.State]int{ledger.Waiting: 3, ledger.Submitting: 2, ledger.Unconfirmed: 1, ledger.Processing: 121, ledger.Processed: 9061, ledger.Failed: 31, ledger.Refused: 12}, CountsAbout: "in the last 24 hours",
		Queued: 4685, DrainIn: time.Hour, PerMinute: "78 a minute", Credits: "152217", UploadLetters: 2,
		Alarms: []Alarm{{Name: "Dead letters", Meaning: "Messages could not be handled, or results could not be announced.", Do: "Look at the dead letters: each says why.", Since: noon.Add(-2 * time.Hour)}}}
	w.letters = []DeadLetter{
		{Queue: "uploads", ID: "7c1d", Reason: "given up after 20 tries: ledger: record can't be understood: state is missing", DocumentID: first.DocumentID, Body: `{"extendIntake":1,"reprocess":{"documentId":"doc_x","attempt":2}}`, Do: "Mend the attribute, then send it back.", Since: noon.Add(-2 * time.Hour)},
		{Queue: "announcements", ID: "9e40", Reason: "the event takes 212 kB without the output", Body: `{"Records":[]}`, Do: "Shorten it, then send it back.", Since: noon.Add(-70 * time.Hour)},
	}
	return w
}

const classified = `{"id":"bill_of_lading","type":"bill_of_lading","confidence":0.93,"insights":[{"type":"reasoning","content":"A carrier block, a consignee block and a package count appear on page 1."}]}`

const split = `{"splits":[
 {"id":"split_1","type":"invoice","classificationId":"invoice","observation":"Two pages share the number INV-88213.","identifier":"INV-88213","startPage":1,"endPage":2,"fileId":"file_A","name":"invoice INV-88213"},
 {"id":"split_2","type":"bill_of_lading","classificationId":"bill_of_lading","observation":"Continuous page numbering 1 of 5 to 5 of 5.","identifier":"BOL-7719","startPage":3,"endPage":7,"fileId":"file_B"},
 {"id":"split_3","type":"other","classificationId":"other","observation":"A fax cover sheet.","identifier":"","startPage":8,"endPage":8,"fileId":"file_C"}],"isExternal":false}`

// invoicePDF has texts on its first page and a note on its second.
func invoicePDF(texts []string) []byte {
	pdf := string(sample(2, 595, 842, 0, nil))
	content := strings.Join(texts, "\n") + "\n0.6 G 60 565 m 535 565 l S 60 500 m 535 500 l S\nBT /F 20 Tf 1 0 0 1 60 802 Tm (Invoice) Tj ET\n"
	at := strings.Index(pdf, "stream\n") + len("stream\n")
	// The lengths and offsets are no longer right: PDFium mends that, as it does for many files.
	return []byte(pdf[:at] + content + pdf[at:])
}

// TestPictures looks at every screen, light and dark, narrow and wide, and keeps pictures of
// them for a person to look at; with SCREENSHOTS=folder all of them, in that folder. What fails
// is what a browser complains of, and a page that is wider than its window.
func TestPictures(t *testing.T) {
	w := invoices(t)
	stack := w.stack()
	w.reprocess(&stack)
	c := serve(t, stack, Options{CacheDir: cacheDir(t)})
	doc := "/documents/" + w.records[0].DocumentID
	screens := []struct{ name, path string }{
		{"overview", "/"}, {"documents", "/documents"}, {"fields", doc}, {"low", doc + "?only=low"}, {"json", doc + "?tab=json&q=total"}, {"history", doc + "?tab=history&logs=1"},
		{"compare", doc + "?tab=compare&a=before&b=stored"}, {"classification", "/documents/" + w.records[4].DocumentID}, {"splits", "/documents/" + w.records[5].DocumentID},
		{"failed", "/documents/" + w.records[2].DocumentID}, {"dead-letters", "/dead-letters?look=1"}, {"reprocess", "/reprocess?id=" + w.records[0].DocumentID + "&id=" + w.records[1].DocumentID}, {"nothing", "/documents/doc_nothing"},
	}
	for _, look := range []struct {
		name          string
		width, height int
		dark, rest    bool
	}{{"light", 1440, 900, false, false}, {"narrow-dark", 360, 740, true, false}, {"dark", 1440, 900, true, true}, {"narrow", 360, 740, false, true}, {"4k", 3840, 2160, false, true}} {
		if look.rest && os.Getenv("SCREENSHOTS") == "" {
			continue
		}
		b := c.look(t, look.width, look.height, look.dark)
		for _, s := range screens {
			b.open(s.path)
			if wide := eval[int](b, "document.documentElement.scrollWidth"); wide > look.width {
				t.Errorf("%s, %s: %d pixels wide", s.name, look.name, wide)
			}
			if high := eval[int](b, `document.querySelector("main.document") ? document.documentElement.scrollHeight : 0`); look.width > 1000 && high > look.height {
				t.Errorf("%s, %s: %d pixels high, beside panes that scroll by themselves", s.name, look.name, high)
			}
			for _, text := range eval[[]string](b, faint) {
				t.Errorf("%s, %s: %s", s.name, look.name, text)
			}
			b.picture(s.name + "-" + look.name)
		}
		b.forgive("status of 404")
	}
}

// faint are the texts whose contrast is below 4.5, which people with weak eyes can't read.
const faint = `(() => {
  const canvas = document.createElement("canvas"); canvas.width = canvas.height = 1;
  const c = canvas.getContext("2d", { willReadFrequently: true });
  const rgb = (color) => { c.clearRect(0, 0, 1, 1); c.fillStyle = color; c.fillRect(0, 0, 1, 1); return [...c.getImageData(0, 0, 1, 1).data]; };
  const light = ([r, g, b]) => { const f = (v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; return 0.2126 * f(r) + 0.7152 * f(g) + 0.0722 * f(b); };
  const ground = (e) => { for (; e; e = e.parentElement) { const g = rgb(getComputedStyle(e).backgroundColor); if (g[3] > 250) return g; } return rgb("Canvas"); };
  const found = new Set();
  for (const e of document.querySelectorAll("body *")) {
    if (![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()) || !e.checkVisibility() || e.closest("svg, .hidden, .skip, option")) continue;
    const a = light(rgb(getComputedStyle(e).color)), b = light(ground(e));
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5) found.add("contrast " + contrast.toFixed(1) + " of " + e.className + " " + e.tagName + ": " + e.textContent.trim().slice(0, 40));
  }
  return [...found];
})()`
