package simulation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"time"

	"extend-intake/dev/fakeextend"
	"extend-intake/shared/document"
	"extend-intake/shared/ledger"
)

// world is everything around the handlers, in one schedule. It lives in one
// bubble of testing/synctest, whose clock is the scheduler: see doc.go.
type world struct {
	seed     uint64
	set      settings
	start    time.Time
	calmFrom time.Time // no fault strikes from here on
	trace    *strings.Builder

	stack     stackConfig
	submit    *function
	webhook   *function
	reconcile *function
	publish   *function
	queue     *uploadQueue
	stream    *stream
	bus       *bus
	bucket    *bucket
	extend    *fakeextend.Server
	table     *ledger.Ledger
	tableOf   func(ledger.Rules) *ledger.Ledger // nil: the model
	outside   func(func())                      // does something with the table, outside of the bubble; nil: here

	mu         sync.Mutex // guards what follows, and the fields of the parts; held for moments only
	faults     faults
	pending    int // actions to come
	running    int // invocations
	ticks      int
	records    map[string]ledger.Record // as last written, with the output that is inline
	revisions  map[string][]*ledger.Record
	claims     map[attemptOf]int
	drifts     map[string]bool    // file names of runs with a member that is not as documented
	open       int                // how many of them are not terminal
	expected   map[string]*upload // by document id
	names      map[string]string  // of documents, for the trace
	uploaded   []*object
	garbage    []string                     // bodies that must end in the dead-letter queue
	outages    []outageSpan                 //
	made       int                          // runs
	outputs    map[string][]json.RawMessage // of runs, the newest last
	hidden     map[string]string            // file names of runs that no search could find, and why
	withdrawn  map[string]bool              // documents that a person withdrew
	wishes     map[document.Reprocess]bool  // what persons wanted reprocessed
	results    map[string][]byte            // the results bucket
	deliveries int
	others     map[string]bool // ids of the runs that somebody else in the workspace made
	copied     map[string]bool // documents whose tag was copied when nobody knew the outcome of the POST
	changed    map[string]bool // ids of the workflow's runs whose review a person has changed

	took        time.Duration
	violations  []string
	undecidable []undecided
}

// attemptOf is one attempt of one document.
type attemptOf struct {
	document string
	attempt  int
}

// settings are what a schedule decides besides its faults.
type settings struct {
	uploads       int
	spread        time.Duration // over which they arrive
	versioned     bool
	calmAfter     time.Duration
	limit         time.Duration // by then everything must be done
	lease         time.Duration
	confirm       time.Duration
	reconcile     time.Duration
	pause         time.Duration
	giveUp        time.Duration
	maxAttempts   int
	budget        int // of credits a day; 0 is none
	requests      int // a second, as configured
	files         int // a minute, as configured
	instances     int // of submit, at most
	sideBySide    int // messages of a batch; more than one, and a seed is no longer one schedule
	sends         bool
	postTakes     time.Duration // beside the latency
	uploadTakes   time.Duration
	planRequests  int // a second, as Extend has it; 0: no limit
	planFiles     int
	refuseFiles   bool
	longestRun    time.Duration
	longestLag    time.Duration // of a network, as a rule
	onlyUploads   bool          // nothing but uploads that are to be read
	sick          int           // of these, refused each time: with the status, or by a firewall
	sickness      int
	errorShape    fakeextend.ErrorShape
	retryAfter    fakeextend.RetryAfter
	explicitNulls bool
	shortPages    bool
	workflows     bool // some of the uploads go through a workflow
}

// upload is what is expected of one document.
type upload struct {
	name, id, sha256 string
	versioned        bool
	object           *object
	refused          int // Extend's final no, a status
	empty            bool
	deleted          bool // its object, at some time
	firewalled       bool // nothing about it gets through to Extend
	again            int  // how often the same was put again: each can have it read once more, if it came to nothing
}

// undecided is a document with more runs than attempts, and why that can't be helped.
type undecided struct{ document, why string }

// dice are random numbers that depend on the seed and on what they are for, and
// not on what else happens: a change in one place leaves the others as they were.
func (w *world) dice(parts ...any) *rand.Rand {
	h := fnv.New64a()
	for _, p := range parts {
		switch p := p.(type) {
		case string:
			_, _ = h.Write([]byte(p))
		case int:
			_, _ = h.Write([]byte(strconv.Itoa(p)))
		default:
			panic(fmt.Sprintf("dice for a %T", p))
		}
		_, _ = h.Write([]byte{0xff})
	}
	return rand.New(rand.NewPCG(w.seed, h.Sum64())) // #nosec G404 -- no secret: it has to be repeatable
}

// sharedDice are dice that several goroutines may throw at once.
func (w *world) sharedDice(parts ...any) *rand.Rand {
	return rand.New(&lockedSource{source: w.dice(parts...)}) // #nosec G404 -- as above
}

type lockedSource struct {
	mu     sync.Mutex
	source rand.Source
}

func (l *lockedSource) Uint64() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.source.Uint64()
}

// strike decides whether a fault happens here and now.
func (w *world) strike(dice *rand.Rand, k kind) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.faults.p[k] == 0 || dice.Float64() >= w.faults.p[k] || !time.Now().Before(w.calmFrom) {
		return false
	}
	w.faults.n[k]++
	return true
}

// between is a time from min to max, to the nanosecond: hardly ever do two
// things happen at one instant, and so their order is the seed's alone.
func between(dice *rand.Rand, min, max time.Duration) time.Duration {
	return min + time.Duration(dice.Int64N(int64(max-min)+1))
}

// latency is what a network or a service takes.
func (w *world) latency(dice *rand.Rand) time.Duration {
	if dice.IntN(10) == 0 {
		return between(dice, time.Millisecond, w.set.longestLag)
	}
	return between(dice, time.Millisecond, 20*time.Millisecond)
}

// later does something that the schedule must not end without.
func (w *world) later(d time.Duration, do func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pending++
	time.AfterFunc(d, func() {
		defer func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.pending--
		}()
		do()
	})
}

// tell writes a line of the trace: when, who, which document, what.
func (w *world) tell(actor, document, format string, args ...any) {
	if w.trace == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.line(actor, document, fmt.Sprintf(format, args...))
}

func (w *world) line(actor, document, text string) {
	if w.trace == nil {
		return
	}
	if name, ok := w.names[document]; ok {
		document = name
	}
	// net/http measures its time-out with two timers; whether its error says this depends on which one is first.
	text = strings.ReplaceAll(text, " (Client.Timeout exceeded while awaiting headers)", "")
	at := time.Since(w.start)
	fmt.Fprintf(w.trace, "%02d:%02d:%09.6f  %-12s %-4s %s\n", int(at.Hours()), int(at.Minutes())%60, (at % time.Minute).Seconds(), actor, document, text)
}

// violate records that a promise is broken.
func (w *world) violate(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.broken(format, args...)
}

func (w *world) broken(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	w.violations = append(w.violations, text)
	w.line("PROMISE", "", "BROKEN: "+text)
}

// wrote watches every write of the ledger.
func (w *world) wrote(actor string, old, next *ledger.Record) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var was ledger.Record
	from := "nothing"
	if old != nil {
		was, from = *old, string(old.State)
	}
	if w.trace != nil {
		text := fmt.Sprintf("ledger: %s → %s, attempt %d, revision %d", from, next.State, next.Attempt, next.Revision)
		if next.RunID != "" {
			text += ", run " + short(next.RunID)
		}
		if next.Reason != "" {
			text += " (" + next.Reason + ")"
		}
		w.line(actor, next.DocumentID, text)
	}
	if now, ok := w.records[next.DocumentID]; ok != (old != nil) || ok && now.Version != old.Version {
		w.broken("%s: a write on a record that had changed", w.nameOf(next.DocumentID))
	}
	if next.Version != was.Version+1 {
		w.broken("%s: writes go from %d to %d", w.nameOf(next.DocumentID), was.Version, next.Version)
	}
	if next.Attempt < was.Attempt {
		w.broken("%s: attempts go from %d to %d", w.nameOf(next.DocumentID), was.Attempt, next.Attempt)
	}
	seen := 0
	if announces(next) && visible(next) != visible(&was) {
		seen = 1
	}
	if actor == "person" && was.State.Terminal() && next.State == was.State { // consumers are told once more
		seen++
	}
	if next.Revision != was.Revision+seen {
		w.broken("%s: revision goes from %d to %d with %d visible changes", w.nameOf(next.DocumentID), was.Revision, next.Revision, seen)
	}
	if was.RunID != "" && next.Attempt == was.Attempt && next.RunID != was.RunID && next.RunAttempt == 0 { // an earlier run can turn out well after all
		w.broken("%s: the run of attempt %d was %s and is %s", w.nameOf(next.DocumentID), next.Attempt, was.RunID, next.RunID)
	}
	gaveUp := was.FailureReason == ledger.NoAnswer || was.FailureReason == ledger.RunNotFound || was.FailureReason == ledger.UnreadableAnswer
	if was.State.Terminal() && next.State == ledger.NeedsReview && next.Attempt == was.Attempt && !gaveUp {
		w.broken("%s: a person is asked after the end, which was %s", w.nameOf(next.DocumentID), was.State)
	}
	if w.faults.p[linkQuoted] > 0 && strings.Contains(fmt.Sprintf("%+v", *next), credential) {
		w.broken("%s: a credential is stored", w.nameOf(next.DocumentID))
	}
	if strings.Contains(string(next.Output), forgery) || strings.Contains(next.FailureMessage, forgery) {
		w.broken("%s: stored what a stranger sent", w.nameOf(next.DocumentID))
	}
	if u := w.expected[next.DocumentID]; u != nil && (w.others[next.RunID] || w.others[next.OutputRunID]) && !w.copied[next.DocumentID] {
		w.broken("%s: stored the run of somebody else", u.name)
	}
	switch {
	case !next.State.Terminal() && (old == nil || was.State.Terminal()):
		w.open++
	case next.State.Terminal() && old != nil && !was.State.Terminal():
		w.open--
	}
	if next.ClaimNumber > was.ClaimNumber {
		w.claims[attemptOf{next.DocumentID, next.Attempt}]++
	}
	before := &was
	if old == nil {
		before = nil
	}
	was.Output = w.records[next.DocumentID].Output
	now := *next
	if now.Output == nil && now.OutputLocation == "" {
		now.Output = was.Output // a write leaves it where it is
	}
	if now.Revision > was.Revision {
		w.revisions[next.DocumentID] = append(w.revisions[next.DocumentID], &now)
	}
	w.records[next.DocumentID] = now
	w.stream.wrote(before, &now)
}

// announces reports whether a record is in a state that consumers are told of.
func announces(r *ledger.Record) bool {
	return r.State.Terminal() && r.State != ledger.Skipped || r.State == ledger.NeedsReview
}

// visible is what a consumer can see of a record in a state that consumers are told of.
func visible(r *ledger.Record) (v struct {
	seen                           bool
	attempt                        int
	state, run, digest             string
	outputRun, location, why, text string
}) {
	if !r.State.Terminal() && !announces(r) {
		return v
	}
	v.seen, v.attempt, v.state, v.run, v.digest = true, r.Attempt, string(r.State), r.RunID, r.Digest
	v.outputRun, v.location, v.why, v.text = r.OutputRunID, r.OutputLocation, r.FailureReason, r.FailureMessage
	return v
}

func (w *world) nameOf(document string) string {
	if name, ok := w.names[document]; ok {
		return name
	}
	return document
}

// drained reports whether nothing is left to happen, and else what is.
func (w *world) drained() (bool, string) {
	w.mu.Lock()
	why := ""
	for id, u := range w.expected {
		if _, ok := w.records[id]; !ok {
			why = "no record of " + u.name
			break
		}
	}
	switch {
	case why != "":
	case w.open > 0:
		why = fmt.Sprintf("%d documents are not terminal", w.open)
	case !w.stream.idle():
		why = "the stream has records that are not announced"
	case len(w.queue.messages) > 0:
		why = fmt.Sprintf("%d messages are in the upload queue", len(w.queue.messages))
	case w.pending > 0 || w.running > 0 || w.queue.polling > 0 || w.queue.busy > 0:
		why = fmt.Sprintf("%d actions to come, %d invocations under way", w.pending+w.queue.polling, w.running)
	}
	w.mu.Unlock()
	if why == "" {
		over, cancel := context.WithCancel(context.Background())
		cancel()
		if w.extend.Wait(over) != nil {
			why = "Extend still has something to do"
		}
	}
	return why == "", why
}

// newWorld builds the world of a seed. Nothing happens in it yet.
func newWorld(seed uint64, options ...func(*world)) *world {
	w := &world{
		seed: seed, start: time.Now(),
		records: map[string]ledger.Record{}, expected: map[string]*upload{}, names: map[string]string{},
		outputs: map[string][]json.RawMessage{}, hidden: map[string]string{}, wishes: map[document.Reprocess]bool{}, withdrawn: map[string]bool{}, claims: map[attemptOf]int{}, drifts: map[string]bool{}, results: map[string][]byte{},
		revisions: map[string][]*ledger.Record{}, others: map[string]bool{}, copied: map[string]bool{}, changed: map[string]bool{},
	}
	dice := w.dice("settings")
	pick := func(d ...time.Duration) time.Duration { return d[dice.IntN(len(d))] }
	w.set = settings{
		uploads: 1 + dice.IntN(6), spread: pick(time.Second, time.Minute, 20*time.Minute), versioned: dice.IntN(4) > 0,
		calmAfter: pick(20*time.Minute, 40*time.Minute, 2*time.Hour), limit: 48 * time.Hour,
		lease: 3 * time.Minute, confirm: pick(2*time.Minute, 5*time.Minute, 10*time.Minute),
		reconcile: pick(2*time.Minute, 10*time.Minute, 30*time.Minute), pause: pick(time.Minute, 5*time.Minute),
		giveUp: 6 * time.Hour, maxAttempts: 1 + dice.IntN(3), requests: 10, files: 80, instances: concurrency, sideBySide: 1,
		longestRun: pick(time.Second, time.Minute, 15*time.Minute), longestLag: pick(50*time.Millisecond, time.Second),
		errorShape: fakeextend.ErrorShape(dice.IntN(3)), retryAfter: fakeextend.RetryAfter(dice.IntN(3)),
		explicitNulls: dice.IntN(2) == 0, shortPages: dice.IntN(4) == 0, workflows: w.dice("workflows").IntN(2) == 0,
	}
	w.faults = swarm(w.dice("swarm"))
	for _, o := range options {
		o(w)
	}
	w.calmFrom = w.start.Add(w.set.calmAfter)
	if w.strike(dice, smallPlan) {
		w.set.planRequests, w.set.planFiles, w.set.refuseFiles = 1+dice.IntN(5), 1+dice.IntN(4), dice.IntN(2) == 0
	}
	w.stack = w.config()
	w.table = ledger.NewMemory(w.stack.submit.Rules, time.Now)
	if w.tableOf != nil {
		w.table = w.tableOf(w.stack.submit.Rules)
	}
	timeout := time.Minute
	if w.set.sends {
		timeout = 170 * time.Second
	}
	w.submit = w.newFunction("submit", timeout, w.wireSubmit)
	w.webhook = w.newFunction("webhook", 29*time.Second, w.wireWebhook)
	w.reconcile = w.newFunction("reconcile", time.Minute, w.wireReconcile)
	w.publish = w.newFunction("publish", time.Minute, w.wirePublish)
	w.stream = w.newStream()
	w.bus = &bus{w: w, taken: map[string]*announcement{}, refusals: map[string]string{}}
	w.queue = &uploadQueue{w: w, handed: map[string]*message{}}
	w.bucket = &bucket{w: w, objects: map[string]*object{}}
	w.extend = w.newExtend()
	return w
}

// run lets the schedule happen and then checks the promises.
func (w *world) run() {
	w.plan()
	w.later(between(w.dice("first tick"), 0, time.Minute), w.tick)
	dice := w.dice("drained")
	for {
		time.Sleep(between(dice, 29*time.Second, 31*time.Second))
		ok, why := w.drained()
		if ok {
			break
		}
		if time.Since(w.start) > w.set.limit {
			w.violate("not done after %v: %s", w.set.limit, why)
			break
		}
	}
	w.mu.Lock()
	w.ticks = -1 // no more
	w.mu.Unlock()
	w.took = time.Since(w.start)
	w.promises()
	w.extend.Close()
	time.Sleep(3 * time.Minute) // whatever sleeps in an invocation that is dead
}

// tick is the minute's invocation of reconcile. Where it would find nothing, it is
// left out.
func (w *world) tick() {
	w.mu.Lock()
	over := w.ticks < 0
	w.ticks++
	n, idle := w.ticks, true
	for _, rec := range w.records {
		if !rec.State.Terminal() && time.Since(rec.NextCheckAt) > -30*time.Second {
			idle = false
		}
	}
	w.mu.Unlock()
	if over {
		return
	}
	dice := w.dice("tick", n)
	time.AfterFunc(time.Minute+between(dice, 0, time.Second), w.tick)
	if idle || w.strike(dice, tickSkipped) {
		return
	}
	w.reconcile.invoke(nil, func(answer any, err error) { w.tell("schedule", "", "reconcile: %+v %v", answer, err) })
	if w.strike(dice, tickTwice) {
		time.AfterFunc(between(dice, 0, time.Second), func() { w.reconcile.invoke(nil, func(any, error) {}) })
	}
}

var errFault = errors.New("simulated fault")

// logs sends what handlers log into the trace of their world, and else nowhere.
type logs struct{ attrs []slog.Attr }

type actorKey struct{}

func (l logs) Enabled(ctx context.Context, _ slog.Level) bool {
	in, ok := ctx.Value(actorKey{}).(*instance)
	return ok && (in.fn.w.trace != nil || in.fn.w.faults.p[linkQuoted] > 0)
}

func (l logs) Handle(ctx context.Context, r slog.Record) error {
	in := ctx.Value(actorKey{}).(*instance)
	text := strings.ToLower(r.Level.String()) + ": " + r.Message
	document := ""
	var add func(slog.Attr) bool
	add = func(a slog.Attr) bool {
		switch a.Key {
		case "": // none at all, or a group whose attributes are the line's own
			if a.Equal(slog.Attr{}) {
				break
			}
			for _, inner := range a.Value.Resolve().Group() {
				add(inner)
			}
		case "document_id":
			document = a.Value.String()
		case "object", "stack", "event_type":
		default:
			text += fmt.Sprintf(" %s=%v", a.Key, a.Value.Resolve())
		}
		return true
	}
	for _, a := range l.attrs {
		add(a)
	}
	r.Attrs(add)
	if strings.Contains(text, credential) {
		in.fn.w.violate("a credential is logged: %s", text)
	}
	in.fn.w.tell(in.name, document, "  %s", text)
	return nil
}

func (l logs) WithAttrs(attrs []slog.Attr) slog.Handler {
	return logs{append(l.attrs[:len(l.attrs):len(l.attrs)], attrs...)}
}

func (l logs) WithGroup(string) slog.Handler { return l }
