package show

import (
	"fmt"
	"strings"

	"extend-intake/intake/out"
)

// Fields are all that is known of a document, for people.
func Fields(p *out.Printer, d Document) []out.Field {
	var fields []out.Field
	add := func(label, text string) {
		if text != "" {
			fields = append(fields, out.Field{Label: label, Text: text})
		}
	}
	add("document", d.DocumentID)
	state := d.State
	if d.Revision > 0 {
		state += fmt.Sprintf(" (revision %d)", d.Revision)
	}
	if d.Reviewed {
		state += ", reviewed"
	}
	if d.Edited {
		state += ", edited"
	}
	if d.State == "" {
		state = "no record"
	}
	add("state", state)
	add("problem", d.Problem)
	add("why", d.Why())
	if o := d.Object; o != nil {
		add("object", "s3://"+o.Bucket+"/"+o.Key)
		add("version", o.VersionID)
		add("size", out.Size(o.Size))
	}
	add("route", d.Route)
	add("processor", strings.TrimSpace(d.Processor+" "+d.ProcessorVersion))
	if d.Attempt > 0 {
		run := d.RunID
		if run == "" {
			run = "none"
		}
		add("run", fmt.Sprintf("%s (attempt %d)", run, d.Attempt))
	}
	add("dashboard", d.RunURL)
	add("uploaded", p.When(d.UploadedAt))
	add("submitted", p.When(d.SubmittedAt))
	add("next check", p.When(d.NextCheckAt))
	add("finished", p.When(d.FinishedAt))
	add("credits", d.Credits.String())
	add("type", d.Type)
	add("output in", d.OutputLocation)
	return fields
}

// RunFields are the runs that the record does not show, or no longer.
func RunFields(p *out.Printer, d Document) []out.Field {
	var fields []out.Field
	for _, r := range d.Runs {
		words := []string{fmt.Sprintf("attempt %d %s", r.Attempt, r.State)}
		if r.RunID != "" {
			words = append(words, r.RunID)
		}
		if r.Failure != nil {
			words = append(words, strings.TrimSuffix(r.Failure.Reason+": "+r.Failure.Message, ": "))
		}
		if r.Credits != "" {
			words = append(words, r.Credits.String()+" credits")
		}
		if r.Duplicate {
			words = append(words, "a duplicate")
		}
		if r.Mismatch {
			words = append(words, "its tag contradicts")
		}
		fields = append(fields, out.Field{Label: p.When(r.At), Text: strings.Join(words, " · ")})
	}
	return fields
}
