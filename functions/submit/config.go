package main

import (
	"net/url"
	"time"

	"extend-intake/shared/boot"
	"extend-intake/shared/document"
	"extend-intake/shared/ledger"
)

type config struct {
	stack, table, secretID   string
	baseURL                  *url.URL
	workspace                string
	uploadQueue, deadLetters string
	route                    document.Route
	// The plan's limits, divided by how many instances may run at once.
	requestsPerSecond, filesPerSecond float64
	rules                             ledger.Rules
	// pause is how long an instance makes no call after Extend refused the account.
	pause time.Duration
}

// postTimeout bounds one POST. It is far below the shortest lease.
const postTimeout = 20 * time.Second

// loadConfig reports every fault at once.
func loadConfig(getenv func(string) string) (config, error) {
	env := boot.NewEnv(getenv)
	c := config{
		stack: env.Required("STACK"), table: env.Required("TABLE_NAME"), secretID: env.Required("SECRET_ID"),
		baseURL: env.URL("EXTEND_BASE_URL"), workspace: env.Optional("EXTEND_WORKSPACE_ID"),
		uploadQueue: env.Required("UPLOAD_QUEUE_URL"), deadLetters: env.Required("DEAD_LETTER_QUEUE_URL"),
		route: document.Route{
			Name: "default", Prefix: env.Optional("KEY_PREFIX"), Suffix: env.Optional("KEY_SUFFIX"),
			ProcessorID: env.Prefixed("PROCESSOR_ID", "dp_"), Version: env.Required("PROCESSOR_VERSION"),
		},
		requestsPerSecond: env.Float("REQUESTS_PER_SECOND", 0.1, 10_000),
		filesPerSecond:    env.Float("FILES_PER_MINUTE", 1, 100_000) / 60,
		rules:             ledger.DefaultRules,
		pause:             env.Seconds("PAUSE_SECONDS", 1, 900),
	}
	instances := float64(env.Int("MAX_CONCURRENCY", 1, 1000))
	c.requestsPerSecond /= instances
	c.filesPerSecond /= instances
	c.rules.Lease = env.Seconds("LEASE_SECONDS", 60, 3600)
	c.rules.ConfirmWindow = env.Seconds("CONFIRM_WINDOW_SECONDS", 1, 24*3600)
	return c, env.Err()
}
