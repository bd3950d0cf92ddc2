package command

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	logtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/spf13/cobra"

	"extend-intake/intake/exit"
	"extend-intake/intake/out"
	"extend-intake/intake/selector"
	"extend-intake/intake/stack"
)

func init() { register(newLogs) }

// functions are those of the stack, in the order in which a document meets them.
var functions = []string{"submit", "webhook", "reconcile", "publish"}

// LogLine is a line of a function's log; as JSON it is the line itself.
type LogLine struct {
	Time     time.Time
	Function string
	Level    string
	Message  string
	// Fields are the others, as they are in the line.
	Fields map[string]json.RawMessage
	Raw    json.RawMessage
	id     string
}

// MarshalJSON is the line as it was logged.
func (l LogLine) MarshalJSON() ([]byte, error) { return l.Raw, nil }

func newLogs(e *Env) *cobra.Command {
	var flags selector.Flags
	var follow bool
	var only []string
	var level, grep, since string
	cmd := e.leaf(spec{
		use: "logs [DOCUMENT…] [flags]", short: "Show what the functions have logged", class: Read, output: []json.RawMessage{}, args: cobra.ArbitraryArgs,
		long: `logs shows the lines of the four functions' logs, in the order of their times. With documents
it shows their lines only. JSON has the lines as they were logged; docs/operations.md says what
the keys mean.

` + selector.Help,
		example: `  intake logs
  intake logs s3://my-bucket/invoices/42.pdf --since 7d
  intake logs -f --level warn
  intake logs --function submit --grep paused -o jsonl`,
		calls: []string{"logs:FilterLogEvents", "dynamodb:Query", "dynamodb:BatchGetItem", "dynamodb:GetItem", "s3:GetObject", "s3:ListBucketVersions"},
		run: func(ctx context.Context, args []string) error {
			q := logQuery{functions: functions, grep: grep}
			var err error
			if q.from, err = selector.Instant("--since", since, e.Now().In(e.Location)); err != nil {
				return err
			}
			if q.level, err = levelOf(level); err != nil {
				return err
			}
			if len(only) > 0 {
				q.functions = only
			}
			for _, f := range q.functions {
				if !slices.Contains(functions, f) {
					return exit.New(exit.Usage, "--function %s: there is no such function", f).Next("choose of %s", strings.Join(functions, ", "))
				}
			}
			if follow && !e.Out().ForPeople() && !e.Out().Streams() {
				return exit.New(exit.Usage, "-f never ends, and a JSON array would have to").Next("use -o jsonl")
			}
			sel, err := e.Select(args, flags)
			if err != nil {
				return err
			}
			s, err := e.Stack(ctx)
			if err != nil {
				return err
			}
			if sel.Named() {
				for item, err := range e.Finder(s).Find(ctx, sel, "") {
					if err != nil {
						return err
					}
					q.documents = append(q.documents, item.DocumentID)
				}
				if len(q.documents) > maxLogDocuments {
					return exit.New(exit.Usage, "logs of %d documents: %d are possible at once", len(q.documents), maxLogDocuments)
				}
			}
			if follow {
				return e.followLogs(ctx, s, q)
			}
			lines, cut, err := readLogs(ctx, s, q)
			if err != nil {
				return err
			}
			if err := e.printLogs(lines); err != nil {
				return err
			}
			switch {
			case cut:
				e.Notef("There are more lines: choose a shorter --since, or a document.")
			case len(lines) == 0:
				e.Notef("Nothing was logged like that since %s.", out.Time(q.from))
			}
			return nil
		},
	})
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with what is logged from now on, until Ctrl-C")
	cmd.Flags().StringSliceVar(&only, "function", nil, "only of these `functions`: submit, webhook, reconcile, publish")
	cmd.Flags().StringVar(&level, "level", "info", "from this `level` on: info, warn or error")
	cmd.Flags().StringVar(&grep, "grep", "", "only lines with this `text` in them")
	cmd.Flags().StringVar(&since, "since", "15m", "from this `time` on, such as 2h, 7d or 2026-11-25")
	cmd.Flags().BoolVar(&flags.AllVersions, "all-versions", false, "all uploads of an object, not only the newest")
	complete(cmd, "function", func(context.Context) []string { return functions })
	return cmd
}

// levels are the levels of lines, the least first.
var levels = []string{"DEBUG", "INFO", "WARN", "ERROR"}

func levelOf(name string) (int, error) {
	i := slices.Index(levels, strings.ToUpper(name))
	if i < 0 {
		return 0, exit.New(exit.Usage, "--level %s: there is no such level", name).Next("choose of info, warn, error")
	}
	return i, nil
}

// logQuery says which lines are wanted.
type logQuery struct {
	functions   []string
	documents   []string // empty: all lines
	from, until time.Time
	level       int
	grep        string
}

const (
	// maxLogDocuments bounds the documents whose logs are read at once: each is a search.
	maxLogDocuments = 20
	// maxLogLines bounds the lines that are kept to be put in order.
	maxLogLines = 50_000
)

// readLogs reads the lines of a span in the order of their times. It is cut where there are
// too many.
func readLogs(ctx context.Context, s *stack.Stack, q logQuery) (lines []LogLine, cut bool, err error) {
	// A term in double quotes is found anywhere in a line. Those that FilterLogEvents can't look
	// for, and the other conditions, are looked for here.
	terms := []string{""}
	switch {
	case len(q.documents) > 0:
		terms = q.documents
	case q.grep != "" && strings.Trim(q.grep, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_ ") == "":
		terms = []string{q.grep}
	}
	var mu sync.Mutex
	var tasks []func() error
	for _, function := range q.functions {
		for _, term := range terms {
			tasks = append(tasks, func() error {
				group := "/aws/lambda/" + s.Name + "/" + function
				in := &cloudwatchlogs.FilterLogEventsInput{LogGroupName: &group, StartTime: aws.Int64(q.from.UnixMilli())}
				if term != "" {
					in.FilterPattern = aws.String(`"` + term + `"`)
				}
				if !q.until.IsZero() {
					in.EndTime = aws.Int64(q.until.UnixMilli())
				}
				for pages := cloudwatchlogs.NewFilterLogEventsPaginator(s.Logs(), in); pages.HasMorePages(); {
					page, err := pages.NextPage(ctx)
					if _, ok := errors.AsType[*logtypes.ResourceNotFoundException](err); ok {
						return exit.New(exit.Failed, "log group %s: there is none: was it deleted?", group)
					}
					if err != nil {
						return fmt.Errorf("log group %s: %w", group, err)
					}
					mu.Lock()
					for _, event := range page.Events {
						if line, ok := parseLogLine(function, event); ok && q.keeps(line) {
							lines = append(lines, line)
						}
					}
					enough := len(lines) > maxLogLines
					cut = cut || enough
					mu.Unlock()
					if enough {
						return nil
					}
				}
				return nil
			})
		}
	}
	if err := together(tasks); err != nil {
		return nil, false, err
	}
	slices.SortStableFunc(lines, func(a, b LogLine) int { return a.Time.Compare(b.Time) })
	return lines, cut, nil
}

// parseLogLine reads one line. Lambda's own lines are of interest only where something went
// wrong; a line that is no JSON is a crash's.
func parseLogLine(function string, event logtypes.FilteredLogEvent) (LogLine, bool) {
	text := strings.TrimSpace(aws.ToString(event.Message))
	l := LogLine{
		Time: time.UnixMilli(aws.ToInt64(event.Timestamp)).UTC(), Function: function, Raw: json.RawMessage(text),
		id: aws.ToString(event.EventId) + aws.ToString(event.LogStreamName) + fmt.Sprint(aws.ToInt64(event.Timestamp)) + text,
	}
	if err := json.Unmarshal([]byte(text), &l.Fields); err != nil || l.Fields == nil {
		if strings.HasPrefix(text, "START ") || strings.HasPrefix(text, "END ") || strings.HasPrefix(text, "REPORT ") || strings.HasPrefix(text, "INIT_START ") || text == "" {
			return LogLine{}, false
		}
		l.Level, l.Message = "ERROR", text
		if l.Raw, err = out.Marshal(text); err != nil {
			return LogLine{}, false
		}
		return l, true
	}
	word := func(name string) string {
		var s string
		_ = json.Unmarshal(l.Fields[name], &s) // "" for what is no text
		return s
	}
	if kind := word("type"); strings.HasPrefix(kind, "platform.") {
		var record struct{ Status string }
		_ = json.Unmarshal(l.Fields["record"], &record) // without a status it is of no interest
		if record.Status == "" || record.Status == "success" {
			return LogLine{}, false
		}
		l.Level, l.Message = "ERROR", fmt.Sprintf("Lambda: %s: %s", kind, record.Status)
	} else {
		l.Level, l.Message = cmp.Or(strings.ToUpper(word("level")), "INFO"), word("message")
	}
	if t, err := time.Parse(time.RFC3339Nano, cmp.Or(word("timestamp"), word("time"))); err == nil {
		l.Time = t
	}
	for _, name := range []string{"timestamp", "time", "level", "message", "type", "_aws", "Stack"} {
		delete(l.Fields, name)
	}
	return l, true
}

func (q logQuery) keeps(l LogLine) bool {
	if len(q.documents) > 0 && !slices.ContainsFunc(q.documents, func(id string) bool { return strings.Contains(string(l.Raw), id) }) {
		return false
	}
	return slices.Index(levels, l.Level) >= q.level && strings.Contains(string(l.Raw), q.grep)
}

// followLogs prints what is logged, until the context ends.
func (e *Env) followLogs(ctx context.Context, s *stack.Stack, q logQuery) error {
	seen := make(map[string]time.Time)
	for {
		lines, _, err := readLogs(ctx, s, q)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			return err
		}
		var fresh []LogLine
		for _, l := range lines {
			if _, ok := seen[l.id]; !ok {
				seen[l.id] = l.Time
				fresh = append(fresh, l)
			}
		}
		if err := e.printLogs(fresh); err != nil {
			return err
		}
		// A line can be there some seconds after its time.
		q.from = e.Now().Add(-30 * time.Second)
		maps.DeleteFunc(seen, func(_ string, t time.Time) bool { return t.Before(q.from.Add(-time.Minute)) })
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(2 * time.Second):
		}
	}
}

// printLogs prints lines: for people each on one line.
func (e *Env) printLogs(lines []LogLine) error {
	p := e.Out()
	if !p.ForPeople() {
		_, err := out.List[LogLine]{Columns: logColumns, ID: func(l LogLine) string { return l.documentID() }}.Print(p, func(yield func(LogLine, error) bool) {
			for _, l := range lines {
				if !yield(l, nil) {
					return
				}
			}
		})
		return err
	}
	for _, l := range lines {
		cells := make([]string, 0, 5)
		for _, c := range logColumns {
			cells = append(cells, out.Visible(c.Text(l)))
		}
		separator := "\t"
		if p.TTY {
			separator = "  "
			cells[0] = l.Time.In(e.Location).Format("15:04:05.000")
			cells[1] = fmt.Sprintf("%-9s", cells[1])
			cells[2] = p.Paint(map[string]out.Color{"WARN": out.Yellow, "ERROR": out.Red}[l.Level], fmt.Sprintf("%-5s", cells[2]))
		}
		if err := p.Line(strings.Join(cells, separator)); err != nil {
			return err
		}
	}
	return nil
}

func (l LogLine) documentID() string {
	var id string
	_ = json.Unmarshal(l.Fields["document_id"], &id) // lines about no document have none
	return id
}

var logColumns = []out.Column[LogLine]{
	{Name: "TIME", Text: func(l LogLine) string { return out.Time(l.Time) }},
	{Name: "FUNCTION", Text: func(l LogLine) string { return l.Function }},
	{Name: "LEVEL", Text: func(l LogLine) string { return l.Level }},
	{Name: "MESSAGE", Text: func(l LogLine) string { return l.Message }},
	{Name: "DETAILS", Text: LogLine.details},
}

// details are the fields as words, the document first.
func (l LogLine) details() string {
	names := slices.SortedFunc(maps.Keys(l.Fields), func(a, b string) int {
		first := func(name string) int {
			if i := slices.Index([]string{"document_id", "object", "state", "reason", "error"}, name); i >= 0 {
				return i
			}
			return 9
		}
		return cmp.Or(cmp.Compare(first(a), first(b)), strings.Compare(a, b))
	})
	var words []string
	for _, name := range names {
		if name == "requestId" {
			continue
		}
		value := string(l.Fields[name])
		var s string
		if json.Unmarshal(l.Fields[name], &s) == nil {
			value = s
		}
		words = append(words, name+"="+value)
	}
	return strings.Join(words, " ")
}
