package command

import (
	"cmp"
	"context"

	"github.com/spf13/cobra"

	"extend-intake/intake/exit"
	"extend-intake/intake/out"
	"extend-intake/intake/selector"
	"extend-intake/shared/ledger"
)

func init() { register(newWithdraw) }

// Withdrawn is what `withdraw` writes.
type Withdrawn struct {
	Withdrawn int            `json:"withdrawn" jsonschema:"How many were withdrawn."`
	LeftOut   map[string]int `json:"leftOut,omitempty" jsonschema:"How many were left as they are, by their states."`
}

func newWithdraw(e *Env) *cobra.Command {
	var flags selector.Flags
	return e.selects(e.leaf(spec{
		use: "withdraw DOCUMENT… [flags]", short: "Take back documents that wait, before they cost anything", class: Write, output: Withdrawn{}, args: cobra.ArbitraryArgs,
		calls: []string{"dynamodb:Query", "dynamodb:BatchGetItem", "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem", "s3:ListBucketVersions", "sts:GetCallerIdentity"},
		long: `withdraw ends documents that are WAITING as CANCELLED: they are not sent, and cost nothing. What was
sent, or may have been, is left as it is. intake reprocess has them read after all.

` + selector.Help,
		example: "  intake withdraw s3://my-bucket/by-mistake/ --why \"uploaded by mistake\"\n  intake withdraw --state WAITING --route invoices --dry-run",
		run: func(ctx context.Context, args []string) error {
			sel, err := e.Select(args, flags)
			if err != nil {
				return err
			}
			if !sel.Named() && sel.Filter.None() {
				return exit.New(exit.Usage, "withdraw what? Nothing is selected").Next("name documents, or use a filter such as --state WAITING; intake ls shows what it selects")
			}
			s, err := e.Stack(ctx)
			if err != nil {
				return err
			}
			result := Withdrawn{LeftOut: map[string]int{}}
			var waiting []*ledger.Record
			for item, err := range e.Finder(s).Find(ctx, sel, "") {
				switch {
				case err != nil:
					return err
				case item.Record == nil || item.State != ledger.Waiting:
					result.LeftOut[cmp.Or(string(item.State), "no record")]++
				default:
					waiting = append(waiting, item.Record)
				}
			}
			if ok, err := e.Confirm(ctx, s, Change{Class: Write, What: "withdraw " + plural(len(waiting), "document")}); err != nil || !ok {
				return err
			}
			book := s.Ledger()
			for _, rec := range waiting {
				if err := context.Cause(ctx); err != nil {
					return err
				}
				d, err := book.Apply(ctx, rec.DocumentID, ledger.Withdraw{Attempt: rec.Attempt, Reason: cmp.Or(e.Why(), "withdrawn by a person")})
				if err != nil {
					return err
				}
				if d.Written {
					result.Withdrawn++
				} else { // it was claimed in this moment
					result.LeftOut[string(d.State())]++
				}
			}
			return e.Out().Value(result, "", func() []out.Field {
				fields := []out.Field{{Label: "withdrawn", Text: out.Number(result.Withdrawn)}}
				for _, state := range sortedKeys(result.LeftOut) {
					fields = append(fields, out.Field{Label: "left as it is", Text: out.Number(result.LeftOut[state]) + ": " + state})
				}
				return fields
			})
		},
	}), &flags)
}
