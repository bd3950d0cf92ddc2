package command

import (
	"context"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"extend-intake/intake/out"
)

// Version is that of this software; a test holds it to the template's.
const Version = "0.1.0"

func init() { register(newVersion) }

// VersionResult is what `version` writes.
type VersionResult struct {
	Version string `json:"version" jsonschema:"The version of this command."`
	Commit  string `json:"commit,omitempty" jsonschema:"The commit that it was built from, if that is known; with a plus if files were changed."`
	Go      string `json:"go" jsonschema:"The version of Go that it was built with."`
}

func newVersion(e *Env) *cobra.Command {
	return e.leaf(spec{
		use: "version", short: "Say which version of intake this is", class: Read, output: VersionResult{},
		long: "version says which version of intake this is. The version of a stack is in `intake status`.",
		run: func(context.Context, []string) error {
			v := VersionResult{Version: Version, Go: runtime.Version()}
			if info, ok := debug.ReadBuildInfo(); ok {
				for _, s := range info.Settings {
					switch {
					case s.Key == "vcs.revision":
						v.Commit = s.Value[:min(12, len(s.Value))] + v.Commit
					case s.Key == "vcs.modified" && s.Value == "true":
						v.Commit += "+"
					}
				}
			}
			return e.Out().Value(v, v.Version, func() []out.Field {
				return []out.Field{{Label: "intake", Text: strings.TrimSpace(v.Version + " " + v.Commit)}, {Label: "built with", Text: v.Go}}
			})
		},
	})
}
