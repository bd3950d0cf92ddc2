package exit_test

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"

	"extend-intake/intake/exit"
)

// Scripts rely on the numbers.
func TestCodes(t *testing.T) {
	t.Parallel()
	notFound := exit.New(exit.NotFound, "there is none")
	for _, c := range []struct {
		name string
		err  error
		want int
	}{
		{"nothing went wrong", nil, 0},
		{"the reader has closed the pipe", fmt.Errorf("write: %w", syscall.EPIPE), 0},
		{"any error", errors.New("no"), 1},
		{"wrong command line", exit.New(exit.Usage, "no"), 2},
		{"ended badly", exit.Quiet(exit.Ended), 3},
		{"no such document", notFound, 4},
		{"inside of another error", fmt.Errorf("line 3: %w", notFound), 4},
		{"joined with another error", errors.Join(errors.New("and"), notFound), 4},
		{"nobody said yes", exit.New(exit.NotConfirmed, "no"), 5},
		{"some failed", exit.Quiet(exit.Partly), 6},
		{"still on the way", exit.Quiet(exit.StillOnTheWay), 8},
		{"stopped", fmt.Errorf("get: %w", exit.ErrStopped), 130},
		{"cancelled by the stop", fmt.Errorf("get: %w", context.Canceled), 130},
	} {
		if got := exit.Of(c.err); int(got) != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}
