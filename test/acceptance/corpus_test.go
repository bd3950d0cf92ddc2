package acceptance

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"extend-intake/shared/ledger"
)

// corpus is hard JSON, by the name of the file whose output it is.
var corpus = map[string]string{
	"corpus-null":       `{"value":null}`,
	"corpus-scalars":    `{"value":[true,false,null,"",0,-0,-0.0,1e0]}`,
	"corpus-empty":      `{"a":{},"b":[],"c":"","d":[[]],"e":[{}]}`,
	"corpus-integers":   `{"value":[9007199254740993,12345678901234567890,-99999999999999999999999999999999999999]}`,
	"corpus-decimals":   `{"value":[0.1,0.1000,1.0875,-0.01,3.14159265358979323846264338327950288,1e-130,9.99e125,1E+5,25e-3]}`,
	"corpus-too-long":   `{"n":123456789012345678901234567890123456789.5}`,
	"corpus-too-big":    `{"value":[1e126,-1e-131,1e300]}`,
	"corpus-unicode":    `{"納品書":"Zürich — فاتورة 🧾","\u0000":"\u0000\u001f\u2028","\ud83e\uddfe":"e\u0301","a.b[0] #$&":"<a&b>\/\\\""}`,
	"corpus-surrogate":  `{"value":["\ud800","ok"]}`,
	"corpus-empty-name": `{"":1}`,
	"corpus-twice":      `{"a":1,"a":2}`,
	"corpus-deep-30":    `{"value":` + strings.Repeat("[", 30) + "1" + strings.Repeat("]", 30) + "}",
	"corpus-deep-200":   strings.Repeat(`{"a":`, 200) + "1" + strings.Repeat("}", 200),
	"corpus-wide":       `{"k":[` + strings.TrimSuffix(strings.Repeat("1.50,", 20_000), ",") + "]}",
	"corpus-360KB":      `{"text":"` + strings.Repeat("x", 360_000) + `"}`,
	"corpus-400KB":      `{"text":"` + strings.Repeat("y", 400_000) + `"}`,
	"corpus-2MB":        `{"rows":[` + strings.TrimSuffix(strings.Repeat(`{"amount":0.10,"text":"Détention"},`, 55_000), ",") + `]}`,
	// Too large to be delivered: reconcile asks for it.
	"corpus-6MB": `{"rows":[` + strings.TrimSuffix(strings.Repeat(`{"amount":0.10,"text":"Détention"},`, 170_000), ",") + `]}`,
}

// TestCorpus takes each through the deployed template, from the file to the table or
// to the results bucket, and compares value by value.
func TestCorpus(t *testing.T) {
	t.Parallel()
	s := theStack(t)
	for name, sent := range corpus {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src := s.put(t, name+".pdf", []byte(name))
			rec := s.ended(t, src, ledger.Processed)
			stored, err := s.Ledger.Output(t.Context(), src.DocumentID())
			if err != nil {
				t.Fatal(err)
			}
			if rec.OutputLocation != "" {
				bucket := s.Outputs["ResultsBucketName"]
				key := strings.TrimPrefix(rec.OutputLocation, "s3://"+bucket+"/")
				object, err := s.S3.GetObject(t.Context(), &s3.GetObjectInput{Bucket: &bucket, Key: &key})
				if err != nil {
					t.Fatal(err)
				}
				defer object.Body.Close()
				if stored, err = io.ReadAll(object.Body); err != nil {
					t.Fatal(err)
				}
				if string(stored) != sent {
					t.Errorf("the %d bytes in the bucket are not the %d that were sent", len(stored), len(sent))
				}
				return
			}
			if !sameJSON(decode(t, sent), decode(t, string(stored))) {
				t.Errorf("sent   %.200s\nstored %.200s", sent, stored)
			}
		})
	}
}

func decode(t *testing.T, text string) any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%.200s: %v", text, err)
	}
	return v
}

// sameJSON compares values, numbers by what they are and not by how they are written.
func sameJSON(a, b any) bool {
	switch a := a.(type) {
	case json.Number:
		b, ok := b.(json.Number)
		x, _ := new(big.Rat).SetString(a.String())
		y, _ := new(big.Rat).SetString(b.String())
		return ok && x != nil && y != nil && x.Cmp(y) == 0
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, sameJSON)
	case map[string]any:
		b, ok := b.(map[string]any)
		return ok && maps.EqualFunc(a, b, sameJSON)
	}
	return a == b
}
