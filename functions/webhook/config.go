package webhook

import (
	"net/url"
	"strings"

	"extend-intake/shared/boot"
	"extend-intake/shared/ledger"
)

// Config is what the environment says.
type Config struct {
	Stack, Table, SecretID     string
	BaseURL                    *url.URL
	Workspace                  string
	UploadQueue, ResultsBucket string
	Rules                      ledger.Rules
	// PayloadHosts are the domains from which a delivery's content may be fetched.
	PayloadHosts []string
}

// LoadConfig reads the environment and reports every fault at once.
func LoadConfig(getenv func(string) string) (Config, error) {
	env := boot.NewEnv(getenv)
	c := Config{
		Stack: env.Required("STACK"), Table: env.Required("TABLE_NAME"), SecretID: env.Required("SECRET_ID"),
		BaseURL: env.URL("EXTEND_BASE_URL"), Workspace: env.Optional("EXTEND_WORKSPACE_ID"),
		UploadQueue: env.Required("UPLOAD_QUEUE_URL"), ResultsBucket: env.Required("RESULTS_BUCKET"),
		Rules: ledger.DefaultRules,
	}
	for host := range strings.SplitSeq(env.Required("PAYLOAD_HOSTS"), ",") {
		if host = strings.ToLower(strings.Trim(host, " .")); host != "" {
			c.PayloadHosts = append(c.PayloadHosts, host)
		}
	}
	c.Rules.MaxAttempts = env.Int("MAX_ATTEMPTS", 1, 10)
	return c, env.Err()
}
