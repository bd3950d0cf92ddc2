package command

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path"
	"strings"
	"time"

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
	register(newBackfill)
	senders["backfill"] = sendListed
}

// backfillFlags are what a backfill is told.
type backfillFlags struct {
	match, since string
	allVersions  bool
	limit        int
	each         float64
	keepAhead    time.Duration
}

func newBackfill(e *Env) *cobra.Command {
	var f backfillFlags
	cmd := e.leaf(spec{
		use: "backfill s3://BUCKET/PREFIX | FILE | - [flags]", short: "Have files read that were in the bucket before the stack", class: Spend, output: BulkResult{}, args: cobra.ExactArgs(1),
		calls: []string{"dynamodb:Query", "dynamodb:BatchGetItem", "s3:ListBucketVersions", "sqs:GetQueueAttributes", "sqs:SendMessage", "sts:GetCallerIdentity"},
		long: `backfill finds the files of the stack's bucket that have no record, and that a route takes, and has
them read at the pace of the plan: new uploads wait no longer than --keep-ahead behind it. It
begins with a list, and asks before anything is paid for. It can be stopped with Ctrl-C and gone
on with by intake ops resume. To run it twice costs nothing twice: what has a record by then is
left out, whatever became of it (intake reprocess is for that).

The files are those below a prefix, or the keys of a FILE or of standard input (-), one a line.
What a file costs is taken from the last runs of its route; where there were none it is unknown,
and --credits-each says it.`,
		example: `  intake backfill s3://my-bucket/2025/ --dry-run
  intake backfill s3://my-bucket/2025/ --match '*.pdf' --yes --max-credits 5000
  intake backfill keys.txt`,
		run: func(ctx context.Context, args []string) error {
			s, err := e.Stack(ctx)
			if err != nil {
				return err
			}
			return e.backfill(ctx, s, args[0], f)
		},
	})
	fs := cmd.Flags()
	fs.StringVar(&f.match, "match", "", "only files whose name, without the folders, is like this `pattern`, such as '*.pdf'")
	fs.StringVar(&f.since, "since", "", "only files that were uploaded since this `time`, such as 30d or 2026-01-01")
	fs.BoolVar(&f.allVersions, "all-versions", false, "also versions that were replaced")
	fs.IntVar(&f.limit, "limit", 0, "this `number` of files at most; 0 is all")
	fs.Float64Var(&f.each, "credits-each", 0, "what a file costs, in `credits`, where it is known better than from the last runs")
	fs.DurationVar(&f.keepAhead, "keep-ahead", keepAhead, "for how `long` the queue has work from this at most")
	return cmd
}

// listed is an item of the operation: an object as a list of S3 has it.
type listed struct {
	Bucket    string    `json:"bucket"`
	Key       string    `json:"key"`
	VersionID string    `json:"versionId,omitempty"`
	ETag      string    `json:"eTag,omitempty"`
	Size      int64     `json:"size"`
	At        time.Time `json:"at"`
}

func sendListed(e *Env, s *stack.Stack, _ *bulk.Op) func(context.Context, []json.RawMessage) ([]error, error) {
	client, queue := s.SQS(), s.Outputs["UploadQueueUrl"]
	return func(ctx context.Context, batch []json.RawMessage) ([]error, error) {
		bodies := make([]string, len(batch))
		for i, text := range batch {
			var l listed
			if err := json.Unmarshal(text, &l); err != nil {
				return nil, fmt.Errorf("item %s: %w", text, err)
			}
			bodies[i] = document.ListedMessage(document.Source{Bucket: l.Bucket, Key: l.Key, VersionID: l.VersionID, ETag: l.ETag, Size: l.Size, UploadedAt: l.At}, e.Now())
		}
		return sendAll(ctx, client, queue, bodies)
	}
}

func (e *Env) backfill(ctx context.Context, s *stack.Stack, from string, f backfillFlags) error {
	filter, err := e.backfillFilter(f)
	if err != nil {
		return err
	}
	objects, err := e.objects(ctx, s, from, f.allVersions)
	if err != nil {
		return err
	}
	routes, err := s.Routes()
	if err != nil {
		return err
	}
	byRoute, err := estimates(ctx, s)
	if err != nil {
		return err
	}
	op, giveUp, err := e.begin(ctx, s, "backfill", map[string]string{"keepAhead": f.keepAhead.String()})
	if err != nil {
		return err
	}
	defer giveUp()
	skipped, files := map[string]int{}, map[string]int{}
	seen := 0
	found := func(yield func(show.Document, error) bool) {
		n := 0
		for item, err := range objects {
			if err != nil {
				yield(show.Document{}, err)
				return
			}
			if seen++; seen%10_000 == 0 {
				e.Notef("looked at %s files, %s are to be read …", out.Number(seen), out.Number(n))
			}
			route, routed := routes.Find(item.Source.Key)
			switch {
			case !item.Missing():
				skipped["there is a record already: "+string(state(item))]++
				continue
			case !filter(item.Source):
				skipped["not selected"]++
				continue
			case !routed:
				skipped["no route takes the key"]++
				continue
			case item.Source.Size == 0:
				skipped["empty"]++
				continue
			case f.limit > 0 && n == f.limit:
				return
			}
			n++
			files[route.Name]++
			if op != nil {
				o := item.Source
				if err := op.Add(listed{o.Bucket, o.Key, o.VersionID, o.ETag, o.Size, o.UploadedAt}); err != nil {
					yield(show.Document{}, err)
					return
				}
			}
			d := item.Document()
			d.Route = route.Name
			if !yield(d, nil) {
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
		return e.nothing(selector.Selection{}, skipped)
	}
	return e.pay(ctx, s, op, "read "+plural(n, "file"), files, byRoute, f.each, skipped)
}

func state(item selector.Item) ledger.State {
	if item.Record == nil {
		return "it can't be understood"
	}
	return item.Record.State
}

func (e *Env) backfillFilter(f backfillFlags) (func(document.Source) bool, error) {
	var since time.Time
	var err error
	if f.since != "" {
		if since, err = selector.Instant("--since", f.since, e.Now().In(e.Location)); err != nil {
			return nil, err
		}
	}
	if _, err := path.Match(f.match, ""); err != nil {
		return nil, exit.New(exit.Usage, "--match %s: %w", f.match, err)
	}
	switch {
	case f.limit < 0:
		return nil, exit.New(exit.Usage, "--limit %d: a number of files, or 0 for all", f.limit)
	case f.each < 0:
		return nil, exit.New(exit.Usage, "--credits-each %g: a number of credits", f.each)
	case f.keepAhead <= 0:
		return nil, exit.New(exit.Usage, "--keep-ahead %v: a time, such as 10m", f.keepAhead)
	}
	return func(s document.Source) bool {
		if ok, _ := path.Match(f.match, path.Base(s.Key)); f.match != "" && !ok {
			return false
		}
		return !s.UploadedAt.Before(since)
	}, nil
}

// objects are those that are to be looked at, with their records.
func (e *Env) objects(ctx context.Context, s *stack.Stack, from string, allVersions bool) (iter.Seq2[selector.Item, error], error) {
	finder := e.Finder(s)
	if rest, ok := strings.CutPrefix(from, "s3://"); ok {
		bucket, prefix, _ := strings.Cut(rest, "/")
		return finder.Below(ctx, selector.Prefix{Bucket: bucket, Prefix: prefix}, allVersions), nil
	}
	var keys io.Reader = e.Stdin
	closeKeys := func() error { return nil }
	if from != "-" {
		f, err := os.Open(from) // #nosec G304 -- the file that the user names
		if err != nil {
			return nil, exit.New(exit.Usage, "%w", err).Next("name s3://%s/PREFIX, a file with keys, or -", s.Bucket())
		}
		keys, closeKeys = f, f.Close
	}
	return func(yield func(selector.Item, error) bool) {
		defer closeKeys() //nolint:errcheck // it was only read
		lines := bufio.NewScanner(keys)
		for lines.Scan() {
			key := strings.TrimPrefix(strings.TrimSuffix(lines.Text(), "\r"), "s3://"+s.Bucket()+"/")
			if key == "" {
				continue
			}
			any := false
			for item, err := range finder.Below(ctx, selector.Prefix{Bucket: s.Bucket(), Prefix: key}, allVersions) {
				if err == nil && item.Source.Key != key {
					break // the key itself is listed first
				}
				any = true
				if !yield(item, err) || err != nil {
					return
				}
			}
			if !any {
				e.Notef("there is no object %s", key)
			}
		}
		if err := lines.Err(); err != nil {
			yield(selector.Item{}, fmt.Errorf("the list of keys: %w", err))
		}
	}, nil
}

// pay asks whether what an operation has listed is to be paid for, and runs it.
func (e *Env) pay(ctx context.Context, s *stack.Stack, op *bulk.Op, what string, files map[string]int, byRoute map[string]*estimate, each float64, skipped map[string]int) error {
	waiting, perMinute, err := e.backlog(ctx, s)
	if err != nil {
		return err
	}
	c := cost(files, byRoute, each)
	c.Hours = hours(c.Files, waiting, perMinute)
	change := Change{Class: Spend, What: what, Cost: &c}
	for _, route := range sortedKeys(files) {
		change.Details = append(change.Details, fmt.Sprintf("%s of route %s", out.Number(files[route]), route))
	}
	if op != nil {
		if err := e.limit(op, c); err != nil {
			return err
		}
	}
	if ok, err := e.Confirm(ctx, s, change); err != nil || !ok {
		return err
	}
	if err := op.Confirm(); err != nil {
		return err
	}
	err = e.run(ctx, s, op, skipped)
	if errors.Is(err, exit.ErrStopped) {
		e.Notef("What was sent is read; nothing of it is lost.")
	}
	return err
}
