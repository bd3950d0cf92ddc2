package ledger

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"reflect"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/expression"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// The names of the table's indexes.
const (
	indexByRun    = "by-run"
	indexByObject = "by-object"
	indexByState  = "by-state"
)

// New returns the Ledger on a DynamoDB table. The table's keys and indexes are in
// template.yaml.
func New(client *dynamodb.Client, table string, rules Rules, now func() time.Time) *Ledger {
	return &Ledger{store: &dynamo{client: client, name: table}, rules: rules, now: now}
}

type dynamo struct {
	client *dynamodb.Client
	name   string
}

// outputAttribute holds the output, apart from the Record: what is decided never
// depends on it, and it can be large.
const outputAttribute = "output"

// recordAttributes are all attributes of a Record: reads ask for these and so
// leave the output where it is.
var recordAttributes = func() expression.ProjectionBuilder {
	var p expression.ProjectionBuilder
	for f := range reflect.TypeFor[Record]().Fields() {
		if name := attributeName(f.Tag.Get("dynamodbav")); name != "" {
			p = p.AddNames(expression.Name(name))
		}
	}
	return p
}()

func (d *dynamo) key(id string) map[string]types.AttributeValue {
	return map[string]types.AttributeValue{"documentId": &types.AttributeValueMemberS{Value: id}}
}

func (d *dynamo) get(ctx context.Context, id string) (*Record, error) {
	e, err := expression.NewBuilder().WithProjection(recordAttributes).Build()
	if err != nil {
		return nil, fmt.Errorf("ledger: get %s: %w", id, err)
	}
	out, err := d.client.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: &d.name, Key: d.key(id), ConsistentRead: aws.Bool(true),
		ProjectionExpression: e.Projection(), ExpressionAttributeNames: e.Names(),
	})
	if err != nil {
		return nil, fmt.Errorf("ledger: get %s: %w", id, err)
	}
	if len(out.Item) == 0 {
		return nil, nil
	}
	rec, err := unmarshalRecord(out.Item)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %v", ErrRecord, id, err)
	}
	return rec, nil
}

func (d *dynamo) swap(ctx context.Context, old, next *Record) error {
	err := d.write(ctx, old, next)
	if _, ok := errors.AsType[*types.ConditionalCheckFailedException](err); ok {
		return errConflict
	}
	if err != nil {
		return fmt.Errorf("ledger: write %s: %w", next.DocumentID, err)
	}
	return nil
}

func (d *dynamo) write(ctx context.Context, old, next *Record) error {
	item, err := marshalRecord(next)
	if err != nil {
		return err
	}
	var options []func(*dynamodb.Options)
	if next.attribute != nil {
		placeholder := rand.Text()
		item[outputAttribute] = &types.AttributeValueMemberS{Value: placeholder}
		options = append(options, inPlaceOf(placeholder, next.attribute))
	}
	if old == nil {
		e, err := expression.NewBuilder().WithCondition(expression.AttributeNotExists(expression.Name("documentId"))).Build()
		if err != nil {
			return err
		}
		_, err = d.client.PutItem(ctx, &dynamodb.PutItemInput{
			TableName: &d.name, Item: item,
			ConditionExpression: e.Condition(), ExpressionAttributeNames: e.Names(), ExpressionAttributeValues: e.Values(),
		}, options...)
		return err
	}

	// Only what differs is written: an attribute that somebody else added to the
	// item stays, and an output is not moved to change a state.
	was, err := marshalRecord(old)
	if err != nil {
		return err
	}
	var update expression.UpdateBuilder
	for name, value := range item {
		if name != "documentId" && !reflect.DeepEqual(was[name], value) {
			update = update.Set(expression.Name(name), expression.Value(value))
		}
	}
	for name := range was {
		if _, ok := item[name]; !ok {
			update = update.Remove(expression.Name(name))
		}
	}
	if next.OutputLocation != "" && next.OutputLocation != old.OutputLocation {
		update = update.Remove(expression.Name(outputAttribute))
	}
	e, err := expression.NewBuilder().WithUpdate(update).
		WithCondition(expression.Name("recordVersion").Equal(expression.Value(old.Version))).Build()
	if err != nil {
		return err
	}
	_, err = d.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName: &d.name, Key: d.key(next.DocumentID), UpdateExpression: e.Update(),
		ConditionExpression: e.Condition(), ExpressionAttributeNames: e.Names(), ExpressionAttributeValues: e.Values(),
	}, options...)
	return err
}

func (d *dynamo) getContents(ctx context.Context, id string) (*contents, error) {
	return getItem[contents](ctx, d, id)
}

// getItem reads an item that is no document; nil where there is none.
func getItem[T any](ctx context.Context, d *dynamo, id string) (*T, error) {
	out, err := d.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: &d.name, Key: d.key(id), ConsistentRead: aws.Bool(true)})
	if err != nil {
		return nil, fmt.Errorf("ledger: get %s: %w", id, err)
	}
	if len(out.Item) == 0 {
		return nil, nil
	}
	item := new(T)
	if err := attributevalue.UnmarshalMap(out.Item, item); err != nil {
		return nil, fmt.Errorf("%w: %s: %v", ErrRecord, id, err)
	}
	return item, nil
}

func (d *dynamo) swapContents(ctx context.Context, old, next *contents) error {
	item, err := attributevalue.MarshalMap(next)
	if err != nil {
		return fmt.Errorf("ledger: write %s: %w", next.ID, err)
	}
	condition := expression.AttributeNotExists(expression.Name("documentId"))
	if old != nil {
		condition = expression.Name("recordVersion").Equal(expression.Value(old.Version))
	}
	e, err := expression.NewBuilder().WithCondition(condition).Build()
	if err != nil {
		return fmt.Errorf("ledger: write %s: %w", next.ID, err)
	}
	_, err = d.client.PutItem(ctx, &dynamodb.PutItemInput{
		TableName: &d.name, Item: item,
		ConditionExpression: e.Condition(), ExpressionAttributeNames: e.Names(), ExpressionAttributeValues: e.Values(),
	})
	if _, ok := errors.AsType[*types.ConditionalCheckFailedException](err); ok {
		return errConflict
	}
	if err != nil {
		return fmt.Errorf("ledger: write %s: %w", next.ID, err)
	}
	return nil
}

func (d *dynamo) getHold(ctx context.Context, id string) (*hold, error) {
	return getItem[hold](ctx, d, id)
}

// The attributes of a day's counter. Those of a route have its name behind them.
const (
	dayPrefix            = "credits_" // of its key
	creditsAttribute     = "millicredits"
	runsAttribute        = "runs:"
	runsCreditsAttribute = "millicredits:"
)

func (d *dynamo) getDay(ctx context.Context, name, route string) (day, error) {
	id := dayPrefix + name
	out, err := d.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: &d.name, Key: d.key(id), ConsistentRead: aws.Bool(true)})
	if err != nil {
		return day{}, fmt.Errorf("ledger: get %s: %w", id, err)
	}
	var is day
	for attribute, to := range map[string]any{creditsAttribute: &is.Credits, runsAttribute + route: &is.Runs, runsCreditsAttribute + route: &is.RunsCredits} {
		if v, ok := out.Item[attribute]; ok {
			if err := attributevalue.Unmarshal(v, to); err != nil {
				return day{}, fmt.Errorf("%w: %s: %s: %v", ErrRecord, id, attribute, err)
			}
		}
	}
	return is, nil
}

func (d *dynamo) swapHold(ctx context.Context, old, next *hold, change spend) error {
	item, err := attributevalue.MarshalMap(next)
	if err != nil {
		return fmt.Errorf("ledger: write %s: %w", next.ID, err)
	}
	condition := expression.AttributeNotExists(expression.Name("documentId"))
	if old != nil {
		condition = expression.Name("recordVersion").Equal(expression.Value(old.Version))
	}
	put, err := expression.NewBuilder().WithCondition(condition).Build()
	if err != nil {
		return fmt.Errorf("ledger: write %s: %w", next.ID, err)
	}
	update := expression.Add(expression.Name(creditsAttribute), expression.Value(change.credits)).
		Set(expression.Name("expiresAt"), expression.Value(change.expiresAt))
	if change.runs > 0 {
		update = update.Add(expression.NameNoDotSplit(runsAttribute+change.route), expression.Value(change.runs)).
			Add(expression.NameNoDotSplit(runsCreditsAttribute+change.route), expression.Value(change.cost))
	}
	builder := expression.NewBuilder().WithUpdate(update)
	if change.below > 0 {
		credits := expression.Name(creditsAttribute)
		builder = builder.WithCondition(credits.AttributeNotExists().Or(credits.LessThan(expression.Value(change.below))))
	}
	count, err := builder.Build()
	if err != nil {
		return fmt.Errorf("ledger: write %s: %w", next.ID, err)
	}
	_, err = d.client.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{
		{Put: &types.Put{
			TableName: &d.name, Item: item,
			ConditionExpression: put.Condition(), ExpressionAttributeNames: put.Names(), ExpressionAttributeValues: put.Values(),
		}},
		{Update: &types.Update{
			TableName: &d.name, Key: d.key(dayPrefix + change.day), UpdateExpression: count.Update(),
			ConditionExpression: count.Condition(), ExpressionAttributeNames: count.Names(), ExpressionAttributeValues: count.Values(),
		}},
	}})
	if cancelled, ok := errors.AsType[*types.TransactionCanceledException](err); ok {
		for _, reason := range cancelled.CancellationReasons {
			switch aws.ToString(reason.Code) {
			case "ConditionalCheckFailed", "TransactionConflict":
				return errConflict
			}
		}
	}
	if err != nil {
		return fmt.Errorf("ledger: write %s: %w", next.ID, err)
	}
	return nil
}

func (d *dynamo) output(ctx context.Context, id string) (json.RawMessage, error) {
	e, err := expression.NewBuilder().WithProjection(expression.NamesList(expression.Name(outputAttribute))).Build()
	if err != nil {
		return nil, fmt.Errorf("ledger: output of %s: %w", id, err)
	}
	out, err := d.client.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: &d.name, Key: d.key(id), ConsistentRead: aws.Bool(true),
		ProjectionExpression: e.Projection(), ExpressionAttributeNames: e.Names(),
	})
	if err != nil {
		return nil, fmt.Errorf("ledger: output of %s: %w", id, err)
	}
	v, ok := out.Item[outputAttribute]
	if !ok {
		return nil, nil
	}
	return DecodeOutput(v)
}

func (d *dynamo) byRun(ctx context.Context, runID string) ([]string, error) {
	var ids []string
	for id, err := range d.ids(ctx, indexByRun, expression.Key("runId").Equal(expression.Value(runID)), true, 10) {
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, nil
}

func (d *dynamo) newest(ctx context.Context, object string) (string, error) {
	for id, err := range d.ids(ctx, indexByObject, expression.Key("object").Equal(expression.Value(object)), false, 1) {
		return id, err
	}
	return "", nil
}

func (d *dynamo) byState(ctx context.Context, s State, until time.Time) iter.Seq2[string, error] {
	return d.ids(ctx, indexByState, inState(s, until), true, 100)
}

func (d *dynamo) count(ctx context.Context, s State, until time.Time) (int, error) {
	e, err := expression.NewBuilder().WithKeyCondition(inState(s, until)).Build()
	if err != nil {
		return 0, fmt.Errorf("ledger: count %s: %w", s, err)
	}
	n := 0
	for pages := dynamodb.NewQueryPaginator(d.client, &dynamodb.QueryInput{
		TableName: &d.name, IndexName: aws.String(indexByState), Select: types.SelectCount, KeyConditionExpression: e.KeyCondition(),
		ExpressionAttributeNames: e.Names(), ExpressionAttributeValues: e.Values(),
	}); pages.HasMorePages(); {
		out, err := pages.NextPage(ctx)
		if err != nil {
			return 0, fmt.Errorf("ledger: count %s: %w", s, err)
		}
		n += int(out.Count)
	}
	return n, nil
}

func inState(s State, until time.Time) expression.KeyConditionBuilder {
	return expression.Key("state").Equal(expression.Value(string(s))).
		And(expression.Key(stateTimeAttribute).LessThanEqual(expression.Value(until.UTC().Format(timeFormat))))
}

// ids yields document ids of an index, page by page as they are asked for. Its name is
// not query: crypto/x509 calls a method of that name in generic code, for which the
// linker keeps all that have it, and a test asks the linker what each function calls.
func (d *dynamo) ids(ctx context.Context, index string, key expression.KeyConditionBuilder, forward bool, page int32) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		e, err := expression.NewBuilder().WithKeyCondition(key).
			WithProjection(expression.NamesList(expression.Name("documentId"))).Build()
		if err != nil {
			yield("", fmt.Errorf("ledger: query %s: %w", index, err))
			return
		}
		pages := dynamodb.NewQueryPaginator(d.client, &dynamodb.QueryInput{
			TableName: &d.name, IndexName: &index, ScanIndexForward: &forward, Limit: &page,
			KeyConditionExpression: e.KeyCondition(), ProjectionExpression: e.Projection(),
			ExpressionAttributeNames: e.Names(), ExpressionAttributeValues: e.Values(),
		})
		for pages.HasMorePages() {
			out, err := pages.NextPage(ctx)
			if err != nil {
				yield("", fmt.Errorf("ledger: query %s: %w", index, err))
				return
			}
			for _, item := range out.Items {
				id, ok := item["documentId"].(*types.AttributeValueMemberS)
				if !ok {
					continue // the key of a table that has it as a string
				}
				if !yield(id.Value, nil) {
					return
				}
			}
		}
	}
}

// timeFormat has a fixed width, so that times sort as text.
const timeFormat = "2006-01-02T15:04:05.000Z"

// stateTimeAttribute is there for the index by-state alone; a Record is read without it.
const stateTimeAttribute = "stateTime"

func marshalRecord(r *Record) (map[string]types.AttributeValue, error) {
	item, err := attributevalue.MarshalMapWithOptions(r, func(o *attributevalue.EncoderOptions) {
		o.OmitEmptyTime = true
		o.EncodeTime = func(t time.Time) (types.AttributeValue, error) {
			return &types.AttributeValueMemberS{Value: t.UTC().Format(timeFormat)}, nil
		}
	})
	if err == nil {
		item[stateTimeAttribute] = &types.AttributeValueMemberS{Value: r.stateTime().UTC().Format(timeFormat)}
	}
	return item, err
}

func unmarshalRecord(item map[string]types.AttributeValue) (*Record, error) {
	var r Record
	err := attributevalue.UnmarshalMap(item, &r)
	if err == nil {
		return &r, nil
	}
	// The error does not name the attribute; a person who has to mend it needs that.
	for name, value := range item {
		if err := attributevalue.UnmarshalMap(map[string]types.AttributeValue{name: value}, new(Record)); err != nil {
			return nil, fmt.Errorf("attribute %q: %v", name, err)
		}
	}
	return nil, err
}

// attributeName is the name in a dynamodbav tag; "" for a field that is none.
func attributeName(tag string) string {
	name, _, _ := strings.Cut(tag, ",")
	if name == "-" {
		return ""
	}
	return name
}
