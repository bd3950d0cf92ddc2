package fakeextend

import (
	"bytes"
	"encoding/json"
	"mime"
	"regexp"
	"unicode/utf8"

	"extend-intake/dev/apicontract"
)

var quotedLink = regexp.MustCompile(`"[a-z0-9+.-]+://[^"]*"`)

// fields reads the body of a request by the contract, in its strict reading: all
// that is required is there, nothing is null that may be absent, and nothing is
// there that is not described. That the API refuses the last is our reading.
func (x *exchange) fields() (map[string]json.RawMessage, *refusal) {
	if mediaType, _, err := mime.ParseMediaType(x.r.Header.Get("Content-Type")); err != nil || mediaType != "application/json" {
		return nil, invalid("Content-Type must be application/json.")
	}
	fields, ok := members(x.body)
	if !ok || !utf8.Valid(x.body) {
		return nil, invalid("The request body must be a JSON object.")
	}
	if err := apicontract.Violation(x.op.Request.Schema, apicontract.AsRequest, x.body); err != nil {
		return nil, invalid("Invalid request body: %s", quotedLink.ReplaceAllString(err.Error(), `"(link)"`))
	}
	return fields, nil
}

// checkNoBody refuses a body where the contract has none.
func (x *exchange) checkNoBody() *refusal {
	if x.op.Request == nil && len(bytes.TrimSpace(x.body)) > 0 {
		return invalid("No request body is expected.")
	}
	return nil
}

// fits reports whether JSON is one of the contract's objects, as a request has it.
func fits(value json.RawMessage, definitions ...string) bool {
	for _, name := range definitions {
		if apicontract.Violation(apicontract.Definition(name), apicontract.AsRequest, value) == nil {
			return true
		}
	}
	return false
}

// textField returns a member that the contract says is a string, "" where it is
// absent.
func textField(fields map[string]json.RawMessage, name string) string {
	s, _ := text(fields[name])
	return s
}

// checkMetadata cleans the usage tags of metadata, which is absent or an object.
func checkMetadata(raw json.RawMessage) (json.RawMessage, *refusal) {
	if raw == nil {
		return nil, nil
	}
	if len(raw) > maxMetadataBytes {
		return nil, invalid("Metadata is larger than 10 KB; Path: metadata")
	}
	clean, ok := cleanTags(raw)
	if !ok {
		return nil, invalid("Expected object, with %s an array of strings; Path: metadata", usageTags)
	}
	return clean, nil
}
