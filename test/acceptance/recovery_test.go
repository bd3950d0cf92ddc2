package acceptance

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"

	"extend-intake/dev/fakeextend"
	"extend-intake/dev/stack"
	"extend-intake/dev/stack/emulator"
	"extend-intake/shared/ledger"
)

// What the fake Extend does with files of these names.
const (
	lostWebhook = "lost-webhook" // the webhook of the run's end is not sent
	lostAnswer  = "lost-answer"  // it makes the run, and answers 500

	routersAnswer  = "not-found-by-a-router" // the POST does not get to Extend
	notANumber     = "not-a-number"          // the webhook of the run's end is no JSON, and GET does not show the end until notANumberShown
	anotherVersion = "another-version"       // the webhook of the run's end is of another version of the API
)

// notANumberShown is set when GET may show the end of the run of notANumber.
var notANumberShown atomic.Bool

func deliveryFault(d fakeextend.Delivery) fakeextend.DeliveryFault {
	switch {
	case strings.HasPrefix(d.FileName, lostWebhook):
		return fakeextend.DeliveryFault{Drop: true}
	case strings.HasPrefix(d.FileName, notANumber):
		return fakeextend.DeliveryFault{ChangeRun: fakeextend.UnreadableRuns()[0]} // NaN in its output
	case strings.HasPrefix(d.FileName, anotherVersion):
		return fakeextend.DeliveryFault{Version: "2026-02-09"}
	}
	return fakeextend.DeliveryFault{}
}

// faults are what happens to the first POST of a file of this name.
var faults = map[string]fakeextend.Fault{
	lostAnswer:  {Status: http.StatusInternalServerError, After: true},
	lostBoth:    {Status: http.StatusInternalServerError, After: true},
	refusedOnce: {Status: http.StatusUnprocessableEntity},
	rateLimited: {Status: http.StatusTooManyRequests, RetryAfter: "1"},
	noCredits:   {Status: http.StatusPaymentRequired},
	failsOnce:   {Fate: fakeextend.Fate{End: fakeextend.EndFailed}},
	neverEnds:   {Fate: fakeextend.Fate{End: fakeextend.EndNever}},

	routersAnswer: {Answer: &fakeextend.Answer{Status: http.StatusNotFound, ContentType: "text/html; charset=utf-8",
		Body: "<html>\r\n<head><title>404 Not Found</title></head>\r\n<body><center><h1>404 Not Found</h1></center></body>\r\n</html>\r\n"}},
	notANumber:     {Fate: fakeextend.Fate{End: fakeextend.EndNever}}, // until the test ends it
	anotherVersion: {Fate: fakeextend.Fate{End: fakeextend.EndNever}},
}

var faulted sync.Map // the names of files, without token and extension

func fault(c fakeextend.Call) fakeextend.Fault {
	if c.Route == fakeextend.RouteGet && strings.HasPrefix(c.FileName, notANumber) && !notANumberShown.Load() {
		return fakeextend.Fault{View: fakeextend.ViewProcessing}
	}
	name, _, _ := strings.Cut(c.FileName, ".")
	if c.Route == fakeextend.RouteGet && name == neverEnds {
		if _, before := faulted.LoadOrStore(name+", asked", true); !before {
			return fakeextend.Fault{Answer: &fakeextend.Answer{Status: http.StatusMethodNotAllowed, ContentType: "text/html; charset=utf-8", Body: "<h1>Down for maintenance</h1>"}}
		}
	}
	if c.Route != fakeextend.RouteCreate {
		return fakeextend.Fault{}
	}
	for prefix, f := range faults {
		if !strings.HasPrefix(name, prefix) {
			continue
		}
		if _, before := faulted.LoadOrStore(name, true); !before { // a second POST would make a second run, and be seen
			return f
		}
	}
	return fakeextend.Fault{}
}

// invoke runs a deployed function as its schedule does, without waiting for it.
func (s *deployment) invoke(t *testing.T, logicalID string) error {
	t.Helper()
	r, err := cloudformation.NewFromConfig(emulator.AWSConfig(s.AWS.URL)).DescribeStackResource(t.Context(),
		&cloudformation.DescribeStackResourceInput{StackName: aws.String(stack.Name), LogicalResourceId: &logicalID})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost,
		s.AWS.URL+"/2015-03-31/functions/"+*r.StackResourceDetail.PhysicalResourceId+"/invocations", strings.NewReader("{}"))
	if err != nil {
		return err
	}
	resp, err := emulator.Client("lambda").Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK || resp.Header.Get("X-Amz-Function-Error") != "" {
		return fmt.Errorf("%s: %d %s", logicalID, resp.StatusCode, body)
	}
	return nil
}

func TestLostWebhookIsFoundByReconcile(t *testing.T) {
	t.Parallel()
	s := theStack(t)
	src := s.put(t, lostWebhook+".pdf", []byte("a file whose webhook is lost"))
	s.eventually(t, "reconcile finds it", func() (bool, error) {
		// Extend is not asked before the run's first check is due.
		if err := s.invoke(t, "ReconcileFunction"); err != nil {
			return false, err
		}
		rec, err := s.Ledger.Get(t.Context(), src.DocumentID())
		if errors.Is(err, ledger.ErrNotFound) {
			return false, err
		}
		return err == nil && rec.State == ledger.Processed, err
	})
	for _, run := range s.runs(src) {
		for _, d := range run.Deliveries {
			if len(d.Tries) > 0 {
				t.Errorf("a webhook was sent after all: %+v", d)
			}
		}
	}
	if n := len(s.runs(src)); n != 1 {
		t.Errorf("%d runs", n)
	}
}

func TestLostAnswerEndsWithOneRun(t *testing.T) {
	t.Parallel()
	s := theStack(t)
	src := s.put(t, lostAnswer+".pdf", []byte("a file whose run is made and answered with 500"))
	rec := s.ended(t, src, ledger.Processed)
	if runs := s.runs(src); len(runs) != 1 || runs[0].ID != rec.RunID || rec.Attempt != 1 {
		t.Errorf("%d runs, the record has %s at attempt %d", len(runs), rec.RunID, rec.Attempt)
	}
	if _, ok := faulted.Load(lostAnswer); !ok {
		t.Error("no answer was lost")
	}
}
