package webhook

import (
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"extend-intake/test/fixtures"
)

const testSecret = "wss_8fKq2LxVnB7rTzYw4HsJd6McPe1uGa9o"

var signedAt = time.Unix(1784020500, 0)

// fixture is a delivery as the vendor publishes it.
func fixture(t testing.TB, name string) []byte {
	t.Helper()
	return fixtures.Read(t, "webhook_"+name)
}

func at(now time.Time) func() time.Time { return func() time.Time { return now } }

// The vectors were computed with another implementation, and hold what the vendor's own verifiers say to each.
func TestOpenVectors(t *testing.T) {
	t.Parallel()
	refused := map[string]error{ // every other vector is valid
		"wrong_secret":                ErrSignature,
		"secret_without_prefix":       ErrSignature,
		"secret_base64_decoded":       ErrSignature,
		"altered_body":                ErrSignature,
		"reserialised_body":           ErrSignature,
		"body_trailing_newline_added": ErrSignature,
		"altered_timestamp":           ErrSignature,
		"stale_301":                   ErrStale,
		"future_61":                   ErrStale,
		"timestamp_milliseconds":      ErrStale,
		"timestamp_not_a_number":      ErrHeader,
		"timestamp_trailing_text":     ErrHeader,
		"missing_signature_header":    ErrHeader,
		"empty_signature_header":      ErrHeader,
		"missing_timestamp_header":    ErrHeader,
		"empty_secret":                ErrNoSecret,
		"signature_trailing_space":    ErrSignature,
		"signature_leading_space":     ErrSignature,
		"signature_sha256_prefix":     ErrSignature,
		"signature_v0_prefix":         ErrSignature,
		"signature_base64":            ErrSignature,
		"signature_truncated":         ErrSignature,
		"signature_extra_digit":       ErrSignature,
		"signature_of_body_only":      ErrSignature,
		"signature_dot_separator":     ErrSignature,
		"signature_sha1":              ErrSignature,
	}
	var vectors []struct {
		Name, Secret, Body   string
		Timestamp, Signature *string // nil: not sent
		Valid                bool
		Why                  string
		Now                  int64
		MaxAgeSeconds        int `json:"max_age_seconds"`
	}
	if err := json.Unmarshal(fixtures.Read(t, "signature_vectors.json"), &vectors); err != nil {
		t.Fatal(err)
	}
	if len(vectors) != 36 {
		t.Fatalf("%d vectors", len(vectors))
	}
	for _, vec := range vectors {
		t.Run(vec.Name, func(t *testing.T) {
			t.Parallel()
			want := refused[vec.Name]
			if vec.Valid != (want == nil) {
				t.Fatalf("the vector says %v, this test says %v", vec.Valid, want)
			}
			if vec.Name == "valid_empty_body" {
				want = ErrMalformed // the signature is right, the content is none
			}
			v := Verifier{Secrets: []string{vec.Secret}, MaxAge: time.Duration(vec.MaxAgeSeconds) * time.Second, Now: at(time.Unix(vec.Now, 0))}
			if vec.MaxAgeSeconds == 0 {
				v.MaxAge = -1 // what 0 means to the vendor's helpers
			}
			header := http.Header{}
			if vec.Timestamp != nil {
				header.Set(timestampHeader, *vec.Timestamp)
			}
			if vec.Signature != nil {
				header.Set(signatureHeader, *vec.Signature)
			}
			event, err := v.Open(header, []byte(vec.Body))
			if !errors.Is(err, want) || (event != nil) != (want == nil) {
				t.Errorf("%v, %v; want %v: %s", event, err, want, vec.Why)
			}
		})
	}
}

func TestOpenReturnsWhatWasSent(t *testing.T) {
	t.Parallel()
	body := fixture(t, "processor_run_processed.json")
	v := Verifier{Secrets: []string{testSecret}, Now: at(signedAt)}
	event, err := v.Open(Sign(testSecret, signedAt, body), body)
	if err != nil {
		t.Fatal(err)
	}
	if event.ID != "event_7dJrWq2ZxTn5LkYc8HvBs" || event.Type != RunProcessed {
		t.Errorf("%s %s", event.ID, event.Type)
	}
	if !strings.Contains(string(body), string(event.Payload)) {
		t.Error("the payload is not the bytes as received")
	}
	clear(body) // a server may use its buffer again
	if run, err := event.Run(); err != nil || run.ID != "dpr_4fWn8KqZtB1yLmXc6RvHs" {
		t.Errorf("%v, %v", run, err)
	}
}

func TestOpenSecrets(t *testing.T) {
	t.Parallel()
	body := fixture(t, "unknown_event.json")
	for _, tt := range []struct {
		name     string
		secrets  []string
		signedBy string
		want     error
	}{
		{"one", []string{testSecret}, testSecret, nil},
		{"first of two", []string{testSecret, "wss_new"}, testSecret, nil},
		{"second of two", []string{"wss_new", testSecret}, testSecret, nil},
		{"neither of two", []string{"wss_new", testSecret}, "wss_other", ErrSignature},
		{"nil", nil, testSecret, ErrNoSecret},
		{"only empty ones", []string{"", ""}, "", ErrNoSecret},
		{"an empty one never matches", []string{"", testSecret}, "", ErrSignature},
		{"an empty one is no obstacle", []string{"", testSecret}, testSecret, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			v := Verifier{Secrets: tt.secrets, Now: at(signedAt)}
			if _, err := v.Open(Sign(tt.signedBy, signedAt, body), body); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

func TestOpenWithoutSecretSaysSoFirst(t *testing.T) {
	t.Parallel()
	if _, err := (Verifier{}).Open(nil, nil); !errors.Is(err, ErrNoSecret) {
		t.Error(err)
	}
}

func TestOpenAge(t *testing.T) {
	t.Parallel()
	body := fixture(t, "unknown_event.json")
	for _, tt := range []struct {
		name   string
		maxAge time.Duration
		age    time.Duration
		want   error
	}{
		{"new", 0, 0, nil},
		{"default, at the limit", 0, 300 * time.Second, nil},
		{"default, a fraction over whole seconds", 0, 300*time.Second + 999*time.Millisecond, nil},
		{"default, over it", 0, 301 * time.Second, ErrStale},
		{"ahead, at the limit", 0, -60 * time.Second, nil},
		{"ahead, over it", 0, -61 * time.Second, ErrStale},
		{"shorter limit", 10 * time.Second, 11 * time.Second, ErrStale},
		{"longer limit", time.Hour, 59 * time.Minute, nil},
		{"no check, old", -1, 1000 * time.Hour, nil},
		{"no check, ahead", -1, -1000 * time.Hour, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			v := Verifier{Secrets: []string{testSecret}, MaxAge: tt.maxAge, Now: at(signedAt.Add(tt.age))}
			if _, err := v.Open(Sign(testSecret, signedAt, body), body); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
	t.Run("clock of the machine", func(t *testing.T) {
		t.Parallel()
		v := Verifier{Secrets: []string{testSecret}}
		if _, err := v.Open(Sign(testSecret, time.Now(), body), body); err != nil {
			t.Error(err)
		}
		if _, err := v.Open(Sign(testSecret, time.Now().Add(-time.Hour), body), body); !errors.Is(err, ErrStale) {
			t.Error(err)
		}
	})
	t.Run("wrong signature and stale is a wrong signature", func(t *testing.T) {
		t.Parallel()
		v := Verifier{Secrets: []string{testSecret}, Now: at(signedAt.Add(time.Hour))}
		if _, err := v.Open(Sign("wss_other", signedAt, body), body); !errors.Is(err, ErrSignature) {
			t.Error(err)
		}
	})
	// A timestamp that overflows is signed by who holds the secret, and still too far ahead.
	for _, timestamp := range []string{"9223372036854775807", "9223372036854775808", "99999999999999999999999999"} {
		t.Run(timestamp, func(t *testing.T) {
			t.Parallel()
			v := Verifier{Secrets: []string{testSecret}, Now: at(signedAt)}
			if _, err := v.Open(signedText(timestamp, body), body); !errors.Is(err, ErrStale) {
				t.Error(err)
			}
		})
	}
}

// signedText signs with a timestamp that need not be one.
func signedText(timestamp string, body []byte) http.Header {
	h := Sign(testSecret, signedAt, body)
	h.Set(timestampHeader, timestamp)
	h.Set(signatureHeader, hexMAC(timestamp, body))
	return h
}

func TestOpenTimestampIsDigits(t *testing.T) {
	t.Parallel()
	body := fixture(t, "unknown_event.json")
	v := Verifier{Secrets: []string{testSecret}, MaxAge: -1}
	for _, timestamp := range []string{"-1784020500", "+1784020500", "1784020500.0", " 1784020500", "1784020500 ", "0x6a55f0d4", "1_784_020_500", "١٧٨٤", "1784020500,1784020501"} {
		if _, err := v.Open(signedText(timestamp, body), body); !errors.Is(err, ErrHeader) {
			t.Errorf("%q: %v", timestamp, err)
		}
	}
}

func TestOpenHeaders(t *testing.T) {
	t.Parallel()
	body := fixture(t, "unknown_event.json")
	good := Sign(testSecret, signedAt, body)
	ts, sig := good.Get(timestampHeader), good.Get(signatureHeader)
	other := strings.Repeat("0", 64)
	for _, tt := range []struct {
		name   string
		header http.Header
		want   error
	}{
		{"none", nil, ErrHeader},
		{"lower case, as gateways hand them on", http.Header{"x-extend-request-timestamp": {ts}, "x-extend-request-signature": {sig}}, nil},
		{"given twice alike", http.Header{timestampHeader: {ts, ts}, signatureHeader: {sig, sig}}, nil},
		{"given twice alike, under two spellings", http.Header{timestampHeader: {ts}, "x-extend-request-timestamp": {ts}, signatureHeader: {sig}}, nil},
		{"two signatures, the right one first", http.Header{timestampHeader: {ts}, signatureHeader: {sig, other}}, ErrHeader},
		{"two signatures, the right one last", http.Header{timestampHeader: {ts}, signatureHeader: {other, sig}}, ErrHeader},
		{"two signatures under two spellings", http.Header{timestampHeader: {ts}, signatureHeader: {sig}, "x-extend-request-signature": {other}}, ErrHeader},
		{"two timestamps", http.Header{timestampHeader: {ts, "1784020501"}, signatureHeader: {sig}}, ErrHeader},
		{"one empty, one not", http.Header{timestampHeader: {ts}, signatureHeader: {"", sig}}, ErrHeader},
		{"no values", http.Header{timestampHeader: {}, signatureHeader: {sig}}, ErrHeader},
		{"twice alike, joined by a gateway", http.Header{timestampHeader: {ts}, signatureHeader: {sig + "," + sig}}, nil},
		{"both twice alike, joined", http.Header{timestampHeader: {ts + ", " + ts}, signatureHeader: {sig + ", " + sig + ",\t" + sig}}, nil},
		{"joined, and once more", http.Header{timestampHeader: {ts}, signatureHeader: {sig + "," + sig}, "x-extend-request-signature": {sig}}, nil},
		{"joined, the right one first", http.Header{timestampHeader: {ts}, signatureHeader: {sig + "," + other}}, ErrSignature},
		{"joined, the right one last", http.Header{timestampHeader: {ts}, signatureHeader: {other + ", " + sig}}, ErrSignature},
		{"joined, neither", http.Header{timestampHeader: {ts}, signatureHeader: {other + "," + other}}, ErrSignature},
		{"joined with nothing", http.Header{timestampHeader: {ts}, signatureHeader: {sig + ","}}, ErrSignature},
		{"joined nothings", http.Header{timestampHeader: {ts}, signatureHeader: {","}}, ErrHeader},
		{"joined, in two cases", http.Header{timestampHeader: {ts}, signatureHeader: {sig + "," + strings.ToUpper(sig)}}, ErrSignature},
		{"two timestamps, joined", http.Header{timestampHeader: {ts + ",1784020501"}, signatureHeader: {sig}}, ErrHeader},
		{"space around one value", http.Header{timestampHeader: {ts}, signatureHeader: {sig + " "}}, ErrSignature},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			v := Verifier{Secrets: []string{testSecret}, Now: at(signedAt)}
			if _, err := v.Open(tt.header, body); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

func TestOpenMalformed(t *testing.T) {
	t.Parallel()
	v := Verifier{Secrets: []string{testSecret}, Now: at(signedAt)}
	for _, tt := range []struct {
		name, body string
		want       error
	}{
		{"least", `{"eventType": "x", "payload": {}}`, nil},
		{"unknown member", `{"eventId": "event_1", "eventType": "x", "payload": {}, "novelty": 1}`, nil},
		{"payload as text", `{"eventId": "event_1", "eventType": "x", "payload": "https://example.com"}`, nil},
		{"space around", " \n{\"eventType\": \"x\", \"payload\": {}}\n", nil},
		{"not JSON", `eventType=x`, ErrMalformed},
		{"nothing", ``, ErrMalformed},
		{"null", `null`, ErrMalformed},
		{"array", `[]`, ErrMalformed},
		{"trailing garbage", `{"eventType": "x", "payload": {}}{}`, ErrMalformed},
		{"cut", `{"eventType": "x", "payload": {`, ErrMalformed},
		{"no type", `{"eventId": "event_1", "payload": {}}`, ErrMalformed},
		{"empty type", `{"eventType": "", "payload": {}}`, ErrMalformed},
		{"type is a number", `{"eventType": 1, "payload": {}}`, ErrMalformed},
		{"type is a list", `{"eventType": ["x"], "payload": {}}`, ErrMalformed},
		{"id is a number", `{"eventId": 88123, "eventType": "x", "payload": {}}`, nil},
		{"after a byte order mark", "\ufeff" + `{"eventType": "x", "payload": {}}`, nil},
		{"NaN in the payload", `{"eventType": "processor_run.processed", "payload": {"n": NaN}}`, nil},
		{"NaN beside it", `{"eventId": NaN, "eventType": "processor_run.processed", "payload": {}, "novelty": -Infinity}`, nil},

		// Nobody looks into the payload of a type that is not known.
		{"test without payload", `{"eventId":"event_1","eventType":"webhook.test"}`, nil},
		{"ping with null", `{"eventId":"event_1","eventType":"webhook.ping","payload":null}`, nil},
		{"test with a text", `{"eventType":"webhook.test","payload":"hello"}`, nil},
		{"test with nothing in it", `{"eventType":"webhook.test","payload":{}}`, nil},
		{"run without payload", `{"eventId": "event_1", "eventType": "processor_run.processed"}`, ErrMalformed},
		{"run with null", `{"eventId": "event_1", "eventType": "processor_run.failed", "payload": null}`, ErrMalformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			event, err := v.Open(Sign(testSecret, signedAt, []byte(tt.body)), []byte(tt.body))
			if !errors.Is(err, tt.want) || (event != nil) != (tt.want == nil) {
				t.Errorf("%v, %v; want %v", event, err, tt.want)
			}
		})
	}
}

func TestErrorsDoNotTellTheSecret(t *testing.T) {
	t.Parallel()
	body := []byte(`{`)
	v := Verifier{Secrets: []string{testSecret}, Now: at(signedAt)}
	want := hexMAC("1784020500", []byte("other"))
	for _, h := range []http.Header{Sign(testSecret, signedAt, body), Sign("wss_other", signedAt, body), Sign(testSecret, time.Unix(1, 0), body)} {
		_, err := v.Open(h, body)
		if err == nil || strings.Contains(err.Error(), testSecret) || strings.Contains(err.Error(), want) {
			t.Error(err)
		}
	}
}

// unjoined is a value that a gateway joined with itself.
func unjoined(value string) string {
	parts := regexp.MustCompile(`[ \t]*,[ \t]*`).Split(strings.Trim(value, " \t"), -1)
	if distinct := slices.Compact(parts); len(parts) > 1 && len(distinct) == 1 {
		return distinct[0]
	}
	return value
}

// FuzzOpen changes a signed delivery in every way and holds that only the untouched one is taken for signed.
// It also signs whatever body comes up, for whoever reads the content must not fall over it either.
func FuzzOpen(f *testing.F) {
	signed := []byte(`{"eventId":"event_1","eventType":"processor_run.processed","payload":{"object":"document_processor_run","id":"dpr_1","status":"PROCESSED"}}`)
	timestamp := "1784020500"
	signature := hexMAC(timestamp, signed)
	v := Verifier{Secrets: []string{"", testSecret}, Now: at(signedAt)}

	f.Add(signed, timestamp, signature)
	f.Add(signed, timestamp, strings.ToUpper(signature))
	f.Add(signed, timestamp, " "+signature)
	f.Add(signed, timestamp, signature+"0")
	f.Add(signed, timestamp+", "+timestamp, signature+","+signature)
	f.Add(signed, timestamp, signature+","+signature[:63]+"0")
	f.Add([]byte(`{"eventType":"extract_run.processed","payload":{"id":"exr_1","metadata":{"n":1},"output":NaN}}`), timestamp, signature)
	f.Add(signed, "01784020500", signature)
	f.Add(signed, "1784020500000", signature)
	f.Add(append(signed[:len(signed):len(signed)], '\n'), timestamp, signature)
	f.Add([]byte(`{"eventType":"x","payload":{"data":"https://example.com/","status":1}}`), timestamp, signature)
	for _, name := range []string{"processor_run_failed.json", "signed_url.json", "signed_url_bare.json", "parser_run_processed.json"} {
		body := fixture(f, name)
		f.Add(body, timestamp, hexMAC(timestamp, body)[:63])
	}

	f.Fuzz(func(t *testing.T, body []byte, ts, sig string) {
		header := http.Header{timestampHeader: {ts}, signatureHeader: {sig}}
		event, err := v.Open(header, body)
		untouched := string(body) == string(signed) && unjoined(ts) == timestamp && strings.EqualFold(unjoined(sig), signature)
		// Stale and malformed are said of signed deliveries only.
		believed := err == nil || errors.Is(err, ErrStale) || errors.Is(err, ErrMalformed)
		if believed != untouched || (event != nil) != (err == nil) {
			t.Fatalf("believed %v, untouched %v: %v", believed, untouched, err)
		}

		event, err = v.Open(Sign(testSecret, signedAt, body), body)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatalf("signed, and yet %v", err)
			}
			return
		}
		if v, _ := event.OtherVersion(); v.Metadata != nil && !json.Valid(v.Metadata) {
			t.Fatalf("metadata %s", v.Metadata)
		}
		_, isPointer := event.Pointer()
		if _, err := event.Run(); err == nil && isPointer {
			t.Fatalf("both a run and a pointer: %s", event.Payload)
		}
	})
}
