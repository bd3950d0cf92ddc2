package simulation

import (
	"bytes"
	"crypto/md5" // #nosec G501 -- an ETag of S3 is one
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"

	"extend-intake/shared/document"
)

// bucket is the upload bucket.
type bucket struct {
	w       *world
	objects map[string]*object // by key, "?" and version; without a version it is the newest
	puts    int
	gets    int
}

type object struct {
	key, version, eTag, sequencer string
	body                          []byte
}

func (b *bucket) name() string { return bucketName(b.w.seed) }

func bucketName(seed uint64) string { return fmt.Sprintf("uploads-%d", seed) }

// put stores an object and returns it.
func (b *bucket) put(key string, body []byte) *object {
	b.w.mu.Lock()
	defer b.w.mu.Unlock()
	b.puts++
	sum := md5.Sum(body) // #nosec G401 -- an ETag of S3 is one
	o := &object{key: key, eTag: hex.EncodeToString(sum[:]), sequencer: fmt.Sprintf("%018X", 0x66000000+b.puts), body: body}
	if b.w.set.versioned {
		sum := sha256.Sum256(fmt.Appendf(nil, "%d/%d", b.w.seed, b.puts))
		o.version = hex.EncodeToString(sum[:])[:32]
	}
	b.objects[key+"?"], b.objects[key+"?"+o.version] = o, o
	return o
}

// source is the object as the product should see it.
func (b *bucket) source(o *object) document.Source {
	return document.Source{Bucket: b.name(), Key: o.key, VersionID: o.version, ETag: o.eTag, Size: int64(len(o.body)), Sequencer: o.sequencer}
}

// record is the object in an S3 event.
func (b *bucket) record(o *object) string {
	version := ""
	if o.version != "" {
		version = fmt.Sprintf(`, "versionId": %q`, o.version)
	}
	key := strings.ReplaceAll(url.QueryEscape(o.key), "%2F", "/")
	return fmt.Sprintf(`{"eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": "eu-central-1", "eventName": "ObjectCreated:Put",
		"s3": {"s3SchemaVersion": "1.0", "bucket": {"name": %q, "arn": "arn:aws:s3:::%s"},
		"object": {"key": %q, "size": %d, "eTag": %q%s, "sequencer": %q}}}`,
		b.name(), b.name(), key, len(o.body), o.eTag, version, o.sequencer)
}

// uploadEvent is the body of a message about some objects: an S3 event, or, for one of
// them, sometimes the event of EventBridge.
func (b *bucket) uploadEvent(bridge bool, objects ...*object) string {
	if o := objects[0]; bridge && len(objects) == 1 {
		version := ""
		if o.version != "" {
			version = fmt.Sprintf(`, "version-id": %q`, o.version)
		}
		key, _ := json.Marshal(o.key)
		return fmt.Sprintf(`{"version": "0", "detail-type": "Object Created", "source": "aws.s3",
			"detail": {"version": "0", "bucket": {"name": %q}, "object": {"key": %s, "size": %d, "etag": %q%s, "sequencer": %q}, "reason": "PutObject"}}`,
			b.name(), key, len(o.body), o.eTag, version, o.sequencer)
	}
	records := make([]string, len(objects))
	for i, o := range objects {
		records[i] = b.record(o)
	}
	return `{"Records": [` + strings.Join(records, ", ") + `]}`
}

// notify sends the upload event of a put: at least once, at some time.
func (b *bucket) notify(n int, body string) {
	w := b.w
	dice := w.dice("upload event", n)
	after := w.latency(dice)
	if w.strike(dice, eventLate) {
		after += between(dice, 0, 5*time.Minute)
	}
	w.later(after, func() { w.queue.send(body) })
	for range 2 {
		if w.strike(dice, eventRepeated) {
			w.later(after+between(dice, 0, 10*time.Minute), func() { w.queue.send(body) })
		}
	}
}

const filesHost = "uploads.test"

// credential is in each link: nobody may see it but Extend.
const credential = "5ecre7"

// link is a URL for one version of an object.
func link(s document.Source) string {
	u := url.URL{Scheme: "https", Host: filesHost, Path: "/" + s.Key}
	query := url.Values{"X-Amz-Signature": {credential}}
	if s.VersionID != "" {
		query.Set("versionId", s.VersionID)
	}
	u.RawQuery = query.Encode()
	return u.String()
}

// quote is a link as error texts have it.
func quote(dice *rand.Rand, link string) string {
	switch dice.IntN(4) {
	case 0:
		link = strings.ToUpper(link[:8]) + link[8:]
	case 1:
		link = strings.TrimPrefix(link, "https://"+filesHost) // as Python's requests has it
	case 2:
		link = url.QueryEscape(link)
	}
	return "could not fetch " + link + " (403)"
}

// delete deletes a version of an object, or the object where there are none.
func (b *bucket) delete(o *object) {
	b.w.mu.Lock()
	defer b.w.mu.Unlock()
	delete(b.objects, o.key+"?"+o.version)
	if b.objects[o.key+"?"] == o {
		delete(b.objects, o.key+"?")
	}
	for _, u := range b.w.expected {
		if u.object == o || o.version == "" && u.object.key == o.key {
			u.deleted = true
		}
	}
}

// RoundTrip answers a GET of a link: the bucket is the transport with which Extend
// fetches files.
func (b *bucket) RoundTrip(r *http.Request) (*http.Response, error) {
	w := b.w
	w.mu.Lock()
	b.gets++
	dice := w.dice("file", b.gets)
	w.mu.Unlock()
	time.Sleep(w.latency(dice))
	if w.strike(dice, fileUnavailable) {
		w.tell("bucket", "", "FAULT: a file can't be fetched")
		if dice.IntN(2) == 0 {
			return nil, errFault
		}
		return answer(r, http.StatusForbidden, []byte("<Error><Code>AccessDenied</Code></Error>")), nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	o := b.objects[strings.TrimPrefix(r.URL.Path, "/")+"?"+r.URL.Query().Get("versionId")]
	if o == nil {
		return answer(r, http.StatusNotFound, nil), nil
	}
	return answer(r, http.StatusOK, o.body), nil
}

func answer(r *http.Request, status int, body []byte) *http.Response {
	return &http.Response{
		StatusCode: status, Status: http.StatusText(status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)), Request: r,
	}
}
