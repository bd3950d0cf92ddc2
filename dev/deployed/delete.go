package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"extend-intake/shared/ledger"
)

// deletion is how a stack is to be deleted.
type deletion struct {
	dryRun, yes, discard bool
	patience, interval   time.Duration
	ask                  func(question string) (answer string, err error)
}

func (d deletion) run(ctx context.Context, out io.Writer, s *deployed) error {
	if s.incomplete != "" {
		fmt.Fprintf(out, "Stack %s is %s: its first deployment, or its deletion, was not completed. It has to be deleted before the next deployment.\n", s.name, s.incomplete)
	}
	if len(s.resources) == 0 {
		fmt.Fprintln(out, "There is nothing in it.")
		if d.dryRun {
			return nil
		}
		return d.confirmed(ctx, out, s)
	}
	d.describe(out, s)
	rules, err := s.consumers(ctx)
	if err != nil {
		return err
	}
	if len(rules) > 0 {
		return fmt.Errorf("CloudFormation cannot delete a bus with rules, and these are on the stack's:\n  %s\ndelete them, or the stacks that made them, first", strings.Join(rules, "\n  "))
	}
	fmt.Fprintln(out, "\nNo rules of consumers are in the way.")
	if d.dryRun {
		l, err := s.left(ctx)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%s\nNothing was done.\n", l)
		return nil
	}
	if _, there := s.resource("UploadQueue"); there {
		if err := d.waitUntilEmpty(ctx, out, s); err != nil {
			return err
		}
	}
	return d.confirmed(ctx, out, s)
}

// confirmed asks, and deletes.
func (d deletion) confirmed(ctx context.Context, out io.Writer, s *deployed) error {
	if !d.yes {
		answer, err := d.ask(fmt.Sprintf("\nTo delete the stack, type its name (%s): ", s.name))
		if err != nil {
			return err
		}
		if answer != s.name {
			return errors.New("that is not its name: nothing was deleted")
		}
	}
	return s.delete(ctx, out)
}

// describe says what stays and what goes.
func (d deletion) describe(out io.Writer, s *deployed) {
	fmt.Fprintf(out, "Stack %s (%s).\n\nThese stay, with all that is in them:\n", s.name, s.id)
	kinds := map[string]string{"AWS::S3::Bucket": "bucket", "AWS::DynamoDB::Table": "table"}
	for _, r := range s.resources {
		if r.retained && kinds[r.kind] != "" {
			fmt.Fprintf(out, "  %-8s %s (%s)\n", kinds[r.kind], r.physical, r.logical)
		}
	}
	if _, made := s.resource("UploadBucket"); !made && s.outputs["UploadBucketName"] != "" {
		fmt.Fprintf(out, "  %-8s %s, which is not of this stack\n", "bucket", s.outputs["UploadBucketName"])
	}
	fmt.Fprintln(out, "\nThese go:")
	kinds = map[string]string{"AWS::SQS::Queue": "queue", "AWS::Logs::LogGroup": "logs", "AWS::SecretsManager::Secret": "secret", "AWS::Events::EventBus": "bus", "AWS::Lambda::Function": "function"}
	others := 0
	for _, r := range s.resources {
		switch {
		case r.retained:
		case kinds[r.kind] != "":
			fmt.Fprintf(out, "  %-8s %s (%s)\n", kinds[r.kind], r.physical, r.logical)
		default:
			others++
		}
	}
	fmt.Fprintf(out, "  and %d roles, policies, alarms and the like\n", others)
}

// consumers are the rules and archives on the stack's own bus that others have made.
func (s *deployed) consumers(ctx context.Context) (rules []string, err error) {
	bus, made := s.resource("EventBus")
	if !made {
		return nil, nil // the bus is not ours, and stays
	}
	ours := make(map[string]bool)
	for _, r := range s.resources {
		ours[r.physical] = true
	}
	name := bus.physical
	input := &eventbridge.ListRulesInput{EventBusName: &name}
	for {
		page, err := s.bus.ListRules(ctx, input)
		if err != nil {
			return nil, fmt.Errorf("rules of the bus %s: %w", name, err)
		}
		for _, r := range page.Rules {
			if ours[aws.ToString(r.Name)] || ours[name+"|"+aws.ToString(r.Name)] {
				continue
			}
			line := "rule " + aws.ToString(r.Name)
			targets, err := s.bus.ListTargetsByRule(ctx, &eventbridge.ListTargetsByRuleInput{Rule: r.Name, EventBusName: &name})
			if err != nil {
				return nil, fmt.Errorf("targets of the rule %s: %w", aws.ToString(r.Name), err)
			}
			for _, t := range targets.Targets {
				line += ", to " + aws.ToString(t.Arn)
			}
			rules = append(rules, line)
		}
		if input.NextToken = page.NextToken; input.NextToken == nil {
			return rules, nil
		}
	}
}

// remaining is the work that a stack has left.
type remaining struct {
	waiting, inWork, dead, unannounced int
	unfinished                         int // documents
	reasons                            []string
}

func (l remaining) moving() bool { return l.waiting+l.inWork+l.unfinished > 0 }

func (l remaining) String() string {
	text := fmt.Sprintf("upload queue: %d waiting, %d in work or delayed; documents that have not ended: %d; dead letters: %d uploads, %d announcements",
		l.waiting, l.inWork, l.unfinished, l.dead, l.unannounced)
	for _, r := range l.reasons {
		text += "\n  " + r
	}
	return text
}

// left says what is in the queues that are there, and how many documents have not ended,
// unless nobody would handle them any more. SQS's numbers are approximate, and right when
// nothing has changed for a minute.
func (s *deployed) left(ctx context.Context) (l remaining, err error) {
	if l.waiting, l.inWork, err = s.messages(ctx, "UploadQueue"); err != nil {
		return l, err
	}
	dead, hidden, err := s.messages(ctx, "DeadLetterQueue")
	if err != nil {
		return l, err
	}
	l.dead = dead + hidden
	if dead, hidden, err = s.messages(ctx, "AnnouncementsDeadLetterQueue"); err != nil {
		return l, err
	}
	l.unannounced = dead + hidden
	_, working := s.resource("SubmitFunction")
	if _, there := s.resource("DocumentsTable"); !there || !working {
		return l, nil
	}
	for _, state := range []ledger.State{ledger.Waiting, ledger.Submitting, ledger.Unconfirmed, ledger.Processing, ledger.NeedsReview} {
		n, err := s.ledger.Count(ctx, state, time.Now().AddDate(10, 0, 0))
		if err != nil {
			return l, fmt.Errorf("documents that are %s: %w", state, err)
		}
		l.unfinished += n
	}
	return l, nil
}

// messages are how many messages of a queue can be received, and how many are hidden.
func (s *deployed) messages(ctx context.Context, queue string) (visible, hidden int, err error) {
	r, there := s.resource(queue)
	if !there {
		return 0, 0, nil
	}
	url := r.physical
	q, err := s.sqs.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: []sqstypes.QueueAttributeName{sqstypes.QueueAttributeNameAll}})
	if err != nil {
		return 0, 0, fmt.Errorf("queue %s: %w", url, err)
	}
	count := func(name sqstypes.QueueAttributeName) int {
		n, e := strconv.Atoi(q.Attributes[string(name)])
		err = errors.Join(err, e)
		return n
	}
	visible = count(sqstypes.QueueAttributeNameApproximateNumberOfMessages)
	hidden = count(sqstypes.QueueAttributeNameApproximateNumberOfMessagesNotVisible) + count(sqstypes.QueueAttributeNameApproximateNumberOfMessagesDelayed)
	return visible, hidden, err
}

// reasons are why some of the messages are in a dead-letter queue. They stay there.
func (s *deployed) reasons(ctx context.Context, queue string) ([]string, error) {
	r, there := s.resource(queue)
	if !there {
		return nil, nil
	}
	url := r.physical
	got, err := s.sqs.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: &url, MaxNumberOfMessages: 10, VisibilityTimeout: 1, MessageAttributeNames: []string{"All"}})
	if err != nil {
		return nil, fmt.Errorf("queue %s: %w", url, err)
	}
	var reasons []string
	for _, m := range got.Messages {
		reason := "no reason given"
		for _, name := range []string{"reason", "ERROR_MESSAGE"} {
			if a, ok := m.MessageAttributes[name]; ok {
				reason = aws.ToString(a.StringValue)
			}
		}
		reasons = append(reasons, fmt.Sprintf("%s: %s", queue, reason))
	}
	return reasons, nil
}

// waitUntilEmpty waits until nothing is left to do, and says how it goes. It has to be empty
// for a minute, or three looks, because SQS's numbers lag.
func (d deletion) waitUntilEmpty(ctx context.Context, out io.Writer, s *deployed) error {
	deadline := time.Now().Add(d.patience)
	last := ""
	for empty := 0; ; {
		l, err := s.left(ctx)
		if err != nil {
			return err
		}
		if text := l.String(); text != last {
			fmt.Fprintf(out, "[%s] %s\n", time.Now().Format("15:04:05"), text)
			last = text
		}
		if d.discard {
			fmt.Fprintln(out, "They are deleted with what is in them (DISCARD=1).")
			return nil
		}
		if empty++; l.moving() {
			empty = 0
		}
		if empty >= 3 {
			if l.dead+l.unannounced == 0 {
				return nil
			}
			for _, queue := range []string{"DeadLetterQueue", "AnnouncementsDeadLetterQueue"} {
				reasons, err := s.reasons(ctx, queue)
				if err != nil {
					return err
				}
				l.reasons = append(l.reasons, reasons...)
			}
			return fmt.Errorf("%s\ndead letters would be lost: docs/operations.md says how to handle them, and DISCARD=1 deletes them", l)
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("after %v: %s\nthe stack is not idle: is something still uploading, or is the account paused? DISCARD=1 deletes it as it is", d.patience, l)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(d.interval):
		}
	}
}

func (s *deployed) delete(ctx context.Context, out io.Writer) error {
	began := time.Now()
	if _, err := s.cfn.DeleteStack(ctx, &cloudformation.DeleteStackInput{StackName: &s.id}); err != nil {
		return err
	}
	fmt.Fprintln(out, "\ndeleting …")
	waiter := cloudformation.NewStackDeleteCompleteWaiter(s.cfn, func(o *cloudformation.StackDeleteCompleteWaiterOptions) {
		o.MinDelay, o.MaxDelay = 2*time.Second, 15*time.Second
	})
	if err := waiter.Wait(ctx, &cloudformation.DescribeStacksInput{StackName: &s.id}, time.Hour); err != nil {
		return fmt.Errorf("%w: %s", err, s.failures(context.WithoutCancel(ctx)))
	}
	fmt.Fprintf(out, "deleted in %v. SAM's own bucket keeps the functions' packages that were deployed.\n", time.Since(began).Round(time.Second))
	table, kept := s.resource("DocumentsTable")
	if !kept {
		return nil
	}
	fmt.Fprintf(out, `
To delete what has stayed, too, which cannot be undone:
  aws dynamodb update-table --table-name %[1]s --no-deletion-protection-enabled
  aws dynamodb delete-table --table-name %[1]s
  and empty and delete the buckets that are named above
`, table.physical)
	return nil
}

// failures are what CloudFormation could not delete, in its words.
func (s *deployed) failures(ctx context.Context) string {
	events, err := s.cfn.DescribeStackEvents(ctx, &cloudformation.DescribeStackEventsInput{StackName: &s.id})
	if err != nil {
		return err.Error()
	}
	var failed []string
	for _, e := range events.StackEvents {
		if strings.HasSuffix(string(e.ResourceStatus), "_FAILED") {
			failed = append(failed, fmt.Sprintf("%s: %s", aws.ToString(e.LogicalResourceId), aws.ToString(e.ResourceStatusReason)))
		}
	}
	return strings.Join(failed, "; ")
}
