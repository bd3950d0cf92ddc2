package submit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/smithy-go"

	"extend-intake/shared/document"
	"extend-intake/shared/extend"
	"extend-intake/shared/ledger"
)

// A file is sent as the very version that was uploaded, or not at all.
func TestSend(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		source document.Source
		status int
		code   string
		gone   bool
		proxy  bool // it is not S3 that answers
	}{
		{name: "a version", source: document.Source{Bucket: bucket, Key: "in/a b.pdf", VersionID: "v1", ETag: "e"}, status: 200},
		{name: "without versions", source: document.Source{Bucket: bucket, Key: "in/a b.pdf", ETag: "e"}, status: 200},
		{name: "deleted", source: document.Source{Bucket: bucket, Key: "in/a b.pdf", VersionID: "v1"}, status: 404, code: "NoSuchVersion", gone: true},
		{name: "a delete marker by now", source: document.Source{Bucket: bucket, Key: "in/a b.pdf", VersionID: "v1"}, status: 405, code: "MethodNotAllowed", gone: true},
		{name: "other bytes by now", source: document.Source{Bucket: bucket, Key: "in/a b.pdf", ETag: "e"}, status: 412, code: "PreconditionFailed"},
		{name: "no right", source: document.Source{Bucket: bucket, Key: "in/a b.pdf", VersionID: "v1"}, status: 403, code: "AccessDenied"},
		{name: "in an archive", source: document.Source{Bucket: bucket, Key: "in/a b.pdf", VersionID: "v1"}, status: 403, code: "InvalidObjectState"},
		{name: "S3 is away", source: document.Source{Bucket: bucket, Key: "in/a b.pdf", VersionID: "v1"}, status: 503, code: "SlowDown"},
		{name: "404 of a proxy", source: document.Source{Bucket: bucket, Key: "in/a b.pdf", VersionID: "v1"}, status: 404, proxy: true},
		{name: "200 of a proxy", source: document.Source{Bucket: bucket, Key: "in/a b.pdf", VersionID: "v1"}, status: 200, proxy: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var sent string
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/files/upload" {
					part, header, err := r.FormFile("file")
					if err != nil || header.Filename != "a.token.pdf" {
						t.Errorf("%v %v", header, err)
						return
					}
					body, _ := io.ReadAll(part)
					sent = string(body)
					_, _ = io.WriteString(w, `{"success": true, "file": {"object": "file", "id": "file_1", "name": "a.token.pdf", "metadata": {}}}`)
					return
				}
				if r.URL.Path != "/"+bucket+"/in/a b.pdf" || r.URL.Query().Get("versionId") != c.source.VersionID || c.source.VersionID == "" && r.Header.Get("If-Match") != `"e"` || r.Header.Get("X-Amz-Expected-Bucket-Owner") != "123456789012" {
					t.Errorf("%s, If-Match %s", r.URL, r.Header.Get("If-Match"))
				}
				if !c.proxy {
					w.Header().Set("X-Amz-Request-Id", "C3D13FE58DE4C810")
				}
				w.WriteHeader(c.status)
				if c.status != 200 {
					fmt.Fprintf(w, `<Error><Code>%s</Code></Error>`, c.code)
					return
				}
				_, _ = io.WriteString(w, content)
			}))
			defer server.Close()
			client, err := extend.NewClient(extend.StaticKey(apiKey), extend.WithBaseURL(server.URL))
			if err != nil {
				t.Fatal(err)
			}
			f, err := send(newS3Bucket(aws.Config{
				Region: "eu-west-1", BaseEndpoint: &server.URL, Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "example", ""),
				Retryer: func() aws.Retryer { return aws.NopRetryer{} },
			}, "123456789012"), client.Files)(t.Context(), c.source, "a.token.pdf", time.Minute)
			if c.status != 200 || c.proxy {
				e, _ := errors.AsType[*ObjectError](err)
				if err == nil || (e != nil && e.Code == "OBJECT_GONE") != c.gone || (e != nil && e.Code == "OBJECT_ARCHIVED") != (c.code == "InvalidObjectState") || sent != "" {
					t.Errorf("%v, %v; sent %q", f, err, sent)
				}
				return
			}
			if err != nil || *f != (extend.RunFile{FileName: "a.token.pdf", FileID: "file_1"}) || sent != content {
				t.Errorf("%+v, %v; sent %q", f, err, sent)
			}
		})
	}
}

// There was no POST: nothing of this may end as an unknown outcome, which waits ten
// minutes, and only a final no may end the document.
func TestAfterFile(t *testing.T) {
	t.Parallel()
	refused := func(status int, code string) error {
		return fmt.Errorf("send: %w", &extend.Error{StatusCode: status, Code: code, Message: "no", FromAPI: true})
	}
	for _, c := range []struct {
		name   string
		err    error
		state  ledger.State
		reason string
		pauses bool
	}{
		{"gone", &ObjectError{Code: "OBJECT_GONE", Final: true}, ledger.Refused, "", false},
		{"archived", &ObjectError{Code: "OBJECT_ARCHIVED", Final: true}, ledger.Refused, "", false},
		{"denied", &ObjectError{Code: "OBJECT_DENIED"}, ledger.Waiting, "S3 denies the object", false},
		{"S3 is down", fmt.Errorf("read: %w", &smithy.GenericAPIError{Code: "SlowDown"}), ledger.Waiting, "file not ready: SlowDown", false},
		{"type not supported", refused(400, "FILE_TYPE_NOT_SUPPORTED"), ledger.Refused, "", false},
		{"too large", refused(413, ""), ledger.Refused, "", false},
		{"rate", refused(429, ""), ledger.Waiting, "429", true},
		{"key revoked", refused(401, "UNAUTHORIZED"), ledger.Waiting, "401 UNAUTHORIZED", true},
		{"server error", refused(500, "INTERNAL_ERROR"), ledger.Waiting, "file not ready", false},
		{"time-out", context.DeadlineExceeded, ledger.Waiting, "the file could not be sent in time", false},
		{"no credentials", errors.New("no credentials"), ledger.Waiting, "file not ready", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			in := newIntake(t)
			in.config.SendsFiles = true
			in.config.Rules.Lease = 3 * time.Minute
			in.file = func(context.Context, document.Source, string, time.Duration) (*extend.RunFile, error) {
				return nil, c.err
			}
			m, u := put("a")
			got := in.receive(m)
			in.wantState(u, c.state, c.reason)
			if back := len(got.Back) == 1; back != (c.state == ledger.Waiting) || len(got.Dead) > 0 {
				t.Errorf("%+v", got)
			}
			if _, paused := in.paused(in.pauses.longest("")); paused != c.pauses {
				t.Errorf("paused: %v", paused)
			}
			in.wantCalls(map[string]int{})
		})
	}
}
