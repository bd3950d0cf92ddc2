// Package clean makes the texts of strangers fit to be logged, stored and announced: one line of printable characters, of a
// bounded length, without credentials.
//
//	reason := clean.Text(message, 200) // "could not fetch https://b.s3.amazonaws.com/in/a.pdf?…"
//
// # What counts as a credential
//
// A presigned link is as good as the file behind it, and error texts of HTTP libraries quote links: whole or as path and
// query, percent-encoded once or more often, inside JSON, HTML, or a table of headers. What is secret in them is told by its
// name, in whatever way the name and the text around it are written, and what follows the name is cut:
//
//   - every X-Amz-… parameter or header, and those of other clouds (X-Goog-…, X-Ms-…, sig)
//   - AWSAccessKeyId, Signature and Expires of the older kind of link, Credential, tokens, passwords, API keys
//   - Authorization headers, and "Bearer" with what follows it
//   - the query of every URL, and a user and password in one
//   - what shows by itself that it is a key: sk_…, wss_…, AKIA…, a JSON web token, base64 of a link
//
// Behind the name of a signature, a security token or a credential, everything that has a digit and six characters is cut,
// however it is written; so is what follows a word such as "token" and has letters and digits.
//
// A text that is cut too short does little harm, so that what is in doubt is cut.
package clean

import (
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxScanned bounds the work on one text, in bytes: what comes after is dropped, as it would be for its length.
const maxScanned = 32 << 10

// Text returns s on one line, without credentials, control characters, and characters that nobody sees or that turn the
// direction of writing. What is cut is replaced by an ellipsis, and so is what goes beyond max bytes. The result is valid
// UTF-8, and s itself where there is nothing to clean.
func Text(s string, max int) string { return shorten(cut(printable(s), true), max) }

// Link is [Text] for a URL that people are to open: an absolute http or https URL keeps its query, unless there is a
// credential in it.
func Link(s string, max int) string {
	if u, err := url.Parse(s); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return Text(s, max)
	}
	s = printable(s)
	if cut(s, false) != s {
		s = cut(s, true)
	}
	return shorten(s, max)
}

// printable puts s on one line. A joiner (U+200C, U+200D) stays: some scripts cannot be written without.
func printable(s string) string {
	s = strings.ToValidUTF8(s[:min(len(s), maxScanned)], "\uFFFD")
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsControl(r) || unicode.In(r, unicode.Zl, unicode.Zp):
			return ' '
		case r == '\u200c' || r == '\u200d':
			return r
		case unicode.Is(unicode.Cf, r), r&0xfffe == 0xfffe, 0xfdd0 <= r && r <= 0xfdef: // the latter are no characters
			return -1
		}
		return r
	}, s)
	return strings.Join(strings.Fields(s), " ")
}

const ellipsis = "…"

func shorten(s string, max int) string {
	if len(s) <= max {
		return s
	}
	for max > 0 && !utf8.RuneStart(s[max]) {
		max--
	}
	return s[:max] + ellipsis
}
