package ledger

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// BenchmarkOutput is an output's way from JSON text to DynamoDB's values, and back.
func BenchmarkOutput(b *testing.B) {
	const row = `{"text":"Détention (2 h)","amount":95.25,"count":12345678901234567890,"tags":["a","b"],"none":null}`
	for _, size := range []int{1 << 10, 100 << 10} {
		text := json.RawMessage(`{"rows":[` + strings.Repeat(row+",", size/len(row)) + row + `]}`)
		value, err := EncodeOutput(text)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("Encode/%dKB", size>>10), func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := EncodeOutput(text); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("Decode/%dKB", size>>10), func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := DecodeOutput(value); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
