package stack

import (
	"fmt"

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
