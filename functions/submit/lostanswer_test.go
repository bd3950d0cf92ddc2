package submit

import (
	"fmt"
	"html"
	"net/url"
	"strings"
	"testing"
	"time"

	"extend-intake/dev/fakeextend"
	"extend-intake/shared/ledger"
)

// The answer to a POST is lost, and the run that a search finds comes back changed. It was found
// by our token, so that it is no proof that there is no run: the file is not paid for again.
func TestALostAnswerAndAChangedEcho(t *testing.T) {
	t.Parallel()
	tag := func(member string, f func(string) string) fakeextend.Change {
		return fakeextend.Within("metadata", fakeextend.Respell(member, f))
	}
	inner := func(f func(string) string) func(string) string {
		return func(s string) string { return `"` + f(strings.Trim(s, `"`)) + `"` }
	}
	replace := func(old, new string) func(string) string {
		return func(s string) string { return strings.ReplaceAll(s, old, new) }
	}
	noTag := fakeextend.Set("metadata", "null")
	for name, c := range map[string]struct {
		key   string
		echo  fakeextend.Change
		found bool // else it is searched for until a person looks
	}{
		"no tag":                           {"in/a.pdf", noTag, true},
		"no tag, and a token in the key":   {"in/inv.doc_rqsfnoxsp5sm2uyvtaoicq4ati-1.pdf", noTag, true},
		"no tag, and the name in capitals": {"in/a.pdf", fakeextend.All(noTag, fakeextend.Respell("files", replace("doc_", "DOC_"))), false},
		"no tag, and the name escaped":     {"in/a b.pdf", fakeextend.All(noTag, fakeextend.Respell("files", replace("doc_", "doc%5F"))), false},
		"no tag, and another name":         {"in/a.pdf", fakeextend.All(noTag, fakeextend.Set("files", `[{"object":"file","id":"f_1","name":"converted.pdf"}]`)), false},
		"no tag, and no files":             {"in/a.pdf", fakeextend.All(noTag, fakeextend.Set("files", `[]`)), false},
		"stack escaped for HTML":           {"in/a.pdf", tag("stack", inner(func(s string) string { return html.EscapeString(strings.ReplaceAll(s, "/", "&#x2F;")) })), true},
		"stack escaped for a URL":          {"in/a.pdf", tag("stack", inner(url.QueryEscape)), true},
		"stack in capitals":                {"in/a.pdf", tag("stack", strings.ToUpper), true},
		"stack cut":                        {"in/a.pdf", tag("stack", inner(func(s string) string { return s[:19] })), true},
		"stack left out, and another name": {"in/a.pdf", fakeextend.All(fakeextend.Within("metadata", fakeextend.Drop("stack")), fakeextend.Set("files", `[{"name":"a.pdf"}]`)), false},
		"document in capitals":             {"in/a.pdf", tag("documentId", strings.ToUpper), true},
		"another attempt":                  {"in/a.pdf", fakeextend.Within("metadata", fakeextend.Set("attempt", "2")), true},
		"tag as text":                      {"in/a.pdf", fakeextend.Respell("metadata", func(s string) string { return fmt.Sprintf("%q", s) }), true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := newIntake(t, faults(func(call fakeextend.Call) fakeextend.Fault {
				switch {
				case call.Route == fakeextend.RouteCreate && call.N == 1:
					return fakeextend.Fault{Status: 504, After: true, HTML: "<html>"}
				case call.Route == fakeextend.RouteGet:
					return fakeextend.Fault{ChangeRuns: c.echo}
				}
				return fakeextend.Fault{}
			}))
			u := upload{c.key, "v1"}
			m := message{id: "a", body: s3Event(u)}
			for range 30 {
				r := in.receive(m)
				if len(r.Back) == 0 {
					break
				}
				in.clock.advance(max(r.Back["a"], 30*time.Second))
			}
			in.wantRuns(1)
			want := ledger.Unconfirmed
			if c.found {
				want = ledger.Processing
			}
			if rec := in.record(u); rec.State != want {
				t.Errorf("%s %s, want %s", rec.State, rec.FailureReason, want)
			}
		})
	}
}

// One file for which something before the API always says 429 is not the plan's limit.
func TestAFirewallThatSaysTooManyRequests(t *testing.T) {
	t.Parallel()
	in := newIntake(t, faults(func(c fakeextend.Call) fakeextend.Fault {
		if c.Route == fakeextend.RouteCreate && strings.Contains(c.FileName, "sick") {
			return fakeextend.Fault{Answer: &fakeextend.Answer{Status: 429, ContentType: "text/html", Body: "<html>Error 1015</html>"}}
		}
		return fakeextend.Fault{}
	}))
	sick, u := put("sick")
	for i := range 100 {
		good, _ := put(fmt.Sprint("good", i))
		r := in.receive(sick, good)
		if _, back := r.Back[good.id]; back {
			t.Errorf("round %d: a healthy file has to come back", i)
		}
		after, back := r.Back[sick.id]
		if !back {
			break
		}
		in.clock.advance(max(after, time.Second))
	}
	in.wantState(u, ledger.Refused, "")
}

// A run that may not be looked at is that document's own affair, until others hear the same.
func TestASearchThatIsForbidden(t *testing.T) {
	t.Parallel()
	in := newIntake(t, faults(func(c fakeextend.Call) fakeextend.Fault {
		switch {
		case c.Route == fakeextend.RouteCreate && strings.Contains(c.FileName, "sick"):
			return fakeextend.Fault{Status: 504, After: true}
		case c.Route == fakeextend.RouteGet:
			return fakeextend.Fault{Status: 403}
		}
		return fakeextend.Fault{}
	}))
	sick, u := put("sick")
	for i := range 20 {
		good, _ := put(fmt.Sprint("good", i))
		r := in.receive(sick, good)
		if _, back := r.Back[good.id]; back {
			t.Errorf("round %d: a healthy file has to come back", i)
		}
		in.clock.advance(max(r.Back[sick.id], time.Second))
	}
	if rec := in.record(u); rec.State != ledger.Unconfirmed || rec.FailedSearches == 0 {
		t.Errorf("%s, %d failed searches", rec.State, rec.FailedSearches)
	}
}

// The run is there, and can't be read: it is the document's, and reconcile keeps the bytes.
func TestASearchThatFindsWhatCantBeRead(t *testing.T) {
	t.Parallel()
	in := newIntake(t, faults(func(c fakeextend.Call) fakeextend.Fault {
		switch c.Route {
		case fakeextend.RouteCreate:
			return fakeextend.Fault{Status: 504, After: true}
		case fakeextend.RouteGet:
			return fakeextend.Fault{ChangeRuns: fakeextend.Set("output", `{"confidence": NaN}`)}
		}
		return fakeextend.Fault{}
	}))
	m, u := put("a")
	in.receive(m)
	in.clock.advance(time.Minute)
	in.want(in.receive(m), allDone)
	in.wantProcessing(u)
	in.wantRuns(1)
}
