package submit

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"extend-intake/dev/fakeextend"
	"extend-intake/shared/document"
	"extend-intake/shared/ledger"
)

// Two instances, each with the messages of its batch side by side, and every creation of a
// gateway reported to both: each content is paid for once, whoever comes first.
func TestCreationsSideBySide(t *testing.T) {
	t.Parallel()
	in := newIntake(t)
	cfg := in.testConfig()
	cfg.SideBySide, cfg.MinFileBytes = 10, 37
	instances := []*instance{in.anotherWith(cfg), in.anotherWith(cfg)}
	const files = 3
	var messages []message
	ids := map[int][]string{}
	for f := range files {
		for v, size := range []int64{36, 48_213, 48_213} {
			s := document.Source{Bucket: bucket, Key: fmt.Sprintf("in/%d.pdf", f), VersionID: fmt.Sprint("v", v), ETag: fmt.Sprint("e", size), Size: size, Sequencer: fmt.Sprintf("0%d", v)}
			in.begun(s)
			messages = append(messages, message{id: fmt.Sprintf("%d-%d", f, v), body: document.RequeueMessage(s)})
			ids[f] = append(ids[f], s.DocumentID())
		}
	}
	for range 5 {
		var all sync.WaitGroup
		for _, i := range instances {
			all.Go(func() { i.receive(messages...) })
		}
		all.Wait()
		in.clock.advance(rules.Lease + time.Second)
	}
	in.wantRuns(files)
	for f := range files {
		states := map[ledger.State]int{}
		for _, id := range ids[f] {
			rec, err := in.book.Get(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			states[rec.State]++
		}
		if states[ledger.Refused] != 1 || states[ledger.Processing] != 1 || states[ledger.Skipped] != 1 {
			t.Errorf("file %d: %v", f, states)
		}
	}
}

// Good files beside sick ones, in the same batches: the good ones wait for none of them.
func TestGoodFilesBesideSickOnes(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]fakeextend.Fault{
		"a firewall": {Answer: &fakeextend.Answer{Status: 403, ContentType: "text/html", Body: "<html>blocked</html>"}},
		"always 500": {Status: 500},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := newIntake(t, faults(func(c fakeextend.Call) fakeextend.Fault {
				if c.Route == fakeextend.RouteCreate && strings.Contains(c.FileName, "sick") {
					return fault
				}
				return fakeextend.Fault{}
			}))
			cfg := in.testConfig()
			cfg.SideBySide = 10
			i := in.anotherWith(cfg)
			late := 0
			for round := range 40 {
				var messages []message
				for n := range 5 {
					sick, _ := put(fmt.Sprint("sick", n))
					good, _ := put(fmt.Sprintf("good%d-%d", round, n))
					messages = append(messages, sick, good)
				}
				r := i.receive(messages...)
				for id := range r.Back {
					if strings.HasPrefix(id, "good") {
						late++
					}
				}
				in.clock.advance(time.Minute)
			}
			t.Logf("%d of 200 good ones had to come back", late)
			if late > 20 {
				t.Errorf("%d of 200 good ones had to come back", late)
			}
		})
	}
}
