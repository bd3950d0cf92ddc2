package publish

import "extend-intake/shared/boot"

// Config is what the environment says.
type Config struct {
	EventBus, ResultsBucket, DeadLetters string
}

// LoadConfig reads the environment and reports every error at once.
func LoadConfig(getenv func(string) string) (Config, error) {
	env := boot.NewEnv(getenv)
	c := Config{
		EventBus: env.Required("EVENT_BUS_NAME"), ResultsBucket: env.Required("RESULTS_BUCKET"),
		DeadLetters: env.Required("DEAD_LETTER_QUEUE_URL"),
	}
	return c, env.Err()
}
