// Package emulator starts a local AWS for tests and for the local run:
//
//	aws, err := emulator.StartMiniStack(t.Context(), t.TempDir())
//	…
//	t.Cleanup(aws.Stop)
//	db := dynamodb.NewFromConfig(emulator.AWSConfig(aws.URL))
//
// Every server listens on a free port of the loopback interface, keeps its state in
// memory, sees nothing of the caller's environment (no credentials above all), and
// ends with Stop or with the process that started it. The programs are put into
// .tools/ by dev/tools/tools.sh, which is run when one is missing.
//
// The emulators answer everybody who reaches them. So package guard is in front of each,
// and asks for the access key that this process made up: [AWSConfig] and [Environ] have
// it. MiniStack itself listens on a Unix socket in a directory that only this user may
// enter. Dynoxide, which the tests use, can't: it has a port on a random loopback address.
package emulator

import (
	"bytes"
	"context"
	"crypto/rand"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"extend-intake/dev/guard"
	"extend-intake/dev/stack/child"
	"extend-intake/shared/boot"
)

// Region is the one that the local AWS is used with.
const Region = "us-east-1"

// Key is the access key that every emulator of this process asks for. It is made up
// when the process starts, and means nothing anywhere else.
var Key = guard.NewKey()

// account is MiniStack's. It is also the access key id that MiniStack gives to functions,
// with the secret of Key.
const account = "000000000000"

// ErrNotInstalled means that this machine has no such emulator and that dev/tools/tools.sh
// can't get it. A test that can do without skips.
var ErrNotInstalled = errors.New("emulator: not installed")

const (
	startTimeout = 60 * time.Second // the machine may be compiling and testing meanwhile
	portTries    = 5
)

// Server is a running emulator.
type Server struct {
	URL string // http://127.0.0.1:port, where requests are signed with Key
	Log string // the file that its output goes to
	// Direct sends requests to the program itself, past the guard, whatever their host.
	Direct http.RoundTripper

	process *child.Child
	closers []func()
	stop    sync.Once
}

// A program is what differs between the emulators.
type program struct {
	name   string
	path   string // below .tools
	health string // path that answers 200 when the server is ready
	// open is what may be asked without a signature; nil is nothing.
	open func(*http.Request) bool
	// command is how the program is started, so that it listens at an address of its own.
	// Front is the port of the guard.
	command func(at address, front string) (args, env []string)
	socket  bool // the address is a Unix socket
}

// An address is where a program itself listens: a socket, or a host and a port.
type address struct {
	socket, host, port string
}

func (a address) network() (network, address string) {
	if a.socket != "" {
		return "unix", a.socket
	}
	return "tcp", net.JoinHostPort(a.host, a.port)
}

//go:embed ministack.py
var serveMiniStack string

// StartMiniStack starts MiniStack, an AWS in one process that runs Lambda functions
// too. Its files and its log are in dir. The context bounds the start only.
func StartMiniStack(ctx context.Context, dir string) (*Server, error) {
	return start(ctx, dir, program{
		name:   "ministack",
		path:   "ministack/bin/python",
		health: "/_ministack/health",
		open:   unsigned,
		socket: true,
		command: func(at address, front string) (args, env []string) {
			// GATEWAY_PORT is for the addresses that it gives to others.
			return []string{"-c", serveMiniStack, at.socket}, append(Environ("http://127.0.0.1:"+front),
				"GATEWAY_PORT="+front, "RUNTIME_API_SECRET="+rand.Text(),
				"SFTP_ENABLED=0", "IOT_MTLS_ENABLED=0", // each would open a port of its own
				"AWS_LAMBDA_LOG_FORMAT=JSON", // the functions inherit it: it does not tell them the template's LoggingConfig
			)
		},
	})
}

// public are the paths at which a real AWS asks for no signature either: the webhook,
// whose function looks at the delivery's own, and the answers of custom resources, whose
// address has a random token.
var public = map[string]*regexp.Regexp{
	http.MethodPost: regexp.MustCompile(`^/_aws/execute-api/[a-z0-9]+/webhook$`),
	http.MethodPut:  regexp.MustCompile(`^/_ministack/cfn-response/[A-Za-z0-9-]+$`),
}

func unsigned(r *http.Request) bool {
	p := public[r.Method]
	return p != nil && p.MatchString(r.RequestURI)
}

// StartDynoxide starts Dynoxide, a DynamoDB that is stricter than MiniStack's. Its log
// is in dir. The error is ErrNotInstalled where there is no binary of it.
func StartDynoxide(ctx context.Context, dir string) (*Server, error) {
	return start(ctx, dir, program{
		name:   "dynoxide",
		path:   "dynoxide/dynoxide",
		health: "/",
		command: func(at address, _ string) (args, env []string) {
			return []string{"serve", "--host", at.host, "--port", at.port}, nil
		},
	})
}

// AWSConfig is what AWS clients need to talk to an emulator. S3 wants UsePathStyle too.
func AWSConfig(url string) aws.Config {
	return aws.Config{
		Region:       Region,
		Credentials:  credentials.NewStaticCredentialsProvider(Key.ID, Key.Secret, ""),
		BaseEndpoint: &url,
		HTTPClient:   boot.PlainBodies(&http.Client{}),
	}
}

// Client signs requests to a service of an emulator, for single calls that are not worth
// one more SDK package.
func Client(service string) *http.Client { return Key.Client(Region, service) }

// Environ is the same for programs, as environment variables: it points them to the
// emulator at url, and away from any real account that the machine knows of.
func Environ(url string) []string {
	return []string{
		"AWS_ENDPOINT_URL=" + url,
		"AWS_ACCESS_KEY_ID=" + Key.ID, "AWS_SECRET_ACCESS_KEY=" + Key.Secret,
		"AWS_REGION=" + Region, "AWS_DEFAULT_REGION=" + Region,
		"AWS_EC2_METADATA_DISABLED=true",
		"AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null",
		"DOCKER_HOST=unix:///nonexistent", // functions run as processes
	}
}

// Root is the directory of the repository, found from the working directory upwards.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for d := dir; ; d = filepath.Dir(d) {
		if _, err := os.Stat(filepath.Join(d, "dev", "tools", "tools.sh")); err == nil {
			return d, nil
		}
		if d == filepath.Dir(d) {
			return "", fmt.Errorf("emulator: %s is not inside the repository", dir)
		}
	}
}

// Install runs dev/tools/tools.sh, which does nothing when every tool is in place. What
// it says goes to log.
func Install(ctx context.Context, log *os.File) error {
	root, err := Root()
	if err != nil {
		return err
	}
	cmd := exec.Command(filepath.Join(root, "dev", "tools", "tools.sh")) // #nosec G204 -- a script of this repository
	cmd.Stdout, cmd.Stderr = log, log
	if err := child.Run(ctx, cmd); err != nil {
		return fmt.Errorf("dev/tools/tools.sh: %w", err)
	}
	return nil
}

func start(ctx context.Context, dir string, p program) (*Server, error) {
	root, err := Root()
	if err != nil {
		return nil, err
	}
	path := filepath.Join(root, ".tools", p.path)
	// tools.sh makes this file when the installation is complete.
	installed := filepath.Join(root, ".tools", strings.SplitN(p.path, "/", 2)[0], ".installed")
	if _, err := os.Stat(installed); err != nil {
		if err := Install(ctx, os.Stderr); err != nil {
			return nil, err
		}
		if _, err := os.Stat(installed); err != nil {
			return nil, fmt.Errorf("%s: %w", p.name, ErrNotInstalled)
		}
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("not ready after %s", startTimeout))
	defer cancel()
	for try := 1; ; try++ {
		s, err := startOnce(ctx, dir, path, p)
		if err == nil || try == portTries || !errors.Is(err, errPortTaken) {
			return s, err
		}
	}
}

var errPortTaken = errors.New("port taken")

func startOnce(ctx context.Context, dir, path string, p program) (_ *Server, err error) {
	s := &Server{Log: filepath.Join(dir, p.name+".log")}
	defer func() {
		if err != nil {
			s.Stop()
		}
	}()
	at, err := s.place(p)
	if err != nil {
		return nil, err
	}
	listener, err := guard.Listen()
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, func() { _ = listener.Close() })
	log, err := os.Create(s.Log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	args, env := p.command(at, strconv.Itoa(listener.Addr().(*net.TCPAddr).Port))
	cmd := exec.Command(path, args...) // #nosec G204 -- a program that dev/tools/tools.sh put there
	cmd.Dir = dir
	cmd.Env = append(env, "PATH="+os.Getenv("PATH"), "HOME="+dir, "TMPDIR="+dir)
	cmd.Stdout, cmd.Stderr = log, log
	if s.process, err = child.Start(cmd); err != nil {
		return nil, fmt.Errorf("%s: %w", p.name, err)
	}
	s.Direct = &http.Transport{
		MaxIdleConnsPerHost: 100,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			network, address := at.network()
			return new(net.Dialer).DialContext(ctx, network, address)
		},
		DisableCompression: true, // what is sent is passed on as it is
	}
	if err := s.ready(ctx, p, at); err != nil {
		s.Stop()
		output, _ := os.ReadFile(s.Log)
		if bytes.Contains(output, []byte("already in use")) {
			err = errPortTaken
		}
		return nil, fmt.Errorf("%s: %w; the end of %s:\n%s", p.name, err, s.Log, tail(output, 20))
	}
	front := guard.ServeOn(listener, Key.Signed(guard.Proxy(s.Direct), p.open, account))
	s.URL, s.closers = front.URL, append(s.closers, front.Close)
	return s, nil
}

// place finds an address for a program.
func (s *Server) place(p program) (address, error) {
	if !p.socket {
		at := address{host: guard.Address()}
		l, err := net.Listen("tcp", net.JoinHostPort(at.host, "0"))
		if err != nil {
			return at, err
		}
		at.port = strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
		return at, l.Close()
	}
	// In a directory of its own, for the path of a socket must be short. Only this user may enter it.
	dir, err := os.MkdirTemp("", "aws-")
	if err != nil {
		return address{}, err
	}
	s.closers = append(s.closers, func() { _ = os.RemoveAll(dir) })
	return address{socket: filepath.Join(dir, "s")}, nil
}

// ready returns once the program answers. That its own log names the port proves
// that the answer is not that of another program which was faster to take it.
func (s *Server) ready(ctx context.Context, p program, at address) error {
	direct := http.Client{Transport: s.Direct}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-s.process.Ended:
			return errors.New("ended instead of getting ready")
		case <-tick.C:
		}
		if at.port != "" {
			output, err := os.ReadFile(s.Log)
			if err != nil || !bytes.Contains(output, []byte("on http://"+net.JoinHostPort(at.host, at.port))) {
				continue
			}
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://emulator"+p.health, nil)
		if err != nil {
			return err
		}
		if resp, err := direct.Do(req); err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
	}
}

// Stop ends the server and everything that it has started, functions above all. It may
// be called more than once.
func (s *Server) Stop() {
	s.stop.Do(func() {
		if s.process != nil {
			s.process.Stop()
		}
		for _, f := range slices.Backward(s.closers) {
			f()
		}
	})
}

func tail(output []byte, n int) string {
	lines := slices.Collect(strings.Lines(string(output)))
	return strings.Join(lines[max(0, len(lines)-n):], "")
}
