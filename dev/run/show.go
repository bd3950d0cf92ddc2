package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"extend-intake/shared/ledger"
)

// showRecord prints a record and its output for a person.
func showRecord(out io.Writer, rec *ledger.Record, output json.RawMessage) {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(name, value string) {
		if value != "" {
			fmt.Fprintf(t, "  %s\t%s\n", name, value)
		}
	}
	row("document", rec.DocumentID)
	row("state", fmt.Sprintf("%s (revision %d)", rec.State, rec.Revision))
	row("failure", strings.TrimSpace(rec.FailureReason+" "+rec.FailureMessage))
	row("reason", rec.Reason)
	row("object", rec.Object)
	row("version", rec.VersionID)
	row("size", size(rec.Size))
	row("processor", strings.TrimSpace(rec.ProcessorID+" "+rec.ProcessorVersion))
	row("run", fmt.Sprintf("%s (attempt %d)", cmp.Or(rec.RunID, "none"), rec.Attempt))
	row("dashboard", rec.RunURL)
	row("submitted", instant(rec.SubmittedAt))
	row("finished", instant(rec.FinishedAt))
	row("credits", rec.Credits)
	row("output in", rec.OutputLocation)
	_ = t.Flush()
	if output == nil {
		return
	}
	fmt.Fprintf(out, "\n  output (%s)\n", rec.Type)
	showOutput(out, output)
}

// showOutput prints an output as a tree. That of an extraction with a JSON schema has
// the extracted values in "value", and what is known about each in "metadata".
// https://docs.extend.ai/2025-04-21/product/extraction/response-format
func showOutput(out io.Writer, output json.RawMessage) {
	var extraction struct {
		Value    json.RawMessage `json:"value"`
		Metadata map[string]struct {
			LogprobsConfidence json.Number       `json:"logprobsConfidence"`
			OCRConfidence      json.Number       `json:"ocrConfidence"`
			Citations          []json.RawMessage `json:"citations"`
		} `json:"metadata"`
	}
	note := func(string) string { return "" }
	value := output
	if err := json.Unmarshal(output, &extraction); err == nil && extraction.Value != nil && extraction.Metadata != nil {
		value = extraction.Value
		note = func(path string) string {
			m := extraction.Metadata[path]
			var notes []string
			if confidence, err := strconv.ParseFloat(cmp.Or(m.LogprobsConfidence, m.OCRConfidence).String(), 64); err == nil {
				notes = append(notes, fmt.Sprintf("%.0f %% sure", 100*confidence))
			}
			switch n := len(m.Citations); n {
			case 0:
			case 1:
				notes = append(notes, "1 citation")
			default:
				notes = append(notes, fmt.Sprintf("%d citations", n))
			}
			if notes == nil {
				return ""
			}
			return "   (" + strings.Join(notes, ", ") + ")"
		}
	}
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	defer t.Flush()
	tree(t, "    ", "", value, note)
}

// shortList is how long a list may be to stand in one line.
const shortList = 60

// tree writes a line per member of an object or a list, with those that have members
// themselves above theirs. Values are as they are stored, digit by digit.
func tree(out io.Writer, indent, path string, value json.RawMessage, note func(path string) string) {
	member := func(name, path string, v json.RawMessage) {
		v = bytes.TrimSpace(v)
		shown, nested := string(v), len(v) > 2 && (v[0] == '{' || v[0] == '[' && len(v) > shortList)
		if nested {
			shown = ""
		}
		if len(v) > 0 && v[0] == '"' {
			var text string
			if err := json.Unmarshal(v, &text); err == nil && text != "" && text == strings.TrimSpace(text) && !strings.ContainsAny(text, "\n\r\t") {
				shown = text
			}
		}
		fmt.Fprintf(out, "%s%s\t%s%s\n", indent, name, shown, note(path))
		if nested {
			tree(out, indent+"  ", path, v, note)
		}
	}
	d := json.NewDecoder(bytes.NewReader(value))
	opening, err := d.Token()
	if err != nil {
		return // the ledger wrote it, so it is JSON
	}
	for i := 0; d.More(); i++ {
		name, at := fmt.Sprintf("[%d]", i), fmt.Sprintf("%s[%d]", path, i)
		if opening == json.Delim('{') {
			token, err := d.Token()
			if err != nil {
				return
			}
			name = token.(string) // a name of an object always is
			at = strings.TrimPrefix(path+"."+name, ".")
		}
		var v json.RawMessage
		if err := d.Decode(&v); err != nil {
			return
		}
		member(name, at, v)
	}
}

func instant(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05.000 UTC")
}
