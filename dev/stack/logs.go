package stack

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"extend-intake/dev/stack/emulator"
)

// FunctionLogs returns the last n lines that a function has logged.
func (s *Stack) FunctionLogs(ctx context.Context, function string, n int) ([]string, error) {
	return s.Logs(ctx, "/aws/lambda/"+Name+"/"+function, n)
}

// Logs returns the last n lines of a log group.
func (s *Stack) Logs(ctx context.Context, group string, n int) ([]string, error) {
	// One call is not worth one more SDK package.
	body := fmt.Sprintf(`{"logGroupName": %q}`, group)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.AWS.URL, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("X-Amz-Target", "Logs_20140328.FilterLogEvents")
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	resp, err := emulator.Client("logs").Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	var logs struct {
		Events []struct{ Message string }
	}
	if err := json.Unmarshal(answer, &logs); err != nil || resp.StatusCode != http.StatusOK {
		return nil, errors.New(string(answer))
	}
	var lines []string
	for _, e := range logs.Events {
		lines = append(lines, strings.TrimRight(e.Message, "\n"))
	}
	return lines[max(0, len(lines)-n):], nil
}

// Tail returns the last n lines of a log file, or the error with which it could not be read.
func Tail(path string, n int) string {
	output, err := os.ReadFile(path) // #nosec G304 -- a log of this run
	if err != nil {
		return err.Error()
	}
	lines := bytes.SplitAfter(output, []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-n):], nil))
}
