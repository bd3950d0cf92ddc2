package ledger

import (
	"bytes"
	"cmp"
	"slices"
)

// members are those of the objects that somebody is writing, one within another, and where
// each is in what was written. It puts them in the order of their names. A member has no
// pointer, so that the garbage collector need not look at the thousands that there can be.
type members struct {
	text    []byte // where the names are
	decoded []byte // and those that are escaped in the text
	all     []member
	scratch []byte
}

type member struct {
	from, to   int // of the name, in the text
	escaped    bool
	start, end int // in what was written
}

// begin begins an object. It returns what [members.sort] has to be told at its end.
func (m *members) begin() int { return len(m.all) }

// named makes a member of the name that is in the text from there on, in quotation marks, and
// of what is being written from start on.
func (m *members) named(from int, quoted, name []byte, start int) member {
	if len(name) == 0 || &name[0] == &quoted[1] {
		return member{from: from + 1, to: from + 1 + len(name), start: start}
	}
	m.decoded = append(m.decoded, name...)
	return member{from: len(m.decoded) - len(name), to: len(m.decoded), escaped: true, start: start}
}

// add adds a member that was written up to end.
func (m *members) add(one member, end int) {
	one.end = end
	m.all = append(m.all, one)
}

func (m *members) name(one *member) []byte {
	if one.escaped {
		return m.decoded[one.from:one.to]
	}
	return m.text[one.from:one.to]
}

// sort ends the object that was begun at first: out, which ends with its last member, has
// them in order then. Of several with one name the last is kept, and the name returned.
func (m *members) sort(first int, out []byte) (sorted, twice []byte) {
	mine := m.all[first:]
	m.all = m.all[:first]
	ascending := true
	for i := 1; i < len(mine) && ascending; i++ {
		ascending = bytes.Compare(m.name(&mine[i-1]), m.name(&mine[i])) < 0
	}
	if ascending {
		return out, nil
	}
	begin := mine[0].start
	m.scratch = append(m.scratch[:0], out[begin:]...)
	out = out[:begin]
	slices.SortFunc(mine, func(a, b member) int {
		return cmp.Or(bytes.Compare(m.name(&a), m.name(&b)), a.start-b.start, a.from-b.from)
	})
	for i := range mine {
		one := &mine[i]
		if i+1 < len(mine) && bytes.Equal(m.name(one), m.name(&mine[i+1])) {
			twice = m.name(one)
			continue
		}
		if len(out) > begin {
			out = append(out, ',')
		}
		out = append(out, m.scratch[one.start-begin:one.end-begin]...)
	}
	return out, twice
}
