package acceptance

import (
	"net/url"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"

	"extend-intake/shared/document"
	"extend-intake/shared/ledger"
	"extend-intake/shared/metric"
)

// copyOntoItself makes a version with the same bytes and other metadata, as tools do that
// set times, owners or storage classes.
func (s *deployment) copyOntoItself(t *testing.T, src document.Source) document.Source {
	t.Helper()
	from := url.URL{Path: src.Bucket + "/" + src.Key}
	out, err := s.S3.CopyObject(t.Context(), &s3.CopyObjectInput{
		Bucket: &src.Bucket, Key: &src.Key, CopySource: aws.String(from.EscapedPath()),
		MetadataDirective: s3types.MetadataDirectiveReplace, Metadata: map[string]string{"file-mtime": "1764072000"},
	})
	if err != nil {
		t.Fatal(err)
	}
	copied := src
	copied.VersionID, copied.ETag = aws.ToString(out.VersionId), strings.Trim(aws.ToString(out.CopyObjectResult.ETag), `"`)
	if copied.VersionID == "" || copied.VersionID == src.VersionID {
		t.Fatalf("the copy is version %q, the original %q", copied.VersionID, src.VersionID)
	}
	return copied
}

// finished waits until a document has ended, in whatever state.
func (s *deployment) finished(t *testing.T, src document.Source) *ledger.Record {
	t.Helper()
	var rec *ledger.Record
	s.eventually(t, src.Key+" has ended", func() (ok bool, err error) {
		rec, err = s.Ledger.Get(t.Context(), src.DocumentID())
		return err == nil && rec.State.Terminal(), err
	})
	return rec
}

// putAsGateway creates one object three times in a row, as file gateways do: a placeholder,
// the content, and a copy of it onto itself with its metadata.
func (s *deployment) putAsGateway(t *testing.T, key string) (placeholder, content, copied document.Source) {
	t.Helper()
	placeholder = s.put(t, key, []byte(strings.Repeat("\x00", 36)))
	content = s.put(t, key, []byte("%PDF-1.4 written by a gateway, more than 64 bytes of it: "+key))
	return placeholder, content, s.copyOntoItself(t, content)
}

// checkReadOnce checks that of two creations with the same bytes one was read, and that the
// other, whose turn came later, was not, and says why. The queue keeps no order.
func (s *deployment) checkReadOnce(t *testing.T, content, copied document.Source) {
	t.Helper()
	read, skipped := content, copied
	if s.finished(t, content).State == ledger.Skipped {
		read, skipped = copied, content
	}
	rec, not := s.ended(t, read, ledger.Processed), s.ended(t, skipped, ledger.Skipped)
	if not.FailureReason != "SAME_CONTENT" || not.DuplicateOf != read.DocumentID() || not.RunID != "" || not.OutputRunID != "" || not.Revision != 0 {
		t.Errorf("the later one is %+v, want it skipped as a duplicate of %s", not, read.DocumentID())
	}
	if runs := s.runs(read); len(runs) != 1 || runs[0].ID != rec.RunID {
		t.Errorf("%d runs of the one that was read, want 1: %+v", len(runs), runs)
	}
	if runs := s.runs(skipped); len(runs) != 0 {
		t.Errorf("there were runs of the same bytes: %+v", runs)
	}
	s.countsAre(t, read, map[string]float64{"Submitted": 1, "Processed": 1, "Credits": 1.5})
	s.countsAre(t, skipped, map[string]float64{"Skipped": 1})
	if line := s.lineWith(t, skipped, metric.Skipped); line["Reason"] != "SAME_CONTENT" || line["state"] != "SKIPPED" {
		t.Errorf("it is logged as %v", line)
	}
}

// The placeholder is a file like any other where MinFileBytes lets it through; see
// TestStackOnABucketThatIsThere for a stack that does not.
func TestGatewaysCreations(t *testing.T) {
	t.Parallel()
	s := theStack(t)
	placeholder, content, copied := s.putAsGateway(t, "by a gateway.pdf")
	s.checkReadOnce(t, content, copied)
	if rec := s.ended(t, placeholder, ledger.Processed); rec.DuplicateOf != "" || len(s.runs(placeholder)) != 1 {
		t.Errorf("the placeholder is %+v, with %d runs", rec, len(s.runs(placeholder)))
	}
}

func TestEmptyFileIsRefused(t *testing.T) {
	t.Parallel()
	s := theStack(t)
	src := s.put(t, "empty.pdf", nil)
	if rec := s.ended(t, src, ledger.Refused); rec.FailureReason != "EMPTY_FILE" || rec.FailureMessage == "" || rec.RunID != "" {
		t.Errorf("record = %+v, want the reason", rec)
	}
	s.countsAre(t, src, map[string]float64{"Refused": 1})
	if runs := s.runs(src); len(runs) != 0 {
		t.Errorf("there were runs of it: %+v", runs)
	}
}

// Months later the object is copied onto itself, as a change of its storage class or its
// metadata does: nothing that the ledger needs to know it again may have expired.
func TestCopyOntoItselfLaterIsNotReadAgain(t *testing.T) {
	t.Parallel()
	s := theStack(t)
	src := s.put(t, "archived/copied later.pdf", []byte("%PDF-1.4 copied onto itself"))
	s.ended(t, src, ledger.Processed)
	for _, id := range []string{src.DocumentID(), src.ObjectID()} {
		item := s.itemOf(t, id)
		if len(item) == 0 || item["expiresAt"] != nil {
			t.Errorf("%s is %v, want an item that stays", id, item)
		}
	}
	for range 2 { // each is a version, and so a document, of its own
		copied := s.copyOntoItself(t, src)
		s.checkReadOnce(t, src, copied)
	}
	if rec := s.ended(t, src, ledger.Processed); rec.Copies != 2 || rec.Attempt != 1 || rec.Revision != 1 {
		t.Errorf("%d copies, attempt %d, revision %d; want 2 copies and nothing else new", rec.Copies, rec.Attempt, rec.Revision)
	}
}
