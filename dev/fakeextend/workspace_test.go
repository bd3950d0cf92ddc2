package fakeextend_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"testing"

	"extend-intake/dev/fakeextend"
)

// Somebody else's run is a run like ours, with everything copied, but no POST
// and no bill of ours.
func TestAddRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	ours, _ := w.create(`{"processorId":"dp_extract","file":{"fileName":"a.doc_1-1.pdf","fileUrl":"https://files.example.com/a.pdf"},"metadata":{"attempt":1}}`)
	w.wait()
	info, _ := w.fake.Run(ours)
	theirs, err := w.fake.AddRun(fakeextend.NewRun{
		ProcessorID: classifier, FileName: info.FileName, Metadata: info.Metadata, Content: []byte("forged"), Source: "STUDIO",
	})
	if err != nil {
		t.Fatal(err)
	}
	w.wait()
	run := w.get(theirs)
	eq(t, "metadata", string(run["metadata"]), `{"attempt":1}`)
	eq(t, "status", str(t, run["status"]), "PROCESSED")
	eq(t, "deliveries", len(w.deliveries()), 2)
	eq(t, "signature", verify(w.deliveries()[1], secret), true)
	eq(t, "accepted", w.fake.Accepted(), 1)
	eq(t, "POSTs", len(w.fake.Posts()), 1)
	eq(t, "paid", fmt.Sprint(w.fake.Paid(func(r fakeextend.RunInfo) string { return r.FileName })), "map[a.doc_1-1.pdf:1]")
	for source, want := range map[string][]string{"API": {ours}, "STUDIO": {theirs}, "": {theirs, ours}} {
		path := query("fileNameContains", "doc_1-1", "source", source)
		if source == "" {
			path = query("fileNameContains", "doc_1-1")
		}
		_, _, answer := w.do(http.MethodGet, path, "")
		var list struct{ ProcessorRuns []struct{ ID string } }
		if err := json.Unmarshal(answer, &list); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range list.ProcessorRuns {
			got = append(got, r.ID)
		}
		slices.Sort(got)
		slices.Sort(want)
		eq(t, "listed for "+source, fmt.Sprint(got), fmt.Sprint(want))
	}

	last, err := w.fake.AddRun(fakeextend.NewRun{ProcessorID: extractor, FileURL: "https://files.example.com/b.txt", Fate: fakeextend.Fate{End: fakeextend.EndFailed}})
	if err != nil {
		t.Fatal(err)
	}
	w.wait()
	failed, _ := w.fake.Run(last)
	eq(t, "fetched", failed.FetchPath, "/b.txt")
	eq(t, "failed", failed.Status, "FAILED")
	for name, bad := range map[string]fakeextend.NewRun{
		"processor": {ProcessorID: "dp_x", Content: []byte("x")},
		"file":      {ProcessorID: extractor},
		"both":      {ProcessorID: extractor, Content: []byte("x"), FileURL: "https://files.example.com/b.txt"},
		"URL":       {ProcessorID: extractor, FileURL: "b.txt"},
		"metadata":  {ProcessorID: extractor, Content: []byte("x"), Metadata: json.RawMessage(`[]`)},
		"source":    {ProcessorID: extractor, Content: []byte("x"), Source: "MARS"},
	} {
		_, err := w.fake.AddRun(bad)
		eq(t, name+" refused", err != nil, true)
	}
	eq(t, "runs", len(w.fake.Runs()), 3)
}

// The test button: any body, rightly signed.
func TestSend(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.answer = func(n int) int { return 200 + n }
	for i, ping := range fakeextend.Pings() {
		status, err := w.fake.Send(t.Context(), []byte(ping))
		if err != nil {
			t.Fatal(err)
		}
		eq(t, "status", status, 201+i)
		eq(t, "body", string(w.deliveries()[i].body), ping)
		eq(t, "signature", verify(w.deliveries()[i], secret), true)
		eq(t, "JSON", json.Valid([]byte(ping)), true)
	}
	if err := w.fake.SetWebhook("", ""); err != nil {
		t.Fatal(err)
	}
	_, err := w.fake.Send(t.Context(), nil)
	eq(t, "no endpoint", err != nil, true)
}
