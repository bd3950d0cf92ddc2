package submit

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"extend-intake/shared/document"
)

// Object is what S3 says of an upload right before it is paid for.
type Object struct {
	Size        int64
	ContentType string // "" where S3 does not say
	// Checksum is of the whole object, with its algorithm: "SHA256:…". It is "" where
	// S3 has none: then ETag and size tell contents apart.
	Checksum string
}

// ObjectError is why an object can't be read, now or ever.
type ObjectError struct {
	// Code is one word for operators: OBJECT_GONE, or what S3 calls it.
	Code    string
	Message string
	// Final means that asking again can't help: the document ends.
	Final bool
	// Denied means that S3 refuses this function: the bucket's policy or the key's.
	Denied bool
}

func (e *ObjectError) Error() string { return e.Code + ": " + e.Message }

// Head asks S3 about exactly the version that the upload event named: other bytes
// under the same key are another document.
func (b *s3Bucket) Head(ctx context.Context, src document.Source) (Object, error) {
	in := &s3.HeadObjectInput{Bucket: &src.Bucket, ExpectedBucketOwner: b.owner, Key: &src.Key, ChecksumMode: types.ChecksumModeEnabled}
	if src.VersionID != "" {
		in.VersionId = &src.VersionID
	}
	if src.ETag != "" {
		in.IfMatch = aws.String(`"` + src.ETag + `"`)
	}
	out, err := b.client.HeadObject(ctx, in)
	if r, ok := errors.AsType[*smithyhttp.ResponseError](err); ok && r.HTTPStatusCode() == http.StatusBadRequest {
		// Only a GET's answer has a body, which says what is bad.
		object, why := b.client.GetObject(ctx, &s3.GetObjectInput{Bucket: in.Bucket, ExpectedBucketOwner: in.ExpectedBucketOwner, Key: in.Key, VersionId: in.VersionId, IfMatch: in.IfMatch, Range: aws.String("bytes=0-0")})
		if why == nil {
			_ = object.Body.Close() // only the error was wanted
		} else if _, ok := errors.AsType[smithy.APIError](why); ok {
			err = why
		}
	}
	if err != nil {
		return Object{}, objectError(src, err)
	}
	if err := fromS3(src, out.ResultMetadata); err != nil {
		return Object{}, err
	}
	if out.StorageClass == types.StorageClassGlacier || out.StorageClass == types.StorageClassDeepArchive || out.ArchiveStatus != "" {
		if restore := aws.ToString(out.Restore); !strings.Contains(restore, `ongoing-request="false"`) {
			return Object{}, &ObjectError{Code: "OBJECT_ARCHIVED", Message: fmt.Sprintf("%s is archived: restore it, and reprocess the document", src), Final: true}
		}
	}
	return Object{Size: aws.ToInt64(out.ContentLength), ContentType: aws.ToString(out.ContentType), Checksum: checksum(out)}, nil
}

// Current says which version of the key is there now.
func (b *s3Bucket) Current(ctx context.Context, src document.Source) (versionID, eTag string, err error) {
	out, err := b.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &src.Bucket, ExpectedBucketOwner: b.owner, Key: &src.Key})
	if err != nil {
		return "", "", objectError(src, err)
	}
	return aws.ToString(out.VersionId), strings.Trim(aws.ToString(out.ETag), `"`), nil
}

// checksum is the first of the whole object's checksums, the strongest first. One of
// the parts of an upload (COMPOSITE) depends on how it was cut, and says nothing. AWS's
// SDKs send a CRC32 by default: two contents of one key and of one size have the same by
// accident once in four billion.
func checksum(out *s3.HeadObjectOutput) string {
	if out.ChecksumType == types.ChecksumTypeComposite {
		return ""
	}
	for _, c := range []struct {
		algorithm string
		value     *string
	}{
		{"SHA256", out.ChecksumSHA256}, {"SHA1", out.ChecksumSHA1}, {"CRC64NVME", out.ChecksumCRC64NVME},
		{"CRC32C", out.ChecksumCRC32C}, {"CRC32", out.ChecksumCRC32},
	} {
		// A part count in the value ("…-3") is how older objects show a composite one.
		if v := aws.ToString(c.value); v != "" && !strings.Contains(v, "-") {
			return c.algorithm + ":" + v
		}
	}
	return ""
}

// requestIDHeader is in every answer of S3. A proxy or a firewall on the way has none to give.
// https://docs.aws.amazon.com/AmazonS3/latest/API/RESTCommonResponseHeaders.html
const requestIDHeader = "X-Amz-Request-Id"

// fromS3 is an error where a success is not S3's: its size and its content are another's.
func fromS3(src document.Source, answer middleware.Metadata) error {
	if _, ok := awsmiddleware.GetRequestIDMetadata(answer); !ok {
		return fmt.Errorf("read %s: something before S3 answers in its place", src)
	}
	return nil
}

// objectError says what a failed call of S3 means for a document. Final is only what S3 itself
// says, and what depends on the object or the bucket and nothing else, by S3's own code or by a
// status that has one meaning. Anything else may be over in a while: expired credentials, a clock
// that is wrong and a disabled KMS key are 400 too.
func objectError(src document.Source, err error) error {
	status := 0
	if r, ok := errors.AsType[*smithyhttp.ResponseError](err); ok {
		status = r.HTTPStatusCode()
		if r.Response.Header.Get(requestIDHeader) == "" {
			return fmt.Errorf("read %s: something before S3 answers %d: %w", src, status, err)
		}
	}
	code := ""
	if e, ok := errors.AsType[smithy.APIError](err); ok {
		code = e.ErrorCode()
	}
	final := func(code, format string, args ...any) error {
		return &ObjectError{Code: code, Message: fmt.Sprintf(format, args...), Final: true}
	}
	switch {
	case status == http.StatusNotFound && code != "NoSuchBucket", code == "NoSuchKey", code == "NoSuchVersion",
		status == http.StatusMethodNotAllowed: // the version is a delete marker
		return final("OBJECT_GONE", "%s is gone: S3 answers %d %s", src, status, code)
	case status == http.StatusPreconditionFailed:
		return final("OBJECT_REPLACED", "%s has other content now than when it was uploaded: the newer content is a document of its own", src)
	case code == "InvalidObjectState":
		return final("OBJECT_ARCHIVED", "%s is archived: restore it, and reprocess the document", src)
	case status == http.StatusMovedPermanently, slices.Contains(finalCodes, code):
		if code == "" {
			code = http.StatusText(status)
		}
		return final("S3_"+strings.ToUpper(strings.ReplaceAll(code, " ", "_")), "S3 answers %d %s for %s, and would again: mend the cause, and reprocess the document", status, code, src)
	case status == http.StatusForbidden:
		return &ObjectError{Code: "OBJECT_DENIED", Denied: true,
			Message: fmt.Sprintf("S3 refuses %s: the policy of the bucket, or of its KMS key, must let the function's role read it", src)}
	}
	return fmt.Errorf("read %s: %w", src, err)
}

// finalCodes are S3's codes of what stays as it is: an object that is encrypted with a key of
// the customer's (InvalidRequest), a request that no object can be named by, and a bucket that
// is elsewhere.
// https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
var finalCodes = []string{"InvalidRequest", "InvalidArgument", "KeyTooLongError", "PermanentRedirect", "MethodNotAllowed", "NotImplemented", "InvalidBucketName"}
