package clean

import (
	"fmt"
	"html"
	"math/rand/v2"
	"net/url"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// What is secret in these texts is spelled 5ecre7.
func TestCredentialsAreCut(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ text, want string }{
		// As libraries write a link that failed.
		{"could not fetch https://b.s3.test/in/a.pdf?X-Amz-Signature=5ecre7&x=1 (HTTP 403).", "could not fetch https://b.s3.test/in/a.pdf?… (HTTP 403)."},
		{"HTTPSConnectionPool(host='b', port=443): Max retries exceeded with url: /in/a.pdf?X-Amz-Algorithm=5ecre7&X-Amz-Signature=5ecre7 (Caused by X)",
			"HTTPSConnectionPool(host='b', port=443): Max retries exceeded with url: /in/a.pdf?X-Amz-Algorithm=…&X-Amz-Signature=… (Caused by X)"},
		{"GET /in/a.pdf?versionId=v1&X-Amz-Signature=5ecre7 returned 403", "GET /in/a.pdf?versionId=v1&X-Amz-Signature=… returned 403"},
		{"bad file: HTTPS://b.s3.test/in/a.pdf?versionId=v1&X-Amz-Signature=5ecre7", "bad file: HTTPS://b.s3.test/in/a.pdf?…"},
		{"bad file: s3://b/in/a.pdf?X-Amz-Signature=5ecre7", "bad file: s3://b/in/a.pdf?…"},
		{"bad file: https%3A%2F%2Fb.s3.test%2Fin%2Fa.pdf%3FX-Amz-Signature%3D5ecre7", "bad file: https%3A%2F%2Fb.s3.test%2Fin%2Fa.pdf%3F…"},
		{"bad file: %2Fin%2Fa.pdf%3FX-Amz-Signature%3D5ecre7%26x%3D1 (403)", "bad file: %2Fin%2Fa.pdf%3FX-Amz-Signature%3D…%26x%3D1 (403)"},
		{"/a?X-Amz-Signature%253D5ecre7%2526x%253D1", "/a?X-Amz-Signature%253D…%2526x%253D1"},
		{"/a?X-Amz-Signature%2525253D5ecre7", "/a?X-Amz-Signature%2525253D…"},
		{"/a?X%2DAmz%2dSignature=5ecre7", "/a?X%2DAmz%2dSignature=…"},
		{"/a?%58-%41mz-Signature=5ecre7", "/a?%58-%41mz-Signature=…"},
		{"/a?x-amz-security-token=5ecre7%2F5ecre7%3D%3D&x=1", "/a?x-amz-security-token=…&x=1"},
		{"/a?X-Amz-Security-Token=5ecre7/+=5ecre7", "/a?X-Amz-Security-Token=…"},
		{"/a?AWSAccessKeyId=5ecre7&Signature=5ecre7%3D&Expires=1767225600", "/a?AWSAccessKeyId=…&Signature=…&Expires=…"},
		{"/a?GoogleAccessId=5ecre7&X-Goog-Signature=5ecre7", "/a?GoogleAccessId=…&X-Goog-Signature=…"},
		{"/a?sv=2022&sig=5ecre7%3D", "/a?sv=2022&sig=…"},
		{"https://5ecre7:5ecre7@proxy.test:8080/ refused", "https://…@proxy.test:8080/ refused"},

		// Inside JSON, HTML and XML.
		{`{"url":"\/a?X-Amz-Date=5ecre7\u0026X-Amz-Signature\u003d5ecre7","code":1}`, `{"url":"\/a?X-Amz-Date=…\u0026X-Amz-Signature\u003d…","code":1}`},
		{`{\"url\":\"/a?X-Amz-Signature=5ecre7\",\"code\":1}`, `{\"url\":\"/a?X-Amz-Signature=…\",\"code\":1}`},
		{`"\\u0026X-Amz-Signature=5ecre7"`, `"\\u0026X-Amz-Signature=…"`},
		{`<a href="/a?x=1&amp;X-Amz-Signature&#61;5ecre7&amp;y=2">`, `<a href="/a?x=1&amp;X-Amz-Signature&#61;…&amp;y=2">`},
		{"<AWSAccessKeyId>5ecre7</AWSAccessKeyId><SignatureProvided>5ecre7</SignatureProvided><Code>X</Code>", "<AWSAccessKeyId>…</AWSAccessKeyId><SignatureProvided>…</SignatureProvided><Code>X</Code>"},
		{`<input name="X-Amz-Signature" value="5ecre7"/>`, `<input name="X-Amz-Signature" value="…"/>`},

		// As headers, and as the maps and lists of languages.
		{"Authorization: Bearer 5ecre7", "Authorization: …"},
		{"Authorization: AWS4-HMAC-SHA256 Credential=5ecre7/20260714/eu/s3/aws4_request, SignedHeaders=host, Signature=5ecre7 rejected", "Authorization: … rejected"},
		{"authorization: AWS 5ecre7:5ecre7 is too old", "authorization: … is too old"},
		{`{"Authorization":"Bearer 5ecre7","Accept":"*/*"}`, `{"Authorization":"…","Accept":"*/*"}`},
		{"map[Authorization:[Bearer 5ecre7] Accept:[*/*]]", "map[Authorization:[… Accept:[*/*]]"},
		{"proxy-authorization=Basic 5ecre7", "proxy-authorization=…"},
		{"sent Bearer 5ecre7_5ecre7 to it", "sent Bearer … to it"},
		{"x-amz-security-token: 5ecre7\r\nhost: b", "x-amz-security-token: … host: b"},
		{"{'X-Amz-Signature': '5ecre7', 'x': 1}", "{'X-Amz-Signature': '…', 'x': 1}"},
		{"[(b'x-amz-security-token', b'5ecre7')]", "[(b'x-amz-security-token', b'…')]"},
		{`{"X-Amz-Signature"=>"5ecre7"}`, `{"X-Amz-Signature"=>"…"}`},
		{`[{"name":"x-amz-security-token","value":"5ecre7"}]`, `[{"name":"x-amz-security-token","value":"…"}]`},
		{"HTTP_X_AMZ_SECURITY_TOKEN=5ecre7", "HTTP_X_AMZ_SECURITY_TOKEN=…"},
		{`{"sessionToken":"5ecre7","secretAccessKey":"5ecre7"}`, `{"sessionToken":"…","secretAccessKey":"…"}`},

		// With what nobody sees, and with letters that look alike.
		{"X-Amz-\u200bSignature\u2060=5ecre7", "X-Amz-Signature=…"},
		{"X-Amz-\u200dSignature=5ecre7", "X-Amz-\u200dSignature=…"},
		{"X\u2011Amz\u2011Signature=5ecre7", "X\u2011Amz\u2011Signature=…"},
		{"Ｘ－Ａｍｚ－Signature＝5ecre7", "Ｘ－Ａｍｚ－Signature＝…"},

		// In a way that nobody thought of, or wrapped over several lines.
		{"X-Amz-Signature\t5ecre7", "X-Amz-Signature…"},
		{"X-Amz-Credential is 5ecre7/20260714 and wrong", "X-Amz-Credential…"},
		{"X-Amz-Security-Token=IQo1\n5ecre7\n5ecre7aa and so on", "X-Amz-Security-Token=… and so on"},
		{`X-Amz-Security-Token=IQo1\n5ecre7`, "X-Amz-Security-Token=…"},
		{"x-api-key: 5ecre7", "x-api-key: …"},
		{"set-cookie: sid=5ecre7; Path=/", "set-cookie: … Path=/"},
		{"/a?token=5ecre7&secret=5ecre7&pwd=5ecre7&x=1", "/a?token=…&secret=…&pwd=…&x=1"},

		{`[{"Key":"X-Amz-Security-Token","enabled":true,"Value":"5ecre7"}]`, `[{"Key":"X-Amz-Security-Token","…":true,"Value":"…"}]`},
		{`{"value":"5ecre7","name":"X-Amz-Signature"}`, `{"value":"…","name":"X-Amz-Signature"}`},
		{`{"X-Amz-Signature":["none","5ecre7"],"code":1}`, `{"X-Amz-Signature":["…","…"],"code":1}`},
		{`{"X-Amz-Signature":{"value":"5ecre7"}}`, `{"X-Amz-Signature…`},
		{"- X-Amz-Signature: >-\n    5ecre7\n    5ecre75\n- x", "- X-Amz-Signature…"},
		{"X-Amz-Signature | 5ecre7", "X-Amz-Signature…"},
		{`X\055Amz\055Signature\0755ecre7`, `X\055Amz\055Signature\075…`},
		{`X\u{2d}Amz-Signature\u{3d}5ecre7`, `X\u{2d}Amz-Signature\u{3d}…`},
		{"X%u002dAmz%u002dSignature%u003d5ecre7", "X%u002dAmz%u002dSignature%u003d…"},
		{"X-Amz-Signature&#61 5ecre7", "X-Amz-Signature…"},
		{"X-Amz-S\u0456gnature=5ecre7", "X-Amz-S\u0456gnature=…"}, // a Cyrillic letter
		{"Х-Amz-Signatùre=5ecre7", "Х-Amz-Signatùre=…"},
		{"X-Amz-Signa\n ture=5ecre7", "X-Amz-Signa ture=…"},
		{"X-Oss-Signature 5ecre7", "X-Oss-Signature…"},
		{"token aHR0cHM6Ly9iLnMzLnRlc3QvYT9YLUFtei1TaWduYXR1cmU9NWVjcmU3 is not valid", "token … is not valid"}, // a link in base64
		{"bad url xxaHR0cHM6Ly9iLnMzLnRlc3QvYT9YLUFtei1TaWduYXR1cmU9NWVjcmU3", "bad url …"},
		{"signature 5ecre7a", "signature …"},
		{"refreshToken: 5ecre7a", "refreshToken: …"},
		{"API key: 5ecre7a.", "API key: …"},
		{"the signature does not match: 5ecre7a81b9977aa81b9977aa81b9977aa81b9977aa81b9977aa81b9977a", "the signature does not match: …"},
		{"<StringToSign>AWS4\n5ecre7</StringToSign>", "<StringToSign>…</StringToSign>"},
		{"me:5ecre75@proxy.test refused", "me:…@proxy.test refused"},
		{"Basic NWVjcmU3OjVlY3JlNw==", "Basic …"},

		// What shows by itself what it is.
		{"no such key: sk-5ecre75ecre7", "no such key: …"},
		{"push with github_pat_5ecre75ecre7", "push with …"},
		{"no such key: sk_5ecre75ecre7.", "no such key: …."},
		{"signed with wss_5ecre75ecre7", "signed with …"},
		{"key ASIA5ECRE75ECRE7XX has expired", "key … has expired"},
	} {
		got := Text(tt.text, 1000)
		if got != tt.want || strings.Contains(strings.ToLower(got), "5ecre7") {
			t.Errorf("%s\n is %s\nwant %s", tt.text, got, tt.want)
		}
	}
}

func TestOrdinaryTextsStay(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "Processor not found.", "Expected number between 1 and 100; Path: priority", "One of `file` or `rawText` must be provided.",
		"The file is password protected.", "PASSWORD_PROTECTED_FILE", "password: required", "signature: not readable on page 2", "50% of pages > 3 failed & more",
		"authorization failed: check the key", "use Bearer authentication", "Rechnung für Zürich – 12 € (2×)", "می\u200cخواهم", "👩\u200d👧", "X-Amz-Signature is missing",
		"risk_assessment_2026, desk_lamp", "token 12 of 30 could not be parsed", "basic authentication", "the signature on page 12345678", "expires 2026-07-14", "sk-SK, sk_SK.UTF-8",
		"invoice_2026_000123456.pdf", "doc_rqsfnoxsp5sm2uyvtaoicq4ati-1", "info@acme.com", "at 12:30:15", "9b2c1f7a8e6d5c4b3a2918273645546372819aab", "Счёт-фактура № 1234567 за июль", "C:\\055",
		"SGVsbG8gd29ybGQsIGhvdyBhcmUgeW91IHRvZGF5PyAxMjM=", "https://docs.extend.ai/2025-04-21/errors", "asia pacific", "a=b c:d", "C:\\in\\new.pdf", "req_a6TfJm3UyKh0BvRc9XpWs", "100%25", "…",
	} {
		if got := Text(text, 1000); got != text {
			t.Errorf("%q became %q", text, got)
		}
	}
}

func TestOneLineOfPrintableCharacters(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ text, want string }{
		{"  page 1\r\n\tpage\u00a02\x00\x1b[31m\u2028 ", "page 1 page 2 [31m"},
		{"invoice\u202efdp.exe", "invoicefdp.exe"},
		{"\ufeffa\u2066b\u2069\u200e\u00ad", "ab"},
		{"a\ufffe\uffff\U0001fffe\ufdd0b", "ab"},
		{"a\xff\xc3b", "a\ufffdb"},
	} {
		if got := Text(tt.text, 100); got != tt.want {
			t.Errorf("%q became %q, want %q", tt.text, got, tt.want)
		}
	}
}

func TestLength(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		text string
		max  int
		want string
	}{
		{"abcdef", 6, "abcdef"}, {"abcdefg", 6, "abcdef…"}, {"äöüäöü", 5, "äö…"}, {"abc", 0, "…"}, {"", 0, ""},
		{strings.Repeat("x", 300<<10), 10, "xxxxxxxxxx…"},
	} {
		if got := Text(tt.text, tt.max); got != tt.want {
			t.Errorf("%.20q to %d bytes is %q, want %q", tt.text, tt.max, got, tt.want)
		}
	}
}

func TestLink(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ link, want string }{
		{"https://dashboard.extend.ai/runs/dpr_1", "https://dashboard.extend.ai/runs/dpr_1"},
		{"https://dashboard.extend.ai/runs?id=dpr_1&tab=output#page=2", "https://dashboard.extend.ai/runs?id=dpr_1&tab=output#page=2"},
		{"https://b.s3.test/a.pdf?x=1&X-Amz-Signature=5ecre7", "https://b.s3.test/a.pdf?…"},
		{"https://me:5ecre7@dashboard.extend.ai/", "https://…@dashboard.extend.ai/"},
		{"javascript:alert(1)?token=5ecre7", "javascript:alert(1)?token=…"},
		{"ftp://a/b?c=5", "ftp://a/b?…"},
		{"", ""},
	} {
		if got := Link(tt.link, 1000); got != tt.want {
			t.Errorf("%q became %q, want %q", tt.link, got, tt.want)
		}
	}
}

// spell writes a text that holds name and value, in one of the ways in which such texts are written.
func spell(dice *rand.Rand, name, value string) string {
	mixed := strings.Map(func(r rune) rune {
		if dice.IntN(3) == 0 {
			return unicode.ToUpper(r)
		}
		return r
	}, name)
	formats := []string{
		"%s=%s", "/in/a.pdf?versionId=v1&%s=%s", "https://b.s3.test/a?%s=%s&x=1", "S3://b/a?%s=%s", "%s: %s", "map[%s:[%s]]",
		`{"%s":"%s"}`, `{'%s': '%s'}`, `{"%s"=>"%s"}`, "[('%s', '%s')]", `{"name":"%s","value":"%s"}`, "<%[1]s>%[2]s</%[1]s>",
	}
	if gravePattern.MatchString(name) { // of these, whatever way will do
		formats = append(formats, "%s | %s", "%s is %s", "%s: >-\n  %s", "%s\t%s", `{"Key":"%s","enabled":true,"Value":"%s"}`, `{"%s":["none","%s"]}`, `{"%s":{"value":"%s"}}`,
			`{"value":"%[2]s","name":"%[1]s"}`, "%s=none\n%s")
	}
	s := fmt.Sprintf(formats[dice.IntN(len(formats))], mixed, value)
	for range dice.IntN(4) {
		switch dice.IntN(4) {
		case 0:
			s = url.QueryEscape(s)
		case 1:
			s = html.EscapeString(s)
		case 2:
			s = strings.NewReplacer("&", `\u0026`, "=", `\u003d`, `"`, `\"`, "<", `\u003c`, ">", `\u003e`, "/", `\/`).Replace(s)
		case 3: // here and there
			var b strings.Builder
			for _, c := range []byte(s) {
				if dice.IntN(5) == 0 && c != '%' && c != '+' {
					fmt.Fprintf(&b, "%%%02X", c)
				} else if c == '%' {
					b.WriteString("%25")
				} else {
					b.WriteByte(c)
				}
			}
			s = b.String()
		}
	}
	return s
}

// FuzzCredentials spells a credential in some way amid some text: its value must be gone, however it is read.
func FuzzCredentials(f *testing.F) {
	for seed := range uint64(2000) {
		f.Add(seed, "could not fetch ", " (HTTP 403)")
	}
	f.Add(uint64(1), "%", "%25")
	f.Add(uint64(1), "\\", "\xff")
	names := []string{"x-amz-signature", "x-amz-security-token", "x-amz-credential", "x-amz-checksum-sha256", "awsaccesskeyid", "x-goog-signature"}
	f.Fuzz(func(t *testing.T, seed uint64, before, after string) {
		dice := rand.New(rand.NewPCG(seed, 1))
		value := fmt.Sprintf("%016x5ecre7%016X", dice.Uint64(), dice.Uint64())
		got := Text(before+" "+spell(dice, names[dice.IntN(len(names))], value)+" "+after, 4000)
		plain := unescape(got)
		for _, part := range []string{value[:8], value[16:22], value[len(value)-8:]} {
			if strings.Contains(plain.plain, strings.ToLower(part)) && !strings.Contains(unescape(before+after).plain, strings.ToLower(part)) {
				t.Fatalf("%s is in %s", value, got)
			}
		}
	})
}

func FuzzText(f *testing.F) {
	f.Add("could not fetch https://b.s3.test/a.pdf?X-Amz-Signature=5ecre7", uint16(50))
	f.Add("%25%\\u00&#x;&", uint16(5))
	f.Add("Authorization: x, y\u202e\ufffe", uint16(100))
	f.Fuzz(func(t *testing.T, s string, max uint16) {
		for _, got := range []string{Text(s, int(max)), Link(s, int(max))} {
			if !utf8.ValidString(got) || len(got) > int(max)+len(ellipsis) || strings.ContainsFunc(got, func(r rune) bool { return unicode.IsControl(r) || r == '\u202e' || r == '\uffff' }) {
				t.Fatalf("%q became %q", s, got)
			}
		}
	})
}
