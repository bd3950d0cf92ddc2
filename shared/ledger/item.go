package ledger

import (
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// FromItem reads a record out of a whole item, as the table's stream has it. Unlike
// a record that a [Ledger] reads, it carries the inline Output. The error wraps
// [ErrRecord].
func FromItem(item map[string]types.AttributeValue) (*Record, error) {
	rec, err := unmarshalRecord(item)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrRecord, err)
	}
	if err := rec.check(); err != nil {
		return nil, err
	}
	if v, ok := item[outputAttribute]; ok {
		if rec.Output, err = DecodeOutput(v); err != nil {
			return nil, fmt.Errorf("%w: %s: %v", ErrRecord, rec.DocumentID, err)
		}
	}
	return rec, nil
}
