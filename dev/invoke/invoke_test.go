package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"extend-intake/shared/extend/webhook"
	"extend-intake/shared/ledger"
)

// TestEveryEventIsExpected: each file of events/ that is a function's input is in
// dev/invoke/expect.json, with what such a function can answer.
func TestEveryEventIsExpected(t *testing.T) {
	t.Parallel()
	expected, err := readExpectations("../..")
	if err != nil {
		t.Fatal(err)
	}
	template, err := os.ReadFile("../../template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("../../events/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), ".json")
		e, known := expected[name]
		delete(expected, name)
		if there := bytes.Contains(template, []byte("\n  "+functionOf(name)+":\n")); there != known {
			t.Errorf("%s: in dev/invoke/expect.json: %t, %s in template.yaml: %t", name, known, functionOf(name), there)
		}
		if !known {
			continue
		}
		if isHTTP := functionOf(name) == "WebhookFunction"; isHTTP != (e.Status != 0) || isHTTP == (e.Answer != nil) {
			t.Errorf("%s: want a status of the webhook, and an answer of the others: %+v", name, e)
		}
		if !slices.IsSorted(e.Table) {
			t.Errorf("%s: %v is not sorted", name, e.Table)
		}
	}
	for name := range expected {
		t.Errorf("%s: there is no such file", name)
	}
}

func TestExpectationCheck(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		want    expectation
		answer  string
		table   []ledger.State
		letters int
		problem string
	}{
		{expectation{Answer: json.RawMessage("null")}, "null\n", nil, 0, ""},
		{expectation{Answer: json.RawMessage("null")}, "", nil, 0, "want null"},
		{expectation{Answer: json.RawMessage(`{"batchItemFailures": []}`)}, ` {"batchItemFailures":[]}`, nil, 0, ""},
		{expectation{Answer: json.RawMessage(`{"batchItemFailures": []}`)}, `{"errorMessage":"no","errorType":"x"}`, nil, 0, `want {"batchItemFailures":[]}`},
		{expectation{Status: 200}, `{"statusCode":401}`, nil, 0, "want status 200"},
		{expectation{Status: 200}, "panic", nil, 0, "want status 200"},
		{expectation{Status: 200, Table: []ledger.State{ledger.Failed}}, `{"statusCode":200}`, []ledger.State{ledger.Processed}, 1, "want documents [FAILED]; 1 dead letters, want 0"},
	} {
		if problem := c.want.check([]byte(c.answer), c.table, c.letters); problem != c.problem {
			t.Errorf("%+v, %s: %q, want %q", c.want, c.answer, problem, c.problem)
		}
	}
}

func TestSignAnew(t *testing.T) {
	const secret = "wss_5trongEnough4Tests"
	t.Parallel()
	now := time.Now()
	for name, valid := range map[string]bool{
		"webhook-processed": true, "webhook-processed-base64": true, "webhook-not-an-event": true, "webhook-forged": false, "webhook-unsigned": false,
	} {
		event, err := os.ReadFile("../../events/" + name + ".json")
		if err != nil {
			t.Fatal(err)
		}
		if event, err = signAnew(event, secret, now, 3); err != nil {
			t.Fatal(err)
		}
		var e events.APIGatewayV2HTTPRequest
		if err := json.Unmarshal(event, &e); err != nil {
			t.Fatal(err)
		}
		body, err := bodyOf(e)
		if err != nil {
			t.Fatal(err)
		}
		header := make(http.Header)
		for name, value := range e.Headers {
			header.Set(name, value)
		}
		_, err = webhook.Verifier{Secrets: []string{secret}, Now: func() time.Time { return now }}.Open(header, body)
		if got := err == nil || strings.Contains(err.Error(), webhook.ErrMalformed.Error()); got != valid {
			t.Errorf("%s: %v", name, err)
		}
	}
}
