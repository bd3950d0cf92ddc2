package webhook_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"extend-intake/shared/extend/webhook"
)

// The answer decides whether the delivery comes back: anything but a 2xx makes it.
func ExampleVerifier_Open() {
	verifier := webhook.Verifier{Secrets: []string{"wss_current", "wss_before_the_rotation"}}
	receive := func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 6<<20))
		if err != nil {
			http.Error(w, "too large", http.StatusRequestEntityTooLarge)
			return
		}
		event, err := verifier.Open(r.Header, body)
		switch {
		case errors.Is(err, webhook.ErrMalformed):
			http.Error(w, "bad request", http.StatusBadRequest)
			return
		case err != nil:
			http.Error(w, "unauthorized", http.StatusUnauthorized)
			return
		}
		if event.Type != webhook.RunProcessed && event.Type != webhook.RunFailed {
			return // 200: not ours, and it need not come back
		}
		if pointer, ok := event.Pointer(); ok {
			fmt.Println("fetch", pointer.RunID)
			return
		}
		run, err := event.Run()
		if err != nil {
			http.Error(w, "bad request", http.StatusBadRequest)
			return
		}
		fmt.Println("store", run.ID, run.Status)
	}

	body := `{"eventId": "event_1", "eventType": "processor_run.processed", "payload": {"object": "document_processor_run", "id": "dpr_1", "status": "PROCESSED", "output": {}}}`
	delivery := httptest.NewRequest("POST", "/webhook", strings.NewReader(body))
	delivery.Header = webhook.Sign("wss_before_the_rotation", time.Now(), []byte(body))
	receive(httptest.NewRecorder(), delivery)
	// Output: store dpr_1 PROCESSED
}
