package view

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"unicode/utf8"

	"extend-intake/shared/ledger"
)

// originalKind is what a file is, by its bytes: names and declared types are not believed.
type originalKind string

const (
	pdfFileKind originalKind = "application/pdf"
	pngFile     originalKind = "image/png"
	jpegFile    originalKind = "image/jpeg"
	gifFile     originalKind = "image/gif"
	webpFile    originalKind = "image/webp"
	tiffFile    originalKind = "image/tiff"
	officeFile  originalKind = "an Office or ZIP file"
	textFile    originalKind = "text"
	otherFile   originalKind = "of a kind that this page does not draw"
)

// asIs reports whether browsers show such an image themselves.
func (k originalKind) asIs() bool {
	return k == pngFile || k == jpegFile || k == gifFile || k == webpFile
}

func sniff(head []byte) originalKind {
	starts := func(s string) bool { return bytes.HasPrefix(head, []byte(s)) }
	switch {
	case bytes.Contains(head[:min(len(head), 1024)], []byte("%PDF-")):
		return pdfFileKind
	case starts("\x89PNG\r\n\x1a\n"):
		return pngFile
	case starts("\xff\xd8\xff"):
		return jpegFile
	case starts("GIF87a"), starts("GIF89a"):
		return gifFile
	case starts("RIFF") && len(head) >= 12 && string(head[8:12]) == "WEBP":
		return webpFile
	case starts("II*\x00"), starts("MM\x00*"):
		return tiffFile
	case starts("PK\x03\x04"), starts("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"):
		return officeFile
	case len(head) > 0 && !bytes.ContainsRune(head, 0) && validStart(head):
		return textFile
	}
	return otherFile
}

// validStart reports whether a text is UTF-8, up to a rune that the end of the buffer cuts.
func validStart(head []byte) bool {
	for cut := 0; cut < utf8.UTFMax && cut <= len(head); cut++ {
		if utf8.Valid(head[:len(head)-cut]) {
			return true
		}
	}
	return false
}

const (
	// maxOriginal is how large a file may be to be drawn. It can be downloaded all the same.
	maxOriginal = 100 << 20
	// maxText is how much of a text file is shown.
	maxText = 200 << 10
	// maxOpen is how many documents are kept open.
	maxOpen = 3
	// maxSheets is how many pages are shown of one document.
	maxSheets = 2000
)

// opened is an original, ready to be drawn.
type opened struct {
	kind  originalKind
	pdf   *pdfFile
	image *picture
	text  string
	// note says what the reader should know, such as that this is Extend's conversion.
	note  string
	sizes []size
	count int // of all pages, which may be more than sizes
	bytes int64
}

func (o *opened) close() {
	if o.pdf != nil {
		o.pdf.close()
	}
	if o.image != nil {
		_ = o.image.file.Close()
	}
}

// originals keeps copies of a few documents in a private folder, and the pages drawn of them.
type originals struct {
	ctx    context.Context // of fetching; done when the page is closed
	cancel context.CancelFunc
	stack  *Stack
	dir    string
	engine *pdfEngine
	limit  int64 // bytes that the copies may take

	mu    sync.Mutex
	open  []*entry // the last used last
	drawn pictures
}

// entry is an original that is open or being opened.
type entry struct {
	name string // of the copy
	done chan struct{}
	*opened
	err error
}

// get opens the original of a document, or says why it can't be shown.
func (o *originals) get(ctx context.Context, rec *ledger.Record) (*opened, string, error) {
	sum := sha256.Sum256([]byte(rec.Bucket + "\x00" + rec.Key + "\x00" + rec.VersionID + "\x00" + rec.ETag + "\x00" + rec.RunID))
	name := hex.EncodeToString(sum[:16])
	o.mu.Lock()
	var found *entry
	for i, e := range o.open {
		if e.name == name {
			found = e
			o.open = append(append(o.open[:i:i], o.open[i+1:]...), e)
			break
		}
	}
	if found == nil {
		found = &entry{name: name, done: make(chan struct{})}
		o.open = append(o.open, found)
		go func() { // the next request for it finds it, though this one be cancelled
			defer close(found.done)
			opened, err := o.fetch(o.ctx, rec, filepath.Join(o.dir, name))
			o.mu.Lock()
			defer o.mu.Unlock()
			found.opened, found.err = opened, err
			if err != nil {
				o.open = slices.DeleteFunc(o.open, func(e *entry) bool { return e == found })
			}
			o.evict(found)
		}()
	}
	o.mu.Unlock()
	select {
	case <-found.done:
		return found.opened, name, found.err
	case <-ctx.Done():
		return nil, "", ctx.Err()
	}
}

// evict closes what was used longest ago, when there is too much. What is being opened stays.
// The caller holds the lock.
func (o *originals) evict(keep *entry) {
	var bytes int64
	count := 0
	for i := len(o.open) - 1; i >= 0; i-- {
		e := o.open[i]
		if e.opened == nil {
			continue
		}
		count++
		if bytes += e.bytes; e != keep && (count > maxOpen || bytes > o.limit) {
			go e.opened.close() // it may be drawing
			o.drawn.forget(e.name)
			o.open = append(o.open[:i:i], o.open[i+1:]...)
		}
	}
}

func (o *originals) close() {
	o.cancel()
	o.mu.Lock()
	open := o.open
	o.open = nil
	o.mu.Unlock()
	for _, e := range open {
		<-e.done
		if e.opened != nil {
			e.opened.close()
		}
	}
	o.engine.close()
}

func (o *originals) fetch(ctx context.Context, rec *ledger.Record, path string) (*opened, error) {
	if rec.Key == "" {
		return nil, errors.New("this document came without an upload: Extend has its file")
	}
	original, err := o.stack.Original(ctx, rec)
	if err != nil {
		return nil, err
	}
	opened, err := o.copy(original, path)
	if err != nil || opened.kind != officeFile || o.stack.Converted == nil {
		return opened, err
	}
	converted, err := o.stack.Converted(ctx, rec)
	if err != nil {
		opened.note = "Extend's PDF of it can't be had: " + err.Error()
		return opened, nil
	}
	if converted == nil {
		opened.note = "Extend made no PDF of it."
		return opened, nil
	}
	pdf, err := o.copy(converted, path)
	if err != nil {
		opened.note = "Extend's PDF of it can't be drawn: " + err.Error()
		return opened, nil
	}
	opened.close()
	pdf.note = "This is the PDF that Extend made of the file."
	return pdf, nil
}

// copy takes a copy of an original and opens it. The copy has no name any more once it is
// open, where the system allows that, so that nothing of it is left whatever happens.
func (o *originals) copy(original *Original, path string) (_ *opened, err error) {
	defer original.Body.Close()
	if original.Size > maxOriginal {
		return nil, fmt.Errorf("the file is %s, and over %s are not drawn", byteSize(original.Size), byteSize(maxOriginal))
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600) // #nosec G304 -- a name of our own
	if err != nil {
		return nil, fmt.Errorf("copy of the original: %w", err)
	}
	_ = os.Remove(path)
	kept := false
	defer func() {
		if !kept {
			_ = file.Close()
		}
	}()
	n, err := io.Copy(file, io.LimitReader(original.Body, maxOriginal+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("the original can't be read: %w", err)
	case n > maxOriginal:
		return nil, fmt.Errorf("the file is over %s, which is not drawn", byteSize(maxOriginal))
	case n == 0:
		return nil, errors.New("the file is empty")
	}
	head := make([]byte, min(n, maxText+utf8.UTFMax))
	if _, err := file.ReadAt(head, 0); err != nil {
		return nil, err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	out := &opened{kind: sniff(head), bytes: n}
	switch {
	case out.kind == pdfFileKind:
		kept = true // or closed by open
		if out.pdf, err = o.engine.open(file, n); err != nil {
			return nil, err
		}
		out.sizes, out.count = out.pdf.sizes, out.pdf.count
	case out.kind.asIs() || out.kind == tiffFile:
		if out.image, err = openPicture(file, n, out.kind); err != nil {
			return nil, err
		}
		kept = true
		out.sizes, out.count = out.image.sizes, len(out.image.sizes)
	case out.kind == textFile:
		if len(head) > maxText {
			head = head[:maxText]
			out.note = fmt.Sprintf("These are the first %s of %s.", byteSize(maxText), byteSize(n))
		}
		out.text = string(bytes.ToValidUTF8(head, nil))
	}
	return out, nil
}

// page draws a page as PNG.
func (o *originals) page(ctx context.Context, rec *ledger.Record, page, width, turn int) ([]byte, error) {
	original, name, err := o.get(ctx, rec)
	if err != nil {
		return nil, err
	}
	if page < 1 || page > len(original.sizes) {
		return nil, errNoPage
	}
	key := pageKey{name, page, width, turn}
	if png := o.drawn.get(key); png != nil {
		return png, nil
	}
	draw := func() ([]byte, error) {
		if original.pdf != nil {
			img, err := original.pdf.draw(ctx, page, width, turn)
			if err != nil {
				return nil, err
			}
			return encode(img)
		}
		img, err := original.image.draw(page, width, turn)
		if err != nil {
			return nil, err
		}
		return encode(img)
	}
	png, err := draw()
	if err != nil {
		return nil, fmt.Errorf("page %d: %w", page, err)
	}
	o.drawn.put(key, png)
	return png, nil
}

var errNoPage = errors.New("there is no such page")

// pictures are the pages drawn last.
type pictures struct {
	mu    sync.Mutex
	order []pageKey
	png   map[pageKey][]byte
	bytes int
}

type pageKey struct {
	name              string
	page, width, turn int
}

// maxDrawn is how many bytes of drawn pages are kept.
const maxDrawn = 48 << 20

func (p *pictures) get(k pageKey) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.png[k]
}

func (p *pictures) put(k pageKey, png []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.png == nil {
		p.png = map[pageKey][]byte{}
	}
	if _, ok := p.png[k]; ok {
		return
	}
	p.png[k] = png
	p.order = append(p.order, k)
	for p.bytes += len(png); p.bytes > maxDrawn && len(p.order) > 1; p.order = p.order[1:] {
		p.bytes -= len(p.png[p.order[0]])
		delete(p.png, p.order[0])
	}
}

func (p *pictures) forget(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	kept := p.order[:0]
	for _, k := range p.order {
		if k.name == name {
			p.bytes -= len(p.png[k])
			delete(p.png, k)
		} else {
			kept = append(kept, k)
		}
	}
	p.order = kept
}

func byteSize(n int64) string {
	switch {
	case n < 1000:
		return fmt.Sprintf("%d bytes", n)
	case n < 1000*1000:
		return fmt.Sprintf("%.0f kB", float64(n)/1000)
	}
	return fmt.Sprintf("%.1f MB", float64(n)/1e6)
}
