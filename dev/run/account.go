package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"

	"extend-intake/dev/stack"
	"extend-intake/shared/boot"
	"extend-intake/shared/extend"
	"extend-intake/shared/ledger"
)

// realAccount is the account that the environment names. It is nil where the fake
// is wanted.
func realAccount(getenv func(string) string) (*stack.Account, error) {
	// As the functions will read it: what they would refuse is refused here, before a key is sent anywhere.
	env := boot.NewEnv(func(name string) string {
		if name == "EXTEND_BASE_URL" {
			return strings.TrimSuffix(cmp.Or(getenv(name), extend.BaseURLUS), "/")
		}
		return getenv(name)
	})
	a := stack.Account{Key: getenv("EXTEND_API_KEY"), Processor: getenv("PROCESSOR"), Workspace: getenv("EXTEND_WORKSPACE_ID")}
	switch {
	case a.Key == "" && a.Processor == "":
		return nil, nil
	case a.Key == "":
		return nil, errors.New("PROCESSOR is for the real Extend: set EXTEND_API_KEY as well, or leave PROCESSOR out for the fake")
	case a.Processor == "":
		return nil, errors.New("EXTEND_API_KEY is set, but not PROCESSOR: give PROCESSOR=dp_… to have files read by Extend, which costs credits, or unset EXTEND_API_KEY for the fake")
	}
	if u := env.ExtendURL("EXTEND_BASE_URL"); u != nil {
		if a.BaseURL = u.String(); u.Path != "" || u.RawQuery != "" || u.User != nil {
			env.Errorf("EXTEND_BASE_URL", "is %q: it must be https:// and a host, without a path", u.Redacted())
		}
	}
	for name, id := range map[string]*regexp.Regexp{"PROCESSOR": regexp.MustCompile(`^dp_[A-Za-z0-9_-]+$`), "EXTEND_WORKSPACE_ID": regexp.MustCompile(`^(ws_[A-Za-z0-9_-]+)?$`)} {
		if v := getenv(name); !id.MatchString(v) {
			env.Errorf(name, "is %q: it must match %s", v, id)
		}
	}
	if err := env.Errors(); err != nil {
		return nil, err
	}
	return &a, nil
}

// checkAccount makes a call that costs nothing, so that a wrong key is known before anything
// is started.
func checkAccount(ctx context.Context, a *stack.Account) error {
	client, err := extend.NewClient(extend.StaticKey(a.Key),
		extend.WithBaseURL(a.BaseURL), extend.WithWorkspace(a.Workspace))
	if err != nil {
		return err
	}
	for _, err := range client.Runs.All(ctx, extend.ListRunsRequest{MaxPageSize: 1}) {
		if err != nil {
			return fmt.Errorf("the account at Extend can't be used (EXTEND_API_KEY, EXTEND_BASE_URL, EXTEND_WORKSPACE_ID): %w", err)
		}
		break
	}
	return nil
}

// printChanges prints every document whose state has changed, and the output of those
// that ended. With a real account there is nothing but the table to learn it from.
func (w *watcher) printChanges(ctx context.Context, out io.Writer) error {
	for _, state := range []ledger.State{
		ledger.Waiting, ledger.Submitting, ledger.Unconfirmed, ledger.Processing, ledger.NeedsReview,
		ledger.Processed, ledger.Failed, ledger.Cancelled, ledger.Rejected, ledger.Refused,
	} {
		for rec, err := range w.stack.Ledger.InState(ctx, state, time.Now().Add(24*time.Hour)) {
			if err != nil {
				return err
			}
			before := w.shown[rec.DocumentID]
			if rec, err = w.record(ctx, rec.DocumentID); err != nil {
				return err
			}
			if rec == nil || !rec.State.Terminal() || w.shown[rec.DocumentID] == before {
				continue
			}
			output, err := w.stack.Ledger.Output(ctx, rec.DocumentID)
			if err != nil {
				return err
			}
			fmt.Fprintln(out)
			showRecord(out, rec, output)
			fmt.Fprintln(out)
		}
	}
	return nil
}
