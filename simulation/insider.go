package simulation

import (
	"encoding/json"
	"math/rand/v2"
	"strings"

	"extend-intake/dev/fakeextend"
	"extend-intake/shared/document"
)

// insider is somebody else with a key of the same workspace: whatever they do there is
// rightly signed by Extend. They see every run, with its metadata and the name of its file.
// They don't have the key that signs the tags.
func (w *world) insider(dice *rand.Rand) {
	var ours []run
	for _, r := range w.runs() {
		if t := tagOf(r.Metadata); t.Stack == stackName && !r.Other && !r.Deleted {
			ours = append(ours, r)
		}
	}
	o := w.someUpload(dice)
	if len(ours) == 0 || dice.IntN(8) == 0 {
		if o != nil { // of a document that may not have been sent yet
			s := w.bucket.source(o)
			w.otherRun("invents a tag", s.DocumentID(), fakeextend.NewRun{FileName: s.FileName(1, ""), Metadata: encoded(document.NewTag(stackName, s, 1).Metadata())})
		}
		return
	}
	r := ours[dice.IntN(len(ours))]
	t := tagOf(r.Metadata)
	var m map[string]any
	if err := json.Unmarshal(r.Metadata, &m); err != nil {
		panic(err)
	}
	run := fakeextend.NewRun{ProcessorID: r.ProcessorID, FileName: r.FileName, Metadata: r.Metadata}
	change := func(name string, value any) {
		m[name] = value
		run.Metadata = encoded(m)
	}
	what, signed := "", false
	switch dice.IntN(9) {
	case 0:
		what, signed = "runs the file once more, with its tag", true
	case 1:
		what = "invents the next attempt"
		change("attempt", t.Attempt+1)
		run.FileName = "a." + document.Token(t.DocumentID, t.Attempt+1) + ".pdf"
	case 2:
		what = "invents a later attempt, under the name of this one"
		change("attempt", []int{t.Attempt + 1, 999_999}[dice.IntN(2)])
		signed = true // by its name
	case 3:
		what, signed = "copies the tag, with another bucket", true
		change("bucket", "elsewhere")
	case 4:
		what, signed = "copies the name of the file alone", true
		run.Metadata = nil
	case 5:
		what = "copies the token alone"
		run.Metadata, run.FileName = nil, "a."+document.Token(t.DocumentID, t.Attempt)+".pdf"
	case 6:
		what = "copies the tag, with another processor"
		run.ProcessorID = otherProcessor
		if w.set.workflows && dice.IntN(2) == 0 {
			run.ProcessorID = otherWorkflow
		}
	case 7:
		what = "copies the tag without its signature"
		delete(m, "signature")
		run.Metadata, run.FileName = encoded(m), "a."+document.Token(t.DocumentID, t.Attempt)+".pdf"
	case 8:
		w.tell("insider", t.DocumentID, "deletes run %s", short(r.ID))
		_ = w.extend.DeleteRun(r.ID) // it may be gone
		return
	}
	w.mu.Lock()
	rec, ok := w.records[t.DocumentID]
	if known := ok && (rec.Attempt > t.Attempt || rec.Attempt == t.Attempt && rec.RunID != ""); signed && !known {
		w.copied[t.DocumentID] = true // nothing tells it from the run of the POST
	}
	w.mu.Unlock()
	w.otherRun(what, t.DocumentID, run)
}

// otherRun makes a run of somebody else. Its output is what nobody may find stored.
func (w *world) otherRun(what, documentID string, n fakeextend.NewRun) {
	if n.ProcessorID == "" {
		n.ProcessorID = processor
	}
	n.Content = []byte("%PDF-1.4 of somebody else")
	id, err := w.extend.AddRun(n)
	if err != nil {
		if !strings.Contains(err.Error(), "Too many") { // the plan's limit
			panic(err)
		}
		return
	}
	w.mu.Lock()
	w.others[id] = true
	w.mu.Unlock()
	w.tell("insider", documentID, "%s: run %s", what, short(id))
}

func encoded(m map[string]any) json.RawMessage {
	text, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	return text
}
