package guard

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
)

// answered is what a server behind the guard says to those who get through.
const answered = `{"SecretString":"the key"}`

// serve serves a handler that says answered and remembers the last request.
func serve(t *testing.T, wrap func(http.Handler) http.Handler) (server *Server, reached func() (path, body string)) {
	t.Helper()
	var path, body string
	s, err := Serve(wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		path, body = r.URL.Path, string(b)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, answered)
	})))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s, func() (string, string) { p, b := path, body; path, body = "", ""; return p, b }
}

func send(t *testing.T, client *http.Client, method, url, host string, header map[string]string, body string) (status int, text string, h http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if host != "" {
		req.Host = host
	}
	for name, value := range header {
		req.Header.Set(name, value)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b), resp.Header
}

func TestLocal(t *testing.T) {
	t.Parallel()
	s, _ := serve(t, func(h http.Handler) http.Handler { return h })
	port := s.URL[strings.LastIndex(s.URL, ":"):]
	for name, tt := range map[string]struct {
		method, host string
		header       map[string]string
		want         int
	}{
		"a program":                          {want: 200},
		"localhost":                          {host: "localhost" + port, want: 200},
		"LOCALHOST":                          {host: "LOCALHOST" + port, want: 200},
		"IPv6":                               {host: "[::1]" + port, want: 200},
		"a container":                        {host: "host.docker.internal" + port, want: 200},
		"preflight":                          {method: "OPTIONS", header: map[string]string{"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}, want: 403},
		"simple request of a page":           {method: "POST", header: map[string]string{"Origin": "https://evil.example", "Content-Type": "text/plain"}, want: 403},
		"page of a file":                     {header: map[string]string{"Origin": "null"}, want: 403},
		"image in a page":                    {header: map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, want: 403},
		"address typed in a browser":         {header: map[string]string{"Sec-Fetch-Site": "none"}, want: 403},
		"page of another port of localhost":  {header: map[string]string{"Sec-Fetch-Site": "same-site"}, want: 403},
		"rebinding":                          {host: "rebind.example" + port, want: 403},
		"rebinding without a port":           {host: "rebind.example", want: 403},
		"a name below localhost":             {host: "evil.localhost" + port, want: 403},
		"a name that begins with 127.0.0.1":  {host: "127.0.0.1.evil.example" + port, want: 403},
		"a user before the host":             {host: "127.0.0.1" + port + "@evil.example", want: 403},
		"another port":                       {host: "127.0.0.1:1", want: 403},
		"the port of plain HTTP, left out":   {host: "127.0.0.1", want: 403},
		"AWS's own name for an API":          {host: "abc.execute-api.localhost" + port, want: 403},
		"a bucket as a part of the host":     {host: "bucket.s3.localhost" + port, want: 403},
		"another address of this machine":    {host: "127.0.0.2" + port, want: 403},
		"all addresses, which browsers take": {host: "0.0.0.0" + port, want: 403},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			method := tt.method
			if method == "" {
				method = http.MethodGet
			}
			status, body, header := send(t, http.DefaultClient, method, s.URL+"/", tt.host, tt.header, "")
			if status != tt.want || status != 200 && strings.Contains(body, "the key") {
				t.Errorf("%d %s, want %d", status, body, tt.want)
			}
			if header.Get("Access-Control-Allow-Origin") != "" {
				t.Error("pages of other origins are allowed")
			}
		})
	}
}

// getSecretValue is the request by which the review got the key.
func getSecretValue(header map[string]string) map[string]string {
	all := map[string]string{"X-Amz-Target": "secretsmanager.GetSecretValue", "Content-Type": "application/x-amz-json-1.1"}
	for name, value := range header {
		all[name] = value
	}
	return all
}

func TestSigned(t *testing.T) {
	t.Parallel()
	key := NewKey()
	s, reached := serve(t, func(h http.Handler) http.Handler { return key.Signed(h, nil) })
	const body = `{"SecretId":"x"}`
	mine := key.Client("us-east-1", "secretsmanager")
	if status, text, _ := send(t, mine, "POST", s.URL+"/", "", getSecretValue(nil), body); status != 200 || text != answered {
		t.Fatalf("our own: %d %s", status, text)
	}
	if _, got := reached(); got != body {
		t.Errorf("the body came as %q", got)
	}
	for name, tt := range map[string]struct {
		client *http.Client
		path   string
		header map[string]string
	}{
		"no key":                        {client: http.DefaultClient},
		"the key that everybody uses":   {client: Key{"test", "test"}.Client("us-east-1", "secretsmanager")},
		"another run's key":             {client: NewKey().Client("us-east-1", "secretsmanager")},
		"our id, another secret":        {client: Key{key.ID, "test"}.Client("us-east-1", "secretsmanager")},
		"another id, our secret":        {client: Key{"test", key.Secret}.Client("us-east-1", "secretsmanager")},
		"an invented signature":         {client: http.DefaultClient, header: map[string]string{"X-Amz-Date": "20260101T000000Z", "Authorization": algorithm + " Credential=" + key.ID + "/20260101/us-east-1/secretsmanager/aws4_request, SignedHeaders=host, Signature=0"}},
		"no signature":                  {client: http.DefaultClient, header: map[string]string{"Authorization": algorithm + " Credential=" + key.ID + "/"}},
		"an empty presigned URL":        {client: http.DefaultClient, path: "/?X-Amz-Algorithm=" + algorithm + "&X-Amz-Credential=" + key.ID + "/&X-Amz-Signature=0"},
		"signed, but sent by a browser": {client: mine, header: map[string]string{"Origin": "https://evil.example"}},
		"a path that only looks public": {client: http.DefaultClient, path: "/_ministack/health"},
	} {
		status, text, _ := send(t, tt.client, "POST", s.URL+tt.path, "", getSecretValue(tt.header), body)
		if path, _ := reached(); status != 403 || strings.Contains(text, "the key") || path != "" {
			t.Errorf("%s: %d %s", name, status, text)
		}
	}
}

func TestSignedRequestIsNotChanged(t *testing.T) {
	t.Parallel()
	key := NewKey()
	s, _ := serve(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			for name, value := range map[string]string{"X-Set-Target": "X-Amz-Target", "X-Set-Date": "X-Amz-Date"} { // as somebody on the way would
				if v := r.Header.Get(name); v != "" {
					r.Header.Set(value, v)
				}
			}
			if r.Header.Get("X-Set-Body") != "" {
				r.Body = io.NopCloser(strings.NewReader("{}"))
			}
			key.Signed(h, nil).ServeHTTP(w, r)
		})
	})
	for name, header := range map[string]map[string]string{
		"another action": {"X-Set-Target": "secretsmanager.DeleteSecret"}, "another time": {"X-Set-Date": "20260101T000000Z"}, "another body": {"X-Set-Body": "1"},
	} {
		if status, _, _ := send(t, key.Client("us-east-1", "secretsmanager"), "POST", s.URL, "", getSecretValue(header), "{ }"); status != 403 {
			t.Errorf("%s: %d", name, status)
		}
	}
}

// TestSignedTakesTheSDKs has the SDK sign what it sends: each protocol, and names that
// have to be encoded.
func TestSignedTakesTheSDKs(t *testing.T) {
	t.Parallel()
	key := NewKey()
	var last *http.Request
	s, _ := serve(t, func(h http.Handler) http.Handler {
		signed := key.Signed(h, nil, "000000000000")
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { last = r; signed.ServeHTTP(w, r) })
	})
	for _, id := range []string{key.ID, "000000000000"} {
		cfg := aws.Config{Region: "us-east-1", BaseEndpoint: &s.URL, Credentials: credentials.NewStaticCredentialsProvider(id, key.Secret, "")}
		if out, err := secretsmanager.NewFromConfig(cfg).GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: new("x")}); err != nil || *out.SecretString != "the key" {
			t.Errorf("Secrets Manager: %v", err)
		}
		_, err := dynamodb.NewFromConfig(cfg).ListTables(t.Context(), nil)
		if err != nil && last != nil && strings.Contains(err.Error(), "403") {
			t.Errorf("DynamoDB: %v", err)
		}
		bucket := s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true })
		for _, name := range []string{"a.pdf", "a b+c%2F(ü)/…=&~'.pdf", "//a/../b.pdf"} {
			if _, err := bucket.PutObject(t.Context(), &s3.PutObjectInput{Bucket: new("b"), Key: &name, Body: bytes.NewReader([]byte("x")), Metadata: map[string]string{"note": "two  blanks"}}); err != nil {
				t.Errorf("PutObject %s: %v", name, err)
			}
			link, err := s3.NewPresignClient(bucket).PresignGetObject(context.WithoutCancel(t.Context()), &s3.GetObjectInput{Bucket: new("b"), Key: &name, VersionId: new("a+/=")})
			if err != nil {
				t.Fatal(err)
			}
			if status, text, _ := send(t, http.DefaultClient, "GET", link.URL, "", nil, ""); status != 200 {
				t.Errorf("presigned %s: %d %s", name, status, text)
			}
			if status, _, _ := send(t, http.DefaultClient, "GET", link.URL+"0", "", nil, ""); status != 403 {
				t.Errorf("presigned %s, changed: %d", name, status)
			}
		}
	}
}

func TestSecret(t *testing.T) {
	t.Parallel()
	s, reached := serve(t, func(h http.Handler) http.Handler { return Secret("5ecret", h) })
	for path, want := range map[string]int{"/5ecret/next": 200, "/next": 403, "/5ecre/next": 403, "/5ecrett/next": 403, "//5ecret/next": 403, "/": 403, "/other/../5ecret/next": 403} {
		status, _, _ := send(t, http.DefaultClient, "GET", s.URL+path, "", nil, "")
		got, _ := reached()
		if status != want || want == 200 && got != "/next" || want == 403 && got != "" {
			t.Errorf("%s: %d, handler saw %q", path, status, got)
		}
	}
}

func TestProxyKeepsTheHostAndAllowsNoOrigin(t *testing.T) {
	t.Parallel()
	behind, err := Serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		_, _ = io.WriteString(w, r.Host+" "+r.RequestURI)
	}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(behind.Close)
	toIt := transportFunc(func(r *http.Request) (*http.Response, error) {
		r.URL.Host = strings.TrimPrefix(behind.URL, "http://")
		r.Header.Set("X-Was", r.Host)
		r.Host = r.URL.Host
		return http.DefaultTransport.RoundTrip(r)
	})
	front, err := Serve(Proxy(toIt))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(front.Close)
	_, text, header := send(t, http.DefaultClient, "GET", front.URL+"/a%2Fb/%21?x=%20;y", "", nil, "")
	if !strings.HasSuffix(text, "/a%2Fb/%21?x=%20;y") && !strings.HasSuffix(text, "/a%2Fb/%21") {
		t.Errorf("it was asked for %s", text)
	}
	if len(header.Values("Access-Control-Allow-Origin")) > 0 {
		t.Error("pages of other origins are allowed")
	}
}

type transportFunc func(*http.Request) (*http.Response, error)

func (f transportFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
