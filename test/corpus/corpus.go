// Package corpus makes outputs like those of Extend, of any size, for benchmarks, fuzz tests
// and comparisons of JSON libraries.
package corpus

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
)

// Shapes are the kinds of outputs, by their names. Each makes about so many bytes of JSON,
// always the same ones.
var Shapes = map[string]func(size int) json.RawMessage{
	"citations": Citations, "text": text, "deep": deep, "wide": wide, "numbers": numbers,
}

// Citations is an extraction with a citation for every field, most of which is polygons: what
// Extend's results mostly are.
func Citations(size int) json.RawMessage {
	r := rand.New(rand.NewPCG(1, uint64(size))) // #nosec G115 G404 -- a seed, and no secret
	var value, metadata strings.Builder
	words := []string{"Détention au port (2 h)", "Fuel surcharge", "Terminal handling", "Customs \"T1\" clearance", "Forfait douane & transit", "納品書"}
	for n := 0; value.Len()+metadata.Len()+60 < size || n == 0; n++ {
		if n > 0 {
			value.WriteByte(',')
			metadata.WriteByte(',')
		}
		description := words[n%len(words)]
		fmt.Fprintf(&value, `{"description":%s,"quantity":%d,"unit_price":%d.%02d,"amount":%d.%02d,"tax_rate":0.077,"sku":null,"taxed":true}`,
			quote(description), r.IntN(20), r.IntN(900), r.IntN(100), r.IntN(9000), r.IntN(100))
		fmt.Fprintf(&metadata, `"lines[%d].amount":{"ocrConfidence":0.%d,"logprobsConfidence":%d.%d,"citations":[{"page":%d,"referenceText":%s,"polygon":[`,
			n, 9000+r.IntN(1000), r.IntN(2), 1+r.IntN(9), 1+n/30, quote(description+" 1'204.50"))
		for corner := range 4 {
			if corner > 0 {
				metadata.WriteByte(',')
			}
			fmt.Fprintf(&metadata, `{"x":%v,"y":%v}`, 612*r.Float64(), 792*r.Float64())
		}
		metadata.WriteString(`],"pageWidth":612,"pageHeight":792}]}`)
	}
	return json.RawMessage(`{"value":{"invoice_number":"INV-0042","lines":[` + value.String() + `]},"metadata":{` + metadata.String() + `}}`)
}

func quote(s string) string {
	text, _ := json.Marshal(s) // a string is never refused
	return string(text)
}

// text is the text of pages, with what has to be escaped in it.
func text(size int) json.RawMessage {
	const page = "Invoice No. 42\n\nThe goods \"as described\" were received on 14 July 2026 in Zürich & inspected.\tTotal: 1'204.50 €\n"
	return json.RawMessage(`{"chunks":[{"content":` + quote(strings.Repeat(page, 1+size/(2*len(page)))) + `},{"content":` + quote(strings.Repeat(page, 1+size/(2*len(page)))) + `}]}`)
}

// deep is nested as deep as DynamoDB holds.
func deep(size int) json.RawMessage {
	const most = 28
	one := strings.Repeat(`{"child":[`, most/2) + `"leaf"` + strings.Repeat(`]}`, most/2)
	return json.RawMessage(`[` + strings.Repeat(one+",", size/len(one)) + `0]`)
}

// wide is one object with many names, which are in no order.
func wide(size int) json.RawMessage {
	var b strings.Builder
	b.WriteByte('{')
	for n := 0; b.Len()+30 < size || n == 0; n++ {
		if n > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `"field_%d":"%d"`, uint32(n)*2654435761, n)
	}
	b.WriteByte('}')
	return json.RawMessage(b.String())
}

// numbers are those that no float holds, or that can be written in several ways.
func numbers(size int) json.RawMessage {
	const some = `12345678901234567890,0.1000,-0.01,1.0875,1e5,1E-130,9.99e125,0.30000000000000004,100,1.00,-0,9007199254740993`
	return json.RawMessage(`[` + strings.Repeat(some+",", size/len(some)) + `0]`)
}
