package main

import (
	"net/url"

	"extend-intake/shared/boot"
	"extend-intake/shared/ledger"
)

type config struct {
	stack, table, secretID     string
	baseURL                    *url.URL
	workspace                  string
	uploadQueue, resultsBucket string
	rules                      ledger.Rules
}

// loadConfig reports every fault at once.
func loadConfig(getenv func(string) string) (config, error) {
	env := boot.NewEnv(getenv)
	c := config{
		stack: env.Required("STACK"), table: env.Required("TABLE_NAME"), secretID: env.Required("SECRET_ID"),
		baseURL: env.URL("EXTEND_BASE_URL"), workspace: env.Optional("EXTEND_WORKSPACE_ID"),
		uploadQueue: env.Required("UPLOAD_QUEUE_URL"), resultsBucket: env.Required("RESULTS_BUCKET"),
		rules: ledger.DefaultRules,
	}
	c.rules.MaxAttempts = env.Int("MAX_ATTEMPTS", 1, 10)
	return c, env.Err()
}
