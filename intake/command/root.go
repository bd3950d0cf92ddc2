package command

import (
	"context"
	"fmt"
	"runtime/debug"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"extend-intake/intake/exit"
	"extend-intake/intake/out"
	"extend-intake/intake/selector"
	"extend-intake/intake/stack"
)

// registered are the commands below the root, as their files have registered them.
var registered []func(*Env) *cobra.Command

// register adds a command. Each file of a command calls it once, in init.
func register(f func(*Env) *cobra.Command) { registered = append(registered, f) }

// Main runs a command line and says with which status to exit.
func Main(ctx context.Context, e *Env, args []string) (code exit.Code) {
	defer func() {
		if p := recover(); p != nil { // else Go exits with 2, which is that of a wrong command line
			fmt.Fprintf(e.Stderr, "intake: this is a bug of intake, please report it: %v\n%s", p, debug.Stack())
			code = exit.Failed
		}
	}()
	root := Root(e)
	root.SetArgs(args)
	_, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exit.Done
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	err = stack.Explain(err, e.profile)
	e.fail(err)
	return exit.Of(err)
}

// Root is `intake` with all its commands.
func Root(e *Env) *cobra.Command {
	root := &cobra.Command{
		Use:   "intake",
		Short: "See and steer what Extend Intake does with your documents",
		Long: `intake shows and steers a deployed stack of Extend Intake: what is on the way, why a document
waits, what it became, and what to do next.

The stack is the one that --stack or INTAKE_STACK names; else that of samconfig.toml, here or
above (--env chooses its environment); else the only one in the region. The region is that of
--region, of AWS_REGION, of samconfig.toml or of the profile, and everything is asked of it.

Results go to standard output, all else to standard error. On a terminal results are tables;
in a pipe the same columns with tabs, in which nothing is cut. --json and -o jsonl are for
programs: their schemas are in docs/intake/, they only grow, and numbers keep every digit,
through --jq too.`,
		SilenceErrors: true, SilenceUsage: true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: false},
	}
	asGroup(root)
	root.SetIn(e.Stdin)
	root.SetOut(e.Stdout)
	root.SetErr(e.Stderr)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return exit.New(exit.Usage, "%w", err).Next("%s --help", cmd.CommandPath())
	})
	flags := root.PersistentFlags()
	flags.StringVar(&e.stackName, "stack", "", "the `name` of the stack")
	flags.StringVar(&e.environment, "env", "", "the `environment` of samconfig.toml that names the stack")
	flags.StringVar(&e.region, "region", "", "the AWS `region` of the stack")
	flags.StringVar(&e.profile, "profile", "", "the `profile` of the AWS configuration to use")
	flags.StringVarP(&e.output, "output", "o", "", "the `format`: table, wide, json, jsonl, csv or id")
	flags.BoolVar(&e.json, "json", false, "write JSON")
	flags.StringVar(&e.jq, "jq", "", "write what this jq `program` makes of the JSON")
	flags.BoolVar(&e.debug, "debug", false, "name each call of AWS on standard error")
	for name, values := range map[string]func(context.Context) []string{
		"stack": func(ctx context.Context) []string {
			names, _ := stack.List(ctx, e.stackOptions()) // a completion has nobody to tell an error to
			return names
		},
		"output": func(context.Context) []string {
			var names []string
			for _, f := range out.Formats {
				names = append(names, string(f))
			}
			return names
		},
	} {
		complete(root, name, values)
	}
	for _, f := range registered {
		root.AddCommand(f(e))
	}
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	return root
}

// complete completes the values of a flag.
func complete(cmd *cobra.Command, flag string, values func(context.Context) []string) {
	err := cmd.RegisterFlagCompletionFunc(flag, func(cmd *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
		ctx := cmd.Context()
		if ctx == nil {
			ctx = context.Background()
		}
		var fitting []string
		for _, v := range values(ctx) {
			if strings.HasPrefix(v, typed) {
				fitting = append(fitting, v)
			}
		}
		return fitting, cobra.ShellCompDirectiveNoFileComp
	})
	if err != nil {
		panic(err) // the flag is misspelled
	}
}

// A spec is what a command is: its name and its help, what it may do, and what it writes.
type spec struct {
	use, short, long, example string
	class                     Class
	// output is a value of the type that --json writes; nil is for commands that write no JSON.
	output any
	// calls are the rights of AWS that it needs, besides those with which the stack is found. A
	// test holds them to what the command calls.
	calls []string
	// valid are the arguments that can be given; nil are any.
	valid []string
	// args checks the arguments; nil takes none.
	args cobra.PositionalArgs
	run  func(ctx context.Context, args []string) error
}

// specs are what the commands are that do something, each a spec.
var specs sync.Map

// specOf is what a command is; ok is false of one that only has others below it.
func specOf(cmd *cobra.Command) (s spec, ok bool) {
	v, ok := specs.Load(cmd)
	if ok {
		s = v.(spec)
	}
	return s, ok
}

// leaf makes a command that does something. A command that changes something gets the flags
// of its class.
func (e *Env) leaf(s spec) *cobra.Command {
	args := s.args
	if args == nil {
		args = cobra.NoArgs
	}
	cmd := &cobra.Command{
		Use: s.use, Short: s.short, Long: s.long, Example: s.example, DisableFlagsInUseLine: true, ValidArgs: s.valid,
		Args: func(cmd *cobra.Command, given []string) error {
			if err := args(cmd, given); err != nil {
				return exit.New(exit.Usage, "%w", err).Next("%s --help", cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := e.open(); err != nil {
				return err
			}
			return s.run(cmd.Context(), args)
		},
	}
	specs.Store(cmd, s)
	e.changes.register(cmd.Flags(), s.class)
	return cmd
}

// group makes a command that only has others below it.
func group(use, short, long string, commands ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Long: long}
	asGroup(cmd)
	cmd.AddCommand(commands...)
	return cmd
}

// asGroup has a command show its help, and refuse what is none of its commands.
func asGroup(cmd *cobra.Command) {
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		err := exit.New(exit.Usage, "%s has no command %q", cmd.CommandPath(), args[0])
		for _, similar := range cmd.SuggestionsFor(args[0]) {
			err = err.Next("%s %s", cmd.CommandPath(), similar)
		}
		return err.Next("%s --help", cmd.CommandPath())
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	cmd.SuggestionsMinimumDistance = 2
}

// selects adds the filters to a command, with their completions.
func (e *Env) selects(cmd *cobra.Command, f *selector.Flags) *cobra.Command {
	f.Register(cmd.Flags())
	complete(cmd, "state", func(context.Context) []string {
		return append(strings.Split(selector.StateNames(), ", "), "on-the-way", "ended")
	})
	complete(cmd, "route", func(ctx context.Context) []string {
		s, err := e.Stack(ctx)
		if err != nil {
			return nil
		}
		routes, err := s.Routes()
		if err != nil {
			return nil
		}
		var names []string
		for _, r := range routes {
			names = append(names, r.Name)
		}
		return names
	})
	return cmd
}

// plural is "1 document", "2 documents".
func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%s %ss", out.Number(n), what)
}
