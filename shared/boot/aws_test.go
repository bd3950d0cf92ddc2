package boot

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

func TestAWSMakesCalls(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("Authorization"); !strings.Contains(got, "Credential=AKIDEXAMPLE/") || !strings.Contains(got, "/eu-west-1/sqs/") || r.Header.Get("X-Amz-Security-Token") != "session" {
			t.Errorf("Authorization %q", got)
		}
		_, _ = w.Write([]byte(`{"QueueUrl":"q"}`))
	}))
	defer server.Close()
	env := map[string]string{
		"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "example", "AWS_SESSION_TOKEN": "session",
		"AWS_ENDPOINT_URL": server.URL,
	}
	cfg, err := AWS(func(name string) string { return env[name] })
	if err != nil {
		t.Fatal(err)
	}
	name := "uploads"
	out, err := sqs.NewFromConfig(cfg).GetQueueUrl(t.Context(), &sqs.GetQueueUrlInput{QueueName: &name})
	if err != nil || *out.QueueUrl != "q" {
		t.Errorf("%v, %v", out, err)
	}
}

func TestAWSNamesWhatIsMissing(t *testing.T) {
	t.Parallel()
	_, err := AWS(func(string) string { return "" })
	for _, name := range []string{"AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} {
		if err == nil || !strings.Contains(err.Error(), name+" is missing") {
			t.Errorf("%v, want it to name %s", err, name)
		}
	}
}
