package boot

import (
	"errors"
	"fmt"
	"math"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Env reads environment variables and collects what is wrong with them.
type Env struct {
	getenv func(string) string
	errs   []error
}

// NewEnv returns an Env over a look-up such as os.Getenv.
func NewEnv(getenv func(string) string) *Env { return &Env{getenv: getenv} }

// Err is every error so far, or nil, in words for who deploys the template.
func (e *Env) Err() error {
	if len(e.errs) == 0 {
		return nil
	}
	return fmt.Errorf("configuration: %w\n(the variables come from template.yaml's parameters)", e.Errors())
}

// Errors are those so far, one a line, or nil.
func (e *Env) Errors() error { return errors.Join(e.errs...) }

// Errorf adds what a caller finds wrong with a variable, or with several of them together.
func (e *Env) Errorf(name, format string, args ...any) {
	e.errs = append(e.errs, fmt.Errorf("%s %s", name, fmt.Sprintf(format, args...)))
}

// Optional returns a variable as it is.
func (e *Env) Optional(name string) string { return e.getenv(name) }

// Required returns a variable that must not be empty.
func (e *Env) Required(name string) string {
	v := e.getenv(name)
	if strings.TrimSpace(v) == "" {
		e.Errorf(name, "is missing")
	}
	return v
}

// Prefixed returns a variable that must begin with a prefix and go on after it,
// such as an id of Extend.
func (e *Env) Prefixed(name, prefix string) string {
	v := e.Required(name)
	if v != "" && (!strings.HasPrefix(v, prefix) || v == prefix) {
		e.Errorf(name, "is %q: it must begin with %q", v, prefix)
	}
	return v
}

// Int returns a whole number between min and max.
func (e *Env) Int(name string, min, max int) int {
	return int(e.number(name, float64(min), float64(max), true))
}

// Float returns a number between min and max.
func (e *Env) Float(name string, min, max float64) float64 { return e.number(name, min, max, false) }

// DailyCredits returns the budget of a day in credits; 0, or nothing, is no budget.
func (e *Env) DailyCredits() float64 {
	const name = "DAILY_CREDIT_BUDGET"
	if e.Optional(name) == "" {
		return 0
	}
	return e.Float(name, 0, 1e9)
}

// Seconds returns a span given in whole seconds, between min and max of them.
func (e *Env) Seconds(name string, min, max int) time.Duration {
	return time.Duration(e.Int(name, min, max)) * time.Second
}

func (e *Env) number(name string, min, max float64, whole bool) float64 {
	text := e.Required(name)
	if text == "" {
		return 0
	}
	v, err := strconv.ParseFloat(text, 64)
	switch {
	case err != nil || whole && v != math.Trunc(v):
		e.Errorf(name, "is %q: it must be a number", text)
	case !(min <= v && v <= max):
		e.Errorf(name, "is %s: it must be between %v and %v", text, min, max)
	}
	return v
}

// ExtendURL returns the URL of Extend's API, to which the key is sent: https to a host of
// Extend, or http to a fake on this machine. Whoever may change the configuration must not
// be able to have the key sent anywhere else.
func (e *Env) ExtendURL(name string) *url.URL {
	text := e.Required(name)
	if text == "" {
		return nil
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "":
		e.Errorf(name, "is %q: it must be an absolute URL such as https://api.extend.ai", text)
	case u.Scheme == "http" && (u.Hostname() == "127.0.0.1" || u.Hostname() == "localhost" || u.Hostname() == "host.docker.internal"):
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		e.Errorf(name, "is %q: it must be https:// and a host", u.Redacted())
	case u.Scheme != "https":
		e.Errorf(name, "is %q: it must begin with https://", text)
	case !extendHost.MatchString(u.Host):
		e.Errorf(name, "is %q: the API key is sent to hosts of extend.ai and extend.app only", text)
	}
	return u
}

// extendHost is a host of Extend at the usual port. template.yaml has the same pattern.
var extendHost = regexp.MustCompile(`^([a-z0-9-]+\.)*extend\.(ai|app)$`)
