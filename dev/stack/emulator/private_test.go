package emulator

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"extend-intake/dev/guard"
)

// TestMiniStackAnswersOnlyItsUser tries what the security review tried: it got the key of
// Extend out of a running stack from a web page.
func TestMiniStackAnswersOnlyItsUser(t *testing.T) {
	t.Parallel()
	s, err := StartMiniStack(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	const secret = "sk_the_key_of_the_account"
	if _, err := secretsmanager.NewFromConfig(AWSConfig(s.URL)).CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{
		Name: aws.String("key"), SecretString: aws.String(secret),
	}); err != nil {
		t.Fatal(err)
	}
	port := s.URL[strings.LastIndex(s.URL, ":")+1:]
	get := func(client *http.Client, method, path, host string, header map[string]string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, strings.NewReader(`{"SecretId":"key"}`))
		if err != nil {
			t.Fatal(err)
		}
		if host != "" {
			req.Host = host
		}
		req.Header.Set("X-Amz-Target", "secretsmanager.GetSecretValue")
		req.Header.Set("Content-Type", "application/x-amz-json-1.1")
		for name, value := range header {
			req.Header.Set(name, value)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		if origin := resp.Header.Get("Access-Control-Allow-Origin"); origin != "" {
			t.Errorf("%s %s allows the origin %s", method, path, origin)
		}
		return resp.StatusCode, string(body)
	}
	mine := Client("secretsmanager")
	if status, body := get(mine, "POST", "/", "", nil); status != 200 || !strings.Contains(body, secret) {
		t.Fatalf("with the key of this run: %d %s", status, body)
	}
	evil := map[string]string{"Origin": "https://evil.example"}
	others := http.DefaultClient
	for name, try := range map[string]func() (int, string){
		"preflight": func() (int, string) {
			return get(others, "OPTIONS", "/", "", map[string]string{"Origin": "https://evil.example", "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-amz-target"})
		},
		"a page":                 func() (int, string) { return get(others, "POST", "/", "", evil) },
		"a page that has signed": func() (int, string) { return get(mine, "POST", "/", "", evil) },
		"a page without Origin": func() (int, string) {
			return get(others, "POST", "/", "", map[string]string{"Sec-Fetch-Site": "cross-site"})
		},
		"a simple request": func() (int, string) {
			return get(others, "POST", "/?Action=GetSecretValue&SecretId=key", "", map[string]string{"Content-Type": "text/plain"})
		},
		"rebinding":              func() (int, string) { return get(others, "POST", "/", "rebind.example:"+port, nil) },
		"rebinding with the key": func() (int, string) { return get(mine, "POST", "/", "rebind.example:"+port, nil) },
		"no key":                 func() (int, string) { return get(others, "POST", "/", "", nil) },
		"the usual key": func() (int, string) {
			return get(guard.Key{ID: "test", Secret: "test"}.Client(Region, "secretsmanager"), "POST", "/", "", nil)
		},
		"another run's key": func() (int, string) {
			return get(guard.NewKey().Client(Region, "secretsmanager"), "POST", "/", "", nil)
		},
		"the id of functions, no secret": func() (int, string) {
			return get(guard.Key{ID: account, Secret: "test"}.Client(Region, "secretsmanager"), "POST", "/", "", nil)
		},
		"the way of the webhook":      func() (int, string) { return get(others, "POST", "/_aws/execute-api/x/webhook/../../../", "", nil) },
		"the way of custom resources": func() (int, string) { return get(others, "PUT", "/_ministack/cfn-response/x/../../", "", nil) },
		"a query on the webhook":      func() (int, string) { return get(others, "POST", "/_aws/execute-api/x/webhook?x", "", nil) },
		"its own pages":               func() (int, string) { return get(others, "GET", "/_ministack/health", "", nil) },
		"a reset":                     func() (int, string) { return get(others, "POST", "/_ministack/reset", "", nil) },
		"the list of functions":       func() (int, string) { return get(others, "GET", "/2015-03-31/functions/", "", nil) },
		"a new function":              func() (int, string) { return get(others, "POST", "/2015-03-31/functions", "", nil) },
	} {
		if status, body := try(); status != http.StatusForbidden || strings.Contains(body, secret) {
			t.Errorf("%s: %d %s, want 403", name, status, body)
		}
	}
	// What has to be open does not lead to a service, whatever the header asks for.
	for _, path := range []string{"/_aws/execute-api/x/webhook", "/_ministack/cfn-response/x"} {
		for _, method := range []string{"POST", "PUT"} {
			if _, body := get(others, method, path, "", nil); strings.Contains(body, secret) {
				t.Errorf("%s %s: %s", method, path, body)
			}
		}
	}
	if _, err := secretsmanager.NewFromConfig(AWSConfig(s.URL)).GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: aws.String("key")}); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// TestMiniStackHasNoPort holds that the only way to MiniStack is the guard.
func TestMiniStackHasNoPort(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("it reads Linux's /proc")
	}
	s, err := StartMiniStack(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	if ports := listening(t, s.process.PID()); len(ports) > 0 {
		t.Errorf("MiniStack listens at %v", ports)
	}
}

// TestFunctionsEventsArePrivate starts a function that tells where it gets its events,
// and asks there as a page, and as somebody without the secret, would.
func TestFunctionsEventsArePrivate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := StartMiniStack(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	told := filepath.Join(dir, "runtime-api")
	// It never asks for an event: the server with the event stays until the function's time is over.
	script := fmt.Sprintf("#!/bin/sh\nprintf %%s \"$AWS_LAMBDA_RUNTIME_API\" >%s.new && mv %s.new %s\nexec sleep 1000\n", told, told, told)
	var packed bytes.Buffer
	z := zip.NewWriter(&packed)
	header := &zip.FileHeader{Name: "bootstrap", Method: zip.Deflate}
	header.SetMode(0o755)
	f, err := z.CreateHeader(header)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(f, script); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	call := func(path string, in any) {
		t.Helper()
		body, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+path, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(path, "invocations") {
			req.Header.Set("X-Amz-Invocation-Type", "Event")
		}
		resp, err := Client("lambda").Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.StatusCode >= 300 {
			text, _ := io.ReadAll(resp.Body)
			t.Fatalf("%s: %d %s", path, resp.StatusCode, text)
		}
	}
	call("/2015-03-31/functions", map[string]any{
		"FunctionName": "quiet", "Runtime": "provided.al2023", "Handler": "bootstrap", "Role": "arn:aws:iam::000000000000:role/x", "Timeout": 60,
		"Code": map[string]string{"ZipFile": base64.StdEncoding.EncodeToString(packed.Bytes())},
	})
	call("/2015-03-31/functions/quiet/invocations", map[string]string{"secret": "event"})
	var at string
	for deadline := time.Now().Add(30 * time.Second); at == ""; time.Sleep(10 * time.Millisecond) {
		text, _ := os.ReadFile(told)
		if at = string(text); time.Now().After(deadline) {
			log, _ := os.ReadFile(s.Log)
			t.Fatalf("the function was not started:\n%s", log)
		}
	}
	address, secret, ok := strings.Cut(at, "/")
	if !ok || len(secret) < 20 {
		t.Fatalf("AWS_LAMBDA_RUNTIME_API is %q", at)
	}
	// Every user of the machine sees the arguments of programs.
	if line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", s.process.PID())); err == nil && (bytes.Contains(line, []byte(secret)) || bytes.Contains(line, []byte(Key.Secret))) {
		t.Error("a secret is an argument of MiniStack")
	}
	const next = "/2018-06-01/runtime/invocation/next"
	for name, try := range map[string]struct {
		path, host string
		header     map[string]string
	}{
		"without the secret": {path: next}, "another secret": {path: "/" + strings.Repeat("A", len(secret)) + next},
		"a page": {path: "/" + secret + next, header: map[string]string{"Origin": "https://evil.example"}}, "rebinding": {path: "/" + secret + next, host: "rebind.example"},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+try.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = try.host
		for name, value := range try.header {
			req.Header.Set(name, value)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusForbidden || bytes.Contains(body, []byte("event")) {
			t.Errorf("%s: %d %s", name, resp.StatusCode, body)
		}
	}
}

// listening are the addresses at which a process of this machine listens.
func listening(t *testing.T, pid int) (addresses []string) {
	t.Helper()
	inodes := make(map[string]bool)
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if link, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", pid, f.Name())); err == nil && strings.HasPrefix(link, "socket:[") {
			inodes[strings.Trim(link, "socket:[]")] = true
		}
	}
	if len(inodes) == 0 {
		t.Fatal("it has no socket at all")
	}
	for _, table := range []string{"tcp", "tcp6"} {
		text, err := os.ReadFile("/proc/net/" + table)
		if err != nil {
			continue // no IPv6
		}
		for line := range strings.Lines(string(text)) {
			if f := strings.Fields(line); len(f) > 9 && f[3] == "0A" && inodes[f[9]] {
				addresses = append(addresses, f[1])
			}
		}
	}
	return addresses
}

// TestDynoxideAnswersOnlyItsUser is the same for the server of the tests.
func TestDynoxideAnswersOnlyItsUser(t *testing.T) {
	t.Parallel()
	s, err := StartDynoxide(t.Context(), t.TempDir())
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(s.Stop)
	resp, err := http.Post(s.URL, "application/x-amz-json-1.0", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("without the key: %d", resp.StatusCode)
	}
	for _, a := range listening(t, s.process.PID()) {
		if strings.HasPrefix(a, "0100007F:") || strings.HasPrefix(a, "00000000:") { // hexadecimal, the last byte first
			t.Errorf("it listens at %s, where a page would look", a)
		}
	}
}
