package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strconv"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"extend-intake/shared/event"
)

type consumer struct {
	db    *dynamodb.Client
	table string
	s3    *s3.Client
}

// handle handles one event. After an error Lambda retries it, twice, and then sends it to
// the dead-letter queue.
func (c *consumer) handle(ctx context.Context, e events.EventBridgeEvent) error {
	d, err := event.Parse(e.Detail)
	if err != nil {
		return err
	}
	output, err := d.ReadOutput(ctx, c.s3)
	if err != nil {
		return err
	}

	// Your work goes here. The work of this example is to write a row, and the row also
	// records that the work is done: because both are one write, one never exists without
	// the other. If your work is a call to another system, pass it d.ID as the idempotency
	// key. If only the newest result matters to you, keep one row per d.DocumentID instead,
	// and write it on condition that its revision is lower than d.Revision.
	sum := sha256.Sum256(output)
	_, err = c.db.PutItem(ctx, &dynamodb.PutItemInput{
		TableName:           &c.table,
		ConditionExpression: aws.String("attribute_not_exists(id)"),
		Item: map[string]types.AttributeValue{
			"id":         &types.AttributeValueMemberS{Value: d.ID},
			"documentId": &types.AttributeValueMemberS{Value: d.DocumentID},
			"revision":   &types.AttributeValueMemberN{Value: strconv.Itoa(d.Revision)},
			"bytes":      &types.AttributeValueMemberN{Value: strconv.Itoa(len(output))},
			"sha256":     &types.AttributeValueMemberS{Value: hex.EncodeToString(sum[:])},
		},
	})
	if _, ok := errors.AsType[*types.ConditionalCheckFailedException](err); ok {
		slog.InfoContext(ctx, "seen before", "id", d.ID)
		return nil
	}
	if err != nil {
		return fmt.Errorf("event %s: %w", d.ID, err)
	}
	slog.InfoContext(ctx, "received", "id", d.ID, "object", d.Object, "bytes", len(output), "large", d.OutputLocation != "")
	return nil
}
