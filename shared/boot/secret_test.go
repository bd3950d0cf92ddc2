package boot

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
)

const secretID = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:intake"

// vault is a Secrets Manager, with a clock.
type vault struct {
	t       *testing.T
	mu      sync.Mutex
	answer  string // the body of the next answers
	status  int
	fetches int
	at      time.Time
}

func newVault(t *testing.T, secret string, env map[string]string) (*vault, *Secrets) {
	v := &vault{t: t, at: time.Date(2026, 7, 14, 9, 15, 0, 0, time.UTC)}
	v.set(secret)
	server := httptest.NewServer(v)
	t.Cleanup(server.Close)
	client := secretsmanager.New(secretsmanager.Options{Region: "eu-west-1", BaseEndpoint: &server.URL, Credentials: aws.AnonymousCredentials{}, Retryer: aws.NopRetryer{}})
	return v, NewSecrets(client, secretID, getenv(env), func() time.Time {
		v.mu.Lock()
		defer v.mu.Unlock()
		return v.at
	})
}

func (v *vault) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.fetches++
	body, _ := io.ReadAll(r.Body)
	if r.Header.Get("X-Amz-Target") != "secretsmanager.GetSecretValue" || !strings.Contains(string(body), secretID) {
		v.t.Errorf("%s of %s", r.Header.Get("X-Amz-Target"), body)
	}
	w.WriteHeader(v.status)
	_, _ = io.WriteString(w, v.answer)
}

func (v *vault) set(secret string) {
	answer, err := json.Marshal(map[string]string{"ARN": secretID, "SecretString": secret})
	if err != nil {
		v.t.Fatal(err)
	}
	v.reply(http.StatusOK, string(answer))
}

func (v *vault) reply(status int, answer string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.status, v.answer = status, answer
}

func (v *vault) advance(d time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.at = v.at.Add(d)
}

// want holds how often the secret was read so far.
func (v *vault) want(fetches int) {
	v.t.Helper()
	if v.fetches != fetches {
		v.t.Errorf("the secret was read %d times, want %d", v.fetches, fetches)
	}
}

func wantKey(t *testing.T, s *Secrets, want string) {
	t.Helper()
	if got, err := s.APIKey(t.Context()); err != nil || got != want {
		t.Errorf("key %q, %v, want %q", got, err, want)
	}
}

func wantSecrets(t *testing.T, s *Secrets, again bool, want ...string) {
	t.Helper()
	if got, err := s.WebhookSecrets(t.Context(), again); err != nil || !slices.Equal(got, want) {
		t.Errorf("webhook secrets %q, %v, want %q", got, err, want)
	}
}

func TestSecretsAreKept(t *testing.T) {
	t.Parallel()
	v, s := newVault(t, `{"apiKey": " sk_1\n", "webhookSecrets": ["wss_5trongEnough4Tests1", "", " wss_5trongEnough4Tests2 "]}`, nil)
	v.want(0) // not before it is needed
	for range 3 {
		wantKey(t, s, "sk_1")
		wantSecrets(t, s, false, "wss_5trongEnough4Tests1", "wss_5trongEnough4Tests2")
		v.advance(time.Minute)
	}
	v.want(1)

	v.set(`{"apiKey": "sk_2", "webhookSecrets": ["wss_5trongEnough4Tests2", "wss_5trongEnough4Tests3"]}`)
	v.advance(2*time.Minute - time.Second)
	wantKey(t, s, "sk_1")
	v.advance(time.Second) // five minutes
	wantKey(t, s, "sk_2")
	wantSecrets(t, s, false, "wss_5trongEnough4Tests2", "wss_5trongEnough4Tests3")
	v.want(2)
}

func TestSecretsAreReadAgainOnceAMinute(t *testing.T) {
	t.Parallel()
	v, s := newVault(t, `{"apiKey": "sk_1", "webhookSecrets": ["wss_5trongEnough4Tests1"]}`, nil)
	wantSecrets(t, s, false, "wss_5trongEnough4Tests1")
	v.set(`{"apiKey": "sk_1", "webhookSecrets": ["wss_5trongEnough4Tests1", "wss_5trongEnough4Tests2"]}`)
	v.advance(59 * time.Second)
	for range 100 {
		wantSecrets(t, s, true, "wss_5trongEnough4Tests1")
	}
	v.want(1)
	v.advance(time.Second)
	for range 100 {
		wantSecrets(t, s, true, "wss_5trongEnough4Tests1", "wss_5trongEnough4Tests2")
	}
	wantSecrets(t, s, false, "wss_5trongEnough4Tests1", "wss_5trongEnough4Tests2")
	v.want(2)
}

func TestSecretThatIsNotFilledIn(t *testing.T) {
	t.Parallel()
	for _, empty := range []string{`{"apiKey":"","webhookSecrets":[]}`, `{}`, `null`, `{"apiKey":" ","webhookSecrets":[""," "]}`} {
		v, s := newVault(t, empty, nil)
		for range 10 {
			if _, err := s.APIKey(t.Context()); !errors.Is(err, ErrSecretEmpty) || !strings.Contains(err.Error(), `"apiKey" of `+secretID) {
				t.Errorf("%s: %v", empty, err)
			}
			if _, err := s.WebhookSecrets(t.Context(), false); !errors.Is(err, ErrSecretEmpty) || !strings.Contains(err.Error(), `"webhookSecrets" of `+secretID) {
				t.Errorf("%s: %v", empty, err)
			}
		}
		v.want(1)
		// It is noticed within a minute, though the secret is kept for five.
		v.set(`{"apiKey": "sk_1", "webhookSecrets": ["wss_5trongEnough4Tests1"]}`)
		v.advance(time.Minute)
		wantKey(t, s, "sk_1")
		wantSecrets(t, s, false, "wss_5trongEnough4Tests1")
		v.want(2)
	}
}

func TestMalformedSecretIsNotShown(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{
		`sk_hush`, `"sk_hush"`, `{"apiKey": sk_hush}`, `{"apiKey": "sk_hush"`, `{"apiKey": ["sk_hush"]}`, `{"apiKey": 17, "webhookSecrets": ["wss_hush"]}`, `{"webhookSecrets": [{"wss_hush": 1}]}`, `{"webhookSecrets": {"wss_hush": 1}}`, ``, "\"{\"",
		`[{"apiKey": "sk_hush"}]`, `"{\"apiKey\": sk_hush}"`, "{\"apiKey\": \"sk_hush\n\"}",
	} {
		_, s := newVault(t, bad, nil)
		_, err := s.APIKey(t.Context())
		_, err2 := s.WebhookSecrets(t.Context(), false)
		for _, err := range []error{err, err2} {
			if !errors.Is(err, ErrSecretUnusable) || strings.Contains(err.Error(), "hush") || !strings.Contains(err.Error(), secretID) || !strings.Contains(err.Error(), `{"apiKey": "…", "webhookSecrets": ["…"]}`) {
				t.Errorf("%s: %v", bad, err)
			}
		}
	}
}

func TestSecretThatCantBeRead(t *testing.T) {
	t.Parallel()
	v, s := newVault(t, "", nil)
	v.reply(http.StatusBadRequest, `{"__type": "AccessDeniedException", "Message": "not you"}`)
	if _, err := s.APIKey(t.Context()); err == nil || !strings.Contains(err.Error(), "AccessDeniedException") || !strings.Contains(err.Error(), secretID) {
		t.Errorf("error %v", err)
	}
	if _, err := s.APIKey(t.Context()); err == nil {
		t.Error("no error")
	}
	v.want(1) // a forged delivery after the other must not ask Secrets Manager each time
	v.advance(retryAfter)
	v.reply(http.StatusOK, `{"SecretBinary": "aHVzaA=="}`)
	if _, err := s.APIKey(t.Context()); err == nil || !strings.Contains(err.Error(), "binary") {
		t.Errorf("error %v", err)
	}
	v.advance(retryAfter)
	v.set(`{"apiKey": "sk_1"}`)
	wantKey(t, s, "sk_1")

	v.advance(keepFor)
	v.reply(http.StatusInternalServerError, `{"__type": "InternalServiceError"}`)
	wantKey(t, s, "sk_1") // what was read before stands while it can't be read again
}

func TestTheEnvironmentWins(t *testing.T) {
	t.Parallel()
	v, s := newVault(t, `{"apiKey": "sk_1", "webhookSecrets": ["wss_5trongEnough4Tests1"]}`, map[string]string{"EXTEND_API_KEY": "sk_env", "EXTEND_WEBHOOK_SECRETS": " wss_5trongEnough4Testsa ,,wss_5trongEnough4Testsb,"})
	wantKey(t, s, "sk_env")
	wantSecrets(t, s, false, "wss_5trongEnough4Testsa", "wss_5trongEnough4Testsb")
	wantSecrets(t, s, true, "wss_5trongEnough4Testsa", "wss_5trongEnough4Testsb")
	v.want(0)

	_, s = newVault(t, `{"apiKey": "sk_1", "webhookSecrets": ["wss_5trongEnough4Tests1"]}`, map[string]string{"EXTEND_WEBHOOK_SECRETS": "wss_5trongEnough4Testsa"})
	wantKey(t, s, "sk_1") // each for itself
	wantSecrets(t, s, false, "wss_5trongEnough4Testsa")

	_, s = newVault(t, `{"apiKey": "sk_1", "webhookSecrets": ["wss_5trongEnough4Tests1"]}`, map[string]string{"EXTEND_WEBHOOK_SECRETS": " , "})
	wantSecrets(t, s, false, "wss_5trongEnough4Tests1")
}

func TestSecretsAreReadOnceByMany(t *testing.T) {
	t.Parallel()
	v, s := newVault(t, `{"apiKey": "sk_1", "webhookSecrets": ["wss_5trongEnough4Tests1"]}`, nil)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if _, err := s.APIKey(context.WithoutCancel(t.Context())); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	v.want(1)
}
