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
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"

	"extend-intake/dev/guard"
	"extend-intake/dev/stack"
	"extend-intake/dev/stack/child"
	"extend-intake/dev/stack/emulator"
)

// samLocal is `sam local` for a stack: its functions as they were built and with the
// variables that they were deployed with, in containers.
type samLocal struct {
	*stack.Stack
	variables map[string]map[string]string // by function
	tries     int
	samples   []string // what the events say of objects, each followed by what is true of them here
	args      []string
	env       []string
}

// A caller hands an event to a function. The log is for when the answer is wrong.
type caller func(ctx context.Context, name string, event []byte) (answer []byte, log string, err error)

func newSAMLocal(ctx context.Context, s *stack.Stack, image string) (*samLocal, error) {
	l := &samLocal{Stack: s}
	// Servers here listen on the loopback interface, which containers don't reach.
	extendURL, err := l.serveRuns()
	if err != nil {
		return nil, err
	}
	for _, url := range []string{s.AWS.URL, extendURL} {
		if err := l.forward(strings.TrimPrefix(url, "http://")); err != nil {
			return nil, err
		}
	}
	if l.variables, err = l.deployedVariables(ctx); err != nil {
		return nil, err
	}
	for _, variables := range l.variables {
		maps.Copy(variables, map[string]string{
			"STACK": sampleStack, "EXTEND_API_KEY": s.APIKey, "EXTEND_WEBHOOK_SECRETS": s.WebhookSecret, "EXTEND_TAG_KEY": sampleTagKey,
			"AWS_ENDPOINT_URL": s.AWS.URL, "AWS_ACCESS_KEY_ID": emulator.Key.ID, "AWS_SECRET_ACCESS_KEY": emulator.Key.Secret, "EXTEND_BASE_URL": extendURL,
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
	if err := os.WriteFile(filepath.Join(s.Dir, "env.json"), text, 0o600); err != nil {
		return nil, err
	}

	// SAM gives a function only the variables that its template names.
	template := filepath.Join(s.Dir, "build", "template.yaml")
	if text, err = os.ReadFile(template); err != nil { // #nosec G304 -- what was built here
		return nil, err
	}
	named := regexp.MustCompile(`(?m)^( +)EXTEND_API_KEY: .*$`).ReplaceAll(text, []byte("$0\n${1}AWS_ENDPOINT_URL: ''\n${1}AWS_ACCESS_KEY_ID: ''\n${1}AWS_SECRET_ACCESS_KEY: ''"))
	if bytes.Equal(named, text) {
		return nil, fmt.Errorf("%s does not name EXTEND_API_KEY", s.Relative(template))
	}
	if err := os.WriteFile(template, named, 0o600); err != nil { // #nosec G703 -- in the directory of this run
		return nil, err
	}

	temporary := filepath.Join(s.Dir, "tmp")
	if err := os.Mkdir(temporary, 0o750); err != nil {
		return nil, err
	}
	l.args = []string{
		"--template-file", template, "--env-vars", filepath.Join(s.Dir, "env.json"), "--add-host", containersHost + ":host-gateway",
		"--skip-pull-image", "--parameter-overrides", "Architecture=" + stack.Architecture() + " ProcessorId=" + stack.ProcessorID,
	}
	// Containers take events from whoever reaches their port, which sam opens.
	if host := guard.Address(); host != "127.0.0.1" {
		l.args = append(l.args, "--container-host", host, "--container-host-interface", host)
	}
	if image != "" {
		l.args = append(l.args, "--invoke-image", image)
	}
	// With credentials, sam would make calls to a real AWS.
	l.env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "AWS_") || strings.HasPrefix(v, "MAKE") })
	l.env = append(l.env, "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null", "AWS_EC2_METADATA_DISABLED=true",
		"AWS_DEFAULT_REGION="+emulator.Region, "SAM_CLI_TELEMETRY=0", "__SAM_CLI_APP_DIR="+s.Dir, "TMPDIR="+temporary)
	s.OnStop(l.sweep)
	return l, nil
}

func (l *samLocal) command(args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(l.Root, ".tools/sam/bin/sam"), append(append([]string{"local"}, args...), l.args...)...) // #nosec G204 G702 -- sam, on the template and events of whoever runs this, and without a shell
	cmd.Dir, cmd.Env = l.Root, l.env
	return cmd
}

// sweep removes the containers that sam leaves behind when it is stopped.
func (l *samLocal) sweep() {
	args := []string{"ps", "--all", "--quiet"}
	for function := range l.variables {
		args = append(args, "--filter", "volume="+filepath.Join(l.Dir, "build", function))
	}
	if left, err := exec.Command("docker", args...).Output(); err == nil && len(left) > 0 {
		_ = exec.Command("docker", append([]string{"rm", "--force"}, strings.Fields(string(left))...)...).Run() // #nosec G204 -- the containers' ids, from docker
	}
}

// invoke is a caller: `sam local invoke`, which makes a container for each event.
func (l *samLocal) invoke(ctx context.Context, name string, event []byte) (answer []byte, log string, err error) {
	path := filepath.Join(l.Dir, name+".json")
	if err := os.WriteFile(path, event, 0o600); err != nil { // #nosec G703 -- in the directory of this run
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
	// sam answers everybody: no page may know where.
	host := guard.Address()
	port, err := freePort(host)
	if err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(l.Dir, "start-api.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := l.command("start-api", "--host", host, "--port", port, "--warm-containers", "LAZY")
	cmd.Stdout, cmd.Stderr = log, log
	server, err := child.Start(cmd)
	if err != nil {
		return nil, err
	}
	l.OnStop(server.Stop) // before the sweep
	address := net.JoinHostPort(host, port)
	ctx, cancel := context.WithTimeoutCause(ctx, invokePatience, errors.New("it does not listen"))
	defer cancel()
	for tick := time.NewTicker(100 * time.Millisecond); ; {
		select {
		case <-tick.C:
		case <-server.Ended:
			return nil, fmt.Errorf("sam local start-api: %w\n%s", cmp.Or(server.Err, errors.New("ended")), stack.Tail(log.Name(), 20))
		case <-ctx.Done():
			return nil, fmt.Errorf("sam local start-api: %w\n%s", context.Cause(ctx), stack.Tail(log.Name(), 20))
		}
		if c, err := net.Dial("tcp", address); err == nil {
			_ = c.Close()
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
			return nil, stack.Tail(log.Name(), 20), err
		}
		_ = resp.Body.Close()
		return fmt.Appendf(nil, `{"statusCode":%d}`, resp.StatusCode), stack.Tail(log.Name(), 20), nil
	}, nil
}

// bodyOf is a request's body as it was sent.
func bodyOf(e events.APIGatewayV2HTTPRequest) ([]byte, error) {
	if e.IsBase64Encoded {
		return base64.StdEncoding.DecodeString(e.Body)
	}
	return []byte(e.Body), nil
}

// deployedVariables are the environments of the deployed functions, by their names in
// the template: there, `!Ref DocumentsTable` is the name of a table that exists.
func (l *samLocal) deployedVariables(ctx context.Context) (map[string]map[string]string, error) {
	cfn := cloudformation.NewFromConfig(emulator.AWSConfig(l.AWS.URL))
	resources, err := cfn.DescribeStackResources(ctx, &cloudformation.DescribeStackResourcesInput{StackName: aws.String(stack.Name)})
	if err != nil {
		return nil, err
	}
	variables := make(map[string]map[string]string)
	for _, r := range resources.StackResources {
		if *r.ResourceType != "AWS::Lambda::Function" {
			continue
		}
		// As for the logs: one call is not worth one more SDK package.
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, l.AWS.URL+"/2015-03-31/functions/"+*r.PhysicalResourceId+"/configuration", nil)
		if err != nil {
			return nil, err
		}
		resp, err := emulator.Client("lambda").Do(req)
		if err != nil {
			return nil, err
		}
		var function struct {
			Environment struct{ Variables map[string]string }
		}
		err = json.NewDecoder(resp.Body).Decode(&function)
		_ = resp.Body.Close()
		if err != nil || function.Environment.Variables == nil {
			return nil, fmt.Errorf("the variables of %s: status %d, %v", *r.LogicalResourceId, resp.StatusCode, err)
		}
		variables[*r.LogicalResourceId] = function.Environment.Variables
	}
	return variables, nil
}

// serveRuns is the fake and, besides, the vendor's sample of a run, which events
// of events/ are about although it was not made here.
func (l *samLocal) serveRuns() (url string, err error) {
	sample, err := os.ReadFile(filepath.Join(l.Root, "test/fixtures/run_get_processed_extract.json"))
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
	mux.Handle("/", l.Fake)
	mux.HandleFunc("GET /processor_runs/"+run.ProcessorRun.ID, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(sample)
	})
	return l.Serve(mux)
}

// forward makes a server of the loopback interface answer containers too: at the same
// port, on the address of Docker's bridge, until the stack stops. A machine without a
// bridge has an engine in a virtual machine, and that reaches the loopback interface.
func (l *samLocal) forward(address string) error {
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
	l.OnStop(func() { _ = listener.Close() })
	go func() {
		for {
			from, err := listener.Accept()
			if err != nil {
				return // closed
			}
			if peer, ok := from.RemoteAddr().(*net.TCPAddr); !ok || !network.Contains(peer.IP) {
				_ = from.Close() // no container
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

// freePort names a port of an address that was free a moment ago.
func freePort(host string) (string, error) {
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return "", err
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port), nil
}
