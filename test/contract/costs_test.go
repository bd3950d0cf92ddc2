package contract

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"extend-intake/shared/metric"
)

// Dollars in us-east-1, on demand, without free tiers, as in dev/bench/price.go.
const (
	priceAlarmMetric  = 0.10 // a month, for each metric that an alarm watches
	priceMetric       = 0.30 // a month, for each custom metric that has values
	priceSecret       = 0.40 // a month
	priceDashboard    = 3.00 // a month, beyond the account's third
	priceMillionPolls = 0.40
	priceMillionCalls = 1.00 + 0.20 // HTTP API and Lambda's invocations
	priceLogs         = 0.50        // a GB
	priceGBSecond     = 0.0000133334
)

// What docs/benchmarks.md says a stack costs without documents, and in a flood, is worked
// out from the template.
func TestCostsOfTheDocs(t *testing.T) {
	t.Parallel()
	tmpl, resources := readTemplate(t), readResources(t)
	alarms, watched, secrets, queues := 0, 0, 0, 0
	conditional := 0 // metrics of alarms that a parameter switches on
	for _, r := range resources {
		r := r.(map[string]any)
		switch r["Type"] {
		case "AWS::CloudWatch::Alarm":
			n := 1
			if list, ok := at(r, "Properties.Metrics").([]any); ok {
				n = len(list) - 1 // without the expression
			}
			if r["Condition"] != nil {
				conditional += n
				continue
			}
			alarms++
			watched += n
		case "AWS::SecretsManager::Secret":
			secrets++
		case "AWS::SQS::Queue":
			queues++
		}
	}
	custom := 0
	for _, m := range metric.All {
		custom += 1 + len(m.Values)
		if m.Dimension != "" {
			custom++ // "other"
		}
	}
	// Lambda polls a queue with five connections, each of which waits for up to 20 seconds.
	const month = 30 * 24 * 3600
	polls := 5 * float64(month) / 20 * priceMillionPolls / 1e6
	perSecond := float64(seconds(t, *tmpl.Parameters["RequestsPerSecond"].Default, 0))
	flood := perSecond * month
	const seconds, memory, bytes = 0.005, 1.0, 900 // of webhook for a delivery that it refuses: see the table above
	flooded := flood*priceMillionCalls/1e6 + flood*seconds*memory*priceGBSecond + flood*bytes/1e9*priceLogs

	// reconcile finds nothing to do: a few ms of work and two reads of the table, every minute.
	reconcile := month / 60 * (0.20/1e6 + 0.015*memory*priceGBSecond + 2*0.125/1e6)

	idle := float64(watched)*priceAlarmMetric + float64(secrets)*priceSecret + polls + reconcile
	doc, err := os.ReadFile("../../docs/benchmarks.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []string{
		fmt.Sprintf("| %d alarms, which watch %d metrics | %.2f |", alarms, watched, float64(watched)*priceAlarmMetric),
		fmt.Sprintf("| the %d secrets | %.2f |", secrets, float64(secrets)*priceSecret),
		fmt.Sprintf("| polling the upload queue; the other %d queues are free while nothing is in them | %.2f |", queues-1, polls),
		fmt.Sprintf("| reconcile, every minute | %.2f |", reconcile),
		fmt.Sprintf("| **an idle stack** | **%.2f** |", idle),
		fmt.Sprintf("| the alarms of `CreditsPerHour` and `DailyCreditBudget` | %.2f |", float64(conditional)*priceAlarmMetric),
		fmt.Sprintf("| the dashboard, beyond the account's third (`MakeDashboard=false` leaves it out) | %.2f |", priceDashboard),
		fmt.Sprintf("| up to %d custom metrics, each in the months in which it has values | up to %.2f |", custom, float64(custom)*priceMetric),
		fmt.Sprintf("| a flood of forged deliveries, %g a second all month | %.0f |", perSecond, flooded),
	} {
		if !strings.Contains(string(doc), "\n"+row+"\n") {
			t.Errorf("docs/benchmarks.md, costs: this line is missing:\n%s", row)
		}
	}
}
