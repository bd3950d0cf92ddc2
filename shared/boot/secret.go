package boot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
)

// Secret is the JSON value in Secrets Manager:
//
//	{"apiKey": "sk_…", "webhookSecrets": ["wss_…"]}
//
// More than one webhook secret is there during a rotation. Other ways to write it are
// understood where they can only mean one thing: a text in place of the list, with the
// secrets separated by commas or bars, as Python writes a list, or as JSON, which the
// console's key/value form makes of it; keys with blanks, quotes, a byte order mark,
// "Bearer ", their name or escapes around them; and the object inside of another one.
type Secret struct {
	APIKey         string   `json:"apiKey"`
	WebhookSecrets []string `json:"webhookSecrets"`
}

var (
	// ErrSecretEmpty means that the secret has not been filled in yet.
	ErrSecretEmpty = errors.New("the secret is not filled in")

	// ErrSecretUnusable means that what is filled in can be no key, or is a webhook
	// secret that others can guess: it says which character is in the way, and where, or
	// what is weak, and nothing else of the secret. It is like having none.
	ErrSecretUnusable = errors.New("the secret can't be used")
)

// A reading is the secret as it was read.
type reading struct {
	Secret
	// keyError and webhookError are about what cannot be used.
	keyError, webhookError error
}

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
	fixed reading
	id    string
	now   func() time.Time

	mu sync.Mutex
	// have is what was read last, at readAt; tried is when a reading last failed, with failure.
	have    reading
	readAt  time.Time
	tried   time.Time
	failure error
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
	s.fixed.APIKey, s.fixed.keyError = apiKey(getenv("EXTEND_API_KEY"))
	s.fixed.WebhookSecrets, s.fixed.webhookError = webhookSecrets(splitSecrets(getenv("EXTEND_WEBHOOK_SECRETS")))
	return s
}

// APIKey returns the key for Extend. The error wraps [ErrSecretEmpty] while there is
// none, and [ErrSecretUnusable] while what is there can be no key.
func (s *Secrets) APIKey(ctx context.Context) (string, error) {
	if s.fixed.APIKey != "" {
		return s.fixed.APIKey, nil
	}
	if s.fixed.keyError != nil {
		return "", fmt.Errorf("%w: EXTEND_API_KEY: %w", ErrSecretUnusable, s.fixed.keyError)
	}
	secret, err := s.get(ctx, keepFor)
	if err != nil {
		return "", err
	}
	if secret.APIKey == "" {
		// It may have been filled in, or put right, a moment ago.
		if secret, err = s.get(ctx, freshFor); err != nil {
			return "", err
		}
	}
	switch {
	case secret.APIKey != "":
		return secret.APIKey, nil
	case secret.keyError != nil:
		return "", fmt.Errorf("%w: \"apiKey\" of %s: %w", ErrSecretUnusable, s.id, secret.keyError)
	}
	return "", fmt.Errorf("%w: put the key of your Extend workspace into \"apiKey\" of %s", ErrSecretEmpty, s.id)
}

// WebhookSecrets returns the secrets that deliveries may be signed with. With
// again, they are read anew, at most once a minute: a signature that does not
// match may be made with a secret that was added since. The error wraps
// [ErrSecretEmpty] while there is none, and [ErrSecretUnusable] while none of
// those that are there can be one.
func (s *Secrets) WebhookSecrets(ctx context.Context, again bool) ([]string, error) {
	if len(s.fixed.WebhookSecrets) > 0 {
		return s.fixed.WebhookSecrets, nil
	}
	if s.fixed.webhookError != nil {
		return nil, fmt.Errorf("%w: EXTEND_WEBHOOK_SECRETS: %w", ErrSecretUnusable, s.fixed.webhookError)
	}
	age := keepFor
	if again {
		age = freshFor
	}
	secret, err := s.get(ctx, age)
	switch {
	case err != nil:
		return nil, err
	case len(secret.WebhookSecrets) > 0:
		return secret.WebhookSecrets, nil
	case !again:
		return s.WebhookSecrets(ctx, true)
	case secret.webhookError != nil:
		return nil, fmt.Errorf("%w: \"webhookSecrets\" of %s: %w", ErrSecretUnusable, s.id, secret.webhookError)
	}
	return nil, fmt.Errorf("%w: put the signing secret of your webhook endpoint (wss_…) into the list \"webhookSecrets\" of %s", ErrSecretEmpty, s.id)
}

// get returns the secret as it was at most age ago. While it can't be read, what
// was read before stands, and it is tried again once in a while: Secrets Manager's
// bad hour is not ours.
func (s *Secrets) get(ctx context.Context, age time.Duration) (reading, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if !s.readAt.IsZero() && now.Sub(s.readAt) < age {
		return s.have, nil
	}
	if s.failure == nil || now.Sub(s.tried) >= retryAfter {
		secret, err := s.read(ctx)
		if err == nil {
			s.have, s.readAt, s.failure = secret, now, nil
			return secret, nil
		}
		s.failure, s.tried = err, now
		if !s.readAt.IsZero() {
			slog.ErrorContext(ctx, "the secret could not be read again, the one that was read before is used", "error", err)
		}
	}
	if s.readAt.IsZero() {
		return reading{}, s.failure
	}
	return s.have, nil
}

func (s *Secrets) read(ctx context.Context) (reading, error) {
	text, err := s.fetch(ctx)
	if err != nil {
		return reading{}, fmt.Errorf("secret %s: %w", s.id, err)
	}
	secret, err := parseSecret(text)
	if err != nil {
		return reading{}, fmt.Errorf("%w: secret %s: %w", ErrSecretUnusable, s.id, err)
	}
	if secret.webhookError != nil && len(secret.WebhookSecrets) > 0 {
		slog.ErrorContext(ctx, "a webhook secret can't be used, the others are", "secret", s.id, "error", secret.webhookError)
	}
	return secret, nil
}
