package submit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"

	"extend-intake/shared/boot"
	"extend-intake/shared/document"
)

// Bucket is where uploads can be read.
type Bucket interface {
	// Link returns an address at which anybody can fetch exactly this version for a while.
	Link(ctx context.Context, s document.Source) (url string, err error)
	// Open reads exactly this version, of size bytes. The error wraps [ErrGone] or
	// [ErrArchived], or is worth another try.
	Open(ctx context.Context, s document.Source) (content io.ReadCloser, size int64, err error)
}

var (
	// ErrGone means that the bucket no longer has this version, and never will.
	ErrGone = errors.New("the object is gone")
	// ErrArchived means that the object can't be read until a person has restored it.
	ErrArchived = errors.New("the object is archived")
)

// linkLife is how long Extend can fetch the file. It does so at once as a rule;
// under load the fetch can lag. A link that lives shorter than minLinkLife would
// cost an attempt.
const (
	linkLife    = time.Hour
	minLinkLife = 5 * time.Minute
)

// s3Bucket is the Bucket of S3.
type s3Bucket struct {
	credentials aws.CredentialsProvider
	client      *s3.Client
	presign     *s3.PresignClient
}

func newS3Bucket(cfg aws.Config) *s3Bucket {
	client := boot.S3(cfg)
	return &s3Bucket{cfg.Credentials, client, s3.NewPresignClient(client)}
}

// Link presigns a GET.
func (b *s3Bucket) Link(ctx context.Context, s document.Source) (string, error) {
	life := linkLife
	credentials, err := b.credentials.Retrieve(ctx)
	if err != nil {
		return "", fmt.Errorf("presign %s: %w", s, err)
	}
	if credentials.CanExpire {
		life = min(life, time.Until(credentials.Expires)) // a link dies with the credentials that signed it (Lambda's own don't say when)
	}
	if life < minLinkLife {
		return "", fmt.Errorf("presign %s: the credentials end in %v, too soon for Extend to fetch the file", s, life.Round(time.Second))
	}
	in := &s3.GetObjectInput{Bucket: &s.Bucket, Key: &s.Key}
	if s.VersionID != "" {
		in.VersionId = &s.VersionID
	}
	r, err := b.presign.PresignGetObject(ctx, in, s3.WithPresignExpires(life))
	if err != nil {
		return "", fmt.Errorf("presign %s: %w", s, err)
	}
	return r.URL, nil
}

// Open gets the object.
func (b *s3Bucket) Open(ctx context.Context, s document.Source) (io.ReadCloser, int64, error) {
	in := &s3.GetObjectInput{Bucket: &s.Bucket, Key: &s.Key}
	if s.VersionID != "" {
		in.VersionId = &s.VersionID
	} else {
		in.IfMatch = aws.String(`"` + s.ETag + `"`) // other bytes under the same key are another document
	}
	object, err := b.client.GetObject(ctx, in)
	if e, ok := errors.AsType[smithy.APIError](err); ok {
		switch e.ErrorCode() {
		case "NoSuchKey", "NoSuchVersion", "PreconditionFailed", "MethodNotAllowed": // the last: the version is a delete marker
			return nil, 0, fmt.Errorf("%w: %s: S3 says %s", ErrGone, s, e.ErrorCode())
		case "InvalidObjectState":
			return nil, 0, fmt.Errorf("%w: %s: restore it, and have the document read again", ErrArchived, s)
		}
	}
	if err != nil {
		return nil, 0, fmt.Errorf("read %s: %w", s, err)
	}
	return object.Body, aws.ToInt64(object.ContentLength), nil
}
