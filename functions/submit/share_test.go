package submit

import (
	"math"
	"strings"
	"testing"
)

// However many instances there are, what all of them can send within one second, each with
// its burst of one, is within the plan, and they use the plan's files.
func TestPlanIsDivided(t *testing.T) {
	t.Parallel()
	base := environment("http://127.0.0.1:1", "http://127.0.0.1:1")
	for _, c := range []struct {
		requests, files, instances string
		eachRequests, eachFiles    float64 // a second, a minute
		problems                   []string
	}{
		{requests: "10", files: "80", instances: "2", eachRequests: 4, eachFiles: 39.2},
		{requests: "11", files: "80", instances: "2", eachRequests: 4, eachFiles: 39.2},
		{requests: "10", files: "80", instances: "10", eachRequests: 0.8, eachFiles: 7.84},
		{requests: "10", files: "80", instances: "8", eachRequests: 0.8, eachFiles: 9.8},
		{requests: "30", files: "300", instances: "10", eachRequests: 2.4, eachFiles: 29.4},
		{requests: "1000", files: "60000", instances: "1000", eachRequests: 0.8, eachFiles: 58.8},
		{requests: "0.1", files: "5", instances: "2", eachRequests: 0.04, eachFiles: 2.45},
		{requests: "10", files: "80", instances: "11", problems: []string{"SUBMIT_CONCURRENCY is 11: so many instances can send"}},
		{requests: "10", files: "10", instances: "5", problems: []string{"SUBMIT_CONCURRENCY is 5: FILES_PER_MINUTE, 10, must be at least 2.5 for each"}},
		{requests: "2", files: "5", instances: "3", problems: []string{"so many instances can send", "FILES_PER_MINUTE, 5,"}},
		{requests: "0", files: "4", instances: "3", problems: []string{"REQUESTS_PER_SECOND is 0", "FILES_PER_MINUTE is 4"}},
		{requests: "10", files: "80", instances: "2.5", problems: []string{"SUBMIT_CONCURRENCY is \"2.5\": it must be a number"}},
	} {
		cfg, err := LoadConfig(func(name string) string {
			if v, ok := map[string]string{"REQUESTS_PER_SECOND": c.requests, "FILES_PER_MINUTE": c.files, "SUBMIT_CONCURRENCY": c.instances}[name]; ok {
				return v
			}
			return base(name)
		})
		if len(c.problems) > 0 {
			if err == nil || strings.Count(err.Error(), "\n") != len(c.problems) {
				t.Errorf("%+v: %v", c, err)
				continue
			}
			for _, p := range c.problems {
				if !strings.Contains(err.Error(), p) {
					t.Errorf("%q is not in: %v", p, err)
				}
			}
			continue
		}
		if err != nil {
			t.Errorf("%+v: %v", c, err)
			continue
		}
		if math.Abs(cfg.RequestsPerSecond-c.eachRequests) > 1e-9 || math.Abs(cfg.FilesPerSecond*60-c.eachFiles) > 1e-9 {
			t.Errorf("%+v: each has %v requests a second and %v files a minute", c, cfg.RequestsPerSecond, cfg.FilesPerSecond*60)
		}
	}
}
