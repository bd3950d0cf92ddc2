package extend

import (
	"context"
	"encoding/json"
	"maps"
	"net/url"
	"slices"
	"strings"

	"extend-intake/shared/extend/internal/loose"
)

// ParserRunService has the calls that turn documents into text. Use it as [Client.ParserRuns].
//
// The text of a large document is large, too. With [ResponseURL], an answer has links in place of the text, to be
// read with [Client.Download] as a stream.
type ParserRunService service

// ParserRun is a document that is turned into text. Until it has ended, and perhaps if it failed, it has only Object,
// ID, Status and FailureReason: Object is then "parser_run_status".
type ParserRun struct {
	Resource      `object:"parser_run parser_run_status"`
	FileID        string        `json:"fileId,omitzero"`
	Chunks        []Chunk       `json:"chunks,omitzero"`
	OCR           *OCR          `json:"ocr,omitzero"` // only if it was asked for
	Status        Status        `json:"status" clean:"name"`
	FailureReason string        `json:"failureReason,omitzero" clean:"name"` // such as CORRUPT_FILE; an open set
	Metrics       ParserMetrics `json:"metrics,omitzero"`
	Config        ParseConfig   `json:"config,omitzero"`
	Usage         *Usage        `json:"usage,omitzero"` // nil under some billing plans
}

// ParserMetrics is what a run had to do.
type ParserMetrics struct {
	ProcessingTimeMS json.Number `json:"processingTimeMs"`
	PageCount        json.Number `json:"pageCount"`
}

// ContentURLs returns the links that a run with [ResponseURL] has in place of its text, each good for [Client.Download]. It
// is not published which member has them: it returns those of chunks whose content is a link, else every link that is a
// member of the run itself.
func (r *ParserRun) ContentURLs() []string {
	var links []string
	for _, c := range r.Chunks {
		if link, ok := c.ContentURL(); ok {
			links = append(links, link)
		}
	}
	if o, err := loose.SplitObject(r.Raw); err == nil && len(links) == 0 {
		for _, name := range slices.Sorted(maps.Keys(o)) {
			if link, ok := asLink(loose.Of[string](o, name)); ok {
				links = append(links, link)
			}
		}
	}
	return links
}

// ResponseType is in what form an answer brings the text.
type ResponseType string

// The forms that there are.
const (
	ResponseJSON ResponseType = "json" // unless set
	ResponseURL  ResponseType = "url"  // links to the text: see [ParserRun.ContentURLs]
)

// ParseRequest asks for the text of a document.
type ParseRequest struct {
	File   FileInput    `json:"file"`
	Config *ParseConfig `json:"config,omitzero"`
	// ResponseType is used by Parse only. After ParseAsync, ask for it with Get or WaitFor.
	ResponseType ResponseType `json:"-"`
}

// Parse turns a document into text and waits for the end, so that a caller that gives up before never learns the run's id:
// use ParseAsync where a lost run would matter. Each call makes a run and is billed.
// https://docs.extend.ai/2025-04-21/developers/api-reference/parse-endpoints/parse-file
func (s *ParserRunService) Parse(ctx context.Context, req ParseRequest) (*ParserRun, error) {
	return call[ParserRun](ctx, s.client, parseFile, responseTypeQuery{req.ResponseType}, req)
}

// ParseAsync starts to turn a document into text. Each call makes a run and is billed. See [ParserRunService.Wait].
// https://docs.extend.ai/2025-04-21/developers/api-reference/parse-endpoints/parse-file-async
func (s *ParserRunService) ParseAsync(ctx context.Context, req ParseRequest) (*ParserRun, error) {
	return call[ParserRun](ctx, s.client, parseFileAsync, nil, req)
}

// GetParserRunRequest names a run.
type GetParserRunRequest struct {
	ID           string       `json:"-"` // parser_run_…
	ResponseType ResponseType `json:"responseType,omitzero"`
}

// Get returns a run, which has its text once it is [StatusProcessed].
// https://docs.extend.ai/2025-04-21/developers/api-reference/parse-endpoints/get-parser-run
func (s *ParserRunService) Get(ctx context.Context, req GetParserRunRequest) (*ParserRun, error) {
	return call[ParserRun](ctx, s.client, getParserRun, req, nil, req.ID)
}

// Wait returns a run once it has ended: see [RunService.Wait].
func (s *ParserRunService) Wait(ctx context.Context, id string, progress ...func(*ParserRun)) (*ParserRun, error) {
	return s.WaitFor(ctx, GetParserRunRequest{ID: id}, progress...)
}

// WaitFor is Wait for an answer of either form.
func (s *ParserRunService) WaitFor(ctx context.Context, req GetParserRunRequest, progress ...func(*ParserRun)) (*ParserRun, error) {
	get := func() (*ParserRun, error) { return s.Get(ctx, req) }
	return wait(ctx, s.client, get, func(r *ParserRun) Status { return r.Status }, progress)
}

// Delete removes a run and its data for good.
// https://docs.extend.ai/2025-04-21/developers/api-reference/parse-endpoints/delete-parser-run
func (s *ParserRunService) Delete(ctx context.Context, id string) (*Deletion, error) {
	return remove(ctx, s.client, deleteParserRun, id)
}

type responseTypeQuery struct {
	ResponseType ResponseType `json:"responseType,omitzero"`
}

// asLink tells a link from a text: it is an absolute https URL and nothing else.
func asLink(s string) (string, bool) {
	u, err := url.Parse(s)
	return s, err == nil && u.Scheme == "https" && u.Host != "" && !strings.Contains(s, " ")
}
