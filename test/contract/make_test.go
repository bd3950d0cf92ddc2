package contract

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// SAM, unlike the AWS CLI and Go's SDK, does not read AWS_REGION. All have to mean one region,
// or the key is checked in one and the stack deployed to another.
func TestMakeGivesSAMTheRegionOfTheShell(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ shell, want string }{
		{"AWS_REGION=eu-west-1", "eu-west-1"},
		{"AWS_REGION=eu-west-1 AWS_DEFAULT_REGION=us-west-2", "eu-west-1"},
		{"AWS_DEFAULT_REGION=us-west-2", "us-west-2"},
		{"", ""},
	} {
		cmd := exec.Command("make", "--no-print-directory", "--file", "Makefile", "--file", "-", "region")
		cmd.Dir = root
		cmd.Stdin = strings.NewReader("region:\n\t@echo \"$$AWS_DEFAULT_REGION\"\n")
		cmd.Env = append(strings.Fields(c.shell), "PATH="+os.Getenv("PATH"), "HOME="+os.Getenv("HOME"))
		if out, err := cmd.CombinedOutput(); err != nil || strings.TrimSpace(string(out)) != c.want {
			t.Errorf("%s: %v, %q, want %q", c.shell, err, out, c.want)
		}
	}
}
