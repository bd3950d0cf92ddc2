package fakeextend

import (
	"cmp"
	"encoding/json"
	"math"
	"mime"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

var processorTypes = []string{Extract, Classify, Splitter}

// maxMetadataBytes is stated by the vendor for a later API version only.
const maxMetadataBytes = 10 << 10

// A createRequest is the body of POST /processor_runs, checked field by field.
type createRequest struct {
	processorID, version string
	fileName, fileURL    string
	fileID               string
	rawText              string
	priority             int
	sync                 bool
	metadata, config     json.RawMessage
	unknown              []string
}

var (
	createFields = []string{"processorId", "version", "file", "rawText", "sync", "priority", "metadata", "config"}
	fileFields   = []string{"fileName", "fileUrl", "fileId"}
)

// parseCreate refuses what does not fit the documented request. Names are
// compared exactly (encoding/json's structs would ignore case), and null is
// refused: the documentation lets fields be absent, not null.
func parseCreate(header http.Header, body []byte) (*createRequest, *refusal) {
	if mediaType, _, err := mime.ParseMediaType(header.Get("Content-Type")); err != nil || mediaType != "application/json" {
		return nil, invalid("Content-Type must be application/json.")
	}
	fields, ok := members(body)
	if !ok || !utf8.Valid(body) {
		return nil, invalid("The request body must be a JSON object.")
	}
	req := &createRequest{version: "latest", priority: defaultPriority}
	req.unknown = unknownFields("", fields, createFields)

	if req.processorID, ok = text(fields["processorId"]); !ok || req.processorID == "" {
		return nil, invalid("Expected string; Path: processorId")
	}
	if raw, given := fields["version"]; given {
		if req.version, ok = text(raw); !ok || req.version == "" {
			return nil, invalid("Expected string; Path: version")
		}
	}
	if ref := req.parseInput(fields); ref != nil {
		return nil, ref
	}
	switch sync := string(fields["sync"]); sync {
	case "", "false":
	case "true":
		req.sync = true
	default:
		return nil, invalid("Expected boolean; Path: sync")
	}
	if raw, given := fields["priority"]; given {
		n, err := strconv.ParseFloat(string(raw), 64) // 20.0 is an integer in JSON
		if err != nil || n != math.Trunc(n) || n < 1 || n > 100 {
			return nil, invalid("Expected number between 1 and 100; Path: priority")
		}
		req.priority = int(n)
	}
	if raw, given := fields["metadata"]; given {
		if len(raw) > maxMetadataBytes {
			return nil, invalid("Metadata is larger than 10 KB; Path: metadata")
		}
		if req.metadata, ok = cleanTags(raw); !ok {
			return nil, invalid("Expected object, with %s an array of strings; Path: metadata", usageTags)
		}
	}
	if raw, given := fields["config"]; given {
		if _, ok := members(raw); !ok {
			return nil, invalid("Expected object; Path: config")
		}
		req.config = raw
	}
	return req, nil
}

// parseInput reads file and rawText, of which there must be exactly one.
func (req *createRequest) parseInput(fields map[string]json.RawMessage) *refusal {
	raw, hasFile := fields["file"]
	rawText, hasText := fields["rawText"]
	switch {
	case !hasFile && !hasText:
		return invalid("One of `file` or `rawText` must be provided.")
	case hasFile && hasText:
		return invalid("Only one of `file` or `rawText` may be provided.")
	case hasText:
		var ok bool
		if req.rawText, ok = text(rawText); !ok || req.rawText == "" {
			return invalid("Expected string; Path: rawText")
		}
		req.fileName = "raw_text.txt"
		return nil
	}
	file, ok := members(raw)
	if !ok {
		return invalid("Expected object; Path: file")
	}
	req.unknown = append(req.unknown, unknownFields("file.", file, fileFields)...)
	for i, to := range []*string{&req.fileName, &req.fileURL, &req.fileID} {
		name := fileFields[i]
		value, given := file[name]
		if !given {
			continue
		}
		if *to, ok = text(value); !ok || *to == "" {
			return invalid("Expected string; Path: file.%s", name)
		}
	}
	switch {
	case req.fileURL == "" && req.fileID == "":
		return invalid("One of `fileUrl` or `fileId` must be provided; Path: file")
	case req.fileURL != "" && req.fileID != "":
		return invalid("Only one of `fileUrl` or `fileId` may be provided; Path: file")
	case req.fileURL != "" && checkURL(req.fileURL) != nil:
		return invalid("Expected absolute http or https URL; Path: file.fileUrl")
	}
	if req.fileName == "" && req.fileURL != "" {
		u, _ := url.Parse(req.fileURL) // checkURL has parsed it
		req.fileName = cmp.Or(strings.Trim(path.Base(u.Path), "/."), "file")
	}
	return nil
}

func unknownFields(prefix string, fields map[string]json.RawMessage, known []string) []string {
	var unknown []string
	for name := range fields {
		if !slices.Contains(known, name) {
			unknown = append(unknown, prefix+name)
		}
	}
	slices.Sort(unknown)
	return unknown
}

const usageTags = "extend:usage_tags"

// cleanTags returns metadata with its usage tags cleaned: a character outside
// [A-Za-z0-9_-] is removed, not replaced. That the echo shows the cleaned tags,
// without those that became empty, is our reading. All other bytes stay as they
// are. It returns false if metadata is no object or the tags no strings.
func cleanTags(metadata json.RawMessage) (json.RawMessage, bool) {
	fields, ok := members(metadata)
	if !ok {
		return nil, false
	}
	raw, given := fields[usageTags]
	if !given {
		return metadata, true
	}
	var tags []*string
	if err := json.Unmarshal(raw, &tags); err != nil || tags == nil || slices.Contains(tags, nil) {
		return nil, false
	}
	var clean [][]byte
	for _, tag := range tags {
		kept := strings.Map(func(r rune) rune {
			if r < utf8.RuneSelf && strings.ContainsRune(idAlphabet, r) { // the same characters
				return r
			}
			return -1
		}, *tag)
		if kept != "" {
			clean = append(clean, quote(kept))
		}
	}
	return setMember(metadata, usageTags, list(clean)), true
}
