package boot

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"unicode"
)

// visible is a handler that writes through another what a terminal would obey as a Go
// string has it, such as \u009b. JSON escapes the characters below U+0020 only, and a log
// is read in a terminal, too: there U+009B begins a command, and U+202E turns what follows.
type visible struct{ inner slog.Handler }

func (v visible) Enabled(ctx context.Context, level slog.Level) bool {
	return v.inner.Enabled(ctx, level)
}

func (v visible) WithGroup(name string) slog.Handler { return visible{v.inner.WithGroup(name)} }

func (v visible) WithAttrs(attrs []slog.Attr) slog.Handler {
	return visible{v.inner.WithAttrs(visibleAttrs(attrs))}
}

func (v visible) Handle(ctx context.Context, r slog.Record) error {
	line := slog.NewRecord(r.Time, r.Level, visibleText(r.Message), r.PC)
	r.Attrs(func(a slog.Attr) bool {
		line.AddAttrs(visibleAttr(a))
		return true
	})
	return v.inner.Handle(ctx, line)
}

func visibleAttrs(attrs []slog.Attr) []slog.Attr {
	all := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		all[i] = visibleAttr(a)
	}
	return all
}

func visibleAttr(a slog.Attr) slog.Attr {
	value := a.Value.Resolve()
	switch value.Kind() {
	case slog.KindString:
		value = slog.StringValue(visibleText(value.String()))
	case slog.KindGroup:
		value = slog.GroupValue(visibleAttrs(value.Group())...)
	case slog.KindAny:
		switch x := value.Any().(type) {
		case error:
			value = slog.StringValue(visibleText(x.Error()))
		case []string:
			texts := make([]string, len(x))
			for i, s := range x {
				texts[i] = visibleText(s)
			}
			value = slog.AnyValue(texts)
		}
	}
	return slog.Attr{Key: a.Key, Value: value}
}

func obeyed(r rune) bool {
	return 0x7f <= r && r <= 0x9f || unicode.Is(unicode.Bidi_Control, r)
}

func visibleText(s string) string {
	if strings.IndexFunc(s, obeyed) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if obeyed(r) {
			fmt.Fprintf(&b, `\u%04x`, r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}
