package webhook

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"extend-intake/shared/document"
	"extend-intake/shared/extend"
	"extend-intake/shared/extend/webhook"
	"extend-intake/shared/ledger"
	"extend-intake/shared/metric"
	"extend-intake/shared/rawjson"
	"extend-intake/shared/recorder"
)

// maxBody is the largest body that a function can be handed: Lambda takes 6 MB of
// payload, in which the body is one string.
const maxBody = 6 << 20

// Handler stores deliveries. Make one with [NewHandler].
type Handler struct {
	secrets  func(ctx context.Context, refresh bool) ([]string, error)
	runs     recorder.Getter
	findRun  func(ctx context.Context, link string) (runID string, err error)
	recorder *recorder.Recorder
	ledger   *ledger.Ledger
	put      func(ctx context.Context, name string, body []byte) (location string, err error)
	now      func() time.Time
	done     recent
}

// Invoke is [Handler.Handle] on the request's JSON, as Lambda hands it on.
func (h *Handler) Invoke(ctx context.Context, request []byte) (response []byte, err error) {
	var r events.APIGatewayV2HTTPRequest
	var body []byte
	// The body is nearly all of it. encoding/json would read it three times.
	if from, to, ok := rawjson.Member(request, "body"); ok && request[from] == '"' {
		body = rawjson.AppendText(nil, request[from:to])
		request = slices.Concat(request[:from], []byte("null"), request[to:])
	}
	if err := json.Unmarshal(request, &r); err != nil {
		return nil, err
	}
	answer := h.handle(ctx, r, body)
	return json.Marshal(answer)
}

// Handle answers one delivery, and logs it on one line. It never returns an error: the
// answer says all.
func (h *Handler) Handle(ctx context.Context, r events.APIGatewayV2HTTPRequest) (events.APIGatewayV2HTTPResponse, error) {
	return h.handle(ctx, r, []byte(r.Body)), nil
}

// handle is Handle with the request's body apart, as the gateway has it.
func (h *Handler) handle(ctx context.Context, r events.APIGatewayV2HTTPRequest, body []byte) (response events.APIGatewayV2HTTPResponse) {
	defer func() {
		if p := recover(); p != nil {
			err := fmt.Errorf("panic: %v", p)
			slog.ErrorContext(ctx, "panic", "panic", p, "stack", string(debug.Stack()), metric.WebhookRejected.For(cause(err)).One())
			response = respond(err)
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, AnswerTimeout)
	defer cancel()
	body, err := rawBody(body, r.IsBase64Encoded)
	var event *webhook.Event
	if err == nil {
		if event, err = h.open(ctx, r.Headers, body); errors.Is(err, webhook.ErrMalformed) {
			return respond(h.unreadable(ctx, slog.Default(), body, err))
		}
	}
	if err != nil {
		level := slog.LevelWarn
		if status(err) >= 500 {
			level = slog.LevelError // not the sender's doing: results are lost until somebody repairs it
		}
		slog.Log(ctx, level, "delivery refused", "status", status(err), "reason", cause(err), "error", err, metric.WebhookRejected.For(cause(err)).One())
		return respond(err)
	}
	// Without an id, two events about one run can have the same body.
	sum, named := sha256.Sum256(body), event.ID != ""
	if named && h.done.has(sum, h.now()) {
		slog.InfoContext(ctx, "ignored", "event_id", clip(event.ID), "event_type", clip(event.Type), "reason", "repeated")
		return respond(nil)
	}
	if err = h.store(ctx, event, body); err == nil && named {
		h.done.add(sum, h.now())
	}
	return respond(err)
}

// rawBody is the body as Extend sent it.
func rawBody(body []byte, isBase64 bool) ([]byte, error) {
	if isBase64 {
		var err error
		if body, err = base64.StdEncoding.AppendDecode(nil, body); err != nil {
			return nil, fmt.Errorf("%w: the gateway's base64: %v", webhook.ErrMalformed, err)
		}
	}
	if len(body) > maxBody {
		return nil, fmt.Errorf("%w: %d bytes, over %d", errTooLarge, len(body), maxBody)
	}
	return body, nil
}

// open checks the signature over the raw bytes, and only then reads them.
func (h *Handler) open(ctx context.Context, headers map[string]string, body []byte) (*webhook.Event, error) {
	header := http.Header{}
	for name, value := range headers {
		header.Add(name, value)
	}
	for try := range 2 {
		secrets, err := h.secrets(ctx, try == 1)
		if err != nil {
			return nil, err
		}
		event, err := webhook.Verifier{Secrets: secrets, Now: h.now}.Open(header, body)
		if try == 1 || !errors.Is(err, webhook.ErrSignature) {
			return event, err
		}
	}
	panic("unreachable")
}

// store stores what a verified delivery says.
func (h *Handler) store(ctx context.Context, event *webhook.Event, body []byte) error {
	log := slog.With("event_id", clip(event.ID), "event_type", clip(event.Type))
	if other, ok := event.OtherVersion(); ok {
		return h.otherVersion(ctx, log, other, body)
	}
	if event.Type == webhook.StepRunProcessed {
		log.InfoContext(ctx, "ignored", "reason", "a step says nothing of the workflow's whole run")
		return nil
	}
	if !stored(event.Type) {
		return h.unknownType(ctx, log, event, body)
	}
	var result recorder.Result
	run, err := h.run(ctx, event)
	if errors.Is(err, webhook.ErrMalformed) {
		return h.unreadable(ctx, log, body, err)
	}
	if err == nil {
		if _, points := event.Pointer(); points {
			result, err = h.recorder.Told(ctx, run, body)
		} else {
			result, err = h.recorder.Delivered(ctx, run)
		}
		log = log.With("document_id", result.DocumentID, "run_id", run.ID).With(result.Metrics...)
		if _, ok := errors.AsType[*recorder.StatusError](err); ok { // nor does Extend say anything else of it
			return h.unreadable(ctx, log, body, fmt.Errorf("%w: %w", webhook.ErrMalformed, err))
		}
	}
	if rec := result.Record; rec != nil {
		log = log.With("object", rec.Object, "state", rec.State, "attempt", rec.Attempt, "revision", rec.Revision)
	}
	switch {
	case err != nil:
		log.ErrorContext(ctx, "delivery not stored, Extend will repeat it", "status", status(err), "reason", cause(err), "error", err, metric.WebhookRejected.For(cause(err)).One())
	case result.Verdict == ledger.DuplicateRun:
		log.ErrorContext(ctx, "duplicate run", "verdict", result.Verdict)
	case result.Verdict == ledger.TagMismatch:
		log.ErrorContext(ctx, "the run's tag contradicts the ledger, so it is not stored", "verdict", result.Verdict)
	case result.NotShown:
		err = errNotShown
		log.WarnContext(ctx, "delivery not stored, Extend will repeat it", "status", status(err), "reason", cause(err), "verdict", result.Verdict, metric.WebhookRejected.For(cause(err)).One())
	default:
		log.InfoContext(ctx, "delivery", "verdict", result.Verdict)
	}
	return err
}

// otherVersion deals with a delivery of an API version that this software does not read: the
// endpoint is set to that version. It says nothing that could be stored, but that something
// has happened: the document's own run is asked about at once.
func (h *Handler) otherVersion(ctx context.Context, log *slog.Logger, other webhook.OtherVersion, body []byte) error {
	result, err := h.recorder.Ask(ctx, other.Metadata, body)
	err = h.asked(ctx, log, "delivery of another API version: set the endpoint's version to "+extend.Version+" in Extend's dashboard", result, err)
	if err == nil && result.NotShown {
		return errNotShown
	}
	return err
}

// unknownType deals with a delivery of a type that is not stored. If it is about a run of ours,
// that may have been reviewed: Extend is asked. What such a type tells of is unknown, so Extend
// need not show anything new.
func (h *Handler) unknownType(ctx context.Context, log *slog.Logger, event *webhook.Event, body []byte) error {
	id, err := h.ours(ctx, event)
	if err == nil && id == "" {
		log.InfoContext(ctx, "ignored", "reason", "event type is not stored")
		return nil
	}
	var result recorder.Result
	if err == nil {
		result, err = h.recorder.AskAbout(ctx, id, body)
	}
	return h.asked(ctx, log, "event type is not stored, though it is about a run of ours: Extend is asked", result, err)
}

// asked logs what came of asking Extend about a run of which a delivery only said that something
// has happened. If Extend could not be asked, the delivery has to come again.
func (h *Handler) asked(ctx context.Context, log *slog.Logger, what string, result recorder.Result, err error) error {
	log = log.With("document_id", result.DocumentID, metric.OtherApiVersion.One()).With(result.Metrics...)
	if e, ok := errors.AsType[*extend.Error](err); ok && e.StatusCode == http.StatusNotFound && e.FromAPI {
		log.WarnContext(ctx, what+", and says that there is no such run", "error", err) // asking again says the same
		return nil
	}
	if err != nil {
		log.ErrorContext(ctx, what, "status", status(err), "reason", cause(err), "error", err, metric.WebhookRejected.For(cause(err)).One())
		return err
	}
	log.WarnContext(ctx, what, "verdict", result.Verdict)
	return nil
}

// ours returns the document of a delivery of a type that is not stored: its payload has a tag of
// this stack, or is a run that the ledger knows. It is "" where it is about nothing of ours.
func (h *Handler) ours(ctx context.Context, event *webhook.Event) (documentID string, err error) {
	var payload struct {
		ID       json.RawMessage `json:"id"`
		Metadata json.RawMessage `json:"metadata"`
	}
	if json.Unmarshal(event.Payload, &payload) != nil {
		return "", nil
	}
	if tag, err := document.ParseTag(payload.Metadata); err == nil && tag.Stack == h.recorder.Stack {
		return tag.DocumentID, nil
	}
	var id string
	if json.Unmarshal(payload.ID, &id) != nil || !strings.HasPrefix(id, runPrefix) && !document.IsWorkflowRun(id) {
		return "", nil
	}
	rec, err := h.ledger.ByRun(ctx, id)
	switch {
	case errors.Is(err, ledger.ErrNotFound):
		return "", nil
	case err != nil:
		return "", err
	}
	return rec.DocumentID, nil
}

// runPrefix is how the ids of processor runs begin. Other things that deliveries are about, but
// for runs of workflows, are not looked up.
const runPrefix = "dpr_"

// documentIDs finds ids of documents in a text that can't be read otherwise.
var documentIDs = regexp.MustCompile(`doc_[a-z2-7]{26}`)

// unreadable keeps a delivery that is signed and can't be read. The document that it names
// says so, and Extend is asked for its run.
func (h *Handler) unreadable(ctx context.Context, log *slog.Logger, body []byte, err error) error {
	sum := sha256.Sum256(body)
	location, putErr := h.put(ctx, "unreadable/"+hex.EncodeToString(sum[:16])+".json", body)
	id := string(documentIDs.Find(body))
	var ledgerErr error
	if id != "" {
		var d ledger.Decision
		d, ledgerErr = h.ledger.Apply(ctx, id, ledger.CheckFailed{Reason: "a delivery of Extend can't be read", Location: location})
		if ledgerErr == nil && d.State().Terminal() { // reconcile does not ask about it any more, and it may be a review
			var result recorder.Result
			result, ledgerErr = h.recorder.AskAbout(ctx, id, body)
			log = log.With("verdict", result.Verdict).With(result.Metrics...)
		}
	}
	log.ErrorContext(ctx, "delivery can't be read", "document_id", id, "status", status(err), "reason", cause(err), "location", location,
		"error", errors.Join(err, putErr, ledgerErr), metric.WebhookRejected.For(cause(err)).One(), metric.Unreadable.One())
	return err
}

// clip bounds what a sender can put into a log line: CloudWatch cuts those that are too long.
func clip(s string) string { return s[:min(len(s), 256)] }

// stored reports whether events of this type say what became of a run.
func stored(eventType string) bool {
	return eventType == webhook.RunProcessed || eventType == webhook.RunFailed || ofWorkflow(eventType)
}

// ofWorkflow reports whether events of this type say what became of a whole run of a workflow.
func ofWorkflow(eventType string) bool {
	switch eventType {
	case webhook.WorkflowRunCompleted, webhook.WorkflowRunFailed, webhook.WorkflowRunNeedsReview, webhook.WorkflowRunRejected:
		return true
	}
	return false
}

// runIn is the run that the delivery has in it, of either kind.
func runIn(event *webhook.Event) (*extend.Run, error) {
	if !ofWorkflow(event.Type) {
		return event.Run()
	}
	run, err := event.WorkflowRun()
	if err != nil {
		return nil, err
	}
	return run.AsRun()
}

// run is the run that the delivery is about. Where the delivery only points to it,
// Extend is asked instead: the signature does not cover what is behind the link.
func (h *Handler) run(ctx context.Context, event *webhook.Event) (run *extend.Run, err error) {
	p, ok := event.Pointer()
	if !ok {
		if run, err = runIn(event); err != nil {
			err = fmt.Errorf("%w: %v", webhook.ErrMalformed, err)
		}
		return run, err
	}
	id := p.RunID
	if id == "" {
		if id, err = h.findRun(ctx, p.URL); err != nil {
			return nil, err
		}
	}
	run, err = h.runs.Get(ctx, id)
	if err == nil && run.ID != id {
		err = fmt.Errorf("asked for run %s, got %s", id, run.ID)
	}
	return run, err
}
