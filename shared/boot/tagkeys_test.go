package boot

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"extend-intake/shared/document"
)

func TestTagKeys(t *testing.T) {
	t.Parallel()
	one, two := strings.Repeat("1", 32), strings.Repeat("2", 64)
	var secret string
	reads := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		reads++
		if secret == "" {
			http.Error(w, "{}", http.StatusInternalServerError)
			return
		}
		_, _ = fmt.Fprintf(w, `{"SecretString": %q}`, secret)
	}))
	t.Cleanup(server.Close)
	client := secretsmanager.New(secretsmanager.Options{Region: "eu-west-1", BaseEndpoint: &server.URL, Credentials: aws.AnonymousCredentials{}, Retryer: aws.NopRetryer{}})
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	keys := TagKeys(client, "tags", func(string) string { return "" }, func() time.Time { return now })
	want := func(what string, refresh bool, wantReads int, want ...string) {
		t.Helper()
		got, err := keys(t.Context(), refresh)
		if err != nil || !slices.Equal(got, document.Keys(want)) || reads != wantReads {
			t.Errorf("%s: %d keys, %v, after %d reads; want %d keys after %d", what, len(got), err, reads, len(want), wantReads)
		}
	}
	if _, err := keys(t.Context(), false); err == nil {
		t.Error("no error though the secret can't be read")
	}
	reads = 0
	secret = fmt.Sprintf(`{"key": %q}`, one)
	want("first", false, 1, one)
	want("refresh at once", true, 1, one)
	secret = fmt.Sprintf(`{"key": %q, "otherKeys": [%q]}`, two, one)
	now = now.Add(time.Minute)
	want("a minute later", false, 1, one)
	want("refresh a minute later", true, 2, two, one)
	now = now.Add(5 * time.Minute)
	secret = ""
	want("unreadable for a while", false, 3, two, one)
	want("unreadable, asked at once again", false, 3, two, one)
}

func TestTagKeysThatCantBeUsed(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("k", 32)
	for name, text := range map[string]string{
		"not JSON": "hello", "nothing in it": `{}`, "short": `{"key": "short-secret"}`, "one of them short": fmt.Sprintf(`{"key": %q, "otherKeys": ["short-secret"]}`, long),
		"a list": `["` + long + `"]`, "of another type": `{"key": 7}`,
	} {
		_, err := parseTagKeys(&text)
		if err == nil || strings.Contains(err.Error(), "short-secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
	environment := func(key string) document.KeyFunc {
		return TagKeys(nil, "tags", func(string) string { return key }, time.Now)
	}
	if keys, err := environment(long)(t.Context(), true); err != nil || !slices.Equal(keys, document.Keys{long}) {
		t.Errorf("from the environment: %d keys, %v", len(keys), err)
	}
	if _, err := environment(long[1:])(t.Context(), false); err == nil {
		t.Error("a short key from the environment: no error")
	}
	if _, err := parseTagKeys(nil); err == nil {
		t.Error("binary data: no error")
	}
}
