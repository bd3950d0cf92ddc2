package extend

import (
	"testing"

	"extend-intake/dev/apicontract"
)

// A contractOperation is one call of the contract that this package is held to: see package apicontract.
type contractOperation struct{ apicontract.Operation }

func contractFile(t testing.TB, name string) []byte {
	t.Helper()
	b, err := apicontract.File(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func contractOperations() []contractOperation {
	var ops []contractOperation
	for _, op := range apicontract.Operations() {
		ops = append(ops, contractOperation{op})
	}
	return ops
}
