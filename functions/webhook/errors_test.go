package webhook

import "testing"

// A stranger's forgery is a warning. That nothing can be accepted, because the
// secret is empty or can't be read, is an error: results are being lost.
func TestOurOwnProblemIsAnError(t *testing.T) {
	t.Parallel()
	e := newEndpoint(t)
	e.vault.set()
	e.deliver(processed(nil), 500)
	e.wantLog("ERROR", "put the signing secret of your webhook endpoint")

	e = newEndpoint(t)
	e.vault.down = true
	e.deliver(processed(nil), 500)
	e.wantLog("ERROR", "InternalServiceError")
}
