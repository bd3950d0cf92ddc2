package command

import (
	"context"

	"github.com/spf13/cobra"

	"extend-intake/intake/exit"
	"extend-intake/intake/out"
	"extend-intake/intake/selector"
	"extend-intake/intake/show"
)

func init() { register(newLs) }

func newLs(e *Env) *cobra.Command {
	var flags selector.Flags
	var limit int
	var after string
	cmd := e.selects(e.leaf(spec{
		use: "ls [DOCUMENT…] [flags]", short: "List documents", class: Read, output: []show.Document{}, args: cobra.ArbitraryArgs,
		calls: []string{"dynamodb:Query", "dynamodb:BatchGetItem", "dynamodb:GetItem", "s3:ListBucketVersions", "s3:GetObject"},
		long: `ls lists documents: those on the way first, the most overdue at the top, then those that have
ended, the latest at the top.

` + selector.Help,
		example: `  intake ls
  intake ls --state FAILED --since 1d
  intake ls 's3://my-bucket/invoices/'            files without a record have the state -
  intake ls --state on-the-way --stalled -o wide
  intake ls --state FAILED -o id | intake get -
  intake ls --state FAILED -o jsonl --jq .failure.reason | sort | uniq -c`,
		run: func(ctx context.Context, args []string) error {
			sel, err := e.Select(args, flags)
			if err != nil {
				return err
			}
			if limit < 0 {
				return exit.New(exit.Usage, "--limit %d: a number of documents, or 0 for all", limit)
			}
			s, err := e.Stack(ctx)
			if err != nil {
				return err
			}
			finder := e.Finder(s)
			read := 0
			finder.Read = func() { read++ }
			// The items are kept as far as the place to go on needs them.
			var kept []selector.Item
			more := false
			n, err := show.List(e.Out()).Print(e.Out(), func(yield func(show.Document, error) bool) {
				listed := 0
				for item, err := range finder.Find(ctx, sel, after) {
					if err == nil && limit > 0 && listed == limit {
						more = true
						return
					}
					if err == nil {
						listed++
						if len(kept) > 0 && !kept[len(kept)-1].Time.Equal(item.Time) {
							kept = kept[:0]
						}
						kept = append(kept, item)
					}
					if !yield(item.Document(), err) {
						return
					}
				}
			})
			if err != nil {
				return err
			}
			if read > n+1 {
				e.Notef("read %s, kept %s", out.Number(read), out.Number(n))
			}
			switch {
			case more && sel.Named():
				e.Notef("There are more: --limit 0 lists all.")
			case more:
				e.Notef("There are more: --limit 0 lists all, and the next page is the same with --after %s", selector.After(kept))
			case n == 0:
				e.Notef("No document is like that.")
			}
			return nil
		},
	}), &flags)
	cmd.Flags().IntVar(&limit, "limit", 50, "list this `number` of documents at most; 0 is all")
	cmd.Flags().StringVar(&after, "after", "", "go on after this `place`, which the page before has named")
	return cmd
}
