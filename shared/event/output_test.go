package event_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"extend-intake/shared/event"
)

// bucket is S3 as the SDK sees it. Paths that are not in it are answered with status.
type bucket struct {
	objects map[string]string
	status  int
	code    string
}

func (b bucket) client(t *testing.T) *s3.Client {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if body, ok := b.objects[r.URL.Path]; ok && r.Method == http.MethodGet {
			_, _ = io.WriteString(w, body)
			return
		}
		w.WriteHeader(b.status)
		_, _ = io.WriteString(w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>`+b.code+`</Code><Message>no</Message></Error>`)
	}))
	t.Cleanup(server.Close)
	return s3.New(s3.Options{
		Region: "eu-west-1", BaseEndpoint: &server.URL, UsePathStyle: true, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "example", ""), HTTPClient: &http.Client{},
		ResponseChecksumValidation: aws.ResponseChecksumValidationWhenRequired,
	})
}

func TestReadOutput(t *testing.T) {
	t.Parallel()
	client := bucket{objects: map[string]string{"/results/announced/doc_ü b.1.json": `{"n": 12345678901234567890}`}, status: 404, code: "NoSuchKey"}.client(t)
	for _, c := range []struct {
		name   string
		detail string
		want   string
		is     error
		says   string
	}{
		{"inline", `"state":"PROCESSED","output":{"a" : 0.10}`, `{"a" : 0.10}`, nil, ""},
		{"null", `"state":"PROCESSED","output":null`, `null`, nil, ""},
		{"large", `"state":"PROCESSED","outputLocation":"s3://results/announced/doc_ü b.1.json"`, `{"n": 12345678901234567890}`, nil, ""},
		{"removed", `"state":"PROCESSED","outputLocation":"s3://results/gone.json"`, "", event.ErrOutputGone, "restore an earlier version"},
		{"none", `"state":"FAILED"`, "", event.ErrNoOutput, "is FAILED"},
		{"elsewhere", `"state":"PROCESSED","outputLocation":"https://results/x"`, "", nil, "not s3://bucket/key"},
		{"nowhere", `"state":"PROCESSED","outputLocation":"s3://results/"`, "", nil, "not s3://bucket/key"},
	} {
		d, err := event.Parse([]byte(`{"schemaVersion":1,"id":"doc_a.1",` + c.detail + `}`))
		if err != nil {
			t.Fatal(err)
		}
		got, err := d.ReadOutput(t.Context(), client)
		if string(got) != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%s: %s, %v, want %s", c.name, got, err, c.want)
		}
		if c.is != nil && !errors.Is(err, c.is) || err != nil && (!strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "doc_a.1")) {
			t.Errorf("%s: %v, want %q of doc_a.1", c.name, err, c.says)
		}
	}
}

func TestReadOutputThatIsRefused(t *testing.T) {
	t.Parallel()
	d := event.Detail{ID: "doc_a.1", OutputLocation: "s3://results/x"}
	for code, want := range map[string]string{"AccessDenied": "allow this role s3:GetObject", "SlowDown": "SlowDown"} {
		_, err := d.ReadOutput(t.Context(), bucket{status: 403, code: code}.client(t))
		if err == nil || !strings.Contains(err.Error(), want) || errors.Is(err, event.ErrOutputGone) {
			t.Errorf("%s: %v", code, err)
		}
	}
}
