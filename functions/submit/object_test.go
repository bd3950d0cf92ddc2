package submit

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/go-cmp/cmp"

	"extend-intake/shared/document"
)

// A HEAD has no body: S3's status and headers are all that there is.
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
	}{
		{name: "as uploaded", status: 200, header: header{"Content-Length": "7", "Content-Type": "application/pdf", "X-Amz-Checksum-Sha256": "abc=", "X-Amz-Checksum-Type": "FULL_OBJECT"},
			want: Object{Size: 7, ContentType: "application/pdf", Checksum: "SHA256:abc="}},
		{name: "checksum of the parts", status: 200, header: header{"Content-Length": "7", "X-Amz-Checksum-Sha256": "abc=-3", "X-Amz-Checksum-Type": "COMPOSITE"}, want: Object{Size: 7}},
		{name: "checksum of the parts, of an older object", status: 200, header: header{"Content-Length": "7", "X-Amz-Checksum-Sha256": "abc=-3"}, want: Object{Size: 7}},
		{name: "weak checksum", status: 200, header: header{"Content-Length": "7", "X-Amz-Checksum-Crc32": "abc="}, want: Object{Size: 7}},
		{name: "empty", status: 200, header: header{"Content-Length": "0"}},
		{name: "archived", status: 200, header: header{"Content-Length": "7", "X-Amz-Storage-Class": "GLACIER"}, code: "OBJECT_ARCHIVED", final: true},
		{name: "being restored", status: 200, header: header{"Content-Length": "7", "X-Amz-Storage-Class": "DEEP_ARCHIVE", "X-Amz-Restore": `ongoing-request="true"`}, code: "OBJECT_ARCHIVED", final: true},
		{name: "restored", status: 200, header: header{"Content-Length": "7", "X-Amz-Storage-Class": "GLACIER", "X-Amz-Restore": `ongoing-request="false", expiry-date="Fri, 21 Dec 2030 00:00:00 GMT"`}, want: Object{Size: 7}},
		{name: "instant retrieval is no archive", status: 200, header: header{"Content-Length": "7", "X-Amz-Storage-Class": "GLACIER_IR"}, want: Object{Size: 7}},
		{name: "in the archive tier", status: 200, header: header{"Content-Length": "7", "X-Amz-Storage-Class": "INTELLIGENT_TIERING", "X-Amz-Archive-Status": "ARCHIVE_ACCESS"}, code: "OBJECT_ARCHIVED", final: true},
		{name: "gone", status: 404, code: "OBJECT_GONE", final: true},
		{name: "delete marker", status: 405, header: header{"X-Amz-Delete-Marker": "true"}, code: "OBJECT_GONE", final: true},
		{name: "replaced", status: 412, code: "OBJECT_REPLACED", final: true},
		{name: "encrypted with the customer's own key", status: 400, code: "S3_BADREQUEST", final: true},
		{name: "bucket elsewhere", status: 301, code: "S3_MOVEDPERMANENTLY", final: true},
		{name: "policy", status: 403, code: "OBJECT_DENIED", denied: true},
		{name: "S3 is down", status: 503},
		{name: "too many", status: 429},
		{name: "slow", status: 408},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method != http.MethodHead || r.URL.Path != "/in/a b.pdf" || r.URL.Query().Get("versionId") != "v1" || r.Header.Get("If-Match") != `"e1"` || r.Header.Get("X-Amz-Checksum-Mode") != "ENABLED" {
					t.Errorf("%s %s %v", r.Method, r.URL, r.Header)
				}
				for name, value := range tt.header {
					w.Header().Set(name, value)
				}
				w.WriteHeader(tt.status)
			}))
			defer server.Close()
			client := s3.New(s3.Options{Region: "eu-west-1", BaseEndpoint: &server.URL, UsePathStyle: true, Retryer: aws.NopRetryer{},
				Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "example", "")})
			got, err := (&s3Bucket{client: client}).Head(t.Context(), document.Source{Bucket: "in", Key: "a b.pdf", VersionID: "v1", ETag: "e1"})
			e, ok := errors.AsType[*ObjectError](err)
			switch {
			case tt.code == "" && tt.status == 200:
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
