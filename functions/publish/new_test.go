package publish

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"extend-intake/shared/event/eventtest"
	"extend-intake/shared/ledger"
)

// cloud is EventBridge, S3 and SQS as the SDK sees them.
type cloud struct {
	t *testing.T
	// busAnswer is the answer to a DescribeEventBus: a status and an error's name.
	busStatus int
	busError  string
	// fail is the ErrorCode for a document, taken once each time.
	fail map[string][]string

	mu          sync.Mutex
	puts        [][]string // the documents in each PutEvents
	objects     map[string]string
	deadLetters []map[string]any
}

func (c *cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		c.t.Error(err)
	}
	if r.Method == http.MethodPut { // S3 is the one without a target
		c.objects[r.URL.Path] = string(body)
		return
	}
	target := r.Header.Get("X-Amz-Target")
	service := map[string]string{"AWSEvents": "events", "AmazonSQS": "sqs"}[strings.Split(target, ".")[0]]
	wantType := map[string]string{"events": "application/x-amz-json-1.1", "sqs": "application/x-amz-json-1.0"}[service]
	if got := r.Header.Get("Content-Type"); got != wantType || r.Method != http.MethodPost || r.URL.Path != "/" {
		c.t.Errorf("%s %s %s: Content-Type %q, want %q", r.Method, r.URL.Path, target, got, wantType)
	}
	if got := r.Header.Get("Authorization"); !strings.HasPrefix(got, "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/") || !strings.Contains(got, "/eu-west-1/"+service+"/aws4_request") {
		c.t.Errorf("%s: Authorization %q", target, got)
	}
	w.Header().Set("Content-Type", wantType)
	switch target {
	case "AWSEvents.DescribeEventBus":
		if string(body) != `{"Name":"intake"}` {
			c.t.Errorf("DescribeEventBus %s", body)
		}
		if c.busStatus != 0 {
			w.WriteHeader(c.busStatus)
			fmt.Fprintf(w, `{"__type":%q,"message":"Event bus intake does not exist."}`, c.busError)
			return
		}
		_, _ = io.WriteString(w, `{"Arn":"arn:aws:events:eu-west-1:123456789012:event-bus/intake","Name":"intake"}`)
	case "AWSEvents.PutEvents":
		_, _ = io.WriteString(w, c.put(body))
	case "AmazonSQS.SendMessage":
		var in map[string]any
		if err := json.Unmarshal(body, &in); err != nil {
			c.t.Error(err)
		}
		c.deadLetters = append(c.deadLetters, in)
		_, _ = io.WriteString(w, `{"MessageId":"1"}`)
	default:
		c.t.Errorf("unexpected call of %s", target)
	}
}

// put answers as EventBridge does: 200, and what failed is in the body.
func (c *cloud) put(body []byte) string {
	var in struct {
		Entries []struct {
			Source, DetailType, Detail, EventBusName string
			Time                                     json.Number
		}
	}
	if err := json.Unmarshal(body, &in); err != nil {
		c.t.Error(err)
	}
	var documents, results []string
	failed := 0
	for _, e := range in.Entries {
		var d struct{ DocumentID string }
		if err := json.Unmarshal([]byte(e.Detail), &d); err != nil {
			c.t.Error(err)
		}
		documents = append(documents, d.DocumentID)
		if e.EventBusName != "intake" || e.Time != "1784020541.25" && e.Time != "1.78402054125E9" {
			c.t.Errorf("%s: bus %q, time %s", d.DocumentID, e.EventBusName, e.Time)
		}
		if err := eventtest.CheckPublished(e.Source, e.DetailType, []byte(e.Detail)); err != nil {
			c.t.Errorf("%s: %v", d.DocumentID, err)
		}
		if codes := c.fail[d.DocumentID]; len(codes) > 0 {
			c.fail[d.DocumentID] = codes[1:]
			failed++
			results = append(results, fmt.Sprintf(`{"ErrorCode":%q,"ErrorMessage":"because"}`, codes[0]))
			continue
		}
		results = append(results, `{"EventId":"11710aed-b79e-4468-a20b-bb3c0c3b4860"}`)
	}
	c.puts = append(c.puts, documents)
	return fmt.Sprintf(`{"FailedEntryCount":%d,"Entries":[%s]}`, failed, strings.Join(results, ","))
}

// environment is what the template gives the function, with AWS at this address.
func environment(url string) func(string) string {
	env := map[string]string{
		"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "example", "AWS_ENDPOINT_URL": url,
		"EVENT_BUS_NAME": "intake", "RESULTS_BUCKET": "results", "DEAD_LETTER_QUEUE_URL": url + "/123456789012/dead",
	}
	return func(name string) string { return env[name] }
}

// The function as it is deployed: partial failures, a large output and a poison record
// on the wire.
func TestOnTheWire(t *testing.T) {
	c := &cloud{t: t, objects: make(map[string]string), fail: map[string][]string{
		"doc_01": {"ThrottlingException", "InternalFailure"},
		"doc_03": {"MalformedDetail"},
	}}
	server := httptest.NewServer(c)
	defer server.Close()
	handle, err := New(t.Context(), environment(server.URL))
	if err != nil {
		t.Fatal(err)
	}
	records := many(5)
	records[2] = record(2, nil, processed.of("doc_02").with(item{"output": num("12345678901234567890")}))
	records = append(records, record(5, nil, processed.of("doc_\u0001bad").with(item{"state": str("ARCHIVED")})))
	input, err := json.Marshal(map[string]any{"Records": records})
	if err != nil {
		t.Fatal(err)
	}
	answer, err := handle(t.Context(), input)
	if err != nil || len(answer.BatchItemFailures) > 0 {
		t.Fatalf("%+v, %v", answer, err)
	}
	if d := cmp.Diff([][]string{{"doc_00", "doc_01", "doc_02", "doc_03", "doc_04"}, {"doc_01"}, {"doc_01"}}, c.puts); d != "" {
		t.Errorf("requests (-want +got):\n%s", d)
	}
	if d := cmp.Diff(map[string]string{"/results/announced/doc_02.1.json": "12345678901234567890"}, c.objects); d != "" {
		t.Errorf("results bucket (-want +got):\n%s", d)
	}
	if len(c.deadLetters) != 2 {
		t.Fatalf("dead letters %v", c.deadLetters)
	}
	attribute := func(value string) map[string]any { return map[string]any{"DataType": "String", "StringValue": value} }
	want := map[string]any{
		"reason":     attribute("the event bus refuses the event: MalformedDetail: because"),
		"documentId": attribute("doc_03"), "revision": attribute("1"), "sequenceNumber": attribute("3"),
	}
	if d := cmp.Diff(want, c.deadLetters[0]["MessageAttributes"]); d != "" || c.deadLetters[0]["QueueUrl"] != server.URL+"/123456789012/dead" {
		t.Errorf("queue %v, attributes (-want +got):\n%s", c.deadLetters[0]["QueueUrl"], d)
	}
	if got := c.deadLetters[1]["MessageAttributes"].(map[string]any)["documentId"]; !cmp.Equal(got, any(attribute("doc_\uFFFDbad"))) {
		t.Errorf("SQS would refuse %v", got)
	}

	// What stays failed is named.
	c.fail["doc_01"] = slices.Repeat([]string{"ThrottlingException"}, maxTries)
	answer, err = handle(t.Context(), input)
	if err != nil || len(answer.BatchItemFailures) != 1 || answer.BatchItemFailures[0].ItemIdentifier != "1" {
		t.Errorf("%+v, %v", answer, err)
	}
}

func TestHandlerWithoutItsPartsIsRefused(t *testing.T) {
	t.Parallel()
	_, err := NewHandler(Config{EventBus: "intake"}, Parts{})
	for _, part := range []string{"Bus", "Put", "SendDeadLetter"} {
		if err == nil || !strings.Contains(err.Error(), part+" is missing") {
			t.Errorf("%v: does not name %s", err, part)
		}
	}
}

func TestBusIsCheckedAtTheStart(t *testing.T) {
	for _, tt := range []struct {
		status int
		name   string
		want   string
	}{
		{400, "ResourceNotFoundException", "parameter EventBusName"},
		{400, "AccessDeniedException", ""}, // not knowing is no reason to publish nothing
		{500, "InternalException", ""},
	} {
		server := httptest.NewServer(&cloud{t: t, busStatus: tt.status, busError: tt.name})
		_, err := New(t.Context(), environment(server.URL))
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
		server.Close()
	}
}

func TestConfigNamesEveryErrorAtOnce(t *testing.T) {
	t.Parallel()
	_, err := New(t.Context(), func(string) string { return "" })
	if err == nil || strings.Count(err.Error(), "is missing") != 3 {
		t.Errorf("%v", err)
	}
}

// The event source must let through what is to be published, and also what this
// version does not know, but none of the states in between and none that is never
// announced: each of those would be an invocation for nothing.
func TestEventSourceFilter(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var template struct {
		Resources map[string]struct {
			Properties struct {
				Events map[string]struct {
					Properties struct {
						FilterCriteria struct {
							Filters []struct {
								Pattern string `yaml:"Pattern"`
							} `yaml:"Filters"`
						} `yaml:"FilterCriteria"`
					} `yaml:"Properties"`
				} `yaml:"Events"`
			} `yaml:"Properties"`
		} `yaml:"Resources"`
	}
	if err := yaml.Unmarshal(text, &template); err != nil {
		t.Fatal(err)
	}
	filters := template.Resources["PublishFunction"].Properties.Events["Changes"].Properties.FilterCriteria.Filters
	if len(filters) != 1 {
		t.Fatalf("filters %v", filters)
	}
	var pattern any
	if err := json.Unmarshal([]byte(filters[0].Pattern), &pattern); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"dynamodb": map[string]any{"NewImage": map[string]any{"state": map[string]any{"S": []any{
		map[string]any{"anything-but": []any{string(ledger.Waiting), string(ledger.Submitting), string(ledger.Unconfirmed), string(ledger.Processing), string(ledger.Skipped)}},
	}}}}}
	if d := cmp.Diff(want, pattern); d != "" {
		t.Errorf("pattern (-want +got):\n%s", d)
	}
}
