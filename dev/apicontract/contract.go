// Package apicontract is what is published of Extend's API, version 2025-04-21,
// for machines: its operations, the schemas of its objects and an example of each
// shape. README.md says how it is written and what is uncertain.
//
// The client (shared/extend) is tested against it, the fake (dev/fakeextend)
// reads requests by it and is tested against it from the other side.
package apicontract

import (
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"slices"
	"sync"
)

//go:embed operations.json schemas.json examples
var files embed.FS

// An Operation is one call of the API, as operations.json has it.
type Operation struct {
	Name, Method, Path string // {…} in the path stands for an id
	PathParameters     []struct{ Name string }
	Query              []Parameter
	Request            *Request // nil: no body
	Response           Response
	Errors             []Refusal // those that are declared
	Pagination         *struct{ Request, Response, Size, Items string }
	Repeatable         bool // a second call makes nothing new and costs nothing
	RepeatNote         string
	Deprecated         bool
}

// Parameter is one of a query.
type Parameter struct {
	Name, Type       string // of Type string, integer or boolean
	Enum             []any
	Minimum, Maximum *float64
	Required         bool
}

// Request is the body that an operation takes.
type Request struct {
	ContentType string
	Schema      json.RawMessage
}

// Response is what an operation answers with success.
type Response struct {
	Envelope struct {
		Kind      string                   // "success+name" or "bare"
		Member    *string                  // that what was asked for is in; nil: the answer is it
		Alternate *struct{ Member string } // a second form that one page shows
	}
	Schema json.RawMessage
}

// Refusal is a status that an operation declares, and the schemas of its bodies.
type Refusal struct {
	Status int
	Bodies []string
}

// Operations returns all 44 operations.
var Operations = sync.OnceValue(func() []Operation {
	var ops []Operation
	mustRead("operations.json", &ops)
	return ops
})

// Find returns the operation of that name.
func Find(name string) (Operation, bool) {
	ops := Operations()
	i := slices.IndexFunc(ops, func(o Operation) bool { return o.Name == name })
	if i < 0 {
		return Operation{}, false
	}
	return ops[i], true
}

// Declares reports whether an operation declares a status.
func (o Operation) Declares(status int) bool {
	return slices.ContainsFunc(o.Errors, func(r Refusal) bool { return r.Status == status })
}

// Examples returns the names of an operation's examples of a kind, "request" or
// "response", the plain one first.
func (o Operation) Examples(kind string) []string {
	return slices.Concat(Glob("examples/"+o.Name+"."+kind+".json"), Glob("examples/"+o.Name+".*."+kind+".json"))
}

// File returns one of the contract's files, such as "examples/GetFile.response.json".
func File(name string) ([]byte, error) { return files.ReadFile(name) }

// Glob returns the names of the files that match a pattern of path.Match.
func Glob(pattern string) []string {
	names, err := fs.Glob(files, pattern)
	if err != nil {
		panic(err) // the pattern is wrong
	}
	return names
}

// mustRead reads a file that is part of this package.
func mustRead(name string, v any) {
	b, err := File(name)
	if err == nil {
		err = json.Unmarshal(b, v)
	}
	if err != nil {
		panic(fmt.Sprintf("apicontract: %s: %v", name, err))
	}
}
