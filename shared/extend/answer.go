package extend

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"extend-intake/shared/clean"
	"extend-intake/shared/extend/internal/loose"
)

// AnswerError means that the server answered with success (2xx) and that the answer is of no use: it is no JSON, lacks what
// was asked for, or says that the call failed. It is no refusal: after a POST, there may be a run.
type AnswerError struct {
	StatusCode int
	RequestID  string // what the vendor's support asks for
	APIVersion string // as in [Error]
	// Code and Message are what the body says of an error, as in [Error]; "" where it says nothing of one. FromAPI says that
	// it does so in the API's own shape.
	Code, Message string
	FromAPI       bool
	// Body is the answer as received, without the API key; of one that is too large, its first 4 KiB. Never log it.
	Body []byte

	err error
}

// Error returns a line that is fit to be logged.
func (e *AnswerError) Error() string {
	s := fmt.Sprintf("answer %d (request %s): %v", e.StatusCode, cmp.Or(e.RequestID, "id unknown"), e.err)
	if said := strings.TrimSpace(e.Code + " " + e.Message); said != "" {
		s += ": the server says: " + said
	}
	return clean.Text(s, maxText)
}

// Unwrap returns why the answer is of no use: an [*UnreadableError] where it is a run, or [ErrTooLarge].
func (e *AnswerError) Unwrap() error { return e.err }

// UnreadableError means that Extend sent a run, in an answer or a delivery, that cannot be read: it is no JSON in a place
// that matters, or says not which run it is. What could be read all the same is here, so that its document can be told.
type UnreadableError struct {
	RunID    string          // "" where it could not be read
	Status   Status          // "" where it could not be read
	Metadata json.RawMessage // JSON; nil where there is none that could be read
	Body     []byte          // the run as received. Never log it.
	Reason   string          // such as "output: NaN at byte 213 is not JSON"
}

// Error returns a line that names the run, if its id could be read.
func (e *UnreadableError) Error() string {
	return "run " + cmp.Or(e.RunID, "of unknown id") + ": " + e.Reason
}

// An answer is what the server sent with a 2xx.
type answer struct {
	status    int
	requestID string
	version   string // that it says it is of
	key       string // that it was asked with
	body      []byte
}

// open returns what the answer is about, with its bytes as they are, and what the envelope around it warns of.
func (a *answer) open(op operation) (raw json.RawMessage, warning string, err error) {
	body := bytes.TrimPrefix(a.body, []byte("\ufeff"))
	o, err := loose.SplitObject(body)
	if err != nil {
		return nil, "", err
	}
	warning = clean.Text(loose.Of[string](o, "warning"), maxText)
	switch {
	case op.member != "" && !o.Has(op.member):
		return nil, "", fmt.Errorf("no %q in it", op.member)
	case op.member != "":
		return o[op.member], warning, nil
	case op.wrapped != "" && o.Has(op.wrapped) && !o.Has("object"):
		return o[op.wrapped], warning, nil
	}
	return body, warning, nil
}

// unusable is the error of a request that the server took, as its status says, and whose answer is of no use.
func (p prepared) unusable(a *answer, err error) error {
	body := a.body
	if errors.Is(err, ErrTooLarge) {
		body = body[:min(len(body), keptBody)]
	}
	e := &AnswerError{StatusCode: a.status, RequestID: a.requestID, APIVersion: a.version, Body: withoutKey(body, a.key), err: err}
	// What is not of an error's shape may be somebody's data, and its beginning no message.
	if f := parseErrorBody(e.Body); f.said || !bytes.HasPrefix(bytes.TrimLeft(e.Body, " \t\r\n\ufeff"), []byte("{")) {
		e.Code, e.Message, e.FromAPI = f.code, f.message, f.proof
	}
	return &callError{method: p.method, path: p.path, final: true, err: e}
}

var word = regexp.MustCompile(`^-?[A-Za-z]+`)

// whyInvalid says what makes a text no JSON, "" where it is.
func whyInvalid(raw []byte) string {
	e, ok := errors.AsType[*json.SyntaxError](json.Unmarshal(raw, new(json.RawMessage)))
	if !ok {
		return ""
	}
	at := max(e.Offset-1, 0)
	if at > 0 && raw[at-1] == '-' { // -Infinity
		at--
	}
	if w := word.Find(raw[min(at, int64(len(raw))):]); len(w) > 1 && len(w) < 20 {
		return fmt.Sprintf("%s at byte %d is not JSON", w, at)
	}
	return fmt.Sprintf("%v (byte %d)", e, e.Offset)
}
