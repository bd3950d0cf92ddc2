package show

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// Tree is a JSON value for people: a line for each value in it, with its path, and the
// values exactly as they are.
func Tree(text json.RawMessage) ([]string, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	t := tree{decoder: d}
	if err := t.value("", "", 0); err != nil {
		return nil, fmt.Errorf("output: %w", err)
	}
	return t.lines, nil
}

// tree reads tokens and not maps, so that names stay in their order.
type tree struct {
	decoder *json.Decoder
	lines   []string
}

func (t *tree) line(depth int, name, value string) {
	if name != "" {
		name += ": "
	}
	t.lines = append(t.lines, strings.TrimRight(strings.Repeat("  ", depth)+name+value, " "))
}

func (t *tree) value(name, bullet string, depth int) error {
	token, err := t.decoder.Token()
	if err != nil {
		return err
	}
	name = bullet + name
	switch v := token.(type) {
	case json.Delim:
		inner := depth
		if name != "" {
			inner++
		}
		empty := !t.decoder.More()
		switch {
		case empty && v == '[':
			t.line(depth, name, "[]")
		case empty:
			t.line(depth, name, "{}")
		case name != "":
			t.line(depth, name, "")
		}
		for n := 1; t.decoder.More(); n++ {
			if v == '[' {
				if err := t.value(fmt.Sprint(n), "#", inner); err != nil {
					return err
				}
				continue
			}
			key, err := t.decoder.Token()
			if err != nil {
				return err
			}
			if err := t.value(fmt.Sprint(key), "", inner); err != nil {
				return err
			}
		}
		_, err := t.decoder.Token()
		return err
	case json.Number:
		t.line(depth, name, v.String())
	case string:
		t.line(depth, name, v)
	case nil:
		t.line(depth, name, "null")
	default:
		t.line(depth, name, fmt.Sprint(v))
	}
	return nil
}
