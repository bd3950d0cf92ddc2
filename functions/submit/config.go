package submit

import (
	"net/url"
	"time"

	"extend-intake/shared/boot"
	"extend-intake/shared/document"
	"extend-intake/shared/ledger"
)

// Config is what the environment says.
type Config struct {
	Stack, Table, SecretID   string
	BaseURL                  *url.URL
	Workspace                string
	UploadQueue, DeadLetters string
	Route                    document.Route
	// The plan's limits, divided by how many instances may run at once.
	RequestsPerSecond, FilesPerSecond float64
	Rules                             ledger.Rules
	// Pause is how long an instance makes no call after Extend refused the account.
	Pause time.Duration
}

// postTimeout bounds one POST. It is far below the shortest lease.
const postTimeout = 20 * time.Second

const (
	// share of the plan's requests; the rest is for reconcile.
	share = 0.8
	// pacing of the plan's files: exactly as many as allowed, a few of them a moment
	// early, are now and then one too many, and a 429 costs more turns than this.
	pacing = 0.98
)

// LoadConfig reads the environment and reports every fault at once.
func LoadConfig(getenv func(string) string) (Config, error) {
	env := boot.NewEnv(getenv)
	c := Config{
		Stack: env.Required("STACK"), Table: env.Required("TABLE_NAME"), SecretID: env.Required("SECRET_ID"),
		BaseURL: env.URL("EXTEND_BASE_URL"), Workspace: env.Optional("EXTEND_WORKSPACE_ID"),
		UploadQueue: env.Required("UPLOAD_QUEUE_URL"), DeadLetters: env.Required("DEAD_LETTER_QUEUE_URL"),
		Route: document.Route{
			Name: "default", Prefix: env.Optional("KEY_PREFIX"), Suffix: env.Optional("KEY_SUFFIX"),
			ProcessorID: env.Prefixed("PROCESSOR_ID", "dp_"), Version: env.Required("PROCESSOR_VERSION"),
		},
		RequestsPerSecond: env.Float("REQUESTS_PER_SECOND", 0.1, 10_000),
		FilesPerSecond:    env.Float("FILES_PER_MINUTE", 5, 100_000) / 60,
		Rules:             ledger.DefaultRules,
		Pause:             env.Seconds("PAUSE_SECONDS", 1, 900),
	}
	instances := float64(env.Int("MAX_CONCURRENCY", 1, 1000))
	c.RequestsPerSecond *= share / instances
	c.FilesPerSecond *= pacing / instances
	c.Rules.Lease = env.Seconds("LEASE_SECONDS", 60, 3600)
	c.Rules.ConfirmWindow = env.Seconds("CONFIRM_WINDOW_SECONDS", 1, 24*3600)
	c.Rules.ReconcileAfter = env.Seconds("RECONCILE_AFTER_SECONDS", 1, 6*3600)
	return c, env.Err()
}
