package fakeextend

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Processor types, as Extend spells them.
const (
	Extract  = "EXTRACT"
	Classify = "CLASSIFY"
	Splitter = "SPLITTER"
)

// A Processor is one that the fake account owns.
type Processor struct {
	ID   string // dp_…
	Name string // "" takes the ID
	Type string // Extract, Classify or Splitter

	// Versions are the published versions, oldest first, such as "1.0", "2.1".
	// "latest" means the last of them, or the draft when there are none.
	Versions []string

	// Config is that of the draft and of all Versions; nil takes one that is made up.
	Config json.RawMessage

	// Subscribed says that the processor has a webhook subscription. Without
	// one, its runs end silently, as with Extend.
	Subscribed bool
}

// ErrorShape chooses between the error bodies that have been published or seen.
type ErrorShape int

const (
	Structured ErrorShape = iota // {"code", "message", "requestId", "retryable"}
	Plain                        // {"success": false, "error": text}; for 429 only {"error": text}
	Nested                       // {"error": {"code", "message", "requestId", "retryable"}}
)

// RetryAfter chooses the header of a 429 that the plan's limits cause.
type RetryAfter int

const (
	RetryAfterNone    RetryAfter = iota // no header: the vendor promises none
	RetryAfterSeconds                   // whole seconds
	RetryAfterDate                      // an HTTP date
)

// Options describe the fake account, its plan and its faults. APIKey and
// Processors must be set; every other zero value is a quiet, unlimited account.
type Options struct {
	APIKey        string
	Processors    []Processor
	Workflows     []Workflow
	EditTemplates []EditTemplate

	// WorkspaceID makes the key an organization-scoped one: every request must
	// name this workspace in x-extend-workspace-id.
	WorkspaceID string

	// WebhookURL and WebhookSecret are the webhook endpoint; see also
	// [Server.SetWebhook].
	WebhookURL, WebhookSecret string
	// WebhookVersion is the API version that the endpoint was made for, which
	// shapes what is delivered: 2025-04-21, which "" means, or 2026-02-09.
	// [Server.SetWebhookVersion] changes it.
	WebhookVersion string
	// WebhookSchedule holds the pauses between the tries of one delivery. The
	// vendor's own schedule is unpublished; nil takes [DefaultSchedule], an
	// empty slice means one try only.
	WebhookSchedule []time.Duration

	// Events names types of events that the endpoint is subscribed to for the whole
	// account, beside those of processors and workflows that are Subscribed: such as
	// processor.created, parser_run.processed or workflow_run.step_run.processed.
	Events []string
	// SubscribeCreated gives a subscription to processors that are made by a request.
	SubscribeCreated bool

	// Client fetches file URLs and WebhookClient delivers webhooks. Neither
	// follows redirects. nil takes a client of the fake's own.
	Client, WebhookClient *http.Client

	// Processing says how long a run takes once its file is there and the plan
	// lets it start. nil takes no time.
	Processing func(RunInfo) time.Duration
	// ParserTime, EditTime and WorkflowTime say the same of those runs, BatchTime of
	// a processor's run over an evaluation set. CancelTime is how long a workflow run
	// is CANCELLING.
	ParserTime, EditTime, WorkflowTime func(JobInfo) time.Duration
	BatchTime, CancelTime              time.Duration
	// Output replaces the output that the fake makes up. It must return a
	// JSON object; anything else fails the run.
	Output func(RunInfo) json.RawMessage
	// RewritesPaths makes the fetching client resolve . and .. and double slashes
	// in the path of a file URL before it sends it, as most HTTP clients do; the
	// signature of a presigned URL does not fit after that.
	RewritesPaths bool
	// MaxFileBytes is the largest file; 0 means 100 MiB. The vendor publishes no number.
	MaxFileBytes int64

	// RequestsPerSecond and FilesPerMinute are the plan; 0 means no limit.
	// Requests over the limit get 429. Files over the limit are accepted and
	// wait as PENDING, lower priority value first, unless RefuseFiles says 429.
	RequestsPerSecond, FilesPerMinute int
	RefuseFiles                       bool
	RetryAfter                        RetryAfter

	ErrorShape ErrorShape
	// ExplicitNulls sends null where an optional field would be absent or {}.
	ExplicitNulls bool
	// NoExtraFields leaves out the unknown field that is otherwise part of every
	// object, by which a decoder shows that it ignores what it does not know.
	NoExtraFields bool
	// ShortPages answers lists with fewer items than asked for, which the
	// vendor allows at any time.
	ShortPages bool

	// PayloadBaseURL is where signed payload URLs point; "" takes the address
	// that the run was created at.
	PayloadBaseURL string

	// Seed decides all ids and tokens, together with the order of calls.
	Seed uint64

	// Fault is asked once per API request that has a good key and version
	// header; DeliveryFault once before each try of a delivery. Both may be
	// called by several goroutines at once.
	Fault         func(Call) Fault
	DeliveryFault func(Delivery) DeliveryFault

	// OnStep is told what happens, one step at a time. It must not call back
	// into the Server, save for the inspecting methods such as Runs.
	OnStep func(Step)
}

// Fixed is an [Options.Processing] that is the same for every run.
func Fixed(d time.Duration) func(RunInfo) time.Duration {
	return func(RunInfo) time.Duration { return d }
}

// DefaultSchedule returns the pauses between the tries of a delivery that are
// used when [Options.WebhookSchedule] is nil. They are ours: the vendor says
// "exponential backoff" and publishes no numbers.
func DefaultSchedule() []time.Duration {
	return []time.Duration{
		time.Second, 5 * time.Second, 30 * time.Second, 2 * time.Minute,
		10 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour,
	}
}

const defaultMaxFileBytes = 100 << 20

// check names every fault of the options at once.
func (o *Options) check() error {
	var errs []error
	if o.APIKey == "" {
		errs = append(errs, errors.New("no APIKey"))
	}
	if len(o.Processors) == 0 {
		errs = append(errs, errors.New("no Processors"))
	}
	seen := make(map[string]bool)
	for i, p := range o.Processors {
		switch {
		case !strings.HasPrefix(p.ID, "dp_") || len(p.ID) == len("dp_"):
			errs = append(errs, fmt.Errorf("processor %d: id %q is not dp_…", i, p.ID))
		case seen[p.ID]:
			errs = append(errs, fmt.Errorf("processor %d: id %q occurs twice", i, p.ID))
		}
		seen[p.ID] = true
		if !slices.Contains(processorTypes, p.Type) {
			errs = append(errs, fmt.Errorf("processor %d: type %q is not one of %s", i, p.Type, strings.Join(processorTypes, ", ")))
		} else if ref := checkConfig(p.Config, p.Type); ref != nil {
			errs = append(errs, fmt.Errorf("processor %d: %s", i, ref.message))
		}
	}
	if err := checkWebhook(o.WebhookURL, o.WebhookSecret); err != nil {
		errs = append(errs, err)
	}
	if err := checkWebhookVersion(o.WebhookVersion); err != nil {
		errs = append(errs, err)
	}
	if o.PayloadBaseURL != "" {
		if err := checkURL(o.PayloadBaseURL); err != nil {
			errs = append(errs, fmt.Errorf("payload base URL: %w", err))
		}
	}
	seenWorkflow := make(map[string]bool)
	for i, w := range o.Workflows {
		if !strings.HasPrefix(w.ID, "workflow_") || seenWorkflow[w.ID] {
			errs = append(errs, fmt.Errorf("workflow %d: id %q is not workflow_…, or occurs twice", i, w.ID))
		}
		seenWorkflow[w.ID] = true
	}
	for i, t := range o.EditTemplates {
		if !strings.HasPrefix(t.ID, "edt_") || t.FileName == "" {
			errs = append(errs, fmt.Errorf("edit template %d: id %q is not edt_…, or there is no FileName", i, t.ID))
		}
		if t.Config != nil && !fits(t.Config, "EditConfig") || t.SchemaConfig != nil && !fits(t.SchemaConfig, "EditSchemaGenerationConfig") {
			errs = append(errs, fmt.Errorf("edit template %d: Config or SchemaConfig is not what the contract says", i))
		}
	}
	if o.BatchTime < 0 || o.CancelTime < 0 {
		errs = append(errs, errors.New("negative BatchTime or CancelTime"))
	}
	if o.RequestsPerSecond < 0 || o.FilesPerMinute < 0 || o.MaxFileBytes < 0 {
		errs = append(errs, errors.New("negative RequestsPerSecond, FilesPerMinute or MaxFileBytes"))
	}
	for _, d := range o.WebhookSchedule {
		if d < 0 {
			errs = append(errs, fmt.Errorf("negative pause %v in WebhookSchedule", d))
		}
	}
	return errors.Join(errs...)
}

// checkWebhook accepts no endpoint at all, or one that is whole.
func checkWebhook(address, secret string) error {
	if address == "" && secret == "" {
		return nil
	}
	if secret == "" {
		return errors.New("webhook: secret is empty")
	}
	if err := checkURL(address); err != nil {
		return fmt.Errorf("webhook: %w", err)
	}
	return nil
}

func checkWebhookVersion(version string) error {
	if version != "" && version != apiVersion && version != laterVersion {
		return fmt.Errorf("webhook: deliveries of API version %q are not known", version)
	}
	return nil
}

// checkURL never repeats the URL in its error: it may carry a signature.
func checkURL(address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return errors.New("not an absolute http or https URL")
	}
	return nil
}

// A Step is one thing that happened, for a person who watches. It never holds a
// URL or a key.
type Step struct {
	At       time.Time
	Kind     StepKind
	RunID    string
	EventID  string
	FileName string
	Bytes    int64 // of the file, or of the delivery
	Status   int   // HTTP status; 0 when there was none
	Detail   string
}

// StepKind names a kind of [Step].
type StepKind string

// What a [Step] can tell.
const (
	RunCreated       StepKind = "run created"
	RunStarted       StepKind = "run started" // told only of runs that were PENDING first
	FileUploaded     StepKind = "file uploaded"
	FileFetched      StepKind = "file fetched"
	FileNotFetched   StepKind = "file not fetched"
	RunFinished      StepKind = "run finished" // Detail is the final status
	RunNeedsReview   StepKind = "run needs review"
	RunReviewed      StepKind = "run reviewed"
	RunDeleted       StepKind = "run deleted"
	WebhookDelivered StepKind = "webhook delivered"
	WebhookRefused   StepKind = "webhook refused" // not answered 2xx, or not answered
	WebhookGivenUp   StepKind = "webhook given up"
	WebhookNotSent   StepKind = "webhook not sent"
	RequestRefused   StepKind = "request refused"
	FaultInjected    StepKind = "fault injected"
)
