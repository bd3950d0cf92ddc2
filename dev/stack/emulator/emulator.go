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
package emulator

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"extend-intake/dev/stack/child"
	"extend-intake/shared/boot"
)

// Region and the two halves of the credentials that the local AWS is used with. It
// accepts any; these can do no harm anywhere else.
const (
	Region    = "us-east-1"
	AccessKey = "test"
	SecretKey = "test"
)

// ErrNotInstalled means that this machine has no such emulator and that dev/tools/tools.sh
// can't get it. A test that can do without skips.
var ErrNotInstalled = errors.New("emulator: not installed")

const (
	startTimeout = 60 * time.Second // the machine may be compiling and testing meanwhile
	portTries    = 5
)

// Server is a running emulator.
type Server struct {
	URL string // http://127.0.0.1:port
	Log string // the file that its output goes to

	process *child.Child
}

// A program is what differs between the emulators.
type program struct {
	name   string
	path   string // below .tools
	args   func(port string) []string
	env    func(port string) []string
	health string // path that answers 200 when the server is ready
}

// StartMiniStack starts MiniStack, an AWS in one process that runs Lambda functions
// too. Its files and its log are in dir. The context bounds the start only.
func StartMiniStack(ctx context.Context, dir string) (*Server, error) {
	return start(ctx, dir, program{
		name: "ministack",
		path: "ministack/bin/ministack",
		args: func(string) []string { return nil },
		env: func(port string) []string {
			return append(Environ("http://127.0.0.1:"+port),
				"BIND_HOST=127.0.0.1", "GATEWAY_PORT="+port,
				"SFTP_ENABLED=0", "IOT_MTLS_ENABLED=0", // each would open a port of its own
				"AWS_LAMBDA_LOG_FORMAT=JSON", // the functions inherit it: it does not tell them the template's LoggingConfig
			)
		},
		health: "/_ministack/health",
	})
}

// StartDynoxide starts Dynoxide, a DynamoDB that is stricter than MiniStack's. Its log
// is in dir. The error is ErrNotInstalled where there is no binary of it.
func StartDynoxide(ctx context.Context, dir string) (*Server, error) {
	return start(ctx, dir, program{
		name:   "dynoxide",
		path:   "dynoxide/dynoxide",
		args:   func(port string) []string { return []string{"serve", "--host", "127.0.0.1", "--port", port} },
		env:    func(string) []string { return nil },
		health: "/",
	})
}

// AWSConfig is what AWS clients need to talk to an emulator. S3 wants UsePathStyle too.
func AWSConfig(url string) aws.Config {
	return aws.Config{
		Region:       Region,
		Credentials:  credentials.NewStaticCredentialsProvider(AccessKey, SecretKey, ""),
		BaseEndpoint: &url,
		HTTPClient:   boot.PlainBodies(&http.Client{}),
	}
}

// Environ is the same for programs, as environment variables: it points them to the
// emulator at url, and away from any real account that the machine knows of.
func Environ(url string) []string {
	return []string{
		"AWS_ENDPOINT_URL=" + url,
		"AWS_ACCESS_KEY_ID=" + AccessKey, "AWS_SECRET_ACCESS_KEY=" + SecretKey,
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

func startOnce(ctx context.Context, dir, path string, p program) (*Server, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	s := &Server{URL: "http://127.0.0.1:" + port, Log: filepath.Join(dir, p.name+".log")}
	log, err := os.Create(s.Log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(path, p.args(port)...) // #nosec G204 -- a program that dev/tools/tools.sh put there
	cmd.Dir = dir
	cmd.Env = append(p.env(port), "PATH="+os.Getenv("PATH"), "HOME="+dir, "TMPDIR="+dir)
	cmd.Stdout, cmd.Stderr = log, log
	if s.process, err = child.Start(cmd); err != nil {
		return nil, fmt.Errorf("%s: %w", p.name, err)
	}
	if err := s.ready(ctx, p.health); err != nil {
		s.Stop()
		output, _ := os.ReadFile(s.Log)
		if bytes.Contains(output, []byte("already in use")) {
			err = errPortTaken
		}
		return nil, fmt.Errorf("%s: %w; the end of %s:\n%s", p.name, err, s.Log, tail(output, 20))
	}
	return s, nil
}

// ready returns once the server answers. That its own log names the address proves
// that the answer is not that of another program which was faster to take the port.
func (s *Server) ready(ctx context.Context, health string) error {
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
		output, err := os.ReadFile(s.Log)
		if err != nil || !bytes.Contains(output, []byte("on "+s.URL)) {
			continue
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+health, nil)
		if err != nil {
			return err
		}
		if resp, err := http.DefaultClient.Do(req); err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
	}
}

// Stop ends the server and everything that it has started, functions above all. It may
// be called more than once.
func (s *Server) Stop() { s.process.Stop() }

// freePort names a port that was free a moment ago.
func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port), nil
}

func tail(output []byte, n int) string {
	lines := slices.Collect(strings.Lines(string(output)))
	return strings.Join(lines[max(0, len(lines)-n):], "")
}
