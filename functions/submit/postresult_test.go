package submit

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"extend-intake/shared/extend"
	"extend-intake/shared/ledger"
)

func TestAfterPost(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	const pause = 5 * time.Minute
	claim := &ledger.Record{DocumentID: "doc_1", Attempt: 2, ClaimNumber: 7}
	refusal := func(status int) *extend.Error {
		return &extend.Error{Method: "POST", Path: "/processor_runs", StatusCode: status, Code: "C", Message: "m", RequestID: "req_1", FromAPI: true}
	}
	notAccepted := func(reason string, after time.Duration) ledger.Fact {
		return ledger.NotAccepted{ClaimNumber: 7, Reason: reason, Until: now.Add(after)}
	}
	unknown := ledger.OutcomeUnknown{ClaimNumber: 7}
	rejected := ledger.Refusal{ClaimNumber: 7, Code: "C", Message: "m", RequestID: "req_1"}
	own := func(reason, code, message string) ledger.Fact {
		f := notAccepted(reason, 8*time.Second).(ledger.NotAccepted)
		f.Failure = &ledger.Failure{Own: true, Code: code, Message: message}
		return f
	}
	waits := func(reason string) disposition {
		return disposition{kind: delayed, after: 8 * time.Second, reason: reason}
	}
	searched := func(reason string) disposition { return disposition{kind: delayed, after: firstSearch, reason: reason} }
	foreign := func(status int) *extend.Error {
		return &extend.Error{Method: "POST", Path: "/processor_runs", StatusCode: status, Message: "<html>"}
	}
	const proxy = "something before Extend's API answers "
	tests := []struct {
		name string
		err  error
		fact ledger.Fact
		want disposition
	}{
		{"200", nil, ledger.Accepted{Attempt: 2, RunID: "dpr_1", RunURL: "u"}, disposition{}},

		// Final is what the API itself says.
		{"400", refusal(400), rejected, disposition{reason: "400 C"}},
		{"404", refusal(404), rejected, disposition{reason: "404 C"}},
		{"409", refusal(409), rejected, disposition{reason: "409 C"}},
		{"413", refusal(413), rejected, disposition{reason: "413 C"}},
		{"422", refusal(422), rejected, disposition{reason: "422 C"}},
		{"418 is as final as any other", refusal(418), rejected, disposition{reason: "418 C"}},
		{"400 without a code", &extend.Error{StatusCode: 400, Message: "m", FromAPI: true}, ledger.Refusal{ClaimNumber: 7, Code: "400", Message: "m"}, disposition{reason: "400"}},
		{"409, but retryable", func() error { e := refusal(409); e.Retryable = true; return e }(), own("409 C", "C", "m"), waits("409 C")},

		// The plan's limit.
		{"429", refusal(429), notAccepted("429 C", 8*time.Second), disposition{kind: delayed, after: 8 * time.Second, reason: "429 C", pauses: true, cause: "429"}},
		{"429 of a firewall", foreign(429), own("429, not the API's", "NOT_THE_API", proxy+"429: <html>"), waits("429, not the API's")},
		{"429 with Retry-After", func() error { e := refusal(429); e.RetryAfter = time.Minute; return e }(), notAccepted("429 C", time.Minute), disposition{kind: delayed, after: time.Minute, reason: "429 C", pauses: true, cause: "429"}},
		{"429 with an absurd Retry-After", func() error { e := refusal(429); e.RetryAfter = 30_000 * time.Second; return e }(), notAccepted("429 C", time.Minute), disposition{kind: delayed, after: time.Minute, reason: "429 C", pauses: true, cause: "429"}},

		// The account, as the API itself says.
		{"401", refusal(401), notAccepted("401 C", pause), disposition{kind: delayed, after: pause, reason: "401 C", pauses: true, cause: "401"}},
		{"402", refusal(402), notAccepted("402 C", pause), disposition{kind: delayed, after: pause, reason: "402 C", pauses: true, cause: "402"}},
		{"410", refusal(410), notAccepted("410 C", pause), disposition{kind: delayed, after: pause, reason: "410 C", pauses: true, cause: "410"}},

		// Perhaps the document's own, or its route's.
		{"403", refusal(403), own("403 C", "C", "m"), waits("403 C")},
		{"307: a wrong base URL", refusal(307), own("307 C", "C", "m"), waits("307 C")},

		// Something before the API.
		{"400 that is empty", foreign(400), own("400, not the API's", "NOT_THE_API", proxy+"400: <html>"), waits("400, not the API's")},
		{"401 of a proxy", foreign(401), own("401, not the API's", "NOT_THE_API", proxy+"401: <html>"), waits("401, not the API's")},
		{"403 of a firewall", foreign(403), own("403, not the API's", "NOT_THE_API", proxy+"403: <html>"), waits("403, not the API's")},
		{"404 of a router", foreign(404), own("404, not the API's", "NOT_THE_API", proxy+"404: <html>"), waits("404, not the API's")},
		{"405 of a maintenance page", foreign(405), own("405, not the API's", "NOT_THE_API", proxy+"405: <html>"), waits("405, not the API's")},
		{"407", foreign(407), own("407, not the API's", "NOT_THE_API", proxy+"407: <html>"), waits("407, not the API's")},
		{"425", foreign(425), own("425, not the API's", "NOT_THE_API", proxy+"425: <html>"), waits("425, not the API's")},
		{"451", foreign(451), own("451, not the API's", "NOT_THE_API", proxy+"451: <html>"), waits("451, not the API's")},
		{"302 to a login page", foreign(302), own("302, not the API's", "NOT_THE_API", proxy+"302: <html>"), waits("302, not the API's")},

		// A run may have been made.
		{"408", refusal(408), unknown, searched("408 C")},
		{"499 of a proxy whose client was gone", foreign(499), unknown, searched("499")},
		{"500", refusal(500), unknown, searched("500 C")},
		{"500, retryable: a run may have been made all the same", func() error { e := refusal(500); e.Retryable = true; return e }(), unknown, searched("500 C")},
		{"502 of a gateway", foreign(502), unknown, searched("502")},
		{"999", foreign(999), unknown, searched("999")},
		{"connection reset", &net.OpError{Op: "read", Err: errors.New("connection reset by peer")}, unknown, searched("outcome unknown")},
		{"timeout", context.DeadlineExceeded, unknown, searched("outcome unknown")},
		{"an answer that can't be read", errors.New("extend: POST /processor_runs: no run in it"), unknown, searched("outcome unknown")},

		{"connection refused", refused(t), notAccepted("not sent", 8*time.Second), waits("not sent")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var run *extend.Run
			if tt.err == nil {
				run = &extend.Run{ID: "dpr_1", URL: "u"}
			}
			fact, d := afterPost(circumstances{record: claim, receives: 3, pause: pause, now: now, shared: func(string) bool { return false }}, run, tt.err)
			d.reason, tt.want.reason = strings.TrimSpace(d.reason), strings.TrimSpace(tt.want.reason)
			if diff := cmp.Diff(tt.want, d, cmp.AllowUnexported(disposition{})); diff != "" {
				t.Error(diff)
			}
			if r, ok := fact.(ledger.Refusal); ok {
				r.Code = strings.TrimSpace(r.Code)
				fact = r
			}
			if d := cmp.Diff(tt.fact, fact); d != "" {
				t.Error(d)
			}
		})
	}
}

// What several documents hear is not counted against one.
func TestAfterPostThatOthersHearToo(t *testing.T) {
	t.Parallel()
	var heard []string
	c := circumstances{record: &ledger.Record{ClaimNumber: 7}, now: time.Now(), shared: func(cause string) bool { heard = append(heard, cause); return true }, heardBy: func(string) int { return 2 }}
	fact, _ := afterPost(c, nil, &extend.Error{StatusCode: 403})
	if f, ok := fact.(ledger.NotAccepted); !ok || f.Failure == nil || f.Failure.Own {
		t.Errorf("%+v", fact)
	}
	fact, _ = afterPost(c, nil, &extend.Error{StatusCode: 500, FromAPI: true})
	if f, ok := fact.(ledger.OutcomeUnknown); !ok || !f.Shared {
		t.Errorf("%+v", fact)
	}
	c.record.SharedUnanswered = 2 // excused as often as there are documents
	fact, _ = afterPost(c, nil, &extend.Error{StatusCode: 500, FromAPI: true})
	if f, ok := fact.(ledger.OutcomeUnknown); !ok || f.Shared {
		t.Errorf("%+v", fact)
	}
	if d := cmp.Diff([]string{"403, not the API's", "500", "500"}, heard); d != "" {
		t.Error(d)
	}
}

// refused is the error of a POST to a port at which nobody listens.
func refused(t *testing.T) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	client, err := extend.NewClient(extend.StaticKey("sk_1"), extend.WithBaseURL("http://"+l.Addr().String()), extend.WithRetry(extend.Retry{Attempts: 1}))
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.Runs.Create(t.Context(), extend.CreateRunRequest{ProcessorID: "dp_1", RawText: "x"})
	return err
}
