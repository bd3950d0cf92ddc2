package command

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/spf13/cobra"

	"extend-intake/intake/exit"
	"extend-intake/intake/out"
	"extend-intake/intake/selector"
	"extend-intake/intake/show"
	"extend-intake/intake/stack"
	"extend-intake/shared/clean"
	"extend-intake/shared/document"
	"extend-intake/shared/extend"
	"extend-intake/shared/ledger"
)

func init() { register(newExplain) }

// Explained is the life of one document.
type Explained struct {
	Document show.Document `json:"document"`
	Why      string        `json:"why" jsonschema:"Why it is as it is, and what happens next."`
	Next     time.Time     `json:"next,omitzero" jsonschema:"When something happens next by itself, about."`
	Route    string        `json:"route,omitempty" jsonschema:"The route that takes the key now; empty: none does."`
	Object   string        `json:"object,omitempty" jsonschema:"What S3 says of the uploaded version now."`
	AtExtend string        `json:"atExtend,omitempty" jsonschema:"What Extend says of the run now."`
	Do       []string      `json:"do" jsonschema:"What can be done."`
	Lines    []LogLine     `json:"lines" jsonschema:"What the functions have logged about it."`
}

func newExplain(e *Env) *cobra.Command {
	var noExtend, noLogs bool
	cmd := e.leaf(spec{
		use: "explain DOCUMENT [flags]", short: "Say why a document waits or has no output, and what to do", class: Read, output: Explained{}, args: cobra.ExactArgs(1),
		calls: []string{"dynamodb:Query", "dynamodb:GetItem", "dynamodb:BatchGetItem", "s3:GetObject", "s3:ListBucketVersions", "sqs:GetQueueAttributes", "lambda:ListEventSourceMappings", "logs:FilterLogEvents", "secretsmanager:GetSecretValue"},
		long: `explain puts together what is known of one document: its record, the object, the route, the run at
Extend, and what the functions have logged. It makes one or two requests to Extend, of those that
the plan allows, unless --no-extend is given.`,
		example: "  intake explain s3://my-bucket/invoices/42.pdf\n  intake explain doc_… --json --jq .why",
		run: func(ctx context.Context, args []string) error {
			sel, err := e.Select(args, selector.Flags{})
			if err != nil {
				return err
			}
			s, err := e.Stack(ctx)
			if err != nil {
				return err
			}
			x, err := e.explain(ctx, s, sel, args[0], !noExtend, !noLogs)
			if err != nil {
				return err
			}
			return e.Out().Value(x, x.Document.DocumentID, func() []out.Field { return e.explained(x) })
		},
	})
	cmd.Flags().BoolVar(&noExtend, "no-extend", false, "do not ask Extend")
	cmd.Flags().BoolVar(&noLogs, "no-logs", false, "do not read the logs")
	return cmd
}

func (e *Env) explained(x Explained) []out.Field {
	p := e.Out()
	fields := show.Fields(p, x.Document)
	why := x.Why
	if why == x.Document.Why() {
		why = "" // the fields of the document say so
	}
	if !x.Next.IsZero() {
		why += "; next about " + p.When(x.Next)
	}
	for _, f := range []out.Field{{Label: "why", Text: why}, {Label: "object now", Text: x.Object}, {Label: "at Extend", Text: x.AtExtend}} {
		if f.Text != "" {
			fields = append(fields, f)
		}
	}
	for _, l := range x.Lines {
		fields = append(fields, out.Field{Label: l.Time.In(e.Location).Format("15:04:05"), Text: l.Function + "  " + l.Level + "  " + l.Message})
	}
	for _, do := range x.Do {
		fields = append(fields, out.Field{Label: "do", Text: do})
	}
	return fields
}

func (e *Env) explain(ctx context.Context, s *stack.Stack, sel selector.Selection, name string, askExtend, readLog bool) (x Explained, err error) {
	var found *selector.Item
	missing := error(exit.New(exit.NotFound, "there is no document %s", name))
	for item, err := range e.Finder(s).Find(ctx, sel, "") {
		if len(sel.Objects) == 1 && exit.Of(err) == exit.NotFound {
			missing = err // but the object may be there
			break
		}
		if err != nil {
			return x, err
		}
		if found != nil {
			return x, exit.New(exit.Usage, "%s is more than one document", name).Next("intake ls %s   lists them", name)
		}
		found = &item
	}
	if found == nil && len(sel.Objects) == 1 {
		if found, err = e.unrecorded(ctx, s, sel.Objects[0]); err != nil {
			return x, err
		}
	}
	if found == nil {
		return x, missing
	}
	x.Document = found.Document()
	if x.Route, err = routeOfKey(s, found.Source.Key); err != nil {
		return x, err
	}
	switch {
	case found.Problem != nil:
		x.Why, x.Do = "its record can't be understood: "+found.Problem.Error(), []string{"was it written by a newer version, or by hand? Mend the attribute that is named"}
		return x, nil
	case found.Missing() && found.Source.Key == "":
		return x, exit.New(exit.NotFound, "there is no document %s", name).Next("name its object, as s3://bucket/key: it may be in the queue still")
	case found.Missing():
		err = e.waitsInQueue(ctx, s, &x)
		return x, err
	}
	rec := found.Record
	e.why(rec, s, &x)
	if rec.Key != "" {
		x.Object = objectNow(ctx, s, rec)
	}
	if askExtend {
		x.AtExtend = atExtend(ctx, s, rec)
	}
	if readLog {
		from, until := rec.Since(), e.Now()
		if from.IsZero() {
			from = until.Add(-24 * time.Hour)
		}
		if rec.State.Terminal() {
			until = rec.FinishedAt.Add(5 * time.Minute)
		}
		x.Lines, _, err = readLogs(ctx, s, logQuery{functions: functions, documents: []string{rec.DocumentID}, from: from.Add(-5 * time.Minute), until: until})
	}
	return x, err
}

// unrecorded is an object of the bucket that has no record; nil where there is no such object.
func (e *Env) unrecorded(ctx context.Context, s *stack.Stack, object string) (*selector.Item, error) {
	key, ours := strings.CutPrefix(object, "s3://"+s.Bucket()+"/")
	if !ours {
		return nil, nil
	}
	for item, err := range e.Finder(s).Below(ctx, selector.Prefix{Bucket: s.Bucket(), Prefix: key}, false) {
		if err != nil {
			return nil, err
		}
		if item.Source.Key == key {
			return &item, nil
		}
		break // the key itself is listed first
	}
	return nil, nil
}

func routeOfKey(s *stack.Stack, key string) (string, error) {
	routes, err := s.Routes()
	if err != nil || key == "" {
		return "", err
	}
	r, _ := routes.Find(key)
	return r.Name, nil
}

// waitsInQueue is about an object without a record.
func (e *Env) waitsInQueue(ctx context.Context, s *stack.Stack, x *Explained) error {
	if x.Route == "" {
		x.Why = "no route takes its key, so it is not read"
		x.Do = []string{"change the route (intake config show), deploy, and have it read: intake backfill FILE, with its key in the file"}
		return nil
	}
	paused, err := submitPaused(ctx, s)
	if err != nil {
		return err
	}
	waiting, perMinute, err := e.backlog(ctx, s)
	if err != nil {
		return err
	}
	x.Why = "it has no record yet"
	switch {
	case paused != "":
		x.Why += ": " + paused
		x.Do = []string{"intake resume   sends files again"}
	case waiting > 0:
		x.Why += fmt.Sprintf(": %s are in the queue, which takes about %s", plural(waiting, "upload"), out.Duration(time.Duration(hours(waiting, 0, perMinute)*float64(time.Hour))))
		x.Do = []string{"nothing: its turn comes"}
	default:
		x.Why += ", and the queue is empty: it was in the bucket before the stack, or its upload event is a dead letter"
		x.Do = []string{"intake dlq ls   shows dead letters", "intake backfill FILE   with its key in the file has it read"}
	}
	return nil
}

// why says why a document is as it is.
func (e *Env) why(rec *ledger.Record, s *stack.Stack, x *Explained) {
	id := rec.DocumentID
	again := "intake reprocess " + id + "   reads it once more, which costs as much"
	x.Next = rec.NextCheckAt
	switch rec.State {
	case ledger.Waiting:
		x.Why = "it waits: " + rec.Reason
		x.Do = []string{"nothing: it is tried again by itself"}
	case ledger.Submitting:
		x.Why = "it is being sent to Extend"
		x.Next = rec.LeaseUntil
		x.Do = []string{"nothing"}
	case ledger.Unconfirmed:
		x.Next = rec.UnconfirmedSince.Add(seconds(s, "ConfirmWindowSeconds"))
		x.Why = "Extend did not answer the POST. A run may exist and be paid for, so it is searched for; the file is sent again only if none is found"
		x.Do = []string{"nothing: that is settled by itself"}
	case ledger.Processing:
		x.Why = "Extend reads it; the result comes by a webhook, and is asked for where that is late"
		if rec.Reason != "" {
			x.Why += " (" + rec.Reason + ")"
		}
		x.Do = []string{"nothing, unless it takes hours: then cancel the run at Extend, and reprocess"}
	case ledger.NeedsReview:
		x.Why = "the workflow waits for a person, who reviews the run in Extend's dashboard"
		x.Do = []string{"review it there; the result comes by itself"}
	case ledger.Processed:
		x.Why, x.Next = "it was read", time.Time{}
		x.Do = []string{"intake get " + id + " --output   shows what was read"}
	case ledger.Skipped:
		x.Why, x.Next = "it is not read, on purpose: "+rec.FailureReason+" "+rec.FailureMessage, time.Time{}
		x.Do = []string{again}
	default:
		x.Why, x.Next = x.Document.Why(), time.Time{}
		x.Do = []string{"mend the cause: docs/operations.md says what " + rec.FailureReason + " means", again}
	}
}

func seconds(s *stack.Stack, parameter string) time.Duration {
	n, err := strconv.Atoi(s.Parameters[parameter])
	if err != nil {
		return 0
	}
	return time.Duration(n) * time.Second
}

// objectNow is what S3 says of the uploaded version.
func objectNow(ctx context.Context, s *stack.Stack, rec *ledger.Record) string {
	in := &s3.HeadObjectInput{Bucket: &rec.Bucket, Key: &rec.Key}
	if rec.VersionID != "" {
		in.VersionId = &rec.VersionID
	}
	head, err := s.S3().HeadObject(ctx, in)
	if _, ok := errors.AsType[*s3types.NotFound](err); ok {
		return "it is gone"
	}
	if err != nil {
		return "S3 does not say: " + clean.Text(err.Error(), 300)
	}
	text := "it is there"
	if rec.VersionID == "" && head.ETag != nil && *head.ETag != `"`+rec.ETag+`"` {
		text = "it was replaced"
	}
	if head.StorageClass != "" && head.StorageClass != s3types.StorageClassStandard {
		text += ", in the storage class " + string(head.StorageClass)
	}
	return text
}

// atExtend is what Extend says of the run, or whether it has one.
func atExtend(ctx context.Context, s *stack.Stack, rec *ledger.Record) string {
	client, err := s.Extend()
	if err != nil {
		return err.Error()
	}
	if rec.RunID != "" {
		status, err := runStatus(ctx, client, rec.RunID)
		if e, ok := errors.AsType[*extend.Error](err); ok && e.StatusCode == http.StatusNotFound {
			return "it knows no run " + rec.RunID + ": it was deleted, or the API key is of another workspace"
		}
		if err != nil {
			return "it does not say: " + err.Error()
		}
		return "run " + rec.RunID + " is " + status
	}
	if rec.State != ledger.Unconfirmed {
		return ""
	}
	for run, err := range client.Runs.All(ctx, extend.ListRunsRequest{FileNameContains: document.Token(rec.DocumentID, rec.Attempt), MaxPageSize: 1}) {
		if err != nil {
			return "it does not say: " + err.Error()
		}
		return "run " + run.ID + " has the document's token"
	}
	return "no run has the document's token, for now"
}

// runStatus is the status of a run of a processor or of a workflow.
func runStatus(ctx context.Context, client *extend.Client, id string) (string, error) {
	if document.IsWorkflowRun(id) {
		run, err := client.WorkflowRuns.Get(ctx, id)
		if err != nil {
			return "", err
		}
		return string(run.Status), nil
	}
	run, err := client.Runs.Get(ctx, id)
	if err != nil {
		return "", err
	}
	return string(run.Status), nil
}
