package command

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/spf13/cobra"

	"extend-intake/intake/exit"
	"extend-intake/intake/out"
	"extend-intake/intake/selector"
	"extend-intake/intake/stack"
	"extend-intake/shared/document"
	"extend-intake/shared/ledger"
)

func init() { register(newDlq) }

// DeadLetter is a message of one of the two dead-letter queues.
type DeadLetter struct {
	ID         string    `json:"id" jsonschema:"The id of the message."`
	Queue      string    `json:"queue" jsonschema:"uploads or announcements."`
	Since      time.Time `json:"since,omitzero" jsonschema:"When it was sent to the dead-letter queue, or, by SQS itself, to the queue before it."`
	Reason     string    `json:"reason,omitempty" jsonschema:"Why it is there."`
	DocumentID string    `json:"documentId,omitempty" jsonschema:"The document that it is about, if that is known."`
	About      string    `json:"about,omitempty" jsonschema:"What it is about, for people."`
	Do         string    `json:"do" jsonschema:"What to do about it."`
	Body       string    `json:"body,omitempty" jsonschema:"The message; only of intake dlq show."`

	receipt string
}

// peekCalls are those of a look into a queue.
var peekCalls = []string{"sqs:ReceiveMessage", "sqs:ChangeMessageVisibility"}

// The queues.
const (
	uploadsQueue       = "uploads"
	announcementsQueue = "announcements"
)

// dlqFlags choose dead letters.
type dlqFlags struct {
	queue, reason, since string
	all                  bool
}

func newDlq(e *Env) *cobra.Command {
	var flags dlqFlags
	choose := func(cmd *cobra.Command, all bool) *cobra.Command {
		fs := cmd.Flags()
		fs.StringVar(&flags.queue, "queue", "", "only this `queue`: uploads or announcements")
		fs.StringVar(&flags.reason, "reason", "", "only those whose reason has this `text` in it")
		fs.StringVar(&flags.since, "since", "", "only those since this `time`, such as 2h or 2026-11-25")
		if all {
			fs.BoolVar(&flags.all, "all", false, "all of them")
		}
		complete(cmd, "queue", func(context.Context) []string { return []string{uploadsQueue, announcementsQueue} })
		return cmd
	}
	return group("dlq", "See dead letters, and try them again", `dlq is about the two dead-letter queues: uploads that could not be handled, and results that
could not be announced. A look hides a message from others for half a minute, and changes
nothing else.`,
		choose(e.leaf(spec{
			use: "ls [flags]", short: "List dead letters", calls: peekCalls, class: Read, output: []DeadLetter{},
			example: "  intake dlq ls\n  intake dlq ls --queue uploads --reason 'given up'",
			run: func(ctx context.Context, _ []string) error {
				return e.deadLetters(ctx, flags, nil, func(s *stack.Stack, found []DeadLetter) error {
					_, err := deadLetterList(e.Out()).Print(e.Out(), rows(found))
					if len(found) == 0 && err == nil {
						e.Notef("There are no dead letters like that.")
					}
					return err
				})
			},
		}), false),
		choose(e.leaf(spec{
			use: "show ID [flags]", calls: peekCalls, short: "Show a dead letter with its body", class: Read, output: DeadLetter{}, args: cobra.ExactArgs(1),
			run: func(ctx context.Context, args []string) error {
				return e.deadLetters(ctx, flags, args, func(s *stack.Stack, found []DeadLetter) error {
					d := found[0]
					return e.Out().Value(d, d.ID, func() []out.Field {
						return []out.Field{
							{Label: "id", Text: d.ID}, {Label: "queue", Text: d.Queue}, {Label: "since", Text: e.Out().When(d.Since)},
							{Label: "reason", Text: d.Reason}, {Label: "about", Text: d.About}, {Label: "do", Text: d.Do}, {Label: "body", Text: d.Body},
						}
					})
				})
			},
		}), false),
		choose(e.leaf(spec{
			use: "redrive [ID…] [flags]", calls: append([]string{"sqs:DeleteMessage", "sqs:SendMessage", "sts:GetCallerIdentity", "lambda:InvokeFunction", "s3:GetObject", "dynamodb:Query", "dynamodb:BatchGetItem", "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"}, peekCalls...), short: "Try dead letters again, after what was wrong is mended", class: Write, output: DlqResult{}, args: cobra.ArbitraryArgs,
			long: `redrive sends dead letters of uploads to the upload queue once more, and announces once more what
could not be announced. An upload whose document has a run costs nothing again. What fails
again comes back here.`,
			example: "  intake dlq redrive 7c1d\n  intake dlq redrive --queue uploads --all",
			run: func(ctx context.Context, args []string) error {
				return e.onDeadLetters(ctx, flags, args, Change{Class: Write, What: "try again"}, redrive)
			},
		}), true),
		choose(e.leaf(spec{
			use: "delete [ID…] [flags]", calls: append([]string{"sqs:DeleteMessage", "sts:GetCallerIdentity"}, peekCalls...), short: "Delete dead letters", class: Destroy, output: DlqResult{}, args: cobra.ArbitraryArgs,
			long: `delete deletes dead letters. The file of an upload stays in the bucket, and the document's record,
if there is one, as it is: intake backfill finds files without a record.`,
			example: "  intake dlq delete 7c1d",
			run: func(ctx context.Context, args []string) error {
				return e.onDeadLetters(ctx, flags, args, Change{Class: Destroy, What: "delete"}, func(context.Context, *stack.Stack, DeadLetter) error { return nil })
			},
		}), true))
}

// DlqResult is what `dlq redrive` and `dlq delete` write.
type DlqResult struct {
	Done   int      `json:"done" jsonschema:"With how many it was done."`
	Failed []string `json:"failed,omitempty" jsonschema:"The ids of those that are still there, each with the reason."`
}

// maxPeek bounds how many dead letters of a queue are looked at.
const maxPeek = 1000

// hidden is for how long a message that is looked at is hidden, if the command is killed; else it
// is shown again at the end.
const hidden = 30 * time.Second

// deadLetters looks at the dead letters that are chosen, does something with them, and shows
// again those that are still there.
func (e *Env) deadLetters(ctx context.Context, flags dlqFlags, ids []string, do func(*stack.Stack, []DeadLetter) error) error {
	var since time.Time
	if flags.since != "" {
		var err error
		if since, err = selector.Instant("--since", flags.since, e.Now().In(e.Location)); err != nil {
			return err
		}
	}
	s, err := e.Stack(ctx)
	if err != nil {
		return err
	}
	queues := map[string]string{uploadsQueue: s.Outputs["DeadLetterQueueUrl"], announcementsQueue: s.Outputs["AnnouncementsDeadLetterQueueUrl"]}
	if flags.queue != "" {
		if queues[flags.queue] == "" {
			return exit.New(exit.Usage, "--queue %s: there is no such queue", flags.queue).Next("choose uploads or announcements")
		}
		maps.DeleteFunc(queues, func(name, _ string) bool { return name != flags.queue })
	}
	var all []DeadLetter
	for _, name := range []string{uploadsQueue, announcementsQueue} {
		if queues[name] == "" {
			continue
		}
		found, err := peek(ctx, s.SQS(), name, queues[name])
		defer unhide(context.WithoutCancel(ctx), s.SQS(), queues[name], found)
		if err != nil {
			return fmt.Errorf("dead-letter queue of %s: %w", name, err)
		}
		if len(found) >= maxPeek {
			e.Notef("There are more than %s dead letters of %s: only so many are looked at.", out.Number(maxPeek), name)
		}
		all = append(all, found...)
	}
	var chosen []DeadLetter
	for _, d := range all {
		if strings.Contains(strings.ToLower(d.Reason), strings.ToLower(flags.reason)) && !d.Since.Before(since) {
			chosen = append(chosen, d)
		}
	}
	if len(ids) > 0 {
		if chosen, err = byID(chosen, ids); err != nil {
			return err
		}
	}
	slices.SortFunc(chosen, func(a, b DeadLetter) int { return a.Since.Compare(b.Since) })
	return do(s, chosen)
}

// byID are the dead letters of these ids, of which the first letters are enough.
func byID(all []DeadLetter, ids []string) (chosen []DeadLetter, err error) {
	for _, id := range ids {
		var found []DeadLetter
		for _, d := range all {
			if strings.HasPrefix(d.ID, id) {
				found = append(found, d)
			}
		}
		switch {
		case len(found) == 0:
			return nil, exit.New(exit.NotFound, "there is no dead letter %s, or somebody else is looking at it", id).Next("intake dlq ls   lists them; try again in half a minute")
		case len(found) > 1:
			return nil, exit.New(exit.Usage, "%d dead letters have an id that begins with %s", len(found), id).Next("write more of it")
		}
		chosen = append(chosen, found[0])
	}
	return chosen, nil
}

// peek receives messages until there are no more.
func peek(ctx context.Context, client *sqs.Client, name, queue string) (found []DeadLetter, err error) {
	seen := map[string]bool{}
	for len(found) < maxPeek {
		answer, err := client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
			QueueUrl: &queue, MaxNumberOfMessages: 10, VisibilityTimeout: int32(hidden.Seconds()), WaitTimeSeconds: 1, // 0 would ask few of SQS's servers
			MessageAttributeNames: []string{"All"}, MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameSentTimestamp},
		})
		if err != nil {
			return found, err
		}
		before := len(found)
		for _, m := range answer.Messages {
			if id := aws.ToString(m.MessageId); !seen[id] {
				seen[id] = true
				found = append(found, deadLetter(name, m))
			}
		}
		if len(found) == before { // none, or those that have been shown again meanwhile
			return found, nil
		}
	}
	return found, nil
}

// unhide shows messages to others again at once. If it can't, they are back in half a minute.
func unhide(ctx context.Context, client *sqs.Client, queue string, found []DeadLetter) {
	for chunk := range slices.Chunk(found, 10) {
		in := &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: &queue}
		for i, d := range chunk {
			in.Entries = append(in.Entries, types.ChangeMessageVisibilityBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), ReceiptHandle: aws.String(d.receipt)})
		}
		_, _ = client.ChangeMessageVisibilityBatch(ctx, in) // those that were deleted are refused
	}
}

// deadLetter reads a message.
func deadLetter(queue string, m types.Message) DeadLetter {
	attribute := func(name string) string { return aws.ToString(m.MessageAttributes[name].StringValue) }
	d := DeadLetter{
		ID: aws.ToString(m.MessageId), Queue: queue, Body: aws.ToString(m.Body), receipt: aws.ToString(m.ReceiptHandle),
		Reason: cmp.Or(attribute("reason"), attribute("ERROR_MESSAGE"), attribute("ErrorMessage")), DocumentID: attribute("documentId"),
	}
	if ms, err := strconv.ParseInt(m.Attributes[string(types.MessageSystemAttributeNameSentTimestamp)], 10, 64); err == nil {
		d.Since = time.UnixMilli(ms).UTC()
	}
	if queue == announcementsQueue {
		d.About, d.Do = "", "mend what the reason says, then redrive"
		if d.DocumentID != "" {
			d.About = "revision " + attribute("revision")
		}
		if info := batchInfo(d.Body); info != nil {
			d.About = fmt.Sprintf("what ended %s to %s", info.First.UTC().Format(time.RFC3339), info.Last.UTC().Format(time.RFC3339))
			d.Reason = cmp.Or(d.Reason, info.Condition, "publish failed on it for twelve hours")
			d.Do = "redrive: it is announced again, as new revisions"
		}
		return d
	}
	d.Reason = cmp.Or(d.Reason, "received too often: its function crashed, or its time was over, again and again")
	d.Do = "mend what the reason says, then redrive"
	events, err := document.ParseUploadEvents([]byte(d.Body))
	if err != nil {
		d.Do = "it is no upload event: find out who sends such messages, then delete it"
		return d
	}
	for _, u := range events {
		if id := u.DocumentID(); id != "" && d.DocumentID == "" {
			d.DocumentID = id
		}
		if u.Source.Key != "" && d.About == "" {
			d.About = u.Source.Key
		}
	}
	if n := len(events); n > 1 {
		d.About += fmt.Sprintf(" and %d more", n-1)
	}
	return d
}

// streamBatch is what Lambda sends of a batch of the table's stream that publish failed on.
// https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-errors.html
type streamBatch struct {
	Condition   string
	First, Last time.Time
}

func batchInfo(body string) *streamBatch {
	var m struct {
		RequestContext struct {
			Condition string `json:"condition"`
		} `json:"requestContext"`
		Batch *struct {
			First time.Time `json:"approximateArrivalOfFirstRecord"`
			Last  time.Time `json:"approximateArrivalOfLastRecord"`
		} `json:"DDBStreamBatchInfo"`
	}
	if json.Unmarshal([]byte(body), &m) != nil || m.Batch == nil || m.Batch.First.IsZero() || m.Batch.Last.Before(m.Batch.First) {
		return nil
	}
	return &streamBatch{m.RequestContext.Condition, m.Batch.First, m.Batch.Last}
}

// onDeadLetters does something with each dead letter that is chosen, and deletes those with which
// it was done.
func (e *Env) onDeadLetters(ctx context.Context, flags dlqFlags, ids []string, c Change, do func(context.Context, *stack.Stack, DeadLetter) error) error {
	if len(ids) == 0 && !flags.all && flags.reason == "" && flags.since == "" {
		return exit.New(exit.Usage, "%s which?", c.What).Next("name ids, or --reason, or --since, or --all; intake dlq ls shows what there is")
	}
	return e.deadLetters(ctx, flags, ids, func(s *stack.Stack, found []DeadLetter) error {
		if len(found) == 0 {
			e.Notef("There are no dead letters like that.")
		}
		c.What += " " + plural(len(found), "dead letter")
		for _, d := range found[:min(len(found), 10)] {
			c.Details = append(c.Details, strings.TrimSpace(d.ID+" "+d.Queue+" "+d.About))
		}
		if ok, err := e.Confirm(ctx, s, c); err != nil || !ok {
			return err
		}
		result := DlqResult{}
		for _, d := range found {
			if err := context.Cause(ctx); err != nil {
				return fmt.Errorf("%w: it was done with %d of %d", err, result.Done, len(found))
			}
			// What has begun is not cut off between the two: it would be done again.
			own := context.WithoutCancel(ctx)
			err := do(own, s, d)
			if err == nil {
				_, err = s.SQS().DeleteMessage(own, &sqs.DeleteMessageInput{QueueUrl: aws.String(s.Outputs[map[string]string{uploadsQueue: "DeadLetterQueueUrl", announcementsQueue: "AnnouncementsDeadLetterQueueUrl"}[d.Queue]]), ReceiptHandle: aws.String(d.receipt)})
			}
			if err != nil {
				e.Notef("%s: %v", d.ID, stack.Explain(err, e.profile))
				result.Failed = append(result.Failed, d.ID+": "+err.Error())
				continue
			}
			result.Done++
		}
		err := e.Out().Value(result, "", func() []out.Field { return []out.Field{{Label: "done", Text: out.Number(result.Done)}} })
		if err == nil && len(result.Failed) > 0 {
			return exit.Quiet(exit.Partly)
		}
		return err
	})
}

// redrive tries a dead letter again.
func redrive(ctx context.Context, s *stack.Stack, d DeadLetter) error {
	if d.Queue == uploadsQueue {
		// Sent anew, and not moved by SQS: a message that is moved keeps its age, and the count of
		// its errors.
		_, err := s.SQS().SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: aws.String(s.Outputs["UploadQueueUrl"]), MessageBody: aws.String(d.Body)})
		return err
	}
	if info := batchInfo(d.Body); info != nil {
		return announce(ctx, s, info)
	}
	records := []byte(d.Body)
	var pointer struct{ RecordsLocation string }
	if json.Unmarshal(records, &pointer) == nil && pointer.RecordsLocation != "" {
		bucket, key, ok := strings.Cut(strings.TrimPrefix(pointer.RecordsLocation, "s3://"), "/")
		if !ok || bucket != s.Outputs["ResultsBucketName"] {
			return fmt.Errorf("recordsLocation %s is not in the bucket %s", pointer.RecordsLocation, s.Outputs["ResultsBucketName"])
		}
		object, err := s.S3().GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: &key})
		if err != nil {
			return err
		}
		defer object.Body.Close()
		if records, err = io.ReadAll(object.Body); err != nil {
			return err
		}
	}
	function, err := s.Resource("PublishFunction")
	if err != nil {
		return err
	}
	answer, err := s.Lambda().Invoke(ctx, &lambda.InvokeInput{FunctionName: &function, Payload: records})
	if err != nil {
		return err
	}
	if answer.FunctionError != nil {
		return fmt.Errorf("publish failed: %s", answer.Payload)
	}
	var result struct {
		BatchItemFailures []struct{ ItemIdentifier string } `json:"batchItemFailures"`
	}
	if err := json.Unmarshal(answer.Payload, &result); err != nil || len(result.BatchItemFailures) > 0 {
		return errors.Join(fmt.Errorf("publish could not announce it, its log says why: intake logs --function publish --since 5m"), err)
	}
	return nil
}

// announce announces again what ended in a time.
func announce(ctx context.Context, s *stack.Stack, info *streamBatch) error {
	book := s.Ledger()
	for _, state := range ledger.States() {
		if !state.Terminal() {
			continue
		}
		// The arrival in the stream is approximate.
		for row, err := range s.Reader().List(ctx, ledger.Query{State: state, From: info.First.Add(-time.Minute), Until: info.Last.Add(time.Minute)}) {
			if err != nil {
				return err
			}
			if row.Record == nil {
				continue
			}
			if _, err := book.Apply(ctx, row.DocumentID, ledger.Announce{Revision: row.Record.Revision}); err != nil {
				return err
			}
		}
	}
	return nil
}

func rows[T any](all []T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, row := range all {
			if !yield(row, nil) {
				return
			}
		}
	}
}

func deadLetterList(p *out.Printer) out.List[DeadLetter] {
	text := func(name string, flexible bool, get func(DeadLetter) string) out.Column[DeadLetter] {
		return out.Column[DeadLetter]{Name: name, Flexible: flexible, Text: get}
	}
	id := text("ID", false, func(d DeadLetter) string { return d.ID })
	id.Short = func(d DeadLetter) string { return d.ID[:min(len(d.ID), 8)] }
	since := text("SINCE", false, func(d DeadLetter) string { return out.Time(d.Since) })
	since.Short = func(d DeadLetter) string { return p.When(d.Since) }
	return out.List[DeadLetter]{ID: func(d DeadLetter) string { return d.ID }, Columns: []out.Column[DeadLetter]{
		id, text("QUEUE", false, func(d DeadLetter) string { return d.Queue }), since,
		text("DOCUMENT", false, func(d DeadLetter) string { return d.DocumentID }),
		text("ABOUT", true, func(d DeadLetter) string { return d.About }),
		text("REASON", true, func(d DeadLetter) string { return d.Reason }),
		text("DO", true, func(d DeadLetter) string { return d.Do }),
	}}
}
