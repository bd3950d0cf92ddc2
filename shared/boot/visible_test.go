package boot

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
)

func TestLogsHaveNothingThatATerminalObeys(t *testing.T) {
	t.Parallel()
	const csi, rlo, del = "\u009b", "\u202e", "\x7f"
	var out bytes.Buffer
	log := slog.New(visible{slog.NewJSONHandler(&out, nil)}).With("with", csi).WithGroup("group")
	log.Error("message"+csi, "text", "a"+csi+"2J"+rlo, "error", errors.New("cause "+csi), "list", []string{del, "ü"}, slog.Group("inner", "deep", rlo), "n", 7, "nobody", nil)
	line := out.String()
	for _, never := range []string{csi, rlo, del} {
		if strings.Contains(line, never) {
			t.Errorf("%q is in %s", never, line)
		}
	}
	for _, want := range []string{`"message\\u009b"`, `"text":"a\\u009b2J\\u202e"`, `"error":"cause \\u009b"`, `["\\u007f","ü"]`, `"deep":"\\u202e"`, `"with":"\\u009b"`, `"n":7`, `"nobody":null`} {
		if !strings.Contains(line, want) && !strings.Contains(line, strings.Replace(want, `"message`, `"msg":"message`, 1)) {
			t.Errorf("%s is not in %s", want, line)
		}
	}
}
