package stack

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/BurntSushi/toml"

	"extend-intake/intake/exit"
)

// samconfig is what a samconfig.toml says of one environment. Both are empty where it
// says nothing.
type samconfig struct {
	path, stack, region string
}

// readSamconfig reads the samconfig.toml of the directory or of one above it; the zero
// value is none. An environment that somebody asks for must be in it.
func readSamconfig(dir, environment string) (samconfig, error) {
	asked := environment != ""
	if !asked {
		environment = "default"
	}
	path, err := findUp(dir, "samconfig.toml")
	switch {
	case err != nil:
		return samconfig{}, err
	case path == "" && asked:
		return samconfig{}, exit.New(exit.Usage, "--env %s: there is no samconfig.toml in %s or above it", environment, dir).
			Next("go to the directory of your samconfig.toml, or name the stack: --stack NAME")
	case path == "":
		return samconfig{}, nil
	}
	var environments map[string]any
	if _, err := toml.DecodeFile(path, &environments); err != nil {
		return samconfig{}, exit.New(exit.Usage, "%s: %w", path, err).Next("mend the file, or name the stack: --stack NAME")
	}
	sections, ok := environments[environment].(map[string]any)
	if !ok && asked {
		return samconfig{}, exit.New(exit.Usage, "--env %s: %s has no such environment", environment, path)
	}
	c := samconfig{path: path}
	// As SAM reads it: what a command's section says wins over the global one.
	for _, name := range []string{"deploy", "global"} {
		section, _ := sections[name].(map[string]any)
		parameters, _ := section["parameters"].(map[string]any)
		if s, ok := parameters["stack_name"].(string); ok && c.stack == "" {
			c.stack = s
		}
		if s, ok := parameters["region"].(string); ok && c.region == "" {
			c.region = s
		}
	}
	return c, nil
}

// findUp is the path of a file of this name in the directory or the closest one above it
// that has one; "" where there is none.
func findUp(dir, name string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	for {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); err == nil {
			return path, nil
		} else if !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("%s: %w", path, err)
		}
		above := filepath.Dir(dir)
		if above == dir {
			return "", nil
		}
		dir = above
	}
}
