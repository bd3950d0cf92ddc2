package selector

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"

	"extend-intake/intake/exit"
	"extend-intake/intake/show"
	"extend-intake/shared/document"
	"extend-intake/shared/ledger"
)

// Finder finds documents of a stack.
type Finder struct {
	Ledger *ledger.Ledger
	Reader *ledger.Reader
	S3     *s3.Client
	// Bucket is the stack's.
	Bucket string
	// StalledAfter is the stack's parameter.
	StalledAfter time.Duration
	Now          func() time.Time
	// Read is told how many documents were read, whether they pass the filters or not; nil is
	// told nothing.
	Read func()
}

// Item is a document that was selected, or an object without a record.
type Item struct {
	ledger.Row
	// Source is set where S3 was asked, and where the record has it.
	Source document.Source
}

// Document is the item as it is shown.
func (i Item) Document() show.Document {
	d := show.FromRow(i.Row)
	if d.Object == nil && i.Source.Key != "" {
		d.Object = &show.Object{Bucket: i.Source.Bucket, Key: i.Source.Key, VersionID: i.Source.VersionID, ETag: i.Source.ETag, Size: i.Source.Size}
		d.UploadedAt = i.Source.UploadedAt
	}
	return d
}

// Missing reports whether there is no record of the document.
func (i Item) Missing() bool { return i.Record == nil && i.Problem == nil }

// Find yields what a selection selects, as it is found: what is named in the order of its
// names, else those on the way, the most overdue first, then those that have ended, the latest
// first. After is where the list goes on: see [After]. Of what is named by its id, an item is
// yielded though there is no record of it, unless there is a filter.
func (f *Finder) Find(ctx context.Context, s Selection, after string) iter.Seq2[Item, error] {
	all := f.named(ctx, s)
	if !s.Named() {
		place, err := parsePlace(after)
		if err != nil {
			return func(yield func(Item, error) bool) { yield(Item{}, err) }
		}
		all = f.all(ctx, s.Filter, place)
	} else if after != "" {
		return func(yield func(Item, error) bool) {
			yield(Item{}, exit.New(exit.Usage, "--after is for lists by filters, not for documents that are named"))
		}
	}
	return func(yield func(Item, error) bool) {
		for item, err := range all {
			if err != nil {
				yield(Item{}, err)
				return
			}
			if f.Read != nil {
				f.Read()
			}
			if item.Record != nil {
				item.Source = item.Record.Source()
				if !s.Keeps(item.Record, f.Now(), f.StalledAfter) {
					continue
				}
			} else if !s.Filter.None() {
				continue
			}
			if !yield(item, nil) {
				return
			}
		}
	}
}

// batch is how many ids are looked up at once.
const batch = 100

func (f *Finder) named(ctx context.Context, s Selection) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		give := func(rows []ledger.Row, err error) bool {
			if err != nil {
				yield(Item{}, err)
				return false
			}
			for _, row := range rows {
				if !yield(Item{Row: row}, nil) {
					return false
				}
			}
			return true
		}
		for ids := range slices.Chunk(s.IDs, batch) {
			if !give(f.Reader.Get(ctx, ids)) {
				return
			}
		}
		for _, run := range s.Runs {
			if !give(f.run(ctx, run)) {
				return
			}
		}
		for _, object := range s.Objects {
			rows, err := f.Reader.Versions(ctx, object)
			if err == nil && !s.AllVersions && len(rows) > 1 {
				rows = rows[:1]
			}
			if err == nil && len(rows) == 0 {
				err = f.noRecord(ctx, object)
			}
			if !give(rows, err) {
				return
			}
		}
		for _, prefix := range s.Prefixes {
			for item, err := range f.Below(ctx, prefix, s.AllVersions) {
				if !yield(item, err) || err != nil {
					return
				}
			}
		}
	}
}

// run is the document of a run. A run that did not come from an upload is a document itself.
func (f *Finder) run(ctx context.Context, id string) ([]ledger.Row, error) {
	rows, err := f.Reader.Get(ctx, []string{id})
	if err != nil || rows[0].Record != nil || rows[0].Problem != nil {
		return rows, err
	}
	rec, err := f.Ledger.ByRun(ctx, id)
	switch {
	case errors.Is(err, ledger.ErrNotFound):
		return nil, exit.New(exit.NotFound, "no document has the run %s", id).Next("runs of earlier attempts are found by their document only; is it of another stack?")
	case errors.Is(err, ledger.ErrRecord):
		return []ledger.Row{{DocumentID: id, Problem: err}}, nil
	case err != nil:
		return nil, err
	}
	return []ledger.Row{{DocumentID: rec.DocumentID, Record: rec}}, nil
}

// noRecord says what is known of an object without a document.
func (f *Finder) noRecord(ctx context.Context, object string) error {
	bucket, key, _ := strings.Cut(strings.TrimPrefix(object, "s3://"), "/")
	err := exit.New(exit.NotFound, "there is no document of %q", object)
	if bucket != f.Bucket {
		return err.Next("the bucket of this stack is %s", f.Bucket)
	}
	head, headErr := f.S3.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &bucket, Key: &key})
	if _, ok := errors.AsType[*s3types.NotFound](headErr); ok {
		return err.Next("the bucket has no such object; keys are compared letter by letter, as S3 has them").Next("intake ls s3://%s/%s   lists what is beside it", bucket, parent(key))
	}
	if headErr != nil {
		return err.Next("whether the bucket has such an object is not known: %v", headErr)
	}
	return err.Next("the bucket has such an object, of %s: it may still be in the queue, or no route takes it", aws.ToTime(head.LastModified).UTC().Format(time.RFC3339)).
		Next("intake explain %s   says which", quoted(object))
}

func parent(key string) string { return key[:strings.LastIndexByte(key, '/')+1] }

// quoted is a word of a shell's command line.
func quoted(word string) string {
	if strings.Trim(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:=@%+,") == "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// Below yields the objects of the stack's bucket under a prefix, as S3 lists them, with their
// documents.
func (f *Finder) Below(ctx context.Context, p Prefix, allVersions bool) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		if p.Bucket != f.Bucket {
			yield(Item{}, exit.New(exit.Usage, "s3://%s is not the bucket of this stack, which is s3://%s", p.Bucket, f.Bucket))
			return
		}
		for sources, err := range f.list(ctx, p, allVersions) {
			if err != nil {
				yield(Item{}, err)
				return
			}
			ids := make([]string, len(sources))
			for i, src := range sources {
				ids[i] = src.DocumentID()
			}
			rows, err := f.Reader.Get(ctx, ids)
			if err != nil {
				yield(Item{}, err)
				return
			}
			for i, row := range rows {
				if !yield(Item{Row: row, Source: sources[i]}, nil) {
					return
				}
			}
		}
	}
}

// list yields the objects under a prefix, as many as S3 lists at once. Folder markers are
// left out.
func (f *Finder) list(ctx context.Context, p Prefix, allVersions bool) iter.Seq2[[]document.Source, error] {
	return func(yield func([]document.Source, error) bool) {
		in := s3.ListObjectVersionsInput{Bucket: &p.Bucket, Prefix: &p.Prefix, EncodingType: s3types.EncodingTypeUrl}
		for {
			// Not ListObjectsV2, which has no version ids.
			page, err := f.S3.ListObjectVersions(ctx, &in)
			if err != nil {
				yield(nil, fmt.Errorf("list s3://%s/%s: %w", p.Bucket, p.Prefix, err))
				return
			}
			decode := func(s *string) (string, error) {
				if page.EncodingType != s3types.EncodingTypeUrl {
					return aws.ToString(s), nil
				}
				return url.QueryUnescape(aws.ToString(s))
			}
			var sources []document.Source
			for _, v := range page.Versions {
				if !allVersions && !aws.ToBool(v.IsLatest) {
					continue
				}
				key, err := decode(v.Key)
				if err != nil {
					yield(nil, fmt.Errorf("list s3://%s/%s: key %q: %w", p.Bucket, p.Prefix, aws.ToString(v.Key), err))
					return
				}
				src := document.Source{
					Bucket: p.Bucket, Key: key, VersionID: aws.ToString(v.VersionId), ETag: strings.Trim(aws.ToString(v.ETag), `"`),
					Size: aws.ToInt64(v.Size), UploadedAt: aws.ToTime(v.LastModified).UTC(),
				}
				if src.VersionID == "null" { // as upload events are read
					src.VersionID = ""
				}
				if !src.FolderMarker() {
					sources = append(sources, src)
				}
			}
			if !yield(sources, nil) || !aws.ToBool(page.IsTruncated) {
				return
			}
			marker, err := decode(page.NextKeyMarker)
			if err != nil {
				yield(nil, fmt.Errorf("list s3://%s/%s: %w", p.Bucket, p.Prefix, err))
				return
			}
			in.KeyMarker, in.VersionIdMarker = &marker, page.NextVersionIdMarker
		}
	}
}

// place is where a list goes on.
type place struct {
	// Ended: the list has come to the documents that have ended.
	Ended bool `json:"e,omitempty"`
	// Time is that of the last document, and Seen are those of that time that were listed.
	Time time.Time `json:"t"`
	Seen []string  `json:"s"`
}

// After is where a list goes on after the last of these items, for the same filters. It is
// an opaque text.
func After(items []Item) string {
	if len(items) == 0 {
		return ""
	}
	last := items[len(items)-1]
	p := place{Ended: ended(last), Time: last.Time}
	for _, item := range slices.Backward(items) {
		if ended(item) != p.Ended || !item.Time.Equal(p.Time) {
			break
		}
		p.Seen = append(p.Seen, item.DocumentID)
	}
	text, err := json.Marshal(p)
	if err != nil {
		return "" // a time of the year 10000
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

func ended(i Item) bool { return i.State.Terminal() }

func parsePlace(after string) (p place, err error) {
	if after == "" {
		return place{}, nil
	}
	text, err := base64.RawURLEncoding.DecodeString(strings.TrimSpace(after))
	if err == nil {
		err = json.Unmarshal(text, &p)
	}
	if err != nil || p.Time.IsZero() || len(p.Seen) == 0 {
		return place{}, exit.New(exit.Usage, "--after %s: that is not what a list said to go on with", after)
	}
	return p, nil
}

// all yields the documents of the filter's states.
func (f *Finder) all(ctx context.Context, filter Filter, p place) iter.Seq2[Item, error] {
	states := filter.States
	if len(states) == 0 {
		states = ledger.States()
	}
	var onTheWay, done []ledger.Query
	for _, state := range states {
		q := ledger.Query{State: state, Descending: state.Terminal()}
		switch {
		case !state.Terminal() && p.Ended:
		case !state.Terminal():
			q.From = p.Time
			onTheWay = append(onTheWay, q)
		default:
			q.From, q.Until = filter.Since, filter.Until
			if p.Ended {
				q.Until = p.Time
			}
			done = append(done, q)
		}
	}
	return func(yield func(Item, error) bool) {
		for _, queries := range [][]ledger.Query{onTheWay, done} {
			for row, err := range f.merge(ctx, queries) {
				if err == nil && row.Time.Equal(p.Time) && slices.Contains(p.Seen, row.DocumentID) {
					continue
				}
				if !yield(Item{Row: row}, err) || err != nil {
					return
				}
			}
		}
	}
}

// merge yields the documents of several queries in the order of their times.
func (f *Finder) merge(ctx context.Context, queries []ledger.Query) iter.Seq2[ledger.Row, error] {
	return func(yield func(ledger.Row, error) bool) {
		type source struct {
			row  ledger.Row
			next func() (ledger.Row, error, bool)
		}
		var sources []*source
		for _, q := range queries {
			next, stop := iter.Pull2(f.Reader.List(ctx, q))
			defer stop()
			sources = append(sources, &source{next: next})
		}
		advance := func(s *source) (ok bool, err error) {
			s.row, err, ok = s.next()
			return ok, err
		}
		var live []*source
		for _, s := range sources {
			ok, err := advance(s)
			if err != nil {
				yield(ledger.Row{}, err)
				return
			}
			if ok {
				live = append(live, s)
			}
		}
		for len(live) > 0 {
			first := 0
			for i, s := range live[1:] {
				if before := s.row.Time.Before(live[first].row.Time); before != queries[0].Descending && !s.row.Time.Equal(live[first].row.Time) {
					first = i + 1
				}
			}
			if !yield(live[first].row, nil) {
				return
			}
			ok, err := advance(live[first])
			if err != nil {
				yield(ledger.Row{}, err)
				return
			}
			if !ok {
				live = slices.Delete(live, first, first+1)
			}
		}
	}
}
