package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"extend-intake/intake/bulk"
	"extend-intake/intake/exit"
	"extend-intake/intake/out"
	"extend-intake/intake/selector"
	"extend-intake/intake/show"
	"extend-intake/intake/stack"
	"extend-intake/shared/document"
	"extend-intake/shared/ledger"
)

func init() {
	register(newReprocess)
	senders["reprocess"] = sendReprocess
}

// wish is an item of the operation: the attempt that is asked for, so that asking twice makes
// one attempt.
type wish struct {
	DocumentID string `json:"documentId"`
	Attempt    int    `json:"attempt"`
}

func newReprocess(e *Env) *cobra.Command {
	var flags selector.Flags
	var each float64
	cmd := e.selects(e.leaf(spec{
		use: "reprocess DOCUMENT… [flags]", short: "Have documents read again, which costs as much as the first time", class: Spend, output: BulkResult{}, args: cobra.ArbitraryArgs,
		calls: []string{"dynamodb:Query", "dynamodb:BatchGetItem", "s3:ListBucketVersions", "sqs:GetQueueAttributes", "sqs:SendMessage", "sts:GetCallerIdentity"},
		long: `reprocess has documents read once more that have ended, each by one more run at Extend. The
old output stays until there is a new one. Documents that are on the way are left out, and so
are copies (SKIPPED) unless they are named or --state names that state.

What is selected is listed first, and then sent at the pace of the plan: other uploads wait
ten minutes at most behind it. It can be stopped with Ctrl-C and gone on with by intake ops
resume; nothing is read twice by that. With --dry-run the documents are listed as by intake ls.

` + selector.Help,
		example: `  intake reprocess doc_ojxr2l4cxaz6m5t3vfpsrdnkeq --why "the scan was mended"
  intake reprocess --state FAILED --reason CORRUPT_FILE --since 7d --dry-run
  intake reprocess --state FAILED --since 1d --yes --max-credits 500
  intake ls --route invoices -o id | intake reprocess - --yes --max-credits 100`,
		run: func(ctx context.Context, args []string) error {
			sel, err := e.Select(args, flags)
			if err != nil {
				return err
			}
			if !sel.Named() && sel.Filter.None() {
				return exit.New(exit.Usage, "reprocess what? Nothing is selected").Next("name documents, or use a filter such as --state FAILED; intake ls shows what it selects")
			}
			if each < 0 {
				return exit.New(exit.Usage, "--credits-each %g: a number of credits", each)
			}
			s, err := e.Stack(ctx)
			if err != nil {
				return err
			}
			return e.reprocess(ctx, s, sel, each)
		},
	}), &flags)
	cmd.Flags().Float64Var(&each, "credits-each", 0, "what a file costs, in `credits`, where it is known better than from the last runs")
	return cmd
}

func (e *Env) reprocess(ctx context.Context, s *stack.Stack, sel selector.Selection, each float64) error {
	byRoute, err := estimates(ctx, s)
	if err != nil {
		return err
	}
	op, giveUp, err := e.begin(ctx, s, "reprocess", nil)
	if err != nil {
		return err
	}
	defer giveUp()
	skipped, files := map[string]int{}, map[string]int{}
	found := func(yield func(show.Document, error) bool) {
		for item, err := range e.Finder(s).Find(ctx, sel, "") {
			if err != nil {
				yield(show.Document{}, err)
				return
			}
			if why := leftOut(item, s.Bucket(), sel); why != "" {
				skipped[why]++
				continue
			}
			files[item.Record.Route]++
			if op != nil {
				if err := op.Add(wish{item.DocumentID, item.Record.Attempt + 1}); err != nil {
					yield(show.Document{}, err)
					return
				}
			}
			if !yield(item.Document(), nil) {
				return
			}
		}
	}
	n, err := e.list(found)
	if err != nil {
		return err
	}
	for _, why := range sortedKeys(skipped) {
		e.Notef("left out %s: %s", out.Number(skipped[why]), why)
	}
	if n == 0 {
		return e.nothing(sel, skipped)
	}
	return e.pay(ctx, s, op, "reprocess "+plural(n, "document"), files, byRoute, each, skipped)
}

// limit sets where an operation stops, in credits.
func (e *Env) limit(op *bulk.Op, c Cost) error {
	if c.Most > 0 {
		op.CreditsEach = c.Most / float64(c.Files)
	}
	if e.changes.maxCredits <= 0 {
		return nil
	}
	if c.Most <= 0 {
		return exit.New(exit.NotConfirmed, "--max-credits %g can't be kept: what a file costs is unknown, for no run of its route ended well", e.changes.maxCredits).
			Next("--credits-each NUMBER   says it")
	}
	op.MaxCredits = e.changes.maxCredits
	return nil
}

// leftOut says why a document is not reprocessed; "" is that it is.
func leftOut(item selector.Item, bucket string, sel selector.Selection) string {
	rec := item.Record
	switch {
	case item.Problem != nil:
		return "its record can't be understood"
	case rec == nil:
		return "there is no record of it"
	case !rec.State.Terminal():
		return "it is on the way"
	case rec.Bucket == "":
		return "it was not an upload, so there is no object to read again"
	case rec.Bucket != bucket:
		return "its object is in another bucket than this stack's"
	case rec.State == ledger.Skipped && len(sel.IDs) == 0 && !slices.Contains(sel.States, ledger.Skipped):
		return "it is a copy of another (SKIPPED); name it, or --state SKIPPED"
	}
	return ""
}

// nothing is what there is to say where nothing is to be done.
func (e *Env) nothing(sel selector.Selection, skipped map[string]int) error {
	if len(skipped) == 0 && sel.Named() {
		return exit.New(exit.NotFound, "there is no such document")
	}
	e.Notef("There is nothing to do.")
	if e.DryRun() {
		return nil
	}
	return e.Out().Value(BulkResult{Done: true, Skipped: skipped}, "", func() []out.Field { return nil })
}

func sendReprocess(_ *Env, s *stack.Stack, op *bulk.Op) func(context.Context, []json.RawMessage) ([]error, error) {
	client, queue := s.SQS(), s.Outputs["UploadQueueUrl"]
	return func(ctx context.Context, batch []json.RawMessage) ([]error, error) {
		bodies := make([]string, len(batch))
		var problems error
		for i, text := range batch {
			var w wish
			if err := json.Unmarshal(text, &w); err != nil {
				problems = errors.Join(problems, fmt.Errorf("item %s: %w", text, err))
			}
			bodies[i] = document.ReprocessMessage(document.Reprocess{DocumentID: w.DocumentID, Attempt: w.Attempt, By: op.By, Why: op.Why})
		}
		if problems != nil {
			return nil, problems
		}
		return sendAll(ctx, client, queue, bodies)
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
