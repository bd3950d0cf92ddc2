package submit

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"extend-intake/shared/boot"
	"extend-intake/shared/document"
)

// Bucket is where uploads can be read. Its errors are an [*ObjectError], or worth another
// try.
type Bucket interface {
	// Head says what there is to know of exactly this version.
	Head(ctx context.Context, s document.Source) (Object, error)
	// Current says which version of the key is there now.
	Current(ctx context.Context, s document.Source) (versionID, eTag string, err error)
	// Link returns an address at which anybody can fetch exactly this version for a while.
	Link(ctx context.Context, s document.Source) (url string, err error)
	// Open reads exactly this version, of size bytes.
	Open(ctx context.Context, s document.Source) (content io.ReadCloser, size int64, err error)
}

// linkLife is how long Extend can fetch the file. It does so at once as a rule;
// under load the fetch can lag. A link that lives shorter than minLinkLife would
// cost an attempt.
const (
	linkLife    = time.Hour
	minLinkLife = 5 * time.Minute
)

// s3Bucket is the Bucket of S3.
type s3Bucket struct {
	// owner is the account that the bucket must belong to; nil is not checked. A link can't say
	// it: whoever follows one would have to send it as a header.
	owner       *string
	credentials aws.CredentialsProvider
	client      *s3.Client
	presign     *s3.PresignClient
}

func newS3Bucket(cfg aws.Config, owner string) *s3Bucket {
	client := boot.S3(cfg)
	b := &s3Bucket{credentials: cfg.Credentials, client: client, presign: s3.NewPresignClient(client)}
	if owner != "" {
		b.owner = &owner
	}
	return b
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
	in := &s3.GetObjectInput{Bucket: &s.Bucket, ExpectedBucketOwner: b.owner, Key: &s.Key}
	if s.VersionID != "" {
		in.VersionId = &s.VersionID
	}
	if s.ETag != "" {
		in.IfMatch = aws.String(`"` + s.ETag + `"`) // other bytes under the same key are another document
	}
	object, err := b.client.GetObject(ctx, in)
	if err != nil {
		return nil, 0, objectError(s, err)
	}
	if err := fromS3(s, object.ResultMetadata); err != nil {
		_ = object.Body.Close() // nobody wants it
		return nil, 0, err
	}
	return object.Body, aws.ToInt64(object.ContentLength), nil
}
