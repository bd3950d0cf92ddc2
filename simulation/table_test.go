package simulation

import (
	"context"
	"errors"
	"flag"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"extend-intake/dev/stack/emulator"
	"extend-intake/shared/ledger"
)

var tableFlag = flag.Int("table", 30, "schedules of TestOnTheRealTable")

// TestOnTheRealTable runs schedules with the real ledger, the real SDK and a
// DynamoDB-compatible server in place of the model. Schedule by schedule, the trace
// must be the model's.
func TestOnTheRealTable(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("-short: starts a server")
	}
	server, err := emulator.StartDynoxide(t.Context(), t.TempDir())
	if errors.Is(err, emulator.ErrNotInstalled) {
		server, err = emulator.StartMiniStack(t.Context(), t.TempDir())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	client := dynamodb.NewFromConfig(emulator.AWSConfig(server.URL))
	createTable(t, client)

	// The table is used outside of the bubbles: a connection within one would hold
	// its clock. While somebody waits for the answer, that clock stands still.
	calls := make(chan func())
	defer close(calls)
	go func() {
		for call := range calls {
			call()
		}
	}()
	for seed := range uint64(*tableFlag) {
		seed += 1_000_000
		onTable := func(w *world) {
			w.outside = func(use func()) {
				calls <- use
			}
			w.tableOf = func(rules ledger.Rules) *ledger.Ledger { return ledger.New(client, "documents", rules, time.Now) }
		}
		w := schedule(t, seed, traced, onTable)
		for _, v := range w.violations {
			t.Errorf("seed %d: %s", seed, v)
		}
		if model := schedule(t, seed, traced); model.trace.String() != w.trace.String() {
			t.Errorf("seed %d: the table's trace differs from the model's: %s", seed, firstDifference(model.trace.String(), w.trace.String()))
		}
	}
}

// createTable makes the table as template.yaml describes it. The ledger's own test
// compares the template's with this package's queries.
func createTable(t *testing.T, client *dynamodb.Client) {
	attribute := func(name string) types.AttributeDefinition {
		return types.AttributeDefinition{AttributeName: &name, AttributeType: types.ScalarAttributeTypeS}
	}
	hash := func(name string) types.KeySchemaElement {
		return types.KeySchemaElement{AttributeName: &name, KeyType: types.KeyTypeHash}
	}
	index := func(name string, keys ...types.KeySchemaElement) types.GlobalSecondaryIndex {
		return types.GlobalSecondaryIndex{IndexName: &name, KeySchema: keys, Projection: &types.Projection{ProjectionType: types.ProjectionTypeKeysOnly}}
	}
	then := func(name string) types.KeySchemaElement {
		return types.KeySchemaElement{AttributeName: &name, KeyType: types.KeyTypeRange}
	}
	_, err := client.CreateTable(context.Background(), &dynamodb.CreateTableInput{
		TableName: aws.String("documents"), BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{
			attribute("documentId"), attribute("runId"), attribute("object"), attribute("sequence"), attribute("state"), attribute("stateTime"),
		},
		KeySchema: []types.KeySchemaElement{hash("documentId")},
		GlobalSecondaryIndexes: []types.GlobalSecondaryIndex{
			index("by-run", hash("runId")), index("by-object", hash("object"), then("sequence")), index("by-state", hash("state"), then("stateTime")),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
}
