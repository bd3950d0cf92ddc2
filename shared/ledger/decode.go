package ledger

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"extend-intake/shared/rawjson"
)

// DecodeOutput turns an attribute back into JSON text. Names come in sorted
// order: DynamoDB keeps none.
func DecodeOutput(v types.AttributeValue) (json.RawMessage, error) {
	image, err := attributevalue.MarshalJSON(v)
	if err != nil {
		return nil, fmt.Errorf("ledger: output: %w", err)
	}
	return DecodeImage(image)
}

// DecodeImage is [DecodeOutput] of an attribute as DynamoDB's API and its streams write it.
// It shares no memory with the image.
func DecodeImage(image []byte) (json.RawMessage, error) {
	d := decoder{image: image, utf8: utf8.Valid(image), out: make([]byte, 0, len(image))}
	d.members.text, d.at = image, rawjson.Space(image, 0)
	if err := d.value(); err != nil {
		return nil, fmt.Errorf("ledger: output: %w", err)
	}
	if rawjson.Space(image, d.at) < len(image) {
		return nil, fmt.Errorf("ledger: output: %w", errImage)
	}
	return d.out, nil
}

// CutOutput takes the output out of an item in DynamoDB's JSON, for [DecodeImage]. There is a
// NULL in its place. The output is nil where there is none, or the item is no JSON object.
func CutOutput(item []byte) (rest, output []byte) {
	from, to, ok := rawjson.Member(item, outputAttribute)
	if !ok {
		return item, nil
	}
	return slices.Concat(item[:from], []byte(`{"NULL":true}`), item[to:]), item[from:to]
}

var errImage = errors.New("an attribute that is not in DynamoDB's JSON")

// decoder writes the text of an attribute.
type decoder struct {
	image   []byte
	utf8    bool // the image is valid UTF-8
	at      int
	out     []byte
	members members
	decoded []byte // the last string that had to be
}

// skip reads this byte and the space around it.
func (d *decoder) skip(c byte) bool {
	at := rawjson.Space(d.image, d.at)
	if at >= len(d.image) || d.image[at] != c {
		return false
	}
	d.at = rawjson.Space(d.image, at+1)
	return true
}

// string reads a string: as it is written, its text, which is good until the next call, and
// whether encoding/json would write it in the same way.
func (d *decoder) string() (quoted, text []byte, same, ok bool) {
	if d.at >= len(d.image) || d.image[d.at] != '"' {
		return nil, nil, false, false
	}
	end, t := rawjson.String(d.image, d.at)
	if end < 0 {
		return nil, nil, false, false
	}
	quoted = d.image[d.at:end]
	d.at = end
	text = quoted[1 : len(quoted)-1]
	if t&rawjson.Escaped != 0 || t&rawjson.NonASCII != 0 && !d.utf8 {
		d.decoded = rawjson.AppendText(d.decoded[:0], quoted)
		return quoted, d.decoded, false, true
	}
	return quoted, text, t&rawjson.NonASCII == 0 || bytes.IndexByte(text, 0xE2) < 0, true
}

// quote writes what string has read.
func (d *decoder) quote(quoted, text []byte, same bool) {
	if same {
		d.out = append(d.out, quoted...)
	} else {
		d.out = rawjson.AppendQuoted(d.out, text, false)
	}
}

func (d *decoder) value() error {
	if !d.skip('{') {
		return errImage
	}
	_, kind, _, ok := d.string()
	name := kindOf(kind)
	if !ok || !d.skip(':') {
		return errImage
	}
	switch name {
	case "S", "N":
		quoted, text, same, ok := d.string()
		if !ok {
			return errImage
		}
		if name == "S" {
			d.quote(quoted, text, same)
			break
		}
		if end, _ := rawjson.Number(text, 0); end != len(text) || end == 0 {
			return fmt.Errorf("%.100q is no number", text)
		}
		d.out = append(d.out, text...)
	case "BOOL", "NULL":
		end := rawjson.Value(d.image, d.at, 0)
		if end < 0 || d.image[d.at] != 't' && d.image[d.at] != 'f' {
			return errImage
		}
		if name == "NULL" {
			d.out = append(d.out, "null"...)
		} else {
			d.out = append(d.out, d.image[d.at:end]...)
		}
		d.at = end
	case "L":
		if err := d.list(); err != nil {
			return err
		}
	case "M":
		if err := d.object(); err != nil {
			return err
		}
	default:
		return fmt.Errorf("an attribute of type %.20q was not written by this software", name)
	}
	if !d.skip('}') {
		return errImage
	}
	return nil
}

// kindOf is the kind of an attribute, which is good for longer than the next string.
func kindOf(text []byte) string {
	for _, kind := range [...]string{"S", "N", "M", "L", "BOOL", "NULL"} {
		if string(text) == kind {
			return kind
		}
	}
	return string(text)
}

func (d *decoder) list() error {
	if !d.skip('[') {
		return errImage
	}
	d.out = append(d.out, '[')
	for n := 0; n > 0 || !d.skip(']'); n++ {
		if n > 0 {
			if d.skip(']') {
				break
			}
			if !d.skip(',') {
				return errImage
			}
			d.out = append(d.out, ',')
		}
		if err := d.value(); err != nil {
			return err
		}
	}
	d.out = append(d.out, ']')
	return nil
}

func (d *decoder) object() error {
	if !d.skip('{') {
		return errImage
	}
	d.out = append(d.out, '{')
	first := d.members.begin()
	for n := 0; n > 0 || !d.skip('}'); n++ {
		if n > 0 {
			if d.skip('}') {
				break
			}
			if !d.skip(',') {
				return errImage
			}
			d.out = append(d.out, ',')
		}
		from, start := d.at, len(d.out)
		quoted, name, same, ok := d.string()
		if !ok {
			return errImage
		}
		d.quote(quoted, name, same)
		m := d.members.named(from, quoted, name, start)
		if !d.skip(':') {
			return errImage
		}
		d.out = append(d.out, ':')
		if err := d.value(); err != nil {
			return err
		}
		d.members.add(m, len(d.out))
	}
	d.out, _ = d.members.sort(first, d.out) // DynamoDB has no name twice
	d.out = append(d.out, '}')
	return nil
}
