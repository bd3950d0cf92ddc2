package contract

import (
	"fmt"
	"math"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// No local AWS evaluates alarms. This does, by CloudWatch's documented rules:
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-evaluation.html
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html
//
//   - Each minute, the last periods that end now are looked at: as many as the alarm has
//     evaluation periods, and a few more. CloudWatch does not say how many more; its
//     examples have two.
//   - Periods without data don't count as long as there are enough with data among those.
//     Only what is lacking then is filled as TreatMissingData says.
//   - In metric math, what has no value makes a result that has none, and FILL replaces it.
//     It is not documented what FILL makes of a metric without any value: here, none.

// morePeriods is how many more periods CloudWatch looks at than the alarm asks for.
const morePeriods = 2

// A day is what each metric has in each minute: values of which CloudWatch takes the
// statistic. Metrics are named as in the test's table of alarms, such as
// "ExtendIntake Unreadable".
type day map[string]func(minute int) (value float64, ok bool)

// A watch is an alarm as the evaluator reads it.
type watch struct {
	name       string
	inputs     map[string]input
	expression string // of the inputs; "" is the input "m"
	period     int    // minutes
	of, in     int
	breaches   func(float64) bool
	missing    string
}

type input struct{ metric, stat string }

// readWatches reads the alarms from the text form that TestAlarmsAreAsPinned holds to the
// template. parameters are the values of those that a threshold refers to.
func readWatches(t *testing.T, parameters map[string]float64) []watch {
	t.Helper()
	form := regexp.MustCompile(`^(.*) (>=|>|<=|<) (\S+) in (\d+) of (\d+) x (\d+) s, missing: (\w+)$`)
	number := func(text string) float64 {
		if v, ok := parameters[text]; ok {
			return v
		}
		n, err := strconv.ParseFloat(text, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	var all []watch
	for name, text := range alarms {
		m := form.FindStringSubmatch(text)
		if m == nil {
			t.Fatalf("%s is not understood: %s", name, text)
		}
		w := watch{name: name, inputs: map[string]input{}, in: int(number(m[4])), of: int(number(m[5])), period: int(number(m[6])) / 60, missing: m[7]}
		read := func(text string) input {
			stat, metric, ok := strings.Cut(text, " of ")
			if !ok {
				t.Fatalf("%s: %q is no statistic of a metric", name, text)
			}
			return input{metric, stat}
		}
		if parts := strings.Split(m[1], " | "); len(parts) == 1 {
			w.inputs["m"] = read(m[1])
		} else {
			w.expression = parts[0]
			for _, p := range parts[1:] {
				id, what, _ := strings.Cut(p, " = ")
				w.inputs[id] = read(what)
			}
		}
		threshold := number(m[3])
		w.breaches = map[string]func(float64) bool{
			">": func(v float64) bool { return v > threshold }, ">=": func(v float64) bool { return v >= threshold },
			"<": func(v float64) bool { return v < threshold }, "<=": func(v float64) bool { return v <= threshold },
		}[m[2]]
		all = append(all, w)
	}
	slices.SortFunc(all, func(a, b watch) int { return strings.Compare(a.name, b.name) })
	return all
}

// none is a period without a value.
var none = math.NaN()

// statistic is an input's value over the minutes from up to, but without, until.
func (i input) statistic(d day, from, until int) float64 {
	sample := d[i.metric]
	value := none
	for minute := max(from, 0); sample != nil && minute < until; minute++ {
		v, ok := sample(minute)
		switch {
		case !ok:
		case math.IsNaN(value):
			value = v
		case i.stat == "Sum":
			value += v
		case i.stat == "Minimum":
			value = min(value, v)
		case i.stat == "Maximum":
			value = max(value, v)
		default:
			panic("statistic " + i.stat)
		}
	}
	return value
}

// inAlarm says whether the alarm is on at the end of a minute.
func (w watch) inAlarm(d day, now int) bool {
	series := map[string][]float64{} // the newest first
	for id, i := range w.inputs {
		for n := range w.of + morePeriods {
			series[id] = append(series[id], i.statistic(d, now-(n+1)*w.period, now-n*w.period))
		}
	}
	values := series["m"]
	if w.expression != "" {
		values = calculate(w.expression, series, w.of+morePeriods)
	}
	real := slices.DeleteFunc(slices.Clone(values), math.IsNaN)
	breaching := 0
	for _, v := range real[:min(len(real), w.of)] {
		if w.breaches(v) {
			breaching++
		}
	}
	if lacking := w.of - len(real); lacking > 0 && w.missing == "breaching" {
		breaching += lacking
	}
	return breaching >= w.in
}

// notices are the minutes in which the alarm goes on, which is when somebody is told, and
// goes off.
func (w watch) notices(d day, minutes int) (on, off []int) {
	was := false
	for now := 1; now <= minutes; now++ {
		is := w.inAlarm(d, now)
		switch {
		case is && !was:
			on = append(on, now)
		case was && !is:
			off = append(off, now)
		}
		was = is
	}
	return on, off
}

// calculate is metric math, as much of it as the alarms use.
func calculate(expression string, series map[string][]float64, n int) []float64 {
	p := &metricMath{tokens: regexp.MustCompile(`[A-Za-z_]\w*|\d+(?:\.\d+)?|==|>=|<=|[-+*/(),<>]`).FindAllString(expression, -1), series: series, n: n}
	v := p.and()
	if len(p.tokens) > 0 {
		panic(fmt.Sprintf("metric math: %q of %q is not understood", p.tokens, expression))
	}
	return v
}

type metricMath struct {
	tokens []string
	series map[string][]float64
	n      int
}

func (p *metricMath) next() string {
	if len(p.tokens) == 0 {
		return ""
	}
	return p.tokens[0]
}

func (p *metricMath) take(want string) {
	if p.next() != want {
		panic(fmt.Sprintf("metric math: %q where %q is wanted", p.next(), want))
	}
	p.tokens = p.tokens[1:]
}

func (p *metricMath) each(f func(i int) float64) []float64 {
	v := make([]float64, p.n)
	for i := range v {
		v[i] = f(i)
	}
	return v
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// binary applies an operator to what has values on both sides.
func (p *metricMath) binary(a, b []float64, f func(a, b float64) float64) []float64 {
	return p.each(func(i int) float64 {
		if math.IsNaN(a[i]) || math.IsNaN(b[i]) {
			return none
		}
		return f(a[i], b[i])
	})
}

func (p *metricMath) and() []float64 {
	v := p.comparison()
	for p.next() == "AND" {
		p.take("AND")
		v = p.binary(v, p.comparison(), func(a, b float64) float64 { return truth(a != 0 && b != 0) })
	}
	return v
}

func (p *metricMath) comparison() []float64 {
	v := p.sum()
	switch op := p.next(); op {
	case ">", ">=", "<", "<=", "==":
		p.take(op)
		v = p.binary(v, p.sum(), func(a, b float64) float64 {
			return map[string]float64{">": truth(a > b), ">=": truth(a >= b), "<": truth(a < b), "<=": truth(a <= b), "==": truth(a == b)}[op]
		})
	}
	return v
}

func (p *metricMath) sum() []float64 {
	v := p.atom()
	for p.next() == "+" {
		p.take("+")
		v = p.binary(v, p.atom(), func(a, b float64) float64 { return a + b })
	}
	return v
}

func (p *metricMath) atom() []float64 {
	name := p.next()
	p.take(name)
	switch {
	case name == "(":
		v := p.and()
		p.take(")")
		return v
	case name == "FILL":
		p.take("(")
		v := p.and()
		p.take(",")
		with := p.and()
		p.take(")")
		if !slices.ContainsFunc(v, func(x float64) bool { return !math.IsNaN(x) }) {
			return v
		}
		return p.each(func(i int) float64 {
			if math.IsNaN(v[i]) {
				return with[i]
			}
			return v[i]
		})
	case name == "IF":
		p.take("(")
		condition := p.and()
		p.take(",")
		yes := p.and()
		p.take(",")
		no := p.and()
		p.take(")")
		return p.each(func(i int) float64 {
			switch {
			case math.IsNaN(condition[i]):
				return none
			case condition[i] != 0:
				return yes[i]
			}
			return no[i]
		})
	case p.series[name] != nil:
		return p.series[name]
	}
	n, err := strconv.ParseFloat(name, 64)
	if err != nil {
		panic(fmt.Sprintf("metric math: %q is not understood", name))
	}
	return p.each(func(int) float64 { return n })
}

// CloudWatch's own examples, of an alarm with three evaluation periods, from the page about
// missing data. The newest is on the right.
func TestEvaluatorByTheExamplesOfAWS(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		points              string
		breaching, notAlarm bool // the state with missing data as breaching and as notBreaching
	}{
		{"0-X-X", false, true},
		{"-----", true, true},
		{"0----", false, true},
		{"--X--", true, true},
		{"-XXX-", true, false},
		{"0XXX-", true, false},
	} {
		d := day{"M": func(minute int) (float64, bool) {
			return truth(c.points[minute] == 'X'), c.points[minute] != '-'
		}}
		for missing, want := range map[string]bool{"breaching": c.breaching, "notBreaching": !c.notAlarm} {
			w := watch{inputs: map[string]input{"m": {"M", "Sum"}}, period: 1, of: 3, in: 3, breaches: func(v float64) bool { return v > 0 }, missing: missing}
			if got := w.inAlarm(d, len(c.points)); got != want {
				t.Errorf("%s, %s: in alarm %v, want %v", c.points, missing, got, want)
			}
		}
	}
}

// An incident begins at this minute of its day, and again later: the second one has to be
// noticed, too.
const (
	firstIncident  = 8 * 60
	secondIncident = 22 * 60
	dayLength      = 36 * 60
)

// during is a sample in the minutes of both incidents, every so many minutes; other is what
// there is at other times, NaN for nothing.
func during(length, every int, value, other float64) func(int) (float64, bool) {
	return func(minute int) (float64, bool) {
		for _, began := range []int{firstIncident, secondIncident} {
			if minute >= began && minute < began+length && (minute-began)%every == 0 {
				return value, true
			}
		}
		return other, !math.IsNaN(other)
	}
}

func constantly(value float64) func(int) (float64, bool) {
	return func(int) (float64, bool) { return value, true }
}

// goodDay is one on which nobody is to be told anything: work from 8 to 18, nothing at
// night, and the odd thing that mends itself.
func goodDay() day {
	const (
		queue = ", QueueName=UploadQueue"
		one   = 11*60 + 3
	)
	working := func(minute int) bool { h := minute / 60 % 24; return h >= 8 && h < 18 }
	once := func(value float64) func(int) (float64, bool) {
		return func(minute int) (float64, bool) { return value, minute%(24*60) == one }
	}
	work := func(value float64) func(int) (float64, bool) {
		return func(minute int) (float64, bool) { return value, working(minute) }
	}
	atWork := func(value float64) func(int) (float64, bool) {
		return func(minute int) (float64, bool) { return value * truth(working(minute)), true }
	}
	d := day{
		"AWS/SQS ApproximateNumberOfMessagesVisible" + queue:                                 atWork(300), // a backlog all day, which moves
		"AWS/SQS ApproximateNumberOfMessagesNotVisible" + queue:                              atWork(20),
		"AWS/SQS NumberOfMessagesDeleted" + queue:                                            atWork(80),
		"AWS/SQS ApproximateAgeOfOldestMessage" + queue:                                      atWork(4000),
		"AWS/SQS ApproximateNumberOfMessagesVisible, QueueName=DeadLetterQueue":              constantly(0),
		"AWS/SQS ApproximateNumberOfMessagesVisible, QueueName=AnnouncementsDeadLetterQueue": constantly(0),
		"ExtendIntake Credits":                                                work(10),
		"ExtendIntake UnexpectedAnswers":                                      once(3), // one incident of a minute
		"ExtendIntake WebhookRejected, Cause=signature":                       once(5), // a stranger
		"ExtendIntake WebhookRejected, Cause=headers":                         once(5),
		"ExtendIntake WebhookRejected, Cause=not stored":                      once(20),                                                                                    // a throttled table
		"AWS/Lambda Invocations, FunctionName=ReconcileFunction":              func(minute int) (float64, bool) { return 1, minute%(24*60) < 600 || minute%(24*60) > 605 }, // five minutes are missing
		"AWS/Lambda IteratorAge, FunctionName=PublishFunction":                work(1500),
		"AWS/Lambda RecursiveInvocationsDropped, FunctionName=SubmitFunction": work(0),
		"AWS/ApiGateway 5xx, ApiId=WebhookApi":                                once(4),
	}
	for _, function := range []string{"SubmitFunction", "WebhookFunction", "PublishFunction", "ReconcileFunction"} {
		d["AWS/Lambda Errors, FunctionName="+function] = once(1)
		d["AWS/Lambda Throttles, FunctionName="+function] = once(2)
	}
	return d
}

// badDays are what each alarm is there for.
var badDays = map[string]struct {
	text string
	day  day
}{
	"UploadQueueStuck": {text: "three uploads wait, and nothing is done", day: day{
		"AWS/SQS ApproximateNumberOfMessagesVisible, QueueName=UploadQueue":    during(300, 1, 3, 0),
		"AWS/SQS ApproximateNumberOfMessagesNotVisible, QueueName=UploadQueue": constantly(0),
		"AWS/SQS NumberOfMessagesDeleted, QueueName=UploadQueue":               constantly(0),
	}},
	"UploadQueueOld":             {text: "an upload has waited for four days", day: day{"AWS/SQS ApproximateAgeOfOldestMessage, QueueName=UploadQueue": during(300, 1, 345601, 100)}},
	"UploadDeadLetters":          {text: "one dead letter", day: day{"AWS/SQS ApproximateNumberOfMessagesVisible, QueueName=DeadLetterQueue": during(300, 1, 1, 0)}},
	"AnnouncementDeadLetters":    {text: "one dead letter", day: day{"AWS/SQS ApproximateNumberOfMessagesVisible, QueueName=AnnouncementsDeadLetterQueue": during(300, 1, 1, 0)}},
	"AccountPauses":              {text: "the key is revoked: a try every 7 minutes", day: day{"ExtendIntake AccountPaused": during(300, 7, 1, none)}},
	"DuplicateRuns":              {text: "one duplicate run", day: day{"ExtendIntake DuplicateRun": during(1, 1, 1, none)}},
	"AnswersOfOthers":            {text: "a firewall answers, every 8 minutes", day: day{"ExtendIntake UnexpectedAnswers": during(300, 8, 1, none)}},
	"UnreadableAnswers":          {text: "one answer", day: day{"ExtendIntake Unreadable": during(1, 1, 1, none)}},
	"TagMismatch":                {text: "one run", day: day{"ExtendIntake TagMismatches": during(1, 1, 1, none)}},
	"DeliveriesOfAnotherVersion": {text: "one delivery", day: day{"ExtendIntake OtherApiVersion": during(1, 1, 1, none)}},
	"WebhookSignatures":          {text: "a secret is missing, a delivery every 6 minutes", day: day{"ExtendIntake WebhookRejected, Cause=signature": during(300, 6, 1, none)}},
	"WebhookHeaders":             {text: "a proxy drops them, a delivery every 6 minutes", day: day{"ExtendIntake WebhookRejected, Cause=headers": during(300, 6, 1, none)}},
	"WebhookStale":               {text: "one delivery", day: day{"ExtendIntake WebhookRejected, Cause=stale": during(1, 1, 1, none)}},
	"WebhookNotStored":           {text: "the table is unavailable, a delivery every minute", day: day{"ExtendIntake WebhookRejected, Cause=not stored": during(120, 1, 1, none)}},
	"StalledDocuments":           {text: "one document, at one check", day: day{"ExtendIntake Stalled": during(1, 1, 1, none)}},
	"BudgetNearlyUsed":           {text: "a run every minute, at 85 % of the budget", day: day{"ExtendIntake BudgetUsed": during(60, 1, 85, none)}},
	"BudgetUsedUp":               {text: "it is used up: a try every 7 minutes", day: day{"ExtendIntake BudgetUsed": during(300, 7, 101, none)}},
	"CreditsAnHour":              {text: "50 credits a minute, 1000 an hour are allowed", day: day{"ExtendIntake Credits": during(120, 1, 50, none)}},
	"ReconcileNotRunning":        {text: "its schedule is disabled", day: day{"AWS/Lambda Invocations, FunctionName=ReconcileFunction": func(m int) (float64, bool) { v, _ := during(300, 1, 0, 1)(m); return 1, v == 1 }}},
	"SubmitErrors":               {text: "it crashes, every 6 minutes", day: day{"AWS/Lambda Errors, FunctionName=SubmitFunction": during(300, 6, 1, 0)}},
	"WebhookErrors":              {text: "it crashes, a delivery every minute", day: day{"AWS/Lambda Errors, FunctionName=WebhookFunction": during(300, 1, 1, none)}},
	"ReconcileErrors":            {text: "it crashes, every minute", day: day{"AWS/Lambda Errors, FunctionName=ReconcileFunction": during(300, 1, 1, 0)}},
	"PublishErrors":              {text: "it crashes, every minute", day: day{"AWS/Lambda Errors, FunctionName=PublishFunction": during(300, 1, 1, none)}},
	"SubmitThrottles":            {text: "every minute", day: day{"AWS/Lambda Throttles, FunctionName=SubmitFunction": during(300, 1, 2, 0)}},
	"WebhookThrottles":           {text: "every minute", day: day{"AWS/Lambda Throttles, FunctionName=WebhookFunction": during(300, 1, 2, none)}},
	"ReconcileThrottles":         {text: "every minute", day: day{"AWS/Lambda Throttles, FunctionName=ReconcileFunction": during(300, 1, 1, 0)}},
	"PublishThrottles":           {text: "every minute", day: day{"AWS/Lambda Throttles, FunctionName=PublishFunction": during(300, 1, 1, none)}},
	"RecursionDropped":           {text: "one message", day: day{"AWS/Lambda RecursiveInvocationsDropped, FunctionName=SubmitFunction": during(1, 1, 1, none)}},
	"WebhookApiRefusals":         {text: "a hundred forged deliveries a minute", day: day{"AWS/ApiGateway 4xx, ApiId=WebhookApi": during(120, 1, 100, none)}},
	"WebhookApiErrors":           {text: "a delivery every 4 minutes", day: day{"AWS/ApiGateway 5xx, ApiId=WebhookApi": during(300, 4, 1, none)}},
	"AnnouncementsLate":          {text: "the bus is gone", day: day{"AWS/Lambda IteratorAge, FunctionName=PublishFunction": during(300, 1, 3600001, none)}},
}

// Each alarm's bad day tells somebody once for each incident, and in time: docs/operations.md
// says how soon. The good day tells nobody anything.
func TestAlarmsFireInTimeAndOnce(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	good, silent := goodDay(), day{
		"AWS/Lambda Invocations, FunctionName=ReconcileFunction": constantly(1), // and nothing else
	}
	for _, w := range readWatches(t, map[string]float64{"CreditsPerHour": 1000}) {
		if on, _ := w.notices(good, dayLength); len(on) > 0 && on[0] > w.of*w.period {
			t.Errorf("%s: on a good day it goes on in minute %d", w.name, on[0])
		}
		if on, _ := w.notices(silent, dayLength); len(on) > 0 && w.name != "ReconcileNotRunning" { // that one before the first minute
			t.Errorf("%s: on a silent day it goes on in minute %d", w.name, on[0])
		}
		bad, ok := badDays[w.name]
		if !ok {
			t.Errorf("%s has no bad day: add one to this test", w.name)
			continue
		}
		on, off := w.notices(bad.day, dayLength)
		if w.name == "ReconcileNotRunning" && len(on) > 0 && on[0] < 15 { // a new stack's
			on, off = on[1:], off[1:]
		}
		if len(on) != 2 || on[0] <= firstIncident || on[1] <= secondIncident {
			t.Errorf("%s: %s: goes on in the minutes %v, and the incidents begin in %d and %d: want one notice of each", w.name, bad.text, on, firstIncident, secondIncident)
			continue
		}
		row := fmt.Sprintf("| `%s` | %s | %s |", w.name, bad.text, minutes(on[0]-firstIncident))
		t.Logf("%s   off %v", row, off)
		if !strings.Contains(string(doc), "\n"+row+"\n") {
			t.Errorf("operations.md, how soon alarms fire: this line is missing:\n%s", row)
		}
	}
}

func minutes(n int) string {
	if n == 1 {
		return "1 minute"
	}
	return fmt.Sprintf("%d minutes", n)
}
