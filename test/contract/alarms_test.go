package contract

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"extend-intake/shared/metric"
)

// alarms are all alarms: what is compared with what, in how many of how many periods of
// how many seconds, and what a period without data counts as. No local AWS evaluates
// alarms, so what is written here has to be right by itself.
var alarms = map[string]string{
	"UploadQueueStuck": "IF(waiting + away > 0 AND deleted == 0, 1, 0)" +
		" | away = Minimum of AWS/SQS ApproximateNumberOfMessagesNotVisible, QueueName=UploadQueue" +
		" | deleted = Sum of AWS/SQS NumberOfMessagesDeleted, QueueName=UploadQueue" +
		" | waiting = Minimum of AWS/SQS ApproximateNumberOfMessagesVisible, QueueName=UploadQueue" +
		" >= 1 in 12 of 12 x 300 s, missing: notBreaching",
	"UploadQueueOld":             "Maximum of AWS/SQS ApproximateAgeOfOldestMessage, QueueName=UploadQueue > 345600 in 1 of 1 x 300 s, missing: notBreaching",
	"UploadDeadLetters":          "Maximum of AWS/SQS ApproximateNumberOfMessagesVisible, QueueName=DeadLetterQueue > 0 in 1 of 1 x 300 s, missing: notBreaching",
	"AnnouncementDeadLetters":    "Maximum of AWS/SQS ApproximateNumberOfMessagesVisible, QueueName=AnnouncementsDeadLetterQueue > 0 in 1 of 1 x 300 s, missing: notBreaching",
	"AccountPauses":              "Sum of ExtendIntake AccountPaused >= 1 in 1 of 6 x 300 s, missing: notBreaching",
	"DuplicateRuns":              "Sum of ExtendIntake DuplicateRun >= 1 in 1 of 1 x 300 s, missing: notBreaching",
	"AnswersOfOthers":            "Sum of ExtendIntake UnexpectedAnswers >= 1 in 3 of 12 x 300 s, missing: notBreaching",
	"UnreadableAnswers":          "Sum of ExtendIntake Unreadable >= 1 in 1 of 1 x 300 s, missing: notBreaching",
	"TagMismatch":                "Sum of ExtendIntake TagMismatches >= 1 in 1 of 1 x 300 s, missing: notBreaching",
	"DeliveriesOfAnotherVersion": "Sum of ExtendIntake OtherApiVersion >= 1 in 1 of 1 x 300 s, missing: notBreaching",
	"WebhookSignatures":          "Sum of ExtendIntake WebhookRejected, Cause=signature >= 1 in 3 of 12 x 300 s, missing: notBreaching",
	"WebhookHeaders":             "Sum of ExtendIntake WebhookRejected, Cause=headers >= 1 in 3 of 12 x 300 s, missing: notBreaching",
	"WebhookStale":               "Sum of ExtendIntake WebhookRejected, Cause=stale >= 1 in 1 of 1 x 300 s, missing: notBreaching",
	"WebhookNotStored":           "Sum of ExtendIntake WebhookRejected, Cause=not stored >= 1 in 3 of 12 x 300 s, missing: notBreaching",
	"StalledDocuments":           "Sum of ExtendIntake Stalled >= 1 in 1 of 7 x 3600 s, missing: notBreaching",
	"BudgetNearlyUsed":           "Maximum of ExtendIntake BudgetUsed >= 80 in 1 of 6 x 300 s, missing: notBreaching",
	"BudgetUsedUp":               "Maximum of ExtendIntake BudgetUsed >= 100 in 1 of 6 x 300 s, missing: notBreaching",
	"CreditsAnHour":              "FILL(credits, 0) | credits = Sum of ExtendIntake Credits > CreditsPerHour in 1 of 1 x 3600 s, missing: notBreaching",
	"ReconcileNotRunning":        "Sum of AWS/Lambda Invocations, FunctionName=ReconcileFunction < 1 in 15 of 15 x 60 s, missing: breaching",
	"SubmitErrors":               "Sum of AWS/Lambda Errors, FunctionName=SubmitFunction >= 1 in 3 of 12 x 300 s, missing: notBreaching",
	"WebhookErrors":              "Sum of AWS/Lambda Errors, FunctionName=WebhookFunction >= 1 in 3 of 12 x 300 s, missing: notBreaching",
	"ReconcileErrors":            "Sum of AWS/Lambda Errors, FunctionName=ReconcileFunction >= 1 in 3 of 3 x 300 s, missing: notBreaching",
	"PublishErrors":              "Sum of AWS/Lambda Errors, FunctionName=PublishFunction >= 1 in 3 of 12 x 300 s, missing: notBreaching",
	"SubmitThrottles":            "Sum of AWS/Lambda Throttles, FunctionName=SubmitFunction >= 1 in 3 of 12 x 300 s, missing: notBreaching",
	"WebhookThrottles":           "Sum of AWS/Lambda Throttles, FunctionName=WebhookFunction >= 1 in 3 of 12 x 300 s, missing: notBreaching",
	"ReconcileThrottles":         "Sum of AWS/Lambda Throttles, FunctionName=ReconcileFunction >= 1 in 3 of 12 x 300 s, missing: notBreaching",
	"PublishThrottles":           "Sum of AWS/Lambda Throttles, FunctionName=PublishFunction >= 1 in 3 of 12 x 300 s, missing: notBreaching",
	"RecursionDropped":           "Sum of AWS/Lambda RecursiveInvocationsDropped, FunctionName=SubmitFunction >= 1 in 1 of 1 x 300 s, missing: notBreaching",
	"WebhookApiRefusals":         "Sum of AWS/ApiGateway 4xx, ApiId=WebhookApi >= 300 in 3 of 12 x 300 s, missing: notBreaching",
	"WebhookApiErrors":           "Sum of AWS/ApiGateway 5xx, ApiId=WebhookApi >= 1 in 3 of 12 x 300 s, missing: notBreaching",
	"AnnouncementsLate":          "Maximum of AWS/Lambda IteratorAge, FunctionName=PublishFunction > 3600000 in 1 of 1 x 300 s, missing: notBreaching",
}

// awsMetrics are the metrics of AWS that we use, as its documentation spells them. CloudWatch
// takes any other name too, and shows nothing.
// https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
// https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-metrics.html
var awsMetrics = map[string][]string{
	"AWS/ApiGateway": {"4xx", "5xx", "Count"},
	"AWS/Lambda":     {"Duration", "Errors", "Invocations", "IteratorAge", "RecursiveInvocationsDropped", "Throttles"},
	"AWS/SQS":        {"ApproximateAgeOfOldestMessage", "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesVisible", "NumberOfMessagesDeleted"},
}

func TestAlarmsAreAsPinned(t *testing.T) {
	t.Parallel()
	have := make(map[string]string)
	for name, r := range readResources(t) {
		if r := r.(map[string]any); r["Type"] == "AWS::CloudWatch::Alarm" {
			have[name] = alarmText(t, name, r["Properties"].(map[string]any))
		}
	}
	if diff := cmp.Diff(alarms, have); diff != "" {
		t.Errorf("the alarms differ from this test's table (-table +template):\n%s", diff)
	}
}

// alarmText is an alarm in one line.
func alarmText(t *testing.T, name string, p map[string]any) string {
	t.Helper()
	var what string
	period := p["Period"]
	if _, ok := p["Metrics"]; ok {
		var inputs []string
		for _, m := range p["Metrics"].([]any) {
			m := m.(map[string]any)
			if m["Expression"] != nil {
				what = m["Expression"].(string)
				continue
			}
			if m["ReturnData"] != "false" {
				t.Errorf("%s: %v is returned, beside the expression", name, m["Id"])
			}
			stat := m["MetricStat"].(map[string]any)
			if period == nil {
				period = stat["Period"]
			}
			if stat["Period"] != period {
				t.Errorf("%s: its metrics have different periods", name)
			}
			inputs = append(inputs, fmt.Sprintf(" | %v = %v of %s", m["Id"], stat["Stat"], metricText(t, name, stat["Metric"].(map[string]any))))
		}
		slices.Sort(inputs)
		what += strings.Join(inputs, "")
	} else {
		what = fmt.Sprintf("%v of %s", p["Statistic"], metricText(t, name, p))
	}
	comparison := map[any]string{
		"GreaterThanThreshold": ">", "GreaterThanOrEqualToThreshold": ">=", "LessThanThreshold": "<", "LessThanOrEqualToThreshold": "<=",
	}[p["ComparisonOperator"]]
	threshold := p["Threshold"]
	if ref, ok := threshold.(map[string]any); ok {
		threshold = ref["!Ref"]
	}
	of := p["EvaluationPeriods"]
	in := p["DatapointsToAlarm"]
	if in == nil {
		in = of // CloudWatch's default
	}
	return fmt.Sprintf("%s %s %v in %v of %v x %v s, missing: %v", what, comparison, threshold, in, of, period, p["TreatMissingData"])
}

// metricText is a metric with its dimensions, except those of this stack.
func metricText(t *testing.T, alarm string, p map[string]any) string {
	t.Helper()
	text := fmt.Sprintf("%v %v", p["Namespace"], p["MetricName"])
	for _, d := range p["Dimensions"].([]any) {
		d := d.(map[string]any)
		value := d["Value"]
		if of, ok := value.(map[string]any); ok {
			value = strings.TrimSuffix(fmt.Sprint(of["!Ref"], of["!GetAtt"]), ".QueueName")
			value = strings.TrimSpace(strings.ReplaceAll(value.(string), "<nil>", ""))
		}
		if d["Name"] == "Stack" && value == "AWS::StackName" {
			continue
		}
		text += fmt.Sprintf(", %v=%v", d["Name"], value)
	}
	if p["Namespace"] != metric.Namespace && !slices.Contains(awsMetrics[fmt.Sprint(p["Namespace"])], fmt.Sprint(p["MetricName"])) {
		t.Errorf("%s watches %s, and this test knows no such metric of AWS", alarm, text)
	}
	return text
}

func TestDashboardNamesMetricsOfAWS(t *testing.T) {
	t.Parallel()
	body := readTemplate(t).Resources["Dashboard"].Properties.DashboardBody.(map[string]any)["!Sub"].(string)
	namespace, shown := "", 0
	// "." stands for what the line before has in its place.
	for _, m := range regexp.MustCompile(`\["([A-Za-z/]+|\.)","([A-Za-z]+|\.)"`).FindAllStringSubmatch(body, -1) {
		if m[1] != "." {
			namespace = m[1]
		}
		if namespace == metric.Namespace || m[2] == "." {
			continue
		}
		shown++
		if !slices.Contains(awsMetrics[namespace], m[2]) {
			t.Errorf("the dashboard shows %s %s, and this test knows no such metric of AWS", namespace, m[2])
		}
	}
	if shown == 0 {
		t.Error("the dashboard shows no metrics of AWS")
	}
}

// Why a delivery was not stored must not stay unnoticed.
func TestEachCauseOfARejectionHasAnAlarm(t *testing.T) {
	t.Parallel()
	without := map[string]string{
		"malformed":     "its log line also counts as Unreadable, which has an alarm",
		"too large":     "Lambda's own limit is lower",
		"not shown yet": "Extend repeats it, and the confirm window ends it",
	}
	for _, cause := range metric.WebhookRejected.Values {
		watched := false
		for _, alarm := range alarms {
			watched = watched || strings.Contains(alarm, "WebhookRejected, Cause="+cause+" ")
		}
		if _, argued := without[cause]; watched == argued {
			t.Errorf("deliveries rejected for %q: alarm %v, reason for none %v", cause, watched, argued)
		}
	}
}
