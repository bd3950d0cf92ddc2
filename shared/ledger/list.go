package ledger

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/expression"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// A Reader reads many documents at once, for the operator's command. It is apart from
// [Ledger], so that no function can make these calls.
type Reader struct {
	client *dynamodb.Client
	table  string
}

// NewReader returns a Reader of a table.
func NewReader(client *dynamodb.Client, table string) *Reader { return &Reader{client, table} }

// States are all states, those on the way first.
func States() []State { return slices.Clone(states) }

// A Row is a document as a list shows it.
type Row struct {
	DocumentID string
	// State is what the item says, also where the Record can't be understood.
	State State
	// Record is nil if there is no such document, and if it can't be understood.
	Record *Record
	// Problem says why a record can't be understood; it wraps [ErrRecord].
	Problem error
	// Time is what the index by-state has: when the document ended or, on the way, when it is due
	// for a check. It is zero outside of [Reader.List].
	Time time.Time
}

// A Query is a part of the index by-state.
type Query struct {
	State State
	// From and Until bound the Time of the rows, both inclusive. Zero is no bound. A list goes on
	// where another ended if it is bounded by the Time of the last row, and leaves out those of
	// that time that were seen.
	From, Until time.Time
	// Descending lists the latest first.
	Descending bool
}

// pageSize is how many documents are read at once: as many as BatchGetItem takes.
const pageSize = 100

// List yields the documents of a state in the order of the index. The index may be behind the
// table: a document that has moved on is left out. A record that can't be understood is a Row
// with a Problem; an error of the table ends the list.
func (r *Reader) List(ctx context.Context, q Query) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		e, err := expression.NewBuilder().WithKeyCondition(q.condition()).Build()
		if err != nil {
			yield(Row{}, fmt.Errorf("ledger: list %s: %w", q.State, err))
			return
		}
		var start map[string]types.AttributeValue
		for size := int32(25); ; size = pageSize { // the first rows soon
			out, err := r.client.Query(ctx, &dynamodb.QueryInput{
				TableName: &r.table, IndexName: aws.String(indexByState), ScanIndexForward: aws.Bool(!q.Descending), Limit: &size,
				KeyConditionExpression: e.KeyCondition(), ExpressionAttributeNames: e.Names(), ExpressionAttributeValues: e.Values(),
				ExclusiveStartKey: start,
			})
			if err != nil {
				yield(Row{}, fmt.Errorf("ledger: list %s: %w", q.State, err))
				return
			}
			ids := make([]string, 0, len(out.Items))
			times := make(map[string]time.Time, len(out.Items))
			for _, item := range out.Items {
				id := text(item["documentId"])
				ids = append(ids, id)
				times[id], _ = time.Parse(timeFormat, text(item[stateTimeAttribute])) // one that was written by hand sorts first
			}
			rows, err := r.Get(ctx, ids)
			if err != nil {
				yield(Row{}, err)
				return
			}
			for _, row := range rows {
				if row.State != q.State {
					continue
				}
				row.Time = times[row.DocumentID]
				if !yield(row, nil) {
					return
				}
			}
			if start = out.LastEvaluatedKey; len(start) == 0 {
				return
			}
		}
	}
}

// Count is how many documents a Query has, about.
func (r *Reader) Count(ctx context.Context, q Query) (int, error) {
	e, err := expression.NewBuilder().WithKeyCondition(q.condition()).Build()
	if err != nil {
		return 0, fmt.Errorf("ledger: count %s: %w", q.State, err)
	}
	n := 0
	for pages := dynamodb.NewQueryPaginator(r.client, &dynamodb.QueryInput{
		TableName: &r.table, IndexName: aws.String(indexByState), Select: types.SelectCount, KeyConditionExpression: e.KeyCondition(),
		ExpressionAttributeNames: e.Names(), ExpressionAttributeValues: e.Values(),
	}); pages.HasMorePages(); {
		out, err := pages.NextPage(ctx)
		if err != nil {
			return 0, fmt.Errorf("ledger: count %s: %w", q.State, err)
		}
		n += int(out.Count)
	}
	return n, nil
}

// Get reads documents by their ids, in the order of the ids, without their outputs. One that
// there is not has neither a Record nor a Problem.
func (r *Reader) Get(ctx context.Context, ids []string) ([]Row, error) {
	e, err := expression.NewBuilder().WithProjection(recordAttributes).Build()
	if err != nil {
		return nil, fmt.Errorf("ledger: get: %w", err)
	}
	found := make(map[string]Row, len(ids))
	wanted := slices.Compact(slices.Sorted(slices.Values(ids)))
	for chunk := range slices.Chunk(wanted, pageSize) {
		keys := make([]map[string]types.AttributeValue, len(chunk))
		for i, id := range chunk {
			keys[i] = map[string]types.AttributeValue{"documentId": &types.AttributeValueMemberS{Value: id}}
		}
		for wait := 50 * time.Millisecond; len(keys) > 0; wait = min(2*wait, 5*time.Second) {
			out, err := r.client.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{r.table: {
				Keys: keys, ProjectionExpression: e.Projection(), ExpressionAttributeNames: e.Names(),
			}}})
			if err != nil {
				return nil, fmt.Errorf("ledger: get %d documents: %w", len(keys), err)
			}
			for _, item := range out.Responses[r.table] {
				row := newRow(item)
				found[row.DocumentID] = row
			}
			// What is more than an answer holds, or than the table can give at once, is asked for again.
			if keys = out.UnprocessedKeys[r.table].Keys; len(keys) > 0 {
				select {
				case <-ctx.Done():
					return nil, context.Cause(ctx)
				case <-time.After(wait):
				}
			}
		}
	}
	rows := make([]Row, len(ids))
	for i, id := range ids {
		rows[i] = found[id]
		rows[i].DocumentID = id
	}
	return rows, nil
}

// Versions are the documents of an object, s3://bucket/key, the newest upload first.
func (r *Reader) Versions(ctx context.Context, object string) ([]Row, error) {
	d := &dynamo{client: r.client, name: r.table}
	var ids []string
	for id, err := range d.ids(ctx, indexByObject, expression.Key("object").Equal(expression.Value(object)), false, pageSize) {
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return r.Get(ctx, ids)
}

// newRow reads an item of the table.
func newRow(item map[string]types.AttributeValue) Row {
	row := Row{DocumentID: text(item["documentId"]), State: State(text(item["state"]))}
	rec, err := unmarshalRecord(item)
	if err != nil {
		row.Problem = fmt.Errorf("%w: %s: %v", ErrRecord, row.DocumentID, err)
		return row
	}
	if row.Problem = rec.check(); row.Problem == nil {
		row.Record = rec
	}
	return row
}

func text(v types.AttributeValue) string {
	s, _ := v.(*types.AttributeValueMemberS)
	if s == nil {
		return ""
	}
	return s.Value
}

func (q Query) condition() expression.KeyConditionBuilder {
	state := expression.Key("state").Equal(expression.Value(string(q.State)))
	bound := func(t time.Time) expression.ValueBuilder { return expression.Value(t.UTC().Format(timeFormat)) }
	at := expression.Key(stateTimeAttribute)
	switch {
	case q.From.IsZero() && q.Until.IsZero():
		return state
	case q.From.IsZero():
		return state.And(at.LessThanEqual(bound(q.Until)))
	case q.Until.IsZero():
		return state.And(at.GreaterThanEqual(bound(q.From)))
	}
	return state.And(at.Between(bound(q.From), bound(q.Until)))
}
