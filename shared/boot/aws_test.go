package boot

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// The SDK makes its HTTP client when it is first needed, or when a bundle of
// certificates is given: both ways end in one that works.
func TestAWSMakesCalls(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(`{"QueueUrl":"q"}`))
	}))
	t.Cleanup(server.Close)
	for name, value := range map[string]string{
		"AWS_CA_BUNDLE": "", "AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
		"AWS_ENDPOINT_URL": server.URL, "AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null", "AWS_EC2_METADATA_DISABLED": "true",
	} {
		t.Setenv(name, value)
	}
	cfg, err := AWS(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	name := "uploads"
	out, err := sqs.NewFromConfig(cfg).GetQueueUrl(t.Context(), &sqs.GetQueueUrlInput{QueueName: &name})
	if err != nil || *out.QueueUrl != "q" {
		t.Errorf("%v, %v", out, err)
	}
}
