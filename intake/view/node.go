package view

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// kind is what a JSON value is.
type kind string

const (
	kindText    kind = "text"
	kindNumber  kind = "number"
	kindBoolean kind = "boolean"
	kindNull    kind = "null"
	kindObject  kind = "object"
	kindList    kind = "list"
)

// node is a JSON value with its members in the order in which they stand, and its numbers as
// they are written.
type node struct {
	kind kind
	// text is the value of a text, and a number, a boolean or null as it is written.
	text    string
	raw     json.RawMessage
	members []member
}

type member struct {
	name string
	node *node
}

// maxNesting bounds how deep values are taken apart. What is deeper is shown as its JSON.
const maxNesting = 64

// parse takes JSON text apart.
func parse(text json.RawMessage) (*node, error) {
	if !json.Valid(text) {
		return nil, fmt.Errorf("it is not JSON: %w", json.Unmarshal(text, new(any)))
	}
	return parseNode(bytes.TrimSpace(text), 0), nil
}

// parseNode takes valid JSON without surrounding space.
func parseNode(text json.RawMessage, depth int) *node {
	n := &node{raw: text, text: string(text)}
	switch text[0] {
	case '"':
		n.kind = kindText
		_ = json.Unmarshal(text, &n.text)
		return n
	case 't', 'f':
		n.kind = kindBoolean
		return n
	case 'n':
		n.kind = kindNull
		return n
	case '{':
		n.kind = kindObject
	case '[':
		n.kind = kindList
	default:
		n.kind = kindNumber
		return n
	}
	if depth == maxNesting {
		n.kind = kindText
		return n
	}
	n.text = ""
	d := json.NewDecoder(bytes.NewReader(text))
	_, _ = d.Token()
	for i := 0; d.More(); i++ {
		name := fmt.Sprintf("[%d]", i)
		if n.kind == kindObject {
			token, _ := d.Token()
			name, _ = token.(string)
		}
		var value json.RawMessage
		if d.Decode(&value) != nil {
			break
		}
		n.members = append(n.members, member{name, parseNode(value, depth+1)})
	}
	return n
}

// get returns a member of an object; nil if there is none or it is null.
func (n *node) get(name string) *node {
	if n == nil || n.kind != kindObject {
		return nil
	}
	for _, m := range n.members {
		if m.name == name && m.node.kind != kindNull {
			return m.node
		}
	}
	return nil
}

// has reports whether an object has a member, null or not.
func (n *node) has(name string) bool {
	if n == nil || n.kind != kindObject {
		return false
	}
	for _, m := range n.members {
		if m.name == name {
			return true
		}
	}
	return false
}

// is returns the text of a value of that kind, else nothing.
func (n *node) is(k kind) string {
	if n == nil || n.kind != k {
		return ""
	}
	return n.text
}

func (n *node) list() []member {
	if n == nil || n.kind != kindList {
		return nil
	}
	return n.members
}

func (n *node) scalar() bool { return n.kind != kindObject && n.kind != kindList }

// join makes the path of a member as Extend's metadata names it: line_items[0].price.
func join(path, name string, of kind) string {
	if path == "" || of == kindList {
		return path + name
	}
	return path + "." + name
}

// decimal writes a JSON number in one way, so that equal numbers have equal texts: its
// digits without zeros at either end, and the exponent of the last of them. No float is made of it.
func decimal(number string) string {
	sign := ""
	if strings.HasPrefix(number, "-") {
		sign, number = "-", number[1:]
	}
	mantissa, exponent, _ := strings.Cut(strings.ToLower(number), "e")
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := strings.TrimLeft(whole+fraction, "0")
	trimmed := strings.TrimRight(digits, "0")
	if trimmed == "" {
		return "0"
	}
	shift := int64(len(digits) - len(trimmed) - len(fraction))
	var e int64
	if exponent != "" {
		if _, err := fmt.Sscan(strings.TrimPrefix(exponent, "+"), &e); err != nil || len(exponent) > 15 {
			return sign + number // beyond any number that is meant
		}
	}
	return fmt.Sprintf("%s%se%d", sign, trimmed, e+shift)
}
