package command

import (
	"fmt"
	"io"
	"net/http"
	"strings"

	"extend-intake/dev/stack"
	"extend-intake/dev/stack/emulator"
)

// dynamoCall makes a call with a body as it is written, which no SDK would send.
func dynamoCall(s *stack.Stack, operation, body string) error {
	req, err := http.NewRequest(http.MethodPost, s.AWS.URL, strings.NewReader(body)) //nolint:noctx // a script has none
	if err != nil {
		return err
	}
	req.Header.Set("X-Amz-Target", "DynamoDB_20120810."+operation)
	req.Header.Set("Content-Type", "application/x-amz-json-1.0")
	resp, err := emulator.Client("dynamodb").Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %d %s %w", operation, resp.StatusCode, answer, err)
	}
	return nil
}
