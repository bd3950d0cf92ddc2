package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"strings"
	"time"

	"extend-intake/test/corpus"
)

// deliverySizes are those of the deliveries that are measured, in KB, and how many there are of
// each. The largest is what fits into the 6 MB that Lambda hands a function, where every
// quotation mark in it takes two bytes.
var deliverySizes = []struct{ kilobytes, count int }{{2, 60}, {20, 60}, {66, 40}, {200, 30}, {1000, 12}, {5300, 6}}

// byDelivery are the functions whose work grows with what Extend has read.
var byDelivery = []string{"webhook", "publish"}

// deliveryFigures are what one function of one tree takes for a delivery of one size.
type deliveryFigures struct {
	tree, function string
	bytes          int
	cpu            time.Duration
	memory         int64 // bytes
}

// tree is a checkout whose functions are built in dir.
type tree struct{ name, dir string }

// measureDeliveries takes documents with citations for every field through the functions of each
// tree, in turns, so that all have the same noise.
func measureDeliveries(ctx context.Context, w *world, trees []tree, say func(string, ...any)) ([]deliveryFigures, error) {
	w.at("", false) // none of it is a call that is counted
	shared := make(map[string]*instance)
	defer stopAll(shared)
	for _, name := range functions {
		var err error
		if shared[name], err = startInstance(ctx, name, filepath.Join(trees[0].dir, name), w.env[name]); err != nil {
			delete(shared, name)
			return nil, err
		}
	}
	var all []deliveryFigures
	for _, size := range deliverySizes {
		say("%d deliveries of %d KB …", size.count, size.kilobytes)
		w.output = corpus.Citations(size.kilobytes << 9) // a delivery has the output twice
		figures, err := deliveriesOf(ctx, w, trees, shared, size.count)
		if err != nil {
			return nil, fmt.Errorf("deliveries of %d KB: %w", size.kilobytes, err)
		}
		all = append(all, figures...)
	}
	return all, nil
}

func stopAll(instances map[string]*instance) {
	for _, i := range instances {
		i.stop()
	}
}

func deliveriesOf(ctx context.Context, w *world, trees []tree, shared map[string]*instance, count int) ([]deliveryFigures, error) {
	runs := make([]map[string]*instance, len(trees))
	for t, tree := range trees {
		runs[t] = maps.Clone(shared)
		own := make(map[string]*instance)
		defer stopAll(own)
		for _, name := range byDelivery {
			i, err := startInstance(ctx, name, filepath.Join(tree.dir, name), w.env[name])
			if err != nil {
				return nil, err
			}
			own[name], runs[t][name] = i, i
		}
	}
	const warm = 3
	begun := make([]map[string]time.Duration, len(trees))
	for n := range warm + count {
		for t := range trees {
			if n == warm {
				begun[t] = make(map[string]time.Duration)
				for _, name := range byDelivery {
					var err error
					if begun[t][name], err = runs[t][name].cpu(); err != nil {
						return nil, err
					}
				}
			}
			if _, err := w.document(ctx, runs[t], fmt.Sprintf("sizes/%d/%d/%d.pdf", len(w.output), t, n), false); err != nil {
				return nil, err
			}
		}
	}
	var all []deliveryFigures
	for t, tree := range trees {
		for _, name := range byDelivery {
			cpu, err := runs[t][name].cpu()
			if err != nil {
				return nil, err
			}
			f := deliveryFigures{tree: tree.name, function: name, bytes: w.deliveryBytes, cpu: (cpu - begun[t][name]) / time.Duration(count)}
			if f.memory, err = runs[t][name].peakMemory(); err != nil {
				return nil, err
			}
			all = append(all, f)
		}
	}
	return all, nil
}

// reportDeliveries is a table with a line for each size, and columns for each function of each
// tree.
func reportDeliveries(b io.Writer, trees []tree, all []deliveryFigures, empty int64) {
	var head, line strings.Builder
	for _, tree := range trees {
		for _, name := range byDelivery {
			fmt.Fprintf(&head, " %s: CPU | peak memory |", strings.TrimSpace(name+" "+tree.name))
			line.WriteString(" ---: | ---: |")
		}
	}
	fmt.Fprintf(b, "\nDeliveries of several sizes, with a citation for every field. Each has the output twice, as Extend's have.\n\n| delivery |%s\n| ---: |%s\n", head.String(), line.String())
	columns := len(trees) * len(byDelivery)
	for n := 0; n+columns <= len(all); n += columns {
		fmt.Fprintf(b, "| %s |", kilobytes(float64(all[n].bytes)))
		for _, f := range all[n : n+columns] {
			memory := "not measured"
			if f.memory > 0 {
				memory = megabytes(f.memory) + ratio(f.function, float64(f.memory), float64(empty))
			}
			fmt.Fprintf(b, " %s | %s |", ms(f.cpu), memory)
		}
		fmt.Fprintln(b)
	}
}
