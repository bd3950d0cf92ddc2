package webhook

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"extend-intake/shared/extend"
	"extend-intake/shared/extend/webhook"
	"extend-intake/shared/ledger"
	"extend-intake/shared/metric"
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
	now      func() time.Time
}

// Handle answers one delivery, and logs it on one line. It never returns an error: the
// answer says all.
func (h *Handler) Handle(ctx context.Context, r events.APIGatewayV2HTTPRequest) (response events.APIGatewayV2HTTPResponse, _ error) {
	defer func() {
		if p := recover(); p != nil {
			err := fmt.Errorf("panic: %v", p)
			slog.ErrorContext(ctx, "panic", "panic", p, "stack", string(debug.Stack()), metric.WebhookRejected.For(cause(err)).One())
			response = respond(err)
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, AnswerTimeout)
	defer cancel()
	event, err := h.open(ctx, r)
	if err != nil {
		level := slog.LevelWarn
		if status(err) >= 500 {
			level = slog.LevelError // not the sender's doing: results are lost until somebody repairs it
		}
		slog.Log(ctx, level, "delivery refused", "status", status(err), "reason", cause(err), "error", err, metric.WebhookRejected.For(cause(err)).One())
		return respond(err), nil
	}
	return respond(h.store(ctx, event)), nil
}

// open checks the signature over the raw bytes, and only then reads them.
func (h *Handler) open(ctx context.Context, r events.APIGatewayV2HTTPRequest) (*webhook.Event, error) {
	body := []byte(r.Body)
	if r.IsBase64Encoded {
		var err error
		if body, err = base64.StdEncoding.DecodeString(r.Body); err != nil {
			return nil, fmt.Errorf("%w: the gateway's base64: %v", webhook.ErrMalformed, err)
		}
	}
	if len(body) > maxBody {
		return nil, fmt.Errorf("%w: %d bytes, over %d", errTooLarge, len(body), maxBody)
	}
	header := http.Header{}
	for name, value := range r.Headers {
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
func (h *Handler) store(ctx context.Context, event *webhook.Event) error {
	log := slog.With("event_id", clip(event.ID), "event_type", clip(event.Type))
	if event.Type != webhook.RunProcessed && event.Type != webhook.RunFailed {
		log.InfoContext(ctx, "ignored", "reason", "event type is not stored")
		return nil
	}
	var result recorder.Result
	run, err := h.run(ctx, event)
	if err == nil {
		result, err = h.recorder.Delivered(ctx, run)
		log = log.With("document_id", result.DocumentID, "run_id", run.ID).With(result.Metrics...)
	}
	if rec := result.Record; rec != nil {
		log = log.With("object", rec.Object, "state", rec.State, "attempt", rec.Attempt, "revision", rec.Revision)
	}
	switch {
	case err != nil:
		log.ErrorContext(ctx, "delivery not stored, Extend will repeat it", "status", status(err), "reason", cause(err), "error", err, metric.WebhookRejected.For(cause(err)).One())
	case result.Verdict == ledger.DuplicateRun:
		log.ErrorContext(ctx, "duplicate run", "verdict", result.Verdict)
	default:
		log.InfoContext(ctx, "delivery", "verdict", result.Verdict)
	}
	return err
}

// clip bounds what a sender can put into a log line: CloudWatch cuts those that are too long.
func clip(s string) string { return s[:min(len(s), 256)] }

// run is the run that the delivery is about. Where the delivery only points to it,
// Extend is asked instead: the signature does not cover what is behind the link.
func (h *Handler) run(ctx context.Context, event *webhook.Event) (run *extend.Run, err error) {
	p, ok := event.Pointer()
	if !ok {
		if run, err = event.Run(); err != nil {
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
