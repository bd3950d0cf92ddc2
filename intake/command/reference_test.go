package command

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/jsonschema-go/jsonschema"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"extend-intake/intake/exit"
)

const docs = "../../docs"

// root is all commands, for what they say of themselves.
func root() *cobra.Command {
	return Root(&Env{Stdin: strings.NewReader(""), Stdout: io.Discard, Stderr: io.Discard, Now: time.Now, Location: time.UTC, Getenv: func(string) string { return "" }})
}

// described is what a command is that does something.
func described(cmd *cobra.Command) spec {
	s, _ := specOf(cmd)
	return s
}

// golden compares a file of the docs with what it should be. -update writes it.
func golden(t *testing.T, name string, want []byte) {
	t.Helper()
	file := filepath.Join(docs, name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	have, err := os.ReadFile(file)
	if err != nil || !bytes.Equal(have, want) {
		t.Errorf("docs/%s is not what the commands say (%v): go test ./intake/command -run TestReference -update", name, err)
	}
}

// docs/intake.md is written from the commands.
func TestReference(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("# `intake`: the reference\n\nWritten from the commands' own help by a test in [intake/command](../intake/command). [Operations](operations.md) says when to use which.\n\n" +
		"`make intake` builds `bin/intake`; `make up` prints what it needs to work on the local stack.\n\n| command | what it does | it |\n| --- | --- | --- |\n")
	r := root()
	does := map[Class]string{Read: "reads", Write: "changes something, harmlessly if twice", Spend: "costs credits", Destroy: "can't be undone"}
	for _, cmd := range leaves(r) {
		name := strings.TrimPrefix(cmd.CommandPath(), "intake ")
		fmt.Fprintf(&b, "| [`%s`](#%s) | %s | %s |\n", name, "intake-"+strings.ReplaceAll(name, " ", "-"), cmd.Short, does[described(cmd).class])
	}
	b.WriteString("\n## All commands\n\n```\n" + r.Long + "\n\n" + r.PersistentFlags().FlagUsages() + "```\n\n## Exit status\n\n| status | meaning |\n| --- | --- |\n")
	for _, c := range exit.Codes {
		fmt.Fprintf(&b, "| %d | %s |\n", c.Code, c.Meaning)
	}
	for _, cmd := range leaves(r) {
		fmt.Fprintf(&b, "\n## intake %s\n\n%s.\n\n```\nintake %s\n", strings.TrimPrefix(cmd.CommandPath(), "intake "), cmd.Short, usage(cmd))
		if cmd.Long != "" {
			fmt.Fprintf(&b, "\n%s\n", cmd.Long)
		}
		if flags := cmd.LocalNonPersistentFlags(); flags.HasAvailableFlags() {
			flags.SortFlags = true
			fmt.Fprintf(&b, "\n%s", withoutHelp(flags))
		}
		b.WriteString("```\n")
		if cmd.Example != "" {
			fmt.Fprintf(&b, "\n```\n%s\n```\n", cmd.Example)
		}
		if described(cmd).output != nil {
			fmt.Fprintf(&b, "\nThe schema of its JSON is [%s](intake/%[1]s).\n", schemaFile(cmd))
		}
	}
	text := regexp.MustCompile(`[ \t]+\n`).ReplaceAllString(b.String(), "\n")
	golden(t, "intake.md", []byte(text))
}

func usage(cmd *cobra.Command) string {
	return strings.TrimPrefix(strings.TrimSuffix(strings.TrimPrefix(cmd.UseLine(), "intake "), "\n"), "intake ")
}

func withoutHelp(flags *pflag.FlagSet) string {
	shown := pflag.NewFlagSet("", pflag.ContinueOnError)
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Name != "help" {
			shown.AddFlag(f)
		}
	})
	return shown.FlagUsages()
}

func schemaFile(cmd *cobra.Command) string {
	return strings.ReplaceAll(strings.TrimPrefix(cmd.CommandPath(), "intake "), " ", "-") + ".json"
}

// schema is that of what a command writes with --json.
func schema(cmd *cobra.Command) (*jsonschema.Schema, error) {
	return jsonschema.ForType(reflect.TypeOf(described(cmd).output), &jsonschema.ForOptions{TypeSchemas: map[reflect.Type]*jsonschema.Schema{
		reflect.TypeFor[json.Number]():     {Type: "number"},
		reflect.TypeFor[json.RawMessage](): {},
		reflect.TypeFor[LogLine]():         {Type: "object", Description: "A line of a function's log, as it was logged."},
		reflect.TypeFor[time.Time]():       {Type: "string", Format: "date-time"},
	}})
}

// The schemas in docs/intake are those of the types that are written. They only grow.
func TestReferenceSchemas(t *testing.T) {
	t.Parallel()
	var names []string
	for _, cmd := range leaves(root()) {
		if described(cmd).output == nil {
			continue
		}
		s, err := schema(cmd)
		if err != nil {
			t.Fatalf("%s: %v", cmd.CommandPath(), err)
		}
		s.Schema = "https://json-schema.org/draft/2020-12/schema"
		text, err := json.MarshalIndent(s, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, schemaFile(cmd))
		golden(t, filepath.Join("intake", schemaFile(cmd)), append(text, '\n'))
	}
	entries, err := os.ReadDir(filepath.Join(docs, "intake"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !slices.Contains(names, e.Name()) {
			t.Errorf("docs/intake/%s is the schema of no command", e.Name())
		}
	}
}

// Each command says what it is, and has an example that can be parsed.
func TestHelp(t *testing.T) {
	t.Parallel()
	for _, cmd := range leaves(root()) {
		if cmd.Short == "" || strings.HasSuffix(cmd.Short, ".") {
			t.Errorf("%s: short %q", cmd.CommandPath(), cmd.Short)
		}
		for line := range strings.SplitSeq(cmd.Example+"\n"+cmd.Long, "\n") {
			if len(line) > 110 {
				t.Errorf("%s: a line of %d characters: %s", cmd.CommandPath(), len(line), line)
			}
		}
		for line := range strings.SplitSeq(cmd.Example, "\n") {
			for part := range strings.SplitSeq(line, "|") {
				words := strings.Fields(strings.NewReplacer("'", "", `"`, "").Replace(part))
				if len(words) < 2 || words[0] != "intake" {
					continue
				}
				_, _, err := root().Find(words[1:])
				if err != nil {
					t.Errorf("%s: example %q: %v", cmd.CommandPath(), part, err)
				}
			}
		}
	}
}

// What commands write is as their schemas say.
func TestOutputsAreAsTheirSchemasSay(t *testing.T) {
	t.Parallel()
	s := theStack(t)
	src, err := put(t.Context(), s, "schemas/fail-CORRUPT_FILE-a.pdf", []byte("schemas"))
	if err != nil {
		t.Fatal(err)
	}
	if err := await(t.Context(), s, src.DocumentID(), []string{"FAILED"}); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"status", "ls", "get " + src.DocumentID(), "explain " + src.DocumentID(), "open " + src.DocumentID(), "logs --since 5m", "config show", "config route in/a.pdf",
		"dlq ls", "ops ls", "doctor", "secret status", "version", "iam viewer", "reprocess " + src.DocumentID() + " --yes --max-credits 9 --credits-each 1",
	} {
		args := strings.Fields(line)
		cmd, _, err := root().Find(args)
		if err != nil {
			t.Fatal(err)
		}
		stdout, stderr, code := process(t, s, t.TempDir(), append(args, "--json")...)
		if code != exit.Done && code != exit.Ended {
			t.Errorf("%s: exit %d: %s", line, code, stderr)
			continue
		}
		wanted, err := schema(cmd)
		if err != nil {
			t.Fatal(err)
		}
		resolved, err := wanted.Resolve(nil)
		if err != nil {
			t.Fatal(err)
		}
		var value any
		if err := json.Unmarshal([]byte(stdout), &value); err != nil {
			t.Errorf("%s: %v: %s", line, err, stdout)
			continue
		}
		if err := resolved.Validate(value); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
}
