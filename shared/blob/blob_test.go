package blob

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// atServer is a configuration whose every service is a server here.
func atServer(t *testing.T, h http.HandlerFunc) aws.Config {
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return aws.Config{
		Region: "eu-west-1", BaseEndpoint: &server.URL, Retryer: func() aws.Retryer { return aws.NopRetryer{} },
		Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "example", ""),
	}
}

func TestPutStoresTheBytes(t *testing.T) {
	t.Parallel()
	const content = `{"n": 1.23456789012345678901234567890123456789, "t": "<a&b>"}`
	status := http.StatusOK
	cfg := atServer(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.Method != http.MethodPut || r.URL.Path != "/results/doc_1/1-0f.json" || string(body) != content || r.Header.Get("Content-Type") != "application/json" || r.Header.Get("X-Amz-Expected-Bucket-Owner") != "123456789012" {
			t.Errorf("%s %s %s: %s", r.Method, r.URL.Path, r.Header.Get("Content-Type"), body)
		}
		w.WriteHeader(status)
	})
	results := New(s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true }), "results", "123456789012")
	at, err := results.Put(t.Context(), "doc_1/1-0f.json", []byte(content))
	if err != nil || at != "s3://results/doc_1/1-0f.json" {
		t.Errorf("%q, %v", at, err)
	}
	status = http.StatusServiceUnavailable
	if at, err := results.Put(t.Context(), "doc_1/1-0f.json", []byte(content)); err == nil || at != "" {
		t.Errorf("%q, %v: a record would point to nothing", at, err)
	}
}
