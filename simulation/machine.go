package simulation

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"

	"extend-intake/dev/fakeextend"
	"extend-intake/functions/submit"
	"extend-intake/shared/document"
	"extend-intake/shared/ledger"
	"extend-intake/shared/queue"
)

// put stores a large output in the results bucket.
func (in *instance) put(_ context.Context, name string, output []byte) (location string, err error) {
	w := in.fn.w
	err = in.do("put "+name, "", putFails, putAnswerLost, func() error {
		location = "s3://results/" + name
		w.mu.Lock()
		defer w.mu.Unlock()
		w.results[location] = output
		return nil
	})
	return location, err
}

// requeue sends a document to the upload queue once more.
func (in *instance) requeue(_ context.Context, s document.Source) error {
	return in.do("requeue", s.DocumentID(), requeueFails, requeueAnswerLost, func() error {
		in.fn.w.tell(in.name, s.DocumentID(), "requeued")
		in.fn.w.queue.send(document.RequeueMessage(s))
		return nil
	})
}

// ledger is the table as this machine sees it.
func (in *instance) ledger(rules ledger.Rules) *ledger.Ledger {
	w := in.fn.w
	return w.table.Through(rules, in.now, func(ctx context.Context, a ledger.Access, do func(context.Context) error) error {
		if a.Op == "get" && w.unreadable(in.dice) {
			return fmt.Errorf("%w: simulated fault", ledger.ErrRecord)
		}
		return in.do("ledger "+a.Op, a.DocumentID, ledgerThrottled, ledgerAnswerLost, func() error {
			return w.access(ctx, in.name, a, do)
		})
	})
}

// unreadable says that a record is, for once, one of a newer version of the product. It
// is not so often that a message could reach the twenty failures after which it goes to
// the dead-letter queue.
func (w *world) unreadable(dice *rand.Rand) bool {
	w.mu.Lock()
	enough := w.faults.n[recordUnreadable] >= 15
	w.mu.Unlock()
	return !enough && w.strike(dice, recordUnreadable)
}

// access uses the table and watches what is written.
func (w *world) access(ctx context.Context, actor string, a ledger.Access, do func(context.Context) error) error {
	var err error
	if w.outside == nil {
		err = do(ctx)
	} else {
		done := new(sync.Mutex) // no channel: it would be the bubble's
		done.Lock()
		w.outside(func() { err = do(context.Background()); done.Unlock() })
		done.Lock()
	}
	if err == nil && a.Op == "write" {
		w.wrote(actor, a.Old, a.Next)
	}
	return err
}

// files is the bucket as a machine uses it.
type files struct{ in *instance }

func (f files) Link(_ context.Context, s document.Source) (string, error) {
	err := f.in.do("presign", s.DocumentID(), linkFails, never, func() error { return nil })
	return link(s), err
}

func (f files) Head(_ context.Context, s document.Source) (submit.Object, error) {
	var object submit.Object
	err := f.in.do("head", s.DocumentID(), headFails, never, func() error {
		b := f.in.fn.w.bucket
		f.in.fn.w.mu.Lock()
		defer f.in.fn.w.mu.Unlock()
		o := b.objects[s.Key+"?"+s.VersionID]
		switch {
		case o == nil:
			return &submit.ObjectError{Code: "OBJECT_GONE", Message: "gone", Final: true}
		case o.eTag != s.ETag:
			return &submit.ObjectError{Code: "OBJECT_REPLACED", Message: "replaced", Final: true}
		}
		sum := sha256.Sum256(o.body)
		object = submit.Object{Size: int64(len(o.body)), ContentType: "application/pdf", Checksum: "SHA256:" + base64.StdEncoding.EncodeToString(sum[:])}
		return nil
	})
	return object, err
}

func (f files) Current(context.Context, document.Source) (versionID, eTag string, err error) {
	panic("NewestOnly is off here")
}

func (f files) Open(_ context.Context, s document.Source) (io.ReadCloser, int64, error) {
	w := f.in.fn.w
	w.mu.Lock()
	defer w.mu.Unlock()
	body := w.bucket.objects[s.Key+"?"+s.VersionID].body
	return io.NopCloser(bytes.NewReader(body)), int64(len(body)), nil
}

// uploads is the upload queue as a machine uses it.
type uploads struct{ in *instance }

func (u uploads) Delay(_ context.Context, receipt string, d time.Duration) error {
	return u.in.do("delay "+receipt, "", delayFails, delayAnswerLost, func() error { return u.in.fn.w.queue.delay(receipt, d) })
}

func (u uploads) Send(_ context.Context, m queue.Message) error {
	return u.in.do("send a message anew", "", requeueFails, requeueAnswerLost, func() error {
		u.in.fn.w.queue.sendLater(m.Body, m.Attributes, m.Delay)
		return nil
	})
}

// deadLetters is the upload queue's dead-letter queue as a machine uses it.
type deadLetters struct{ in *instance }

func (d deadLetters) Send(_ context.Context, m queue.Message) error {
	return d.in.do("send a dead letter", "", deadLetterFails, deadLetterAnswerLost, func() error {
		d.in.fn.w.queue.deadLetter(m.Body, m.Attributes["reason"])
		return nil
	})
}

// network is what lies between this machine and Extend. All else that can happen
// there is done by Extend itself: see [world.apiFault].
func (in *instance) network() http.RoundTripper {
	return network{in, fakeextend.Transport(in.fn.w.extend)}
}

type network struct {
	in   *instance
	next http.RoundTripper
}

// RoundTrip sends a request, unless there is no connection. The machine can crash
// before and after it.
func (n network) RoundTrip(r *http.Request) (*http.Response, error) {
	what := r.Method
	var body struct {
		Metadata struct {
			DocumentID string `json:"documentId"`
		} `json:"metadata"`
	}
	if r.Method == http.MethodPost {
		text, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		_ = json.Unmarshal(text, &body) // it is for the trace only
		r.Body = io.NopCloser(bytes.NewReader(text))
	}
	n.in.pass("before: "+what, body.Metadata.DocumentID)
	if n.in.fn.w.strike(n.in.dice, neverSent) {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errFault}
	}
	if r.Method == http.MethodPost && n.in.fn.w.strike(n.in.dice, transportRepeats) {
		return n.repeat(r)
	}
	response, err := n.next.RoundTrip(r)
	n.in.pass("after: "+what, body.Metadata.DocumentID)
	if r.Method == http.MethodPost {
		if err == nil {
			n.in.fn.w.tell(n.in.name, body.Metadata.DocumentID, "POST answered %d", response.StatusCode)
		} else {
			n.in.fn.w.tell(n.in.name, body.Metadata.DocumentID, "POST failed: %v", err)
		}
	}
	return response, err
}

// repeat does what transports do where an HTTP/2 server refuses a stream that has arrived
// whole: they send it again, if its body can be had again, and say nothing of it.
func (n network) repeat(r *http.Request) (*http.Response, error) {
	response, err := n.next.RoundTrip(r)
	if err == nil {
		_ = response.Body.Close()
	}
	if r.GetBody == nil {
		return nil, errFault
	}
	body, err := r.GetBody()
	if err != nil {
		return nil, err
	}
	r = r.Clone(r.Context())
	r.Body = body
	return n.next.RoundTrip(r)
}

// noLinks refuses to fetch what a delivery points to: see doc.go.
type noLinks struct{}

func (noLinks) RoundTrip(*http.Request) (*http.Response, error) { return nil, errFault }
