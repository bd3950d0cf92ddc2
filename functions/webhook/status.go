package webhook

import (
	"errors"
	"net/http"

	"github.com/aws/aws-lambda-go/events"

	"extend-intake/shared/extend/webhook"
)

// errTooLarge means that the body is over maxBody.
var errTooLarge = errors.New("body too large")

// errNotShown means that Extend signed a content which it does not show when it is asked
// for the run: it must come again.
var errNotShown = errors.New("the run, as Extend shows it, has not this content")

// status is the answer to a delivery. Extend repeats whatever is not answered with
// 2xx, 4xx included, so 200 also says that this one need not be repeated.
func status(err error) int {
	switch {
	case err == nil:
		return http.StatusOK
	case errors.Is(err, webhook.ErrHeader), errors.Is(err, webhook.ErrSignature), errors.Is(err, webhook.ErrStale):
		return http.StatusUnauthorized
	case errors.Is(err, webhook.ErrMalformed):
		return http.StatusBadRequest
	case errors.Is(err, errTooLarge):
		return http.StatusRequestEntityTooLarge
	}
	return http.StatusInternalServerError // a repetition may succeed
}

// cause is why a delivery is not answered with 200, in the words of the metric.
func cause(err error) string {
	for _, c := range []struct {
		err  error
		name string
	}{
		{webhook.ErrSignature, "signature"},
		{webhook.ErrStale, "stale"},
		{webhook.ErrHeader, "headers"},
		{webhook.ErrMalformed, "malformed"},
		{errTooLarge, "too large"},
		{errNotShown, "not shown yet"},
	} {
		if errors.Is(err, c.err) {
			return c.name
		}
	}
	return "not stored" // the problem is ours, and Extend repeats the delivery
}

// respond answers in fixed words, which tell a stranger nothing.
func respond(err error) events.APIGatewayV2HTTPResponse {
	code := status(err)
	return events.APIGatewayV2HTTPResponse{
		StatusCode: code, Body: http.StatusText(code) + "\n",
		Headers: map[string]string{"Content-Type": "text/plain; charset=utf-8"},
	}
}
