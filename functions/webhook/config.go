package webhook

import (
	"strings"

	"extend-intake/shared/boot"
	"extend-intake/shared/ledger"
)

// Config is what the environment says.
type Config struct {
	boot.Common
	ResultsBucket string
	Rules         ledger.Rules
	// PayloadHosts are the domains from which a delivery's content may be fetched.
	PayloadHosts []string
}

// LoadConfig reads the environment and reports every error at once.
func LoadConfig(getenv func(string) string) (Config, error) {
	env := boot.NewEnv(getenv)
	c := Config{Common: env.Common(), ResultsBucket: env.Required("RESULTS_BUCKET"), Rules: ledger.DefaultRules}
	for host := range strings.SplitSeq(env.Required("PAYLOAD_HOSTS"), ",") {
		if host = strings.ToLower(strings.Trim(host, " .")); host != "" {
			c.PayloadHosts = append(c.PayloadHosts, host)
		}
	}
	c.Rules.MaxAttempts = env.Int("MAX_ATTEMPTS", 1, 10)
	c.Rules.ConfirmWindow = env.Seconds("CONFIRM_WINDOW_SECONDS", 1, 24*3600)
	return c, env.Err()
}
