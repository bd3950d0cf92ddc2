package boot

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
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
func parseSecret(text string) (reading, error) { return parseWrapped(text, maxWraps) }

// maxWraps is how often a secret may be in another object: `aws secretsmanager
// get-secret-value` prints it as the text SecretString.
const maxWraps = 3

func parseWrapped(text string, wraps int) (reading, error) {
	members, err := secretMembers(text)
	if err != nil {
		return reading{}, err
	}
	var r reading
	ours, exact := false, false
	for _, name := range slices.Sorted(maps.Keys(members)) {
		raw := members[name]
		switch letters(name) {
		case "apikey", "extendapikey":
			ours = true
			var key string
			if json.Unmarshal(raw, &key) != nil {
				return reading{}, fmt.Errorf("it is not of the form %s: the key is not a text", form)
			}
			key, err := apiKey(key)
			switch {
			case key == "" && err == nil || exact: // not filled in, or another is meant
			case r.APIKey == "" || name == "apiKey":
				r.APIKey, r.keyError, exact = key, err, name == "apiKey"
			}
		case "webhooksecrets", "webhooksecret", "extendwebhooksecrets", "extendwebhooksecret":
			ours = true
			given, err := webhookList(raw)
			if err != nil {
				return reading{}, fmt.Errorf("it is not of the form %s: %w", form, err)
			}
			secrets, err := webhookSecrets(given)
			r.WebhookSecrets = append(r.WebhookSecrets, secrets...)
			r.webhookError = errors.Join(r.webhookError, err)
		}
	}
	if ours || len(members) == 0 {
		return r, nil
	}
	return unwrapSecret(members, wraps)
}

// unwrapSecret reads a secret that is the value of one member of another object.
func unwrapSecret(members map[string]json.RawMessage, wraps int) (reading, error) {
	var found []reading
	for _, raw := range members {
		var inner string
		if json.Unmarshal(raw, &inner) != nil {
			inner = string(raw)
		}
		if wraps == 0 || !strings.HasPrefix(strings.TrimFunc(inner, unseen), "{") {
			continue
		}
		if r, err := parseWrapped(inner, wraps-1); err == nil {
			found = append(found, r)
		}
	}
	if len(found) != 1 { // names are not said: one may be the key
		return reading{}, fmt.Errorf("it is not of the form %s: it has members, but none of these names", form)
	}
	return found[0], nil
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

// webhookList reads the list, or a text in its place. A list within the list counts as
// part of it.
func webhookList(raw json.RawMessage) (list []string, _ error) {
	var elements []json.RawMessage
	var text string
	switch {
	case json.Unmarshal(raw, &elements) == nil:
		for _, element := range elements {
			if json.Unmarshal(element, &text) == nil {
				list = append(list, several(text)...)
				continue
			}
			within, err := webhookList(element)
			if err != nil {
				return nil, err
			}
			list = append(list, within...)
		}
		return list, nil
	case json.Unmarshal(raw, &text) == nil:
		return splitSecrets(text), nil
	}
	return nil, errors.New("the webhook secrets are not a list of texts")
}

// splitSecrets reads a list that is written as a text: as JSON, which is what the key/value
// form of Secrets Manager's console makes of it, as Python and YAML write lists, or separated
// by commas, bars or space.
func splitSecrets(text string) []string {
	text = strings.TrimFunc(text, unseen)
	var list []string
	if json.Unmarshal([]byte(text), &list) == nil {
		return list
	}
	if strings.HasPrefix(text, "[") && strings.HasSuffix(text, "]") || strings.HasPrefix(text, "(") && strings.HasSuffix(text, ")") {
		text = text[1 : len(text)-1]
	}
	return strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(",;|", r) || unicode.IsSpace(r) })
}

// anotherSecret is where one webhook secret ends and the next begins.
var anotherSecret = regexp.MustCompile(`["'\s]*[,;|\n]["'\s]*(?:wss_)`)

// several returns the webhook secrets that were pasted into one element of the list.
func several(text string) []string {
	var list []string
	for m := anotherSecret.FindStringIndex(text); m != nil; m = anotherSecret.FindStringIndex(text) {
		next := m[1] - len("wss_")
		list, text = append(list, text[:m[0]]), text[next:]
	}
	return append(list, text)
}

// noKeys are what programs write in the place of a key that they were not given, and what
// people put there for a while.
var noKeys = regexp.MustCompile(`(?i)^(?:undefined|null|none|nil|nan|true|false|string|secret|(?:api[_-]?)?key|token|test|example|dummy|n/a|sk_?)$`)

func apiKey(pasted string) (string, error) {
	key, err := unwrap(pasted, "sk_")
	switch foreign := strings.IndexFunc(key, notInKey); {
	case err != nil:
	case strings.HasPrefix(key, "wss_"):
		err = errors.New("begins with wss_: that is a webhook secret; an API key begins with sk_")
	case foreign >= 0:
		r := rune(key[foreign])
		position := utf8.RuneCountInString(pasted[:strings.LastIndex(pasted, key)]) + foreign + 1
		err = fmt.Errorf("holds %s at position %d: paste the key itself, and nothing else", character(r), position)
	case noKeys.MatchString(key), placeholders.MatchString(strings.TrimPrefix(key, "sk_")) && !strings.ContainsAny(key, "0123456789"):
		err = errors.New("is a placeholder: paste the key of your Extend workspace")
	}
	if err != nil {
		return "", fmt.Errorf("the API key %w", err)
	}
	return key, nil
}

// notInKey reports whether a character cannot be sent after "Bearer".
// https://www.rfc-editor.org/rfc/rfc6750#section-2.1
func notInKey(r rune) bool {
	return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("-._~+/=", r))
}

// webhookSecrets returns those that can be used, and what is wrong with the others.
func webhookSecrets(pasted []string) (secrets []string, _ error) {
	var errs []error
	for i, p := range pasted {
		secret, err := unwrap(p, "wss_")
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

// escaped are blanks, quotes and line breaks as text, and what closes around a key that
// was copied out of something larger.
var (
	escapedAhead = regexp.MustCompile(`^(?:\\[nrt"']|%(?:0[aAdD9]|2[027]))+`)
	escapedAfter = regexp.MustCompile(`(?:\\[nrt"']?|%(?:0[aAdD9]|2[027])|["'}\])>|.,;\s])+$`)
)

// unwrap returns the secret that was pasted, "" where there is none. A secret of the kind
// that begins with prefix begins there, whatever label is ahead of it. Its error names the
// first character that cannot be part of one.
func unwrap(pasted, prefix string) (string, error) {
	secret := strings.TrimFunc(pasted, around)
	for name := label.FindString(secret); name != ""; name = label.FindString(secret) {
		secret = strings.TrimFunc(secret[len(name):], around)
	}
	secret = strings.TrimFunc(strings.TrimPrefix(secret, escapedAhead.FindString(secret)), around)
	if at := strings.Index(secret, prefix); at > 0 && labels(secret[:at]) {
		secret = secret[at:]
	}
	if strings.HasPrefix(secret, prefix) {
		secret = strings.TrimSuffix(secret, escapedAfter.FindString(secret))
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

// labelEnd is what stands between a label and a key: something else than the letters,
// digits and dashes that a key is made of, or "%20" or "+", which were a blank.
var labelEnd = regexp.MustCompile(`(?:[\s:="'*$>]|%(?:20|22|3[aAdD])|\+)$`)

// labels reports whether what is ahead of a key is its label: one line of plain text, with no
// other secret in it, and no bracket, for then it is the rest of something larger.
func labels(ahead string) bool {
	return labelEnd.MatchString(ahead) && !strings.Contains(ahead, "wss_") && !strings.Contains(ahead, "sk_") &&
		!strings.ContainsFunc(ahead, func(r rune) bool { return r != ' ' && (r < ' ' || r > '~') || strings.ContainsRune("{[<(", r) })
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
	if ' ' < r && r <= '~' {
		name = strconv.QuoteRune(r)
	}
	return strings.TrimSpace(fmt.Sprintf("U+%04X %s", r, name))
}
