package guard

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

const (
	algorithm = "AWS4-HMAC-SHA256"
	// maxSkew is how old a signature may be. That of a presigned URL is checked by who answers it.
	maxSkew = 15 * time.Minute
	// maxHashed bounds the bodies that are read to find their hash: what is larger goes to
	// S3, whose requests name it.
	maxHashed = 64 << 20
)

// A Key is the access key of one run. Requests to the local AWS are signed with it.
type Key struct {
	ID, Secret string
}

// NewKey makes up a key.
func NewKey() Key { return Key{ID: "LOCAL" + rand.Text()[:15], Secret: rand.Text() + rand.Text()} }

// Signed answers 403 to every request that is not signed with the key, in its header or,
// as a presigned URL is, in its query. The others go to next, and so do those for which
// open returns true; nil is none.
//
// Besides the key's own id, the ids in also may be named with the key's secret.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
func (k Key) Signed(next http.Handler, open func(*http.Request) bool, also ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if open == nil || !open(r) {
			if err := k.check(r, also); err != nil {
				refuse(w, err.Error())
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// A claim is what a request says of its signature.
type claim struct {
	id, scope, date string
	signed          []string
	signature       string
	presigned       bool
}

var (
	errNoKey     = errors.New("the access key of this run is missing")
	errSignature = errors.New("the signature is not that of this run's access key")
)

func (k Key) check(r *http.Request, also []string) error {
	c, ok := readClaim(r)
	if !ok || c.id != k.ID && !slices.Contains(also, c.id) {
		return errNoKey
	}
	// yyyymmdd/region/service/aws4_request
	scope := strings.Split(c.scope, "/")
	when, err := time.Parse("20060102T150405Z", c.date)
	if err != nil || len(scope) != 4 || scope[3] != "aws4_request" || scope[0] != c.date[:8] || !slices.Contains(c.signed, "host") {
		return errSignature
	}
	if age := time.Since(when); !c.presigned && (age > maxSkew || age < -maxSkew) {
		return errSignature
	}
	payload := r.Header.Get("X-Amz-Content-Sha256")
	switch {
	case payload != "":
	case c.presigned && scope[2] == "s3":
		payload = "UNSIGNED-PAYLOAD"
	default:
		if payload, err = hashBody(r); err != nil {
			return err
		}
	}
	request := strings.Join([]string{r.Method, canonicalPath(r, scope[2]), canonicalQuery(r.URL.RawQuery), canonicalHeaders(r, c.signed), strings.Join(c.signed, ";"), payload}, "\n")
	sum := sha256.Sum256([]byte(request))
	key := []byte("AWS4" + k.Secret)
	for _, part := range scope {
		key = mac(key, part)
	}
	want := hex.EncodeToString(mac(key, strings.Join([]string{algorithm, c.date, c.scope, hex.EncodeToString(sum[:])}, "\n")))
	if !hmac.Equal([]byte(want), []byte(c.signature)) {
		return errSignature
	}
	return nil
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

func readClaim(r *http.Request) (c claim, ok bool) {
	var credential string
	if rest, found := strings.CutPrefix(r.Header.Get("Authorization"), algorithm+" "); found {
		for part := range strings.SplitSeq(rest, ",") {
			name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
			switch name {
			case "Credential":
				credential = value
			case "SignedHeaders":
				c.signed = strings.Split(value, ";")
			case "Signature":
				c.signature = value
			}
		}
		c.date = r.Header.Get("X-Amz-Date")
	} else if q := r.URL.Query(); q.Get("X-Amz-Algorithm") == algorithm {
		c.presigned = true
		credential, c.date, c.signature = q.Get("X-Amz-Credential"), q.Get("X-Amz-Date"), q.Get("X-Amz-Signature")
		c.signed = strings.Split(q.Get("X-Amz-SignedHeaders"), ";")
	}
	c.id, c.scope, ok = strings.Cut(credential, "/")
	return c, ok && c.signature != ""
}

// hashBody reads a body and puts it back.
func hashBody(r *http.Request) (string, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxHashed+1))
	if err != nil || len(body) > maxHashed {
		return "", errSignature
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:]), nil
}

// canonicalPath is the path as it was sent, once more encoded for all services but S3.
func canonicalPath(r *http.Request, service string) string {
	path, _, _ := strings.Cut(r.RequestURI, "?")
	if path == "" {
		path = "/"
	}
	if service == "s3" {
		return path
	}
	return encode(path, true)
}

func canonicalQuery(raw string) string {
	var pairs []string
	for pair := range strings.SplitSeq(raw, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		n, err := url.QueryUnescape(name)
		v, err2 := url.QueryUnescape(value)
		if err != nil || err2 != nil || n == "X-Amz-Signature" {
			continue
		}
		pairs = append(pairs, encode(n, false)+"="+encode(v, false))
	}
	slices.SortFunc(pairs, func(a, b string) int {
		an, av, _ := strings.Cut(a, "=")
		bn, bv, _ := strings.Cut(b, "=")
		if an != bn {
			return strings.Compare(an, bn)
		}
		return strings.Compare(av, bv)
	})
	return strings.Join(pairs, "&")
}

// encode is AWS's UriEncode.
func encode(s string, path bool) string {
	var b strings.Builder
	for i := range len(s) {
		switch c := s[i]; {
		case 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || strings.IndexByte("-._~", c) >= 0 || path && c == '/':
			b.WriteByte(c)
		default:
			b.WriteString("%" + strings.ToUpper(hex.EncodeToString([]byte{c})))
		}
	}
	return b.String()
}

func canonicalHeaders(r *http.Request, signed []string) string {
	var b strings.Builder
	for _, name := range signed {
		var values []string
		switch name {
		case "host":
			values = []string{r.Host}
		case "content-length": // net/http takes it out of the header
			values = []string{strconv.FormatInt(r.ContentLength, 10)}
		default:
			values = slices.Clone(r.Header.Values(name))
		}
		for i, v := range values {
			values[i] = strings.Join(strings.Fields(v), " ")
		}
		b.WriteString(name + ":" + strings.Join(values, ",") + "\n")
	}
	return b.String()
}

// Client returns a client that signs its requests with the key, as those of a service of
// AWS in a region. It is for single calls that are not worth one more SDK package.
func (k Key) Client(region, service string) *http.Client {
	return &http.Client{Transport: signer{k, region, service}}
}

type signer struct {
	key             Key
	region, service string
}

// RoundTrip signs a request and sends it.
func (s signer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	if r.Body == nil {
		r.Body = http.NoBody
	}
	hash, err := hashBody(r)
	if err != nil {
		return nil, err
	}
	credentials := aws.Credentials{AccessKeyID: s.key.ID, SecretAccessKey: s.key.Secret}
	if err := v4.NewSigner().SignHTTP(r.Context(), credentials, r, hash, s.service, s.region, time.Now()); err != nil {
		return nil, err
	}
	return http.DefaultTransport.RoundTrip(r)
}
