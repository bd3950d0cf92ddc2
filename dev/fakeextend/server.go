package fakeextend

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// A Server is an in-memory Extend. It is an [http.Handler]; make one with
// [New] or [NewServer]. All methods may be called by several goroutines at once.
type Server struct {
	opts     Options
	fetching *http.Client
	sending  *http.Client
	schedule []time.Duration
	ctx      context.Context // over when the fake is closed
	cancel   context.CancelFunc
	work     sync.WaitGroup

	stepMu sync.Mutex // one step is told at a time; never taken while mu is held

	mu            sync.Mutex
	closed        bool
	busy          int           // background goroutines
	idle          chan struct{} // closed while busy is 0
	processors    map[string]*processor
	files         map[string]*file // that are not deleted
	filesMade     int
	links         int
	forms         int // objects written, for the next one's form
	uploads       int
	webhook       endpoint
	runs          []*run // in the order of creation
	byID          map[string]*run
	events        map[string]*event
	payloads      map[string]downloadable
	sets          []*evaluationSet
	items         int // of all sets, deleted ones too
	batches       []*batchRun
	workflows     map[string]*Workflow
	jobs          []worker // in the order of creation
	jobByID       map[string]worker
	jobsMade      int
	batchesMade   int // of workflow runs
	startedAt     time.Time
	accountEvents int
	calls         map[string]int // by route, for Call.N
	posts         []*Post
	requestN      int
	requests      map[RequestCount]int // Count is 0 in the keys
	refused       []Refusal
	unknown       map[string]int
	recent        []time.Time // requests of the last second
	starts        []time.Time // runs started in the last minute
	waiting       []*ticket   // over the throughput, next one first
	draining      bool        // a goroutine serves waiting
}

// New makes a fake, or names every fault of the options.
func New(opts Options) (*Server, error) {
	if err := opts.check(); err != nil {
		return nil, fmt.Errorf("fakeextend: %w", err)
	}
	if opts.MaxFileBytes == 0 {
		opts.MaxFileBytes = defaultMaxFileBytes
	}
	s := &Server{
		opts:       opts,
		fetching:   withoutRedirects(opts.Client),
		sending:    withoutRedirects(opts.WebhookClient),
		schedule:   opts.WebhookSchedule,
		processors: make(map[string]*processor),
		files:      make(map[string]*file),
		webhook:    endpoint{opts.WebhookURL, opts.WebhookSecret, cmp.Or(opts.WebhookVersion, apiVersion)},
		byID:       make(map[string]*run),
		workflows:  make(map[string]*Workflow),
		jobByID:    make(map[string]worker),
		startedAt:  time.Now(),
		events:     make(map[string]*event),
		payloads:   make(map[string]downloadable),
		calls:      make(map[string]int),
		requests:   make(map[RequestCount]int),
		unknown:    make(map[string]int),
		idle:       make(chan struct{}),
	}
	if s.schedule == nil {
		s.schedule = DefaultSchedule()
	}
	for _, p := range opts.Processors {
		s.addProcessor(p)
	}
	for _, w := range opts.Workflows {
		s.addWorkflow(w)
	}
	close(s.idle)
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s, nil
}

// NewServer starts a fake on a free port of this machine and returns it
// with its base URL. Both end with the test.
func NewServer(t testing.TB, opts Options) (*Server, string) {
	t.Helper()
	s, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s)
	t.Cleanup(func() {
		s.Close() // first: it ends the waits of handlers, which the server waits for
		server.Close()
	})
	return s, server.URL
}

// Close ends all background work and waits for it. Later requests get 503.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	s.work.Wait()
	s.fetching.CloseIdleConnections()
	s.sending.CloseIdleConnections()
}

// SetWebhook changes the webhook endpoint, for the URL is often known only
// after the fake's own. Tries made from now on use it. Two empty strings
// remove the endpoint.
func (s *Server) SetWebhook(url, secret string) error {
	if err := checkWebhook(url, secret); err != nil {
		return fmt.Errorf("fakeextend: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.webhook.url, s.webhook.secret = url, secret
	return nil
}

// SetWebhookVersion makes the endpoint one of another version of the API; see
// [Options.WebhookVersion]. Tries made from now on use it.
func (s *Server) SetWebhookVersion(version string) error {
	if err := checkWebhookVersion(version); err != nil {
		return fmt.Errorf("fakeextend: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.webhook.version = cmp.Or(version, apiVersion)
	return nil
}

// Wait returns when no background work is under way: every run has ended and
// every delivery is made or given up. It is how a test waits without sleeping.
// A run that never finishes, or a retry far off, makes it wait for ctx.
func (s *Server) Wait(ctx context.Context) error {
	for {
		s.mu.Lock()
		idle := s.idle
		done := s.busy == 0
		s.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-idle:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// background runs f in a goroutine that Close and Wait wait for. The caller
// holds mu.
func (s *Server) background(f func()) {
	if s.closed {
		return
	}
	if s.busy == 0 {
		s.idle = make(chan struct{})
	}
	s.busy++
	s.work.Go(func() {
		defer func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.busy--; s.busy == 0 {
				close(s.idle)
			}
		}()
		f()
	})
}

// pause waits for d and reports whether ctx still lives.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

func (s *Server) step(step Step) {
	if s.opts.OnStep == nil {
		return
	}
	s.stepMu.Lock()
	defer s.stepMu.Unlock()
	step.At = time.Now()
	s.opts.OnStep(step)
}

// withoutRedirects works on a copy: the caller's client stays as it is.
func withoutRedirects(client *http.Client) *http.Client {
	var c http.Client
	if client != nil {
		c = *client
	} else if t, ok := http.DefaultTransport.(*http.Transport); ok {
		c.Transport = t.Clone()
	}
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &c
}

const idLength = 21

const idAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// id derives an id from the seed and what it stands for, so that neither the
// clock nor the scheduling of goroutines shows in it.
func (s *Server) id(prefix string, length int, parts ...string) string {
	sum := s.mac(append([]string{prefix}, parts...)...)
	id := make([]byte, length)
	for i := range id {
		id[i] = idAlphabet[sum[i]%64]
	}
	return prefix + string(id)
}

// mac is a MAC of parts under the seed.
func (s *Server) mac(parts ...string) []byte {
	h := hmac.New(sha256.New, binary.BigEndian.AppendUint64(nil, s.opts.Seed))
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return h.Sum(nil)
}
