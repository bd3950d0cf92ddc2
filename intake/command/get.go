package command

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"
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
	"extend-intake/shared/ledger"
)

func init() { register(newGet) }

func newGet(e *Env) *cobra.Command {
	var flags selector.Flags
	var output, runs, wait bool
	var timeout string
	cmd := e.selects(e.leaf(spec{
		use: "get DOCUMENT… [flags]", short: "Show documents, or what was read from them", class: Read, output: []show.Document{},
		args:  cobra.MinimumNArgs(1),
		calls: []string{"dynamodb:Query", "dynamodb:BatchGetItem", "dynamodb:GetItem", "s3:ListBucketVersions", "s3:GetObject"},
		long: `get shows what the table has of documents. With --output it writes the extracted JSON instead,
each with the digits that Extend sent; on a terminal as a tree.

The exit status is 3 if one of them has ended FAILED, REFUSED, REJECTED or CANCELLED, 8 if one is still
on the way, and 4 if there is none.

` + selector.Help,
		example: `  intake get doc_…
  intake get s3://my-bucket/invoices/42.pdf --output --jq .value.total
  intake get doc_… --wait --timeout 15m`,
		run: func(ctx context.Context, args []string) error {
			patience, err := selector.Span("--timeout", timeout)
			if err != nil {
				return err
			}
			sel, err := e.Select(args, flags)
			if err != nil {
				return err
			}
			s, err := e.Stack(ctx)
			if err != nil {
				return err
			}
			items, err := e.get(ctx, s, sel, wait, patience)
			if err != nil {
				return err
			}
			if output {
				return e.outputs(ctx, s, items)
			}
			if err := e.showDocuments(items, runs); err != nil {
				return err
			}
			return statusOf(items)
		},
	}), &flags)
	cmd.Flags().BoolVar(&output, "output", false, "write the extracted JSON alone")
	cmd.Flags().BoolVar(&runs, "runs", false, "show earlier and other runs too (JSON always has them)")
	cmd.Flags().BoolVar(&wait, "wait", false, "wait until all have ended")
	cmd.Flags().StringVar(&timeout, "timeout", "15m", "wait this `long` at most")
	return cmd
}

// get reads documents, with wait until all have ended or time is up.
func (e *Env) get(ctx context.Context, s *stack.Stack, sel selector.Selection, wait bool, patience time.Duration) ([]selector.Item, error) {
	deadline := e.Now().Add(patience)
	for pause := time.Second; ; pause = min(2*pause, 15*time.Second) {
		var items []selector.Item
		for item, err := range e.Finder(s).Find(ctx, sel, "") {
			if err != nil {
				return nil, err
			}
			items = append(items, item)
		}
		onTheWay := func(i selector.Item) bool { return i.Problem == nil && !i.State.Terminal() }
		if !wait || !slices.ContainsFunc(items, onTheWay) || e.Now().Add(pause).After(deadline) {
			return items, nil
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(pause):
		}
	}
}

func (e *Env) showDocuments(items []selector.Item, runs bool) error {
	p := e.Out()
	if !p.ForPeople() {
		_, err := show.List(p).Print(p, func(yield func(show.Document, error) bool) {
			for _, item := range items {
				if !yield(item.Document(), nil) {
					return
				}
			}
		})
		return err
	}
	for i, item := range items {
		if i > 0 {
			if err := p.Text(""); err != nil {
				return err
			}
		}
		d := item.Document()
		if err := p.Fields(show.Fields(p, d)); err != nil {
			return err
		}
		if runs {
			if err := p.Fields(show.RunFields(p, d)); err != nil {
				return err
			}
		}
	}
	return nil
}

// statusOf says by the exit status how the documents stand.
func statusOf(items []selector.Item) error {
	var missing, failed, onTheWay []string
	for _, item := range items {
		switch {
		case item.Missing():
			missing = append(missing, item.DocumentID)
		case item.Problem != nil:
			failed = append(failed, item.DocumentID)
		case !item.State.Terminal():
			onTheWay = append(onTheWay, item.DocumentID)
		case item.State == ledger.Failed || item.State == ledger.Refused || item.State == ledger.Cancelled || item.State == ledger.Rejected:
			failed = append(failed, item.DocumentID)
		}
	}
	switch {
	case len(items) == 0:
		return exit.New(exit.NotFound, "no document is like that")
	case len(missing) > 0:
		return exit.New(exit.NotFound, "there is no record of %s", strings.Join(missing, ", ")).
			Next("is it the right stack? Its upload may still be in the queue; intake explain s3://bucket/key   says more")
	case len(failed) > 0:
		return exit.Quiet(exit.Ended)
	case len(onTheWay) > 0:
		return exit.Quiet(exit.StillOnTheWay)
	}
	return nil
}

// outputs writes the extracted JSON of each document.
func (e *Env) outputs(ctx context.Context, s *stack.Stack, items []selector.Item) error {
	without := 0
	for _, item := range items {
		if item.Record == nil {
			continue // statusOf says so
		}
		text, err := outputOf(ctx, s, item.Record)
		if err != nil {
			return err
		}
		if text == nil {
			without++
			e.Notef("%s is %s and has no output", item.DocumentID, item.State)
			continue
		}
		if err := e.outputText(text); err != nil {
			return err
		}
	}
	if err := statusOf(items); err != nil || without == 0 {
		return err
	}
	return exit.Quiet(exit.Failed) // SKIPPED
}

func (e *Env) outputText(text json.RawMessage) error {
	p := e.Out()
	if !p.TTY || !p.ForPeople() {
		return p.RawJSON(text)
	}
	lines, err := show.Tree(text)
	if err != nil {
		return err
	}
	for _, line := range lines {
		if err := p.Text("%s", out.Visible(line)); err != nil {
			return err
		}
	}
	return nil
}

// outputOf is the output of a document, wherever it is; nil where there is none.
func outputOf(ctx context.Context, s *stack.Stack, r *ledger.Record) (json.RawMessage, error) {
	if r.OutputLocation == "" {
		return s.Ledger().Output(ctx, r.DocumentID)
	}
	location, ok := strings.CutPrefix(r.OutputLocation, "s3://")
	bucket, key, _ := strings.Cut(location, "/")
	if !ok || bucket == "" || key == "" {
		return nil, exit.New(exit.Failed, "%s: its outputLocation %q is not s3://bucket/key", r.DocumentID, r.OutputLocation)
	}
	object, err := s.S3().GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: &key})
	if _, gone := errors.AsType[*s3types.NoSuchKey](err); gone {
		return nil, exit.New(exit.Failed, "%s: its output %s was removed", r.DocumentID, r.OutputLocation).
			Next("the bucket keeps versions: restore it, or have the document read again")
	}
	if err != nil {
		return nil, err
	}
	defer object.Body.Close()
	return io.ReadAll(object.Body)
}
