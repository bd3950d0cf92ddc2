package fakeextend

import (
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"
)

// A Call is one API request, as [Options.Fault] sees it: the key and the
// version header are right, nothing else has been looked at.
type Call struct {
	Route    string
	N        int    // 1 for the first call of this route, and so on
	RunID    string // the first id of the path, of whatever it is
	FileName string // from the body of a request with a file; else of the run or file of that id, if there is one
	FileURL  string // from the body of a request with a file
	Header   http.Header
	Query    url.Values
	Body     []byte // none of RouteUpload
}

// A Fault says what goes wrong with one request. The zero Fault is none.
//
// Status, Answer, Cut and Refused replace the answer. Without After, the request
// is not carried out. With After it is, and only the answer is lost: the
// ambiguous POST. A request that the fake refuses by its own rules stays refused
// either way.
type Fault struct {
	Status     int         // answer with this error status, in the API's own shape
	Code       string      // "" takes the code that goes with Status
	Message    string      // "" takes a fitting text
	RetryAfter string      // Retry-After header, sent as it stands
	Header     http.Header // further headers
	HTML       string      // body of a gateway instead of an error object
	Answer     *Answer     // one that the API did not write; Status, Code, Message and HTML then say nothing
	Cut        bool        // close the connection without an answer
	Refused    bool        // refuse the HTTP/2 stream: see [Transport]; over a socket it is Cut
	After      bool        // carry the request out first

	// Delay passes before the request is carried out, even if the caller has
	// gone away meanwhile: a timed-out POST can still make a run. AnswerDelay
	// passes between carrying it out and answering.
	Delay, AnswerDelay time.Duration
	// HoldAnswer holds the answer to a request that makes a run back until the first try of
	// the run's webhook is over, or it is certain that there will be none. The
	// answer still shows the run as it was when created.
	HoldAnswer bool

	// View is the state of the run, of whatever kind, that this GET shows.
	View View
	// ChangeRuns alters each run, or whatever the answer is about, ChangeBody then the whole body,
	// that of a Status too.
	ChangeRuns, ChangeBody Change

	// Fate is what becomes of the runs that this request makes.
	Fate Fate
}

// replaces reports whether the answer is not the real one.
func (f Fault) replaces() bool { return f.Status != 0 || f.Answer != nil || f.Cut || f.Refused }

// An Answer is one that the API did not write: that of a router, a proxy, a
// firewall, or of nobody's known.
type Answer struct {
	Name        string // for traces and for the names of tests
	Status      int    // 0 means 200
	ContentType string // "" sends none
	Body        string
	Header      http.Header
}

// A View is a state of a run that a read can show.
type View int

const (
	ViewNow        View = iota // the run as it is
	ViewBefore                 // as it was before its last change, if there was one
	ViewPending                // PENDING, without what came later
	ViewProcessing             // PROCESSING, without what came later
	ViewMissing                // 404, in the API's own shape
)

// A Place is a kind of message that shows runs.
type Place int

// The places where a run is shown.
const (
	InAnswers  Place = iota // of the POSTs that make or cancel it
	InGet                   // the answer of a GET of one
	InList                  // an item of a list
	InDelivery              // a webhook's payload, downloaded or not
)

// Everywhere is a [Fate.Changes] that is the same in all places.
func Everywhere(c Change) map[Place]Change {
	return map[Place]Change{InAnswers: c, InGet: c, InList: c, InDelivery: c}
}

// A Fate is what becomes of a run. The zero Fate is an ordinary run.
type Fate struct {
	Pending    time.Duration // the run is PENDING first, for this long
	FetchDelay time.Duration // between accepting the run and fetching its file
	ListLag    time.Duration // the run is in no list for this long
	NullOutput bool          // output is null, not {}, while there is none
	End        End

	// FailureReason and FailureMessage are those of EndFailed; "" takes INTERNAL_ERROR.
	FailureReason, FailureMessage string
	// FailAfter is how many of a workflow's processors have a result by EndFailed.
	FailAfter int

	// ReadLag is for how long, after the run was made and after each later
	// change of it, GET shows ReadView; the zero ReadView means ViewBefore.
	ReadLag  time.Duration
	ReadView View

	// OutputLag and Recovery make a run end twice, with an event each time.
	// With OutputLag it is PROCESSED without an output first, and gets the output
	// after this long. With Recovery a run that is FAILED, for whatever reason, is
	// PROCESSED after this long. 0 means neither; see also [Server.CompleteRun].
	OutputLag, Recovery time.Duration

	// Review is how long a person takes to look at a workflow run that needs it; 0
	// means until [Server.ReviewWorkflowRun].
	Review time.Duration

	// Changes alter how the run is shown in a place, always.
	Changes map[Place]Change
}

// End is how a run ends.
type End int

const (
	EndProcessed   End = iota // unless its file cannot be fetched or is empty
	EndFailed                 // after the processing time
	EndCancelled              // by a person, after the processing time: no webhook
	EndDeleted                // by a person, after the processing time: no webhook, and GET says 404
	EndNeedsReview            // of a workflow run: a person is asked, and approves after Fate.Review
	EndRejected               // of a workflow run: a person is asked, and rejects it after Fate.Review
	EndNever                  // not before [Server.FinishRun], which ends it as PROCESSED
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

// ForFile gives the fault to every call of a route about a file whose name
// contains text: an upload or a POST that names it, or a call that names a run
// of it.
func ForFile(route, text string, f Fault) func(Call) Fault {
	return func(c Call) Fault {
		if c.Route != route || !strings.Contains(c.FileName, text) {
			return Fault{}
		}
		return f
	}
}

const blockedPage = `<!DOCTYPE html><html><head><title>Attention Required!</title></head><body><h1>Sorry, you have been blocked</h1></body></html>`

// Firewall is a filter in front of the API: requests that have the text in their
// body, file name or query, in upper or lower case, are answered with 403 and
// HTML, however often they come. All others pass. It does not look into uploaded
// files, only at their names.
func Firewall(text string) func(Call) Fault {
	text = strings.ToLower(text)
	has := func(s string) bool { return strings.Contains(strings.ToLower(s), text) }
	return func(c Call) Fault {
		if has(string(c.Body)) || has(c.FileName) || slices.ContainsFunc(slices.Concat(slices.Collect(maps.Values(c.Query))...), has) {
			return Fault{Answer: &Answer{Name: "firewall", Status: http.StatusForbidden, ContentType: "text/html; charset=utf-8", Body: blockedPage}}
		}
		return Fault{}
	}
}

// First asks one after another and takes the first fault.
func First(of ...func(Call) Fault) func(Call) Fault {
	return func(c Call) Fault {
		for _, ask := range of {
			if f := ask(c); !reflect.ValueOf(f).IsZero() {
				return f
			}
		}
		return Fault{}
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
	Download *Answer // that URL is answered like this, whenever it is asked

	EventType      string        // in place of the real one
	Version        string        // of the API that shapes this try, in place of the endpoint's; see [Options.WebhookVersion]
	Age            time.Duration // the timestamp is this old, with a signature that fits; negative: in the future
	WrongSignature bool          // signed with another secret

	// ChangeRun alters the payload, be it sent or downloaded, ChangeBody the
	// body that is sent. The signature is that of the changed body.
	ChangeRun, ChangeBody Change
	// Header is sent beside the ordinary headers, or in place of those of the
	// same name; a name without values takes one away.
	Header http.Header
}

// Pointer is the form of a payload that stays behind as a download.
type Pointer int

const (
	PointerNone   Pointer = iota // the payload itself
	PointerFull                  // {"object": "signed_data_url", "id", "data", "metadata"}
	PointerBare                  // {"data"}
	PointerString                // the URL as a JSON string; one public receiver knows this form
)
