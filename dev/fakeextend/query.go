package fakeextend

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"extend-intake/dev/apicontract"
)

// parseQuery returns the query parameters by name; each may be sent once.
func parseQuery(r *http.Request) (map[string]string, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, err
	}
	query := make(map[string]string, len(values))
	for name, v := range values {
		if len(v) != 1 {
			return nil, fmt.Errorf("parameter %s was sent %d times", name, len(v))
		}
		query[name] = v[0]
	}
	return query, nil
}

// checkQuery holds the query against the contract. Unknown and empty parameters
// are refused, which the vendor does not say: a misspelt filter would otherwise
// find everything.
func (x *exchange) checkQuery() *refusal {
	for _, name := range slices.Sorted(maps.Keys(x.query)) {
		at := slices.IndexFunc(x.op.Query, func(p apicontract.Parameter) bool { return p.Name == name })
		if at < 0 {
			return invalid("Unknown query parameter; Path: %s", name)
		}
		if ref := checkParameter(x.op.Query[at], x.query[name]); ref != nil {
			return ref
		}
	}
	return nil
}

func checkParameter(p apicontract.Parameter, value string) *refusal {
	switch {
	case p.Type == "integer": // maxPageSize; where the contract states no bounds, those of the other lists
		if n, err := strconv.Atoi(value); err != nil || n < 1 || n > maxPageSize {
			return invalid("Expected number between 1 and %d; Path: %s", maxPageSize, p.Name)
		}
	case p.Type == "boolean":
		if value != "true" && value != "false" {
			return invalid("Expected boolean; Path: %s", p.Name)
		}
	case value == "":
		return invalid("Expected string; Path: %s", p.Name)
	case p.Enum != nil && !slices.Contains(p.Enum, any(value)):
		var known []string
		for _, v := range p.Enum {
			known = append(known, fmt.Sprint(v))
		}
		return invalid("Expected one of %s; Path: %s", strings.Join(known, ", "), p.Name)
	}
	return nil
}
