package boot

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// What people paste around a key, in the secret and in the environment alike.
func TestPastedKeys(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ pasted, want string }{
		{"sk_hush", "sk_hush"},
		{" sk_hush\t", "sk_hush"},
		{"sk_hush\r\n", "sk_hush"},
		{"\n\nsk_hush\n", "sk_hush"},
		{"\u00a0sk_hush\u202f", "sk_hush"},
		{"\ufeffsk_hush", "sk_hush"},
		{"sk_hush\u200b", "sk_hush"},
		{"\u2060\u200esk_hush\u00ad\u200d\u202c", "sk_hush"},
		{"sk_hush\x00", "sk_hush"},
		{`"sk_hush"`, "sk_hush"},
		{`'sk_hush'`, "sk_hush"},
		{"`sk_hush`", "sk_hush"},
		{"“sk_hush”", "sk_hush"},
		{"„sk_hush“", "sk_hush"},
		{"‘sk_hush’", "sk_hush"},
		{"«\u00a0sk_hush\u00a0»", "sk_hush"},
		{`"sk_hush",`, "sk_hush"},
		{`sk_hush"`, "sk_hush"},
		{"Bearer sk_hush", "sk_hush"},
		{"bearer  sk_hush", "sk_hush"},
		{"BEARER\u00a0sk_hush", "sk_hush"},
		{`"Bearer sk_hush"`, "sk_hush"},
		{`Bearer "sk_hush"`, "sk_hush"},
		{"Bearer\nsk_hush\n", "sk_hush"},
		{"Authorization: Bearer sk_hush", "sk_hush"},
		{"authorization=Bearer sk_hush", "sk_hush"},
		{"EXTEND_API_KEY=sk_hush", "sk_hush"},
		{"export EXTEND_API_KEY='sk_hush'", "sk_hush"},
		{`"apiKey": "sk_hush"`, "sk_hush"},
		{"api-key: sk_hush;", "sk_hush"},
		{"sk_a=b/c+d~e.f-g_h", "sk_a=b/c+d~e.f-g_h"},
		{"Bearer%20sk_hush", "sk_hush"},
		{"Bearer+sk_hush", "sk_hush"},
		{"Basic sk_hush", "sk_hush"},
		{"x-api-key: sk_hush", "sk_hush"},
		{"X-API-Key=sk_hush", "sk_hush"},
		{"Extend API key: sk_hush", "sk_hush"},
		{"- sk_hush", "sk_hush"},
		{`$env:EXTEND_API_KEY="sk_hush"`, "sk_hush"},
		{"set EXTEND_API_KEY=sk_hush", "sk_hush"},
		{`curl -H "Authorization: Bearer sk_hush"`, "sk_hush"},
		{`sk_hush\n`, "sk_hush"},
		{`sk_hush\r\n`, "sk_hush"},
		{"sk_hush%0A", "sk_hush"},
		{`sk_hush"}`, "sk_hush"},
		{"sk_hush|", "sk_hush"},
		{"sk_hush.", "sk_hush"},
		{"sk_todo7", "sk_todo7"},
		{"sk_bearer_authorization", "sk_bearer_authorization"},
		{"", ""}, {" \n", ""}, {`""`, ""}, {"\ufeff\u200b", ""}, {"Bearer ", ""},
	} {
		t.Run(fmt.Sprintf("%+q", tt.pasted), func(t *testing.T) {
			t.Parallel()
			_, s := newVault(t, fmt.Sprintf(`{"apiKey": %s, "webhookSecrets": []}`, quote(tt.pasted)), nil)
			_, byEnv := newVault(t, `{}`, map[string]string{"EXTEND_API_KEY": tt.pasted})
			for _, s := range []*Secrets{s, byEnv} {
				got, err := s.APIKey(t.Context())
				if got != tt.want || errors.Is(err, ErrSecretEmpty) != (tt.want == "") || errors.Is(err, ErrSecretUnusable) {
					t.Errorf("%q, %v", got, err)
				}
			}
		})
	}
}

// quote writes JSON as a person would: nothing but quotes and control characters is escaped.
func quote(s string) string {
	return `"` + strings.NewReplacer(`"`, `\"`, "\n", `\n`, "\r", `\r`, "\t", `\t`, "\x00", `\u0000`, "\x1b", `\u001b`, "\x7f", `\u007f`).Replace(s) + `"`
}

// What is in the middle may be a mistake of any kind: it is named, with its place in what was pasted.
func TestKeysThatAreNone(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ pasted, want string }{
		{"sk_hus\u200bh", "U+200B ZERO WIDTH SPACE at position 7"},
		{" \ufeffsk_h\u00adush", "U+00AD SOFT HYPHEN at position 7"},
		{"sk_hush\nsk_hush2", "U+000A LINE FEED at position 8"},
		{"sk_hush sk_hush2", "U+0020 SPACE at position 8"},
		{"sk_\u00a0hush", "U+00A0 NO-BREAK SPACE at position 4"},
		{"Bearer sk_h\u202eush", "U+202E RIGHT-TO-LEFT OVERRIDE at position 12"},
		{"sk_hush–2", "U+2013 EN DASH at position 8"},
		{"sk_hush…", "U+2026 HORIZONTAL ELLIPSIS at position 8"},
		{"\u0455k_hush", "U+0455 of the script Cyrillic at position 1"},
		{"sk_hüsh", "U+00FC of the script Latin at position 5"},
		{"sk_hush\x1b[0m", "U+001B ESCAPE at position 8"},
		{"sk_hu\ufeffsh", "U+FEFF ZERO WIDTH NO-BREAK SPACE, a byte order mark at position 6"},
		{"sk_hush🔑", "U+1F511 at position 8"},
		{"wss_hush", "begins with wss_: that is a webhook secret"},
		{`{"apiKey": "sk_hush"}`, ""},
		{"<hush>", `begins with '<'`},
		{"sk_****", "U+002A '*' at position 4"},
		{"sk_hush&x=1", "U+0026 '&' at position 8"},
		{"${EXTEND_API_KEY}", "U+0024 '$' at position 1"},
		{"sk_hush # production", "U+0020 SPACE at position 8"},
		{"wss_1 sk_hush", "U+0020 SPACE at position 6"},
		{"[key](sk_hush)", "begins with '['"},
		{"sk_...", "is a placeholder"},
		{"undefined", "is a placeholder"},
		{"Null", "is a placeholder"},
		{"your-api-key", "is a placeholder"},
		{"sk_your_key", "is a placeholder"},
	} {
		t.Run(fmt.Sprintf("%+q", tt.pasted), func(t *testing.T) {
			t.Parallel()
			v, s := newVault(t, fmt.Sprintf(`{"apiKey": %s, "webhookSecrets": ["wss_5trongEnough4Tests1"]}`, quote(tt.pasted)), nil)
			_, byEnv := newVault(t, `{"apiKey": "sk_1"}`, map[string]string{"EXTEND_API_KEY": tt.pasted})
			for where, s := range map[string]*Secrets{`"apiKey" of ` + secretID: s, "EXTEND_API_KEY": byEnv} {
				key, err := s.APIKey(t.Context())
				if key != "" || !errors.Is(err, ErrSecretUnusable) || errors.Is(err, ErrSecretEmpty) {
					t.Fatalf("%q, %v", key, err)
				}
				if !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), where) || strings.Contains(err.Error(), "hush") || strings.Contains(err.Error(), "ush") {
					t.Error(err)
				}
			}
			wantSecrets(t, s, false, "wss_5trongEnough4Tests1") // the rest is of use

			// It is put right within a minute.
			v.set(`{"apiKey": "sk_1", "webhookSecrets": ["wss_5trongEnough4Tests1"]}`)
			v.advance(time.Minute)
			wantKey(t, s, "sk_1")
		})
	}
}

func TestPastedSecrets(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		secret string
		want   []string // webhook secrets
	}{
		{`{"apiKey":"sk_1","webhookSecrets":["wss_5trongEnough4Tests1"]}`, []string{"wss_5trongEnough4Tests1"}},
		{"\ufeff" + `{"apiKey":"sk_1","webhookSecrets":["wss_5trongEnough4Tests1"]}` + "\r\n", []string{"wss_5trongEnough4Tests1"}},
		{"\u200b\u00a0" + `{"apiKey":"sk_1","webhookSecrets":["wss_5trongEnough4Tests1"]}`, []string{"wss_5trongEnough4Tests1"}},
		{"{\u00a0\"apiKey\":\u00a0\"sk_1\",\u00a0\"webhookSecrets\":\u00a0[\"wss_5trongEnough4Tests1\"]\u00a0}", []string{"wss_5trongEnough4Tests1"}},
		{`{“apiKey”: “sk_1”, “webhookSecrets”: [“wss_5trongEnough4Tests1”]}`, []string{"wss_5trongEnough4Tests1"}},
		{`{'apiKey': 'sk_1', 'webhookSecrets': ['wss_5trongEnough4Tests1']}`, []string{"wss_5trongEnough4Tests1"}},
		{`"{\"apiKey\":\"sk_1\",\"webhookSecrets\":[\"wss_5trongEnough4Tests1\"]}"`, []string{"wss_5trongEnough4Tests1"}},
		{`{"ApiKey ":"sk_1","webhook_secrets":["wss_5trongEnough4Tests1"]}`, []string{"wss_5trongEnough4Tests1"}},
		{`{"EXTEND_API_KEY":"sk_1","EXTEND_WEBHOOK_SECRETS":"wss_5trongEnough4Tests1"}`, []string{"wss_5trongEnough4Tests1"}},
		{`{"\ufeffapiKey":"sk_1","webhookSecret":"wss_5trongEnough4Tests1"}`, []string{"wss_5trongEnough4Tests1"}},
		{`{"API_KEY":"sk_old","apiKey":"sk_1","webhookSecrets":[]}`, nil},
		{`{"apiKey":"","API Key":"sk_1"}`, nil},
		{`{"apiKey":"sk_1","api-key":"sk_old"}`, nil},
		{`{"API Key":"hu sh","apikey":"sk_1"}`, nil},

		// Inside of something else.
		{`{"ARN":"arn:aws:x","Name":"intake","SecretString":"{\"apiKey\":\"sk_1\",\"webhookSecrets\":[\"wss_5trongEnough4Tests1\"]}","VersionStages":["AWSCURRENT"]}`, []string{"wss_5trongEnough4Tests1"}},
		{`{"secret":{"apiKey":"sk_1","webhookSecrets":["wss_5trongEnough4Tests1"]}}`, []string{"wss_5trongEnough4Tests1"}},

		// A text in place of the list.
		{`{"apiKey":"sk_1","webhookSecrets":"[\"wss_5trongEnough4Tests1\"]"}`, []string{"wss_5trongEnough4Tests1"}}, // the console's key/value form
		{`{"apiKey":"sk_1","webhookSecrets":" [\"wss_5trongEnough4Tests1\", \"wss_5trongEnough4Tests2\"]\n"}`, []string{"wss_5trongEnough4Tests1", "wss_5trongEnough4Tests2"}},
		{`{"apiKey":"sk_1","webhookSecrets":"wss_5trongEnough4Tests1"}`, []string{"wss_5trongEnough4Tests1"}},
		{`{"apiKey":"sk_1","webhookSecrets":"wss_5trongEnough4Tests1, wss_5trongEnough4Tests2"}`, []string{"wss_5trongEnough4Tests1", "wss_5trongEnough4Tests2"}},
		{`{"apiKey":"sk_1","webhookSecrets":"wss_5trongEnough4Tests1\nwss_5trongEnough4Tests2\n"}`, []string{"wss_5trongEnough4Tests1", "wss_5trongEnough4Tests2"}},
		{`{"apiKey":"sk_1","webhookSecrets":"'wss_5trongEnough4Tests1';'wss_5trongEnough4Tests2'"}`, []string{"wss_5trongEnough4Tests1", "wss_5trongEnough4Tests2"}},
		{`{"apiKey":"sk_1","webhookSecrets":"wss_5trongEnough4Tests1|wss_5trongEnough4Tests2"}`, []string{"wss_5trongEnough4Tests1", "wss_5trongEnough4Tests2"}},
		{`{"apiKey":"sk_1","webhookSecrets":"['wss_5trongEnough4Tests1', 'wss_5trongEnough4Tests2']"}`, []string{"wss_5trongEnough4Tests1", "wss_5trongEnough4Tests2"}}, // Python's form
		{`{"apiKey":"sk_1","webhookSecrets":"[wss_5trongEnough4Tests1, wss_5trongEnough4Tests2]"}`, []string{"wss_5trongEnough4Tests1", "wss_5trongEnough4Tests2"}},     // YAML's
		{`{"apiKey":"sk_1","webhookSecrets":["wss_5trongEnough4Tests1,wss_5trongEnough4Tests2"]}`, []string{"wss_5trongEnough4Tests1", "wss_5trongEnough4Tests2"}},
		{`{"apiKey":"sk_1","webhookSecrets":["wss_5trongEnough4Tests1'; 'wss_5trongEnough4Tests2\nwss_5trongEnough4Tests3"]}`, []string{"wss_5trongEnough4Tests1", "wss_5trongEnough4Tests2", "wss_5trongEnough4Tests3"}},
		{`{"apiKey":"sk_1","webhookSecrets":[["wss_5trongEnough4Tests1"]]}`, []string{"wss_5trongEnough4Tests1"}},
		{`{"apiKey":"sk_1","webhookSecrets":["WEBHOOK_SECRET=wss_5trongEnough4Tests1","whsec_a/b,c+d9r8GK"]}`, []string{"wss_5trongEnough4Tests1", "whsec_a/b,c+d9r8GK"}},
		{`{"apiKey":"sk_1","webhookSecrets":""}`, nil},
		{`{"apiKey":"sk_1","webhookSecrets":"[]"}`, nil},
		{`{"apiKey":"sk_1","webhookSecrets":null}`, nil},

		{`{"apiKey":"sk_1","webhookSecrets":["\"wss_5trongEnough4Tests1\"","wss_5trongEnough4Tests2\u200b"," wss_5trongEnough4Tests3\n","\ufeffwss_5trongEnough4Tests4"]}`, []string{"wss_5trongEnough4Tests1", "wss_5trongEnough4Tests2", "wss_5trongEnough4Tests3", "wss_5trongEnough4Tests4"}},
		{`{"apiKey":"sk_1","webhookSecrets":["wss_5trongEnough4Tests1","wss_\u200b2","sk_3"]}`, []string{"wss_5trongEnough4Tests1"}}, // the others are said in the log
	} {
		t.Run(fmt.Sprintf("%+q", tt.secret), func(t *testing.T) {
			t.Parallel()
			_, s := newVault(t, tt.secret, nil)
			wantKey(t, s, "sk_1")
			got, err := s.WebhookSecrets(t.Context(), false)
			if !slices.Equal(got, tt.want) || errors.Is(err, ErrSecretEmpty) != (tt.want == nil) {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

func TestWebhookSecretsThatAreNone(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ given, want string }{
		{`["wss_hu\u200bsh"]`, "webhook secret 1 holds U+200B ZERO WIDTH SPACE at position 7"},
		{`["", "wss_h\u00fcsh"]`, "webhook secret 2 holds U+00FC of the script Latin at position 6"},
		{`["sk_hush"]`, "begins with sk_: that is an API key"},
		{`"wss_hu\u2011sh"`, "U+2011 NON-BREAKING HYPHEN"},
	} {
		_, s := newVault(t, `{"apiKey": "sk_1", "webhookSecrets": `+tt.given+`}`, nil)
		for _, again := range []bool{false, true} {
			got, err := s.WebhookSecrets(t.Context(), again)
			if got != nil || !errors.Is(err, ErrSecretUnusable) || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), `"webhookSecrets" of `+secretID) || strings.Contains(err.Error(), "sh\"") {
				t.Errorf("%s: %q, %v", tt.given, got, err)
			}
		}
		wantKey(t, s, "sk_1")
	}
	_, s := newVault(t, `{}`, map[string]string{"EXTEND_WEBHOOK_SECRETS": "wss_hu\u200bsh"})
	if _, err := s.WebhookSecrets(t.Context(), false); !errors.Is(err, ErrSecretUnusable) || !strings.Contains(err.Error(), "EXTEND_WEBHOOK_SECRETS") || !strings.Contains(err.Error(), "U+200B") {
		t.Error(err)
	}
	_, s = newVault(t, `{}`, map[string]string{"EXTEND_WEBHOOK_SECRETS": `["wss_5trongEnough4Tests1","Bearer wss_5trongEnough4Tests2"]`})
	wantSecrets(t, s, false, "wss_5trongEnough4Tests1", "wss_5trongEnough4Tests2")
}

// A secret that others can guess is none: they could sign deliveries.
func TestGuessableWebhookSecrets(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"wss_…": "U+2026", "wss_": "placeholder", "wss_old": "placeholder", "x": "placeholder", "wss_...": "placeholder", "wss_local": "placeholder",
		"wss_seven77": "fewer than 8", "wss_abcdefghijklmnöp": "U+00F6",
		"wss_sample_for_events": "samples", "wss_8fKq2LxVnB7rTzYw4HsJd6McPe1uGa9o": "samples",
		"wss_your_signing_secret": "placeholder", "YOUR-WEBHOOK-SECRET": "placeholder", "wss_Paste-The-Secret-Here": "placeholder",
		"wss_xxxxxxxxxxxxxxxxxxxxxxxx": "placeholder", "wss_1234123412341234123412341": "placeholder", "wss_0000000000000000": "placeholder",
	} {
		_, s := newVault(t, fmt.Sprintf(`{"apiKey": "sk_1", "webhookSecrets": [%q]}`, given), nil)
		_, byEnv := newVault(t, `{}`, map[string]string{"EXTEND_WEBHOOK_SECRETS": given})
		for _, s := range []*Secrets{s, byEnv} {
			got, err := s.WebhookSecrets(t.Context(), false)
			if got != nil || !errors.Is(err, ErrSecretUnusable) || !strings.Contains(err.Error(), want) || len(given) > 8 && strings.Contains(err.Error(), given) {
				t.Errorf("%s: %q, %v", given, got, err)
			}
		}
	}
	for _, good := range []string{"wss_c8Tq1nVb5XrK2mZd", "c8tq1nvb5xrk2mzd", "wss_qjzkwvxmplrtbghd", "wss_7b7f0d3f4e0a1c9b", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"} {
		_, s := newVault(t, fmt.Sprintf(`{"webhookSecrets": ["wss_old", %q]}`, good), nil)
		wantSecrets(t, s, false, good)
	}
}

// A secret with members, none of which is ours, is no empty one: somebody has filled it in.
func TestSecretOfOtherMembers(t *testing.T) {
	t.Parallel()
	for _, secret := range []string{`{"apiToken":"sk_hush"}`, `{"sk_hush":""}`, `{"username":"a","password":"sk_hush"}`, `{"a":{"apiKey":"sk_hush"},"b":{"apiKey":"sk_hush2"}}`, `{"a":{"a":{"a":{"a":{"apiKey":"sk_hush"}}}}}`} {
		_, s := newVault(t, secret, nil)
		if _, err := s.APIKey(t.Context()); !errors.Is(err, ErrSecretUnusable) || errors.Is(err, ErrSecretEmpty) || !strings.Contains(err.Error(), "none of these names") || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: %v", secret, err)
		}
	}
}

// JSON that is none, over a character that cannot be seen in it.
func TestMalformedSecretNamesTheCharacter(t *testing.T) {
	t.Parallel()
	for secret, want := range map[string]string{
		"{\"apiKey\": \"sk_hush\n\"}":               "U+000A LINE FEED at position 20",
		"{\"apiKey\": “sk_hush\", \"x\": “sk_hush”": "U+201C LEFT DOUBLE QUOTATION MARK at position 12",
		"sk_hush": "",
	} {
		_, s := newVault(t, secret, nil)
		if _, err := s.APIKey(t.Context()); !errors.Is(err, ErrSecretUnusable) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%q: %v", secret, err)
		}
	}
}

// FuzzSecret holds that a key is a header's value, and that no error shows a part of the secret.
func FuzzSecret(f *testing.F) {
	for _, s := range []string{"sk_hushhush", "Bearer sk_hushhush", "\u200b\"sk_hushhush\u2028", "{\"apiKey\":\"sk_hushhush\"}", "sk_hush\nhush", "Authorization:", "\xff", "Bearer Bearer \"", "export"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, pasted string) {
		key, err := apiKey(pasted)
		if strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }) || key != "" && !strings.Contains(pasted, key) || key != "" && err != nil {
			t.Fatalf("%q is %q, %v", pasted, key, err)
		}
		if err != nil && !utf8.ValidString(err.Error()) {
			t.Fatalf("%q: %q", pasted, err)
		}
		for _, text := range []string{pasted, quote(pasted), `{"apiKey": ` + quote(pasted) + `, "webhookSecrets": ` + quote(pasted) + `}`} {
			_, err := parseSecret(text)
			if err != nil && strings.Contains(pasted, "hushhush") && strings.Contains(err.Error(), "hushhush") {
				t.Fatalf("%q: %v", text, err)
			}
		}
	})
}
