package ledger

import "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

// Item returns the whole item that the table holds for a record, as the table's stream
// shows it, with the inline Output if the record carries one. It is the inverse of
// [FromItem]. The error wraps [ErrInexact] if the Output can't be held inline.
func (r *Record) Item() (map[string]types.AttributeValue, error) {
	item, err := marshalRecord(r)
	if err != nil || r.Output == nil {
		return item, err
	}
	if item[outputAttribute], err = EncodeOutput(r.Output); err != nil {
		return nil, err
	}
	return item, nil
}
