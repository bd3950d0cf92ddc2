package document

import (
	"encoding/json"
	"os"
	"testing"
)

var benchSource = Source{
	Bucket: "intake-uploads", Key: "invoices/2026/Invoice 42+7 für Zürich.pdf", VersionID: "L4kqtJlcpXroDTDmpUMLUo",
	ETag: "9b2cf535f27731c974343645a3985328", Size: 183204, Sequencer: "0066C0FFEE12345678",
}

// BenchmarkParseUploadEvents reads the event of one upload.
func BenchmarkParseUploadEvents(b *testing.B) {
	body, err := os.ReadFile("../../events/submit-s3-put.json")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if n, err := ParseUploadEvents(body); err != nil || len(n) != 1 || n[0].Err != nil {
			b.Fatal(n, err)
		}
	}
}

// BenchmarkTag writes a tag and reads it back.
func BenchmarkTag(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		metadata, err := json.Marshal(NewTag("123456789012/eu-west-1/intake", benchSource, 1, "extend-intake").Metadata())
		if err != nil {
			b.Fatal(err)
		}
		if _, err := ParseTag(metadata); err != nil {
			b.Fatal(err)
		}
	}
}
