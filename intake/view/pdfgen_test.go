package view

import (
	"bytes"
	"fmt"
	"strings"
)

// box is a black rectangle on a page, in points from the top left corner.
type box struct{ page, x, y, w, h int }

// sample makes a PDF of pages of a size in points, with black boxes, a number on each page,
// and lines of text that say something.
func sample(pages, width, height int, rotate int, boxes []box, lines ...string) []byte {
	var out bytes.Buffer
	var offsets []int
	object := func(format string, args ...any) {
		offsets = append(offsets, out.Len())
		fmt.Fprintf(&out, "%d 0 obj\n"+format+"\nendobj\n", append([]any{len(offsets)}, args...)...)
	}
	out.WriteString("%PDF-1.4\n")
	object("<< /Type /Catalog /Pages 2 0 R >>")
	var kids strings.Builder
	for i := range pages {
		fmt.Fprintf(&kids, "%d 0 R ", 4+2*i)
	}
	object("<< /Type /Pages /Kids [%s] /Count %d >>", kids.String(), pages)
	object("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>")
	for i := range pages {
		object("<< /Type /Page /Parent 2 0 R /MediaBox [0 0 %d %d] /Rotate %d /Resources << /Font << /F 3 0 R >> >> /Contents %d 0 R >>", width, height, rotate, 5+2*i)
		var c strings.Builder
		for _, b := range boxes {
			if b.page == i+1 {
				fmt.Fprintf(&c, "0 g %d %d %d %d re f\n", b.x, height-b.y-b.h, b.w, b.h)
			}
		}
		fmt.Fprintf(&c, "BT /F 9 Tf %d 24 Td (%d) Tj ET\n", width/2, i+1)
		for n, line := range lines {
			fmt.Fprintf(&c, "BT /F 12 Tf 60 %d Td (%s) Tj ET\n", height-80-20*n, strings.NewReplacer("(", `\(`, ")", `\)`).Replace(line))
		}
		object("<< /Length %d >>\nstream\n%s\nendstream", c.Len(), c.String())
	}
	start := out.Len()
	fmt.Fprintf(&out, "xref\n0 %d\n0000000000 65535 f \n", len(offsets)+1)
	for _, at := range offsets {
		fmt.Fprintf(&out, "%010d 00000 n \n", at)
	}
	fmt.Fprintf(&out, "trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n", len(offsets)+1, start)
	return out.Bytes()
}

// cites is a citation of a box, in units that are not points.
func (b box) cites(width, height int, scale float64) string {
	x, y, w, h := float64(b.x)*scale, float64(b.y)*scale, float64(b.w)*scale, float64(b.h)*scale
	return fmt.Sprintf(`{"page":%d,"referenceText":"box","polygon":[{"x":%g,"y":%g},{"x":%g,"y":%g},{"x":%g,"y":%g},{"x":%g,"y":%g}],"pageWidth":%g,"pageHeight":%g}`,
		b.page, x, y, x+w, y, x+w, y+h, x, y+h, float64(width)*scale, float64(height)*scale)
}
