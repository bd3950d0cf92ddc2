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
	// RequestsPerSecond bounds the requests to Extend of one instance.
	RequestsPerSecond float64
	// PayloadHosts are the domains from which a delivery's content may be fetched.
	PayloadHosts []string
}

// share is what one instance may use of the plan's requests, on top of the shares of submit
// and reconcile. Few deliveries need a request: the bound is for floods of replayed ones.
const share = 0.1

// LoadConfig reads the environment and reports every error at once.
func LoadConfig(getenv func(string) string) (Config, error) {
	env := boot.NewEnv(getenv)
	c := Config{Common: env.Common(), ResultsBucket: env.Required("RESULTS_BUCKET"), Rules: ledger.DefaultRules}
	for host := range strings.SplitSeq(env.Required("PAYLOAD_HOSTS"), ",") {
		if host = strings.ToLower(strings.Trim(host, " .")); host != "" {
			c.PayloadHosts = append(c.PayloadHosts, host)
		}
	}
	c.RequestsPerSecond = share * env.Float("REQUESTS_PER_SECOND", 0.1, 10_000)
	c.Rules.DailyCredits = env.DailyCredits()
	c.Rules.MaxAttempts = env.Int("MAX_ATTEMPTS", 1, 10)
	c.Rules.ConfirmWindow = env.Seconds("CONFIRM_WINDOW_SECONDS", 1, 24*3600)
	return c, env.Err()
}
