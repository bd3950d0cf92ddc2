package fakeextend

import (
	"net/http"
	"net/url"
	"time"
)

// The routes of the fake API, as a [Call] and a [RequestCount] name them.
const (
	RouteCreate  = "POST /processor_runs"
	RouteGet     = "GET /processor_runs/{id}"
	RouteList    = "GET /processor_runs"
	RouteCancel  = "POST /processor_runs/{id}/cancel"
	RouteUpload  = "POST /files/upload"
	RouteDelete  = "DELETE /processor_runs/{id}"
	RoutePayload = "GET " + payloadPath + "{token}" // never asked about: it is no part of the API
	RouteUnknown = "unknown route"
)

// A Call is one API request, as [Options.Fault] sees it: the key and the
// version header are right, nothing else has been looked at.
type Call struct {
	Route    string
	N        int    // 1 for the first call of this route, and so on
	RunID    string // from the path
	FileName string // from the body of RouteCreate
	Header   http.Header
	Query    url.Values
	Body     []byte // none of RouteUpload
}

// A Fault says what goes wrong with one request. The zero Fault is none.
//
// Status or Cut replace the answer. Without After, the request is not carried
// out. With After it is, and only the answer is lost: the ambiguous POST. A
// request that the fake refuses by its own rules stays refused either way.
type Fault struct {
	Status     int         // answer with this error status
	Code       string      // "" takes the code that goes with Status
	Message    string      // "" takes a fitting text
	RetryAfter string      // Retry-After header, sent as it stands
	Header     http.Header // further headers
	HTML       string      // body of a gateway instead of an error object
	Cut        bool        // close the connection without an answer
	After      bool        // carry the request out first

	// Delay passes before the request is carried out, even if the caller has
	// gone away meanwhile: a timed-out POST can still make a run. AnswerDelay
	// passes between carrying it out and answering.
	Delay, AnswerDelay time.Duration
	// HoldAnswer holds the answer to RouteCreate back until the first try of
	// the run's webhook is over, or it is certain that there will be none. The
	// answer still shows the run as it was when created.
	HoldAnswer bool

	// Fate is what becomes of the run that this RouteCreate makes.
	Fate Fate
}

// replaces reports whether the answer is not the real one.
func (f Fault) replaces() bool { return f.Status != 0 || f.Cut }

// A Fate is what becomes of a run. The zero Fate is an ordinary run.
type Fate struct {
	Pending    time.Duration // the run is PENDING first, for this long
	FetchDelay time.Duration // between accepting the run and fetching its file
	ListLag    time.Duration // the run is in no list for this long
	NullOutput bool          // output is null, not {}, while there is none
	End        End

	// FailureReason and FailureMessage are those of EndFailed; "" takes INTERNAL_ERROR.
	FailureReason, FailureMessage string
}

// End is how a run ends.
type End int

const (
	EndProcessed End = iota // unless its file cannot be fetched
	EndFailed               // after the processing time
	EndCancelled            // by a person, after the processing time: no webhook
	EndDeleted              // by a person, after the processing time: no webhook, and GET says 404
	EndNever                // not before [Server.FinishRun], which ends it as PROCESSED
)

// Script gives its faults to the first calls of one route, in order, and none
// to later calls and other routes.
func Script(route string, faults ...Fault) func(Call) Fault {
	return func(c Call) Fault {
		if c.Route != route || c.N > len(faults) {
			return Fault{}
		}
		return faults[c.N-1]
	}
}

// A Delivery is one try to deliver an event, as [Options.DeliveryFault] sees it.
type Delivery struct {
	EventID      string
	EventType    string
	RunID        string
	FileName     string
	Try          int  // 1 for the first try, and so on; copies and redeliveries count
	Manual       bool // asked for by [Server.Redeliver]
	PayloadBytes int
}

// A DeliveryFault says what is odd about one try. The zero DeliveryFault is an
// ordinary one. For deliveries out of order, delay some, or drop all and
// redeliver them in the order wanted.
type DeliveryFault struct {
	Drop   bool          // neither this try nor a later one is made; Redeliver ignores it
	Delay  time.Duration // before the try
	Copies int           // the same event is sent this many times more, in the same way; Redeliver ignores it

	Pointer  Pointer // send a URL in place of the payload
	Expired  bool    // that URL is too old: 403
	Envelope bool    // that URL holds the whole envelope, not only the payload

	EventType      string        // in place of the real one
	Age            time.Duration // the timestamp is this old, with a signature that fits; negative: in the future
	WrongSignature bool          // signed with another secret
}

// Pointer is the form of a payload that stays behind as a download.
type Pointer int

const (
	PointerNone   Pointer = iota // the payload itself
	PointerFull                  // {"object": "signed_data_url", "id", "data", "metadata"}
	PointerBare                  // {"data"}
	PointerString                // the URL as a JSON string; one public receiver knows this form
)
