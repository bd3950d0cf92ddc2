package webhook

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/aws/aws-lambda-go/events"
	"github.com/google/go-cmp/cmp"

	"extend-intake/dev/fakeextend"
	"extend-intake/shared/document"
	"extend-intake/shared/extend/webhook"
	"extend-intake/shared/ledger"
)

type request = events.APIGatewayV2HTTPRequest

func TestAnswers(t *testing.T) {
	t.Parallel()
	ok := processed(nil)
	with := func(edit func(*request)) func(*endpoint) request {
		return func(e *endpoint) request {
			r := e.request(ok)
			edit(&r)
			return r
		}
	}
	signedAt := func(age time.Duration) func(*endpoint) request {
		return func(e *endpoint) request { return signed(secret, e.clock.now().Add(-age), ok) }
	}
	body := func(b string) func(*endpoint) request { return func(e *endpoint) request { return e.request(b) } }
	const signature, timestamp = "x-extend-request-signature", "x-extend-request-timestamp"
	tests := []struct {
		name    string
		request func(*endpoint) request
		status  int
		log     string
	}{
		{"as the gateway hands it on", with(func(*request) {}), 200, "INFO delivery"},
		{"headers as Extend writes them", with(func(r *request) {
			headers := map[string]string{}
			for name, value := range r.Headers {
				headers[map[string]string{signature: "X-Extend-Request-Signature", timestamp: "X-Extend-Request-Timestamp"}[name]] = value
			}
			r.Headers = headers
		}), 200, "INFO delivery"},
		{"headers in upper case", with(func(r *request) {
			headers := map[string]string{}
			for name, value := range r.Headers {
				headers[strings.ToUpper(name)] = value
			}
			r.Headers = headers
		}), 200, "INFO delivery"},
		{"body as base64", with(func(r *request) {
			r.Body, r.IsBase64Encoded = base64.StdEncoding.EncodeToString([]byte(r.Body)), true
		}), 200, "INFO delivery"},
		{"300 s old", signedAt(300 * time.Second), 200, "INFO delivery"},
		{"60 s ahead", signedAt(-60 * time.Second), 200, "INFO delivery"},

		{"no headers", with(func(r *request) { r.Headers = nil }), 401, "header missing"},
		{"no signature", with(func(r *request) { delete(r.Headers, signature) }), 401, "header missing"},
		{"no timestamp", with(func(r *request) { delete(r.Headers, timestamp) }), 401, "header missing"},
		{"two signatures that differ", with(func(r *request) { r.Headers["X-EXTEND-REQUEST-SIGNATURE"] = strings.Repeat("0", 64) }), 401, "ambiguous"},
		{"signatures joined by the gateway", with(func(r *request) { r.Headers[signature] += "," + strings.Repeat("0", 64) }), 401, "signature does not match"},
		{"another secret", func(e *endpoint) request { return signed("wss_stranger", e.clock.now(), ok) }, 401, "signature does not match"},
		{"the empty secret", func(e *endpoint) request { return signed("", e.clock.now(), ok) }, 401, "signature does not match"},
		{"same JSON, other bytes", with(func(r *request) { r.Body = strings.Replace(r.Body, ",", ", ", 1) }), 401, "signature does not match"},
		{"another timestamp", with(func(r *request) { r.Headers[timestamp] = r.Headers[timestamp][:9] + "9" }), 401, "signature does not match"},
		{"signed text sent as base64 text", with(func(r *request) { r.Body = base64.StdEncoding.EncodeToString([]byte(r.Body)) }), 401, "signature does not match"},
		{"301 s old", signedAt(301 * time.Second), 401, "timestamp is outside the window"},
		{"61 s ahead", signedAt(-61 * time.Second), 401, "timestamp is outside the window"},
		{"empty and unsigned", func(*endpoint) request { return request{} }, 401, "header missing"},
		{"not JSON and unsigned", func(*endpoint) request { return request{Body: "<html>"} }, 401, "header missing"},

		{"signed but empty", body(""), 400, "not an event"},
		{"signed but not JSON", body("hello"), 400, "not an event"},
		{"signed but an array", body("[]"), 400, "not an event"},
		{"signed but without event type", body(`{"eventId":"event_1","payload":{}}`), 400, "no eventType"},
		{"signed but without payload", body(`{"eventId":"event_1","eventType":"processor_run.processed"}`), 400, "no payload"},
		{"signed but payload null", body(`{"eventId":"event_1","eventType":"processor_run.processed","payload":null}`), 400, "no payload"},
		{"signed but payload text", body(event(webhook.RunProcessed, `"hello"`)), 400, "not an event"},
		{"signed but payload another object", body(event(webhook.RunProcessed, `{"object":"parser_run_status","id":"parser_run_1","status":"PROCESSED"}`)), 400, "not an event"},
		{"signed but the run has no id", body(processed(map[string]any{"id": nil})), 400, "not an event"},
		{"not base64, as the gateway says it is", with(func(r *request) { r.IsBase64Encoded = true }), 400, "base64"},

		{"over the limit", func(*endpoint) request { return request{Body: strings.Repeat(" ", maxBody+1)} }, 413, "body too large"},
		{"over the limit as base64", func(*endpoint) request {
			return request{Body: base64.StdEncoding.EncodeToString(make([]byte, maxBody+1)), IsBase64Encoded: true}
		}, 413, "body too large"},
		{"at the limit", func(e *endpoint) request { return e.request(ok + strings.Repeat(" ", maxBody-len(ok))) }, 200, "INFO delivery"},

		{"unknown event type", body(event("processor_run.archived", payload(nil))), 200, "event type is not stored"},
		{"unknown event type, odd payload", body(event("processor.published", `"hello"`)), 200, "event type is not stored"},
		{"another stack's run", body(processed(map[string]any{"metadata": tag("123456789012/eu-west-1/staging", 1)})), 200, "another stack's"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e := newEndpoint(t)
			e.answer(tt.request(e), tt.status)
			e.wantLog(tt.log)
			if tt.status != 200 {
				cause := map[string]string{
					"header missing": "headers", "ambiguous": "headers", "signature does not match": "signature",
					"timestamp is outside the window": "stale", "body too large": "too large",
				}[tt.log]
				if cause == "" {
					cause = "malformed"
				}
				e.wantLog(tt.log, "reason="+cause, "WebhookRejected=1")
			}
			if tt.log == "INFO delivery" {
				e.want(docID, ledger.Processed, 1)
				return
			}
			e.wantNothingStored()
		})
	}
}

func TestRotatedSecret(t *testing.T) {
	t.Parallel()
	const fresh = "wss_fR7kT2pQ9sZ4wX1n"
	e := newEndpoint(t)
	withFresh := func() request { return signed(fresh, e.clock.now(), processed(nil)) }
	wantFetches := func(n int) {
		t.Helper()
		if e.vault.fetches != n {
			t.Errorf("the secret was read %d times, want %d", e.vault.fetches, n)
		}
	}
	e.deliver(processed(nil), 200)
	e.clock.advance(4 * time.Minute)
	e.deliver(processed(nil), 200) // what matches asks for no other secret
	wantFetches(1)
	e.clock.advance(time.Minute)
	e.deliver(processed(nil), 200)
	wantFetches(2)

	e.vault.set(secret, fresh)
	e.clock.advance(59 * time.Second)
	e.answer(withFresh(), 401) // and Extend repeats it
	wantFetches(2)
	e.clock.advance(time.Second)
	e.answer(withFresh(), 200)
	e.deliver(processed(nil), 200) // both are good during the rotation
	wantFetches(3)

	e.clock.advance(time.Minute)
	for range 50 { // a stranger's flood
		e.answer(signed("wss_stranger", e.clock.now(), processed(nil)), 401)
	}
	wantFetches(4)

	e.vault.set(fresh)
	e.clock.advance(5 * time.Minute)
	e.answer(withFresh(), 200)
	e.deliver(processed(nil), 401) // the old one is over
	wantFetches(5)
}

func TestNoSecretYet(t *testing.T) {
	t.Parallel()
	for _, secrets := range [][]string{{}, {""}, {" "}} {
		e := newEndpoint(t)
		e.vault.set(secrets...)
		e.deliver(processed(nil), 500) // Extend repeats it
		e.answer(signed("", e.clock.now(), processed(nil)), 500)
		e.answer(request{}, 500)
		e.wantNothingStored()
		e.wantLog(`put the signing secret of your webhook endpoint (wss_…) into the list "webhookSecrets" of arn:aws:secretsmanager:eu-west-1:123456789012:secret:intake`)

		e.vault.set(secret)
		e.clock.advance(time.Minute)
		e.deliver(processed(nil), 200)
		e.want(docID, ledger.Processed, 1)
	}
}

func TestSecretsManagerIsDown(t *testing.T) {
	t.Parallel()
	e := newEndpoint(t)
	e.vault.down = true
	e.deliver(processed(nil), 500)
	e.wantNothingStored()
	e.wantLog("status=500", "InternalServiceError", "secret:intake")
	e.vault.down = false
	e.clock.advance(5 * time.Second)
	e.deliver(processed(nil), 200)
}

func TestDelivery(t *testing.T) {
	t.Parallel()
	e := newEndpoint(t)
	e.submitted(runID)
	for range 3 {
		e.deliver(processed(nil), 200)
		e.clock.advance(time.Hour)
	}
	rec := e.want(docID, ledger.Processed, 1) // a repetition changes nothing
	if rec.Version != 3 || rec.RunID != runID || rec.Credits != "2.5" || rec.Type != "EXTRACT" || rec.Sequence != source.Sequencer || rec.FinishedAt.IsZero() || !rec.NextCheckAt.IsZero() || len(rec.Runs) > 0 {
		t.Errorf("record %+v", rec)
	}
	e.wantOutput(docID, `{"value":{"invoice_number":"INV-88213","total":12345678901234567890}}`)
	e.wantLog("INFO delivery", "verdict=stored", "document_id="+docID, "run_id="+runID, "event_id=event_7dJrWq2ZxTn5LkYc8HvBs", "attempt=1", "revision=1")
	if n := e.gets(); n > 0 {
		t.Errorf("%d questions to Extend", n)
	}
}

// The spacing of a repetition need not be that of the first delivery.
func TestDeliverySpacedInAnotherWay(t *testing.T) {
	t.Parallel()
	e := newEndpoint(t)
	e.deliver(processed(nil), 200)
	e.deliver(processed(map[string]any{"output": json.RawMessage(`{ "value": { "total": 12345678901234567890, "invoice_number": "INV-88213" } }`)}), 200)
	e.want(docID, ledger.Processed, 1)
	if n := e.gets(); n > 0 {
		t.Errorf("%d questions to Extend", n)
	}
}

func TestDeliveryBeforeThePOSTsAnswer(t *testing.T) {
	t.Parallel()
	for _, unconfirmed := range []bool{false, true} {
		e := newEndpoint(t)
		e.claimed()
		if unconfirmed {
			e.apply(ledger.OutcomeUnknown{ClaimNumber: 1})
		}
		e.deliver(processed(nil), 200)
		if rec := e.want(docID, ledger.Processed, 1); rec.RunID != runID {
			t.Errorf("run %q", rec.RunID)
		}
		e.apply(ledger.Accepted{Attempt: 1, RunID: runID, RunURL: "u"}) // the answer
		e.want(docID, ledger.Processed, 1)
	}
}

func TestRunWithoutOurTag(t *testing.T) {
	t.Parallel()
	for name, metadata := range map[string]any{"no metadata": nil, "other software's": map[string]any{"documentId": "doc_01J9ZK4T8Q", "attempt": 1}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEndpoint(t)
			e.deliver(processed(map[string]any{"metadata": metadata}), 200)
			rec := e.want(runID, ledger.Processed, 1)
			if rec.Object != "" || rec.RunID != runID || rec.ProcessorID != processor || e.documents() != 1 {
				t.Errorf("record %+v", rec)
			}
			e.deliver(failed("INTERNAL_ERROR", map[string]any{"metadata": metadata, "id": "dpr_2"}), 200)
			e.want("dpr_2", ledger.Failed, 1)
			if len(e.requeued) > 0 {
				t.Error("there is no upload that could be requeued")
			}
		})
	}
}

func TestATagThatContradictsItself(t *testing.T) {
	t.Parallel()
	wrong := tag(stack, 1)
	wrong["key"] = "in/another.pdf" // then the document id does not fit
	e := newEndpoint(t)
	e.deliver(processed(map[string]any{"metadata": wrong}), 200)
	e.wantNothingStored()
	e.wantLog("ERROR the run's tag contradicts the ledger", "TagMismatches=1")
}

func TestAttemptsOfADocument(t *testing.T) {
	t.Parallel()
	second := map[string]any{"id": "dpr_2", "metadata": tag(stack, 2)}
	e := newEndpoint(t)
	e.submitted(runID)
	e.deliver(failed("FAILED_TO_PROCESS_FILE", nil), 200)
	rec := e.want(docID, ledger.Waiting, 0) // consumers do not see what is retried
	if rec.Attempt != 2 || rec.RunID != "" || rec.Reason != "retry after FAILED_TO_PROCESS_FILE" || len(rec.Runs) != 1 || rec.Runs[0].RunID != runID {
		t.Errorf("record %+v", rec)
	}
	if d := cmp.Diff([]document.Source{source}, e.requeued); d != "" {
		t.Errorf("requeued (-want +got):\n%s", d)
	}

	e.submitted("dpr_2")
	e.deliver(failed("FAILED_TO_PROCESS_FILE", nil), 200) // the first, once more
	e.want(docID, ledger.Processing, 0)
	e.deliver(event(webhook.RunProcessed, payload(second)), 200)
	e.want(docID, ledger.Processed, 1)
	e.deliver(failed("FAILED_TO_PROCESS_FILE", nil), 200) // and once more
	if rec := e.want(docID, ledger.Processed, 1); rec.RunID != "dpr_2" || len(rec.Runs) != 1 {
		t.Errorf("record %+v", rec)
	}
	if len(e.requeued) != 1 {
		t.Errorf("%d requeued", len(e.requeued))
	}
}

func TestTheLastAttemptFails(t *testing.T) {
	t.Parallel()
	e := newEndpoint(t)
	e.submitted(runID)
	e.deliver(failed("INTERNAL_ERROR", nil), 200)
	e.submitted("dpr_2")
	e.deliver(failed("INTERNAL_ERROR", map[string]any{"id": "dpr_2", "metadata": tag(stack, 2)}), 200)
	if rec := e.want(docID, ledger.Failed, 1); rec.FailureReason != "INTERNAL_ERROR" || rec.FailureMessage != "It did not work." || rec.Attempt != 2 {
		t.Errorf("record %+v", rec)
	}
	if len(e.requeued) != 1 {
		t.Errorf("%d requeued", len(e.requeued))
	}
}

func TestAFailureForGood(t *testing.T) {
	t.Parallel()
	e := newEndpoint(t)
	e.submitted(runID)
	e.deliver(failed("SOMETHING_NEW", nil), 200)
	if rec := e.want(docID, ledger.Failed, 1); rec.FailureReason != "SOMETHING_NEW" || rec.Attempt != 1 {
		t.Errorf("record %+v", rec)
	}
	if len(e.requeued) > 0 {
		t.Error("requeued")
	}
}

func TestTheRequeueFails(t *testing.T) {
	t.Parallel()
	e := newEndpoint(t)
	e.submitted(runID)
	e.requeueErr = errors.New("no queue for you")
	e.deliver(failed("INTERNAL_ERROR", nil), 500)
	e.wantLog("ERROR delivery not stored, Extend will repeat it", "no queue for you")
	e.want(docID, ledger.Waiting, 0)

	e.requeueErr = nil
	e.deliver(failed("INTERNAL_ERROR", nil), 200) // the repetition
	rec := e.want(docID, ledger.Waiting, 0)
	if rec.Attempt != 2 || len(rec.Runs) != 1 || len(e.requeued) != 1 {
		t.Errorf("%d requeued, record %+v", len(e.requeued), rec)
	}
}

func TestASecondRunForOneAttempt(t *testing.T) {
	t.Parallel()
	e := newEndpoint(t)
	e.submitted(runID)
	e.deliver(processed(nil), 200)
	for range 2 {
		e.deliver(processed(map[string]any{"id": "dpr_second", "output": map[string]any{"value": "other"}}), 200)
	}
	rec := e.want(docID, ledger.Processed, 1)
	if rec.RunID != runID || len(rec.Runs) != 1 || rec.Runs[0].RunID != "dpr_second" || !rec.Runs[0].Duplicate {
		t.Errorf("record %+v", rec)
	}
	e.wantLog("ERROR duplicate run", "dpr_second", "document_id="+docID)
	e.wantOutput(docID, `{"value":{"invoice_number":"INV-88213","total":12345678901234567890}}`)
}

func TestALargeOutput(t *testing.T) {
	t.Parallel()
	output := `{"value": {"text": "` + strings.Repeat("long ", 100_000) + `", "n": 1.50}}` // the spacing must survive, too
	body := strings.Replace(processed(map[string]any{"output": "@"}), `"@"`, output, 1)
	e := newEndpoint(t)
	e.putErr = errors.New("no bucket for you")
	e.deliver(body, 500)
	e.wantNothingStored()
	e.putErr = nil
	e.deliver(body, 200)
	e.deliver(body, 200)
	rec := e.want(docID, ledger.Processed, 1)
	names := slices.Collect(maps.Keys(e.stored))
	if len(names) != 1 || rec.OutputLocation != "s3://results/"+names[0] || !strings.HasPrefix(names[0], docID+"/1-") || e.stored[names[0]] != output {
		t.Errorf("stored %q, record %+v", names, rec)
	}
}

func TestTheLedgerFails(t *testing.T) {
	t.Parallel()
	e := newEndpoint(t)
	e.recorder.Ledger = e.brokenLedger()
	e.deliver(processed(nil), 500)
	e.wantLog("ERROR delivery not stored, Extend will repeat it", "the table does not answer", "event_id=event_7dJrWq2ZxTn5LkYc8HvBs")
	e.recorder.Ledger = e.book
	e.deliver(processed(nil), 200)
	e.want(docID, ledger.Processed, 1)
}

func TestARecordThatCantBeUnderstood(t *testing.T) {
	t.Parallel()
	e := newEndpoint(t)
	e.apply(ledger.RunEnded{Source: source, Signed: true, Attempt: 1, RunID: runID, State: "ARCHIVED"})
	e.deliver(processed(nil), 500) // a newer version of the software can store it
	e.wantLog("ERROR", `state "ARCHIVED" is unknown`)
}

func TestAPanicIsAnswered(t *testing.T) {
	t.Parallel()
	e := newEndpoint(t)
	e.recorder.Requeue = func(context.Context, document.Source) error { panic("boom") }
	e.submitted(runID)
	e.deliver(failed("INTERNAL_ERROR", nil), 500)
	e.wantLog("ERROR panic", "boom", "recorder.go")
}

func TestPointer(t *testing.T) {
	t.Parallel()
	const url = "https://extend-webhook-payloads.example.com/e.json?X-Amz-Signature=00112233"
	point := func(id string) string {
		return event(webhook.RunProcessed, fmt.Sprintf(`{"object":"signed_data_url","id":%q,"data":%q,"metadata":{}}`, id, url))
	}
	t.Run("the run is asked for", func(t *testing.T) {
		t.Parallel()
		e := newEndpoint(t)
		run := e.run(tag(stack, 1))
		e.submitted(run.ID)
		e.deliver(point(run.ID), 200)
		e.want(docID, ledger.Processed, 1)
		if n := e.gets(); n != 1 {
			t.Errorf("%d questions", n)
		}
		info, _ := e.fake.Run(run.ID)
		stored := must(e.book.Output(t.Context(), docID))
		if !sameJSON(t, info.Output, stored) {
			t.Errorf("stored %s\nsent   %s", stored, info.Output)
		}
	})
	t.Run("a review is fetched", func(t *testing.T) {
		t.Parallel()
		e := newEndpoint(t)
		run := e.run(tag(stack, 1))
		e.deliver(point(run.ID), 200)
		if err := e.fake.ReviewRun(run.ID, json.RawMessage(`{"value":{"total":2}}`)); err != nil {
			t.Fatal(err)
		}
		e.deliver(strings.Replace(point(run.ID), "event_", "event_second_", 1), 200)
		e.want(docID, ledger.Processed, 2)
		// The first GET was made before the record was read: a newer one could have been stored in between.
		if n := e.gets(); n != 3 {
			t.Errorf("%d questions for two deliveries", n)
		}
	})
	t.Run("and its bytes are not believed", func(t *testing.T) {
		t.Parallel()
		e := newEndpoint(t)
		run := e.run(tag("another stack", 1))
		// What the pointer says of the stack is not what counts.
		e.deliver(event(webhook.RunProcessed, fmt.Sprintf(`{"object":"signed_data_url","id":%q,"data":%q,"metadata":%s}`, run.ID, url, must(json.Marshal(tag(stack, 1))))), 200)
		e.wantNothingStored()
	})
	t.Run("the run is unknown", func(t *testing.T) {
		t.Parallel()
		e := newEndpoint(t)
		e.deliver(point("dpr_unknown"), 500)
		e.wantLog("ERROR delivery not stored, Extend will repeat it", "404", "dpr_unknown")
		e.wantNothingStored()
	})
	t.Run("Extend fails", func(t *testing.T) {
		t.Parallel()
		e := newEndpoint(t, func(o *fakeextend.Options) {
			o.Fault = fakeextend.Script(fakeextend.RouteGet, fakeextend.Fault{Status: 500}, fakeextend.Fault{Status: 500}, fakeextend.Fault{Status: 429}, fakeextend.Fault{Status: 429}) // each delivery asks twice
		})
		run := e.run(tag(stack, 1))
		for range 2 {
			e.deliver(point(run.ID), 500)
			e.wantNothingStored()
		}
		e.deliver(point(run.ID), 200)
		e.want(docID, ledger.Processed, 1)
	})
	t.Run("without an id, to a stranger", func(t *testing.T) {
		t.Parallel()
		e := newEndpoint(t)
		e.deliver(event(webhook.RunProcessed, fmt.Sprintf(`{"data":%q}`, url)), 500)
		e.wantLog("ERROR delivery not stored", `host "extend-webhook-payloads.example.com" is not one of`, "PayloadHosts")
		e.wantNothingStored()
	})
}

func sameJSON(t *testing.T, a, b []byte) bool {
	t.Helper()
	decode := func(text []byte) (v any) {
		d := json.NewDecoder(strings.NewReader(string(text)))
		d.UseNumber()
		if err := d.Decode(&v); err != nil {
			t.Fatal(err)
		}
		return v
	}
	return cmp.Equal(decode(a), decode(b))
}

// From here on the fake delivers, over HTTP and with a signature of its own.

func TestDeliveriesOfTheFake(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		faults   []fakeextend.DeliveryFault // of the first tries
		statuses []int
		gets     int
	}{
		{"once", nil, []int{200}, 0},
		{"three times", []fakeextend.DeliveryFault{{Copies: 2}}, []int{200, 200, 200}, 0},
		{"forged first", []fakeextend.DeliveryFault{{WrongSignature: true}}, []int{401, 200}, 0},
		{"late first", []fakeextend.DeliveryFault{{Age: time.Hour}}, []int{401, 200}, 0},
		{"as a pointer", []fakeextend.DeliveryFault{{Pointer: fakeextend.PointerFull}}, []int{200}, 1},
		{"as a pointer whose link is over", []fakeextend.DeliveryFault{{Pointer: fakeextend.PointerFull, Expired: true}}, []int{200}, 1},
		{"as a bare pointer", []fakeextend.DeliveryFault{{Pointer: fakeextend.PointerBare}}, []int{200}, 1},
		{"as a bare pointer to the whole delivery", []fakeextend.DeliveryFault{{Pointer: fakeextend.PointerBare, Envelope: true}}, []int{200}, 1},
		{"as a bare pointer whose link is over first", []fakeextend.DeliveryFault{{Pointer: fakeextend.PointerBare, Expired: true}}, []int{500, 200}, 0},
		{"as a text first", []fakeextend.DeliveryFault{{Pointer: fakeextend.PointerString}}, []int{400, 200}, 0},
		{"with an unknown type", []fakeextend.DeliveryFault{{EventType: "processor_run.archived"}}, []int{200}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e := newEndpoint(t, func(o *fakeextend.Options) {
				o.DeliveryFault = func(d fakeextend.Delivery) fakeextend.DeliveryFault {
					if d.Try > len(tt.faults) {
						return fakeextend.DeliveryFault{}
					}
					return tt.faults[d.Try-1]
				}
			})
			e.serve()
			run := e.run(tag(stack, 1))
			if got := e.statuses(run.ID); !slices.Equal(got, tt.statuses) || e.gets() != tt.gets {
				t.Errorf("answers %v and %d questions, want %v and %d", got, e.gets(), tt.statuses, tt.gets)
			}
			if tt.name == "with an unknown type" {
				e.wantNothingStored()
				return
			}
			e.want(docID, ledger.Processed, 1)
			info, _ := e.fake.Run(run.ID)
			if stored := must(e.book.Output(t.Context(), docID)); !sameJSON(t, info.Output, stored) {
				t.Errorf("stored %s\nsent   %s", stored, info.Output)
			}
		})
	}
}

func TestAReview(t *testing.T) {
	t.Parallel()
	e := newEndpoint(t)
	e.serve()
	run := e.run(tag(stack, 1))
	e.want(docID, ledger.Processed, 1)
	first, _ := e.fake.Run(run.ID)

	if err := e.fake.ReviewRun(run.ID, json.RawMessage(`{"value":{"total":2}}`)); err != nil {
		t.Fatal(err)
	}
	e.settle()
	rec := e.want(docID, ledger.Processed, 2)
	if !rec.Reviewed || !rec.Edited || e.gets() != 1 {
		t.Errorf("%d questions, record %+v", e.gets(), rec)
	}
	e.wantOutput(docID, `{"value":{"total":2}}`)

	// The first delivery once more, after the second, to another instance: a GET says which is newer.
	e.done = recent{}
	status, err := e.fake.Redeliver(t.Context(), first.Deliveries[0].EventID)
	if err != nil || status != 200 {
		t.Errorf("answer %d, %v", status, err)
	}
	e.want(docID, ledger.Processed, 2)
	e.wantOutput(docID, `{"value":{"total":2}}`)
	if e.gets() != 2 {
		t.Errorf("%d questions: a review can be taken back, so that what was stored before is asked about", e.gets())
	}
}

// A delivery that is signed and can't be read is kept, the document says so, and Extend is
// asked for the run; what it names is found in whatever is left of it.
func TestADeliveryThatCantBeRead(t *testing.T) {
	t.Parallel()
	good := processed(nil)
	for name, body := range map[string]string{
		"NaN":           strings.Replace(good, `"output":{`, `"output":{"confidence":NaN,`, 1),
		"-Infinity":     strings.Replace(good, `"output":{`, `"output":{"confidence":-Infinity,`, 1),
		"cut":           good[:len(good)-1],
		"too deep":      strings.Replace(good, `"output":{`, `"output":{"deep":`+strings.Repeat("[", 10_001)+strings.Repeat("]", 10_001)+`,`, 1),
		"no id":         strings.Replace(good, `"id":"`+runID+`"`, `"id":7`, 1),
		"no event type": strings.Replace(good, `"eventType"`, `"eventKind"`, 1),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if body == good {
				t.Fatal("nothing is wrong with it")
			}
			e := newEndpoint(t)
			e.submitted(runID)
			e.deliver(body, 400)
			rec := e.want(docID, ledger.Processing, 0)
			if len(e.unreadable) != 1 || e.unreadable[0] != body || !strings.HasPrefix(rec.UnreadableLocation, "s3://results/unreadable/") || rec.Reason == "" {
				t.Errorf("%d kept, record %+v", len(e.unreadable), rec)
			}
			if rec.NextCheckAt.After(e.clock.now()) {
				t.Errorf("next check at %v: Extend is not asked at once", rec.NextCheckAt)
			}
			e.wantLog("ERROR delivery can't be read", "Unreadable=1")
			e.deliver(good, 200)
			if rec := e.want(docID, ledger.Processed, 1); rec.UnreadableLocation != "" || rec.Reason != "" {
				t.Errorf("record %+v", rec)
			}
		})
	}
}

// A status that nobody knows says nothing: where Extend does not know better, the delivery is one
// that can't be read.
func TestADeliveryOfAnUnknownStatus(t *testing.T) {
	t.Parallel()
	for _, status := range []any{"COMPLETED", "processed", "REJECTED", nil} {
		e := newEndpoint(t, func(o *fakeextend.Options) {
			o.Fault = func(c fakeextend.Call) fakeextend.Fault {
				if c.Route != fakeextend.RouteGet {
					return fakeextend.Fault{}
				}
				return fakeextend.Fault{ChangeRuns: fakeextend.Set("status", string(must(json.Marshal(status))))}
			}
		})
		run := e.run(tag(stack, 1))
		e.submitted(run.ID)
		body := processed(map[string]any{"id": run.ID, "status": status})
		e.deliver(body, 400)
		rec := e.want(docID, ledger.Processing, 0)
		if len(e.unreadable) != 1 || e.unreadable[0] != body || rec.UnreadableLocation == "" || rec.NextCheckAt.After(e.clock.now()) {
			t.Errorf("%v: %d kept, record %+v", status, len(e.unreadable), rec)
		}
		e.wantLog("ERROR delivery can't be read", "Unreadable=1", "status")
	}

	e := newEndpoint(t)
	run := e.run(tag(stack, 1))
	e.submitted(run.ID)
	e.deliver(processed(map[string]any{"id": run.ID, "status": "COMPLETED"}), 200) // Extend knows better
	e.want(docID, ledger.Processed, 1)
}

// A review that can't be read as it is delivered is asked about: nobody else would.
func TestAReviewThatCantBeRead(t *testing.T) {
	t.Parallel()
	e := newEndpoint(t)
	run := e.run(tag(stack, 1)) // its own deliveries go nowhere
	e.submitted(run.ID)
	metadata := string(must(json.Marshal(tag(stack, 1))))
	e.deliver(`{"eventId":"event_1","eventType":"extract_run.processed","payload":{"object":"extract_run","id":"exr_1","metadata":`+metadata+`}}`, 200)
	e.want(docID, ledger.Processed, 1)
	if err := e.fake.ReviewRun(run.ID, json.RawMessage(`{"value":{"total":2}}`)); err != nil {
		t.Fatal(err)
	}
	e.deliver(strings.Replace(processed(nil), `"output":{`, `"output":{"confidence":NaN,`, 1), 400)
	e.want(docID, ledger.Processed, 2)
	e.wantOutput(docID, `{"value":{"total":2}}`)
	e.wantLog("ERROR delivery can't be read", "Unreadable=1")
}

// An endpoint that is set to another API version says nothing that could be stored, but
// that something has happened.
func TestADeliveryOfAnotherVersion(t *testing.T) {
	t.Parallel()
	e := newEndpoint(t)
	run := e.run(tag(stack, 1)) // its own deliveries go nowhere
	e.submitted(run.ID)
	metadata := string(must(json.Marshal(tag(stack, 1))))
	e.deliver(`{"eventId":"event_1","eventType":"extract_run.processed","payload":{"object":"extract_run","id":"exr_1","status":"PROCESSED","output":{"value":{"forged":true}},"metadata":`+metadata+`}}`, 200)
	e.want(docID, ledger.Processed, 1)
	e.wantLog("WARN delivery of another API version", "2025-04-21", "OtherApiVersion=1")
	e.deliver(`{"eventId":"event_2","eventType":"classify_run.failed","payload":null}`, 200)
	e.want(docID, ledger.Processed, 1)
	if err := e.fake.ReviewRun(run.ID, json.RawMessage(`{"value":{"total":2}}`)); err != nil {
		t.Fatal(err)
	}
	e.deliver(`{"eventId":"event_3","eventType":"extract_run.processed","payload":{"object":"extract_run","id":"exr_1","status":"PROCESSED","output":{"value":{"forged":true}},"metadata":`+metadata+`}}`, 200)
	e.want(docID, ledger.Processed, 2) // a review
	e.wantOutput(docID, `{"value":{"total":2}}`)
}

func TestAReviewThatCantBeAskedAbout(t *testing.T) {
	t.Parallel()
	e := newEndpoint(t, func(o *fakeextend.Options) {
		o.Fault = fakeextend.Script(fakeextend.RouteGet, fakeextend.Fault{Status: 500}, fakeextend.Fault{Status: 500}, fakeextend.Fault{Status: 429}, fakeextend.Fault{Status: 429}) // each delivery asks twice
	})
	e.serve()
	run := e.run(tag(stack, 1))
	if err := e.fake.ReviewRun(run.ID, json.RawMessage(`{"value":{"total":2}}`)); err != nil {
		t.Fatal(err)
	}
	e.settle()
	if got := e.statuses(run.ID); !slices.Equal(got, []int{200, 500, 500, 200}) {
		t.Errorf("answers %v", got)
	}
	e.want(docID, ledger.Processed, 2)
}

func TestAFailureOfTheFake(t *testing.T) {
	t.Parallel()
	e := newEndpoint(t, func(o *fakeextend.Options) {
		o.Fault = fakeextend.Script(fakeextend.RouteCreate, fakeextend.Fault{Fate: fakeextend.Fate{End: fakeextend.EndFailed, FailureReason: "INTERNAL_ERROR"}})
		o.DeliveryFault = func(d fakeextend.Delivery) fakeextend.DeliveryFault { return fakeextend.DeliveryFault{Copies: 1} }
	})
	e.serve()
	e.claimed() // the delivery is faster than the POST's answer
	run := e.run(tag(stack, 1))
	rec := e.want(docID, ledger.Waiting, 0)
	if rec.Attempt != 2 || len(rec.Runs) != 1 || rec.Runs[0].RunID != run.ID || len(e.requeued) == 0 {
		t.Errorf("%d requeued, record %+v", len(e.requeued), rec)
	}
}

// A signed delivery of a type that nobody knows, about a run of ours, says that something has
// happened to the run: Extend is asked, and what the delivery says itself is not stored.
func TestADeliveryOfAnUnknownTypeAboutOurRun(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"PROCESSOR_RUN.PROCESSED", "processor_run_processed", "processor_run.reviewed", "extractRun.processed"} {
		e := newEndpoint(t)
		run := e.run(tag(stack, 1))
		e.submitted(run.ID)
		e.deliver(`{"eventId":"event_1","eventType":"`+kind+`","payload":{"id":"x","output":{"value":{"forged":true}},"metadata":`+string(must(json.Marshal(tag(stack, 1))))+`}}`, 200)
		e.want(docID, ledger.Processed, 1)
		e.wantLog("WARN event type is not stored", "OtherApiVersion=1")
	}
}

// What has no tag is of ours if the ledger knows the run; what Extend cannot be asked about comes
// again, for it may be a review; and what is not of ours is ignored, without a question.
func TestADeliveryOfAnUnknownTypeWithoutATag(t *testing.T) {
	t.Parallel()
	const kind = "processor_run.reviewed"
	e := newEndpoint(t)
	run := e.run(tag(stack, 1))
	e.submitted(run.ID)
	for _, other := range []string{`{"id":"dpr_other"}`, `{"id":"` + docID + `"}`, `{"id":7,"metadata":"x"}`, `{}`, `null`, `{"id":"dpr_other","metadata":` + string(must(json.Marshal(tag("another", 1)))) + `}`} {
		e.deliver(event(kind, other), 200)
	}
	if e.gets() != 0 {
		t.Errorf("%d questions about what is not of ours", e.gets())
	}
	e.deliver(event(kind, `{"id":"`+run.ID+`"}`), 200)
	e.want(docID, ledger.Processed, 1)
	e.wantLog("WARN event type is not stored", "OtherApiVersion=1")

	e = newEndpoint(t, func(o *fakeextend.Options) {
		o.Fault = func(c fakeextend.Call) fakeextend.Fault {
			if c.Route != fakeextend.RouteGet {
				return fakeextend.Fault{}
			}
			return fakeextend.Fault{Status: 503}
		}
	})
	run = e.run(tag(stack, 1))
	e.submitted(run.ID)
	e.deliver(event(kind, `{"id":"x","metadata":`+string(must(json.Marshal(tag(stack, 1))))+`}`), 500)
	e.wantLog("ERROR event type is not stored", "OtherApiVersion=1")
}

// A delivery that only points to its run says that it has ended. While Extend still shows it as
// under way, nothing can be stored, and the run may be deleted before anybody asks again.
func TestAPointerToARunThatExtendShowsAsUnderWay(t *testing.T) {
	t.Parallel()
	view := fakeextend.ViewProcessing
	e := newEndpoint(t, func(o *fakeextend.Options) {
		o.Fault = func(c fakeextend.Call) fakeextend.Fault {
			if c.Route != fakeextend.RouteGet {
				return fakeextend.Fault{}
			}
			return fakeextend.Fault{View: view}
		}
	})
	run := e.run(tag(stack, 1))
	e.submitted(run.ID)
	body := event(webhook.RunProcessed, fmt.Sprintf(`{"object":"signed_data_url","id":%q,"data":"https://payloads.extend.ai/x","metadata":{}}`, run.ID))
	e.deliver(body, 500)
	e.wantLog("WARN delivery not stored", "not shown yet")
	e.want(docID, ledger.Processing, 0)
	view = fakeextend.ViewNow
	e.deliver(body, 200)
	e.want(docID, ledger.Processed, 1)
	view = fakeextend.ViewProcessing
	e.clock.advance(time.Hour) // the same delivery once more
	e.deliver(body, 200)
	e.want(docID, ledger.Processed, 1)
}

// What a delivery of an unknown type tells of may be the end of the run itself.
func TestADeliveryOfAnUnknownTypeAboutARunThatIsGone(t *testing.T) {
	t.Parallel()
	e := newEndpoint(t, func(o *fakeextend.Options) {
		o.Fault = func(c fakeextend.Call) fakeextend.Fault {
			if c.Route != fakeextend.RouteGet {
				return fakeextend.Fault{}
			}
			return fakeextend.Fault{View: fakeextend.ViewMissing}
		}
	})
	run := e.run(tag(stack, 1))
	e.submitted(run.ID)
	e.deliver(event("processor_run.deleted", fmt.Sprintf(`{"id":%q}`, run.ID)), 200)
	e.want(docID, ledger.Processing, 0)
	e.wantLog("WARN event type is not stored", "no such run")
}

// TestInvoke: what Lambda hands on means what encoding/json makes of it, wherever the body is
// and however it is written.
func TestInvoke(t *testing.T) {
	t.Parallel()
	body := processed(nil)
	headers, _ := json.Marshal(signed(secret, newEndpoint(t).clock.now(), body).Headers)
	quoted, _ := json.Marshal(body)
	encoded, _ := json.Marshal(base64.StdEncoding.EncodeToString([]byte(body)))
	var escaped strings.Builder // every character
	for _, unit := range utf16.Encode([]rune(body)) {
		fmt.Fprintf(&escaped, `\u%04x`, unit)
	}
	for name, tt := range map[string]struct {
		request string
		status  int
	}{
		"last":          {`{"version":"2.0","headers":` + string(headers) + `,"body":` + string(quoted) + `}`, 200},
		"first":         {` { "body" : ` + string(quoted) + ` , "headers" : ` + string(headers) + ` } `, 200},
		"base64":        {`{"isBase64Encoded":true,"body":` + string(encoded) + `,"headers":` + string(headers) + `}`, 200},
		"every escape":  {`{"headers":` + string(headers) + `,"body":"` + escaped.String() + `"}`, 200},
		"the last of 2": {`{"body":"{}","headers":` + string(headers) + `,"body":` + string(quoted) + `}`, 200},
		"another body":  {`{"headers":` + string(headers) + `,"body":"{}"}`, 401},
		"null":          {`{"headers":` + string(headers) + `,"body":null}`, 401},
		"none":          {`{"headers":` + string(headers) + `}`, 401},
		"no text":       {`{"headers":` + string(headers) + `,"body":{}}`, 0},
		"no object":     {`[]`, 0},
		"no JSON":       {`{"headers":` + string(headers) + `,"body":` + string(quoted), 0},
	} {
		e := newEndpoint(t)
		answer, err := e.Invoke(e.ctx, []byte(tt.request))
		var response events.APIGatewayV2HTTPResponse
		if err == nil {
			err = json.Unmarshal(answer, &response)
		}
		if (err == nil) != (tt.status > 0) || response.StatusCode != tt.status {
			t.Errorf("%s: %s, %v, want %d", name, answer, err, tt.status)
		}
	}
}
