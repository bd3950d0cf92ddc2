package submit

import (
	"maps"
	"sync"
	"time"
)

// pauses says for how long this instance makes no call, and for whom. The account is
// paused at once when Extend itself refuses it. A refusal that may be about one
// document (a firewall's 403, say) pauses nobody until a second document hears the
// same with no success in between: then it is shared, by one route or by all. It may still
// be that those documents are sick and all others are well, so that now and then one that
// has not heard it is let through as a probe: a success ends the pause.
//
// The zero value is ready for use, by several at once. Times are those of the handler's
// clock.
type pauses struct {
	mu      sync.Mutex
	account pause
	// all and routes are the pauses by what documents share.
	all    pause
	routes map[string]pause
	// nextProbe is when a document may be let through in spite of them.
	nextProbe time.Time
	// heard are the refusals since the last success, by their cause.
	heard map[string]*refusal
}

// pause is a time until which there is no call, and why.
type pause struct {
	until  time.Time
	reason string
}

// refusal is one cause that documents have heard since the last success.
type refusal struct {
	documents map[string]string // the route of each
	shared    int               // how often it was heard since it is known to be shared
}

// probeInterval is the time between two probes of an instance.
const probeInterval = 30 * time.Second

// longest is the pause that holds for a document of a route.
func (p *pauses) longest(route string) pause {
	p.mu.Lock()
	defer p.mu.Unlock()
	return later(p.account, p.sharedBy(route))
}

// admit is the pause that holds for this document now, if any, and whether it is let through
// as a probe in spite of one.
func (p *pauses) admit(now time.Time, route, documentID string) (left pause, probe bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	shared := p.sharedBy(route)
	if p.account.until.After(now) || !shared.until.After(now) || now.Before(p.nextProbe) {
		return later(p.account, shared), false
	}
	if r := p.heard[shared.reason]; r != nil {
		if _, heard := r.documents[documentID]; heard {
			return shared, false
		}
	}
	p.nextProbe = now.Add(probeInterval)
	return pause{}, true
}

// sharedBy is the pause by what documents share, for a route.
func (p *pauses) sharedBy(route string) pause { return later(p.all, p.routes[route]) }

// accountPause is the pause that holds for probes too.
func (p *pauses) accountPause() pause {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.account
}

func later(a, b pause) pause {
	if b.until.After(a.until) {
		return b
	}
	return a
}

// pauseAccount stops all calls until then.
func (p *pauses) pauseAccount(until time.Time, reason string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.account = later(p.account, pause{until, reason})
}

// refused takes note that a document heard a refusal, and reports whether others have
// heard it too. If so, there is a pause: a second at first, for it may have been two
// sick documents in a row, then twice as long each time, up to most.
func (p *pauses) refused(now time.Time, cause, route, documentID string, most time.Duration) (shared bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.heard[cause]
	if r == nil {
		r = &refusal{documents: map[string]string{}}
		if p.heard == nil {
			p.heard = map[string]*refusal{}
		}
		p.heard[cause] = r
	}
	r.documents[documentID] = route
	if len(r.documents) < 2 {
		return false
	}
	r.shared++
	until := now.Add(min(time.Second<<min(r.shared-1, 20), most))
	for _, other := range r.documents {
		if other != route {
			p.all = later(p.all, pause{until, cause})
			return true
		}
	}
	if p.routes == nil {
		p.routes = map[string]pause{}
	}
	p.routes[route] = pause{until, cause}
	return true
}

// heardBy is how many documents have heard a refusal since the last success.
func (p *pauses) heardBy(cause string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r := p.heard[cause]; r != nil {
		return len(r.documents)
	}
	return 0
}

// succeeded takes note that Extend took a document of a route: what others of this
// route have heard is their own affair, and so is what was heard by all.
func (p *pauses) succeeded(route string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.routes, route)
	p.nextProbe = time.Time{}
	maps.DeleteFunc(p.heard, func(_ string, r *refusal) bool {
		for _, other := range r.documents {
			if other == route {
				return true
			}
		}
		return false
	})
	if p.heard[p.all.reason] == nil {
		p.all = pause{}
	}
}
