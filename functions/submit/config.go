package submit

import (
	"math"
	"time"

	"extend-intake/shared/boot"
	"extend-intake/shared/document"
	"extend-intake/shared/ledger"
)

// Config is what the environment says.
type Config struct {
	boot.Common
	// DeadLetterQueue is the URL of the upload queue's dead-letter queue.
	DeadLetterQueue string
	// Bucket is the one whose uploads are read.
	Bucket string
	// BucketOwner is the account that Bucket must belong to, 12 digits; empty is not checked.
	BucketOwner string
	// Region is the stack's: an object of any other can't be linked. Empty means that it is
	// not known, and events are not compared with it.
	Region string
	// Routes are those of the parameter Routes and, last, the one that ProcessorId makes.
	Routes document.Routes
	// SendsFiles: Extend is sent the file itself, and not a link to it.
	SendsFiles bool
	// The plan's limits, divided by how many instances may run at once.
	RequestsPerSecond, FilesPerSecond float64
	Rules                             ledger.Rules
	// Pause is how long an instance makes no call after Extend has refused the account.
	Pause time.Duration
	// StalledAfter is how long after its upload a document that still waits counts as
	// stalled.
	StalledAfter time.Duration
	// MinFileBytes and MaxFileBytes bound the files that are read; MaxFileBytes of 0 is no bound.
	MinFileBytes, MaxFileBytes int64
	// Settle is how long after its upload an object is left alone: tools may replace it.
	Settle time.Duration
	// NewestOnly: an object that was replaced before its turn is not read.
	NewestOnly bool
	// SideBySide is how many messages of a batch are handled at once.
	SideBySide int
}

// postTimeout bounds one POST, uploadTimeout the sending of a file before it. Both
// are far below the shortest lease.
const (
	postTimeout   = 20 * time.Second
	uploadTimeout = 100 * time.Second
	// headTimeout bounds a look at an object.
	headTimeout = 10 * time.Second
)

const (
	// requestShare is submit's share of the plan's requests; the rest is reconcile's.
	requestShare = 0.8
	// fileShare is that of the plan's files. At exactly the plan's rate, a few requests that
	// come a moment early would be one too many, and a 429 costs more than these 2 %.
	fileShare = 0.98
	// leastRequests a second and leastFiles a minute are the smallest plan that can be
	// worked with, by two instances.
	leastRequests = 0.1
	leastFiles    = 5.0
)

// LoadConfig reads the environment. Its error names everything that is wrong with it.
func LoadConfig(getenv func(string) string) (Config, error) {
	env := boot.NewEnv(getenv)
	c := Config{
		Common: env.Common(), DeadLetterQueue: env.Required("DEAD_LETTER_QUEUE_URL"),
		Bucket: env.Required("UPLOAD_BUCKET"), BucketOwner: env.Optional("UPLOAD_BUCKET_OWNER"), Region: env.Optional("AWS_REGION"), Routes: routes(env),
		RequestsPerSecond: env.Float("REQUESTS_PER_SECOND", leastRequests, 10_000),
		FilesPerSecond:    env.Float("FILES_PER_MINUTE", leastFiles, 100_000) / 60,
		Rules:             ledger.DefaultRules,
		Pause:             env.Seconds("PAUSE_SECONDS", 1, 900),
		StalledAfter:      env.Seconds("STALLED_AFTER_SECONDS", 1, 14*24*3600),
	}
	c.share(env, env.Int("SUBMIT_CONCURRENCY", 1, 1000))
	shortest := 61 // longer than the function runs
	switch t := env.Required("TRANSFER"); t {
	case "link":
	case "upload":
		c.SendsFiles, shortest = true, 171
	default:
		env.Errorf("TRANSFER", `is %q: it must be "link" or "upload"`, t)
	}
	c.Rules.DailyCredits = env.DailyCredits()
	c.Rules.MaxFailures = env.Int("MAX_FAILURES", 1, 1000)
	c.Rules.GiveUpAfter = env.Seconds("GIVE_UP_AFTER_SECONDS", 60, 14*24*3600)
	c.Rules.MaxUnanswered = env.Int("MAX_UNANSWERED", 1, 100)
	const tera = 5 << 40 // what an object of S3 can have
	c.MinFileBytes = int64(env.Int("MIN_FILE_BYTES", 0, tera))
	c.MaxFileBytes = int64(env.Int("MAX_FILE_BYTES", 0, tera))
	c.Settle = env.Seconds("SETTLE_SECONDS", 0, 900)
	switch v := env.Required("NEWEST_ONLY"); v {
	case "true", "false":
		c.NewestOnly = v == "true"
	default:
		env.Errorf("NEWEST_ONLY", `is %q: it must be "true" or "false"`, v)
	}
	c.SideBySide = 10 // as many as there are in a batch
	c.Rules.Lease = env.Seconds("LEASE_SECONDS", shortest, 3600)
	c.Rules.ConfirmWindow = env.Seconds("CONFIRM_WINDOW_SECONDS", 1, 24*3600)
	c.Rules.ReconcileAfter = env.Seconds("RECONCILE_AFTER_SECONDS", 1, 6*3600)
	return c, env.Err()
}

// share divides the plan's limits by the instances that may run at once. They know nothing
// of each other, so all of them may send at one moment: the sum must be within the plan
// even then.
func (c *Config) share(env *boot.Env, instances int) {
	requests, files := c.RequestsPerSecond, c.FilesPerSecond*60
	if instances < 1 || requests < leastRequests || files < leastFiles {
		return // it is reported already
	}
	n := float64(instances)
	if n > 2 && n > requests {
		env.Errorf("SUBMIT_CONCURRENCY", "is %d: so many instances can send as many requests within one second, and REQUESTS_PER_SECOND is %v", instances, requests)
	}
	if files/n < leastFiles/2 {
		env.Errorf("SUBMIT_CONCURRENCY", "is %d: FILES_PER_MINUTE, %v, must be at least %v for each of so many instances, or they would wait longer for the next file than they can run", instances, files, leastFiles/2)
	}
	each := requests / n
	if each > 1 {
		each = math.Floor(each) // below a whole number a second, no second has one more than that
	}
	c.RequestsPerSecond, c.FilesPerSecond = requestShare*each, fileShare*c.FilesPerSecond/n
}

// defaultRoute is the name of the route that ProcessorId makes.
const defaultRoute = "default"

// routes are what the parameters Routes and ProcessorId say, in the order in which
// they are asked.
func routes(env *boot.Env) document.Routes {
	rs, err := document.ParseRoutes(env.Optional("ROUTES"))
	if err != nil {
		env.Errorf("ROUTES", "can't be used:\n%v", err)
	}
	r := document.Route{Name: defaultRoute, Prefix: env.Optional("KEY_PREFIX"), Suffix: env.Optional("KEY_SUFFIX"), Version: env.Required("PROCESSOR_VERSION")}
	switch {
	case env.Optional("PROCESSOR_ID") != "":
		r.ProcessorID = env.Prefixed("PROCESSOR_ID", "dp_")
		return append(rs, r)
	case env.Optional("ROUTES") == "":
		env.Errorf("PROCESSOR_ID", "and ROUTES are both empty: one of them must say which processor reads the uploads")
	case r.Prefix+r.Suffix != "":
		env.Errorf("KEY_PREFIX", "and KEY_SUFFIX are about PROCESSOR_ID, which is empty: give it as well, or write them into ROUTES")
	}
	return rs
}

// route is the rule for an upload. A document that has been begun goes on though
// KeyPrefix and KeySuffix have changed since.
func (c Config) route(key string, begun bool) (document.Route, bool) {
	if r, ok := c.Routes.Find(key); ok {
		return r, true
	}
	if last := len(c.Routes) - 1; begun && last >= 0 && c.Routes[last].Name == defaultRoute {
		return c.Routes[last], true
	}
	return document.Route{}, false
}
