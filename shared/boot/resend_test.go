package boot

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"extend-intake/shared/document"
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

func TestResenderSendsANotice(t *testing.T) {
	t.Parallel()
	want := document.Source{Bucket: "intake-uploads", Key: "in/Rechnung 7+1 für Zürich 100%.pdf", VersionID: "v1", ETag: "e", Size: 7, Sequencer: "0A"}
	var got document.Source
	status := http.StatusOK
	cfg := atServer(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var in struct{ QueueUrl, MessageBody string }
		if err := json.Unmarshal(body, &in); err != nil || in.QueueUrl != "https://queue.test/uploads" {
			t.Errorf("%s, %v", body, err)
		}
		notices, err := document.ParseUploadEvents([]byte(in.MessageBody))
		if err != nil || len(notices) != 1 {
			t.Errorf("%v, %v", notices, err)
		} else {
			got = notices[0].Source
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "{}")
	})
	resend := Requeuer(sqs.NewFromConfig(cfg), "https://queue.test/uploads")
	if err := resend(t.Context(), want); err != nil || got != want {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	status = http.StatusInternalServerError
	if err := resend(t.Context(), want); err == nil {
		t.Error("no error, so the notice would be lost")
	}
}

func TestKeeperStoresTheBytes(t *testing.T) {
	t.Parallel()
	const content = `{"n": 1.23456789012345678901234567890123456789, "t": "<a&b>"}`
	status := http.StatusOK
	cfg := atServer(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.Method != http.MethodPut || r.URL.Path != "/results/doc_1/1-0f.json" || string(body) != content || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %s %s: %s", r.Method, r.URL.Path, r.Header.Get("Content-Type"), body)
		}
		w.WriteHeader(status)
	})
	keep := Putter(S3(cfg), "results")
	at, err := keep(t.Context(), "doc_1/1-0f.json", []byte(content))
	if err != nil || at != "s3://results/doc_1/1-0f.json" {
		t.Errorf("%q, %v", at, err)
	}
	status = http.StatusServiceUnavailable
	if at, err := keep(t.Context(), "doc_1/1-0f.json", []byte(content)); err == nil || at != "" {
		t.Errorf("%q, %v: a record would point to nothing", at, err)
	}
}
