package submit

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"extend-intake/dev/fakeextend"
	"extend-intake/shared/document"
	"extend-intake/shared/ledger"
)

const contracts = "dp_contracts"

func newRoutedIntake(t *testing.T) *intake {
	in := newIntake(t, func(o *fakeextend.Options) {
		o.Processors = append(o.Processors, fakeextend.Processor{ID: contracts, Type: fakeextend.Extract, Versions: []string{"3.0"}})
	})
	routes, err := document.ParseRoutes(`[{"name": "contracts", "pattern": "contracts/{customer}/**", "processor": "dp_contracts", "version": "3.0", "priority": 7,
		"usageTags": ["customer-{customer}", "legal"], "config": {"type": "EXTRACT", "extractionRules": "Dates as written.", "schema": {"type": "object", "properties": {}}}}]`)
	if err != nil {
		t.Fatal(err)
	}
	in.config.Routes = append(routes, in.config.Routes...)
	return in
}

func TestARouteIsSentWhole(t *testing.T) {
	t.Parallel()
	in := newRoutedIntake(t)
	a, b := upload{"contracts/Müller & Co/2026/a.pdf", "v1"}, upload{"in/b.pdf", "v1"}
	in.want(in.receive(message{id: "m", body: s3Event(a, b, upload{"elsewhere/c.pdf", "v1"})}), allDone)
	in.wantProcessing(a)
	in.wantProcessing(b)
	in.wantRuns(2)
	in.wantLog("ignored", "no route", "elsewhere/c.pdf")
	if rec := in.record(a); rec.Route != "contracts" || rec.ProcessorID != contracts || rec.ProcessorVersion != "3.0" {
		t.Errorf("%+v", rec)
	}
	if rec := in.record(b); rec.Route != "default" || rec.ProcessorID != processor {
		t.Errorf("%+v", rec)
	}
	run, err := in.client.Runs.Get(t.Context(), in.record(a).RunID)
	if err != nil {
		t.Fatal(err)
	}
	var metadata struct {
		Tags []string `json:"extend:usage_tags"`
	}
	if err := json.Unmarshal(run.Metadata, &metadata); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"intake", "contracts", "customer-MllerCo", "legal"}, metadata.Tags); d != "" {
		t.Error(d)
	}
	var config struct{ ExtractionRules string }
	if err := json.Unmarshal(run.Config, &config); err != nil || config.ExtractionRules != "Dates as written." {
		t.Errorf("config %s, %v", run.Config, err)
	}
}

// Its message comes back after the routes have changed: it must end, and somebody must see why.
func TestADocumentWithoutARouteIsRefused(t *testing.T) {
	t.Parallel()
	in := newRoutedIntake(t)
	in.config.Routes = in.config.Routes[:1]
	u := upload{"in/a.pdf", "v1"}
	in.begun(u.source())
	m := message{id: "a", body: document.RequeueMessage(u.source())}
	in.want(in.receive(m), allDone)
	in.want(in.receive(m), allDone) // SQS delivers at least once
	if rec := in.record(u); rec.State != ledger.Refused || rec.FailureReason != "NO_ROUTE" || rec.Revision != 1 {
		t.Errorf("%+v", rec)
	}
	in.wantLog("WARN not submitted", "REFUSED", "reason=NO_ROUTE", "Refused=1", "document_id="+u.id())
	if n := strings.Count(in.log.String(), "Refused=1"); n != 1 {
		t.Errorf("counted %d times", n)
	}
	in.wantRuns(0)
}

// Nothing has to be sent for it, so it waits for nothing.
func TestADocumentWithoutARouteNeedsNoKeyAndNoLimit(t *testing.T) {
	t.Parallel()
	in := newRoutedIntake(t)
	in.config.Routes = in.config.Routes[:1]
	in.Key = func(context.Context) (string, error) { return "", errors.New("no key yet") }
	in.limiter = newRateLimiter(1e-9, 1e-9)
	for _, u := range []upload{{"in/a.pdf", "v1"}, {"in/b.pdf", "v1"}} {
		in.begun(u.source())
		in.want(in.receive(message{id: "m", body: document.RequeueMessage(u.source())}), allDone)
		in.wantState(u, ledger.Refused, "")
	}
	in.wantCalls(map[string]int{})
}

// A run that has been paid is not lost over a route that is gone.
func TestTheRunOfADocumentWithoutARouteIsFound(t *testing.T) {
	t.Parallel()
	in := newIntake(t, onCreate(fakeextend.Fault{Cut: true, After: true}))
	m, u := put("a")
	in.want(in.receive(m), returns("a", firstSearch))
	in.config.Routes = nil
	in.clock.advance(firstSearch)
	in.want(in.receive(message{id: "a", body: document.RequeueMessage(u.source())}), allDone)
	in.wantProcessing(u)
	in.wantRuns(1)
}

func TestAnotherBucketIsNotRead(t *testing.T) {
	t.Parallel()
	in := newIntake(t)
	in.config.Bucket = "ours"
	m, _ := put("a")
	in.want(in.receive(m), result{Dead: []dead{{m.body, "s3://intake-uploads/in/a.pdf is not in this stack's bucket ours: whose notification is it?"}}})
	in.wantRuns(0)
}

// A Mac writes "ü" in two characters. The route is found all the same, and S3 is asked for
// the key as it is: there, the two forms are two objects.
func TestAKeyInAnotherUnicodeFormIsRead(t *testing.T) {
	t.Parallel()
	in := newIntake(t)
	in.config.Routes[0].Prefix = "M\u00fcnchen/"
	asked := ""
	in.Bucket = fakeBucket{head: func(s document.Source) (Object, error) { asked = s.Key; return Object{Size: s.Size}, nil }}
	u := upload{"Mu\u0308nchen/a.pdf", "v1"}
	in.want(in.receive(message{id: "m", body: s3Event(u)}), allDone)
	in.wantProcessing(u)
	if asked != u.key {
		t.Errorf("S3 is asked for %+q, want %+q", asked, u.key)
	}
}
