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
		return &extend.Error{Method: "POST", Path: "/processor_runs", StatusCode: status, Code: "C", Message: "m", RequestID: "req_1"}
	}
	notAccepted := func(reason string, after time.Duration) ledger.Fact {
		return ledger.NotAccepted{ClaimNumber: 7, Reason: reason, Until: now.Add(after)}
	}
	unknown := ledger.OutcomeUnknown{ClaimNumber: 7}
	rejected := ledger.Refusal{ClaimNumber: 7, Code: "C", Message: "m", RequestID: "req_1"}
	tests := []struct {
		name string
		err  error
		fact ledger.Fact
		want disposition
	}{
		{"200", nil, ledger.Accepted{Attempt: 2, RunID: "dpr_1", RunURL: "u"}, disposition{}},
		{"400", refusal(400), rejected, disposition{reason: "400 C"}},
		{"404", refusal(404), rejected, disposition{reason: "404 C"}},
		{"409", refusal(409), rejected, disposition{reason: "409 C"}},
		{"413", refusal(413), rejected, disposition{reason: "413 C"}},
		{"422", refusal(422), rejected, disposition{reason: "422 C"}},
		{"418 is as final as any other", refusal(418), rejected, disposition{reason: "418 C"}},
		{"400 without a code", &extend.Error{StatusCode: 400, Message: "m"}, ledger.Refusal{ClaimNumber: 7, Code: "400", Message: "m"}, disposition{reason: "400"}},
		{"409, but retryable", func() error { e := refusal(409); e.Retryable = true; return e }(), notAccepted("409 C", 8*time.Second), disposition{kind: delayed, after: 8 * time.Second, reason: "409 C"}},
		{"429", refusal(429), notAccepted("429 C", 8*time.Second), disposition{kind: delayed, after: 8 * time.Second, reason: "429 C", pauses: true, cause: "429"}},
		{"429 with Retry-After", func() error { e := refusal(429); e.RetryAfter = time.Minute; return e }(), notAccepted("429 C", time.Minute), disposition{kind: delayed, after: time.Minute, reason: "429 C", pauses: true, cause: "429"}},
		{"401", refusal(401), notAccepted("401 C", pause), disposition{kind: delayed, after: pause, reason: "401 C", pauses: true, cause: "401"}},
		{"402", refusal(402), notAccepted("402 C", pause), disposition{kind: delayed, after: pause, reason: "402 C", pauses: true, cause: "402"}},
		{"403", refusal(403), notAccepted("403 C", pause), disposition{kind: delayed, after: pause, reason: "403 C", pauses: true, cause: "403"}},
		{"410", refusal(410), notAccepted("410 C", pause), disposition{kind: delayed, after: pause, reason: "410 C", pauses: true, cause: "410"}},
		{"307: a wrong base URL", refusal(307), notAccepted("307 C", pause), disposition{kind: delayed, after: pause, reason: "307 C", pauses: true, cause: "307"}},
		{"408", refusal(408), unknown, disposition{kind: delayed, after: firstSearch, reason: "408 C"}},
		{"500", refusal(500), unknown, disposition{kind: delayed, after: firstSearch, reason: "500 C"}},
		{"500, retryable: a run may have been made all the same", func() error { e := refusal(500); e.Retryable = true; return e }(), unknown, disposition{kind: delayed, after: firstSearch, reason: "500 C"}},
		{"502", refusal(502), unknown, disposition{kind: delayed, after: firstSearch, reason: "502 C"}},
		{"connection refused", refused(t), notAccepted("not sent", 8*time.Second), disposition{kind: delayed, after: 8 * time.Second, reason: "not sent"}},
		{"connection reset", &net.OpError{Op: "read", Err: errors.New("connection reset by peer")}, unknown, disposition{kind: delayed, after: firstSearch, reason: "outcome unknown"}},
		{"timeout", context.DeadlineExceeded, unknown, disposition{kind: delayed, after: firstSearch, reason: "outcome unknown"}},
		{"an answer that can't be read", errors.New("extend: POST /processor_runs: no run in it"), unknown, disposition{kind: delayed, after: firstSearch, reason: "outcome unknown"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var run *extend.Run
			if tt.err == nil {
				run = &extend.Run{ID: "dpr_1", URL: "u"}
			}
			fact, d := afterPost(circumstances{record: claim, receives: 3, pause: pause, now: now}, run, tt.err)
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
