package queue

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

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

func TestRequeueSendsTheUpload(t *testing.T) {
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
	uploads := New(sqs.NewFromConfig(cfg), "https://queue.test/uploads")
	if err := uploads.Requeue(t.Context(), want); err != nil || got != want {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	status = http.StatusInternalServerError
	if err := uploads.Requeue(t.Context(), want); err == nil {
		t.Error("no error, so the document would be forgotten")
	}
}

func TestSendCleansAndLeavesOutAttributes(t *testing.T) {
	t.Parallel()
	var in struct {
		DelaySeconds      int
		MessageBody       string
		MessageAttributes map[string]struct{ DataType, StringValue string }
	}
	cfg := atServer(t, func(w http.ResponseWriter, r *http.Request) {
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			t.Error(err)
		}
		_, _ = io.WriteString(w, "{}")
	})
	err := New(sqs.NewFromConfig(cfg), "https://queue.test/dead").Send(t.Context(), Message{
		Body: "b", Delay: 90*time.Second + time.Millisecond, Attributes: map[string]string{"reason": "a\x00b\uffff\xff", "documentId": ""},
	})
	if err != nil || in.MessageBody != "b" || in.DelaySeconds != 90 || len(in.MessageAttributes) != 1 || in.MessageAttributes["reason"].StringValue != "a\uFFFDb\uFFFD\uFFFD" {
		t.Errorf("%+v, %v", in, err)
	}
}

func TestCleanCutsBetweenCharacters(t *testing.T) {
	t.Parallel()
	if got := Clean(strings.Repeat("é", 800), 1001); len(got) != 1000 || !utf8.ValidString(got) {
		t.Errorf("%d bytes", len(got))
	}
}

func TestTakesAndReplace(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"": "", "a\tb\r\nc": "a\tb\r\nc", "é 🧾 \u007f\u0085\u2028\ufdd0\ufffd\U0001fffe": "é 🧾 \u007f\u0085\u2028\ufdd0\ufffd\U0001fffe",
		"\x00a": "\ufffda", "\f": "\ufffd", "\x1f": "\ufffd", "a\ufffe": "a\ufffd", "\uffffb": "\ufffdb", "\xffa": "\ufffda", "\xed\xa0\x80": "\ufffd",
	} {
		if got := Replace(text); got != want || Takes(text) != (text == want) || !Takes(got) {
			t.Errorf("%q: taken %t, replaced %q, want %q", text, Takes(text), got, want)
		}
	}
}
