package submit

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"extend-intake/dev/fakeextend"
	"extend-intake/shared/document"
	"extend-intake/shared/ledger"
)

const payables = "workflow_payables"

func newWorkflowIntake(t *testing.T, route string, edit ...func(*fakeextend.Options)) *intake {
	t.Helper()
	in := newIntake(t, append([]func(*fakeextend.Options){func(o *fakeextend.Options) {
		o.Workflows = []fakeextend.Workflow{{ID: payables, Versions: []string{"1", "2"}, Processors: []string{processor}}}
	}}, edit...)...)
	routes, err := document.ParseRoutes(`[{"name": "payables", "prefix": "in/", "workflow": "workflow_payables"` + route + `}]`)
	if err != nil {
		t.Fatal(err)
	}
	in.config.Routes = routes
	return in
}

// wantOneRun holds that there is one run of a workflow, and that no processor was asked for one.
func (in *intake) wantOneRun() fakeextend.JobInfo {
	in.t.Helper()
	jobs := in.fake.Jobs()
	if len(jobs) != 1 || in.fake.Accepted() != 0 {
		in.t.Fatalf("%d runs of a workflow, %d of a processor", len(jobs), in.fake.Accepted())
	}
	return jobs[0]
}

func TestAWorkflowIsRun(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		route, version string
		sends          bool
	}{
		"the newest version":      {"", "2", false},
		"latest":                  {`, "version": "latest"`, "2", false},
		"a version and a tag":     {`, "version": "1", "priority": 7, "usageTags": ["legal"]`, "1", false},
		"the draft":               {`, "version": "draft"`, "draft", false},
		"a file that is sent":     {"", "2", true},
		"a file sent to a draft ": {`, "version": "draft"`, "draft", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := newWorkflowIntake(t, c.route)
			if c.sends {
				cfg := in.config
				cfg.SendsFiles = true
				in.instance = in.anotherWith(cfg)
			}
			m, u := put("a")
			in.want(in.receive(m), allDone)
			job := in.wantOneRun()
			rec := in.record(u)
			if rec.State != ledger.Processing || rec.RunID != job.ID || rec.ProcessorID != payables || rec.Route != "payables" || rec.RunURL == "" || !rec.TagSigned {
				t.Errorf("record %+v", rec)
			}
			run, err := in.client.WorkflowRuns.Get(t.Context(), job.ID)
			if err != nil {
				t.Fatal(err)
			}
			if run.Workflow.Version != c.version || job.WorkflowID != payables || (job.FileID != "" && job.FileURL == "") != c.sends {
				t.Errorf("version %s, job %+v", run.Workflow.Version, job)
			}
			if token, ok := document.ParseToken(job.FileName); !ok || token.DocumentID != u.id() {
				t.Errorf("file name %s", job.FileName)
			}
			var metadata struct {
				DocumentID string   `json:"documentId"`
				Tags       []string `json:"extend:usage_tags"`
			}
			if err := json.Unmarshal(job.Metadata, &metadata); err != nil || metadata.DocumentID != u.id() || !slices.Contains(metadata.Tags, "payables") {
				t.Errorf("metadata %s, %v", job.Metadata, err)
			}
			in.want(in.receive(m), allDone)
			in.wantOneRun()
		})
	}
}

// The answer to a POST is lost, or says nothing that is of use: the run is searched for among those
// of workflows, and the file is not paid for twice.
func TestALostAnswerOfAWorkflow(t *testing.T) {
	t.Parallel()
	body := func(member, value string) fakeextend.Fault {
		return fakeextend.Fault{ChangeBody: fakeextend.Set(member, value)}
	}
	for name, fault := range map[string]fakeextend.Fault{
		"500":              {Status: 500, After: true},
		"a gateway's 504":  {Status: 504, After: true, HTML: "<html>gateway timeout</html>"},
		"connection cut":   {Cut: true, After: true},
		"no runs":          body("workflowRuns", `[]`),
		"no list":          body("workflowRuns", `null`),
		"a run without id": body("workflowRuns", `[{"object":"workflow_run","status":"PENDING"}]`),
		"two runs":         body("workflowRuns", `[{"object":"workflow_run","id":"workflow_run_a","status":"PENDING"},{"object":"workflow_run","id":"workflow_run_b","status":"PENDING"}]`),
		"no tag comes back": {Cut: true, After: true, Fate: fakeextend.Fate{
			Changes: fakeextend.Everywhere(fakeextend.Set("metadata", "null"))}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := newWorkflowIntake(t, "", faults(fakeextend.Script(fakeextend.RouteCreateWorkflowRuns, fault)))
			m, u := put("a")
			in.want(in.receive(m), returns("a", firstSearch))
			in.wantState(u, ledger.Unconfirmed, "")
			in.clock.advance(firstSearch)
			in.want(in.receive(m), allDone)
			if job, rec := in.wantOneRun(), in.record(u); rec.State != ledger.Processing || rec.RunID != job.ID {
				t.Errorf("record %+v", rec)
			}
			in.wantLog("lost run found", "RecoveredBySearch=1")
		})
	}
}

// A run of another workflow with a copy of the tag is no run of the document's.
func TestASearchDoesNotBelieveAnotherWorkflow(t *testing.T) {
	t.Parallel()
	in := newWorkflowIntake(t, "", func(o *fakeextend.Options) {
		o.Workflows = append(o.Workflows, fakeextend.Workflow{ID: "workflow_other", Versions: []string{"1"}})
	}, faults(fakeextend.Script(fakeextend.RouteCreateWorkflowRuns, fakeextend.Fault{Status: 500})))
	m, u := put("a")
	in.want(in.receive(m), returns("a", firstSearch))
	tag := must(in.TagKeys.Sign(t.Context(), document.NewTag(stack, u.source(), 1)))
	if _, err := in.fake.AddRun(fakeextend.NewRun{ProcessorID: "workflow_other", FileName: tag.FileName("application/pdf"), Content: []byte("x"), Metadata: must(json.Marshal(tag.Metadata()))}); err != nil {
		t.Fatal(err)
	}
	in.clock.advance(firstSearch)
	if r := in.receive(m); len(r.Back) != 1 {
		t.Errorf("%+v", r)
	}
	in.wantState(u, ledger.Unconfirmed, "")
	in.wantLog("ERROR the run's tag contradicts the ledger", "TagMismatches=1")
}

// Extend does not know the workflow, or its version: the document says so.
func TestAWorkflowThatIsNotThere(t *testing.T) {
	t.Parallel()
	in := newWorkflowIntake(t, `, "version": "9"`)
	m, u := put("a")
	in.want(in.receive(m), allDone)
	rec := in.record(u)
	if rec.State != ledger.Refused || !strings.Contains(rec.FailureMessage, "Workflow version") || len(in.fake.Jobs()) != 0 {
		t.Errorf("record %+v", rec)
	}
}
