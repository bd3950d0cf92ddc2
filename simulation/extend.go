package simulation

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"extend-intake/dev/fakeextend"
)

// skews is by how much two clocks and the odd latency can shorten a confirm window.
const skews = 20 * time.Second

func (w *world) newExtend() *fakeextend.Server {
	fake, err := fakeextend.New(fakeextend.Options{
		APIKey: apiKey,
		Processors: []fakeextend.Processor{{ID: processor, Type: fakeextend.Extract, Versions: []string{"1.0"}, Subscribed: true},
			{ID: otherProcessor, Type: fakeextend.Extract, Versions: []string{"1.0"}, Subscribed: true}},
		// Its processors are subscribed, too, and its steps: all that tells of less than the whole.
		Workflows: []fakeextend.Workflow{{ID: workflow, Versions: []string{"1"}, Processors: []string{processor, otherProcessor}, Rules: []string{"total"}, External: true,
			Subscribed: true, ProcessorEvents: w.dice("steps").IntN(2) == 0}, {ID: otherWorkflow, Versions: []string{"1"}, Processors: []string{processor}, Subscribed: true}},
		WorkflowTime: func(j fakeextend.JobInfo) time.Duration {
			return between(w.dice("processing", j.ID), time.Millisecond, w.set.longestRun)
		},
		Events:     []string{"workflow_run.step_run.processed"},
		WebhookURL: webhookURL, WebhookSecret: secret,
		Client: &http.Client{Transport: w.bucket}, WebhookClient: &http.Client{Transport: &gateway{w: w}},
		Processing: func(r fakeextend.RunInfo) time.Duration {
			return between(w.dice("processing", r.ID), time.Millisecond, w.set.longestRun)
		},
		Output:            w.output,
		RequestsPerSecond: w.set.planRequests, FilesPerMinute: w.set.planFiles, RefuseFiles: w.set.refuseFiles,
		RetryAfter: w.set.retryAfter, ErrorShape: w.set.errorShape, ExplicitNulls: w.set.explicitNulls, ShortPages: w.set.shortPages,
		Seed: w.seed, Fault: w.apiFault, DeliveryFault: w.deliveryFault, OnStep: w.extendStep,
	})
	if err != nil {
		panic(err)
	}
	return fake
}

// tag is what a run's metadata says, read without the product's code.
type tag struct {
	Stack      string `json:"stack"`
	DocumentID string `json:"documentId"`
	Attempt    int    `json:"attempt"`
}

func tagOf(metadata []byte) (t tag) {
	_ = json.Unmarshal(metadata, &t) // no tag: the zero one
	return t
}

// output is what Extend reads from a file. Some of it is hard to store as it is.
func (w *world) output(r fakeextend.RunInfo) json.RawMessage {
	dice := w.dice("output", r.ID)
	number := []string{"12345678901234567890.10", "1234.50"}[dice.IntN(2)] // the first is too long for an event
	if w.strike(dice, outputInexact) {
		number = "1234567890123456789012345678901234567890.5" // 41 digits
	}
	out := json.RawMessage(fmt.Sprintf(`{"run": %q, "n": %d, "total": %s, "none": null, "text": "<a> & \u00e9", "list": [1.0, {}, []]}`, r.ID, dice.IntN(1000), number))
	w.produced(r.ID, out)
	return out
}

// produced notes what a run's output was at some time.
func (w *world) produced(runID string, output json.RawMessage) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.outputs[runID] = append(w.outputs[runID], output)
}

// An outageSpan is a time in which every request gets the same answer.
type outageSpan struct {
	from, until time.Time
	status      int
}

// apiFault is what goes wrong with one request to Extend.
func (w *world) apiFault(c fakeextend.Call) fakeextend.Fault {
	dice := w.dice("api", c.Route, c.N)
	f := fakeextend.Fault{Delay: w.latency(dice), AnswerDelay: w.latency(dice)}
	create := c.Route == fakeextend.RouteCreate || c.Route == fakeextend.RouteCreateWorkflowRuns
	switch c.Route {
	case fakeextend.RouteCreate, fakeextend.RouteCreateWorkflowRuns:
		f.AnswerDelay += w.set.postTakes
	case fakeextend.RouteUpload:
		f.AnswerDelay += w.set.uploadTakes // Extend counts a request when it begins
	}
	var t tag
	if create {
		var body struct {
			Metadata json.RawMessage `json:"metadata"`
		}
		_ = json.Unmarshal(c.Body, &body) // Extend itself says what is wrong with it
		t = tagOf(body.Metadata)
		w.fate(dice, &f.Fate, c.FileURL)
		if c.Route == fakeextend.RouteCreateWorkflowRuns {
			w.workflowFate(dice, &f.Fate)
		}
		if t.Stack == stackName {
			defer func() { w.noteLag(c.FileName, f) }()
			w.recovers(dice, &f.Fate)
			w.echo(dice, c.FileName, &f.Fate)
		}
	}
	for _, o := range w.outages {
		if now := time.Now(); !now.Before(o.from) && now.Before(o.until) {
			w.strike(dice, outage)
			f.Status = o.status
			return f
		}
	}
	if u := w.expectedUpload(t.DocumentID); create && u != nil && u.firewalled {
		f.Answer = fakeextend.Firewall("")(c).Answer
		return f
	} else if create && u != nil && u.refused != 0 {
		f.Status, f.Message = u.refused, w.words(dice, c.FileURL)
		return f
	}
	broken := []int{500, 502, 503, 504, 408}[dice.IntN(5)]
	switch {
	case w.strike(dice, rateLimited):
		f.Status = 429
		f.RetryAfter = []string{"", "0", "7", "120", "86400", "soon"}[dice.IntN(6)]
		if f.RetryAfter == "soon" {
			f.RetryAfter = time.Now().Add(90 * time.Second).UTC().Format(http.TimeFormat)
		}
		if f.RetryAfter == "86400" && dice.IntN(10) > 0 {
			f.RetryAfter = "1"
		}
	case w.strike(dice, failsBefore):
		f.Status = broken
	case w.strike(dice, failsAfter):
		f.Status, f.After = broken, true
	case w.strike(dice, cutBefore):
		f.Cut = true
	case w.strike(dice, cutAfter):
		f.Cut, f.After = true, true
	case w.strike(dice, slowBefore):
		f.Delay = between(dice, 21*time.Second, 60*time.Second)
	case w.strike(dice, slowAfter):
		f.AnswerDelay = between(dice, 21*time.Second, 40*time.Second)
	case w.strike(dice, foreignAnswer):
		f.Answer = pick(dice, fakeextend.ForeignAnswers())
	case w.strike(dice, answerWithoutRun):
		f.Answer, f.After = pick(dice, fakeextend.AnswersWithoutRun()), dice.IntN(2) == 0
	case w.strike(dice, answerUnreadable):
		f.ChangeBody = *pick(dice, fakeextend.UnreadableBodies())
	case create && w.strike(dice, webhookEarly):
		f.HoldAnswer = true
	}
	if f.Status != 0 && create {
		f.Message = w.words(dice, c.FileURL)
	}
	if f.Status != 0 && dice.IntN(3) == 0 {
		f.HTML = "<html><body><h1>A gateway</h1></body></html>"
	}
	return f
}

// fate is what becomes of a run.
func (w *world) fate(dice *rand.Rand, f *fakeextend.Fate, link string) {
	f.FetchDelay = w.latency(dice)
	f.NullOutput = dice.IntN(2) == 0
	if w.strike(dice, listLags) {
		f.ListLag = between(dice, 0, w.set.confirm-skews-time.Minute) // a minute: the request itself may be late
	}
	if w.strike(dice, listLagsTooLong) {
		f.ListLag = between(dice, w.set.confirm, 3*w.set.confirm)
	}
	if w.strike(dice, runWaits) {
		f.Pending = between(dice, 0, 20*time.Minute)
	}
	switch {
	case w.strike(dice, runFailsTransiently):
		f.End = fakeextend.EndFailed
		f.FailureReason = []string{"INTERNAL_ERROR", "PARSING_ERROR", "PRE_PROCESSING_FAILURE"}[dice.IntN(3)]
	case w.strike(dice, runFails):
		f.End, f.FailureReason, f.FailureMessage = fakeextend.EndFailed, "PASSWORD_PROTECTED_FILE", w.words(dice, link)
	case w.strike(dice, runCancelled):
		f.End = fakeextend.EndCancelled
	case w.strike(dice, runDeleted):
		f.End = fakeextend.EndDeleted
	case w.strike(dice, runHangs):
		f.End = fakeextend.EndNever // until extendStep finishes it
	}
}

// workflowFate is what becomes of a workflow's run beside that.
func (w *world) workflowFate(dice *rand.Rand, f *fakeextend.Fate) {
	if f.End == fakeextend.EndFailed && w.strike(dice, stepDone) {
		f.FailAfter = 1 + dice.IntN(2)
	}
	if f.End != fakeextend.EndProcessed || !w.strike(dice, reviewNeeded) {
		return
	}
	f.End, f.Review = fakeextend.EndNeedsReview, between(dice, time.Second, 2*time.Hour)
	if w.strike(dice, reviewSlow) {
		f.Review = between(dice, 12*time.Hour, 30*time.Hour)
	}
	if w.strike(dice, reviewRejected) {
		f.End = fakeextend.EndRejected
	}
}

// recovers has a run that is told as FAILED turn out well after all.
func (w *world) recovers(dice *rand.Rand, f *fakeextend.Fate) {
	if f.End == fakeextend.EndFailed && w.strike(dice, runRecovers) {
		f.Recovery = between(dice, time.Second, 10*time.Minute)
	}
}

// words are what Extend says of something that failed: "" leaves it to the fake.
func (w *world) words(dice *rand.Rand, link string) string {
	if link == "" || !w.strike(dice, linkQuoted) {
		return ""
	}
	return quote(dice, link)
}

// echo is how a run of ours is shown, other than it is.
func (w *world) echo(dice *rand.Rand, fileName string, f *fakeextend.Fate) {
	if w.strike(dice, readLags) {
		f.ReadLag = between(dice, 0, w.set.confirm/2)
		f.ReadView = fakeextend.View(1 + dice.IntN(4))
	}
	if w.strike(dice, outputLate) {
		f.OutputLag = between(dice, 0, 30*time.Second)
	}
	switch {
	case w.strike(dice, tagEchoed):
		f.Changes = fakeextend.Everywhere(*pick(dice, fakeextend.TagEchoes()))
	case w.strike(dice, membersDrift):
		f.Changes = fakeextend.Everywhere(*pick(dice, fakeextend.TypeDrifts()))
		w.mu.Lock()
		w.drifts[fileName] = true
		w.mu.Unlock()
	}
}

func pick[T any](dice *rand.Rand, of []T) *T { return &of[dice.IntN(len(of))] }

// noteLag notes how long a run can stay invisible to a search after its POST was sent.
func (w *world) noteLag(fileName string, f fakeextend.Fault) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if f.Delay+f.Fate.ListLag > w.set.confirm-skews {
		w.hidden[fileName] = "the list lags longer than the confirm window"
	}
}

// otherVersion is a version of the API that the product does not read.
const otherVersion = "2026-02-09"

// deliveryFault is what is odd about one try to deliver a webhook.
func (w *world) deliveryFault(d fakeextend.Delivery) fakeextend.DeliveryFault {
	dice := w.dice("delivery", d.EventID, d.Try)
	f := fakeextend.DeliveryFault{Delay: w.latency(dice)}
	if w.strike(dice, webhookLost) {
		f.Drop = true
		return f
	}
	if w.strike(dice, webhookRepeated) {
		f.Copies = 1 + dice.IntN(2)
	}
	if w.strike(dice, webhookLate) {
		f.Delay += between(dice, 0, 10*time.Minute)
	}
	if w.strike(dice, webhookHoursLate) {
		f.Delay += between(dice, 0, 6*time.Hour)
	}
	if w.strike(dice, webhookPointer) {
		f.Pointer = fakeextend.Pointer(1 + dice.IntN(3))
		f.Envelope, f.Expired = dice.IntN(2) == 0, dice.IntN(3) == 0
	}
	f.WrongSignature = w.strike(dice, webhookWrongSignature)
	if w.strike(dice, webhookStale) {
		f.Age = between(dice, 310*time.Second, time.Hour)
		if dice.IntN(3) == 0 {
			f.Age = -between(dice, 70*time.Second, time.Hour)
		}
	}
	if w.strike(dice, webhookUnreadable) {
		f.ChangeRun = *pick(dice, fakeextend.UnreadableRuns())
	}
	if w.strike(dice, webhookOtherVersion) {
		f.Version = otherVersion
	}
	if w.strike(dice, webhookOtherType) {
		f.EventType = "processor_run.something_new"
	}
	return f
}

// extendStep watches Extend, and is where people see what they act on.
func (w *world) extendStep(s fakeextend.Step) {
	document := documentOf(s.FileName)
	run := short(s.RunID)
	if w.trace != nil {
		status := ""
		if s.Status != 0 {
			status = strconv.Itoa(s.Status)
		}
		w.tell("Extend", document, "%s", strings.Join(strings.Fields(fmt.Sprintf("%s %s %s %s", s.Kind, run, status, s.Detail)), " "))
	}
	dice := w.dice("people", s.RunID, string(s.Kind))
	switch s.Kind {
	case fakeextend.RunCreated:
		w.mu.Lock()
		w.made++
		hangs := w.faults.p[runHangs] > 0
		w.mu.Unlock()
		if hangs {
			w.later(between(dice, 10*time.Minute, 3*time.Hour), func() {
				go func() { _ = w.extend.FinishRun(s.RunID) }() // it may be gone
			})
		}
	case fakeextend.RunDeleted:
		w.mu.Lock()
		if rec, ok := w.records[document]; ok && !knows(rec, s.RunID) {
			w.hidden[s.FileName] = "the run was deleted before anybody heard of it"
		}
		w.mu.Unlock()
	case fakeextend.RunFinished:
		if s.Detail == "PROCESSED" {
			for i := range 2 {
				if w.strike(dice, reviewed) {
					after := []time.Duration{5 * time.Second, time.Minute, 2 * time.Hour}[dice.IntN(3)]
					w.later(between(dice, time.Millisecond, after), func() {
						output := json.RawMessage(fmt.Sprintf(`{"reviewed": %d, "run": %q}`, i, s.RunID))
						if w.extend.ReviewRun(s.RunID, output) == nil {
							w.produced(s.RunID, output)
						}
					})
				}
			}
		}
		w.mu.Lock()
		changed := w.changed[s.RunID]
		w.mu.Unlock()
		if ofWorkflow(s.RunID) && !changed && w.strike(dice, reviewChanged) {
			w.later(between(dice, time.Second, 3*time.Hour), func() { // not where there was no review
				if w.extend.ReviewWorkflowRun(s.RunID, fakeextend.Review{Reject: s.Detail == "PROCESSED", Note: "On second thoughts."}) == nil {
					w.tell("person", document, "changes the mind about run %s", run)
				}
			})
			w.mu.Lock()
			w.changed[s.RunID] = true
			w.mu.Unlock()
		}
		if w.strike(dice, deletedLater) {
			w.later(between(dice, time.Second, 3*time.Hour), func() { _ = w.extend.DeleteRun(s.RunID) }) // it may be gone
		}
	}
}

func ofWorkflow(runID string) bool { return strings.HasPrefix(runID, "workflow_run_") }

// short is a run's id, or a file's, as a trace shows it.
func short(id string) string {
	if rest, ok := strings.CutPrefix(id, "workflow_run_"); ok {
		id = "wfr_" + rest
	}
	return id[:min(len(id), 8)]
}

// documentOf finds the document by the token in a file name.
func documentOf(fileName string) string {
	i := strings.Index(fileName, "doc_")
	if i < 0 {
		return ""
	}
	id, _, _ := strings.Cut(fileName[i:], "-")
	return id
}

// gateway is the HTTP API in front of webhook, and the network before it.
type gateway struct{ w *world }

var errLost = errors.New("connection lost")

// RoundTrip hands a request to the function.
func (g *gateway) RoundTrip(r *http.Request) (*http.Response, error) {
	w := g.w
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	w.deliveries++
	dice := w.dice("gateway", w.deliveries)
	w.mu.Unlock()
	time.Sleep(w.latency(dice))
	if w.strike(dice, gatewayLost) {
		if dice.IntN(2) == 0 {
			return nil, errLost
		}
		return answer(r, http.StatusServiceUnavailable, nil), nil
	}
	in := events.APIGatewayV2HTTPRequest{Version: "2.0", RawPath: "/webhook", Headers: map[string]string{}, Body: string(body)}
	for name := range r.Header {
		in.Headers[strings.ToLower(name)] = r.Header.Get(name)
	}
	if dice.IntN(3) == 0 {
		in.Body, in.IsBase64Encoded = base64.StdEncoding.EncodeToString(body), true
	}
	done := make(chan *http.Response, 1)
	w.webhook.invoke(in, func(result any, err error) {
		if err != nil {
			done <- answer(r, http.StatusInternalServerError, []byte(`{"message":"Internal Server Error"}`))
			return
		}
		out := result.(events.APIGatewayV2HTTPResponse)
		done <- answer(r, out.StatusCode, []byte(out.Body))
	})
	timer := time.NewTimer(30*time.Second - time.Millisecond)
	defer timer.Stop()
	var response *http.Response
	select {
	case response = <-done:
	case <-timer.C:
		response = answer(r, http.StatusServiceUnavailable, nil)
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	time.Sleep(w.latency(dice))
	if w.strike(dice, gatewayAnswerLost) {
		return nil, errLost
	}
	return response, nil
}

// post sends a stranger's request to the webhook and returns the answer's status, or 0.
func (w *world) post(header http.Header, body []byte) int {
	r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, webhookURL, bytes.NewReader(body))
	if err != nil {
		panic(err)
	}
	r.Header = header
	response, err := (&gateway{w}).RoundTrip(r)
	if err != nil {
		return 0
	}
	return response.StatusCode
}
