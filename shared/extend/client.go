package extend

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Version is the API version that this package speaks, sent with every request.
// A request without one is served as whatever version the key was made for.
// https://docs.extend.ai/2025-04-21/developers/api-versioning
const Version = "2025-04-21"

// The base URLs of the regions. Note that US2 is under another top-level domain.
// https://docs.extend.ai/2025-04-21/developers/deployments
const (
	BaseURLUS  = "https://api.extend.ai"
	BaseURLUS2 = "https://api.us2.extend.app"
	BaseURLEU1 = "https://api.eu1.extend.ai"
)

const (
	// defaultTimeout only ends what is dead. A caller who wants less says so with the context.
	defaultTimeout = 6 * time.Minute
	// maxAnswer bounds the memory that one answer can take.
	maxAnswer = 64 << 20
)

// KeyFunc returns the API key. It is asked before every request, so that a rotated key is used at once;
// it should therefore answer from a cache.
type KeyFunc func(context.Context) (string, error)

// StaticKey is the KeyFunc for a key that never changes.
func StaticKey(key string) KeyFunc {
	return func(context.Context) (string, error) { return key, nil }
}

// Client calls the API. It is safe for concurrent use. Make one with [NewClient].
type Client struct {
	Runs      *RunService      // a processor's work on a document: what most callers want
	BatchRuns *BatchRunService // a processor's work on an evaluation set

	Processors         *ProcessorService // what runs are made with
	EvaluationSets     *EvaluationSetService
	EvaluationSetItems *EvaluationSetItemService

	WorkflowRuns *WorkflowRunService // a document's way through several processors and people
	Workflows    *WorkflowService

	ParserRuns *ParserRunService // documents into text
	Files      *FileService      // what runs can read without a URL

	EditRuns      *EditRunService // forms that are filled in
	EditSchemas   *EditSchemaService
	EditTemplates *EditTemplateService

	key       KeyFunc
	base      string // without a slash at the end
	http      *http.Client
	workspace string
	userAgent string
	retry     Retry
	maxAnswer int64

	otherVersion func(ctx context.Context, said string) // nil: nobody is told
	limiter      func(context.Context) error            // nil: nothing to wait for
}

// Option changes a [Client] while it is made.
type Option func(*Client) error

// NewClient returns a client for the US region that retries as [Retry] says, unless the options say otherwise.
// Its error names every option that is wrong.
func NewClient(key KeyFunc, opts ...Option) (*Client, error) {
	c := &Client{
		key:       key,
		base:      BaseURLUS,
		http:      &http.Client{Timeout: defaultTimeout},
		userAgent: "extend-intake",
		maxAnswer: maxAnswer,
	}
	s := &service{client: c}
	c.Runs, c.BatchRuns, c.Processors = (*RunService)(s), (*BatchRunService)(s), (*ProcessorService)(s)
	c.EvaluationSets, c.EvaluationSetItems = (*EvaluationSetService)(s), (*EvaluationSetItemService)(s)
	c.WorkflowRuns, c.Workflows = (*WorkflowRunService)(s), (*WorkflowService)(s)
	c.ParserRuns, c.Files = (*ParserRunService)(s), (*FileService)(s)
	c.EditRuns, c.EditSchemas, c.EditTemplates = (*EditRunService)(s), (*EditSchemaService)(s), (*EditTemplateService)(s)

	var errs []error
	if key == nil {
		errs = append(errs, errors.New("extend: NewClient: key is nil"))
	}
	for _, opt := range opts {
		errs = append(errs, opt(c))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	c.retry = c.retry.withDefaults()
	c.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return c, nil
}

// WithBaseURL chooses another region or a server of your own. Use https wherever the network is not yours:
// every request carries the key.
func WithBaseURL(base string) Option {
	return func(c *Client) error {
		u, err := url.Parse(base)
		switch {
		case err != nil: // the text may hold a password: do not repeat it
			return errors.New("extend: WithBaseURL: not a URL")
		case u.User != nil:
			return errors.New("extend: WithBaseURL: must not hold a user or password")
		case u.Scheme != "https" && u.Scheme != "http", u.Host == "":
			return fmt.Errorf("extend: WithBaseURL: %q is not an absolute http or https URL", base)
		case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
			return fmt.Errorf("extend: WithBaseURL: %q has a query or a fragment", base)
		}
		c.base = strings.TrimRight(base, "/")
		return nil
	}
}

// WithHTTPClient sends requests with a copy of hc, so that hc keeps its own redirect policy. Its Timeout counts too, for
// each try; without this option that is six minutes, since a synchronous run may take five. Its Transport must not send a
// request twice: an [http.Transport] is kept from it.
func WithHTTPClient(hc *http.Client) Option {
	return func(c *Client) error {
		if hc == nil {
			return errors.New("extend: WithHTTPClient: client is nil")
		}
		c.http = new(*hc)
		return nil
	}
}

// WithWorkspace names the workspace (ws_…) of every request. A key of an organization needs it; "" sends none.
func WithWorkspace(id string) Option {
	return func(c *Client) error {
		if !headerSafe(id) {
			return errors.New("extend: WithWorkspace: id holds spaces or control characters")
		}
		c.workspace = id
		return nil
	}
}

// WithRetry sets the retry policy.
func WithRetry(r Retry) Option {
	return func(c *Client) error {
		if r.Attempts < 0 || r.Base < 0 || r.Max < 0 {
			return fmt.Errorf("extend: WithRetry: %+v has a negative field", r)
		}
		c.retry = r
		return nil
	}
}

// WithOtherVersion has f called for every answer that says in its header that it is of another version of the API than
// [Version]: the request's own header is lost on the way, or the version is no longer served.
func WithOtherVersion(f func(ctx context.Context, said string)) Option {
	return func(c *Client) error {
		c.otherVersion = f
		return nil
	}
}

// WithLimiter makes every request wait for a rate limiter: each page of a list, each poll of a Wait and each retry.
// A plan's limit of requests per second is one for all calls, so that a limiter is best shared by all clients of a key. The
// Wait method of a golang.org/x/time/rate limiter fits. If wait returns an error, the request is not sent.
func WithLimiter(wait func(context.Context) error) Option {
	return func(c *Client) error {
		c.limiter = wait
		return nil
	}
}

// WithUserAgent sets the User-Agent header.
func WithUserAgent(ua string) Option {
	return func(c *Client) error {
		if !headerSafe(strings.ReplaceAll(ua, " ", "")) {
			return errors.New("extend: WithUserAgent: value holds control characters")
		}
		c.userAgent = ua
		return nil
	}
}

// headerSafe reports whether s can be a header's value as it is: printable ASCII without spaces.
func headerSafe(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}
