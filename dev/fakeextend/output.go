package fakeextend

import (
	"encoding/json"
	"errors"
	"slices"
	"strconv"
)

// defaultConfigs are what a run shows as its config when the request overrides
// nothing.
var defaultConfigs = map[string]string{
	Extract: `{"type":"EXTRACT","baseProcessor":"extraction_performance","baseVersion":"4.4.0","schema":{"type":"object",` +
		`"required":["file_name","size_bytes","sha256"],"additionalProperties":false,"properties":{` +
		`"file_name":{"type":["string","null"]},"size_bytes":{"type":["integer","null"]},"sha256":{"type":["string","null"]}}}}`,
	Classify: `{"type":"CLASSIFY","baseProcessor":"classification_performance","baseVersion":"3.2.0","classifications":[` +
		`{"id":"invoice","type":"invoice","description":"A bill."},{"id":"other","type":"other","description":"Anything else."}]}`,
	Splitter: `{"type":"SPLITTER","baseProcessor":"splitting_performance","baseVersion":"1.2.0","splitClassifications":[` +
		`{"id":"invoice","type":"invoice","description":"A bill."},{"id":"other","type":"other","description":"Anything else."}]}`,
}

// Exact is part of every extraction output that the fake makes up. A
// receiver that stores what it was sent keeps each of these values, digit by
// digit; one that goes through float64, compacts or escapes does not.
const Exact = `{"big_integer": 12345678901234567890, "beyond_float": 9007199254740993, "decimal": 0.1000, ` +
	`"negative": -0.01, "small": 1.5e-7, "zero": 0, "unicode": "Zürich — 納品書 🧾 فاتورة", "markup": "<a&b>", ` +
	`"escaped": "caf\u00e9 \/ tab\t", "empty_text": "", "nothing": null, "yes": true, "empty_list": [], "empty_object": {}, ` +
	`"nested": [[1, [2, 3]], [], [{"a": [null, {"b": []}]}]]}`

// exactPaths are the members of Exact that the output's metadata speaks of.
var exactPaths = []string{"exact", "exact.big_integer", "exact.unicode", "exact.nested", "exact.nested[0]", "exact.nested[0][1]", "exact.nested[2][0].a"}

// output makes the result of a run.
func (s *Server) output(r *run) (json.RawMessage, error) {
	info := s.info(r)
	if s.opts.Output != nil {
		output := slices.Clone(s.opts.Output(info))
		if _, ok := members(output); !ok {
			return nil, errors.New("Options.Output returned no JSON object")
		}
		return output, nil
	}
	switch r.processor.Type {
	case Classify:
		return classification(r), nil
	case Splitter:
		return s.splits(r, info), nil
	}
	if fields := fieldsOf(r.config); fields != nil {
		return fieldResults(fields), nil
	}
	return extraction(info), nil
}

// A field is one of the older way to configure an extraction.
type field struct{ ID, Name, Type string }

// fieldsOf returns the fields of a configuration without a schema, nil where it
// has none.
func fieldsOf(config json.RawMessage) []field {
	var c struct {
		Schema json.RawMessage
		Fields []field
	}
	if err := json.Unmarshal(config, &c); err != nil || c.Schema != nil {
		return nil
	}
	return c.Fields
}

// fieldResults is the output of such a configuration: nothing is found.
func fieldResults(fields []field) json.RawMessage {
	var o object
	for _, f := range fields {
		var result object
		o.raw(f.Name, result.text("id", f.ID).text("type", f.Type).raw("value", null).raw("confidence", null).raw("references", []byte("[]")).bytes())
	}
	return o.bytes()
}

// extraction proves the trip: it tells what was fetched.
func extraction(info RunInfo) json.RawMessage {
	pages, excerpt := null, null
	if info.PageCount != nil {
		pages = strconv.AppendInt(nil, int64(*info.PageCount), 10)
	}
	if info.TextExcerpt != "" {
		excerpt = quote(info.TextExcerpt)
	}
	var value, metadata, whole object
	value.text("file_name", info.FileName).
		raw("size_bytes", strconv.AppendInt(nil, info.FetchedBytes, 10)).
		text("sha256", info.FetchedSHA256).
		raw("page_count", pages).
		text("media_type", info.MediaType).
		raw("text_excerpt", excerpt).
		raw("exact", []byte(Exact))

	citation := append(append([]byte(`[{"page": 1, "referenceText": `), quote(info.FileName)...),
		`, "polygon": [{"x": 96, "y": 310.50}, {"x": 420.7, "y": 310.50}, {"x": 420.7, "y": 338.1}, {"x": 96, "y": 338.1}], "pageWidth": 1275, "pageHeight": 1650}]`...)
	var m object
	metadata.raw("file_name", m.raw("ocrConfidence", []byte("0.990")).raw("logprobsConfidence", []byte("0.998")).
		raw("citations", citation).raw("insights", []byte(`[{"type": "reasoning", "content": "It is the name that was sent."}]`)).bytes())
	for _, path := range []string{"size_bytes", "sha256", "page_count", "media_type"} {
		metadata.raw(path, []byte(`{"ocrConfidence": null, "logprobsConfidence": 0.62, "citations": []}`))
	}
	metadata.raw("text_excerpt", []byte(`{"logprobsConfidence": null, "citations": [{"page": 1, "referenceText": null}]}`))
	for _, path := range exactPaths {
		metadata.raw(path, []byte(`{"logprobsConfidence": null}`))
	}
	return whole.raw("value", value.bytes()).raw("metadata", metadata.bytes()).bytes()
}

// class is an entry of a config's classifications.
type class struct {
	ID   string `json:"id"`
	Type string `json:"type"`
}

// firstClass returns the first class of a config, which may be anything that a
// caller sent.
func firstClass(config json.RawMessage, name string) class {
	fields, _ := members(config)
	var classes []class
	if err := json.Unmarshal(fields[name], &classes); err != nil || len(classes) == 0 {
		return class{"other", "other"}
	}
	return classes[0]
}

func classification(r *run) json.RawMessage {
	c := firstClass(r.config, "classifications")
	var o object
	return o.text("id", c.ID).text("type", c.Type).raw("confidence", []byte("0.930")).
		raw("insights", []byte(`[{"type": "reasoning", "content": "The fake takes the first class."}]`)).bytes()
}

func (s *Server) splits(r *run, info RunInfo) json.RawMessage {
	c := firstClass(r.config, "splitClassifications")
	last := 1
	if info.PageCount != nil {
		last = *info.PageCount
	}
	var split, whole object
	split.text("id", s.id("split_", 6, r.id)).text("type", c.Type).text("classificationId", c.ID).
		text("observation", "The fake finds one document.").text("identifier", "").
		raw("startPage", []byte("1")).raw("endPage", strconv.AppendInt(nil, int64(last), 10)).
		text("fileId", s.id("file_", idLength, r.id, "split"))
	return whole.raw("splits", list([][]byte{split.bytes()})).flag("isExternal", false).bytes()
}
