// Command invoke runs the files of events/ through the real `sam local`, in containers,
// and compares what each leads to with expect.json. It is started by invoke.sh, which
// finds a container engine and an image.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"

	"extend-intake/dev/stack"
)

func main() { os.Exit(stack.Main("invoke", command)) }

func command(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("invoke", flag.ContinueOnError)
	flags.Usage = func() {
		fmt.Fprint(flags.Output(), `usage: dev/invoke/invoke.sh [--if-possible] [EVENT…]
       go run ./dev/invoke [--image IMAGE] [EVENT…]

An EVENT is the name of a file of events/ without .json, such as submit-s3-put. Without
one, all are run. The second form needs a running container engine.

`)
		flags.PrintDefaults()
	}
	image := flags.String("image", "", "what containers are made of instead of Lambda's `image`")
	if err := flags.Parse(args); err != nil {
		return err
	}
	return invoke(ctx, out, *image, flags.Args())
}
