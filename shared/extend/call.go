package extend

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"iter"
	"net/url"
	"reflect"
	"strings"

	"extend-intake/shared/clean"
	"extend-intake/shared/extend/internal/loose"
)

// A service has the calls for one kind of thing.
type service struct{ client *Client }

// call makes a call whose answer is one object.
func call[T any](ctx context.Context, c *Client, op operation, query, body any, ids ...string) (*T, error) {
	r := request{operation: op, ids: ids, body: body}
	var err error
	if r.query, err = queryOf(op, query); err != nil {
		return nil, err
	}
	return send(ctx, c, r, Parse[T])
}

// Deletion confirms that something is gone for good.
type Deletion struct {
	ID      string // of what is gone
	Message string // for people
	Received
}

// remove makes a call that deletes.
func remove(ctx context.Context, c *Client, op operation, id string) (*Deletion, error) {
	r := request{operation: operation{method: op.method, path: op.path, repeatable: op.repeatable}, ids: []string{id}}
	return send(ctx, c, r, func(body json.RawMessage) (*Deletion, error) {
		o, err := loose.SplitObject(body)
		if err != nil {
			return nil, err
		}
		d := &Deletion{ID: loose.Of[string](o, op.member), Message: clean.Text(loose.Of[string](o, "message"), maxText), Received: Received{Raw: body}}
		if d.ID == "" {
			return nil, hasMember(o, op.member)
		}
		return d, nil
	})
}

// Page is one page of a list, or a list that comes whole.
type Page[T any] struct {
	Items         []T
	NextPageToken string // "" on the last page
	Received
}

// list makes a call whose answer is a page.
func list[T any](ctx context.Context, c *Client, op operation, query, body any, ids ...string) (*Page[T], error) {
	r := request{operation: op, ids: ids, body: body}
	var err error
	if r.query, err = queryOf(op, query); err != nil {
		return nil, err
	}
	return send(ctx, c, r, func(body json.RawMessage) (*Page[T], error) { return parsePage[T](body, op.items) })
}

// parsePage reads a list. It is strict, since a search for a lost run must not miss it: a page without its list, with an
// element that has no id, or with a token of another type is an error.
func parsePage[T any](body json.RawMessage, items string) (*Page[T], error) {
	o, err := loose.SplitObject(body)
	if err != nil {
		return nil, err
	}
	if err := hasMember(o, items); err != nil {
		return nil, err
	}
	page := &Page[T]{NextPageToken: loose.Of[string](o, "nextPageToken"), Received: Received{Raw: body}}
	if page.NextPageToken == "" && o.Has("nextPageToken") && string(o["nextPageToken"]) != `""` {
		return nil, errors.New("nextPageToken is not a text")
	}
	if page.Items, err = ParseList[T](o[items]); err != nil {
		return nil, fmt.Errorf("%s: %w", items, err)
	}
	return page, nil
}

const (
	// maxPages bounds a list that never ends. At ten items a page it is ten million items.
	maxPages = 1_000_000
	// maxEmptyPages bounds how long a list may go on without an item.
	maxEmptyPages = 1_000
)

// all returns the items of all pages from the one of that token on, and fetches each page when it is needed. It ends after
// the first error.
func all[T any](token string, list func(token string) (*Page[T], error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		next, empty := token, 0
		seen, seed := map[uint64]bool{}, maphash.MakeSeed() // hashes, for tokens can be long
		fail := func(err error) { yield(*new(T), fmt.Errorf("extend: list: %w", err)) }
		for range maxPages {
			seen[maphash.String(seed, next)] = true
			page, err := list(next)
			if err != nil {
				yield(*new(T), err)
				return
			}
			for _, item := range page.Items {
				if !yield(item, nil) {
					return
				}
			}
			if next = page.NextPageToken; next == "" {
				return
			}
			if empty++; len(page.Items) > 0 {
				empty = 0
			}
			switch {
			case seen[maphash.String(seed, next)]:
				fail(errors.New("the page token repeats itself"))
				return
			case empty == maxEmptyPages:
				fail(fmt.Errorf("%d pages in a row are empty", empty))
				return
			}
		}
		fail(fmt.Errorf("it goes on after %d pages", maxPages))
	}
}

// queryOf turns the fields of a request into parameters. nil has none.
func queryOf(op operation, fields any) (url.Values, error) {
	if fields == nil {
		return nil, nil
	}
	refuse := func(err error) error { return prepared{method: op.method, path: op.path}.refuse(err) }
	if err := check(fields); err != nil {
		return nil, refuse(err)
	}
	raw, err := json.Marshal(fields)
	if err != nil {
		return nil, refuse(err)
	}
	o, err := loose.SplitObject(raw)
	if err != nil {
		return nil, refuse(err)
	}
	query := url.Values{}
	for name, value := range o {
		query.Set(name, string(value))
		if value[0] == '"' {
			query.Set(name, text(value))
		}
	}
	return query, nil
}

// A checker is a request, or a part of one, with a rule of the API that can be checked without a call. at is the prefix for
// names of members: "", or the path of the part in the request, such as "file.".
type checker interface{ check(at string) error }

// check returns an error for a request that the API is sure to refuse, or to take for another one than was meant. A field that
// the API requires is one without omitzero.
func check(req any) error { return checkValue(reflect.ValueOf(req), "") }

func checkValue(v reflect.Value, path string) error {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		return checkValue(v.Elem(), path)
	case reflect.Slice:
		if raw, ok := v.Interface().(json.RawMessage); ok {
			return checkObject(path, raw)
		}
		for i := range v.Len() {
			if err := checkValue(v.Index(i), fmt.Sprintf("%s[%d]", path, i)); err != nil {
				return err
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			f := v.Type().Field(i)
			member, _, optional := strings.Cut(f.Tag.Get("json"), ",")
			if member == "" || member == "-" {
				continue
			}
			at := strings.TrimPrefix(path+"."+member, ".")
			if !optional && isEmpty(v.Field(i)) && f.Tag.Get("empty") == "" {
				return fmt.Errorf("%s is empty", at)
			}
			if err := checkValue(v.Field(i), at); err != nil {
				return err
			}
		}
		if c, ok := v.Interface().(checker); ok {
			if path != "" {
				path += "."
			}
			return c.check(path)
		}
	}
	return nil
}

// checkObject checks JSON of a request. All raw JSON in requests is an object.
func checkObject(name string, raw json.RawMessage) error {
	if len(raw) == 0 {
		return nil
	}
	if why := whyInvalid(raw); why != "" {
		return fmt.Errorf("%s is not JSON: %s", name, why)
	}
	if bytes.TrimLeft(raw, " \t\r\n")[0] != '{' {
		return errors.New(name + " is no JSON object")
	}
	return nil
}

func isEmpty(v reflect.Value) bool {
	return v.IsZero() || v.Kind() == reflect.Slice && v.Len() == 0
}

// inRange is the check of a number that has bounds: 0 is not set.
func inRange(name string, n, low, high int) error {
	if n != 0 && (n < low || n > high) {
		return fmt.Errorf("%s is %d: the API takes %d to %d", name, n, low, high)
	}
	return nil
}
