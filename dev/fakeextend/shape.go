package fakeextend

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// A shape writes an object in one of the forms that the contract allows. Each
// object takes the next one: what is optional is absent or null, times have three
// spellings, numbers that need not be whole have a fraction or none.
type shape struct {
	object
	s    *Server
	form int
}

// shape begins an object. The caller holds mu.
func (s *Server) shape(kind, id string) *shape {
	s.forms++
	o := &shape{s: s, form: s.forms}
	if kind != "" {
		o.text("object", kind)
	}
	o.text("id", id)
	return o
}

// maybe writes a member that may be absent or null.
func (o *shape) maybe(name string, value []byte) {
	if value == nil && (o.s.opts.ExplicitNulls || o.form%2 == 1) {
		value = null
	}
	if value != nil {
		o.raw(name, value)
	}
}

func (o *shape) maybeText(name, value string) {
	if value == "" {
		o.maybe(name, nil)
		return
	}
	o.text(name, value)
}

func (o *shape) time(name string, t time.Time) { o.text(name, spelled(t, o.form)) }

func (o *shape) maybeTime(name string, t time.Time) {
	if t.IsZero() {
		o.maybe(name, nil)
		return
	}
	o.time(name, t)
}

// number writes a count that the contract calls a number and not an integer.
func (o *shape) number(name string, n int) {
	if o.form%2 == 1 {
		o.raw(name, []byte(strconv.Itoa(n)+".0"))
		return
	}
	o.integer(name, n)
}

func (o *shape) integer(name string, n int) { o.raw(name, strconv.AppendInt(nil, int64(n), 10)) }

// credits writes what a thing cost, once it is done.
func (o *shape) credits(done bool) {
	if !done {
		o.maybe("usage", nil)
		return
	}
	var u object
	o.raw("usage", o.s.extra(u.raw("credits", []byte("1.50"))).bytes())
}

// done returns the object, with a member that no documentation knows.
func (o *shape) done() []byte { return o.s.extra(&o.object).bytes() }

// answer puts an object into what the contract has around it. Where it has two
// forms, each answer takes the next.
func (x *exchange) answer(thing []byte) []byte {
	thing = x.fault.ChangeRuns.apply(thing)
	envelope := x.op.Response.Envelope
	member := envelope.Member
	if alternate := envelope.Alternate; alternate != nil {
		if x.s.forms++; x.s.forms%2 == 1 {
			member = &alternate.Member
		}
	}
	if member == nil {
		return thing
	}
	var o object
	x.warn(o.flag("success", true).raw(*member, thing))
	return x.s.extra(&o).bytes()
}

// warn writes the warning of an answer that declares one, of which there is none:
// in turn it is null and absent.
func (x *exchange) warn(o *object) {
	var schema struct{ Properties map[string]json.RawMessage }
	_ = json.Unmarshal(x.op.Response.Schema, &schema) // the contract is JSON
	if x.s.forms++; schema.Properties["warning"] != nil && x.s.forms%2 == 1 {
		o.raw("warning", null)
	}
}

// whole answers a list that has no pages. The caller holds mu.
func (x *exchange) whole(things [][]byte) []byte {
	for i := range things {
		things[i] = x.fault.ChangeRuns.apply(things[i])
	}
	var o object
	return x.s.extra(o.flag("success", true).raw(*x.op.Response.Envelope.Member, list(things))).bytes()
}

// gone answers a delete.
func (x *exchange) gone(what string) []byte {
	var o object
	o.flag("success", true).text(*x.op.Response.Envelope.Member, x.id).text("message", what+" deleted.")
	return x.s.extra(&o).bytes()
}

// subscribed reports whether the endpoint is subscribed to a type of event for the
// whole account.
func (s *Server) subscribed(kind string) bool { return slices.Contains(s.opts.Events, kind) }

// accountEvent delivers an event about something of the account, if the endpoint
// is subscribed to its type. The caller holds mu.
func (s *Server) accountEvent(r *http.Request, kind, id string, payload []byte) {
	if !s.subscribed(kind) {
		return
	}
	s.accountEvents++
	ev := s.newEvent(kind, subject{id: id, baseURL: baseURL(r)}, s.accountEvents, payload)
	s.background(func() { s.deliver(ev) })
}
