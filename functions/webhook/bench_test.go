package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"extend-intake/shared/boot"
	"extend-intake/shared/document"
	"extend-intake/shared/document/documenttest"
	"extend-intake/shared/extend"
	"extend-intake/shared/extend/webhook"
	"extend-intake/shared/ledger"
	"extend-intake/test/corpus"
)

// BenchmarkDelivery is what one delivery costs, from the gateway's request to the
// record and the item, for outputs of several sizes:
//
//	go test ./functions/webhook -run '^$' -bench Delivery -benchmem
func BenchmarkDelivery(b *testing.B) {
	before := slog.Default()
	slog.SetDefault(slog.New(slog.DiscardHandler))
	b.Cleanup(func() { slog.SetDefault(before) })
	for _, size := range []int{1 << 10, 20 << 10, 66 << 10, 200 << 10, 1000 << 10, 4000 << 10} {
		b.Run(fmt.Sprintf("%dKB", size>>10), func(b *testing.B) {
			output := corpus.Citations(size)
			src := document.Source{Bucket: "in", Key: "a.pdf", VersionID: "v"}
			l := ledger.NewMemory(ledger.DefaultRules, time.Now)
			h, err := NewHandler(Config{Common: boot.Common{Stack: "s", BaseURL: &url.URL{Scheme: "https", Host: "extend.test"}}, Rules: ledger.DefaultRules, RequestsPerSecond: 1}, Parts{
				Key: extend.StaticKey("sk_bench"), TagKeys: documenttest.Keys,
				Secrets: func(context.Context, bool) ([]string, error) { return []string{"wss_bench"}, nil },
				Now:     time.Now, Jitter: func() float64 { return 0 }, Ledger: l, Transport: nobody{}, Links: nobody{},
				Put:     func(context.Context, string, []byte) (string, error) { return "s3://results/x", nil },
				Requeue: func(context.Context, document.Source) error { return nil },
			})
			if err != nil {
				b.Fatal(err)
			}
			n := 0
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				n++
				src.VersionID = fmt.Sprint(n) // a document of its own each time
				metadata, _ := json.Marshal(documenttest.Tag("s", src, 1).Metadata())
				body := fmt.Sprintf(`{"eventId":"event_1","eventType":"processor_run.processed","payload":{"object":"document_processor_run","id":"dpr_%d","status":"PROCESSED","type":"EXTRACT","metadata":%s,"output":%s}}`, n, metadata, output)
				headers := map[string]string{}
				for name, values := range webhook.Sign("wss_bench", time.Now(), []byte(body)) {
					headers[name] = values[0]
				}
				request, err := json.Marshal(events.APIGatewayV2HTTPRequest{Headers: headers, Body: body})
				if err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
				answer, err := h.Invoke(b.Context(), request)
				if err != nil || !bytes.Contains(answer, []byte(`"statusCode":200`)) {
					b.Fatalf("%s, %v", answer, err)
				}
			}
			b.SetBytes(int64(len(output)))
		})
	}
}

type nobody struct{}

func (nobody) RoundTrip(*http.Request) (*http.Response, error) { panic("nobody is asked") }
