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

	"extend-intake/shared/boot"
	"extend-intake/shared/extend"
	"extend-intake/shared/ledger"
)

// An account is a real one at Extend, for `up` without the fake. Extend can't
// reach this machine: files are sent to it, and results are asked for.
type account struct {
	key, processor     string
	baseURL, workspace string
}

// realAccount is the account that the environment names. It is nil where the fake
// is wanted.
func realAccount(getenv func(string) string) (*account, error) {
	// As the functions will read it: what they would refuse is refused here, before a key is sent anywhere.
	env := boot.NewEnv(func(name string) string {
		if name == "EXTEND_BASE_URL" {
			return strings.TrimSuffix(cmp.Or(getenv(name), extend.BaseURLUS), "/")
		}
		return getenv(name)
	})
	a := account{key: getenv("EXTEND_API_KEY"), processor: getenv("PROCESSOR"), workspace: getenv("EXTEND_WORKSPACE_ID")}
	switch {
	case a.key == "" && a.processor == "":
		return nil, nil
	case a.key == "":
		return nil, errors.New("PROCESSOR is for the real Extend: set EXTEND_API_KEY as well, or leave PROCESSOR out for the fake")
	case a.processor == "":
		return nil, errors.New("EXTEND_API_KEY is set, but not PROCESSOR: give PROCESSOR=dp_… to have files read by Extend, which costs credits, or unset EXTEND_API_KEY for the fake")
	}
	if u := env.URL("EXTEND_BASE_URL"); u != nil {
		if a.baseURL = u.String(); u.Path != "" || u.RawQuery != "" || u.User != nil {
			env.Fault("EXTEND_BASE_URL", "is %q: it must be https:// and a host, without a path", u.Redacted())
		}
	}
	for name, id := range map[string]*regexp.Regexp{"PROCESSOR": regexp.MustCompile(`^dp_[A-Za-z0-9_-]+$`), "EXTEND_WORKSPACE_ID": regexp.MustCompile(`^(ws_[A-Za-z0-9_-]+)?$`)} {
		if v := getenv(name); !id.MatchString(v) {
			env.Fault(name, "is %q: it must match %s", v, id)
		}
	}
	if err := env.Faults(); err != nil {
		return nil, err
	}
	return &a, nil
}

// check makes a call that costs nothing, so that a wrong key is known before anything
// is started.
func (a *account) check(ctx context.Context) error {
	client, err := extend.NewClient(extend.StaticKey(a.key),
		extend.WithBaseURL(a.baseURL), extend.WithWorkspace(a.workspace))
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

// parameters are those of the template that an account needs on a machine that has no
// address.
func (a *account) parameters() map[string]string {
	return map[string]string{
		"ProcessorId": a.processor, "ExtendWorkspaceId": a.workspace,
		"Transfer": "upload", "ReconcileAfterSeconds": "15",
	}
}

// tellRecords tells of every document whose state has changed, and shows what ended:
// nothing but the table tells of a real account.
func (w *watcher) tellRecords(ctx context.Context, out io.Writer) error {
	for _, state := range []ledger.State{
		ledger.Waiting, ledger.Submitting, ledger.Unconfirmed, ledger.Processing,
		ledger.Processed, ledger.Failed, ledger.Cancelled, ledger.Refused,
	} {
		for rec, err := range w.stack.ledger.InState(ctx, state, time.Now().Add(24*time.Hour)) {
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
			output, err := w.stack.ledger.Output(ctx, rec.DocumentID)
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
