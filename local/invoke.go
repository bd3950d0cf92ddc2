package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"extend-intake/local/child"
	"extend-intake/local/emulator"
	"extend-intake/shared/extend/webhook"
	"extend-intake/shared/ledger"
)

const (
	// sampleSecret and sampleStack are what the webhook events of events/ were signed
	// with, and the stack whose documents they tell of.
	sampleSecret = "wss_sample_for_events"
	sampleStack  = "123456789012/eu-west-1/extend-intake"
	// containersHost is the name by which containers call this machine.
	containersHost = "host.docker.internal"
	// invokePatience covers a function's own time-out and the start of its container.
	invokePatience = 2 * time.Minute
)

// An expectation is what an event of events/ must lead to, when the table is empty
// before. The table of them is local/expect.json.
type expectation struct {
	Answer      json.RawMessage `json:"answer"` // the function's, or
	Status      int             `json:"status"` // that of its HTTP answer
	Table       []ledger.State  `json:"table"`  // of the documents that are there then
	DeadLetters int             `json:"deadLetters"`
}

// check says what is wrong, or nothing.
func (e expectation) check(answer []byte, table []ledger.State, deadLetters int) string {
	var faults []string
	if want := compact(e.Answer); e.Status == 0 && want != compact(answer) {
		faults = append(faults, "want "+want)
	}
	if e.Status != 0 && status(answer) != e.Status {
		faults = append(faults, fmt.Sprintf("want status %d", e.Status))
	}
	if !slices.Equal(table, e.Table) {
		faults = append(faults, fmt.Sprintf("want documents %v", e.Table))
	}
	if deadLetters != e.DeadLetters {
		faults = append(faults, fmt.Sprintf("%d dead letters, want %d", deadLetters, e.DeadLetters))
	}
	return strings.Join(faults, "; ")
}

func status(answer []byte) int {
	var r struct{ StatusCode int }
	_ = json.Unmarshal(answer, &r) // then it is 0
	return r.StatusCode
}

// compact is JSON without spaces, and what is no JSON as it is.
func compact(text []byte) string {
	var b bytes.Buffer
	if json.Compact(&b, text) != nil {
		return string(text)
	}
	return b.String()
}

// functionOf is the function that an event is for, by the event's name.
func functionOf(event string) string {
	name, _, _ := strings.Cut(event, "-")
	return strings.ToUpper(name[:1]) + name[1:] + "Function"
}

// invoke runs events, or all of them, through the real `sam local`. The image is what
// the containers are made of; "" leaves that to sam.
func invoke(ctx context.Context, out io.Writer, image string, names []string) (err error) {
	root, err := emulator.Root()
	if err != nil {
		return err
	}
	expected, err := readExpectations(root)
	if err != nil {
		return err
	}
	if len(names) == 0 {
		files, err := filepath.Glob(filepath.Join(root, "events", "*.json"))
		if err != nil {
			return err
		}
		for _, f := range files {
			names = append(names, strings.TrimSuffix(filepath.Base(f), ".json"))
		}
	}

	s, err := begin(ctx, out)
	if err != nil {
		return err
	}
	defer func() {
		s.stop()
		err = s.leave(err)
	}()
	sam, err := newSAMLocal(ctx, s, image)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\nEach is compared with local/expect.json; webhook events that were signed are signed anew, as of now.\n")
	wrong, run := 0, 0
	try := func(through caller, name string) error {
		ok, err := sam.try(ctx, out, through, name, expected[name])
		run++
		if !ok {
			wrong++
		}
		return err
	}

	fmt.Fprintf(out, "\nsam local invoke\n")
	var webhooks []string
	for _, name := range names {
		function := functionOf(name)
		switch _, known := expected[name]; {
		case !known:
			fmt.Fprintf(out, "  skipped   %-40s no function takes it: it is not in local/expect.json\n", name)
			continue
		case sam.variables[function] == nil:
			fmt.Fprintf(out, "  skipped   %-40s template.yaml has no %s\n", name, function)
			continue
		case function == "WebhookFunction":
			webhooks = append(webhooks, name)
		}
		if err := try(sam.invoke, name); err != nil {
			return err
		}
	}
	if len(webhooks) > 0 {
		fmt.Fprintf(out, "\nsam local start-api, POST /webhook\n")
		post, err := sam.startAPI(ctx)
		if err != nil {
			return err
		}
		for _, name := range webhooks {
			if err := try(post, name); err != nil {
				return err
			}
		}
	}
	if wrong > 0 {
		return fmt.Errorf("%d of %d invocations did not end as local/expect.json says", wrong, run)
	}
	fmt.Fprintf(out, "\nAll %d invocations ended as they should.\n", run)
	return nil
}

func readExpectations(root string) (map[string]expectation, error) {
	text, err := os.ReadFile(filepath.Join(root, "local", "expect.json"))
	if err != nil {
		return nil, err
	}
	var expected map[string]expectation
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&expected); err != nil {
		return nil, fmt.Errorf("local/expect.json: %w", err)
	}
	return expected, nil
}

// samLocal is `sam local` for a stack: its functions as they were built and with the
// variables that they were deployed with, in containers.
type samLocal struct {
	*stack
	variables map[string]map[string]string // by function
	args      []string
	env       []string
}

// A caller hands an event to a function. The log is for when the answer is wrong.
type caller func(ctx context.Context, name string, event []byte) (answer []byte, log string, err error)

func newSAMLocal(ctx context.Context, s *stack, image string) (*samLocal, error) {
	l := &samLocal{stack: s}
	// Servers here listen on the loopback interface, which containers don't reach.
	extendURL, err := s.serveRuns()
	if err != nil {
		return nil, err
	}
	for _, url := range []string{s.aws.URL, extendURL} {
		if err := s.forward(strings.TrimPrefix(url, "http://")); err != nil {
			return nil, err
		}
	}
	if l.variables, err = s.deployedVariables(ctx); err != nil {
		return nil, err
	}
	for _, variables := range l.variables {
		maps.Copy(variables, map[string]string{
			"STACK": sampleStack, "EXTEND_API_KEY": s.apiKey, "EXTEND_WEBHOOK_SECRETS": sampleSecret,
			"AWS_ENDPOINT_URL": s.aws.URL, "EXTEND_BASE_URL": extendURL,
			"PAYLOAD_HOSTS": "example.invalid", // nothing leaves the machine
		})
		for name, value := range variables {
			variables[name] = strings.ReplaceAll(value, "127.0.0.1", containersHost)
		}
	}
	text, err := json.Marshal(l.variables)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(s.dir, "env.json"), text, 0o600); err != nil {
		return nil, err
	}

	// SAM gives a function only the variables that its template names.
	template := filepath.Join(s.dir, "build", "template.yaml")
	if text, err = os.ReadFile(template); err != nil {
		return nil, err
	}
	named := regexp.MustCompile(`(?m)^( +)EXTEND_API_KEY: .*$`).ReplaceAll(text, []byte("$0\n${1}AWS_ENDPOINT_URL: ''"))
	if bytes.Equal(named, text) {
		return nil, fmt.Errorf("%s does not name EXTEND_API_KEY", s.relative(template))
	}
	if err := os.WriteFile(template, named, 0o644); err != nil {
		return nil, err
	}

	temporary := filepath.Join(s.dir, "tmp")
	if err := os.Mkdir(temporary, 0o755); err != nil {
		return nil, err
	}
	l.args = []string{
		"--template-file", template, "--env-vars", filepath.Join(s.dir, "env.json"), "--add-host", containersHost + ":host-gateway",
		"--skip-pull-image", "--parameter-overrides", "Architecture=" + architectures[runtime.GOARCH] + " ProcessorId=" + processorID,
	}
	if image != "" {
		l.args = append(l.args, "--invoke-image", image)
	}
	// With credentials, sam would ask AWS whose they are.
	l.env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "AWS_") || strings.HasPrefix(v, "MAKE") })
	l.env = append(l.env, "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null", "AWS_EC2_METADATA_DISABLED=true",
		"AWS_DEFAULT_REGION="+emulator.Region, "SAM_CLI_TELEMETRY=0", "__SAM_CLI_APP_DIR="+s.dir, "TMPDIR="+temporary)
	s.closers = append(s.closers, l.sweep)
	return l, nil
}

func (l *samLocal) command(args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(l.root, ".tools/sam/bin/sam"), append(append([]string{"local"}, args...), l.args...)...)
	cmd.Dir, cmd.Env = l.root, l.env
	return cmd
}

// sweep removes the containers that sam leaves behind when it is stopped.
func (l *samLocal) sweep() {
	args := []string{"ps", "--all", "--quiet"}
	for function := range l.variables {
		args = append(args, "--filter", "volume="+filepath.Join(l.dir, "build", function))
	}
	if left, err := exec.Command("docker", args...).Output(); err == nil && len(left) > 0 {
		_ = exec.Command("docker", append([]string{"rm", "--force"}, strings.Fields(string(left))...)...).Run()
	}
}

// try hands an event to its function and prints what came back.
func (l *samLocal) try(ctx context.Context, out io.Writer, through caller, name string, want expectation) (bool, error) {
	event, err := os.ReadFile(filepath.Join(l.root, "events", name+".json"))
	if err != nil {
		return false, err
	}
	if functionOf(name) == "WebhookFunction" {
		if event, err = signAnew(event, time.Now()); err != nil {
			return false, fmt.Errorf("events/%s.json: %w", name, err)
		}
	}
	if _, err := l.documents(ctx, true); err != nil {
		return false, err
	}
	lettersBefore, err := l.deadLetters(ctx)
	if err != nil {
		return false, err
	}

	limited, cancel := context.WithTimeoutCause(ctx, invokePatience, fmt.Errorf("no answer after %s", invokePatience))
	defer cancel()
	start := time.Now()
	answer, log, callErr := through(limited, name, event)
	took := time.Since(start)
	if ctx.Err() != nil {
		return false, context.Cause(ctx)
	}
	table, err := l.documents(ctx, false)
	if err != nil {
		return false, err
	}
	letters, err := l.deadLetters(ctx)
	if err != nil {
		return false, err
	}

	fault := want.check(answer, table, letters-lettersBefore)
	if callErr != nil {
		fault = callErr.Error()
	}
	verdict := "ok"
	if fault != "" {
		verdict = "WRONG"
	}
	shown := cmp.Or(compact(answer), "no answer")
	if code := status(answer); code != 0 {
		shown = strconv.Itoa(code)
	}
	fmt.Fprintf(out, "  %-5s  %6.2f s   %-38s   %-26s   %s\n", verdict, took.Seconds(), name, shown, strings.Trim(fmt.Sprint(table), "[]"))
	if fault != "" {
		fmt.Fprintf(out, "         %s\n         | %s\n", fault, strings.ReplaceAll(strings.TrimSpace(log), "\n", "\n         | "))
	}
	return fault == "", nil
}

// invoke is a caller: `sam local invoke`, which makes a container for each event.
func (l *samLocal) invoke(ctx context.Context, name string, event []byte) (answer []byte, log string, err error) {
	path := filepath.Join(l.dir, name+".json")
	if err := os.WriteFile(path, event, 0o600); err != nil {
		return nil, "", err
	}
	cmd := l.command("invoke", functionOf(name), "--event", path)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	// Its exit status says nothing: it is 0 even when the function dies.
	err = child.Run(ctx, cmd)
	return stdout.Bytes(), stderr.String(), err
}

// startAPI starts `sam local start-api`, and returns the caller that POSTs to it.
func (l *samLocal) startAPI(ctx context.Context) (caller, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(l.dir, "start-api.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := l.command("start-api", "--port", port, "--warm-containers", "LAZY")
	cmd.Stdout, cmd.Stderr = log, log
	server, err := child.Start(cmd)
	if err != nil {
		return nil, err
	}
	l.closers = append(l.closers, server.Stop) // before the sweep
	address := "127.0.0.1:" + port
	ctx, cancel := context.WithTimeoutCause(ctx, invokePatience, errors.New("it does not listen"))
	defer cancel()
	for tick := time.NewTicker(100 * time.Millisecond); ; {
		select {
		case <-tick.C:
		case <-server.Ended:
			return nil, fmt.Errorf("sam local start-api: %w\n%s", cmp.Or(server.Err, errors.New("ended")), tail(log.Name(), 20))
		case <-ctx.Done():
			return nil, fmt.Errorf("sam local start-api: %w\n%s", context.Cause(ctx), tail(log.Name(), 20))
		}
		if c, err := net.Dial("tcp", address); err == nil {
			c.Close()
			tick.Stop()
			break
		}
	}
	return func(ctx context.Context, _ string, event []byte) ([]byte, string, error) {
		var e events.APIGatewayV2HTTPRequest
		if err := json.Unmarshal(event, &e); err != nil {
			return nil, "", err
		}
		body, err := bodyOf(e)
		if err != nil {
			return nil, "", err
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+"/webhook", bytes.NewReader(body))
		if err != nil {
			return nil, "", err
		}
		for name, value := range e.Headers {
			req.Header.Set(name, value)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return nil, tail(log.Name(), 20), err
		}
		resp.Body.Close()
		return fmt.Appendf(nil, `{"statusCode":%d}`, resp.StatusCode), tail(log.Name(), 20), nil
	}, nil
}

// signAnew signs a delivery as of now. One that was never signed, or by somebody else,
// stays as it is.
func signAnew(event []byte, now time.Time) ([]byte, error) {
	var e events.APIGatewayV2HTTPRequest
	if err := json.Unmarshal(event, &e); err != nil {
		return nil, err
	}
	body, err := bodyOf(e)
	if err != nil {
		return nil, err
	}
	header := make(http.Header)
	for name, value := range e.Headers {
		header.Set(name, value)
	}
	_, err = webhook.Verifier{Secrets: []string{sampleSecret}, MaxAge: -1}.Open(header, body)
	if errors.Is(err, webhook.ErrHeader) || errors.Is(err, webhook.ErrSignature) {
		return event, nil
	}
	for name, values := range webhook.Sign(sampleSecret, now, body) {
		e.Headers[strings.ToLower(name)] = values[0]
	}
	return json.Marshal(e)
}

// bodyOf is a request's body as it was sent.
func bodyOf(e events.APIGatewayV2HTTPRequest) ([]byte, error) {
	if e.IsBase64Encoded {
		return base64.StdEncoding.DecodeString(e.Body)
	}
	return []byte(e.Body), nil
}

// documents are the states of the documents in the table, which are also removed if
// that is wanted.
func (s *stack) documents(ctx context.Context, remove bool) ([]ledger.State, error) {
	table := s.outputs["DocumentsTableName"]
	scan, err := s.db.Scan(ctx, &dynamodb.ScanInput{TableName: &table, ConsistentRead: aws.Bool(true)})
	if err != nil {
		return nil, err
	}
	var states []ledger.State
	for _, item := range scan.Items {
		if state, ok := item["state"].(*types.AttributeValueMemberS); ok {
			states = append(states, ledger.State(state.Value))
		}
		if !remove {
			continue
		}
		key := map[string]types.AttributeValue{"documentId": item["documentId"]}
		if _, err := s.db.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: &table, Key: key}); err != nil {
			return nil, err
		}
	}
	slices.Sort(states)
	return states, nil
}

func (s *stack) deadLetters(ctx context.Context) (int, error) {
	waiting := sqstypes.QueueAttributeNameApproximateNumberOfMessages
	q, err := s.sqs.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: aws.String(s.outputs["DeadLetterQueueUrl"]), AttributeNames: []sqstypes.QueueAttributeName{waiting},
	})
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(q.Attributes[string(waiting)])
}

// deployedVariables are the environments of the deployed functions, by their names in
// the template: there, `!Ref DocumentsTable` is the name of a table that exists.
func (s *stack) deployedVariables(ctx context.Context) (map[string]map[string]string, error) {
	cfn := cloudformation.NewFromConfig(emulator.AWSConfig(s.aws.URL))
	resources, err := cfn.DescribeStackResources(ctx, &cloudformation.DescribeStackResourcesInput{StackName: aws.String(stackName)})
	if err != nil {
		return nil, err
	}
	variables := make(map[string]map[string]string)
	for _, r := range resources.StackResources {
		if *r.ResourceType != "AWS::Lambda::Function" {
			continue
		}
		// As for the logs: one call is not worth one more SDK package.
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.aws.URL+"/2015-03-31/functions/"+*r.PhysicalResourceId+"/configuration", nil)
		if err != nil {
			return nil, err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return nil, err
		}
		var function struct {
			Environment struct{ Variables map[string]string }
		}
		err = json.NewDecoder(resp.Body).Decode(&function)
		resp.Body.Close()
		if err != nil || function.Environment.Variables == nil {
			return nil, fmt.Errorf("the variables of %s: status %d, %v", *r.LogicalResourceId, resp.StatusCode, err)
		}
		variables[*r.LogicalResourceId] = function.Environment.Variables
	}
	return variables, nil
}

// serveRuns is the simulator and, besides, the vendor's sample of a run, which events
// of events/ tell of without ever having been made here.
func (s *stack) serveRuns() (url string, err error) {
	sample, err := os.ReadFile(filepath.Join(s.root, "functions/webhook/testdata/run_get_processed_extract.json"))
	if err != nil {
		return "", err
	}
	var run struct {
		ProcessorRun struct{ ID string } `json:"processorRun"`
	}
	if err := json.Unmarshal(sample, &run); err != nil {
		return "", err
	}
	mux := http.NewServeMux()
	mux.Handle("/", s.sim)
	mux.HandleFunc("GET /processor_runs/"+run.ProcessorRun.ID, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(sample)
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go server.Serve(listener) //nolint:errcheck // it ends by Close
	s.closers = append(s.closers, func() { server.Close() })
	return "http://" + listener.Addr().String(), nil
}

// forward makes a server of the loopback interface answer containers too: at the same
// port, on the address of Docker's bridge, until the stack stops. A machine without a
// bridge has an engine in a virtual machine, and that reaches the loopback interface.
func (s *stack) forward(address string) error {
	bridge, err := net.InterfaceByName("docker0")
	if err != nil {
		return nil
	}
	addresses, err := bridge.Addrs()
	if err != nil || len(addresses) == 0 {
		return err
	}
	network, ok := addresses[0].(*net.IPNet)
	if !ok {
		return fmt.Errorf("docker0 has the address %v", addresses[0])
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(network.IP.String(), port))
	if err != nil {
		return fmt.Errorf("for containers: %w", err)
	}
	s.closers = append(s.closers, func() { listener.Close() })
	go func() {
		for {
			from, err := listener.Accept()
			if err != nil {
				return // closed
			}
			if peer, ok := from.RemoteAddr().(*net.TCPAddr); !ok || !network.Contains(peer.IP) {
				from.Close() // no container
				continue
			}
			go pipe(from, address)
		}
	}()
	return nil
}

// pipe connects a connection with a server, until one of them has enough.
func pipe(from net.Conn, address string) {
	defer from.Close()
	to, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	defer to.Close()
	done := make(chan struct{}, 2)
	for _, way := range [][2]net.Conn{{from, to}, {to, from}} {
		go func() {
			_, _ = io.Copy(way[0], way[1])
			done <- struct{}{}
		}()
	}
	<-done
}

// freePort names a port that was free a moment ago.
func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port), nil
}
