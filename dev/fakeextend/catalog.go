package fakeextend

import (
	"encoding/binary"
	"fmt"
	"html"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
)

// The catalogs of this file list examples of one kind each, taken from public
// reports of other people's software, for tests to range over and for a
// simulation to pick from. They may grow.

// ForeignAnswers lists answers with an error status, or with a redirect, that
// routers, gateways, proxies and firewalls give before a request has reached the
// API. None has the shape of the API's own errors.
func ForeignAnswers() []Answer {
	const (
		plain = "text/plain; charset=utf-8"
		page  = "text/html; charset=utf-8"
		json  = "application/json"
	)
	title := func(text string) string {
		return "<html>\r\n<head><title>" + text + "</title></head>\r\n<body><center><h1>" + text + "</h1></center></body>\r\n</html>\r\n"
	}
	header := func(name, value string) http.Header { return http.Header{name: {value}} }
	return []Answer{
		{"redirect to the same place", 307, page, title("307 Temporary Redirect"), header("Location", "#")},
		{"redirect to nowhere", 302, page, title("302 Found"), nil},
		{"empty 400", 400, "", "", nil},
		{"400 of a proxy", 400, page, title("400 Bad Request"), nil},
		{"401 of a proxy", 401, page, title("401 Authorization Required"), header("Www-Authenticate", `Basic realm="staging"`)},
		{"402 of a host", 402, plain, "Payment required\n\nDEPLOYMENT_DISABLED\n", nil},
		{"403 of a firewall", 403, page, blockedPage, nil},
		{"403 of a gateway", 403, json, `{"message":"Forbidden"}`, nil},
		{"404 of a default backend", 404, plain, "default backend - 404", nil},
		{"404 of a router", 404, plain, "404 page not found\n", nil},
		{"404 of a gateway", 404, json, `{"message":"Not Found"}`, nil},
		{"405 of a maintenance page", 405, page, "<h1>Down for maintenance</h1>", nil},
		{"407 of a proxy", 407, page, title("Proxy Authentication Required"), header("Proxy-Authenticate", "Basic")},
		{"empty 408", 408, "", "", nil},
		{"410 of a host", 410, page, title("410 Gone"), nil},
		{"411 of a proxy", 411, page, title("411 Length Required"), nil},
		{"413 of a proxy", 413, page, title("413 Request Entity Too Large"), nil},
		{"414 of a proxy", 414, page, title("414 Request-URI Too Large"), nil},
		{"415 of a gateway", 415, json, `{"message":"Unsupported Media Type"}`, nil},
		{"421 of a proxy", 421, plain, "Misdirected Request", nil},
		{"422 of a gateway", 422, json, `{"errors":["unprocessable"]}`, nil},
		{"425 of a proxy", 425, "", "", nil},
		{"429 of a firewall", 429, page, title("Error 1015: You are being rate limited"), nil},
		{"431 of a proxy", 431, page, title("400 Request Header Or Cookie Too Large"), nil},
		{"451 of a firewall", 451, page, "<h1>Blocked by policy</h1>", nil},
		{"empty 499", 499, "", "", nil},
		{"500 of a proxy", 500, page, title("500 Internal Server Error"), nil},
		{"502 of a proxy", 502, page, title("502 Bad Gateway"), nil},
		{"502 of a gateway", 502, json, `{"message": "Internal server error"}`, nil},
		{"503 of a load balancer", 503, page, title("503 Service Temporarily Unavailable"), nil},
		{"empty 503", 503, "", "", nil},
		{"504 of a gateway", 504, json, `{"message": "Endpoint request timed out"}`, nil},
		{"520 of a network", 520, page, title("520: Web server is returning an unknown error"), nil},
		{"530 of a network", 530, plain, "error code: 1033", nil},
	}
}

// AnswersWithoutRun lists answers with a status of success that hold neither a
// run nor a list.
func AnswersWithoutRun() []Answer {
	const json = "application/json"
	return []Answer{
		{"200 with HTML", 200, "text/html", "<html><body>Sign in to the network</body></html>", nil},
		{"200 with text", 200, "text/plain", "OK", nil},
		{"empty 200", 200, json, "", nil},
		{"empty 202", 202, "", "", nil},
		{"empty 204", 204, "", "", nil},
		{"200 with a plain no", 200, json, `{"success":false,"error":"Unsupported file type: .heics"}`, nil},
		{"200 with a structured no", 200, json, `{"code":"INVALID_REQUEST","message":"Unsupported file type: .heics","requestId":"req_1","retryable":false}`, nil},
		{"200 with a nested no", 200, json, `{"error":{"code":"INTERNAL_ERROR","message":"Something went wrong","requestId":"req_1","retryable":true}}`, nil},
		{"200 with success only", 200, json, `{"success":true}`, nil},
		{"200 with null members", 200, json, `{"success":true,"processorRun":null,"processorRuns":null}`, nil},
		{"200 with members of other types", 200, json, `{"success":true,"processorRun":"dpr_1","processorRuns":{}}`, nil},
		{"200 with an empty run", 200, json, `{"success":true,"processorRun":{},"processorRuns":[{}]}`, nil},
		{"200 with an empty object", 200, json, `{}`, nil},
		{"200 with a list", 200, json, `[]`, nil},
		{"200 with null", 200, json, `null`, nil},
	}
}

// UnreadableRuns lists changes of a run that leave no JSON, or none that common
// parsers take, in its output.
func UnreadableRuns() []Change {
	in := func(name, value string) Change {
		c := Within("output", Set("logprobsConfidence", value))
		c.Name = name
		return c
	}
	return []Change{
		in("NaN", "NaN"),
		in("Infinity", "Infinity"),
		in("-Infinity", "-Infinity"),
		in("10,001 levels", strings.Repeat("[", 10_000)+strings.Repeat("]", 10_000)), // the run itself is one more
		in("no value", ""),
		in("a word", "undefined"),
		in("a number with a zero in front", "007"),
		in("a text with a line break", "\"a\nb\""),
		in("a text with quotes of its own", `'a'`),
		in("a comma too many", `[1,]`),
	}
}

// UnreadableBodies lists changes of a whole body that leave no JSON, or not the
// JSON that was expected.
func UnreadableBodies() []Change {
	return []Change{
		{"cut in the middle", func(text []byte) []byte { return slices.Clone(text[:len(text)/2]) }},
		{"cut by a byte", func(text []byte) []byte { return slices.Clone(text[:max(0, len(text)-1)]) }},
		{"nothing", func([]byte) []byte { return nil }},
		{"a byte order mark", func(text []byte) []byte { return append([]byte("\ufeff"), text...) }},
		{"UTF-16", func(text []byte) []byte {
			out := []byte{0xff, 0xfe}
			for _, unit := range utf16.Encode([]rune(string(text))) {
				out = binary.LittleEndian.AppendUint16(out, unit)
			}
			return out
		}},
		{"twice", func(text []byte) []byte { return slices.Concat(text, text) }},
		{"a line behind it", func(text []byte) []byte { return append(slices.Clone(text), "\n<!-- 12 ms -->"...) }},
		{"a guard before it", func(text []byte) []byte { return append([]byte(")]}',\n"), text...) }},
		{"in a list", func(text []byte) []byte { return list([][]byte{text}) }},
		{"in a text", func(text []byte) []byte { return quote(string(text)) }},
		{"a bare run", func(text []byte) []byte {
			if run, ok := rawMember(text, "processorRun"); ok {
				return run
			}
			return text
		}},
		Replace("<html><body>502</body></html>"),
	}
}

// oddMembers are the members of runs, in answers, lists and deliveries, that
// decide nothing, each with its documented JSON type: s, b, o, a.
const oddMembers = "object s, processorId s, processorVersionId s, processorName s, initialOutput o, reviewedOutput o, failureReason s, " +
	"failureMessage s, reviewed b, edited b, edits o, type s, config o, files a, mergedProcessors a, url s, usage o, createdAt s, updatedAt s"

// TypeDrifts lists changes of a run that give one of its members another JSON
// type, each member in turn and each type in turn. The id, the status, the output
// and the metadata stay as they are.
func TypeDrifts() []Change {
	values := map[string]string{"s": `"text"`, "b": `true`, "o": `{"by": {"id": 1}}`, "a": `["page 1", 2, null]`, "n": `21.5`}
	var changes []Change
	for entry := range strings.SplitSeq(oddMembers, ", ") {
		name, own, _ := strings.Cut(entry, " ")
		for _, kind := range []string{"s", "b", "o", "a", "n"} {
			if kind != own {
				changes = append(changes, Set(name, values[kind]))
			}
		}
		changes = append(changes, Set(name, "null"), Drop(name))
	}
	return append(changes, Within("usage", Set("credits", `"1.50"`)), Within("usage", Set("credits", `{"amount": 1}`)), Within("usage", Set("credits", `1e400`)))
}

// EnvelopeDrifts lists changes of a delivery's body that concern neither its
// type nor its payload. They belong in [DeliveryFault].ChangeBody.
func EnvelopeDrifts() []Change {
	return []Change{
		Set("eventId", "88123"), Set("eventId", "null"), Set("eventId", `{"id":"event_1"}`), Set("eventId", `""`), Drop("eventId"),
		Set("data", `{"id":"dpr_other"}`), Set("version", "2"),
	}
}

// TagEchoes lists changes of a run that bring its metadata back in another
// spelling than it was sent in, or with more or less in it.
func TagEchoes() []Change {
	metadata := func(name string, c Change) Change {
		c = Within("metadata", c)
		c.Name = name
		return c
	}
	named := func(name string, c Change) Change {
		c.Name = name
		return c
	}
	return []Change{
		metadata("numbers went through a float", RespellAll(AsFloat)),
		metadata("numbers have an exponent", RespellAll(func(value string) string {
			if AsFloat(value) == value {
				return value
			}
			return value + "e0"
		})),
		metadata("all values are texts", RespellAll(AsText)),
		metadata("the attempt is null", Set("attempt", "null")),
		metadata("the attempt is left out", Drop("attempt")),
		metadata("the attempt is a list", Respell("attempt", func(value string) string { return "[" + value + "]" })),
		metadata("texts in form NFD", Change{Apply: func(text []byte) []byte { return []byte(Decomposed(string(text))) }}),
		metadata("texts in form NFC", Change{Apply: func(text []byte) []byte { return []byte(Composed(string(text))) }}),
		metadata("texts end with a space", RespellAll(func(value string) string {
			if strings.HasPrefix(value, `"`) {
				return strings.TrimSuffix(value, `"`) + ` "`
			}
			return value
		})),
		metadata("usage tags as one text", Respell(usageTags, func(value string) string {
			return `"` + strings.NewReplacer("[", "", "]", "", `"`, "", " ", "").Replace(value) + `"` // cleaned tags hold none of these
		})),
		metadata("more members", All(Set("workspace", `{"id":"ws_1"}`), Set("extend:source", `"api"`), Set("null", "null"))),
		metadata("only the attempt is left", Change{Apply: func(text []byte) []byte {
			attempt, ok := rawMember(text, "attempt")
			if !ok {
				attempt = null
			}
			var o object
			return o.raw("attempt", attempt).bytes()
		}}),
		named("metadata as one text", Respell("metadata", AsText)),
		named("metadata as a list of pairs", Respell("metadata", func(value string) string {
			found, _, _ := scanObject([]byte(value))
			var pairs [][]byte
			for _, m := range found {
				var o object
				pairs = append(pairs, o.text("key", m.name).raw("value", m.value([]byte(value))).bytes())
			}
			return string(list(pairs))
		})),
		named("metadata within metadata", Respell("metadata", func(value string) string { return `{"metadata":` + value + `}` })),
		metadata("each value in a list", RespellAll(func(value string) string { return "[" + value + "]" })),
		Set("metadata", "null"),
		Set("metadata", "{}"),
		Set("metadata", "[]"),
		Drop("metadata"),
	}
}

// RetryAfters lists spellings of a Retry-After header that have been seen or
// are likely, from right ones to absurd ones, at this time.
func RetryAfters(now time.Time) []string {
	seconds := now.Unix()
	soon := now.Add(90 * time.Second).UTC()
	return []string{
		"0", "1", "7", "60", " 7 ", "007", "120",
		"30000", "60000", "86400", "9999999999", "18446744073709551616", // milliseconds, a day, too much
		strconv.FormatInt(seconds+30, 10), strconv.FormatInt((seconds+30)*1000, 10), // the time itself
		soon.Format(http.TimeFormat), soon.Format(time.RFC850), soon.Format(time.ANSIC), soon.Format(time.RFC1123Z), soon.Format(time.RFC3339),
		now.Add(-time.Hour).UTC().Format(http.TimeFormat), now.Add(365 * 24 * time.Hour).UTC().Format(http.TimeFormat),
		"Fri, 31 Dec 9999 23:59:59 GMT",
		"30s", "30 s", "30 seconds", "PT30S", "00:00:30", "7, 30", "7,7", "7;30", "1.5", "1e3", "0x10", "-1", "+7", "NaN", "null", "soon",
	}
}

// LinkTexts lists error texts that carry a link, in the spellings in which HTTP
// libraries, logs and people write one: not only as a URL.
func LinkTexts(link string) []string {
	u, err := url.Parse(link)
	if err != nil {
		return []string{link}
	}
	target := u.RequestURI()
	bucket, _, _ := strings.Cut(u.Host, ".")
	escaped := url.QueryEscape(link)
	query := u.Query()
	texts := []string{
		"could not fetch " + link,
		"<" + link + ">",
		`Get "` + link + `": context deadline exceeded`,
		"see " + link + ", " + link + ".",
		"HTTPSConnectionPool(host='" + u.Host + "', port=443): Max retries exceeded with url: " + target + " (Caused by ConnectTimeoutError)",
		"GET " + target + " returned 403",
		"bad file: " + strings.ToUpper(u.Scheme) + strings.TrimPrefix(link, u.Scheme),
		"bad file: " + escaped,
		"bad file: " + url.QueryEscape(escaped),
		"bad file: " + strings.ToLower(escaped[:strings.Index(escaped, "%3F")+1]) + escaped[strings.Index(escaped, "%3F")+1:],
		"s3://" + bucket + target,
		"//" + u.Host + target,
		u.Host + target,
		"?" + u.RawQuery,
		u.RawQuery,
		html.EscapeString(link),
		strings.NewReplacer("&", `\u0026`, "=", `\u003d`).Replace(link),
		strings.ReplaceAll(link, "/", `\/`),
		strings.NewReplacer("&", "&#38;", "=", "&#x3D;").Replace(link),
		strings.ReplaceAll(link, "X-Amz-", "x-amz-"),
		strings.ReplaceAll(link, "&", "\n  &"),
		strings.ReplaceAll(link, "&", " & "),
	}
	named := func(format, between string) string {
		var parts []string
		for _, name := range slices.Sorted(maps.Keys(query)) {
			parts = append(parts, fmt.Sprintf(format, name, query.Get(name)))
		}
		return strings.Join(parts, between)
	}
	texts = append(texts,
		"request failed: {"+named("'%s': '%s'", ", ")+"}",
		"request failed: {"+named("%q:%q", ",")+"}",
		"request failed: "+named("%s: %s", "\n"),
		"request failed: "+named("%s = %s", "; "),
		"request failed: map["+named("%s:[%s]", " ")+"]",
	)
	if credential, signature := query.Get("X-Amz-Credential"), query.Get("X-Amz-Signature"); signature != "" {
		texts = append(texts, "Authorization: AWS4-HMAC-SHA256 Credential="+credential+", SignedHeaders=host, Signature="+signature)
	}
	return texts
}

// LinkSecrets lists the parts of a presigned link that must not be found in any
// log, record or event, whatever spelling surrounds them: the access key's id,
// the signature, and a stretch of the session token.
func LinkSecrets(link string) []string {
	u, err := url.Parse(link)
	if err != nil {
		return nil
	}
	query := u.Query()
	id, _, _ := strings.Cut(query.Get("X-Amz-Credential"), "/")
	stretch := ""
	for part := range strings.FieldsFuncSeq(query.Get("X-Amz-Security-Token"), func(r rune) bool { return strings.ContainsRune("+/=", r) }) {
		if len(part) > len(stretch) {
			stretch = part
		}
	}
	return slices.DeleteFunc([]string{id, query.Get("X-Amz-Signature"), stretch}, func(s string) bool { return s == "" })
}

// Pings lists what test buttons send to a webhook endpoint, for [Server.Send].
func Pings() []string {
	return []string{
		`{"eventType":"webhook.test"}`,
		`{"eventId":"event_1","eventType":"webhook.test"}`,
		`{"eventId":"event_1","eventType":"webhook.ping","payload":null}`,
		`{"eventId":"event_1","eventType":"webhook.test","payload":{}}`,
		`{"eventId":"event_1","eventType":"webhook.test","payload":"Hello"}`,
		`{"eventId":"event_1","eventType":"webhook.test","payload":[]}`,
		`{"eventId":"event_1","eventType":"webhook.test","payload":{"object":"document_processor_run","id":"dpr_test","status":"PROCESSED","output":{}}}`,
		`{"eventId":1,"eventType":"webhook.test","data":{"message":"This is a test"}}`,
		`{}`,
	}
}
