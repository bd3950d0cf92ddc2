package metric

import (
	"context"
	"log/slog"
	"slices"
	"strings"
)

// NewHandler returns a handler that writes through inner, which must write one JSON
// object a line. Where a line has metrics, they are added at its root in the embedded
// metric format, under the dimension Stack: the last part of stack, which is a
// deployment's account/region/name.
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
//
// No level filter loses a metric: a line that has one is written at the lowest level
// that passes.
func NewHandler(inner slog.Handler, stack string) slog.Handler {
	return &handler{inner: inner, root: inner, stack: stack[strings.LastIndexByte(stack, '/')+1:]}
}

type handler struct {
	inner slog.Handler // with all that With and WithGroup gave
	root  slog.Handler // without
	given []given      // what they gave, in order
	bound []sample     // the metrics of With
	stack string
}

// given is a group, or attributes.
type given struct {
	group string
	attrs []slog.Attr
}

// Enabled lets all pass: whether a line has metrics is not known before Handle.
func (h *handler) Enabled(context.Context, slog.Level) bool { return true }

func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	next := *h
	attrs, next.bound = split(attrs, slices.Clip(h.bound))
	if len(attrs) > 0 {
		next.inner = h.inner.WithAttrs(attrs)
		next.given = append(slices.Clip(h.given), given{attrs: attrs})
	}
	return &next
}

func (h *handler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	next := *h
	next.inner = h.inner.WithGroup(name)
	next.given = append(slices.Clip(h.given), given{group: name})
	return &next
}

func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	counts := len(h.bound) > 0
	if !counts {
		r.Attrs(func(a slog.Attr) bool { _, counts = sampleOf(a); return !counts })
	}
	if !counts {
		if !h.inner.Enabled(ctx, r.Level) {
			return nil
		}
		return h.inner.Handle(ctx, r)
	}

	all := make([]slog.Attr, 0, r.NumAttrs()+len(h.bound)+4)
	r.Attrs(func(a slog.Attr) bool { all = append(all, a); return true })
	attrs, samples := split(all, slices.Clip(h.bound))
	level := r.Level
	for _, l := range []slog.Level{slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
		if !h.inner.Enabled(ctx, level) {
			level = max(level, l)
		}
	}
	line := slog.NewRecord(r.Time, level, r.Message, r.PC)
	line.AddAttrs(attrs...)
	inner, metrics := h.inner, embedded(samples, h.stack, r.Time.UnixMilli())
	if slices.ContainsFunc(h.given, func(g given) bool { return g.group != "" }) {
		// Metrics belong at the root, which is closed: the line is begun anew with them.
		inner = h.root.WithAttrs(metrics)
		for _, g := range h.given {
			if g.group != "" {
				inner = inner.WithGroup(g.group)
			} else {
				inner = inner.WithAttrs(g.attrs)
			}
		}
	} else {
		line.AddAttrs(metrics...)
	}
	return inner.Handle(ctx, line)
}

func sampleOf(a slog.Attr) (sample, bool) {
	if a.Value.Kind() != slog.KindLogValuer {
		return sample{}, false
	}
	s, ok := a.Value.Any().(sample)
	return s, ok
}

// split takes the metrics out of attrs and adds them to samples.
func split(attrs []slog.Attr, samples []sample) ([]slog.Attr, []sample) {
	rest := make([]slog.Attr, 0, len(attrs))
	for _, a := range attrs {
		if s, ok := sampleOf(a); !ok {
			rest = append(rest, a)
		} else if s.finite() {
			samples = append(samples, s)
		}
	}
	return rest, samples
}

// The members that the format prescribes.
type (
	directives struct {
		Timestamp         int64
		CloudWatchMetrics []directive
	}
	directive struct {
		Namespace  string
		Dimensions [][]string
		Metrics    []definition
	}
	definition struct{ Name, Unit string }
)

// embedded are the root members that make a line count. A name can be there once, so
// the samples of a metric are added up. Where they differ in the dimension's value,
// they count only for the stack as a whole.
func embedded(samples []sample, stack string, at int64) []slog.Attr {
	var (
		sums   []sample
		values = make(map[string]string) // by dimension; "" where there are several
	)
	for _, s := range samples {
		if v, ok := values[s.dimension]; ok && v != s.value {
			values[s.dimension] = ""
		} else {
			values[s.dimension] = s.value
		}
		if i := slices.IndexFunc(sums, func(o sample) bool { return o.name == s.name }); i >= 0 {
			sums[i].n += s.n
		} else {
			sums = append(sums, s)
		}
	}
	if len(sums) == 0 {
		return nil
	}
	d := directives{Timestamp: at}
	attrs := []slog.Attr{slog.String("Stack", stack)}
	place := make(map[string]int) // of a dimension's directive
	for _, s := range sums {
		if !s.finite() { // each was, their sum is not
			continue
		}
		dimension := s.dimension
		if values[dimension] == "" {
			dimension = ""
		}
		i, ok := place[dimension]
		if !ok {
			i = len(d.CloudWatchMetrics)
			place[dimension] = i
			sets := [][]string{{"Stack"}}
			if dimension != "" {
				sets = append(sets, []string{"Stack", dimension})
				attrs = append(attrs, slog.String(dimension, values[dimension]))
			}
			d.CloudWatchMetrics = append(d.CloudWatchMetrics, directive{Namespace: Namespace, Dimensions: sets})
		}
		d.CloudWatchMetrics[i].Metrics = append(d.CloudWatchMetrics[i].Metrics, definition{s.name, s.unit})
		attrs = append(attrs, slog.Float64(s.name, s.n))
	}
	return append(attrs, slog.Any("_aws", d))
}
