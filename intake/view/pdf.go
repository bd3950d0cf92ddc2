package view

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/klippa-app/go-pdfium"
	"github.com/klippa-app/go-pdfium/enums"
	pdfiumerrors "github.com/klippa-app/go-pdfium/errors"
	"github.com/klippa-app/go-pdfium/references"
	"github.com/klippa-app/go-pdfium/requests"
	"github.com/klippa-app/go-pdfium/webassembly"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
)

// What a hostile PDF may take.
const (
	pdfMemory   = 1 << 30          // bytes
	pdfPatience = 20 * time.Second // for one page
)

// pdfEngine draws PDFs with PDFium, which runs as WebAssembly without files and network. A
// document is read from its file as it is needed, so that its size costs no memory.
type pdfEngine struct {
	cache  string // folder for the compiled PDFium, which makes later starts faster
	start  sync.Once
	pool   pdfium.Pool
	failed error
}

func (e *pdfEngine) instance() (pdfium.Pdfium, error) {
	e.start.Do(func() {
		config := wazero.NewRuntimeConfig().
			WithCoreFeatures(api.CoreFeaturesV2 | experimental.CoreFeaturesExceptionHandling).
			WithMemoryLimitPages(pdfMemory >> 16).
			WithCloseOnContextDone(true)
		if e.cache != "" {
			// A cache that can't be written only costs time.
			if err := os.MkdirAll(e.cache, 0o700); err == nil {
				if cache, err := wazero.NewCompilationCacheWithDir(filepath.Join(e.cache, "pdfium")); err == nil {
					config = config.WithCompilationCache(cache)
				}
			}
		}
		e.pool, e.failed = webassembly.Init(webassembly.Config{
			MaxTotal: maxOpen + 1, RuntimeConfig: config,
			FSConfig: wazero.NewFSConfig(), // none; the default is the whole disk
			Stdout:   io.Discard, Stderr: io.Discard,
		})
	})
	if e.failed != nil {
		return nil, fmt.Errorf("PDFium does not start: %w", e.failed)
	}
	instance, err := e.pool.GetInstance(pdfPatience)
	if err != nil {
		return nil, fmt.Errorf("PDFium does not start: %w", err)
	}
	return instance, nil
}

// warm starts PDFium before it is needed: to compile it takes some seconds, once for each machine.
func (e *pdfEngine) warm() {
	if instance, err := e.instance(); err == nil {
		_ = instance.Close()
	}
}

func (e *pdfEngine) close() {
	e.start.Do(func() { e.failed = errors.New("the page was closed") }) // or waits until it has started
	if e.pool != nil {
		_ = e.pool.Close()
	}
}

// pdfFile is an open PDF.
type pdfFile struct {
	file     *os.File
	mu       sync.Mutex
	instance pdfium.Pdfium
	document references.FPDF_DOCUMENT
	count    int
	sizes    []size
	broken   error
}

// open reads a PDF as far as its page sizes. It takes over the file.
func (e *pdfEngine) open(file *os.File, bytes int64) (_ *pdfFile, err error) {
	p := &pdfFile{file: file}
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	if p.instance, err = e.instance(); err != nil {
		return nil, err
	}
	err = p.limited(context.Background(), func() error {
		opened, err := p.instance.OpenDocument(&requests.OpenDocument{FileReader: file, FileReaderSize: bytes})
		if err != nil {
			return pdfError(err)
		}
		p.document = opened.Document
		pages, err := p.instance.FPDF_GetPageCount(&requests.FPDF_GetPageCount{Document: p.document})
		if err != nil {
			return pdfError(err)
		}
		p.count = pages.PageCount
		for i := range min(p.count, maxSheets) {
			s := size{595, 842} // of a page that can't be read, which says so when it is drawn
			if got, err := p.instance.FPDF_GetPageSizeByIndexF(&requests.FPDF_GetPageSizeByIndexF{Document: p.document, Index: i}); err == nil && got.Size.Width > 0 && got.Size.Height > 0 {
				s = size{float64(got.Size.Width), float64(got.Size.Height)}
			}
			p.sizes = append(p.sizes, s)
		}
		if p.count == 0 {
			return errors.New("the PDF has no pages")
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return p, nil
}

func pdfError(err error) error {
	switch {
	case errors.Is(err, pdfiumerrors.ErrPassword), errors.Is(err, pdfiumerrors.ErrSecurity):
		return errors.New("the PDF is encrypted, and its password is not known here")
	case errors.Is(err, pdfiumerrors.ErrFormat), errors.Is(err, pdfiumerrors.ErrFile):
		return errors.New("the PDF is broken: PDFium can't read it")
	}
	return fmt.Errorf("PDFium can't read it: %w", err)
}

// limited calls PDFium, which serves one call at a time, and ends it when that takes too long.
func (p *pdfFile) limited(ctx context.Context, call func() error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := cmp.Or(ctx.Err(), p.broken); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() {
		defer func() {
			if r := recover(); r != nil {
				done <- fmt.Errorf("PDFium gave up: %v", r)
			}
		}()
		done <- call()
	}()
	timer := time.NewTimer(pdfPatience)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		p.broken = fmt.Errorf("drawing took more than %s and was ended", pdfPatience)
		_ = p.instance.Kill()
		p.instance = nil
		return p.broken
	}
}

// draw draws a page, counted from 1, in a given width and turned clockwise.
func (p *pdfFile) draw(ctx context.Context, page, width, turn int) (image.Image, error) {
	var img image.Image
	err := p.limited(ctx, func() error {
		s := p.sizes[page-1]
		w, h := fit(s, width, turn)
		drawn, err := p.instance.RenderPageInPixels(&requests.RenderPageInPixels{
			Page:  requests.Page{ByIndex: &requests.PageByIndex{Document: p.document, Index: page - 1}},
			Width: w, Height: h, RenderFlags: enums.FPDF_RENDER_FLAG_ANNOT,
		})
		if err != nil {
			return pdfError(err)
		}
		defer drawn.Cleanup() // the picture is in PDFium's memory, and turned copies it
		img = turned(drawn.Result.RenderedImage, turn)
		return nil
	})
	if err != nil {
		return nil, err // a call that was ended may still be busy with the picture
	}
	return img, nil
}

func (p *pdfFile) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.instance != nil {
		_ = p.instance.Close()
		p.instance = nil
	}
	p.broken = errors.New("the document was closed: load the page again")
	_ = p.file.Close()
}
