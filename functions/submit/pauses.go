package submit

import (
	"maps"
	"sync"
	"time"
)

// pauses says for how long this instance makes no call, and for whom. The account is
// paused at once when Extend itself refuses it. A refusal that may be about one
// document (a firewall's 403, say) pauses nobody until a second document hears the
// same with no success in between: then it is shared, by one route or by all.
//
// The zero value is ready for use, by several at once. Times are those of the handler's
// clock.
type pauses struct {
	mu      sync.Mutex
	account pause
	routes  map[string]pause
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

// longest is the pause that holds for a document of a route.
func (p *pauses) longest(route string) pause {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r := p.routes[route]; r.until.After(p.account.until) {
		return r
	}
	return p.account
}

// pauseAccount stops all calls until then.
func (p *pauses) pauseAccount(until time.Time, reason string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pauseAll(until, reason)
}

func (p *pauses) pauseAll(until time.Time, reason string) {
	if until.After(p.account.until) {
		p.account = pause{until, reason}
	}
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
			p.pauseAll(until, cause)
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
	maps.DeleteFunc(p.heard, func(_ string, r *refusal) bool {
		for _, other := range r.documents {
			if other == route {
				return true
			}
		}
		return false
	})
}
