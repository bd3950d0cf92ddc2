package extend

import (
	"encoding/json"
	"time"
)

// A timestamp reads the API's dates, which come in three spellings of RFC 3339:
// …T15:30:00Z, …T17:01:39.285Z and …T21:22:37.318000+00:00.
// What is no date is carried as the zero time: no decision about a run hangs on one, and to fail on it would
// turn a run that exists into an unknown outcome.
type timestamp time.Time

func (t *timestamp) UnmarshalJSON(raw []byte) error {
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return nil
	}
	if at, err := time.Parse(time.RFC3339Nano, s); err == nil {
		*t = timestamp(at.UTC())
	}
	return nil
}
