package submit

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/go-cmp/cmp"

	"extend-intake/shared/document"
)

// A HEAD has no body: S3's status and headers are all that there is, but for a 400.
func TestHead(t *testing.T) {
	t.Parallel()
	type header map[string]string
	for _, tt := range []struct {
		name   string
		status int
		header header
		want   Object
		code   string
		final  bool
		denied bool
		get    string // S3's code in the answer to a GET of the first byte
		proxy  bool   // it is not S3 that answers
	}{
		{name: "as uploaded", status: 200, header: header{"Content-Length": "7", "Content-Type": "application/pdf", "X-Amz-Checksum-Sha256": "abc=", "X-Amz-Checksum-Type": "FULL_OBJECT"},
			want: Object{Size: 7, ContentType: "application/pdf", Checksum: "SHA256:abc="}},
		{name: "checksum of the parts", status: 200, header: header{"Content-Length": "7", "X-Amz-Checksum-Sha256": "abc=-3", "X-Amz-Checksum-Type": "COMPOSITE"}, want: Object{Size: 7}},
		{name: "checksum of the parts, of an older object", status: 200, header: header{"Content-Length": "7", "X-Amz-Checksum-Sha256": "abc=-3"}, want: Object{Size: 7}},
		{name: "checksum of AWS's SDKs", status: 200, header: header{"Content-Length": "7", "X-Amz-Checksum-Crc32": "abc=", "X-Amz-Checksum-Type": "FULL_OBJECT"}, want: Object{Size: 7, Checksum: "CRC32:abc="}},
		{name: "several checksums", status: 200, header: header{"Content-Length": "7", "X-Amz-Checksum-Crc32": "abc=", "X-Amz-Checksum-Crc64nvme": "def="}, want: Object{Size: 7, Checksum: "CRC64NVME:def="}},
		{name: "empty", status: 200, header: header{"Content-Length": "0"}},
		{name: "archived", status: 200, header: header{"Content-Length": "7", "X-Amz-Storage-Class": "GLACIER"}, code: "OBJECT_ARCHIVED", final: true},
		{name: "being restored", status: 200, header: header{"Content-Length": "7", "X-Amz-Storage-Class": "DEEP_ARCHIVE", "X-Amz-Restore": `ongoing-request="true"`}, code: "OBJECT_ARCHIVED", final: true},
		{name: "restored", status: 200, header: header{"Content-Length": "7", "X-Amz-Storage-Class": "GLACIER", "X-Amz-Restore": `ongoing-request="false", expiry-date="Fri, 21 Dec 2030 00:00:00 GMT"`}, want: Object{Size: 7}},
		{name: "instant retrieval is no archive", status: 200, header: header{"Content-Length": "7", "X-Amz-Storage-Class": "GLACIER_IR"}, want: Object{Size: 7}},
		{name: "in the archive tier", status: 200, header: header{"Content-Length": "7", "X-Amz-Storage-Class": "INTELLIGENT_TIERING", "X-Amz-Archive-Status": "ARCHIVE_ACCESS"}, code: "OBJECT_ARCHIVED", final: true},
		{name: "gone", status: 404, code: "OBJECT_GONE", final: true},
		{name: "delete marker", status: 405, header: header{"X-Amz-Delete-Marker": "true"}, code: "OBJECT_GONE", final: true},
		{name: "replaced", status: 412, code: "OBJECT_REPLACED", final: true},
		// A GET's answer says which 400 it is.
		{name: "encrypted with the customer's own key", status: 400, get: "InvalidRequest", code: "S3_INVALIDREQUEST", final: true},
		{name: "expired credentials", status: 400, get: "ExpiredToken"},
		{name: "the KMS key is disabled", status: 400, get: "KMS.DisabledException"},
		{name: "400 without a body", status: 400},
		{name: "bucket elsewhere, for a while", status: 307},
		{name: "another request at the same time", status: 409},
		{name: "an answer that S3 does not document", status: 418},
		{name: "bucket elsewhere", status: 301, code: "S3_MOVEDPERMANENTLY", final: true},
		{name: "policy", status: 403, code: "OBJECT_DENIED", denied: true},
		{name: "S3 is down", status: 503},
		{name: "too many", status: 429},
		{name: "slow", status: 408},
		{name: "200 of a proxy", status: 200, header: header{"Content-Length": "0"}, proxy: true},
		{name: "404 of a proxy", status: 404, proxy: true},
		{name: "405 of a proxy", status: 405, proxy: true},
		{name: "412 of a proxy", status: 412, proxy: true},
		{name: "301 of a proxy", status: 301, header: header{"Location": "https://proxy.example/login"}, proxy: true},
		{name: "403 of a proxy", status: 403, proxy: true},
		{name: "400 of a proxy that writes as S3 does", status: 400, get: "InvalidRequest", proxy: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method != http.MethodHead && (tt.status != 400 || r.Header.Get("Range") != "bytes=0-0") || r.URL.Path != "/in/a b.pdf" || r.URL.Query().Get("versionId") != "v1" || r.Header.Get("If-Match") != `"e1"` || r.Method == http.MethodHead && r.Header.Get("X-Amz-Checksum-Mode") != "ENABLED" {
					t.Errorf("%s %s %v", r.Method, r.URL, r.Header)
				}
				for name, value := range tt.header {
					w.Header().Set(name, value)
				}
				if !tt.proxy {
					w.Header().Set("X-Amz-Request-Id", "C3D13FE58DE4C810")
				}
				w.WriteHeader(tt.status)
				if r.Method == http.MethodGet && tt.get != "" {
					fmt.Fprintf(w, "<Error><Code>%s</Code><Message>m</Message></Error>", tt.get)
				}
			}))
			defer server.Close()
			client := s3.New(s3.Options{Region: "eu-west-1", BaseEndpoint: &server.URL, UsePathStyle: true, Retryer: aws.NopRetryer{},
				Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "example", "")})
			got, err := (&s3Bucket{client: client}).Head(t.Context(), document.Source{Bucket: "in", Key: "a b.pdf", VersionID: "v1", ETag: "e1"})
			e, ok := errors.AsType[*ObjectError](err)
			switch {
			case tt.code == "" && tt.status == 200 && !tt.proxy:
				if err != nil || got != tt.want {
					t.Errorf("%v, %v", err, cmp.Diff(tt.want, got))
				}
			case tt.code == "":
				if err == nil || ok {
					t.Errorf("%v, want an error that is worth another try", err)
				}
			case !ok || e.Code != tt.code || e.Final != tt.final || e.Denied != tt.denied:
				t.Errorf("%+v (%v), want %s", e, err, tt.code)
			}
		})
	}
}

// The answer to a GET has a body, and so a code: it tells what will not change from what may.
func TestOpen(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		status int
		s3     string // S3's code
		code   string // "": worth another try
		final  bool
	}{
		{"encrypted with the customer's own key", 400, "InvalidRequest", "S3_INVALIDREQUEST", true},
		{"encrypted with the customer's own key, of an older kind", 400, "InvalidArgument", "S3_INVALIDARGUMENT", true},
		{"a key that is too long", 400, "KeyTooLongError", "S3_KEYTOOLONGERROR", true},
		{"bucket elsewhere", 301, "PermanentRedirect", "S3_PERMANENTREDIRECT", true},
		{"archived", 403, "InvalidObjectState", "OBJECT_ARCHIVED", true},
		{"gone", 404, "NoSuchKey", "OBJECT_GONE", true},
		{"version gone", 404, "NoSuchVersion", "OBJECT_GONE", true},
		{"delete marker", 405, "MethodNotAllowed", "OBJECT_GONE", true},
		{"replaced", 412, "PreconditionFailed", "OBJECT_REPLACED", true},
		{"policy", 403, "AccessDenied", "OBJECT_DENIED", false},
		{"the clock is wrong", 403, "RequestTimeTooSkewed", "OBJECT_DENIED", false},
		{"expired credentials", 400, "ExpiredToken", "", false},
		{"credentials of another kind", 400, "InvalidToken", "", false},
		{"the KMS key is disabled", 400, "KMS.DisabledException", "", false},
		{"the KMS key is to be deleted", 400, "KMS.KMSInvalidStateException", "", false},
		{"S3 waited too long", 400, "RequestTimeout", "", false},
		{"signed for another region", 400, "AuthorizationHeaderMalformed", "", false},
		{"400 without a body", 400, "", "", false},
		{"bucket elsewhere, for a while", 307, "TemporaryRedirect", "", false},
		{"the bucket is gone, or not there yet", 404, "NoSuchBucket", "", false},
		{"another request at the same time", 409, "OperationAborted", "", false},
		{"too many", 503, "SlowDown", "", false},
		{"S3 is down", 500, "InternalError", "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("X-Amz-Request-Id", "C3D13FE58DE4C810")
				w.WriteHeader(tt.status)
				if tt.s3 != "" {
					fmt.Fprintf(w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message>m</Message><RequestId>1</RequestId></Error>`, tt.s3)
				}
			}))
			defer server.Close()
			client := s3.New(s3.Options{Region: "eu-west-1", BaseEndpoint: &server.URL, UsePathStyle: true, Retryer: aws.NopRetryer{},
				Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "example", "")})
			_, _, err := (&s3Bucket{client: client}).Open(t.Context(), document.Source{Bucket: "in", Key: "a.pdf", ETag: "e1"})
			e, ok := errors.AsType[*ObjectError](err)
			switch {
			case tt.code == "":
				if err == nil || ok {
					t.Errorf("%v, want an error that is worth another try", err)
				}
				if tt.s3 != "" && !strings.Contains(err.Error(), tt.s3) {
					t.Errorf("%v does not say %s", err, tt.s3)
				}
			case !ok || e.Code != tt.code || e.Final != tt.final:
				t.Errorf("%+v (%v), want %s", e, err, tt.code)
			}
		})
	}
}
