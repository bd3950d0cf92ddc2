package webhook

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"extend-intake/shared/clean"
	"extend-intake/shared/extend/internal/loose"
)

const (
	timestampHeader = "X-Extend-Request-Timestamp"
	signatureHeader = "X-Extend-Request-Signature"
	versionHeader   = "X-Extend-Api-Version"

	defaultMaxAge = 300 * time.Second
	maxAhead      = 60  // seconds that the sender's clock may be ahead of ours
	maxName       = 200 // bytes of an event's id or type
)

var (
	// ErrNoSecret means that the Verifier has no secret, so that nothing can be accepted. Answer 401, and raise an
	// alarm: it is our configuration that is at fault.
	ErrNoSecret = errors.New("webhook: no secret is configured")

	// ErrHeader means that the timestamp or the signature is missing, given twice with different values, or that the
	// timestamp is not all digits. Answer 401.
	ErrHeader = errors.New("webhook: header missing or ambiguous")

	// ErrSignature means that the delivery was not signed with one of our secrets, or was changed on its way. Answer 401.
	ErrSignature = errors.New("webhook: signature does not match")

	// ErrStale means that the delivery was signed with one of our secrets, but too long ago or too far ahead. Answer 401.
	// It is told apart from ErrSignature for an alarm: it shows a replay, a wrong clock, or a sender that does not sign
	// its repetitions afresh.
	ErrStale = errors.New("webhook: timestamp is outside the window")

	// ErrMalformed means that the delivery was signed with one of our secrets but is not an event: no object with an
	// eventType, or one of the types in this package without a payload. Answer 400.
	ErrMalformed = errors.New("webhook: not an event")
)

// A Verifier opens deliveries. It may be copied, and used concurrently.
type Verifier struct {
	// Secrets are the signing secrets (wss_…) of which any one is accepted. Empty ones never match.
	Secrets []string
	// MaxAge is the oldest age accepted; 0 means 300 s, and a negative one switches the check of the timestamp off.
	MaxAge time.Duration
	// Now is the clock; nil means [time.Now].
	Now func() time.Time
}

// Open returns the event of a delivery, or an error that wraps one of this package's. The body must be the bytes as they were
// received: parsing and writing them again loses the signature.
//
// The signature is checked first, then the timestamp, and only then is the body read.
func (v Verifier) Open(header http.Header, body []byte) (*Event, error) {
	// Anybody can sign with the empty secret.
	secrets := slices.DeleteFunc(slices.Clone(v.Secrets), func(s string) bool { return s == "" })
	if len(secrets) == 0 {
		return nil, ErrNoSecret
	}
	timestamp, err := single(header, timestampHeader)
	if err != nil {
		return nil, err
	}
	signature, err := single(header, signatureHeader)
	if err != nil {
		return nil, err
	}
	if strings.Trim(timestamp, "0123456789") != "" {
		return nil, fmt.Errorf("%w: %s is not all digits", ErrHeader, timestampHeader)
	}
	if err := checkSignature(secrets, timestamp, signature, body); err != nil {
		return nil, err
	}
	if err := v.checkAge(timestamp); err != nil {
		return nil, err
	}
	version, _ := single(header, versionHeader) // said twice, it says nothing
	return parse(bytes.Clone(body), version)
}

func checkSignature(secrets []string, timestamp, signature string, body []byte) error {
	given, err := hex.DecodeString(signature)
	if err != nil || len(given) != sha256.Size {
		return fmt.Errorf("%w: not %d hex digits", ErrSignature, hex.EncodedLen(sha256.Size))
	}
	for _, secret := range secrets {
		if hmac.Equal(given, mac(secret, timestamp, body)) {
			return nil
		}
	}
	return ErrSignature
}

// checkAge compares whole seconds as integers. As a time.Duration the age of a timestamp in milliseconds would overflow, and
// its absolute value pass as small.
func (v Verifier) checkAge(timestamp string) error {
	if v.MaxAge < 0 {
		return nil
	}
	limit := v.MaxAge
	if limit == 0 {
		limit = defaultMaxAge
	}
	now := time.Now
	if v.Now != nil {
		now = v.Now
	}
	at, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil { // all digits, so it is too large
		return fmt.Errorf("%w: far ahead", ErrStale)
	}
	switch age := now().Unix() - at; {
	case age > int64(limit/time.Second):
		return fmt.Errorf("%w: %d s old", ErrStale, age)
	case age < -maxAhead:
		return fmt.Errorf("%w: %d s ahead", ErrStale, -age)
	}
	return nil
}

// parse reads the envelope. A payload is needed where somebody looks into it: test events of the dashboard have none.
func parse(body []byte, version string) (*Event, error) {
	o, err := loose.SplitObject(bytes.TrimPrefix(body, []byte("\ufeff")))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	e := &Event{
		ID:         clean.Text(loose.Of[string](o, "eventId"), maxName),
		Type:       clean.Text(loose.Of[string](o, "eventType"), maxName),
		APIVersion: clean.Text(version, maxName),
		Payload:    o["payload"],
	}
	if members, err := loose.SplitObject(e.Payload); err == nil {
		e.members = &members
	}
	switch {
	case e.Type == "":
		return nil, fmt.Errorf("%w: no eventType that is a text", ErrMalformed)
	case (e.Type == RunProcessed || e.Type == RunFailed) && !o.Has("payload"):
		return nil, fmt.Errorf("%w: no payload", ErrMalformed)
	}
	return e, nil
}

// single returns the header's one value. Names are compared without regard to case, since gateways hand headers on in lower
// case. The same value twice is one. Two different values are refused: another reader of the same request might believe the
// other one.
func single(header http.Header, name string) (string, error) {
	var given []string
	for key, values := range header {
		if strings.EqualFold(key, name) {
			for _, value := range values {
				given = append(given, once(value))
			}
		}
	}
	slices.Sort(given)
	switch given = slices.Compact(given); {
	case len(given) > 1:
		return "", fmt.Errorf("%w: %s has several values", ErrHeader, name)
	case len(given) == 0 || given[0] == "":
		return "", fmt.Errorf("%w: no %s", ErrHeader, name)
	}
	return given[0], nil
}

// once undoes what a gateway makes of a header that was given twice alike: the value, a comma, and the value again. What
// is joined of different values stays, and is neither a signature nor a timestamp.
func once(value string) string {
	first, rest, joined := strings.Cut(value, ",")
	if !joined {
		return value
	}
	first = strings.Trim(first, " \t")
	for part := range strings.SplitSeq(rest, ",") {
		if strings.Trim(part, " \t") != first {
			return value
		}
	}
	return first
}

func mac(secret, timestamp string, body []byte) []byte {
	h := hmac.New(sha256.New, []byte(secret))
	h.Write([]byte("v0:" + timestamp + ":"))
	h.Write(body)
	return h.Sum(nil)
}

// Sign returns the headers of a delivery of body signed at that time, for tests and for sample requests.
func Sign(secret string, at time.Time, body []byte) http.Header {
	timestamp := strconv.FormatInt(at.Unix(), 10)
	h := make(http.Header)
	h.Set(timestampHeader, timestamp)
	h.Set(signatureHeader, hex.EncodeToString(mac(secret, timestamp, body)))
	return h
}
