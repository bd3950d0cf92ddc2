package acceptance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"extend-intake/dev/fakeextend"
	"extend-intake/shared/document"
	"extend-intake/shared/extend/webhook"
	"extend-intake/shared/ledger"
)

func TestUploads(t *testing.T) {
	t.Parallel()
	s := theStack(t)
	for _, key := range []string{
		"invoice.pdf",
		"an invoice 42.pdf",
		"inbox/2026 11/a+b +.pdf",
		"100%.pdf",
		"a%2Bb.pdf",
		"a%20b%.pdf",
		"Zürich/Übersicht – 納品書 🧾.pdf",
		"no-extension",
		"brackets [1] (2) {3} & = ; : , @ $ ' ! ~.pdf",
		"..two dots//and slashes/x.tar.gz",
	} {
		t.Run(key, func(t *testing.T) {
			t.Parallel()
			content := []byte("%PDF-1.4 " + key)
			src := s.put(t, key, content)
			rec := s.ended(t, src, ledger.Processed)
			if rec.Key != key || rec.VersionID != src.VersionID || rec.Size != src.Size || rec.Attempt != 1 || rec.Revision != 1 || len(rec.Runs) != 0 {
				t.Errorf("record = %+v", rec)
			}
			output, err := s.Ledger.Output(t.Context(), rec.DocumentID)
			if err != nil {
				t.Fatal(err)
			}
			var got struct {
				Value struct {
					SHA256 string `json:"sha256"`
					Exact  struct {
						BigInteger  json.Number `json:"big_integer"`
						BeyondFloat json.Number `json:"beyond_float"`
					} `json:"exact"`
				} `json:"value"`
			}
			if err := json.Unmarshal(output, &got); err != nil {
				t.Fatal(err)
			}
			if got.Value.SHA256 != hexSum(content) {
				t.Errorf("sha256 = %s, want that of the uploaded bytes, %s", got.Value.SHA256, hexSum(content))
			}
			if got.Value.Exact.BigInteger != "12345678901234567890" || got.Value.Exact.BeyondFloat != "9007199254740993" {
				t.Errorf("numbers lost digits: %+v", got.Value.Exact)
			}
			runs := s.runs(src)
			if len(runs) != 1 || runs[0].ID != rec.RunID || runs[0].Fetches != 1 {
				t.Errorf("runs = %+v, want one, fetched once", runs)
			}
		})
	}
}

func TestFolderMarkerIsNoDocument(t *testing.T) {
	t.Parallel()
	s := theStack(t)
	marker := s.put(t, "a folder/", nil)
	after := s.put(t, "a folder/file.pdf", []byte("%PDF-1.4 in a folder"))
	s.ended(t, after, ledger.Processed)
	s.drained(t)
	if item := s.item(t, marker); len(item) != 0 {
		t.Errorf("the table has an item of it: %v", item)
	}
	if runs := s.runs(marker); len(runs) != 0 {
		t.Errorf("there were runs of it: %+v", runs)
	}
}

func TestVersionsAreDocuments(t *testing.T) {
	t.Parallel()
	s := theStack(t)
	first := s.put(t, "versions.pdf", []byte("%PDF-1.4 first"))
	second := s.put(t, "versions.pdf", []byte("%PDF-1.4 second"))
	for src, content := range map[document.Source]string{first: "%PDF-1.4 first", second: "%PDF-1.4 second"} {
		rec := s.ended(t, src, ledger.Processed)
		if run, ok := s.Fake.Run(rec.RunID); !ok || run.FetchedSHA256 != hexSum([]byte(content)) {
			t.Errorf("version %s: run %+v, want %q fetched", src.VersionID, run, content)
		}
	}
	newest, err := s.Ledger.Newest(t.Context(), first.Object())
	if err != nil {
		t.Fatal(err)
	}
	if newest.VersionID != second.VersionID {
		t.Errorf("the newest version is %s, want the second upload, %s", newest.VersionID, second.VersionID)
	}
}

func TestSameUploadAgain(t *testing.T) {
	t.Parallel()
	s := theStack(t)
	src := s.put(t, "several upload events.pdf", []byte("%PDF-1.4 more than once"))
	for range 5 { // while the first upload event is being handled
		s.send(t, uploadEvent(src))
	}
	s.ended(t, src, ledger.Processed)
	s.drained(t)
	before := s.item(t, src)
	s.send(t, uploadEvent(src)) // and long after the end
	s.drained(t)
	if diff := diffItems(before, s.item(t, src)); diff != "" {
		t.Errorf("a repeated upload event changed the record (-before +after):\n%s", diff)
	}
	if runs := s.runs(src); len(runs) != 1 {
		t.Errorf("%d runs, want 1: each is paid", len(runs))
	}
}

func TestSameDeliveryAgain(t *testing.T) {
	t.Parallel()
	s := theStack(t)
	src := s.put(t, "delivered more than once.pdf", []byte("%PDF-1.4 delivered more than once"))
	rec := s.ended(t, src, ledger.Processed)
	before := s.item(t, src)
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			status, err := s.Fake.Redeliver(t.Context(), rec.RunID)
			if status != http.StatusOK || err != nil {
				t.Errorf("answer %d, %v, want 200: Extend would send it again", status, err)
			}
		})
	}
	wg.Wait()
	if diff := diffItems(before, s.item(t, src)); diff != "" {
		t.Errorf("a repeated delivery changed the record (-before +after):\n%s", diff)
	}
}

func TestDeliveriesThatAreNotBelieved(t *testing.T) {
	t.Parallel()
	s := theStack(t)
	src := s.put(t, "forged.pdf", []byte("%PDF-1.4 to be forged"))
	rec := s.ended(t, src, ledger.Processed)
	before := s.item(t, src)
	// What Extend would send of this run, with another content.
	delivery := func() fakeextend.Try {
		run, _ := s.Fake.Run(rec.RunID)
		return run.Deliveries[0].Tries[0]
	}
	s.eventually(t, "the delivery is noted", func() (bool, error) {
		run, _ := s.Fake.Run(rec.RunID)
		return len(run.Deliveries) == 1 && len(run.Deliveries[0].Tries) > 0, nil
	})
	forged := bytes.ReplaceAll(delivery().Body, []byte(hexSum([]byte("%PDF-1.4 to be forged"))), []byte(hexSum(nil)))
	if bytes.Equal(forged, delivery().Body) {
		t.Fatal("the delivery does not have the content that this test forges")
	}
	now := time.Now()
	for _, c := range []struct {
		name   string
		header http.Header
		body   []byte
		want   int
	}{
		{"no signature", http.Header{}, forged, 401},
		{"the signature of another body", delivery().Header, forged, 401},
		{"signed with another secret", webhook.Sign("wss_another", now, forged), forged, 401},
		{"signed with no secret", webhook.Sign("", now, forged), forged, 401},
		{"signed five minutes ago", webhook.Sign(s.WebhookSecret, now.Add(-301*time.Second), forged), forged, 401},
		{"signed in the future", webhook.Sign(s.WebhookSecret, now.Add(2*time.Minute), forged), forged, 401},
		{"signed, empty", webhook.Sign(s.WebhookSecret, now, nil), nil, 400},
		{"signed, not JSON", webhook.Sign(s.WebhookSecret, now, []byte("hello")), []byte("hello"), 400},
		{"signed, of an unknown type", webhook.Sign(s.WebhookSecret, now, []byte(`{"eventId":"e","eventType":"x.y","payload":{}}`)), []byte(`{"eventId":"e","eventType":"x.y","payload":{}}`), 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, answer := s.deliver(t, c.header, c.body)
			if status != c.want {
				t.Errorf("answer %d %q, want %d", status, answer, c.want)
			}
			if want := http.StatusText(c.want) + "\n"; answer != want {
				t.Errorf("answer %q, want %q: a stranger learns nothing", answer, want)
			}
			if diff := diffItems(before, s.item(t, src)); diff != "" {
				t.Errorf("the record changed (-before +after):\n%s", diff)
			}
		})
	}
}

func TestWhatIsNoUploadEventIsDeadLettered(t *testing.T) {
	t.Parallel()
	s := theStack(t)
	bodies := map[string]bool{
		"hello, queue": true,
		`{"Records":[{"eventSource":"aws:s3","eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"b"},"object":{"key":"%zz","eTag":"e","size":1}}}]}`: true,
	}
	missing := maps.Clone(bodies)
	for body := range bodies {
		s.send(t, body)
	}
	deadLetters := s.Outputs["DeadLetterQueueUrl"]
	s.eventually(t, "all are in the dead-letter queue", func() (bool, error) {
		got, err := s.SQS.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &deadLetters, MaxNumberOfMessages: 10, MessageAttributeNames: []string{"All"}})
		if err != nil {
			return false, err
		}
		for _, m := range got.Messages {
			if !bodies[*m.Body] {
				t.Errorf("this is in the dead-letter queue as well: %s", *m.Body)
			}
			if reason := aws.ToString(m.MessageAttributes["reason"].StringValue); !strings.Contains(reason, "not an upload") {
				t.Errorf("%s: reason = %q", *m.Body, reason)
			}
			delete(missing, *m.Body) // it can be there twice: AWS's client sends again what got no answer
			if _, err := s.SQS.DeleteMessage(t.Context(), &sqs.DeleteMessageInput{QueueUrl: &deadLetters, ReceiptHandle: m.ReceiptHandle}); err != nil {
				return false, err
			}
		}
		return len(missing) == 0, fmt.Errorf("%d are missing", len(missing))
	})
}

func TestFileThatExtendRefuses(t *testing.T) {
	t.Parallel()
	s := theStack(t)
	src := s.put(t, "too large.pdf", make([]byte, maxTestFile+1))
	rec := s.ended(t, src, ledger.Failed)
	if rec.FailureReason == "" || rec.Revision != 1 {
		t.Errorf("record = %+v, want the reason", rec)
	}
}

func TestLargeOutputGoesToTheResultsBucket(t *testing.T) {
	t.Parallel()
	s := theStack(t)
	src := s.put(t, "huge.pdf", []byte("%PDF-1.4 huge"))
	rec := s.ended(t, src, ledger.Processed)
	if _, inline := s.item(t, src)["output"]; inline {
		t.Error("it is in the table as well")
	}
	bucket := s.Outputs["ResultsBucketName"]
	key, ok := strings.CutPrefix(rec.OutputLocation, "s3://"+bucket+"/")
	if !ok {
		t.Fatalf("outputLocation = %q, want it in %s", rec.OutputLocation, bucket)
	}
	object, err := s.S3.GetObject(t.Context(), &s3.GetObjectInput{Bucket: &bucket, Key: &key})
	if err != nil {
		t.Fatal(err)
	}
	defer object.Body.Close()
	got, err := io.ReadAll(object.Body)
	if err != nil {
		t.Fatal(err)
	}
	if run, _ := s.Fake.Run(rec.RunID); !bytes.Equal(got, run.Output) {
		t.Errorf("%d bytes are stored, %d were sent; every byte has to be the same", len(got), len(run.Output))
	}
}
