package event

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
)

var (
	// ErrNoOutput means that the document has no output: only a PROCESSED one has.
	ErrNoOutput = errors.New("event: the document has no output")
	// ErrOutputGone means that somebody has removed the output from the results
	// bucket. Trying again does not bring it back.
	ErrOutputGone = errors.New("event: the output is gone")
)

type objectGetter interface {
	GetObject(context.Context, *s3.GetObjectInput, ...func(*s3.Options)) (*s3.GetObjectOutput, error)
}

// ReadOutput returns the output, whether it is in the event or where
// OutputLocation says. The role that it is called with needs s3:GetObject on the
// results bucket, for the latter.
func (d *Detail) ReadOutput(ctx context.Context, client objectGetter) (json.RawMessage, error) {
	if d.Output != nil {
		return d.Output, nil
	}
	if d.OutputLocation == "" {
		return nil, fmt.Errorf("%w: %s is %s", ErrNoOutput, d.ID, d.State)
	}
	location, ok := strings.CutPrefix(d.OutputLocation, "s3://")
	bucket, key, _ := strings.Cut(location, "/")
	if !ok || bucket == "" || key == "" {
		return nil, fmt.Errorf("event %s: outputLocation is %q, not s3://bucket/key", d.ID, d.OutputLocation)
	}
	object, err := client.GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: &key})
	if err != nil {
		return nil, fmt.Errorf("event %s: %w", d.ID, d.explain(err))
	}
	defer object.Body.Close()
	output, err := io.ReadAll(object.Body)
	if err != nil {
		return nil, fmt.Errorf("event %s: read %s: %w", d.ID, d.OutputLocation, err)
	}
	return output, nil
}

// explain says what to do about an object that can't be read.
func (d *Detail) explain(err error) error {
	if _, ok := errors.AsType[*types.NoSuchKey](err); ok {
		return fmt.Errorf("%w: %s was removed: restore an earlier version of it (the bucket keeps them), or upload the file again: %w", ErrOutputGone, d.OutputLocation, err)
	}
	if e, ok := errors.AsType[smithy.APIError](err); ok && e.ErrorCode() == "AccessDenied" {
		return fmt.Errorf("may not read %s: allow this role s3:GetObject on the bucket's objects (without s3:ListBucket, S3 says this of a removed object too): %w", d.OutputLocation, err)
	}
	return fmt.Errorf("read %s: %w", d.OutputLocation, err)
}
