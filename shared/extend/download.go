package extend

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"time"
)

// Download opens what is behind a link of the API's: [File.PresignedURL], [EditedFile.DownloadURL],
// [ParserRun.ContentURLs], [BlockDetails.ImageURL]. It is a stream without a size limit, which ends with ctx. The caller
// closes it.
//
// The link is requested once and without the key; redirects are not followed. An answer other than a success is an [*Error].
// No error has the link's query, which gives access to the content. Do not use Download for links in webhooks before you have
// decided how far to trust them: what is behind them is not signed.
func (c *Client) Download(ctx context.Context, link string) (io.ReadCloser, error) {
	u, err := url.Parse(link)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http" {
		return nil, prepared{method: http.MethodGet, path: "link"}.refuse(errors.New("not an absolute http or https URL"))
	}
	p := prepared{method: http.MethodGet, path: u.Host + u.EscapedPath()}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, link, nil)
	if err != nil {
		return nil, p.refuse(errors.New("not a URL"))
	}
	req.Header.Set("User-Agent", c.userAgent)
	unhurried := *c.http
	unhurried.Timeout = 0 // it would end a long stream
	res, err := unhurried.Do(req)
	if err != nil {
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err // it repeats the link
		}
		return nil, &callError{method: p.method, path: p.path, err: err}
	}
	if res.StatusCode < 200 || res.StatusCode > 299 {
		defer res.Body.Close()
		return nil, newError(p, res, "", time.Now())
	}
	return res.Body, nil
}
