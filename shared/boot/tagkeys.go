package boot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"extend-intake/shared/document"
)

// minTagKey is how long a tag key is at least. The stack makes one of 64 characters.
const minTagKey = 32

// TagKeys returns the keys that tags are signed with, out of the secret with this name or ARN:
//
//	{"key": "…", "otherKeys": ["…"]}
//
// The stack makes it, with one random key. The key signs; during a rotation the others are
// accepted too. It is read when it is first needed and kept for five minutes; a refresh reads
// it anew, at most once a minute. While it can't be read, what was read before stands.
// EXTEND_TAG_KEY in the environment wins, for `sam local invoke`. The error wraps
// [ErrSecretUnusable] where what is there can be no key.
func TagKeys(client *secretsmanager.Client, id string, getenv func(string) string, now func() time.Time) document.KeyFunc {
	if fixed := getenv("EXTEND_TAG_KEY"); len(fixed) >= minTagKey {
		return document.StaticKeys(fixed)
	} else if fixed != "" {
		return func(context.Context, bool) (document.Keys, error) {
			return nil, fmt.Errorf("%w: EXTEND_TAG_KEY has fewer than %d characters: it could be guessed", ErrSecretUnusable, minTagKey)
		}
	}
	var mu sync.Mutex
	var have document.Keys
	var readAt time.Time
	return func(ctx context.Context, refresh bool) (document.Keys, error) {
		mu.Lock()
		defer mu.Unlock()
		age := keepFor
		if refresh {
			age = freshFor
		}
		if have != nil && now().Sub(readAt) < age {
			return have, nil
		}
		keys, err := readTagKeys(ctx, client, id)
		switch {
		case err == nil:
			have, readAt = keys, now()
		case have == nil:
			return nil, err
		default:
			readAt = now().Add(retryAfter - keepFor)
			slog.ErrorContext(ctx, "the tag keys could not be read again, those that were read before are used", "error", err)
		}
		return have, nil
	}
}

func readTagKeys(ctx context.Context, client *secretsmanager.Client, id string) (document.Keys, error) {
	out, err := client.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &id})
	if err != nil {
		return nil, fmt.Errorf("secret %s: %w", id, err)
	}
	keys, err := parseTagKeys(out.SecretString)
	if err != nil {
		return nil, fmt.Errorf("%w: secret %s: %w", ErrSecretUnusable, id, err)
	}
	return keys, nil
}

// parseTagKeys shows nothing of a key in its error.
func parseTagKeys(text *string) (document.Keys, error) {
	const form = `{"key": "…", "otherKeys": ["…"]}`
	var secret struct {
		Key       string   `json:"key"`
		OtherKeys []string `json:"otherKeys"`
	}
	if text == nil || json.Unmarshal([]byte(*text), &secret) != nil {
		return nil, errors.New("it is not of the form " + form)
	}
	keys := append(document.Keys{secret.Key}, secret.OtherKeys...)
	for i, key := range keys {
		if len(key) < minTagKey {
			return nil, fmt.Errorf("key %d of %s has %d characters, fewer than %d: it could be guessed", i+1, form, len(key), minTagKey)
		}
	}
	return keys, nil
}
