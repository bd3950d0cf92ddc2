package submit

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"extend-intake/shared/document"
)

func credentialsUntil(expires time.Time) aws.Config {
	return aws.Config{Region: "eu-west-1", Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "example", SessionToken: "token", CanExpire: !expires.IsZero(), Expires: expires}, nil
	})}
}

func TestLinkNamesExactlyTheVersion(t *testing.T) {
	t.Parallel()
	link := newS3Bucket(credentialsUntil(time.Time{}), "").Link
	for _, key := range []string{
		"in/a.pdf", "in/Rechnung 7+1 (Kopie).pdf", "in/100%.pdf", "in/100%25.pdf", "in/a%2Fb.pdf", "in/納品書 Zürich.pdf", "in/?a=b&c#d.pdf",
		"in//double.pdf", "in/../up.pdf", "in/./here.pdf", "/leading.pdf", "in/semi;colon,comma=equals@at:colon.pdf", "in/'quote\"back\\slash.pdf", "in/~tilde*star!.pdf",
	} {
		t.Run(key, func(t *testing.T) {
			t.Parallel()
			s := document.Source{Bucket: bucket, Key: key, VersionID: "3/L4kqtJ+lcpXro=&", ETag: "e"}
			text, err := link(t.Context(), s)
			if err != nil {
				t.Fatal(err)
			}
			u, err := url.Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			if want := "/" + key; u.Scheme != "https" || u.Host != bucket+".s3.eu-west-1.amazonaws.com" || u.Path != want {
				t.Errorf("%s://%s%s, want the path %s", u.Scheme, u.Host, u.Path, want)
			}
			q := u.Query()
			if got := q.Get("versionId"); got != s.VersionID {
				t.Errorf("version %q, want %q", got, s.VersionID)
			}
			// Extend fetches it with a plain GET: no header may be needed for the signature.
			if got := q.Get("X-Amz-SignedHeaders"); got != "host" {
				t.Errorf("signed headers %q", got)
			}
			if got := q.Get("X-Amz-Expires"); got != "3600" {
				t.Errorf("expires in %q", got)
			}
		})
	}
}

func TestLinkInABucketWithoutVersions(t *testing.T) {
	t.Parallel()
	text, err := newS3Bucket(credentialsUntil(time.Time{}), "").Link(t.Context(), document.Source{Bucket: bucket, Key: "a.pdf", ETag: "e"})
	if err != nil {
		t.Fatal(err)
	}
	if q := must(url.Parse(text)).Query(); q.Has("versionId") {
		t.Errorf("a version in %v", q)
	}
}

func TestLinkLivesNoLongerThanItsCredentials(t *testing.T) {
	t.Parallel()
	for left, want := range map[time.Duration]time.Duration{2 * time.Hour: time.Hour, time.Hour: time.Hour, 10 * time.Minute: 10 * time.Minute} {
		t.Run(left.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { // presigning is arithmetic, and here it takes no time
				text, err := newS3Bucket(credentialsUntil(time.Now().Add(left)), "").Link(t.Context(), upload{"a.pdf", "v1"}.source())
				if err != nil {
					t.Fatal(err)
				}
				seconds, err := strconv.Atoi(must(url.Parse(text)).Query().Get("X-Amz-Expires"))
				if got := time.Duration(seconds) * time.Second; err != nil || got != want {
					t.Errorf("%v, %v, want %v", got, err, want)
				}
			})
		})
	}
}

func TestNoLinkWithoutCredentials(t *testing.T) {
	t.Parallel()
	cfg := aws.Config{Region: "eu-west-1", Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{}, fmt.Errorf("the role is gone")
	})}
	if _, err := newS3Bucket(cfg, "").Link(t.Context(), upload{"a.pdf", "v1"}.source()); err == nil || !strings.Contains(err.Error(), "presign s3://intake-uploads/a.pdf: ") || !strings.Contains(err.Error(), "the role is gone") {
		t.Errorf("error %v", err)
	}
}

// A link that dies before Extend can fetch is a run that fails, and an attempt spent.
func TestLinkThatWouldBeDeadOnArrival(t *testing.T) {
	t.Parallel()
	for _, left := range []time.Duration{0, time.Second / 2, 5 * time.Second} {
		t.Run(left.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				text, err := newS3Bucket(credentialsUntil(time.Now().Add(left)), "").Link(t.Context(), upload{"a.pdf", "v1"}.source())
				if err == nil {
					t.Errorf("credentials for another %v, and a link for %s s", left, must(url.Parse(text)).Query().Get("X-Amz-Expires"))
				}
			})
		})
	}
}
