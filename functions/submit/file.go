package submit

import (
	"context"
	"fmt"
	"time"

	"extend-intake/shared/document"
	"extend-intake/shared/extend"
)

// fileFunc makes a Source known to Extend under a name: by a link, or by sending it. It
// makes no run. The error is the Bucket's, or Extend's, or is worth another try.
// Sending it takes at most limit.
type fileFunc func(ctx context.Context, s document.Source, name string, limit time.Duration) (*extend.RunFile, error)

// link has Extend fetch the file.
func link(b Bucket) fileFunc {
	return func(ctx context.Context, s document.Source, name string, _ time.Duration) (*extend.RunFile, error) {
		url, err := b.Link(ctx, s)
		if err != nil {
			return nil, err
		}
		return &extend.RunFile{FileName: name, FileURL: url}, nil
	}
}

// send reads the file and hands it on, as it comes: memory does not depend on its size.
func send(b Bucket, files *extend.FileService) fileFunc {
	return func(ctx context.Context, s document.Source, name string, limit time.Duration) (*extend.RunFile, error) {
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		content, size, err := b.Open(ctx, s)
		if err != nil {
			return nil, err
		}
		defer content.Close()
		f, err := files.Upload(ctx, extend.UploadFileRequest{Name: name, Size: size, Content: content})
		if err != nil {
			return nil, fmt.Errorf("send %s: %w", s, err)
		}
		return &extend.RunFile{FileName: name, FileID: f.ID}, nil
	}
}
