package boot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
)

// Secret is the JSON value in Secrets Manager:
//
//	{"apiKey": "sk_…", "webhookSecrets": ["wss_…"]}
//
// More than one webhook secret is there during a rotation.
type Secret struct {
	APIKey         string   `json:"apiKey"`
	WebhookSecrets []string `json:"webhookSecrets"`
}

// ErrSecretEmpty means that the secret has not been filled in yet.
var ErrSecretEmpty = errors.New("the secret is not filled in")

// Between two readings of the secret lies at least freshFor, after one that failed
// retryAfter; after keepFor it is read again.
const (
	freshFor   = time.Minute
	keepFor    = 5 * time.Minute
	retryAfter = 5 * time.Second
)

// Secrets reads the secret when it is first needed and keeps it for five
// minutes. EXTEND_API_KEY and EXTEND_WEBHOOK_SECRETS (separated by commas) in the
// environment win, for `sam local invoke`.
type Secrets struct {
	fetch func(context.Context) (string, error)
	fixed Secret
	id    string
	now   func() time.Time

	mu sync.Mutex
	// have is what was read last, at readAt; tried is when a reading last failed, with fault.
	have   Secret
	readAt time.Time
	tried  time.Time
	fault  error
}

// NewSecrets returns Secrets over the secret with this name or ARN.
func NewSecrets(client *secretsmanager.Client, id string, getenv func(string) string, now func() time.Time) *Secrets {
	s := &Secrets{id: id, now: now, fetch: func(ctx context.Context) (string, error) {
		out, err := client.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &id})
		if err != nil {
			return "", err
		}
		if out.SecretString == nil {
			return "", errors.New("it holds binary data, not JSON")
		}
		return *out.SecretString, nil
	}}
	s.fixed.APIKey = getenv("EXTEND_API_KEY")
	for part := range strings.SplitSeq(getenv("EXTEND_WEBHOOK_SECRETS"), ",") {
		if part = strings.TrimSpace(part); part != "" {
			s.fixed.WebhookSecrets = append(s.fixed.WebhookSecrets, part)
		}
	}
	return s
}

// APIKey returns the key for Extend. The error wraps [ErrSecretEmpty] while there is none.
func (s *Secrets) APIKey(ctx context.Context) (string, error) {
	if s.fixed.APIKey != "" {
		return s.fixed.APIKey, nil
	}
	secret, err := s.get(ctx, keepFor)
	if err != nil {
		return "", err
	}
	if secret.APIKey == "" {
		// It may have been filled in a moment ago.
		if secret, err = s.get(ctx, freshFor); err != nil {
			return "", err
		}
	}
	if secret.APIKey == "" {
		return "", fmt.Errorf("%w: put the key of your Extend workspace into \"apiKey\" of %s", ErrSecretEmpty, s.id)
	}
	return secret.APIKey, nil
}

// WebhookSecrets returns the secrets that deliveries may be signed with. With
// again, they are read anew, at most once a minute: a signature that does not
// match may be made with a secret that was added since. The error wraps
// [ErrSecretEmpty] while there is none.
func (s *Secrets) WebhookSecrets(ctx context.Context, again bool) ([]string, error) {
	if len(s.fixed.WebhookSecrets) > 0 {
		return s.fixed.WebhookSecrets, nil
	}
	age := keepFor
	if again {
		age = freshFor
	}
	secret, err := s.get(ctx, age)
	if err != nil {
		return nil, err
	}
	if len(secret.WebhookSecrets) == 0 && !again {
		return s.WebhookSecrets(ctx, true)
	}
	if len(secret.WebhookSecrets) == 0 {
		return nil, fmt.Errorf("%w: put the signing secret of your webhook endpoint (wss_…) into the list \"webhookSecrets\" of %s", ErrSecretEmpty, s.id)
	}
	return secret.WebhookSecrets, nil
}

// get returns the secret as it was at most age ago. While it can't be read, what
// was read before stands, and it is tried again once in a while: Secrets Manager's
// bad hour is not ours.
func (s *Secrets) get(ctx context.Context, age time.Duration) (Secret, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if !s.readAt.IsZero() && now.Sub(s.readAt) < age {
		return s.have, nil
	}
	if s.fault == nil || now.Sub(s.tried) >= retryAfter {
		secret, err := s.read(ctx)
		if err == nil {
			s.have, s.readAt, s.fault = secret, now, nil
			return secret, nil
		}
		s.fault, s.tried = err, now
		if !s.readAt.IsZero() {
			slog.ErrorContext(ctx, "the secret could not be read again, the one that was read before is used", "error", err)
		}
	}
	if s.readAt.IsZero() {
		return Secret{}, s.fault
	}
	return s.have, nil
}

func (s *Secrets) read(ctx context.Context) (Secret, error) {
	text, err := s.fetch(ctx)
	if err != nil {
		return Secret{}, fmt.Errorf("secret %s: %w", s.id, err)
	}
	var secret Secret
	if err := json.Unmarshal([]byte(text), &secret); err != nil {
		// The error of encoding/json could quote a part of the secret.
		return Secret{}, fmt.Errorf(`secret %s: it is not of the form {"apiKey": "…", "webhookSecrets": ["…"]}`, s.id)
	}
	secret.APIKey = strings.TrimSpace(secret.APIKey)
	var filled []string
	for _, w := range secret.WebhookSecrets {
		if w = strings.TrimSpace(w); w != "" {
			filled = append(filled, w)
		}
	}
	secret.WebhookSecrets = filled
	return secret, nil
}
