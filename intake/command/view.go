package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	"github.com/spf13/cobra"

	"extend-intake/intake/exit"
	"extend-intake/intake/selector"
	"extend-intake/intake/stack"
	"extend-intake/intake/view"
	"extend-intake/shared/document"
	"extend-intake/shared/extend"
	"extend-intake/shared/ledger"
	"extend-intake/shared/queue"
)

func init() { register(newView) }

func newView(e *Env) *cobra.Command {
	var port, cacheMB int
	var noBrowser, write bool
	var threshold float64
	var idle string
	cmd := e.leaf(spec{
		use: "view [DOCUMENT] [flags]", short: "Show documents beside what was read from them, in a browser", class: Read, args: cobra.MaximumNArgs(1),
		long: `view serves a page on this machine: the original at the left, at the right what was read from
it, with its confidence and its places. It prints the page's address and opens it in a browser.

Only this machine reaches the page, and only who knows its address. It ends with Ctrl-C, or when
nobody has looked for a while. It only reads, unless --write lets you reprocess documents.`,
		example: `  intake view
  intake view doc_… --no-browser
  intake view --write`,
		// What --write sends takes the rights of reprocess.
		calls: append([]string{
			"dynamodb:Query", "dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:DescribeTable", "s3:GetObject", "s3:GetObjectVersion", "sqs:GetQueueAttributes",
			"cloudwatch:GetMetricData", "cloudwatch:DescribeAlarms", "lambda:ListEventSourceMappings", "secretsmanager:GetSecretValue", "logs:FilterLogEvents",
		}, peekCalls...),
		run: func(ctx context.Context, args []string) error {
			patience, err := selector.Span("--idle", idle)
			if err != nil {
				return err
			}
			if cacheMB < 1 || threshold <= 0 || threshold > 1 || patience < time.Second {
				return exit.New(exit.Usage, "--cache-mb is 1 or more, --threshold is above 0 and at most 1, --idle is 1s or more")
			}
			s, err := e.Stack(ctx)
			if err != nil {
				return err
			}
			path := ""
			if len(args) == 1 {
				id, err := e.documentID(ctx, s, args[0])
				if err != nil {
					return err
				}
				path = "documents/" + url.PathEscape(id)
			}
			shown, err := e.viewOf(s, write)
			if err != nil {
				return err
			}
			page, err := view.New(shown, view.Options{Threshold: threshold, Idle: patience, CacheBytes: int64(cacheMB) * 1_000_000, Command: e.commandLine(), Now: e.Now})
			if err != nil {
				return err
			}
			defer page.Close()
			listener, err := view.Listen(port)
			if err != nil {
				return err
			}
			address := page.URL(listener.Addr()) + path
			if _, err := fmt.Fprintln(e.Stdout, address); err != nil {
				_ = listener.Close()
				return err
			}
			e.Notef("The page is for you on this machine alone: whoever has its address can read the documents. Ctrl-C ends it.")
			if !noBrowser {
				openBrowser(ctx, address)
			}
			err = page.Serve(ctx, listener)
			if errors.Is(err, view.ErrIdle) {
				e.Notef("The page has ended: %v (--idle %s).", err, idle)
				return nil
			}
			return err
		},
	})
	flags := cmd.Flags()
	flags.IntVar(&port, "port", 0, "the `port` of the page; 0 is any that is free")
	flags.BoolVar(&noBrowser, "no-browser", false, "open no browser")
	flags.BoolVar(&write, "write", false, "let the page reprocess documents, which costs credits; it asks first")
	flags.Float64Var(&threshold, "threshold", 0.8, "the `confidence` below which a value counts as low")
	flags.IntVar(&cacheMB, "cache-mb", 500, "how many `megabytes` the copies of documents may take on disk while the page runs")
	flags.StringVar(&idle, "idle", "30m", "end when nobody has looked for this `time`")
	return cmd
}

// commandLine is what people type for this command and this stack.
func (e *Env) commandLine() string {
	line := "intake"
	for _, flag := range []struct{ name, value string }{{"--stack", e.stackName}, {"--env", e.environment}, {"--region", e.region}, {"--profile", e.profile}} {
		if flag.value != "" {
			line += " " + flag.name + " " + flag.value
		}
	}
	return line
}

// documentID is the id of the document that is named.
func (e *Env) documentID(ctx context.Context, s *stack.Stack, name string) (string, error) {
	sel, err := e.Select([]string{name}, selector.Flags{})
	if err != nil {
		return "", err
	}
	for item, err := range e.Finder(s).Find(ctx, sel, "") {
		if err != nil {
			return "", err
		}
		if item.Missing() {
			break
		}
		return item.DocumentID, nil
	}
	return "", exit.New(exit.NotFound, "%q: there is no such document", name)
}

// openBrowser opens an address if it can. It is printed anyway.
func openBrowser(ctx context.Context, address string) {
	name, args := "xdg-open", []string{address}
	switch runtime.GOOS {
	case "darwin":
		name = "open"
	case "windows":
		name, args = "rundll32", []string{"url.dll,FileProtocolHandler", address}
	}
	_ = exec.CommandContext(context.WithoutCancel(ctx), name, args...).Start() // #nosec G204 -- an address of our own
}

// viewOf is the stack as the page sees it.
func (e *Env) viewOf(s *stack.Stack, write bool) (view.Stack, error) {
	client, err := s.Extend()
	if err != nil {
		return view.Stack{}, err
	}
	routes, err := s.Routes()
	if err != nil {
		return view.Stack{}, err
	}
	v := view.Stack{
		Name: s.Name, Account: s.Account, Region: s.Region,
		Status:    func(ctx context.Context) (*view.Status, error) { return e.viewStatus(ctx, s) },
		Documents: func(ctx context.Context, q view.Query) (*view.List, error) { return e.viewList(ctx, s, q) },
		Document: func(ctx context.Context, id string) (*ledger.Record, error) {
			rec, err := s.Ledger().Get(ctx, id)
			if errors.Is(err, ledger.ErrNotFound) && !strings.HasPrefix(id, "doc_") {
				return s.Ledger().ByRun(ctx, id)
			}
			return rec, err
		},
		Output: func(ctx context.Context, rec *ledger.Record) (json.RawMessage, error) { return outputOf(ctx, s, rec) },
		Outputs: func(ctx context.Context, ids []string) (map[string]json.RawMessage, error) {
			return outputsOf(ctx, s.Ledger(), ids)
		},
		Original: func(ctx context.Context, rec *ledger.Record) (*view.Original, error) { return originalOf(ctx, s, rec) },
		Run:      func(ctx context.Context, id string) (*view.Run, error) { return runOf(ctx, client, id) },
		Converted: func(ctx context.Context, rec *ledger.Record) (*view.Original, error) {
			return convertedOf(ctx, client, rec)
		},
		DeadLetters: func(ctx context.Context) ([]view.DeadLetter, error) { return viewDeadLetters(ctx, s) },
		Logs:        func(ctx context.Context, rec *ledger.Record) ([]view.LogLine, error) { return e.viewLogs(ctx, s, rec) },
		Cost:        func(ctx context.Context, recs []*ledger.Record) (string, error) { return viewCost(ctx, s, recs) },
	}
	for _, r := range routes {
		v.Routes = append(v.Routes, r.Name)
	}
	if write {
		q := queue.New(s.SQS(), s.Outputs["UploadQueueUrl"])
		v.Reprocess = func(ctx context.Context, rec *ledger.Record, why string) error {
			if why := leftOut(selector.Item{Row: ledger.Row{DocumentID: rec.DocumentID, State: rec.State, Record: rec}}, s.Bucket(), selector.Selection{IDs: []string{rec.DocumentID}}); why != "" {
				return errors.New(why)
			}
			by, err := e.Caller(ctx, s)
			if err != nil {
				return err
			}
			return q.Send(ctx, queue.Message{Body: document.ReprocessMessage(document.Reprocess{DocumentID: rec.DocumentID, Attempt: rec.Attempt + 1, By: by, Why: why})})
		}
	}
	return v, nil
}

func (e *Env) viewStatus(ctx context.Context, s *stack.Stack) (*view.Status, error) {
	status, err := e.status(ctx, s, false)
	if err != nil {
		return nil, err
	}
	v := &view.Status{
		CountsAbout: "in the last 24 hours", Queued: status.Queue.total(), DrainIn: time.Duration(status.Drain.Seconds) * time.Second,
		PerMinute: fmt.Sprintf("%g files a minute at most", status.Rate), Credits: fmt.Sprintf("%.6g", status.Credits24h),
		UploadLetters: status.DeadLetters.Uploads, AnnouncementLetters: status.DeadLetters.Announcements, Paused: status.Pause,
		States: map[ledger.State]int{
			ledger.Waiting: status.OnTheWay.Waiting, ledger.Submitting: status.OnTheWay.Submitting,
			ledger.Unconfirmed: status.OnTheWay.Unconfirmed, ledger.Processing: status.OnTheWay.Processing,
			ledger.NeedsReview: status.OnTheWay.NeedsReview,
		},
	}
	for state, n := range status.Ended24h {
		v.States[ledger.State(state)] = n
	}
	for _, a := range status.Alarms {
		v.Alarms = append(v.Alarms, view.Alarm{Name: a.Name, Meaning: a.Says, Since: a.Since})
	}
	return v, nil
}

// maxRead is how many documents are read for one page of the list. What the filters leave out
// counts, so that a page of a filter that fits few comes soon, with fewer rows.
const maxRead = 2000

func (e *Env) viewList(ctx context.Context, s *stack.Stack, q view.Query) (*view.List, error) {
	filter := selector.Filter{Since: q.Since, Until: q.Until}
	if q.State != "" {
		filter.States = []ledger.State{q.State}
	}
	keeps := selector.Filter{Route: q.Route, Reason: q.Reason}
	prefix := q.Prefix
	if strings.HasPrefix(prefix, "s3://") {
		bucket, key, _ := strings.Cut(strings.TrimPrefix(prefix, "s3://"), "/")
		if bucket != s.Bucket() {
			return nil, fmt.Errorf("s3://%s is not the bucket of this stack, which is s3://%s", bucket, s.Bucket())
		}
		prefix = key
	}
	list, kept, read := &view.List{}, []selector.Item(nil), 0
	for item, err := range e.Finder(s).Find(ctx, selector.Selection{Filter: filter}, q.After) {
		if err != nil {
			return nil, err
		}
		if len(list.Rows) == q.Limit || read == maxRead {
			list.Next = selector.After(kept)
			break
		}
		read++
		if len(kept) > 0 && !kept[len(kept)-1].Time.Equal(item.Time) {
			kept = kept[:0]
		}
		kept = append(kept, item)
		switch {
		case item.Record != nil && keeps.Keeps(item.Record, e.Now(), 0) && strings.HasPrefix(item.Record.Key, prefix):
			list.Rows = append(list.Rows, view.Row{Record: item.Record})
		case item.Problem != nil && q.Route == "" && q.Reason == "" && prefix == "":
			list.Rows = append(list.Rows, view.Row{Record: &ledger.Record{DocumentID: item.DocumentID, State: item.State}, Problem: item.Problem.Error()})
		}
	}
	return list, nil
}

// outputsOf reads inline outputs, several at once. One that can't be read is left out.
func outputsOf(ctx context.Context, l *ledger.Ledger, ids []string) (map[string]json.RawMessage, error) {
	found := make(map[string]json.RawMessage, len(ids))
	var mu sync.Mutex
	var wg sync.WaitGroup
	slots := make(chan struct{}, 8)
	for _, id := range ids {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			output, err := l.Output(ctx, id)
			if err != nil || output == nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			found[id] = output
		})
	}
	wg.Wait()
	return found, ctx.Err()
}

// originalOf opens the very version of an object that was read. In a bucket without versions
// it must still be the same content.
func originalOf(ctx context.Context, s *stack.Stack, rec *ledger.Record) (*view.Original, error) {
	in := &s3.GetObjectInput{Bucket: &rec.Bucket, Key: &rec.Key}
	if rec.VersionID != "" {
		in.VersionId = &rec.VersionID
	} else if rec.ETag != "" {
		in.IfMatch = aws.String(`"` + rec.ETag + `"`)
	}
	object, err := s.S3().GetObject(ctx, in, func(o *s3.Options) { o.DisableLogOutputChecksumValidationSkipped = true })
	if err == nil {
		return &view.Original{Body: object.Body, Size: contentLength(object)}, nil
	}
	code := ""
	if e, ok := errors.AsType[smithy.APIError](err); ok {
		code = e.ErrorCode()
	}
	status := 0
	if e, ok := errors.AsType[*awshttp.ResponseError](err); ok {
		status = e.HTTPStatusCode()
	}
	switch {
	case code == "InvalidObjectState":
		return nil, fmt.Errorf("%s: %w", rec.Object, view.ErrArchived)
	case status == http.StatusPreconditionFailed:
		return nil, fmt.Errorf("%s: another upload has replaced it: %w", rec.Object, view.ErrGone)
	case code == "NoSuchKey", code == "NoSuchVersion", code == "NoSuchBucket", status == http.StatusNotFound, status == http.StatusMethodNotAllowed:
		return nil, fmt.Errorf("%s: %w", rec.Object, view.ErrGone)
	}
	return nil, stack.Explain(err, "")
}

func contentLength(object *s3.GetObjectOutput) int64 {
	if object.ContentLength == nil {
		return -1
	}
	return *object.ContentLength
}

// runOf asks Extend for a run.
func runOf(ctx context.Context, client *extend.Client, id string) (*view.Run, error) {
	run, err := client.Runs.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	return &view.Run{Status: string(run.Status), Output: given(run.Output), InitialOutput: given(run.InitialOutput), ReviewedOutput: given(run.ReviewedOutput)}, nil
}

func given(output json.RawMessage) json.RawMessage {
	if string(output) == "null" {
		return nil
	}
	return output
}

// convertedOf opens the file that Extend keeps of a run: of an Office file, its PDF.
func convertedOf(ctx context.Context, client *extend.Client, rec *ledger.Record) (*view.Original, error) {
	if rec.RunID == "" {
		return nil, nil
	}
	run, err := client.Runs.Get(ctx, rec.RunID)
	if err != nil {
		return nil, err
	}
	var files []extend.File
	if err := json.Unmarshal(run.Files, &files); err != nil {
		return nil, err
	}
	for _, f := range files {
		if f.PresignedURL == "" {
			continue
		}
		body, err := client.Download(ctx, f.PresignedURL)
		if err != nil {
			return nil, err
		}
		return &view.Original{Body: body, Size: -1}, nil
	}
	return nil, nil
}

// viewDeadLetters looks into both dead-letter queues and puts the messages back.
func viewDeadLetters(ctx context.Context, s *stack.Stack) (letters []view.DeadLetter, err error) {
	for _, q := range []struct{ name, output string }{{uploadsQueue, "DeadLetterQueueUrl"}, {announcementsQueue, "AnnouncementsDeadLetterQueueUrl"}} {
		found, err := peek(ctx, s.SQS(), q.name, s.Outputs[q.output])
		unhide(context.WithoutCancel(ctx), s.SQS(), s.Outputs[q.output], found)
		if err != nil {
			return letters, fmt.Errorf("%s: %w", q.name, err)
		}
		for _, d := range found {
			letters = append(letters, view.DeadLetter{Queue: d.Queue, ID: d.ID, Reason: d.Reason, DocumentID: d.DocumentID, Body: d.Body, Do: d.Do, Since: d.Since})
		}
	}
	return letters, nil
}

// viewLogs reads what was logged about a document since it was uploaded.
func (e *Env) viewLogs(ctx context.Context, s *stack.Stack, rec *ledger.Record) (all []view.LogLine, err error) {
	from, until := rec.Since(), e.Now()
	if from.IsZero() {
		from = until.Add(-24 * time.Hour)
	}
	if rec.State.Terminal() {
		until = rec.FinishedAt.Add(5 * time.Minute)
	}
	lines, _, err := readLogs(ctx, s, logQuery{functions: functions, documents: []string{rec.DocumentID}, from: from.Add(-5 * time.Minute), until: until})
	for _, l := range lines {
		all = append(all, view.LogLine{Time: l.Time, Function: l.Function, Level: l.Level, Message: l.Message, Fields: l.details()})
	}
	return all, err
}

// viewCost estimates what it costs to read documents again, as `reprocess` does.
func viewCost(ctx context.Context, s *stack.Stack, recs []*ledger.Record) (string, error) {
	byRoute, err := estimates(ctx, s)
	if err != nil {
		return "", err
	}
	files := map[string]int{}
	for _, rec := range recs {
		files[rec.Route]++
	}
	return cost(files, byRoute, 0).String(), nil
}
