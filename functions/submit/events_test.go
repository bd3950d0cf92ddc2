package submit

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/events"
	gocmp "github.com/google/go-cmp/cmp"
)

// samples are the files of events/ that belong to this function: what is read of
// each, as keys of the runs made, and why messages go to the dead-letter queue.
var samples = map[string]struct{ keys, dead []string }{
	"submit-s3-put":                         {keys: []string{invoice}},
	"submit-s3-test-event":                  {},
	"submit-eventbridge":                    {keys: []string{invoice}},
	"submit-sqs-s3-put":                     {keys: []string{invoice}},
	"submit-sqs-eventbridge":                {keys: []string{invoice}},
	"submit-sqs-two-records":                {keys: []string{invoice, deliveryNote}},
	"submit-sqs-two-uploads-in-one-message": {keys: []string{invoice, deliveryNote}},
	"submit-sqs-bucket-without-versions":    {keys: []string{"invoices/scan.tiff"}},
	"submit-sqs-nothing-to-do":              {},
	"submit-sqs-dead-letters": {keys: []string{invoice}, dead: []string{
		"it has neither S3 records nor an S3 event of EventBridge",
		"invalid character 'o' in literal null",
		`key "invoices/100%.pdf" can't be decoded`,
	}},
}

const (
	invoice      = "invoices/Invoice 42+7 für Zürich.pdf"
	deliveryNote = "invoices/2026/納品書 100%.pdf"
)

func TestSampleEvents(t *testing.T) {
	t.Parallel()
	for name, want := range samples {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			event, err := os.ReadFile(filepath.Join("../../events", name+".json"))
			if err != nil {
				t.Fatal(err)
			}
			in := newIntake(t)
			in.config.Routes[0].Prefix = ""
			for range 2 { // what is invoked twice is read once
				var batch events.SQSEvent
				_ = json.Unmarshal(event, &batch) // a bare event is none
				var messages []message
				for _, m := range batch.Records {
					messages = append(messages, message{id: m.MessageId, body: m.Body})
				}
				in.queue.begin(messages)
				response, err := in.Handle(in.ctx, event)
				if err != nil {
					t.Fatal(err)
				}
				if r, ok := response.(events.SQSEventResponse); ok && len(r.BatchItemFailures) > 0 {
					t.Errorf("failures %v", r.BatchItemFailures)
				}
				dead := in.queue.end(nil).Dead
				for i, d := range dead {
					if i >= len(want.dead) || !strings.Contains(d.Reason, want.dead[i]) {
						t.Errorf("dead letter %d: %s", i, d.Reason)
					}
				}
				if len(dead) != len(want.dead) {
					t.Errorf("%d dead letters, want %d", len(dead), len(want.dead))
				}
			}
			var keys []string
			for _, r := range in.fake.Runs() {
				var tag struct {
					Key string `json:"key"`
				}
				if err := json.Unmarshal(r.Metadata, &tag); err != nil {
					t.Fatal(err)
				}
				keys = append(keys, tag.Key)
			}
			if d := gocmp.Diff(want.keys, keys); d != "" {
				t.Errorf("keys of the runs (-want +got):\n%s", d)
			}
		})
	}
}

// TestEveryEventIsSomebodys: the first word of each file's name is the package
// whose tests hold it to its outcome, and each of ours is in the table above.
func TestEveryEventIsSomebodys(t *testing.T) {
	t.Parallel()
	files, err := os.ReadDir("../../events")
	if err != nil {
		t.Fatal(err)
	}
	var ours []string
	for _, f := range files {
		if f.Name() == "README.md" {
			continue
		}
		name, isJSON := strings.CutSuffix(f.Name(), ".json")
		owner, _, _ := strings.Cut(name, "-")
		homes, err := filepath.Glob("../../*/" + owner + "/*_test.go") // functions/… or shared/…
		if err != nil || len(homes) == 0 || owner == "" || !isJSON {
			t.Errorf("events/%s: its name must be that of a package with tests, a dash, what it shows, and .json", f.Name())
		}
		if owner == "submit" {
			ours = append(ours, name)
		}
	}
	slices.Sort(ours)
	if d := gocmp.Diff(slices.Sorted(maps.Keys(samples)), ours); d != "" {
		t.Errorf("files in events/ (-in the table +there):\n%s", d)
	}
}
