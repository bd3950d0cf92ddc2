package command

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"extend-intake/intake/exit"
	"extend-intake/intake/out"
	"extend-intake/intake/stack"
	"extend-intake/shared/document"
)

func init() { register(newConfig) }

// Config is what `config show` writes.
type Config struct {
	Parameters map[string]string `json:"parameters" jsonschema:"The parameters of the stack."`
	Routes     []Route           `json:"routes" jsonschema:"The routes that they make, in the order in which they are asked."`
	Outputs    map[string]string `json:"outputs" jsonschema:"The outputs of the stack."`
}

// Route says which uploads are read, and by which processor.
type Route struct {
	Name      string   `json:"name"`
	Prefix    string   `json:"prefix,omitempty"`
	Suffix    string   `json:"suffix,omitempty"`
	Pattern   string   `json:"pattern,omitempty"`
	Processor string   `json:"processor"`
	Version   string   `json:"version"`
	Priority  int      `json:"priority,omitempty" jsonschema:"1 to 100, where the lower runs first; missing is 50, Extend's default."`
	UsageTags []string `json:"usageTags,omitempty"`
}

// Routed is what `config route` writes of a key.
type Routed struct {
	Key string `json:"key"`
	// Route is nil where no route takes the key.
	Route *Route `json:"route" jsonschema:"The route that takes the key; null if none does. The usage tags are those of this key."`
}

func newConfig(e *Env) *cobra.Command {
	return group("config", "Show how the stack is configured", "config shows how the stack is configured, and which route takes a key.", newConfigShow(e), newConfigRoute(e))
}

func routeOf(r document.Route) Route {
	return Route{
		Name: r.Name, Prefix: r.Prefix, Suffix: r.Suffix, Pattern: r.Pattern, Processor: r.ProcessorID, Version: r.Version,
		Priority: r.Priority, UsageTags: r.UsageTags,
	}
}

// keys says in words which keys a route takes.
func (r Route) keys() string {
	switch {
	case r.Pattern != "":
		return r.Pattern
	case r.Prefix+r.Suffix == "":
		return "all other keys"
	}
	return r.Prefix + "…" + r.Suffix
}

func newConfigShow(e *Env) *cobra.Command {
	return e.leaf(spec{
		use: "show", short: "Show the parameters, the routes and the outputs", class: Read, output: Config{},
		long:    "show shows the parameters of the stack, the routes that they make, and its outputs.",
		example: "  intake config show\n  intake config show --jq .parameters.FilesPerMinute",
		run: func(ctx context.Context, _ []string) error {
			s, err := e.Stack(ctx)
			if err != nil {
				return err
			}
			c := Config{Parameters: s.Parameters, Outputs: s.Outputs, Routes: []Route{}}
			routes, err := s.Routes()
			if err != nil {
				return err
			}
			for _, r := range routes {
				c.Routes = append(c.Routes, routeOf(r))
			}
			return e.Out().Value(c, s.Name, func() []out.Field { return configFields(c) })
		},
	})
}

func configFields(c Config) []out.Field {
	var fields []out.Field
	for _, r := range c.Routes {
		text := r.keys() + " → " + r.Processor + " " + r.Version
		if r.Priority > 0 {
			text += ", priority " + strconv.Itoa(r.Priority)
		}
		if len(r.UsageTags) > 0 {
			text += ", tags " + strings.Join(r.UsageTags, " ")
		}
		fields = append(fields, out.Field{Label: "route " + r.Name, Text: text})
	}
	for _, values := range []map[string]string{c.Parameters, c.Outputs} {
		for _, name := range slices.Sorted(maps.Keys(values)) {
			if values[name] != "" && name != "Routes" { // they are above
				fields = append(fields, out.Field{Label: name, Text: values[name]})
			}
		}
	}
	return fields
}

func newConfigRoute(e *Env) *cobra.Command {
	return e.leaf(spec{
		use: "route KEY…", short: "Say which route takes a key", class: Read, output: []Routed{}, args: cobra.MinimumNArgs(1),
		long: `route says which route takes each key, and so which processor would read an upload of that
name. No such object has to be there. An object is named by its key or as s3://bucket/key.

The exit status is 3 if there is a key that no route takes.`,
		example: "  intake config route invoices/2026/42.pdf 'contracts/acme/a b.docx'",
		run: func(ctx context.Context, keys []string) error {
			s, err := e.Stack(ctx)
			if err != nil {
				return err
			}
			routes, err := s.Routes()
			if err != nil {
				return err
			}
			without := false
			list := out.List[Routed]{ID: func(r Routed) string { return r.name() }, Columns: []out.Column[Routed]{
				{Name: "KEY", Text: func(r Routed) string { return r.Key }, Flexible: true},
				{Name: "ROUTE", Text: Routed.name, Keep: true},
				{Name: "PROCESSOR", Text: func(r Routed) string { return r.text(func(r Route) string { return r.Processor }) }},
				{Name: "VERSION", Text: func(r Routed) string { return r.text(func(r Route) string { return r.Version }) }},
				{Name: "PRIORITY", Text: func(r Routed) string {
					return r.text(func(r Route) string { return strconv.Itoa(cmp.Or(r.Priority, 50)) })
				}},
				{Name: "TAGS", Text: func(r Routed) string { return r.text(func(r Route) string { return strings.Join(r.UsageTags, " ") }) }},
			}}
			if _, err := list.Print(e.Out(), func(yield func(Routed, error) bool) {
				for _, name := range keys {
					routed, err := route(s, routes, name)
					without = without || routed.Route == nil
					if !yield(routed, err) {
						return
					}
				}
			}); err != nil {
				return err
			}
			if without {
				return exit.Quiet(exit.Ended)
			}
			return nil
		},
	})
}

// route is the route of a key, or of an object of the stack's bucket.
func route(s *stack.Stack, routes document.Routes, name string) (Routed, error) {
	key := name
	if rest, ok := strings.CutPrefix(name, "s3://"); ok {
		var bucket string
		if bucket, key, _ = strings.Cut(rest, "/"); bucket != s.Bucket() {
			return Routed{}, exit.New(exit.Usage, "%s is not in the bucket of this stack, s3://%s", name, s.Bucket())
		}
	}
	routed := Routed{Key: key}
	if r, ok := routes.Find(key); ok {
		r.UsageTags = r.TagsFor(key)
		found := routeOf(r)
		routed.Route = &found
	}
	return routed, nil
}

func (r Routed) name() string { return r.text(func(r Route) string { return r.Name }) }

func (r Routed) text(get func(Route) string) string {
	if r.Route == nil {
		return "-"
	}
	return get(*r.Route)
}
