package boot

import (
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// PlainBodies is the client, but that a request's body has Read and Close only.
//
// The SDK's body has a WriteTo as well, which returns io.EOF once the SDK has closed
// it. When an answer is faster than the transport's last look at the body, that
// counts as a failed write, the connection is dropped and the answer with it: about
// one write in a thousand on a fast link. The SDK sends the request again, and a
// conditional write then fails its own condition.
// The symptom is reported at https://github.com/aws/aws-sdk-go-v2/issues/2737.
func PlainBodies(client aws.HTTPClient) aws.HTTPClient { return plainBodies{client} }

type plainBodies struct{ client aws.HTTPClient }

func (p plainBodies) Do(r *http.Request) (*http.Response, error) {
	if r.Body != nil && r.Body != http.NoBody {
		r.Body = struct{ io.ReadCloser }{r.Body}
	}
	return p.client.Do(r)
}
