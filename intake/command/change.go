package command

import (
	"bufio"
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/spf13/pflag"

	"extend-intake/intake/exit"
	"extend-intake/intake/stack"
)

// Class says what a command may do.
type Class string

// The classes.
const (
	// Read: it changes nothing.
	Read Class = "read"
	// Write: it changes something, and doing it twice does no harm.
	Write Class = "write"
	// Spend: it costs credits at Extend.
	Spend Class = "spend"
	// Destroy: it can't be undone.
	Destroy Class = "destroy"
)

// changeFlags are those of commands that change something.
type changeFlags struct {
	dryRun, yes bool
	maxCredits  float64
	why         string
}

func (f *changeFlags) register(fs *pflag.FlagSet, c Class) {
	if c == Read || c == "" {
		return
	}
	fs.BoolVar(&f.dryRun, "dry-run", false, "say what would be done, and do nothing")
	fs.StringVar(&f.why, "why", "", "the `reason`, for the log and whoever looks later")
	if c == Spend || c == Destroy {
		fs.BoolVar(&f.yes, "yes", false, "do not ask")
	}
	if c == Spend {
		fs.Float64Var(&f.maxCredits, "max-credits", 0, "stop before more than this `number` of credits is spent; scripts need it beside --yes")
	}
}

// DryRun reports whether nothing is to be changed.
func (e *Env) DryRun() bool { return e.changes.dryRun }

// Why is the reason that was given.
func (e *Env) Why() string { return e.changes.why }

// Change is what a command is about to do.
type Change struct {
	Class Class
	// What is the whole of it in one line, such as "reprocess 12 documents", and Details are
	// further lines.
	What    string
	Details []string
	// Cost is that of a Spend.
	Cost *Cost
}

// Cost is what a change costs.
type Cost struct {
	Files int
	// Least and Most are credits; both 0 are unknown.
	Least, Most float64
	// Hours is how long it takes at the pace of the plan; 0 is unknown.
	Hours float64
}

// dollars is the price of a credit without a contract.
// https://docs.extend.ai/2025-04-21/product/general/how-credits-work
const dollars = 0.0125

func (c Cost) String() string {
	text := plural(c.Files, "file")
	switch {
	case c.Most <= 0:
		text += " · credits unknown"
	case c.Least == c.Most:
		text += fmt.Sprintf(" · %.5g credits · $%.2f", c.Most, c.Most*dollars)
	default:
		text += fmt.Sprintf(" · %.5g to %.5g credits · $%.2f to $%.2f", c.Least, c.Most, c.Least*dollars, c.Most*dollars)
	}
	if c.Most > 0 {
		text += fmt.Sprintf(" at $%g a credit", dollars)
	}
	if c.Hours > 0 {
		text += fmt.Sprintf(" · about %.2g h", c.Hours)
	}
	return text
}

// Caller is whose credentials the command has.
func (e *Env) Caller(ctx context.Context, s *stack.Stack) (string, error) {
	id, err := s.STS().GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return "", err
	}
	return aws.ToString(id.Arn), nil
}

// Confirm says what is about to be done, to what and as whom, and asks where that is needed: a
// Write goes on, a Destroy and a Spend need the word yes. Where nobody can be asked, they
// need --yes, and a Spend --max-credits beside it. It is false, without an error, with
// --dry-run: what is to be said then, is said.
func (e *Env) Confirm(ctx context.Context, s *stack.Stack, c Change) (bool, error) {
	who, err := e.Caller(ctx, s)
	if err != nil {
		return false, err
	}
	e.Notef("%s · %s · %s · %s", s.Name, s.Account, s.Region, stack.Caller(who))
	e.Notef("%s", c.What)
	for _, line := range c.Details {
		e.Notef("  %s", line)
	}
	if c.Cost != nil {
		e.Notef("  %s", c.Cost)
	}
	if e.changes.dryRun {
		e.Notef("Nothing was changed (--dry-run).")
		return false, nil
	}
	if c.Class == Spend {
		switch most := e.changes.maxCredits; {
		case most > 0 && c.Cost != nil && c.Cost.Least > most:
			return false, exit.New(exit.NotConfirmed, "it costs %g credits at least, and --max-credits is %g", c.Cost.Least, most).Next("select less, or allow more")
		case !e.Asks && (!e.changes.yes || most <= 0):
			return false, exit.New(exit.NotConfirmed, "it costs credits, and nobody can be asked").Next("give both --yes and --max-credits NUMBER")
		}
	}
	if c.Class == Read || c.Class == Write || e.changes.yes {
		return true, nil
	}
	if !e.Asks {
		return false, exit.New(exit.NotConfirmed, "it can't be undone, and nobody can be asked").Next("give --yes")
	}
	fmt.Fprint(e.Stderr, "Type yes to go on: ")
	answer, _ := bufio.NewReader(e.Stdin).ReadString('\n') // the end of the input is no yes either
	if strings.TrimSpace(answer) != "yes" {
		return false, exit.New(exit.NotConfirmed, "nothing was changed")
	}
	return true, nil
}
