package publish

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"math/big"
	"slices"
	"strings"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	bustypes "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"

	"extend-intake/shared/document"
	"extend-intake/shared/ledger"
	"extend-intake/shared/rawjson"
)

// change is one stream record, and the event that is made of it.
type change struct {
	raw json.RawMessage
	// As the record says: empty if it does not.
	sequenceNumber, documentID, revision string
	rec                                  *ledger.Record // nil if it can't be read

	entry *bustypes.PutEventsRequestEntry // nil if there is nothing to publish
	size  int                             // of the entry, as EventBridge counts
}

// log is for the one line about the change.
func (c *change) log() *slog.Logger {
	log := slog.With("sequence_number", c.sequenceNumber)
	if c.rec != nil {
		return log.With(slog.Any("", c.rec))
	}
	return log.With("document_id", c.documentID, "revision", c.revision)
}

// String names the change in errors.
func (c *change) String() string {
	return fmt.Sprintf("%s.%s (record %s)", c.documentID, c.revision, c.sequenceNumber)
}

// read returns the document as it is after the change, or nil if the change is
// nobody's concern. An error is a *poison.
func (c *change) read() (*ledger.Record, error) {
	raw, output := cutOutputs(c.raw)
	// First what a dead letter says of it, from whatever is there.
	var lenient struct {
		Change struct {
			SequenceNumber string
			Keys, NewImage struct {
				DocumentID struct{ S string } `json:"documentId"`
				Revision   struct{ N string } `json:"revision"`
			}
		} `json:"dynamodb"`
	}
	_ = json.Unmarshal(raw, &lenient)
	c.sequenceNumber, c.documentID, c.revision = lenient.Change.SequenceNumber, lenient.Change.Keys.DocumentID.S, lenient.Change.NewImage.Revision.N

	var r events.DynamoDBEventRecord
	if err := json.Unmarshal(raw, &r); err != nil {
		return nil, poisonf("not a stream record: %v", err)
	}
	switch {
	// Versions grow with the API; what grows within 1 is added to it.
	case !strings.HasPrefix(r.EventVersion, "1."):
		return nil, poisonf("stream record of version %q, only 1.x is known: deploy a newer version of this software", r.EventVersion)
	case r.EventName == string(events.DynamoDBOperationTypeRemove):
		return nil, nil // the event source filters these, and the others that are ignored below
	case r.Change.NewImage == nil:
		return nil, poisonf("%s without a new image: the table's stream must have NEW_AND_OLD_IMAGES", r.EventName)
	}
	if document.IsObjectID(c.documentID) {
		return nil, nil // it is no document: see ledger.Ledger.Register
	}
	if state := r.Change.NewImage["state"]; state.DataType() == events.DataTypeString && state.String() == string(ledger.Skipped) {
		return nil, nil // nobody is told of it, whatever else its record says
	}
	before, after := revision(r.Change.OldImage), revision(r.Change.NewImage)
	if before != nil && after != nil && before.Cmp(after) == 0 {
		return nil, nil // a consumer sees no difference
	}
	item, err := values(r.Change.NewImage)
	if err != nil {
		return nil, poisonf("%v", err)
	}
	rec, err := ledger.FromItem(item)
	if err == nil && output != nil {
		if rec.Output, err = ledger.DecodeImage(output); err != nil {
			rec, err = nil, fmt.Errorf("%w: %s: %v", ledger.ErrRecord, rec.DocumentID, err)
		}
	}
	c.rec = rec
	switch {
	case err != nil:
		return nil, poisonf("%v", err)
	case !rec.State.Terminal() && rec.State != ledger.NeedsReview:
		return nil, nil
	case rec.Revision < 1:
		return nil, poisonf("revision %d of a %s document: it must be at least 1", rec.Revision, rec.State)
	case before != nil && before.Cmp(after) > 0:
		return nil, poisonf("revision went back from %v to %v: consumers have seen it already; set it to more than %[1]v", before, after)
	case rec.State == ledger.Processed && rec.OutputRunID != rec.RunID:
		return nil, poisonf("the stored output is of run %q, the document of run %q", rec.OutputRunID, rec.RunID)
	case rec.State == ledger.Processed && (rec.Output == nil) == (rec.OutputLocation == ""):
		return nil, poisonf("a processed document must have either output or outputLocation")
	}
	return rec, nil
}

// cutOutputs takes the outputs out of a stream record's images, and returns the new one: they
// are nearly all of a record, and need not be values in memory.
func cutOutputs(raw []byte) (rest, output []byte) {
	for _, name := range []string{"OldImage", "NewImage"} {
		from, to, ok := rawjson.Member(raw, "dynamodb")
		if !ok {
			continue
		}
		imageFrom, imageTo, ok := rawjson.Member(raw[from:to], name)
		if !ok {
			continue
		}
		image, cut := ledger.CutOutput(raw[from+imageFrom : from+imageTo])
		if name == "NewImage" {
			output = cut
		}
		if cut != nil {
			raw = slices.Concat(raw[:from+imageFrom], image, raw[from+imageTo:])
		}
	}
	return raw, output
}

// revision is that of an image, if it has one.
func revision(image map[string]events.DynamoDBAttributeValue) *big.Int {
	v, ok := image["revision"]
	if !ok || v.DataType() != events.DataTypeNumber {
		return nil
	}
	n, ok := new(big.Int).SetString(v.Number(), 10)
	if !ok {
		return nil
	}
	return n
}

// values turns an image into the SDK's attributes. Numbers stay the text that they are.
func values(image map[string]events.DynamoDBAttributeValue) (map[string]types.AttributeValue, error) {
	item := make(map[string]types.AttributeValue, len(image))
	for name, v := range image {
		var err error
		if item[name], err = value(v); err != nil {
			return nil, fmt.Errorf("attribute %q: %w", name, err)
		}
	}
	return item, nil
}

func value(v events.DynamoDBAttributeValue) (types.AttributeValue, error) {
	switch v.DataType() {
	case events.DataTypeString:
		return &types.AttributeValueMemberS{Value: v.String()}, nil
	case events.DataTypeNumber:
		return &types.AttributeValueMemberN{Value: v.Number()}, nil
	case events.DataTypeBoolean:
		return &types.AttributeValueMemberBOOL{Value: v.Boolean()}, nil
	case events.DataTypeNull:
		return &types.AttributeValueMemberNULL{Value: true}, nil
	case events.DataTypeBinary:
		return &types.AttributeValueMemberB{Value: v.Binary()}, nil
	case events.DataTypeStringSet:
		return &types.AttributeValueMemberSS{Value: v.StringSet()}, nil
	case events.DataTypeNumberSet:
		return &types.AttributeValueMemberNS{Value: v.NumberSet()}, nil
	case events.DataTypeBinarySet:
		return &types.AttributeValueMemberBS{Value: v.BinarySet()}, nil
	case events.DataTypeList:
		list := make([]types.AttributeValue, len(v.List()))
		for i, item := range v.List() {
			var err error
			if list[i], err = value(item); err != nil {
				return nil, err
			}
		}
		return &types.AttributeValueMemberL{Value: list}, nil
	case events.DataTypeMap:
		members, err := values(v.Map())
		return &types.AttributeValueMemberM{Value: members}, err
	}
	return nil, fmt.Errorf("unknown type %v", v.DataType())
}
