package command

import (
	"context"
	"errors"
	"io/fs"
	"mime"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/spf13/cobra"

	"extend-intake/intake/exit"
	"extend-intake/intake/out"
	"extend-intake/intake/show"
	"extend-intake/intake/stack"
	"extend-intake/shared/document"
	"extend-intake/shared/ledger"
)

func init() { register(newUpload) }

// Uploaded is a file that was uploaded.
type Uploaded struct {
	File       string `json:"file" jsonschema:"The file on this machine."`
	Key        string `json:"key" jsonschema:"The key of the object in the bucket."`
	DocumentID string `json:"documentId,omitempty" jsonschema:"The document that it is. Missing: it was not uploaded."`
	State      string `json:"state,omitempty" jsonschema:"The state of the document, with --wait; empty: there is no record yet."`
	Why        string `json:"why,omitempty" jsonschema:"Why it was not uploaded, or why there is no output."`
}

// uploadFlags are what an upload is told.
type uploadFlags struct {
	prefix    string
	recursive bool
	parallel  int
	wait      bool
	timeout   time.Duration
	each      float64
}

// The uploads that nobody is asked about are few; one PUT takes at most maxPut bytes.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
const (
	fewFiles = 20
	maxPut   = 5 << 30
)

func newUpload(e *Env) *cobra.Command {
	var f uploadFlags
	cmd := e.leaf(spec{
		use: "upload FILE… [flags]", short: "Upload files, and follow what becomes of them", class: Spend, output: []Uploaded{}, args: cobra.MinimumNArgs(1),
		calls: []string{"s3:PutObject", "dynamodb:BatchGetItem", "sqs:GetQueueAttributes", "sts:GetCallerIdentity", "dynamodb:Query"},
		long: `upload puts files into the stack's bucket, where they are read as all others are. Each costs what
its processor costs, so more than twenty at once are asked about. Files that no route would take
are named, and nothing is uploaded.

With --wait it follows the documents until they have ended, and exits with 3 if one of them ended
without an output, and with 8 if one has not ended after --timeout.`,
		example: `  intake upload invoice.pdf --wait
  intake upload scans/*.pdf --prefix invoices/2026/ --wait --timeout 30m
  intake upload --recursive archive --prefix archive/ --yes --max-credits 500 --credits-each 5`,
		run: func(ctx context.Context, args []string) error { return e.upload(ctx, args, f) },
	})
	flags := cmd.Flags()
	flags.StringVar(&f.prefix, "prefix", "", "what the keys begin with, before the `name` of the file")
	flags.BoolVar(&f.recursive, "recursive", false, "also what is in folders, with its path")
	flags.IntVar(&f.parallel, "parallel", 4, "this `number` of files at a time")
	flags.BoolVar(&f.wait, "wait", false, "wait until the documents have ended")
	flags.DurationVar(&f.timeout, "timeout", 15*time.Minute, "wait this `long` at most")
	flags.Float64Var(&f.each, "credits-each", 0, "what a file costs, in `credits`, where it is known better than from the last runs")
	return cmd
}

func (e *Env) upload(ctx context.Context, args []string, f uploadFlags) error {
	if f.parallel < 1 || f.parallel > 100 {
		return exit.New(exit.Usage, "--parallel %d: 1 to 100", f.parallel)
	}
	files, err := collect(args, f)
	if err != nil {
		return err
	}
	s, err := e.Stack(ctx)
	if err != nil {
		return err
	}
	routes, err := s.Routes()
	if err != nil {
		return err
	}
	byRoute := map[string]int{}
	var homeless []string
	for _, u := range files {
		if r, ok := routes.Find(u.Key); ok {
			byRoute[r.Name]++
		} else {
			homeless = append(homeless, u.Key)
		}
	}
	if len(homeless) > 0 {
		err := exit.New(exit.Usage, "no route takes the %s %s", plural(len(homeless), "key"), strings.Join(homeless[:min(len(homeless), 5)], ", "))
		return err.Next("--prefix puts something before the names; the routes are in the parameters ProcessorId, KeyPrefix, KeySuffix and Routes")
	}
	change := Change{Class: Write, What: "upload " + plural(len(files), "file") + " to s3://" + s.Bucket()}
	if len(files) > fewFiles || e.DryRun() {
		estimated, err := estimates(ctx, s)
		if err != nil {
			return err
		}
		c := cost(byRoute, estimated, f.each)
		change.Class, change.Cost = Spend, &c
	}
	ok, err := e.Confirm(ctx, s, change)
	if err != nil {
		return err
	}
	if ok {
		e.putAll(ctx, s, files, f.parallel)
	}
	if ok && f.wait {
		if err := e.follow(ctx, s, files, f.timeout); err != nil {
			return err
		}
	}
	if _, err := uploadedList().Print(e.Out(), rows(files)); err != nil {
		return err
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return uploadStatus(files, ok && f.wait)
}

// uploadStatus is how an upload ends.
func uploadStatus(files []Uploaded, waited bool) error {
	code := exit.Done
	for _, u := range files {
		switch {
		case u.DocumentID == "" && u.Why != "":
			return exit.Quiet(exit.Partly)
		case !waited:
		case !ledger.State(u.State).Terminal():
			code = exit.StillOnTheWay
		case code == exit.Done && ledger.State(u.State) != ledger.Processed && ledger.State(u.State) != ledger.Skipped:
			code = exit.Ended
		}
	}
	if code == exit.Done {
		return nil
	}
	return exit.Quiet(code)
}

// collect finds the files, and gives each its key.
func collect(args []string, f uploadFlags) (files []Uploaded, err error) {
	keys := map[string]string{}
	add := func(file, name string) error {
		key := f.prefix + filepath.ToSlash(name)
		if other := keys[key]; other != "" {
			return exit.New(exit.Usage, "%s and %s would have the same key, %s", other, file, key).Next("upload them one after the other, with different --prefix")
		}
		info, err := os.Stat(file)
		switch {
		case err != nil:
			return err
		case info.Size() == 0:
			return exit.New(exit.Usage, "%s is empty", file)
		case info.Size() > maxPut:
			return exit.New(exit.Usage, "%s has %s bytes, and one upload takes 5 GiB", file, out.Number(info.Size()))
		}
		keys[key] = file
		files = append(files, Uploaded{File: file, Key: key})
		return nil
	}
	for _, arg := range args {
		info, err := os.Stat(arg)
		if err != nil {
			return nil, exit.New(exit.Usage, "%w", err)
		}
		switch {
		case info.Mode().IsRegular():
			err = add(arg, filepath.Base(arg))
		case info.IsDir() && f.recursive:
			err = filepath.WalkDir(arg, func(file string, d fs.DirEntry, err error) error {
				if err != nil || !d.Type().IsRegular() {
					return err
				}
				name, err := filepath.Rel(arg, file)
				if err != nil {
					return err
				}
				return add(file, name)
			})
		case info.IsDir():
			err = exit.New(exit.Usage, "%s is a folder", arg).Next("--recursive uploads what is in it")
		default:
			err = exit.New(exit.Usage, "%s is not a file", arg)
		}
		if err != nil {
			return nil, err
		}
	}
	if len(files) == 0 {
		return nil, exit.New(exit.Usage, "there are no files in %s", strings.Join(args, ", "))
	}
	return files, nil
}

// putAll uploads the files, some at a time. What could not be uploaded says why.
func (e *Env) putAll(ctx context.Context, s *stack.Stack, files []Uploaded, parallel int) {
	client, bucket := s.S3(), s.Bucket()
	var all sync.WaitGroup
	turn := make(chan struct{}, parallel)
	for i := range files {
		turn <- struct{}{}
		all.Go(func() {
			defer func() { <-turn }()
			u := &files[i]
			err := context.Cause(ctx)
			if err == nil {
				u.DocumentID, err = putFile(ctx, client, bucket, *u)
			}
			if err != nil {
				u.Why = "not uploaded: " + stack.Explain(err, e.profile).Error()
			}
		})
	}
	all.Wait()
}

func putFile(ctx context.Context, client *s3.Client, bucket string, u Uploaded) (documentID string, err error) {
	f, err := os.Open(u.File)
	if err != nil {
		return "", err
	}
	defer f.Close()
	in := &s3.PutObjectInput{Bucket: &bucket, Key: &u.Key, Body: f}
	if t := mime.TypeByExtension(path.Ext(u.Key)); t != "" {
		in.ContentType = &t
	}
	answer, err := client.PutObject(ctx, in)
	if err != nil {
		return "", err
	}
	src := document.Source{Bucket: bucket, Key: u.Key, VersionID: aws.ToString(answer.VersionId), ETag: strings.Trim(aws.ToString(answer.ETag), `"`)}
	if src.VersionID == "null" { // as upload events are read
		src.VersionID = ""
	}
	return src.DocumentID(), nil
}

// follow waits until the documents have ended, or for so long.
func (e *Env) follow(ctx context.Context, s *stack.Stack, files []Uploaded, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	reader, open := s.Reader(), map[string]*Uploaded{}
	for i := range files {
		if files[i].DocumentID != "" {
			open[files[i].DocumentID] = &files[i]
		}
	}
	shown := e.Now()
	for wait := time.Second; len(open) > 0; wait = min(wait*5/4, 10*time.Second) {
		rows, err := reader.Get(ctx, sortedKeys(open))
		switch {
		case ctx.Err() != nil && errors.Is(context.Cause(ctx), context.DeadlineExceeded):
			return nil // the time is over; what is still on the way says so
		case err != nil:
			return err
		}
		for _, row := range rows {
			d := show.FromRow(row)
			u := open[row.DocumentID]
			u.State, u.Why = d.State, d.Why()
			if row.Record != nil && row.Record.State.Terminal() {
				delete(open, row.DocumentID)
			}
		}
		if now := e.Now(); now.Sub(shown) >= logInterval {
			shown = now
			e.Notef("%s of %s have ended", out.Number(len(files)-len(open)), out.Number(len(files)))
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
	return nil
}

func uploadedList() out.List[Uploaded] {
	text := func(name string, flexible bool, get func(Uploaded) string) out.Column[Uploaded] {
		return out.Column[Uploaded]{Name: name, Flexible: flexible, Text: get}
	}
	state := text("STATE", false, func(u Uploaded) string { return u.State })
	state.Color = func(u Uploaded) out.Color { return show.StateColor(u.State) }
	return out.List[Uploaded]{ID: func(u Uploaded) string { return u.DocumentID }, Columns: []out.Column[Uploaded]{
		text("DOCUMENT", false, func(u Uploaded) string { return u.DocumentID }), state,
		text("KEY", true, func(u Uploaded) string { return u.Key }), text("WHY", true, func(u Uploaded) string { return u.Why }),
		{Name: "FILE", Wide: true, Text: func(u Uploaded) string { return u.File }},
	}}
}
