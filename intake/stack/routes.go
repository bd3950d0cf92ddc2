package stack

import (
	"cmp"
	"fmt"
	"strconv"

	"extend-intake/shared/document"
)

// Routes are those that the stack's parameters make, as submit reads them: those of Routes
// and, last, the one of ProcessorId. A test holds them to submit's.
func (s *Stack) Routes() (document.Routes, error) {
	routes, err := document.ParseRoutes(s.Parameters["Routes"])
	if err != nil {
		return nil, fmt.Errorf("the parameter Routes of stack %s: %w", s.Name, err)
	}
	if id := s.Parameters["ProcessorId"]; id != "" {
		routes = append(routes, document.Route{
			Name: "default", Prefix: s.Parameters["KeyPrefix"], Suffix: s.Parameters["KeySuffix"],
			ProcessorID: id, Version: s.Parameters["ProcessorVersion"],
		})
	}
	return routes, nil
}

// FilesPerMinute is how many files submit sends in a minute: the plan's, less what it leaves to
// others. A test holds the share to submit's.
func (s *Stack) FilesPerMinute() (float64, error) {
	text := cmp.Or(s.Parameters["FilesPerMinute"], "80")
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || n <= 0 {
		return 0, fmt.Errorf("the parameter FilesPerMinute of stack %s is %q, not a number", s.Name, text)
	}
	return n * fileShare, nil
}

// fileShare is submit's share of the plan's files.
const fileShare = 0.98
