// Package webhook opens deliveries from Extend: it verifies the bytes, and only then reads them.
//
//	v := webhook.Verifier{Secrets: []string{secret}}
//	event, err := v.Open(r.Header, body) // body: the raw bytes of the request, before anything parsed them
//	switch {
//	case errors.Is(err, webhook.ErrMalformed):
//		http.Error(w, "bad request", http.StatusBadRequest)
//		return
//	case err != nil:
//		http.Error(w, "unauthorized", http.StatusUnauthorized)
//		return
//	}
//
// A delivery is signed with the HMAC-SHA256 of "v0:<timestamp>:<body>". Its key is the endpoint's whole secret, wss_ included.
// Several secrets can be given at once, so that a rotation refuses nothing.
//
// # What the sender does
//
// Extend repeats a delivery that was not answered with a 2xx within 30 seconds, 4xx included. It can deliver twice and in any
// order. New event types can appear at any time: answer 200 to those that you do not know, or they come back. That is so of
// test events, which have no payload, as well.
//
// An endpoint is set to one version of the API, whatever version its runs are made in. One that is set to another sends
// events of other types and shapes: see [Event.OtherVersion], and raise an alarm, for no delivery is of use until the
// endpoint is set to [extend.Version].
//
// Of the 17 types that there are, each has a constant that says how to read its payload: as a run, a workflow's run or step, a
// parser's run, a workflow, a processor, a version of one.
//
// There is no event for a cancelled run. A large payload can arrive as a [Pointer], a URL to be fetched within the hour. The
// signature covers the URL, not what is fetched from it.
//
// https://docs.extend.ai/2025-04-21/product/webhooks/configuration
package webhook
