package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"extend-intake/shared/event"
)

// cloud is a table and a bucket as the SDK sees them.
type cloud struct {
	t       *testing.T
	objects map[string]string
	rows    map[string]map[string]map[string]string // id → attribute → type → value
	puts    int
}

func (c *cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		if body, ok := c.objects[r.URL.Path]; ok {
			_, _ = io.WriteString(w, body)
			return
		}
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `<Error><Code>NoSuchKey</Code><Message>no</Message></Error>`)
		return
	}
	var in struct {
		TableName, ConditionExpression string
		Item                           map[string]map[string]string
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		c.t.Error(err)
	}
	if r.Header.Get("X-Amz-Target") != "DynamoDB_20120810.PutItem" || in.TableName != "received" || in.ConditionExpression != "attribute_not_exists(id)" {
		c.t.Errorf("%s %+v", r.Header.Get("X-Amz-Target"), in)
	}
	c.puts++
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	id := in.Item["id"]["S"]
	if _, ok := c.rows[id]; ok {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"__type":"com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException","message":"The conditional request failed"}`)
		return
	}
	c.rows[id] = in.Item
	_, _ = io.WriteString(w, `{}`)
}

func newConsumer(t *testing.T) (*consumer, *cloud) {
	c := &cloud{t: t, objects: make(map[string]string), rows: make(map[string]map[string]map[string]string)}
	server := httptest.NewServer(c)
	t.Cleanup(server.Close)
	cfg := aws.Config{Region: "eu-west-1", BaseEndpoint: &server.URL, HTTPClient: &http.Client{}, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "example", ""), ResponseChecksumValidation: aws.ResponseChecksumValidationWhenRequired}
	return &consumer{db: dynamodb.NewFromConfig(cfg, func(o *dynamodb.Options) { o.DisableValidateResponseChecksum = true }), table: "received",
		s3: s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true })}, c
}

func sample(t *testing.T, name string) (e events.EventBridgeEvent) {
	text, err := os.ReadFile("../../events/" + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &e); err != nil {
		t.Fatal(err)
	}
	return e
}

const invoice = "doc_4wz5k3q7vnd2hxm6ta1bpcyeu5"

func TestTakesEachEventOnce(t *testing.T) {
	t.Parallel()
	c, aws := newConsumer(t)
	large := `{"value":{"big_integer":12345678901234567890}}`
	aws.objects["/results/announced/"+invoice+".1.json"] = large
	for _, name := range []string{"event-processed-large", "event-reviewed", "event-processed-large", "event-without-upload", "event-reviewed"} {
		if err := c.handle(t.Context(), sample(t, name)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(aws.rows) != 3 || aws.puts != 5 {
		t.Errorf("%d writes, rows %v", aws.puts, aws.rows)
	}
	sum := sha256.Sum256([]byte(large))
	row := aws.rows[invoice+".1"]
	if row["sha256"]["S"] != hex.EncodeToString(sum[:]) || row["documentId"]["S"] != invoice || row["revision"]["N"] != "1" || row["bytes"]["N"] != "46" {
		t.Errorf("row %v", row)
	}
	if row := aws.rows["dpr_7kQ2mN5vR8tY1wX4zB6cD.1"]; row["bytes"]["N"] != "9" { // "invoice"
		t.Errorf("row %v", row)
	}
}

func TestWhatFailsComesAgain(t *testing.T) {
	t.Parallel()
	c, aws := newConsumer(t)
	if err := c.handle(t.Context(), sample(t, "event-processed-large")); !errors.Is(err, event.ErrOutputGone) {
		t.Errorf("a removed output: %v", err)
	}
	if err := c.handle(t.Context(), sample(t, "event-failed")); !errors.Is(err, event.ErrNoOutput) {
		t.Errorf("a failed document: %v", err)
	}
	if err := c.handle(t.Context(), events.EventBridgeEvent{Detail: []byte(`{"hello":"bus"}`)}); err == nil || !strings.Contains(err.Error(), "match the source") {
		t.Errorf("somebody else's event: %v", err)
	}
	if aws.puts > 0 {
		t.Errorf("rows %v", aws.rows)
	}
}
