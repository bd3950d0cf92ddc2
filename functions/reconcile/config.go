package reconcile

import (
	"time"

	"extend-intake/shared/boot"
	"extend-intake/shared/ledger"
)

// Config is what the environment says.
type Config struct {
	boot.Common
	ResultsBucket string
	// RequestsPerSecond is the share of the plan's budget that may be spent here.
	RequestsPerSecond float64
	Rules             ledger.Rules
	StalledAfter      time.Duration
}

// share is reconcile's part of the plan's requests; submit has the rest. At the smallest
// plan it is two a second, more than the files that this plan reads, so that results are
// not late in a stack that gets no webhooks.
const share = 0.2

// LoadConfig reads the environment and reports every error at once.
func LoadConfig(getenv func(string) string) (Config, error) {
	env := boot.NewEnv(getenv)
	c := Config{
		Common: env.Common(), ResultsBucket: env.Required("RESULTS_BUCKET"),
		RequestsPerSecond: share * env.Float("REQUESTS_PER_SECOND", 0.1, 10_000),
		Rules:             ledger.DefaultRules,
	}
	c.Rules.DailyCredits = env.DailyCredits()
	c.Rules.MaxAttempts = env.Int("MAX_ATTEMPTS", 1, 10)
	c.Rules.ReconcileAfter = env.Seconds("RECONCILE_AFTER_SECONDS", 1, 6*3600)
	c.StalledAfter = env.Seconds("STALLED_AFTER_SECONDS", 1, 14*24*3600)
	return c, env.Err()
}
