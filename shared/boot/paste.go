package boot

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// People paste secrets with what was around them: quotes, a header's name, "Bearer ",
// a line break, characters that nobody sees. What can only mean one thing is
// understood. Of anything else an error names the character and its place, for a
// person who looks at the secret sees nothing wrong. No error shows any of the secret.

// form is what the secret should look like.
const form = `{"apiKey": "…", "webhookSecrets": ["…"]}`

// parseSecret reads the text of the secret. Its error is about the whole; what is wrong
// with a single key is in the result.
func parseSecret(text string) (reading, error) {
	members, err := secretMembers(text)
	if err != nil {
		return reading{}, err
	}
	var r reading
	for _, name := range slices.Sorted(maps.Keys(members)) {
		raw := members[name]
		if string(raw) == "null" {
			continue
		}
		switch letters(name) {
		case "apikey", "extendapikey":
			var key string
			if json.Unmarshal(raw, &key) != nil {
				return reading{}, fmt.Errorf("it is not of the form %s: the key is not a text", form)
			}
			if r.APIKey == "" || name == "apiKey" {
				r.APIKey, r.keyError = apiKey(key)
			}
		case "webhooksecrets", "webhooksecret", "extendwebhooksecrets", "extendwebhooksecret":
			given, err := webhookList(raw)
			if err != nil {
				return reading{}, fmt.Errorf("it is not of the form %s: %w", form, err)
			}
			secrets, err := webhookSecrets(given)
			r.WebhookSecrets = append(r.WebhookSecrets, secrets...)
			r.webhookError = errors.Join(r.webhookError, err)
		}
	}
	return r, nil
}

// secretMembers takes the text apart, also when quotes became typographic ones, or
// spaces such that JSON does not know.
func secretMembers(text string) (map[string]json.RawMessage, error) {
	text = strings.TrimFunc(text, unseen)
	var members map[string]json.RawMessage
	err := json.Unmarshal([]byte(text), &members)
	if err == nil {
		return members, nil
	}
	var inner string // JSON in JSON
	if json.Unmarshal([]byte(text), &inner) == nil && strings.HasPrefix(strings.TrimFunc(inner, unseen), "{") {
		return secretMembers(inner)
	}
	plain := strings.Map(func(r rune) rune {
		switch {
		case strings.ContainsRune("“”„‟«»＂", r):
			return '"'
		case r > 0x7e && unseen(r):
			return ' '
		}
		return r
	}, text)
	if !strings.Contains(plain, `"`) {
		plain = strings.ReplaceAll(plain, "'", `"`)
	}
	if json.Unmarshal([]byte(plain), &members) == nil && members != nil {
		return members, nil
	}
	// The error of encoding/json could quote a part of the secret.
	if e, ok := errors.AsType[*json.SyntaxError](err); ok && 0 < e.Offset && e.Offset <= int64(len(text)) {
		if r, _ := utf8.DecodeRuneInString(text[e.Offset-1:]); r > '~' || r < ' ' {
			return nil, fmt.Errorf("it is not of the form %s: it holds %s at position %d", form, character(r), utf8.RuneCountInString(text[:e.Offset-1])+1)
		}
	}
	return nil, fmt.Errorf("it is not of the form %s", form)
}

// letters is a name without what people write differently.
func letters(name string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) {
			return unicode.ToLower(r)
		}
		return -1
	}, name)
}

// webhookList reads the list, or a text in its place.
func webhookList(raw json.RawMessage) ([]string, error) {
	var list []string
	if json.Unmarshal(raw, &list) == nil {
		return list, nil
	}
	var text string
	if json.Unmarshal(raw, &text) != nil {
		return nil, errors.New("the webhook secrets are not a list of texts")
	}
	return splitSecrets(text), nil
}

// splitSecrets reads a list that is written as a text: as JSON, which is what the key/value
// form of Secrets Manager's console makes of it, or separated by commas or space.
func splitSecrets(text string) []string {
	var list []string
	if json.Unmarshal([]byte(strings.TrimFunc(text, unseen)), &list) == nil {
		return list
	}
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ';' || unicode.IsSpace(r) })
}

func apiKey(pasted string) (string, error) {
	key, err := unwrap(pasted)
	if err == nil && strings.HasPrefix(key, "wss_") {
		err = errors.New("begins with wss_: that is a webhook secret; an API key begins with sk_")
	}
	if err != nil {
		return "", fmt.Errorf("the API key %w", err)
	}
	return key, nil
}

// webhookSecrets returns those that can be used, and what is wrong with the others.
func webhookSecrets(pasted []string) (secrets []string, _ error) {
	var errs []error
	for i, p := range pasted {
		secret, err := unwrap(p)
		if err == nil && strings.HasPrefix(secret, "sk_") {
			err = errors.New("begins with sk_: that is an API key; a webhook secret begins with wss_")
		}
		if err == nil && secret != "" {
			err = guessable(secret)
		}
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("webhook secret %d %w", i+1, err))
		case secret != "":
			secrets = append(secrets, secret)
		}
	}
	return secrets, errors.Join(errs...)
}

// samples are the secrets that this repository contains: everybody knows them.
var samples = []string{"wss_sample_for_events", "wss_8fKq2LxVnB7rTzYw4HsJd6McPe1uGa9o"}

// placeholders begin like this. How long Extend's secrets are is not documented, so that the
// limits below are what nobody could take for a secret.
var placeholders = regexp.MustCompile(`(?i)^(your|change[_-]?me|placeholder|replace|insert|paste|todo|xxx)`)

const (
	shortestSecret   = 8 // after wss_
	fewestCharacters = 5 // that differ, after wss_
)

// guessable says why anybody could sign with a webhook secret: a placeholder that was never
// replaced makes forged deliveries as good as Extend's.
func guessable(secret string) error {
	random := strings.TrimPrefix(secret, "wss_")
	differ := make(map[rune]bool)
	for _, r := range random {
		differ[r] = true
	}
	switch {
	case len(random) < shortestSecret:
		return fmt.Errorf("is a placeholder or cut off: it has fewer than %d characters after wss_. Paste the signing secret that Extend shows for the webhook endpoint", shortestSecret)
	case slices.Contains(samples, secret):
		return errors.New("is that of this software's samples, which everybody knows: paste the signing secret that Extend shows for the webhook endpoint")
	case placeholders.MatchString(random) || len(differ) < fewestCharacters:
		return errors.New("is a placeholder: paste the signing secret that Extend shows for the webhook endpoint")
	}
	return nil
}

// around is what no secret begins or ends with.
func around(r rune) bool {
	return unseen(r) || strings.ContainsRune("\"'`“”„‟‘’‚«»,;", r)
}

// unseen reports whether a character is blank or has no width.
func unseen(r rune) bool {
	return unicode.IsSpace(r) || unicode.IsControl(r) || unicode.In(r, unicode.Z, unicode.Cf, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

// label is what a key is called where it is copied from.
var label = regexp.MustCompile(`(?i)^(?:export[\s\pZ]+)?(?:(?:authorization|(?:extend[_-]?)?(?:api[_-]?key|webhook[_-]?secrets?))["'\s\pZ\p{Cf}]*[:=]|bearer(?:[\s\pZ\p{Cf}:]+|$))`)

// unwrap returns the secret that was pasted, "" where there is none. Its error names the
// first character that cannot be part of one.
func unwrap(pasted string) (string, error) {
	secret := strings.TrimFunc(pasted, around)
	for name := label.FindString(secret); name != ""; name = label.FindString(secret) {
		secret = strings.TrimFunc(secret[len(name):], around)
	}
	offset := utf8.RuneCountInString(pasted[:strings.LastIndex(pasted, secret)])
	position := 0
	for _, r := range secret { // the index counts bytes
		position++
		if r <= ' ' || r > '~' {
			return "", fmt.Errorf("holds %s at position %d: paste it anew, on one line and without that character", character(r), offset+position)
		}
	}
	if secret != "" && strings.ContainsRune("{[<(", rune(secret[0])) {
		return "", fmt.Errorf("begins with %q: paste the key itself, and nothing else", secret[0])
	}
	return secret, nil
}

// characters are the names of those that are pasted by mistake.
// https://www.unicode.org/Public/UNIDATA/NamesList.txt
var characters = map[rune]string{
	0x00: "NULL", 0x09: "CHARACTER TABULATION", 0x0a: "LINE FEED", 0x0b: "LINE TABULATION", 0x0c: "FORM FEED", 0x0d: "CARRIAGE RETURN", 0x1b: "ESCAPE", 0x20: "SPACE",
	0x7f: "DELETE", 0x85: "NEXT LINE", 0xa0: "NO-BREAK SPACE", 0xad: "SOFT HYPHEN", 0x034f: "COMBINING GRAPHEME JOINER", 0x061c: "ARABIC LETTER MARK",
	0x1680: "OGHAM SPACE MARK", 0x180e: "MONGOLIAN VOWEL SEPARATOR", 0x2000: "EN QUAD", 0x2001: "EM QUAD", 0x2002: "EN SPACE", 0x2003: "EM SPACE",
	0x2007: "FIGURE SPACE", 0x2008: "PUNCTUATION SPACE", 0x2009: "THIN SPACE", 0x200a: "HAIR SPACE", 0x200b: "ZERO WIDTH SPACE", 0x200c: "ZERO WIDTH NON-JOINER",
	0x200d: "ZERO WIDTH JOINER", 0x200e: "LEFT-TO-RIGHT MARK", 0x200f: "RIGHT-TO-LEFT MARK", 0x2010: "HYPHEN", 0x2011: "NON-BREAKING HYPHEN", 0x2012: "FIGURE DASH",
	0x2013: "EN DASH", 0x2014: "EM DASH", 0x2018: "LEFT SINGLE QUOTATION MARK", 0x2019: "RIGHT SINGLE QUOTATION MARK", 0x201c: "LEFT DOUBLE QUOTATION MARK",
	0x201d: "RIGHT DOUBLE QUOTATION MARK", 0x201e: "DOUBLE LOW-9 QUOTATION MARK", 0x2022: "BULLET", 0x2026: "HORIZONTAL ELLIPSIS", 0x2028: "LINE SEPARATOR",
	0x2029: "PARAGRAPH SEPARATOR", 0x202a: "LEFT-TO-RIGHT EMBEDDING", 0x202b: "RIGHT-TO-LEFT EMBEDDING", 0x202c: "POP DIRECTIONAL FORMATTING",
	0x202d: "LEFT-TO-RIGHT OVERRIDE", 0x202e: "RIGHT-TO-LEFT OVERRIDE", 0x202f: "NARROW NO-BREAK SPACE", 0x205f: "MEDIUM MATHEMATICAL SPACE", 0x2060: "WORD JOINER",
	0x2066: "LEFT-TO-RIGHT ISOLATE", 0x2067: "RIGHT-TO-LEFT ISOLATE", 0x2068: "FIRST STRONG ISOLATE", 0x2069: "POP DIRECTIONAL ISOLATE", 0x2212: "MINUS SIGN",
	0x3000: "IDEOGRAPHIC SPACE", 0xfeff: "ZERO WIDTH NO-BREAK SPACE, a byte order mark", 0xfffd: "REPLACEMENT CHARACTER, or bytes that are not UTF-8",
}

// character names one, such as "U+200B ZERO WIDTH SPACE".
func character(r rune) string {
	name := characters[r]
	if name == "" {
		for script, table := range unicode.Scripts { // a character is of one
			if unicode.Is(table, r) && script != "Common" && script != "Inherited" {
				name = "of the script " + script
			}
		}
	}
	return strings.TrimSpace(fmt.Sprintf("U+%04X %s", r, name))
}
