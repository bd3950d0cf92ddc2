package ledger

import (
	"cmp"
	"context"
	"encoding/json"
	"iter"
	"slices"
	"sync"
	"time"
)

// NewMemory returns a Ledger that lives in memory. It answers as the table does
// (one property test drives both with the same operations and compares every
// answer) and is there for tests and simulations.
func NewMemory(rules Rules, now func() time.Time) *Ledger {
	return &Ledger{store: &memory{records: map[string]Record{}, objects: map[string]contents{}, holds: map[string]hold{}, days: map[[2]string]day{}}, rules: rules, now: now}
}

type memory struct {
	mu      sync.Mutex
	records map[string]Record
	objects map[string]contents
	holds   map[string]hold
	// days are by the day and, for what is known of a route, the route.
	days map[[2]string]day
}

func (m *memory) get(_ context.Context, id string) (*Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	rec, ok := m.records[id]
	if !ok {
		return nil, nil
	}
	rec.Output = nil
	rec.Runs = slices.Clone(rec.Runs)
	return &rec, nil
}

func (m *memory) swap(_ context.Context, old, next *Record) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	now, ok := m.records[next.DocumentID]
	if (old == nil) == ok || ok && now.Version != old.Version {
		return errConflict
	}
	rec := *next
	rec.Runs = slices.Clone(next.Runs)
	if rec.Output == nil && rec.OutputLocation == "" {
		rec.Output = now.Output
	}
	m.records[rec.DocumentID] = rec
	return nil
}

func (m *memory) getContents(_ context.Context, id string) (*contents, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c, ok := m.objects[id]
	if !ok {
		return nil, nil
	}
	c.Known = slices.Clone(c.Known)
	return &c, nil
}

func (m *memory) swapContents(_ context.Context, old, next *contents) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	now, ok := m.objects[next.ID]
	if (old == nil) == ok || ok && now.Version != old.Version {
		return errConflict
	}
	c := *next
	c.Known = slices.Clone(next.Known)
	m.objects[c.ID] = c
	return nil
}

func (m *memory) getHold(_ context.Context, id string) (*hold, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	h, ok := m.holds[id]
	if !ok {
		return nil, nil
	}
	return &h, nil
}

func (m *memory) getDay(_ context.Context, name, route string) (day, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d := m.days[[2]string{name, route}]
	d.Credits = m.days[[2]string{name}].Credits
	return d, nil
}

func (m *memory) swapHold(_ context.Context, old, next *hold, change spend) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	now, ok := m.holds[next.ID]
	total := m.days[[2]string{change.day}]
	if (old == nil) == ok || ok && now.Version != old.Version || change.below > 0 && total.Credits >= change.below {
		return errConflict
	}
	m.holds[next.ID] = *next
	total.Credits += change.credits
	m.days[[2]string{change.day}] = total
	if change.runs > 0 {
		d := m.days[[2]string{change.day, change.route}]
		d.Runs += change.runs
		d.RunsCredits += change.cost
		m.days[[2]string{change.day, change.route}] = d
	}
	return nil
}

func (m *memory) output(_ context.Context, id string) (json.RawMessage, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.records[id].Output, nil
}

func (m *memory) where(match func(Record) bool, order func(a, b Record) int) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var found []Record
	for _, rec := range m.records {
		if match(rec) {
			found = append(found, rec)
		}
	}
	slices.SortFunc(found, func(a, b Record) int {
		return cmp.Or(order(a, b), cmp.Compare(a.DocumentID, b.DocumentID))
	})
	ids := make([]string, len(found))
	for i, rec := range found {
		ids[i] = rec.DocumentID
	}
	return ids
}

func (m *memory) byRun(_ context.Context, runID string) ([]string, error) {
	return m.where(func(r Record) bool { return r.RunID == runID }, func(a, b Record) int { return 0 }), nil
}

func (m *memory) newest(_ context.Context, object string) (string, error) {
	ids := m.where(func(r Record) bool { return r.Object == object && r.Sequence != "" },
		func(a, b Record) int { return cmp.Compare(b.Sequence, a.Sequence) })
	if len(ids) == 0 {
		return "", nil
	}
	return ids[0], nil
}

func (m *memory) byState(_ context.Context, s State, until time.Time) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for _, id := range m.where(func(r Record) bool { return r.State == s && !r.stateTime().After(until) },
			func(a, b Record) int { return a.stateTime().Compare(b.stateTime()) }) {
			if !yield(id, nil) {
				return
			}
		}
	}
}

func (m *memory) count(ctx context.Context, s State, until time.Time) (int, error) {
	n := 0
	for range m.byState(ctx, s, until) {
		n++
	}
	return n, nil
}
