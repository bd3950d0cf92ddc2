package webhook

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/go-cmp/cmp"

	"extend-intake/shared/document"
	"extend-intake/shared/extend"
	"extend-intake/shared/extend/webhook"
	"extend-intake/shared/ledger"
	"extend-intake/test/fixtures"
)

var update = flag.Bool("update", false, "write the golden files, and sign the webhook events of events/ anew")

// TestFixtures writes down what each of the vendor's deliveries becomes: the item
// in the table, and the answer.
func TestFixtures(t *testing.T) {
	t.Parallel()
	for _, fixture := range fixtures.Names(t, "webhook_*.json") {
		name := strings.TrimSuffix(fixture, ".json")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEndpoint(t)
			e.runs = vendorRuns(t)
			response, err := invoke(e.ctx, e.Handler, e.request(string(fixtures.Read(t, fixture))))
			if err != nil {
				t.Fatal(err)
			}
			got := e.golden(response.StatusCode, runID, "dpr_6LkPz0HvB4sQdYm8CxEt1", "workflow_run_j7YqKc1ZtWn4BmXs9RpLd")
			path := "testdata/" + name + ".golden"
			if *update {
				if err := os.WriteFile(path, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), string(got)); d != "" {
				t.Errorf("run with -update if it is meant (-want +got):\n%s", d)
			}
		})
	}
}

// vendorRuns answers every GET with the vendor's example of a run.
func vendorRuns(t *testing.T) *extend.RunService {
	t.Helper()
	example := fixtures.Read(t, "run_get_processed_extract.json")
	client, err := extend.NewClient(extend.StaticKey(apiKey), extend.WithHTTPClient(&http.Client{Transport: roundTripper(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(example))}, nil
	})}))
	if err != nil {
		t.Fatal(err)
	}
	return client.Runs
}

// golden is an answer and the items of those ids that are there, as text.
func (e *endpoint) golden(status int, ids ...string) []byte {
	e.t.Helper()
	type item = json.RawMessage
	content := struct {
		Answer int    `json:"answer"`
		Items  []item `json:"items"`
	}{Answer: status, Items: []item{}}
	for _, id := range ids {
		rec, err := e.book.Get(e.t.Context(), id)
		if errors.Is(err, ledger.ErrNotFound) {
			continue
		}
		if err != nil {
			e.t.Fatal(err)
		}
		attributes, err := attributevalue.MarshalMapWithOptions(rec, func(o *attributevalue.EncoderOptions) { o.OmitEmptyTime = true })
		if err != nil {
			e.t.Fatal(err)
		}
		if output := must(e.book.Output(e.t.Context(), id)); output != nil {
			attributes["output"] = must(ledger.EncodeOutput(output))
		}
		content.Items = append(content.Items, must(ledger.DecodeOutput(&types.AttributeValueMemberM{Value: attributes})))
	}
	if len(content.Items) != e.documents() {
		e.t.Errorf("there are %d documents, and %d of them are known", e.documents(), len(content.Items))
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(content); err != nil {
		e.t.Fatal(err)
	}
	return text.Bytes()
}

// sampleSecret is what the samples in events/ are signed with.
const sampleSecret = "wss_sample_for_events"

// sampleID is the document that the samples are about: that of events/submit-s3-put.json.
const sampleID = "doc_e4cjzs5fids3hsimhd4l7bsybx"

// samples are the files of events/ that belong to this function, and what each
// leads to when it comes in time.
var samples = map[string]struct {
	status int
	id     string // "" when nothing is stored
	state  ledger.State
	check  func(*testing.T, *endpoint)
}{
	"webhook-processed":             {200, sampleID, ledger.Processed, nil},
	"webhook-processed-base64":      {200, sampleID, ledger.Processed, nil},
	"webhook-processed-without-tag": {200, runID, ledger.Processed, nil},
	"webhook-processed-other-stack": {200, "", "", nil},
	"webhook-processed-exact-numbers": {200, sampleID, ledger.Processed, func(t *testing.T, e *endpoint) {
		item := must(ledger.EncodeOutput(must(e.book.Output(t.Context(), sampleID)))) // as it is in the table
		want := `{"value":{"beyond_float":9007199254740993,"big":12345678901234567890,"decimal":0.1000,"empty":"","escaped":"café / tab\t","markup":"<a&b>","small":15E-8}}`
		if got := string(must(ledger.DecodeOutput(item))); got != want {
			t.Errorf("output %s\nwant   %s", got, want)
		}
	}},
	"webhook-processed-too-many-digits": {200, sampleID, ledger.Processed, func(t *testing.T, e *endpoint) {
		if stored := slices.Collect(maps.Values(e.stored)); !slices.Equal(stored, []string{`{"value": {"pi": 3.1415926535897932384626433832795028841971}}`}) {
			t.Errorf("stored %q", stored)
		}
	}},
	"webhook-failed-curable": {200, sampleID, ledger.Waiting, func(t *testing.T, e *endpoint) {
		if len(e.requeued) == 0 || e.requeued[0].Key != "invoices/Invoice 42+7 für Zürich.pdf" {
			t.Errorf("requeued %v", e.requeued)
		}
	}},
	"webhook-failed-for-good":       {200, sampleID, ledger.Failed, nil},
	"webhook-pointer":               {200, runID, ledger.Processed, nil}, // Extend's answer decides, and its run has no tag
	"webhook-pointer-without-id":    {500, "", "", nil},
	"webhook-unknown-event-type":    {200, "", "", nil},
	"webhook-workflow-needs-review": {200, sampleID, ledger.NeedsReview, nil},
	"webhook-workflow-rejected":     {200, sampleID, ledger.Rejected, nil},
	"webhook-workflow-completed": {200, sampleID, ledger.Processed, func(t *testing.T, e *endpoint) {
		if output := string(must(e.book.Output(t.Context(), sampleID))); !strings.Contains(output, `"total":12345678901234567890.10`) {
			t.Errorf("output %s", output)
		}
	}},
	"webhook-not-an-event": {400, "", "", nil},
	"webhook-forged":       {401, "", "", nil},
	"webhook-unsigned":     {401, "", "", nil},
}

func TestSampleEvents(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../events/webhook-*.json")
	if err != nil {
		t.Fatal(err)
	}
	var there []string
	for _, f := range files {
		there = append(there, strings.TrimSuffix(filepath.Base(f), ".json"))
	}
	slices.Sort(there)
	if d := cmp.Diff(slices.Sorted(maps.Keys(samples)), there); d != "" {
		t.Errorf("files in events/ (-in the table +there):\n%s", d)
	}
	for name, want := range samples {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := "../../events/" + name + ".json"
			if *update && want.status != http.StatusUnauthorized {
				sign(t, path)
			}
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var r events.APIGatewayV2HTTPRequest
			if err := json.Unmarshal(text, &r); err != nil {
				t.Fatal(err)
			}
			e := newEndpoint(t)
			e.secrets = func(context.Context, bool) ([]string, error) { return []string{sampleSecret}, nil } // as a real one it is refused
			e.runs = vendorRuns(t)
			e.recorder.Stack = "123456789012/eu-west-1/extend-intake"
			e.clock.at = time.UnixMilli(r.RequestContext.TimeEpoch)
			if name == "webhook-failed-curable" { // it is retried where its document is known
				if _, err := e.book.Apply(t.Context(), sampleID, ledger.Claim{Source: sampleSource(t, r), Route: "default"}); err != nil {
					t.Fatal(err)
				}
			}
			for range 2 { // what is delivered twice is stored once
				e.answer(r, want.status)
			}
			if want.id == "" {
				e.wantNothingStored()
			} else if rec := e.record(want.id); rec.State != want.state || e.documents() != 1 || rec.Revision > 1 {
				t.Errorf("record %+v", rec)
			}
			if want.check != nil {
				want.check(t, e)
			}
			// What `sam local invoke` shows of the file as it is.
			e.clock.advance(24 * time.Hour)
			e.answer(r, http.StatusUnauthorized)
		})
	}
}

// bodyOf is the body's bytes as they were signed.
func bodyOf(t *testing.T, r events.APIGatewayV2HTTPRequest) []byte {
	t.Helper()
	if !r.IsBase64Encoded {
		return []byte(r.Body)
	}
	body, err := base64.StdEncoding.DecodeString(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// sampleSource is the upload that a sample is about.
func sampleSource(t *testing.T, r events.APIGatewayV2HTTPRequest) document.Source {
	t.Helper()
	var delivery struct {
		Payload struct {
			Metadata json.RawMessage `json:"metadata"`
		} `json:"payload"`
	}
	if err := json.Unmarshal(bodyOf(t, r), &delivery); err != nil {
		t.Fatal(err)
	}
	tag, err := document.ParseTag(delivery.Payload.Metadata)
	if err != nil {
		t.Fatal(err)
	}
	return tag.Source()
}

// sign signs the sample in a file, at the time that it says it came.
func sign(t *testing.T, path string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var r events.APIGatewayV2HTTPRequest
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	body := bodyOf(t, r)
	headers := webhook.Sign(sampleSecret, time.UnixMilli(r.RequestContext.TimeEpoch), body)
	headers.Set("Content-Length", strconv.Itoa(len(body)))
	var generic map[string]any
	if err := json.Unmarshal(text, &generic); err != nil {
		t.Fatal(err)
	}
	for name, values := range headers {
		generic["headers"].(map[string]any)[strings.ToLower(name)] = values[0]
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(generic); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}
