package contract

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"extend-intake/shared/metric"
)

// runbook is how an alarm's description says where to read what to do.
const runbook = `Runbook: docs/operations.md, "`

// The alarms and the dashboard live by the names of the metrics.
func TestAlarmsAndDashboardNameMetrics(t *testing.T) {
	t.Parallel()
	tmpl := readTemplate(t)
	declared := make(map[string]metric.Metric)
	for _, m := range metric.All {
		declared[m.Name] = m
	}
	alarms := 0
	for name, r := range tmpl.Resources {
		if r.Type != "AWS::CloudWatch::Alarm" {
			continue
		}
		alarms++
		p := r.Properties
		for _, m := range p.Metrics {
			if m := m.MetricStat.Metric; m.Namespace == metric.Namespace && declared[m.MetricName].Name == "" {
				t.Errorf("%s watches %s, which nothing counts", name, m.MetricName)
			}
		}
		if !strings.Contains(p.AlarmDescription, runbook) {
			t.Errorf("%s: its description does not say where to read what to do", name)
		}
		if fmt.Sprint(p.AlarmActions) != "map[!If:[HasAlarmTopic [map[!Ref:AlarmTopicArn]] map[!Ref:AWS::NoValue]]]" {
			t.Errorf("%s does not notify AlarmTopicArn: %v", name, p.AlarmActions)
		}
		if p.Namespace != metric.Namespace {
			continue
		}
		m, ok := declared[p.MetricName]
		if !ok {
			t.Errorf("%s watches %s, which nothing counts", name, p.MetricName)
		}
		for _, d := range p.Dimensions {
			value := fmt.Sprint(d.Value)
			switch {
			case d.Name == "Stack" && value == "map[!Ref:AWS::StackName]":
			case d.Name == m.Dimension && slices.Contains(m.Values, value):
			default:
				t.Errorf("%s watches %s where %s is %s, which is never counted", name, m.Name, d.Name, value)
			}
		}
	}
	if alarms == 0 {
		t.Error("there are no alarms")
	}

	body, ok := tmpl.Resources["Dashboard"].Properties.DashboardBody.(map[string]any)
	if !ok {
		t.Fatal("there is no dashboard")
	}
	text := body["!Sub"].(string)
	if !json.Valid([]byte(regexp.MustCompile(`\$\{[^}]*\}`).ReplaceAllString(text, "x"))) {
		t.Error("the dashboard is no JSON")
	}
	for name := range declared {
		if !strings.Contains(text, `"`+name+`"`) && !strings.Contains(text, `MetricName=\"`+name+`\"`) {
			t.Errorf("%s is not on the dashboard", name)
		}
	}
	for _, m := range regexp.MustCompile(`\["`+metric.Namespace+`","([^"]*)"`).FindAllStringSubmatch(text, -1) {
		if _, ok := declared[m[1]]; !ok {
			t.Errorf("the dashboard shows %s, which nothing counts", m[1])
		}
	}
}

// The tables of metrics, keys and alarms are those of the code and the template.
func TestOperationsTables(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	doc := string(text)
	want := func(kind, line string) {
		if !strings.Contains(doc, "\n"+line) {
			t.Errorf("operations.md, %s: this line is missing:\n%s", kind, line)
		}
	}
	for _, m := range metric.All {
		dimension := ""
		if m.Dimension != "" {
			dimension = " By `" + m.Dimension + "`: " + strings.Join(append(slices.Clone(m.Values), "other"), ", ") + "."
		}
		want("Metrics", fmt.Sprintf("| `%s` | %s%s |\n", m.Name, m.Meaning, dimension))
	}
	for _, k := range metric.Keys {
		want("Log", fmt.Sprintf("| `%s` | %s |\n", k.Name, k.Meaning))
	}
	headings := make(map[string]bool)
	for _, m := range regexp.MustCompile(`(?m)^\| \*\*(.+?)\*\* `).FindAllStringSubmatch(doc, -1) {
		headings[m[1]] = true
	}
	for name, r := range readTemplate(t).Resources {
		if r.Type != "AWS::CloudWatch::Alarm" {
			continue
		}
		if !strings.Contains(doc, "`"+name+"`") {
			t.Errorf("operations.md, Alarms: %s is missing", name)
		}
		_, where, _ := strings.Cut(strings.Join(strings.Fields(r.Properties.AlarmDescription), " "), runbook)
		if where = strings.TrimSuffix(where, `".`); !headings[where] {
			t.Errorf("operations.md, Alarms: %s says to look under %q, which is not there", name, where)
		}
	}
}
