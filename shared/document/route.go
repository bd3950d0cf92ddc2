package document

import "strings"

// Route says which uploads are read, and by which processor.
type Route struct {
	// Name is shown in the table, in logs and in events.
	Name string
	// Prefix and Suffix select keys; an empty one selects all. Both are compared
	// byte by byte, as S3's own filters are.
	Prefix, Suffix string
	// ProcessorID is a dp_… id of Extend; Version is "latest", "draft" or a
	// published number such as "2.1".
	ProcessorID, Version string
}

// Matches reports whether the key is one of the Route's.
func (r Route) Matches(key string) bool {
	return strings.HasPrefix(key, r.Prefix) && strings.HasSuffix(key, r.Suffix)
}
