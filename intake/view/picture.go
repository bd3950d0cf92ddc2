package view

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/draw"
	_ "image/gif"
	_ "image/jpeg"
	"image/png"
	"io"
	"math"
	"os"
	"slices"
	"sync"

	xdraw "golang.org/x/image/draw"
	_ "golang.org/x/image/tiff"
	_ "golang.org/x/image/webp"
)

// maxPixels bounds the pictures that are decoded here: 100 megapixels take 400 MB.
const maxPixels = 100_000_000

// maxEdge bounds the height of what is drawn.
const maxEdge = 12_000

// size is that of a page, in whatever unit.
type size struct{ w, h float64 }

// fit returns the pixels of a page before it is turned, so that it has the width after it.
func fit(s size, width, turn int) (w, h int) {
	if turn%180 != 0 {
		s.w, s.h = s.h, s.w
	}
	high := float64(width) * s.h / s.w
	if high > maxEdge {
		width, high = max(1, int(float64(width)*maxEdge/high)), maxEdge
	}
	w, h = width, max(1, int(math.Round(high)))
	if turn%180 != 0 {
		w, h = h, w
	}
	return w, h
}

// turned copies a picture, turned clockwise.
func turned(src image.Image, turn int) *image.RGBA {
	b := src.Bounds()
	w, h := b.Dx(), b.Dy()
	from, ok := src.(*image.RGBA)
	if !ok || turn == 0 {
		copied := image.NewRGBA(image.Rect(0, 0, w, h))
		draw.Draw(copied, copied.Bounds(), src, b.Min, draw.Src)
		from, b = copied, copied.Bounds()
	}
	if turn == 0 {
		return from
	}
	to := image.NewRGBA(image.Rect(0, 0, w, h))
	if turn%180 != 0 {
		to = image.NewRGBA(image.Rect(0, 0, h, w))
	}
	for y := range h {
		row := from.Pix[from.PixOffset(b.Min.X, b.Min.Y+y):]
		for x := range w {
			tx, ty := h-1-y, x
			switch turn {
			case 180:
				tx, ty = w-1-x, h-1-y
			case 270:
				tx, ty = y, w-1-x
			}
			copy(to.Pix[to.PixOffset(tx, ty):][:4], row[4*x:4*x+4])
		}
	}
	return to
}

// encode writes a picture as PNG: exact, and quick.
func encode(img image.Image) ([]byte, error) {
	var out bytes.Buffer
	err := (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(&out, img)
	return out.Bytes(), err
}

// picture is an open image file. Only TIFF has several pages.
type picture struct {
	file  *os.File
	bytes int64
	// offsets are where a TIFF's pages begin.
	offsets []uint32
	sizes   []size // as they are shown
	// orientation is the EXIF tag, 1 to 8, of a photograph that was taken with the camera turned.
	orientation int
	mu          sync.Mutex // one is decoded at a time
}

func openPicture(file *os.File, bytes int64, kind originalKind) (*picture, error) {
	p := &picture{file: file, bytes: bytes, orientation: 1}
	pages := 1
	if kind == tiffFile {
		p.offsets = tiffOffsets(io.NewSectionReader(file, 0, bytes))
		pages = len(p.offsets)
	}
	if kind == jpegFile {
		p.orientation = orientation(file)
	}
	for page := range pages {
		config, _, err := image.DecodeConfig(p.reader(page))
		switch {
		case err != nil && page == 0:
			return nil, fmt.Errorf("the image is broken, or of a kind that is not drawn: %w", err)
		case err != nil:
			config = image.Config{Width: 595, Height: 842} // what is wrong is said when it is drawn
		case config.Width <= 0 || config.Height <= 0 || config.Width > maxPixels/config.Height:
			return nil, fmt.Errorf("the image is %d by %d pixels, and over %d in all are not drawn", config.Width, config.Height, maxPixels)
		}
		s := size{float64(config.Width), float64(config.Height)}
		if p.orientation >= 5 {
			s.w, s.h = s.h, s.w
		}
		p.sizes = append(p.sizes, s)
	}
	if len(p.sizes) == 0 {
		return nil, errors.New("the image is broken: it has no pages")
	}
	return p, nil
}

// reader reads the file so that a page, counted from 0, is the first one.
func (p *picture) reader(page int) io.Reader {
	section := io.NewSectionReader(p.file, 0, p.bytes)
	if page == 0 {
		return section
	}
	return &tiffPage{section, p.offsets[page]}
}

// draw decodes a page, counted from 1, and makes it no larger than it is.
func (p *picture) draw(page, width, turn int) (image.Image, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	img, _, err := image.Decode(p.reader(page - 1))
	if err != nil {
		return nil, fmt.Errorf("the image is broken, or of a kind that is not drawn: %w", err)
	}
	total := turn
	switch p.orientation { // no camera makes the mirrored ones, 2, 4, 5 and 7
	case 3:
		total += 180
	case 6:
		total += 90
	case 8:
		total += 270
	}
	b := img.Bounds()
	w, h := fit(size{float64(b.Dx()), float64(b.Dy())}, width, total%360)
	if w < b.Dx() {
		small := image.NewRGBA(image.Rect(0, 0, w, h))
		xdraw.ApproxBiLinear.Scale(small, small.Bounds(), img, b, draw.Src, nil)
		img = small
	}
	return turned(img, total%360), nil
}

// tiffPage shows one page of a TIFF file to a decoder that reads the first.
type tiffPage struct {
	*io.SectionReader
	offset uint32
}

// ReadAt answers with the page's offset where the header has that of the first page.
func (t *tiffPage) ReadAt(b []byte, at int64) (int, error) {
	n, err := t.SectionReader.ReadAt(b, at)
	if at < 8 && n > 0 {
		var head [8]byte
		if _, err := t.SectionReader.ReadAt(head[:], 0); err != nil {
			return 0, err
		}
		tiffOrder(head[:]).PutUint32(head[4:], t.offset)
		copy(b[:n], head[at:])
	}
	return n, err
}

func tiffOrder(head []byte) binary.ByteOrder {
	if head[0] == 'I' {
		return binary.LittleEndian
	}
	return binary.BigEndian
}

// tiffOffsets follows the list of a TIFF's pages.
func tiffOffsets(r io.ReaderAt) (offsets []uint32) {
	var head [8]byte
	if _, err := r.ReadAt(head[:], 0); err != nil {
		return nil
	}
	order := tiffOrder(head[:])
	for next := order.Uint32(head[4:]); next != 0 && len(offsets) < maxSheets && !slices.Contains(offsets, next); {
		offsets = append(offsets, next)
		var count [2]byte
		if _, err := r.ReadAt(count[:], int64(next)); err != nil {
			break
		}
		var after [4]byte
		if _, err := r.ReadAt(after[:], int64(next)+2+12*int64(order.Uint16(count[:]))); err != nil {
			break
		}
		next = order.Uint32(after[:])
	}
	return offsets
}

// orientation reads the EXIF tag 0x0112 of a JPEG; 1, upright, if there is none.
func orientation(file *os.File) int {
	head := make([]byte, 128<<10)
	n, _ := file.ReadAt(head, 0)
	head = head[:n]
	for at := 2; at+4 < len(head) && head[at] == 0xff && head[at+1] != 0xda; {
		length := int(head[at+2])<<8 | int(head[at+3])
		if head[at+1] == 0xe1 && at+2+length <= len(head) && length >= 2 {
			if o := exifOrientation(head[at+4 : at+2+length]); o > 0 {
				return o
			}
		}
		at += 2 + length
	}
	return 1
}

func exifOrientation(b []byte) int {
	b, ok := bytes.CutPrefix(b, []byte("Exif\x00\x00"))
	if !ok || len(b) < 8 {
		return 0
	}
	little := b[0] == 'I'
	number := func(at, bytes int) int {
		if at < 0 || at+bytes > len(b) {
			return 0
		}
		v := 0
		for i := range bytes {
			if little {
				v |= int(b[at+i]) << (8 * i)
			} else {
				v = v<<8 | int(b[at+i])
			}
		}
		return v
	}
	directory := number(4, 4)
	for i := range min(number(directory, 2), 100) {
		entry := directory + 2 + 12*i
		if number(entry, 2) == 0x0112 {
			if o := number(entry+8, 2); o >= 1 && o <= 8 {
				return o
			}
		}
	}
	return 0
}
