// Command deployed does things to a stack that is deployed on AWS, with the credentials
// and the region of the shell that it is called from:
//
//	go run ./dev/deployed verify STACK      (make verify) sends one file through the stack,
//	                                        and removes what it made
//	go run ./dev/deployed check STACK       (make deploy) refuses a change of the KMS key that
//	                                        would lose data
//	go run ./dev/deployed delete STACK      (make delete) deletes the stack, after saying what
//	                                        stays and checking that nothing is lost
//
// With AWS_ENDPOINT_URL it works on a local AWS as well, where test/acceptance runs it.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"extend-intake/dev/stack"
)

func main() { os.Exit(stack.Main("deployed", command)) }

const usage = `usage: go run ./dev/deployed verify [--key KEY] [--url URL] [--patience 10m] STACK
       go run ./dev/deployed check STACK
       go run ./dev/deployed delete [--dry-run] [--yes] [--discard] [--patience 15m] STACK
`

func command(ctx context.Context, args []string, out io.Writer) error {
	if len(args) == 0 {
		fmt.Fprint(out, usage)
		return errors.New("verify or delete?")
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	flags.Usage = func() { fmt.Fprint(flags.Output(), usage); flags.PrintDefaults() }
	var (
		v verification
		d deletion
		p place
	)
	flags.StringVar(&p.region, "region", "", "the stack's region, if not that of the shell")
	flags.StringVar(&p.profile, "profile", "", "the profile of AWS's configuration files, if not that of the shell")
	switch args[0] {
	case "verify":
		flags.StringVar(&v.key, "key", "", "the `key` of the file that is uploaded; needed with Routes")
		flags.StringVar(&v.url, "url", "", "where the webhook is called, instead of the output WebhookUrl")
		flags.DurationVar(&v.settle, "settle", time.Minute, "how long to wait until EventBridge knows the new rule")
		flags.DurationVar(&v.patience, "patience", 10*time.Minute, "how long to wait for the result")
	case "check":
	case "delete":
		flags.BoolVar(&d.dryRun, "dry-run", false, "say what would be done, and do nothing")
		flags.BoolVar(&d.yes, "yes", false, "do not ask")
		flags.BoolVar(&d.discard, "discard", false, "delete the queues with what is in them")
		flags.DurationVar(&d.patience, "patience", 15*time.Minute, "how long to wait for queues to become empty")
		flags.DurationVar(&d.interval, "interval", 20*time.Second, "how often to look at them")
	default:
		fmt.Fprint(out, usage)
		return fmt.Errorf("%q: verify or delete?", args[0])
	}
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	if flags.NArg() != 1 || flags.Arg(0) == "" {
		return errors.New("name one stack: STACK=… or ENV=…")
	}
	if args[0] == "check" {
		return checkKey(ctx, out, p, flags.Arg(0), ".aws-sam/parameters.yaml")
	}
	if args[0] == "delete" && (d.interval <= 0 || d.patience <= 0) {
		return fmt.Errorf("INTERVAL is %v and PATIENCE is %v: both must be more than nothing, such as 20s", d.interval, d.patience)
	}
	s, err := find(ctx, p, flags.Arg(0))
	if err != nil {
		return err
	}
	if args[0] == "verify" {
		if s.incomplete != "" {
			return fmt.Errorf("stack %s is %s: there is nothing to verify", s.name, s.incomplete)
		}
		return v.run(ctx, out, s)
	}
	d.ask = func(question string) (string, error) {
		fmt.Fprint(out, question)
		answer, err := bufio.NewReader(os.Stdin).ReadString('\n')
		if err != nil && answer == "" {
			return "", errors.New("nobody answers: YES=1 deletes without asking")
		}
		return strings.TrimSpace(answer), nil
	}
	return d.run(ctx, out, s)
}
