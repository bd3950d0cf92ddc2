package submit

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"

	"extend-intake/shared/boot"
	"extend-intake/shared/document"
	"extend-intake/shared/extend"
)

// File makes a Source known to Extend under a name: by a link, or by sending it. It
// makes no run. The error wraps errGone or errArchived, or is Extend's, or is worth another try.
type File func(ctx context.Context, s document.Source, name string) (*extend.RunFile, error)

var (
	// errGone means that the bucket no longer has this version, and never will.
	errGone = errors.New("the object is gone")
	// errArchived means that the object can't be read until a person has restored it.
	errArchived = errors.New("the object is archived")
)

// linkLife is how long Extend can fetch the file. It does so at once as a rule;
// under load the fetch can lag. A link that lives shorter than minLinkLife would
// cost an attempt.
const (
	linkLife    = time.Hour
	minLinkLife = 5 * time.Minute
)

// link presigns a GET of exactly the Source's version: Extend fetches it.
func link(cfg aws.Config) File {
	presign := s3.NewPresignClient(boot.S3(cfg))
	return func(ctx context.Context, s document.Source, name string) (*extend.RunFile, error) {
		life := linkLife
		credentials, err := cfg.Credentials.Retrieve(ctx)
		if err != nil {
			return nil, fmt.Errorf("presign %s: %w", s, err)
		}
		if credentials.CanExpire {
			life = min(life, time.Until(credentials.Expires)) // a link dies with the credentials that signed it (Lambda's own don't say when)
		}
		if life < minLinkLife {
			return nil, fmt.Errorf("presign %s: the credentials end in %v, too soon for Extend to fetch the file", s, life.Round(time.Second))
		}
		in := &s3.GetObjectInput{Bucket: &s.Bucket, Key: &s.Key}
		if s.VersionID != "" {
			in.VersionId = &s.VersionID
		}
		r, err := presign.PresignGetObject(ctx, in, s3.WithPresignExpires(life))
		if err != nil {
			return nil, fmt.Errorf("presign %s: %w", s, err)
		}
		return &extend.RunFile{FileName: name, FileURL: r.URL}, nil
	}
}

// send reads the Source from the bucket and hands it on, as it comes: memory does
// not depend on its size.
func send(bucket *s3.Client, files *extend.FileService) File {
	return func(ctx context.Context, s document.Source, name string) (*extend.RunFile, error) {
		ctx, cancel := context.WithTimeout(ctx, uploadTimeout)
		defer cancel()
		in := &s3.GetObjectInput{Bucket: &s.Bucket, Key: &s.Key}
		if s.VersionID != "" {
			in.VersionId = &s.VersionID
		} else {
			in.IfMatch = aws.String(`"` + s.ETag + `"`) // other bytes under the same key are another document
		}
		object, err := bucket.GetObject(ctx, in)
		if e, ok := errors.AsType[smithy.APIError](err); ok {
			switch e.ErrorCode() {
			case "NoSuchKey", "NoSuchVersion", "PreconditionFailed", "MethodNotAllowed": // the last: the version is a delete marker
				return nil, fmt.Errorf("%w: %s: S3 says %s", errGone, s, e.ErrorCode())
			case "InvalidObjectState":
				return nil, fmt.Errorf("%w: %s: restore it, and have the document read again", errArchived, s)
			}
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", s, err)
		}
		defer object.Body.Close()
		f, err := files.Upload(ctx, extend.UploadFileRequest{Name: name, Size: aws.ToInt64(object.ContentLength), Content: object.Body})
		if err != nil {
			return nil, fmt.Errorf("send %s: %w", s, err)
		}
		return &extend.RunFile{FileName: name, FileID: f.ID}, nil
	}
}
