package ledger

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"extend-intake/test/corpus"
)

// BenchmarkOutput is an output's way from JSON text to what is written to DynamoDB and to the
// digest, and back from the table's stream. json.Valid and SHA-256 over the same bytes are there
// to compare it with: no way of reading them is much faster.
func BenchmarkOutput(b *testing.B) {
	run := func(name string, text json.RawMessage) {
		o, err := NewOutput(text)
		if err != nil {
			b.Fatal(err)
		}
		ways := []struct {
			name string
			run  func() error
		}{
			{"Encode", func() error {
				o, err := NewOutput(text)
				if err != nil {
					return err
				}
				return o.WriteCanonical(sha256.New())
			}},
			{"Decode", func() error { _, err := DecodeImage(o.attribute); return err }},
			{"Floor", func() error {
				sha256.Sum256(text)
				if !json.Valid(text) {
					return errImage
				}
				return nil
			}},
		}
		for _, w := range ways {
			if w.name == "Decode" && o.attribute == nil {
				continue // it goes to the bucket
			}
			b.Run(w.name+"/"+name, func(b *testing.B) {
				b.SetBytes(int64(len(text)))
				b.ReportAllocs()
				for b.Loop() {
					if err := w.run(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
	for _, size := range []int{1 << 10, 20 << 10, 66 << 10, 200 << 10, 1000 << 10, 6000 << 10} {
		run(fmt.Sprintf("%dKB", size>>10), corpus.Citations(size))
	}
	for _, shape := range slices.Sorted(maps.Keys(corpus.Shapes)) {
		run("100KB/"+shape, corpus.Shapes[shape](100<<10))
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
