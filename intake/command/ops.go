package command

import (
	"context"

	"github.com/spf13/cobra"

	"extend-intake/intake/bulk"
	"extend-intake/intake/exit"
	"extend-intake/intake/out"
	"extend-intake/intake/stack"
)

func init() { register(newOps) }

func newOps(e *Env) *cobra.Command {
	var each float64
	resume := e.leaf(spec{
		use: "resume OPERATION [flags]", calls: []string{"sqs:GetQueueAttributes", "sqs:SendMessage"}, short: "Go on with an operation that was stopped", class: Spend, output: BulkResult{}, args: cobra.ExactArgs(1),
		long: `resume goes on where an operation was stopped. It was confirmed when it began, so nobody is
asked again; --max-credits sets a new limit for the whole of it.`,
		run: func(ctx context.Context, args []string) error {
			op, s, err := e.operation(ctx, args[0])
			if err != nil {
				return err
			}
			switch {
			case op.Stack != s.ARN:
				return exit.New(exit.Failed, "operation %s was begun on %s, a stack of the same name that is gone", op.ID, op.Stack)
			case senders[op.Command] == nil:
				return exit.New(exit.Failed, "operation %s is one of %q, which this version does not know", op.ID, op.Command)
			case each < 0:
				return exit.New(exit.Usage, "--credits-each %g: a number of credits", each)
			case each > 0:
				op.CreditsEach = each
			}
			switch {
			case e.changes.maxCredits > 0 && op.CreditsEach <= 0:
				return exit.New(exit.Usage, "--max-credits %g can't be kept: what an item costs was unknown when %s began", e.changes.maxCredits, op.ID).
					Next("--credits-each NUMBER   says it")
			case e.changes.maxCredits > 0:
				op.MaxCredits = e.changes.maxCredits
			}
			e.Notef("%s of %s are sent", out.Number(op.Sent), out.Number(op.Total))
			if e.DryRun() {
				e.Notef("Nothing was changed (--dry-run).")
				return nil
			}
			return e.run(ctx, s, op, nil)
		},
	})
	resume.Flags().Float64Var(&each, "credits-each", 0, "what an item costs, in `credits`, in place of what was estimated when it began")
	return group("ops", "See and go on with bulk operations", `ops shows the bulk operations that this machine began on the stack, and goes on with those that
were stopped. They are kept in the directory that $XDG_STATE_HOME, or ~/.local/state, has for
extend-intake.`,
		e.leaf(spec{
			use: "ls [flags]", short: "List the operations, the newest first", class: Read, output: []bulk.Operation{},
			run: func(ctx context.Context, _ []string) error {
				dir, _, err := e.operations(ctx)
				if err != nil {
					return err
				}
				all, err := bulk.All(dir)
				if err != nil {
					return err
				}
				_, err = operationList(e.Out()).Print(e.Out(), func(yield func(bulk.Operation, error) bool) {
					for _, op := range all {
						if !yield(op.Operation, nil) {
							return
						}
					}
				})
				return err
			},
		}),
		e.leaf(spec{
			use: "show OPERATION [flags]", short: "Show an operation", class: Read, output: bulk.Operation{}, args: cobra.ExactArgs(1),
			run: func(ctx context.Context, args []string) error {
				op, _, err := e.operation(ctx, args[0])
				if err != nil {
					return err
				}
				return e.Out().Value(op.Operation, op.ID, func() []out.Field {
					fields := []out.Field{
						{Label: "operation", Text: op.ID + ", " + status(op.Operation)}, {Label: "command", Text: op.Command},
						{Label: "begun", Text: e.Out().When(op.Begun)}, {Label: "by", Text: op.By}, {Label: "why", Text: op.Why},
						{Label: "sent", Text: out.Number(op.Sent) + " of " + out.Number(op.Total)},
					}
					if op.Failed > 0 {
						fields = append(fields, out.Field{Label: "failed", Text: out.Number(op.Failed) + ", listed in " + op.FailedFile()})
					}
					return append(fields, out.Field{Label: "kept in", Text: op.Dir})
				})
			},
		}),
		resume,
		e.leaf(spec{
			use: "stop OPERATION [flags]", short: "Stop an operation that another terminal of this machine runs", class: Write, args: cobra.ExactArgs(1),
			run: func(ctx context.Context, args []string) error {
				op, _, err := e.operation(ctx, args[0])
				if err != nil {
					return err
				}
				if op.Done {
					return exit.New(exit.Failed, "operation %s has ended", op.ID)
				}
				if e.DryRun() {
					return nil
				}
				e.Notef("It stops before its next batch.")
				return op.Stop()
			},
		}))
}

func (e *Env) operations(ctx context.Context) (dir string, s *stack.Stack, err error) {
	if s, err = e.Stack(ctx); err != nil {
		return "", nil, err
	}
	dir, err = e.stateDir(s)
	return dir, s, err
}

func (e *Env) operation(ctx context.Context, id string) (*bulk.Op, *stack.Stack, error) {
	dir, s, err := e.operations(ctx)
	if err != nil {
		return nil, nil, err
	}
	op, err := bulk.Open(dir, id)
	return op, s, err
}

// status is how far an operation has come, in a word.
func status(o bulk.Operation) string {
	switch {
	case !o.Listed:
		return "not begun"
	case o.Done && o.Failed > 0:
		return "done, some failed"
	case o.Done:
		return "done"
	}
	return "stopped, or still running"
}

func operationList(p *out.Printer) out.List[bulk.Operation] {
	return out.List[bulk.Operation]{ID: func(o bulk.Operation) string { return o.ID }, Columns: []out.Column[bulk.Operation]{
		{Name: "OPERATION", Text: func(o bulk.Operation) string { return o.ID }},
		{Name: "COMMAND", Text: func(o bulk.Operation) string { return o.Command }},
		{Name: "STATUS", Text: status},
		{Name: "SENT", Text: func(o bulk.Operation) string { return out.Number(o.Sent) }},
		{Name: "FAILED", Text: func(o bulk.Operation) string { return out.Number(o.Failed) }},
		{Name: "TOTAL", Text: func(o bulk.Operation) string { return out.Number(o.Total) }},
		{Name: "BEGUN", Text: func(o bulk.Operation) string { return out.Time(o.Begun) }, Short: func(o bulk.Operation) string { return p.When(o.Begun) }},
		{Name: "WHY", Flexible: true, Text: func(o bulk.Operation) string { return o.Why }},
	}}
}
