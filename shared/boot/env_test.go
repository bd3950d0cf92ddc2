package boot

import (
	"strings"
	"testing"
	"time"
)

func getenv(env map[string]string) func(string) string {
	return func(name string) string { return env[name] }
}

func TestEnvCollectsEveryError(t *testing.T) {
	t.Parallel()
	env := NewEnv(getenv(map[string]string{
		"BLANK": " ", "ID": "extractor", "BARE": "dp_", "WORD": "soon", "HALF": "1.5", "LOW": "0", "HIGH": "11", "NAN": "NaN", "INF": "Inf",
		"PLAIN": "http://api.extend.ai", "RELATIVE": "api.extend.ai", "FTP": "ftp://127.0.0.1", "ODD": "https://%zz",
	}))
	env.Required("GONE")
	env.Required("BLANK")
	env.Prefixed("ID", "dp_")
	env.Prefixed("BARE", "dp_")
	env.Prefixed("GONE2", "dp_")
	env.Int("WORD", 1, 10)
	env.Int("HALF", 1, 10)
	env.Int("LOW", 1, 10)
	env.Seconds("HIGH", 1, 10)
	env.Float("NAN", 1, 10)
	env.Float("INF", 1, 10)
	env.Int("GONE3", 1, 10)
	env.ExtendURL("PLAIN")
	env.ExtendURL("RELATIVE")
	env.ExtendURL("FTP")
	env.ExtendURL("ODD")
	env.ExtendURL("GONE4")
	err := env.Err()
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		"GONE is missing", "BLANK is missing", `ID is "extractor": it must begin with "dp_"`, `BARE is "dp_"`, "GONE2 is missing",
		`WORD is "soon": it must be a number`, `HALF is "1.5"`, "LOW is 0: it must be between 1 and 10", "HIGH is 11", "NAN is NaN", "INF is Inf", "GONE3 is missing",
		`PLAIN is "http://api.extend.ai": it must begin with https://`, `RELATIVE is "api.extend.ai": it must be an absolute URL`, "FTP is", "ODD is", "GONE4 is missing",
		"template.yaml",
	} {
		if strings.Count(err.Error(), want) != 1 {
			t.Errorf("%q is not once in:\n%v", want, err)
		}
	}
}

func TestEnv(t *testing.T) {
	t.Parallel()
	env := NewEnv(getenv(map[string]string{
		"NAME": "documents", "ID": "dp_1", "COUNT": "10", "RATE": "0.5", "SPAN": "180",
		"URL": "https://api.eu1.extend.ai", "LOCAL": "http://127.0.0.1:8080", "DOCKER": "http://host.docker.internal:8080",
	}))
	if got := env.Required("NAME"); got != "documents" {
		t.Error(got)
	}
	if got := env.Optional("NONE"); got != "" {
		t.Error(got)
	}
	if got := env.Prefixed("ID", "dp_"); got != "dp_1" {
		t.Error(got)
	}
	if got := env.Int("COUNT", 1, 10); got != 10 {
		t.Error(got)
	}
	if got := env.Float("RATE", 0.1, 1); got != 0.5 {
		t.Error(got)
	}
	if got := env.Seconds("SPAN", 60, 180); got != 3*time.Minute {
		t.Error(got)
	}
	for name, want := range map[string]string{"URL": "https://api.eu1.extend.ai", "LOCAL": "http://127.0.0.1:8080", "DOCKER": "http://host.docker.internal:8080"} {
		if got := env.ExtendURL(name); got == nil || got.String() != want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if err := env.Err(); err != nil {
		t.Error(err)
	}
}
