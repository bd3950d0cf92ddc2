package out

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Time is an instant as programs read it: RFC 3339, UTC; "" for none.
func Time(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// When is an instant as people read it: the local time, and how long ago it is. In a pipe it
// is that of [Time].
func (p *Printer) When(t time.Time) string {
	if t.IsZero() || !p.TTY {
		return Time(t)
	}
	now := p.Now()
	local, today := t.In(p.Location), now.In(p.Location)
	clock := local.Format("15:04:05")
	if local.Year() != today.Year() || local.YearDay() != today.YearDay() {
		clock = local.Format("2006-01-02 15:04")
	}
	if d := now.Sub(t); d >= 0 {
		return fmt.Sprintf("%s (%s ago)", clock, Duration(d))
	} else if d > -time.Second {
		return fmt.Sprintf("%s (now)", clock)
	}
	return fmt.Sprintf("%s (in %s)", clock, Duration(t.Sub(now)))
}

// Duration is a span in its largest unit, such as "3 h".
func Duration(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d d", int(d.Hours()/24))
}

// Number is a whole number with commas.
func Number[N int | int64](n N) string {
	digits := strconv.FormatInt(int64(n), 10)
	sign := ""
	if digits[0] == '-' {
		sign, digits = "-", digits[1:]
	}
	var groups []string
	for len(digits) > 3 {
		groups = append([]string{digits[len(digits)-3:]}, groups...)
		digits = digits[:len(digits)-3]
	}
	return sign + strings.Join(append([]string{digits}, groups...), ",")
}

// Size is a number of bytes.
func Size(n int64) string {
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	size := float64(n)
	for _, unit := range []string{"kB", "MB", "GB", "TB"} {
		if size /= 1000; size < 999.5 || unit == "TB" {
			return fmt.Sprintf("%.3g %s", size, unit)
		}
	}
	return ""
}
