package view

import "encoding/json"

// change is a value in two outputs.
type change struct {
	Path string
	// A and B are nil where an output has no such value.
	A, B    *node
	Changed bool
}

// leaves are the values of an output by their paths, in order.
func leaves(n *node, path string, visit func(path string, n *node)) {
	if n == nil {
		return
	}
	if n.scalar() || len(n.members) == 0 {
		if path != "" || n.scalar() {
			visit(path, n)
		}
		return
	}
	for _, m := range n.members {
		leaves(m.node, join(path, m.name, n.kind), visit)
	}
}

// values is the part of an output in which values are compared: for an extraction, what was
// extracted, and not what is known about it.
func values(output json.RawMessage) (*node, error) {
	n, err := parse(output)
	if err != nil {
		return nil, err
	}
	if v := n.get("value"); v != nil && n.has("metadata") {
		return v, nil
	}
	return n, nil
}

// diff compares two outputs value by value. Numbers are the same if they are equal, however
// they are written.
func diff(a, b json.RawMessage) ([]change, error) {
	left, err := values(a)
	if err != nil {
		return nil, err
	}
	right, err := values(b)
	if err != nil {
		return nil, err
	}
	var all []change
	at := map[string]int{}
	leaves(left, "", func(path string, n *node) {
		at[path] = len(all)
		all = append(all, change{Path: path, A: n, Changed: true})
	})
	leaves(right, "", func(path string, n *node) {
		i, ok := at[path]
		if !ok {
			at[path] = len(all)
			all = append(all, change{Path: path, B: n, Changed: true})
			return
		}
		all[i].B = n
		all[i].Changed = all[i].A == nil || !same(all[i].A, n)
	})
	return all, nil
}

func same(a, b *node) bool {
	if a.kind != b.kind {
		return false
	}
	if a.kind == kindNumber {
		return decimal(a.text) == decimal(b.text)
	}
	return a.text == b.text
}

// Shown is a value as the page writes it.
func (n *node) Shown() *field { return &field{Kind: n.kind, Text: n.text} }
