package loose

import (
	"fmt"
	"regexp"
	"strconv"
)

// versionPattern is a date, with what people and proxies put around one.
var versionPattern = regexp.MustCompile(`^\W*[vV]?(\d{4})[-./_](\d{1,2})[-./_](\d{1,2})(?:[Tt ][\d:.]*[Zz]?)?\W*$`)

// Version returns the version of an API, which is a date, as it should be written: 2025-04-21 of v2025-4-21, "2025-04-21" in
// quotes or 2025-04-21T00:00:00Z. Anything else is returned as it is.
func Version(said string) string {
	m := versionPattern.FindStringSubmatch(said)
	if m == nil {
		return said
	}
	month, _ := strconv.Atoi(m[2])
	day, _ := strconv.Atoi(m[3])
	return fmt.Sprintf("%s-%02d-%02d", m[1], month, day)
}
