// Package blob stores what is too large, or too exact, for an item or an event: whole
// JSON documents in the results bucket.
//
//	results := blob.New(boot.S3(cfg), "results", "123456789012")
//	location, err := results.Put(ctx, "doc_…/1-0f3a.json", output) // s3://results/doc_…/1-0f3a.json
package blob

import (
	"bytes"
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// Bucket is an S3 bucket of JSON documents.
type Bucket struct {
	client *s3.Client
	name   string
	owner  *string
}

// New returns the bucket of that name. Nothing is put into it if it belongs to another account
// than owner's, 12 digits; an empty one is not checked.
func New(client *s3.Client, name, owner string) *Bucket {
	b := &Bucket{client: client, name: name}
	if owner != "" {
		b.owner = &owner
	}
	return b
}

// Put stores bytes under a name and says where: s3://bucket/name. The same name is
// overwritten, so a name should tell one content from another.
func (b *Bucket) Put(ctx context.Context, name string, body []byte) (location string, err error) {
	_, err = b.client.PutObject(ctx, &s3.PutObjectInput{Bucket: &b.name, ExpectedBucketOwner: b.owner, Key: &name, Body: bytes.NewReader(body), ContentType: aws.String("application/json")})
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("s3://%s/%s", b.name, name), nil
}
