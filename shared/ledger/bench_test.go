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

// BenchmarkHostileOutput is JSON that was made to be slow: a megabyte of an exponent, and
// as much of brackets.
func BenchmarkHostileOutput(b *testing.B) {
	for name, text := range map[string]string{
		"Exponent": "1e" + strings.Repeat("9", 1<<20), "Zeros": "1e" + strings.Repeat("0", 1<<20) + "1",
		"Mantissa": strings.Repeat("9", 1<<20), "Nesting": strings.Repeat("[", 1<<20),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = NewOutput(json.RawMessage(text))
			}
		})
	}
}
