package main

import (
	"fmt"
	"os"
	"strings"

	"go.yaml.in/yaml/v3"
)

// template is what is needed of template.yaml.
type template struct {
	Parameters map[string]struct {
		Default yaml.Node `yaml:"Default"`
	} `yaml:"Parameters"`
	Globals struct {
		Function struct {
			Environment   environment `yaml:"Environment"`
			LoggingConfig struct {
				SystemLogLevel string `yaml:"SystemLogLevel"`
			} `yaml:"LoggingConfig"`
		} `yaml:"Function"`
	} `yaml:"Globals"`
	Resources map[string]struct {
		Properties yaml.Node `yaml:"Properties"`
	} `yaml:"Resources"`
}

type environment struct {
	Variables map[string]yaml.Node `yaml:"Variables"`
}

// function is what is needed of a function's properties.
type function struct {
	MemorySize  float64     `yaml:"MemorySize"`
	Environment environment `yaml:"Environment"`
}

func readTemplate(path string) (*template, error) {
	text, err := os.ReadFile(path) // #nosec G304 -- the template
	if err != nil {
		return nil, err
	}
	var t template
	if err := yaml.Unmarshal(text, &t); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &t, nil
}

func (t *template) function(logicalID string) (function, error) {
	var f function
	properties := t.Resources[logicalID].Properties
	err := properties.Decode(&f)
	if err == nil && f.MemorySize == 0 {
		err = fmt.Errorf("it has no MemorySize")
	}
	if err != nil {
		return f, fmt.Errorf("template.yaml: %s: %w", logicalID, err)
	}
	return f, nil
}

// variables are a function's environment. names are what parameters and resources
// stand for; a parameter that is not among them has its default.
func (t *template) variables(f function, names map[string]string) ([]string, error) {
	var env []string
	for _, variables := range []map[string]yaml.Node{t.Globals.Function.Environment.Variables, f.Environment.Variables} {
		for name, node := range variables {
			value, err := t.resolve(&node, names)
			if err != nil {
				return nil, fmt.Errorf("template.yaml: variable %s: %w", name, err)
			}
			env = append(env, name+"="+value)
		}
	}
	return env, nil
}

func (t *template) resolve(n *yaml.Node, names map[string]string) (string, error) {
	var err error
	lookup := func(name string) string {
		value, ok := names[name]
		if p, parameter := t.Parameters[name]; !ok && parameter {
			value, ok = p.Default.Value, true
		}
		if !ok {
			err = fmt.Errorf("what %s stands for is unknown: add it to names in world.go", name)
		}
		return value
	}
	switch {
	case n.Tag == "!Ref" || n.Tag == "!GetAtt":
		return lookup(n.Value), err
	case n.Tag == "!Sub":
		return os.Expand(n.Value, lookup), err
	case n.Tag == "!If" && len(n.Content) == 3:
		// Of what the functions are given, only the bus is under a condition, and a bus
		// of its own is what a stack has that names no other.
		return t.resolve(n.Content[1], names)
	case n.Kind != yaml.ScalarNode || strings.HasPrefix(n.Tag, "!") && !strings.HasPrefix(n.Tag, "!!"):
		return "", fmt.Errorf("%s is not understood: add it to resolve in template.go", n.Tag)
	}
	return n.Value, nil
}
