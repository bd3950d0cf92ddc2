package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// prices are dollars for a million of each, on demand, in us-east-1, without free
// tiers, as known in July 2025: https://aws.amazon.com/pricing has them as they are.
const (
	pricesAsOf = "July 2025"

	priceWriteUnit    = 0.625                // aws.amazon.com/dynamodb/pricing/on-demand
	priceReadUnit     = 0.125                // the same
	pricePut          = 5.00                 // aws.amazon.com/s3/pricing
	priceGet          = 0.40                 // the same
	priceQueue        = 0.40                 // aws.amazon.com/sqs/pricing, of 64 KB each
	priceEvent        = 1.00                 // aws.amazon.com/eventbridge/pricing, of 64 KB each
	priceHTTP         = 1.00                 // aws.amazon.com/api-gateway/pricing, HTTP API, of 512 KB each
	priceInvocation   = 0.20                 // aws.amazon.com/lambda/pricing
	priceGBSecond     = 13.3334              // the same, arm64
	priceLogByte      = 0.50 / 1e9 * million // aws.amazon.com/cloudwatch/pricing, ingestion
	priceSecret       = 5.00                 // aws.amazon.com/secrets-manager/pricing
	priceKey          = 3.00                 // aws.amazon.com/kms/pricing
	million           = 1e6
	queueChunk        = 64 << 10
	eventChunk        = 64 << 10
	httpChunk         = 512 << 10
	lineOverhead      = 26 // bytes that CloudWatch Logs adds to each line
	keyMinutes        = 5  // how long DynamoDB keeps the table's key, and we the secret
	waitForExtend     = 0.300
	waitForAWS        = 0.005
	reconcileMinutes  = 1
	platformLineBytes = 200 // of platform.start and platform.report, on average
	accessLineBytes   = 300 // of the HTTP API's log
)

// charge is a line of the bill: so many per document, and what a million of them cost.
type charge struct {
	what        string
	perDocument float64
	price       float64
}

func (c charge) perMillion() float64 { return c.perDocument * c.price }

// usage is what one document was seen to need, and what is assumed besides.
type usage struct {
	calls     map[string]map[string]call // by who made them and "service action"
	documents int                        // over which they were counted, each with one invocation of each function
	functions map[string]functionUsage
	// filesPerMinute and concurrency are the template's: what is paid by the minute is
	// shared by the files of a minute.
	filesPerMinute, concurrency float64
	deliveryBytes               int
}

type functionUsage struct {
	memory      float64 // GB
	warm        float64 // seconds
	awsCalls    float64 // an invocation
	posts       float64 // to Extend, an invocation
	logBytes    float64 // an invocation, with what Lambda itself logs
	perDocument float64 // invocations
}

// billed is the time that an invocation is paid for on AWS, in seconds: what was
// measured here, and the network that was not.
func (f functionUsage) billed() float64 {
	return f.warm + f.posts*waitForExtend + f.awsCalls*waitForAWS
}

// bill is the price of documents that come one at a time.
func bill(u usage) ([]charge, error) {
	var writes, reads, puts, gets, queue, events float64 // a document
	for by, calls := range u.calls {
		weight := 1 / float64(u.documents)
		if f, ok := u.functions[by]; ok {
			weight *= f.perDocument
		}
		for name, c := range calls {
			units := c.units * weight
			switch name {
			case "DynamoDB PutItem", "DynamoDB UpdateItem", "DynamoDB DeleteItem":
				writes += units
			case "DynamoDB GetItem", "DynamoDB Query":
				reads += units
			case "S3 PutObject":
				puts += units
			case "S3 GetObject", "S3 HEAD": // one price
				gets += units
			case "SQS SendMessage", "SQS ChangeMessageVisibility":
				queue += units
			case "EventBridge PutEvents":
				events += units
			case "Secrets Manager GetSecretValue": // by the minute, below
			default:
				return nil, fmt.Errorf("the price of a call of %s, which %s made, is unknown: add it to bill in price.go", name, by)
			}
		}
	}
	var invocations, gbSeconds, logs float64
	for _, name := range slices.Sorted(maps.Keys(u.functions)) {
		f := u.functions[name]
		invocations += f.perDocument
		gbSeconds += f.perDocument * f.memory * f.billed()
		logs += f.perDocument * f.logBytes
	}
	byTheMinute := 1 / (keyMinutes * u.filesPerMinute)
	return []charge{
		{"DynamoDB write units", writes, priceWriteUnit},
		{"DynamoDB read units", reads, priceReadUnit},
		{putOfTheFile, puts, pricePut},
		{"S3: get by Extend", gets, priceGet},
		{"SQS: send, receive, delete", 3 + queue, priceQueue},
		{"HTTP API: delivery", chunks(u.deliveryBytes, httpChunk), priceHTTP},
		{"EventBridge: event", events, priceEvent},
		{"Lambda: invocations", invocations, priceInvocation},
		{"Lambda: GB-seconds", gbSeconds, priceGBSecond},
		{"CloudWatch Logs: bytes", logs + accessLineBytes + lineOverhead, priceLogByte},
		{"Secrets Manager: reads", (u.concurrency + 1) * byTheMinute, priceSecret},
		{"KMS: reads of the table's key", (u.concurrency + 3) * byTheMinute, priceKey},
	}, nil
}

// backlog is what a million documents cost besides when they wait in the queue: submit
// waits for its rate limiter, and that time is paid for. A batch is full then,
// which saves most of what was counted for each document's own.
func backlog(u usage) float64 {
	submit := u.functions["submit"]
	interval := u.concurrency * 60 / u.filesPerMinute
	return max(interval-submit.billed(), 0) * submit.memory * priceGBSecond
}

func chunks(bytes, size int) float64 { return float64(max(1, (bytes+size-1)/size)) }

// table is what the price of a write depends on.
type table struct {
	KeySchema              []keyElement
	GlobalSecondaryIndexes []struct {
		IndexName  string
		KeySchema  []keyElement
		Projection struct{ ProjectionType string }
	}
}

type keyElement struct{ AttributeName string }

// attributes is an item as DynamoDB's JSON has it.
type attributes map[string]map[string]any

// writeUnits is what a write costs that changes an item from before to after (nil:
// there is none): one for each KB of the larger, and of every index entry that goes
// or comes. An entry that stays as it is costs nothing.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/GSI.html#GSI.ThroughputConsiderations.Writes
func (t table) writeUnits(before, after attributes) float64 {
	units := chunks(max(before.size(), after.size()), 1<<10)
	for _, index := range t.GlobalSecondaryIndexes {
		old, next := before.entry(t.KeySchema, index.KeySchema), after.entry(t.KeySchema, index.KeySchema)
		if slices.Equal(old.key, next.key) {
			continue // the entry holds nothing but keys: see check
		}
		for _, e := range []entry{old, next} {
			if e.key != nil {
				units += chunks(e.bytes, 1<<10)
			}
		}
	}
	return units
}

// check refuses a table that writeUnits can't count.
func (t table) check() error {
	if len(t.KeySchema) == 0 {
		return fmt.Errorf("template.yaml: DocumentsTable has no KeySchema")
	}
	for _, index := range t.GlobalSecondaryIndexes {
		if index.Projection.ProjectionType != "KEYS_ONLY" {
			return fmt.Errorf("template.yaml: index %s is %s, and writeUnits in price.go counts KEYS_ONLY only", index.IndexName, index.Projection.ProjectionType)
		}
	}
	return nil
}

// entry is an item's entry in an index; its key is nil if it has none.
type entry struct {
	key   []string
	bytes int
}

func (a attributes) entry(keys ...[]keyElement) entry {
	var e entry
	for _, k := range slices.Concat(keys...) {
		value, ok := a[k.AttributeName]["S"].(string)
		if !ok {
			return entry{}
		}
		e.key = append(e.key, value)
		e.bytes += len(k.AttributeName) + len(value)
	}
	return e
}

// size is an item's size as DynamoDB counts it.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
func (a attributes) size() int {
	n := 0
	for name, value := range a {
		n += len(name) + valueSize(value)
	}
	return n
}

func valueSize(value map[string]any) int {
	for kind, v := range value {
		switch v := v.(type) {
		case string:
			switch kind {
			case "N":
				return (len(v)+1)/2 + 1
			case "B":
				return base64.StdEncoding.DecodedLen(len(v))
			}
			return len(v)
		case []any:
			n := 3
			for _, e := range v {
				n += 1 + valueSize(asMap(e))
			}
			return n
		case map[string]any:
			n := 3
			for name, e := range v {
				n += 1 + len(name) + valueSize(asMap(e))
			}
			return n
		}
	}
	return 1 // NULL, BOOL
}

func asMap(v any) map[string]any { m, _ := v.(map[string]any); return m }

func parseItem(text []byte) (attributes, error) {
	var answer struct{ Item attributes }
	err := json.Unmarshal(text, &answer)
	return answer.Item, err
}

const putOfTheFile = "S3: put of the file"
