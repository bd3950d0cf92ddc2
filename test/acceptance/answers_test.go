package acceptance

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"extend-intake/dev/fakeextend"
	"extend-intake/shared/document"
	"extend-intake/shared/extend/webhook"
	"extend-intake/shared/ledger"
	"extend-intake/shared/metric"
)

// A router that does not find Extend for a moment says nothing about the document.
func TestRoutersAnswerIsNoRefusal(t *testing.T) {
	t.Parallel()
	s := theStack(t)
	src := s.put(t, routersAnswer+".pdf", []byte("a file whose first POST does not get to Extend"))
	rec := s.ended(t, src, ledger.Waiting)
	if rec.RunID != "" || rec.Failures != 1 || !strings.HasPrefix(rec.Reason, "404") || !strings.HasSuffix(rec.Reason, "not the API's") || rec.NextCheckAt.IsZero() {
		t.Errorf("record = %+v, want it to wait after one failure", rec)
	}
	if runs := s.runs(src); len(runs) != 0 {
		t.Errorf("there are runs already: %+v", runs)
	}
	rec = s.ended(t, src, ledger.Processed)
	if runs := s.runs(src); len(runs) != 1 || runs[0].ID != rec.RunID || rec.Attempt != 1 || rec.Failures != 0 {
		t.Errorf("%d runs, record = %+v; want one run, and the failure forgotten", len(runs), rec)
	}
	posts := s.Fake.PostsOf(document.Token(src.DocumentID(), 1))
	var answers []int
	for _, p := range posts {
		answers = append(answers, p.Status)
	}
	if fmt.Sprint(answers) != "[404 200]" {
		t.Errorf("the POSTs were answered %v, want [404 200]", answers)
	}
	s.countsAre(t, src, map[string]float64{"Submitted": 1, "UnexpectedAnswers": 1, "Processed": 1, "Credits": 1.5})
	if line := s.lineWith(t, src, metric.UnexpectedAnswers); line["state"] != "WAITING" || !strings.Contains(fmt.Sprint(line["error"]), "404") {
		t.Errorf("it is logged as %v", line)
	}
}

// finish lets a run end that does not end by itself, once its document knows it.
func (s *deployment) finish(t *testing.T, src document.Source) (runID string) {
	t.Helper()
	rec := s.ended(t, src, ledger.Processing)
	if err := s.Fake.FinishRun(rec.RunID); err != nil {
		t.Fatal(err)
	}
	return rec.RunID
}

// tries waits until the one delivery of a run was tried so often.
func (s *deployment) tries(t *testing.T, runID string, n int) []fakeextend.Try {
	t.Helper()
	var tries []fakeextend.Try
	s.eventually(t, fmt.Sprintf("%d tries to deliver %s", n, runID), func() (bool, error) {
		run, _ := s.Fake.Run(runID)
		if len(run.Deliveries) != 1 {
			return false, fmt.Errorf("%d deliveries", len(run.Deliveries))
		}
		tries = run.Deliveries[0].Tries
		return len(tries) >= n, fmt.Errorf("%d tries", len(tries))
	})
	return tries
}

// A delivery that is signed, and no JSON where the output is: it can't be stored and must
// not be lost.
func TestUnreadableDeliveryIsKept(t *testing.T) {
	t.Parallel()
	s := theStack(t)
	src := s.put(t, notANumber+".pdf", []byte("a file whose output has NaN in it"))
	runID := s.finish(t, src)
	tries := s.tries(t, runID, 3) // Extend repeats what is not answered with 200
	for _, try := range tries {
		if try.Status != http.StatusBadRequest || !bytes.Contains(try.Body, []byte("NaN")) {
			t.Errorf("a try was answered %d: %.300s", try.Status, try.Body)
		}
	}
	rec, err := s.Ledger.Get(t.Context(), src.DocumentID())
	if err != nil {
		t.Fatal(err)
	}
	item := s.item(t, src)
	if rec.State != ledger.Processing || rec.OutputRunID != "" || rec.Revision != 0 || item["output"] != nil || item["outputLocation"] != nil {
		t.Errorf("something of it is stored: %v", item)
	}
	if rec.Reason != "a delivery of Extend can't be read" {
		t.Errorf("reason = %q", rec.Reason)
	}
	bucket := s.Outputs["ResultsBucketName"]
	key, ok := strings.CutPrefix(rec.UnreadableLocation, "s3://"+bucket+"/")
	if !ok || !strings.HasPrefix(key, "unreadable/") {
		t.Fatalf("unreadableLocation = %q, want it under unreadable/ in %s", rec.UnreadableLocation, bucket)
	}
	kept := func() []byte {
		object, err := s.S3.GetObject(t.Context(), &s3.GetObjectInput{Bucket: &bucket, Key: &key})
		if err != nil {
			t.Fatal(err)
		}
		defer object.Body.Close()
		body, err := io.ReadAll(object.Body)
		if err != nil {
			t.Fatal(err)
		}
		return body
	}
	if body := kept(); !bytes.Equal(body, tries[len(tries)-1].Body) {
		t.Errorf("%d bytes are kept, %d were sent; every byte has to be the same", len(body), len(tries[len(tries)-1].Body))
	}
	s.countsAre(t, src, map[string]float64{"Submitted": 1, "WebhookRejected": 3, "Unreadable": 3})
	if line := s.lineWith(t, src, metric.Unreadable); line["Cause"] != "malformed" || line["location"] != rec.UnreadableLocation || line["level"] != "ERROR" {
		t.Errorf("it is logged as %v", line)
	}

	// Extend shows the run when it is asked, and can write it.
	notANumberShown.Store(true)
	s.eventually(t, "reconcile finds it", func() (bool, error) {
		if err := s.invoke(t, "ReconcileFunction"); err != nil {
			return false, err
		}
		rec, err = s.Ledger.Get(t.Context(), src.DocumentID())
		return err == nil && rec.State == ledger.Processed, err
	})
	if rec.RunID != runID || rec.OutputRunID != runID || rec.UnreadableLocation != "" || len(s.runs(src)) != 1 {
		t.Errorf("record = %+v, want the output of run %s and no trace of the delivery", rec, runID)
	}
	if len(kept()) == 0 {
		t.Error("what could not be read is gone")
	}
}

// An endpoint that is set to another version of the API sends what this software does not
// read. It only says that there is something to ask about.
func TestDeliveryOfAnotherVersion(t *testing.T) {
	t.Parallel()
	s := theStack(t)
	src := s.put(t, anotherVersion+".pdf", []byte("a file whose endpoint is of another version"))
	runID := s.finish(t, src)
	try := s.tries(t, runID, 1)[0]
	if try.Status != http.StatusOK || !bytes.Contains(try.Body, []byte(`"extract_run.processed"`)) || bytes.Contains(try.Body, []byte(webhook.RunProcessed)) {
		t.Errorf("the delivery was answered %d: %.300s", try.Status, try.Body)
	}
	// At once: it was stored before it was answered.
	rec, err := s.Ledger.Get(t.Context(), src.DocumentID())
	if err != nil {
		t.Fatal(err)
	}
	if rec.State != ledger.Processed || rec.RunID != runID || rec.OutputRunID != runID || rec.Revision != 1 {
		t.Errorf("record = %+v, want the output of run %s", rec, runID)
	}
	output, err := s.Ledger.Output(t.Context(), src.DocumentID())
	if err != nil {
		t.Fatal(err)
	}
	if run, _ := s.Fake.Run(runID); !sameJSON(decode(t, string(run.Output)), decode(t, string(output))) {
		t.Errorf("the output is %s, want that of the run, %s", output, run.Output)
	}
	if n := len(s.runs(src)); n != 1 {
		t.Errorf("%d runs", n)
	}
	s.countsAre(t, src, map[string]float64{"Submitted": 1, "OtherApiVersion": 1, "Processed": 1, "Credits": 1.5})
	if line := s.lineWith(t, src, metric.OtherApiVersion); line["verdict"] != string(ledger.Stored) || line["level"] != "WARN" || line[metric.Processed.Name] == nil {
		t.Errorf("it is logged as %v", line)
	}
}
