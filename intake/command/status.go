package command

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/spf13/cobra"

	"extend-intake/intake/exit"
	"extend-intake/intake/out"
	"extend-intake/intake/stack"
	"extend-intake/shared/ledger"
	"extend-intake/shared/metric"
)

func init() { register(newStatus) }

// Status is what `status` writes.
type Status struct {
	Stack    StackStatus    `json:"stack"`
	OnTheWay OnTheWay       `json:"onTheWay" jsonschema:"Documents that have not ended."`
	Ended24h map[string]int `json:"ended24h" jsonschema:"Documents that have ended in the last 24 hours, by state."`
	Ended    map[string]int `json:"ended,omitempty" jsonschema:"All documents that have ended, by state; only with --exact."`
	// Documents is the table's own count.
	Documents   int         `json:"documents" jsonschema:"All documents, about: DynamoDB counts them every six hours."`
	Queue       QueueStatus `json:"queue" jsonschema:"The upload queue."`
	Rate        float64     `json:"filesPerMinute" jsonschema:"How many files a minute are submitted at most: the plan's, and a little less."`
	Drain       Drain       `json:"drain" jsonschema:"When the upload queue is empty, if nothing is added."`
	Credits24h  float64     `json:"credits24h" jsonschema:"Credits of the runs that ended in the last 24 hours."`
	DeadLetters DeadLetters `json:"deadLetters" jsonschema:"Messages in the dead-letter queues, about."`
	Alarms      []Alarm     `json:"alarms" jsonschema:"The alarms that are on."`
	Pause       string      `json:"pause,omitempty" jsonschema:"Why nothing is submitted: somebody has paused it, or Extend refuses the account."`
}

// StackStatus is which stack it is.
type StackStatus struct {
	Name    string    `json:"name"`
	Account string    `json:"account"`
	Region  string    `json:"region"`
	Status  string    `json:"status" jsonschema:"What CloudFormation says, such as UPDATE_COMPLETE."`
	Version string    `json:"version,omitempty" jsonschema:"The version of the template, if make deploy has deployed it."`
	Updated time.Time `json:"updatedAt" jsonschema:"When it was last deployed."`
}

// OnTheWay counts documents that have not ended.
type OnTheWay struct {
	Waiting     int `json:"WAITING"`
	Submitting  int `json:"SUBMITTING"`
	Unconfirmed int `json:"UNCONFIRMED"`
	Processing  int `json:"PROCESSING"`
	NeedsReview int `json:"NEEDS_REVIEW"`
	Total       int `json:"total" jsonschema:"All of them, about: those that are submitted, and what is in the queue."`
}

// QueueStatus is what is in a queue, about.
type QueueStatus struct {
	Visible  int `json:"visible" jsonschema:"Messages that can be received."`
	InFlight int `json:"inFlight" jsonschema:"Messages that were received and not deleted."`
	Delayed  int `json:"delayed" jsonschema:"Messages that can't be received yet."`
}

func (q QueueStatus) total() int { return q.Visible + q.InFlight + q.Delayed }

// Drain is how long a queue takes.
type Drain struct {
	Seconds int `json:"seconds"`
}

// DeadLetters counts messages.
type DeadLetters struct {
	Uploads       int `json:"uploads"`
	Announcements int `json:"announcements"`
}

// Alarm is one that is on.
type Alarm struct {
	Name   string    `json:"name" jsonschema:"Its name in the template."`
	Since  time.Time `json:"since,omitzero"`
	Says   string    `json:"says" jsonschema:"What it means, and where to read on."`
	Reason string    `json:"reason,omitempty" jsonschema:"What CloudWatch has measured."`
}

func newStatus(e *Env) *cobra.Command {
	var exact, noAlarms bool
	cmd := e.leaf(spec{
		use: "status [flags]", short: "Say how the stack is doing", class: Read, output: Status{},
		long: `status says what is on the way, what has ended, what it cost, and whether anything is wrong.

The exit status is 3 if an alarm is on, or nothing is submitted because somebody has paused it
or Extend refuses the account.`,
		example: `  intake status
  intake status --json --jq '.onTheWay.PROCESSING, .drain.seconds'`,
		calls: []string{"dynamodb:Query", "dynamodb:DescribeTable", "sqs:GetQueueAttributes", "cloudwatch:GetMetricData", "cloudwatch:DescribeAlarms", "lambda:ListEventSourceMappings"},
		run: func(ctx context.Context, _ []string) error {
			s, err := e.Stack(ctx)
			if err != nil {
				return err
			}
			status, err := e.status(ctx, s, exact)
			if err != nil {
				return err
			}
			if err := e.Out().Value(status, s.Name, func() []out.Field { return e.statusFields(status) }); err != nil {
				return err
			}
			if !noAlarms && (len(status.Alarms) > 0 || status.Pause != "") {
				return exit.Quiet(exit.Ended)
			}
			return nil
		},
	})
	cmd.Flags().BoolVar(&exact, "exact", false, "count all documents that have ended: about 1 s for 100,000")
	cmd.Flags().BoolVar(&noAlarms, "no-alarms", false, "exit with 0 also if an alarm is on")
	return cmd
}

// status asks for everything at once.
func (e *Env) status(ctx context.Context, s *stack.Stack, exact bool) (*Status, error) {
	status := &Status{
		Stack:  StackStatus{Name: s.Name, Account: s.Account, Region: s.Region, Status: s.Status, Version: s.Version, Updated: s.Updated},
		Alarms: []Alarm{},
	}
	var deadUploads, deadAnnouncements QueueStatus
	var disabled, refused string
	counts := make(map[ledger.State]int)
	all := make(map[ledger.State]int)
	var mu sync.Mutex
	tasks := []func() error{
		func() (err error) { status.Queue, err = queueStatus(ctx, s, "UploadQueueUrl"); return err },
		func() (err error) { deadUploads, err = queueStatus(ctx, s, "DeadLetterQueueUrl"); return err },
		func() (err error) {
			deadAnnouncements, err = queueStatus(ctx, s, "AnnouncementsDeadLetterQueueUrl")
			return err
		},
		func() (err error) { status.Documents, err = documents(ctx, s); return err },
		func() (err error) { status.Alarms, err = alarmsOn(ctx, s); return err },
		func() (err error) { disabled, err = submitPaused(ctx, s); return err },
		func() (err error) {
			status.Credits24h, refused, err = metrics(ctx, s, e.Now())
			return err
		},
	}
	count := func(q ledger.Query, into map[ledger.State]int) {
		tasks = append(tasks, func() error {
			n, err := s.Reader().Count(ctx, q)
			mu.Lock()
			defer mu.Unlock()
			into[q.State] = n
			return err
		})
	}
	for _, state := range ledger.States() {
		q := ledger.Query{State: state}
		if state.Terminal() {
			q.From = e.Now().Add(-24 * time.Hour)
			if exact {
				count(ledger.Query{State: state}, all)
			}
		}
		count(q, counts)
	}
	if err := together(tasks); err != nil {
		return nil, err
	}
	status.OnTheWay = OnTheWay{
		Waiting: counts[ledger.Waiting], Submitting: counts[ledger.Submitting], Unconfirmed: counts[ledger.Unconfirmed], Processing: counts[ledger.Processing],
		NeedsReview: counts[ledger.NeedsReview],
	}
	// Whatever is not PROCESSING has a message in the queue.
	o := &status.OnTheWay
	o.Total = max(status.Queue.total(), o.Waiting+o.Submitting+o.Unconfirmed) + o.Processing + o.NeedsReview
	status.Ended24h = endedOf(counts)
	if exact {
		status.Ended = endedOf(all)
	}
	rate, err := s.FilesPerMinute()
	if err != nil {
		return nil, err
	}
	status.Rate = math.Round(100*rate) / 100
	status.Drain.Seconds = int(60 * float64(status.Queue.total()) / rate)
	status.DeadLetters = DeadLetters{deadUploads.total(), deadAnnouncements.total()}
	status.Pause = strings.TrimPrefix(strings.Join([]string{disabled, refused}, "; "), "; ")
	status.Pause = strings.TrimSuffix(status.Pause, "; ")
	return status, nil
}

// together does all tasks at once and joins their errors.
func together(tasks []func() error) error {
	errs := make([]error, len(tasks))
	var wg sync.WaitGroup
	for i, task := range tasks {
		wg.Go(func() { errs[i] = task() })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func endedOf(counts map[ledger.State]int) map[string]int {
	ended := make(map[string]int)
	for _, state := range ledger.States() {
		if state.Terminal() {
			ended[string(state)] = counts[state]
		}
	}
	return ended
}

func queueStatus(ctx context.Context, s *stack.Stack, output string) (QueueStatus, error) {
	names := []sqstypes.QueueAttributeName{
		sqstypes.QueueAttributeNameApproximateNumberOfMessages, sqstypes.QueueAttributeNameApproximateNumberOfMessagesNotVisible,
		sqstypes.QueueAttributeNameApproximateNumberOfMessagesDelayed,
	}
	url := s.Outputs[output]
	q, err := s.SQS().GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: names})
	if err != nil {
		return QueueStatus{}, fmt.Errorf("queue %s: %w", url, err)
	}
	var n [3]int
	for i, name := range names {
		n[i], _ = strconv.Atoi(q.Attributes[string(name)]) // SQS writes numbers
	}
	return QueueStatus{Visible: n[0], InFlight: n[1], Delayed: n[2]}, nil
}

// documents is how many items the index by-state has, as DynamoDB counts them every six hours.
// The table itself has others beside documents.
func documents(ctx context.Context, s *stack.Stack) (int, error) {
	table, err := s.DynamoDB().DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: aws.String(s.Table())})
	if err != nil {
		return 0, fmt.Errorf("table %s: %w", s.Table(), err)
	}
	for _, index := range table.Table.GlobalSecondaryIndexes {
		if aws.ToString(index.IndexName) == "by-state" {
			return int(aws.ToInt64(index.ItemCount)), nil
		}
	}
	return 0, exit.New(exit.Failed, "table %s has no index by-state: it is of another version", s.Table())
}

// alarmsOn are the stack's alarms that are on.
func alarmsOn(ctx context.Context, s *stack.Stack) ([]Alarm, error) {
	resources, err := s.Resources()
	if err != nil {
		return nil, err
	}
	logical := make(map[string]string, len(resources))
	for name, physical := range resources {
		logical[physical] = name
	}
	on := []Alarm{}
	for pages := cloudwatch.NewDescribeAlarmsPaginator(s.CloudWatch(), &cloudwatch.DescribeAlarmsInput{
		AlarmNamePrefix: aws.String(s.Name + "-"), StateValue: cwtypes.StateValueAlarm,
	}); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("alarms: %w", err)
		}
		for _, a := range page.MetricAlarms {
			// Of another stack whose name begins with ours, or of no interest to a local AWS that does not filter.
			if name := logical[aws.ToString(a.AlarmName)]; name != "" && a.StateValue == cwtypes.StateValueAlarm {
				on = append(on, Alarm{
					Name: name, Says: strings.Join(strings.Fields(aws.ToString(a.AlarmDescription)), " "), Reason: aws.ToString(a.StateReason),
					Since: aws.ToTime(a.StateTransitionedTimestamp).UTC(),
				})
			}
		}
	}
	slices.SortFunc(on, func(a, b Alarm) int { return strings.Compare(a.Name, b.Name) })
	return on, nil
}

// submitPaused says whether the event source of submit is off.
func submitPaused(ctx context.Context, s *stack.Stack) (string, error) {
	function, err := s.Resource("SubmitFunction")
	if err != nil {
		return "", err
	}
	sources, err := s.Lambda().ListEventSourceMappings(ctx, &lambda.ListEventSourceMappingsInput{FunctionName: &function})
	if err != nil {
		return "", fmt.Errorf("event sources of %s: %w", function, err)
	}
	if len(sources.EventSourceMappings) == 0 {
		return "submit has no event source: it was removed by hand", nil
	}
	for _, m := range sources.EventSourceMappings {
		if state := aws.ToString(m.State); state != "Enabled" {
			return fmt.Sprintf("submit's event source is %s: somebody has paused it", state), nil
		}
	}
	return "", nil
}

// metrics are the credits of 24 hours, and why the account was paused in the last quarter of
// an hour.
func metrics(ctx context.Context, s *stack.Stack, now time.Time) (credits float64, pause string, err error) {
	query := func(id, name string, period time.Duration, more ...cwtypes.Dimension) cwtypes.MetricDataQuery {
		return cwtypes.MetricDataQuery{Id: &id, MetricStat: &cwtypes.MetricStat{
			Metric: &cwtypes.Metric{Namespace: aws.String(metric.Namespace), MetricName: &name,
				Dimensions: append([]cwtypes.Dimension{{Name: aws.String("Stack"), Value: &s.Name}}, more...)},
			Period: aws.Int32(int32(period.Seconds())), Stat: aws.String("Sum"),
		}}
	}
	queries := []cwtypes.MetricDataQuery{query("credits", metric.Credits.Name, time.Hour)}
	reasons := append(slices.Clone(metric.AccountPaused.Values), "other")
	for i, reason := range reasons {
		queries = append(queries, query(fmt.Sprintf("pause%d", i), metric.AccountPaused.Name, time.Minute,
			cwtypes.Dimension{Name: aws.String(metric.AccountPaused.Dimension), Value: aws.String(reason)}))
	}
	in := &cloudwatch.GetMetricDataInput{MetricDataQueries: queries, StartTime: aws.Time(now.Add(-24 * time.Hour)), EndTime: &now}
	var paused []string
	for pages := cloudwatch.NewGetMetricDataPaginator(s.CloudWatch(), in); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return 0, "", fmt.Errorf("metrics: %w", err)
		}
		for _, r := range page.MetricDataResults {
			id := aws.ToString(r.Id)
			for i, value := range r.Values {
				if id == "credits" {
					credits += value
				} else if n, ok := strings.CutPrefix(id, "pause"); ok && value > 0 && now.Sub(r.Timestamps[i]) < 15*time.Minute {
					if k, err := strconv.Atoi(n); err == nil && k < len(reasons) && !slices.Contains(paused, reasons[k]) {
						paused = append(paused, reasons[k])
					}
				}
			}
		}
	}
	if len(paused) > 0 {
		pause = fmt.Sprintf("Extend has refused the account in the last 15 minutes (%s)", strings.Join(paused, ", "))
	}
	return credits, pause, nil
}

func (e *Env) statusFields(s *Status) []out.Field {
	p := e.Out()
	version := ""
	if s.Stack.Version != "" {
		version = " · version " + s.Stack.Version
	}
	o, ended := s.OnTheWay, func(counts map[string]int) string {
		var parts []string
		total := 0
		for _, state := range ledger.States() {
			if state.Terminal() {
				total += counts[string(state)]
				parts = append(parts, fmt.Sprintf("%s %s", state, out.Number(counts[string(state)])))
			}
		}
		return fmt.Sprintf("%s: %s", out.Number(total), strings.Join(parts, " · "))
	}
	fields := []out.Field{
		{Label: "stack", Text: fmt.Sprintf("%s · %s · %s%s · %s, deployed %s", s.Stack.Name, s.Stack.Account, s.Stack.Region, version, s.Stack.Status, p.When(s.Stack.Updated))},
		{Label: "on the way", Text: fmt.Sprintf("about %s: in the queue %s · WAITING %s · SUBMITTING %s · UNCONFIRMED %s · PROCESSING %s · NEEDS_REVIEW %s", out.Number(o.Total),
			out.Number(s.Queue.total()), out.Number(o.Waiting), out.Number(o.Submitting), out.Number(o.Unconfirmed), out.Number(o.Processing), out.Number(o.NeedsReview))},
		{Label: "ended, 24 h", Text: ended(s.Ended24h)},
	}
	if s.Ended != nil {
		fields = append(fields, out.Field{Label: "ended, all", Text: ended(s.Ended)})
	}
	fields = append(fields, out.Field{Label: "documents", Text: fmt.Sprintf("about %s, as the table counts every six hours; --exact counts now", out.Number(s.Documents))})
	rate := fmt.Sprintf("%g files a minute", s.Rate)
	if s.Queue.total() > 0 {
		rate += fmt.Sprintf("; the queue is empty in about %s", out.Duration(time.Duration(s.Drain.Seconds)*time.Second))
	}
	dead := fmt.Sprintf("%s: uploads %s · announcements %s", out.Number(s.DeadLetters.Uploads+s.DeadLetters.Announcements), out.Number(s.DeadLetters.Uploads), out.Number(s.DeadLetters.Announcements))
	fields = append(fields,
		out.Field{Label: "rate", Text: rate},
		out.Field{Label: "credits, 24 h", Text: fmt.Sprintf("%.6g, about $%.2f at $%g a credit", s.Credits24h, s.Credits24h*dollars, dollars)},
		out.Field{Label: "dead letters", Text: dead},
	)
	if s.Pause != "" {
		fields = append(fields, out.Field{Label: "paused", Text: s.Pause})
	}
	if len(s.Alarms) == 0 {
		return append(fields, out.Field{Label: "alarms", Text: "none is on"})
	}
	for _, a := range s.Alarms {
		fields = append(fields, out.Field{Label: "alarm", Text: fmt.Sprintf("%s, since %s: %s", a.Name, p.When(a.Since), a.Says)})
	}
	return fields
}
