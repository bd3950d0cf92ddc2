package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	bustypes "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go"

	"extend-intake/dev/stack/emulator"
	"extend-intake/shared/document"
	"extend-intake/shared/event"
	"extend-intake/shared/extend/webhook"
	"extend-intake/shared/ledger"
)

// verification is how a stack is to be checked.
type verification struct {
	key, url         string
	settle, patience time.Duration
}

// run sends one file through the stack, and removes what that made, whatever comes of it.
func (v verification) run(ctx context.Context, out io.Writer, s *deployed) (err error) {
	key, err := v.keyFor(s)
	if err != nil {
		return err
	}
	url := s.outputs["WebhookUrl"]
	if v.url != "" {
		url = v.url
	}
	if err := forged(ctx, url); err != nil {
		return err
	}
	fmt.Fprintf(out, "ok  webhook    %s answers 401 to a delivery with a forged signature, and to one without\n", url)

	c := cleaner{out: out}
	defer func() { err = errors.Join(err, c.clean(context.WithoutCancel(ctx))) }()
	inbox, err := s.listen(ctx, &c)
	if err != nil {
		return err
	}
	if v.settle > 0 {
		fmt.Fprintf(out, "    waiting %v: EventBridge needs a while until it matches events with a new rule\n", v.settle)
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(v.settle):
		}
	}
	began := time.Now()
	src, err := s.upload(ctx, &c, key)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "ok  upload     %s, document %s\n", src.Object(), src.DocumentID())

	ctx, cancel := context.WithTimeoutCause(ctx, v.patience, fmt.Errorf("that took longer than %v (docs/operations.md, \"Find a document\")", v.patience))
	defer cancel()
	rec, err := s.result(ctx, src.DocumentID())
	if err != nil {
		return err
	}
	output, err := s.ledger.Output(ctx, rec.DocumentID)
	if err != nil {
		return err
	}
	// Only now: the item of a document that has not ended is needed, and one that failed is evidence.
	for _, id := range []string{src.ObjectID(), src.DocumentID()} {
		c.add("the item "+id, func(ctx context.Context) error { return s.removeItem(ctx, id) })
	}
	fmt.Fprintf(out, "ok  output     %d bytes after %v, run %s\n", len(output), time.Since(began).Round(time.Second), rec.RunID)
	detail, err := s.receive(ctx, inbox, rec.DocumentID)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "ok  event      revision %d on the bus %s\n", detail.Revision, s.outputs["EventBusName"])
	if detail.OutputLocation != "" {
		c.add("the event's output", func(ctx context.Context) error { return s.removeObject(ctx, detail.OutputLocation) })
	}
	if rec.OutputLocation != "" {
		c.add("the output", func(ctx context.Context) error { return s.removeObject(ctx, rec.OutputLocation) })
	}
	return nil
}

// keyFor is a key that the stack reads.
func (v verification) keyFor(s *deployed) (string, error) {
	prefix, suffix := s.parameters["KeyPrefix"], s.parameters["KeySuffix"]
	unique := "extend-intake-verify-" + strings.ToLower(rand.Text()[:8])
	switch {
	case v.key != "" && s.parameters["Routes"] == "" && (!strings.HasPrefix(v.key, prefix) || !strings.HasSuffix(v.key, suffix)):
		return "", fmt.Errorf("KEY=%s is not read: KeyPrefix is %q and KeySuffix %q. Without KEY, one that is read is chosen", v.key, prefix, suffix)
	case v.key != "":
		return v.key, nil
	case s.parameters["ProcessorId"] == "":
		return "", errors.New("which key does a route take? KEY=invoices/verify.pdf")
	}
	if suffix == "" {
		suffix = ".pdf"
	}
	return prefix + unique + suffix, nil
}

// forged checks that deliveries which are not Extend's are refused.
func forged(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, time.Minute, errors.New("no answer within a minute"))
	defer cancel()
	body := []byte(`{"eventId":"evt_forged","eventType":"processor_run.processed","payload":{}}`)
	for what, header := range map[string]http.Header{"forged": webhook.Sign("wss_"+rand.Text(), time.Now(), body), "missing": {}} {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
		if err != nil {
			return err
		}
		req.Header = header
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return fmt.Errorf("webhook: %w", err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusUnauthorized {
			return fmt.Errorf("webhook: %s answers %d to a delivery whose signature is %s, want 401: see webhook's log (a secret without webhookSecrets is one cause)", url, resp.StatusCode, what)
		}
	}
	return nil
}

// A cleaner removes what was made, the latest first.
type cleaner struct {
	out   io.Writer
	steps []func(context.Context) error
	names []string
}

func (c *cleaner) add(name string, step func(context.Context) error) {
	c.names, c.steps = append(c.names, name), append(c.steps, step)
}

func (c *cleaner) clean(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var errs []error
	var gone []string
	for i := len(c.steps) - 1; i >= 0; i-- {
		if err := c.steps[i](ctx); err != nil {
			errs = append(errs, fmt.Errorf("remove %s: %w", c.names[i], err))
			continue
		}
		gone = append(gone, c.names[i])
	}
	fmt.Fprintf(c.out, "removed: %s\n", strings.Join(gone, ", "))
	return errors.Join(errs...)
}

// listen makes a queue that gets the events of the bus.
func (s *deployed) listen(ctx context.Context, c *cleaner) (url string, err error) {
	name, bus := "extend-intake-verify-"+strings.ToLower(rand.Text()[:8]), s.outputs["EventBusName"]
	rule, err := s.bus.PutRule(ctx, &eventbridge.PutRuleInput{Name: &name, EventBusName: &bus, EventPattern: aws.String(`{"source":["` + event.Source + `"]}`),
		Description: aws.String("of make verify, which removes it")})
	if err != nil {
		return "", fmt.Errorf("make a rule: %w", err)
	}
	c.add("the rule "+name, func(ctx context.Context) error {
		_, err := s.bus.DeleteRule(ctx, &eventbridge.DeleteRuleInput{Name: &name, EventBusName: &bus})
		return err
	})
	queueARN, err := arn.Parse(aws.ToString(rule.RuleArn))
	if err != nil {
		return "", fmt.Errorf("the rule's ARN: %w", err)
	}
	queueARN.Service, queueARN.Resource = "sqs", name
	policy, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": []any{map[string]any{
		"Effect": "Allow", "Principal": map[string]string{"Service": "events.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": queueARN.String(),
		"Condition": map[string]any{"ArnEquals": map[string]string{"aws:SourceArn": aws.ToString(rule.RuleArn)}},
	}}})
	if err != nil {
		return "", err
	}
	// The policy at once: a later one takes up to a minute, and EventBridge does not try again after a denial.
	queue, err := s.sqs.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: &name, Attributes: map[string]string{"Policy": string(policy)}})
	if err != nil {
		return "", fmt.Errorf("make a queue: %w", err)
	}
	c.add("the queue "+name, func(ctx context.Context) error {
		_, err := s.sqs.DeleteQueue(ctx, &sqs.DeleteQueueInput{QueueUrl: queue.QueueUrl})
		return err
	})
	if _, err := s.bus.PutTargets(ctx, &eventbridge.PutTargetsInput{Rule: &name, EventBusName: &bus, Targets: []bustypes.Target{{Id: aws.String("verify"), Arn: aws.String(queueARN.String())}}}); err != nil {
		return "", fmt.Errorf("target of the rule: %w", err)
	}
	c.add("its target", func(ctx context.Context) error {
		_, err := s.bus.RemoveTargets(ctx, &eventbridge.RemoveTargetsInput{Rule: &name, EventBusName: &bus, Ids: []string{"verify"}})
		return err
	})
	return *queue.QueueUrl, nil
}

// upload uploads the sample.
func (s *deployed) upload(ctx context.Context, c *cleaner, key string) (document.Source, error) {
	root, err := emulator.Root()
	if err != nil {
		return document.Source{}, err
	}
	content, err := os.ReadFile(filepath.Join(root, "dev", "sample", "invoice.pdf")) // #nosec G304 -- of this repository
	if err != nil {
		return document.Source{}, err
	}
	bucket := s.outputs["UploadBucketName"]
	// Only a new object: somebody's own may be under this key, and is not to be replaced, read and removed.
	put, err := s.s3.PutObject(ctx, &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: bytes.NewReader(content), ContentType: aws.String("application/pdf"), IfNoneMatch: aws.String("*")})
	if api, ok := errors.AsType[smithy.APIError](err); ok && api.ErrorCode() == "PreconditionFailed" {
		return document.Source{}, fmt.Errorf("s3://%s/%s is there already, and is left as it is: name a KEY that nothing is under", bucket, key)
	}
	if err != nil {
		return document.Source{}, fmt.Errorf("upload: %w", err)
	}
	src := document.Source{Bucket: bucket, Key: key, VersionID: aws.ToString(put.VersionId), ETag: strings.Trim(aws.ToString(put.ETag), `"`), Size: int64(len(content))}
	c.add("the object "+key, func(ctx context.Context) error {
		_, err := s.s3.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &bucket, Key: &key, VersionId: put.VersionId})
		return err
	})
	return src, nil
}

// result waits until the document has ended.
func (s *deployed) result(ctx context.Context, id string) (*ledger.Record, error) {
	state := ledger.State("not seen by submit yet")
	for {
		rec, err := s.ledger.Get(ctx, id)
		switch {
		case errors.Is(err, ledger.ErrNotFound):
		case err != nil && ctx.Err() == nil:
			return nil, err
		case err == nil && rec.State == ledger.Processed:
			return rec, nil
		case err == nil && rec.State.Terminal():
			return nil, fmt.Errorf("the document ended as %s: %s %s", rec.State, rec.FailureReason, rec.FailureMessage)
		case err == nil:
			state = rec.State
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("the document %s is %s: %w", id, state, context.Cause(ctx))
		case <-time.After(time.Second):
		}
	}
}

// receive waits for the event about a document.
func (s *deployed) receive(ctx context.Context, inbox, id string) (*event.Detail, error) {
	for {
		got, err := s.sqs.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: &inbox, MaxNumberOfMessages: 10, WaitTimeSeconds: 5})
		if ctx.Err() != nil {
			return nil, fmt.Errorf("no event about %s on the bus: %w", id, context.Cause(ctx))
		}
		if err != nil {
			return nil, err
		}
		for _, m := range got.Messages {
			var e struct{ Detail json.RawMessage }
			if err := json.Unmarshal([]byte(aws.ToString(m.Body)), &e); err != nil {
				return nil, err
			}
			if d, err := event.Parse(e.Detail); err == nil && d.DocumentID == id {
				return d, nil
			}
			if _, err := s.sqs.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: &inbox, ReceiptHandle: m.ReceiptHandle}); err != nil {
				return nil, err
			}
		}
	}
}

// removeItem removes an item of the table.
func (s *deployed) removeItem(ctx context.Context, id string) error {
	_, err := s.db.DeleteItem(ctx, &dynamodb.DeleteItemInput{
		TableName: aws.String(s.outputs["DocumentsTableName"]), Key: map[string]dbtypes.AttributeValue{"documentId": &dbtypes.AttributeValueMemberS{Value: id}},
	})
	return err
}

// removeObject removes s3://bucket/key, the version that is there.
func (s *deployed) removeObject(ctx context.Context, location string) error {
	bucket, key, _ := strings.Cut(strings.TrimPrefix(location, "s3://"), "/")
	head, err := s.s3.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &bucket, Key: &key})
	if err != nil {
		return err
	}
	_, err = s.s3.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &bucket, Key: &key, VersionId: head.VersionId})
	return err
}
