// Package logcapture lets tests that run side by side each read the lines that were
// logged for them, although there is one default logger:
//
//	func TestMain(m *testing.M) {
//		logcapture.Install()
//		os.Exit(m.Run())
//	}
//
//	log := &logcapture.Log{}
//	ctx := logcapture.With(t.Context(), log)
//	… what is tested logs with ctx; then read log.String()
package logcapture

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
)

// A Log is what was logged with one context. Its zero value is empty and ready.
type Log struct {
	mu   sync.Mutex
	text strings.Builder
}

type key struct{}

// With returns a context whose lines go to log.
func With(ctx context.Context, log *Log) context.Context {
	return context.WithValue(ctx, key{}, log)
}

// Install makes the default logger write each line to the Log in its context, and drop
// lines without one. Lines of every level are written.
func Install() { slog.SetDefault(slog.New(handler{})) }

// String returns the lines so far. Each is the level, the message, and the attributes
// as key=value, in their order.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

type handler struct{ attrs []slog.Attr }

func (h handler) Enabled(context.Context, slog.Level) bool { return true }
func (h handler) WithGroup(string) slog.Handler            { return h }
func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return handler{slices.Concat(h.attrs, attrs)}
}

func (h handler) Handle(ctx context.Context, r slog.Record) error {
	log, ok := ctx.Value(key{}).(*Log)
	if !ok {
		return nil
	}
	log.mu.Lock()
	defer log.mu.Unlock()
	fmt.Fprintf(&log.text, "%s %s", r.Level, r.Message)
	r = r.Clone()
	r.AddAttrs(h.attrs...)
	r.Attrs(func(a slog.Attr) bool {
		value := strings.ReplaceAll(fmt.Sprint(a.Value.Resolve()), "\n", " ") // one line per record
		fmt.Fprintf(&log.text, " %s=%s", a.Key, value)
		return true
	})
	log.text.WriteByte('\n')
	return nil
}
