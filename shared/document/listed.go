package document

import (
	"fmt"
	"net/url"
	"time"
)

// ListedMessage is the body of a message about an object that was found in a listing of the
// bucket, and not told of by S3. [ParseUploadEvents] reads it back as an upload of this moment,
// which a route has to take as any other: unlike a [RequeueMessage], it begins documents.
//
// It has the form of S3's own events, which every version of this software reads. A listing has
// no sequencer, which orders the events of one key and without which a document is not in the
// index by object: its place takes one of the time at which S3 had the object.
func ListedMessage(s Source, now time.Time) string {
	var r s3Record
	r.EventSource, r.EventName, r.EventTime = "aws:s3", "ObjectCreated:Listed", optional(now.UTC().Format(time.RFC3339Nano))
	o := &r.S3.Object
	r.S3.Bucket.Name = s.Bucket
	o.Key, o.ETag, o.VersionID, o.Size = url.QueryEscape(s.Key), s.ETag, s.VersionID, size{s.Size, true}
	o.Sequencer = optional(sequencer(s.UploadedAt))
	return encode(struct{ Records []s3Record }{[]s3Record{r}})
}

// sequencer is one that comes before those that S3 gives to what is uploaded later: theirs begin
// with the time in seconds, as is observed and not promised. If it were otherwise, the real
// event of an object, should it come as well, would be taken for an older one, and nothing else.
func sequencer(t time.Time) string {
	if t.IsZero() || t.Unix() < 0 {
		return "00"
	}
	return fmt.Sprintf("00%08X", t.Unix())
}
