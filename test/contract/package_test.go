package contract

import (
	"archive/zip"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// templateBody is how many bytes a template can have that is not uploaded to S3 first.
// https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
const templateBody = 51200

// Somebody who has only the package follows its DEPLOY.txt.
func TestPackageSaysHowToDeployIt(t *testing.T) {
	t.Parallel()
	c := newCheckout(t)
	for _, name := range []string{"README.md", "LICENSE", "parameters/example.yaml"} {
		c.write(t, name, "x")
	}
	built := "  Architecture:\n    Type: String\n    Default: arm64\n    SemanticVersion: 0.1.0\n"
	for _, function := range []string{"A", "B", "C", "D"} {
		built += "      CodeUri: " + function + "\n"
		c.write(t, "build/"+function+"/bootstrap", "x")
	}
	c.write(t, "build/template.yaml", built)
	script := filepath.Join(filepath.Dir(c.script), "package.py")
	if out, err := c.run(t, script, "build", "my dist"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	archive, err := zip.OpenReader(filepath.Join(c.dir, "my dist", "extend-intake-0.1.0-arm64.zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = archive.Close() }()
	file, err := archive.Open("extend-intake-0.1.0-arm64/DEPLOY.txt")
	if err != nil {
		t.Fatal(err)
	}
	instructions, err := io.ReadAll(file)
	if err != nil {
		t.Fatal(err)
	}
	template, err := os.Stat(filepath.Join(root, "template.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if template.Size() <= templateBody {
		t.Skipf("the template has %d bytes, and needs no bucket", template.Size())
	}
	for line := range strings.Lines(strings.ReplaceAll(string(instructions), "\\\n", " ")) {
		if strings.Contains(line, "aws cloudformation") && !strings.Contains(line, "--s3-bucket BUCKET") {
			t.Errorf("the template has %d bytes, so that the AWS CLI refuses this without --s3-bucket: %s", template.Size(), line)
		}
	}

	c.write(t, "taken", "a file")
	if out, err := c.run(t, script, "build", "taken"); err == nil || !strings.Contains(out, "DIST=taken is no directory") || strings.Contains(out, "Traceback") {
		t.Errorf("a file as DIST: %v, %s", err, out)
	}
}
