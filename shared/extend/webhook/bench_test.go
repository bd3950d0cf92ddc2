package webhook

import (
	"bytes"
	"fmt"
	"testing"
	"time"
)

// BenchmarkOpen is what it costs to check a signature and to read the envelope:
//
//	go test ./shared/extend/webhook -run '^$' -bench Open -benchmem
func BenchmarkOpen(b *testing.B) {
	for _, size := range []int{1 << 10, 100 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("%dKB", size>>10), func(b *testing.B) {
			body := fmt.Appendf(nil, `{"eventId":"event_1","eventType":%q,"payload":{"output":"%s"}}`, RunProcessed, bytes.Repeat([]byte("x"), size))
			header := Sign(testSecret, signedAt, body)
			v := Verifier{Secrets: []string{testSecret}, Now: func() time.Time { return signedAt }}
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.Open(header, body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
